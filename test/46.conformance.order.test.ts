// Order between requests: barriers, linked timeouts, chains that post little.
// Flow: this → op-helpers.ts → ringcore/ring.

import assert from 'node:assert/strict'
import { openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import * as op from 'ringcore/ring'
import * as sys from 'ringcore/sys'
import { pipe, tempDir } from './helpers.js'
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
