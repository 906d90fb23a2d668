// Futexes between threads and waiting for child processes by Uring.
// Flow: this → Uring (operations-process) → kernel, worker threads, children.

import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import test from 'node:test'
import { Worker } from 'node:worker_threads'
import * as sys from 'ringcore/sys'
import { openDriver } from '#src/sys/open-driver.js'
import { OwnedFd, oracle, requires, withTimeout } from './helpers.js'
import { failure, openUring, PACKAGE } from './uring.js'
import { call, opTest, refused, submitted } from './uring-ops.js'

const shared = (words = 4): Int32Array => new Int32Array(new SharedArrayBuffer(words * 4))

opTest('FUTEX_WAIT, FUTEX_WAKE', 'woken by count and by mask, refused, cancelled', async (_t, ring) => {
  const words = shared()
  assert.equal(await ring.futexWait(words, 1, 7), 'not-equal')
  words[1] = -7
  const first = ring.futexWait(words, 1, -7)
  const second = ring.futexWait(words, 1, -7)
  await submitted(ring)
  assert.equal(await ring.futexWake(words, 0), 0, 'another word')
  assert.equal(await ring.futexWake(words, 1, 1), 1)
  assert.equal(await withTimeout(first, 2000), 'ok')
  assert.equal(await ring.futexWake(words, 1), 1)
  assert.equal(await withTimeout(second, 2000), 'ok')

  const masked = ring.futexWait(words, 1, -7, { mask: 0b0110 })
  await submitted(ring)
  assert.equal(await ring.futexWake(words, 1, 1, { mask: 0b1000 }), 0)
  assert.equal(await ring.futexWake(words, 1, 1, { mask: 0b0100 }), 1)
  assert.equal(await masked, 'ok')

  const timed = await failure(ring.futexWait(words, 1, -7, { timeout: 5 }))
  assert.deepEqual([timed.code, timed.syscall], ['ETIMEDOUT', 'futex_wait'])
  const abort = new AbortController()
  const aborted = ring.futexWait(words, 1, -7, { signal: abort.signal })
  await submitted(ring)
  abort.abort()
  assert.equal((await failure(aborted)).name, 'AbortError')
  await refused(ring, [
    ['ERR_INVALID_ARG_TYPE', () => ring.futexWait(new Uint32Array(4) as never, 0, 0)],
    ['ERR_OUT_OF_RANGE', () => ring.futexWait(words, 4, 0)],
    ['ERR_OUT_OF_RANGE', () => ring.futexWait(words, -1, 0)],
    ['ERR_OUT_OF_RANGE', () => ring.futexWait(words, 0, 2 ** 31)],
    ['ERR_OUT_OF_RANGE', () => ring.futexWait(words, 0, 0, { mask: 0 })],
    ['ERR_OUT_OF_RANGE', () => ring.futexWake(words, 0, 0)],
    ['ERR_OUT_OF_RANGE', () => ring.futexWake(words, 0, 1, { mask: 2 ** 32 })],
    ['ERR_INVALID_ARG_TYPE', () => ring.futexWake(null as never, 0)],
  ])
})

opTest('FUTEX_WAITV, FUTEX_WAKE', 'several words: which one', async (_t, ring) => {
  const [a, b] = [shared(), shared()]
  const waiters = [
    { words: a, index: 0, value: 0 },
    { words: b, index: 3, value: 0 },
  ]
  const waiting = ring.futexWaitv(waiters)
  await submitted(ring)
  assert.equal(await ring.futexWake(b, 3), 1)
  assert.equal(await withTimeout(waiting, 2000), 1)
  a[0] = 1
  assert.equal(await ring.futexWaitv(waiters), -1)
  a[0] = 0
  const abort = new AbortController()
  const aborted = ring.futexWaitv(waiters, { signal: abort.signal })
  await submitted(ring)
  abort.abort()
  assert.equal((await failure(aborted)).name, 'AbortError')
  const one = { words: a, index: 0, value: 0 }
  await refused(ring, [
    ['ERR_INVALID_ARG_TYPE', () => ring.futexWaitv(one as never)],
    ['ERR_OUT_OF_RANGE', () => ring.futexWaitv([])],
    ['ERR_OUT_OF_RANGE', () => ring.futexWaitv(new Array(129).fill(one))],
    ['ERR_INVALID_ARG_TYPE', () => ring.futexWaitv([null as never])],
    ['ERR_OUT_OF_RANGE', () => ring.futexWaitv([{ ...one, index: 9 }])],
  ])
})

test('futexes between threads; Atomics.wait and notify are a world of their own', async (t) => {
  oracle(t)
  if (!requires(t, { op: 'IORING_OP_FUTEX_WAIT' })) return
  const ring = openUring(t)
  const words = shared()
  const worker = new Worker(
    `const { workerData: words, parentPort } = require('node:worker_threads')
    import('${PACKAGE}').then(async ({ Uring }) => {
      const ring = new Uring()
      parentPort.postMessage('ready')
      // A lock-step game: wait for odd, answer with even.
      for (let turn = 0; turn < 100; turn += 2) {
        while (Atomics.load(words, 0) === turn) await ring.futexWait(words, 0, turn)
        Atomics.store(words, 0, turn + 2)
        await ring.futexWake(words, 0)
      }
      parentPort.postMessage('woken ' + await ring.futexWait(words, 1, 0, { timeout: 150 }).catch((error) => error.code))
      parentPort.postMessage('waited ' + Atomics.wait(words, 2, 0, 150))
      await ring.close()
    })`,
    { eval: true, workerData: words },
  )
  const [ready] = await once(worker, 'message')
  assert.equal(ready, 'ready')
  for (let turn = 0; turn < 100; turn += 2) {
    Atomics.store(words, 0, turn + 1)
    await ring.futexWake(words, 0)
    while (Atomics.load(words, 0) === turn + 1) await ring.futexWait(words, 0, turn + 1)
  }
  const messages: string[] = []
  worker.on('message', (message) => messages.push(message))
  const knocking = setInterval(() => {
    assert.equal(Atomics.notify(words, 1), 0, 'notify does not see a futex')
    ring.futexWake(words, 2).then((count) => assert.equal(count, 0, 'a futex does not see Atomics.wait'))
  }, 20)
  await once(worker, 'exit')
  clearInterval(knocking)
  await ring.nop()
  assert.deepEqual(messages, ['woken ETIMEDOUT', 'waited timed-out'])
})

/** A child that libuv does not know of: a grandchild whose parent ends, while this process takes orphans in. */
function orphan(script: string): number {
  const PR_SET_CHILD_SUBREAPER = 36
  const prctl = process.arch === 'x64' ? 157 : 167
  assert.equal(openDriver().syscall(prctl, PR_SET_CHILD_SUBREAPER, 1), 0)
  return Number(execFileSync('sh', ['-c', `(${script}) >/dev/null 2>&1 & echo $!`], { encoding: 'utf8' }))
}

opTest('WAITID', 'exit codes, signals, stops; reaped only when asked', async (t, ring) => {
  const exits = orphan('sleep 0.02; exit 7')
  const result = { pid: exits, uid: process.getuid!(), what: 'exited', status: 7 }
  assert.deepEqual(await withTimeout(ring.waitid({ pid: exits }), 5000), result)
  assert.deepEqual(await ring.waitid({ pid: exits }, { options: sys.WEXITED }), result, 'still there')
  assert.equal((await failure(ring.waitid({ pid: exits }))).code, 'ECHILD', 'reaped')

  const sleeps = orphan('exec sleep 100')
  assert.equal(await ring.waitid({ pid: sleeps }, { options: sys.WEXITED | sys.WNOHANG }), null)
  const { fd } = new OwnedFd(t, call('pidfd_open', sleeps, 0))
  process.kill(sleeps, 'SIGSTOP')
  const stop = await withTimeout(ring.waitid({ pidfd: fd }, { options: sys.WSTOPPED }), 5000)
  assert.deepEqual([stop?.what, stop?.status], ['stopped', 19])
  const abort = new AbortController()
  const waiting = ring.waitid({ pid: sleeps }, { signal: abort.signal })
  await submitted(ring)
  abort.abort()
  assert.equal((await failure(waiting)).name, 'AbortError')
  const ending = ring.waitid({ pidfd: fd }, { options: sys.WEXITED })
  process.kill(sleeps, 'SIGKILL')
  const end = await withTimeout(ending, 5000)
  assert.deepEqual([end?.pid, end?.what, end?.status], [sleeps, 'killed', 9])
  await refused(ring, [
    ['ERR_INVALID_ARG_TYPE', () => ring.waitid(5 as never)],
    ['ERR_INVALID_ARG_VALUE', () => ring.waitid({} as never)],
    ['ERR_OUT_OF_RANGE', () => ring.waitid({ pid: 0 })],
    ['ERR_OUT_OF_RANGE', () => ring.waitid({ pidfd: -1 })],
    ['ERR_OUT_OF_RANGE', () => ring.waitid('all', { options: -1 })],
  ])
})

test("waitid does not take a child away from Node: its 'exit' comes", async (t) => {
  oracle(t)
  if (!requires(t, { op: 'IORING_OP_WAITID' })) return
  const ring = openUring(t)
  for (let i = 0; i < 10; i++) {
    const child = spawn('sh', ['-c', `exit ${i}`], { stdio: 'ignore' })
    const seen = ring.waitid({ pid: child.pid! }).catch((error) => error.code)
    assert.deepEqual(await once(child, 'exit'), [i, null])
    const result = await seen
    // Whoever is quicker: Node may have reaped it before the ring looked.
    assert.ok(result === 'ECHILD' || result.status === i, JSON.stringify(result))
  }
})
