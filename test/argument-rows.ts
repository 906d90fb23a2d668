// What every method of Uring takes, argument by argument.
// Flow: 49.arguments.test.ts → this → argument-domains.ts.

import { type BufferGroup, Uring, type UringOptions } from 'ringcore'
import * as sys from 'ringcore/sys'
import {
  address,
  attribute,
  bool,
  bytes,
  choice,
  type Domain,
  domain,
  fds,
  file,
  fixed,
  flagString,
  freedOf,
  integer,
  lent,
  lentOf,
  list,
  many,
  NO_FD,
  object,
  optional,
  options,
  optionValue,
  pages,
  path,
  payload,
  position,
  RANGE,
  registered,
  STATE,
  shared,
  TYPE,
  VALUE,
  value,
  view,
  waiters,
  word,
} from './argument-domains.js'

/** What a method takes, in order; some need an opcode that not every kernel has, or a ring of a kind. */
export interface Row {
  takes: readonly Domain[]
  needs?: string
  ring?: UringOptions
  /** How to call it, where its promise is inside of what it returns. */
  call?: (ring: Uring, args: never[]) => unknown
  /** Good arguments would do something that a test must not. */
  noGood?: true
}

const row = (...takes: Domain[]): Row => ({ takes })
const needing = (needs: string, ...takes: Domain[]): Row => ({ takes, needs })

/** null is Node's own word for offset 0. */
const nullable = (one: Domain): Domain => ({
  ...one,
  bad: (ring) => one.bad(ring).filter(([, bad]) => bad !== null),
})
const range = [nullable(integer('offset', 0, 0, 16, true)), integer('length', 16, 0, 16, true)]
const io = options(position('position', 0), ...range, word('rwFlags', 0, undefined, true))
const vectored = options(position('position', 0), word('rwFlags', 0, undefined, true))
const message = options(word('flags', 0, undefined, true), ...range, word('ioprio', 0, 65535, true))
const flagged = options(word('flags', 0, undefined, true))
const buffers = list('buffers', view('buffers'))
const dirfd = integer('dirfd', 0, 0, 2 ** 31 - 1, true)
const mode = word('mode', 0, undefined, true)
const slot = domain('slot', undefined, [
  [TYPE, 3],
  [TYPE, null],
  [TYPE, {}],
])
const ms = domain('ms', 1, [
  ...['5', null, undefined, {}, 5n].map((value) => [TYPE, value] as const),
  ...[-1, Number.NaN, Infinity, 2 ** 54].map((value) => [RANGE, value] as const),
])
const clocked = [choice('clock', 'monotonic'), bool('absolute')]
/** Groups of a ring that ended: another one's. */
const elsewhere = new Uring()
const foreignGroup = elsewhere.bufferGroup({ entries: 1, bufferBytes: 64 })
const foreignSending = elsewhere.sendGroup({ entries: 1, bufferBytes: 64 })
foreignSending.add(Buffer.from('x'))
await elsewhere.close()
function closedGroup(ring: Uring): BufferGroup {
  const made = ring.bufferGroup({ entries: 1, bufferBytes: 64 })
  made.close()
  return made
}
const group = domain(
  'group',
  (ring: Uring) => ring.bufferGroup({ entries: 1, bufferBytes: 64 }),
  (ring) => [
    ...[{}, null, undefined, 5].map((value) => [TYPE, value] as const),
    [VALUE, foreignGroup],
    [STATE, closedGroup(ring)],
  ],
)
const sending = domain(
  'group',
  (ring: Uring) => {
    const made = ring.sendGroup({ entries: 1, bufferBytes: 64 })
    made.add(Buffer.from('x'))
    return made
  },
  (ring) => [
    ...[{}, null, undefined, 5].map((value) => [TYPE, value] as const),
    [STATE, ring.sendGroup()],
    [VALUE, foreignSending],
  ],
)
const outgoing = object('message', [buffers, address('address', true), bytes('control')], true)
const words = [
  domain('words', () => new Int32Array(4), [
    ...[undefined, null, 5, new Uint32Array(4), [1], new BigInt64Array(2)].map((v) => [TYPE, v] as const),
  ]),
  integer('index', 0, 0, 3),
]
const int32 = (name: string): Domain => integer(name, 0, -(2 ** 31), 2 ** 31 - 1)
const mask = integer('mask', 1, 1, 0xffffffff, true)
const target = domain('target', NO_FD, [
  ...['5', null, undefined, {}, true].map((value) => [TYPE, value] as const),
  ...[-1, 0.5, Number.NaN, 2 ** 31].map((value) => [RANGE, value] as const),
])
const data = word('data', 0, Number.MAX_SAFE_INTEGER, true)
const posted = object(
  'message',
  [integer('value', 0, -(2 ** 31), 2 ** 31 - 1, true), data, word('tag', 0, 65535, true)],
  true,
)
const cancelled = object(
  'target',
  [
    file(),
    domain('op', 'READ', [
      [TYPE, {}],
      [TYPE, null],
      [VALUE, 'NO_SUCH'],
      [VALUE, 'constructor'],
      [RANGE, -1],
      [RANGE, 65],
      [RANGE, 1.5],
    ]),
  ].map((one) =>
    one.name === 'fd' ? { ...one, bad: (ring) => one.bad(ring).filter(([, v]) => v !== undefined) } : one,
  ),
  true,
)

export const ROWS: Record<string, Row> = {
  // files
  read: row(file(), view(), io),
  write: row(file(), view(), io),
  readFixed: row(file(), lent(), options(position('position', 0), ...range)),
  writeFixed: row(file(), lent(), options(position('position', 0), ...range)),
  readv: row(file(), buffers, vectored),
  writev: row(file(), buffers, vectored),
  readvFixed: needing('READV_FIXED', file(), list('buffers', lentOf('buffers')), vectored),
  writevFixed: needing('WRITEV_FIXED', file(), list('buffers', lentOf('buffers')), vectored),
  fsync: row(file(), options(bool('datasync'))),
  syncFileRange: row(file(), position('position', 0, 0), word('length'), word('flags'), options()),
  fallocate: row(file(), word('mode'), position('position', 0, 0), position('length', 1, 1), options()),
  ftruncate: needing('FTRUNCATE', file(), position('length', 0, 0), options()),
  splice: row(
    file(),
    position('inputPosition', 0),
    file(),
    position('outputPosition', 0),
    word('length'),
    word('flags', 0, undefined, true),
    options(),
  ),
  tee: row(file(), file(), word('length'), word('flags', 0, undefined, true), options()),
  fadvise: row(
    file(),
    position('position', 0, 0),
    word('length', 0, Number.MAX_SAFE_INTEGER),
    word('advice'),
    options(),
  ),
  madvise: row(pages(), word('advice', 1), options()),
  // names
  openat: row(path(), flagString(), options(mode, dirfd, slot)),
  openat2: row(path(), flagString(), options(mode, dirfd, slot, word('resolve', 0, undefined, true))),
  closeFile: row(file(), options()),
  closeFixed: row(fixed('file'), options()),
  statx: row(path(), options(dirfd, word('flags', 0, undefined, true), word('mask', 1, undefined, true))),
  unlinkat: row(path(), options(dirfd, word('flags', 0, undefined, true))),
  renameat: row(
    path('from'),
    path('to'),
    options(dirfd, integer('toDirfd', 0, 0, 2 ** 31 - 1, true), word('flags', 0, undefined, true)),
  ),
  mkdirat: row(path(), options(dirfd, mode)),
  symlinkat: row(path('target'), path(), options(dirfd)),
  linkat: row(
    path('from'),
    path('to'),
    options(dirfd, integer('toDirfd', 0, 0, 2 ** 31 - 1, true), word('flags', 0, undefined, true)),
  ),
  getxattr: row(path(), attribute(), options()),
  fgetxattr: row(file(), attribute(), options()),
  setxattr: row(path(), attribute(), value(), flagged),
  fsetxattr: row(file(), attribute(), value(), flagged),
  // sockets
  socket: row(word('domain', 255), word('type', 1), word('protocol', 0, undefined, true), options(slot)),
  socketDirect: row(word('domain', 255), word('type', 1), word('protocol', 0, undefined, true), options()),
  bind: needing('BIND', file(), address(), options()),
  connect: row(file(), address(), options()),
  listen: needing('LISTEN', file(), word('backlog'), options()),
  accept: row(file(), options(word('flags', 0, undefined, true), slot, word('ioprio', 0, 65535, true))),
  acceptDirect: row(file(), flagged),
  acceptMultishot: row(file(), many(word('flags', 0, undefined, true))),
  acceptMultishotDirect: row(file(), many(word('flags', 0, undefined, true))),
  send: row(file(), view(), message),
  recv: row(file(), view(), message),
  sendto: row(file(), view(), address(), message),
  sendZc: row(
    file(),
    view(),
    options(
      word('flags', 0, undefined, true),
      ...range,
      word('ioprio', 0, 65535, true),
      bool('reportUsage'),
      address('address', true),
    ),
  ),
  sendmsg: row(file(), outgoing, flagged),
  sendmsgZc: row(
    file(),
    outgoing,
    options(
      word('flags', 0, undefined, true),
      word('ioprio', 0, 65535, true),
      bool('reportUsage'),
      bool('fixed'),
    ),
  ),
  sendv: row(file(), buffers, options(word('flags', 0, undefined, true), word('ioprio', 0, 65535, true))),
  sendvZc: row(
    file(),
    buffers,
    options(word('flags', 0, undefined, true), word('ioprio', 0, 65535, true), bool('reportUsage')),
  ),
  recvmsg: row(file(), object('message', [buffers, word('controlLength', 0, 65536, true)], true), flagged),
  recvMultishot: row(file(), group, many(word('flags', 0, undefined, true))),
  recvmsgMultishot: row(
    file(),
    group,
    many(
      word('flags', 0, undefined, true),
      word('nameLength', 0, 65536, true),
      word('controlLength', 0, 65536, true),
    ),
  ),
  readMultishot: needing('READ_MULTISHOT', file(), group, many()),
  recvBundle: row(file(), group, many(word('flags', 0, undefined, true))),
  sendBundle: row(file(), sending, flagged),
  shutdown: row(file(), word('how'), options()),
  siocinq: row(file(), options()),
  siocoutq: row(file(), options()),
  getsockopt: row(file(), word('level'), word('name'), integer('bytes', 4, 1, 65536, true), options()),
  setsockopt: row(file(), word('level'), word('name'), optionValue(), options()),
  getsockname: row(file(), options(bool('peer'))),
  txTimestamps: { takes: [file(), many()], ring: { cqe32: true } },
  // waiting
  nop: row(
    options(
      word('flags', 0, undefined, true),
      integer('result', 0, -(2 ** 31), 2 ** 31 - 1, true),
      optional(file('file')),
    ),
  ),
  nop128: { takes: [options()], needs: 'NOP128', ring: { sqe128: true } },
  timeout: row(ms, options(...clocked)),
  timeoutMultishot: row(ms, many(choice('clock', 'monotonic'))),
  timer: {
    takes: [ms, options(...clocked, word('count', 0, undefined, true))],
    call: (ring, args) => Reflect.apply(ring.timer, ring, args).ended,
  },
  poll: row(file(), word('events', 1), options()),
  pollMultishot: row(file(), word('events', 1), many()),
  poller: {
    takes: [file(), word('events', 1), options()],
    call: (ring, args) => Reflect.apply(ring.poller, ring, args).ready,
  },
  cancel: row(cancelled, options()),
  cancelSync: { takes: [cancelled, word('timeoutMs', 1, Number.MAX_SAFE_INTEGER, true)], noGood: true },
  epollCtl: row(
    file(),
    domain('operation', 1, [
      [VALUE, 0],
      [VALUE, 4],
      [VALUE, '1'],
      [VALUE, undefined],
    ]),
    file(),
    object('event', [word('events', 0, undefined, true), data]),
    options(),
  ),
  epollWait: needing('EPOLL_WAIT', file(), integer('maxEvents', 1, 1, 65536, true), options()),
  futexWait: needing('FUTEX_WAIT', ...words, int32('value'), options(mask)),
  futexWake: needing('FUTEX_WAKE', ...words, integer('count', 1, 1, 2 ** 31 - 1, true), options(mask)),
  futexWaitv: needing('FUTEX_WAITV', waiters(), options()),
  waitid: needing(
    'WAITID',
    domain('target', { pid: 1 }, [
      ...[undefined, null, 5, 'x'].map((one) => [TYPE, one] as const),
      ...[{ pid: 0 }, { pid: 1.5 }, { pidfd: -1 }, { pgid: 2 ** 31 }].map((one) => [RANGE, one] as const),
      [TYPE, { pid: '1' }],
      [VALUE, {}],
    ]),
    options(word('options', sys.WEXITED | 1, undefined, true)),
  ),
  // the ring's table, other rings, drivers
  pipe: needing('PIPE', options(word('flags', 1, undefined, true))),
  pipeDirect: needing('PIPE', options(word('flags', 1, undefined, true))),
  filesUpdate: row(
    domain(
      'files',
      (ring: Uring) => [ring.fixedFile()],
      (ring) => [
        ...[undefined, null, {}, 5].map((one) => [TYPE, one] as const),
        [TYPE, [5]],
        [VALUE, [ring.fixedFile(), ring.fixedFile()].reverse()],
      ],
    ),
    fds(-1),
    options(),
  ),
  filesUpdateAlloc: row(fds(0), options()),
  fixedFdInstall: needing('FIXED_FD_INSTALL', fixed('file'), options(word('flags', 0, undefined, true))),
  msgRing: row(target, posted, options()),
  msgRingSync: { takes: [target, posted], noGood: true },
  msgRingFd: row(target, fixed('file'), object('message', [data]), options()),
  messages: row(many(bool('files'))),
  discard: row(
    file(),
    word('position', 0, Number.MAX_SAFE_INTEGER),
    word('length', 0, Number.MAX_SAFE_INTEGER),
    options(),
  ),
  uringCmd: row(file(), word('cmdOp'), payload(), options(word('flags', 0, 1, true), bool('wide'))),
  // the ring itself
  chain: {
    takes: [
      domain(
        'write',
        () => () => {},
        [5, null, undefined, {}].map((one) => [TYPE, one] as const),
      ),
      object('options', [integer('entries', 4, 1, 256, true)]),
    ],
    noGood: true,
  },
  alloc: { takes: [integer('bytes', 16, 1, 2 ** 30)], noGood: true },
  free: {
    takes: [
      domain('buffer', null, (ring) => [
        ...[undefined, null, 5, 'x', {}].map((one) => [TYPE, one] as const),
        [STATE, Buffer.alloc(4)],
        [STATE, freedOf(ring)],
      ]),
    ],
    noGood: true,
  },
  freeFixedFile: { takes: [fixed('file')], noGood: true },
  bufferGroup: {
    takes: [
      object('options', [
        integer('entries', 1, 1, 32768, true),
        integer('bufferBytes', 64, 1, 2 ** 31 - 1, true),
        bool('incremental'),
        bool('mapped'),
      ]),
    ],
    noGood: true,
  },
  sendGroup: {
    takes: [
      object('options', [
        integer('entries', 1, 1, 32768, true),
        integer('bufferBytes', 64, 1, 1 << 24, true),
        bool('mapped'),
      ]),
    ],
    noGood: true,
  },
  workers: {
    takes: [
      object('limits', [word('bounded', 0, 2 ** 31 - 1, true), word('unbounded', 0, 2 ** 31 - 1, true)]),
    ],
    noGood: true,
  },
  affinity: {
    takes: [
      domain('cpus', null, [
        [TYPE, 5],
        [TYPE, undefined],
        [TYPE, {}],
        [TYPE, ['0']],
        [RANGE, [-1]],
        [RANGE, [5000]],
        [RANGE, [0.5]],
      ]),
    ],
    noGood: true,
  },
  napi: {
    takes: [
      nullable(
        object(
          'polling',
          [word('busyPollUs', 1), bool('preferBusyPoll'), choice('tracking', 'dynamic')],
          true,
        ),
      ),
    ],
    noGood: true,
  },
  clock: { takes: [choice('name', 'monotonic')], noGood: true },
  registerBuffers: {
    takes: [registered('buffers')],
    noGood: true,
  },
  cloneBuffers: {
    takes: [
      object(
        'shared',
        [integer('fd', NO_FD, 0, 2 ** 31 - 1), integer('offset', 0, 0, 16383), shared()],
        true,
      ),
    ],
    noGood: true,
  },
  resize: {
    takes: [
      object('sizes', [integer('entries', 64, 1, 32768), integer('cqEntries', 4096, 4040, 65536)], true),
    ],
    noGood: true,
  },
}

/** Methods that take nothing. */
export const WITHOUT = [
  'close',
  'fixedFile',
  'flush',
  'flushSync',
  'personality',
  'ref',
  'stats',
  'unref',
  'workerRing',
]
/** Inner parts that TypeScript protects. */
export const INNER = [
  'aim',
  'descriptor',
  'iovecs',
  'lend',
  'msghdr',
  'path',
  'pokeU64',
  'source',
  'timespec',
]
