// What every stream socket can do, TCP or Unix: both halves, their ends, and the connection's.
// Flow: tcp-stream.ts, unix-stream.ts extend this → receiver.ts, sender.ts, send-file.ts, runtime (shutdown, close).

import { Resource } from '../runtime/resource.ts'
import type { Uring } from '../runtime/uring.ts'
import { SHUT_WR } from '../sys/constants.ts'
import { ECANCELED, ETIMEDOUT } from '../sys/errno.ts'
import { argumentTypeError, rangeError, socketError, stateError } from '../sys/error.ts'
import { checkFunction, checkInteger } from '../sys/validate.ts'
import { type Abortable, abortable } from './abort.ts'
import { type Quiet, unwatch, watch } from './idle.ts'
import type { StreamChunk } from './lease.ts'
import { type DataHandler, type EndHandler, Receiver } from './receiver.ts'
import { type SendFileOptions, type SendFileSource, sendFile } from './send-file.ts'
import { Sender } from './sender.ts'
import { getOption, setOption, setResetOnClose } from './socket-calls.ts'

/** How a stream behaves; for those that connect and those that are accepted. */
export interface StreamOptions {
  /** false: when the peer has ended its side, what is queued is sent and the stream closes by itself. Default true. */
  allowHalfOpen?: boolean | undefined
  /**
   * Writes from this many bytes on, 4097 at least, are sent without copying; default: none. TCP only. Measure where it begins to pay:
   * a notification costs a few microseconds, and the promise of such a write settles when the peer has acknowledged it.
   */
  zeroCopyFrom?: number | undefined
}

/** Who counts the connections that are open. */
export interface ConnectionCount {
  connections: number
}

export class SocketStream implements Quiet {
  readonly #ring: Uring
  readonly #resource: Resource
  readonly #receiver: Receiver
  readonly #sender: Sender
  #finished = false
  #closing: Promise<void> | null = null
  #count: ConnectionCount | null
  #timeout = 0
  #onTimeout: (() => void) | null = null

  /** @param count is told of the stream's end */
  constructor(ring: Uring, fd: number, options?: StreamOptions, count: ConnectionCount | null = null) {
    this.#ring = ring
    this.#resource = new Resource(fd)
    this.#receiver = new Receiver(ring, this.#resource)
    this.#sender = new Sender(ring, this.#resource)
    this.#count = count
    if (count !== null) count.connections++
    if (options === undefined) return
    if (options.allowHalfOpen === false) this.#receiver.onEof = () => void this.close()
    if (options.zeroCopyFrom !== undefined) this.#sender.zeroCopyFrom = options.zeroCopyFrom
  }

  /** The ring it works on. */
  get ring(): Uring {
    return this.#ring
  }

  /** The descriptor, or -1 once closed. */
  get fd(): number {
    return this.#resource.fd
  }

  /** The descriptor with its owner. */
  protected get resource(): Resource {
    return this.#resource
  }

  /** The descriptor for a system call; EBADF when it is closed. */
  protected openFd(syscall: string): number {
    if (this.fd < 0) throw socketError(-9, syscall)
    return this.fd
  }

  // ---- counters and options

  /** Bytes that came from the peer. */
  get bytesRead(): number {
    return this.#receiver.bytes
  }

  /** Bytes that the kernel took for the peer. */
  get bytesWritten(): number {
    return this.#sender.bytes
  }

  /** Bytes that were written and wait to be sent. */
  get writableLength(): number {
    return this.#sender.pending
  }

  /** Bytes that were moved in both directions. */
  get moved(): number {
    return this.#receiver.bytes + this.#sender.bytes
  }

  /**
   * Asks for a socket option whose value is an integer: `getOption(SOL_SOCKET, SO_RCVBUF)`.
   * @man getsockopt(2), socket(7), tcp(7)
   */
  getOption(level: number, option: number): number {
    checkInteger('level', level)
    checkInteger('option', option)
    return getOption(this.#ring.ring.driver, this.openFd('getsockopt'), level, option)
  }

  /**
   * Sets a socket option whose value is an integer.
   * @man setsockopt(2), socket(7), tcp(7)
   */
  setOption(level: number, option: number, value: number): this {
    checkInteger('level', level)
    checkInteger('option', option)
    checkInteger('value', value, -0x80000000, 0xffffffff)
    setOption(this.#ring.ring.driver, this.openFd('setsockopt'), level, option, value)
    return this
  }

  /**
   * Ends the stream when no byte was moved for `ms` to `1.25 × ms` milliseconds: reads and writes that wait reject with ETIMEDOUT.
   *
   * It costs no timer: streams with the same timeout share one.
   *
   * @param ms 0 ends the watching
   * @param onTimeout is called instead, each time
   */
  setTimeout(ms: number, onTimeout?: () => void): this {
    if (typeof ms !== 'number') throw argumentTypeError('ms', 'of type number', ms)
    if (!(ms >= 0 && ms <= 0x7fffffff)) throw rangeError('ms', '>= 0 && <= 2147483647', ms)
    if (onTimeout !== undefined) checkFunction('onTimeout', onTimeout)
    if (this.#timeout > 0) unwatch(this, this.#timeout)
    this.#timeout = this.fd < 0 ? 0 : ms
    this.#onTimeout = onTimeout ?? null
    if (this.#timeout > 0) watch(this, ms)
    return this
  }

  /** No byte was moved for as long as `setTimeout` said. */
  onQuiet(): void {
    if (this.#onTimeout !== null) {
      this.#onTimeout()
      return
    }
    this.#receiver.abandon(socketError(-ETIMEDOUT, 'read'))
    this.#sender.abandon(socketError(-ETIMEDOUT, 'write'))
    void this.destroy()
  }

  // ---- receiving

  /**
   * Reads what has come, or waits for something to come.
   *
   * The bytes are copied once, out of memory of the ring's, so `buffer` is never lent to the kernel. An aborted read loses nothing:
   * what comes is there for the next.
   *
   * @returns bytes read; 0 when the peer has ended its side
   * @throws ECONNRESET · ETIMEDOUT · ERR_INVALID_STATE: another read is waiting
   */
  read(buffer: Uint8Array, options?: Abortable): Promise<number> {
    try {
      if (!(buffer instanceof Uint8Array)) {
        throw argumentTypeError('buffer', 'an instance of Buffer or Uint8Array', buffer)
      }
      if (options?.signal === undefined) return this.#receiver.read(buffer)
      return abortable(
        options.signal,
        () => this.#receiver.read(buffer),
        (error) => this.#receiver.giveUp(error),
      )
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /**
   * Iterates over what comes, as copies of the caller's own; ends with the peer's side. Leaving the loop does not close. While it waits
   * it holds no buffer.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    for (;;) {
      const chunk = await this.#receiver.next(false)
      if (chunk === null) return
      yield chunk.bytes
    }
  }

  /**
   * Iterates over what comes, where the kernel put it: no byte is copied. Ends with the peer's side; leaving the loop does not close.
   *
   * Give each chunk back with `release()`, or say `for await (using chunk of stream.chunks())`. A stream may hold eight, and all
   * streams of a ring half of its buffers; what comes beyond is a copy, so that no consumer can stop the others.
   *
   * @throws ECONNRESET · ETIMEDOUT · ERR_INVALID_STATE: another read is waiting
   */
  async *chunks(options?: Abortable): AsyncGenerator<StreamChunk> {
    const receiver = this.#receiver
    try {
      for (;;) {
        const chunk = await abortable(
          options?.signal,
          () => receiver.next(true),
          (error) => receiver.giveUp(error),
        )
        if (chunk === null) return
        yield chunk
      }
    } finally {
      receiver.stopLeasing()
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
    this.openFd('read')
    this.#receiver.receive(onData, onEnd)
    return () => this.#receiver.stop()
  }

  // ---- sending

  /**
   * Sends all of `data`; what is written in one turn of the event loop goes as one send, and what is written while one is in flight
   * goes together after it. Order is kept.
   *
   * The caller must not change `data` until the promise settles, unless it is 4 KiB or less.
   *
   * @param options.signal an abort before all is sent destroys the stream: half a message can't be taken back
   * @returns bytes written: all of them
   * @throws EPIPE, ECONNRESET: the peer is gone · ERR_INVALID_STATE after `end`
   */
  write(data: Uint8Array | string, options?: Abortable): Promise<number> {
    try {
      const bytes = this.#checked(data, 'write')
      if (bytes.byteLength === 0) return Promise.resolve(0)
      if (options?.signal === undefined) return this.#sender.write(bytes)
      return abortable(
        options.signal,
        () => this.#sender.write(bytes),
        (error) => this.#abort(error),
      )
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /**
   * Sends several pieces one behind the other, with as few calls as they need and without putting them together.
   * @returns bytes written: all of them
   * @throws as `write`
   */
  writev(pieces: readonly (Uint8Array | string)[]): Promise<number> {
    try {
      if (!Array.isArray(pieces)) throw argumentTypeError('pieces', 'an instance of Array', pieces)
      return this.#sender.writev(pieces.map((data) => this.#checked(data, 'write')))
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
   * @returns false when 64 KiB or more wait to be sent: `await drained()`, or wait for `onDrain`, before sending more
   * @throws EPIPE, ECONNRESET: the peer is gone · ERR_INVALID_STATE after `end`
   */
  send(data: Uint8Array | string): boolean {
    const bytes = this.#checked(data, 'send')
    return bytes.byteLength === 0 || this.#sender.send(bytes)
  }

  /** What can't be lent to the kernel is refused here, before it would break the stream for the writes behind it. */
  #checked(data: Uint8Array | string, action: string): Uint8Array {
    const bytes = typeof data === 'string' ? Buffer.from(data) : data
    if (!(bytes instanceof Uint8Array)) {
      throw argumentTypeError('data', 'of type string or an instance of Buffer or Uint8Array', data)
    }
    this.#ring.engine.addresses.of(bytes)
    if (this.#sender.error !== null) throw this.#sender.error
    if (this.#finished) throw stateError(`Cannot ${action}: end() was called`)
    this.openFd('write')
    return bytes
  }

  #abort(error: Error): void {
    this.#sender.abandon(error)
    void this.destroy()
  }

  /**
   * Sends bytes of a file, in their place among what is written.
   *
   * Keep the file open until the promise settles. A file that is shorter than it was said to be ends early, and a read that fails
   * rejects with `bytesSent`; the stream goes on in both cases, so that the caller can say what it needs to.
   *
   * @param file an fd, a `File`, a FileHandle of Node's, or what the operations of a ring take
   * @param options.signal an abort before all is sent destroys the stream, as with `write`
   * @returns bytes sent; less than asked when the file ended
   * @throws EBADF, EIO … (the file) · EPIPE, ECONNRESET (the peer is gone) · AbortError · ERR_INVALID_STATE after `end`
   */
  async sendFile(file: SendFileSource, options: SendFileOptions = {}): Promise<number> {
    if (typeof options !== 'object' || options === null)
      throw argumentTypeError('options', 'of type object', options)
    if (this.#sender.error !== null) throw this.#sender.error
    if (this.#finished) throw stateError('Cannot send: end() was called')
    this.openFd('write')
    return abortable(
      options.signal,
      () => sendFile(this.#ring, this.#sender, this.#resource, file, options),
      (error) => this.#abort(error),
    )
  }

  /** Called when all is sent, once after each `send` that returned false. */
  set onDrain(callback: (() => void) | null) {
    if (callback !== null) checkFunction('onDrain', callback)
    this.#sender.onDrain = callback
  }

  /** Resolves when all that was written is with the kernel, or can't be sent any more. */
  drained(): Promise<void> {
    return this.#sender.drained()
  }

  // ---- ending

  /** Sends what is queued, then ends this side; the peer reads EOF. Reading goes on. */
  async end(data?: Uint8Array | string): Promise<void> {
    if (this.#finished) return
    const last = data === undefined ? undefined : this.write(data)
    this.#finished = true
    await last
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

  /** Closes at once with a reset: the peer gets ECONNRESET, and nothing lingers here (TCP). */
  reset(): Promise<void> {
    if (this.fd >= 0) setResetOnClose(this.#ring.ring.driver, this.fd)
    return this.destroy()
  }

  async #close(drained: Promise<void> | undefined): Promise<void> {
    this.#finished = true
    if (drained !== undefined) await drained
    const isFirst = this.#resource.fd >= 0
    this.#receiver.isClosing = true
    await this.#ring.closeFile(this.#resource)
    if (!isFirst) return
    if (this.#sender.pending > 0) this.#sender.abandon(socketError(-ECANCELED, 'write'))
    this.#receiver.end()
    if (this.#timeout > 0) unwatch(this, this.#timeout)
    if (this.#count !== null) this.#count.connections--
    this.#count = null
  }

  /** As `close`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
