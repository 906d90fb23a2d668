// Sockets, as promises and async iterators.
// Flow: Uring → this → op/prep-net.ts, engine.ts, multishot.ts.

import {
  prepAccept,
  prepAcceptDirect,
  prepBind,
  prepConnect,
  prepListen,
  prepMultishotAccept,
  prepRecv,
  prepRecvMultishot,
  prepRecvmsg,
  prepSend,
  prepSendmsg,
  prepShutdown,
  prepSocket,
  prepSocketDirect,
} from '../op/prep-net.ts'
import { SQE } from '../ring/sqe.ts'
import {
  IORING_OP_ACCEPT,
  IORING_OP_BIND,
  IORING_OP_CONNECT,
  IORING_OP_LISTEN,
  IORING_OP_RECV,
  IORING_OP_RECVMSG,
  IORING_OP_SEND,
  IORING_OP_SENDMSG,
  IORING_OP_SHUTDOWN,
  IORING_OP_SOCKET,
} from '../sys/abi.ts'
import { MSG_NOSIGNAL, SOCK_CLOEXEC } from '../sys/constants.ts'
import { argumentTypeError } from '../sys/error.ts'
import { decodeSockaddr, encodeSockaddr, type SocketAddress } from '../sys/sockaddr.ts'
import { type BufferGroup, type Chunk, checkGroup } from './buffer-group.ts'
import { Multishot, type MultishotKind, type MultishotOptions } from './multishot.ts'
import { requireOpcode } from './opcode-gate.ts'
import {
  checkRange,
  checkSlot,
  checkTarget,
  checkView,
  checkWord,
  type FileTarget,
  optionalWord,
} from './operations.ts'
import { PathOperations } from './operations-path.ts'
import type { OperationOptions } from './options.ts'
import type { FixedFile } from './resource.ts'

export interface MessageOptions extends OperationOptions {
  /** MSG_* flags. */
  flags?: number | undefined
  /** Where in the buffer; default 0. */
  offset?: number | undefined
  /** Most bytes to move; default: up to the buffer's end. */
  length?: number | undefined
  /** IORING_RECVSEND_* flags. */
  ioprio?: number | undefined
}

export interface AcceptOptions extends OperationOptions {
  /** SOCK_* flags of the new socket; SOCK_CLOEXEC is added. */
  flags?: number | undefined
  /** A direct descriptor to accept into, instead of an fd. */
  slot?: FixedFile | undefined
  /** IORING_ACCEPT_DONTWAIT, IORING_ACCEPT_POLL_FIRST. @kernel 6.10 */
  ioprio?: number | undefined
}

/** One message to send. */
export interface OutgoingMessage {
  buffers: readonly ArrayBufferView[]
  /** Where to, for sockets that are not connected. */
  address?: SocketAddress | undefined
  /** Control messages as bytes (struct cmsghdr and data). */
  control?: Uint8Array | undefined
}

/** Where a message goes that is to be received. */
export interface IncomingMessage {
  buffers: readonly ArrayBufferView[]
  /** Bytes of room for control messages. */
  controlLength?: number | undefined
}

export interface ReceivedMessage {
  bytes: number
  /** Who sent it; undefined for connected stream sockets. */
  address: SocketAddress | undefined
  control: Uint8Array
  /** MSG_TRUNC, MSG_CTRUNC … */
  flags: number
}

const SOCKADDR_BYTES = 128
export const MSGHDR_BYTES = 56

export class NetOperations extends PathOperations {
  /**
   * Makes a socket.
   * @param domain AF_INET, AF_INET6, AF_UNIX …
   * @param type SOCK_STREAM, SOCK_DGRAM …; SOCK_CLOEXEC is added
   * @returns the fd; with `slot`, 0
   * @kernel 5.19 · IORING_OP_SOCKET
   * @man io_uring_prep_socket(3), socket(2)
   */
  async socket(
    domain: number,
    type: number,
    protocol = 0,
    options?: OperationOptions & { slot?: FixedFile },
  ): Promise<number> {
    checkWord('domain', domain)
    checkWord('type', type)
    checkWord('protocol', protocol)
    checkSlot(options?.slot)
    const slot = this.engine.begin(IORING_OP_SOCKET, options)
    if (slot === null) return this.engine.later(() => this.socket(domain, type, protocol, options), options)
    if (options?.slot !== undefined) prepSocketDirect(slot.sqe, domain, type, protocol, options.slot.index, 0)
    else prepSocket(slot.sqe, domain, type | SOCK_CLOEXEC, protocol, 0)
    return this.descriptor(slot, options?.slot)
  }

  /**
   * Gives a socket its own address.
   * @throws EADDRINUSE · EACCES (ports below 1024) · EADDRNOTAVAIL
   * @kernel 6.11 · IORING_OP_BIND
   * @man io_uring_prep_bind(3), bind(2)
   */
  async bind(file: FileTarget, address: SocketAddress, options?: OperationOptions): Promise<void> {
    requireOpcode(this.engine, IORING_OP_BIND)
    await this.#addressed(IORING_OP_BIND, file, address, options)
  }

  /**
   * Connects a socket.
   * @throws ECONNREFUSED · ETIMEDOUT · ENETUNREACH · EISCONN
   * @kernel 5.5 · IORING_OP_CONNECT
   * @man io_uring_prep_connect(3), connect(2)
   */
  async connect(file: FileTarget, address: SocketAddress, options?: OperationOptions): Promise<void> {
    await this.#addressed(IORING_OP_CONNECT, file, address, options)
  }

  async #addressed(
    opcode: number,
    file: FileTarget,
    address: SocketAddress,
    options?: OperationOptions,
  ): Promise<unknown> {
    checkTarget(file, opcode === IORING_OP_BIND ? 'bind' : 'connect')
    const bytes = encodeSockaddr(address)
    const slot = this.engine.begin(opcode, options)
    if (slot === null)
      return this.engine.later(() => this.#addressed(opcode, file, address, options), options)
    slot.details = {
      address: 'path' in address ? address.path : address.address,
      port: 'path' in address ? undefined : address.port,
    }
    this.engine.scratch.bytes.set(bytes, this.engine.scratch.offset(slot.index))
    const prep = opcode === IORING_OP_BIND ? prepBind : prepConnect
    prep(slot.sqe, -1, this.engine.scratch.address(slot.index), bytes.length)
    this.aim(slot, file)
    return this.engine.promise(slot)
  }

  /**
   * Makes a socket accept connections.
   * @param backlog most connections that wait to be accepted; the kernel's somaxconn limits it
   * @kernel 6.11 · IORING_OP_LISTEN
   * @man io_uring_prep_listen(3), listen(2)
   */
  async listen(file: FileTarget, backlog: number, options?: OperationOptions): Promise<void> {
    requireOpcode(this.engine, IORING_OP_LISTEN)
    checkTarget(file, 'listen')
    checkWord('backlog', backlog)
    const slot = this.engine.begin(IORING_OP_LISTEN, options)
    if (slot === null) return this.engine.later(() => this.listen(file, backlog, options), options)
    prepListen(slot.sqe, -1, backlog)
    this.aim(slot, file)
    await this.engine.promise(slot)
  }

  /**
   * Accepts one connection.
   *
   * An abort that comes too late closes the connection that was accepted meanwhile, and still rejects.
   *
   * @returns the fd; with `slot`, 0
   * @throws EMFILE: no fd is free; the listener is unharmed · EINVAL: it does not listen
   * @kernel 5.5 · IORING_OP_ACCEPT
   * @man io_uring_prep_accept(3), accept(2)
   */
  accept(file: FileTarget, options?: AcceptOptions): Promise<number> {
    try {
      checkTarget(file, 'accept')
      const flags = optionalWord('options.flags', options?.flags)
      checkSlot(options?.slot)
      const ioprio = optionalWord('options.ioprio', options?.ioprio, 65535)
      const slot = this.engine.begin(IORING_OP_ACCEPT, options)
      if (slot === null) return this.engine.later(() => this.accept(file, options), options)
      if (options?.slot !== undefined) prepAcceptDirect(slot.sqe, -1, 0, 0, flags, options.slot.index)
      else prepAccept(slot.sqe, -1, 0, 0, flags | SOCK_CLOEXEC)
      if (ioprio !== 0) slot.sqe.words[SQE.OPCODE]! |= ioprio << 16
      this.aim(slot, file)
      return this.descriptor(slot, options?.slot)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /**
   * Accepts connections one after another with one request.
   *
   * `break` cancels; connections that nobody took are closed. At most `capacity` wait for the consumer, then the kernel's
   * backlog holds the rest.
   *
   * @returns fds, the consumer's to close
   * @kernel 5.19 · IORING_OP_ACCEPT with IORING_ACCEPT_MULTISHOT
   * @man io_uring_prep_multishot_accept(3)
   */
  acceptMultishot(file: FileTarget, options?: MultishotOptions & { flags?: number }): Multishot<number> {
    checkTarget(file, 'accept')
    const flags = optionalWord('options.flags', options?.flags)
    const kind: MultishotKind<number> = {
      syscall: 'accept',
      arm: (engine) => {
        const slot = engine.begin(IORING_OP_ACCEPT, { ref: options?.ref })
        if (slot === null) return null
        prepMultishotAccept(slot.sqe, -1, 0, 0, flags | SOCK_CLOEXEC)
        this.aim(slot, file)
        return slot
      },
      item: (fd) => fd,
      discard: (fd) => this.engine.closeLate(fd),
    }
    return new Multishot(this.engine, kind, options)
  }

  /**
   * Sends from `buffer`.
   *
   * Up to 4 KiB are copied at once; more is lent to the kernel until the promise settles. Two sends at once on one stream may
   * mix: wait, or link them. A closed peer gives EPIPE, never a signal.
   *
   * @returns bytes sent, possibly fewer than asked (all of them with MSG_WAITALL)
   * @throws EPIPE · ECONNRESET · ENOTCONN
   * @kernel 5.6 · IORING_OP_SEND
   * @man io_uring_prep_send(3), send(2)
   */
  send(file: FileTarget, buffer: ArrayBufferView, options?: MessageOptions): Promise<number> {
    return this.#plain(IORING_OP_SEND, file, buffer, options)
  }

  /**
   * Receives into `buffer`.
   * @returns bytes received; 0 when the peer has ended its side
   * @throws ECONNRESET · ENOTCONN
   * @kernel 5.6 · IORING_OP_RECV
   * @man io_uring_prep_recv(3), recv(2)
   */
  recv(file: FileTarget, buffer: ArrayBufferView, options?: MessageOptions): Promise<number> {
    return this.#plain(IORING_OP_RECV, file, buffer, options)
  }

  #plain(
    opcode: number,
    file: FileTarget,
    buffer: ArrayBufferView,
    options?: MessageOptions,
  ): Promise<number> {
    try {
      const sends = opcode === IORING_OP_SEND
      checkTarget(file, sends ? 'send' : 'recv')
      checkView(buffer)
      const offset = options?.offset ?? 0
      const length = checkRange(buffer, offset, options?.length)
      const flags = optionalWord('options.flags', options?.flags)
      const ioprio = optionalWord('options.ioprio', options?.ioprio, 65535)
      const address = this.engine.addresses.of(buffer)
      const slot = this.engine.begin(opcode, options)
      if (slot === null) return this.engine.later(() => this.#plain(opcode, file, buffer, options), options)
      const { sqe } = slot
      if (sends) {
        const from = this.source(slot, buffer, address, length, offset)
        prepSend(sqe, -1, from, length, flags | MSG_NOSIGNAL)
      } else prepRecv(sqe, -1, this.lend(slot, buffer, address, length, offset), length, flags)
      if (ioprio !== 0) sqe.words[SQE.OPCODE]! |= ioprio << 16
      this.aim(slot, file)
      return this.engine.promise(slot)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /**
   * Receives again and again into the ring's provided buffers with one request.
   *
   * Each chunk borrows a buffer of the group: `release()` it (or `using`), else the group runs dry and receiving pauses until
   * one comes back. The iteration ends when the peer ends its side.
   *
   * @kernel 6.0 · IORING_OP_RECV with IORING_RECV_MULTISHOT
   * @man io_uring_prep_recv_multishot(3)
   */
  recvMultishot(
    file: FileTarget,
    group: BufferGroup,
    options?: MultishotOptions & { flags?: number },
  ): Multishot<Chunk> {
    checkTarget(file, 'recv')
    checkGroup(this.engine, group)
    const flags = optionalWord('options.flags', options?.flags)
    const kind: MultishotKind<Chunk> = {
      syscall: 'recv',
      arm: (engine) => {
        const slot = engine.begin(IORING_OP_RECV, { ref: options?.ref })
        if (slot === null) return null
        prepRecvMultishot(slot.sqe, -1, 0, 0, flags)
        group.select(slot)
        this.aim(slot, file)
        return slot
      },
      item: (res, cqeFlags) => group.take(res, cqeFlags),
      discard: (chunk) => chunk.release(),
      starved: (again) => group.onRelease(again),
    }
    return new Multishot(this.engine, kind, options)
  }

  /**
   * Sends one message from several buffers, with an address or control data.
   * @returns bytes sent
   * @kernel 5.3 · IORING_OP_SENDMSG
   * @man io_uring_prep_sendmsg(3), sendmsg(2)
   */
  async sendmsg(
    file: FileTarget,
    message: OutgoingMessage,
    options?: OperationOptions & { flags?: number },
  ): Promise<number> {
    checkTarget(file, 'sendmsg')
    const flags = optionalWord('options.flags', options?.flags)
    if (!Array.isArray(message?.buffers))
      throw argumentTypeError('message.buffers', 'an instance of Array', message?.buffers)
    const iovecs = this.iovecs(message.buffers)
    const { control } = message
    if (control !== undefined) checkView(control, 'message.control')
    const controlAddress =
      control === undefined || control.byteLength === 0 ? 0 : this.engine.addresses.of(control)
    const name = message.address === undefined ? undefined : encodeSockaddr(message.address)
    const slot = this.engine.begin(IORING_OP_SENDMSG, options)
    if (slot === null) return this.engine.later(() => this.sendmsg(file, message, options), options)
    slot.held = [iovecs.bytes, ...message.buffers, control]
    if (name !== undefined)
      this.engine.scratch.bytes.set(name, this.engine.scratch.offset(slot.index) + MSGHDR_BYTES)
    this.msghdr(
      slot.index,
      name?.length ?? 0,
      iovecs.address,
      message.buffers.length,
      controlAddress,
      control?.byteLength ?? 0,
    )
    prepSendmsg(slot.sqe, -1, this.engine.scratch.address(slot.index), flags | MSG_NOSIGNAL)
    this.aim(slot, file)
    return this.engine.promise(slot)
  }

  /**
   * Receives one message into several buffers, with its address and control data.
   * @kernel 5.3 · IORING_OP_RECVMSG
   * @man io_uring_prep_recvmsg(3), recvmsg(2)
   */
  async recvmsg(
    file: FileTarget,
    message: IncomingMessage,
    options?: OperationOptions & { flags?: number },
  ): Promise<ReceivedMessage> {
    checkTarget(file, 'recvmsg')
    const flags = optionalWord('options.flags', options?.flags)
    if (!Array.isArray(message?.buffers))
      throw argumentTypeError('message.buffers', 'an instance of Array', message?.buffers)
    const iovecs = this.iovecs(message.buffers)
    const control = new Uint8Array(optionalWord('message.controlLength', message.controlLength, 65536))
    const controlAddress = control.length === 0 ? 0 : this.engine.ring.driver.addressOf(control)
    const slot = this.engine.begin(IORING_OP_RECVMSG, options)
    if (slot === null) return this.engine.later(() => this.recvmsg(file, message, options), options)
    slot.held = [iovecs.bytes, ...message.buffers, control]
    this.msghdr(
      slot.index,
      SOCKADDR_BYTES,
      iovecs.address,
      message.buffers.length,
      controlAddress,
      control.length,
    )
    slot.finish = (res, done): ReceivedMessage => {
      const { scratch } = this.engine
      const at = scratch.offset(done.index)
      const nameLength = scratch.words[at / 4 + 2]!
      const name = scratch.bytes.subarray(at + MSGHDR_BYTES, at + MSGHDR_BYTES + nameLength)
      return {
        bytes: res,
        address: nameLength === 0 ? undefined : decodeSockaddr(Uint8Array.from(name)),
        control: control.subarray(0, scratch.words[at / 4 + 10]!),
        flags: scratch.words[at / 4 + 12]!,
      }
    }
    prepRecvmsg(slot.sqe, -1, this.engine.scratch.address(slot.index), flags)
    this.aim(slot, file)
    return this.engine.promise(slot)
  }

  /** struct msghdr in the slot's scratch block; the socket address lies behind it. */
  protected msghdr(
    index: number,
    nameLength: number,
    iovAddress: number,
    iovCount: number,
    control: number,
    controlLength: number,
  ): void {
    const { scratch } = this.engine
    const at = scratch.offset(index)
    const address = scratch.address(index)
    const fields = [
      nameLength === 0 ? 0 : address + MSGHDR_BYTES,
      nameLength,
      iovAddress,
      iovCount,
      control,
      controlLength,
      0,
    ]
    const view = new DataView(scratch.bytes.buffer, at, MSGHDR_BYTES)
    for (const [i, value] of fields.entries()) view.setBigUint64(i * 8, BigInt(value), true)
  }

  /**
   * Ends one or both directions of a connection; the peer reads EOF.
   * @param how SHUT_RD, SHUT_WR or SHUT_RDWR
   * @kernel 5.11 · IORING_OP_SHUTDOWN
   * @man io_uring_prep_shutdown(3), shutdown(2)
   */
  async shutdown(file: FileTarget, how: number, options?: OperationOptions): Promise<void> {
    checkTarget(file, 'shutdown')
    checkWord('how', how)
    const slot = this.engine.begin(IORING_OP_SHUTDOWN, options)
    if (slot === null) return this.engine.later(() => this.shutdown(file, how, options), options)
    prepShutdown(slot.sqe, -1, how)
    this.aim(slot, file)
    await this.engine.promise(slot)
  }
}
