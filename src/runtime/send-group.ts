// Buffers that wait to be sent together: filled here, taken by the kernel in their order, all with one request.
// Flow: Uring.sendGroup, operations-provided → this → REGISTER_PBUF_RING. man io_uring_prep_send_bundle(3), io_uring_provided_buffers(7)
// A buffer ring whose buffers join one by one when they are filled. The kernel (6.18) takes all that wait as soon as a request begins,
// also those that it does not come to send: then what is left is written anew behind the kernel's head, in the old order.

import { closeBufRing, mappingsOf, openBufRing, TAIL } from '../ring/buffer-ring-memory.ts'
import { SQE } from '../ring/sqe.ts'
import { IOSQE_BUFFER_SELECT } from '../sys/abi.ts'
import { argumentValueError, rangeError, stateError } from '../sys/error.ts'
import { storeRelease16, writeU64 } from '../sys/memory.ts'
import { checkBoolean, checkInteger } from '../sys/validate.ts'
import { freeGroupId, withGroupId } from './buffer-group.ts'
import type { Engine } from './engine.ts'
import { checkView } from './operations.ts'
import type { Slot } from './slots.ts'

export interface SendGroupOptions {
  /** How many buffers: a power of two up to 32768; default 64. */
  entries?: number | undefined
  /** Bytes of each; default 4096. */
  bufferBytes?: number | undefined
  /** The kernel provides the memory of the ring itself. @kernel 6.4 */
  mapped?: boolean | undefined
}

export class SendGroup {
  readonly id: number
  readonly entries: number
  readonly bufferBytes: number
  readonly #mapped: boolean
  readonly #engine: Engine
  readonly #memory: ArrayBuffer
  readonly #words: Int32Array
  readonly #halves: Uint16Array
  readonly #bytes: Uint8Array
  readonly #address: number
  /** Bytes of each buffer that wait, and where they begin in it. */
  readonly #left: Uint32Array
  readonly #begin: Uint32Array
  /** Buffers that joined, and that were sent, since the group was made: buffer `n` is memory `n & mask`. */
  #tail = 0
  #head = 0
  /** Buffer `n` stands at place `n + shift` of the ring, whose head is the kernel's. */
  #shift = 0
  #sending = false
  #closed = false

  constructor(engine: Engine, options: SendGroupOptions = {}) {
    const { entries = 64, bufferBytes = 4096, mapped = false } = options
    checkInteger('options.entries', entries, 1, 32768)
    if ((entries & (entries - 1)) !== 0) throw rangeError('options.entries', 'a power of two', entries)
    checkInteger('options.bufferBytes', bufferBytes, 1, 1 << 24)
    checkBoolean('options.mapped', mapped)
    this.#engine = engine
    this.#mapped = mapped
    this.entries = entries
    this.bufferBytes = bufferBytes
    const { id, memory, buffers } = withGroupId(engine, (group) => ({
      id: group,
      ...openBufRing(engine.ring, { group, entries, bufferBytes, mapped }),
    }))
    this.id = id
    this.#memory = memory
    this.#words = new Int32Array(memory, 0, entries * 4)
    this.#halves = new Uint16Array(memory, 0, entries * 8)
    this.#bytes = buffers
    this.#address = engine.ring.driver.addressOf(buffers)
    this.#left = new Uint32Array(entries)
    this.#begin = new Uint32Array(entries)
  }

  /** Bytes that wait to be sent. */
  get pending(): number {
    let bytes = 0
    for (let at = this.#head; at !== this.#tail; at++) bytes += this.#left[at & (this.entries - 1)]!
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
      const at = this.#tail & (this.entries - 1)
      const part = source.subarray(taken, taken + this.bufferBytes)
      this.#bytes.set(part, at * this.bufferBytes)
      this.#left[at] = part.length
      this.#begin[at] = 0
      taken += part.length
      this.#place(this.#tail++)
    }
    this.#publish()
    return taken
  }

  /** Writes a buffer's entry into the ring. */
  #place(buffer: number): void {
    const mask = this.entries - 1
    const slot = (buffer + this.#shift) & mask
    const at = buffer & mask
    writeU64(this.#words, slot * 4, this.#address + at * this.bufferBytes + this.#begin[at]!)
    this.#words[slot * 4 + 2] = this.#left[at]!
    // Only the lower half of the last word: the upper one is the tail in slot 0.
    this.#halves[slot * 8 + 6] = at
  }

  #publish(): void {
    storeRelease16(this.#halves, TAIL, (this.#tail + this.#shift) & 0xffff)
  }

  /** Makes an operation take what waits. Only one at a time may: two would mix their bytes. */
  select(slot: Slot): void {
    slot.sqeFlags |= IOSQE_BUFFER_SELECT
    slot.sqe.words[SQE.BUF_INDEX] = this.id
    this.#sending = true
  }

  /** Checks that the group can be sent with a ring. */
  checkReady(engine: Engine): void {
    if (this.#engine !== engine)
      throw argumentValueError('group', this, 'must be of the ring that it is used with')
    if (this.#closed) throw stateError('Cannot send the group: it is closed')
    if (this.#sending) throw stateError('Cannot send the group: it is being sent; wait for that')
    if (this.#head === this.#tail) throw stateError('Cannot send the group: nothing was added to it')
  }

  /** Takes note of bytes that were sent. */
  sent(bytes: number): void {
    for (let rest = bytes; rest > 0 && this.#head !== this.#tail; ) {
      const at = this.#head & (this.entries - 1)
      const part = Math.min(rest, this.#left[at]!)
      this.#left[at]! -= part
      this.#begin[at]! += part
      rest -= part
      if (this.#left[at] === 0) this.#head++
    }
  }

  /** The request has ended. What it took and did not send waits again, first of all. */
  ended(): void {
    this.#sending = false
    if (this.#head === this.#tail || this.#engine.closed) return
    // Nobody reads the ring between two requests, so its entries may be written anew.
    this.#shift = (this.#engine.ring.bufRingHead(this.id) - this.#head) | 0
    for (let buffer = this.#head; buffer !== this.#tail; buffer++) this.#place(buffer)
    this.#publish()
  }

  /** Takes the group away from the kernel; what was not sent is forgotten. */
  close(): void {
    if (this.#closed) return
    if (this.#sending) throw stateError('Cannot close the send group: it is being sent')
    this.#closed = true
    const { ring, closed } = this.#engine
    if (closed) return
    closeBufRing(ring, this.id, this.#memory, this.#mapped)
    for (const memory of mappingsOf({ memory: this.#memory, buffers: this.#bytes })) ring.letGo(memory)
    freeGroupId(this.#engine, this.id)
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
