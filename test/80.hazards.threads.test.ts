// Threads: terminated with I/O in flight, and rings in the hands of the wrong one.
// Flow: this → test/hazards/threads.ts in a process of its own, test/hazards/foreign-thread.ts → Uring, driver.
// Cases 27 and 46.

import assert from 'node:assert/strict'
import test from 'node:test'
import { Worker } from 'node:worker_threads'
import { Uring } from 'ringcore'
import { Ring } from 'ringcore/ring'
import { assertIdle, RINGS, runProgram, times, watch } from './hazards/common.js'
import { AS_INSTALLED, oracle, requires } from './helpers.js'
import { mountBadFs } from './tools.js'

const EEXIST = -17
const EINVAL = -22

test('27: a hundred rings of each kind whose threads are terminated with I/O in flight', async (t) => {
  oracle(t)
  const count = times(104, 1000)
  const answer = await runProgram('threads', 'terminate', '', {
    argument: String(count),
    timeoutMs: times(100_000, 1_200_000),
    env: AS_INSTALLED,
  })
  const { slowestMs, ...rest } = answer as { slowestMs: number }
  assert.deepEqual(rest, { corrupted: 0, terminated: count / 4 })
  t.diagnostic(`the slowest termination took ${slowestMs.toFixed(0)} ms`)
  assert.ok(slowestMs < 5000)
})

test('27: threads terminated while they make rings', async (t) => {
  oracle(t)
  const answer = await runProgram('threads', 'terminateMakers', '', {
    argument: String(times(8, 1000)),
    env: AS_INSTALLED,
  })
  t.diagnostic(`${(answer as { orphans: number }).orphans} descriptors without an owner`)
})

test('27: threads terminated with reads of a slow disk: they end when the disk has answered', async (t) => {
  if (!requires(t, { root: true })) return
  oracle(t)
  const slow = await mountBadFs(t, 65536)
  if ('skip' in slow) return t.skip(slow.skip)
  slow.set({ direct: 1, rdelay: 300 })
  const answer = await runProgram('threads', 'terminate', '', {
    argument: `12,${slow.file}`,
    env: AS_INSTALLED,
  })
  const { corrupted, terminated, slowestMs } = answer as Record<string, number>
  assert.deepEqual([corrupted, terminated], [0, 3])
  assert.ok(slowestMs! > 150, `terminated after ${slowestMs} ms, before the disk had answered`)
})

test('46: a ring can not be cloned or sent; its fd and handle are useless in another thread', async (t) => {
  oracle(t)
  for (const kind of ['waiting in the ring', 'waiting in epoll']) {
    const ring = new Uring(RINGS[kind])
    const watched = watch(ring)
    const pending = ring.timeout(50)
    let clone: unknown = null
    try {
      clone = structuredClone(ring)
    } catch (error) {
      assert.equal((error as Error).name, 'DataCloneError')
    }
    const worker = new Worker(new URL('./hazards/foreign-thread.js', import.meta.url))
    const answer = new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
    worker.postMessage({ fd: ring.ring.fd, handle: ring.ring.handle, clone })
    assert.deepEqual(await answer, {
      submit: EEXIST,
      wait: EEXIST,
      register: EEXIST,
      turn: EINVAL,
      detach: EINVAL,
      activate: EINVAL,
      methods: 'undefined',
    })
    await worker.terminate()
    await pending
    await assertIdle(ring, watched)
  }
})

test('46: what a clone of a Ring keeps is no ring', (t) => {
  oracle(t)
  using ring = new Ring({ entries: 8 })
  let clone: object
  try {
    clone = structuredClone(ring)
  } catch (error) {
    assert.equal((error as Error).name, 'DataCloneError')
    return
  }
  assert.ok(!(clone instanceof Ring))
  assert.equal((clone as { submit?: unknown }).submit, undefined)
})
