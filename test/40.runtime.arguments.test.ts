// Bad input to Uring: a clear ERR_* for the caller, and nothing reaches the queue.
// Flow: this → Uring (operations-*, engine.begin) → sys/error.

import assert from 'node:assert/strict'
import { openSync } from 'node:fs'
import test, { type TestContext } from 'node:test'
import { FixedFile, Resource, Uring, type UringOptions } from 'ringcore'
import { IOSQE_CQE_SKIP_SUCCESS, IOSQE_FIXED_FILE, IOSQE_IO_HARDLINK, IOSQE_IO_LINK } from 'ringcore/sys'
import { OwnedFd, oracle } from './helpers.js'
import { failure, openUring, turn } from './uring.js'

type Anything = never
const wrong = (value: unknown): Anything => value as Anything

/** Calls that must fail, by the code they must fail with. */
type Table = Record<string, [name: string, call: (ring: Uring) => unknown][]>

/** Runs a table; afterwards the ring's counters are as before, and it works. */
async function refuse(t: TestContext, ring: Uring, table: Table): Promise<void> {
  await ring.nop()
  await turn()
  const state = () => {
    const { enters, inFlight, queued, referenced, strays } = ring.stats()
    return { enters, inFlight, queued, referenced, strays, sqReady: ring.ring.sqReady() }
  }
  const before = state()
  for (const [code, calls] of Object.entries(table)) {
    for (const [name, call] of calls) {
      const error = await failure((async () => call(ring))(), name)
      assert.ok(error instanceof Error, name)
      assert.equal(error.code, code, `${name}: ${error.stack}`)
      if (code.startsWith('ERR_')) assert.ok(error.message.length > 20, name)
      assert.deepEqual(state(), before, `${name} left something behind`)
    }
  }
  assert.equal(await ring.nop(), 0)
  t.diagnostic(`${Object.values(table).flat().length} calls refused`)
}

const buffer = Buffer.alloc(10)

/** Every method that takes a file, with good arguments otherwise. */
const ON_FILES: Record<string, (ring: Uring, file: Anything) => unknown> = {
  read: (ring, file) => ring.read(file, buffer),
  write: (ring, file) => ring.write(file, buffer),
  readFixed: (ring, file) => ring.readFixed(file, buffer),
  writeFixed: (ring, file) => ring.writeFixed(file, buffer),
  readv: (ring, file) => ring.readv(file, [buffer]),
  writev: (ring, file) => ring.writev(file, [buffer]),
  fsync: (ring, file) => ring.fsync(file),
  syncFileRange: (ring, file) => ring.syncFileRange(file, 0, 0, 0),
  fallocate: (ring, file) => ring.fallocate(file, 0, 0, 1),
  ftruncate: (ring, file) => ring.ftruncate(file, 0),
  'splice from': (ring, file) => ring.splice(file, -1, 1, -1, 1),
  'splice to': (ring, file) => ring.splice(0, -1, file, -1, 1),
  'tee from': (ring, file) => ring.tee(file, 1, 1),
  'tee to': (ring, file) => ring.tee(0, file, 1),
  closeFile: (ring, file) => ring.closeFile(file),
  poll: (ring, file) => ring.poll(file, 1),
  pollMultishot: (ring, file) => ring.pollMultishot(file, 1),
  accept: (ring, file) => ring.accept(file),
  acceptMultishot: (ring, file) => ring.acceptMultishot(file),
  connect: (ring, file) => ring.connect(file, { address: '127.0.0.1', port: 1 }),
  bind: (ring, file) => ring.bind(file, { address: '127.0.0.1', port: 1 }),
  listen: (ring, file) => ring.listen(file, 1),
  send: (ring, file) => ring.send(file, buffer),
  recv: (ring, file) => ring.recv(file, buffer),
  recvMultishot: (ring, file) => ring.recvMultishot(file, wrong({})),
  sendmsg: (ring, file) => ring.sendmsg(file, { buffers: [buffer] }),
  recvmsg: (ring, file) => ring.recvmsg(file, { buffers: [buffer] }),
  shutdown: (ring, file) => ring.shutdown(file, 0),
}

test('files: wrong types, negative, huge, fractions', async (t) => {
  oracle(t)
  const each = (values: unknown[]): [string, (ring: Uring) => unknown][] =>
    Object.entries(ON_FILES).flatMap(([name, call]) =>
      values.map((value): [string, (ring: Uring) => unknown] => [
        `${name}(${String(value)})`,
        (ring) => call(ring, wrong(value)),
      ]),
    )
  await refuse(t, openUring(t), {
    ERR_INVALID_ARG_TYPE: each(['3', null, undefined, {}, 3n, true, [3], Symbol.iterator]),
    ERR_OUT_OF_RANGE: each([-1, -100, 2 ** 31, 2 ** 32, 2 ** 53, 1.5, Number.NaN, Infinity, -Infinity]),
  })
})

test('a closed Resource is EBADF, and nothing goes down with fd -1', async (t) => {
  oracle(t)
  const ring = openUring(t)
  const closed = new Resource(openSync('/dev/null', 'r'))
  await ring.closeFile(closed)
  await ring.closeFile(closed) // the second close does nothing
  const arena = ring.alloc(10)
  const calls = { ...ON_FILES }
  delete calls.closeFile
  delete calls.recvMultishot
  calls.readFixed = (ring, file) => ring.readFixed(file, arena)
  calls.writeFixed = (ring, file) => ring.writeFixed(file, arena)
  const entries = Object.entries(calls)
  await refuse(t, ring, {
    EBADF: entries.map(([name, call]) => [name, (ring) => call(ring, wrong(closed))]),
  })
  for (const [name, call] of entries) {
    const error = await failure((async () => call(ring, wrong(closed)))())
    assert.match(error.message, /^EBADF: bad file descriptor, [a-z]+/, name)
    assert.notEqual(error.syscall, 'use', name)
  }
  ring.free(arena)
})

test('buffers, offsets, lengths, positions', async (t) => {
  oracle(t)
  const fd = new OwnedFd(t, openSync('/dev/zero', 'r+')).fd
  const ring = openUring(t)
  const detached = new Uint8Array(10)
  structuredClone(detached.buffer, { transfer: [detached.buffer] })
  const resizable = new Uint8Array(
    new (ArrayBuffer as unknown as new (n: number, o: object) => ArrayBuffer)(10, { maxByteLength: 20 }),
  )
  const freed = ring.alloc(10)
  ring.free(freed)
  const bad = [undefined, null, 'text', 5, {}, [1, 2], new ArrayBuffer(5)]
  const takers: Record<string, (ring: Uring, view: Anything) => unknown> = {
    read: (ring, view) => ring.read(fd, view),
    write: (ring, view) => ring.write(fd, view),
    readv: (ring, view) => ring.readv(fd, [buffer, view]),
    writev: (ring, view) => ring.writev(fd, [buffer, view]),
    send: (ring, view) => ring.send(fd, view),
    recv: (ring, view) => ring.recv(fd, view),
    sendmsg: (ring, view) => ring.sendmsg(fd, { buffers: [view] }),
    recvmsg: (ring, view) => ring.recvmsg(fd, { buffers: [view] }),
    'sendmsg control': (ring, view) => ring.sendmsg(fd, { buffers: [buffer], control: view }),
  }
  const fixed: typeof takers = {
    readFixed: (ring, view) => ring.readFixed(fd, view),
    writeFixed: (ring, view) => ring.writeFixed(fd, view),
  }
  const with_ = (calls: typeof takers, values: unknown[]): [string, (ring: Uring) => unknown][] =>
    Object.entries(calls).flatMap(([name, call]) =>
      values
        .filter((value) => !(name === 'sendmsg control' && value === undefined))
        .map((value, i): [string, (ring: Uring) => unknown] => [
          `${name} #${i}`,
          (ring) => call(ring, wrong(value)),
        ]),
    )
  const ranged: Record<string, (ring: Uring, options: Anything) => unknown> = {
    read: (ring, options) => ring.read(fd, buffer, options),
    write: (ring, options) => ring.write(fd, buffer, options),
    send: (ring, options) => ring.send(fd, buffer, options),
    recv: (ring, options) => ring.recv(fd, buffer, options),
  }
  const options = (calls: typeof ranged, values: object[]): [string, (ring: Uring) => unknown][] =>
    Object.entries(calls).flatMap(([name, call]) =>
      values.map((value): [string, (ring: Uring) => unknown] => [
        `${name} ${Object.entries(value).map(([key, what]) => `${key} ${String(what)}`)}`,
        (ring) => call(ring, wrong(value)),
      ]),
    )
  const positioned = {
    read: ranged.read!,
    write: ranged.write!,
    readv: (ring: Uring, o: Anything) => ring.readv(fd, [buffer], o),
    writev: (ring: Uring, o: Anything) => ring.writev(fd, [buffer], o),
  }
  const lengths = [
    { offset: -1 },
    { offset: 11 },
    { offset: 0.5 },
    { offset: Number.NaN },
    { length: -1 },
    { length: 11 },
    { length: 2 ** 40 },
    { length: Number.NaN },
    { offset: 5, length: 6 },
  ]
  const positions = [-2, 1.5, Number.NaN, Infinity, 2 ** 53, -2n, 2n ** 63n, 2n ** 64n]
  await refuse(t, ring, {
    ERR_INVALID_ARG_TYPE: [
      ...with_({ ...takers, ...fixed }, bad),
      ...options(ranged, [{ offset: '1' }, { length: '1' }, { length: null }]),
      ...options(positioned, [{ position: '0' }, { position: {} }]),
      ['readv no array', (ring) => ring.readv(fd, wrong(buffer))],
      ['sendmsg nothing', (ring) => ring.sendmsg(fd, wrong(undefined))],
      ['recvmsg no buffers', (ring) => ring.recvmsg(fd, wrong({ buffers: 5 }))],
    ],
    ERR_OUT_OF_RANGE: [
      ...options(ranged, lengths),
      ...options(
        positioned,
        positions.map((position) => ({ position })),
      ),
      ['1025 vectors', (ring) => ring.readv(fd, Array(1025).fill(buffer))],
      ['recvmsg control', (ring) => ring.recvmsg(fd, { buffers: [buffer], controlLength: -1 })],
      ['recvmsg control', (ring) => ring.recvmsg(fd, { buffers: [buffer], controlLength: 2 ** 40 })],
      ['alloc 0', (ring) => ring.alloc(0)],
      ['alloc -1', (ring) => ring.alloc(-1)],
      ['alloc 1.5', (ring) => ring.alloc(1.5)],
      ['alloc 2 GiB', (ring) => ring.alloc(2 ** 31)],
      ['splice position', (ring) => ring.splice(fd, -2, fd, 0, 1)],
      ['splice length', (ring) => ring.splice(fd, 0, fd, 0, -1)],
      ['fallocate', (ring) => ring.fallocate(fd, 0, -5, 1)],
      ['ftruncate', (ring) => ring.ftruncate(fd, -5)],
    ],
    ERR_BUFFER_DETACHED: with_({ ...takers, ...fixed }, [detached]).filter(
      ([name]) => !name.startsWith('sendmsg control'),
    ),
    ERR_BUFFER_RESIZABLE: with_(takers, [resizable]),
    ERR_INVALID_STATE: [
      ...with_(takers, [freed]),
      ...with_(fixed, [freed, Buffer.alloc(5)]),
      ['free twice', (ring) => ring.free(freed)],
      ['free a stranger', (ring) => ring.free(Buffer.alloc(1))],
    ],
  })
})

test('paths, flags, modes, directories', async (t) => {
  oracle(t)
  const paths: Record<string, (ring: Uring, path: Anything, options?: Anything) => unknown> = {
    openat: (ring, path, options) => ring.openat(path, 'r', options),
    openat2: (ring, path, options) => ring.openat2(path, 'r', options),
    statx: (ring, path, options) => ring.statx(path, options),
    unlinkat: (ring, path, options) => ring.unlinkat(path, options),
    mkdirat: (ring, path, options) => ring.mkdirat(path, options),
    'renameat from': (ring, path, options) => ring.renameat(path, 'x', options),
    'renameat to': (ring, path, options) => ring.renameat('/nowhere/x', path, options),
  }
  const each = (values: unknown[]): [string, (ring: Uring) => unknown][] =>
    Object.entries(paths).flatMap(([name, call]) =>
      values.map((value, i): [string, (ring: Uring) => unknown] => [
        `${name} #${i}`,
        (ring) => call(ring, wrong(value)),
      ]),
    )
  const options = (values: object[]): [string, (ring: Uring) => unknown][] =>
    Object.entries(paths).flatMap(([name, call]) =>
      values.map((value): [string, (ring: Uring) => unknown] => [
        `${name} ${JSON.stringify(value)}`,
        (ring) => call(ring, wrong('/nowhere/x'), wrong(value)),
      ]),
    )
  const flags = (values: unknown[]): [string, (ring: Uring) => unknown][] =>
    values.flatMap((value): [string, (ring: Uring) => unknown][] => [
      [`openat ${String(value)}`, (ring) => ring.openat('/nowhere/x', wrong(value))],
      [`openat2 ${String(value)}`, (ring) => ring.openat2('/nowhere/x', wrong(value))],
    ])
  await refuse(t, openUring(t), {
    ERR_INVALID_ARG_TYPE: [
      ...each([5, null, {}, [], new Uint16Array(4), 5n]),
      ...options([{ dirfd: 'x' }, { dirfd: null }, { dirfd: {} }]),
      ['mode', (ring) => ring.openat('x', 'r', wrong({ mode: '644' }))],
      ['slot', (ring) => ring.openat('x', 'r', wrong({ slot: 3 }))],
      ['slot', (ring) => ring.openat('x', 'r', wrong({ slot: null }))],
      ['slot', (ring) => ring.openat2('x', 'r', wrong({ slot: {} }))],
      ['slot', (ring) => ring.accept(0, wrong({ slot: {} }))],
      ['slot', (ring) => ring.socket(2, 1, 0, wrong({ slot: {} }))],
    ],
    ERR_INVALID_ARG_VALUE: [
      ...each(['a\0b', '\0', Buffer.from('a\0')]),
      ...flags(['', 'x', 'rw', 'R', 'r++', 'toString', '__proto__', 'w ', null, {}]),
    ],
    ERR_OUT_OF_RANGE: [
      ...options([{ dirfd: -1 }, { dirfd: 1.5 }, { dirfd: 2 ** 31 }, { dirfd: Number.NaN }]),
      ...flags([-1, 1.5, 2 ** 32, Number.NaN]),
      ['mode', (ring) => ring.openat('x', 'w', { mode: -1 })],
      ['mode', (ring) => ring.mkdirat('x', { mode: 2 ** 33 })],
      ['mask', (ring) => ring.statx('x', { mask: -1 })],
      ['flags', (ring) => ring.statx('x', { flags: -1 })],
      ['flags', (ring) => ring.unlinkat('x', { flags: 0.5 })],
      ['flags', (ring) => ring.renameat('x', 'y', { flags: -1 })],
      ['toDirfd', (ring) => ring.renameat('x', 'y', { toDirfd: -7 })],
      ['resolve', (ring) => ring.openat2('x', 'r', { resolve: -1 })],
    ],
    ERR_INVALID_URL_SCHEME: each([new URL('http://localhost/x')]),
  })
})

test('numbers and addresses of sockets and waits', async (t) => {
  oracle(t)
  await refuse(t, openUring(t), {
    ERR_INVALID_ARG_TYPE: [
      ['domain', (ring) => ring.socket(wrong('2'), 1)],
      ['events', (ring) => ring.poll(0, wrong('in'))],
      ['ms', (ring) => ring.timeout(wrong('5'))],
      ['ms', (ring) => ring.timeout(wrong(undefined))],
      ['ms', (ring) => ring.timeoutMultishot(wrong(null))],
      ['address', (ring) => ring.connect(0, wrong(undefined))],
      ['address', (ring) => ring.connect(0, wrong('127.0.0.1:80'))],
      ['flags', (ring) => ring.send(0, buffer, wrong({ flags: '1' }))],
      ['ioprio', (ring) => ring.recv(0, buffer, wrong({ ioprio: {} }))],
      ['rwFlags', (ring) => ring.read(0, buffer, wrong({ rwFlags: '1' }))],
      ['rwFlags', (ring) => ring.writev(0, [buffer], wrong({ rwFlags: '1' }))],
      ['group', (ring) => ring.recvMultishot(0, wrong({}))],
      ['group', (ring) => ring.recvMultishot(0, wrong(undefined))],
    ],
    ERR_INVALID_ARG_VALUE: [['address', (ring) => ring.connect(0, { address: 'localhost', port: 1 })]],
    ERR_OUT_OF_RANGE: [
      ['domain', (ring) => ring.socket(-1, 1)],
      ['type', (ring) => ring.socket(2, 2 ** 32)],
      ['protocol', (ring) => ring.socket(2, 1, 0.1)],
      ['port', (ring) => ring.connect(0, { address: '127.0.0.1', port: 65536 })],
      ['port', (ring) => ring.bind(0, { address: '::1', port: -1 })],
      ['backlog', (ring) => ring.listen(0, -1)],
      ['how', (ring) => ring.shutdown(0, -1)],
      ['events', (ring) => ring.poll(0, -1)],
      ['events', (ring) => ring.pollMultishot(0, 2 ** 32)],
      ['accept flags', (ring) => ring.accept(0, { flags: -1 })],
      ['send flags', (ring) => ring.send(0, buffer, { flags: -1 })],
      ['ioprio', (ring) => ring.send(0, buffer, { ioprio: 65536 })],
      ['rwFlags', (ring) => ring.read(0, buffer, { rwFlags: 2 ** 32 })],
      ['ms', (ring) => ring.timeout(-1)],
      ['ms', (ring) => ring.timeout(Number.NaN)],
      ['ms', (ring) => ring.timeout(Infinity)],
      ['ms', (ring) => ring.timeoutMultishot(-1)],
      ['capacity', (ring) => ring.acceptMultishot(0, { capacity: 0 })],
      ['capacity', (ring) => ring.pollMultishot(0, 1, { capacity: Number.NaN })],
      ['capacity', (ring) => ring.timeoutMultishot(10, { capacity: -1 })],
    ],
  })
})

test('what every operation takes: signal, timeout, flags, personality', async (t) => {
  oracle(t)
  const calls: Record<string, (ring: Uring, options: Anything) => unknown> = {
    nop: (ring, options) => ring.nop(options),
    read: (ring, options) => ring.read(0, buffer, options),
    openat: (ring, options) => ring.openat('/', 'r', options),
    fsync: (ring, options) => ring.fsync(0, options),
    accept: (ring, options) => ring.accept(0, options),
    timeout: (ring, options) => ring.timeout(1, options),
  }
  const each = (values: object[]): [string, (ring: Uring) => unknown][] =>
    Object.entries(calls).flatMap(([name, call]) =>
      values.map((value): [string, (ring: Uring) => unknown] => [
        `${name} ${Object.entries(value).map(([key, what]) => `${key} ${String(what)}`)}`,
        (ring) => call(ring, wrong(value)),
      ]),
    )
  await refuse(t, openUring(t), {
    ERR_INVALID_ARG_TYPE: each([
      { signal: 5 },
      { signal: null },
      { signal: {} },
      { signal: { aborted: false } },
      { timeout: '5' },
      { timeout: null },
      { personality: '1' },
      { sqeFlags: '16' },
    ]),
    ERR_OUT_OF_RANGE: each([
      { timeout: -1 },
      { timeout: Number.NaN },
      { timeout: Infinity },
      { personality: -1 },
      { personality: 65536 },
    ]),
    ERR_INVALID_ARG_VALUE: each(
      [IOSQE_CQE_SKIP_SUCCESS, IOSQE_IO_LINK, IOSQE_IO_HARDLINK, IOSQE_FIXED_FILE, 256, 2 ** 32].map(
        (sqeFlags) => ({ sqeFlags }),
      ),
    ),
    ABORT_ERR: each([{ signal: AbortSignal.abort() }]),
  })
})

test('options of the ring', (t) => {
  oracle(t)
  const make = (options: unknown) => () => new Uring(options as UringOptions)
  for (const options of [5, 'x', null]) assert.throws(make(options), { code: 'ERR_INVALID_ARG_TYPE' })
  for (const options of [
    { wait: 'never' },
    { wait: 'toString' },
    { sqpoll: true, deferTaskrun: true },
    { taskrunFlag: true, deferTaskrun: false },
    { cqeMixed: true, cqe32: true },
    { sqThreadIdleMs: 5 },
    { flags: 2 ** 31 },
  ]) {
    assert.throws(make(options), { code: 'ERR_INVALID_ARG_VALUE' }, JSON.stringify(options))
  }
  for (const options of [
    { entries: 0 },
    { entries: 1.5 },
    { entries: 40_000 },
    { cqEntries: 1 },
    { inFlight: 0 },
    { inFlight: 1e9 },
    { inFlight: Number.NaN },
    { fixedFiles: -1 },
    { fixedFiles: 2 ** 30 },
  ]) {
    assert.throws(make(options), { code: 'ERR_OUT_OF_RANGE' }, JSON.stringify(options))
  }
  for (const options of [{ entries: '5' }, { sqpoll: 1 }]) {
    assert.throws(make(options), { code: 'ERR_INVALID_ARG_TYPE' }, JSON.stringify(options))
  }
})

test('a closed ring refuses everything with ERR_RING_CLOSED', async (t) => {
  oracle(t)
  const ring = openUring(t)
  const arena = ring.alloc(10)
  const group = ring.bufferGroup({ entries: 2, bufferBytes: 64 })
  const fixedFile = ring.fixedFile()
  await ring.close()
  assert.equal(ring.closed, true)
  const calls: Record<string, () => unknown> = {
    nop: () => ring.nop(),
    timeout: () => ring.timeout(1),
    timeoutMultishot: () => ring.timeoutMultishot(1),
    openat: () => ring.openat('/', 'r'),
    openat2: () => ring.openat2('/', 'r'),
    statx: () => ring.statx('/'),
    mkdirat: () => ring.mkdirat('/x'),
    unlinkat: () => ring.unlinkat('/x'),
    renameat: () => ring.renameat('/x', '/y'),
    socket: () => ring.socket(2, 1),
    chain: () => ring.chain((c) => void c.nop()),
    alloc: () => ring.alloc(1),
    fixedFile: () => ring.fixedFile(),
    bufferGroup: () => ring.bufferGroup(),
    flush: () => ring.flush(),
    flushSync: () => ring.flushSync(),
  }
  for (const [name, call] of Object.entries(ON_FILES)) calls[name] = () => call(ring, wrong(0))
  calls.recvMultishot = () => ring.recvMultishot(0, group)
  calls.readFixed = () => ring.readFixed(0, arena)
  calls.writeFixed = () => ring.writeFixed(0, arena)
  for (const [name, call] of Object.entries(calls)) {
    const error = await failure((async () => call())())
    assert.equal(error.code, 'ERR_RING_CLOSED', `${name}: ${error.stack}`)
  }
  // What only tells or gives back still works.
  assert.equal(ring.stats().inFlight, 0)
  ring.free(arena)
  ring.freeFixedFile(fixedFile)
  group.close()
  ring.ref().unref()
  await ring.close()
  assert.ok(fixedFile instanceof FixedFile)
})
