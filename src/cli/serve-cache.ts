// Small files that were read before, while they are what they were.
// Flow: serve-files.ts → this.
//
// An entry is used only after the file was opened anew and found to be the same, unchanged: device, inode, size, both times in
// nanoseconds. A file that changed within the last seconds is not kept at all, since clocks of file systems are coarse.

import type { FileState } from './serve-stat.ts'

export interface Entry {
  state: FileState
  body: Buffer
}

/** Larger files are read when they are asked for: for them the copy that this saves is not what costs. */
export const CACHED_FILE_MAX = 262_144

/** The least recently used go first. */
export class FileCache {
  readonly #bytesMax: number
  readonly #entries = new Map<string, Entry>()
  #bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** Whether a file of this size may be kept. */
  takes(size: number): boolean {
    return size <= CACHED_FILE_MAX && size <= this.#bytesMax
  }

  get bytes(): number {
    return this.#bytes
  }

  get(path: string, state: FileState): Buffer | undefined {
    const entry = this.#entries.get(path)
    if (entry === undefined) return undefined
    if (!entry.state.equals(state)) {
      this.#delete(path, entry)
      return undefined
    }
    // Last in, last out: a Map keeps the order in which its keys came. The newest need not move.
    if (this.#newest !== path) {
      this.#entries.delete(path)
      this.#entries.set(path, entry)
      this.#newest = path
    }
    return entry.body
  }

  #newest = ''

  set(path: string, entry: Entry): void {
    const before = this.#entries.get(path)
    if (before !== undefined) this.#delete(path, before)
    this.#entries.set(path, entry)
    this.#newest = path
    this.#bytes += entry.body.length
    for (const [oldest, other] of this.#entries) {
      if (this.#bytes <= this.#bytesMax) break
      this.#delete(oldest, other)
    }
  }

  #delete(path: string, entry: Entry): void {
    this.#entries.delete(path)
    this.#bytes -= entry.body.length
  }
}
