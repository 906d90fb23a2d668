// net.Socket on the ring: a Duplex with the options, events and properties of Node's.
// Flow: the program → this → handle.ts (a connection), connecting.ts (making one).

import diagnostics from 'node:diagnostics_channel'
import { BlockList } from 'node:net'
import { addAbortSignal, type DuplexOptions } from 'node:stream'
import { defaultRing } from '../../runtime/executor.ts'
import { checkSignal } from '../../runtime/options.ts'
import { ENOTCONN } from '../../sys/errno.ts'
import { argumentTypeError, argumentValueError, socketError } from '../../sys/error.ts'
import { checkFd, checkInteger, checkString } from '../../sys/validate.ts'
import { consume, dup, hasFd, isBoundSocket } from './adopt.ts'
import { isNormalized, normalizeArgs } from './arguments.ts'
import { connectTo, lookupAndConnect } from './connecting.ts'
import { checkNumber, endedByPeer, invalidHandleType, missingArgs, plainError } from './errors.ts'
import { type HandleOwner, kindOf, StreamHandle } from './handle.ts'
import type { SocketOptions } from './options.ts'
import { buffered, SocketBase } from './socket-base.ts'
import type { StreamKind } from './socket-options.ts'
import { UnopenedHandle } from './unopened.ts'
import type { Encoding, Piece, WriteDone } from './writer.ts'

const EARS = Symbol('ears')
const BOUND_FD = Symbol('boundFd')
const clients = diagnostics.channel('net.client.socket')

/** What a socket's server must know of it. */
interface Counting {
  _connections: number
  _emitCloseIfDrained?(): void
}

/** Node's option that has bytes written into memory of the caller's. */
interface OnRead {
  buffer: Uint8Array | (() => Uint8Array)
  callback(this: Socket, bytes: number, buffer: Uint8Array): boolean
}

/** What a server says about the sockets of its connections. */
interface Accepting {
  readonly allowHalfOpen: boolean
  readonly highWaterMark: number
  readonly noDelay: boolean
  readonly keepAlive: boolean
  readonly keepAliveInitialDelay: number
  readonly pauseOnConnect: boolean
}

/** Brings what the handle tells to its socket. */
class Ears implements HandleOwner {
  readonly #socket: Socket
  readonly #onread: OnRead | null
  #buffer: Uint8Array | null = null

  constructor(socket: Socket, onread: OnRead | null) {
    this.#socket = socket
    this.#onread = onread
    if (onread !== null) this.#buffer = typeof onread.buffer === 'function' ? onread.buffer() : onread.buffer
  }

  get ownsBuffer(): boolean {
    return this.#onread !== null
  }

  onRead(bytes: Buffer): boolean {
    const socket = this.#socket
    socket._unrefTimer()
    if (socket.destroyed) return false
    const goOn = this.#onread === null ? socket.push(bytes) : this.#intoBuffer(bytes, this.#onread)
    const handle = socket._handle
    if (!goOn && handle !== null) handle.reading = false
    return goOn
  }

  /** As much at a time as the caller's buffer holds, until there is no more or the caller wants no more for now. */
  #intoBuffer(bytes: Buffer, onread: OnRead): boolean {
    const socket = this.#socket
    for (let at = 0; at < bytes.byteLength && !socket.destroyed; ) {
      const buffer = this.#buffer!
      const part = bytes.subarray(at, at + buffer.byteLength)
      buffer.set(part)
      at += part.byteLength
      const goOn = onread.callback.call(socket, part.byteLength, buffer) !== false
      const next = typeof onread.buffer === 'function' ? onread.buffer() : null
      if (next instanceof Uint8Array) this.#buffer = next
      const handle = socket._handle
      if (!(handle instanceof StreamHandle) || (goOn && handle.reading)) continue
      if (at < bytes.byteLength) handle.unread(bytes.subarray(at))
      return false
    }
    return true
  }

  onEnd(): void {
    const socket = this.#socket
    socket._unrefTimer()
    if (socket.destroyed) return
    socket.push(null)
    socket.read(0)
  }

  onReadError(res: number): void {
    this.#socket._unrefTimer()
    this.#socket.destroy(socketError(res, 'read'))
  }

  /** When TLS has ended its side, its last words may find nobody: no error then, as with Node. */
  onWriteError(error: Error): void {
    const isOver = this.#socket._secure?.writableEnded === true
    this.#socket.destroy(isOver ? undefined : error)
  }

  onWritten(): void {
    if (!this.#socket.destroyed) this.#socket._unrefTimer()
  }
}

export class Socket extends SocketBase {
  readonly [EARS]: Ears;
  /** Whether the handle was there before its connection. */
  [BOUND_FD] = false

  constructor(given?: SocketOptions | number) {
    const options = prepare(given)
    // The stream would destroy a socket that is not finished, were the signal aborted already.
    const { signal } = options
    super((signal ? { ...options, signal: undefined } : options) as DuplexOptions)
    const { onread } = options
    this[EARS] = new Ears(this, isOnRead(onread) ? onread : null)
    const { typeOfService } = options
    if (typeOfService !== undefined) checkInteger('options.typeOfService', typeOfService, 0, 255)
    this._remember(
      Boolean(options.noDelay),
      Boolean(options.keepAlive),
      ~~(Number(options.keepAliveInitialDelay) / 1000),
      typeOfService,
    )
    this.on('end', onReadableEnd)
    if (options.handle) adopt(this, options.handle)
    else if (options.fd !== undefined) {
      checkFd(options.fd)
      this[BOUND_FD] = !isConnected(this._open(options.fd))
    }
    if (this._handle !== null && options.readable !== false) {
      if (options.pauseOnCreate) this.pause()
      else if (!options.manualStart) startReading(this, options.fd !== undefined)
    }
    if (options.blockList) this.blockList = checkBlockList(options.blockList)
    if (signal) listenTo(this, signal)
  }

  /** The socket of a connection that a server accepted. */
  static accepted(fd: number, kind: StreamKind, server: Accepting): Socket {
    const socket = new Socket({
      allowHalfOpen: server.allowHalfOpen,
      readableHighWaterMark: server.highWaterMark,
      writableHighWaterMark: server.highWaterMark,
    })
    socket._remember(server.noDelay, server.keepAlive, server.keepAliveInitialDelay)
    socket._applyOptions(socket._open(fd, kind))
    if (server.pauseOnConnect) socket.pause()
    else socket.read(0)
    return socket
  }

  /** Makes a descriptor this socket's connection; the socket closes it. */
  _open(fd: number, kind?: StreamKind): StreamHandle {
    const ring = defaultRing()
    const handle = new StreamHandle(ring, fd, kind ?? kindOf(ring.ring.driver, fd), this[EARS])
    if (this._handle !== null && !this._handle.hasRef()) handle.unref()
    this._handle = handle
    this._sockname = null
    return handle
  }

  /** Whether `connect` goes through a socket that was bound before. */
  get _isBound(): boolean {
    return this[BOUND_FD] && this._handle !== null
  }

  // ---- connecting

  connect(...args: unknown[]): this {
    const [first] = args
    const [options, callback] = isNormalized(first) ? first : normalizeArgs(args)
    if (clients.hasSubscribers) clients.publish({ socket: this })
    if (callback !== null) this.once('connect', callback)
    if ((this._parent as { connecting?: boolean } | null)?.connecting) return this
    if (options.port === undefined && options.path == null) throw missingArgs()
    if (this.write !== Socket.prototype.write) this.write = Socket.prototype.write
    if (this.destroyed) {
      this._handle = null
      this._peername = null
      this._sockname = null
    }
    const isPipe = this._isBound ? this._opened?.kind !== 'tcp' : Boolean(options.path)
    if (this._handle === null) {
      revive(this)
      this._handle = new UnopenedHandle()
    }
    this._unrefTimer()
    this.connecting = true
    if (isPipe) {
      checkString('options.path', options.path)
      connectTo(this, options.path)
    } else lookupAndConnect(this, options)
    return this
  }

  /** The connection is there: what was set before takes effect, and it is told. */
  _onEstablished(handle: StreamHandle): void {
    this.connecting = false
    this._sockname = null
    this._unrefTimer()
    const res = this._applyOptions(handle)
    if (res < 0) this.emit('error', socketError(res, 'setTypeOfService'))
    this.emit('connect')
    this.emit('ready')
    if (!this.isPaused()) this.read(0)
  }

  // ---- reading

  override _read(size: number): void {
    const handle = this._handle
    if (this.connecting || handle === null) this.once('connect', () => this._read(size))
    else if (!handle.reading) readStart(handle)
  }

  override pause(): this {
    flow(this, false)
    return super.pause()
  }

  override resume(): this {
    flow(this, true)
    return super.resume()
  }

  override read(size?: number): unknown {
    flow(this, true)
    return super.read(size)
  }

  // ---- writing

  override _write(chunk: Uint8Array | string, encoding: Encoding, done: WriteDone): void {
    const handle = this._opened
    if (handle === null || this.connecting) this._writeGeneric(false, chunk, encoding, done)
    else {
      this._unrefTimer()
      handle.write(chunk, encoding, done)
    }
  }

  override _writev(pieces: Piece[], done: WriteDone): void {
    const handle = this._opened
    if (handle === null || this.connecting) this._writeGeneric(true, pieces, '', done)
    else {
      this._unrefTimer()
      handle.writev(pieces, done)
    }
  }

  /** A write that may have to wait for the connection. */
  _writeGeneric(isMany: boolean, data: unknown, encoding: string, done: WriteDone): void {
    if (this.connecting) {
      this._pendingData = data
      this._pendingEncoding = encoding
      const onClose = (): void => done(plainError('ERR_SOCKET_CLOSED_BEFORE_CONNECTION'))
      this.once('connect', () => {
        this.off('close', onClose)
        this._writeGeneric(isMany, data, encoding, done)
      })
      this.once('close', onClose)
      return
    }
    this._pendingData = null
    this._pendingEncoding = ''
    if (this._opened === null) done(plainError('ERR_SOCKET_CLOSED'))
    else if (isMany) this._writev(data as Piece[], done)
    else this._write(data as string, encoding as Encoding, done)
  }

  override _final(done: WriteDone): void {
    if (this.connecting) {
      this.once('connect', () => this._final(done))
      return
    }
    const handle = this._opened
    if (handle === null) done()
    else
      handle.shutdown((res) => done(res < 0 && res !== -ENOTCONN ? socketError(res, 'shutdown') : undefined))
  }

  override end(...args: unknown[]): this {
    super.end(...(args as []))
    return this
  }

  // ---- ending

  /** Ends this side, and destroys the socket when all is sent. */
  destroySoon(): void {
    if (this.writable) this.end()
    if (this.writableFinished) this.destroy()
    else this.once('finish', this.destroy)
  }

  /** Closes a TCP connection with a reset. */
  resetAndDestroy(): this {
    const handle = this._handle
    if (handle === null) return this.destroy(plainError('ERR_SOCKET_CLOSED'))
    if (handle instanceof StreamHandle && handle.kind !== 'tcp') throw invalidHandleType()
    if (this.connecting) this.once('connect', () => this._reset())
    else this._reset()
    return this
  }

  _reset(): this {
    this.resetAndClosing = true
    return this.destroy()
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.connecting = false
    for (let socket: SocketBase | null = this; socket != null; socket = socket._parent as SocketBase | null)
      socket._clearTimer?.()
    const handle = this._takeHandle()
    if (handle === null) {
      done(error)
      process.nextTick(emitClose, this)
    } else {
      closeHandle(this, handle, error !== null)
      done(error)
    }
    const server = this._server as Counting | null
    if (server !== null) {
      server._connections--
      server._emitCloseIfDrained?.()
    }
  }
}

function emitClose(socket: Socket): void {
  socket.emit('close')
}

/** Descriptors of FIFOs have no peer, and need none. */
function isConnected(handle: StreamHandle): boolean {
  return handle.kind === 'fifo' || handle.getpeername({}) === 0
}

/** What has no connection yet is left alone; a descriptor that nobody connects says so when it is read from. */
function startReading(socket: Socket, isFd: boolean): void {
  if (!socket[BOUND_FD]) socket.read(0)
  else if (isFd) process.nextTick(readUnlessConnecting, socket)
}

function readUnlessConnecting(socket: Socket): void {
  if (!socket.connecting && !socket.destroyed) socket.read(0)
}

function readStart(handle: StreamHandle | UnopenedHandle): void {
  handle.reading = true
  if (handle instanceof StreamHandle) handle.readStart()
}

/** With `onread` nothing is buffered, so `pause` and `resume` stop and start the connection itself. */
function flow(socket: Socket, on: boolean): void {
  const { _handle: handle, [EARS]: ears } = socket
  if (!ears.ownsBuffer || socket.connecting || handle === null || handle.reading === on) return
  if (on) readStart(handle)
  else {
    handle.reading = false
    if (handle instanceof StreamHandle && !socket.destroyed) handle.readStop()
  }
}

function closeHandle(socket: Socket, handle: StreamHandle | UnopenedHandle, hadError: boolean): void {
  const closed = (): void => {
    socket.emit('close', hadError)
  }
  const isOpen = handle instanceof StreamHandle
  if (socket.resetAndClosing && isOpen) {
    socket.resetAndClosing = false
    const res = handle.reset(closed)
    if (res < 0) socket.emit('error', socketError(res, 'reset'))
  } else if (socket._closeAfterHandlingError) {
    // The handle stays visible to those who handle the error.
    queueMicrotask(() => {
      handle.close(closed)
      socket._handle = null
    })
    return
  } else if (isOpen) handle.close(closed, socket.writableFinished ? [] : buffered(socket))
  else handle.close(closed)
  socket._handle = null
  socket._sockname = null
}

/** Takes a connection, or a bound socket, that somebody else opened. */
function adopt(socket: Socket, source: unknown): void {
  if (source instanceof StreamHandle) {
    // One of ours is shared, as Node's are: what comes goes to the newer owner.
    source.tell(socket[EARS])
    socket._handle = source
  } else if (isBoundSocket(source)) {
    const { fd, path } = consume(source)
    socket[BOUND_FD] = true
    socket._boundPath = path
    socket._open(fd)
  } else if (hasFd(source)) {
    socket._open(dup(source.fd))
    source.close()
  } else {
    throw argumentTypeError('options.handle', 'a handle with a descriptor', source)
  }
}

/** An aborted socket is destroyed, and tries no further address; of the latter Node takes note a tick later, too. */
function listenTo(socket: Socket, signal: AbortSignal): void {
  addAbortSignal(signal, socket)
  process.nextTick(() => {
    const onAbort = (): void => {
      socket._aborted = true
    }
    if (signal.aborted) onAbort()
    else if (!socket.destroyed) {
      signal.addEventListener('abort', onAbort, { once: true })
      socket.once('close', () => signal.removeEventListener('abort', onAbort))
    }
  })
}

/** Checks what `new Socket` takes, and adds what its Duplex needs. */
function prepare(given: SocketOptions | number | undefined): SocketOptions {
  const options: SocketOptions = typeof given === 'number' ? { fd: given } : { ...given }
  for (const name of ['objectMode', 'readableObjectMode', 'writableObjectMode'] as const) {
    if (options[name]) throw argumentValueError(`options.${name}`, options[name], 'is not supported')
  }
  if (options.keepAliveInitialDelay !== undefined) {
    checkNumber('options.keepAliveInitialDelay', options.keepAliveInitialDelay)
    if (options.keepAliveInitialDelay < 0) options.keepAliveInitialDelay = 0
  }
  if (options.signal) {
    try {
      checkSignal(options.signal)
    } catch {
      throw argumentTypeError('signal', 'an instance of AbortSignal', options.signal)
    }
  }
  options.allowHalfOpen = Boolean(options.allowHalfOpen)
  options.emitClose = false
  options.autoDestroy = true
  options.decodeStrings = false
  return options
}

export function checkBlockList(list: unknown): BlockList {
  const isList = (BlockList as { isBlockList?(value: unknown): boolean }).isBlockList?.(list)
  if (isList ?? list instanceof BlockList) return list as BlockList
  throw argumentTypeError('options.blockList', 'an net.BlockList', list)
}

function isOnRead(onread: unknown): onread is OnRead {
  if (typeof onread !== 'object' || onread === null) return false
  const { buffer, callback } = onread as Partial<OnRead>
  return (buffer instanceof Uint8Array || typeof buffer === 'function') && typeof callback === 'function'
}

/** A socket that was destroyed may connect again. */
function revive(socket: Socket): void {
  ;(socket as unknown as { _undestroy(): void })._undestroy()
}

/** A side that the peer has ended can't be written to unless it may stay half open: say so plainly. */
function onReadableEnd(this: Socket): void {
  if (!this.allowHalfOpen) this.write = writeAfterEnd as Socket['write']
}

function writeAfterEnd(this: Socket, chunk: unknown, encoding?: unknown, callback?: unknown): boolean {
  if (!this.writableEnded) {
    return Socket.prototype.write.call(this, chunk, encoding as BufferEncoding, callback as () => void)
  }
  const done = typeof encoding === 'function' ? encoding : callback
  const error = endedByPeer()
  if (typeof done === 'function') process.nextTick(done as (error: Error) => void, error)
  this.destroy(error)
  return false
}
