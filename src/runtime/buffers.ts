// Where a caller's memory is, and whether it may be lent to the kernel at all.
// Flow: operations-* → this → sys/driver.

import type { Driver } from '../sys/driver.ts'
import { bufferResizableError, stateError } from '../sys/error.ts'

/**
 * Addresses of views, each asked for once. A view's memory does not move: V8 keeps small typed arrays on its heap only until
 * the first request for their address. A detached view has length 0, which every operation checks before it uses the address.
 */
export class Addresses {
  readonly #driver: Driver
  readonly #known = new WeakMap<ArrayBufferView, number>()
  #last: ArrayBufferView | null = null
  #lastAddress = 0

  constructor(driver: Driver) {
    this.#driver = driver
  }

  /**
   * The address of a view's first byte.
   * @throws {TypeError} ERR_BUFFER_RESIZABLE: its memory can be taken away while the kernel uses it
   */
  of(view: ArrayBufferView): number {
    if (view === this.#last) return this.#lastAddress
    const address = this.#known.get(view) ?? this.#ask(view)
    if (address < 0) {
      throw stateError('Cannot use the buffer: it was given back with free()')
    }
    this.#last = view
    this.#lastAddress = address
    return address
  }

  #ask(view: ArrayBufferView): number {
    const { buffer } = view as { buffer: ArrayBufferLike & { resizable?: boolean } }
    if (buffer.resizable === true) throw bufferResizableError()
    const address = this.#driver.addressOf(view)
    this.#known.set(view, address)
    return address
  }

  /** Makes every later use of the view an error. */
  poison(view: ArrayBufferView): void {
    this.#known.set(view, -1)
    this.#last = null
  }
}
