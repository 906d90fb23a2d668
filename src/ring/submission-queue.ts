// The submission queue: hands out SQEs, publishes the tail.
// Flow: ring.ts (getSqe, submit) → this → memory shared with the kernel.
// man io_uring_setup(2), io_uring_enter(2), io_uring_get_sqe(3)
//
// Three counters, each wrapping at 2^32: head is the kernel's (what it took), tail is ours (what it may take), and
// CTL.SQ_TAIL counts what was claimed. The last lives in the control block because the native loop claims SQEs too.

import * as abi from '../sys/abi.ts'
import { CTL } from '../sys/driver.ts'
import { loadAcquire, storeRelease } from '../sys/memory.ts'
import { SQE, Sqe } from './sqe.ts'

/** Where the queue lies; offsets in bytes. */
export interface SubmissionQueueLayout {
  ring: ArrayBufferLike
  sqes: ArrayBufferLike
  /** Where in `sqes` the first one lies. */
  sqesOffset: number
  sqEntries: number
  sqeBytes: 64 | 128
  sqHead: number
  sqTail: number
  sqFlags: number
  sqDropped: number
  /** 0 on rings without an index array. */
  sqArray: number
  /** SQE_MIXED: a 128-byte SQE takes two slots. */
  mixed: boolean
}

export class SubmissionQueue {
  #ring!: Int32Array
  readonly #control: Int32Array
  #sqes!: Sqe[]
  #wide: Sqe[] | undefined
  #layout!: SubmissionQueueLayout
  #head = 0
  #tail = 0
  #flags = 0
  #dropped = 0
  #entries = 0
  #mask = 0
  /** Claims up to here find room and a zeroed entry (the kernel hands out zeroed memory): a head of the kernel's that we saw, plus the entries. */
  #limit = 0
  #bytes!: Int32Array
  #retired = false

  constructor(layout: SubmissionQueueLayout, control: Int32Array) {
    this.#control = control
    this.relayout(layout)
    control[CTL.SQ_TAIL] = loadAcquire(this.#ring, this.#tail)
  }

  /** Takes over memory whose pointers changed (REGISTER_RESIZE_RINGS); SQEs of before point nowhere. */
  relayout(layout: SubmissionQueueLayout): void {
    const { sqes, sqesOffset, sqEntries, sqeBytes } = layout
    this.#layout = layout
    this.#ring = new Int32Array(layout.ring)
    this.#head = layout.sqHead / 4
    this.#tail = layout.sqTail / 4
    this.#flags = layout.sqFlags / 4
    this.#dropped = layout.sqDropped / 4
    this.#retired = false
    this.#entries = sqEntries
    this.#mask = sqEntries - 1
    this.#bytes = new Int32Array(sqes, sqesOffset, (sqEntries * sqeBytes) / 4)
    this.#limit = (loadAcquire(this.#ring, this.#head) + sqEntries) | 0
    this.#wide = undefined
    this.#sqes = Array.from(
      { length: sqEntries },
      (_, index) => new Sqe(sqes, sqesOffset + index * sqeBytes, sqeBytes),
    )
    if (layout.sqArray !== 0) {
      // We use SQEs in ring order, so the index array is written once and never again.
      const array = layout.sqArray / 4
      for (let index = 0; index < sqEntries; index++) this.#ring[array + index] = index
    }
  }

  get entries(): number {
    return this.#entries
  }

  get mask(): number {
    return this.#mask
  }

  /** Claims the next SQE, cleared, or returns null when all are taken: then submit first. */
  claim(): Sqe | null {
    const control = this.#control
    const tail = control[CTL.SQ_TAIL]!
    if (((this.#limit - tail) | 0) <= 0 && !this.#hasSpace(tail, 1)) return null
    control[CTL.SQ_TAIL] = tail + 1
    return this.#sqes[tail & this.#mask]!
  }

  /**
   * Looks at the kernel's head and zeroes the entries it has consumed since, all at once: several times cheaper than each
   * when it is claimed. The acquire keeps our writes into an entry behind the SQPOLL thread's reads of it.
   */
  #hasSpace(tail: number, slots: number): boolean {
    if (this.#retired) return false
    const limit = (loadAcquire(this.#ring, this.#head) + this.#entries) | 0
    // The native loop claims entries too, beyond what we saw: those are its own.
    const from = ((tail - this.#limit) | 0) > 0 ? tail : this.#limit
    this.#zero(from, limit)
    this.#limit = limit
    return ((limit - tail) | 0) >= slots
  }

  /** Zeroes the entries from `from` to before `to`, which may wrap. */
  #zero(from: number, to: number): void {
    const count = (to - from) | 0
    if (count <= 0) return
    const words = this.#bytes.length / this.#entries
    const first = from & this.#mask
    const end = first + count
    this.#bytes.fill(0, first * words, Math.min(end, this.#entries) * words)
    if (end > this.#entries) this.#bytes.fill(0, 0, (end - this.#entries) * words)
  }

  /** Gives out no entry any more. */
  retire(): void {
    this.#retired = true
    this.#limit = this.#control[CTL.SQ_TAIL]!
  }

  /** Takes back the entries claimed since the tail was `tail`; none of them may be published. */
  unclaim(tail: number): void {
    const claimed = this.#control[CTL.SQ_TAIL]!
    this.#control[CTL.SQ_TAIL] = tail
    this.#zero(tail, claimed)
  }

  /**
   * Claims a 128-byte SQE. On SQE_MIXED rings it takes two slots that may not wrap: a skipped NOP fills the last one.
   * @kernel 6.19
   */
  claim128(): Sqe | null {
    if (!this.#layout.mixed) return this.claim()
    const tail = this.#control[CTL.SQ_TAIL]!
    const padding = (tail & this.#mask) === this.#mask ? 1 : 0
    if (!this.#hasSpace(tail, 2 + padding)) return null
    if (padding === 1) {
      const nop = this.#sqes[tail & this.#mask]!
      nop.clear()
      nop.words[SQE.OPCODE] = abi.IORING_OP_NOP | (abi.IOSQE_CQE_SKIP_SUCCESS << 8)
    }
    this.#control[CTL.SQ_TAIL] = tail + 2 + padding
    // Slots that no CQE answers: the second half, and the padding.
    this.#control[CTL.MORE_SEEN]! -= 1 + padding
    const sqe = this.#wideSqes()[(tail + padding) & this.#mask]!
    sqe.clear()
    return sqe
  }

  #wideSqes(): Sqe[] {
    const { sqes, sqesOffset } = this.#layout
    const length = this.#entries - 1
    this.#wide ??= Array.from({ length }, (_, index) => new Sqe(sqes, sqesOffset + index * 64, 128))
    return this.#wide
  }

  /**
   * Publishes what was claimed; pairs with the kernel's acquire load of the tail. The store is sequentially consistent:
   * it is also the full barrier that SQPOLL wants between it and the load of the flags in `needsWakeup`.
   * @returns SQEs the kernel has yet to take: `to_submit`
   */
  publish(): number {
    const tail = this.#control[CTL.SQ_TAIL]!
    storeRelease(this.#ring, this.#tail, tail)
    return (tail - loadAcquire(this.#ring, this.#head)) >>> 0
  }

  /**
   * SQ_REWIND: the kernel took `taken` entries from the front, and takes from the front again. Its head stands still, so ours goes
   * back, and MORE_SEEN keeps the account of what the kernel has.
   */
  rewind(taken: number): void {
    const tail = this.#control[CTL.SQ_TAIL]!
    const left = tail - taken
    const words = this.#bytes.length / this.#entries
    this.#bytes.copyWithin(0, taken * words, tail * words)
    this.#bytes.fill(0, left * words, tail * words)
    this.#control[CTL.SQ_TAIL] = left
    this.#control[CTL.MORE_SEEN]! += taken
    storeRelease(this.#ring, this.#tail, left)
  }

  /** SQEs claimed and not published yet. */
  get unpublished(): number {
    return (this.#control[CTL.SQ_TAIL]! - loadAcquire(this.#ring, this.#tail)) >>> 0
  }

  /**
   * Whether an SQE is still ours alone, to be changed: claimed, and not published.
   * @param tail CTL.SQ_TAIL right after it was claimed
   */
  isUnpublished(sqe: Sqe, tail: number): boolean {
    if (((loadAcquire(this.#ring, this.#tail) - tail) | 0) >= 0) return false
    return this.#sqes[(tail - 1) & this.#mask] === sqe
  }

  /** SQEs published that the kernel did not take yet. */
  get unconsumed(): number {
    return (loadAcquire(this.#ring, this.#tail) - loadAcquire(this.#ring, this.#head)) >>> 0
  }

  /** SQEs claimed that the kernel did not take yet. */
  get ready(): number {
    return (this.#control[CTL.SQ_TAIL]! - loadAcquire(this.#ring, this.#head)) >>> 0
  }

  get spaceLeft(): number {
    return this.#entries - this.ready
  }

  /** SQEs the kernel refused because their index was wrong; stays 0, as we write the array. */
  get dropped(): number {
    return loadAcquire(this.#ring, this.#dropped) >>> 0
  }

  /** The flags word: IORING_SQ_NEED_WAKEUP, _CQ_OVERFLOW, _TASKRUN. */
  get flags(): number {
    return loadAcquire(this.#ring, this.#flags)
  }

  get needsWakeup(): boolean {
    return (this.flags & abi.IORING_SQ_NEED_WAKEUP) !== 0
  }

  /**
   * Takes back what was claimed but not taken by the kernel. Only for rings without SQPOLL, whose kernel side reads the
   * tail in no other place than `enter`; with SQPOLL only unpublished ones come back.
   * @returns how many were taken back
   */
  discard(sqpoll: boolean): number {
    const claimed = this.#control[CTL.SQ_TAIL]!
    const keep = loadAcquire(this.#ring, sqpoll ? this.#tail : this.#head)
    this.unclaim(keep)
    if (!sqpoll) storeRelease(this.#ring, this.#tail, keep)
    return (claimed - keep) >>> 0
  }
}
