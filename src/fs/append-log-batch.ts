// Records that go down together: one piece of the arena, filled while the batch before it is being synced.
// Flow: append-log.ts → this → append-log-format.ts.

import { FRAME_BYTES, frameBytes, type SegmentKey } from './append-log-format.ts'

/** Settles one append. */
interface Waiter {
  position: number
  resolve: (position: number) => void
  reject: (error: Error) => void
}

export class Batch {
  readonly bytes: Buffer
  used = 0
  key!: SegmentKey
  /** Bytes of frames before it in its segment. */
  place = 0
  readonly #waiters: Waiter[] = []

  /** @param bytes memory of the arena */
  constructor(bytes: Buffer) {
    this.bytes = bytes
  }

  /** Starts anew, for the bytes of a segment from `place` on. */
  begin(key: SegmentKey, place: number): void {
    this.key = key
    this.place = place
    this.used = 0
  }

  get isEmpty(): boolean {
    return this.#waiters.length === 0
  }

  /** The position behind its last record. */
  get end(): number {
    return this.key.start + this.place + this.used
  }

  hasRoom(length: number): boolean {
    return this.used + frameBytes(length) <= this.bytes.length
  }

  /** Copies a record in; room for it is there. */
  add(record: Uint8Array, resolve: Waiter['resolve'], reject: Waiter['reject']): void {
    const at = this.used
    const length = record.byteLength
    this.bytes.set(record, at + FRAME_BYTES)
    this.key.seal(this.bytes, at, length, this.place + at, at)
    this.#waiters.push({ position: this.key.start + this.place + at, resolve, reject })
    this.used = at + frameBytes(length)
  }

  /** Lets somebody wait for the batch without adding to it; resolves with its end. */
  join(resolve: Waiter['resolve'], reject: Waiter['reject']): void {
    this.#waiters.push({ position: -1, resolve, reject })
  }

  /** All of it is on the disk. */
  resolve(): void {
    const { end } = this
    for (const { position, resolve } of this.#waiters.splice(0)) resolve(position < 0 ? end : position)
  }

  reject(error: Error): void {
    for (const { reject } of this.#waiters.splice(0)) reject(error)
  }
}
