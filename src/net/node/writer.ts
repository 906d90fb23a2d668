// The sending half of a handle: one send at a time, so that bytes keep their order, and what one turn writes in one send.
// Flow: handle.ts → this → engine.ts, memory-pool.ts. man io_uring_prep_send(3)
// A small write is copied into a chunk of the ring's and done at once, as one is in libuv that the kernel's buffer takes; until
// the entry is submitted, more of them join it. A large one is sent at once, while its bytes are in the CPU's caches: a batch of
// large sends took twice the CPU time. What the kernel has no room for goes through the ring, and is done when it was taken: so a
// peer that stops reading is felt.

import { prepWrite } from '../../op/prep-file.ts'
import { prepSend } from '../../op/prep-net.ts'
import { SQE } from '../../ring/sqe.ts'
import type { Engine } from '../../runtime/engine.ts'
import { CopyPool } from '../../runtime/memory-pool.ts'
import type { Resource } from '../../runtime/resource.ts'
import type { Sink, Slot } from '../../runtime/slots.ts'
import { IORING_OP_SEND, IORING_OP_WRITE, IORING_SETUP_SQPOLL } from '../../sys/abi.ts'
import { MSG_DONTWAIT, MSG_NOSIGNAL, MSG_WAITALL } from '../../sys/constants.ts'
import { CTL } from '../../sys/driver.ts'
import { EAGAIN, EBADF, ECANCELED, EINTR } from '../../sys/errno.ts'
import { ringClosedError, socketError } from '../../sys/error.ts'
import { writeU64 } from '../../sys/memory.ts'
import { syscallNumbers } from '../../sys/syscalls.ts'

export type WriteDone = (error?: Error | null) => void
export type Encoding = BufferEncoding | 'buffer'
/** A write as a Duplex keeps it. */
export interface Piece {
  chunk: Uint8Array | string
  encoding: Encoding
}

/** Who is told what no callback can tell, and that the kernel took something. */
export interface WriteOwner {
  onWriteError(error: Error): void
  onWritten(): void
}

/** Pieces that wait are merged up to so many bytes. */
const MERGE_BYTES = 65536
const nr = syscallNumbers()
const UNREFERENCED = { ref: false } as const

export class Writer implements Sink {
  readonly #engine: Engine
  readonly #resource: Resource
  readonly #owner: WriteOwner
  /** A FIFO takes WRITE, not SEND. */
  readonly #isFifo: boolean
  /** The request in flight, the enter call that it was written before, and the bytes of its chunk; 0 when it lends. */
  #slot: Slot | null = null
  #epoch = 0
  #chunkBytes = 0
  /** The caller's memory that is being sent, and how much of it the kernel took. */
  #bytes: Uint8Array | null = null
  #sent = 0
  /** What waits behind the send in flight. */
  readonly #queue: Uint8Array[] = []
  #waitsForSlot = false
  /** Of the write that is not done yet: a Duplex writes one at a time. */
  #done: WriteDone | null = null
  #whenIdle: (() => void) | null = null
  #failed = false
  referenced = true
  /** Bytes of all writes. */
  bytes = 0

  constructor(engine: Engine, resource: Resource, owner: WriteOwner, isFifo: boolean) {
    this.#engine = engine
    this.#resource = resource
    this.#owner = owner
    this.#isFifo = isFifo
  }

  /** The request in flight. */
  get slot(): Slot | null {
    return this.#slot
  }

  /** Bytes that the kernel has yet to take. */
  get queueSize(): number {
    let bytes = this.#chunkBytes + (this.#bytes === null ? 0 : this.#bytes.byteLength - this.#sent)
    for (const { byteLength } of this.#queue) bytes += byteLength
    return bytes
  }

  get #isIdle(): boolean {
    return this.#slot === null && this.#bytes === null && !this.#waitsForSlot
  }

  /** Whether the kernel has not seen the entry in flight: a SQPOLL thread may look at any time, others look in enter. */
  get #isUnseen(): boolean {
    const { control, ring } = this.#engine
    return (
      this.#slot !== null &&
      control[CTL.ENTERS] === this.#epoch &&
      (ring.setupFlags & IORING_SETUP_SQPOLL) === 0
    )
  }

  /**
   * Takes one write.
   * @param done is called at once when the bytes were copied
   */
  write(chunk: Uint8Array | string, encoding: Encoding, done: WriteDone): void {
    const copied = this.#join(chunk, encoding)
    if (copied >= 0) {
      this.bytes += copied
      done()
      return
    }
    const bytes = bytesOf(chunk, encoding)
    if (bytes.byteLength === 0) {
      done()
      return
    }
    this.bytes += bytes.byteLength
    this.#done = done
    if (this.#send(bytes)) this.#settle(null)
  }

  /** Takes several writes as one. */
  writev(pieces: readonly Piece[], done: WriteDone): void {
    let at = 0
    for (; at < pieces.length && fitsAll(pieces); at++) {
      const copied = this.#join(pieces[at]!.chunk, pieces[at]!.encoding)
      if (copied < 0) break
      this.bytes += copied
    }
    if (at === pieces.length) {
      done()
      return
    }
    const rest: Uint8Array[] = []
    let restBytes = 0
    for (; at < pieces.length; at++) {
      const bytes = bytesOf(pieces[at]!.chunk, pieces[at]!.encoding)
      restBytes += bytes.byteLength
      if (bytes.byteLength > 0) rest.push(bytes)
    }
    this.bytes += restBytes
    this.#done = done
    const merged = rest.length > 1 && restBytes <= MERGE_BYTES ? [Buffer.concat(rest, restBytes)] : rest
    let isTaken = true
    for (const bytes of merged) isTaken = this.#send(bytes) && isTaken
    if (isTaken) this.#settle(null)
  }

  /** Sends what is large: now, as much of it as the kernel takes, and through the ring what is left. Returns whether that was all. */
  #send(bytes: Uint8Array): boolean {
    const isFirst = this.#isIdle && this.#queue.length === 0
    if (!isFirst || this.#isFifo || this.#failed || this.#resource.fd < 0) {
      this.#queue.push(bytes)
      if (isFirst) this.#next()
      return false
    }
    const engine = this.#engine
    const { driver } = engine.ring
    const flags = MSG_DONTWAIT | MSG_NOSIGNAL
    const address = engine.addresses.of(bytes)
    const res = driver.syscall(nr.sendto, this.#resource.fd, address, bytes.byteLength, flags, 0, 0)
    if (res === bytes.byteLength) return true
    if (res >= 0 || res === -EAGAIN || res === -EINTR) {
      this.#queue.push(bytes.subarray(Math.max(res, 0)))
      this.#next()
    } else this.#fail(socketError(res, 'write'))
    return false
  }

  /** Copies a small write into the entry that the kernel has not seen, or into a new one; -1 when that can't be. */
  #join(chunk: Uint8Array | string, encoding: Encoding): number {
    const used = this.#chunkBytes
    const room = CopyPool.BYTES - used
    if (typeof chunk === 'string' ? !fits(chunk, encoding, room) : chunk.byteLength > room) return -1
    const { copies } = this.#engine
    let slot = this.#slot
    if (slot === null) {
      if (this.#failed || this.#bytes !== null || this.#waitsForSlot) return -1
      slot = this.#beginChunk()
      if (slot === null) return -1
    } else if (used === 0 || this.#queue.length > 0 || !this.#isUnseen) {
      return -1
    }
    const memory = copies.memory(slot.chunk)
    const at = copies.offset(slot.chunk) + used
    let bytes: number
    if (typeof chunk === 'string') bytes = memory.write(chunk, at, room, encoding as BufferEncoding)
    else {
      bytes = chunk.byteLength
      memory.set(chunk, at)
    }
    this.#chunkBytes = used + bytes
    slot.sqe.words[SQE.LEN] = this.#chunkBytes
    return bytes
  }

  /** An entry that sends a chunk, still empty; null when one can't be had now. */
  #beginChunk(): Slot | null {
    const engine = this.#engine
    // A chain that is being written would take the entry for one of its steps.
    if (engine.closed || engine.linking !== 0 || this.#resource.fd < 0) return null
    const chunk = engine.copies.take()
    if (chunk < 0) return null
    const slot = this.#beginSlot()
    if (slot === null) {
      engine.copies.give(chunk)
      return null
    }
    slot.chunk = chunk
    this.#prepare(slot, engine.copies.address(chunk), 0, MSG_WAITALL)
    return slot
  }

  #beginSlot(): Slot | null {
    const engine = this.#engine
    const opcode = this.#isFifo ? IORING_OP_WRITE : IORING_OP_SEND
    return engine.begin(opcode, this.referenced ? undefined : UNREFERENCED)
  }

  #prepare(slot: Slot, address: number, length: number, flags: number): void {
    const engine = this.#engine
    const fd = this.#resource.hold()
    if (this.#isFifo) prepWrite(slot.sqe, fd, address, length, -1)
    else prepSend(slot.sqe, fd, address, length, MSG_NOSIGNAL | flags)
    slot.resource = this.#resource
    slot.sink = this
    engine.commit(slot)
    this.#slot = slot
    this.#epoch = engine.control[CTL.ENTERS]!
  }

  /** Sends the rest of what is being sent, or what waits. */
  #next(): void {
    if (this.#bytes === null) this.#choose()
    const bytes = this.#bytes!
    const engine = this.#engine
    if (this.#resource.fd < 0) {
      this.#fail(socketError(-EBADF, 'write'))
      return
    }
    try {
      // Asked for first: it may throw, and what is begun must be written.
      const address = engine.addresses.of(bytes)
      const slot = engine.linking === 0 ? this.#beginSlot() : null
      if (slot === null) {
        this.#later()
        return
      }
      slot.view = bytes
      slot.length = bytes.byteLength
      // Of what is long, no MSG_WAITALL: each part that the kernel took is a sign of life, which a timeout looks for.
      const rest = bytes.byteLength - this.#sent
      this.#prepare(slot, address + this.#sent, rest, rest > MERGE_BYTES ? 0 : MSG_WAITALL)
    } catch (error) {
      this.#fail(error as Error)
    }
  }

  #later(): void {
    this.#waitsForSlot = true
    const again = (): void => {
      this.#waitsForSlot = false
      if (!this.#failed) this.#next()
    }
    if (this.#engine.linking !== 0) process.nextTick(again)
    else this.#engine.later(async () => again()).catch((error: Error) => this.#fail(error))
  }

  /** Takes the first piece that waits, and as many after it as fit in one send. */
  #choose(): void {
    let total = 0
    let count = 0
    for (const { byteLength } of this.#queue) {
      if (count > 0 && total + byteLength > MERGE_BYTES) break
      total += byteLength
      count++
    }
    const pieces = this.#queue.splice(0, count)
    this.#bytes = count === 1 ? pieces[0]! : Buffer.concat(pieces, total)
    this.#sent = 0
  }

  /** The CQE of the send in flight. */
  onCqe(res: number): void {
    this.#slot = null
    this.#chunkBytes = 0
    if (res < 0) {
      const isClosed = res === -ECANCELED && this.#engine.closed
      this.#fail(isClosed ? ringClosedError() : socketError(res, 'write'))
      return
    }
    if (this.#bytes !== null) {
      this.#sent += res
      if (this.#sent >= this.#bytes.byteLength) this.#bytes = null
    }
    this.#owner.onWritten()
    if (this.#bytes !== null || this.#queue.length > 0) {
      this.#next()
      return
    }
    this.#settle(null)
    if (this.#isIdle) this.#idle()
  }

  #settle(error: Error | null): void {
    const done = this.#done
    this.#done = null
    done?.(error)
  }

  #idle(): void {
    const idle = this.#whenIdle
    this.#whenIdle = null
    idle?.()
  }

  #fail(error: Error): void {
    if (this.#failed) return
    this.#failed = true
    this.#bytes = null
    this.#queue.length = 0
    if (this.#done !== null) this.#settle(error)
    else this.#owner.onWriteError(error)
    this.#idle()
  }

  /** Calls back when the kernel took all, or nothing can be sent any more: at once when that is so already. */
  whenIdle(idle: () => void): void {
    if (this.#failed || this.#isIdle) idle()
    else this.#whenIdle = idle
  }

  /**
   * The last chance to send, in front of the cancel request that follows: `rest` is what the Duplex still holds. What finds the
   * kernel's buffer full, or waits behind a send that did, is lost, as it is with libuv.
   */
  finish(rest: readonly Piece[]): void {
    const pieces = [...this.#queue.splice(0), ...rest.map(({ chunk, encoding }) => bytesOf(chunk, encoding))]
    if (pieces.length === 0 || this.#failed) return
    if (this.#isIdle) {
      this.#queue.push(Buffer.concat(pieces))
      this.#next()
      return
    }
    if (!this.#isUnseen) return
    // The entry is still ours: it sends all of it.
    const engine = this.#engine
    const slot = this.#slot!
    if (this.#bytes !== null) pieces.unshift(this.#bytes.subarray(this.#sent))
    else {
      const at = engine.copies.offset(slot.chunk)
      pieces.unshift(engine.copies.memory(slot.chunk).subarray(at, at + this.#chunkBytes))
    }
    const all = Buffer.concat(pieces)
    slot.view = all
    slot.length = all.byteLength
    this.#bytes = all
    this.#sent = 0
    writeU64(slot.sqe.words, SQE.ADDR, engine.addresses.of(all))
    slot.sqe.words[SQE.LEN] = all.byteLength
  }
}

function bytesOf(chunk: Uint8Array | string, encoding: Encoding): Uint8Array {
  if (typeof chunk === 'string') return Buffer.from(chunk, encoding as BufferEncoding)
  // Memory that may shrink under the kernel is not lent.
  return (chunk.buffer as { resizable?: boolean }).resizable === true ? Buffer.from(chunk) : chunk
}

/** Whether text has at most `room` bytes; it has at most three for each of its units. */
function fits(text: string, encoding: Encoding, room: number): boolean {
  if (text.length * 3 <= room) return true
  return text.length <= room * 2 && Buffer.byteLength(text, encoding as BufferEncoding) <= room
}

/** Whether pieces are small enough to be copied, as far as their lengths tell. */
function fitsAll(pieces: readonly Piece[]): boolean {
  let total = 0
  for (const { chunk } of pieces) total += chunk.length
  return total <= CopyPool.BYTES
}
