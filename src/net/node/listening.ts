// Listening sockets: by address, by path, by descriptor, or through the primary of a cluster.
// Flow: server.ts → this → socket-options.ts, acceptor.ts.

import { chmodSync, statSync, unlinkSync } from 'node:fs'
import { createServer, isIPv6 } from 'node:net'
import * as c from '../../sys/constants.ts'
import type { Driver } from '../../sys/driver.ts'
import { EACCES, EINVAL, ENOENT } from '../../sys/errno.ts'
import { socketError } from '../../sys/error.ts'
import { closeFd } from '../../sys/syscalls.ts'
import { dup } from './adopt.ts'
import { kindOf } from './handle.ts'
import { bind, listen, makeSocket, type StreamKind, setOption } from './socket-options.ts'

/** Where a server listens; what is left out is unspecified. */
export interface Place {
  address?: string | undefined
  port?: number | undefined
  family?: 4 | 6 | undefined
  path?: string | undefined
  fd?: number | undefined
  ipv6Only?: boolean | undefined
  reusePort?: boolean | undefined
  readableAll?: boolean | undefined
  writableAll?: boolean | undefined
  backlog: number
}

export interface Listening {
  fd: number
  kind: StreamKind
}

const UNIX_PATH_MAX = 107
/** uv_pipe_chmod's masks: read, and write and look up, for everybody. */
const READ_ALL = 0o444
const WRITE_ALL = 0o222

/** Opens a listening socket. @returns it, or -errno */
export function openListening(driver: Driver, place: Place): Listening | number {
  if (place.fd !== undefined) return listenOnFd(driver, place.fd, place.backlog)
  if (place.path !== undefined) return listenOnPath(driver, place.path, place)
  if (place.address !== undefined) return listenOnAddress(driver, place.address, place)
  // No address: all of them, in both families where there is IPv6.
  const both = listenOnAddress(driver, '::', { ...place, family: 6 })
  return typeof both === 'number' ? listenOnAddress(driver, '0.0.0.0', { ...place, family: 4 }) : both
}

function listenOnFd(driver: Driver, fd: number, backlog: number): Listening | number {
  let kind: StreamKind
  try {
    kind = kindOf(driver, fd)
  } catch {
    return -EINVAL
  }
  if (kind === 'fifo') return -EINVAL
  const res = listen(driver, fd, backlog)
  return res < 0 ? res : { fd, kind }
}

function listenOnAddress(driver: Driver, address: string, place: Place): Listening | number {
  const isSix = place.family === 6
  const fd = makeSocket(driver, isSix ? 6 : 4)
  if (fd < 0) return fd
  setOption(driver, fd, c.SOL_SOCKET, c.SO_REUSEADDR, 1)
  if (place.reusePort === true) setOption(driver, fd, c.SOL_SOCKET, c.SO_REUSEPORT, 1)
  if (isSix) setOption(driver, fd, c.IPPROTO_IPV6, c.IPV6_V6ONLY, place.ipv6Only === true ? 1 : 0)
  let res = bind(driver, fd, { address, port: place.port ?? 0 })
  if (res === 0) res = listen(driver, fd, place.backlog)
  if (res === 0) return { fd, kind: 'tcp' }
  closeFd(driver, fd)
  return res
}

function listenOnPath(driver: Driver, path: string, place: Place): Listening | number {
  if (Buffer.byteLength(path) > UNIX_PATH_MAX) return -EINVAL
  const fd = makeSocket(driver, 'unix')
  if (fd < 0) return fd
  let res = bind(driver, fd, { path })
  // A directory that isn't there: libuv calls it EACCES, as on Windows.
  if (res === -ENOENT) res = -EACCES
  if (res === 0) {
    res = listen(driver, fd, place.backlog)
    if (res < 0) removePath(path)
  }
  if (res === 0) return { fd, kind: 'unix' }
  closeFd(driver, fd)
  return res
}

/** Lets others use a Unix socket. */
export function openToAll(path: string, readable: boolean, writable: boolean): void {
  const mode = (readable ? READ_ALL : 0) | (writable ? WRITE_ALL : 0)
  if (mode === 0) return
  try {
    chmodSync(path, statSync(path).mode | mode)
  } catch (error) {
    throw socketError((error as NodeJS.ErrnoException).errno ?? -EINVAL, 'uv_pipe_chmod')
  }
}

/** A Unix socket's name goes with its server. */
export function removePath(path: string): void {
  if (path.startsWith('\0')) return
  try {
    unlinkSync(path)
  } catch {
    // Somebody else was quicker.
  }
}

/** The address to listen on among those of a name: a link-local one only if there is no other. */
export function preferred<T extends { address: string }>(addresses: readonly T[]): T | undefined {
  return addresses.find(({ address }) => !isLinkLocal(address)) ?? addresses[0]
}

/** fe80::/10 */
function isLinkLocal(address: string): boolean {
  return isIPv6(address) && /^fe[89ab]/i.test(address)
}

/** Whether connections come through the primary process of a cluster: a worker has a channel to it, and the module loaded. */
export function isShared(exclusive: boolean): boolean {
  return !exclusive && process.send !== undefined && process.getBuiltinModule('node:cluster').isWorker
}

/** A server of Node's own that hands us the descriptors of its connections. */
export class SharedListening {
  readonly #server = createServer({ pauseOnConnect: true })
  readonly kind: StreamKind

  /** @param onAccept gets a descriptor of our own */
  constructor(
    options: object,
    kind: StreamKind,
    onAccept: (fd: number) => void,
    onListening: () => void,
    onError: (error: Error) => void,
  ) {
    this.kind = kind
    this.#server.on('connection', (socket) => {
      const { _handle } = socket as unknown as { _handle: { fd: number } }
      const fd = dup(_handle.fd)
      socket.destroy()
      onAccept(fd)
    })
    this.#server.on('error', onError)
    this.#server.listen(options, onListening)
  }

  get fd(): number {
    return (this.#server as unknown as { _handle?: { fd: number } })._handle?.fd ?? -1
  }

  getsockname(out: object): number {
    Object.assign(out, this.#server.address())
    return 0
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
