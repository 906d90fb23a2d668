// The completion queue: reads CQEs, and gives their slots back to the kernel.
// Flow: ring.ts (peekCqe, forEachCqe, copyCqes) → this → memory shared with the kernel.
// man io_uring_setup(2), io_uring_peek_cqe(3), io_uring_cq_advance(3)
//
// Three kinds of rings: 16-byte CQEs; 32-byte CQEs (CQE32); both on one ring (CQE_MIXED), where IORING_CQE_F_32 marks one
// that takes two slots and IORING_CQE_F_SKIP marks padding at the end of the ring, which nobody is shown.
// Slots whose CQE did not end an operation are counted in CTL.MORE_SEEN: see `inKernel` in sys/driver.ts.

import * as abi from '../sys/abi.ts'
import { CTL } from '../sys/driver.ts'
import { invalidArgument, ringFeatureError } from '../sys/error.ts'
import { loadAcquire, storeRelease } from '../sys/memory.ts'

/** Where the queue lies; offsets in bytes. */
export interface CompletionQueueLayout {
  ring: ArrayBufferLike
  cqEntries: number
  cqeBytes: 16 | 32
  cqHead: number
  cqTail: number
  cqOverflow: number
  /** 0 when the kernel has no CQ flags word. */
  cqFlags: number
  cqes: number
  mixed: boolean
}

/**
 * Is called once per CQE.
 * @param userData the low 32 bits of user_data, unsigned
 * @param userDataHigh its high 32 bits, unsigned
 * @param res the result: ≥ 0 or -errno, with few exceptions (MSG_RING, zero-copy notifications)
 * @param flags IORING_CQE_F_* and the buffer id
 * @param index the CQE's place in this batch; `ring.bigCqe(index)` finds its 16 extra bytes
 */
export type CqeCallback = (
  userData: number,
  userDataHigh: number,
  res: number,
  flags: number,
  index: number,
) => void

/** One completion, copied out of the ring; the same object may be filled again and again. */
export class Cqe {
  userDataLow = 0
  userDataHigh = 0
  res = 0
  flags = 0
  /** The 16 extra bytes of a 32-byte CQE, as words; zero for others. */
  readonly big: Int32Array = new Int32Array(4)
  /** Slots it takes in the ring: 2 for a 32-byte CQE on a CQE_MIXED ring. */
  slots = 1

  /** user_data as a number; exact below 2^53. */
  get userData(): number {
    return this.userDataHigh * 4294967296 + this.userDataLow
  }

  /** user_data, exact. */
  get userData64(): bigint {
    return (BigInt(this.userDataHigh) << 32n) | BigInt(this.userDataLow)
  }

  /** More CQEs of this request will follow. */
  get more(): boolean {
    return (this.flags & abi.IORING_CQE_F_MORE) !== 0
  }

  /** The provided buffer that the kernel chose, or -1. */
  get bufferId(): number {
    return this.flags & abi.IORING_CQE_F_BUFFER ? this.flags >>> abi.IORING_CQE_BUFFER_SHIFT : -1
  }
}

/** From this many CQEs on, copying them as a block is quicker than word by word. */
const BLOCK_COPY = 32

/** CQEs that one collect takes at most. */
const BATCH_MAX = 4096

export class CompletionQueue {
  #ring!: Int32Array
  readonly #control: Int32Array
  #head = 0
  #tail = 0
  #overflow = 0
  #flags = 0
  #cqes = 0
  #entries = 0
  #mask = 0
  #shift = 2
  #mixed = false
  #wide = false
  #scratch: Int32Array | undefined
  #scratchBusy = false

  constructor(layout: CompletionQueueLayout, control: Int32Array) {
    this.#control = control
    this.relayout(layout)
  }

  /** Takes over memory whose pointers changed (REGISTER_RESIZE_RINGS). */
  relayout(layout: CompletionQueueLayout): void {
    this.#ring = new Int32Array(layout.ring)
    this.#head = layout.cqHead / 4
    this.#tail = layout.cqTail / 4
    this.#overflow = layout.cqOverflow / 4
    this.#flags = layout.cqFlags / 4
    this.#cqes = layout.cqes / 4
    this.#entries = layout.cqEntries
    this.#mask = layout.cqEntries - 1
    this.#wide = layout.cqeBytes === 32
    this.#shift = this.#wide ? 3 : 2
    this.#mixed = layout.mixed
    this.#scratch = undefined
  }

  /** Forgets the memory: the pages behind it read zero from now on. */
  retire(): void {
    this.#entries = 0
  }

  get entries(): number {
    return this.#entries
  }

  /** Words of one record that `collect` writes: 4, or 8 where CQEs may have 32 bytes. */
  get recordWords(): 4 | 8 {
    return this.#wide || this.#mixed ? 8 : 4
  }

  /** Slots that hold CQEs to be read. */
  get ready(): number {
    return (loadAcquire(this.#ring, this.#tail) - loadAcquire(this.#ring, this.#head)) >>> 0
  }

  /** CQEs that were lost, ever; only kernels without IORING_FEAT_NODROP lose some. */
  get overflow(): number {
    return loadAcquire(this.#ring, this.#overflow) >>> 0
  }

  /** Operations that CQEs still in the queue end. */
  get endsReady(): number {
    const tail = loadAcquire(this.#ring, this.#tail)
    let ends = 0
    for (let head = loadAcquire(this.#ring, this.#head); head !== tail; ) {
      const flags = this.#flagsAt(head)
      if (!(flags & (abi.IORING_CQE_F_MORE | abi.IORING_CQE_F_SKIP))) ends++
      head = (head + this.#slotsOf(flags)) | 0
    }
    return ends
  }

  #flagsAt(head: number): number {
    return this.#ring[this.#cqes + ((head & this.#mask) << this.#shift) + 3]!
  }

  #slotsOf(flags: number): number {
    return this.#mixed && flags & abi.IORING_CQE_F_32 ? 2 : 1
  }

  /**
   * Copies CQEs out and gives their slots back with one store of the head. Padding is left out.
   * @param target records of `recordWords` words: user_data low, high, res, flags (and 4 words of a big CQE)
   * @param room records that fit
   * @param until the tail to stop at, or undefined for all that are there
   * @returns records written
   */
  collect(target: Int32Array, room: number, until?: number): number {
    if (!this.#mixed && !this.#wide) return this.#collectPlain(target, room, until)
    const ring = this.#ring
    const cqes = this.#cqes
    const mask = this.#mask
    const shift = this.#shift
    const bigRecords = this.#wide || this.#mixed
    // Acquire: pairs with the kernel's release of the tail, so the CQEs below it are whole.
    const tail = until ?? loadAcquire(ring, this.#tail)
    const start = loadAcquire(ring, this.#head)
    let head = start
    let count = 0
    let ends = 0
    let at = 0
    while (head !== tail && count < room) {
      const from = cqes + ((head & mask) << shift)
      const flags = ring[from + 3]!
      let slots = 1
      if (!this.#mixed || !(flags & abi.IORING_CQE_F_SKIP)) {
        target[at] = ring[from]!
        target[at + 1] = ring[from + 1]!
        target[at + 2] = ring[from + 2]!
        target[at + 3] = flags
        at += 4
        if (bigRecords) {
          const big = this.#wide || (flags & abi.IORING_CQE_F_32) !== 0
          if (big && !this.#wide) slots = 2
          for (let word = 4; word < 8; word++) target[at++] = big ? ring[from + word]! : 0
        }
        count++
        if (!(flags & abi.IORING_CQE_F_MORE)) ends++
      }
      head = (head + slots) | 0
    }
    if (head !== start) this.#giveBack(head, ((head - start) >>> 0) - ends)
    return count
  }

  /** `collect` for rings whose CQEs all have 16 bytes: they are copied as they lie, in one piece or two. */
  #collectPlain(target: Int32Array, room: number, until?: number): number {
    const ring = this.#ring
    const cqes = this.#cqes
    const mask = this.#mask
    // Acquire: pairs with the kernel's release of the tail, so the CQEs below it are whole.
    const tail = until ?? loadAcquire(ring, this.#tail)
    const start = loadAcquire(ring, this.#head)
    const count = Math.min((tail - start) >>> 0, room)
    if (count === 0) return 0
    const first = start & mask
    const before = Math.min(count, this.#entries - first)
    let more = this.#take(cqes + first * 4, before, target, 0)
    if (before < count) more += this.#take(cqes, count - before, target, before * 4)
    this.#giveBack((start + count) | 0, more)
    return count
  }

  /** Copies CQEs that lie one behind the other; returns how many of them do not end their operation. */
  #take(from: number, count: number, target: Int32Array, at: number): number {
    const ring = this.#ring
    const end = from + count * 4
    let more = 0
    if (count >= BLOCK_COPY) {
      target.set(ring.subarray(from, end), at)
      for (let word = from + 3; word < end; word += 4) more += ring[word]! & abi.IORING_CQE_F_MORE
    } else {
      for (let to = at; from < end; from += 4, to += 4) {
        target[to] = ring[from]!
        target[to + 1] = ring[from + 1]!
        target[to + 2] = ring[from + 2]!
        const flags = ring[from + 3]!
        target[to + 3] = flags
        more += flags & abi.IORING_CQE_F_MORE
      }
    }
    return more / abi.IORING_CQE_F_MORE
  }

  /** Release: pairs with the kernel's load of the head before it writes into freed slots. */
  #giveBack(head: number, withoutEnd: number): void {
    if (withoutEnd !== 0) this.#control[CTL.MORE_SEEN]! += withoutEnd
    storeRelease(this.#ring, this.#head, head)
  }

  /**
   * Calls back for every CQE that is there now. All are copied out and their slots given back before the first call,
   * so the callback may submit, throw, or close the ring; those that come meanwhile wait for the next call.
   * When a callback throws, the others still run; then the error is thrown (an AggregateError if there were several).
   * @returns CQEs seen
   */
  forEach(callback: CqeCallback): number {
    const tail = loadAcquire(this.#ring, this.#tail)
    if (tail === loadAcquire(this.#ring, this.#head)) return 0
    // A callback that comes here again gets a scratch of its own.
    const nested = this.#scratchBusy
    const words = this.recordWords
    const room = Math.min(this.#entries, BATCH_MAX)
    const scratch = nested || this.#scratch === undefined ? new Int32Array(room * words) : this.#scratch
    if (!nested) {
      this.#scratch = scratch
      this.#scratchBusy = true
    }
    let errors: unknown[] | undefined
    let seen = 0
    try {
      for (;;) {
        const count = this.collect(scratch, room, tail)
        seen += count
        this.#latest = scratch
        for (let index = 0, at = 0; index < count; index++, at += words) {
          try {
            callback(scratch[at]! >>> 0, scratch[at + 1]! >>> 0, scratch[at + 2]!, scratch[at + 3]!, index)
          } catch (error) {
            errors ??= []
            errors.push(error)
          }
        }
        // A callback may have read on by itself, or closed the ring: go on only while the head is short of the tail.
        const left = (tail - loadAcquire(this.#ring, this.#head)) >>> 0
        if (left === 0 || left > this.#entries || count === 0) break
      }
    } finally {
      if (!nested) this.#scratchBusy = false
    }
    if (errors !== undefined) {
      throw errors.length === 1
        ? errors[0]
        : new AggregateError(errors, `${errors.length} completion callbacks threw`)
    }
    return seen
  }

  #latest: Int32Array | undefined

  /** The 4 extra words of a 32-byte CQE, during the callback of `forEach` that was given this index. */
  bigOf(index: number): Int32Array {
    const words = this.recordWords
    if (words === 4 || this.#latest === undefined) {
      throw invalidArgument(
        'Cannot read a big CQE: the ring has 16-byte CQEs; set it up with cqe32 or cqeMixed',
      )
    }
    return this.#latest.subarray(index * words + 4, index * words + 8)
  }

  /** Fills `cqe` with the next completion and leaves it in the queue, or returns false. */
  peek(cqe: Cqe): boolean {
    const ring = this.#ring
    for (;;) {
      const head = loadAcquire(ring, this.#head)
      if (head === loadAcquire(ring, this.#tail)) return false
      const from = this.#cqes + ((head & this.#mask) << this.#shift)
      const flags = ring[from + 3]!
      if (this.#mixed && flags & abi.IORING_CQE_F_SKIP) {
        this.#giveBack((head + 1) | 0, 1)
        continue
      }
      cqe.userDataLow = ring[from]! >>> 0
      cqe.userDataHigh = ring[from + 1]! >>> 0
      cqe.res = ring[from + 2]!
      cqe.flags = flags
      cqe.slots = this.#slotsOf(flags)
      const big = this.#wide || cqe.slots === 2
      for (let word = 0; word < 4; word++) cqe.big[word] = big ? ring[from + 4 + word]! : 0
      return true
    }
  }

  /** Gives `slots` slots back; the CQEs in them count as seen. Never more than are ready. */
  advance(slots: number): void {
    let head = loadAcquire(this.#ring, this.#head)
    const end = (head + Math.min(slots, this.ready)) | 0
    let withoutEnd = (end - head) >>> 0
    while (head !== end && ((end - head) | 0) > 0) {
      const flags = this.#flagsAt(head)
      if (!(flags & abi.IORING_CQE_F_MORE) && !(this.#mixed && flags & abi.IORING_CQE_F_SKIP)) withoutEnd--
      head = (head + this.#slotsOf(flags)) | 0
    }
    this.#giveBack(end, withoutEnd)
  }

  /** Whether completions signal the registered eventfd. */
  get eventfdEnabled(): boolean {
    return this.#flags === 0 || !(loadAcquire(this.#ring, this.#flags) & abi.IORING_CQ_EVENTFD_DISABLED)
  }

  /**
   * Mutes the registered eventfd, or lets it speak again.
   * @throws ERR_RING_FEATURE the kernel has no CQ flags word (5.8)
   */
  toggleEventfd(enabled: boolean): void {
    if (this.#flags === 0) {
      if (enabled) return
      throw ringFeatureError('IORING_CQ_EVENTFD_DISABLED', '5.8')
    }
    const flags = loadAcquire(this.#ring, this.#flags)
    const bit = abi.IORING_CQ_EVENTFD_DISABLED
    storeRelease(this.#ring, this.#flags, enabled ? flags & ~bit : flags | bit)
  }
}
