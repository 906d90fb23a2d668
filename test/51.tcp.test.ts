// TcpListener and TcpStream against node:net: bytes, ends, errors, limits, and many connections.
// Flow: this → net/ → runtime → kernel ← node:net.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import net from 'node:net'
import test, { type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { TcpListener, TcpStream, type Uring } from 'ringcore'
import type { InternetAddress } from 'ringcore/sys'
import { countFds, OwnedFd, oracle, withTimeout } from './helpers.js'
import { pair, readAll } from './tcp.js'
import { failure, oneOf, openUring, testKinds, turn } from './uring.js'

/** A listener that the test's end closes. */
function listen(t: TestContext, ring: Uring, host = '127.0.0.1'): TcpListener {
  const listener = TcpListener.bind({ host, port: 0, ring })
  t.after(() => listener.close())
  return listener
}

/** A server of node:net's on a free port. */
async function nodeServer(t: TestContext, onSocket: (socket: net.Socket) => void): Promise<number> {
  const sockets = new Set<net.Socket>()
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    onSocket(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
    await once(server, 'close')
  })
  return (server.address() as net.AddressInfo).port
}

async function connect(t: TestContext, ring: Uring, port: number): Promise<TcpStream> {
  const stream = await TcpStream.connect({ host: '127.0.0.1', port, ring })
  t.after(() => stream.destroy())
  return stream
}

function shape(error: NodeJS.ErrnoException) {
  const { code, errno, syscall, address, port, message } = error as unknown as Record<string, unknown>
  return { code, errno, syscall, address, port, message }
}

testKinds('IPv4 and IPv6: addresses, echo both ways, close', async (t, ring) => {
  for (const host of ['127.0.0.1', '::1', '::', '0.0.0.0']) {
    const listener = listen(t, ring, host)
    const { address, port, family } = listener.address as InternetAddress
    assert.deepEqual([address, family], [host, host.includes(':') ? 'ipv6' : 'ipv4'])
    assert.equal(listener.port, port)
    const target = { '::': '127.0.0.1', '0.0.0.0': '127.0.0.1' }[host] ?? host
    const [server, client] = await withTimeout(
      Promise.all([listener.accept(), TcpStream.connect({ host: target, port, ring })]),
      2000,
    )
    assert.equal((client.remoteAddress as InternetAddress).port, port)
    assert.deepEqual(
      (server.remoteAddress as InternetAddress).port,
      (client.localAddress as InternetAddress).port,
    )
    client.setNoDelay().setKeepAlive()
    assert.equal(await client.write('hello'), 5)
    const buffer = Buffer.alloc(10)
    assert.equal(await server.read(buffer), 5)
    assert.equal(buffer.toString('utf8', 0, 5), 'hello')
    assert.deepEqual([client.bytesWritten, server.bytesRead], [5, 5])
    await client.close()
    assert.equal(await server.read(buffer), 0)
    assert.equal(await server.read(buffer), 0)
    await server.close()
    await listener.close()
    assert.deepEqual([client.fd, server.fd, listener.fd], [-1, -1, -1])
    assert.deepEqual(
      [client.localAddress, client.remoteAddress, listener.address],
      [undefined, undefined, undefined],
    )
  }
})

test("'host:port', and what is no address", async (t) => {
  oracle(t)
  const ring = openUring(t)
  const bind = (where: unknown): TcpListener =>
    typeof where === 'string'
      ? TcpListener.bind(where)
      : TcpListener.bind(where === null ? (null as never) : { ring, ...(where as object) })
  for (const where of ['127.0.0.1:0', '[::1]:0']) {
    const listener = bind(where)
    assert.ok(listener.port > 0)
    assert.match(where, new RegExp((listener.address as InternetAddress).address))
    await listener.close()
  }
  const { defaultRing } = await import('ringcore')
  t.after(() => defaultRing().close())
  for (const [where, code] of [
    ['127.0.0.1', 'ERR_INVALID_ARG_VALUE'],
    ['localhost:80', 'ERR_INVALID_ARG_VALUE'],
    ['::1:80', 'ERR_INVALID_ARG_VALUE'],
    ['', 'ERR_INVALID_ARG_VALUE'],
    ['127.0.0.1:65536', 'ERR_OUT_OF_RANGE'],
    [{ host: 'example' }, 'ERR_INVALID_ARG_VALUE'],
    [{ host: '127.0.0.1', port: -1 }, 'ERR_OUT_OF_RANGE'],
    [{ host: '127.0.0.1', port: 1.5 }, 'ERR_OUT_OF_RANGE'],
    [{ host: '127.0.0.1', backlog: -1 }, 'ERR_OUT_OF_RANGE'],
    [null, 'ERR_INVALID_ARG_TYPE'],
  ] as const) {
    assert.throws(() => bind(where), { code }, JSON.stringify(where))
  }
  assert.throws(() => TcpListener.bind(8080 as never), { code: 'ERR_INVALID_ARG_TYPE' })
  for (const port of [-1, 65536, 1.5, Number.NaN, '80'])
    assert.equal((await failure(TcpStream.connect({ port: port as number, ring }))).code, 'ERR_OUT_OF_RANGE')
  assert.throws(() => TcpStream.fromRawFd(-1, ring), { code: 'ERR_OUT_OF_RANGE' })
  assert.throws(() => TcpListener.fromRawFd(Number.NaN, ring), { code: 'ERR_OUT_OF_RANGE' })
})

test("errors of connect and listen are Node's", async (t) => {
  oracle(t)
  const ring = openUring(t)
  const taken = listen(t, ring)
  const { port } = taken
  const nodesListen = net.createServer().listen(port, '127.0.0.1')
  const [listenError] = (await once(nodesListen, 'error')) as [NodeJS.ErrnoException]
  const ours = await failure((async () => TcpListener.bind({ host: '127.0.0.1', port, ring }))())
  assert.deepEqual(shape(ours), shape(listenError))
  assert.equal(ours.code, 'EADDRINUSE')
  await taken.close()
  for (const host of ['127.0.0.1', '::1']) {
    const socket = net.connect(port, host)
    const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException]
    const refused = await failure(TcpStream.connect({ host, port, ring }))
    assert.deepEqual(shape(refused), shape(error))
    assert.equal(refused.code, 'ECONNREFUSED')
  }
  const name = await failure(TcpStream.connect({ host: 'no-such-host.invalid', port: 1, ring }))
  assert.match(String(name.code), /ENOTFOUND|EAI_AGAIN/)
  const foreign = await failure((async () => TcpListener.bind({ host: '192.0.2.1', ring }))())
  assert.equal(foreign.code, 'EADDRNOTAVAIL')
})

testKinds('the peer sees the end at once, also with a read of ours waiting', async (t, ring) => {
  await oneOf(5, async () => {
    const { stream, socket } = await pair(t, ring)
    const waiting = stream.read(Buffer.alloc(10))
    await turn()
    await turn()
    const ended = once(socket.resume(), 'end')
    const started = performance.now()
    await withTimeout(stream.close(), 1000, 'close')
    await withTimeout(ended, 1000, 'the peer to see the end')
    const took = performance.now() - started
    assert.ok(took < 100, `${took} ms`)
    assert.equal(await waiting, 0)
    await stream.close()
    assert.equal((await failure(stream.write('x'))).code, 'ERR_INVALID_STATE')
    assert.throws(() => stream.setNoDelay(), { code: 'EBADF' })
  })
})

testKinds('a peer that resets: ECONNRESET for readers and writers', async (t, ring) => {
  const { stream, socket } = await pair(t, ring)
  const reading = failure(stream.read(Buffer.alloc(10)))
  await turn()
  socket.resetAndDestroy()
  const error = await withTimeout(reading, 2000, 'the reset')
  assert.deepEqual([error.code, error.syscall, error.message], ['ECONNRESET', 'read', 'read ECONNRESET'])
  assert.equal((await failure(stream.read(Buffer.alloc(1)))).code, 'ECONNRESET')
  const writing = await failure(stream.write('x'))
  assert.match(String(writing.code), /^(EPIPE|ECONNRESET)$/)
  assert.equal(writing.syscall, 'write')
  assert.equal((await failure(stream.write('y'))).code, writing.code)
  assert.equal((await failure(stream.end())).code, writing.code)
  await stream.close()
})

testKinds('half-close: end() sends what is queued, then reading goes on', async (t, ring) => {
  const port = await nodeServer(t, (socket) => {
    const chunks: Buffer[] = []
    socket.on('data', (chunk: Buffer) => chunks.push(chunk))
    socket.on('end', () => socket.end(`got ${Buffer.concat(chunks).length}`))
  })
  const stream = await connect(t, ring, port)
  const writes = Array.from({ length: 50 }, () => stream.write(Buffer.alloc(1000)))
  const ended = stream.end()
  assert.equal((await failure(stream.write('late'))).code, 'ERR_INVALID_STATE')
  await withTimeout(ended, 2000, 'end')
  assert.deepEqual(await Promise.all(writes), Array(50).fill(1000))
  await stream.end()
  assert.equal((await withTimeout(readAll(stream), 2000)).toString(), 'got 50000')
  await stream.close()
})

testKinds(
  'megabytes each way, in pieces of all sizes, in order',
  async (t, ring) => {
    const total = (process.env.RINGCORE_SOAK === '1' ? 200 : 6) * 1024 * 1024
    const theirs = { sent: createHash('sha1'), got: createHash('sha1') }
    const ours = { sent: createHash('sha1'), got: createHash('sha1') }
    const block = (at: number, size: number): Buffer => {
      const bytes = Buffer.allocUnsafe(size)
      bytes.fill(at & 0xff)
      for (let i = 0; i + 4 <= size; i += 512) bytes.writeUInt32LE(at + i, i)
      return bytes
    }
    const sizeOf = (i: number): number => [1, 17, 1000, 4096, 4097, 16_384, 65_536, 100_000][i % 8]!
    let resolveTheirs!: () => void
    const theirsDone = new Promise<void>((resolve) => {
      resolveTheirs = resolve
    })
    const port = await nodeServer(t, (socket) => {
      socket.on('data', (chunk: Buffer) => theirs.got.update(chunk))
      socket.on('end', resolveTheirs)
      let at = 0
      const push = (): void => {
        for (let i = 0; at < total; i++) {
          const bytes = block(at, Math.min(sizeOf(i), total - at))
          theirs.sent.update(bytes)
          at += bytes.length
          if (!socket.write(bytes)) {
            socket.once('drain', push)
            return
          }
        }
        socket.end()
      }
      push()
    })
    const stream = await connect(t, ring, port)
    const sending = (async () => {
      const inFlight: Promise<number>[] = []
      for (let at = 0, i = 0; at < total; i++) {
        const bytes = block(at + 7, Math.min(sizeOf(i), total - at))
        ours.sent.update(bytes)
        at += bytes.length
        inFlight.push(stream.write(bytes))
        if (inFlight.length === 32) await Promise.all(inFlight.splice(0))
      }
      await Promise.all(inFlight)
      await stream.end()
    })()
    let bytes = 0
    const buffer = Buffer.alloc(50_000)
    for (;;) {
      const n = await stream.read(bytes % 3 === 0 ? buffer : buffer.subarray(0, 777))
      if (n === 0) break
      ours.got.update(buffer.subarray(0, n))
      bytes += n
    }
    await withTimeout(Promise.all([sending, theirsDone]), 10_000, 'both directions')
    assert.deepEqual([bytes, stream.bytesRead, stream.bytesWritten], [total, total, total])
    assert.equal(ours.got.digest('hex'), theirs.sent.digest('hex'), 'from the peer')
    assert.equal(theirs.got.digest('hex'), ours.sent.digest('hex'), 'to the peer')
    await stream.close()
  },
  {
    DEFER_TASKRUN: {},
    'without DEFER_TASKRUN': { deferTaskrun: false },
    SQPOLL: { sqpoll: true, sqThreadIdleMs: 20 },
    'waits in epoll': { wait: 'epoll' },
  },
)

testKinds('close with reads and accepts waiting', async (t, ring) => {
  const listener = listen(t, ring)
  const accepts = [failure(listener.accept()), failure(listener.accept())]
  const iterated = (async () => {
    for await (const stream of listener) await stream.close()
    return 'ended'
  })()
  const { stream } = await pair(t, ring)
  const reading = stream.read(Buffer.alloc(1))
  assert.equal(
    (await failure(stream.read(Buffer.alloc(1)))).code,
    'ERR_INVALID_STATE',
    'one reader at a time',
  )
  await turn()
  await withTimeout(Promise.all([listener.close(), listener.close(), stream.close()]), 2000, 'close')
  for (const error of await Promise.all(accepts)) assert.equal(error.syscall, 'accept')
  assert.equal(await withTimeout(iterated, 1000), 'ended')
  assert.equal(await reading, 0)
  assert.equal((await failure(listener.accept())).code, 'EBADF')
})

testKinds('destroy does not wait for a peer that does not read', async (t, ring) => {
  const { stream, socket } = await pair(t, ring)
  socket.pause()
  const writes = Array.from({ length: 20 }, () => stream.write(Buffer.alloc(1_000_000)))
  const outcomes = Promise.allSettled(writes)
  await sleep(20)
  const closing = stream.close()
  const winner = await Promise.race([closing.then(() => 'closed'), sleep(50).then(() => 'waits')])
  assert.equal(winner, 'waits')
  await withTimeout(stream.destroy(), 1000, 'destroy')
  await withTimeout(closing, 1000, 'close')
  const last = (await outcomes).at(-1)!
  assert.equal(last.status, 'rejected')
  assert.equal(ring.stats().inFlight, 0)
})

testKinds('a stream and a listener survive their ring: close still closes', async (t, ring) => {
  const { stream } = await pair(t, ring)
  const listener = TcpListener.bind({ host: '127.0.0.1', ring })
  const [reading, accepting] = [failure(stream.read(Buffer.alloc(1))), failure(listener.accept())]
  await turn()
  await withTimeout(ring.close(), 2000, 'ring.close')
  assert.equal((await reading).code, 'ERR_RING_CLOSED')
  assert.equal((await accepting).code, 'ERR_RING_CLOSED')
  assert.equal((await failure(stream.write('x'))).code, 'ERR_RING_CLOSED')
  await withTimeout(Promise.all([stream.close(), listener.close()]), 1000, 'close')
  assert.deepEqual([stream.fd, listener.fd], [-1, -1])
  const fds = countFds().all
  assert.equal(
    (await failure(TcpStream.connect({ host: '127.0.0.1', port: 1, ring }))).code,
    'ERR_RING_CLOSED',
  )
  assert.equal(countFds().all, fds)
})

testKinds('connect: aborted, out of time, aborted too late', async (t, ring) => {
  // A listener whose backlog is full answers no more: connecting to it waits.
  const full = TcpListener.bind({ host: '127.0.0.1', backlog: 0, ring })
  t.after(() => full.close())
  const fillers: net.Socket[] = []
  t.after(() => {
    for (const filler of fillers) filler.destroy()
  })
  for (let i = 0; i < 3; i++) fillers.push(net.connect(full.port, '127.0.0.1').on('error', () => {}))
  await sleep(20)
  const target = { host: '127.0.0.1', port: full.port, ring }
  const controller = new AbortController()
  const aborted = failure(TcpStream.connect({ ...target, signal: controller.signal }))
  const late = failure(TcpStream.connect({ ...target, timeout: 50 }))
  await sleep(20)
  controller.abort(new Error('why'))
  const abortError = await withTimeout(aborted, 2000, 'abort')
  assert.equal(abortError.name, 'AbortError')
  const lateError = await withTimeout(late, 2000, 'timeout')
  assert.deepEqual(
    [lateError.code, lateError.syscall, lateError.message],
    ['ETIMEDOUT', 'connect', `connect ETIMEDOUT 127.0.0.1:${full.port}`],
  )
  const before = await failure(TcpStream.connect({ ...target, signal: controller.signal }))
  assert.equal(before.name, 'AbortError')
  assert.equal(ring.stats().inFlight, 0)
})

test('sockets from elsewhere, wrong arguments to read and write', async (t) => {
  oracle(t)
  const ring = openUring(t)
  const { stream, socket } = await pair(t, ring)
  for (const wrong of [undefined, null, 5, {}, new Uint16Array(4), new DataView(new ArrayBuffer(4))]) {
    assert.equal((await failure(stream.read(wrong as never))).code, 'ERR_INVALID_ARG_TYPE')
    assert.equal((await failure(stream.write(wrong as never))).code, 'ERR_INVALID_ARG_TYPE')
  }
  const resizable = new Uint8Array(
    new (ArrayBuffer as unknown as new (n: number, o: object) => ArrayBuffer)(10, { maxByteLength: 20 }),
  )
  assert.equal((await failure(stream.write(resizable))).code, 'ERR_BUFFER_RESIZABLE')
  assert.equal(await stream.write(''), 0)
  assert.equal(await stream.write('ünï'), 5)
  const [data] = (await once(socket, 'data')) as [Buffer]
  assert.equal(data.toString(), 'ünï')
  // A reader whose buffer was transferred meanwhile is told; the bytes are kept for the next.
  const buffer = new Uint8Array(10)
  const reading = failure(stream.read(buffer))
  structuredClone(buffer, { transfer: [buffer.buffer] })
  socket.write('kept')
  assert.equal((await withTimeout(reading, 2000)).code, 'ERR_BUFFER_DETACHED')
  const next = Buffer.alloc(10)
  assert.equal(await withTimeout(stream.read(next), 2000), 4)
  assert.equal(next.toString('utf8', 0, 4), 'kept')
  // A listening socket of Node's, taken over.
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const handle = (server as unknown as { _handle: { fd: number } })._handle
  const { driver } = ring.ring
  const dup = { x64: 32, arm64: 23 }[process.arch as 'x64' | 'arm64']
  const listener = TcpListener.fromRawFd(driver.syscall(dup, handle.fd), ring)
  const { port } = listener
  server.close()
  const client = net.connect(port, '127.0.0.1').on('error', () => {})
  const accepted = await withTimeout(listener.accept(), 2000)
  client.end('from raw')
  const raw = new OwnedFd(t, driver.syscall(dup, accepted.fd))
  const own = TcpStream.fromRawFd(raw.release(), ring)
  assert.equal((await readAll(own)).toString(), 'from raw')
  await Promise.all([own.close(), accepted.close(), listener.close()])
  await once(client, 'close')
})
