// Changes to an entry after its prep function: flags, buffers, credentials, ranges.
// Flow: runtime, users of the ring → this → Sqe.words.
// man io_uring_sqe_set_flags(3), io_uring_sqe_set_data(3), io_uring_sqe_set_buf_group(3), io_uring_enter(2)
//
// Always after the prep function, which writes the first word whole.

import { SQE, type Sqe } from '../ring/sqe.ts'
import { IOSQE_BUFFER_SELECT, IOSQE_FIXED_FILE } from '../sys/abi.ts'
import { writeU64 } from '../sys/memory.ts'
import { writeAddress, writeTarget } from './prep.ts'

/**
 * Replaces the IOSQE_* flags; those that a prep function set are gone. `sqe.addFlags` keeps them.
 *
 * @param flags IOSQE_*
 * @man io_uring_sqe_set_flags(3)
 */
export function sqeSetFlags(sqe: Sqe, flags: number): void {
  const words = sqe.words
  words[SQE.OPCODE] = (words[SQE.OPCODE]! & ~0xff00) | ((flags & 0xff) << 8)
}

/**
 * Sets user_data from an address or another safe integer.
 *
 * @man io_uring_sqe_set_data(3)
 */
export function sqeSetData(sqe: Sqe, data: number): void {
  writeU64(sqe.words, SQE.USER_DATA, data)
}

/**
 * Sets user_data: a signed safe integer, or 64 bits.
 *
 * @man io_uring_sqe_set_data64(3)
 */
export function sqeSetData64(sqe: Sqe, data: number | bigint): void {
  writeU64(sqe.words, SQE.USER_DATA, data)
}

/** Sets user_data as two u32 words, without a BigInt for values beyond 2^53. */
export function sqeSetDataWords(sqe: Sqe, low: number, high: number): void {
  sqe.words[SQE.USER_DATA] = low
  sqe.words[SQE.USER_DATA + 1] = high
}

/** Sets `addr` as two u32 words: the user_data that a cancel, poll or timeout removal or update looks for. */
export function sqeSetAddrWords(sqe: Sqe, low: number, high: number): void {
  sqe.words[SQE.ADDR] = low
  sqe.words[SQE.ADDR + 1] = high
}

/** Sets `off` as two u32 words: the new user_data of a poll update, or the data of a message to a ring. */
export function sqeSetOffWords(sqe: Sqe, low: number, high: number): void {
  sqe.words[SQE.OFF] = low
  sqe.words[SQE.OFF + 1] = high
}

/** Replaces ioprio: IORING_RECVSEND_*, IORING_RECV_*, IORING_ACCEPT_*, or the priority of a read or write. */
export function sqeSetIoprio(sqe: Sqe, ioprio: number): void {
  const words = sqe.words
  words[SQE.OPCODE] = (words[SQE.OPCODE]! & 0xffff) | (ioprio << 16)
}

/** Adds bits to ioprio, such as IORING_RECVSEND_POLL_FIRST to a multishot recv. */
export function sqeAddIoprio(sqe: Sqe, ioprio: number): void {
  sqe.words[SQE.OPCODE]! |= ioprio << 16
}

/** Replaces the flags of the opcode's own union: rw_flags, msg_flags, uring_cmd_flags, nop_flags… */
export function sqeSetOpFlags(sqe: Sqe, flags: number): void {
  sqe.words[SQE.OP_FLAGS] = flags
}

/** Says that the entry's fd is a slot of the registered files. */
export function sqeSetFixedFile(sqe: Sqe): void {
  sqe.words[SQE.OPCODE]! |= IOSQE_FIXED_FILE << 8
}

/**
 * Lets an open, accept, socket or pipe put its file into a slot.
 *
 * @param fileIndex Slot, or IORING_FILE_INDEX_ALLOC
 */
export function sqeSetTargetFixedFile(sqe: Sqe, fileIndex: number): void {
  writeTarget(sqe.words, fileIndex)
}

/**
 * Sets the group of provided buffers; it counts only with IOSQE_BUFFER_SELECT, see `sqeSetBufferSelect`.
 *
 * @man io_uring_sqe_set_buf_group(3)
 */
export function sqeSetBufGroup(sqe: Sqe, bufGroup: number): void {
  const words = sqe.words
  words[SQE.BUF_INDEX] = (words[SQE.BUF_INDEX]! & ~0xffff) | (bufGroup & 0xffff)
}

/** Lets the kernel choose a provided buffer of the group when there is data: IOSQE_BUFFER_SELECT and the group. */
export function sqeSetBufferSelect(sqe: Sqe, bufGroup: number): void {
  sqe.words[SQE.OPCODE]! |= IOSQE_BUFFER_SELECT << 8
  sqeSetBufGroup(sqe, bufGroup)
}

/** Sets the index of a registered buffer, for NOP, URING_CMD and sends that take one. */
export function sqeSetBufIndex(sqe: Sqe, bufIndex: number): void {
  sqeSetBufGroup(sqe, bufIndex)
}

/** Lets the request run with credentials that IORING_REGISTER_PERSONALITY saved. */
export function sqeSetPersonality(sqe: Sqe, personality: number): void {
  const words = sqe.words
  words[SQE.BUF_INDEX] = (words[SQE.BUF_INDEX]! & 0xffff) | (personality << 16)
}

/**
 * Limits an fsync to a range.
 *
 * @param offset Byte offset
 * @param length Bytes, 32 bits; 0 is to the end of the file
 */
export function sqeSetFsyncRange(sqe: Sqe, offset: number | bigint, length: number): void {
  writeU64(sqe.words, SQE.OFF, offset)
  sqe.words[SQE.LEN] = length
}

/**
 * Adds attributes to a read or write.
 *
 * @param attrAddress Address of the attribute (struct io_uring_attr_pi)
 * @param typeMask IORING_RW_ATTR_FLAG_*
 * @kernel 6.14
 */
export function sqeSetAttr(sqe: Sqe, attrAddress: number, typeMask: number): void {
  writeAddress(sqe.words, SQE.ADDR3, attrAddress)
  writeU64(sqe.words, SQE.PAD2, typeMask)
}

/**
 * Sends a write to a stream of the device.
 *
 * @param stream Number of the stream, from 1; 0 is none
 * @kernel 6.16
 */
export function sqeSetWriteStream(sqe: Sqe, stream: number): void {
  sqe.words[SQE.FILE_INDEX] = stream & 0xff
}
