// ringcore/sys: the kernel's interface as it is. Every constant, every struct, the three system calls, and what they need.
// Flow: programs → this → open-driver.ts → the native part.
// man io_uring(7), io_uring_setup(2), io_uring_enter(2), io_uring_register(2)
//
// Nothing here holds memory for you: what the kernel was given an address of must stay referenced until its CQE came.
// The layers above do that (ringcore, ringcore/ring).

import { SYS_IO_URING_SETUP } from './abi.ts'
import { MAP_HUGETLB } from './constants.ts'
import { argumentTypeError, rangeError } from './error.ts'
import { HUGE_PAGE_BYTES } from './memory.ts'
import { openDriver } from './open-driver.ts'
import type { StructBase } from './struct.ts'
import { io_uring_params } from './structs-ring.ts'
import { checkInteger, checkUint32 } from './validate.ts'

export * from './abi.ts'
export * from './constants.ts'
export * from './errno.ts'
export { AbortError, type ErrorDetails, errnoError, socketError, UringError } from './error.ts'
export { loadAcquire, readU64, storeRelease, writeU64 } from './memory.ts'
export {
  decodeSockaddr,
  encodeSockaddr,
  type InternetAddress,
  SOCKADDR_BYTES,
  type SocketAddress,
  type UnixAddress,
} from './sockaddr.ts'
export { type BigIntStatx, decodeStatx, decodeStatxBigInt, STATX_BYTES, type Statx } from './statx.ts'
export * from './structs.ts'
export { SYSCALL_TABLES, type SyscallName, syscallNumber, syscallNumbers } from './syscalls.ts'
export { TIMESPEC_BYTES, writeTimespecMs, writeTimespecNs } from './timespec.ts'

/** What a system call may be pointed at: memory, a struct, an address, or nothing (NULL). */
export type Argument = ArrayBufferView | StructBase | number | null

/**
 * Makes a ring.
 *
 * The fd is not in node's care: close it with `syscall(syscallNumber('close'), fd)`, after unmapping what was mapped of it.
 * @param entries SQEs, rounded up to a power of two
 * @param params 120 bytes, read for the options and filled with the offsets
 * @returns the ring's fd, or -errno
 * @throws {Error} ERR_RING_UNAVAILABLE: the native part can't be used here
 * @kernel 5.1
 * @man io_uring_setup(2)
 */
export function io_uring_setup(entries: number, params: io_uring_params | Uint8Array): number {
  checkUint32('entries', entries)
  const bytes = bytesOf(params)
  if (bytes === null)
    throw argumentTypeError('params', 'an instance of io_uring_params or Uint8Array', params)
  if (bytes.byteLength < io_uring_params.sizeof) {
    throw rangeError('params.byteLength', `>= ${io_uring_params.sizeof}`, bytes.byteLength)
  }
  // Not the driver's setup: a ring made here is the caller's alone, also when its thread ends.
  const driver = openDriver()
  const view = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return driver.syscall(SYS_IO_URING_SETUP, entries, driver.addressOf(view))
}

/**
 * Submits and waits. The thread stands still while it waits: nothing else of this program runs on it.
 * @param fd the ring, or its registered index with IORING_ENTER_REGISTERED_RING
 * @param to_submit SQEs to take
 * @param min_complete CQEs to wait for, with IORING_ENTER_GETEVENTS
 * @param flags IORING_ENTER_*
 * @param arg a signal mask, or with IORING_ENTER_EXT_ARG an io_uring_getevents_arg
 * @param argsz bytes of `arg`; its length unless given
 * @returns SQEs taken, or -errno; -EINTR and -ETIME are everyday results
 * @kernel 5.1
 * @man io_uring_enter(2)
 */
export function io_uring_enter(
  fd: number,
  to_submit: number,
  min_complete: number,
  flags: number,
  arg: Argument = null,
  argsz?: number,
): number {
  checkInteger('fd', fd, -1, 0x7fffffff)
  checkUint32('to_submit', to_submit)
  checkUint32('min_complete', min_complete)
  checkUint32('flags', flags)
  const size = argsz ?? bytesOf(arg)?.byteLength ?? 0
  checkUint32('argsz', size)
  return openDriver().enter(fd, to_submit, min_complete, flags, addressFor('arg', arg), size)
}

/**
 * Lends resources to a ring, and asks it things.
 * @param fd the ring; -1 for what needs none (IORING_REGISTER_QUERY, SEND_MSG_RING)
 * @param opcode IORING_REGISTER_*
 * @param arg what the opcode takes
 * @param nr_args how many of it
 * @returns ≥ 0, or -errno
 * @kernel 5.1
 * @man io_uring_register(2)
 */
export function io_uring_register(fd: number, opcode: number, arg: Argument = null, nr_args = 0): number {
  checkInteger('fd', fd, -1, 0x7fffffff)
  checkUint32('opcode', opcode)
  checkUint32('nr_args', nr_args)
  return openDriver().register(fd, opcode, addressFor('arg', arg), nr_args)
}

/**
 * Makes any system call; numbers differ by CPU, see `syscallNumber`.
 *
 * Arguments are whole numbers or addresses. Nothing checks them: a wrong address is a crash or worse.
 * @returns the kernel's answer: ≥ 0, or -errno
 * @man syscall(2)
 */
export function syscall(nr: number, ...args: readonly number[]): number {
  checkUint32('nr', nr)
  if (args.length > 6) throw rangeError('args.length', '<= 6', args.length)
  for (const [i, value] of args.entries()) checkInteger(`args[${i}]`, value)
  const [a, b, c, d, e, f] = args
  return openDriver().syscall(nr, a, b, c, d, e, f)
}

/**
 * Maps a part of a ring, shared with the kernel; fd -1 gives zeroed pages of their own.
 *
 * The pages stay until `munmap`, or until nothing refers to the ArrayBuffer any more. Children do not inherit them.
 * @param length bytes; of huge pages a multiple of 2 MiB
 * @param offset IORING_OFF_*; with fd -1, MAP_HUGETLB for huge pages
 * @returns the memory, or -errno: -ENOMEM when no huge page is free (sysctl vm.nr_hugepages)
 * @man mmap(2)
 */
export function mmap(fd: number, length: number, offset = 0): ArrayBuffer | number {
  checkInteger('fd', fd, -1, 0x7fffffff)
  checkInteger('length', length, 1)
  checkInteger('offset', offset, 0)
  if (fd === -1 && offset !== 0) {
    if (offset !== MAP_HUGETLB)
      throw rangeError('offset', `0 or MAP_HUGETLB (${MAP_HUGETLB}) with fd -1`, offset)
    if (length % HUGE_PAGE_BYTES !== 0) throw rangeError('length', `a multiple of ${HUGE_PAGE_BYTES}`, length)
  }
  return openDriver().map(fd, length, offset)
}

/**
 * Lets the pages of a mapping go at once. The ArrayBuffer stays usable and reads as zeros.
 * @returns 0, or -errno: -EINVAL for memory that `mmap` did not make
 * @man munmap(2)
 */
export function munmap(memory: ArrayBuffer): number {
  if (!(memory instanceof ArrayBuffer))
    throw argumentTypeError('memory', 'an instance of ArrayBuffer', memory)
  return openDriver().unmap(memory)
}

/** The address of a view's or struct's first byte. It holds as long as the memory is referenced and not transferred. */
export function addressOf(memory: ArrayBufferView | StructBase): number {
  const bytes = bytesOf(memory)
  if (bytes === null) throw argumentTypeError('memory', 'a typed array, DataView or struct', memory)
  return openDriver().addressOf(bytes)
}

/** The memory of a view or struct; null for everything else. */
function bytesOf(value: unknown): ArrayBufferView | null {
  if (ArrayBuffer.isView(value)) return value
  if (typeof value !== 'object' || value === null) return null
  const bytes: unknown = (value as Partial<StructBase>).bytes
  return ArrayBuffer.isView(bytes) ? bytes : null
}

function addressFor(name: string, value: Argument): number {
  if (value === null) return 0
  if (typeof value === 'number') {
    checkInteger(name, value, 0)
    return value
  }
  const bytes = bytesOf(value)
  if (bytes === null) throw argumentTypeError(name, 'memory, a struct, an address or null', value)
  return openDriver().addressOf(bytes)
}
