// The receiving half of a stream: one multishot recv into the ring's shared buffers, one reader.
// Flow: tcp-stream.ts → this → engine.ts, buffer-group.ts. man io_uring_prep_recv_multishot(3)
// Memory is bounded: what nobody waits for is copied out of the shared buffers, up to HIGH_WATER, then receiving pauses.

import { prepRecvMultishot } from '../op/prep-net.ts'
import type { BufferGroup } from '../runtime/buffer-group.ts'
import type { Resource } from '../runtime/resource.ts'
import type { Sink, Slot } from '../runtime/slots.ts'
import type { Uring } from '../runtime/uring.ts'
import { IORING_OP_RECV } from '../sys/abi.ts'
import { ECANCELED, ENOBUFS } from '../sys/errno.ts'
import { bufferDetachedError, ringClosedError, socketError, stateError } from '../sys/error.ts'
import { receiveBuffers } from './receive-buffers.ts'

const HIGH_WATER = 65536

/** Gets bytes where the kernel put them: the first `length` of `buffer`, and only until it returns. */
export type DataHandler = (buffer: Buffer, length: number) => void
/** Is told once that nothing more comes: null when the peer ended its side or the stream was closed. */
export type EndHandler = (error: Error | null) => void

export class Receiver implements Sink {
  readonly #ring: Uring
  readonly #resource: Resource
  #group: BufferGroup | null = null
  #slot: Slot | null = null
  #generation = 0
  /** The one reader: its buffer, and how its promise settles. */
  #buffer: Uint8Array | null = null
  #resolve!: (bytes: number) => void
  #reject!: (error: Error) => void
  readonly #setReader = (resolve: (bytes: number) => void, reject: (error: Error) => void): void => {
    this.#resolve = resolve
    this.#reject = reject
  }
  #onData: DataHandler | null = null
  #onEnd: EndHandler | null = null
  #kept: Buffer[] = []
  #keptBytes = 0
  #ended = false
  #error: Error | null = null
  #paused = false
  /** Bytes that came, read or not. */
  bytes = 0

  constructor(ring: Uring, resource: Resource) {
    this.#ring = ring
    this.#resource = resource
  }

  /** See `TcpStream.read`; throws what makes reading impossible now. */
  read(buffer: Uint8Array): Promise<number> {
    if (this.#buffer !== null || this.#onData !== null) {
      throw stateError('Cannot read: another read of this stream is waiting')
    }
    if (this.#keptBytes > 0) return Promise.resolve(this.#takeKept(buffer))
    if (this.#error !== null) throw this.#error
    if (this.#ended || buffer.byteLength === 0) return Promise.resolve(0)
    if (this.#resource.fd < 0) throw socketError(-9, 'read')
    this.#buffer = buffer
    const promise = new Promise<number>(this.#setReader)
    if (this.#slot === null) this.#arm()
    return promise
  }

  /** See `TcpStream.receive`. */
  receive(onData: DataHandler, onEnd: EndHandler): void {
    if (this.#buffer !== null || this.#onData !== null) {
      throw stateError('Cannot receive: another reader of this stream is waiting')
    }
    if (this.#error !== null) throw this.#error
    this.#onData = onData
    this.#onEnd = onEnd
    for (const bytes of this.#kept.splice(0)) {
      this.#keptBytes -= bytes.length
      onData(bytes, bytes.length)
    }
    if (this.#ended) this.#tellEnd(null)
    else if (this.#slot === null) this.#arm()
  }

  /** Ends what `receive` began: from here on bytes are kept for `read`. */
  stop(): void {
    this.#onData = null
    this.#onEnd = null
  }

  /** Copies bytes that came before anybody asked. */
  #takeKept(buffer: Uint8Array): number {
    let filled = 0
    while (filled < buffer.byteLength && this.#kept.length > 0) {
      const first = this.#kept[0]!
      const part = first.subarray(0, buffer.byteLength - filled)
      buffer.set(part, filled)
      filled += part.length
      if (part.length === first.length) this.#kept.shift()
      else this.#kept[0] = first.subarray(part.length)
    }
    this.#keptBytes -= filled
    if (this.#paused && this.#keptBytes < HIGH_WATER / 2) this.#arm()
    return filled
  }

  #arm(): void {
    if (this.#slot !== null || this.#ended || this.#error !== null || this.#resource.fd < 0) return
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
    prepRecvMultishot(slot.sqe, this.#resource.hold(), 0, 0, 0)
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
    else if (res === 0) this.#endOf(flags)
    else if (res === -ENOBUFS) this.#group?.onRelease(() => this.#arm())
    else if (res !== -ECANCELED) this.#fail(socketError(res, 'read'))
    else if (this.#ring.closed) this.#fail(ringClosedError())
    else if (this.#resource.fd < 0) this.end()
    // A pause that comes through when the reader has caught up already (ECANCELED) goes on at once: nobody else would.
    if (!final || (res <= 0 && res !== -ECANCELED)) return
    if (this.#keptBytes < HIGH_WATER) this.#arm()
    else this.#paused = true
  }

  #deliver(length: number, flags: number): void {
    this.bytes += length
    const buffer = this.#buffer
    const group = this.#group!
    if (this.#onData !== null) {
      group.show(length, flags, this.#onData)
      return
    }
    if (buffer === null) {
      this.#keep(group.copy(length, flags))
      return
    }
    this.#buffer = null
    if (buffer.byteLength >= length) {
      group.copyInto(length, flags, buffer)
      this.#resolve(length)
      return
    }
    const bytes = group.copy(length, flags)
    if (buffer.byteLength === 0) {
      this.#keep(bytes)
      this.#reject(bufferDetachedError())
      return
    }
    buffer.set(bytes.subarray(0, buffer.byteLength))
    this.#keep(bytes.subarray(buffer.byteLength))
    this.#resolve(buffer.byteLength)
  }

  #keep(bytes: Buffer): void {
    this.#kept.push(bytes)
    this.#keptBytes += bytes.length
    if (this.#keptBytes < HIGH_WATER || this.#paused || this.#slot === null) return
    this.#paused = true
    this.#ring.engine.cancels.slot(this.#slot, this.#generation)
  }

  /** The peer ended its side; its last CQE may still have taken a buffer. */
  #endOf(flags: number): void {
    this.#group?.take(0, flags)
    this.end()
  }

  /** Nothing more will come: a reader that waits gets 0. */
  end(): void {
    if (this.#ended || this.#error !== null) return
    this.#ended = true
    this.#tellEnd(null)
    if (this.#buffer === null) return
    this.#buffer = null
    this.#resolve(0)
  }

  #tellEnd(error: Error | null): void {
    const onEnd = this.#onEnd
    this.stop()
    onEnd?.(error)
  }

  #fail(error: Error): void {
    this.#error = error
    this.#tellEnd(error)
    if (this.#buffer === null) return
    this.#buffer = null
    this.#reject(error)
  }
}
