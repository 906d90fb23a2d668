// Says "this kernel lacks it" for flags of operations, which no probe tells: when the kernel answered EINVAL, an entry that can only
// fail is tried with the flag, and how it fails is the answer: EINVAL for the flag, EBADF for the file.
// Flow: operations-* → this → a small ring of its own. Only after a failure, and once for each flag.

import { Ring, type RingOptions } from '../ring/ring.ts'
import type { Sqe } from '../ring/sqe.ts'
import type { Driver } from '../sys/driver.ts'
import { EINVAL } from '../sys/errno.ts'
import { ringFeatureError } from '../sys/error.ts'
import type { Engine } from './engine.ts'

/** A flag, the Linux that brought it, and what fills an entry that has it and names no file (fd -1). */
export interface GatedFlag {
  readonly name: string
  readonly since: string
  readonly write: (sqe: Sqe) => void
  /** The ring to try it on; by default the plainest. */
  readonly ring?: RingOptions
}

const lacking = new WeakMap<Driver, Map<string, boolean>>()

function lacks(driver: Driver, { name, write, ring }: GatedFlag): boolean {
  let known = lacking.get(driver)
  if (known === undefined) {
    known = new Map()
    lacking.set(driver, known)
  }
  let answer = known.get(name)
  if (answer === undefined) {
    answer = tryFlag(driver, write, ring) === -EINVAL
    known.set(name, answer)
  }
  return answer
}

function tryFlag(driver: Driver, write: (sqe: Sqe) => void, options: RingOptions = {}): number {
  const ring = new Ring({ entries: 1, ...options, driver })
  try {
    write(ring.getSqe()!)
    ring.submitAndWait(1)
    let result = 0
    ring.forEachCqe((_low, _high, res) => {
      result = res
    })
    return result
  } finally {
    ring.close({ cancel: true })
  }
}

/**
 * The error that an operation with a flag rejects with.
 * @returns ERR_RING_FEATURE, with the kernel's EINVAL as its cause, where the flag is what the kernel does not know; else the error
 */
export function explainFlag(engine: Engine, error: unknown, flag: GatedFlag): unknown {
  if ((error as NodeJS.ErrnoException)?.errno !== -EINVAL || engine.closed) return error
  if (!lacks(engine.ring.driver, flag)) return error
  return Object.assign(ringFeatureError(flag.name, flag.since), { cause: error })
}

/** As `explainFlag`, for an operation with several flags: names the first that the kernel does not know. */
export function explainFlags(engine: Engine, error: unknown, flags: readonly GatedFlag[]): unknown {
  for (const flag of flags) {
    const explained = explainFlag(engine, error, flag)
    if (explained !== error) return explained
  }
  return error
}

/** A promise that rejects with what `explainFlag` makes of its error. */
export async function withFlag<T>(engine: Engine, flag: GatedFlag, promise: Promise<T>): Promise<T> {
  try {
    return await promise
  } catch (error) {
    throw explainFlag(engine, error, flag)
  }
}
