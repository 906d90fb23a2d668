// Which places of the ring's table of direct descriptors are free. The table is made when the first one is wanted.
// Flow: Uring → this → ring (REGISTER_FILES2). man io_uring_registered_files(7)

import type { Ring } from '../ring/ring.ts'
import { rangeError, stateError } from '../sys/error.ts'
import { FixedFile } from './resource.ts'

export class FixedFiles {
  readonly #ring: Ring
  #max: number
  readonly #free: FixedFile[] = []
  readonly #taken = new Set<FixedFile>()
  #made = 0
  #registered = false

  constructor(ring: Ring, max: number) {
    this.#ring = ring
    this.#max = max
  }

  take(): FixedFile {
    if (!this.#registered) {
      if (this.#max === 0) throw rangeError('options.fixedFiles', '>= 1 to use direct descriptors', 0)
      this.#register()
    }
    let file = this.#free.pop()
    if (file === undefined) {
      if (this.#made === this.#max) {
        throw stateError(
          `Cannot take a direct descriptor: all ${this.#max} are taken; pass a larger fixedFiles`,
        )
      }
      file = new FixedFile(this.#made++)
    }
    this.#taken.add(file)
    return file
  }

  /** As many as were asked for, or as many as RLIMIT_NOFILE allows. */
  #register(): void {
    for (;;) {
      try {
        this.#ring.registerFilesSparse(this.#max)
        this.#registered = true
        return
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EMFILE' || this.#max < 16) throw error
        this.#max = this.#max >> 1
      }
    }
  }

  give(file: FixedFile): void {
    if (!this.#taken.delete(file)) {
      throw stateError(
        'Cannot free the direct descriptor: fixedFile() did not give it, or it was freed before',
      )
    }
    this.#free.push(file)
  }
}
