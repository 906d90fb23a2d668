// The sending half of a stream: one send in flight, so that bytes keep their order; what is written meanwhile goes together after it.
// Flow: socket-stream.ts, send-file.ts → this → outgoing.ts. man io_uring_prep_send(3)

import { CopyPool } from '../runtime/memory-pool.ts'
import type { Resource } from '../runtime/resource.ts'
import type { Sink } from '../runtime/slots.ts'
import type { Uring } from '../runtime/uring.ts'
import { ECANCELED, EOPNOTSUPP } from '../sys/errno.ts'
import { ringClosedError, socketError } from '../sys/error.ts'
import { Outgoing, ZeroCopySend } from './outgoing.ts'

/** More than this that waits, and a sender should wait too. */
export const HIGH_WATER = 65536
/** Small writes that must wait are copied together into buffers of this size. */
const GATHER_BYTES = 8192

/** A write whose promise waits: `end` counts all bytes that were written up to its last. */
interface Write {
  readonly end: number
  readonly bytes: number
  readonly resolve: (bytes: number) => void
  readonly reject: (error: Error) => void
}

/** Bytes that wait for the send in flight; of a gathering buffer the first `length` are meant. */
interface Waiting {
  readonly bytes: Uint8Array
  length: number
  /** The bytes are the sender's own copy. */
  readonly stable: boolean
}

/** A place in the order of bytes that somebody else fills, such as a file. */
export interface Reservation {
  /** Its turn has come: all before it is with the kernel. */
  begin(): void
  /** It will not come, or not go on: the stream has failed. */
  fail(error: Error): void
}

/** The write whose promise is being made: one executor serves all. */
let end = 0
let bytesOfWrite = 0
let writes!: Write[]
const executor = (resolve: (bytes: number) => void, reject: (error: Error) => void): void => {
  writes.push({ end, bytes: bytesOfWrite, resolve, reject })
}

export class Sender implements Sink {
  readonly #ring: Uring
  readonly #resource: Resource
  readonly #send: Outgoing
  /** A send is being filled, is in flight, or waits for a slot; or the place is reserved. */
  #busy = false
  /** The kernel has a send: nobody may have the memory of it back. */
  #inFlight = false
  readonly #queue: (Waiting | Reservation)[] = []
  #reserved: Reservation | null = null
  /** Tells the one who fills the reserved place that a block of it is sent. */
  #onBlock: (() => void) | null = null
  readonly #writes: Write[] = []
  /** Zero-copy sends, in order, while the kernel reads the memory of one. */
  #unconfirmed: ZeroCopySend[] | null = null
  /** Bytes that were written, and those of them that a reservation promised and did not bring. */
  #accepted = 0
  #skipped = 0
  #error: Error | null = null
  #whenIdle: (() => void)[] | null = null
  #wantsDrain = false
  /** Called when all is sent, once after `send` returned false. */
  onDrain: (() => void) | null = null
  /** Bytes that the kernel took. */
  bytes = 0
  /** Writes from this size on are sent without copying. */
  zeroCopyFrom = Number.POSITIVE_INFINITY

  constructor(ring: Uring, resource: Resource) {
    this.#ring = ring
    this.#resource = resource
    this.#send = new Outgoing(ring, resource, this)
  }

  /** Why nothing can be sent any more, or null. */
  get error(): Error | null {
    return this.#error
  }

  /** Bytes that were written and that the kernel did not take yet. */
  get pending(): number {
    return this.#accepted - this.#skipped - this.bytes
  }

  /** See `SocketStream.write`. */
  write(bytes: Uint8Array): Promise<number> {
    if (this.#error !== null) throw this.#error
    this.#accepted += bytes.byteLength
    const promise = this.#promise(bytes.byteLength)
    this.#add(bytes)
    return promise
  }

  /** See `SocketStream.writev`. */
  writev(pieces: readonly Uint8Array[]): Promise<number> {
    if (this.#error !== null) throw this.#error
    let total = 0
    for (const bytes of pieces) total += bytes.byteLength
    if (total === 0) return Promise.resolve(0)
    this.#accepted += total
    const promise = this.#promise(total)
    for (const bytes of pieces) if (bytes.byteLength > 0 && this.#error === null) this.#add(bytes)
    return promise
  }

  #promise(bytes: number): Promise<number> {
    end = this.#accepted
    bytesOfWrite = bytes
    writes = this.#writes
    return new Promise<number>(executor)
  }

  /** See `SocketStream.send`. */
  send(bytes: Uint8Array): boolean {
    if (this.#error !== null) throw this.#error
    this.#accepted += bytes.byteLength
    this.#add(bytes)
    if (this.pending < HIGH_WATER) return true
    this.#wantsDrain = true
    return false
  }

  #add(bytes: Uint8Array): void {
    if (!this.#busy) {
      this.#busy = true
      this.#begin(bytes, false)
      return
    }
    const joins = this.#queue.length === 0 && this.#reserved === null && bytes.byteLength < this.zeroCopyFrom
    if (!joins || !this.#send.join(bytes, false)) this.#wait(bytes)
  }

  /** Begins a send; false when it has to wait, or the stream has failed. */
  #begin(bytes: Uint8Array, stable: boolean): boolean {
    try {
      const zeroCopy = bytes.byteLength < this.zeroCopyFrom ? null : this.#zeroCopy()
      if (this.#send.begin(bytes, stable, zeroCopy)) {
        this.#inFlight = true
        if (zeroCopy !== null) this.#unconfirmed = [...(this.#unconfirmed ?? []), zeroCopy]
        return true
      }
      this.#queue.unshift({ bytes: this.#keep(bytes, stable), length: bytes.byteLength, stable: true })
      this.#ring.engine.later(async () => this.#next()).catch((error: Error) => this.#fail(error))
    } catch (error) {
      this.#fail(error as Error)
    }
    return false
  }

  /** Small bytes that must wait are copied, so that the caller may have its buffer back. */
  #keep(bytes: Uint8Array, stable: boolean): Uint8Array {
    return stable || bytes.byteLength > CopyPool.BYTES ? bytes : Buffer.from(bytes)
  }

  #zeroCopy(): ZeroCopySend {
    const start = this.bytes + this.#skipped
    return new ZeroCopySend(
      start,
      (res) => this.onCqe(res),
      () => this.#confirm(),
    )
  }

  /** Queues bytes behind the send in flight; small ones together. */
  #wait(bytes: Uint8Array): void {
    const { length } = bytes
    if (length > CopyPool.BYTES) {
      this.#queue.push({ bytes, length, stable: false })
      return
    }
    const last = this.#queue.at(-1)
    if (last !== undefined && 'bytes' in last && last.stable && last.length + length <= last.bytes.length) {
      last.bytes.set(bytes, last.length)
      last.length += length
      return
    }
    const gathering = Buffer.allocUnsafeSlow(GATHER_BYTES)
    gathering.set(bytes)
    this.#queue.push({ bytes: gathering, length, stable: true })
  }

  /** Sends what waits: as much as fits into one send. */
  #next(): void {
    if (this.#error !== null) return
    const first = this.#queue.shift()
    if (first === undefined) {
      this.#busy = false
      return
    }
    if (!('bytes' in first)) {
      this.#reserved = first
      first.begin()
      return
    }
    if (!this.#begin(meant(first), first.stable) || this.#reserved !== null) return
    for (let next = this.#queue[0]; next !== undefined && 'bytes' in next; next = this.#queue[0]) {
      const joins = next.length < this.zeroCopyFrom && this.#send.join(meant(next), next.stable)
      if (!joins) return
      this.#queue.shift()
    }
  }

  /** The CQE of the send in flight: the final one, or of a zero-copy send the first. */
  onCqe(res: number): void {
    const send = this.#send
    this.#inFlight = false
    if (res < 0 || this.#error !== null) {
      this.#refused(res)
      return
    }
    this.bytes += res
    if (res < send.length) {
      this.#resend(res)
      return
    }
    send.clear()
    if (this.#reserved !== null) {
      const onBlock = this.#onBlock
      this.#onBlock = null
      onBlock?.()
      return
    }
    if (this.#queue.length > 0) this.#next()
    else this.#busy = false
    if (this.#writes.length > 0) this.#settle()
    if (!this.#busy) this.#idle()
  }

  /** Less was sent than there is: what is left goes again, and meets the error that cut it. */
  #resend(sent: number): void {
    const [first, ...others] = this.#send.rest(sent)
    this.#send.clear()
    if (this.#resource.fd < 0) {
      this.#fail(socketError(-ECANCELED, 'write'))
      return
    }
    const waiting = others.map((bytes): Waiting => ({ bytes, length: bytes.byteLength, stable: true }))
    this.#queue.unshift(...waiting)
    this.#begin(first!, true)
  }

  #refused(res: number): void {
    if (this.#error !== null) {
      this.#tryEnd()
      return
    }
    // Not every socket can do without copying: then it copies.
    if (res === -EOPNOTSUPP && this.zeroCopyFrom !== Number.POSITIVE_INFINITY) {
      this.zeroCopyFrom = Number.POSITIVE_INFINITY
      this.#resend(0)
      return
    }
    const closed = res === -ECANCELED && this.#ring.closed
    this.#fail(closed ? ringClosedError() : socketError(res, 'write'))
  }

  /** The kernel no longer reads the memory of a zero-copy send. */
  #confirm(): void {
    const sends = this.#unconfirmed!
    while (sends.length > 0 && sends[0]!.free) sends.shift()
    if (sends.length === 0) this.#unconfirmed = null
    if (this.#error !== null) {
      this.#tryEnd()
      return
    }
    this.#settle()
    if (!this.#busy) this.#idle()
  }

  /** Settles the writes whose last byte is with the kernel, and whose memory is free. */
  #settle(): void {
    const done = this.#unconfirmed === null ? this.bytes + this.#skipped : this.#unconfirmed[0]!.start
    let count = 0
    while (count < this.#writes.length && this.#writes[count]!.end <= done) {
      const { resolve, bytes } = this.#writes[count++]!
      resolve(bytes)
    }
    if (count === this.#writes.length) this.#writes.length = 0
    else if (count > 0) this.#writes.splice(0, count)
  }

  /** Nothing can be sent any more. What the kernel has is waited for. */
  #fail(error: Error): void {
    if (this.#error !== null) return
    this.#error = error
    this.#reserved?.fail(error)
    this.#reserved = null
    for (const waiting of this.#queue.splice(0)) if (!('bytes' in waiting)) waiting.fail(error)
    this.#tryEnd()
  }

  /** Tells the writes of the failure, once the kernel reads the memory of none of them. */
  #tryEnd(): void {
    if (this.#inFlight || this.#unconfirmed !== null) return
    this.#busy = false
    this.#send.clear()
    const onBlock = this.#onBlock
    this.#onBlock = null
    onBlock?.()
    for (const { reject } of this.#writes.splice(0)) reject(this.#error!)
    this.#idle()
  }

  #idle(): void {
    if (this.#wantsDrain) {
      this.#wantsDrain = false
      this.onDrain?.()
    }
    if (this.#whenIdle === null || this.#unconfirmed !== null) return
    const waiting = this.#whenIdle
    this.#whenIdle = null
    for (const idle of waiting) idle()
  }

  /** Resolves when all that was written is with the kernel, or can't be sent any more. */
  drained(): Promise<void> {
    if (!this.#busy && this.#unconfirmed === null) return Promise.resolve()
    return new Promise<void>((resolve) => {
      this.#whenIdle ??= []
      this.#whenIdle.push(resolve)
    })
  }

  // ---- places that others fill

  /** Reserves the next `bytes` of the stream: `begin` is called when all before them is with the kernel. */
  reserve(bytes: number, reservation: Reservation): void {
    if (this.#error !== null) throw this.#error
    this.#accepted += bytes
    this.#queue.push(reservation)
    if (this.#busy) return
    this.#busy = true
    this.#next()
  }

  /** Sends a block into the reserved place, one at a time; `onSent` is called when the kernel has let go of it, also after a failure. */
  fill(block: Uint8Array, onSent: () => void): void {
    this.#onBlock = onSent
    this.#begin(block, true)
  }

  /** Counts bytes of the reserved place that went to the socket without a send. */
  filled(bytes: number): void {
    this.bytes += bytes
  }

  /** Ends the reserved place; `missing` bytes of it do not come. */
  release(missing: number): void {
    if (this.#error !== null) return
    this.#reserved = null
    this.#skipped += missing
    this.#next()
    if (this.#writes.length > 0) this.#settle()
    if (!this.#busy) this.#idle()
  }

  /** Ends the sending with an error that is not the socket's own; the caller makes the kernel let go. */
  abandon(error: Error): void {
    this.#fail(error)
  }
}

function meant({ bytes, length }: Waiting): Uint8Array {
  return length === bytes.byteLength ? bytes : bytes.subarray(0, length)
}
