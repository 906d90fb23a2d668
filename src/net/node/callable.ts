// Classes that old programs may call as functions, as Node's own are: `net.Socket()`, and `net.Socket.call(this)` in a constructor.
// Flow: net.ts (what it offers), socket-base.ts and server.ts (what they extend) → this → node:stream, node:events.

import { EventEmitter } from 'node:events'
import { Duplex } from 'node:stream'

type Maker = abstract new (...args: never[]) => object

/** The object that a constructor called as a function is to make ready, instead of making one. */
let adopting: object | null = null

/**
 * A class like `Base` that also makes ready an object that exists. Base itself has to be a function of the old kind.
 *
 * It is called on the object that is there, not constructed anew: an object that two constructors took part in gets a hidden class of
 * its own each time, and then every access to every socket is slow.
 */
function adoptable<T extends Maker>(Base: T): T {
  function Origin(this: object, ...args: unknown[]): object {
    const object = adopting ?? this
    adopting = null
    Reflect.apply(Base, object, args)
    return object
  }
  Origin.prototype = Base.prototype
  return Object.setPrototypeOf(Origin, Base) as unknown as T
}

export const AdoptableDuplex = adoptable(Duplex)
export const AdoptableEmitter = adoptable(EventEmitter)

/**
 * Lets a class be called without `new`, and counts Node's own objects as its instances: a TLSSocket is a `net.Socket` to those who
 * ask, and an http.Server a `net.Server`.
 */
export function callable<T extends new (...args: never[]) => object>(Class: T, Own: Maker): T {
  const called: T = new Proxy(Class, {
    apply(_target, self: unknown, args) {
      if (self instanceof Class) adopting = self
      return Reflect.construct(Class, args)
    },
    // To older engines each object that a Proxy is the `new.target` of is of a kind of its own.
    construct(_target, args, newTarget): object {
      return Reflect.construct(Class, args, newTarget === called ? Class : newTarget)
    },
  })
  // Whatever a bundler made of it: programs ask for `socket.constructor.name`.
  Object.defineProperty(Class, 'name', { value: Own.name, configurable: true })
  Object.defineProperty(Class, Symbol.hasInstance, {
    value(this: unknown, object: unknown): boolean {
      const isOurs = Reflect.apply(Function.prototype[Symbol.hasInstance], this, [object])
      return isOurs || ((this === called || this === Class) && object instanceof Own)
    },
  })
  Object.defineProperty(Class.prototype, 'constructor', { value: called, writable: true, configurable: true })
  return called
}
