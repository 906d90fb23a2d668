// Many small jobs from an iterable, some at once, their results as an async iterable: in order or as they complete, with a limit on
// how many run and on how many bytes wait for the consumer.
// Flow: read-files.ts, write-files.ts, stats.ts → this.
// No promise per job: a job tells `settle`, and only a consumer that has to wait gets a promise that is pending.

import { defaultRing } from '../runtime/executor.ts'
import { checkSignal, listen, unlisten } from '../runtime/options.ts'
import type { Uring } from '../runtime/uring.ts'
import { abortError, argumentTypeError, argumentValueError, ringClosedError } from '../sys/error.ts'
import { checkBoolean, checkFunction, checkInteger, checkObject } from '../sys/validate.ts'

/** What is taken from: an array, a generator, a stream of paths … */
export type Source<T> = Iterable<T> | AsyncIterable<T>

/** How far a long piece of work is. */
export interface Progress {
  /** Files that are done. */
  files: number
  /** Bytes of them. */
  bytes: number
  /** How many files there are, where that is known. */
  total?: number
}

export interface BatchOptions {
  /** The ring to work on; default: the thread's. */
  ring?: Uring | undefined
  /** Jobs at once; default 32. */
  concurrency?: number | undefined
  /** true (default): results in the order of the source; false: as they complete. */
  ordered?: boolean | undefined
  /** 'throw' (default): the first error ends the batch; 'collect': it is a result like any other. */
  onError?: 'throw' | 'collect' | undefined
  /** Stops the batch: nothing new begins, what is under way is waited for. */
  signal?: AbortSignal | undefined
  /** Called now and then, and at the end. */
  onProgress?: ((progress: Progress) => void) | undefined
}

/** Which ring a batch works on: the one it was given, or the thread's; null sends it through node:fs. */
export type ChooseRing = (given: Uring | undefined) => Uring | null

/** What the functions of the main door work on. */
export const givenOrThreads: ChooseRing = (given) => {
  const ring = given ?? defaultRing()
  if (ring.closed) throw ringClosedError()
  return ring
}

/** One result: `error` is there only with `onError: 'collect'`. */
export interface Outcome {
  path: unknown
  error?: Error
}

/** Tells what became of a job. */
export interface Settle<R> {
  done(value: R, bytes: number): void
  failed(error: Error): void
  /** Resolves when `bytes` more may be held: the first in line may always. */
  reserve(bytes: number): Promise<void> | undefined
}

const PROGRESS_MS = 100
/** Results that wait for the consumer, per job at once: they must not pile up, however small they are. */
const AHEAD = 8

/** In the place of a result: the error that ends the batch at its turn. */
class Failure {
  readonly error: Error

  constructor(error: Error) {
    this.error = error
  }
}

export class Batch<T, R extends Outcome> implements AsyncIterableIterator<R> {
  readonly #options: BatchOptions
  readonly #concurrency: number
  readonly #ordered: boolean
  readonly #collect: boolean
  readonly #maxBytes: number
  readonly #start: (item: T, settle: Settle<R>) => void
  readonly #failed: (item: T, error: Error) => R
  readonly #source: Iterator<T> | AsyncIterator<T>
  /** Results by their place in line, modulo its length; `undefined` is a job that is not done. */
  readonly #line: (R | Failure | undefined)[]
  readonly #sizes: Float64Array
  readonly #mask: number
  /** Places in line that have a result. */
  #ready = 0
  #completed = 0
  readonly #waiting: { resolve: (result: IteratorResult<R>) => void; reject: (error: Error) => void }[] = []
  readonly #reserving: { index: number; bytes: number; go: () => void }[] = []
  #begun = 0
  #given = 0
  #active = 0
  /** Bytes that jobs took memory for or that wait for the consumer. */
  #held = 0
  #pulling = false
  #pumping = false
  /** The source has no more. */
  #ended = false
  /** Nobody wants more: left early, or failed. */
  #over = false
  #stopped: Error | null = null
  #idle: (() => void) | null = null
  #closed: Promise<void> | null = null
  #files = 0
  #bytes = 0
  /** How many the source has, where it says so. */
  readonly #total: number | undefined
  #told = 0
  #lastTold = 0
  readonly #onAbort = (): void => this.#stop(abortError(this.#options.signal!))

  constructor(
    source: Source<T>,
    options: BatchOptions,
    maxBytes: number,
    start: (item: T, settle: Settle<R>) => void,
    failed: (item: T, error: Error) => R,
  ) {
    this.#options = options
    this.#concurrency = options.concurrency ?? 32
    this.#ordered = options.ordered ?? true
    this.#collect = options.onError === 'collect'
    this.#maxBytes = maxBytes
    this.#start = start
    this.#failed = failed
    this.#source = iteratorOf(source)
    this.#total = countOf(source)
    const places = 2 ** Math.ceil(Math.log2(this.#concurrency * AHEAD))
    this.#mask = places - 1
    this.#line = Array<R | Failure | undefined>(places).fill(undefined)
    this.#sizes = new Float64Array(places)
    const { signal } = options
    if (signal !== undefined) {
      if (signal.aborted) this.#onAbort()
      else listen(signal, this.#onAbort)
    }
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  /** The next result; may be called again before it is there. */
  next(): Promise<IteratorResult<R>> {
    const ready = this.#take()
    if (ready !== undefined) {
      this.#pump()
      return ready instanceof Failure
        ? this.#fail(ready.error)
        : Promise.resolve({ done: false, value: ready })
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
      this.#pump()
      this.#deliver()
    })
  }

  /** Ends the batch early, as `break` does: nothing new begins, and what is under way is waited for. */
  async return(): Promise<IteratorResult<R>> {
    this.#closed ??= this.#close()
    await this.#closed
    return { done: true, value: undefined }
  }

  async #close(): Promise<void> {
    const wasEnded = this.#ended
    this.#ended = true
    this.#over = true
    this.#forget()
    this.#unlisten()
    for (const { go } of this.#reserving.splice(0)) go()
    try {
      if (!wasEnded) {
        const returned = this.#source.return?.()
        // A source that is asked for an item at this moment ends after that, which may take for ever.
        if (this.#pulling) Promise.resolve(returned).catch(() => {})
        else await returned
      }
    } finally {
      if (this.#active > 0) {
        await new Promise<void>((resolve) => {
          this.#idle = resolve
        })
      }
      for (const { resolve } of this.#waiting.splice(0)) resolve({ done: true, value: undefined })
    }
  }

  #unlisten(): void {
    const { signal } = this.#options
    if (signal !== undefined) unlisten(signal, this.#onAbort)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return()
  }

  async #fail(error: Error): Promise<never> {
    // What the source says to its end comes second, as in a loop.
    await this.return().catch(() => {})
    throw error
  }

  /** The next result in line, if it is there. */
  #take(): R | Failure | undefined {
    if (this.#stopped !== null && !this.#over) return new Failure(this.#stopped)
    const place = this.#given & this.#mask
    const result = this.#line[place]
    if (result === undefined) return undefined
    this.#line[place] = undefined
    this.#ready--
    this.#given++
    this.#held -= this.#sizes[place]!
    if (this.#reserving.length > 0) this.#grant()
    return result
  }

  #put(job: Job<T, R>, result: R | Failure, bytes: number): void {
    const place = (this.#ordered ? job.index : this.#completed++) & this.#mask
    this.#line[place] = result
    this.#sizes[place] = bytes
    this.#ready++
  }

  #forget(): void {
    this.#line.fill(undefined)
    this.#ready = 0
  }

  /** Gives results to those who wait for them. */
  #deliver(): void {
    while (this.#waiting.length > 0) {
      const ready = this.#take()
      if (ready === undefined) break
      const { resolve, reject } = this.#waiting.shift()!
      if (ready instanceof Failure) this.#fail(ready.error).catch(reject)
      else resolve({ done: false, value: ready })
    }
    if (this.#ended && this.#active === 0 && this.#ready === 0) {
      this.#unlisten()
      if (this.#told !== this.#files) this.#tell()
      for (const { resolve } of this.#waiting.splice(0)) resolve({ done: true, value: undefined })
    }
  }

  /** Begins what there is room for. */
  #pump(): void {
    // A job that ends at once comes back here: the loop that began it goes on.
    if (this.#pumping) return
    this.#pumping = true
    try {
      while (!this.#ended && this.#stopped === null && !this.#pulling && this.#hasRoom()) this.#pull()
    } catch (error) {
      this.#sourceFailed(error)
    }
    this.#pumping = false
  }

  #pull(): void {
    const step = this.#source.next()
    if (typeof (step as { then?: unknown }).then !== 'function') {
      this.#begin(step as IteratorResult<T>)
      return
    }
    this.#pulling = true
    ;(step as Promise<IteratorResult<T>>).then(
      (result) => {
        this.#pulling = false
        try {
          this.#begin(result)
        } catch (error) {
          this.#sourceFailed(error)
        }
        this.#pump()
        this.#deliver()
      },
      (error) => {
        this.#pulling = false
        this.#sourceFailed(error)
      },
    )
  }

  /** What threw has ended, and is not asked to `return`. */
  #sourceFailed(error: unknown): void {
    this.#ended = true
    this.#stop(error as Error)
  }

  #hasRoom(): boolean {
    if (this.#active >= this.#concurrency || this.#held >= this.#maxBytes) return false
    return this.#begun - this.#given < this.#concurrency * AHEAD
  }

  #begin(step: IteratorResult<T>): void {
    if (this.#ended || this.#stopped !== null) return
    if (step.done === true) {
      this.#ended = true
      return
    }
    const job = new Job<T, R>(this.#settled, this.#reserve, this.#begun++, step.value)
    this.#active++
    try {
      this.#start(step.value, job)
    } catch (error) {
      job.failed(error as Error)
    }
  }

  readonly #settled = (job: Job<T, R>, value: R | null, bytes: number, error: Error | null): void => {
    this.#active--
    this.#held += bytes - job.reserved
    this.#files++
    this.#bytes += bytes
    if (this.#over) {
      if (this.#active === 0) this.#idle?.()
      return
    }
    if (error === null) this.#put(job, value!, bytes)
    else if (this.#collect) this.#put(job, this.#failed(job.item, error), 0)
    else this.#put(job, new Failure(error), 0)
    if ((this.#files & 31) === 0) this.#tellSometimes()
    this.#deliver()
    this.#pump()
    if (this.#ended) this.#deliver()
    if (this.#reserving.length > 0) this.#grant()
  }

  // ---- memory

  readonly #reserve = (job: Job<T, R>, bytes: number): Promise<void> | undefined => {
    if (this.#maySpend(job.index, bytes, this.#reserving.length + 1)) {
      this.#spend(job, bytes)
      return undefined
    }
    return new Promise((resolve) => {
      const go = (): void => {
        this.#spend(job, bytes)
        resolve()
      }
      this.#reserving.push({ index: job.index, bytes, go })
    })
  }

  /**
   * The one whose result is wanted next may always, or nobody would ever free anything; without an order that is the first of those
   * that wait, when all that is under way waits.
   */
  #maySpend(index: number, bytes: number, waiting: number): boolean {
    if (this.#held + bytes <= this.#maxBytes || this.#over) return true
    return this.#ordered ? index === this.#given : this.#ready === 0 && waiting === this.#active
  }

  #spend(job: Job<T, R>, bytes: number): void {
    job.reserved += bytes
    this.#held += bytes
  }

  #grant(): void {
    const all = this.#reserving.splice(0)
    let waiting = all.length
    for (const one of all) {
      if (this.#maySpend(one.index, one.bytes, waiting)) {
        waiting = 0
        one.go()
      } else this.#reserving.push(one)
    }
  }

  // ---- the end, progress

  #stop(error: Error): void {
    if (this.#stopped !== null || this.#over) return
    this.#stopped = error
    this.#deliver()
  }

  #tellSometimes(): void {
    if (this.#options.onProgress === undefined) return
    const now = performance.now()
    if (now - this.#lastTold >= PROGRESS_MS) this.#tell()
  }

  #tell(): void {
    this.#told = this.#files
    this.#lastTold = performance.now()
    const [files, bytes, total] = [this.#files, this.#bytes, this.#total]
    try {
      this.#options.onProgress?.(total === undefined ? { files, bytes } : { files, bytes, total })
    } catch (error) {
      this.#stop(error as Error)
    }
  }
}

class Job<T, R> implements Settle<R> {
  readonly index: number
  readonly item: T
  reserved = 0
  readonly #settled: (job: Job<T, R>, value: R | null, bytes: number, error: Error | null) => void
  readonly #reserve: (job: Job<T, R>, bytes: number) => Promise<void> | undefined

  constructor(
    settled: (job: Job<T, R>, value: R | null, bytes: number, error: Error | null) => void,
    reserve: (job: Job<T, R>, bytes: number) => Promise<void> | undefined,
    index: number,
    item: T,
  ) {
    this.#settled = settled
    this.#reserve = reserve
    this.index = index
    this.item = item
  }

  done(value: R, bytes: number): void {
    this.#settled(this, value, bytes, null)
  }

  failed(error: Error): void {
    this.#settled(this, null, 0, error)
  }

  reserve(bytes: number): Promise<void> | undefined {
    return this.#reserve(this, bytes)
  }
}

function iteratorOf<T>(source: Source<T>): Iterator<T> | AsyncIterator<T> {
  const { [Symbol.asyncIterator]: asynchronous, [Symbol.iterator]: synchronous } =
    source as AsyncIterable<T> & Iterable<T>
  if (typeof asynchronous === 'function') return asynchronous.call(source)
  return synchronous.call(source)
}

/** Arrays and sets know how many they have. */
function countOf(source: unknown): number | undefined {
  if (Array.isArray(source)) return source.length
  return source instanceof Set ? source.size : undefined
}

/** Checks a source: text is iterable too, but never meant. */
export function checkSource(name: string, source: unknown): void {
  const candidate = (typeof source === 'object' && source !== null ? source : {}) as Partial<
    AsyncIterable<unknown> & Iterable<unknown>
  >
  const isOne =
    typeof candidate[Symbol.asyncIterator] === 'function' || typeof candidate[Symbol.iterator] === 'function'
  if (!isOne || ArrayBuffer.isView(source))
    throw argumentTypeError(name, 'an array, an Iterable or an AsyncIterable', source)
}

/** Checks what all batches take. */
export function checkBatchOptions(options: BatchOptions): void {
  checkObject('options', options)
  const { concurrency, ordered, onError, signal, onProgress } = options
  if (concurrency !== undefined) checkInteger('options.concurrency', concurrency, 1, 4096)
  if (ordered !== undefined) checkBoolean('options.ordered', ordered)
  if (onError !== undefined && onError !== 'throw' && onError !== 'collect')
    throw argumentValueError('options.onError', onError, "must be 'throw' or 'collect'")
  if (signal !== undefined) checkSignal(signal)
  if (onProgress !== undefined) checkFunction('options.onProgress', onProgress)
}
