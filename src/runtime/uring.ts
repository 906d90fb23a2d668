// A ring with promises: the runtime's face.
// Flow: the program, fs, net → this (and the operations it inherits) → engine.ts.

import { Ring, type RingOptions } from '../ring/ring.ts'
import {
  IORING_SETUP_COOP_TASKRUN,
  IORING_SETUP_DEFER_TASKRUN,
  IORING_SETUP_IOPOLL,
  IORING_SETUP_SQ_REWIND,
  IORING_SETUP_SQPOLL,
} from '../sys/abi.ts'
import { CTL } from '../sys/driver.ts'
import {
  argumentTypeError,
  argumentValueError,
  errnoError,
  invalidArgument,
  rangeError,
  ringClosedError,
  ringUnavailableError,
  stateError,
} from '../sys/error.ts'
import { checkInteger, checkObject } from '../sys/validate.ts'
import { BufferGroup, type BufferGroupOptions } from './buffer-group.ts'
import { BufferTable } from './buffer-table.ts'
import { type Chain, runChain } from './chain.ts'
import { Engine } from './engine.ts'
import { foreignHost } from './host.ts'
import { checkFixedFile } from './operations.ts'
import { RegistrationOperations } from './operations-registration.ts'
import { QUIET_SLOTS } from './quiet-chain.ts'
import { PLACES_MAX } from './registered-buffers.ts'
import type { FixedFile } from './resource.ts'
import { checkAllow, restrict } from './restrictions.ts'

export interface UringOptions extends RingOptions {
  /** Most operations in flight; more wait their turn in order. Default and limit: what the completion queue holds. */
  inFlight?: number | undefined
  /** Where the thread waits: 'ring', 'epoll', or (default) wherever the last wake-ups came from. */
  wait?: 'auto' | 'ring' | 'epoll' | undefined
  /** Size of the table of direct descriptors; default 1024, 0 for none. Made on first use. */
  fixedFiles?: number | undefined
  /** Size of the table of registered buffers, of which `alloc` takes up to 64; default 1024, 0 for none. Made on first use. */
  fixedBuffers?: number | undefined
  /**
   * All that the ring may do, for good; anything else rejects with EACCES. Opcodes ('READ' or their numbers), register operations
   * ('IORING_REGISTER_PERSONALITY') and flags ('IOSQE_ASYNC'). What the event loop and timeouts need is always allowed.
   */
  allow?: readonly (string | number)[] | undefined
}

/** Counters since the ring was made. */
export interface UringStats {
  /** Operations in flight, queued for a free slot, and how many of the former hold the process open. */
  inFlight: number
  queued: number
  referenced: number
  /** Calls of io_uring_enter, batches delivered, CQEs in them. */
  enters: number
  rounds: number
  cqes: number
  /** Sleeps in the ring; wake-ups from epoll; turns of the loop that brought only libuv's work. */
  ringWaits: number
  epollWakes: number
  libuvWakes: number
  /** Where the thread waits now. */
  waits: 'ring' | 'epoll'
  /** CQEs that named no operation in flight: always 0, unless something is wrong. */
  strays: number
}

const WAITS = { auto: 0, ring: 1, epoll: 2 } as const
const ENTRIES = 512
const CQ_ENTRIES = 4096
/** CQEs kept free for those that no slot waits for: cancel requests, the loop's poll. */
const RESERVE = 64

const forgotten = new FinalizationRegistry<Engine>((engine) => {
  process.emitWarning(
    'A Uring was dropped without close(); it is closed now. Call close(), or use `await using`',
    {
      type: 'RingLeakWarning',
      code: 'RINGCORE_RING_LEAK',
    },
  )
  engine.close().catch(() => {})
})

/** The setup every kernel since 6.1 likes best for one thread that submits in batches. */
function defaults(options: UringOptions): RingOptions {
  const { inFlight: _1, wait: _2, fixedFiles: _3, fixedBuffers: _4, allow, ...ring } = options
  const entries = options.entries ?? ENTRIES
  const chosen: RingOptions = {
    submitAll: true,
    cqEntries: Math.max(CQ_ENTRIES, entries * 2),
    ...ring,
    entries,
  }
  const other = IORING_SETUP_SQPOLL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_IOPOLL
  const asked =
    options.sqpoll || options.coopTaskrun || options.iopoll || ((options.flags ?? 0) & other) !== 0
  if (!asked && options.deferTaskrun !== false) {
    chosen.singleIssuer = true
    chosen.deferTaskrun = true
    chosen.taskrunFlag = true
  }
  if (allow !== undefined) chosen.rDisabled = true
  return chosen
}

/** Rings on which completions wait until this thread enters, so that a linked step on a worker of the kernel's waits for it too. */
const COMPLETES_HERE = IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_IOPOLL

export class Uring extends RegistrationOperations {
  readonly #options: UringOptions
  #workerRing: Uring | null = null

  /**
   * Makes a ring for this thread.
   *
   * Operations in flight hold the process open, an idle ring does not. Close it, or say `await using`.
   *
   * @throws ERR_RING_UNAVAILABLE: the message names the cause (kernel, sysctl, seccomp, limits) and the cure
   * @throws ERR_INVALID_ARG_VALUE: options that exclude each other
   */
  constructor(options: UringOptions = {}) {
    if (typeof options !== 'object' || options === null)
      throw argumentTypeError('options', 'of type object', options)
    const { wait = 'auto', inFlight, fixedFiles = 1024, fixedBuffers = 1024 } = options
    if (!Object.hasOwn(WAITS, wait))
      throw argumentValueError('options.wait', wait, "must be 'auto', 'ring' or 'epoll'")
    checkInteger('options.fixedFiles', fixedFiles, 0, 1048576)
    checkInteger('options.fixedBuffers', fixedBuffers, 0, PLACES_MAX)
    if (options.sqRewind === true || ((options.flags ?? 0) & IORING_SETUP_SQ_REWIND) !== 0) {
      throw invalidArgument('Cannot use sqRewind: the event loop submits too; use Ring of ringcore/ring')
    }
    const allowed = options.allow === undefined ? undefined : checkAllow(options.allow)
    if (foreignHost !== undefined) {
      throw ringUnavailableError(
        `Cannot drive a ring from ${foreignHost}'s event loop`,
        'use Ring of ringcore/ring there, or run on Node',
      )
    }
    const ring = new Ring(defaults(options))
    const most = Math.max(1, ring.cqEntries - Math.min(RESERVE, ring.cqEntries >> 2))
    if (inFlight !== undefined && !(Number.isInteger(inFlight) && inFlight >= 1 && inFlight <= most)) {
      ring.close()
      throw rangeError('options.inFlight', `>= 1 && <= ${most}`, inFlight)
    }
    const engine = new Engine(ring, inFlight ?? most, new BufferTable(ring, fixedBuffers))
    super(engine, fixedFiles)
    this.#options = options
    engine.control[CTL.WAIT] = WAITS[wait]
    // The native side keeps this function for as long as the ring lives, so it must not reach the Uring.
    const opened = ring.driver.loopOpen(ring.handle, (count) => engine.onBatch(count))
    if (opened < 0) {
      ring.close()
      throw errnoError(opened, 'uv_loop')
    }
    // Behind loopOpen, which registers the eventfd: a restricted ring need not be allowed to.
    if (allowed !== undefined) {
      try {
        restrict(ring, allowed)
      } catch (error) {
        ring.close()
        throw error
      }
    }
    forgotten.register(this, engine, engine)
  }

  /** Whether `close` was called. */
  get closed(): boolean {
    return this.engine.closed
  }

  /**
   * The ring for chains that the kernel runs on its workers: what makes, removes and looks up names.
   *
   * With DEFER_TASKRUN, the default, every step of such a chain ends on this thread before the next one begins. Here a whole chain
   * stays on one worker. Made on first use, closed with this ring; it is this ring itself where it was made without DEFER_TASKRUN.
   */
  workerRing(): Uring {
    const { engine } = this
    if (engine.closed) throw ringClosedError()
    if ((engine.ring.setupFlags & COMPLETES_HERE) === 0) return this
    if (this.#workerRing === null) {
      const { allow } = this.#options
      // It waits in epoll: two rings that both wait in themselves would keep each other awake.
      this.#workerRing = new Uring({ deferTaskrun: false, coopTaskrun: true, wait: 'epoll', allow })
      // Nobody but this library knows of it, so nobody misses IOSQE_IO_DRAIN, which the kernel refuses behind a quiet chain.
      const own = this.#workerRing.engine
      own.quiet = allow === undefined && own.slots.max <= QUIET_SLOTS
      if (!engine.referenced) this.#workerRing.unref()
    }
    return this.#workerRing
  }

  /** The ring's flags, sizes and file descriptor, for the curious. */
  get ring(): Ring {
    return this.engine.ring
  }

  /**
   * Runs operations one after another in the kernel, with one system call.
   *
   * A step that fails or comes up short cancels the rest, unless it is a `hardlink()`. Results come in the order of the steps.
   *
   * Not so for what changes names, sizes and attributes, and for `fsync`, `fallocate`, `statx`: kernels (up to 6.18) go on after
   * their errors, except for a bad descriptor. So such a step must be the last; await it before what depends on it. With `hardlink()`
   * it says that the next step shall run in any case.
   *
   * An abort of any step ends the chain: it cancels what runs, and what did not begin does not run. (What is behind a `hardlink()`
   * does, when that ends.)
   *
   * @param write begins the steps, at once: `(c) => { c.write(fd, a); c.fsync(fd) }`
   * @param options.entries most steps, default 8
   * @returns the steps' results
   * @throws the error of the step that failed, with `step`, `stepIndex` and `results` · ERR_INVALID_ARG_VALUE: a step would run
   *   although the one before failed (nothing was queued)
   * @man io_uring_linked_requests(7)
   */
  chain(write: (chain: Chain) => unknown, options?: { entries?: number }): Promise<unknown[]> {
    try {
      checkObject('options', options)
    } catch (error) {
      return Promise.reject(error)
    }
    const { entries = Math.min(8, this.engine.slots.max) } = options ?? {}
    return runChain(this, write, entries)
  }

  /**
   * Lends a zeroed, page-aligned buffer that is safe in every case: it cannot be taken away from under the kernel, and suits
   * O_DIRECT, `readFixed` and `writeFixed`. Give it back with `free`.
   */
  alloc(bytes: number): Buffer {
    checkInteger('bytes', bytes, 1, 1 << 30)
    if (this.engine.closed) throw ringClosedError()
    return this.engine.arena.alloc(bytes)
  }

  /**
   * Takes back a buffer of `alloc`; using it afterwards is an error.
   * @throws ERR_INVALID_STATE: an operation still uses it, or it was freed before
   */
  free(buffer: Uint8Array): void {
    if (!(buffer instanceof Uint8Array))
      throw argumentTypeError('buffer', 'an instance of Uint8Array', buffer)
    const lent = this.engine.arena.find(buffer)
    const from = lent?.address ?? 0
    const to = from + (lent?.pages ?? 0) * 4096
    if (lent !== undefined && uses(this.engine, lent.region.memory, from, to)) {
      throw stateError('Cannot free the buffer: an operation still uses it')
    }
    this.engine.arena.free(buffer)
    this.engine.addresses.poison(buffer)
  }

  /** A free direct descriptor: a place in the ring's own table to open, accept or make a socket into. */
  fixedFile(): FixedFile {
    if (this.engine.closed) throw ringClosedError()
    return this.files.take()
  }

  /** Makes a direct descriptor free for the next; close it first. */
  freeFixedFile(file: FixedFile): void {
    checkFixedFile(file)
    this.files.give(file)
  }

  /** Makes a group of buffers that the kernel picks from when data arrives. */
  bufferGroup(options?: BufferGroupOptions): BufferGroup {
    if (this.engine.closed) throw ringClosedError()
    checkObject('options', options)
    return new BufferGroup(this.engine, options)
  }

  /** Submits what is queued now, instead of at the end of this turn of the event loop. Returns how many entries the kernel took. */
  flush(): number {
    if (this.engine.closed) throw ringClosedError()
    const taken = this.engine.flush()
    // Transient refusals lose nothing: the entries stay queued and go down with the loop's next turn.
    return Math.max(taken, 0)
  }

  /**
   * Submits and waits, blocking this thread, until nothing is in flight: for `process.on('exit')`.
   *
   * Results are settled, but nobody runs after an exit to see them. Endless operations (accept, multishot) must be cancelled before.
   */
  flushSync(): void {
    if (this.engine.closed) throw ringClosedError()
    this.engine.flushSync()
    this.#workerRing?.flushSync()
  }

  /** From now on, operations in flight hold the process open again. */
  ref(): this {
    this.engine.reference(true)
    this.#workerRing?.ref()
    return this
  }

  /** Operations in flight no longer hold the process open. */
  unref(): this {
    this.engine.reference(false)
    this.#workerRing?.unref()
    return this
  }

  /** Counters, for tests and for looking at what the loop does. */
  stats(): UringStats {
    const { control, queued, strays } = this.engine
    return {
      inFlight: control[CTL.LIVE]!,
      queued,
      referenced: control[CTL.REFS]!,
      enters: control[CTL.ENTERS]! >>> 0,
      rounds: control[CTL.ROUNDS]! >>> 0,
      cqes: control[CTL.CQES]! >>> 0,
      ringWaits: control[CTL.RING_WAITS]! >>> 0,
      epollWakes: control[CTL.EPOLL_WAKES]! >>> 0,
      libuvWakes: control[CTL.LIBUV_WAKES]! >>> 0,
      waits: control[CTL.MODE] === 0 ? 'epoll' : 'ring',
      strays,
    }
  }

  /**
   * Ends the ring: cancels what is in flight, waits until the kernel has let go of every byte, then frees.
   *
   * Pending operations reject with ERR_RING_CLOSED; what the kernel can't cancel (a read from a slow disk) is waited for.
   */
  close(): Promise<void> {
    forgotten.unregister(this.engine)
    const closed = this.engine.close()
    return this.#workerRing === null ? closed : this.#closeBoth(closed, this.#workerRing)
  }

  /** The other ring's operations may be steps of what waits for this one's: both are asked to end before either is waited for. */
  async #closeBoth(closed: Promise<void>, other: Uring): Promise<void> {
    await Promise.all([closed, other.close()])
  }

  /** As `close`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

/** Whether an operation in flight may touch the bytes from `from` to `to` of `memory`. */
function uses(engine: Engine, memory: ArrayBufferLike, from: number, to: number): boolean {
  for (const slot of engine.slots) {
    const views = Array.isArray(slot.held) ? [slot.view, ...slot.held] : [slot.view]
    for (const view of views) {
      if (!ArrayBuffer.isView(view) || view.buffer !== memory) continue
      const at = engine.addresses.of(view)
      if (at < to && at + view.byteLength > from) return true
    }
  }
  return false
}
