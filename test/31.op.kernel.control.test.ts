// Requests about time, readiness and other requests against the kernel: NOP, timeouts, links, cancel, poll.
// Flow: this → op-helpers.ts → ringcore/ring.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { closeSync, readSync, writeSync } from 'node:fs'
import * as op from 'ringcore/ring'
import * as sys from 'ringcore/sys'
import { pipe, socketPair } from './helpers.js'
import { call, opTest, type Rig } from './op-helpers.js'
import { matrixTest } from './op-matrix.js'

/** A read that waits for as long as nobody writes. */
function waitingRead(rig: Rig, fd: number, flags = 0): (sqe: op.Sqe) => void {
  const memory = rig.memory(8)
  return (sqe) => {
    op.prepRead(sqe, fd, memory.address, 8, -1)
    sqe.addFlags(flags)
  }
}

// ---------------------------------------------------------------- nop

opTest('NOP', 'completes with 0, or with what it is told', (rig) => {
  assert.equal(rig.run(op.prepNop), 0)
  const inject = (result: number) => (sqe: op.Sqe) => {
    op.prepNop(sqe)
    op.sqeSetOpFlags(sqe, sys.IORING_NOP_INJECT_RESULT)
    sqe.words[op.SQE.LEN] = result
  }
  // Older kernels ignore the flag or refuse it.
  const told = rig.run(inject(42))
  if (told === 42) assert.equal(rig.run(inject(-sys.ENOSPC)), -sys.ENOSPC)
  else rig.t.diagnostic(`IORING_NOP_INJECT_RESULT gives ${told}: it needs kernel 6.10`)
  rig.fails(sys.EINVAL, (sqe) => {
    op.prepNop(sqe)
    op.sqeSetOpFlags(sqe, 0x4000_0000)
  })
})

opTest('NOP', 'CQE_SKIP_SUCCESS posts nothing, an error is still shown', (rig) => {
  const skipped = rig.start((sqe) => {
    op.prepNop(sqe)
    sqe.addFlags(sys.IOSQE_CQE_SKIP_SUCCESS)
  })
  rig.stillWaits(skipped)
  rig.ring.accountSkippedCqes(1)
  rig.fails(sys.EBADF, (sqe) => {
    op.prepClose(sqe, 9999)
    sqe.addFlags(sys.IOSQE_CQE_SKIP_SUCCESS)
  })
})

opTest('NOP', 'links: an error cancels what is linked behind it, not what is hard-linked', (rig) => {
  const chain = (flags: number): number[] =>
    rig
      .startAll(
        (sqe) => {
          op.prepClose(sqe, 9999)
          sqe.addFlags(flags)
        },
        (sqe) => op.prepNop(sqe),
      )
      .map((id) => rig.wait(id).res)
  assert.deepEqual(chain(sys.IOSQE_IO_LINK), [-sys.EBADF, -sys.ECANCELED])
  assert.deepEqual(chain(sys.IOSQE_IO_HARDLINK), [-sys.EBADF, 0])
})

// ---------------------------------------------------------------- timeout

opTest('TIMEOUT', 'relative, absolute, and by the count of completions', (rig) => {
  const started = performance.now()
  rig.fails(sys.ETIME, (sqe) => op.prepTimeout(sqe, rig.timespec(15), 0, 0))
  assert.ok(performance.now() - started >= 14.5, 'came too early')
  // CLOCK_MONOTONIC as of now is in the past when the kernel looks.
  const now = Number(process.hrtime.bigint() / 1_000_000n)
  rig.fails(sys.ETIME, (sqe) => op.prepTimeout(sqe, rig.timespec(now), 0, sys.IORING_TIMEOUT_ABS))
  const real = rig.timespec(Date.now())
  const flags = sys.IORING_TIMEOUT_ABS | sys.IORING_TIMEOUT_REALTIME
  rig.fails(sys.ETIME, (sqe) => op.prepTimeout(sqe, real, 0, flags))
  const counting = rig.start((sqe) => op.prepTimeout(sqe, rig.timespec(60_000), 2, 0))
  rig.run(op.prepNop)
  rig.run(op.prepNop)
  assert.equal(rig.wait(counting).res, 0)
  rig.fails(sys.EINVAL, (sqe) => op.prepTimeout(sqe, rig.timespec(1), 0, 0x8000))
  rig.fails(sys.EINVAL, (sqe) => op.prepTimeout(sqe, rig.memory(new Uint8Array(16).fill(0xff)).address, 0, 0))
})

opTest('TIMEOUT, TIMEOUT_REMOVE', 'removed, cancelled, and moved nearer', (rig) => {
  const far = (): number => rig.start((sqe) => op.prepTimeout(sqe, rig.timespec(60_000), 0, 0))
  const naming = (id: number, write: (sqe: op.Sqe) => void) => (sqe: op.Sqe) => {
    write(sqe)
    op.sqeSetAddrWords(sqe, id, rig.high)
  }
  const removed = far()
  assert.equal(rig.run(naming(removed, (sqe) => op.prepTimeoutRemove(sqe, 0, 0))), 0)
  assert.equal(rig.wait(removed).res, -sys.ECANCELED)
  rig.fails(
    sys.ENOENT,
    naming(removed, (sqe) => op.prepTimeoutRemove(sqe, 0, 0)),
  )
  rig.waitsUntilCancelled((sqe) => op.prepTimeout(sqe, rig.timespec(60_000), 0, 0))
  const moved = far()
  const soon = rig.timespec(2)
  assert.equal(rig.run(naming(moved, (sqe) => op.prepTimeoutUpdate(sqe, soon, 0, 0))), 0)
  assert.equal(rig.wait(moved).res, -sys.ETIME)
})

opTest('TIMEOUT', 'multishot: as often as asked, or until it is cancelled', (rig) => {
  const flags = sys.IORING_TIMEOUT_MULTISHOT
  const few = rig.start((sqe) => op.prepTimeout(sqe, rig.timespec(1), 3, flags))
  const first = rig.wait(few)
  // Kernels before 6.4 refuse the flag.
  if (first.res === -sys.EINVAL) return rig.t.skip('needs multishot timeouts: kernel 6.4')
  const more = [first, rig.wait(few), rig.wait(few)].map(({ res, flags }) => [
    res,
    flags & sys.IORING_CQE_F_MORE,
  ])
  assert.deepEqual(more, [
    [-sys.ETIME, sys.IORING_CQE_F_MORE],
    [-sys.ETIME, sys.IORING_CQE_F_MORE],
    [-sys.ETIME, 0],
  ])
  const endless = rig.start((sqe) => op.prepTimeout(sqe, rig.timespec(1), 0, flags))
  for (let i = 0; i < 5; i++) assert.ok(rig.wait(endless).flags & sys.IORING_CQE_F_MORE)
  // While it fires it is not in the kernel's list, so that a cancel may not find it: ask again.
  let asked = rig.cancel(endless)
  while (asked === -sys.ENOENT) asked = rig.cancel(endless)
  assert.equal(asked, 0)
  let last = rig.wait(endless)
  // Some may have come before the cancel.
  while (last.flags & sys.IORING_CQE_F_MORE) last = rig.wait(endless)
  assert.equal(last.res, -sys.ECANCELED)
})

opTest('LINK_TIMEOUT, READ', 'ends the request before it when the time is over', (rig) => {
  const { reader, writer } = pipe(rig.t)
  const limited = (ms: number): number[] =>
    rig.startAll(waitingRead(rig, reader.fd, sys.IOSQE_IO_LINK), (sqe) =>
      op.prepLinkTimeout(sqe, rig.timespec(ms), 0),
    )
  const [late, timeout] = limited(3)
  assert.equal(rig.wait(late!).res, -sys.ECANCELED)
  assert.equal(rig.wait(timeout!).res, -sys.ETIME)

  const [read, unused] = limited(60_000)
  rig.stillWaits(read!)
  writeSync(writer.fd, 'data')
  assert.equal(rig.wait(read!).res, 4)
  assert.equal(rig.wait(unused!).res, -sys.ECANCELED)

  // Cancelling the read ends its timeout, too.
  const [cancelled, orphan] = limited(60_000)
  assert.equal(rig.cancel(cancelled!), 0)
  assert.equal(rig.wait(cancelled!).res, -sys.ECANCELED)
  assert.equal(rig.wait(orphan!).res, -sys.ECANCELED)
  rig.fails(sys.EINVAL, (sqe) => op.prepLinkTimeout(sqe, rig.timespec(1), 0))
})

// ---------------------------------------------------------------- cancel

opTest('ASYNC_CANCEL, READ', 'one, by its user_data', (rig) => {
  const { reader } = pipe(rig.t)
  const [a, b] = [rig.start(waitingRead(rig, reader.fd)), rig.start(waitingRead(rig, reader.fd))]
  assert.equal(rig.cancel(a), 0)
  assert.equal(rig.wait(a).res, -sys.ECANCELED)
  rig.stillWaits(b)
  assert.equal(rig.cancel(b), 0)
  assert.equal(rig.wait(b).res, -sys.ECANCELED)
  assert.equal(rig.cancel(b), -sys.ENOENT)
  rig.fails(sys.EINVAL, (sqe) => op.prepCancel64(sqe, 0, 0x8000))
})

opTest('ASYNC_CANCEL, READ', 'the whole 64 bits of user_data count', (rig) => {
  const { reader } = pipe(rig.t)
  const id = rig.start(waitingRead(rig, reader.fd))
  const wide = (BigInt(rig.high) << 32n) | BigInt(id)
  rig.fails(sys.ENOENT, (sqe) => op.prepCancel64(sqe, BigInt(id), 0))
  rig.fails(sys.ENOENT, (sqe) => op.prepCancel64(sqe, wide ^ (1n << 63n), 0))
  assert.equal(
    rig.must((sqe) => op.prepCancel64(sqe, wide, 0)),
    0,
  )
  assert.equal(rig.wait(id).res, -sys.ECANCELED)
})

opTest('ASYNC_CANCEL, READ, RECV', 'all of a file, of an opcode, of the ring', (rig) => {
  const { reader } = pipe(rig.t)
  const [a, b] = socketPair(rig.t)
  const { IORING_ASYNC_CANCEL_ALL: ALL, IORING_ASYNC_CANCEL_ANY: ANY } = sys
  const memory = rig.memory(8)
  const recv = (fd: number) => (sqe: op.Sqe) => op.prepRecv(sqe, fd, memory.address, 8, 0)
  const start = (): number[] => [
    rig.start(waitingRead(rig, reader.fd)),
    rig.start(waitingRead(rig, reader.fd)),
    rig.start(recv(a.fd)),
    rig.start(recv(b.fd)),
  ]
  const results = (ids: number[]): number[] => ids.map((id) => rig.wait(id).res)
  const gone = (count: number): number[] => new Array(count).fill(-sys.ECANCELED)

  const first = start()
  // One on the pipe, then the other; then none is there, which with ALL is no error.
  assert.equal(
    rig.run((sqe) => op.prepCancelFd(sqe, reader.fd, 0)),
    0,
  )
  assert.equal(
    rig.run((sqe) => op.prepCancelFd(sqe, reader.fd, ALL)),
    1,
  )
  assert.equal(
    rig.run((sqe) => op.prepCancelFd(sqe, reader.fd, ALL)),
    0,
  )
  assert.equal(
    rig.run((sqe) => op.prepCancelFd(sqe, reader.fd, 0)),
    -sys.ENOENT,
  )
  // A duplicate is the same file.
  const duplicate = rig.owned(call('fcntl', a.fd, sys.F_DUPFD_CLOEXEC, 0))
  assert.equal(
    rig.run((sqe) => op.prepCancelFd(sqe, duplicate, ALL)),
    1,
  )
  assert.equal(
    rig.run((sqe) => op.prepCancel(sqe, 0, ALL | ANY)),
    1,
  )
  assert.deepEqual(results(first), gone(4))
  rig.fails(sys.EBADF, (sqe) => op.prepCancelFd(sqe, 9999, 0))

  const second = start()
  const byOp = (sqe: op.Sqe): void => {
    op.prepCancel(sqe, 0, ALL | sys.IORING_ASYNC_CANCEL_OP)
    sqe.words[op.SQE.LEN] = sys.IORING_OP_RECV
  }
  const count = rig.run(byOp)
  // By opcode since 6.6.
  if (count !== 2) assert.equal(count, -sys.EINVAL)
  assert.equal(
    rig.run((sqe) => op.prepCancel(sqe, 0, ALL | ANY)),
    count === 2 ? 2 : 4,
  )
  assert.deepEqual(results(second), gone(4))
})

opTest('ASYNC_CANCEL, READ', 'of a slot of the registered files', (rig) => {
  const { reader } = pipe(rig.t)
  rig.ring.registerFiles([-1, reader.fd])
  const id = rig.start(waitingRead(rig, 1, sys.IOSQE_FIXED_FILE))
  rig.stillWaits(id)
  assert.equal(
    rig.run((sqe) => op.prepCancelFd(sqe, 1, sys.IORING_ASYNC_CANCEL_FD_FIXED)),
    0,
  )
  assert.equal(rig.wait(id).res, -sys.ECANCELED)
  rig.ring.unregisterFiles()
})

// ---------------------------------------------------------------- poll

opTest('POLL_ADD, POLL_REMOVE', 'once: ready now, ready later, removed, cancelled', (rig) => {
  const { reader, writer } = pipe(rig.t)
  const poll = (fd: number, mask: number) => (sqe: op.Sqe) => op.prepPollAdd(sqe, fd, mask)
  assert.equal(rig.must(poll(writer.fd, sys.POLLOUT)), sys.POLLOUT)
  const id = rig.start(poll(reader.fd, sys.POLLIN))
  rig.stillWaits(id)
  writeSync(writer.fd, 'x')
  assert.equal(rig.wait(id).res, sys.POLLIN)
  readSync(reader.fd, Buffer.alloc(1))
  rig.waitsUntilCancelled(poll(reader.fd, sys.POLLIN))
  const removed = rig.start(poll(reader.fd, sys.POLLIN))
  const remove = (sqe: op.Sqe): void => {
    op.prepPollRemove(sqe, 0)
    op.sqeSetAddrWords(sqe, removed, rig.high)
  }
  assert.equal(rig.run(remove), 0)
  assert.equal(rig.wait(removed).res, -sys.ECANCELED)
  rig.fails(sys.ENOENT, remove)
  rig.fails(sys.EBADF, poll(9999, sys.POLLIN))
  writer.close()
  // Nobody asked for POLLHUP: it is always reported.
  assert.equal(rig.must(poll(reader.fd, sys.POLLIN)), sys.POLLHUP)
})

opTest('POLL_ADD', 'the upper half of the mask: POLLRDHUP and EPOLLEXCLUSIVE', (rig) => {
  const [a, b] = socketPair(rig.t)
  const id = rig.start((sqe) => op.prepPollAdd(sqe, a.fd, (sys.POLLRDHUP | sys.EPOLLEXCLUSIVE) >>> 0))
  rig.stillWaits(id)
  call('shutdown', b.fd, sys.SHUT_WR)
  assert.equal(rig.wait(id).res, sys.POLLRDHUP)
})

opTest('POLL_ADD', 'multishot: each time it becomes ready, until it is cancelled', (rig) => {
  const { reader, writer } = pipe(rig.t)
  const id = rig.start((sqe) => op.prepPollMultishot(sqe, reader.fd, sys.POLLIN))
  for (let i = 0; i < 3; i++) {
    rig.stillWaits(id)
    writeSync(writer.fd, 'x')
    const { res, flags } = rig.wait(id)
    assert.deepEqual([res, flags], [sys.POLLIN, sys.IORING_CQE_F_MORE])
    readSync(reader.fd, Buffer.alloc(1))
  }
  assert.equal(rig.cancel(id), 0)
  assert.deepEqual(rig.wait(id), { res: -sys.ECANCELED, flags: 0 })
})

opTest('POLL_ADD, POLL_REMOVE', 'update: another mask', (rig) => {
  const { reader, writer } = pipe(rig.t)
  const memory = rig.memory(1)
  const id = rig.start((sqe) => op.prepPollAdd(sqe, writer.fd, sys.POLLPRI))
  rig.stillWaits(id)
  const update = (sqe: op.Sqe): void => {
    op.prepPollUpdate(sqe, 0, 0, sys.POLLOUT, sys.IORING_POLL_UPDATE_EVENTS)
    op.sqeSetAddrWords(sqe, id, rig.high)
  }
  assert.equal(rig.run(update), 0)
  assert.equal(rig.wait(id).res, sys.POLLOUT)
  rig.fails(sys.ENOENT, update)
  rig.fails(sys.EAGAIN, (sqe) => op.prepReadv2(sqe, reader.fd, rig.iovecs(memory), 1, -1, sys.RWF_NOWAIT))
})

opTest('EPOLL_CTL, EPOLL_WAIT', 'an epoll instance by requests', (rig) => {
  const epfd = rig.owned(call('epoll_create1', sys.O_CLOEXEC))
  const { reader, writer } = pipe(rig.t)
  const bytes = process.arch === 'x64' ? 12 : 16
  const [event, got] = [rig.memory(bytes), rig.memory(bytes * 4)]
  new DataView(event.bytes.buffer).setUint32(0, sys.EPOLLIN, true)
  const add = (sqe: op.Sqe): void => op.prepEpollCtl(sqe, epfd, reader.fd, sys.EPOLL_CTL_ADD, event.address)
  rig.must(add)
  rig.fails(sys.EEXIST, add)
  const id = rig.start((sqe) => op.prepEpollWait(sqe, epfd, got.address, 4, 0))
  rig.stillWaits(id)
  writeSync(writer.fd, 'x')
  assert.equal(rig.wait(id).res, 1)
  assert.equal(new DataView(got.bytes.buffer).getUint32(0, true), sys.EPOLLIN)
  readSync(reader.fd, Buffer.alloc(1))
  rig.waitsUntilCancelled((sqe) => op.prepEpollWait(sqe, epfd, got.address, 4, 0))
  rig.fails(sys.EINVAL, (sqe) => op.prepEpollWait(sqe, reader.fd, got.address, 4, 0))
  // EPOLLONESHOT: told once, then no more, though it is still readable.
  const once = new DataView(event.bytes.buffer)
  once.setUint32(0, (sys.EPOLLIN | sys.EPOLLONESHOT) >>> 0, true)
  rig.must((sqe) => op.prepEpollCtl(sqe, epfd, reader.fd, sys.EPOLL_CTL_MOD, event.address))
  writeSync(writer.fd, 'x')
  assert.equal(
    rig.run((sqe) => op.prepEpollWait(sqe, epfd, got.address, 4, 0)),
    1,
  )
  rig.waitsUntilCancelled((sqe) => op.prepEpollWait(sqe, epfd, got.address, 4, 0))
  rig.must((sqe) => op.prepEpollCtl(sqe, epfd, reader.fd, sys.EPOLL_CTL_DEL, event.address))
  rig.waitsUntilCancelled((sqe) => op.prepEpollWait(sqe, epfd, got.address, 4, 0))
})

// ---------------------------------------------------------------- what the pitfalls are about

opTest('PIPE, TEE, READ, WRITE, CLOSE', 'pipes by requests, and a copy that leaves the bytes', (rig) => {
  const fds = rig.memory(8)
  const make = (): [number, number] => {
    rig.must((sqe) => op.prepPipe(sqe, fds.address, sys.O_CLOEXEC))
    const view = new DataView(fds.bytes.buffer)
    return [rig.owned(view.getInt32(0, true)), rig.owned(view.getInt32(4, true))]
  }
  const [from, to] = [make(), make()]
  writeSync(from[1], 'tee')
  assert.equal(
    rig.must((sqe) => op.prepTee(sqe, from[0], to[1], 100, 0)),
    3,
  )
  for (const [reader] of [from, to]) {
    const buffer = Buffer.alloc(3)
    readSync(reader, buffer)
    assert.equal(buffer.toString(), 'tee')
  }
  rig.fails(sys.EINVAL, (sqe) => op.prepPipe(sqe, fds.address, 0x10_0000))
  rig.fails(sys.EINVAL, (sqe) => op.prepTee(sqe, from[0], from[1], 100, 0))
  rig.fails(sys.EBADF, (sqe) => op.prepTee(sqe, 9999, to[1], 100, 0))
})

opTest('FIXED_FD_INSTALL, FILES_UPDATE, READ', 'slots are filled, read, and become fds', (rig) => {
  const { reader, writer } = pipe(rig.t)
  rig.ring.registerFilesSparse(2)
  const fds = rig.memory(new Uint8Array(Int32Array.of(-1, reader.fd).buffer))
  assert.equal(
    rig.must((sqe) => op.prepFilesUpdate(sqe, fds.address, 2, 0)),
    2,
  )
  const fd = rig.must((sqe) => op.prepFixedFdInstall(sqe, 1, 0))
  writeSync(writer.fd, 'fd')
  assert.equal(readSync(fd, Buffer.alloc(4)), 2)
  closeSync(fd)
  rig.fails(sys.EBADF, (sqe) => op.prepFixedFdInstall(sqe, 0, 0))
  // The kernel says which slots it took.
  const one = rig.memory(new Uint8Array(Int32Array.of(writer.fd).buffer))
  const count = rig.must((sqe) => op.prepFilesUpdate(sqe, one.address, 1, sys.IORING_FILE_INDEX_ALLOC))
  assert.equal(count, 1)
  assert.equal(new DataView(one.bytes.buffer).getInt32(0, true), 0)
  const none = rig.memory(new Uint8Array(Int32Array.of(9999).buffer))
  rig.fails(sys.EBADF, (sqe) => op.prepFilesUpdate(sqe, none.address, 1, 0))
  rig.fails(sys.EINVAL, (sqe) => op.prepFilesUpdate(sqe, none.address, 1, 2))
  rig.ring.unregisterFiles()
})

opTest('FUTEX_WAIT, FUTEX_WAKE', 'woken, refused, cancelled', (rig) => {
  const word = rig.memory(new Uint8Array(Int32Array.of(7).buffer))
  const [size, all] = [sys.FUTEX2_SIZE_U32 | sys.FUTEX2_PRIVATE, 0xffff_ffff]
  const wait = (value: number, mask: number, flags: number) => (sqe: op.Sqe) =>
    op.prepFutexWait(sqe, word.address, value, mask, flags, 0)
  const id = rig.start(wait(7, all, size))
  rig.stillWaits(id)
  assert.equal(
    rig.must((sqe) => op.prepFutexWake(sqe, word.address, 1, all, size, 0)),
    1,
  )
  assert.equal(rig.wait(id).res, 0)
  rig.fails(sys.EAGAIN, wait(8, all, size))
  rig.fails(sys.EINVAL, wait(7, all, 0))
  rig.fails(sys.EINVAL, wait(7, -1, size))
  rig.fails(sys.EINVAL, (sqe) => op.prepFutexWake(sqe, word.address, 1, all, 0, 0))
  // The kernel counts here, where for other requests it says 0.
  rig.waitsUntilCancelled(wait(7, all, size), { asked: 1 })
})

opTest('FUTEX_WAITV, FUTEX_WAKE', 'the index of the one that was woken', (rig) => {
  const words = [7, 8].map((value) => rig.memory(new Uint8Array(Int32Array.of(value).buffer)))
  const flags = sys.FUTEX2_SIZE_U32 | sys.FUTEX2_PRIVATE
  // struct futex_waitv: value, address, flags.
  const waitv = (first: bigint) =>
    rig.memory(
      new Uint8Array(
        BigUint64Array.of(
          ...[first, BigInt(words[0]!.address), BigInt(flags)],
          ...[8n, BigInt(words[1]!.address), BigInt(flags)],
        ).buffer,
      ),
    ).address
  const id = rig.start((sqe) => op.prepFutexWaitv(sqe, waitv(7n), 2, 0))
  rig.stillWaits(id)
  const second = words[1]!.address
  assert.equal(
    rig.must((sqe) => op.prepFutexWake(sqe, second, 1, 0xffff_ffff, flags, 0)),
    1,
  )
  assert.equal(rig.wait(id).res, 1)
  rig.fails(sys.EAGAIN, (sqe) => op.prepFutexWaitv(sqe, waitv(9n), 2, 0))
  rig.waitsUntilCancelled((sqe) => op.prepFutexWaitv(sqe, waitv(7n), 2, 0), { asked: 1 })
})

opTest('WAITID', 'sees a child end, and leaves it for node to reap', (rig) => {
  const child = spawn('sleep', ['60'], { stdio: 'ignore' })
  const info = rig.memory(128)
  const wait = (options: number) => (sqe: op.Sqe) =>
    op.prepWaitid(sqe, sys.P_PID, child.pid!, info.address, options | sys.WNOWAIT, 0)
  // It has not stopped, and will not: a cancel ends the waiting.
  rig.waitsUntilCancelled(wait(sys.WSTOPPED), { asked: 1 })
  child.kill('SIGKILL')
  assert.equal(rig.must(wait(sys.WEXITED)), 0)
  const view = new DataView(info.bytes.buffer)
  assert.deepEqual([view.getInt32(16, true), view.getInt32(24, true)], [child.pid, 9])
  rig.fails(sys.ECHILD, (sqe) => op.prepWaitid(sqe, sys.P_PID, 1, info.address, sys.WEXITED, 0))
  rig.t.after(() => new Promise((resolve) => child.once('close', resolve)))
})

opTest('MSG_RING', 'to the ring itself: 32 and 64 bits as they are', (rig) => {
  const target = rig.expect()
  const data = (BigInt(rig.high) << 32n) | BigInt(target)
  rig.must((sqe) => op.prepMsgRing(sqe, rig.ring.fd, 0x8000_0001, data, 0))
  assert.equal(rig.wait(target).res, 0x8000_0001 | 0)
  const second = rig.expect()
  rig.must((sqe) => {
    op.prepMsgRingCqeFlags(sqe, rig.ring.fd, 5, 0, 0, 0x1_0000)
    op.sqeSetOffWords(sqe, second, rig.high)
  })
  assert.deepEqual(rig.wait(second), { res: 5, flags: 0x1_0000 })
  rig.ring.accountForeignCqes(2)
  rig.fails(sys.EBADFD, (sqe) => op.prepMsgRing(sqe, pipe(rig.t).reader.fd, 0, 0, 0))
})

matrixTest('control')
