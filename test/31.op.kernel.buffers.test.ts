// Requests with buffers of the ring: registered vectors, repeated reads, messages without copies; commands of sockets.
// Flow: this → op-helpers.ts → ringcore/ring. man io_uring_enter(2)

import assert from 'node:assert/strict'
import { openSync, readFileSync, readSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import * as op from 'ringcore/ring'
import * as sys from 'ringcore/sys'
import { pipe, tempDir } from './helpers.js'
import { call, opTest, type Rig } from './op-helpers.js'
import { matrixTest } from './op-matrix.js'

/** Two ends of a TCP connection. */
function tcp(rig: Rig): [client: number, server: number] {
  const { fd, address } = rig.listener()
  const client = rig.connect(address)
  return [client, rig.owned(call('accept4', fd, 0, 0, sys.SOCK_CLOEXEC))]
}

/** An array of struct iovec: address and length of each. */
function vectors(rig: Rig, ...parts: (readonly [address: number, length: number])[]): number {
  return rig.memory(new Uint8Array(BigUint64Array.from(parts.flat().map(BigInt)).buffer)).address
}

opTest('READV_FIXED, WRITEV_FIXED', 'pieces of one registered buffer', (rig) => {
  const path = join(tempDir(rig.t), 'file')
  writeFileSync(path, 'hello world')
  const fd = rig.owned(openSync(path, 'r+'))
  const buffer = rig.memory(8192)
  rig.ring.registerBuffers([buffer.bytes])
  const { address } = buffer
  const pieces = vectors(rig, [address + 5000, 6], [address + 10, 5])
  assert.equal(
    rig.run((sqe) => op.prepReadvFixed(sqe, fd, pieces, 2, 0, 0, 0)),
    11,
  )
  assert.equal(Buffer.from(buffer.bytes.subarray(5000, 5006)).toString(), 'hello ')
  assert.equal(Buffer.from(buffer.bytes.subarray(10, 15)).toString(), 'world')
  const back = vectors(rig, [address + 10, 5], [address + 5000, 6])
  assert.equal(
    rig.run((sqe) => op.prepWritevFixed(sqe, fd, back, 2, 11, 0, 0)),
    11,
  )
  assert.equal(readFileSync(path, 'utf8'), 'hello worldworldhello ')
  rig.fails(sys.EBADF, (sqe) => op.prepReadvFixed(sqe, 9999, pieces, 2, 0, 0, 0))
  rig.fails(sys.EBADF, (sqe) => op.prepWritevFixed(sqe, 9999, back, 2, 0, 0, 0))
  const empty = pipe(rig.t).reader.fd
  rig.waitsUntilCancelled((sqe) => op.prepReadvFixed(sqe, empty, pieces, 2, -1, 0, 0))
  const { writer } = pipe(rig.t)
  for (let room = 65_536; room > 0; room -= 4096) writeSync(writer.fd, Buffer.alloc(4096))
  rig.waitsUntilCancelled((sqe) => op.prepWritevFixed(sqe, writer.fd, back, 2, -1, 0, 0))
  rig.ring.unregisterBuffers()
})

opTest('READ_MULTISHOT', 'a buffer for each arrival, until it is cancelled', (rig) => {
  const { reader, writer } = pipe(rig.t)
  const buffers = new op.BufferRing(rig.ring, { group: 1, entries: 4, bufferBytes: 16 })
  const read = (fd: number) => (sqe: op.Sqe) => op.prepReadMultishot(sqe, fd, 0, -1, 1)
  const id = rig.start(read(reader.fd))
  for (const text of ['one', 'two', 'three']) {
    rig.stillWaits(id)
    writeSync(writer.fd, text)
    const { res, flags } = rig.wait(id)
    assert.ok(flags & sys.IORING_CQE_F_MORE)
    const bid = flags >>> sys.IORING_CQE_BUFFER_SHIFT
    assert.equal(Buffer.from(buffers.take(bid, res)).toString(), text)
    buffers.release(bid)
  }
  assert.equal(rig.cancel(id), 0)
  assert.deepEqual(rig.wait(id), { res: -sys.ECANCELED, flags: 0 })
  const regular = rig.owned(openSync(join(tempDir(rig.t), 'file'), 'w+'))
  rig.fails(sys.EBADFD, read(regular))
  buffers.close()
})

/** Runs a zero-copy request to its end: its result, then the notification, if one is announced. */
function zeroCopy(rig: Rig, id: number): number {
  const { res, flags } = rig.wait(id)
  if (flags & sys.IORING_CQE_F_MORE) {
    const last = rig.wait(id).flags
    assert.equal(last & (sys.IORING_CQE_F_NOTIF | sys.IORING_CQE_F_MORE), sys.IORING_CQE_F_NOTIF)
  }
  return res
}

for (const name of ['SEND_ZC', 'SENDMSG_ZC']) {
  opTest(name, 'sent, refused, and cancelled while there is no room', (rig) => {
    const [client, server] = tcp(rig)
    const data = rig.memory('x'.repeat(1 << 20))
    const send =
      (fd: number, length: number, flags: number = sys.MSG_NOSIGNAL) =>
      (sqe: op.Sqe): void => {
        const words = [0, 0, vectors(rig, [data.address, length]), 1, 0, 0, 0]
        const message = rig.memory(new Uint8Array(BigUint64Array.from(words.map(BigInt)).buffer))
        if (name === 'SEND_ZC') op.prepSendZc(sqe, fd, data.address, length, flags, 0)
        else op.prepSendmsgZc(sqe, fd, message.address, flags)
      }
    assert.equal(zeroCopy(rig, rig.start(send(client, 5000))), 5000)
    for (let got = 0; got < 5000; ) got += readSync(server, Buffer.alloc(8192))
    assert.equal(zeroCopy(rig, rig.start(send(pipe(rig.t).writer.fd, 10))), -sys.ENOTSOCK)
    assert.equal(zeroCopy(rig, rig.start(send(rig.socket(), 10))), -sys.EPIPE)
    // Plain sends fill the connection: nothing of theirs is the kernel's afterwards. What it holds goes on to the other
    // side, and makes room again, for a while: until it does not, the request goes out instead of waiting.
    const fill = (sqe: op.Sqe): void => op.prepSend(sqe, client, data.address, 1 << 20, sys.MSG_DONTWAIT)
    let outcome = 0
    for (let tries = 0; outcome >= 0 && tries < 1000; tries++) {
      while (rig.run(fill) > 0);
      const id = rig.start(send(client, 1 << 20))
      const asked = rig.cancel(id)
      outcome = zeroCopy(rig, id)
      if (outcome < 0) assert.equal(asked, 0)
    }
    assert.equal(outcome, -sys.ECANCELED)
  })
}

opTest('URING_CMD', 'what sockets are asked, and what no file understands', (rig) => {
  const [client, server] = tcp(rig)
  writeSync(client, 'seven..')
  rig.must((sqe) => op.prepPollAdd(sqe, server, sys.POLLIN))
  const ask = (cmd: number, fd: number) => (sqe: op.Sqe) => op.prepCmdSock(sqe, cmd, fd, 0, 0, 0, 0)
  assert.equal(rig.run(ask(sys.SOCKET_URING_OP_SIOCINQ, server)), 7)
  const value = rig.memory(4)
  const option = (sqe: op.Sqe): void =>
    op.prepCmdSock(sqe, sys.SOCKET_URING_OP_GETSOCKOPT, server, sys.SOL_SOCKET, sys.SO_TYPE, value.address, 4)
  assert.equal(rig.run(option), 4)
  assert.equal(new DataView(value.bytes.buffer).getInt32(0, true), sys.SOCK_STREAM)
  rig.fails(sys.EOPNOTSUPP, ask(9999, server))
  rig.fails(sys.EOPNOTSUPP, ask(sys.SOCKET_URING_OP_SIOCINQ, pipe(rig.t).reader.fd))
})

opTest('RECV_ZC', 'is refused without an interface queue', (rig) => {
  const [, server] = tcp(rig)
  rig.fails(sys.EINVAL, (sqe) => op.prepRecvZc(sqe, server, 0, 0))
})

matrixTest('buffers')
