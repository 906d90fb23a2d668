// Steps that run one after another on a worker of the kernel's, until one fails: an open, a read, a write. Of operations on names
// (unlinkat, statx …) an error breaks no chain (6.18), and nobody hears of it in a quiet one. Used again and again.
// Flow: copy-chain.ts, stat-chain.ts, removal.ts → this → quiet-chain.ts, or where a ring can't be quiet a slot and a CQE for each step.
// One CQE a chain is what makes it cheap: each CQE that a worker posts takes a lock, and maybe wakes this thread.

import { QUIET_STEPS, type WriteStep, writeQuiet } from '../runtime/quiet-chain.ts'
import type { Sink } from '../runtime/slots.ts'
import type { Uring } from '../runtime/uring.ts'
import { IORING_OP_NOP } from '../sys/abi.ts'
import { ECANCELED } from '../sys/errno.ts'

/** Room for a name, with the zero at its end, on the average: some file systems have longer ones than 255 bytes. */
const NAME_BYTES = 256
/** Bytes for the names of a chain: the longest of all finds room in the shortest chain. */
const roomFor = (most: number): number => Math.max(16, most) * NAME_BYTES

/** The names from `at` on that find room in a chain of `most` names. */
export function someNames(names: readonly string[], at: number, most: number): string[] {
  let end = at
  for (let room = roomFor(most); end < names.length && end < at + most; end++) {
    room -= names[end]!.length + 1
    if (room < 0) break
  }
  return names.slice(at, end)
}

/** One step of a chain that is not quiet. */
class Step implements Sink {
  res = 0
  readonly #ended: () => void

  constructor(ended: () => void) {
    this.#ended = ended
  }

  onCqe(res: number): void {
    this.res = res
    this.#ended()
  }
}

/** One chain at a time. */
export class SoftChain implements Sink {
  /** How many steps the last run did in full. */
  done = 0
  /** The result of the step behind those: -errno, or of a transfer that came up short fewer bytes than were asked for. */
  res = 0
  readonly #ring: Uring
  readonly #names: Buffer
  readonly #address: number
  readonly #addresses: number[] = []
  readonly #steps: Step[] = []
  #count = 0
  #left = 0
  #write!: WriteStep
  #resolve!: () => void

  /** @param most most names that its steps have */
  constructor(ring: Uring, most: number) {
    this.#ring = ring
    this.#names = ring.alloc(roomFor(most))
    this.#address = ring.engine.addresses.of(this.#names)
  }

  free(): void {
    this.#ring.free(this.#names)
  }

  /** Keeps names, in latin1, for the next run; `someNames` sees to it that they find room. */
  keep(names: readonly string[]): void {
    let at = 0
    for (const [i, name] of names.entries()) {
      this.#addresses[i] = this.#address + at
      at += this.#names.write(name, at, 'latin1')
      this.#names[at++] = 0
    }
    if (at > this.#names.length) throw new RangeError('Cannot keep the names: there is no room')
  }

  /** The address of a name that is kept. */
  address(index: number): number {
    return this.#addresses[index]!
  }

  /** Runs `count` steps; `done` and `res` say what became of them. A ring that is closed takes none: then `res` is -ECANCELED. */
  run(count: number, write: WriteStep): Promise<void> {
    this.#count = count
    this.#write = write
    this.done = 0
    this.res = -ECANCELED
    return new Promise((resolve) => {
      this.#resolve = resolve
      if (this.#ring.engine.closed) resolve()
      else this.#start().catch(resolve as () => void)
    })
  }

  readonly #start = (): Promise<void> => {
    const { engine } = this.#ring
    const isQuiet = engine.quiet && this.#count <= QUIET_STEPS
    if (engine.link(this.#count, isQuiet ? this.#quiet : this.#loud)) return Promise.resolve()
    return engine.later(this.#start, undefined, this.#count)
  }

  readonly #quiet = (): boolean => {
    writeQuiet(this.#ring.engine, this.#count, this.#write, this)
    return true
  }

  /** The one CQE of a quiet chain. */
  onCqe(res: number): void {
    const { engine } = this.#ring
    // What a dying ring ends has no CQE, and no step.
    this.done = engine.closed && res < 0 ? 0 : engine.step
    this.res = res
    if (res >= 0 && this.done === this.#count - 1) this.done++
    this.#resolve()
  }

  readonly #loud = (): boolean => {
    const { engine } = this.#ring
    this.#left = this.#count
    for (let i = 0; i < this.#count; i++) {
      if (i === this.#steps.length) this.#steps.push(new Step(this.#stepEnded))
      const slot = engine.begin(IORING_OP_NOP, undefined)!
      slot.sink = this.#steps[i]!
      this.#write(slot.sqe, i)
      engine.commit(slot)
    }
    return true
  }

  readonly #stepEnded = (): void => {
    if (--this.#left > 0) return
    const count = this.#count
    let done = 0
    while (done < count && this.#steps[done]!.res >= 0) done++
    this.res = this.#steps[Math.min(done, count - 1)]!.res
    // It did not fail itself: the one before came up short.
    if (done < count && done > 0 && this.res === -ECANCELED) this.res = this.#steps[--done]!.res
    this.done = done
    this.#resolve()
  }
}
