// Constants of single requests: opcodes, IOSQE_* flags, and each opcode's own flags.
// Flow: op, runtime → abi.ts → this.
// man io_uring_enter(2). Checked against the installed header and the kernel by test/10.abi.test.ts.
// "since" is the first kernel that has it, 5.1 where nothing is said. Flags are hex, counts and indices decimal.

// — io_uring_sqe.opcode —

/** Does nothing, see IORING_NOP_* */
export const IORING_OP_NOP = 0
/** preadv2(2); offset -1 is the file's own position */
export const IORING_OP_READV = 1
/** pwritev2(2) */
export const IORING_OP_WRITEV = 2
/** fsync(2), or fdatasync(2) with IORING_FSYNC_DATASYNC; a range if off and len say so */
export const IORING_OP_FSYNC = 3
/** Reads into a registered buffer */
export const IORING_OP_READ_FIXED = 4
/** Writes from a registered buffer */
export const IORING_OP_WRITE_FIXED = 5
/** poll(2) once, or again and again */
export const IORING_OP_POLL_ADD = 6
/** Removes or changes a poll, found by its user_data */
export const IORING_OP_POLL_REMOVE = 7
/** sync_file_range(2) · since 5.2 */
export const IORING_OP_SYNC_FILE_RANGE = 8
/** sendmsg(2) · since 5.3 */
export const IORING_OP_SENDMSG = 9
/** recvmsg(2); multishot since 6.0 · since 5.3 */
export const IORING_OP_RECVMSG = 10
/** A timer, or "after this many CQEs"; running out is ETIME · since 5.4 */
export const IORING_OP_TIMEOUT = 11
/** Removes or changes a timeout, found by its user_data · since 5.5 */
export const IORING_OP_TIMEOUT_REMOVE = 12
/** accept4(2); direct since 5.15, multishot since 5.19 · since 5.5 */
export const IORING_OP_ACCEPT = 13
/** Asks the kernel to cancel requests · since 5.5 */
export const IORING_OP_ASYNC_CANCEL = 14
/** A time limit for the SQE linked just before it · since 5.5 */
export const IORING_OP_LINK_TIMEOUT = 15
/** connect(2) · since 5.5 */
export const IORING_OP_CONNECT = 16
/** fallocate(2): len is the mode, addr the length · since 5.6 */
export const IORING_OP_FALLOCATE = 17
/** openat(2); direct since 5.15 · since 5.6 */
export const IORING_OP_OPENAT = 18
/** close(2); `file_index` closes a direct descriptor since 5.15 · since 5.6 */
export const IORING_OP_CLOSE = 19
/** Changes the registered files · since 5.6 */
export const IORING_OP_FILES_UPDATE = 20
/** statx(2) · since 5.6 */
export const IORING_OP_STATX = 21
/** pread(2) · since 5.6 */
export const IORING_OP_READ = 22
/** pwrite(2) · since 5.6 */
export const IORING_OP_WRITE = 23
/** posix_fadvise(2); 64-bit length (in addr) since 6.11 · since 5.6 */
export const IORING_OP_FADVISE = 24
/** madvise(2); 64-bit length (in off) since 6.11 · since 5.6 */
export const IORING_OP_MADVISE = 25
/** send(2), sendto(2) · since 5.6 */
export const IORING_OP_SEND = 26
/** recv(2); multishot since 6.0 · since 5.6 */
export const IORING_OP_RECV = 27
/** openat2(2); direct since 5.15 · since 5.6 */
export const IORING_OP_OPENAT2 = 28
/** epoll_ctl(2) · since 5.6 */
export const IORING_OP_EPOLL_CTL = 29
/** splice(2): 30, which some old lists give as 15 · since 5.7 */
export const IORING_OP_SPLICE = 30
/** Lends buffers to a group, the way before buffer rings · since 5.7 */
export const IORING_OP_PROVIDE_BUFFERS = 31
/** Takes such buffers back · since 5.7 */
export const IORING_OP_REMOVE_BUFFERS = 32
/** tee(2) · since 5.8 */
export const IORING_OP_TEE = 33
/** shutdown(2) · since 5.11 */
export const IORING_OP_SHUTDOWN = 34
/** renameat2(2) · since 5.11 */
export const IORING_OP_RENAMEAT = 35
/** unlinkat(2) · since 5.11 */
export const IORING_OP_UNLINKAT = 36
/** mkdirat(2) · since 5.15 */
export const IORING_OP_MKDIRAT = 37
/** symlinkat(2) · since 5.15 */
export const IORING_OP_SYMLINKAT = 38
/** linkat(2) · since 5.15 */
export const IORING_OP_LINKAT = 39
/** Posts a CQE on another ring, or passes it a direct descriptor · since 5.18 */
export const IORING_OP_MSG_RING = 40
/** fsetxattr(2) · since 5.19 */
export const IORING_OP_FSETXATTR = 41
/** setxattr(2); the path is in addr3 · since 5.19 */
export const IORING_OP_SETXATTR = 42
/** fgetxattr(2) · since 5.19 */
export const IORING_OP_FGETXATTR = 43
/** getxattr(2); the path is in addr3 · since 5.19 */
export const IORING_OP_GETXATTR = 44
/** socket(2): fd is the domain, off the type, len the protocol · since 5.19 */
export const IORING_OP_SOCKET = 45
/** A command that the file's own driver knows · since 5.19 */
export const IORING_OP_URING_CMD = 46
/** send(2) without copying: one CQE for the result, one when the buffer is free · since 6.0 */
export const IORING_OP_SEND_ZC = 47
/** sendmsg(2) without copying, same two CQEs · since 6.1 */
export const IORING_OP_SENDMSG_ZC = 48
/** Reads again and again into provided buffers; pipes and the like, not regular files · since 6.7 */
export const IORING_OP_READ_MULTISHOT = 49
/** waitid(2) · since 6.7 */
export const IORING_OP_WAITID = 50
/** Waits on a futex; fd carries FUTEX2_* flags · since 6.7 */
export const IORING_OP_FUTEX_WAIT = 51
/** Wakes waiters of a futex · since 6.7 */
export const IORING_OP_FUTEX_WAKE = 52
/** Waits on several futexes · since 6.7 */
export const IORING_OP_FUTEX_WAITV = 53
/** Makes a direct descriptor an ordinary fd · since 6.8 */
export const IORING_OP_FIXED_FD_INSTALL = 54
/** ftruncate(2) · since 6.9 */
export const IORING_OP_FTRUNCATE = 55
/** bind(2) · since 6.11 */
export const IORING_OP_BIND = 56
/** listen(2) · since 6.11 */
export const IORING_OP_LISTEN = 57
/** Receives without copying, from a registered queue of the network card · since 6.15 */
export const IORING_OP_RECV_ZC = 58
/** epoll_wait(2) · since 6.15 */
export const IORING_OP_EPOLL_WAIT = 59
/** READV whose parts lie in one registered buffer · since 6.15 */
export const IORING_OP_READV_FIXED = 60
/** WRITEV whose parts lie in one registered buffer · since 6.15 */
export const IORING_OP_WRITEV_FIXED = 61
/** pipe2(2) · since 6.16 */
export const IORING_OP_PIPE = 62
/** NOP in a 128-byte SQE · since 6.19 */
export const IORING_OP_NOP128 = 63
/** URING_CMD in a 128-byte SQE · since 6.19 */
export const IORING_OP_URING_CMD128 = 64
/** One past the last opcode that this list knows */
export const IORING_OP_LAST = 65

// — io_uring_sqe.flags —

/** `fd` is an index of the registered files */
export const IOSQE_FIXED_FILE = 0x1
/** Starts when all before it have ended; those after it wait · since 5.2 */
export const IOSQE_IO_DRAIN = 0x2
/** The next SQE of this batch starts if this one succeeds in full · since 5.3 */
export const IOSQE_IO_LINK = 0x4
/** The next SQE of this batch starts when this one ends, even if it fails · since 5.5 */
export const IOSQE_IO_HARDLINK = 0x8
/** Goes to a worker at once, without trying first · since 5.6 */
export const IOSQE_ASYNC = 0x10
/** The kernel takes a buffer of group `buf_group` · since 5.7 */
export const IOSQE_BUFFER_SELECT = 0x20
/** No CQE on success; not together with IO_DRAIN on one ring · since 5.17 */
export const IOSQE_CQE_SKIP_SUCCESS = 0x40
/** Bit number of IOSQE_FIXED_FILE */
export const IOSQE_FIXED_FILE_BIT = 0
/** Bit number of IOSQE_IO_DRAIN · since 5.2 */
export const IOSQE_IO_DRAIN_BIT = 1
/** Bit number of IOSQE_IO_LINK · since 5.3 */
export const IOSQE_IO_LINK_BIT = 2
/** Bit number of IOSQE_IO_HARDLINK · since 5.5 */
export const IOSQE_IO_HARDLINK_BIT = 3
/** Bit number of IOSQE_ASYNC · since 5.6 */
export const IOSQE_ASYNC_BIT = 4
/** Bit number of IOSQE_BUFFER_SELECT · since 5.7 */
export const IOSQE_BUFFER_SELECT_BIT = 5
/** Bit number of IOSQE_CQE_SKIP_SUCCESS · since 5.17 */
export const IOSQE_CQE_SKIP_SUCCESS_BIT = 6

// — io_uring_sqe.file_index —

/** The kernel picks a free slot and returns it; other slots are given as slot + 1 · since 5.19 */
export const IORING_FILE_INDEX_ALLOC = 0xffffffff

// — READ, WRITE: attr_type_mask —

/** `attr_ptr` points to an io_uring_attr_pi · since 6.14 */
export const IORING_RW_ATTR_FLAG_PI = 0x1

// — FSYNC: fsync_flags —

/** fdatasync(2): data, and only the metadata needed to read it */
export const IORING_FSYNC_DATASYNC = 0x1

// — TIMEOUT, TIMEOUT_REMOVE, LINK_TIMEOUT: timeout_flags —

/** The time is a point, not a duration · since 5.5 */
export const IORING_TIMEOUT_ABS = 0x1
/** TIMEOUT_REMOVE sets a new time · since 5.11 */
export const IORING_TIMEOUT_UPDATE = 0x2
/** Counts while the machine sleeps · since 5.15 */
export const IORING_TIMEOUT_BOOTTIME = 0x4
/** Wall-clock time · since 5.15 */
export const IORING_TIMEOUT_REALTIME = 0x8
/** TIMEOUT_REMOVE sets a new time on a linked timeout · since 5.15 */
export const IORING_LINK_TIMEOUT_UPDATE = 0x10
/** Running out counts as success: links go on, CQE_SKIP applies · since 5.16 */
export const IORING_TIMEOUT_ETIME_SUCCESS = 0x20
/** Fires `off` times, 0 for ever; not with ABS · since 6.4 */
export const IORING_TIMEOUT_MULTISHOT = 0x40
/** `addr` is nanoseconds, not a pointer to a timespec · since 7.1 */
export const IORING_TIMEOUT_IMMEDIATE_ARG = 0x80
/** The bits that choose the clock · since 5.15 */
export const IORING_TIMEOUT_CLOCK_MASK = 0xc
/** The bits that make it an update · since 5.15 */
export const IORING_TIMEOUT_UPDATE_MASK = 0x12

// — SPLICE, TEE: splice_flags, besides SPLICE_F_* —

/** `splice_fd_in` is an index of the registered files; bit 31 · since 5.7 */
export const SPLICE_F_FD_IN_FIXED = 0x80000000

// — POLL_ADD, POLL_REMOVE: len —

/** Multishot · since 5.13 */
export const IORING_POLL_ADD_MULTI = 0x1
/** POLL_REMOVE sets a new mask · since 5.13 */
export const IORING_POLL_UPDATE_EVENTS = 0x2
/** POLL_REMOVE sets a new user_data · since 5.13 */
export const IORING_POLL_UPDATE_USER_DATA = 0x4
/** Level-triggered; without it edge-triggered after the first look · since 6.0 */
export const IORING_POLL_ADD_LEVEL = 0x8

// — ASYNC_CANCEL: cancel_flags —

/** All that match; the result counts them · since 5.19 */
export const IORING_ASYNC_CANCEL_ALL = 0x1
/** Match by file, not by user_data · since 5.19 */
export const IORING_ASYNC_CANCEL_FD = 0x2
/** Match everything · since 5.19 */
export const IORING_ASYNC_CANCEL_ANY = 0x4
/** The fd to match is an index of the registered files · since 6.0 */
export const IORING_ASYNC_CANCEL_FD_FIXED = 0x8
/** Match by user_data as well · since 6.6 */
export const IORING_ASYNC_CANCEL_USERDATA = 0x10
/** Match by opcode (in len) as well · since 6.6 */
export const IORING_ASYNC_CANCEL_OP = 0x20

// — SEND, RECV, SENDMSG, RECVMSG and their kin: ioprio —

/** Waits for readiness before the first try · since 5.19 */
export const IORING_RECVSEND_POLL_FIRST = 0x1
/** Receives again and again; needs BUFFER_SELECT · since 6.0 */
export const IORING_RECV_MULTISHOT = 0x2
/** The data lies in registered buffer `buf_index`; zero-copy sends only, up to 7.1 · since 6.0 */
export const IORING_RECVSEND_FIXED_BUF = 0x4
/** The notification tells whether data was copied after all · since 6.2 */
export const IORING_SEND_ZC_REPORT_USAGE = 0x8
/** One request uses several provided buffers; the result is their total bytes · since 6.10 */
export const IORING_RECVSEND_BUNDLE = 0x10
/** addr and len describe iovecs · since 6.17 */
export const IORING_SEND_VECTORIZED = 0x20
/** In a notification's res: data was copied; bit 31, so res looks negative · since 6.2 */
export const IORING_NOTIF_USAGE_ZC_COPIED = 0x80000000

// — ACCEPT: ioprio —

/** Accepts again and again · since 5.19 */
export const IORING_ACCEPT_MULTISHOT = 0x1
/** EAGAIN instead of waiting · since 6.10 */
export const IORING_ACCEPT_DONTWAIT = 0x2
/** Waits for readiness before the first try · since 6.10 */
export const IORING_ACCEPT_POLL_FIRST = 0x4

// — MSG_RING: the command (addr) and msg_ring_flags —

/** len becomes the other CQE's res, off its user_data · since 5.18 */
export const IORING_MSG_DATA = 0
/** Passes a direct descriptor · since 6.0 */
export const IORING_MSG_SEND_FD = 1
/** SEND_FD posts no CQE on the other ring · since 6.0 */
export const IORING_MSG_RING_CQE_SKIP = 0x1
/** `file_index` becomes the other CQE's flags · since 6.3 */
export const IORING_MSG_RING_FLAGS_PASS = 0x2

// — FIXED_FD_INSTALL: install_fd_flags —

/** The new fd survives execve(2) · since 6.8 */
export const IORING_FIXED_FD_NO_CLOEXEC = 0x1

// — NOP: nop_flags —

/** len becomes the result · since 6.10 */
export const IORING_NOP_INJECT_RESULT = 0x1
/** Takes and drops a reference to `fd` · since 6.13 */
export const IORING_NOP_FILE = 0x2
/** Takes and drops a reference to a registered file · since 6.13 */
export const IORING_NOP_FIXED_FILE = 0x4
/** Takes and drops a reference to a registered buffer · since 6.13 */
export const IORING_NOP_FIXED_BUFFER = 0x8
/** Completes by task work, as most real requests do · since 6.17 */
export const IORING_NOP_TW = 0x10
/** Posts a 32-byte CQE · since 6.18 */
export const IORING_NOP_CQE32 = 0x20

// — URING_CMD: uring_cmd_flags —

/** The command uses registered buffer `buf_index` · since 6.1 */
export const IORING_URING_CMD_FIXED = 0x1
/** Multishot with provided buffers; not with FIXED · since 6.18 */
export const IORING_URING_CMD_MULTISHOT = 0x2
/** The flags of headers before 6.18; later ones count MULTISHOT in */
export const IORING_URING_CMD_MASK = 0x1

// — URING_CMD on sockets: cmd_op —

/** Bytes that can be read · since 6.6 */
export const SOCKET_URING_OP_SIOCINQ = 0
/** Bytes not sent yet · since 6.6 */
export const SOCKET_URING_OP_SIOCOUTQ = 1
/** getsockopt(2), level SOL_SOCKET only · since 6.7 */
export const SOCKET_URING_OP_GETSOCKOPT = 2
/** setsockopt(2) · since 6.7 */
export const SOCKET_URING_OP_SETSOCKOPT = 3
/** Send timestamps, multishot, 32-byte CQEs · since 6.17 */
export const SOCKET_URING_OP_TX_TIMESTAMP = 4
/** getsockname(2), or getpeername(2) with optlen 1 · since 6.19 */
export const SOCKET_URING_OP_GETSOCKNAME = 5
/** Bit of a timestamp CQE's flags: by the network card · since 6.17 */
export const IORING_TIMESTAMP_HW_SHIFT = 16
/** Where a timestamp CQE's flags hold its type · since 6.17 */
export const IORING_TIMESTAMP_TYPE_SHIFT = 17

// — URING_CMD on the mock file of kernel tests (/dev/io_uring_mock) —

/** Copies registered buffers · since 6.17 */
export const IORING_MOCK_FEAT_CMD_COPY = 0
/** Reads and writes zeros · since 6.17 */
export const IORING_MOCK_FEAT_RW_ZERO = 1
/** Can say EAGAIN · since 6.17 */
export const IORING_MOCK_FEAT_RW_NOWAIT = 2
/** Can complete late · since 6.17 */
export const IORING_MOCK_FEAT_RW_ASYNC = 3
/** Can be polled · since 6.17 */
export const IORING_MOCK_FEAT_POLL = 4
/** One past the last mock feature · since 6.17 */
export const IORING_MOCK_FEAT_END = 5
/** Create: the file can say EAGAIN · since 6.17 */
export const IORING_MOCK_CREATE_F_SUPPORT_NOWAIT = 0x1
/** Create: the file can be polled · since 6.17 */
export const IORING_MOCK_CREATE_F_POLL = 0x2
/** On the manager: what is there · since 6.17 */
export const IORING_MOCK_MGR_CMD_PROBE = 0
/** On the manager: make a file · since 6.17 */
export const IORING_MOCK_MGR_CMD_CREATE = 1
/** On the file: copy a registered buffer · since 6.17 */
export const IORING_MOCK_CMD_COPY_REGBUF = 0
/** The copy's direction · since 6.17 */
export const IORING_MOCK_COPY_FROM = 0x1
