// Sends bytes of a file in their place among what was written.
// Flow: socket-stream.ts → this → sender.ts, runtime (read, splice, poll). man splice(2)
//
// Small files are read and sent: a read of what the page cache has ends at once, and the next block is read while one is sent. Large
// ones are spliced through a pipe, which copies nothing but always goes to a worker of the kernel: it measured better from about
// 100 KB on. No worker waits for a slow peer: a socket that is full is polled.

import { fstatSync } from 'node:fs'
import { checkTarget, type FileTarget } from '../runtime/operations.ts'
import type { Resource } from '../runtime/resource.ts'
import type { Uring } from '../runtime/uring.ts'
import {
  F_GETFL,
  F_SETFL,
  F_SETPIPE_SZ,
  O_CLOEXEC,
  POLLOUT,
  SOCK_NONBLOCK,
  SPLICE_F_MORE,
  SPLICE_F_NONBLOCK,
} from '../sys/constants.ts'
import type { Driver } from '../sys/driver.ts'
import { EAGAIN, ECANCELED, EINVAL } from '../sys/errno.ts'
import { argumentTypeError, invalidArgument, socketError } from '../sys/error.ts'
import { closeFd, syscallNumbers } from '../sys/syscalls.ts'
import { checkInteger } from '../sys/validate.ts'
import type { Abortable } from './abort.ts'
import type { Reservation, Sender } from './sender.ts'

export interface SendFileOptions extends Abortable {
  /** Where in the file to begin; default 0. */
  offset?: number | undefined
  /** Bytes to send; default: up to the file's end. */
  length?: number | undefined
}

/** A file: an fd, a `Resource`, a direct descriptor, or what has an fd, as `File` and Node's FileHandle do. */
export type SendFileSource = FileTarget | { readonly fd: number }

const nr = syscallNumbers()
/** Files from this size on are spliced. */
const SPLICE_FROM = 262144
const PIPE_BYTES = 1 << 20
const BLOCK_BYTES = 131072
/** Free blocks that a ring keeps. */
const BLOCKS_KEPT = 16

const pools = new WeakMap<Uring, Buffer[]>()

function takeBlock(ring: Uring): Buffer {
  return pools.get(ring)?.pop() ?? ring.alloc(BLOCK_BYTES)
}

function giveBlock(ring: Uring, block: Buffer): void {
  let pool = pools.get(ring)
  if (pool === undefined) {
    pool = []
    pools.set(ring, pool)
  }
  if (pool.length < BLOCKS_KEPT) pool.push(block)
  else if (!ring.closed) ring.free(block)
}

/** A pipe for bytes on their way from file to socket. */
interface Pipe {
  reader: number
  writer: number
  bytes: number
}

/** Makes a pipe, as large as the limits allow; null when no descriptor is free. */
function makePipe(driver: Driver): Pipe | null {
  const fds = new Int32Array(2)
  if (driver.syscall(nr.pipe2, driver.addressOf(fds), O_CLOEXEC) < 0) return null
  const [reader, writer] = [fds[0]!, fds[1]!]
  const bytes = driver.syscall(nr.fcntl, writer, F_SETPIPE_SZ, PIPE_BYTES)
  return { reader, writer, bytes: bytes > 0 ? bytes : 4096 }
}

/** A file's turn in a stream. */
class FileTurn implements Reservation {
  readonly #ring: Uring
  readonly #sender: Sender
  readonly #socket: Resource
  readonly #file: FileTarget
  #position: number
  #missing: number
  #sent = 0
  #failure: Error | null = null
  #resolve!: (bytes: number) => void
  #reject!: (error: Error) => void
  readonly promise: Promise<number>

  constructor(
    ring: Uring,
    sender: Sender,
    socket: Resource,
    file: FileTarget,
    range: { offset: number; length: number },
  ) {
    this.#ring = ring
    this.#sender = sender
    this.#socket = socket
    this.#file = file
    this.#position = range.offset
    this.#missing = range.length
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  begin(): void {
    this.#run().then(
      () => {
        this.#sender.release(this.#missing)
        this.#resolve(this.#sent)
      },
      (error: Error) => {
        if (this.#failure !== null) return
        this.#sender.release(this.#missing)
        this.#reject(Object.assign(error, { bytesSent: this.#sent }))
      },
    )
  }

  /** The stream has failed. A block that the kernel still reads is given back when it has let go: see `Sender.fill`. */
  fail(error: Error): void {
    this.#failure = error
    this.#reject(error)
  }

  async #run(): Promise<void> {
    if (this.#missing < SPLICE_FROM || !(await this.#splice())) await this.#pump()
  }

  /** Moves the bytes through a pipe; false when that can't be, and nothing was moved. */
  async #splice(): Promise<boolean> {
    const { driver } = this.#ring.ring
    const pipe = makePipe(driver)
    if (pipe === null) return false
    const flags = driver.syscall(nr.fcntl, this.#socket.fd, F_GETFL)
    // SPLICE_F_NONBLOCK counts for the pipe alone: what keeps a worker from waiting for the socket is the socket's own flag.
    driver.syscall(nr.fcntl, this.#socket.fd, F_SETFL, flags | SOCK_NONBLOCK)
    try {
      while (this.#missing > 0) {
        const bytes = await this.#fromFile(pipe)
        if (bytes < 0) return false
        if (bytes === 0) return true
        this.#position += bytes
        for (let left = bytes; left > 0; ) left -= await this.#toSocket(pipe, left)
      }
      return true
    } finally {
      if (this.#socket.fd >= 0) driver.syscall(nr.fcntl, this.#socket.fd, F_SETFL, flags)
      closeFd(driver, pipe.reader)
      closeFd(driver, pipe.writer)
    }
  }

  /** Fills the pipe; -1 when the very first bytes show that this file can't be spliced. */
  async #fromFile({ writer, bytes }: Pipe): Promise<number> {
    const length = Math.min(this.#missing, bytes)
    try {
      return await this.#ring.splice(this.#file, this.#position, writer, -1, length)
    } catch (error) {
      if (this.#sent === 0 && (error as NodeJS.ErrnoException).errno === -EINVAL) return -1
      throw error
    }
  }

  /** Empties the pipe into the socket, as much as that takes now; waits when that is nothing. */
  async #toSocket({ reader }: Pipe, length: number): Promise<number> {
    const flags = SPLICE_F_NONBLOCK | (this.#missing > length ? SPLICE_F_MORE : 0)
    for (;;) {
      if (this.#failure !== null) throw this.#failure
      try {
        const bytes = await this.#ring.splice(reader, -1, this.#socket, -1, length, flags)
        this.#sender.filled(bytes)
        this.#missing -= bytes
        this.#sent += bytes
        return bytes
      } catch (error) {
        const { errno = 0 } = error as NodeJS.ErrnoException
        if (errno !== -EAGAIN) throw this.#socketFailure(error as Error, errno)
        await this.#ring.poll(this.#socket, POLLOUT).catch((reason: NodeJS.ErrnoException) => {
          throw this.#socketFailure(reason, reason.errno ?? 0)
        })
      }
    }
  }

  /** The stream can't go on: its other writes are told too. */
  #socketFailure(error: Error, errno: number): Error {
    if (this.#failure !== null) return this.#failure
    const closed = this.#socket.fd < 0
    const reason = errno === 0 ? error : socketError(closed ? -ECANCELED : errno, 'write')
    this.#sender.abandon(reason)
    return reason
  }

  async #pump(): Promise<void> {
    const ring = this.#ring
    let block = takeBlock(ring)
    let other: Buffer | null = null
    let reading: Promise<number> | null = this.#read(block)
    try {
      while (reading !== null) {
        const bytes: number = await reading
        reading = null
        if (this.#failure !== null) throw this.#failure
        if (bytes === 0) return
        this.#missing -= bytes
        this.#position += bytes
        const full = block
        if (this.#missing > 0) {
          block = other ?? takeBlock(ring)
          other = full
          reading = this.#read(block)
          // The send may fail first; this is awaited in any case.
          reading.catch(() => {})
        }
        await this.#send(full.subarray(0, bytes))
      }
    } finally {
      await reading?.catch(() => {})
      giveBlock(ring, block)
      if (other !== null) giveBlock(ring, other)
    }
  }

  #read(block: Buffer): Promise<number> {
    const length = Math.min(this.#missing, block.length)
    return this.#ring.readFixed(this.#file, block, { position: this.#position, length })
  }

  async #send(bytes: Buffer): Promise<void> {
    await new Promise<void>((resolve) => this.#sender.fill(bytes, resolve))
    if (this.#failure !== null) throw this.#failure
    this.#sent += bytes.length
  }
}

/** See `SocketStream.sendFile`. */
export function sendFile(
  ring: Uring,
  sender: Sender,
  socket: Resource,
  source: SendFileSource,
  options: SendFileOptions,
): Promise<number> {
  const file = targetOf(source)
  const { offset = 0, length = restOf(file, offset) } = options
  checkInteger('options.offset', offset, 0)
  checkInteger('options.length', length, 0)
  if (length === 0) return Promise.resolve(0)
  const turn = new FileTurn(ring, sender, socket, file, { offset, length })
  sender.reserve(length, turn)
  return turn.promise
}

function targetOf(source: SendFileSource): FileTarget {
  if (typeof source === 'object' && source !== null && 'fd' in source && typeof source.fd === 'number') {
    checkTarget(source.fd, 'read')
    // A Resource is held while it is used, a bare number is not.
    return isTarget(source) ? source : source.fd
  }
  if (typeof source !== 'number' && !isTarget(source)) {
    throw argumentTypeError(
      'file',
      'of type number, a Resource, a FixedFile, or an object with an fd',
      source,
    )
  }
  checkTarget(source, 'read')
  return source
}

function isTarget(source: unknown): source is FileTarget {
  try {
    checkTarget(source)
    return typeof source === 'object'
  } catch {
    return false
  }
}

/** Bytes from `offset` to the end of a file. */
function restOf(file: FileTarget, offset: number): number {
  const fd = typeof file === 'number' ? file : 'fd' in file ? file.fd : -1
  if (fd < 0) throw invalidArgument('Cannot send the file: a direct descriptor needs options.length')
  return Math.max(0, fstatSync(fd).size - offset)
}
