// Making a socket's connection: looking the name up, trying its addresses, one after another or with a timeout each.
// Flow: socket.ts → this → node:dns, handle.ts (CONNECT). RFC 8305 is what the attempts follow.

import dns from 'node:dns'
import { getDefaultAutoSelectFamily, getDefaultAutoSelectFamilyAttemptTimeout, isIP } from 'node:net'
import { defaultRing } from '../../runtime/executor.ts'
import { ECANCELED, ECONNREFUSED, ECONNRESET, EHOSTUNREACH, EINVAL, ETIMEDOUT } from '../../sys/errno.ts'
import { argumentTypeError, argumentValueError, type UringError } from '../../sys/error.ts'
import { encodeSockaddr } from '../../sys/sockaddr.ts'
import { checkBoolean, checkFunction, checkInteger, checkString } from '../../sys/validate.ts'
import {
  blockedIp,
  checkNumber,
  checkPort,
  hostPortError,
  invalidFamily,
  invalidIpAddress,
  plainError,
} from './errors.ts'
import type { StreamHandle } from './handle.ts'
import type { ConnectOptions } from './options.ts'
import type { Socket } from './socket.ts'
import { bind, makeSocket, type NodeAddress } from './socket-options.ts'

/** One attempt: where to, and from where. */
interface Attempt {
  address: string
  port: number
  family: 4 | 6 | undefined
  localAddress: string | undefined
  localPort: number | undefined
}

interface Found {
  address: string
  family: number
}

/** Longer paths don't fit into struct sockaddr_un. */
const UNIX_PATH_MAX = 107

/** Errors that connect(2) gives when it has asked the network; all others it gives at once. */
const LATE = new Set([-ECONNREFUSED, -ETIMEDOUT, -EHOSTUNREACH, -ECANCELED, -ECONNRESET])

/** Connects to a Unix socket by path. */
export function connectTo(socket: Socket, path: string): void {
  socket.emit('connectionAttempt', path, undefined, undefined)
  const attempt: Attempt = {
    address: path,
    port: 0,
    family: undefined,
    localAddress: undefined,
    localPort: undefined,
  }
  if (Buffer.byteLength(path) > UNIX_PATH_MAX) {
    process.nextTick(destroy, socket, atOnce(socket, attempt, -EINVAL))
    return
  }
  const handle = openFor(socket, attempt)
  if (handle === null) return
  handle.connect(encodeSockaddr({ path }), (res) => finish(socket, handle, attempt, res))
}

/** A handle with a socket of the right kind; null when that could not be had, and the socket was told. */
function openFor(socket: Socket, attempt: Attempt): StreamHandle | null {
  if (socket._isBound) return socket._handle as StreamHandle
  const { driver } = defaultRing().ring
  const fd = makeSocket(driver, attempt.family ?? 'unix')
  if (fd < 0) {
    socket.destroy(atOnce(socket, attempt, fd))
    return null
  }
  return socket._open(fd, attempt.family === undefined ? 'unix' : 'tcp')
}

/** What options say about where to connect, checked. */
export function lookupAndConnect(socket: Socket, options: ConnectOptions): void {
  const { localAddress, localPort } = options
  const host = options.host || 'localhost'
  checkString('options.host', host)
  if (host.includes('\0'))
    throw argumentValueError('options.host', host, 'must be a string without null bytes')
  if (socket._isBound && (localAddress !== undefined || localPort !== undefined)) {
    throw argumentValueError(
      'options',
      options,
      'localAddress and localPort cannot be used with an adopted bound socket',
    )
  }
  if (localAddress && isIP(localAddress) === 0) throw invalidIpAddress(localAddress)
  if (localPort) checkNumber('options.localPort', localPort)
  const port = checkedPort(options.port)
  const together = familyChoice(socket, options)
  const timeout = attemptTimeout(options)
  const family = isIP(host)
  const attempt = (address: string, version: number): Attempt => ({
    address,
    port,
    family: version as 4 | 6,
    localAddress,
    localPort,
  })
  if (family !== 0) {
    if (socket._isBound) connectOnce(socket, attempt(host, family))
    else process.nextTick(() => socket.connecting && connectOnce(socket, attempt(host, family)))
    return
  }
  if (options.lookup != null) checkFunction('options.lookup', options.lookup)
  const asked = familyNumber(options.family)
  const isOpen = asked !== 4 && asked !== 6
  const hints = options.hints || (isOpen ? dns.ADDRCONFIG : 0)
  socket._host = host
  const lookup = (options.lookup ?? dns.lookup) as Lookup
  if (isOpen && !localAddress && together) {
    const found = (error: Error | null, list: Found[]): void =>
      onAddresses(socket, host, port, localPort, timeout, error, list)
    lookup(host, { family: asked, hints, all: true }, found as LookupCallback)
    return
  }
  lookup(host, { family: asked, hints }, (error, address, version) => {
    socket.emit('lookup', error, address, version, host)
    if (!socket.connecting) return
    if (error) process.nextTick(destroy, socket, error)
    else if (typeof address !== 'string' || isIP(address) === 0)
      process.nextTick(destroy, socket, invalidIpAddress(address))
    else if (version !== 4 && version !== 6)
      process.nextTick(destroy, socket, invalidFamily(version, options.host, options.port))
    else {
      socket._unrefTimer()
      connectOnce(socket, attempt(address, version))
    }
  })
}

type LookupCallback = (error: Error | null, address: unknown, family: unknown) => void
type Lookup = (host: string, options: object, callback: LookupCallback) => void

function checkedPort(port: unknown): number {
  if (port === undefined) return 0
  if (typeof port !== 'number' && typeof port !== 'string')
    throw argumentTypeError('options.port', 'one of type number or string', port)
  return checkPort(port)
}

function familyChoice(socket: Socket, { autoSelectFamily }: ConnectOptions): boolean {
  if (socket._isBound) return false
  if (autoSelectFamily == null) return getDefaultAutoSelectFamily()
  checkBoolean('options.autoSelectFamily', autoSelectFamily)
  return autoSelectFamily
}

function attemptTimeout({ autoSelectFamilyAttemptTimeout: ms }: ConnectOptions): number {
  if (ms == null) return getDefaultAutoSelectFamilyAttemptTimeout()
  checkInteger('options.autoSelectFamilyAttemptTimeout', ms, 1, 0x7fffffff)
  return Math.max(ms, 10)
}

function familyNumber(family: ConnectOptions['family']): number | undefined {
  if (family === 'IPv4') return 4
  return family === 'IPv6' ? 6 : family
}

function destroy(socket: Socket, error: Error): void {
  socket.destroy(error)
}

// ---- one address

function connectOnce(socket: Socket, attempt: Attempt): void {
  const { address, port, family } = attempt
  const handle = openFor(socket, attempt)
  if (handle === null) return
  const failure = bindLocal(handle, attempt)
  if (failure !== null) {
    socket.destroy(failure)
    return
  }
  socket.emit('connectionAttempt', address, port, family)
  if (socket.destroyed) return
  if (socket.blockList?.check(address, `ipv${family!}`)) {
    socket.destroy(blockedIp(address))
    return
  }
  start(handle, attempt, (res) => finish(socket, handle, attempt, res))
}

function start(handle: StreamHandle, { address, port }: Attempt, done: (res: number) => void): void {
  handle.connect(encodeSockaddr({ address, port }), done)
}

/** Gives the socket the own address that was asked for. */
function bindLocal(handle: StreamHandle, { family, localAddress, localPort }: Attempt): UringError | null {
  if (!localAddress && !localPort) return null
  const address = localAddress || (family === 4 ? '0.0.0.0' : '::')
  const { driver } = handle.ring.ring
  // libuv sets SO_REUSEADDR on whatever it binds.
  handle.setReuseAddress()
  const res = bind(driver, handle.fd, { address, port: localPort ?? 0 })
  return res < 0 ? hostPortError(res, 'bind', address, localPort) : null
}

function finish(socket: Socket, handle: StreamHandle, attempt: Attempt, res: number): void {
  if (socket.destroyed || socket._handle !== handle) return
  if (res === 0) socket._onEstablished(handle)
  else failed(socket, attempt, res)
}

function failed(socket: Socket, attempt: Attempt, res: number): void {
  if (socket.destroyed) return
  const { address, port, family } = attempt
  if (family !== undefined && !LATE.has(res)) {
    socket.destroy(atOnce(socket, attempt, res))
    return
  }
  const error = late(attempt, res)
  socket.connecting = false
  socket.emit('connectionAttemptFailed', address, port === 0 ? undefined : port, family, error)
  socket.destroy(error)
}

/** The error of a connect(2) that never came to the network; the own address is part of it. */
function atOnce(socket: Socket, { address, port }: Attempt, res: number): Error {
  const own: NodeAddress = {}
  socket._handle?.getsockname(own)
  return hostPortError(res, 'connect', address, port, `${own.address}:${own.port}`)
}

function late({ address, port, localAddress, localPort }: Attempt, res: number): Error {
  if (!localAddress || !localPort) return hostPortError(res, 'connect', address, port)
  const error = hostPortError(res, 'connect', address, port, `${localAddress}:${localPort}`)
  return Object.assign(error, { localAddress, localPort })
}

// ---- several addresses

/** Takes turns between the families, beginning with that of the first address. */
function alternate(found: readonly Found[]): Found[] {
  const first = found[0]!.family
  const lists: [Found[], Found[]] = [[], []]
  for (const one of found) {
    const list = lists[one.family === first ? 0 : 1]
    if (!list.some(({ address }) => address === one.address)) list.push(one)
  }
  const order: Found[] = []
  for (let i = 0; i < Math.max(lists[0].length, lists[1].length); i++) {
    for (const list of lists) if (i < list.length) order.push(list[i]!)
  }
  return order
}

function onAddresses(
  socket: Socket,
  host: string,
  port: number,
  localPort: number | undefined,
  timeout: number,
  error: Error | null,
  found: Found[],
): void {
  if (!socket.connecting) return
  if (error) {
    socket.emit('lookup', error, undefined, undefined, host)
    process.nextTick(destroy, socket, error)
    return
  }
  for (const { address, family } of found) {
    socket.emit('lookup', null, address, family, host)
    if (!socket.connecting) return
  }
  const valid = found.filter(({ address, family }) => isIP(address) !== 0 && (family === 4 || family === 6))
  if (valid.length === 0) {
    const [first] = found
    const isBad = isIP(first?.address ?? '') === 0
    const failure = isBad ? invalidIpAddress(first?.address) : invalidFamily(first?.family, host, port)
    process.nextTick(destroy, socket, failure)
    return
  }
  const order = alternate(valid)
  socket._unrefTimer()
  const attempts = order.map(({ address, family }): Attempt => {
    return { address, port, family: family as 4 | 6, localAddress: undefined, localPort }
  })
  if (attempts.length === 1) {
    connectOnce(socket, attempts[0]!)
    return
  }
  socket.autoSelectFamilyAttemptedAddresses = []
  new Attempts(socket, attempts, timeout).next()
}

/** Tries addresses until one answers; each but the last has only so long. */
class Attempts {
  readonly #socket: Socket
  readonly #attempts: readonly Attempt[]
  readonly #timeoutMs: number
  readonly #errors: Error[] = []
  #current = 0
  #timer: NodeJS.Timeout | undefined

  constructor(socket: Socket, attempts: readonly Attempt[], timeoutMs: number) {
    this.#socket = socket
    this.#attempts = attempts
    this.#timeoutMs = timeoutMs
  }

  next(): void {
    clearTimeout(this.#timer)
    const socket = this.#socket
    if (socket._aborted || !socket.connecting) return
    const attempt = this.#attempts[this.#current]
    if (attempt === undefined) {
      this.#giveUp()
      return
    }
    this.#current++
    this.#try(attempt)
  }

  #giveUp(): void {
    const errors = this.#errors
    if (errors.length === 0) this.#socket.destroy(plainError('ERR_SOCKET_CONNECTION_TIMEOUT'))
    else {
      const { code } = errors[0] as NodeJS.ErrnoException
      this.#socket.destroy(Object.assign(new AggregateError(errors), { code }))
    }
  }

  #try(attempt: Attempt): void {
    const socket = this.#socket
    const { address, port, family } = attempt
    const previous = socket._handle
    const handle = openFor(socket, attempt)
    if (handle === null) return
    previous?.close()
    const unbound = bindLocal(handle, attempt)
    if (unbound !== null) {
      this.#errors.push(unbound)
      this.next()
      return
    }
    if (socket.blockList?.check(address, `ipv${family!}`)) {
      this.#failed(attempt, blockedIp(address))
      return
    }
    socket.emit('connectionAttempt', address, port, family)
    if (socket.destroyed) return
    socket.autoSelectFamilyAttemptedAddresses!.push(`${address}:${port}`)
    start(handle, attempt, (res) => this.#finish(handle, attempt, res))
    if (this.#current < this.#attempts.length)
      this.#timer = setTimeout(() => this.#late(handle, attempt), this.#timeoutMs)
  }

  #finish(handle: StreamHandle, attempt: Attempt, res: number): void {
    const socket = this.#socket
    // A closed handle's attempt was told of already.
    if (socket._handle !== handle || handle.fd < 0) return
    clearTimeout(this.#timer)
    if (res < 0) this.#failed(attempt, LATE.has(res) ? late(attempt, res) : atOnce(socket, attempt, res))
    else if (!socket.destroyed) socket._onEstablished(handle)
  }

  #failed(attempt: Attempt, error: Error): void {
    const { address, port, family } = attempt
    this.#errors.push(error)
    this.#socket.emit('connectionAttemptFailed', address, port, family, error)
    if (this.#socket.connecting) this.next()
  }

  #late(handle: StreamHandle, attempt: Attempt): void {
    const { address, port, family } = attempt
    this.#socket.emit('connectionAttemptTimeout', address, port, family)
    this.#errors.push(late(attempt, -ETIMEDOUT))
    handle.close()
    if (this.#socket.connecting) this.next()
  }
}
