// Requests on sockets against the kernel: each succeeds, fails, and, where it can wait, is cancelled.
// Flow: this → op-helpers.ts → ringcore/ring.

import assert from 'node:assert/strict'
import { closeSync, readSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import * as op from 'ringcore/ring'
import * as sys from 'ringcore/sys'
import { pipe, socketPair, tempDir } from './helpers.js'
import { call, type Memory, opTest, type Rig } from './op-helpers.js'
import { matrixTest } from './op-matrix.js'

const { SOCK_CLOEXEC, SOCK_STREAM } = sys

/** struct msghdr for one name and one piece of data. */
function msghdr(rig: Rig, data: Memory, name?: Memory, control?: Memory): Memory {
  const words = new BigUint64Array(7)
  if (name) [words[0], words[1]] = [BigInt(name.address), BigInt(name.bytes.length)]
  ;[words[2], words[3]] = [BigInt(rig.iovecs(data)), 1n]
  if (control) [words[4], words[5]] = [BigInt(control.address), BigInt(control.bytes.length)]
  return rig.memory(new Uint8Array(words.buffer))
}

/** Two connected sockets; the first takes no more bytes. */
function fullSocket(rig: Rig): number {
  const [a] = socketPair(rig.t)
  const much = rig.memory(1 << 20)
  let res = 0
  while (res >= 0) res = rig.run((sqe) => op.prepSend(sqe, a.fd, much.address, 1 << 20, sys.MSG_DONTWAIT))
  assert.equal(res, -sys.EAGAIN)
  return a.fd
}

/** A descriptor that is no socket; 0 may be one. */
const noSocket = (rig: Rig): number => pipe(rig.t).reader.fd

/** Buffers for the kernel to choose from, the old way. */
function provide(rig: Rig, count: number, bytes: number, group: number): Memory {
  const memory = rig.memory(count * bytes)
  rig.must((sqe) => op.prepProvideBuffers(sqe, memory.address, bytes, count, group, 0))
  return memory
}

// ---------------------------------------------------------------- making sockets

opTest(
  'SOCKET, BIND, LISTEN, CONNECT, ACCEPT, SHUTDOWN, CLOSE',
  'a TCP connection, made of requests only',
  (rig) => {
    const socket = (): number =>
      rig.owned(rig.must((sqe) => op.prepSocket(sqe, sys.AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0, 0)))
    const listener = socket()
    const loopback = rig.sockaddr({ address: '127.0.0.1', port: 0 })
    rig.must((sqe) => op.prepBind(sqe, listener, loopback.address, loopback.bytes.length))
    rig.must((sqe) => op.prepListen(sqe, listener, 8))
    const address = rig.sockaddr(rig.nameOf(listener))

    const client = socket()
    rig.must((sqe) => op.prepConnect(sqe, client, address.address, address.bytes.length))
    const name = rig.memory(sys.SOCKADDR_BYTES)
    const length = rig.memory(new Uint8Array(Int32Array.of(name.bytes.length).buffer))
    const flags = SOCK_CLOEXEC
    const server = rig.owned(
      rig.must((sqe) => op.prepAccept(sqe, listener, name.address, length.address, flags)),
    )
    assert.equal(new DataView(length.bytes.buffer).getInt32(0, true), 16)
    assert.deepEqual(sys.decodeSockaddr(name.bytes, 16), rig.nameOf(client))

    writeSync(client, 'ping')
    const buffer = Buffer.alloc(8)
    assert.equal(readSync(server, buffer), 4)
    rig.must((sqe) => op.prepShutdown(sqe, client, sys.SHUT_WR))
    assert.equal(readSync(server, buffer), 0)
    rig.fails(sys.EINVAL, (sqe) => op.prepShutdown(sqe, client, 7))
  },
)

opTest('SOCKET, BIND, LISTEN, CONNECT, SHUTDOWN', 'say what is wrong', (rig) => {
  rig.fails(sys.EAFNOSUPPORT, (sqe) => op.prepSocket(sqe, 99, SOCK_STREAM, 0, 0))
  rig.fails(sys.EINVAL, (sqe) => op.prepSocket(sqe, sys.AF_INET, SOCK_STREAM, 0, 1))
  const { fd, address } = rig.listener()
  const taken = rig.sockaddr(address)
  const other = rig.socket()
  rig.fails(sys.EADDRINUSE, (sqe) => op.prepBind(sqe, other, taken.address, taken.bytes.length))
  rig.fails(sys.EINVAL, (sqe) => op.prepBind(sqe, other, taken.address, 3))
  rig.fails(sys.EOPNOTSUPP, (sqe) => op.prepListen(sqe, rig.socket(sys.AF_INET, sys.SOCK_DGRAM), 8))
  rig.fails(sys.ENOTCONN, (sqe) => op.prepShutdown(sqe, other, sys.SHUT_WR))
  rig.fails(sys.ENOTSOCK, (sqe) => op.prepShutdown(sqe, noSocket(rig), sys.SHUT_WR))
  // Nobody listens there any more.
  const gone = rig.listener()
  call('shutdown', gone.fd, sys.SHUT_RDWR)
  const nobody = rig.sockaddr(gone.address)
  rig.fails(sys.ECONNREFUSED, (sqe) => op.prepConnect(sqe, other, nobody.address, nobody.bytes.length))
  rig.fails(sys.EISCONN, (sqe) => {
    const client = rig.connect(address)
    op.prepConnect(sqe, client, taken.address, taken.bytes.length)
  })
  assert.ok(fd > 0)
})

opTest('SOCKET, BIND, CONNECT', 'a Unix socket with a path', (rig) => {
  const path = join(tempDir(rig.t), 'socket')
  const address = rig.sockaddr({ path })
  const unix = (): number => rig.socket(sys.AF_UNIX)
  const listener = unix()
  rig.must((sqe) => op.prepBind(sqe, listener, address.address, address.bytes.length))
  assert.ok(statSync(path).isSocket())
  const client = unix()
  rig.fails(sys.ECONNREFUSED, (sqe) => op.prepConnect(sqe, client, address.address, address.bytes.length))
  call('listen', listener, 4)
  rig.must((sqe) => op.prepConnect(sqe, client, address.address, address.bytes.length))
})

opTest('CONNECT', 'waits while the backlog is full, and is cancelled', (rig) => {
  const { address } = rig.listener(0)
  // A backlog of 0 takes one; the next SYN is not answered.
  rig.connect(address)
  const to = rig.sockaddr(address)
  const client = rig.socket()
  rig.waitsUntilCancelled((sqe) => op.prepConnect(sqe, client, to.address, to.bytes.length))
})

opTest('SOCKET, ACCEPT, SEND, RECV, SHUTDOWN, CLOSE', 'with slots of the registered files', (rig) => {
  const { fd, address } = rig.listener()
  const to = rig.sockaddr(address)
  rig.ring.registerFilesSparse(3)
  const fixed = (write: (sqe: op.Sqe) => void) => (sqe: op.Sqe) => {
    write(sqe)
    op.sqeSetFixedFile(sqe)
  }
  const ALLOC = sys.IORING_FILE_INDEX_ALLOC
  assert.equal(
    rig.must((sqe) => op.prepSocketDirect(sqe, sys.AF_INET, SOCK_STREAM, 0, 2, 0)),
    0,
  )
  rig.must(fixed((sqe) => op.prepConnect(sqe, 2, to.address, to.bytes.length)))
  assert.equal(
    rig.must((sqe) => op.prepAcceptDirect(sqe, fd, 0, 0, 0, ALLOC)),
    0,
  )
  const memory = rig.memory('slot')
  rig.must(fixed((sqe) => op.prepSend(sqe, 2, memory.address, 4, 0)))
  const got = rig.memory(8)
  assert.equal(rig.must(fixed((sqe) => op.prepRecv(sqe, 0, got.address, 8, 0))), 4)
  assert.equal(got.text(4), 'slot')
  assert.equal(
    rig.must((sqe) => op.prepSocketDirectAlloc(sqe, sys.AF_INET, SOCK_STREAM, 0, 0)),
    1,
  )
  rig.fails(sys.ENFILE, (sqe) => op.prepSocketDirectAlloc(sqe, sys.AF_INET, SOCK_STREAM, 0, 0))
  rig.fails(sys.EINVAL, (sqe) => op.prepSocketDirect(sqe, sys.AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0, 0, 0))
  rig.fails(sys.EINVAL, (sqe) => op.prepAcceptDirect(sqe, fd, 0, 0, SOCK_CLOEXEC, 0))
  rig.must(fixed((sqe) => op.prepShutdown(sqe, 2, sys.SHUT_WR)))
  assert.equal(rig.must(fixed((sqe) => op.prepRecv(sqe, 0, got.address, 8, 0))), 0)
  for (const slot of [0, 1, 2]) rig.must((sqe) => op.prepCloseDirect(sqe, slot))
  rig.waitsUntilCancelled((sqe) => op.prepAcceptDirect(sqe, fd, 0, 0, 0, 0))
  rig.ring.unregisterFiles()
})

// ---------------------------------------------------------------- accept

opTest('ACCEPT', 'waits for a connection, or is cancelled', (rig) => {
  const { fd, address } = rig.listener()
  const id = rig.start((sqe) => op.prepAccept(sqe, fd, 0, 0, SOCK_CLOEXEC))
  rig.stillWaits(id)
  rig.connect(address)
  rig.owned(rig.wait(id).res)
  rig.fails(sys.EAGAIN, (sqe) => {
    op.prepAccept(sqe, fd, 0, 0, 0)
    op.sqeAddIoprio(sqe, sys.IORING_ACCEPT_DONTWAIT)
  })
  rig.fails(sys.EINVAL, (sqe) => op.prepAccept(sqe, rig.socket(), 0, 0, 0))
  rig.fails(sys.ENOTSOCK, (sqe) => op.prepAccept(sqe, noSocket(rig), 0, 0, 0))
  rig.waitsUntilCancelled((sqe) => op.prepAccept(sqe, fd, 0, 0, 0))
})

opTest('ACCEPT', 'multishot: one CQE per connection until it is cancelled', (rig) => {
  const { fd, address } = rig.listener()
  const id = rig.start((sqe) => op.prepMultishotAccept(sqe, fd, 0, 0, SOCK_CLOEXEC))
  for (let i = 0; i < 5; i++) {
    const client = rig.connect(address)
    const { res, flags } = rig.wait(id)
    assert.ok(flags & sys.IORING_CQE_F_MORE)
    writeSync(client, String(i))
    const buffer = Buffer.alloc(2)
    assert.equal(readSync(res, buffer), 1)
    assert.equal(buffer.toString('utf8', 0, 1), String(i))
    closeSync(res)
  }
  rig.stillWaits(id)
  assert.equal(rig.cancel(id), 0)
  assert.deepEqual(rig.wait(id), { res: -sys.ECANCELED, flags: 0 })
  rig.fails(sys.EINVAL, (sqe) => op.prepMultishotAccept(sqe, rig.socket(), 0, 0, 0))
})

opTest('ACCEPT', 'multishot into slots ends when there is none left', (rig) => {
  const { fd, address } = rig.listener()
  rig.ring.registerFilesSparse(2)
  const id = rig.start((sqe) => op.prepMultishotAcceptDirect(sqe, fd, 0, 0, 0))
  for (const slot of [0, 1]) {
    rig.connect(address)
    const { res, flags } = rig.wait(id)
    assert.deepEqual([res, flags & sys.IORING_CQE_F_MORE], [slot, sys.IORING_CQE_F_MORE])
  }
  rig.connect(address)
  const last = rig.wait(id)
  assert.deepEqual([last.res, last.flags & sys.IORING_CQE_F_MORE], [-sys.ENFILE, 0])
  rig.ring.unregisterFiles()
})

// ---------------------------------------------------------------- send, recv

opTest('SEND, RECV', 'wait for room and for data, or are cancelled', (rig) => {
  const [a, b] = socketPair(rig.t)
  const [data, room] = [rig.memory('message'), rig.memory(16)]
  const id = rig.start((sqe) => op.prepRecv(sqe, b.fd, room.address, 16, 0))
  rig.stillWaits(id)
  assert.equal(
    rig.must((sqe) => op.prepSend(sqe, a.fd, data.address, 7, sys.MSG_NOSIGNAL)),
    7,
  )
  assert.equal(rig.wait(id).res, 7)
  assert.equal(room.text(7), 'message')
  rig.fails(sys.EAGAIN, (sqe) => op.prepRecv(sqe, b.fd, room.address, 16, sys.MSG_DONTWAIT))
  rig.waitsUntilCancelled((sqe) => op.prepRecv(sqe, b.fd, room.address, 16, 0))
  const full = fullSocket(rig)
  rig.waitsUntilCancelled((sqe) => op.prepSend(sqe, full, data.address, 7, 0))
  rig.fails(sys.ENOTSOCK, (sqe) => op.prepSend(sqe, noSocket(rig), data.address, 7, 0))
  rig.fails(sys.ENOTCONN, (sqe) => op.prepRecv(sqe, rig.socket(), room.address, 16, 0))
  b.close()
  rig.fails(sys.EPIPE, (sqe) => op.prepSend(sqe, a.fd, data.address, 7, sys.MSG_NOSIGNAL))
})

opTest('SEND, RECV', 'MSG_WAITALL goes on after a short transfer', (rig) => {
  const [a, b] = socketPair(rig.t)
  const room = rig.memory(8)
  const id = rig.start((sqe) => op.prepRecv(sqe, b.fd, room.address, 8, sys.MSG_WAITALL))
  writeSync(a.fd, 'half')
  rig.stillWaits(id)
  writeSync(a.fd, 'half')
  assert.equal(rig.wait(id).res, 8)
  assert.equal(room.text(), 'halfhalf')
})

opTest('SEND, RECV', 'sendto an address', (rig) => {
  const udp = (): number => rig.socket(sys.AF_INET, sys.SOCK_DGRAM)
  const [a, b] = [udp(), udp()]
  const loopback = rig.sockaddr({ address: '127.0.0.1', port: 0 })
  assert.equal(call('bind', b, loopback.address, loopback.bytes.length), 0)
  const to = rig.sockaddr(rig.nameOf(b))
  const [data, room] = [rig.memory('datagram'), rig.memory(16)]
  rig.must((sqe) => op.prepSendto(sqe, a, data.address, 8, 0, to.address, to.bytes.length))
  assert.equal(
    rig.must((sqe) => op.prepRecv(sqe, b, room.address, 16, 0)),
    8,
  )
  assert.equal(room.text(8), 'datagram')
  rig.fails(sys.EDESTADDRREQ, (sqe) => op.prepSend(sqe, a, data.address, 8, 0))
})

opTest(
  'RECV, PROVIDE_BUFFERS, REMOVE_BUFFERS',
  'multishot into provided buffers, until they are used up',
  (rig) => {
    const [a, b] = socketPair(rig.t)
    const group = 7
    const memory = provide(rig, 3, 16, group)
    const recv = (sqe: op.Sqe): void => {
      op.prepRecvMultishot(sqe, b.fd, 0, 0, 0)
      op.sqeSetBufferSelect(sqe, group)
    }
    const id = rig.start(recv)
    const used = new Set<number>()
    for (const text of ['one', 'two', 'three']) {
      writeSync(a.fd, text)
      const { res, flags } = rig.wait(id)
      assert.ok(flags & sys.IORING_CQE_F_MORE)
      assert.ok(flags & sys.IORING_CQE_F_BUFFER)
      const bid = flags >>> sys.IORING_CQE_BUFFER_SHIFT
      used.add(bid)
      assert.equal(Buffer.from(memory.bytes.subarray(bid * 16, bid * 16 + res)).toString(), text)
    }
    assert.deepEqual([...used].sort(), [0, 1, 2])
    writeSync(a.fd, 'four')
    const last = rig.wait(id)
    assert.deepEqual([last.res, last.flags & sys.IORING_CQE_F_MORE], [-sys.ENOBUFS, 0])

    // It is armed again, cancelled, and at the end of the stream it ends by itself.
    rig.must((sqe) => op.prepProvideBuffers(sqe, memory.address, 16, 3, group, 0))
    const again = rig.start(recv)
    assert.equal(rig.wait(again).res, 4)
    assert.equal(rig.cancel(again), 0)
    assert.equal(rig.wait(again).res, -sys.ECANCELED)
    const third = rig.start(recv)
    a.close()
    assert.deepEqual(rig.wait(third).res, 0)
    rig.fails(sys.EINVAL, (sqe) => {
      op.prepRecvMultishot(sqe, b.fd, 0, 0, sys.MSG_WAITALL)
      op.sqeSetBufferSelect(sqe, group)
    })
    rig.fails(sys.EINVAL, (sqe) => op.prepRecvMultishot(sqe, b.fd, 0, 0, 0))
    assert.equal(
      rig.must((sqe) => op.prepRemoveBuffers(sqe, 10, group)),
      2,
    )
    rig.fails(sys.E2BIG, (sqe) => op.prepProvideBuffers(sqe, memory.address, 16, 0, group, 0))
    rig.fails(sys.EINVAL, (sqe) => op.prepProvideBuffers(sqe, memory.address, 16, 2, group, 65_535))
  },
)

// ---------------------------------------------------------------- sendmsg, recvmsg

opTest('SENDMSG, RECVMSG', 'with names, over UDP', (rig) => {
  const udp = (): number => rig.socket(sys.AF_INET, sys.SOCK_DGRAM)
  const [a, b] = [udp(), udp()]
  const loopback = rig.sockaddr({ address: '127.0.0.1', port: 0 })
  for (const fd of [a, b]) assert.equal(call('bind', fd, loopback.address, loopback.bytes.length), 0)
  const message = msghdr(rig, rig.memory('hello'), rig.sockaddr(rig.nameOf(b)))
  assert.equal(
    rig.must((sqe) => op.prepSendmsg(sqe, a, message.address, 0)),
    5,
  )
  const [room, name] = [rig.memory(3), rig.memory(sys.SOCKADDR_BYTES)]
  const into = msghdr(rig, room, name)
  assert.equal(
    rig.must((sqe) => op.prepRecvmsg(sqe, b, into.address, 0)),
    3,
  )
  assert.equal(room.text(), 'hel')
  const header = new DataView(into.bytes.buffer)
  assert.equal(header.getInt32(48, true) & sys.MSG_TRUNC, sys.MSG_TRUNC)
  assert.deepEqual(sys.decodeSockaddr(name.bytes, header.getInt32(8, true)), rig.nameOf(a))
  rig.waitsUntilCancelled((sqe) => op.prepRecvmsg(sqe, b, msghdr(rig, room).address, 0))
  rig.fails(sys.EAGAIN, (sqe) => op.prepRecvmsg(sqe, b, msghdr(rig, room).address, sys.MSG_DONTWAIT))
  rig.fails(sys.ENOTSOCK, (sqe) => op.prepSendmsg(sqe, noSocket(rig), message.address, 0))
  const full = fullSocket(rig)
  const plain = msghdr(rig, rig.memory('x'))
  rig.waitsUntilCancelled((sqe) => op.prepSendmsg(sqe, full, plain.address, 0))
})

opTest('SENDMSG, RECVMSG', 'an fd as control data', (rig) => {
  const [a, b] = socketPair(rig.t)
  const [gift] = socketPair(rig.t)
  // struct cmsghdr: length, level, type; then the fd, padded.
  const control = rig.memory(24)
  const view = new DataView(control.bytes.buffer)
  view.setBigUint64(0, 20n, true)
  view.setInt32(8, sys.SOL_SOCKET, true)
  view.setInt32(12, sys.SCM_RIGHTS, true)
  view.setInt32(16, gift.fd, true)
  const message = msghdr(rig, rig.memory('x'), undefined, control)
  rig.must((sqe) => op.prepSendmsg(sqe, a.fd, message.address, 0))
  const got = rig.memory(24)
  const into = msghdr(rig, rig.memory(1), undefined, got)
  rig.must((sqe) => op.prepRecvmsg(sqe, b.fd, into.address, sys.MSG_CMSG_CLOEXEC))
  const fd = rig.owned(new DataView(got.bytes.buffer).getInt32(16, true))
  assert.notEqual(fd, gift.fd)
})

opTest(
  'RECVMSG, PROVIDE_BUFFERS, REMOVE_BUFFERS',
  'multishot: header, name and payload in each buffer',
  (rig) => {
    const udp = (): number => rig.socket(sys.AF_INET, sys.SOCK_DGRAM)
    const [a, b] = [udp(), udp()]
    const loopback = rig.sockaddr({ address: '127.0.0.1', port: 0 })
    for (const fd of [a, b]) assert.equal(call('bind', fd, loopback.address, loopback.bytes.length), 0)
    const to = rig.sockaddr(rig.nameOf(b))
    const memory = provide(rig, 3, 128, 3)
    const header = rig.memory(56)
    // Room for a sockaddr_in in each buffer: msg_namelen.
    new DataView(header.bytes.buffer).setInt32(8, 16, true)
    const id = rig.start((sqe) => {
      op.prepRecvmsgMultishot(sqe, b, header.address, 0)
      op.sqeSetBufferSelect(sqe, 3)
    })
    for (const text of ['first', 'second']) {
      const data = rig.memory(text)
      rig.must((sqe) => op.prepSendto(sqe, a, data.address, text.length, 0, to.address, to.bytes.length))
      const { res, flags } = rig.wait(id)
      assert.ok(flags & sys.IORING_CQE_F_MORE)
      const bid = flags >>> sys.IORING_CQE_BUFFER_SHIFT
      const buffer = memory.bytes.subarray(bid * 128, bid * 128 + res)
      const out = new DataView(buffer.buffer, buffer.byteOffset, buffer.length)
      const [namelen, controllen, payloadlen] = [0, 4, 8].map((offset) => out.getUint32(offset, true))
      assert.deepEqual([namelen, controllen, payloadlen], [16, 0, text.length])
      assert.deepEqual(sys.decodeSockaddr(buffer.subarray(16, 32)), rig.nameOf(a))
      assert.equal(Buffer.from(buffer.subarray(32, 32 + text.length)).toString(), text)
    }
    assert.equal(rig.cancel(id), 0)
    assert.equal(rig.wait(id).res, -sys.ECANCELED)
    rig.fails(sys.ENOENT, (sqe) => op.prepRemoveBuffers(sqe, 1, 99))
  },
)

opTest('SEND_ZC', 'the second CQE says when the memory is free, after an error, too', (rig) => {
  const { fd, address } = rig.listener()
  const client = rig.connect(address)
  const server = rig.owned(call('accept4', fd, 0, 0, SOCK_CLOEXEC))
  const data = rig.memory('x'.repeat(4096))
  const zc = (target: number): [number, number] => {
    const id = rig.start((sqe) => op.prepSendZc(sqe, target, data.address, 4096, sys.MSG_NOSIGNAL, 0))
    const first = rig.wait(id)
    if (!(first.flags & sys.IORING_CQE_F_MORE)) return [first.res, 0]
    return [first.res, rig.wait(id).flags & (sys.IORING_CQE_F_NOTIF | sys.IORING_CQE_F_MORE)]
  }
  assert.deepEqual(zc(client), [4096, sys.IORING_CQE_F_NOTIF])
  let read = 0
  while (read < 4096) read += readSync(server, Buffer.alloc(4096))
  assert.deepEqual(zc(noSocket(rig))[0], -sys.ENOTSOCK)
})

matrixTest('net')
