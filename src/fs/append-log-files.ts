// A log's directory: its segments by name, making and removing them so that a power loss finds the one or the other, and its lock.
// Flow: append-log.ts, append-log-reader.ts → this → runtime; node:fs lists the directory, which a ring can't.
// man fcntl(2) F_OFD_SETLK, fsync(2): a file's entry is on the disk when its directory was synced.

import { constants } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { Resource } from '../runtime/resource.ts'
import type { Uring } from '../runtime/uring.ts'
import { EAGAIN, EEXIST, EOPNOTSUPP } from '../sys/errno.ts'
import { checkResult, ringcoreError, type UringError } from '../sys/error.ts'
import { syscallNumber } from '../sys/syscalls.ts'
import { HEADER_BYTES, type SegmentKey, segmentName, startOfName } from './append-log-format.ts'
import { node } from './node-fs.ts'

export interface LogSegment {
  path: string
  /** The position of its first record. */
  start: number
}

const F_OFD_SETLK = 37
const F_WRLCK = 1
/** struct flock: l_type, l_whence, l_start, l_len, l_pid; on x64 and arm64 alike. */
const FLOCK_BYTES = 32

/** The segments in a directory, in order. */
export async function listSegments(directory: string): Promise<LogSegment[]> {
  const names = await node.readdir(directory)
  return names
    .map((name) => ({ path: join(directory, name), start: startOfName(name) }))
    .filter(({ start }) => start >= 0)
    .sort((a, b) => a.start - b.start)
}

export class LogDirectory {
  readonly path: string
  readonly #ring: Uring
  readonly #directory: Resource
  /** Closing it gives the lock back; so does the end of the process. */
  readonly #lock: Resource

  private constructor(ring: Uring, path: string, directory: Resource, lock: Resource) {
    this.#ring = ring
    this.path = path
    this.#directory = directory
    this.#lock = lock
  }

  /**
   * Opens a directory, which is made when it is missing, and takes its lock.
   * @throws ERR_LOG_LOCKED
   */
  static async open(ring: Uring, path: string): Promise<LogDirectory> {
    const whole = resolve(path)
    try {
      await ring.mkdirat(whole)
      await syncDirectory(ring, dirname(whole))
    } catch (error) {
      if ((error as UringError).errno !== -EEXIST) throw error
    }
    const flags = constants.O_RDONLY | constants.O_DIRECTORY
    const directory = new Resource(await ring.openat(whole, flags))
    try {
      return new LogDirectory(ring, whole, directory, await takeLock(ring, join(whole, 'lock')))
    } catch (error) {
      await ring.closeFile(directory)
      throw error
    }
  }

  list(): Promise<LogSegment[]> {
    return listSegments(this.path)
  }

  segment(start: number): LogSegment {
    return { path: join(this.path, segmentName(start)), start }
  }

  /** Brings the entries of the directory to the disk. */
  sync(): Promise<void> {
    return this.#ring.fsync(this.#directory)
  }

  /**
   * Makes a segment; when this returns, it and its header survive a power loss.
   * @param bytes space to allocate for it; 0 for none
   */
  async create(key: SegmentKey, bytes: number): Promise<Resource> {
    const { path } = this.segment(key.start)
    const file = new Resource(await this.#ring.openat(path, 'wx+'))
    try {
      if (bytes > 0) await allocate(this.#ring, file, bytes)
      const header = key.header()
      for (let done = 0; done < HEADER_BYTES; )
        done += await this.#ring.write(file, header, { position: done, offset: done })
      await this.#ring.fsync(file)
      await this.sync()
      return file
    } catch (error) {
      if (!this.#ring.closed) {
        await this.#ring.closeFile(file)
        await this.remove({ path, start: key.start })
        await this.sync()
      } else this.#ring.engine.closeLate(file.surrender())
      throw error
    }
  }

  /** Removes a segment; `sync` makes it last. */
  remove({ path }: LogSegment): Promise<void> {
    return this.#ring.unlinkat(path)
  }

  /** As `close`, without the ring, which is closed. */
  closeLate(): void {
    for (const file of [this.#directory, this.#lock]) this.#ring.engine.closeLate(file.surrender())
  }

  /** Gives the lock back. */
  async close(): Promise<void> {
    for (const file of [this.#directory, this.#lock]) await this.#ring.closeFile(file)
  }
}

/** Allocates space from the header on; a file system that can't just grows the file as it is written. */
export async function allocate(ring: Uring, file: Resource, bytes: number): Promise<void> {
  try {
    await ring.fallocate(file, 0, 0, bytes)
  } catch (error) {
    if ((error as UringError).errno !== -EOPNOTSUPP) throw error
  }
}

async function syncDirectory(ring: Uring, path: string): Promise<void> {
  const directory = new Resource(await ring.openat(path, constants.O_RDONLY | constants.O_DIRECTORY))
  try {
    await ring.fsync(directory)
  } finally {
    await ring.closeFile(directory)
  }
}

/** An OFD lock belongs to the open file: it keeps out other processes, other threads, and another open of this one. */
async function takeLock(ring: Uring, path: string): Promise<Resource> {
  const file = new Resource(await ring.openat(path, constants.O_RDWR | constants.O_CREAT))
  const flock = new DataView(new ArrayBuffer(FLOCK_BYTES))
  flock.setInt16(0, F_WRLCK, true)
  const { driver } = ring.ring
  const result = driver.syscall(syscallNumber('fcntl'), file.fd, F_OFD_SETLK, driver.addressOf(flock))
  if (result === 0) return file
  await ring.closeFile(file)
  if (result !== -EAGAIN) checkResult(result, 'fcntl', { path })
  const message = `Cannot open the log: another AppendLog has it open; '${path}' is locked`
  throw Object.assign(ringcoreError(Error, 'ERR_LOG_LOCKED', message), { path })
}
