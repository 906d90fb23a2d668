// Opening and closing files, names in directories, metadata: arguments → 64 bytes.
// Flow: runtime, fs, users of the ring → this → Sqe.words.
// man io_uring_prep_openat(3), io_uring_prep_statx(3), io_uring_prep_renameat(3) and their neighbours
//
// Paths are addresses of NUL-terminated bytes. A relative path starts at the directory fd; AT_FDCWD is the working
// directory. IOSQE_FIXED_FILE on these is EBADF: a direct descriptor can't be the directory.

import { SQE, type Sqe } from '../ring/sqe.ts'
import {
  IORING_OP_CLOSE,
  IORING_OP_FGETXATTR,
  IORING_OP_FSETXATTR,
  IORING_OP_GETXATTR,
  IORING_OP_LINKAT,
  IORING_OP_MKDIRAT,
  IORING_OP_OPENAT,
  IORING_OP_OPENAT2,
  IORING_OP_RENAMEAT,
  IORING_OP_SETXATTR,
  IORING_OP_STATX,
  IORING_OP_SYMLINKAT,
  IORING_OP_UNLINKAT,
} from '../sys/abi.ts'
import { AT_FDCWD } from '../sys/constants.ts'
import { writeAddress, writeTarget } from './prep.ts'

/** Bytes of struct open_how. */
const OPEN_HOW_BYTES = 24

/**
 * Opens a file relative to a directory.
 *
 * A FIFO is opened as with O_NONBLOCK: for reading at once, for writing without a reader it is ENXIO. With IOSQE_ASYNC it
 * waits for the other end, as open(2) does.
 *
 * @param dfd Directory fd, or AT_FDCWD
 * @param flags O_*; O_CLOEXEC is not implied
 * @param mode Permission bits for a file that is created
 * @kernel 5.6 · IORING_OP_OPENAT
 * @man io_uring_prep_openat(3), openat(2)
 */
export function prepOpenat(sqe: Sqe, dfd: number, pathAddress: number, flags: number, mode: number): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_OPENAT
  words[SQE.FD] = dfd
  writeAddress(words, SQE.ADDR, pathAddress)
  words[SQE.LEN] = mode
  words[SQE.OP_FLAGS] = flags
}

/**
 * Opens a file into a slot of the registered files.
 *
 * @param dfd Directory fd, or AT_FDCWD
 * @param flags O_*; O_CLOEXEC is EINVAL, as a slot never passes to another program
 * @param mode Permission bits for a file that is created
 * @param fileIndex Slot, whose old file is closed, or IORING_FILE_INDEX_ALLOC (the CQE's res then names the slot)
 * @kernel 5.15 · IORING_OP_OPENAT
 * @man io_uring_prep_openat_direct(3), openat(2)
 */
export function prepOpenatDirect(
  sqe: Sqe,
  dfd: number,
  pathAddress: number,
  flags: number,
  mode: number,
  fileIndex: number,
): void {
  prepOpenat(sqe, dfd, pathAddress, flags, mode)
  writeTarget(sqe.words, fileIndex)
}

/**
 * Opens a file relative to the working directory.
 *
 * @param flags O_*
 * @param mode Permission bits for a file that is created
 * @kernel 5.6 · IORING_OP_OPENAT
 * @man io_uring_prep_open(3), open(2)
 */
export function prepOpen(sqe: Sqe, pathAddress: number, flags: number, mode: number): void {
  prepOpenat(sqe, AT_FDCWD, pathAddress, flags, mode)
}

/**
 * Opens a file, relative to the working directory, into a slot of the registered files.
 *
 * @param flags O_*; O_CLOEXEC is EINVAL
 * @param mode Permission bits for a file that is created
 * @param fileIndex Slot, or IORING_FILE_INDEX_ALLOC
 * @kernel 5.15 · IORING_OP_OPENAT
 * @man io_uring_prep_open_direct(3), open(2)
 */
export function prepOpenDirect(
  sqe: Sqe,
  pathAddress: number,
  flags: number,
  mode: number,
  fileIndex: number,
): void {
  prepOpenat(sqe, AT_FDCWD, pathAddress, flags, mode)
  writeTarget(sqe.words, fileIndex)
}

/**
 * Opens a file with limits on how its path is resolved.
 *
 * @param dfd Directory fd, or AT_FDCWD
 * @param howAddress Address of a struct open_how (24 bytes)
 * @kernel 5.6 · IORING_OP_OPENAT2
 * @man io_uring_prep_openat2(3), openat2(2)
 */
export function prepOpenat2(sqe: Sqe, dfd: number, pathAddress: number, howAddress: number): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_OPENAT2
  words[SQE.FD] = dfd
  writeAddress(words, SQE.OFF, howAddress)
  writeAddress(words, SQE.ADDR, pathAddress)
  words[SQE.LEN] = OPEN_HOW_BYTES
}

/**
 * Opens a file with limits on how its path is resolved, into a slot of the registered files.
 *
 * @param dfd Directory fd, or AT_FDCWD
 * @param howAddress Address of a struct open_how (24 bytes); O_CLOEXEC in it is EINVAL
 * @param fileIndex Slot, or IORING_FILE_INDEX_ALLOC
 * @kernel 5.15 · IORING_OP_OPENAT2
 * @man io_uring_prep_openat2_direct(3), openat2(2)
 */
export function prepOpenat2Direct(
  sqe: Sqe,
  dfd: number,
  pathAddress: number,
  howAddress: number,
  fileIndex: number,
): void {
  prepOpenat2(sqe, dfd, pathAddress, howAddress)
  writeTarget(sqe.words, fileIndex)
}

/**
 * Closes an fd.
 *
 * Cancels nothing: requests that already hold the file go on with it.
 *
 * @kernel 5.6 · IORING_OP_CLOSE
 * @man io_uring_prep_close(3), close(2)
 */
export function prepClose(sqe: Sqe, fd: number): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_CLOSE
  words[SQE.FD] = fd
}

/**
 * Closes a slot of the registered files.
 *
 * The entry's fd stays 0 and IOSQE_FIXED_FILE is not set: with it the kernel answers EBADF.
 *
 * @param fileIndex Slot; IORING_FILE_INDEX_ALLOC is refused by the kernel (liburing would close fd 0)
 * @kernel 5.15 · IORING_OP_CLOSE
 * @man io_uring_prep_close_direct(3)
 */
export function prepCloseDirect(sqe: Sqe, fileIndex: number): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_CLOSE
  writeTarget(words, fileIndex)
}

/**
 * Reads the metadata of a file.
 *
 * Always runs in a kernel worker, so one at a time it is slower than stat(2).
 *
 * @param dfd Directory fd, or AT_FDCWD
 * @param flags AT_*; with AT_EMPTY_PATH and an empty path `dfd` itself is meant
 * @param mask STATX_*: the fields that are wanted
 * @param statxAddress Address of a struct statx (256 bytes)
 * @kernel 5.6 · IORING_OP_STATX
 * @man io_uring_prep_statx(3), statx(2)
 */
export function prepStatx(
  sqe: Sqe,
  dfd: number,
  pathAddress: number,
  flags: number,
  mask: number,
  statxAddress: number,
): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_STATX
  words[SQE.FD] = dfd
  writeAddress(words, SQE.OFF, statxAddress)
  writeAddress(words, SQE.ADDR, pathAddress)
  words[SQE.LEN] = mask
  words[SQE.OP_FLAGS] = flags
}

/**
 * Gives a file a new name.
 *
 * @param oldDfd Directory fd for the old path, or AT_FDCWD
 * @param newDfd Directory fd for the new path, or AT_FDCWD
 * @param flags RENAME_*
 * @kernel 5.11 · IORING_OP_RENAMEAT
 * @man io_uring_prep_renameat(3), renameat2(2)
 */
export function prepRenameat(
  sqe: Sqe,
  oldDfd: number,
  oldPathAddress: number,
  newDfd: number,
  newPathAddress: number,
  flags: number,
): void {
  prepTwoPaths(sqe, IORING_OP_RENAMEAT, oldDfd, oldPathAddress, newDfd, newPathAddress, flags)
}

/**
 * Gives a file a new name; both paths relative to the working directory.
 *
 * @kernel 5.11 · IORING_OP_RENAMEAT
 * @man io_uring_prep_rename(3), rename(2)
 */
export function prepRename(sqe: Sqe, oldPathAddress: number, newPathAddress: number): void {
  prepTwoPaths(sqe, IORING_OP_RENAMEAT, AT_FDCWD, oldPathAddress, AT_FDCWD, newPathAddress, 0)
}

/**
 * Removes a name, or with AT_REMOVEDIR an empty directory.
 *
 * @param dfd Directory fd, or AT_FDCWD
 * @param flags 0 or AT_REMOVEDIR
 * @kernel 5.11 · IORING_OP_UNLINKAT
 * @man io_uring_prep_unlinkat(3), unlinkat(2)
 */
export function prepUnlinkat(sqe: Sqe, dfd: number, pathAddress: number, flags: number): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_UNLINKAT
  words[SQE.FD] = dfd
  writeAddress(words, SQE.ADDR, pathAddress)
  words[SQE.OP_FLAGS] = flags
}

/**
 * Removes a name relative to the working directory.
 *
 * @param flags 0 or AT_REMOVEDIR
 * @kernel 5.11 · IORING_OP_UNLINKAT
 * @man io_uring_prep_unlink(3), unlink(2)
 */
export function prepUnlink(sqe: Sqe, pathAddress: number, flags: number): void {
  prepUnlinkat(sqe, AT_FDCWD, pathAddress, flags)
}

/**
 * Makes a directory.
 *
 * @param dfd Directory fd, or AT_FDCWD
 * @param mode Permission bits, before the umask
 * @kernel 5.15 · IORING_OP_MKDIRAT
 * @man io_uring_prep_mkdirat(3), mkdirat(2)
 */
export function prepMkdirat(sqe: Sqe, dfd: number, pathAddress: number, mode: number): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_MKDIRAT
  words[SQE.FD] = dfd
  writeAddress(words, SQE.ADDR, pathAddress)
  words[SQE.LEN] = mode
}

/**
 * Makes a directory relative to the working directory.
 *
 * @param mode Permission bits, before the umask
 * @kernel 5.15 · IORING_OP_MKDIRAT
 * @man io_uring_prep_mkdir(3), mkdir(2)
 */
export function prepMkdir(sqe: Sqe, pathAddress: number, mode: number): void {
  prepMkdirat(sqe, AT_FDCWD, pathAddress, mode)
}

/**
 * Makes a symbolic link at `linkAddress` that says `targetAddress`.
 *
 * @param newDfd Directory fd for the link, or AT_FDCWD
 * @kernel 5.15 · IORING_OP_SYMLINKAT
 * @man io_uring_prep_symlinkat(3), symlinkat(2)
 */
export function prepSymlinkat(sqe: Sqe, targetAddress: number, newDfd: number, linkAddress: number): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_SYMLINKAT
  words[SQE.FD] = newDfd
  writeAddress(words, SQE.OFF, linkAddress)
  writeAddress(words, SQE.ADDR, targetAddress)
}

/**
 * Makes a symbolic link relative to the working directory.
 *
 * @kernel 5.15 · IORING_OP_SYMLINKAT
 * @man io_uring_prep_symlink(3), symlink(2)
 */
export function prepSymlink(sqe: Sqe, targetAddress: number, linkAddress: number): void {
  prepSymlinkat(sqe, targetAddress, AT_FDCWD, linkAddress)
}

/**
 * Gives a file a second name.
 *
 * @param oldDfd Directory fd for the old path, or AT_FDCWD
 * @param newDfd Directory fd for the new path, or AT_FDCWD
 * @param flags AT_SYMLINK_FOLLOW, AT_EMPTY_PATH
 * @kernel 5.15 · IORING_OP_LINKAT
 * @man io_uring_prep_linkat(3), linkat(2)
 */
export function prepLinkat(
  sqe: Sqe,
  oldDfd: number,
  oldPathAddress: number,
  newDfd: number,
  newPathAddress: number,
  flags: number,
): void {
  prepTwoPaths(sqe, IORING_OP_LINKAT, oldDfd, oldPathAddress, newDfd, newPathAddress, flags)
}

/**
 * Gives a file a second name; both paths relative to the working directory.
 *
 * @param flags AT_SYMLINK_FOLLOW, AT_EMPTY_PATH
 * @kernel 5.15 · IORING_OP_LINKAT
 * @man io_uring_prep_link(3), link(2)
 */
export function prepLink(sqe: Sqe, oldPathAddress: number, newPathAddress: number, flags: number): void {
  prepTwoPaths(sqe, IORING_OP_LINKAT, AT_FDCWD, oldPathAddress, AT_FDCWD, newPathAddress, flags)
}

/** RENAMEAT and LINKAT: the second directory lies in `len`, the second path in `addr2`. */
function prepTwoPaths(
  sqe: Sqe,
  op: number,
  oldDfd: number,
  oldPathAddress: number,
  newDfd: number,
  newPathAddress: number,
  flags: number,
): void {
  const words = sqe.words
  words[SQE.OPCODE] = op
  words[SQE.FD] = oldDfd
  writeAddress(words, SQE.OFF, newPathAddress)
  writeAddress(words, SQE.ADDR, oldPathAddress)
  words[SQE.LEN] = newDfd
  words[SQE.OP_FLAGS] = flags
}

/**
 * Reads an extended attribute of the file at a path; the result is its length in bytes.
 *
 * @param nameAddress Address of the attribute's name, NUL-terminated
 * @param valueAddress Address of the memory for the value
 * @param length Bytes there; 0 only asks for the length
 * @kernel 5.19 · IORING_OP_GETXATTR
 * @man io_uring_prep_getxattr(3), getxattr(2)
 */
export function prepGetxattr(
  sqe: Sqe,
  nameAddress: number,
  valueAddress: number,
  pathAddress: number,
  length: number,
): void {
  prepXattr(sqe, IORING_OP_GETXATTR, 0, nameAddress, valueAddress, 0, length)
  writeAddress(sqe.words, SQE.ADDR3, pathAddress)
}

/**
 * Sets an extended attribute of the file at a path.
 *
 * @param nameAddress Address of the attribute's name, NUL-terminated
 * @param valueAddress Address of the value
 * @param flags XATTR_CREATE or XATTR_REPLACE
 * @param length Bytes of the value
 * @kernel 5.19 · IORING_OP_SETXATTR
 * @man io_uring_prep_setxattr(3), setxattr(2)
 */
export function prepSetxattr(
  sqe: Sqe,
  nameAddress: number,
  valueAddress: number,
  pathAddress: number,
  flags: number,
  length: number,
): void {
  prepXattr(sqe, IORING_OP_SETXATTR, 0, nameAddress, valueAddress, flags, length)
  writeAddress(sqe.words, SQE.ADDR3, pathAddress)
}

/**
 * Reads an extended attribute of an open file; the result is its length in bytes.
 *
 * @param nameAddress Address of the attribute's name, NUL-terminated
 * @param valueAddress Address of the memory for the value
 * @param length Bytes there; 0 only asks for the length
 * @kernel 5.19 · IORING_OP_FGETXATTR
 * @man io_uring_prep_fgetxattr(3), fgetxattr(2)
 */
export function prepFgetxattr(
  sqe: Sqe,
  fd: number,
  nameAddress: number,
  valueAddress: number,
  length: number,
): void {
  prepXattr(sqe, IORING_OP_FGETXATTR, fd, nameAddress, valueAddress, 0, length)
}

/**
 * Sets an extended attribute of an open file.
 *
 * @param nameAddress Address of the attribute's name, NUL-terminated
 * @param valueAddress Address of the value
 * @param flags XATTR_CREATE or XATTR_REPLACE
 * @param length Bytes of the value
 * @kernel 5.19 · IORING_OP_FSETXATTR
 * @man io_uring_prep_fsetxattr(3), fsetxattr(2)
 */
export function prepFsetxattr(
  sqe: Sqe,
  fd: number,
  nameAddress: number,
  valueAddress: number,
  flags: number,
  length: number,
): void {
  prepXattr(sqe, IORING_OP_FSETXATTR, fd, nameAddress, valueAddress, flags, length)
}

function prepXattr(
  sqe: Sqe,
  op: number,
  fd: number,
  nameAddress: number,
  valueAddress: number,
  flags: number,
  length: number,
): void {
  const words = sqe.words
  words[SQE.OPCODE] = op
  words[SQE.FD] = fd
  writeAddress(words, SQE.OFF, valueAddress)
  writeAddress(words, SQE.ADDR, nameAddress)
  words[SQE.LEN] = length
  words[SQE.OP_FLAGS] = flags
}
