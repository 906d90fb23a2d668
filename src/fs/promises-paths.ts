// The functions of node:fs/promises on paths, those that have an opcode: one request each, and Node's arguments, results and errors.
// Flow: promises.ts → this → Uring (renameat, unlinkat …); node:fs/promises for arguments that need explaining.

import type { BigIntStats, PathLike, Stats } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import type { Uring } from '../runtime/uring.ts'
import { IORING_OP_FTRUNCATE } from '../sys/abi.ts'
import { AT_REMOVEDIR } from '../sys/constants.ts'
import { handlesNow } from './file-handle.ts'
import { node } from './node-fs.ts'
import { plainFlags, plainMode, plainPath, plainStatOptions } from './promises-arguments.ts'
import { canDo, ringNow } from './promises-backend.ts'
import { bothErrors, retold } from './promises-errors.ts'
import { statsAreKnown, statThroughRing } from './promises-stats.ts'

export async function open(
  path: PathLike,
  flags?: string | number,
  mode?: string | number,
): Promise<FileHandle> {
  const ring = ringNow()
  const name = plainPath(path)
  const bits = plainFlags(flags)
  const permissions = plainMode(mode, 0o666)
  if (ring === null || name === null || bits === null || permissions === null)
    return node.open(path, flags, mode)
  const handles = await handlesNow()
  if (handles === null) return node.open(path, flags, mode)
  try {
    return handles.own(await ring.openat(name, bits, { mode: permissions }))
  } catch (error) {
    throw retold(error)
  }
}

export async function rename(oldPath: PathLike, newPath: PathLike): Promise<void> {
  const ring = ringNow()
  const from = plainPath(oldPath)
  const to = plainPath(newPath)
  if (ring === null || from === null || to === null) return node.rename(oldPath, newPath)
  await told(ring.renameat(from, to))
}

export async function link(existingPath: PathLike, newPath: PathLike): Promise<void> {
  const ring = ringNow()
  const from = plainPath(existingPath)
  const to = plainPath(newPath)
  if (ring === null || from === null || to === null) return node.link(existingPath, newPath)
  await told(ring.linkat(from, to))
}

/** What Node takes for the third argument; elsewhere than on Windows it changes nothing. */
const LINK_TYPES: readonly unknown[] = ['dir', 'file', 'junction', null, undefined]

export async function symlink(
  target: PathLike,
  path: PathLike,
  type: string | null | undefined,
): Promise<void> {
  const ring = ringNow()
  const says = plainPath(target)
  const name = plainPath(path)
  if (ring === null || says === null || name === null || !LINK_TYPES.includes(type))
    return node.symlink(target, path, type)
  await told(ring.symlinkat(says, name))
}

export async function unlink(path: PathLike): Promise<void> {
  const ring = ringNow()
  const name = plainPath(path)
  if (ring === null || name === null) return node.unlink(path)
  await told(ring.unlinkat(name))
}

export async function rmdir(path: PathLike, options: object | undefined): Promise<void> {
  const ring = ringNow()
  const name = plainPath(path)
  if (ring === null || name === null || options !== undefined)
    return (node.rmdir as (path: PathLike, options?: object) => Promise<void>)(path, options)
  await told(ring.unlinkat(name, { flags: AT_REMOVEDIR }), 'rmdir')
}

/** What mkdir takes besides numbers and strings. */
interface MkdirOptions {
  recursive?: boolean
  mode?: string | number
}

export async function mkdir(
  path: PathLike,
  options: MkdirOptions | string | number | null | undefined,
): Promise<string | undefined> {
  const ring = ringNow()
  const name = plainPath(path)
  const { recursive = false, mode = undefined } =
    typeof options === 'object' && options !== null ? options : { mode: options ?? undefined }
  const permissions = plainMode(mode, 0o777)
  // With `recursive`, Node's way is one trip for all that is missing.
  if (ring === null || name === null || permissions === null || recursive !== false)
    return node.mkdir(path, options)
  await told(ring.mkdirat(name, { mode: permissions }))
  return undefined
}

export async function stat(
  path: PathLike,
  options: object | undefined = undefined,
): Promise<Stats | BigIntStats> {
  return (await statOf(path, options, true)) ?? node.stat(path, options)
}

export async function lstat(
  path: PathLike,
  options: object | undefined = undefined,
): Promise<Stats | BigIntStats> {
  return (await statOf(path, options, false)) ?? node.lstat(path, options)
}

/** The metadata, or undefined: then Node is to be asked. */
function statOf(
  path: PathLike,
  options: object | undefined,
  follow: boolean,
): Promise<Stats | BigIntStats> | undefined {
  const ring = ringNow()
  const name = plainPath(path)
  const plain = plainStatOptions(options)
  if (ring === null || name === null || plain === null || !statsAreKnown) return undefined
  return told(statThroughRing(ring, { path: name, follow }, plain.bigint), follow ? 'stat' : 'lstat')
}

export async function truncate(path: PathLike, length: number | undefined = 0): Promise<void> {
  const ring = ringNow()
  if (ring === null || !canTruncate(ring)) return node.truncate(path, length)
  await withFile(await open(path, 'r+'), (handle) => handle.truncate(length))
}

const canTruncate = (ring: Uring): boolean => canDo(ring, IORING_OP_FTRUNCATE)

/** Closes the file behind `work`, and waits for that. */
export async function withFile<T>(handle: FileHandle, work: (handle: FileHandle) => Promise<T>): Promise<T> {
  let result: T
  try {
    result = await work(handle)
  } catch (error) {
    await handle.close().catch((ofClose: unknown) => {
      throw bothErrors(error, ofClose)
    })
    throw error
  }
  await handle.close()
  return result
}

/** A promise of the ring whose errors are Node's. */
async function told<T>(promise: Promise<T>, syscall?: string): Promise<T> {
  try {
    return await promise
  } catch (error) {
    throw retold(error, syscall)
  }
}
