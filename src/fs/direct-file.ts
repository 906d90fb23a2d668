// A file past the page cache: O_DIRECT, a direct descriptor, registered buffers, and misalignment that is explained.
// Flow: the program → this → engine.ts (READ_FIXED, WRITE_FIXED), Uring for what is rare; direct-file-open.ts opens.
// man open(2) O_DIRECT, io_uring_registered_files(7), io_uring_registered_buffers(7)
// The kernel moves the bytes between the device and the memory of `alloc`, which can't be taken away from under it.

import {
  prepRead,
  prepReadFixed,
  prepReadv2,
  prepReadvFixed,
  prepWrite,
  prepWriteFixed,
  prepWritev2,
  prepWritevFixed,
} from '../op/prep-file.ts'
import { SQE } from '../ring/sqe.ts'
import { defaultRing } from '../runtime/executor.ts'
import type { Lent } from '../runtime/memory-pool.ts'
import { requireOpcode } from '../runtime/opcode-gate.ts'
import { checkRange, checkView, type PathLike } from '../runtime/operations.ts'
import { closeSurely } from '../runtime/operations-path.ts'
import type { OperationOptions } from '../runtime/options.ts'
import { type FixedFile, Resource } from '../runtime/resource.ts'
import type { Slot } from '../runtime/slots.ts'
import type { Uring } from '../runtime/uring.ts'
import {
  IORING_OP_READ,
  IORING_OP_READ_FIXED,
  IORING_OP_READV,
  IORING_OP_READV_FIXED,
  IORING_OP_WRITE,
  IORING_OP_WRITE_FIXED,
  IORING_OP_WRITEV,
  IORING_OP_WRITEV_FIXED,
  IORING_SETUP_IOPOLL,
  IOSQE_FIXED_FILE,
  RWF_ATOMIC,
} from '../sys/abi.ts'
import { STATX_SIZE } from '../sys/constants.ts'
import { CTL } from '../sys/driver.ts'
import { EBADF } from '../sys/errno.ts'
import {
  argumentTypeError,
  argumentValueError,
  checkResult,
  errnoError,
  rangeError,
  ringcoreError,
} from '../sys/error.ts'
import { syscallNumber } from '../sys/syscalls.ts'
import { checkInteger, checkObject } from '../sys/validate.ts'
import {
  type AtomicWrite,
  type DirectAlignment,
  type DirectFileOptions,
  type Opened,
  openDirect,
} from './direct-file-open.ts'

export interface DirectOptions extends OperationOptions {
  /** Where in the buffer; default 0. */
  offset?: number | undefined
  /** Bytes to move; default: up to the buffer's end. */
  length?: number | undefined
}

export interface DirectWriteOptions extends DirectOptions {
  /** All of the write or nothing of it is on the device after a power loss: see `atomicWrite` for what may be asked. */
  atomic?: boolean | undefined
}

const IOV_MAX = 1024
/** Requests that go to the device together; measured in docs/storage.md. */
const TOGETHER = 2
/** Most that `readBytes` moves at once. */
const PIECE = 1 << 20
/** ioctl(2): the size of a block device. */
const BLKGETSIZE64 = 0x80081272

export class DirectFile {
  readonly #ring: Uring
  /** Where everything but reads and writes goes: an IOPOLL ring takes nothing else. */
  readonly #cold: Uring
  readonly #resource: Resource
  readonly #fixed: FixedFile | null
  readonly #isBlockDevice: boolean
  readonly #details: { path: string }
  #closed: Promise<void> | null = null
  /** Requests since the `enter` call with this number. */
  #queued = 0
  #enters = -1
  /** Whether O_DIRECT is in force; false only with `fallback`. */
  readonly direct: boolean
  /** What positions, lengths and addresses must be multiples of. */
  readonly alignment: DirectAlignment
  /** What a write with `atomic` may be; null where file system or device have no such writes. */
  readonly atomicWrite: AtomicWrite | null

  private constructor(ring: Uring, cold: Uring, opened: Opened, fixed: FixedFile | null) {
    this.#ring = ring
    this.#cold = cold
    this.#resource = new Resource(opened.fd)
    this.#fixed = fixed
    this.#isBlockDevice = opened.isBlockDevice
    this.#details = { path: opened.path }
    this.direct = opened.direct
    this.alignment = opened.alignment
    this.atomicWrite = opened.atomicWrite
  }

  /**
   * Opens a file or a block device with O_DIRECT.
   * @param flags as Node's, without 'a': 'r' (default), 'r+', 'w', 'wx+' …
   * @throws ERR_DIRECT_UNSUPPORTED: the file system has no O_DIRECT · ENOENT · EACCES · EMFILE
   */
  static async open(
    path: PathLike,
    flags: string | number = 'r',
    options?: DirectFileOptions,
  ): Promise<DirectFile> {
    checkObject('options', options)
    const ring = options?.ring ?? defaultRing()
    const cold = (ring.ring.setupFlags & IORING_SETUP_IOPOLL) === 0 ? ring : defaultRing()
    const opened = await openDirect(cold, path, flags, options)
    return new DirectFile(ring, cold, opened, await register(ring, opened.fd))
  }

  /** The descriptor, or -1 once closed. */
  get fd(): number {
    return this.#resource.fd
  }

  /** Whether reads and writes go through a direct descriptor; false when the ring's table is full or not there. */
  get registered(): boolean {
    return this.#fixed !== null
  }

  /** Lends a zeroed buffer for reads and writes, `bytes` rounded up to the alignment; `free` takes it back. */
  alloc(bytes: number): Buffer {
    checkInteger('bytes', bytes, 1, 1 << 30)
    const { offset } = this.alignment
    return this.#ring.alloc(Math.ceil(bytes / offset) * offset)
  }

  /**
   * Takes back a buffer of `alloc`.
   * @throws ERR_INVALID_STATE: an operation still uses it, or it was freed before
   */
  free(buffer: Uint8Array): void {
    this.#ring.free(buffer)
  }

  /**
   * Reads from `position` into a buffer of `alloc`.
   *
   * Fewer bytes than asked mean the end of the file, which need not be aligned; 0 bytes, that `position` is at or behind it.
   *
   * @returns bytes read
   * @throws ERR_OUT_OF_RANGE: position, length or address is not a multiple of what `alignment` says (nothing was queued)
   * @throws ERR_INVALID_ARG_VALUE: not a buffer of `alloc` of this ring · EIO · EBADF
   * @kernel 5.1 · IORING_OP_READ_FIXED
   * @man io_uring_prep_read_fixed(3), open(2)
   */
  read(buffer: Uint8Array, position: number, options?: DirectOptions): Promise<number> {
    return this.#transfer(IORING_OP_READ_FIXED, buffer, position, options, 0)
  }

  /**
   * Writes a buffer of `alloc` at `position`; past the end the file grows by whole blocks, which `truncate` cuts to size.
   *
   * The bytes are with the device, but only `datasync` makes it keep them through a power loss.
   *
   * @returns bytes written, fewer than asked only where the space or the device's health ended
   * @throws as `read` · ENOSPC · ERR_DIRECT_UNSUPPORTED: no `atomic` writes here
   * @kernel 5.1 · IORING_OP_WRITE_FIXED
   * @man io_uring_prep_write_fixed(3), open(2)
   */
  write(buffer: Uint8Array, position: number, options?: DirectWriteOptions): Promise<number> {
    const rwFlags = options?.atomic === true ? RWF_ATOMIC : 0
    return this.#transfer(IORING_OP_WRITE_FIXED, buffer, position, options, rwFlags)
  }

  #transfer(
    opcode: number,
    buffer: Uint8Array,
    position: number,
    options: DirectOptions | undefined,
    rwFlags: number,
  ): Promise<number> {
    try {
      const { engine } = this.#ring
      const reads = opcode === IORING_OP_READ_FIXED
      this.#checkOpen(reads)
      const lent = this.#find(buffer)
      const offset = options?.offset ?? 0
      const length = checkRange(buffer, offset, options?.length)
      checkInteger('position', position, 0)
      this.#checkAligned(reads, position, length, lent.address + offset)
      if (rwFlags !== 0) this.#checkAtomic(position, length, 1)
      const { bufIndex } = lent.region
      const code = bufIndex >= 0 ? opcode : reads ? IORING_OP_READ : IORING_OP_WRITE
      const slot = engine.begin(code, options)
      if (slot === null)
        return engine.later(() => this.#transfer(opcode, buffer, position, options, rwFlags), options)
      const address = lent.address + offset
      if (bufIndex < 0) (reads ? prepRead : prepWrite)(slot.sqe, -1, address, length, position)
      else (reads ? prepReadFixed : prepWriteFixed)(slot.sqe, -1, address, length, position, bufIndex)
      if (rwFlags !== 0) slot.sqe.words[SQE.OP_FLAGS] = rwFlags
      slot.view = buffer
      slot.length = length
      return this.#go(slot)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /**
   * Reads into several buffers of `alloc`, one after another.
   * @returns bytes read in all; fewer than asked mean the end of the file
   * @throws as `read`
   * @kernel 5.1 · IORING_OP_READV, 6.15 · IORING_OP_READV_FIXED
   * @man preadv2(2), io_uring_prep_readv_fixed(3)
   */
  readv(buffers: readonly Uint8Array[], position: number, options?: OperationOptions): Promise<number> {
    return this.#vectored(true, buffers, position, options, 0)
  }

  /**
   * Writes several buffers of `alloc`, one after another, as one write.
   * @returns bytes written in all
   * @throws as `write`
   * @kernel 5.1 · IORING_OP_WRITEV, 6.15 · IORING_OP_WRITEV_FIXED
   * @man pwritev2(2), io_uring_prep_writev_fixed(3)
   */
  writev(
    buffers: readonly Uint8Array[],
    position: number,
    options?: OperationOptions & { atomic?: boolean },
  ): Promise<number> {
    return this.#vectored(false, buffers, position, options, options?.atomic === true ? RWF_ATOMIC : 0)
  }

  async #vectored(
    reads: boolean,
    buffers: readonly Uint8Array[],
    position: number,
    options: OperationOptions | undefined,
    rwFlags: number,
  ): Promise<number> {
    const { engine } = this.#ring
    this.#checkOpen(reads)
    const { iovecs, total, bufIndex } = this.#iovecs(reads, buffers)
    checkInteger('position', position, 0)
    this.#checkAligned(reads, position, total, 0)
    if (rwFlags !== 0) this.#checkAtomic(position, total, buffers.length)
    const isFixed = bufIndex >= 0 && hasOpcode(this.#ring, reads)
    const fixed = reads ? IORING_OP_READV_FIXED : IORING_OP_WRITEV_FIXED
    const code = isFixed ? fixed : reads ? IORING_OP_READV : IORING_OP_WRITEV
    const slot = engine.begin(code, options)
    if (slot === null)
      return engine.later(() => this.#vectored(reads, buffers, position, options, rwFlags), options)
    const address = engine.ring.driver.addressOf(iovecs)
    if (isFixed) {
      const prep = reads ? prepReadvFixed : prepWritevFixed
      prep(slot.sqe, -1, address, buffers.length, position, rwFlags, bufIndex)
    } else (reads ? prepReadv2 : prepWritev2)(slot.sqe, -1, address, buffers.length, position, rwFlags)
    slot.held = [iovecs, ...buffers]
    return this.#go(slot)
  }

  /** struct iovec of each buffer; `bufIndex` is -1 unless all lie in one registered region. */
  #iovecs(reads: boolean, buffers: readonly Uint8Array[]) {
    if (!Array.isArray(buffers)) throw argumentTypeError('buffers', 'an instance of Array', buffers)
    if (buffers.length > IOV_MAX) throw rangeError('buffers.length', `<= ${IOV_MAX}`, buffers.length)
    const iovecs = new BigUint64Array(Math.max(1, buffers.length) * 2)
    let total = 0
    let bufIndex = -1
    for (const [i, buffer] of (buffers as Uint8Array[]).entries()) {
      const lent = this.#find(buffer, `buffers[${i}]`)
      this.#checkAligned(reads, 0, buffer.byteLength, lent.address, `buffers[${i}].byteLength`)
      iovecs[i * 2] = BigInt(lent.address)
      iovecs[i * 2 + 1] = BigInt(buffer.byteLength)
      total += buffer.byteLength
      if (i === 0) bufIndex = lent.region.bufIndex
      else if (bufIndex !== lent.region.bufIndex) bufIndex = -1
    }
    return { iovecs, total, bufIndex }
  }

  /** Aims the entry at the file, which is held until the final CQE. */
  #go(slot: Slot): Promise<number> {
    const fd = this.#resource.hold()
    slot.resource = this.#resource
    slot.details = this.#details
    if (this.#fixed === null) slot.sqe.words[SQE.FD] = fd
    else {
      slot.sqe.words[SQE.FD] = this.#fixed.index
      slot.sqeFlags |= IOSQE_FIXED_FILE
    }
    const promise = this.#ring.engine.promise<number>(slot)
    this.#startSome()
    return promise
  }

  /**
   * Lets the device begin while the rest is being written. What goes down at the end of the turn as one batch comes back as one, and
   * device and program wait for each other in turn.
   */
  #startSome(): void {
    const { engine } = this.#ring
    const enters = engine.control[CTL.ENTERS]!
    if (enters !== this.#enters) {
      this.#enters = enters
      this.#queued = 0
    }
    if (++this.#queued < TOGETHER || engine.linking !== 0) return
    try {
      engine.flush()
    } catch {
      // What is queued stays so; the loop meets the same error, and tells it.
    }
  }

  /** After a close nothing may be claimed: the place in the table may be another file's. */
  #checkOpen(reads: boolean): void {
    if (this.#resource.fd < 0) throw errnoError(-EBADF, reads ? 'read' : 'write', this.#details)
  }

  #find(buffer: unknown, name = 'buffer'): Lent {
    checkView(buffer, name)
    const lent = this.#ring.engine.arena.find(buffer as Uint8Array)
    if (lent !== undefined) return lent
    const reason =
      'must be a buffer of alloc() itself, of this ring and not freed; `offset` and `length` choose a part'
    throw argumentValueError(name, buffer, reason)
  }

  #checkAligned(
    reads: boolean,
    position: number,
    length: number,
    address: number,
    lengthName = 'length',
  ): void {
    const { memory, offset, readOffset } = this.alignment
    const unit = reads ? readOffset : offset
    // One test for the usual case; the names are looked for only when something is wrong.
    if (position % unit === 0 && length % unit === 0 && address % memory === 0) return
    const of = `for O_DIRECT ${reads ? 'reads' : 'writes'} of '${this.#details.path}'`
    if (position % unit !== 0) throw rangeError('position', `a multiple of ${unit} ${of}`, position)
    if (length % unit !== 0) throw rangeError(lengthName, `a multiple of ${unit} ${of}`, length)
    throw rangeError('offset', `such that the memory address is a multiple of ${memory} ${of}`, address)
  }

  #checkAtomic(position: number, length: number, buffers: number): void {
    const limits = this.atomicWrite
    if (limits === null) {
      const message = `Cannot write atomically to '${this.#details.path}': its file system or device has no RWF_ATOMIC`
      throw ringcoreError(Error, 'ERR_DIRECT_UNSUPPORTED', message)
    }
    const { unitMin, unitMax, segmentsMax } = limits
    const isPower = length > 0 && Number.isInteger(Math.log2(length))
    if (!isPower || length < unitMin || length > unitMax)
      throw rangeError('length', `a power of two >= ${unitMin} && <= ${unitMax} for an atomic write`, length)
    if (position % length !== 0)
      throw rangeError('position', `a multiple of the length ${length} for an atomic write`, position)
    if (buffers > segmentsMax)
      throw rangeError('buffers.length', `<= ${segmentsMax} for an atomic write`, buffers)
  }

  /**
   * Reads any bytes, aligned or not, such as the last ones of a file.
   *
   * It reads the blocks around them and copies, so for what is aligned `read` is quicker.
   *
   * @returns `length` bytes, or fewer at the end of the file, in memory of the caller's own
   */
  async readBytes(position: number, length: number, options?: OperationOptions): Promise<Buffer> {
    checkInteger('position', position, 0)
    checkInteger('length', length, 0, 0x7fffffff)
    const unit = this.alignment.readOffset
    const bytes = Buffer.allocUnsafe(length)
    const most = Math.ceil(Math.min(length + unit, PIECE) / unit) * unit
    const room = this.alloc(most + unit)
    try {
      for (let filled = 0; filled < length; ) {
        const at = position + filled
        const skip = at % unit
        const wanted = Math.min(Math.ceil((skip + length - filled) / unit) * unit, most)
        const got = await this.read(room, at - skip, { ...options, offset: 0, length: wanted })
        if (got <= skip) return bytes.subarray(0, filled)
        filled += room.copy(bytes, filled, skip, got)
        if (got < wanted) return bytes.subarray(0, filled)
      }
      return bytes
    } finally {
      if (!this.#ring.closed) this.free(room)
    }
  }

  /**
   * Brings data and metadata to the device, and makes it keep them.
   *
   * Writes that are still in flight are not waited for.
   *
   * @throws EIO: what was written may be lost; a second `sync` that succeeds proves nothing
   */
  sync(options?: OperationOptions): Promise<void> {
    return this.#cold.fsync(this.#resource, options)
  }

  /** As `sync`, without metadata that reading the data does not need, such as times. */
  datasync(options?: OperationOptions): Promise<void> {
    return this.#cold.fsync(this.#resource, { ...options, datasync: true })
  }

  /**
   * Allocates space, so that writes there can't fail with ENOSPC; the file grows when it was shorter.
   * @param mode FALLOC_FL_*; default 0
   */
  allocate(position: number, length: number, mode = 0, options?: OperationOptions): Promise<void> {
    return this.#cold.fallocate(this.#resource, mode, position, length, options)
  }

  /** Cuts the file to `length` bytes, which need not be aligned, or lengthens it with zeros. */
  truncate(length: number, options?: OperationOptions): Promise<void> {
    return this.#cold.ftruncate(this.#resource, length, options)
  }

  /** Asks for the size of the file or of the block device, in bytes. */
  async size(): Promise<number> {
    const fd = this.#resource.hold('fstat')
    try {
      if (!this.#isBlockDevice) return (await this.#cold.statx('', { dirfd: fd, mask: STATX_SIZE })).size
      const out = new BigUint64Array(1)
      const { driver } = this.#ring.ring
      checkResult(driver.syscall(syscallNumber('ioctl'), fd, BLKGETSIZE64, driver.addressOf(out)), 'ioctl')
      return Number(out[0])
    } finally {
      this.#resource.drop()
    }
  }

  /** Waits for what is in flight, then closes; a second close waits for the first. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    const fd = this.#resource.surrender()
    await this.#resource.unused()
    try {
      if (this.#fixed !== null && !this.#ring.closed) {
        await this.#ring.filesUpdate([this.#fixed], [-1])
        this.#ring.freeFixedFile(this.#fixed)
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ERR_RING_CLOSED') throw error // with a closed ring went its table
    } finally {
      await closeSurely(this.#cold, fd)
    }
  }

  /** As `close`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

/** Puts the file into the ring's table; null when that is full, or the limits forbid one: then the fd serves. */
async function register(ring: Uring, fd: number): Promise<FixedFile | null> {
  let file: FixedFile
  try {
    file = ring.fixedFile()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EMFILE' || code === 'ERR_OUT_OF_RANGE' || code === 'ERR_INVALID_STATE') return null
    ring.engine.closeLate(fd)
    throw error
  }
  try {
    await ring.filesUpdate([file], [fd])
    return file
  } catch {
    if (!ring.closed) ring.freeFixedFile(file)
    return null
  }
}

function hasOpcode(ring: Uring, reads: boolean): boolean {
  try {
    requireOpcode(ring.engine, reads ? IORING_OP_READV_FIXED : IORING_OP_WRITEV_FIXED)
    return true
  } catch {
    return false
  }
}
