// Two sockets that are connected to each other, from a plain system call: the ring has no SOCKETPAIR.

import {
  AF_UNIX,
  addressOf,
  errnoError,
  SOCK_CLOEXEC,
  SOCK_STREAM,
  syscall,
  syscallNumber,
} from 'ringcore/sys'

/** What one end sends, the other receives; both are the caller's to close. @man socketpair(2) */
export function socketPair(): [number, number] {
  const fds = new Int32Array(2)
  const result = syscall(syscallNumber('socketpair'), AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, addressOf(fds))
  if (result < 0) throw errnoError(result, 'socketpair')
  return [fds[0]!, fds[1]!]
}
