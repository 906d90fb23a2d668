// Operations that wait for a free slot, in the order in which they were asked for.
// Flow: engine.ts → this.

import { abortError } from '../sys/error.ts'
import { listen, unlisten } from './options.ts'

interface Waiting {
  start: () => Promise<unknown>
  /** Slots it takes. */
  slots: number
  /** Whether it holds the process open. */
  referenced: boolean
  resolve: (value: unknown) => void
  reject: (error: Error) => void
}

export class Backlog {
  #waiting: Waiting[] = []
  readonly #hold: (count: number) => void
  /** True while `resume` starts operations: only then may one begin although others wait. */
  resuming = false

  /** @param hold is told how many more hold the process open, or with a negative number how many less */
  constructor(hold: (count: number) => void) {
    this.#hold = hold
  }

  get length(): number {
    return this.#waiting.length
  }

  /** Queues an operation until `slots` are free; an abort takes it out again. */
  add<T>(
    start: () => Promise<T>,
    slots: number,
    signal: AbortSignal | undefined,
    referenced: boolean,
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const settle = resolve as (value: unknown) => void
      const waiting: Waiting = { start, slots, referenced, resolve: settle, reject }
      this.#waiting.push(waiting)
      if (referenced) this.#hold(1)
      if (signal === undefined) return
      const onAbort = () => {
        const at = this.#waiting.indexOf(waiting)
        if (at < 0) return
        this.#waiting.splice(at, 1)
        if (waiting.referenced) this.#hold(-1)
        reject(abortError(signal))
      }
      listen(signal, onAbort)
      waiting.start = () => {
        unlisten(signal, onAbort)
        return start()
      }
    })
  }

  /** Starts as many as there is room for; one that needs more than there is holds up those behind it. */
  resume(hasRoom: (slots: number) => boolean): void {
    this.resuming = true
    let started = 0
    for (const waiting of this.#waiting) {
      if (!hasRoom(waiting.slots)) break
      started++
      if (waiting.referenced) this.#hold(-1)
      waiting.start().then(waiting.resolve, waiting.reject)
    }
    this.#waiting.splice(0, started)
    this.resuming = false
  }

  /** From now on all that wait hold the process open, or none does. */
  reference(on: boolean): void {
    for (const waiting of this.#waiting) {
      if (waiting.referenced !== on) this.#hold(on ? 1 : -1)
      waiting.referenced = on
    }
  }

  rejectAll(error: Error): void {
    for (const { reject, referenced } of this.#waiting.splice(0)) {
      if (referenced) this.#hold(-1)
      reject(error)
    }
  }
}
