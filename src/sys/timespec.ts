// Times for the kernel: milliseconds or nanoseconds → struct __kernel_timespec.
// Flow: ring, runtime → this.
// man clock_gettime(2). Two 64-bit words, seconds and nanoseconds; written as four 32-bit words, without BigInt.

import { rangeError } from './error.ts'
import { writeU64 } from './memory.ts'

/** sizeof struct __kernel_timespec. */
export const TIMESPEC_BYTES = 16

const NS_PER_SECOND = 1_000_000_000

/**
 * Writes a time in milliseconds at `words[index]` to `words[index + 3]`.
 * @throws {RangeError} ERR_OUT_OF_RANGE: negative, or over 2^53 - 1
 */
export function writeTimespecMs(words: Int32Array, index: number, ms: number): void {
  if (!(ms >= 0 && ms <= Number.MAX_SAFE_INTEGER)) throw rangeError('ms', '>= 0 && <= 9007199254740991', ms)
  const seconds = Math.floor(ms / 1000)
  // 1.001 ms is not exact in floating point: round; but never up to a full second, which the kernel refuses.
  const ns = Math.min(Math.round((ms - seconds * 1000) * 1e6), NS_PER_SECOND - 1)
  writeU64(words, index, seconds)
  writeU64(words, index + 2, ns)
}

/**
 * Writes a time in nanoseconds.
 * @throws {RangeError} ERR_OUT_OF_RANGE: negative, not whole, or too large
 */
export function writeTimespecNs(words: Int32Array, index: number, ns: number | bigint): void {
  if (typeof ns === 'bigint') {
    if (ns < 0n || ns >= 2n ** 63n) throw rangeError('ns', `>= 0n && < ${2n ** 63n}n`, ns)
    writeU64(words, index, ns / BigInt(NS_PER_SECOND))
    writeU64(words, index + 2, Number(ns % BigInt(NS_PER_SECOND)))
    return
  }
  if (!Number.isSafeInteger(ns) || ns < 0) throw rangeError('ns', '>= 0 && <= 9007199254740991', ns)
  writeU64(words, index, Math.floor(ns / NS_PER_SECOND))
  writeU64(words, index + 2, ns % NS_PER_SECOND)
}
