// A socket that accepts TCP connections, on the thread's ring.
// Flow: the program → this → runtime (accept multishot) → tcp-stream.ts.

import { isIP } from 'node:net'
import { defaultRing } from '../runtime/executor.ts'
import type { Multishot } from '../runtime/multishot.ts'
import { Resource } from '../runtime/resource.ts'
import type { Uring } from '../runtime/uring.ts'
import { argumentTypeError, argumentValueError, rangeError, socketError } from '../sys/error.ts'
import type { SocketAddress } from '../sys/sockaddr.ts'
import { checkFd, checkInteger } from '../sys/validate.ts'
import { addressOf, type ListenOptions, listenOn } from './socket-calls.ts'
import { TcpStream } from './tcp-stream.ts'

export interface BindOptions extends ListenOptions {
  /** IPv4 or IPv6 address; default '::', which takes both. */
  host?: string | undefined
  /** 0 lets the kernel choose: see `port`. */
  port?: number | undefined
  ring?: Uring | undefined
}

export class TcpListener {
  readonly #ring: Uring
  readonly #resource: Resource
  #connections: Multishot<number> | null = null
  #closing: Promise<void> | null = null

  constructor(ring: Uring, fd: number) {
    this.#ring = ring
    this.#resource = new Resource(fd)
  }

  /**
   * Listens on an address.
   * @param where options, or 'host:port' as in '127.0.0.1:8080' and '[::1]:8080'
   * @throws EADDRINUSE · EACCES (ports below 1024) · EADDRNOTAVAIL
   */
  static bind(where: BindOptions | string = {}): TcpListener {
    const options = typeof where === 'string' ? parse(where) : where
    if (typeof options !== 'object' || options === null)
      throw argumentTypeError('where', 'of type string or object', where)
    if (options.backlog !== undefined) checkInteger('options.backlog', options.backlog, 0, 0x7fffffff)
    const { host = '::', port = 0 } = options
    const version = isIP(host)
    if (version === 0) throw argumentValueError('options.host', host, 'must be an IPv4 or IPv6 address')
    if (!(Number.isInteger(port) && port >= 0 && port <= 65535))
      throw rangeError('options.port', '>= 0 && <= 65535', port)
    const ring = options.ring ?? defaultRing()
    const family = version === 6 ? 'ipv6' : 'ipv4'
    return new TcpListener(ring, listenOn(ring.ring.driver, { family, address: host, port }, options))
  }

  /** Takes over a listening socket; the listener closes it. */
  static fromRawFd(fd: number, ring: Uring = defaultRing()): TcpListener {
    checkFd(fd)
    return new TcpListener(ring, fd)
  }

  /** The descriptor, or -1 once closed. */
  get fd(): number {
    return this.#resource.fd
  }

  /** The address it listens on; undefined once closed. */
  get address(): SocketAddress | undefined {
    return this.fd < 0 ? undefined : addressOf(this.#ring.ring.driver, this.fd, 'own')
  }

  /** The port it listens on, also when the kernel chose it; 0 once closed. */
  get port(): number {
    const address = this.address
    return address !== undefined && 'port' in address ? address.port : 0
  }

  /**
   * Accepts one connection; from the first call on the kernel accepts ahead, up to 128.
   * @throws EMFILE: no descriptor is free; the listener is unharmed, accept again when some were closed
   */
  async accept(): Promise<TcpStream> {
    for (;;) {
      if (this.fd < 0 || this.#closing !== null) throw socketError(-9, 'accept')
      this.#connections ??= this.#ring.acceptMultishot(this.#resource, { capacity: 128 })
      const connections = this.#connections
      try {
        const result = await connections.next()
        if (result.done !== true) return new TcpStream(this.#ring, result.value)
      } catch (error) {
        if (this.#connections === connections) this.#connections = null
        const { errno, syscall } = error as NodeJS.ErrnoException
        throw errno !== undefined && syscall === 'accept' ? socketError(errno, 'accept') : error
      }
      if (this.#closing !== null) throw socketError(-125, 'accept')
      // Another waiting accept() got the error that ended the request; this one waits on.
      if (this.#connections === connections) this.#connections = null
    }
  }

  /** Iterates over connections until the listener is closed; leaving the loop does not close it. */
  async *[Symbol.asyncIterator](): AsyncGenerator<TcpStream> {
    while (this.fd >= 0) {
      let stream: TcpStream
      try {
        stream = await this.accept()
      } catch (error) {
        if (this.#closing !== null) return
        throw error
      }
      yield stream
    }
  }

  /** Stops listening; connections that nobody accepted are closed. Resolves when the kernel has let go. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    await this.#connections?.return()
    await this.#ring.closeFile(this.#resource)
  }

  /** As `close`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

function parse(text: string): BindOptions {
  const match = /^(?:\[(?<six>.+)\]|(?<four>[^:]+)):(?<port>\d+)$/.exec(text)
  if (match === null)
    throw argumentValueError('where', text, "must look like '127.0.0.1:8080' or '[::1]:8080'")
  return { host: match.groups!.six ?? match.groups!.four, port: Number(match.groups!.port) }
}
