// The errors that node:net makes and no other layer does: the same codes, properties and words.
// Flow: socket.ts, connect.ts, server.ts, arguments.ts → this → sys/error.ts.

import { errnoName, errnoText } from '../../sys/errno.ts'
import { argumentTypeError, type CodedError, rangeError, ringcoreError, UringError } from '../../sys/error.ts'

/** The error of a call on an address: "connect ECONNREFUSED 127.0.0.1:1", "bind EADDRINUSE /tmp/a.sock". */
export function hostPortError(
  res: number,
  syscall: string,
  address: string | null | undefined,
  port: number | undefined,
  local?: string,
): UringError {
  const code = errnoName(res)
  let message = `${syscall} ${code}`
  // Node says in words what the number means for 'listen' only.
  if (syscall === 'listen') message += `: ${errnoText(res)}`
  if (port !== undefined && port > 0) message += ` ${address}:${port}`
  else if (address) message += ` ${address}`
  if (local !== undefined) message += ` - Local (${local})`
  return new UringError(message, res, code, syscall, {
    address: address as string,
    port: port === 0 ? undefined : port,
  })
}

const plain: Readonly<Record<string, string>> = {
  ERR_SOCKET_CLOSED: 'Socket is closed',
  ERR_SOCKET_CLOSED_BEFORE_CONNECTION: 'Socket closed before the connection was established',
  ERR_SOCKET_CONNECTION_TIMEOUT: 'Socket connection timeout',
  ERR_SERVER_ALREADY_LISTEN: 'Listen method has been called more than once without closing.',
  ERR_SERVER_NOT_RUNNING: 'Server is not running.',
}

/** An error that says nothing but its code's sentence. */
export function plainError(code: string): CodedError {
  return ringcoreError(Error, code, plain[code]!)
}

export function invalidIpAddress(address: unknown): CodedError<TypeError> {
  return ringcoreError(TypeError, 'ERR_INVALID_IP_ADDRESS', `Invalid IP address: ${address}`)
}

export function invalidFamily(family: unknown, host: unknown, port: unknown): CodedError<RangeError> {
  const message = `Invalid address family: ${family} ${host}:${port}`
  return Object.assign(ringcoreError(RangeError, 'ERR_INVALID_ADDRESS_FAMILY', message), { host, port })
}

export function blockedIp(address: string): CodedError {
  return ringcoreError(Error, 'ERR_IP_BLOCKED', `IP(${address}) is blocked by net.BlockList`)
}

export function invalidFdType(type: string): CodedError<TypeError> {
  return ringcoreError(TypeError, 'ERR_INVALID_FD_TYPE', `Unsupported fd type: ${type}`)
}

export function invalidHandleType(): CodedError<TypeError> {
  return ringcoreError(TypeError, 'ERR_INVALID_HANDLE_TYPE', 'This handle type cannot be sent')
}

export function missingArgs(): CodedError<TypeError> {
  const message = 'The "options" or "port" or "path" argument must be specified'
  return ringcoreError(TypeError, 'ERR_MISSING_ARGS', message)
}

/** What a peer's end means to somebody who goes on writing: plainer than "write after end". */
export function endedByPeer(): NodeJS.ErrnoException {
  return Object.assign(new Error('This socket has been ended by the other party'), { code: 'EPIPE' })
}

/** How Node says what it got instead of a port. */
function received(value: unknown): string {
  return /Received (.*)$/s.exec(argumentTypeError('', '', value).message)![1]!
}

/**
 * Checks a port as Node does: a number, or text that is one.
 * @throws {RangeError} ERR_SOCKET_BAD_PORT
 */
export function checkPort(value: unknown, name = 'Port'): number {
  const isNumber = typeof value === 'number' || (typeof value === 'string' && value.trim() !== '')
  const port = Number(value)
  if (isNumber && Number.isInteger(port) && port >= 0 && port <= 65535) return port
  const message = `${name} should be >= 0 and < 65536. Received ${received(value)}.`
  throw ringcoreError(RangeError, 'ERR_SOCKET_BAD_PORT', message)
}

export function checkNumber(name: string, value: unknown): asserts value is number {
  if (typeof value !== 'number') throw argumentTypeError(name, 'of type number', value)
}

/** Checks a delay in milliseconds; what is too long for a timer is cut, with a warning. */
export function checkDelay(name: string, value: unknown): number {
  checkNumber(name, value)
  if (value < 0 || !Number.isFinite(value)) throw rangeError(name, 'a non-negative finite number', value)
  if (value <= 0x7fffffff) return value
  process.emitWarning(
    `${value} does not fit into a 32-bit signed integer.\nTimer duration was truncated to 2147483647.`,
    'TimeoutOverflowWarning',
  )
  return 0x7fffffff
}
