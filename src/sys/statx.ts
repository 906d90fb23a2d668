// The 256 bytes that statx(2) writes → plain objects with the names and units of Node's Stats.
// Flow: runtime, fs → this.
// man statx(2). Numbers and BigInts are two functions, as `bigint: true` in node:fs; fs makes its Stats of either.

import { STATX_BASIC_STATS, STATX_BTIME } from './constants.ts'

/** sizeof struct statx. */
export const STATX_BYTES = 256

/** What node:fs asks for: everything of stat(2) and the time of birth. */
export const STATX_FOR_STATS = STATX_BASIC_STATS | STATX_BTIME

/** A file's metadata in numbers; sizes and inodes are exact below 2^53. */
export interface Statx {
  /** STATX_*: what the kernel filled in. */
  mask: number
  dev: number
  ino: number
  mode: number
  nlink: number
  uid: number
  gid: number
  rdev: number
  size: number
  blksize: number
  /** Of 512 bytes each. */
  blocks: number
  /** Milliseconds since 1970, with a fraction. */
  atimeMs: number
  mtimeMs: number
  ctimeMs: number
  /** When the file was made; 0 where the file system does not keep it. */
  birthtimeMs: number
  /** The part of each time below a second, in nanoseconds. */
  atimeNsec: number
  mtimeNsec: number
  ctimeNsec: number
  birthtimeNsec: number
  /** STATX_ATTR_* that are set, lower 32 bits. */
  attributes: number
  /** The STATX_ATTR_* that the file system knows. */
  attributesMask: number
  /** O_DIRECT: alignment of memory and of offsets in bytes; 0 when not asked for (STATX_DIOALIGN) or not possible. */
  dioMemAlign: number
  dioOffsetAlign: number
  /** O_DIRECT: alignment of offsets of reads, where it is smaller (STATX_DIO_READ_ALIGN); 0 when not asked for or not told. */
  dioReadOffsetAlign: number
  /** RWF_ATOMIC: smallest and largest write in bytes, most pieces of one; 0 when not asked for (STATX_WRITE_ATOMIC) or not possible. */
  atomicWriteUnitMin: number
  atomicWriteUnitMax: number
  atomicWriteSegmentsMax: number
}

/** The same in BigInts; times in whole milliseconds and in nanoseconds since 1970. */
export interface BigIntStatx {
  mask: number
  dev: bigint
  ino: bigint
  mode: bigint
  nlink: bigint
  uid: bigint
  gid: bigint
  rdev: bigint
  size: bigint
  blksize: bigint
  blocks: bigint
  atimeMs: bigint
  mtimeMs: bigint
  ctimeMs: bigint
  birthtimeMs: bigint
  atimeNs: bigint
  mtimeNs: bigint
  ctimeNs: bigint
  birthtimeNs: bigint
}

/** Where the times lie: 64 bits of seconds, 32 of nanoseconds. */
export const STATX_TIMES = { atime: 64, btime: 80, ctime: 96, mtime: 112 } as const
const { atime: ATIME, btime: BTIME, ctime: CTIME, mtime: MTIME } = STATX_TIMES

/**
 * Reads what statx(2) wrote.
 * @param byteOffset where in `bytes` the 256 bytes begin
 */
export function decodeStatx(bytes: Uint8Array, byteOffset = 0): Statx {
  const view = new DataView(bytes.buffer, bytes.byteOffset + byteOffset, STATX_BYTES)
  return {
    mask: view.getUint32(0, true),
    dev: device(view, 136),
    ino: u64(view, 32),
    mode: view.getUint16(28, true),
    nlink: view.getUint32(16, true),
    uid: view.getUint32(20, true),
    gid: view.getUint32(24, true),
    rdev: device(view, 128),
    size: u64(view, 40),
    blksize: view.getUint32(4, true),
    blocks: u64(view, 48),
    atimeMs: timeMs(view, ATIME),
    mtimeMs: timeMs(view, MTIME),
    ctimeMs: timeMs(view, CTIME),
    birthtimeMs: timeMs(view, BTIME),
    atimeNsec: view.getUint32(ATIME + 8, true),
    mtimeNsec: view.getUint32(MTIME + 8, true),
    ctimeNsec: view.getUint32(CTIME + 8, true),
    birthtimeNsec: view.getUint32(BTIME + 8, true),
    attributes: view.getUint32(8, true),
    attributesMask: view.getUint32(56, true),
    dioMemAlign: view.getUint32(152, true),
    dioOffsetAlign: view.getUint32(156, true),
    dioReadOffsetAlign: view.getUint32(180, true),
    atomicWriteUnitMin: view.getUint32(168, true),
    atomicWriteUnitMax: view.getUint32(172, true),
    atomicWriteSegmentsMax: view.getUint32(176, true),
  }
}

/** Reads what statx(2) wrote, in BigInts, for what does not fit in 53 bits. */
export function decodeStatxBigInt(bytes: Uint8Array, byteOffset = 0): BigIntStatx {
  const view = new DataView(bytes.buffer, bytes.byteOffset + byteOffset, STATX_BYTES)
  return {
    mask: view.getUint32(0, true),
    dev: BigInt(device(view, 136)),
    ino: view.getBigUint64(32, true),
    mode: BigInt(view.getUint16(28, true)),
    nlink: BigInt(view.getUint32(16, true)),
    uid: BigInt(view.getUint32(20, true)),
    gid: BigInt(view.getUint32(24, true)),
    rdev: BigInt(device(view, 128)),
    size: view.getBigUint64(40, true),
    blksize: BigInt(view.getUint32(4, true)),
    blocks: view.getBigUint64(48, true),
    atimeMs: timeMsBigInt(view, ATIME),
    mtimeMs: timeMsBigInt(view, MTIME),
    ctimeMs: timeMsBigInt(view, CTIME),
    birthtimeMs: timeMsBigInt(view, BTIME),
    atimeNs: timeNs(view, ATIME),
    mtimeNs: timeNs(view, MTIME),
    ctimeNs: timeNs(view, CTIME),
    birthtimeNs: timeNs(view, BTIME),
  }
}

/** A word of 64 bits as a number, exact below 2^53. */
export function u64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32
}

/** One number of major and minor, as makedev(3) packs them: 12 bits of major lie inside of minor. */
export function device(view: DataView, at: number): number {
  const major = view.getUint32(at, true)
  const minor = view.getUint32(at + 4, true)
  const low = ((major & 0xfff) << 8) | (minor & 0xff)
  return low + Math.floor(minor / 0x100) * 2 ** 20 + Math.floor(major / 0x1000) * 2 ** 44
}

/** The whole seconds of a time, negative before 1970. */
export function seconds(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getInt32(at + 4, true) * 2 ** 32
}

function timeMs(view: DataView, at: number): number {
  return seconds(view, at) * 1000 + view.getUint32(at + 8, true) / 1e6
}

function timeMsBigInt(view: DataView, at: number): bigint {
  return view.getBigInt64(at, true) * 1000n + BigInt(Math.floor(view.getUint32(at + 8, true) / 1e6))
}

function timeNs(view: DataView, at: number): bigint {
  return view.getBigInt64(at, true) * 1_000_000_000n + BigInt(view.getUint32(at + 8, true))
}
