// What of a socket is not data: its handle, options, addresses, counters and timeout.
// Flow: socket.ts extends this → handle.ts.
// Public names, the underscored ones too, are Node's: programs use them. What is ours has symbols for names, not `#`: so a Proxy of a
// socket, an object that inherits from one, and the prototype itself can be asked as Node's can.

import type { BlockList } from 'node:net'
import type { Duplex, DuplexOptions } from 'node:stream'
import { argumentTypeError, socketError } from '../../sys/error.ts'
import { checkFunction, checkInteger } from '../../sys/validate.ts'
import { AdoptableDuplex } from './callable.ts'
import { checkDelay } from './errors.ts'
import { StreamHandle } from './handle.ts'
import type { NodeAddress } from './socket-options.ts'
import type { UnopenedHandle } from './unopened.ts'

export interface KeepAliveOptions {
  enable?: boolean
  initialDelay?: number
  interval?: number
  count?: number
}

const TIMER = Symbol('timer')
const HANDLE = Symbol('handle')
const NO_DELAY = Symbol('noDelay')
const KEEP_ALIVE = Symbol('keepAlive')
const KEEP_ALIVE_DELAY = Symbol('keepAliveDelay')
const KEEP_ALIVE_INTERVAL = Symbol('keepAliveInterval')
const KEEP_ALIVE_COUNT = Symbol('keepAliveCount')
const TYPE_OF_SERVICE = Symbol('typeOfService')
const LAST_QUEUE_SIZE = Symbol('lastQueueSize')
const BYTES_READ = Symbol('bytesRead')
const BYTES_WRITTEN = Symbol('bytesWritten')
type Timed = { [TIMER]?: NodeJS.Timeout | null; _parent?: Timed | null }

export class SocketBase extends AdoptableDuplex {
  connecting = false
  _hadError = false
  _parent: Timed | null = null
  _host: string | null = null
  _closeAfterHandlingError = false
  _sockname: NodeAddress | null = null
  declare _peername?: NodeAddress | null
  _pendingData: unknown = null
  _pendingEncoding = ''
  server: unknown = null
  _server: unknown = null
  declare timeout?: number
  declare blockList?: BlockList
  declare autoSelectFamilyAttemptedAddresses?: string[]
  declare resetAndClosing?: boolean
  _aborted = false
  /** The TLS socket on top. */
  _secure: { readonly writableEnded: boolean } | null = null;
  [TIMER]: NodeJS.Timeout | null = null;
  [HANDLE]: StreamHandle | UnopenedHandle | null = null;
  [NO_DELAY] = false;
  [KEEP_ALIVE] = false;
  [KEEP_ALIVE_DELAY] = 0;
  [KEEP_ALIVE_INTERVAL]: number | undefined;
  [KEEP_ALIVE_COUNT]: number | undefined;
  [TYPE_OF_SERVICE]: number | undefined;
  [LAST_QUEUE_SIZE] = 0;
  /** Counters outlive the handle. */
  [BYTES_READ] = 0;
  [BYTES_WRITTEN] = 0
  /** The path that a Unix socket was bound to before it connected. */
  _boundPath: string | undefined

  constructor(options: DuplexOptions) {
    super(options)
  }

  /** What stands for the connection below; null before `connect` and after `destroy`. */
  get _handle(): StreamHandle | UnopenedHandle | null {
    return this[HANDLE]
  }

  set _handle(handle: StreamHandle | UnopenedHandle | null) {
    this[HANDLE] = handle
  }

  /** The handle, once it has a descriptor. */
  protected get _opened(): StreamHandle | null {
    return this[HANDLE] instanceof StreamHandle ? this[HANDLE] : null
  }

  // ---- options

  setNoDelay(enable?: boolean): this {
    const on = Boolean(enable ?? true)
    const handle = this._opened
    if (handle !== null && on !== this[NO_DELAY]) handle.setNoDelay(on)
    this[NO_DELAY] = on
    return this
  }

  setKeepAlive(
    enable?: boolean | KeepAliveOptions,
    initialDelay?: number,
    interval?: number,
    count?: number,
  ): this {
    if (typeof enable === 'object' && enable !== null) {
      return this.setKeepAlive(Boolean(enable.enable), enable.initialDelay, enable.interval, enable.count)
    }
    const on = Boolean(enable)
    const delay = ~~(Number(initialDelay) / 1000)
    const every = interval === undefined ? undefined : ~~(interval / 1000)
    const isNew =
      this[KEEP_ALIVE_DELAY] !== delay ||
      this[KEEP_ALIVE_INTERVAL] !== every ||
      this[KEEP_ALIVE_COUNT] !== count
    const changes = on !== this[KEEP_ALIVE] || (on && isNew)
    this[KEEP_ALIVE] = on
    this[KEEP_ALIVE_DELAY] = delay
    this[KEEP_ALIVE_INTERVAL] = every
    this[KEEP_ALIVE_COUNT] = count
    if (changes) this._opened?.setKeepAlive(on, delay, every, count)
    return this
  }

  /** Sets the IP_TOS byte, or IPv6's traffic class. */
  setTypeOfService(tos: number): this {
    if (Number.isNaN(tos)) throw argumentTypeError('tos', 'of type number', tos)
    checkInteger('tos', tos, 0, 255)
    const handle = this._opened
    const changes = tos !== this[TYPE_OF_SERVICE]
    this[TYPE_OF_SERVICE] = tos
    const res = handle !== null && changes ? handle.setTypeOfService(tos) : 0
    if (res < 0) throw socketError(res, 'setTypeOfService')
    return this
  }

  getTypeOfService(): number {
    const handle = this._opened
    if (handle === null) return this[TYPE_OF_SERVICE] ?? 0
    const res = handle.getTypeOfService()
    if (res < 0) throw socketError(res, 'getTypeOfService')
    return res
  }

  /** Takes options that wait for a connection. */
  protected _remember(noDelay: boolean, keepAlive: boolean, delay: number, tos?: number): void {
    this[NO_DELAY] = noDelay
    this[KEEP_ALIVE] = keepAlive
    this[KEEP_ALIVE_DELAY] = delay
    this[TYPE_OF_SERVICE] = tos
  }

  /** Gives the connection the options that were set before it was there. @returns 0 or -errno */
  protected _applyOptions(handle: StreamHandle): number {
    if (this[NO_DELAY]) handle.setNoDelay(true)
    if (this[KEEP_ALIVE])
      handle.setKeepAlive(true, this[KEEP_ALIVE_DELAY], this[KEEP_ALIVE_INTERVAL], this[KEEP_ALIVE_COUNT])
    return this[TYPE_OF_SERVICE] === undefined ? 0 : handle.setTypeOfService(this[TYPE_OF_SERVICE])
  }

  ref(): this {
    if (this[HANDLE] === null) this.once('connect', this.ref)
    else this[HANDLE].ref()
    return this
  }

  unref(): this {
    if (this[HANDLE] === null) this.once('connect', this.unref)
    else this[HANDLE].unref()
    return this
  }

  // ---- the idle timeout

  setTimeout(msecs: number, callback?: () => void): this {
    if (this.destroyed) return this
    this.timeout = msecs
    const delay = checkDelay('msecs', msecs)
    this._clearTimer()
    if (callback !== undefined) checkFunction('callback', callback)
    if (delay === 0) {
      if (callback !== undefined) this.removeListener('timeout', callback)
      return this
    }
    this[TIMER] = setTimeout(onTimeout, delay, this).unref()
    if (callback !== undefined) this.once('timeout', callback)
    return this
  }

  _clearTimer(): void {
    if (this[TIMER] === null) return
    clearTimeout(this[TIMER])
    this[TIMER] = null
  }

  /** Something happened: the timeouts of this socket and of those it belongs to begin anew. */
  _unrefTimer(): void {
    if (this[TIMER] === null && this._parent === null) return
    for (let socket: Timed | null | undefined = this; socket != null; socket = socket._parent)
      socket[TIMER]?.refresh()
  }

  /** A write that goes on is no idleness: its queue gets shorter. */
  _onTimeout(): void {
    const size = this[HANDLE]?.writeQueueSize ?? 0
    if (size > 0 && size !== this[LAST_QUEUE_SIZE]) {
      this[LAST_QUEUE_SIZE] = size
      this._unrefTimer()
      this[TIMER]?.refresh()
      return
    }
    this.emit('timeout')
  }

  // ---- addresses

  address(): NodeAddress {
    return this._getsockname()
  }

  _getpeername(): NodeAddress {
    const handle = this[HANDLE]
    if (handle == null || this.connecting) return this._peername ?? {}
    if (this._peername == null) {
      const out: NodeAddress = {}
      if (handle.getpeername(out) < 0) return out
      this._peername = out
    }
    return this._peername
  }

  _getsockname(): NodeAddress {
    if (this._boundPath !== undefined) return { address: this._boundPath }
    if (this[HANDLE] == null) return {}
    if (this._sockname === null) {
      this._sockname = {}
      this[HANDLE].getsockname(this._sockname)
    }
    return this._sockname
  }

  get remoteAddress(): string | undefined {
    return this._getpeername().address
  }

  get remoteFamily(): string | undefined {
    return this._getpeername().family
  }

  get remotePort(): number | undefined {
    return this._getpeername().port
  }

  get localAddress(): string | undefined {
    return this._getsockname().address
  }

  get localFamily(): string | undefined {
    return this._getsockname().family
  }

  get localPort(): number | undefined {
    return this._getsockname().port
  }

  // ---- states and counters

  get _connecting(): boolean {
    return this.connecting
  }

  /** Whether there is no connection yet. */
  get pending(): boolean {
    return this[HANDLE] == null || this.connecting
  }

  get readyState(): 'opening' | 'open' | 'readOnly' | 'writeOnly' | 'closed' {
    if (this.connecting) return 'opening'
    if (this.readable) return this.writable ? 'open' : 'readOnly'
    return this.writable ? 'writeOnly' : 'closed'
  }

  get bufferSize(): number | undefined {
    return this[HANDLE] == null ? undefined : this.writableLength
  }

  get bytesRead(): number {
    return this[HANDLE] == null ? this[BYTES_READ] : this[HANDLE].bytesRead
  }

  get _bytesDispatched(): number {
    return this[HANDLE] == null ? this[BYTES_WRITTEN] : this[HANDLE].bytesWritten
  }

  /** Bytes given to `write`, sent or not. */
  get bytesWritten(): number {
    let bytes = this._bytesDispatched
    for (const piece of buffered(this)) bytes += byteLength(piece.chunk, piece.encoding)
    const pending = this._pendingData
    if (Array.isArray(pending)) {
      for (const { chunk, encoding } of pending) bytes += byteLength(chunk, encoding)
    } else if (pending != null) bytes += byteLength(pending as string, this._pendingEncoding)
    return bytes
  }

  /** Keeps the counters and lets the handle go. */
  protected _takeHandle(): StreamHandle | UnopenedHandle | null {
    const handle = this[HANDLE]
    if (handle === null) return null
    this[BYTES_READ] = handle.bytesRead
    this[BYTES_WRITTEN] = handle.bytesWritten
    return handle
  }
}

function onTimeout(socket: SocketBase): void {
  socket._onTimeout()
}

function byteLength(chunk: string | Uint8Array, encoding: string): number {
  return typeof chunk === 'string' ? Buffer.byteLength(chunk, encoding as BufferEncoding) : chunk.byteLength
}

/** The writes that a stream still holds; Node's own getter, which the type definitions leave out. */
export function buffered(
  stream: Duplex,
): { chunk: string | Uint8Array; encoding: BufferEncoding | 'buffer' }[] {
  const { writableBuffer } = stream as Duplex & {
    writableBuffer?: { chunk: string | Uint8Array; encoding: BufferEncoding | 'buffer' }[]
  }
  return writableBuffer ?? []
}
