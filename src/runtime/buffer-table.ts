// The ring's one table of registered buffers: regions of the arena, and memory of the caller's own.
// Flow: engine.ts (arena), operations-*, registered-buffers.ts → this → ring (REGISTER_BUFFERS2, _UPDATE, CLONE_BUFFERS).
// man io_uring_registered_buffers(7)
// A place that is emptied is not free at once: operations that began with it go on. Two things tell when the kernel has let go: the
// tag, a CQE without a request, and the operations of ours that still hold the buffer. A clone has no tag, and the pages are the same.

import type { Ring } from '../ring/ring.ts'
import { CTL, USER_DATA_FOREIGN } from '../sys/driver.ts'
import { stateError } from '../sys/error.ts'
import type { Held } from './slots.ts'

/** Regions of the arena that are registered; what comes later works without. */
const REGIONS_MAX = 64
/** Set in user_data's high word of tags: no message of another ring has it. */
const TAG = 0x80000000

/** Whether a CQE that no request of ours made says that a registered buffer is free. */
export const isTag = (high: number): boolean => (high & TAG) !== 0

/** Memory that is registered in one or more rings: told when none of them has it any more. */
export class Registration {
  readonly view: ArrayBufferView
  #places = 0
  #free: (() => void)[] = []

  constructor(view: ArrayBufferView) {
    this.view = view
  }

  /** One more ring has it. */
  add(): void {
    this.#places++
  }

  /** A ring has let go of it. */
  remove(): void {
    if (--this.#places > 0) return
    for (const free of this.#free.splice(0)) free()
  }

  /** Resolves when no ring has it. */
  released(): Promise<void> {
    if (this.#places === 0) return Promise.resolve()
    return new Promise((resolve) => {
      this.#free.push(resolve)
    })
  }
}

/** A view in a place of the table. */
export class Place implements Held {
  readonly memory: Registration
  /** The buffer's index; -1 once it was taken out of the table. */
  bufIndex: number
  readonly from: number
  readonly to: number
  readonly #table: BufferTable
  /** Operations in flight that use it. */
  #users = 0
  /** Whether the tag has yet to come. */
  #tagged: boolean
  #isExpected = false
  #ended = false

  constructor(table: BufferTable, memory: Registration, bufIndex: number, tagged: boolean) {
    const { byteOffset, byteLength } = memory.view
    this.memory = memory
    this.bufIndex = bufIndex
    this.from = byteOffset
    this.to = byteOffset + byteLength
    this.#tagged = tagged
    this.#table = table
    memory.add()
  }

  /** Holds the memory for one operation. */
  hold(): this {
    this.#users++
    return this
  }

  /** The kernel has let go of that operation. */
  drop(): void {
    this.#users--
    this.settle()
  }

  /** The tag came. */
  untag(): void {
    this.#tagged = false
    if (this.#isExpected) this.#table.expect(-1)
    this.settle()
  }

  /** Lets go of the memory, once it is out of the table and nothing can use it. */
  settle(): void {
    if (this.bufIndex >= 0 || this.#users > 0 || this.#ended) return
    if (!this.#tagged) this.#end()
    else if (!this.#isExpected) {
      this.#isExpected = true
      this.#table.expect(1)
    }
  }

  #end(): void {
    this.#ended = true
    this.#table.forget(this)
    this.memory.remove()
  }

  /** The ring is gone, and all that it had. */
  end(): void {
    this.bufIndex = -1
    if (!this.#ended) this.#end()
  }
}

export class BufferTable {
  readonly #ring: Ring
  readonly #size: number
  #state: 'unmade' | 'made' | 'refused' = 'unmade'
  #regions = 0
  readonly #taken: boolean[] = []
  /** Places by the memory that they are in. */
  readonly #places = new WeakMap<ArrayBufferLike, Place[]>()
  /** Places whose tag has not come, by number. */
  readonly #waiting = new Map<number, Place>()
  /** Places that are, or may be, the kernel's. */
  readonly #live = new Set<Place>()
  #tags = 0

  constructor(ring: Ring, size: number) {
    this.#ring = ring
    this.#size = size
  }

  /** Makes the table when it is first needed. */
  #make(): void {
    if (this.#state === 'made') return
    this.#ring.registerBuffersSparse(this.#size)
    this.#state = 'made'
  }

  /** Takes free places that follow each other, or returns -1. */
  #take(count: number): number {
    for (let from = 0, run = 0, at = 0; at < this.#size; at++) {
      if (this.#taken[at] === true) {
        run = 0
        from = at + 1
      } else if (++run === count) {
        for (let i = from; i <= at; i++) this.#taken[i] = true
        return from
      }
    }
    return -1
  }

  /** Registers memory that stays for good, as far as the kernel's limits allow. Returns its index, or -1. */
  addRegion(memory: Uint8Array): number {
    if (this.#state === 'refused' || this.#regions === REGIONS_MAX || this.#size === 0) return -1
    let index = -1
    try {
      this.#make()
      index = this.#take(1)
      if (index < 0) return -1
      this.#ring.registerBuffersUpdateTag(index, [memory])
      this.#regions++
      return index
    } catch (error) {
      // RLIMIT_MEMLOCK, mostly: the memory serves as well without registration.
      if ((error as NodeJS.ErrnoException).syscall === undefined) throw error
      if (this.#state === 'unmade') this.#state = 'refused'
      if (index >= 0) this.#taken[index] = false
      return -1
    }
  }

  /**
   * Takes places that follow each other, empty ones.
   * @throws ERR_INVALID_STATE there are not so many
   */
  reserve(count: number): number {
    const index = this.#size === 0 ? -1 : this.#take(count)
    if (index < 0) {
      throw stateError(
        `Cannot register ${count} buffers: the ring's table of ${this.#size} has no room for them; pass a larger fixedBuffers`,
      )
    }
    try {
      this.#make()
    } catch (error) {
      this.free(index, count)
      throw error
    }
    return index
  }

  /** Gives empty places back. */
  free(index: number, count: number): void {
    this.#taken.fill(false, index, index + count)
  }

  /**
   * Puts memory into a place, or nothing, instead of what is there. Operations that have begun keep the old.
   * @throws {UringError} ENOMEM over RLIMIT_MEMLOCK · EFAULT · EOPNOTSUPP memory of a file
   */
  put(index: number, old: Place | null, memory: Registration | null): Place | null {
    const tag = memory === null ? 0 : this.#nextTag()
    const word = tag === 0 ? 0n : (BigInt((TAG | tag) >>> 0) << 32n) | BigInt(USER_DATA_FOREIGN)
    this.#ring.registerBuffersUpdateTag(index, [memory?.view ?? null], [word])
    if (old !== null) this.#out(old)
    if (memory === null) return null
    const place = this.#in(memory, index, true)
    this.#waiting.set(tag, place)
    return place
  }

  #nextTag(): number {
    do this.#tags = (this.#tags % 0x7fffffff) + 1
    while (this.#waiting.has(this.#tags))
    return this.#tags
  }

  /** Takes over places of another ring; a clone's place has no tag. */
  clone(
    source: Ring | number,
    sourceOffset: number,
    index: number,
    memories: readonly (Registration | null)[],
  ): (Place | null)[] {
    this.#ring.cloneBuffers(source, {
      sourceOffset,
      offset: index,
      count: memories.length,
      replace: true,
    })
    return memories.map((memory, i) => (memory === null ? null : this.#in(memory, index + i, false)))
  }

  #in(memory: Registration, index: number, tagged: boolean): Place {
    const place = new Place(this, memory, index, tagged)
    const { buffer } = memory.view
    const others = this.#places.get(buffer)
    if (others === undefined) this.#places.set(buffer, [place])
    else others.push(place)
    this.#live.add(place)
    return place
  }

  #out(place: Place): void {
    const { buffer } = place.memory.view
    const others = this.#places.get(buffer)!
    others.splice(others.indexOf(place), 1)
    place.bufIndex = -1
    place.settle()
    this.#live.delete(place)
    if (others.length === 0) this.#places.delete(buffer)
  }

  /** A place has let go of its memory. */
  forget(place: Place): void {
    if (!this.#ring.closed) this.#ring.forgetRetired(place.memory.view)
  }

  /**
   * One tag more or less is due, of a place that no operation uses: the loop has to look for it, and it counts as if it were one in
   * flight.
   */
  expect(count: 1 | -1): void {
    const { control, driver, handle } = this.#ring
    control[CTL.LIVE]! += count
    control[CTL.REFS]! += count
    if (count > 0) driver.loopActivate(handle)
  }

  /** The place whose memory a view lies in. */
  find(view: ArrayBufferView): Place | undefined {
    if (this.#live.size === 0) return undefined
    const places = this.#places.get(view.buffer)
    if (places === undefined) return undefined
    const from = view.byteOffset
    const to = from + view.byteLength
    return places.find((place) => place.from <= from && place.to >= to)
  }

  /** Whether a place shares a byte with a view. */
  touches(view: ArrayBufferView): boolean {
    const to = view.byteOffset + view.byteLength
    return (this.#places.get(view.buffer) ?? []).some(
      (place) => place.from < to && place.to > view.byteOffset,
    )
  }

  /** Takes a tag: the kernel has let go of what stood in a place. */
  released(high: number): void {
    const tag = high & ~TAG
    const place = this.#waiting.get(tag)
    if (place === undefined) return
    this.#waiting.delete(tag)
    place.untag()
  }

  /** The ring has ended: nothing can use any of it. */
  ended(): void {
    for (const place of [...this.#live, ...this.#waiting.values()]) place.end()
    this.#live.clear()
    this.#waiting.clear()
  }
}
