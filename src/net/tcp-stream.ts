// A TCP connection on the thread's ring.
// Flow: the program → this → runtime (recv multishot into shared buffers, send, connect, close).
// Memory is bounded: what nobody reads yet is copied out of the shared buffers, up to HIGH_WATER, then receiving pauses.

import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { prepRecvMultishot } from '../op/prep-net.ts'
import type { BufferGroup } from '../runtime/buffer-group.ts'
import { defaultRing } from '../runtime/executor.ts'
import { Resource } from '../runtime/resource.ts'
import type { Sink, Slot } from '../runtime/slots.ts'
import type { Uring } from '../runtime/uring.ts'
import { IORING_OP_RECV } from '../sys/abi.ts'
import { MSG_WAITALL, SHUT_WR } from '../sys/constants.ts'
import {
  argumentTypeError,
  bufferDetachedError,
  rangeError,
  ringClosedError,
  socketError,
  stateError,
} from '../sys/error.ts'
import type { SocketAddress } from '../sys/sockaddr.ts'
import { checkFd } from '../sys/validate.ts'
import { receiveBuffers } from './receive-buffers.ts'
import { addressOf, newSocket, setKeepAlive, setNoDelay } from './socket-calls.ts'

const HIGH_WATER = 65536
const MERGE_BYTES = 65536
const ECANCELED = -125
const ENOBUFS = -105

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

interface Reader {
  buffer: Uint8Array
  resolve: (bytes: number) => void
  reject: (error: Error) => void
}

interface Writer {
  bytes: Uint8Array
  resolve: (bytes: number) => void
  reject: (error: Error) => void
}

export class TcpStream implements Sink {
  readonly #ring: Uring
  readonly #resource: Resource
  #group: BufferGroup | null = null
  // Receiving: one multishot request at most, one reader at most.
  #slot: Slot | null = null
  #generation = 0
  #reader: Reader | null = null
  #received: Buffer[] = []
  #receivedBytes = 0
  #ended = false
  #readError: Error | null = null
  #paused = false
  // Sending: one send at most in flight, so that bytes keep their order.
  readonly #writers: Writer[] = []
  #sending: Promise<void> | null = null
  #writeError: Error | null = null
  #finished = false
  #closing: Promise<void> | null = null
  bytesRead = 0
  bytesWritten = 0

  constructor(ring: Uring, fd: number) {
    this.#ring = ring
    this.#resource = new Resource(fd)
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

  // ---- receiving

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
      if (!(buffer instanceof Uint8Array))
        throw argumentTypeError('buffer', 'an instance of Buffer or Uint8Array', buffer)
      if (this.#reader !== null) throw stateError('Cannot read: another read of this stream is waiting')
      if (this.#receivedBytes > 0) return Promise.resolve(this.#take(buffer))
      if (this.#readError !== null) throw this.#readError
      if (this.#ended || buffer.byteLength === 0) return Promise.resolve(0)
      this.#openFd('read')
      const promise = new Promise<number>((resolve, reject) => {
        this.#reader = { buffer, resolve, reject }
      })
      this.#arm()
      return promise
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** Copies received bytes into the caller's buffer. */
  #take(buffer: Uint8Array): number {
    let filled = 0
    while (filled < buffer.byteLength && this.#received.length > 0) {
      const first = this.#received[0]!
      const part = first.subarray(0, buffer.byteLength - filled)
      buffer.set(part, filled)
      filled += part.length
      if (part.length === first.length) this.#received.shift()
      else this.#received[0] = first.subarray(part.length)
    }
    this.#receivedBytes -= filled
    if (this.#paused && this.#receivedBytes < HIGH_WATER / 2) this.#arm()
    return filled
  }

  #arm(): void {
    if (this.#slot !== null || this.#ended || this.#readError !== null || this.fd < 0) return
    const { engine } = this.#ring
    let slot: Slot | null
    try {
      this.#group ??= receiveBuffers(this.#ring)
      slot = engine.begin(IORING_OP_RECV, undefined)
    } catch (error) {
      this.#fail(error as Error)
      return
    }
    if (slot === null) {
      engine.later(async () => this.#arm()).catch((error: Error) => this.#fail(error))
      return
    }
    this.#paused = false
    prepRecvMultishot(slot.sqe, this.#resource.hold('read'), 0, 0, 0)
    slot.resource = this.#resource
    this.#group.select(slot)
    slot.sink = this
    this.#slot = slot
    this.#generation = slot.generation
    engine.commit(slot)
  }

  /** A CQE of the multishot recv. */
  onCqe(res: number, flags: number, final: boolean): void {
    if (final) this.#slot = null
    if (res > 0) this.#deliver(res, flags)
    else if (res === 0) this.#end()
    else if (res === ENOBUFS) this.#group?.onRelease(() => this.#arm())
    else if (res !== ECANCELED) this.#fail(socketError(res, 'read'))
    else if (this.#ring.closed) this.#fail(ringClosedError())
    else if (this.fd < 0) this.#end()
    // A pause that comes through when the reader has caught up already (ECANCELED) goes on at once: nobody else would.
    if (!final || (res <= 0 && res !== ECANCELED)) return
    if (this.#receivedBytes < HIGH_WATER) this.#arm()
    else this.#paused = true
  }

  #deliver(length: number, flags: number): void {
    const chunk = this.#group!.take(length, flags)!
    const bytes = chunk.bytes
    this.bytesRead += length
    const reader = this.#reader
    if (reader === null) {
      this.#keep(Buffer.from(bytes))
    } else if (reader.buffer.byteLength === 0) {
      this.#reader = null
      this.#keep(Buffer.from(bytes))
      reader.reject(bufferDetachedError())
    } else {
      this.#reader = null
      const part =
        bytes.length <= reader.buffer.byteLength ? bytes : bytes.subarray(0, reader.buffer.byteLength)
      reader.buffer.set(part)
      if (part.length < bytes.length) this.#keep(Buffer.from(bytes.subarray(part.length)))
      reader.resolve(part.length)
    }
    chunk.release()
  }

  #keep(bytes: Buffer): void {
    this.#received.push(bytes)
    this.#receivedBytes += bytes.length
    if (this.#receivedBytes < HIGH_WATER || this.#paused || this.#slot === null) return
    this.#paused = true
    this.#ring.engine.cancels.slot(this.#slot, this.#generation)
  }

  #end(): void {
    this.#ended = true
    const reader = this.#reader
    this.#reader = null
    reader?.resolve(0)
  }

  #fail(error: Error): void {
    this.#readError = error
    const reader = this.#reader
    this.#reader = null
    reader?.reject(error)
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

  // ---- sending

  /**
   * Sends all of `data`; what several writes queued meanwhile goes as one send. Order is kept.
   *
   * The caller must not change `data` until the promise settles.
   *
   * @returns bytes written: all of them
   * @throws EPIPE, ECONNRESET: the peer is gone · ERR_INVALID_STATE after `end`
   */
  write(data: Uint8Array | string): Promise<number> {
    try {
      const bytes = typeof data === 'string' ? Buffer.from(data) : data
      if (!(bytes instanceof Uint8Array))
        throw argumentTypeError('data', 'of type string or an instance of Buffer or Uint8Array', data)
      // What can't be lent to the kernel is refused here, before it would break the stream for the writes behind it.
      this.#ring.engine.addresses.of(bytes)
      if (this.#writeError !== null) throw this.#writeError
      if (this.#finished) throw stateError('Cannot write: end() was called')
      this.#openFd('write')
      if (bytes.byteLength === 0) return Promise.resolve(0)
      return new Promise<number>((resolve, reject) => {
        this.#writers.push({ bytes, resolve, reject })
        this.#sending ??= this.#send()
      })
    } catch (error) {
      return Promise.reject(error)
    }
  }

  async #send(): Promise<void> {
    while (this.#writers.length > 0) {
      const batch = this.#nextBatch()
      const bytes = batch.length === 1 ? batch[0]!.bytes : Buffer.concat(batch.map((writer) => writer.bytes))
      try {
        for (let sent = 0; sent < bytes.byteLength; ) {
          sent += await this.#ring.send(this.#resource, bytes, { offset: sent, flags: MSG_WAITALL })
        }
        this.bytesWritten += bytes.byteLength
        for (const writer of batch) writer.resolve(writer.bytes.byteLength)
      } catch (error) {
        this.#writeError = asWriteError(error)
        for (const writer of [...batch, ...this.#writers.splice(0)]) writer.reject(this.#writeError)
      }
    }
    this.#sending = null
  }

  /** The first writer, and as many after it as fit in one send. */
  #nextBatch(): Writer[] {
    let bytes = 0
    let count = 0
    for (const writer of this.#writers) {
      bytes += writer.bytes.byteLength
      if (count > 0 && bytes > MERGE_BYTES) break
      count++
    }
    return this.#writers.splice(0, count)
  }

  /** Sends what is queued, then ends this side; the peer reads EOF. Reading goes on. */
  async end(): Promise<void> {
    if (this.#finished) return
    this.#finished = true
    await this.#sending
    if (this.#writeError !== null) throw this.#writeError
    await this.#ring.shutdown(this.#resource, SHUT_WR)
  }

  /**
   * Sends what is queued, then closes both sides; the peer reads EOF at once. Reads that wait get 0.
   *
   * Resolves when the kernel has let go of the socket; a second close does nothing.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#finished = true
    await this.#sending
    await this.#ring.closeFile(this.#resource)
    if (!this.#ended && this.#readError === null) this.#end()
  }

  /** As `close`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

function asWriteError(error: unknown): Error {
  const { errno, syscall } = error as NodeJS.ErrnoException
  return errno === undefined || syscall === undefined ? (error as Error) : socketError(errno, 'write')
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
