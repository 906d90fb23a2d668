// What can be lent to a ring: buffers and files; liburing's names. And io_uring_register(2) as it is.
// Flow: register.ts (which extends this) → this → ring-core.register → kernel; register-structs.ts writes the bytes.
// man io_uring_register(2), io_uring_registered_buffers(7), io_uring_registered_files(7)

import * as abi from '../sys/abi.ts'
import { argumentTypeError, bufferResizableError, ringClosedError } from '../sys/error.ts'
import { writeU64 } from '../sys/memory.ts'
import { checkFd, checkInteger } from '../sys/validate.ts'
import {
  checkedRegister as check,
  encodeIovecs,
  encodeRsrcRegister,
  encodeRsrcUpdate2,
  encodeTags,
} from './register-structs.ts'
import type { RingCore } from './ring-core.ts'

/** A tag comes back as user_data of a CQE when the kernel has let go of the resource; 0 asks for none. */
export type Tags = readonly (number | bigint)[]

function checkBuffers(buffers: readonly (ArrayBufferView | null)[]): void {
  if (!Array.isArray(buffers)) throw argumentTypeError('buffers', 'an instance of Array', buffers)
  for (const buffer of buffers) {
    if (buffer === null) continue
    if (!ArrayBuffer.isView(buffer)) throw argumentTypeError('buffers', 'typed arrays or null', buffer)
    if ((buffer.buffer as ArrayBuffer & { resizable?: boolean }).resizable === true) {
      throw bufferResizableError('buffers')
    }
  }
}

export abstract class Resources {
  readonly #core: RingCore

  constructor(core: RingCore) {
    this.#core = core
  }

  /**
   * io_uring_register(2) as it is, on this ring.
   * @param argument what the kernel reads or writes during the call; lives that long
   * @returns ≥ 0 or -errno
   */
  register(opcode: number, argument: ArrayBufferView | null, count: number): number {
    const core = this.#core
    core.assertOpen()
    core.releaseRetired()
    return argument === null ? core.register(opcode, 0, count) : core.registerView(opcode, argument, count)
  }

  /**
   * Keeps memory for as long as the kernel may use it on behalf of this ring: a mapping of `driver.map` even beyond the
   * death of the thread, other memory as long as the ring is open.
   */
  hold(memory: ArrayBuffer): void {
    const core = this.#core
    core.assertOpen()
    if (core.driver.hold(core.handle, memory) < 0) core.forGood.push(memory)
  }

  /** Ends what `hold` began, of a mapping that no operation can touch any more. */
  letGo(memory: ArrayBuffer): void {
    const core = this.#core
    if (core.closed) throw ringClosedError()
    core.letGo(memory)
  }

  /** As `letGo`, as soon as the kernel holds no operation; that is looked at with the next register call. */
  retire(memory: ArrayBuffer): void {
    const core = this.#core
    if (core.closed) throw ringClosedError()
    core.retiredMaps.add(memory)
    core.releaseRetired()
  }

  // — Buffers —

  /**
   * Lends buffers to the kernel for READ_FIXED and the like; index 0 is the first. They stay referenced until they are
   * unregistered and no operation can use them any more. null leaves a place empty.
   * @throws {UringError} EBUSY some are registered already · ENOMEM over RLIMIT_MEMLOCK · EFAULT
   * @throws {TypeError} ERR_BUFFER_RESIZABLE
   * @kernel 5.1 · IORING_REGISTER_BUFFERS
   * @man io_uring_register_buffers(3)
   */
  registerBuffers(buffers: readonly (ArrayBufferView | null)[]): void {
    this.#core.assertOpen()
    checkBuffers(buffers)
    const iovecs = encodeIovecs(this.#core.driver, buffers)
    check(this.register(abi.IORING_REGISTER_BUFFERS, iovecs, buffers.length), 'BUFFERS', '5.1')
    this.#core.registeredBuffers = [...buffers]
  }

  /** As `registerBuffers`, with a tag for each. @kernel 5.13 · IORING_REGISTER_BUFFERS2 @man io_uring_register_buffers_tags(3) */
  registerBuffersTags(buffers: readonly (ArrayBufferView | null)[], tags: Tags): void {
    const core = this.#core
    core.assertOpen()
    checkBuffers(buffers)
    const iovecs = encodeIovecs(core.driver, buffers)
    const tagWords = encodeTags(tags, buffers.length)
    const struct = encodeRsrcRegister(core.driver, buffers.length, 0, iovecs, tagWords)
    core.keep(iovecs, tagWords)
    check(this.register(abi.IORING_REGISTER_BUFFERS2, struct, 32), 'BUFFERS2', '5.13')
    core.registeredBuffers = [...buffers]
  }

  /** Makes a table of empty places, for `registerBuffersUpdateTag`. @kernel 5.19 · IORING_REGISTER_BUFFERS2 @man io_uring_register_buffers_sparse(3) */
  registerBuffersSparse(count: number): void {
    checkInteger('count', count, 1, abi.IORING_MAX_REG_BUFFERS)
    const struct = encodeRsrcRegister(this.#core.driver, count, abi.IORING_RSRC_REGISTER_SPARSE)
    check(this.register(abi.IORING_REGISTER_BUFFERS2, struct, 32), 'BUFFERS2', '5.19')
    this.#core.registeredBuffers = new Array<ArrayBufferView | null>(count).fill(null)
  }

  /**
   * Puts other buffers into places of the table; the old ones stay referenced until no operation can use them.
   * @returns places that were changed
   * @kernel 5.13 · IORING_REGISTER_BUFFERS_UPDATE
   * @man io_uring_register_buffers_update_tag(3)
   */
  registerBuffersUpdateTag(
    offset: number,
    buffers: readonly (ArrayBufferView | null)[],
    tags?: Tags,
  ): number {
    const core = this.#core
    core.assertOpen()
    checkInteger('offset', offset, 0, abi.IORING_MAX_REG_BUFFERS)
    checkBuffers(buffers)
    const iovecs = encodeIovecs(core.driver, buffers)
    const tagWords = tags === undefined ? undefined : encodeTags(tags, buffers.length)
    const struct = encodeRsrcUpdate2(core.driver, offset, buffers.length, iovecs, tagWords)
    core.keep(iovecs, tagWords)
    const result = this.register(abi.IORING_REGISTER_BUFFERS_UPDATE, struct, 32)
    const count = check(result, 'BUFFERS_UPDATE', '5.13')
    for (let index = 0; index < count; index++) {
      const old = core.registeredBuffers[offset + index]
      if (old) core.retired.push(old)
      core.registeredBuffers[offset + index] = buffers[index]!
    }
    return count
  }

  /** Takes all buffers back; they stay referenced until no operation can use them. @kernel 5.1 · IORING_UNREGISTER_BUFFERS @man io_uring_unregister_buffers(3) */
  unregisterBuffers(): void {
    const core = this.#core
    check(this.register(abi.IORING_UNREGISTER_BUFFERS, null, 0), 'UNREGISTER_BUFFERS', '5.1')
    for (const buffer of core.registeredBuffers) if (buffer) core.retired.push(buffer)
    core.registeredBuffers = []
    core.releaseRetired()
  }

  /** Lets go of a view that was taken out of the table, once its tag has come: nothing can use it. */
  forgetRetired(view: ArrayBufferView): void {
    const core = this.#core
    if (core.closed) throw ringClosedError()
    if (core.retired.length > 0) core.retired = core.retired.filter((retired) => retired !== view)
  }

  /**
   * Lends this ring the registered buffers of another one, without pinning them again.
   * @param source the other ring; the fd of one of another thread, whose buffers the caller keeps alive
   * @param options a range, and `replace: true` where places of this ring may be taken
   * @throws {UringError} EBUSY this ring has buffers already, and `replace` is not set
   * @kernel 6.12 · range and replace 6.13 · IORING_REGISTER_CLONE_BUFFERS
   * @man io_uring_clone_buffers(3)
   */
  cloneBuffers(
    source: Resources | number,
    options: { sourceOffset?: number; offset?: number; count?: number; replace?: boolean } = {},
  ): void {
    const core = this.#core
    if (!(source instanceof Resources || typeof source === 'number'))
      throw argumentTypeError('source', 'of type number or an instance of Ring', source)
    if (typeof source === 'number') checkFd(source, 'source')
    const from = typeof source === 'number' ? undefined : source.#core
    from?.assertOpen()
    const { sourceOffset = 0, offset = 0, count = 0, replace = false } = options
    checkInteger('sourceOffset', sourceOffset, 0, abi.IORING_MAX_REG_BUFFERS)
    checkInteger('offset', offset, 0, abi.IORING_MAX_REG_BUFFERS)
    checkInteger('count', count, 0, abi.IORING_MAX_REG_BUFFERS)
    const struct = new Int32Array(8)
    const byIndex = (from?.enterFlags ?? 0) === 0 ? 0 : abi.IORING_REGISTER_SRC_REGISTERED
    const flags = byIndex | (replace ? abi.IORING_REGISTER_DST_REPLACE : 0)
    struct.set([from?.enterFd ?? (source as number), flags, sourceOffset, offset, count])
    check(this.register(abi.IORING_REGISTER_CLONE_BUFFERS, struct, 1), 'CLONE_BUFFERS', '6.12')
    if (from === undefined) return
    const cloned = from.registeredBuffers.slice(sourceOffset, count === 0 ? undefined : sourceOffset + count)
    for (const [index, buffer] of cloned.entries()) {
      const old = core.registeredBuffers[offset + index]
      if (old) core.retired.push(old)
      core.registeredBuffers[offset + index] = buffer
    }
  }

  // — Files —

  /**
   * Registers files; requests then name them by index, with IOSQE_FIXED_FILE. -1 leaves a place empty.
   * @throws {UringError} EBUSY some are registered already · EMFILE more than RLIMIT_NOFILE · EBADF
   * @kernel 5.1 · IORING_REGISTER_FILES
   * @man io_uring_register_files(3)
   */
  registerFiles(fds: readonly number[]): void {
    check(this.register(abi.IORING_REGISTER_FILES, this.#fds(fds), fds.length), 'FILES', '5.1')
  }

  #fds(fds: readonly number[], min = -1): Int32Array {
    this.#core.assertOpen()
    if (!Array.isArray(fds)) throw argumentTypeError('fds', 'an instance of Array', fds)
    for (const fd of fds) checkInteger('fds', fd, min, 0x7fffffff)
    return Int32Array.from(fds)
  }

  /** As `registerFiles`, with a tag for each. @kernel 5.13 · IORING_REGISTER_FILES2 @man io_uring_register_files_tags(3) */
  registerFilesTags(fds: readonly number[], tags: Tags): void {
    const core = this.#core
    const words = this.#fds(fds)
    const tagWords = encodeTags(tags, fds.length)
    const struct = encodeRsrcRegister(core.driver, fds.length, 0, words, tagWords)
    core.keep(words, tagWords)
    check(this.register(abi.IORING_REGISTER_FILES2, struct, 32), 'FILES2', '5.13')
  }

  /** Makes a table of empty places, for direct descriptors. @kernel 5.19 · IORING_REGISTER_FILES2 @man io_uring_register_files_sparse(3) */
  registerFilesSparse(count: number): void {
    checkInteger('count', count, 1, abi.IORING_MAX_FIXED_FILES)
    const struct = encodeRsrcRegister(this.#core.driver, count, abi.IORING_RSRC_REGISTER_SPARSE)
    check(this.register(abi.IORING_REGISTER_FILES2, struct, 32), 'FILES2', '5.19')
  }

  /**
   * Puts other files into places of the table: -1 empties one, IORING_REGISTER_FILES_SKIP (-2) leaves it.
   * @returns places that were changed
   * @kernel 5.5 · IORING_REGISTER_FILES_UPDATE
   * @man io_uring_register_files_update(3)
   */
  registerFilesUpdate(offset: number, fds: readonly number[]): number {
    const core = this.#core
    const words = this.#fds(fds, -2)
    checkInteger('offset', offset, 0, abi.IORING_MAX_FIXED_FILES)
    const struct = new Int32Array(4)
    struct[0] = offset
    writeU64(struct, 2, core.driver.addressOf(words))
    core.keep(words)
    return check(this.register(abi.IORING_REGISTER_FILES_UPDATE, struct, fds.length), 'FILES_UPDATE', '5.5')
  }

  /** As `registerFilesUpdate`, with a tag for each. @kernel 5.13 · IORING_REGISTER_FILES_UPDATE2 @man io_uring_register_files_update_tag(3) */
  registerFilesUpdateTag(offset: number, fds: readonly number[], tags: Tags): number {
    const core = this.#core
    const words = this.#fds(fds, -2)
    checkInteger('offset', offset, 0, abi.IORING_MAX_FIXED_FILES)
    const tagWords = encodeTags(tags, fds.length)
    const struct = encodeRsrcUpdate2(core.driver, offset, fds.length, words, tagWords)
    core.keep(words, tagWords)
    return check(this.register(abi.IORING_REGISTER_FILES_UPDATE2, struct, 32), 'FILES_UPDATE2', '5.13')
  }

  /** Drops the table; a file closes when no operation uses it any more. @kernel 5.1 · IORING_UNREGISTER_FILES @man io_uring_unregister_files(3) */
  unregisterFiles(): void {
    check(this.register(abi.IORING_UNREGISTER_FILES, null, 0), 'UNREGISTER_FILES', '5.1')
  }

  /** The places from which the kernel chooses for IORING_FILE_INDEX_ALLOC. @kernel 6.0 · IORING_REGISTER_FILE_ALLOC_RANGE @man io_uring_register_file_alloc_range(3) */
  registerFileAllocRange(offset: number, length: number): void {
    checkInteger('offset', offset, 0, abi.IORING_MAX_FIXED_FILES)
    checkInteger('length', length, 0, abi.IORING_MAX_FIXED_FILES)
    const struct = Int32Array.of(offset, length, 0, 0)
    check(this.register(abi.IORING_REGISTER_FILE_ALLOC_RANGE, struct, 0), 'FILE_ALLOC_RANGE', '6.0')
  }
}
