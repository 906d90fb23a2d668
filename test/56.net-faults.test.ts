// What goes wrong with sockets: resets, floods, no descriptors left, closing at every moment, no ring at all.
// Flow: this → ringcore/net; children under a limit of descriptors and under seccomp.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import nodeNet, { type AddressInfo } from 'node:net'
import test, { type TestContext } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { defaultRing, TcpListener } from 'ringcore'
import net from 'ringcore/net'
import { oracle, requires, runNode, until, withTimeout } from './helpers.js'
import { closeDefaultRing } from './net-ring.js'
import { Random } from './net-scenarios.js'
import { compileTool } from './tools.js'

type Net = typeof nodeNet
const portOf = (server: nodeNet.Server): number => (server.address() as AddressInfo).port

async function listening(t: TestContext, server: nodeNet.Server, port = 0): Promise<number> {
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  t.after(async () => {
    if (server.listening) server.close()
  })
  return portOf(server)
}

function told(error: unknown): unknown[] {
  if (!error) return ['no error']
  const { name, code, errno, syscall, message } = error as NodeJS.ErrnoException
  return [name, code, errno, syscall, message]
}

/** The conversations whose errors must be Node's. */
const FAULTS: Readonly<Record<string, (net: Net, port: number, log: unknown[]) => Promise<void>>> = {
  'a peer resets while data is under way': async (net, port, log) => {
    const socket = net.connect(port, '127.0.0.1').on('error', (error) => log.push(told(error)))
    socket.on('close', (hadError) => log.push(hadError))
    socket.write('reset')
    await once(socket.resume(), 'close').catch(() => until(() => socket.closed, 5000, 'close'))
    log.push(socket.destroyed, socket.readyState)
  },
  'a write behind the own end': async (net, port, log) => {
    const socket = net.connect(port, '127.0.0.1').on('error', (error) => log.push(told(error)))
    socket.end('a')
    socket.write('b', (error) => log.push(told(error)))
    await until(() => socket.closed, 5000, 'close')
  },
  'a write behind the peer’s end': async (net, port, log) => {
    const socket = net.connect(port, '127.0.0.1').on('error', (error) => log.push(told(error)))
    socket.on('end', () => socket.write('late', (error) => log.push(told(error))))
    socket.on('close', (hadError) => log.push(hadError))
    socket.write('end')
    socket.resume()
    await until(() => socket.closed, 5000, 'close')
  },
  'a write behind both ends': async (net, port, log) => {
    const socket = net.connect(port, '127.0.0.1').on('error', (error) => log.push(told(error)))
    socket.on('prefinish', () => log.push(socket.write('late', (error) => log.push(told(error)))))
    socket.on('close', (hadError) => log.push(hadError))
    socket.write('end')
    socket.resume()
    await until(() => socket.closed, 5000, 'close')
  },
  'a write to a destroyed socket': async (net, port, log) => {
    const socket = net.connect(port, '127.0.0.1').on('error', (error) => log.push(told(error)))
    await once(socket, 'connect')
    socket.destroy()
    socket.write('x', (error) => log.push(told(error)))
    await until(() => socket.closed, 5000, 'close')
  },
  'a socket is destroyed before it connects': async (net, port, log) => {
    const socket = net.connect(port, '127.0.0.1')
    for (const name of ['connect', 'error', 'close'])
      socket.on(name, (value: unknown) => log.push(name, value))
    socket.write('x', (error) => log.push(told(error)))
    socket.destroy()
    await until(() => socket.closed, 5000, 'close')
    await turn()
  },
  'a reset of a socket that is no more': async (net, port, log) => {
    const socket = net.connect(port, '127.0.0.1').on('error', (error) => log.push(told(error)))
    await once(socket, 'connect')
    socket.destroy()
    await until(() => socket.closed, 5000, 'close')
    log.push(socket.resetAndDestroy() === socket)
    const unborn = new net.Socket().on('error', (error) => log.push(told(error)))
    unborn.resetAndDestroy()
    await until(() => unborn.closed && log.length > 1, 5000, 'the error')
  },
}

test('faults are told as Node tells them', async (t) => {
  oracle(t)
  closeDefaultRing(t)
  const serve = (socket: nodeNet.Socket): void => {
    socket.on('error', () => {})
    socket.on('data', (bytes) => {
      if (String(bytes) === 'reset') socket.resetAndDestroy()
      if (String(bytes) === 'end') socket.end()
    })
  }
  for (const [name, body] of Object.entries(FAULTS)) {
    const logs: unknown[][] = []
    for (const implementation of [nodeNet, net]) {
      const server = implementation.createServer(serve)
      const port = await listening(t, server)
      const log: unknown[] = []
      await withTimeout(body(implementation, port, log), 10_000, name)
      logs.push(log)
      server.close()
      await once(server, 'close')
    }
    assert.ok(logs[0]!.length > 0, name)
    assert.deepEqual(logs[1], logs[0], name)
  }
})

test('sockets end at every moment, and nothing is left', async (t) => {
  oracle(t)
  closeDefaultRing(t)
  const random = new Random(7)
  const ends = ['end', 'destroy', 'destroySoon', 'resetAndDestroy'] as const
  const server = net.createServer((socket) => {
    socket.on('error', () => {})
    // Unpiped by its own end, nobody would read the rest of it, and so nobody would see it closed.
    socket.on('unpipe', () => socket.resume())
    socket.pipe(socket)
    if (random.below(3) === 0) soon(() => socket[random.pick(ends)]())
  })
  const port = await listening(t, server)
  const soon = async (act: () => unknown): Promise<void> => {
    for (let turns = random.below(6); turns > 0; turns--) await turn()
    act()
  }
  for (let round = 0; round < 12; round++) {
    const sockets = Array.from({ length: 20 }, () => {
      const socket = net
        .connect(port, '127.0.0.1')
        .on('error', () => {})
        .resume()
      if (random.below(4) > 0) socket.write('x'.repeat(random.pick([1, 5000, 100_000])))
      soon(() => socket[random.pick(ends)]())
      return socket
    })
    await until(() => sockets.every(({ closed }) => closed), 20_000, 'all to be closed')
  }
  server.close()
  await once(server, 'close')
  await new Promise<void>((resolve, reject) => {
    server.getConnections((error, count) =>
      error || count !== 0 ? reject(error ?? new Error(`${count} left`)) : resolve(),
    )
  })
})

test('a thousand connections that arrive at once are all served', async (t) => {
  oracle(t)
  closeDefaultRing(t)
  const server = net.createServer((socket) => socket.on('error', () => {}).pipe(socket))
  const port = await listening(t, server)
  const sockets = Array.from({ length: 1000 }, () => net.connect(port, '127.0.0.1'))
  const answers = sockets.map(async (socket, i) => {
    socket.end(`hello ${i}`)
    const [bytes] = (await once(socket, 'data')) as [Buffer]
    if (!socket.closed) await once(socket, 'close')
    return String(bytes)
  })
  assert.deepEqual(
    await withTimeout(Promise.all(answers), 30_000, 'all answers'),
    sockets.map((_, i) => `hello ${i}`),
  )
  server.close()
  await once(server, 'close')
})

test('a peer that stops reading holds the writer back, and gets every byte in the end', async (t) => {
  oracle(t)
  closeDefaultRing(t)
  const chunk = Buffer.alloc(70_000)
  for (const [i] of chunk.entries()) chunk[i] = i % 251
  const sent = createHash('sha1')
  let most = 0
  let drains = 0
  const server = net.createServer(async (socket) => {
    for (let i = 0; i < 300; i++) {
      sent.update(chunk)
      if (!socket.write(chunk)) {
        most = Math.max(most, socket.writableLength)
        await once(socket, 'drain')
        drains++
      }
    }
    socket.end()
  })
  const port = await listening(t, server)
  const socket = net.connect(port, '127.0.0.1')
  const received = createHash('sha1')
  let bytes = 0
  socket.on('data', (data: Buffer) => {
    received.update(data)
    bytes += data.length
    if (bytes % 7 !== 0) return
    socket.pause()
    setTimeout(() => socket.resume(), 1)
  })
  await once(socket, 'close')
  assert.equal(bytes, 21_000_000)
  assert.equal(received.digest('hex'), sent.digest('hex'))
  assert.ok(drains > 0, `${drains} drains`)
  assert.ok(most <= 140_000, `${most} bytes waited at most`)
  server.close()
  await once(server, 'close')
})

test('one byte at a time, in order', async (t) => {
  oracle(t)
  closeDefaultRing(t)
  const server = net.createServer({ noDelay: true }, (socket) => socket.pipe(socket))
  const port = await listening(t, server)
  const socket = net.connect({ port, host: '127.0.0.1', noDelay: true }).setEncoding('latin1')
  let got = ''
  socket.on('data', (text) => {
    got += text
  })
  let expected = ''
  for (let i = 0; i < 500; i++) {
    const byte = String.fromCharCode(33 + (i % 90))
    expected += byte
    socket.write(byte)
    if (i % 3 === 0) await turn()
  }
  socket.end()
  await once(socket, 'close')
  assert.equal(got, expected)
  server.close()
  await once(server, 'close')
})

test('an address that does not answer is left for the next', async (t) => {
  oracle(t)
  closeDefaultRing(t)
  const server = net.createServer((socket) => socket.end('hi'))
  const port = await listening(t, server)
  // A full backlog answers nothing.
  const full = TcpListener.bind({ host: '127.0.0.2', port, backlog: 0 })
  t.after(() => full.close())
  const waiting = nodeNet.connect(port, '127.0.0.2')
  t.after(() => waiting.destroy())
  await once(waiting, 'connect')
  const addresses = ['127.0.0.2', '127.0.0.1'].map((address) => ({ address, family: 4 }))
  const logs: unknown[][] = []
  for (const { connect } of [nodeNet, net]) {
    const log: unknown[] = []
    const socket = connect({
      port,
      host: 'two',
      lookup: (_host, _options, done) => setImmediate(done, null, addresses),
      autoSelectFamily: true,
      autoSelectFamilyAttemptTimeout: 20,
    })
    for (const name of [
      'connectionAttempt',
      'connectionAttemptFailed',
      'connectionAttemptTimeout',
      'connect',
    ])
      socket.on(name, (...values: unknown[]) => log.push([name, ...values]))
    await withTimeout(once(socket.resume(), 'close'), 5000, 'the second address')
    logs.push([...log, socket.autoSelectFamilyAttemptedAddresses, socket.bytesRead])
  }
  const names = logs[0]!.map((entry) => (Array.isArray(entry) ? entry[0] : entry))
  assert.deepEqual(names.slice(0, 3), ['connectionAttempt', 'connectionAttemptTimeout', 'connectionAttempt'])
  assert.deepEqual(logs[1], logs[0])
  server.close()
  await once(server, 'close')
})

test('a socket that nobody reads from holds no process open', async (t) => {
  oracle(t)
  closeDefaultRing(t)
  // More than it keeps for its reader, and too little to make it take its request back.
  const server = net.createServer((socket) => socket.on('error', () => {}).write(Buffer.alloc(80_000)))
  const port = await listening(t, server)
  const { code, stdout, stderr } = await runNode(
    `
    import net from 'ringcore/net'
    const socket = net.connect(${port}, '127.0.0.1', () => console.log('connected'))
    process.on('exit', () => console.log('full', socket.readableLength >= socket.readableHighWaterMark))
  `,
    { timeoutMs: 10_000 },
  )
  assert.deepEqual([stdout, stderr, code], ['connected\nfull true\n', '', 0])
  server.close()
  await once(server, 'close')
})

test('a port can be listened on again as soon as its server is closed', async (t) => {
  oracle(t)
  closeDefaultRing(t)
  let port = 0
  for (let i = 0; i < 30; i++) {
    const server = net.createServer()
    port = await listening(t, server, port)
    server.close()
  }
})

test('a ring that is closed ends its sockets with an error', async (t) => {
  oracle(t)
  const server = net.createServer((socket) => socket.on('error', () => {}).resume())
  const port = await listening(t, server)
  const socket = net.connect(port, '127.0.0.1')
  await once(socket, 'connect')
  const failed = once(socket, 'error')
  server.on('error', () => {})
  await defaultRing().close()
  const [error] = (await failed) as [NodeJS.ErrnoException]
  assert.equal(error.code, 'ECANCELED')
  await until(() => socket.closed, 5000, 'close')
  server.close()
  await once(server, 'close')
})

test('a server without descriptors turns connections away, and serves again when there are some', async (t) => {
  oracle(t)
  if (!requires(t, { program: 'sh' })) return
  const { stdout, stderr } = await runNode(
    `
    import net from 'ringcore/net'
    import nodeNet from 'node:net'
    import { once } from 'node:events'
    import { openSync, closeSync } from 'node:fs'
    const held = new Set()
    const server = net.createServer((s) => { held.add(s); s.on('error', () => {}); s.resume(); s.on('close', () => held.delete(s)) })
    server.on('error', (e) => console.log('server', e.code))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address()
    const first = nodeNet.connect(port, '127.0.0.1')
    await once(server, 'connection')
    const waiting = nodeNet.connect(port, '127.0.0.1')
    // It makes its socket in the next tick; the ring accepts in the next turn.
    await new Promise((resolve) => process.nextTick(resolve))
    const fds = []
    try { for (;;) fds.push(openSync('/dev/null')) } catch (e) { console.log(e.code) }
    waiting.on('error', () => {})
    await once(waiting.resume(), 'close')
    console.log('turned away', held.size)
    for (const fd of fds) closeSync(fd)
    await new Promise((r) => setTimeout(r, 100))
    const again = nodeNet.connect(port, '127.0.0.1')
    await once(server, 'connection')
    console.log('served', held.size, server.listening)
    process.exit()`,
    // More than the loader of modules has open at once: older versions of Node read them side by side.
    { wrap: ['sh', '-c', 'ulimit -n 1024; exec "$@"', 'sh'] },
  )
  assert.equal(stdout, 'EMFILE\nturned away 1\nserved 2 true\n', stderr)
})

test('where no ring can be made, it is node:net', async (t) => {
  oracle(t)
  const tool = compileTool('seccomp-run')
  if (typeof tool !== 'string') {
    t.skip(tool.skip)
    return
  }
  const script = `
    import nodeNet from 'node:net'
    import http from 'node:http'
    import net, { backend, Socket, createServer, onRing, TcpStream } from 'ringcore/net'
    import { once } from 'node:events'
    const web = http.createServer()
    console.log(backend, net.backend, Socket === nodeNet.Socket, net.createServer === nodeNet.createServer, onRing(web) === web && web.listen === http.Server.prototype.listen)
    const server = createServer((s) => s.end('plain')).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const [data] = await once(net.connect(server.address().port, '127.0.0.1'), 'data')
    console.log(String(data))
    await TcpStream.connect({ port: 1 }).catch((e) => console.log(e.code))
    server.close()`
  const { stdout, stderr } = await runNode(script, { wrap: [tool, 'EPERM', 'setup'] })
  assert.equal(stdout, 'node node true true true\nplain\nERR_RING_UNAVAILABLE\n', stderr)
})
