// Commands that a file's own driver understands (sockets, block devices, NVMe, ublk, fuse): arguments → 64 or 128 bytes.
// Flow: net, users of the ring → this → Sqe.words.
// man io_uring_prep_uring_cmd(3), io_uring_prep_cmd_sock(3), io_uring_prep_cmd_discard(3)
//
// A driver's own payload starts at word SQE.ADDR3: 16 bytes, or 80 in an entry of 128. The caller writes it afterwards.

import { SQE, type Sqe } from '../ring/sqe.ts'
import {
  BLOCK_URING_CMD_DISCARD,
  BLOCK_URING_CMD_ZONE_RESET_ALL,
  IORING_OP_URING_CMD,
  IORING_OP_URING_CMD128,
  SOCKET_URING_OP_GETSOCKNAME,
} from '../sys/abi.ts'
import { writeU64 } from '../sys/memory.ts'
import { writeAddress } from './prep.ts'

/**
 * Sends a command to the driver of a file.
 *
 * @param cmdOp The command's number, as the driver defines it
 * @kernel 5.19 · IORING_OP_URING_CMD
 * @man io_uring_prep_uring_cmd(3)
 */
export function prepUringCmd(sqe: Sqe, cmdOp: number, fd: number): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_URING_CMD
  words[SQE.FD] = fd
  words[SQE.OFF] = cmdOp
}

/**
 * Sends a command with up to 80 bytes of payload; the ring needs SQE128 or SQE_MIXED.
 *
 * @param cmdOp The command's number, as the driver defines it
 * @kernel 6.19 · IORING_OP_URING_CMD128
 * @man io_uring_prep_uring_cmd128(3)
 */
export function prepUringCmd128(sqe: Sqe, cmdOp: number, fd: number): void {
  const words = sqe.words
  words[SQE.OPCODE] = IORING_OP_URING_CMD128
  words[SQE.FD] = fd
  words[SQE.OFF] = cmdOp
}

/**
 * Asks or sets something of a socket: bytes queued, an option, timestamps.
 *
 * The result of GETSOCKOPT is the option's length, of SIOCINQ and SIOCOUTQ the count of bytes.
 *
 * @param cmdOp SOCKET_URING_OP_*
 * @param level SOL_*; GETSOCKOPT takes only SOL_SOCKET
 * @param optname SO_* and the like
 * @param optvalAddress Address of the option's value
 * @param optlen Bytes there
 * @kernel 6.7 · IORING_OP_URING_CMD
 * @man io_uring_prep_cmd_sock(3), getsockopt(2)
 */
export function prepCmdSock(
  sqe: Sqe,
  cmdOp: number,
  fd: number,
  level: number,
  optname: number,
  optvalAddress: number,
  optlen: number,
): void {
  prepUringCmd(sqe, cmdOp, fd)
  const words = sqe.words
  words[SQE.ADDR] = level
  words[SQE.ADDR + 1] = optname
  words[SQE.FILE_INDEX] = optlen
  writeAddress(words, SQE.ADDR3, optvalAddress)
}

/**
 * Reads the address of a socket, or of its peer.
 *
 * @param addrAddress Address of the memory for a sockaddr
 * @param addrlenAddress Address of a 32-bit length: bytes there, then bytes written
 * @param peer 0 for getsockname, 1 for getpeername
 * @kernel 6.19 · IORING_OP_URING_CMD
 * @man io_uring_prep_cmd_getsockname(3), getsockname(2), getpeername(2)
 */
export function prepCmdGetsockname(
  sqe: Sqe,
  fd: number,
  addrAddress: number,
  addrlenAddress: number,
  peer: number,
): void {
  prepUringCmd(sqe, SOCKET_URING_OP_GETSOCKNAME, fd)
  const words = sqe.words
  writeAddress(words, SQE.ADDR, addrAddress)
  words[SQE.FILE_INDEX] = peer
  writeAddress(words, SQE.ADDR3, addrlenAddress)
}

/**
 * Discards a range of a block device: its contents are lost.
 *
 * @param offset Byte offset, a multiple of the logical block size
 * @param length Bytes, likewise
 * @kernel 6.12 · IORING_OP_URING_CMD
 * @man io_uring_prep_cmd_discard(3)
 */
export function prepCmdDiscard(sqe: Sqe, fd: number, offset: number | bigint, length: number | bigint): void {
  prepUringCmd(sqe, BLOCK_URING_CMD_DISCARD, fd)
  writeU64(sqe.words, SQE.ADDR, offset)
  writeU64(sqe.words, SQE.ADDR3, length)
}

/**
 * Resets all zones of a zoned block device: its contents are lost.
 *
 * @kernel 7.1 · IORING_OP_URING_CMD
 * @man io_uring_prep_cmd_zone_reset_all(3)
 */
export function prepCmdZoneResetAll(sqe: Sqe, fd: number): void {
  prepUringCmd(sqe, BLOCK_URING_CMD_ZONE_RESET_ALL, fd)
}
