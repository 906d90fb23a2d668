// Sending without copying, from several buffers, and to an address, as promises.
// Flow: Uring → this → op/prep-net.ts, sinks.ts, engine.ts. man io_uring_prep_send_zc(3)
// Two CQEs come: the result, and a notification that the memory is free. The promise waits for the second. Which is last says
// F_MORE alone, as failed sends may have a notification too.

import {
  prepSend,
  prepSendmsgZc,
  prepSendmsgZcFixed,
  prepSendSetAddr,
  prepSendZc,
  prepSendZcFixed,
} from '../op/prep-net.ts'
import { SQE } from '../ring/sqe.ts'
import {
  IORING_CQE_F_NOTIF,
  IORING_NOTIF_USAGE_ZC_COPIED,
  IORING_OP_SEND,
  IORING_OP_SEND_ZC,
  IORING_OP_SENDMSG_ZC,
  IORING_SEND_VECTORIZED,
  IORING_SEND_ZC_REPORT_USAGE,
} from '../sys/abi.ts'
import { MSG_NOSIGNAL } from '../sys/constants.ts'
import { argumentTypeError, argumentValueError } from '../sys/error.ts'
import { encodeSockaddr, type SocketAddress } from '../sys/sockaddr.ts'
import { type GatedFlag, withFlag } from './flag-gate.ts'
import {
  checkRange,
  checkTarget,
  checkView,
  type FileTarget,
  optionalBoolean,
  optionalWord,
} from './operations.ts'
import { oneBuffer } from './operations-direct.ts'
import { EpollOperations } from './operations-epoll.ts'
import { type MessageOptions, MSGHDR_BYTES, type OutgoingMessage } from './operations-net.ts'
import type { OperationOptions } from './options.ts'
import { collect } from './sinks.ts'
import type { Slot } from './slots.ts'

export interface ZeroCopyOptions extends MessageOptions {
  /** Asks whether the kernel copied after all: `copied` of the result. */
  reportUsage?: boolean | undefined
  /** Where to, for sockets that are not connected. */
  address?: SocketAddress | undefined
}

/** How a zero-copy send ended. */
export interface ZeroCopyResult {
  /** Bytes sent, possibly fewer than asked. */
  bytes: number
  /** Whether the kernel copied them (always on loopback); undefined unless `reportUsage` asked. */
  copied: boolean | undefined
}

const VECTORIZED: GatedFlag = {
  name: 'IORING_SEND_VECTORIZED',
  since: '6.17',
  write: (sqe) => {
    prepSend(sqe, -1, 0, 0, 0)
    sqe.words[SQE.OPCODE]! |= IORING_SEND_VECTORIZED << 16
  },
}
const FIXED_MESSAGE: GatedFlag = {
  name: 'IORING_RECVSEND_FIXED_BUF of SENDMSG_ZC',
  since: '6.15',
  write: (sqe) => prepSendmsgZcFixed(sqe, -1, 0, 0, 0),
}

export class ZeroCopyOperations extends EpollOperations {
  /**
   * Sends from `buffer` without copying it: worth it from about 10 KB a send, over a real network card.
   *
   * The kernel reads the buffer until the promise settles, which is when the peer's acknowledgement has come. A buffer of
   * `alloc` or `registerBuffers` is sent as a registered one.
   *
   * @throws EPIPE · ECONNRESET · ENOTCONN · ENOTSUP (not a TCP or UDP socket)
   * @kernel 6.0 · IORING_OP_SEND_ZC
   * @man io_uring_prep_send_zc(3), send(2)
   */
  async sendZc(
    file: FileTarget,
    buffer: ArrayBufferView,
    options?: ZeroCopyOptions,
  ): Promise<ZeroCopyResult> {
    checkTarget(file, 'send')
    checkView(buffer)
    const offset = options?.offset ?? 0
    const length = checkRange(buffer, offset, options?.length)
    const flags = optionalWord('options.flags', options?.flags) | MSG_NOSIGNAL
    const ioprio = this.#ioprio(options)
    const name = options?.address === undefined ? undefined : encodeSockaddr(options.address)
    const lent = this.engine.arena.find(buffer)
    const own = lent === undefined ? this.engine.buffers.find(buffer) : undefined
    const bufIndex = lent?.region.bufIndex ?? own?.bufIndex ?? -1
    const address = this.engine.addresses.of(buffer)
    const slot = this.engine.begin(IORING_OP_SEND_ZC, options)
    if (slot === null) return this.engine.later(() => this.sendZc(file, buffer, options), options)
    const at = this.lend(slot, buffer, address, length, offset)
    if (own !== undefined) slot.other = own.hold()
    if (bufIndex >= 0) prepSendZcFixed(slot.sqe, -1, at, length, flags, ioprio, bufIndex)
    else prepSendZc(slot.sqe, -1, at, length, flags, ioprio)
    if (name !== undefined) this.#destination(slot, name)
    this.aim(slot, file)
    return this.#notified(slot, options)
  }

  /**
   * Sends one message from several buffers without copying them.
   *
   * Buffers, and control data, are the kernel's until the promise settles.
   *
   * @param options.fixed the buffers are of `alloc`, all of one region, or parts of one of `registerBuffers`, and are sent as such @kernel 6.15
   * @throws EPIPE · ECONNRESET · ENOTCONN · ENOTSUP (not a TCP or UDP socket)
   * @kernel 6.1 · IORING_OP_SENDMSG_ZC
   * @man io_uring_prep_sendmsg_zc(3), sendmsg(2)
   */
  async sendmsgZc(
    file: FileTarget,
    message: OutgoingMessage,
    options?: OperationOptions & { flags?: number; ioprio?: number; reportUsage?: boolean; fixed?: boolean },
  ): Promise<ZeroCopyResult> {
    if (optionalBoolean('options.fixed', options?.fixed))
      return withFlag(this.engine, FIXED_MESSAGE, this.#sendmsgZc(file, message, options))
    return this.#sendmsgZc(file, message, options)
  }

  async #sendmsgZc(
    file: FileTarget,
    message: OutgoingMessage,
    options?: OperationOptions & { flags?: number; ioprio?: number; reportUsage?: boolean; fixed?: boolean },
  ): Promise<ZeroCopyResult> {
    checkTarget(file, 'sendmsg')
    const flags = optionalWord('options.flags', options?.flags) | MSG_NOSIGNAL
    const ioprio = this.#ioprio(options)
    if (!Array.isArray(message?.buffers))
      throw argumentTypeError('message.buffers', 'an instance of Array', message?.buffers)
    const iovecs = this.iovecs(message.buffers)
    const { bufIndex, own } =
      options?.fixed === true ? this.#registered(message.buffers) : { bufIndex: -1, own: undefined }
    const { control } = message
    if (control !== undefined) checkView(control, 'message.control')
    const controlLength = control?.byteLength ?? 0
    const controlAddress = controlLength === 0 ? 0 : this.engine.addresses.of(control!)
    const name = message.address === undefined ? undefined : encodeSockaddr(message.address)
    const slot = this.engine.begin(IORING_OP_SENDMSG_ZC, options)
    if (slot === null) return this.engine.later(() => this.#sendmsgZc(file, message, options), options)
    slot.held = [iovecs.bytes, ...message.buffers, control]
    if (own !== undefined) slot.other = own.hold()
    const { scratch } = this.engine
    if (name !== undefined) scratch.bytes.set(name, scratch.offset(slot.index) + MSGHDR_BYTES)
    this.msghdr(
      slot.index,
      name?.length ?? 0,
      iovecs.address,
      message.buffers.length,
      controlAddress,
      controlLength,
    )
    if (bufIndex >= 0) prepSendmsgZcFixed(slot.sqe, -1, scratch.address(slot.index), flags, bufIndex)
    else prepSendmsgZc(slot.sqe, -1, scratch.address(slot.index), flags)
    slot.sqe.words[SQE.OPCODE]! |= ioprio << 16
    this.aim(slot, file)
    return this.#notified(slot, options)
  }

  /** The registered buffer that all of them lie in: here there is no falling back. */
  #registered(buffers: readonly ArrayBufferView[]): ReturnType<typeof oneBuffer> {
    const found = oneBuffer(this.engine, 'message.buffers', buffers)
    if (found.bufIndex >= 0) return found
    throw argumentValueError(
      'message.buffers',
      buffers,
      'must be registered, and not empty, to be sent as fixed ones',
    )
  }

  /**
   * Sends several buffers, one behind the other, with one request: `sendmsg` without its header.
   *
   * They are the kernel's until the promise settles; nothing is copied at once.
   *
   * @returns bytes sent, possibly fewer than there are
   * @throws EPIPE · ECONNRESET · ENOTCONN · ERR_RING_FEATURE
   * @kernel 6.17 · IORING_OP_SEND with IORING_SEND_VECTORIZED
   * @man io_uring_prep_send(3), sendmsg(2)
   */
  async sendv(
    file: FileTarget,
    buffers: readonly ArrayBufferView[],
    options?: OperationOptions & { flags?: number; ioprio?: number },
  ): Promise<number> {
    return withFlag(this.engine, VECTORIZED, this.#vectored(file, buffers, options))
  }

  /**
   * As `sendv`, without copying.
   * @throws EPIPE · ECONNRESET · ENOTCONN · ENOTSUP (not a TCP or UDP socket) · ERR_RING_FEATURE
   * @kernel 6.17 · IORING_OP_SEND_ZC with IORING_SEND_VECTORIZED
   * @man io_uring_prep_send_zc(3), sendmsg(2)
   */
  async sendvZc(
    file: FileTarget,
    buffers: readonly ArrayBufferView[],
    options?: OperationOptions & { flags?: number; ioprio?: number; reportUsage?: boolean },
  ): Promise<ZeroCopyResult> {
    const begun = this.#begunVectors(IORING_OP_SEND_ZC, file, buffers, options)
    if (begun === null) return this.engine.later(() => this.sendvZc(file, buffers, options), options)
    return withFlag(this.engine, VECTORIZED, this.#notified(begun, options))
  }

  async #vectored(
    file: FileTarget,
    buffers: readonly ArrayBufferView[],
    options?: OperationOptions & { flags?: number; ioprio?: number },
  ): Promise<number> {
    const slot = this.#begunVectors(IORING_OP_SEND, file, buffers, options)
    if (slot === null) return this.engine.later(() => this.#vectored(file, buffers, options), options)
    return this.engine.promise(slot)
  }

  #begunVectors(
    opcode: number,
    file: FileTarget,
    buffers: readonly ArrayBufferView[],
    options?: OperationOptions & { flags?: number; ioprio?: number; reportUsage?: boolean },
  ): Slot | null {
    checkTarget(file, 'send')
    if (!Array.isArray(buffers)) throw argumentTypeError('buffers', 'an instance of Array', buffers)
    const flags = optionalWord('options.flags', options?.flags) | MSG_NOSIGNAL
    const ioprio = this.#ioprio(options) | IORING_SEND_VECTORIZED
    const iovecs = this.iovecs(buffers)
    const slot = this.engine.begin(opcode, options)
    if (slot === null) return null
    slot.held = [iovecs.bytes, ...buffers]
    if (opcode === IORING_OP_SEND) {
      prepSend(slot.sqe, -1, iovecs.address, buffers.length, flags)
      slot.sqe.words[SQE.OPCODE]! |= ioprio << 16
    } else prepSendZc(slot.sqe, -1, iovecs.address, buffers.length, flags, ioprio)
    this.aim(slot, file)
    return slot
  }

  /**
   * Sends from `buffer` to an address; for sockets that are not connected.
   *
   * Up to 4 KiB are copied at once; more is lent to the kernel until the promise settles.
   *
   * @returns bytes sent
   * @throws EMSGSIZE (more than one packet holds) · EDESTADDRREQ · ENETUNREACH
   * @kernel 6.0 · IORING_OP_SEND with an address
   * @man io_uring_prep_sendto(3), sendto(2)
   */
  async sendto(
    file: FileTarget,
    buffer: ArrayBufferView,
    address: SocketAddress,
    options?: MessageOptions,
  ): Promise<number> {
    checkTarget(file, 'send')
    checkView(buffer)
    const offset = options?.offset ?? 0
    const length = checkRange(buffer, offset, options?.length)
    const flags = optionalWord('options.flags', options?.flags) | MSG_NOSIGNAL
    const ioprio = optionalWord('options.ioprio', options?.ioprio, 65535)
    const name = encodeSockaddr(address)
    const from = this.engine.addresses.of(buffer)
    const slot = this.engine.begin(IORING_OP_SEND, options)
    if (slot === null) return this.engine.later(() => this.sendto(file, buffer, address, options), options)
    prepSend(slot.sqe, -1, this.source(slot, buffer, from, length, offset), length, flags)
    if (ioprio !== 0) slot.sqe.words[SQE.OPCODE]! |= ioprio << 16
    this.#destination(slot, name)
    this.aim(slot, file)
    return this.engine.promise(slot)
  }

  #ioprio(options: { ioprio?: number | undefined; reportUsage?: boolean | undefined } | undefined): number {
    const ioprio = optionalWord('options.ioprio', options?.ioprio, 65535)
    return optionalBoolean('options.reportUsage', options?.reportUsage)
      ? ioprio | IORING_SEND_ZC_REPORT_USAGE
      : ioprio
  }

  #destination(slot: Slot, name: Uint8Array): void {
    const { scratch } = this.engine
    scratch.bytes.set(name, scratch.offset(slot.index))
    prepSendSetAddr(slot.sqe, scratch.address(slot.index), name.length)
  }

  #notified(slot: Slot, options: { reportUsage?: boolean | undefined } | undefined): Promise<ZeroCopyResult> {
    const reports = options?.reportUsage === true
    let bytes = 0
    let copied: boolean | undefined
    const take = (res: number, flags: number) => {
      if ((flags & IORING_CQE_F_NOTIF) === 0) bytes = res
      // The notification's result is no errno: its highest bit says "copied".
      else if (reports) copied = (res & IORING_NOTIF_USAGE_ZC_COPIED) !== 0
    }
    return collect(this.engine, slot, take, () =>
      bytes < 0 ? { error: bytes } : { value: { bytes, copied } },
    )
  }
}
