// The slot table: everything that belongs to one operation from the moment its SQE is claimed to its final CQE.
// Flow: operations-* → engine.ts → this. Only a final CQE frees a slot; user_data carries its index and generation.

import type { Sqe } from '../ring/sqe.ts'
import type { ErrorDetails } from '../sys/error.ts'

/** Turns the result of a final CQE (res ≥ 0) into the value its promise resolves to. */
export type Finish = (res: number, slot: Slot, flags: number) => unknown

/** Takes every CQE of an operation that posts several; `final` is true exactly once, for the last one. */
export interface Sink {
  onCqe(res: number, flags: number, final: boolean): void
}

/** An owner of a file that an operation uses: told once, when the kernel has let go. */
export interface Held {
  drop(): void
}

export class Slot {
  readonly index: number
  /** Changes with every use: a CQE of an earlier use can't be mistaken for one of this. Never 0. */
  generation = 1
  opcode = 0
  /** The entry to write; only valid until the next flush. */
  sqe!: Sqe
  resolve: ((value: unknown) => void) | null = null
  reject: ((error: Error) => void) | null = null
  /** The caller's memory that the kernel reads or writes, with its length when the operation began. */
  view: ArrayBufferView | null = null
  length = 0
  /** Whatever else must stay reachable: long paths, several views, iovecs. */
  held: unknown = null
  /** Chunk of the copy pool that the kernel reads, or -1. */
  chunk = -1
  resource: Held | null = null
  /** A second file, for operations between two. */
  other: Held | null = null
  finish: Finish | null = null
  sink: Sink | null = null
  details: ErrorDetails | null = null
  signal: AbortSignal | null = null
  onAbort: (() => void) | null = null
  /** performance.now() when the LINK_TIMEOUT behind this operation runs out; 0 without one. */
  expires = 0
  deadlineSqe: Sqe | null = null
  /** The step before this one in its chain, and that slot's generation then. */
  previous: Slot | null = null
  previousGeneration = 0
  /** The timer of an operation that a LINK_TIMEOUT can't end. */
  alarm: NodeJS.Timeout | null = null
  /** IOSQE_* flags and credentials that `commit` adds when the entry is written. */
  sqeFlags = 0
  personality = 0
  /** A -errno that means success for this operation, such as -ETIME of a timeout. */
  succeeds = 0
  /** Whether this operation holds the process open. */
  referenced = true
  busy = false

  constructor(index: number) {
    this.index = index
  }
}

/** What of a slot the error of its operation tells; a sink whose slot is free by then has a copy of it. */
export type Failing = Pick<Slot, 'opcode' | 'signal' | 'expires' | 'details'>

/** The slot whose promise is being made: one executor serves all promises, so none allocates a closure. */
let making!: Slot
const executor = (resolve: (value: never) => void, reject: (error: Error) => void): void => {
  making.resolve = resolve as (value: unknown) => void
  making.reject = reject
}

/** The promise of a slot's operation. */
export function promiseOf<T>(slot: Slot): Promise<T> {
  making = slot
  return new Promise<T>(executor)
}

/** Marks the index of a standing slot, below USER_DATA_INTERNAL. */
const STANDING = 1 << 29

export class Slots {
  readonly max: number
  readonly #slots: Slot[] = []
  readonly #free: Slot[] = []
  readonly #standing: Slot[] = []
  readonly #freeStanding: Slot[] = []

  constructor(max: number) {
    this.max = max
  }

  /** Takes a free slot, or null when `max` operations are in flight. */
  take(): Slot | null {
    const slot = this.#free.pop() ?? this.#grow()
    if (slot !== null) slot.busy = true
    return slot
  }

  #grow(): Slot | null {
    const index = this.#slots.length
    if (index === this.max) return null
    const slot = new Slot(index)
    this.#slots.push(slot)
    return slot
  }

  /**
   * Takes a slot for an operation that stands and waits, as the multishot receive of an idle connection does. It is none of the
   * `max`, so that ten thousand of them leave room for the others, and it has no scratch block.
   */
  takeStanding(): Slot {
    let slot = this.#freeStanding.pop()
    if (slot === undefined) {
      slot = new Slot(STANDING | this.#standing.length)
      this.#standing.push(slot)
    }
    slot.busy = true
    return slot
  }

  /** The slot that user_data names, or null when the CQE is not for an operation that is in flight. */
  find(index: number, generation: number): Slot | null {
    const slot = (index & STANDING) === 0 ? this.#slots[index] : this.#standing[index ^ STANDING]
    return slot !== undefined && slot.generation === generation && slot.busy ? slot : null
  }

  /** Forgets all that a slot held and makes it free for the next operation. */
  release(slot: Slot): void {
    slot.generation = (slot.generation + 1) | 0 || 1
    slot.busy = false
    slot.resolve = null
    slot.reject = null
    slot.view = null
    slot.held = null
    slot.finish = null
    slot.sink = null
    slot.details = null
    slot.resource = null
    slot.other = null
    slot.expires = 0
    slot.deadlineSqe = null
    slot.previous = null
    slot.sqeFlags = 0
    slot.personality = 0
    slot.succeeds = 0
    if ((slot.index & STANDING) === 0) this.#free.push(slot)
    else this.#freeStanding.push(slot)
  }

  /** Operations that could begin before `max` is reached. */
  get available(): number {
    return this.#free.length + this.max - this.#slots.length
  }

  *[Symbol.iterator](): Generator<Slot> {
    for (const slot of this.#slots) if (slot.busy) yield slot
    for (const slot of this.#standing) if (slot.busy) yield slot
  }
}
