// Memory of the library's own that the kernel may use: a scratch block per slot, a pool of chunks for small writes, and the
// arena that `alloc` hands out. It is mapped, page-aligned, held by the ring until the kernel is done, and so unconditionally safe.
// Flow: engine.ts, operations-* → this → sys/driver.

import type { Driver, RingHandle } from '../sys/driver.ts'
import { errnoError, stateError } from '../sys/error.ts'

const PAGE = 4096

/** Maps pages that live at least as long as the ring's last operation. */
function mapHeld(driver: Driver, ring: RingHandle, bytes: number): ArrayBuffer {
  const memory = driver.map(-1, bytes, 0)
  if (typeof memory === 'number') throw errnoError(memory, 'mmap')
  const held = driver.hold(ring, memory)
  if (held < 0) throw errnoError(held, 'mmap')
  return memory
}

/** One block per slot, for paths, addresses, timespecs and what else an operation points to. */
export class Scratch {
  static readonly BYTES = 256
  readonly bytes: Buffer
  readonly words: Int32Array
  readonly #address: number

  constructor(driver: Driver, ring: RingHandle, slots: number) {
    const memory = mapHeld(driver, ring, slots * Scratch.BYTES)
    this.bytes = Buffer.from(memory)
    this.words = new Int32Array(memory)
    this.#address = driver.addressOf(this.bytes)
  }

  /** Byte offset of a slot's block in `bytes`. */
  offset(slot: number): number {
    return slot * Scratch.BYTES
  }

  /** Address of a slot's block. */
  address(slot: number): number {
    return this.#address + slot * Scratch.BYTES
  }
}

/** Chunks that small writes are copied to: the caller may touch, transfer or drop its buffer at once. */
export class CopyPool {
  static readonly BYTES = 4096
  static readonly #PER_REGION = 64
  static readonly #REGIONS = 16
  readonly #driver: Driver
  readonly #ring: RingHandle
  readonly #regions: { bytes: Buffer; address: number }[] = []
  readonly #free: number[] = []

  constructor(driver: Driver, ring: RingHandle) {
    this.#driver = driver
    this.#ring = ring
  }

  /** Takes a chunk, or -1 when all are in flight: the caller then lends its own memory. */
  take(): number {
    if (this.#free.length === 0 && this.#regions.length < CopyPool.#REGIONS) this.#grow()
    return this.#free.pop() ?? -1
  }

  #grow(): void {
    const memory = mapHeld(this.#driver, this.#ring, CopyPool.BYTES * CopyPool.#PER_REGION)
    const bytes = Buffer.from(memory)
    const first = this.#regions.length * CopyPool.#PER_REGION
    this.#regions.push({ bytes, address: this.#driver.addressOf(bytes) })
    for (let i = CopyPool.#PER_REGION - 1; i >= 0; i--) this.#free.push(first + i)
  }

  /** Copies `source` into a chunk, from its byte `at` on, and returns the chunk's address. */
  fill(chunk: number, source: Uint8Array, at = 0): number {
    const region = this.#regions[Math.floor(chunk / CopyPool.#PER_REGION)]!
    const offset = (chunk % CopyPool.#PER_REGION) * CopyPool.BYTES
    region.bytes.set(source, offset + at)
    return region.address + offset
  }

  /** The memory that a chunk is part of, from byte `offset(chunk)` on: for filling it piece by piece. */
  memory(chunk: number): Buffer {
    return this.#regions[Math.floor(chunk / CopyPool.#PER_REGION)]!.bytes
  }

  offset(chunk: number): number {
    return (chunk % CopyPool.#PER_REGION) * CopyPool.BYTES
  }

  address(chunk: number): number {
    return this.#regions[Math.floor(chunk / CopyPool.#PER_REGION)]!.address + this.offset(chunk)
  }

  /** Copies bytes of a chunk to the heap. */
  copy(chunk: number, from: number, to: number): Uint8Array {
    const { bytes } = this.#regions[Math.floor(chunk / CopyPool.#PER_REGION)]!
    const offset = (chunk % CopyPool.#PER_REGION) * CopyPool.BYTES
    return bytes.slice(offset + from, offset + to)
  }

  give(chunk: number): void {
    this.#free.push(chunk)
  }
}

interface Region {
  memory: ArrayBuffer
  address: number
  /** Index in the kernel's table of registered buffers, or -1 when the limits did not allow it. */
  bufIndex: number
}

/** What the arena knows of a buffer it lent. */
export interface Lent {
  region: Region
  address: number
  pages: number
}

/** Lends page-aligned buffers; a buffer given back serves the next `alloc` of its size. */
export class Arena {
  static readonly #REGION_BYTES = 1024 * 1024
  readonly #driver: Driver
  readonly #ring: RingHandle
  readonly #register: (memory: Uint8Array) => number
  readonly #lent = new WeakMap<ArrayBufferView, Lent>()
  readonly #free = new Map<number, { region: Region; offset: number }[]>()
  #current: Region | null = null
  #used = 0

  /** @param register registers memory with the kernel and returns its buffer index, or -1 */
  constructor(driver: Driver, ring: RingHandle, register: (memory: Uint8Array) => number) {
    this.#driver = driver
    this.#ring = ring
    this.#register = register
  }

  alloc(bytes: number): Buffer {
    const pages = Math.max(1, Math.ceil(bytes / PAGE))
    const { region, offset } = this.#free.get(pages)?.pop() ?? this.#carve(pages * PAGE)
    const buffer = Buffer.from(region.memory, offset, bytes)
    buffer.fill(0)
    this.#lent.set(buffer, { region, address: region.address + offset, pages })
    return buffer
  }

  #carve(bytes: number): { region: Region; offset: number } {
    if (this.#current === null || this.#used + bytes > this.#current.memory.byteLength) {
      const memory = mapHeld(this.#driver, this.#ring, Math.max(bytes, Arena.#REGION_BYTES))
      const whole = new Uint8Array(memory)
      this.#current = { memory, address: this.#driver.addressOf(whole), bufIndex: this.#register(whole) }
      this.#used = 0
    }
    const offset = this.#used
    this.#used += bytes
    return { region: this.#current, offset }
  }

  /** What is known of a lent buffer; undefined for memory that is not the arena's or was given back. */
  find(buffer: ArrayBufferView): Lent | undefined {
    return this.#lent.get(buffer)
  }

  free(buffer: Uint8Array): void {
    const lent = this.#lent.get(buffer)
    if (lent === undefined) {
      throw stateError('Cannot free the buffer: alloc() did not lend it, or it was freed before')
    }
    this.#lent.delete(buffer)
    const offset = lent.address - lent.region.address
    const list = this.#free.get(lent.pages)
    if (list === undefined) this.#free.set(lent.pages, [{ region: lent.region, offset }])
    else list.push({ region: lent.region, offset })
  }
}
