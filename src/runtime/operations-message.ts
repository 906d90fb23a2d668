// Messages and files between rings, of this thread or of others, as promises and an async iterator.
// Flow: Uring → this → inbox.ts, op/prep-sync.ts, multishot.ts, engine.ts. man io_uring_prep_msg_ring(3)

import { sqeSetOffWords } from '../op/modify.ts'
import { prepTimeout } from '../op/prep-control.ts'
import { prepMsgRing, prepMsgRingCqeFlags, prepMsgRingFdAlloc } from '../op/prep-sync.ts'
import { Sqe } from '../ring/sqe.ts'
import { IORING_CQE_BUFFER_SHIFT, IORING_OP_MSG_RING, IORING_OP_TIMEOUT } from '../sys/abi.ts'
import { argumentTypeError, argumentValueError, ringClosedError, stateError } from '../sys/error.ts'
import { checkFd, checkInteger } from '../sys/validate.ts'
import { isTag } from './buffer-table.ts'
import type { Engine } from './engine.ts'
import { Inbox, messageHigh, messageLow, type RingMessage } from './inbox.ts'
import { Multishot, type MultishotKind, type MultishotOptions } from './multishot.ts'
import { checkFixedFile, Operations, optionalBoolean } from './operations.ts'
import { ZeroCopyOperations } from './operations-zero-copy.ts'
import type { OperationOptions } from './options.ts'
import type { FixedFile } from './resource.ts'

/** Where a message goes: a Uring of this thread, or the fd of any ring of this process (`uring.ring.fd`). */
export type MessageTarget = Operations | number

const TEN_YEARS_MS = 10 * 365 * 86_400_000

function targetFd(target: unknown): number {
  if (target instanceof Operations) {
    if (target.engine.closed) throw ringClosedError('send a message')
    const { fd } = target.engine.ring
    if (fd < 0)
      throw argumentValueError('target', fd, 'must have an fd: a ring with registeredFdOnly gets no messages')
    return fd
  }
  if (typeof target !== 'number')
    throw argumentTypeError('target', 'of type number or an instance of Uring', target)
  checkFd(target, 'target')
  return target
}

function checkMessage(message: { value?: number; data?: number; tag?: number }): Required<typeof message> {
  if (typeof message !== 'object' || message === null)
    throw argumentTypeError('message', 'of type object', message)
  const { value = 0, data = 0, tag = 0 } = message
  checkInteger('message.value', value, -0x80000000, 0x7fffffff)
  checkInteger('message.data', data, 0)
  checkInteger('message.tag', tag, 0, 65535)
  return { value, data, tag }
}

function writeMessage(sqe: Sqe, fd: number, value: number, data: number, tag: number): void {
  if (tag === 0) prepMsgRing(sqe, fd, value, 0, 0)
  else prepMsgRingCqeFlags(sqe, fd, value, 0, 0, tag << IORING_CQE_BUFFER_SHIFT)
  sqeSetOffWords(sqe, messageLow(data, false), messageHigh(data))
}

export class MessageOperations extends ZeroCopyOperations {
  readonly #inbox: Inbox

  constructor(engine: Engine, fixedFiles: number) {
    super(engine, fixedFiles)
    const { files } = this
    this.#inbox = new Inbox(
      (index) => files.adopt(index),
      (file) => {
        files.dropLate(file.index)
        files.give(file)
      },
    )
    const inbox = this.#inbox
    engine.onMessage = (low, high, res, flags) => {
      if (isTag(high)) engine.buffers.released(high)
      else inbox.take(low, high, res, flags)
    }
  }

  /**
   * Sends a message to another ring, of this thread or of another one of this process; it comes out of its `messages()`.
   *
   * The fd of a ring is a number that can be posted to a worker; keep the ring open while others may send to it.
   *
   * @param message `value`: 32 bits with sign; `data`: up to 2^53 - 1; `tag`: 16 bits (with one, kernel 6.3); each by default 0
   * @throws EBADFD (no ring, or one that is not enabled yet) · EOVERFLOW (the other's queue is full, and no memory for more)
   * @kernel 5.18 · IORING_OP_MSG_RING
   * @man io_uring_prep_msg_ring(3)
   */
  async msgRing(
    target: MessageTarget,
    message: { value?: number; data?: number; tag?: number },
    options?: OperationOptions,
  ): Promise<void> {
    const fd = targetFd(target)
    const { value, data, tag } = checkMessage(message)
    const slot = this.engine.begin(IORING_OP_MSG_RING, options)
    if (slot === null) return this.engine.later(() => this.msgRing(target, message, options), options)
    writeMessage(slot.sqe, fd, value, data, tag)
    await this.engine.promise(slot)
  }

  /**
   * As `msgRing`, at once and without this ring's queue: the message is in the other's queue when this returns.
   *
   * For what must not wait for the next turn of the event loop, such as a last word before this thread blocks or ends.
   *
   * @throws EBADFD, EBADF (no ring) · EOVERFLOW · EINVAL (a kernel before 6.13) · ERR_* (nothing was sent)
   * @kernel 6.13 · IORING_REGISTER_SEND_MSG_RING
   * @man io_uring_register_sync_msg(3)
   */
  msgRingSync(target: MessageTarget, message: { value?: number; data?: number; tag?: number }): void {
    const fd = targetFd(target)
    const { value, data, tag } = checkMessage(message)
    if (this.engine.closed) throw ringClosedError('send a message')
    const sqe = new Sqe(new ArrayBuffer(64), 0, 64)
    writeMessage(sqe, fd, value, data, tag)
    this.engine.ring.registerSyncMsg(sqe.words)
  }

  /**
   * Puts a direct descriptor of this ring into the table of another one, which must be listening with `messages({ files: true })`.
   *
   * It stays here, too: close it when the other side has it.
   *
   * @param message `data`: up to 2^53 - 1, comes with the file
   * @throws ENFILE (the other ring has no table, or it is full) · EBADF (the place here is empty) · EBADFD (no ring)
   * @kernel 6.0 · IORING_OP_MSG_RING with IORING_MSG_SEND_FD
   * @man io_uring_prep_msg_ring_fd_alloc(3)
   */
  async msgRingFd(
    target: MessageTarget,
    file: FixedFile,
    message: { data?: number } = {},
    options?: OperationOptions,
  ): Promise<void> {
    const fd = targetFd(target)
    checkFixedFile(file)
    if (typeof message !== 'object' || message === null)
      throw argumentTypeError('message', 'of type object', message)
    const { data = 0 } = message
    checkInteger('message.data', data, 0)
    const slot = this.engine.begin(IORING_OP_MSG_RING, options)
    if (slot === null) return this.engine.later(() => this.msgRingFd(target, file, message, options), options)
    prepMsgRingFdAlloc(slot.sqe, fd, file.index, 0, 0)
    sqeSetOffWords(slot.sqe, messageLow(data, true), messageHigh(data))
    await this.engine.promise(slot)
  }

  /**
   * Listens for messages of other rings; those that came before are kept (up to 4096) and come first.
   *
   * The listening is an operation itself: it holds the process open unless `ref` is false, and closing the ring ends it. Messages are
   * not held back: who sends many should wait for answers now and then.
   *
   * @param options.files also takes files (`msgRingFd`), for which the table of direct descriptors is made
   * @throws ERR_INVALID_STATE: somebody listens already
   * @kernel 5.18 · CQEs of IORING_OP_MSG_RING
   * @man io_uring_prep_msg_ring(3)
   */
  messages(options?: MultishotOptions & { files?: boolean }): Multishot<RingMessage> {
    if (this.#inbox.isTaken) throw stateError('Cannot listen for messages: somebody does already')
    const takesFiles = optionalBoolean('options.files', options?.files)
    let next: RingMessage | undefined
    const kind: MultishotKind<RingMessage> = {
      syscall: 'msg_ring',
      // What is armed is a timeout that never runs out: it keeps the loop waiting, and ends with the ring.
      arm: (engine) => {
        const slot = engine.begin(IORING_OP_TIMEOUT, { ref: options?.ref })
        if (slot === null) return null
        prepTimeout(slot.sqe, this.timespec(slot, TEN_YEARS_MS), 0, 0)
        return slot
      },
      item: () => next,
      discard: ({ file }) => {
        if (file === undefined) return
        this.files.dropLate(file.index)
        this.files.give(file)
      },
      ended: () => {
        this.#inbox.listen(null)
        if (takesFiles) this.files.chosen()
      },
    }
    if (takesFiles) this.files.choose()
    let listening: Multishot<RingMessage>
    try {
      listening = new Multishot(this.engine, kind, options)
    } catch (error) {
      if (takesFiles) this.files.chosen()
      throw error
    }
    this.#inbox.listen((message) => {
      next = message
      listening.onCqe(0, 0, false)
      next = undefined
    })
    return listening
  }
}
