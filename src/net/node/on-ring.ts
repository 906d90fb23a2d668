// Servers of Node's (http, https, http2, tls, net) that get their connections from the ring.
// Flow: net.ts → this → server.ts. The server stays what it is; only who listens changes.

import type * as net from 'node:net'
import type { Acceptor } from './acceptor.ts'
import type { SharedListening } from './listening.ts'
import { Server } from './server.ts'
import type { Socket } from './socket.ts'

/** What Node's servers keep of their own listening: their methods ask it. */
interface Inner {
  _handle: object | null
  _unref: boolean
  _connections: number
  allowHalfOpen: boolean
  pauseOnConnect: boolean
  noDelay: boolean
  keepAlive: boolean
  keepAliveInitialDelay: number
  highWaterMark?: number
}

/** What a server asks its handle; the port is let go through the server that listens. */
class Facade {
  readonly #server: Server
  readonly #handle: Acceptor | SharedListening
  readonly getsockname?: (out: object) => number

  constructor(server: Server, handle: Acceptor | SharedListening) {
    this.#server = server
    this.#handle = handle
    // Node tells Unix sockets by the lack of it.
    if (typeof server.address() === 'object') this.getsockname = (out) => handle.getsockname(out)
  }

  get fd(): number {
    return this.#handle.fd
  }

  ref(): void {
    this.#server.ref()
  }

  unref(): void {
    this.#server.unref()
  }

  close(): void {
    this.#server.close()
  }
}

/** Makes a server's `listen` go through the ring. */
export function onRing<T extends net.Server>(server: T): T {
  const target = server as T & Inner & { _pipeName?: string }
  const listen = (...args: unknown[]): T => {
    const callback = args.at(-1)
    if (typeof callback === 'function') {
      args.pop()
      server.once('listening', callback as () => void)
    }
    const source = new Server({
      allowHalfOpen: target.allowHalfOpen,
      pauseOnConnect: target.pauseOnConnect,
      noDelay: target.noDelay,
      keepAlive: target.keepAlive,
      // Servers keep seconds.
      keepAliveInitialDelay: target.keepAliveInitialDelay * 1000,
      highWaterMark: target.highWaterMark ?? -1,
    })
    // The target counts and limits.
    const limit = (): number | undefined =>
      server.maxConnections == null ? undefined : server.maxConnections - target._connections
    Object.defineProperty(source, 'maxConnections', { get: limit })
    source.on('connection', (socket: Socket) => {
      source._connections--
      target._connections++
      socket.server = server
      socket._server = server
      server.emit('connection', socket as unknown as net.Socket)
    })
    const attach = (): void => {
      const { _handle } = source
      if (_handle === null || target._handle !== null) return
      target._handle = new Facade(source, _handle)
      // It may have been asked for before there was anything to unreference.
      if (target._unref) source.unref()
      if (typeof source.address() === 'string') target._pipeName = source.address() as string
    }
    source.on('error', (error) => server.emit('error', error))
    source.on('drop', (data) => server.emit('drop', data))
    source.on('listening', () => {
      attach()
      server.emit('listening')
    })
    source.listen(...args)
    attach()
    return server
  }
  return Object.assign(server, { listen })
}
