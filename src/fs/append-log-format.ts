// The bytes of an append log: a segment's header, a record's frame, and how to tell a record from what only looks like one.
// Flow: append-log.ts, append-log-reader.ts → this → sys/node-modules.ts (crc32).
//
// A segment is a file: 64 bytes of header, then frames. A frame is a header of 16 bytes and the record, padded with zeros to 8:
//
//   0  crc       CRC-32 of all that follows, padding included, begun with the segment's seed and the place in the segment
//   4  length    bytes of the record
//   8  distance  bytes from the start of the batch to this frame
//   12 tag       the log's own word
//
// A record has a position: the bytes of frames before it in the whole log. The CRC binds a frame to its log, its segment and its
// place, so what was left of another file, or written to the wrong place, is no record.
// The distance tells rot from a torn tail: a batch is written only after the one before it was synced. So behind damage, a record
// whose batch began after it proves that the damaged bytes had been on the disk. See append-log-reader.ts.

import { crc32 } from '../sys/node-modules.ts'

export const HEADER_BYTES = 64
export const FRAME_BYTES = 16
/** Most bytes of frames in a segment: places are 32-bit words. */
export const SEGMENT_MAX = 0x7fff_0000
export const MAX_POSITION = Number.MAX_SAFE_INTEGER - SEGMENT_MAX

const MAGIC = Buffer.from('ringcore log 1\r\n')
const ID_BYTES = 16
const NAME = /^[0-9a-f]{16}\.log$/
const HIGH = 2 ** 32

/** Bytes that a record of `length` bytes takes. */
export function frameBytes(length: number): number {
  return FRAME_BYTES + Math.ceil(length / 8) * 8
}

/** The name of the segment that starts at a position; names sort as positions do. */
export function segmentName(start: number): string {
  return `${start.toString(16).padStart(16, '0')}.log`
}

/** Where the segment of this name starts; -1 for other files. */
export function startOfName(name: string): number {
  const start = NAME.test(name) ? Number.parseInt(name, 16) : -1
  return start <= MAX_POSITION ? start : -1
}

/** What binds the frames of one segment together. */
export class SegmentKey {
  readonly id: Buffer
  readonly start: number
  readonly tag: number
  readonly #seed: number

  /** @param id 16 random bytes, the same in all segments of a log */
  constructor(id: Buffer, start: number) {
    this.id = id
    this.start = start
    // Never 0: where nothing was written there are zeros.
    this.tag = (id.readUInt32LE(0) | 1) >>> 0
    this.#seed = crc32(this.header().subarray(0, HEADER_BYTES - 4))
  }

  /** The segment's first 64 bytes. */
  header(): Buffer {
    const bytes = Buffer.alloc(HEADER_BYTES)
    MAGIC.copy(bytes)
    this.id.copy(bytes, 16)
    bytes.writeBigUInt64LE(BigInt(this.start), 32)
    bytes.writeUInt32LE(crc32(bytes.subarray(0, HEADER_BYTES - 4)), HEADER_BYTES - 4)
    return bytes
  }

  /** The key that a header holds; null when it is damaged or none. */
  static read(bytes: Buffer): SegmentKey | null {
    if (bytes.length < HEADER_BYTES || !bytes.subarray(0, MAGIC.length).equals(MAGIC)) return null
    const sum = bytes.readUInt32LE(HEADER_BYTES - 4)
    if (crc32(bytes.subarray(0, HEADER_BYTES - 4)) !== sum) return null
    const start = bytes.readUInt32LE(32) + bytes.readUInt32LE(36) * HIGH
    if (start > MAX_POSITION) return null
    return new SegmentKey(Buffer.from(bytes.subarray(16, 16 + ID_BYTES)), start)
  }

  /**
   * Completes the frame at `at`, whose record is in place.
   * @param place bytes of frames before it in the segment
   * @param distance bytes from the start of its batch
   */
  seal(batch: Buffer, at: number, length: number, place: number, distance: number): void {
    const end = at + frameBytes(length)
    batch.fill(0, at + FRAME_BYTES + length, end)
    writeWord(batch, at + 4, length)
    writeWord(batch, at + 8, distance)
    writeWord(batch, at + 12, this.tag)
    writeWord(batch, at, crc32(batch.subarray(at + 4, end), (this.#seed ^ place) >>> 0))
  }

  /** Whether the header at `at` may be one of ours: cheap, and decides how many bytes `isRecord` needs. */
  isLikely(bytes: Buffer, at: number, place: number, longest: number): boolean {
    return (
      readWord(bytes, at + 12) === this.tag &&
      readWord(bytes, at + 4) <= longest &&
      readWord(bytes, at + 8) <= place
    )
  }

  /** Whether a whole and intact record of this place lies at `at`. */
  isRecord(bytes: Buffer, at: number, place: number): boolean {
    const end = at + frameBytes(lengthAt(bytes, at))
    if (end > bytes.length) return false
    return crc32(bytes.subarray(at + 4, end), (this.#seed ^ place) >>> 0) === readWord(bytes, at)
  }
}

/** The length of the record whose frame begins at `at`. */
export function lengthAt(bytes: Buffer, at: number): number {
  return readWord(bytes, at + 4)
}

/** How far the frame at `at` is from the start of its batch. */
export function distanceAt(bytes: Buffer, at: number): number {
  return readWord(bytes, at + 8)
}

// Buffer's own methods check more than is needed here, for each of four words of each record.

function readWord(bytes: Buffer, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
}

function writeWord(bytes: Buffer, at: number, value: number): void {
  bytes[at] = value
  bytes[at + 1] = value >>> 8
  bytes[at + 2] = value >>> 16
  bytes[at + 3] = value >>> 24
}
