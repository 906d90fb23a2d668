// Transfers at a file's own position, which a ring does not always move.
// Flow: file-handle-ring.ts, file-handle-whole.ts → this → lseek(2).
//
// read(2) and write(2) hold a lock on the position and always move it. A ring has no such lock, and kernels (6.18) leave the position
// where it was when a transfer ends asynchronously (direct I/O, FUSE) or is cut short by an error: the next write would overwrite what
// the last one wrote, and a stream would read the same bytes again. So such transfers of one handle run one after another, and each
// looks whether the position has moved.

import type { Uring } from '../runtime/uring.ts'
import { syscallNumber } from '../sys/syscalls.ts'

const SEEK_SET = 0
const SEEK_CUR = 1

const seek = (ring: Uring, fd: number, offset: number, whence: number): number =>
  ring.engine.ring.driver.syscall(syscallNumber('lseek'), fd, offset, whence)

/** One handle's file and its own position. */
export class Cursor {
  #seekable: boolean | undefined
  /** Ends with the transfer that was begun last. */
  #last: Promise<unknown> | null = null

  /** Whether the file has positions, which pipes, sockets and terminals have not; asked once. */
  isSeekable(ring: Uring, fd: number): boolean {
    this.#seekable ??= seek(ring, fd, 0, SEEK_CUR) >= 0
    return this.#seekable
  }

  /** Runs a transfer at the own position behind those before it; `begin` resolves to the bytes it moved. */
  transfer(ring: Uring, fd: number, begin: () => Promise<number>): Promise<number> {
    if (!this.isSeekable(ring, fd)) return begin()
    const go = async (): Promise<number> => {
      const before = seek(ring, fd, 0, SEEK_CUR)
      const bytes = await begin()
      if (bytes > 0 && seek(ring, fd, 0, SEEK_CUR) === before) seek(ring, fd, before + bytes, SEEK_SET)
      return bytes
    }
    const promise = this.#last === null ? go() : this.#last.then(go, go)
    this.#last = promise
    const done = (): void => {
      if (this.#last === promise) this.#last = null
    }
    promise.then(done, done)
    return promise
  }
}

/** An open file for `file-handle-whole.ts`: the caller holds it until the work is done. */
export interface OpenFile {
  ring: Uring
  fd: number
  cursor: Cursor
}
