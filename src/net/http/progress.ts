// How much of what was sent a peer has acknowledged: a send that is under way tells nothing before it is done.
// Flow: connection.ts (when a peer seems to take nothing) → this → driver.syscall. man tcp(7), TCP_INFO

import { IPPROTO_TCP } from '../../sys/constants.ts'
import { syscallNumbers } from '../../sys/syscalls.ts'
import type { TcpStream } from '../tcp-stream.ts'

const TCP_INFO = 11
/** Where struct tcp_info has tcpi_bytes_acked. @kernel 4.1 */
const BYTES_ACKED = 120

const info = new Uint32Array(64)
const length = new Int32Array(1)

/** Bytes that the peer has acknowledged since the connection began; -1 when the kernel does not tell. */
export function bytesAcked({ fd, ring }: TcpStream): number {
  if (fd < 0) return -1
  const { driver } = ring.ring
  length[0] = info.byteLength
  const { getsockopt } = syscallNumbers()
  const res = driver.syscall(
    getsockopt,
    fd,
    IPPROTO_TCP,
    TCP_INFO,
    driver.addressOf(info),
    driver.addressOf(length),
  )
  if (res < 0 || length[0] < BYTES_ACKED + 8) return -1
  return info[BYTES_ACKED / 4]! + info[BYTES_ACKED / 4 + 1]! * 2 ** 32
}
