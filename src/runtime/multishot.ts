// One request, many CQEs, as an async iterator with bounded memory.
// Flow: operations-* → this → engine.ts. man io_uring_multishot(7)
// The request ends with the first CQE without F_MORE, also after success: then it is armed again while someone listens.

import { abortError, errnoError, ringClosedError } from '../sys/error.ts'
import { checkBoolean, checkInteger, checkObject } from '../sys/validate.ts'
import type { Engine } from './engine.ts'
import { explainFlag, type GatedFlag } from './flag-gate.ts'
import { checkSignal, listen, unlisten } from './options.ts'
import type { Sink, Slot } from './slots.ts'

const ECANCELED = -125
const ENOBUFS = -105

/** What a kind of multishot request does: how it is armed, and what its CQEs mean. */
export interface MultishotKind<T> {
  syscall: string
  /** Begins the request and writes its entry; null when no slot is free. */
  arm(engine: Engine): Slot | null
  /** Turns a CQE with res ≥ 0 into an item; undefined ends the iteration (end of stream). */
  item(res: number, flags: number): T | undefined
  /** Disposes of an item that nobody will take. */
  discard(item: T): void
  /** Called when the kernel has let go for good. */
  ended?(): void
  /** A flag of the request that not every kernel knows. */
  flag?: GatedFlag
  /** -ENOBUFS: calls `again` when buffers are back. */
  starved?(again: () => void): void
}

export interface MultishotOptions {
  signal?: AbortSignal | undefined
  ref?: boolean | undefined
  /** Most items that wait for the consumer before the request is paused. */
  capacity?: number | undefined
}

/**
 * Iterates over the results of a multishot request; `break`, `return()` or the signal cancel it.
 *
 * An abort loses nothing: what the kernel still brought is handed out first, then `next` rejects. `break` and `return()` dispose of it.
 */
export class Multishot<T> implements AsyncIterableIterator<T>, Sink {
  readonly #engine: Engine
  readonly #kind: MultishotKind<T>
  readonly #capacity: number
  readonly #signal: AbortSignal | undefined
  readonly #ref: boolean | undefined
  readonly #items: T[] = []
  readonly #takers: { resolve: (result: IteratorResult<T>) => void; reject: (error: Error) => void }[] = []
  #slot: Slot | null = null
  #generation = 0
  #paused = false
  #done = false
  #ended = false
  #error: Error | null = null
  /** The signal's error, from the abort to the final CQE. */
  #aborted: Error | null = null
  #onAbort: (() => void) | null = null
  #settled: (() => void)[] = []

  constructor(engine: Engine, kind: MultishotKind<T>, options: MultishotOptions = {}) {
    this.#engine = engine
    this.#kind = kind
    checkObject('options', options)
    const { capacity = 256 } = options
    checkInteger('options.capacity', capacity, 1)
    this.#capacity = capacity
    if (options.ref !== undefined) checkBoolean('options.ref', options.ref)
    this.#signal = options.signal
    this.#ref = options.ref
    if (engine.closed) throw ringClosedError()
    if (options.signal !== undefined) checkSignal(options.signal)
    if (options.signal?.aborted === true) throw abortError(options.signal)
    if (options.signal !== undefined) {
      this.#onAbort = () => this.#abort(abortError(options.signal!))
      listen(options.signal, this.#onAbort)
    }
    this.#arm()
  }

  #arm(): void {
    if (this.#slot !== null || this.#done) return
    let slot: Slot | null
    try {
      slot = this.#kind.arm(this.#engine)
    } catch (error) {
      this.#finish(error as Error)
      return
    }
    if (slot === null) {
      this.#engine
        .later(async () => this.#arm(), { ref: this.#ref })
        .catch((error: Error) => this.#finish(error))
      return
    }
    slot.sink = this
    this.#slot = slot
    this.#generation = slot.generation
    this.#paused = false
    this.#engine.commit(slot)
  }

  /** Asks the kernel to end; bytes that it has taken by then must not be lost, so items still come until it has. */
  #abort(error: Error): void {
    if (this.#slot === null) this.#finish(error)
    else this.#aborted = error
    this.#cancel()
  }

  #cancel(): void {
    if (this.#slot !== null) this.#engine.cancels.slot(this.#slot, this.#generation)
  }

  /** Takes a CQE of the request; the engine calls it. */
  onCqe(res: number, flags: number, final: boolean): void {
    if (final) this.#slot = null
    if (res >= 0) this.#take(res, flags)
    if (!final) return
    if (this.#done) this.#end()
    else if (this.#aborted !== null) this.#finish(this.#aborted)
    else if (res >= 0 || (res === ECANCELED && this.#paused)) this.#rearm()
    else if (res === ENOBUFS && this.#kind.starved !== undefined) this.#starve(this.#kind.starved)
    else if (res === ECANCELED && this.#engine.closed) this.#finish(ringClosedError())
    else this.#finish(this.#errorOf(res))
  }

  #starve(wait: (again: () => void) => void): void {
    try {
      wait(() => this.#rearm())
    } catch (error) {
      this.#finish(error as Error)
    }
  }

  #errorOf(res: number): Error {
    const error = errnoError(res, this.#kind.syscall)
    const { flag } = this.#kind
    return flag === undefined ? error : (explainFlag(this.#engine, error, flag) as Error)
  }

  #take(res: number, flags: number): void {
    let item: T | undefined
    try {
      item = this.#kind.item(res, flags)
    } catch (error) {
      this.#finish(error as Error)
      return
    }
    if (item === undefined) {
      this.#finish(null)
      return
    }
    if (this.#done) {
      this.#kind.discard(item)
      return
    }
    const taker = this.#takers.shift()
    if (taker !== undefined) {
      taker.resolve({ value: item, done: false })
      return
    }
    this.#items.push(item)
    if (this.#items.length >= this.#capacity && !this.#paused) {
      this.#paused = true
      this.#cancel()
    }
  }

  #rearm(): void {
    if (this.#done) this.#end()
    else if (this.#items.length < this.#capacity) this.#arm()
    else this.#paused = true
  }

  /** No more items will come; those that wait are still handed out, unless it ended with an error of the consumer's making. */
  #finish(error: Error | null): void {
    if (this.#done) return
    this.#done = true
    this.#error = error
    if (this.#onAbort !== null) unlisten(this.#signal!, this.#onAbort)
    for (const taker of this.#takers.splice(0)) {
      if (this.#error !== null) {
        taker.reject(this.#error)
        this.#error = null
      } else {
        taker.resolve({ value: undefined, done: true })
      }
    }
    if (this.#slot === null) this.#end()
    else this.#cancel()
  }

  #end(): void {
    if (!this.#ended) this.#kind.ended?.()
    this.#ended = true
    for (const settled of this.#settled.splice(0)) settled()
  }

  /** The next item, as soon as there is one; several calls may wait at once. */
  next(): Promise<IteratorResult<T>> {
    const item = this.#items.shift()
    if (item !== undefined) {
      if (this.#paused && this.#slot === null && this.#items.length <= this.#capacity / 2) this.#arm()
      return Promise.resolve({ value: item, done: false })
    }
    if (this.#error !== null) {
      const error = this.#error
      this.#error = null
      return Promise.reject(error)
    }
    if (this.#done) return Promise.resolve({ value: undefined, done: true })
    return new Promise((resolve, reject) => {
      this.#takers.push({ resolve, reject })
    })
  }

  /** Cancels; resolves when the kernel has let go. Items nobody took are disposed of (fds closed, buffers returned). */
  async return(): Promise<IteratorResult<T>> {
    this.#finish(null)
    this.#error = null
    for (const item of this.#items.splice(0)) this.#kind.discard(item)
    if (this.#slot !== null) {
      await new Promise<void>((resolve) => {
        this.#settled.push(resolve)
      })
    }
    return { value: undefined, done: true }
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return()
  }
}
