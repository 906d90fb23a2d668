// Rings whose memory or name is not the usual one: in the caller's pages, in huge pages, without an fd, submitting from the front; and
// rings that poll the device.
// Flow: this → Ring, Uring (ring-setup.ts, submission-queue.ts, native/addon.c) → kernel.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { Uring } from 'ringcore'
import { BufferRing, prepNop, prepRead, Ring, type RingOptions, ringMemoryBytes } from 'ringcore/ring'
import * as sys from 'ringcore/sys'
import type { Driver } from '#src/sys/driver.js'
import { openDriver } from '#src/sys/open-driver.js'
import { countFds, oracle, pipe, tempDir } from './helpers.js'
import { missingFlags, takeCqes } from './ring-kinds.js'
import { failure, openUring } from './uring.js'

const WITHOUT_FD = { noMmap: true, registeredFdOnly: true }
const HUGE = 2 * 1024 * 1024

function has(t: TestContext, options: RingOptions): boolean {
  const missing = missingFlags(options)
  if (missing.length > 0) t.skip(`this kernel does not have ${missing.join(', ')}`)
  return missing.length === 0
}

function nops(ring: Ring, count: number): void {
  for (let i = 0; i < count; i++) {
    const sqe = ring.getSqe()!
    prepNop(sqe)
    sqe.words[8] = i
  }
  ring.submitAndWait(count)
  const seen = takeCqes(ring, count).map(([userData]) => userData)
  assert.deepEqual(
    seen,
    Array.from({ length: count }, (_, i) => i),
  )
}

test("a ring in the caller's memory", (t) => {
  oracle(t)
  if (!has(t, { noMmap: true })) return
  for (const options of [
    { entries: 8 },
    { entries: 64, sqe128: true, cqe32: true },
    { entries: 3, cqEntries: 1000 },
  ]) {
    const bytes = ringMemoryBytes(options)
    assert.equal(bytes % 4096, 0)
    const memory = sys.mmap(-1, bytes)
    assert.ok(typeof memory !== 'number')
    // What lay there before does not become heads and tails.
    new Uint8Array(memory).fill(0xff)
    const ring = new Ring({ ...options, memory })
    assert.notEqual(ring.setupFlags & sys.IORING_SETUP_NO_MMAP, 0)
    assert.equal(ring.memory.ring, memory)
    assert.equal(ring.memory.sqes, memory)
    nops(ring, ring.sqEntries)
    assert.throws(() => new Ring({ ...options, memory }), {
      code: 'ERR_INVALID_STATE',
      message: /another ring/,
    })
    assert.throws(() => ring.resizeRings(16), { code: 'ERR_INVALID_ARG_VALUE' })
    ring.close()
    assert.ok(
      new Uint8Array(memory).every((byte) => byte === 0),
      'the kernel has nothing to do with it any more',
    )
    // And again.
    const next = new Ring({ ...options, memory })
    nops(next, 3)
    next.close()
    assert.equal(sys.munmap(memory), 0)
  }
})

test("what can't be a ring's memory is refused", (t) => {
  oracle(t)
  if (!has(t, { noMmap: true })) return
  const before = countFds().all
  const small = sys.mmap(-1, 4096)
  assert.ok(typeof small !== 'number')
  assert.throws(() => new Ring({ entries: 64, memory: small }), {
    code: 'ERR_OUT_OF_RANGE',
    message: new RegExp(`memory.byteLength.*>= ${ringMemoryBytes({ entries: 64 })}`),
  })
  assert.throws(() => new Ring({ memory: new Uint8Array(1 << 20) as never }), {
    code: 'ERR_INVALID_ARG_TYPE',
  })
  assert.throws(() => new Ring({ hugePages: 1 as never }), { code: 'ERR_INVALID_ARG_TYPE' })
  assert.throws(() => new Ring({ hugePages: true, noMmap: false }), { code: 'ERR_INVALID_ARG_VALUE' })
  // Memory of the heap would be gone with the collector: nothing would hold it when the thread dies.
  const heap = new ArrayBuffer(1 << 20)
  assert.throws(() => new Ring({ entries: 4, memory: heap }), {
    code: 'ERR_INVALID_ARG_VALUE',
    message: /'memory' must be of mmap\(\)/,
  })
  assert.equal(countFds().all, before)
  assert.equal(sys.munmap(small), 0)
})

test('huge pages: a ring in one, or a clear error', async (t) => {
  oracle(t)
  if (!has(t, { noMmap: true })) return
  let ring: Ring
  try {
    ring = new Ring({ entries: 256, hugePages: true })
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, 'ERR_RING_UNAVAILABLE')
    assert.match((error as Error).message, /huge pages: none is free; raise the sysctl vm.nr_hugepages/)
    assert.equal(((error as Error).cause as NodeJS.ErrnoException).code, 'ENOMEM')
    return t.skip('no huge page is free here')
  }
  assert.equal(ring.memory.ring.byteLength, HUGE)
  const smaps = fs.readFileSync('/proc/self/smaps', 'utf8')
  const at = ring.driver.addressOf(new Uint8Array(ring.memory.ring)).toString(16)
  assert.match(smaps.slice(smaps.indexOf(`${at}-`)), /^[\s\S]*?KernelPageSize: +2048 kB/)
  nops(ring, 256)
  ring.close()
  const memory = sys.mmap(-1, HUGE, sys.MAP_HUGETLB)
  assert.ok(typeof memory !== 'number', `huge pages come back: ${String(memory)}`)
  const own = new Uring({ memory })
  assert.equal(await own.nop(), 0)
  await own.close()
  assert.equal(sys.munmap(memory), 0)
  assert.throws(() => sys.mmap(-1, 4096, sys.MAP_HUGETLB), { code: 'ERR_OUT_OF_RANGE' })
  assert.throws(() => sys.mmap(-1, HUGE, 16), { code: 'ERR_OUT_OF_RANGE' })
})

test('a ring without an fd does all, and is in nobody’s list of files', async (t) => {
  oracle(t)
  if (!has(t, WITHOUT_FD)) return
  const before = countFds()
  const { reader, writer } = pipe(t)
  for (const more of [{}, { singleIssuer: true, deferTaskrun: true }, { sqpoll: true, sqThreadIdleMs: 1 }]) {
    const ring = new Ring({ entries: 8, ...WITHOUT_FD, ...more })
    assert.equal(ring.fd, -1)
    assert.equal(countFds().rings, before.rings)
    nops(ring, 8)
    assert.ok(ring.registerProbe().lastOp > 0)
    ring.registerBuffers([new Uint8Array(64)])
    ring.unregisterBuffers()
    assert.throws(() => ring.registerRingFd(), { code: 'ERR_INVALID_ARG_VALUE' })
    assert.throws(() => ring.unregisterRingFd(), { code: 'ERR_INVALID_ARG_VALUE' })
    assert.throws(() => new BufferRing(ring, { group: 0, entries: 1, bufferBytes: 8, mapped: true }), {
      code: 'ERR_INVALID_ARG_VALUE',
      message: /no fd/,
    })
    const buffers = new BufferRing(ring, { group: 0, entries: 1, bufferBytes: 8 })
    buffers.close()
    // Something is in flight: it closes all the same, and not before the kernel has let go.
    prepRead(ring.getSqe()!, reader.fd, ring.driver.addressOf(new Uint8Array(64)), 64, -1)
    ring.submit()
    assert.throws(() => ring.close(), { code: 'ERR_INVALID_STATE' })
    ring.close({ cancel: true })
  }
  const ring = openUring(t, WITHOUT_FD)
  const buffer = Buffer.alloc(4)
  const reading = ring.read(reader.fd, buffer)
  await ring.write(writer.fd, Buffer.from('text'))
  assert.equal(await reading, 4)
  assert.equal(`${buffer}`, 'text')
  assert.equal((await failure(ring.read(reader.fd, buffer, { timeout: 5 }))).code, 'ETIMEDOUT')
  const other = openUring(t)
  await assert.rejects(other.msgRing(ring, { value: 1 }), {
    code: 'ERR_INVALID_ARG_VALUE',
    message: /no messages/,
  })
  // It sends them.
  const messages = other.messages()
  await ring.msgRing(other, { value: 7 })
  assert.equal((await messages.next()).value.value, 7)
  await messages.return()
})

test('a thread has room for sixteen rings without an fd; the seventeenth is told so, and places come back', (t) => {
  oracle(t)
  if (!has(t, WITHOUT_FD)) return
  const rings: Ring[] = []
  const fill = (): void => {
    for (;;) rings.push(new Ring({ entries: 1, ...WITHOUT_FD }))
  }
  assert.throws(fill, { code: 'ERR_INVALID_STATE', message: /all 16 indices/ })
  const count = rings.length
  assert.ok(count > 8, `${count}`)
  for (const ring of rings.splice(0)) ring.close()
  assert.throws(fill, { code: 'ERR_INVALID_STATE' })
  assert.equal(rings.length, count)
  for (const ring of rings) ring.close()
})

test('buffers are cloned from a ring that has only an index', (t) => {
  oracle(t)
  if (!has(t, WITHOUT_FD)) return
  using source = new Ring({ entries: 4, ...WITHOUT_FD })
  using target = new Ring({ entries: 4 })
  source.registerBuffers([new Uint8Array(64)])
  try {
    target.cloneBuffers(source)
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, 'EINVAL')
    return t.skip('needs CLONE_BUFFERS: kernel 6.12')
  }
  target.unregisterBuffers()
})

/**
 * A kernel with SQ_REWIND, made of one without: entries go by an index array that the driver writes, and the words of head and tail
 * that the ring sees are two that nobody uses (ring_mask, ring_entries).
 */
function rewindDriver(): Driver {
  const driver = openDriver()
  const { IORING_SETUP_SQ_REWIND, IORING_SETUP_NO_SQARRAY } = sys
  let real: { head: number; tail: number; array: number; mask: number }
  let words: Int32Array
  let fake: [head: number, tail: number]
  return {
    ...driver,
    name: 'simulated',
    setup(entries, params) {
      const view = new DataView(params.buffer)
      const flags = view.getUint32(8, true)
      if (!(flags & IORING_SETUP_SQ_REWIND)) return driver.setup(entries, params)
      view.setUint32(8, flags & ~(IORING_SETUP_SQ_REWIND | IORING_SETUP_NO_SQARRAY), true)
      const fd = driver.setup(entries, params)
      if (fd < 0) return fd
      const at = (offset: number): number => view.getUint32(offset, true) / 4
      real = { head: at(40), tail: at(44), array: at(64), mask: view.getUint32(0, true) - 1 }
      fake = [at(48), at(52)]
      view.setUint32(40, at(48) * 4, true)
      view.setUint32(44, at(52) * 4, true)
      view.setUint32(64, 0, true)
      view.setUint32(8, flags, true)
      return fd
    },
    map(fd, bytes, offset) {
      const isQueues = fd >= 0 && offset === 0
      // The index array lies behind what the ring knows of.
      const memory = driver.map(
        fd,
        isQueues ? Math.max(bytes, (real.array + real.mask + 1) * 4) : bytes,
        offset,
      )
      if (isQueues && typeof memory !== 'number') {
        words = new Int32Array(memory)
        for (const word of fake) words[word] = 0
      }
      return memory
    },
    enter(fd, submit, complete, flags, address, bytes) {
      const { head, tail, array, mask } = real
      const from = Atomics.load(words, head)
      for (let i = 0; i < submit; i++) words[array + ((from + i) & mask)] = i
      Atomics.store(words, tail, from + submit)
      return driver.enter(fd, submit, complete, flags, address, bytes)
    },
  }
}

test('SQ_REWIND: the kernel takes entries from the front each time, and what it leaves moves there', (t) => {
  oracle(t)
  if (missingFlags({ sqRewind: true }).length > 0) {
    assert.throws(() => new Ring({ entries: 4, sqRewind: true, noSqarray: true }), {
      code: 'ERR_RING_FEATURE',
      message: /SQ_REWIND.*Linux 7.0/,
    })
  }
  assert.throws(() => new Uring({ sqRewind: true, noSqarray: true }), { code: 'ERR_INVALID_ARG_VALUE' })
  const ring = new Ring({ entries: 8, sqRewind: true, noSqarray: true, driver: rewindDriver() })
  for (const count of [1, 8, 3, 5, 8, 2]) nops(ring, count)
  assert.deepEqual([ring.sqReady(), ring.sqSpaceLeft(), ring.inKernel], [0, 8, 0])
  // A bad one ends its batch: those behind it go down with the next submit, in their order.
  const claim = (userData: number, opcode = 0): void => {
    const sqe = ring.getSqe()!
    prepNop(sqe)
    sqe.words[0] = opcode
    sqe.words[8] = userData
  }
  claim(1)
  claim(2, 250)
  claim(3)
  claim(4)
  assert.equal(ring.submit(), 2)
  assert.equal(ring.sqReady(), 2)
  claim(5)
  assert.equal(ring.submit(), 3)
  assert.deepEqual(
    takeCqes(ring, 5).map(([userData, res]) => [userData, res]),
    [
      [1, 0],
      [2, -22],
      [3, 0],
      [4, 0],
      [5, 0],
    ],
  )
  // What is in flight keeps the ring from closing; entries are zeroed before they are given out again.
  const { reader } = pipe(t)
  prepRead(ring.getSqe()!, reader.fd, ring.driver.addressOf(new Uint8Array(8)), 8, -1)
  ring.submit()
  assert.equal(ring.inKernel, 1)
  assert.ok(ring.getSqe()!.words.every((word) => word === 0))
  assert.throws(() => ring.close(), {
    code: 'ERR_INVALID_STATE',
    message: /1 operations are in the kernel and 1 SQEs/,
  })
  ring.close({ cancel: true })
})

test('SQE_MIXED is asked for by probe', (t) => {
  oracle(t)
  if (missingFlags({ sqeMixed: true }).length > 0) {
    assert.throws(() => new Ring({ entries: 4, sqeMixed: true }), {
      code: 'ERR_RING_FEATURE',
      message: /SQE_MIXED.*Linux 6.19/,
    })
    return t.skip('needs kernel 6.19')
  }
  const ring = new Ring({ entries: 4, sqeMixed: true })
  prepNop(ring.getSqe()!)
  ring.submitAndWait(1)
  takeCqes(ring, 1)
  ring.close()
})

for (const [kind, more] of Object.entries({
  IOPOLL: {},
  HYBRID_IOPOLL: { hybridIopoll: true },
  'IOPOLL, DEFER_TASKRUN': { singleIssuer: true, deferTaskrun: true },
  'IOPOLL, SQPOLL': { sqpoll: true, sqThreadIdleMs: 5 },
})) {
  test(`a ring that polls the device: O_DIRECT where that can be polled (${kind})`, async (t) => {
    oracle(t)
    const options = { iopoll: true, ...more }
    if (!has(t, options)) return
    const path = join(tempDir(t), 'file')
    fs.writeFileSync(path, Buffer.alloc(65536, 'x'))
    const ring = openUring(t, options)
    assert.equal(await ring.nop(), 0)
    let fd: number
    try {
      fd = fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_DIRECT)
    } catch {
      return t.skip('no O_DIRECT on this file system')
    }
    t.after(() => fs.closeSync(fd))
    const buffer = ring.alloc(4096)
    const results = await Promise.allSettled(
      Array.from({ length: 16 }, (_, i) => ring.read(fd, ring.alloc(4096), { position: i * 4096 })),
    )
    const codes = new Set(results.map((r) => (r.status === 'fulfilled' ? r.value : r.reason.code)))
    assert.equal(codes.size, 1, [...codes].join())
    const [code] = codes
    if (code === 4096) {
      buffer.fill('y')
      assert.equal(await ring.write(fd, buffer, { position: 4096 }), 4096)
      assert.equal(await ring.readFixed(fd, buffer, { position: 0 }), 4096)
      assert.equal(fs.readFileSync(path, 'latin1').slice(4095, 4097), 'xy')
    } else {
      assert.equal(code, 'ENOTSUP', 'a device that can’t be polled')
      t.diagnostic('the device can’t be polled: reads say ENOTSUP')
    }
    // What can't be polled is refused, and nothing is lost by it.
    const plain = fs.openSync(path, 'r')
    t.after(() => fs.closeSync(plain))
    assert.equal((await failure(ring.read(plain, buffer, { position: 0 }))).code, 'ENOTSUP')
    assert.equal((await failure(ring.timeout(1))).code, 'EINVAL')
    assert.equal((await failure(ring.openat(path))).code, 'EINVAL')
    assert.equal(await ring.nop(), 0)
  })
}
