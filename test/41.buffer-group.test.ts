// A group of provided buffers that runs dry: when a request that starved is told to go on.
// Flow: this → BufferGroup → BufferRing.

import assert from 'node:assert/strict'
import test from 'node:test'
import { oracle, useRing } from './helpers.js'

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
