// Further names for files: symbolic and hard links, as promises.
// Flow: Uring → this → op/prep-path.ts, engine.ts.

import { prepLinkat, prepSymlinkat } from '../op/prep-path.ts'
import { IORING_OP_LINKAT, IORING_OP_SYMLINKAT } from '../sys/abi.ts'
import { AT_FDCWD } from '../sys/constants.ts'
import { checkDirfd, checkPath, optionalWord, type PathLike } from './operations.ts'
import { ControlOperations } from './operations-control.ts'
import { type AtOptions, HALF, pathText } from './operations-path.ts'

export class LinkOperations extends ControlOperations {
  /**
   * Makes a symbolic link at `path` that says `target`.
   * @param target what the link says, as it is: relative to the link's directory, and it need not exist
   * @param options.dirfd where a relative `path` starts
   * @throws EEXIST · ENOENT (no such directory) · ERR_INVALID_ARG_VALUE (nothing was queued)
   * @kernel 5.15 · IORING_OP_SYMLINKAT
   * @man io_uring_prep_symlinkat(3), symlink(2)
   */
  async symlinkat(target: PathLike, path: PathLike, options?: AtOptions): Promise<void> {
    const says = checkPath(target, 'target')
    const name = checkPath(path)
    checkDirfd(options?.dirfd)
    const slot = this.engine.begin(IORING_OP_SYMLINKAT, options)
    if (slot === null) return this.engine.later(() => this.symlinkat(target, path, options), options)
    slot.details = { path: pathText(says), dest: pathText(name) }
    const targetAddress = this.path(slot, says, 0, HALF)
    const nameAddress = this.path(slot, name, HALF, HALF)
    prepSymlinkat(slot.sqe, targetAddress, options?.dirfd ?? AT_FDCWD, nameAddress)
    await this.engine.promise(slot)
  }

  /**
   * Gives a file a second name in the same file system.
   * @param options.dirfd where a relative `from` starts, and `to` unless `toDirfd` says otherwise
   * @param options.flags AT_SYMLINK_FOLLOW links what a symbolic link points to; AT_EMPTY_PATH links `dirfd` itself
   * @throws EEXIST · EXDEV (another file system) · EPERM (a directory) · ERR_INVALID_ARG_VALUE (nothing was queued)
   * @kernel 5.15 · IORING_OP_LINKAT
   * @man io_uring_prep_linkat(3), link(2)
   */
  async linkat(
    from: PathLike,
    to: PathLike,
    options?: AtOptions & { toDirfd?: number; flags?: number },
  ): Promise<void> {
    const old = checkPath(from, 'from')
    const next = checkPath(to, 'to')
    const flags = optionalWord('options.flags', options?.flags)
    checkDirfd(options?.dirfd)
    checkDirfd(options?.toDirfd, 'options.toDirfd')
    const slot = this.engine.begin(IORING_OP_LINKAT, options)
    if (slot === null) return this.engine.later(() => this.linkat(from, to, options), options)
    slot.details = { path: pathText(old), dest: pathText(next) }
    const oldAddress = this.path(slot, old, 0, HALF)
    const nextAddress = this.path(slot, next, HALF, HALF)
    const dirfd = options?.dirfd ?? AT_FDCWD
    prepLinkat(slot.sqe, dirfd, oldAddress, options?.toDirfd ?? dirfd, nextAddress, flags)
    await this.engine.promise(slot)
  }
}
