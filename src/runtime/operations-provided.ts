// Operations on provided buffers: repeated reads, messages and bundles as async iterators, and bundles to send.
// Flow: Uring → this → buffer-group.ts, send-group.ts, multishot.ts, op/prep-*.ts. man io_uring_provided_buffers(7)

import { prepReadMultishot } from '../op/prep-file.ts'
import { prepRecvMultishot, prepRecvmsgMultishot, prepSendBundle } from '../op/prep-net.ts'
import { SQE } from '../ring/sqe.ts'
import {
  IORING_OP_READ_MULTISHOT,
  IORING_OP_RECV,
  IORING_OP_RECVMSG,
  IORING_OP_SEND,
  IORING_RECVSEND_BUNDLE,
  IOSQE_BUFFER_SELECT,
} from '../sys/abi.ts'
import { MSG_NOSIGNAL, MSG_WAITALL } from '../sys/constants.ts'
import { argumentTypeError, invalidArgument, ringClosedError } from '../sys/error.ts'
import { decodeSockaddr, SOCKADDR_BYTES, type SocketAddress } from '../sys/sockaddr.ts'
import { checkObject } from '../sys/validate.ts'
import { type BufferGroup, type Chunk, checkGroup } from './buffer-group.ts'
import { type GatedFlag, withFlag } from './flag-gate.ts'
import { Multishot, type MultishotKind, type MultishotOptions } from './multishot.ts'
import { requireOpcode } from './opcode-gate.ts'
import { checkTarget, type FileTarget, optionalWord } from './operations.ts'
import { DirectOperations } from './operations-direct.ts'
import type { OperationOptions } from './options.ts'
import { SendGroup, type SendGroupOptions } from './send-group.ts'
import { collect } from './sinks.ts'

const ENOBUFS = -105
/** sizeof struct io_uring_recvmsg_out, which leads each buffer. */
const RECVMSG_OUT_BYTES = 16

const RECV_BUNDLE: GatedFlag = {
  name: 'IORING_RECVSEND_BUNDLE of RECV',
  since: '6.10',
  write: (sqe) => {
    prepRecvMultishot(sqe, -1, 0, 0, 0)
    sqe.words[SQE.OPCODE]! |= (IORING_RECVSEND_BUNDLE << 16) | (IOSQE_BUFFER_SELECT << 8)
  },
}
const SEND_BUNDLE: GatedFlag = {
  name: 'IORING_RECVSEND_BUNDLE of SEND',
  since: '6.10',
  write: (sqe) => {
    prepSendBundle(sqe, -1, 0, 0)
    sqe.words[SQE.OPCODE]! |= IOSQE_BUFFER_SELECT << 8
  },
}

/** A received message in a buffer of the group; give it back with `release()`, or say `using`. */
export class ReceivedDatagram {
  readonly #chunk: Chunk
  readonly #nameRoom: number
  readonly #controlRoom: number
  /** Who sent it; undefined for connected stream sockets and peers without a name. */
  readonly address: SocketAddress | undefined
  /** MSG_TRUNC (the buffer was too small), MSG_CTRUNC … */
  readonly flags: number
  /** Bytes of the message, also of what did not fit. */
  readonly length: number
  readonly #controlLength: number

  constructor(chunk: Chunk, nameRoom: number, controlRoom: number) {
    this.#chunk = chunk
    this.#nameRoom = nameRoom
    this.#controlRoom = controlRoom
    const { bytes } = chunk
    const nameLength = bytes.readUInt32LE(0)
    this.#controlLength = Math.min(bytes.readUInt32LE(4), controlRoom)
    this.length = bytes.readUInt32LE(8)
    this.flags = bytes.readUInt32LE(12)
    this.address =
      nameLength === 0
        ? undefined
        : decodeSockaddr(
            Uint8Array.from(
              bytes.subarray(RECVMSG_OUT_BYTES, RECVMSG_OUT_BYTES + Math.min(nameLength, nameRoom)),
            ),
          )
  }

  /** Control messages as bytes (struct cmsghdr and data); the kernel's again after `release`. */
  get control(): Buffer {
    const from = RECVMSG_OUT_BYTES + this.#nameRoom
    return this.#chunk.bytes.subarray(from, from + this.#controlLength)
  }

  /**
   * The message; its bytes are the kernel's again after `release`.
   * @throws ERR_INVALID_STATE after `release`
   */
  get bytes(): Buffer {
    return this.#chunk.bytes.subarray(RECVMSG_OUT_BYTES + this.#nameRoom + this.#controlRoom)
  }

  /** Gives the buffer back to the kernel; doing it twice does nothing. */
  release(): void {
    this.#chunk.release()
  }

  [Symbol.dispose](): void {
    this.release()
  }
}

/** Bytes that came at once, in several buffers of the group; give them back with `release()`, or say `using`. */
export class Bundle {
  /** In the order of their bytes. */
  readonly chunks: readonly Chunk[]
  /** Bytes in all. */
  readonly length: number

  constructor(chunks: readonly Chunk[], length: number) {
    this.chunks = chunks
    this.length = length
  }

  /** Gives all buffers back to the kernel; doing it twice does nothing. */
  release(): void {
    for (const chunk of this.chunks) chunk.release()
  }

  [Symbol.dispose](): void {
    this.release()
  }
}

export class ProvidedOperations extends DirectOperations {
  /**
   * Reads again and again into the ring's provided buffers with one request: pipes, sockets, terminals, not regular files.
   *
   * Each chunk borrows a buffer of the group: `release()` it (or `using`), else the group runs dry and reading pauses until one
   * comes back. The iteration ends at the end of the file.
   *
   * @throws EBADFD (a regular file) · ERR_RING_FEATURE (nothing was queued)
   * @kernel 6.7 · IORING_OP_READ_MULTISHOT
   * @man io_uring_prep_read_multishot(3)
   */
  readMultishot(file: FileTarget, group: BufferGroup, options?: MultishotOptions): Multishot<Chunk> {
    requireOpcode(this.engine, IORING_OP_READ_MULTISHOT)
    checkTarget(file, 'read')
    checkGroup(this.engine, group)
    const kind: MultishotKind<Chunk> = {
      syscall: 'read',
      arm: (engine) => {
        const slot = engine.begin(IORING_OP_READ_MULTISHOT, { ref: options?.ref })
        if (slot === null) return null
        prepReadMultishot(slot.sqe, -1, 0, -1, group.id)
        group.select(slot)
        this.aim(slot, file)
        return slot
      },
      item: (res, flags) => group.take(res, flags),
      discard: (chunk) => chunk.release(),
      starved: (again) => group.onRelease(again),
    }
    return new Multishot(this.engine, kind, options)
  }

  /**
   * Receives messages with their senders and control data again and again into the ring's provided buffers with one request.
   *
   * Each message borrows a buffer, of which the header, the address (`nameLength`) and the control data (`controlLength`)
   * take their share; what does not fit into the rest is cut (MSG_TRUNC). An empty message without an address ends the iteration:
   * that is how a stream ends. The group must not be incremental.
   *
   * @param options.nameLength bytes of room for the address; default 128, enough for any
   * @param options.controlLength bytes of room for control messages; default 0
   * @kernel 6.0 · IORING_OP_RECVMSG with IORING_RECV_MULTISHOT
   * @man io_uring_prep_recvmsg_multishot(3), io_uring_recvmsg_out(3)
   */
  recvmsgMultishot(
    file: FileTarget,
    group: BufferGroup,
    options?: MultishotOptions & { flags?: number; nameLength?: number; controlLength?: number },
  ): Multishot<ReceivedDatagram> {
    checkTarget(file, 'recvmsg')
    checkGroup(this.engine, group)
    if (group.incremental)
      throw invalidArgument(
        'Cannot receive messages into an incremental group: what meets the end of a buffer would be cut; use a plain group',
      )
    const flags = optionalWord('options.flags', options?.flags)
    const nameLength =
      options?.nameLength === undefined
        ? SOCKADDR_BYTES
        : optionalWord('options.nameLength', options.nameLength, 65536)
    const controlLength = optionalWord('options.controlLength', options?.controlLength, 65536)
    const kind: MultishotKind<ReceivedDatagram> = {
      syscall: 'recvmsg',
      arm: (engine) => {
        const slot = engine.begin(IORING_OP_RECVMSG, { ref: options?.ref })
        if (slot === null) return null
        // Only the two lengths count: name and control data come in the buffer.
        this.msghdr(slot.index, nameLength, 0, 0, 0, controlLength)
        prepRecvmsgMultishot(slot.sqe, -1, engine.scratch.address(slot.index), flags)
        group.select(slot)
        this.aim(slot, file)
        return slot
      },
      item: (res, cqeFlags) => {
        const chunk = group.take(res, cqeFlags)
        if (chunk === undefined) return undefined
        const message = new ReceivedDatagram(chunk, nameLength, controlLength)
        if (message.length > 0 || message.address !== undefined) return message
        message.release()
        return undefined
      },
      discard: (message) => message.release(),
      starved: (again) => group.onRelease(again),
    }
    return new Multishot(this.engine, kind, options)
  }

  /**
   * Receives again and again, as many provided buffers at once as there are bytes for, with one request.
   *
   * The fewer, larger steps of a busy stream. `release()` each bundle (or `using`). The iteration ends when the peer ends its side.
   *
   * @throws ERR_RING_FEATURE: this kernel does not have bundles
   * @kernel 6.10 · IORING_OP_RECV with IORING_RECV_MULTISHOT and IORING_RECVSEND_BUNDLE
   * @man io_uring_prep_recv(3)
   */
  recvBundle(
    file: FileTarget,
    group: BufferGroup,
    options?: MultishotOptions & { flags?: number },
  ): Multishot<Bundle> {
    checkTarget(file, 'recv')
    checkGroup(this.engine, group)
    const flags = optionalWord('options.flags', options?.flags)
    const kind: MultishotKind<Bundle> = {
      syscall: 'recv',
      arm: (engine) => {
        const slot = engine.begin(IORING_OP_RECV, { ref: options?.ref })
        if (slot === null) return null
        prepRecvMultishot(slot.sqe, -1, 0, 0, flags)
        slot.sqe.words[SQE.OPCODE]! |= IORING_RECVSEND_BUNDLE << 16
        group.select(slot)
        this.aim(slot, file)
        return slot
      },
      item: (res, cqeFlags) => {
        const chunks = group.takeBundle(res, cqeFlags)
        return chunks.length === 0 ? undefined : new Bundle(chunks, res)
      },
      discard: (bundle) => bundle.release(),
      starved: (again) => group.onRelease(again),
      flag: RECV_BUNDLE,
    }
    return new Multishot(this.engine, kind, options)
  }

  /** Makes a group of buffers to fill and to send together, see `sendBundle`. */
  sendGroup(options?: SendGroupOptions): SendGroup {
    if (this.engine.closed) throw ringClosedError()
    checkObject('options', options)
    return new SendGroup(this.engine, options)
  }

  /**
   * Sends what was added to the group, all of it and in its order, with one request; more may be added meanwhile and may go along.
   *
   * Buffers that were sent are free again when the promise settles. What was not, because an error or an abort cut it, still waits in
   * the group: no byte is lost or sent twice.
   *
   * @returns bytes sent; fewer than waited when it was cut
   * @throws EPIPE · ECONNRESET · ENOTCONN · ERR_RING_FEATURE: this kernel does not have bundles · ERR_INVALID_STATE: nothing was added,
   *   or the group is being sent
   * @kernel 6.10 · IORING_OP_SEND with IORING_RECVSEND_BUNDLE
   * @man io_uring_prep_send_bundle(3), send(2)
   */
  async sendBundle(
    file: FileTarget,
    group: SendGroup,
    options?: OperationOptions & { flags?: number },
  ): Promise<number> {
    checkTarget(file, 'send')
    if (!(group instanceof SendGroup)) throw argumentTypeError('group', 'an instance of SendGroup', group)
    const flags = optionalWord('options.flags', options?.flags)
    group.checkReady(this.engine)
    const slot = this.engine.begin(IORING_OP_SEND, options)
    if (slot === null) return this.engine.later(() => this.sendBundle(file, group, options), options)
    prepSendBundle(slot.sqe, -1, 0, flags | MSG_NOSIGNAL | MSG_WAITALL)
    group.select(slot)
    this.aim(slot, file)
    let bytes = 0
    let failure = 0
    const take = (res: number) => {
      if (res < 0) failure = res
      else {
        bytes += res
        group.sent(res)
      }
    }
    const sent = collect(this.engine, slot, take, () => {
      group.ended()
      // The group ran dry after something was sent: all is done.
      return failure === 0 || (failure === ENOBUFS && bytes > 0) ? { value: bytes } : { error: failure }
    })
    return withFlag(this.engine, SEND_BUNDLE, sent)
  }
}
