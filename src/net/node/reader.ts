// The receiving half of a handle: one multishot request into buffers that all connections share.
// Flow: handle.ts → this → engine.ts, buffer-group.ts, bulk.ts. man io_uring_prep_recv_multishot(3), io_uring_prep_poll_multishot(3)
// Where much comes at a time, the second copy costs more than a system call: then the request only says that there is something
// (a multishot poll), and it is received straight into memory that the reader keeps.
// A stop does not cancel at once, since most are short: what comes meanwhile is kept, and the kernel is told when that is much.

import { prepPollMultishot } from '../../op/prep-control.ts'
import { prepReadMultishot } from '../../op/prep-file.ts'
import { prepRecvMultishot } from '../../op/prep-net.ts'
import type { BufferGroup } from '../../runtime/buffer-group.ts'
import type { Engine } from '../../runtime/engine.ts'
import type { Resource } from '../../runtime/resource.ts'
import type { Sink, Slot } from '../../runtime/slots.ts'
import type { Uring } from '../../runtime/uring.ts'
import { IORING_OP_POLL_ADD, IORING_OP_READ_MULTISHOT, IORING_OP_RECV } from '../../sys/abi.ts'
import { MSG_DONTWAIT, POLLIN } from '../../sys/constants.ts'
import { CTL } from '../../sys/driver.ts'
import { EAGAIN, ECANCELED, EINTR, ENOBUFS } from '../../sys/errno.ts'
import { syscallNumbers } from '../../sys/syscalls.ts'
import { BULK_BYTES, bulkAddress, takeBulk } from './bulk.ts'
import { sharedBuffers } from './shared-buffers.ts'

/** Who gets what comes. */
export interface ReadOwner {
  /** Bytes of the owner's own; false asks to stop. */
  onRead(bytes: Buffer): boolean
  onEnd(): void
  /** @param res -errno */
  onReadError(res: number): void
}

/** Bytes kept for an owner that stopped, from which on the kernel has to hold back the peer. */
const KEEP_BYTES = 65536
/** Receives of so many bytes, so many in a row, and a connection is one that brings much. */
const MUCH_BYTES = 32768
const MUCH_TIMES = 2
/** The same for going back. */
const LITTLE_BYTES = 4096
const LITTLE_TIMES = 16
/** Receives behind one another before the other connections have their turn. */
const TURNS = 4
const nr = syscallNumbers()
const UNREFERENCED = { ref: false } as const

export class Reader implements Sink {
  readonly #ring: Uring
  readonly #resource: Resource
  readonly #owner: ReadOwner
  readonly #isFifo: boolean
  #group: BufferGroup | null = null
  #slot: Slot | null = null
  #generation = 0
  #waits = false
  #flowing = false
  #cancelled = false
  /** Whether the request in flight polls, and whether the next one shall. */
  #polls = false
  #shallPoll = false
  #streak = 0
  /** What came while nobody wanted it, in order; then the end of it: 0, or -errno. */
  readonly #kept: Buffer[] = []
  #keptBytes = 0
  /** Whether its owner takes only what it has room for; after it has asked for more, its stream asks once more in a tick. */
  #handsBack = false
  #end: number | undefined
  #told = false
  #closed = false
  /** The enter call that brought the last bytes: what comes with the same one comes before anybody could answer them. */
  #epoch = -1
  referenced = true
  bytes = 0

  constructor(ring: Uring, resource: Resource, owner: ReadOwner, isFifo: boolean) {
    this.#ring = ring
    this.#resource = resource
    this.#owner = owner
    this.#isFifo = isFifo
  }

  /** The request in flight. */
  get slot(): Slot | null {
    return this.#slot
  }

  /** Whether the request in flight should hold the process open: one that nobody listens to does not, as in libuv. */
  get holds(): boolean {
    return this.referenced && this.#flowing
  }

  start(): void {
    if (this.#flowing || this.#closed) return
    this.#flow(true)
    if (this.#handsBack) setImmediate(deliver, this)
    else if (this.#kept.length > 0 || this.#end !== undefined) process.nextTick(deliver, this)
    else if (this.#slot === null) this.#arm()
    // What came meanwhile was told of already.
    else if (this.#polls) process.nextTick(receive, this)
  }

  stop(): void {
    if (this.#flowing) this.#flow(false)
  }

  /** Takes bytes back from an owner that stops. */
  unread(bytes: Buffer): void {
    this.#handsBack = true
    this.#kept.unshift(bytes)
    this.#keptBytes += bytes.byteLength
  }

  #flow(on: boolean): void {
    this.#flowing = on
    refer(this.#ring.engine, this.#slot, this.holds)
  }

  /** Forgets what was kept, and all that is to come. */
  close(): void {
    this.stop()
    this.#closed = true
    this.#kept.length = 0
  }

  /** Hands out what was kept, as long as it is wanted. */
  deliver(): void {
    const hasBytes = this.#kept.length > 0
    while (this.#flowing && this.#kept.length > 0) {
      const bytes = this.#kept.shift()!
      this.#keptBytes -= bytes.byteLength
      if (!this.#owner.onRead(bytes)) this.stop()
    }
    if (!this.#flowing || this.#kept.length > 0) return
    if (this.#end !== undefined) this.#tellEnd(hasBytes)
    else if (this.#slot === null) this.#arm()
    else if (this.#polls) this.receive()
  }

  /**
   * libuv lets all ticks run between bytes and the end that came with them, and programs count on it: an http.Server has answered by
   * then, and would give the answer up if the end came first.
   */
  #tellEnd(isWithBytes: boolean): void {
    if (this.#told) return
    if (isWithBytes) {
      setImmediate(deliver, this)
      return
    }
    this.#told = true
    if (this.#end === 0) this.#owner.onEnd()
    else this.#owner.onReadError(this.#end!)
  }

  #arm(): void {
    if (this.#slot !== null || this.#waits || this.#end !== undefined || this.#resource.fd < 0) return
    const { engine } = this.#ring
    let slot: Slot | null
    try {
      this.#group ??= sharedBuffers(this.#ring)
      this.#polls = this.#shallPoll
      const opcode = this.#polls
        ? IORING_OP_POLL_ADD
        : this.#isFifo
          ? IORING_OP_READ_MULTISHOT
          : IORING_OP_RECV
      slot = engine.linking === 0 ? engine.begin(opcode, this.holds ? undefined : UNREFERENCED, true) : null
    } catch {
      // The ring is closed, or closing.
      this.#ended(-ECANCELED)
      return
    }
    if (slot === null) {
      this.#later()
      return
    }
    const fd = this.#resource.hold()
    if (this.#polls) prepPollMultishot(slot.sqe, fd, POLLIN)
    else {
      if (this.#isFifo) prepReadMultishot(slot.sqe, fd, 0, -1, this.#group.id)
      else prepRecvMultishot(slot.sqe, fd, 0, 0, 0)
      this.#group.select(slot)
    }
    slot.resource = this.#resource
    slot.sink = this
    this.#slot = slot
    this.#generation = slot.generation
    this.#cancelled = false
    engine.commit(slot)
  }

  /** Goes on after the buffers had run out. */
  resume(): void {
    if (this.#flowing) this.#arm()
  }

  #later(): void {
    this.#waits = true
    const again = (): void => {
      this.#waits = false
      if (this.#flowing) this.#arm()
    }
    const { engine } = this.#ring
    if (engine.linking !== 0) process.nextTick(again)
    else engine.later(async () => again()).catch(() => this.#ended(-ECANCELED))
  }

  /** A CQE of the multishot request. */
  onCqe(res: number, flags: number, final: boolean): void {
    if (final) this.#slot = null
    if (this.#polls) {
      this.#onPoll(res, final)
      return
    }
    if (res > 0) {
      this.#received(this.#group!.copy(res, flags))
      if (!this.#isFifo) this.#count(res >= MUCH_BYTES, MUCH_TIMES)
    } else if (res === 0) {
      this.#group!.take(0, flags)
      this.#ended(0)
    } else if (res === -ENOBUFS) {
      // Not before this batch has given back all that it holds: with the first buffer most of those who wait would only starve again.
      this.#group!.onRelease(() => process.nextTick(resume, this))
    } else if (res !== -ECANCELED || this.#ring.closed) {
      this.#ended(res)
    }
    if (final && this.#flowing && res !== -ENOBUFS) this.#arm()
  }

  /** A CQE of the multishot poll. */
  #onPoll(res: number, final: boolean): void {
    if (res >= 0) this.receive()
    else if (res !== -ECANCELED || this.#ring.closed) this.#ended(res)
    if (final && this.#flowing) this.#arm()
  }

  /** Receives until nothing is left: less than was asked for would not do, as the end may be behind it, and was told of already. */
  receive(): void {
    for (let turns = 0; turns < TURNS; turns++) {
      const { fd } = this.#resource
      if (!this.#flowing || !this.#polls || this.#kept.length > 0 || this.#end !== undefined || fd < 0) return
      const res = this.#ring.ring.driver.syscall(
        nr.recvfrom,
        fd,
        bulkAddress(this.#ring),
        BULK_BYTES,
        MSG_DONTWAIT,
        0,
        0,
      )
      if (res === -EAGAIN || res === -EINTR) return
      if (res <= 0) {
        this.#ended(res)
        return
      }
      this.#received(takeBulk(res))
      this.#count(res < LITTLE_BYTES, LITTLE_TIMES)
    }
    process.nextTick(receive, this)
  }

  /** Counts what speaks for the other way to receive, and changes over when that was often enough in a row. */
  #count(speaks: boolean, times: number): void {
    this.#streak = speaks ? this.#streak + 1 : 0
    if (this.#streak < times) return
    this.#streak = 0
    this.#shallPoll = !this.#polls
    this.#cancel()
  }

  /** Ends the request in flight; the next one follows its last CQE. */
  #cancel(): void {
    if (this.#cancelled || this.#slot === null) return
    this.#cancelled = true
    this.#ring.engine.cancels.slot(this.#slot, this.#generation)
  }

  #received(bytes: Buffer): void {
    if (this.#closed) return
    this.bytes += bytes.byteLength
    this.#epoch = this.#ring.engine.control[CTL.ENTERS]!
    if (this.#flowing && this.#kept.length === 0) {
      if (!this.#owner.onRead(bytes)) this.stop()
      return
    }
    this.#kept.push(bytes)
    this.#keptBytes += bytes.byteLength
    if (this.#keptBytes >= KEEP_BYTES) this.#cancel()
  }

  #ended(res: number): void {
    if (this.#closed || this.#end !== undefined) return
    this.#end = res
    if (this.#flowing && this.#kept.length === 0)
      this.#tellEnd(this.#epoch === this.#ring.engine.control[CTL.ENTERS])
  }
}

/** Makes a request in flight hold the process open, or no longer. */
export function refer(engine: Engine, slot: Slot | null, on: boolean): void {
  if (slot === null || slot.referenced === on) return
  slot.referenced = on
  engine.control[CTL.REFS]! += on ? 1 : -1
  if (!engine.closed) engine.ring.driver.loopActivate(engine.ring.handle)
}

function receive(reader: Reader): void {
  reader.receive()
}

function resume(reader: Reader): void {
  reader.resume()
}

function deliver(reader: Reader): void {
  reader.deliver()
}
