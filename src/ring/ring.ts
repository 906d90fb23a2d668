// The white box: one io_uring with liburing's verbs. No promises, no loop; every SQE and CQE is yours.
// Flow: programs, runtime → this → ring-setup (open), ring-core (enter, end), submission-queue, completion-queue.
// man io_uring(7), io_uring_enter(2), io_uring_submit(3), io_uring_wait_cqe(3)

import * as abi from '../sys/abi.ts'
import { CTL, type Driver, type RingHandle } from '../sys/driver.ts'
import { EINTR, ETIME } from '../sys/errno.ts'
import { argumentTypeError, invalidArgument, stateError } from '../sys/error.ts'
import { openDriver } from '../sys/open-driver.ts'
import { checkFunction, checkInteger } from '../sys/validate.ts'
import type { CqeCallback } from './completion-queue.ts'
import type { RingGeometry, SetupOptions } from './params.ts'
import { Completion } from './ring-completion.ts'
import { isTransient, type RingCore, unwatchRing, watchRing } from './ring-core.ts'
import { openRing, type RingMemory, remapRing, resizeRing, vacate } from './ring-setup.ts'
import type { Sqe } from './sqe.ts'
import type { SubmissionQueue } from './submission-queue.ts'
import { beginWait, NO_WAIT, remainingNs, type WaitOptions } from './wait.ts'

export interface RingOptions extends SetupOptions {
  /** Another driver than the native one: a simulated kernel, for tests. */
  driver?: Driver | undefined
}

export interface CloseOptions {
  /** Cancels what the kernel still has, waits for it, and drops what is queued. Without it such a ring refuses to close. */
  cancel?: boolean | undefined
  /** Longest wait for cancelled operations in milliseconds; 10,000 unless given. */
  timeoutMs?: number | undefined
  /** Is shown the CQEs that nobody has read: a late accept or open carries a file descriptor that somebody must close. */
  onCqe?: CqeCallback | undefined
}

/**
 * One io_uring.
 *
 * It belongs to the thread that made it: an instance can't be sent to another one, and its fd must not be used there.
 * Buffers of the requests you write are yours to keep alive until their last CQE; the runtime (`Uring`) does that for you.
 * Close it: rings that are dropped instead are closed when the garbage collector finds them, with a warning.
 *
 * @example
 * using ring = new Ring({ entries: 8 })
 * prepNop(ring.getSqe()!)
 * ring.submitAndWait(1)
 * ring.forEachCqe((userData, high, res) => console.log(res))
 * @kernel 5.4 · io_uring_setup
 * @man io_uring_setup(2), io_uring_queue_init(3)
 */
export class Ring extends Completion {
  readonly #core: RingCore
  readonly #sq: SubmissionQueue
  readonly #driver: Driver
  #geometry: RingGeometry
  #memory: RingMemory
  /** The native side's word for this ring, for the driver's functions. */
  readonly handle: RingHandle
  /** The words of `CTL` in sys/driver.ts. */
  readonly control: Int32Array
  /** CQEs that the native side drained: slots of 4 words, 8 with CQE32, right behind the control words. */
  readonly batch: Int32Array

  /**
   * @throws {TypeError} ERR_INVALID_ARG_VALUE: options that need or exclude each other
   * @throws {RangeError} ERR_OUT_OF_RANGE
   * @throws ERR_RING_UNAVAILABLE no ring can be made here; message and `cause` say why and what to do
   * @throws ERR_RING_FEATURE the kernel does not know one of the setup flags
   */
  constructor(options: RingOptions = {}) {
    if (typeof options !== 'object' || options === null) {
      throw argumentTypeError('options', 'of type object', options)
    }
    const driver = options.driver ?? openDriver()
    const { core, geometry, memory, controlMemory } = openRing(driver, options)
    super(core)
    this.#core = core
    this.#sq = core.sq
    this.#driver = driver
    this.#geometry = geometry
    this.#memory = memory
    this.handle = core.handle
    this.control = core.control
    this.batch = new Int32Array(controlMemory, CTL.WORDS * 4)
    watchRing(this, core)
  }

  // — What it is —

  get driver(): Driver {
    return this.#driver
  }

  /** The ring's file descriptor; -1 with `registeredFdOnly`. Never close it yourself, and never use it in another thread. */
  get fd(): number {
    return this.#core.fd
  }

  get closed(): boolean {
    return this.#core.closed
  }

  /** Whether a resize left the ring without its pages: see `resizeRings`. */
  get isUnmapped(): boolean {
    return this.#core.unmapped !== null
  }

  /** IORING_FEAT_* bits. */
  get features(): number {
    return this.#geometry.features
  }

  /** The IORING_SETUP_* bits the ring has, NO_SQARRAY included where the kernel took it. */
  get setupFlags(): number {
    return this.#geometry.flags
  }

  get sqEntries(): number {
    return this.#geometry.sqEntries
  }

  get cqEntries(): number {
    return this.#geometry.cqEntries
  }

  /** Operations that the kernel took and whose last CQE has not been read. */
  get inKernel(): number {
    this.#core.assertOpen()
    return Math.max(this.#core.inKernel(), 0)
  }

  // — Submission —

  /**
   * Claims the next SQE, cleared; it is submitted with the next submit, whatever you wrote into it by then.
   * @returns null when the SQ is full: submit first
   * @throws ERR_RING_CLOSED
   * @man io_uring_get_sqe(3)
   */
  getSqe(): Sqe | null {
    const sqe = this.#sq.claim()
    if (sqe === null) this.#core.assertOpen()
    return sqe
  }

  /**
   * Claims a 128-byte SQE, on rings with SQE128 or SQE_MIXED.
   * @returns null when the SQ has no room
   * @throws ERR_INVALID_ARG_VALUE the ring has only 64-byte SQEs
   * @kernel 5.19 · 6.19 for SQE_MIXED
   * @man io_uring_get_sqe(3)
   */
  getSqe128(): Sqe | null {
    const core = this.#core
    core.assertOpen()
    if (!(core.setupFlags & (abi.IORING_SETUP_SQE128 | abi.IORING_SETUP_SQE_MIXED))) {
      throw invalidArgument('Cannot claim a 128-byte SQE: set the ring up with sqe128 or sqeMixed')
    }
    return core.sq.claim128()
  }

  /**
   * Hands all claimed SQEs to the kernel.
   *
   * A short count is normal: without submitAll a bad SQE stops its batch (and gets its CQE); submit again for the rest.
   * With SQPOLL the kernel's thread takes them by itself, and is woken if it sleeps.
   * @returns SQEs the kernel took; with SQPOLL those it will take
   * @throws {UringError} EAGAIN, EBUSY: nothing was lost, the SQEs stay queued; read CQEs, then submit again ·
   * EBADR a CQE was lost · EBADFD the ring is disabled · EEXIST another thread's ring · EOWNERDEAD the SQPOLL thread died
   * @kernel 5.1 · io_uring_enter
   * @man io_uring_submit(3)
   */
  submit(): number {
    return this.#submit(0, 0)
  }

  /** As `submit`, and runs completion work and brings in overflowed CQEs, without waiting. @man io_uring_submit_and_get_events(3) */
  submitAndGetEvents(): number {
    return this.#submit(0, abi.IORING_ENTER_GETEVENTS)
  }

  /**
   * Submits, then waits until at least `waitFor` CQEs are there. It blocks the thread.
   *
   * A signal does not end the wait. When the kernel took fewer SQEs than there were, there is no wait.
   * @returns SQEs the kernel took
   * @throws {UringError} as `submit`
   * @man io_uring_submit_and_wait(3)
   */
  submitAndWait(waitFor: number): number {
    checkInteger('waitFor', waitFor, 0, 0xffffffff)
    return this.#submit(waitFor, waitFor === 0 ? 0 : abi.IORING_ENTER_GETEVENTS)
  }

  #submit(waitFor: number, flags: number): number {
    const core = this.#core
    core.assertOpen()
    const enough = Math.min(waitFor, core.cq.entries)
    let taken = 0
    for (;;) {
      const toSubmit = this.#publish()
      // SQPOLL's thread takes them, whatever enter says.
      if (core.sqpoll) taken += toSubmit
      const all = flags | this.#enterFlagsFor(toSubmit)
      if (all === 0 && (toSubmit === 0 || core.sqpoll)) return taken
      const result = core.enter(toSubmit, waitFor, all)
      if (result < 0 && result !== -EINTR) {
        // Those that went down before count: the caller hears of the error with the next call.
        if (taken > 0 && isTransient(result)) return taken
        throw core.enterError(result)
      }
      if (result > 0 && !core.sqpoll) taken += result
      // A signal ends the wait early and hides behind the count of SQEs: go on until enough CQEs are there.
      if (result >= 0 && (result < toSubmit || core.cq.ready >= enough)) return taken
    }
  }

  /** Publishes the tail. With SQPOLL only SQEs that were not published yet count. */
  #publish(): number {
    const { sq, sqpoll } = this.#core
    const fresh = sqpoll ? sq.unpublished : 0
    const all = sq.publish()
    return sqpoll ? fresh : all
  }

  #enterFlagsFor(toSubmit: number): number {
    const { sq, sqpoll, setupFlags } = this.#core
    const shared = sq.flags
    let flags = 0
    if (sqpoll && (toSubmit > 0 || sq.unconsumed > 0) && shared & abi.IORING_SQ_NEED_WAKEUP) {
      flags |= abi.IORING_ENTER_SQ_WAKEUP
    }
    const waiting = shared & (abi.IORING_SQ_CQ_OVERFLOW | abi.IORING_SQ_TASKRUN)
    if (waiting || setupFlags & abi.IORING_SETUP_IOPOLL) flags |= abi.IORING_ENTER_GETEVENTS
    return flags
  }

  /**
   * Submits, then waits for `waitFor` CQEs or until the time is over, whichever comes first; look at `cqReady()`.
   * @returns SQEs the kernel took
   * @throws {UringError} as `submit`; running out of time is no error
   * @throws ERR_RING_FEATURE the kernel lacks what the options ask for
   * @kernel 5.11 · 6.12 for minWaitUs
   * @man io_uring_submit_and_wait_timeout(3), io_uring_submit_and_wait_min_timeout(3)
   */
  submitAndWaitTimeout(waitFor: number, options: WaitOptions = NO_WAIT): number {
    const core = this.#core
    core.assertOpen()
    checkInteger('waitFor', waitFor, 0, 0xffffffff)
    const wait = beginWait(options, this.features)
    const enough = Math.min(waitFor, core.cq.entries)
    let taken = 0
    for (;;) {
      const toSubmit = this.#publish()
      if (core.sqpoll) taken += toSubmit
      const flags = this.#enterFlagsFor(toSubmit)
      const left = remainingNs(wait)
      const result = core.enterTimed(toSubmit, waitFor, flags, left, wait.minWaitUs, wait.sigmask)
      if (result === -ETIME) return taken
      if (result < 0 && result !== -EINTR) {
        if (taken > 0 && isTransient(result)) return taken
        throw core.enterError(result)
      }
      if (result > 0 && !core.sqpoll) taken += result
      const { ready } = core.cq
      if (result !== -EINTR && (result < toSubmit || (wait.minWaitUs > 0 && ready > 0))) return taken
      if (ready >= enough || left === 0) return taken
    }
  }

  /**
   * As `submitAndWaitTimeout`, with the wait's arguments at an index of the region of `registerRegion`; `RegisteredWaits` keeps one.
   * Leave the last entry of the region unused: Linux up to 6.18 reads the first in its place.
   * @returns SQEs the kernel took, or -62 (-ETIME) when the time was over and the CQ empty
   * @kernel 6.13
   * @man io_uring_submit_and_wait_reg(3)
   */
  submitAndWaitReg(waitFor: number, index: number): number {
    const core = this.#core
    core.assertOpen()
    checkInteger('waitFor', waitFor, 0, 0xffffffff)
    checkInteger('index', index, 0, 0xffff)
    const flags = abi.IORING_ENTER_GETEVENTS | abi.IORING_ENTER_EXT_ARG | abi.IORING_ENTER_EXT_ARG_REG
    const toSubmit = this.#publish()
    const result = core.enter(toSubmit, waitFor, flags | this.#enterFlagsFor(toSubmit), index * 64, 64)
    if (result < 0 && result !== -ETIME && result !== -EINTR) throw core.enterError(result)
    return result === -EINTR ? 0 : result
  }

  /**
   * Publishes and enters once, for an event loop: neither waits nor throws when the kernel is short of something.
   * @param flags IORING_ENTER_* besides those the ring needs
   * @returns SQEs taken; -EINTR, -EAGAIN or -EBUSY when nothing was, and they stay queued
   * @throws {UringError} as `submit`, but not for these three
   */
  flush(flags = 0): number {
    const core = this.#core
    core.assertOpen()
    const toSubmit = this.#publish()
    const all = flags | this.#enterFlagsFor(toSubmit)
    if (all === 0 && (toSubmit === 0 || core.sqpoll)) return toSubmit
    const result = core.enter(toSubmit, 0, all)
    if (result < 0 && !isTransient(result)) throw core.enterError(result)
    return result
  }

  /** Takes back the SQEs claimed since `control[CTL.SQ_TAIL]` was `tail`; nothing may have been submitted meanwhile. */
  unclaim(tail: number): void {
    this.#core.assertOpen()
    this.#core.sq.unclaim(tail)
  }

  /** Whether an SQE, with `control[CTL.SQ_TAIL]` as it was right after its claim, may still be changed: it is not published yet. */
  isUnpublished(sqe: Sqe, tail: number): boolean {
    this.#core.assertOpen()
    return this.#sq.isUnpublished(sqe, tail)
  }

  /** SQEs claimed that the kernel did not take yet. @man io_uring_sq_ready(3) */
  sqReady(): number {
    this.#core.assertOpen()
    return this.#core.sq.ready
  }

  /** SQEs that can still be claimed. @man io_uring_sq_space_left(3) */
  sqSpaceLeft(): number {
    this.#core.assertOpen()
    return this.#core.sq.spaceLeft
  }

  /**
   * Waits until the SQPOLL thread has made room in the SQ; returns at once on other rings. It blocks the thread.
   * @returns SQEs that can be claimed
   * @kernel 5.10
   * @man io_uring_sqring_wait(3)
   */
  sqringWait(): number {
    const core = this.#core
    core.assertOpen()
    if (core.sqpoll && core.sq.spaceLeft === 0) {
      let result: number
      do {
        this.#publish()
        result = core.enter(0, 0, abi.IORING_ENTER_SQ_WAIT | this.#enterFlagsFor(1))
        // A signal ends the kernel's wait, and so does work that completions left to this thread: with 0, and no room.
      } while (result === -EINTR || (result >= 0 && core.sq.spaceLeft === 0))
      if (result < 0) throw core.enterError(result)
    }
    return core.sq.spaceLeft
  }

  // — Size —

  /**
   * Gives the ring other sizes; what is in the queues stays. SQEs claimed before are gone from sight: claim anew.
   * @throws {UringError} EINVAL not a DEFER_TASKRUN ring · EOVERFLOW what is queued does not fit · ENOMEM no room for the new pages,
   *   while the kernel has left the old ones: until `remap` succeeds, all else but `close` throws ERR_INVALID_STATE
   * @kernel 6.13 · IORING_REGISTER_RESIZE_RINGS
   * @man io_uring_resize_rings(3)
   */
  resizeRings(entries: number, cqEntries?: number): void {
    const core = this.#core
    if (core.unmapped === null) core.assertOpen()
    checkInteger('entries', entries, 1, abi.IORING_MAX_ENTRIES)
    if (cqEntries !== undefined) checkInteger('cqEntries', cqEntries, 1, abi.IORING_MAX_CQ_ENTRIES)
    if (core.unmapped !== null) this.remap()
    const { geometry, memory } = resizeRing(core, this.#geometry, entries, cqEntries)
    this.#geometry = geometry
    this.#memory = memory
  }

  /**
   * Maps the pages that an earlier `resizeRings` could not, and the ring is as it should be; does nothing where that was not so.
   * @throws {UringError} ENOMEM there is still no room
   */
  remap(): void {
    const core = this.#core
    if (core.closed) core.assertOpen()
    const geometry = core.unmapped
    if (geometry === null) return
    this.#memory = remapRing(core, geometry)
    this.#geometry = geometry
  }

  /** The mappings, for whoever wants to look at the words themselves. */
  get memory(): RingMemory {
    return this.#memory
  }

  /** Where the words lie in `memory`. */
  get geometry(): Readonly<RingGeometry> {
    return this.#geometry
  }

  // — The end —

  /**
   * Closes the ring. Its memory is freed only when the kernel holds no operation, whatever the options say.
   *
   * Without `cancel`, a ring with operations in the kernel or queued SQEs stays open. With it they are cancelled or dropped;
   * the wait blocks the thread. If it takes longer than `timeoutMs`, the ring stays unusable but not closed: call again.
   * @throws ERR_INVALID_STATE operations are in the way; the message says how many · ENOMEM after a resize whose pages could not be
   *   mapped, and still can't be: call again
   */
  close(options: CloseOptions = {}): void {
    const core = this.#core
    if (this.#isReleased) return
    const { cancel = false, timeoutMs = 10_000, onCqe } = options
    checkInteger('timeoutMs', timeoutMs, 0)
    if (onCqe !== undefined) checkFunction('onCqe', onCqe)
    // The CQEs that say that the kernel has let go are in the new pages.
    if (core.unmapped !== null) this.remap()
    if (!cancel && !core.closed) this.#assertIdle()
    core.closed = true
    core.sq.retire()
    core.sq.discard(core.sqpoll)
    const limitMs = cancel ? timeoutMs : 0
    const left = core.quiesce({ cancel, limitMs, onCqe })
    const result = left === 0 ? core.detach() : 0
    if (left > 0 || result < 0) {
      throw stateError(
        `cannot close the ring yet: the kernel still has ${left} operations after ${limitMs} ms; call close({ cancel: true }) again`,
      )
    }
    this.#isReleased = true
    vacate(this.#memory.ring)
    unwatchRing(core)
  }

  #isReleased = false

  #assertIdle(): void {
    const core = this.#core
    if (core.outstanding() > 0 || core.sq.unconsumed > 0) this.#settle()
    const inKernel = Math.max(core.outstanding(), 0)
    const queued = core.sq.ready
    if (inKernel + queued > 0) {
      throw stateError(
        `cannot close the ring: ${inKernel} operations are in the kernel and ${queued} SQEs are queued; ` +
          'read their CQEs first, or call close({ cancel: true })',
      )
    }
  }

  /** What is done may only wait for us to enter; what the SQPOLL thread is about to take counts as taken. */
  #settle(): void {
    const core = this.#core
    const deadline = performance.now() + 100
    while (core.sqpoll && core.sq.unconsumed > 0 && performance.now() < deadline) {
      if (core.enter(0, 0, abi.IORING_ENTER_SQ_WAKEUP) < 0) break
    }
    core.enter(0, 0, abi.IORING_ENTER_GETEVENTS)
  }

  /** Closes the ring and cancels what is in the way; for `using`. */
  [Symbol.dispose](): void {
    this.close({ cancel: true })
  }
}
