// What sockets and block devices are asked and told through URING_CMD, by Uring.
// Flow: this → Uring (operations-command) → kernel.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import * as sys from 'ringcore/sys'
import { pipe, socketPair, tempDir, until } from './helpers.js'
import { failure } from './uring.js'
import { addressOf, boundSocket, opTest, refused, tcpPair } from './uring-ops.js'

opTest('URING_CMD', 'bytes that wait, options of a socket', async (t, ring) => {
  const [client, server] = tcpPair(t)
  assert.equal(await ring.siocinq(server.fd), 0)
  fs.writeSync(client.fd, 'waiting')
  let waits = 0
  await until(
    () => {
      ring.siocinq(server.fd).then((bytes) => {
        waits = bytes
      })
      return waits === 7
    },
    2000,
    '7 bytes to arrive',
  )
  assert.equal(await ring.siocoutq(server.fd), 0)
  // Nobody reads: at last bytes wait on this side, too.
  const abort = new AbortController()
  const sending = ring.send(client.fd, Buffer.alloc(8 << 20), {
    signal: abort.signal,
    flags: sys.MSG_WAITALL,
  })
  sending.catch(() => {})
  await ring.timeout(20)
  assert.ok((await ring.siocoutq(client.fd)) > 0)
  abort.abort()
  await sending.catch(() => {})

  const type = await ring.getsockopt(server.fd, sys.SOL_SOCKET, sys.SO_TYPE)
  assert.equal(type.readInt32LE(), sys.SOCK_STREAM)
  await ring.setsockopt(server.fd, sys.SOL_SOCKET, sys.SO_KEEPALIVE, 1)
  assert.equal((await ring.getsockopt(server.fd, sys.SOL_SOCKET, sys.SO_KEEPALIVE)).readInt32LE(), 1)
  await ring.setsockopt(server.fd, sys.SOL_SOCKET, sys.SO_LINGER, Int32Array.of(1, 3))
  const linger = await ring.getsockopt(server.fd, sys.SOL_SOCKET, sys.SO_LINGER, 64)
  assert.deepEqual([linger.length, linger.readInt32LE(0), linger.readInt32LE(4)], [8, 1, 3])
  await ring.setsockopt(server.fd, sys.IPPROTO_TCP, sys.TCP_NODELAY, 1)
  assert.equal((await failure(ring.getsockopt(server.fd, sys.SOL_SOCKET, 9999))).code, 'ENOPROTOOPT')
  assert.equal((await failure(ring.setsockopt(server.fd, sys.SOL_SOCKET, sys.SO_LINGER, 1))).code, 'EINVAL')
  assert.equal((await failure(ring.siocinq(pipe(t).reader.fd))).code, 'ENOTSUP')
  assert.equal((await failure(ring.siocinq(999_999))).code, 'EBADF')
  await refused(ring, [
    ['ERR_OUT_OF_RANGE', () => ring.siocinq(-1)],
    ['ERR_INVALID_ARG_TYPE', () => ring.siocoutq('x' as never)],
    ['ERR_OUT_OF_RANGE', () => ring.getsockopt(0, -1, 0)],
    ['ERR_OUT_OF_RANGE', () => ring.getsockopt(0, 1, 1, 0)],
    ['ERR_OUT_OF_RANGE', () => ring.setsockopt(0, 1, 1, 2 ** 40)],
    ['ERR_INVALID_ARG_TYPE', () => ring.setsockopt(0, 1, 1, 'x' as never)],
    ['ERR_OUT_OF_RANGE', () => ring.setsockopt(0, 1, 1, new Uint8Array(0))],
  ])
})

opTest('URING_CMD', 'addresses, where the kernel has the question', async (t, ring) => {
  const [client, server] = tcpPair(t)
  try {
    assert.deepEqual(await ring.getsockname(client.fd), addressOf(client.fd))
    assert.deepEqual(await ring.getsockname(client.fd, { peer: true }), addressOf(server.fd))
    const lone = boundSocket(t, sys.SOCK_STREAM)
    assert.equal((await failure(ring.getsockname(lone.fd, { peer: true }))).code, 'ENOTCONN')
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    assert.equal(code, 'ERR_RING_FEATURE')
    assert.match(message, /SOCKET_URING_OP_GETSOCKNAME.*Linux 6\.19$/)
    t.diagnostic(message)
  }
  await refused(ring, [['ERR_OUT_OF_RANGE', () => ring.getsockname(-1)]])
})

opTest('URING_CMD', 'what a file does not understand is refused by name', async (t, ring) => {
  const path = join(tempDir(t), 'file')
  const fd = await ring.openat(path, 'w+')
  const discard = await failure(ring.discard(fd, 0, 4096))
  assert.deepEqual([discard.code, discard.syscall], ['ENOTSUP', 'uring_cmd'])
  assert.equal((await failure(ring.uringCmd(fd, 1))).code, 'ENOTSUP')
  const [a] = socketPair(t)
  assert.equal((await failure(ring.uringCmd(a.fd, 9999, new Uint8Array(16)))).code, 'ENOTSUP')
  // The raw form of SIOCINQ.
  const [client, server] = tcpPair(t)
  assert.equal(await ring.send(client.fd, Buffer.from('raw')), 3)
  await ring.poll(server.fd, sys.POLLIN)
  assert.equal(await ring.uringCmd(server.fd, sys.SOCKET_URING_OP_SIOCINQ), 3)
  await ring.closeFile(fd)
  // What follows the header of an entry: 16 bytes, or 80 where entries have 128.
  const room = ring.ring.setupFlags & sys.IORING_SETUP_SQE128 ? 80 : 16
  assert.equal((await failure(ring.uringCmd(a.fd, 9999, new Uint8Array(room)))).code, 'ENOTSUP')
  await refused(ring, [
    ['ERR_OUT_OF_RANGE', () => ring.uringCmd(a.fd, 9999, new Uint8Array(room + 1))],
    ['ERR_OUT_OF_RANGE', () => ring.discard(fd, -1, 0)],
    ['ERR_OUT_OF_RANGE', () => ring.discard(fd, 0, -1)],
    ['ERR_OUT_OF_RANGE', () => ring.uringCmd(fd, -1)],
    ['ERR_OUT_OF_RANGE', () => ring.uringCmd(fd, 1, new Uint8Array(81))],
    ['ERR_INVALID_ARG_TYPE', () => ring.uringCmd(fd, 1, 'x' as never)],
    ['ERR_OUT_OF_RANGE', () => ring.uringCmd(fd, 1, undefined, { flags: 2 })],
  ])
})
