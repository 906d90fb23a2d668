// A ring of provided buffers: the kernel chooses one when data is there, and we give it back when it was read.
// Flow: runtime, programs → this → REGISTER_PBUF_RING, memory shared with the kernel.
// man io_uring_setup_buf_ring(3), io_uring_register_buf_ring(3), io_uring_provided_buffers(7)
//
// Entries of 16 bytes: address, length, buffer id (u16), and two bytes that are the tail in entry 0 and nothing elsewhere.
// The memory is mapped and held by the native side as long as the ring's operations live; see buffer-ring-memory.ts.

import { invalidArgument, rangeError, stateError } from '../sys/error.ts'
import { storeRelease16, writeU64 } from '../sys/memory.ts'
import { type BufferRingOptions, closeBufRing, mappingsOf, openBufRing, TAIL } from './buffer-ring-memory.ts'
import type { Ring } from './ring.ts'

/** Whose a buffer is. */
const KERNEL = 0
const TAKEN = 1

export class BufferRing {
  readonly group: number
  readonly entries: number
  readonly bufferBytes: number
  readonly incremental: boolean
  /** Whether the ring itself lies in the kernel's memory. */
  readonly mapped: boolean
  /** The buffers, one behind the other: buffer `bid` starts at `bid * bufferBytes`. */
  readonly buffers: Uint8Array
  /** The address of `buffers`. */
  readonly address: number
  readonly #ring: Ring
  /** The entries. */
  readonly memory: ArrayBuffer
  readonly #words: Int32Array
  readonly #halves: Uint16Array
  readonly #owner: Uint8Array
  /** Bytes of each buffer that earlier completions used (incremental). */
  readonly #used: Uint32Array
  /** The slot of the ring that each buffer was added at: what the kernel takes together lies in slots behind each other. */
  readonly #slot: Uint16Array
  #tail = 0
  /** Buffers written behind the tail that `advance` has yet to publish. */
  #added = 0
  #available: number
  #closed = false

  /**
   * Maps the memory, registers the ring and gives all buffers to the kernel.
   * @throws {UringError} EEXIST the group is taken · EINVAL a kernel before 5.19 · ENOMEM
   * @throws ERR_RING_FEATURE the kernel knows no mapped rings (6.4) or no incremental ones (6.12)
   * @kernel 5.19 · IORING_REGISTER_PBUF_RING
   */
  constructor(ring: Ring, options: BufferRingOptions) {
    const { group, entries, bufferBytes, incremental = false, mapped = false } = options
    const { memory, buffers } = openBufRing(ring, options)
    this.group = group
    this.entries = entries
    this.bufferBytes = bufferBytes
    this.incremental = incremental
    this.mapped = mapped
    this.buffers = buffers
    this.address = ring.driver.addressOf(buffers)
    this.#ring = ring
    this.memory = memory
    this.#words = new Int32Array(memory, 0, entries * 4)
    this.#halves = new Uint16Array(memory, 0, entries * 8)
    this.#owner = new Uint8Array(entries).fill(TAKEN)
    this.#used = new Uint32Array(entries)
    this.#slot = new Uint16Array(entries)
    this.#available = 0
    for (let bid = 0; bid < entries; bid++) this.add(bid)
    this.advance()
  }

  /** Buffers that are the kernel's, as far as CQEs told: one it took already counts until `take`. */
  get available(): number {
    return this.#available
  }

  #check(bid: number): void {
    if (!(bid >= 0 && bid < this.entries)) throw rangeError('bid', `>= 0 && < ${this.entries}`, bid)
  }

  /**
   * Takes the buffer that a CQE names: its bytes are yours until `release`. Also after `close`, of what the kernel had begun.
   * @param bid the CQE's buffer id: `flags >>> 16`
   * @param length bytes that the kernel wrote: the CQE's `res`
   * @param more the CQE has IORING_CQE_F_BUF_MORE: the kernel goes on in the same buffer, so do not release it yet
   * @throws ERR_INVALID_STATE the buffer is taken already
   */
  take(bid: number, length: number, more = false): Uint8Array {
    const start = this.claim(bid, length, more)
    return this.buffers.subarray(start, start + length)
  }

  /** As `take`, without making a view: returns where in `buffers` the bytes start. */
  claim(bid: number, length: number, more = false): number {
    this.#check(bid)
    if (this.#owner[bid] !== KERNEL) throw stateError(`cannot take buffer ${bid}: it is taken already`)
    const used = this.#used[bid]!
    if (!(length >= 0 && used + length <= this.bufferBytes)) {
      throw rangeError('length', `>= 0 && <= ${this.bufferBytes - used}`, length)
    }
    if (more && !this.incremental) {
      throw invalidArgument('Cannot take a part of a buffer: the buffer ring is not incremental')
    }
    const start = bid * this.bufferBytes + used
    if (more) {
      this.#used[bid] = used + length
    } else {
      this.#owner[bid] = TAKEN
      this.#available--
    }
    return start
  }

  /** Bytes of a buffer that no completion used yet: all of them, unless the ring is incremental. */
  room(bid: number): number {
    this.#check(bid)
    return this.bufferBytes - this.#used[bid]!
  }

  /** Whether the buffer is the kernel's, as far as CQEs told. */
  isKernels(bid: number): boolean {
    this.#check(bid)
    return this.#owner[bid] === KERNEL
  }

  /**
   * The buffers of a bundle, in the order in which the kernel filled them: that of the ring, not of their numbers.
   * @param bid the CQE's buffer id: the first of them
   * @param length bytes of all: the CQE's `res`
   * @returns their ids; each but the last was filled up (an incremental first one from where it stood, see `room`)
   * @kernel 6.10 · IORING_RECVSEND_BUNDLE
   */
  bundle(bid: number, length: number): number[] {
    const bids = [bid]
    for (let rest = length - this.room(bid), slot = this.#slot[bid]!; rest > 0; rest -= this.bufferBytes) {
      slot = (slot + 1) & (this.entries - 1)
      bids.push(this.#halves[slot * 8 + 6]!)
    }
    return bids
  }

  /**
   * Gives a taken buffer back to the kernel; its bytes may change from now on.
   * @throws ERR_INVALID_STATE it is the kernel's already
   */
  release(bid: number): void {
    this.add(bid)
    this.advance()
  }

  /** Puts a taken buffer behind the tail; `advance` publishes it, several at once. @man io_uring_buf_ring_add(3) */
  add(bid: number): void {
    if (this.#closed) throw stateError('cannot use the buffer ring: it is closed')
    this.#check(bid)
    if (this.#owner[bid] !== TAKEN)
      throw stateError(`cannot release buffer ${bid}: the kernel has it already`)
    this.#owner[bid] = KERNEL
    this.#used[bid] = 0
    const slot = (this.#tail + this.#added) & (this.entries - 1)
    writeU64(this.#words, slot * 4, this.address + bid * this.bufferBytes)
    this.#words[slot * 4 + 2] = this.bufferBytes
    // Only the lower half of the last word: the upper one is the tail in slot 0.
    this.#halves[slot * 8 + 6] = bid
    this.#slot[bid] = slot
    this.#added++
    this.#available++
  }

  /** Publishes the buffers that were added; pairs with the kernel's acquire load of the tail. @man io_uring_buf_ring_advance(3) */
  advance(): void {
    if (this.#closed) throw stateError('cannot use the buffer ring: it is closed')
    this.#tail = (this.#tail + this.#added) & 0xffff
    this.#added = 0
    storeRelease16(this.#halves, TAIL, this.#tail)
  }

  /**
   * Asks the kernel how many buffers it has not used yet.
   * @kernel 6.8 · IORING_REGISTER_PBUF_STATUS
   * @man io_uring_buf_ring_available(3)
   */
  kernelAvailable(): number {
    return (this.#tail - this.#ring.bufRingHead(this.group)) & 0xffff
  }

  /**
   * Unregisters the group. Operations that hold a buffer keep its memory; theirs are the last CQEs that name it. The ring gives it
   * back when it finds that the kernel holds no operation.
   * @kernel 5.19 · IORING_UNREGISTER_PBUF_RING
   */
  close(): void {
    if (this.#closed) return
    closeBufRing(this.#ring, this.group, this.memory, this.mapped)
    this.#closed = true
    if (!this.#ring.closed) for (const memory of mappingsOf(this)) this.#ring.retire(memory)
  }

  /** Gives the memory back after `close`: who calls it knows that no operation uses the group. */
  letGo(): void {
    if (!this.#ring.closed) for (const memory of mappingsOf(this)) this.#ring.letGo(memory)
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
