// Each kind of operation when no slot is free: it waits its turn, and then does what it would have done at once.
// Flow: this → Uring (every room's `later`) → backlog.ts, kernel.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import type { FixedFile, Uring } from 'ringcore'
import * as sys from 'ringcore/sys'
import { OwnedFd, oracle, pipe, tempDir, withTimeout } from './helpers.js'
import { blockedReads, openUring } from './uring.js'
import { call, tcpPair } from './uring-ops.js'

/** Files, sockets and memory, and every kind of operation on them. */
function prepare(t: TestContext, ring: Uring) {
  const dir = tempDir(t)
  const path = join(dir, 'file')
  fs.writeFileSync(path, 'content')
  const file = new OwnedFd(t, fs.openSync(path, 'r+')).fd
  const epoll = new OwnedFd(t, call('epoll_create1', sys.O_CLOEXEC)).fd
  const [client, server] = tcpPair(t)
  const { reader } = pipe(t)
  const buffer = ring.alloc(7)
  const words = new Int32Array(new SharedArrayBuffer(16))
  const place = ring.fixedFile()
  const calls: Record<string, (r: Uring) => Promise<unknown>> = {
    nop: (r) => r.nop({ result: 3 }),
    readvFixed: (r) => r.readvFixed(file, [buffer], { position: 0 }),
    writevFixed: (r) => r.writevFixed(file, [buffer], { position: 0 }),
    fadvise: (r) => r.fadvise(file, 0, 0, sys.POSIX_FADV_NORMAL),
    madvise: (r) => r.madvise(buffer, sys.MADV_WILLNEED),
    symlinkat: (r) => r.symlinkat('there', join(dir, 'sym')),
    linkat: (r) => r.linkat(path, join(dir, 'second')),
    filesUpdate: (r) => r.filesUpdate([place], [reader.fd]),
    filesUpdateAlloc: (r) => r.filesUpdateAlloc([reader.fd]),
    fixedFdInstall: (r) => r.fixedFdInstall(place),
    pipe: (r) => r.pipe(),
    pipeDirect: (r) => r.pipeDirect(),
    socketDirect: (r) => r.socketDirect(sys.AF_INET, sys.SOCK_STREAM),
    epollCtl: (r) => r.epollCtl(epoll, sys.EPOLL_CTL_ADD, server.fd, { events: sys.EPOLLOUT }),
    epollWait: (r) => r.epollWait(epoll),
    futexWait: (r) => r.futexWait(words, 0, 1),
    futexWake: (r) => r.futexWake(words, 0),
    futexWaitv: (r) => r.futexWaitv([{ words, index: 1, value: 5 }]),
    siocoutq: (r) => r.siocoutq(server.fd),
    getsockopt: (r) =>
      r.getsockopt(server.fd, sys.SOL_SOCKET, sys.SO_TYPE).then((type) => type.readInt32LE()),
    setsockopt: (r) => r.setsockopt(server.fd, sys.SOL_SOCKET, sys.SO_KEEPALIVE, 1),
    uringCmd: (r) => r.uringCmd(server.fd, sys.SOCKET_URING_OP_SIOCINQ),
    msgRing: (r) => r.msgRing(r, { value: 1 }),
    sendZc: (r) => r.sendZc(client.fd, Buffer.from('zero')).then(({ bytes }) => bytes),
    sendmsgZc: (r) => r.sendmsgZc(client.fd, { buffers: [Buffer.from('copy')] }).then(({ bytes }) => bytes),
    cancel: (r) => r.cancel({ fd: reader.fd }),
    timer: (r) => r.timer(1).ended,
    poller: (r) => r.poller(client.fd, sys.POLLOUT).ready,
    poll: (r) => r.poll(client.fd, sys.POLLOUT),
    waitid: (r) => r.waitid({ pid: 1 }).catch((error) => error.code),
  }
  return { calls, path, place, buffer, server }
}

/** What they give, but for new descriptors. */
function expected({ server }: ReturnType<typeof prepare>): Record<string, unknown> {
  const nothing = undefined
  return {
    nop: 3,
    readvFixed: 7,
    writevFixed: 7,
    fadvise: nothing,
    madvise: nothing,
    symlinkat: nothing,
    linkat: nothing,
    filesUpdate: 1,
    epollCtl: nothing,
    epollWait: [{ events: sys.EPOLLOUT, data: server.fd }],
    futexWait: 'not-equal',
    futexWake: 0,
    futexWaitv: -1,
    siocoutq: 0,
    getsockopt: sys.SOCK_STREAM,
    setsockopt: nothing,
    uringCmd: 0,
    msgRing: nothing,
    sendZc: 4,
    sendmsgZc: 4,
    cancel: 0,
    timer: 'expired',
    poller: sys.POLLOUT,
    poll: sys.POLLOUT,
    waitid: 'ECHILD',
  }
}

test('operations that wait for a slot end as others do, and in their order', async (t) => {
  oracle(t)
  const ring = openUring(t, { inFlight: 1 })
  const material = prepare(t, ring)
  const { calls, path, place } = material
  const { reads, writer } = blockedReads(t, ring, 1)
  const order: string[] = []
  const promises = Object.entries(calls).map(([name, begin]) => {
    const before = ring.stats().queued
    const promise = begin(ring)
    assert.equal(ring.stats().queued, before + 1, `${name} waits`)
    return promise.finally(() => order.push(name))
  })
  assert.equal(ring.stats().inFlight, 1)
  fs.writeSync(writer.fd, 'x')
  await Promise.all(reads)
  const results = await withTimeout(Promise.all(promises), 10_000, 'all of them')
  const of = Object.fromEntries(Object.keys(calls).map((name, i) => [name, results[i]]))
  assert.deepEqual(order, Object.keys(calls))
  const fds = [of.fixedFdInstall, ...(of.pipe as number[])] as number[]
  const files = [
    place,
    ...(of.filesUpdateAlloc as FixedFile[]),
    ...(of.pipeDirect as FixedFile[]),
    of.socketDirect as FixedFile,
  ]
  for (const each of [...fds, ...files]) await ring.closeFile(each)
  for (const each of files) ring.freeFixedFile(each)
  for (const name of ['filesUpdateAlloc', 'fixedFdInstall', 'pipe', 'pipeDirect', 'socketDirect'])
    delete of[name]
  assert.deepEqual(of, expected(material))
  assert.equal(fs.readFileSync(path, 'utf8'), 'content')
  ring.free(material.buffer)
})
