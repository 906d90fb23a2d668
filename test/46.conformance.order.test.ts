// Order between requests: barriers, linked timeouts, chains that post little.
// Flow: this → op-helpers.ts → ringcore/ring.

import assert from 'node:assert/strict'
import { openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import * as op from 'ringcore/ring'
import * as sys from 'ringcore/sys'
import { oracle, pipe, socketPair, tempDir } from './helpers.js'
import { opTest, type Rig, type Write } from './op-helpers.js'

const flagged =
  (flags: number, write: Write): Write =>
  (sqe) => {
    write(sqe)
    sqe.addFlags(flags)
  }

function waitingRead(rig: Rig, fd: number): Write {
  const memory = rig.memory(8)
  return (sqe) => op.prepRead(sqe, fd, memory.address, 8, -1)
}

opTest('READ, FSYNC, NOP', 'DRAIN holds back what comes behind', (rig) => {
  const { reader, writer } = pipe(rig.t)
  const file = rig.owned(openSync(join(tempDir(rig.t), 'file'), 'w+'))
  const fsync: Write = (sqe) => op.prepFsync(sqe, file, 0)
  const read = waitingRead(rig, reader.fd)
  const [first, barrier, behind] = rig.startAll(read, flagged(sys.IOSQE_IO_DRAIN, fsync), op.prepNop)
  rig.stillWaits(barrier!)
  rig.stillWaits(behind!)
  writeSync(writer.fd, 'x')
  for (const [id, res] of [
    [first!, 1],
    [barrier!, 0],
    [behind!, 0],
  ] as const)
    assert.equal(rig.wait(id).res, res)

  // A chain behind a barrier waits as a whole, and runs in its order.
  const link = sys.IOSQE_IO_LINK
  const ids = rig.startAll(
    read,
    flagged(sys.IOSQE_IO_DRAIN | link, fsync),
    flagged(link, (sqe) => op.prepClose(sqe, 9999)),
    fsync,
  )
  for (const id of ids) rig.stillWaits(id)
  writeSync(writer.fd, 'x')
  assert.deepEqual(
    ids.map((id) => rig.wait(id).res),
    [1, 0, -sys.EBADF, -sys.ECANCELED],
  )
})

opTest(
  'ACCEPT, POLL_ADD, LINK_TIMEOUT',
  'a linked timeout ends accept and poll, or loses against them',
  (rig) => {
    const { fd, address } = rig.listener()
    const ways: Write[] = [
      (sqe) => op.prepAccept(sqe, fd, 0, 0, sys.SOCK_CLOEXEC),
      (sqe) => op.prepPollAdd(sqe, fd, sys.POLLIN),
    ]
    for (const [way, write] of ways.entries()) {
      const limited = (ms: number): number[] =>
        rig.startAll(flagged(sys.IOSQE_IO_LINK, write), (sqe) => op.prepLinkTimeout(sqe, rig.timespec(ms), 0))
      const [late, fired] = limited(3)
      assert.equal(rig.wait(late!).res, -sys.ECANCELED)
      assert.equal(rig.wait(fired!).res, -sys.ETIME)
      const [won, unused] = limited(60_000)
      rig.stillWaits(won!)
      rig.connect(address)
      const { res } = rig.wait(won!)
      if (way === 0) rig.owned(res)
      else assert.equal(res, sys.POLLIN)
      assert.equal(rig.wait(unused!).res, -sys.ECANCELED)
    }
  },
)

opTest('READ, LINK_TIMEOUT, TIMEOUT_REMOVE', 'a linked timeout is moved', (rig) => {
  const { reader } = pipe(rig.t)
  const [read, timer] = rig.startAll(flagged(sys.IOSQE_IO_LINK, waitingRead(rig, reader.fd)), (sqe) =>
    op.prepLinkTimeout(sqe, rig.timespec(60_000), 0),
  )
  rig.stillWaits(read!)
  const update = (flags: number): Write => {
    const soon = rig.timespec(3)
    return (sqe) => {
      op.prepTimeoutUpdate(sqe, soon, 0, flags)
      op.sqeSetAddrWords(sqe, timer!, rig.high)
    }
  }
  rig.fails(sys.ENOENT, update(0))
  assert.equal(rig.run(update(sys.IORING_LINK_TIMEOUT_UPDATE)), 0)
  assert.equal(rig.wait(read!).res, -sys.ECANCELED)
  assert.equal(rig.wait(timer!).res, -sys.ETIME)
})

opTest('READ, LINK_TIMEOUT', 'the time of a request behind a barrier begins when its turn comes', (rig) => {
  const [one, two] = [pipe(rig.t), pipe(rig.t)]
  const [first, second, limit] = rig.startAll(
    waitingRead(rig, one.reader.fd),
    flagged(sys.IOSQE_IO_DRAIN | sys.IOSQE_IO_LINK, waitingRead(rig, two.reader.fd)),
    (sqe) => op.prepLinkTimeout(sqe, rig.timespec(1), 0),
  )
  // Several times its time, and it has not begun.
  for (let i = 0; i < 3; i++) rig.stillWaits(limit!)
  writeSync(one.writer.fd, 'x')
  assert.equal(rig.wait(first!).res, 1)
  assert.equal(rig.wait(second!).res, -sys.ECANCELED)
  assert.equal(rig.wait(limit!).res, -sys.ETIME)
  // Cancelled while it is held back: the barrier's link goes as a whole.
  const [held, behind, unused] = rig.startAll(
    waitingRead(rig, one.reader.fd),
    flagged(sys.IOSQE_IO_DRAIN | sys.IOSQE_IO_LINK, waitingRead(rig, two.reader.fd)),
    (sqe) => op.prepLinkTimeout(sqe, rig.timespec(60_000), 0),
  )
  rig.stillWaits(behind!)
  writeSync(one.writer.fd, 'x')
  assert.equal(rig.wait(held!).res, 1)
  writeSync(two.writer.fd, 'y')
  assert.equal(rig.wait(behind!).res, 1)
  assert.equal(rig.wait(unused!).res, -sys.ECANCELED)
})

opTest('READ, NOP, LINK_TIMEOUT', 'linked timeouts that follow each other, and that post nothing', (rig) => {
  const { reader } = pipe(rig.t)
  const { IOSQE_IO_LINK: LINK, IOSQE_CQE_SKIP_SUCCESS: QUIET } = sys
  const limit = (ms: number, flags = 0): Write =>
    flagged(flags, (sqe) => op.prepLinkTimeout(sqe, rig.timespec(ms), 0))
  // A timeout limits the request before it, and not another timeout.
  const [head, , second] = rig.startAll(flagged(LINK, op.prepNop), limit(60_000, LINK), limit(60_000))
  assert.ok([0, -sys.ECANCELED].includes(rig.wait(head!).res))
  assert.ok([-sys.EINVAL, -sys.ECANCELED].includes(rig.wait(second!).res))
  rig.ring.getEvents()
  rig.wait(head! + 1)
  // Two requests of one chain, each with its own.
  const ids = rig.startAll(
    flagged(LINK, op.prepNop),
    limit(60_000, LINK),
    flagged(LINK, waitingRead(rig, reader.fd)),
    limit(2, LINK),
    op.prepNop,
  )
  assert.deepEqual(
    ids.map((id) => rig.wait(id).res),
    [0, -sys.ECANCELED, -sys.ECANCELED, -sys.ETIME, -sys.ECANCELED],
  )
  // A quiet timeout says nothing, whether it was needed or not; a quiet request that fails does.
  const [fine, unused] = rig.startAll(flagged(LINK, op.prepNop), limit(60_000, QUIET))
  assert.equal(rig.wait(fine!).res, 0)
  const [late, fired] = rig.startAll(flagged(LINK | QUIET, waitingRead(rig, reader.fd)), limit(2, QUIET))
  assert.equal(rig.wait(late!).res, -sys.ECANCELED)
  rig.stillWaits(unused!)
  rig.stillWaits(fired!)
  rig.ring.accountSkippedCqes(2)
})

opTest('CLOSE, RECV, NOP', 'what a chain closes is closed while the thread waits', (rig) => {
  const [near, far] = socketPair(rig.t)
  const room = rig.memory(8)
  const received = rig.start((sqe) => op.prepRecv(sqe, far.fd, room.address, 8, 0))
  rig.stillWaits(received)
  const [, closed] = rig.startAll(flagged(sys.IOSQE_IO_LINK, op.prepNop), (sqe) =>
    op.prepClose(sqe, near.release()),
  )
  // Blocked in the ring all the time: the other end hears of it nevertheless.
  assert.equal(rig.wait(received).res, 0)
  assert.equal(rig.wait(closed!).res, 0)
  rig.wait(closed! - 1)
})

opTest('NOP', 'a chain whose steps post nothing', (rig) => {
  const quiet = sys.IOSQE_CQE_SKIP_SUCCESS
  for (const link of [sys.IOSQE_IO_LINK, sys.IOSQE_IO_HARDLINK]) {
    const [one, two, last] = rig.startAll(
      flagged(quiet | link, op.prepNop),
      flagged(quiet | link, op.prepNop),
      op.prepNop,
    )
    assert.deepEqual(rig.wait(last!), { res: 0, flags: 0 })
    rig.stillWaits(one!)
    rig.stillWaits(two!)
    rig.ring.accountSkippedCqes(2)
  }
})

opTest('NOP, CLOSE', 'DRAIN through a full CQ and past entries that are refused', (rig) => {
  const { ring } = rig
  const kinds: Write[] = [op.prepNop, (sqe) => op.prepClose(sqe, 9999), (sqe) => (sqe.words[0] = 250)]
  const expected = [0, -sys.EBADF, -sys.EINVAL]
  const ids: number[] = []
  // Three times what the CQ holds, before anybody looks.
  for (let i = 0; i < ring.cqEntries * 3; i++) {
    const drain = i % 4 === 0 ? sys.IOSQE_IO_DRAIN : 0
    const [id] = rig.startAll(flagged(drain, kinds[i % 3]!))
    ids.push(id!)
  }
  for (const [i, id] of ids.entries()) assert.equal(rig.wait(id).res, expected[i % 3], `request ${i}`)
})

/** Numbers that look like chance, and are the same each time. */
function* chance(seed: number): Generator<number, never> {
  for (let state = seed; ; ) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    yield state >>> 16
  }
}

for (const kind of ['default', 'DEFER_TASKRUN']) {
  test(`multishot requests, links and barriers at random keep their order · ${kind}`, (t) => {
    oracle(t)
    const options = kind === 'default' ? {} : { singleIssuer: true, deferTaskrun: true }
    const ring = new op.Ring({ entries: 64, cqEntries: 512, ...options })
    t.after(() => ring.close({ cancel: true }))
    const numbers = chance(46)
    const draw = (below: number): number => numbers.next().value % below
    const soon = BigInt64Array.of(0n, 300_000n)
    for (let round = 0; round < 60; round++) {
      const drained: boolean[] = []
      let inLink = false
      const ends: number[] = []
      const count = 8 + draw(24)
      for (let i = 0; i < count; i++) {
        const sqe = ring.getSqe()!
        const isMultishot: boolean = !inLink && draw(4) === 0
        if (isMultishot) {
          const flags = sys.IORING_TIMEOUT_MULTISHOT
          op.prepTimeout(sqe, ring.driver.addressOf(soon), 3, flags)
        } else op.prepNop(sqe)
        // A barrier in a link holds for the link's head: only heads get one here.
        drained[i] = !inLink && !isMultishot && draw(4) === 0
        inLink = !isMultishot && i < count - 1 && draw(4) === 0
        sqe.addFlags(
          (drained[i] ? sys.IOSQE_IO_DRAIN : 0) |
            (inLink ? sys.IOSQE_IO_LINK : 0) |
            (!isMultishot && draw(3) === 0 ? sys.IOSQE_ASYNC : 0),
        )
        sqe.setUserData(i)
      }
      ring.submit()
      const first: number[] = []
      let posted = 0
      for (let left = count; left > 0; ) {
        ring.submitAndWaitTimeout(1, { timeoutMs: 5000 })
        const seen = ring.forEachCqe((id, _high, _res, flags) => {
          first[id] ??= posted
          ends[id] = posted++
          if (!(flags & sys.IORING_CQE_F_MORE)) left--
        })
        assert.ok(seen > 0, `round ${round}: ${left} of ${count} never ended`)
      }
      for (let i = 0; i < count; i++) {
        if (!drained[i]) continue
        for (let before = 0; before < i; before++)
          assert.ok(ends[before]! < first[i]!, `round ${round}: ${before} ended after the barrier ${i} began`)
        for (let behind = i + 1; behind < count; behind++)
          assert.ok(first[behind]! > ends[i]!, `round ${round}: ${behind} overtook the barrier ${i}`)
      }
    }
  })
}
