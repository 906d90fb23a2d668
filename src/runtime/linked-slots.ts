// The slots begun in the chain that is being written, in their order.
// Flow: engine.ts → this. man io_uring_linked_requests(7)

import { SQE } from '../ring/sqe.ts'
import { IOSQE_IO_HARDLINK, IOSQE_IO_LINK } from '../sys/abi.ts'
import type { Slot } from './slots.ts'

const LINK_BITS = (IOSQE_IO_LINK | IOSQE_IO_HARDLINK) << 8

export class LinkedSlots {
  #slots: Slot[] = []

  get count(): number {
    return this.#slots.length
  }

  /** The slot that was begun last. */
  get last(): Slot | null {
    return this.#slots.at(-1) ?? null
  }

  /** Makes a slot the next step. */
  join(slot: Slot): void {
    const previous = this.last
    if (previous !== null) {
      slot.previous = previous
      slot.previousGeneration = previous.generation
    }
    this.#slots.push(slot)
  }

  /** Takes the last one away again. */
  leave(): void {
    this.#slots.pop()
  }

  /** The last step must not be linked to whatever comes next. */
  unlinkTail(): void {
    const { last } = this
    if (last === null) return
    const sqe = last.deadlineSqe ?? last.sqe
    sqe.words[SQE.OPCODE]! &= ~LINK_BITS
  }

  /** Forgets them, and returns those there were. */
  clear(): Slot[] {
    const slots = this.#slots
    this.#slots = []
    return slots
  }
}
