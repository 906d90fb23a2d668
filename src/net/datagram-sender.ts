// The sending half of a UDP socket: each datagram is an entry, and all of one turn go down with one system call.
// Flow: udp-socket.ts → this → engine.ts, op/prep-net.ts. man io_uring_prep_sendto(3), udp(7)

import { prepSend, prepSendmsg, prepSendSetAddr } from '../op/prep-net.ts'
import { CopyPool } from '../runtime/memory-pool.ts'
import type { Resource } from '../runtime/resource.ts'
import type { Sink, Slot } from '../runtime/slots.ts'
import type { Uring } from '../runtime/uring.ts'
import { IORING_OP_SEND, IORING_OP_SENDMSG } from '../sys/abi.ts'
import { MSG_NOSIGNAL, UDP_SEGMENT } from '../sys/constants.ts'
import { EBADF, ECANCELED } from '../sys/errno.ts'
import { ringClosedError, socketError } from '../sys/error.ts'
import { writeU64 } from '../sys/memory.ts'
import { decodeSockaddr } from '../sys/sockaddr.ts'

/** More bytes than this that wait, and a sender should wait too. */
const HIGH_WATER = 262144
const SOL_UDP = 17
/** In the scratch block: struct msghdr, one iovec, one control message, the address. */
const IOVEC_AT = 56
const CONTROL_AT = 72
const CONTROL_BYTES = 24
const NAME_AT = 96

/** Takes the CQE of one datagram. */
class Departure implements Sink {
  readonly #sender: DatagramSender
  readonly #length: number
  readonly #name: Uint8Array | null
  readonly #resolve: ((bytes: number) => void) | null
  readonly #reject: ((error: Error) => void) | null

  constructor(
    sender: DatagramSender,
    length: number,
    name: Uint8Array | null,
    resolve: ((bytes: number) => void) | null,
    reject: ((error: Error) => void) | null,
  ) {
    this.#sender = sender
    this.#length = length
    this.#name = name
    this.#resolve = resolve
    this.#reject = reject
  }

  onCqe(res: number): void {
    this.#sender.departed(this.#length, res)
    if (res >= 0) {
      this.#resolve?.(res)
      return
    }
    const error = this.#sender.errorOf(res, this.#name)
    if (this.#reject !== null) this.#reject(error)
    else this.#sender.onError?.(error)
  }

  /** It could not even begin. */
  fail(error: Error): void {
    this.#sender.departed(this.#length, 0)
    if (this.#reject !== null) this.#reject(error)
    else this.#sender.onError?.(error)
  }
}

export class DatagramSender {
  readonly #ring: Uring
  readonly #resource: Resource
  #pending = 0
  #whenIdle: (() => void)[] = []
  /** Is told of datagrams that were refused, when they have no promise. */
  onError: ((error: Error) => void) | null = null
  /** Datagrams and bytes that the kernel took. */
  messages = 0
  bytes = 0

  constructor(ring: Uring, resource: Resource) {
    this.#ring = ring
    this.#resource = resource
  }

  /** Bytes that wait to be sent. */
  get pending(): number {
    return this.#pending
  }

  /** Sends without a promise; false when much waits. */
  send(bytes: Uint8Array, name: Uint8Array | null): boolean {
    this.#begin(bytes, name, 0, new Departure(this, bytes.byteLength, name, null, null))
    return this.#pending < HIGH_WATER
  }

  /** Sends one datagram, or with `segment` bytes each as many as there are. */
  write(bytes: Uint8Array, name: Uint8Array | null, segment: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#begin(bytes, name, segment, new Departure(this, bytes.byteLength, name, resolve, reject))
    })
  }

  #begin(bytes: Uint8Array, name: Uint8Array | null, segment: number, departure: Departure): void {
    this.#pending += bytes.byteLength
    this.#submit(bytes, name, segment, departure)
  }

  #submit(bytes: Uint8Array, name: Uint8Array | null, segment: number, departure: Departure): void {
    const { engine } = this.#ring
    try {
      if (this.#resource.fd < 0) throw socketError(-EBADF, 'send')
      const slot = engine.begin(segment > 0 ? IORING_OP_SENDMSG : IORING_OP_SEND, undefined)
      if (slot === null) {
        // What must wait is copied if it is small, so that the caller may have its buffer back either way.
        const kept = bytes.byteLength <= CopyPool.BYTES ? Uint8Array.from(bytes) : bytes
        engine
          .later(async () => this.#submit(kept, name, segment, departure))
          .catch((error: Error) => departure.fail(error))
        return
      }
      slot.resource = this.#resource
      slot.sink = departure
      this.#write(slot, this.#resource.hold('send'), bytes, name, segment)
      engine.commit(slot)
    } catch (error) {
      departure.fail(error as Error)
    }
  }

  #write(slot: Slot, fd: number, bytes: Uint8Array, name: Uint8Array | null, segment: number): void {
    const { scratch } = this.#ring.engine
    const at = scratch.offset(slot.index)
    const address = scratch.address(slot.index)
    const source = this.#source(slot, bytes)
    if (name !== null) scratch.bytes.set(name, at + NAME_AT)
    if (segment === 0) {
      prepSend(slot.sqe, fd, source, bytes.byteLength, MSG_NOSIGNAL)
      if (name !== null) prepSendSetAddr(slot.sqe, address + NAME_AT, name.length)
      return
    }
    const { words } = scratch
    const word = at / 4
    words.fill(0, word, word + NAME_AT / 4)
    if (name !== null) {
      writeU64(words, word, address + NAME_AT)
      words[word + 2] = name.length
    }
    writeU64(words, word + 4, address + IOVEC_AT)
    words[word + 6] = 1
    writeU64(words, word + 8, address + CONTROL_AT)
    words[word + 10] = CONTROL_BYTES
    writeU64(words, word + IOVEC_AT / 4, source)
    writeU64(words, word + IOVEC_AT / 4 + 2, bytes.byteLength)
    // struct cmsghdr: a 64-bit length (header and data), level, type; then the size of a segment as u16.
    const control = word + CONTROL_AT / 4
    words[control] = 18
    words[control + 2] = SOL_UDP
    words[control + 3] = UDP_SEGMENT
    words[control + 4] = segment
    prepSendmsg(slot.sqe, fd, address, MSG_NOSIGNAL)
  }

  /** Copies what is small, so that the caller may have its buffer back; lends what is not. */
  #source(slot: Slot, bytes: Uint8Array): number {
    const { engine } = this.#ring
    const { byteLength } = bytes
    if (byteLength === 0) return 0
    if (byteLength <= CopyPool.BYTES) {
      const chunk = engine.copies.take()
      if (chunk >= 0) {
        slot.chunk = chunk
        return engine.copies.fill(chunk, bytes)
      }
    }
    slot.view = bytes
    slot.length = byteLength
    return engine.addresses.of(bytes)
  }

  /** One datagram is with the kernel, or refused. */
  departed(length: number, res: number): void {
    this.#pending -= length
    if (res > 0 || (res === 0 && length === 0)) {
      this.messages++
      this.bytes += res
    }
    if (this.#pending === 0) for (const idle of this.#whenIdle.splice(0)) idle()
  }

  errorOf(res: number, name: Uint8Array | null): Error {
    if (res === -ECANCELED && this.#ring.closed) return ringClosedError()
    const to = name === null ? undefined : decodeSockaddr(name)
    return socketError(
      res,
      'send',
      to !== undefined && 'port' in to ? { address: to.address, port: to.port } : {},
    )
  }

  /** Resolves when nothing waits to be sent. */
  drained(): Promise<void> {
    if (this.#pending === 0) return Promise.resolve()
    return new Promise<void>((resolve) => {
      this.#whenIdle.push(resolve)
    })
  }
}
