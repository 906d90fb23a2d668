// Operations on names, linked one behind the other: on a worker ring the whole chain runs on one worker of the kernel's, without a
// wake-up between two of them. That is what makes them cheap: each alone costs two thread hops.
// Flow: stats.ts, rm.ts, cp-*.ts → this → engine.ts. Hard links: an error of one does not stop the others.

import type { Sink, Slot } from '../runtime/slots.ts'
import type { Uring } from '../runtime/uring.ts'
import { IOSQE_IO_HARDLINK } from '../sys/abi.ts'
import { ringClosedError } from '../sys/error.ts'

/** Most operations of a chain: enough to be cheap, few enough that several workers have something to do. */
export const CHAIN = 32

/** Fills entry `index`: finds the memory, calls the prep function. */
export type Prepare = (slot: Slot, index: number) => void

class Link implements Sink {
  readonly #index: number
  readonly #ended: (index: number, res: number) => void

  constructor(index: number, ended: (index: number, res: number) => void) {
    this.#index = index
    this.#ended = ended
  }

  onCqe(res: number): void {
    this.#ended(this.#index, res)
  }
}

/** How many operations a chain on this ring may have. */
export function chainLength(ring: Uring, most = CHAIN): number {
  const { engine } = ring
  return Math.max(1, Math.min(most, engine.ring.sqEntries >> 1, engine.slots.max >> 1))
}

/**
 * Runs `count` operations, `chainLength` at most, one after another.
 * @param ended is called with each result
 */
export function runLinked(
  ring: Uring,
  opcode: number,
  count: number,
  prepare: Prepare,
  ended: (index: number, res: number) => void,
): void {
  const { engine } = ring
  const write = (): boolean => {
    for (let i = 0; i < count; i++) {
      const slot = engine.begin(opcode, undefined)!
      slot.sink = new Link(i, ended)
      slot.sqeFlags = IOSQE_IO_HARDLINK
      prepare(slot, i)
      engine.commit(slot)
    }
    return true
  }
  const start = (): Promise<void> => {
    if (!engine.link(count, write)) return engine.later(start, undefined, count)
    return Promise.resolve()
  }
  const refused = (): void => {
    for (let i = 0; i < count; i++) ended(i, CLOSED)
  }
  if (engine.closed) refused()
  else start().catch(refused)
}

/** The result of operations that the closed ring did not take any more. */
export const CLOSED = -125

/** The error of such a result. */
export function closedOr(ring: Uring, res: number, error: () => Error): Error {
  return res === CLOSED && ring.closed ? ringClosedError() : error()
}
