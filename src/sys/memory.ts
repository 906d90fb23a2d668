// Reading and writing the memory that the kernel shares, and 64-bit values as two 32-bit words.
// Flow: ring, op, runtime → this.
// man io_uring(7): tails are stored with release and loaded with acquire. JavaScript's Atomics are sequentially consistent,
// which is stronger than both, so one helper serves each side; the names say which side of a pair a call is.

const TWO_32 = 4294967296

/** Loads a word the kernel stores with release: everything it wrote before is visible after this. */
export function loadAcquire(words: Int32Array, index: number): number {
  return Atomics.load(words, index)
}

/** Stores a word the kernel loads with acquire: everything written before is visible to the kernel with it. */
export function storeRelease(words: Int32Array, index: number, value: number): void {
  Atomics.store(words, index, value)
}

/** The same for a 16-bit word: the tail of a provided-buffer ring. */
export function storeRelease16(halves: Uint16Array, index: number, value: number): void {
  Atomics.store(halves, index, value)
}

/** Writes a 64-bit value at `words[index]`, low word first; numbers are taken as signed safe integers (-1 is all ones). */
export function writeU64(words: Int32Array, index: number, value: number | bigint): void {
  if (typeof value === 'number') {
    words[index] = value
    words[index + 1] = value >= 0 && value < TWO_32 ? 0 : Math.floor(value / TWO_32)
    return
  }
  words[index] = Number(BigInt.asIntN(32, value))
  words[index + 1] = Number(BigInt.asIntN(32, value >> 32n))
}

/** Reads a 64-bit value as a number; exact below 2^53. */
export function readU64(words: Int32Array, index: number): number {
  return (words[index]! >>> 0) + (words[index + 1]! >>> 0) * TWO_32
}

/** Bytes of a huge page, on x86-64 and (with 4 KiB pages) arm64. */
export const HUGE_PAGE_BYTES = 2 * 1024 * 1024
