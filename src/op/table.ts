// One row for every opcode: its name, age, manual page, what it touches, how it ends. Plain data, frozen.
// Flow: ring/probe, runtime, trace, cli, docs → this → sys/abi.
// man io_uring_enter(2), the pages each row names
//
// Over 500 lines because it is a table: nobody reads it from top to bottom, everybody looks up a row.

import { IORING_OP_LAST } from '../sys/abi.ts'

/** What the entry's `fd` is: a file (IOSQE_FIXED_FILE is allowed) · a directory for a path · an fd's number itself · a slot of the registered files · not a file. */
export type OpFd = 'file' | 'dir' | 'number' | 'slot' | 'none'

/** What a result ≥ 0 means; 'fd' becomes a slot, or 0, when the request has a target slot. */
export type OpResult = 'zero' | 'bytes' | 'count' | 'fd' | 'mask' | 'driver'

/**
 * Whether ASYNC_CANCEL can stop it: 'wait' wherever it waits without a thread (files that can be polled, timers,
 * futexes; on a regular file as 'queued') · 'queued' until a kernel worker has begun it, then only if it sleeps
 * interruptibly · 'never', as it ends within the submission · 'driver': the file's driver decides.
 */
export type OpCancel = 'wait' | 'queued' | 'never' | 'driver'

/**
 * What breaks a chain of links after it: an error · also a short transfer · a short one with MSG_WAITALL · it must be the
 * last · 'nothing': only a bad file does; another error is reported, but the next request runs (measured up to 6.18).
 */
export type OpLinkBreaks = 'error' | 'short' | 'waitall' | 'last' | 'nothing'

/** Memory that a request names. 'registered' is part of a registered buffer, 'provided' one the kernel chooses. */
export type OpMemory =
  | 'data'
  | 'registered'
  | 'provided'
  | 'iovec'
  | 'msghdr'
  | 'control'
  | 'sockaddr'
  | 'addrlen'
  | 'path'
  | 'open_how'
  | 'statx'
  | 'timespec'
  | 'epoll_event'
  | 'fds'
  | 'xattr'
  | 'futex'
  | 'futex_waitv'
  | 'siginfo'
  | 'driver'

/** One opcode. */
export interface OpRow {
  /** Number: the row's index in `opTable`. */
  readonly code: number
  /** 'READ' */
  readonly name: string
  /** 'IORING_OP_READ' */
  readonly constant: string
  /** Kernel version that brought it, '5.6'. */
  readonly since: string
  /** The word for error messages, as Node has it: 'read', 'open', 'stat'. */
  readonly syscall: string
  /** Manual pages. */
  readonly man: string
  readonly fd: OpFd
  readonly result: OpResult
  /** A result ≥ 0 is a new fd that somebody must close. */
  readonly resultIsFd: boolean
  /** New fds are written to memory: two of them (PIPE). */
  readonly writesFds: boolean
  /** What makes it repeat (field and constant), 'always', or '' if it can't. */
  readonly multishot: string
  /** Kernel version that brought the repeating, or ''. */
  readonly multishotSince: string
  /** A second CQE with F_NOTIF follows, and only that one frees the memory. */
  readonly notif: boolean
  readonly cancel: OpCancel
  readonly linkBreaks: OpLinkBreaks
  /** Memory the kernel reads: 'data', 'registered', 'futex' until the final CQE, the rest until submit returned. */
  readonly reads: readonly OpMemory[]
  /** Memory the kernel writes, until the final CQE. */
  readonly writes: readonly OpMemory[]
  readonly needsFile: boolean
  readonly needsPath: boolean
  readonly needsBuffer: boolean
  readonly needsMsghdr: boolean
  /** The entry takes 128 bytes. */
  readonly wide: boolean
  /** Names of its prep functions. */
  readonly prep: readonly string[]
  /** Names of the methods of `Uring`, separated by ', '; '' for those that have none, and then `note` says why. */
  readonly method: string
  readonly note: string
}

interface RowParts {
  fd: OpFd
  result: OpResult
  multishot?: string
  multishotSince?: string
  notif?: boolean
  cancel: OpCancel
  linkBreaks?: OpLinkBreaks
  reads?: OpMemory[]
  writes?: OpMemory[]
  prep: string[]
  method?: string
  note?: string
}

/** Completes a row with what follows from its parts, and freezes it. */
function row(
  code: number,
  name: string,
  since: string,
  syscall: string,
  man: string,
  parts: RowParts,
): OpRow {
  const reads = Object.freeze(parts.reads ?? [])
  const writes = Object.freeze(parts.writes ?? [])
  return Object.freeze({
    code,
    name,
    constant: `IORING_OP_${name}`,
    since,
    syscall,
    man,
    fd: parts.fd,
    result: parts.result,
    resultIsFd: parts.result === 'fd',
    writesFds: name === 'PIPE',
    multishot: parts.multishot ?? '',
    multishotSince: parts.multishotSince ?? '',
    notif: parts.notif ?? false,
    cancel: parts.cancel,
    linkBreaks: parts.linkBreaks ?? 'error',
    reads,
    writes,
    needsFile: parts.fd === 'file',
    needsPath: reads.includes('path'),
    needsBuffer: reads.includes('data') || writes.includes('data'),
    needsMsghdr: reads.includes('msghdr'),
    wide: name.endsWith('128'),
    prep: Object.freeze(parts.prep),
    method: parts.method ?? '',
    note: parts.note ?? '',
  })
}

/** Every opcode; the index is its number. */
export const opTable: readonly OpRow[] = Object.freeze([
  row(0, 'NOP', '5.1', 'nop', 'io_uring_prep_nop(3)', {
    fd: 'none',
    result: 'zero',
    cancel: 'never',
    prep: ['prepNop'],
    method: 'nop',
  }),
  row(1, 'READV', '5.1', 'read', 'io_uring_prep_readv(3), preadv2(2)', {
    fd: 'file',
    result: 'bytes',
    cancel: 'wait',
    linkBreaks: 'short',
    reads: ['iovec'],
    writes: ['data'],
    prep: ['prepReadv', 'prepReadv2'],
    method: 'readv',
  }),
  row(2, 'WRITEV', '5.1', 'write', 'io_uring_prep_writev(3), pwritev2(2)', {
    fd: 'file',
    result: 'bytes',
    cancel: 'wait',
    linkBreaks: 'short',
    reads: ['iovec', 'data'],
    prep: ['prepWritev', 'prepWritev2'],
    method: 'writev',
  }),
  row(3, 'FSYNC', '5.1', 'fsync', 'io_uring_prep_fsync(3), fsync(2)', {
    fd: 'file',
    result: 'zero',
    cancel: 'queued',
    linkBreaks: 'nothing',
    prep: ['prepFsync'],
    method: 'fsync',
  }),
  row(4, 'READ_FIXED', '5.1', 'read', 'io_uring_prep_read_fixed(3), pread(2)', {
    fd: 'file',
    result: 'bytes',
    cancel: 'wait',
    linkBreaks: 'short',
    writes: ['registered'],
    prep: ['prepReadFixed'],
    method: 'readFixed',
  }),
  row(5, 'WRITE_FIXED', '5.1', 'write', 'io_uring_prep_write_fixed(3), pwrite(2)', {
    fd: 'file',
    result: 'bytes',
    cancel: 'wait',
    linkBreaks: 'short',
    reads: ['registered'],
    prep: ['prepWriteFixed'],
    method: 'writeFixed',
  }),
  row(6, 'POLL_ADD', '5.1', 'poll', 'io_uring_prep_poll_add(3), poll(2)', {
    fd: 'file',
    result: 'mask',
    multishot: 'len IORING_POLL_ADD_MULTI',
    multishotSince: '5.13',
    cancel: 'wait',
    prep: ['prepPollAdd', 'prepPollMultishot'],
    method: 'poll, pollMultishot, poller',
  }),
  row(7, 'POLL_REMOVE', '5.1', 'poll', 'io_uring_prep_poll_remove(3), poll(2)', {
    fd: 'none',
    result: 'zero',
    cancel: 'never',
    prep: ['prepPollRemove', 'prepPollUpdate'],
    method: 'poller',
  }),
  row(
    8,
    'SYNC_FILE_RANGE',
    '5.2',
    'sync_file_range',
    'io_uring_prep_sync_file_range(3), sync_file_range(2)',
    {
      fd: 'file',
      result: 'zero',
      cancel: 'queued',
      linkBreaks: 'nothing',
      prep: ['prepSyncFileRange'],
      method: 'syncFileRange',
    },
  ),
  row(9, 'SENDMSG', '5.3', 'sendmsg', 'io_uring_prep_sendmsg(3), sendmsg(2)', {
    fd: 'file',
    result: 'bytes',
    cancel: 'wait',
    linkBreaks: 'waitall',
    reads: ['msghdr', 'iovec', 'sockaddr', 'control', 'data'],
    prep: ['prepSendmsg'],
    method: 'sendmsg',
  }),
  row(10, 'RECVMSG', '5.3', 'recvmsg', 'io_uring_prep_recvmsg(3), recvmsg(2)', {
    fd: 'file',
    result: 'bytes',
    multishot: 'ioprio IORING_RECV_MULTISHOT',
    multishotSince: '6.0',
    cancel: 'wait',
    linkBreaks: 'waitall',
    reads: ['msghdr', 'iovec'],
    writes: ['msghdr', 'sockaddr', 'control', 'data', 'provided'],
    prep: ['prepRecvmsg', 'prepRecvmsgMultishot'],
    method: 'recvmsg, recvmsgMultishot',
  }),
  row(11, 'TIMEOUT', '5.4', 'timeout', 'io_uring_prep_timeout(3)', {
    fd: 'none',
    result: 'zero',
    multishot: 'flag IORING_TIMEOUT_MULTISHOT',
    multishotSince: '6.4',
    cancel: 'wait',
    reads: ['timespec'],
    prep: ['prepTimeout'],
    method: 'timeout, timeoutMultishot, timer',
  }),
  row(12, 'TIMEOUT_REMOVE', '5.5', 'timeout', 'io_uring_prep_timeout_remove(3)', {
    fd: 'none',
    result: 'zero',
    cancel: 'never',
    reads: ['timespec'],
    prep: ['prepTimeoutRemove', 'prepTimeoutUpdate'],
    method: 'timer',
  }),
  row(13, 'ACCEPT', '5.5', 'accept', 'io_uring_prep_accept(3), accept4(2)', {
    fd: 'file',
    result: 'fd',
    multishot: 'ioprio IORING_ACCEPT_MULTISHOT',
    multishotSince: '5.19',
    cancel: 'wait',
    writes: ['sockaddr', 'addrlen'],
    prep: ['prepAccept', 'prepAcceptDirect', 'prepMultishotAccept', 'prepMultishotAcceptDirect'],
    method: 'accept, acceptMultishot, acceptDirect, acceptMultishotDirect',
  }),
  row(14, 'ASYNC_CANCEL', '5.5', 'cancel', 'io_uring_prep_cancel(3)', {
    fd: 'none',
    result: 'count',
    cancel: 'never',
    prep: ['prepCancel', 'prepCancel64', 'prepCancelFd'],
    method: 'cancel',
  }),
  row(15, 'LINK_TIMEOUT', '5.5', 'timeout', 'io_uring_prep_link_timeout(3)', {
    fd: 'none',
    result: 'zero',
    cancel: 'never',
    linkBreaks: 'last',
    reads: ['timespec'],
    prep: ['prepLinkTimeout'],
    note: 'the `timeout` option of every operation',
  }),
  row(16, 'CONNECT', '5.5', 'connect', 'io_uring_prep_connect(3), connect(2)', {
    fd: 'file',
    result: 'zero',
    cancel: 'wait',
    reads: ['sockaddr'],
    prep: ['prepConnect'],
    method: 'connect',
  }),
  row(17, 'FALLOCATE', '5.6', 'fallocate', 'io_uring_prep_fallocate(3), fallocate(2)', {
    fd: 'file',
    result: 'zero',
    cancel: 'queued',
    linkBreaks: 'nothing',
    prep: ['prepFallocate'],
    method: 'fallocate',
  }),
  row(18, 'OPENAT', '5.6', 'open', 'io_uring_prep_openat(3), openat(2)', {
    fd: 'dir',
    result: 'fd',
    cancel: 'queued',
    reads: ['path'],
    prep: ['prepOpenat', 'prepOpenatDirect', 'prepOpen', 'prepOpenDirect'],
    method: 'openat',
  }),
  row(19, 'CLOSE', '5.6', 'close', 'io_uring_prep_close(3), close(2)', {
    fd: 'number',
    result: 'zero',
    cancel: 'queued',
    prep: ['prepClose', 'prepCloseDirect'],
    method: 'closeFile, closeFixed',
  }),
  row(20, 'FILES_UPDATE', '5.6', 'files_update', 'io_uring_prep_files_update(3), io_uring_register(2)', {
    fd: 'none',
    result: 'count',
    cancel: 'never',
    reads: ['fds'],
    writes: ['fds'],
    prep: ['prepFilesUpdate'],
    method: 'filesUpdate, filesUpdateAlloc',
  }),
  row(21, 'STATX', '5.6', 'stat', 'io_uring_prep_statx(3), statx(2)', {
    fd: 'dir',
    result: 'zero',
    cancel: 'queued',
    linkBreaks: 'nothing',
    reads: ['path'],
    writes: ['statx'],
    prep: ['prepStatx'],
    method: 'statx',
  }),
  row(22, 'READ', '5.6', 'read', 'io_uring_prep_read(3), read(2)', {
    fd: 'file',
    result: 'bytes',
    cancel: 'wait',
    linkBreaks: 'short',
    writes: ['data', 'provided'],
    prep: ['prepRead'],
    method: 'read',
  }),
  row(23, 'WRITE', '5.6', 'write', 'io_uring_prep_write(3), write(2)', {
    fd: 'file',
    result: 'bytes',
    cancel: 'wait',
    linkBreaks: 'short',
    reads: ['data'],
    prep: ['prepWrite'],
    method: 'write',
  }),
  row(24, 'FADVISE', '5.6', 'fadvise', 'io_uring_prep_fadvise(3), posix_fadvise(2)', {
    fd: 'file',
    result: 'zero',
    cancel: 'queued',
    prep: ['prepFadvise', 'prepFadvise64'],
    method: 'fadvise',
  }),
  row(25, 'MADVISE', '5.6', 'madvise', 'io_uring_prep_madvise(3), madvise(2)', {
    fd: 'none',
    result: 'zero',
    cancel: 'queued',
    linkBreaks: 'nothing',
    writes: ['data'],
    prep: ['prepMadvise', 'prepMadvise64'],
    method: 'madvise',
  }),
  row(26, 'SEND', '5.6', 'send', 'io_uring_prep_send(3), send(2)', {
    fd: 'file',
    result: 'bytes',
    cancel: 'wait',
    linkBreaks: 'waitall',
    reads: ['data', 'sockaddr', 'provided'],
    prep: ['prepSend', 'prepSendto', 'prepSendBundle', 'prepSendSetAddr'],
    method: 'send, sendto, sendv, sendBundle',
  }),
  row(27, 'RECV', '5.6', 'recv', 'io_uring_prep_recv(3), recv(2)', {
    fd: 'file',
    result: 'bytes',
    multishot: 'ioprio IORING_RECV_MULTISHOT',
    multishotSince: '6.0',
    cancel: 'wait',
    linkBreaks: 'waitall',
    writes: ['data', 'provided'],
    prep: ['prepRecv', 'prepRecvMultishot'],
    method: 'recv, recvMultishot, recvBundle',
  }),
  row(28, 'OPENAT2', '5.6', 'open', 'io_uring_prep_openat2(3), openat2(2)', {
    fd: 'dir',
    result: 'fd',
    cancel: 'queued',
    reads: ['path', 'open_how'],
    prep: ['prepOpenat2', 'prepOpenat2Direct'],
    method: 'openat2',
  }),
  row(29, 'EPOLL_CTL', '5.6', 'epoll_ctl', 'io_uring_prep_epoll_ctl(3), epoll_ctl(2)', {
    fd: 'number',
    result: 'zero',
    cancel: 'queued',
    reads: ['epoll_event'],
    prep: ['prepEpollCtl'],
    method: 'epollCtl',
  }),
  row(30, 'SPLICE', '5.7', 'splice', 'io_uring_prep_splice(3), splice(2)', {
    fd: 'file',
    result: 'bytes',
    cancel: 'queued',
    linkBreaks: 'short',
    prep: ['prepSplice'],
    method: 'splice',
  }),
  row(31, 'PROVIDE_BUFFERS', '5.7', 'provide_buffers', 'io_uring_prep_provide_buffers(3)', {
    fd: 'none',
    result: 'zero',
    cancel: 'never',
    writes: ['data'],
    prep: ['prepProvideBuffers'],
    note: '`bufferGroup`: buffer rings took their place',
  }),
  row(32, 'REMOVE_BUFFERS', '5.7', 'remove_buffers', 'io_uring_prep_remove_buffers(3)', {
    fd: 'none',
    result: 'count',
    cancel: 'never',
    prep: ['prepRemoveBuffers'],
    note: '`bufferGroup`: buffer rings took their place',
  }),
  row(33, 'TEE', '5.8', 'tee', 'io_uring_prep_tee(3), tee(2)', {
    fd: 'file',
    result: 'bytes',
    cancel: 'queued',
    linkBreaks: 'short',
    prep: ['prepTee'],
    method: 'tee',
  }),
  row(34, 'SHUTDOWN', '5.11', 'shutdown', 'io_uring_prep_shutdown(3), shutdown(2)', {
    fd: 'file',
    result: 'zero',
    cancel: 'queued',
    prep: ['prepShutdown'],
    method: 'shutdown',
  }),
  row(35, 'RENAMEAT', '5.11', 'rename', 'io_uring_prep_renameat(3), renameat2(2)', {
    fd: 'dir',
    result: 'zero',
    cancel: 'queued',
    linkBreaks: 'nothing',
    reads: ['path'],
    prep: ['prepRenameat', 'prepRename'],
    method: 'renameat',
  }),
  row(36, 'UNLINKAT', '5.11', 'unlink', 'io_uring_prep_unlinkat(3), unlinkat(2)', {
    fd: 'dir',
    result: 'zero',
    cancel: 'queued',
    linkBreaks: 'nothing',
    reads: ['path'],
    prep: ['prepUnlinkat', 'prepUnlink'],
    method: 'unlinkat',
  }),
  row(37, 'MKDIRAT', '5.15', 'mkdir', 'io_uring_prep_mkdirat(3), mkdirat(2)', {
    fd: 'dir',
    result: 'zero',
    cancel: 'queued',
    linkBreaks: 'nothing',
    reads: ['path'],
    prep: ['prepMkdirat', 'prepMkdir'],
    method: 'mkdirat',
  }),
  row(38, 'SYMLINKAT', '5.15', 'symlink', 'io_uring_prep_symlinkat(3), symlinkat(2)', {
    fd: 'dir',
    result: 'zero',
    cancel: 'queued',
    linkBreaks: 'nothing',
    reads: ['path'],
    prep: ['prepSymlinkat', 'prepSymlink'],
    method: 'symlinkat',
  }),
  row(39, 'LINKAT', '5.15', 'link', 'io_uring_prep_linkat(3), linkat(2)', {
    fd: 'dir',
    result: 'zero',
    cancel: 'queued',
    linkBreaks: 'nothing',
    reads: ['path'],
    prep: ['prepLinkat', 'prepLink'],
    method: 'linkat',
  }),
  row(40, 'MSG_RING', '5.18', 'msg_ring', 'io_uring_prep_msg_ring(3)', {
    fd: 'file',
    result: 'zero',
    cancel: 'queued',
    prep: ['prepMsgRing', 'prepMsgRingCqeFlags', 'prepMsgRingFd', 'prepMsgRingFdAlloc'],
    method: 'msgRing, msgRingFd, messages',
  }),
  row(41, 'FSETXATTR', '5.19', 'fsetxattr', 'io_uring_prep_fsetxattr(3), fsetxattr(2)', {
    fd: 'file',
    result: 'zero',
    cancel: 'queued',
    linkBreaks: 'nothing',
    reads: ['xattr'],
    prep: ['prepFsetxattr'],
    method: 'fsetxattr',
  }),
  row(42, 'SETXATTR', '5.19', 'setxattr', 'io_uring_prep_setxattr(3), setxattr(2)', {
    fd: 'none',
    result: 'zero',
    cancel: 'queued',
    linkBreaks: 'nothing',
    reads: ['path', 'xattr'],
    prep: ['prepSetxattr'],
    method: 'setxattr',
  }),
  row(43, 'FGETXATTR', '5.19', 'fgetxattr', 'io_uring_prep_fgetxattr(3), fgetxattr(2)', {
    fd: 'file',
    result: 'bytes',
    cancel: 'queued',
    linkBreaks: 'nothing',
    reads: ['xattr'],
    writes: ['data'],
    prep: ['prepFgetxattr'],
    method: 'fgetxattr',
  }),
  row(44, 'GETXATTR', '5.19', 'getxattr', 'io_uring_prep_getxattr(3), getxattr(2)', {
    fd: 'none',
    result: 'bytes',
    cancel: 'queued',
    linkBreaks: 'nothing',
    reads: ['path', 'xattr'],
    writes: ['data'],
    prep: ['prepGetxattr'],
    method: 'getxattr',
  }),
  row(45, 'SOCKET', '5.19', 'socket', 'io_uring_prep_socket(3), socket(2)', {
    fd: 'none',
    result: 'fd',
    cancel: 'never',
    prep: ['prepSocket', 'prepSocketDirect', 'prepSocketDirectAlloc'],
    method: 'socket, socketDirect',
  }),
  row(46, 'URING_CMD', '5.19', 'uring_cmd', 'io_uring_prep_uring_cmd(3)', {
    fd: 'file',
    result: 'driver',
    multishot: 'flag IORING_URING_CMD_MULTISHOT',
    multishotSince: '6.18',
    cancel: 'driver',
    reads: ['driver'],
    writes: ['driver'],
    prep: ['prepUringCmd', 'prepCmdSock', 'prepCmdGetsockname', 'prepCmdDiscard', 'prepCmdZoneResetAll'],
    method: 'uringCmd, siocinq, siocoutq, getsockopt, setsockopt, getsockname, txTimestamps, discard',
  }),
  row(47, 'SEND_ZC', '6.0', 'send', 'io_uring_prep_send_zc(3), send(2)', {
    fd: 'file',
    result: 'bytes',
    notif: true,
    cancel: 'wait',
    linkBreaks: 'waitall',
    reads: ['data', 'sockaddr', 'registered'],
    prep: ['prepSendZc', 'prepSendZcFixed', 'prepSendSetAddr'],
    method: 'sendZc, sendvZc',
  }),
  row(48, 'SENDMSG_ZC', '6.1', 'sendmsg', 'io_uring_prep_sendmsg_zc(3), sendmsg(2)', {
    fd: 'file',
    result: 'bytes',
    notif: true,
    cancel: 'wait',
    linkBreaks: 'waitall',
    reads: ['msghdr', 'iovec', 'sockaddr', 'control', 'data', 'registered'],
    prep: ['prepSendmsgZc', 'prepSendmsgZcFixed'],
    method: 'sendmsgZc',
  }),
  row(49, 'READ_MULTISHOT', '6.7', 'read', 'io_uring_prep_read_multishot(3), read(2)', {
    fd: 'file',
    result: 'bytes',
    multishot: 'always',
    multishotSince: '6.7',
    cancel: 'wait',
    linkBreaks: 'short',
    writes: ['provided'],
    prep: ['prepReadMultishot'],
    method: 'readMultishot',
  }),
  row(50, 'WAITID', '6.7', 'waitid', 'io_uring_prep_waitid(3), waitid(2)', {
    fd: 'none',
    result: 'zero',
    cancel: 'wait',
    writes: ['siginfo'],
    prep: ['prepWaitid'],
    method: 'waitid',
  }),
  row(51, 'FUTEX_WAIT', '6.7', 'futex_wait', 'io_uring_prep_futex_wait(3), futex(2)', {
    fd: 'none',
    result: 'zero',
    cancel: 'wait',
    reads: ['futex'],
    prep: ['prepFutexWait'],
    method: 'futexWait',
  }),
  row(52, 'FUTEX_WAKE', '6.7', 'futex_wake', 'io_uring_prep_futex_wake(3), futex(2)', {
    fd: 'none',
    result: 'count',
    cancel: 'never',
    reads: ['futex'],
    prep: ['prepFutexWake'],
    method: 'futexWake',
  }),
  row(53, 'FUTEX_WAITV', '6.7', 'futex_waitv', 'io_uring_prep_futex_waitv(3), futex(2)', {
    fd: 'none',
    result: 'count',
    cancel: 'wait',
    reads: ['futex_waitv', 'futex'],
    prep: ['prepFutexWaitv'],
    method: 'futexWaitv',
  }),
  row(54, 'FIXED_FD_INSTALL', '6.8', 'fixed_fd_install', 'io_uring_prep_fixed_fd_install(3)', {
    fd: 'slot',
    result: 'fd',
    cancel: 'never',
    prep: ['prepFixedFdInstall'],
    method: 'fixedFdInstall',
  }),
  row(55, 'FTRUNCATE', '6.9', 'ftruncate', 'io_uring_prep_ftruncate(3), ftruncate(2)', {
    fd: 'file',
    result: 'zero',
    cancel: 'queued',
    linkBreaks: 'nothing',
    prep: ['prepFtruncate'],
    method: 'ftruncate',
  }),
  row(56, 'BIND', '6.11', 'bind', 'io_uring_prep_bind(3), bind(2)', {
    fd: 'file',
    result: 'zero',
    cancel: 'never',
    reads: ['sockaddr'],
    prep: ['prepBind'],
    method: 'bind',
  }),
  row(57, 'LISTEN', '6.11', 'listen', 'io_uring_prep_listen(3), listen(2)', {
    fd: 'file',
    result: 'zero',
    cancel: 'never',
    prep: ['prepListen'],
    method: 'listen',
  }),
  row(58, 'RECV_ZC', '6.15', 'recv', 'io_uring_enter(2), recv(2)', {
    fd: 'file',
    result: 'bytes',
    multishot: 'always',
    multishotSince: '6.15',
    cancel: 'wait',
    writes: ['provided'],
    prep: ['prepRecvZc'],
    note: 'raw `Ring` only: it needs a network card that splits headers',
  }),
  row(59, 'EPOLL_WAIT', '6.15', 'epoll_wait', 'io_uring_prep_epoll_wait(3), epoll_wait(2)', {
    fd: 'file',
    result: 'count',
    cancel: 'wait',
    writes: ['epoll_event'],
    prep: ['prepEpollWait'],
    method: 'epollWait',
  }),
  row(60, 'READV_FIXED', '6.15', 'read', 'io_uring_prep_readv_fixed(3), preadv2(2)', {
    fd: 'file',
    result: 'bytes',
    cancel: 'wait',
    linkBreaks: 'short',
    reads: ['iovec'],
    writes: ['registered'],
    prep: ['prepReadvFixed'],
    method: 'readvFixed',
  }),
  row(61, 'WRITEV_FIXED', '6.15', 'write', 'io_uring_prep_writev_fixed(3), pwritev2(2)', {
    fd: 'file',
    result: 'bytes',
    cancel: 'wait',
    linkBreaks: 'short',
    reads: ['iovec', 'registered'],
    prep: ['prepWritevFixed'],
    method: 'writevFixed',
  }),
  row(62, 'PIPE', '6.16', 'pipe', 'io_uring_prep_pipe(3), pipe2(2)', {
    fd: 'none',
    result: 'zero',
    cancel: 'never',
    writes: ['fds'],
    prep: ['prepPipe', 'prepPipeDirect'],
    method: 'pipe, pipeDirect',
  }),
  row(63, 'NOP128', '6.19', 'nop', 'io_uring_prep_nop128(3)', {
    fd: 'none',
    result: 'zero',
    cancel: 'never',
    prep: ['prepNop128'],
    method: 'nop128',
  }),
  row(64, 'URING_CMD128', '6.19', 'uring_cmd', 'io_uring_prep_uring_cmd128(3)', {
    fd: 'file',
    result: 'driver',
    multishot: 'flag IORING_URING_CMD_MULTISHOT',
    multishotSince: '6.19',
    cancel: 'driver',
    reads: ['driver'],
    writes: ['driver'],
    prep: ['prepUringCmd128'],
    method: 'uringCmd',
  }),
])

/** Opcodes this table knows: the first number it does not. */
export const OPS_COUNT = IORING_OP_LAST

const byName = new Map(opTable.map((op) => [op.name, op]))

/**
 * Finds a row by 'READ' or 'IORING_OP_READ', in any case.
 *
 * @returns The row, or undefined for a name that is none
 */
export function opByName(name: string): OpRow | undefined {
  const upper = name.toUpperCase()
  return byName.get(upper.startsWith('IORING_OP_') ? upper.slice('IORING_OP_'.length) : upper)
}

/** The name of an opcode for messages: 'READ', or 'OP_77' for one newer than this table. */
export function opName(code: number): string {
  return opTable[code]?.name ?? `OP_${code}`
}
