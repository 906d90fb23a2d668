// What every listener can do, TCP or Unix: accept, iterate, serve, close.
// Flow: tcp-listener.ts, unix-listener.ts extend this → acceptor.ts, runtime (close).

import { Resource } from '../runtime/resource.ts'
import type { Uring } from '../runtime/uring.ts'
import { EMFILE, ENFILE, ENOBUFS, ENOMEM } from '../sys/errno.ts'
import { socketError } from '../sys/error.ts'
import { checkFunction } from '../sys/validate.ts'
import { type Abortable, abortable } from './abort.ts'
import { Acceptor } from './acceptor.ts'
import type { ConnectionCount, SocketStream } from './socket-stream.ts'

const FULL: readonly number[] = [-EMFILE, -ENFILE, -ENOBUFS, -ENOMEM]
const REST_MS = 20

export abstract class SocketListener<S extends SocketStream> implements ConnectionCount {
  readonly #ring: Uring
  readonly #resource: Resource
  readonly #acceptor: Acceptor
  #closing: Promise<void> | null = null
  /** Connections that were accepted here and are open. */
  connections = 0

  constructor(ring: Uring, fd: number) {
    this.#ring = ring
    this.#resource = new Resource(fd)
    this.#acceptor = new Acceptor(ring, this.#resource, true)
  }

  /** Makes the stream of an accepted socket. */
  protected abstract streamOf(fd: number): S

  /** The ring it works on. */
  get ring(): Uring {
    return this.#ring
  }

  /** The descriptor, or -1 once closed. */
  get fd(): number {
    return this.#resource.fd
  }

  #checkOpen(): void {
    if (this.fd < 0 || this.#closing !== null) throw socketError(-9, 'accept')
  }

  /**
   * Accepts one connection; from the first call on the kernel accepts ahead, up to 128.
   * @throws EMFILE: no descriptor is free; the listener is unharmed, accept again when some were closed
   */
  async accept(options?: Abortable): Promise<S> {
    this.#checkOpen()
    const acceptor = this.#acceptor
    let waiting: Acceptor['lastTaker']
    const fd = await abortable(
      options?.signal,
      () => {
        const next = acceptor.next()
        waiting = acceptor.lastTaker
        return next
      },
      (error) => waiting !== undefined && acceptor.giveUp(waiting, error),
    )
    return this.streamOf(fd)
  }

  /**
   * Iterates over connections until the listener is closed; leaving the loop does not close it.
   *
   * Out of descriptors it waits until some are free.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<S> {
    while (this.fd >= 0) {
      let stream: S
      try {
        stream = await this.accept()
      } catch (error) {
        if (this.#closing !== null) return
        if (!FULL.includes((error as NodeJS.ErrnoException).errno ?? 0)) throw error
        await new Promise((resolve) => setTimeout(resolve, REST_MS))
        continue
      }
      yield stream
    }
  }

  /**
   * Calls back for every connection, without a promise each, until the listener is closed.
   *
   * Out of descriptors (EMFILE), connections wait in the kernel's backlog, and accepting goes on by itself when some are free.
   *
   * @param onEnd is told once: null when the listener was closed, else the error that ended it
   * @returns ends it; the listener stays open
   * @throws ERR_INVALID_STATE: somebody accepts already
   */
  serve(onStream: (stream: S) => void, onEnd: (error: Error | null) => void = rethrow): () => void {
    checkFunction('onStream', onStream)
    checkFunction('onEnd', onEnd)
    this.#checkOpen()
    this.#acceptor.serve((fd) => onStream(this.streamOf(fd)), onEnd)
    return () => this.#acceptor.stop()
  }

  /** Stops listening; connections that nobody accepted are closed. Resolves when the kernel has let go. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#acceptor.close()
    await this.#ring.closeFile(this.#resource)
  }

  /** As `close`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

function rethrow(error: Error | null): void {
  if (error !== null) throw error
}
