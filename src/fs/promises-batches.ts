// readFiles, writeFiles, stats and walk of the door `ringcore/fs`: on the ring, or through node:fs where none can be made.
// Flow: promises.ts → this → read-files.ts, write-files.ts, stats.ts, walk.ts.

import type { PathLike } from '../runtime/operations.ts'
import type { Batch, ChooseRing, Source } from './batch.ts'
import { givenOrThreads } from './batch.ts'
import { ringNow } from './promises-backend.ts'
import { type FileRead, type ReadFilesOptions, readFilesOn } from './read-files.ts'
import { type FileStats, type StatsOptions, statsOn } from './stats.ts'
import { type WalkEntry, type WalkOptions, walkOn } from './walk.ts'
import { type FileToWrite, type WriteFiles, type WriteFilesOptions, writeFilesOn } from './write-files.ts'

const choose: ChooseRing = (given) => (given === undefined ? ringNow() : givenOrThreads(given))

/** As `readFiles` of ringcore. */
export function readFiles(
  paths: Source<PathLike>,
  options: ReadFilesOptions = {},
): Batch<PathLike, FileRead> {
  return readFilesOn(choose, paths, options)
}

/** As `writeFiles` of ringcore. */
export function writeFiles(entries: Source<FileToWrite>, options: WriteFilesOptions = {}): WriteFiles {
  return writeFilesOn(choose, entries, options)
}

/** As `stats` of ringcore. */
export function stats(paths: Source<PathLike>, options: StatsOptions = {}): Batch<PathLike, FileStats> {
  return statsOn(choose, paths, options)
}

/** As `walk` of ringcore. */
export function walk(dir: PathLike, options: WalkOptions = {}): AsyncGenerator<WalkEntry> {
  return walkOn(choose, dir, options)
}
