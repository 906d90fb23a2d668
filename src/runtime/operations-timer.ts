// Timers and polls that can be changed while they wait, and cancelling by file, opcode, or everything.
// Flow: Uring → this → op/prep-control.ts, sinks.ts, engine.ts. man io_uring_cancelation(7)

import { sqeSetAddrWords } from '../op/modify.ts'
import {
  prepCancel,
  prepPollAdd,
  prepPollRemove,
  prepPollUpdate,
  prepTimeout,
  prepTimeoutRemove,
  prepTimeoutUpdate,
} from '../op/prep-control.ts'
import { opByName, opTable } from '../op/table.ts'
import { SQE } from '../ring/sqe.ts'
import {
  IORING_ASYNC_CANCEL_ALL,
  IORING_ASYNC_CANCEL_ANY,
  IORING_ASYNC_CANCEL_FD,
  IORING_ASYNC_CANCEL_FD_FIXED,
  IORING_ASYNC_CANCEL_OP,
  IORING_OP_ASYNC_CANCEL,
  IORING_OP_POLL_ADD,
  IORING_OP_POLL_REMOVE,
  IORING_OP_TIMEOUT,
  IORING_OP_TIMEOUT_REMOVE,
  IORING_POLL_UPDATE_EVENTS,
  IORING_TIMEOUT_ABS,
} from '../sys/abi.ts'
import { ETIMEDOUT } from '../sys/errno.ts'
import { argumentTypeError, argumentValueError, errnoError, ringClosedError } from '../sys/error.ts'
import { checkInteger } from '../sys/validate.ts'
import type { Engine } from './engine.ts'
import { checkTarget, checkWord, type FileTarget, optionalBoolean, optionalWord } from './operations.ts'
import { type ClockOptions, checkMs, timeoutFlags } from './operations-control.ts'
import { ProvidedOperations } from './operations-provided.ts'
import type { OperationOptions } from './options.ts'
import { FixedFile, Resource } from './resource.ts'
import { collect, type Outcome } from './sinks.ts'
import type { Slot } from './slots.ts'

const ENOENT = -2
const EALREADY = -114
const ETIME = -62
const ECANCELED = -125

export interface TimerOptions extends OperationOptions, ClockOptions {
  /** The timer also ends when so many other operations have completed; 0 (the default): only by time. */
  count?: number | undefined
}

/** How a timer ended: its time ran out, `remove` was called, or `count` operations completed before. */
export type TimerEnd = 'expired' | 'removed' | 'counted'

/** What a timer and a poll have in common: they wait, and another request can reach them there. */
class Waiting {
  readonly #engine: Engine
  #slot: Slot | null = null
  #generation = 0
  /** Asked before a slot was free. */
  removed = false

  constructor(engine: Engine) {
    this.#engine = engine
  }

  /** The operation has begun in this slot. */
  began(slot: Slot): void {
    this.#slot = slot
    this.#generation = slot.generation
  }

  /** Whether the operation has begun. */
  get hasBegun(): boolean {
    return this.#slot !== null
  }

  /** Whether it still waits. */
  get isLive(): boolean {
    return this.#slot !== null && this.#slot.generation === this.#generation
  }

  /**
   * Sends a request that names the operation.
   * @returns whether it was still waiting
   */
  async reach(opcode: number, write: (slot: Slot) => void): Promise<boolean> {
    if (this.hasBegun && !this.isLive) return false
    const engine = this.#engine
    const slot = engine.begin(opcode, undefined)
    if (slot === null) return engine.later(() => this.reach(opcode, write))
    write(slot)
    sqeSetAddrWords(slot.sqe, this.#slot!.index, this.#generation)
    let answer = 0
    return collect(
      engine,
      slot,
      (res) => {
        answer = res
      },
      (): Outcome<boolean> =>
        answer >= 0
          ? { value: true }
          : answer === ENOENT || answer === EALREADY
            ? { value: false }
            : { error: answer },
    )
  }
}

/** A time that runs and can be changed or removed; made by `Uring.timer`. */
export class Timer {
  /** Resolves when the timer ends, with how; rejects with AbortError, or when the ring is closed. */
  readonly ended: Promise<TimerEnd>
  readonly #begin: (ms: number) => Promise<TimerEnd>
  readonly #reach: (ms: number | undefined) => Promise<boolean>

  /** @param begin starts it · @param reach gives it another time, or removes it */
  constructor(
    ms: number,
    begin: (ms: number) => Promise<TimerEnd>,
    reach: (ms: number | undefined) => Promise<boolean>,
  ) {
    this.#begin = begin
    this.#reach = reach
    this.ended = this.#begin(ms)
  }

  /**
   * Starts the time anew, with another length; with `absolute`, sets another moment.
   * @param ms milliseconds from now
   * @returns false when it was too late: the timer has ended
   * @kernel 5.11 · IORING_OP_TIMEOUT_REMOVE with IORING_TIMEOUT_UPDATE
   * @man io_uring_prep_timeout_update(3)
   */
  async update(ms: number): Promise<boolean> {
    checkMs(ms)
    return this.#reach(ms)
  }

  /**
   * Ends the timer now: `ended` resolves to 'removed'.
   * @returns false when it was too late: the timer has ended
   * @kernel 5.5 · IORING_OP_TIMEOUT_REMOVE
   * @man io_uring_prep_timeout_remove(3)
   */
  async remove(): Promise<boolean> {
    return this.#reach(undefined)
  }
}

/** A poll that can be changed or removed; made by `Uring.poller`. */
export class Poller {
  /** Resolves to the events that came; 0 after `remove`. */
  readonly ready: Promise<number>
  readonly #reach: (events: number | undefined) => Promise<boolean>

  constructor(ready: Promise<number>, reach: (events: number | undefined) => Promise<boolean>) {
    this.ready = ready
    this.#reach = reach
  }

  /**
   * Waits for other events from now on.
   * @param events POLLIN, POLLOUT …
   * @returns false when it was too late: the poll has ended
   * @kernel 5.13 · IORING_OP_POLL_REMOVE with IORING_POLL_UPDATE_EVENTS
   * @man io_uring_prep_poll_update(3)
   */
  async update(events: number): Promise<boolean> {
    checkWord('events', events)
    return this.#reach(events)
  }

  /**
   * Ends the poll now: `ready` resolves to 0.
   * @returns false when it was too late: the poll has ended
   * @kernel 5.1 · IORING_OP_POLL_REMOVE
   * @man io_uring_prep_poll_remove(3)
   */
  async remove(): Promise<boolean> {
    return this.#reach(undefined)
  }
}

/** What to cancel: everything on a file, every operation of a kind, both at once, or all that is in flight. */
export interface CancelTarget {
  fd?: FileTarget | undefined
  /** An opcode: 'READ', 'IORING_OP_READ', or its number. @kernel 6.6 */
  op?: string | number | undefined
  all?: true | undefined
}

export class TimerOperations extends ProvidedOperations {
  /**
   * Starts a timer that can be changed while it runs.
   * @param ms milliseconds; with `absolute`, since the clock's epoch
   * @kernel 5.4 · IORING_OP_TIMEOUT
   * @man io_uring_prep_timeout(3)
   */
  timer(ms: number, options?: TimerOptions): Timer {
    checkMs(ms)
    const flags = timeoutFlags(options)
    const count = optionalWord('options.count', options?.count)
    if (this.engine.closed) throw ringClosedError()
    const waiting = new Waiting(this.engine)
    let length = ms
    const begin = async (): Promise<TimerEnd> => {
      if (waiting.removed) return 'removed'
      const slot = this.engine.begin(IORING_OP_TIMEOUT, options)
      if (slot === null) return this.engine.later(begin, options)
      prepTimeout(slot.sqe, this.timespec(slot, length), count, flags)
      waiting.began(slot)
      let end = 0
      return collect(
        this.engine,
        slot,
        (res) => {
          end = res
        },
        (): Outcome<TimerEnd> => {
          if (end === ETIME) return { value: 'expired' }
          if (end >= 0) return { value: 'counted' }
          return end === ECANCELED && waiting.removed ? { value: 'removed' } : { error: end }
        },
      )
    }
    return new Timer(ms, begin, async (next) => {
      if (next === undefined) waiting.removed = true
      else length = next
      // Not begun yet: `begin` sees the change.
      if (!waiting.hasBegun) return true
      return waiting.reach(IORING_OP_TIMEOUT_REMOVE, (slot) => {
        // The clock stays the one it began with; the kernel refuses to be told again.
        if (next === undefined) prepTimeoutRemove(slot.sqe, 0, 0)
        else prepTimeoutUpdate(slot.sqe, this.timespec(slot, next), 0, flags & IORING_TIMEOUT_ABS)
      })
    })
  }

  /**
   * Waits until a file is ready, for events that can be changed while it waits.
   * @param events POLLIN, POLLOUT …
   * @kernel 5.1 · IORING_OP_POLL_ADD
   * @man io_uring_prep_poll_add(3), poll(2)
   */
  poller(file: FileTarget, events: number, options?: OperationOptions): Poller {
    checkTarget(file, 'poll')
    checkWord('events', events)
    if (this.engine.closed) throw ringClosedError()
    const waiting = new Waiting(this.engine)
    let mask = events
    const begin = async (): Promise<number> => {
      if (waiting.removed) return 0
      const slot = this.engine.begin(IORING_OP_POLL_ADD, options)
      if (slot === null) return this.engine.later(begin, options)
      prepPollAdd(slot.sqe, -1, mask)
      this.aim(slot, file)
      waiting.began(slot)
      let came = 0
      return collect(
        this.engine,
        slot,
        (res) => {
          came = res
        },
        (): Outcome<number> => {
          if (came >= 0) return { value: came }
          return came === ECANCELED && waiting.removed ? { value: 0 } : { error: came }
        },
      )
    }
    return new Poller(begin(), async (next) => {
      if (next === undefined) waiting.removed = true
      else mask = next
      if (!waiting.hasBegun) return true
      return waiting.reach(IORING_OP_POLL_REMOVE, (slot) => {
        if (next === undefined) prepPollRemove(slot.sqe, 0)
        else prepPollUpdate(slot.sqe, 0, 0, next, IORING_POLL_UPDATE_EVENTS)
      })
    })
  }

  /**
   * Cancels operations that are in flight; each of them rejects with ECANCELED, or settles as it would have, if it was quicker.
   *
   * Asks once: an operation that a kernel worker is running may not hear it. With `all`, the count may include the one
   * request by which the event loop itself waits in the ring; it comes back by itself.
   *
   * @returns how many the kernel cancelled
   * @throws EBADF · EALREADY (they run and can't be stopped) · EINVAL (`op` needs Linux 6.6) · ERR_* (nothing was queued)
   * @kernel 5.19 · IORING_OP_ASYNC_CANCEL with IORING_ASYNC_CANCEL_ALL
   * @man io_uring_prep_cancel(3), io_uring_cancelation(7)
   */
  async cancel(target: CancelTarget, options?: OperationOptions): Promise<number> {
    const { fd, flags, opcode } = readTarget(target)
    const slot = this.engine.begin(IORING_OP_ASYNC_CANCEL, options)
    if (slot === null) return this.engine.later(() => this.cancel(target, options), options)
    prepCancel(slot.sqe, 0, flags)
    slot.sqe.words[SQE.LEN] = opcode
    if (fd instanceof FixedFile) slot.sqe.words[SQE.FD] = fd.index
    else if (fd !== undefined) this.aim(slot, fd)
    return this.engine.promise(slot)
  }

  /**
   * As `cancel`, at once and blocking this thread until it has happened or the time is over; what is queued goes down first.
   *
   * The cancelled promises still settle in a later turn of the event loop, when their completions are read.
   *
   * @param timeoutMs longest wait
   * @returns how many the kernel cancelled, 0 when nothing matched
   * @throws ETIMEDOUT (asked, but not over yet) · EALREADY (they run and can't be stopped) · EBADF · ERR_*
   * @kernel 6.0 · IORING_REGISTER_SYNC_CANCEL
   * @man io_uring_register_sync_cancel(3)
   */
  cancelSync(target: CancelTarget, timeoutMs = 1000): number {
    const { fd, flags, opcode } = readTarget(target)
    checkInteger('timeoutMs', timeoutMs, 0)
    if (this.engine.closed) throw ringClosedError()
    this.engine.flush()
    const number = fd instanceof FixedFile ? fd.index : fd instanceof Resource ? fd.fd : (fd ?? -1)
    const result = this.engine.ring.registerSyncCancel({ fd: number, flags, opcode, timeoutMs })
    if (result >= 0 || result === ENOENT) return Math.max(result, 0)
    throw errnoError(result === ETIME ? -ETIMEDOUT : result, 'cancel')
  }
}

/** What to cancel, as the kernel is told. */
function readTarget(target: CancelTarget): { fd: FileTarget | undefined; flags: number; opcode: number } {
  if (typeof target !== 'object' || target === null)
    throw argumentTypeError('target', 'of type object', target)
  const { fd, op, all } = target
  optionalBoolean('target.all', all)
  if ((all === true) === (fd !== undefined || op !== undefined))
    throw argumentValueError('target', target, 'must be { all: true }, or name fd, op, or both')
  if (fd !== undefined) checkTarget(fd, 'cancel')
  const opcode = op === undefined ? 0 : opcodeOf(op)
  let flags = IORING_ASYNC_CANCEL_ALL
  if (all === true) flags |= IORING_ASYNC_CANCEL_ANY
  if (op !== undefined) flags |= IORING_ASYNC_CANCEL_OP
  if (fd !== undefined) flags |= IORING_ASYNC_CANCEL_FD
  if (fd instanceof FixedFile) flags |= IORING_ASYNC_CANCEL_FD_FIXED
  return { fd, flags, opcode }
}

/** The number of an opcode by its number or name. */
function opcodeOf(op: unknown): number {
  if (typeof op === 'number') {
    checkInteger('target.op', op, 0, opTable.length - 1)
    return op
  }
  if (typeof op !== 'string') throw argumentTypeError('target.op', 'of type string or number', op)
  const row = opByName(op)
  if (row === undefined) throw argumentValueError('target.op', op, "must be an opcode's name, such as 'READ'")
  return row.code
}
