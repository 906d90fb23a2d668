// The errors of every layer, and the only place that makes them, in Node's own form.
// Flow: every layer → this → errno.ts.
// Two kinds: the kernel said no (`errnoError`, `socketError`), or the caller must not ask (`ERR_*`).

import { inspect } from 'node:util'
import { errnoName, errnoText } from './errno.ts'

// — What the kernel refused —

/** What an error tells besides its number; only what is given becomes a property. */
export interface ErrorDetails {
  path?: string | undefined
  dest?: string | undefined
  address?: string | undefined
  port?: number | undefined
  fd?: number | undefined
  /** The request's opcode by name, such as 'READ'. */
  op?: string | undefined
  cause?: unknown
}

/**
 * A system call or request that failed; the same properties and text as Node's system errors. Like theirs, it names `Error` as its
 * constructor: so logs, which show a constructor's name, show what they would with Node.
 */
export class UringError extends Error {
  /** Negative, as in Node: -2. */
  errno: number
  /** The number's name: 'ENOENT'. */
  code: string
  /** Node's word for what was tried: 'open', 'read', 'connect'. */
  syscall: string
  declare path?: string
  declare dest?: string
  declare address?: string
  declare port?: number
  declare fd?: number
  declare op?: string

  constructor(message: string, errno: number, code: string, syscall: string, details?: ErrorDetails) {
    super(message, details?.cause === undefined ? undefined : { cause: details.cause })
    this.errno = errno
    this.code = code
    this.syscall = syscall
    if (details === undefined) return
    if (details.path !== undefined) this.path = details.path
    if (details.dest !== undefined) this.dest = details.dest
    if (details.address !== undefined) this.address = details.address
    if (details.port !== undefined) this.port = details.port
    if (details.fd !== undefined) this.fd = details.fd
    if (details.op !== undefined) this.op = details.op
  }
}
Object.defineProperty(UringError.prototype, 'constructor', { get: () => Error, configurable: true })

/**
 * Makes the error of a failed call on a file: "ENOENT: no such file or directory, open 'x'".
 * @param res the result: -errno
 * @param syscall Node's word for the call, such as 'open'
 */
export function errnoError(res: number, syscall: string, details?: ErrorDetails): UringError {
  const errno = -Math.abs(res)
  const code = errnoName(errno)
  let message = `${code}: ${errnoText(errno)}, ${syscall}`
  if (details?.path !== undefined) message += ` '${details.path}'`
  if (details?.dest !== undefined) message += ` -> '${details.dest}'`
  return new UringError(message, errno, code, syscall, details)
}

/** What the message of a socket's error says besides. */
export interface SocketErrorDetails extends ErrorDetails {
  /** The own side, added as " - Local (127.0.0.1:4000)". */
  local?: string | undefined
  /** Says in words what the number means, as Node does for 'listen'. */
  withText?: boolean
}

/**
 * Makes the error of a failed call on a socket: "connect ECONNREFUSED 127.0.0.1:1", "read ECONNRESET",
 * "listen EADDRINUSE: address already in use 127.0.0.1:80".
 * @param res the result: -errno
 */
export function socketError(res: number, syscall: string, details: SocketErrorDetails = {}): UringError {
  const errno = -Math.abs(res)
  const code = errnoName(errno)
  const { address, port, local, withText = syscall === 'listen' } = details
  let message = `${syscall} ${code}`
  if (withText) message += `: ${errnoText(errno)}`
  if (port) message += ` ${address ?? ''}:${port}`
  else if (address) message += ` ${address}`
  if (local !== undefined) message += ` - Local (${local})`
  // Node leaves port 0 out: it says nothing.
  return new UringError(message, errno, code, syscall, port ? details : { ...details, port: undefined })
}

/** Passes a result on, or throws it when it is -errno. */
export function checkResult(res: number, syscall: string, details?: ErrorDetails): number {
  if (res < 0) throw errnoError(res, syscall, details)
  return res
}

// — What the caller must not ask —

/** An error with a code for programs, as Node's own: `TypeError [ERR_INVALID_ARG_TYPE]: …` at the head of its stack. */
export type CodedError<E extends Error = Error> = E & { code: string }

function coded<E extends Error>(error: E, code: string, maker: (...args: never[]) => Error): CodedError<E> {
  // The code shows in the stack's first line, and `name` stays the class's own.
  const name = error.name
  Object.defineProperty(error, 'name', { value: `${name} [${code}]`, configurable: true, writable: true })
  Error.captureStackTrace(error, maker)
  void error.stack
  Reflect.deleteProperty(error, 'name')
  Object.defineProperty(error, 'toString', { value: withCode, configurable: true, writable: true })
  return Object.assign(error, { code })
}

function withCode(this: CodedError): string {
  return `${this.name} [${this.code}]: ${this.message}`
}

/**
 * Any other error of ours: a class, a code, and a sentence that names cause and cure.
 * The named ones below are these with their words fixed.
 */
export function ringcoreError<E extends Error>(
  Type: new (message: string) => E,
  code: string,
  message: string,
): CodedError<E> {
  return coded(new Type(message), code, ringcoreError)
}

/** "argument" or, with a dot in the name, "property", as Node distinguishes them. */
function kindOf(name: string): string {
  return name.includes('.') ? 'property' : 'argument'
}

/** How Node words what it got: "undefined", "type number (5)", "an instance of Map". */
function received(value: unknown): string {
  if (value === null || value === undefined) return `Received ${value}`
  if (typeof value === 'function') return `Received function ${value.name}`
  if (typeof value === 'object') {
    const maker: unknown = value.constructor
    if (typeof maker === 'function' && maker.name) return `Received an instance of ${maker.name}`
    return `Received ${inspect(value, { depth: -1 })}`
  }
  let text = inspect(value, { colors: false })
  if (text.length > 28) text = `${text.slice(0, 25)}...`
  return `Received type ${typeof value} (${text})`
}

/** Groups the digits of long numbers, as Node does in range errors. */
function grouped(value: unknown): string {
  const isLong =
    (typeof value === 'bigint' && (value > 2n ** 32n || value < -(2n ** 32n))) ||
    (Number.isInteger(value) && Math.abs(value as number) > 2 ** 32)
  const text = isLong ? String(value).replace(/\B(?=(?:\d{3})+$)/g, '_') : inspect(value)
  return isLong && typeof value === 'bigint' ? `${text}n` : text
}

/**
 * An argument of the wrong type: 'The "fd" argument must be of type number. Received undefined'.
 * @param expected all that follows "must be": 'of type number', 'an instance of Uint8Array'
 */
export function argumentTypeError(name: string, expected: string, value: unknown): CodedError<TypeError> {
  const subject = `The "${name}" ${kindOf(name)}`
  const error = new TypeError(`${subject} must be ${expected}. ${received(value)}`)
  return coded(error, 'ERR_INVALID_ARG_TYPE', argumentTypeError)
}

/**
 * A number outside its limits: 'The value of "offset" is out of range. It must be >= 0 && <= 9. Received -1'.
 * @param range all that follows "must be": '>= 0 && <= 9', 'an integer'
 */
export function rangeError(name: string, range: string, value: unknown): CodedError<RangeError> {
  const message = `The value of "${name}" is out of range. It must be ${range}. Received ${grouped(value)}`
  return coded(new RangeError(message), 'ERR_OUT_OF_RANGE', rangeError)
}

/**
 * A value of the right type that can't be used: "The argument 'path' must be a string without null bytes. Received …".
 * @param reason what is wrong with it: 'is invalid', 'must be …'
 */
export function argumentValueError(
  name: string,
  value: unknown,
  reason = 'is invalid',
): CodedError<TypeError> {
  let text = inspect(value)
  if (text.length > 128) text = `${text.slice(0, 128)}...`
  const error = new TypeError(`The ${kindOf(name)} '${name}' ${reason}. Received ${text}`)
  return coded(error, 'ERR_INVALID_ARG_VALUE', argumentValueError)
}

/** Options that exclude each other, and the like; `message` is the whole sentence. */
export function invalidArgument(message: string): CodedError<TypeError> {
  return coded(new TypeError(message), 'ERR_INVALID_ARG_VALUE', invalidArgument)
}

/** Something that can't be done now: 'Cannot resize: the ring has 3 operations in flight'. Node's "Invalid state: " leads. */
export function stateError(message: string): CodedError {
  return coded(new Error(`Invalid state: ${message}`), 'ERR_INVALID_STATE', stateError)
}

// — What the ring can't do —

/** The ring is closed, or closing. */
export function ringClosedError(action = 'use the ring'): CodedError {
  return coded(new Error(`Cannot ${action}: the ring is closed`), 'ERR_RING_CLOSED', ringClosedError)
}

/** The ring belongs to the thread that made it. */
export function wrongThreadError(action = 'use the ring'): CodedError {
  const error = new Error(`Cannot ${action}: it belongs to another thread; make one ring per thread`)
  return coded(error, 'ERR_RING_WRONG_THREAD', wrongThreadError)
}

/**
 * No ring can be made here.
 * @param message what stands in the way
 * @param cure what to do about it
 */
export function ringUnavailableError(message: string, cure: string, cause?: unknown): CodedError {
  const error = new Error(`${message}; ${cure}`, cause === undefined ? undefined : { cause })
  return coded(error, 'ERR_RING_UNAVAILABLE', ringUnavailableError)
}

/** This kernel lacks `feature`, an opcode, flag or register operation; `since` is the first Linux that has it. */
export function ringFeatureError(feature: string, since: string): CodedError {
  const error = new Error(`Cannot use ${feature}: this kernel does not have it; it came with Linux ${since}`)
  return coded(error, 'ERR_RING_FEATURE', ringFeatureError)
}

/** The buffer's memory went elsewhere: transferred, or sent to another thread. */
export function bufferDetachedError(name = 'buffer'): CodedError<TypeError> {
  const message = `Cannot use "${name}": its ArrayBuffer is detached; do not transfer a buffer that the kernel uses`
  return coded(new TypeError(message), 'ERR_BUFFER_DETACHED', bufferDetachedError)
}

/** The buffer may shrink under the kernel. */
export function bufferResizableError(name = 'buffer'): CodedError<TypeError> {
  const message = `Cannot use "${name}": its ArrayBuffer is resizable; copy it to one of fixed length`
  return coded(new TypeError(message), 'ERR_BUFFER_RESIZABLE', bufferResizableError)
}

/** An AbortSignal ended the operation; `cause` is the signal's reason. */
export class AbortError extends Error {
  readonly code = 'ABORT_ERR'

  override readonly name = 'AbortError'

  constructor(cause?: unknown, message = 'The operation was aborted') {
    super(message, cause === undefined ? undefined : { cause })
  }
}

/** The AbortError of a signal that aborted; one whose reason can't be asked for has none. */
export function abortError(signal: AbortSignal): AbortError {
  let reason: unknown
  try {
    reason = signal.reason
  } catch {}
  return new AbortError(reason)
}

/** Callbacks must not stop the batch they run in: what one throws becomes an uncaught exception after it. */
export function throwLater(error: unknown): void {
  process.nextTick(() => {
    throw error
  })
}
