// What is set on a whole ring: credentials, workers, busy polling, the clock of its waits. Nothing here is awaited.
// Flow: Uring → this → ring/register.ts. man io_uring_register(2)
// Buffers, files and buffer groups are registered by those who use them (alloc, fixedFile, bufferGroup), operations cancelled by
// cancel(). There is no method for an eventfd: a ring has one, and the event loop waits for it; another is refused with EBUSY.

import {
  IO_URING_NAPI_TRACKING_DYNAMIC,
  IO_URING_NAPI_TRACKING_INACTIVE,
  IO_URING_NAPI_TRACKING_STATIC,
  IORING_MAX_CQ_ENTRIES,
  IORING_MAX_ENTRIES,
} from '../sys/abi.ts'
import { CLOCK_BOOTTIME, CLOCK_MONOTONIC } from '../sys/constants.ts'
import { argumentTypeError, argumentValueError, ringClosedError, stateError } from '../sys/error.ts'
import { checkBoolean, checkInteger } from '../sys/validate.ts'
import { Registration } from './buffer-table.ts'
import type { Engine } from './engine.ts'
import { optionalWord } from './operations.ts'
import { CommandOperations } from './operations-command.ts'
import { checkShared, RegisteredBuffers, type SharedBuffers, viewsOf } from './registered-buffers.ts'

/** Credentials of a moment, which operations can be given: `{ personality: it.id }`. */
export class Personality {
  /** The number that operations name. */
  readonly id: number
  readonly #engine: Engine
  #registered = true

  constructor(engine: Engine) {
    this.id = engine.ring.registerPersonality()
    this.#engine = engine
  }

  /** Takes the credentials back; operations that have begun keep them. Does nothing the second time, or after the ring's end. */
  close(): void {
    if (!this.#registered || this.#engine.closed) return
    this.#engine.ring.unregisterPersonality(this.id)
    this.#registered = false
  }

  /** As `close`, for `using`. */
  [Symbol.dispose](): void {
    this.close()
  }
}

/** Most workers of each kind. */
export interface WorkerLimits {
  /** For what ends by itself: regular files, block devices. */
  bounded: number
  /** For what may wait for ever: sockets, pipes, terminals. */
  unbounded: number
}

export interface BusyPolling {
  /** Microseconds to poll the network device before sleeping. */
  busyPollUs: number
  /** Whether the device's interrupts stay off meanwhile. */
  preferBusyPoll?: boolean | undefined
  /** Which devices: 'dynamic', those of the sockets in use (the default); 'static', those that were added; 'inactive', none. @kernel 6.13 */
  tracking?: keyof typeof TRACKING | undefined
}

const TRACKING = {
  dynamic: IO_URING_NAPI_TRACKING_DYNAMIC,
  static: IO_URING_NAPI_TRACKING_STATIC,
  inactive: IO_URING_NAPI_TRACKING_INACTIVE,
} as const
/** Completions that no operation in flight stands for: cancel requests, the loop's poll. */
const RESERVE = 8
const CLOCKS = { monotonic: CLOCK_MONOTONIC, boottime: CLOCK_BOOTTIME } as const

export class RegistrationOperations extends CommandOperations {
  /**
   * Takes a snapshot of this thread's credentials: user, groups, capabilities.
   *
   * It outlives `setuid`: a process that gave up its privileges still has them in the ring. Register only what you mean to keep.
   *
   * @throws ERR_RING_CLOSED
   * @kernel 5.6 · IORING_REGISTER_PERSONALITY
   * @man io_uring_register_personality(3)
   */
  personality(): Personality {
    this.#open()
    return new Personality(this.engine)
  }

  /**
   * Limits the kernel's worker threads, which run what can't be done without blocking.
   *
   * They belong to this thread, and its rings share them; only a ring with `sqpoll` has its own. Without arguments it only asks.
   *
   * @param limits what is left out, or 0, stays as it is
   * @returns the limits of before
   * @kernel 5.15 · IORING_REGISTER_IOWQ_MAX_WORKERS
   * @man io_uring_register_iowq_max_workers(3)
   */
  workers(limits: Partial<WorkerLimits> = {}): WorkerLimits {
    this.#open()
    checkOptions('limits', limits)
    const [bounded, unbounded] = this.engine.ring.registerIowqMaxWorkers(
      optionalWord('limits.bounded', limits.bounded, 0x7fffffff),
      optionalWord('limits.unbounded', limits.unbounded, 0x7fffffff),
    )
    return { bounded, unbounded }
  }

  /**
   * Says which CPUs the worker threads may run on.
   * @param cpus their numbers; null lifts the limit
   * @throws EINVAL none of them is there
   * @kernel 5.14 · IORING_REGISTER_IOWQ_AFF
   * @man io_uring_register_iowq_aff(3)
   */
  affinity(cpus: readonly number[] | null): void {
    this.#open()
    if (cpus === null) this.engine.ring.unregisterIowqAff()
    else this.engine.ring.registerIowqAff(cpus)
  }

  /**
   * Polls the network device for a while before a wait sleeps: less latency for one CPU's time.
   * @param polling null ends it
   * @returns the settings of before; nothing when it ends
   * @throws EINVAL, EOPNOTSUPP a kernel without busy polling
   * @kernel 6.9 · IORING_REGISTER_NAPI
   * @man io_uring_register_napi(3)
   */
  napi(polling: BusyPolling | null): BusyPolling | undefined {
    this.#open()
    const { ring } = this.engine
    if (polling === null) {
      ring.unregisterNapi()
      return undefined
    }
    checkOptions('polling', polling)
    const { busyPollUs, preferBusyPoll = false, tracking = 'dynamic' } = polling
    checkInteger('polling.busyPollUs', busyPollUs, 0, 0xffffffff)
    checkBoolean('polling.preferBusyPoll', preferBusyPoll)
    if (!Object.hasOwn(TRACKING, tracking))
      throw argumentValueError('polling.tracking', tracking, "must be 'dynamic', 'static' or 'inactive'")
    return ring.registerNapi({ busyPollUs, preferBusyPoll, opParam: TRACKING[tracking] })
  }

  /**
   * Chooses the clock on which the ring's waits are timed: 'monotonic' (the default) stands still while the machine sleeps.
   *
   * Operations have their own, see `timeout(ms, { clock })`.
   *
   * @kernel 6.12 · IORING_REGISTER_CLOCK
   * @man io_uring_register_clock(3)
   */
  clock(name: 'monotonic' | 'boottime'): void {
    this.#open()
    if (!Object.hasOwn(CLOCKS, name))
      throw argumentValueError('name', name, "must be 'monotonic' or 'boottime'")
    this.engine.ring.registerClock(CLOCKS[name])
  }

  /**
   * Gives the ring's queues other sizes; what is in flight and queued goes on. Only the default kind of ring can (`deferTaskrun`).
   *
   * How many operations may be in flight stays as it was when the ring was made.
   *
   * @param sizes `entries` of the submission queue, `cqEntries` of the completion queue
   * @throws ERR_OUT_OF_RANGE: fewer completions than operations may be in flight · EINVAL (a kernel before 6.13) · EOVERFLOW ·
   *   ENOMEM (no room for the new pages: the ring is at its end, all that was in flight rejects; close it before its thread ends)
   * @kernel 6.13 · IORING_REGISTER_RESIZE_RINGS
   * @man io_uring_resize_rings(3)
   */
  resize(sizes: { entries: number; cqEntries: number }): void {
    this.#open()
    checkOptions('sizes', sizes)
    const { entries, cqEntries } = sizes
    checkInteger('sizes.entries', entries, 1, IORING_MAX_ENTRIES)
    checkInteger('sizes.cqEntries', cqEntries, this.engine.slots.max + RESERVE, IORING_MAX_CQ_ENTRIES)
    if (this.engine.linking !== 0) throw stateError('Cannot resize the ring while a chain is being written')
    // Entries that are claimed and not written yet would be lost from sight; there are none between two operations.
    this.engine.flush()
    try {
      this.engine.ring.resizeRings(entries, cqEntries)
    } catch (error) {
      // Without its pages the ring is of no use: every promise is told, and only close() is left.
      if (this.engine.ring.isUnmapped) this.engine.fail(error as Error)
      throw error
    }
  }

  /**
   * Lends buffers of one's own to the kernel, which maps them once: `readFixed`, `writeFixed` and the like are then quicker, the more so
   * the larger they are. They share the ring's table (`fixedBuffers`) with `alloc`.
   *
   * The pages are locked in memory (RLIMIT_MEMLOCK), and the views stay reachable, until the kernel has let go after `update` or `close`.
   *
   * @param buffers views, null for an empty place; or `{ sparse: n }`, empty places for `update`
   * @throws {UringError} ENOMEM over RLIMIT_MEMLOCK · EFAULT · EOPNOTSUPP memory of a file
   * @throws ERR_INVALID_STATE the table is full
   * @kernel 5.19 · IORING_REGISTER_BUFFERS2, IORING_REGISTER_BUFFERS_UPDATE
   * @man io_uring_register_buffers(3), io_uring_registered_buffers(7)
   */
  registerBuffers(buffers: readonly (ArrayBufferView | null)[] | { sparse: number }): RegisteredBuffers {
    this.#open()
    return RegisteredBuffers.register(this.engine, viewsOf(buffers))
  }

  /**
   * Has the registered buffers of a ring in another thread, without mapping them again.
   * @param shared what `RegisteredBuffers.share` gave there; that ring must still be open
   * @throws {UringError} EBADF, ENOTSUP no such ring · EINVAL a kernel before 6.13 · EEXIST it is its thread's alone · ENXIO,
   *   EOVERFLOW it has not so many
   * @kernel 6.13 · IORING_REGISTER_CLONE_BUFFERS
   * @man io_uring_clone_buffers(3)
   */
  cloneBuffers(shared: SharedBuffers): RegisteredBuffers {
    this.#open()
    checkShared(shared)
    const memories = shared.views.map((view) => (view === null ? null : new Registration(view)))
    return RegisteredBuffers.clone(this.engine, shared.fd, shared.offset, memories)
  }

  #open(): void {
    if (this.engine.closed) throw ringClosedError()
  }
}

function checkOptions(name: string, value: unknown): asserts value is object {
  if (typeof value !== 'object' || value === null) throw argumentTypeError(name, 'of type object', value)
}
