// The receiving half of a UDP socket: one multishot recvmsg into buffers that all UDP sockets of a ring share.
// Flow: udp-socket.ts → this → engine.ts, buffer-group.ts, datagram.ts. man io_uring_prep_recvmsg_multishot(3)

import { prepRecvmsgMultishot } from '../op/prep-net.ts'
import type { BufferGroup } from '../runtime/buffer-group.ts'
import type { Resource } from '../runtime/resource.ts'
import type { Sink, Slot } from '../runtime/slots.ts'
import type { Uring } from '../runtime/uring.ts'
import { IORING_OP_RECVMSG } from '../sys/abi.ts'
import { ECANCELED, ENOBUFS } from '../sys/errno.ts'
import { ringClosedError, socketError, stateError, throwLater } from '../sys/error.ts'
import { writeU64 } from '../sys/memory.ts'
import { CONTROL_BYTES, Datagram, NAME_BYTES, type ReceivedDatagramCopy } from './datagram.ts'

/** Sees each datagram where the kernel put it, until it returns. */
export type DatagramHandler = (datagram: Datagram) => void
/** Is told of errors, after which receiving goes on; and once of null, when the socket was closed. */
export type DatagramErrorHandler = (error: Error | null) => void

/** Datagrams kept for an iterator that is slow; those beyond are dropped, as UDP does, and counted. */
const KEPT = 1024
/** Room for the largest datagram, and for all that the kernel puts together, besides the header. */
const BUFFER_BYTES = 65536 + 128
const BUFFERS = 64
const MSGHDR_BYTES = 56

const groups = new WeakMap<Uring, BufferGroup>()

function datagramBuffers(ring: Uring): BufferGroup {
  let group = groups.get(ring)
  if (group === undefined) {
    group = ring.bufferGroup({ entries: BUFFERS, bufferBytes: BUFFER_BYTES })
    groups.set(ring, group)
  }
  return group
}

interface Taker {
  resolve: (datagram: ReceivedDatagramCopy | null) => void
  reject: (error: Error) => void
}

export class DatagramReceiver implements Sink {
  readonly #ring: Uring
  readonly #resource: Resource
  readonly #controlRoom: number
  readonly #datagram = new Datagram()
  readonly #show = (buffer: Buffer, length: number): void => {
    this.messages += this.#datagram.each(buffer, length, this.#controlRoom, this.#onDatagram)
  }
  readonly #onDatagram = (datagram: Datagram): void => this.#deliver(datagram)
  #group: BufferGroup | null = null
  #slot: Slot | null = null
  #handler: DatagramHandler | null = null
  #onError: DatagramErrorHandler | null = null
  #takers: Taker[] = []
  #kept: ReceivedDatagramCopy[] = []
  #errors: Error[] = []
  #closed = false
  /** Datagrams and bytes that came; and datagrams that were dropped because the iterator was slow. */
  messages = 0
  bytes = 0
  dropped = 0

  constructor(ring: Uring, resource: Resource, gro: boolean) {
    this.#ring = ring
    this.#resource = resource
    this.#controlRoom = gro ? CONTROL_BYTES : 0
  }

  /** Calls back for each datagram until `stop`. */
  receive(onDatagram: DatagramHandler, onError: DatagramErrorHandler): void {
    if (this.#handler !== null || this.#takers.length > 0)
      throw stateError('Cannot receive: another reader of this socket is waiting')
    this.#handler = onDatagram
    this.#onError = onError
    if (this.#closed) this.end()
    else this.#arm()
  }

  /** Ends what `receive` began. */
  stop(): void {
    this.#handler = null
    this.#onError = null
  }

  /** The next datagram, as a copy; null when the socket is closed. */
  next(): Promise<ReceivedDatagramCopy | null> {
    if (this.#handler !== null) throw stateError('Cannot receive: receive() takes all datagrams')
    const kept = this.#kept.shift()
    if (kept !== undefined) return Promise.resolve(kept)
    const error = this.#errors.shift()
    if (error !== undefined) throw error
    if (this.#closed) return Promise.resolve(null)
    const promise = new Promise<ReceivedDatagramCopy | null>((resolve, reject) => {
      this.#takers.push({ resolve, reject })
    })
    this.#arm()
    return promise
  }

  /** Ends the waits of `next`. */
  giveUp(error: Error): void {
    for (const { reject } of this.#takers.splice(0)) reject(error)
  }

  #arm(): void {
    if (this.#slot !== null || this.#closed || this.#resource.fd < 0) return
    const { engine } = this.#ring
    let slot: Slot | null
    try {
      this.#group ??= datagramBuffers(this.#ring)
      slot = engine.begin(IORING_OP_RECVMSG, undefined)
    } catch (error) {
      this.#tell(error as Error)
      return
    }
    if (slot === null) {
      engine.later(async () => this.#arm()).catch((error: Error) => this.#tell(error))
      return
    }
    const { scratch } = engine
    const at = scratch.offset(slot.index) / 4
    scratch.words.fill(0, at, at + MSGHDR_BYTES / 4)
    // Only the two lengths count: name and control data come in the buffer.
    scratch.words[at + 2] = NAME_BYTES
    writeU64(scratch.words, at + 10, this.#controlRoom)
    prepRecvmsgMultishot(slot.sqe, this.#resource.hold('recvmsg'), scratch.address(slot.index), 0)
    slot.resource = this.#resource
    this.#group.select(slot)
    slot.sink = this
    this.#slot = slot
    engine.commit(slot)
  }

  onCqe(res: number, flags: number, final: boolean): void {
    if (final) this.#slot = null
    if (res >= 0) this.#showSafely(res, flags)
    else if (res === -ENOBUFS) {
      this.#group!.onRelease(() => this.#arm())
      return
    } else if (res !== -ECANCELED) this.#tell(socketError(res, 'recvmsg'))
    else if (this.#ring.closed) this.#tell(ringClosedError())
    // Without a reader what comes stays in the kernel, which drops what it has no room for.
    if (final && (this.#handler !== null || this.#takers.length > 0)) this.#arm()
  }

  /** A callback that throws must not keep the request from being armed again. */
  #showSafely(length: number, flags: number): void {
    try {
      this.#group!.show(length, flags, this.#show)
    } catch (error) {
      throwLater(error)
    }
  }

  #deliver(datagram: Datagram): void {
    this.bytes += datagram.length
    if (this.#handler !== null) {
      this.#handler(datagram)
      return
    }
    const taker = this.#takers.shift()
    if (taker !== undefined) taker.resolve(datagram.copy())
    else if (this.#kept.length < KEPT) this.#kept.push(datagram.copy())
    else this.dropped++
  }

  /** An error of the socket: it says that an earlier datagram was refused, and ends nothing. */
  #tell(error: Error): void {
    if (this.#onError !== null) {
      this.#onError(error)
      return
    }
    const taker = this.#takers.shift()
    if (taker !== undefined) taker.reject(error)
    else if (this.#errors.length < KEPT) this.#errors.push(error)
  }

  /** The socket is closed. */
  end(): void {
    this.#closed = true
    for (const { resolve } of this.#takers.splice(0)) resolve(null)
    const onError = this.#onError
    this.stop()
    onError?.(null)
  }
}
