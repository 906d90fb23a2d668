// The arguments of io_uring_register(2) as bytes, and its errors as sentences.
// Flow: register.ts, buffer-ring.ts → this.
// man io_uring_register(2)

import * as abi from '../sys/abi.ts'
import type { Driver } from '../sys/driver.ts'
import { EINVAL, errnoName, errnoText } from '../sys/errno.ts'
import { argumentTypeError, invalidArgument, UringError } from '../sys/error.ts'
import { writeU64 } from '../sys/memory.ts'
import { checkInteger, checkUint64 } from '../sys/validate.ts'

const MEANINGS: Record<string, string> = {
  EBUSY: 'it is registered already, or in use',
  ENXIO: 'nothing of that kind is registered',
  EACCES: 'a restriction of the ring forbids it',
  EBADFD: 'the ring must be disabled for it (rDisabled)',
  EEXIST: 'the ring belongs to another thread (SINGLE_ISSUER), or the id is taken',
  ENOMEM: 'RLIMIT_MEMLOCK or the memory is too small; see `ulimit -l`',
  EMFILE: 'more than RLIMIT_NOFILE; see `ulimit -n`',
}

/** Passes a result on, or throws it with the operation's name. */
export function checkedRegister(result: number, name: string, since: string): number {
  if (result >= 0) return result
  const code = errnoName(result)
  const meaning =
    result === -EINVAL
      ? `invalid argument, or a kernel before ${since}`
      : (MEANINGS[code] ?? errnoText(result))
  const syscall = 'io_uring_register'
  throw new UringError(`${code}: ${meaning}, ${syscall} ${name}`, result, code, syscall, { op: name })
}

/** struct iovec of each buffer; null is an empty one. */
export function encodeIovecs(driver: Driver, buffers: readonly (ArrayBufferView | null)[]): Int32Array {
  const words = new Int32Array(Math.max(buffers.length, 1) * 4)
  for (const [index, buffer] of buffers.entries()) {
    if (buffer === null || buffer.byteLength === 0) continue
    writeU64(words, index * 4, driver.addressOf(buffer))
    writeU64(words, index * 4 + 2, buffer.byteLength)
  }
  return words
}

/** One u64 for each resource. */
export function encodeTags(tags: readonly (number | bigint)[], count: number): Int32Array {
  if (!Array.isArray(tags)) throw argumentTypeError('tags', 'an instance of Array', tags)
  if (tags.length !== count) {
    throw invalidArgument(`Cannot register: ${count} resources need ${count} tags, got ${tags.length}`)
  }
  const words = new Int32Array(Math.max(count, 1) * 2)
  for (const [index, tag] of tags.entries()) {
    checkUint64('tags', tag)
    writeU64(words, index * 2, tag)
  }
  return words
}

/** struct io_uring_rsrc_register: nr, flags, resv2, data, tags. */
export function encodeRsrcRegister(
  driver: Driver,
  count: number,
  flags: number,
  data?: ArrayBufferView,
  tags?: ArrayBufferView,
): Int32Array {
  const words = new Int32Array(8)
  words[0] = count
  words[1] = flags
  if (data !== undefined) writeU64(words, 4, driver.addressOf(data))
  if (tags !== undefined) writeU64(words, 6, driver.addressOf(tags))
  return words
}

/** struct io_uring_rsrc_update2: offset, resv, data, tags, nr, resv2. */
export function encodeRsrcUpdate2(
  driver: Driver,
  offset: number,
  count: number,
  data: ArrayBufferView,
  tags?: ArrayBufferView,
): Int32Array {
  const words = new Int32Array(8)
  words[0] = offset
  writeU64(words, 2, driver.addressOf(data))
  if (tags !== undefined) writeU64(words, 4, driver.addressOf(tags))
  words[6] = count
  return words
}

/** What a restricted ring may do; one line of its list. */
export type Restriction =
  | { allow: 'registerOp'; opcode: number }
  | { allow: 'sqeOp'; opcode: number }
  | { allow: 'sqeFlags'; flags: number }
  | { require: 'sqeFlags'; flags: number }

/** struct io_uring_restriction, 16 bytes each: opcode (u16), then the operation or the flags (u8). */
export function encodeRestrictions(restrictions: readonly Restriction[]): Uint8Array {
  if (!Array.isArray(restrictions))
    throw argumentTypeError('restrictions', 'an instance of Array', restrictions)
  const bytes = new Uint8Array(Math.max(restrictions.length, 1) * 16)
  for (const [index, restriction] of (restrictions as readonly Restriction[]).entries()) {
    let kind: number
    let value: number
    if ('require' in restriction) {
      kind = abi.IORING_RESTRICTION_SQE_FLAGS_REQUIRED
      value = restriction.flags
    } else if (restriction.allow === 'sqeFlags') {
      kind = abi.IORING_RESTRICTION_SQE_FLAGS_ALLOWED
      value = restriction.flags
    } else {
      const isRegister = restriction.allow === 'registerOp'
      kind = isRegister ? abi.IORING_RESTRICTION_REGISTER_OP : abi.IORING_RESTRICTION_SQE_OP
      value = restriction.opcode
    }
    checkInteger('restrictions', value, 0, 255)
    bytes[index * 16] = kind
    bytes[index * 16 + 2] = value
  }
  return bytes
}

/** What `registerBufRing` needs. */
export interface BufRingOptions {
  /** Buffer group, 0 to 65,535. */
  group: number
  /** A power of two up to 32,768. */
  entries: number
  /** Page-aligned address of `entries` × 16 bytes; 0 with IOU_PBUF_RING_MMAP. */
  address: number
  /** IOU_PBUF_RING_* bits. */
  flags?: number
}

/** struct io_uring_buf_reg: ring_addr, ring_entries, bgid (u16), flags (u16), resv. */
export function encodeBufReg(options: BufRingOptions): Int32Array {
  const { group, entries, address, flags = 0 } = options
  checkInteger('group', group, 0, 0xffff)
  checkInteger('entries', entries, 0, abi.PBUF_RING_MAX_ENTRIES)
  checkInteger('address', address, 0)
  checkInteger('flags', flags, 0, 0xffff)
  const words = new Int32Array(10)
  writeU64(words, 0, address)
  words[2] = entries
  words[3] = group | (flags << 16)
  return words
}

/** What `registerSyncCancel` cancels. */
export interface SyncCancelOptions {
  /** user_data to look for. */
  userData?: number | bigint
  /** File to look for, with IORING_ASYNC_CANCEL_FD. */
  fd?: number
  /** IORING_ASYNC_CANCEL_* bits. */
  flags?: number
  /** Opcode to look for, with IORING_ASYNC_CANCEL_OP. */
  opcode?: number
  /** Longest wait in milliseconds; without it, as long as it takes. */
  timeoutMs?: number
}

/** struct io_uring_sync_cancel_reg: addr, fd, flags, timeout, opcode. */
export function encodeSyncCancel(options: SyncCancelOptions): Int32Array {
  const { userData = 0, fd = -1, flags = 0, opcode = 0, timeoutMs } = options
  checkUint64('userData', userData)
  checkInteger('fd', fd, -1, 0x7fffffff)
  checkInteger('flags', flags, 0, 0xffffffff)
  checkInteger('opcode', opcode, 0, 255)
  const words = new Int32Array(16)
  writeU64(words, 0, userData)
  words[2] = fd
  words[3] = flags
  if (timeoutMs === undefined) {
    words.fill(-1, 4, 8)
  } else {
    checkInteger('timeoutMs', timeoutMs, 0)
    writeU64(words, 4, Math.floor(timeoutMs / 1000))
    writeU64(words, 6, (timeoutMs % 1000) * 1e6)
  }
  words[8] = opcode
  return words
}

/** What `registerNapi` sets. */
export interface NapiOptions {
  /** Microseconds to busy-poll. */
  busyPollUs?: number
  preferBusyPoll?: boolean
  /** IO_URING_NAPI_REGISTER_OP, _STATIC_ADD_ID, _STATIC_DEL_ID. */
  opcode?: number
  /** A tracking mode, or the NAPI id. */
  opParam?: number
}
