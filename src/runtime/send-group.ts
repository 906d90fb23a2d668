// Buffers that wait to be sent together: filled here, taken by the kernel in their order, all with one request.
// Flow: Uring.sendGroup, operations-provided → this → REGISTER_PBUF_RING. man io_uring_prep_send_bundle(3), io_uring_provided_buffers(7)
// A buffer ring whose buffers join one by one when they are filled. The kernel takes them from the head, so the oldest is free first.

import { SQE } from '../ring/sqe.ts'
import { IOSQE_BUFFER_SELECT } from '../sys/abi.ts'
import { errnoError, rangeError, stateError } from '../sys/error.ts'
import { storeRelease16, writeU64 } from '../sys/memory.ts'
import { checkInteger } from '../sys/validate.ts'
import { nextGroupId } from './buffer-group.ts'
import type { Engine } from './engine.ts'
import { checkView } from './operations.ts'
import type { Slot } from './slots.ts'

export interface SendGroupOptions {
  /** How many buffers: a power of two up to 32768; default 64. */
  entries?: number | undefined
  /** Bytes of each; default 4096. */
  bufferBytes?: number | undefined
}

const PAGE = 4096
/** The u16 that is the tail. */
const TAIL = 7

export class SendGroup {
  readonly id: number
  readonly entries: number
  readonly bufferBytes: number
  readonly #engine: Engine
  readonly #words: Int32Array
  readonly #halves: Uint16Array
  readonly #bytes: Uint8Array
  readonly #address: number
  /** Bytes in each buffer. */
  readonly #filled: Uint32Array
  /** Buffers that joined, and that were sent, since the group was made. */
  #tail = 0
  #head = 0
  #sending = false
  #closed = false

  constructor(engine: Engine, options: SendGroupOptions = {}) {
    const { entries = 64, bufferBytes = 4096 } = options
    checkInteger('options.entries', entries, 1, 32768)
    if ((entries & (entries - 1)) !== 0) throw rangeError('options.entries', 'a power of two', entries)
    checkInteger('options.bufferBytes', bufferBytes, 1, 1 << 24)
    this.#engine = engine
    this.id = nextGroupId(engine)
    this.entries = entries
    this.bufferBytes = bufferBytes
    const { ring } = engine
    const headerBytes = Math.ceil((entries * 16) / PAGE) * PAGE
    const memory = ring.driver.map(-1, headerBytes + entries * bufferBytes, 0)
    if (typeof memory === 'number') throw errnoError(memory, 'mmap')
    ring.hold(memory)
    this.#words = new Int32Array(memory, 0, entries * 4)
    this.#halves = new Uint16Array(memory, 0, entries * 8)
    this.#bytes = new Uint8Array(memory, headerBytes)
    this.#filled = new Uint32Array(entries)
    this.#address = ring.driver.addressOf(this.#bytes)
    ring.registerBufRing({ group: this.id, entries, address: this.#address - headerBytes, flags: 0 })
  }

  /** Bytes that wait to be sent. */
  get pending(): number {
    let bytes = 0
    for (let at = this.#head; at !== this.#tail; at++) bytes += this.#filled[at & (this.entries - 1)]!
    return bytes
  }

  /** Buffers that `add` could fill now. */
  get available(): number {
    return this.entries - (this.#tail - this.#head)
  }

  /**
   * Copies bytes behind those that wait already.
   * @returns how many were taken: fewer than given when all buffers are full
   */
  add(bytes: ArrayBufferView): number {
    checkView(bytes, 'bytes')
    if (this.#closed) throw stateError('Cannot add to the send group: it is closed')
    const source = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    let taken = 0
    while (taken < source.length && this.available > 0) {
      const slot = this.#tail & (this.entries - 1)
      const part = source.subarray(taken, taken + this.bufferBytes)
      this.#bytes.set(part, slot * this.bufferBytes)
      this.#filled[slot] = part.length
      writeU64(this.#words, slot * 4, this.#address + slot * this.bufferBytes)
      this.#words[slot * 4 + 2] = part.length
      // Only the lower half of the last word: the upper one is the tail in slot 0.
      this.#halves[slot * 8 + 6] = slot
      taken += part.length
      this.#tail++
    }
    storeRelease16(this.#halves, TAIL, this.#tail & 0xffff)
    return taken
  }

  /** Makes an operation take what waits. Only one at a time may: two would mix their bytes. */
  select(slot: Slot): void {
    slot.sqeFlags |= IOSQE_BUFFER_SELECT
    slot.sqe.words[SQE.BUF_INDEX] = this.id
    this.#sending = true
  }

  /** Checks that the group can be sent. */
  checkReady(): void {
    if (this.#closed) throw stateError('Cannot send the group: it is closed')
    if (this.#sending) throw stateError('Cannot send the group: it is being sent; wait for that')
    if (this.#head === this.#tail) throw stateError('Cannot send the group: nothing was added to it')
  }

  /** Takes note of bytes that were sent: the kernel lets go of every buffer it began. */
  sent(bytes: number): void {
    for (let rest = bytes; rest > 0 && this.#head !== this.#tail; this.#head++)
      rest -= this.#filled[this.#head & (this.entries - 1)]!
  }

  /** The request has ended. */
  ended(): void {
    this.#sending = false
  }

  /** Takes the group away from the kernel; what was not sent is forgotten. */
  close(): void {
    if (this.#closed) return
    if (this.#sending) throw stateError('Cannot close the send group: it is being sent')
    this.#closed = true
    if (!this.#engine.closed) this.#engine.ring.unregisterBufRing(this.id)
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
