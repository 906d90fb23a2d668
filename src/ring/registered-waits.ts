// Arguments of waits in memory that the kernel has mapped once: a wait then copies nothing, it names an entry.
// Flow: programs → this → Ring.registerRegion, Ring.submitAndWaitReg. man io_uring_register_region(3), io_uring_submit_and_wait_reg(3)

import { IORING_FEAT_MIN_TIMEOUT, IORING_REG_WAIT_TS, IORING_SETUP_R_DISABLED } from '../sys/abi.ts'
import { argumentTypeError, errnoError, ringFeatureError, stateError } from '../sys/error.ts'
import { io_uring_reg_wait } from '../sys/structs.ts'
import { checkInteger } from '../sys/validate.ts'
import type { Ring } from './ring.ts'
import { beginWait, type WaitOptions } from './wait.ts'

const ENTRY_BYTES = io_uring_reg_wait.sizeof
const PAGE_BYTES = 4096
const SIGMASK_BYTES = 8

/** One entry of the region: how long a wait may take; `Ring.submitAndWaitReg(waitFor, it.index)` waits so. */
export class RegisteredWait {
  readonly index: number
  readonly #waits: RegisteredWaits
  #freed = false

  constructor(waits: RegisteredWaits, index: number) {
    this.#waits = waits
    this.index = index
  }

  /**
   * Says anew how long waits take; takes effect with the next one.
   * @throws ERR_INVALID_STATE it was freed
   */
  set(options: WaitOptions): void {
    if (this.#freed) throw stateError('Cannot set the registered wait: it was freed')
    this.#waits.write(this.index, options)
  }

  /** Gives the entry back; doing it twice does nothing. */
  free(): void {
    if (this.#freed) return
    this.#freed = true
    this.#waits.take(this.index)
  }

  [Symbol.dispose](): void {
    this.free()
  }
}

/**
 * A region of wait arguments of a ring. It lives as long as the ring.
 *
 * @example
 * const ring = new Ring({ rDisabled: true })
 * const waits = new RegisteredWaits(ring)
 * ring.enableRings()
 * const short = waits.add({ timeoutMs: 5 })
 * ring.submitAndWaitReg(1, short.index) // -62 (-ETIME) when nothing came within five milliseconds
 * @kernel 6.13 · IORING_REGISTER_MEM_REGION
 * @man io_uring_register_region(3)
 */
export class RegisteredWaits {
  /** Entries that can be given out. */
  readonly capacity: number
  readonly #features: number
  readonly #bytes: Uint8Array
  readonly #sigmasks: BigUint64Array
  readonly #sigmaskAddress: number
  readonly #free: number[]

  /**
   * Maps and registers the region.
   * @param ring set up with `rDisabled`, and not enabled yet
   * @param options.entries how many at least; default 32
   * @throws ERR_RING_FEATURE · ERR_INVALID_STATE, EINVAL the ring is enabled already · EBUSY it has a region
   */
  constructor(ring: Ring, options: { entries?: number } = {}) {
    if (typeof options !== 'object' || options === null)
      throw argumentTypeError('options', 'of type object', options)
    const { entries = 32 } = options
    checkInteger('options.entries', entries, 1, 16384)
    if (!(ring.features & IORING_FEAT_MIN_TIMEOUT))
      throw ringFeatureError('IORING_REGISTER_MEM_REGION', '6.13')
    if (!(ring.setupFlags & IORING_SETUP_R_DISABLED))
      throw stateError('Cannot register waits: the ring is enabled already; set it up with rDisabled')
    // Behind the entries lie the sets of signals, which they point to. So no entry is at the region's end, where Linux up to 6.18
    // reads the first instead of the last.
    const each = ENTRY_BYTES + SIGMASK_BYTES
    const bytes = Math.ceil((entries * each) / PAGE_BYTES) * PAGE_BYTES
    const count = Math.floor(bytes / each)
    const memory = ring.driver.map(-1, bytes, 0)
    if (typeof memory === 'number') throw errnoError(memory, 'mmap')
    ring.registerRegion(memory)
    this.capacity = count
    this.#features = ring.features
    this.#bytes = new Uint8Array(memory)
    this.#sigmasks = new BigUint64Array(memory, count * ENTRY_BYTES, count)
    this.#sigmaskAddress = ring.driver.addressOf(this.#sigmasks)
    this.#free = Array.from({ length: count }, (_, i) => count - 1 - i)
  }

  /** Entries that are free. */
  get available(): number {
    return this.#free.length
  }

  /**
   * Takes an entry.
   * @throws ERR_INVALID_STATE all are taken
   */
  add(options: WaitOptions = {}): RegisteredWait {
    const index = this.#free.at(-1)
    if (index === undefined)
      throw stateError(
        `Cannot add a registered wait: all ${this.capacity} are taken; free some, or make it with more entries`,
      )
    this.write(index, options)
    this.#free.pop()
    return new RegisteredWait(this, index)
  }

  /** Writes an entry; `RegisteredWait.set` calls it. */
  write(index: number, options: WaitOptions): void {
    const { timeoutNs, minWaitUs, sigmask } = beginWait(options, this.#features)
    const entry = new io_uring_reg_wait(this.#bytes, index * ENTRY_BYTES)
    const isTimed = timeoutNs >= 0
    const seconds = isTimed ? Math.floor(timeoutNs / 1e9) : 0
    entry.ts.tv_sec = BigInt(seconds)
    entry.ts.tv_nsec = BigInt(isTimed ? Math.floor(timeoutNs - seconds * 1e9) : 0)
    entry.min_wait_usec = minWaitUs
    entry.flags = isTimed ? IORING_REG_WAIT_TS : 0
    let mask = 0n
    for (const signal of sigmask ?? []) mask |= 1n << BigInt(signal - 1)
    this.#sigmasks[index] = mask
    entry.setNumber('sigmask', sigmask === undefined ? 0 : this.#sigmaskAddress + index * SIGMASK_BYTES)
    entry.sigmask_sz = sigmask === undefined ? 0 : SIGMASK_BYTES
  }

  /** Takes an entry back; `RegisteredWait.free` calls it. */
  take(index: number): void {
    this.#free.push(index)
  }
}
