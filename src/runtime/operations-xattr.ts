// Extended attributes of files, as promises.
// Flow: Uring → this → op/prep-path.ts, engine.ts. man xattr(7)

import { prepFgetxattr, prepFsetxattr, prepGetxattr, prepSetxattr } from '../op/prep-path.ts'
import {
  IORING_OP_FGETXATTR,
  IORING_OP_FSETXATTR,
  IORING_OP_GETXATTR,
  IORING_OP_SETXATTR,
} from '../sys/abi.ts'
import { rangeError } from '../sys/error.ts'
import { checkString } from '../sys/validate.ts'
import {
  checkPath,
  checkTarget,
  checkView,
  type FileTarget,
  optionalWord,
  type PathLike,
} from './operations.ts'
import { LinkOperations } from './operations-link.ts'
import { HALF, pathText } from './operations-path.ts'
import type { OperationOptions } from './options.ts'
import type { Slot } from './slots.ts'

export interface SetxattrOptions extends OperationOptions {
  /** XATTR_CREATE (EEXIST if it is there) or XATTR_REPLACE (ENODATA if it is not). */
  flags?: number | undefined
}

/** The kernel takes no longer value, so a read with this much room never comes up short. */
const XATTR_SIZE_MAX = 65536
/** Room of the first try: most attributes are short. */
const FIRST_TRY = 256

/** Checks an attribute's name. */
function checkName(name: unknown): asserts name is string {
  checkString('name', name)
  checkPath(name, 'name')
}

/** A copy of the value, so that the caller's buffer is free at once. */
function copyOf(value: unknown): Uint8Array {
  if (typeof value === 'string') return new Uint8Array(Buffer.from(value))
  checkView(value, 'value')
  if (value.byteLength > XATTR_SIZE_MAX)
    throw rangeError('value.byteLength', `<= ${XATTR_SIZE_MAX}`, value.byteLength)
  return Uint8Array.from(new Uint8Array(value.buffer, value.byteOffset, value.byteLength))
}

export class XattrOperations extends LinkOperations {
  /**
   * Reads an extended attribute of the file at a path; symbolic links are followed.
   * @param name with its namespace: 'user.mime_type'
   * @throws ENODATA (no such attribute) · ENOENT · ENOTSUP (the file system has none)
   * @kernel 5.19 · IORING_OP_GETXATTR
   * @man io_uring_prep_getxattr(3), getxattr(2)
   */
  async getxattr(path: PathLike, name: string, options?: OperationOptions): Promise<Buffer> {
    checkPath(path)
    checkName(name)
    return this.#grow((value) => this.#getAt(path, name, value, options))
  }

  /**
   * Reads an extended attribute of an open file.
   * @param name with its namespace: 'user.mime_type'
   * @throws ENODATA (no such attribute) · EBADF · ENOTSUP (the file system has none)
   * @kernel 5.19 · IORING_OP_FGETXATTR
   * @man io_uring_prep_fgetxattr(3), fgetxattr(2)
   */
  async fgetxattr(file: FileTarget, name: string, options?: OperationOptions): Promise<Buffer> {
    checkTarget(file, 'fgetxattr')
    checkName(name)
    return this.#grow((value) => this.#getOf(file, name, value, options))
  }

  /** Reads with little room, and again with all that can be needed. */
  async #grow(read: (value: Uint8Array) => Promise<number>): Promise<Buffer> {
    for (const room of [FIRST_TRY, XATTR_SIZE_MAX]) {
      const value = Buffer.alloc(room)
      try {
        return value.subarray(0, await read(value))
      } catch (error) {
        if (room === XATTR_SIZE_MAX || (error as NodeJS.ErrnoException).code !== 'ERANGE') throw error
      }
    }
    throw rangeError('value', `<= ${XATTR_SIZE_MAX} bytes`, undefined)
  }

  #getAt(path: PathLike, name: string, value: Uint8Array, options?: OperationOptions): Promise<number> {
    const file = checkPath(path)
    const slot = this.engine.begin(IORING_OP_GETXATTR, options)
    if (slot === null) return this.engine.later(() => this.#getAt(path, name, value, options), options)
    slot.details = { path: pathText(file) }
    const nameAddress = this.path(slot, name, 0, HALF)
    const pathAddress = this.path(slot, file, HALF, HALF)
    prepGetxattr(slot.sqe, nameAddress, this.#keep(slot, value), pathAddress, value.length)
    return this.engine.promise(slot)
  }

  #getOf(file: FileTarget, name: string, value: Uint8Array, options?: OperationOptions): Promise<number> {
    const slot = this.engine.begin(IORING_OP_FGETXATTR, options)
    if (slot === null) return this.engine.later(() => this.#getOf(file, name, value, options), options)
    const nameAddress = this.path(slot, name, 0, HALF)
    prepFgetxattr(slot.sqe, -1, nameAddress, this.#keep(slot, value), value.length)
    this.aim(slot, file)
    return this.engine.promise(slot)
  }

  /** Holds a value until the final CQE and returns its address; an empty one has none. */
  #keep(slot: Slot, value: Uint8Array): number {
    if (value.length === 0) return 0
    slot.held = [slot.held, value]
    return this.engine.ring.driver.addressOf(value)
  }

  /**
   * Sets an extended attribute of the file at a path; symbolic links are followed.
   * @param value bytes or text; copied at once
   * @throws EEXIST, ENODATA (as `flags` asks) · ENOSPC · ENOTSUP (the file system has none)
   * @kernel 5.19 · IORING_OP_SETXATTR
   * @man io_uring_prep_setxattr(3), setxattr(2)
   */
  async setxattr(
    path: PathLike,
    name: string,
    value: string | ArrayBufferView,
    options?: SetxattrOptions,
  ): Promise<void> {
    const file = checkPath(path)
    checkName(name)
    const flags = optionalWord('options.flags', options?.flags)
    const bytes = copyOf(value)
    const slot = this.engine.begin(IORING_OP_SETXATTR, options)
    if (slot === null) return this.engine.later(() => this.setxattr(path, name, bytes, options), options)
    slot.details = { path: pathText(file) }
    const nameAddress = this.path(slot, name, 0, HALF)
    const pathAddress = this.path(slot, file, HALF, HALF)
    prepSetxattr(slot.sqe, nameAddress, this.#keep(slot, bytes), pathAddress, flags, bytes.length)
    await this.engine.promise(slot)
  }

  /**
   * Sets an extended attribute of an open file.
   * @param value bytes or text; copied at once
   * @throws EEXIST, ENODATA (as `flags` asks) · ENOSPC · EBADF · ENOTSUP (the file system has none)
   * @kernel 5.19 · IORING_OP_FSETXATTR
   * @man io_uring_prep_fsetxattr(3), fsetxattr(2)
   */
  async fsetxattr(
    file: FileTarget,
    name: string,
    value: string | ArrayBufferView,
    options?: SetxattrOptions,
  ): Promise<void> {
    checkTarget(file, 'fsetxattr')
    checkName(name)
    const flags = optionalWord('options.flags', options?.flags)
    const bytes = copyOf(value)
    const slot = this.engine.begin(IORING_OP_FSETXATTR, options)
    if (slot === null) return this.engine.later(() => this.fsetxattr(file, name, bytes, options), options)
    const nameAddress = this.path(slot, name, 0, HALF)
    prepFsetxattr(slot.sqe, -1, nameAddress, this.#keep(slot, bytes), flags, bytes.length)
    this.aim(slot, file)
    await this.engine.promise(slot)
  }
}
