// Bodies out of files: one part, or several as multipart/byteranges.
// Flow: serve-files.ts, connection.ts → this → TcpStream.sendFile.

import type { BodySource } from '../net/http/answer.ts'
import type { TcpStream } from '../net/tcp-stream.ts'
import type { Uring } from '../runtime/uring.ts'
import type { Part } from './serve-conditions.ts'

/** A piece of a body: bytes as they are, or a part of the file. */
export type Piece = Uint8Array | Part

export class FileBody implements BodySource {
  readonly #ring: Uring
  readonly #fd: number
  readonly #pieces: readonly Piece[]
  #closed = false

  /** Takes over `fd`. */
  constructor(ring: Uring, fd: number, pieces: readonly Piece[]) {
    this.#ring = ring
    this.#fd = fd
    this.#pieces = pieces
  }

  /** @throws {Error} the file became shorter: its length was promised already, so the connection has to end */
  async send(stream: TcpStream): Promise<void> {
    for (const piece of this.#pieces) {
      if (piece instanceof Uint8Array) {
        stream.send(piece)
        continue
      }
      const length = piece.end - piece.start
      const sent = await stream.sendFile(this.#fd, { offset: piece.start, length })
      if (sent < length) throw new Error('The file became shorter while it was sent')
    }
    await stream.drained()
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
    const head = `\r\n--${boundary}\r\nContent-Type: ${type}\r\nContent-Range: bytes ${range}\r\n\r\n`
    pieces.push(Buffer.from(head, 'latin1'), part)
  }
  pieces.push(Buffer.from(`\r\n--${boundary}--\r\n`))
  const bytesOf = (piece: Piece): number =>
    piece instanceof Uint8Array ? piece.length : piece.end - piece.start
  return { boundary, pieces, length: pieces.reduce((sum, piece) => sum + bytesOf(piece), 0) }
}
