// Flags of single operations that no other test tries: what the kernel does with each, or how it refuses it.
// Flow: this → op-helpers.ts → ringcore/ring. man io_uring_enter(2), preadv2(2), futex(2)

import assert from 'node:assert/strict'
import { constants, openSync, readFileSync, readSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import * as op from 'ringcore/ring'
import * as sys from 'ringcore/sys'
import { pipe, socketPair, tempDir } from './helpers.js'
import { opTest, type Rig, type Write } from './op-helpers.js'
import { takeCqes } from './ring-kinds.js'

/** Skips the test when a kernel before `since` gave this answer. */
function tooOld(rig: Rig, res: number, since: string): boolean {
  if (res !== -sys.EINVAL && res !== -sys.EOPNOTSUPP) return false
  rig.t.skip(`needs Linux ${since}`)
  return true
}

opTest('POLL_ADD, POLL_REMOVE', 'update: another user_data, with and without other events', (rig) => {
  const { reader, writer } = pipe(rig.t)
  const rename = (from: number, to: number, flags: number, mask = 0): Write => {
    return (sqe) => {
      op.prepPollUpdate(sqe, 0, 0, mask, sys.IORING_POLL_UPDATE_USER_DATA | flags)
      op.sqeSetAddrWords(sqe, from, rig.high)
      op.sqeSetOffWords(sqe, to, rig.high)
    }
  }
  const [first, second] = [rig.expect(), rig.expect()]
  const id = rig.start((sqe) => op.prepPollAdd(sqe, reader.fd, sys.POLLIN))
  assert.equal(rig.run(rename(id, first, 0)), 0)
  rig.fails(sys.ENOENT, rename(id, second, 0))
  writeSync(writer.fd, 'x')
  assert.equal(rig.wait(first).res, sys.POLLIN)
  const other = rig.start((sqe) => op.prepPollAdd(sqe, writer.fd, sys.POLLPRI))
  assert.equal(rig.run(rename(other, second, sys.IORING_POLL_UPDATE_EVENTS, sys.POLLOUT)), 0)
  assert.equal(rig.wait(second).res, sys.POLLOUT)
})

opTest('POLL_ADD', 'multishot: by level, where the kernel takes the flag', (rig) => {
  const { reader, writer } = pipe(rig.t)
  writeSync(writer.fd, 'x')
  const id = rig.start((sqe) => {
    op.prepPollMultishot(sqe, reader.fd, sys.POLLIN)
    sqe.words[op.SQE.LEN]! |= sys.IORING_POLL_ADD_LEVEL
  })
  const { res, flags } = rig.wait(id)
  // The header has had it since 5.19; the check of POLL_ADD's flags refuses it, up to 6.18 at least.
  if (res === -sys.EINVAL) return rig.t.diagnostic('this kernel refuses IORING_POLL_ADD_LEVEL')
  assert.deepEqual([res, flags & sys.IORING_CQE_F_MORE], [sys.POLLIN, sys.IORING_CQE_F_MORE])
  assert.equal(rig.cancel(id), 0)
  for (let last = rig.wait(id); last.res !== -sys.ECANCELED; last = rig.wait(id))
    assert.equal(last.res, sys.POLLIN)
})

opTest('SEND, RECV, ACCEPT', 'POLL_FIRST: what is there is had all the same', (rig) => {
  const [a, b] = socketPair(rig.t)
  const [data, room] = [rig.memory('first'), rig.memory(8)]
  const pollFirst =
    (write: Write, flag: number): Write =>
    (sqe) => {
      write(sqe)
      op.sqeAddIoprio(sqe, flag)
    }
  const flag = sys.IORING_RECVSEND_POLL_FIRST
  assert.equal(rig.run(pollFirst((sqe) => op.prepSend(sqe, a.fd, data.address, 5, 0), flag)), 5)
  assert.equal(rig.run(pollFirst((sqe) => op.prepRecv(sqe, b.fd, room.address, 8, 0), flag)), 5)
  assert.equal(room.text(5), 'first')
  rig.waitsUntilCancelled(pollFirst((sqe) => op.prepRecv(sqe, b.fd, room.address, 8, 0), flag))
  const { fd, address } = rig.listener()
  const accept = pollFirst(
    (sqe) => op.prepAccept(sqe, fd, 0, 0, sys.SOCK_CLOEXEC),
    sys.IORING_ACCEPT_POLL_FIRST,
  )
  rig.connect(address)
  const res = rig.run(accept)
  if (tooOld(rig, res, '6.10')) return
  rig.owned(res)
  rig.waitsUntilCancelled(accept)
})

opTest('SEND, SEND_ZC', 'SEND_VECTORIZED: the address is that of vectors', (rig) => {
  const [a, b] = socketPair(rig.t)
  const vectors = rig.iovecs(rig.memory('two '), rig.memory('parts'))
  const res = rig.run((sqe) => {
    op.prepSend(sqe, a.fd, vectors, 2, 0)
    op.sqeAddIoprio(sqe, sys.IORING_SEND_VECTORIZED)
  })
  if (tooOld(rig, res, '6.17')) return
  assert.equal(res, 9)
  const got = Buffer.alloc(16)
  assert.equal(got.toString('latin1', 0, readSync(b.fd, got)), 'two parts')
})

opTest('MSG_RING', 'CQE_SKIP: a file comes without a word', (rig) => {
  const { reader, writer } = pipe(rig.t)
  const target = new op.Ring({ entries: 4 })
  rig.t.after(() => target.close({ cancel: true }))
  target.registerFilesSparse(2)
  rig.ring.registerFiles([reader.fd])
  const skip = sys.IORING_MSG_RING_CQE_SKIP
  assert.equal(
    rig.run((sqe) => op.prepMsgRingFd(sqe, target.fd, 0, 1, 5, skip)),
    0,
  )
  assert.equal(target.cqReady(), 0)
  writeSync(writer.fd, 'silent')
  const room = new Uint8Array(8)
  const sqe = target.getSqe()!
  op.prepRead(sqe, 1, target.driver.addressOf(room), 8, -1)
  op.sqeSetFixedFile(sqe)
  target.submitAndWait(1)
  assert.equal(takeCqes(target, 1)[0]![1], 6)
  // For a message that carries nothing but its CQE, that would be nothing at all.
  rig.fails(sys.EINVAL, (sqe) => op.prepMsgRing(sqe, target.fd, 1, 1, skip))
  rig.ring.unregisterFiles()
})

opTest('WRITE, READ', 'RWF_SYNC, _NOAPPEND, _NOSIGNAL, _HIPRI', (rig) => {
  const path = join(tempDir(rig.t), 'file')
  writeFileSync(path, '0123456789')
  const fd = rig.owned(openSync(path, constants.O_RDWR | constants.O_APPEND))
  const text = rig.memory('ab')
  const write = (to: number, flags: number): number =>
    rig.run((sqe) => {
      op.prepWrite(sqe, to, text.address, 2, to === fd ? 0 : -1)
      op.sqeSetOpFlags(sqe, flags)
    })
  assert.equal(write(fd, sys.RWF_SYNC), 2)
  assert.equal(readFileSync(path, 'utf8'), '0123456789ab', 'opened for appending')
  assert.equal(write(fd, sys.RWF_HIPRI), -sys.EINVAL, 'this ring is not polled')
  const { reader, writer } = pipe(rig.t)
  reader.close()
  const quiet = write(writer.fd, sys.RWF_NOSIGNAL)
  assert.ok([-sys.EPIPE, -sys.EOPNOTSUPP, -sys.EINVAL].includes(quiet), String(quiet))
  if (tooOld(rig, write(fd, sys.RWF_NOAPPEND), '6.9')) return
  assert.equal(readFileSync(path, 'utf8'), 'ab23456789ab')
})

opTest('FUTEX_WAIT, FUTEX_WAKE', 'words of other sizes are refused', (rig) => {
  const word = rig.memory(16)
  for (const size of [sys.FUTEX2_SIZE_U8, sys.FUTEX2_SIZE_U16, sys.FUTEX2_SIZE_U64]) {
    rig.fails(sys.EINVAL, (sqe) => op.prepFutexWait(sqe, word.address, 0, 1, size, 0))
    rig.fails(sys.EINVAL, (sqe) => op.prepFutexWake(sqe, word.address, 1, 1, size, 0))
  }
  // Of a node of its own: the word behind the futex says which; 6.16 looks at it, 6.7 refuses the flag.
  const flags = sys.FUTEX2_SIZE_U32 | sys.FUTEX2_PRIVATE | sys.FUTEX2_NUMA
  const woken = rig.run((sqe) => op.prepFutexWake(sqe, word.address, 1, 1, flags, 0))
  assert.ok([0, -sys.EINVAL].includes(woken), String(woken))
  const policy = rig.run((sqe) => op.prepFutexWake(sqe, word.address, 1, 1, flags | sys.FUTEX2_MPOL, 0))
  assert.ok([0, -sys.EINVAL].includes(policy), String(policy))
})

opTest(
  'TIMEOUT',
  'an expiry that counts as success; clocks exclude each other; a length in the entry',
  (rig) => {
    const soon = rig.timespec(1)
    const behind = (flags: number): number[] =>
      rig
        .startAll(
          (sqe) => {
            op.prepTimeout(sqe, soon, 0, flags)
            sqe.addFlags(sys.IOSQE_IO_LINK)
          },
          (sqe) => op.prepNop(sqe),
        )
        .map((id) => rig.wait(id).res)
    assert.deepEqual(behind(0), [-sys.ETIME, -sys.ECANCELED])
    assert.deepEqual(behind(sys.IORING_TIMEOUT_ETIME_SUCCESS), [-sys.ETIME, 0])
    assert.deepEqual(behind(sys.IORING_TIMEOUT_BOOTTIME | sys.IORING_TIMEOUT_ETIME_SUCCESS), [-sys.ETIME, 0])
    const { IORING_TIMEOUT_BOOTTIME: BOOT, IORING_TIMEOUT_REALTIME: REAL } = sys
    rig.fails(sys.EINVAL, (sqe) => op.prepTimeout(sqe, soon, 0, BOOT | REAL))
    // Nanoseconds in place of the address, since 7.1.
    const immediate = rig.run((sqe) => op.prepTimeout(sqe, 1_000_000, 0, sys.IORING_TIMEOUT_IMMEDIATE_ARG))
    assert.ok([-sys.ETIME, -sys.EINVAL].includes(immediate), String(immediate))
  },
)

opTest('READ, URING_CMD', 'protection information and repeated commands, where no file has them', (rig) => {
  const path = join(tempDir(rig.t), 'file')
  writeFileSync(path, 'plain')
  const fd = rig.owned(openSync(path, 'r'))
  const [room, attributes] = [rig.memory(8), rig.memory(32)]
  const res = rig.run((sqe) => {
    op.prepRead(sqe, fd, room.address, 8, 0)
    op.sqeSetAttr(sqe, attributes.address, sys.IORING_RW_ATTR_FLAG_PI)
  })
  assert.ok([-sys.EINVAL, -sys.EOPNOTSUPP].includes(res), String(res))
  const [a] = socketPair(rig.t)
  const command =
    (flags: number): Write =>
    (sqe) => {
      op.prepCmdSock(sqe, sys.SOCKET_URING_OP_SIOCINQ, a.fd, 0, 0, 0, 0)
      op.sqeSetOpFlags(sqe, flags)
    }
  // Without a group of buffers to choose from.
  rig.fails(sys.EINVAL, command(sys.IORING_URING_CMD_MULTISHOT))
  rig.fails(sys.EINVAL, command(0x4000_0000))
})
