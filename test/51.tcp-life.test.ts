// A connection's life: half-close, reset, idle timeouts, names and their addresses, options, a thousand
// at once.
// Flow: this → net/ → runtime → kernel ← node:net.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { TcpListener, TcpStream } from 'ringcore'
import { type InternetAddress, IPPROTO_TCP, SO_RCVBUF, SOL_SOCKET, TCP_INFO } from 'ringcore/sys'
import { syscallNumber } from '#src/sys/syscalls.js'
import { oracle, until, withTimeout } from './helpers.js'
import { pair } from './tcp.js'
import { failure, KINDS, openUring, testKinds, turn } from './uring.js'

const SOME = {
  DEFER_TASKRUN: KINDS.DEFER_TASKRUN!,
  SQPOLL: KINDS.SQPOLL!,
  'waits in epoll': KINDS['waits in epoll']!,
}

testKinds(
  'allowHalfOpen false: when the peer ends, what is queued is sent and the stream closes',
  async (t, ring) => {
    const { stream, socket } = await pair(t, ring, { allowHalfOpen: false })
    let received = 0
    socket.on('data', (chunk: Buffer) => {
      received += chunk.length
    })
    stream.receive(
      () => {
        for (let i = 0; i < 20; i++) stream.send(Buffer.alloc(30_000, i))
      },
      () => {},
    )
    socket.end('go')
    await withTimeout(once(socket, 'end'), 3000, 'our end')
    assert.equal(received, 600_000)
    await until(() => stream.fd === -1, 2000, 'the close')
  },
  SOME,
)

testKinds(
  'reset: the peer gets ECONNRESET, writes of ours reject',
  async (t, ring) => {
    const { stream, socket } = await pair(t, ring)
    const reset = new Promise<NodeJS.ErrnoException>((resolve) => socket.on('error', resolve))
    socket.resume()
    await withTimeout(stream.reset(), 2000, 'reset')
    assert.equal((await withTimeout(reset, 2000, 'the peer to hear of it')).code, 'ECONNRESET')
    await stream.reset()
    // With a write under way, and a peer of ours: node:net takes a reset behind unread bytes for an end.
    const listener = TcpListener.bind({ host: '127.0.0.1', ring })
    const [own, peer] = await Promise.all([
      listener.accept(),
      TcpStream.connect({ host: '127.0.0.1', port: listener.port, ring }),
    ])
    const writing = failure(own.write(Buffer.alloc(20_000_000)))
    await turn()
    await withTimeout(own.reset(), 2000, 'reset')
    assert.equal((await writing).syscall, 'write')
    const buffer = Buffer.alloc(65_536)
    // Who reads while it closes gets the end, not an error.
    const { stream: closing } = await pair(t, ring)
    const resetting = closing.reset()
    assert.equal(closing.fd, -1)
    assert.equal(await withTimeout(closing.read(buffer), 2000, 'the end'), 0)
    await resetting
    const reading = async (): Promise<void> => {
      while ((await peer.read(buffer)) > 0);
    }
    assert.equal((await withTimeout(failure(reading()), 2000, 'the reset')).code, 'ECONNRESET')
    await Promise.all([peer.close(), listener.close()])
  },
  SOME,
)

test('idle timeouts: silence ends the stream with ETIMEDOUT, traffic does not; a callback decides otherwise', async (t) => {
  oracle(t)
  const ring = openUring(t)
  const [silent, busy, asked] = await Promise.all([pair(t, ring), pair(t, ring), pair(t, ring)])
  let asks = 0
  asked.stream.setTimeout(40, () => asks++)
  busy.stream.setTimeout(400)
  const started = performance.now()
  silent.stream.setTimeout(60)
  const reading = failure(silent.stream.read(Buffer.alloc(1)))
  const error = await withTimeout(reading, 3000, 'the timeout')
  assert.deepEqual([error.code, error.syscall], ['ETIMEDOUT', 'read'])
  assert.ok(performance.now() - started >= 59, 'not too early')
  assert.equal((await failure(silent.stream.write('x'))).code, 'ETIMEDOUT')
  await until(() => silent.stream.fd === -1, 2000, 'the stream to close')
  const buffer = Buffer.alloc(1)
  while (performance.now() - started < 900) {
    busy.socket.write('x')
    assert.equal(await busy.stream.read(buffer), 1)
    await sleep(20)
  }
  await until(() => asks >= 2, 2000, 'the callback, again and again')
  asked.stream.setTimeout(0)
  busy.stream.setTimeout(0)
  for (const wrong of [-1, Number.NaN, 2 ** 31])
    assert.throws(() => busy.stream.setTimeout(wrong), { code: 'ERR_OUT_OF_RANGE' })
  assert.throws(() => busy.stream.setTimeout('1' as never), { code: 'ERR_INVALID_ARG_TYPE' })
  await busy.stream.close()
  busy.stream.setTimeout(10)
})

/** A resolver that knows these addresses for every name. */
const lookup = (...addresses: string[]) =>
  ((
    _name: string,
    _options: unknown,
    callback: (error: null, all: { address: string; family: number }[]) => void,
  ) =>
    callback(
      null,
      addresses.map((address) => ({ address, family: net.isIP(address) })),
    )) as never

test('a name with several addresses: the first one that answers is taken, none leaves a descriptor', async (t) => {
  oracle(t)
  const ring = openUring(t)
  const listener = TcpListener.bind({ host: '127.0.0.1', ring })
  t.after(() => listener.close())
  const { port } = listener
  const connect = (...addresses: string[]): Promise<TcpStream> =>
    TcpStream.connect({ host: 'test.invalid', port, ring, attemptDelay: 20, lookup: lookup(...addresses) })
  // ::1 refuses (nobody listens there), 127.0.0.1 answers.
  const stream = await withTimeout(connect('::1', '127.0.0.1'), 2000)
  assert.equal((stream.remoteAddress as InternetAddress).address, '127.0.0.1')
  await stream.close()
  const error = await failure(connect('::1', '127.0.0.3', '127.0.0.4'))
  assert.deepEqual([error.code, (error as unknown as AggregateError).errors.length], ['ECONNREFUSED', 3])
  assert.equal((await failure(connect('127.0.0.3'))).message, `connect ECONNREFUSED 127.0.0.3:${port}`)
  const failing = TcpStream.connect({
    host: 'test.invalid',
    port,
    ring,
    lookup: ((_: string, __: unknown, callback: (error: Error) => void) =>
      callback(Object.assign(new Error('no'), { code: 'ENOTFOUND' }))) as never,
  })
  assert.equal((await failure(failing)).code, 'ENOTFOUND')
})

test('an address that stays silent: the next one starts beside it, and wins; an abort ends all', async (t) => {
  oracle(t)
  const ring = openUring(t)
  // A full backlog answers nothing.
  const full = TcpListener.bind({ host: '127.0.0.2', port: 0, backlog: 0, ring })
  t.after(() => full.close())
  const fillers: net.Socket[] = []
  t.after(() => {
    for (const filler of fillers) filler.destroy()
  })
  for (let i = 0; i < 3; i++) fillers.push(net.connect(full.port, '127.0.0.2').on('error', () => {}))
  await sleep(20)
  const other = TcpListener.bind({ host: '127.0.0.5', port: full.port, ring })
  t.after(() => other.close())
  const both = { host: 'x.invalid', port: full.port, ring, attemptDelay: 20 }
  const won = await withTimeout(
    TcpStream.connect({ ...both, lookup: lookup('127.0.0.2', '127.0.0.5') }),
    2000,
    'the second address',
  )
  assert.equal((won.remoteAddress as InternetAddress).address, '127.0.0.5')
  await won.close()
  const controller = new AbortController()
  const silent = failure(
    TcpStream.connect({ ...both, lookup: lookup('127.0.0.2', '127.0.0.2'), signal: controller.signal }),
  )
  await sleep(30)
  controller.abort()
  assert.equal((await withTimeout(silent, 2000, 'the abort')).name, 'AbortError')
})

test('options: no delay, keep-alive, local address, counters of a listener', async (t) => {
  oracle(t)
  const ring = openUring(t)
  const listener = TcpListener.bind({ host: '127.0.0.1', ring, noDelay: true, keepAlive: 30_000 })
  t.after(() => listener.close())
  const [stream, client] = await Promise.all([
    listener.accept(),
    TcpStream.connect({
      host: '127.0.0.1',
      port: listener.port,
      localAddress: '127.0.0.9',
      keepAlive: true,
      ring,
    }),
  ])
  t.after(() => client.destroy())
  assert.deepEqual([stream.noDelay, stream.keepAlive], [true, true], 'inherited from the listener')
  assert.equal(stream.getOption(6, 4), 30, 'TCP_KEEPIDLE')
  assert.deepEqual([client.noDelay, client.keepAlive], [false, true])
  assert.equal((stream.remoteAddress as InternetAddress).address, '127.0.0.9')
  client.setNoDelay().setKeepAlive(true, 5999)
  assert.deepEqual([client.noDelay, client.getOption(6, 4)], [true, 5])
  client.setNoDelay(false).setKeepAlive(false)
  assert.deepEqual([client.noDelay, client.keepAlive], [false, false])
  assert.ok(client.setOption(SOL_SOCKET, SO_RCVBUF, 10_000).getOption(SOL_SOCKET, SO_RCVBUF) >= 10_000)
  assert.equal(listener.connections, 1)
  await stream.close()
  assert.equal(listener.connections, 0)
  assert.throws(() => stream.noDelay, { code: 'EBADF' })
  assert.throws(() => client.getOption(1.5, 1), { code: 'ERR_OUT_OF_RANGE' })
  const controller = new AbortController()
  const accepting = failure(listener.accept({ signal: controller.signal }))
  controller.abort()
  assert.equal((await withTimeout(accepting, 2000)).name, 'AbortError')
  assert.throws(() => TcpListener.bind({ host: '127.0.0.1', zeroCopyFrom: 4096, ring }), {
    code: 'ERR_OUT_OF_RANGE',
  })
  const sixOnly = TcpListener.bind({ host: '::', ipv6Only: true, ring })
  const four = failure(TcpStream.connect({ host: '127.0.0.1', port: sixOnly.port, ring }))
  assert.equal((await four).code, 'ECONNREFUSED')
  await sixOnly.close()
  const shared = [1, 2].map(() => TcpListener.bind({ host: '127.0.0.1', port: 0, reusePort: true, ring }))
  const again = TcpListener.bind({ host: '127.0.0.1', port: shared[0]!.port, reusePort: true, ring })
  await Promise.all([...shared, again].map((one) => one.close()))
})

test('serve: stop and go on, one taker at a time, errors of the callback', async (t) => {
  oracle(t)
  const ring = openUring(t)
  const listener = TcpListener.bind({ host: '127.0.0.1', ring })
  const served: TcpStream[] = []
  const ends: (Error | null)[] = []
  const stop = listener.serve(
    (stream) => void served.push(stream),
    (error) => ends.push(error),
  )
  await assert.rejects(listener.accept(), { code: 'ERR_INVALID_STATE' })
  assert.throws(() => listener.serve(() => {}), { code: 'ERR_INVALID_STATE' })
  assert.throws(() => listener.serve(5 as never), { code: 'ERR_INVALID_ARG_TYPE' })
  const clients = [await TcpStream.connect({ host: '127.0.0.1', port: listener.port, ring })]
  await until(() => served.length === 1, 2000, 'the first')
  stop()
  const accepting = listener.accept()
  clients.push(await TcpStream.connect({ host: '127.0.0.1', port: listener.port, ring }))
  served.push(await withTimeout(accepting, 2000))
  clients.push(await TcpStream.connect({ host: '127.0.0.1', port: listener.port, ring }))
  await turn()
  listener.serve(
    (stream) => void served.push(stream),
    (error) => ends.push(error),
  )
  await until(() => served.length === 3, 2000, 'one that waited')
  await Promise.all([...served, ...clients].map((stream) => stream.close()))
  await listener.close()
  assert.deepEqual(ends, [null])
})

/** How often the kernel sent something again on a connection (struct tcp_info, tcpi_total_retrans). */
function retransmissions(stream: TcpStream): number {
  const { driver } = stream.ring.ring
  const info = new Int32Array(64)
  const length = Int32Array.of(info.byteLength)
  const [address, lengthAddress] = [driver.addressOf(info), driver.addressOf(length)]
  const res = driver.syscall(
    syscallNumber('getsockopt'),
    stream.fd,
    IPPROTO_TCP,
    TCP_INFO,
    address,
    lengthAddress,
  )
  assert.equal(res, 0)
  return info[25]!
}

test('a thousand connections at once: none waits for a retransmission', async (t) => {
  oracle(t)
  const ring = openUring(t)
  const listener = TcpListener.bind({ host: '127.0.0.1', ring })
  t.after(() => listener.close())
  listener.serve((stream) => {
    stream.receive(
      () => stream.send('pong'),
      () => void stream.close(),
    )
  })
  const again = await Promise.all(
    Array.from({ length: 1000 }, async () => {
      await using client = await TcpStream.connect({ host: '127.0.0.1', port: listener.port, ring })
      const again = retransmissions(client)
      await client.write('ping')
      assert.equal(await client.read(Buffer.alloc(4)), 4)
      return again
    }),
  )
  // A SYN that finds no room in the backlog is sent again after a second.
  assert.deepEqual(new Set(again), new Set([0]))
})
