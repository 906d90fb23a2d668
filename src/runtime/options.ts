// What every operation takes besides its own arguments, and the check of it.
// Flow: engine.ts → this.

import { setMaxListeners } from 'node:events'
import { IOSQE_ASYNC, IOSQE_IO_DRAIN } from '../sys/abi.ts'
import { AbortError, argumentTypeError, argumentValueError, rangeError } from '../sys/error.ts'
import { checkBoolean, checkInteger } from '../sys/validate.ts'

/** Links are made by chain(), buffers are selected by groups, and a skipped CQE would never free its slot. */
const SQE_FLAGS = IOSQE_ASYNC | IOSQE_IO_DRAIN

/** What every operation takes. */
export interface OperationOptions {
  /** Asks the kernel to cancel; the promise settles when the kernel has let go. */
  signal?: AbortSignal | undefined
  /** Milliseconds after which the kernel cancels the operation; it then rejects with ETIMEDOUT. */
  timeout?: number | undefined
  /** false: this operation does not hold the process open. */
  ref?: boolean | undefined
  /** IOSQE_ASYNC: on a worker of the kernel's. IOSQE_IO_DRAIN: after all before it; the ring waits in epoll from then on. */
  sqeFlags?: number | undefined
  /** Credentials to use, as registered with `registerPersonality`. */
  personality?: number | undefined
}

/** Checks for an AbortSignal, of this realm or another. */
export function checkSignal(signal: unknown): asserts signal is AbortSignal {
  const { aborted, addEventListener } = (signal ?? {}) as Partial<AbortSignal>
  if (typeof aborted !== 'boolean' || typeof addEventListener !== 'function')
    throw argumentTypeError('options.signal', 'an instance of AbortSignal', signal)
}

/**
 * Calls `listener` when the signal aborts. One signal for a thousand operations is what signals are for, so Node's warning of
 * an eleventh listener is switched off for it.
 */
export function listen(signal: AbortSignal, listener: () => void): void {
  if (signal instanceof EventTarget) setMaxListeners(0, signal)
  signal.addEventListener('abort', listener, { once: true })
}

/**
 * Takes a listener away again. A signal that is not quite one, such as a Proxy, may throw at that: where an operation ends, this
 * must not keep the others from ending, and a listener that stays finds nothing to cancel.
 */
export function unlisten(signal: AbortSignal, listener: () => void): void {
  try {
    signal.removeEventListener('abort', listener)
  } catch {}
}

/** Whether a signal has aborted, asked where an operation ends: what throws at the question has not. */
export function hasAborted(signal: AbortSignal | null): signal is AbortSignal {
  try {
    return signal?.aborted === true
  } catch {
    return false
  }
}

/** Checks what every operation takes, before anything is claimed. Returns whether it is to be drained. */
export function checkOptions(options: OperationOptions): boolean {
  if (typeof options !== 'object' || options === null)
    throw argumentTypeError('options', 'of type object', options)
  const { signal, timeout, ref, sqeFlags, personality } = options
  if (signal !== undefined) {
    checkSignal(signal)
    if (signal.aborted) throw new AbortError(signal.reason)
  }
  if (
    timeout !== undefined &&
    !(typeof timeout === 'number' && timeout >= 0 && timeout <= Number.MAX_SAFE_INTEGER)
  ) {
    if (typeof timeout !== 'number') throw argumentTypeError('options.timeout', 'of type number', timeout)
    throw rangeError('options.timeout', `>= 0 && <= ${Number.MAX_SAFE_INTEGER}`, timeout)
  }
  if (ref !== undefined) checkBoolean('options.ref', ref)
  if (sqeFlags !== undefined) checkInteger('options.sqeFlags', sqeFlags, 0)
  if (sqeFlags !== undefined && ((sqeFlags & ~SQE_FLAGS) !== 0 || sqeFlags > SQE_FLAGS)) {
    throw argumentValueError('options.sqeFlags', sqeFlags, 'may hold IOSQE_ASYNC and IOSQE_IO_DRAIN')
  }
  if (personality !== undefined) checkInteger('options.personality', personality, 0, 65535)
  return sqeFlags !== undefined && (sqeFlags & IOSQE_IO_DRAIN) !== 0
}
