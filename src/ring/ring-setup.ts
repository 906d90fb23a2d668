// Makes a ring: io_uring_setup, the mappings, the two queues, and the thread's protection. Undoes all of it on failure.
// Flow: ring.ts → this → driver (setup, map, attach), params, unavailable.
// man io_uring_setup(2), io_uring_queue_init(3)

import * as abi from '../sys/abi.ts'
import { MAP_HUGETLB } from '../sys/constants.ts'
import { CTL, type Driver, type RingHandle, type RingLayout } from '../sys/driver.ts'
import { EBUSY, EINVAL, ENOMEM } from '../sys/errno.ts'
import {
  argumentValueError,
  errnoError,
  invalidArgument,
  rangeError,
  ringFeatureError,
  ringUnavailableError,
  stateError,
  UringError,
} from '../sys/error.ts'
import { HUGE_PAGE_BYTES } from '../sys/memory.ts'
import { closeFd } from '../sys/syscalls.ts'
import { CompletionQueue } from './completion-queue.ts'
import {
  checkSetupOptions,
  decodeParams,
  encodeParams,
  findGeometryFault,
  ownMemoryLayout,
  PARAMS,
  type RingGeometry,
  type SetupOptions,
  type SetupRequest,
  setupFlagNames,
} from './params.ts'
import { checkedRegister } from './register-structs.ts'
import { RingCore } from './ring-core.ts'
import { SubmissionQueue } from './submission-queue.ts'
import { disabledByEnvironment, obstacleError, unavailableError, unknownSetupFlags } from './unavailable.ts'

/** CQEs that the native side drains at once. */
const BATCH_MAX = 4096
/** The kernel frees the memory of closed rings late: pauses in milliseconds before ENOMEM is believed. */
const ENOMEM_PAUSES = [1, 4, 16, 32]

/** A ring's mappings; of a NO_MMAP ring both are the same. */
export interface RingMemory {
  ring: ArrayBuffer
  sqes: ArrayBuffer
  /** Where in `sqes` the first SQE lies. */
  sqesOffset: number
}

export interface OpenedRing {
  core: RingCore
  geometry: RingGeometry
  memory: RingMemory
  /** CTL words, followed by the batch. */
  controlMemory: ArrayBuffer
}

/** The callers' memory that rings lie in. */
const used = new WeakSet<ArrayBuffer>()

/** After the end of the ring that lay there, memory of the caller's may serve another; its pages are new ones. */
export function vacate(memory: ArrayBuffer): void {
  used.delete(memory)
}

/** Memory for NO_MMAP rings: the caller's, huge pages, or ordinary ones. */
function ownMemory(driver: Driver, request: SetupRequest, params: Uint8Array): RingMemory | number {
  const { sqesOffset, bytes } = ownMemoryLayout(request)
  const memory = request.memory ?? mapOwn(driver, bytes, request.hugePages)
  if (typeof memory === 'number') return memory
  if (memory.byteLength < bytes) throw rangeError('memory.byteLength', `>= ${bytes}`, memory.byteLength)
  if (used.has(memory)) throw stateError('cannot create a ring in the memory: another ring lies there')
  // The kernel begins with the heads and tails that it finds.
  if (request.memory !== undefined) new Uint8Array(memory, 0, bytes).fill(0)
  const address = driver.addressOf(new Uint8Array(memory))
  if (address % 4096 !== 0) throw argumentValueError('memory', memory, 'must be of mmap() and not unmapped')
  const wide = new BigUint64Array(params.buffer)
  wide[PARAMS.CQ_USER_ADDR / 2] = BigInt(address)
  wide[PARAMS.SQ_USER_ADDR / 2] = BigInt(address + sqesOffset)
  return { ring: memory, sqes: memory, sqesOffset }
}

function mapOwn(driver: Driver, bytes: number, hugePages: boolean): ArrayBuffer | number {
  if (!hugePages) return driver.map(-1, bytes, 0)
  const memory = driver.map(-1, Math.ceil(bytes / HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES, MAP_HUGETLB)
  if (memory !== -ENOMEM) return memory
  throw ringUnavailableError(
    'Cannot create a ring in huge pages: none is free',
    'raise the sysctl vm.nr_hugepages, or leave out hugePages',
    errnoError(memory, 'mmap'),
  )
}

interface Created {
  fd: number
  params: Uint8Array
  own: RingMemory | undefined
}

/** One io_uring_setup, patient with memory of closed rings that is not back yet. */
function setupOnce(driver: Driver, request: SetupRequest): Created | number {
  const params = encodeParams(request)
  let own: RingMemory | undefined
  if (request.flags & abi.IORING_SETUP_NO_MMAP) {
    const memory = ownMemory(driver, request, params)
    if (typeof memory === 'number') return memory
    own = memory
  }
  let fd = driver.setup(request.entries, params)
  for (const pause of ENOMEM_PAUSES) {
    if (fd !== -ENOMEM) break
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pause)
    fd = driver.setup(request.entries, params)
  }
  return fd < 0 ? fd : { fd, params, own }
}

/** Tries without an index array first, unless the caller decided; old kernels know only the array. */
function setup(driver: Driver, request: SetupRequest): Created {
  const { mayDropSqarray, flags } = request
  const first = mayDropSqarray ? { ...request, flags: flags | abi.IORING_SETUP_NO_SQARRAY } : request
  let result = setupOnce(driver, first)
  if (result === -EINVAL && mayDropSqarray) result = setupOnce(driver, request)
  if (typeof result !== 'number') return result
  if (result === -EBUSY && flags & abi.IORING_SETUP_REGISTERED_FD_ONLY) {
    throw stateError(
      'cannot create a ring without an fd: all 16 indices of this thread are taken; close some',
    )
  }
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
  return { ring, sqes, sqesOffset: 0 }
}

/** As `mapRing`, for a ring that can't do without. */
function mapAgain(driver: Driver, fd: number, geometry: RingGeometry): RingMemory {
  try {
    return mapRing(driver, fd, geometry)
  } catch (error) {
    const { code, errno } = error as UringError
    throw new UringError(`${code}: the resized ring's pages can't be mapped, mmap`, errno, code, 'mmap')
  }
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
    sqes: driver.addressOf(new Uint8Array(memory.sqes)) + memory.sqesOffset,
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

/** The mappings, each once. */
const mappings = ({ ring, sqes }: RingMemory): ArrayBuffer[] => (ring === sqes ? [ring] : [ring, sqes])

/** Lets go of a ring that nothing was submitted to. */
function drop(driver: Driver, fd: number, flags: number): void {
  if (!(flags & abi.IORING_SETUP_REGISTERED_FD_ONLY)) {
    closeFd(driver, fd)
    return
  }
  const index = Int32Array.of(fd, 0, 0, 0)
  const opcode = (abi.IORING_UNREGISTER_RING_FDS | abi.IORING_REGISTER_USE_REGISTERED_RING) >>> 0
  driver.register(fd, opcode, driver.addressOf(index), 1)
}

/**
 * Creates a ring that is ready for use.
 * @throws ERR_RING_UNAVAILABLE: this system does not let us, with cause and cure
 * @throws ERR_RING_FEATURE the kernel does not know a setup flag, or can't map both queues at once (5.4)
 */
export function openRing(driver: Driver, options: SetupOptions): OpenedRing {
  const request = checkSetupOptions(options)
  const disabled = driver.name === 'napi' ? disabledByEnvironment() : undefined
  if (disabled !== undefined) throw unavailableError(disabled)

  const { fd, params, own } = setup(driver, request)
  const undo: ArrayBuffer[] = []
  try {
    const geometry = decodeParams(params)
    if (!(geometry.features & abi.IORING_FEAT_SINGLE_MMAP)) {
      throw ringFeatureError('IORING_FEAT_SINGLE_MMAP', '5.4')
    }
    const fault = findGeometryFault(geometry, request.entries)
    if (fault !== undefined)
      throw stateError(`cannot create a ring: the kernel answered with a wrong ${fault}`)
    const memory = own ?? mapRing(driver, fd, geometry)
    undo.push(...mappings(memory))
    const batchBytes = Math.min(geometry.cqEntries, BATCH_MAX) * geometry.cqeBytes
    const controlMemory = driver.map(-1, CTL.WORDS * 4 + batchBytes, 0)
    if (typeof controlMemory === 'number') {
      throw errnoError(controlMemory, 'mmap')
    }
    undo.push(controlMemory)
    const core = assemble(driver, fd, geometry, memory, controlMemory, request.memory !== undefined)
    if (request.memory !== undefined) used.add(request.memory)
    return { core, geometry, memory, controlMemory }
  } catch (error) {
    for (const memory of undo) driver.unmap(memory)
    drop(driver, fd, request.flags)
    throw error
  }
}

function assemble(
  driver: Driver,
  fd: number,
  geometry: RingGeometry,
  memory: RingMemory,
  controlMemory: ArrayBuffer,
  isCallers: boolean,
): RingCore {
  const control = new Int32Array(controlMemory, 0, CTL.WORDS)
  const layout = queueLayout(geometry, memory)
  const sq = new SubmissionQueue(layout.sq, control)
  const cq = new CompletionQueue(layout.cq, control)
  const handle: RingHandle | number = driver.attach(
    nativeLayout(driver, fd, geometry, memory),
    mappings(memory),
    controlMemory,
  )
  if (typeof handle === 'number' && handle < 0) {
    if (handle === -EINVAL && isCallers)
      throw argumentValueError('memory', memory.ring, 'must be of mmap() and not unmapped')
    throw errnoError(handle, 'attach')
  }
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
  core.unmapped = geometry
  core.sq.retire()
  return { geometry, memory: remapRing(core, geometry) }
}

/**
 * Maps the pages of a ring that was resized, and makes everybody look there.
 * @throws {UringError} ENOMEM; it can be tried again
 */
export function remapRing(core: RingCore, geometry: RingGeometry): RingMemory {
  const { driver, fd } = core
  const memory = mapAgain(driver, fd, geometry)
  const layout = nativeLayout(driver, fd, geometry, memory)
  const result = driver.relayout(core.handle, layout, mappings(memory))
  if (result < 0) throw errnoError(result, 'relayout')
  const queues = queueLayout(geometry, memory)
  core.sq.relayout(queues.sq)
  core.cq.relayout(queues.cq)
  core.unmapped = null
  return memory
}
