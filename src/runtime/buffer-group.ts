// Buffers that the kernel picks from when data arrives, and the chunks it hands out.
// Flow: Uring.bufferGroup, operations-net → this → ring/buffer-ring.ts. man io_uring_provided_buffers(7)
// A buffer of an incremental group serves several chunks; it goes back when the kernel is done with it and all of them are
// released, in whatever order that happens.

import { BufferRing } from '../ring/buffer-ring.ts'
import { SQE } from '../ring/sqe.ts'
import {
  IORING_CQE_BUFFER_SHIFT,
  IORING_CQE_F_BUF_MORE,
  IORING_CQE_F_BUFFER,
  IOSQE_BUFFER_SELECT,
} from '../sys/abi.ts'
import { argumentTypeError, argumentValueError, stateError } from '../sys/error.ts'
import type { Engine } from './engine.ts'
import { heapBuffer } from './heap-buffer.ts'
import type { Held, Slot } from './slots.ts'

export interface BufferGroupOptions {
  /** How many buffers: a power of two up to 32768; default 256. */
  entries?: number | undefined
  /** Bytes of each; default 4096. */
  bufferBytes?: number | undefined
  /**
   * Fills each buffer to its end before the next is taken, with as many chunks as come: few large buffers instead of many small
   * ones, and a message of one byte does not use up a whole buffer. A buffer goes back when all its chunks are released, so do not
   * keep one for long. For streams: a datagram that meets the end of a buffer is cut there. @kernel 6.12
   */
  incremental?: boolean | undefined
  /** The kernel provides the memory of the ring itself. The buffers are ours as ever, and nothing else changes. @kernel 6.4 */
  mapped?: boolean | undefined
}

/** Received bytes in a buffer of the group; give it back with `release()`, or say `using`. */
export class Chunk {
  #group: BufferGroup | null
  readonly #bid: number
  #bytes: Buffer

  constructor(group: BufferGroup, bid: number, bytes: Buffer) {
    this.#group = group
    this.#bid = bid
    this.#bytes = bytes
  }

  /**
   * The bytes; they are the kernel's again after `release`.
   * @throws ERR_INVALID_STATE after `release`
   */
  get bytes(): Buffer {
    if (this.#group === null) throw stateError('Cannot read the chunk: it was released')
    return this.#bytes
  }

  /** Gives the buffer back to the kernel; doing it twice does nothing. */
  release(): void {
    const group = this.#group
    if (group === null) return
    this.#group = null
    group.give(this.#bid)
  }

  /** As `release`, for `using`. */
  [Symbol.dispose](): void {
    this.release()
  }
}

/** The ids of a ring's groups: 16-bit numbers. */
interface Ids {
  made: number
  free: number[]
}

const ids = new WeakMap<Engine, Ids>()
/** An id that no group has: the kernel finds no buffer there. */
const NO_GROUP = 0xffff

/**
 * Makes a group with an id that no other of the ring has.
 * @throws ERR_INVALID_STATE all are taken
 */
export function withGroupId<T>(engine: Engine, make: (id: number) => T): T {
  let known = ids.get(engine)
  if (known === undefined) {
    known = { made: 0, free: [] }
    ids.set(engine, known)
  }
  if (known.free.length === 0 && known.made === NO_GROUP)
    throw stateError(`Cannot make a buffer group: the ring has ${NO_GROUP} already; close some`)
  const id = known.free.pop() ?? known.made++
  try {
    return make(id)
  } catch (error) {
    known.free.push(id)
    throw error
  }
}

/** Makes an id free for the next group. */
export function freeGroupId(engine: Engine, id: number): void {
  ids.get(engine)?.free.push(id)
}

/**
 * Checks the group that an operation of a ring shall take its buffers from.
 * @throws ERR_INVALID_ARG_TYPE · ERR_INVALID_ARG_VALUE: another ring's · ERR_INVALID_STATE: it is closed
 */
export function checkGroup(engine: Engine, group: unknown): asserts group is BufferGroup {
  if (!(group instanceof BufferGroup)) throw argumentTypeError('group', 'an instance of BufferGroup', group)
  group.checkUse(engine)
}

export class BufferGroup implements Held {
  readonly id: number
  readonly #ring: BufferRing
  readonly #engine: Engine
  readonly #bytes: Buffer
  /** One view per buffer, made when it is first shown. */
  readonly #views: Buffer[] = []
  /** Chunks of each buffer that are lent; null unless the group is incremental. */
  readonly #parts: Uint32Array | null
  #waiters: (() => void)[] = []
  #lent = 0
  /** Operations in flight that take their buffers from it. */
  #users = 0
  #closed = false
  #isGone = false

  constructor(engine: Engine, options: BufferGroupOptions = {}) {
    this.#engine = engine
    const { entries = 256, bufferBytes = 4096, incremental, mapped } = options
    this.#ring = withGroupId(
      engine,
      (group) => new BufferRing(engine.ring, { entries, bufferBytes, group, incremental, mapped }),
    )
    this.id = this.#ring.group
    this.#parts = this.#ring.incremental ? new Uint32Array(entries) : null
    const { buffer, byteOffset, byteLength } = this.#ring.buffers
    this.#bytes = Buffer.from(buffer, byteOffset, byteLength)
  }

  /** How many buffers it has. */
  get entries(): number {
    return this.#ring.entries
  }

  /** Chunks that were not released yet. */
  get lent(): number {
    return this.#lent
  }

  /** Buffers that the kernel can fill: all of them, when no chunk is lent. */
  get available(): number {
    return this.#ring.available
  }

  /** Whether buffers are filled to their end by several chunks. */
  get incremental(): boolean {
    return this.#ring.incremental
  }

  /** See `checkGroup`. */
  checkUse(engine: Engine): void {
    if (this.#engine !== engine)
      throw argumentValueError('group', this, 'must be of the ring that it is used with')
    if (this.#closed) throw stateError('Cannot use the buffer group: it is closed')
  }

  /** Makes an operation take its buffer from this group. */
  select(slot: Slot): void {
    slot.sqeFlags |= IOSQE_BUFFER_SELECT
    slot.sqe.words[SQE.BUF_INDEX] = this.#closed ? NO_GROUP : this.id
    slot.other = this
    this.#users++
  }

  /** An operation that took its buffers from it has ended. */
  drop(): void {
    this.#users--
    this.#letGo()
  }

  /** A closed group's memory goes, and its id is free, when the last operation has ended that may know of it. */
  #letGo(): void {
    if (!this.#closed || this.#users > 0 || this.#isGone || this.#engine.closed) return
    this.#isGone = true
    this.#ring.letGo()
    freeGroupId(this.#engine, this.id)
  }

  /** The chunk of a CQE, or undefined when it brought none (end of stream). */
  take(length: number, flags: number): Chunk | undefined {
    if ((flags & IORING_CQE_F_BUFFER) === 0) return undefined
    const bid = flags >>> IORING_CQE_BUFFER_SHIFT
    if (length === 0) {
      // Nothing was used of an incremental buffer that stays where it is.
      if (this.#parts === null || (flags & IORING_CQE_F_BUF_MORE) === 0) {
        this.#claim(bid, 0, flags)
        this.give(bid)
      }
      return undefined
    }
    return this.#chunk(bid, this.#claim(bid, length, flags), length)
  }

  /** Takes a CQE's bytes from the kernel; each such part is given back with `give`. Returns where they start. */
  #claim(bid: number, length: number, flags: number): number {
    const parts = this.#parts
    const start = this.#ring.claim(bid, length, parts !== null && (flags & IORING_CQE_F_BUF_MORE) !== 0)
    if (parts !== null) parts[bid]!++
    this.#lent++
    return start
  }

  #chunk(bid: number, start: number, length: number): Chunk {
    const { buffer, byteOffset } = this.#bytes
    return new Chunk(this, bid, Buffer.from(buffer, byteOffset + start, length))
  }

  /** A copy of the bytes of a CQE, on the heap; the buffer goes back at once. */
  copy(length: number, flags: number): Buffer {
    const bytes = heapBuffer(length)
    this.copyInto(length, flags, bytes)
    return bytes
  }

  /** Copies the bytes of a CQE to the start of `target`; the buffer goes back at once. */
  copyInto(length: number, flags: number, target: Uint8Array): void {
    const bid = flags >>> IORING_CQE_BUFFER_SHIFT
    const start = this.#claim(bid, length, flags)
    this.#bytes.copy(target, 0, start, start + length)
    this.give(bid)
  }

  /** Shows the bytes of a CQE to `use`, where the kernel put them; the buffer goes back when `use` returns. */
  show(length: number, flags: number, use: (buffer: Buffer, length: number) => unknown): void {
    const bid = flags >>> IORING_CQE_BUFFER_SHIFT
    const start = this.#claim(bid, length, flags)
    try {
      if (this.#parts === null) {
        this.#views[bid] ??= this.#bytes.subarray(start, start + this.#ring.bufferBytes)
        use(this.#views[bid], length)
      } else use(this.#bytes.subarray(start, start + length), length)
    } finally {
      this.give(bid)
    }
  }

  /** The chunks of a bundle's CQE, in the order of their bytes; empty when it brought none (end of stream). */
  takeBundle(length: number, flags: number): Chunk[] {
    const chunks: Chunk[] = []
    if ((flags & IORING_CQE_F_BUFFER) === 0) return chunks
    if (length === 0) {
      this.take(0, flags)
      return chunks
    }
    let rest = length
    for (const bid of this.#ring.bundle(flags >>> IORING_CQE_BUFFER_SHIFT, length)) {
      const room = this.#ring.room(bid)
      const bytes = Math.min(rest, room)
      // The CQE's own F_BUF_MORE is of the last buffer, and a kernel that put two receives into one CQE may have lost it.
      const start = this.#claim(bid, bytes, bytes < room ? IORING_CQE_F_BUF_MORE : 0)
      chunks.push(this.#chunk(bid, start, bytes))
      rest -= bytes
    }
    return chunks
  }

  /** Gives one part of a buffer back; with its last, the kernel gets the buffer, and a request that ran out of them wakes. */
  give(bid: number): void {
    this.#lent--
    // A request that had its buffer already may have ended after `close`.
    if (this.#closed) return
    if (this.#parts !== null && (--this.#parts[bid]! > 0 || this.#ring.isKernels(bid))) return
    this.#ring.release(bid)
    if (this.#waiters.length > 0) for (const again of this.#waiters.splice(0)) again()
  }

  /**
   * Calls `again` when the kernel has a buffer: soon, if some came back between its running dry and our hearing of it. To wait
   * for the next release then could be for ever: whoever holds the others may be waiting for more data.
   */
  onRelease(again: () => void): void {
    if (this.#closed) throw stateError('Cannot wait for a buffer: the buffer group is closed')
    if (this.#ring.available > 0) queueMicrotask(again)
    else this.#waiters.push(again)
  }

  /**
   * Takes the group away from the kernel; no chunk may be lent. An iteration that still waits ends with ERR_INVALID_STATE when it finds
   * no buffer. The memory goes back when the kernel has let go.
   */
  close(): void {
    if (this.#closed) return
    if (this.#lent > 0)
      throw stateError(`Cannot close the buffer group: ${this.#lent} chunks are not released`)
    this.#closed = true
    if (this.#engine.closed) return
    this.#ring.close()
    this.#letGo()
  }
}
