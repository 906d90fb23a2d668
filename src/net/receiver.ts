// The receiving half of a stream: one multishot recv into the ring's shared buffers, one reader.
// Flow: socket-stream.ts → this → engine.ts, buffer-group.ts. man io_uring_prep_recv_multishot(3)
//
// Memory is bounded, and nobody can take the buffers from the others. What nobody waits for is copied out of them, up to
// HIGH_WATER, then receiving pauses. A connection that leases buffers may hold LEASES of them, and all together half; what comes
// beyond is a copy. So the kernel never runs dry for longer than one batch.

import { prepRecvMultishot } from '../op/prep-net.ts'
import type { BufferGroup } from '../runtime/buffer-group.ts'
import type { Resource } from '../runtime/resource.ts'
import type { Sink, Slot } from '../runtime/slots.ts'
import type { Uring } from '../runtime/uring.ts'
import { IORING_OP_RECV } from '../sys/abi.ts'
import { ECANCELED, ENOBUFS } from '../sys/errno.ts'
import { bufferDetachedError, ringClosedError, socketError, stateError, throwLater } from '../sys/error.ts'
import { type LeaseCount, StreamChunk } from './lease.ts'
import { receiveBuffers } from './receive-buffers.ts'

const HIGH_WATER = 65536
/** Buffers that one connection may lease. */
const LEASES = 8

/** Gets bytes where the kernel put them: the first `length` of `buffer`, and only until it returns. */
export type DataHandler = (buffer: Buffer, length: number) => void
/** Is told once that nothing more comes: null when the peer ended its side or the stream was closed. */
export type EndHandler = (error: Error | null) => void

/** Who waits for what comes next: with a buffer to fill, or for a lease. */
interface Reader {
  buffer: Uint8Array | null
  resolve: (value: never) => void
  reject: (error: Error) => void
}

/** The promise that is being made: one executor serves all. */
let resolveMade!: (value: never) => void
let rejectMade!: (error: Error) => void
const executor = (resolve: (value: never) => void, reject: (error: Error) => void): void => {
  resolveMade = resolve
  rejectMade = reject
}

export class Receiver implements Sink, LeaseCount {
  readonly #ring: Uring
  readonly #resource: Resource
  #group: BufferGroup | null = null
  #slot: Slot | null = null
  #generation = 0
  #reader: Reader | null = null
  #onData: DataHandler | null = null
  #onEnd: EndHandler | null = null
  /** Whether what is kept may stay in the kernel's buffers: somebody takes leases. */
  #leasing = false
  /** What came before anybody asked. */
  #kept: StreamChunk[] | null = null
  #keptBytes = 0
  #ended = false
  #error: Error | null = null
  #paused = false
  /** Buffers that are leased to whom this connection's bytes went. */
  leases = 0
  /** Bytes that came, read or not. */
  bytes = 0
  /** The descriptor is being closed, and `end` will come: who reads meanwhile waits for that. */
  isClosing = false
  /** Called once when the peer has ended its side. */
  onEof: (() => void) | null = null

  constructor(ring: Uring, resource: Resource) {
    this.#ring = ring
    this.#resource = resource
  }

  /** Whether nothing more will come: the peer ended its side, the stream was closed, or it failed. */
  get ended(): boolean {
    return this.#ended || this.#error !== null
  }

  /** See `SocketStream.read`; throws what makes reading impossible now. */
  read(buffer: Uint8Array): Promise<number> {
    this.#checkFree('read')
    if (this.#keptBytes > 0) return Promise.resolve(this.#takeKept(buffer))
    if (this.#error !== null) throw this.#error
    if (this.#ended || buffer.byteLength === 0) return Promise.resolve(0)
    if (this.#resource.fd < 0 && !this.isClosing) throw socketError(-9, 'read')
    return this.#wait<number>(buffer)
  }

  /**
   * The next bytes; null at the end. Throws what makes reading impossible now.
   * @param leasing leaves them where the kernel put them, while there may be one more lease; else they are a copy
   */
  next(leasing: boolean): Promise<StreamChunk | null> {
    this.#checkFree('read')
    this.#leasing = leasing
    const kept = this.#kept?.shift()
    if (kept !== undefined) {
      if (!leasing) kept.detach()
      this.#keptBytes -= kept.bytes.length
      this.#resume()
      return Promise.resolve(kept)
    }
    if (this.#error !== null) throw this.#error
    if (this.#ended) return Promise.resolve(null)
    if (this.#resource.fd < 0 && !this.isClosing) throw socketError(-9, 'read')
    return this.#wait<StreamChunk | null>(null)
  }

  /** What is kept from now on is copied out of the kernel's buffers. */
  stopLeasing(): void {
    this.#leasing = false
    for (const kept of this.#kept ?? []) kept.detach()
  }

  #checkFree(action: string): void {
    if (this.#reader !== null || this.#onData !== null) {
      throw stateError(
        `Cannot ${action}: another ${action === 'read' ? 'read' : 'reader'} of this stream is waiting`,
      )
    }
  }

  #wait<T>(buffer: Uint8Array | null): Promise<T> {
    const promise = new Promise<T>(
      executor as (resolve: (value: T) => void, reject: (error: Error) => void) => void,
    )
    this.#reader = { buffer, resolve: resolveMade, reject: rejectMade }
    if (this.#slot === null) this.#arm()
    return promise
  }

  /** Ends the wait of the reader, if there is one; what comes is kept for the next. */
  giveUp(error: Error): void {
    const reader = this.#reader
    if (reader === null) return
    this.#reader = null
    reader.reject(error)
  }

  /** See `SocketStream.receive`. */
  receive(onData: DataHandler, onEnd: EndHandler): void {
    this.#checkFree('receive')
    if (this.#error !== null && this.#keptBytes === 0) throw this.#error
    this.#onData = onData
    this.#onEnd = onEnd
    while (this.#keptBytes > 0 && this.#onData !== null) {
      const kept = this.#kept!.shift()!
      const { bytes } = kept
      this.#keptBytes -= bytes.length
      try {
        this.#onData(bytes, bytes.length)
      } finally {
        kept.release()
      }
    }
    if (this.#onData === null) return
    if (this.#error !== null) this.#tellEnd(this.#error)
    else if (this.#ended) this.#tellEnd(null)
    else if (this.#slot === null) this.#arm()
  }

  /** Ends what `receive` began: from here on bytes are kept for `read`. */
  stop(): void {
    this.#onData = null
    this.#onEnd = null
  }

  /** Copies bytes that came before anybody asked. */
  #takeKept(buffer: Uint8Array): number {
    const list = this.#kept!
    let filled = 0
    while (filled < buffer.byteLength && list.length > 0) {
      const first = list[0]!
      const { bytes } = first
      const part = bytes.subarray(0, buffer.byteLength - filled)
      buffer.set(part, filled)
      filled += part.length
      if (part.length === bytes.length) {
        list.shift()
        first.release()
      } else {
        first.detach()
        list[0] = new StreamChunk(first.bytes.subarray(part.length), null, this)
      }
    }
    this.#keptBytes -= filled
    this.#resume()
    return filled
  }

  /** The reader has caught up: receiving goes on. */
  #resume(): void {
    if (this.#paused && this.#keptBytes < HIGH_WATER / 2) this.#arm()
  }

  #arm(): void {
    if (this.#slot !== null || this.#ended || this.#error !== null || this.#resource.fd < 0) return
    const { engine } = this.#ring
    let slot: Slot | null
    try {
      this.#group ??= receiveBuffers(this.#ring)
      slot = engine.begin(IORING_OP_RECV, undefined, true)
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
    if (res > 0) this.#deliverSafely(res, flags)
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

  /** A callback that throws must not keep the request from being armed again. */
  #deliverSafely(length: number, flags: number): void {
    try {
      this.#deliver(length, flags)
    } catch (error) {
      throwLater(error)
    }
  }

  #deliver(length: number, flags: number): void {
    this.bytes += length
    if (this.#onData !== null) {
      this.#group!.show(length, flags, this.#onData)
      return
    }
    const reader = this.#reader
    if (reader === null) {
      this.#keep(this.#chunk(length, flags))
      return
    }
    this.#reader = null
    if (reader.buffer === null) reader.resolve(this.#chunk(length, flags) as never)
    else this.#fill(reader, reader.buffer, length, flags)
  }

  /** The bytes of a CQE: in their buffer while this connection may hold one more, else as a copy. */
  #chunk(length: number, flags: number): StreamChunk {
    const group = this.#group!
    if (this.#leasing && this.leases < LEASES && group.lent < group.entries / 2) {
      const chunk = group.take(length, flags)!
      return new StreamChunk(chunk.bytes, chunk, this)
    }
    return new StreamChunk(group.copy(length, flags), null, this)
  }

  #fill(reader: Reader, buffer: Uint8Array, length: number, flags: number): void {
    const group = this.#group!
    if (buffer.byteLength >= length) {
      group.copyInto(length, flags, buffer)
      reader.resolve(length as never)
      return
    }
    const bytes = group.copy(length, flags)
    if (buffer.byteLength === 0) {
      this.#keep(new StreamChunk(bytes, null, this))
      reader.reject(bufferDetachedError())
      return
    }
    buffer.set(bytes.subarray(0, buffer.byteLength))
    this.#keep(new StreamChunk(bytes.subarray(buffer.byteLength), null, this))
    reader.resolve(buffer.byteLength as never)
  }

  #keep(chunk: StreamChunk): void {
    this.#kept ??= []
    this.#kept.push(chunk)
    this.#keptBytes += chunk.bytes.length
    if (this.#keptBytes < HIGH_WATER || this.#paused || this.#slot === null) return
    this.#paused = true
    this.#ring.engine.cancels.slot(this.#slot, this.#generation)
  }

  /** The peer ended its side; its last CQE may still have taken a buffer. */
  #endOf(flags: number): void {
    this.#group?.take(0, flags)
    if (this.#ended || this.#error !== null) return
    this.end()
    const onEof = this.onEof
    this.onEof = null
    onEof?.()
  }

  /** Nothing more will come: a reader that waits gets 0, or null instead of a lease. */
  end(): void {
    if (this.#ended || this.#error !== null) return
    this.#ended = true
    this.stopLeasing()
    this.#tellEnd(null)
    const reader = this.#reader
    this.#reader = null
    reader?.resolve((reader.buffer === null ? null : 0) as never)
  }

  #tellEnd(error: Error | null): void {
    const onEnd = this.#onEnd
    this.stop()
    onEnd?.(error)
  }

  #fail(error: Error): void {
    if (this.#ended || this.#error !== null) return
    this.#error = error
    this.stopLeasing()
    this.#tellEnd(error)
    this.giveUp(error)
  }

  /** Ends the receiving with an error that is not the socket's own. */
  abandon(error: Error): void {
    this.#fail(error)
  }
}
