// Cancelling, until it has happened.
// Flow: engine.ts → this → op/prep-control.ts. man io_uring_cancelation(7)
// One request is not enough: a cancel that meets an operation between two states answers -EALREADY or -ENOENT and is lost, and a
// hard-linked step may begin after everything was cancelled. So what is wanted is asked for again until it is so.
// The kernel does not find a step of a chain that has not begun: then the one that runs before it is cancelled, which breaks the chain.

import { prepCancel, prepCancelFd } from '../op/prep-control.ts'
import { SQE, type Sqe } from '../ring/sqe.ts'
import { IORING_ASYNC_CANCEL_ALL, IORING_ASYNC_CANCEL_ANY, IOSQE_IO_HARDLINK } from '../sys/abi.ts'
import { CTL, USER_DATA_INTERNAL } from '../sys/driver.ts'
import { listen } from './options.ts'
import type { Slot } from './slots.ts'

const ASK_AGAIN_MS = 10
/** The value of CTL.WAIT that says: in epoll. */
const WAIT_EPOLL = 2

export class Cancels {
  readonly #entry: () => Sqe | null
  #wanted: (() => boolean)[] = []
  #timer: NodeJS.Timeout | undefined

  /** @param entry an SQE whose CQE is of no interest, or null when there is none now */
  constructor(entry: () => Sqe | null) {
    this.#entry = entry
  }

  /** Cancels the operation of a slot, as `step`, when the signal aborts. */
  listen(slot: Slot, signal: AbortSignal): void {
    const { generation } = slot
    const onAbort = (): void => this.step(slot, generation)
    listen(signal, onAbort)
    slot.signal = signal
    slot.onAbort = onAbort
  }

  /** Cancels the operation of a slot; its final CQE says what became of it. */
  slot(slot: Slot, generation: number): void {
    this.#want(() => {
      if (slot.generation !== generation) return false
      this.#ask(slot, generation)
      return true
    })
  }

  /** As `slot`, and the steps before it in its chain: of those that are in flight, the first runs and the others wait for it. */
  step(slot: Slot, generation: number): void {
    this.#want(() => {
      if (slot.generation !== generation) return false
      // The first first: a break is then all that the others have to be told.
      const steps: Slot[] = [slot]
      for (let at = slot; at.previous !== null; at = at.previous) {
        const { previous, previousGeneration } = at
        // Behind a hard link a step runs whatever becomes of the one before, so breaking that would only hasten it.
        if (previous.generation !== previousGeneration || previous.sqeFlags & IOSQE_IO_HARDLINK) break
        steps.push(previous)
      }
      for (const step of steps.reverse()) this.#ask(step, step.generation)
      return true
    })
  }

  #ask(slot: Slot, generation: number): void {
    const sqe = this.#entry()
    if (sqe === null) return
    prepCancel(sqe, 0, 0)
    sqe.words[SQE.ADDR] = slot.index
    sqe.words[SQE.ADDR + 1] = generation
  }

  /** Cancels every operation on a descriptor, as long as `users` says that there are some. */
  fd(fd: number, users: () => number): void {
    this.#want(() => {
      if (users() === 0) return false
      const sqe = this.#entry()
      if (sqe !== null) prepCancelFd(sqe, fd, IORING_ASYNC_CANCEL_ALL)
      return true
    })
  }

  /** Cancels everything, as long as `live` says that there is something. */
  all(live: () => boolean): void {
    this.#want(() => {
      if (!live()) return false
      this.allOnce()
      return true
    })
  }

  /**
   * A drained request waits for all before it, and the loop's own poll of libuv's fd may never end. So from the first drained
   * request on the thread waits in epoll, where the loop has no request in the ring, and the poll that is there is cancelled.
   */
  beforeDrain(control: Int32Array): void {
    if (control[CTL.WAIT] === WAIT_EPOLL) return
    control[CTL.WAIT] = WAIT_EPOLL
    control[CTL.MODE] = 0
    const sqe = this.#entry()
    if (sqe === null) return
    prepCancel(sqe, 0, 0)
    sqe.words[SQE.ADDR] = USER_DATA_INTERNAL
  }

  /** Asks once to cancel everything. */
  allOnce(): void {
    const sqe = this.#entry()
    if (sqe !== null) prepCancel(sqe, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL)
  }

  /** Calls `ask` now, and every few milliseconds until it returns false. */
  #want(ask: () => boolean): void {
    if (!ask()) return
    this.#wanted.push(ask)
    this.#timer ??= setInterval(() => {
      this.#wanted = this.#wanted.filter((wanted) => wanted())
      if (this.#wanted.length === 0) this.stop()
    }, ASK_AGAIN_MS).unref()
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#wanted = []
  }
}
