// One send: its entry, and the bytes that it carries.
// Flow: sender.ts → this → engine.ts, op/prep-net.ts. man io_uring_prep_send(3), io_uring_prep_sendmsg(3), io_uring_prep_send_zc(3)
//
// Until the kernel is told of an entry it is ours to change: a later write of the same turn joins it, in the same pool chunk
// (small ones) or as a further iovec, for which the SEND becomes a SENDMSG. So one turn's writes are one send, at no cost to one.

import { prepSend, prepSendZc } from '../op/prep-net.ts'
import { SQE } from '../ring/sqe.ts'
import { CopyPool } from '../runtime/memory-pool.ts'
import type { Resource } from '../runtime/resource.ts'
import type { Sink, Slot } from '../runtime/slots.ts'
import type { Uring } from '../runtime/uring.ts'
import { IORING_CQE_F_NOTIF, IORING_OP_SEND, IORING_OP_SEND_ZC, IORING_OP_SENDMSG } from '../sys/abi.ts'
import { MSG_NOSIGNAL, MSG_WAITALL } from '../sys/constants.ts'
import { CTL } from '../sys/driver.ts'
import { EBADF } from '../sys/errno.ts'
import { bufferDetachedError, socketError } from '../sys/error.ts'
import { writeU64 } from '../sys/memory.ts'

/** A send takes no further piece beyond this, so that promises settle while very much is queued. */
const SEND_BYTES = 1 << 20
const MSGHDR_BYTES = 56
/** As many iovecs as fit behind a struct msghdr in a slot's scratch block. */
const IOVECS = 12
const FLAGS = MSG_NOSIGNAL | MSG_WAITALL

export class Outgoing {
  readonly #ring: Uring
  readonly #resource: Resource
  readonly #sink: Sink
  /** What may still be joined; the kernel may know of it already. */
  #slot: Slot | null = null
  /** The submission queue's tail behind its entry. */
  #tail = 0
  /** The first bytes, when they lie in a chunk of the pool; then those of #pieces. */
  #chunk = -1
  #chunkBytes = 0
  #pieces: Uint8Array[] = []
  /** Bytes in all. */
  length = 0

  constructor(ring: Uring, resource: Resource, sink: Sink) {
    this.#ring = ring
    this.#resource = resource
    this.#sink = sink
  }

  /**
   * Begins a send. Small bytes are copied, so that the caller may have its buffer back; others are lent.
   * @param stable the bytes are the sender's own: no copy is needed
   * @param zeroCopy takes its two CQEs, if it is to be sent without copying
   * @returns false when no slot is free now
   * @throws what can't be sent: a detached buffer, a closed ring, a closed socket
   */
  begin(bytes: Uint8Array, stable: boolean, zeroCopy: Sink | null = null): boolean {
    const { engine } = this.#ring
    const length = bytes.byteLength
    if (length === 0) throw bufferDetachedError()
    const address = engine.addresses.of(bytes)
    if (this.#resource.fd < 0) throw socketError(-EBADF, 'write')
    const slot = engine.begin(zeroCopy === null ? IORING_OP_SEND : IORING_OP_SEND_ZC, undefined)
    if (slot === null) return false
    const fd = this.#resource.hold('write')
    slot.resource = this.#resource
    slot.sink = zeroCopy ?? this.#sink
    this.length = length
    if (zeroCopy !== null) {
      slot.view = bytes
      slot.length = length
      this.#pieces.push(bytes)
      prepSendZc(slot.sqe, fd, address, length, FLAGS, 0)
    } else {
      this.#tail = engine.control[CTL.SQ_TAIL]!
      this.#slot = slot
      prepSend(slot.sqe, fd, this.#source(slot, bytes, address, stable), length, FLAGS)
    }
    engine.commit(slot)
    return true
  }

  #source(slot: Slot, bytes: Uint8Array, address: number, stable: boolean): number {
    const length = bytes.byteLength
    if (length <= CopyPool.BYTES && !stable) {
      const { copies } = this.#ring.engine
      const chunk = copies.take()
      if (chunk >= 0) {
        slot.chunk = chunk
        this.#chunk = chunk
        this.#chunkBytes = length
        return copies.fill(chunk, bytes)
      }
    }
    slot.view = bytes
    slot.length = length
    this.#pieces.push(bytes)
    return address
  }

  /** Adds bytes behind those that the send has; false when the kernel was told of it, or when no more fit. */
  join(bytes: Uint8Array, stable: boolean): boolean {
    const slot = this.#slot
    if (slot === null || !this.#ring.ring.isUnpublished(slot.sqe, this.#tail)) return false
    const length = bytes.byteLength
    if (this.#pieces.length === 0 && this.#chunkBytes + length <= CopyPool.BYTES) {
      this.#ring.engine.copies.fill(this.#chunk, bytes, this.#chunkBytes)
      this.#chunkBytes += length
      this.length += length
      slot.sqe.words[SQE.LEN] = this.length
      return true
    }
    const used = this.#pieces.length + (this.#chunkBytes > 0 ? 1 : 0)
    if (used === IOVECS || this.length > SEND_BYTES) return false
    const own = length <= CopyPool.BYTES && !stable ? Buffer.from(bytes) : bytes
    const address = this.#ring.engine.addresses.of(own)
    if (slot.opcode === IORING_OP_SEND) this.#toVector(slot)
    this.#pieces.push(own)
    this.#iovec(slot, used, address, length)
    this.length += length
    return true
  }

  /** Makes a SENDMSG of the SEND: its bytes become the first iovec. */
  #toVector(slot: Slot): void {
    const { scratch } = this.#ring.engine
    const { words } = slot.sqe
    const at = scratch.offset(slot.index) / 4
    const address = scratch.address(slot.index)
    scratch.words.fill(0, at, at + MSGHDR_BYTES / 4)
    writeU64(scratch.words, at + 4, address + MSGHDR_BYTES)
    const iovec = at + MSGHDR_BYTES / 4
    scratch.words[iovec] = words[SQE.ADDR]!
    scratch.words[iovec + 1] = words[SQE.ADDR + 1]!
    writeU64(scratch.words, iovec + 2, this.length)
    scratch.words[at + 6] = 1
    slot.opcode = IORING_OP_SENDMSG
    slot.held = this.#pieces
    words[SQE.OPCODE] = (words[SQE.OPCODE]! & ~0xff) | IORING_OP_SENDMSG
    writeU64(words, SQE.ADDR, address)
    words[SQE.LEN] = 1
  }

  #iovec(slot: Slot, index: number, address: number, length: number): void {
    const { scratch } = this.#ring.engine
    const at = scratch.offset(slot.index) / 4
    const iovec = at + MSGHDR_BYTES / 4 + index * 4
    writeU64(scratch.words, iovec, address)
    writeU64(scratch.words, iovec + 2, length)
    scratch.words[at + 6] = index + 1
  }

  /** The final CQE has come; the next send may begin. */
  clear(): void {
    this.#slot = null
    this.#chunk = -1
    this.#chunkBytes = 0
    // Not emptied: the slot of a zero-copy send may hold it.
    if (this.#pieces.length > 0) this.#pieces = []
    this.length = 0
  }

  /**
   * What is left of it after the first `sent` bytes. Call it while its final CQE is being settled: the chunk is free by then, but
   * nobody has taken it yet.
   */
  rest(sent: number): Uint8Array[] {
    const pieces = [...this.#pieces]
    if (this.#chunkBytes > 0) pieces.unshift(this.#ring.engine.copies.copy(this.#chunk, 0, this.#chunkBytes))
    let skip = sent
    while (skip > 0 && pieces.length > 0) {
      const first = pieces[0]!
      if (first.byteLength > skip) pieces[0] = first.subarray(skip)
      else pieces.shift()
      skip -= Math.min(skip, first.byteLength)
    }
    return pieces
  }
}

/** Takes the two CQEs of a zero-copy send: the result, and that the kernel no longer reads the memory. */
export class ZeroCopySend implements Sink {
  /** How many bytes of the stream lie before it. */
  readonly start: number
  readonly #onSent: (res: number) => void
  readonly #onFree: () => void
  /** The kernel no longer reads its memory. */
  free = false

  constructor(start: number, onSent: (res: number) => void, onFree: () => void) {
    this.start = start
    this.#onSent = onSent
    this.#onFree = onFree
  }

  onCqe(res: number, flags: number, final: boolean): void {
    if (final) this.free = true
    if ((flags & IORING_CQE_F_NOTIF) === 0) this.#onSent(res)
    if (final) this.#onFree()
  }
}
