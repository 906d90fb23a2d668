// The options of UDP sockets that address groups and interfaces: structs for setsockopt.
// Flow: udp-socket.ts → this → socket-calls.ts. man ip(7), ipv6(7), udp(7)

import {
  IP_ADD_MEMBERSHIP,
  IP_ADD_SOURCE_MEMBERSHIP,
  IP_DROP_MEMBERSHIP,
  IP_DROP_SOURCE_MEMBERSHIP,
  IP_MULTICAST_IF,
  IP_MULTICAST_LOOP,
  IP_MULTICAST_TTL,
  IP_TTL,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_JOIN_GROUP,
  IPV6_LEAVE_GROUP,
  IPV6_MULTICAST_HOPS,
  IPV6_MULTICAST_IF,
  IPV6_MULTICAST_LOOP,
  IPV6_UNICAST_HOPS,
} from '../sys/constants.ts'
import type { Driver } from '../sys/driver.ts'
import { argumentValueError } from '../sys/error.ts'
import { isIP } from '../sys/node-modules.ts'
import { encodeSockaddr } from '../sys/sockaddr.ts'
import { setOption, setOptionBytes } from './socket-calls.ts'

/** A socket as these functions see it. */
export interface OptionTarget {
  driver: Driver
  fd: number
  isIpv6: boolean
}

/** The bytes of an IP address, as in_addr or in6_addr has them. */
function addressBytes(name: string, address: string): Uint8Array {
  const version = isIP(address)
  if (version === 0) throw argumentValueError(name, address, 'must be an IPv4 or IPv6 address')
  const bytes = encodeSockaddr({ address, port: 0 })
  return version === 4 ? bytes.subarray(4, 8) : bytes.subarray(8, 24)
}

/** The index of the interface that '::%eth0' names; 0 leaves the choice to the kernel. */
function interfaceIndex(name: string, address: string | undefined): number {
  if (address === undefined) return 0
  if (isIP(address) !== 6) throw argumentValueError(name, address, "must look like '::%eth0'")
  const bytes = encodeSockaddr({ address, port: 0 })
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(24, true)
}

/** Joins a group, or leaves it. */
export function setMembership(target: OptionTarget, join: boolean, group: string, on?: string): void {
  const { driver, fd } = target
  const bytes = addressBytes('group', group)
  if (bytes.length === 4) {
    const request = new Uint8Array(8)
    request.set(bytes)
    if (on !== undefined) request.set(addressBytes('interface', on), 4)
    setOptionBytes(driver, fd, IPPROTO_IP, join ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP, request)
    return
  }
  const request = new Uint8Array(20)
  request.set(bytes)
  new DataView(request.buffer).setUint32(16, interfaceIndex('interface', on), true)
  setOptionBytes(driver, fd, IPPROTO_IPV6, join ? IPV6_JOIN_GROUP : IPV6_LEAVE_GROUP, request)
}

/** Joins a group for one sender alone, or leaves it (IPv4). */
export function setSourceMembership(
  target: OptionTarget,
  join: boolean,
  source: string,
  group: string,
  on?: string,
): void {
  const request = new Uint8Array(12)
  request.set(addressBytes('group', group).subarray(0, 4))
  if (on !== undefined) request.set(addressBytes('interface', on).subarray(0, 4), 4)
  request.set(addressBytes('source', source).subarray(0, 4), 8)
  const option = join ? IP_ADD_SOURCE_MEMBERSHIP : IP_DROP_SOURCE_MEMBERSHIP
  setOptionBytes(target.driver, target.fd, IPPROTO_IP, option, request)
}

/** Chooses the interface that multicast goes out of. */
export function setMulticastInterface({ driver, fd, isIpv6 }: OptionTarget, on: string): void {
  if (isIpv6) setOption(driver, fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, interfaceIndex('interface', on))
  else setOptionBytes(driver, fd, IPPROTO_IP, IP_MULTICAST_IF, addressBytes('interface', on))
}

export function setMulticastLoopback({ driver, fd, isIpv6 }: OptionTarget, on: boolean): void {
  const value = on ? 1 : 0
  if (isIpv6) setOption(driver, fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, value)
  else setOption(driver, fd, IPPROTO_IP, IP_MULTICAST_LOOP, value)
}

export function setMulticastTtl({ driver, fd, isIpv6 }: OptionTarget, hops: number): void {
  if (isIpv6) setOption(driver, fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, hops)
  else setOption(driver, fd, IPPROTO_IP, IP_MULTICAST_TTL, hops)
}

export function setTtl({ driver, fd, isIpv6 }: OptionTarget, hops: number): void {
  if (isIpv6) setOption(driver, fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, hops)
  else setOption(driver, fd, IPPROTO_IP, IP_TTL, hops)
}
