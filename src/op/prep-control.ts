// Requests about requests and readiness: no-op, timers, cancel, poll, epoll: arguments → 64 bytes.
// Flow: runtime, users of the ring → this → Sqe.words.
// man io_uring_prep_timeout(3), io_uring_prep_cancel(3), io_uring_prep_poll_add(3) and their neighbours
//
// Where user_data names another request, it is a number (a signed safe integer, as `sqe.setUserData` takes it) or a
// bigint; 0 and `sqeSetAddrWords` afterwards give it as two u32.

import { SQE, type Sqe } from '../ring/sqe.ts'
import {
  IORING_ASYNC_CANCEL_FD,
  IORING_OP_ASYNC_CANCEL,
  IORING_OP_EPOLL_CTL,
  IORING_OP_EPOLL_WAIT,
  IORING_OP_LINK_TIMEOUT,
  IORING_OP_NOP,
  IORING_OP_NOP128,
  IORING_OP_POLL_ADD,
  IORING_OP_POLL_REMOVE,
  IORING_OP_TIMEOUT,
  IORING_OP_TIMEOUT_REMOVE,
  IORING_POLL_ADD_MULTI,
  IORING_TIMEOUT_UPDATE,
} from '../sys/abi.ts'
import { writeU64 } from '../sys/memory.ts'
import { writeAddress } from './prep.ts'

/**
 * Does nothing, and completes with 0.
 *
 * @kernel 5.1 · IORING_OP_NOP
 * @man io_uring_prep_nop(3)
 */
export function prepNop(sqe: Sqe): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_NOP
  words[SQE.FD] = -1
}

/**
 * Does nothing with an entry of 128 bytes; the ring needs SQE128 or SQE_MIXED.
 *
 * @kernel 6.19 · IORING_OP_NOP128
 * @man io_uring_prep_nop128(3)
 */
export function prepNop128(sqe: Sqe): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_NOP128
  words[SQE.FD] = -1
}

/**
 * Completes with ETIME when the time is over, or with 0 when `count` other requests completed first.
 *
 * @param timespecAddress Address of a struct __kernel_timespec (16 bytes)
 * @param count Completions to wait for, 0 for the time alone; with IORING_TIMEOUT_MULTISHOT how often it fires, 0 for ever
 * @param flags IORING_TIMEOUT_*
 * @kernel 5.4 · IORING_OP_TIMEOUT
 * @man io_uring_prep_timeout(3)
 */
export function prepTimeout(sqe: Sqe, timespecAddress: number, count: number, flags: number): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_TIMEOUT
  words[SQE.FD] = -1
  words[SQE.OFF] = count
  writeAddress(words, SQE.ADDR, timespecAddress)
  words[SQE.LEN] = 1
  words[SQE.OP_FLAGS] = flags
}

/**
 * Removes a timeout, which completes with ECANCELED.
 *
 * @param userData user_data of the timeout
 * @param flags 0
 * @kernel 5.5 · IORING_OP_TIMEOUT_REMOVE
 * @man io_uring_prep_timeout_remove(3)
 */
export function prepTimeoutRemove(sqe: Sqe, userData: number | bigint, flags: number): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_TIMEOUT_REMOVE
  words[SQE.FD] = -1
  writeU64(words, SQE.ADDR, userData)
  words[SQE.OP_FLAGS] = flags
}

/**
 * Gives a running timeout a new time.
 *
 * @param timespecAddress Address of a struct __kernel_timespec (16 bytes)
 * @param userData user_data of the timeout
 * @param flags IORING_TIMEOUT_ABS, the clock's flag, IORING_LINK_TIMEOUT_UPDATE for a link timeout
 * @kernel 5.11 · IORING_OP_TIMEOUT_REMOVE
 * @man io_uring_prep_timeout_update(3)
 */
export function prepTimeoutUpdate(
  sqe: Sqe,
  timespecAddress: number,
  userData: number | bigint,
  flags: number,
): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_TIMEOUT_REMOVE
  words[SQE.FD] = -1
  writeAddress(words, SQE.OFF, timespecAddress)
  writeU64(words, SQE.ADDR, userData)
  words[SQE.OP_FLAGS] = flags | IORING_TIMEOUT_UPDATE
}

/**
 * Limits the time of the request before it, which carries IOSQE_IO_LINK; alone it is EINVAL.
 *
 * @param timespecAddress Address of a struct __kernel_timespec (16 bytes)
 * @param flags IORING_TIMEOUT_ABS, the clock's flag
 * @kernel 5.5 · IORING_OP_LINK_TIMEOUT
 * @man io_uring_prep_link_timeout(3)
 */
export function prepLinkTimeout(sqe: Sqe, timespecAddress: number, flags: number): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_LINK_TIMEOUT
  words[SQE.FD] = -1
  writeAddress(words, SQE.ADDR, timespecAddress)
  words[SQE.LEN] = 1
  words[SQE.OP_FLAGS] = flags
}

/**
 * Asks the kernel to cancel the request with this user_data.
 *
 * Only that request's own final CQE says that its memory is free: 0 or ENOENT here does not.
 *
 * @param userData user_data of the request; pointers are numbers here, so it is the same as `prepCancel64`
 * @param flags IORING_ASYNC_CANCEL_*
 * @kernel 5.5 · IORING_OP_ASYNC_CANCEL
 * @man io_uring_prep_cancel(3)
 */
export function prepCancel(sqe: Sqe, userData: number | bigint, flags: number): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_ASYNC_CANCEL
  words[SQE.FD] = -1
  writeU64(words, SQE.ADDR, userData)
  words[SQE.OP_FLAGS] = flags
}

/**
 * Asks the kernel to cancel the request with this user_data.
 *
 * @param userData user_data of the request
 * @param flags IORING_ASYNC_CANCEL_*
 * @kernel 5.5 · IORING_OP_ASYNC_CANCEL
 * @man io_uring_prep_cancel64(3)
 */
export function prepCancel64(sqe: Sqe, userData: number | bigint, flags: number): void {
  prepCancel(sqe, userData, flags)
}

/**
 * Asks the kernel to cancel requests on a file.
 *
 * The file counts, not the number: a request on a duplicate of `fd` matches, too.
 *
 * @param flags IORING_ASYNC_CANCEL_ALL (the result then counts them), IORING_ASYNC_CANCEL_FD_FIXED for a slot
 * @kernel 5.19 · IORING_OP_ASYNC_CANCEL
 * @man io_uring_prep_cancel_fd(3)
 */
export function prepCancelFd(sqe: Sqe, fd: number, flags: number): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_ASYNC_CANCEL
  words[SQE.FD] = fd
  words[SQE.OP_FLAGS] = flags | IORING_ASYNC_CANCEL_FD
}

/**
 * Waits until a file is ready; the result is the mask of what it is ready for.
 *
 * @param mask POLL* or EPOLL* bits, 32 of them (EPOLLEXCLUSIVE counts here)
 * @kernel 5.1 · IORING_OP_POLL_ADD
 * @man io_uring_prep_poll_add(3), poll(2)
 */
export function prepPollAdd(sqe: Sqe, fd: number, mask: number): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_POLL_ADD
  words[SQE.FD] = fd
  // One 32-bit store is right on the little-endian CPUs Node has; a big-endian one would swap the halves.
  words[SQE.OP_FLAGS] = mask
}

/**
 * Reports every time a file becomes ready, one CQE each, until a CQE comes without F_MORE.
 *
 * After the first event it reports changes, as with EPOLLET.
 *
 * @param mask POLL* or EPOLL* bits
 * @kernel 5.13 · IORING_OP_POLL_ADD
 * @man io_uring_prep_poll_multishot(3), poll(2)
 */
export function prepPollMultishot(sqe: Sqe, fd: number, mask: number): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_POLL_ADD
  words[SQE.FD] = fd
  words[SQE.LEN] = IORING_POLL_ADD_MULTI
  words[SQE.OP_FLAGS] = mask
}

/**
 * Removes a poll, which completes with ECANCELED.
 *
 * @param userData user_data of the poll
 * @kernel 5.1 · IORING_OP_POLL_REMOVE
 * @man io_uring_prep_poll_remove(3)
 */
export function prepPollRemove(sqe: Sqe, userData: number | bigint): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_POLL_REMOVE
  words[SQE.FD] = -1
  writeU64(words, SQE.ADDR, userData)
}

/**
 * Gives an armed poll another mask, another user_data, or both.
 *
 * @param oldUserData user_data it has
 * @param newUserData user_data it gets, with IORING_POLL_UPDATE_USER_DATA
 * @param mask POLL* bits it gets, with IORING_POLL_UPDATE_EVENTS
 * @param flags IORING_POLL_UPDATE_*, IORING_POLL_ADD_MULTI
 * @kernel 5.13 · IORING_OP_POLL_REMOVE
 * @man io_uring_prep_poll_update(3)
 */
export function prepPollUpdate(
  sqe: Sqe,
  oldUserData: number | bigint,
  newUserData: number | bigint,
  mask: number,
  flags: number,
): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_POLL_REMOVE
  words[SQE.FD] = -1
  writeU64(words, SQE.OFF, newUserData)
  writeU64(words, SQE.ADDR, oldUserData)
  words[SQE.LEN] = flags
  words[SQE.OP_FLAGS] = mask
}

/**
 * Adds, changes or removes a file in an epoll instance.
 *
 * @param fd The file; an ordinary fd
 * @param operation EPOLL_CTL_*
 * @param eventAddress Address of a struct epoll_event: 12 bytes on x64, 16 elsewhere
 * @kernel 5.6 · IORING_OP_EPOLL_CTL
 * @man io_uring_prep_epoll_ctl(3), epoll_ctl(2)
 */
export function prepEpollCtl(
  sqe: Sqe,
  epfd: number,
  fd: number,
  operation: number,
  eventAddress: number,
): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_EPOLL_CTL
  words[SQE.FD] = epfd
  words[SQE.OFF] = fd
  writeAddress(words, SQE.ADDR, eventAddress)
  words[SQE.LEN] = operation
}

/**
 * Waits for events of an epoll instance; the result counts them.
 *
 * @param eventsAddress Address of an array of struct epoll_event
 * @param maxEvents Entries in that array
 * @param flags Must be 0
 * @kernel 6.15 · IORING_OP_EPOLL_WAIT
 * @man io_uring_prep_epoll_wait(3), epoll_wait(2)
 */
export function prepEpollWait(
  sqe: Sqe,
  fd: number,
  eventsAddress: number,
  maxEvents: number,
  flags: number,
): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_EPOLL_WAIT
  words[SQE.FD] = fd
  writeAddress(words, SQE.ADDR, eventsAddress)
  words[SQE.LEN] = maxEvents
  words[SQE.OP_FLAGS] = flags
}
