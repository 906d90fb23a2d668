// Order between requests: barriers, linked timeouts, chains that post little.
// Flow: this → op-helpers.ts → ringcore/ring.

import assert from 'node:assert/strict'
import { openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import * as op from 'ringcore/ring'
import * as sys from 'ringcore/sys'
import { oracle, pipe, tempDir } from './helpers.js'
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
