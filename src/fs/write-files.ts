// Many whole files: `writeFiles`.
// Flow: the program, fs → this → batch.ts, write-trip.ts; files-by-node.ts where there is no ring.

import { checkPath, type PathLike } from '../runtime/operations.ts'
import { argumentTypeError } from '../sys/error.ts'
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
import { writeByNode } from './files-by-node.ts'
import { type WriteHow, writeData, writeMode } from './write-file.ts'
import { writeThroughFile, writeTrips } from './write-trip.ts'

/** A file to write; what it leaves out comes from the options of the batch. */
export interface FileToWrite extends WriteHow {
  path: PathLike
  data: string | ArrayBufferView
}

/** A file that was written; with `onError: 'collect'` maybe one that was not. */
export interface FileWritten {
  path: PathLike
  /** Bytes written; 0 when `error` is there, although some may be. */
  bytes: number
  error?: Error
}

/** What became of all of them. */
export interface WriteSummary {
  files: number
  bytes: number
  /** With `onError: 'collect'`: those that were not written. */
  errors: FileWritten[]
}

export interface WriteFilesOptions extends BatchOptions, WriteHow {}

/** The results one by one, or with `await` all that became of them. */
export class WriteFiles extends Batch<FileToWrite, FileWritten> implements PromiseLike<WriteSummary> {
  #all: Promise<WriteSummary> | null = null

  /** Writes everything: what `await writeFiles(entries)` calls. */
  // biome-ignore lint/suspicious/noThenProperty: `await` without a loop must not mean that nothing is written
  then<A = WriteSummary, B = never>(
    resolved?: ((summary: WriteSummary) => A | PromiseLike<A>) | null,
    rejected?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#all ??= this.#writeAll()
    return this.#all.then(resolved, rejected)
  }

  async #writeAll(): Promise<WriteSummary> {
    const summary: WriteSummary = { files: 0, bytes: 0, errors: [] }
    for await (const written of this) {
      if (written.error === undefined) {
        summary.files++
        summary.bytes += written.bytes
      } else summary.errors.push(written)
    }
    return summary
  }
}

/** Data in hand is memory that the caller made: what is asked for is only what is written at once. */
const UNLIMITED = Number.POSITIVE_INFINITY

/**
 * Writes many files, some at once. `await writeFiles(entries)` tells how many, and
 * `for await (const { path, bytes } of writeFiles(entries))` tells of each.
 *
 * Nothing begins before one of the two. Entries are taken from the source as places are free, so no more than `concurrency` of
 * them are held. Leaving the loop early stops the writing.
 *
 * @param entries `{ path, data, flag?, mode?, flush? }`: an array, a generator, an async iterable
 * @throws the error of a file, unless `onError: 'collect'`
 */
export function writeFiles(entries: Source<FileToWrite>, options: WriteFilesOptions = {}): WriteFiles {
  return writeFilesOn(givenOrThreads, entries, options)
}

/** The same where the caller says which ring. */
export function writeFilesOn(
  choose: ChooseRing,
  entries: Source<FileToWrite>,
  options: WriteFilesOptions,
): WriteFiles {
  checkSource('entries', entries)
  checkBatchOptions(options)
  const { signal, flag, mode, flush } = options
  const common = writeMode({ flag, mode, flush })
  const workers = choose(options.ring)?.workerRing() ?? null
  const trips = workers === null ? null : writeTrips(workers)
  const start = (entry: FileToWrite, settle: Settle<FileWritten>): void => {
    if (typeof entry !== 'object' || entry === null) throw argumentTypeError('entry', 'of type object', entry)
    const { path } = entry
    const name = checkPath(path)
    const data = writeData(entry.data)
    const isPlain = entry.flag === undefined && entry.mode === undefined && entry.flush === undefined
    const how = isPlain
      ? common
      : writeMode({ flag: entry.flag ?? flag, mode: entry.mode ?? mode, flush: entry.flush ?? flush })
    const bytes = data.length
    const receiver = {
      done: () => settle.done({ path, bytes }, bytes),
      failed: (error: Error) => settle.failed(error),
    }
    if (workers === null || trips === null) {
      writeByNode(name, data, how, signal).then(receiver.done, receiver.failed)
      return
    }
    const trip = trips.take()
    if (trip !== null) {
      trip.startFor(receiver, name, data, how, signal)
      return
    }
    trips
      .later(
        (later) => later.start(name, data, how, signal),
        () => writeThroughFile(name, data, how, workers, signal),
        signal,
      )
      .then(receiver.done, receiver.failed)
  }
  return new WriteFiles(entries, options, UNLIMITED, start, (entry, error) => ({
    path: entry?.path,
    bytes: 0,
    error,
  }))
}
