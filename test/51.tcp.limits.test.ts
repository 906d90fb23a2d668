// What TCP streams do under pressure: peers that send too much, very many connections, no descriptors left.
// Flow: this → net/ → runtime → kernel ← node:net.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import test, { type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { TcpListener, TcpStream, type Uring } from 'ringcore'
import { oracle, requires, runNode, withTimeout } from './helpers.js'
import { pair, readAll } from './tcp.js'
import { compileTool } from './tools.js'
import { testKinds } from './uring.js'

testKinds(
  'a reader that sleeps makes the sender stall: memory is bounded',
  async (t, ring) => {
    const { stream, socket } = await pair(t, ring)
    const before = process.memoryUsage()
    const total = 32 * 1024 * 1024
    const chunk = Buffer.alloc(1024 * 1024, 7)
    let sent = 0
    const sending = (async () => {
      for (; sent < total; sent += chunk.length) if (!socket.write(chunk)) await once(socket, 'drain')
      socket.end()
    })()
    // One byte is read, so that receiving has begun; then the reader sleeps.
    assert.equal(await stream.read(Buffer.alloc(1)), 1)
    let last = -1
    while (last !== sent) {
      last = sent
      await sleep(100)
    }
    assert.ok(sent < 20 * 1024 * 1024, `${sent >> 20} MiB went into a sleeping reader`)
    assert.ok(stream.bytesRead < 6 * 1024 * 1024, `${stream.bytesRead} bytes taken ahead`)
    const { arrayBuffers, external } = process.memoryUsage()
    assert.ok(arrayBuffers + external - before.arrayBuffers - before.external < 40 * 1024 * 1024)
    const buffer = Buffer.alloc(65_536)
    let bytes = 1
    for (let n = 1; n > 0; bytes += n) n = await withTimeout(stream.read(buffer), 2000, `byte ${bytes}`)
    await sending
    assert.equal(bytes, total)
    await stream.close()
  },
  { DEFER_TASKRUN: {}, 'waits in epoll': { wait: 'epoll' } },
)

const atOnce =
  (many: number) =>
  async (t: TestContext, ring: Uring): Promise<void> => {
    const listener = TcpListener.bind({ host: '127.0.0.1', port: 0, backlog: 1024, ring })
    const serving = (async () => {
      const all: Promise<void>[] = []
      for await (const stream of listener) {
        all.push(
          (async () => {
            await using own = stream
            await own.write(await readAll(own))
          })(),
        )
      }
      await Promise.all(all)
      return all.length
    })()
    const clients = Array.from({ length: many }, async (_, i) => {
      await using stream = await TcpStream.connect({ host: '127.0.0.1', port: listener.port, ring })
      await stream.write(`client ${i}`)
      await stream.end()
      assert.equal((await readAll(stream)).toString(), `client ${i}`)
    })
    await withTimeout(Promise.all(clients), 15_000, `${many} echoes`)
    await listener.close()
    assert.equal(await serving, many)
    t.diagnostic(`${ring.stats().enters} enters`)
  }

// A thousand once; the other kinds of rings take the same ways with fewer.
testKinds('a thousand connections at once', atOnce(1000), { DEFER_TASKRUN: {} })
testKinds('hundreds of connections at once', atOnce(process.env.RINGCORE_SOAK === '1' ? 1000 : 300), {
  SQPOLL: { sqpoll: true, sqThreadIdleMs: 20 },
  'waits in epoll': { wait: 'epoll' },
})

test('out of descriptors: accept says EMFILE, serve and for await go on by themselves when some are free', async (t) => {
  oracle(t)
  const tool = compileTool('limit-run')
  if (!requires(t, { tool: typeof tool === 'string' ? {} : tool })) return
  const { code, stdout, stderr } = await runNode(
    `
    import net from 'node:net'
    import { closeSync, openSync } from 'node:fs'
    import { setTimeout as sleep } from 'node:timers/promises'
    import { TcpListener, Uring } from 'ringcore'
    const ring = new Uring({ fixedFiles: 0 })
    const accept = (listener) => listener.accept().then(() => 'accepted', (error) => error.message)
    const fds = []
    const fill = () => { try { for (;;) fds.push(openSync('/dev/null')) } catch {} }
    let count = 0
    const served = (stream) => { count++; stream.receive((b, n) => stream.send(b.subarray(0, n)), () => stream.close()) }

    // Connections wait in the backlog, nothing is free; then ten are.
    const scene = async (clients, full, free) => {
      const listener = TcpListener.bind({ host: '127.0.0.1', ring })
      const sockets = Array.from({ length: clients }, () => net.connect(listener.port, '127.0.0.1'))
      await Promise.all(sockets.map((socket) => new Promise((resolve) => socket.on('connect', resolve))))
      fill()
      await full(listener)
      for (const fd of fds.splice(0, 10)) closeSync(fd)
      await free(listener)
      const answers = sockets.map((socket) => new Promise((resolve) => socket.once('data', (d) => resolve(String(d)))))
      for (const socket of sockets) socket.write('still works')
      console.log((await Promise.all(answers)).join())
      const closed = sockets.map((socket) => new Promise((resolve) => socket.on('close', resolve)))
      for (const socket of sockets) socket.end()
      await Promise.all(closed)
    }
    await scene(
      1,
      async (listener) => console.log(await accept(listener), await accept(listener)),
      async (listener) => served(await listener.accept()),
    )
    for (const begin of [
      (listener) => listener.serve(served),
      async (listener) => { for await (const stream of listener) served(stream) },
    ]) {
      count = 0
      const full = async (listener) => {
        begin(listener)
        await sleep(100)
        console.log(count)
      }
      await scene(5, full, () => {})
    }
    process.exit(0)
  `,
    // More than the loader of modules has open at once: older versions of Node read them side by side.
    { wrap: [tool as string, 'nofile=1024'] },
  )
  assert.equal(stderr, '')
  const five = Array(5).fill('still works').join()
  assert.deepEqual(stdout.split('\n').slice(0, -1), [
    'accept EMFILE accept EMFILE',
    'still works',
    '0',
    five,
    '0',
    five,
  ])
  assert.equal(code, 0)
})
