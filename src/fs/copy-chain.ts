// Copies small files of one directory to another by chains: open → read → open → write for one file after another, all of a chain on
// one worker of the kernel's. Two direct descriptors and one buffer serve a whole chain, since its steps run one by one.
// Flow: copying.ts → this → soft-chain.ts.
// The sizes are known: a read that brings less breaks the link before the new file is made, and whoever called copies that file
// otherwise. The next file takes the place of the one before in the ring's table, which closes that.

import { constants } from 'node:fs'
import { prepNop } from '../op/prep-control.ts'
import { prepRead, prepWrite } from '../op/prep-file.ts'
import { prepOpenatDirect } from '../op/prep-path.ts'
import type { Sqe } from '../ring/sqe.ts'
import type { FixedFile } from '../runtime/resource.ts'
import type { Uring } from '../runtime/uring.ts'
import { IOSQE_FIXED_FILE } from '../sys/abi.ts'
import { SoftChain } from './soft-chain.ts'

/** Most bytes of a file that is copied this way. */
export const SMALL = 65536
/** Most files of a chain. */
export const CHAIN_FILES = 32
/** Most entries that a file takes. */
const STEPS = 4
/** Chains at once; each has a buffer of `SMALL` bytes. */
const CHAINS = 16
const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDONLY, O_WRONLY } = constants
const READ_FLAGS = O_RDONLY | O_NOFOLLOW
const WRITE_FLAGS = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW

/** A regular file in a directory, by its name in latin1. */
export interface FileToCopy {
  name: string
  mode: number
  size: number
  atimeMs: number
  mtimeMs: number
}

/** What became of a file: 'no' made nothing, 'partly' made the file but did not fill it. */
export type Copied = 'yes' | 'no' | 'partly'

/** What a step does. */
const [OPEN_SOURCE, READ, OPEN_COPY, WRITE, NOP] = [0, 1, 2, 3, 4]
const MOST_STEPS = CHAIN_FILES * STEPS + 1

/** One chain at a time, with its buffer and its two places in the table. */
class CopyChain {
  readonly from: FixedFile
  readonly to: FixedFile
  readonly #ring: Uring
  readonly #room: Buffer
  readonly #address: number
  readonly #chain: SoftChain
  /** What each step does, and with which file. */
  readonly #kinds = new Uint8Array(MOST_STEPS)
  readonly #places = new Uint8Array(MOST_STEPS)
  #files: readonly FileToCopy[] = []
  #srcFd = -1
  #destFd = -1

  constructor(ring: Uring) {
    this.#ring = ring
    this.from = ring.fixedFile()
    this.to = ring.fixedFile()
    this.#room = ring.alloc(SMALL)
    this.#address = ring.engine.addresses.of(this.#room)
    this.#chain = new SoftChain(ring, CHAIN_FILES)
  }

  free(): void {
    this.#chain.free()
    this.#ring.free(this.#room)
    this.#ring.freeFixedFile(this.from)
    this.#ring.freeFixedFile(this.to)
  }

  /** Copies some files; the outcome of each goes to `outcome`. */
  async copy(srcFd: number, destFd: number, files: readonly FileToCopy[], outcome: Copied[]): Promise<void> {
    this.#srcFd = srcFd
    this.#destFd = destFd
    this.#files = files
    let count = 0
    this.#chain.keep(files.map(({ name }) => name))
    for (const [place, { size }] of files.entries()) {
      for (const kind of size > 0 ? [OPEN_SOURCE, READ, OPEN_COPY, WRITE] : [OPEN_SOURCE, OPEN_COPY]) {
        this.#kinds[count] = kind!
        this.#places[count++] = place
      }
    }
    // What the last open closed is let go before a worker takes its next step: so there has to be one.
    this.#kinds[count++] = NOP!
    await this.#chain.run(count, this.#write)
    const { done } = this.#chain
    // The step behind those that were done failed, and what is behind that never began.
    const failed = done < count - 1 ? this.#places[done]! : files.length
    for (let place = 0; place < files.length; place++)
      outcome.push(place < failed ? 'yes' : place === failed && this.#kinds[done] === WRITE ? 'partly' : 'no')
  }

  readonly #write = (sqe: Sqe, step: number): void => {
    const kind = this.#kinds[step]!
    if (kind === NOP) {
      prepNop(sqe)
      return
    }
    const place = this.#places[step]!
    const { size, mode } = this.#files[place]!
    const name = this.#chain.address(place)
    if (kind === OPEN_SOURCE) prepOpenatDirect(sqe, this.#srcFd, name, READ_FLAGS, 0, this.from.index)
    else if (kind === OPEN_COPY) prepOpenatDirect(sqe, this.#destFd, name, WRITE_FLAGS, mode, this.to.index)
    else {
      if (kind === READ) prepRead(sqe, this.from.index, this.#address, size, 0)
      else prepWrite(sqe, this.to.index, this.#address, size, 0)
      sqe.addFlags(IOSQE_FIXED_FILE)
    }
  }
}

/** The chains of one copy. */
export class CopyChains {
  readonly #ring: Uring
  readonly #files: number
  readonly #all: CopyChain[] = []
  readonly #free: CopyChain[] = []
  readonly #waiting: ((chain: CopyChain) => void)[] = []

  /** @param ring the ring whose chains stay on workers */
  constructor(ring: Uring) {
    this.#ring = ring
    const { engine } = ring
    const entries = Math.min(engine.ring.sqEntries >> 1, engine.slots.max) - 1
    this.#files = Math.min(CHAIN_FILES, Math.floor(entries / STEPS))
  }

  /**
   * Copies files from one open directory to another.
   * @returns what became of each
   */
  async copy(srcFd: number, destFd: number, files: readonly FileToCopy[]): Promise<Copied[]> {
    if (this.#files < 1) return files.map(() => 'no')
    const chain = await this.#take()
    if (chain === null) return files.map(() => 'no')
    const outcome: Copied[] = []
    try {
      for (let at = 0; at < files.length; at += this.#files)
        await chain.copy(srcFd, destFd, files.slice(at, at + this.#files), outcome)
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#free.push(chain)
      else next(chain)
    }
    return outcome
  }

  async #take(): Promise<CopyChain | null> {
    const free = this.#free.pop()
    if (free !== undefined) return free
    if (this.#all.length === CHAINS) return new Promise((resolve) => this.#waiting.push(resolve))
    try {
      const chain = new CopyChain(this.#ring)
      this.#all.push(chain)
      return chain
    } catch (error) {
      // No direct descriptors here (RLIMIT_NOFILE): another way is slower, not worse.
      if ((error as NodeJS.ErrnoException).code === 'ERR_RING_CLOSED') throw error
      return null
    }
  }

  /** Closes what the last steps of each chain left open. */
  async close(): Promise<void> {
    if (this.#ring.closed) return
    const closes = this.#all.flatMap(({ from, to }) => [
      this.#ring.closeFixed(from),
      this.#ring.closeFixed(to),
    ])
    await Promise.allSettled(closes) // EBADF: nothing was opened into it
    for (const chain of this.#all) chain.free()
  }
}
