// How many operations run at once, and those that wait: order, abort, close; slots used again and again.
// Flow: this → Uring → engine.ts, slots.ts, backlog.ts.

import assert from 'node:assert/strict'
import { writeSync } from 'node:fs'
import test from 'node:test'
import type { Uring, UringOptions } from 'ringcore'
import { oracle, pipe, withTimeout } from './helpers.js'
import { blockedReads, failure, KINDS, openUring, testKinds, turn } from './uring.js'

const limited = (inFlight: number): Record<string, UringOptions> =>
  Object.fromEntries(
    Object.entries(KINDS).map(([kind, options]) => [
      `${kind}, inFlight ${inFlight}`,
      { ...options, inFlight },
    ]),
  )

testKinds(
  '1,000 operations start in order, four at a time, and all settle',
  async (t, ring) => {
    const { reader, writer } = pipe(t)
    let most = 0
    // Single bytes of a pipe: who starts first gets the first.
    const buffers = Array.from({ length: 1000 }, () => Buffer.alloc(1))
    const order: number[] = []
    const reads = buffers.map(async (buffer, i) => {
      assert.equal(await ring.read(reader.fd, buffer), 1)
      order.push(i)
      most = Math.max(most, ring.stats().inFlight)
    })
    assert.deepEqual([ring.stats().inFlight, ring.stats().queued], [4, 996])
    const feeding = (async () => {
      for (let i = 0; i < 1000; i += 100) {
        writeSync(writer.fd, Buffer.from(Array.from({ length: 100 }, (_, j) => (i + j) & 0xff)))
        await turn()
      }
    })()
    await withTimeout(Promise.all([feeding, ...reads]), 5000, 'a thousand reads')
    assert.ok(most <= 4, `${most} in flight`)
    assert.equal(order.length, 1000)
    // Up to four wait on the pipe at once, and the kernel may wake them in any order: no further apart than that.
    for (const [at, i] of order.entries())
      assert.ok(Math.abs(at - i) < 8, `operation ${i} ended as number ${at}`)
    assert.equal(ring.engine.slots.available, 4)
  },
  limited(4),
)

testKinds('ten times the submission queue in one turn', async (t, ring, options) => {
  const { reader, writer } = pipe(t)
  const entries = ring.ring.sqEntries
  const count = entries * 10
  const nops = Array.from({ length: count }, () => ring.nop())
  const buffers = Array.from({ length: count }, () => Buffer.alloc(1))
  const reads = buffers.map((buffer) => ring.read(reader.fd, buffer))
  assert.equal(ring.stats().inFlight + ring.stats().queued, count * 2)
  await withTimeout(Promise.all(nops), 5000, 'all nops')
  for (let sent = 0; sent < count; sent += 512) {
    writeSync(writer.fd, Buffer.alloc(Math.min(512, count - sent), 1))
    await turn()
  }
  await withTimeout(Promise.all(reads), 5000, `all reads (${JSON.stringify(options)})`)
  for (const buffer of buffers) assert.equal(buffer[0], 1)
})

testKinds(
  'a full queue of operations that never end does not hold up the next',
  async (t, ring) => {
    // The reads fill the queue; only the write that comes after them can end one.
    const { reads, writer } = blockedReads(t, ring, 8)
    const write = ring.write(writer.fd, Buffer.alloc(8))
    assert.equal(await withTimeout(write, 2000, 'the write behind them'), 8)
    await withTimeout(Promise.all(reads), 2000, 'the reads')
  },
  {
    'SQPOLL, 8 entries': { entries: 8, sqpoll: true, sqThreadIdleMs: 20 },
    'DEFER_TASKRUN, 8 entries': { entries: 8 },
    'one entry': { entries: 1 },
  },
)

test('waiting operations can be aborted at once', async (t) => {
  oracle(t)
  const ring = openUring(t, { inFlight: 2 })
  const { reads, writer } = blockedReads(t, ring, 2)
  const controller = new AbortController()
  const { signal } = controller
  const waiting = [
    ring.nop(),
    ring.nop({ signal }),
    ring.openat('/dev/null', 'r', { signal }),
    ring.fsync(writer.fd, { signal }),
    ring.nop(),
    ring.timeout(1, { signal }),
  ]
  for (const each of waiting) each.catch(() => {})
  assert.equal(ring.stats().queued, 6)
  controller.abort('why not')
  for (const i of [1, 2, 3, 5]) {
    const error = await withTimeout(failure(waiting[i]!), 1000, `operation ${i}`)
    assert.equal(error.name, 'AbortError')
    assert.equal(error.cause, 'why not')
  }
  assert.deepEqual([ring.stats().inFlight, ring.stats().queued], [2, 2])
  writeSync(writer.fd, 'xy')
  assert.deepEqual(await withTimeout(Promise.all([waiting[0], waiting[4]]), 1000), [0, 0])
  await Promise.all(reads)
})

test('waiting operations reject with ERR_RING_CLOSED when the ring closes', async (t) => {
  oracle(t)
  const ring = openUring(t, { inFlight: 2 })
  const { reads } = blockedReads(t, ring, 2)
  const { reader } = pipe(t)
  const waiting = [
    ring.nop(),
    ring.openat('/', 'r'),
    ring.statx('/'),
    ring.chain((c) => void c.nop(), { entries: 1 }),
  ]
  const accepts = ring.pollMultishot(reader.fd, 1)
  const event = accepts.next()
  for (const each of [...waiting, event]) each.catch(() => {})
  const errors = [...reads, ...waiting, event].map((each) => failure(each))
  await withTimeout(ring.close(), 2000, 'close')
  for (const error of await Promise.all(errors)) assert.equal(error.code, 'ERR_RING_CLOSED')
})

test('bad arguments are refused at once, also when others wait', async (t) => {
  oracle(t)
  const ring = openUring(t, { inFlight: 1 })
  const { reads, writer } = blockedReads(t, ring, 1)
  const waiting = ring.nop()
  assert.equal((await failure(ring.read(-1, Buffer.alloc(1)))).code, 'ERR_OUT_OF_RANGE')
  assert.equal((await failure(ring.nop({ signal: AbortSignal.abort() }))).code, 'ABORT_ERR')
  assert.equal(ring.stats().queued, 1)
  writeSync(writer.fd, 'x')
  await Promise.all([...reads, waiting])
})

testKinds('slots are used again without mistaking one operation for another', async (t, ring: Uring) => {
  // The deadlines' and cancels' CQEs come after their slots have new owners.
  const { reader, writer } = pipe(t)
  for (let round = 0; round < 30; round++) {
    const controller = new AbortController()
    const doomed = Array.from({ length: 20 }, (_, i) =>
      failure(ring.read(reader.fd, Buffer.alloc(1), i % 2 ? { signal: controller.signal } : { timeout: 1 })),
    )
    const quick = Array.from({ length: 20 }, (_, i) => ring.nop(i % 2 ? { timeout: 1000 } : {}))
    await Promise.all(quick)
    controller.abort()
    await withTimeout(Promise.all(doomed), 2000)
    writeSync(writer.fd, Buffer.alloc(3, round))
    const buffer = Buffer.alloc(3)
    assert.equal(await ring.read(reader.fd, buffer), 3)
    assert.ok(buffer.every((byte) => byte === round))
  }
  assert.equal(ring.stats().strays, 0)
  assert.ok(ring.engine.slots.available === ring.engine.slots.max)
})

test('the limit of what may be in flight is what the completion queue holds', (t) => {
  oracle(t)
  const ring = openUring(t, { entries: 64, cqEntries: 128 })
  const { max } = ring.engine.slots
  assert.ok(max > 64 && max <= 128, `${max}`)
  assert.throws(() => openUring(t, { entries: 64, cqEntries: 128, inFlight: max + 1 }), {
    code: 'ERR_OUT_OF_RANGE',
    message: new RegExp(`<= ${max}`),
  })
})
