// Operations on no file or on readiness: NOP, timeouts, polling.
// Flow: Uring → this → op/prep-control.ts, engine.ts, multishot.ts.

import { prepNop, prepPollAdd, prepPollMultishot, prepTimeout } from '../op/prep-control.ts'
import type { RingOptions } from '../ring/ring.ts'
import { SQE, type Sqe } from '../ring/sqe.ts'
import {
  IORING_NOP_CQE32,
  IORING_NOP_FILE,
  IORING_NOP_FIXED_BUFFER,
  IORING_NOP_FIXED_FILE,
  IORING_NOP_INJECT_RESULT,
  IORING_NOP_TW,
  IORING_OP_NOP,
  IORING_OP_POLL_ADD,
  IORING_OP_TIMEOUT,
  IORING_SETUP_CQE_MIXED,
  IORING_SETUP_CQE32,
  IORING_TIMEOUT_ABS,
  IORING_TIMEOUT_BOOTTIME,
  IORING_TIMEOUT_ETIME_SUCCESS,
  IORING_TIMEOUT_MULTISHOT,
  IORING_TIMEOUT_REALTIME,
} from '../sys/abi.ts'
import { argumentTypeError, argumentValueError, rangeError, stateError } from '../sys/error.ts'
import { checkBoolean, checkInteger } from '../sys/validate.ts'
import { explainFlags, type GatedFlag } from './flag-gate.ts'
import { Multishot, type MultishotKind, type MultishotOptions } from './multishot.ts'
import { checkTarget, checkWord, type FileTarget, optionalWord } from './operations.ts'
import { NetOperations } from './operations-net.ts'
import type { OperationOptions } from './options.ts'
import { FixedFile } from './resource.ts'
import type { Slot } from './slots.ts'

const ETIME = -62

/** Checks a time in milliseconds. */
export function checkMs(ms: unknown): asserts ms is number {
  if (typeof ms !== 'number') throw argumentTypeError('ms', 'of type number', ms)
  if (!(ms >= 0 && ms <= Number.MAX_SAFE_INTEGER))
    throw rangeError('ms', `>= 0 && <= ${Number.MAX_SAFE_INTEGER}`, ms)
}

/** Which clock a timeout runs on. */
export interface ClockOptions {
  /** 'monotonic' (the default) stands still while the machine sleeps, 'boottime' does not, 'realtime' is the wall clock. */
  clock?: 'monotonic' | 'boottime' | 'realtime' | undefined
  /** The time is a moment on that clock, such as `Date.now() + 1000` on 'realtime', not a length. */
  absolute?: boolean | undefined
}

const CLOCKS = { monotonic: 0, boottime: IORING_TIMEOUT_BOOTTIME, realtime: IORING_TIMEOUT_REALTIME } as const

/** The IORING_TIMEOUT_* flags of a clock. */
export function timeoutFlags(options: ClockOptions | undefined): number {
  const { clock = 'monotonic', absolute = false } = options ?? {}
  if (!Object.hasOwn(CLOCKS, clock))
    throw argumentValueError('options.clock', clock, "must be 'monotonic', 'boottime' or 'realtime'")
  checkBoolean('options.absolute', absolute)
  return CLOCKS[clock] | (absolute ? IORING_TIMEOUT_ABS : 0)
}

export interface NopOptions extends OperationOptions {
  /** The result that the kernel shall give: a count, or a negative errno. @kernel 6.10 */
  result?: number | undefined
  /** IORING_NOP_* flags. */
  flags?: number | undefined
  /** The kernel shall look this file up, as it does for others: EBADF if it is none. @kernel 6.13 */
  file?: FileTarget | undefined
}

const BIG_CQES = IORING_SETUP_CQE32 | IORING_SETUP_CQE_MIXED

/** A NOP's flag; it fails with something else than EINVAL, or not at all, where the kernel knows it. */
const nopFlag = (flag: number, name: string, since: string, ring?: RingOptions): [number, GatedFlag] => {
  const write = (sqe: Sqe): void => {
    prepNop(sqe)
    sqe.words[SQE.OP_FLAGS] = flag
  }
  return [flag, ring === undefined ? { name, since, write } : { name, since, write, ring }]
}
const NOP_FLAGS: readonly [number, GatedFlag][] = [
  nopFlag(IORING_NOP_INJECT_RESULT, 'IORING_NOP_INJECT_RESULT', '6.10'),
  nopFlag(IORING_NOP_FILE, 'IORING_NOP_FILE', '6.13'),
  nopFlag(IORING_NOP_FIXED_FILE, 'IORING_NOP_FIXED_FILE', '6.13'),
  nopFlag(IORING_NOP_FIXED_BUFFER, 'IORING_NOP_FIXED_BUFFER', '6.13'),
  nopFlag(IORING_NOP_TW, 'IORING_NOP_TW', '6.17'),
  nopFlag(IORING_NOP_CQE32, 'IORING_NOP_CQE32', '6.18', { cqe32: true }),
]

export class ControlOperations extends NetOperations {
  /**
   * Does nothing, through the kernel and back: what a round trip costs.
   * @returns 0, or `options.result`
   * @throws what a negative `options.result` says · ERR_RING_FEATURE a flag that this kernel does not know
   * @kernel 5.1 · IORING_OP_NOP
   * @man io_uring_prep_nop(3)
   */
  nop(options?: NopOptions): Promise<number> {
    try {
      const flags = optionalWord('options.flags', options?.flags)
      if (options?.result !== undefined)
        checkInteger('options.result', options.result, -0x80000000, 0x7fffffff)
      if ((flags & IORING_NOP_CQE32) !== 0 && (this.engine.ring.setupFlags & BIG_CQES) === 0)
        throw stateError(
          "Cannot use IORING_NOP_CQE32: the ring's completions have 16 bytes; make it with cqe32 or cqeMixed",
        )
      if (options?.file !== undefined) checkTarget(options.file, 'nop', 'options.file')
      const slot = this.engine.begin(IORING_OP_NOP, options)
      if (slot === null) return this.engine.later(() => this.nop(options), options)
      prepNop(slot.sqe)
      if (options === undefined) return this.engine.promise(slot)
      this.#nopExtras(slot, flags, options)
      const asked = slot.sqe.words[SQE.OP_FLAGS]!
      const result = this.engine.promise<number>(slot)
      return asked === 0 ? result : this.#explained(asked, result)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** The result, or an error that names the flag that this kernel does not know. */
  async #explained(flags: number, result: Promise<number>): Promise<number> {
    try {
      return await result
    } catch (error) {
      const asked = NOP_FLAGS.filter(([flag]) => (flags & flag) !== 0).map(([, gated]) => gated)
      throw explainFlags(this.engine, error, asked)
    }
  }

  /** Writes what a NOP has besides its opcode. */
  #nopExtras(slot: Slot, flags: number, { result, file }: NopOptions): void {
    const { words } = slot.sqe
    words[SQE.OP_FLAGS] = result === undefined ? flags : flags | IORING_NOP_INJECT_RESULT
    words[SQE.LEN] = result ?? 0
    if (file === undefined) return
    words[SQE.OP_FLAGS]! |= IORING_NOP_FILE
    if (file instanceof FixedFile) {
      words[SQE.FD] = file.index
      words[SQE.OP_FLAGS]! |= IORING_NOP_FIXED_FILE
    } else this.aim(slot, file)
  }

  /**
   * Waits `ms` milliseconds on the kernel's monotonic clock, or as `options` say; fractions count.
   * @throws AbortError
   * @kernel 5.4 · IORING_OP_TIMEOUT
   * @man io_uring_prep_timeout(3)
   */
  async timeout(ms: number, options?: OperationOptions & ClockOptions): Promise<void> {
    checkMs(ms)
    const flags = timeoutFlags(options)
    const slot = this.engine.begin(IORING_OP_TIMEOUT, options)
    if (slot === null) return this.engine.later(() => this.timeout(ms, options), options)
    // A timeout that runs out is a success: without the flag it would break a chain.
    prepTimeout(slot.sqe, this.timespec(slot, ms), 0, flags | IORING_TIMEOUT_ETIME_SUCCESS)
    slot.succeeds = ETIME
    await this.engine.promise(slot)
  }

  /**
   * Ticks every `ms` milliseconds with one request; ticks that nobody took in time are kept up to `capacity`.
   * @returns the number of each tick, from 1
   * @kernel 6.4 · IORING_OP_TIMEOUT with IORING_TIMEOUT_MULTISHOT
   * @man io_uring_prep_timeout(3)
   */
  timeoutMultishot(ms: number, options?: MultishotOptions & Pick<ClockOptions, 'clock'>): Multishot<number> {
    checkMs(ms)
    const flags =
      timeoutFlags({ clock: options?.clock }) | IORING_TIMEOUT_MULTISHOT | IORING_TIMEOUT_ETIME_SUCCESS
    let ticks = 0
    const kind: MultishotKind<number> = {
      syscall: 'timeout',
      arm: (engine) => {
        const slot = engine.begin(IORING_OP_TIMEOUT, { ref: options?.ref })
        if (slot === null) return null
        prepTimeout(slot.sqe, this.timespec(slot, ms), 0, flags)
        slot.succeeds = ETIME
        return slot
      },
      item: () => ++ticks,
      discard: () => {},
    }
    return new Multishot(this.engine, kind, options)
  }

  /**
   * Waits until a file is ready.
   * @param events POLLIN, POLLOUT …
   * @returns the events that are, POLLERR and POLLHUP included
   * @kernel 5.1 · IORING_OP_POLL_ADD
   * @man io_uring_prep_poll_add(3), poll(2)
   */
  poll(file: FileTarget, events: number, options?: OperationOptions): Promise<number> {
    try {
      checkTarget(file, 'poll')
      checkWord('events', events)
      const slot = this.engine.begin(IORING_OP_POLL_ADD, options)
      if (slot === null) return this.engine.later(() => this.poll(file, events, options), options)
      prepPollAdd(slot.sqe, -1, events)
      this.aim(slot, file)
      return this.engine.promise(slot)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /**
   * Reports each time a file becomes ready, with one request; after the first event only changes count.
   * @returns the events of each time
   * @kernel 5.13 · IORING_OP_POLL_ADD with IORING_POLL_ADD_MULTI
   * @man io_uring_prep_poll_multishot(3)
   */
  pollMultishot(file: FileTarget, events: number, options?: MultishotOptions): Multishot<number> {
    checkTarget(file, 'poll')
    checkWord('events', events)
    const kind: MultishotKind<number> = {
      syscall: 'poll',
      arm: (engine) => {
        const slot = engine.begin(IORING_OP_POLL_ADD, { ref: options?.ref })
        if (slot === null) return null
        prepPollMultishot(slot.sqe, -1, events)
        this.aim(slot, file)
        return slot
      },
      item: (revents) => revents,
      discard: () => {},
    }
    return new Multishot(this.engine, kind, options)
  }
}
