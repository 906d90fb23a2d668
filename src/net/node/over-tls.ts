// Joins a TLSSocket of Node's to the ring socket below it. Node does so only for sockets of its own: over any other stream a
// TLSSocket has no addresses, can't be unreferenced and does not wait for the connection.
// Flow: net.ts installs this → node:tls calls it once for each TLSSocket → socket.ts.
// The one thing of Node's that is changed here, and it does nothing for sockets that are not ours.

import * as tls from 'node:tls'
import { ENOTCONN } from '../../sys/errno.ts'
import { SocketBase } from './socket-base.ts'
import type { NodeAddress } from './socket-options.ts'

/** The handle that Node puts between a stream written in JavaScript and TLS. */
type Between = Record<string, unknown>

/** What of a TLSSocket its type definitions leave out. */
interface Inner {
  _parent: unknown
  connecting: boolean
  readonly writableEnded: boolean
  readonly _handle: { readonly _parent?: Between } | null
  emit(event: 'connect'): boolean
  destroy(): void
}

type Init = (this: Inner, socket?: unknown, wrap?: unknown) => void

let installed = false

/** Has TLS sockets that are made from now on know the ring sockets below them. */
export function joinTls(): void {
  const prototype = tls.TLSSocket.prototype as unknown as { _init?: Init }
  const init = prototype._init
  if (installed || typeof init !== 'function') return
  installed = true
  prototype._init = function _init(socket, wrap) {
    Reflect.apply(init, this, [socket, wrap])
    if (socket instanceof SocketBase) join(this, socket)
  }
}

function join(secure: Inner, socket: SocketBase): void {
  secure._parent = socket
  socket._secure = secure
  // When this side ends is up to TLS: it has something to say after the peer's end, and may have much to write.
  socket.allowHalfOpen = true
  // The handshake begins when the connection is there.
  secure.connecting = socket.connecting || socket._handle === null
  socket.once('connect', () => {
    secure.connecting = false
    secure.emit('connect')
  })
  // Not a turn later, by way of the stream between them.
  socket.once('close', () => secure.destroy())
  const between = secure._handle?._parent
  if (between !== undefined) Object.assign(between, methods(socket))
}

/** What a TLS socket asks of the handle below it: results are ≥ 0 or -errno, times are seconds. */
function methods(socket: SocketBase): Between {
  const seconds = (value: number | undefined): number | undefined =>
    value === undefined ? undefined : value * 1000
  return {
    getsockname: (out: NodeAddress): number => socket._handle?.getsockname(out) ?? -ENOTCONN,
    getpeername: (out: NodeAddress): number => socket._handle?.getpeername(out) ?? -ENOTCONN,
    setNoDelay: (on: boolean): number => done(socket.setNoDelay(on)),
    setKeepAlive: (on: boolean, delay?: number, interval?: number, count?: number): number =>
      done(socket.setKeepAlive(on, seconds(delay), seconds(interval), count)),
    ref: (): number => done(socket.ref()),
    unref: (): number => done(socket.unref()),
  }
}

function done(_socket: SocketBase): number {
  return 0
}
