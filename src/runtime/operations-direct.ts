// Registered buffers in pieces, and direct descriptors: pipes, sockets and connections in the ring's own table of files.
// Flow: Uring → this → fixed-files.ts, op/prep-*.ts, engine.ts, multishot.ts. man io_uring_registered_files(7)

import { prepReadvFixed, prepWritevFixed } from '../op/prep-file.ts'
import { prepAcceptDirect, prepMultishotAcceptDirect, prepSocketDirectAlloc } from '../op/prep-net.ts'
import { prepPipe, prepPipeDirect } from '../op/prep-pipe.ts'
import { prepFilesUpdate, prepFixedFdInstall } from '../op/prep-resource.ts'
import {
  IORING_FILE_INDEX_ALLOC,
  IORING_OP_ACCEPT,
  IORING_OP_FILES_UPDATE,
  IORING_OP_FIXED_FD_INSTALL,
  IORING_OP_PIPE,
  IORING_OP_READV_FIXED,
  IORING_OP_SOCKET,
  IORING_OP_WRITEV_FIXED,
} from '../sys/abi.ts'
import { O_CLOEXEC } from '../sys/constants.ts'
import { abortError, argumentTypeError, argumentValueError, rangeError, stateError } from '../sys/error.ts'
import { checkInteger } from '../sys/validate.ts'
import type { Place } from './buffer-table.ts'
import type { Engine } from './engine.ts'
import { FixedFiles } from './fixed-files.ts'
import { Multishot, type MultishotKind, type MultishotOptions } from './multishot.ts'
import { requireOpcode } from './opcode-gate.ts'
import {
  checkFixedFile,
  checkPosition,
  checkTarget,
  checkView,
  checkWord,
  type FileTarget,
  optionalWord,
} from './operations.ts'
import { AdviceOperations } from './operations-advice.ts'
import type { ReadOptions } from './operations-file.ts'
import { hasAborted, type OperationOptions } from './options.ts'
import type { FixedFile } from './resource.ts'
import type { Slot } from './slots.ts'

const IOV_MAX = 1024
const INT32_MAX = 0x7fffffff

export class DirectOperations extends AdviceOperations {
  /** The ring's table of direct descriptors. */
  protected readonly files: FixedFiles

  constructor(engine: Engine, fixedFiles: number) {
    super(engine)
    this.files = new FixedFiles(engine.ring, fixedFiles)
  }

  // ---- registered buffers

  /**
   * Reads into several buffers of `alloc`, or several parts of one of `registerBuffers`, which the kernel has mapped already.
   *
   * Those of `alloc` must lie in one region of the arena (buffers allocated one after another do, up to a megabyte); where the limits
   * did not allow to register it, this is a plain `readv`.
   *
   * @returns bytes read in all
   * @throws ERR_INVALID_STATE: no registered buffer, or no longer · ERR_INVALID_ARG_VALUE: not in one
   * @kernel 6.15 · IORING_OP_READV_FIXED
   * @man io_uring_prep_readv_fixed(3), preadv2(2)
   */
  async readvFixed(
    file: FileTarget,
    buffers: readonly ArrayBufferView[],
    options?: Omit<ReadOptions, 'offset' | 'length'>,
  ): Promise<number> {
    return this.#vectorFixed(IORING_OP_READV_FIXED, file, buffers, options)
  }

  /**
   * Writes several buffers of `alloc`, or several parts of one of `registerBuffers`, as one write.
   * @returns bytes written in all, possibly fewer than asked
   * @throws ERR_INVALID_STATE: no registered buffer, or no longer · ERR_INVALID_ARG_VALUE: not in one
   * @kernel 6.15 · IORING_OP_WRITEV_FIXED
   * @man io_uring_prep_writev_fixed(3), pwritev2(2)
   */
  async writevFixed(
    file: FileTarget,
    buffers: readonly ArrayBufferView[],
    options?: Omit<ReadOptions, 'offset' | 'length'>,
  ): Promise<number> {
    return this.#vectorFixed(IORING_OP_WRITEV_FIXED, file, buffers, options)
  }

  #vectorFixed(
    opcode: number,
    file: FileTarget,
    buffers: readonly ArrayBufferView[],
    options?: ReadOptions,
  ): Promise<number> {
    const reads = opcode === IORING_OP_READV_FIXED
    checkTarget(file, reads ? 'read' : 'write')
    const { bufIndex, own } = oneBuffer(this.engine, 'buffers', buffers)
    if (bufIndex < 0) return reads ? this.readv(file, buffers, options) : this.writev(file, buffers, options)
    const position = options?.position ?? -1
    checkPosition(position)
    const rwFlags = optionalWord('options.rwFlags', options?.rwFlags)
    requireOpcode(this.engine, opcode)
    const iovecs = this.iovecs(buffers)
    const slot = this.engine.begin(opcode, options)
    if (slot === null)
      return this.engine.later(() => this.#vectorFixed(opcode, file, buffers, options), options)
    slot.held = [iovecs.bytes, ...buffers]
    if (own !== undefined) slot.other = own.hold()
    const prep = reads ? prepReadvFixed : prepWritevFixed
    prep(slot.sqe, -1, iovecs.address, buffers.length, position, rwFlags, bufIndex)
    this.aim(slot, file)
    return this.engine.promise(slot)
  }

  // ---- pipes

  /**
   * Makes a pipe.
   * @param options.flags O_NONBLOCK, O_DIRECT; O_CLOEXEC is added
   * @returns the fds of the reading and of the writing end; the caller's to close
   * @throws EMFILE, ENFILE · ERR_RING_FEATURE (nothing was queued)
   * @kernel 6.16 · IORING_OP_PIPE
   * @man io_uring_prep_pipe(3), pipe2(2)
   */
  async pipe(options?: OperationOptions & { flags?: number }): Promise<[reader: number, writer: number]> {
    requireOpcode(this.engine, IORING_OP_PIPE)
    const flags = optionalWord('options.flags', options?.flags)
    const slot = this.engine.begin(IORING_OP_PIPE, options)
    if (slot === null) return this.engine.later(() => this.pipe(options), options)
    this.#ends(
      slot,
      (fd) => fd,
      (fd) => this.engine.closeLate(fd),
    )
    prepPipe(slot.sqe, this.engine.scratch.address(slot.index), flags | O_CLOEXEC)
    return this.engine.promise(slot)
  }

  /**
   * Makes a pipe whose ends are direct descriptors at places that the kernel chooses.
   * @param options.flags O_NONBLOCK, O_DIRECT
   * @returns the reading and the writing end: `closeFile` and then `freeFixedFile` them
   * @throws ENFILE (the table is full) · ERR_RING_FEATURE (nothing was queued)
   * @kernel 6.16 · IORING_OP_PIPE
   * @man io_uring_prep_pipe_direct(3), pipe2(2)
   */
  async pipeDirect(
    options?: OperationOptions & { flags?: number },
  ): Promise<[reader: FixedFile, writer: FixedFile]> {
    requireOpcode(this.engine, IORING_OP_PIPE)
    const flags = optionalWord('options.flags', options?.flags)
    return this.#choosing(
      () => this.engine.begin(IORING_OP_PIPE, options),
      (slot) => {
        this.#ends(
          slot,
          (index) => this.files.adopt(index),
          (index) => this.files.dropLate(index),
        )
        prepPipeDirect(slot.sqe, this.engine.scratch.address(slot.index), flags, IORING_FILE_INDEX_ALLOC)
      },
      () => this.pipeDirect(options),
      options,
    )
  }

  /** A pipe's two ends lie in the scratch block when it is made; after an abort they are nobody's. */
  #ends<T>(slot: Slot, take: (end: number) => T, drop: (end: number) => void): void {
    const { signal } = slot
    slot.finish = (_res, done): [T, T] => {
      const { words } = this.engine.scratch
      const at = this.engine.scratch.offset(done.index) / 4
      const [reader, writer] = [words[at]!, words[at + 1]!]
      if (!hasAborted(signal)) return [take(reader), take(writer)]
      drop(reader)
      drop(writer)
      throw abortError(signal)
    }
  }

  // ---- places that the kernel chooses

  /** Runs an operation with IORING_FILE_INDEX_ALLOC, during which the kernel's part of the table stays as it is. */
  #choosing<T>(
    begin: () => Slot | null,
    write: (slot: Slot) => void,
    again: () => Promise<T>,
    options?: OperationOptions,
  ): Promise<T> {
    this.files.choose()
    let promise: Promise<T>
    try {
      const slot = begin()
      if (slot === null) {
        this.files.chosen()
        return this.engine.later(again, options)
      }
      write(slot)
      promise = this.engine.promise<T>(slot)
    } catch (error) {
      this.files.chosen()
      throw error
    }
    return promise.finally(() => this.files.chosen())
  }

  /** The result is a place of the table: becomes its descriptor, or after an abort is closed. */
  #adopting(slot: Slot): void {
    const { signal } = slot
    slot.finish = (index): FixedFile => {
      if (!hasAborted(signal)) return this.files.adopt(index)
      this.files.dropLate(index)
      throw abortError(signal)
    }
  }

  /**
   * Makes a socket as a direct descriptor at a place that the kernel chooses.
   * @returns the descriptor: `closeFile` and then `freeFixedFile` it
   * @throws EAFNOSUPPORT, EPROTONOSUPPORT · ENFILE (the table is full)
   * @kernel 5.19 · IORING_OP_SOCKET with IORING_FILE_INDEX_ALLOC
   * @man io_uring_prep_socket_direct_alloc(3), socket(2)
   */
  async socketDirect(
    domain: number,
    type: number,
    protocol = 0,
    options?: OperationOptions,
  ): Promise<FixedFile> {
    checkWord('domain', domain)
    checkWord('type', type)
    checkWord('protocol', protocol)
    return this.#choosing(
      () => this.engine.begin(IORING_OP_SOCKET, options),
      (slot) => {
        this.#adopting(slot)
        prepSocketDirectAlloc(slot.sqe, domain, type, protocol, 0)
      },
      () => this.socketDirect(domain, type, protocol, options),
      options,
    )
  }

  /**
   * Accepts one connection as a direct descriptor at a place that the kernel chooses.
   * @param options.flags SOCK_NONBLOCK
   * @returns the descriptor: `closeFile` and then `freeFixedFile` it
   * @throws ENFILE (the table is full) · EINVAL (it does not listen)
   * @kernel 5.19 · IORING_OP_ACCEPT with IORING_FILE_INDEX_ALLOC
   * @man io_uring_prep_accept_direct(3), accept(2)
   */
  async acceptDirect(file: FileTarget, options?: OperationOptions & { flags?: number }): Promise<FixedFile> {
    checkTarget(file, 'accept')
    const flags = optionalWord('options.flags', options?.flags)
    return this.#choosing(
      () => this.engine.begin(IORING_OP_ACCEPT, options),
      (slot) => {
        this.#adopting(slot)
        prepAcceptDirect(slot.sqe, -1, 0, 0, flags, IORING_FILE_INDEX_ALLOC)
        this.aim(slot, file)
      },
      () => this.acceptDirect(file, options),
      options,
    )
  }

  /**
   * Accepts connections one after another with one request, as direct descriptors.
   *
   * `break` cancels; connections that nobody took are closed.
   *
   * @returns descriptors: `closeFile` and then `freeFixedFile` each
   * @throws ENFILE (the table is full)
   * @kernel 5.19 · IORING_OP_ACCEPT with IORING_ACCEPT_MULTISHOT
   * @man io_uring_prep_multishot_accept_direct(3)
   */
  acceptMultishotDirect(
    file: FileTarget,
    options?: MultishotOptions & { flags?: number },
  ): Multishot<FixedFile> {
    checkTarget(file, 'accept')
    const flags = optionalWord('options.flags', options?.flags)
    const kind: MultishotKind<FixedFile> = {
      syscall: 'accept',
      arm: (engine) => {
        const slot = engine.begin(IORING_OP_ACCEPT, { ref: options?.ref })
        if (slot === null) return null
        prepMultishotAcceptDirect(slot.sqe, -1, 0, 0, flags)
        this.aim(slot, file)
        return slot
      },
      item: (index) => this.files.adopt(index),
      discard: (late) => {
        this.files.dropLate(late.index)
        this.files.give(late)
      },
      ended: () => this.files.chosen(),
    }
    this.files.choose()
    try {
      return new Multishot(this.engine, kind, options)
    } catch (error) {
      this.files.chosen()
      throw error
    }
  }

  // ---- between fds and direct descriptors

  /**
   * Puts files into places of the ring's table; the fds stay as they are.
   * @param files places that follow each other, of `fixedFile`; what is in them is replaced
   * @param fds one for each; -1 empties the place
   * @returns how many were put; fewer than asked when a later one failed
   * @throws EBADF (the first is no open fd) · ERR_INVALID_ARG_VALUE (nothing was queued)
   * @kernel 5.6 · IORING_OP_FILES_UPDATE
   * @man io_uring_prep_files_update(3)
   */
  async filesUpdate(
    files: readonly FixedFile[],
    fds: readonly number[],
    options?: OperationOptions,
  ): Promise<number> {
    const words = checkFds(fds, -1)
    if (!Array.isArray(files)) throw argumentTypeError('files', 'an instance of Array', files)
    for (const [i, file] of files.entries()) {
      checkFixedFile(file, `files[${i}]`)
      if (file.index !== files[0].index + i)
        throw argumentValueError('files', files, 'must be places that follow each other')
    }
    if (files.length !== fds.length)
      throw argumentValueError('fds', fds, `must have one fd for each of the ${files.length} files`)
    const slot = this.engine.begin(IORING_OP_FILES_UPDATE, options)
    if (slot === null) return this.engine.later(() => this.filesUpdate(files, fds, options), options)
    slot.held = words
    prepFilesUpdate(slot.sqe, this.engine.ring.driver.addressOf(words), words.length, files[0]!.index)
    return this.engine.promise(slot)
  }

  /**
   * Puts files into places of the ring's table that the kernel chooses; the fds stay as they are.
   * @returns their direct descriptors, fewer than asked when the table is full
   * @throws EBADF (the first is no open fd) · ENFILE (the table is full)
   * @kernel 5.19 · IORING_OP_FILES_UPDATE with IORING_FILE_INDEX_ALLOC
   * @man io_uring_prep_files_update(3)
   */
  async filesUpdateAlloc(fds: readonly number[], options?: OperationOptions): Promise<FixedFile[]> {
    const words = checkFds(fds, 0)
    return this.#choosing(
      () => this.engine.begin(IORING_OP_FILES_UPDATE, options),
      (slot) => {
        slot.held = words
        slot.finish = (count) => Array.from(words.subarray(0, count), (index) => this.files.adopt(index))
        const address = this.engine.ring.driver.addressOf(words)
        prepFilesUpdate(slot.sqe, address, words.length, IORING_FILE_INDEX_ALLOC)
      },
      () => this.filesUpdateAlloc(fds, options),
      options,
    )
  }

  /**
   * Makes an ordinary fd for a direct descriptor, which stays.
   * @param options.flags IORING_FIXED_FD_NO_CLOEXEC lets child processes inherit it
   * @returns the fd, the caller's to close
   * @throws EBADF (the place is empty) · EMFILE · ERR_RING_FEATURE (nothing was queued)
   * @kernel 6.8 · IORING_OP_FIXED_FD_INSTALL
   * @man io_uring_prep_fixed_fd_install(3)
   */
  async fixedFdInstall(file: FixedFile, options?: OperationOptions & { flags?: number }): Promise<number> {
    requireOpcode(this.engine, IORING_OP_FIXED_FD_INSTALL)
    checkFixedFile(file)
    const flags = optionalWord('options.flags', options?.flags)
    const slot = this.engine.begin(IORING_OP_FIXED_FD_INSTALL, options)
    if (slot === null) return this.engine.later(() => this.fixedFdInstall(file, options), options)
    prepFixedFdInstall(slot.sqe, file.index, flags)
    return this.descriptor(slot)
  }
}

/** Checks a list of fds and copies it for the kernel. */
function checkFds(fds: unknown, min: number): Int32Array {
  if (!Array.isArray(fds)) throw argumentTypeError('fds', 'an instance of Array', fds)
  if (fds.length === 0 || fds.length > IOV_MAX)
    throw rangeError('fds.length', `>= 1 && <= ${IOV_MAX}`, fds.length)
  for (const [i, fd] of fds.entries()) checkInteger(`fds[${i}]`, fd, min, INT32_MAX)
  return Int32Array.from(fds)
}

/**
 * The registered buffer that all views lie in; its index is -1 when their region of the arena is not registered, or there are none.
 * @throws ERR_INVALID_STATE one lies in none · ERR_INVALID_ARG_VALUE not all in the same
 */
export function oneBuffer(
  engine: Engine,
  name: string,
  views: readonly ArrayBufferView[],
): { bufIndex: number; own: Place | undefined } {
  if (!Array.isArray(views)) throw argumentTypeError(name, 'an instance of Array', views)
  if (views.length > IOV_MAX) throw rangeError(`${name}.length`, `<= ${IOV_MAX}`, views.length)
  let first: object | undefined
  let bufIndex = -1
  let own: Place | undefined
  for (const view of views as readonly ArrayBufferView[]) {
    checkView(view, name)
    const lent = engine.arena.find(view)
    own = lent === undefined ? engine.buffers.find(view) : undefined
    const found = lent?.region ?? own
    if (found === undefined)
      throw stateError(
        `Cannot use ${name} as registered ones: one is neither of alloc() nor of registerBuffers(), or no longer`,
      )
    first ??= found
    if (found !== first)
      throw argumentValueError(
        name,
        views,
        'must lie in one region of the arena, or in one registered buffer; use the form that is not fixed',
      )
    bufIndex = found.bufIndex
  }
  return { bufIndex, own }
}
