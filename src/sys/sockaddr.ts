// Socket addresses: objects ↔ struct sockaddr_in, sockaddr_in6, sockaddr_un.
// Flow: runtime, net → this.
// man ip(7), ipv6(7), unix(7). Family and port lie first in all; port and address are in network order.

import { readdirSync, readFileSync } from 'node:fs'
import { AF_INET, AF_INET6, AF_UNIX } from './constants.ts'
import { argumentTypeError, argumentValueError, rangeError } from './error.ts'
import { isIP } from './node-modules.ts'
import { checkUint32 } from './validate.ts'

/** An address of the internet, as node:net's SocketAddress has it. */
export interface InternetAddress {
  /** Taken from `address` when left out; decoding always sets it. */
  family?: 'ipv4' | 'ipv6' | undefined
  /** Numbers, not names: '127.0.0.1', '::1', 'fe80::1%eth0'. */
  address: string
  port: number
  /** IPv6 only. */
  flowlabel?: number | undefined
  /** IPv6 only: the interface's index; '%eth0' in `address` says the same. */
  scopeId?: number | undefined
}

/** An address in the file system, or an abstract name, which starts with '\0'. */
export interface UnixAddress {
  family?: 'unix' | undefined
  /** '' is a socket without a name. */
  path: string
}

export type SocketAddress = InternetAddress | UnixAddress

/** Room for any address: sizeof struct sockaddr_storage. */
export const SOCKADDR_BYTES = 128

const UNIX_PATH_MAX = 108

/**
 * Makes the bytes of an address; their number is its length for the kernel.
 * @throws {TypeError} ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE: no address · {RangeError} ERR_OUT_OF_RANGE: no port
 */
export function encodeSockaddr(address: SocketAddress): Uint8Array {
  if (typeof address !== 'object' || address === null)
    throw argumentTypeError('address', 'of type object', address)
  return 'path' in address ? encodeUnix(address.path) : encodeInternet(address)
}

/**
 * Reads an address that the kernel wrote.
 * @param length bytes that the kernel says it has
 * @returns undefined when there is none, or of a family that is not known here
 */
export function decodeSockaddr(bytes: Uint8Array, length: number = bytes.length): SocketAddress | undefined {
  // The kernel tells the length it would have liked, even when it had less room.
  const end = Math.min(length, bytes.length)
  if (end < 2) return undefined
  const family = bytes[0]! | (bytes[1]! << 8)
  if (family === AF_UNIX) return { family: 'unix', path: unixPath(bytes, end) }
  const port = (bytes[2]! << 8) | bytes[3]!
  if (family === AF_INET && end >= 8) return { family: 'ipv4', address: ipv4Text(bytes, 4), port }
  if (family !== AF_INET6 || end < 28) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, 28)
  const scopeId = view.getUint32(24, true)
  let address = ipv6Text(bytes, 8)
  if (scopeId !== 0 && isLinkLocal(bytes, 8)) address += `%${interfaceName(scopeId)}`
  return { family: 'ipv6', address, port, flowlabel: view.getUint32(4), scopeId }
}

// — Unix —

function encodeUnix(path: unknown): Uint8Array {
  if (typeof path !== 'string') throw argumentTypeError('path', 'of type string', path)
  const name = Buffer.from(path, 'utf8')
  const isAbstract = name[0] === 0
  if (!isAbstract && name.includes(0)) {
    throw argumentValueError(
      'path',
      path,
      'must not contain null bytes, except one that leads an abstract name',
    )
  }
  // A path ends with NUL; an abstract name is as long as the length says.
  const used = name.length === 0 ? 0 : name.length + (isAbstract ? 0 : 1)
  if (used > UNIX_PATH_MAX) throw argumentValueError('path', path, 'must have at most 107 bytes')
  const bytes = new Uint8Array(2 + used)
  bytes[0] = AF_UNIX
  bytes.set(name, 2)
  return bytes
}

function unixPath(bytes: Uint8Array, end: number): string {
  if (end === 2) return ''
  let stop = end
  if (bytes[2] !== 0) {
    const nul = bytes.indexOf(0, 2)
    if (nul !== -1 && nul < end) stop = nul
  }
  return Buffer.from(bytes.buffer, bytes.byteOffset + 2, stop - 2).toString('utf8')
}

// — Internet —

function encodeInternet({ family, address, port, flowlabel = 0, scopeId }: InternetAddress): Uint8Array {
  if (typeof address !== 'string') throw argumentTypeError('address', 'of type string', address)
  if (typeof port !== 'number') throw argumentTypeError('port', 'of type number', port)
  if (!Number.isInteger(port) || port < 0 || port > 0xffff) throw rangeError('port', '>= 0 && <= 65535', port)
  const version = isIP(address)
  if (version === 0)
    throw argumentValueError('address', address, 'must be an IPv4 or IPv6 address, not a name')
  if (family !== undefined && family !== `ipv${version}`) {
    throw argumentValueError('family', family, `must be 'ipv${version}', as the address is`)
  }
  const bytes = new Uint8Array(version === 4 ? 16 : 28)
  bytes[0] = version === 4 ? AF_INET : AF_INET6
  bytes[2] = port >> 8
  bytes[3] = port & 0xff
  if (version === 4) {
    ipv4Bytes(address, bytes, 4)
    return bytes
  }
  const percent = address.indexOf('%')
  const text = percent === -1 ? address : address.slice(0, percent)
  const scope = scopeId ?? (percent === -1 ? 0 : interfaceIndex(address.slice(percent + 1)))
  checkUint32('flowlabel', flowlabel)
  checkUint32('scopeId', scope)
  const view = new DataView(bytes.buffer)
  view.setUint32(4, flowlabel)
  view.setUint32(24, scope, true)
  ipv6Bytes(text, bytes, 8)
  return bytes
}

function ipv4Bytes(text: string, target: Uint8Array, at: number): void {
  let start = 0
  for (let i = 0; i < 4; i++) {
    const dot = text.indexOf('.', start)
    target[at + i] = Number(text.slice(start, dot === -1 ? undefined : dot))
    start = dot + 1
  }
}

function ipv4Text(bytes: Uint8Array, at: number): string {
  return `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}`
}

/** Groups before '::' fill from the left, those behind it from the right; the last two may be written as IPv4. */
function ipv6Bytes(text: string, target: Uint8Array, at: number): void {
  const [head = '', tail] = text.split('::')
  const left = groups(head)
  const right = tail === undefined ? [] : groups(tail)
  for (const [i, value] of left.entries()) put(i, value)
  for (const [i, value] of right.entries()) put(8 - right.length + i, value)

  function put(group: number, value: number): void {
    target[at + 2 * group] = value >> 8
    target[at + 2 * group + 1] = value & 0xff
  }
}

function groups(text: string): number[] {
  const values: number[] = []
  if (text === '') return values
  for (const part of text.split(':')) {
    if (part.includes('.')) {
      const v4 = new Uint8Array(4)
      ipv4Bytes(part, v4, 0)
      values.push((v4[0]! << 8) | v4[1]!, (v4[2]! << 8) | v4[3]!)
    } else {
      values.push(Number.parseInt(part, 16))
    }
  }
  return values
}

/** The shortest form (RFC 5952), with IPv4 written out at the end where it is embedded, as inet_ntop(3) does. */
function ipv6Text(bytes: Uint8Array, at: number): string {
  const words = Array.from({ length: 8 }, (_, i) => (bytes[at + 2 * i]! << 8) | bytes[at + 2 * i + 1]!)
  const gap = longestZeros(words)
  const isMapped = gap.start === 0 && gap.length === 5 && words[5] === 0xffff
  const isCompatible = gap.start === 0 && gap.length === 6
  const last = isMapped || isCompatible ? 6 : 8
  let text = ''
  for (let i = 0; i < last; i++) {
    if (i === gap.start && gap.length > 1) {
      text += '::'
      i += gap.length - 1
    } else {
      text += (text === '' || text.endsWith(':') ? '' : ':') + words[i]!.toString(16)
    }
  }
  if (last === 8) return text
  return `${text}${text.endsWith(':') ? '' : ':'}${ipv4Text(bytes, at + 12)}`
}

/** The first of the longest runs of zero groups. */
function longestZeros(words: readonly number[]): { start: number; length: number } {
  let best = { start: -1, length: 0 }
  let start = -1
  for (const [i, word] of words.entries()) {
    if (word !== 0) start = -1
    else if (start === -1) start = i
    if (start !== -1 && i - start + 1 > best.length) best = { start, length: i - start + 1 }
  }
  return best
}

/** fe80::/10: an address that means something only together with its interface. */
function isLinkLocal(bytes: Uint8Array, at: number): boolean {
  return bytes[at] === 0xfe && (bytes[at + 1]! & 0xc0) === 0x80
}

// — Interfaces: node:os lists them only while they have an address —

function interfaceIndex(name: string): number {
  if (/^\d+$/.test(name)) return Number(name)
  try {
    if (!name.includes('/')) return Number(readFileSync(`/sys/class/net/${name}/ifindex`, 'utf8'))
  } catch {
    // No such interface: said below.
  }
  throw argumentValueError('address', name, 'must name an existing interface behind "%"')
}

function interfaceName(index: number): string {
  try {
    for (const name of readdirSync('/sys/class/net')) {
      if (Number(readFileSync(`/sys/class/net/${name}/ifindex`, 'utf8')) === index) return name
    }
  } catch {
    // No sysfs here: the number does as well.
  }
  return String(index)
}
