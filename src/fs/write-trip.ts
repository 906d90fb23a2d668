// Writes a small file in one trip: open and write as one chain, which the kernel runs on a worker because it makes a name; then
// fsync when it is wanted, and the close.
// Flow: write-file.ts, write-files.ts → this → engine.ts (open → write, linked, on a direct descriptor of the worker ring).
// The close is an entry of its own. What a worker closes is let go a moment after its completion, and a program that was just
// written could not be executed yet (ETXTBSY); and a write that came up short goes on where it stopped.

import { prepWrite } from '../op/prep-file.ts'
import { prepCloseDirect, prepOpenatDirect } from '../op/prep-path.ts'
import { putPath } from '../runtime/operations.ts'
import { pathText } from '../runtime/operations-path.ts'
import type { FixedFile } from '../runtime/resource.ts'
import type { Sink } from '../runtime/slots.ts'
import type { Uring } from '../runtime/uring.ts'
import {
  IORING_OP_CLOSE,
  IORING_OP_OPENAT,
  IORING_OP_WRITE,
  IOSQE_FIXED_FILE,
  IOSQE_IO_LINK,
} from '../sys/abi.ts'
import { AT_FDCWD } from '../sys/constants.ts'
import { EIO } from '../sys/errno.ts'
import { bufferDetachedError, errnoError } from '../sys/error.ts'
import { File } from './file.ts'
import { type Receiver, Step, Trip, Trips } from './trips.ts'

/** Data up to this size is copied at once and is the caller's again. */
const ROOM = 4096
/** Most bytes of one write: between two of them an abort is heard. */
const PIECE = 16 * 1024 * 1024
const STEPS = 2

/** How a file is opened and left. */
export interface WriteMode {
  /** O_* */
  flags: number
  /** Permissions of a new file, less the umask. */
  mode: number
  /** fsync before the close. */
  flush: boolean
}

export class WriteTrip extends Trip<void> {
  readonly #pool: Trips<WriteTrip>
  readonly #room: Buffer
  readonly #roomAddress: number
  readonly #open = new Step(this)
  readonly #write = new Step(this)
  protected readonly steps = [this.#open, this.#write]
  readonly #closed: Sink = { onCqe: (res) => this.#ended(res) }
  #name: string | Uint8Array = ''
  #data: Uint8Array = new Uint8Array(0)
  #length = 0
  #flush = false
  #error: Error | null = null

  constructor(pool: Trips<WriteTrip>, ring: Uring, file: FixedFile) {
    super(ring, file)
    this.#pool = pool
    this.#room = ring.alloc(ROOM)
    this.#roomAddress = ring.engine.addresses.of(this.#room)
  }

  /** Begins the steps and returns their promise. */
  start(name: string | Uint8Array, data: Uint8Array, how: WriteMode, signal?: AbortSignal): Promise<void> {
    this.#begin(name, data, how, signal)
    return new Promise(this.setPromise)
  }

  /** Begins the steps; `receiver` hears of the end. */
  startFor(
    receiver: Receiver<void>,
    name: string | Uint8Array,
    data: Uint8Array,
    how: WriteMode,
    signal?: AbortSignal,
  ): void {
    this.receiver = receiver
    this.#begin(name, data, how, signal)
  }

  #begin(name: string | Uint8Array, data: Uint8Array, how: WriteMode, signal: AbortSignal | undefined): void {
    const { engine } = this.ring
    const { length } = data
    let address = this.#roomAddress
    try {
      // Before anything is claimed: memory that may not be lent is refused here.
      if (length > ROOM) address = engine.addresses.of(data)
      this.watch(signal)
    } catch (error) {
      this.receiver = null
      this.#pool.give(this)
      throw error
    }
    this.#name = name
    this.#data = data
    this.#length = length
    this.#flush = how.flush
    this.#error = null
    this.#write.result = 0
    const open = this.begin(IORING_OP_OPENAT, this.#open, length > 0 ? IOSQE_IO_LINK : 0)
    prepOpenatDirect(open.sqe, AT_FDCWD, putPath(engine, open, name), how.flags, how.mode, this.file.index)
    engine.commit(open)
    if (length > 0) {
      const write = this.begin(IORING_OP_WRITE, this.#write, IOSQE_FIXED_FILE)
      if (length > ROOM) {
        write.view = data
        write.length = length
      } else this.#room.set(data)
      prepWrite(write.sqe, this.file.index, address, Math.min(length, PIECE), -1)
      engine.commit(write)
    }
    this.begun()
  }

  protected arrived(): void {
    const open = this.#open.result
    const written = this.#write.result
    if (open < 0) {
      this.path = pathText(this.#name)
      const error = this.errorOf(open, 'open')
      this.#data = NOTHING
      this.#pool.give(this)
      this.fail(error)
      return
    }
    if (written < 0) {
      this.path = pathText(this.#name)
      this.#error = this.errorOf(written, 'write')
      this.#close()
    } else if (written < this.#length || this.#flush) {
      this.#writeOn(written).then(
        () => this.#close(),
        (error) => {
          this.#error = error
          this.#close()
        },
      )
    } else this.#close()
  }

  /** A write that came up short (a full disk, a quota, a signal, a long file) goes on until all is written or an error says why not. */
  async #writeOn(from: number): Promise<void> {
    const { ring, file } = this
    const signal = this.signal ?? undefined
    this.path = pathText(this.#name)
    // What was copied is no longer the caller's to keep as it was.
    const data = this.#length > ROOM ? this.#data : this.#room.subarray(0, this.#length)
    let syscall = 'write'
    try {
      for (let at = from; at < this.#length; ) {
        if (data.length !== this.#length) throw bufferDetachedError('data')
        const length = Math.min(this.#length - at, PIECE)
        // With a position: after a write that an error cut short, the kernel (6.18) leaves the file's own where it was.
        const bytes = await ring.write(file, data, { offset: at, length, position: at, signal })
        if (bytes === 0) throw this.errorOf(-EIO, 'write')
        at += bytes
      }
      syscall = 'fsync'
      if (this.#flush) await ring.fsync(file, { signal })
    } catch (error) {
      const { errno } = error as NodeJS.ErrnoException
      throw errno === undefined ? error : this.errorOf(errno, syscall)
    }
  }

  #close(): void {
    const { engine } = this.ring
    this.#data = NOTHING
    const slot = engine.hasRoom(1) ? engine.begin(IORING_OP_CLOSE, undefined) : null
    if (slot === null) {
      this.ring.closeFixed(this.file).then(
        () => this.#ended(0),
        (error) => {
          this.#error ??= error
          this.#ended(0)
        },
      )
      return
    }
    slot.sink = this.#closed
    prepCloseDirect(slot.sqe, this.file.index)
    engine.commit(slot)
  }

  #ended(res: number): void {
    let error = this.#error
    if (res < 0 && error === null) {
      this.path = pathText(this.#name)
      error = this.errorOf(res, 'close')
    }
    this.#error = null
    this.#pool.give(this)
    if (error === null) this.succeed(undefined)
    else this.fail(error)
  }
}

const NOTHING = new Uint8Array(0)

/** The longer way: with an fd, for as many files at once as there are fds. */
export async function writeThroughFile(
  name: string | Uint8Array,
  data: Uint8Array,
  { flags, mode, flush }: WriteMode,
  ring: Uring,
  signal?: AbortSignal,
): Promise<void> {
  const file = await File.open(name, flags, { ring, mode, signal })
  try {
    for (let at = 0; at < data.length; ) {
      const length = Math.min(data.length - at, PIECE)
      const bytes = await file.write(data, { offset: at, length, signal })
      if (bytes === 0) throw errnoError(-EIO, 'write', { path: pathText(name) })
      at += bytes
    }
    if (flush) await file.sync()
  } finally {
    await file.close()
  }
}

const pools = new WeakMap<Uring, Trips<WriteTrip>>()

/** The trips of a worker ring. */
export function writeTrips(ring: Uring): Trips<WriteTrip> {
  let trips = pools.get(ring)
  if (trips === undefined) {
    trips = new Trips<WriteTrip>(ring, STEPS, (pool, file) => new WriteTrip(pool, ring, file))
    pools.set(ring, trips)
  }
  return trips
}
