// Bodies out of files: one part, or several as multipart/byteranges; read ahead of what is sent, in bounded memory.
// Flow: serve-files.ts, connection.ts → this → Uring.read, TcpStream.write.

import type { BodySource } from '../net/http/answer.ts'
import type { TcpStream } from '../net/tcp-stream.ts'
import type { Uring } from '../runtime/uring.ts'
import type { Part } from './serve-conditions.ts'

/** One block is read while another is sent. */
const BLOCK = 131072
/** What a download gets when many others have blocks already. */
const SMALL_BLOCK = 16384
const SMALL_FROM = 512
/** Blocks kept for the next download. */
const KEPT = 32

/** Blocks of the ring's own memory. */
export class Blocks {
  readonly #ring: Uring
  readonly #free: Buffer[] = []
  #lent = 0

  constructor(ring: Uring) {
    this.#ring = ring
  }

  take(): Buffer {
    this.#lent++
    if (this.#lent > SMALL_FROM) return this.#ring.alloc(SMALL_BLOCK)
    return this.#free.pop() ?? this.#ring.alloc(BLOCK)
  }

  give(block: Buffer): void {
    this.#lent--
    if (block.length === BLOCK && this.#free.length < KEPT) this.#free.push(block)
    else this.#ring.free(block)
  }
}

/** A piece of a body: bytes as they are, or a part of the file. */
export type Piece = Uint8Array | Part

export class FileBody implements BodySource {
  readonly #ring: Uring
  readonly #blocks: Blocks
  readonly #fd: number
  readonly #pieces: readonly Piece[]
  #closed = false

  /** Takes over `fd`. */
  constructor(ring: Uring, blocks: Blocks, fd: number, pieces: readonly Piece[]) {
    this.#ring = ring
    this.#blocks = blocks
    this.#fd = fd
    this.#pieces = pieces
  }

  /** @throws {Error} the file became shorter: its length was promised already, so the connection has to end */
  async send(stream: TcpStream): Promise<void> {
    for (const piece of this.#pieces) {
      if (piece instanceof Uint8Array) await stream.write(piece)
      else await this.#sendPart(stream, piece)
    }
  }

  async #sendPart(stream: TcpStream, { start, end }: Part): Promise<void> {
    const one = this.#blocks.take()
    const two = end - start > one.length ? this.#blocks.take() : null
    let writing: Promise<number> | null = null
    try {
      let block = one
      for (let position = start; position < end; ) {
        const length = Math.min(block.length, end - position)
        const bytes = await this.#ring.read(this.#fd, block, { position, length })
        if (bytes === 0) throw new Error('the file became shorter while it was sent')
        await writing
        writing = stream.write(block.subarray(0, bytes))
        // It is awaited below; until then a failure must not count as unhandled.
        writing.catch(() => {})
        position += bytes
        block = block === one && two !== null ? two : one
        if (two === null) await writing
      }
      await writing
    } finally {
      // The kernel may be reading from a block until its write has settled.
      await writing?.catch(() => {})
      this.#blocks.give(one)
      if (two !== null) this.#blocks.give(two)
    }
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#ring.closeFile(this.#fd).catch(() => {})
  }
}

let boundaries = 0

/** The pieces of a multipart/byteranges body, its boundary and its length. */
export function multipart(
  parts: readonly Part[],
  type: string,
  size: number,
): { boundary: string; pieces: Piece[]; length: number } {
  const boundary = `ringcore${process.pid.toString(36)}${Date.now().toString(36)}${(boundaries++).toString(36)}`
  const pieces: Piece[] = []
  for (const part of parts) {
    const range = `${part.start}-${part.end - 1}/${size}`
    pieces.push(
      Buffer.from(`\r\n--${boundary}\r\nContent-Type: ${type}\r\nContent-Range: bytes ${range}\r\n\r\n`, 'latin1'),
      part,
    )
  }
  pieces.push(Buffer.from(`\r\n--${boundary}--\r\n`))
  const length = pieces.reduce(
    (sum, piece) => sum + (piece instanceof Uint8Array ? piece.length : piece.end - piece.start),
    0,
  )
  return { boundary, pieces, length }
}
