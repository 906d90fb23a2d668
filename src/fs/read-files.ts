// Many whole files: `readFiles`.
// Flow: the program, fs → this → batch.ts, read-trip.ts; files-by-node.ts where there is no ring.

import { checkPath, type PathLike } from '../runtime/operations.ts'
import { openFlags } from '../runtime/operations-path.ts'
import type { Uring } from '../runtime/uring.ts'
import { checkInteger } from '../sys/validate.ts'
import {
  Batch,
  type BatchOptions,
  type ChooseRing,
  checkBatchOptions,
  checkSource,
  givenOrThreads,
  type Settle,
  type Source,
} from './batch.ts'
import { readByNode } from './files-by-node.ts'
import { readThroughFile, readTrips } from './read-trip.ts'

/** A file that was read; with `onError: 'collect'` maybe one that was not. */
export interface FileRead {
  path: PathLike
  /** Its bytes; empty when `error` is there. */
  data: Buffer
  error?: Error
}

export interface ReadFilesOptions extends BatchOptions {
  /** Most bytes that are read ahead of the consumer; default 64 MiB. One file may always be larger. */
  maxBytes?: number | undefined
  /** As Node's flags; default 'r'. */
  flag?: string | number | undefined
}

const MAX_BYTES = 64 * 1024 * 1024
const NOTHING = Buffer.alloc(0)

class Reading {
  readonly #settle: Settle<FileRead>
  readonly #path: PathLike

  constructor(settle: Settle<FileRead>, path: PathLike) {
    this.#settle = settle
    this.#path = path
  }

  done(data: Buffer): void {
    this.#settle.done({ path: this.#path, data }, data.length)
  }

  failed(error: Error): void {
    this.#settle.failed(error)
  }

  reserve(bytes: number): Promise<void> | undefined {
    return this.#settle.reserve(bytes)
  }
}

/**
 * Reads many files, some at once, and gives them one by one: `for await (const { path, data } of readFiles(paths))`.
 *
 * Nothing begins before the first is asked for. Leaving the loop early stops the reading.
 *
 * @param paths an array, a generator, an async iterable
 * @throws the error of a file, at its turn, unless `onError: 'collect'`: then the result has an `error`
 */
export function readFiles(
  paths: Source<PathLike>,
  options: ReadFilesOptions = {},
): Batch<PathLike, FileRead> {
  return readFilesOn(givenOrThreads, paths, options)
}

/** The same where the caller says which ring. */
export function readFilesOn(
  choose: ChooseRing,
  paths: Source<PathLike>,
  options: ReadFilesOptions,
): Batch<PathLike, FileRead> {
  checkSource('paths', paths)
  checkBatchOptions(options)
  const { maxBytes = MAX_BYTES, flag, signal } = options
  checkInteger('options.maxBytes', maxBytes, 1)
  const flags = flag === undefined ? 0 : openFlags(flag)
  const ring = choose(options.ring)
  const start = ring === null ? throughNode(flags, signal) : throughTrips(ring, flags, signal)
  return new Batch<PathLike, FileRead>(paths, options, maxBytes, start, (path, error) => ({
    path,
    data: NOTHING,
    error,
  }))
}

type Start = (path: PathLike, settle: Settle<FileRead>) => void

function throughNode(flags: number, signal: AbortSignal | undefined): Start {
  return (path, settle) => {
    const name = checkPath(path)
    const reading = new Reading(settle, path)
    readByNode(name, flags, (bytes) => settle.reserve(bytes), signal).then(
      (data) => reading.done(data),
      (error) => reading.failed(error),
    )
  }
}

function throughTrips(ring: Uring, flags: number, signal: AbortSignal | undefined): Start {
  const trips = readTrips(ring)
  return (path, settle) => {
    const name = checkPath(path)
    const reading = new Reading(settle, path)
    const trip = trips.take()
    if (trip !== null) {
      trip.startFor(reading, name, flags, signal)
      return
    }
    trips
      .later(
        (later) => later.start(name, flags, signal),
        () => readThroughFile(name, flags, ring, signal),
        signal,
      )
      .then(
        (data) => reading.done(data),
        (error) => reading.failed(error),
      )
  }
}
