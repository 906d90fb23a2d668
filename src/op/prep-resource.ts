// Registered files and provided buffers, managed by requests instead of io_uring_register(2): arguments → 64 bytes.
// Flow: runtime, users of the ring → this → Sqe.words.
// man io_uring_prep_files_update(3), io_uring_prep_provide_buffers(3), io_uring_prep_fixed_fd_install(3)

import { SQE, type Sqe } from '../ring/sqe.ts'
import {
  IORING_OP_FILES_UPDATE,
  IORING_OP_FIXED_FD_INSTALL,
  IORING_OP_PROVIDE_BUFFERS,
  IORING_OP_REMOVE_BUFFERS,
  IOSQE_FIXED_FILE,
} from '../sys/abi.ts'
import { writeU64 } from '../sys/memory.ts'
import { writeAddress } from './prep.ts'

/**
 * Puts fds into slots of the registered files; the result counts them.
 *
 * @param fdsAddress Address of 32-bit fds: -1 empties a slot, IORING_REGISTER_FILES_SKIP leaves it. With
 *   IORING_FILE_INDEX_ALLOC the kernel writes the slots it chose here, so it must live until the final CQE.
 * @param count Entries there
 * @param offset First slot, or IORING_FILE_INDEX_ALLOC
 * @kernel 5.6 · IORING_OP_FILES_UPDATE
 * @man io_uring_prep_files_update(3)
 */
export function prepFilesUpdate(sqe: Sqe, fdsAddress: number, count: number, offset: number): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_FILES_UPDATE
  words[SQE.FD] = -1
  writeU64(words, SQE.OFF, offset)
  writeAddress(words, SQE.ADDR, fdsAddress)
  words[SQE.LEN] = count
}

/**
 * Makes an ordinary fd for a direct descriptor, which stays; the result is the fd.
 *
 * Sets IOSQE_FIXED_FILE.
 *
 * @param fileIndex Slot of the registered files
 * @param flags 0 (the fd is close-on-exec) or IORING_FIXED_FD_NO_CLOEXEC
 * @kernel 6.8 · IORING_OP_FIXED_FD_INSTALL
 * @man io_uring_prep_fixed_fd_install(3)
 */
export function prepFixedFdInstall(sqe: Sqe, fileIndex: number, flags: number): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_FIXED_FD_INSTALL | (IOSQE_FIXED_FILE << 8)
  words[SQE.FD] = fileIndex
  words[SQE.OP_FLAGS] = flags
}

/**
 * Gives the kernel buffers to choose from, the old way; a buffer ring (5.19) is faster.
 *
 * @param address Address of the first buffer; the others follow it
 * @param length Bytes of each
 * @param count How many
 * @param bufGroup Group they join
 * @param bufId Number of the first; the others count up
 * @kernel 5.7 · IORING_OP_PROVIDE_BUFFERS
 * @man io_uring_prep_provide_buffers(3)
 */
export function prepProvideBuffers(
  sqe: Sqe,
  address: number,
  length: number,
  count: number,
  bufGroup: number,
  bufId: number,
): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_PROVIDE_BUFFERS
  words[SQE.FD] = count
  writeU64(words, SQE.OFF, bufId)
  writeAddress(words, SQE.ADDR, address)
  words[SQE.LEN] = length
  words[SQE.BUF_INDEX] = bufGroup & 0xffff
}

/**
 * Takes back buffers of a group that was filled by `prepProvideBuffers`; the result counts them.
 *
 * @param count Most to take back
 * @kernel 5.7 · IORING_OP_REMOVE_BUFFERS
 * @man io_uring_prep_remove_buffers(3)
 */
export function prepRemoveBuffers(sqe: Sqe, count: number, bufGroup: number): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_REMOVE_BUFFERS
  words[SQE.FD] = count
  words[SQE.BUF_INDEX] = bufGroup & 0xffff
}
