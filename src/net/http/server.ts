// An HTTP/1.1 server on the ring: accepts, keeps the connections, watches their time, and ends in order.
// Flow: cli/serve → this → tcp-listener.ts, connection.ts.

import type { Uring } from '../../runtime/uring.ts'
import { type BindOptions, TcpListener } from '../tcp-listener.ts'
import type { TcpStream } from '../tcp-stream.ts'
import type { Answer } from './answer.ts'
import { Connection, type Handler, type Owner, type Timeouts } from './connection.ts'
import type { Request } from './request.ts'

export interface HttpServerOptions extends BindOptions {
  ring: Uring
  handler: Handler
  timeouts?: Partial<Timeouts> | undefined
  /** Connections at once; more wait in the kernel's backlog. Default 10,000. */
  connections?: number | undefined
  /** Is told of every answer. */
  onAnswer?: ((stream: TcpStream, request: Request | null, answer: Answer) => void) | undefined
  /** Is told of failures that are not the peer's. */
  onError?: ((error: unknown) => void) | undefined
}

/** Room for all who come while the thread is busy; the kernel's net.core.somaxconn limits it. */
const BACKLOG = 4096
/** How often times are looked at: twice in the shortest, but not more often than needed. */
const CHECK_LEAST_MS = 50
const CHECK_MOST_MS = 1000
export class HttpServer implements Owner {
  readonly timeouts: Timeouts
  readonly handler: Handler
  readonly #listener: TcpListener
  readonly #options: HttpServerOptions
  readonly #connections = new Set<Connection>()
  readonly #most: number
  readonly #checkMs: number
  #ticks: NodeJS.Timeout | undefined
  #stopping = false
  /** Ends the accepting; null while there is no room for more. */
  #stop: (() => void) | null = null
  #empty: (() => void) | null = null

  /** @throws EADDRINUSE · EACCES · EADDRNOTAVAIL */
  constructor(options: HttpServerOptions) {
    this.#options = options
    this.handler = options.handler
    this.timeouts = { head: 10_000, idle: 15_000, send: 30_000, ...options.timeouts }
    const shortest = Math.min(...Object.values(this.timeouts))
    this.#checkMs = Math.min(Math.max(shortest / 2, CHECK_LEAST_MS), CHECK_MOST_MS)
    this.#most = options.connections ?? 10_000
    this.#listener = TcpListener.bind({ backlog: BACKLOG, noDelay: true, ...options })
    this.#accept()
  }

  get port(): number {
    return this.#listener.port
  }

  /** Connections that are open. */
  get connections(): number {
    return this.#connections.size
  }

  #accept(): void {
    this.#stop = this.#listener.serve(
      (stream) => this.#begin(stream),
      (error) => {
        if (error !== null) this.failed(error)
      },
    )
  }

  #begin(stream: TcpStream): void {
    this.#connections.add(new Connection(stream, this))
    this.#ticks ??= setInterval(() => this.#check(), this.#checkMs).unref()
    if (this.#connections.size < this.#most || this.#stop === null) return
    this.#stop()
    this.#stop = null
  }

  #check(): void {
    const now = performance.now()
    for (const connection of this.#connections) connection.check(now)
  }

  answered(connection: Connection, request: Request | null, answer: Answer): void {
    this.#options.onAnswer?.(connection.stream, request, answer)
  }

  failed(error: unknown): void {
    this.#options.onError?.(error)
  }

  closed(connection: Connection): void {
    this.#connections.delete(connection)
    if (this.#stop === null && !this.#stopping) this.#accept()
    if (this.#connections.size > 0) return
    clearInterval(this.#ticks)
    this.#ticks = undefined
    this.#empty?.()
  }

  /**
   * Stops listening, lets every answer under way end, and closes. Resolves when all connections are closed.
   * @param graceMs after these milliseconds what is left is cut off
   */
  async close(graceMs = 10_000): Promise<void> {
    this.#stopping = true
    this.#stop?.()
    // First of all, so that whoever is sent away does not come back here.
    await this.#listener.close()
    for (const connection of this.#connections) connection.shutdown()
    const late = setTimeout(() => this.destroy(), graceMs)
    if (this.#connections.size > 0) {
      await new Promise<void>((resolve) => {
        this.#empty = resolve
      })
    }
    clearTimeout(late)
  }

  /** Cuts off every connection. */
  destroy(): void {
    for (const connection of this.#connections) connection.destroy()
  }
}
