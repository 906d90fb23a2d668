// A file descriptor with an owner: operations hold it, so its number can't be re-used under them.
// Flow: fs, net, operations-* → this → engine.ts (cancel by fd, CLOSE).

import { errnoError } from '../sys/error.ts'

/** An open file of the ring's own table (a direct descriptor): it has an index instead of an fd. */
export class FixedFile {
  readonly index: number
  constructor(index: number) {
    this.index = index
  }
}

/** An fd that closes only when no operation uses it any more. */
export class Resource {
  #fd: number
  #users = 0
  #idle: (() => void) | null = null

  constructor(fd: number) {
    this.#fd = fd
  }

  /** The descriptor, or -1 once closing has begun. */
  get fd(): number {
    return this.#fd
  }

  /** Operations that use the descriptor now. */
  get users(): number {
    return this.#users
  }

  /**
   * Takes the descriptor for one operation.
   * @throws {Error} EBADF when it is closed
   */
  hold(syscall = 'use'): number {
    if (this.#fd < 0) throw errnoError(-9, syscall)
    this.#users++
    return this.#fd
  }

  /** Gives back what `hold` took. */
  drop(): void {
    this.#users--
    if (this.#users === 0 && this.#idle !== null) {
      const idle = this.#idle
      this.#idle = null
      idle()
    }
  }

  /** Makes the descriptor unusable for new operations and hands it to the caller, who closes it; -1 when that was done before. */
  surrender(): number {
    const fd = this.#fd
    this.#fd = -1
    return fd
  }

  /** Resolves when no operation uses the descriptor. */
  unused(): Promise<void> | undefined {
    if (this.#users === 0) return undefined
    return new Promise((resolve) => {
      this.#idle = resolve
    })
  }
}
