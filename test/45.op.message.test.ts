// Messages and files between rings by Uring: of one thread, of several, with nobody listening, at the end.
// Flow: this → Uring (operations-message) → inbox, kernel, worker threads.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import test from 'node:test'
import { Worker } from 'node:worker_threads'
import { type RingMessage, Uring } from 'ringcore'
import { probe } from 'ringcore/ring'
import { oracle, pipe, runNode, withTimeout } from './helpers.js'
import { failure, openUring, PACKAGE } from './uring.js'
import { OP_KINDS, opTest, refused } from './uring-ops.js'

opTest('MSG_RING', 'value, data and tag as they were sent, between all kinds of rings', async (t, ring) => {
  const sent: RingMessage[] = [
    { value: 0, data: 0, tag: 0 },
    { value: -1, data: 1, tag: 1 },
    { value: -0x80000000, data: 2 ** 30, tag: 65_535 },
    { value: 0x7fffffff, data: 2 ** 53 - 1, tag: 0 },
    { value: 5, data: 2 ** 31 + 5, tag: 0x8000 },
  ]
  for (const options of Object.values(OP_KINDS)) {
    const other = openUring(t, options)
    const messages = other.messages()
    for (const message of sent) await ring.msgRing(other, message)
    for (const message of sent) {
      const { value } = await withTimeout(messages.next(), 2000)
      assert.deepEqual(value, message)
    }
    await messages.return()
  }
  const own = ring.messages()
  await ring.msgRing(ring, { value: 1 })
  await ring.msgRing(ring.ring.fd, { value: 2 })
  assert.equal((await own.next()).value.value, 1)
  assert.equal((await own.next()).value.value, 2)
  assert.throws(() => ring.messages(), { code: 'ERR_INVALID_STATE' })
  await own.return()
  const { reader } = pipe(t)
  assert.equal((await failure(ring.msgRing(reader.fd, {}))).code, 'EBADFD')
  assert.equal((await failure(ring.msgRing(999_999, {}))).code, 'EBADF')
  await refused(ring, [
    ['ERR_INVALID_ARG_TYPE', () => ring.msgRing('x' as never, {})],
    ['ERR_OUT_OF_RANGE', () => ring.msgRing(-1, {})],
    ['ERR_INVALID_ARG_TYPE', () => ring.msgRing(ring, null as never)],
    ['ERR_OUT_OF_RANGE', () => ring.msgRing(ring, { value: 2 ** 31 })],
    ['ERR_OUT_OF_RANGE', () => ring.msgRing(ring, { data: -1 })],
    ['ERR_OUT_OF_RANGE', () => ring.msgRing(ring, { tag: 65_536 })],
  ])
  const closed = new Uring()
  await closed.close()
  assert.equal((await failure(ring.msgRing(closed, {}))).code, 'ERR_RING_CLOSED')
})

opTest('MSG_RING', 'a file goes to another ring, and stays here', async (t, ring) => {
  const { reader, writer } = pipe(t)
  const [file] = await ring.filesUpdateAlloc([reader.fd])
  const other = openUring(t)
  assert.equal(
    (await failure(ring.msgRingFd(other, file!))).code,
    'ENFILE',
    'the other ring has no table yet',
  )
  const messages = other.messages({ files: true })
  await ring.msgRingFd(other, file!, { data: 2 ** 40 + 7 })
  await ring.msgRingFd(other, file!)
  const { value } = await withTimeout(messages.next(), 2000)
  assert.deepEqual([value.data, value.value, value.tag], [2 ** 40 + 7, 0, 0])
  fs.writeSync(writer.fd, 'abcdef')
  const buffer = Buffer.alloc(3)
  assert.equal(await other.read(value.file, buffer), 3)
  await other.closeFile(value.file)
  other.freeFixedFile(value.file)
  assert.equal(await ring.read(file!, buffer), 3)
  assert.equal(buffer.toString(), 'def')
  // The second was taken by nobody: ending closes it.
  await messages.return()
  await ring.closeFile(file!)
  ring.freeFixedFile(file!)
  assert.equal((await failure(ring.msgRingFd(other, file!))).code, 'EBADF')
  await refused(ring, [
    ['ERR_INVALID_ARG_TYPE', () => ring.msgRingFd(other, reader.fd as never)],
    ['ERR_OUT_OF_RANGE', () => ring.msgRingFd(other, file!, { data: 0.5 })],
  ])
})

test('messages that came before anybody listened are kept, in order', async (t) => {
  oracle(t)
  const ring = openUring(t)
  const other = openUring(t)
  const keeps = other.timeout(50)
  for (let i = 0; i < 300; i++) await ring.msgRing(other, { data: i })
  await keeps
  const messages = other.messages()
  for (let i = 0; i < 300; i++) assert.equal((await withTimeout(messages.next(), 2000)).value.data, i)
  // And while it listens, without anything else going on here.
  const late = messages.next()
  setTimeout(() => ring.msgRing(other, { data: 300 }), 20)
  assert.equal((await withTimeout(late, 2000)).value.data, 300)
  await messages.return()
})

test('listening ends with the ring, with a signal, and does not hold the process when told so', async (t) => {
  oracle(t)
  const ring = openUring(t)
  const next = ring.messages().next()
  await ring.nop()
  const closed = failure(next)
  await ring.close()
  assert.equal((await closed).code, 'ERR_RING_CLOSED')
  const second = openUring(t)
  const abort = new AbortController()
  const waiting = failure(second.messages({ signal: abort.signal }).next())
  abort.abort()
  assert.equal((await waiting).name, 'AbortError')
  await second.nop()
  const { code, stdout } = await runNode(
    `import { Uring } from 'ringcore'
    const ring = new Uring()
    ring.messages({ ref: false }).next()
    process.on('exit', () => console.log('exits'))
    `,
  )
  assert.deepEqual([code, stdout], [0, 'exits\n'])
})

test('worker threads: a thousand messages there and back', async (t) => {
  oracle(t)
  const ring = openUring(t)
  const worker = new Worker(
    `const { workerData, parentPort } = require('node:worker_threads')
    import('${PACKAGE}').then(async ({ Uring }) => {
      const ring = new Uring()
      parentPort.postMessage(ring.ring.fd)
      let count = 0
      for await (const { value, data } of ring.messages()) {
        await ring.msgRing(workerData, { value: -value, data: data * 2 })
        if (++count === 1000) break
      }
      await ring.close()
    })`,
    { eval: true, workerData: ring.ring.fd },
  )
  t.after(() => worker.terminate())
  const ended = new Promise<number>((resolve) => worker.once('exit', resolve))
  const failed = new Promise<never>((_, reject) => worker.once('error', reject))
  const fd = await Promise.race([new Promise<number>((resolve) => worker.once('message', resolve)), failed])
  const answers = ring.messages()
  const sends = Array.from({ length: 1000 }, (_, i) => ring.msgRing(fd, { value: i + 1, data: 2 ** 31 + i }))
  await Promise.all(sends)
  for (let i = 0; i < 1000; i++) {
    const { value } = await withTimeout(answers.next(), 5000, `answer ${i}`)
    assert.deepEqual([value.value, value.data], [-(i + 1), 2 ** 32 + 2 * i])
  }
  await answers.return()
  assert.equal(await withTimeout(ended, 5000), 0)
})

test('a message at once, without a turn of the event loop', async (t) => {
  oracle(t)
  const [from, to] = [openUring(t), openUring(t)]
  if (probe().registerOps.IORING_REGISTER_SEND_MSG_RING !== true) return t.skip('needs kernel 6.13')
  const messages = to.messages()
  const before = from.stats()
  from.msgRingSync(to, { value: -5, data: 2 ** 53 - 1, tag: 7 })
  from.msgRingSync(to.ring.fd, { data: 3 })
  assert.deepEqual(from.stats(), before, 'nothing went through the queue')
  assert.deepEqual((await messages.next()).value, { value: -5, data: 2 ** 53 - 1, tag: 7 })
  assert.equal((await messages.next()).value.data, 3)
  await messages.return()
  const { reader } = pipe(t)
  assert.throws(() => from.msgRingSync(reader.fd, {}), { code: 'EBADFD' })
  for (const [code, call] of [
    ['ERR_OUT_OF_RANGE', () => from.msgRingSync(-1, {})],
    ['ERR_INVALID_ARG_TYPE', () => from.msgRingSync(to, null as never)],
    ['ERR_OUT_OF_RANGE', () => from.msgRingSync(to, { value: 2 ** 31 })],
    ['ERR_OUT_OF_RANGE', () => from.msgRingSync(to, { data: -1 })],
    ['ERR_OUT_OF_RANGE', () => from.msgRingSync(to, { tag: 65536 })],
  ] as const)
    assert.throws(call, { code })
  await to.close()
  assert.throws(() => from.msgRingSync(to, {}), { code: 'ERR_RING_CLOSED' })
})
