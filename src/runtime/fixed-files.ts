// Which places of the ring's table of direct descriptors are free. The table is made when the first one is wanted.
// Flow: Uring, operations-direct, operations-message → this → ring (REGISTER_FILES2, FILE_ALLOC_RANGE). man io_uring_registered_files(7)
// Places are chosen by us, from below, or by the kernel, in the upper half; the kernel's part shrinks when ours is full.

import type { Ring } from '../ring/ring.ts'
import { rangeError, stateError } from '../sys/error.ts'
import { FixedFile } from './resource.ts'

export class FixedFiles {
  readonly #ring: Ring
  #max: number
  readonly #free: FixedFile[] = []
  readonly #taken = new Set<FixedFile>()
  /** Places that the kernel chose and that are in use. */
  readonly #chosen = new Set<number>()
  #made = 0
  #registered = false
  /** The first place that is the kernel's to choose. */
  #allocFrom: number
  #choosing = 0

  constructor(ring: Ring, max: number) {
    this.#ring = ring
    this.#max = max
    this.#allocFrom = max
  }

  /** Makes the table: as many places as were asked for, or as many as RLIMIT_NOFILE allows. */
  #register(): void {
    if (this.#registered) return
    if (this.#max === 0) throw rangeError('options.fixedFiles', '>= 1 to use direct descriptors', 0)
    for (;;) {
      try {
        this.#ring.registerFilesSparse(this.#max)
        this.#registered = true
        this.#allocFrom = this.#max
        return
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EMFILE' || this.#max < 16) throw error
        this.#max = this.#max >> 1
      }
    }
  }

  /** Takes a free place of ours. */
  take(): FixedFile {
    this.#register()
    const file = this.#free.pop() ?? this.#make()
    this.#taken.add(file)
    return file
  }

  #make(): FixedFile {
    while (this.#made < this.#max) {
      if (this.#made === this.#allocFrom) this.#shrink()
      const index = this.#made++
      if (!this.#chosen.has(index)) return new FixedFile(index)
    }
    throw stateError(`Cannot take a direct descriptor: all ${this.#max} are taken; pass a larger fixedFiles`)
  }

  /** The lowest place of the kernel's part becomes ours, unless the kernel may be choosing it at this moment. */
  #shrink(): void {
    if (this.#choosing > 0) {
      throw stateError(
        `Cannot take a direct descriptor: all ${this.#allocFrom} are taken, and the kernel chooses from the others; pass a larger fixedFiles`,
      )
    }
    this.#allocFrom++
    this.#ring.registerFileAllocRange(this.#allocFrom, this.#max - this.#allocFrom)
  }

  /** Begins an operation for which the kernel chooses the place (IORING_FILE_INDEX_ALLOC); `chosen` ends it. */
  choose(): void {
    this.#register()
    if (this.#allocFrom === this.#max) {
      const from = Math.max(this.#made, this.#max >> 1)
      if (from === this.#max)
        throw stateError(
          `Cannot choose a direct descriptor: all ${this.#max} are taken; pass a larger fixedFiles`,
        )
      this.#ring.registerFileAllocRange(from, this.#max - from)
      this.#allocFrom = from
    }
    this.#choosing++
  }

  /** Ends what `choose` began. */
  chosen(): void {
    this.#choosing--
  }

  /** The descriptor at a place that the kernel chose. */
  adopt(index: number): FixedFile {
    const file = new FixedFile(index)
    this.#chosen.add(index)
    this.#taken.add(file)
    return file
  }

  /** Closes a descriptor that the kernel chose a place for and that nobody takes. */
  dropLate(index: number): void {
    if (!this.#ring.closed) this.#ring.registerFilesUpdate(index, [-1])
  }

  /** Makes a place free for the next; its file was closed before. */
  give(file: FixedFile): void {
    if (!this.#taken.delete(file)) {
      throw stateError(
        'Cannot free the direct descriptor: fixedFile() did not give it, or it was freed before',
      )
    }
    const wasChosen = this.#chosen.delete(file.index)
    // What the kernel chose it takes back by itself, while the place is in its part of the table.
    if (!wasChosen || file.index < this.#made) this.#free.push(file)
  }
}
