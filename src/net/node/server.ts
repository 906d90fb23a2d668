// net.Server on the ring: an EventEmitter with the options, events and properties of Node's.
// Flow: the program → this → listening.ts (a socket), acceptor.ts (its connections), socket.ts.

import diagnostics from 'node:diagnostics_channel'
import dns from 'node:dns'
import { EventEmitter } from 'node:events'
import { type BlockList, isIP } from 'node:net'
import { getDefaultHighWaterMark } from 'node:stream'
import { promisify } from 'node:util'
import { defaultRing } from '../../runtime/executor.ts'
import { checkSignal, unlisten } from '../../runtime/options.ts'
import { argumentTypeError, argumentValueError, socketError } from '../../sys/error.ts'
import { closeFd } from '../../sys/syscalls.ts'
import { addressOf } from '../socket-calls.ts'
import { Acceptor } from './acceptor.ts'
import { consume, dup, hasFd, isBoundSocket } from './adopt.ts'
import { isPipeName, normalizeArgs, toNumber } from './arguments.ts'
import { AdoptableEmitter } from './callable.ts'
import { checkNumber, checkPort, hostPortError, plainError } from './errors.ts'
import {
  isShared,
  openListening,
  openToAll,
  type Place,
  preferred,
  removePath,
  SharedListening,
} from './listening.ts'
import type { ListenOptions, ServerOptions } from './options.ts'
import { checkBlockList, Socket } from './socket.ts'
import { type NodeAddress, toNodeAddress } from './socket-options.ts'

const accepted = diagnostics.channel('net.server.socket')
const listens = {
  start: diagnostics.channel('tracing:net.server.listen:asyncStart'),
  end: diagnostics.channel('tracing:net.server.listen:asyncEnd'),
  error: diagnostics.channel('tracing:net.server.listen:error'),
}

const BACKLOG = 511

type ConnectionListener = (socket: Socket) => void
type Callback = (error?: Error) => void

export class Server extends AdoptableEmitter {
  _connections = 0
  _handle: Acceptor | SharedListening | null = null
  _usingWorkers = false
  _workers: {
    getConnections(callback: (error: Error | null, count: number) => void): void
    close(done: () => void): void
  }[] = []
  _unref = false
  _listeningId = 1
  declare _pipeName?: string
  declare _connectionKey?: string
  declare maxConnections?: number
  declare dropMaxConnection?: boolean
  declare blockList?: BlockList
  allowHalfOpen: boolean
  pauseOnConnect: boolean
  noDelay: boolean
  keepAlive: boolean
  keepAliveInitialDelay: number
  highWaterMark: number

  constructor(given?: ServerOptions | ConnectionListener | null, connectionListener?: ConnectionListener) {
    super()
    if (typeof given !== 'function' && typeof given !== 'object' && given !== undefined)
      throw argumentTypeError('options', 'of type object', given)
    const listener = typeof given === 'function' ? given : connectionListener
    if (typeof listener === 'function') this.on('connection', listener)
    const options = typeof given === 'function' ? {} : { ...given }
    if (options.keepAliveInitialDelay !== undefined)
      checkNumber('options.keepAliveInitialDelay', options.keepAliveInitialDelay)
    if (options.highWaterMark !== undefined) checkNumber('options.highWaterMark', options.highWaterMark)
    const { highWaterMark = -1 } = options
    this.allowHalfOpen = options.allowHalfOpen || false
    this.pauseOnConnect = Boolean(options.pauseOnConnect)
    this.noDelay = Boolean(options.noDelay)
    this.keepAlive = Boolean(options.keepAlive)
    this.keepAliveInitialDelay = ~~(Math.max(Number(options.keepAliveInitialDelay), 0) / 1000)
    this.highWaterMark = highWaterMark < 0 ? getDefaultHighWaterMark(false) : highWaterMark
    if (options.blockList) this.blockList = checkBlockList(options.blockList)
  }

  // ---- listening

  listen(...args: unknown[]): this {
    const [given, callback] = normalizeArgs(args)
    if (this._handle !== null) throw plainError('ERR_SERVER_ALREADY_LISTEN')
    if (listens.start.hasSubscribers) listens.start.publish({ server: this, options: given })
    if (callback !== null) this.once('listening', callback)
    const backlog = toNumber(args.length > 1 && args[1]) || toNumber(args.length > 2 && args[2]) || undefined
    const options = given as ListenOptions
    this._listeningId++
    const handle = isBoundSocket(options) ? options : options.handle
    if (isBoundSocket(handle)) {
      const { fd, path } = consume(handle)
      if (path !== undefined) this._pipeName = path
      this.#open({ fd, backlog: backlog ?? BACKLOG })
      return this
    }
    const source = options._handle ?? options.handle ?? options
    if (source !== options && hasFd(source)) {
      this.#open({ fd: dup(source.fd), backlog: backlog ?? BACKLOG })
      source.close()
      return this
    }
    this.#listenTo(options)
    this.#listenOn(source as ListenOptions, args, backlog)
    return this
  }

  #listenOn(options: ListenOptions, args: readonly unknown[], fromArgs: number | undefined): void {
    const { fd, port, path } = options
    if (typeof fd === 'number' && fd >= 0) {
      this.#open({ fd, backlog: fromArgs ?? BACKLOG }, false, options)
      return
    }
    const backlog = options.backlog || fromArgs || BACKLOG
    const isAny =
      args.length === 0 || typeof args[0] === 'function' || (port === undefined && 'port' in options)
    if (isAny || port === null || typeof port === 'number' || typeof port === 'string') {
      const { ipv6Only, reusePort } = options
      const exclusive = options.exclusive || reusePort === true
      const place: Place = {
        port: checkPort(isAny || port === null ? 0 : port, 'options.port'),
        backlog,
        ipv6Only,
        reusePort,
      }
      if (options.host) this.#lookupAndListen(options.host, place, exclusive)
      else this.#open(place, exclusive)
      return
    }
    if (path && isPipeName(path)) {
      this.#listenOnPath(path, options, backlog)
      return
    }
    const what =
      'port' in options || 'path' in options ? 'is invalid' : 'must have the property "port" or "path"'
    throw argumentValueError('options', options, what)
  }

  #listenOnPath(path: string, options: ListenOptions, backlog: number): void {
    const { readableAll = false, writableAll = false } = options
    if (path.startsWith('\0') && (readableAll || writableAll)) {
      const what = 'can not set readableAll or writableAllt to true when path is abstract unix socket'
      throw argumentValueError('options', options, what)
    }
    this._pipeName = path
    this.#open({ path, readableAll, writableAll, backlog }, options.exclusive)
    if (this._handle === null) return
    try {
      openToAll(path, readableAll === true, writableAll === true)
    } catch (error) {
      this.#closeHandle()
      throw error
    }
  }

  #listenTo(options: ListenOptions): void {
    const { signal } = options
    if (signal === undefined) return
    checkSignal(signal)
    const onAbort = (): void => {
      this.close()
    }
    if (signal.aborted) process.nextTick(onAbort)
    else {
      signal.addEventListener('abort', onAbort, { once: true })
      this.once('close', () => unlisten(signal, onAbort))
    }
  }

  #lookupAndListen(host: string, place: Place, exclusive: boolean): void {
    const id = this._listeningId
    dns.lookup(host, { all: true }, (error, addresses) => {
      if (id !== this._listeningId) return
      if (error) {
        this.emit('error', error)
        return
      }
      const found = preferred(addresses)
      this.#open({ ...place, address: found?.address, family: found?.family === 6 ? 6 : 4 }, exclusive)
    })
  }

  #open(place: Place, exclusive = false, asked?: ListenOptions): void {
    if (isShared(exclusive) && place.fd === undefined) {
      this.#openShared(place, asked)
      return
    }
    const ring = defaultRing()
    const opened = openListening(ring.ring.driver, place)
    if (typeof opened === 'number') {
      const [address, port] = spoken(place)
      const error = hostPortError(opened, 'listen', address, port)
      if (listens.error.hasSubscribers) listens.error.publish({ server: this, error })
      process.nextTick(emitError, this, error)
      return
    }
    const handle = new Acceptor(ring, opened.fd, opened.kind, place.fd !== undefined, {
      onAccept: (fd) => this.#onConnection(fd, opened.kind === 'tcp'),
      onAcceptError: (res) => this.emit('error', socketError(res, 'accept')),
    })
    this._handle = handle
    handle.start()
    this.#listening(place)
  }

  /** Listens without asking anybody; `listen` of old libraries. A path comes as the address, with -1 for port and family. */
  _listen2(address: string | null, port: number, family: number, backlog?: number, fd?: number): void {
    const isPath = port === -1 && family === -1
    const where = isPath
      ? { path: address! }
      : ({ address: address ?? undefined, port, family: family === 6 ? 6 : 4 } as const)
    this.#open(
      fd === undefined ? { ...where, backlog: backlog || BACKLOG } : { fd, backlog: backlog || BACKLOG },
      true,
    )
  }

  /** In a cluster the primary listens, and hands connections out. */
  #openShared(place: Place, asked?: ListenOptions): void {
    const { address: host, port, path, backlog, ipv6Only, readableAll, writableAll } = place
    const options = asked ?? { host, port, path, backlog, ipv6Only, readableAll, writableAll }
    this._handle = new SharedListening(
      options,
      place.path === undefined ? 'tcp' : 'unix',
      (fd) => this.#onConnection(fd, place.path === undefined),
      () => this.#listening(place),
      (error) => {
        this._handle = null
        this.emit('error', error)
      },
    )
  }

  #listening(place: Place): void {
    if (listens.end.hasSubscribers) listens.end.publish({ server: this })
    this._connectionKey = `${place.family ?? 6}:${place.address ?? '::'}:${place.port}`
    if (this._unref) this.unref()
    process.nextTick(emitListening, this)
  }

  /** Whether it listens. */
  get listening(): boolean {
    return this._handle !== null
  }

  /** Where it listens: an address, a path, or null. */
  address(): NodeAddress | string | null {
    const handle = this._handle
    if (handle !== null && !(handle.kind === 'unix' && this._pipeName !== undefined)) {
      const out: NodeAddress = {}
      const res = handle.getsockname(out)
      if (res < 0) throw socketError(res, 'address')
      return out
    }
    return this._pipeName ?? null
  }

  // ---- connections

  #onConnection(fd: number, isTcp: boolean): void {
    const { driver } = defaultRing().ring
    if (this.maxConnections != null && this._connections >= this.maxConnections) {
      const data = isTcp
        ? ends(toNodeAddress(addressOf(driver, fd, 'own')), toNodeAddress(addressOf(driver, fd, 'peer')))
        : undefined
      closeFd(driver, fd)
      this.emit('drop', data)
      return
    }
    if (isTcp && this.blockList !== undefined) {
      const { address = '' } = toNodeAddress(addressOf(driver, fd, 'peer'))
      const family = isIP(address)
      if (family !== 0 && this.blockList.check(address, family === 6 ? 'ipv6' : 'ipv4')) {
        closeFd(driver, fd)
        return
      }
    }
    const socket = Socket.accepted(fd, isTcp ? 'tcp' : 'unix', this)
    this._connections++
    socket.server = this
    socket._server = this
    // In the context that called `listen`, as Node does; what the socket tells later is not.
    const handle = this._handle
    if (handle instanceof Acceptor) handle.scope.runInAsyncScope(this.emit, this, 'connection', socket)
    else this.emit('connection', socket)
    if (accepted.hasSubscribers) accepted.publish({ socket })
  }

  /** Calls back with the number of connections that are open. */
  getConnections(callback: (error: Error | null, count?: number) => void): this {
    if (!this._usingWorkers) {
      process.nextTick(callback, null, this._connections)
      return this
    }
    let left = this._workers.length
    let total = this._connections
    for (const worker of this._workers) {
      worker.getConnections((error, count) => {
        if (left < 0) return
        total += count
        left = error ? -1 : left - 1
        if (error) process.nextTick(callback, error)
        else if (left === 0) process.nextTick(callback, null, total)
      })
    }
    return this
  }

  _setupWorker(worker: Server['_workers'][number] & EventEmitter): void {
    this._usingWorkers = true
    this._workers.push(worker)
    worker.once('exit', () => this._workers.splice(this._workers.indexOf(worker), 1))
  }

  // ---- ending

  /** Stops listening; 'close' comes when the last connection has ended. */
  close(callback?: Callback): this {
    this._listeningId++
    if (typeof callback === 'function') {
      if (this._handle === null) this.once('close', () => callback(plainError('ERR_SERVER_NOT_RUNNING')))
      else this.once('close', callback)
    }
    this.#closeHandle()
    if (this._usingWorkers) this.#closeWorkers()
    else this._emitCloseIfDrained()
    return this
  }

  #closeHandle(): void {
    const handle = this._handle
    if (handle === null) return
    this._handle = null
    handle.close()
    if (this._pipeName !== undefined && handle instanceof Acceptor) removePath(this._pipeName)
  }

  #closeWorkers(): void {
    let left = this._workers.length
    // One more, so that 'close' does not come while workers are being asked.
    this._connections++
    for (const worker of this._workers) {
      worker.close(() => {
        if (--left !== 0) return
        this._connections = 0
        this._emitCloseIfDrained()
      })
    }
  }

  _emitCloseIfDrained(): void {
    if (this._handle === null && this._connections === 0) process.nextTick(emitClose, this)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this._handle === null) return
    await promisify((done: Callback) => this.close(done))()
  }

  ref(): this {
    this._unref = false
    this._handle?.ref()
    return this
  }

  unref(): this {
    this._unref = true
    this._handle?.unref()
    return this
  }

  override [EventEmitter.captureRejectionSymbol](error: Error, event: string, socket: Socket): void {
    if (event === 'connection') socket.destroy(error)
    else this.emit('error', error)
  }
}

/** How Node's errors name a place. */
function spoken({ address, port, path, fd }: Place): [string | null, number | undefined] {
  if (path !== undefined) return [path, -1]
  if (fd !== undefined) return [null, undefined]
  return [address ?? '::', port]
}

function ends(own: NodeAddress, peer: NodeAddress): object {
  return {
    localAddress: own.address,
    localPort: own.port,
    localFamily: own.family,
    remoteAddress: peer.address,
    remotePort: peer.port,
    remoteFamily: peer.family,
  }
}

function emitError(server: Server, error: Error): void {
  server.emit('error', error)
}

function emitListening(server: Server): void {
  if (server._handle !== null) server.emit('listening')
}

function emitClose(server: Server): void {
  server.emit('close')
}
