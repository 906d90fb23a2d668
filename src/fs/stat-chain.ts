// The metadata of some names of a directory, asked for with one chain of statx.
// Flow: copying.ts → this → soft-chain.ts.

import { prepStatx } from '../op/prep-path.ts'
import type { Sqe } from '../ring/sqe.ts'
import type { Uring } from '../runtime/uring.ts'
import { AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS } from '../sys/constants.ts'
import { decodeStatx, STATX_BYTES, type Statx } from '../sys/statx.ts'
import { SoftChain } from './soft-chain.ts'

/** Most names of a chain. */
export const STAT_NAMES = 32

/** What a copy wants to know; times are 0 where it does not keep them. */
export type Found = Pick<Statx, 'mode' | 'size' | 'atimeMs' | 'mtimeMs'>

/** One chain at a time. */
class StatChain {
  readonly #ring: Uring
  readonly #chain: SoftChain
  readonly #out: Buffer
  readonly #view: DataView
  readonly #address: number
  readonly #hasTimes: boolean
  #dirfd = -1

  constructor(ring: Uring, hasTimes: boolean) {
    this.#ring = ring
    this.#hasTimes = hasTimes
    this.#chain = new SoftChain(ring, STAT_NAMES)
    this.#out = ring.alloc(STAT_NAMES * STATX_BYTES)
    this.#view = new DataView(this.#out.buffer, this.#out.byteOffset, this.#out.length)
    this.#address = ring.engine.addresses.of(this.#out)
  }

  free(): void {
    this.#chain.free()
    this.#ring.free(this.#out)
  }

  /** Asks about names; null where there is nothing to know, whyever. */
  async ask(dirfd: number, names: readonly string[]): Promise<(Found | null)[]> {
    this.#dirfd = dirfd
    this.#chain.keep(names)
    // A statx that fails fails no chain and says nothing in a quiet one: but it leaves its record as it is.
    for (let i = 0; i < names.length; i++) this.#view.setUint32(i * STATX_BYTES, 0)
    await this.#chain.run(names.length, this.#write)
    return names.map((_, i) => this.#found(i * STATX_BYTES))
  }

  readonly #write = (sqe: Sqe, step: number): void => {
    const out = this.#address + step * STATX_BYTES
    prepStatx(sqe, this.#dirfd, this.#chain.address(step), AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, out)
  }

  #found(at: number): Found | null {
    if (this.#view.getUint32(at) === 0) return null
    if (this.#hasTimes) return decodeStatx(this.#out, at)
    const view = this.#view
    const size = view.getUint32(at + 40, true) + view.getUint32(at + 44, true) * 2 ** 32
    return { mode: view.getUint16(at + 28, true), size, atimeMs: 0, mtimeMs: 0 }
  }
}

/** The chains of one copy. */
export class StatChains {
  readonly #ring: Uring
  readonly #hasTimes: boolean
  readonly #all: StatChain[] = []
  readonly #free: StatChain[] = []

  /** @param ring the ring whose chains stay on workers */
  constructor(ring: Uring, hasTimes: boolean) {
    this.#ring = ring
    this.#hasTimes = hasTimes
  }

  take(): StatChain {
    const free = this.#free.pop()
    if (free !== undefined) return free
    const chain = new StatChain(this.#ring, this.#hasTimes)
    this.#all.push(chain)
    return chain
  }

  give(chain: StatChain): void {
    this.#free.push(chain)
  }

  free(): void {
    if (!this.#ring.closed) for (const chain of this.#all) chain.free()
  }
}
