// Promises of operations whose end is not simply "res of the last CQE": those with two CQEs, and those whose errors are answers.
// Flow: operations-* → this → engine.ts. The engine frees the slot before it tells a sink of the final CQE, so what an
// error tells is copied when the operation begins.

import type { Engine } from './engine.ts'
import type { Failing, Sink, Slot } from './slots.ts'

/** What becomes of an operation: a value, or an error made from a result. */
export type Outcome<T> = { value: T } | { error: number }

/** Collects the CQEs of one operation and settles its promise with what `conclude` makes of them. */
export class Collector<T> implements Sink {
  readonly #engine: Engine
  readonly #failing: Failing
  readonly #resolve: (value: unknown) => void
  readonly #reject: (error: Error) => void
  readonly #take: (res: number, flags: number) => void
  readonly #conclude: () => Outcome<T>

  constructor(
    engine: Engine,
    slot: Slot,
    take: (res: number, flags: number) => void,
    conclude: () => Outcome<T>,
  ) {
    this.#engine = engine
    const { opcode, signal, expires, details } = slot
    this.#failing = { opcode, signal, expires, details }
    this.#resolve = slot.resolve!
    this.#reject = slot.reject!
    this.#take = take
    this.#conclude = conclude
  }

  onCqe(res: number, flags: number, final: boolean): void {
    this.#take(res, flags)
    if (!final) return
    const outcome = this.#conclude()
    if ('value' in outcome) this.#resolve(outcome.value)
    else this.#reject(this.#engine.errorOf(this.#failing, outcome.error))
  }
}

/**
 * The promise of a slot whose entry is written and whose CQEs need judgement.
 * @param take is called with each CQE
 * @param conclude is called after the last
 */
export function collect<T>(
  engine: Engine,
  slot: Slot,
  take: (res: number, flags: number) => void,
  conclude: () => Outcome<T>,
): Promise<T> {
  const promise = engine.promise<T>(slot)
  slot.sink = new Collector(engine, slot, take, conclude)
  return promise
}
