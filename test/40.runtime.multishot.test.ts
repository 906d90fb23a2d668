// One request, many results: accept, recv, poll, timeout. What ends them, what pauses them, and that nothing is lost.
// Flow: this → Uring → multishot.ts, buffer-group.ts → kernel.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readSync, writeSync } from 'node:fs'
import net from 'node:net'
import test, { type TestContext } from 'node:test'
import { Resource, type Uring } from 'ringcore'
import { AF_INET, type InternetAddress, POLLHUP, POLLIN, SOCK_STREAM } from 'ringcore/sys'
import { addressOf } from '#src/net/socket-calls.js'
import { countFds, oracle, pipe, socketPair, until, withTimeout } from './helpers.js'
import { failure, oneOf, openUring, testKinds, turn } from './uring.js'

/** A listening socket of the ring. */
async function listen(t: TestContext, ring: Uring): Promise<{ listener: Resource; port: number }> {
  const listener = new Resource(await ring.socket(AF_INET, SOCK_STREAM))
  t.after(() => ring.closeFile(listener))
  await ring.bind(listener, { address: '127.0.0.1', port: 0 })
  await ring.listen(listener, 511)
  const { port } = addressOf(ring.ring.driver, listener.fd, 'own') as InternetAddress
  return { listener, port }
}

function connect(t: TestContext, port: number): net.Socket {
  const socket = net.connect(port, '127.0.0.1')
  socket.on('error', () => {})
  t.after(() => socket.destroy())
  return socket
}

testKinds('accept: many connections, break cancels, what came late is closed', async (t, ring) => {
  const { listener, port } = await listen(t, ring)
  const clients = Array.from({ length: 50 }, () => connect(t, port).resume())
  const closed = clients.map((client) => once(client, 'close'))
  const connections = ring.acceptMultishot(listener)
  let taken = 0
  for await (const fd of connections) {
    await ring.closeFile(fd)
    if (++taken === 20) break
  }
  assert.equal(ring.stats().inFlight, 0, 'break waits until the kernel has let go')
  assert.deepEqual(await connections.next(), { value: undefined, done: true })
  // The other thirty are closed, or still wait in the backlog for the next accept.
  const again = ring.acceptMultishot(listener)
  const closing = (async () => {
    for await (const fd of again) await ring.closeFile(fd)
  })()
  await withTimeout(Promise.all(closed), 3000, 'all clients to see the end')
  await again.return()
  await closing
})

testKinds('accept: descriptors that nobody took are closed by return() and by abort', async (t, ring) => {
  const { listener, port } = await listen(t, ring)
  const before = countFds().all
  for (const way of ['return', 'abort'] as const) {
    const controller = new AbortController()
    const connections = ring.acceptMultishot(listener, { signal: controller.signal })
    const clients = Array.from({ length: 10 }, () => connect(t, port))
    await until(() => countFds().all === before + 20, 2000, 'ten connections on both sides')
    if (way === 'abort') {
      controller.abort('reason')
      const fds: number[] = []
      // What was accepted before the abort is still handed out, then the reason comes.
      const error = await failure(
        (async () => {
          for await (const fd of connections) fds.push(fd)
        })(),
      )
      assert.deepEqual([error.name, error.cause], ['AbortError', 'reason'])
      assert.equal(fds.length, 10)
      for (const fd of fds) await ring.closeFile(fd)
    }
    await connections.return()
    assert.equal(ring.stats().inFlight, 0)
    for (const client of clients) client.resume().end()
    await withTimeout(Promise.all(clients.map((client) => client.closed || once(client, 'close'))), 3000, way)
    assert.equal(countFds().all, before)
  }
})

testKinds('accept: at capacity it pauses, the backlog holds the rest, nobody is lost', async (t, ring) => {
  const { listener, port } = await listen(t, ring)
  const before = countFds().all
  const connections = ring.acceptMultishot(listener, { capacity: 4 })
  const clients = Array.from({ length: 100 }, () => connect(t, port))
  await Promise.all(clients.map((client) => once(client, 'connect')))
  await ring.timeout(30)
  const accepted = countFds().all - before - 100
  // What completed before the cancel came through is kept, too.
  assert.ok(accepted >= 4 && accepted <= 100, `${accepted} accepted ahead`)
  const fds: number[] = []
  for await (const fd of connections) {
    fds.push(fd)
    if (fds.length === 100) break
    if (fds.length % 10 === 0) await ring.timeout(1)
  }
  assert.equal(new Set(fds).size, 100)
  for (const fd of fds) await ring.closeFile(fd)
})

testKinds('recv: ten megabytes through four buffers, every byte in order', async (t, ring) => {
  const [a, b] = socketPair(t)
  const group = ring.bufferGroup({ entries: 4, bufferBytes: 1024 })
  const total = 10 * 1024 * 1024
  const sent = createHash('sha256')
  const received = createHash('sha256')
  const sending = (async () => {
    const block = Buffer.alloc(65_536)
    for (let done = 0; done < total; done += block.length) {
      for (let i = 0; i < block.length; i += 4) block.writeUInt32LE(done + i, i)
      sent.update(block)
      assert.equal(await ring.send(a.fd, block, { flags: 0x4000 | 0x100 }), block.length)
    }
    a.close()
  })()
  let bytes = 0
  let chunks = 0
  const kept: { release(): void }[] = []
  const receiving = (async () => {
    for await (const chunk of ring.recvMultishot(b.fd, group)) {
      received.update(chunk.bytes)
      bytes += chunk.bytes.length
      // Now and then all four are kept for a while: the kernel runs dry (ENOBUFS) and must go on when they come back.
      if (++chunks % 64 < 8) {
        kept.push(chunk)
        if (group.lent === 4) {
          if (chunks % 3 === 0) await ring.timeout(1)
          for (const each of kept.splice(0)) each.release()
        }
      } else chunk.release()
    }
  })()
  await withTimeout(receiving, 20_000, 'the end of the stream')
  for (const each of kept) each.release()
  await sending
  assert.equal(bytes, total)
  assert.equal(received.digest('hex'), sent.digest('hex'))
  assert.equal(group.lent, 0)
  assert.equal(ring.stats().inFlight, 0)
  group.close()
})

testKinds('recv: out of buffers it waits for one to come back', async (t, ring) => {
  const [a, b] = socketPair(t)
  const group = ring.bufferGroup({ entries: 2, bufferBytes: 4 })
  const chunks = ring.recvMultishot(b.fd, group)
  writeSync(a.fd, Buffer.from('aaaabbbbcccc'))
  const first = (await chunks.next()).value
  const second = (await chunks.next()).value
  let third = false
  const next = chunks.next().then((result) => {
    third = true
    return result.value
  })
  await ring.timeout(20)
  assert.equal(third, false, 'no buffer, no chunk')
  assert.equal(group.lent, 2)
  assert.throws(() => group.close(), { code: 'ERR_INVALID_STATE', message: /2 chunks/ })
  first.release()
  assert.throws(() => first.bytes, { code: 'ERR_INVALID_STATE' })
  first.release() // twice does nothing
  const chunk = await withTimeout(next, 2000, 'the third chunk')
  assert.equal(second.bytes.toString(), 'bbbb')
  assert.equal(chunk.bytes.toString(), 'cccc')
  second.release()
  chunk.release()
  await chunks.return()
  assert.equal(group.lent, 0)
  group.close()
  group.close()
})

testKinds('recv: return() while out of buffers, chunks nobody took go back', async (t, ring) => {
  const [a, b] = socketPair(t)
  const group = ring.bufferGroup({ entries: 8, bufferBytes: 4 })
  const chunks = ring.recvMultishot(b.fd, group)
  writeSync(a.fd, Buffer.alloc(100))
  await until(() => group.lent === 8, 2000, 'all buffers to be taken')
  const first = (await chunks.next()).value
  await withTimeout(chunks.return(), 2000, 'return')
  assert.equal(group.lent, 1)
  first.release()
  assert.equal(group.lent, 0)
  await turn()
  assert.equal(ring.stats().inFlight, 0, 'a release after the end arms nothing')
  group.close()
})

testKinds('recv: the end of the stream and errors end the iteration', async (t, ring) => {
  const [a, b] = socketPair(t)
  const group = ring.bufferGroup({ entries: 4, bufferBytes: 64 })
  const chunks = ring.recvMultishot(b.fd, group)
  writeSync(a.fd, Buffer.from('last words'))
  a.close()
  const texts: string[] = []
  for await (using chunk of chunks) texts.push(chunk.bytes.toString())
  assert.deepEqual(texts, ['last words'])
  assert.equal(group.lent, 0)
  const { reader } = pipe(t)
  const error = await failure(ring.recvMultishot(reader.fd, group).next())
  assert.deepEqual([error.code, error.syscall], ['ENOTSOCK', 'recv'])
  assert.equal(ring.stats().inFlight, 0)
})

testKinds('closing the file under a multishot request ends it', async (t, ring) => {
  const { listener, port } = await listen(t, ring)
  const connections = ring.acceptMultishot(listener)
  const next = connections.next()
  const second = connections.next()
  next.catch(() => {})
  second.catch(() => {})
  await turn()
  await withTimeout(ring.closeFile(listener), 2000, 'close')
  assert.equal((await failure(next)).code, 'ECANCELED')
  assert.deepEqual(await second, { value: undefined, done: true })
  assert.deepEqual(await connections.next(), { value: undefined, done: true })
  const [error] = (await once(connect(t, port), 'error')) as [NodeJS.ErrnoException]
  assert.equal(error.code, 'ECONNREFUSED')
})

testKinds('poll: every change is reported; POLLHUP is not an error', async (t, ring) => {
  const { reader, writer } = pipe(t)
  const events = ring.pollMultishot(reader.fd, POLLIN)
  for (let i = 0; i < 5; i++) {
    const event = events.next()
    writeSync(writer.fd, Buffer.from('x'))
    assert.deepEqual(await withTimeout(event, 2000, 'an event'), { value: POLLIN, done: false })
    readSync(reader.fd, Buffer.alloc(1))
  }
  const event = events.next()
  writer.close()
  assert.equal((await withTimeout(event, 2000)).value & POLLHUP, POLLHUP)
  await events.return()
  const error = await failure(ring.pollMultishot(999_999, POLLIN).next())
  assert.deepEqual([error.code, error.syscall], ['EBADF', 'poll'])
})

testKinds('timeout: ticks come in their rhythm, break stops them', async (_t, ring) => {
  await oneOf(5, async () => {
    const started = performance.now()
    const ticks: number[] = []
    for await (const tick of ring.timeoutMultishot(10)) {
      ticks.push(tick)
      if (tick === 5) break
    }
    const took = performance.now() - started
    assert.deepEqual(ticks, [1, 2, 3, 4, 5])
    assert.equal(ring.stats().inFlight, 0)
    assert.ok(took >= 48 && took < 500, `five ticks of 10 ms took ${took}`)
  })
  // Nobody takes: after `capacity` ticks it pauses, and goes on when they are taken.
  const slow = ring.timeoutMultishot(1, { capacity: 3 })
  await until(() => ring.stats().inFlight === 0, 2000, 'the pause')
  for (let i = 1; i <= 10; i++) assert.equal((await withTimeout(slow.next(), 1000)).value, i)
  await slow.return()
})

test('abort before, abort while waiting, abort of a paused one', async (t) => {
  oracle(t)
  const ring = openUring(t)
  const { reader } = pipe(t)
  assert.throws(() => ring.pollMultishot(reader.fd, POLLIN, { signal: AbortSignal.abort() }), {
    name: 'AbortError',
  })
  const controller = new AbortController()
  const events = ring.pollMultishot(reader.fd, POLLIN, { signal: controller.signal })
  const waiting = [failure(events.next()), events.next(), events.next()] as const
  await turn()
  controller.abort()
  assert.equal((await withTimeout(waiting[0], 2000)).name, 'AbortError')
  assert.equal((await waiting[1]).done && (await waiting[2]).done, true)
  await events.return()
  assert.equal(ring.stats().inFlight, 0)
  const second = new AbortController()
  const ticks = ring.timeoutMultishot(1, { capacity: 1, signal: second.signal })
  await ring.timeout(20)
  second.abort()
  // Room for one: but what ticked before the request was stopped is kept, too.
  let taken = 0
  const error = await failure(
    (async () => {
      for await (const tick of ticks) assert.equal(tick, ++taken)
    })(),
  )
  assert.equal(error.name, 'AbortError')
  assert.ok(taken >= 1)
  assert.equal((await ticks.next()).done, true)
})

test('return() before anything was submitted, twice, and through `await using`', async (t) => {
  oracle(t)
  const ring = openUring(t)
  const { reader } = pipe(t)
  const events = ring.pollMultishot(reader.fd, POLLIN)
  await Promise.all([events.return(), events.return()])
  await events.return()
  assert.equal(ring.stats().inFlight, 0)
  {
    await using scoped = ring.pollMultishot(reader.fd, POLLIN)
    scoped.next().catch(() => {})
  }
  assert.equal(ring.stats().inFlight, 0)
})

test('ref: false does not hold the process; an iteration that nobody ends does not hold the ring', async (t) => {
  oracle(t)
  const ring = openUring(t)
  const { reader } = pipe(t)
  const events = ring.pollMultishot(reader.fd, POLLIN, { ref: false })
  assert.equal(ring.stats().referenced, 0)
  assert.equal(ring.stats().inFlight, 1)
  const next = failure(events.next())
  await withTimeout(ring.close(), 2000, 'close')
  assert.equal((await next).code, 'ERR_RING_CLOSED')
  assert.ok(existsSync(`/proc/self/fd/${reader.fd}`))
})
