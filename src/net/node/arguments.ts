// The overloads of node:net's connect and listen, as options and a callback.
// Flow: socket.ts, server.ts → this.

import * as net from 'node:net'
import type { ConnectOptions } from './options.ts'

/** Arguments that were taken apart already are passed on as they are: Node's own mark, so that either may have done it. */
const NORMALIZED = nodesMark() ?? Symbol('normalizedArgs')

function nodesMark(): symbol | undefined {
  const { _normalizeArgs } = net as { _normalizeArgs?(args: unknown[]): object }
  return _normalizeArgs && Object.getOwnPropertySymbols(_normalizeArgs([]))[0]
}

export type Callback = (...args: unknown[]) => void
export type Normalized = [options: ConnectOptions, callback: Callback | null]

/** What Node takes for a number: text counts, too. */
export function toNumber(value: unknown): number | false {
  const number = Number(value)
  return number >= 0 ? number : false
}

export function isPipeName(value: unknown): value is string {
  return typeof value === 'string' && toNumber(value) === false
}

export function isNormalized(value: unknown): value is Normalized {
  return Array.isArray(value) && NORMALIZED in value
}

/** `(options[, …][, cb])`, `(path[, …][, cb])`, `([port][, host][, …][, cb])`. */
export function normalizeArgs(args: readonly unknown[]): Normalized {
  const [first, second] = args
  let options: ConnectOptions = {}
  if (args.length > 0) {
    if (typeof first === 'object' && first !== null) options = first
    else if (isPipeName(first)) options.path = first
    else {
      options.port = first as number
      if (typeof second === 'string') options.host = second
    }
  }
  const last = args.at(-1)
  const normalized: Normalized = [options, typeof last === 'function' ? (last as Callback) : null]
  return Object.assign(normalized, { [NORMALIZED]: true })
}
