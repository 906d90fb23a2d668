// Saying how files and memory are going to be used, as promises.
// Flow: Uring → this → op/prep-file.ts, engine.ts.

import { prepFadvise, prepFadvise64, prepMadvise, prepMadvise64 } from '../op/prep-file.ts'
import { IORING_OP_FADVISE, IORING_OP_MADVISE } from '../sys/abi.ts'
import { MADV_DONTNEED, MADV_DONTNEED_LOCKED, MADV_FREE, MADV_REMOVE } from '../sys/constants.ts'
import { argumentValueError, stateError } from '../sys/error.ts'
import { checkInteger } from '../sys/validate.ts'
import { checkExtent, checkRange, checkTarget, checkView, checkWord, type FileTarget } from './operations.ts'
import { XattrOperations } from './operations-xattr.ts'
import type { OperationOptions } from './options.ts'

const PAGE = 4096
const TWO_32 = 4294967296
/** Advice that puts other pages in the place of those the kernel has pinned for READ_FIXED and WRITE_FIXED. */
const REPLACES_PAGES = new Set([MADV_DONTNEED, MADV_DONTNEED_LOCKED, MADV_FREE, MADV_REMOVE])

export class AdviceOperations extends XattrOperations {
  /**
   * Says how a range of a file is going to be read, so that the kernel reads ahead, or drops what it has cached.
   * @param length bytes; 0 is to the end of the file. Beyond 2^32 - 1 it takes kernel 6.11
   * @param advice POSIX_FADV_*
   * @throws ESPIPE (a pipe or socket) · EINVAL (no such advice)
   * @kernel 5.6 · IORING_OP_FADVISE
   * @man io_uring_prep_fadvise(3), posix_fadvise(2)
   */
  async fadvise(
    file: FileTarget,
    position: number,
    length: number,
    advice: number,
    options?: OperationOptions,
  ): Promise<void> {
    checkTarget(file, 'fadvise')
    checkExtent('position', position)
    checkInteger('length', length, 0)
    checkWord('advice', advice)
    const slot = this.engine.begin(IORING_OP_FADVISE, options)
    if (slot === null)
      return this.engine.later(() => this.fadvise(file, position, length, advice, options), options)
    const prep = length < TWO_32 ? prepFadvise : prepFadvise64
    prep(slot.sqe, -1, position, length, advice)
    this.aim(slot, file)
    await this.engine.promise(slot)
  }

  /**
   * Says how memory is going to be used.
   *
   * Whole pages only, so that no neighbour is hit: a buffer of `alloc`, or a view that starts and ends at a page's border.
   * Advice that drops contents (MADV_DONTNEED, MADV_FREE, MADV_REMOVE) is refused for buffers that are registered: the kernel would
   * go on with the old pages.
   *
   * @param advice MADV_*
   * @throws ERR_INVALID_ARG_VALUE, ERR_INVALID_STATE (nothing was queued) · EINVAL (no such advice) · ENOMEM
   * @kernel 5.6 · IORING_OP_MADVISE
   * @man io_uring_prep_madvise(3), madvise(2)
   */
  async madvise(buffer: ArrayBufferView, advice: number, options?: OperationOptions): Promise<void> {
    checkView(buffer)
    checkWord('advice', advice)
    checkRange(buffer, 0, undefined)
    const lent = this.engine.arena.find(buffer)
    const address = this.engine.addresses.of(buffer)
    const length = lent === undefined ? buffer.byteLength : lent.pages * PAGE
    if (address % PAGE !== 0 || length % PAGE !== 0) {
      throw argumentValueError(
        'buffer',
        buffer,
        'must consist of whole pages: a buffer of alloc(), or a view that starts and ends at a multiple of 4096',
      )
    }
    const isRegistered = (lent?.region.bufIndex ?? -1) >= 0 || this.engine.buffers.touches(buffer)
    if (isRegistered && REPLACES_PAGES.has(advice)) {
      throw stateError(
        'Cannot drop the contents of the buffer: it is registered, and the kernel keeps its pages',
      )
    }
    const slot = this.engine.begin(IORING_OP_MADVISE, options)
    if (slot === null) return this.engine.later(() => this.madvise(buffer, advice, options), options)
    const prep = length < TWO_32 ? prepMadvise : prepMadvise64
    prep(slot.sqe, this.lend(slot, buffer, address, buffer.byteLength, 0), length, advice)
    await this.engine.promise(slot)
  }
}
