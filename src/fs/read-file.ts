// Whole files. A small one takes a single trip to the kernel: open, read, read again to see the end; its close goes down with
// whatever comes next.
// Flow: the program → this → engine.ts (open → read → read, linked, on a direct descriptor), file.ts for the rest.
// No descriptor of the process is used, and nothing is allocated per file but its promise and its bytes.
// Why read twice: a short read is the end of a regular file, but not of a pipe, a terminal, or a file of /proc.

import { prepRead } from '../op/prep-file.ts'
import { prepCloseDirect, prepOpenatDirect } from '../op/prep-path.ts'
import { defaultRing } from '../runtime/executor.ts'
import { checkPath, type PathLike, putPath } from '../runtime/operations.ts'
import { openFlags } from '../runtime/operations-path.ts'
import type { FixedFile } from '../runtime/resource.ts'
import type { Sink, Slot } from '../runtime/slots.ts'
import type { Uring } from '../runtime/uring.ts'
import {
  IORING_OP_CLOSE,
  IORING_OP_OPENAT,
  IORING_OP_READ,
  IOSQE_FIXED_FILE,
  IOSQE_IO_HARDLINK,
  IOSQE_IO_LINK,
} from '../sys/abi.ts'
import { AT_FDCWD, STATX_SIZE } from '../sys/constants.ts'
import { EINVAL } from '../sys/errno.ts'
import { errnoError, ringClosedError } from '../sys/error.ts'
import { File } from './file.ts'

export interface ReadFileOptions {
  /** The ring to work on; default: the thread's. */
  ring?: Uring | undefined
  signal?: AbortSignal | undefined
}

/** What the single trip can bring; more is read on from the same descriptor. */
const ROOM = 8192
/** Room of the read that is to see the end. */
const TAIL = 4096
/** Room for the rest of a longer file, before its size is asked for. */
const FIRST_GUESS = 65536
/** Files read at once on this way; more take the other one. */
const JOBS = 128
const READ_ONLY = openFlags('r')
const ECANCELED = -125

class Step implements Sink {
  readonly #job: Job
  result = 0

  constructor(job: Job) {
    this.#job = job
  }

  onCqe(res: number): void {
    this.result = res
    this.#job.stepDone()
  }
}

/** One file being read; its memory and its direct descriptor serve the next file after it. */
class Job {
  readonly #files: SmallFiles
  readonly #ring: Uring
  readonly #file: FixedFile
  readonly #room: Buffer
  readonly #roomAddress: number
  readonly #open = new Step(this)
  readonly #read = new Step(this)
  readonly #tail = new Step(this)
  readonly #closed: Sink = { onCqe: () => this.#files.give(this) }
  #left = 0
  #path: PathLike = ''
  #resolve!: (content: Buffer | Promise<Buffer>) => void
  #reject!: (error: Error) => void

  constructor(files: SmallFiles, ring: Uring, file: FixedFile) {
    this.#files = files
    this.#ring = ring
    this.#file = file
    this.#room = ring.alloc(ROOM + TAIL)
    this.#roomAddress = ring.engine.addresses.of(this.#room)
  }

  readonly #setPromise = (
    resolve: (content: Buffer | Promise<Buffer>) => void,
    reject: (error: Error) => void,
  ): void => {
    this.#resolve = resolve
    this.#reject = reject
  }

  /** Begins the three steps; the caller made sure of room for them. */
  start(path: PathLike, name: string | Uint8Array): Promise<Buffer> {
    const { engine } = this.#ring
    this.#path = path
    this.#left = 3
    const open = this.#begin(IORING_OP_OPENAT, this.#open, IOSQE_IO_LINK)
    prepOpenatDirect(open.sqe, AT_FDCWD, putPath(engine, open, name), READ_ONLY, 0, this.#file.index)
    engine.commit(open)
    const read = this.#begin(IORING_OP_READ, this.#read, IOSQE_IO_HARDLINK | IOSQE_FIXED_FILE)
    prepRead(read.sqe, this.#file.index, this.#roomAddress, ROOM, -1)
    engine.commit(read)
    const tail = this.#begin(IORING_OP_READ, this.#tail, IOSQE_FIXED_FILE)
    prepRead(tail.sqe, this.#file.index, this.#roomAddress + ROOM, TAIL, -1)
    engine.commit(tail)
    return new Promise(this.#setPromise)
  }

  #begin(opcode: number, sink: Sink, flags: number): Slot {
    const slot = this.#ring.engine.begin(opcode, undefined)!
    slot.sink = sink
    slot.sqeFlags = flags
    return slot
  }

  stepDone(): void {
    if (--this.#left > 0) return
    const open = this.#open.result
    const bytes = this.#read.result
    const more = this.#tail.result
    if (open < 0) {
      this.#files.give(this)
      this.#reject(this.#errorOf(open, 'open'))
    } else if (bytes >= 0 && more > 0) {
      this.#resolve(this.#readOn(bytes, more))
    } else {
      const error = bytes < 0 ? bytes : more
      if (error === -EINVAL) this.#resolve(readThroughFile(this.#path, { ring: this.#ring }))
      else if (error < 0) this.#reject(this.#errorOf(error, 'read'))
      else this.#resolve(this.#copy(bytes))
      this.#close()
    }
  }

  #copy(bytes: number): Buffer {
    const content = Buffer.allocUnsafe(bytes)
    this.#room.copy(content, 0, 0, bytes)
    return content
  }

  /** More than a trip brings: goes on until nothing more comes. */
  async #readOn(bytes: number, more: number): Promise<Buffer> {
    let content = Buffer.allocUnsafeSlow(FIRST_GUESS)
    this.#room.copy(content, 0, 0, bytes)
    this.#room.copy(content, bytes, ROOM, ROOM + more)
    try {
      for (let filled = bytes + more; ; ) {
        const got = await this.#ring.read(this.#file, content, { offset: filled })
        if (got === 0) return content.subarray(0, filled)
        filled += got
        if (filled < content.length) continue
        // The size is only a hint, asked for once: the file may grow, or be one of those that say 0.
        const { size } =
          filled === FIRST_GUESS ? await this.#ring.statx(this.#path, { mask: STATX_SIZE }) : { size: 0 }
        const larger = Buffer.allocUnsafeSlow(Math.max(size + 1, filled * 2))
        content.copy(larger)
        content = larger
      }
    } finally {
      this.#close()
    }
  }

  /** Nobody waits for the close, but the next file must: it opens into the same place. */
  #close(): void {
    const { engine } = this.#ring
    if (engine.closed) return
    const slot = engine.hasRoom(1) ? engine.begin(IORING_OP_CLOSE, undefined) : null
    if (slot === null) {
      this.#ring.closeFixed(this.#file).then(
        () => this.#files.give(this),
        () => {},
      )
      return
    }
    slot.sink = this.#closed
    prepCloseDirect(slot.sqe, this.#file.index)
    engine.commit(slot)
  }

  #errorOf(res: number, syscall: string): Error {
    if (res === ECANCELED && this.#ring.closed) return ringClosedError()
    // As node:fs/promises since Node 26; before, errors of read did not tell the path.
    return errnoError(res, syscall, { path: String(this.#path) })
  }
}

class SmallFiles {
  readonly #ring: Uring
  readonly #free: Job[] = []
  #made = 0

  constructor(ring: Uring) {
    this.#ring = ring
  }

  /** A job, or null when there is no room for one now, or the process may not have direct descriptors. */
  take(): Job | null {
    if (!this.#ring.engine.hasRoom(3)) return null
    const job = this.#free.pop()
    if (job !== undefined) return job
    if (this.#made === JOBS) return null
    try {
      const made = new Job(this, this.#ring, this.#ring.fixedFile())
      this.#made++
      return made
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EMFILE') throw error
      return null
    }
  }

  give(job: Job): void {
    this.#free.push(job)
  }
}

const smallFiles = new WeakMap<Uring, SmallFiles>()

function smallFilesOf(ring: Uring): SmallFiles {
  let files = smallFiles.get(ring)
  if (files === undefined) {
    files = new SmallFiles(ring)
    smallFiles.set(ring, files)
  }
  return files
}

/**
 * Reads a whole file.
 *
 * @returns its bytes, in memory of the caller's own
 * @throws ENOENT · EACCES · EISDIR · AbortError
 */
export function readFile(path: PathLike, options?: ReadFileOptions): Promise<Buffer> {
  try {
    const ring = options?.ring ?? defaultRing()
    if (ring.closed) throw ringClosedError()
    const name = checkPath(path)
    const job = options?.signal === undefined ? smallFilesOf(ring).take() : null
    return job === null ? readThroughFile(path, options) : job.start(path, name)
  } catch (error) {
    return Promise.reject(error)
  }
}

async function readThroughFile(path: PathLike, options?: ReadFileOptions): Promise<Buffer> {
  const file = await File.open(path, 'r', options)
  try {
    return await file.readToEnd()
  } finally {
    await file.close()
  }
}
