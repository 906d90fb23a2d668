// The two queues over plain memory: every index near 2^32, padding, 32-byte CQEs, what is counted as ended.
// Flow: this → ring/submission-queue, ring/completion-queue; the test plays the kernel.

import assert from 'node:assert/strict'
import test from 'node:test'
import { Cqe, SQE } from 'ringcore/ring'
import * as sys from 'ringcore/sys'
import { CompletionQueue } from '#src/ring/completion-queue.js'
import { SubmissionQueue } from '#src/ring/submission-queue.js'
import { CTL } from '#src/sys/driver.js'

const ENTRIES = 8
// Words of the pretended ring.
const W = {
  SQ_HEAD: 0,
  SQ_TAIL: 1,
  CQ_HEAD: 2,
  CQ_TAIL: 3,
  FLAGS: 4,
  DROPPED: 5,
  CQ_FLAGS: 6,
  OVERFLOW: 7,
  CQES: 16,
}

/** Starts shortly before the counters wrap, so that each test passes 2^32. */
const STARTS = [0, 2 ** 32 - 3, 2 ** 31 - 3]

function makeSq(start: number, options: { mixed?: boolean; sqArray?: number } = {}) {
  const words = new Int32Array(256)
  words[W.SQ_HEAD] = start
  words[W.SQ_TAIL] = start
  const control = new Int32Array(CTL.WORDS)
  const sqes = new ArrayBuffer(ENTRIES * 64)
  const sq = new SubmissionQueue(
    {
      ring: words.buffer,
      sqes,
      sqesOffset: 0,
      sqEntries: ENTRIES,
      sqeBytes: 64,
      sqHead: W.SQ_HEAD * 4,
      sqTail: W.SQ_TAIL * 4,
      sqFlags: W.FLAGS * 4,
      sqDropped: W.DROPPED * 4,
      sqArray: options.sqArray ?? 0,
      mixed: options.mixed ?? false,
    },
    control,
  )
  return { words, control, sq, sqes: new Int32Array(sqes) }
}

for (const start of STARTS) {
  test(`the SQ hands out slots in order and stops when full, from ${start}`, () => {
    const { words, control, sq, sqes } = makeSq(start)
    assert.equal(control[CTL.SQ_TAIL]! >>> 0, start, 'it goes on where the kernel is')
    for (let round = 0; round < 5; round++) {
      const first = words[W.SQ_HEAD]! >>> 0
      for (let i = 0; i < ENTRIES; i++) {
        const sqe = sq.claim()!
        assert.equal(sqe.words.byteOffset, ((first + i) & (ENTRIES - 1)) * 64)
        sqe.setUserData(round * ENTRIES + i + 1)
        assert.equal(sq.spaceLeft, ENTRIES - i - 1)
      }
      assert.equal(sq.claim(), null)
      assert.equal(words[W.SQ_TAIL]! >>> 0, first, 'claimed is not published')
      assert.equal(sq.unpublished, ENTRIES)
      assert.equal(sq.publish(), ENTRIES)
      assert.equal(words[W.SQ_TAIL]! >>> 0, (first + ENTRIES) % 2 ** 32)
      assert.deepEqual([sq.unpublished, sq.unconsumed, sq.ready], [0, ENTRIES, ENTRIES])
      assert.equal(sq.claim(), null, 'published is not consumed')
      // The kernel takes three, then the rest.
      words[W.SQ_HEAD] = first + 3
      assert.equal(sq.spaceLeft, 3)
      assert.equal(sq.publish(), ENTRIES - 3)
      words[W.SQ_HEAD] = first + ENTRIES
      assert.equal(sq.ready, 0)
    }
    assert.ok(sqes.some((word) => word !== 0))
    sq.claim()
    const slot = ((words[W.SQ_HEAD]! >>> 0) & (ENTRIES - 1)) * 16
    assert.deepEqual([...sqes.subarray(slot, slot + 16)], new Array(16).fill(0), 'an old SQE is cleared')
  })

  test(`a tail that somebody else moved is not overwritten, from ${start}`, () => {
    const { control, sq } = makeSq(start)
    const first = sq.claim()!
    control[CTL.SQ_TAIL]! += 1 // the native loop claims its own poll
    const third = sq.claim()!
    const distance = (third.words.byteOffset - first.words.byteOffset) / 64
    assert.equal((distance + ENTRIES) % ENTRIES, 2)
    assert.equal(sq.publish(), 3)
  })

  test(`a 128-byte SQE takes two slots and does not wrap, from ${start}`, () => {
    const { words, control, sq, sqes } = makeSq(start, { mixed: true })
    while (((control[CTL.SQ_TAIL]! >>> 0) & (ENTRIES - 1)) !== ENTRIES - 1) {
      sq.claim()
      sq.publish()
      words[W.SQ_HEAD] = words[W.SQ_TAIL]!
    }
    const before = control[CTL.MORE_SEEN]!
    const wide = sq.claim128()!
    assert.deepEqual([wide.words.length, wide.words.byteOffset], [32, 0])
    const padding = sqes[(ENTRIES - 1) * 16 + SQE.OPCODE]!
    assert.equal(
      padding,
      sys.IORING_OP_NOP | (sys.IOSQE_CQE_SKIP_SUCCESS << 8),
      'the last slot is a skipped NOP',
    )
    assert.equal(sq.publish(), 3)
    assert.equal(control[CTL.MORE_SEEN]! - before, -2, 'three slots, one CQE')
    for (let i = 0; i < ENTRIES - 3 - 1; i++) assert.ok(sq.claim())
    assert.equal(sq.claim128(), null, 'one slot is not enough')
    assert.ok(sq.claim())
  })

  test(`what was not consumed can be taken back, from ${start}`, () => {
    const { words, sq } = makeSq(start)
    for (let i = 0; i < 5; i++) sq.claim()
    sq.publish()
    words[W.SQ_HEAD] = start + 2
    sq.claim()
    assert.equal(sq.discard(true), 1, 'with SQPOLL what is published stays')
    assert.equal(sq.discard(false), 3)
    assert.deepEqual([sq.ready, words[W.SQ_TAIL]! >>> 0], [0, (start + 2) % 2 ** 32])
  })
}

test('the index array is written once, with each slot its own', () => {
  const { words } = makeSq(0, { sqArray: 100 * 4 })
  assert.deepEqual([...words.subarray(100, 100 + ENTRIES)], [0, 1, 2, 3, 4, 5, 6, 7])
  const without = makeSq(0)
  assert.ok(without.words.every((word) => word === 0))
})

/** A completion queue, and the kernel's side of it. */
function makeCq(start: number, options: { mixed?: boolean; big?: boolean } = {}) {
  const words = new Int32Array(256)
  words[W.CQ_HEAD] = start
  words[W.CQ_TAIL] = start
  const control = new Int32Array(CTL.WORDS)
  const slotWords = options.big ? 8 : 4
  const cq = new CompletionQueue(
    {
      ring: words.buffer,
      cqEntries: ENTRIES,
      cqeBytes: options.big ? 32 : 16,
      cqHead: W.CQ_HEAD * 4,
      cqTail: W.CQ_TAIL * 4,
      cqOverflow: W.OVERFLOW * 4,
      cqFlags: W.CQ_FLAGS * 4,
      cqes: W.CQES * 4,
      mixed: options.mixed ?? false,
    },
    control,
  )
  const post = (userData: number, res: number, flags = 0, big?: number[]): void => {
    const tail = words[W.CQ_TAIL]! >>> 0
    words.set([userData, 0x7fffffff, res, flags], W.CQES + (tail & (ENTRIES - 1)) * slotWords)
    if (big) words.set(big, W.CQES + (tail & (ENTRIES - 1)) * slotWords + 4)
    words[W.CQ_TAIL] = tail + (flags & sys.IORING_CQE_F_32 ? 2 : 1)
  }
  return { words, control, cq, post }
}

const { IORING_CQE_F_MORE: MORE, IORING_CQE_F_32: F_32, IORING_CQE_F_SKIP: SKIP } = sys

for (const start of STARTS) {
  test(`the CQ gives every CQE once and in order, from ${start}`, () => {
    const { words, control, cq, post } = makeCq(start)
    const seen: number[] = []
    for (let round = 0; round < 6; round++) {
      for (let i = 0; i < 5; i++) post(round * 5 + i, 9 - i, i === 0 ? MORE : 0)
      assert.equal(cq.ready, 5)
      assert.equal(cq.endsReady, 4)
      const head = words[W.CQ_HEAD]! >>> 0
      cq.forEach((userData, high, res, _flags, index) => {
        assert.equal(
          words[W.CQ_HEAD]! >>> 0,
          (head + 5) % 2 ** 32,
          'the head moved before the first callback',
        )
        assert.deepEqual([high, res, index], [0x7fffffff, 9 - index, index])
        seen.push(userData)
      })
      assert.equal(cq.ready, 0)
      assert.equal(control[CTL.MORE_SEEN], round + 1)
    }
    assert.deepEqual(
      seen,
      Array.from({ length: 30 }, (_, i) => i),
    )
  })

  test(`collect takes what fits, from ${start}`, () => {
    const { cq, post } = makeCq(start)
    for (let i = 0; i < ENTRIES; i++) post(i, i)
    const target = new Int32Array(4 * 3)
    assert.equal(cq.collect(target, 3), 3)
    assert.deepEqual([...target.subarray(8)], [2, 0x7fffffff, 2, 0])
    assert.equal(cq.ready, ENTRIES - 3)
    assert.equal(cq.collect(new Int32Array(64), 16), ENTRIES - 3)
    assert.equal(cq.collect(target, 3), 0)
  })

  test(`peek leaves a CQE, advance takes it and counts what did not end, from ${start}`, () => {
    const { control, cq, post } = makeCq(start)
    const cqe = new Cqe()
    assert.equal(cq.peek(cqe), false)
    post(7, -125, MORE | (3 << 16) | sys.IORING_CQE_F_BUFFER)
    post(8, 1)
    assert.ok(cq.peek(cqe) && cq.peek(cqe))
    assert.deepEqual([cqe.userDataLow, cqe.res, cqe.more, cqe.bufferId, cqe.slots], [7, -125, true, 3, 1])
    assert.equal(cqe.userData64, (0x7fffffffn << 32n) | 7n)
    assert.equal(cq.ready, 2)
    cq.advance(2)
    assert.deepEqual([cq.ready, control[CTL.MORE_SEEN]], [0, 1])
    cq.advance(5)
    assert.deepEqual([cq.ready, control[CTL.MORE_SEEN]], [0, 1], 'no more than is there')
  })

  test(`CQE_MIXED: two slots for a big one, padding for nobody, from ${start}`, () => {
    const { control, cq, post, words } = makeCq(start, { mixed: true })
    const rounds = 40
    const seen: [number, number[]][] = []
    let padded = 0
    let slots = 0
    for (let i = 0; i < rounds; i++) {
      const at = (words[W.CQ_TAIL]! >>> 0) & (ENTRIES - 1)
      const isBig = i % 3 !== 0
      if (isBig && at === ENTRIES - 1) {
        post(0, 0, SKIP)
        padded++
        slots++
      }
      post(i, i, isBig ? F_32 : 0, isBig ? [i, 2, 3, 4] : undefined)
      slots += isBig ? 2 : 1
      const cqe = new Cqe()
      if (i % 2 === 0) {
        cq.forEach((userData, _high, _res, _flags, index) => {
          seen.push([userData, [...cq.bigOf(index)]])
        })
      } else {
        assert.ok(cq.peek(cqe))
        assert.equal(cqe.slots, isBig ? 2 : 1)
        seen.push([cqe.userDataLow, [...cqe.big]])
        cq.advance(cqe.slots)
      }
    }
    const expected = Array.from({ length: rounds }, (_, i) => [i, i % 3 !== 0 ? [i, 2, 3, 4] : [0, 0, 0, 0]])
    assert.deepEqual(seen, expected)
    assert.ok(padded > 0)
    assert.equal(control[CTL.MORE_SEEN], slots - rounds, 'every slot but one per CQE')
  })
}

test('CQE32: 16 bytes more in every slot', () => {
  const { cq, post } = makeCq(0, { big: true })
  post(1, 2, 0, [3, 4, 5, 6])
  const target = new Int32Array(8)
  assert.equal(cq.collect(target, 1), 1)
  assert.deepEqual([...target], [1, 0x7fffffff, 2, 0, 3, 4, 5, 6])
  assert.throws(() => makeCq(0).cq.bigOf(0), { code: 'ERR_INVALID_ARG_VALUE', message: /cqe32 or cqeMixed/ })
})

test('callbacks may throw, post more and iterate again: nothing is lost, nothing comes twice', () => {
  const { cq, post } = makeCq(2 ** 32 - 4)
  for (let i = 0; i < 4; i++) post(i, 0)
  const seen: number[] = []
  const one = (): number =>
    cq.forEach((userData) => {
      seen.push(userData)
      if (userData === 1) {
        post(10, 0)
        post(11, 0)
        cq.forEach((inner) => void seen.push(inner))
        throw new Error('first')
      }
    })
  assert.throws(one, { message: 'first' })
  assert.deepEqual(seen, [0, 1, 10, 11, 2, 3])
  for (let i = 0; i < 3; i++) post(i, 0)
  assert.throws(
    () =>
      cq.forEach((userData) => {
        throw new Error(String(userData))
      }),
    (error: AggregateError) => error.errors.map(({ message }) => message).join() === '0,1,2',
  )
  assert.equal(cq.ready, 0)
})

test('the eventfd is muted by a flag the kernel reads', () => {
  const { cq, words } = makeCq(0)
  assert.equal(cq.eventfdEnabled, true)
  cq.toggleEventfd(false)
  assert.deepEqual([cq.eventfdEnabled, words[W.CQ_FLAGS]], [false, sys.IORING_CQ_EVENTFD_DISABLED])
  cq.toggleEventfd(true)
  assert.equal(words[W.CQ_FLAGS], 0)
})
