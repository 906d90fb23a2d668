// io_uring_register: each operation against the kernel, with an effect that can be seen and an error that can be read.
// Flow: this → ringcore/ring → kernel.

import assert from 'node:assert/strict'
import { openSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import {
  BufferRing,
  prepNop,
  prepRead,
  prepReadFixed,
  prepRecv,
  prepWriteFixed,
  probe,
  Ring,
  type RingOptions,
  sqeSetBufferSelect,
} from 'ringcore/ring'
import * as sys from 'ringcore/sys'
import { syscallNumber } from '#src/sys/syscalls.js'
import { OwnedFd, oracle, pipe, socketPair, tempDir } from './helpers.js'
import { takeCqes } from './ring-kinds.js'

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

/** An ArrayBuffer that may shrink, if this runtime can make one. */
function resizable(): ArrayBuffer {
  const Maker = ArrayBuffer as unknown as new (
    length: number,
    options: { maxByteLength: number },
  ) => ArrayBuffer
  return new Maker(8, { maxByteLength: 64 })
}

/** Runs one request and returns its result. */
function run(ring: Ring, prepare: (sqe: NonNullable<ReturnType<Ring['getSqe']>>) => void): number {
  prepare(ring.getSqe()!)
  ring.submitAndWait(1)
  return takeCqes(ring, 1)[0]![1]
}

const has = (name: string): boolean => probe().registerOps[name] === true

test('buffers: registered, used, replaced, taken back', (t) => {
  const ring = open(t)
  const { reader, writer } = pipe(t)
  const first = new Uint8Array(4096).fill(65)
  const second = new Uint8Array(100)
  ring.registerBuffers([first, null, second])
  assert.equal(
    run(ring, (sqe) => prepWriteFixed(sqe, writer.fd, addressOf(ring, first), 10, -1, 0)),
    10,
  )
  assert.equal(
    run(ring, (sqe) => prepReadFixed(sqe, reader.fd, addressOf(ring, second), 100, -1, 2)),
    10,
  )
  assert.equal(Buffer.from(second.subarray(0, 10)).toString(), 'AAAAAAAAAA')
  assert.equal(
    run(ring, (sqe) => prepReadFixed(sqe, reader.fd, addressOf(ring, second), 101, -1, 2)),
    -14,
    'not beyond the end',
  )
  assert.throws(() => ring.registerBuffers([first]), { code: 'EBUSY', message: /BUFFERS/ })
  const third = new Uint8Array(64).fill(66)
  assert.equal(ring.registerBuffersUpdateTag(1, [third]), 1)
  assert.equal(
    run(ring, (sqe) => prepWriteFixed(sqe, writer.fd, addressOf(ring, third), 5, -1, 1)),
    5,
  )
  ring.unregisterBuffers()
  assert.throws(() => ring.unregisterBuffers(), {
    code: 'ENXIO',
    message: /nothing of that kind is registered/,
  })
  assert.throws(() => ring.registerBuffers([new Uint8Array(resizable())]), {
    code: 'ERR_BUFFER_RESIZABLE',
  })
  assert.throws(() => ring.registerBuffers(['x' as never]), { code: 'ERR_INVALID_ARG_TYPE' })
})

test('a tag comes back when the kernel has let go of the resource', (t) => {
  const ring = open(t)
  ring.registerBuffersTags([new Uint8Array(4096), new Uint8Array(4096)], [0x1111, 0n])
  ring.registerBuffersUpdateTag(0, [new Uint8Array(4096)], [0x2222])
  assert.equal(takeCqes(ring, 1)[0]![0], 0x1111)
  ring.unregisterBuffers()
  assert.equal(takeCqes(ring, 1)[0]![0], 0x2222)
  ring.accountForeignCqes(2)
  assert.throws(() => ring.registerBuffersTags([new Uint8Array(1)], []), {
    code: 'ERR_INVALID_ARG_VALUE',
    message: /1 resources need 1 tags/,
  })
})

test('a sparse table is filled later', (t) => {
  const ring = open(t)
  ring.registerBuffersSparse(4)
  const { reader, writer } = pipe(t)
  const buffer = new Uint8Array(16)
  assert.equal(
    run(ring, (sqe) => prepReadFixed(sqe, reader.fd, addressOf(ring, buffer), 16, -1, 3)),
    -14,
    'an empty place',
  )
  ring.registerBuffersUpdateTag(3, [buffer])
  writeSync(writer.fd, 'hello')
  assert.equal(
    run(ring, (sqe) => prepReadFixed(sqe, reader.fd, addressOf(ring, buffer), 16, -1, 3)),
    5,
  )
})

test('buffers are cloned to another ring', (t) => {
  if (!has('IORING_REGISTER_CLONE_BUFFERS')) return t.skip('this kernel does not have CLONE_BUFFERS')
  const source = open(t)
  const target = new Ring({ entries: 4 })
  t.after(() => target.close({ cancel: true }))
  const buffer = new Uint8Array(16).fill(67)
  source.registerBuffers([buffer])
  target.cloneBuffers(source)
  source.unregisterBuffers()
  const { reader, writer } = pipe(t)
  assert.equal(
    run(target, (sqe) => prepWriteFixed(sqe, writer.fd, addressOf(target, buffer), 3, -1, 0)),
    3,
  )
  const into = Buffer.alloc(8)
  assert.equal(
    run(target, (sqe) => prepRead(sqe, reader.fd, addressOf(target, into), 8, -1)),
    3,
  )
  assert.equal(into.toString('latin1', 0, 3), 'CCC')
})

test('files: by index, replaced, skipped, from a range', (t) => {
  const ring = open(t)
  const dir = tempDir(t)
  const file = (text: string): number => {
    const path = join(dir, text)
    writeFileSync(path, text)
    return new OwnedFd(t, openSync(path, 'r')).fd
  }
  const read = (index: number): string | number => {
    const into = Buffer.alloc(16)
    const result = run(ring, (sqe) => {
      prepRead(sqe, index, addressOf(ring, into), 16, 0)
      sqe.addFlags(sys.IOSQE_FIXED_FILE)
    })
    return result < 0 ? result : into.toString('latin1', 0, result)
  }
  ring.registerFiles([file('one'), -1, file('three')])
  assert.deepEqual([read(0), read(1), read(2)], ['one', -9, 'three'])
  assert.equal(ring.registerFilesUpdate(0, [sys.IORING_REGISTER_FILES_SKIP, file('two')]), 2)
  assert.deepEqual([read(0), read(1)], ['one', 'two'])
  ring.unregisterFiles()
  assert.throws(() => ring.unregisterFiles(), { code: 'ENXIO' })

  ring.registerFilesTags([file('tagged')], [0x77])
  assert.equal(ring.registerFilesUpdateTag(0, [file('other')], [0x78]), 1)
  assert.equal(takeCqes(ring, 1)[0]![0], 0x77)
  assert.equal(read(0), 'other')
  ring.unregisterFiles()
  assert.equal(takeCqes(ring, 1)[0]![0], 0x78)
  ring.accountForeignCqes(2)

  ring.registerFilesSparse(8)
  ring.registerFileAllocRange(4, 2)
  const path = Buffer.from(`${join(dir, 'one')}\0`)
  const openDirect = (): number =>
    run(ring, (sqe) => {
      sqe.words.set([sys.IORING_OP_OPENAT, -100])
      sqe.words.set(new Int32Array(BigInt64Array.of(BigInt(addressOf(ring, path))).buffer), 4)
      sqe.words[11] = sys.IORING_FILE_INDEX_ALLOC
    })
  assert.deepEqual([openDirect(), openDirect(), openDirect()], [4, 5, -23])
  assert.equal(read(5), 'one')
  assert.throws(() => ring.registerFiles([2 ** 31]), { code: 'ERR_OUT_OF_RANGE' })
})

test('an eventfd speaks for every completion, and is silent when muted', (t) => {
  const ring = open(t)
  const fd = ring.driver.syscall(syscallNumber('eventfd2'), 0, 0o2004000)
  const eventfd = new OwnedFd(t, fd)
  const count = (): number => {
    const value = new BigUint64Array(1)
    const result = ring.driver.syscall(
      process.arch === 'arm64' ? 63 : 0,
      eventfd.fd,
      addressOf(ring, value),
      8,
    )
    return result < 0 ? 0 : Number(value[0])
  }
  const nop = (): number => run(ring, (sqe) => prepNop(sqe))
  ring.registerEventfd(eventfd.fd)
  assert.throws(() => ring.registerEventfd(eventfd.fd), { code: 'EBUSY' })
  nop()
  nop()
  assert.equal(count(), 2)
  assert.equal(ring.cqEventfdEnabled(), true)
  ring.cqEventfdToggle(false)
  nop()
  assert.deepEqual([ring.cqEventfdEnabled(), count()], [false, 0])
  ring.cqEventfdToggle(true)
  nop()
  assert.equal(count(), 1)
  ring.unregisterEventfd()
  nop()
  assert.equal(count(), 0)
  ring.registerEventfdAsync(eventfd.fd)
  nop()
  assert.equal(count(), 0, 'it completed while it was submitted')
  ring.unregisterEventfd()
})

test('a restricted ring does what is on the list', (t) => {
  const ring = open(t, { rDisabled: true })
  ring.registerRestrictions([
    { allow: 'sqeOp', opcode: sys.IORING_OP_NOP },
    { allow: 'registerOp', opcode: sys.IORING_REGISTER_ENABLE_RINGS },
    { allow: 'sqeFlags', flags: sys.IOSQE_ASYNC },
  ])
  prepNop(ring.getSqe()!)
  assert.throws(() => ring.submit(), { code: 'EBADFD', message: /enableRings/ })
  ring.enableRings()
  assert.equal(ring.submitAndWait(1), 1)
  assert.equal(takeCqes(ring, 1)[0]![1], 0)
  const buffer = new Uint8Array(1)
  assert.equal(
    run(ring, (sqe) => prepRead(sqe, 0, addressOf(ring, buffer), 1, 0)),
    -13,
  )
  assert.throws(() => ring.registerProbe(), { code: 'EACCES', message: /restriction/ })
  const enabled = new Ring({ entries: 2 })
  assert.throws(() => enabled.enableRings(), { code: 'EBADFD', message: /rDisabled/ })
  assert.throws(() => enabled.registerRestrictions([{ allow: 'sqeOp', opcode: 300 }]), {
    code: 'ERR_OUT_OF_RANGE',
  })
  enabled.close()
})

test('probe, personality, workers, clock', (t) => {
  const ring = open(t)
  const known = ring.registerProbe()
  assert.ok(known.lastOp >= sys.IORING_OP_SEND_ZC)
  assert.deepEqual([known.supported(0), known.supported(255), known.supported(-1)], [true, false, false])
  const id = ring.registerPersonality()
  assert.ok(id > 0)
  assert.equal(
    run(ring, (sqe) => {
      prepNop(sqe)
      sqe.words[10] = id << 16
    }),
    0,
  )
  ring.unregisterPersonality(id)
  assert.throws(() => ring.unregisterPersonality(id), { code: 'EINVAL' })
  const before = ring.registerIowqMaxWorkers(3, 5)
  assert.ok(before[0] > 0 && before[1] > 0)
  assert.deepEqual(ring.registerIowqMaxWorkers(0, 0), [3, 5])
  ring.registerIowqAff([0])
  ring.unregisterIowqAff()
  if (has('IORING_REGISTER_CLOCK')) {
    ring.registerClock(7)
    ring.registerClock(1)
    assert.throws(() => ring.registerClock(99), { code: 'EINVAL', message: /CLOCK/ })
  }
})

test('NAPI, message without a ring, and structs that are handed on', (t) => {
  const ring = open(t)
  if (has('IORING_REGISTER_NAPI')) {
    try {
      assert.deepEqual(ring.registerNapi({ busyPollUs: 50, preferBusyPoll: true }), {
        busyPollUs: 0,
        preferBusyPoll: false,
      })
      assert.deepEqual(ring.registerNapi({ busyPollUs: 10 }), { busyPollUs: 50, preferBusyPoll: true })
      ring.unregisterNapi()
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'EOPNOTSUPP', 'a kernel without busy polling')
    }
  }
  if (has('IORING_REGISTER_SEND_MSG_RING')) {
    const sqe = new Int32Array(16)
    sqe[0] = sys.IORING_OP_MSG_RING
    sqe[1] = ring.fd
    sqe[6] = 4242
    ring.registerSyncMsg(sqe)
    assert.equal(takeCqes(ring, 1)[0]![1], 4242)
    ring.accountForeignCqes(1)
  }
  assert.throws(() => ring.registerIfq(new Uint8Array(96)), { syscall: 'io_uring_register', op: 'ZCRX_IFQ' })
  assert.throws(() => ring.registerZcrxCtrl(new Uint8Array(72)), { op: 'ZCRX_CTRL' })
  assert.throws(() => ring.registerBpfFilter(new Uint8Array(72)), { op: 'BPF_FILTER' })
  assert.throws(() => ring.registerIfq(new Uint8Array(95)), {
    code: 'ERR_INVALID_ARG_VALUE',
    message: /96 bytes/,
  })
  assert.equal(ring.register(200, null, 0), -22)
})

test('cancelling by call finds what matches, and counts', (t) => {
  const ring = open(t)
  const { reader } = pipe(t)
  const buffer = new Uint8Array(8)
  for (let i = 1; i <= 3; i++) {
    const sqe = ring.getSqe()!
    prepRead(sqe, reader.fd, addressOf(ring, buffer), 8, -1)
    sqe.setUserData(i)
  }
  ring.submit()
  assert.equal(ring.registerSyncCancel({ userData: 99, timeoutMs: 100 }), -2)
  assert.equal(ring.registerSyncCancel({ userData: 2, timeoutMs: 1000 }), 0)
  assert.deepEqual(takeCqes(ring, 1)[0]!.slice(0, 2), [2, -125])
  const flags = sys.IORING_ASYNC_CANCEL_ALL | sys.IORING_ASYNC_CANCEL_FD
  const cancelled = ring.registerSyncCancel({ fd: reader.fd, flags, timeoutMs: 1000 })
  assert.ok(cancelled === 0 || cancelled === 2)
  assert.deepEqual(
    takeCqes(ring, 2)
      .map(([userData, res]) => [userData, res])
      .sort(([a], [b]) => a! - b!),
    [
      [1, -125],
      [3, -125],
    ],
  )
  assert.throws(() => ring.registerSyncCancel({ flags: 0x10000 }), { code: 'EINVAL', message: /SYNC_CANCEL/ })
})

test('a buffer ring gives buffers to the kernel and gets each back once', (t) => {
  const ring = open(t)
  const [near, far] = socketPair(t)
  const buffers = new BufferRing(ring, { group: 3, entries: 4, bufferBytes: 32 })
  t.after(() => buffers.close())
  const receive = (): { res: number; flags: number } => {
    const sqe = ring.getSqe()!
    prepRecv(sqe, near.fd, 0, 0, 0)
    sqeSetBufferSelect(sqe, 3)
    ring.submitAndWait(1)
    const [, res, flags] = takeCqes(ring, 1)[0]!
    return { res, flags }
  }
  // More rounds than 65,536 / 4 would take long; enough to go round the ring often.
  const seen = new Set<number>()
  for (let round = 0; round < 1000; round++) {
    const text = `message ${round}`
    writeSync(far.fd, text)
    const { res, flags } = receive()
    assert.ok(flags & sys.IORING_CQE_F_BUFFER)
    const bid = flags >>> sys.IORING_CQE_BUFFER_SHIFT
    seen.add(bid)
    const bytes = buffers.take(bid, res)
    assert.equal(Buffer.from(bytes).toString(), text)
    assert.equal(buffers.available, 3)
    assert.throws(() => buffers.take(bid, 1), { code: 'ERR_INVALID_STATE', message: /taken already/ })
    buffers.release(bid)
    assert.throws(() => buffers.release(bid), { code: 'ERR_INVALID_STATE', message: /kernel has it already/ })
  }
  assert.equal(seen.size, 4)
  // Exhausted: each buffer is taken, the next receive finds none.
  const taken: number[] = []
  for (let i = 0; i < 4; i++) {
    writeSync(far.fd, 'x')
    const { flags, res } = receive()
    taken.push(flags >>> 16)
    buffers.take(flags >>> 16, res)
  }
  writeSync(far.fd, 'y')
  assert.equal(receive().res, -105)
  if (has('IORING_REGISTER_PBUF_STATUS')) assert.equal(buffers.kernelAvailable(), 0)
  for (const bid of taken) buffers.add(bid)
  buffers.advance()
  assert.equal(receive().res, 1)
  assert.throws(() => buffers.take(4, 1), { code: 'ERR_OUT_OF_RANGE' })
  assert.throws(() => buffers.take(taken[1]!, 33), { code: 'ERR_OUT_OF_RANGE' })
  assert.throws(() => new BufferRing(ring, { group: 3, entries: 4, bufferBytes: 1 }), { code: 'EEXIST' })
  assert.throws(() => new BufferRing(ring, { group: 4, entries: 3, bufferBytes: 1 }), {
    code: 'ERR_OUT_OF_RANGE',
  })
  buffers.close()
  assert.throws(() => buffers.add(0), { code: 'ERR_INVALID_STATE' })
})

test('the tail of a buffer ring wraps at 65,536', (t) => {
  const ring = open(t)
  const [near, far] = socketPair(t)
  const buffers = new BufferRing(ring, { group: 0, entries: 2, bufferBytes: 16 })
  t.after(() => buffers.close())
  const data = new Uint8Array([7])
  for (let round = 0; round < 70_000; round++) {
    writeSync(far.fd, data)
    const sqe = ring.getSqe()!
    prepRecv(sqe, near.fd, 0, 0, 0)
    sqeSetBufferSelect(sqe, 0)
    ring.submit()
    ring.forEachCqe((_userData, _high, res, flags) => {
      assert.equal(buffers.take(flags >>> 16, res)[0], 7)
      buffers.release(flags >>> 16)
    })
  }
  assert.equal(ring.inKernel, 0)
})

test('a buffer that is added does not touch the tail until advance, in slot 0 either', (t) => {
  const ring = open(t)
  const buffers = new BufferRing(ring, { group: 9, entries: 2, bufferBytes: 16 })
  t.after(() => buffers.close())
  const tail = (): number => new Uint16Array(buffers.buffers.buffer, 0, 8)[7]!
  assert.equal(tail(), 2)
  const [near, far] = socketPair(t)
  writeSync(far.fd, 'x')
  const sqe = ring.getSqe()!
  prepRecv(sqe, near.fd, 0, 0, 0)
  sqeSetBufferSelect(sqe, 9)
  ring.submitAndWait(1)
  const [, res, flags] = takeCqes(ring, 1)[0]!
  buffers.take(flags >>> 16, res)
  buffers.add(flags >>> 16)
  assert.equal(tail(), 2)
  buffers.advance()
  assert.equal(tail(), 3)
})

test('an incremental buffer serves several receives', (t) => {
  const ring = open(t)
  const [near, far] = socketPair(t)
  let buffers: BufferRing
  try {
    buffers = new BufferRing(ring, { group: 1, entries: 1, bufferBytes: 16, incremental: true })
  } catch (error) {
    return t.skip(`this kernel has no incremental buffers: ${(error as Error).message}`)
  }
  t.after(() => buffers.close())
  const texts: string[] = []
  for (const text of ['four', 'five5', 'sevenn7']) {
    writeSync(far.fd, text)
    const sqe = ring.getSqe()!
    prepRecv(sqe, near.fd, 0, 0, 0)
    sqeSetBufferSelect(sqe, 1)
    ring.submitAndWait(1)
    const [, res, flags] = takeCqes(ring, 1)[0]!
    const more = (flags & sys.IORING_CQE_F_BUF_MORE) !== 0
    assert.equal(more, text !== 'sevenn7')
    const bytes = buffers.take(flags >>> 16, res, more)
    texts.push(Buffer.from(bytes).toString())
  }
  assert.deepEqual(texts, ['four', 'five5', 'sevenn7'])
  assert.equal(Buffer.from(buffers.buffers).toString(), 'fourfive5sevenn7')
  buffers.release(0)
  assert.equal(buffers.available, 1)
})

test('buffers that were unregistered stay referenced until the kernel has let go', async (t) => {
  const ring = open(t)
  const { reader, writer } = pipe(t)
  const registry: string[] = []
  const finalization = new FinalizationRegistry<string>((name) => registry.push(name))
  const address = (() => {
    const buffer = new Uint8Array(8192)
    finalization.register(buffer.buffer, 'gone')
    ring.registerBuffers([buffer])
    return ring.driver.addressOf(buffer)
  })()
  prepReadFixed(ring.getSqe()!, reader.fd, address, 8192, -1, 0)
  ring.submit()
  ring.unregisterBuffers()
  for (let i = 0; i < 5; i++) {
    globalThis.gc?.()
    await new Promise((done) => setTimeout(done, 2))
  }
  assert.deepEqual(registry, [], 'the read may still write into it')
  writeSync(writer.fd, 'done')
  assert.equal(takeCqes(ring, 1)[0]![1], 4)
  ring.register(sys.IORING_REGISTER_PROBE, new Uint8Array(16 + 8), 1)
  for (let i = 0; i < 50 && registry.length === 0; i++) {
    globalThis.gc?.()
    await new Promise((done) => setTimeout(done, 2))
  }
  assert.deepEqual(registry, ['gone'])
})
