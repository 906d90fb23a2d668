// What all operations share: checking arguments, finding memory, naming the file. No opcode is known here.
// Flow: operations-* extend this → engine.ts, memory-pool.ts, buffers.ts.

import { fileURLToPath } from 'node:url'
import { SQE } from '../ring/sqe.ts'
import { IOSQE_FIXED_FILE } from '../sys/abi.ts'
import { AT_FDCWD } from '../sys/constants.ts'
import { EBADF } from '../sys/errno.ts'
import {
  argumentTypeError,
  argumentValueError,
  bufferDetachedError,
  errnoError,
  rangeError,
} from '../sys/error.ts'
import { writeU64 } from '../sys/memory.ts'
import { writeTimespecMs } from '../sys/timespec.ts'
import { checkBoolean, checkInteger } from '../sys/validate.ts'
import type { Engine } from './engine.ts'
import { CopyPool, Scratch } from './memory-pool.ts'
import { FixedFile, Resource } from './resource.ts'
import type { Slot } from './slots.ts'

/** A file as operations take it: an fd, an owned fd, or a direct descriptor of the ring. */
export type FileTarget = number | Resource | FixedFile
export type PathLike = string | Uint8Array | URL

const INT32_MAX = 0x7fffffff
const MAX_RW_COUNT = 0x7ffff000

/** Checks a file before anything is claimed. */
export function checkTarget(file: unknown, syscall?: string, name = 'fd'): asserts file is FileTarget {
  if (typeof file === 'number') {
    if (!(Number.isInteger(file) && file >= 0 && file <= INT32_MAX)) {
      throw Number.isInteger(file)
        ? rangeError(name, `>= 0 && <= ${INT32_MAX}`, file)
        : rangeError(name, 'an integer', file)
    }
    return
  }
  if (file instanceof Resource && file.fd < 0 && syscall !== undefined) throw errnoError(-EBADF, syscall)
  if (!(file instanceof Resource) && !(file instanceof FixedFile)) {
    throw argumentTypeError(name, 'of type number or an instance of Resource or FixedFile', file)
  }
}

/** Checks a file offset: -1 stands for the file's own position. */
export function checkPosition(position: unknown, name = 'position'): asserts position is number | bigint {
  if (typeof position === 'number') {
    if (position >= -1 && position <= Number.MAX_SAFE_INTEGER && Number.isInteger(position)) return
    throw rangeError(name, `an integer >= -1 && <= ${Number.MAX_SAFE_INTEGER}`, position)
  }
  if (typeof position !== 'bigint') throw argumentTypeError(name, 'of type number or bigint', position)
  if (position < -1n || position >= 2n ** 63n)
    throw rangeError(name, `>= -1n && <= ${2n ** 63n - 1n}n`, position)
}

/** Checks an offset or a length in a file that stands for itself. */
export function checkExtent(name: string, value: unknown, min = 0): asserts value is number | bigint {
  checkPosition(value, name)
  if (value < min) throw rangeError(name, `>= ${min}`, value)
}

/** Checks memory to lend: any view; what its ArrayBuffer allows is checked when its address is asked for. */
export function checkView(view: unknown, name = 'buffer'): asserts view is ArrayBufferView {
  if (!ArrayBuffer.isView(view))
    throw argumentTypeError(name, 'an instance of Buffer, TypedArray or DataView', view)
}

/** Node 20 has no `detached` property; making a view of a detached buffer throws everywhere. */
export function isDetached(view: ArrayBufferView): boolean {
  try {
    new Uint8Array(view.buffer)
    return false
  } catch {
    return true
  }
}

/** Checks an offset and a length within a view, and returns the length; undefined means up to the end. */
export function checkRange(view: ArrayBufferView, offset: unknown, length: unknown, name?: string): number {
  const available = view.byteLength
  if (available === 0 && isDetached(view)) throw bufferDetachedError(name)
  if (typeof offset !== 'number') throw argumentTypeError('offset', 'of type number', offset)
  if (!(Number.isInteger(offset) && offset >= 0 && offset <= available)) {
    throw rangeError('offset', `>= 0 && <= ${available}`, offset)
  }
  const most = available - offset
  const bytes = length === undefined ? Math.min(most, MAX_RW_COUNT) : length
  if (typeof bytes !== 'number') throw argumentTypeError('length', 'of type number', length)
  if (!(Number.isInteger(bytes) && bytes >= 0 && bytes <= most))
    throw rangeError('length', `>= 0 && <= ${most}`, bytes)
  return Math.min(bytes, MAX_RW_COUNT)
}

/** A path as bytes for the kernel, without the closing NUL. */
export function checkPath(path: unknown, name = 'path'): string | Uint8Array {
  const value = path instanceof URL ? fileURLToPath(path) : path
  if (typeof value === 'string') {
    if (value.includes('\0'))
      throw argumentValueError(name, value, 'must be a string, Uint8Array, or URL without null bytes')
    return value
  }
  if (!(value instanceof Uint8Array))
    throw argumentTypeError(name, 'of type string or an instance of Buffer or URL', path)
  if (value.includes(0))
    throw argumentValueError(name, value, 'must be a string, Uint8Array, or URL without null bytes')
  return value
}

/** The words `uint32` flags and modes go through: a clear error instead of a silent wrap. */
export function checkWord(name: string, value: unknown): asserts value is number {
  if (typeof value !== 'number') throw argumentTypeError(name, 'of type number', value)
  if (!(Number.isInteger(value) && value >= 0 && value <= 0xffffffff))
    throw rangeError(name, '>= 0 && <= 4294967295', value)
}

/** Checks the directory that a relative path starts from. */
export function checkDirfd(dirfd: unknown, name = 'options.dirfd'): void {
  if (dirfd !== undefined && dirfd !== AT_FDCWD) checkInteger(name, dirfd, 0, INT32_MAX)
}

/** Checks an optional switch; undefined is off. */
export function optionalBoolean(name: string, value: unknown): boolean {
  if (value === undefined) return false
  checkBoolean(name, value)
  return value
}

/** Checks an optional word of flags; undefined is 0. */
export function optionalWord(name: string, value: unknown, max = 0xffffffff): number {
  if (value === undefined) return 0
  checkInteger(name, value, 0, max)
  return value
}

/** Checks a word that has a default. */
export function wordOr(name: string, value: unknown, fallback: number): number {
  if (value === undefined) return fallback
  checkWord(name, value)
  return value
}

/** Checks the direct descriptor to open, accept or make a socket into. */
export function checkSlot(slot: unknown): asserts slot is FixedFile | undefined {
  if (slot !== undefined && !(slot instanceof FixedFile))
    throw argumentTypeError('options.slot', 'an instance of FixedFile', slot)
}

/** Checks a direct descriptor. */
export function checkFixedFile(file: unknown, name = 'file'): asserts file is FixedFile {
  if (!(file instanceof FixedFile)) throw argumentTypeError(name, 'an instance of FixedFile', file)
}

/**
 * Puts a path where the kernel finds it until the final CQE.
 * @param at byte offset in the slot's scratch block, and the room there
 */
export function putPath(
  engine: Engine,
  slot: Slot,
  path: string | Uint8Array,
  at = 0,
  room = Scratch.BYTES - 16,
): number {
  const { scratch } = engine
  if (typeof path === 'string' ? path.length * 3 < room : path.length < room) {
    const offset = scratch.offset(slot.index) + at
    let bytes: number
    if (typeof path === 'string') bytes = scratch.bytes.write(path, offset, room - 1, 'utf8')
    else {
      scratch.bytes.set(path, offset)
      bytes = path.length
    }
    scratch.bytes[offset + bytes] = 0
    return scratch.address(slot.index) + at
  }
  const long = Buffer.concat([typeof path === 'string' ? Buffer.from(path) : path, Buffer.of(0)])
  slot.held = slot.held === null ? long : [slot.held, long]
  return engine.ring.driver.addressOf(long)
}

export class Operations {
  /** The machinery below; for tests, tools and the curious. */
  readonly engine: Engine

  constructor(engine: Engine) {
    this.engine = engine
  }

  /** Writes the file into the entry, after its prep function, and holds an owned fd until the final CQE. */
  protected aim(slot: Slot, file: FileTarget): void {
    const { words } = slot.sqe
    if (typeof file === 'number') {
      words[SQE.FD] = file
    } else if (file instanceof FixedFile) {
      words[SQE.FD] = file.index
      slot.sqeFlags |= IOSQE_FIXED_FILE
    } else {
      words[SQE.FD] = file.hold()
      slot.resource = file
    }
  }

  /** Lends a view to the kernel until the final CQE; returns the address of its byte `offset`. */
  protected lend(slot: Slot, view: ArrayBufferView, address: number, length: number, offset: number): number {
    slot.view = view
    slot.length = length
    return address + offset
  }

  /** Copies a small write out of the caller's hands, or lends its memory. */
  protected source(
    slot: Slot,
    view: ArrayBufferView,
    address: number,
    length: number,
    offset: number,
  ): number {
    // In a chain an earlier step may be what fills the buffer: its bytes count when the step runs, not now.
    if (length <= CopyPool.BYTES && this.engine.linking === 0) {
      const chunk = this.engine.copies.take()
      if (chunk >= 0) {
        slot.chunk = chunk
        const whole = offset === 0 && length === view.byteLength && view instanceof Uint8Array
        const bytes = whole ? view : new Uint8Array(view.buffer, view.byteOffset + offset, length)
        return this.engine.copies.fill(chunk, bytes)
      }
    }
    return this.lend(slot, view, address, length, offset)
  }

  /** See `putPath`. */
  protected path(slot: Slot, path: string | Uint8Array, at?: number, room?: number): number {
    return putPath(this.engine, slot, path, at, room)
  }

  /** Writes a timespec of `ms` milliseconds into the slot's scratch block and returns its address. */
  protected timespec(slot: Slot, ms: number, at = 0): number {
    const { scratch } = this.engine
    writeTimespecMs(scratch.words, (scratch.offset(slot.index) + at) / 4, ms)
    return scratch.address(slot.index) + at
  }

  /** A 64-bit address in the slot's scratch block, for structs that point elsewhere. */
  protected pokeU64(slot: Slot, at: number, value: number): void {
    writeU64(this.engine.scratch.words, (this.engine.scratch.offset(slot.index) + at) / 4, value)
  }
}
