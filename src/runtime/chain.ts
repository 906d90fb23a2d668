// Operations that the kernel runs one after another, submitted as one.
// Flow: Uring.chain → this → engine.linked, operations. man io_uring_linked_requests(7)
// A link breaks when its operation fails or moves fewer bytes than asked; a hard link only makes the order. There are operations
// whose failure breaks no link (fsync, renameat …, `linkBreaks` in op/table.ts): such a step must be the last, or say hardlink().

import { opTable } from '../op/table.ts'
import { SQE } from '../ring/sqe.ts'
import { IOSQE_IO_HARDLINK, IOSQE_IO_LINK } from '../sys/abi.ts'
import { invalidArgument, rangeError, ringClosedError, stateError } from '../sys/error.ts'
import { checkFunction, checkInteger } from '../sys/validate.ts'
import type { Engine } from './engine.ts'
import { Resource } from './resource.ts'
import type { Slot } from './slots.ts'
import type { Uring } from './uring.ts'

const LINK_BITS = (IOSQE_IO_LINK | IOSQE_IO_HARDLINK) << 8

/** One step of a chain that is being written. */
export class Step<T> {
  readonly name: string
  readonly result: Promise<T>
  /** Null when the step did not begin: its result then rejects with the reason. */
  readonly slot: Slot | null

  readonly #chain: { readonly engine: Engine }

  constructor(chain: { readonly engine: Engine }, name: string, result: Promise<T>, slot: Slot | null) {
    this.#chain = chain
    this.name = name
    this.result = result
    this.slot = slot
  }

  /** The next step runs even if this one fails or comes up short. */
  hardlink(): this {
    if (this.#chain.engine.linking === 0) throw stateError('Cannot make a hard link: the chain is submitted')
    if (this.slot === null) return this
    const { words } = this.slot.sqe
    words[SQE.OPCODE] = (words[SQE.OPCODE]! & ~LINK_BITS) | (IOSQE_IO_HARDLINK << 8)
    this.slot.sqeFlags = (this.slot.sqeFlags & ~IOSQE_IO_LINK) | IOSQE_IO_HARDLINK
    return this
  }

  /** Whether the next step would run after this one failed, although nobody said that it shall. */
  get lets(): boolean {
    const { slot } = this
    if (slot === null || (slot.sqeFlags & IOSQE_IO_HARDLINK) !== 0) return false
    return opTable[slot.opcode]!.linkBreaks === 'nothing'
  }
}

/** Begins the steps of a chain; each method is the Uring's own. */
export class Chain {
  readonly #ring: Uring
  readonly steps: Step<unknown>[] = []

  constructor(ring: Uring) {
    this.#ring = ring
  }

  /**
   * Adds any operation: `c.add('read', (ring) => ring.read(fd, buffer))`.
   * @param name shows in the error when this step fails
   * @param begin begins exactly one operation of the ring, at once
   */
  add<T>(name: string, begin: (ring: Uring) => Promise<T>): Step<T> {
    const { engine } = this.#ring
    if (engine.linking === 0) throw stateError('Cannot add a step: the chain is submitted')
    const before = engine.linked.count
    const begun = begin(this.#ring)
    const count = engine.linked.count - before
    const result = count === 1 ? begun : refused(name, count, begun)
    result.catch(() => {}) // the chain's own promise reports it
    const step = new Step(this.#ring, name, result, count === 1 ? engine.linked.last : null)
    this.steps.push(step)
    return step
  }

  openat(...args: Parameters<Uring['openat']>) {
    return this.add('openat', (ring) => ring.openat(...args))
  }

  openat2(...args: Parameters<Uring['openat2']>) {
    return this.add('openat2', (ring) => ring.openat2(...args))
  }

  read(...args: Parameters<Uring['read']>) {
    return this.add('read', (ring) => ring.read(...args))
  }

  readFixed(...args: Parameters<Uring['readFixed']>) {
    return this.add('readFixed', (ring) => ring.readFixed(...args))
  }

  write(...args: Parameters<Uring['write']>) {
    return this.add('write', (ring) => ring.write(...args))
  }

  writeFixed(...args: Parameters<Uring['writeFixed']>) {
    return this.add('writeFixed', (ring) => ring.writeFixed(...args))
  }

  fsync(...args: Parameters<Uring['fsync']>) {
    return this.add('fsync', (ring) => ring.fsync(...args))
  }

  statx(...args: Parameters<Uring['statx']>) {
    return this.add('statx', (ring) => ring.statx(...args))
  }

  /** A number or a direct descriptor: an owned fd waits for its other users, which a step can't. */
  close(...args: Parameters<Uring['closeFile']>) {
    if (args[0] instanceof Resource)
      throw invalidArgument('Cannot close a Resource in a chain: close it after the chain')
    return this.add('close', (ring) => ring.closeFile(...args))
  }

  socket(...args: Parameters<Uring['socket']>) {
    return this.add('socket', (ring) => ring.socket(...args))
  }

  connect(...args: Parameters<Uring['connect']>) {
    return this.add('connect', (ring) => ring.connect(...args))
  }

  send(...args: Parameters<Uring['send']>) {
    return this.add('send', (ring) => ring.send(...args))
  }

  recv(...args: Parameters<Uring['recv']>) {
    return this.add('recv', (ring) => ring.recv(...args))
  }

  shutdown(...args: Parameters<Uring['shutdown']>) {
    return this.add('shutdown', (ring) => ring.shutdown(...args))
  }

  splice(...args: Parameters<Uring['splice']>) {
    return this.add('splice', (ring) => ring.splice(...args))
  }

  timeout(...args: Parameters<Uring['timeout']>) {
    return this.add('timeout', (ring) => ring.timeout(...args))
  }

  nop(...args: Parameters<Uring['nop']>) {
    return this.add('nop', (ring) => ring.nop(...args))
  }
}

/** The result of a step that did not begin exactly one operation: why it did not, or that it should have. */
async function refused<T>(name: string, count: number, begun: Promise<T>): Promise<never> {
  if (count === 0) await begun
  else begun.catch(() => {})
  throw stateError(`The step '${name}' began ${count} operations; a step begins exactly one, at once`)
}

/** What a failed chain's error tells besides the failing step's own properties. */
export interface ChainError extends Error {
  /** Name and index of the step that failed first. */
  step: string
  stepIndex: number
  /** How each step ended; the ones after the failure are ECANCELED. */
  results: PromiseSettledResult<unknown>[]
}

/** Writes and runs a chain; see `Uring.chain`. */
export async function runChain(
  ring: Uring,
  write: (chain: Chain) => unknown,
  entries: number,
): Promise<unknown[]> {
  const { engine } = ring
  if (engine.closed) throw ringClosedError()
  checkFunction('write', write)
  checkInteger('options.entries', entries)
  const most = Math.floor(engine.ring.sqEntries / 2)
  if (!(Number.isInteger(entries) && entries > 0 && entries <= most)) {
    throw rangeError('entries', `>= 1 && <= ${most} (half of the ring's entries)`, entries)
  }
  if (entries > engine.slots.max) throw rangeError('entries', `<= ${engine.slots.max} (inFlight)`, entries)
  const chain = new Chain(ring)
  const begun = engine.link(entries, () => {
    const written = write(chain)
    if (written instanceof Promise) {
      written.catch(() => {})
      throw stateError('The chain was written by an async function; begin all its steps at once')
    }
    if (engine.linked.count > chain.steps.length && chain.steps.every((step) => step.slot !== null))
      throw stateError("An operation was begun that is no step of the chain; use the chain's own methods")
    if (chain.steps.length > entries)
      throw stateError(`The chain has more than ${entries} steps; pass { entries }`)
    if (chain.steps.some((step) => step.slot === null)) return false
    const loose = chain.steps.slice(0, -1).find((step) => step.lets)
    if (loose !== undefined) {
      throw invalidArgument(
        `Cannot put a step behind '${loose.name}': it would run even if '${loose.name}' failed. Let '${loose.name}' be the last step ` +
          'and await the chain, or say hardlink() if that is meant',
      )
    }
    return true
  })
  if (!begun) return engine.later(() => runChain(ring, write, entries), undefined, entries)
  const results = await Promise.allSettled(chain.steps.map((step) => step.result))
  const invalid = chain.steps.findIndex((step) => step.slot === null)
  const failed = invalid >= 0 ? invalid : firstFailure(results)
  if (failed >= 0) {
    const error = (results[failed] as PromiseRejectedResult).reason as Error
    throw Object.assign(error, { step: chain.steps[failed]!.name, stepIndex: failed, results })
  }
  return results.map((result) => (result as PromiseFulfilledResult<unknown>).value)
}

/** The step that failed by itself; steps that were only cancelled because of it come second. */
function firstFailure(results: PromiseSettledResult<unknown>[]): number {
  const own = results.findIndex(
    (result) => result.status === 'rejected' && result.reason?.code !== 'ECANCELED',
  )
  return own >= 0 ? own : results.findIndex((result) => result.status === 'rejected')
}
