// UdpSocket against node:dgram and itself: datagrams, senders, errors, truncation, segments, groups.
// Flow: this → net/udp-socket → runtime → kernel ← node:dgram.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import dgram from 'node:dgram'
import { once } from 'node:events'
import test, { type TestContext } from 'node:test'
import { type ReceivedDatagramCopy, type UdpOptions, UdpSocket, type Uring } from 'ringcore'
import { IP_TTL, IPPROTO_IP, SO_RCVBUF, SOL_SOCKET } from 'ringcore/sys'
import { oracle, until, withTimeout } from './helpers.js'
import { failure, KINDS, openUring, testKinds, turn } from './uring.js'

const SOME = {
  DEFER_TASKRUN: KINDS.DEFER_TASKRUN!,
  SQPOLL: KINDS.SQPOLL!,
  'waits in epoll': KINDS['waits in epoll']!,
}

function bind(t: TestContext, ring: Uring, options: UdpOptions = {}): UdpSocket {
  const socket = UdpSocket.bind({ host: '127.0.0.1', ring, ...options })
  t.after(() => socket.close())
  return socket
}

async function nodeSocket(t: TestContext, family: 'udp4' | 'udp6' = 'udp4'): Promise<dgram.Socket> {
  const socket = dgram.createSocket(family)
  socket.bind(0, family === 'udp4' ? '127.0.0.1' : '::1')
  await once(socket, 'listening')
  t.after(async () => {
    socket.close()
    await once(socket, 'close')
  })
  return socket
}

async function next(socket: UdpSocket): Promise<ReceivedDatagramCopy> {
  const datagram = await withTimeout(socket.read(), 2000, 'a datagram')
  assert.ok(datagram !== null)
  return datagram
}

testKinds(
  'datagrams both ways with node:dgram, IPv4 and IPv6: senders, boundaries, empty ones',
  async (t, ring) => {
    for (const [host, family] of [
      ['127.0.0.1', 'udp4'],
      ['::1', 'udp6'],
    ] as const) {
      const ours = bind(t, ring, { host })
      const theirs = await nodeSocket(t, family)
      const to = { address: host, port: theirs.address().port }
      const got: { data: Buffer; port: number }[] = []
      theirs.on('message', (data, { port }) => got.push({ data, port }))
      const sizes = [0, 1, 500, 4096, 4097, 30_000]
      const payloads = sizes.map((size) => randomBytes(size))
      const written = await Promise.all(payloads.map((bytes) => ours.write(bytes, to)))
      assert.deepEqual(written, sizes)
      await until(() => got.length === sizes.length, 2000, 'all datagrams')
      for (const [i, { data, port }] of got.entries()) {
        assert.deepEqual([data.equals(payloads[i]!), port], [true, ours.port])
      }
      for (const bytes of payloads) theirs.send(bytes, ours.port, host)
      for (const bytes of payloads) {
        const { data, address, port, family: version, truncated } = await next(ours)
        assert.ok(data.equals(bytes))
        assert.deepEqual(
          [address, port, version, truncated],
          [host, to.port, host === '::1' ? 'ipv6' : 'ipv4', false],
        )
      }
      const { received, sent, bytesRead, bytesWritten } = ours.counters
      const total = sizes.reduce((sum, n) => sum + n, 0)
      assert.deepEqual([received, sent, bytesRead, bytesWritten], [6, 6, total, total])
    }
  },
  SOME,
)

testKinds(
  'callbacks: an echo that answers who sent, many in one turn with few calls',
  async (t, ring, options) => {
    const server = bind(t, ring)
    const errors: unknown[] = []
    server.receive(
      (datagram) => {
        assert.equal(datagram.bytes.length, datagram.length)
        server.send(datagram.bytes, datagram)
      },
      (error) => errors.push(error),
    )
    assert.throws(
      () =>
        server.receive(
          () => {},
          () => {},
        ),
      { code: 'ERR_INVALID_STATE' },
    )
    assert.equal((await failure(server.read())).code, 'ERR_INVALID_STATE')
    const client = bind(t, ring)
    const to = { address: '127.0.0.1', port: server.port }
    const answers = new Set<string>()
    client.receive(
      (datagram) => {
        assert.deepEqual(
          [datagram.address, datagram.port, datagram.family],
          ['127.0.0.1', server.port, 'ipv4'],
        )
        answers.add(datagram.bytes.toString())
      },
      () => {},
    )
    const { enters } = ring.stats()
    for (let i = 0; i < 100; i++) client.send(`message ${i}`, to)
    await client.drained()
    if (options.sqpoll !== true)
      assert.ok(ring.stats().enters - enters < 50, 'far fewer calls than datagrams')
    await until(() => answers.size === 100, 2000, 'a hundred answers')
    await server.close()
    assert.deepEqual(errors, [null])
  },
  SOME,
)

testKinds(
  'connected: no destination needed, strangers are not heard, a refusal shows and ends nothing',
  async (t, ring) => {
    const peer = await nodeSocket(t)
    const ours = bind(t, ring)
    assert.throws(() => ours.send('x'), { code: 'ERR_INVALID_STATE' })
    await ours.connect({ host: '127.0.0.1', port: peer.address().port })
    assert.deepEqual((ours.remoteAddress as { port: number }).port, peer.address().port)
    const heard = once(peer, 'message')
    await ours.write('hello')
    assert.equal(String((await heard)[0]), 'hello')
    const stranger = await nodeSocket(t)
    stranger.send('from a stranger', ours.port, '127.0.0.1')
    peer.send('from the peer', ours.port, '127.0.0.1')
    assert.equal((await next(ours)).data.toString(), 'from the peer')
    // Nobody listens at this port any more.
    const gone = dgram.createSocket('udp4')
    gone.bind(0, '127.0.0.1')
    await once(gone, 'listening')
    const { port } = gone.address()
    gone.close()
    await once(gone, 'close')
    const lonely = bind(t, ring)
    await lonely.connect({ host: '127.0.0.1', port })
    const reading = failure(lonely.read())
    await turn()
    await lonely.write('anybody?')
    const error = await withTimeout(reading, 2000, 'the refusal')
    assert.deepEqual([error.code, error.syscall], ['ECONNREFUSED', 'recvmsg'])
    const errors: (string | undefined)[] = []
    lonely.receive(
      () => {},
      (refused) => errors.push((refused as NodeJS.ErrnoException | null)?.code),
    )
    for (let i = 0; i < 3; i++) {
      lonely.send('again')
      await until(() => errors.length > i, 2000, `refusal ${i}`)
    }
    assert.deepEqual(new Set(errors), new Set(['ECONNREFUSED']))
  },
  SOME,
)

testKinds(
  'segments: one call, many datagrams; put together and taken apart again with gro',
  async (t, ring) => {
    for (const gro of [false, true]) {
      const receiver = bind(t, ring, { gro, receiveBufferBytes: 4_000_000 })
      const sender = bind(t, ring)
      const to = { address: '127.0.0.1', port: receiver.port }
      const data = randomBytes(30_500)
      const sent = await sender.write(data, to, { segmentBytes: 1000 })
      assert.equal(sent, data.length)
      const parts: Buffer[] = []
      while (parts.length < 31) {
        const part = await next(receiver)
        assert.equal(part.port, sender.port)
        parts.push(part.data)
      }
      assert.deepEqual(new Set(parts.map(({ length }) => length)), new Set([1000, 500]))
      assert.ok(Buffer.concat(parts).equals(data))
      // One that fits is an ordinary datagram.
      await sender.write('short', to, { segmentBytes: 1000 })
      assert.equal((await next(receiver)).data.toString(), 'short')
      assert.equal(receiver.counters.received, 32)
      const tooMany = await failure(sender.write(Buffer.alloc(65_000), to, { segmentBytes: 1000 }))
      assert.equal(tooMany.code, 'ERR_OUT_OF_RANGE')
    }
  },
  SOME,
)

test('the largest datagram comes whole; too large is EMSGSIZE with its address; bad arguments', async (t) => {
  oracle(t)
  const ring = openUring(t)
  const receiver = bind(t, ring)
  const sender = bind(t, ring)
  const to = { address: '127.0.0.1', port: receiver.port }
  const largest = randomBytes(65_507)
  await sender.write(largest, to)
  const got = await next(receiver)
  assert.deepEqual([got.data.equals(largest), got.truncated], [true, false])
  const error = await failure(sender.write(Buffer.alloc(65_508), to))
  assert.deepEqual(
    [error.code, error.syscall, error.address, error.port, error.message],
    ['EMSGSIZE', 'send', '127.0.0.1', to.port, `send EMSGSIZE 127.0.0.1:${to.port}`],
  )
  const told: unknown[] = []
  sender.receive(
    () => {},
    (refused) => told.push((refused as NodeJS.ErrnoException | null)?.code),
  )
  sender.send(Buffer.alloc(65_508), to)
  await until(() => told.length === 1, 2000, 'the error without a promise')
  assert.deepEqual(told, ['EMSGSIZE'])
  for (const wrong of [undefined, 5, {}, new Uint16Array(1)])
    assert.equal((await failure(sender.write(wrong as never, to))).code, 'ERR_INVALID_ARG_TYPE')
  assert.equal((await failure(sender.write('x', { address: 'name', port: 1 }))).code, 'ERR_INVALID_ARG_VALUE')
  assert.equal(
    (await failure(sender.write('x', { address: '127.0.0.1', port: 70_000 }))).code,
    'ERR_OUT_OF_RANGE',
  )
  assert.equal((await failure(sender.write('x', 5 as never))).code, 'ERR_INVALID_ARG_TYPE')
  for (const [where, code] of [
    ['127.0.0.1', 'ERR_INVALID_ARG_VALUE'],
    [{ host: 'localhost' }, 'ERR_INVALID_ARG_VALUE'],
    [{ port: 65_536 }, 'ERR_OUT_OF_RANGE'],
    [{ receiveBufferBytes: 0 }, 'ERR_OUT_OF_RANGE'],
    [null, 'ERR_INVALID_ARG_TYPE'],
  ] as const)
    assert.throws(
      () => UdpSocket.bind(typeof where === 'object' && where !== null ? { ...where, ring } : where!),
      {
        code,
      },
    )
  const inUse = await failure((async () => bind(t, ring, { port: receiver.port }))())
  assert.deepEqual([inUse.code, inUse.syscall, inUse.port], ['EADDRINUSE', 'bind', receiver.port])
})

test('a slow iterator: what does not fit is dropped and counted; an abort, a close', async (t) => {
  oracle(t)
  const ring = openUring(t)
  const receiver = bind(t, ring, { receiveBufferBytes: 8_000_000 })
  const sender = bind(t, ring)
  const to = { address: '127.0.0.1', port: receiver.port }
  // The first read begins the receiving.
  await sender.write('first', to)
  assert.equal((await next(receiver)).data.toString(), 'first')
  for (let i = 0; i < 1200; i++) {
    sender.send(String(i), to)
    if (i % 100 === 0) await turn()
  }
  await until(() => receiver.counters.received === 1201, 3000, 'all to come')
  assert.equal(receiver.counters.dropped, 1200 - 1024)
  for (let i = 0; i < 1024; i++) assert.equal((await next(receiver)).data.toString(), String(i))
  const controller = new AbortController()
  const reading = failure(receiver.read({ signal: controller.signal }))
  controller.abort()
  assert.equal((await withTimeout(reading, 2000)).name, 'AbortError')
  const ended = (async () => {
    for await (const _ of receiver) assert.fail('nothing comes')
    return 'ended'
  })()
  await turn()
  await receiver.close()
  assert.equal(await withTimeout(ended, 2000), 'ended')
  assert.equal(await receiver.read(), null)
  assert.throws(() => receiver.send('x', to), { code: 'EBADF' })
  assert.deepEqual([receiver.fd, receiver.port, receiver.address], [-1, 0, undefined])
})

test('options: broadcast, hops, groups, shared ports, adopted descriptors', async (t) => {
  oracle(t)
  const ring = openUring(t)
  const socket = bind(t, ring, { host: '0.0.0.0' })
  const denied = await failure(socket.write('x', { address: '255.255.255.255', port: 9 }))
  assert.match(String(denied.code), /EACCES|ENETUNREACH/)
  socket.setBroadcast().setTtl(7).setMulticastTtl(3).setMulticastLoopback(true)
  assert.equal(socket.getOption(IPPROTO_IP, IP_TTL), 7)
  assert.ok(socket.getOption(SOL_SOCKET, SO_RCVBUF) > 0)
  for (const wrong of [0, 256, 1.5]) assert.throws(() => socket.setTtl(wrong), { code: 'ERR_OUT_OF_RANGE' })
  assert.throws(() => socket.addMembership('127.0.0.1', '127.0.0.1'), { code: 'EINVAL' })
  assert.throws(() => socket.addMembership('nowhere'), { code: 'ERR_INVALID_ARG_VALUE' })
  // A group on the loopback interface.
  socket.addMembership('239.1.2.3', '127.0.0.1')
  const sender = bind(t, ring, { host: '127.0.0.1' })
  sender.setMulticastInterface('127.0.0.1')
  await sender.write('to the group', { address: '239.1.2.3', port: socket.port })
  assert.equal((await next(socket)).data.toString(), 'to the group')
  socket.dropMembership('239.1.2.3', '127.0.0.1')
  assert.throws(() => socket.dropMembership('239.1.2.3', '127.0.0.1'), { code: 'EADDRNOTAVAIL' })
  socket.addSourceMembership('127.0.0.1', '239.1.2.4', '127.0.0.1')
  socket.dropSourceMembership('127.0.0.1', '239.1.2.4', '127.0.0.1')
  const six = bind(t, ring, { host: '::' })
  six.addMembership('ff01::123', '::%lo').setMulticastTtl(1).setTtl(9).setMulticastLoopback(false)
  six.setMulticastInterface('::%lo').dropMembership('ff01::123', '::%lo')
  assert.throws(() => six.addMembership('ff01::123', '127.0.0.1'), { code: 'ERR_INVALID_ARG_VALUE' })
  // An IPv6 socket reaches IPv4.
  const four = bind(t, ring)
  await six.write('mapped', { address: '127.0.0.1', port: four.port })
  assert.equal((await next(four)).data.toString(), 'mapped')
  const shared = bind(t, ring, { reusePort: true })
  const again = bind(t, ring, { reusePort: true, port: shared.port })
  assert.equal(again.port, shared.port)
})
