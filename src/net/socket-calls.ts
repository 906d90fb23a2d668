// The socket calls that never wait, made directly: a ring would only add a trip, and BIND and LISTEN came with Linux 6.11.
// Flow: tcp-listener.ts, tcp-stream.ts → this → driver.syscall. man socket(7), ip(7), tcp(7)

import {
  AF_INET,
  AF_INET6,
  IPPROTO_IPV6,
  IPPROTO_TCP,
  IPV6_V6ONLY,
  SO_KEEPALIVE,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SOCK_CLOEXEC,
  SOCK_STREAM,
  SOL_SOCKET,
  TCP_NODELAY,
} from '../sys/constants.ts'
import type { Driver } from '../sys/driver.ts'
import { socketError } from '../sys/error.ts'
import { decodeSockaddr, encodeSockaddr, type SocketAddress } from '../sys/sockaddr.ts'
import { syscallNumbers } from '../sys/syscalls.ts'

const nr = syscallNumbers()
const word = new Int32Array(1)
const name = new Uint8Array(128)

export function newSocket(driver: Driver, family: 'ipv4' | 'ipv6'): number {
  const fd = driver.syscall(nr.socket, family === 'ipv6' ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)
  if (fd < 0) throw socketError(fd, 'socket')
  return fd
}

function setOption(driver: Driver, fd: number, level: number, option: number, value: number): void {
  word[0] = value
  const res = driver.syscall(nr.setsockopt, fd, level, option, driver.addressOf(word), 4)
  if (res < 0) throw socketError(res, 'setsockopt')
}

export function setNoDelay(driver: Driver, fd: number, on: boolean): void {
  setOption(driver, fd, IPPROTO_TCP, TCP_NODELAY, on ? 1 : 0)
}

export function setKeepAlive(driver: Driver, fd: number, on: boolean): void {
  setOption(driver, fd, SOL_SOCKET, SO_KEEPALIVE, on ? 1 : 0)
}

export interface ListenOptions {
  /** Connections that may wait to be accepted; default 511, as Node's. The kernel's limit is net.core.somaxconn. */
  backlog?: number | undefined
  /** Lets several sockets listen on one port; the kernel spreads the connections. */
  reusePort?: boolean | undefined
  /** IPv6 sockets refuse IPv4 connections. */
  ipv6Only?: boolean | undefined
}

/** Makes a socket that listens on `address`. */
export function listenOn(
  driver: Driver,
  address: SocketAddress & { port: number; address: string },
  options: ListenOptions,
): number {
  const fd = newSocket(driver, address.family === 'ipv6' ? 'ipv6' : 'ipv4')
  try {
    setOption(driver, fd, SOL_SOCKET, SO_REUSEADDR, 1)
    if (options.reusePort === true) setOption(driver, fd, SOL_SOCKET, SO_REUSEPORT, 1)
    if (address.family === 'ipv6')
      setOption(driver, fd, IPPROTO_IPV6, IPV6_V6ONLY, options.ipv6Only === true ? 1 : 0)
    const bytes = encodeSockaddr(address)
    const bound = driver.syscall(nr.bind, fd, driver.addressOf(bytes), bytes.length)
    if (bound < 0) throw socketError(bound, 'listen', { address: address.address, port: address.port })
    const listening = driver.syscall(nr.listen, fd, options.backlog ?? 511)
    if (listening < 0)
      throw socketError(listening, 'listen', { address: address.address, port: address.port })
    return fd
  } catch (error) {
    driver.syscall(nr.close, fd)
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
