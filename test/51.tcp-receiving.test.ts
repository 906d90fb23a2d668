// How a stream receives: leases and who may hold how many, buffers that run out, more connections than slots, aborts.
// Flow: this → net/receiver, net/lease → runtime/buffer-group → kernel ← node:net.

import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import test from 'node:test'
import { type StreamChunk, TcpListener, TcpStream } from 'ringcore'
import { oracle, until, withTimeout } from './helpers.js'
import { pair, readAll } from './tcp.js'
import { failure, KINDS, openUring, testKinds } from './uring.js'

const SOME = {
  DEFER_TASKRUN: KINDS.DEFER_TASKRUN!,
  SQPOLL: KINDS.SQPOLL!,
  'waits in epoll': KINDS['waits in epoll']!,
}
const sha = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

testKinds(
  'chunks: every byte in order, where the kernel put it',
  async (t, ring) => {
    const { stream, socket } = await pair(t, ring)
    const sent = randomBytes(2_000_000)
    socket.end(sent)
    const hash = createHash('sha256')
    let leased = 0
    for await (const chunk of stream.chunks()) {
      hash.update(chunk.bytes)
      if (!chunk.copied) leased++
      chunk.release()
      chunk.release()
      assert.throws(() => chunk.bytes, { code: 'ERR_INVALID_STATE' })
    }
    assert.equal(hash.digest('hex'), sha(sent))
    assert.ok(leased > 0, 'some were not copied')
    for await (const _ of stream.chunks()) assert.fail('nothing comes after the end')
  },
  SOME,
)

testKinds(
  'who releases nothing gets copies, and stops nobody',
  async (t, ring) => {
    const hoarders = await Promise.all(Array.from({ length: 20 }, () => pair(t, ring)))
    const held: StreamChunk[] = []
    t.after(() => {
      for (const chunk of held) chunk.release()
    })
    const sent = randomBytes(300_000)
    await Promise.all(
      hoarders.map(async ({ stream, socket }) => {
        socket.end(sent)
        const own: StreamChunk[] = []
        for await (const chunk of stream.chunks()) own.push(chunk)
        assert.ok(own.filter(({ copied }) => !copied).length <= 8, 'eight at most')
        assert.equal(sha(Buffer.concat(own.map(({ bytes }) => bytes))), sha(sent))
        held.push(...own)
      }),
    )
    const leases = held.filter(({ copied }) => !copied).length
    assert.ok(leases > 0 && leases <= 128, `${leases} buffers are out`)
    const { stream, socket } = await pair(t, ring)
    socket.end(sent)
    assert.equal(sha(await withTimeout(readAll(stream), 3000, 'another connection')), sha(sent))
    for (const chunk of held.splice(0)) chunk.release()
  },
  SOME,
)

test('leaving the loop keeps what came, as copies; another reader goes on; closing gives buffers back', async (t) => {
  oracle(t)
  const ring = openUring(t)
  const { stream, socket } = await pair(t, ring)
  socket.write('one')
  for await (using chunk of stream.chunks()) {
    assert.equal(chunk.bytes.toString(), 'one')
    assert.equal(chunk.copied, false)
    break
  }
  socket.write('two')
  const buffer = Buffer.alloc(10)
  assert.equal(await stream.read(buffer), 3)
  const iterator = stream.chunks()
  const first = iterator.next()
  assert.equal((await failure(stream.read(buffer))).code, 'ERR_INVALID_STATE')
  socket.write('three')
  assert.equal(((await first).value as StreamChunk).bytes.toString(), 'three')
  // What nobody took when the stream closes does not stay in the kernel's buffers.
  socket.write('four')
  await until(() => stream.bytesRead === 15, 2000, 'four')
  const controller = new AbortController()
  const aborting = stream.chunks({ signal: controller.signal })
  ;((await aborting.next()).value as StreamChunk).release()
  const waiting = failure(aborting.next())
  controller.abort()
  assert.equal((await withTimeout(waiting, 2000)).name, 'AbortError')
  await stream.close()
})

testKinds(
  'more connections than operations may be in flight: all are heard',
  async (t, ring) => {
    const listener = TcpListener.bind({ host: '127.0.0.1', ring })
    t.after(() => listener.close())
    const streams: TcpStream[] = []
    listener.serve((stream) => {
      streams.push(stream)
      stream.receive(
        (bytes, length) => stream.send(bytes.subarray(0, length)),
        () => void stream.close(),
      )
    })
    const clients = await Promise.all(
      Array.from({ length: 40 }, () => TcpStream.connect({ host: '127.0.0.1', port: listener.port, ring })),
    )
    for (const client of clients)
      client.receive(
        () => {},
        () => {},
      )
    await until(() => listener.connections === 40, 2000, 'forty connections')
    await Promise.all(clients.map((client, i) => client.write(`hello ${i}`)))
    await until(() => clients.every(({ bytesRead }) => bytesRead >= 7), 3000, 'forty answers')
    await Promise.all(clients.map((client) => client.close()))
    await until(() => listener.connections === 0, 2000, 'all closed')
    assert.ok(streams.every(({ fd }) => fd === -1))
  },
  { 'DEFER_TASKRUN, inFlight 8': { inFlight: 8 }, 'SQPOLL, inFlight 8': { inFlight: 8, sqpoll: true } },
)

test('idle connections take no slot, and an overflow of the queue when all end loses nobody', async (t) => {
  oracle(t)
  const ring = openUring(t, { entries: 8, cqEntries: 16 })
  const listener = TcpListener.bind({ host: '127.0.0.1', ring })
  t.after(() => listener.close())
  const ended: (Error | null)[] = []
  listener.serve((stream) => {
    stream.receive(
      () => {},
      (error) => {
        ended.push(error)
        void stream.close()
      },
    )
  })
  const clients = await Promise.all(
    Array.from({ length: 200 }, () => TcpStream.connect({ host: '127.0.0.1', port: listener.port, ring })),
  )
  await until(() => listener.connections === 200, 3000, 'two hundred connections')
  assert.ok(ring.engine.slots.available > 0, 'idle connections take no slots')
  await Promise.all(clients.map((client, i) => (i % 2 === 0 ? client.close() : client.reset())))
  await until(() => ended.length === 200, 3000, 'two hundred ends')
  await until(() => listener.connections === 0, 3000, 'all closed')
  const codes = new Set(ended.map((error) => (error as NodeJS.ErrnoException | null)?.code ?? null))
  assert.deepEqual([...codes].sort(), ['ECONNRESET', null])
})

testKinds(
  'one byte at a time, and a peer that never finishes',
  async (t, ring) => {
    const { stream, socket } = await pair(t, ring)
    socket.setNoDelay()
    const reading = readAll(stream)
    for (let i = 0; i < 300; i++) {
      await new Promise<void>((resolve) => socket.write(Buffer.from([i & 0xff]), () => resolve()))
    }
    await until(() => stream.bytesRead === 300, 3000, 'all bytes')
    await stream.close()
    const bytes = await withTimeout(reading, 2000, 'the end')
    assert.deepEqual(
      [...bytes],
      Array.from({ length: 300 }, (_, i) => i & 0xff),
    )
    if (!socket.readableEnded) await once(socket.resume(), 'end')
  },
  SOME,
)
