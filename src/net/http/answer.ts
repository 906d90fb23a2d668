// What goes back: status lines, dates, heads.
// Flow: connection.ts, whoever answers → this. RFC 9110, 9112

import { STATUS_CODES } from 'node:http'
import type { TcpStream } from '../tcp-stream.ts'

/** An answer as its maker leaves it; the connection adds Date and Connection, and leaves out the body of a HEAD. */
export interface Answer {
  status: number
  /** Header fields, each with its CRLF, Content-Length among them unless there can be no body. */
  fields: string
  /** The body, or how to send it: called once, never for a HEAD. */
  body: Uint8Array | BodySource | null
  /** Bytes of the body, for the log. */
  length: number
}

/** A body that does not lie in memory. */
export interface BodySource {
  /** Sends all of it. */
  send(stream: TcpStream): Promise<void>
  /** Lets go of what it holds, sent or not. */
  close(): void
}

let second = 0
let line = ''

/** The Date field of this second, with its CRLF. */
function dateField(now: number = Date.now()): string {
  const current = Math.floor(now / 1000)
  if (current !== second) {
    second = current
    line = `Date: ${new Date(now).toUTCString()}\r\n`
  }
  return line
}

const LINES = new Map(
  Object.entries(STATUS_CODES).map(([status, reason]) => [
    Number(status),
    `HTTP/1.1 ${status} ${reason}\r\n`,
  ]),
)

/** A head with the empty line that ends it. */
export function headText(status: number, fields: string, connection: string): string {
  return `${LINES.get(status) ?? `HTTP/1.1 ${status} Unknown\r\n`}${dateField()}${fields}${connection}\r\n`
}

/** An answer of one line of text. */
export function textAnswer(status: number, text: string, more = ''): Answer {
  const body = Buffer.from(`${text}\n`)
  const fields =
    `Content-Type: text/plain; charset=utf-8\r\nContent-Length: ${body.length}\r\n` +
    `X-Content-Type-Options: nosniff\r\n${more}`
  return { status, fields, body, length: body.length }
}

/** Text as it may stand in HTML. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`)
}
