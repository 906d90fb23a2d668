// IOSQE_IO_DRAIN: a request that waits for all before it, while the loop has a request of its own in the ring.
// Flow: this → Uring → cancels.ts (beforeDrain) → kernel. man io_uring_enter(2)

import assert from 'node:assert/strict'
import { IOSQE_IO_DRAIN } from 'ringcore/sys'
import { withTimeout } from './helpers.js'
import { testKinds } from './uring.js'

testKinds('a drained operation comes after all before it and holds nobody up', async (_, ring) => {
  // The thread sleeps in the ring: now the loop's own poll is in there, and would not end by itself.
  await ring.timeout(20)
  const order: string[] = []
  const note = (name: string) => () => void order.push(name)
  const all = Promise.all([
    ring.timeout(30).then(note('timeout')),
    ring.nop({ sqeFlags: IOSQE_IO_DRAIN }).then(note('drained')),
    ring.nop().then(note('after')),
  ])
  await withTimeout(all, 2000, 'the drained operation and those behind it')
  assert.deepEqual(order, ['timeout', 'drained', 'after'])
  await withTimeout(ring.timeout(10), 2000, 'the ring goes on')
  assert.equal(ring.stats().waits, 'epoll')
})
