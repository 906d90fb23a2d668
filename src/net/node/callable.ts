// Classes that old programs may call as functions, as Node's own are: `net.Socket()`, and `net.Socket.call(this)` in a constructor.
// Flow: net.ts (what it offers), socket-base.ts and server.ts (what they extend) → this → node:stream, node:events.

import { EventEmitter } from 'node:events'
import { Duplex } from 'node:stream'

type Maker = abstract new (...args: never[]) => object

/** The object that a constructor called as a function is to make ready, instead of making one. */
let adopting: object | null = null

/** A class like `Base` that also makes ready an object that exists. Base itself has to be a function of the old kind. */
function adoptable<T extends Maker>(Base: T): T {
  function Origin(this: unknown, ...args: unknown[]): object {
    const object = adopting
    adopting = null
    if (object === null) return Reflect.construct(Base as never, args, new.target as never) as object
    Reflect.apply(Base, object, args)
    return object
  }
  Origin.prototype = Base.prototype
  return Object.setPrototypeOf(Origin, Base) as T
}

export const AdoptableDuplex = adoptable(Duplex)
export const AdoptableEmitter = adoptable(EventEmitter)

/** Lets a class be called without `new`. */
export function callable<T extends new (...args: never[]) => object>(Class: T): T {
  const called = new Proxy(Class, {
    apply(_target, self: unknown, args) {
      if (self instanceof Class) adopting = self
      return Reflect.construct(Class, args)
    },
  })
  Object.defineProperty(Class.prototype, 'constructor', { value: called, writable: true, configurable: true })
  return called
}
