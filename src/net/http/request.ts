// The head of an HTTP/1.1 request: text → method, target, fields; strict, because what two programs read differently is a hole.
// Flow: connection.ts → this. RFC 9112; limits are the caller's.
//
// Refused are: a lone LF or CR, folded lines, blanks before a colon, control characters, two Hosts, two lengths, a length beside
// a Transfer-Encoding. All of them have been used to smuggle requests past a proxy.

/** What a client sent that can only be answered with this status; the connection ends then. */
export class HttpError extends Error {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

export interface Request {
  method: string
  /** As sent: '/a%20b?c', or 'http://host/a'. */
  target: string
  /** 0 for HTTP/1.0, else 1. */
  minor: number
  /** By lower-case name; the values of repeated fields are joined with ', '. */
  fields: Map<string, string>
  /** Whether the client will send another request on this connection. */
  keepAlive: boolean
  /** Bytes of the body; -1 when its end is not told by a Content-Length. */
  bodyBytes: number
}

const TOKEN = /^[!#$%&'*+.^_`|~\w-]+$/
// No control characters but tab; bytes over 127 are obsolete and harmless here.
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/
const REQUEST_LINE = /^([!#$%&'*+.^_`|~\w-]{1,32}) ([\x21-\x7e]+) HTTP\/(\d)\.(\d)$/

/**
 * Reads a head, without the empty line that ends it.
 * @throws HttpError: 400, 501 (a Transfer-Encoding), 505
 */
export function parseHead(text: string): Request {
  let end = text.indexOf('\r\n')
  if (end < 0) end = text.length
  const line = REQUEST_LINE.exec(text.slice(0, end))
  if (line === null) throw new HttpError(400, 'The request line is not one')
  if (line[3] !== '1') throw new HttpError(505, 'Only HTTP/1.1 is spoken here')
  const fields = new Map<string, string>()
  while (end < text.length) {
    const start = end + 2
    end = text.indexOf('\r\n', start)
    if (end < 0) end = text.length
    addField(fields, text.slice(start, end))
  }
  const minor = line[4] === '0' ? 0 : 1
  if (minor === 1 && !fields.has('host')) throw new HttpError(400, 'The Host is missing')
  return {
    method: line[1]!,
    target: line[2]!,
    minor,
    fields,
    keepAlive: keepsAlive(fields, minor),
    bodyBytes: bodyBytes(fields),
  }
}

function addField(fields: Map<string, string>, line: string): void {
  const colon = line.indexOf(':')
  const name = line.slice(0, colon)
  const value = line.slice(colon + 1).trim()
  if (colon < 1 || !TOKEN.test(name) || !VALUE.test(value))
    throw new HttpError(400, 'A header field is broken')
  const key = name.toLowerCase()
  const before = fields.get(key)
  if (before !== undefined && (key === 'host' || key === 'content-length')) {
    throw new HttpError(400, 'A header field comes twice')
  }
  fields.set(key, before === undefined ? value : `${before}, ${value}`)
}

function keepsAlive(fields: Map<string, string>, minor: number): boolean {
  const connection = fields.get('connection')
  if (connection === undefined) return minor === 1
  const options = connection.toLowerCase().split(',')
  if (options.some((option) => option.trim() === 'close')) return false
  return minor === 1 || options.some((option) => option.trim() === 'keep-alive')
}

function bodyBytes(fields: Map<string, string>): number {
  const length = fields.get('content-length')
  if (fields.has('transfer-encoding')) {
    if (length !== undefined) throw new HttpError(400, 'A length and a Transfer-Encoding exclude each other')
    return -1
  }
  if (length === undefined) return 0
  if (!/^\d{1,15}$/.test(length)) throw new HttpError(400, 'The Content-Length is no number')
  return Number(length)
}
