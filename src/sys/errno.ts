// Error numbers of the kernel: numbers ↔ names ↔ texts, the same on x64 and arm64.
// Flow: every layer → this.
// man errno(3). Names and texts that Node has are Node's own, so that errors look the same whichever way they came;
// libuv names a part only, the rest is ours. test/12.errors.test.ts compares.

export const EPERM = 1
export const ENOENT = 2
export const ESRCH = 3
export const EINTR = 4
export const EIO = 5
export const ENXIO = 6
export const E2BIG = 7
export const ENOEXEC = 8
export const EBADF = 9
export const ECHILD = 10
export const EAGAIN = 11
export const ENOMEM = 12
export const EACCES = 13
export const EFAULT = 14
export const ENOTBLK = 15
export const EBUSY = 16
export const EEXIST = 17
export const EXDEV = 18
export const ENODEV = 19
export const ENOTDIR = 20
export const EISDIR = 21
export const EINVAL = 22
export const ENFILE = 23
export const EMFILE = 24
export const ENOTTY = 25
export const ETXTBSY = 26
export const EFBIG = 27
export const ENOSPC = 28
export const ESPIPE = 29
export const EROFS = 30
export const EMLINK = 31
export const EPIPE = 32
export const EDOM = 33
export const ERANGE = 34
export const EDEADLK = 35
export const ENAMETOOLONG = 36
export const ENOLCK = 37
export const ENOSYS = 38
export const ENOTEMPTY = 39
export const ELOOP = 40
export const ENOMSG = 42
export const EIDRM = 43
export const ECHRNG = 44
export const EL2NSYNC = 45
export const EL3HLT = 46
export const EL3RST = 47
export const ELNRNG = 48
export const EUNATCH = 49
export const ENOCSI = 50
export const EL2HLT = 51
export const EBADE = 52
export const EBADR = 53
export const EXFULL = 54
export const ENOANO = 55
export const EBADRQC = 56
export const EBADSLT = 57
export const EBFONT = 59
export const ENOSTR = 60
export const ENODATA = 61
export const ETIME = 62
export const ENOSR = 63
export const ENONET = 64
export const ENOPKG = 65
export const EREMOTE = 66
export const ENOLINK = 67
export const EADV = 68
export const ESRMNT = 69
export const ECOMM = 70
export const EPROTO = 71
export const EMULTIHOP = 72
export const EDOTDOT = 73
export const EBADMSG = 74
export const EOVERFLOW = 75
export const ENOTUNIQ = 76
export const EBADFD = 77
export const EREMCHG = 78
export const ELIBACC = 79
export const ELIBBAD = 80
export const ELIBSCN = 81
export const ELIBMAX = 82
export const ELIBEXEC = 83
export const EILSEQ = 84
export const ERESTART = 85
export const ESTRPIPE = 86
export const EUSERS = 87
export const ENOTSOCK = 88
export const EDESTADDRREQ = 89
export const EMSGSIZE = 90
export const EPROTOTYPE = 91
export const ENOPROTOOPT = 92
export const EPROTONOSUPPORT = 93
export const ESOCKTNOSUPPORT = 94
export const ENOTSUP = 95
export const EPFNOSUPPORT = 96
export const EAFNOSUPPORT = 97
export const EADDRINUSE = 98
export const EADDRNOTAVAIL = 99
export const ENETDOWN = 100
export const ENETUNREACH = 101
export const ENETRESET = 102
export const ECONNABORTED = 103
export const ECONNRESET = 104
export const ENOBUFS = 105
export const EISCONN = 106
export const ENOTCONN = 107
export const ESHUTDOWN = 108
export const ETOOMANYREFS = 109
export const ETIMEDOUT = 110
export const ECONNREFUSED = 111
export const EHOSTDOWN = 112
export const EHOSTUNREACH = 113
export const EALREADY = 114
export const EINPROGRESS = 115
export const ESTALE = 116
export const EUCLEAN = 117
export const ENOTNAM = 118
export const ENAVAIL = 119
export const EISNAM = 120
export const EREMOTEIO = 121
export const EDQUOT = 122
export const ENOMEDIUM = 123
export const EMEDIUMTYPE = 124
export const ECANCELED = 125
export const ENOKEY = 126
export const EKEYEXPIRED = 127
export const EKEYREVOKED = 128
export const EKEYREJECTED = 129
export const EOWNERDEAD = 130
export const ENOTRECOVERABLE = 131
export const ERFKILL = 132
export const EHWPOISON = 133

/** The header's other names of the same numbers. */
export const EWOULDBLOCK = EAGAIN
export const EDEADLOCK = EDEADLK
export const EOPNOTSUPP = ENOTSUP

const rows: readonly (readonly [number, string, string])[] = [
  [EPERM, 'EPERM', 'operation not permitted'],
  [ENOENT, 'ENOENT', 'no such file or directory'],
  [ESRCH, 'ESRCH', 'no such process'],
  [EINTR, 'EINTR', 'interrupted system call'],
  [EIO, 'EIO', 'i/o error'],
  [ENXIO, 'ENXIO', 'no such device or address'],
  [E2BIG, 'E2BIG', 'argument list too long'],
  [ENOEXEC, 'ENOEXEC', 'exec format error'],
  [EBADF, 'EBADF', 'bad file descriptor'],
  [ECHILD, 'ECHILD', 'no child processes'],
  [EAGAIN, 'EAGAIN', 'resource temporarily unavailable'],
  [ENOMEM, 'ENOMEM', 'not enough memory'],
  [EACCES, 'EACCES', 'permission denied'],
  [EFAULT, 'EFAULT', 'bad address in system call argument'],
  [ENOTBLK, 'ENOTBLK', 'block device required'],
  [EBUSY, 'EBUSY', 'resource busy or locked'],
  [EEXIST, 'EEXIST', 'file already exists'],
  [EXDEV, 'EXDEV', 'cross-device link not permitted'],
  [ENODEV, 'ENODEV', 'no such device'],
  [ENOTDIR, 'ENOTDIR', 'not a directory'],
  [EISDIR, 'EISDIR', 'illegal operation on a directory'],
  [EINVAL, 'EINVAL', 'invalid argument'],
  [ENFILE, 'ENFILE', 'file table overflow'],
  [EMFILE, 'EMFILE', 'too many open files'],
  [ENOTTY, 'ENOTTY', 'inappropriate ioctl for device'],
  [ETXTBSY, 'ETXTBSY', 'text file is busy'],
  [EFBIG, 'EFBIG', 'file too large'],
  [ENOSPC, 'ENOSPC', 'no space left on device'],
  [ESPIPE, 'ESPIPE', 'invalid seek'],
  [EROFS, 'EROFS', 'read-only file system'],
  [EMLINK, 'EMLINK', 'too many links'],
  [EPIPE, 'EPIPE', 'broken pipe'],
  [EDOM, 'EDOM', 'argument outside the domain of the function'],
  [ERANGE, 'ERANGE', 'result too large'],
  [EDEADLK, 'EDEADLK', 'resource deadlock avoided'],
  [ENAMETOOLONG, 'ENAMETOOLONG', 'name too long'],
  [ENOLCK, 'ENOLCK', 'no locks available'],
  [ENOSYS, 'ENOSYS', 'function not implemented'],
  [ENOTEMPTY, 'ENOTEMPTY', 'directory not empty'],
  [ELOOP, 'ELOOP', 'too many symbolic links encountered'],
  [ENOMSG, 'ENOMSG', 'no message of that type'],
  [EIDRM, 'EIDRM', 'identifier removed'],
  [ECHRNG, 'ECHRNG', 'channel number out of range'],
  [EL2NSYNC, 'EL2NSYNC', 'level 2 not synchronized'],
  [EL3HLT, 'EL3HLT', 'level 3 halted'],
  [EL3RST, 'EL3RST', 'level 3 reset'],
  [ELNRNG, 'ELNRNG', 'link number out of range'],
  [EUNATCH, 'EUNATCH', 'protocol driver not attached'],
  [ENOCSI, 'ENOCSI', 'no CSI structure available'],
  [EL2HLT, 'EL2HLT', 'level 2 halted'],
  [EBADE, 'EBADE', 'invalid exchange'],
  [EBADR, 'EBADR', 'a completion was lost: the kernel had no memory to keep it'],
  [EXFULL, 'EXFULL', 'exchange full'],
  [ENOANO, 'ENOANO', 'no anode'],
  [EBADRQC, 'EBADRQC', 'invalid request code'],
  [EBADSLT, 'EBADSLT', 'invalid slot'],
  [EBFONT, 'EBFONT', 'bad font file'],
  [ENOSTR, 'ENOSTR', 'not a stream'],
  [ENODATA, 'ENODATA', 'no data available'],
  [ETIME, 'ETIME', 'timer expired'],
  [ENOSR, 'ENOSR', 'out of stream resources'],
  [ENONET, 'ENONET', 'machine is not on the network'],
  [ENOPKG, 'ENOPKG', 'package not installed'],
  [EREMOTE, 'EREMOTE', 'object is remote'],
  [ENOLINK, 'ENOLINK', 'link has been severed'],
  [EADV, 'EADV', 'advertise error'],
  [ESRMNT, 'ESRMNT', 'mount error'],
  [ECOMM, 'ECOMM', 'communication error on send'],
  [EPROTO, 'EPROTO', 'protocol error'],
  [EMULTIHOP, 'EMULTIHOP', 'multihop attempted'],
  [EDOTDOT, 'EDOTDOT', 'RFS specific error'],
  [EBADMSG, 'EBADMSG', 'bad message'],
  [EOVERFLOW, 'EOVERFLOW', 'value too large for defined data type'],
  [ENOTUNIQ, 'ENOTUNIQ', 'name not unique on network'],
  [EBADFD, 'EBADFD', 'file descriptor in bad state'],
  [EREMCHG, 'EREMCHG', 'remote address changed'],
  [ELIBACC, 'ELIBACC', 'cannot access a needed shared library'],
  [ELIBBAD, 'ELIBBAD', 'accessing a corrupted shared library'],
  [ELIBSCN, 'ELIBSCN', 'library section corrupted'],
  [ELIBMAX, 'ELIBMAX', 'too many shared libraries'],
  [ELIBEXEC, 'ELIBEXEC', 'cannot execute a shared library'],
  [EILSEQ, 'EILSEQ', 'illegal byte sequence'],
  [ERESTART, 'ERESTART', 'interrupted system call should be restarted'],
  [ESTRPIPE, 'ESTRPIPE', 'streams pipe error'],
  [EUSERS, 'EUSERS', 'too many users'],
  [ENOTSOCK, 'ENOTSOCK', 'socket operation on non-socket'],
  [EDESTADDRREQ, 'EDESTADDRREQ', 'destination address required'],
  [EMSGSIZE, 'EMSGSIZE', 'message too long'],
  [EPROTOTYPE, 'EPROTOTYPE', 'protocol wrong type for socket'],
  [ENOPROTOOPT, 'ENOPROTOOPT', 'protocol not available'],
  [EPROTONOSUPPORT, 'EPROTONOSUPPORT', 'protocol not supported'],
  [ESOCKTNOSUPPORT, 'ESOCKTNOSUPPORT', 'socket type not supported'],
  [ENOTSUP, 'ENOTSUP', 'operation not supported on socket'],
  [EPFNOSUPPORT, 'EPFNOSUPPORT', 'protocol family not supported'],
  [EAFNOSUPPORT, 'EAFNOSUPPORT', 'address family not supported'],
  [EADDRINUSE, 'EADDRINUSE', 'address already in use'],
  [EADDRNOTAVAIL, 'EADDRNOTAVAIL', 'address not available'],
  [ENETDOWN, 'ENETDOWN', 'network is down'],
  [ENETUNREACH, 'ENETUNREACH', 'network is unreachable'],
  [ENETRESET, 'ENETRESET', 'connection dropped by network on reset'],
  [ECONNABORTED, 'ECONNABORTED', 'software caused connection abort'],
  [ECONNRESET, 'ECONNRESET', 'connection reset by peer'],
  [ENOBUFS, 'ENOBUFS', 'no buffer space available'],
  [EISCONN, 'EISCONN', 'socket is already connected'],
  [ENOTCONN, 'ENOTCONN', 'socket is not connected'],
  [ESHUTDOWN, 'ESHUTDOWN', 'cannot send after transport endpoint shutdown'],
  [ETOOMANYREFS, 'ETOOMANYREFS', 'too many references: cannot splice'],
  [ETIMEDOUT, 'ETIMEDOUT', 'connection timed out'],
  [ECONNREFUSED, 'ECONNREFUSED', 'connection refused'],
  [EHOSTDOWN, 'EHOSTDOWN', 'host is down'],
  [EHOSTUNREACH, 'EHOSTUNREACH', 'host is unreachable'],
  [EALREADY, 'EALREADY', 'connection already in progress'],
  [EINPROGRESS, 'EINPROGRESS', 'operation now in progress'],
  [ESTALE, 'ESTALE', 'stale file handle'],
  [EUCLEAN, 'EUCLEAN', 'structure needs cleaning'],
  [ENOTNAM, 'ENOTNAM', 'not a XENIX named type file'],
  [ENAVAIL, 'ENAVAIL', 'no XENIX semaphores available'],
  [EISNAM, 'EISNAM', 'is a named type file'],
  [EREMOTEIO, 'EREMOTEIO', 'remote I/O error'],
  [EDQUOT, 'EDQUOT', 'disk quota exceeded'],
  [ENOMEDIUM, 'ENOMEDIUM', 'no medium found'],
  [EMEDIUMTYPE, 'EMEDIUMTYPE', 'wrong medium type'],
  [ECANCELED, 'ECANCELED', 'operation canceled'],
  [ENOKEY, 'ENOKEY', 'required key not available'],
  [EKEYEXPIRED, 'EKEYEXPIRED', 'key has expired'],
  [EKEYREVOKED, 'EKEYREVOKED', 'key has been revoked'],
  [EKEYREJECTED, 'EKEYREJECTED', 'key was rejected by service'],
  [EOWNERDEAD, 'EOWNERDEAD', 'owner died: for a ring, its SQPOLL thread'],
  [ENOTRECOVERABLE, 'ENOTRECOVERABLE', 'state not recoverable'],
  [ERFKILL, 'ERFKILL', 'operation not possible due to RF-kill'],
  [EHWPOISON, 'EHWPOISON', 'memory page has a hardware error'],
]

const NAMES: string[] = []
const TEXTS: string[] = []
const NUMBERS = new Map<string, number>([
  ['EWOULDBLOCK', EWOULDBLOCK],
  ['EDEADLOCK', EDEADLOCK],
  ['EOPNOTSUPP', EOPNOTSUPP],
])
for (const [number, name, text] of rows) {
  NAMES[number] = name
  TEXTS[number] = text
  NUMBERS.set(name, number)
}

/** Every error as [number, name, text], in the numbers' order. */
export const ERRNO: readonly (readonly [number, string, string])[] = rows

/** The name of an error number, whatever its sign: 'ENOENT'. Numbers nobody knows come back as 'E999'. */
export function errnoName(errno: number): string {
  const positive = Math.abs(errno)
  return NAMES[positive] ?? `E${positive}`
}

/** What an error number means, whatever its sign: 'no such file or directory'. */
export function errnoText(errno: number): string {
  const positive = Math.abs(errno)
  return TEXTS[positive] ?? `unknown system error ${positive}`
}

/** The positive number of an error's name, or undefined. */
export function errnoNumber(name: string): number | undefined {
  return NUMBERS.get(name)
}
