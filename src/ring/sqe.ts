// One submission queue entry: a window of 64 (or 128) bytes, as 32-bit words.
// Flow: op/prep-* write it → submission-queue publishes it.
// man io_uring_enter(2), "struct io_uring_sqe"

import { writeU64 } from '../sys/memory.ts'

/** Word indices of an SQE; a field that shares its word with others says which bits are its own. */
export const SQE = {
  /** opcode: bits 0–7 · flags: bits 8–15 · ioprio: bits 16–31 */
  OPCODE: 0,
  FD: 1,
  /** off, addr2; cmd_op is the low word */
  OFF: 2,
  /** addr, splice_off_in; level is the low word, optname the high one */
  ADDR: 4,
  LEN: 6,
  /** rw_flags and all other flags of that union */
  OP_FLAGS: 7,
  USER_DATA: 8,
  /** buf_index, buf_group: bits 0–15 · personality: bits 16–31 */
  BUF_INDEX: 10,
  /** file_index, splice_fd_in, optlen, zcrx_ifq_idx; addr_len: bits 0–15 */
  FILE_INDEX: 11,
  /** addr3, attr_ptr, optval, cmd */
  ADDR3: 12,
  PAD2: 14,
} as const

export class Sqe {
  /** The entry's 16 (or 32) words. */
  readonly words: Int32Array
  readonly #zero: Float64Array

  constructor(memory: ArrayBufferLike, byteOffset: number, byteLength: 64 | 128) {
    this.words = new Int32Array(memory, byteOffset, byteLength / 4)
    this.#zero = new Float64Array(memory, byteOffset, byteLength / 8)
  }

  /** Zeroes every byte: the kernel refuses stale bits in fields an opcode does not use. */
  clear(): void {
    const zero = this.#zero
    for (let i = 0; i < zero.length; i++) zero[i] = 0
  }

  /** Sets user_data, which comes back unchanged in every CQE of this request. */
  setUserData(value: number | bigint): void {
    writeU64(this.words, SQE.USER_DATA, value)
  }

  /** Adds IOSQE_* flags to those that are set. */
  addFlags(flags: number): void {
    this.words[SQE.OPCODE]! |= (flags & 0xff) << 8
  }
}
