// Sending without copying by Uring: the buffer is the kernel's until the notification, errors included.
// Flow: this → Uring (operations-zero-copy) → sinks, kernel.

import assert from 'node:assert/strict'
import type { Uring } from 'ringcore'
import * as sys from 'ringcore/sys'
import { socketPair, withTimeout } from './helpers.js'
import { failure } from './uring.js'
import { boundSocket, opTest, refused, submitted, tcpPair } from './uring-ops.js'

async function receive(ring: Uring, fd: number, bytes: number): Promise<Buffer> {
  const buffer = Buffer.alloc(bytes)
  for (let at = 0; at < bytes; ) at += await ring.recv(fd, buffer, { offset: at })
  return buffer
}

opTest('SEND_ZC', 'bytes arrive; the promise waits for the notification', async (t, ring) => {
  const [client, server] = tcpPair(t)
  const bytes = Buffer.alloc(100_000, 'zero copy ')
  const receiving = receive(ring, server.fd, bytes.length)
  const result = await ring.sendZc(client.fd, bytes, { flags: sys.MSG_WAITALL })
  assert.deepEqual(result, { bytes: bytes.length, copied: undefined })
  assert.ok((await receiving).equals(bytes))

  const part = await ring.sendZc(client.fd, bytes, { offset: 10, length: 4, reportUsage: true })
  // On loopback the receiver takes a copy.
  assert.deepEqual(part, { bytes: 4, copied: true })
  assert.equal((await receive(ring, server.fd, 4)).toString(), 'zero')

  const registered = ring.alloc(5000)
  registered.fill('r')
  assert.equal((await ring.sendZc(client.fd, registered)).bytes, 5000)
  assert.ok((await receive(ring, server.fd, 5000)).equals(registered))
  ring.free(registered)

  const udp = [boundSocket(t), boundSocket(t)] as const
  const datagram = await ring.sendZc(udp[0].fd, Buffer.from('to you'), { address: udp[1].address })
  assert.equal(datagram.bytes, 6)
  assert.equal((await receive(ring, udp[1].fd, 6)).toString(), 'to you')
})

opTest('SEND_ZC', 'errors with and without a notification, aborts, timeouts', async (t, ring) => {
  const [client, server] = tcpPair(t)
  const some = Buffer.alloc(10)
  assert.equal((await failure(ring.sendZc(999_999, some))).code, 'EBADF')
  assert.equal((await failure(ring.sendZc(socketPair(t)[0].fd, some))).code, 'ENOTSUP')
  const lone = await failure(ring.sendZc(boundSocket(t, sys.SOCK_STREAM).fd, some))
  assert.deepEqual([lone.code, lone.syscall], ['EPIPE', 'send'])

  // Until the peer reads, much more than fits waits.
  const big = Buffer.alloc(16 << 20)
  const abort = new AbortController()
  const sending = ring.sendZc(client.fd, big, { signal: abort.signal, flags: sys.MSG_WAITALL })
  await submitted(ring)
  assert.equal(ring.stats().inFlight, 1)
  abort.abort()
  // What of it was on its way stays the kernel's until the peer has it, or is gone.
  server.close()
  const outcome = await withTimeout(
    sending.catch((error) => error),
    5000,
    'the aborted send',
  )
  assert.ok(outcome.name === 'AbortError' || outcome.bytes > 0, String(outcome))

  const [second, peer] = tcpPair(t)
  const late = ring.sendZc(second.fd, big, { timeout: 20, flags: sys.MSG_WAITALL })
  setTimeout(() => peer.close(), 60)
  const timed = await withTimeout(
    late.catch((error) => error),
    5000,
    'the timed out send',
  )
  assert.ok(timed.code === 'ETIMEDOUT' || timed.bytes > 0, String(timed))
  await refused(ring, [
    ['ERR_OUT_OF_RANGE', () => ring.sendZc(-1, some)],
    ['ERR_INVALID_ARG_TYPE', () => ring.sendZc(0, 'text' as never)],
    ['ERR_OUT_OF_RANGE', () => ring.sendZc(0, some, { offset: 11 })],
    ['ERR_OUT_OF_RANGE', () => ring.sendZc(0, some, { length: 11 })],
    ['ERR_OUT_OF_RANGE', () => ring.sendZc(0, some, { ioprio: 65_536 })],
    ['ERR_INVALID_ARG_VALUE', () => ring.sendZc(0, some, { address: { address: 'x', port: 1 } })],
  ])
})

opTest('SENDMSG_ZC', 'several buffers as one message', async (t, ring) => {
  const [client, server] = tcpPair(t)
  const buffers = ['several ', '', 'buffers'].map((part) => Buffer.from(part))
  const result = await ring.sendmsgZc(client.fd, { buffers }, { reportUsage: true })
  assert.deepEqual(result, { bytes: 15, copied: true })
  assert.equal((await receive(ring, server.fd, 15)).toString(), 'several buffers')
  const udp = [boundSocket(t), boundSocket(t)] as const
  await ring.sendmsgZc(udp[0].fd, { buffers, address: udp[1].address })
  assert.equal((await receive(ring, udp[1].fd, 15)).toString(), 'several buffers')
  assert.equal((await failure(ring.sendmsgZc(999_999, { buffers }))).code, 'EBADF')
  assert.equal((await failure(ring.sendmsgZc(socketPair(t)[0].fd, { buffers }))).code, 'ENOTSUP')
  await refused(ring, [
    ['ERR_INVALID_ARG_TYPE', () => ring.sendmsgZc(0, undefined as never)],
    ['ERR_INVALID_ARG_TYPE', () => ring.sendmsgZc(0, { buffers: ['x'] as never })],
    ['ERR_INVALID_ARG_TYPE', () => ring.sendmsgZc(0, { buffers, control: 5 as never })],
    ['ERR_OUT_OF_RANGE', () => ring.sendmsgZc(0, { buffers }, { flags: -1 })],
    ['ERR_OUT_OF_RANGE', () => ring.sendmsgZc(-1, { buffers })],
  ])
})
