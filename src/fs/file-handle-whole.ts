// Reading to the end and writing all of it, however many requests that takes.
// Flow: file-handle-ring.ts → this → Uring (read, write, writev).

import { constants } from 'node:fs'
import type { Uring } from '../runtime/uring.ts'
import { abortError } from '../sys/error.ts'
import { type Data, isLendable, type Params } from './file-handle-params.ts'
import { moveOn, positionOf } from './file-handle-position.ts'
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
export async function readRest(ring: Uring, fd: number, signal?: AbortSignal): Promise<Buffer | null> {
  let room: Buffer = Buffer.allocUnsafeSlow(FIRST_READ)
  let filled = 0
  for (;;) {
    checkAborted(signal)
    const most = signal === undefined ? room.length - filled : Math.min(PIECE, room.length - filled)
    const [target, offset] = [room, filled]
    const bytes = await atOwnPosition(ring, fd, most, () =>
      ring.read(fd, target, { offset, length: most, ...(signal && { signal }) }),
    )
    if (bytes === 0) break
    filled += bytes
    if (filled < room.length) continue
    // The size is a hint, asked for once: the file may grow, or be one of those that say 0.
    let wanted = filled * 2
    if (filled === FIRST_READ) {
      const { size, mode } = await statThroughRing(ring, { fd }, false)
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

/** One read or write of `length` bytes at the file's own position, after which that is where it should be. */
export async function atOwnPosition(
  ring: Uring,
  fd: number,
  length: number,
  transfer: () => Promise<number>,
): Promise<number> {
  const before = positionOf(ring, fd)
  const bytes = await transfer()
  if (bytes < length) moveOn(ring, fd, before, bytes)
  return bytes
}

/**
 * Writes all, as Node does: a short write goes on, and an error counts only when nothing was written.
 * @returns bytes written
 */
export function writeAll(ring: Uring, fd: number, params: Params, signal?: AbortSignal): Promise<number> {
  const { buffer, offset, length, position } = params
  return goOn(length, signal, (written) => {
    const rest = { offset: offset + written, length: length - written, ...(signal && { signal }) }
    if (position >= 0) return ring.write(fd, buffer, { ...rest, position: position + written })
    return atOwnPosition(ring, fd, rest.length, () => ring.write(fd, buffer, rest))
  })
}

/** Writes several buffers one after another, as `writeAll`. */
export function writeVector(
  ring: Uring,
  fd: number,
  buffers: readonly ArrayBufferView[],
  position: number,
): Promise<number> {
  const length = bytesIn(buffers)
  return goOn(length, undefined, (written) => {
    const rest = written === 0 ? buffers : behind(buffers, written)
    if (position >= 0) return ring.writev(fd, rest, { position: position + written })
    return atOwnPosition(ring, fd, length - written, () => ring.writev(fd, rest))
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

export const bytesIn = (buffers: readonly ArrayBufferView[]): number =>
  buffers.reduce((bytes, { byteLength }) => bytes + byteLength, 0)

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
  ring: Uring,
  fd: number,
  data: Data,
  encoding: BufferEncoding | null,
  signal?: AbortSignal,
): Promise<void> {
  checkAborted(signal)
  if (data instanceof Uint8Array) return writePieces(ring, fd, data, signal)
  for await (const one of data) {
    checkAborted(signal)
    const piece = ArrayBuffer.isView(one)
      ? lendable(new Uint8Array(one.buffer, one.byteOffset, one.byteLength))
      : Buffer.from(one as string, encoding ?? 'utf8')
    await writePieces(ring, fd, piece, signal)
    checkAborted(signal)
  }
}

/** The bytes, or a copy of those that may be taken away meanwhile. */
const lendable = (bytes: Uint8Array): Uint8Array => (isLendable(bytes) ? bytes : Buffer.from(bytes))

async function writePieces(ring: Uring, fd: number, data: Uint8Array, signal?: AbortSignal): Promise<void> {
  for (let offset = 0; offset < data.byteLength; ) {
    checkAborted(signal)
    const length = Math.min(PIECE, data.byteLength - offset)
    offset += await writeAll(ring, fd, { buffer: data, offset, length, position: -1 }, signal)
  }
}
