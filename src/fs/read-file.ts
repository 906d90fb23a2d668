// Whole files, read in one trip to the kernel while they are small.
// Flow: the program → this → engine.ts (open → read → read → close, hard-linked, into a direct descriptor), file.ts for the rest.
// No descriptor of the process is used, and nothing is allocated per file but its promise and its bytes.

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
} from '../sys/abi.ts'
import { AT_FDCWD } from '../sys/constants.ts'
import { EINVAL } from '../sys/errno.ts'
import { errnoError, ringClosedError } from '../sys/error.ts'
import { File } from './file.ts'

export interface ReadFileOptions {
  /** The ring to work on; default: the thread's. */
  ring?: Uring | undefined
  signal?: AbortSignal | undefined
}

/** A longer file is read again, through a File. One byte less than two pages: the second read has the last. */
const ROOM = 8191
/** Files read at once on this way; more take the other one. */
const JOBS = 128
/** open, read, read, close */
const STEPS = 4
const READ_ONLY = openFlags('r')

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
  readonly #reader: SmallFiles
  readonly #ring: Uring
  readonly #file: FixedFile
  readonly #room: Buffer
  readonly #roomAddress: number
  readonly #open = new Step(this)
  readonly #read = new Step(this)
  readonly #end = new Step(this)
  readonly #close = new Step(this)
  #left = 0
  #path: PathLike = ''
  #resolve!: (content: Buffer | null) => void
  #reject!: (error: Error) => void

  constructor(reader: SmallFiles, ring: Uring, file: FixedFile) {
    this.#reader = reader
    this.#ring = ring
    this.#file = file
    this.#room = ring.alloc(ROOM + 1)
    this.#roomAddress = ring.engine.addresses.of(this.#room)
  }

  readonly #setPromise = (
    resolve: (content: Buffer | null) => void,
    reject: (error: Error) => void,
  ): void => {
    this.#resolve = resolve
    this.#reject = reject
  }

  /**
   * Begins the steps; the caller made sure of room for them. The second read sees whether the first came to the end: files of
   * /proc give less than they have.
   */
  start(path: PathLike, name: string | Uint8Array): Promise<Buffer | null> {
    const { engine } = this.#ring
    this.#path = path
    this.#left = STEPS
    const open = this.#begin(IORING_OP_OPENAT, this.#open, IOSQE_IO_HARDLINK)
    prepOpenatDirect(open.sqe, AT_FDCWD, putPath(engine, open, name), READ_ONLY, 0, this.#file.index)
    engine.commit(open)
    const read = this.#begin(IORING_OP_READ, this.#read, IOSQE_IO_HARDLINK | IOSQE_FIXED_FILE)
    prepRead(read.sqe, this.#file.index, this.#roomAddress, ROOM, -1)
    engine.commit(read)
    const end = this.#begin(IORING_OP_READ, this.#end, IOSQE_IO_HARDLINK | IOSQE_FIXED_FILE)
    prepRead(end.sqe, this.#file.index, this.#roomAddress + ROOM, 1, -1)
    engine.commit(end)
    const close = this.#begin(IORING_OP_CLOSE, this.#close, 0)
    prepCloseDirect(close.sqe, this.#file.index)
    return new Promise(this.#setPromise)
  }

  #begin(opcode: number, step: Step, flags: number): Slot {
    const slot = this.#ring.engine.begin(opcode, undefined)!
    slot.sink = step
    slot.sqeFlags = flags
    return slot
  }

  stepDone(): void {
    if (--this.#left > 0) return
    const open = this.#open.result
    const bytes = this.#read.result
    this.#reader.give(this)
    if (open < 0) this.#reject(this.#errorOf(open, 'open'))
    else if (this.#end.result > 0 || bytes === -EINVAL) this.#resolve(null)
    else if (bytes < 0) this.#reject(this.#errorOf(bytes, 'read'))
    else this.#resolve(Buffer.from(this.#room.subarray(0, bytes)))
  }

  #errorOf(res: number, syscall: string): Error {
    if (this.#ring.closed) return ringClosedError()
    // As node:fs/promises: the path belongs to errors of open.
    return errnoError(res, syscall, syscall === 'open' ? { path: String(this.#path) } : undefined)
  }
}

class SmallFiles {
  readonly #ring: Uring
  readonly #free: Job[] = []
  #made = 0

  constructor(ring: Uring) {
    this.#ring = ring
  }

  /** A job, or null when all are busy or the process may not have direct descriptors. */
  #take(): Job | null {
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

  /** Reads a file, or says null when it must be done in another way: long, special, or too many at once. */
  read(path: PathLike, name: string | Uint8Array): Promise<Buffer | null> | null {
    if (!this.#ring.engine.hasRoom(STEPS)) return null
    const job = this.#take()
    return job === null ? null : job.start(path, name)
  }
}

const readers = new WeakMap<Uring, SmallFiles>()

/**
 * Reads a whole file.
 *
 * @returns its bytes, in memory of the caller's own
 * @throws ENOENT · EACCES · EISDIR · AbortError
 */
export async function readFile(path: PathLike, options?: ReadFileOptions): Promise<Buffer> {
  const ring = options?.ring ?? defaultRing()
  if (ring.closed) throw ringClosedError()
  const name = checkPath(path)
  if (options?.signal === undefined) {
    let reader = readers.get(ring)
    if (reader === undefined) {
      reader = new SmallFiles(ring)
      readers.set(ring, reader)
    }
    const content = reader.read(path, name)
    if (content !== null) {
      const bytes = await content
      if (bytes !== null) return bytes
    }
  }
  const file = await File.open(path, 'r', options)
  try {
    return await file.readToEnd()
  } finally {
    await file.close()
  }
}
