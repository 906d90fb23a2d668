// The little HTTP that servers and clients of the benches speak: one answer, and where a request or an answer ends.
// Flow: http-server.ts, load.ts, job-run.ts → this.

export const BODY = 'Hello, World!'

/** The only answer; `close` says that the connection ends with it. */
export function response(close: boolean): Buffer {
  return Buffer.from(
    `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${BODY.length}\r\n` +
      `Connection: ${close ? 'close' : 'keep-alive'}\r\n\r\n${BODY}`,
  )
}

export function request(close: boolean): Buffer {
  return Buffer.from(`GET / HTTP/1.1\r\nHost: localhost\r\n${close ? 'Connection: close\r\n' : ''}\r\n`)
}

const CR = 13
const LF = 10

/** Counts the requests of one connection, whatever pieces they come in: they have no bodies, so a blank line ends each. */
export class RequestCounter {
  #seen = 0

  /** Requests that end within the first `length` bytes. */
  feed(bytes: Uint8Array, length: number): number {
    let seen = this.#seen
    let requests = 0
    for (let i = 0; i < length; i++) {
      const byte = bytes[i]!
      if (byte === (seen & 1 ? LF : CR)) seen++
      else seen = byte === CR ? 1 : 0
      if (seen === 4) {
        requests++
        seen = 0
      }
    }
    this.#seen = seen
    return requests
  }
}
