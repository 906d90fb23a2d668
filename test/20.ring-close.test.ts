// The end of a ring: nothing is freed before the kernel has let go, nothing works afterwards, nothing is left.
// Flow: this → ringcore/ring → kernel.

import assert from 'node:assert/strict'
import { readFileSync, writeSync } from 'node:fs'
import test, { type TestContext } from 'node:test'
import { BufferRing, prepNop, prepRead, Ring, type RingOptions } from 'ringcore/ring'
import * as sys from 'ringcore/sys'
import { oracle, pipe, runNode, until } from './helpers.js'
import { forEachRingKind, takeCqes } from './ring-kinds.js'

/** Reads on an empty pipe: they wait until somebody writes or cancels. */
function queueReads(ring: Ring, fd: number, count: number): Uint8Array[] {
  const buffers: Uint8Array[] = []
  for (let i = 0; i < count; i++) {
    let sqe = ring.getSqe()
    while (sqe === null) {
      ring.submit()
      ring.sqringWait()
      sqe = ring.getSqe()
    }
    const buffer = new Uint8Array(64)
    buffers.push(buffer)
    prepRead(sqe, fd, ring.driver.addressOf(buffer), 64, 0)
    sqe.setUserData(i)
  }
  ring.submit()
  return buffers
}

function open(t: TestContext, options: RingOptions = {}): Ring {
  oracle(t)
  const ring = new Ring({ entries: 8, ...options })
  t.after(() => ring.close({ cancel: true }))
  return ring
}

for (const count of [1, 7, 64, 256]) {
  forEachRingKind(`closing with ${count} reads in the kernel`, { cqEntries: 64 }, (t, ring) => {
    const { reader } = pipe(t)
    const buffers = queueReads(ring, reader.fd, count)
    assert.throws(() => ring.close(), {
      code: 'ERR_INVALID_STATE',
      message: new RegExp(`${count} operations`),
    })
    assert.equal(ring.closed, false, 'it stays usable')
    const seen: number[] = []
    ring.close({
      cancel: true,
      onCqe: (userData, _high, res) => {
        assert.equal(res, -125)
        seen.push(userData)
      },
    })
    assert.deepEqual(
      seen.sort((a, b) => a - b),
      Array.from({ length: count }, (_, i) => i),
      'every operation came to an end',
    )
    assert.ok(buffers.every((buffer) => buffer.every((byte) => byte === 0)))
    assert.equal(ring.closed, true)
  })
}

forEachRingKind('closing drops what was queued and never submitted', {}, (t, ring) => {
  const { reader, writer } = pipe(t)
  writeSync(writer.fd, 'stays')
  const buffer = new Uint8Array(8)
  const sqe = ring.getSqe()!
  prepRead(sqe, reader.fd, ring.driver.addressOf(buffer), 8, 0)
  assert.throws(() => ring.close(), { code: 'ERR_INVALID_STATE', message: /1 SQEs are queued/ })
  ring.close({ cancel: true })
  assert.equal(buffer[0], 0)
})

forEachRingKind('an idle ring closes without cancelling, CQEs unread or not', {}, (_t, ring) => {
  prepNop(ring.getSqe()!)
  ring.submitAndWait(1)
  assert.equal(ring.cqReady(), 1)
  ring.close()
  ring.close()
  ring[Symbol.dispose]()
})

test('a SQPOLL ring closes although its thread never took the SQEs', (t) => {
  const ring = open(t, { sqpoll: true, rDisabled: true })
  prepNop(ring.getSqe()!)
  assert.throws(() => ring.close(), { code: 'ERR_INVALID_STATE' })
  ring.close({ cancel: true })
})

test('100 SQPOLL rings close right after a submit', (t) => {
  oracle(t)
  const { reader } = pipe(t)
  for (let i = 0; i < 100; i++) {
    const ring = new Ring({ entries: 8, sqpoll: true })
    queueReads(ring, reader.fd, 8)
    ring.close({ cancel: true })
  }
})

test('closing inside a callback: the CQEs that were collected still come, and no page faults', (t) => {
  const ring = open(t)
  for (let i = 0; i < 4; i++) prepNop(ring.getSqe()!)
  ring.submitAndWait(4)
  let calls = 0
  ring.forEachCqe(() => {
    calls++
    ring.close({ cancel: true })
  })
  assert.equal(calls, 4)
  assert.throws(() => ring.forEachCqe(() => {}), { code: 'ERR_RING_CLOSED' })
})

test('stale views read zeros after close, in a hot loop too', (t) => {
  const ring = open(t)
  const words = new Int32Array(ring.memory.ring)
  const sqes = new Int32Array(ring.memory.sqes)
  const sqe = ring.getSqe()!
  sqe.words[9] = 7
  let sum = 0
  for (let i = 0; i < 200_000; i++) {
    if (i === 100_000) ring.close({ cancel: true })
    sum += words[i & 63]! + sqes[9]! + sqe.words[9]!
  }
  assert.ok(sum > 0)
  assert.ok(words.every((word) => word === 0) && sqes.every((word) => word === 0))
  sqe.words[9] = 1
})

/** Every method that has to do with the queues, with arguments it would take. */
const queueCalls = (ring: Ring): Record<string, () => unknown> => ({
  getSqe: () => ring.getSqe(),
  getSqe128: () => ring.getSqe128(),
  submit: () => ring.submit(),
  submitAndGetEvents: () => ring.submitAndGetEvents(),
  submitAndWait: () => ring.submitAndWait(1),
  submitAndWaitTimeout: () => ring.submitAndWaitTimeout(1, { timeoutMs: 1 }),
  submitAndWaitReg: () => ring.submitAndWaitReg(1, 0),
  flush: () => ring.flush(),
  sqReady: () => ring.sqReady(),
  sqSpaceLeft: () => ring.sqSpaceLeft(),
  unclaim: () => ring.unclaim(0),
  isUnpublished: () => ring.isUnpublished(null as never, 0),
  sqringWait: () => ring.sqringWait(),
  getEvents: () => ring.getEvents(),
  peekCqe: () => ring.peekCqe(),
  waitCqe: () => ring.waitCqe(),
  waitCqeNr: () => ring.waitCqeNr(1),
  waitCqeTimeout: () => ring.waitCqeTimeout(1),
  waitCqes: () => ring.waitCqes(1),
  cqeSeen: () => ring.cqeSeen(null as never),
  cqAdvance: () => ring.cqAdvance(0),
  forEachCqe: () => ring.forEachCqe(() => {}),
  bigCqe: () => ring.bigCqe(0),
  copyCqes: () => ring.copyCqes(new Int32Array(16)),
  cqReady: () => ring.cqReady(),
  cqHasOverflow: () => ring.cqHasOverflow(),
  cqEventfdEnabled: () => ring.cqEventfdEnabled(),
  cqEventfdToggle: () => ring.cqEventfdToggle(true),
  setIowait: () => ring.setIowait(true),
  accountForeignCqes: () => ring.accountForeignCqes(0),
  accountSkippedCqes: () => ring.accountSkippedCqes(0),
  resizeRings: () => ring.resizeRings(8),
  remap: () => ring.remap(),
})

/** Every method that registers something. */
const registerCalls = (
  ring: Ring,
  other: Ring,
  bytes = new Uint8Array(128),
): Record<string, () => unknown> => ({
  register: () => ring.register(8, bytes, 1),
  hold: () => ring.hold(new ArrayBuffer(8)),
  letGo: () => ring.letGo(new ArrayBuffer(8)),
  retire: () => ring.retire(new ArrayBuffer(8)),
  registerBuffers: () => ring.registerBuffers([bytes]),
  registerBuffersTags: () => ring.registerBuffersTags([bytes], [1]),
  registerBuffersSparse: () => ring.registerBuffersSparse(1),
  registerBuffersUpdateTag: () => ring.registerBuffersUpdateTag(0, [bytes]),
  unregisterBuffers: () => ring.unregisterBuffers(),
  forgetRetired: () => ring.forgetRetired(bytes),
  cloneBuffers: () => ring.cloneBuffers(other),
  registerFiles: () => ring.registerFiles([0]),
  registerFilesTags: () => ring.registerFilesTags([0], [1]),
  registerFilesSparse: () => ring.registerFilesSparse(1),
  registerFilesUpdate: () => ring.registerFilesUpdate(0, [0]),
  registerFilesUpdateTag: () => ring.registerFilesUpdateTag(0, [0], [1]),
  unregisterFiles: () => ring.unregisterFiles(),
  registerFileAllocRange: () => ring.registerFileAllocRange(0, 1),
  registerEventfd: () => ring.registerEventfd(0),
  registerEventfdAsync: () => ring.registerEventfdAsync(0),
  unregisterEventfd: () => ring.unregisterEventfd(),
  registerProbe: () => ring.registerProbe(),
  registerPersonality: () => ring.registerPersonality(),
  unregisterPersonality: () => ring.unregisterPersonality(1),
  registerRestrictions: () => ring.registerRestrictions([]),
  enableRings: () => ring.enableRings(),
  registerIowqAff: () => ring.registerIowqAff([0]),
  unregisterIowqAff: () => ring.unregisterIowqAff(),
  registerIowqMaxWorkers: () => ring.registerIowqMaxWorkers(0, 0),
  registerRingFd: () => ring.registerRingFd(),
  unregisterRingFd: () => ring.unregisterRingFd(),
  registerBufRing: () => ring.registerBufRing({ group: 1, entries: 1, address: 4096 }),
  unregisterBufRing: () => ring.unregisterBufRing(1),
  bufRingHead: () => ring.bufRingHead(1),
  registerSyncCancel: () => ring.registerSyncCancel({}),
  registerSyncMsg: () => ring.registerSyncMsg(new Int32Array(16)),
  registerNapi: () => ring.registerNapi({}),
  unregisterNapi: () => ring.unregisterNapi(),
  registerClock: () => ring.registerClock(1),
  registerRegion: () => ring.registerRegion(new ArrayBuffer(4096)),
  registerIfq: () => ring.registerIfq(bytes),
  registerZcrxCtrl: () => ring.registerZcrxCtrl(bytes),
  registerBpfFilter: () => ring.registerBpfFilter(bytes),
  inKernel: () => ring.inKernel,
  BufferRing: () => new BufferRing(ring, { group: 1, entries: 1, bufferBytes: 16 }),
})

test('every method throws ERR_RING_CLOSED after close', (t) => {
  const ring = open(t)
  const other = new Ring({ entries: 2 })
  t.after(() => other.close())
  const cqe = ring.peekCqe() ?? undefined
  assert.equal(cqe, undefined)
  ring.close()
  const calls = { ...queueCalls(ring), ...registerCalls(ring, other) }
  const untested: string[] = []
  for (let proto = Ring.prototype; proto !== Object.prototype; proto = Object.getPrototypeOf(proto)) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(proto))) {
      if (typeof value === 'function' && !['constructor', 'close'].includes(name) && !(name in calls)) {
        untested.push(name)
      }
    }
  }
  assert.deepEqual(untested, [], 'methods that this test does not know')
  for (const [name, call] of Object.entries(calls)) {
    assert.throws(call, { code: 'ERR_RING_CLOSED' }, name)
  }
})

test('rings that are dropped instead of closed are closed by the collector, with one warning each', async () => {
  const script = `
    import { Ring, prepNop, prepRead } from 'ringcore/ring'
    import { openDriver } from '#src/sys/open-driver.js'
    import { syscallNumber } from '#src/sys/syscalls.js'
    import { readdirSync, readlinkSync, readFileSync } from 'node:fs'
    import { setTimeout as sleep } from 'node:timers/promises'
    const rings = () => readdirSync('/proc/self/fd').filter((fd) => {
      try { return readlinkSync('/proc/self/fd/' + fd).includes('io_uring') } catch { return false }
    }).length
    const maps = () => readFileSync('/proc/self/maps', 'utf8').split('\\n').filter((line) => line.includes('io_uring')).length
    const warnings = []
    process.on('warning', ({ code, message }) => warnings.push(code + ' ' + /dropped without close/.test(message)))
    const before = [rings(), maps()]
    const keep = []
    const pair = new Int32Array(2)
    openDriver().syscall(syscallNumber('pipe2'), openDriver().addressOf(pair), 0)
    ;(() => {
      for (let i = 0; i < 50; i++) {
        const ring = new Ring({ entries: 4, sqpoll: i % 10 === 0 })
        const sqe = ring.getSqe()
        if (i % 2 === 0) {
          // Every other one has a read in the kernel.
          const buffer = new Uint8Array(64)
          keep.push(buffer)
          prepRead(sqe, pair[0], ring.driver.addressOf(buffer), 64, -1)
          ring.submit()
        } else prepNop(sqe)
      }
    })()
    console.log('made', rings() - before[0])
    const deadline = performance.now() + 10000
    while (rings() > before[0] && performance.now() < deadline) { gc(); await sleep(5) }
    console.log('left', rings() - before[0], maps() - before[1], keep.length)
    console.log('warnings', warnings.length, [...new Set(warnings)].join())
  `
  const options = { nodeArgs: ['--expose-gc'], env: { NODE_NO_WARNINGS: '1' } }
  const { stdout, stderr } = await runNode(script, options)
  assert.equal(stderr, '')
  assert.deepEqual(stdout.trim().split('\n'), [
    'made 50',
    'left 0 0 25',
    'warnings 50 RINGCORE_RING_LEAK true',
  ])
})

test('a read that nothing can cancel keeps the ring from closing until it is done', async (t) => {
  oracle(t)
  const { mountBadFs } = await import('./tools.js')
  const fs = await mountBadFs(t, 4096, { rdelay: 700, direct: 1 })
  if ('skip' in fs) return t.skip(fs.skip)
  const { openSync, closeSync } = await import('node:fs')
  const fd = openSync(fs.file, 'r')
  t.after(() => closeSync(fd))
  const ring = new Ring({ entries: 4 })
  const [buffer] = queueReads(ring, fd, 1)
  // The request must have left for the file system, or it could still be cancelled.
  await until(() => ring.sqReady() === 0, 1000, 'the submit')
  await new Promise((done) => setTimeout(done, 100))
  const start = performance.now()
  assert.throws(() => ring.close({ cancel: true, timeoutMs: 50 }), {
    code: 'ERR_INVALID_STATE',
    message: /1 operations after 50 ms/,
  })
  assert.ok(performance.now() - start < 500)
  assert.equal(ring.closed, true, 'closing: nothing works any more')
  assert.throws(() => ring.getSqe(), { code: 'ERR_RING_CLOSED' })
  assert.ok(readFileSync('/proc/self/maps', 'utf8').includes('io_uring'), 'but nothing was freed')
  const results: number[] = []
  ring.close({ cancel: true, onCqe: (_userData, _high, res) => void results.push(res) })
  assert.equal(results.length, 1)
  if (results[0]! > 0) assert.equal(buffer![0], 0x55)
})

test('closing a foreign count: messages of other rings are told, or found out at the end', (t) => {
  oracle(t)
  const receiver = new Ring({ entries: 4 })
  const sender = new Ring({ entries: 4 })
  for (const told of [true, false]) {
    const sqe = sender.getSqe()!
    sqe.words[0] = sys.IORING_OP_MSG_RING
    sqe.words[1] = receiver.fd
    sqe.words[6] = 77
    sender.submitAndWait(1)
    assert.equal(takeCqes(sender, 1)[0]![1], 0)
    assert.equal(takeCqes(receiver, 1)[0]![1], 77)
    if (told) receiver.accountForeignCqes(1)
    assert.equal(receiver.inKernel, 0)
  }
  receiver.close()
  sender.close()
})

test('CQEs that never come because they were skipped are accounted for by the caller', (t) => {
  oracle(t)
  const ring = new Ring({ entries: 4 })
  const sqe = ring.getSqe()!
  prepNop(sqe)
  sqe.addFlags(sys.IOSQE_CQE_SKIP_SUCCESS)
  ring.submit()
  assert.equal(ring.inKernel, 1)
  assert.throws(() => ring.close(), { code: 'ERR_INVALID_STATE' })
  ring.accountSkippedCqes(1)
  ring.close()
})

test('a script that leaves its ring open ends by itself, with exit code 0', async () => {
  const { code, stderr } = await runNode(`
    import { Ring, prepRead } from 'ringcore/ring'
    import { syscallNumber } from '#src/sys/syscalls.js'
    const ring = new Ring({ entries: 4 })
    globalThis.ring = ring
    const pair = new Int32Array(2)
    ring.driver.syscall(syscallNumber('pipe2'), ring.driver.addressOf(pair), 0)
    const sqe = ring.getSqe()
    const buffer = new Uint8Array(100)
    prepRead(sqe, pair[0], ring.driver.addressOf(buffer), 100, 0)
    globalThis.buffer = buffer
    ring.submit()
  `)
  assert.deepEqual([code, stderr], [0, ''])
})
