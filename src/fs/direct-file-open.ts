// Opening a file with O_DIRECT: what must be aligned to what, and a clear word where the file system can't do it.
// Flow: direct-file.ts → this → runtime (openat, statx). man open(2) O_DIRECT, statx(2) STATX_DIOALIGN, STATX_WRITE_ATOMIC

import { constants } from 'node:fs'
import { checkPath, type PathLike } from '../runtime/operations.ts'
import { openFlags, pathText } from '../runtime/operations-path.ts'
import type { OperationOptions } from '../runtime/options.ts'
import type { Uring } from '../runtime/uring.ts'
import {
  STATX_ATTR_WRITE_ATOMIC,
  STATX_DIO_READ_ALIGN,
  STATX_DIOALIGN,
  STATX_MODE,
  STATX_TYPE,
  STATX_WRITE_ATOMIC,
} from '../sys/constants.ts'
import { EINVAL } from '../sys/errno.ts'
import { argumentValueError, invalidArgument, ringcoreError, type UringError } from '../sys/error.ts'
import type { Statx } from '../sys/statx.ts'

/** What O_DIRECT wants of a file's reads and writes, in bytes; all 1 where there is no O_DIRECT. */
export interface DirectAlignment {
  /** Of the address in memory. */
  readonly memory: number
  /** Of positions and lengths. */
  readonly offset: number
  /** Of positions and lengths of reads, where the file system wants less of them. */
  readonly readOffset: number
}

/** What a write with `atomic` may be: a power of two from `unitMin` to `unitMax` bytes, at a multiple of its length. */
export interface AtomicWrite {
  readonly unitMin: number
  readonly unitMax: number
  /** Most buffers of a `writev`. */
  readonly segmentsMax: number
}

export interface DirectFileOptions extends OperationOptions {
  /** The ring to work on; default: the thread's. */
  ring?: Uring | undefined
  /** Permissions of a new file, less the umask; default 0o666. */
  mode?: number | undefined
  /** true: where there is no O_DIRECT the file is opened without, and `direct` is false. */
  fallback?: boolean | undefined
}

export interface Opened {
  fd: number
  path: string
  direct: boolean
  isBlockDevice: boolean
  alignment: DirectAlignment
  atomicWrite: AtomicWrite | null
}

const { O_APPEND, O_CREAT, O_DIRECT, O_EXCL, O_TRUNC, S_IFBLK, S_IFMT } = constants
const NONE: DirectAlignment = { memory: 1, offset: 1, readOffset: 1 }
/** Where neither kernel nor file system tells: no device asks for more than a page. */
const UNKNOWN: DirectAlignment = { memory: 4096, offset: 4096, readOffset: 4096 }
const MASK = STATX_TYPE | STATX_MODE | STATX_DIOALIGN | STATX_DIO_READ_ALIGN | STATX_WRITE_ATOMIC

/** Opens the file; the descriptor is the caller's. */
export async function openDirect(
  ring: Uring,
  path: PathLike,
  flags: string | number,
  options: DirectFileOptions | undefined,
): Promise<Opened> {
  if ((options as { slot?: unknown } | undefined)?.slot !== undefined)
    throw invalidArgument('Cannot open a DirectFile into a slot: it takes a direct descriptor by itself')
  const bits = openFlags(flags)
  if ((bits & O_APPEND) !== 0)
    throw argumentValueError('flags', flags, 'must not append: a DirectFile writes at positions')
  const name = pathText(checkPath(path))
  let direct = true
  let fd: number
  try {
    fd = await ring.openat(path, bits | O_DIRECT, options)
  } catch (error) {
    if ((error as UringError).errno !== -EINVAL) throw error
    fd = await openWithout(ring, path, name, bits, options, error as Error)
    direct = false
  }
  try {
    const stat = await ring.statx('', { dirfd: fd, mask: MASK })
    const isBlockDevice = (stat.mode & S_IFMT) === S_IFBLK
    const alignment = direct ? alignmentOf(stat) : NONE
    return { fd, path: name, direct, isBlockDevice, alignment, atomicWrite: direct ? atomicOf(stat) : null }
  } catch (error) {
    ring.engine.closeLate(fd)
    throw error
  }
}

/** O_DIRECT was refused, or something else of the flags was: only without O_DIRECT the two can be told apart. */
async function openWithout(
  ring: Uring,
  path: PathLike,
  name: string,
  bits: number,
  options: DirectFileOptions | undefined,
  cause: Error,
): Promise<number> {
  // The refusal comes after O_EXCL was satisfied and the file made, and before it is emptied.
  if (options?.fallback === true) return ring.openat(path, bits & ~O_EXCL, options)
  const fd = await ring.openat(path, bits & ~(O_EXCL | O_CREAT | O_TRUNC), options)
  ring.engine.closeLate(fd)
  const message = `Cannot open '${name}' with O_DIRECT: its file system has no direct I/O; pass { fallback: true } to go through the page cache`
  throw Object.assign(ringcoreError(Error, 'ERR_DIRECT_UNSUPPORTED', message), { path: name, cause })
}

function alignmentOf(stat: Statx): DirectAlignment {
  const { dioMemAlign: memory, dioOffsetAlign: offset, dioReadOffsetAlign } = stat
  // The file is open with O_DIRECT, so 0 means that nobody tells, not that there is none.
  if (memory === 0 || offset === 0) return UNKNOWN
  return { memory, offset, readOffset: dioReadOffsetAlign > 0 ? dioReadOffsetAlign : offset }
}

function atomicOf(stat: Statx): AtomicWrite | null {
  const { attributes, atomicWriteUnitMin: unitMin, atomicWriteUnitMax: unitMax } = stat
  if ((attributes & STATX_ATTR_WRITE_ATOMIC) === 0 || unitMin === 0 || unitMax === 0) return null
  return { unitMin, unitMax, segmentsMax: stat.atomicWriteSegmentsMax }
}
