// The least HTTP/1.1 that is still correct: heads that arrive in pieces, several requests on one connection, bodies with a
// Content-Length. Chunked bodies are refused rather than misread.

import type { TcpStream } from 'ringcore'

const HEAD_MAX = 16384
const BODY_MAX = 1 << 20
const END_OF_HEAD = '\r\n\r\n'
const TOKEN = /^[!#$%&'*+.^_`|~\w-]+$/

export const REASONS: Readonly<Record<number, string>> = {
  200: 'OK',
  400: 'Bad Request',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  413: 'Content Too Large',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  505: 'HTTP Version Not Supported',
}

/** What the peer sent can't be answered but with this status. */
export class HttpError extends Error {
  readonly status: number

  constructor(status: number) {
    super(REASONS[status])
    this.status = status
  }
}

export interface Request {
  method: string
  /** Path and query, as sent: '/a%20b?c'. */
  target: string
  headers: Map<string, string>
  /** Whether the client will send another request on this connection. */
  keepAlive: boolean
}

export interface Response {
  status: number
  headers: Map<string, string>
  body: Buffer
}

/** Cuts the messages of one connection apart. */
export class HttpConnection {
  readonly stream: TcpStream
  /** Bytes that came and belong to no message yet. */
  #pending: Buffer = Buffer.alloc(0)

  constructor(stream: TcpStream) {
    this.stream = stream
  }

  /** Reads a request and drops its body; null when the client has ended. */
  async readRequest(): Promise<Request | null> {
    const head = await this.#readHead()
    if (head === null) return null
    const [line = '', ...fields] = head.split('\r\n')
    const [, method, target, minor] = /^([!-~]+) ([!-~]+) HTTP\/1\.(\d)$/.exec(line) ?? []
    if (method === undefined || target === undefined) {
      throw new HttpError(/ HTTP\/(?!1\.)\d/.test(line) ? 505 : 400)
    }
    const headers = parseHeaders(fields)
    if (minor !== '0' && !headers.has('host')) throw new HttpError(400)
    if (headers.has('transfer-encoding')) throw new HttpError(501)
    const length = contentLength(headers)
    if (length > BODY_MAX) throw new HttpError(413)
    await this.#readBody(length)
    const connection = (headers.get('connection') ?? '').toLowerCase()
    const keepAlive = minor === '0' ? connection === 'keep-alive' : connection !== 'close'
    return { method, target, headers, keepAlive }
  }

  /** Reads the response to a GET. */
  async readResponse(): Promise<Response> {
    const head = await this.#readHead()
    if (head === null) throw new Error('Cannot read the response: the server closed the connection')
    const [line = '', ...fields] = head.split('\r\n')
    const [, status] = /^HTTP\/1\.\d (\d{3})(?: |$)/.exec(line) ?? []
    if (status === undefined)
      throw new Error(`Cannot read the response: it begins with ${JSON.stringify(line)}`)
    const headers = parseHeaders(fields)
    if (!headers.has('content-length')) throw new Error('Cannot read the response: it has no Content-Length')
    return { status: Number(status), headers, body: await this.#readBody(contentLength(headers)) }
  }

  /** The text up to the empty line; null when the peer ended between two messages. */
  async #readHead(): Promise<string | null> {
    let searched = 0
    for (;;) {
      const end = this.#pending.indexOf(END_OF_HEAD, searched, 'latin1')
      if (end >= 0) {
        const head = this.#pending.toString('latin1', 0, end)
        this.#pending = this.#pending.subarray(end + END_OF_HEAD.length)
        return head
      }
      if (this.#pending.length > HEAD_MAX) throw new HttpError(431)
      // The end may have come in part: its last three bytes are looked at again.
      searched = Math.max(0, this.#pending.length - 3)
      if (!(await this.#more())) {
        if (this.#pending.length === 0) return null
        throw new HttpError(400)
      }
    }
  }

  async #readBody(length: number): Promise<Buffer> {
    while (this.#pending.length < length) {
      if (!(await this.#more())) throw new HttpError(400)
    }
    const body = this.#pending.subarray(0, length)
    this.#pending = this.#pending.subarray(length)
    return body
  }

  /** Waits for more bytes; false at the peer's end. */
  async #more(): Promise<boolean> {
    const buffer = Buffer.allocUnsafe(16384)
    const bytes = await this.stream.read(buffer)
    const fresh = buffer.subarray(0, bytes)
    this.#pending = this.#pending.length === 0 ? fresh : Buffer.concat([this.#pending, fresh])
    return bytes > 0
  }
}

function parseHeaders(fields: readonly string[]): Map<string, string> {
  const headers = new Map<string, string>()
  for (const field of fields) {
    const colon = field.indexOf(':')
    const name = field.slice(0, colon)
    // Also refuses continuation lines and blanks before the colon: both have been used to smuggle requests.
    if (colon < 1 || !TOKEN.test(name)) throw new HttpError(400)
    const key = name.toLowerCase()
    const value = field.slice(colon + 1).trim()
    const before = headers.get(key)
    if (before !== undefined && (key === 'host' || (key === 'content-length' && before !== value))) {
      throw new HttpError(400)
    }
    headers.set(key, before === undefined || key === 'content-length' ? value : `${before}, ${value}`)
  }
  return headers
}

function contentLength(headers: Map<string, string>): number {
  const text = headers.get('content-length') ?? '0'
  if (!/^\d{1,15}$/.test(text)) throw new HttpError(400)
  return Number(text)
}

/** The head of a response, ready to send. */
export function responseHead(status: number, headers: Readonly<Record<string, string | number>>): string {
  const fields = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${status} ${REASONS[status] ?? ''}\r\n${fields.join('')}\r\n`
}

/** A whole response with a short text. */
export function textResponse(status: number, text: string, keepAlive: boolean, withBody = true): string {
  const head = responseHead(status, {
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': Buffer.byteLength(text),
    Connection: keepAlive ? 'keep-alive' : 'close',
    ...(status === 405 ? { Allow: 'GET, HEAD' } : {}),
  })
  return withBody ? head + text : head
}

/** Answers requests of one connection until either side is done. A request that can't be read is answered with its status. */
export async function serveHttp(
  stream: TcpStream,
  answer: (request: Request) => Promise<void>,
): Promise<void> {
  const connection = new HttpConnection(stream)
  try {
    for (;;) {
      const request = await connection.readRequest()
      if (request === null) return
      await answer(request)
      if (!request.keepAlive) break
    }
  } catch (error) {
    if (!(error instanceof HttpError)) throw error
    await stream.write(textResponse(error.status, `${error.message}\n`, false))
  }
  await stream.end()
}
