// How long a wait may take and what ends it, checked.
// Flow: ring.ts → this.
// man io_uring_submit_and_wait_timeout(3), io_uring_wait_cqes_min_timeout(3)

import * as abi from '../sys/abi.ts'
import { argumentTypeError, invalidArgument, rangeError, ringFeatureError } from '../sys/error.ts'
import { checkInteger } from '../sys/validate.ts'

/** How long a wait may take, and what it waits for. */
export interface WaitOptions {
  /** Longest wait in milliseconds; fractions count. */
  timeoutMs?: number | undefined
  /** Longest wait in nanoseconds, instead of `timeoutMs`. */
  timeoutNs?: number | undefined
  /** Microseconds to gather completions before fewer than asked for are enough. @kernel 6.12 */
  minWaitUs?: number | undefined
  /** Numbers of the signals that stay blocked during the wait, and no others. */
  sigmask?: readonly number[] | undefined
}

export const NO_WAIT: WaitOptions = {}

/** A wait that was begun. */
export interface Wait {
  /** Negative: without end. */
  timeoutNs: number
  minWaitUs: number
  sigmask: readonly number[] | undefined
  startedMs: number
}

/**
 * Checks the options against what the kernel can do, and starts the clock.
 * @param features IORING_FEAT_* bits of the ring
 */
export function beginWait(options: WaitOptions, features: number): Wait {
  if (typeof options !== 'object' || options === null) {
    throw argumentTypeError('options', 'of type object', options)
  }
  const { timeoutMs, timeoutNs, minWaitUs = 0, sigmask } = options
  if (timeoutMs !== undefined && timeoutNs !== undefined) {
    throw invalidArgument('Cannot wait: timeoutMs and timeoutNs exclude each other; leave one out')
  }
  const name = timeoutMs === undefined ? 'timeoutNs' : 'timeoutMs'
  const given = timeoutMs ?? timeoutNs ?? -1
  if (typeof given !== 'number') throw argumentTypeError(name, 'of type number', given)
  const hasEnd = timeoutMs !== undefined || timeoutNs !== undefined
  const ns = timeoutMs === undefined ? given : given * 1e6
  if (hasEnd && !(ns >= 0 && ns <= Number.MAX_SAFE_INTEGER)) {
    throw rangeError(name, `>= 0 && <= ${timeoutMs === undefined ? '2^53' : '2^53 ns'}`, given)
  }
  checkInteger('minWaitUs', minWaitUs, 0, 0xffffffff)
  for (const signal of sigmask ?? []) checkInteger('sigmask', signal, 1, 64)
  if (!(features & abi.IORING_FEAT_EXT_ARG)) throw ringFeatureError('IORING_ENTER_EXT_ARG', '5.11')
  if (minWaitUs > 0 && !(features & abi.IORING_FEAT_MIN_TIMEOUT)) {
    throw ringFeatureError('IORING_FEAT_MIN_TIMEOUT', '6.12')
  }
  return { timeoutNs: hasEnd ? ns : -1, minWaitUs, sigmask, startedMs: performance.now() }
}

/** Nanoseconds that are left: 0 when the time is over, -1 when there is no end. */
export function remainingNs(wait: Wait): number {
  if (wait.timeoutNs < 0) return -1
  return Math.max(0, wait.timeoutNs - (performance.now() - wait.startedMs) * 1e6)
}
