// A TCP connection on the thread's ring.
// Flow: the program → this → receiver.ts, sender.ts, runtime (connect, shutdown, close).

import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { defaultRing } from '../runtime/executor.ts'
import { Resource } from '../runtime/resource.ts'
import type { Uring } from '../runtime/uring.ts'
import { SHUT_WR } from '../sys/constants.ts'
import { argumentTypeError, rangeError, socketError, stateError } from '../sys/error.ts'
import type { SocketAddress } from '../sys/sockaddr.ts'
import { checkFd, checkFunction } from '../sys/validate.ts'
import { type DataHandler, type EndHandler, Receiver } from './receiver.ts'
import { Sender } from './sender.ts'
import { addressOf, newSocket, setKeepAlive, setNoDelay } from './socket-calls.ts'

export interface ConnectOptions {
  host?: string | undefined
  port: number
  signal?: AbortSignal | undefined
  /** Milliseconds until the attempt is given up with ETIMEDOUT. */
  timeout?: number | undefined
  noDelay?: boolean | undefined
  keepAlive?: boolean | undefined
  ring?: Uring | undefined
}

export class TcpStream {
  readonly #ring: Uring
  readonly #resource: Resource
  readonly #receiver: Receiver
  readonly #sender: Sender
  #finished = false
  #closing: Promise<void> | null = null

  constructor(ring: Uring, fd: number) {
    this.#ring = ring
    this.#resource = new Resource(fd)
    this.#receiver = new Receiver(ring, this.#resource)
    this.#sender = new Sender(ring, this.#resource)
  }

  /**
   * Connects to a host, trying its addresses one after another.
   * @throws ECONNREFUSED · ETIMEDOUT · ENETUNREACH · ENOTFOUND (name) · AbortError
   */
  static async connect(target: ConnectOptions | number, host?: string): Promise<TcpStream> {
    const options: ConnectOptions = typeof target === 'number' ? { port: target, host } : target
    const { port } = options
    if (!(Number.isInteger(port) && port >= 0 && port <= 65535))
      throw rangeError('options.port', '>= 0 && <= 65535', port)
    const ring = options.ring ?? defaultRing()
    let failure: unknown
    for (const address of await resolve(options.host ?? 'localhost', port)) {
      try {
        return await TcpStream.#connectTo(ring, address, options)
      } catch (error) {
        failure ??= error
        if (options.signal?.aborted === true) throw error
      }
    }
    throw failure
  }

  static async #connectTo(
    ring: Uring,
    address: SocketAddress & { port: number; address: string },
    options: ConnectOptions,
  ) {
    const { driver } = ring.ring
    const family = address.family === 'ipv6' ? 'ipv6' : 'ipv4'
    const stream = new TcpStream(ring, newSocket(driver, family))
    try {
      if (options.noDelay === true) stream.setNoDelay()
      if (options.keepAlive === true) stream.setKeepAlive()
      await ring.connect(stream.#resource, address, { signal: options.signal, timeout: options.timeout })
      return stream
    } catch (error) {
      await stream.close()
      const errno = (error as NodeJS.ErrnoException).errno
      if (errno === undefined || (error as NodeJS.ErrnoException).syscall !== 'connect') throw error
      throw socketError(errno, 'connect', { address: address.address, port: address.port })
    }
  }

  /** Takes over a connected socket; the stream closes it. */
  static fromRawFd(fd: number, ring: Uring = defaultRing()): TcpStream {
    checkFd(fd)
    return new TcpStream(ring, fd)
  }

  /** The descriptor, or -1 once closed. */
  get fd(): number {
    return this.#resource.fd
  }

  /** This side's address and port; undefined once closed. */
  get localAddress(): SocketAddress | undefined {
    return this.fd < 0 ? undefined : addressOf(this.#ring.ring.driver, this.fd, 'own')
  }

  /** The peer's address and port; undefined once closed or when the connection is gone. */
  get remoteAddress(): SocketAddress | undefined {
    return this.fd < 0 ? undefined : addressOf(this.#ring.ring.driver, this.fd, 'peer')
  }

  /** Sends small writes at once instead of waiting for acknowledgements (TCP_NODELAY). */
  setNoDelay(on = true): this {
    setNoDelay(this.#ring.ring.driver, this.#openFd('setsockopt'), on)
    return this
  }

  /** Has the kernel ask a silent peer whether it is still there. */
  setKeepAlive(on = true): this {
    setKeepAlive(this.#ring.ring.driver, this.#openFd('setsockopt'), on)
    return this
  }

  #openFd(syscall: string): number {
    if (this.fd < 0) throw socketError(-9, syscall)
    return this.fd
  }

  /** Bytes that came from the peer. */
  get bytesRead(): number {
    return this.#receiver.bytes
  }

  /** Bytes that the kernel took for the peer. */
  get bytesWritten(): number {
    return this.#sender.bytes
  }

  /**
   * Reads what has come, or waits for something to come.
   *
   * The bytes are copied once, out of memory of the ring's, so `buffer` is never lent to the kernel.
   *
   * @returns bytes read; 0 when the peer has ended its side
   * @throws ECONNRESET · ERR_INVALID_STATE: another read is waiting
   */
  read(buffer: Uint8Array): Promise<number> {
    try {
      if (!(buffer instanceof Uint8Array)) {
        throw argumentTypeError('buffer', 'an instance of Buffer or Uint8Array', buffer)
      }
      return this.#receiver.read(buffer)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** Iterates over what comes, as copies of the caller's own; ends with the peer's side. Leaving the loop does not close. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    for (;;) {
      const buffer = Buffer.allocUnsafe(16384)
      const bytes = await this.read(buffer)
      if (bytes === 0) return
      yield buffer.subarray(0, bytes)
    }
  }

  /**
   * Calls back for everything that comes, without promises or copies.
   *
   * `onData` gets the ring's own memory: use the first `length` bytes before it returns, copy what is to stay. It runs inside
   * the event loop's batch, so it may write but must not block.
   *
   * @param onData gets a buffer and how many of its bytes are meant
   * @param onEnd is told once: null when the peer ended its side or the stream was closed, else the error
   * @returns ends it: later bytes are kept for `read`
   * @throws ERR_INVALID_STATE: another reader is waiting
   */
  receive(onData: DataHandler, onEnd: EndHandler): () => void {
    checkFunction('onData', onData)
    checkFunction('onEnd', onEnd)
    this.#openFd('read')
    this.#receiver.receive(onData, onEnd)
    return () => this.#receiver.stop()
  }

  /**
   * Sends all of `data`; what several writes queue while one is in flight goes as one send. Order is kept.
   *
   * The caller must not change `data` until the promise settles.
   *
   * @returns bytes written: all of them
   * @throws EPIPE, ECONNRESET: the peer is gone · ERR_INVALID_STATE after `end`
   */
  write(data: Uint8Array | string): Promise<number> {
    try {
      const bytes = typeof data === 'string' ? Buffer.from(data) : data
      if (!(bytes instanceof Uint8Array)) {
        throw argumentTypeError('data', 'of type string or an instance of Buffer or Uint8Array', data)
      }
      // What can't be lent to the kernel is refused here, before it would break the stream for the writes behind it.
      this.#ring.engine.addresses.of(bytes)
      if (this.#sender.error !== null) throw this.#sender.error
      if (this.#finished) throw stateError('Cannot write: end() was called')
      this.#openFd('write')
      return bytes.byteLength === 0 ? Promise.resolve(0) : this.#sender.write(bytes)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /**
   * Sends `data` without a promise: for many small messages, where one each would cost more than the sending.
   *
   * The caller must not change `data` before it is sent (`drained`), unless it is 4 KiB or less. An error shows at the next
   * `write`, `send` or read.
   *
   * @returns false when 64 KiB or more wait to be sent: `await drained()` before sending more
   * @throws EPIPE, ECONNRESET: the peer is gone · ERR_INVALID_STATE after `end`
   */
  send(data: Uint8Array | string): boolean {
    const bytes = typeof data === 'string' ? Buffer.from(data) : data
    if (!(bytes instanceof Uint8Array)) {
      throw argumentTypeError('data', 'of type string or an instance of Buffer or Uint8Array', data)
    }
    this.#ring.engine.addresses.of(bytes)
    if (this.#finished) throw stateError('Cannot send: end() was called')
    this.#openFd('write')
    return bytes.byteLength === 0 || this.#sender.send(bytes)
  }

  /** Resolves when all that was written is with the kernel, or can't be sent any more. */
  drained(): Promise<void> {
    return this.#sender.drained()
  }

  /** Sends what is queued, then ends this side; the peer reads EOF. Reading goes on. */
  async end(): Promise<void> {
    if (this.#finished) return
    this.#finished = true
    await this.#sender.drained()
    if (this.#sender.error !== null) throw this.#sender.error
    await this.#ring.shutdown(this.#resource, SHUT_WR)
  }

  /**
   * Sends what is queued, then closes both sides; the peer reads EOF at once. Reads that wait get 0.
   *
   * Resolves when the kernel has let go of the socket; a second close does nothing. A peer that stops reading holds up what is
   * queued, and so the close: `destroy` does not wait.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close(this.#sender.drained())
    return this.#closing
  }

  /** Closes at once: what is queued is not sent, and its writes reject. */
  destroy(): Promise<void> {
    this.#finished = true
    if (this.#closing === null) this.#closing = this.#close(undefined)
    else if (this.#resource.fd >= 0) return this.#close(undefined)
    return this.#closing
  }

  async #close(drained: Promise<void> | undefined): Promise<void> {
    this.#finished = true
    await drained
    await this.#ring.closeFile(this.#resource)
    this.#receiver.end()
  }

  /** As `close`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

/** The addresses of a host, in the resolver's order. */
async function resolve(
  host: string,
  port: number,
): Promise<(SocketAddress & { port: number; address: string })[]> {
  const version = isIP(host)
  if (version !== 0) return [{ family: version === 6 ? 'ipv6' : 'ipv4', address: host, port }]
  const found = await lookup(host, { all: true })
  return found.map(({ address, family }) => ({ family: family === 6 ? 'ipv6' : 'ipv4', address, port }))
}
