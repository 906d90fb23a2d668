// Whole files out of memory: `writeFile`.
// Flow: the program, fs → this → write-trip.ts; File where a trip can't be had.

import { constants } from 'node:fs'
import { defaultRing } from '../runtime/executor.ts'
import { checkPath, checkWord, type PathLike } from '../runtime/operations.ts'
import { openFlags } from '../runtime/operations-path.ts'
import { checkSignal } from '../runtime/options.ts'
import type { Uring } from '../runtime/uring.ts'
import { AbortError, argumentTypeError, ringClosedError } from '../sys/error.ts'
import { checkBoolean } from '../sys/validate.ts'
import { type WriteMode, writeThroughFile, writeTrips } from './write-trip.ts'

/** How a file is made: as the options of node:fs/promises. */
export interface WriteHow {
  /** As Node's flags: 'w' (default), 'wx', 'a', O_* … */
  flag?: string | number | undefined
  /** Permissions of a new file, less the umask; default 0o666. */
  mode?: number | undefined
  /** Brings data and metadata to the device before the file is closed (fsync). */
  flush?: boolean | undefined
}

export interface WriteFileOptions extends WriteHow {
  /** The ring to work on; default: the thread's. */
  ring?: Uring | undefined
  /** Asks the kernel to stop; the promise settles when it has let go, and what was written stays. */
  signal?: AbortSignal | undefined
}

const { O_CREAT, O_TRUNC, O_WRONLY } = constants
const DEFAULT: WriteMode = { flags: O_WRONLY | O_CREAT | O_TRUNC, mode: 0o666, flush: false }

/** Checks how a file is to be made. */
export function writeMode(how: WriteHow | undefined): WriteMode {
  if (how === undefined) return DEFAULT
  const { flag, mode = DEFAULT.mode, flush = false } = how
  if (flag === undefined && mode === DEFAULT.mode && flush === false) return DEFAULT
  checkWord('mode', mode)
  checkBoolean('options.flush', flush)
  return { flags: flag === undefined ? DEFAULT.flags : openFlags(flag), mode, flush }
}

/** The bytes of what is to be written: text is UTF-8. */
export function writeData(data: unknown): Uint8Array {
  if (typeof data === 'string') return Buffer.from(data)
  if (data instanceof Uint8Array) return data
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
  throw argumentTypeError('data', 'of type string or an instance of Buffer, TypedArray, or DataView', data)
}

/**
 * Writes a whole file, replacing the one that is there.
 *
 * Data up to 4 KiB is copied at once; what is longer is the kernel's until the promise settles. The file is not replaced in one
 * step: an error or an abort leaves what was written. No fd of the process is used.
 *
 * @throws ENOSPC, EIO, EDQUOT … · EEXIST (flag 'wx') · AbortError
 */
export function writeFile(
  path: PathLike,
  data: string | ArrayBufferView,
  options?: WriteFileOptions,
): Promise<void> {
  try {
    const ring = options?.ring ?? defaultRing()
    if (ring.closed) throw ringClosedError()
    const name = checkPath(path)
    const bytes = writeData(data)
    const how = writeMode(options)
    const signal = options?.signal
    if (signal !== undefined) {
      checkSignal(signal)
      if (signal.aborted) throw new AbortError(signal.reason)
    }
    const workers = ring.workerRing()
    const trips = writeTrips(workers)
    const trip = trips.take()
    if (trip !== null) return trip.start(name, bytes, how, signal)
    return trips.later(
      (later) => later.start(name, bytes, how, signal),
      () => writeThroughFile(name, bytes, how, workers, signal),
      signal,
    )
  } catch (error) {
    return Promise.reject(error)
  }
}
