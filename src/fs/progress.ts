// How far a tree is: what `cp` and `rm` tell to `onProgress`.
// Flow: removal.ts, copying.ts, trees-by-node.ts → this.

import { AbortError } from '../sys/error.ts'
import type { Progress } from './batch.ts'
import { nameBytes } from './names.ts'
import { node } from './node-fs.ts'

const EVERY_MS = 100

export interface Told {
  signal?: AbortSignal | undefined
  onProgress?: ((progress: Progress) => void) | undefined
  countFirst?: boolean | undefined
}

/** Counts what is done, and tells of it now and then. */
export class Tally {
  files = 0
  bytes = 0
  readonly #options: Told
  #total: number | undefined
  #lastTold = performance.now()

  constructor(options: Told) {
    this.#options = options
  }

  /** Counts what there is, where `countFirst` asks for it: the names of a tree, its own included. */
  async countFirst(latin1: string, isDirectory: boolean): Promise<void> {
    const { countFirst = false, onProgress, signal } = this.#options
    if (!countFirst || onProgress === undefined) return
    this.#total = isDirectory ? await countNames(latin1, signal) : 1
  }

  tellSometimes(): void {
    if (this.#options.onProgress === undefined) return
    if (performance.now() - this.#lastTold >= EVERY_MS) this.tell()
  }

  tell(): void {
    const { files, bytes } = this
    const total = this.#total
    this.#lastTold = performance.now()
    // What came meanwhile must not go beyond the end.
    this.#options.onProgress?.(
      total === undefined ? { files, bytes } : { files, bytes, total: Math.max(total, files) },
    )
  }
}

/** All names in a tree, and its own; what can't be listed has none. */
async function countNames(latin1: string, signal: AbortSignal | undefined): Promise<number> {
  let count = 1
  const waiting = [latin1]
  for (let directory = waiting.pop(); directory !== undefined; directory = waiting.pop()) {
    if (signal?.aborted === true) throw new AbortError(signal.reason)
    const listed = node.readdir(nameBytes(directory), { encoding: 'latin1', withFileTypes: true })
    for (const entry of await listed.catch(() => [])) {
      count++
      if (entry.isDirectory()) waiting.push(`${directory}/${entry.name}`)
    }
  }
  return count
}
