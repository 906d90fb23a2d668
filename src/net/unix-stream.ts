// A connection over a Unix socket on the thread's ring.
// Flow: the program, unix-listener.ts → this → socket-stream.ts (bytes), connect.ts.

import { defaultRing } from '../runtime/executor.ts'
import type { Uring } from '../runtime/uring.ts'
import { SO_PEERCRED, SOL_SOCKET } from '../sys/constants.ts'
import { argumentTypeError } from '../sys/error.ts'
import { checkFd } from '../sys/validate.ts'
import type { Abortable } from './abort.ts'
import { connectTo } from './connect.ts'
import { addressOf, getOptionWords } from './socket-calls.ts'
import { SocketStream, type StreamOptions } from './socket-stream.ts'

/** Unix sockets copy by nature. */
export type UnixOptions = Omit<StreamOptions, 'zeroCopyFrom'>

export interface UnixConnectOptions extends UnixOptions, Abortable {
  /** A path, or an abstract name, which starts with '\0'. */
  path: string
  /** Milliseconds until the attempt is given up with ETIMEDOUT. */
  timeout?: number | undefined
  ring?: Uring | undefined
}

/** Who is at the other end, as the kernel saw it when the connection was made. */
export interface Credentials {
  pid: number
  uid: number
  gid: number
}

export class UnixStream extends SocketStream {
  /**
   * Connects to a Unix socket.
   * @param target options, or the path
   * @throws ENOENT · ECONNREFUSED (nobody listens) · EACCES · AbortError
   */
  static async connect(target: UnixConnectOptions | string): Promise<UnixStream> {
    const options = typeof target === 'string' ? { path: target } : target
    if (typeof options !== 'object' || options === null)
      throw argumentTypeError('target', 'of type string or object', target)
    const ring = options.ring ?? defaultRing()
    const { path, signal, timeout } = options
    return new UnixStream(ring, await connectTo(ring, { path }, { signal, timeout }), options)
  }

  /** Takes over a connected socket, such as an end of a socket pair; the stream closes it. */
  static fromRawFd(fd: number, ring: Uring = defaultRing(), options?: UnixOptions): UnixStream {
    checkFd(fd)
    return new UnixStream(ring, fd, options)
  }

  /** The path or abstract name of this side, '' for most clients; undefined once closed. */
  get localPath(): string | undefined {
    return this.#path('own')
  }

  /** The path or abstract name of the peer, '' for most clients; undefined once closed. */
  get remotePath(): string | undefined {
    return this.#path('peer')
  }

  #path(whose: 'own' | 'peer'): string | undefined {
    const address = this.fd < 0 ? undefined : addressOf(this.ring.ring.driver, this.fd, whose)
    return address !== undefined && 'path' in address ? address.path : undefined
  }

  /**
   * Who is at the other end (SO_PEERCRED).
   * @throws EBADF once closed
   */
  get credentials(): Credentials {
    const words = getOptionWords(this.ring.ring.driver, this.openFd('getsockopt'), SOL_SOCKET, SO_PEERCRED, 3)
    return { pid: words[0]!, uid: words[1]! >>> 0, gid: words[2]! >>> 0 }
  }
}
