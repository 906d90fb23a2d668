// A TCP connection on the thread's ring.
// Flow: the program, tcp-listener.ts → this → socket-stream.ts (bytes), connect.ts (names, addresses).

import { defaultRing } from '../runtime/executor.ts'
import { CopyPool } from '../runtime/memory-pool.ts'
import type { Uring } from '../runtime/uring.ts'
import { IPPROTO_TCP, SO_KEEPALIVE, SOL_SOCKET, TCP_NODELAY } from '../sys/constants.ts'
import { argumentTypeError, rangeError } from '../sys/error.ts'
import type { InternetAddress, SocketAddress } from '../sys/sockaddr.ts'
import { checkFd, checkFunction, checkInteger, checkString } from '../sys/validate.ts'
import type { Abortable } from './abort.ts'
import { connectToFirst, type LookupFunction, resolveHost } from './connect.ts'
import { addressOf, setKeepAlive, setNoDelay } from './socket-calls.ts'
import { SocketStream, type StreamOptions } from './socket-stream.ts'

/** What is set on each new connection, made or accepted. */
export interface TcpOptions extends StreamOptions {
  /** Small writes are sent at once instead of waiting for acknowledgements. */
  noDelay?: boolean | undefined
  /** Has the kernel ask a silent peer whether it is still there; a number is the milliseconds of silence before. */
  keepAlive?: boolean | number | undefined
}

export interface ConnectOptions extends TcpOptions, Abortable {
  /** A name or an address; default 'localhost'. */
  host?: string | undefined
  port: number
  /** Milliseconds until the attempt is given up with ETIMEDOUT. */
  timeout?: number | undefined
  /** 4 or 6 takes only addresses of that family; default both. */
  family?: 0 | 4 | 6 | undefined
  /** The own address, or the interface's, to connect from. */
  localAddress?: string | undefined
  localPort?: number | undefined
  /** Milliseconds that each address of a name has before the next is tried beside it; default 250. */
  attemptDelay?: number | undefined
  /** Resolves names; default: dns.lookup. */
  lookup?: LookupFunction | undefined
  ring?: Uring | undefined
}

export class TcpStream extends SocketStream {
  /**
   * Connects to a host. A name's addresses are tried one after another, each with a short head start before the next; the first
   * one that answers is taken.
   * @throws ECONNREFUSED · ETIMEDOUT · ENETUNREACH · ENOTFOUND (name) · AbortError · AggregateError (several addresses, none
   *   answered), with the `code` of the first
   */
  static async connect(target: ConnectOptions | number, host?: string): Promise<TcpStream> {
    const options: ConnectOptions = typeof target === 'number' ? { port: target, host } : target
    if (typeof options !== 'object' || options === null)
      throw argumentTypeError('options', 'of type object', options)
    checkConnect(options)
    checkTcp(options)
    const ring = options.ring ?? defaultRing()
    const addresses = await resolveHost(
      options.host ?? 'localhost',
      options.port,
      options.family ?? 0,
      options.lookup,
    )
    const fd = await connectToFirst(ring, addresses, {
      signal: options.signal,
      timeout: options.timeout,
      attemptDelay: options.attemptDelay ?? 250,
      localAddress: localAddressOf(options, addresses),
      prepare: (socket) => prepareTcp(ring, socket, options),
    })
    return new TcpStream(ring, fd, options)
  }

  /** Takes over a connected socket; the stream closes it. */
  static fromRawFd(fd: number, ring: Uring = defaultRing(), options?: StreamOptions): TcpStream {
    checkFd(fd)
    if (options !== undefined) checkTcp(options)
    return new TcpStream(ring, fd, options)
  }

  /** This side's address and port; undefined once closed. */
  get localAddress(): SocketAddress | undefined {
    return this.fd < 0 ? undefined : addressOf(this.ring.ring.driver, this.fd, 'own')
  }

  /** The peer's address and port; undefined once closed or when the connection is gone. */
  get remoteAddress(): SocketAddress | undefined {
    return this.fd < 0 ? undefined : addressOf(this.ring.ring.driver, this.fd, 'peer')
  }

  /** Whether small writes are sent at once (TCP_NODELAY). */
  get noDelay(): boolean {
    return this.getOption(IPPROTO_TCP, TCP_NODELAY) !== 0
  }

  /** Sends small writes at once instead of waiting for acknowledgements (TCP_NODELAY). */
  setNoDelay(on = true): this {
    setNoDelay(this.ring.ring.driver, this.openFd('setsockopt'), on)
    return this
  }

  /** Whether the kernel asks a silent peer (SO_KEEPALIVE). */
  get keepAlive(): boolean {
    return this.getOption(SOL_SOCKET, SO_KEEPALIVE) !== 0
  }

  /**
   * Has the kernel ask a silent peer whether it is still there.
   * @param initialDelay milliseconds of silence before the first question, in whole seconds; 0 leaves it to the system
   */
  setKeepAlive(on = true, initialDelay = 0): this {
    checkInteger('initialDelay', initialDelay, 0)
    setKeepAlive(this.ring.ring.driver, this.openFd('setsockopt'), on, initialDelay)
    return this
  }
}

/** Checks what the options say of streams, before there is a socket. */
export function checkTcp({ keepAlive, zeroCopyFrom }: TcpOptions): void {
  if (typeof keepAlive === 'number') checkInteger('options.keepAlive', keepAlive, 0)
  // What is smaller is copied anyway, so that its buffer is free at once.
  if (zeroCopyFrom !== undefined) checkInteger('options.zeroCopyFrom', zeroCopyFrom, CopyPool.BYTES + 1)
}

/** Sets on a new socket what the options say. */
export function prepareTcp(ring: Uring, fd: number, options: TcpOptions): void {
  const { driver } = ring.ring
  const { noDelay, keepAlive } = options
  if (noDelay === true) setNoDelay(driver, fd, true)
  if (keepAlive === true || typeof keepAlive === 'number')
    setKeepAlive(driver, fd, true, keepAlive === true ? 0 : keepAlive)
}

function checkConnect({ port, host, lookup, localPort, attemptDelay, family }: ConnectOptions): void {
  if (!(Number.isInteger(port) && port >= 0 && port <= 65535))
    throw rangeError('options.port', '>= 0 && <= 65535', port)
  if (host !== undefined) checkString('options.host', host)
  if (lookup !== undefined) checkFunction('options.lookup', lookup)
  if (localPort !== undefined) checkInteger('options.localPort', localPort, 0, 65535)
  if (attemptDelay !== undefined) checkInteger('options.attemptDelay', attemptDelay, 1)
  if (family !== undefined && family !== 0 && family !== 4 && family !== 6)
    throw rangeError('options.family', '0, 4 or 6', family)
}

function localAddressOf(
  { localAddress, localPort }: ConnectOptions,
  addresses: readonly InternetAddress[],
): InternetAddress | undefined {
  if (localAddress === undefined && localPort === undefined) return undefined
  const any = addresses[0]!.family === 'ipv6' ? '::' : '0.0.0.0'
  return { address: localAddress ?? any, port: localPort ?? 0 }
}
