// Opening, closing and naming files, as promises.
// Flow: Uring → this → op/prep-path.ts, engine.ts.

import { constants } from 'node:fs'
import {
  prepClose,
  prepCloseDirect,
  prepMkdirat,
  prepOpenat,
  prepOpenat2,
  prepOpenat2Direct,
  prepOpenatDirect,
  prepRenameat,
  prepStatx,
  prepUnlinkat,
} from '../op/prep-path.ts'
import {
  IORING_OP_CLOSE,
  IORING_OP_MKDIRAT,
  IORING_OP_OPENAT,
  IORING_OP_OPENAT2,
  IORING_OP_RENAMEAT,
  IORING_OP_STATX,
  IORING_OP_UNLINKAT,
} from '../sys/abi.ts'
import { AT_EMPTY_PATH, AT_FDCWD, O_CLOEXEC, STATX_BASIC_STATS, STATX_BTIME } from '../sys/constants.ts'
import { abortError, argumentValueError } from '../sys/error.ts'
import { decodeStatx, type Statx } from '../sys/statx.ts'
import { Scratch } from './memory-pool.ts'
import {
  checkDirfd,
  checkFixedFile,
  checkPath,
  checkSlot,
  checkTarget,
  checkWord,
  type FileTarget,
  optionalWord,
  type PathLike,
  wordOr,
} from './operations.ts'
import { FileOperations } from './operations-file.ts'
import { hasAborted, type OperationOptions } from './options.ts'
import { FixedFile, type Resource } from './resource.ts'
import type { Slot } from './slots.ts'

/** Operations on paths: where a relative one starts. */
export interface AtOptions extends OperationOptions {
  /** fd of the directory that relative paths start from; default: the working directory. */
  dirfd?: number | undefined
}

export interface OpenOptions extends AtOptions {
  /** Permissions of a new file, less the umask; default 0o666. */
  mode?: number | undefined
  /** A direct descriptor to open into, instead of an fd. */
  slot?: FixedFile | undefined
}

/** What openat2 knows besides: RESOLVE_* flags. */
export interface Openat2Options extends OpenOptions {
  resolve?: number | undefined
}

const { O_APPEND, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_SYNC, O_TRUNC, O_WRONLY } = constants

/** Node's flag strings. */
const FLAGS: Record<string, number> = {
  r: O_RDONLY,
  rs: O_RDONLY | O_SYNC,
  sr: O_RDONLY | O_SYNC,
  'r+': O_RDWR,
  'rs+': O_RDWR | O_SYNC,
  'sr+': O_RDWR | O_SYNC,
  w: O_TRUNC | O_CREAT | O_WRONLY,
  wx: O_TRUNC | O_CREAT | O_WRONLY | O_EXCL,
  xw: O_TRUNC | O_CREAT | O_WRONLY | O_EXCL,
  'w+': O_TRUNC | O_CREAT | O_RDWR,
  'wx+': O_TRUNC | O_CREAT | O_RDWR | O_EXCL,
  'xw+': O_TRUNC | O_CREAT | O_RDWR | O_EXCL,
  a: O_APPEND | O_CREAT | O_WRONLY,
  ax: O_APPEND | O_CREAT | O_WRONLY | O_EXCL,
  xa: O_APPEND | O_CREAT | O_WRONLY | O_EXCL,
  as: O_APPEND | O_CREAT | O_WRONLY | O_SYNC,
  sa: O_APPEND | O_CREAT | O_WRONLY | O_SYNC,
  'a+': O_APPEND | O_CREAT | O_RDWR,
  'ax+': O_APPEND | O_CREAT | O_RDWR | O_EXCL,
  'xa+': O_APPEND | O_CREAT | O_RDWR | O_EXCL,
  'as+': O_APPEND | O_CREAT | O_RDWR | O_SYNC,
  'sa+': O_APPEND | O_CREAT | O_RDWR | O_SYNC,
}

/** Turns Node's flag strings ('r', 'wx+') and O_* numbers into O_* flags. */
export function openFlags(flags: string | number): number {
  if (typeof flags === 'number') {
    checkWord('flags', flags)
    return flags
  }
  const value = Object.hasOwn(FLAGS, flags) ? FLAGS[flags] : undefined
  if (value === undefined) throw argumentValueError('flags', flags)
  return value
}

export const pathText = (path: string | Uint8Array): string =>
  typeof path === 'string' ? path : Buffer.from(path).toString()
/** Half of a slot's scratch block, for operations with two paths. */
export const HALF = (Scratch.BYTES - 16) / 2

export class PathOperations extends FileOperations {
  /**
   * Opens a file; the fd is the caller's to close.
   *
   * An abort that comes too late closes the file that was opened meanwhile, and still rejects.
   *
   * @param flags as Node's: 'r', 'w', 'ax+', or O_* flags; O_CLOEXEC is added
   * @returns the fd; with `slot`, 0: the file is in the ring's table then
   * @throws ENOENT · EACCES · EMFILE · ERR_INVALID_ARG_VALUE (nothing was queued)
   * @kernel 5.6 · IORING_OP_OPENAT
   * @man io_uring_prep_openat(3), open(2)
   */
  openat(path: PathLike, flags: string | number = 'r', options?: OpenOptions): Promise<number> {
    try {
      const name = checkPath(path)
      const bits = openFlags(flags)
      const mode = wordOr('options.mode', options?.mode, 0o666)
      checkDirfd(options?.dirfd)
      checkSlot(options?.slot)
      const slot = this.engine.begin(IORING_OP_OPENAT, options)
      if (slot === null) return this.engine.later(() => this.openat(path, flags, options), options)
      slot.details = { path: pathText(name) }
      const address = this.path(slot, name)
      const dirfd = options?.dirfd ?? AT_FDCWD
      if (options?.slot !== undefined)
        prepOpenatDirect(slot.sqe, dirfd, address, bits, mode, options.slot.index)
      else prepOpenat(slot.sqe, dirfd, address, bits | O_CLOEXEC, mode)
      return this.descriptor(slot, options?.slot)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /**
   * Opens a file with rules for how its path is resolved.
   * @param options.resolve RESOLVE_* flags, such as RESOLVE_BENEATH
   * @throws EXDEV, ELOOP (the rules forbid the path) · as openat
   * @kernel 5.6 · IORING_OP_OPENAT2
   * @man io_uring_prep_openat2(3), openat2(2)
   */
  async openat2(path: PathLike, flags: string | number, options?: Openat2Options): Promise<number> {
    const name = checkPath(path)
    const bits = openFlags(flags)
    const mode = wordOr('options.mode', options?.mode, (bits & O_CREAT) !== 0 ? 0o666 : 0)
    checkDirfd(options?.dirfd)
    checkSlot(options?.slot)
    const resolve = optionalWord('options.resolve', options?.resolve)
    const slot = this.engine.begin(IORING_OP_OPENAT2, options)
    if (slot === null) return this.engine.later(() => this.openat2(path, flags, options), options)
    slot.details = { path: pathText(name) }
    const direct = options?.slot
    // struct open_how: flags, mode, resolve; the path follows it in the scratch block.
    this.pokeU64(slot, 0, direct === undefined ? bits | O_CLOEXEC : bits)
    this.pokeU64(slot, 8, mode)
    this.pokeU64(slot, 16, resolve)
    const how = this.engine.scratch.address(slot.index)
    const address = this.path(slot, name, 24, Scratch.BYTES - 40)
    const dirfd = options?.dirfd ?? AT_FDCWD
    if (direct !== undefined) prepOpenat2Direct(slot.sqe, dirfd, address, how, direct.index)
    else prepOpenat2(slot.sqe, dirfd, address, how)
    return this.descriptor(slot, direct)
  }

  /** The promise of an operation whose result is a descriptor: a late one is closed, not lost. */
  protected descriptor(slot: Slot, direct?: FixedFile): Promise<number> {
    const { signal } = slot
    if (signal !== null) {
      slot.finish = (res) => {
        if (!hasAborted(signal)) return res
        if (direct === undefined) this.engine.closeLate(res)
        else this.closeFixed(direct).catch(() => {})
        throw abortError(signal)
      }
    }
    return this.engine.promise(slot)
  }

  /**
   * Closes a file.
   *
   * For an owned fd (`Resource`) the close cancels what is in flight and waits until no operation uses it. A plain number has
   * no such protection: entries go down in order, but one that the kernel puts off (IOSQE_ASYNC, a link, a drain) looks its
   * file up later, when the number may be another file's.
   *
   * @throws EBADF
   * @kernel 5.6 · IORING_OP_CLOSE
   * @man io_uring_prep_close(3), close(2)
   */
  async closeFile(file: FileTarget, options?: OperationOptions): Promise<void> {
    checkTarget(file)
    if (file instanceof FixedFile) return this.closeFixed(file, options)
    if (typeof file !== 'number') return this.#closeOwned(file)
    const slot = this.engine.begin(IORING_OP_CLOSE, options)
    if (slot === null) return this.engine.later(() => this.closeFile(file, options), options)
    prepClose(slot.sqe, file)
    await this.engine.promise(slot)
  }

  /**
   * Closes a direct descriptor; its place stays taken until `freeFixedFile`.
   * @kernel 5.15 · IORING_OP_CLOSE with a file_index
   * @man io_uring_prep_close_direct(3)
   */
  async closeFixed(file: FixedFile, options?: OperationOptions): Promise<void> {
    checkFixedFile(file)
    const slot = this.engine.begin(IORING_OP_CLOSE, options)
    if (slot === null) return this.engine.later(() => this.closeFixed(file, options), options)
    prepCloseDirect(slot.sqe, file.index)
    await this.engine.promise(slot)
  }

  /** close = no new users → cancel what is in flight → wait until the kernel has let go → CLOSE. */
  async #closeOwned(file: Resource): Promise<void> {
    const fd = file.surrender()
    if (fd < 0) return
    if (file.users > 0) {
      this.engine.cancels.fd(fd, () => file.users)
      await file.unused()
    }
    await closeSurely(this, fd)
  }

  /**
   * Asks for a file's metadata.
   * @param path '' with `dirfd` asks for that file itself
   * @param options.mask STATX_* of what is wanted; default: what stat(2) gives, and the birth time
   * @kernel 5.6 · IORING_OP_STATX
   * @man io_uring_prep_statx(3), statx(2)
   */
  async statx(path: PathLike, options?: AtOptions & { flags?: number; mask?: number }): Promise<Statx> {
    const name = checkPath(path)
    const mask = wordOr('options.mask', options?.mask, STATX_BASIC_STATS | STATX_BTIME)
    let flags = optionalWord('options.flags', options?.flags)
    if (name.length === 0) flags |= AT_EMPTY_PATH
    checkDirfd(options?.dirfd)
    const slot = this.engine.begin(IORING_OP_STATX, options)
    if (slot === null) return this.engine.later(() => this.statx(path, options), options)
    slot.details = { path: pathText(name) }
    // The 256 bytes of the answer outlive the call as the caller's result, so they are not the slot's scratch block.
    const out = new Uint8Array(256)
    const address = this.engine.ring.driver.addressOf(out)
    const nameAddress = this.path(slot, name)
    slot.held = [slot.held, out]
    slot.finish = () => decodeStatx(out)
    prepStatx(slot.sqe, options?.dirfd ?? AT_FDCWD, nameAddress, flags, mask, address)
    return this.engine.promise(slot)
  }

  /**
   * Removes a name.
   * @param options.flags AT_REMOVEDIR for directories
   * @kernel 5.11 · IORING_OP_UNLINKAT
   * @man io_uring_prep_unlinkat(3), unlink(2)
   */
  async unlinkat(path: PathLike, options?: AtOptions & { flags?: number }): Promise<void> {
    const name = checkPath(path)
    const flags = optionalWord('options.flags', options?.flags)
    checkDirfd(options?.dirfd)
    const slot = this.engine.begin(IORING_OP_UNLINKAT, options)
    if (slot === null) return this.engine.later(() => this.unlinkat(path, options), options)
    slot.details = { path: pathText(name) }
    prepUnlinkat(slot.sqe, options?.dirfd ?? AT_FDCWD, this.path(slot, name), flags)
    await this.engine.promise(slot)
  }

  /**
   * Renames; an existing `to` is replaced in one step.
   * @param options.flags RENAME_NOREPLACE, RENAME_EXCHANGE
   * @kernel 5.11 · IORING_OP_RENAMEAT
   * @man io_uring_prep_renameat(3), rename(2)
   */
  async renameat(
    from: PathLike,
    to: PathLike,
    options?: AtOptions & { toDirfd?: number; flags?: number },
  ): Promise<void> {
    const old = checkPath(from, 'from')
    const next = checkPath(to, 'to')
    const flags = optionalWord('options.flags', options?.flags)
    checkDirfd(options?.dirfd)
    checkDirfd(options?.toDirfd, 'options.toDirfd')
    const slot = this.engine.begin(IORING_OP_RENAMEAT, options)
    if (slot === null) return this.engine.later(() => this.renameat(from, to, options), options)
    slot.details = { path: pathText(old), dest: pathText(next) }
    const oldAddress = this.path(slot, old, 0, HALF)
    const nextAddress = this.path(slot, next, HALF, HALF)
    const dirfd = options?.dirfd ?? AT_FDCWD
    prepRenameat(slot.sqe, dirfd, oldAddress, options?.toDirfd ?? dirfd, nextAddress, flags)
    await this.engine.promise(slot)
  }

  /**
   * Makes a directory.
   * @param options.mode its permissions, less the umask; default 0o777
   * @throws EEXIST · ENOENT (the parent is missing)
   * @kernel 5.15 · IORING_OP_MKDIRAT
   * @man io_uring_prep_mkdirat(3), mkdir(2)
   */
  async mkdirat(path: PathLike, options?: AtOptions & { mode?: number }): Promise<void> {
    const name = checkPath(path)
    const mode = wordOr('options.mode', options?.mode, 0o777)
    checkDirfd(options?.dirfd)
    const slot = this.engine.begin(IORING_OP_MKDIRAT, options)
    if (slot === null) return this.engine.later(() => this.mkdirat(path, options), options)
    slot.details = { path: pathText(name) }
    prepMkdirat(slot.sqe, options?.dirfd ?? AT_FDCWD, this.path(slot, name), mode)
    await this.engine.promise(slot)
  }
}

/** Closes an fd through the ring. A closed ring takes no requests, nor one whose turn had not come; the file is still ours to close. */
export async function closeSurely(ring: PathOperations, fd: number): Promise<void> {
  try {
    await ring.closeFile(fd)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_RING_CLOSED') throw error
    ring.engine.closeLate(fd)
  }
}
