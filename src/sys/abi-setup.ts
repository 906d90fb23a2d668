// Constants of the ring itself: setup, mapping, entering, the flags words, completion flags, features, limits.
// Flow: ring, runtime → abi.ts → this.
// man io_uring_setup(2), io_uring_enter(2). Checked against the installed header and the kernel by test/10.abi.test.ts.
// "since" is the first kernel that has it, 5.1 where nothing is said. Flags are hex, counts and indices decimal.

// — System calls: one number on every CPU that Node runs on —

/** Makes a ring · since 5.1 */
export const SYS_IO_URING_SETUP = 425
/** Submits and waits · since 5.1 */
export const SYS_IO_URING_ENTER = 426
/** Lends resources to a ring and asks it things · since 5.1 */
export const SYS_IO_URING_REGISTER = 427
/** The C header's name of SYS_IO_URING_SETUP */
export const __NR_io_uring_setup = 425
/** The C header's name of SYS_IO_URING_ENTER */
export const __NR_io_uring_enter = 426
/** The C header's name of SYS_IO_URING_REGISTER */
export const __NR_io_uring_register = 427

// — io_uring_params.flags —

/** Busy-polls the device for completions; O_DIRECT files that can, few opcodes */
export const IORING_SETUP_IOPOLL = 0x1
/** A kernel thread takes SQEs, so submitting needs no syscall while it is awake; unprivileged since 5.13 */
export const IORING_SETUP_SQPOLL = 0x2
/** Pins the SQPOLL thread to `sq_thread_cpu` */
export const IORING_SETUP_SQ_AFF = 0x4
/** `cq_entries` gives the CQ's size; rounded up to a power of two, not below the SQ's · since 5.5 */
export const IORING_SETUP_CQSIZE = 0x8
/** Sizes over the maximum are cut, not refused · since 5.6 */
export const IORING_SETUP_CLAMP = 0x10
/** Shares the workers (and SQPOLL thread) of the ring `wq_fd` · since 5.6 */
export const IORING_SETUP_ATTACH_WQ = 0x20
/** Starts disabled: restrict first, then IORING_REGISTER_ENABLE_RINGS · since 5.10 */
export const IORING_SETUP_R_DISABLED = 0x40
/** A bad SQE does not stop the rest of its batch · since 5.18 */
export const IORING_SETUP_SUBMIT_ALL = 0x80
/** Completion work waits for the task's next syscall; no interrupt is sent · since 5.19 */
export const IORING_SETUP_COOP_TASKRUN = 0x100
/** Shows waiting completion work as IORING_SQ_TASKRUN; needs COOP_TASKRUN or DEFER_TASKRUN · since 5.19 */
export const IORING_SETUP_TASKRUN_FLAG = 0x200
/** Every SQE has 128 bytes · since 5.19 */
export const IORING_SETUP_SQE128 = 0x400
/** Every CQE has 32 bytes · since 5.19 */
export const IORING_SETUP_CQE32 = 0x800
/** Only one task may submit or register; others get EEXIST · since 6.0 */
export const IORING_SETUP_SINGLE_ISSUER = 0x1000
/** Completion work runs only in enter(GETEVENTS); needs SINGLE_ISSUER; epoll sees nothing · since 6.1 */
export const IORING_SETUP_DEFER_TASKRUN = 0x2000
/** Ring memory is the caller's: `cq_off.user_addr`, `sq_off.user_addr` · since 6.5 */
export const IORING_SETUP_NO_MMAP = 0x4000
/** Setup returns a registered index, no fd; needs NO_MMAP · since 6.5 */
export const IORING_SETUP_REGISTERED_FD_ONLY = 0x8000
/** No index array: SQEs are taken in ring order · since 6.6 */
export const IORING_SETUP_NO_SQARRAY = 0x10000
/** IOPOLL that sleeps for a part of the expected time · since 6.13 */
export const IORING_SETUP_HYBRID_IOPOLL = 0x20000
/** 16- and 32-byte CQEs side by side; not with CQE32 · since 6.18 */
export const IORING_SETUP_CQE_MIXED = 0x40000
/** 64- and 128-byte SQEs side by side; not with SQE128 · since 6.19 */
export const IORING_SETUP_SQE_MIXED = 0x80000
/** Each submit reads the SQ from index 0; needs NO_SQARRAY, not with SQPOLL · since 7.0 */
export const IORING_SETUP_SQ_REWIND = 0x100000

// — io_uring_params.features: what the kernel says it can —

/** SQ and CQ lie in one mapping · since 5.4 */
export const IORING_FEAT_SINGLE_MMAP = 0x1
/** A full CQ loses nothing: the kernel keeps the rest · since 5.5 */
export const IORING_FEAT_NODROP = 0x2
/** What an SQE points to, other than data, may go once submit returned; not with SQPOLL · since 5.5 */
export const IORING_FEAT_SUBMIT_STABLE = 0x4
/** Offset -1 is the file's own position · since 5.6 */
export const IORING_FEAT_RW_CUR_POS = 0x8
/** Requests run with the submitter's credentials · since 5.6 */
export const IORING_FEAT_CUR_PERSONALITY = 0x10
/** Waits by poll where a worker would have blocked · since 5.7 */
export const IORING_FEAT_FAST_POLL = 0x20
/** POLL_ADD takes all 32 bits of EPOLL* masks · since 5.9 */
export const IORING_FEAT_POLL_32BITS = 0x40
/** SQPOLL works with ordinary fds · since 5.11 */
export const IORING_FEAT_SQPOLL_NONFIXED = 0x80
/** enter takes a timeout: IORING_ENTER_EXT_ARG · since 5.11 */
export const IORING_FEAT_EXT_ARG = 0x100
/** Workers are threads of this process · since 5.12 */
export const IORING_FEAT_NATIVE_WORKERS = 0x200
/** Tags on registered resources, and updates in place · since 5.13 */
export const IORING_FEAT_RSRC_TAGS = 0x400
/** IOSQE_CQE_SKIP_SUCCESS works · since 5.17 */
export const IORING_FEAT_CQE_SKIP = 0x800
/** A linked SQE's file is looked up when it starts, so a direct open can feed it · since 5.18 */
export const IORING_FEAT_LINKED_FILE = 0x1000
/** register takes a registered ring index · since 6.3 */
export const IORING_FEAT_REG_REG_RING = 0x2000
/** Bundles, and provided buffers for send · since 6.10 */
export const IORING_FEAT_RECVSEND_BUNDLE = 0x4000
/** `min_wait_usec` works · since 6.12 */
export const IORING_FEAT_MIN_TIMEOUT = 0x8000
/** Reads and writes take attributes (`attr_ptr`) · since 6.14 */
export const IORING_FEAT_RW_ATTR = 0x10000
/** IORING_ENTER_NO_IOWAIT works · since 6.15 */
export const IORING_FEAT_NO_IOWAIT = 0x20000

// — mmap(2) offsets on the ring's fd —

/** The SQ ring, and with FEAT_SINGLE_MMAP the CQ ring */
export const IORING_OFF_SQ_RING = 0x0
/** The CQ ring of kernels without FEAT_SINGLE_MMAP */
export const IORING_OFF_CQ_RING = 0x8000000
/** The SQE array */
export const IORING_OFF_SQES = 0x10000000
/** Buffer rings that the kernel allocated: OR with `bgid << IORING_OFF_PBUF_SHIFT`; bit 31 · since 6.4 */
export const IORING_OFF_PBUF_RING = 0x80000000
/** Where the group id sits in that offset · since 6.4 */
export const IORING_OFF_PBUF_SHIFT = 16
/** The bits that choose the kind of mapping · since 6.4 */
export const IORING_OFF_MMAP_MASK = 0xf8000000
/** What `mmap_offset` of a kernel-allocated memory region holds; no header has this name · since 6.13 */
export const IORING_MAP_OFF_PARAM_REGION = 0x20000000
/** The same for a zero-copy receive queue, OR with `id << 16`; no header has this name · since 6.15 */
export const IORING_MAP_OFF_ZCRX_REGION = 0x30000000

// — The SQ ring's flags word, written by the kernel —

/** The SQPOLL thread sleeps: enter with IORING_ENTER_SQ_WAKEUP */
export const IORING_SQ_NEED_WAKEUP = 0x1
/** The kernel holds CQEs that had no room: enter with IORING_ENTER_GETEVENTS · since 5.8 */
export const IORING_SQ_CQ_OVERFLOW = 0x2
/** Completion work waits: enter with IORING_ENTER_GETEVENTS · since 5.19 */
export const IORING_SQ_TASKRUN = 0x4

// — The CQ ring's flags word, written by us —

/** Mutes the registered eventfd · since 5.8 */
export const IORING_CQ_EVENTFD_DISABLED = 0x1

// — io_uring_enter(2) flags —

/** Waits for `min_complete` CQEs, runs completion work, flushes overflow */
export const IORING_ENTER_GETEVENTS = 0x1
/** Wakes the SQPOLL thread */
export const IORING_ENTER_SQ_WAKEUP = 0x2
/** SQPOLL: waits until the SQ has room · since 5.10 */
export const IORING_ENTER_SQ_WAIT = 0x4
/** The last argument is an io_uring_getevents_arg · since 5.11 */
export const IORING_ENTER_EXT_ARG = 0x8
/** The fd is a registered ring index of this task · since 5.18 */
export const IORING_ENTER_REGISTERED_RING = 0x10
/** The timeout is a point in time of the ring's clock · since 6.12 */
export const IORING_ENTER_ABS_TIMER = 0x20
/** The last argument is an offset in the registered wait region · since 6.13 */
export const IORING_ENTER_EXT_ARG_REG = 0x40
/** The wait does not count as iowait · since 6.15 */
export const IORING_ENTER_NO_IOWAIT = 0x80

// — io_uring_cqe.flags —

/** The upper 16 bits are the id of the provided buffer · since 5.7 */
export const IORING_CQE_F_BUFFER = 0x1
/** This SQE will post more CQEs; only one without it is final · since 5.13 */
export const IORING_CQE_F_MORE = 0x2
/** The socket or accept queue has more now · since 5.19 */
export const IORING_CQE_F_SOCK_NONEMPTY = 0x4
/** Zero-copy: the kernel has let go of the buffer · since 6.0 */
export const IORING_CQE_F_NOTIF = 0x8
/** An incremental buffer has room left and its id comes again · since 6.12 */
export const IORING_CQE_F_BUF_MORE = 0x10
/** Padding on a CQE_MIXED ring: ignore it · since 6.18 */
export const IORING_CQE_F_SKIP = 0x20
/** This CQE fills two slots of a CQE_MIXED ring · since 6.18 */
export const IORING_CQE_F_32 = 0x8000
/** A timestamp CQE from the network card's clock · since 6.17 */
export const IORING_CQE_F_TSTAMP_HW = 0x10000
/** Where the buffer id sits in `flags` · since 5.7 */
export const IORING_CQE_BUFFER_SHIFT = 16

// — Limits: in no header, but the kernel refuses more —

/** SQ entries (4096 before 5.4) */
export const IORING_MAX_ENTRIES = 32768
/** CQ entries */
export const IORING_MAX_CQ_ENTRIES = 65536
/** Ring fds that one task may register · since 5.18 */
export const IO_RINGFD_REG_MAX = 16
/** Registered buffers of one ring (1024 before 5.13) · since 5.13 */
export const IORING_MAX_REG_BUFFERS = 16384
/** Registered files of one ring; RLIMIT_NOFILE limits them too · since 5.17 */
export const IORING_MAX_FIXED_FILES = 1048576
/** Entries of one provided-buffer ring · since 5.19 */
export const PBUF_RING_MAX_ENTRIES = 32768
/** Bytes of one read or write; more is cut to this */
export const MAX_RW_COUNT = 0x7ffff000
