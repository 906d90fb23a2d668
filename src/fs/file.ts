// A file with its own offset, on the thread's ring.
// Flow: the program → this → runtime (openat, read, write, fsync, statx, close).

import { defaultRing } from '../runtime/executor.ts'
import type { PathLike } from '../runtime/operations.ts'
import type { ReadOptions } from '../runtime/operations-file.ts'
import type { OpenOptions } from '../runtime/operations-path.ts'
import { Resource } from '../runtime/resource.ts'
import type { Uring } from '../runtime/uring.ts'
import { EIO } from '../sys/errno.ts'
import { errnoError, invalidArgument } from '../sys/error.ts'
import type { Statx } from '../sys/statx.ts'
import { checkFd, checkInteger } from '../sys/validate.ts'

export interface FileOptions extends Omit<OpenOptions, 'slot'> {
  /** The ring to work on; default: the thread's. */
  ring?: Uring | undefined
}

/** Room that a file is read into before anybody asks for its size, in bytes. */
const FIRST_READ = 16384

export class File {
  readonly #ring: Uring
  readonly #resource: Resource
  #offset = 0
  /** Ends of the last read or write at the own offset: the next one starts where it stopped. */
  #last: Promise<unknown> | null = null

  constructor(ring: Uring, resource: Resource) {
    this.#ring = ring
    this.#resource = resource
  }

  /**
   * Opens a file for reading, or as `flags` say.
   * @param flags as Node's: 'r' (default), 'r+', 'w', 'ax' …
   * @throws ENOENT · EACCES · EMFILE
   */
  static async open(path: PathLike, flags: string | number = 'r', options?: FileOptions): Promise<File> {
    if ((options as OpenOptions | undefined)?.slot !== undefined) {
      throw invalidArgument('Cannot open a File into a direct descriptor: use ring.openat() with `slot`')
    }
    const ring = options?.ring ?? defaultRing()
    return new File(ring, new Resource(await ring.openat(path, flags, options)))
  }

  /** Makes a file, or empties the one that is there, for writing. */
  static create(path: PathLike, options?: FileOptions): Promise<File> {
    return File.open(path, 'w', options)
  }

  /** Takes over an open descriptor; the File closes it. */
  static fromFd(fd: number, ring: Uring = defaultRing()): File {
    checkFd(fd)
    return new File(ring, new Resource(fd))
  }

  /** The descriptor, or -1 once closed. */
  get fd(): number {
    return this.#resource.fd
  }

  /** Where the next unpositioned read or write starts, in bytes. */
  get offset(): number {
    return this.#offset
  }

  set offset(value: number) {
    checkInteger('offset', value, 0)
    this.#offset = value
  }

  /**
   * Reads into `buffer`: at `position`, or at the own offset, which moves on.
   *
   * Unpositioned calls run one after another; positioned ones all at once.
   *
   * @returns bytes read: 0 at end of file, possibly fewer than asked
   */
  read(buffer: ArrayBufferView, options?: ReadOptions): Promise<number> {
    if (options?.position != null) return this.#ring.read(this.#resource, buffer, options)
    return this.#inTurn((position) => this.#ring.read(this.#resource, buffer, { ...options, position }))
  }

  /**
   * Writes `buffer`: at `position`, or at the own offset, which moves on.
   * @returns bytes written, possibly fewer than asked; `writeAll` goes on until all are
   */
  write(buffer: ArrayBufferView, options?: ReadOptions): Promise<number> {
    if (options?.position != null) return this.#ring.write(this.#resource, buffer, options)
    return this.#inTurn((position) => this.#ring.write(this.#resource, buffer, { ...options, position }))
  }

  #inTurn(start: (position: number) => Promise<number>): Promise<number> {
    const go = async (): Promise<number> => {
      const bytes = await start(this.#offset)
      this.#offset += bytes
      return bytes
    }
    const promise = this.#last === null ? go() : this.#last.then(go, go)
    this.#last = promise
    const done = () => {
      if (this.#last === promise) this.#last = null
    }
    promise.then(done, done)
    return promise
  }

  /**
   * Writes all of `buffer` at the own offset, however many writes it takes.
   * @throws ENOSPC, EIO …: `written` on the error tells how many bytes are in the file
   */
  async writeAll(buffer: Uint8Array): Promise<void> {
    let written = 0
    while (written < buffer.byteLength) {
      try {
        const bytes = await this.write(buffer.subarray(written))
        if (bytes === 0) throw errnoError(-EIO, 'write')
        written += bytes
      } catch (error) {
        throw Object.assign(error as Error, { written })
      }
    }
  }

  /**
   * Reads from the own offset to the end.
   * @param options.signal ends the read that is under way, as of a pipe where nothing comes
   */
  async readToEnd(options?: Pick<ReadOptions, 'signal'>): Promise<Buffer> {
    const signal = options?.signal
    // Most files are small, and asking for the size costs more than reading them: the kernel hands each statx to a worker.
    let buffer: Buffer = Buffer.allocUnsafe(FIRST_READ)
    let filled = 0
    for (;;) {
      const bytes = await this.read(buffer, { offset: filled, signal })
      if (bytes === 0) break
      filled += bytes
      if (filled < buffer.length) continue
      // It may also be longer than it says: it grew, or is one of /proc.
      const { size } = await this.stat()
      buffer = Buffer.concat([buffer], Math.max(buffer.length * 2, filled + size - this.#offset + 1))
    }
    // A short text shall not keep a long buffer alive.
    return filled * 2 < buffer.length ? Buffer.from(buffer.subarray(0, filled)) : buffer.subarray(0, filled)
  }

  /** Brings the data, and unless `datasync` the metadata, to the device. */
  sync(options?: { datasync?: boolean }): Promise<void> {
    return this.#ring.fsync(this.#resource, options)
  }

  /**
   * Asks for the file's metadata.
   * @throws EBADF when closed
   */
  async stat(): Promise<Statx> {
    const dirfd = this.#resource.hold('fstat')
    try {
      return await this.#ring.statx('', { dirfd })
    } finally {
      this.#resource.drop()
    }
  }

  /** Waits for what is in flight (cancelling what can be), then closes; a second close does nothing. */
  close(): Promise<void> {
    return this.#ring.closeFile(this.#resource)
  }

  /** As `close`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
