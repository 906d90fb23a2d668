// Removes files and trees: `rm`, with the results and errors of fs.promises.rm.
// Flow: the program, fs → this → removal.ts; trees-by-node.ts where no /proc is mounted.

import { constants, existsSync } from 'node:fs'
import { defaultRing } from '../runtime/executor.ts'
import { checkPath, type PathLike } from '../runtime/operations.ts'
import { pathText } from '../runtime/operations-path.ts'
import { checkSignal } from '../runtime/options.ts'
import type { Uring } from '../runtime/uring.ts'
import { AT_SYMLINK_NOFOLLOW, STATX_TYPE } from '../sys/constants.ts'
import { EISDIR, ENOENT } from '../sys/errno.ts'
import { AbortError, errnoError, ringClosedError, ringcoreError } from '../sys/error.ts'
import { checkBoolean, checkFunction, checkInteger, checkObject } from '../sys/validate.ts'
import type { Progress } from './batch.ts'
import { Removal } from './removal.ts'
import { rmByNode } from './trees-by-node.ts'

export interface RmOptions {
  /** A path that is not there is no error; default false. */
  force?: boolean | undefined
  /** Removes directories with all that is in them; default false. */
  recursive?: boolean | undefined
  /** How often EBUSY, EMFILE, ENFILE, ENOTEMPTY and EPERM are tried again, per name; default 0. */
  maxRetries?: number | undefined
  /** Milliseconds before the first retry; the second waits twice as long, and so on. Default 100. */
  retryDelay?: number | undefined
  /** The ring to work on; default: the thread's. */
  ring?: Uring | undefined
  /** Stops: what is removed stays removed. */
  signal?: AbortSignal | undefined
  /** Called now and then, and at the end; `files` counts names, `bytes` is 0. */
  onProgress?: ((progress: Progress) => void) | undefined
  /** Counts the names first, so that `onProgress` hears the total. Default false. */
  countFirst?: boolean | undefined
}

const { S_IFDIR, S_IFMT } = constants

function checkRmOptions(options: RmOptions): void {
  checkObject('options', options)
  const { force = false, recursive = false, maxRetries = 0, retryDelay = 100 } = options
  const { signal, onProgress, countFirst } = options
  checkBoolean('options.force', force)
  checkBoolean('options.recursive', recursive)
  checkInteger('options.retryDelay', retryDelay, 0, 0x7fffffff)
  checkInteger('options.maxRetries', maxRetries, 0, 0xffffffff)
  if (signal !== undefined) checkSignal(signal)
  if (onProgress !== undefined) checkFunction('options.onProgress', onProgress)
  if (countFirst !== undefined) checkBoolean('options.countFirst', countFirst)
}

/**
 * Removes a file, or with `recursive` a directory and all that is in it.
 *
 * Every name is removed relative to its open directory, and symbolic links are never followed: who swaps a directory for a link
 * meanwhile can't lead it elsewhere. Mount points are not entered. After an error, what is under way is waited for.
 *
 * @throws ENOENT (without `force`) · ERR_FS_EISDIR (a directory, without `recursive`) · EACCES · EBUSY …: the first that occurred
 * @kernel 5.11 · IORING_OP_UNLINKAT
 */
export async function rm(path: PathLike, options: RmOptions = {}): Promise<void> {
  const name = checkPath(path)
  checkRmOptions(options)
  const { force = false, recursive = false, signal } = options
  const ring = options.ring ?? defaultRing()
  if (ring.closed) throw ringClosedError()
  if (signal?.aborted === true) throw new AbortError(signal.reason)
  const text = pathText(name)
  let mode: number
  try {
    ;({ mode } = await ring.statx(name, { flags: AT_SYMLINK_NOFOLLOW, mask: STATX_TYPE }))
  } catch (error) {
    const { errno } = error as NodeJS.ErrnoException
    if (force && errno === -ENOENT) return
    throw errno === undefined ? error : errnoError(errno, 'lstat', { path: text })
  }
  const isDirectory = (mode & S_IFMT) === S_IFDIR
  if (isDirectory && !recursive) throw isDirectoryError(text)
  // Directories are listed through their descriptors, which have names in /proc only.
  if (isDirectory && !existsSync('/proc/self/fd')) return rmByNode(name, options)
  await new Removal(ring.workerRing(), text, options).run(name, isDirectory)
}

/** Node's SystemError for a directory without `recursive`. */
function isDirectoryError(path: string): Error {
  const info = { code: 'EISDIR', message: 'is a directory', path, syscall: 'rm', errno: EISDIR }
  const error = ringcoreError(
    Error,
    'ERR_FS_EISDIR',
    `Path is a directory: rm returned EISDIR (is a directory) ${path}`,
  )
  // As in Node, the name is no property that a loop over the error meets.
  Object.defineProperty(error, 'name', { value: 'SystemError', configurable: true, writable: true })
  return Object.assign(error, { info, errno: EISDIR, syscall: 'rm', path })
}
