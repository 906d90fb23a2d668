// A socket that accepts TCP connections, on the thread's ring.
// Flow: the program → this → socket-listener.ts → tcp-stream.ts.

import { defaultRing } from '../runtime/executor.ts'
import type { Uring } from '../runtime/uring.ts'
import { argumentTypeError, argumentValueError, rangeError } from '../sys/error.ts'
import { isIP } from '../sys/node-modules.ts'
import type { SocketAddress } from '../sys/sockaddr.ts'
import { checkFd, checkInteger } from '../sys/validate.ts'
import { addressOf, type ListenOptions, listenOn } from './socket-calls.ts'
import { SocketListener } from './socket-listener.ts'
import { checkTcp, prepareTcp, type TcpOptions, TcpStream } from './tcp-stream.ts'

export interface BindOptions extends ListenOptions, TcpOptions {
  /** IPv4 or IPv6 address; default '::', which takes both. */
  host?: string | undefined
  /** 0 lets the kernel choose: see `port`. */
  port?: number | undefined
  ring?: Uring | undefined
}

export class TcpListener extends SocketListener<TcpStream> {
  readonly #options: TcpOptions | undefined

  constructor(ring: Uring, fd: number, options?: TcpOptions) {
    super(ring, fd)
    this.#options = options
    // The kernel gives these two to every connection that it accepts, so that none costs a call.
    if (options !== undefined) prepareTcp(ring, fd, options)
  }

  /**
   * Listens on an address.
   *
   * What the options say of streams (`noDelay`, `allowHalfOpen` …) holds for every connection that is accepted.
   *
   * @param where options, or 'host:port' as in '127.0.0.1:8080' and '[::1]:8080'
   * @throws EADDRINUSE · EACCES (ports below 1024) · EADDRNOTAVAIL
   */
  static override bind(where: BindOptions | string = {}): TcpListener {
    const options = typeof where === 'string' ? parse(where) : where
    if (typeof options !== 'object' || options === null)
      throw argumentTypeError('where', 'of type string or object', where)
    if (options.backlog !== undefined) checkInteger('options.backlog', options.backlog, 0, 0x7fffffff)
    const { host = '::', port = 0 } = options
    const version = isIP(host)
    if (version === 0) throw argumentValueError('options.host', host, 'must be an IPv4 or IPv6 address')
    if (!(Number.isInteger(port) && port >= 0 && port <= 65535))
      throw rangeError('options.port', '>= 0 && <= 65535', port)
    checkTcp(options)
    const ring = options.ring ?? defaultRing()
    const family = version === 6 ? 'ipv6' : 'ipv4'
    const fd = listenOn(ring.ring.driver, { family, address: host, port }, options)
    return new TcpListener(ring, fd, options)
  }

  /** Takes over a listening socket; the listener closes it. */
  static fromRawFd(fd: number, ring: Uring = defaultRing(), options?: TcpOptions): TcpListener {
    checkFd(fd)
    if (options !== undefined) checkTcp(options)
    return new TcpListener(ring, fd, options)
  }

  protected override streamOf(fd: number): TcpStream {
    return new TcpStream(this.ring, fd, this.#options, this)
  }

  /** The address it listens on; undefined once closed. */
  get address(): SocketAddress | undefined {
    return this.fd < 0 ? undefined : addressOf(this.ring.ring.driver, this.fd, 'own')
  }

  /** The port it listens on, also when the kernel chose it; 0 once closed. */
  get port(): number {
    const address = this.address
    return address !== undefined && 'port' in address ? address.port : 0
  }
}

function parse(text: string): BindOptions {
  const match = /^(?:\[(?<six>.+)\]|(?<four>[^:]+)):(?<port>\d+)$/.exec(text)
  if (match === null)
    throw argumentValueError('where', text, "must look like '127.0.0.1:8080' or '[::1]:8080'")
  return { host: match.groups!.six ?? match.groups!.four, port: Number(match.groups!.port) }
}
