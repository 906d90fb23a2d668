// Waiting: until enough CQEs are there, until the time is over, with a least time, across signals, for the SQPOLL thread.
// Flow: this → ringcore/ring → kernel.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { writeSync } from 'node:fs'
import { constants } from 'node:os'
import test, { type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  prepNop,
  prepRead,
  prepTimeout,
  type RegisteredWait,
  RegisteredWaits,
  Ring,
  type RingOptions,
} from 'ringcore/ring'
import * as sys from 'ringcore/sys'
import { CTL } from '#src/sys/driver.js'
import { oracle, pipe, runNode, until } from './helpers.js'
import { forEachRingKind, takeCqes } from './ring-kinds.js'

/** Memory that the kernel reads and writes in these tests; held for the life of the file. */
const held: ArrayBufferView[] = []

function open(t: TestContext, options: RingOptions = {}): Ring {
  oracle(t)
  const ring = new Ring({ entries: 8, ...options })
  t.after(() => ring.close({ cancel: true }))
  return ring
}

function addressOf(ring: Ring, view: ArrayBufferView): number {
  held.push(view)
  return ring.driver.addressOf(view)
}

/** Queues a timeout that completes with -ETIME after `ms`. */
function timer(ring: Ring, ms: number, userData = 1): void {
  const sqe = ring.getSqe()!
  prepTimeout(sqe, addressOf(ring, BigInt64Array.of(0n, BigInt(ms) * 1000000n)), 0, 0)
  sqe.setUserData(userData)
}

const elapsed = (from: number): number => performance.now() - from

forEachRingKind('waiting ends with the CQE or with the time', {}, (_t, ring) => {
  let start = performance.now()
  assert.equal(ring.submitAndWaitTimeout(1, { timeoutMs: 30 }), 0)
  assert.ok(elapsed(start) >= 29, `waited ${elapsed(start)} ms`)
  assert.equal(ring.cqReady(), 0)
  assert.equal(ring.waitCqeTimeout(10), null)

  timer(ring, 20)
  start = performance.now()
  assert.equal(ring.submitAndWaitTimeout(1, { timeoutMs: 5000 }), 1)
  assert.ok(elapsed(start) >= 19 && elapsed(start) < 2000, `waited ${elapsed(start)} ms`)
  const cqe = ring.waitCqe()
  assert.deepEqual([cqe.userData, cqe.res], [1, -62])
  ring.cqeSeen(cqe)

  timer(ring, 10, 2)
  timer(ring, 30, 3)
  start = performance.now()
  ring.submitAndWait(2)
  assert.ok(elapsed(start) >= 29)
  assert.equal(ring.waitCqeNr(2).userData, 2)
  assert.equal(takeCqes(ring, 2)[1]![0], 3)
})

test('the time counts in nanoseconds too, and 0 only looks', (t) => {
  const ring = open(t)
  const start = performance.now()
  ring.submitAndWaitTimeout(1, { timeoutNs: 5_000_000 })
  assert.ok(elapsed(start) >= 4.9)
  ring.submitAndWaitTimeout(1, { timeoutMs: 0 })
  assert.ok(elapsed(start) < 1000)
  prepNop(ring.getSqe()!)
  assert.equal(ring.submitAndWaitTimeout(1, { timeoutMs: 0 }), 1)
  assert.equal(ring.cqReady(), 1)
})

test('a least waiting time gathers, and one CQE is enough after it', (t) => {
  const ring = open(t)
  if (!(ring.features & sys.IORING_FEAT_MIN_TIMEOUT)) {
    assert.throws(() => ring.submitAndWaitTimeout(1, { minWaitUs: 1 }), { code: 'ERR_RING_FEATURE' })
    return t.skip('this kernel does not have IORING_FEAT_MIN_TIMEOUT')
  }
  // Not a timeout request: those always end the kernel's wait.
  prepNop(ring.getSqe()!)
  const start = performance.now()
  ring.submitAndWaitTimeout(4, { timeoutMs: 3000, minWaitUs: 60_000 })
  assert.ok(elapsed(start) >= 55 && elapsed(start) < 1500, `waited ${elapsed(start)} ms`)
  assert.equal(ring.cqReady(), 1)
  takeCqes(ring, 1)
})

test('a signal does not end a wait', async () => {
  // The child blocks its thread in the ring; the parent's signals must neither end the wait nor be lost.
  const script = `
    import { Ring, prepTimeout } from 'ringcore/ring'
    const ring = new Ring({ entries: 4 })
    process.on('SIGUSR1', () => {})
    process.on('SIGUSR2', () => console.log('signal arrived'))
    const ts = BigInt64Array.of(0n, 300000000n)
    const at = ring.driver.addressOf(ts)
    setTimeout(() => {}, 100)
    const { spawn } = await import('node:child_process')
    const killer = spawn('sh', ['-c', 'for i in 1 2 3 4 5 6 7 8; do kill -USR1 ' + process.pid + '; sleep 0.02; done; kill -USR2 ' + process.pid])
    const start = performance.now()
    const sqe = ring.getSqe()
    prepTimeout(sqe, at, 0, 0)
    console.log('took', ring.submitAndWait(1))
    console.log(performance.now() - start >= 299 ? 'waited' : 'ended early')
    sqe && prepTimeout(ring.getSqe(), at, 0, 0)
    ring.submitAndWaitTimeout(2, { timeoutMs: 5000 })
    console.log('cqes', ring.cqReady(), ts[1] === 300000000n)
    ring.forEachCqe(() => {})
    ring.close()
    await new Promise((done) => killer.on('close', done))
    await new Promise((done) => setTimeout(done, 50))
  `
  const { stdout, stderr, code } = await runNode(script)
  assert.equal(stderr, '')
  assert.deepEqual(
    [stdout.trim().split('\n').sort(), code],
    [['cqes 2 true', 'signal arrived', 'took 1', 'waited'], 0],
  )
})

test('signals of the mask stay blocked during the wait', (t) => {
  const ring = open(t)
  ring.submitAndWaitTimeout(1, { timeoutMs: 5, sigmask: [10, 12, 64] })
  assert.throws(() => ring.submitAndWaitTimeout(1, { timeoutMs: 5, sigmask: [65] }), {
    code: 'ERR_OUT_OF_RANGE',
  })
})

test('the SQPOLL thread is woken after it fell asleep, and submitting to an awake one enters nothing', async (t) => {
  const ring = open(t, { sqpoll: true, sqThreadIdleMs: 20 })
  const flags = (): number => new Int32Array(ring.memory.ring)[ring.geometry.sqFlags / 4]!
  for (let round = 0; round < 5; round++) {
    const deadline = performance.now() + 3000
    while (!(flags() & sys.IORING_SQ_NEED_WAKEUP) && performance.now() < deadline) await sleep(5)
    assert.ok(flags() & sys.IORING_SQ_NEED_WAKEUP, 'the thread sleeps')
    prepNop(ring.getSqe()!)
    assert.equal(ring.submit(), 1)
    takeCqes(ring, 1)
  }
  // Right after a wake-up it is awake: not every submit may enter.
  const before = ring.control[CTL.ENTERS]!
  for (let i = 0; i < 200; i++) {
    prepNop(ring.getSqe()!)
    ring.submit()
    while (ring.forEachCqe(() => {}) === 0);
  }
  const enters = ring.control[CTL.ENTERS]! - before
  assert.ok(enters < 150, `${enters} enters for 200 submits`)
})

test('a full SQPOLL ring waits for room', (t) => {
  const ring = open(t, { entries: 2, cqEntries: 1024, sqpoll: true, sqThreadIdleMs: 50 })
  for (let i = 0; i < 500; i++) {
    let sqe = ring.getSqe()
    while (sqe === null) {
      ring.submit()
      assert.ok(ring.sqringWait() >= 0)
      sqe = ring.getSqe()
    }
    prepNop(sqe)
    sqe.setUserData(i)
  }
  assert.deepEqual(
    takeCqes(ring, 500).map(([userData]) => userData),
    Array.from({ length: 500 }, (_, i) => i),
  )
})

test('DEFER_TASKRUN: looking is enough, no wait is needed to see a completion', (t) => {
  const ring = open(t, { singleIssuer: true, deferTaskrun: true })
  const { reader, writer } = pipe(t)
  const buffer = new Uint8Array(16)
  const sqe = ring.getSqe()!
  prepRead(sqe, reader.fd, addressOf(ring, buffer), 16, 0)
  ring.submit()
  assert.equal(ring.peekCqe(), null)
  writeSync(writer.fd, 'late')
  assert.equal(ring.peekCqe()!.res, 4)
  assert.equal(
    ring.forEachCqe(() => {}),
    1,
  )
})

test('a registered ring fd serves every call', (t) => {
  const ring = open(t)
  const index = ring.registerRingFd()
  assert.ok(index >= 0 && index < 16)
  prepNop(ring.getSqe()!)
  assert.equal(ring.submitAndWait(1), 1)
  takeCqes(ring, 1)
  assert.ok(ring.registerProbe().supported(0))
  assert.throws(() => ring.registerRingFd(), { code: 'ERR_INVALID_ARG_VALUE' })
  ring.unregisterRingFd()
  prepNop(ring.getSqe()!)
  takeCqes(ring, 1)
  ring.registerRingFd()
})

test('a wait reads its arguments from a registered region', (t) => {
  const ring = open(t, { rDisabled: true })
  if (!(ring.features & sys.IORING_FEAT_MIN_TIMEOUT)) return t.skip('needs a kernel with MEM_REGION (6.13)')
  const memory = ring.driver.map(-1, 4096, 0)
  assert.ok(typeof memory !== 'number')
  ring.registerRegion(memory)
  ring.enableRings()
  const words = new Int32Array(memory)
  // Entry 1: ts { 0 s, 20 ms }, min_wait 0, flags TS.
  words[16 + 2] = 20_000_000
  words[16 + 5] = sys.IORING_REG_WAIT_TS
  const start = performance.now()
  assert.equal(ring.submitAndWaitReg(1, 1), -62)
  assert.ok(elapsed(start) >= 19)
  prepNop(ring.getSqe()!)
  assert.equal(ring.submitAndWaitReg(1, 1), 1)
  takeCqes(ring, 1)
})

test('registered waits: each entry its own, set anew, given back', (t) => {
  const ring = open(t, { rDisabled: true })
  if (!(ring.features & sys.IORING_FEAT_MIN_TIMEOUT)) return t.skip('needs a kernel with MEM_REGION (6.13)')
  const waits = new RegisteredWaits(ring, { entries: 3 })
  ring.enableRings()
  const waited = (wait: RegisteredWait): [result: number, ms: number] => {
    const start = performance.now()
    return [ring.submitAndWaitReg(1, wait.index), elapsed(start)]
  }
  const all = Array.from({ length: waits.capacity }, () => waits.add({ timeoutMs: 0 }))
  assert.ok(waits.capacity >= 3)
  assert.equal(new Set(all.map(({ index }) => index)).size, waits.capacity)
  assert.throws(() => waits.add(), { code: 'ERR_INVALID_STATE', message: /all \d+ are taken/ })
  const [first, last] = [all[0]!, all.at(-1)!]
  last.set({ timeoutNs: 20_000_000 })
  first.set({ timeoutMs: 5 })
  for (const [wait, ms] of [
    [last, 20],
    [first, 5],
  ] as const) {
    const [result, took] = waited(wait)
    assert.equal(result, -62)
    assert.ok(took >= ms - 1, `${took} ms of ${ms}`)
  }
  // Without an end: a CQE ends it. With a least time: one CQE is enough after it.
  for (const options of [{}, { timeoutMs: 10_000, minWaitUs: 10_000 }]) {
    last.set(options)
    prepNop(ring.getSqe()!)
    const start = performance.now()
    assert.equal(ring.submitAndWaitReg('minWaitUs' in options ? 2 : 1, last.index), 1)
    assert.ok(elapsed(start) < 9000)
    takeCqes(ring, 1)
  }
  assert.equal(waits.available, 0)
  first.free()
  first.free()
  assert.equal(waits.available, 1)
  assert.throws(() => first.set({ timeoutMs: 1 }), { code: 'ERR_INVALID_STATE' })
  assert.equal(waits.add().index, first.index)
  for (const options of [
    { timeoutMs: -1 },
    { timeoutNs: Number.NaN },
    { minWaitUs: 2 ** 32 },
    { sigmask: [0] },
  ])
    assert.throws(() => last.set(options), { code: 'ERR_OUT_OF_RANGE' })
  assert.throws(() => last.set({ timeoutMs: 1, timeoutNs: 1 }), { code: 'ERR_INVALID_ARG_VALUE' })
})

test('registered waits: signals of the mask stay blocked', async (t) => {
  const ring = open(t, { rDisabled: true })
  if (!(ring.features & sys.IORING_FEAT_MIN_TIMEOUT)) return t.skip('needs a kernel with MEM_REGION (6.13)')
  const waits = new RegisteredWaits(ring)
  ring.enableRings()
  const masked = waits.add({ timeoutMs: 150, sigmask: [constants.signals.SIGWINCH] })
  const open10 = waits.add({ timeoutMs: 10_000 })
  let seen = 0
  const count = (): void => void seen++
  process.on('SIGWINCH', count)
  t.after(() => process.off('SIGWINCH', count))
  const script = `while kill -WINCH ${process.pid}; do sleep 0.01; done`
  const killer = spawn('sh', ['-c', script], { stdio: 'ignore' })
  t.after(() => killer.kill())
  await until(() => seen > 0, 5000, 'the first signal')
  const start = performance.now()
  assert.equal(ring.submitAndWaitReg(1, masked.index), -62)
  assert.ok(elapsed(start) >= 149, `${elapsed(start)} ms`)
  assert.equal(ring.submitAndWaitReg(1, open10.index), 0)
  assert.ok(elapsed(start) < 9000, 'a signal ends the wait that does not block it')
})

test('registered waits: what a region can’t be made of', (t) => {
  const ring = open(t)
  if (!(ring.features & sys.IORING_FEAT_MIN_TIMEOUT)) return t.skip('needs a kernel with MEM_REGION (6.13)')
  assert.throws(() => new RegisteredWaits(ring), { message: /rDisabled/, code: 'ERR_INVALID_STATE' })
  const disabled = new Ring({ entries: 2, rDisabled: true })
  t.after(() => disabled.close())
  for (const [code, options] of [
    ['ERR_INVALID_ARG_TYPE', null],
    ['ERR_INVALID_ARG_TYPE', { entries: '1' }],
    ['ERR_OUT_OF_RANGE', { entries: 0 }],
    ['ERR_OUT_OF_RANGE', { entries: 16385 }],
  ] as const)
    assert.throws(() => new RegisteredWaits(disabled, options as never), { code })
  const most = new RegisteredWaits(disabled, { entries: 16384 })
  assert.ok(most.capacity >= 16384)
  assert.throws(() => new RegisteredWaits(disabled), { code: 'EBUSY' })
})

test('arguments of waits are checked before anything is submitted', (t) => {
  const ring = open(t)
  prepNop(ring.getSqe()!)
  const calls: [() => unknown, string][] = [
    [() => ring.submitAndWait(-1), 'ERR_OUT_OF_RANGE'],
    [() => ring.submitAndWait(2 ** 32), 'ERR_OUT_OF_RANGE'],
    [() => ring.submitAndWait('1' as never), 'ERR_INVALID_ARG_TYPE'],
    [() => ring.submitAndWaitTimeout(1, { timeoutMs: -1 }), 'ERR_OUT_OF_RANGE'],
    [() => ring.submitAndWaitTimeout(1, { timeoutMs: Number.NaN }), 'ERR_OUT_OF_RANGE'],
    [() => ring.submitAndWaitTimeout(1, { timeoutNs: '5' as never }), 'ERR_INVALID_ARG_TYPE'],
    [() => ring.submitAndWaitTimeout(1, { timeoutMs: 1, timeoutNs: 1 }), 'ERR_INVALID_ARG_VALUE'],
    [() => ring.submitAndWaitTimeout(1, { minWaitUs: -1 }), 'ERR_OUT_OF_RANGE'],
    [() => ring.waitCqes(0), 'ERR_OUT_OF_RANGE'],
    [() => ring.cqAdvance(1), 'ERR_OUT_OF_RANGE'],
    [() => ring.cqeSeen({} as never), 'ERR_INVALID_ARG_TYPE'],
    [() => ring.forEachCqe(1 as never), 'ERR_INVALID_ARG_TYPE'],
    [() => ring.copyCqes([] as never), 'ERR_INVALID_ARG_TYPE'],
  ]
  for (const [call, code] of calls) assert.throws(call, { code }, String(call))
  assert.equal(ring.sqReady(), 1)
})
