// Received bytes that lie where the kernel put them, until they are given back.
// Flow: receiver.ts → this → runtime/buffer-group.ts

import type { Chunk } from '../runtime/buffer-group.ts'
import { stateError } from '../sys/error.ts'

/** How many buffers of the shared ones a connection holds. */
export interface LeaseCount {
  leases: number
}

/** Bytes of a stream; give them back with `release()`, or say `using`. */
export class StreamChunk {
  #chunk: Chunk | null
  #bytes: Buffer | null
  readonly #count: LeaseCount

  /** @param chunk the buffer that the bytes lie in; null when they are a copy */
  constructor(bytes: Buffer, chunk: Chunk | null, count: LeaseCount) {
    this.#bytes = bytes
    this.#chunk = chunk
    this.#count = count
    if (chunk !== null) count.leases++
  }

  /**
   * The bytes; they are the kernel's again after `release`.
   * @throws ERR_INVALID_STATE after `release`
   */
  get bytes(): Buffer {
    if (this.#bytes === null) throw stateError('Cannot read the chunk: it was released')
    return this.#bytes
  }

  /** Whether they are a copy: this connection, or all together, held as many buffers as they may. */
  get copied(): boolean {
    return this.#chunk === null
  }

  /** Gives the buffer back; doing it twice does nothing. */
  release(): void {
    this.#bytes = null
    const chunk = this.#chunk
    if (chunk === null) return
    this.#chunk = null
    this.#count.leases--
    chunk.release()
  }

  /** As `release`, for `using`. */
  [Symbol.dispose](): void {
    this.release()
  }

  /** Replaces the buffer by a copy, so that the kernel has it back. */
  detach(): void {
    if (this.#chunk === null || this.#bytes === null) return
    const copy = Buffer.from(this.#bytes)
    this.release()
    this.#bytes = copy
  }
}
