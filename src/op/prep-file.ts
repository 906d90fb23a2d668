// Reading, writing and managing the contents of an open file: arguments → 64 bytes.
// Flow: runtime, fs, users of the ring → this → Sqe.words.
// man io_uring_prep_read(3), io_uring_prep_readv2(3), io_uring_prep_fsync(3) and their neighbours

import { SQE, type Sqe } from '../ring/sqe.ts'
import {
  IORING_OP_FADVISE,
  IORING_OP_FALLOCATE,
  IORING_OP_FSYNC,
  IORING_OP_FTRUNCATE,
  IORING_OP_MADVISE,
  IORING_OP_READ,
  IORING_OP_READ_FIXED,
  IORING_OP_READ_MULTISHOT,
  IORING_OP_READV,
  IORING_OP_READV_FIXED,
  IORING_OP_SYNC_FILE_RANGE,
  IORING_OP_WRITE,
  IORING_OP_WRITE_FIXED,
  IORING_OP_WRITEV,
  IORING_OP_WRITEV_FIXED,
  IOSQE_BUFFER_SELECT,
} from '../sys/abi.ts'
import { writeU64 } from '../sys/memory.ts'
import { prepRw, writeAddress } from './prep.ts'

/**
 * Reads up to `length` bytes into memory.
 *
 * @param offset Byte offset in the file; -1 uses and moves the file's own position
 * @kernel 5.6 · IORING_OP_READ
 * @man io_uring_prep_read(3), read(2)
 */
export function prepRead(
  sqe: Sqe,
  fd: number,
  address: number,
  length: number,
  offset: number | bigint,
): void {
  prepRw(sqe, IORING_OP_READ, fd, address, length, offset)
}

/**
 * Writes up to `length` bytes from memory.
 *
 * @param offset Byte offset in the file; -1 uses and moves the file's own position
 * @kernel 5.6 · IORING_OP_WRITE
 * @man io_uring_prep_write(3), write(2)
 */
export function prepWrite(
  sqe: Sqe,
  fd: number,
  address: number,
  length: number,
  offset: number | bigint,
): void {
  prepRw(sqe, IORING_OP_WRITE, fd, address, length, offset)
}

/**
 * Reads into several pieces of memory, in order.
 *
 * @param iovAddress Address of an array of struct iovec
 * @param count Entries in that array
 * @param offset Byte offset in the file; -1 uses and moves the file's own position
 * @kernel 5.1 · IORING_OP_READV
 * @man io_uring_prep_readv(3), preadv2(2)
 */
export function prepReadv(
  sqe: Sqe,
  fd: number,
  iovAddress: number,
  count: number,
  offset: number | bigint,
): void {
  prepRw(sqe, IORING_OP_READV, fd, iovAddress, count, offset)
}

/**
 * Reads into several pieces of memory, with flags for this one request.
 *
 * @param iovAddress Address of an array of struct iovec
 * @param count Entries in that array
 * @param offset Byte offset in the file; -1 uses and moves the file's own position
 * @param rwFlags RWF_*
 * @kernel 5.1 · IORING_OP_READV
 * @man io_uring_prep_readv2(3), preadv2(2)
 */
export function prepReadv2(
  sqe: Sqe,
  fd: number,
  iovAddress: number,
  count: number,
  offset: number | bigint,
  rwFlags: number,
): void {
  prepRw(sqe, IORING_OP_READV, fd, iovAddress, count, offset)
  sqe.words[SQE.OP_FLAGS] = rwFlags
}

/**
 * Writes several pieces of memory, in order.
 *
 * @param iovAddress Address of an array of struct iovec
 * @param count Entries in that array
 * @param offset Byte offset in the file; -1 uses and moves the file's own position
 * @kernel 5.1 · IORING_OP_WRITEV
 * @man io_uring_prep_writev(3), pwritev2(2)
 */
export function prepWritev(
  sqe: Sqe,
  fd: number,
  iovAddress: number,
  count: number,
  offset: number | bigint,
): void {
  prepRw(sqe, IORING_OP_WRITEV, fd, iovAddress, count, offset)
}

/**
 * Writes several pieces of memory, with flags for this one request.
 *
 * @param iovAddress Address of an array of struct iovec
 * @param count Entries in that array
 * @param offset Byte offset in the file; -1 uses and moves the file's own position
 * @param rwFlags RWF_*
 * @kernel 5.1 · IORING_OP_WRITEV
 * @man io_uring_prep_writev2(3), pwritev2(2)
 */
export function prepWritev2(
  sqe: Sqe,
  fd: number,
  iovAddress: number,
  count: number,
  offset: number | bigint,
  rwFlags: number,
): void {
  prepRw(sqe, IORING_OP_WRITEV, fd, iovAddress, count, offset)
  sqe.words[SQE.OP_FLAGS] = rwFlags
}

/**
 * Reads into a registered buffer.
 *
 * @param address An address inside that buffer (its own address space: also for huge pages and cloned buffers)
 * @param offset Byte offset in the file; -1 uses and moves the file's own position
 * @param bufIndex Index of the registered buffer
 * @kernel 5.1 · IORING_OP_READ_FIXED
 * @man io_uring_prep_read_fixed(3)
 */
export function prepReadFixed(
  sqe: Sqe,
  fd: number,
  address: number,
  length: number,
  offset: number | bigint,
  bufIndex: number,
): void {
  prepRw(sqe, IORING_OP_READ_FIXED, fd, address, length, offset)
  sqe.words[SQE.BUF_INDEX] = bufIndex & 0xffff
}

/**
 * Writes from a registered buffer.
 *
 * @param address An address inside that buffer
 * @param offset Byte offset in the file; -1 uses and moves the file's own position
 * @param bufIndex Index of the registered buffer
 * @kernel 5.1 · IORING_OP_WRITE_FIXED
 * @man io_uring_prep_write_fixed(3)
 */
export function prepWriteFixed(
  sqe: Sqe,
  fd: number,
  address: number,
  length: number,
  offset: number | bigint,
  bufIndex: number,
): void {
  prepRw(sqe, IORING_OP_WRITE_FIXED, fd, address, length, offset)
  sqe.words[SQE.BUF_INDEX] = bufIndex & 0xffff
}

/**
 * Reads into several pieces of one registered buffer.
 *
 * @param iovAddress Address of an array of struct iovec, all inside the buffer
 * @param count Entries in that array
 * @param offset Byte offset in the file; -1 uses and moves the file's own position
 * @param rwFlags RWF_*
 * @param bufIndex Index of the registered buffer
 * @kernel 6.15 · IORING_OP_READV_FIXED
 * @man io_uring_prep_readv_fixed(3)
 */
export function prepReadvFixed(
  sqe: Sqe,
  fd: number,
  iovAddress: number,
  count: number,
  offset: number | bigint,
  rwFlags: number,
  bufIndex: number,
): void {
  prepRw(sqe, IORING_OP_READV_FIXED, fd, iovAddress, count, offset)
  sqe.words[SQE.OP_FLAGS] = rwFlags
  sqe.words[SQE.BUF_INDEX] = bufIndex & 0xffff
}

/**
 * Writes several pieces of one registered buffer.
 *
 * @param iovAddress Address of an array of struct iovec, all inside the buffer
 * @param count Entries in that array
 * @param offset Byte offset in the file; -1 uses and moves the file's own position
 * @param rwFlags RWF_*
 * @param bufIndex Index of the registered buffer
 * @kernel 6.15 · IORING_OP_WRITEV_FIXED
 * @man io_uring_prep_writev_fixed(3)
 */
export function prepWritevFixed(
  sqe: Sqe,
  fd: number,
  iovAddress: number,
  count: number,
  offset: number | bigint,
  rwFlags: number,
  bufIndex: number,
): void {
  prepRw(sqe, IORING_OP_WRITEV_FIXED, fd, iovAddress, count, offset)
  sqe.words[SQE.OP_FLAGS] = rwFlags
  sqe.words[SQE.BUF_INDEX] = bufIndex & 0xffff
}

/**
 * Reads again and again into provided buffers, one CQE each, until a CQE comes without F_MORE.
 *
 * Works on files that can be polled (pipes, sockets, ttys); a regular file ends with EBADFD. Sets IOSQE_BUFFER_SELECT.
 *
 * @param length Most bytes for one read; 0 takes the size of the buffer
 * @param offset Must be -1 or 0, as the file has no positions
 * @param bufGroup Group of provided buffers
 * @kernel 6.7 · IORING_OP_READ_MULTISHOT
 * @man io_uring_prep_read_multishot(3)
 */
export function prepReadMultishot(
  sqe: Sqe,
  fd: number,
  length: number,
  offset: number | bigint,
  bufGroup: number,
): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_READ_MULTISHOT | (IOSQE_BUFFER_SELECT << 8)
  words[SQE.FD] = fd
  writeU64(words, SQE.OFF, offset)
  words[SQE.LEN] = length
  words[SQE.BUF_INDEX] = bufGroup & 0xffff
}

/**
 * Brings what was written to the device.
 *
 * Waits for no write that is still in flight: link it behind them. `sqeSetFsyncRange` limits it to a range.
 *
 * @param fsyncFlags 0 or IORING_FSYNC_DATASYNC
 * @kernel 5.1 · IORING_OP_FSYNC
 * @man io_uring_prep_fsync(3), fsync(2)
 */
export function prepFsync(sqe: Sqe, fd: number, fsyncFlags: number): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_FSYNC
  words[SQE.FD] = fd
  words[SQE.OP_FLAGS] = fsyncFlags
}

/**
 * Starts or awaits write-back of a range, without metadata and without flushing the device.
 *
 * @param length Bytes, 32 bits; 0 is to the end of the file
 * @param offset Byte offset in the file
 * @param flags SYNC_FILE_RANGE_*
 * @kernel 5.2 · IORING_OP_SYNC_FILE_RANGE
 * @man io_uring_prep_sync_file_range(3), sync_file_range(2)
 */
export function prepSyncFileRange(
  sqe: Sqe,
  fd: number,
  length: number,
  offset: number | bigint,
  flags: number,
): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_SYNC_FILE_RANGE
  words[SQE.FD] = fd
  writeU64(words, SQE.OFF, offset)
  words[SQE.LEN] = length
  words[SQE.OP_FLAGS] = flags
}

/**
 * Reserves, punches or zeroes a range of a file.
 *
 * @param mode FALLOC_FL_*
 * @param offset Byte offset in the file
 * @param length Bytes
 * @kernel 5.6 · IORING_OP_FALLOCATE
 * @man io_uring_prep_fallocate(3), fallocate(2)
 */
export function prepFallocate(
  sqe: Sqe,
  fd: number,
  mode: number,
  offset: number | bigint,
  length: number | bigint,
): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_FALLOCATE
  words[SQE.FD] = fd
  writeU64(words, SQE.OFF, offset)
  // The kernel takes the length from `addr` and the mode from `len`.
  writeU64(words, SQE.ADDR, length)
  words[SQE.LEN] = mode
}

/**
 * Cuts or extends a file.
 *
 * @param length New size in bytes
 * @kernel 6.9 · IORING_OP_FTRUNCATE
 * @man io_uring_prep_ftruncate(3), ftruncate(2)
 */
export function prepFtruncate(sqe: Sqe, fd: number, length: number | bigint): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_FTRUNCATE
  words[SQE.FD] = fd
  writeU64(words, SQE.OFF, length)
}

/**
 * Says how a range of a file is going to be used.
 *
 * @param offset Byte offset in the file
 * @param length Bytes, 32 bits; 0 is to the end of the file
 * @param advice POSIX_FADV_*
 * @kernel 5.6 · IORING_OP_FADVISE
 * @man io_uring_prep_fadvise(3), posix_fadvise(2)
 */
export function prepFadvise(
  sqe: Sqe,
  fd: number,
  offset: number | bigint,
  length: number,
  advice: number,
): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_FADVISE
  words[SQE.FD] = fd
  writeU64(words, SQE.OFF, offset)
  words[SQE.LEN] = length
  words[SQE.OP_FLAGS] = advice
}

/**
 * Says how a range of a file is going to be used, with a length of 64 bits.
 *
 * @param offset Byte offset in the file
 * @param length Bytes; 0 is to the end of the file
 * @param advice POSIX_FADV_*
 * @kernel 6.11 · IORING_OP_FADVISE
 * @man io_uring_prep_fadvise64(3), posix_fadvise(2)
 */
export function prepFadvise64(
  sqe: Sqe,
  fd: number,
  offset: number | bigint,
  length: number | bigint,
  advice: number,
): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_FADVISE
  words[SQE.FD] = fd
  writeU64(words, SQE.OFF, offset)
  writeU64(words, SQE.ADDR, length)
  words[SQE.OP_FLAGS] = advice
}

/**
 * Says how a range of this process's memory is going to be used.
 *
 * @param address Page-aligned address
 * @param length Bytes, 32 bits
 * @param advice MADV_*
 * @kernel 5.6 · IORING_OP_MADVISE
 * @man io_uring_prep_madvise(3), madvise(2)
 */
export function prepMadvise(sqe: Sqe, address: number, length: number, advice: number): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_MADVISE
  words[SQE.FD] = -1
  writeAddress(words, SQE.ADDR, address)
  words[SQE.LEN] = length
  words[SQE.OP_FLAGS] = advice
}

/**
 * Says how a range of this process's memory is going to be used, with a length of 64 bits.
 *
 * @param address Page-aligned address
 * @param length Bytes
 * @param advice MADV_*
 * @kernel 6.11 · IORING_OP_MADVISE
 * @man io_uring_prep_madvise64(3), madvise(2)
 */
export function prepMadvise64(sqe: Sqe, address: number, length: number | bigint, advice: number): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_MADVISE
  words[SQE.FD] = -1
  writeU64(words, SQE.OFF, length)
  writeAddress(words, SQE.ADDR, address)
  words[SQE.OP_FLAGS] = advice
}
