// Timers and polls that change while they wait, cancelling, epoll, by Uring.
// Flow: this → Uring (operations-timer, operations-epoll) → kernel.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import { Resource } from 'ringcore'
import * as sys from 'ringcore/sys'
import { OwnedFd, pipe, socketPair, withTimeout } from './helpers.js'
import { failure } from './uring.js'
import { call, opTest, refused, submitted } from './uring-ops.js'

opTest('TIMEOUT, TIMEOUT_REMOVE', 'a timer runs out, is moved, is removed', async (_t, ring) => {
  const started = performance.now()
  assert.equal(await ring.timer(10).ended, 'expired')
  assert.ok(performance.now() - started >= 9.5)

  const moved = ring.timer(60_000)
  assert.equal(await moved.update(5), true)
  assert.equal(await withTimeout(moved.ended, 2000), 'expired')
  assert.equal(await moved.update(5), false, 'too late')
  assert.equal(await moved.remove(), false, 'too late')

  const later = ring.timer(20)
  const before = performance.now()
  assert.equal(await later.update(60), true)
  await later.ended
  assert.ok(performance.now() - before >= 55, 'the new time counts from the update')

  const removed = ring.timer(60_000)
  assert.equal(await removed.remove(), true)
  assert.equal(await removed.ended, 'removed')

  const until = ring.timer(Date.now() + 60_000, { clock: 'realtime', absolute: true })
  assert.equal(await until.update(Date.now() + 5), true)
  assert.equal(await withTimeout(until.ended, 2000), 'expired')

  const aborted = new AbortController()
  const timer = ring.timer(60_000, { signal: aborted.signal })
  await submitted(ring)
  aborted.abort()
  assert.equal((await failure(timer.ended)).name, 'AbortError')
  await refused(ring, [
    ['ERR_OUT_OF_RANGE', () => ring.timer(-1)],
    ['ERR_OUT_OF_RANGE', () => ring.timer(1, { count: -1 })],
    ['ERR_INVALID_ARG_VALUE', () => ring.timer(1, { clock: 'x' as never })],
    ['ERR_INVALID_ARG_TYPE', () => moved.update('1' as never)],
  ])
})

opTest('TIMEOUT', 'a timer that other operations end', async (_t, ring) => {
  const timer = ring.timer(60_000, { count: 2 })
  await ring.nop()
  await ring.nop()
  assert.equal(await withTimeout(timer.ended, 2000), 'counted')
})

opTest('POLL_ADD, POLL_REMOVE', 'a poll gets other events, and is removed', async (t, ring) => {
  const [a, b] = socketPair(t)
  const poller = ring.poller(a.fd, sys.POLLIN)
  await submitted(ring)
  assert.equal(await poller.update(sys.POLLOUT), true)
  assert.equal(await withTimeout(poller.ready, 2000), sys.POLLOUT)
  assert.equal(await poller.update(sys.POLLIN), false, 'too late')
  assert.equal(await poller.remove(), false, 'too late')

  const removed = ring.poller(new Resource(b.fd), sys.POLLIN)
  assert.equal(await removed.remove(), true)
  assert.equal(await removed.ready, 0)

  const plain = ring.poller(b.fd, sys.POLLIN)
  fs.writeSync(a.fd, 'x')
  assert.equal(await withTimeout(plain.ready, 2000), sys.POLLIN)
  assert.equal((await failure(ring.poller(999_999, sys.POLLIN).ready)).code, 'EBADF')
  await refused(ring, [
    ['ERR_OUT_OF_RANGE', () => ring.poller(-1, 1)],
    ['ERR_INVALID_ARG_TYPE', () => ring.poller(a.fd, null as never)],
    ['ERR_OUT_OF_RANGE', () => plain.update(-1)],
  ])
})

opTest('ASYNC_CANCEL', 'by file, by opcode, by both, and all', async (t, ring) => {
  const [one, two] = [pipe(t), pipe(t)]
  const [a] = socketPair(t)
  const start = (): Promise<string>[] => {
    const waiting = [
      ring.read(one.reader.fd, Buffer.alloc(1)),
      ring.read(one.reader.fd, Buffer.alloc(1)),
      ring.read(two.reader.fd, Buffer.alloc(1)),
      ring.recv(a.fd, Buffer.alloc(1)),
      ring.poll(one.reader.fd, sys.POLLIN),
    ]
    return waiting.map(async (promise) => String((await failure(promise)).code))
  }
  const gone = (count: number) => new Array(count).fill('ECANCELED')
  let waits = start()
  await submitted(ring)
  assert.equal(await ring.cancel({ fd: one.reader.fd, op: 'READ' }), 2)
  assert.equal(await ring.cancel({ fd: new Resource(one.reader.fd) }), 1)
  assert.equal(await ring.cancel({ op: sys.IORING_OP_RECV }), 1)
  assert.equal(await ring.cancel({ op: 'IORING_OP_READ' }), 1)
  assert.deepEqual(await withTimeout(Promise.all(waits), 2000), gone(5))
  assert.equal(await ring.cancel({ fd: one.reader.fd }), 0, 'nothing is left')

  waits = start()
  await submitted(ring)
  const count = await ring.cancel({ all: true })
  assert.ok(count === 5 || count === 6, `${count}: the loop's own poll may be among them`)
  assert.deepEqual(await withTimeout(Promise.all(waits), 2000), gone(5))
  // The loop still hears libuv: its poll came back.
  await withTimeout(new Promise((resolve) => fs.stat('/', resolve)), 2000)

  const file = ring.fixedFile()
  await ring.filesUpdate([file], [two.reader.fd])
  const fixed = failure(ring.read(file, Buffer.alloc(1)))
  await submitted(ring)
  assert.equal(await ring.cancel({ fd: file }), 1)
  assert.equal((await fixed).code, 'ECANCELED')
  await ring.closeFile(file)
  assert.equal((await failure(ring.cancel({ fd: 999_999 }))).code, 'EBADF')
  await refused(ring, [
    ['ERR_INVALID_ARG_TYPE', () => ring.cancel(5 as never)],
    ['ERR_INVALID_ARG_VALUE', () => ring.cancel({})],
    ['ERR_INVALID_ARG_VALUE', () => ring.cancel({ all: true, op: 'READ' })],
    ['ERR_INVALID_ARG_VALUE', () => ring.cancel({ op: 'REED' })],
    ['ERR_OUT_OF_RANGE', () => ring.cancel({ op: 1000 })],
    ['ERR_OUT_OF_RANGE', () => ring.cancel({ fd: -1 })],
  ])
})

opTest('EPOLL_CTL, EPOLL_WAIT', 'an epoll instance of somebody else', async (t, ring) => {
  const epoll = new OwnedFd(t, call('epoll_create1', sys.O_CLOEXEC)).fd
  const { reader, writer } = pipe(t)
  await ring.epollCtl(epoll, sys.EPOLL_CTL_ADD, reader.fd, { events: sys.EPOLLIN })
  await ring.epollCtl(new Resource(epoll), sys.EPOLL_CTL_ADD, new Resource(writer.fd), { events: 0 })
  const exists = ring.epollCtl(epoll, sys.EPOLL_CTL_ADD, reader.fd, { events: sys.EPOLLIN })
  assert.deepEqual((({ code, syscall }) => [code, syscall])(await failure(exists)), ['EEXIST', 'epoll_ctl'])
  const waiting = ring.epollWait(epoll)
  await submitted(ring)
  fs.writeSync(writer.fd, 'x')
  assert.deepEqual(await withTimeout(waiting, 2000), [{ events: sys.EPOLLIN, data: reader.fd }])
  const data = 2 ** 53 - 1
  await ring.epollCtl(epoll, sys.EPOLL_CTL_MOD, writer.fd, { events: sys.EPOLLOUT, data })
  const both = await ring.epollWait(epoll, 8)
  assert.deepEqual(both.map((event) => event.data).sort(), [reader.fd, data].sort())
  await ring.epollCtl(epoll, sys.EPOLL_CTL_DEL, writer.fd)
  await ring.epollCtl(epoll, sys.EPOLL_CTL_DEL, reader.fd)
  const abort = new AbortController()
  const endless = ring.epollWait(epoll, 1, { signal: abort.signal })
  await submitted(ring)
  abort.abort()
  assert.equal((await failure(endless)).name, 'AbortError')
  assert.equal((await failure(ring.epollWait(reader.fd))).code, 'EINVAL')
  assert.equal((await failure(ring.epollCtl(epoll, sys.EPOLL_CTL_DEL, reader.fd))).code, 'ENOENT')
  await refused(ring, [
    ['ERR_OUT_OF_RANGE', () => ring.epollWait(epoll, 0)],
    ['ERR_OUT_OF_RANGE', () => ring.epollWait(-1)],
    ['ERR_INVALID_ARG_VALUE', () => ring.epollCtl(epoll, 9, reader.fd)],
    ['ERR_OUT_OF_RANGE', () => ring.epollCtl(epoll, sys.EPOLL_CTL_ADD, reader.fd, { events: -1 })],
    ['ERR_OUT_OF_RANGE', () => ring.epollCtl(epoll, sys.EPOLL_CTL_ADD, reader.fd, { data: -1 })],
    ['ERR_INVALID_ARG_TYPE', () => ring.epollCtl(epoll, sys.EPOLL_CTL_ADD, ring.fixedFile() as never)],
  ])
})
