// Batches where no ring can be made: the jobs of readFiles, writeFiles and stats through node:fs, with the same results and errors.
// Flow: read-files.ts, write-files.ts, stats.ts → this → node:fs/node. Order, limits and aborts are batch.ts's, as with a ring.

import type { BigIntStats, PathLike } from 'node:fs'
import { pathText } from '../runtime/operations-path.ts'
import { errnoError } from '../sys/error.ts'
import { STATX_FOR_STATS, type Statx } from '../sys/statx.ts'
import { node } from './node-fs.ts'
import type { WriteMode } from './write-trip.ts'

type Name = string | Uint8Array

/** Files beyond this wait until there is room for them. */
const SMALL = 65536
/** Data up to this size is copied at once and is the caller's again, as with a ring. */
const COPIED = 4096
const SECOND = 1_000_000_000n

/** @param reserve resolves when there may be so many bytes more */
export async function readByNode(
  name: Name,
  flags: number,
  reserve: (bytes: number) => Promise<void> | undefined,
  signal?: AbortSignal,
): Promise<Buffer> {
  try {
    const handle = await node.open(name as PathLike, flags)
    try {
      const { size } = await handle.stat()
      if (size > SMALL) await reserve(size)
      return await handle.readFile(signal === undefined ? {} : { signal })
    } finally {
      await handle.close()
    }
  } catch (error) {
    throw naming(error, name)
  }
}

export async function writeByNode(
  name: Name,
  data: Uint8Array,
  { flags, mode, flush }: WriteMode,
  signal?: AbortSignal,
): Promise<void> {
  const bytes = data.length > COPIED ? data : Uint8Array.from(data)
  try {
    await node.writeFile(name as PathLike, bytes, {
      flag: flags as unknown as string, // a number is as good: see Node's stringToFlags
      mode,
      flush,
      ...(signal && { signal }),
    })
  } catch (error) {
    throw naming(error, name)
  }
}

export async function statByNode(name: Name, followSymlinks: boolean): Promise<Statx> {
  const options = { bigint: true } as const
  const asked = followSymlinks ? node.stat(name as PathLike, options) : node.lstat(name as PathLike, options)
  return statxOf(await asked)
}

/** System errors name the file, whatever the step: Node's own do so for some steps only, and in each version for others. */
function naming(error: unknown, name: Name): unknown {
  const { errno, syscall } = error as NodeJS.ErrnoException
  if (typeof errno !== 'number' || syscall === undefined) return error
  return errnoError(errno, syscall, { path: pathText(name) })
}

/** What stat(2) says; attributes and alignment it does not know. */
function statxOf(stats: BigIntStats): Statx {
  const { atimeNs, mtimeNs, ctimeNs, birthtimeNs } = stats
  return {
    mask: STATX_FOR_STATS,
    dev: Number(stats.dev),
    ino: Number(stats.ino),
    mode: Number(stats.mode),
    nlink: Number(stats.nlink),
    uid: Number(stats.uid),
    gid: Number(stats.gid),
    rdev: Number(stats.rdev),
    size: Number(stats.size),
    blksize: Number(stats.blksize),
    blocks: Number(stats.blocks),
    atimeMs: milliseconds(atimeNs),
    mtimeMs: milliseconds(mtimeNs),
    ctimeMs: milliseconds(ctimeNs),
    birthtimeMs: milliseconds(birthtimeNs),
    atimeNsec: nanoseconds(atimeNs),
    mtimeNsec: nanoseconds(mtimeNs),
    ctimeNsec: nanoseconds(ctimeNs),
    birthtimeNsec: nanoseconds(birthtimeNs),
    attributes: 0,
    attributesMask: 0,
    dioMemAlign: 0,
    dioOffsetAlign: 0,
    dioReadOffsetAlign: 0,
    atomicWriteUnitMin: 0,
    atomicWriteUnitMax: 0,
    atomicWriteSegmentsMax: 0,
  }
}

/** The part of a time below its second, which counts forwards before 1970 too. */
const nanoseconds = (time: bigint): number => Number(((time % SECOND) + SECOND) % SECOND)

function milliseconds(time: bigint): number {
  const below = nanoseconds(time)
  return Number((time - BigInt(below)) / SECOND) * 1000 + below / 1e6
}
