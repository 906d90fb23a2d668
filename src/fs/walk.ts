// All names below a directory: `walk`. The ring has no operation that reads directories, so the thread pool does, several directories
// at once; metadata, where it is asked for, comes from chains of statx.
// Flow: the program, cli/du-command.ts → this → node:fs (readdir), stats.ts.

import type { Dirent } from 'node:fs'
import { checkPath, type PathLike } from '../runtime/operations.ts'
import { pathText } from '../runtime/operations-path.ts'
import { checkSignal } from '../runtime/options.ts'
import type { Uring } from '../runtime/uring.ts'
import { AbortError } from '../sys/error.ts'
import type { Statx } from '../sys/statx.ts'
import { checkBoolean, checkFunction, checkInteger, checkObject } from '../sys/validate.ts'
import { type ChooseRing, givenOrThreads } from './batch.ts'
import { node } from './node-fs.ts'
import { statsOn } from './stats.ts'

/** One name below the directory. */
export interface WalkEntry {
  /** With the directory's own path in front, as it was given. */
  path: string
  name: string
  /** 1 for what is in the directory itself. */
  depth: number
  /** What it is; of a link: the link. */
  dirent: Dirent
  /** With `stats: true`: its metadata; of a link the link's own, unless links are followed. */
  stats: Statx | null
  /** With `onError: 'collect'`: why a directory could not be read. */
  error?: Error
}

export interface WalkOptions {
  /** Most levels below the directory; default: all. */
  depth?: number | undefined
  /** Whether to give an entry; directories are entered all the same. */
  filter?: ((entry: WalkEntry) => boolean) | undefined
  /** Whether to enter a directory; default: all. */
  enter?: ((entry: WalkEntry) => boolean) | undefined
  /** Enters directories behind links too, each directory once; default false. */
  followSymlinks?: boolean | undefined
  /** Asks for the metadata of each entry; default false. */
  stats?: boolean | undefined
  /** 'throw' (default), or 'collect': a directory that can't be read is an entry with an `error`. */
  onError?: 'throw' | 'collect' | undefined
  /** Directories read at once; default 4, as many as the thread pool has threads. */
  concurrency?: number | undefined
  signal?: AbortSignal | undefined
  /** The ring that `stats` works on; default: the thread's. */
  ring?: Uring | undefined
}

interface Pending {
  path: string
  depth: number
  entry: WalkEntry | null
}

type Read = { directory: Pending; entries: WalkEntry[]; error: Error | null }

function checkWalkOptions(options: WalkOptions): void {
  checkObject('options', options)
  const { depth, concurrency, filter, enter, followSymlinks, stats, signal } = options
  if (depth !== undefined && depth !== Number.POSITIVE_INFINITY) checkInteger('options.depth', depth, 1)
  if (concurrency !== undefined) checkInteger('options.concurrency', concurrency, 1, 1024)
  if (filter !== undefined) checkFunction('options.filter', filter)
  if (enter !== undefined) checkFunction('options.enter', enter)
  if (followSymlinks !== undefined) checkBoolean('options.followSymlinks', followSymlinks)
  if (stats !== undefined) checkBoolean('options.stats', stats)
  if (signal !== undefined) checkSignal(signal)
}

/**
 * Goes through all that is below a directory: `for await (const { path, dirent } of walk(dir))`.
 *
 * A directory comes before what is in it; apart from that the order is open. Links are not followed unless `followSymlinks` says so,
 * and then no directory is entered twice. What appears or goes away meanwhile may or may not be seen, and is no error.
 *
 * @throws ENOENT, ENOTDIR (the directory itself) · EACCES … (any, unless `onError: 'collect'`)
 */
export function walk(dir: PathLike, options: WalkOptions = {}): AsyncGenerator<WalkEntry> {
  return walkOn(givenOrThreads, dir, options)
}

/** The same where the caller says which ring metadata comes from. */
export async function* walkOn(
  choose: ChooseRing,
  dir: PathLike,
  options: WalkOptions,
): AsyncGenerator<WalkEntry> {
  const root = pathText(checkPath(dir, 'dir'))
  checkWalkOptions(options)
  const { concurrency = 4, signal, filter } = options
  const walking = new Walking(choose, options)
  /** Directories to read; the last found first, so that few are remembered. */
  const waiting: Pending[] = [{ path: root, depth: 1, entry: null }]
  const reading = new Set<Promise<void>>()
  /** Read, and not given yet: the consumer may take its time. */
  const read: Read[] = []
  try {
    while (waiting.length > 0 || reading.size > 0 || read.length > 0) {
      if (signal?.aborted === true) throw new AbortError(signal.reason)
      while (reading.size + read.length < concurrency && waiting.length > 0) {
        const promise: Promise<void> = walking.read(waiting.pop()!).then((one) => {
          reading.delete(promise)
          read.push(one)
        })
        reading.add(promise)
      }
      if (read.length === 0) await Promise.race(reading)
      const { directory, entries, error } = read.shift()!
      if (error !== null) {
        if (directory.entry === null || options.onError !== 'collect') throw error
        yield Object.assign(directory.entry, { error })
        continue
      }
      for (const entry of entries) {
        if (walking.enters(entry)) waiting.push({ path: entry.path, depth: entry.depth + 1, entry })
        if (filter === undefined || filter(entry)) yield entry
      }
    }
  } finally {
    // However it ends: nothing is at work afterwards.
    await Promise.all(reading)
  }
}

class Walking {
  readonly #choose: ChooseRing
  readonly #options: WalkOptions
  readonly #depth: number
  /** With `followSymlinks`: directories that were entered, as "device:inode". */
  readonly #seen: Set<string> | null
  readonly #isDirectory = new WeakSet<WalkEntry>()

  constructor(choose: ChooseRing, options: WalkOptions) {
    this.#choose = choose
    this.#options = options
    this.#depth = options.depth ?? Number.POSITIVE_INFINITY
    this.#seen = options.followSymlinks === true ? new Set() : null
  }

  /** Reads a directory; never rejects. */
  async read(directory: Pending): Promise<Read> {
    const { path, depth } = directory
    try {
      const found = await node.readdir(path, { withFileTypes: true })
      const entries = found.map((dirent) => ({
        path: path.endsWith('/') ? `${path}${dirent.name}` : `${path}/${dirent.name}`,
        name: dirent.name,
        depth,
        dirent,
        stats: null,
      }))
      if (this.#seen !== null && directory.entry === null) this.#seen.add(await identity(path))
      await this.#look(entries)
      return { directory, entries, error: null }
    } catch (error) {
      const isGone = (error as NodeJS.ErrnoException).code === 'ENOENT' && directory.entry !== null
      return { directory, entries: [], error: isGone ? null : (error as Error) }
    }
  }

  enters(entry: WalkEntry): boolean {
    if (entry.depth >= this.#depth) return false
    const isDirectory = this.#seen === null ? entry.dirent.isDirectory() : this.#isDirectory.has(entry)
    if (!isDirectory) return false
    return this.#options.enter === undefined || this.#options.enter(entry)
  }

  /** Asks for metadata, and finds out which links lead to directories. */
  async #look(entries: WalkEntry[]): Promise<void> {
    const { ring, stats = false, followSymlinks = false } = this.#options
    if (stats) {
      let i = 0
      const paths = entries.map(({ path }) => path)
      for await (const found of statsOn(this.#choose, paths, { ring, followSymlinks, onError: 'collect' }))
        entries[i++]!.stats = found.stats
    }
    if (this.#seen === null) return
    for (const entry of entries) {
      if (!entry.dirent.isDirectory() && !entry.dirent.isSymbolicLink()) continue
      try {
        const own = await node.stat(entry.path, { bigint: true })
        if (!own.isDirectory()) continue
        const key = `${own.dev}:${own.ino}`
        if (this.#seen.has(key)) continue
        this.#seen.add(key)
        this.#isDirectory.add(entry)
      } catch {
        // A link that leads nowhere, or a name that is gone: it is given, and not entered.
      }
    }
  }
}

async function identity(path: string): Promise<string> {
  const { dev, ino } = await node.stat(path, { bigint: true })
  return `${dev}:${ino}`
}
