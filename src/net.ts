// The door `ringcore/net`: the API of node:net on the ring, and the ring's own TCP. Where no ring can be made, node:net itself.
// Flow: programs → this → net/node, net.

import nodeNet from 'node:net'
import { normalizeArgs } from './net/node/arguments.ts'
import { callable } from './net/node/callable.ts'
import { onRing as onRingHere } from './net/node/on-ring.ts'
import type { ConnectOptions as NodeConnectOptions } from './net/node/options.ts'
import { joinTls } from './net/node/over-tls.ts'
import { Server as RingServer } from './net/node/server.ts'
import { Socket as RingSocket } from './net/node/socket.ts'
import { canDriveRings } from './runtime/host.ts'

export { type BindOptions, TcpListener } from './net/tcp-listener.ts'
export { type ConnectOptions, TcpStream } from './net/tcp-stream.ts'
export { UdpSocket } from './net/udp-socket.ts'
export { UnixListener } from './net/unix-listener.ts'
export { UnixStream } from './net/unix-stream.ts'

/** Whose sockets these are: 'ring', or 'node' where no ring can be made. */
export const backend: 'ring' | 'node' = canDriveRings() ? 'ring' : 'node'

type Net = typeof nodeNet

/** node:net's own names, and what stands in for those that make or take sockets. */
function onRingNames(): Record<string, unknown> {
  joinTls()
  const Socket = callable(RingSocket, nodeNet.Socket)
  const Server = callable(RingServer, nodeNet.Server)
  const connect = (...args: unknown[]): RingSocket => {
    const normalized = normalizeArgs(args)
    const [options] = normalized as [NodeConnectOptions, unknown]
    const socket = new RingSocket(options as object)
    if (options.timeout) socket.setTimeout(options.timeout)
    return socket.connect(normalized)
  }
  const createServer = (...args: ConstructorParameters<typeof RingServer>): RingServer =>
    new RingServer(...args)
  return {
    Socket,
    Stream: Socket,
    Server,
    connect,
    createConnection: connect,
    createServer,
    _normalizeArgs: normalizeArgs,
  }
}

const net = { ...nodeNet, ...(backend === 'ring' ? onRingNames() : {}), backend } as unknown as Net & {
  readonly backend: 'ring' | 'node'
  readonly Stream: Net['Socket']
}

export default net

export const {
  BlockList,
  SocketAddress,
  BoundSocket,
  connect,
  createConnection,
  createServer,
  isIP,
  isIPv4,
  isIPv6,
  Server,
  Socket,
  Stream,
  getDefaultAutoSelectFamily,
  setDefaultAutoSelectFamily,
  getDefaultAutoSelectFamilyAttemptTimeout,
  setDefaultAutoSelectFamilyAttemptTimeout,
} = net

/** The types of node:net's classes. */
export type Server = nodeNet.Server
export type Socket = nodeNet.Socket
export type BlockList = nodeNet.BlockList
export type SocketAddress = nodeNet.SocketAddress

/**
 * Has a server of Node's (http, https, http2, tls, net) listen on the ring: `onRing(http.createServer(app)).listen(8080)`.
 *
 * All its methods and events stay as they are. Where no ring can be made the server is returned as it came.
 */
export function onRing<T extends nodeNet.Server>(server: T): T {
  return backend === 'ring' ? onRingHere(server) : server
}
