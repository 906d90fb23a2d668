// One HTTP/1.1 connection: cuts requests out of what comes, answers one after another, and ends without losing an answer.
// Flow: server.ts → this → request.ts, the handler, answer.ts, progress.ts, tcp-stream.ts. RFC 9112 section 9
//
// Memory is bounded: a head by HEAD_MAX, pipelined requests by PENDING_MAX (then the socket is not read), what is to be sent by
// the stream's own back-pressure.

import type { TcpStream } from '../tcp-stream.ts'
import { type Answer, type BodySource, headText, textAnswer } from './answer.ts'
import { bytesAcked } from './progress.ts'
import { HttpError, parseHead, type Request } from './request.ts'

const HEAD_MAX = 16384
const TARGET_MAX = 8192
/** Request bytes that may wait for their turn. */
const PENDING_MAX = 65536
/** A body that nobody asked for is read away up to this; beyond it the connection ends. */
const BODY_MAX = 65536
/** What is read away after the last answer, so that the peer reads it before it hears of our close. */
const LINGER_MAX = 1 << 20

export interface Timeouts {
  /** Milliseconds for a head, from its first byte (or from the connect) on. */
  head: number
  /** Milliseconds between two requests. */
  idle: number
  /** Milliseconds in which a peer must take something of an answer; it may get that time once more. */
  send: number
}

/** Who answers. A rejection is answered with 500. */
export type Handler = (request: Request) => Answer | Promise<Answer>

/** What the connection tells its server. */
export interface Owner {
  readonly timeouts: Timeouts
  readonly handler: Handler
  answered(connection: Connection, request: Request | null, answer: Answer): void
  closed(connection: Connection): void
  failed(error: unknown): void
}

/** `head`: a request has begun, or the connection has; `closing`: what was sent is on its way, then the socket closes. */
type State = 'head' | 'idle' | 'answering' | 'lingering' | 'closing' | 'closed'

/** How the peer left; whatever else a stream fails with is worth telling. */
const PEER_LEFT = new Set([
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTCONN',
  'ECONNABORTED',
  'EBADF',
  'ECANCELED',
])

const END_OF_HEAD = Buffer.from('\r\n\r\n')

export class Connection {
  readonly stream: TcpStream
  readonly #owner: Owner
  #state: State = 'head'
  /** performance.now() when the patience of this state ends. */
  #deadline: number
  /** Bytes that the peer had acknowledged when it was last looked at. */
  #takenBefore = 0
  #pending: Buffer | null = null
  /** Bytes of a body to read away. */
  #skip = 0
  #lingered = 0
  #ended = false
  #last = false
  #pause: (() => void) | null = null
  #paused = false

  constructor(stream: TcpStream, owner: Owner) {
    this.stream = stream
    this.#owner = owner
    this.#deadline = performance.now() + owner.timeouts.head
    this.#receive()
  }

  get state(): State {
    return this.#state
  }

  readonly #onData = (bytes: Buffer, length: number): void => this.#take(bytes, length)
  readonly #onEnd = (error: Error | null): void => this.#over(error)

  #receive(): void {
    try {
      this.#pause = this.stream.receive(this.#onData, this.#onEnd)
    } catch (error) {
      this.#over(error as Error)
    }
  }

  #take(bytes: Buffer, length: number): void {
    if (this.#isOver) return
    if (this.#state === 'lingering') {
      this.#lingered += length
      if (this.#lingered > LINGER_MAX) this.destroy()
      return
    }
    let from = 0
    if (this.#skip > 0) {
      from = Math.min(this.#skip, length)
      this.#skip -= from
      if (from === length) return
    }
    if (this.#state !== 'answering' && this.#pending === null) {
      const used = this.#work(bytes, from, length)
      if (used < length) this.#keep(bytes, used, length)
      return
    }
    this.#keep(bytes, from, length)
    if (this.#state === 'head') this.#workPending()
  }

  get #isOver(): boolean {
    return this.#state === 'closing' || this.#state === 'closed'
  }

  /** Copies bytes out of the ring's memory; a peer that sends more than may wait is not read until it was answered. */
  #keep(bytes: Buffer, from: number, to: number): void {
    const more = bytes.subarray(from, to)
    this.#pending = this.#pending === null ? Buffer.from(more) : Buffer.concat([this.#pending, more])
    if (this.#pending.length < PENDING_MAX || this.#paused) return
    this.#paused = true
    this.#pause?.()
  }

  #workPending(): void {
    const bytes = this.#pending
    if (bytes !== null) {
      this.#pending = null
      const used = this.#work(bytes, 0, bytes.length)
      if (used < bytes.length) this.#keep(bytes, used, bytes.length)
    }
    if (this.#isOver || this.#state === 'answering') return
    if (this.#ended) this.#over(null)
    else if (this.#paused) {
      this.#paused = false
      this.#receive()
    }
  }

  /** Answers the requests in these bytes until one takes time; returns how many bytes it is done with. */
  #work(bytes: Buffer, start: number, length: number): number {
    let from = start
    while (from < length && (this.#state === 'idle' || this.#state === 'head')) {
      // An empty line before a request is a bad habit of old clients: RFC 9112 2.2.
      if (bytes[from] === 13 && from + 1 < length && bytes[from + 1] === 10) {
        from += 2
        continue
      }
      const end = bytes.indexOf(END_OF_HEAD, from)
      if (end < 0 || end + 4 > length) {
        if (length - from > HEAD_MAX) this.#refuse(new HttpError(431, 'The header fields are too long'))
        else if (this.#state === 'idle') {
          this.#state = 'head'
          this.#deadline = performance.now() + this.#owner.timeouts.head
        }
        return this.#state === 'head' ? from : length
      }
      const used = end + 4
      let request: Request
      try {
        if (used - from > HEAD_MAX) throw new HttpError(431, 'The header fields are too long')
        request = parseHead(bytes.toString('latin1', from, end))
        if (request.target.length > TARGET_MAX) throw new HttpError(414, 'The target is too long')
      } catch (error) {
        this.#refuse(error as HttpError)
        return length
      }
      from = used + this.#skipBody(request, length - used)
      this.#answer(request)
    }
    return this.#state === 'lingering' || this.#isOver ? length : from
  }

  /** Passes over a body that nobody wants; returns how much of it lies in the bytes at hand. */
  #skipBody(request: Request, available: number): number {
    const { bodyBytes } = request
    if (bodyBytes === 0) return 0
    if (bodyBytes < 0 || bodyBytes > BODY_MAX) {
      request.keepAlive = false
      return 0
    }
    const here = Math.min(bodyBytes, available)
    this.#skip = bodyBytes - here
    return here
  }

  /** A request that can't be read is answered, and is the last. */
  #refuse(error: HttpError): void {
    this.#last = true
    this.#state = 'answering'
    this.#deadline = performance.now() + this.#owner.timeouts.send
    this.#send(null, textAnswer(error.status, error.message))
  }

  #answer(request: Request): void {
    this.#state = 'answering'
    this.#deadline = performance.now() + this.#owner.timeouts.send
    if (!request.keepAlive) this.#last = true
    let answer: Answer | Promise<Answer>
    try {
      answer = this.#owner.handler(request)
    } catch (error) {
      this.#broke(request, error)
      return
    }
    if (!(answer instanceof Promise)) this.#send(request, answer)
    else
      answer.then(
        (made) => this.#send(request, made),
        (error) => this.#broke(request, error),
      )
  }

  #broke(request: Request, error: unknown): void {
    this.#owner.failed(error)
    this.#send(request, textAnswer(500, 'Internal Server Error'))
  }

  #send(request: Request | null, answer: Answer): void {
    const { body } = answer
    const source = body !== null && 'send' in body ? body : null
    if (this.#isOver) {
      source?.close()
      return
    }
    this.#owner.answered(this, request, answer)
    try {
      const head = headText(answer.status, answer.fields, this.#connectionField(request))
      if (source !== null && request?.method !== 'HEAD') {
        this.#pump(head, source)
        return
      }
      source?.close()
      // Both go down as one send.
      let room = this.stream.send(Buffer.from(head, 'latin1'))
      if (source === null && body !== null && request?.method !== 'HEAD')
        room = this.stream.send(body as Uint8Array)
      if (room) this.#sent()
      else this.stream.drained().then(() => this.#sent(), this.#gone)
    } catch (error) {
      this.#gone(error)
    }
  }

  #connectionField(request: Request | null): string {
    if (this.#last) return 'Connection: close\r\n'
    return request?.minor === 0 ? 'Connection: keep-alive\r\n' : ''
  }

  async #pump(head: string, body: BodySource): Promise<void> {
    try {
      this.stream.send(Buffer.from(head, 'latin1'))
      await body.send(this.stream)
    } catch (error) {
      this.#gone(error)
      return
    } finally {
      body.close()
    }
    this.#sent()
  }

  /** An answer is on its way: what comes next? */
  #sent(): void {
    if (this.#isOver) return
    if (this.#last || (this.#ended && this.#pending === null)) {
      this.#finish()
      return
    }
    this.#state = 'idle'
    this.#deadline = performance.now() + this.#owner.timeouts.idle
    if (this.#pending !== null || this.#paused) queueMicrotask(this.#next)
  }

  readonly #next = (): void => {
    if (this.#state === 'idle') this.#workPending()
  }

  /** The last answer was sent: ends our side, and waits a little for the peer to end his. Closing at once could destroy it. */
  #finish(): void {
    this.#pending = null
    if (this.#ended) {
      this.#close()
      return
    }
    this.#state = 'lingering'
    this.#deadline = performance.now() + Math.min(2000, this.#owner.timeouts.send)
    this.stream.end().catch(this.#gone)
    if (this.#paused) {
      this.#paused = false
      this.#receive()
    }
  }

  /** The peer ended its side, or is gone. */
  #over(error: Error | null): void {
    this.#ended = true
    if (this.#isOver) return
    if (error !== null) {
      this.#gone(error)
      return
    }
    if (this.#state === 'answering') return
    if (this.#state === 'head' && this.#pending !== null)
      this.#refuse(new HttpError(400, 'The request ended early'))
    else this.#close()
  }

  readonly #gone = (error: unknown): void => {
    if (!PEER_LEFT.has((error as NodeJS.ErrnoException).code ?? '')) this.#owner.failed(error)
    this.destroy()
  }

  #close(): void {
    if (this.#isOver) return
    this.#state = 'closing'
    this.#deadline = performance.now() + this.#owner.timeouts.send
    this.stream.close().then(
      () => this.#closed(),
      () => this.destroy(),
    )
  }

  #closed(): void {
    this.#state = 'closed'
    this.#owner.closed(this)
  }

  /** Ends at once; what was not sent is lost. */
  destroy(): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#pending = null
    const done = (): void => this.#closed()
    this.stream.destroy().then(done, done)
  }

  /** Ends when the answer under way is sent; at once when there is none. */
  shutdown(): void {
    this.#last = true
    if (this.#state === 'idle' || (this.#state === 'head' && this.#pending === null)) this.#close()
  }

  /** Looks whether the peer was too slow; the server calls it about once a second, or more often. */
  check(now: number): void {
    if (now < this.#deadline || this.#state === 'closed') return
    if (this.#state === 'answering') {
      const taken = bytesAcked(this.stream)
      if (taken === this.#takenBefore) this.destroy()
      else {
        this.#takenBefore = taken
        this.#deadline = now + this.#owner.timeouts.send
      }
    } else if (this.#state === 'head' && this.#pending !== null) {
      this.#refuse(new HttpError(408, 'The request took too long'))
    } else if (this.#state === 'lingering' || this.#state === 'closing') this.destroy()
    else this.#close()
  }
}
