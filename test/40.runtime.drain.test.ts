// IOSQE_IO_DRAIN: a request that waits for all before it, while the loop has a request of its own in the ring.
// Flow: this → Uring → cancels.ts (beforeDrain) → kernel. man io_uring_enter(2)

import assert from 'node:assert/strict'
import { writeSync } from 'node:fs'
import { IOSQE_IO_DRAIN } from 'ringcore/sys'
import { pipe, withTimeout } from './helpers.js'
import { testKinds } from './uring.js'

testKinds('a drained operation comes after all before it and holds nobody up', async (t, ring) => {
  const { reader, writer } = pipe(t)
  // The thread sleeps in the ring: now the loop's own poll is in there, and would not end by itself.
  await ring.timeout(20)
  const order: string[] = []
  const note = (name: string) => () => void order.push(name)
  const all = Promise.all([
    ring.read(reader.fd, Buffer.alloc(1)).then(note('read')),
    ring.nop({ sqeFlags: IOSQE_IO_DRAIN }).then(note('drained')),
    ring.nop().then(note('after')),
  ])
  setTimeout(() => writeSync(writer.fd, 'x'), 30)
  await withTimeout(all, 2000, 'the drained operation and those behind it')
  assert.deepEqual(order, ['read', 'drained', 'after'])
  await withTimeout(ring.timeout(10), 2000, 'the ring goes on')
  assert.equal(ring.stats().waits, 'epoll')
})
