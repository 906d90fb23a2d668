// Provided buffers by Uring: repeated reads, messages, bundles; no byte lost, none twice, every buffer back.
// Flow: this → Uring (operations-provided) → buffer-group, send-group, kernel.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import type { Bundle, Uring } from 'ringcore'
import * as sys from 'ringcore/sys'
import { oracle, pipe, socketPair, tempDir, withTimeout } from './helpers.js'
import { failure, openUring } from './uring.js'
import { boundSocket, call, opTest, refused, submitted, tcpPair } from './uring-ops.js'

/** Bytes that tell where they belong: each differs from its neighbours at any distance up to 64 K. */
function pattern(bytes: number): Buffer {
  const buffer = Buffer.alloc(bytes)
  for (let i = 0; i < bytes; i++) buffer[i] = (i * 7) ^ (i >> 8) ^ (i >> 15)
  return buffer
}

/** Writes all of `bytes`, in steps of odd sizes, as the other side takes them. */
async function writeAll(ring: Uring, fd: number, bytes: Buffer): Promise<void> {
  for (let at = 0, step = 1; at < bytes.length; step = (step * 7 + 13) % 9001) {
    at += await ring.send(fd, bytes, { offset: at, length: Math.min(step + 1, bytes.length - at) })
  }
}

opTest('READ_MULTISHOT', 'a pipe to its end, with fewer buffers than chunks', async (t, ring) => {
  const { reader, writer } = pipe(t)
  const group = ring.bufferGroup({ entries: 4, bufferBytes: 64 })
  const reads = ring.readMultishot(reader.fd, group)
  let text = ''
  const written = (async () => {
    for (let i = 0; i < 40; i++) {
      await ring.write(writer.fd, Buffer.from(`${i},`.padStart(50)))
      if (i % 10 === 9) await ring.timeout(1)
    }
    writer.close()
  })()
  for await (const chunk of reads) {
    text += chunk.bytes.toString()
    chunk.release()
  }
  await written
  assert.equal(text.replaceAll(' ', ''), `${Array.from({ length: 40 }, (_, i) => i).join(',')},`)
  assert.equal(group.lent, 0)

  const path = join(tempDir(t), 'file')
  fs.writeFileSync(path, 'x')
  const fd = await ring.openat(path)
  assert.equal((await failure(ring.readMultishot(fd, group).next())).code, 'EBADFD')
  await ring.closeFile(fd)
  const other = pipe(t)
  const waiting = ring.readMultishot(other.reader.fd, group)
  const next = waiting.next()
  await submitted(ring)
  await waiting.return()
  assert.deepEqual(await next, { value: undefined, done: true })
  assert.equal(group.lent, 0)
  await refused(ring, [
    ['ERR_OUT_OF_RANGE', () => ring.readMultishot(-1, group)],
    ['ERR_INVALID_ARG_TYPE', () => ring.readMultishot(0, {} as never)],
    ['ERR_OUT_OF_RANGE', () => ring.readMultishot(0, group, { capacity: 0.5 })],
  ])
  group.close()
})

opTest('RECVMSG', 'datagrams with senders and control data, cut ones are told', async (t, ring) => {
  const server = boundSocket(t)
  const one = Int32Array.of(1)
  const set = call(
    'setsockopt',
    server.fd,
    sys.IPPROTO_IP,
    sys.IP_PKTINFO,
    ring.engine.ring.driver.addressOf(one),
    4,
  )
  assert.equal(set, 0)
  const client = boundSocket(t)
  const group = ring.bufferGroup({ entries: 8, bufferBytes: 16 + 128 + 64 + 32 })
  const messages = ring.recvmsgMultishot(server.fd, group, { controlLength: 64 })
  await submitted(ring)
  const texts = ['first', '', 'third', 'x'.repeat(100)]
  for (const text of texts) {
    const sent = await ring.sendto(client.fd, Buffer.from(text), server.address)
    assert.equal(sent, text.length)
  }
  for (const text of texts) {
    const { value } = await withTimeout(messages.next(), 2000)
    assert.deepEqual(value.address, client.address)
    assert.equal(value.bytes.toString(), text.slice(0, 32))
    assert.equal((value.flags & sys.MSG_TRUNC) !== 0, text.length > 32)
    // One cmsghdr: its length, its level, its type.
    assert.deepEqual(
      [value.control.readInt32LE(8), value.control.readInt32LE(12)],
      [sys.IPPROTO_IP, sys.IP_PKTINFO],
    )
    value.release()
    assert.throws(() => value.bytes, { code: 'ERR_INVALID_STATE' })
  }
  assert.equal(group.lent, 0)
  await messages.return()
  // A stream ends: so do its messages.
  const [a, b] = socketPair(t)
  const stream = ring.recvmsgMultishot(a.fd, group, { nameLength: 0 })
  await ring.send(b.fd, Buffer.from('bytes'))
  b.close()
  const got: string[] = []
  for await (using message of stream) got.push(message.bytes.toString())
  assert.deepEqual(got, ['bytes'])
  assert.equal((await failure(ring.recvmsgMultishot(999_999, group).next())).code, 'EBADF')
  await refused(ring, [
    ['ERR_OUT_OF_RANGE', () => ring.recvmsgMultishot(-1, group)],
    ['ERR_INVALID_ARG_TYPE', () => ring.recvmsgMultishot(0, null as never)],
    ['ERR_OUT_OF_RANGE', () => ring.recvmsgMultishot(0, group, { controlLength: -1 })],
    ['ERR_OUT_OF_RANGE', () => ring.recvmsgMultishot(0, group, { nameLength: 1e9 })],
    ['ERR_INVALID_ARG_TYPE', () => ring.sendto(0, 'x' as never, server.address)],
    ['ERR_INVALID_ARG_TYPE', () => ring.sendto(0, one, undefined as never)],
    ['ERR_OUT_OF_RANGE', () => ring.sendto(0, one, { address: '::1', port: 70_000 })],
  ])
  group.close()
})

opTest('RECV', 'bundles: a megabyte in order, however buffers come back', async (t, ring) => {
  const [client, server] = tcpPair(t)
  const bytes = pattern(1_000_003)
  const group = ring.bufferGroup({ entries: 16, bufferBytes: 1024 })
  const sent = writeAll(ring, client.fd, bytes).then(() => client.close())
  const kept: Bundle[] = []
  let at = 0
  let largest = 0
  for await (const bundle of ring.recvBundle(server.fd, group)) {
    largest = Math.max(largest, bundle.chunks.length)
    let length = 0
    for (const { bytes: part } of bundle.chunks) {
      assert.ok(part.equals(bytes.subarray(at, at + part.length)), `wrong bytes at ${at}`)
      at += part.length
      length += part.length
    }
    assert.equal(length, bundle.length)
    // Give them back late and out of order.
    kept.push(bundle)
    if (kept.length >= 3 || group.lent > 8) for (const old of kept.splice(0).reverse()) old.release()
  }
  for (const old of kept) old.release()
  await sent
  assert.equal(at, bytes.length)
  assert.ok(largest > 1, 'some bundle had more than one buffer')
  assert.equal(group.lent, 0)
  const idle = ring.recvBundle(tcpPair(t)[1].fd, group)
  await submitted(ring)
  await idle.return()
  assert.equal((await failure(ring.recvBundle(999_999, group).next())).code, 'EBADF')
  await refused(ring, [
    ['ERR_OUT_OF_RANGE', () => ring.recvBundle(-1, group)],
    ['ERR_INVALID_ARG_TYPE', () => ring.recvBundle(0, group, { flags: 'x' as never })],
  ])
  group.close()
})

opTest('SEND', 'bundles: what was added goes out in order with one request', async (t, ring) => {
  const [client, server] = tcpPair(t)
  const group = ring.sendGroup({ entries: 8, bufferBytes: 1000 })
  const bytes = pattern(300_000)
  const received: Buffer[] = []
  const reading = (async () => {
    for (let total = 0; total < bytes.length; ) {
      const buffer = Buffer.alloc(65536)
      const length = await ring.recv(server.fd, buffer)
      received.push(buffer.subarray(0, length))
      total += length
    }
  })()
  for (let at = 0, step = 1; at < bytes.length; step = (step * 5 + 7) % 3001) {
    at += group.add(bytes.subarray(at, at + step))
    if (group.available > 2 && at < bytes.length) continue
    const pending = group.pending
    assert.equal(await ring.sendBundle(client.fd, group), pending)
    assert.equal(group.available, 8, 'every buffer is free again')
  }
  await reading
  assert.ok(Buffer.concat(received).equals(bytes))

  // A full socket: the request waits, is aborted, and the group can be used again.
  const full = tcpPair(t)[0]
  const abort = new AbortController()
  let failed: NodeJS.ErrnoException | undefined
  for (let i = 0; failed === undefined; i++) {
    while (group.available > 0) group.add(Buffer.alloc(1000))
    const sending = ring.sendBundle(full.fd, group, { signal: abort.signal })
    if (i === 0) await refused(ring, [['ERR_INVALID_STATE', () => ring.sendBundle(full.fd, group)]])
    const timer = setTimeout(() => abort.abort(), 100)
    failed = await sending.then(
      () => undefined,
      (error) => error,
    )
    clearTimeout(timer)
  }
  assert.equal(failed.name, 'AbortError')
  group.close()
  const fresh = ring.sendGroup({ entries: 2, bufferBytes: 4 })
  assert.equal(fresh.add(Buffer.from('0123456789')), 8, 'as much as fits')
  assert.equal((await failure(ring.sendBundle(999_999, fresh))).code, 'EBADF')
  const { reader } = pipe(t)
  assert.equal((await failure(ring.sendBundle(reader.fd, fresh))).code, 'ENOTSOCK')
  // A short send: what was sent is free, and every other byte still waits.
  const short = ring.sendGroup({ entries: 4, bufferBytes: 10 })
  short.add(Buffer.alloc(35))
  short.sent(11)
  assert.deepEqual([short.pending, short.available], [24, 1])
  short.close()
  const empty = ring.sendGroup({ entries: 1 })
  await refused(ring, [
    ['ERR_INVALID_STATE', () => ring.sendBundle(client.fd, empty)],
    ['ERR_INVALID_ARG_TYPE', () => ring.sendBundle(client.fd, {} as never)],
    ['ERR_OUT_OF_RANGE', () => ring.sendBundle(-1, fresh)],
    ['ERR_OUT_OF_RANGE', () => ring.sendGroup({ entries: 3 })],
    ['ERR_OUT_OF_RANGE', () => ring.sendGroup({ bufferBytes: 0 })],
    ['ERR_INVALID_ARG_TYPE', () => fresh.add('x' as never)],
  ])
  fresh.close()
  assert.throws(() => fresh.add(Buffer.of(1)), { code: 'ERR_INVALID_STATE' })
  empty.close()
})

test('a group that runs dry pauses the request until a buffer is back', async (t) => {
  oracle(t)
  const ring = openUring(t)
  const [client, server] = tcpPair(t)
  const group = ring.bufferGroup({ entries: 2, bufferBytes: 10 })
  const bundles = ring.recvBundle(server.fd, group)
  await ring.send(client.fd, Buffer.from('0123456789abcdefghijklmnopqrstuvwxyz'))
  let text = ''
  const held: Bundle[] = []
  while (text.length < 20) {
    const { value } = await withTimeout(bundles.next(), 2000)
    held.push(value)
    text += value.chunks.map((chunk: { bytes: Buffer }) => chunk.bytes.toString()).join('')
  }
  const starved = bundles.next()
  assert.equal(
    await Promise.race([starved, new Promise((resolve) => setTimeout(resolve, 30, 'paused'))]),
    'paused',
  )
  for (const bundle of held) bundle.release()
  const { value } = await withTimeout(starved, 2000)
  assert.equal(value.chunks[0].bytes.toString(), 'klmnopqrst')
  value.release()
  await bundles.return()
  assert.equal(group.lent, 0)
})
