// A ring of provided buffers: the kernel chooses one when data is there, and we give it back when it was read.
// Flow: runtime, programs → this → REGISTER_PBUF_RING, memory shared with the kernel.
// man io_uring_setup_buf_ring(3), io_uring_register_buf_ring(3), io_uring_provided_buffers(7)
//
// Entries of 16 bytes: address, length, buffer id (u16), and two bytes that are the tail in entry 0 and nothing elsewhere.
// The memory is a mapping of ours that the native side holds as long as the ring's operations live.

import * as abi from '../sys/abi.ts'
import { errnoError, invalidArgument, rangeError, stateError } from '../sys/error.ts'
import { storeRelease16, writeU64 } from '../sys/memory.ts'
import { checkInteger } from '../sys/validate.ts'
import type { Ring } from './ring.ts'

const PAGE_BYTES = 4096
/** The u16 that is the tail. */
const TAIL = 7

export interface BufferRingOptions {
  /** Buffer group, 0 to 65,535: what requests with IOSQE_BUFFER_SELECT name. */
  group: number
  /** Buffers: a power of two up to 32,768. */
  entries: number
  /** Bytes of each. */
  bufferBytes: number
  /** A buffer may serve several completions, each taking on where the last one ended. @kernel 6.12 */
  incremental?: boolean | undefined
}

/** Whose a buffer is. */
const KERNEL = 0
const TAKEN = 1

export class BufferRing {
  readonly group: number
  readonly entries: number
  readonly bufferBytes: number
  readonly incremental: boolean
  /** The buffers, one behind the other: buffer `bid` starts at `bid * bufferBytes`. */
  readonly buffers: Uint8Array
  /** The address of `buffers`. */
  readonly address: number
  readonly #ring: Ring
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
   * @throws {UringError} EEXIST the group is taken · EINVAL a kernel before 5.19 (6.12 for incremental) · ENOMEM
   * @kernel 5.19 · IORING_REGISTER_PBUF_RING
   */
  constructor(ring: Ring, options: BufferRingOptions) {
    const { group, entries, bufferBytes, incremental = false } = options
    checkInteger('group', group, 0, 0xffff)
    checkInteger('entries', entries, 1, abi.PBUF_RING_MAX_ENTRIES)
    if ((entries & (entries - 1)) !== 0) throw rangeError('entries', 'a power of two', entries)
    checkInteger('bufferBytes', bufferBytes, 1, 0x7fffffff)
    const headerBytes = Math.ceil((entries * 16) / PAGE_BYTES) * PAGE_BYTES
    const memory = ring.driver.map(-1, headerBytes + entries * bufferBytes, 0)
    if (typeof memory === 'number') throw errnoError(memory, 'mmap')
    this.group = group
    this.entries = entries
    this.bufferBytes = bufferBytes
    this.incremental = incremental
    this.buffers = new Uint8Array(memory, headerBytes)
    this.address = ring.driver.addressOf(this.buffers)
    this.#ring = ring
    this.#words = new Int32Array(memory, 0, entries * 4)
    this.#halves = new Uint16Array(memory, 0, entries * 8)
    this.#owner = new Uint8Array(entries).fill(TAKEN)
    this.#used = new Uint32Array(entries)
    this.#slot = new Uint16Array(entries)
    this.#available = 0
    // Held before the kernel hears of it, so that no way out leaves it with memory that may go.
    ring.hold(memory)
    const flags = incremental ? abi.IOU_PBUF_RING_INC : 0
    ring.registerBufRing({ group, entries, address: this.address - headerBytes, flags })
    for (let bid = 0; bid < entries; bid++) this.add(bid)
    this.advance()
  }

  /** Buffers that are the kernel's, as far as CQEs told: one it took already counts until `take`. */
  get available(): number {
    return this.#available
  }

  #check(bid: number): void {
    if (this.#closed) throw stateError('cannot use the buffer ring: it is closed')
    if (!(bid >= 0 && bid < this.entries)) throw rangeError('bid', `>= 0 && < ${this.entries}`, bid)
  }

  /**
   * Takes the buffer that a CQE names: its bytes are yours until `release`.
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

  /**
   * The buffers of a bundle, in the order in which the kernel filled them: that of the ring, not of their numbers.
   * @param bid the CQE's buffer id: the first of them
   * @param length bytes of all: the CQE's `res`
   * @returns their ids; each but the last is full
   * @kernel 6.10 · IORING_RECVSEND_BUNDLE
   */
  bundle(bid: number, length: number): number[] {
    this.#check(bid)
    if (this.incremental)
      throw invalidArgument('Cannot tell the buffers of a bundle: the buffer ring is incremental')
    const bids = [bid]
    for (let rest = length - this.bufferBytes, slot = this.#slot[bid]!; rest > 0; rest -= this.bufferBytes) {
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
   * Unregisters the group. Operations that hold a buffer keep its memory; theirs are the last CQEs that name it.
   * @kernel 5.19 · IORING_UNREGISTER_PBUF_RING
   */
  close(): void {
    if (this.#closed) return
    if (!this.#ring.closed) this.#ring.unregisterBufRing(this.group)
    this.#closed = true
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
