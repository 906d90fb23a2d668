// One `cp` of a tree under way: several directories at once, in each the small files by chains (copy-chain.ts), subdirectories by chains
// of mkdirat, links and large files by the thread pool.
// Flow: cp.ts → this → copy-chain.ts, linked.ts, node:fs.
// Names are bytes: paths are kept as latin1 text, one character a byte, so that names in any encoding are copied.

import { constants, readdir, readFileSync } from 'node:fs'
import { dirname, isAbsolute, resolve } from 'node:path'
import { prepMkdirat } from '../op/prep-path.ts'
import { putPath } from '../runtime/operations.ts'
import type { Uring } from '../runtime/uring.ts'
import { IORING_OP_MKDIRAT } from '../sys/abi.ts'
import { AbortError, errnoError, ringClosedError } from '../sys/error.ts'
import { CHAIN_FILES, CopyChains, type FileToCopy, SMALL } from './copy-chain.ts'
import { type CpOptions, copyByNode } from './cp.ts'
import { CLOSED, chainLength, closedOr, runLinked } from './linked.ts'
import { nameBytes, nameLatin1, nameText } from './names.ts'
import { node } from './node-fs.ts'
import { Tally } from './progress.ts'
import { someNames } from './soft-chain.ts'
import { type Found, StatChains } from './stat-chain.ts'

/** Directories at work at once; see removal.ts. */
const BUSY = 8
/** Files copied by the thread pool at once, per directory. */
const LARGE_AT_ONCE = 4
const PROGRESS_MS = 100
/** Files from this size on tell how they grow. */
const LONG = 16 * 1024 * 1024
const { COPYFILE_EXCL, O_DIRECTORY, O_RDONLY, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } = constants

type Times = Pick<Found, 'atimeMs' | 'mtimeMs'>

/** A directory that is being copied; it is finished when all below it is. */
interface Directory {
  src: string
  dest: string
  mode: number
  times: Times
  /** It was made by this copy: nothing can be in the way. */
  isNew: boolean
  parent: Directory | null
  /** Itself and the subdirectories that are not finished. */
  pending: number
  /** Open while its entries are copied. */
  srcFd: number
  destFd: number
}

export class Copying {
  readonly #ring: Uring
  readonly #options: CpOptions
  readonly #chains: CopyChains
  readonly #statChains: StatChains
  readonly #umask: number
  readonly #waiting: Directory[] = []
  #busy = 0
  #error: Error | null = null
  #ended!: () => void
  readonly #tally: Tally
  /** A default ACL may give new files other permissions than the umask: then all are set. */
  #mustSetModes = false

  constructor(ring: Uring, options: CpOptions) {
    this.#ring = ring.workerRing()
    this.#options = options
    this.#chains = new CopyChains(this.#ring)
    this.#statChains = new StatChains(this.#ring, options.preserveTimestamps === true)
    this.#umask = umask()
    this.#tally = new Tally(options)
  }

  async run(src: string, dest: string, mode: number, times: Times, isNew: boolean): Promise<void> {
    const root: Directory = {
      src: nameLatin1(src),
      dest: nameLatin1(dest),
      mode,
      times,
      isNew,
      parent: null,
      pending: 1,
      srcFd: -1,
      destFd: -1,
    }
    if (this.#options.filter === undefined) await this.#tally.countFirst(root.src, true)
    if (isNew) await node.mkdir(dest, mode | 0o700)
    this.#mustSetModes = await hasDefaultAcl(this.#ring, dest)
    this.#waiting.push(root)
    await new Promise<void>((resolve) => {
      this.#ended = resolve
      this.#next()
    })
    await this.#chains.close()
    this.#statChains.free()
    if (this.#error !== null) throw this.#error
    this.#tally.tell()
  }

  #next(): void {
    while (this.#error === null && this.#busy < BUSY && this.#waiting.length > 0) {
      this.#busy++
      const directory = this.#waiting.pop()!
      this.#copy(directory)
        .then(() => this.#finish(directory))
        .catch((error) => {
          this.#error ??= error
        })
        .then(() => {
          this.#busy--
          this.#next()
        })
    }
    if (this.#busy === 0 && (this.#error !== null || this.#waiting.length === 0)) this.#ended()
  }

  #check(): void {
    const { signal } = this.#options
    if (signal?.aborted === true) throw new AbortError(signal.reason)
    if (this.#error !== null) throw this.#error
    this.#tally.tellSometimes()
  }

  /** Copies what is in a directory; its subdirectories are left for later, or with a filter copied at their turn. */
  async #copy(directory: Directory): Promise<void> {
    const { engine } = this.#ring
    try {
      directory.srcFd = await this.#openDirectory(directory.src)
      directory.destFd = await this.#openDirectory(directory.dest)
      await this.#entries(directory)
    } finally {
      for (const fd of [directory.srcFd, directory.destFd]) if (fd >= 0) engine.closeLate(fd)
    }
  }

  async #openDirectory(path: string): Promise<number> {
    try {
      return await this.#ring.openat(nameBytes(path), O_RDONLY | O_DIRECTORY)
    } catch (error) {
      const { errno } = error as NodeJS.ErrnoException
      throw errno === undefined ? error : errnoError(errno, 'opendir', { path: nameText(path) })
    }
  }

  async #entries(directory: Directory): Promise<void> {
    const [names, there] = await Promise.all([
      list(directory.src),
      directory.isNew ? [] : list(directory.dest),
    ])
    const taken = new Set(there)
    const most = Math.min(CHAIN_FILES, chainLength(this.#ring))
    for (let at = 0; at < names.length; ) {
      this.#check()
      const some = someNames(names, at, most)
      await this.#some(directory, some, taken)
      at += some.length
    }
  }

  async #some(directory: Directory, names: string[], taken: Set<string>): Promise<void> {
    const { filter } = this.#options
    const wanted = filter === undefined ? names : await this.#filtered(directory, names)
    if (wanted.length === 0) return
    const stats = await this.#stats(directory, wanted)
    const small: FileToCopy[] = []
    const large: FileToCopy[] = []
    const links: string[] = []
    const directories: [string, Found][] = []
    for (const [i, name] of wanted.entries()) {
      const { mode, size, atimeMs, mtimeMs } = stats[i]!
      const kind = mode & S_IFMT
      const file = { name, mode: mode & 0o7777, size, atimeMs, mtimeMs }
      if (kind === S_IFDIR) directories.push([name, stats[i]!])
      else if ((taken.size > 0 && taken.has(name)) || (kind !== S_IFREG && kind !== S_IFLNK))
        await this.#byNode(directory, name)
      else if (kind === S_IFLNK) links.push(name)
      else if (size <= SMALL && !this.#options.mode) small.push(file)
      else large.push(file)
    }
    await allEnded([
      this.#small(directory, small),
      atATime(LARGE_AT_ONCE, large, (file) => this.#large(directory, file, true)),
      atATime(LARGE_AT_ONCE, links, (name) => this.#link(directory, name)),
      this.#makeDirectories(directory, directories, taken),
    ])
  }

  /** Asks the filter name by name. */
  async #filtered(directory: Directory, names: string[]): Promise<string[]> {
    const wanted: string[] = []
    for (const name of names) {
      const from = nameText(`${directory.src}/${name}`)
      if (await this.#options.filter!(from, nameText(`${directory.dest}/${name}`))) wanted.push(name)
    }
    return wanted
  }

  // ---- files

  async #small(directory: Directory, files: FileToCopy[]): Promise<void> {
    if (files.length === 0) return
    const copied = await this.#chains.copy(directory.srcFd, directory.destFd, files)
    for (const [i, file] of files.entries()) {
      if (copied[i] === 'no') {
        // It changed, or is not ours to read, or the disk is full: Node's way finds out.
        await this.#large(directory, file, true)
        continue
      }
      if (copied[i] === 'partly') await this.#large(directory, file, false)
      else {
        this.#count(file.size)
        if (!this.#keepsMode(file.mode)) await node.chmod(this.#destOf(directory, file), file.mode)
        if (this.#options.preserveTimestamps === true)
          await this.#setTimes(this.#destOf(directory, file), file)
      }
    }
  }

  #destOf(directory: Directory, { name }: { name: string }): string | Buffer {
    return nameBytes(`${directory.dest}/${name}`)
  }

  /** Whether a file made with this mode has it: the umask took nothing, and the kernel kept all. */
  #keepsMode(mode: number): boolean {
    return !this.#mustSetModes && (mode & (this.#umask | 0o7000)) === 0
  }

  /** @param isNew nothing may be there yet */
  async #large(directory: Directory, file: FileToCopy, isNew: boolean): Promise<void> {
    this.#check()
    const dest = this.#destOf(directory, file)
    const { mode = 0 } = this.#options
    try {
      const flags = mode | (isNew ? COPYFILE_EXCL : 0)
      await this.#watched(
        dest,
        file.size,
        node.copyFile(nameBytes(`${directory.src}/${file.name}`), dest, flags),
      )
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || !isNew) throw error
      return this.#byNode(directory, file.name)
    }
    await node.chmod(dest, file.mode)
    await this.#setTimes(dest, file)
    this.#count(0)
  }

  /** Tells how a long file grows. */
  async #watched(dest: string | Buffer, size: number, copied: Promise<void>): Promise<void> {
    const { onProgress } = this.#options
    const tally = this.#tally
    let seen = 0
    const see = (bytes: number): void => {
      tally.bytes += bytes - seen
      seen = bytes
    }
    if (onProgress === undefined || size < LONG) await copied
    else {
      await watchGrowth(dest, copied, (bytes) => {
        see(bytes)
        tally.tell()
      })
    }
    see(size)
  }

  /** A name that is there already, or that only Node knows how to copy, or to refuse. */
  async #byNode(directory: Directory, name: string): Promise<void> {
    const [src, dest] = [nameText(`${directory.src}/${name}`), nameText(`${directory.dest}/${name}`)]
    await copyByNode(src, dest, { ...this.#options, filter: undefined }, false)
    this.#count(0)
  }

  async #link(directory: Directory, name: string): Promise<void> {
    const src = `${directory.src}/${name}`
    let target = await node.readlink(nameBytes(src), 'latin1')
    if (this.#options.verbatimSymlinks !== true && !isAbsolute(target)) target = resolve(dirname(src), target)
    await node.symlink(nameBytes(target), nameBytes(`${directory.dest}/${name}`))
    this.#count(0)
  }

  #count(bytes: number): void {
    this.#tally.files++
    this.#tally.bytes += bytes
  }

  async #setTimes(dest: string | Buffer, { atimeMs, mtimeMs }: Times): Promise<void> {
    if (this.#options.preserveTimestamps === true) await node.utimes(dest, atimeMs / 1000, mtimeMs / 1000)
  }

  // ---- directories

  async #makeDirectories(parent: Directory, found: [string, Found][], taken: Set<string>): Promise<void> {
    const fresh = found.filter(([name]) => !taken.has(name))
    const results = await this.#mkdir(parent, fresh)
    for (const [name, stats] of found) {
      const at = fresh.findIndex(([other]) => other === name)
      const dest = `${parent.dest}/${name}`
      if (at < 0) {
        await this.#checkThere(parent, name)
      } else if (results[at]! < 0) throw this.#errorOf(results[at]!, 'mkdir', nameText(dest))
      const directory: Directory = {
        src: `${parent.src}/${name}`,
        dest,
        mode: stats.mode,
        times: stats,
        isNew: at >= 0,
        parent,
        pending: 1,
        srcFd: -1,
        destFd: -1,
      }
      parent.pending++
      if (this.#options.filter === undefined) this.#waiting.push(directory)
      else {
        await this.#copy(directory)
        await this.#finish(directory)
      }
    }
    this.#next()
  }

  /** Something is there: a directory is filled up, for anything else Node's way has the error. */
  async #checkThere(parent: Directory, name: string): Promise<void> {
    const { errorOnExist = false, force = true } = this.#options
    const dest = nameBytes(`${parent.dest}/${name}`)
    const isDirectory = (await node.lstat(dest)).isDirectory()
    if (!isDirectory || (errorOnExist && !force)) await this.#byNode(parent, name)
    if (!this.#mustSetModes) this.#mustSetModes = await hasDefaultAcl(this.#ring, dest)
  }

  /** All below it is copied: now it gets its own mode and times, as nothing is made in it any more. */
  async #finish(directory: Directory): Promise<void> {
    if (--directory.pending > 0) return
    const dest = nameBytes(directory.dest)
    const mode = directory.mode & 0o7777
    if (directory.isNew) {
      const made = (mode | 0o700) & ~this.#umask
      if (made !== mode || this.#mustSetModes || (mode & 0o7000) !== 0) await node.chmod(dest, mode)
    }
    await this.#setTimes(dest, directory.times)
    this.#count(0)
    if (directory.parent !== null) await this.#finish(directory.parent)
  }

  // ---- chains

  async #stats(directory: Directory, names: string[]): Promise<Found[]> {
    const chain = this.#statChains.take()
    const found = await chain.ask(directory.srcFd, names)
    this.#statChains.give(chain)
    if (this.#ring.closed) throw ringClosedError()
    for (const [i, one] of found.entries()) {
      // Node's way has the error, or finds what has come meanwhile.
      if (one === null) found[i] = await node.lstat(nameBytes(`${directory.src}/${names[i]!}`))
    }
    return found as Found[]
  }

  #mkdir(parent: Directory, found: [string, Found][]): Promise<Int32Array> {
    const { engine } = this.#ring
    return this.#linked(IORING_OP_MKDIRAT, found.length, (slot, i) => {
      const [name, { mode }] = found[i]!
      const path = putPath(engine, slot, nameBytes(name))
      prepMkdirat(slot.sqe, parent.destFd, path, (mode & 0o7777) | 0o700)
    })
  }

  #linked(opcode: number, count: number, prepare: Parameters<typeof runLinked>[3]): Promise<Int32Array> {
    const results = new Int32Array(count)
    let left = count
    return new Promise((resolve) => {
      if (count === 0) return resolve(results)
      runLinked(this.#ring, opcode, count, prepare, (i, res) => {
        results[i] = res
        if (--left === 0) resolve(results)
      })
    })
  }

  #errorOf(res: number, syscall: string, path: string): Error {
    const error = (): Error => errnoError(res, syscall, { path })
    return res === CLOSED ? closedOr(this.#ring, res, error) : error()
  }
}

/** Tells now and then how long a file is, until `copied` settles; what `tell` throws is thrown then. */
export async function watchGrowth(
  dest: string | Buffer,
  copied: Promise<void>,
  tell: (bytes: number) => void,
): Promise<void> {
  let isOver = false
  const thrown: unknown[] = []
  const look = async (): Promise<void> => {
    const stats = await node.stat(dest).catch(() => null) // not there yet
    if (stats === null || isOver || thrown.length > 0) return
    try {
      tell(stats.size)
    } catch (error) {
      thrown.push(error)
    }
  }
  const timer = setInterval(look, PROGRESS_MS)
  try {
    await copied
  } finally {
    isOver = true
    clearInterval(timer)
  }
  if (thrown.length > 0) throw thrown[0]
}

/** The names in a directory, in latin1. */
function list(path: string): Promise<string[]> {
  return new Promise((resolve, reject) => {
    readdir(nameBytes(path), 'latin1', (error, names) => (error === null ? resolve(names) : reject(error)))
  })
}

/** The process's umask, without the moment of 0 that umask(2) needs to tell it. */
function umask(): number {
  try {
    const text = /^Umask:\s*([0-7]+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]
    if (text !== undefined) return Number.parseInt(text, 8)
  } catch {
    // No /proc here.
  }
  return 0o777 // may take anything: every mode is set
}

async function hasDefaultAcl(ring: Uring, path: string | Buffer): Promise<boolean> {
  try {
    return (await ring.getxattr(path, 'system.posix_acl_default')).length > 0
  } catch {
    return false // ENODATA, ENOTSUP: there is none
  }
}

/** Runs `work` for each item, some at once; all have ended when this ends. */
async function atATime<T>(most: number, items: T[], work: (item: T) => Promise<void>): Promise<void> {
  let next = 0
  const lane = async (): Promise<void> => {
    while (next < items.length) await work(items[next++]!)
  }
  await allEnded(Array.from({ length: Math.min(most, items.length) }, lane))
}

/** Waits for all, also after an error: what they use must not be closed before. */
async function allEnded(work: Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(work)) if (result.status === 'rejected') throw result.reason
}
