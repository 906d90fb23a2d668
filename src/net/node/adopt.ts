// Descriptors that came from elsewhere: numbers, and the handles of Node's own sockets and servers.
// Flow: socket.ts, server.ts → this. Of a handle that stays Node's, a duplicate is taken.

import * as net from 'node:net'
import { defaultRing } from '../../runtime/executor.ts'
import { EBADF } from '../../sys/errno.ts'
import { socketError } from '../../sys/error.ts'
import { duplicate } from './socket-options.ts'

/** A socket that is bound and neither listens nor connects, since Node 26. */
interface BoundSocket {
  fd(): number
  close(): void
  address(): unknown
  readonly isPipe?: boolean
}

const { BoundSocket: Bound } = net as { BoundSocket?: new () => BoundSocket }

export function isBoundSocket(value: unknown): value is BoundSocket {
  return Bound !== undefined && value instanceof Bound
}

/** What is left of a bound socket when it was taken over: its descriptor, and the path of a Unix socket. */
export function consume(bound: BoundSocket): { fd: number; path: string | undefined } {
  const address = bound.address()
  const fd = dup(bound.fd())
  bound.close()
  return { fd, path: typeof address === 'string' ? address : undefined }
}

/** Something that knows its descriptor: a handle of libuv's, or one of ours. */
export function hasFd(value: unknown): value is { fd: number; close(): void } {
  return typeof value === 'object' && value !== null && typeof (value as { fd?: unknown }).fd === 'number'
}

/** A descriptor of our own for the same open socket. */
export function dup(fd: number): number {
  const own = fd < 0 ? -EBADF : duplicate(defaultRing().ring.driver, fd)
  if (own < 0) throw socketError(own, 'open')
  return own
}
