// Which arguments the ring's way takes: all that Node takes without complaint and that need no explaining.
// Flow: promises-*, file-handle → this → runtime (flags).
// Everything else is null here and goes to Node's own function, whose errors are then Node's to the letter, in every version.

import { fileURLToPath } from 'node:url'
import { types } from 'node:util'
import { openFlags } from '../runtime/operations-path.ts'

const INT32_MAX = 0x7fffffff
const UINT32_MAX = 0xffffffff

/** Newer than the library that the types are of; every Node here has it. */
const isWellFormed = (text: string): boolean =>
  (text as unknown as { isWellFormed(): boolean }).isWellFormed()

/**
 * A path for the kernel, or null. The empty path is Node's: for statx(2) it would mean the directory itself. So is half a surrogate
 * pair, which Node's errors show as what it becomes in UTF-8.
 */
export function plainPath(path: unknown): string | Uint8Array | null {
  if (typeof path === 'string')
    return path.length > 0 && !path.includes('\0') && isWellFormed(path) ? path : null
  if (types.isUint8Array(path)) return path.length > 0 && !path.includes(0) ? path : null
  if (!(path instanceof URL)) return null
  try {
    return plainPath(fileURLToPath(path))
  } catch {
    return null
  }
}

/** O_* flags, or null. */
export function plainFlags(flags: unknown): number | null {
  if (flags === undefined || flags === null) return 0
  if (typeof flags === 'number')
    return Number.isInteger(flags) && flags >= 0 && flags <= INT32_MAX ? flags : null
  if (typeof flags !== 'string') return null
  try {
    return openFlags(flags)
  } catch {
    return null
  }
}

/** Permission bits of a new file or directory, or null. */
export function plainMode(mode: unknown, otherwise: number): number | null {
  if (mode === undefined || mode === null) return otherwise
  if (typeof mode === 'string') return /^[0-7]{1,10}$/.test(mode) ? Number.parseInt(mode, 8) : null
  return typeof mode === 'number' && Number.isInteger(mode) && mode >= 0 && mode <= UINT32_MAX ? mode : null
}

/** What stat, lstat and fstat are asked for, or null. */
export function plainStatOptions(options: unknown): { bigint: boolean } | null {
  if (options === undefined) return { bigint: false }
  if (typeof options !== 'object' || options === null || Array.isArray(options)) return null
  const { bigint, signal, throwIfNoEntry } = options as Record<string, unknown>
  if (signal !== undefined || (throwIfNoEntry !== undefined && throwIfNoEntry !== true)) return null
  return { bigint: bigint === true }
}

/** What reading and writing whole files is asked for. */
export interface WholeFileOptions {
  encoding: BufferEncoding | null
  /** O_* flags. */
  flag: number
  mode: number
  signal: AbortSignal | undefined
  /** Whether the bytes are to be on the device when the promise resolves. */
  flush: boolean
}

/** Options of readFile, writeFile and appendFile, or null; those that only newer versions of Node know are Node's. */
export function plainFileOptions(options: unknown, flag: number): WholeFileOptions | null {
  const plain: WholeFileOptions = { encoding: null, flag, mode: 0o666, signal: undefined, flush: false }
  if (options === undefined || options === null) return plain
  if (typeof options === 'string') {
    if (!Buffer.isEncoding(options)) return null
    plain.encoding = options
    return plain
  }
  if (typeof options !== 'object') return null
  const given = options as Record<string, unknown>
  const { encoding, signal, flush } = given
  if (given.buffer !== undefined) return null
  if (flush !== undefined && flush !== null && typeof flush !== 'boolean') return null
  if (encoding) {
    if (typeof encoding !== 'string' || !Buffer.isEncoding(encoding)) return null
    plain.encoding = encoding
  } else if (encoding !== undefined && encoding !== null) return null
  const bits = given.flag ? plainFlags(given.flag) : flag
  const mode = plainMode(given.mode, 0o666)
  if (bits === null || mode === null) return null
  // Node only asks a signal whether it has aborted. What is none of its own may refuse more than that.
  if (signal !== undefined && (!(signal instanceof AbortSignal) || types.isProxy(signal))) return null
  plain.flag = bits
  plain.mode = mode
  plain.signal = signal
  plain.flush = flush === true
  return plain
}
