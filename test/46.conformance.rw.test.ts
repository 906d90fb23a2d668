// Reads, writes, receives, sends: what a peer sees when they meet in odd orders and on descriptors of odd kinds.
// Flow: this → uring-ops.ts, op-helpers.ts → ringcore.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import * as op from 'ringcore/ring'
import * as sys from 'ringcore/sys'
import { pipe, socketPair, tempDir, withTimeout } from './helpers.js'
import { opTest as rawTest } from './op-helpers.js'
import { failure } from './uring.js'
import { call, opTest, submitted, tcpPair } from './uring-ops.js'

const F_SETFL = 4
const O_NONBLOCK = 0o4000

opTest('READV, WRITEV', 'vectors over TCP', async (t, ring) => {
  const [client, server] = tcpPair(t)
  const place = ring.fixedFile()
  await ring.filesUpdate([place], [server.fd])
  for (const flags of [0, O_NONBLOCK]) {
    assert.equal(call('fcntl', client.fd, F_SETFL, flags), 0)
    for (const from of [server.fd, place]) {
      const into = [Buffer.alloc(3), Buffer.alloc(10)]
      const sent = ['two', ' parts'].map((part) => Buffer.from(part))
      assert.equal(await ring.writev(client.fd, sent), 9)
      assert.equal(await ring.readv(from, into), 9)
      assert.equal(Buffer.concat(into).toString('latin1', 0, 9), 'two parts')
    }
  }
  await ring.shutdown(client.fd, sys.SHUT_WR)
  assert.equal((await failure(ring.writev(client.fd, [Buffer.from('x')]))).code, 'EPIPE')
  assert.equal(await ring.readv(server.fd, [Buffer.alloc(1)]), 0)
  await ring.closeFile(place)
})

opTest('READV, WRITEV', 'a read that is queued before its write', async (t, ring) => {
  for (const [client, server] of [tcpPair(t), socketPair(t)]) {
    for (const flags of [0, O_NONBLOCK]) {
      assert.equal(call('fcntl', server.fd, F_SETFL, flags), 0)
      for (const position of [undefined, 0]) {
        const into = Buffer.alloc(8)
        const reading = ring.readv(server.fd, [into], { position })
        // Refused at once or waited for, but never stuck: the write behind it goes out.
        const outcome = reading.catch((error) => error.code)
        assert.equal(await withTimeout(ring.writev(client.fd, [Buffer.from('late')], { position }), 2000), 4)
        const got = await withTimeout(outcome, 2000, 'the read')
        if (flags === 0) assert.equal(got, 4)
        else assert.ok(got === 4 || got === 'EAGAIN', String(got))
        if (got === 'EAGAIN') assert.equal(await ring.readv(server.fd, [into]), 4)
        assert.equal(into.toString('latin1', 0, 4), 'late')
      }
    }
  }
})

opTest('READV', 'the same vectors again and again', async (t, ring) => {
  const { reader, writer } = pipe(t)
  const parts = [Buffer.alloc(5), Buffer.alloc(7), Buffer.alloc(100)]
  for (let round = 1; round <= 112; round++) {
    for (const part of parts) part.fill(0)
    const reading = ring.readv(reader.fd, parts)
    const bytes = Buffer.alloc(round, round)
    fs.writeSync(writer.fd, bytes)
    assert.equal(await withTimeout(reading, 2000), round)
    assert.ok(
      Buffer.concat(parts).equals(Buffer.concat([bytes, Buffer.alloc(112 - round)])),
      `round ${round}`,
    )
  }
})

opTest('RECV, RECVMSG', 'MSG_WAITALL and messages', async (t, ring) => {
  const [a, b] = socketPair(t, 2)
  const whole = ring.recv(b.fd, Buffer.alloc(16), { flags: sys.MSG_WAITALL })
  await submitted(ring)
  fs.writeSync(a.fd, 'short')
  assert.equal(await withTimeout(whole, 2000, 'a datagram is all there is'), 5)
  const [c, d] = socketPair(t)
  const buffers = [Buffer.alloc(3), Buffer.alloc(5)]
  const all = ring.recvmsg(d.fd, { buffers }, { flags: sys.MSG_WAITALL })
  await submitted(ring)
  for (const part of ['he', 'll', 'o wo']) {
    fs.writeSync(c.fd, part)
    await submitted(ring)
  }
  assert.equal((await withTimeout(all, 2000)).bytes, 8)
  assert.equal(Buffer.concat(buffers).toString(), 'hello wo')
})

opTest('RECV', 'sixteen receives on one socket', async (t, ring) => {
  const [a, b] = socketPair(t, 2)
  for (let round = 0; round < 10; round++) {
    const buffers = Array.from({ length: 16 }, () => Buffer.alloc(1))
    const receives = buffers.map((buffer) => ring.recv(b.fd, buffer))
    if (round % 2 === 0) await submitted(ring)
    for (let i = 0; i < 16; i++) fs.writeSync(a.fd, Buffer.of(i))
    assert.deepEqual(await withTimeout(Promise.all(receives), 2000), Array(16).fill(1))
    assert.equal(new Set(buffers.map(([byte]) => byte)).size, 16, 'each datagram went to one')
  }
})

opTest('READ', 'a pipe and a file, read together', async (t, ring) => {
  const path = join(tempDir(t), 'file')
  fs.writeFileSync(path, 'from the file')
  const fd = await ring.openat(path)
  const { reader, writer } = pipe(t)
  const [piped, filed, later] = [Buffer.alloc(20), Buffer.alloc(20), Buffer.alloc(20)]
  const pending = ring.read(reader.fd, piped)
  assert.equal(await ring.read(fd, filed, { position: 0 }), 13)
  const second = ring.read(fd, later, { position: 5 })
  fs.writeSync(writer.fd, 'from the pipe')
  assert.deepEqual(await Promise.all([pending, second]), [13, 8])
  assert.deepEqual(
    [piped, filed, later].map((buffer) => buffer.toString().replaceAll('\0', '')),
    ['from the pipe', 'from the file', 'the file'],
  )
  await ring.closeFile(fd)
})

rawTest('ACCEPT', 'accept says whether more wait', (rig) => {
  const { fd, address } = rig.listener()
  const nonempty = sys.IORING_CQE_F_SOCK_NONEMPTY
  rig.connect(address)
  rig.connect(address)
  const accept = (): number => {
    const { res, flags } = rig.wait(rig.start((sqe) => op.prepAccept(sqe, fd, 0, 0, sys.SOCK_CLOEXEC)))
    rig.owned(res)
    return flags & nonempty
  }
  const first = accept()
  const second = accept()
  if (first === 0) return rig.t.skip('needs IORING_CQE_F_SOCK_NONEMPTY of accept: kernel 6.10')
  assert.deepEqual([first, second], [nonempty, 0])
})

rawTest('CONNECT', 'connect is refused as often as it is tried', (rig) => {
  const gone = rig.listener()
  call('shutdown', gone.fd, sys.SHUT_RDWR)
  const to = rig.sockaddr(gone.address)
  const fd = rig.socket()
  for (let i = 0; i < 20; i++)
    rig.fails(sys.ECONNREFUSED, (sqe) => op.prepConnect(sqe, fd, to.address, to.bytes.length))
})

rawTest('READ, RECV', 'O_NONBLOCK pipes and sockets', (rig) => {
  const { reader, writer } = pipe(rig.t)
  assert.equal(call('fcntl', reader.fd, F_SETFL, O_NONBLOCK), 0)
  const room = rig.memory(8)
  const id = rig.start((sqe) => op.prepRead(sqe, reader.fd, room.address, 8, -1))
  rig.stillWaits(id)
  fs.writeSync(writer.fd, 'fifo')
  assert.equal(rig.wait(id).res, 4)
  const [, socket] = socketPair(rig.t)
  for (const flags of [0, O_NONBLOCK]) {
    assert.equal(call('fcntl', socket.fd, F_SETFL, flags), 0)
    rig.fails(sys.EAGAIN, (sqe) => op.prepRecv(sqe, socket.fd, room.address, 8, sys.MSG_DONTWAIT))
    rig.waitsUntilCancelled((sqe) => op.prepRecv(sqe, socket.fd, room.address, 8, 0))
  }
})
