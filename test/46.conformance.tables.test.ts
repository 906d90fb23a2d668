// Tables and whole rings: files sent into places, updates that stop half way, polled rings, sizes that are too small.
// Flow: this → op-helpers.ts, ring-kinds.ts → ringcore/ring.

import assert from 'node:assert/strict'
import { openSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import * as op from 'ringcore/ring'
import * as sys from 'ringcore/sys'
import { openDriver } from '#src/sys/open-driver.js'
import { OwnedFd, oracle, pipe, root, tempDir } from './helpers.js'
import { opTest } from './op-helpers.js'
import { forEachRingKind, takeCqes } from './ring-kinds.js'

const O_DIRECT = process.arch === 'arm64' ? 0o200000 : 0o40000

function open(t: TestContext, options: op.RingOptions = {}): op.Ring {
  const ring = new op.Ring({ entries: 8, ...options })
  t.after(() => ring.close({ cancel: true }))
  return ring
}

/** Runs one request on a ring and gives its result. */
function run(ring: op.Ring, write: (sqe: op.Sqe) => void): number {
  write(ring.getSqe()!)
  ring.submitAndWaitTimeout(1, { timeoutMs: 5000 })
  return takeCqes(ring, 1)[0]![1]
}

opTest('MSG_RING', 'a file into a place, over another, and where there is none', (rig) => {
  const { ring, t } = rig
  const [source, other] = [pipe(t), pipe(t)]
  const target = open(t)
  const bare = open(t)
  const disabled = open(t, { rDisabled: true })
  ring.registerFiles([source.reader.fd, -1, other.reader.fd])
  target.registerFilesSparse(2)
  const send = (from: number, to: op.Ring, place: number): number =>
    rig.run((sqe) => op.prepMsgRingFd(sqe, to.fd, from, place, 7, 0))
  const read = (place: number): string => {
    const room = new Uint8Array(8)
    const res = run(target, (sqe) => {
      op.prepRead(sqe, place, target.driver.addressOf(room), 8, -1)
      op.sqeSetFixedFile(sqe)
    })
    return Buffer.from(room).toString('latin1', 0, res)
  }
  const told = (): number[] => takeCqes(target, 1)[0]!.slice(0, 2)
  assert.equal(send(0, target, 1), 0)
  assert.deepEqual(told(), [7, 0])
  target.accountForeignCqes(1)
  writeSync(source.writer.fd, 'first')
  assert.equal(read(1), 'first')
  assert.equal(send(2, target, 1), 0, 'a taken place gets the new file')
  told()
  target.accountForeignCqes(1)
  writeSync(other.writer.fd, 'second')
  assert.equal(read(1), 'second')

  const alloc = (): number => rig.run((sqe) => op.prepMsgRingFdAlloc(sqe, target.fd, 0, 9, 0))
  assert.equal(alloc(), 0)
  assert.deepEqual(told(), [9, 0])
  target.accountForeignCqes(1)
  assert.equal(alloc(), -sys.ENFILE, 'every place is taken')
  assert.equal(send(0, target, 2), -sys.EINVAL, 'no such place')
  assert.equal(send(1, target, 0), -sys.EBADF, 'an empty place here')
  assert.equal(send(3, target, 0), -sys.EBADF, 'no such place here')
  assert.equal(send(0, bare, 0), -sys.ENXIO, 'no table there')
  assert.equal(send(0, disabled, 0), -sys.EBADFD)
  assert.equal(send(0, ring, 1), -sys.EINVAL, 'to itself')
  ring.unregisterFiles()
})

test('an update that meets something bad stops there, and says how far it came', (t) => {
  oracle(t)
  const ring = open(t)
  const { reader } = pipe(t)
  ring.registerFilesSparse(4)
  assert.equal(ring.registerFilesUpdate(0, [reader.fd, reader.fd, 1_000_000, reader.fd]), 2)
  assert.throws(() => ring.registerFilesUpdate(2, [1_000_000, reader.fd]), { code: 'EBADF' })
  assert.throws(() => ring.registerFilesUpdate(3, [reader.fd, reader.fd]), { code: 'EINVAL' })
  const empty = (place: number): number =>
    run(ring, (sqe) => {
      op.prepPollAdd(sqe, place, sys.POLLOUT)
      op.sqeSetFixedFile(sqe)
      sqe.addFlags(sys.IOSQE_IO_HARDLINK)
    })
  for (const place of [2, 3]) assert.equal(empty(place), -sys.EBADF, `place ${place}`)
  // A tag that is given back is given back once: that of the file which was replaced, and none for the bad one.
  ring.unregisterFiles()
  ring.registerFilesTags([reader.fd, reader.fd], [0x11, 0x12])
  assert.equal(ring.registerFilesUpdateTag(0, [reader.fd, 1_000_000], [0x21, 0x22]), 1)
  ring.unregisterFiles()
  const tags = takeCqes(ring, 3).map(([tag]) => tag)
  assert.deepEqual(
    tags.sort((a, b) => a - b),
    [0x11, 0x12, 0x21],
  )
  ring.accountForeignCqes(3)
  assert.equal(ring.cqReady(), 0)
})

test('buffer rings of odd sizes and at odd addresses are refused', (t) => {
  oracle(t)
  const ring = open(t)
  const memory = ring.driver.map(-1, 65_536, 0) as ArrayBuffer
  const address = ring.driver.addressOf(new Uint8Array(memory))
  const refused: [name: string, options: Parameters<op.Ring['registerBufRing']>[0]][] = [
    ['three entries', { group: 1, entries: 3, address }],
    ['too many entries', { group: 1, entries: 65_536, address }],
    ['an address in the middle of a page', { group: 1, entries: 4, address: address + 16 }],
    ['unknown flags', { group: 1, entries: 4, address, flags: 0x8000 }],
  ]
  for (const [name, options] of refused)
    assert.throws(() => ring.registerBufRing(options), { code: /EINVAL|ERR_/ }, name)
  assert.throws(() => ring.unregisterBufRing(1), { code: /ENOENT|EINVAL/ })
  ring.registerBufRing({ group: 1, entries: 4, address })
  assert.throws(() => ring.registerBufRing({ group: 1, entries: 4, address }), { code: 'EEXIST' })
  ring.unregisterBufRing(1)
})

test('a ring is not made smaller than what is in it', (t) => {
  oracle(t)
  const ring = open(t, { entries: 16, singleIssuer: true, deferTaskrun: true })
  const nop = (id: number): void => {
    const sqe = ring.getSqe()!
    op.prepNop(sqe)
    sqe.setUserData(id)
  }
  for (let id = 0; id < 12; id++) nop(id)
  ring.submit()
  ring.getEvents()
  assert.equal(ring.cqReady(), 12)
  try {
    ring.resizeRings(4, 8)
    assert.fail('twelve completions fit into eight places')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EINVAL') return void takeCqes(ring, 12)
    assert.equal(code, 'EOVERFLOW')
  }
  // Nothing has changed.
  assert.deepEqual([ring.sqEntries, ring.cqEntries, ring.cqReady()], [16, 32, 12])
  assert.throws(() => ring.resizeRings(0), { code: 'ERR_OUT_OF_RANGE' })
  nop(12)
  assert.deepEqual(
    takeCqes(ring, 13).map(([id]) => id),
    Array.from({ length: 13 }, (_, i) => i),
  )
})

test('a resize whose pages can not be mapped is tried again, and nothing is lost', (t) => {
  oracle(t)
  const driver = openDriver()
  let failures = 0
  const map: typeof driver.map = (fd, length, offset) =>
    fd >= 0 && failures-- > 0 ? -sys.ENOMEM : driver.map(fd, length, offset)
  const ring = open(t, { entries: 8, singleIssuer: true, deferTaskrun: true, driver: { ...driver, map } })
  const nop = (id: number): void => {
    const sqe = ring.getSqe()!
    op.prepNop(sqe)
    sqe.setUserData(id)
  }
  for (const id of [0, 1, 2]) nop(id)
  ring.submit()
  ring.getEvents()
  nop(3)
  failures = 1
  try {
    ring.resizeRings(32, 128)
    assert.fail('there were no pages')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EINVAL') {
      failures = 0
      takeCqes(ring, 4)
      return t.skip('needs RESIZE_RINGS: kernel 6.13')
    }
    assert.equal((error as NodeJS.ErrnoException).code, 'ENOMEM')
  }
  failures = 0
  ring.resizeRings(32, 128)
  for (const id of [4, 5]) nop(id)
  assert.deepEqual(
    takeCqes(ring, 6).map(([id]) => id),
    [0, 1, 2, 3, 4, 5],
  )
  assert.equal(ring.inKernel, 0)
})

forEachRingKind('cancelling by call: any, all, and what is not there', {}, (t, ring) => {
  const { reader } = pipe(t)
  const room = new Uint8Array(8)
  const start = (count: number): void => {
    for (let id = 1; id <= count; id++) {
      const sqe = ring.getSqe()!
      op.prepRead(sqe, reader.fd, ring.driver.addressOf(room), 8, -1)
      sqe.setUserData(id)
    }
    ring.submit()
    // A SQPOLL thread takes them when it comes to it.
    for (const end = performance.now() + 5000; ring.sqReady() > 0 && performance.now() < end; );
  }
  const { IORING_ASYNC_CANCEL_ANY: ANY, IORING_ASYNC_CANCEL_ALL: ALL } = sys
  const gone = (count: number): void =>
    assert.deepEqual(
      takeCqes(ring, count).map(([, res]) => res),
      new Array(count).fill(-sys.ECANCELED),
    )
  // ANY means all that there are, of which there may be none.
  assert.equal(ring.registerSyncCancel({ flags: ANY, timeoutMs: 100 }), 0)
  for (const flags of [ANY, ANY | ALL]) {
    start(3)
    const cancelled = ring.registerSyncCancel({ flags, timeoutMs: 5000 })
    assert.ok(cancelled === 0 || cancelled === 3, `${cancelled}`)
    gone(3)
  }
  start(2)
  assert.equal(ring.registerSyncCancel({ userData: 3, timeoutMs: 100 }), -sys.ENOENT)
  assert.equal(ring.registerSyncCancel({ userData: 2, timeoutMs: 5000 }), 0)
  gone(1)
  const FD = sys.IORING_ASYNC_CANCEL_FD
  assert.equal(ring.registerSyncCancel({ fd: reader.fd, flags: FD, timeoutMs: 5000 }), 0)
  gone(1)
  assert.equal(ring.registerSyncCancel({ fd: reader.fd, flags: FD, timeoutMs: 100 }), -sys.ENOENT)
  assert.equal(ring.registerSyncCancel({ fd: 1_000_000, flags: FD, timeoutMs: 100 }), -sys.EBADF)
})

test('waits with arguments of a region: each entry its own, and none beyond', (t) => {
  oracle(t)
  const ring = open(t, { rDisabled: true })
  if (!(ring.features & sys.IORING_FEAT_MIN_TIMEOUT)) return t.skip('needs MEM_REGION: kernel 6.13')
  const memory = ring.driver.map(-1, 4096, 0) as ArrayBuffer
  ring.registerRegion(memory)
  assert.throws(() => ring.registerRegion(memory), { code: 'EBUSY' })
  ring.enableRings()
  const words = new Int32Array(memory)
  const waited = (index: number): [number, ms: number] => {
    const start = performance.now()
    return [ring.submitAndWaitReg(1, index), performance.now() - start]
  }
  // struct io_uring_reg_wait, 64 bytes: seconds, nanoseconds, least wait in µs, flags.
  const set = (index: number, ns: number, minUs = 0): void => {
    words[index * 16 + 2] = ns
    words[index * 16 + 4] = minUs
    words[index * 16 + 5] = sys.IORING_REG_WAIT_TS
  }
  set(0, 5_000_000)
  set(62, 30_000_000)
  for (const [index, ms] of [
    [0, 5],
    [62, 30],
  ] as const) {
    const [result, took] = waited(index)
    assert.equal(result, -sys.ETIME)
    assert.ok(took >= ms - 0.5, `entry ${index}: ${took} ms`)
  }
  // Linux up to 6.18 reads the first entry where it should read the last: a guard against speculation is one too strict.
  set(63, 40_000_000)
  const [last, took] = waited(63)
  assert.equal(last, -sys.ETIME)
  assert.ok(took >= 4.5)
  t.diagnostic(`the last entry says 40 ms, the first 5; it took ${took.toFixed(0)}`)
  assert.throws(() => ring.submitAndWaitReg(1, 64), { code: /EFAULT|ERR_OUT_OF_RANGE|EINVAL/ })
  words[5] = 0x4000
  assert.throws(() => ring.submitAndWaitReg(1, 0), { code: 'EINVAL' })
})

for (const [name, options] of [
  ['plain', {}],
  ['hybrid', { hybridIopoll: true }],
  ['SQPOLL', { sqpoll: true, sqThreadIdleMs: 20 }],
  ['DEFER_TASKRUN', { singleIssuer: true, deferTaskrun: true }],
] as const) {
  test(`a polled ring reads where the device can be polled, and refuses the rest · ${name}`, (t) => {
    oracle(t)
    const path = join(tempDir(t), 'file')
    const bytes = Buffer.alloc(8192, 'polled or not ')
    writeFileSync(path, bytes)
    let ring: op.Ring
    try {
      ring = open(t, { iopoll: true, ...options })
    } catch (error) {
      return t.skip((error as Error).message)
    }
    const buffered = new OwnedFd(t, openSync(path, 'r')).fd
    const memory = new Uint8Array(ring.driver.map(-1, 8192, 0) as ArrayBuffer)
    const address = ring.driver.addressOf(memory)
    const read = (fd: number): number => run(ring, (sqe) => op.prepRead(sqe, fd, address, 4096, 4096))
    assert.equal(run(ring, op.prepNop), 0)
    assert.equal(read(buffered), -sys.EOPNOTSUPP, 'what goes through the cache is not polled')
    // What can't be polled at all.
    assert.equal(
      run(ring, (sqe) => op.prepFsync(sqe, buffered, 0)),
      -sys.EINVAL,
    )
    let direct: number
    try {
      direct = new OwnedFd(t, openSync(path, O_DIRECT)).fd
    } catch {
      return t.diagnostic('this file system has no O_DIRECT')
    }
    const res = read(direct)
    if (res === -sys.EOPNOTSUPP) return t.diagnostic(`the device of ${root} has no polled queues`)
    assert.equal(res, 4096)
    assert.ok(bytes.subarray(4096).equals(memory.subarray(0, 4096)))
  })
}
