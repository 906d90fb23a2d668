// Setup on kernels that are older, or that fail half-way: the real driver, with single answers changed.
// Flow: this → a driver around the native one → ringcore/ring.

import assert from 'node:assert/strict'
import { writeSync } from 'node:fs'
import test, { type TestContext } from 'node:test'
import { prepNop, prepRead, Ring } from 'ringcore/ring'
import * as sys from 'ringcore/sys'
import type { Driver } from '#src/sys/driver.js'
import { openDriver } from '#src/sys/open-driver.js'
import { oracle, pipe, requires } from './helpers.js'
import { takeCqes } from './ring-kinds.js'

/** The native driver, with some functions replaced. */
function withFaults(t: TestContext, faults: (real: Driver) => Partial<Driver>): Driver {
  oracle(t)
  const real = openDriver()
  return { ...real, ...faults(real) }
}

const words = (params: Uint8Array): Int32Array => new Int32Array(params.buffer, params.byteOffset, 30)

/** Changes what the kernel answered to setup. */
function answering(t: TestContext, change: (params: Int32Array) => void): Driver {
  return withFaults(t, (real) => ({
    setup: (entries, params) => {
      const fd = real.setup(entries, params)
      if (fd >= 0) change(words(params))
      return fd
    },
  }))
}

test('a kernel without NO_SQARRAY gets a second question', (t) => {
  const asked: boolean[] = []
  const driver = withFaults(t, (real) => ({
    setup: (entries, params) => {
      const without = (words(params)[2]! & sys.IORING_SETUP_NO_SQARRAY) !== 0
      asked.push(without)
      return without ? -22 : real.setup(entries, params)
    },
  }))
  const ring = new Ring({ entries: 8, driver })
  assert.deepEqual(asked, [true, false])
  assert.notEqual(ring.geometry.sqArray, 0)
  for (let i = 0; i < 20; i++) {
    prepNop(ring.getSqe()!)
    takeCqes(ring, 1)
  }
  ring.close()
  assert.throws(() => new Ring({ entries: 8, driver, noSqarray: true }), { code: 'ERR_RING_FEATURE' })
})

test('a kernel that maps its queues one by one is refused by name', (t) => {
  const driver = answering(t, (params) => {
    params[5]! &= ~sys.IORING_FEAT_SINGLE_MMAP
  })
  assert.throws(() => new Ring({ driver }), {
    code: 'ERR_RING_FEATURE',
    message: /IORING_FEAT_SINGLE_MMAP.*Linux 5\.4/,
  })
})

test('an answer that can’t be true is refused before anything is mapped', (t) => {
  const driver = answering(t, (params) => {
    params[10] = 1 << 20 // sq_off.head
  })
  assert.throws(() => new Ring({ driver }), { code: 'ERR_INVALID_STATE', message: /wrong sq_off\.head/ })
})

test('memory of closed rings that is not back yet is waited for, but not for ever', (t) => {
  let refusals = 2
  const driver = withFaults(t, (real) => ({
    setup: (entries, params) => (refusals-- > 0 ? -12 : real.setup(entries, params)),
  }))
  new Ring({ entries: 4, driver }).close()
  refusals = Number.POSITIVE_INFINITY
  assert.throws(() => new Ring({ entries: 4, driver }), {
    code: 'ERR_RING_UNAVAILABLE',
    message: /RLIMIT_MEMLOCK/,
  })
})

for (const failing of [1, 2, 3]) {
  test(`mapping ${failing} of 3 fails: the fd and the others are gone`, (t) => {
    let maps = 0
    const driver = withFaults(t, (real) => ({
      map: (...args) => (++maps === failing ? -12 : real.map(...args)),
    }))
    assert.throws(() => new Ring({ driver }), { code: 'ENOMEM', syscall: 'mmap' })
  })
}

test('a ring that can’t be protected is not made', (t) => {
  const driver = withFaults(t, () => ({ attach: () => -22 }))
  assert.throws(() => new Ring({ driver }), { code: 'EINVAL', syscall: 'attach' })
})

test('SYNC_CANCEL may answer what it likes: only CQEs end an operation', (t) => {
  // Nothing is ever cancelled, and the answer says there was nothing to cancel.
  const driver = withFaults(t, (real) => ({
    register: (fd, opcode, address, count) =>
      opcode === sys.IORING_REGISTER_SYNC_CANCEL ? -2 : real.register(fd, opcode, address, count),
  }))
  const ring = new Ring({ entries: 4, driver })
  const sqe = ring.getSqe()!
  sqe.words[0] = sys.IORING_OP_POLL_ADD
  sqe.words[1] = pipe(t).reader.fd
  sqe.words[7] = 0x2000 // POLLRDHUP: never comes
  ring.submit()
  assert.throws(() => ring.close({ cancel: true, timeoutMs: 30 }), {
    code: 'ERR_INVALID_STATE',
    message: /1 operations after 30 ms/,
  })
  const address = openDriver().addressOf(cancelAll)
  openDriver().register(ring.fd, sys.IORING_REGISTER_SYNC_CANCEL, address, 1)
  const seen: number[] = []
  ring.close({ cancel: true, onCqe: (_userData, _high, res) => void seen.push(res) })
  assert.deepEqual(seen, [-125])
})

/** Mappings of a ring's fd fail as long as `refused` says so. */
function refusing(t: TestContext, refused: (offset: number) => boolean): Driver {
  return withFaults(t, (real) => ({
    map: (fd, bytes, offset) => (fd >= 0 && refused(offset) ? -12 : real.map(fd, bytes, offset)),
  }))
}

for (const [queue, which] of [
  ['both queues', sys.IORING_OFF_SQ_RING],
  ['the entries', sys.IORING_OFF_SQES],
] as const) {
  test(`a resize whose pages can’t be mapped loses nothing: ${queue}`, (t) => {
    if (!requires(t, { registerOp: 'IORING_REGISTER_RESIZE_RINGS' })) return
    let isFull = false
    const driver = refusing(t, (offset) => isFull && offset === which)
    const ring = new Ring({ entries: 8, driver, singleIssuer: true, deferTaskrun: true })
    t.after(() => ring.close({ cancel: true }))
    const { reader, writer } = pipe(t)
    const bytes = Buffer.alloc(4)
    prepRead(ring.getSqe()!, reader.fd, driver.addressOf(bytes), 4, 0)
    ring.submit()
    prepNop(ring.getSqe()!)
    isFull = true
    const noRoom = { code: 'ENOMEM', syscall: 'mmap' }
    assert.throws(() => ring.resizeRings(32), { ...noRoom, message: /resized ring's pages/ })
    assert.ok(ring.isUnmapped)
    for (const call of [
      () => ring.getSqe(),
      () => ring.submit(),
      () => ring.peekCqe(),
      () => ring.forEachCqe(() => {}),
      () => ring.copyCqes(new Int32Array(16)),
      () => ring.registerProbe(),
    ])
      assert.throws(call, { code: 'ERR_INVALID_STATE', message: /remap\(\), or close\(\)/ })
    assert.throws(() => ring.remap(), noRoom)
    assert.throws(() => ring.resizeRings(64), noRoom)
    assert.throws(() => ring.close({ cancel: true }), noRoom)
    isFull = false
    ring.remap()
    ring.remap()
    assert.deepEqual([ring.isUnmapped, ring.sqEntries, ring.closed], [false, 32, false])
    writeSync(writer.fd, 'four')
    // More than the old and the new queue hold.
    for (let i = 0; i < 40; i++) {
      prepNop(ring.getSqe()!)
      ring.submit()
    }
    const results = takeCqes(ring, 42).map(([, res]) => res)
    assert.deepEqual([results.length, results.filter((res) => res === 4).length], [42, 1])
    assert.equal(`${bytes}`, 'four')
  })
}

test('a ring whose pages a resize could not map is closed by count as ever', (t) => {
  if (!requires(t, { registerOp: 'IORING_REGISTER_RESIZE_RINGS' })) return
  let isFull = false
  const driver = refusing(t, () => isFull)
  const ring = new Ring({ entries: 8, driver, singleIssuer: true, deferTaskrun: true })
  const { reader } = pipe(t)
  const bytes = Buffer.alloc(4)
  prepRead(ring.getSqe()!, reader.fd, driver.addressOf(bytes), 4, 0)
  ring.submit()
  isFull = true
  assert.throws(() => ring.resizeRings(32), { code: 'ENOMEM' })
  isFull = false
  const seen: number[] = []
  ring.close({ cancel: true, onCqe: (_userData, _high, res) => void seen.push(res) })
  assert.deepEqual(seen, [-125])
})

const cancelAll = new Int32Array(16)
cancelAll[2] = -1
cancelAll[3] = sys.IORING_ASYNC_CANCEL_ANY | sys.IORING_ASYNC_CANCEL_ALL
cancelAll.fill(-1, 4, 8)
