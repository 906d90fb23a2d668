// Messages that other rings posted to this one: kept until somebody listens, then handed to the listener.
// Flow: engine.ts (CQEs marked USER_DATA_FOREIGN) → this → operations-message. man io_uring_prep_msg_ring(3)
//
// A message is a CQE without a request: user_data's 64 bits are our mark (bit 31), "this is a file" (bit 30), 30 bits and then 23
// bits of `data`; res is `value`, or the place of a file; the upper half of flags is `tag`.

import { IORING_CQE_BUFFER_SHIFT } from '../sys/abi.ts'
import { USER_DATA_FOREIGN, USER_DATA_INTERNAL } from '../sys/driver.ts'
import type { FixedFile } from './resource.ts'

/** A message from another ring. */
export interface RingMessage {
  /** 32 bits with sign. */
  value: number
  /** A whole number up to 2^53 - 1. */
  data: number
  /** 16 bits. */
  tag: number
  /** A file that came along, now a direct descriptor of this ring. */
  file?: FixedFile | undefined
}

const TWO_30 = 2 ** 30
const LOW_BITS = TWO_30 - 1
/** Messages kept for a listener to come. */
const KEPT = 4096

/** user_data's low word for a message. */
export function messageLow(data: number, isFile: boolean): number {
  return (data % TWO_30) | USER_DATA_FOREIGN | (isFile ? USER_DATA_INTERNAL : 0)
}

/** user_data's high word for a message. */
export function messageHigh(data: number): number {
  return Math.floor(data / TWO_30)
}

export class Inbox {
  readonly #adopt: (index: number) => FixedFile
  readonly #drop: (file: FixedFile) => void
  readonly #kept: RingMessage[] = []
  #listener: ((message: RingMessage) => void) | null = null
  #lost = 0

  /** @param adopt makes the descriptor of a file that came · @param drop closes one that nobody takes */
  constructor(adopt: (index: number) => FixedFile, drop: (file: FixedFile) => void) {
    this.#adopt = adopt
    this.#drop = drop
  }

  /** Whether somebody listens. */
  get isTaken(): boolean {
    return this.#listener !== null
  }

  /** Takes a CQE that another ring posted. */
  take(low: number, high: number, res: number, flags: number): void {
    const isFile = (low & USER_DATA_INTERNAL) !== 0
    const message: RingMessage = {
      value: isFile ? 0 : res,
      data: (low & LOW_BITS) + (high >>> 0) * TWO_30,
      tag: flags >>> IORING_CQE_BUFFER_SHIFT,
    }
    if (isFile) message.file = this.#adopt(res)
    if (this.#listener !== null) this.#listener(message)
    else if (this.#kept.length < KEPT) this.#kept.push(message)
    else this.#lose(message)
  }

  #lose(message: RingMessage): void {
    if (message.file !== undefined) this.#drop(message.file)
    if (this.#lost++ > 0) return
    process.emitWarning(
      `Messages of other rings are lost: ${KEPT} wait already, and nobody listens. Call messages() on the ring that gets them`,
      { type: 'RingMessageWarning', code: 'RINGCORE_MESSAGES_LOST' },
    )
  }

  /** Hands what was kept, and what comes, to the listener; null ends that. */
  listen(listener: ((message: RingMessage) => void) | null): void {
    this.#listener = listener
    if (listener !== null) for (const message of this.#kept.splice(0)) listener(message)
  }
}
