// Makes a ring: io_uring_setup, the mappings, the two queues, and the thread's protection. Undoes all of it on failure.
// Flow: ring.ts → this → driver (setup, map, attach), params, unavailable.
// man io_uring_setup(2), io_uring_queue_init(3)

import * as abi from '../sys/abi.ts'
import { CTL, type Driver, type RingHandle, type RingLayout } from '../sys/driver.ts'
import { EINVAL, ENOMEM } from '../sys/errno.ts'
import { errnoError, invalidArgument, ringFeatureError, stateError } from '../sys/error.ts'
import { closeFd } from '../sys/syscalls.ts'
import { CompletionQueue } from './completion-queue.ts'
import {
  checkSetupOptions,
  decodeParams,
  encodeParams,
  findGeometryFault,
  PARAMS,
  powerOfTwo,
  type RingGeometry,
  type SetupOptions,
  type SetupRequest,
  setupFlagNames,
} from './params.ts'
import { checkedRegister } from './register-structs.ts'
import { RingCore } from './ring-core.ts'
import { SubmissionQueue } from './submission-queue.ts'
import { disabledByEnvironment, obstacleError, unavailableError, unknownSetupFlags } from './unavailable.ts'

const PAGE_BYTES = 4096
/** CQEs that the native side drains at once. */
const BATCH_MAX = 4096
/** The kernel frees the memory of closed rings late: pauses in milliseconds before ENOMEM is believed. */
const ENOMEM_PAUSES = [1, 4, 16, 32]

/** A ring's mappings. */
export interface RingMemory {
  ring: ArrayBuffer
  sqes: ArrayBuffer
}

export interface OpenedRing {
  core: RingCore
  geometry: RingGeometry
  memory: RingMemory
  /** CTL words, followed by the batch. */
  controlMemory: ArrayBuffer
}

const pages = (bytes: number): number => Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES

/** Anonymous memory for NO_MMAP rings: generous for the header, exact for the arrays. */
function mapOwnMemory(driver: Driver, request: SetupRequest, params: Uint8Array): RingMemory | number {
  const sqEntries = Math.min(powerOfTwo(request.entries), abi.IORING_MAX_ENTRIES)
  const cqEntries = Math.min(powerOfTwo(request.cqEntries || sqEntries * 2), abi.IORING_MAX_CQ_ENTRIES)
  const cqeBytes = request.flags & abi.IORING_SETUP_CQE32 ? 32 : 16
  const sqeBytes = request.flags & abi.IORING_SETUP_SQE128 ? 128 : 64
  const ring = driver.map(-1, pages(1024 + cqEntries * cqeBytes + sqEntries * 4), 0)
  if (typeof ring === 'number') return ring
  const sqes = driver.map(-1, pages(sqEntries * sqeBytes), 0)
  if (typeof sqes === 'number') return sqes
  const wide = new BigUint64Array(params.buffer)
  wide[PARAMS.CQ_USER_ADDR / 2] = BigInt(driver.addressOf(new Uint8Array(ring)))
  wide[PARAMS.SQ_USER_ADDR / 2] = BigInt(driver.addressOf(new Uint8Array(sqes)))
  return { ring, sqes }
}

interface Created {
  fd: number
  params: Uint8Array
  ownMemory: RingMemory | undefined
}

/** One io_uring_setup, patient with memory of closed rings that is not back yet. */
function setupOnce(driver: Driver, request: SetupRequest): Created | number {
  const params = encodeParams(request)
  let ownMemory: RingMemory | undefined
  if (request.flags & abi.IORING_SETUP_NO_MMAP) {
    const memory = mapOwnMemory(driver, request, params)
    if (typeof memory === 'number') return memory
    ownMemory = memory
  }
  let fd = driver.setup(request.entries, params)
  for (const pause of ENOMEM_PAUSES) {
    if (fd !== -ENOMEM) break
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pause)
    fd = driver.setup(request.entries, params)
  }
  return fd < 0 ? fd : { fd, params, ownMemory }
}

/** Tries without an index array first, unless the caller decided; old kernels know only the array. */
function setup(driver: Driver, request: SetupRequest): Created {
  const { mayDropSqarray, flags } = request
  const first = mayDropSqarray ? { ...request, flags: flags | abi.IORING_SETUP_NO_SQARRAY } : request
  let result = setupOnce(driver, first)
  if (result === -EINVAL && mayDropSqarray) result = setupOnce(driver, request)
  if (typeof result !== 'number') return result
  if (result !== -EINVAL) throw obstacleError(driver, 'io_uring_setup', result)
  const unknown = unknownSetupFlags(driver, flags)
  if (unknown.length > 0) {
    const names = unknown.map((flag) => flag.name).join(', ')
    throw ringFeatureError(names, unknown.at(-1)!.since)
  }
  const names = setupFlagNames(flags).join(', ') || 'none'
  throw Object.assign(
    invalidArgument(
      `Cannot create a ring: the kernel refuses these options together (flags: ${names}, entries: ${request.entries}, ` +
        `wqFd: ${request.wqFd}, sqThreadCpu: ${request.sqThreadCpu}); leave some out`,
    ),
    { cause: errnoError(result, 'io_uring_setup') },
  )
}

/** Maps the ring's memory, or takes the caller's pages of a NO_MMAP ring. */
function mapRing(driver: Driver, fd: number, geometry: RingGeometry): RingMemory {
  const ring = driver.map(fd, geometry.ringBytes, abi.IORING_OFF_SQ_RING)
  if (typeof ring === 'number') throw errnoError(ring, 'mmap')
  const sqes = driver.map(fd, geometry.sqesBytes, abi.IORING_OFF_SQES)
  if (typeof sqes === 'number') {
    driver.unmap(ring)
    throw errnoError(sqes, 'mmap')
  }
  return { ring, sqes }
}

/** The addresses that the native side needs. */
function nativeLayout(driver: Driver, fd: number, geometry: RingGeometry, memory: RingMemory): RingLayout {
  const ring = driver.addressOf(new Uint8Array(memory.ring))
  return {
    fd,
    setupFlags: geometry.flags,
    sqHead: ring + geometry.sqHead,
    sqTail: ring + geometry.sqTail,
    sqFlags: ring + geometry.sqFlags,
    sqMask: geometry.sqEntries - 1,
    cqHead: ring + geometry.cqHead,
    cqTail: ring + geometry.cqTail,
    cqFlags: geometry.cqFlags === 0 ? 0 : ring + geometry.cqFlags,
    cqMask: geometry.cqEntries - 1,
    cqes: ring + geometry.cqes,
    cqeBytes: geometry.cqeBytes,
    sqes: driver.addressOf(new Uint8Array(memory.sqes)),
    sqeBytes: geometry.sqeBytes,
    waitFlags: geometry.features & abi.IORING_FEAT_NO_IOWAIT ? abi.IORING_ENTER_NO_IOWAIT : 0,
  }
}

/** The arguments of both queues' layouts. */
function queueLayout(geometry: RingGeometry, memory: RingMemory) {
  const { IORING_SETUP_SQE_MIXED, IORING_SETUP_CQE_MIXED } = abi
  return {
    sq: { ...geometry, ...memory, mixed: (geometry.flags & IORING_SETUP_SQE_MIXED) !== 0 },
    cq: { ...geometry, ring: memory.ring, mixed: (geometry.flags & IORING_SETUP_CQE_MIXED) !== 0 },
  }
}

function refuse(flags: number): void {
  const cannot = (flag: number, name: string, why: string): void => {
    if (flags & flag) {
      throw invalidArgument(`Cannot create a Ring with ${name}: ${why}; call io_uring_setup of ringcore/sys`)
    }
  }
  cannot(
    abi.IORING_SETUP_REGISTERED_FD_ONLY,
    'registeredFdOnly',
    'without an fd nothing could clean up when the thread ends',
  )
  cannot(
    abi.IORING_SETUP_SQ_REWIND,
    'sqRewind',
    'the SQ head stands still, and it is what tells which operations the kernel has',
  )
}

/**
 * Creates a ring that is ready for use.
 * @throws ERR_RING_UNAVAILABLE: this system does not let us, with cause and cure
 * @throws ERR_RING_FEATURE the kernel does not know a setup flag, or can't map both queues at once (5.4)
 */
export function openRing(driver: Driver, options: SetupOptions): OpenedRing {
  const request = checkSetupOptions(options)
  refuse(request.flags)
  const disabled = driver.name === 'napi' ? disabledByEnvironment() : undefined
  if (disabled !== undefined) throw unavailableError(disabled)

  const { fd, params, ownMemory } = setup(driver, request)
  const undo: ArrayBuffer[] = []
  try {
    const geometry = decodeParams(params)
    if (!(geometry.features & abi.IORING_FEAT_SINGLE_MMAP)) {
      throw ringFeatureError('IORING_FEAT_SINGLE_MMAP', '5.4')
    }
    const fault = findGeometryFault(geometry, request.entries)
    if (fault !== undefined)
      throw stateError(`cannot create a ring: the kernel answered with a wrong ${fault}`)
    const memory = ownMemory ?? mapRing(driver, fd, geometry)
    undo.push(memory.ring, memory.sqes)
    const batchBytes = Math.min(geometry.cqEntries, BATCH_MAX) * geometry.cqeBytes
    const controlMemory = driver.map(-1, CTL.WORDS * 4 + batchBytes, 0)
    if (typeof controlMemory === 'number') {
      throw errnoError(controlMemory, 'mmap')
    }
    undo.push(controlMemory)
    const core = assemble(driver, fd, geometry, memory, controlMemory)
    return { core, geometry, memory, controlMemory }
  } catch (error) {
    for (const memory of undo) driver.unmap(memory)
    closeFd(driver, fd)
    throw error
  }
}

function assemble(
  driver: Driver,
  fd: number,
  geometry: RingGeometry,
  memory: RingMemory,
  controlMemory: ArrayBuffer,
): RingCore {
  const control = new Int32Array(controlMemory, 0, CTL.WORDS)
  const layout = queueLayout(geometry, memory)
  const sq = new SubmissionQueue(layout.sq, control)
  const cq = new CompletionQueue(layout.cq, control)
  const handle: RingHandle | number = driver.attach(
    nativeLayout(driver, fd, geometry, memory),
    [memory.ring, memory.sqes],
    controlMemory,
  )
  if (typeof handle === 'number' && handle < 0) throw errnoError(handle, 'attach')
  const { flags: setupFlags, features } = geometry
  return new RingCore({ driver, fd, handle: handle as RingHandle, sq, cq, control, setupFlags, features })
}

/**
 * Gives a ring other sizes: the kernel moves what is queued, then the new pages take the place of the old ones everywhere.
 * @throws {UringError} EINVAL · EOVERFLOW what is queued does not fit
 */
export function resizeRing(
  core: RingCore,
  old: RingGeometry,
  entries: number,
  cqEntries: number | undefined,
): { geometry: RingGeometry; memory: RingMemory } {
  if (!(old.flags & abi.IORING_SETUP_DEFER_TASKRUN) || old.flags & abi.IORING_SETUP_NO_MMAP) {
    throw invalidArgument(
      'Cannot resize the ring: only rings with deferTaskrun and without noMmap can; set it up so',
    )
  }
  const { driver, fd } = core
  // Claimed SQEs move with the queue only if the kernel knows of them.
  core.sq.publish()
  const params = encodeParams({
    entries,
    flags: cqEntries === undefined ? 0 : abi.IORING_SETUP_CQSIZE,
    cqEntries: cqEntries ?? 0,
    sqThreadCpu: 0,
    sqThreadIdleMs: 0,
    wqFd: 0,
    mayDropSqarray: false,
  })
  new Int32Array(params.buffer)[PARAMS.SQ_ENTRIES] = entries
  checkedRegister(core.registerView(abi.IORING_REGISTER_RESIZE_RINGS, params, 1), 'RESIZE_RINGS', '6.13')
  // From here on the old pages are not the ring any more.
  new Int32Array(params.buffer)[PARAMS.FLAGS] = old.flags
  const geometry = { ...decodeParams(params), features: old.features }
  const fault = findGeometryFault(geometry, entries)
  if (fault !== undefined) throw stateError(`the kernel resized the ring to a wrong ${fault}; close it`)
  const memory = mapRing(driver, fd, geometry)
  const layout = nativeLayout(driver, fd, geometry, memory)
  const result = driver.relayout(core.handle, layout, [memory.ring, memory.sqes])
  if (result < 0) throw errnoError(result, 'relayout')
  const queues = queueLayout(geometry, memory)
  core.sq.relayout(queues.sq)
  core.cq.relayout(queues.cq)
  return { geometry, memory }
}
