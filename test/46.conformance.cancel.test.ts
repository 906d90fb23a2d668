// Cancelling and polling by number: two keys at once, thousands at once.
// Flow: this → op-helpers.ts → ringcore/ring.

import assert from 'node:assert/strict'
import test from 'node:test'
import * as op from 'ringcore/ring'
import * as sys from 'ringcore/sys'
import { OwnedFd, oracle, pipe } from './helpers.js'
import { call, opTest, type Write } from './op-helpers.js'

opTest('ASYNC_CANCEL, READ', 'by file and user_data together', (rig) => {
  const [one, two] = [pipe(rig.t), pipe(rig.t)]
  const room = rig.memory(8)
  const read = (fd: number): number => rig.start((sqe) => op.prepRead(sqe, fd, room.address, 8, -1))
  const [a, b, c] = [read(one.reader.fd), read(one.reader.fd), read(two.reader.fd)]
  const both =
    (fd: number, id: number): Write =>
    (sqe) => {
      op.prepCancelFd(sqe, fd, sys.IORING_ASYNC_CANCEL_USERDATA)
      op.sqeSetAddrWords(sqe, id, rig.high)
    }
  const wrong = rig.run(both(two.reader.fd, a!))
  if (wrong === -sys.EINVAL) {
    for (const id of [a, b, c]) assert.equal(rig.cancel(id!), 0)
    for (const id of [a, b, c]) rig.wait(id!)
    return rig.t.skip('needs IORING_ASYNC_CANCEL_USERDATA: kernel 6.6')
  }
  assert.equal(wrong, -sys.ENOENT)
  for (const id of [a, b, c]) rig.stillWaits(id!)
  assert.equal(rig.run(both(one.reader.fd, b!)), 0)
  assert.equal(rig.wait(b!).res, -sys.ECANCELED)
  rig.stillWaits(a!)
  rig.stillWaits(c!)
  for (const id of [a, c]) {
    assert.equal(rig.cancel(id!), 0)
    assert.equal(rig.wait(id!).res, -sys.ECANCELED)
  }
})

opTest('POLL_ADD, POLL_REMOVE', 'multishot polls get other events', (rig) => {
  const pipes = Array.from({ length: 30 }, () => pipe(rig.t))
  const ids = pipes.map(({ writer }) => rig.start((sqe) => op.prepPollMultishot(sqe, writer.fd, sys.POLLPRI)))
  rig.stillWaits(ids[0]!)
  for (const id of ids) {
    const updated = rig.run((sqe) => {
      const flags = sys.IORING_POLL_UPDATE_EVENTS | sys.IORING_POLL_ADD_MULTI
      op.prepPollUpdate(sqe, 0, 0, sys.POLLOUT, flags)
      op.sqeSetAddrWords(sqe, id, rig.high)
    })
    assert.equal(updated, 0)
    assert.deepEqual(rig.wait(id), { res: sys.POLLOUT, flags: sys.IORING_CQE_F_MORE })
  }
  for (const id of ids) {
    assert.equal(rig.cancel(id), 0)
    assert.deepEqual(rig.wait(id), { res: -sys.ECANCELED, flags: 0 })
  }
})

for (const options of [{}, { singleIssuer: true, deferTaskrun: true }]) {
  const kind = Object.keys(options).join(', ') || 'default'

  test(`ten thousand polls at once · ${kind}`, (t) => {
    oracle(t)
    using ring = new op.Ring({ entries: 512, cqEntries: 16_384, ...options })
    const { reader } = pipe(t)
    const total = 10_000
    for (let i = 0; i < total; i++) {
      let sqe = ring.getSqe()
      if (sqe === null) {
        ring.submit()
        sqe = ring.getSqe()
      }
      op.prepPollAdd(sqe!, reader.fd, sys.POLLIN)
      sqe!.setUserData(i)
    }
    ring.submit()
    assert.equal(ring.cqReady(), 0)
    op.prepCancel(ring.getSqe()!, 0, sys.IORING_ASYNC_CANCEL_ALL | sys.IORING_ASYNC_CANCEL_ANY)
    ring.submitAndWaitTimeout(total + 1, { timeoutMs: 20_000 })
    const results = new Map<number, number>()
    ring.forEachCqe((_low, _high, res) => void results.set(res, (results.get(res) ?? 0) + 1))
    assert.deepEqual(
      [...results].sort(([a], [b]) => a - b),
      [
        [-sys.ECANCELED, total],
        [total, 1],
      ],
    )
    assert.equal(ring.inKernel, 0)
  })

  test(`five hundred eventfds · ${kind}`, (t) => {
    oracle(t)
    using ring = new op.Ring({ entries: 512, ...options })
    const fds = Array.from({ length: 500 }, () => new OwnedFd(t, call('eventfd2', 0, 0o2000000)).fd)
    const one = BigUint64Array.of(1n)
    for (let round = 0; round < 3; round++) {
      for (const [i, fd] of fds.entries()) {
        const sqe = ring.getSqe()!
        op.prepPollAdd(sqe, fd, sys.POLLIN)
        sqe.setUserData(i)
      }
      ring.submit()
      if (round === 0) assert.equal(ring.cqReady(), 0)
      for (const fd of fds) assert.equal(call('write', fd, ring.driver.addressOf(one), 8), 8)
      ring.submitAndWaitTimeout(500, { timeoutMs: 5000 })
      const seen = new Set<number>()
      ring.forEachCqe((id, _high, res) => {
        assert.equal(res, sys.POLLIN)
        seen.add(id)
      })
      assert.equal(seen.size, 500)
    }
  })
}
