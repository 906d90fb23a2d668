// Where a caller's memory is, and whether it may be lent to the kernel at all.
// Flow: operations-* → this → sys/driver.

import type { Driver } from '../sys/driver.ts'
import { bufferResizableError, stateError } from '../sys/error.ts'

/** Returns the object it is given, so that a derived class can give that object a private field. */
class Given {
  constructor(view: object) {
    // biome-ignore lint/correctness/noConstructorReturn: this is how a class adopts an object it did not make
    return view
  }
}

/**
 * A view's address, written on the view itself where nobody else sees it. Asked for once: 8 ns instead of 35 for the native
 * call; a WeakMap is as quick to read, but makes every garbage collection dearer when each operation brings a new buffer.
 *
 * A view's memory does not move: V8 keeps small typed arrays on its heap only until the first request for their address.
 */
class Located extends Given {
  #address = 0

  static addressOf(view: object): number {
    return #address in view ? (view as Located).#address : 0
  }

  static write(view: object, address: number): void {
    if (!(#address in view)) new Located(view)
    ;(view as Located).#address = address
  }
}

/** Addresses of views. A detached view has length 0, which every operation checks before it uses the address. */
export class Addresses {
  readonly #driver: Driver

  constructor(driver: Driver) {
    this.#driver = driver
  }

  /**
   * The address of a view's first byte.
   * @throws {TypeError} ERR_BUFFER_RESIZABLE: its memory can be taken away while the kernel uses it
   * @throws {Error} ERR_INVALID_STATE: it was given back to the arena
   */
  of(view: ArrayBufferView, name?: string): number {
    const address = Located.addressOf(view)
    return address > 0 ? address : this.#ask(view, address, name)
  }

  #ask(view: ArrayBufferView, known: number, name = 'buffer'): number {
    if (known < 0) throw stateError(`Cannot use the ${name}: what free() took back is nobody's`)
    const { buffer } = view as { buffer: ArrayBufferLike & { resizable?: boolean } }
    if (buffer.resizable === true) throw bufferResizableError(name)
    const address = this.#driver.addressOf(view)
    if (view.byteLength > 0) Located.write(view, address)
    return address
  }

  /** Makes every later use of the view an error. */
  poison(view: ArrayBufferView): void {
    Located.write(view, -1)
  }
}
