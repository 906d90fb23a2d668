// What node:net asks of a socket besides data, as system calls that never wait.
// Flow: handle.ts, listening.ts, connecting.ts → this → driver.syscall. man socket(7), ip(7), tcp(7), unix(7)

import * as c from '../../sys/constants.ts'
import type { Driver } from '../../sys/driver.ts'
import { encodeSockaddr, type SocketAddress } from '../../sys/sockaddr.ts'
import { syscallNumbers } from '../../sys/syscalls.ts'

const nr = syscallNumbers()
const words = new Int32Array(2)

/** An address as node:net tells it. */
export interface NodeAddress {
  address?: string
  family?: string
  port?: number
}

/** What kind of stream a descriptor is; node:net calls Unix sockets and FIFOs pipes. */
export type StreamKind = 'tcp' | 'unix' | 'fifo'

/** Sets an option of one word. @returns 0 or -errno */
export function setOption(driver: Driver, fd: number, level: number, option: number, value: number): number {
  words[0] = value
  return driver.syscall(nr.setsockopt, fd, level, option, driver.addressOf(words), 4)
}

/** Reads an option of one word. @returns it, or -errno */
export function getOption(driver: Driver, fd: number, level: number, option: number): number {
  words[0] = 0
  words[1] = 4
  const address = driver.addressOf(words)
  const res = driver.syscall(nr.getsockopt, fd, level, option, address, address + 4)
  return res < 0 ? res : words[0]!
}

/** Has a close reset the connection instead of ending it. */
export function lingerNot(driver: Driver, fd: number): number {
  words[0] = 1
  words[1] = 0
  return driver.syscall(nr.setsockopt, fd, c.SOL_SOCKET, c.SO_LINGER, driver.addressOf(words), 8)
}

/** Has the kernel ask a silent peer; times in seconds, 0 leaves one as it is. */
export function setKeepAlive(
  driver: Driver,
  fd: number,
  on: boolean,
  delay: number,
  interval?: number,
  count?: number,
): number {
  const res = setOption(driver, fd, c.SOL_SOCKET, c.SO_KEEPALIVE, on ? 1 : 0)
  if (res < 0 || !on || delay < 1) return res
  setOption(driver, fd, c.IPPROTO_TCP, c.TCP_KEEPIDLE, delay)
  // Node's own values, where the caller gives none.
  setOption(driver, fd, c.IPPROTO_TCP, c.TCP_KEEPINTVL, interval ?? 1)
  return setOption(driver, fd, c.IPPROTO_TCP, c.TCP_KEEPCNT, count ?? 10)
}

function isIpv6(driver: Driver, fd: number): boolean {
  return getOption(driver, fd, c.SOL_SOCKET, c.SO_DOMAIN) === c.AF_INET6
}

export function setTypeOfService(driver: Driver, fd: number, tos: number): number {
  if (isIpv6(driver, fd)) return setOption(driver, fd, c.IPPROTO_IPV6, c.IPV6_TCLASS, tos)
  return setOption(driver, fd, c.IPPROTO_IP, c.IP_TOS, tos)
}

export function getTypeOfService(driver: Driver, fd: number): number {
  if (isIpv6(driver, fd)) return getOption(driver, fd, c.IPPROTO_IPV6, c.IPV6_TCLASS)
  return getOption(driver, fd, c.IPPROTO_IP, c.IP_TOS)
}

export function shutdownWrite(driver: Driver, fd: number): number {
  return driver.syscall(nr.shutdown, fd, c.SHUT_WR)
}

/** Makes a stream socket. @returns its descriptor or -errno */
export function makeSocket(driver: Driver, family: 4 | 6 | 'unix'): number {
  const domain = family === 'unix' ? c.AF_UNIX : family === 6 ? c.AF_INET6 : c.AF_INET
  return driver.syscall(nr.socket, domain, c.SOCK_STREAM | c.SOCK_CLOEXEC, 0)
}

/** Gives a socket its own address. @returns 0 or -errno */
export function bind(driver: Driver, fd: number, address: SocketAddress): number {
  const bytes = encodeSockaddr(address)
  return driver.syscall(nr.bind, fd, driver.addressOf(bytes), bytes.length)
}

export function listen(driver: Driver, fd: number, backlog: number): number {
  return driver.syscall(nr.listen, fd, backlog)
}

/** Another descriptor for the same open socket. @returns it or -errno */
export function duplicate(driver: Driver, fd: number): number {
  return driver.syscall(nr.fcntl, fd, c.F_DUPFD_CLOEXEC, 0)
}

/** An address as node:net tells it: Unix sockets have none there. */
export function toNodeAddress(address: SocketAddress | undefined): NodeAddress {
  if (address === undefined || 'path' in address) return {}
  const family = address.family === 'ipv6' ? 'IPv6' : 'IPv4'
  return { address: address.address, family, port: address.port }
}
