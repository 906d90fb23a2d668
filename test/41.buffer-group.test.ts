// Groups of provided buffers that run dry: when a request that starved is told to go on. And that close: when their memory goes.
// Flow: this → BufferGroup → BufferRing.

import assert from 'node:assert/strict'
import { readFileSync, writeSync } from 'node:fs'
import test from 'node:test'
import { Uring } from 'ringcore'
import { openDriver } from '#src/sys/open-driver.js'
import { collectGarbage, oracle, runNode, socketPair, useRing } from './helpers.js'
import { failure } from './uring.js'

const BUFFER = 1 // IORING_CQE_F_BUFFER

test('a request that starved goes on at once when buffers came back before it was heard, else at the next release', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const group = ring.bufferGroup({ entries: 2, bufferBytes: 16 })
  const take = (bid: number) => group.take(1, BUFFER | (bid << 16))!
  const [first, second] = [take(0), take(1)]
  let calls = 0
  const again = (): void => void calls++
  group.onRelease(again)
  await null
  assert.equal(calls, 0, 'the kernel has no buffer')
  first.release()
  assert.equal(calls, 1)
  // One is lent for good, but the kernel has one: nobody else would ever call.
  group.onRelease(again)
  await null
  assert.equal(calls, 2)
  second.release()
  group.close()
})

test('a completion of nothing gives its buffer back at once', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const group = ring.bufferGroup({ entries: 2, bufferBytes: 16 })
  for (let round = 0; round < 5; round++) {
    assert.equal(group.take(0, BUFFER | ((round % 2) << 16)), undefined)
    assert.equal(group.take(0, 0), undefined, 'without a buffer')
    assert.equal(group.lent, 0)
  }
  const chunk = group.take(3, BUFFER)!
  assert.deepEqual([group.lent, chunk.bytes.length], [1, 3])
  chunk.release()
  group.close()
})

/** Bytes of address space: memory that nobody touched counts too. */
const mapped = (): number => Number(readFileSync('/proc/self/statm', 'utf8').split(' ')[0]) * 4096

test('closed groups give their memory and their ids back while the ring lives', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const make = [
    () => ring.bufferGroup({ entries: 4, bufferBytes: 1 << 24 }),
    () => ring.bufferGroup({ entries: 4, bufferBytes: 1 << 24, mapped: true }),
    () => ring.sendGroup({ entries: 4, bufferBytes: 1 << 24 }),
    () => ring.sendGroup({ entries: 4, bufferBytes: 1 << 24, mapped: true }),
  ]
  for (const one of make) one().close()
  await collectGarbage()
  const before = mapped()
  // Something of the ring's is in flight all the time.
  const minute = new AbortController()
  const pending = failure(ring.timeout(60_000, { signal: minute.signal }))
  await ring.nop()
  const ids = new Set<number>()
  for (let i = 0; i < 32; i++) {
    const group = make[i % make.length]!()
    ids.add(group.id)
    group.close()
  }
  await collectGarbage()
  assert.ok(mapped() - before < 1 << 29, `${(mapped() - before) >> 20} MiB of 2048 are left`)
  assert.equal(ids.size, 1)
  minute.abort()
  await pending
})

test('a group that is closed under a waiting request keeps its memory and its id until that has ended', async (t) => {
  oracle(t)
  const real = openDriver()
  const gone: ArrayBuffer[] = []
  const letGo: typeof real.letGo = (handle, memory) => {
    gone.push(memory)
    return real.letGo(handle, memory)
  }
  const ring = useRing(t, { driver: { ...real, letGo } })
  const [here, there] = socketPair(t)
  const group = ring.bufferGroup({ entries: 2, bufferBytes: 64 })
  const iteration = ring.recvMultishot(here.fd, group)
  const first = iteration.next()
  await ring.nop()
  group.close()
  group.close()
  const other = ring.bufferGroup({ entries: 2, bufferBytes: 64 })
  assert.notEqual(other.id, group.id)
  other.close()
  const before = gone.length
  await ring.nop()
  assert.equal(gone.length, before, 'the request may still know the memory')
  writeSync(there.fd, 'x')
  const error = await failure(first)
  assert.deepEqual([error.code, /closed/.test(error.message)], ['ERR_INVALID_STATE', true])
  assert.equal(gone.length, before + 1)
  const next = [
    ring.bufferGroup({ entries: 1, bufferBytes: 64 }),
    ring.bufferGroup({ entries: 1, bufferBytes: 64 }),
  ]
  assert.deepEqual(next.map(({ id }) => id).sort(), [group.id, other.id].sort())
  for (const one of next) one.close()
  // Nothing begins on a closed group.
  for (const begin of [
    () => ring.recvMultishot(here.fd, group),
    () => ring.readMultishot(here.fd, group),
    () => ring.recvmsgMultishot(here.fd, group),
    () => ring.recvBundle(here.fd, group),
  ])
    assert.throws(begin, { code: 'ERR_INVALID_STATE', message: /closed/ })
})

test('what a request had begun to receive when its group was closed is handed out', (t) => {
  oracle(t)
  const ring = useRing(t)
  for (const incremental of [false, true]) {
    const group = ring.bufferGroup({ entries: 2, bufferBytes: 16, incremental })
    group.close()
    const chunk = group.take(3, BUFFER)!
    assert.deepEqual([chunk.bytes.length, group.lent], [3, 1])
    chunk.release()
    assert.equal(group.copy(2, BUFFER | (1 << 16)).length, 2)
    assert.equal(group.lent, 0)
  }
})

test('a closed group of a ring that ends', async (t) => {
  oracle(t)
  const ring = new Uring()
  const group = ring.bufferGroup({ entries: 2, bufferBytes: 64 })
  const [here] = socketPair(t)
  const next = failure(ring.recvMultishot(here.fd, group).next())
  await ring.nop()
  group.close()
  await ring.close()
  assert.equal((await next).code, 'ERR_RING_CLOSED')
  const late = new Uring()
  const open = late.bufferGroup({ entries: 2, bufferBytes: 64 })
  await late.close()
  open.close()
})

test('memory for copies: the lesson for the allocator is asked for once, and may fail', async (t) => {
  oracle(t)
  const { stdout, stderr } = await runNode(`
    import { heapBuffer } from '#src/runtime/heap-buffer.js'
    const { allocUnsafeSlow } = Buffer
    let lessons = 0
    Buffer.allocUnsafeSlow = (bytes) => {
      if (bytes < 1e6) return allocUnsafeSlow(bytes)
      lessons++
      throw new RangeError('no room')
    }
    console.log([100, 5000, 70_000].map((bytes) => heapBuffer(bytes).length).join(), lessons)
  `)
  assert.deepEqual([stdout, stderr], ['100,5000,70000 1\n', ''])
})
