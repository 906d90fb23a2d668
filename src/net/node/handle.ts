// A connected stream on the ring, with the methods that libuv's handles have for node:net.
// Flow: socket.ts → this → reader.ts, writer.ts, socket-options.ts.
// Results are ≥ 0 or -errno. Nothing here emits events or knows streams.

import { AsyncResource } from 'node:async_hooks'
import { fstatSync } from 'node:fs'
import { isatty } from 'node:tty'
import { prepConnect } from '../../op/prep-net.ts'
import type { Engine } from '../../runtime/engine.ts'
import { Resource } from '../../runtime/resource.ts'
import type { Slot } from '../../runtime/slots.ts'
import type { Uring } from '../../runtime/uring.ts'
import { IORING_OP_CONNECT } from '../../sys/abi.ts'
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  IPPROTO_TCP,
  SO_DOMAIN,
  SO_REUSEADDR,
  SO_TYPE,
  SOCK_STREAM,
  SOL_SOCKET,
  TCP_NODELAY,
} from '../../sys/constants.ts'
import type { Driver } from '../../sys/driver.ts'
import { EBADF, ECANCELED, ENOTCONN } from '../../sys/errno.ts'
import { closeFd } from '../../sys/syscalls.ts'
import { addressOf } from '../socket-calls.ts'
import { invalidFdType } from './errors.ts'
import { Reader, type ReadOwner, refer } from './reader.ts'
import {
  getOption,
  getTypeOfService,
  lingerNot,
  type NodeAddress,
  type StreamKind,
  setKeepAlive,
  setOption,
  setTypeOfService,
  shutdownWrite,
  toNodeAddress,
} from './socket-options.ts'
import { type Encoding, type Piece, type WriteDone, type WriteOwner, Writer } from './writer.ts'

/** What a handle tells. */
export type HandleOwner = ReadOwner & WriteOwner

/** What a descriptor is, or an error that says what it is instead, in Node's words. */
export function kindOf(driver: Driver, fd: number): StreamKind {
  let isSocket: boolean
  try {
    const stats = fstatSync(fd)
    if (stats.isFIFO()) return 'fifo'
    if (stats.isCharacterDevice() && isatty(fd)) throw invalidFdType('TTY')
    if (stats.isFile() || stats.isCharacterDevice()) throw invalidFdType('FILE')
    isSocket = stats.isSocket()
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === 'ERR_INVALID_FD_TYPE' ? error : invalidFdType('UNKNOWN')
  }
  if (!isSocket) throw invalidFdType('UNKNOWN')
  const type = getOption(driver, fd, SOL_SOCKET, SO_TYPE)
  const domain = getOption(driver, fd, SOL_SOCKET, SO_DOMAIN)
  if (type === SOCK_STREAM && domain === AF_UNIX) return 'unix'
  const isInternet = domain === AF_INET || domain === AF_INET6
  if (type === SOCK_STREAM && isInternet) return 'tcp'
  throw invalidFdType(isInternet ? 'UDP' : 'UNKNOWN')
}

function newScope(): AsyncResource {
  return new AsyncResource('RINGSTREAM', { requireManualDestroy: true })
}

export class StreamHandle {
  readonly ring: Uring
  readonly kind: StreamKind
  readonly resource: Resource
  readonly #reader: Reader
  readonly #writer: Writer
  #scope = newScope()
  #owner: HandleOwner
  #referenced = true
  #connecting: Slot | null = null
  /** Whether the stream above wants bytes: its own note, as on libuv's handles. */
  reading = false

  constructor(ring: Uring, fd: number, kind: StreamKind, owner: HandleOwner) {
    this.ring = ring
    this.kind = kind
    this.resource = new Resource(fd)
    this.#owner = owner
    const isFifo = kind === 'fifo'
    this.#reader = new Reader(ring, this.resource, this, isFifo)
    this.#writer = new Writer(ring.engine, this.resource, this, isFifo)
  }

  /** From now on another one is told. */
  tell(owner: HandleOwner): void {
    this.#owner = owner
  }

  get #driver(): Driver {
    return this.ring.ring.driver
  }

  get #engine(): Engine {
    return this.ring.engine
  }

  /** The descriptor, or -1 once closed. */
  get fd(): number {
    return this.resource.fd
  }

  get bytesRead(): number {
    return this.#reader.bytes
  }

  /** Bytes given to `write`. */
  get bytesWritten(): number {
    return this.#writer.bytes
  }

  /** Bytes that the kernel has yet to take. */
  get writeQueueSize(): number {
    return this.#writer.queueSize
  }

  // ---- what reader and writer tell goes up in the context that made the connection

  onRead(bytes: Buffer): boolean {
    return this.#scope.runInAsyncScope(this.#owner.onRead, this.#owner, bytes)
  }

  onEnd(): void {
    this.#scope.runInAsyncScope(this.#owner.onEnd, this.#owner)
  }

  onReadError(res: number): void {
    this.#scope.runInAsyncScope(this.#owner.onReadError, this.#owner, res)
  }

  onWriteError(error: Error): void {
    this.#scope.runInAsyncScope(this.#owner.onWriteError, this.#owner, error)
  }

  onWritten(): void {
    this.#owner.onWritten()
  }

  // ---- connecting

  /**
   * Connects to a socket address.
   * @param done gets 0 or -errno; -ECANCELED when the handle was closed meanwhile
   */
  connect(address: Uint8Array, done: (res: number) => void): void {
    const engine = this.#engine
    let slot: Slot | null
    try {
      slot = engine.begin(IORING_OP_CONNECT, { ref: this.#referenced })
    } catch {
      // The ring is closed, or closing.
      process.nextTick(done, -ECANCELED)
      return
    }
    if (slot === null) {
      const again = async (): Promise<void> => {
        if (this.fd < 0) done(-ECANCELED)
        else this.connect(address, done)
      }
      engine.later(again).catch(() => done(-ECANCELED))
      return
    }
    const { scratch } = engine
    scratch.bytes.set(address, scratch.offset(slot.index))
    prepConnect(slot.sqe, this.resource.hold(), scratch.address(slot.index), address.length)
    slot.resource = this.resource
    slot.sink = {
      onCqe: (res) => {
        this.#connecting = null
        this.#scope.runInAsyncScope(done, undefined, res)
      },
    }
    this.#connecting = slot
    engine.commit(slot)
  }

  // ---- data

  readStart(): number {
    if (this.fd < 0) return -EBADF
    this.#reader.start()
    return 0
  }

  readStop(): number {
    this.#reader.stop()
    return 0
  }

  /** Takes back what the owner has no use for yet; it comes again, first of all, after the next `readStart`. */
  unread(bytes: Buffer): void {
    this.#reader.unread(bytes)
  }

  write(chunk: Uint8Array | string, encoding: Encoding, done: WriteDone): void {
    this.#writer.write(chunk, encoding, done)
  }

  writev(pieces: readonly Piece[], done: WriteDone): void {
    this.#writer.writev(pieces, done)
  }

  /** Ends this side when all that was written is with the kernel. @param done gets 0 or -errno */
  shutdown(done: (res: number) => void): void {
    this.#writer.whenIdle(() => {
      // A FIFO has no sides: its reader sees the end when it is closed.
      if (this.kind === 'fifo' || this.fd < 0) done(0)
      else done(shutdownWrite(this.#driver, this.fd))
    })
  }

  // ---- ending

  /**
   * Sends what this turn wrote, with `rest` behind it, and closes; the peer reads EOF at once.
   * @param closed is called later, when the kernel has let go
   */
  close(closed?: () => void, rest: readonly Piece[] = []): void {
    this.#reader.close()
    this.#writer.finish(rest)
    const fd = this.resource.surrender()
    if (fd < 0) return
    const release = (): void => {
      closeFd(this.#driver, fd)
      this.#scope.emitDestroy()
      if (closed !== undefined) setImmediate(closed)
    }
    const unused = this.resource.unused()
    if (unused === undefined) {
      release()
      return
    }
    this.#engine.cancels.fd(fd, () => this.resource.users)
    unused.then(release)
  }

  /**
   * Closes with a reset: what is under way is lost on both sides. An end that waits for its turn does not hold it up, as it does in
   * libuv, which then closes nothing.
   * @returns 0 or -errno; it is closed either way
   */
  reset(closed: () => void): number {
    const res = lingerNot(this.#driver, this.fd)
    this.close(closed)
    return res
  }

  /** Whom async_hooks knows the connection as; node:http asks. */
  getAsyncId(): number {
    return this.#scope.asyncId()
  }

  /** The connection goes over to somebody else, whose context it has from now on: an http.Agent has another request for it. */
  asyncReset(): void {
    this.#scope.emitDestroy()
    this.#scope = newScope()
  }

  /** node:http asks before a reset; no number of Node's is ours. */
  getProviderType(): number {
    return 0
  }

  // ---- holding the process open

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
    this.#reader.referenced = on
    this.#writer.referenced = on
    refer(this.#engine, this.#connecting, on)
    refer(this.#engine, this.#reader.slot, this.#reader.holds)
    refer(this.#engine, this.#writer.slot, on)
  }

  // ---- options and addresses

  getsockname(out: NodeAddress): number {
    return this.#address('own', out)
  }

  getpeername(out: NodeAddress): number {
    return this.#address('peer', out)
  }

  #address(whose: 'own' | 'peer', out: NodeAddress): number {
    if (this.fd < 0) return -EBADF
    const address = addressOf(this.#driver, this.fd, whose)
    if (address === undefined) return -ENOTCONN
    Object.assign(out, toNodeAddress(address))
    return 0
  }

  /** As libuv does for whatever it binds. */
  setReuseAddress(): number {
    return setOption(this.#driver, this.fd, SOL_SOCKET, SO_REUSEADDR, 1)
  }

  setNoDelay(on: boolean): number {
    if (this.kind !== 'tcp') return 0
    return setOption(this.#driver, this.fd, IPPROTO_TCP, TCP_NODELAY, on ? 1 : 0)
  }

  setKeepAlive(on: boolean, delay: number, interval?: number, count?: number): number {
    if (this.kind !== 'tcp') return 0
    return setKeepAlive(this.#driver, this.fd, on, delay, interval, count)
  }

  setTypeOfService(tos: number): number {
    return this.kind === 'tcp' ? setTypeOfService(this.#driver, this.fd, tos) : 0
  }

  getTypeOfService(): number {
    return this.kind === 'tcp' ? getTypeOfService(this.#driver, this.fd) : 0
  }
}
