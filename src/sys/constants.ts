// The kernel's other constants that requests need and that are the same on x64 and arm64.
// Flow: op, runtime, fs, net → this.
// man pages as each section says. Checked against the installed headers by test/10.abi.test.ts.
// Flags are hex, modes of open(2) octal as in the manual, counts and indices decimal.

// — Directory fds and path flags: openat(2), statx(2), unlinkat(2), linkat(2) —

/** Instead of a directory fd: the working directory */
export const AT_FDCWD = -100
/** Does not follow a symlink in the last part */
export const AT_SYMLINK_NOFOLLOW = 0x100
/** Unlinkat: removes a directory */
export const AT_REMOVEDIR = 0x200
/** Linkat: follows a symlink */
export const AT_SYMLINK_FOLLOW = 0x400
/** Mounts nothing on the way */
export const AT_NO_AUTOMOUNT = 0x800
/** An empty path means the fd itself */
export const AT_EMPTY_PATH = 0x1000
/** Statx: as stat(2) does */
export const AT_STATX_SYNC_AS_STAT = 0
/** Statx: asks the server */
export const AT_STATX_FORCE_SYNC = 0x2000
/** Statx: what is cached will do */
export const AT_STATX_DONT_SYNC = 0x4000

// — openat2(2): open_how.resolve —

/** Stays on one mount */
export const RESOLVE_NO_XDEV = 0x01
/** Refuses links like those of /proc/self/fd */
export const RESOLVE_NO_MAGICLINKS = 0x02
/** Refuses symlinks */
export const RESOLVE_NO_SYMLINKS = 0x04
/** Stays below the directory */
export const RESOLVE_BENEATH = 0x08
/** Takes the directory for the root */
export const RESOLVE_IN_ROOT = 0x10
/** EAGAIN unless all is cached */
export const RESOLVE_CACHED = 0x20

// — statx(2): mask —

export const STATX_TYPE = 0x1
export const STATX_MODE = 0x2
export const STATX_NLINK = 0x4
export const STATX_UID = 0x8
export const STATX_GID = 0x10
export const STATX_ATIME = 0x20
export const STATX_MTIME = 0x40
export const STATX_CTIME = 0x80
export const STATX_INO = 0x100
export const STATX_SIZE = 0x200
export const STATX_BLOCKS = 0x400
/** What stat(2) gives */
export const STATX_BASIC_STATS = 0x7ff
/** Time of birth */
export const STATX_BTIME = 0x800
export const STATX_MNT_ID = 0x1000
/** Alignment that O_DIRECT needs · since 6.1 */
export const STATX_DIOALIGN = 0x2000
/** A mount id that is never used again · since 6.8 */
export const STATX_MNT_ID_UNIQUE = 0x4000
/** Since 6.10 */
export const STATX_SUBVOL = 0x8000
/** Since 6.11 */
export const STATX_WRITE_ATOMIC = 0x10000
/** Since 6.14 */
export const STATX_DIO_READ_ALIGN = 0x20000

// — statx(2): stx_attributes —

export const STATX_ATTR_COMPRESSED = 0x4
export const STATX_ATTR_IMMUTABLE = 0x10
export const STATX_ATTR_APPEND = 0x20
export const STATX_ATTR_NODUMP = 0x40
export const STATX_ATTR_ENCRYPTED = 0x800
export const STATX_ATTR_AUTOMOUNT = 0x1000
export const STATX_ATTR_MOUNT_ROOT = 0x2000
export const STATX_ATTR_VERITY = 0x100000
export const STATX_ATTR_DAX = 0x200000
/** Since 6.11 */
export const STATX_ATTR_WRITE_ATOMIC = 0x400000

// — renameat2(2) —

/** EEXIST if the target is there */
export const RENAME_NOREPLACE = 0x1
/** Swaps the two */
export const RENAME_EXCHANGE = 0x2
/** Leaves a whiteout behind (overlay file systems) */
export const RENAME_WHITEOUT = 0x4

// — setxattr(2) —

/** EEXIST if it is there */
export const XATTR_CREATE = 0x1
/** ENODATA if it is not */
export const XATTR_REPLACE = 0x2

// — fallocate(2): mode —

export const FALLOC_FL_KEEP_SIZE = 0x01
/** Needs KEEP_SIZE */
export const FALLOC_FL_PUNCH_HOLE = 0x02
export const FALLOC_FL_NO_HIDE_STALE = 0x04
export const FALLOC_FL_COLLAPSE_RANGE = 0x08
export const FALLOC_FL_ZERO_RANGE = 0x10
export const FALLOC_FL_INSERT_RANGE = 0x20
export const FALLOC_FL_UNSHARE_RANGE = 0x40
/** Since 6.17 */
export const FALLOC_FL_WRITE_ZEROES = 0x80

// — posix_fadvise(2) —

export const POSIX_FADV_NORMAL = 0
export const POSIX_FADV_RANDOM = 1
export const POSIX_FADV_SEQUENTIAL = 2
export const POSIX_FADV_WILLNEED = 3
export const POSIX_FADV_DONTNEED = 4
export const POSIX_FADV_NOREUSE = 5

// — madvise(2) —

export const MADV_NORMAL = 0
export const MADV_RANDOM = 1
export const MADV_SEQUENTIAL = 2
export const MADV_WILLNEED = 3
export const MADV_DONTNEED = 4
export const MADV_FREE = 8
export const MADV_REMOVE = 9
/** Children do not inherit the pages */
export const MADV_DONTFORK = 10
export const MADV_DOFORK = 11
export const MADV_MERGEABLE = 12
export const MADV_UNMERGEABLE = 13
export const MADV_HUGEPAGE = 14
export const MADV_NOHUGEPAGE = 15
export const MADV_DONTDUMP = 16
export const MADV_DODUMP = 17
export const MADV_WIPEONFORK = 18
export const MADV_KEEPONFORK = 19
export const MADV_COLD = 20
export const MADV_PAGEOUT = 21
export const MADV_POPULATE_READ = 22
export const MADV_POPULATE_WRITE = 23
export const MADV_DONTNEED_LOCKED = 24
/** Since 6.1 */
export const MADV_COLLAPSE = 25

// — mmap(2) —

/** Huge pages, of which `vm.nr_hugepages` must have some. */
export const MAP_HUGETLB = 0x40000

// — sync_file_range(2) —

export const SYNC_FILE_RANGE_WAIT_BEFORE = 0x1
export const SYNC_FILE_RANGE_WRITE = 0x2
export const SYNC_FILE_RANGE_WAIT_AFTER = 0x4

// — splice(2), tee(2) —

export const SPLICE_F_MOVE = 0x1
export const SPLICE_F_NONBLOCK = 0x2
export const SPLICE_F_MORE = 0x4
export const SPLICE_F_GIFT = 0x8

// — fcntl(2) —

export const F_DUPFD = 0
export const F_GETFD = 1
export const F_SETFD = 2
export const F_GETFL = 3
export const F_SETFL = 4
/** Bytes a pipe holds */
export const F_SETPIPE_SZ = 1031
export const F_GETPIPE_SZ = 1032
export const F_DUPFD_CLOEXEC = 1030
export const FD_CLOEXEC = 1

// — Flags of fds that O_* of node:fs does not have: pipe2(2), eventfd2(2), timerfd_create(2) —

/** The same on x64 and arm64; O_DIRECT, O_DIRECTORY, O_NOFOLLOW are not: take those from node:fs */
export const O_CLOEXEC = 0o2000000
export const EFD_SEMAPHORE = 1
export const EFD_NONBLOCK = 0o4000
export const EFD_CLOEXEC = 0o2000000
export const TFD_NONBLOCK = 0o4000
export const TFD_CLOEXEC = 0o2000000

// — Clocks: clock_gettime(2) —

export const CLOCK_REALTIME = 0
export const CLOCK_MONOTONIC = 1
/** Goes on while the machine sleeps */
export const CLOCK_BOOTTIME = 7

// — poll(2) —

export const POLLIN = 0x1
export const POLLPRI = 0x2
export const POLLOUT = 0x4
/** Always reported */
export const POLLERR = 0x8
/** Always reported */
export const POLLHUP = 0x10
export const POLLNVAL = 0x20
export const POLLRDNORM = 0x40
export const POLLRDBAND = 0x80
export const POLLWRNORM = 0x100
export const POLLWRBAND = 0x200
export const POLLMSG = 0x400
export const POLLREMOVE = 0x1000
/** The peer will send no more */
export const POLLRDHUP = 0x2000

// — epoll_ctl(2) —

export const EPOLL_CTL_ADD = 1
export const EPOLL_CTL_DEL = 2
export const EPOLL_CTL_MOD = 3
export const EPOLLIN = 0x1
export const EPOLLPRI = 0x2
export const EPOLLOUT = 0x4
export const EPOLLERR = 0x8
export const EPOLLHUP = 0x10
export const EPOLLRDNORM = 0x40
export const EPOLLRDBAND = 0x80
export const EPOLLWRNORM = 0x100
export const EPOLLWRBAND = 0x200
export const EPOLLMSG = 0x400
export const EPOLLRDHUP = 0x2000
export const EPOLLEXCLUSIVE = 0x10000000
export const EPOLLWAKEUP = 0x20000000
export const EPOLLONESHOT = 0x40000000
/** Bit 31 */
export const EPOLLET = 0x80000000

// — socket(2): families, types, protocols —

export const AF_UNSPEC = 0
export const AF_UNIX = 1
export const AF_INET = 2
export const AF_INET6 = 10
export const AF_NETLINK = 16
export const AF_PACKET = 17
export const AF_VSOCK = 40
export const SOCK_STREAM = 1
export const SOCK_DGRAM = 2
export const SOCK_RAW = 3
export const SOCK_SEQPACKET = 5
export const SOCK_NONBLOCK = 0o4000
export const SOCK_CLOEXEC = 0o2000000
export const IPPROTO_IP = 0
export const IPPROTO_ICMP = 1
export const IPPROTO_TCP = 6
export const IPPROTO_UDP = 17
export const IPPROTO_IPV6 = 41
export const IPPROTO_MPTCP = 262
/** The kernel's own default limit; net.core.somaxconn */
export const SOMAXCONN = 4096

// — send(2), recv(2) —

export const MSG_OOB = 0x1
export const MSG_PEEK = 0x2
export const MSG_DONTROUTE = 0x4
/** In a result: control data was cut */
export const MSG_CTRUNC = 0x8
export const MSG_TRUNC = 0x20
/** EAGAIN instead of waiting, this once */
export const MSG_DONTWAIT = 0x40
export const MSG_EOR = 0x80
/** All bytes or an error; io_uring goes on by itself after a short transfer */
export const MSG_WAITALL = 0x100
export const MSG_CONFIRM = 0x800
export const MSG_ERRQUEUE = 0x2000
export const MSG_NOSIGNAL = 0x4000
export const MSG_MORE = 0x8000
export const MSG_ZEROCOPY = 0x4000000
export const MSG_FASTOPEN = 0x20000000
export const MSG_CMSG_CLOEXEC = 0x40000000

// — shutdown(2) —

export const SHUT_RD = 0
export const SHUT_WR = 1
export const SHUT_RDWR = 2

// — getsockopt(2) —

export const SOL_SOCKET = 1
export const SO_DEBUG = 1
export const SO_REUSEADDR = 2
export const SO_TYPE = 3
export const SO_ERROR = 4
export const SO_BROADCAST = 6
export const SO_SNDBUF = 7
export const SO_RCVBUF = 8
export const SO_KEEPALIVE = 9
export const SO_OOBINLINE = 10
export const SO_PRIORITY = 12
export const SO_LINGER = 13
export const SO_REUSEPORT = 15
export const SO_PASSCRED = 16
export const SO_PEERCRED = 17
export const SO_RCVLOWAT = 18
/** As an old timeval, which both CPUs have in 16 bytes */
export const SO_RCVTIMEO = 20
export const SO_SNDTIMEO = 21
export const SO_TIMESTAMP = 29
export const SO_ACCEPTCONN = 30
export const SO_SNDBUFFORCE = 32
export const SO_RCVBUFFORCE = 33
export const SO_TIMESTAMPING = 37
export const SO_PROTOCOL = 38
export const SO_DOMAIN = 39
export const SO_BUSY_POLL = 46
export const SO_INCOMING_CPU = 49
export const SO_INCOMING_NAPI_ID = 56
export const SO_ZEROCOPY = 60
export const SO_PREFER_BUSY_POLL = 69
/** Control message: fds */
export const SCM_RIGHTS = 1
export const SCM_CREDENTIALS = 2
export const TCP_NODELAY = 1
export const TCP_MAXSEG = 2
export const TCP_CORK = 3
/** Seconds */
export const TCP_KEEPIDLE = 4
/** Seconds */
export const TCP_KEEPINTVL = 5
export const TCP_KEEPCNT = 6
export const TCP_SYNCNT = 7
export const TCP_LINGER2 = 8
export const TCP_DEFER_ACCEPT = 9
export const TCP_INFO = 11
export const TCP_QUICKACK = 12
export const TCP_CONGESTION = 13
/** Milliseconds */
export const TCP_USER_TIMEOUT = 18
export const TCP_FASTOPEN = 23
export const TCP_FASTOPEN_CONNECT = 30
export const TCP_NOTSENT_LOWAT = 25
export const UDP_SEGMENT = 103
export const UDP_GRO = 104
export const IP_TOS = 1
export const IP_TTL = 2
export const IP_PKTINFO = 8
export const IP_MULTICAST_IF = 32
export const IP_MULTICAST_TTL = 33
export const IP_MULTICAST_LOOP = 34
export const IP_ADD_MEMBERSHIP = 35
export const IP_DROP_MEMBERSHIP = 36
export const IP_ADD_SOURCE_MEMBERSHIP = 39
export const IP_DROP_SOURCE_MEMBERSHIP = 40
export const IPV6_UNICAST_HOPS = 16
export const IPV6_MULTICAST_IF = 17
export const IPV6_MULTICAST_HOPS = 18
export const IPV6_MULTICAST_LOOP = 19
export const IPV6_JOIN_GROUP = 20
export const IPV6_LEAVE_GROUP = 21
export const IPV6_V6ONLY = 26
export const IPV6_RECVPKTINFO = 49
export const IPV6_PKTINFO = 50
export const IPV6_TCLASS = 67

// — SO_TIMESTAMPING: linux/net_tstamp.h —

/** Takes a time when a packet is handed to the device. */
export const SOF_TIMESTAMPING_TX_HARDWARE = 0x1
/** Takes a time when the driver has it. */
export const SOF_TIMESTAMPING_TX_SOFTWARE = 0x2
/** Reports the times that the system took. */
export const SOF_TIMESTAMPING_SOFTWARE = 0x10
/** Reports the times that the device took. */
export const SOF_TIMESTAMPING_RAW_HARDWARE = 0x40
/** Counts what is sent, so that a report can name it. */
export const SOF_TIMESTAMPING_OPT_ID = 0x80
/** Takes a time when a packet enters the device's queue. */
export const SOF_TIMESTAMPING_TX_SCHED = 0x100
/** Takes a time when the peer has acknowledged (TCP). */
export const SOF_TIMESTAMPING_TX_ACK = 0x200
/** Reports the time without a copy of the packet. */
export const SOF_TIMESTAMPING_OPT_TSONLY = 0x800

// — waitid(2) —

export const P_ALL = 0
export const P_PID = 1
export const P_PGID = 2
export const P_PIDFD = 3
export const WNOHANG = 0x1
export const WSTOPPED = 0x2
export const WEXITED = 0x4
export const WCONTINUED = 0x8
export const WNOWAIT = 0x1000000

// — ioctl(2) —

/** Bytes that can be read */
export const FIONREAD = 0x541b

// — getrlimit(2) —

export const RLIMIT_NPROC = 6
export const RLIMIT_NOFILE = 7
export const RLIMIT_MEMLOCK = 8

// — rw_flags of reads and writes: preadv2(2) —

/** High priority, polled */
export const RWF_HIPRI = 0x1
/** This write as with O_DSYNC */
export const RWF_DSYNC = 0x2
/** This write as with O_SYNC */
export const RWF_SYNC = 0x4
/** EAGAIN instead of waiting */
export const RWF_NOWAIT = 0x8
/** Writes at the end */
export const RWF_APPEND = 0x10
/** Ignores O_APPEND · since 6.9 */
export const RWF_NOAPPEND = 0x20
/** All or nothing · since 6.11 */
export const RWF_ATOMIC = 0x40
/** Through the page cache, but not kept there · since 6.14 */
export const RWF_DONTCACHE = 0x80
/** No SIGPIPE · since 6.18 */
export const RWF_NOSIGNAL = 0x100

// — Futex flags: futex(2) —

/** 8-bit; the kernel refuses it so far · since 6.7 */
export const FUTEX2_SIZE_U8 = 0x0
/** 16-bit; the kernel refuses it so far · since 6.7 */
export const FUTEX2_SIZE_U16 = 0x1
/** 32-bit: needed · since 6.7 */
export const FUTEX2_SIZE_U32 = 0x2
/** 64-bit; the kernel refuses it so far · since 6.7 */
export const FUTEX2_SIZE_U64 = 0x3
/** The word is followed by a NUMA node · since 6.16 */
export const FUTEX2_NUMA = 0x4
/** The node comes from the memory policy · since 6.16 */
export const FUTEX2_MPOL = 0x8
/** Within this process only · since 6.7 */
export const FUTEX2_PRIVATE = 0x80
/** Futexes of one FUTEX_WAITV · since 6.7 */
export const FUTEX_WAITV_MAX = 128

// — URING_CMD on block devices: cmd_op —

/** Discards a range · since 6.12 */
export const BLOCK_URING_CMD_DISCARD = 0x1200
/** Resets all zones; kernels that have zoned devices only */
export const BLOCK_URING_CMD_ZONE_RESET_ALL = 0x1201
