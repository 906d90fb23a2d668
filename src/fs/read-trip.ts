// Reads a small file in a single trip: open, read, read again to see the end. The open of the next file into the same place closes it,
// or else a close at the end of the turn.
// Flow: read-file.ts, read-files.ts → this → engine.ts (open → read → read, linked, on a direct descriptor).
// Why read twice: a short read is the end of a regular file, but not of a pipe, a terminal, or a file of /proc.

import { constants } from 'node:fs'
import { prepRead } from '../op/prep-file.ts'
import { prepCloseDirect, prepOpenatDirect } from '../op/prep-path.ts'
import { putPath } from '../runtime/operations.ts'
import { pathText } from '../runtime/operations-path.ts'
import type { FixedFile } from '../runtime/resource.ts'
import type { Sink } from '../runtime/slots.ts'
import type { Uring } from '../runtime/uring.ts'
import {
  IORING_OP_CLOSE,
  IORING_OP_OPENAT,
  IORING_OP_READ,
  IOSQE_FIXED_FILE,
  IOSQE_IO_HARDLINK,
  IOSQE_IO_LINK,
} from '../sys/abi.ts'
import { AT_FDCWD, STATX_SIZE, STATX_TYPE } from '../sys/constants.ts'
import { EINVAL } from '../sys/errno.ts'
import { ringcoreError } from '../sys/error.ts'
import { File } from './file.ts'
import { type Receiver, Step, Trip, Trips } from './trips.ts'

/** What the single trip can bring; more is read on from the same descriptor. */
const ROOM = 8192
/** Room of the read that is to see the end. */
const TAIL = 4096
/** Room for the rest of a longer file, before its size is asked for. */
const FIRST_GUESS = 65536
/** Most bytes of one read: between two of them an abort is heard. */
const PIECE = 16 * 1024 * 1024
/** Node's limit for a file in one Buffer. */
const LARGEST = 2 ** 31 - 1
const NEW_FILE_MODE = 0o666
const { S_IFMT, S_IFREG } = constants
const STEPS = 3

export class ReadTrip extends Trip<Buffer> {
  readonly #pool: ReadTrips
  readonly #room: Buffer
  readonly #roomAddress: number
  readonly #open = new Step(this)
  readonly #read = new Step(this)
  readonly #tail = new Step(this)
  protected readonly steps = [this.#open, this.#read, this.#tail]
  /** A file that was read is still open in the trip's place. */
  isOpen = false
  readonly #closed: Sink = { onCqe: () => this.#left() }
  #name: string | Uint8Array = ''
  #flags = 0

  constructor(pool: ReadTrips, ring: Uring, file: FixedFile) {
    super(ring, file)
    this.#pool = pool
    this.#room = ring.alloc(ROOM + TAIL)
    this.#roomAddress = ring.engine.addresses.of(this.#room)
  }

  /** Begins the three steps and returns their promise. */
  start(name: string | Uint8Array, flags: number, signal: AbortSignal | undefined): Promise<Buffer> {
    this.#begin(name, flags, signal)
    return new Promise(this.setPromise)
  }

  /** Begins the three steps; `receiver` hears of the end. */
  startFor(receiver: Receiver<Buffer>, name: string | Uint8Array, flags: number, signal?: AbortSignal): void {
    this.receiver = receiver
    this.#begin(name, flags, signal)
  }

  #begin(name: string | Uint8Array, flags: number, signal: AbortSignal | undefined): void {
    const { engine } = this.ring
    try {
      this.watch(signal)
    } catch (error) {
      this.receiver = null
      this.#pool.give(this)
      throw error
    }
    this.#name = name
    this.#flags = flags
    const open = this.begin(IORING_OP_OPENAT, this.#open, IOSQE_IO_LINK)
    const address = putPath(engine, open, name)
    prepOpenatDirect(open.sqe, AT_FDCWD, address, flags, NEW_FILE_MODE, this.file.index)
    engine.commit(open)
    const read = this.begin(IORING_OP_READ, this.#read, IOSQE_IO_HARDLINK | IOSQE_FIXED_FILE)
    prepRead(read.sqe, this.file.index, this.#roomAddress, ROOM, -1)
    engine.commit(read)
    const tail = this.begin(IORING_OP_READ, this.#tail, IOSQE_FIXED_FILE)
    prepRead(tail.sqe, this.file.index, this.#roomAddress + ROOM, TAIL, -1)
    engine.commit(tail)
    this.begun()
  }

  protected arrived(): void {
    const open = this.#open.result
    const bytes = this.#read.result
    const more = this.#tail.result
    if (open < 0) {
      this.path = pathText(this.#name)
      this.#pool.give(this)
      this.fail(this.errorOf(open, 'open'))
      return
    }
    this.isOpen = true
    if (bytes >= 0 && more > 0) {
      this.#readOn(bytes, more)
    } else if (bytes < 0 || more < 0) {
      this.#pool.give(this)
      this.#failed(bytes < 0 ? bytes : more)
    } else {
      // The place is free before the receiver hears of it, so that it may begin the next file at once.
      const content = Buffer.allocUnsafe(bytes)
      this.#room.copy(content, 0, 0, bytes)
      this.#pool.give(this)
      this.succeed(content)
    }
  }

  #failed(res: number): void {
    if (res === -EINVAL) {
      // The file takes reads of certain sizes only (a device): as File reads it, or not at all.
      this.follow(readThroughFile(this.#name, this.#flags, this.ring, this.signal ?? undefined))
      return
    }
    this.path = pathText(this.#name)
    this.fail(this.errorOf(res, 'read'))
  }

  /** More than a trip brings: goes on until nothing more comes. */
  #readOn(bytes: number, more: number): void {
    const { receiver } = this
    const signal = this.signal ?? undefined
    this.#readAll(bytes, more, receiver, signal).then(
      (content) => {
        this.#pool.give(this)
        this.succeed(content)
      },
      (error) => {
        this.#pool.give(this)
        this.fail(error)
      },
    )
  }

  async #readAll(
    bytes: number,
    more: number,
    receiver: Receiver<Buffer> | null,
    signal: AbortSignal | undefined,
  ): Promise<Buffer> {
    await receiver?.reserve?.(FIRST_GUESS)
    let content = Buffer.allocUnsafeSlow(FIRST_GUESS)
    this.#room.copy(content, 0, 0, bytes)
    this.#room.copy(content, bytes, ROOM, ROOM + more)
    let filled = bytes + more
    if (bytes < ROOM && (await this.#mustReadAgain(signal))) filled = bytes
    for (;;) {
      const length = Math.min(content.length - filled, PIECE)
      const got = await this.#readPiece(content, filled, length, signal)
      if (got === 0) return content.subarray(0, filled)
      filled += got
      if (filled < content.length) continue
      // The size is only a hint, asked for once: the file may grow, or be one of those that say 0.
      const { size } =
        filled === FIRST_GUESS ? await this.ring.statx(this.#name, { mask: STATX_SIZE, signal }) : { size: 0 }
      const wanted = Math.max(size + 1, filled * 2)
      if (filled > LARGEST || size > LARGEST) throw tooLarge(Math.max(size, filled))
      await receiver?.reserve?.(wanted - content.length)
      const larger = Buffer.allocUnsafeSlow(Math.min(wanted, LARGEST + 1))
      content.copy(larger)
      content = larger
    }
  }

  /**
   * A short read, and then more: so it is with pipes and files of /proc. When an ordinary file does so, an error (of the disk) cut
   * the first read short; then the kernel (6.18) leaves the file's own position where it was, and the second read began there too.
   */
  async #mustReadAgain(signal: AbortSignal | undefined): Promise<boolean> {
    const { mode, size } = await this.ring.statx(this.#name, { mask: STATX_SIZE | STATX_TYPE, signal })
    return (mode & S_IFMT) === S_IFREG && size > 0
  }

  async #readPiece(content: Buffer, offset: number, length: number, signal: AbortSignal | undefined) {
    try {
      return await this.ring.read(this.file, content, { offset, length, position: offset, signal })
    } catch (error) {
      const { errno } = error as NodeJS.ErrnoException
      this.path = pathText(this.#name)
      throw errno === undefined ? error : this.errorOf(errno, 'read')
    }
  }

  /** Nobody waits for the close, but the next file must, as it opens into the same place. */
  close(): void {
    const { engine } = this.ring
    const slot = engine.hasRoom(1) ? engine.begin(IORING_OP_CLOSE, undefined) : null
    if (slot === null) {
      const left = (): void => this.#left()
      this.ring.closeFixed(this.file).then(left, left)
      return
    }
    slot.sink = this.#closed
    prepCloseDirect(slot.sqe, this.file.index)
    engine.commit(slot)
  }

  #left(): void {
    this.isOpen = false
    this.#pool.give(this)
  }
}

/** Closes what the trips that are free left open, unless they began again within the turn. */
export class ReadTrips extends Trips<ReadTrip> {
  #isSweeping = false

  constructor(ring: Uring) {
    super(ring, STEPS, (_, file) => new ReadTrip(this, ring, file))
  }

  override give(trip: ReadTrip): void {
    super.give(trip)
    if (!trip.isOpen || this.#isSweeping) return
    this.#isSweeping = true
    queueMicrotask(this.#later)
  }

  /** Behind all that hears of the files in this turn and may read others. */
  readonly #later = (): void => process.nextTick(this.#sweep)

  readonly #sweep = (): void => {
    this.#isSweeping = false
    if (this.ring.closed) return // the table goes with the ring
    const open = this.free.filter((trip) => trip.isOpen)
    if (open.length === 0) return
    const closed = this.free.filter((trip) => !trip.isOpen)
    this.free.splice(0, this.free.length, ...closed)
    for (const trip of open) trip.close()
  }
}

/** The longer way: with an fd, for as many files at once as there are fds. */
export async function readThroughFile(
  name: string | Uint8Array,
  flags: number,
  ring: Uring,
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  const file = await File.open(name, flags, { ring, signal })
  try {
    return await file.readToEnd({ signal })
  } finally {
    await file.close()
  }
}

/** As Node's own: ERR_FS_FILE_TOO_LARGE. */
export function tooLarge(size: number): Error {
  return ringcoreError(RangeError, 'ERR_FS_FILE_TOO_LARGE', `File size (${size}) is greater than 2 GiB`)
}

const pools = new WeakMap<Uring, ReadTrips>()

/** The trips of a ring. */
export function readTrips(ring: Uring): ReadTrips {
  let trips = pools.get(ring)
  if (trips === undefined) {
    trips = new ReadTrips(ring)
    pools.set(ring, trips)
  }
  return trips
}
