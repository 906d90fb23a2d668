// Buffers of one's own in the ring's table: used whole and in parts, changed and taken back under operations, lent to other rings.
// Flow: this → Uring.registerBuffers, registered-buffers.ts, buffer-table.ts → kernel.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { openSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { Worker } from 'node:worker_threads'
import { Uring } from 'ringcore'
import { probe } from 'ringcore/ring'
import * as sys from 'ringcore/sys'
import type { Driver } from '#src/sys/driver.js'
import { openDriver } from '#src/sys/open-driver.js'
import { collectGarbage, OwnedFd, oracle, pipe, root, tempDir, withTimeout } from './helpers.js'
import { failure, openUring, PACKAGE, turn } from './uring.js'
import { opTest, refused, tcpPair } from './uring-ops.js'

const LICENSE = join(root, 'LICENSE')
const text = readFileSync(LICENSE)
const license = (t: TestContext): number => new OwnedFd(t, openSync(LICENSE, 'r')).fd

/** Whether a promise has settled, after the loop has turned a few times. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false
  const note = (): void => {
    settled = true
  }
  promise.then(note, note)
  for (let i = 0; i < 5; i++) await turn()
  return settled
}

opTest('READ_FIXED, WRITE_FIXED', 'buffers of one’s own, whole and in parts', async (t, ring) => {
  const path = join(tempDir(t), 'file')
  const { fd } = new OwnedFd(t, openSync(path, 'w+'))
  const outer = new ArrayBuffer(11_000)
  const [out, back] = [Buffer.from(outer, 500, 10_000).fill('abcdefg'), new Uint16Array(5000)]
  const buffers = ring.registerBuffers([out, null, new DataView(back.buffer)])
  assert.deepEqual([buffers.length, buffers.at(0), buffers.at(1)], [3, out, null])
  assert.equal(await ring.writeFixed(fd, out, { position: 0 }), 10_000)
  assert.equal(await ring.writeFixed(fd, out.subarray(9000), { position: 10_000, length: 500 }), 500)
  const part = new Uint8Array(back.buffer, 1000, 8000)
  assert.equal(await ring.readFixed(fd, part, { position: 5, offset: 4, length: 7000 }), 7000)
  assert.ok(Buffer.from(back.buffer, 1004, 7000).equals(out.subarray(5, 7005)))
  assert.equal(back[1000 / 2 - 1], 0)
  assert.deepEqual(readFileSync(path).subarray(10_000), out.subarray(9000, 9500))
  await refused(ring, [
    ['ERR_INVALID_STATE', () => ring.readFixed(fd, Buffer.alloc(5))],
    ['ERR_INVALID_STATE', () => ring.writeFixed(fd, new Uint8Array(outer, 499, 2))],
    ['ERR_INVALID_STATE', () => ring.writeFixed(fd, new Uint8Array(outer, 10_499, 2))],
    ['ERR_INVALID_STATE', () => ring.writeFixed(fd, new Uint8Array(outer))],
    ['ERR_OUT_OF_RANGE', () => buffers.at(3)],
    ['ERR_OUT_OF_RANGE', () => buffers.update(-1, null)],
    ['ERR_INVALID_ARG_TYPE', () => buffers.update(0, 'x' as never)],
    ['ERR_OUT_OF_RANGE', () => buffers.update(0, Buffer.alloc(0))],
    ['ERR_INVALID_ARG_TYPE', () => buffers.cloneTo(5 as never)],
    ['ERR_INVALID_ARG_VALUE', () => buffers.cloneTo(ring)],
    [
      ring.ring.setupFlags & sys.IORING_SETUP_SINGLE_ISSUER ? 'ERR_INVALID_STATE' : 'ERR_INVALID_ARG_VALUE',
      () => buffers.share(),
    ],
  ])
  await buffers.close()
  await buffers.close()
  await refused(ring, [
    ['ERR_INVALID_STATE', () => ring.readFixed(fd, part)],
    ['ERR_INVALID_STATE', () => buffers.update(0, null)],
    ['ERR_INVALID_STATE', () => buffers.cloneTo(ring)],
  ])
  const own = ring.alloc(100)
  assert.equal(await ring.readFixed(fd, own, { position: 0 }), 100)
  ring.free(own)
})

opTest('READV_FIXED, WRITEV_FIXED, SEND_ZC', 'parts of one buffer of one’s own', async (t, ring) => {
  const whole = Buffer.alloc(9000)
  const [first, second] = [whole.subarray(0, 4000), whole.subarray(5000)]
  const buffers = ring.registerBuffers([whole, Buffer.alloc(10)])
  assert.equal(await ring.readvFixed(license(t), [second, first], { position: 0 }), text.length)
  assert.ok(second.subarray(0, text.length).equals(text))
  const { fd } = new OwnedFd(t, openSync(join(tempDir(t), 'file'), 'w+'))
  assert.equal(await ring.writevFixed(fd, [first, second], { position: 0 }), 8000)
  const [client, server] = tcpPair(t)
  const sent = second.subarray(0, text.length)
  assert.equal((await ring.sendZc(client.fd, sent)).bytes, text.length)
  const fixed = await ring.sendmsgZc(client.fd, { buffers: [sent] }, { fixed: true })
  assert.equal(fixed.bytes, text.length)
  const received = Buffer.alloc(text.length * 2)
  assert.equal(await ring.recv(server.fd, received, { flags: sys.MSG_WAITALL }), received.length)
  assert.ok(received.equals(Buffer.concat([text, text])))
  await refused(ring, [
    ['ERR_INVALID_ARG_VALUE', () => ring.readvFixed(fd, [first, buffers.at(1)!])],
    ['ERR_INVALID_STATE', () => ring.writevFixed(fd, [first, Buffer.alloc(1)])],
  ])
  await buffers.close()
})

opTest(
  'READ_FIXED',
  'a buffer that is replaced is the kernel’s until its operations end',
  async (t, ring) => {
    const ends = pipe(t)
    const [old, next] = [Buffer.alloc(16), Buffer.alloc(16)]
    const buffers = ring.registerBuffers({ sparse: 2 })
    await buffers.update(1, old)
    const read = ring.readFixed(ends.reader.fd, old)
    await ring.nop() // the kernel has both
    const replaced = buffers.update(1, next)
    assert.equal(await isSettled(replaced), false)
    assert.equal(buffers.at(1), next)
    assert.equal((await failure(ring.readFixed(ends.reader.fd, old))).code, 'ERR_INVALID_STATE')
    const closed = buffers.close()
    assert.equal(await isSettled(closed), true, 'nothing used the second')
    assert.equal(await isSettled(replaced), false)
    writeSync(ends.writer.fd, 'late')
    assert.equal(await read, 4)
    assert.equal(`${old.subarray(0, 4)}`, 'late')
    await withTimeout(replaced, 5000, 'the kernel to let go of the old buffer')
  },
)

test('what waits for the kernel to let go keeps the loop awake, and only that', async (t) => {
  oracle(t)
  const ring = openUring(t)
  const buffers = ring.registerBuffers([Buffer.alloc(16)])
  assert.equal(ring.stats().referenced, 0)
  const closed = buffers.close()
  assert.equal(ring.stats().referenced, 1)
  await withTimeout(closed, 5000, 'the tag to be seen without any other operation')
  assert.equal(ring.stats().referenced, 0)
})

test('views that were given back can be collected', async (t) => {
  oracle(t)
  const ring = openUring(t)
  const buffers = ring.registerBuffers({ sparse: 1 })
  const views: WeakRef<object>[] = []
  const next = (): Promise<void> => {
    const view = new Uint8Array(100_000)
    views.push(new WeakRef(view.buffer))
    return buffers.update(0, view)
  }
  for (let i = 0; i < 3; i++) await next()
  await turn()
  await collectGarbage(2)
  assert.deepEqual(
    views.map((view) => view.deref() !== undefined),
    [false, false, true],
  )
  await buffers.close()
  await turn()
  await collectGarbage(2)
  assert.ok(views[2]!.deref() === undefined)
})

test('the table is shared with alloc(), and no larger than it was made', async (t) => {
  oracle(t)
  const ring = openUring(t, { fixedBuffers: 3 })
  const full = { code: 'ERR_INVALID_STATE', message: /table of 3 has no room.*fixedBuffers/ }
  assert.throws(() => ring.registerBuffers(Array(4).fill(null)), full)
  const lent = ring.alloc(100)
  const two = ring.registerBuffers([Buffer.alloc(8), Buffer.alloc(8)])
  assert.throws(() => ring.registerBuffers([null]), full)
  assert.equal(await ring.readFixed(license(t), lent, { position: 0 }), 100)
  await two.close()
  const again = ring.registerBuffers({ sparse: 2 })
  assert.equal(again.length, 2)
  // Memory of the arena that finds no place serves unregistered.
  const large = ring.alloc(8 << 20)
  assert.equal(await ring.readFixed(license(t), large, { position: 0 }), text.length)
  ring.free(large)
  ring.free(lent)
  const none = openUring(t, { fixedBuffers: 0 })
  assert.throws(() => none.registerBuffers([null]), { code: 'ERR_INVALID_STATE' })
  const plain = none.alloc(100)
  assert.equal(await none.readFixed(license(t), plain, { position: 0 }), 100)
  none.free(plain)
})

test('all buffers are registered, or none', async (t) => {
  oracle(t)
  const real = openDriver()
  let updates = 0
  const register: Driver['register'] = (fd, opcode, address, count) =>
    opcode === sys.IORING_REGISTER_BUFFERS_UPDATE && ++updates === 2
      ? -sys.ENOMEM
      : real.register(fd, opcode, address, count)
  const ring = openUring(t, { driver: { ...real, register }, fixedBuffers: 3 })
  const views = [Buffer.alloc(8), Buffer.alloc(8), Buffer.alloc(8)]
  assert.throws(() => ring.registerBuffers(views), { code: 'ENOMEM', message: /BUFFERS_UPDATE/ })
  const buffers = ring.registerBuffers(views)
  assert.equal(await ring.readFixed(license(t), views[2]!, { position: 0 }), 8)
  await buffers.close()
})

test('a ring that ends lets go of them, also of what its operations used', async (t) => {
  oracle(t)
  const ring = new Uring()
  const view = Buffer.alloc(8)
  const [used, idle] = [ring.registerBuffers([view]), ring.registerBuffers([Buffer.alloc(8)])]
  const read = failure(ring.readFixed(pipe(t).reader.fd, view))
  await ring.nop()
  const closing = used.close()
  await ring.close()
  assert.equal((await read).code, 'ERR_RING_CLOSED')
  await withTimeout(closing, 5000, 'the buffers to close')
  await idle.close()
  for (const call of [
    () => ring.registerBuffers([view]),
    () => ring.cloneBuffers({ fd: 0, offset: 0, views: [null] }),
    () => idle.share(),
    () => idle.cloneTo(ring),
  ])
    assert.throws(call, { code: 'ERR_RING_CLOSED' })
  assert.equal((await failure(idle.update(0, null))).code, 'ERR_RING_CLOSED')
})

test('a clone has the same buffers, and outlives what they were cloned from', async (t) => {
  oracle(t)
  if (probe().registerOps.IORING_REGISTER_CLONE_BUFFERS !== true) return t.skip('needs kernel 6.13')
  const [ring, other] = [openUring(t), openUring(t)]
  const view = Buffer.alloc(100)
  const buffers = ring.registerBuffers([null, view])
  const kept = other.registerBuffers([Buffer.alloc(8)])
  const clone = buffers.cloneTo(other)
  assert.deepEqual([clone.length, clone.at(0), clone.at(1)], [2, null, view])
  assert.equal(await other.readFixed(license(t), view.subarray(50), { position: 0 }), 50)
  const closed = buffers.close()
  assert.equal(await isSettled(closed), false, 'the clone has the pages still')
  assert.equal(await other.readFixed(license(t), view, { position: 0 }), 100)
  await clone.update(0, Buffer.alloc(4))
  const ends = pipe(t)
  const read = other.readFixed(ends.reader.fd, view)
  await other.nop()
  const both = Promise.all([clone.close(), closed])
  assert.equal(await isSettled(both), false, 'an operation has them')
  writeSync(ends.writer.fd, 'x')
  assert.equal(await read, 1)
  await both
  assert.equal((await failure(other.readFixed(license(t), view))).code, 'ERR_INVALID_STATE')
  await kept.close()
  const ended = new Uring()
  await ended.close()
  const more = ring.registerBuffers([view])
  assert.throws(() => more.cloneTo(ended), { code: 'ERR_RING_CLOSED' })
  const small = openUring(t, { fixedBuffers: 1 })
  const two = ring.registerBuffers([view, null])
  assert.throws(() => two.cloneTo(small), { code: 'ERR_INVALID_STATE', message: /no room/ })
  await two.close()
  await more.close()
})

test('a worker’s ring reads into buffers that this one registered', async (t) => {
  oracle(t)
  if (probe().registerOps.IORING_REGISTER_CLONE_BUFFERS !== true) return t.skip('needs kernel 6.13')
  const ring = openUring(t, { deferTaskrun: false })
  const view = new Uint8Array(new SharedArrayBuffer(4096))
  const buffers = ring.registerBuffers([view])
  const script = `import('${PACKAGE}').then(async ({ Uring }) => {
    const { workerData, parentPort } = require('node:worker_threads')
    const ring = new Uring()
    const buffers = ring.cloneBuffers(workerData)
    const file = await ring.openat(${JSON.stringify(LICENSE)})
    const bytes = await ring.readFixed(file, buffers.at(0), { position: 0 })
    await ring.closeFile(file)
    const errors = []
    for (const wrong of [{ fd: 999999 }, { offset: 1024 }, { fd: 0 }])
      try { ring.cloneBuffers({ ...workerData, ...wrong }) } catch (error) { errors.push(error.code) }
    await buffers.close()
    await ring.close()
    parentPort.postMessage([bytes, ...errors])
  })`
  const worker = new Worker(script, { eval: true, workerData: buffers.share() })
  // Listened for before the message comes: a thread that ends at once tells both in one turn.
  const exited = once(worker, 'exit')
  const answer = await new Promise((resolve, reject) => {
    worker.once('message', resolve).once('error', reject)
  })
  await exited
  assert.deepEqual(answer, [text.length, 'EBADF', 'EOVERFLOW', 'ENOTSUP'])
  assert.ok(Buffer.from(view.subarray(0, text.length)).equals(text))
  await buffers.close()
})
