// Numbers of the system calls for the cold paths, by CPU, and a few calls made of them.
// Flow: ring, runtime, fs, net → this → the driver's `syscall`.
// man syscalls(2), syscall(2). Checked against the installed headers by test/10.abi.test.ts.

import type { Driver } from './driver.ts'
import { ringcoreError } from './error.ts'

/** A system call that this table knows. */
export type SyscallName = keyof typeof X64

const X64 = {
  accept4: 288,
  bind: 49,
  close: 3,
  connect: 42,
  dup: 32,
  dup3: 292,
  epoll_create1: 291,
  epoll_ctl: 233,
  eventfd2: 290,
  fcntl: 72,
  futex: 202,
  getpeername: 52,
  getrlimit: 97,
  getsockname: 51,
  getsockopt: 55,
  gettid: 186,
  io_uring_enter: 426,
  io_uring_register: 427,
  io_uring_setup: 425,
  ioctl: 16,
  listen: 50,
  lseek: 8,
  madvise: 28,
  memfd_create: 319,
  mlock: 149,
  munlock: 150,
  openat: 257,
  pidfd_open: 434,
  pipe2: 293,
  prlimit64: 302,
  read: 0,
  recvfrom: 45,
  recvmsg: 47,
  sendmsg: 46,
  sendto: 44,
  setsockopt: 54,
  shutdown: 48,
  socket: 41,
  socketpair: 53,
  statx: 332,
  timerfd_create: 283,
  timerfd_settime: 286,
  unlinkat: 263,
  write: 1,
} as const

const ARM64: Readonly<Record<SyscallName, number>> = {
  accept4: 242,
  bind: 200,
  close: 57,
  connect: 203,
  dup: 23,
  dup3: 24,
  epoll_create1: 20,
  epoll_ctl: 21,
  eventfd2: 19,
  fcntl: 25,
  futex: 98,
  getpeername: 205,
  getrlimit: 163,
  getsockname: 204,
  getsockopt: 209,
  gettid: 178,
  io_uring_enter: 426,
  io_uring_register: 427,
  io_uring_setup: 425,
  ioctl: 29,
  listen: 201,
  lseek: 62,
  madvise: 233,
  memfd_create: 279,
  mlock: 228,
  munlock: 229,
  openat: 56,
  pidfd_open: 434,
  pipe2: 59,
  prlimit64: 261,
  read: 63,
  recvfrom: 207,
  recvmsg: 212,
  sendmsg: 211,
  sendto: 206,
  setsockopt: 208,
  shutdown: 210,
  socket: 198,
  socketpair: 199,
  statx: 291,
  timerfd_create: 85,
  timerfd_settime: 86,
  unlinkat: 35,
  write: 64,
}

/** The tables by `process.arch`. */
export const SYSCALL_TABLES: Readonly<Record<'x64' | 'arm64', Readonly<Record<SyscallName, number>>>> = {
  x64: X64,
  arm64: ARM64,
}

/**
 * The system calls' numbers on this CPU.
 * @throws {Error} ERR_RING_UNAVAILABLE on other CPUs than x64 and arm64
 */
export function syscallNumbers(arch: string = process.arch): Readonly<Record<SyscallName, number>> {
  if (arch === 'x64') return X64
  if (arch === 'arm64') return ARM64
  throw ringcoreError(
    Error,
    'ERR_RING_UNAVAILABLE',
    `Cannot make system calls on ${arch}: their numbers are known for x64 and arm64 only`,
  )
}

/**
 * One system call's number on this CPU.
 * @throws {Error} ERR_RING_UNAVAILABLE on other CPUs than x64 and arm64
 */
export function syscallNumber(name: SyscallName): number {
  return syscallNumbers()[name]
}

/**
 * Closes a descriptor. Never call it twice, not even after EINTR: on Linux the number is free either way.
 * @returns 0 or -errno
 * @man close(2)
 */
export function closeFd(driver: Driver, fd: number): number {
  return driver.syscall(syscallNumber('close'), fd)
}
