// Submitting and completing on a real ring of every kind: bytes and indices at each step, full queues, overflow, partial batches.
// Flow: this → ringcore/ring → kernel.

import assert from 'node:assert/strict'
import test from 'node:test'
import { Cqe, prepNop, Ring, type Sqe } from 'ringcore/ring'
import * as sys from 'ringcore/sys'
import { CTL } from '#src/sys/driver.js'
import { oracle } from './helpers.js'
import { forEachRingKind, takeCqes } from './ring-kinds.js'

function nop(ring: Ring, userData: number): Sqe {
  let sqe = ring.getSqe()
  // The SQPOLL thread posts CQEs before it gives the SQEs' slots back.
  if (sqe === null && ring.setupFlags & sys.IORING_SETUP_SQPOLL && ring.sqringWait() > 0) sqe = ring.getSqe()
  assert.ok(sqe, 'the SQ is full')
  prepNop(sqe)
  sqe.setUserData(userData)
  return sqe
}

/** Waits until the kernel has taken all that was submitted: the SQPOLL thread posts CQEs before it moves the head. */
function untilTaken(ring: Ring): void {
  const deadline = performance.now() + 10_000
  while (ring.sqReady() > 0 && performance.now() < deadline) ring.submit()
  assert.equal(ring.sqReady(), 0, 'the kernel took all entries')
}

/** The four words that both sides move. */
function indices(ring: Ring): { sqHead: number; sqTail: number; cqHead: number; cqTail: number } {
  const words = new Uint32Array(ring.memory.ring)
  const { sqHead, sqTail, cqHead, cqTail } = ring.geometry
  return {
    sqHead: words[sqHead / 4]!,
    sqTail: words[sqTail / 4]!,
    cqHead: words[cqHead / 4]!,
    cqTail: words[cqTail / 4]!,
  }
}

forEachRingKind('one NOP, step by step', {}, (_t, ring) => {
  const isSqpoll = (ring.setupFlags & sys.IORING_SETUP_SQPOLL) !== 0
  assert.deepEqual(indices(ring), { sqHead: 0, sqTail: 0, cqHead: 0, cqTail: 0 })
  assert.deepEqual([ring.sqReady(), ring.sqSpaceLeft(), ring.cqReady(), ring.inKernel], [0, 8, 0, 0])

  const sqe = nop(ring, 0x1234)
  assert.equal(sqe.words.length, ring.geometry.sqeBytes / 4)
  const slot = new Int32Array(ring.memory.sqes, ring.memory.sqesOffset, ring.geometry.sqeBytes / 4)
  assert.deepEqual([...slot.subarray(0, 12)], [0, -1, 0, 0, 0, 0, 0, 0, 0x1234, 0, 0, 0])
  assert.deepEqual([ring.sqReady(), ring.sqSpaceLeft()], [1, 7])
  assert.deepEqual(
    indices(ring),
    { sqHead: 0, sqTail: 0, cqHead: 0, cqTail: 0 },
    'nobody else knows of it yet',
  )

  assert.equal(ring.submitAndWait(1), 1)
  untilTaken(ring)
  assert.deepEqual(indices(ring), { sqHead: 1, sqTail: 1, cqHead: 0, cqTail: 1 })
  assert.deepEqual([ring.sqReady(), ring.cqReady()], [0, 1])
  assert.equal(ring.inKernel, 1, 'until its CQE is read')

  const cqe = ring.peekCqe()!
  assert.deepEqual([cqe.userData, cqe.userDataHigh, cqe.res, cqe.flags], [0x1234, 0, 0, 0])
  assert.equal(ring.cqReady(), 1, 'peeking takes nothing')
  ring.cqeSeen(cqe)
  assert.deepEqual(indices(ring), { sqHead: 1, sqTail: 1, cqHead: 1, cqTail: 1 })
  assert.deepEqual([ring.cqReady(), ring.inKernel, ring.peekCqe()], [0, 0, null])
  assert.equal(ring.submit(), 0, 'nothing to do')
  assert.equal(isSqpoll || ring.control[CTL.ENTERS]! >= 1, true)
})

forEachRingKind('many rounds through both queues', {}, (_t, ring) => {
  const target = new Int32Array(ring.cqeWords * ring.cqEntries)
  let next = 0
  let expected = 0
  for (let round = 0; round < 200; round++) {
    const count = 1 + (round % 8)
    // Or `nop` might wait for room, and what it publishes for that would not count as submitted below.
    untilTaken(ring)
    for (let i = 0; i < count; i++) nop(ring, next++)
    assert.equal(ring.submitAndWait(count), count)
    let seen = 0
    while (seen < count) {
      const copied = ring.copyCqes(target)
      for (let i = 0; i < copied; i++) assert.equal(target[i * ring.cqeWords], expected++)
      seen += copied
    }
  }
  assert.equal(expected, next)
  assert.equal(ring.inKernel, 0)
})

forEachRingKind('a full SQ gives null, and room after submit', {}, (_t, ring) => {
  for (let i = 0; i < 8; i++) nop(ring, i)
  assert.equal(ring.getSqe(), null)
  assert.equal(ring.sqSpaceLeft(), 0)
  assert.equal(ring.submitAndWait(8), 8)
  assert.ok(ring.sqringWait() > 0)
  nop(ring, 8)
  ring.submit()
  assert.deepEqual(
    takeCqes(ring, 9).map(([userData]) => userData),
    [0, 1, 2, 3, 4, 5, 6, 7, 8],
  )
})

forEachRingKind('a CQ of 16 takes 80 NOPs: overflow loses nothing and keeps the order', {}, (_t, ring) => {
  for (let i = 0; i < 80; ) {
    while (i < 80 && ring.sqSpaceLeft() > 0) nop(ring, i++)
    ring.submit()
    ring.sqringWait()
  }
  untilTaken(ring)
  assert.equal(ring.inKernel, 80)
  if (ring.setupFlags & sys.IORING_SETUP_DEFER_TASKRUN) ring.getEvents()
  assert.equal(ring.cqReady(), 16)
  assert.equal(ring.cqHasOverflow(), true)
  assert.deepEqual(
    takeCqes(ring, 80).map(([userData]) => userData),
    Array.from({ length: 80 }, (_, i) => i),
  )
  assert.equal(ring.cqHasOverflow(), false)
  assert.equal(ring.inKernel, 0)
})

forEachRingKind('a callback may submit, and what it submits comes with the next call', {}, (_t, ring) => {
  nop(ring, 1)
  ring.submitAndWait(1)
  const seen: number[] = []
  const callback = (userData: number): void => {
    seen.push(userData)
    if (userData < 5) {
      nop(ring, userData + 1)
      ring.submitAndWait(1)
    }
  }
  for (let i = 0; i < 5; i++) assert.equal(ring.forEachCqe(callback), 1)
  assert.deepEqual(seen, [1, 2, 3, 4, 5])
})

for (const submitAll of [false, true]) {
  test(`a bad SQE in the middle ${submitAll ? 'lets the batch go on' : 'stops the batch'}: submitAll ${submitAll}`, (t) => {
    oracle(t)
    const ring = new Ring({ entries: 8, submitAll })
    t.after(() => ring.close({ cancel: true }))
    for (let i = 0; i < 4; i++) nop(ring, i)
    nop(ring, 4)
    // SQE 1 gets an opcode that no kernel has.
    new Uint8Array(ring.memory.sqes)[ring.memory.sqesOffset + 64] = 250
    assert.equal(ring.submit(), submitAll ? 5 : 2)
    assert.equal(ring.sqReady(), submitAll ? 0 : 3, 'the rest stays queued')
    if (!submitAll) assert.equal(ring.submit(), 3)
    assert.deepEqual(
      takeCqes(ring, 5).map(([userData, res]) => [userData, res]),
      [
        [0, 0],
        [1, -22],
        [2, 0],
        [3, 0],
        [4, 0],
      ],
    )
  })
}

test('submitAndWait does not wait for CQEs of SQEs the kernel did not take', (t) => {
  oracle(t)
  const ring = new Ring({ entries: 8 })
  t.after(() => ring.close({ cancel: true }))
  nop(ring, 0)
  nop(ring, 1)
  nop(ring, 2)
  new Uint8Array(ring.memory.sqes)[ring.memory.sqesOffset] = 250
  assert.equal(ring.submitAndWait(3), 1)
  assert.equal(ring.submitAndWait(3), 2)
  assert.equal(takeCqes(ring, 3).length, 3)
})

test('SQE128 gives 128 bytes, other rings refuse', (t) => {
  oracle(t)
  const wide = new Ring({ entries: 4, sqe128: true })
  const sqe = wide.getSqe128()!
  assert.equal(sqe.words.byteLength, 128)
  sqe.words.fill(-1, 16)
  wide.submitAndWait(1)
  takeCqes(wide, 1)
  for (let i = 0; i < 3; i++) wide.getSqe128()
  assert.ok(
    wide.getSqe128()!.words.every((word) => word === 0),
    'all 128 bytes are cleared',
  )
  wide.close({ cancel: true })
  const narrow = new Ring({ entries: 4 })
  assert.throws(() => narrow.getSqe128(), { code: 'ERR_INVALID_ARG_VALUE', message: /sqe128 or sqeMixed/ })
  narrow.close()
})

// NOP with IORING_NOP_CQE32 posts a 32-byte CQE with off and addr in its extra words.
for (const options of [{ cqe32: true }, { cqeMixed: true }]) {
  test(`32-byte CQEs carry 16 bytes more: ${Object.keys(options)}`, (t) => {
    oracle(t)
    const ring = new Ring({ entries: 8, ...options })
    t.after(() => ring.close({ cancel: true }))
    const big = (userData: number): void => {
      const sqe = nop(ring, userData)
      sqe.words[7] = sys.IORING_NOP_CQE32
      sqe.words[2] = userData * 10 // off
      sqe.words[4] = userData * 100 // addr
    }
    // An odd number of slots per round: the pairs come to lie across the end of the ring, where padding must go.
    const seen: unknown[] = []
    const expected: unknown[] = []
    for (let round = 0; round < 40; round++) {
      const first = round * 3
      nop(ring, first)
      big(first + 1)
      big(first + 2)
      ring.submitAndWait(3)
      expected.push([first, 0, 0], [first + 1, first * 10 + 10, first * 100 + 100])
      expected.push([first + 2, first * 10 + 20, first * 100 + 200])
      const take = (userData: number, _high: number, _res: number, _flags: number, index: number): void => {
        const extra = ring.bigCqe(index)
        seen.push([userData, extra[0], extra[2]])
      }
      for (let count = 0; count < 3; ) {
        if (round % 2 === 0) count += ring.forEachCqe(take)
        else {
          const cqe = ring.waitCqe(new Cqe())
          seen.push([cqe.userData, cqe.big[0], cqe.big[2]])
          ring.cqeSeen(cqe)
          count++
        }
      }
    }
    assert.deepEqual(seen, expected)
    assert.equal(ring.inKernel, 0, 'padding and second halves are not operations')
  })
}

test('a resized ring keeps what is queued and what has completed', (t) => {
  oracle(t)
  const ring = new Ring({ entries: 4, singleIssuer: true, deferTaskrun: true })
  t.after(() => ring.close({ cancel: true }))
  try {
    ring.resizeRings(4, 8)
  } catch (error) {
    return t.skip(`this kernel can't resize rings: ${(error as Error).message}`)
  }
  for (let i = 0; i < 3; i++) nop(ring, i)
  ring.submit()
  ring.getEvents()
  for (let i = 3; i < 7; i++) nop(ring, i)
  ring.resizeRings(32, 128)
  assert.deepEqual([ring.sqEntries, ring.cqEntries, ring.sqReady(), ring.cqReady()], [32, 128, 4, 3])
  for (let i = 7; i < 32; i++) nop(ring, i)
  assert.deepEqual(
    takeCqes(ring, 32).map(([userData]) => userData),
    Array.from({ length: 32 }, (_, i) => i),
  )
  ring.resizeRings(2)
  nop(ring, 99)
  assert.deepEqual(takeCqes(ring, 1)[0], [99, 0, 0])
  assert.equal(ring.inKernel, 0)
  const other = new Ring({ entries: 4 })
  assert.throws(() => other.resizeRings(8), { code: 'ERR_INVALID_ARG_VALUE', message: /deferTaskrun/ })
  other.close()
})

test('unclaimed entries are free, and zero again', (t) => {
  oracle(t)
  const ring = new Ring({ entries: 8 })
  t.after(() => ring.close({ cancel: true }))
  const tail = ring.control[CTL.SQ_TAIL]!
  for (let i = 0; i < 3; i++) ring.getSqe()!.words.fill(-1)
  ring.unclaim(tail)
  assert.deepEqual([ring.sqReady(), ring.sqSpaceLeft()], [0, 8])
  for (let i = 0; i < 8; i++)
    assert.ok(
      ring.getSqe()!.words.every((word) => word === 0),
      `entry ${i}`,
    )
  assert.equal(ring.getSqe(), null)
  assert.equal(ring.submitAndWait(8), 8)
  assert.equal(
    ring.forEachCqe(() => {}),
    8,
  )
  // Entries that the kernel has used are zero when they come round again.
  for (let i = 0; i < 8; i++)
    assert.ok(
      ring.getSqe()!.words.every((word) => word === 0),
      `entry ${i} again`,
    )
})
