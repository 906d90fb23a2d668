// Sockets: arguments → 64 bytes.
// Flow: runtime, net, users of the ring → this → Sqe.words.
// man io_uring_prep_accept(3), io_uring_prep_recv(3), io_uring_prep_send(3), io_uring_prep_send_zc(3) and neighbours
//
// A sockaddr that the kernel fills (accept, recvmsg) must live until the final CQE; one it reads only until submit
// returned. O_NONBLOCK does not give EAGAIN here: say MSG_DONTWAIT or IORING_ACCEPT_DONTWAIT.

import { SQE, type Sqe } from '../ring/sqe.ts'
import {
  IORING_ACCEPT_MULTISHOT,
  IORING_OP_ACCEPT,
  IORING_OP_BIND,
  IORING_OP_CONNECT,
  IORING_OP_LISTEN,
  IORING_OP_RECV,
  IORING_OP_RECV_ZC,
  IORING_OP_RECVMSG,
  IORING_OP_SEND,
  IORING_OP_SEND_ZC,
  IORING_OP_SENDMSG,
  IORING_OP_SENDMSG_ZC,
  IORING_OP_SHUTDOWN,
  IORING_OP_SOCKET,
  IORING_RECV_MULTISHOT,
  IORING_RECVSEND_BUNDLE,
  IORING_RECVSEND_FIXED_BUF,
} from '../sys/abi.ts'
import { writeAddress, writeTarget } from './prep.ts'

/**
 * Makes a socket.
 *
 * @param domain AF_*
 * @param type SOCK_*, with SOCK_CLOEXEC and SOCK_NONBLOCK if wanted
 * @param protocol 0 or IPPROTO_*
 * @param flags Must be 0
 * @kernel 5.19 · IORING_OP_SOCKET
 * @man io_uring_prep_socket(3), socket(2)
 */
export function prepSocket(sqe: Sqe, domain: number, type: number, protocol: number, flags: number): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_SOCKET
  words[SQE.FD] = domain
  words[SQE.OFF] = type
  words[SQE.LEN] = protocol
  words[SQE.OP_FLAGS] = flags
}

/**
 * Makes a socket in a slot of the registered files.
 *
 * @param domain AF_*
 * @param type SOCK_*; SOCK_CLOEXEC is EINVAL
 * @param protocol 0 or IPPROTO_*
 * @param fileIndex Slot, or IORING_FILE_INDEX_ALLOC (the CQE's res then names the slot)
 * @param flags Must be 0
 * @kernel 5.19 · IORING_OP_SOCKET
 * @man io_uring_prep_socket_direct(3), socket(2)
 */
export function prepSocketDirect(
  sqe: Sqe,
  domain: number,
  type: number,
  protocol: number,
  fileIndex: number,
  flags: number,
): void {
  prepSocket(sqe, domain, type, protocol, flags)
  writeTarget(sqe.words, fileIndex)
}

/**
 * Makes a socket in a slot that the kernel chooses; the result is the slot.
 *
 * @param domain AF_*
 * @param type SOCK_*; SOCK_CLOEXEC is EINVAL
 * @param protocol 0 or IPPROTO_*
 * @param flags Must be 0
 * @kernel 5.19 · IORING_OP_SOCKET
 * @man io_uring_prep_socket_direct_alloc(3), socket(2)
 */
export function prepSocketDirectAlloc(
  sqe: Sqe,
  domain: number,
  type: number,
  protocol: number,
  flags: number,
): void {
  prepSocket(sqe, domain, type, protocol, flags)
  sqe.words[SQE.FILE_INDEX] = -1
}

/**
 * Gives a socket its own address.
 *
 * @param addrAddress Address of a sockaddr
 * @param addrlen Bytes of it
 * @kernel 6.11 · IORING_OP_BIND
 * @man io_uring_prep_bind(3), bind(2)
 */
export function prepBind(sqe: Sqe, fd: number, addrAddress: number, addrlen: number): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_BIND
  words[SQE.FD] = fd
  words[SQE.OFF] = addrlen
  writeAddress(words, SQE.ADDR, addrAddress)
}

/**
 * Makes a socket accept connections.
 *
 * @param backlog Most connections that wait to be accepted; the system's somaxconn limits it
 * @kernel 6.11 · IORING_OP_LISTEN
 * @man io_uring_prep_listen(3), listen(2)
 */
export function prepListen(sqe: Sqe, fd: number, backlog: number): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_LISTEN
  words[SQE.FD] = fd
  words[SQE.LEN] = backlog
}

/**
 * Connects a socket to an address.
 *
 * @param addrAddress Address of a sockaddr
 * @param addrlen Bytes of it
 * @kernel 5.5 · IORING_OP_CONNECT
 * @man io_uring_prep_connect(3), connect(2)
 */
export function prepConnect(sqe: Sqe, fd: number, addrAddress: number, addrlen: number): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_CONNECT
  words[SQE.FD] = fd
  words[SQE.OFF] = addrlen
  writeAddress(words, SQE.ADDR, addrAddress)
}

/**
 * Accepts one connection; the result is its fd.
 *
 * @param addrAddress Address of the memory for the peer's sockaddr, or 0
 * @param addrlenAddress Address of its 32-bit length, or 0
 * @param flags SOCK_CLOEXEC, SOCK_NONBLOCK
 * @kernel 5.5 · IORING_OP_ACCEPT
 * @man io_uring_prep_accept(3), accept4(2)
 */
export function prepAccept(
  sqe: Sqe,
  fd: number,
  addrAddress: number,
  addrlenAddress: number,
  flags: number,
): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_ACCEPT
  words[SQE.FD] = fd
  writeAddress(words, SQE.OFF, addrlenAddress)
  writeAddress(words, SQE.ADDR, addrAddress)
  words[SQE.OP_FLAGS] = flags
}

/**
 * Accepts one connection into a slot of the registered files.
 *
 * @param addrAddress Address of the memory for the peer's sockaddr, or 0
 * @param addrlenAddress Address of its 32-bit length, or 0
 * @param flags SOCK_NONBLOCK; SOCK_CLOEXEC is EINVAL
 * @param fileIndex Slot, or IORING_FILE_INDEX_ALLOC (the CQE's res then names the slot)
 * @kernel 5.15 · IORING_OP_ACCEPT
 * @man io_uring_prep_accept_direct(3), accept4(2)
 */
export function prepAcceptDirect(
  sqe: Sqe,
  fd: number,
  addrAddress: number,
  addrlenAddress: number,
  flags: number,
  fileIndex: number,
): void {
  prepAccept(sqe, fd, addrAddress, addrlenAddress, flags)
  writeTarget(sqe.words, fileIndex)
}

/**
 * Accepts connections, one CQE each, until a CQE comes without F_MORE.
 *
 * @param addrAddress Address of the memory for a sockaddr, or 0; every connection overwrites it
 * @param addrlenAddress Address of its 32-bit length, or 0
 * @param flags SOCK_CLOEXEC, SOCK_NONBLOCK
 * @kernel 5.19 · IORING_OP_ACCEPT
 * @man io_uring_prep_multishot_accept(3), accept4(2)
 */
export function prepMultishotAccept(
  sqe: Sqe,
  fd: number,
  addrAddress: number,
  addrlenAddress: number,
  flags: number,
): void {
  prepAccept(sqe, fd, addrAddress, addrlenAddress, flags)
  sqe.words[SQE.OPCODE] = IORING_OP_ACCEPT | (IORING_ACCEPT_MULTISHOT << 16)
}

/**
 * Accepts connections into slots that the kernel chooses, one CQE each; a full table ends it with ENFILE.
 *
 * @param addrAddress Address of the memory for a sockaddr, or 0; every connection overwrites it
 * @param addrlenAddress Address of its 32-bit length, or 0
 * @param flags SOCK_NONBLOCK; SOCK_CLOEXEC is EINVAL
 * @kernel 5.19 · IORING_OP_ACCEPT
 * @man io_uring_prep_multishot_accept_direct(3), accept4(2)
 */
export function prepMultishotAcceptDirect(
  sqe: Sqe,
  fd: number,
  addrAddress: number,
  addrlenAddress: number,
  flags: number,
): void {
  prepMultishotAccept(sqe, fd, addrAddress, addrlenAddress, flags)
  sqe.words[SQE.FILE_INDEX] = -1
}

/** What SEND, RECV and their variants share; `first` is the opcode with ioprio in its upper half. */
function prepTransfer(
  sqe: Sqe,
  first: number,
  fd: number,
  address: number,
  length: number,
  msgFlags: number,
): void {
  const words = sqe.words
  words[SQE.OPCODE] = first
  words[SQE.FD] = fd
  writeAddress(words, SQE.ADDR, address)
  words[SQE.LEN] = length
  words[SQE.OP_FLAGS] = msgFlags
}

/**
 * Receives up to `length` bytes.
 *
 * @param msgFlags MSG_*; with MSG_WAITALL a short transfer goes on by itself
 * @kernel 5.6 · IORING_OP_RECV
 * @man io_uring_prep_recv(3), recv(2)
 */
export function prepRecv(sqe: Sqe, fd: number, address: number, length: number, msgFlags: number): void {
  prepTransfer(sqe, IORING_OP_RECV, fd, address, length, msgFlags)
}

/**
 * Receives again and again into provided buffers, one CQE each, until a CQE comes without F_MORE.
 *
 * Needs `sqeSetBufferSelect`; MSG_WAITALL is EINVAL. No buffer left ends it with ENOBUFS.
 *
 * @param address 0, as the buffers are the group's
 * @param length 0, or the most bytes of one CQE
 * @param msgFlags MSG_*
 * @kernel 6.0 · IORING_OP_RECV
 * @man io_uring_prep_recv_multishot(3), recv(2)
 */
export function prepRecvMultishot(
  sqe: Sqe,
  fd: number,
  address: number,
  length: number,
  msgFlags: number,
): void {
  prepTransfer(sqe, IORING_OP_RECV | (IORING_RECV_MULTISHOT << 16), fd, address, length, msgFlags)
}

/**
 * Receives into the memory of a zero-copy interface queue, one 32-byte CQE each, until one comes without F_MORE.
 *
 * liburing has no helper for it. The ring needs CQE32, DEFER_TASKRUN and a registered queue.
 *
 * @param length 0, or the bytes after which it ends
 * @param ifqIndex Index of the interface queue
 * @kernel 6.15 · IORING_OP_RECV_ZC
 * @man io_uring_enter(2)
 */
export function prepRecvZc(sqe: Sqe, fd: number, length: number, ifqIndex: number): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_RECV_ZC | (IORING_RECV_MULTISHOT << 16)
  words[SQE.FD] = fd
  words[SQE.LEN] = length
  words[SQE.FILE_INDEX] = ifqIndex
}

/**
 * Receives a message, its sender and its control data.
 *
 * @param msgAddress Address of a struct msghdr; what it points to must live until the final CQE
 * @param msgFlags MSG_*
 * @kernel 5.3 · IORING_OP_RECVMSG
 * @man io_uring_prep_recvmsg(3), recvmsg(2)
 */
export function prepRecvmsg(sqe: Sqe, fd: number, msgAddress: number, msgFlags: number): void {
  prepTransfer(sqe, IORING_OP_RECVMSG, fd, msgAddress, 1, msgFlags)
}

/**
 * Receives messages into provided buffers, one CQE each, until a CQE comes without F_MORE.
 *
 * Needs `sqeSetBufferSelect`. Each buffer holds a struct io_uring_recvmsg_out, the name, the control data, the payload.
 *
 * @param msgAddress Address of a struct msghdr, of which only namelen and controllen are used
 * @param msgFlags MSG_*
 * @kernel 6.0 · IORING_OP_RECVMSG
 * @man io_uring_prep_recvmsg_multishot(3), recvmsg(2)
 */
export function prepRecvmsgMultishot(sqe: Sqe, fd: number, msgAddress: number, msgFlags: number): void {
  prepTransfer(sqe, IORING_OP_RECVMSG | (IORING_RECV_MULTISHOT << 16), fd, msgAddress, 1, msgFlags)
}

/**
 * Sends up to `length` bytes.
 *
 * @param msgFlags MSG_*; with MSG_WAITALL a short transfer goes on by itself
 * @kernel 5.6 · IORING_OP_SEND
 * @man io_uring_prep_send(3), send(2)
 */
export function prepSend(sqe: Sqe, fd: number, address: number, length: number, msgFlags: number): void {
  prepTransfer(sqe, IORING_OP_SEND, fd, address, length, msgFlags)
}

/**
 * Sends as many provided buffers as are there, in the order of their ring.
 *
 * Needs `sqeSetBufferSelect` and a buffer ring.
 *
 * @param length 0, or the most bytes
 * @param msgFlags MSG_*
 * @kernel 6.10 · IORING_OP_SEND
 * @man io_uring_prep_send_bundle(3), send(2)
 */
export function prepSendBundle(sqe: Sqe, fd: number, length: number, msgFlags: number): void {
  prepTransfer(sqe, IORING_OP_SEND | (IORING_RECVSEND_BUNDLE << 16), fd, 0, length, msgFlags)
}

/**
 * Adds a destination to a send that is already prepared.
 *
 * @param addrAddress Address of a sockaddr
 * @param addrlen Bytes of it
 * @kernel 6.0 · IORING_OP_SEND_ZC, IORING_OP_SEND
 * @man io_uring_prep_send_set_addr(3), sendto(2)
 */
export function prepSendSetAddr(sqe: Sqe, addrAddress: number, addrlen: number): void {
  const words = sqe.words
  writeAddress(words, SQE.OFF, addrAddress)
  words[SQE.FILE_INDEX] = addrlen & 0xffff
}

/**
 * Sends up to `length` bytes to an address.
 *
 * @param msgFlags MSG_*
 * @param addrAddress Address of a sockaddr
 * @param addrlen Bytes of it
 * @kernel 6.0 · IORING_OP_SEND
 * @man io_uring_prep_sendto(3), sendto(2)
 */
export function prepSendto(
  sqe: Sqe,
  fd: number,
  address: number,
  length: number,
  msgFlags: number,
  addrAddress: number,
  addrlen: number,
): void {
  prepTransfer(sqe, IORING_OP_SEND, fd, address, length, msgFlags)
  prepSendSetAddr(sqe, addrAddress, addrlen)
}

/**
 * Sends a message with destination and control data.
 *
 * @param msgAddress Address of a struct msghdr
 * @param msgFlags MSG_*
 * @kernel 5.3 · IORING_OP_SENDMSG
 * @man io_uring_prep_sendmsg(3), sendmsg(2)
 */
export function prepSendmsg(sqe: Sqe, fd: number, msgAddress: number, msgFlags: number): void {
  prepTransfer(sqe, IORING_OP_SENDMSG, fd, msgAddress, 1, msgFlags)
}

/**
 * Sends without copying: a second CQE with F_NOTIF says when the memory may be changed.
 *
 * Errors come with F_MORE and a second CQE, too: look at F_MORE, not at the result.
 *
 * @param msgFlags MSG_*
 * @param zcFlags For ioprio: IORING_RECVSEND_POLL_FIRST, IORING_SEND_ZC_REPORT_USAGE
 * @kernel 6.0 · IORING_OP_SEND_ZC
 * @man io_uring_prep_send_zc(3), send(2)
 */
export function prepSendZc(
  sqe: Sqe,
  fd: number,
  address: number,
  length: number,
  msgFlags: number,
  zcFlags: number,
): void {
  prepTransfer(sqe, IORING_OP_SEND_ZC | (zcFlags << 16), fd, address, length, msgFlags)
}

/**
 * Sends from a registered buffer without copying: a second CQE with F_NOTIF says when it may be changed.
 *
 * @param address An address inside the registered buffer
 * @param msgFlags MSG_*
 * @param zcFlags For ioprio: IORING_RECVSEND_POLL_FIRST, IORING_SEND_ZC_REPORT_USAGE
 * @param bufIndex Index of the registered buffer
 * @kernel 6.0 · IORING_OP_SEND_ZC
 * @man io_uring_prep_send_zc_fixed(3), send(2)
 */
export function prepSendZcFixed(
  sqe: Sqe,
  fd: number,
  address: number,
  length: number,
  msgFlags: number,
  zcFlags: number,
  bufIndex: number,
): void {
  const ioprio = zcFlags | IORING_RECVSEND_FIXED_BUF
  prepTransfer(sqe, IORING_OP_SEND_ZC | (ioprio << 16), fd, address, length, msgFlags)
  sqe.words[SQE.BUF_INDEX] = bufIndex & 0xffff
}

/**
 * Sends a message without copying: a second CQE with F_NOTIF says when its memory may be changed.
 *
 * @param msgAddress Address of a struct msghdr
 * @param msgFlags MSG_*
 * @kernel 6.1 · IORING_OP_SENDMSG_ZC
 * @man io_uring_prep_sendmsg_zc(3), sendmsg(2)
 */
export function prepSendmsgZc(sqe: Sqe, fd: number, msgAddress: number, msgFlags: number): void {
  prepTransfer(sqe, IORING_OP_SENDMSG_ZC, fd, msgAddress, 1, msgFlags)
}

/**
 * Sends a message from a registered buffer without copying.
 *
 * @param msgAddress Address of a struct msghdr whose iovecs lie inside the registered buffer
 * @param msgFlags MSG_*
 * @param bufIndex Index of the registered buffer
 * @kernel 6.15 · IORING_OP_SENDMSG_ZC
 * @man io_uring_prep_sendmsg_zc_fixed(3), sendmsg(2)
 */
export function prepSendmsgZcFixed(
  sqe: Sqe,
  fd: number,
  msgAddress: number,
  msgFlags: number,
  bufIndex: number,
): void {
  prepTransfer(sqe, IORING_OP_SENDMSG_ZC | (IORING_RECVSEND_FIXED_BUF << 16), fd, msgAddress, 1, msgFlags)
  sqe.words[SQE.BUF_INDEX] = bufIndex & 0xffff
}

/**
 * Ends one or both directions of a connection; what waits on the socket wakes up.
 *
 * @param how SHUT_RD, SHUT_WR or SHUT_RDWR
 * @kernel 5.11 · IORING_OP_SHUTDOWN
 * @man io_uring_prep_shutdown(3), shutdown(2)
 */
export function prepShutdown(sqe: Sqe, fd: number, how: number): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_SHUTDOWN
  words[SQE.FD] = fd
  words[SQE.LEN] = how
}
