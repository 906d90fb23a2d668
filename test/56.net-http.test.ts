// What others build on sockets works on these: HTTP servers and clients, upgrades, TLS, HTTP/2.
// Flow: this → node:http, node:https, node:tls, node:http2 over ringcore/net.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import type nodeNet from 'node:net'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { text } from 'node:stream/consumers'
import test, { type TestContext } from 'node:test'
import tls from 'node:tls'
import { promisify } from 'node:util'
import net, { onRing } from 'ringcore/net'
import { oracle, requires, root, tempDir, until, withTimeout } from './helpers.js'
import { closeDefaultRing } from './net-ring.js'

const identity = {
  key: readFileSync(join(root, 'test/fixtures/localhost.key.pem')),
  cert: readFileSync(join(root, 'test/fixtures/localhost.cert.pem')),
}
const portOf = (server: nodeNet.Server): number => (server.address() as AddressInfo).port

/** Starts a server whose connections come from the ring; the test's end closes it. */
async function listening<T extends nodeNet.Server>(t: TestContext, server: T): Promise<T> {
  onRing(server).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(async () => {
    if (!server.listening) return
    if ('closeAllConnections' in server) (server as unknown as http.Server).closeAllConnections()
    server.close()
    await once(server, 'close')
  })
  return server
}

const app: http.RequestListener = async (request, response) => {
  const body = await text(request)
  response.setHeader('x-address', String(request.socket.remoteAddress))
  response.end(`${request.method} ${request.url} ${body.length} ${body.slice(0, 20)}`)
}

/** Asks through the ring, too. */
async function ask(
  options: http.RequestOptions,
  body = '',
): Promise<{ status: number; head: http.IncomingHttpHeaders; body: string }> {
  const request = http.request({
    host: '127.0.0.1',
    createConnection: net.createConnection as never,
    ...options,
  })
  request.end(body)
  const [response] = (await once(request, 'response')) as [http.IncomingMessage]
  return { status: response.statusCode!, head: response.headers, body: await text(response) }
}

test('http.createServer listens on the ring with all that a server can do', async (t) => {
  oracle(t)
  closeDefaultRing(t)
  const server = http.createServer(app)
  assert.equal(onRing(server), server)
  const heard: string[] = []
  server.on('listening', () => heard.push('event'))
  server.listen(0, '127.0.0.1', () => heard.push('callback'))
  await once(server, 'listening')
  assert.equal(server.listening, true)
  assert.deepEqual(heard, ['event', 'callback'])
  const port = portOf(server)
  assert.ok(port > 0)
  const answer = await ask({ port, path: '/a', method: 'POST' }, 'x'.repeat(300_000))
  assert.deepEqual([answer.status, answer.body], [200, `POST /a 300000 ${'x'.repeat(20)}`])
  assert.equal(answer.head['x-address'], '127.0.0.1')
  assert.ok((await connected(server, port)) instanceof net.Socket, 'the sockets are ours')
  server.closeAllConnections()
  await promisify(server.close.bind(server))()
  assert.equal(server.listening, false)
  assert.equal(server.address(), null)
  await assert.rejects(promisify(server.close.bind(server))(), { code: 'ERR_SERVER_NOT_RUNNING' })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  assert.equal(portOf(server), port, 'listens again, on the same port')
  await server[Symbol.asyncDispose]()
})

/** The socket of a connection that does nothing. */
async function connected(server: http.Server, port: number): Promise<Duplex> {
  const [client, [socket]] = [net.connect(port, '127.0.0.1'), (await once(server, 'connection')) as [Duplex]]
  client.on('error', () => {})
  return socket
}

test('a server of Node’s is fed by hand as well', async (t) => {
  oracle(t)
  closeDefaultRing(t)
  const web = http.createServer(app)
  const server = net.createServer((socket) => web.emit('connection', socket)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { body } = await ask({ port: portOf(server), path: '/b' })
  assert.equal(body, 'GET /b 0 ')
  web.closeAllConnections()
  server.close()
  await once(server, 'close')
})

test('connections are kept alive, and requests that come at once are answered in order', async (t) => {
  oracle(t)
  closeDefaultRing(t)
  const server = await listening(t, http.createServer(app))
  let connections = 0
  server.on('connection', () => connections++)
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  Object.assign(agent, { createConnection: net.createConnection })
  for (let i = 0; i < 5; i++) {
    const request = http.get({ host: '127.0.0.1', port: portOf(server), path: `/${i}`, agent })
    const [response] = (await once(request, 'response')) as [http.IncomingMessage]
    assert.equal(await text(response), `GET /${i} 0 `)
  }
  assert.equal(connections, 1)
  agent.destroy()
  const raw = net.connect(portOf(server), '127.0.0.1')
  const requests = Array.from(
    { length: 50 },
    (_, i) => `GET /${i} HTTP/1.1\r\nHost: a\r\n${i === 49 ? 'Connection: close\r\n' : ''}\r\n`,
  )
  raw.write(requests.join(''))
  const answers = await text(raw)
  assert.deepEqual(
    Array.from(answers.matchAll(/GET \/(\d+) 0/g), ([, number]) => Number(number)),
    Array.from({ length: 50 }, (_, i) => i),
  )
})

test('an upgrade hands the socket over, with the first bytes of what follows', async (t) => {
  oracle(t)
  closeDefaultRing(t)
  const server = await listening(t, http.createServer())
  server.on('upgrade', (_request, socket: Duplex, head: Buffer) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n')
    socket.write(head)
    socket.pipe(socket)
  })
  const request = http.request({
    host: '127.0.0.1',
    port: portOf(server),
    createConnection: net.createConnection as never,
    headers: { connection: 'upgrade', upgrade: 'echo' },
  })
  request.end()
  const [, socket, head] = (await once(request, 'upgrade')) as [unknown, Duplex, Buffer]
  socket.unshift(head)
  socket.end('hello over there')
  assert.equal(await text(socket), 'hello over there')
})

test('a server’s timeouts end idle and slow connections', async (t) => {
  oracle(t)
  closeDefaultRing(t)
  const server = await listening(
    t,
    http.createServer(
      { keepAliveTimeout: 30, headersTimeout: 60, requestTimeout: 60, connectionsCheckingInterval: 20 },
      app,
    ),
  )
  const idle = net.connect(portOf(server), '127.0.0.1')
  idle.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  const slow = net.connect(portOf(server), '127.0.0.1')
  slow.write('GET / HTTP/1.1\r\nHost: a\r\n')
  const [answer, complaint] = await withTimeout(
    Promise.all([text(idle), text(slow)]),
    20_000,
    'both to be closed',
  )
  assert.match(answer, /^HTTP\/1\.1 200 /)
  assert.match(complaint, /^HTTP\/1\.1 408 /)
})

test('TLS: a handshake and data both ways, with ring sockets below both ends', async (t) => {
  oracle(t)
  closeDefaultRing(t)
  const server = await listening(
    t,
    tls.createServer({ ...identity, ALPNProtocols: ['echo'] }, (socket) => socket.pipe(socket)),
  )
  const big = 'TLS over a ring. '.repeat(30_000)
  const plain = net.connect(portOf(server), '127.0.0.1')
  const client = tls.connect({
    socket: plain,
    ca: identity.cert,
    servername: 'localhost',
    ALPNProtocols: ['echo'],
  })
  await once(client, 'secureConnect')
  assert.equal(client.authorized, true)
  assert.equal(client.alpnProtocol, 'echo')
  client.end(big)
  assert.ok((await text(client)) === big)

  const bare = net.createServer((socket) => {
    const secure = new tls.TLSSocket(socket as nodeNet.Socket, { isServer: true, ...identity })
    secure.end('from a bare TLSSocket')
  })
  bare.listen(0, '127.0.0.1')
  await once(bare, 'listening')
  const direct = tls.connect({
    port: portOf(bare),
    host: '127.0.0.1',
    ca: identity.cert,
    servername: 'localhost',
  })
  assert.equal(await text(direct), 'from a bare TLSSocket')
  bare.close()
  await once(bare, 'close')
})

test('HTTPS and HTTP/2 work over ring sockets', async (t) => {
  oracle(t)
  closeDefaultRing(t)
  const secure = await listening(t, https.createServer(identity, app))
  const request = https.get({
    host: '127.0.0.1',
    port: portOf(secure),
    path: '/s',
    ca: identity.cert,
    agent: false,
  })
  const [response] = (await once(request, 'response')) as [http.IncomingMessage]
  assert.equal(await text(response), 'GET /s 0 ')

  const two = await listening(t, http2.createServer())
  two.on('stream', (stream: http2.ServerHttp2Stream) => {
    stream.respond({ ':status': 200 })
    stream.end('two')
  })
  const session = http2.connect(`http://127.0.0.1:${portOf(two)}`, {
    createConnection: () => net.connect(portOf(two), '127.0.0.1') as nodeNet.Socket,
  })
  assert.equal(await text(session.request({ ':path': '/' })), 'two')
  session.close()
  await once(session, 'close')
})

test('servers count, limit and drop, and listen on paths', async (t) => {
  oracle(t)
  closeDefaultRing(t)
  const path = join(tempDir(t), 'web')
  const server = onRing(http.createServer(app))
  server.listen(path)
  await once(server, 'listening')
  assert.equal(server.address(), path)
  assert.equal((await ask({ socketPath: path, path: '/u' })).body, 'GET /u 0 ')
  server.closeAllConnections()
  server.close()
  await once(server, 'close')

  const limited = await listening(t, http.createServer(app))
  limited.maxConnections = 1
  const first = net.connect(portOf(limited), '127.0.0.1')
  await once(limited, 'connection')
  const second = net.connect(portOf(limited), '127.0.0.1')
  const [dropped] = (await once(limited, 'drop')) as [nodeNet.DropArgument]
  assert.equal(dropped.localPort, portOf(limited))
  assert.equal(await promisify(limited.getConnections.bind(limited))(), 1)
  second.on('error', () => {})
  await once(second, 'close')
  first.end()
  await until(() => first.destroyed, 5000, 'the first to end')
})

test('wrk is answered without an error', async (t) => {
  oracle(t)
  closeDefaultRing(t)
  if (!requires(t, { program: 'wrk' })) return
  const server = await listening(
    t,
    http.createServer((_request, response) => response.end('hello')),
  )
  const url = `http://127.0.0.1:${portOf(server)}/`
  const { stdout } = await promisify(execFile)('wrk', ['-t1', '-c64', '-d1s', url])
  assert.doesNotMatch(stdout, /Socket errors|Non-2xx/)
  assert.ok(Number(/(\d+) requests in/.exec(stdout)![1]) > 100, stdout)
})
