// Checks of arguments before any byte of an SQE is written; the words are Node's.
// Flow: ring, op, runtime, fs, net → this → error.ts.

import { argumentTypeError, argumentValueError, rangeError } from './error.ts'

const INT32_MAX = 0x7fffffff
const UINT32_MAX = 0xffffffff

/**
 * Checks a whole number within limits.
 * @throws {TypeError} ERR_INVALID_ARG_TYPE · {RangeError} ERR_OUT_OF_RANGE
 */
export function checkInteger(
  name: string,
  value: unknown,
  min: number = Number.MIN_SAFE_INTEGER,
  max: number = Number.MAX_SAFE_INTEGER,
): asserts value is number {
  if (typeof value !== 'number') throw argumentTypeError(name, 'of type number', value)
  if (!Number.isInteger(value)) throw rangeError(name, 'an integer', value)
  if (value < min || value > max) throw rangeError(name, `>= ${min} && <= ${max}`, value)
}

/** Checks a file descriptor: 0 to 2^31 - 1. */
export function checkFd(value: unknown, name = 'fd'): asserts value is number {
  checkInteger(name, value, 0, INT32_MAX)
}

/** Checks a 32-bit word without sign: flags, lengths, indices. */
export function checkUint32(name: string, value: unknown): asserts value is number {
  checkInteger(name, value, 0, UINT32_MAX)
}

/** Checks a 64-bit value without sign; -1 stands for "all ones" when `allowMinusOne`. */
export function checkUint64(
  name: string,
  value: unknown,
  allowMinusOne = false,
): asserts value is number | bigint {
  if (typeof value === 'bigint') {
    const min = allowMinusOne ? -1n : 0n
    if (value < min || value >= 2n ** 64n)
      throw rangeError(name, `>= ${min}n && <= ${2n ** 64n - 1n}n`, value)
    return
  }
  if (typeof value !== 'number') throw argumentTypeError(name, 'of type number or bigint', value)
  checkInteger(name, value, allowMinusOne ? -1 : 0)
}

/** Checks a path: text without NUL, which would end it early for the kernel. */
export function checkPath(value: unknown, name = 'path'): asserts value is string {
  if (typeof value !== 'string') throw argumentTypeError(name, 'of type string', value)
  if (value.includes('\0')) throw argumentValueError(name, value, 'must be a string without null bytes')
}

export function checkFunction(name: string, value: unknown): asserts value is (...args: never[]) => unknown {
  if (typeof value !== 'function') throw argumentTypeError(name, 'of type function', value)
}

export function checkBoolean(name: string, value: unknown): asserts value is boolean {
  if (typeof value !== 'boolean') throw argumentTypeError(name, 'of type boolean', value)
}

export function checkString(name: string, value: unknown): asserts value is string {
  if (typeof value !== 'string') throw argumentTypeError(name, 'of type string', value)
}

/** Checks an options object; undefined passes. */
export function checkObject(name: string, value: unknown): asserts value is object | undefined {
  if (value !== undefined && (typeof value !== 'object' || value === null)) {
    throw argumentTypeError(name, 'of type object', value)
  }
}
