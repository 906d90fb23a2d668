// Reading, writing and syncing open files, as promises.
// Flow: Uring → this → op/prep-file.ts, engine.ts.

import {
  prepFallocate,
  prepFsync,
  prepFtruncate,
  prepRead,
  prepReadFixed,
  prepReadv2,
  prepSyncFileRange,
  prepWrite,
  prepWriteFixed,
  prepWritev2,
} from '../op/prep-file.ts'
import { prepSplice, prepTee } from '../op/prep-pipe.ts'
import { SQE } from '../ring/sqe.ts'
import {
  IORING_FSYNC_DATASYNC,
  IORING_OP_FALLOCATE,
  IORING_OP_FSYNC,
  IORING_OP_FTRUNCATE,
  IORING_OP_READ,
  IORING_OP_READ_FIXED,
  IORING_OP_READV,
  IORING_OP_SPLICE,
  IORING_OP_SYNC_FILE_RANGE,
  IORING_OP_TEE,
  IORING_OP_WRITE,
  IORING_OP_WRITE_FIXED,
  IORING_OP_WRITEV,
  SPLICE_F_FD_IN_FIXED,
} from '../sys/abi.ts'
import { argumentTypeError, rangeError, stateError } from '../sys/error.ts'
import { requireOpcode } from './opcode-gate.ts'
import {
  checkExtent,
  checkPosition,
  checkRange,
  checkTarget,
  checkView,
  checkWord,
  type FileTarget,
  Operations,
  optionalBoolean,
  optionalWord,
} from './operations.ts'
import type { OperationOptions } from './options.ts'
import { FixedFile } from './resource.ts'
import type { Slot } from './slots.ts'

export interface ReadOptions extends OperationOptions {
  /** Where in the file; -1 (the default) is the file's own position, which Linux (6.18) does not move after O_DIRECT. */
  position?: number | bigint | undefined
  /** Where in the buffer; default 0. */
  offset?: number | undefined
  /** Most bytes to move; default: up to the buffer's end. */
  length?: number | undefined
  /** RWF_* flags. */
  rwFlags?: number | undefined
}

const IOV_MAX = 1024

export class FileOperations extends Operations {
  /**
   * Reads from `position` into `buffer`.
   *
   * The kernel owns the buffer until the promise settles, also after `signal` aborts. Never two unpositioned reads at once:
   * their order is the kernel's choice.
   *
   * @returns bytes read: 0 at end of file, possibly fewer than asked
   * @throws EBADF (not open for reading) · EINVAL (misaligned for O_DIRECT) · ERR_OUT_OF_RANGE, ERR_INVALID_ARG_TYPE (nothing was queued)
   * @kernel 5.6 · IORING_OP_READ
   * @man io_uring_prep_read(3), read(2)
   */
  read(file: FileTarget, buffer: ArrayBufferView, options?: ReadOptions): Promise<number> {
    return this.#plain(IORING_OP_READ, file, buffer, options)
  }

  /**
   * Writes `buffer` at `position`.
   *
   * Up to 4 KiB are copied at once, and the buffer is free when this returns; more is lent to the kernel until the promise settles.
   *
   * @returns bytes written, possibly fewer than asked
   * @throws EBADF · ENOSPC · EFBIG · ERR_OUT_OF_RANGE, ERR_INVALID_ARG_TYPE (nothing was queued)
   * @kernel 5.6 · IORING_OP_WRITE
   * @man io_uring_prep_write(3), write(2)
   */
  write(file: FileTarget, buffer: ArrayBufferView, options?: ReadOptions): Promise<number> {
    return this.#plain(IORING_OP_WRITE, file, buffer, options)
  }

  #plain(opcode: number, file: FileTarget, buffer: ArrayBufferView, options?: ReadOptions): Promise<number> {
    try {
      const reads = opcode === IORING_OP_READ
      checkTarget(file, reads ? 'read' : 'write')
      checkView(buffer)
      const position = options?.position ?? -1
      checkPosition(position)
      const offset = options?.offset ?? 0
      const length = checkRange(buffer, offset, options?.length)
      const rwFlags = optionalWord('options.rwFlags', options?.rwFlags)
      const from = this.engine.addresses.of(buffer)
      const slot = this.engine.begin(opcode, options)
      if (slot === null) return this.engine.later(() => this.#plain(opcode, file, buffer, options), options)
      if (reads) prepRead(slot.sqe, -1, this.lend(slot, buffer, from, length, offset), length, position)
      else prepWrite(slot.sqe, -1, this.source(slot, buffer, from, length, offset), length, position)
      if (rwFlags !== 0) slot.sqe.words[SQE.OP_FLAGS] = rwFlags
      this.aim(slot, file)
      return this.engine.promise(slot)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /**
   * Reads into a buffer of `alloc`, or into one of `registerBuffers` or a part of it, which the kernel has mapped already.
   *
   * Where the limits did not allow to register the arena this is a plain read into the same memory.
   *
   * @returns bytes read
   * @throws ERR_INVALID_STATE: no registered buffer, or no longer
   * @kernel 5.1 · IORING_OP_READ_FIXED
   * @man io_uring_prep_read_fixed(3)
   */
  readFixed(file: FileTarget, buffer: ArrayBufferView, options?: ReadOptions): Promise<number> {
    return this.#fixed(IORING_OP_READ_FIXED, file, buffer, options)
  }

  /**
   * Writes a buffer of `alloc`, or one of `registerBuffers` or a part of it, which the kernel has mapped already.
   * @returns bytes written
   * @throws ERR_INVALID_STATE: no registered buffer, or no longer
   * @kernel 5.1 · IORING_OP_WRITE_FIXED
   * @man io_uring_prep_write_fixed(3)
   */
  writeFixed(file: FileTarget, buffer: ArrayBufferView, options?: ReadOptions): Promise<number> {
    return this.#fixed(IORING_OP_WRITE_FIXED, file, buffer, options)
  }

  #fixed(opcode: number, file: FileTarget, buffer: ArrayBufferView, options?: ReadOptions): Promise<number> {
    try {
      checkTarget(file, opcode === IORING_OP_READ_FIXED ? 'read' : 'write')
      checkView(buffer)
      const position = options?.position ?? -1
      checkPosition(position)
      const offset = options?.offset ?? 0
      const length = checkRange(buffer, offset, options?.length)
      const lent = this.engine.arena.find(buffer)
      const own = lent === undefined ? this.engine.buffers.find(buffer) : undefined
      const bufIndex = lent?.region.bufIndex ?? own?.bufIndex
      if (bufIndex === undefined)
        throw stateError(
          'Cannot use the buffer as a registered one: it is neither of alloc() nor of registerBuffers(), or no longer',
        )
      const reads = opcode === IORING_OP_READ_FIXED
      const from = lent?.address ?? this.engine.addresses.of(buffer)
      const code = bufIndex >= 0 ? opcode : reads ? IORING_OP_READ : IORING_OP_WRITE
      const slot = this.engine.begin(code, options)
      if (slot === null) return this.engine.later(() => this.#fixed(opcode, file, buffer, options), options)
      const address = this.lend(slot, buffer, from, length, offset)
      if (own !== undefined) slot.other = own.hold()
      if (bufIndex < 0) (reads ? prepRead : prepWrite)(slot.sqe, -1, address, length, position)
      else (reads ? prepReadFixed : prepWriteFixed)(slot.sqe, -1, address, length, position, bufIndex)
      this.aim(slot, file)
      return this.engine.promise(slot)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /**
   * Reads into several buffers, one after another.
   * @returns bytes read in all
   * @kernel 5.1 · IORING_OP_READV
   * @man io_uring_prep_readv2(3), preadv2(2)
   */
  readv(file: FileTarget, buffers: readonly ArrayBufferView[], options?: ReadOptions): Promise<number> {
    return this.#vectored(IORING_OP_READV, file, buffers, options)
  }

  /**
   * Writes several buffers, one after another, as one write.
   * @returns bytes written in all, possibly fewer than asked
   * @kernel 5.1 · IORING_OP_WRITEV
   * @man io_uring_prep_writev2(3), pwritev2(2)
   */
  writev(file: FileTarget, buffers: readonly ArrayBufferView[], options?: ReadOptions): Promise<number> {
    return this.#vectored(IORING_OP_WRITEV, file, buffers, options)
  }

  #vectored(
    opcode: number,
    file: FileTarget,
    buffers: readonly ArrayBufferView[],
    options?: ReadOptions,
  ): Promise<number> {
    try {
      checkTarget(file, opcode === IORING_OP_READV ? 'read' : 'write')
      if (!Array.isArray(buffers)) throw argumentTypeError('buffers', 'an instance of Array', buffers)
      const position = options?.position ?? -1
      checkPosition(position)
      const rwFlags = optionalWord('options.rwFlags', options?.rwFlags)
      const iovecs = this.iovecs(buffers)
      const slot = this.engine.begin(opcode, options)
      if (slot === null)
        return this.engine.later(() => this.#vectored(opcode, file, buffers, options), options)
      slot.held = [iovecs.bytes, ...buffers]
      const prep = opcode === IORING_OP_READV ? prepReadv2 : prepWritev2
      prep(slot.sqe, -1, iovecs.address, buffers.length, position, rwFlags)
      this.aim(slot, file)
      return this.engine.promise(slot)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** The iovec array of several views; the caller holds `bytes` and the views until the final CQE. */
  protected iovecs(buffers: readonly ArrayBufferView[]): { bytes: BigUint64Array; address: number } {
    if (buffers.length > IOV_MAX) throw rangeError('buffers.length', `<= ${IOV_MAX}`, buffers.length)
    const bytes = new BigUint64Array(Math.max(1, buffers.length) * 2)
    let at = 0
    for (const view of buffers) {
      checkView(view, 'buffers')
      const length = checkRange(view, 0, undefined, 'buffers')
      bytes[at++] = BigInt(this.engine.addresses.of(view, 'buffers'))
      bytes[at++] = BigInt(length)
    }
    return { bytes, address: this.engine.ring.driver.addressOf(bytes) }
  }

  /**
   * Brings a file's data, and unless `datasync` its metadata, to the device.
   * @throws EIO, ENOSPC: data that was reported written is lost; the file must not be trusted
   * @kernel 5.1 · IORING_OP_FSYNC
   * @man io_uring_prep_fsync(3), fsync(2)
   */
  async fsync(file: FileTarget, options?: OperationOptions & { datasync?: boolean }): Promise<void> {
    checkTarget(file, 'fsync')
    const datasync = optionalBoolean('options.datasync', options?.datasync)
    const slot = this.engine.begin(IORING_OP_FSYNC, options)
    if (slot === null) return this.engine.later(() => this.fsync(file, options), options)
    prepFsync(slot.sqe, -1, datasync ? IORING_FSYNC_DATASYNC : 0)
    await this.#go(slot, file)
  }

  /**
   * Starts or awaits the write-back of a part of a file; metadata is left out, so it does not make data durable.
   * @param flags SYNC_FILE_RANGE_* flags
   * @kernel 5.2 · IORING_OP_SYNC_FILE_RANGE
   * @man io_uring_prep_sync_file_range(3), sync_file_range(2)
   */
  async syncFileRange(
    file: FileTarget,
    position: number,
    length: number,
    flags: number,
    options?: OperationOptions,
  ): Promise<void> {
    checkTarget(file, 'sync_file_range')
    checkExtent('position', position)
    checkWord('length', length)
    checkWord('flags', flags)
    const slot = this.engine.begin(IORING_OP_SYNC_FILE_RANGE, options)
    if (slot === null)
      return this.engine.later(() => this.syncFileRange(file, position, length, flags, options), options)
    prepSyncFileRange(slot.sqe, -1, length, position, flags)
    await this.#go(slot, file)
  }

  /**
   * Allocates or punches file space.
   * @param mode FALLOC_FL_* flags, 0 to allocate
   * @kernel 5.6 · IORING_OP_FALLOCATE
   * @man io_uring_prep_fallocate(3), fallocate(2)
   */
  async fallocate(
    file: FileTarget,
    mode: number,
    position: number,
    length: number,
    options?: OperationOptions,
  ): Promise<void> {
    checkTarget(file, 'fallocate')
    checkWord('mode', mode)
    checkExtent('position', position)
    checkExtent('length', length, 1)
    const slot = this.engine.begin(IORING_OP_FALLOCATE, options)
    if (slot === null)
      return this.engine.later(() => this.fallocate(file, mode, position, length, options), options)
    prepFallocate(slot.sqe, -1, mode, position, length)
    await this.#go(slot, file)
  }

  /**
   * Cuts a file to `length` bytes, or lengthens it with zeros.
   * @kernel 6.9 · IORING_OP_FTRUNCATE
   * @man io_uring_prep_ftruncate(3), ftruncate(2)
   */
  async ftruncate(file: FileTarget, length: number, options?: OperationOptions): Promise<void> {
    requireOpcode(this.engine, IORING_OP_FTRUNCATE)
    checkTarget(file, 'ftruncate')
    checkExtent('length', length)
    const slot = this.engine.begin(IORING_OP_FTRUNCATE, options)
    if (slot === null) return this.engine.later(() => this.ftruncate(file, length, options), options)
    prepFtruncate(slot.sqe, -1, length)
    await this.#go(slot, file)
  }

  /**
   * Moves bytes between a pipe and another file inside the kernel.
   * @param input where from; one of the two must be a pipe
   * @param inputPosition offset in `input`, -1 for a pipe or the file's own position
   * @returns bytes moved: 0 at end of input
   * @kernel 5.7 · IORING_OP_SPLICE
   * @man io_uring_prep_splice(3), splice(2)
   */
  async splice(
    input: FileTarget,
    inputPosition: number,
    output: FileTarget,
    outputPosition: number,
    length: number,
    flags = 0,
    options?: OperationOptions,
  ): Promise<number> {
    checkTarget(input, 'splice')
    checkTarget(output, 'splice')
    checkPosition(inputPosition, 'inputPosition')
    checkPosition(outputPosition, 'outputPosition')
    checkWord('length', length)
    checkWord('flags', flags)
    const slot = this.engine.begin(IORING_OP_SPLICE, options)
    if (slot === null)
      return this.engine.later(
        () => this.splice(input, inputPosition, output, outputPosition, length, flags, options),
        options,
      )
    const [fd, extra] = this.#spliceInput(slot, input)
    prepSplice(slot.sqe, fd, inputPosition, -1, outputPosition, length, flags | extra)
    return this.#go(slot, output)
  }

  /**
   * Copies bytes from one pipe to another without consuming them.
   * @returns bytes copied
   * @kernel 5.8 · IORING_OP_TEE
   * @man io_uring_prep_tee(3), tee(2)
   */
  async tee(
    input: FileTarget,
    output: FileTarget,
    length: number,
    flags = 0,
    options?: OperationOptions,
  ): Promise<number> {
    checkTarget(input, 'tee')
    checkTarget(output, 'tee')
    checkWord('length', length)
    checkWord('flags', flags)
    const slot = this.engine.begin(IORING_OP_TEE, options)
    if (slot === null)
      return this.engine.later(() => this.tee(input, output, length, flags, options), options)
    const [fd, extra] = this.#spliceInput(slot, input)
    prepTee(slot.sqe, fd, -1, length, flags | extra)
    return this.#go(slot, output)
  }

  /** The input has a field of its own, so a slot holds it beside the output. */
  #spliceInput(slot: Slot, input: FileTarget): [fd: number, flags: number] {
    if (typeof input === 'number') return [input, 0]
    if (input instanceof FixedFile) return [input.index, SPLICE_F_FD_IN_FIXED]
    slot.other = input
    return [input.hold(), 0]
  }

  #go(slot: Slot, file: FileTarget): Promise<number> {
    this.aim(slot, file)
    return this.engine.promise(slot)
  }
}
