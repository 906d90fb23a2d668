// What this kernel can do, found by asking and trying, never by its version; and why nothing works where nothing does.
// Flow: runtime, cli, fs, net → this → unavailable.ts, driver (setup, register).
// man io_uring_register(2) IORING_REGISTER_PROBE, IORING_REGISTER_QUERY; io_uring_setup(2)

import { release } from 'node:os'
import * as abi from '../sys/abi.ts'
import type { Driver } from '../sys/driver.ts'
import { EINVAL } from '../sys/errno.ts'
import { writeU64 } from '../sys/memory.ts'
import { openDriver } from '../sys/open-driver.ts'
import { closeFd } from '../sys/syscalls.ts'
import { decodeParams, encodeParams, SETUP_FLAGS } from './params.ts'
import {
  disabledByEnvironment,
  explainObstacle,
  type Obstacle,
  readSystemFacts,
  type SystemFacts,
  trySetupFlag,
  unavailableError,
} from './unavailable.ts'

/** Whether something can be had here. */
export interface Availability {
  available: boolean
  /** What stands in the way: an errno's name, `RINGCORE_DISABLE`, `ERR_*`, or `MISSING`. */
  code?: string
  /** The cause, as a sentence. */
  reason?: string
  /** What to do about it. */
  cure?: string
  /** What the runtime needs and this kernel lacks. */
  missing?: string[]
}

/** What this kernel can do: names as in the header, true where it can; plain data, for JSON. */
export interface ProbeReport {
  /** For people; nothing was concluded from it. */
  kernel: string
  arch: string
  opcodes: Record<string, boolean>
  registerOps: Record<string, boolean>
  setupFlags: Record<string, boolean>
  enterFlags: Record<string, boolean>
  sqeFlags: Record<string, boolean>
  features: Record<string, boolean>
  limits: SystemFacts
  /** Where the register operations come from: one question of 6.18, or trying each. */
  source: 'query' | 'tried'
  /** What the runtime needs and this kernel lacks; empty where it works. */
  missing: string[]
}

const namesFound = new Map<string, [string, number][]>()

/** Names of the ABI with a prefix, in the order of their values. Looked for when first wanted: it takes a millisecond. */
function names(prefix: string): [string, number][] {
  let found = namesFound.get(prefix)
  if (found === undefined) {
    found = (Object.entries(abi) as [string, unknown][])
      .filter(
        (entry): entry is [string, number] => typeof entry[1] === 'number' && entry[0].startsWith(prefix),
      )
      .filter(([name]) => !/_LAST$|_BIT$/.test(name))
      .sort((a, b) => a[1] - b[1])
    namesFound.set(prefix, found)
  }
  return found
}

/** The register operations: their names share prefixes with flags, so the values tell. */
export const REGISTER_OPS: readonly [string, number][] = [
  'BUFFERS UNREGISTER_BUFFERS FILES UNREGISTER_FILES EVENTFD UNREGISTER_EVENTFD FILES_UPDATE EVENTFD_ASYNC PROBE',
  'PERSONALITY UNREGISTER_PERSONALITY RESTRICTIONS ENABLE_RINGS FILES2 FILES_UPDATE2 BUFFERS2 BUFFERS_UPDATE',
  'IOWQ_AFF UNREGISTER_IOWQ_AFF IOWQ_MAX_WORKERS RING_FDS UNREGISTER_RING_FDS PBUF_RING UNREGISTER_PBUF_RING',
  'SYNC_CANCEL FILE_ALLOC_RANGE PBUF_STATUS NAPI UNREGISTER_NAPI CLOCK CLONE_BUFFERS SEND_MSG_RING ZCRX_IFQ',
  'RESIZE_RINGS MEM_REGION QUERY ZCRX_CTRL BPF_FILTER',
]
  .join(' ')
  .split(' ')
  .map((name, value) => [name.startsWith('UN') ? `IORING_${name}` : `IORING_REGISTER_${name}`, value])

/** An address that no process has: a known operation answers EFAULT where an unknown one answers EINVAL. */
const BAD_ADDRESS = 8
/** nr_args that an operation insists on before it looks at its argument; 1 for all others. */
const TRIAL_COUNTS: Record<string, number> = {
  FILES2: 32,
  FILES_UPDATE2: 32,
  BUFFERS2: 32,
  BUFFERS_UPDATE: 32,
  IOWQ_AFF: 8,
  IOWQ_MAX_WORKERS: 2,
  FILE_ALLOC_RANGE: 0,
  CLOCK: 0,
  QUERY: 0,
  ZCRX_CTRL: 0,
}
/** Operations that take no argument. */
const TRIAL_WITHOUT_ARGUMENT = /UNREGISTER_(BUFFERS|FILES|EVENTFD|IOWQ_AFF)$|_PERSONALITY$|ENABLE_RINGS$/

/** A ring for questions only: no mappings, nothing submitted. */
interface Probing {
  driver: Driver
  fd: number
  features: number
}

function withProbingRing<T>(driver: Driver, flags: number, use: (probing: Probing) => T): T | number {
  const params = encodeParams({
    entries: 4,
    flags,
    cqEntries: 0,
    sqThreadCpu: 0,
    sqThreadIdleMs: 0,
    wqFd: 0,
    mayDropSqarray: false,
  })
  const fd = driver.setup(4, params)
  if (fd < 0) return fd
  try {
    return use({ driver, fd, features: decodeParams(params).features })
  } finally {
    closeFd(driver, fd)
  }
}

/** Asks QUERY_OPCODES, which needs no ring. @kernel 6.18 */
function query(driver: Driver): DataView | undefined {
  const header = new Int32Array(10)
  const data = new Int32Array(12)
  writeU64(header, 2, driver.addressOf(data))
  header[4] = abi.IO_URING_QUERY_OPCODES
  header[5] = data.byteLength
  const result = driver.register(-1, abi.IORING_REGISTER_QUERY, driver.addressOf(header), 0)
  return result < 0 || header[6]! < 0 ? undefined : new DataView(data.buffer)
}

/** Asks which opcodes the kernel has. */
function askOpcodes({ driver, fd }: Probing): (opcode: number) => boolean {
  const bytes = new Uint8Array(16 + 256 * 8)
  const result = driver.register(fd, abi.IORING_REGISTER_PROBE, driver.addressOf(bytes), 256)
  const count = result < 0 ? 0 : bytes[1]!
  return (opcode) => opcode < count && (bytes[16 + opcode * 8 + 2]! & abi.IO_URING_OP_SUPPORTED) !== 0
}

function probeOpcodes(probing: Probing): Record<string, boolean> {
  const isKnown = askOpcodes(probing)
  return Object.fromEntries(names('IORING_OP_').map(([name, opcode]) => [name, isKnown(opcode)]))
}

function tryRegisterOp({ driver, fd }: Probing, name: string, opcode: number): boolean {
  const short = name.replace('IORING_REGISTER_', '')
  if (name === 'IORING_UNREGISTER_PERSONALITY')
    return tryRegisterOp({ driver, fd, features: 0 }, 'IORING_REGISTER_PERSONALITY', 9)
  const bare = TRIAL_WITHOUT_ARGUMENT.test(name)
  const ringFd = short === 'SEND_MSG_RING' || short === 'QUERY' ? -1 : fd
  return (
    driver.register(ringFd, opcode, bare ? 0 : BAD_ADDRESS, bare ? 0 : (TRIAL_COUNTS[short] ?? 1)) !== -EINVAL
  )
}

/** Tries every register operation with an argument that does nothing. */
export function tryRegisterOps(driver: Driver): Record<string, boolean> {
  const { IORING_SETUP_SINGLE_ISSUER, IORING_SETUP_DEFER_TASKRUN, IORING_SETUP_CQE32 } = abi
  const flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQE32
  const tryAll = (probing: Probing) =>
    Object.fromEntries(REGISTER_OPS.map(([name, opcode]) => [name, tryRegisterOp(probing, name, opcode)]))
  // RESIZE_RINGS and ZCRX_IFQ want such a ring before they look further.
  let result = withProbingRing(driver, flags, tryAll)
  if (typeof result === 'number') result = withProbingRing(driver, 0, tryAll)
  return typeof result === 'number' ? {} : result
}

/** What the runtime needs besides DEFER_TASKRUN; 6.1 has it all. */
const RUNTIME_NEEDS = {
  features: {
    IORING_FEAT_SINGLE_MMAP: abi.IORING_FEAT_SINGLE_MMAP,
    IORING_FEAT_NODROP: abi.IORING_FEAT_NODROP,
    IORING_FEAT_SUBMIT_STABLE: abi.IORING_FEAT_SUBMIT_STABLE,
    IORING_FEAT_FAST_POLL: abi.IORING_FEAT_FAST_POLL,
    IORING_FEAT_EXT_ARG: abi.IORING_FEAT_EXT_ARG,
  },
  registerOps: {
    IORING_REGISTER_EVENTFD: abi.IORING_REGISTER_EVENTFD,
    IORING_REGISTER_PROBE: abi.IORING_REGISTER_PROBE,
    IORING_REGISTER_PBUF_RING: abi.IORING_REGISTER_PBUF_RING,
    IORING_REGISTER_SYNC_CANCEL: abi.IORING_REGISTER_SYNC_CANCEL,
  },
  opcodes: {
    IORING_OP_POLL_ADD: abi.IORING_OP_POLL_ADD,
    IORING_OP_ASYNC_CANCEL: abi.IORING_OP_ASYNC_CANCEL,
    IORING_OP_SOCKET: abi.IORING_OP_SOCKET,
  },
}

/** Asked whenever the package is loaded, so it looks at these names alone and not for all (see `names`). */
function missingForRuntime(driver: Driver): string[] {
  const lacking = (needs: Record<string, number>, has: (name: string, value: number) => boolean): string[] =>
    Object.entries(needs)
      .filter(([name, value]) => !has(name, value))
      .map(([name]) => name)
  const flags = abi.IORING_SETUP_SINGLE_ISSUER | abi.IORING_SETUP_DEFER_TASKRUN | abi.IORING_SETUP_SUBMIT_ALL
  const { features, registerOps, opcodes } = RUNTIME_NEEDS
  const missing = withProbingRing(driver, flags, (probing) => {
    const isKnown = askOpcodes(probing)
    return [
      ...lacking(features, (_, bit) => (probing.features & bit) !== 0),
      ...lacking(registerOps, (name, opcode) => tryRegisterOp(probing, name, opcode)),
      ...lacking(opcodes, (_, opcode) => isKnown(opcode)),
    ]
  })
  if (typeof missing !== 'number') return missing
  return missing === -EINVAL ? ['IORING_SETUP_DEFER_TASKRUN'] : []
}

let report: ProbeReport | undefined

/**
 * Finds out what the kernel can do: asks, and tries each setup flag once (about two milliseconds, then remembered).
 * @throws ERR_RING_UNAVAILABLE no ring can be made here
 */
export function probe(driver: Driver = openDriver()): ProbeReport {
  const isDefault = driver.name === 'napi'
  if (isDefault && report !== undefined) return report
  const obstacle = findObstacle(driver)
  if (obstacle !== undefined) throw unavailableError(obstacle)
  const answer = query(driver)
  const setup = SETUP_FLAGS.map(({ name, bit }) => [name, trySetupFlag(driver, bit) >= 0])
  const basics = withProbingRing(driver, 0, (probing) => ({
    opcodes: probeOpcodes(probing),
    features: probing.features,
  }))
  if (typeof basics === 'number') throw unavailableError(explainObstacle('io_uring_setup', basics))
  const registerOps =
    answer === undefined
      ? tryRegisterOps(driver)
      : Object.fromEntries(REGISTER_OPS.map(([name, opcode]) => [name, opcode < answer.getUint32(4, true)]))
  const features = Object.fromEntries(
    names('IORING_FEAT_').map(([name, bit]) => [name, (basics.features & bit) !== 0]),
  )
  const found: ProbeReport = {
    kernel: release(),
    arch: process.arch,
    opcodes: basics.opcodes,
    registerOps,
    setupFlags: Object.fromEntries(setup),
    enterFlags: enterFlags(answer, features, registerOps),
    sqeFlags: Object.fromEntries(
      names('IOSQE_').map(([name, bit]) => [
        name,
        answer
          ? (answer.getUint32(32, true) & bit) !== 0
          : bit !== abi.IOSQE_CQE_SKIP_SUCCESS || features.IORING_FEAT_CQE_SKIP === true,
      ]),
    ),
    features,
    limits: readSystemFacts(driver),
    source: answer === undefined ? 'tried' : 'query',
    missing: missingForRuntime(driver),
  }
  if (isDefault) report = found
  return found
}

/** Before 6.18 nobody tells the enter flags, but each came together with something that is told. */
function enterFlags(
  answer: DataView | undefined,
  features: Record<string, boolean>,
  registerOps: Record<string, boolean>,
): Record<string, boolean> {
  const companions: Record<string, boolean | undefined> = {
    IORING_ENTER_SQ_WAIT: features.IORING_FEAT_SQPOLL_NONFIXED,
    IORING_ENTER_EXT_ARG: features.IORING_FEAT_EXT_ARG,
    IORING_ENTER_REGISTERED_RING: registerOps.IORING_REGISTER_RING_FDS,
    IORING_ENTER_ABS_TIMER: registerOps.IORING_REGISTER_CLOCK,
    IORING_ENTER_EXT_ARG_REG: registerOps.IORING_REGISTER_MEM_REGION,
    IORING_ENTER_NO_IOWAIT: features.IORING_FEAT_NO_IOWAIT,
  }
  return Object.fromEntries(
    names('IORING_ENTER_').map(([name, bit]) => [
      name,
      answer === undefined ? companions[name] !== false : (answer.getUint32(24, true) & bit) !== 0,
    ]),
  )
}

/** The first thing that keeps us from making, entering or registering with a ring. */
function findObstacle(driver: Driver): Obstacle | undefined {
  const disabled = driver.name === 'napi' ? disabledByEnvironment() : undefined
  if (disabled !== undefined) return disabled
  const facts = (): SystemFacts => readSystemFacts(driver)
  const result = withProbingRing(driver, 0, ({ fd }) => {
    // A filter may let setup through and refuse the other two.
    const entered = driver.enter(fd, 0, 0, abi.IORING_ENTER_GETEVENTS, 0, 0)
    if (entered < 0) return explainObstacle('io_uring_enter', entered, facts())
    const bytes = new Uint8Array(16 + 256 * 8)
    const probed = driver.register(fd, abi.IORING_REGISTER_PROBE, driver.addressOf(bytes), 256)
    // Before 5.6 there is no PROBE: that is no obstacle to a ring.
    return probed < 0 && probed !== -EINVAL
      ? explainObstacle('io_uring_register', probed, facts())
      : undefined
  })
  return typeof result === 'number' ? explainObstacle('io_uring_setup', result, facts()) : result
}

const known = new Map<string, Availability>()

/**
 * Says whether ringcore works here, and if not, why and what to do. Never throws; the answer is remembered.
 * @param what 'runtime' (Uring, and fs and net upon it) needs what kernel 6.1 has; 'ring' (Ring) needs io_uring itself
 */
export function available(what: 'runtime' | 'ring' = 'runtime'): Availability {
  let answer = known.get(what)
  if (answer === undefined) {
    answer = findAvailability(what)
    known.set(what, answer)
  }
  return answer
}

function findAvailability(what: 'runtime' | 'ring'): Availability {
  const disabled = disabledByEnvironment()
  if (disabled !== undefined) return { available: false, ...disabled }
  let driver: Driver
  try {
    driver = openDriver()
  } catch (error) {
    return explainDriver(error)
  }
  const obstacle = findObstacle(driver)
  if (obstacle !== undefined) return { available: false, ...obstacle }
  const missing = what === 'runtime' ? missingForRuntime(driver) : []
  if (missing.length === 0) return { available: true }
  return {
    available: false,
    code: 'MISSING',
    reason: `this kernel lacks ${missing.join(', ')}`,
    cure: 'run Linux 6.1 or newer; `Ring` of ringcore/ring works here',
    missing,
  }
}

function explainDriver(error: unknown): Availability {
  const { code = 'ERR_RING_UNAVAILABLE', message = String(error) } = error as NodeJS.ErrnoException
  const [reason, cure] = message.split('; ')
  return {
    available: false,
    code,
    reason: reason!,
    cure: cure ?? 'use ringcore on Linux, on x64 or arm64; elsewhere its fs and net use Node',
  }
}
