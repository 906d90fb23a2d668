// What each prep function has to write, by hand: the names and values of the fields, as the manual pages and the kernel's
// struct have them. Nothing here comes from the code under test, not even the opcodes or the flags.
// Flow: 30.op.golden.test.ts → this → fixtures/opcodes.json.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './helpers.js'

const opcodes = JSON.parse(readFileSync(join(root, 'test/fixtures/opcodes.json'), 'utf8')) as Record<
  string,
  { code: number; since: string }
>

export { opcodes }

/** The expected fields; those that are not named are zero. */
export type Fields = Record<string, number | bigint>

export interface Golden {
  /** The function's name, then what is special about the case. The same key stands in tools/liburing-golden.c. */
  key: string
  args: (number | bigint)[]
  fields: Fields
}

const op = (name: string): number => {
  const row = opcodes[name]
  if (row === undefined) throw new Error(`no opcode ${name}`)
  return row.code
}

const golden = (key: string, args: (number | bigint)[], name: string, fields: Fields): Golden => ({
  key,
  args,
  fields: { opcode: op(name), ...fields },
})

// Addresses with bits in both words; the low word of B has bit 31.
const A = 0x7f12_3456_7890
const B = 0x7ffe_dcba_9870
const C = 0x5555_0000_1000
const D = 0x5555_8000_2000
const CWD = -100
const ALL_ONES = 0xffff_ffff_ffff_ffffn
const ALLOC = 0xffff_ffff
/** Above 2^32, so that both words count. */
const FAR = 0x12_3456_7890
/** A user_data that no double holds. */
const WIDE = 0xfedc_ba98_7654_3210n

const file: Golden[] = [
  golden('prepRead', [3, A, 4096, 0], 'READ', { fd: 3, addr: A, len: 4096 }),
  golden('prepRead position', [3, B, 4096, -1], 'READ', { fd: 3, addr: B, len: 4096, off: ALL_ONES }),
  golden('prepRead far', [3, A, 0xffff_f000, FAR], 'READ', { fd: 3, addr: A, len: 0xffff_f000, off: FAR }),
  golden('prepRead bigint', [3, A, 1, 0x7fff_ffff_ffff_ffffn], 'READ', {
    fd: 3,
    addr: A,
    len: 1,
    off: 0x7fff_ffff_ffff_ffffn,
  }),
  golden('prepWrite', [4, B, 512, FAR], 'WRITE', { fd: 4, addr: B, len: 512, off: FAR }),
  golden('prepReadv', [3, A, 2, FAR], 'READV', { fd: 3, addr: A, len: 2, off: FAR }),
  golden('prepReadv2', [3, A, 2, -1, 8], 'READV', { fd: 3, addr: A, len: 2, off: ALL_ONES, rw_flags: 8 }),
  golden('prepWritev', [4, A, 3, 7], 'WRITEV', { fd: 4, addr: A, len: 3, off: 7 }),
  golden('prepWritev2', [4, A, 3, 7, 2], 'WRITEV', { fd: 4, addr: A, len: 3, off: 7, rw_flags: 2 }),
  golden('prepReadFixed', [3, A, 4096, FAR, 5], 'READ_FIXED', {
    fd: 3,
    addr: A,
    len: 4096,
    off: FAR,
    buf_index: 5,
  }),
  golden('prepWriteFixed', [4, B, 100, 0, 0xfffe], 'WRITE_FIXED', {
    fd: 4,
    addr: B,
    len: 100,
    buf_index: 0xfffe,
  }),
  golden('prepReadvFixed', [3, A, 2, FAR, 1, 6], 'READV_FIXED', {
    fd: 3,
    addr: A,
    len: 2,
    off: FAR,
    rw_flags: 1,
    buf_index: 6,
  }),
  golden('prepWritevFixed', [4, A, 2, -1, 0x10, 7], 'WRITEV_FIXED', {
    fd: 4,
    addr: A,
    len: 2,
    off: ALL_ONES,
    rw_flags: 0x10,
    buf_index: 7,
  }),
  golden('prepReadMultishot', [3, 0, -1, 9], 'READ_MULTISHOT', {
    flags: 0x20,
    fd: 3,
    off: ALL_ONES,
    buf_group: 9,
  }),
  golden('prepFsync', [3, 1], 'FSYNC', { fd: 3, fsync_flags: 1 }),
  golden('prepSyncFileRange', [3, 4096, FAR, 7], 'SYNC_FILE_RANGE', {
    fd: 3,
    len: 4096,
    off: FAR,
    sync_range_flags: 7,
  }),
  golden('prepFallocate', [3, 3, 4096, FAR], 'FALLOCATE', { fd: 3, len: 3, off: 4096, addr: FAR }),
  golden('prepFtruncate', [3, FAR], 'FTRUNCATE', { fd: 3, off: FAR }),
  golden('prepFadvise', [3, FAR, 4096, 4], 'FADVISE', { fd: 3, off: FAR, len: 4096, fadvise_advice: 4 }),
  golden('prepFadvise64', [3, 4096, FAR, 4], 'FADVISE', { fd: 3, off: 4096, addr: FAR, fadvise_advice: 4 }),
  golden('prepMadvise', [B, 4096, 4], 'MADVISE', { fd: -1, addr: B, len: 4096, fadvise_advice: 4 }),
  golden('prepMadvise64', [B, FAR, 4], 'MADVISE', { fd: -1, addr: B, off: FAR, fadvise_advice: 4 }),
]

const pipe: Golden[] = [
  golden('prepSplice', [5, -1, 6, FAR, 65536, 3], 'SPLICE', {
    fd: 6,
    off: FAR,
    splice_off_in: ALL_ONES,
    len: 65536,
    splice_flags: 3,
    splice_fd_in: 5,
  }),
  // Bit 31 of the flags: a fixed file as input.
  golden('prepSplice fixed input', [5, 77, 6, -1, 1, 0x8000_0000], 'SPLICE', {
    fd: 6,
    off: ALL_ONES,
    splice_off_in: 77,
    len: 1,
    splice_flags: 0x8000_0000,
    splice_fd_in: 5,
  }),
  golden('prepTee', [5, 6, 65536, 2], 'TEE', { fd: 6, len: 65536, splice_flags: 2, splice_fd_in: 5 }),
  golden('prepPipe', [A, 0o2000000], 'PIPE', { addr: A, pipe_flags: 0o2000000 }),
  golden('prepPipeDirect', [A, 0, 4], 'PIPE', { addr: A, file_index: 5 }),
  golden('prepPipeDirect alloc', [A, 0, ALLOC], 'PIPE', { addr: A, file_index: ALLOC }),
]

const path: Golden[] = [
  golden('prepOpenat', [7, A, 0o2000102, 0o644], 'OPENAT', {
    fd: 7,
    addr: A,
    len: 0o644,
    open_flags: 0o2000102,
  }),
  golden('prepOpenat cwd', [CWD, B, 0, 0], 'OPENAT', { fd: CWD, addr: B }),
  golden('prepOpenatDirect', [7, A, 2, 0o600, 0], 'OPENAT', {
    fd: 7,
    addr: A,
    len: 0o600,
    open_flags: 2,
    file_index: 1,
  }),
  golden('prepOpenatDirect alloc', [7, A, 2, 0o600, ALLOC], 'OPENAT', {
    fd: 7,
    addr: A,
    len: 0o600,
    open_flags: 2,
    file_index: ALLOC,
  }),
  golden('prepOpen', [A, 1, 0o777], 'OPENAT', { fd: CWD, addr: A, len: 0o777, open_flags: 1 }),
  golden('prepOpenDirect', [A, 1, 0, 31], 'OPENAT', { fd: CWD, addr: A, open_flags: 1, file_index: 32 }),
  golden('prepOpenat2', [7, A, B], 'OPENAT2', { fd: 7, addr: A, addr2: B, len: 24 }),
  golden('prepOpenat2Direct', [7, A, B, 2], 'OPENAT2', { fd: 7, addr: A, addr2: B, len: 24, file_index: 3 }),
  golden('prepClose', [9], 'CLOSE', { fd: 9 }),
  golden('prepCloseDirect', [0], 'CLOSE', { file_index: 1 }),
  golden('prepStatx', [CWD, A, 0x1100, 0x7ff, B], 'STATX', {
    fd: CWD,
    addr: A,
    addr2: B,
    len: 0x7ff,
    statx_flags: 0x1100,
  }),
  golden('prepRenameat', [7, A, CWD, B, 1], 'RENAMEAT', {
    fd: 7,
    addr: A,
    addr2: B,
    len: -100,
    rename_flags: 1,
  }),
  golden('prepRename', [A, B], 'RENAMEAT', { fd: CWD, addr: A, addr2: B, len: -100 }),
  golden('prepUnlinkat', [7, A, 0x200], 'UNLINKAT', { fd: 7, addr: A, unlink_flags: 0x200 }),
  golden('prepUnlink', [A, 0], 'UNLINKAT', { fd: CWD, addr: A }),
  golden('prepMkdirat', [7, A, 0o755], 'MKDIRAT', { fd: 7, addr: A, len: 0o755 }),
  golden('prepMkdir', [A, 0o700], 'MKDIRAT', { fd: CWD, addr: A, len: 0o700 }),
  golden('prepSymlinkat', [A, 7, B], 'SYMLINKAT', { fd: 7, addr: A, addr2: B }),
  golden('prepSymlink', [A, B], 'SYMLINKAT', { fd: CWD, addr: A, addr2: B }),
  golden('prepLinkat', [7, A, 8, B, 0x400], 'LINKAT', {
    fd: 7,
    addr: A,
    addr2: B,
    len: 8,
    hardlink_flags: 0x400,
  }),
  golden('prepLink', [A, B, 0x1000], 'LINKAT', {
    fd: CWD,
    addr: A,
    addr2: B,
    len: -100,
    hardlink_flags: 0x1000,
  }),
  golden('prepGetxattr', [A, B, C, 64], 'GETXATTR', { addr: A, addr2: B, addr3: C, len: 64 }),
  golden('prepSetxattr', [A, B, C, 2, 64], 'SETXATTR', {
    addr: A,
    addr2: B,
    addr3: C,
    len: 64,
    xattr_flags: 2,
  }),
  golden('prepFgetxattr', [3, A, B, 64], 'FGETXATTR', { fd: 3, addr: A, addr2: B, len: 64 }),
  golden('prepFsetxattr', [3, A, B, 1, 64], 'FSETXATTR', {
    fd: 3,
    addr: A,
    addr2: B,
    len: 64,
    xattr_flags: 1,
  }),
]

const net: Golden[] = [
  golden('prepSocket', [10, 0o2000001, 6, 0], 'SOCKET', { fd: 10, off: 0o2000001, len: 6 }),
  golden('prepSocketDirect', [2, 1, 0, 3, 0], 'SOCKET', { fd: 2, off: 1, file_index: 4 }),
  golden('prepSocketDirect alloc', [2, 1, 0, ALLOC, 0], 'SOCKET', { fd: 2, off: 1, file_index: ALLOC }),
  golden('prepSocketDirectAlloc', [2, 1, 0, 0], 'SOCKET', { fd: 2, off: 1, file_index: ALLOC }),
  golden('prepBind', [3, A, 28], 'BIND', { fd: 3, addr: A, addr2: 28 }),
  golden('prepListen', [3, 511], 'LISTEN', { fd: 3, len: 511 }),
  golden('prepConnect', [3, A, 16], 'CONNECT', { fd: 3, addr: A, off: 16 }),
  golden('prepAccept', [3, A, B, 0o2000000], 'ACCEPT', { fd: 3, addr: A, addr2: B, accept_flags: 0o2000000 }),
  golden('prepAcceptDirect', [3, 0, 0, 0, 15], 'ACCEPT', { fd: 3, file_index: 16 }),
  golden('prepAcceptDirect alloc', [3, 0, 0, 0, ALLOC], 'ACCEPT', { fd: 3, file_index: ALLOC }),
  golden('prepMultishotAccept', [3, A, B, 0o4000], 'ACCEPT', {
    ioprio: 1,
    fd: 3,
    addr: A,
    addr2: B,
    accept_flags: 0o4000,
  }),
  golden('prepMultishotAcceptDirect', [3, 0, 0, 0], 'ACCEPT', { ioprio: 1, fd: 3, file_index: ALLOC }),
  golden('prepRecv', [3, A, 4096, 0x100], 'RECV', { fd: 3, addr: A, len: 4096, msg_flags: 0x100 }),
  golden('prepRecvMultishot', [3, 0, 0, 0x4000], 'RECV', { ioprio: 2, fd: 3, msg_flags: 0x4000 }),
  golden('prepRecvZc', [3, 100, 2], 'RECV_ZC', { ioprio: 2, fd: 3, len: 100, zcrx_ifq_idx: 2 }),
  golden('prepRecvmsg', [3, A, 0x20], 'RECVMSG', { fd: 3, addr: A, len: 1, msg_flags: 0x20 }),
  golden('prepRecvmsgMultishot', [3, A, 0], 'RECVMSG', { ioprio: 2, fd: 3, addr: A, len: 1 }),
  golden('prepSend', [3, A, 4096, 0x4000], 'SEND', { fd: 3, addr: A, len: 4096, msg_flags: 0x4000 }),
  golden('prepSendBundle', [3, 0, 0x4000], 'SEND', { ioprio: 0x10, fd: 3, msg_flags: 0x4000 }),
  golden('prepSendSetAddr', [A, 28], 'NOP', { addr2: A, addr_len: 28 }),
  golden('prepSendto', [3, A, 100, 0, B, 16], 'SEND', { fd: 3, addr: A, len: 100, addr2: B, addr_len: 16 }),
  golden('prepSendmsg', [3, A, 0x4000], 'SENDMSG', { fd: 3, addr: A, len: 1, msg_flags: 0x4000 }),
  golden('prepSendZc', [3, A, 65536, 0x4000, 9], 'SEND_ZC', {
    ioprio: 9,
    fd: 3,
    addr: A,
    len: 65536,
    msg_flags: 0x4000,
  }),
  golden('prepSendZcFixed', [3, A, 65536, 0, 8, 4], 'SEND_ZC', {
    ioprio: 12,
    fd: 3,
    addr: A,
    len: 65536,
    buf_index: 4,
  }),
  golden('prepSendmsgZc', [3, A, 0x100], 'SENDMSG_ZC', { fd: 3, addr: A, len: 1, msg_flags: 0x100 }),
  golden('prepSendmsgZcFixed', [3, A, 0, 4], 'SENDMSG_ZC', {
    ioprio: 4,
    fd: 3,
    addr: A,
    len: 1,
    buf_index: 4,
  }),
  golden('prepShutdown', [3, 2], 'SHUTDOWN', { fd: 3, len: 2 }),
]

const control: Golden[] = [
  golden('prepNop', [], 'NOP', { fd: -1 }),
  golden('prepNop128', [], 'NOP128', { fd: -1 }),
  golden('prepTimeout', [A, 0xffff_ffff, 0x40], 'TIMEOUT', {
    fd: -1,
    addr: A,
    len: 1,
    off: 0xffff_ffff,
    timeout_flags: 0x40,
  }),
  golden('prepTimeoutRemove', [WIDE, 0], 'TIMEOUT_REMOVE', { fd: -1, addr: WIDE }),
  golden('prepTimeoutUpdate', [A, WIDE, 0x11], 'TIMEOUT_REMOVE', {
    fd: -1,
    addr: WIDE,
    off: A,
    timeout_flags: 0x13,
  }),
  golden('prepLinkTimeout', [A, 1], 'LINK_TIMEOUT', { fd: -1, addr: A, len: 1, timeout_flags: 1 }),
  golden('prepCancel', [A, 1], 'ASYNC_CANCEL', { fd: -1, addr: A, cancel_flags: 1 }),
  golden('prepCancel64', [WIDE, 0x10], 'ASYNC_CANCEL', { fd: -1, addr: WIDE, cancel_flags: 0x10 }),
  golden('prepCancelFd', [3, 1], 'ASYNC_CANCEL', { fd: 3, cancel_flags: 3 }),
  golden('prepPollAdd', [3, 0x2001], 'POLL_ADD', { fd: 3, poll32_events: 0x2001 }),
  golden('prepPollAdd bit 31', [3, 0x9000_0001], 'POLL_ADD', { fd: 3, poll32_events: 0x9000_0001 }),
  golden('prepPollMultishot', [3, 4], 'POLL_ADD', { fd: 3, len: 1, poll32_events: 4 }),
  golden('prepPollRemove', [WIDE], 'POLL_REMOVE', { fd: -1, addr: WIDE }),
  golden('prepPollUpdate', [FAR, WIDE, 5, 7], 'POLL_REMOVE', {
    fd: -1,
    addr: FAR,
    off: WIDE,
    len: 7,
    poll32_events: 5,
  }),
  golden('prepEpollCtl', [3, 9, 1, A], 'EPOLL_CTL', { fd: 3, off: 9, len: 1, addr: A }),
  golden('prepEpollWait', [3, A, 64, 0], 'EPOLL_WAIT', { fd: 3, addr: A, len: 64 }),
]

const sync: Golden[] = [
  golden('prepMsgRing', [3, 0x8000_0001, WIDE, 0], 'MSG_RING', { fd: 3, len: 0x8000_0001, off: WIDE }),
  golden('prepMsgRingCqeFlags', [3, 5, WIDE, 0, 0x10002], 'MSG_RING', {
    fd: 3,
    len: 5,
    off: WIDE,
    msg_ring_flags: 2,
    file_index: 0x10002,
  }),
  golden('prepMsgRingFd', [3, 1, 2, WIDE, 1], 'MSG_RING', {
    fd: 3,
    addr: 1,
    addr3: 1,
    off: WIDE,
    msg_ring_flags: 1,
    file_index: 3,
  }),
  golden('prepMsgRingFdAlloc', [3, 1, 9, 0], 'MSG_RING', {
    fd: 3,
    addr: 1,
    addr3: 1,
    off: 9,
    file_index: ALLOC,
  }),
  golden('prepFutexWait', [A, 42, 0xffff_ffff, 0x82, 0], 'FUTEX_WAIT', {
    fd: 0x82,
    addr: A,
    addr2: 42,
    addr3: 0xffff_ffff,
  }),
  golden('prepFutexWake', [A, 1, 0xffff_ffff, 2, 0], 'FUTEX_WAKE', {
    fd: 2,
    addr: A,
    addr2: 1,
    addr3: 0xffff_ffff,
  }),
  golden('prepFutexWaitv', [A, 3, 0], 'FUTEX_WAITV', { addr: A, len: 3 }),
  golden('prepWaitid', [1, 4321, A, 0x1000004, 0], 'WAITID', {
    fd: 4321,
    len: 1,
    addr2: A,
    file_index: 0x1000004,
  }),
]

const resource: Golden[] = [
  golden('prepFilesUpdate', [A, 4, 2], 'FILES_UPDATE', { fd: -1, addr: A, len: 4, off: 2 }),
  // The kernel takes 32 bits of it; liburing, where it is an int, writes all 64.
  golden('prepFilesUpdate alloc', [A, 4, ALLOC], 'FILES_UPDATE', { fd: -1, addr: A, len: 4, off: ALLOC }),
  golden('prepFixedFdInstall', [3, 1], 'FIXED_FD_INSTALL', { flags: 1, fd: 3, install_fd_flags: 1 }),
  golden('prepProvideBuffers', [A, 4096, 16, 0x8001, 3], 'PROVIDE_BUFFERS', {
    fd: 16,
    addr: A,
    len: 4096,
    off: 3,
    buf_group: 0x8001,
  }),
  golden('prepRemoveBuffers', [16, 7], 'REMOVE_BUFFERS', { fd: 16, buf_group: 7 }),
]

const cmd: Golden[] = [
  golden('prepUringCmd', [0x1234, 3], 'URING_CMD', { fd: 3, cmd_op: 0x1234 }),
  golden('prepUringCmd128', [0x1234, 3], 'URING_CMD128', { fd: 3, cmd_op: 0x1234 }),
  golden('prepCmdSock', [2, 3, 1, 7, A, 4], 'URING_CMD', {
    fd: 3,
    cmd_op: 2,
    level: 1,
    optname: 7,
    optlen: 4,
    optval: A,
  }),
  golden('prepCmdGetsockname', [3, A, B, 1], 'URING_CMD', { fd: 3, cmd_op: 5, addr: A, addr3: B, optlen: 1 }),
  golden('prepCmdDiscard', [3, FAR, 4096], 'URING_CMD', { fd: 3, cmd_op: 0x1200, addr: FAR, addr3: 4096 }),
  golden('prepCmdZoneResetAll', [3], 'URING_CMD', { fd: 3, cmd_op: 0x1201 }),
]

const general: Golden[] = [
  golden('prepRw', [22, 3, D, 10, FAR], 'READ', { fd: 3, addr: D, len: 10, off: FAR }),
]

export const goldens: Golden[] = [
  ...file,
  ...pipe,
  ...path,
  ...net,
  ...control,
  ...sync,
  ...resource,
  ...cmd,
  ...general,
]
