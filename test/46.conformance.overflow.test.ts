// Full queues in rarer forms: large CQEs, multishot polls, resized rings; the eventfd of DEFER_TASKRUN.
// Flow: this → ring-kinds.ts → ringcore/ring.

import assert from 'node:assert/strict'
import test from 'node:test'
import * as op from 'ringcore/ring'
import * as sys from 'ringcore/sys'
import { OwnedFd, oracle, pipe } from './helpers.js'
import { call } from './op-helpers.js'
import { takeCqes } from './ring-kinds.js'

const DEFER = { singleIssuer: true, deferTaskrun: true }
const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i)

/** A NOP whose CQE has 32 bytes and says the number in its second half. */
function bigNop(ring: op.Ring, id: number): void {
  const sqe = ring.getSqe()!
  op.prepNop(sqe)
  sqe.setUserData(id)
  sqe.words[7] = sys.IORING_NOP_CQE32
  sqe.words[2] = id * 10
  sqe.words[4] = id * 100
}

for (const options of [{ cqe32: true }, { cqeMixed: true }, { cqeMixed: true, ...DEFER }]) {
  test(`large CQEs that overflow keep their order and their second half · ${Object.keys(options)}`, (t) => {
    oracle(t)
    let ring: op.Ring
    try {
      ring = new op.Ring({ entries: 4, cqEntries: 8, ...options })
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'ERR_RING_FEATURE')
      return t.skip('needs CQE_MIXED: kernel 6.18')
    }
    t.after(() => ring.close({ cancel: true }))
    for (let id = 0; id < 40; id++) {
      bigNop(ring, id)
      if (id % 4 === 3) assert.equal(ring.submit(), 4)
    }
    if ('deferTaskrun' in options) ring.getEvents()
    assert.equal(ring.cqHasOverflow(), true)
    const seen: number[][] = []
    for (let turns = 0; seen.length < 40 && turns < 100; turns++) {
      ring.forEachCqe((id, _high, _res, _flags, index) => {
        const extra = ring.bigCqe(index)
        seen.push([id, extra[0]!, extra[2]!])
      })
      ring.getEvents()
    }
    assert.deepEqual(
      seen,
      upTo(40).map((id) => [id, id * 10, id * 100]),
    )
    assert.equal(ring.inKernel, 0)
  })
}

for (const options of [{}, DEFER]) {
  const kind = Object.keys(options).join(', ') || 'default'

  test(`a multishot poll and a full CQ · ${kind}`, (t) => {
    oracle(t)
    const ring = new op.Ring({ entries: 2, cqEntries: 4, ...options })
    t.after(() => ring.close({ cancel: true }))
    const { fd } = new OwnedFd(t, call('eventfd2', 0, 0o2004000))
    const poll = ring.getSqe()!
    op.prepPollMultishot(poll, fd, (sys.POLLIN | sys.EPOLLET) >>> 0)
    poll.setUserData(1)
    ring.submit()
    const one = BigUint64Array.of(1n)
    for (let i = 0; i < 12; i++) {
      assert.equal(call('write', fd, ring.driver.addressOf(one), 8), 8)
      // The poll's work runs when the thread enters.
      ring.getEvents()
    }
    const flags: number[] = []
    for (let turns = 0; turns < 20; turns++) {
      ring.getEvents()
      ring.forEachCqe((id, _high, res, f) => {
        assert.deepEqual([id, res & sys.POLLIN], [1, sys.POLLIN])
        flags.push(f & sys.IORING_CQE_F_MORE)
      })
    }
    // It goes on, or ends and says so with the last: nothing comes after a CQE without MORE.
    assert.ok(flags.length >= 4, `${flags.length} completions`)
    assert.ok(flags.slice(0, -1).every((more) => more !== 0))
    assert.equal(ring.inKernel, flags.at(-1) === 0 ? 0 : 1)
    t.diagnostic(`${flags.length} completions for 12 events, ${flags.at(-1) === 0 ? 'ended' : 'armed'}`)
  })

  test(`a multishot read and a full CQ · ${kind}`, (t) => {
    oracle(t)
    const ring = new op.Ring({ entries: 2, cqEntries: 4, ...options })
    t.after(() => ring.close({ cancel: true }))
    if (!ring.registerProbe().supported(sys.IORING_OP_READ_MULTISHOT))
      return t.skip('needs READ_MULTISHOT: kernel 6.7')
    const { reader, writer } = pipe(t)
    const buffers = new op.BufferRing(ring, { group: 1, entries: 16, bufferBytes: 8 })
    t.after(() => buffers.close())
    const arm = (): void => {
      op.prepReadMultishot(ring.getSqe()!, reader.fd, 0, -1, 1)
      ring.submit()
    }
    arm()
    const total = 40
    let written = 0
    let text = ''
    const write = (): void => {
      const byte = Buffer.of(65 + written++)
      assert.equal(call('write', writer.fd, ring.driver.addressOf(byte), 1), 1)
      ring.getEvents()
    }
    for (let i = 0; i < 12; i++) write()
    for (const end = performance.now() + 5000; text.length < total && performance.now() < end; ) {
      if (written < total) write()
      ring.getEvents()
      let ended = false
      ring.forEachCqe((_low, _high, res, flags) => {
        ended = (flags & sys.IORING_CQE_F_MORE) === 0
        if (res === -sys.ENOBUFS) return
        assert.ok(res > 0, `read: ${res}`)
        const bid = flags >>> sys.IORING_CQE_BUFFER_SHIFT
        text += Buffer.from(buffers.take(bid, res)).toString()
        buffers.release(bid)
      })
      if (ended) arm()
    }
    assert.equal(text, Buffer.from(upTo(total).map((i) => 65 + i)).toString())
    assert.equal(buffers.available, 16, 'every buffer is back')
  })

  test(`poll agrees with epoll about files and pipes · ${kind}`, (t) => {
    oracle(t)
    const ring = new op.Ring({ entries: 8, ...options })
    t.after(() => ring.close({ cancel: true }))
    const { fd: file } = new OwnedFd(t, call('memfd_create', ring.driver.addressOf(Buffer.from('x\0')), 1))
    const { fd: epfd } = new OwnedFd(t, call('epoll_create1', sys.O_CLOEXEC))
    const { reader, writer } = pipe(t)
    const mask = sys.POLLIN | sys.POLLOUT
    const polled = (fd: number): number => {
      op.prepPollAdd(ring.getSqe()!, fd, mask)
      ring.submitAndWaitTimeout(1, { timeoutMs: 2000 })
      return takeCqes(ring, 1)[0]![1]
    }
    /** What epoll says, by epoll_wait as a request; 0 where it refuses the file. */
    const epolled = (fd: number): number => {
      const bytes = new Uint8Array(16)
      const event = new DataView(bytes.buffer)
      event.setUint32(0, mask, true)
      const added = call('epoll_ctl', epfd, sys.EPOLL_CTL_ADD, fd, ring.driver.addressOf(bytes))
      if (added < 0) return added
      const got = new Uint8Array(16)
      op.prepEpollWait(ring.getSqe()!, epfd, ring.driver.addressOf(got), 1, 0)
      ring.submitAndWaitTimeout(1, { timeoutMs: 2000 })
      assert.equal(takeCqes(ring, 1)[0]![1], 1)
      assert.equal(call('epoll_ctl', epfd, sys.EPOLL_CTL_DEL, fd, 0), 0)
      return new DataView(got.buffer).getUint32(0, true)
    }
    if (!ring.registerProbe().supported(sys.IORING_OP_EPOLL_WAIT))
      return t.skip('needs EPOLL_WAIT: kernel 6.15')
    // A regular file is always ready, and epoll does not take it: poll(2), epoll_ctl(2).
    assert.deepEqual([polled(file), epolled(file)], [mask, -sys.EPERM])
    assert.deepEqual([polled(writer.fd), epolled(writer.fd)], [sys.POLLOUT, sys.POLLOUT])
    call('write', writer.fd, ring.driver.addressOf(Buffer.from('x')), 1)
    assert.deepEqual([polled(reader.fd), epolled(reader.fd)], [sys.POLLIN, sys.POLLIN])
    writer.close()
    const both = sys.POLLIN | sys.POLLHUP
    assert.deepEqual([polled(reader.fd), epolled(reader.fd)], [both, both])
  })
}

test('looking is enough: whichever way one looks, work that waits is done, and what overflowed comes', (t) => {
  oracle(t)
  const ring = new op.Ring({ entries: 4, cqEntries: 4, ...DEFER })
  t.after(() => ring.close({ cancel: true }))
  const { reader, writer } = pipe(t)
  const room = new Uint8Array(8)
  const copies = new Int32Array(4 * 16)
  const ways: Record<string, () => number> = {
    forEachCqe: () => ring.forEachCqe(() => {}),
    copyCqes: () => ring.copyCqes(copies),
    peekCqe: () => {
      const cqe = ring.peekCqe()
      if (cqe === null) return 0
      ring.cqeSeen(cqe)
      return 1
    },
  }
  for (const [name, look] of Object.entries(ways)) {
    op.prepRead(ring.getSqe()!, reader.fd, ring.driver.addressOf(room), 8, -1)
    ring.submit()
    assert.equal(look(), 0, name)
    call('write', writer.fd, ring.driver.addressOf(Buffer.from('x')), 1)
    assert.equal(look(), 1, `${name} sees what the thread had to do itself`)
    for (let i = 0; i < 12; i++) {
      op.prepNop(ring.getSqe()!)
      if (i % 4 === 3) ring.submit()
    }
    let seen = 0
    for (let looks = 0; looks < 20; looks++) seen += look()
    assert.equal(seen, 12, `${name} sees what overflowed`)
    assert.equal(ring.inKernel, 0)
  }
})

for (const size of [{ cqe32: true }, { cqeMixed: true }, { sqe128: true }]) {
  test(`a ring of large entries is resized · ${Object.keys(size)}`, (t) => {
    oracle(t)
    let ring: op.Ring
    try {
      ring = new op.Ring({ entries: 4, ...DEFER, ...size })
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'ERR_RING_FEATURE')
      return t.skip('needs CQE_MIXED: kernel 6.18')
    }
    t.after(() => ring.close({ cancel: true }))
    const isBig = !('sqe128' in size)
    const queue = (id: number): void => {
      if (isBig) {
        bigNop(ring, id)
        return
      }
      const sqe = ring.getSqe()!
      op.prepNop(sqe)
      sqe.setUserData(id)
    }
    for (const id of [0, 1, 2]) queue(id)
    ring.submit()
    ring.getEvents()
    for (const id of [3, 4]) queue(id)
    try {
      ring.resizeRings(16, 64)
    } catch (error) {
      for (let left = 5; left > 0; ) {
        ring.submitAndWait(1)
        left -= ring.forEachCqe(() => {})
      }
      return t.skip(`this kernel does not resize such a ring: ${(error as Error).message}`)
    }
    for (let id = 5; id < 16; id++) queue(id)
    const seen: number[][] = []
    while (seen.length < 16) {
      ring.submitAndWaitTimeout(16 - seen.length, { timeoutMs: 2000 })
      const took = ring.forEachCqe((id, _high, _res, _flags, index) => {
        const extra = isBig ? ring.bigCqe(index) : []
        seen.push(isBig ? [id, extra[0]!, extra[2]!] : [id])
      })
      assert.ok(took > 0, `only ${seen.length} came`)
    }
    assert.deepEqual(
      seen,
      upTo(16).map((id) => (isBig ? [id, id * 10, id * 100] : [id])),
    )
  })
}
