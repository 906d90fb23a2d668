// Sockets: listeners of odd kinds, receives with limits, buffers that are nearly full, times of sending, other address families.
// Flow: this → op-helpers.ts → ringcore/ring.

import assert from 'node:assert/strict'
import { readSync, writeSync } from 'node:fs'
import * as op from 'ringcore/ring'
import * as sys from 'ringcore/sys'
import { pipe, socketPair } from './helpers.js'
import { call, type Memory, opTest, type Rig, type Write } from './op-helpers.js'

const F_SETFL = 4
const O_NONBLOCK = 0o4000

/** struct msghdr: an address of so many bytes, vectors, control data. */
function msghdr(rig: Rig, parts: { name?: Memory; vectors?: number; count?: number }): Memory {
  const { name, vectors = 0, count = 0 } = parts
  const words = [name?.address ?? 0, name?.bytes.length ?? 0, vectors, count, 0, 0, 0]
  return rig.memory(new Uint8Array(BigUint64Array.from(words.map(BigInt)).buffer))
}

// ---------------------------------------------------------------- accept, connect

opTest('ACCEPT', 'a listener with O_NONBLOCK is waited for, and one in a slot', (rig) => {
  const { fd, address } = rig.listener()
  rig.ring.registerFiles([fd])
  for (const flags of [0, O_NONBLOCK]) {
    assert.equal(call('fcntl', fd, F_SETFL, flags), 0)
    for (const fixed of [false, true]) {
      const id = rig.start((sqe) => {
        op.prepAccept(sqe, fixed ? 0 : fd, 0, 0, sys.SOCK_CLOEXEC)
        if (fixed) op.sqeSetFixedFile(sqe)
      })
      rig.stillWaits(id)
      const client = rig.connect(address)
      const server = rig.owned(rig.wait(id).res)
      writeSync(client, 'x')
      assert.equal(readSync(server, Buffer.alloc(2)), 1)
    }
  }
  rig.fails(sys.EBADF, (sqe) => {
    op.prepAccept(sqe, 1, 0, 0, 0)
    op.sqeSetFixedFile(sqe)
  })
  // An address without room for its length.
  const name = rig.memory(16)
  const short = rig.memory(new Uint8Array(Int32Array.of(-1).buffer))
  rig.connect(address)
  rig.fails(sys.EINVAL, (sqe) => op.prepAccept(sqe, fd, name.address, short.address, sys.SOCK_CLOEXEC))
  rig.ring.unregisterFiles()
})

// ---------------------------------------------------------------- receive

/** The buffers that a request was given, as text, and whether it goes on after the last. */
function chunks(rig: Rig, buffers: op.BufferRing, id: number, count: number): [string[], more: boolean] {
  const texts: string[] = []
  let more = true
  while (texts.length < count) {
    assert.ok(more, 'the request has ended')
    const { res, flags } = rig.wait(id)
    assert.ok(res > 0, `recv: ${res}`)
    const bid = flags >>> sys.IORING_CQE_BUFFER_SHIFT
    texts.push(Buffer.from(buffers.take(bid, res)).toString())
    buffers.release(bid)
    more = (flags & sys.IORING_CQE_F_MORE) !== 0
  }
  return [texts, more]
}

opTest('RECV', 'multishot: no more than so many bytes at a time, and in all', (rig) => {
  const [a, b] = socketPair(rig.t)
  const [c, d] = socketPair(rig.t)
  const buffers = new op.BufferRing(rig.ring, { group: 1, entries: 8, bufferBytes: 64 })
  const arm = (fd: number, each: number, all: number): number =>
    rig.start((sqe) => {
      op.prepRecvMultishot(sqe, fd, 0, each, 0)
      op.sqeSetBufferSelect(sqe, 1)
      // struct io_uring_sqe: optlen lies where the file index does.
      sqe.words[op.SQE.FILE_INDEX] = all
    })
  const probe = arm(a.fd, 8, 0)
  writeSync(b.fd, '0123456789abcdef01')
  const first = rig.wait(probe)
  if (first.res === -sys.EINVAL) {
    buffers.close()
    return rig.t.skip('needs limits of multishot receives: kernel 6.17')
  }
  assert.equal(first.res, 8)
  const bid = first.flags >>> sys.IORING_CQE_BUFFER_SHIFT
  assert.equal(Buffer.from(buffers.take(bid, 8)).toString(), '01234567')
  buffers.release(bid)
  assert.deepEqual(chunks(rig, buffers, probe, 2), [['89abcdef', '01'], true])
  assert.equal(rig.cancel(probe), 0)
  assert.equal(rig.wait(probe).res, -sys.ECANCELED)

  // Two flooded sockets, each with its share: who had that much ends, and the other is served as well.
  writeSync(b.fd, 'a'.repeat(100))
  writeSync(d.fd, 'c'.repeat(100))
  const [one, two] = [arm(a.fd, 10, 20), arm(c.fd, 10, 20)]
  assert.deepEqual(chunks(rig, buffers, one, 2), [['a'.repeat(10), 'a'.repeat(10)], false])
  assert.deepEqual(chunks(rig, buffers, two, 2), [['c'.repeat(10), 'c'.repeat(10)], false])
  // What is left waits for the next request.
  const rest = arm(a.fd, 0, 0)
  assert.deepEqual(chunks(rig, buffers, rest, 2), [['a'.repeat(64), 'a'.repeat(16)], true])
  assert.equal(rig.cancel(rest), 0)
  assert.equal(rig.wait(rest).res, -sys.ECANCELED)
  buffers.close()
})

opTest('RECVMSG', 'multishot: the end of an incremental buffer is too small for a header', (rig) => {
  const [a, b] = socketPair(rig.t, 2)
  let buffers: op.BufferRing
  try {
    buffers = new op.BufferRing(rig.ring, { group: 1, entries: 2, bufferBytes: 100, incremental: true })
  } catch (error) {
    return rig.t.skip(`this kernel has no incremental buffers: ${(error as Error).message}`)
  }
  const header = rig.memory(56)
  new DataView(header.bytes.buffer).setInt32(8, 16, true)
  const arm = (): number =>
    rig.start((sqe) => {
      op.prepRecvmsgMultishot(sqe, b.fd, header.address, 0)
      op.sqeSetBufferSelect(sqe, 1)
    })
  rig.mayFault = true
  // 16 bytes of header, 16 of room for a name, 50 of message: 18 of the 100 are left.
  const id = arm()
  writeSync(a.fd, 'm'.repeat(50))
  const { res, flags } = rig.wait(id)
  assert.deepEqual([res, flags & sys.IORING_CQE_F_BUF_MORE], [82, sys.IORING_CQE_F_BUF_MORE])
  assert.equal(Buffer.from(buffers.take(0, 82, true).subarray(32)).toString(), 'm'.repeat(50))
  // It ends with an error, now or when the next message comes, and touches neither the rest of the buffer nor the next.
  writeSync(a.fd, 'eighteen bytes....')
  assert.deepEqual(rig.wait(id), { res: -sys.EFAULT, flags: 0 })
  assert.ok(buffers.buffers.subarray(82, 200).every((byte) => byte === 0))
  // The message is not lost: a plain receive takes it, into what is left.
  const plain = rig.wait(
    rig.start((sqe) => {
      op.prepRecv(sqe, b.fd, 0, 0, 0)
      op.sqeSetBufferSelect(sqe, 1)
    }),
  )
  assert.deepEqual([plain.res, plain.flags & sys.IORING_CQE_F_BUF_MORE], [18, 0])
  assert.equal(Buffer.from(buffers.take(0, 18)).toString(), 'eighteen bytes....')
  // The next buffer has room for a header again.
  const again = arm()
  writeSync(a.fd, 'second')
  const next = rig.wait(again)
  assert.equal(next.flags >>> sys.IORING_CQE_BUFFER_SHIFT, 1)
  assert.equal(Buffer.from(buffers.take(1, next.res, true).subarray(32, 38)).toString(), 'second')
  assert.equal(rig.cancel(again), 0)
  assert.equal(rig.wait(again).res, -sys.ECANCELED)
  buffers.close()
})

opTest('READ_MULTISHOT', 'as much as a buffer holds, into incremental buffers, too', (rig) => {
  const { reader, writer } = pipe(rig.t)
  const plain = new op.BufferRing(rig.ring, { group: 1, entries: 8, bufferBytes: 5 })
  const arm = (group: number): number =>
    rig.start((sqe) => op.prepReadMultishot(sqe, reader.fd, 0, -1, group))
  const stop = (id: number): void => {
    assert.equal(rig.cancel(id), 0)
    assert.equal(rig.wait(id).res, -sys.ECANCELED)
  }
  // Its buffers say how long a read may be, and nothing else does.
  rig.fails(sys.EINVAL, (sqe) => op.prepReadMultishot(sqe, reader.fd, 5, -1, 1))
  const cut = arm(1)
  writeSync(writer.fd, 'fifteen bytes..')
  assert.deepEqual(chunks(rig, plain, cut, 3), [['fifte', 'en by', 'tes..'], true])
  stop(cut)
  plain.close()
  let buffers: op.BufferRing
  try {
    buffers = new op.BufferRing(rig.ring, { group: 2, entries: 2, bufferBytes: 8, incremental: true })
  } catch (error) {
    return rig.t.skip(`this kernel has no incremental buffers: ${(error as Error).message}`)
  }
  const id = arm(2)
  const seen: [bid: number, res: number, more: boolean][] = []
  for (const text of ['abc', 'de', 'fgh', 'ijk']) {
    writeSync(writer.fd, text)
    const { res, flags } = rig.wait(id)
    seen.push([flags >>> 16, res, (flags & sys.IORING_CQE_F_BUF_MORE) !== 0])
  }
  assert.deepEqual(seen, [
    [0, 3, true],
    [0, 2, true],
    [0, 3, false],
    [1, 3, true],
  ])
  assert.equal(Buffer.from(buffers.buffers.subarray(0, 11)).toString(), 'abcdefghijk')
  stop(id)
  buffers.close()
})

opTest('RECVMSG, SENDMSG', 'more vectors than there may be, and none', (rig) => {
  const [a, b] = socketPair(rig.t, 2)
  const one = rig.memory('x')
  const many = rig.iovecs(...new Array<Memory>(1025).fill(one))
  rig.fails(sys.EMSGSIZE, (sqe) =>
    op.prepSendmsg(sqe, a.fd, msghdr(rig, { vectors: many, count: 1025 }).address, 0),
  )
  rig.fails(sys.EMSGSIZE, (sqe) =>
    op.prepRecvmsg(sqe, b.fd, msghdr(rig, { vectors: many, count: 1025 }).address, 0),
  )
  const full = msghdr(rig, { vectors: many, count: 1024 }).address
  assert.equal(
    rig.must((sqe) => op.prepSendmsg(sqe, a.fd, full, 0)),
    1024,
  )
  assert.equal(readSync(b.fd, Buffer.alloc(2000)), 1024)
  const none = msghdr(rig, {}).address
  assert.equal(
    rig.must((sqe) => op.prepSendmsg(sqe, a.fd, none, 0)),
    0,
  )
  assert.equal(
    rig.must((sqe) => op.prepRecvmsg(sqe, b.fd, none, 0)),
    0,
  )
})

// ---------------------------------------------------------------- send

for (const host of ['127.0.0.1', '::1'])
  opTest('SEND_ZC', `of every size over TCP and UDP, ${host}`, (rig) => {
    const domain = host === '::1' ? sys.AF_INET6 : sys.AF_INET
    const bound = (type: number): number => {
      const fd = rig.socket(domain, type)
      const wanted = rig.sockaddr({ address: host, port: 0 })
      if (call('bind', fd, wanted.address, wanted.bytes.length) < 0) return -1
      return fd
    }
    const [sender, receiver, listener] = [
      bound(sys.SOCK_DGRAM),
      bound(sys.SOCK_DGRAM),
      bound(sys.SOCK_STREAM),
    ]
    if (listener < 0) return rig.t.skip(`there is no ${host} here`)
    const data = rig.memory(Uint8Array.from({ length: 100_000 }, (_, i) => (i * 7) ^ (i >> 8)))
    const got = Buffer.alloc(100_000)
    const send = (write: Write): number => {
      const id = rig.start(write)
      const { res, flags } = rig.wait(id)
      if (flags & sys.IORING_CQE_F_MORE) assert.ok(rig.wait(id).flags & sys.IORING_CQE_F_NOTIF)
      return res
    }
    const to = rig.sockaddr(rig.nameOf(receiver))
    for (const length of [0, 1, 1000, 8000, 60_000]) {
      const sent = send((sqe) => {
        op.prepSendZc(sqe, sender, data.address, length, 0, 0)
        op.prepSendSetAddr(sqe, to.address, to.bytes.length)
      })
      assert.equal(sent, length)
      assert.equal(readSync(receiver, got), length)
      assert.ok(got.subarray(0, length).equals(data.bytes.subarray(0, length)))
    }
    assert.equal(call('listen', listener, 4), 0)
    const client = rig.connect(rig.nameOf(listener), domain)
    const server = rig.owned(call('accept4', listener, 0, 0, sys.SOCK_CLOEXEC))
    for (const length of [1, 4095, 4096, 4097, 100_000]) {
      let received = 0
      for (let sent = 0; sent < length; ) {
        const res = send((sqe) => op.prepSendZc(sqe, client, data.address + sent, length - sent, 0, 0))
        assert.ok(res > 0, `send: ${res}`)
        sent += res
        while (received < sent) received += readSync(server, got, received, length - received, null)
      }
      assert.ok(got.subarray(0, length).equals(data.bytes.subarray(0, length)))
    }
  })

opTest('URING_CMD', 'the times at which datagrams were sent', (rig) => {
  const CQE32 = (rig.ring.setupFlags & sys.IORING_SETUP_CQE32) !== 0
  const [a, b] = [rig.socket(sys.AF_INET, sys.SOCK_DGRAM), rig.socket(sys.AF_INET, sys.SOCK_DGRAM)]
  const loopback = rig.sockaddr({ address: '127.0.0.1', port: 0 })
  assert.equal(call('bind', b, loopback.address, loopback.bytes.length), 0)
  const to = rig.sockaddr(rig.nameOf(b))
  // SOF_TIMESTAMPING_TX_SOFTWARE, _SOFTWARE, _OPT_ID, _OPT_TSONLY: linux/net_tstamp.h; SO_TIMESTAMPING_NEW is 65.
  const flags = rig.memory(new Uint8Array(Int32Array.of(0x2 | 0x10 | 0x80 | 0x800).buffer))
  assert.equal(call('setsockopt', a, sys.SOL_SOCKET, 65, flags.address, 4), 0)
  const stamps: number[][] = []
  const ask = (sqe: op.Sqe): void => op.prepUringCmd(sqe, sys.SOCKET_URING_OP_TX_TIMESTAMP, a)
  if (!CQE32) return rig.fails(sys.EINVAL, ask)
  const asked = rig.run((sqe) => op.prepUringCmd(sqe, 9999, a))
  assert.equal(asked, -sys.EOPNOTSUPP)
  const before = Date.now()
  const id = rig.start(ask)
  rig.onBigCqe = (low, extra) => {
    if (low === id) stamps.push([...extra])
  }
  rig.stillWaits(id)
  const text = rig.memory('when')
  for (let key = 0; key < 3; key++) {
    rig.must((sqe) => op.prepSendto(sqe, a, text.address, 4, 0, to.address, to.bytes.length))
    const done = rig.wait(id)
    if (done.res === -sys.EOPNOTSUPP) return rig.t.skip('needs SOCKET_URING_OP_TX_TIMESTAMP: kernel 6.17')
    // The key counts the datagrams; no flag of hardware, and the type of a time in software is 0.
    assert.deepEqual(done, { res: key, flags: sys.IORING_CQE_F_MORE })
  }
  assert.equal(rig.cancel(id), 0)
  assert.equal(rig.wait(id).res, -sys.ECANCELED)
  const times = stamps.slice(0, 3).map(([seconds = 0, , ns = 0]) => seconds * 1000 + ns / 1e6)
  assert.ok(times.every((ms, i) => ms >= before - 1 && ms <= Date.now() + 1 && ms >= (times[i - 1] ?? 0)))
})
