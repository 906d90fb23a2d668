// io_uring_register(2): everything that can be set on a ring or asked of it; liburing's names.
// Flow: ring-completion.ts, Ring (which extend this) → this → register-resources.ts, ring-core.register → kernel.
// man io_uring_register(2)

import * as abi from '../sys/abi.ts'
import { EFAULT, EINVAL } from '../sys/errno.ts'
import { argumentTypeError, invalidArgument } from '../sys/error.ts'
import { writeU64 } from '../sys/memory.ts'
import { checkFd, checkInteger } from '../sys/validate.ts'
import { Resources } from './register-resources.ts'
import {
  type BufRingOptions,
  checkedRegister as check,
  encodeBufReg,
  encodeRestrictions,
  encodeSyncCancel,
  type NapiOptions,
  type Restriction,
  type SyncCancelOptions,
} from './register-structs.ts'
import type { RingCore } from './ring-core.ts'

/** The opcodes a ring's kernel knows. */
export interface RingProbe {
  /** The highest opcode the kernel knows. */
  lastOp: number
  /** Whether it can run that opcode. */
  supported(opcode: number): boolean
}

export abstract class Registration extends Resources {
  readonly #core: RingCore

  constructor(core: RingCore) {
    super(core)
    this.#core = core
  }

  // — Notification —

  /** Signals an eventfd for each completion; with DEFER_TASKRUN already when the work for it is queued. @kernel 5.2 · IORING_REGISTER_EVENTFD @man io_uring_register_eventfd(3) */
  registerEventfd(fd: number): void {
    checkFd(fd)
    check(this.register(abi.IORING_REGISTER_EVENTFD, Int32Array.of(fd), 1), 'EVENTFD', '5.2')
  }

  /** As `registerEventfd`, but not for requests that complete while they are submitted. @kernel 5.6 · IORING_REGISTER_EVENTFD_ASYNC @man io_uring_register_eventfd_async(3) */
  registerEventfdAsync(fd: number): void {
    checkFd(fd)
    check(this.register(abi.IORING_REGISTER_EVENTFD_ASYNC, Int32Array.of(fd), 1), 'EVENTFD_ASYNC', '5.6')
  }

  /** @kernel 5.2 · IORING_UNREGISTER_EVENTFD @man io_uring_unregister_eventfd(3) */
  unregisterEventfd(): void {
    check(this.register(abi.IORING_UNREGISTER_EVENTFD, null, 0), 'UNREGISTER_EVENTFD', '5.2')
  }

  // — Questions —

  /** Asks which opcodes the kernel can run. @kernel 5.6 · IORING_REGISTER_PROBE @man io_uring_register_probe(3) */
  registerProbe(): RingProbe {
    const bytes = new Uint8Array(16 + 256 * 8)
    check(this.register(abi.IORING_REGISTER_PROBE, bytes, 256), 'PROBE', '5.6')
    const view = new DataView(bytes.buffer)
    return {
      lastOp: bytes[0]!,
      supported: (opcode) =>
        opcode >= 0 &&
        opcode < bytes[1]! &&
        (view.getUint16(16 + opcode * 8 + 2, true) & abi.IO_URING_OP_SUPPORTED) !== 0,
    }
  }

  // — Who may do what —

  /** Takes a snapshot of the credentials, for `sqe.personality`. It outlives setuid: mind who may use it. @kernel 5.6 · IORING_REGISTER_PERSONALITY @man io_uring_register_personality(3) */
  registerPersonality(): number {
    return check(this.register(abi.IORING_REGISTER_PERSONALITY, null, 0), 'PERSONALITY', '5.6')
  }

  /** @kernel 5.6 · IORING_UNREGISTER_PERSONALITY @man io_uring_unregister_personality(3) */
  unregisterPersonality(id: number): void {
    checkInteger('id', id, 0, 0xffff)
    check(this.register(abi.IORING_UNREGISTER_PERSONALITY, null, id), 'UNREGISTER_PERSONALITY', '5.6')
  }

  /**
   * Allows what is listed and nothing else, for good; the ring must have been set up with `rDisabled`.
   * @throws {UringError} EBADFD the ring is enabled already · EBUSY it has restrictions already
   * @kernel 5.10 · IORING_REGISTER_RESTRICTIONS
   * @man io_uring_register_restrictions(3)
   */
  registerRestrictions(restrictions: readonly Restriction[]): void {
    const bytes = encodeRestrictions(restrictions)
    const result = this.register(abi.IORING_REGISTER_RESTRICTIONS, bytes, restrictions.length)
    check(result, 'RESTRICTIONS', '5.10')
  }

  /** Enables a ring that was set up with `rDisabled`; with SINGLE_ISSUER it belongs to this thread from now on. @kernel 5.10 · IORING_REGISTER_ENABLE_RINGS @man io_uring_enable_rings(3) */
  enableRings(): void {
    check(this.register(abi.IORING_REGISTER_ENABLE_RINGS, null, 0), 'ENABLE_RINGS', '5.10')
  }

  // — Workers —

  /** The CPUs that the ring's workers may run on. @kernel 5.14 · IORING_REGISTER_IOWQ_AFF @man io_uring_register_iowq_aff(3) */
  registerIowqAff(cpus: readonly number[]): void {
    if (!Array.isArray(cpus)) throw argumentTypeError('cpus', 'an instance of Array', cpus)
    const mask = new Uint8Array(128)
    for (const cpu of cpus) {
      checkInteger('cpus', cpu, 0, 1023)
      mask[cpu >>> 3]! |= 1 << (cpu & 7)
    }
    check(this.register(abi.IORING_REGISTER_IOWQ_AFF, mask, mask.length), 'IOWQ_AFF', '5.14')
  }

  /** @kernel 5.14 · IORING_UNREGISTER_IOWQ_AFF @man io_uring_unregister_iowq_aff(3) */
  unregisterIowqAff(): void {
    check(this.register(abi.IORING_UNREGISTER_IOWQ_AFF, null, 0), 'UNREGISTER_IOWQ_AFF', '5.14')
  }

  /**
   * Limits the workers for regular files (bounded) and for all else (unbounded); 0 leaves a limit as it is.
   * @returns the limits of before: [bounded, unbounded]
   * @kernel 5.15 · IORING_REGISTER_IOWQ_MAX_WORKERS
   * @man io_uring_register_iowq_max_workers(3)
   */
  registerIowqMaxWorkers(bounded: number, unbounded: number): [bounded: number, unbounded: number] {
    checkInteger('bounded', bounded, 0, 0x7fffffff)
    checkInteger('unbounded', unbounded, 0, 0x7fffffff)
    const values = Int32Array.of(bounded, unbounded)
    check(this.register(abi.IORING_REGISTER_IOWQ_MAX_WORKERS, values, 2), 'IOWQ_MAX_WORKERS', '5.15')
    return [values[0]!, values[1]!]
  }

  // — The ring's own fd —

  /**
   * Registers the ring's fd with this thread: enter then spares the look-up. A thread has 16 places.
   * @returns the index
   * @throws {UringError} EBUSY all 16 places are taken
   * @kernel 5.18 · IORING_REGISTER_RING_FDS
   * @man io_uring_register_ring_fd(3)
   */
  registerRingFd(): number {
    const core = this.#core
    core.assertOpen()
    if (core.enterFlags !== 0) throw invalidArgument('Cannot register the ring fd: it is registered already')
    const struct = Int32Array.of(-1, 0, core.fd, 0)
    check(this.register(abi.IORING_REGISTER_RING_FDS, struct, 1), 'RING_FDS', '5.18')
    core.enterFd = struct[0]!
    core.enterFlags = abi.IORING_ENTER_REGISTERED_RING
    return core.enterFd
  }

  /** Gives the place back; closing the ring does so too. @kernel 5.18 · IORING_UNREGISTER_RING_FDS @man io_uring_unregister_ring_fd(3) */
  unregisterRingFd(): void {
    const core = this.#core
    core.assertOpen()
    if (core.fd < 0)
      throw invalidArgument('Cannot unregister the ring fd: the ring has nothing but its index')
    core.dropRingIndex()
  }

  // — Provided-buffer rings: see BufferRing for one that does the rest too —

  /** Registers a ring of provided buffers whose memory the caller keeps. @kernel 5.19 · IORING_REGISTER_PBUF_RING @man io_uring_register_buf_ring(3) */
  registerBufRing(options: BufRingOptions): void {
    check(this.register(abi.IORING_REGISTER_PBUF_RING, encodeBufReg(options), 1), 'PBUF_RING', '5.19')
  }

  /** @kernel 5.19 · IORING_UNREGISTER_PBUF_RING @man io_uring_unregister_buf_ring(3) */
  unregisterBufRing(group: number): void {
    const struct = encodeBufReg({ group, entries: 0, address: 0 })
    check(this.register(abi.IORING_UNREGISTER_PBUF_RING, struct, 1), 'UNREGISTER_PBUF_RING', '5.19')
  }

  /** The head of a provided-buffer ring: buffers the kernel took so far, modulo 65,536. @kernel 6.8 · IORING_REGISTER_PBUF_STATUS @man io_uring_buf_ring_head(3) */
  bufRingHead(group: number): number {
    checkInteger('group', group, 0, 0xffff)
    const struct = new Int32Array(10)
    struct[0] = group
    check(this.register(abi.IORING_REGISTER_PBUF_STATUS, struct, 1), 'PBUF_STATUS', '6.8')
    return struct[1]! & 0xffff
  }

  // — Cancelling, messages —

  /**
   * Cancels what matches and waits for it at most so long. What it answers is no proof that the kernel has let go of a
   * buffer: only the request's last CQE is.
   * @returns requests that were cancelled; 0 or -2 (-ENOENT) when none matched, -114 (-EALREADY), -62 (-ETIME)
   * @kernel 6.0 · IORING_REGISTER_SYNC_CANCEL
   * @man io_uring_register_sync_cancel(3)
   */
  registerSyncCancel(options: SyncCancelOptions): number {
    const result = this.register(abi.IORING_REGISTER_SYNC_CANCEL, encodeSyncCancel(options), 1)
    if (result === -EINVAL || result === -EFAULT) check(result, 'SYNC_CANCEL', '6.0')
    return result
  }

  /**
   * Runs a MSG_RING request without a ring.
   * @param sqe the 16 words of the request
   * @kernel 6.13 · IORING_REGISTER_SEND_MSG_RING
   * @man io_uring_register_sync_msg(3)
   */
  registerSyncMsg(sqe: Int32Array): number {
    const core = this.#core
    core.assertOpen()
    if (!(sqe instanceof Int32Array) || sqe.length < 16) {
      throw argumentTypeError('sqe', 'an Int32Array of 16 words', sqe)
    }
    core.keep(sqe)
    const address = core.driver.addressOf(sqe)
    const result = core.driver.register(-1, abi.IORING_REGISTER_SEND_MSG_RING, address, 1)
    core.keep()
    return check(result, 'SEND_MSG_RING', '6.13')
  }

  // — Waiting —

  /**
   * Busy-polls the network device while waiting. A refusal with EOPNOTSUPP means a kernel without busy polling.
   * @returns the settings of before
   * @kernel 6.9 · opcode 6.13 · IORING_REGISTER_NAPI
   * @man io_uring_register_napi(3)
   */
  registerNapi(options: NapiOptions): { busyPollUs: number; preferBusyPoll: boolean } {
    const { busyPollUs = 0, preferBusyPoll = false, opcode = 0, opParam = 0 } = options
    checkInteger('busyPollUs', busyPollUs, 0, 0xffffffff)
    checkInteger('opcode', opcode, 0, 255)
    checkInteger('opParam', opParam, 0, 0xffffffff)
    const struct = Int32Array.of(busyPollUs, (preferBusyPoll ? 1 : 0) | (opcode << 8), opParam, 0)
    check(this.register(abi.IORING_REGISTER_NAPI, struct, 1), 'NAPI', '6.9')
    return { busyPollUs: struct[0]! >>> 0, preferBusyPoll: (struct[1]! & 0xff) !== 0 }
  }

  /** @kernel 6.9 · IORING_UNREGISTER_NAPI @man io_uring_unregister_napi(3) */
  unregisterNapi(): void {
    check(this.register(abi.IORING_UNREGISTER_NAPI, new Int32Array(4), 1), 'UNREGISTER_NAPI', '6.9')
  }

  /** The clock of wait timeouts: CLOCK_MONOTONIC (1, the default) or CLOCK_BOOTTIME (7). @kernel 6.12 · IORING_REGISTER_CLOCK @man io_uring_register_clock(3) */
  registerClock(clockId: number): void {
    checkInteger('clockId', clockId, 0, 0x7fffffff)
    check(this.register(abi.IORING_REGISTER_CLOCK, Int32Array.of(clockId, 0, 0, 0), 0), 'CLOCK', '6.12')
  }

  /**
   * Registers memory for wait arguments (struct io_uring_reg_wait, 64 bytes each), see `submitAndWaitReg`; the ring must
   * have been set up with `rDisabled`. The memory stays referenced as long as the ring lives.
   * @param memory whole pages, page-aligned: from `driver.map(-1, …)`
   * @kernel 6.13 · IORING_REGISTER_MEM_REGION
   * @man io_uring_register_region(3)
   */
  registerRegion(memory: ArrayBuffer, waitArgs = true): void {
    const core = this.#core
    core.assertOpen()
    const region = new Int32Array(16)
    writeU64(region, 0, core.driver.addressOf(new Uint8Array(memory)))
    writeU64(region, 2, memory.byteLength)
    region[4] = abi.IORING_MEM_REGION_TYPE_USER
    const struct = new Int32Array(8)
    writeU64(struct, 0, core.driver.addressOf(region))
    struct[2] = waitArgs ? abi.IORING_MEM_REGION_REG_WAIT_ARG : 0
    core.keep(region)
    check(this.register(abi.IORING_REGISTER_MEM_REGION, struct, 1), 'MEM_REGION', '6.13')
    this.hold(memory)
  }

  // — Structs that are handed on as they are: pointers in them are the caller's to keep valid —

  /** Registers a network queue for zero-copy receive. @param struct io_uring_zcrx_ifq_reg, 96 bytes @kernel 6.15 · IORING_REGISTER_ZCRX_IFQ @man io_uring_register_ifq(3) */
  registerIfq(struct: Uint8Array): void {
    check(this.register(abi.IORING_REGISTER_ZCRX_IFQ, this.#struct(struct, 96), 1), 'ZCRX_IFQ', '6.15')
  }

  /** Controls zero-copy receive. @param struct zcrx_ctrl, 72 bytes @kernel 6.19 · IORING_REGISTER_ZCRX_CTRL @man io_uring_register_zcrx_ctrl(3) */
  registerZcrxCtrl(struct: Uint8Array): number {
    return check(
      this.register(abi.IORING_REGISTER_ZCRX_CTRL, this.#struct(struct, 72), 0),
      'ZCRX_CTRL',
      '6.19',
    )
  }

  /** Filters requests by a classic BPF program. @param struct io_uring_bpf, 72 bytes @kernel 7.0 · IORING_REGISTER_BPF_FILTER @man io_uring_register_bpf_filter(3) */
  registerBpfFilter(struct: Uint8Array): void {
    check(this.register(abi.IORING_REGISTER_BPF_FILTER, this.#struct(struct, 72), 1), 'BPF_FILTER', '7.0')
  }

  #struct(struct: Uint8Array, bytes: number): Uint8Array {
    if (!(struct instanceof Uint8Array))
      throw argumentTypeError('struct', 'an instance of Uint8Array', struct)
    if (struct.byteLength < bytes) {
      throw invalidArgument(`Cannot register: the struct has ${bytes} bytes, got ${struct.byteLength}`)
    }
    return struct
  }
}
