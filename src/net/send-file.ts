// Sends bytes of a file in their place among what was written: reads a block while the one before is sent.
// Flow: socket-stream.ts → this → runtime (read), sender.ts.
//
// Not splice: it always goes to a worker of the kernel, which a slow peer then blocks, one worker for each; and up to some
// megabytes it measured slower (docs/net.md). A read of what the page cache has ends at once, and a send that must wait is polled.

import { fstatSync } from 'node:fs'
import { checkTarget, type FileTarget } from '../runtime/operations.ts'
import type { Uring } from '../runtime/uring.ts'
import { argumentTypeError, invalidArgument } from '../sys/error.ts'
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

/** A file's turn in a stream. */
class FileTurn implements Reservation {
  readonly #ring: Uring
  readonly #sender: Sender
  readonly #file: FileTarget
  #position: number
  #missing: number
  #sent = 0
  #failure: Error | null = null
  #resolve!: (bytes: number) => void
  #reject!: (error: Error) => void
  readonly promise: Promise<number>

  constructor(ring: Uring, sender: Sender, file: FileTarget, range: { offset: number; length: number }) {
    this.#ring = ring
    this.#sender = sender
    this.#file = file
    this.#position = range.offset
    this.#missing = range.length
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  begin(): void {
    this.#pump().then(
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
  source: SendFileSource,
  options: SendFileOptions,
): Promise<number> {
  const file = targetOf(source)
  const { offset = 0, length = restOf(file, offset) } = options
  checkInteger('options.offset', offset, 0)
  checkInteger('options.length', length, 0)
  if (length === 0) return Promise.resolve(0)
  const turn = new FileTurn(ring, sender, file, { offset, length })
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
