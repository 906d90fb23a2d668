// What a ring is made of, without its public face: memory, queues, enter, register, and the way to its end.
// Flow: ring.ts, register.ts → this → driver, submission-queue, completion-queue.
// man io_uring_enter(2), io_uring_register(2), io_uring_cancelation(7)
//
// The finalization registry keeps a RingCore after its Ring was collected; hence nothing here may refer to the Ring.

import * as abi from '../sys/abi.ts'
import { CTL, type Driver, type RingHandle } from '../sys/driver.ts'
import { EAGAIN, EBADFD, EBUSY, EINTR, EOWNERDEAD, errnoName } from '../sys/errno.ts'
import { errnoError, ringClosedError, stateError, UringError } from '../sys/error.ts'
import type { CompletionQueue, CqeCallback } from './completion-queue.ts'
import type { RingGeometry } from './params.ts'
import type { SubmissionQueue } from './submission-queue.ts'

/** Words of the scratch that enter and register read their arguments from. */
const SCRATCH = { GETEVENTS_ARG: 0, TIMESPEC: 8, SIGMASK: 12, SYNC_CANCEL: 16, WORDS: 64 } as const

const ENTER_ERRORS: Record<string, string> = {
  EAGAIN: 'the kernel has no memory for requests now; the SQEs stay queued, submit again later',
  EBUSY:
    'the kernel holds CQEs that do not fit in the completion queue; the SQEs stay queued, read CQEs, then submit again',
  EBADR: 'a CQE was lost for want of memory; what its operation did is unknown',
  EBADFD: 'the ring is disabled; call enableRings() first',
  EEXIST: 'the ring belongs to the thread that created or enabled it (SINGLE_ISSUER)',
  EOWNERDEAD: 'the SQPOLL thread has died; close the ring',
  EBADF: 'the ring fd was closed by somebody else',
}

const UNMAPPED =
  'Cannot use the ring: it was resized, and there was no memory to map its new pages; call remap(), or close()'

/** What the kernel may still do for a closing ring, and what to wait with. */
export interface QuiesceOptions {
  /** Asks the kernel to cancel; without it, only what ends by itself is waited for. */
  cancel: boolean
  /** Longest wait in milliseconds. */
  limitMs: number
  /** Is shown every CQE that comes in meanwhile. */
  onCqe?: CqeCallback | undefined
}

export class RingCore {
  readonly driver: Driver
  /** -1 for a ring that has only an index (REGISTERED_FD_ONLY). */
  readonly fd: number
  readonly handle: RingHandle
  readonly sq: SubmissionQueue
  readonly cq: CompletionQueue
  readonly control: Int32Array
  readonly setupFlags: number
  readonly features: number
  readonly sqpoll: boolean
  readonly #rewinds: boolean
  closed = false
  /** The queues' new geometry, after a resize whose pages could not be mapped: what we see are not the queues any more. */
  unmapped: RingGeometry | null = null
  /** The fd, or the index that `registerRingFd` got. */
  enterFd: number
  /** Goes with every enter: IORING_ENTER_REGISTERED_RING after `registerRingFd`. */
  enterFlags = 0
  /** Goes with every enter that waits: IORING_ENTER_NO_IOWAIT where the kernel has it. */
  waitFlags: number
  /** Memory lent to the kernel by register calls, by buffer index. */
  registeredBuffers: (ArrayBufferView | null)[] = []
  /** Lent before, unregistered since: requests may still use it. Emptied when the kernel holds no operation. */
  retired: ArrayBufferView[] = []
  /** Mappings of closed buffer rings: the same of them. */
  readonly retiredMaps = new Set<ArrayBuffer>()
  /** Memory that the kernel may use as long as the ring lives. */
  forGood: unknown[] = []
  /** Views that a system call reads while it runs: a local variable alone would not keep them. */
  #argument: unknown
  #arguments: unknown
  readonly #scratch: Int32Array
  readonly #scratchAddress: number

  constructor(parts: {
    driver: Driver
    fd: number
    handle: RingHandle
    sq: SubmissionQueue
    cq: CompletionQueue
    control: Int32Array
    setupFlags: number
    features: number
  }) {
    this.driver = parts.driver
    const indexed = (parts.setupFlags & abi.IORING_SETUP_REGISTERED_FD_ONLY) !== 0
    this.fd = indexed ? -1 : parts.fd
    this.enterFd = parts.fd
    if (indexed) this.enterFlags = abi.IORING_ENTER_REGISTERED_RING
    this.handle = parts.handle
    this.sq = parts.sq
    this.cq = parts.cq
    this.control = parts.control
    this.setupFlags = parts.setupFlags
    this.features = parts.features
    this.#rewinds = (parts.setupFlags & abi.IORING_SETUP_SQ_REWIND) !== 0
    this.sqpoll = (parts.setupFlags & abi.IORING_SETUP_SQPOLL) !== 0
    this.waitFlags = parts.features & abi.IORING_FEAT_NO_IOWAIT ? abi.IORING_ENTER_NO_IOWAIT : 0
    this.#scratch = new Int32Array(SCRATCH.WORDS)
    this.#scratchAddress = parts.driver.addressOf(this.#scratch)
  }

  assertOpen(): void {
    if (this.closed) throw ringClosedError()
    if (this.unmapped !== null) throw stateError(UNMAPPED)
  }

  /** io_uring_enter(2) on this ring. @returns SQEs taken, or -errno */
  enter(toSubmit: number, minComplete: number, flags: number, argAddress = 0, argBytes = 0): number {
    this.control[CTL.ENTERS]!++
    const all = flags | this.enterFlags | (minComplete === 0 ? 0 : this.waitFlags)
    const result = this.driver.enter(this.enterFd, toSubmit, minComplete, all, argAddress, argBytes)
    if (this.#rewinds && result > 0) this.sq.rewind(result)
    return result
  }

  /** Enters, waiting with a timeout (negative: none), a least waiting time and signals kept blocked. */
  enterTimed(
    toSubmit: number,
    minComplete: number,
    flags: number,
    timeoutNs: number,
    minWaitUs = 0,
    sigmask?: readonly number[],
  ): number {
    const scratch = this.#scratch
    const base = this.#scratchAddress
    const timed = timeoutNs >= 0
    scratch.fill(0, 0, SCRATCH.SYNC_CANCEL)
    if (timed) {
      this.#writeTimespec(SCRATCH.TIMESPEC, timeoutNs)
      this.#writeAddress(SCRATCH.GETEVENTS_ARG + 4, base + SCRATCH.TIMESPEC * 4)
    }
    if (sigmask !== undefined) {
      for (const signal of sigmask) {
        scratch[SCRATCH.SIGMASK + ((signal - 1) >>> 5)]! |= 1 << ((signal - 1) & 31)
      }
      this.#writeAddress(SCRATCH.GETEVENTS_ARG, base + SCRATCH.SIGMASK * 4)
      scratch[SCRATCH.GETEVENTS_ARG + 2] = 8
    }
    scratch[SCRATCH.GETEVENTS_ARG + 3] = minWaitUs
    const all = flags | abi.IORING_ENTER_GETEVENTS | abi.IORING_ENTER_EXT_ARG
    return this.enter(toSubmit, minComplete, all, base + SCRATCH.GETEVENTS_ARG * 4, 24)
  }

  #writeTimespec(word: number, ns: number): void {
    const seconds = Math.floor(ns / 1e9)
    this.#writeAddress(word, seconds)
    this.#writeAddress(word + 2, Math.floor(ns - seconds * 1e9))
  }

  #writeAddress(word: number, value: number): void {
    this.#scratch[word] = value
    this.#scratch[word + 1] = Math.floor(value / 4294967296)
  }

  /** The error of an enter that failed, with what it means for the SQEs. */
  enterError(result: number): UringError {
    const code = errnoName(result)
    const explanation = ENTER_ERRORS[code]
    if (explanation === undefined) return errnoError(result, 'io_uring_enter')
    return new UringError(`${code}: ${explanation}, io_uring_enter`, result, code, 'io_uring_enter')
  }

  /** io_uring_register(2) on this ring, by its registered index where it has one. @returns ≥ 0 or -errno */
  register(opcode: number, argAddress: number, argCount: number): number {
    const byIndex = this.enterFlags !== 0 && (this.features & abi.IORING_FEAT_REG_REG_RING) !== 0
    return byIndex
      ? this.driver.register(
          this.enterFd,
          (opcode | abi.IORING_REGISTER_USE_REGISTERED_RING) >>> 0,
          argAddress,
          argCount,
        )
      : this.driver.register(this.fd, opcode, argAddress, argCount)
  }

  /** The same with an argument in memory of ours, which lives as long as the call. */
  registerView(opcode: number, argument: ArrayBufferView, argCount: number): number {
    this.#argument = argument
    const result = this.register(opcode, this.driver.addressOf(argument), argCount)
    this.#argument = this.#arguments = undefined
    return result
  }

  /** Keeps views alive that the next call's argument points to. */
  keep(...views: unknown[]): void {
    this.#arguments = views
  }

  /** What a call that is under way reads. */
  get inUse(): readonly unknown[] {
    return [this.#argument, this.#arguments]
  }

  /** Gives back the index that `registerRingFd` got. */
  dropRingIndex(): void {
    if (this.enterFlags === 0 || this.fd < 0) return
    const struct = Int32Array.of(this.enterFd, 0, -1, 0)
    this.#argument = struct
    const { IORING_UNREGISTER_RING_FDS } = abi
    this.driver.register(this.fd, IORING_UNREGISTER_RING_FDS, this.driver.addressOf(struct), 1)
    this.#argument = undefined
    this.enterFd = this.fd
    this.enterFlags = 0
  }

  /** Operations the kernel consumed that neither ended nor have their last CQE in the queue. */
  outstanding(): number {
    return this.inKernel() - this.cq.endsReady
  }

  /** What the native side counts, as a signed number: CQEs of other rings (MSG_RING) can bring it below zero. */
  inKernel(): number {
    return this.driver.inKernel(this.handle) | 0
  }

  /** Lets go of memory that was registered once, if nothing can use it any more. */
  releaseRetired(): void {
    if (this.retired.length + this.retiredMaps.size === 0 || this.inKernel() > 0) return
    this.retired = []
    for (const memory of this.retiredMaps) this.letGo(memory)
  }

  /** Ends what `Ring.hold` began. */
  letGo(memory: ArrayBuffer): void {
    this.retiredMaps.delete(memory)
    // What the native side had no room for was only kept from the collector.
    if (this.driver.letGo(this.handle, memory) < 0 && this.forGood.length > 0)
      this.forGood = this.forGood.filter((held) => held !== memory)
  }

  #syncCancelAll(): void {
    const { SYNC_CANCEL } = SCRATCH
    const scratch = this.#scratch
    scratch.fill(0, SYNC_CANCEL, SYNC_CANCEL + 16)
    scratch[SYNC_CANCEL + 2] = -1
    scratch[SYNC_CANCEL + 3] = abi.IORING_ASYNC_CANCEL_ANY | abi.IORING_ASYNC_CANCEL_ALL
    this.#writeTimespec(SYNC_CANCEL + 4, 1e6)
    // Whatever it answers proves nothing: the kernel may still write. Only CQEs count.
    this.register(abi.IORING_REGISTER_SYNC_CANCEL, this.#scratchAddress + SYNC_CANCEL * 4, 1)
  }

  /**
   * Waits until the kernel has let go of everything: the last CQE of every operation came in. Frees nothing.
   * @returns operations the kernel still has, 0 when quiet
   */
  quiesce(options: QuiesceOptions): number {
    const batch = new Int32Array(Math.min(this.cq.entries, 256) * this.cq.recordWords)
    const started = performance.now()
    let stuck = false
    for (let turn = 0; ; turn++) {
      const unconsumed = this.sqpoll && !stuck ? this.sq.unconsumed : 0
      if (unconsumed > 0) {
        const result = this.enter(unconsumed, 0, abi.IORING_ENTER_SQ_WAKEUP)
        // A disabled ring's thread never started, a dead one never takes them.
        stuck = result === -EBADFD || result === -EOWNERDEAD
      }
      this.#discardCqes(batch, options.onCqe)
      const left = this.inKernel()
      // The SQPOLL thread moves the head after it posted CQEs: only with nothing under way is less than none a fact.
      if (left < 0 && unconsumed === 0) this.control[CTL.MORE_SEEN]! -= left
      if (left <= 0 && (unconsumed === 0 || stuck)) return 0
      if (turn > 0 && performance.now() - started >= options.limitMs) return Math.max(left, 1)
      if (options.cancel) this.#syncCancelAll()
      // The first turns look only; then a millisecond of sleep, or less if something ends.
      if (this.#rest(turn >= 4) === -EBADFD) stuck = true
    }
  }

  /** Runs completion work; `patient` sleeps up to a millisecond for it. */
  #rest(patient: boolean): number {
    if (patient && this.features & abi.IORING_FEAT_EXT_ARG) {
      return this.enterTimed(0, 1, 0, 1e6)
    }
    if (patient) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
    return this.enter(0, 0, abi.IORING_ENTER_GETEVENTS)
  }

  #discardCqes(batch: Int32Array, onCqe: CqeCallback | undefined): void {
    const words = this.cq.recordWords
    const room = batch.length / words
    for (;;) {
      const count = this.cq.collect(batch, room)
      for (let index = 0; onCqe !== undefined && index < count; index++) {
        const at = index * words
        onCqe(batch[at]! >>> 0, batch[at + 1]! >>> 0, batch[at + 2]!, batch[at + 3]!, index)
      }
      if (count < room) return
    }
  }

  /** Closes the fd and lets the mappings go. @returns 0, or -EBUSY while the kernel has operations */
  detach(): number {
    this.dropRingIndex()
    const result = this.driver.detach(this.handle)
    if (result === 0) {
      this.cq.retire()
      this.retired = []
      this.registeredBuffers = []
      this.forGood = []
    }
    return result
  }
}

/** True for results of enter that lose nothing: the SQEs stay queued. */
export function isTransient(result: number): boolean {
  return result === -EAGAIN || result === -EBUSY || result === -EINTR
}

/** Rings that were dropped without close: their cores, until the kernel has let go. */
const forgotten = new FinalizationRegistry<RingCore>((core) => {
  process.emitWarning(
    `A Ring (${core.fd < 0 ? `index ${core.enterFd}` : `fd ${core.fd}`}) was dropped without close(); it is closed now. Call close(), or use \`using\``,
    { type: 'RingLeakWarning', code: 'RINGCORE_RING_LEAK' },
  )
  core.closed = true
  core.sq.discard(core.sqpoll)
  reclaim(core, 1)
})

function reclaim(core: RingCore, delayMs: number): void {
  const left = core.quiesce({ cancel: true, limitMs: 1 })
  if (left === 0 && core.detach() === 0) return
  setTimeout(reclaim, delayMs, core, Math.min(delayMs * 2, 1000)).unref()
}

/** Closes the ring's core some time after `ring` was collected, unless `unwatchRing` was called before. */
export function watchRing(ring: object, core: RingCore): void {
  forgotten.register(ring, core, core)
}

export function unwatchRing(core: RingCore): void {
  forgotten.unregister(core)
}
