// What stands for a connection whose address is still being looked up: it has no descriptor yet.
// Flow: socket.ts → this, until connecting.ts opens a StreamHandle in its place.

import { EBADF } from '../../sys/errno.ts'

export class UnopenedHandle {
  readonly fd = -1
  readonly bytesRead = 0
  readonly bytesWritten = 0
  readonly writeQueueSize = 0
  reading = false
  #referenced = true

  ref(): void {
    this.#referenced = true
  }

  unref(): void {
    this.#referenced = false
  }

  hasRef(): boolean {
    return this.#referenced
  }

  getsockname(_out?: unknown): number {
    return -EBADF
  }

  getpeername(_out?: unknown): number {
    return -EBADF
  }

  /** @param closed is called later */
  close(closed?: () => void): void {
    if (closed !== undefined) setImmediate(closed)
  }
}
