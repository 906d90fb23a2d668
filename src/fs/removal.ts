// One `rm` under way: directories are listed by the thread pool, names are removed by chains of unlinkat on the kernel's workers, one
// chain per directory and several directories at once.
// Flow: rm.ts → this → soft-chain.ts, linked.ts, node:fs (readdir, which the ring does not have).
// Names are bytes: read as latin1 and written back as latin1, so every name that a file system can hold is removed.
// A directory stays open until it is empty, and its entries are named relative to it: man unlinkat(2), AT_REMOVEDIR.

import { constants, readdir } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { prepUnlinkat } from '../op/prep-path.ts'
import { putPath } from '../runtime/operations.ts'
import type { Uring } from '../runtime/uring.ts'
import { IORING_OP_UNLINKAT } from '../sys/abi.ts'
import { AT_FDCWD, AT_REMOVEDIR } from '../sys/constants.ts'
import {
  EACCES,
  EBUSY,
  EEXIST,
  EISDIR,
  ELOOP,
  EMFILE,
  ENFILE,
  ENOENT,
  ENOTDIR,
  ENOTEMPTY,
  EPERM,
} from '../sys/errno.ts'
import { AbortError, errnoError } from '../sys/error.ts'
import { CLOSED, chainLength, closedOr, runLinked } from './linked.ts'
import { nameBytes, nameLatin1, nameText } from './names.ts'
import { Tally } from './progress.ts'
import type { RmOptions } from './rm.ts'
import { SoftChain, someNames } from './soft-chain.ts'

/** Directories at work at once. On two CPUs a name took 5.8 µs with 4, 4.8 with 8, 4.6 with 12: each has a descriptor, so it stays at 8. */
const BUSY = 8
/** Names of a chain whose results nobody looks at. */
const BLIND = 64
/** So few names are not worth a second look at the directory. */
const FEW = 8
const { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = constants
const RETRIED: readonly number[] = [-EBUSY, -EMFILE, -ENFILE, -ENOTEMPTY, -EPERM]
/** The answers of rmdir that say: there is something in it. */
const FILLED: readonly number[] = [-ENOTEMPTY, -EEXIST, -EPERM]

/** A directory that is being emptied. */
class Directory {
  readonly parent: Directory | null
  /** In latin1; of the root: the path as it was given. */
  readonly name: string
  fd = -1
  /** Subdirectories that are still there. */
  children = 0
  attempts = 0

  constructor(parent: Directory | null, name: string) {
    this.parent = parent
    this.name = name
  }

  /** Where it is, for errors. */
  get path(): string {
    return this.parent === null ? this.name : `${this.parent.path}/${nameText(this.name)}`
  }
}

export class Removal {
  readonly #ring: Uring
  readonly #options: RmOptions
  readonly #chain: number
  readonly #blind: number
  readonly #path: string
  /** Directories to empty; the last one first, so that few are open at a time. */
  readonly #stack: Directory[] = []
  readonly #open = new Set<Directory>()
  readonly #chains: SoftChain[] = []
  #rootName: string | Uint8Array = ''
  #busy = 0
  #error: Error | null = null
  readonly #tally: Tally
  #ended!: () => void

  /** @param ring the ring whose chains stay on workers */
  constructor(ring: Uring, path: string, options: RmOptions) {
    this.#ring = ring
    this.#path = path
    this.#options = options
    this.#chain = chainLength(ring)
    this.#blind = chainLength(ring, BLIND)
    this.#tally = new Tally(options)
  }

  async run(name: string | Uint8Array, isDirectory: boolean): Promise<void> {
    this.#rootName = name
    await this.#tally.countFirst(nameLatin1(name), isDirectory)
    for (let attempt = 1; ; attempt++) {
      const res = await this.#root(isDirectory)
      if (res >= 0 || res === -ENOENT) break
      if (isDirectory && FILLED.includes(res)) {
        await this.#tree()
        break
      }
      if (!(await this.#mayRetry(res, attempt)))
        throw this.#errorOf(res, isDirectory ? 'rmdir' : 'unlink', this.#path)
    }
    this.#tally.tell()
  }

  /** Removes the name itself; for a directory this says whether it is empty, a mount point, or not ours to remove. */
  async #root(isDirectory: boolean): Promise<number> {
    const [res] = await this.#unlink(AT_FDCWD, [this.#rootName], isDirectory ? AT_REMOVEDIR : 0)
    if (res! >= 0) this.#tally.files++
    return res!
  }

  async #tree(): Promise<void> {
    this.#stack.push(new Directory(null, this.#path))
    await new Promise<void>((resolve) => {
      this.#ended = resolve
      this.#next()
    })
    for (const directory of this.#open) this.#close(directory)
    if (!this.#ring.closed) for (const chain of this.#chains) chain.free()
    if (this.#error !== null) throw this.#error
  }

  /** Begins with as many directories as may be at work. */
  #next(): void {
    while (this.#error === null && this.#busy < BUSY && this.#stack.length > 0) {
      const { signal } = this.#options
      if (signal?.aborted === true) {
        this.#error = new AbortError(signal.reason)
        break
      }
      this.#busy++
      this.#empty(this.#stack.pop()!).then(
        () => this.#done(),
        (error) => {
          this.#error ??= error
          this.#done()
        },
      )
    }
    if (this.#busy === 0 && (this.#error !== null || this.#stack.length === 0)) this.#ended()
  }

  #done(): void {
    this.#busy--
    try {
      this.#tally.tellSometimes()
    } catch (error) {
      this.#error ??= error as Error // of the caller's onProgress
    }
    this.#next()
  }

  /** Removes what is in a directory, and itself when no subdirectory is left. */
  async #empty(directory: Directory): Promise<void> {
    try {
      if (directory.fd < 0 && !(await this.#openDirectory(directory))) return
      const names = await this.#notFiles(directory, await this.#list(directory))
      const filled: string[] = []
      for (let at = 0; at < names.length && this.#error === null; at += this.#chain)
        await this.#chunk(directory, names.slice(at, at + this.#chain), filled)
      if (this.#error !== null) return this.#close(directory)
      directory.children = filled.length
      for (const name of filled) this.#stack.push(new Directory(directory, name))
    } catch (error) {
      this.#close(directory)
      throw error
    }
    if (directory.children === 0) await this.#leave(directory)
  }

  /** Removes all that are files, without a look at the results, and returns the names that are left. */
  async #notFiles(directory: Directory, names: string[]): Promise<string[]> {
    if (names.length < FEW || !this.#ring.engine.quiet) return names
    const chain = this.#chains.pop() ?? new SoftChain(this.#ring, BLIND)
    for (let at = 0; at < names.length && this.#error === null; ) {
      const some = someNames(names, at, this.#blind)
      chain.keep(some)
      await chain.run(some.length, (sqe, i) => prepUnlinkat(sqe, directory.fd, chain.address(i), 0))
      at += some.length
    }
    this.#chains.push(chain)
    const left = await this.#list(directory)
    this.#tally.files += Math.max(0, names.length - left.length)
    return left
  }

  /** Removes some names: all as files first, and those that turn out to be directories as empty ones. */
  async #chunk(directory: Directory, names: string[], filled: string[]): Promise<void> {
    const results = await this.#unlink(directory.fd, names, 0)
    const directories: string[] = []
    for (const [i, res] of results.entries()) {
      if (res >= 0 || res === -ENOENT) this.#tally.files++
      else if (res === -EISDIR) directories.push(names[i]!)
      else await this.#insist(directory, names[i]!, res, 0, filled)
    }
    if (directories.length === 0) return
    for (const [i, res] of (await this.#unlink(directory.fd, directories, AT_REMOVEDIR)).entries()) {
      if (res >= 0 || res === -ENOENT) this.#tally.files++
      else if (FILLED.includes(res)) filled.push(directories[i]!)
      else if (res === -ENOTDIR) await this.#insist(directory, directories[i]!, res, 0, filled)
      else await this.#insist(directory, directories[i]!, res, AT_REMOVEDIR, filled)
    }
  }

  /** Tries again what may go away by itself, and throws what does not. */
  async #insist(
    directory: Directory,
    name: string,
    first: number,
    flags: number,
    filled: string[],
  ): Promise<void> {
    let res = first
    // Something else took the directory's place meanwhile: it is removed as what it is.
    for (let attempt = 1; res === -ENOTDIR || (await this.#mayRetry(res, attempt)); attempt++) {
      res = (await this.#unlink(directory.fd, [name], flags))[0]!
      if (res >= 0 || res === -ENOENT) {
        this.#tally.files++
        return
      }
      if (res === -EISDIR || (flags === AT_REMOVEDIR && FILLED.includes(res))) {
        filled.push(name)
        return
      }
    }
    throw this.#errorOf(res, flags === 0 ? 'unlink' : 'rmdir', `${directory.path}/${nameText(name)}`)
  }

  /** All that was in it is gone: removes the directory by its name in the parent. */
  async #leave(directory: Directory): Promise<void> {
    const { parent } = directory
    this.#close(directory)
    const name = parent === null ? this.#rootName : directory.name
    const [res] = await this.#unlink(parent === null ? AT_FDCWD : parent.fd, [name], AT_REMOVEDIR)
    if (res === -ENOTDIR) return this.#replaced(directory)
    if (res! < 0 && res !== -ENOENT) {
      directory.attempts++
      if (!(await this.#mayRetry(res!, directory.attempts))) {
        throw this.#errorOf(res!, 'rmdir', directory.path)
      }
      this.#stack.push(directory) // somebody put something into it, or uses it: from the start
      return
    }
    this.#tally.files++
    if (parent !== null && --parent.children === 0) await this.#leave(parent)
  }

  async #mayRetry(res: number, attempt: number): Promise<boolean> {
    const { maxRetries = 0, retryDelay = 100, signal } = this.#options
    if (attempt > maxRetries || !RETRIED.includes(res) || signal?.aborted === true) return false
    await sleep(attempt * retryDelay)
    return true
  }

  // ---- the calls

  /** Opens a directory by its name in the parent, never through a link. Returns false when it is not there any more. */
  async #openDirectory(directory: Directory): Promise<boolean> {
    const { parent } = directory
    const name = parent === null ? this.#rootName : Buffer.from(directory.name, 'latin1')
    const flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW
    try {
      directory.fd = await this.#ring.openat(name, flags, { dirfd: parent?.fd })
      this.#open.add(directory)
      return true
    } catch (error) {
      const { errno } = error as NodeJS.ErrnoException
      if (errno === -ENOENT) {
        if (parent !== null && --parent.children === 0) await this.#leave(parent)
        return false
      }
      // Not a directory any more: whatever took its place is removed as what it is.
      if (errno === -ENOTDIR || errno === -ELOOP) {
        await this.#replaced(directory)
        return false
      }
      // No descriptor is free, but some of ours will be.
      if ((errno === -EMFILE || errno === -ENFILE) && this.#busy > 1) {
        await sleep(1)
        this.#stack.push(directory)
        return false
      }
      const word = errno === -EACCES ? 'scandir' : 'open'
      throw errno === undefined ? error : this.#errorOf(errno, word, directory.path)
    }
  }

  async #replaced(directory: Directory): Promise<void> {
    const { parent } = directory
    const name = parent === null ? this.#rootName : directory.name
    const [res] = await this.#unlink(parent === null ? AT_FDCWD : parent.fd, [name], 0)
    if (res! < 0 && res !== -ENOENT) throw this.#errorOf(res!, 'unlink', directory.path)
    this.#tally.files++
    if (parent !== null && --parent.children === 0) await this.#leave(parent)
  }

  /** The names in an open directory, through its descriptor: what its path leads to meanwhile does not matter. */
  #list(directory: Directory): Promise<string[]> {
    return new Promise((resolve, reject) => {
      readdir(`/proc/self/fd/${directory.fd}`, 'latin1', (error, names) => {
        if (error === null) resolve(names)
        else reject(errnoError(error.errno ?? -EACCES, 'scandir', { path: directory.path }))
      })
    })
  }

  #close(directory: Directory): void {
    if (directory.fd < 0) return
    this.#open.delete(directory)
    this.#ring.engine.closeLate(directory.fd)
    directory.fd = -1
  }

  /** Removes names of one directory, one after another on a worker. */
  #unlink(dirfd: number, names: readonly (string | Uint8Array)[], flags: number): Promise<Int32Array> {
    const ring = this.#ring
    const { engine } = ring
    const results = new Int32Array(names.length)
    let left = names.length
    return new Promise((resolve) => {
      runLinked(
        ring,
        IORING_OP_UNLINKAT,
        names.length,
        (slot, i) => {
          const name = names[i]!
          const bytes = dirfd === AT_FDCWD || typeof name !== 'string' ? name : nameBytes(name)
          prepUnlinkat(slot.sqe, dirfd, putPath(engine, slot, bytes), flags)
        },
        (i, res) => {
          results[i] = res
          if (--left === 0) resolve(results)
        },
      )
    })
  }

  #errorOf(res: number, syscall: string, path: string): Error {
    const error = (): Error => errnoError(res, syscall, { path })
    return res === CLOSED ? closedOr(this.#ring, res, error) : error()
  }
}
