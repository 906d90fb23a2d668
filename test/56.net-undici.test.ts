// undici, the client behind Node's `fetch`, over ring sockets: its parser reads by 'readable' and `read()`, where node:http takes 'data'.
// Flow: this → undici over ringcore/net → node:http's server, on sockets of Node's and on the ring's.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import type nodeNet from 'node:net'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer, text } from 'node:stream/consumers'
import test, { type TestContext } from 'node:test'
import tls from 'node:tls'
import net, { onRing } from 'ringcore/net'
import { Agent, type buildConnector, Client, fetch } from 'undici'
import { oracle, root } from './helpers.js'
import { closeDefaultRing } from './net-ring.js'

const MEGABYTE = 1024 * 1024

/** How undici gets its connections: from the ring. */
const connect: buildConnector.connector = ({ hostname, port }, callback) => {
  const socket = net.connect({ host: hostname, port: Number(port), noDelay: true })
  told(socket, 'connect', callback)
}

/** The callback is for the first thing that happens; what comes later undici hears itself. */
function told(socket: nodeNet.Socket, event: string, callback: buildConnector.Callback): void {
  const onError = (error: Error): void => callback(error, null)
  socket.once('error', onError)
  socket.once(event, () => {
    socket.off('error', onError)
    callback(null, socket)
  })
}

const app: http.RequestListener = async (request, response) => {
  if (request.url === '/endless') {
    response.write('and so on')
    return
  }
  if (request.url === '/dies') {
    response.write('not all')
    setImmediate(() => request.socket.destroy())
    return
  }
  if (request.url === '/echo') {
    request.pipe(response)
    return
  }
  const body = await buffer(request)
  response.end(`${request.method} ${request.url} ${createHash('sha1').update(body).digest('hex')}`)
}

const sha1 = (bytes: Uint8Array | string): string => createHash('sha1').update(bytes).digest('hex')

interface Serving {
  origin: string
  /** How many connections there were. */
  connections(): number
}

async function serving(t: TestContext, server: http.Server): Promise<Serving> {
  let count = 0
  server.on('connection', () => count++)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(async () => {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  })
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    connections: () => count,
  }
}

/** Runs a body against a server of Node's and against one on the ring. */
function withBoth(name: string, body: (t: TestContext, serving: Serving) => Promise<void>): void {
  const servers: [string, () => http.Server][] = [
    ['node:net', () => http.createServer(app)],
    ['the ring', () => onRing(http.createServer(app))],
  ]
  for (const [where, make] of servers) {
    test(`${name}; the server is on ${where}`, async (t) => {
      oracle(t)
      closeDefaultRing(t)
      await body(t, await serving(t, make()))
    })
  }
}

withBoth('a client keeps its connection and uses it again', async (_t, { origin, connections }) => {
  const client = new Client(origin, { connect })
  for (let i = 0; i < 5; i++) {
    const { statusCode, body } = await client.request({ path: `/${i}`, method: 'POST', body: `body ${i}` })
    assert.equal(statusCode, 200)
    assert.equal(await body.text(), `POST /${i} ${sha1(`body ${i}`)}`)
  }
  assert.equal(connections(), 1)
  await client.close()
})

withBoth('requests in a pipeline are answered in order', async (_t, { origin, connections }) => {
  const client = new Client(origin, { connect, pipelining: 10 })
  const order: number[] = []
  const answers = Array.from({ length: 50 }, async (_, i) => {
    const { body } = await client.request({ path: `/${i}`, method: 'GET' })
    order.push(i)
    return body.text()
  })
  assert.deepEqual(
    await Promise.all(answers),
    Array.from({ length: 50 }, (_, i) => `GET /${i} ${sha1('')}`),
  )
  assert.deepEqual(
    order,
    Array.from({ length: 50 }, (_, i) => i),
  )
  assert.equal(connections(), 1)
  await client.close()
})

withBoth('a large body goes and comes back, whole or as a stream', async (_t, { origin }) => {
  const client = new Client(origin, { connect })
  const bytes = Buffer.alloc(8 * MEGABYTE, 'a large body, ')
  const pieces = Array.from({ length: 64 }, (_, i) =>
    bytes.subarray((i * bytes.length) / 64, ((i + 1) * bytes.length) / 64),
  )
  for (const body of [bytes, Readable.from(pieces)]) {
    const answer = await client.request({ path: '/echo', method: 'POST', body })
    assert.equal(sha1(await buffer(answer.body)), sha1(bytes))
  }
  // Who reads slowly holds the other side up, and loses nothing.
  const slow = await client.request({ path: '/echo', method: 'POST', body: bytes })
  let received = 0
  for await (const chunk of slow.body) {
    received += (chunk as Buffer).length
    if (received % 16 === 0) await new Promise(setImmediate)
  }
  assert.equal(received, bytes.length)
  await client.close()
})

withBoth('an abort ends a request, and the next one has a new connection', async (_t, serving) => {
  const client = new Client(serving.origin, { connect })
  const controller = new AbortController()
  const { body } = await client.request({ path: '/endless', method: 'GET', signal: controller.signal })
  const whole = body.text()
  setImmediate(() => controller.abort())
  await assert.rejects(whole, { name: 'AbortError' })
  const next = await client.request({ path: '/next', method: 'GET' })
  assert.equal(await next.body.text(), `GET /next ${sha1('')}`)
  assert.equal(serving.connections(), 2)
  await client.destroy()
})

withBoth('a server that dies is told of as undici tells it', async (_t, { origin }) => {
  const client = new Client(origin, { connect })
  const { body } = await client.request({ path: '/dies', method: 'GET' })
  await assert.rejects(body.text(), (error: NodeJS.ErrnoException) =>
    ['UND_ERR_SOCKET', 'ECONNRESET'].includes(error.code ?? ''),
  )
  await client.close()
  const nobody = new Client('http://127.0.0.1:1', { connect })
  await assert.rejects(nobody.request({ path: '/', method: 'GET' }), {
    code: 'ECONNREFUSED',
    syscall: 'connect',
  })
  await nobody.close()
})

withBoth('fetch through an agent whose sockets are the ring’s', async (_t, { origin }) => {
  const dispatcher = new Agent({ connect, connections: 4 })
  const answers = Array.from({ length: 40 }, async (_, i) => {
    const response = await fetch(`${origin}/${i}`, { dispatcher, method: 'POST', body: `fetched ${i}` })
    assert.equal(response.status, 200)
    return response.text()
  })
  assert.deepEqual(
    await Promise.all(answers),
    Array.from({ length: 40 }, (_, i) => `POST /${i} ${sha1(`fetched ${i}`)}`),
  )
  const big = Buffer.alloc(4 * MEGABYTE, 'fetch ')
  const echo = await fetch(`${origin}/echo`, { dispatcher, method: 'POST', body: big })
  assert.equal(sha1(new Uint8Array(await echo.arrayBuffer())), sha1(big))
  const controller = new AbortController()
  const endless = await fetch(`${origin}/endless`, { dispatcher, signal: controller.signal })
  controller.abort()
  await assert.rejects(endless.text(), { name: 'AbortError' })
  await dispatcher.destroy()
})

test('HTTPS: a client of undici’s over TLS over ring sockets, and a server on the ring', async (t) => {
  oracle(t)
  closeDefaultRing(t)
  const key = readFileSync(join(root, 'test/fixtures/localhost.key.pem'))
  const cert = readFileSync(join(root, 'test/fixtures/localhost.cert.pem'))
  const server = https.createServer({ key, cert }, async (request, response) => {
    const { remoteAddress, remotePort, localPort } = request.socket
    response.end(JSON.stringify({ remoteAddress, remotePort, localPort, body: await text(request) }))
  })
  const { origin } = await serving(t, onRing(server))
  const ends: (number | undefined)[] = []
  const overTls: buildConnector.connector = ({ hostname, port }, callback) => {
    const socket = net.connect({ host: hostname, port: Number(port) })
    const secure = tls.connect({ socket, ca: cert, servername: 'localhost' })
    secure.once('secureConnect', () => ends.push(secure.localPort, secure.remotePort))
    told(secure, 'secureConnect', callback)
  }
  const client = new Client(origin.replace('http:', 'https:'), { connect: overTls })
  const { body } = await client.request({ path: '/', method: 'POST', body: 'safe' })
  const [localPort, remotePort] = ends
  assert.deepEqual(await body.json(), {
    remoteAddress: '127.0.0.1',
    remotePort: localPort,
    localPort: remotePort,
    body: 'safe',
  })
  await client.close()
})
