// The metadata of many files: `stats`.
// Flow: the program, fs → this → batch.ts, linked.ts (chains of statx on workers); files-by-node.ts where there is no ring.

import { prepStatx } from '../op/prep-path.ts'
import { checkPath, type PathLike, putPath } from '../runtime/operations.ts'
import { pathText } from '../runtime/operations-path.ts'
import type { Uring } from '../runtime/uring.ts'
import { IORING_OP_STATX } from '../sys/abi.ts'
import { AT_FDCWD, AT_SYMLINK_NOFOLLOW } from '../sys/constants.ts'
import { errnoError } from '../sys/error.ts'
import { decodeStatx, STATX_BYTES, STATX_FOR_STATS, type Statx } from '../sys/statx.ts'
import { checkBoolean, checkInteger } from '../sys/validate.ts'
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
import { statByNode } from './files-by-node.ts'
import { CLOSED, chainLength, closedOr, runLinked } from './linked.ts'

/** A file and its metadata; with `onError: 'collect'` maybe one that has none. */
export interface FileStats {
  path: PathLike
  stats: Statx | null
  error?: Error
}

export interface StatsOptions extends BatchOptions {
  /** false: of a symbolic link itself, as lstat; default true. */
  followSymlinks?: boolean | undefined
  /** STATX_* of what is wanted; default: what stat(2) gives, and the birth time. */
  mask?: number | undefined
}

interface Wanted {
  name: string | Uint8Array
  path: PathLike
  settle: Settle<FileStats>
}

/** Collects what is asked for in one go and asks for it with one chain. */
class Asking {
  readonly #ring: Uring
  readonly #flags: number
  readonly #mask: number
  readonly #most: number
  #group: Wanted[] = []
  readonly #ask = (): void => this.#flush()

  constructor(ring: Uring, flags: number, mask: number) {
    this.#ring = ring
    this.#flags = flags
    this.#mask = mask
    this.#most = Math.min(16, chainLength(ring))
  }

  add(wanted: Wanted): void {
    this.#group.push(wanted)
    if (this.#group.length === this.#most) this.#flush()
    else if (this.#group.length === 1) queueMicrotask(this.#ask)
  }

  #flush(): void {
    const group = this.#group
    if (group.length === 0) return
    this.#group = []
    const ring = this.#ring
    const { engine } = ring
    const out = new Uint8Array(group.length * STATX_BYTES)
    const address = engine.ring.driver.addressOf(out)
    runLinked(
      ring,
      IORING_OP_STATX,
      group.length,
      (slot, i) => {
        const name = putPath(engine, slot, group[i]!.name)
        slot.held = slot.held === null ? out : [slot.held, out]
        prepStatx(slot.sqe, AT_FDCWD, name, this.#flags, this.#mask, address + i * STATX_BYTES)
      },
      (i, res) => {
        const { settle, path, name } = group[i]!
        if (res >= 0) settle.done({ path, stats: decodeStatx(out, i * STATX_BYTES) }, 0)
        else settle.failed(this.#errorOf(res, name))
      },
    )
  }

  #errorOf(res: number, name: string | Uint8Array): Error {
    const syscall = (this.#flags & AT_SYMLINK_NOFOLLOW) === 0 ? 'stat' : 'lstat'
    const error = (): Error => errnoError(res, syscall, { path: pathText(name) })
    return res === CLOSED ? closedOr(this.#ring, res, error) : error()
  }
}

/**
 * Asks for the metadata of many files: `for await (const { path, stats } of stats(paths))`.
 *
 * @param paths an array, a generator, an async iterable
 * @param options.concurrency files asked for at once; default 128
 * @throws the error of a file, at its turn, unless `onError: 'collect'`
 * @kernel 5.6 · IORING_OP_STATX
 */
export function stats(paths: Source<PathLike>, options: StatsOptions = {}): Batch<PathLike, FileStats> {
  return statsOn(givenOrThreads, paths, options)
}

/** The same where the caller says which ring. */
export function statsOn(
  choose: ChooseRing,
  paths: Source<PathLike>,
  options: StatsOptions,
): Batch<PathLike, FileStats> {
  checkSource('paths', paths)
  checkBatchOptions(options)
  const { followSymlinks = true, mask = STATX_FOR_STATS } = options
  checkBoolean('options.followSymlinks', followSymlinks)
  checkInteger('options.mask', mask, 0, 0x7fffffff)
  const ring = choose(options.ring)
  const start = ring === null ? throughNode(followSymlinks) : throughChains(ring, followSymlinks, mask)
  return new Batch<PathLike, FileStats>(
    paths,
    { ...options, concurrency: options.concurrency ?? 128 },
    Number.POSITIVE_INFINITY,
    start,
    (path, error) => ({ path, stats: null, error }),
  )
}

type Start = (path: PathLike, settle: Settle<FileStats>) => void

function throughChains(ring: Uring, followSymlinks: boolean, mask: number): Start {
  const asking = new Asking(ring.workerRing(), followSymlinks ? 0 : AT_SYMLINK_NOFOLLOW, mask)
  return (path, settle) => asking.add({ name: checkPath(path), path, settle })
}

/** The mask is what is asked for at least: stat(2) gives all it has. */
function throughNode(followSymlinks: boolean): Start {
  return (path, settle) => {
    statByNode(checkPath(path), followSymlinks).then(
      (found) => settle.done({ path, stats: found }, 0),
      (error) => settle.failed(error),
    )
  }
}
