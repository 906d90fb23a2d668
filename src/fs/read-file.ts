// Whole files in memory: `readFile`.
// Flow: the program, fs → this → read-trip.ts; File where a trip can't be had.

import { defaultRing } from '../runtime/executor.ts'
import { checkPath, type PathLike } from '../runtime/operations.ts'
import { openFlags } from '../runtime/operations-path.ts'
import { checkSignal } from '../runtime/options.ts'
import type { Uring } from '../runtime/uring.ts'
import { AbortError, ringClosedError } from '../sys/error.ts'
import { readThroughFile, readTrips } from './read-trip.ts'

export interface ReadFileOptions {
  /** The ring to work on; default: the thread's. */
  ring?: Uring | undefined
  /** Asks the kernel to stop; the promise settles when it has let go. */
  signal?: AbortSignal | undefined
  /** As Node's flags: 'r' (default), 'a+', O_* … */
  flag?: string | number | undefined
}

/**
 * Reads a whole file.
 *
 * A small one is one trip to the kernel, on a direct descriptor: no fd of the process is used.
 *
 * @returns its bytes, in memory of the caller's own
 * @throws ENOENT · EACCES · EISDIR · AbortError · ERR_FS_FILE_TOO_LARGE (more than 2 GiB)
 */
export function readFile(path: PathLike, options?: ReadFileOptions): Promise<Buffer> {
  try {
    const ring = options?.ring ?? defaultRing()
    if (ring.closed) throw ringClosedError()
    const name = checkPath(path)
    const flag = options?.flag
    const flags = flag === undefined ? 0 : openFlags(flag)
    const signal = options?.signal
    if (signal !== undefined) {
      checkSignal(signal)
      if (signal.aborted) throw new AbortError(signal.reason)
    }
    const trips = readTrips(ring)
    const trip = trips.take()
    if (trip !== null) return trip.start(name, flags, signal)
    return trips.later(
      (later) => later.start(name, flags, signal),
      () => readThroughFile(name, flags, ring, signal),
      signal,
    )
  } catch (error) {
    return Promise.reject(error)
  }
}
