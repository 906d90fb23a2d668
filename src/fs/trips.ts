// Whole files in one trip to the kernel: what reading and writing share. A trip is a chain of linked steps on a direct descriptor
// of its own; its memory and its descriptor serve the next trip after it, so a file costs its promise and its bytes.
// Flow: read-trip.ts, write-trip.ts → this → runtime.

import { hasAborted, listen, unlisten } from '../runtime/options.ts'
import type { FixedFile } from '../runtime/resource.ts'
import type { Sink, Slot } from '../runtime/slots.ts'
import type { Uring } from '../runtime/uring.ts'
import { ECANCELED, EINTR } from '../sys/errno.ts'
import { abortError, errnoError, ringClosedError } from '../sys/error.ts'

/** Trips under way at once on one ring; what is beyond takes the longer way, through a File. */
const TRIPS = 128
/** What a request that slept ends with when it was cancelled: the kernel keeps the number for itself. */
const ERESTARTSYS = -512

/** Takes what a trip brought instead of a promise: batches have one receiver per file and no promise. */
export interface Receiver<T> {
  done(value: T): void
  failed(error: Error): void
  /** Called before memory for a long file is taken: resolves when there is room for it. */
  reserve?(bytes: number): Promise<void> | undefined
}

/** One step's result; the trip hears of it. */
export class Step implements Sink {
  readonly #trip: { stepEnded(): void }
  result = 0
  slot: Slot | null = null
  generation = 0

  constructor(trip: { stepEnded(): void }) {
    this.#trip = trip
  }

  onCqe(res: number): void {
    this.result = res
    this.#trip.stepEnded()
  }
}

/** One file under way. */
export abstract class Trip<T> {
  readonly ring: Uring
  readonly file: FixedFile
  protected path = ''
  protected signal: AbortSignal | null = null
  protected receiver: Receiver<T> | null = null
  #left = 0
  #resolve!: (value: T | Promise<T>) => void
  #reject!: (error: Error) => void
  readonly #onAbort = (): void => this.#cancel()

  constructor(ring: Uring, file: FixedFile) {
    this.ring = ring
    this.file = file
  }

  protected readonly setPromise = (
    resolve: (value: T | Promise<T>) => void,
    reject: (error: Error) => void,
  ): void => {
    this.#resolve = resolve
    this.#reject = reject
  }

  /** The steps that the kernel may be at. */
  protected abstract get steps(): readonly Step[]
  /** All steps have ended. */
  protected abstract arrived(): void

  /** Takes the next entry for a step; the caller made sure of room for all of them. */
  protected begin(opcode: number, step: Step, flags: number): Slot {
    const slot = this.ring.engine.begin(opcode, undefined)!
    slot.sink = step
    slot.sqeFlags = flags
    step.slot = slot
    step.generation = slot.generation
    this.#left++
    return slot
  }

  /** Asks the kernel to cancel the steps when the signal aborts; to be called before they begin, as the signal may throw. */
  protected watch(signal: AbortSignal | undefined): void {
    if (signal === undefined) return
    listen(signal, this.#onAbort)
    this.signal = signal
  }

  /** The steps have begun: an abort that came before is heard now. */
  protected begun(): void {
    if (hasAborted(this.signal)) this.#cancel()
  }

  stepEnded(): void {
    if (--this.#left === 0) this.arrived()
  }

  #cancel(): void {
    for (const { slot, generation } of this.steps) {
      if (slot !== null && slot.generation === generation) this.ring.engine.cancels.slot(slot, generation)
    }
  }

  protected succeed(value: T): void {
    const { receiver } = this
    this.#unwatch()
    if (receiver === null) this.#resolve(value)
    else receiver.done(value)
  }

  /** Another way brings what this trip could not. */
  protected follow(other: Promise<T>): void {
    const { receiver } = this
    this.#unwatch()
    if (receiver === null) this.#resolve(other)
    else
      other.then(
        (value) => receiver.done(value),
        (error) => receiver.failed(error),
      )
  }

  protected fail(error: Error): void {
    const { receiver } = this
    this.#unwatch()
    if (receiver === null) this.#reject(error)
    else receiver.failed(error)
  }

  #unwatch(): void {
    this.receiver = null
    if (this.signal === null) return
    unlisten(this.signal, this.#onAbort)
    this.signal = null
  }

  /** The error of a step, in the words of node:fs/promises: since Node 26 those of read and write name the file too. */
  protected errorOf(res: number, syscall: string): Error {
    if (res === -ECANCELED || res === -EINTR || res === ERESTARTSYS) {
      if (hasAborted(this.signal)) return abortError(this.signal)
      if (this.ring.closed) return ringClosedError()
    }
    return errnoError(res, syscall, { path: this.path })
  }
}

/** The trips of one ring: those that are free, and no more than there may be. */
export class Trips<T> {
  protected readonly ring: Uring
  readonly #steps: number
  protected readonly free: T[] = []
  readonly #make: (pool: Trips<T>, file: FixedFile) => T
  readonly #waiting: (() => void)[] = []
  #made = 0

  /** @param steps most entries that a trip takes at once */
  constructor(ring: Uring, steps: number, make: (pool: Trips<T>, file: FixedFile) => T) {
    this.ring = ring
    this.#steps = steps
    this.#make = make
  }

  /** A trip to begin at once, or null when there is no room for one now or the process may not have direct descriptors. */
  take(): T | null {
    if (!this.ring.engine.hasRoom(this.#steps)) return null
    const free = this.free.pop()
    if (free !== undefined) return free
    if (this.#made === TRIPS) return null
    let file: FixedFile | null = null
    try {
      file = this.ring.fixedFile()
      const made = this.#make(this, file)
      this.#made++
      return made
    } catch (error) {
      if (file !== null) this.ring.freeFixedFile(file)
      const { code } = error as NodeJS.ErrnoException
      if (code !== 'EMFILE' && code !== 'ERR_INVALID_STATE' && code !== 'ERR_OUT_OF_RANGE') throw error
      return null
    }
  }

  /**
   * Begins when a trip is free.
   * @param otherwise begins instead where no trip can be had at all
   */
  async later<R>(
    start: (trip: T) => Promise<R>,
    otherwise: () => Promise<R>,
    signal: AbortSignal | undefined,
  ): Promise<R> {
    const { engine } = this.ring
    while (!engine.closed && signal?.aborted !== true) {
      const trip = this.take()
      if (trip !== null) return start(trip)
      if (engine.hasRoom(this.#steps)) {
        if (this.#made === 0) return otherwise()
        await this.#turn(signal)
      } else await engine.later(() => Promise.resolve(), { signal }, this.#steps)
    }
    this.#waiting.shift()?.() // nobody else will wake the others
    throw signal?.aborted === true ? abortError(signal) : ringClosedError()
  }

  /** Resolves when it may be worth a look, or at an abort: before it lie files that may take for ever, such as pipes. */
  async #turn(signal: AbortSignal | undefined): Promise<void> {
    let wake!: () => void
    const woken = new Promise<void>((resolve) => {
      wake = resolve
    })
    const onAbort = (): void => {
      const at = this.#waiting.indexOf(wake)
      if (at >= 0) this.#waiting.splice(at, 1)
      wake()
    }
    if (signal !== undefined) listen(signal, onAbort)
    this.#waiting.push(wake)
    await woken
    if (signal !== undefined) unlisten(signal, onAbort)
  }

  /** A trip has ended. */
  give(trip: T): void {
    this.free.push(trip)
    this.#waiting.shift()?.()
  }
}
