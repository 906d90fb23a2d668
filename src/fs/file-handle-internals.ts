// What a FileHandle of Node keeps to itself and a subclass of it must know: looked for by name, and refused when anything is missing.
// Flow: file-handle.ts → this. The names are the same from Node 20 to 26.

/** The native object that owns the descriptor: when it is collected, so is the file. */
export interface NativeHandle {
  readonly fd: number
  close(): Promise<void>
  /** Forgets the descriptor without closing it. */
  releaseFD(): void
}

/** What a subclass sees of Node's class. */
export interface Inherited {
  read(...args: unknown[]): Promise<unknown>
  readv(...args: unknown[]): Promise<unknown>
  write(...args: unknown[]): Promise<unknown>
  writev(...args: unknown[]): Promise<unknown>
  readFile(...args: unknown[]): Promise<unknown>
  writeFile(...args: unknown[]): Promise<unknown>
  appendFile(...args: unknown[]): Promise<unknown>
  stat(...args: unknown[]): Promise<unknown>
  truncate(...args: unknown[]): Promise<unknown>
  sync(): Promise<unknown>
  datasync(): Promise<unknown>
  [hidden: symbol]: unknown
}

export interface Internals {
  FileHandle: new (native: NativeHandle) => Inherited
  Native: new (fd: number) => NativeHandle
  /** The descriptor, or -1 once closed. */
  kFd: symbol
  /** How many use the file, its owner included. */
  kRefs: symbol
  /** Takes one user away; the last one closes. */
  kUnref: symbol
}

function symbolOf(object: object, description: string): symbol | undefined {
  return Object.getOwnPropertySymbols(object).find((symbol) => symbol.description === description)
}

/** Finds them on an open handle, or says null. */
export function findInternals(handle: object): Internals | null {
  const prototype: object = Object.getPrototypeOf(handle)
  const kFd = symbolOf(handle, 'kFd')
  const kRefs = symbolOf(handle, 'kRefs')
  const kHandle = symbolOf(handle, 'kHandle')
  const kUnref = symbolOf(prototype, 'kUnref')
  if (kFd === undefined || kRefs === undefined || kHandle === undefined || kUnref === undefined) return null
  const hidden = handle as { [hidden: symbol]: unknown }
  const native = hidden[kHandle] as Partial<NativeHandle> | null | undefined
  if (typeof native !== 'object' || native === null) return null
  const isAsKnown =
    hidden[kRefs] === 1 &&
    typeof hidden[kFd] === 'number' &&
    hidden[kFd] === native.fd &&
    typeof native.close === 'function' &&
    typeof native.releaseFD === 'function' &&
    typeof (prototype as { [hidden: symbol]: unknown })[kUnref] === 'function'
  if (!isAsKnown) return null
  return {
    FileHandle: prototype.constructor as Internals['FileHandle'],
    Native: native.constructor as Internals['Native'],
    kFd,
    kRefs,
    kUnref,
  }
}
