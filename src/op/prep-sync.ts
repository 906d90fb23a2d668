// Between rings, threads and processes: messages, futexes, child processes: arguments → 64 bytes.
// Flow: runtime, users of the ring → this → Sqe.words.
// man io_uring_prep_msg_ring(3), io_uring_prep_futex_wait(3), io_uring_prep_waitid(3)

import { SQE, type Sqe } from '../ring/sqe.ts'
import {
  IORING_MSG_RING_FLAGS_PASS,
  IORING_MSG_SEND_FD,
  IORING_OP_FUTEX_WAIT,
  IORING_OP_FUTEX_WAITV,
  IORING_OP_FUTEX_WAKE,
  IORING_OP_MSG_RING,
  IORING_OP_WAITID,
} from '../sys/abi.ts'
import { writeU64 } from '../sys/memory.ts'
import { writeAddress, writeTarget } from './prep.ts'

/**
 * Posts a CQE to another ring: `length` as its res, `data` as its user_data.
 *
 * @param fd Fd of the other ring; a disabled ring or another file is EBADFD
 * @param length 32 bits, any: a negative res there is no errno
 * @param data 64 bits
 * @param flags IORING_MSG_RING_*
 * @kernel 5.18 · IORING_OP_MSG_RING
 * @man io_uring_prep_msg_ring(3)
 */
export function prepMsgRing(
  sqe: Sqe,
  fd: number,
  length: number,
  data: number | bigint,
  flags: number,
): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_MSG_RING
  words[SQE.FD] = fd
  writeU64(words, SQE.OFF, data)
  words[SQE.LEN] = length
  words[SQE.OP_FLAGS] = flags
}

/**
 * Posts a CQE to another ring and chooses its flags, too.
 *
 * @param fd Fd of the other ring
 * @param length 32 bits for the CQE's res
 * @param data 64 bits for the CQE's user_data
 * @param flags IORING_MSG_RING_*; FLAGS_PASS is added
 * @param cqeFlags The CQE's flags
 * @kernel 6.3 · IORING_OP_MSG_RING
 * @man io_uring_prep_msg_ring_cqe_flags(3)
 */
export function prepMsgRingCqeFlags(
  sqe: Sqe,
  fd: number,
  length: number,
  data: number | bigint,
  flags: number,
  cqeFlags: number,
): void {
  prepMsgRing(sqe, fd, length, data, flags | IORING_MSG_RING_FLAGS_PASS)
  sqe.words[SQE.FILE_INDEX] = cqeFlags
}

/**
 * Puts a direct descriptor of this ring into a slot of another ring; it stays here, too.
 *
 * @param fd Fd of the other ring
 * @param sourceIndex Slot here
 * @param targetIndex Slot there, or IORING_FILE_INDEX_ALLOC
 * @param data 64 bits for the user_data of the CQE there
 * @param flags IORING_MSG_RING_CQE_SKIP posts no CQE there
 * @kernel 6.0 · IORING_OP_MSG_RING
 * @man io_uring_prep_msg_ring_fd(3)
 */
export function prepMsgRingFd(
  sqe: Sqe,
  fd: number,
  sourceIndex: number,
  targetIndex: number,
  data: number | bigint,
  flags: number,
): void {
  prepMsgRing(sqe, fd, 0, data, flags)
  const words = sqe.words
  words[SQE.ADDR] = IORING_MSG_SEND_FD
  writeTarget(words, targetIndex)
  words[SQE.ADDR3] = sourceIndex
}

/**
 * Puts a direct descriptor of this ring into a slot of another ring that the kernel chooses.
 *
 * @param fd Fd of the other ring
 * @param sourceIndex Slot here
 * @param data 64 bits for the user_data of the CQE there, whose res is the slot
 * @param flags IORING_MSG_RING_CQE_SKIP posts no CQE there
 * @kernel 6.0 · IORING_OP_MSG_RING
 * @man io_uring_prep_msg_ring_fd_alloc(3)
 */
export function prepMsgRingFdAlloc(
  sqe: Sqe,
  fd: number,
  sourceIndex: number,
  data: number | bigint,
  flags: number,
): void {
  prepMsgRing(sqe, fd, 0, data, flags)
  const words = sqe.words
  words[SQE.ADDR] = IORING_MSG_SEND_FD
  words[SQE.FILE_INDEX] = -1
  words[SQE.ADDR3] = sourceIndex
}

/** FUTEX_WAIT and FUTEX_WAKE: value in `addr2`, mask in `addr3`, the futex's own flags in `fd`. */
function prepFutex(
  sqe: Sqe,
  op: number,
  futexAddress: number,
  value: number | bigint,
  mask: number | bigint,
  futexFlags: number,
  flags: number,
): void {
  const words = sqe.words
  words[SQE.OPCODE] = op
  words[SQE.FD] = futexFlags
  writeU64(words, SQE.OFF, value)
  writeAddress(words, SQE.ADDR, futexAddress)
  words[SQE.OP_FLAGS] = flags
  writeU64(words, SQE.ADDR3, mask)
}

/**
 * Waits on a futex while it has `value`; another value completes with EAGAIN.
 *
 * A cancel of it by user_data completes with 1, as of the other waiting requests of this file, where others give 0.
 *
 * @param futexAddress Address of a 32-bit word
 * @param value The value it must have
 * @param mask Bits that must meet the waker's; 0xffffffff meets all, and more than 32 bits (so -1, too) is EINVAL
 * @param futexFlags FUTEX2_*: needs FUTEX2_SIZE_U32
 * @param flags Must be 0
 * @kernel 6.7 · IORING_OP_FUTEX_WAIT
 * @man io_uring_prep_futex_wait(3), futex(2)
 */
export function prepFutexWait(
  sqe: Sqe,
  futexAddress: number,
  value: number | bigint,
  mask: number | bigint,
  futexFlags: number,
  flags: number,
): void {
  prepFutex(sqe, IORING_OP_FUTEX_WAIT, futexAddress, value, mask, futexFlags, flags)
}

/**
 * Wakes waiters of a futex; the result counts them.
 *
 * @param futexAddress Address of a 32-bit word
 * @param count Most to wake
 * @param mask Bits that must meet the waiters'; 0xffffffff meets all, and more than 32 bits (so -1, too) is EINVAL
 * @param futexFlags FUTEX2_*: needs FUTEX2_SIZE_U32
 * @param flags Must be 0
 * @kernel 6.7 · IORING_OP_FUTEX_WAKE
 * @man io_uring_prep_futex_wake(3), futex(2)
 */
export function prepFutexWake(
  sqe: Sqe,
  futexAddress: number,
  count: number | bigint,
  mask: number | bigint,
  futexFlags: number,
  flags: number,
): void {
  prepFutex(sqe, IORING_OP_FUTEX_WAKE, futexAddress, count, mask, futexFlags, flags)
}

/**
 * Waits on several futexes; the result is the index of the one that woke it.
 *
 * @param waitvAddress Address of an array of struct futex_waitv (24 bytes each)
 * @param count Entries, at most FUTEX_WAITV_MAX
 * @param flags Must be 0
 * @kernel 6.7 · IORING_OP_FUTEX_WAITV
 * @man io_uring_prep_futex_waitv(3), futex(2)
 */
export function prepFutexWaitv(sqe: Sqe, waitvAddress: number, count: number, flags: number): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_FUTEX_WAITV
  writeAddress(words, SQE.ADDR, waitvAddress)
  words[SQE.LEN] = count
  words[SQE.OP_FLAGS] = flags
}

/**
 * Waits for a child process to change its state.
 *
 * Node reaps the children it started itself: wait for them with WNOWAIT, or not at all.
 *
 * @param idtype P_PID, P_PGID, P_PIDFD or P_ALL
 * @param id The process, group or pidfd
 * @param infoAddress Address of a siginfo_t (128 bytes), or 0
 * @param options WEXITED, WSTOPPED, WCONTINUED, WNOHANG, WNOWAIT
 * @param flags Must be 0
 * @kernel 6.7 · IORING_OP_WAITID
 * @man io_uring_prep_waitid(3), waitid(2)
 */
export function prepWaitid(
  sqe: Sqe,
  idtype: number,
  id: number,
  infoAddress: number,
  options: number,
  flags: number,
): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_WAITID
  words[SQE.FD] = id
  writeAddress(words, SQE.OFF, infoAddress)
  words[SQE.LEN] = idtype
  words[SQE.OP_FLAGS] = flags
  words[SQE.FILE_INDEX] = options
}
