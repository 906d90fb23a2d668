// The heart of the runtime: claims slots and SQEs, settles what comes back, and ends in order.
// Flow: operations-*, multishot, chain → this → ring (SQEs), driver loop (batches of CQEs) → slots → promises.
// Nothing here knows a single opcode but the two that a LINK_TIMEOUT can't end.

import { opTable } from '../op/table.ts'
import type { Ring } from '../ring/ring.ts'
import { SQE, type Sqe } from '../ring/sqe.ts'
import {
  IORING_CQE_F_32,
  IORING_CQE_F_MORE,
  IORING_OP_SPLICE,
  IORING_OP_TEE,
  IOSQE_IO_LINK,
} from '../sys/abi.ts'
import { CTL, USER_DATA_CHAIN, USER_DATA_FOREIGN, USER_DATA_INTERNAL } from '../sys/driver.ts'
import { EBADR, ECANCELED, EINTR, ENOMEM, ETIME, ETIMEDOUT } from '../sys/errno.ts'
import {
  abortError,
  bufferDetachedError,
  errnoError,
  ringClosedError,
  stateError,
  throwLater,
  type UringError,
} from '../sys/error.ts'
import { closeFd } from '../sys/syscalls.ts'
import { Backlog } from './backlog.ts'
import type { BufferTable } from './buffer-table.ts'
import { Addresses } from './buffers.ts'
import { Cancels } from './cancels.ts'
import { CANCEL_USER_DATA, writeDeadline } from './deadline.ts'
import { LinkedSlots } from './linked-slots.ts'
import { Arena, CopyPool, Scratch } from './memory-pool.ts'
import { checkOptions, hasAborted, type OperationOptions, unlisten } from './options.ts'
import { type Failing, promiseOf, type Slot, Slots } from './slots.ts'

const ERESTARTSYS = -512 // what a cancelled SPLICE ends with: the kernel keeps that number for itself

export class Engine {
  readonly ring: Ring
  readonly control: Int32Array
  readonly slots: Slots
  readonly scratch: Scratch
  readonly copies: CopyPool
  readonly addresses: Addresses
  readonly arena: Arena
  readonly buffers: BufferTable
  /** CQEs that named no operation in flight; anything but 0 is a bug here or in the kernel. */
  strays = 0
  /** Called for CQEs that other rings posted with MSG_RING: user_data's words, the result, the flags. */
  onMessage: ((low: number, high: number, res: number, flags: number) => void) | null = null
  /** IOSQE_IO_LINK while a chain is being written, else 0; a chain must not be broken by a flush. */
  linking = 0
  /** All requests on this ring are the library's own: chains may be quiet, see quiet-chain.ts. */
  quiet = false
  /** Which step of its quiet chain the CQE is of that a sink is told of at this moment. */
  step = 0
  /** What was begun in the chain that is being written. */
  readonly linked = new LinkedSlots()
  #state: 'open' | 'closing' | 'closed' = 'open'
  readonly #backlog = new Backlog((count) => this.#hold(count))
  #retry: NodeJS.Timeout | undefined
  readonly cancels = new Cancels(() => this.#internal())
  /** Whether operations that begin now hold the process open; `reference` changes it. */
  referenced = true
  #cursor = 0
  #count = 0
  /** Where in the batch the CQE lies that is being settled. */
  #at = 0
  readonly #slotWords: number
  #drained: (() => void) | null = null
  #closed: Promise<void> | null = null

  constructor(ring: Ring, slotsMax: number, buffers: BufferTable) {
    const { driver, handle, control } = ring
    this.ring = ring
    this.control = control
    this.slots = new Slots(slotsMax)
    this.scratch = new Scratch(driver, handle, slotsMax)
    this.copies = new CopyPool(driver, handle)
    this.addresses = new Addresses(driver)
    this.buffers = buffers
    this.arena = new Arena(driver, handle, (memory) => buffers.addRegion(memory))
    control[CTL.ROUNDS_MAX] = 16
    this.#slotWords = ring.geometry.cqeBytes / 4
  }

  get closed(): boolean {
    return this.#state !== 'open'
  }

  /** Operations that wait for a free slot. */
  get queued(): number {
    return this.#backlog.length
  }

  // ---- beginning an operation

  /**
   * Claims a slot and an SQE whose user_data names it, or returns null: then the caller goes to `later`.
   * Validate before: what is claimed is submitted.
   * @param standing it may wait for ever and needs no scratch block: it is not one of the `inFlight` operations
   */
  begin(opcode: number, options: OperationOptions | undefined, standing = false): Slot | null {
    if (this.#state !== 'open') throw ringClosedError()
    if (options !== undefined && checkOptions(options)) this.cancels.beforeDrain(this.control)
    if (this.#backlog.length !== 0 && !this.#backlog.resuming && this.linking === 0) return null
    const timed = options?.timeout !== undefined
    if (timed && this.ring.sqEntries < 2)
      throw stateError('Cannot use a timeout: it takes two entries, and the ring has one')
    const slot = standing ? this.slots.takeStanding() : this.slots.take()
    if (slot === null) return null
    // With a timeout, the entry behind must be free too.
    const sqe = timed && !this.#room(2) ? null : this.#entry()
    if (sqe === null) {
      this.slots.release(slot)
      if (this.linking !== 0) throw stateError('Cannot add the step: the chain is longer than its `entries`')
      return null
    }
    slot.sqe = sqe
    slot.opcode = opcode
    sqe.words[SQE.USER_DATA] = slot.index
    sqe.words[SQE.USER_DATA + 1] = slot.generation
    const control = this.control
    control[CTL.LIVE]!++
    slot.referenced = this.referenced
    slot.sqeFlags = this.linking
    if (this.linking !== 0) this.linked.join(slot)
    if (options !== undefined) this.#apply(slot, options)
    let activate = control[CTL.ACTIVE] === 0
    // Among operations that hold nothing open this is the first that does: libuv must hear of it before it looks who is left.
    if (slot.referenced && control[CTL.REFS]!++ === 0 && control[CTL.LIVE]! > 1) activate = true
    if (activate) this.ring.driver.loopActivate(this.ring.handle)
    return slot
  }

  /** Whether `entries` operations can begin now, one behind the other and with nothing flushed in between. */
  hasRoom(entries: number): boolean {
    if (this.#state !== 'open' || this.linking !== 0) return false
    if (this.#backlog.length !== 0 && !this.#backlog.resuming) return false
    return this.slots.available >= entries && this.#room(entries)
  }

  /** Claims an SQE, submitting what is queued when there is none; null when the kernel takes no more now. */
  #entry(): Sqe | null {
    return this.ring.getSqe() ?? (this.#room(1) ? this.ring.getSqe() : null)
  }

  /** Whether `entries` SQEs fit; submits what is queued to make room, except inside a chain. */
  #room(entries: number): boolean {
    const ring = this.ring
    if (ring.sqSpaceLeft() >= entries) return true
    if (this.linking !== 0) return false
    try {
      ring.flush()
    } catch (error) {
      this.#enterFailed(error as UringError)
      return false
    }
    return ring.sqSpaceLeft() >= entries
  }

  #apply(slot: Slot, options: OperationOptions): void {
    const { signal, timeout, ref, sqeFlags, personality } = options
    if (ref === false) slot.referenced = false
    if (sqeFlags !== undefined) slot.sqeFlags |= sqeFlags
    if (personality !== undefined) slot.personality = personality
    if (signal !== undefined) this.#watch(slot, signal)
    if (timeout === undefined) return
    slot.expires = performance.now() + timeout - 1
    if (slot.opcode !== IORING_OP_SPLICE && slot.opcode !== IORING_OP_TEE) {
      writeDeadline(this, slot, timeout)
      return
    }
    // These wait on a worker, where the kernel (6.18) does not start the clock of a LINK_TIMEOUT: it would never fire.
    const { generation } = slot
    const ms = Math.min(Math.ceil(timeout), 0x7fffffff)
    slot.alarm = setTimeout(() => this.cancels.slot(slot, generation), ms).unref()
  }

  /** Has the signal cancel the operation; one that throws instead leaves nothing claimed. */
  #watch(slot: Slot, signal: AbortSignal): void {
    try {
      this.cancels.listen(slot, signal)
    } catch (error) {
      this.ring.unclaim(this.control[CTL.SQ_TAIL]! - 1)
      if (this.linking !== 0) this.linked.leave()
      slot.referenced = false // not counted yet
      this.#end(slot)
      throw error
    }
  }

  /** Adds to a written entry what the caller's options ask for. */
  commit(slot: Slot): void {
    if (slot.sqeFlags !== 0) slot.sqe.addFlags(slot.sqeFlags)
    if (slot.personality !== 0) slot.sqe.words[SQE.BUF_INDEX]! |= slot.personality << 16
  }

  /** The promise of a slot whose entry is written. */
  promise<T>(slot: Slot): Promise<T> {
    this.commit(slot)
    return promiseOf<T>(slot)
  }

  /** Queues an operation until `slots` are free; the first to wait is the first to start. */
  later<T>(start: () => Promise<T>, options?: OperationOptions, slots = 1): Promise<T> {
    if (this.#state !== 'open') return Promise.reject(ringClosedError())
    const promise = this.#backlog.add(
      start,
      slots,
      options?.signal,
      this.referenced && options?.ref !== false,
    )
    // With slots free it is the submission queue that is full, and maybe no CQE will come to resume us.
    if (this.slots.available >= slots) this.#retry ??= setTimeout(() => this.#resume(), 1)
    return promise
  }

  /** What waits for its turn holds the process open as if it were in flight: those before it may all be `ref: false`. */
  #hold(count: number): void {
    const held = this.control[CTL.REFS]!
    this.control[CTL.REFS] = held + count
    if (held === 0 && count > 0) this.ring.driver.loopActivate(this.ring.handle)
  }

  #resume(): void {
    this.#retry = undefined
    const most = this.ring.sqEntries // an operation with a timeout takes two
    this.#backlog.resume((slots) => this.slots.available >= slots && this.#room(Math.min(slots * 2, most)))
    if (this.#backlog.length !== 0 && this.slots.available > 0)
      this.#retry ??= setTimeout(() => this.#resume(), 1)
  }

  /** Submits what is queued now instead of at the end of the turn. Returns how many SQEs the kernel took, or -errno. */
  flush(): number {
    if (this.linking !== 0) throw stateError('Cannot flush while a chain is being written')
    return this.ring.flush()
  }

  // ---- cancelling

  /** Closes a descriptor that nobody will take: an open or accept that won the race against its cancel. */
  closeLate(fd: number): void {
    closeFd(this.ring.driver, fd)
  }

  /** An SQE that no slot waits for; null inside a chain, which it would tear, and when the queue is full. */
  #internal(): Sqe | null {
    if (this.#state === 'closed' || this.linking !== 0 || !this.#room(1)) return null
    const sqe = this.ring.getSqe()!
    sqe.words[SQE.USER_DATA] = CANCEL_USER_DATA
    if (this.control[CTL.ACTIVE] === 0) this.ring.driver.loopActivate(this.ring.handle)
    return sqe
  }

  // ---- settling

  /** Takes one batch of drained CQEs; runs inside the event loop's turn. `count` < 0 is an error of enter itself. */
  onBatch(count: number): void {
    if (count < 0) {
      this.#enterFailed(errnoError(count, 'io_uring_enter'))
      return
    }
    this.#count = count
    this.#cursor = 0
    this.#settleBatch()
    if (this.#backlog.length !== 0) this.#resume()
    if (this.control[CTL.LIVE] !== 0 || this.#drained === null) return
    this.#drained()
    this.#drained = null
  }

  /** The cursor lives outside so that a callback that drains again first finishes this batch. */
  #settleBatch(): void {
    const { batch, cqeWords } = this.ring
    const words = this.#slotWords
    while (this.#cursor < this.#count) {
      const at = this.#cursor++ * words
      const flags = batch[at + 3]!
      // With CQE_MIXED a big one takes two slots.
      if (words !== cqeWords && (flags & IORING_CQE_F_32) !== 0) this.#cursor++
      this.#at = at
      this.#settle(batch[at]!, batch[at + 1]!, batch[at + 2]!, flags)
    }
  }

  /** A word of the 16 extra bytes of the 32-byte CQE that a sink is told of at this moment. */
  extraWord(index: number): number {
    return this.ring.batch[this.#at + 4 + index]!
  }

  #settle(low: number, high: number, result: number, flags: number): void {
    const slot = this.slots.find(low, high)
    if (slot === null) {
      if (low >>> 28 === USER_DATA_CHAIN >>> 28) {
        this.step = (low >>> 20) & 0xff
        this.#settle(low & 0xfff, high, result, flags)
      } else if ((low & USER_DATA_FOREIGN) !== 0) this.onMessage?.(low, high, result, flags)
      else if ((low & USER_DATA_INTERNAL) === 0) this.strays++
      return
    }
    const res = result < 0 && result === slot.succeeds ? 0 : result
    const final = (flags & IORING_CQE_F_MORE) === 0
    const { sink } = slot
    if (sink !== null) {
      if (final) this.#end(slot)
      try {
        sink.onCqe(res, flags, final)
      } catch (error) {
        throwLater(error)
      }
      return
    }
    if (!final) return
    const { resolve, reject, finish } = slot
    if (res >= 0 && finish === null && slot.view === null) {
      this.#end(slot)
      resolve?.(res)
      return
    }
    let value: unknown = res
    let error: Error | null = null
    if (res < 0) error = this.errorOf(slot, res)
    else if (slot.view !== null && slot.length !== 0 && slot.view.byteLength === 0)
      error = bufferDetachedError()
    else if (finish !== null) {
      try {
        value = finish(res, slot, flags)
      } catch (cause) {
        error = cause as Error
      }
    }
    this.#end(slot)
    if (error === null) resolve?.(value)
    else reject?.(error)
  }

  /** Lets go of all that an operation held; only a final CQE leads here. */
  #end(slot: Slot): void {
    const control = this.control
    control[CTL.LIVE]!--
    if (slot.referenced) control[CTL.REFS]!--
    if (slot.chunk >= 0) {
      this.copies.give(slot.chunk)
      slot.chunk = -1
    }
    if (slot.onAbort !== null) {
      unlisten(slot.signal!, slot.onAbort)
      slot.onAbort = null
      slot.signal = null
    }
    if (slot.alarm !== null) {
      clearTimeout(slot.alarm)
      slot.alarm = null
    }
    const { resource, other } = slot
    this.slots.release(slot)
    if (resource !== null) resource.drop()
    if (other !== null) other.drop()
  }

  errorOf(slot: Failing, res: number): Error {
    const canceled = res === -ECANCELED || res === -EINTR || res === ERESTARTSYS
    if (canceled) {
      if (hasAborted(slot.signal)) return abortError(slot.signal)
      if (this.#state !== 'open') return ringClosedError()
    }
    const timedOut = res === -ETIME || (canceled && slot.expires > 0 && performance.now() >= slot.expires)
    const errno = timedOut ? -ETIMEDOUT : res === ERESTARTSYS ? -ECANCELED : res
    return errnoError(errno, opTable[slot.opcode]!.syscall, slot.details ?? undefined)
  }

  // ---- holding the process open, ending

  /** Whether operations begun from now on hold the process open. */
  reference(on: boolean): void {
    this.referenced = on
    const control = this.control
    for (const slot of this.slots) {
      if (slot.referenced === on) continue
      slot.referenced = on
      control[CTL.REFS]! += on ? 1 : -1
    }
    this.#backlog.reference(on)
    if (this.#state === 'open') this.ring.driver.loopActivate(this.ring.handle)
  }

  /** Submits and waits, without the event loop, until nothing is in flight: for `process.on('exit')`. */
  flushSync(): void {
    this.#settleBatch()
    const { driver, handle } = this.ring
    while (this.control[CTL.LIVE]! > 0) {
      const count = driver.turn(handle, 1, 1000)
      if (count < 0 && count !== -11 && count !== -16 && count !== -ENOMEM)
        throw errnoError(count, 'io_uring_enter')
      if (count > 0) this.onBatch(count)
    }
  }

  /** Ends the ring: see `Uring.close`. */
  async close(): Promise<void> {
    if (this.linking !== 0) throw stateError('Cannot close the ring while a chain is being written')
    // Without the pages that a resize could not map, no CQE can be counted.
    if (this.ring.isUnmapped) this.ring.remap()
    this.#closed ??= this.#close()
    await this.#closed
  }

  async #close(): Promise<void> {
    const { driver, handle } = this.ring
    this.#state = 'closing'
    this.#backlog.rejectAll(ringClosedError())
    if (this.control[CTL.LIVE]! > 0) {
      this.control[CTL.REFS]!++
      driver.loopActivate(handle)
      this.flush()
      this.cancels.all(() => this.control[CTL.LIVE]! > 0)
      await new Promise<void>((resolve) => {
        this.#drained = resolve
      })
      this.control[CTL.REFS]!--
    }
    this.cancels.allOnce()
    // What is left has no slot: the loop's own poll and cancel requests, all of which end at once.
    for (let turns = 0; driver.inKernel(handle) > 0; turns++) {
      if (driver.turn(handle, 0, 0) <= 0 && turns > 10) await new Promise((resolve) => setTimeout(resolve, 1))
      if (turns % 100 === 99) this.cancels.allOnce()
    }
    this.#state = 'closed'
    this.cancels.stop()
    // Nothing is in the kernel; a cancel request that found nothing to do may still be queued.
    this.ring.close({ cancel: true })
    this.buffers.ended()
  }

  #enterFailed(error: UringError): void {
    if (error.errno === -EBADR) {
      process.emitWarning(`A completion was lost for want of kernel memory: ${error.message}`)
    } else if (error.errno !== -ENOMEM) this.fail(error) // ENOMEM: the entries stay queued, and go down later
  }

  /**
   * `enter` itself failed for good (the ring fd was closed under us, say): no CQE will come any more. Every promise is told, and
   * what the kernel may still use stays held for ever: a leak is safe, a free is not.
   */
  fail(error: Error): void {
    if (this.#state !== 'open') return
    this.#state = 'closed'
    this.#backlog.rejectAll(error)
    for (const slot of this.slots) {
      slot.reject?.(error)
      slot.sink?.onCqe(-ECANCELED, 0, true)
    }
    this.control[CTL.REFS] = 0
    this.control[CTL.LIVE] = 0
  }

  // ---- chains

  /**
   * Runs `write`, which begins up to `entries` operations that the kernel runs one after another.
   * @param write returns false to take back all that it began: then nothing of it is submitted
   * @returns false when there is no room now
   */
  link(entries: number, write: () => boolean): boolean {
    if (this.linking !== 0) throw stateError('Cannot begin a chain while another is being written')
    if (this.#backlog.length !== 0 && !this.#backlog.resuming) return false
    if (this.slots.available < entries || !this.#room(entries * 2)) return false
    const tail = this.control[CTL.SQ_TAIL]!
    this.linking = IOSQE_IO_LINK
    this.linked.clear()
    let keep = false
    try {
      keep = write()
    } finally {
      this.linking = 0
      if (keep) this.linked.unlinkTail()
      else this.#takeBack(tail)
    }
    return true
  }

  /** Nothing was flushed while the chain was written, so its entries can be unclaimed. */
  #takeBack(tail: number): void {
    this.ring.unclaim(tail)
    for (const slot of this.linked.clear()) {
      const { reject } = slot
      this.#end(slot)
      reject?.(stateError('The chain was not submitted: a step is invalid'))
    }
  }
}
