// Which function, option or method of ours each flag of the io_uring ABI has, and why some have none.
// Flow: 47.flags.test.ts → this → ringcore/ring. Every writer is called, and the bit is looked for where the kernel reads it.

import * as op from 'ringcore/ring'
import { SQE, type Sqe } from 'ringcore/ring'

/** Fields that hold flags: the word of the entry, and the bit at which the field begins. */
export const FIELDS = {
  flags: [SQE.OPCODE, 8],
  ioprio: [SQE.OPCODE, 16],
  fd: [SQE.FD, 0],
  addr: [SQE.ADDR, 0],
  len: [SQE.LEN, 0],
  opFlags: [SQE.OP_FLAGS, 0],
  fileIndex: [SQE.FILE_INDEX, 0],
  attrTypeMask: [SQE.PAD2, 0],
} as const

/** The field, what writes the flag into it, and the friendly form: a method of Uring, or an option of one of its interfaces. */
type Writer = readonly [
  field: keyof typeof FIELDS,
  write: (sqe: Sqe, flag: number) => void,
  friendly?: `Uring.${string}` | `${string}Options.${string}`,
]

const nop = (sqe: Sqe, flag: number): void => {
  op.prepNop(sqe)
  op.sqeSetOpFlags(sqe, flag)
}
const command = (sqe: Sqe, flag: number): void => {
  op.prepUringCmd(sqe, 0, 3)
  op.sqeSetOpFlags(sqe, flag)
}
const timeout = (sqe: Sqe, flag: number): void => op.prepTimeout(sqe, 8, 0, flag)
const cancel = (sqe: Sqe, flag: number): void => op.prepCancel(sqe, 0, flag)
const sqeFlag = (sqe: Sqe, flag: number): void => op.sqeSetFlags(sqe, flag)
const read = (sqe: Sqe, flag: number): void => op.prepReadv2(sqe, 3, 8, 1, 0, flag)
const write = (sqe: Sqe, flag: number): void => op.prepWritev2(sqe, 3, 8, 1, 0, flag)
const futex = (sqe: Sqe, flag: number): void => op.prepFutexWait(sqe, 8, 0, 1, flag, 0)
const message = (sqe: Sqe, flag: number): void => op.prepMsgRing(sqe, 3, 0, 0, flag)
const accept = (sqe: Sqe, flag: number): void => {
  op.prepAccept(sqe, 3, 0, 0, 0)
  op.sqeAddIoprio(sqe, flag)
}
const recv = (sqe: Sqe, flag: number): void => {
  op.prepRecv(sqe, 3, 8, 1, 0)
  op.sqeAddIoprio(sqe, flag)
}
const pollUpdate = (sqe: Sqe, flag: number): void => op.prepPollUpdate(sqe, 1, 2, 3, flag)

/** IOSQE_*: what every request may have. */
export const SQE_FLAGS: Readonly<Record<string, Writer>> = {
  IOSQE_FIXED_FILE: ['flags', (sqe) => op.sqeSetFixedFile(sqe), 'Uring.fixedFile'],
  IOSQE_IO_DRAIN: ['flags', sqeFlag, 'OperationOptions.sqeFlags'],
  IOSQE_IO_LINK: ['flags', sqeFlag, 'Uring.chain'],
  IOSQE_IO_HARDLINK: ['flags', sqeFlag, 'Uring.chain'],
  IOSQE_ASYNC: ['flags', sqeFlag, 'OperationOptions.sqeFlags'],
  IOSQE_BUFFER_SELECT: ['flags', (sqe) => op.sqeSetBufferSelect(sqe, 1), 'Uring.bufferGroup'],
  // Only on Ring (`accountSkippedCqes`): the runtime frees a slot when its CQE comes.
  IOSQE_CQE_SKIP_SUCCESS: ['flags', sqeFlag],
}

/** Flags of single operations. */
export const OPERATION_FLAGS: Readonly<Record<string, Writer>> = {
  IORING_URING_CMD_FIXED: ['opFlags', command],
  IORING_URING_CMD_MULTISHOT: ['opFlags', command],
  IORING_FSYNC_DATASYNC: ['opFlags', (sqe, flag) => op.prepFsync(sqe, 3, flag), 'Uring.fsync'],
  IORING_TIMEOUT_ABS: ['opFlags', timeout, 'ClockOptions.absolute'],
  IORING_TIMEOUT_UPDATE: ['opFlags', (sqe) => op.prepTimeoutUpdate(sqe, 8, 1, 0), 'Uring.timer'],
  IORING_TIMEOUT_BOOTTIME: ['opFlags', timeout, 'ClockOptions.clock'],
  IORING_TIMEOUT_REALTIME: ['opFlags', timeout, 'ClockOptions.clock'],
  IORING_LINK_TIMEOUT_UPDATE: ['opFlags', (sqe, flag) => op.prepTimeoutUpdate(sqe, 8, 1, flag)],
  IORING_TIMEOUT_ETIME_SUCCESS: ['opFlags', timeout, 'Uring.timeout'],
  IORING_TIMEOUT_MULTISHOT: ['opFlags', timeout, 'Uring.timeoutMultishot'],
  IORING_TIMEOUT_IMMEDIATE_ARG: ['opFlags', timeout],
  SPLICE_F_FD_IN_FIXED: ['opFlags', (sqe, flag) => op.prepSplice(sqe, 3, -1, 4, -1, 1, flag), 'Uring.splice'],
  IORING_POLL_ADD_MULTI: ['len', (sqe) => op.prepPollMultishot(sqe, 3, 1), 'Uring.pollMultishot'],
  IORING_POLL_UPDATE_EVENTS: ['len', pollUpdate, 'Uring.poller'],
  IORING_POLL_UPDATE_USER_DATA: ['len', pollUpdate],
  IORING_POLL_ADD_LEVEL: ['len', pollUpdate],
  IORING_ASYNC_CANCEL_ALL: ['opFlags', cancel, 'Uring.cancel'],
  IORING_ASYNC_CANCEL_FD: ['opFlags', (sqe) => op.prepCancelFd(sqe, 3, 0), 'Uring.cancel'],
  IORING_ASYNC_CANCEL_ANY: ['opFlags', cancel, 'Uring.cancel'],
  IORING_ASYNC_CANCEL_FD_FIXED: ['opFlags', cancel, 'Uring.cancel'],
  IORING_ASYNC_CANCEL_USERDATA: ['opFlags', cancel],
  IORING_ASYNC_CANCEL_OP: ['opFlags', cancel, 'Uring.cancel'],
  IORING_RECVSEND_POLL_FIRST: ['ioprio', recv, 'MessageOptions.ioprio'],
  IORING_RECV_MULTISHOT: ['ioprio', (sqe) => op.prepRecvMultishot(sqe, 3, 0, 0, 0), 'Uring.recvMultishot'],
  IORING_RECVSEND_FIXED_BUF: [
    'ioprio',
    (sqe) => op.prepSendZcFixed(sqe, 3, 8, 1, 0, 0, 2),
    'Uring.sendmsgZc',
  ],
  IORING_SEND_ZC_REPORT_USAGE: [
    'ioprio',
    (sqe, flag) => op.prepSendZc(sqe, 3, 8, 1, 0, flag),
    'ZeroCopyOptions.reportUsage',
  ],
  IORING_RECVSEND_BUNDLE: ['ioprio', (sqe) => op.prepSendBundle(sqe, 3, 0, 0), 'Uring.sendBundle'],
  IORING_SEND_VECTORIZED: ['ioprio', (sqe, flag) => op.prepSendZc(sqe, 3, 8, 1, 0, flag), 'Uring.sendv'],
  IORING_ACCEPT_MULTISHOT: [
    'ioprio',
    (sqe) => op.prepMultishotAccept(sqe, 3, 0, 0, 0),
    'Uring.acceptMultishot',
  ],
  IORING_ACCEPT_DONTWAIT: ['ioprio', accept, 'AcceptOptions.ioprio'],
  IORING_ACCEPT_POLL_FIRST: ['ioprio', accept, 'AcceptOptions.ioprio'],
  IORING_MSG_SEND_FD: ['addr', (sqe) => op.prepMsgRingFd(sqe, 3, 1, 2, 0, 0), 'Uring.msgRingFd'],
  IORING_MSG_RING_CQE_SKIP: ['opFlags', message],
  IORING_MSG_RING_FLAGS_PASS: [
    'opFlags',
    (sqe) => op.prepMsgRingCqeFlags(sqe, 3, 0, 0, 0, 1),
    'Uring.msgRing',
  ],
  IORING_FIXED_FD_NO_CLOEXEC: [
    'opFlags',
    (sqe, flag) => op.prepFixedFdInstall(sqe, 1, flag),
    'Uring.fixedFdInstall',
  ],
  IORING_NOP_INJECT_RESULT: ['opFlags', nop, 'NopOptions.result'],
  IORING_NOP_FILE: ['opFlags', nop, 'NopOptions.file'],
  IORING_NOP_FIXED_FILE: ['opFlags', nop, 'NopOptions.file'],
  IORING_NOP_FIXED_BUFFER: ['opFlags', nop, 'NopOptions.flags'],
  IORING_NOP_TW: ['opFlags', nop, 'NopOptions.flags'],
  IORING_NOP_CQE32: ['opFlags', nop, 'NopOptions.flags'],
  IORING_FILE_INDEX_ALLOC: [
    'fileIndex',
    (sqe) => op.prepSocketDirectAlloc(sqe, 2, 1, 0, 0),
    'Uring.acceptMultishotDirect',
  ],
  IORING_RW_ATTR_FLAG_PI: ['attrTypeMask', (sqe, flag) => op.sqeSetAttr(sqe, 8, flag)],
  RWF_HIPRI: ['opFlags', read, 'ReadOptions.rwFlags'],
  RWF_DSYNC: ['opFlags', write, 'ReadOptions.rwFlags'],
  RWF_SYNC: ['opFlags', write, 'ReadOptions.rwFlags'],
  RWF_NOWAIT: ['opFlags', read, 'ReadOptions.rwFlags'],
  RWF_APPEND: ['opFlags', write, 'ReadOptions.rwFlags'],
  RWF_NOAPPEND: ['opFlags', write, 'ReadOptions.rwFlags'],
  RWF_ATOMIC: ['opFlags', write, 'ReadOptions.rwFlags'],
  RWF_DONTCACHE: ['opFlags', write, 'ReadOptions.rwFlags'],
  RWF_NOSIGNAL: ['opFlags', write, 'ReadOptions.rwFlags'],
  FUTEX2_SIZE_U16: ['fd', futex],
  FUTEX2_SIZE_U32: ['fd', futex, 'Uring.futexWait'],
  FUTEX2_SIZE_U64: ['fd', futex],
  FUTEX2_NUMA: ['fd', futex],
  FUTEX2_MPOL: ['fd', futex],
  FUTEX2_PRIVATE: ['fd', futex, 'Uring.futexWait'],
}

/** Flags that no function writes, and why. */
export const EXCEPTIONS: Readonly<Record<string, string>> = {
  IORING_ENTER_ABS_TIMER:
    'waits of Ring take lengths; io_uring_enter of ringcore/sys takes the flag as it is',
  IORING_URING_CMD_MASK: 'all flags of commands together, not one of them',
  IORING_TIMEOUT_CLOCK_MASK: 'both clocks together, not a flag',
  IORING_TIMEOUT_UPDATE_MASK: 'both kinds of updates together, not a flag',
  IORING_MSG_DATA: 'is 0, which prepMsgRing writes by writing nothing',
  FUTEX2_SIZE_U8: 'is 0, which the kernel refuses so far',
  IORING_NOTIF_USAGE_ZC_COPIED: 'comes back in a CQE: sendZc reports it as `copied`',
}

/** CQE flags: what acts upon each, as "file: name"; both the flag and the name stand in the file. */
export const CQE_FLAGS: Readonly<Record<string, string>> = {
  IORING_CQE_F_BUFFER: 'src/ring/completion-queue.ts: bufferId',
  IORING_CQE_F_MORE: 'src/ring/completion-queue.ts: more',
  IORING_CQE_F_NOTIF: 'src/runtime/operations-zero-copy.ts: sendZc',
  IORING_CQE_F_BUF_MORE: 'src/ring/buffer-ring.ts: take',
  IORING_CQE_F_SKIP: 'src/ring/completion-queue.ts: collect',
  IORING_CQE_F_32: 'src/ring/completion-queue.ts: bigOf',
  IORING_CQE_F_TSTAMP_HW: 'src/runtime/operations-command.ts: txTimestamps',
}
/** CQE flags that nothing of ours acts upon: `flags` of a Cqe, and of the callback, show them. */
export const CQE_EXCEPTIONS: Readonly<Record<string, string>> = {
  IORING_CQE_F_SOCK_NONEMPTY: 'a hint that more can be received now; a multishot receive goes on by itself',
}
