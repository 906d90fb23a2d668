// Waiting for other threads and for child processes: futexes and waitid, as promises.
// Flow: Uring → this → op/prep-sync.ts, engine.ts. man futex(2), waitid(2)

import { prepFutexWait, prepFutexWaitv, prepFutexWake, prepWaitid } from '../op/prep-sync.ts'
import {
  FUTEX_WAITV_MAX,
  FUTEX2_PRIVATE,
  FUTEX2_SIZE_U32,
  IORING_OP_FUTEX_WAIT,
  IORING_OP_FUTEX_WAITV,
  IORING_OP_FUTEX_WAKE,
  IORING_OP_WAITID,
} from '../sys/abi.ts'
import { P_ALL, P_PGID, P_PID, P_PIDFD, WEXITED, WNOWAIT } from '../sys/constants.ts'
import { argumentTypeError, argumentValueError, rangeError } from '../sys/error.ts'
import { checkInteger } from '../sys/validate.ts'
import { requireOpcode } from './opcode-gate.ts'
import { checkRange, optionalWord } from './operations.ts'
import { MessageOperations } from './operations-message.ts'
import type { OperationOptions } from './options.ts'

export interface FutexOptions extends OperationOptions {
  /** Bits that must meet those of the other side; by default all. */
  mask?: number | undefined
}

/** One of several futexes to wait on. */
export interface FutexWaiter {
  words: Int32Array
  index: number
  /** The value that the word must have for waiting to begin. */
  value: number
}

/** Whom to wait for: one child, the children of a process group, or any child. */
export type WaitTarget = { pid: number } | { pidfd: number } | { pgid: number } | 'all'

/** How a child's state changed. */
export interface WaitResult {
  pid: number
  uid: number
  /** 'exited', 'killed', 'dumped' (killed, with a core), 'stopped', 'trapped', 'continued'. */
  what: string
  /** The exit code, or the signal's number. */
  status: number
}

/** Every bit of the mask. */
const ALL_BITS = 0xffffffff
const PRIVATE_U32 = FUTEX2_SIZE_U32 | FUTEX2_PRIVATE
const FUTEX_WAITV_BYTES = 24
const SIGINFO_BYTES = 128
/** CLD_* of si_code, from 1. */
const CHANGES = ['', 'exited', 'killed', 'dumped', 'trapped', 'stopped', 'continued']

const isNotEqual = (error: unknown): boolean => (error as NodeJS.ErrnoException)?.code === 'EAGAIN'

export class ProcessOperations extends MessageOperations {
  /** Checks a futex word and returns its address. */
  #word(words: unknown, index: unknown): number {
    if (!(words instanceof Int32Array)) throw argumentTypeError('words', 'an instance of Int32Array', words)
    checkRange(words, 0, undefined, 'words')
    checkInteger('index', index, 0, words.length - 1)
    return this.engine.addresses.of(words, 'words') + index * 4
  }

  /**
   * Waits while a word has a value, until somebody calls `futexWake` on it.
   *
   * The word is one of shared memory that several threads see. Wakers are `futexWake` of any ring and futex(2) (private futexes) of
   * native code. Not `Atomics.notify`: the engine's own waiting list does not use the word's futex, so neither side wakes the other.
   *
   * @param words over a SharedArrayBuffer, for it to make sense
   * @param value the value the word must have when the kernel looks, at the end of this turn
   * @returns 'ok' when woken, 'not-equal' when the word had another value
   * @throws ETIMEDOUT (`timeout`) · AbortError · ERR_RING_FEATURE, ERR_* (nothing was queued)
   * @kernel 6.7 · IORING_OP_FUTEX_WAIT
   * @man io_uring_prep_futex_wait(3), futex(2)
   */
  async futexWait(
    words: Int32Array,
    index: number,
    value: number,
    options?: FutexOptions,
  ): Promise<'ok' | 'not-equal'> {
    requireOpcode(this.engine, IORING_OP_FUTEX_WAIT)
    this.#word(words, index)
    checkInteger('value', value, -0x80000000, 0x7fffffff)
    const mask = options?.mask === undefined ? ALL_BITS : optionalWord('options.mask', options.mask)
    if (mask === 0) throw rangeError('options.mask', '>= 1 && <= 4294967295', mask)
    try {
      await this.#wait(words, index, value, mask, options)
      return 'ok'
    } catch (error) {
      if (isNotEqual(error)) return 'not-equal'
      throw error
    }
  }

  #wait(
    words: Int32Array,
    index: number,
    value: number,
    mask: number,
    options?: FutexOptions,
  ): Promise<number> {
    const slot = this.engine.begin(IORING_OP_FUTEX_WAIT, options)
    if (slot === null) return this.engine.later(() => this.#wait(words, index, value, mask, options), options)
    const address = this.lend(slot, words, this.engine.addresses.of(words), words.byteLength, index * 4)
    prepFutexWait(slot.sqe, address, value >>> 0, mask, PRIVATE_U32, 0)
    return this.engine.promise(slot)
  }

  /**
   * Wakes those who wait on a word with `futexWait` or `futexWaitv`, or with futex(2) in native code.
   * @param count most to wake; default all
   * @returns how many were woken
   * @throws ERR_RING_FEATURE, ERR_* (nothing was queued)
   * @kernel 6.7 · IORING_OP_FUTEX_WAKE
   * @man io_uring_prep_futex_wake(3), futex(2)
   */
  async futexWake(
    words: Int32Array,
    index: number,
    count = 0x7fffffff,
    options?: FutexOptions,
  ): Promise<number> {
    requireOpcode(this.engine, IORING_OP_FUTEX_WAKE)
    this.#word(words, index)
    checkInteger('count', count, 1, 0x7fffffff)
    const mask = options?.mask === undefined ? ALL_BITS : optionalWord('options.mask', options.mask)
    if (mask === 0) throw rangeError('options.mask', '>= 1 && <= 4294967295', mask)
    const slot = this.engine.begin(IORING_OP_FUTEX_WAKE, options)
    if (slot === null) return this.engine.later(() => this.futexWake(words, index, count, options), options)
    const address = this.lend(slot, words, this.engine.addresses.of(words), words.byteLength, index * 4)
    prepFutexWake(slot.sqe, address, count, mask, PRIVATE_U32, 0)
    return this.engine.promise(slot)
  }

  /**
   * Waits on several words at once, until somebody wakes one of them.
   * @param waiters at most 128
   * @returns which was woken, as its index in `waiters`; -1 when one of the words had another value
   * @throws ETIMEDOUT (`timeout`) · AbortError · ERR_RING_FEATURE, ERR_* (nothing was queued)
   * @kernel 6.7 · IORING_OP_FUTEX_WAITV
   * @man io_uring_prep_futex_waitv(3), futex(2)
   */
  async futexWaitv(waiters: readonly FutexWaiter[], options?: OperationOptions): Promise<number> {
    requireOpcode(this.engine, IORING_OP_FUTEX_WAITV)
    if (!Array.isArray(waiters)) throw argumentTypeError('waiters', 'an instance of Array', waiters)
    if (waiters.length === 0 || waiters.length > FUTEX_WAITV_MAX)
      throw rangeError('waiters.length', `>= 1 && <= ${FUTEX_WAITV_MAX}`, waiters.length)
    // struct futex_waitv: value, address, flags, in 8 bytes each.
    const structs = new BigUint64Array((waiters.length * FUTEX_WAITV_BYTES) / 8)
    for (const [i, waiter] of waiters.entries()) {
      const { words, index, value } = waiter ?? {}
      const address = this.#word(words, index)
      checkInteger('value', value, -0x80000000, 0x7fffffff)
      structs[i * 3] = BigInt(value >>> 0)
      structs[i * 3 + 1] = BigInt(address)
      structs[i * 3 + 2] = BigInt(PRIVATE_U32)
    }
    try {
      return await this.#waitv(structs, waiters, options)
    } catch (error) {
      if (isNotEqual(error)) return -1
      throw error
    }
  }

  #waitv(
    structs: BigUint64Array,
    waiters: readonly FutexWaiter[],
    options?: OperationOptions,
  ): Promise<number> {
    const slot = this.engine.begin(IORING_OP_FUTEX_WAITV, options)
    if (slot === null) return this.engine.later(() => this.#waitv(structs, waiters, options), options)
    slot.held = [structs, ...waiters.map(({ words }) => words)]
    prepFutexWaitv(slot.sqe, this.engine.ring.driver.addressOf(structs), waiters.length, 0)
    return this.engine.promise(slot)
  }

  /**
   * Waits for a child process to end, or otherwise change its state.
   *
   * By default the child stays for Node to reap, which may be quicker: then this rejects with ECHILD, although the child did end. For
   * children that Node started, poll a pidfd or listen for their 'exit'; this is for children that somebody else made, such as a
   * native library. Only with `options` without WNOWAIT does it reap the child.
   *
   * @param options.options WEXITED, WSTOPPED, WCONTINUED, WNOHANG, WNOWAIT; default WEXITED | WNOWAIT
   * @returns null with WNOHANG, when no child has changed its state
   * @throws ECHILD (no such child) · ERR_RING_FEATURE, ERR_* (nothing was queued)
   * @kernel 6.7 · IORING_OP_WAITID
   * @man io_uring_prep_waitid(3), waitid(2)
   */
  async waitid(
    target: WaitTarget,
    options?: OperationOptions & { options?: number },
  ): Promise<WaitResult | null> {
    requireOpcode(this.engine, IORING_OP_WAITID)
    const [idtype, id] = waitTarget(target)
    const flags =
      options?.options === undefined ? WEXITED | WNOWAIT : optionalWord('options.options', options.options)
    const info = new DataView(new ArrayBuffer(SIGINFO_BYTES))
    const bytes = new Uint8Array(info.buffer)
    const slot = this.engine.begin(IORING_OP_WAITID, options)
    if (slot === null) return this.engine.later(() => this.waitid(target, options), options)
    slot.held = bytes
    slot.finish = (): WaitResult | null => {
      const pid = info.getInt32(16, true)
      if (pid === 0) return null
      const what = CHANGES[info.getInt32(8, true)] ?? 'changed'
      return { pid, uid: info.getUint32(20, true), what, status: info.getInt32(24, true) }
    }
    prepWaitid(slot.sqe, idtype, id, this.engine.ring.driver.addressOf(bytes), flags, 0)
    return this.engine.promise(slot)
  }
}

function waitTarget(target: unknown): [idtype: number, id: number] {
  if (target === 'all') return [P_ALL, 0]
  if (typeof target !== 'object' || target === null)
    throw argumentTypeError('target', "'all' or of type object", target)
  for (const [name, idtype, min] of [
    ['pid', P_PID, 1],
    ['pidfd', P_PIDFD, 0],
    ['pgid', P_PGID, 0],
  ] as const) {
    if (!(name in target)) continue
    const id: unknown = (target as Record<string, unknown>)[name]
    checkInteger(`target.${name}`, id, min, 0x7fffffff)
    return [idtype, id]
  }
  throw argumentValueError('target', target, "must be { pid }, { pidfd }, { pgid } or 'all'")
}
