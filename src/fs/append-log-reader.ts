// Reading a log's segments: record after record, and what it means when one is not there.
// Flow: append-log.ts, recover() → this → append-log-format.ts, runtime (openat, read).
//
// Where no intact record follows, a segment ends in one of three ways:
//   clean  zeros, or nothing: space that was allocated and not used
//   torn   bytes of a batch that was being written when power or process failed; nobody was told that it is on the disk
//   rot    bytes that had been on the disk and changed, or are gone
// It is rot when a later segment exists, since one is begun only after the one before it was synced, and when a record follows whose
// batch began after the damage, for the same reason. What can't be told from a torn tail is rot in the very last batch.

import { defaultRing } from '../runtime/executor.ts'
import { Resource } from '../runtime/resource.ts'
import type { Uring } from '../runtime/uring.ts'
import { argumentTypeError, rangeError, ringcoreError } from '../sys/error.ts'
import { checkInteger } from '../sys/validate.ts'
import { type LogSegment, listSegments } from './append-log-files.ts'
import {
  distanceAt,
  FRAME_BYTES,
  frameBytes,
  HEADER_BYTES,
  lengthAt,
  SegmentKey,
} from './append-log-format.ts'

/** A record as it is read. */
export interface LogRecord {
  /** Where it begins; what `append` resolved with. */
  position: number
  /** Where the next one begins. */
  next: number
  /** Its bytes, in memory that nothing else is read into; neighbours may share it. */
  data: Buffer
}

/** What the error with the code ERR_LOG_CORRUPT tells. */
export interface LogCorruptError extends Error {
  code: 'ERR_LOG_CORRUPT'
  path: string
  /** Where the damage begins. */
  position: number
  /** Where an intact record follows, to go on from; undefined when none was found. */
  next?: number
}

/** How a segment ends. */
export interface SegmentEnd {
  kind: 'clean' | 'torn' | 'rot'
  /** Place of the first frame that is not there. */
  place: number
  /** With 'rot': place of the first intact record behind the damage, and of the end of the last; -1 when there is none. */
  next: number
  last: number
}

/** Bytes read at once. */
const CHUNK = 256 * 1024
/** No record is longer, whatever a damaged length says. */
export const LONGEST = 64 * 1024 * 1024
/** Most bytes whose sum is taken while looking behind damage: bytes that pose as frames must not cost more. */
const SEARCH_MAX = 256 * 1024 * 1024

export function corruptError(
  path: string,
  position: number,
  next: number | undefined,
  what: string,
): LogCorruptError {
  const on = next === undefined ? '' : `; intact records follow at ${next}`
  const message = `The log is damaged at ${position}: ${what} in '${path}'${on}`
  const error = Object.assign(ringcoreError(Error, 'ERR_LOG_CORRUPT', message), { path, position })
  return Object.assign(error, next === undefined ? {} : { next }) as LogCorruptError
}

/** One segment's frames, seen through a window that moves over the file. */
export class SegmentScan {
  readonly key: SegmentKey
  /** Place of the frame to look at next. */
  place: number
  /** The record that `next` found: where its frame begins in `bytes`, and how long it is. */
  at = 0
  length = 0
  bytes: Buffer = Buffer.alloc(0)
  readonly #ring: Uring
  readonly #file: Resource
  /** Place of the window's first byte, and whether the file ends with the window. */
  #base: number
  #isLast = false
  #needed = FRAME_BYTES

  constructor(ring: Uring, file: Resource, key: SegmentKey, place: number) {
    this.#ring = ring
    this.#file = file
    this.key = key
    this.place = place
    this.#base = place
  }

  /** Goes to the next record. 1: it is at `at`; 0: `fill` first; -1: no intact record is here. */
  next(): 1 | 0 | -1 {
    const { bytes, key, place } = this
    const at = place - this.#base
    if (at + FRAME_BYTES > bytes.length) return this.#more(FRAME_BYTES)
    if (!key.isLikely(bytes, at, place, LONGEST)) return -1
    const length = lengthAt(bytes, at)
    const whole = frameBytes(length)
    if (at + whole > bytes.length) return this.#more(whole)
    if (!key.isRecord(bytes, at, place)) return -1
    this.at = at
    this.length = length
    this.place = place + whole
    return 1
  }

  #more(needed: number): 0 | -1 {
    this.#needed = needed
    return this.#isLast ? -1 : 0
  }

  /** The place where the batch of the record at `at` began. */
  get batchStart(): number {
    return this.#base + this.at - distanceAt(this.bytes, this.at)
  }

  /** Moves the window to `place` and reads on. The memory is new each time: records are views of it. */
  async fill(): Promise<void> {
    const kept = this.bytes.subarray(Math.min(this.place - this.#base, this.bytes.length))
    const room = Buffer.allocUnsafeSlow(Math.max(CHUNK, this.#needed))
    kept.copy(room)
    let filled = kept.length
    while (filled < room.length) {
      const position = HEADER_BYTES + this.place + filled
      const bytes = await this.#ring.read(this.#file, room, { position, offset: filled })
      if (bytes === 0) {
        this.#isLast = true
        break
      }
      filled += bytes
    }
    this.bytes = room.subarray(0, filled)
    this.#base = this.place
  }

  /** Finds out how the segment ends, after `next` said -1. `isSealed`: it had been synced as a whole. */
  async end(isSealed: boolean): Promise<SegmentEnd> {
    const damage = this.place
    const found: SegmentEnd = { kind: 'clean', place: damage, next: -1, last: -1 }
    let budget = SEARCH_MAX
    for (;;) {
      const kind = await this.#seek()
      if (kind === 'end') break
      found.kind = kind === 'bytes' || found.kind === 'torn' ? 'torn' : found.kind
      if (kind === 'bytes') continue
      // Something that looks like a frame: is it one?
      budget -= frameBytes(lengthAt(this.bytes, this.place - this.#base))
      if (budget < 0) return { ...found, kind: 'rot' }
      const place = this.place
      let is = this.next()
      while (is === 0) {
        await this.fill()
        is = this.next()
      }
      found.kind = 'torn'
      if (is < 0) {
        this.place = place + 8
        continue
      }
      if (found.next < 0) found.next = place
      if (isSealed || this.batchStart > damage) return this.#toLast(found)
    }
    if (isSealed && found.kind === 'torn') found.kind = 'rot'
    return found
  }

  /** Goes over the intact records from here on, and over further damage, to the end of the last one. */
  async #toLast(found: SegmentEnd): Promise<SegmentEnd> {
    let last = this.place
    for (;;) {
      const is = this.next()
      if (is > 0) last = this.place
      else if (is === 0) await this.fill()
      else {
        const kind = await this.#seek()
        if (kind === 'end') return { ...found, kind: 'rot', last }
        if (kind === 'frame' && !(await this.#isFrame())) this.place += 8
      }
    }
  }

  async #isFrame(): Promise<boolean> {
    const place = this.place
    let is = this.next()
    while (is === 0) {
      await this.fill()
      is = this.next()
    }
    this.place = place
    return is > 0
  }

  /** Moves on to what looks like a frame; 'bytes' when the window had something else than zeros and ended before one. */
  async #seek(): Promise<'frame' | 'bytes' | 'end'> {
    let any = 0
    for (;;) {
      const { bytes } = this
      let at = this.place - this.#base
      for (; at + FRAME_BYTES <= bytes.length; at += 8) {
        any |= bytes[at]! | bytes[at + 1]! | bytes[at + 2]! | bytes[at + 3]!
        any |= bytes[at + 4]! | bytes[at + 5]! | bytes[at + 6]! | bytes[at + 7]!
        if (!this.key.isLikely(bytes, at, this.#base + at, LONGEST)) continue
        this.place = this.#base + at
        return 'frame'
      }
      if (this.#isLast) {
        for (; at < bytes.length; at++) any |= bytes[at]!
        this.place = this.#base + bytes.length
        return any !== 0 ? 'bytes' : 'end'
      }
      this.place = this.#base + at
      this.#needed = FRAME_BYTES
      await this.fill()
    }
  }
}

/** Opens a segment and reads its header. The file is the caller's to close; `key` is null when the header is damaged. */
export async function openSegment(
  ring: Uring,
  path: string,
  flags: string,
): Promise<{ file: Resource; key: SegmentKey | null }> {
  const file = new Resource(await ring.openat(path, flags))
  try {
    const header = Buffer.alloc(HEADER_BYTES)
    let filled = 0
    while (filled < HEADER_BYTES) {
      const bytes = await ring.read(file, header, { position: filled, offset: filled })
      if (bytes === 0) break
      filled += bytes
    }
    return { file, key: SegmentKey.read(header) }
  } catch (error) {
    await ring.closeFile(file)
    throw error
  }
}

/**
 * Yields the records of consecutive segments.
 * @param from where to begin
 * @param end where the log ends: less is damage; -1 when only reading on can tell
 */
export async function* readSegments(
  ring: Uring,
  segments: readonly LogSegment[],
  from: number,
  end: number,
): AsyncGenerator<LogRecord, void, undefined> {
  let id: Buffer | null = null
  for (const [i, { path, start }] of segments.entries()) {
    const following = segments[i + 1]?.start
    // A later segment proves that this one reaches up to it.
    const until = following ?? end
    if (until >= 0 && until <= from) continue
    const { file, key } = await openSegment(ring, path, 'r')
    try {
      if (key === null || key.start !== start || (id !== null && !key.id.equals(id))) {
        if (following === undefined && end < 0 && (await isUnbegun(ring, file))) return
        throw corruptError(path, start, following, 'the header of the segment is not intact')
      }
      id = key.id
      yield* readSegment(
        new SegmentScan(ring, file, key, Math.max(0, from - start)),
        path,
        from,
        until,
        following,
      )
    } finally {
      if (!ring.closed) await ring.closeFile(file)
      else ring.engine.closeLate(file.surrender())
    }
  }
}

async function* readSegment(
  scan: SegmentScan,
  path: string,
  from: number,
  until: number,
  following: number | undefined,
): AsyncGenerator<LogRecord, void, undefined> {
  const { start } = scan.key
  for (;;) {
    const position = start + scan.place
    if (until >= 0 && position >= until) return
    const is = scan.next()
    if (is === 0) await scan.fill()
    else if (is > 0) {
      const { at, length, bytes } = scan
      const begin = at + FRAME_BYTES
      yield { position, next: start + scan.place, data: bytes.subarray(begin, begin + length) }
    } else {
      if (position === from && from > start)
        throw rangeError('from', 'the position of an intact record', from)
      const { kind, next } = await scan.end(until >= 0)
      if (until < 0 && kind !== 'rot') return
      const on = next >= 0 && (until < 0 || start + next < until) ? start + next : following
      throw corruptError(path, position, on, 'a record is not intact')
    }
  }
}

/** Whether a segment whose header is not intact was never begun: nothing was ever written behind it. */
export async function isUnbegun(ring: Uring, file: Resource): Promise<boolean> {
  const room = Buffer.allocUnsafeSlow(CHUNK)
  for (let position = HEADER_BYTES; ; ) {
    const bytes = await ring.read(file, room, { position })
    if (bytes === 0) return true
    for (let i = 0; i < bytes; i++) if (room[i] !== 0) return false
    position += bytes
  }
}

export interface RecoverOptions {
  /** Where to begin, a record's position; default: the oldest there is. */
  from?: number | undefined
  /** The ring to work on; default: the thread's. */
  ring?: Uring | undefined
}

/**
 * Reads a log without opening it for writing: all intact records in order, up to a torn tail.
 *
 * It takes no lock and changes nothing. Beside a writer it may show records that are not on the disk yet; `AppendLog.open` syncs first.
 *
 * @throws ERR_LOG_CORRUPT: bytes that had been on the disk are damaged; `next` tells where to go on
 * @throws ENOENT · ERR_OUT_OF_RANGE: no record begins at `from`
 */
export async function* recover(
  directory: string,
  options?: RecoverOptions,
): AsyncGenerator<LogRecord, void, undefined> {
  if (typeof directory !== 'string') throw argumentTypeError('directory', 'of type string', directory)
  const ring = options?.ring ?? defaultRing()
  const segments = await listSegments(directory)
  const oldest = segments[0]?.start ?? 0
  const from = options?.from ?? oldest
  checkFrom(from, oldest)
  yield* readSegments(ring, segments, from, -1)
}

export function checkFrom(from: unknown, oldest: number): asserts from is number {
  checkInteger('from', from, oldest)
  if ((from - oldest) % 8 !== 0) throw rangeError('from', 'the position of an intact record', from)
}
