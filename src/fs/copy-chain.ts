// Copies small files of one directory to another by chains: open → read → open → write for one file after another, all of a chain on
// one worker of the kernel's. Two direct descriptors and one buffer serve a whole chain, since its steps run one by one.
// Flow: copying.ts → this → engine.ts.
// The sizes are known: a read that brings less breaks the link before the new file is made, and whoever called copies that file
// otherwise. The next file takes the place of the one before in the ring's table, which closes that.

import { constants } from 'node:fs'
import { prepNop } from '../op/prep-control.ts'
import { prepRead, prepWrite } from '../op/prep-file.ts'
import { prepOpenatDirect } from '../op/prep-path.ts'
import { putPath } from '../runtime/operations.ts'
import type { FixedFile } from '../runtime/resource.ts'
import type { Sink, Slot } from '../runtime/slots.ts'
import type { Uring } from '../runtime/uring.ts'
import {
  IORING_OP_NOP,
  IORING_OP_OPENAT,
  IORING_OP_READ,
  IORING_OP_WRITE,
  IOSQE_FIXED_FILE,
  IOSQE_IO_HARDLINK,
  IOSQE_IO_LINK,
} from '../sys/abi.ts'
import { nameBytes } from './names.ts'

/** Most bytes of a file that is copied this way. */
export const SMALL = 65536
/** Most files of a chain. */
export const CHAIN_FILES = 16
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

class Result implements Sink {
  res = 0
  readonly #chain: { ended(): void }

  constructor(chain: { ended(): void }) {
    this.#chain = chain
  }

  onCqe(res: number): void {
    this.res = res
    this.#chain.ended()
  }
}

/** One chain at a time, with its buffer and its two places in the table. */
class CopyChain {
  readonly from: FixedFile
  readonly to: FixedFile
  readonly #ring: Uring
  readonly #room: Buffer
  readonly #address: number
  readonly #results: Result[] = []
  #used = 0
  #left = 0
  #resolve!: () => void

  constructor(ring: Uring) {
    this.#ring = ring
    this.from = ring.fixedFile()
    this.to = ring.fixedFile()
    this.#room = ring.alloc(SMALL)
    this.#address = ring.engine.addresses.of(this.#room)
  }

  free(): void {
    this.#ring.free(this.#room)
    this.#ring.freeFixedFile(this.from)
    this.#ring.freeFixedFile(this.to)
  }

  ended(): void {
    if (--this.#left === 0) this.#resolve()
  }

  #begin(opcode: number, flags: number): Slot {
    if (this.#used === this.#results.length) this.#results.push(new Result(this))
    const slot = this.#ring.engine.begin(opcode, undefined)!
    slot.sink = this.#results[this.#used++]!
    slot.sqeFlags = flags
    this.#left++
    return slot
  }

  async copy(srcFd: number, destFd: number, files: readonly FileToCopy[]): Promise<Copied[]> {
    const { engine } = this.#ring
    this.#used = 0
    this.#left = 0
    const done = new Promise<void>((resolve) => {
      this.#resolve = resolve
    })
    const write = (): boolean => {
      for (const file of files) this.#file(srcFd, destFd, file)
      // What the last open closed is let go before a worker takes its next step: so there has to be one.
      if (files.at(-1)!.size === 0) {
        const nop = this.#begin(IORING_OP_NOP, 0)
        prepNop(nop.sqe)
        engine.commit(nop)
      }
      return true
    }
    const entries = files.length * STEPS + 1
    const start = (): Promise<void> =>
      engine.link(entries, write) ? Promise.resolve() : engine.later(start, undefined, entries)
    await start()
    await done
    return this.#outcome(files)
  }

  #file(srcFd: number, destFd: number, { name, size, mode }: FileToCopy): void {
    const { engine } = this.#ring
    const bytes = nameBytes(name)
    const from = this.#begin(IORING_OP_OPENAT, IOSQE_IO_LINK)
    prepOpenatDirect(from.sqe, srcFd, putPath(engine, from, bytes), READ_FLAGS, 0, this.from.index)
    engine.commit(from)
    if (size > 0) {
      const read = this.#begin(IORING_OP_READ, IOSQE_IO_LINK | IOSQE_FIXED_FILE)
      prepRead(read.sqe, this.from.index, this.#address, size, 0)
      engine.commit(read)
    }
    const to = this.#begin(IORING_OP_OPENAT, size > 0 ? IOSQE_IO_LINK : IOSQE_IO_HARDLINK)
    prepOpenatDirect(to.sqe, destFd, putPath(engine, to, bytes), WRITE_FLAGS, mode, this.to.index)
    engine.commit(to)
    if (size > 0) {
      const write = this.#begin(IORING_OP_WRITE, IOSQE_IO_HARDLINK | IOSQE_FIXED_FILE)
      prepWrite(write.sqe, this.to.index, this.#address, size, 0)
      engine.commit(write)
    }
  }

  #outcome(files: readonly FileToCopy[]): Copied[] {
    let at = 0
    return files.map(({ size }) => {
      const steps = size > 0 ? STEPS : 2
      const opened = this.#results[at + steps - (size > 0 ? 2 : 1)]!.res
      const written = size > 0 ? this.#results[at + steps - 1]!.res : 0
      at += steps
      if (opened < 0) return 'no'
      return written === size ? 'yes' : 'partly'
    })
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
        outcome.push(...(await chain.copy(srcFd, destFd, files.slice(at, at + this.#files))))
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
