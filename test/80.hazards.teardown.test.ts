// The end of rings: use after close, close with work in flight, SQPOLL with entries nobody took, rings that are dropped.
// Flow: this → test/hazards/teardown.ts in processes of their own → Uring, Ring.
// Cases 22, 23, 24, 25, 31, and 76: the proof that a close which only closes the fd is found.

import assert from 'node:assert/strict'
import { closeSync, openSync, writeSync } from 'node:fs'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Resource, Uring } from 'ringcore'
import { Ring } from 'ringcore/ring'
import { IOSQE_ASYNC, POLLIN } from 'ringcore/sys'
import {
  assertIdle,
  DISTINCT_RINGS,
  guardAllocator,
  onEach,
  RINGS,
  runProgram,
  runPrograms,
  times,
  watch,
} from './hazards/common.js'
import { oracle, pipe, requires, withTimeout } from './helpers.js'
import { mountBadFs } from './tools.js'

// ---------------------------------------------------------------- 22: after close

/** Names that stay usable: they tell what the ring was, or take back what it lent. */
const HARMLESS = ['closed', 'ring', 'stats', 'close', 'ref', 'unref', 'free', 'freeFixedFile']
/** What subclasses of Operations use; no doors of their own. */
const INNER = /^(constructor|aim|lend|source|path|timespec|pokeU64|iovecs|descriptor|msghdr)$/

const view = new Uint8Array(8)
const ARGUMENT_OR_CLOSED =
  /^ERR_(RING_CLOSED|RING_FEATURE|INVALID_STATE|INVALID_ARG_TYPE|INVALID_ARG_VALUE|OUT_OF_RANGE)$/
const USES: Readonly<Record<string, (ring: Uring) => unknown>> = {
  chain: (ring) => ring.chain((c) => void c.nop()),
  alloc: (ring) => ring.alloc(10),
  fixedFile: (ring) => ring.fixedFile(),
  bufferGroup: (ring) => ring.bufferGroup(),
  flush: (ring) => ring.flush(),
  flushSync: (ring) => ring.flushSync(),
  nop: (ring) => ring.nop(),
  timeout: (ring) => ring.timeout(1),
  timeoutMultishot: (ring) => ring.timeoutMultishot(1),
  poll: (ring) => ring.poll(0, POLLIN),
  pollMultishot: (ring) => ring.pollMultishot(0, POLLIN),
  socket: (ring) => ring.socket(1, 1),
  bind: (ring) => ring.bind(0, { family: 'ipv4', address: '127.0.0.1', port: 0 }),
  connect: (ring) => ring.connect(0, { family: 'ipv4', address: '127.0.0.1', port: 1 }),
  listen: (ring) => ring.listen(0, 1),
  accept: (ring) => ring.accept(0),
  acceptMultishot: (ring) => ring.acceptMultishot(0),
  send: (ring) => ring.send(0, view),
  recv: (ring) => ring.recv(0, view),
  sendmsg: (ring) => ring.sendmsg(0, { buffers: [view] }),
  recvmsg: (ring) => ring.recvmsg(0, { buffers: [view] }),
  shutdown: (ring) => ring.shutdown(0, 2),
  openat: (ring) => ring.openat('/dev/null'),
  openat2: (ring) => ring.openat2('/dev/null', 'r'),
  closeFile: (ring) => ring.closeFile(1000),
  statx: (ring) => ring.statx('/'),
  unlinkat: (ring) => ring.unlinkat('/none'),
  renameat: (ring) => ring.renameat('/none', '/none2'),
  mkdirat: (ring) => ring.mkdirat('/'),
  read: (ring) => ring.read(0, view),
  write: (ring) => ring.write(1, view),
  readv: (ring) => ring.readv(0, [view]),
  writev: (ring) => ring.writev(1, [view]),
  fsync: (ring) => ring.fsync(0),
  syncFileRange: (ring) => ring.syncFileRange(0, 0, 1, 0),
  fallocate: (ring) => ring.fallocate(0, 0, 0, 1),
  ftruncate: (ring) => ring.ftruncate(0, 0),
  splice: (ring) => ring.splice(0, -1, 1, -1, 1),
  tee: (ring) => ring.tee(0, 1, 1),
}

/** Every name on the object's prototypes, its own class first. */
function methodsOf(object: object): string[] {
  const names: string[] = []
  for (let p = Object.getPrototypeOf(object); p !== Object.prototype; p = Object.getPrototypeOf(p)) {
    names.push(...Object.getOwnPropertyNames(p))
  }
  return [...new Set(names)]
}

for (const kind of DISTINCT_RINGS) {
  test(`22: every method of a closed Uring says ERR_RING_CLOSED, ${kind}`, async (t) => {
    oracle(t)
    const ring = new Uring(RINGS[kind])
    const lent = ring.alloc(64)
    const file = ring.fixedFile()
    const group = ring.bufferGroup({ entries: 4 })
    await ring.nop()
    await ring.close()
    const uses: Readonly<Record<string, (ring: Uring) => unknown>> = {
      ...USES,
      readFixed: () => ring.readFixed(0, lent),
      writeFixed: () => ring.writeFixed(1, lent),
      closeFixed: () => ring.closeFixed(file),
      recvMultishot: () => ring.recvMultishot(0, group),
    }
    for (const [name, use] of Object.entries(uses)) {
      await assert.rejects(async () => use(ring), { code: 'ERR_RING_CLOSED' }, name)
    }
    // Methods that the table does not know get arguments that suit most; the others may complain of those first.
    const loose = ring as unknown as Record<string, (...args: unknown[]) => unknown>
    const others = methodsOf(ring).filter(
      (name) => !INNER.test(name) && !HARMLESS.includes(name) && !(name in uses),
    )
    for (const name of others) {
      await assert.rejects(async () => loose[name]!(1, view, 1), { code: ARGUMENT_OR_CLOSED }, name)
    }
    ring.ref().unref()
    assert.ok(ring.closed)
    lent.fill(7) // memory of the arena stays readable and writable
    ring.free(lent)
    ring.freeFixedFile(file)
    group.close()
    assert.equal(await ring.close(), undefined)
    assert.equal(ring.stats().inFlight, 0)
  })
}

test('22: iterators that outlive their ring end with ERR_RING_CLOSED', async (t) => {
  oracle(t)
  const { reader } = pipe(t)
  const ring = new Uring()
  const watched = watch(ring)
  const ticks = ring.timeoutMultishot(1000)
  const polls = ring.pollMultishot(reader.fd, POLLIN)
  const waiting = ticks.next()
  const expected = { code: 'ERR_RING_CLOSED' }
  await Promise.all([assert.rejects(waiting, expected), ring.close()])
  await assert.rejects(polls.next(), expected)
  assert.deepEqual(await polls.next(), { value: undefined, done: true })
  assert.deepEqual(await ticks.return(), { value: undefined, done: true })
  await assertIdle(ring, watched)
})

test('22: every method of a closed Ring throws', (t) => {
  oracle(t)
  const ring = new Ring({ entries: 8 })
  ring.close()
  const harmless =
    /^(constructor|close|closed|fd|driver|isUnmapped|features|setupFlags|sqEntries|cqEntries|memory|geometry|cqeWords)$/
  const loose = ring as unknown as Record<string, (...args: unknown[]) => unknown>
  let closed = 0
  for (const name of methodsOf(ring).filter((name) => !harmless.test(name))) {
    let code: unknown
    try {
      // Arguments that most of them take; the others may complain of them first.
      if (typeof loose[name] === 'function') loose[name](1, 1, 1)
      assert.fail(`${name} did not throw`)
    } catch (error) {
      code = (error as NodeJS.ErrnoException).code
    }
    assert.match(String(code ?? 'no code'), ARGUMENT_OR_CLOSED, name)
    if (code === 'ERR_RING_CLOSED') closed++
  }
  assert.ok(closed > 30, `only ${closed} methods noticed that the ring is closed`)
  ring.close()
})

test('22: views, entries and handles of before, in optimised code across close', async (t) => {
  oracle(t)
  const rounds = times(8, 200)
  const answers = await runPrograms('teardown', onEach(DISTINCT_RINGS, 'stale', String(rounds)))
  for (const answer of answers) assert.deepEqual(answer, { zeroed: rounds })
})

// ---------------------------------------------------------------- 23, 24: close with work in flight

for (const kind of Object.keys(RINGS)) {
  test(`23: close with 1 to 1024 reads in flight, ${kind}`, async (t) => {
    oracle(t)
    const { reader, writer } = pipe(t)
    for (const [count, sqeFlags] of [
      [1, 0],
      [2, IOSQE_ASYNC],
      [31, 0],
      [256, IOSQE_ASYNC],
      [1024, 0],
      [1024, IOSQE_ASYNC],
    ] as const) {
      const ring = new Uring(RINGS[kind])
      const watched = watch(ring)
      const buffers = Array.from({ length: count }, () => Buffer.alloc(64))
      const reads = Promise.allSettled(buffers.map((buffer) => ring.read(reader.fd, buffer, { sqeFlags })))
      if (count !== 31) await sleep(5)
      await withTimeout(ring.close(), 10_000, `close with ${count} reads, flags ${sqeFlags}`)
      const codes = (await reads).map((end) => (end.status === 'rejected' ? end.reason.code : 'read'))
      assert.deepEqual(new Set(codes), new Set(['ERR_RING_CLOSED']))
      await assertIdle(ring, watched)
      // Whoever still reads would take these bytes.
      writeSync(writer.fd, Buffer.alloc(64, 1))
      await sleep(2)
      assert.ok(buffers.every((buffer) => buffer[0] === 0))
      const check = new Uring(RINGS[kind])
      assert.equal(await check.read(reader.fd, Buffer.alloc(100)), 64)
      await assertIdle(check)
    }
  })
}

test('23: close ends chains, deadlines, waiting operations, iterators and held files alike', async (t) => {
  oracle(t)
  const { reader, writer } = pipe(t)
  for (const kind of DISTINCT_RINGS) {
    const ring = new Uring({ ...RINGS[kind], inFlight: 40 })
    const watched = watch(ring)
    const buffer = () => Buffer.alloc(8)
    const owned = new Resource(reader.fd)
    const ends = [
      ring.chain((c) => {
        c.read(reader.fd, buffer()).hardlink()
        c.read(reader.fd, buffer()).hardlink()
        c.timeout(100_000)
      }),
      ring.chain((c) => {
        c.timeout(100_000)
        c.read(reader.fd, buffer())
      }),
      ring.read(reader.fd, buffer(), { timeout: 100_000 }),
      ring.read(owned, buffer()),
      ring.poll(reader.fd, POLLIN),
      ring.timeoutMultishot(100_000).next(),
      ring.pollMultishot(owned, POLLIN).next(),
      ...Array.from({ length: 100 }, () => ring.read(reader.fd, buffer())),
    ]
    const settled = Promise.allSettled<unknown>(ends)
    await sleep(3)
    await withTimeout(ring.close(), 10_000, 'close')
    const codes = (await settled).map((end) => (end.status === 'rejected' ? end.reason.code : end.value))
    assert.deepEqual(new Set(codes), new Set(['ERR_RING_CLOSED']))
    assert.equal(owned.users, 0)
    await assertIdle(ring, watched)
  }
  writer.close()
})

test('24: close before the kernel took the entries', async (t) => {
  oracle(t)
  await runPrograms('teardown', onEach(DISTINCT_RINGS, 'closeInFlight', String(times(40, 100))))
})

test('24: the same on SQPOLL rings under the guard allocator', async (t) => {
  const preload = guardAllocator(t)
  if (preload === undefined) return
  oracle(t)
  await runProgram('teardown', 'closeInFlight', 'sqpoll', { argument: String(times(20, 100)), preload })
})

test('25: close waits for a read that can not be cancelled', async (t) => {
  if (!requires(t, { root: true })) return
  oracle(t)
  const slow = await mountBadFs(t, 65536)
  if ('skip' in slow) return t.skip(slow.skip)
  slow.set({ direct: 1, rdelay: 300 })
  for (const kind of DISTINCT_RINGS) {
    const fd = openSync(slow.file, 'r')
    const ring = new Uring(RINGS[kind])
    const watched = watch(ring)
    const buffer = Buffer.alloc(8192)
    let done = false
    const read = ring.read(fd, buffer, { position: 0 }).finally(() => {
      done = true
    })
    read.catch(() => {})
    ring.flush()
    await sleep(30)
    await ring.close()
    assert.ok(done, 'closed before the read had ended')
    const final = Buffer.from(buffer)
    await sleep(350)
    assert.ok(final.equals(buffer), 'the kernel wrote after close')
    closeSync(fd)
    await assertIdle(ring, watched)
  }
})

// ---------------------------------------------------------------- 31: dropped

test('31: a thousand rings dropped without close are all closed, with one warning each', async (t) => {
  oracle(t)
  const answer = await runProgram('teardown', 'dropped', 'waiting in the ring', {
    argument: '1000',
    nodeArgs: ['--no-warnings'],
  })
  const { most, ...rest } = answer as { most: number }
  assert.deepEqual(rest, { left: { fds: 0, maps: 0 }, inFlight: 0, warned: { RingLeakWarning: 1000 } })
  assert.ok(most < 600, `${most} rings were alive at once: the collector does not keep up`)
})

test('76: a planted bug, a close that only closes the fd, is found', async (t) => {
  oracle(t)
  const answer = await runProgram('teardown', 'plantedCloseFdOnly', 'plain', { leaks: true })
  assert.deepEqual(answer, { wroteAfterwards: true })
})
