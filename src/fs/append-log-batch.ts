// Records that go down together: one piece of the arena, filled while the batch before it is being synced.
// Flow: append-log.ts → this → append-log-format.ts.

import { FRAME_BYTES, frameBytes, type SegmentKey } from './append-log-format.ts'

type Resolve = (position: number) => void
type Reject = (error: Error) => void

export class Batch {
  readonly bytes: Buffer
  used = 0
  key!: SegmentKey
  /** Bytes of frames before it in its segment. */
  place = 0
  // Who waits, in three lists instead of an object for each.
  #positions: number[] = []
  #resolves: Resolve[] = []
  #rejects: Reject[] = []

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
    return this.#resolves.length === 0
  }

  /** The position behind its last record. */
  get end(): number {
    return this.key.start + this.place + this.used
  }

  hasRoom(length: number): boolean {
    return this.used + frameBytes(length) <= this.bytes.length
  }

  /** Copies a record in; room for it is there. */
  add(record: Uint8Array, resolve: Resolve, reject: Reject): void {
    const at = this.used
    const length = record.byteLength
    this.bytes.set(record, at + FRAME_BYTES)
    this.key.seal(this.bytes, at, length, this.place + at, at)
    this.#wait(this.key.start + this.place + at, resolve, reject)
    this.used = at + frameBytes(length)
  }

  /** Lets somebody wait for the batch without adding to it; resolves with its end. */
  join(resolve: Resolve, reject: Reject): void {
    this.#wait(-1, resolve, reject)
  }

  #wait(position: number, resolve: Resolve, reject: Reject): void {
    this.#positions.push(position)
    this.#resolves.push(resolve)
    this.#rejects.push(reject)
  }

  /** All of it is on the disk. */
  resolve(): void {
    const { end } = this
    const [positions, resolves] = this.#empty()
    for (const [i, resolve] of resolves.entries()) resolve(positions[i]! < 0 ? end : positions[i]!)
  }

  reject(error: Error): void {
    for (const reject of this.#empty()[2]) reject(error)
  }

  /** Nobody waits any more. */
  #empty(): [number[], Resolve[], Reject[]] {
    const all: [number[], Resolve[], Reject[]] = [this.#positions, this.#resolves, this.#rejects]
    this.#positions = []
    this.#resolves = []
    this.#rejects = []
    return all
  }
}
