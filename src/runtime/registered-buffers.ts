// Buffers of the caller's own that the kernel has mapped once: a range of places in the ring's table.
// Flow: Uring.registerBuffers → this → buffer-table.ts. man io_uring_register_buffers(3), io_uring_clone_buffers(3)

import type { Ring } from '../ring/ring.ts'
import { IORING_SETUP_SINGLE_ISSUER } from '../sys/abi.ts'
import {
  argumentTypeError,
  argumentValueError,
  bufferDetachedError,
  bufferResizableError,
  rangeError,
  ringClosedError,
  stateError,
} from '../sys/error.ts'
import { checkInteger } from '../sys/validate.ts'
import { type BufferTable, type Place, Registration } from './buffer-table.ts'
import type { Engine } from './engine.ts'
import { isDetached } from './operations.ts'

/** The kernel maps at most so many bytes as one buffer, and has so many places. */
const BYTES_MAX = 1 << 30
export const PLACES_MAX = 16384

/** What another thread of this process needs to have the same buffers in its ring: can be posted. */
export interface SharedBuffers {
  /** The fd of the ring that has them, which must stay open until they are cloned. */
  fd: number
  /** Where in its table they begin. */
  offset: number
  /** Over SharedArrayBuffers; null is an empty place. */
  views: readonly (ArrayBufferView | null)[]
}

function checkOne(name: string, view: unknown): asserts view is ArrayBufferView | null {
  if (view === null) return
  if (!ArrayBuffer.isView(view))
    throw argumentTypeError(name, 'null or an instance of Buffer, TypedArray or DataView', view)
  if ((view.buffer as ArrayBufferLike & { resizable?: boolean }).resizable === true)
    throw bufferResizableError(name)
  if (view.byteLength === 0 && isDetached(view)) throw bufferDetachedError(name)
  if (view.byteLength === 0 || view.byteLength > BYTES_MAX)
    throw rangeError(`${name}.byteLength`, `>= 1 && <= ${BYTES_MAX}`, view.byteLength)
}

function checkList(name: string, views: unknown): asserts views is (ArrayBufferView | null)[] {
  if (!Array.isArray(views)) throw argumentTypeError(name, 'an instance of Array', views)
  if (views.length === 0 || views.length > PLACES_MAX)
    throw rangeError(`${name}.length`, `>= 1 && <= ${PLACES_MAX}`, views.length)
  for (const [i, view] of views.entries()) checkOne(`${name}[${i}]`, view)
}

/** The views to register: those given, or as many empty places as asked for. */
export function viewsOf(buffers: unknown): readonly (ArrayBufferView | null)[] {
  if (typeof buffers === 'object' && buffers !== null && 'sparse' in buffers) {
    checkInteger('buffers.sparse', buffers.sparse, 1, PLACES_MAX)
    return new Array<null>(buffers.sparse).fill(null)
  }
  checkList('buffers', buffers)
  return buffers
}

/** Checks what another thread posted. */
export function checkShared(shared: unknown): asserts shared is SharedBuffers {
  if (typeof shared !== 'object' || shared === null)
    throw argumentTypeError('shared', 'of type object', shared)
  const { fd, offset, views } = shared as Partial<SharedBuffers>
  checkInteger('shared.fd', fd, 0, 0x7fffffff)
  checkInteger('shared.offset', offset, 0, PLACES_MAX - 1)
  checkList('shared.views', views)
  for (const view of views as (ArrayBufferView | null)[]) {
    if (view !== null && !(view.buffer instanceof SharedArrayBuffer))
      throw argumentValueError('shared.views', view, 'must be views of a SharedArrayBuffer')
  }
}

/** Registered buffers; made by `Uring.registerBuffers`. `readFixed`, `writeFixed`, `sendZc` and the like take them and parts of them. */
export class RegisteredBuffers {
  readonly #engine: Engine
  readonly #table: BufferTable
  readonly #offset: number
  readonly #places: (Place | null)[]
  #closed: Promise<void> | undefined

  private constructor(engine: Engine, offset: number, places: (Place | null)[]) {
    this.#engine = engine
    this.#table = engine.buffers
    this.#offset = offset
    this.#places = places
  }

  /** Registers views in places of the table that follow each other: all of them, or none. */
  static register(engine: Engine, views: readonly (ArrayBufferView | null)[]): RegisteredBuffers {
    const offset = engine.buffers.reserve(views.length)
    const made = new RegisteredBuffers(engine, offset, new Array<Place | null>(views.length).fill(null))
    try {
      for (const [i, view] of views.entries()) if (view !== null) made.#put(i, new Registration(view))
      return made
    } catch (error) {
      made.#empty()
      throw error
    }
  }

  /** Has what another ring has, without mapping it again. */
  static clone(
    engine: Engine,
    source: Ring | number,
    sourceOffset: number,
    memories: readonly (Registration | null)[],
  ): RegisteredBuffers {
    const offset = engine.buffers.reserve(memories.length)
    try {
      return new RegisteredBuffers(
        engine,
        offset,
        engine.buffers.clone(source, sourceOffset, offset, memories),
      )
    } catch (error) {
      engine.buffers.free(offset, memories.length)
      throw error
    }
  }

  #put(index: number, memory: Registration | null): Place | null {
    const old = this.#places[index]!
    this.#places[index] = this.#table.put(this.#offset + index, old, memory)
    return old
  }

  #empty(): Place[] {
    const old = this.#places.filter((place) => place !== null)
    for (const [i, place] of this.#places.entries()) if (place !== null) this.#put(i, null)
    this.#table.free(this.#offset, this.#places.length)
    return old
  }

  #assertOpen(): void {
    if (this.#engine.closed) throw ringClosedError()
    if (this.#closed !== undefined) throw stateError('Cannot use the registered buffers: they are closed')
  }

  /** How many places there are. */
  get length(): number {
    return this.#places.length
  }

  /** The view in a place; null when it is empty. */
  at(index: number): ArrayBufferView | null {
    checkInteger('index', index, 0, this.#places.length - 1)
    return this.#places[index]?.memory.view ?? null
  }

  /**
   * Puts another buffer into a place, or empties it.
   *
   * Operations in flight go on with the old one. What has not begun, behind a link or a drain or because an SQPOLL thread has yet to
   * take it, fails with EFAULT.
   *
   * @param view null empties the place
   * @returns a promise that resolves when no ring has the old buffer any more
   * @throws {UringError} ENOMEM over RLIMIT_MEMLOCK · EFAULT · EOPNOTSUPP memory of a file
   * @kernel 5.13 · IORING_REGISTER_BUFFERS_UPDATE
   * @man io_uring_register_buffers_update_tag(3)
   */
  async update(index: number, view: ArrayBufferView | null): Promise<void> {
    this.#assertOpen()
    checkInteger('index', index, 0, this.#places.length - 1)
    checkOne('view', view)
    this.#engine.flush()
    await this.#put(index, view === null ? null : new Registration(view))?.memory.released()
  }

  /**
   * Has the same buffers in another ring of this thread, without mapping them again. Later updates of one are not seen by the other.
   * @throws {UringError} EINVAL a kernel before 6.13
   * @kernel 6.13 · IORING_REGISTER_CLONE_BUFFERS
   * @man io_uring_clone_buffers(3)
   */
  cloneTo(target: { readonly engine: Engine }): RegisteredBuffers {
    this.#assertOpen()
    const { engine } = target ?? {}
    if (engine?.buffers === undefined) throw argumentTypeError('target', 'an instance of Uring', target)
    if (engine.closed) throw ringClosedError()
    if (engine === this.#engine)
      throw argumentValueError('target', target, 'must be another ring than the one that has the buffers')
    const memories = this.#places.map((place) => place?.memory ?? null)
    return RegisteredBuffers.clone(engine, this.#engine.ring, this.#offset, memories)
  }

  /**
   * What a worker needs to have the same buffers: post it, and give it to `Uring.cloneBuffers` there.
   * @throws ERR_INVALID_STATE the ring is its thread's alone, as by default, or has no fd · ERR_INVALID_ARG_VALUE a buffer is not of
   *   shared memory
   */
  share(): SharedBuffers {
    this.#assertOpen()
    const { fd, setupFlags } = this.#engine.ring
    if (fd < 0) throw stateError('Cannot share the buffers: the ring has no fd (registeredFdOnly)')
    if ((setupFlags & IORING_SETUP_SINGLE_ISSUER) !== 0)
      throw stateError(
        "Cannot share the buffers: the ring is this thread's alone (singleIssuer); make it with deferTaskrun: false",
      )
    const shared = {
      fd,
      offset: this.#offset,
      views: this.#places.map((place) => place?.memory.view ?? null),
    }
    checkShared(shared)
    return shared
  }

  /**
   * Takes all of them out of the ring.
   *
   * Operations in flight go on; what has not begun fails with EFAULT. The memory stays reachable until the kernel has let go, whatever
   * the program does with its views.
   *
   * @returns a promise that resolves when no ring has any of them any more
   */
  async close(): Promise<void> {
    if (this.#closed === undefined) {
      if (!this.#engine.closed) this.#engine.flush()
      this.#closed = this.#engine.closed ? Promise.resolve() : this.#close()
    }
    await this.#closed
  }

  async #close(): Promise<void> {
    await Promise.all(this.#empty().map((place) => place.memory.released()))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}
