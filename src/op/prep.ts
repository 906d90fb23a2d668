// What all prep functions share: the general entry, pointers, and the target slot of a direct descriptor.
// Flow: prep-*.ts, runtime → this → Sqe.words.
// man io_uring_prep_rw(3), io_uring_enter(2) "struct io_uring_sqe"
//
// Rules of every prep function: the entry is cleared (`getSqe` does that), so only the fields the opcode uses are
// written. The first word is written whole, so flags and ioprio are set after the prep function, never before.
// user_data is never written. Addresses are safe integers of memory that lives until the final CQE.

import { SQE, type Sqe } from '../ring/sqe.ts'
import { IORING_FILE_INDEX_ALLOC } from '../sys/abi.ts'
import { writeU64 } from '../sys/memory.ts'

const TWO_32 = 4294967296

/** Writes an address, 0 for NULL: a number below 2^53, so that no BigInt and no sign is in the way. */
export function writeAddress(words: Int32Array, index: number, address: number): void {
  words[index] = address
  words[index + 1] = address / TWO_32
}

/** Writes the slot for a direct descriptor: index + 1, because 0 means an ordinary fd; ALLOC stays as it is. */
export function writeTarget(words: Int32Array, fileIndex: number): void {
  // As signed words ALLOC is -1, and a caller that went through `|` has it so.
  words[SQE.FILE_INDEX] = (fileIndex | 0) === (IORING_FILE_INDEX_ALLOC | 0) ? -1 : fileIndex + 1
}

/**
 * Fills the fields that most requests use; for opcodes and variants that have no prep function of their own.
 *
 * liburing takes the opcode first; here the entry comes first, as everywhere.
 *
 * @param op One of IORING_OP_*
 * @param address Address of the buffer, or what the opcode has in `addr`
 * @param length Bytes, or what the opcode has in `len`
 * @param offset Byte offset, -1 for the file's own position, or what the opcode has in `off`
 * @kernel 5.1 · any
 * @man io_uring_enter(2)
 */
export function prepRw(
  sqe: Sqe,
  op: number,
  fd: number,
  address: number,
  length: number,
  offset: number | bigint,
): void {
  const words = sqe.words
  words[SQE.OPCODE] = op
  words[SQE.FD] = fd
  writeU64(words, SQE.OFF, offset)
  writeAddress(words, SQE.ADDR, address)
  words[SQE.LEN] = length
}
