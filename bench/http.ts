// The little HTTP that servers and clients of the benches speak: one answer, and where a request or an answer ends.
// Flow: http-server.ts, job-run.ts → this.

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
    // Mostly the last request was complete, so what comes now begins with a new one.
    return this.#seen === 0 ? this.#skim(bytes, length) : this.#step(bytes, 0, length)
  }

  /** Looks at every fourth byte: a blank line has four, so one of them is hit. */
  #skim(bytes: Uint8Array, length: number): number {
    let requests = 0
    let start = 0
    for (let i = 3; i < length; i += 4) {
      if (bytes[i]! > CR) continue
      for (let from = Math.max(i - 3, start); from <= i; from++) {
        if (bytes[from] !== CR || bytes[from + 1] !== LF) continue
        if (from + 4 > length || bytes[from + 2] !== CR || bytes[from + 3] !== LF) continue
        requests++
        start = from + 4
        // The loop goes on with the fourth byte behind it.
        i = start - 1
        break
      }
    }
    // A blank line may have begun in the last three bytes.
    return requests + this.#step(bytes, Math.max(start, length - 3), length)
  }

  #step(bytes: Uint8Array, from: number, length: number): number {
    let seen = this.#seen
    let requests = 0
    for (let i = from; i < length; i++) {
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
