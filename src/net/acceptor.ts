// Accepting: one multishot accept, whose connections go to a callback or to who waits for one.
// Flow: socket-listener.ts → this → engine.ts. man io_uring_prep_multishot_accept(3), accept(2)
//
// Out of descriptors (EMFILE), the kernel ends the request and keeps the connections in the backlog. With a callback, accepting
// goes on by itself when some are free again; who called `next` is told, and the next call tries again.

import { prepMultishotAccept } from '../op/prep-net.ts'
import type { Resource } from '../runtime/resource.ts'
import type { Sink, Slot } from '../runtime/slots.ts'
import type { Uring } from '../runtime/uring.ts'
import { IORING_OP_ACCEPT } from '../sys/abi.ts'
import { SOCK_CLOEXEC } from '../sys/constants.ts'
import { ECANCELED, ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPROTO } from '../sys/errno.ts'
import { ringClosedError, socketError, stateError, throwLater } from '../sys/error.ts'

/** Connections accepted ahead of those who take them; the rest waits in the kernel's backlog. */
const AHEAD = 128
/** How long accepting rests when nothing is free, at first and at most. */
const REST_MS = 10
const REST_MAX_MS = 320

interface Taker {
  resolve: (fd: number) => void
  reject: (error: Error) => void
}

export class Acceptor implements Sink {
  readonly #ring: Uring
  readonly #resource: Resource
  readonly #ref: boolean
  #slot: Slot | null = null
  #generation = 0
  #paused = false
  #closed = false
  #fds: number[] = []
  #takers: Taker[] = []
  #onFd: ((fd: number) => void) | null = null
  #onEnd: ((error: Error | null) => void) | null = null
  #timer: NodeJS.Timeout | undefined
  #restMs = REST_MS

  constructor(ring: Uring, resource: Resource, ref: boolean) {
    this.#ring = ring
    this.#resource = resource
    this.#ref = ref
  }

  /** The next connection. */
  next(): Promise<number> {
    if (this.#onFd !== null) throw stateError('Cannot accept: serve() takes all connections')
    const fd = this.#fds.shift()
    if (fd !== undefined) {
      if (this.#paused && this.#fds.length <= AHEAD / 2) this.#arm()
      return Promise.resolve(fd)
    }
    const promise = new Promise<number>((resolve, reject) => {
      this.#takers.push({ resolve, reject })
    })
    this.#arm()
    return promise
  }

  /** Ends the wait of one who called `next`. */
  giveUp(promise: Taker, error: Error): void {
    const at = this.#takers.indexOf(promise)
    if (at >= 0) this.#takers.splice(at, 1)[0]!.reject(error)
  }

  /** The one who called `next` last. */
  get lastTaker(): Taker | undefined {
    return this.#takers.at(-1)
  }

  /** Hands every connection to `onFd` until `close`. */
  serve(onFd: (fd: number) => void, onEnd: (error: Error | null) => void): void {
    if (this.#onFd !== null || this.#takers.length > 0)
      throw stateError('Cannot serve: somebody accepts connections already')
    this.#onFd = onFd
    this.#onEnd = onEnd
    for (const fd of this.#fds.splice(0)) onFd(fd)
    this.#arm()
  }

  /** Ends what `serve` began; connections are accepted ahead for the next. */
  stop(): void {
    this.#onFd = null
    this.#onEnd = null
    clearTimeout(this.#timer)
  }

  #arm(): void {
    if (this.#slot !== null || this.#closed) return
    clearTimeout(this.#timer)
    const { engine } = this.#ring
    let slot: Slot | null
    try {
      slot = engine.begin(IORING_OP_ACCEPT, this.#ref ? undefined : { ref: false }, true)
    } catch (error) {
      this.#fail(error as Error)
      return
    }
    if (slot === null) {
      engine.later(async () => this.#arm()).catch((error: Error) => this.#fail(error))
      return
    }
    this.#paused = false
    prepMultishotAccept(slot.sqe, this.#resource.hold('accept'), 0, 0, SOCK_CLOEXEC)
    slot.resource = this.#resource
    slot.sink = this
    this.#slot = slot
    this.#generation = slot.generation
    engine.commit(slot)
  }

  onCqe(res: number, _flags: number, final: boolean): void {
    if (final) this.#slot = null
    if (res >= 0) this.#take(res)
    if (!final || this.#closed) return
    if (res >= 0 || (res === -ECANCELED && this.#paused)) {
      if (this.#fds.length < AHEAD) this.#arm()
      else this.#paused = true
    } else this.#refused(res)
  }

  #take(fd: number): void {
    this.#restMs = REST_MS
    if (this.#closed) {
      this.#ring.engine.closeLate(fd)
      return
    }
    if (this.#onFd !== null) {
      try {
        this.#onFd(fd)
      } catch (error) {
        throwLater(error)
      }
      return
    }
    const taker = this.#takers.shift()
    if (taker !== undefined) {
      taker.resolve(fd)
      return
    }
    this.#fds.push(fd)
    if (this.#fds.length < AHEAD || this.#paused || this.#slot === null) return
    this.#paused = true
    this.#ring.engine.cancels.slot(this.#slot, this.#generation)
  }

  #refused(res: number): void {
    if (res === -ECONNABORTED || res === -EPROTO) {
      this.#arm()
      return
    }
    const isFull = res === -EMFILE || res === -ENFILE || res === -ENOBUFS || res === -ENOMEM
    if (isFull && this.#onFd !== null) {
      this.#timer = setTimeout(() => this.#arm(), this.#restMs)
      this.#restMs = Math.min(this.#restMs * 2, REST_MAX_MS)
      return
    }
    const error = res === -ECANCELED && this.#ring.closed ? ringClosedError() : socketError(res, 'accept')
    if (!isFull) {
      this.#fail(error)
      return
    }
    // One is told; the others wait on.
    this.#takers.shift()?.reject(error)
    if (this.#takers.length > 0) this.#arm()
  }

  #fail(error: Error): void {
    const onEnd = this.#onEnd
    this.stop()
    for (const { reject } of this.#takers.splice(0)) reject(error)
    try {
      onEnd?.(error)
    } catch (cause) {
      throwLater(cause)
    }
  }

  /** Closes what nobody took, and ends the waits. The request itself ends with its descriptor. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    for (const fd of this.#fds.splice(0)) this.#ring.engine.closeLate(fd)
    const onEnd = this.#onEnd
    this.stop()
    for (const { reject } of this.#takers.splice(0)) reject(socketError(-ECANCELED, 'accept'))
    onEnd?.(null)
  }
}
