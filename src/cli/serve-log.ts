// The access log: a line per answer in the Combined Log Format, written in batches.
// Flow: serve-run.ts → this → standard output.

import type { Answer } from '../net/http/answer.ts'
import type { Request } from '../net/http/request.ts'
import type { TcpStream } from '../net/tcp-stream.ts'

/** Lines that nobody reads shall not fill the memory: beyond this they are counted instead. */
const WAITING_MAX = 1 << 20

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']
const two = (value: number): string => String(value).padStart(2, '0')

let second = 0
let stamp = ''

function timeStamp(): string {
  const now = Math.floor(Date.now() / 1000)
  if (now !== second) {
    second = now
    const date = new Date(now * 1000)
    stamp =
      `${two(date.getUTCDate())}/${MONTHS[date.getUTCMonth()]}/${date.getUTCFullYear()}:` +
      `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())} +0000`
  }
  return stamp
}

/** What a client said must not end the quotes, nor the line, nor write to a terminal. */
function quoted(text: string | undefined): string {
  if (text === undefined) return '"-"'
  const safe = text.replace(
    /["\\]|[^\x20-\x7e]/g,
    (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`,
  )
  return `"${safe}"`
}

/** One answer as a line. */
export function logLine(stream: TcpStream, request: Request | null, answer: Answer): string {
  const peer = stream.remoteAddress
  const address = peer !== undefined && 'address' in peer ? peer.address : '-'
  const line = request === null ? undefined : `${request.method} ${request.target} HTTP/1.${request.minor}`
  const bytes = request?.method === 'HEAD' || answer.length === 0 ? '-' : answer.length
  const fields = request?.fields
  return (
    `${address} - - [${timeStamp()}] ${quoted(line)} ${answer.status} ${bytes} ` +
    `${quoted(fields?.get('referer'))} ${quoted(fields?.get('user-agent'))}\n`
  )
}

/** Gathers what is logged in one turn of the loop and writes it at once. */
export class AccessLog {
  readonly #out: NodeJS.WriteStream
  #lines = ''
  #lost = 0

  constructor(out: NodeJS.WriteStream = process.stdout) {
    this.#out = out
  }

  readonly add = (stream: TcpStream, request: Request | null, answer: Answer): void => {
    if (this.#out.writableLength + this.#lines.length > WAITING_MAX) {
      this.#lost++
      return
    }
    if (this.#lines === '') setImmediate(() => this.flush())
    this.#lines += logLine(stream, request, answer)
  }

  flush(): void {
    let text = this.#lines
    this.#lines = ''
    if (this.#lost > 0) text += `# ${this.#lost} lines were lost: nobody read them\n`
    this.#lost = 0
    if (text !== '') this.#out.write(text)
  }
}
