// Copies files and trees: `cp`, with the results and errors of fs.promises.cp.
// Flow: the program, fs → this → copying.ts (trees); fs.promises.cp for single names and what is rare.

import { type BigIntStats, constants } from 'node:fs'
import { dirname, parse, resolve, sep } from 'node:path'
import { defaultRing } from '../runtime/executor.ts'
import { checkPath, type PathLike } from '../runtime/operations.ts'
import { pathText } from '../runtime/operations-path.ts'
import { checkSignal } from '../runtime/options.ts'
import type { Uring } from '../runtime/uring.ts'
import { EEXIST, EINVAL, EISDIR } from '../sys/errno.ts'
import { AbortError, ringClosedError, ringcoreError } from '../sys/error.ts'
import { checkBoolean, checkFunction, checkInteger, checkObject } from '../sys/validate.ts'
import type { Progress } from './batch.ts'
import { Copying, watchGrowth } from './copying.ts'
import { node } from './node-fs.ts'

export interface CpOptions {
  /** Copies directories with all that is in them; default false. */
  recursive?: boolean | undefined
  /** Overwrites what is there; default true. */
  force?: boolean | undefined
  /** With `force: false`: what is there is an error; default false. */
  errorOnExist?: boolean | undefined
  /** Whether to copy a name, and for a directory all that is in it; may return a promise. Called one after another, parents first. */
  filter?: ((source: string, destination: string) => boolean | Promise<boolean>) | undefined
  /** Copies what symbolic links lead to; default false. */
  dereference?: boolean | undefined
  /** Leaves relative links as they are; default false: they are made absolute. */
  verbatimSymlinks?: boolean | undefined
  preserveTimestamps?: boolean | undefined
  /** COPYFILE_EXCL, COPYFILE_FICLONE, COPYFILE_FICLONE_FORCE; default 0. */
  mode?: number | undefined
  /** The ring to work on; default: the thread's. */
  ring?: Uring | undefined
  /** Stops: what is copied stays. */
  signal?: AbortSignal | undefined
  /** Called now and then, and at the end: names and bytes that are copied. */
  onProgress?: ((progress: Progress) => void) | undefined
  /** Counts the names first, so that `onProgress` hears the total; not with a filter, which alone knows. Default false. */
  countFirst?: boolean | undefined
}

const FLAGS = [
  'dereference',
  'errorOnExist',
  'force',
  'preserveTimestamps',
  'recursive',
  'verbatimSymlinks',
] as const
const LARGEST_MODE = constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE | constants.COPYFILE_FICLONE_FORCE

function checkCpOptions(options: CpOptions): void {
  checkObject('options', options)
  for (const name of FLAGS) if (options[name] !== undefined) checkBoolean(`options.${name}`, options[name])
  const { mode, filter, signal, onProgress, countFirst } = options
  if (mode != null) checkInteger('mode', mode, 0, LARGEST_MODE)
  if (options.dereference === true && options.verbatimSymlinks === true) {
    throw ringcoreError(
      TypeError,
      'ERR_INCOMPATIBLE_OPTION_PAIR',
      'Option "dereference" cannot be used in combination with option "verbatimSymlinks"',
    )
  }
  if (filter !== undefined) checkFunction('options.filter', filter)
  if (signal !== undefined) checkSignal(signal)
  if (onProgress !== undefined) checkFunction('options.onProgress', onProgress)
  if (countFirst !== undefined) checkBoolean('options.countFirst', countFirst)
}

/**
 * Copies a file, or with `recursive` a directory and all that is in it.
 *
 * Small files of a tree are copied by chains on the kernel's workers, open → read → open → write for one after another; large ones by
 * copy_file_range, which shares blocks where the file system can. After an error, what is under way is waited for.
 *
 * @throws ENOENT · EEXIST, ERR_FS_CP_EEXIST · ERR_FS_EISDIR (a directory, without `recursive`) · ERR_FS_CP_* as fs.promises.cp
 */
export async function cp(source: PathLike, destination: PathLike, options: CpOptions = {}): Promise<void> {
  checkCpOptions(options)
  const src = pathText(checkPath(source, 'src'))
  const dest = pathText(checkPath(destination, 'dest'))
  const ring = options.ring ?? defaultRing()
  if (ring.closed) throw ringClosedError()
  const { filter, signal, onProgress, recursive = false, dereference = false } = options
  if (signal?.aborted === true) throw new AbortError(signal.reason)
  if (recursive && !dereference) {
    if (filter !== undefined && !(await filter(src, dest))) return
    const found = await look(src, dest)
    if (found.src.isDirectory()) {
      await checkTree(src, dest, found.src, found.dest, options)
      const copying = new Copying(ring, options)
      const times = { atimeMs: Number(found.src.atimeNs) / 1e6, mtimeMs: Number(found.src.mtimeNs) / 1e6 }
      await copying.run(src, dest, Number(found.src.mode), times, found.dest === null)
      return
    }
  }
  const copied = copyByNode(src, dest, options, recursive && !dereference)
  if (onProgress === undefined) return copied
  const total = options.countFirst === true && filter === undefined ? { total: 1 } : {}
  await watchGrowth(dest, copied, (bytes) => onProgress({ files: 0, bytes, ...total }))
  const stats = await node.stat(dest).catch(() => null) // the filter may have refused it
  onProgress({
    files: stats === null ? 0 : 1,
    bytes: stats?.isFile() === true ? stats.size : 0,
    ...total,
  })
}

/** Node's own way; `filtered` says that the filter was asked for the first name. */
export function copyByNode(src: string, dest: string, options: CpOptions, filtered: boolean): Promise<void> {
  const { ring: _1, signal: _2, onProgress: _3, countFirst: _4, ...own } = options
  if (own.filter !== undefined && filtered) {
    const { filter } = own
    own.filter = (from, to) => from === src || filter(from, to)
  }
  return node.cp(src, dest, own)
}

interface Found {
  src: BigIntStats
  dest: BigIntStats | null
}

async function look(src: string, dest: string): Promise<Found> {
  const [own, other] = await Promise.all([
    node.lstat(src, { bigint: true }),
    node.lstat(dest, { bigint: true }).catch((error) => {
      if (error.code === 'ENOENT') return null
      throw error
    }),
  ])
  return { src: own, dest: other }
}

const isSame = (a: BigIntStats, b: BigIntStats): boolean =>
  b.ino !== 0n && b.dev !== 0n && a.ino === b.ino && a.dev === b.dev

/** Refuses what fs.promises.cp refuses, and makes the directories above `dest`. */
async function checkTree(
  src: string,
  dest: string,
  stats: BigIntStats,
  there: BigIntStats | null,
  options: CpOptions,
): Promise<void> {
  if (there !== null) {
    if (isSame(stats, there)) throw cpError('EINVAL', 'src and dest cannot be the same', dest)
    if (!there.isDirectory())
      throw cpError('DIR_TO_NON_DIR', `cannot overwrite non-directory ${dest} with directory ${src}`, dest)
  }
  const below = `cannot copy ${src} to a subdirectory of self ${dest}`
  if (isBelow(src, dest)) throw cpError('EINVAL', below, dest)
  // By inode, all the way up: links may hide that it is so.
  const srcParent = resolve(dirname(src))
  for (let parent = resolve(dirname(dest)); ; parent = dirname(parent)) {
    if (parent === srcParent || parent === parse(parent).root) break
    const up = await node.stat(parent, { bigint: true }).catch((error) => {
      if (error.code === 'ENOENT') return null
      throw error
    })
    if (up === null) break
    if (isSame(stats, up)) throw cpError('EINVAL', below, dest)
  }
  if (there === null) await node.mkdir(dirname(dest), { recursive: true })
  else if (options.errorOnExist === true && options.force === false)
    throw cpError('EEXIST', `${dest} already exists`, dest)
}

/** By the words of the paths alone. */
function isBelow(src: string, dest: string): boolean {
  const words = (path: string): string[] => resolve(path).split(sep).filter(Boolean)
  const to = words(dest)
  return words(src).every((word, i) => to[i] === word)
}

const CP_ERRORS = {
  EINVAL: ['ERR_FS_CP_EINVAL', 'Invalid src or dest', 'EINVAL', EINVAL, 'invalid argument'],
  DIR_TO_NON_DIR: [
    'ERR_FS_CP_DIR_TO_NON_DIR',
    'Cannot overwrite non-directory with directory',
    'EISDIR',
    EISDIR,
    'is a directory',
  ],
  EEXIST: ['ERR_FS_CP_EEXIST', 'Target already exists', 'EEXIST', EEXIST, 'file already exists'],
} as const

/** Node's SystemErrors of cp. */
export function cpError(kind: keyof typeof CP_ERRORS, message: string, path: string): Error {
  const [code, title, name, errno] = CP_ERRORS[kind]
  const error = ringcoreError(Error, code, `${title}: cp returned ${name} (${message}) ${path}`)
  const info = { message, path, syscall: 'cp', errno, code: name }
  // As in Node, the name is no property that a loop over the error meets.
  Object.defineProperty(error, 'name', { value: 'SystemError', configurable: true, writable: true })
  return Object.assign(error, { info, errno, syscall: 'cp', path })
}
