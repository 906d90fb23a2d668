// Which test shows the kernel acting upon each flag, and for which there is none here.
// Flow: 47.flags.test.ts → this → the tests' names. A title may be the beginning of one.

const IORING = (names: string): string[] => names.split(' ').map((name) => `IORING_${name}`)
const plain = (names: string): string[] => names.split(' ')

/** File and title of a test, and the flags that it shows. */
export const SHOWN: readonly (readonly [file: string, title: string, flags: readonly string[]])[] = [
  // — setup —
  [
    '46.conformance.tables',
    'a polled ring reads where the device can be polled',
    IORING('SETUP_IOPOLL SETUP_HYBRID_IOPOLL'),
  ],
  [
    '20.ring-wait',
    'the SQPOLL thread is woken after it fell asleep',
    IORING('SETUP_SQPOLL ENTER_SQ_WAKEUP FEAT_SQPOLL_NONFIXED'),
  ],
  ['46.conformance.calls', 'setup refuses what it does not know', IORING('SETUP_SQ_AFF')],
  [
    '20.ring-setup',
    'the kernel rounds sizes up, and clamp cuts them',
    IORING('SETUP_CQSIZE SETUP_CLAMP FEAT_SINGLE_MMAP'),
  ],
  ['46.conformance.wait', 'rings share a SQPOLL thread', IORING('SETUP_ATTACH_WQ')],
  ['20.ring-register', 'a restricted ring does what is on the list', IORING('SETUP_R_DISABLED')],
  ['20.ring-submit', 'a bad SQE in the middle', IORING('SETUP_SUBMIT_ALL')],
  ['20.ring-submit', 'one NOP, step by step', IORING('SETUP_COOP_TASKRUN SETUP_NO_MMAP SETUP_NO_SQARRAY')],
  [
    '46.conformance.wait',
    'DEFER_TASKRUN: the eventfd and TASKRUN_FLAG tell',
    IORING('SETUP_TASKRUN_FLAG SETUP_DEFER_TASKRUN'),
  ],
  ['20.ring-submit', 'SQE128 gives 128 bytes', IORING('SETUP_SQE128')],
  [
    '20.ring-submit',
    '32-byte CQEs carry 16 bytes more',
    IORING('SETUP_CQE32 SETUP_CQE_MIXED CQE_F_32 CQE_F_SKIP NOP_CQE32'),
  ],
  ['46.conformance.calls', 'a SINGLE_ISSUER ring belongs to the thread', IORING('SETUP_SINGLE_ISSUER')],
  ['46.conformance.calls', 'a ring without an fd is used by its index', IORING('SETUP_REGISTERED_FD_ONLY')],
  // — enter, and what waits —
  [
    '20.ring-wait',
    'waiting ends with the CQE or with the time',
    IORING('ENTER_GETEVENTS ENTER_EXT_ARG FEAT_EXT_ARG'),
  ],
  ['20.ring-wait', 'a full SQPOLL ring waits for room', IORING('ENTER_SQ_WAIT')],
  [
    '20.ring-wait',
    'a registered ring fd serves every call',
    IORING('ENTER_REGISTERED_RING FEAT_REG_REG_RING'),
  ],
  ['46.conformance.wait', "waits follow the ring's clock", IORING('ENTER_ABS_TIMER')],
  ['46.conformance.tables', 'waits with arguments of a region', IORING('ENTER_EXT_ARG_REG')],
  ['46.conformance.wait', 'waiting with and without iowait', IORING('ENTER_NO_IOWAIT FEAT_NO_IOWAIT')],
  ['46.conformance.wait', 'a least waiting time with none and with enough', IORING('FEAT_MIN_TIMEOUT')],
  // — entries —
  [
    '31.op.kernel.file',
    'into slots of the registered files',
    ['IOSQE_FIXED_FILE', ...IORING('FILE_INDEX_ALLOC')],
  ],
  ['46.conformance.order', 'DRAIN holds back what comes behind', plain('IOSQE_IO_DRAIN IOSQE_IO_LINK')],
  ['31.op.kernel.control', 'links: an error cancels what is linked', plain('IOSQE_IO_HARDLINK')],
  [
    '31.op.kernel.queued',
    'each request is cancelled before its turn',
    ['IOSQE_ASYNC', ...IORING('FEAT_NATIVE_WORKERS')],
  ],
  [
    '31.op.kernel.net',
    'multishot into provided buffers',
    ['IOSQE_BUFFER_SELECT', ...IORING('RECV_MULTISHOT CQE_F_BUFFER CQE_F_MORE')],
  ],
  [
    '31.op.kernel.control',
    'CQE_SKIP_SUCCESS posts nothing',
    ['IOSQE_CQE_SKIP_SUCCESS', ...IORING('FEAT_CQE_SKIP')],
  ],
  // — completions —
  ['46.conformance.rw', 'accept says whether more wait', IORING('CQE_F_SOCK_NONEMPTY')],
  ['31.op.kernel.buffers', 'sent, refused, and cancelled while there is no room', IORING('CQE_F_NOTIF')],
  ['46.conformance.buffers', 'files are read into incremental buffers', IORING('CQE_F_BUF_MORE')],
  // — features —
  ['20.ring-submit', 'a CQ of 16 takes 80 NOPs', IORING('FEAT_NODROP')],
  ['80.hazards.memory', '3: iovecs, paths, addresses, timespecs', IORING('FEAT_SUBMIT_STABLE')],
  ['46.conformance.files', 'reads at the position, one behind the other', IORING('FEAT_RW_CUR_POS')],
  ['46.conformance.wait', 'a personality keeps its rights', IORING('FEAT_CUR_PERSONALITY')],
  ['31.op.kernel.file', 'waits on an empty pipe until there is data', IORING('FEAT_FAST_POLL')],
  ['31.op.kernel.control', 'the upper half of the mask', IORING('FEAT_POLL_32BITS')],
  ['20.ring-register', 'a tag comes back when the kernel has let go', IORING('FEAT_RSRC_TAGS')],
  ['31.op.kernel.file', 'as one chain of hard links on a slot', IORING('FEAT_LINKED_FILE')],
  ['45.op.provided', 'bundles: a megabyte in order', IORING('FEAT_RECVSEND_BUNDLE RECVSEND_BUNDLE')],
  // — files —
  ['31.op.kernel.file', 'whole, data only, a range', IORING('FSYNC_DATASYNC')],
  ['31.op.kernel.file', 'from a registered file: bit 31', plain('SPLICE_F_FD_IN_FIXED')],
  [
    '45.op.advice',
    'RWF_*: one call as the file was not opened',
    plain('RWF_DSYNC RWF_NOWAIT RWF_APPEND RWF_ATOMIC RWF_DONTCACHE'),
  ],
  [
    '46.conformance.flags',
    'RWF_SYNC, _NOAPPEND, _NOSIGNAL, _HIPRI',
    plain('RWF_SYNC RWF_NOAPPEND RWF_NOSIGNAL RWF_HIPRI'),
  ],
  [
    '46.conformance.flags',
    'protection information and repeated commands',
    IORING('RW_ATTR_FLAG_PI URING_CMD_MULTISHOT'),
  ],
  ['46.conformance.files', 'an installed fd closes on exec', IORING('FIXED_FD_NO_CLOEXEC')],
  // — time, polls, cancels —
  ['31.op.kernel.control', 'relative, absolute, and by the count', IORING('TIMEOUT_ABS TIMEOUT_REALTIME')],
  ['31.op.kernel.control', 'removed, cancelled, and moved nearer', IORING('TIMEOUT_UPDATE')],
  ['31.op.kernel.control', 'multishot: as often as asked', IORING('TIMEOUT_MULTISHOT')],
  ['46.conformance.order', 'a linked timeout is moved', IORING('LINK_TIMEOUT_UPDATE')],
  [
    '46.conformance.flags',
    'an expiry that counts as success',
    IORING('TIMEOUT_BOOTTIME TIMEOUT_ETIME_SUCCESS TIMEOUT_IMMEDIATE_ARG'),
  ],
  ['31.op.kernel.control', 'multishot: each time it becomes ready', IORING('POLL_ADD_MULTI')],
  ['31.op.kernel.control', 'update: another mask', IORING('POLL_UPDATE_EVENTS')],
  ['46.conformance.flags', 'update: another user_data', IORING('POLL_UPDATE_USER_DATA')],
  ['46.conformance.flags', 'multishot: by level', IORING('POLL_ADD_LEVEL')],
  [
    '31.op.kernel.control',
    'all of a file, of an opcode, of the ring',
    IORING('ASYNC_CANCEL_ALL ASYNC_CANCEL_FD ASYNC_CANCEL_ANY ASYNC_CANCEL_OP'),
  ],
  ['31.op.kernel.control', 'of a slot of the registered files', IORING('ASYNC_CANCEL_FD_FIXED')],
  ['46.conformance.cancel', 'by file and user_data together', IORING('ASYNC_CANCEL_USERDATA')],
  // — sockets, messages —
  ['46.conformance.flags', 'POLL_FIRST: what is there', IORING('RECVSEND_POLL_FIRST ACCEPT_POLL_FIRST')],
  ['46.conformance.flags', 'SEND_VECTORIZED: the address', IORING('SEND_VECTORIZED')],
  [
    '45.op.zero-copy',
    'bytes arrive; the promise waits',
    IORING('RECVSEND_FIXED_BUF SEND_ZC_REPORT_USAGE NOTIF_USAGE_ZC_COPIED'),
  ],
  ['31.op.kernel.net', 'multishot: one CQE per connection', IORING('ACCEPT_MULTISHOT')],
  ['31.op.kernel.net', 'waits for a connection, or is cancelled', IORING('ACCEPT_DONTWAIT')],
  ['31.op.kernel.control', 'to the ring itself: 32 and 64 bits', IORING('MSG_DATA MSG_RING_FLAGS_PASS')],
  ['46.conformance.tables', 'a file into a place, over another', IORING('MSG_SEND_FD')],
  ['46.conformance.flags', 'CQE_SKIP: a file comes without a word', IORING('MSG_RING_CQE_SKIP')],
  // — others —
  ['45.op.advice', 'gives the result it is told', IORING('NOP_INJECT_RESULT NOP_FILE NOP_FIXED_FILE NOP_TW')],
  ['46.conformance.files', 'with a registered buffer, or none', IORING('NOP_FIXED_BUFFER')],
  ['31.op.kernel.control', 'woken, refused, cancelled', plain('FUTEX2_SIZE_U32 FUTEX2_PRIVATE')],
  [
    '46.conformance.flags',
    'words of other sizes are refused',
    plain('FUTEX2_SIZE_U8 FUTEX2_SIZE_U16 FUTEX2_SIZE_U64 FUTEX2_NUMA FUTEX2_MPOL'),
  ],
]

/** Flags that no test can show, and why. */
export const NOT_SHOWN: Readonly<Record<string, string>> = {
  IORING_SETUP_SQE_MIXED: 'needs Linux 6.19; how a Ring writes such entries is in 20.ring-queues',
  IORING_SETUP_SQ_REWIND: 'needs Linux 7.0; Ring refuses it',
  IORING_CQE_F_TSTAMP_HW: 'needs a network card that stamps the time',
  IORING_FEAT_RW_ATTR: 'needs a disk with protection information; the refusal is shown',
  IORING_URING_CMD_FIXED: 'needs an NVMe device',
  IORING_URING_CMD_MASK: 'all flags of commands together',
  IORING_TIMEOUT_CLOCK_MASK: 'both clocks together',
  IORING_TIMEOUT_UPDATE_MASK: 'both kinds of updates together',
}
