// A Unix socket that accepts connections, on the thread's ring.
// Flow: the program → this → socket-listener.ts → unix-stream.ts. man unix(7)

import { chmodSync, unlinkSync } from 'node:fs'
import { defaultRing } from '../runtime/executor.ts'
import type { Uring } from '../runtime/uring.ts'
import { argumentTypeError } from '../sys/error.ts'
import { checkFd, checkInteger } from '../sys/validate.ts'
import { addressOf, type ListenOptions, listenOn } from './socket-calls.ts'
import { SocketListener } from './socket-listener.ts'
import { type UnixOptions, UnixStream } from './unix-stream.ts'

export interface UnixBindOptions extends Pick<ListenOptions, 'backlog'>, UnixOptions {
  /** A path, or an abstract name, which starts with '\0', has no file, and is gone with the socket. */
  path: string
  /** Permissions of the socket's file: who may write may connect. Default: as the umask leaves them. */
  mode?: number | undefined
  ring?: Uring | undefined
}

export class UnixListener extends SocketListener<UnixStream> {
  readonly #options: UnixOptions | undefined
  /** The file to remove; '' when there is none of ours. */
  readonly #file: string

  constructor(ring: Uring, fd: number, options?: UnixOptions, file = '') {
    super(ring, fd)
    this.#options = options
    this.#file = file
  }

  /**
   * Listens on a path or an abstract name. The file goes when the listener is closed.
   * @param where options, or the path
   * @throws EADDRINUSE: the file is there, whether or not somebody listens; remove it if nobody does · EACCES · ENOENT (directory)
   */
  static override bind(where: UnixBindOptions | string): UnixListener {
    const options = typeof where === 'string' ? { path: where } : where
    if (typeof options !== 'object' || options === null)
      throw argumentTypeError('where', 'of type string or object', where)
    const { path, backlog, mode } = options as UnixBindOptions
    if (typeof path !== 'string') throw argumentTypeError('options.path', 'of type string', path)
    if (backlog !== undefined) checkInteger('options.backlog', backlog, 0, 0x7fffffff)
    if (mode !== undefined) checkInteger('options.mode', mode, 0, 0o777)
    const ring = (options as UnixBindOptions).ring ?? defaultRing()
    const fd = listenOn(ring.ring.driver, { path }, { backlog })
    const file = path.startsWith('\0') ? '' : path
    const listener = new UnixListener(ring, fd, options, file)
    try {
      if (mode !== undefined && file !== '') chmodSync(file, mode)
    } catch (error) {
      void listener.close()
      throw error
    }
    return listener
  }

  /** Takes over a listening socket; the listener closes it, and leaves its file. */
  static fromRawFd(fd: number, ring: Uring = defaultRing(), options?: UnixOptions): UnixListener {
    checkFd(fd)
    return new UnixListener(ring, fd, options)
  }

  protected override streamOf(fd: number): UnixStream {
    return new UnixStream(this.ring, fd, this.#options, this)
  }

  /** The path or abstract name it listens on; undefined once closed. */
  get path(): string | undefined {
    const address = this.fd < 0 ? undefined : addressOf(this.ring.ring.driver, this.fd, 'own')
    return address !== undefined && 'path' in address ? address.path : undefined
  }

  override close(): Promise<void> {
    if (this.#file !== '' && this.fd >= 0) {
      try {
        unlinkSync(this.#file)
      } catch {
        // Somebody removed it before.
      }
    }
    return super.close()
  }
}
