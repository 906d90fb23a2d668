// Making a ring: options and the rules between them, the kernel's answer, with and without an index array.
// Flow: this → ringcore/ring, ring/params.

import assert from 'node:assert/strict'
import test from 'node:test'
import { prepNop, probe, Ring, type RingOptions, SETUP_FLAGS } from 'ringcore/ring'
import * as sys from 'ringcore/sys'
import {
  checkSetupOptions,
  decodeParams,
  encodeParams,
  findGeometryFault,
  type RingGeometry,
} from '#src/ring/params.js'
import { oracle } from './helpers.js'
import { RING_KINDS, takeCqes } from './ring-kinds.js'

test('the 21 setup flags are options, each with its own bit', () => {
  assert.equal(SETUP_FLAGS.length, 21)
  for (const [index, { option, bit }] of SETUP_FLAGS.entries()) {
    assert.equal(bit, 2 ** index, option)
  }
  assert.equal(checkSetupOptions({ flags: 0x80, coopTaskrun: true }).flags, 0x180)
  const { flags } = checkSetupOptions({ sqpoll: true, sqThreadCpu: 0, cqEntries: 512, wqFd: 3 })
  const { IORING_SETUP_SQPOLL, IORING_SETUP_SQ_AFF, IORING_SETUP_CQSIZE, IORING_SETUP_ATTACH_WQ } = sys
  assert.equal(
    flags,
    IORING_SETUP_SQPOLL | IORING_SETUP_SQ_AFF | IORING_SETUP_CQSIZE | IORING_SETUP_ATTACH_WQ,
    'a value sets the flag that makes it count',
  )
})

test('options that need or exclude each other are refused, and the message names both and the cure', () => {
  const rules: [RingOptions, RegExp][] = [
    [{ deferTaskrun: true }, /deferTaskrun needs singleIssuer.*add singleIssuer: true/],
    [{ taskrunFlag: true }, /taskrunFlag needs coopTaskrun or deferTaskrun.*add coopTaskrun: true/],
    [{ sqpoll: true, coopTaskrun: true }, /sqpoll and coopTaskrun exclude each other.*leave one out/],
    [{ sqpoll: true, singleIssuer: true, deferTaskrun: true }, /sqpoll and deferTaskrun exclude each other/],
    [{ sqpoll: true, taskrunFlag: true, coopTaskrun: true }, /sqpoll and coopTaskrun exclude/],
    [{ sqThreadCpu: 0 }, /sqAff needs sqpoll.*add sqpoll: true/],
    [{ sqThreadIdleMs: 5 }, /sqThreadIdleMs needs sqpoll; add sqpoll: true/],
    [{ sqAff: true, sqpoll: true }, /sqAff needs sqThreadCpu/],
    [{ cqsize: true }, /cqsize needs cqEntries/],
    [{ attachWq: true }, /attachWq needs wqFd/],
    [{ hybridIopoll: true }, /hybridIopoll needs iopoll.*add iopoll: true/],
    [{ registeredFdOnly: true }, /registeredFdOnly needs noMmap/],
    [{ cqeMixed: true, cqe32: true }, /cqeMixed and cqe32 exclude each other/],
    [{ sqeMixed: true, sqe128: true }, /sqeMixed and sqe128 exclude each other/],
    [{ sqRewind: true }, /sqRewind needs noSqarray/],
    [{ sqRewind: true, noSqarray: true, sqpoll: true }, /sqpoll and sqRewind exclude each other/],
    [{ flags: 0x40000000 }, /unknown bits 0x40000000/],
    [{ flags: 2, sqpoll: false }, /sqpoll is false, but its bit 0x2 is in flags/],
    [{ memory: new ArrayBuffer(1 << 20), hugePages: true }, /memory and hugePages exclude each other/],
  ]
  for (const [options, message] of rules) {
    assert.throws(
      () => new Ring(options),
      { code: 'ERR_INVALID_ARG_VALUE', message },
      JSON.stringify(options),
    )
  }
})

test('sizes and values out of range are refused before the kernel is asked', () => {
  const bad: RingOptions[] = [
    { entries: 0 },
    { entries: -1 },
    { entries: 32769 },
    { entries: 1.5 },
    { entries: Number.NaN },
    { entries: 256, cqEntries: 128 },
    { cqEntries: 65537 },
    { cqEntries: 0 },
    { flags: -1 },
    { wqFd: -1 },
    { sqpoll: true, sqThreadIdleMs: -1 },
  ]
  for (const options of bad) {
    assert.throws(() => new Ring(options), { code: 'ERR_OUT_OF_RANGE' }, JSON.stringify(options))
  }
  const wrong = [{ entries: '8' }, { sqpoll: 1 }, { flags: 1n }, null, 7]
  for (const options of wrong) {
    assert.throws(() => new Ring(options as RingOptions), { code: 'ERR_INVALID_ARG_TYPE' })
  }
})

test('the kernel rounds sizes up, and clamp cuts them', (t) => {
  oracle(t)
  const odd = new Ring({ entries: 5, cqEntries: 33 })
  assert.deepEqual([odd.sqEntries, odd.cqEntries], [8, 64])
  odd.close()
  const one = new Ring({ entries: 1 })
  assert.deepEqual([one.sqEntries, one.cqEntries], [1, 2])
  one.close()
  const most = new Ring({ entries: 100_000, clamp: true })
  assert.deepEqual([most.sqEntries, most.cqEntries], [32768, 65536])
  most.close()
})

test('without a word from the caller the index array is left out, where the kernel can', (t) => {
  oracle(t)
  const knows = probe().setupFlags.IORING_SETUP_NO_SQARRAY === true
  for (const [noSqarray, expected] of [
    [undefined, knows],
    [false, false],
  ] as const) {
    const ring = new Ring({ entries: 4, noSqarray })
    assert.equal((ring.setupFlags & sys.IORING_SETUP_NO_SQARRAY) !== 0, expected)
    assert.equal(ring.geometry.sqArray === 0, expected)
    prepNop(ring.getSqe()!)
    ring.submitAndWait(1)
    assert.equal(takeCqes(ring, 1).length, 1)
    ring.close()
  }
})

test('a flag that the kernel does not know is named, with the kernel that has it', (t) => {
  oracle(t)
  const flag = SETUP_FLAGS.find(
    ({ name }) => probe().setupFlags[name] === false && name.endsWith('SQE_MIXED'),
  )
  if (flag === undefined) return t.skip('this kernel knows SQE_MIXED')
  assert.throws(() => new Ring({ [flag.option]: true }), {
    code: 'ERR_RING_FEATURE',
    message: /IORING_SETUP_SQE_MIXED.*Linux 6\.19/,
  })
  assert.throws(() => new Ring({ wqFd: 0 }), {
    code: 'ERR_INVALID_ARG_VALUE',
    message: /kernel refuses these options together \(flags: ATTACH_WQ.*wqFd: 0/,
  })
})

test('rings share their workers through wqFd', (t) => {
  oracle(t)
  const first = new Ring({ entries: 4 })
  const second = new Ring({ entries: 4, wqFd: first.fd })
  prepNop(second.getSqe()!)
  assert.equal(second.submitAndWait(1), 1)
  takeCqes(second, 1)
  second.close()
  first.close()
})

test('what the kernel answers is checked: a wrong offset would make us write into the wrong word', () => {
  const good: RingGeometry = {
    ...decodeParams(encodeParams(checkSetupOptions({ entries: 8 }))),
    sqEntries: 8,
    cqEntries: 16,
    sqHead: 0,
    sqTail: 4,
    sqFlags: 36,
    sqDropped: 32,
    sqArray: 320,
    cqHead: 8,
    cqTail: 12,
    cqOverflow: 44,
    cqFlags: 40,
    cqes: 64,
    ringBytes: 352,
  }
  assert.equal(findGeometryFault(good, 8), undefined)
  const faults: [Partial<RingGeometry>, RegExp][] = [
    [{ sqEntries: 6 }, /sq_entries 6/],
    [{ sqEntries: 4 }, /sq_entries 4 for 8/],
    [{ sqEntries: 65536 }, /sq_entries 65536/],
    [{ cqEntries: 0 }, /cq_entries 0/],
    [{ cqEntries: 4 }, /cq_entries 4 below/],
    [{ sqHead: 2 }, /sq_off.head 2/],
    [{ sqTail: 352 }, /sq_off.tail 352 of 352/],
    [{ cqes: 0 }, /cq_off.cqes 0/],
    [{ cqHead: 4 }, /equal offsets/],
  ]
  for (const [fault, message] of faults) assert.match(findGeometryFault({ ...good, ...fault }, 8)!, message)
})

test('every kind of ring opens and closes a hundred times and leaves nothing', (t) => {
  oracle(t)
  for (const { name, options } of RING_KINDS) {
    // A thread is started for each SQPOLL ring.
    for (let round = name === 'SQPOLL' ? 90 : 0; round < 100; round++)
      new Ring({ entries: 4, ...options }).close()
  }
})
