// The half of the white box that reads completions: peek, wait, iterate, advance.
// Flow: Ring (which extends this) → this → completion-queue, ring-core.enter.
// man io_uring_peek_cqe(3), io_uring_wait_cqe(3), io_uring_for_each_cqe(3)

import * as abi from '../sys/abi.ts'
import { CTL } from '../sys/driver.ts'
import { EINTR, ETIME } from '../sys/errno.ts'
import { argumentTypeError, ringFeatureError } from '../sys/error.ts'
import { checkFunction, checkInteger } from '../sys/validate.ts'
import { Cqe, type CqeCallback } from './completion-queue.ts'
import { Registration } from './register.ts'
import { isTransient, type RingCore } from './ring-core.ts'
import { beginWait, NO_WAIT, remainingNs, type WaitOptions } from './wait.ts'

export abstract class Completion extends Registration {
  readonly #core: RingCore
  readonly #cqe = new Cqe()
  /** Nothing is in the CQ before the kernel was entered: IOPOLL, DEFER_TASKRUN without TASKRUN_FLAG. */
  readonly #mustEnter: boolean

  constructor(core: RingCore) {
    super(core)
    this.#core = core
    const { IORING_SETUP_IOPOLL, IORING_SETUP_DEFER_TASKRUN, IORING_SETUP_TASKRUN_FLAG } = abi
    const kind = core.setupFlags & (IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG)
    this.#mustEnter = kind === IORING_SETUP_DEFER_TASKRUN || (core.setupFlags & IORING_SETUP_IOPOLL) !== 0
  }

  /**
   * Enters the kernel to run completion work and bring in overflowed CQEs, without waiting.
   * @throws {UringError} as `submit`
   * @man io_uring_get_events(3)
   */
  getEvents(): void {
    const core = this.#core
    core.assertOpen()
    const result = core.enter(0, 0, abi.IORING_ENTER_GETEVENTS)
    if (result < 0 && result !== -EINTR) throw core.enterError(result)
  }

  /** Enters if the CQ is empty and only that can fill it. */
  #refresh(): void {
    const { cq, sq } = this.#core
    if (cq.ready > 0) return
    if (this.#mustEnter || sq.flags & (abi.IORING_SQ_CQ_OVERFLOW | abi.IORING_SQ_TASKRUN)) {
      const result = this.#core.enter(0, 0, abi.IORING_ENTER_GETEVENTS)
      if (result < 0 && !isTransient(result)) throw this.#core.enterError(result)
    }
  }

  /**
   * Looks at the next CQE without taking it: call `cqeSeen` for that.
   * @param into the object to fill; without it one object serves all calls
   * @returns null when there is none
   * @man io_uring_peek_cqe(3)
   */
  peekCqe(into: Cqe = this.#cqe): Cqe | null {
    this.#core.assertOpen()
    this.#refresh()
    return this.#core.cq.peek(into) ? into : null
  }

  /** Waits for the next CQE, without taking it. It blocks the thread. @man io_uring_wait_cqe(3) */
  waitCqe(into: Cqe = this.#cqe): Cqe {
    return this.waitCqes(1, NO_WAIT, into)!
  }

  /** Waits until `count` CQEs are there and looks at the first. @man io_uring_wait_cqe_nr(3) */
  waitCqeNr(count: number, into: Cqe = this.#cqe): Cqe {
    return this.waitCqes(count, NO_WAIT, into)!
  }

  /** Waits for the next CQE, at most so long. @returns null when the time is over @man io_uring_wait_cqe_timeout(3) */
  waitCqeTimeout(timeoutMs: number, into: Cqe = this.#cqe): Cqe | null {
    return this.waitCqes(1, { timeoutMs }, into)
  }

  /**
   * Waits for `count` CQEs (or the timeout) and looks at the first, without submitting anything.
   * @returns null when the time was over and there is none
   * @man io_uring_wait_cqes(3)
   */
  waitCqes(count: number, options: WaitOptions = NO_WAIT, into: Cqe = this.#cqe): Cqe | null {
    const core = this.#core
    core.assertOpen()
    checkInteger('count', count, 1, 0xffffffff)
    const wait = options === NO_WAIT ? undefined : beginWait(options, this.#core.features)
    const enough = Math.min(count, core.cq.entries)
    while (core.cq.ready < enough || !core.cq.peek(into)) {
      const left = wait === undefined ? -1 : remainingNs(wait)
      const result =
        wait === undefined
          ? core.enter(0, count, abi.IORING_ENTER_GETEVENTS)
          : core.enterTimed(0, count, 0, left, wait.minWaitUs, wait.sigmask)
      if (result < 0 && result !== -EINTR && result !== -ETIME) throw core.enterError(result)
      const isGathered = wait !== undefined && wait.minWaitUs > 0 && core.cq.ready > 0
      if (result === -ETIME || left === 0 || isGathered) return core.cq.peek(into) ? into : null
    }
    return into
  }

  /** Takes the CQE that `peekCqe` or a wait showed. @man io_uring_cqe_seen(3) */
  cqeSeen(cqe: Cqe): void {
    this.#core.assertOpen()
    if (!(cqe instanceof Cqe)) throw argumentTypeError('cqe', 'an instance of Cqe', cqe)
    this.#core.cq.advance(cqe.slots)
  }

  /** Takes the first `slots` slots of the CQ: as many as CQEs, but two for a 32-byte one with CQE_MIXED. @man io_uring_cq_advance(3) */
  cqAdvance(slots: number): void {
    this.#core.assertOpen()
    checkInteger('slots', slots, 0, this.#core.cq.ready)
    this.#core.cq.advance(slots)
  }

  /**
   * Takes all CQEs that are there and calls back for each; allocates nothing.
   *
   * They are copied out and their slots given back before the first call, so the callback may submit, throw, or close the
   * ring. When it throws, the others still run, then the error is thrown (several: an AggregateError).
   * @returns CQEs taken
   * @man io_uring_for_each_cqe(3)
   */
  forEachCqe(callback: CqeCallback): number {
    const core = this.#core
    if (core.closed || core.unmapped !== null) core.assertOpen()
    checkFunction('callback', callback)
    this.#refresh()
    return core.cq.forEach(callback)
  }

  /** The 4 extra words of a 32-byte CQE, inside the callback of `forEachCqe` that got this index. */
  bigCqe(index: number): Int32Array {
    this.#core.assertOpen()
    return this.#core.cq.bigOf(index)
  }

  /**
   * Takes CQEs into an array of records: user_data low and high, res, flags; with CQE32 or CQE_MIXED four words more.
   * @returns records written
   */
  copyCqes(target: Int32Array): number {
    const core = this.#core
    if (core.closed || core.unmapped !== null) core.assertOpen()
    if (!(target instanceof Int32Array))
      throw argumentTypeError('target', 'an instance of Int32Array', target)
    this.#refresh()
    return core.cq.collect(target, Math.floor(target.length / core.cq.recordWords))
  }

  /** Words of a record that `copyCqes` writes: 4, or 8 with CQE32 or CQE_MIXED. */
  get cqeWords(): 4 | 8 {
    return this.#core.cq.recordWords
  }

  /** CQ slots that are filled. @man io_uring_cq_ready(3) */
  cqReady(): number {
    this.#core.assertOpen()
    return this.#core.cq.ready
  }

  /** The kernel holds CQEs that did not fit; `getEvents` brings them in, once there is room. @man io_uring_cq_has_overflow(3) */
  cqHasOverflow(): boolean {
    this.#core.assertOpen()
    return (this.#core.sq.flags & abi.IORING_SQ_CQ_OVERFLOW) !== 0
  }

  /** Whether completions signal the registered eventfd. @man io_uring_cq_eventfd_enabled(3) */
  cqEventfdEnabled(): boolean {
    this.#core.assertOpen()
    return this.#core.cq.eventfdEnabled
  }

  /** Mutes the registered eventfd or lets it speak. @kernel 5.8 @man io_uring_cq_eventfd_toggle(3) */
  cqEventfdToggle(enabled: boolean): void {
    this.#core.assertOpen()
    this.#core.cq.toggleEventfd(enabled)
  }

  /** Whether waits count as waiting for I/O in the system's statistics; they don't, where the kernel lets us choose. @kernel 6.15 @man io_uring_set_iowait(3) */
  setIowait(enabled: boolean): void {
    this.#core.assertOpen()
    if (!(this.#core.features & abi.IORING_FEAT_NO_IOWAIT))
      throw ringFeatureError('IORING_ENTER_NO_IOWAIT', '6.15')
    this.#core.waitFlags = enabled ? 0 : abi.IORING_ENTER_NO_IOWAIT
  }

  // — Accounts: the ring counts CQEs to know when the kernel has let go; two kinds it can't count alone —

  /** Tells the ring that CQEs were read which no SQE of its own stands behind: messages that other rings posted. */
  accountForeignCqes(count: number): void {
    this.#core.assertOpen()
    checkInteger('count', count, 0, 0xffffffff)
    this.#core.control[CTL.MORE_SEEN]! += count
  }

  /** Tells the ring that requests with IOSQE_CQE_SKIP_SUCCESS have succeeded: nothing else would. Without it such a ring never closes. */
  accountSkippedCqes(count: number): void {
    this.#core.assertOpen()
    checkInteger('count', count, 0, 0xffffffff)
    this.#core.control[CTL.MORE_SEEN]! -= count
  }
}
