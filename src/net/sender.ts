// The sending half of a stream: one send in flight, so that bytes keep their order; what is written meanwhile goes as one.
// Flow: tcp-stream.ts → this → engine.ts. man io_uring_prep_send(3)

import { prepSend } from '../op/prep-net.ts'
import { CopyPool } from '../runtime/memory-pool.ts'
import type { Resource } from '../runtime/resource.ts'
import type { Sink, Slot } from '../runtime/slots.ts'
import type { Uring } from '../runtime/uring.ts'
import { IORING_OP_SEND } from '../sys/abi.ts'
import { MSG_NOSIGNAL, MSG_WAITALL } from '../sys/constants.ts'
import { ECANCELED } from '../sys/errno.ts'
import { bufferDetachedError, ringClosedError, socketError } from '../sys/error.ts'

const MERGE_BYTES = 65536

interface Write {
  bytes: Uint8Array
  resolve: ((bytes: number) => void) | null
  reject: ((error: Error) => void) | null
}

/** More than this that waits, and a sender should wait too. */
const HIGH_WATER = 65536

export class Sender implements Sink {
  readonly #ring: Uring
  readonly #resource: Resource
  /** Writes that the send in flight carries, then those that wait. */
  #current: Write[] = []
  /** An empty list to use next, so that no message makes a new one. */
  #spare: Write[] = []
  readonly #queue: Write[] = []
  #queuedBytes = 0
  #bytes: Uint8Array | null = null
  #sent = 0
  #error: Error | null = null
  #whenIdle: (() => void)[] = []
  /** Bytes that the kernel took. */
  bytes = 0

  constructor(ring: Uring, resource: Resource) {
    this.#ring = ring
    this.#resource = resource
  }

  /** Why nothing can be sent any more, or null. */
  get error(): Error | null {
    return this.#error
  }

  /** See `TcpStream.write`. */
  write(bytes: Uint8Array): Promise<number> {
    if (this.#error !== null) throw this.#error
    return new Promise<number>((resolve, reject) => this.#add({ bytes, resolve, reject }))
  }

  /** See `TcpStream.send`. */
  send(bytes: Uint8Array): boolean {
    if (this.#error !== null) throw this.#error
    // What must wait is copied if it is small, so that the caller may have its buffer back either way.
    const waits = this.#bytes !== null && bytes.byteLength <= CopyPool.BYTES
    this.#add({ bytes: waits ? Buffer.from(bytes) : bytes, resolve: null, reject: null })
    return this.#queuedBytes < HIGH_WATER
  }

  #add(write: Write): void {
    if (this.#bytes !== null) {
      this.#queue.push(write)
      this.#queuedBytes += write.bytes.byteLength
      return
    }
    this.#current.push(write)
    this.#begin(write.bytes)
  }

  #begin(bytes: Uint8Array): void {
    this.#bytes = bytes
    this.#sent = 0
    this.#send()
  }

  #send(): void {
    const bytes = this.#bytes!
    const { engine } = this.#ring
    let slot: Slot | null
    try {
      if (bytes.byteLength === 0) throw bufferDetachedError()
      const address = engine.addresses.of(bytes)
      slot = engine.begin(IORING_OP_SEND, undefined)
      if (slot === null) {
        engine.later(async () => this.#send()).catch((error: Error) => this.#fail(error))
        return
      }
      const length = bytes.byteLength - this.#sent
      const from = this.#source(slot, bytes, address)
      prepSend(slot.sqe, this.#resource.hold(), from, length, MSG_NOSIGNAL | MSG_WAITALL)
      slot.resource = this.#resource
      slot.sink = this
      engine.commit(slot)
    } catch (error) {
      this.#fail(error as Error)
    }
  }

  /** Copies what is small, so that the caller may have its buffer back; lends what is not. */
  #source(slot: Slot, bytes: Uint8Array, address: number): number {
    if (bytes.byteLength <= CopyPool.BYTES && this.#sent === 0) {
      const chunk = this.#ring.engine.copies.take()
      if (chunk >= 0) {
        slot.chunk = chunk
        return this.#ring.engine.copies.fill(chunk, bytes)
      }
    }
    slot.view = bytes
    slot.length = bytes.byteLength
    return address + this.#sent
  }

  /** The CQE of the send in flight. */
  onCqe(res: number): void {
    if (res < 0) {
      const closed = res === -ECANCELED && this.#ring.closed
      this.#fail(closed ? ringClosedError() : socketError(res, 'write'))
      return
    }
    this.bytes += res
    this.#sent += res
    if (this.#bytes !== null && this.#sent < this.#bytes.byteLength) {
      this.#send()
      return
    }
    const done = this.#current
    this.#bytes = null
    this.#current = this.#spare
    if (this.#queue.length > 0) this.#next()
    for (const write of done) write.resolve?.(write.bytes.byteLength)
    done.length = 0
    this.#spare = done
    if (this.#bytes === null) this.#idle()
  }

  /** Takes the first write that waits, and as many after it as fit in one send. */
  #next(): void {
    let total = 0
    let count = 0
    for (const { bytes } of this.#queue) {
      total += bytes.byteLength
      if (count > 0 && total > MERGE_BYTES) break
      count++
    }
    this.#current = this.#queue.splice(0, count)
    for (const { bytes } of this.#current) this.#queuedBytes -= bytes.byteLength
    const only = count === 1 ? this.#current[0]!.bytes : undefined
    this.#begin(only ?? Buffer.concat(this.#current.map((write) => write.bytes)))
  }

  #fail(error: Error): void {
    this.#error = error
    this.#bytes = null
    for (const write of this.#current.splice(0)) write.reject?.(error)
    for (const write of this.#queue.splice(0)) write.reject?.(error)
    this.#idle()
  }

  #idle(): void {
    for (const idle of this.#whenIdle.splice(0)) idle()
  }

  /** Resolves when all that was written is with the kernel, or can't be sent any more. */
  async drained(): Promise<void> {
    if (this.#bytes === null) return
    await new Promise<void>((resolve) => {
      this.#whenIdle.push(resolve)
    })
  }
}
