// Why a ring can't be made here, and what to do about it: errno and /proc → a sentence.
// Flow: ring-setup.ts, probe.ts → this.
// man io_uring_setup(2) ERRORS; sysctl kernel.io_uring_disabled; man seccomp(2), getrlimit(2)

import { readFileSync } from 'node:fs'
import * as abi from '../sys/abi.ts'
import type { Driver } from '../sys/driver.ts'
import { EINVAL, errnoName } from '../sys/errno.ts'
import { type CodedError, errnoError, ringUnavailableError } from '../sys/error.ts'
import { readU64 } from '../sys/memory.ts'
import { closeFd, syscallNumber } from '../sys/syscalls.ts'
import { encodeParams, PARAMS, SETUP_FLAGS } from './params.ts'

/** What stands in the way of a ring. */
export interface Obstacle {
  /** An errno's name, `RINGCORE_DISABLE`, or `ERR_*` of the driver. */
  code: string
  /** The cause, as a sentence. */
  reason: string
  /** What to do, as a command where there is one. */
  cure: string
}

export type RingSyscall = 'io_uring_setup' | 'io_uring_enter' | 'io_uring_register'

function readProc(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

/** The system's settings that decide about io_uring; null where this kernel does not tell. */
export interface SystemFacts {
  /** sysctl kernel.io_uring_disabled: 0 for all, 1 for the group, 2 for nobody. Since kernel 6.6. */
  ioUringDisabled: number | null
  /** sysctl kernel.io_uring_group: the group that 1 allows; -1 is none. */
  ioUringGroup: number | null
  /** 0 off, 1 strict, 2 a filter. */
  seccomp: number | null
  /** Soft RLIMIT_MEMLOCK in bytes, or 'unlimited'. */
  memlock: number | 'unlimited' | null
  /** Soft RLIMIT_NOFILE. */
  nofile: number | 'unlimited' | null
}

const RLIMIT_NOFILE = 7
const RLIMIT_MEMLOCK = 8

/** A soft limit; asked by system call, since /proc can't be read when no file can be opened. */
function limitOf(driver: Driver | undefined, resource: number, name: string): number | 'unlimited' | null {
  if (driver === undefined) {
    const value = readProc('/proc/self/limits')?.match(new RegExp(`^${name}\\s+(\\S+)`, 'm'))?.[1]
    if (value === undefined) return null
    return value === 'unlimited' ? value : Number(value)
  }
  const limits = new Int32Array(4)
  const result = driver.syscall(syscallNumber('prlimit64'), 0, resource, 0, driver.addressOf(limits))
  if (result < 0) return null
  return limits[0] === -1 && limits[1] === -1 ? 'unlimited' : readU64(limits, 0)
}

/** Reads what /proc and the limits say; fresh on each call. Works without a driver too. */
export function readSystemFacts(driver?: Driver): SystemFacts {
  const number = (text: string | undefined): number | null => (text === undefined ? null : Number(text))
  return {
    ioUringDisabled: number(readProc('/proc/sys/kernel/io_uring_disabled')),
    ioUringGroup: number(readProc('/proc/sys/kernel/io_uring_group')),
    seccomp: number(readProc('/proc/self/status')?.match(/^Seccomp:\s+(\d+)/m)?.[1]),
    memlock: limitOf(driver, RLIMIT_MEMLOCK, 'Max locked memory'),
    nofile: limitOf(driver, RLIMIT_NOFILE, 'Max open files'),
  }
}

const SECCOMP_CURE =
  'allow io_uring_setup, io_uring_enter and io_uring_register in the filter ' +
  '(Docker: --security-opt seccomp=<profile that allows them>; systemd: SystemCallFilter=@io-event)'

function explainMissing(call: RingSyscall, facts: SystemFacts): Omit<Obstacle, 'code'> {
  if (facts.seccomp === 2) {
    const certain = facts.ioUringDisabled !== null || call !== 'io_uring_setup'
    return {
      reason: certain
        ? `a seccomp filter hides ${call}, as containers and sandboxes do`
        : `a seccomp filter hides ${call}, or the kernel is built without CONFIG_IO_URING`,
      cure: SECCOMP_CURE,
    }
  }
  return {
    reason: `this kernel has no ${call}: it is older than 5.1, built without CONFIG_IO_URING, or emulated (gVisor, WSL 1)`,
    cure: 'run a Linux kernel with io_uring',
  }
}

function explainForbidden(call: RingSyscall, facts: SystemFacts): Omit<Obstacle, 'code'> {
  if (call === 'io_uring_setup' && facts.ioUringDisabled === 2) {
    return {
      reason: 'kernel.io_uring_disabled is 2: io_uring is switched off for everyone',
      cure: 'as root: sysctl -w kernel.io_uring_disabled=0',
    }
  }
  if (call === 'io_uring_setup' && facts.ioUringDisabled === 1 && facts.seccomp !== 2) {
    const group = facts.ioUringGroup ?? -1
    const whose = group < 0 ? 'kernel.io_uring_group is not set' : `kernel.io_uring_group is ${group}`
    return {
      reason: `kernel.io_uring_disabled is 1: only one group and CAP_SYS_ADMIN may use io_uring, and ${whose}`,
      cure: 'as root: sysctl -w kernel.io_uring_disabled=0, or set kernel.io_uring_group to a group of this user',
    }
  }
  if (facts.seccomp === 2) {
    return {
      reason: `a seccomp filter forbids ${call}, as Docker and containerd do by default`,
      cure: SECCOMP_CURE,
    }
  }
  return {
    reason: `a security module (SELinux, AppArmor) or a missing capability forbids ${call}`,
    cure: 'look for the denial in the audit log, and allow it',
  }
}

/** Names cause and cure of a failure of one of the three system calls. */
export function explainObstacle(call: RingSyscall, errno: number, facts = readSystemFacts()): Obstacle {
  const code = errnoName(errno)
  switch (code) {
    case 'ENOSYS':
      return { code, ...explainMissing(call, facts) }
    case 'EPERM':
    case 'EACCES':
      return { code, ...explainForbidden(call, facts) }
    case 'ENOMEM':
      return {
        code,
        reason: `the ring's memory does not fit in RLIMIT_MEMLOCK (${facts.memlock ?? 'unknown'} bytes for all rings of this user), or memory is short`,
        cure: 'raise it with `ulimit -l`, LimitMEMLOCK= (systemd) or --ulimit memlock= (Docker), or ask for fewer entries',
      }
    case 'EMFILE':
      return {
        code,
        reason: `the process has as many open files as RLIMIT_NOFILE allows (${facts.nofile ?? 'unknown'})`,
        cure: 'raise it with `ulimit -n`, or close files',
      }
    case 'ENFILE':
      return {
        code,
        reason: 'the system has as many open files as fs.file-max allows',
        cure: 'as root: raise sysctl fs.file-max',
      }
    default:
      return { code, reason: `${call} failed with ${code}`, cure: 'see man io_uring_setup(2)' }
  }
}

/** Makes the error that `new Ring` throws for an obstacle. */
export function unavailableError(obstacle: Obstacle, cause?: Error): CodedError {
  return ringUnavailableError(
    `Cannot create a ring: ${obstacle.reason} (${obstacle.code})`,
    obstacle.cure,
    cause,
  )
}

/** Makes the error of a failed system call, with its obstacle. */
export function obstacleError(driver: Driver, call: RingSyscall, result: number): CodedError {
  const obstacle = explainObstacle(call, result, readSystemFacts(driver))
  return unavailableError(obstacle, errnoError(result, call))
}

/** The switch for users who want no ring: RINGCORE_DISABLE=1 in the environment. */
export function disabledByEnvironment(): Obstacle | undefined {
  const value = process.env.RINGCORE_DISABLE
  if (value === undefined || value === '' || value === '0') return undefined
  return {
    code: 'RINGCORE_DISABLE',
    reason: `the environment variable RINGCORE_DISABLE is ${value}`,
    cure: 'unset RINGCORE_DISABLE',
  }
}

/** Flags that the kernel takes only together with others. */
const COMPANIONS: Record<number, number> = {
  [abi.IORING_SETUP_SQ_AFF]: abi.IORING_SETUP_SQPOLL,
  [abi.IORING_SETUP_TASKRUN_FLAG]: abi.IORING_SETUP_COOP_TASKRUN,
  [abi.IORING_SETUP_DEFER_TASKRUN]: abi.IORING_SETUP_SINGLE_ISSUER,
  [abi.IORING_SETUP_HYBRID_IOPOLL]: abi.IORING_SETUP_IOPOLL,
  [abi.IORING_SETUP_SQ_REWIND]: abi.IORING_SETUP_NO_SQARRAY,
}

/**
 * Makes and drops a ring to see whether the kernel knows one setup flag.
 * @returns ≥ 0 if it does, else -errno; -EINVAL when it does not
 */
export function trySetupFlag(driver: Driver, flag: number): number {
  const { IORING_SETUP_NO_MMAP, IORING_SETUP_REGISTERED_FD_ONLY, IORING_SETUP_ATTACH_WQ } = abi
  // REGISTERED_FD_ONLY came with NO_MMAP, and trying it would use up one of the thread's 16 ring indices.
  const bit = flag === IORING_SETUP_REGISTERED_FD_ONLY ? IORING_SETUP_NO_MMAP : flag
  const request = {
    entries: 4,
    flags: bit | (COMPANIONS[bit] ?? 0),
    cqEntries: bit === abi.IORING_SETUP_CQSIZE ? 8 : 0,
    sqThreadCpu: 0,
    sqThreadIdleMs: 0,
    wqFd: 0,
    mayDropSqarray: false,
  }
  const params = encodeParams(request)
  const words = new Int32Array(params.buffer)
  let memory: ArrayBuffer | number = 0
  let other = -1
  if (bit === IORING_SETUP_NO_MMAP) {
    memory = driver.map(-1, 16384, 0)
    if (typeof memory === 'number') return memory
    const address = driver.addressOf(new Uint8Array(memory))
    const wide = new BigUint64Array(params.buffer)
    wide[PARAMS.CQ_USER_ADDR / 2] = BigInt(address)
    wide[PARAMS.SQ_USER_ADDR / 2] = BigInt(address + 8192)
  }
  if (bit === IORING_SETUP_ATTACH_WQ) {
    other = driver.setup(4, encodeParams({ ...request, flags: 0 }))
    if (other < 0) return other
    words[PARAMS.WQ_FD] = other
  }
  const fd = driver.setup(request.entries, params)
  if (fd >= 0) closeFd(driver, fd)
  if (other >= 0) closeFd(driver, other)
  return fd
}

/** The flags among `flags` that this kernel does not know. */
export function unknownSetupFlags(driver: Driver, flags: number): { name: string; since: string }[] {
  return SETUP_FLAGS.filter((flag) => flags & flag.bit && trySetupFlag(driver, flag.bit) === -EINVAL)
}
