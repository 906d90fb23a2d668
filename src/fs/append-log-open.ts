// Opening a log for writing: what a crash left is looked at, cut off where it is torn, and brought to the disk where it is whole.
// Flow: append-log.ts → this → append-log-files.ts, append-log-reader.ts.

import type { Resource } from '../runtime/resource.ts'
import type { Uring } from '../runtime/uring.ts'
import { POSIX_FADV_DONTNEED } from '../sys/constants.ts'
import { randomBytes } from '../sys/node-modules.ts'
import { allocate, LogDirectory, type LogSegment } from './append-log-files.ts'
import { HEADER_BYTES, SegmentKey } from './append-log-format.ts'
import { corruptError, isUnbegun, openSegment, SegmentScan } from './append-log-reader.ts'

/** How a log was found. */
export interface Recovery {
  /** 'new': there was none. 'clean': nothing to do. 'torn': a batch that nobody was told about was cut off. 'damaged': `allowDamage`. */
  kind: 'new' | 'clean' | 'torn' | 'damaged'
  /** Where the intact records end, and new ones begin. */
  position: number
  /** Bytes that were cut off; space that was allocated and not used does not count. */
  cutBytes: number
}

/** Where writing goes on. */
export interface Tail {
  file: Resource
  key: SegmentKey
  place: number
  starts: number[]
  recovery: Recovery
}

const ID_BYTES = 16

/** @param space bytes to allocate for a segment; 0 for none */
export async function openLog(
  ring: Uring,
  path: string,
  space: number,
  allowDamage: boolean,
): Promise<{ directory: LogDirectory; tail: Tail }> {
  const directory = await LogDirectory.open(ring, path)
  try {
    const tail = await findTail(ring, directory, space, allowDamage)
    return { directory, tail }
  } catch (error) {
    if (ring.closed) directory.closeLate()
    else await directory.close()
    throw error
  }
}

async function findTail(
  ring: Uring,
  directory: LogDirectory,
  space: number,
  allowDamage: boolean,
): Promise<Tail> {
  const segments = await directory.list()
  // A crash may have come between a segment's making and the sync of its entry, and now records are to follow in it.
  await directory.sync()
  let isSealed = false
  for (let last = segments.at(-1); last !== undefined; last = segments.at(-1)) {
    const tail = await continueIn(ring, last, space, isSealed, allowDamage)
    if (tail !== null) return { ...tail, starts: segments.map(({ start }) => start) }
    // Power failed while it was made. Nothing was in it.
    await directory.remove(last)
    await directory.sync()
    segments.pop()
    isSealed = true
  }
  const key = new SegmentKey(randomBytes(ID_BYTES), 0)
  const recovery: Recovery = { kind: 'new', position: 0, cutBytes: 0 }
  return { file: await directory.create(key, space), key, place: 0, starts: [0], recovery }
}

/** Finds the end of the last segment and makes it fit to go on with; null when the segment was never begun. */
async function continueIn(
  ring: Uring,
  { path, start }: LogSegment,
  space: number,
  isSealed: boolean,
  allowDamage: boolean,
): Promise<Omit<Tail, 'starts'> | null> {
  const { file, key } = await openSegment(ring, path, 'r+')
  try {
    // What only the page cache has may be lost yet, and is about to be shown as recovered. What a failed sync left there is not on
    // the disk although it looks so: the cache is dropped, and the disk is asked.
    await ring.fsync(file)
    await ring.fadvise(file, 0, 0, POSIX_FADV_DONTNEED)
    if (key === null || key.start !== start) {
      if (key === null && (await isUnbegun(ring, file))) {
        await ring.closeFile(file)
        return null
      }
      throw corruptError(path, start, undefined, 'the header of the segment is not intact')
    }
    const { place, recovery } = await findEnd(ring, file, path, key, isSealed, allowDamage)
    if (recovery.kind !== 'clean') {
      // Records of the torn batch that are whole must not show up behind new ones.
      await ring.ftruncate(file, HEADER_BYTES + place)
      await ring.fsync(file)
    }
    if (space > 0) await allocate(ring, file, space)
    return { file, key, place, recovery }
  } catch (error) {
    if (ring.closed) ring.engine.closeLate(file.surrender())
    else await ring.closeFile(file)
    throw error
  }
}

async function findEnd(
  ring: Uring,
  file: Resource,
  path: string,
  key: SegmentKey,
  isSealed: boolean,
  allowDamage: boolean,
): Promise<{ place: number; recovery: Recovery }> {
  const scan = new SegmentScan(ring, file, key, 0)
  for (let is = scan.next(); is >= 0; is = scan.next()) if (is === 0) await scan.fill()
  const end = await scan.end(isSealed)
  const { kind } = end
  if (kind !== 'rot') {
    const cutBytes = kind === 'torn' ? scan.place - end.place : 0
    return { place: end.place, recovery: { kind, position: key.start + end.place, cutBytes } }
  }
  const next = end.next < 0 ? undefined : key.start + end.next
  if (!allowDamage) throw corruptError(path, key.start + end.place, next, 'a record is not intact')
  // Behind all that is there: nothing of it is overwritten.
  const place = Math.max(end.last, Math.ceil(scan.place / 8) * 8)
  return { place, recovery: { kind: 'damaged', position: key.start + place, cutBytes: 0 } }
}
