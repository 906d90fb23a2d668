// Setup options → the 120 bytes of io_uring_params, and back: which flags may combine, and whether the kernel's answer is sane.
// Flow: ring-setup.ts, probe.ts → this.
// man io_uring_setup(2)

import * as abi from '../sys/abi.ts'
import { argumentTypeError, invalidArgument, rangeError } from '../sys/error.ts'
import { checkBoolean, checkInteger } from '../sys/validate.ts'

/** Options of `io_uring_setup`; each boolean is the setup flag of that name. */
export interface SetupOptions {
  /** SQ entries, rounded up to a power of two by the kernel; 256 unless given. */
  entries?: number | undefined
  /** Raw IORING_SETUP_* bits, added to those of the named options. */
  flags?: number | undefined
  /** CQ entries (sets IORING_SETUP_CQSIZE); twice the SQ's unless given. */
  cqEntries?: number | undefined
  /** CPU of the SQPOLL thread (sets IORING_SETUP_SQ_AFF). */
  sqThreadCpu?: number | undefined
  /** Idle time in milliseconds after which the SQPOLL thread sleeps; 0 is the kernel's second. */
  sqThreadIdleMs?: number | undefined
  /** Ring whose worker pool and SQPOLL thread are shared (sets IORING_SETUP_ATTACH_WQ). */
  wqFd?: number | undefined
  /** Busy-polls the device for completions: O_DIRECT files on devices that can, few opcodes. @kernel 5.1 */
  iopoll?: boolean | undefined
  /** A kernel thread takes the SQEs: submitting needs no system call while it is awake. @kernel 5.1 */
  sqpoll?: boolean | undefined
  /** Pins the SQPOLL thread to `sqThreadCpu`. @kernel 5.1 */
  sqAff?: boolean | undefined
  /** The CQ's size is `cqEntries`. @kernel 5.5 */
  cqsize?: boolean | undefined
  /** Sizes above the kernel's limits are cut to them instead of refused. @kernel 5.6 */
  clamp?: boolean | undefined
  /** Shares the workers of the ring `wqFd`. @kernel 5.6 */
  attachWq?: boolean | undefined
  /** Starts the ring disabled: register restrictions, then `enableRings()`. @kernel 5.10 */
  rDisabled?: boolean | undefined
  /** A bad SQE does not stop the rest of its batch. @kernel 5.18 */
  submitAll?: boolean | undefined
  /** Completion work waits for the next system call instead of interrupting. @kernel 5.19 */
  coopTaskrun?: boolean | undefined
  /** Shows waiting completion work as IORING_SQ_TASKRUN. @kernel 5.19 */
  taskrunFlag?: boolean | undefined
  /** Every SQE has 128 bytes. @kernel 5.19 */
  sqe128?: boolean | undefined
  /** Every CQE has 32 bytes. @kernel 5.19 */
  cqe32?: boolean | undefined
  /** Only the creating (or enabling) thread may submit. @kernel 6.0 */
  singleIssuer?: boolean | undefined
  /** Completion work runs only inside `enter(GETEVENTS)`. @kernel 6.1 */
  deferTaskrun?: boolean | undefined
  /** Ring and SQEs lie in memory of ours instead of the kernel's. @kernel 6.5 */
  noMmap?: boolean | undefined
  /** That memory: zeroed pages of `mmap(-1, …)`, at least `ringMemoryBytes(options)`. Theirs until the ring is closed. */
  memory?: ArrayBuffer | undefined
  /** That memory is of huge pages: fewer misses of the TLB. `vm.nr_hugepages` must have some. */
  hugePages?: boolean | undefined
  /** The ring has no fd, but one of this thread's 16 indices (needs noMmap): nobody can find it in /proc, or pass it on. @kernel 6.5 */
  registeredFdOnly?: boolean | undefined
  /** No index array. A `Ring` asks for it by itself where the kernel has it; false forbids that. @kernel 6.6 */
  noSqarray?: boolean | undefined
  /** IOPOLL that sleeps for a part of the expected latency. @kernel 6.13 */
  hybridIopoll?: boolean | undefined
  /** 16- and 32-byte CQEs on one ring. @kernel 6.18 */
  cqeMixed?: boolean | undefined
  /** 64- and 128-byte SQEs on one ring, see `getSqe128()`. @kernel 6.19 */
  sqeMixed?: boolean | undefined
  /** Every submit starts at SQE 0, so that few of them stay in the cache; `Ring` only. @kernel 7.0 */
  sqRewind?: boolean | undefined
}

type FlagOption = Exclude<
  keyof SetupOptions,
  'entries' | 'flags' | 'cqEntries' | 'sqThreadCpu' | 'sqThreadIdleMs' | 'wqFd' | 'memory' | 'hugePages'
>

/** The setup flags: option, kernel name, bit, and the kernel that brought it. */
export const SETUP_FLAGS: readonly { option: FlagOption; name: string; bit: number; since: string }[] = [
  { option: 'iopoll', name: 'IORING_SETUP_IOPOLL', bit: abi.IORING_SETUP_IOPOLL, since: '5.1' },
  { option: 'sqpoll', name: 'IORING_SETUP_SQPOLL', bit: abi.IORING_SETUP_SQPOLL, since: '5.1' },
  { option: 'sqAff', name: 'IORING_SETUP_SQ_AFF', bit: abi.IORING_SETUP_SQ_AFF, since: '5.1' },
  { option: 'cqsize', name: 'IORING_SETUP_CQSIZE', bit: abi.IORING_SETUP_CQSIZE, since: '5.5' },
  { option: 'clamp', name: 'IORING_SETUP_CLAMP', bit: abi.IORING_SETUP_CLAMP, since: '5.6' },
  { option: 'attachWq', name: 'IORING_SETUP_ATTACH_WQ', bit: abi.IORING_SETUP_ATTACH_WQ, since: '5.6' },
  { option: 'rDisabled', name: 'IORING_SETUP_R_DISABLED', bit: abi.IORING_SETUP_R_DISABLED, since: '5.10' },
  { option: 'submitAll', name: 'IORING_SETUP_SUBMIT_ALL', bit: abi.IORING_SETUP_SUBMIT_ALL, since: '5.18' },
  {
    option: 'coopTaskrun',
    name: 'IORING_SETUP_COOP_TASKRUN',
    bit: abi.IORING_SETUP_COOP_TASKRUN,
    since: '5.19',
  },
  {
    option: 'taskrunFlag',
    name: 'IORING_SETUP_TASKRUN_FLAG',
    bit: abi.IORING_SETUP_TASKRUN_FLAG,
    since: '5.19',
  },
  { option: 'sqe128', name: 'IORING_SETUP_SQE128', bit: abi.IORING_SETUP_SQE128, since: '5.19' },
  { option: 'cqe32', name: 'IORING_SETUP_CQE32', bit: abi.IORING_SETUP_CQE32, since: '5.19' },
  {
    option: 'singleIssuer',
    name: 'IORING_SETUP_SINGLE_ISSUER',
    bit: abi.IORING_SETUP_SINGLE_ISSUER,
    since: '6.0',
  },
  {
    option: 'deferTaskrun',
    name: 'IORING_SETUP_DEFER_TASKRUN',
    bit: abi.IORING_SETUP_DEFER_TASKRUN,
    since: '6.1',
  },
  { option: 'noMmap', name: 'IORING_SETUP_NO_MMAP', bit: abi.IORING_SETUP_NO_MMAP, since: '6.5' },
  {
    option: 'registeredFdOnly',
    name: 'IORING_SETUP_REGISTERED_FD_ONLY',
    bit: abi.IORING_SETUP_REGISTERED_FD_ONLY,
    since: '6.5',
  },
  { option: 'noSqarray', name: 'IORING_SETUP_NO_SQARRAY', bit: abi.IORING_SETUP_NO_SQARRAY, since: '6.6' },
  {
    option: 'hybridIopoll',
    name: 'IORING_SETUP_HYBRID_IOPOLL',
    bit: abi.IORING_SETUP_HYBRID_IOPOLL,
    since: '6.13',
  },
  { option: 'cqeMixed', name: 'IORING_SETUP_CQE_MIXED', bit: abi.IORING_SETUP_CQE_MIXED, since: '6.18' },
  { option: 'sqeMixed', name: 'IORING_SETUP_SQE_MIXED', bit: abi.IORING_SETUP_SQE_MIXED, since: '6.19' },
  { option: 'sqRewind', name: 'IORING_SETUP_SQ_REWIND', bit: abi.IORING_SETUP_SQ_REWIND, since: '7.0' },
]

const KNOWN_FLAGS = SETUP_FLAGS.reduce((all, flag) => all | flag.bit, 0)

/** "a needs one of b" and "a excludes b"; the kernel says no more than EINVAL to any of them. */
const RULES: readonly {
  flag: FlagOption
  needs?: readonly FlagOption[]
  excludes?: readonly FlagOption[]
  why: string
}[] = [
  {
    flag: 'deferTaskrun',
    needs: ['singleIssuer'],
    why: 'deferred work belongs to one thread',
  },
  { flag: 'taskrunFlag', needs: ['coopTaskrun', 'deferTaskrun'], why: 'it shows the work that these defer' },
  {
    flag: 'sqpoll',
    excludes: ['coopTaskrun', 'taskrunFlag', 'deferTaskrun', 'sqRewind'],
    why: 'its kernel thread runs the completion work',
  },
  { flag: 'sqAff', needs: ['sqpoll'], why: 'it pins the SQPOLL thread' },
  { flag: 'hybridIopoll', needs: ['iopoll'], why: 'it is a way of polling' },
  {
    flag: 'registeredFdOnly',
    needs: ['noMmap'],
    why: 'without an fd the kernel has nothing that could be mapped',
  },
  { flag: 'cqeMixed', excludes: ['cqe32'], why: 'CQEs are either all 32 bytes or mixed' },
  { flag: 'sqeMixed', excludes: ['sqe128'], why: 'SQEs are either all 128 bytes or mixed' },
  { flag: 'sqRewind', needs: ['noSqarray'], why: 'an index array would say where SQEs lie' },
]

const bitOf = (option: FlagOption): number => SETUP_FLAGS.find((flag) => flag.option === option)!.bit

/** Says which of the 21 setup flags are in `flags`, by the kernel's names without their prefix. */
export function setupFlagNames(flags: number): string[] {
  return SETUP_FLAGS.filter((flag) => flags & flag.bit).map((flag) => flag.name.slice('IORING_SETUP_'.length))
}

/** What a ring will ask the kernel for. */
export interface SetupRequest {
  entries: number
  flags: number
  /** 0 leaves the CQ's size to the kernel. */
  cqEntries: number
  sqThreadCpu: number
  sqThreadIdleMs: number
  wqFd: number
  /** Memory for a NO_MMAP ring, if the caller has it. */
  memory: ArrayBuffer | undefined
  hugePages: boolean
  /** True unless the caller decided about NO_SQARRAY: then it is tried first and given up on EINVAL. */
  mayDropSqarray: boolean
}

function checkNumber(name: string, value: unknown, min: number, max: number): number {
  checkInteger(name, value, min, max)
  return value
}

function collectFlags(options: SetupOptions): number {
  let flags = options.flags === undefined ? 0 : checkNumber('flags', options.flags, 0, 0xffffffff)
  const unknown = (flags & ~KNOWN_FLAGS) >>> 0
  if (unknown !== 0) {
    throw invalidArgument(
      `Cannot create a ring: flags has unknown bits 0x${unknown.toString(16)}; known are 0x${KNOWN_FLAGS.toString(16)}`,
    )
  }
  for (const { option, bit } of SETUP_FLAGS) {
    const value = options[option]
    if (value === undefined) continue
    if (typeof value !== 'boolean') throw argumentTypeError(option, 'of type boolean', value)
    if (value) flags |= bit
    else if (flags & bit) {
      throw invalidArgument(
        `Cannot create a ring: ${option} is false, but its bit 0x${bit.toString(16)} is in flags`,
      )
    }
  }
  if (options.cqEntries !== undefined) flags |= abi.IORING_SETUP_CQSIZE
  if (options.sqThreadCpu !== undefined) flags |= abi.IORING_SETUP_SQ_AFF
  if (options.wqFd !== undefined) flags |= abi.IORING_SETUP_ATTACH_WQ
  if (options.memory !== undefined || options.hugePages === true) flags |= abi.IORING_SETUP_NO_MMAP
  return flags
}

function checkRules(flags: number): void {
  for (const { flag, needs, excludes, why } of RULES) {
    if (!(flags & bitOf(flag))) continue
    if (needs && !needs.some((other) => flags & bitOf(other))) {
      throw invalidArgument(
        `Cannot create a ring: ${flag} needs ${needs.join(' or ')}, because ${why}; add ${needs[0]}: true`,
      )
    }
    for (const other of excludes ?? []) {
      if (flags & bitOf(other)) {
        throw invalidArgument(
          `Cannot create a ring: ${flag} and ${other} exclude each other, because ${why}; leave one out`,
        )
      }
    }
  }
}

function checkMemory({ memory, hugePages = false, noMmap }: SetupOptions): ArrayBuffer | undefined {
  checkBoolean('hugePages', hugePages)
  if ((memory !== undefined || hugePages) && noMmap === false)
    throw invalidArgument(
      'Cannot create a ring: memory and hugePages need noMmap, which is false; leave it out',
    )
  if (memory === undefined) return undefined
  if (!(memory instanceof ArrayBuffer))
    throw argumentTypeError('memory', 'an instance of ArrayBuffer', memory)
  if (hugePages)
    throw invalidArgument(
      'Cannot create a ring: memory and hugePages exclude each other; for huge pages of your own use mmap(-1, length, MAP_HUGETLB)',
    )
  return memory
}

/**
 * Checks options and their combinations, before the kernel answers all mistakes with one EINVAL.
 * @throws {TypeError} ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE: options that exclude or need each other, unknown bits
 * @throws {RangeError} ERR_OUT_OF_RANGE
 */
export function checkSetupOptions(options: SetupOptions): SetupRequest {
  const flags = collectFlags(options)
  checkRules(flags)
  const needed = (flag: number, name: string, option: string, value: unknown): void => {
    if (flags & flag && value === undefined) {
      throw invalidArgument(`Cannot create a ring: ${name} needs ${option}; give it, or leave ${name} out`)
    }
  }
  needed(abi.IORING_SETUP_CQSIZE, 'cqsize', 'cqEntries', options.cqEntries)
  needed(abi.IORING_SETUP_SQ_AFF, 'sqAff', 'sqThreadCpu', options.sqThreadCpu)
  needed(abi.IORING_SETUP_ATTACH_WQ, 'attachWq', 'wqFd', options.wqFd)
  if (options.sqThreadIdleMs !== undefined && !(flags & abi.IORING_SETUP_SQPOLL)) {
    throw invalidArgument('Cannot create a ring: sqThreadIdleMs needs sqpoll; add sqpoll: true')
  }
  const clamp = (flags & abi.IORING_SETUP_CLAMP) !== 0
  const entriesMax = clamp ? 0xffffffff : abi.IORING_MAX_ENTRIES
  const cqEntriesMax = clamp ? 0xffffffff : abi.IORING_MAX_CQ_ENTRIES
  const entries = checkNumber('entries', options.entries ?? 256, 1, entriesMax)
  const cqEntries = checkNumber('cqEntries', options.cqEntries ?? 1, 1, cqEntriesMax)
  if (options.cqEntries !== undefined && powerOfTwo(cqEntries) < Math.min(powerOfTwo(entries), 32768)) {
    throw rangeError('cqEntries', `>= entries (${entries})`, cqEntries)
  }
  return {
    entries,
    flags,
    cqEntries: options.cqEntries === undefined ? 0 : cqEntries,
    sqThreadCpu: checkNumber('sqThreadCpu', options.sqThreadCpu ?? 0, 0, 0x7fffffff),
    sqThreadIdleMs: checkNumber('sqThreadIdleMs', options.sqThreadIdleMs ?? 0, 0, 0xffffffff),
    wqFd: checkNumber('wqFd', options.wqFd ?? 0, 0, 0x7fffffff),
    memory: checkMemory(options),
    hugePages: options.hugePages === true,
    mayDropSqarray: options.noSqarray === undefined && !(flags & abi.IORING_SETUP_NO_SQARRAY),
  }
}

/** The next power of two, as the kernel rounds queue sizes. */
export function powerOfTwo(value: number): number {
  let power = 1
  while (power < value) power *= 2
  return power
}

/** Bytes of struct io_uring_params. */
export const PARAMS_BYTES = 120

/** Words of struct io_uring_params; SQ_OFF and CQ_OFF begin the two tables of offsets. */
export const PARAMS = {
  SQ_ENTRIES: 0,
  CQ_ENTRIES: 1,
  FLAGS: 2,
  SQ_THREAD_CPU: 3,
  SQ_THREAD_IDLE: 4,
  FEATURES: 5,
  WQ_FD: 6,
  SQ_OFF: 10,
  SQ_USER_ADDR: 18,
  CQ_OFF: 20,
  CQ_USER_ADDR: 28,
} as const

const PAGE_BYTES = 4096
const pages = (bytes: number): number => Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES

/** Where the two halves of a NO_MMAP ring's memory lie: both queues, generous for their header, then the SQEs. */
export function ownMemoryLayout(request: SetupRequest): { sqesOffset: number; bytes: number } {
  const sqEntries = Math.min(powerOfTwo(request.entries), abi.IORING_MAX_ENTRIES)
  const cqEntries = Math.min(powerOfTwo(request.cqEntries || sqEntries * 2), abi.IORING_MAX_CQ_ENTRIES)
  const cqeBytes = request.flags & abi.IORING_SETUP_CQE32 ? 32 : 16
  const sqeBytes = request.flags & abi.IORING_SETUP_SQE128 ? 128 : 64
  const sqesOffset = pages(1024 + cqEntries * cqeBytes + sqEntries * 4)
  return { sqesOffset, bytes: sqesOffset + pages(sqEntries * sqeBytes) }
}

/** Bytes that `memory` must have for a ring with these options. @man io_uring_queue_init_mem(3) */
export function ringMemoryBytes(options: SetupOptions): number {
  return ownMemoryLayout(checkSetupOptions({ ...options, noMmap: true })).bytes
}

/** Writes the 120 bytes; offsets, features and sizes are the kernel's to fill in. */
export function encodeParams(request: Omit<SetupRequest, 'memory' | 'hugePages'>): Uint8Array {
  const words = new Int32Array(PARAMS_BYTES / 4)
  words[PARAMS.CQ_ENTRIES] = request.cqEntries
  words[PARAMS.FLAGS] = request.flags
  words[PARAMS.SQ_THREAD_CPU] = request.sqThreadCpu
  words[PARAMS.SQ_THREAD_IDLE] = request.sqThreadIdleMs
  words[PARAMS.WQ_FD] = request.wqFd
  return new Uint8Array(words.buffer)
}

/** Where things lie in a ring's mapping, in bytes. */
export interface RingGeometry {
  flags: number
  features: number
  sqEntries: number
  cqEntries: number
  sqHead: number
  sqTail: number
  sqFlags: number
  sqDropped: number
  /** 0 on rings without an index array. */
  sqArray: number
  cqHead: number
  cqTail: number
  cqOverflow: number
  /** 0 when the kernel has no CQ flags word. */
  cqFlags: number
  cqes: number
  cqeBytes: 16 | 32
  sqeBytes: 64 | 128
  /** Bytes of the one mapping that holds both queues. */
  ringBytes: number
  /** Bytes of the SQE array. */
  sqesBytes: number
}

/** Reads what the kernel answered. */
export function decodeParams(params: Uint8Array): RingGeometry {
  const words = new Uint32Array(params.buffer, params.byteOffset, PARAMS_BYTES / 4)
  const sq = (index: number): number => words[PARAMS.SQ_OFF + index]!
  const cq = (index: number): number => words[PARAMS.CQ_OFF + index]!
  const flags = words[PARAMS.FLAGS]!
  const sqEntries = words[PARAMS.SQ_ENTRIES]!
  const cqEntries = words[PARAMS.CQ_ENTRIES]!
  const cqeBytes = flags & abi.IORING_SETUP_CQE32 ? 32 : 16
  const sqeBytes = flags & abi.IORING_SETUP_SQE128 ? 128 : 64
  const sqArray = flags & abi.IORING_SETUP_NO_SQARRAY ? 0 : sq(6)
  const cqes = cq(5)
  return {
    flags,
    features: words[PARAMS.FEATURES]!,
    sqEntries,
    cqEntries,
    sqHead: sq(0),
    sqTail: sq(1),
    sqFlags: sq(4),
    sqDropped: sq(5),
    sqArray,
    cqHead: cq(0),
    cqTail: cq(1),
    cqOverflow: cq(4),
    cqFlags: cq(6),
    cqes,
    cqeBytes,
    sqeBytes,
    ringBytes: Math.max(cqes + cqEntries * cqeBytes, sqArray === 0 ? 0 : sqArray + sqEntries * 4),
    sqesBytes: sqEntries * sqeBytes,
  }
}

/**
 * Names the first thing in the kernel's answer that can't be true, or undefined: a wrong offset would make us write
 * into the wrong words of a shared page, so nothing is taken on trust.
 */
export function findGeometryFault(geometry: RingGeometry, entries: number): string | undefined {
  const { sqEntries, cqEntries, ringBytes } = geometry
  const isPower = (value: number): boolean => value > 0 && (value & (value - 1)) === 0
  if (!isPower(sqEntries) || sqEntries > abi.IORING_MAX_ENTRIES) return `sq_entries ${sqEntries}`
  if (!isPower(cqEntries) || cqEntries > abi.IORING_MAX_CQ_ENTRIES) return `cq_entries ${cqEntries}`
  if (sqEntries < Math.min(entries, abi.IORING_MAX_ENTRIES)) return `sq_entries ${sqEntries} for ${entries}`
  if (cqEntries < sqEntries) return `cq_entries ${cqEntries} below sq_entries ${sqEntries}`
  const words = [
    ['sq_off.head', geometry.sqHead],
    ['sq_off.tail', geometry.sqTail],
    ['sq_off.flags', geometry.sqFlags],
    ['sq_off.dropped', geometry.sqDropped],
    ['cq_off.head', geometry.cqHead],
    ['cq_off.tail', geometry.cqTail],
    ['cq_off.overflow', geometry.cqOverflow],
    ['cq_off.flags', geometry.cqFlags],
    ['cq_off.cqes', geometry.cqes],
    ['sq_off.array', geometry.sqArray],
  ] as const
  for (const [name, offset] of words) {
    if (offset % 4 !== 0 || offset + 4 > ringBytes) return `${name} ${offset} of ${ringBytes} bytes`
  }
  if (geometry.cqes % 16 !== 0 || geometry.cqes === 0) return `cq_off.cqes ${geometry.cqes}`
  const shared = [geometry.sqHead, geometry.sqTail, geometry.sqFlags, geometry.cqHead, geometry.cqTail]
  if (new Set(shared).size !== shared.length) return `equal offsets among ${shared.join(', ')}`
  return undefined
}
