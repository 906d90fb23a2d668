// The socket calls that never wait, made directly: a ring would only add a trip, and BIND and LISTEN came with Linux 6.11.
// Flow: listeners, streams, udp-socket.ts → this → driver.syscall. man socket(7), ip(7), tcp(7), unix(7)

import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  IPPROTO_IPV6,
  IPPROTO_TCP,
  IPV6_V6ONLY,
  SO_KEEPALIVE,
  SO_LINGER,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SOCK_CLOEXEC,
  SOCK_STREAM,
  SOL_SOCKET,
  TCP_KEEPIDLE,
  TCP_NODELAY,
} from '../sys/constants.ts'
import type { Driver } from '../sys/driver.ts'
import { socketError } from '../sys/error.ts'
import { decodeSockaddr, encodeSockaddr, type SocketAddress } from '../sys/sockaddr.ts'
import { closeFd, syscallNumbers } from '../sys/syscalls.ts'

const nr = syscallNumbers()
const word = new Int32Array(1)
const length = new Int32Array(1)
const name = new Uint8Array(128)

export type Family = 'ipv4' | 'ipv6' | 'unix'
const FAMILIES = { ipv4: AF_INET, ipv6: AF_INET6, unix: AF_UNIX } as const

/** Makes a socket; a stream unless `type` says otherwise. */
export function newSocket(driver: Driver, family: Family, type = SOCK_STREAM): number {
  const fd = driver.syscall(nr.socket, FAMILIES[family], type | SOCK_CLOEXEC, 0)
  if (fd < 0) throw socketError(fd, 'socket')
  return fd
}

/** Sets an option whose value is an integer. */
export function setOption(driver: Driver, fd: number, level: number, option: number, value: number): void {
  word[0] = value
  const res = driver.syscall(nr.setsockopt, fd, level, option, driver.addressOf(word), 4)
  if (res < 0) throw socketError(res, 'setsockopt')
}

/** Sets an option whose value is a struct. */
export function setOptionBytes(
  driver: Driver,
  fd: number,
  level: number,
  option: number,
  value: Uint8Array,
): void {
  const res = driver.syscall(nr.setsockopt, fd, level, option, driver.addressOf(value), value.length)
  if (res < 0) throw socketError(res, 'setsockopt')
}

/** Asks for an option whose value is an integer. */
export function getOption(driver: Driver, fd: number, level: number, option: number): number {
  word[0] = 0
  length[0] = 4
  const res = driver.syscall(
    nr.getsockopt,
    fd,
    level,
    option,
    driver.addressOf(word),
    driver.addressOf(length),
  )
  if (res < 0) throw socketError(res, 'getsockopt')
  return word[0]
}

/** Asks for an option whose value is a struct of `words` 32-bit words. */
export function getOptionWords(
  driver: Driver,
  fd: number,
  level: number,
  option: number,
  words: number,
): Int32Array {
  const value = new Int32Array(words)
  length[0] = value.byteLength
  const res = driver.syscall(
    nr.getsockopt,
    fd,
    level,
    option,
    driver.addressOf(value),
    driver.addressOf(length),
  )
  if (res < 0) throw socketError(res, 'getsockopt')
  return value
}

export function setNoDelay(driver: Driver, fd: number, on: boolean): void {
  setOption(driver, fd, IPPROTO_TCP, TCP_NODELAY, on ? 1 : 0)
}

/** @param initialDelayMs how long the peer may be silent first; rounded down to seconds, 0 leaves it to the system */
export function setKeepAlive(driver: Driver, fd: number, on: boolean, initialDelayMs = 0): void {
  setOption(driver, fd, SOL_SOCKET, SO_KEEPALIVE, on ? 1 : 0)
  const seconds = Math.floor(initialDelayMs / 1000)
  if (on && seconds > 0) setOption(driver, fd, IPPROTO_TCP, TCP_KEEPIDLE, seconds)
}

/** Makes the close of a socket a reset: nothing is sent any more, and the peer gets ECONNRESET. */
export function setResetOnClose(driver: Driver, fd: number): void {
  setOptionBytes(driver, fd, SOL_SOCKET, SO_LINGER, new Uint8Array(new Int32Array([1, 0]).buffer))
}

/** Room for many connections at once: one that finds none tries again after a second. The kernel's limit is net.core.somaxconn. */
const BACKLOG = 4096

export interface ListenOptions {
  /** Connections that may wait to be accepted; default 4096, limited by the kernel's net.core.somaxconn. */
  backlog?: number | undefined
  /** Lets several sockets listen on one port; the kernel spreads the connections. */
  reusePort?: boolean | undefined
  /** IPv6 sockets refuse IPv4 connections. */
  ipv6Only?: boolean | undefined
}

/** Gives a socket its own address. */
export function bindTo(driver: Driver, fd: number, address: SocketAddress, syscall: string): void {
  const bytes = encodeSockaddr(address)
  const res = driver.syscall(nr.bind, fd, driver.addressOf(bytes), bytes.length)
  if (res < 0) throw socketError(res, syscall, detailsOf(address))
}

/** What an error tells of an address. */
export function detailsOf(address: SocketAddress): { address: string; port?: number } {
  return 'path' in address ? { address: address.path } : { address: address.address, port: address.port }
}

/** Makes a socket that listens on `address`. */
export function listenOn(driver: Driver, address: SocketAddress, options: ListenOptions): number {
  const family = 'path' in address ? 'unix' : address.family === 'ipv6' ? 'ipv6' : 'ipv4'
  const fd = newSocket(driver, family)
  try {
    if (family !== 'unix') setOption(driver, fd, SOL_SOCKET, SO_REUSEADDR, 1)
    if (options.reusePort === true) setOption(driver, fd, SOL_SOCKET, SO_REUSEPORT, 1)
    if (family === 'ipv6') setOption(driver, fd, IPPROTO_IPV6, IPV6_V6ONLY, options.ipv6Only === true ? 1 : 0)
    bindTo(driver, fd, address, 'listen')
    const listening = driver.syscall(nr.listen, fd, options.backlog ?? BACKLOG)
    if (listening < 0) throw socketError(listening, 'listen', detailsOf(address))
    return fd
  } catch (error) {
    closeFd(driver, fd)
    throw error
  }
}

/** The socket's own address, or its peer's; undefined when it has none (any more). */
export function addressOf(driver: Driver, fd: number, whose: 'own' | 'peer'): SocketAddress | undefined {
  word[0] = name.length
  const call = whose === 'own' ? nr.getsockname : nr.getpeername
  const res = driver.syscall(call, fd, driver.addressOf(name), driver.addressOf(word))
  return res < 0 ? undefined : decodeSockaddr(name.slice(0, word[0]))
}
