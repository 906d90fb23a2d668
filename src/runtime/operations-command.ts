// Commands that the driver of a file understands: what sockets are asked, what block devices are told; as promises.
// Flow: Uring → this → op/prep-cmd.ts, op/prep-control.ts, engine.ts. man io_uring_prep_uring_cmd(3)

import {
  prepCmdDiscard,
  prepCmdGetsockname,
  prepCmdSock,
  prepUringCmd,
  prepUringCmd128,
} from '../op/prep-cmd.ts'
import { prepNop128 } from '../op/prep-control.ts'
import { SQE } from '../ring/sqe.ts'
import {
  IORING_CQE_F_TSTAMP_HW,
  IORING_OP_NOP128,
  IORING_OP_URING_CMD,
  IORING_OP_URING_CMD128,
  IORING_SETUP_CQE_MIXED,
  IORING_SETUP_CQE32,
  IORING_SETUP_SQE128,
  IORING_TIMESTAMP_TYPE_SHIFT,
  SOCKET_URING_OP_GETSOCKOPT,
  SOCKET_URING_OP_SETSOCKOPT,
  SOCKET_URING_OP_SIOCINQ,
  SOCKET_URING_OP_SIOCOUTQ,
  SOCKET_URING_OP_TX_TIMESTAMP,
} from '../sys/abi.ts'
import { ringFeatureError, stateError } from '../sys/error.ts'
import { decodeSockaddr, SOCKADDR_BYTES, type SocketAddress } from '../sys/sockaddr.ts'
import { checkInteger } from '../sys/validate.ts'
import { Multishot, type MultishotKind, type MultishotOptions } from './multishot.ts'
import { requireOpcode } from './opcode-gate.ts'
import {
  checkTarget,
  checkView,
  checkWord,
  type FileTarget,
  optionalBoolean,
  optionalWord,
} from './operations.ts'
import { ProcessOperations } from './operations-process.ts'
import type { OperationOptions } from './options.ts'

const OPTION_MAX = 65536
/** Bytes of a command's payload in an entry of 64 bytes, and of 128. */
const PAYLOAD = 16
const WIDE_PAYLOAD = 80

/** Where on its way a packet was when the time was taken. */
const STAGES = ['sent', 'scheduled', 'acknowledged', 'completed'] as const

/** When something that was sent passed a stage of its way. */
export interface TxTimestamp {
  /** Which send: counted from 0 for datagrams, the last byte's offset for streams (SOF_TIMESTAMPING_OPT_ID). */
  key: number
  /** 'sent': to the device · 'scheduled': to its queue · 'acknowledged': by the peer · 'completed': by the device. */
  stage: (typeof STAGES)[number]
  /** Whether the device's own clock says so. */
  hardware: boolean
  /** Seconds and nanoseconds of that clock; the system's real time unless `hardware`. */
  seconds: number
  nanoseconds: number
}

export class CommandOperations extends ProcessOperations {
  /**
   * Asks how many bytes wait to be received on a socket.
   * @throws ENOTCONN, EINVAL (a listener) · ENOTSUP (not a socket, or one without the question)
   * @kernel 6.7 · IORING_OP_URING_CMD with SOCKET_URING_OP_SIOCINQ
   * @man io_uring_prep_cmd_sock(3), tcp(7)
   */
  async siocinq(file: FileTarget, options?: OperationOptions): Promise<number> {
    return this.#socketCommand(file, SOCKET_URING_OP_SIOCINQ, 0, 0, undefined, options)
  }

  /**
   * Asks how many bytes wait to be sent on a socket, or to be acknowledged by its peer.
   * @throws EINVAL (a listener) · ENOTSUP (not a socket, or one without the question)
   * @kernel 6.7 · IORING_OP_URING_CMD with SOCKET_URING_OP_SIOCOUTQ
   * @man io_uring_prep_cmd_sock(3), tcp(7)
   */
  async siocoutq(file: FileTarget, options?: OperationOptions): Promise<number> {
    return this.#socketCommand(file, SOCKET_URING_OP_SIOCOUTQ, 0, 0, undefined, options)
  }

  /**
   * Reads an option of a socket.
   * @param level SOL_SOCKET: the kernel knows no other here
   * @param name SO_*
   * @param bytes room for its value; default 4, an int
   * @returns the value as bytes, as long as the kernel says
   * @throws ENOPROTOOPT · ENOTSUP (another level, or not a socket)
   * @kernel 6.7 · IORING_OP_URING_CMD with SOCKET_URING_OP_GETSOCKOPT
   * @man io_uring_prep_cmd_sock(3), getsockopt(2)
   */
  async getsockopt(
    file: FileTarget,
    level: number,
    name: number,
    bytes = 4,
    options?: OperationOptions,
  ): Promise<Buffer> {
    checkWord('level', level)
    checkWord('name', name)
    checkInteger('bytes', bytes, 1, OPTION_MAX)
    const value = Buffer.alloc(bytes)
    const length = await this.#socketCommand(file, SOCKET_URING_OP_GETSOCKOPT, level, name, value, options)
    return value.subarray(0, length)
  }

  /**
   * Sets an option of a socket.
   * @param level SOL_SOCKET, IPPROTO_TCP …
   * @param name SO_*, TCP_* …
   * @param value a number (an int), or the bytes of a struct; copied at once
   * @throws ENOPROTOOPT · EINVAL · ENOTSUP (not a socket)
   * @kernel 6.7 · IORING_OP_URING_CMD with SOCKET_URING_OP_SETSOCKOPT
   * @man io_uring_prep_cmd_sock(3), setsockopt(2)
   */
  async setsockopt(
    file: FileTarget,
    level: number,
    name: number,
    value: number | ArrayBufferView,
    options?: OperationOptions,
  ): Promise<void> {
    checkWord('level', level)
    checkWord('name', name)
    let bytes: Uint8Array
    if (typeof value === 'number') {
      checkInteger('value', value, -0x80000000, 0xffffffff)
      bytes = new Uint8Array(Int32Array.of(value).buffer)
    } else {
      checkView(value, 'value')
      checkInteger('value.byteLength', value.byteLength, 1, OPTION_MAX)
      bytes = Uint8Array.from(new Uint8Array(value.buffer, value.byteOffset, value.byteLength))
    }
    await this.#socketCommand(file, SOCKET_URING_OP_SETSOCKOPT, level, name, bytes, options)
  }

  #socketCommand(
    file: FileTarget,
    command: number,
    level: number,
    name: number,
    value: Uint8Array | undefined,
    options?: OperationOptions,
  ): Promise<number> {
    checkTarget(file, 'uring_cmd')
    const slot = this.engine.begin(IORING_OP_URING_CMD, options)
    if (slot === null)
      return this.engine.later(() => this.#socketCommand(file, command, level, name, value, options), options)
    slot.held = value
    const address = value === undefined ? 0 : this.engine.ring.driver.addressOf(value)
    prepCmdSock(slot.sqe, command, -1, level, name, address, value?.length ?? 0)
    this.aim(slot, file)
    return this.engine.promise(slot)
  }

  /**
   * Tells when what is sent on a socket goes out, again and again with one request.
   *
   * Which stages are told is set with `setsockopt(file, SOL_SOCKET, SO_TIMESTAMPING, …)` before: SOF_TIMESTAMPING_TX_SOFTWARE and
   * the like, SOF_TIMESTAMPING_SOFTWARE, and SOF_TIMESTAMPING_OPT_ID with SOF_TIMESTAMPING_OPT_TSONLY, without which nothing comes. The
   * ring needs `cqe32` or `cqeMixed`.
   *
   * @throws ERR_INVALID_STATE: completions have 16 bytes · ENOTSUP (not a socket, or a kernel before 6.17) · EINVAL
   * @kernel 6.17 · IORING_OP_URING_CMD with SOCKET_URING_OP_TX_TIMESTAMP
   * @man io_uring_prep_cmd_sock(3), socket(7)
   */
  txTimestamps(file: FileTarget, options?: MultishotOptions): Multishot<TxTimestamp> {
    checkTarget(file, 'uring_cmd')
    const { engine } = this
    if (!(engine.ring.setupFlags & (IORING_SETUP_CQE32 | IORING_SETUP_CQE_MIXED)))
      throw stateError(
        "Cannot receive timestamps: the ring's completions have 16 bytes; make it with cqe32 or cqeMixed",
      )
    const kind: MultishotKind<TxTimestamp> = {
      syscall: 'uring_cmd',
      arm: () => {
        const slot = engine.begin(IORING_OP_URING_CMD, { ref: options?.ref })
        if (slot === null) return null
        prepCmdSock(slot.sqe, SOCKET_URING_OP_TX_TIMESTAMP, -1, 0, 0, 0, 0)
        this.aim(slot, file)
        return slot
      },
      item: (key, flags) => ({
        key,
        stage: STAGES[(flags >>> IORING_TIMESTAMP_TYPE_SHIFT) & 3]!,
        hardware: (flags & IORING_CQE_F_TSTAMP_HW) !== 0,
        seconds: (engine.extraWord(0) >>> 0) + engine.extraWord(1) * 2 ** 32,
        nanoseconds: engine.extraWord(2) >>> 0,
      }),
      discard: () => {},
    }
    return new Multishot(engine, kind, options)
  }

  /**
   * Reads the address of a socket, or of its peer.
   * @param options.peer true asks for the other side's
   * @returns undefined when it has none, or one of a family that is not known here
   * @throws ENOTCONN (`peer`) · ERR_RING_FEATURE
   * @kernel 6.19 · IORING_OP_URING_CMD with SOCKET_URING_OP_GETSOCKNAME
   * @man io_uring_prep_cmd_getsockname(3), getsockname(2), getpeername(2)
   */
  async getsockname(
    file: FileTarget,
    options?: OperationOptions & { peer?: boolean },
  ): Promise<SocketAddress | undefined> {
    checkTarget(file, 'getsockname')
    optionalBoolean('options.peer', options?.peer)
    try {
      return await this.#name(file, options)
    } catch (error) {
      // No probe tells commands apart; this one's absence has an errno of its own.
      if ((error as NodeJS.ErrnoException).code !== 'ENOTSUP') throw error
      throw Object.assign(ringFeatureError('SOCKET_URING_OP_GETSOCKNAME', '6.19'), { cause: error })
    }
  }

  #name(
    file: FileTarget,
    options?: OperationOptions & { peer?: boolean },
  ): Promise<SocketAddress | undefined> {
    const slot = this.engine.begin(IORING_OP_URING_CMD, options)
    if (slot === null) return this.engine.later(() => this.#name(file, options), options)
    const { scratch } = this.engine
    const at = scratch.offset(slot.index)
    scratch.words[at / 4 + SOCKADDR_BYTES / 4] = SOCKADDR_BYTES
    slot.finish = () => {
      const length = scratch.words[at / 4 + SOCKADDR_BYTES / 4]!
      return decodeSockaddr(Uint8Array.from(scratch.bytes.subarray(at, at + SOCKADDR_BYTES)), length)
    }
    const address = scratch.address(slot.index)
    prepCmdGetsockname(slot.sqe, -1, address, address + SOCKADDR_BYTES, options?.peer === true ? 1 : 0)
    this.aim(slot, file)
    return this.engine.promise(slot)
  }

  /**
   * Discards a range of a block device: its contents are lost.
   * @param position bytes, a multiple of the logical block size, as is `length`
   * @throws ENOTSUP (not a block device, or one that can't) · EPERM (opened for reading only) · EINVAL
   * @kernel 6.12 · IORING_OP_URING_CMD with BLOCK_URING_CMD_DISCARD
   * @man io_uring_prep_cmd_discard(3)
   */
  async discard(
    file: FileTarget,
    position: number,
    length: number,
    options?: OperationOptions,
  ): Promise<void> {
    checkTarget(file, 'discard')
    checkInteger('position', position, 0)
    checkInteger('length', length, 0)
    const slot = this.engine.begin(IORING_OP_URING_CMD, options)
    if (slot === null) return this.engine.later(() => this.discard(file, position, length, options), options)
    prepCmdDiscard(slot.sqe, -1, position, length)
    this.aim(slot, file)
    await this.engine.promise(slot)
  }

  /**
   * Sends a command to the driver of a file (NVMe, ublk, fuse …): the raw form, for those that have none of their own here.
   *
   * Memory that the payload names must stay where it is until the promise settles, which is the caller's to see to: `ring.alloc`.
   *
   * @param cmdOp the command's number, as the driver defines it
   * @param payload up to 16 bytes; up to 80 on a ring with `sqe128`
   * @param options.flags IORING_URING_CMD_* but MULTISHOT
   * @param options.wide uses IORING_OP_URING_CMD128 (kernel 6.19)
   * @returns what the driver says
   * @throws ENOTSUP (the file takes no commands) · ERR_RING_FEATURE, ERR_* (nothing was queued)
   * @kernel 5.19 · IORING_OP_URING_CMD
   * @man io_uring_prep_uring_cmd(3)
   */
  async uringCmd(
    file: FileTarget,
    cmdOp: number,
    payload: Uint8Array = new Uint8Array(0),
    options?: OperationOptions & { flags?: number; wide?: boolean },
  ): Promise<number> {
    const wide = optionalBoolean('options.wide', options?.wide)
    const opcode = wide ? IORING_OP_URING_CMD128 : IORING_OP_URING_CMD
    requireOpcode(this.engine, opcode)
    if (wide) this.#needsSqe128('URING_CMD128')
    checkTarget(file, 'uring_cmd')
    checkWord('cmdOp', cmdOp)
    checkView(payload, 'payload')
    const room = this.#isSqe128 ? WIDE_PAYLOAD : PAYLOAD
    checkInteger('payload.byteLength', payload.byteLength, 0, room)
    const flags = optionalWord('options.flags', options?.flags, 1)
    const slot = this.engine.begin(opcode, options)
    if (slot === null) return this.engine.later(() => this.uringCmd(file, cmdOp, payload, options), options)
    const prep = wide ? prepUringCmd128 : prepUringCmd
    prep(slot.sqe, cmdOp, -1)
    const { words } = slot.sqe
    words[SQE.OP_FLAGS] = flags
    const bytes = new Uint8Array(words.buffer, words.byteOffset + SQE.ADDR3 * 4, room)
    bytes.set(new Uint8Array(payload.buffer, payload.byteOffset, payload.byteLength))
    this.aim(slot, file)
    return this.engine.promise(slot)
  }

  /**
   * Does nothing with an entry of 128 bytes; the ring needs `sqe128`.
   * @returns 0
   * @throws ERR_RING_FEATURE · ERR_INVALID_STATE: entries have 64 bytes
   * @kernel 6.19 · IORING_OP_NOP128
   * @man io_uring_prep_nop128(3)
   */
  async nop128(options?: OperationOptions): Promise<number> {
    requireOpcode(this.engine, IORING_OP_NOP128)
    this.#needsSqe128('NOP128')
    const slot = this.engine.begin(IORING_OP_NOP128, options)
    if (slot === null) return this.engine.later(() => this.nop128(options), options)
    prepNop128(slot.sqe)
    return this.engine.promise(slot)
  }

  get #isSqe128(): boolean {
    return (this.engine.ring.setupFlags & IORING_SETUP_SQE128) !== 0
  }

  #needsSqe128(name: string): void {
    if (!this.#isSqe128)
      throw stateError(`Cannot use ${name}: the ring's entries have 64 bytes; make it with sqe128`)
  }
}
