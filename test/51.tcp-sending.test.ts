// How a stream sends: writes of one turn together, vectors, files in their place, zero-copy, backpressure, aborts.
// Flow: this → net/sender, net/outgoing, net/send-file → kernel ← node:net.

import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { openSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import type net from 'node:net'
import { join } from 'node:path'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { File, type TcpStream, type Uring } from 'ringcore'
import { Ring } from 'ringcore/ring'
import { prepNop } from '#src/op/index.js'
import { CTL } from '#src/sys/driver.js'
import { OwnedFd, oracle, tempDir, until, withTimeout } from './helpers.js'
import { pair } from './tcp.js'
import { failure, KINDS, openUring, testKinds, turn } from './uring.js'

const SOME = {
  DEFER_TASKRUN: KINDS.DEFER_TASKRUN!,
  SQPOLL: KINDS.SQPOLL!,
  'waits in epoll': KINDS['waits in epoll']!,
}

const sha = (...pieces: Uint8Array[]): string => {
  const hash = createHash('sha256')
  for (const piece of pieces) hash.update(piece)
  return hash.digest('hex')
}

/** Collects what a socket of node:net's gets, until `bytes` are there. */
function collect(socket: net.Socket): { chunks: Buffer[]; until(bytes: number): Promise<Buffer> } {
  const chunks: Buffer[] = []
  let length = 0
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
    length += chunk.length
  })
  const whole = async (bytes: number): Promise<Buffer> => {
    await until(() => length >= bytes, 5000, `${bytes} bytes, got ${length}`)
    return Buffer.concat(chunks)
  }
  return { chunks, until: whole }
}

/** Threads of the kernel that work for us and wait in a socket. */
function waitingWorkers(): string[] {
  return readdirSync('/proc/self/task').flatMap((thread) => {
    const read = (name: string): string => readFileSync(`/proc/self/task/${thread}/${name}`, 'utf8').trim()
    try {
      return read('comm').startsWith('iou-wrk') && read('wchan') === 'wait_woken' ? [thread] : []
    } catch {
      return [] // It has ended meanwhile.
    }
  })
}

/** CQEs that come while `body` runs and all is sent. */
async function cqesOf(ring: Uring, stream: TcpStream, body: () => unknown): Promise<number> {
  const before = ring.stats().cqes
  const done = body()
  await stream.drained()
  await done
  return ring.stats().cqes - before
}

test('an entry may be changed until the kernel is told of it', (t) => {
  oracle(t)
  const ring = new Ring({ entries: 4 })
  t.after(() => ring.close())
  const first = ring.getSqe()!
  const tail = ring.control[CTL.SQ_TAIL]!
  assert.equal(ring.isUnpublished(first, tail), true)
  const second = ring.getSqe()!
  assert.deepEqual([ring.isUnpublished(first, tail), ring.isUnpublished(second, tail)], [true, false])
  prepNop(first)
  prepNop(second)
  ring.submitAndWait(2)
  assert.equal(ring.isUnpublished(first, tail), false)
  assert.equal(ring.isUnpublished(second, tail + 1), false)
})

testKinds(
  'what one turn writes goes as one send, whatever the sizes, in order',
  async (t, ring, options) => {
    const { stream, socket } = await pair(t, ring)
    const got = collect(socket)
    let total = 0
    const expected: Buffer[] = []
    const write = (size: number, how: 'write' | 'send'): Promise<number> | boolean => {
      const bytes = randomBytes(size)
      expected.push(Buffer.from(bytes))
      total += size
      return how === 'write' ? stream.write(bytes) : stream.send(bytes)
    }
    for (const sizes of [
      [10, 20, 30],
      [4096, 1],
      [4000, 96, 1],
      [1, 5000, 1, 1, 70_000, 3],
      [100_000, 7, 100_000],
      Array(12).fill(5000) as number[],
      Array(50).fill(100) as number[],
    ]) {
      const cqes = await cqesOf(ring, stream, () => {
        const results = sizes.map((size, i) => write(size, i % 2 === 0 ? 'write' : 'send'))
        return Promise.all(results)
      })
      // An SQPOLL thread may take an entry before the next write; elsewhere it is one send, and nothing else is going on.
      if (options.sqpoll !== true) assert.ok(cqes <= 2, `${sizes}: ${cqes} CQEs`)
    }
    // A scratch block holds twelve iovecs: what is beyond goes with the next send.
    const cqes = await cqesOf(ring, stream, () => Array.from({ length: 20 }, () => write(5000, 'send')))
    if (options.sqpoll !== true) assert.ok(cqes >= 2 && cqes <= 3, `${cqes} CQEs`)
    assert.equal(sha(await got.until(total)), sha(...expected))
    assert.equal(stream.bytesWritten, total)
    assert.equal(stream.writableLength, 0)
  },
  SOME,
)

testKinds(
  'a thousand writes at once: promises settle in order, small buffers are free at once',
  async (t, ring) => {
    const { stream, socket } = await pair(t, ring)
    const got = collect(socket)
    const small = Buffer.alloc(500)
    const settled: number[] = []
    const expected: Buffer[] = []
    const writes = Array.from({ length: 1000 }, async (_, i) => {
      small.fill(i & 0xff)
      expected.push(Buffer.from(small))
      assert.equal(await stream.write(small), 500)
      settled.push(i)
    })
    small.fill(0xee)
    await withTimeout(Promise.all(writes), 5000, 'the writes')
    assert.deepEqual(
      settled,
      Array.from({ length: 1000 }, (_, i) => i),
    )
    assert.equal(sha(await got.until(500_000)), sha(...expected))
  },
  SOME,
)

testKinds(
  'writev: pieces stay in order, among writes and with empty ones',
  async (t, ring) => {
    const { stream, socket } = await pair(t, ring)
    const got = collect(socket)
    const pieces = Array.from({ length: 40 }, (_, i) => randomBytes(i * 300))
    const first = stream.write('first')
    const vector = stream.writev(pieces)
    const last = stream.write('last')
    assert.deepEqual(await Promise.all([first, vector, last]), [5, 300 * ((39 * 40) / 2), 4])
    assert.equal(await stream.writev([]), 0)
    assert.equal(await stream.writev(['', new Uint8Array(0)]), 0)
    assert.equal(await stream.writev(['ü', 'b']), 3)
    assert.equal((await failure(stream.writev('x' as never))).code, 'ERR_INVALID_ARG_TYPE')
    assert.equal((await failure(stream.writev([5 as never]))).code, 'ERR_INVALID_ARG_TYPE')
    const expected = [Buffer.from('first'), ...pieces, Buffer.from('lastüb')]
    const bytes = await got.until(expected.reduce((sum, { length }) => sum + length, 0))
    assert.equal(sha(bytes), sha(...expected))
  },
  SOME,
)

testKinds(
  'onDrain comes once after send said wait',
  async (t, ring) => {
    const { stream, socket } = await pair(t, ring)
    let drains = 0
    stream.onDrain = () => drains++
    assert.equal(stream.send('little'), true)
    await stream.drained()
    assert.equal(drains, 0)
    const chunk = Buffer.alloc(50_000, 1)
    assert.equal(stream.send(chunk), true)
    assert.equal(stream.send(chunk), false)
    assert.ok(stream.writableLength > 0)
    socket.resume()
    await until(() => drains > 0, 2000, 'the drain')
    await turn()
    assert.equal(drains, 1)
    assert.throws(() => {
      stream.onDrain = 5 as never
    }, /onDrain/)
  },
  SOME,
)

testKinds(
  'sendFile: whole files, ranges, in their place among writes; what opened them does not matter',
  async (t, ring) => {
    const path = join(tempDir(t), 'file')
    const content = randomBytes(700_001)
    writeFileSync(path, content)
    const { stream, socket } = await pair(t, ring)
    const got = collect(socket)
    const fd = new OwnedFd(t, openSync(path, 'r'))
    const handle = await open(path)
    t.after(() => handle.close())
    const file = await File.open(path, 'r', { ring })
    t.after(() => file.close())
    const sent = await withTimeout(
      Promise.all([
        stream.write('head'),
        stream.sendFile(fd.fd),
        stream.write('between'),
        stream.sendFile(handle, { offset: 5, length: 100 }),
        stream.sendFile(file, { offset: 699_000 }),
        stream.sendFile(fd.fd, { length: 0 }),
        stream.sendFile(fd.fd, { offset: 700_001 }),
        stream.write('tail'),
      ]),
      5000,
      'the files',
    )
    assert.deepEqual(sent, [4, 700_001, 7, 100, 1001, 0, 0, 4])
    const expected = Buffer.concat([
      Buffer.from('head'),
      content,
      Buffer.from('between'),
      content.subarray(5, 105),
      content.subarray(699_000),
      Buffer.from('tail'),
    ])
    assert.equal(sha(await got.until(expected.length)), sha(expected))
    assert.equal(stream.writableLength, 0)
    assert.equal(stream.bytesWritten, expected.length)
    const ended = once(socket, 'end')
    await stream.end()
    await ended
  },
  SOME,
)

testKinds(
  'sendFile: a file that ends early, that cannot be read, an abort, a peer that leaves',
  async (t, ring) => {
    const path = join(tempDir(t), 'file')
    writeFileSync(path, randomBytes(3_000_000))
    const fd = new OwnedFd(t, openSync(path, 'r'))
    const writeOnly = new OwnedFd(t, openSync(path, 'a'))
    {
      const { stream, socket } = await pair(t, ring)
      const got = collect(socket)
      truncateSync(path, 1000)
      const short = stream.sendFile(fd.fd, { offset: 10, length: 5000 })
      const bad = failure(stream.sendFile(writeOnly.fd, { length: 100 }))
      const after = stream.write('after')
      assert.equal(await withTimeout(short, 2000), 990)
      assert.equal((await withTimeout(bad, 2000)).code, 'EBADF')
      assert.equal(await withTimeout(after, 2000), 5)
      assert.equal((await got.until(995)).subarray(990).toString(), 'after')
      assert.equal(stream.writableLength, 0)
      for (const wrong of [undefined, null, 'path', {}, { fd: 'x' }])
        assert.match(String((await failure(stream.sendFile(wrong as never))).code), /ERR_INVALID_ARG_TYPE/)
      assert.equal((await failure(stream.sendFile(fd.fd, { offset: -1 }))).code, 'ERR_OUT_OF_RANGE')
      await stream.close()
      assert.equal((await failure(stream.sendFile(fd.fd))).code, 'ERR_INVALID_STATE')
    }
    truncateSync(path, 50_000_000)
    {
      // A peer that does not read for a while: no worker of the kernel may wait for it, and nothing is lost.
      const { stream, socket } = await pair(t, ring)
      socket.pause()
      const sending = stream.sendFile(fd.fd)
      let last = -1
      while (last !== stream.bytesWritten || last === 0) {
        last = stream.bytesWritten
        await sleep(30)
      }
      assert.deepEqual(waitingWorkers(), [], 'workers that wait for the peer')
      let got = 0
      socket.on('data', (chunk: Buffer) => {
        got += chunk.length
      })
      socket.resume()
      assert.equal(await withTimeout(sending, 5000, 'the rest'), 50_000_000)
      await until(() => got === 50_000_000, 5000, 'all bytes')
    }
    {
      const { stream, socket } = await pair(t, ring)
      socket.pause()
      const controller = new AbortController()
      const aborted = failure(stream.sendFile(fd.fd, { signal: controller.signal }))
      const after = failure(stream.write('after'))
      await until(() => stream.bytesWritten > 0, 2000, 'the first block')
      controller.abort()
      assert.equal((await withTimeout(aborted, 2000, 'the abort')).name, 'AbortError')
      assert.equal((await withTimeout(after, 2000, 'the write behind it')).name, 'AbortError')
      await until(() => stream.fd === -1, 2000, 'the stream to be destroyed')
      assert.ok(stream.bytesWritten < 50_000_000)
    }
    {
      const { stream, socket } = await pair(t, ring)
      socket.pause()
      const sending = failure(stream.sendFile(fd.fd))
      const second = failure(stream.sendFile(fd.fd))
      await until(() => stream.bytesWritten > 0, 2000, 'the first block')
      socket.resetAndDestroy()
      assert.match(String((await withTimeout(sending, 2000, 'the reset')).code), /ECONNRESET|EPIPE/)
      assert.match(String((await withTimeout(second, 2000, 'the file behind it')).code), /ECONNRESET|EPIPE/)
    }
    assert.equal(ring.stats().queued, 0)
  },
  SOME,
)

testKinds(
  'zero-copy sends: bytes in order with others, promises after the kernel has let go',
  async (t, ring) => {
    const { stream, socket } = await pair(t, ring, { zeroCopyFrom: 10_000 })
    const got = collect(socket)
    const pieces = Array.from({ length: 30 }, (_, i) => randomBytes(i % 3 === 0 ? 50_000 : 300))
    const written = await withTimeout(Promise.all(pieces.map((bytes) => stream.write(bytes))), 5000, 'writes')
    assert.deepEqual(
      written,
      pieces.map(({ length }) => length),
    )
    const total = written.reduce((sum, n) => sum + n, 0)
    assert.equal(sha(await got.until(total)), sha(...pieces))
    await stream.drained()
    const late = stream.write(Buffer.alloc(100_000))
    await stream.end()
    assert.equal(await late, 100_000)
    socket.resetAndDestroy()
    await stream.close()
    assert.equal(ring.stats().inFlight, 0)
  },
  SOME,
)

test('an aborted write destroys the stream, an aborted read loses nothing', async (t) => {
  oracle(t)
  const ring = openUring(t)
  const { stream, socket } = await pair(t, ring)
  const controller = new AbortController()
  const buffer = Buffer.alloc(10)
  const reading = failure(stream.read(buffer, { signal: controller.signal }))
  await turn()
  controller.abort(new Error('enough'))
  const readError = await withTimeout(reading, 2000)
  assert.deepEqual([readError.name, (readError.cause as Error).message], ['AbortError', 'enough'])
  socket.write('kept')
  assert.equal(await withTimeout(stream.read(buffer), 2000), 4)
  const before = await failure(stream.read(buffer, { signal: controller.signal }))
  assert.equal(before.name, 'AbortError')
  assert.equal((await failure(stream.read(buffer, { signal: 5 as never }))).code, 'ERR_INVALID_ARG_TYPE')
  assert.equal(await stream.write('fine', { signal: new AbortController().signal }), 4)
  socket.pause()
  const second = new AbortController()
  const big = Buffer.alloc(30_000_000)
  const writing = failure(stream.write(big, { signal: second.signal }))
  await until(() => ring.stats().inFlight > 0, 1000, 'the write')
  second.abort()
  assert.equal((await withTimeout(writing, 2000)).name, 'AbortError')
  for (const slot of ring.engine.slots) assert.notEqual(slot.view, big, 'the kernel has let go')
  assert.equal((await failure(stream.write('x'))).name, 'AbortError')
  await until(() => stream.fd === -1, 2000, 'the stream to be destroyed')
})
