// A listening socket on the ring: one multishot accept, a callback per connection.
// Flow: server.ts → this → engine.ts. man io_uring_prep_multishot_accept(3)

import { AsyncResource } from 'node:async_hooks'
import { prepMultishotAccept } from '../../op/prep-net.ts'
import { Resource } from '../../runtime/resource.ts'
import type { Sink, Slot } from '../../runtime/slots.ts'
import type { Uring } from '../../runtime/uring.ts'
import { IORING_OP_ACCEPT } from '../../sys/abi.ts'
import { EFD_CLOEXEC, F_GETFL, F_SETFL, SHUT_RDWR, SOCK_CLOEXEC, SOCK_NONBLOCK } from '../../sys/constants.ts'
import type { Driver } from '../../sys/driver.ts'
import { EAGAIN, EBADF, ECANCELED, ECONNABORTED, EINTR, EINVAL, EMFILE, ENFILE } from '../../sys/errno.ts'
import { closeFd, syscallNumbers } from '../../sys/syscalls.ts'
import { addressOf } from '../socket-calls.ts'
import { refer } from './reader.ts'
import { type NodeAddress, type StreamKind, toNodeAddress } from './socket-options.ts'

/** Who gets the connections. */
export interface AcceptOwner {
  /** @param fd the connection; the owner closes it */
  onAccept(fd: number): void
  /** @param res -errno */
  onAcceptError(res: number): void
}

const nr = syscallNumbers()
const UNREFERENCED = { ref: false } as const
/** How long to leave a listener alone that can't accept now. */
const PAUSE_MS = 50

export class Acceptor implements Sink {
  readonly kind: StreamKind
  /** The context that it was made in. */
  readonly scope = new AsyncResource('RINGSERVER', { requireManualDestroy: true })
  /** Whether others may listen on the same open socket: it was adopted. */
  readonly #isShared: boolean
  readonly #ring: Uring
  readonly #resource: Resource
  readonly #owner: AcceptOwner
  #slot: Slot | null = null
  #referenced = true
  /** A descriptor to give up when there is no other, so that connections can be turned away. */
  #spare = -1

  constructor(ring: Uring, fd: number, kind: StreamKind, isShared: boolean, owner: AcceptOwner) {
    this.#isShared = isShared
    this.#ring = ring
    this.#resource = new Resource(fd)
    this.kind = kind
    this.#owner = owner
  }

  get #driver(): Driver {
    return this.#ring.ring.driver
  }

  /** The descriptor, or -1 once closed. */
  get fd(): number {
    return this.#resource.fd
  }

  start(): void {
    this.#spare = spareFd(this.#driver)
    this.#arm()
  }

  #arm(): void {
    if (this.#slot !== null || this.fd < 0) return
    const { engine } = this.#ring
    let slot: Slot | null
    try {
      slot =
        engine.linking === 0
          ? engine.begin(IORING_OP_ACCEPT, this.#referenced ? undefined : UNREFERENCED, true)
          : null
    } catch {
      // The ring is closed: nothing will ever be accepted.
      this.#owner.onAcceptError(-ECANCELED)
      return
    }
    if (slot === null) {
      if (engine.linking !== 0) process.nextTick(() => this.#arm())
      else engine.later(async () => this.#arm()).catch(() => this.#owner.onAcceptError(-ECANCELED))
      return
    }
    prepMultishotAccept(slot.sqe, this.#resource.hold(), 0, 0, SOCK_CLOEXEC)
    slot.resource = this.#resource
    slot.sink = this
    this.#slot = slot
    engine.commit(slot)
  }

  /** A CQE of the multishot accept. */
  onCqe(res: number, _flags: number, final: boolean): void {
    if (final) this.#slot = null
    if (res >= 0) {
      if (this.fd < 0) closeFd(this.#driver, res)
      else this.#owner.onAccept(res)
    }
    if (!final || this.fd < 0) return
    if (res === -EMFILE || res === -ENFILE) {
      this.#turnAway()
      setTimeout(() => this.#arm(), PAUSE_MS).unref()
      return
    }
    const isFatal = res === -EBADF || res === -EINVAL || res === -ECANCELED
    if (res < 0 && res !== -ECONNABORTED && res !== -EINTR && res !== -EAGAIN) this.#owner.onAcceptError(res)
    if (!isFatal) this.#arm()
  }

  /**
   * No descriptor is free: those who wait are told so by closing their connections, as libuv does. Left in the backlog, they
   * would wait for nothing.
   */
  #turnAway(): void {
    const driver = this.#driver
    if (this.#spare < 0) return
    closeFd(driver, this.#spare)
    const flags = driver.syscall(nr.fcntl, this.fd, F_GETFL)
    driver.syscall(nr.fcntl, this.fd, F_SETFL, flags | SOCK_NONBLOCK)
    for (;;) {
      const fd = driver.syscall(nr.accept4, this.fd, 0, 0, SOCK_CLOEXEC)
      if (fd < 0) break
      closeFd(driver, fd)
    }
    driver.syscall(nr.fcntl, this.fd, F_SETFL, flags)
    this.#spare = spareFd(driver)
  }

  getsockname(out: NodeAddress): number {
    const address = this.fd < 0 ? undefined : addressOf(this.#driver, this.fd, 'own')
    if (address === undefined) return -EBADF
    Object.assign(out, toNodeAddress(address))
    return 0
  }

  ref(): void {
    this.#refer(true)
  }

  unref(): void {
    this.#refer(false)
  }

  hasRef(): boolean {
    return this.#referenced
  }

  #refer(on: boolean): void {
    this.#referenced = on
    refer(this.#ring.engine, this.#slot, on)
  }

  /** Stops listening: the port can be listened on again when this returns. */
  close(): void {
    const fd = this.#resource.surrender()
    if (fd < 0) return
    this.scope.emitDestroy()
    // The accept in flight keeps the socket open for a moment, but not its port.
    if (this.kind === 'tcp' && !this.#isShared) this.#driver.syscall(nr.shutdown, fd, SHUT_RDWR)
    if (this.#spare >= 0) closeFd(this.#driver, this.#spare)
    this.#spare = -1
    const release = (): number => closeFd(this.#driver, fd)
    const unused = this.#resource.unused()
    if (unused === undefined) {
      release()
      return
    }
    this.#ring.engine.cancels.fd(fd, () => this.#resource.users)
    unused.then(release)
  }
}

/** A descriptor that costs nothing: an eventfd. */
function spareFd(driver: Driver): number {
  return driver.syscall(nr.eventfd2, 0, EFD_CLOEXEC)
}
