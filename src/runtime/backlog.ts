// Operations that wait for a free slot, in the order in which they were asked for.
// Flow: engine.ts → this.

import { AbortError } from '../sys/error.ts'
import { listen } from './options.ts'

interface Waiting {
  start: () => Promise<unknown>
  /** Slots it takes. */
  slots: number
  resolve: (value: unknown) => void
  reject: (error: Error) => void
}

export class Backlog {
  #waiting: Waiting[] = []
  /** True while `resume` starts operations: only then may one begin although others wait. */
  resuming = false

  get length(): number {
    return this.#waiting.length
  }

  /** Queues an operation until `slots` are free; an abort takes it out again. */
  add<T>(start: () => Promise<T>, slots: number, signal: AbortSignal | undefined): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const waiting: Waiting = { start, slots, resolve: resolve as (value: unknown) => void, reject }
      this.#waiting.push(waiting)
      if (signal === undefined) return
      const onAbort = () => {
        const at = this.#waiting.indexOf(waiting)
        if (at < 0) return
        this.#waiting.splice(at, 1)
        reject(new AbortError(signal.reason))
      }
      listen(signal, onAbort)
      waiting.start = () => {
        signal.removeEventListener('abort', onAbort)
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
      waiting.start().then(waiting.resolve, waiting.reject)
    }
    this.#waiting.splice(0, started)
    this.resuming = false
  }

  rejectAll(error: Error): void {
    for (const { reject } of this.#waiting.splice(0)) reject(error)
  }
}
