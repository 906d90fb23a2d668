// The overloads of FileHandle's read and write, as one form each; null for what has to be Node's to refuse or to explain.
// Flow: file-handle-ring.ts → this.

export interface Params {
  buffer: ArrayBufferView
  offset: number
  length: number
  /** -1 for the file's own position. */
  position: number
}

const INT32_MAX = 0x7fffffff
/** Most buffers of one call: the kernel's UIO_MAXIOV. */
const IOV_MAX = 1024
const DEFAULT_READ = 16384

function isRange(view: ArrayBufferView, offset: unknown, length: unknown): boolean {
  return (
    Number.isInteger(offset) &&
    Number.isInteger(length) &&
    (offset as number) >= 0 &&
    (length as number) >= 0 &&
    (length as number) <= INT32_MAX &&
    (offset as number) + (length as number) <= view.byteLength
  )
}

const restOf = (view: ArrayBufferView, offset: unknown): number =>
  typeof offset === 'number' ? view.byteLength - offset : -1

/** BigInts are Node's: before Node 22 they stood for the file's own position. */
function isPosition(position: unknown): position is number {
  return typeof position === 'number' && Number.isSafeInteger(position) && position >= -1
}

/** Memory that can't be pulled away from under the kernel. */
export function isLendable(view: ArrayBufferView): boolean {
  return (view.buffer as { resizable?: boolean }).resizable !== true
}

/** The options of read(options), read(buffer, options) and write(buffer, options). */
interface Named {
  buffer?: unknown
  offset?: unknown
  length?: unknown
  position?: unknown
}

/** read(buffer, offset, length, position), read(buffer, options), read(options), read(). */
export function plainReadParams(
  first: unknown,
  second: unknown,
  third: unknown,
  fourth: unknown,
): Params | null {
  let named: Named = { buffer: first, offset: second, length: third, position: fourth }
  if (!ArrayBuffer.isView(first)) {
    if (first !== undefined && first !== null && (typeof first !== 'object' || Array.isArray(first)))
      return null
    named = { buffer: Buffer.alloc(DEFAULT_READ), ...withoutUndefined(first as Named | null | undefined) }
  } else if (typeof second === 'object' && second !== null) {
    named = { ...withoutUndefined(second as Named), buffer: first }
  }
  const { buffer, offset, length, position } = named
  if (!ArrayBuffer.isView(buffer)) return null
  const from = offset ?? 0
  const bytes = length ?? restOf(buffer, from)
  const at = position ?? -1
  if (!isRange(buffer, from, bytes) || bytes === 0 || !isPosition(at)) return null
  return { buffer, offset: from as number, length: bytes as number, position: at }
}

function withoutUndefined(given: Named | null | undefined): Named {
  const named: Named = {}
  if (given?.buffer !== undefined) named.buffer = given.buffer
  if (given?.offset !== undefined) named.offset = given.offset
  if (given?.length !== undefined) named.length = given.length
  if (given?.position !== undefined) named.position = given.position
  return named
}

/** write(buffer, offset, length, position), write(buffer, options), write(text, position, encoding). */
export function plainWriteParams(
  data: unknown,
  second: unknown,
  third: unknown,
  fourth: unknown,
): Params | null {
  if (typeof data === 'string') return plainText(data, second, third)
  if (!ArrayBuffer.isView(data) || data.byteLength === 0 || !isLendable(data)) return null
  let [offset, length, position] = [second, third, fourth]
  // null counts as options: what follows is not looked at.
  if (typeof second === 'object') ({ offset, length, position } = (second ?? {}) as Named)
  const from = offset ?? 0
  const bytes = typeof length === 'number' ? length : restOf(data, from)
  const at = typeof position === 'number' ? position : -1
  if (!isRange(data, from, bytes) || !Number.isSafeInteger(at)) return null
  return { buffer: data, offset: from as number, length: bytes, position: Math.max(at, -1) }
}

function plainText(text: string, position: unknown, encoding: unknown): Params | null {
  const at = position ?? -1
  if (!Number.isSafeInteger(at)) return null
  const charset = encoding ?? 'utf8'
  // Half a byte in hexadecimal is an error, and Node's to report.
  if (typeof charset !== 'string' || !Buffer.isEncoding(charset) || /^hex$/i.test(charset)) return null
  const buffer = Buffer.from(text, charset)
  return { buffer, offset: 0, length: buffer.length, position: Math.max(at as number, -1) }
}

/** readv(buffers, position), writev(buffers, position). */
export function plainVector(
  buffers: unknown,
  position: unknown,
): { buffers: readonly ArrayBufferView[]; position: number } | null {
  if (!Array.isArray(buffers) || buffers.length === 0 || buffers.length > IOV_MAX) return null
  const at = typeof position === 'number' ? position : -1
  if (!Number.isSafeInteger(at)) return null
  let bytes = 0
  for (const view of buffers) {
    if (!ArrayBuffer.isView(view) || !isLendable(view)) return null
    bytes += view.byteLength
  }
  // A ring answers 0 to a request for nothing, where the system call looks at the file first.
  if (bytes === 0) return null
  // Later changes of the caller's array are not ours to follow.
  return { buffers: buffers.slice() as ArrayBufferView[], position: Math.max(at, -1) }
}

/** What writeFile and appendFile write: bytes, or pieces that come one after another. */
export type Data = Uint8Array | Iterable<unknown> | AsyncIterable<unknown>

/** The data of writeFile and appendFile, or null. */
export function dataOf(data: unknown, encoding: BufferEncoding | null): Data | null {
  if (typeof data === 'string') return Buffer.from(data, encoding ?? 'utf8')
  if (ArrayBuffer.isView(data))
    return isLendable(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : null
  if (typeof data !== 'object' || data === null) return null
  const { [Symbol.iterator]: each, [Symbol.asyncIterator]: eachLater } = data as Partial<
    Iterable<unknown> & AsyncIterable<unknown>
  >
  return typeof each === 'function' || typeof eachLater === 'function' ? (data as Data) : null
}
