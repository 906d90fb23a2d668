// The options of node:net's sockets and servers, with those that its type definitions leave out.
// Flow: every file of net/node → this. Types only.

import type { BlockList, LookupFunction, OnReadOpts } from 'node:net'
import type { DuplexOptions } from 'node:stream'

export interface SocketOptions extends DuplexOptions {
  fd?: number
  handle?: unknown
  readable?: boolean
  writable?: boolean
  allowHalfOpen?: boolean
  pauseOnCreate?: boolean
  manualStart?: boolean
  onread?:
    | OnReadOpts
    | { buffer: Uint8Array | (() => Uint8Array); callback(bytes: number, buffer: Uint8Array): boolean }
  noDelay?: boolean
  keepAlive?: boolean
  keepAliveInitialDelay?: number
  typeOfService?: number
  blockList?: BlockList
  signal?: AbortSignal
}

export interface ConnectOptions {
  port?: number | string | null
  host?: string
  path?: string | null
  localAddress?: string
  localPort?: number
  family?: number | 'IPv4' | 'IPv6'
  hints?: number
  lookup?: LookupFunction
  autoSelectFamily?: boolean
  autoSelectFamilyAttemptTimeout?: number
  timeout?: number
}

export interface ServerOptions {
  allowHalfOpen?: boolean
  pauseOnConnect?: boolean
  noDelay?: boolean
  keepAlive?: boolean
  keepAliveInitialDelay?: number
  highWaterMark?: number
  blockList?: BlockList
}

export interface ListenOptions {
  port?: number | string | null
  host?: string
  path?: string
  backlog?: number
  exclusive?: boolean
  ipv6Only?: boolean
  reusePort?: boolean
  readableAll?: boolean
  writableAll?: boolean
  signal?: AbortSignal
  fd?: number
  handle?: unknown
  _handle?: unknown
}
