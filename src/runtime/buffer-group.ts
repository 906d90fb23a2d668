// Buffers that the kernel picks from when data arrives, and the chunks it hands out.
// Flow: Uring.bufferGroup, operations-net → this → ring/buffer-ring.ts. man io_uring_provided_buffers(7)

import { BufferRing } from '../ring/buffer-ring.ts'
import { SQE } from '../ring/sqe.ts'
import { IORING_CQE_BUFFER_SHIFT, IORING_CQE_F_BUFFER, IOSQE_BUFFER_SELECT } from '../sys/abi.ts'
import { stateError } from '../sys/error.ts'
import type { Engine } from './engine.ts'
import type { Slot } from './slots.ts'

export interface BufferGroupOptions {
  /** How many buffers: a power of two up to 32768; default 256. */
  entries?: number | undefined
  /** Bytes of each; default 4096. */
  bufferBytes?: number | undefined
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

/** Counts groups of a ring: a group's id is a 16-bit number. */
const groupsMade = new WeakMap<Engine, number>()

/** An id that no group of the ring has. */
export function nextGroupId(engine: Engine): number {
  const id = groupsMade.get(engine) ?? 0
  groupsMade.set(engine, id + 1)
  return id
}

export class BufferGroup {
  readonly id: number
  readonly #ring: BufferRing
  readonly #engine: Engine
  readonly #bytes: Buffer
  /** One view per buffer, made when it is first shown. */
  readonly #views: Buffer[] = []
  #waiters: (() => void)[] = []
  #lent = 0

  constructor(engine: Engine, options: BufferGroupOptions = {}) {
    this.#engine = engine
    this.id = nextGroupId(engine)
    const { entries = 256, bufferBytes = 4096 } = options
    this.#ring = new BufferRing(engine.ring, { entries, bufferBytes, group: this.id })
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

  /** Makes an operation take its buffer from this group. */
  select(slot: Slot): void {
    slot.sqeFlags |= IOSQE_BUFFER_SELECT
    slot.sqe.words[SQE.BUF_INDEX] = this.id
  }

  /** The chunk of a CQE, or undefined when it brought none (end of stream). */
  take(length: number, flags: number): Chunk | undefined {
    if ((flags & IORING_CQE_F_BUFFER) === 0) return undefined
    const bid = flags >>> IORING_CQE_BUFFER_SHIFT
    if (length === 0) {
      this.#ring.take(bid, 0)
      this.#ring.release(bid)
      return undefined
    }
    this.#lent++
    const bytes = this.#ring.take(bid, length)
    return new Chunk(this, bid, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))
  }

  /** A copy of the bytes of a CQE, on the heap; the buffer goes back at once. */
  copy(length: number, flags: number): Buffer {
    const bytes = Buffer.allocUnsafe(length)
    this.copyInto(length, flags, bytes)
    return bytes
  }

  /** Copies the bytes of a CQE to the start of `target`; the buffer goes back at once. */
  copyInto(length: number, flags: number, target: Uint8Array): void {
    const bid = flags >>> IORING_CQE_BUFFER_SHIFT
    const start = this.#ring.claim(bid, length)
    this.#bytes.copy(target, 0, start, start + length)
    this.#lent++
    this.give(bid)
  }

  /** Shows the bytes of a CQE to `use`, where the kernel put them; the buffer goes back when `use` returns. */
  show(length: number, flags: number, use: (buffer: Buffer, length: number) => unknown): void {
    const bid = flags >>> IORING_CQE_BUFFER_SHIFT
    const start = this.#ring.claim(bid, length)
    this.#lent++
    try {
      this.#views[bid] ??= this.#bytes.subarray(start, start + this.#ring.bufferBytes)
      use(this.#views[bid], length)
    } finally {
      this.give(bid)
    }
  }

  /** The chunks of a bundle's CQE, in the order of their bytes; empty when it brought none (end of stream). */
  takeBundle(length: number, flags: number): Chunk[] {
    if ((flags & IORING_CQE_F_BUFFER) === 0) return []
    const bids = this.#ring.bundle(flags >>> IORING_CQE_BUFFER_SHIFT, length)
    const chunks: Chunk[] = []
    for (const [i, bid] of bids.entries()) {
      const bytes = Math.min(length - i * this.#ring.bufferBytes, this.#ring.bufferBytes)
      const chunk = this.take(bytes, IORING_CQE_F_BUFFER | (bid << IORING_CQE_BUFFER_SHIFT))
      if (chunk !== undefined) chunks.push(chunk)
    }
    return chunks
  }

  /** Gives a buffer back to the kernel, and wakes a request that ran out of them. */
  give(bid: number): void {
    this.#lent--
    this.#ring.release(bid)
    if (this.#waiters.length > 0) for (const again of this.#waiters.splice(0)) again()
  }

  /**
   * Calls `again` when the kernel has a buffer: soon, if some came back between its running dry and our hearing of it. To wait
   * for the next release then could be for ever: whoever holds the others may be waiting for more data.
   */
  onRelease(again: () => void): void {
    if (this.#ring.available > 0) queueMicrotask(again)
    else this.#waiters.push(again)
  }

  /** Takes the group away from the kernel; no operation may use it and no chunk be lent. */
  close(): void {
    if (this.#lent > 0)
      throw stateError(`Cannot close the buffer group: ${this.#lent} chunks are not released`)
    if (!this.#engine.closed) this.#ring.close()
  }
}
