// The time limit of an operation: a LINK_TIMEOUT in the entry behind its own.
// Flow: engine.ts → this → op/prep-control.ts. man io_uring_prep_link_timeout(3)

import { prepLinkTimeout } from '../op/prep-control.ts'
import { SQE } from '../ring/sqe.ts'
import { IOSQE_IO_LINK } from '../sys/abi.ts'
import { USER_DATA_INTERNAL } from '../sys/driver.ts'
import { writeTimespecMs } from '../sys/timespec.ts'
import type { Engine } from './engine.ts'
import { Scratch } from './memory-pool.ts'
import type { Slot } from './slots.ts'

/** Of requests whose CQE is of no interest: this one, and cancels. */
export const CANCEL_USER_DATA = USER_DATA_INTERNAL | 1

/** Writes the LINK_TIMEOUT into the entry behind an operation's; the caller made sure that it is free. */
export function writeDeadline({ ring, scratch, linking }: Engine, slot: Slot, timeoutMs: number): void {
  const at = Scratch.BYTES - 16
  writeTimespecMs(scratch.words, (scratch.offset(slot.index) + at) / 4, timeoutMs)
  slot.sqeFlags |= IOSQE_IO_LINK
  const sqe = ring.getSqe()!
  prepLinkTimeout(sqe, scratch.address(slot.index) + at, 0)
  if (linking !== 0) sqe.addFlags(linking)
  slot.deadlineSqe = sqe
  sqe.words[SQE.USER_DATA] = CANCEL_USER_DATA
}
