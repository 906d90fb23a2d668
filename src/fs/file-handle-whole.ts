// Reading to the end and writing all of it, however many requests that takes.
// Flow: file-handle-ring.ts → this → Uring (read, write, writev).

import { constants } from 'node:fs'
import { abortError } from '../sys/error.ts'
import { type Data, isLendable, type Params } from './file-handle-params.ts'
import type { OpenFile } from './file-handle-position.ts'
import { statThroughRing } from './promises-stats.ts'

/** Room that is read into before anybody asks for the size: the kernel hands each statx to a worker. */
const FIRST_READ = 16384
/** What is read or written between two looks at the signal. */
const PIECE = 512 * 1024
/** Where Node's readFile gives up. */
const LONGEST = 2 ** 31 - 1

/**
 * Reads from the file's own position to its end.
 * @returns null when the file is longer than Node reads: it has the error for that
 */
export async function readRest(file: OpenFile, signal?: AbortSignal): Promise<Buffer | null> {
  let room: Buffer = Buffer.allocUnsafeSlow(FIRST_READ)
  let filled = 0
  for (;;) {
    checkAborted(signal)
    const most = signal === undefined ? room.length - filled : Math.min(PIECE, room.length - filled)
    const [target, offset] = [room, filled]
    const bytes = await transfer(file, -1, () =>
      file.ring.read(file.fd, target, { offset, length: most, ...(signal && { signal }) }),
    )
    if (bytes === 0) break
    filled += bytes
    if (filled < room.length) continue
    // The size is a hint, asked for once: the file may grow, or be one of those that say 0.
    let wanted = filled * 2
    if (filled === FIRST_READ) {
      const { size, mode } = await statThroughRing(file.ring, file, false)
      const isFile = (Number(mode) & constants.S_IFMT) === constants.S_IFREG
      if (isFile && Number(size) > LONGEST) return null
      if (isFile) wanted = Math.max(Number(size) + 1, wanted)
    }
    const larger = Buffer.allocUnsafeSlow(wanted)
    room.copy(larger, 0, 0, filled)
    room = larger
  }
  checkAborted(signal)
  // A short text shall not keep a long buffer alive.
  return filled * 2 < room.length ? Buffer.from(room.subarray(0, filled)) : room.subarray(0, filled)
}

function checkAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw abortError(signal)
}

/** One read or write; what has no position goes to the file's own. */
export function transfer(
  { ring, fd, cursor }: OpenFile,
  position: number,
  begin: () => Promise<number>,
): Promise<number> {
  return position < 0 ? cursor.transfer(ring, fd, begin) : begin()
}

/**
 * Writes all, as Node does: a short write goes on, and an error counts only when nothing was written.
 * @returns bytes written
 */
export function writeAll(file: OpenFile, params: Params, signal?: AbortSignal): Promise<number> {
  const { buffer, offset, length, position } = params
  return goOn(length, signal, (written) => {
    const rest = { offset: offset + written, length: length - written, ...(signal && { signal }) }
    const at = position < 0 ? -1 : position + written
    return transfer(file, at, () => file.ring.write(file.fd, buffer, { ...rest, position: at }))
  })
}

/** Writes several buffers one after another, as `writeAll`. */
export function writeVector(
  file: OpenFile,
  buffers: readonly ArrayBufferView[],
  position: number,
): Promise<number> {
  const length = buffers.reduce((bytes, { byteLength }) => bytes + byteLength, 0)
  return goOn(length, undefined, (written) => {
    const rest = written === 0 ? buffers : behind(buffers, written)
    const at = position < 0 ? -1 : position + written
    return transfer(file, at, () => file.ring.writev(file.fd, rest, { position: at }))
  })
}

/** Writes until `length` bytes are written, or no more can be. */
async function goOn(
  length: number,
  signal: AbortSignal | undefined,
  write: (written: number) => Promise<number>,
): Promise<number> {
  for (let written = 0; ; ) {
    let bytes: number
    try {
      bytes = await write(written)
    } catch (error) {
      if (written === 0 || signal?.aborted === true) throw error
      return written
    }
    written += bytes
    if (bytes === 0 || written === length) return written
  }
}

/** What of the buffers lies behind their first `bytes` bytes. */
function behind(buffers: readonly ArrayBufferView[], bytes: number): ArrayBufferView[] {
  const rest: ArrayBufferView[] = []
  let skip = bytes
  for (const { buffer, byteOffset, byteLength } of buffers) {
    if (skip < byteLength) rest.push(new Uint8Array(buffer, byteOffset + skip, byteLength - skip))
    skip = Math.max(0, skip - byteLength)
  }
  return rest
}

/** Writes the data of writeFile at the file's own position. */
export async function writeAllOf(
  file: OpenFile,
  data: Data,
  encoding: BufferEncoding | null,
  signal?: AbortSignal,
): Promise<void> {
  checkAborted(signal)
  if (ArrayBuffer.isView(data)) return writePieces(file, data, signal)
  for await (const one of data) {
    checkAborted(signal)
    const piece = ArrayBuffer.isView(one)
      ? lendable(new Uint8Array(one.buffer, one.byteOffset, one.byteLength))
      : Buffer.from(one as string, encoding ?? 'utf8')
    await writePieces(file, piece, signal)
    checkAborted(signal)
  }
}

/** The bytes, or a copy of those that may be taken away meanwhile. */
const lendable = (bytes: Uint8Array): Uint8Array => (isLendable(bytes) ? bytes : Buffer.from(bytes))

async function writePieces(file: OpenFile, data: Uint8Array, signal?: AbortSignal): Promise<void> {
  for (let offset = 0; offset < data.byteLength; ) {
    checkAborted(signal)
    const length = Math.min(PIECE, data.byteLength - offset)
    offset += await writeAll(file, { buffer: data, offset, length, position: -1 }, signal)
  }
}
