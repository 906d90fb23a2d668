// A chain of linked steps with a single CQE: of the last step, or of the one that failed, which cancels all behind it without a word.
// Flow: fs (soft-chain.ts) → this → engine.ts. man io_uring_enter(2), IOSQE_CQE_SKIP_SUCCESS
// All steps name one slot, so it is one operation: it begins, is in flight and ends as any other. What is behind a step that failed
// never began, so its CQE is the kernel's last word on all of them. Links are soft: behind hard ones the rest would still run.
// What the kernel does not take for a failure, such as the errors of unlinkat and statx, breaks no chain and is not told: there is one
// CQE all the same, and whoever wants to know must look at what the step did.
// An entry that the kernel could not take in the middle would tear the chain; it takes all, or has no memory for a task that it kills.

import { SQE, type Sqe } from '../ring/sqe.ts'
import { IORING_OP_NOP, IOSQE_CQE_SKIP_SUCCESS, IOSQE_IO_LINK } from '../sys/abi.ts'
import { USER_DATA_CHAIN } from '../sys/driver.ts'
import type { Engine } from './engine.ts'
import type { Sink } from './slots.ts'

/** What 8 bits of user_data can count. */
export const QUIET_STEPS = 255
/** What 12 bits of user_data can name: a ring with more slots can't be quiet. */
export const QUIET_SLOTS = 4096

/** Fills the entry of a step: calls the prep function, and then `addFlags`. */
export type WriteStep = (sqe: Sqe, step: number) => void

/**
 * Writes a quiet chain; call it inside of `engine.link`, which sees to the room.
 * @param count `QUIET_STEPS` at most
 * @param sink hears once; `engine.step` says of which step
 */
export function writeQuiet(engine: Engine, count: number, write: WriteStep, sink: Sink): void {
  const { ring } = engine
  const steps: Sqe[] = []
  for (let step = 0; step < count - 1; step++) {
    const sqe = ring.getSqe()!
    write(sqe, step)
    sqe.addFlags(IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS)
    steps.push(sqe)
  }
  const slot = engine.begin(IORING_OP_NOP, undefined)!
  slot.sink = sink
  write(slot.sqe, count - 1)
  engine.commit(slot)
  steps.push(slot.sqe)
  for (let step = 0; step < count; step++) {
    const { words } = steps[step]!
    words[SQE.USER_DATA] = USER_DATA_CHAIN | (step << 20) | (count << 12) | slot.index
    words[SQE.USER_DATA + 1] = slot.generation
  }
}
