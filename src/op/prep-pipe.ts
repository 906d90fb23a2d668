// Moving data between files inside the kernel, and making pipes: arguments → 64 bytes.
// Flow: runtime, fs, users of the ring → this → Sqe.words.
// man io_uring_prep_splice(3), io_uring_prep_tee(3), io_uring_prep_pipe(3)

import { SQE, type Sqe } from '../ring/sqe.ts'
import { IORING_OP_PIPE, IORING_OP_SPLICE, IORING_OP_TEE } from '../sys/abi.ts'
import { writeU64 } from '../sys/memory.ts'
import { writeAddress, writeTarget } from './prep.ts'

/**
 * Moves bytes between two files without copying them to this process; one of the two must be a pipe.
 *
 * Runs in a kernel worker; cancelled there, its result is -512 (ERESTARTSYS), not -125. IOSQE_FIXED_FILE speaks of
 * `fdOut` only; for `fdIn` there is SPLICE_F_FD_IN_FIXED.
 *
 * @param offIn Byte offset in `fdIn`; -1 uses its position, and must be given for a pipe
 * @param offOut Byte offset in `fdOut`; likewise
 * @param length Most bytes to move
 * @param spliceFlags SPLICE_F_*
 * @kernel 5.7 · IORING_OP_SPLICE
 * @man io_uring_prep_splice(3), splice(2)
 */
export function prepSplice(
  sqe: Sqe,
  fdIn: number,
  offIn: number | bigint,
  fdOut: number,
  offOut: number | bigint,
  length: number,
  spliceFlags: number,
): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_SPLICE
  // The output is the entry's fd and `off`; the input has the two fields named splice_*_in.
  words[SQE.FD] = fdOut
  writeU64(words, SQE.OFF, offOut)
  writeU64(words, SQE.ADDR, offIn)
  words[SQE.LEN] = length
  words[SQE.OP_FLAGS] = spliceFlags
  words[SQE.FILE_INDEX] = fdIn
}

/**
 * Duplicates bytes from one pipe to another and leaves them in the first.
 *
 * @param length Most bytes to duplicate
 * @param spliceFlags SPLICE_F_*
 * @kernel 5.8 · IORING_OP_TEE
 * @man io_uring_prep_tee(3), tee(2)
 */
export function prepTee(sqe: Sqe, fdIn: number, fdOut: number, length: number, spliceFlags: number): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_TEE
  words[SQE.FD] = fdOut
  words[SQE.LEN] = length
  words[SQE.OP_FLAGS] = spliceFlags
  words[SQE.FILE_INDEX] = fdIn
}

/**
 * Makes a pipe and stores its two fds.
 *
 * @param fdsAddress Address of two 32-bit integers: the reading end, the writing end
 * @param pipeFlags O_CLOEXEC, O_NONBLOCK, O_DIRECT
 * @kernel 6.16 · IORING_OP_PIPE
 * @man io_uring_prep_pipe(3), pipe2(2)
 */
export function prepPipe(sqe: Sqe, fdsAddress: number, pipeFlags: number): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_PIPE
  writeAddress(words, SQE.ADDR, fdsAddress)
  words[SQE.OP_FLAGS] = pipeFlags
}

/**
 * Makes a pipe whose ends are direct descriptors and stores their two indices.
 *
 * @param fdsAddress Address of two 32-bit integers: the slot of the reading end, of the writing end
 * @param pipeFlags O_NONBLOCK, O_DIRECT; O_CLOEXEC is EINVAL
 * @param fileIndex First of two slots that follow each other, or IORING_FILE_INDEX_ALLOC
 * @kernel 6.16 · IORING_OP_PIPE
 * @man io_uring_prep_pipe_direct(3), pipe2(2)
 */
export function prepPipeDirect(sqe: Sqe, fdsAddress: number, pipeFlags: number, fileIndex: number): void {
  prepPipe(sqe, fdsAddress, pipeFlags)
  writeTarget(sqe.words, fileIndex)
}
