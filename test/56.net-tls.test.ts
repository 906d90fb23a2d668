// A TLSSocket over a ring socket knows it as it knows Node's own: addresses, connecting, endings, references.
// Flow: this → node:tls over node:net and over ringcore/net; what they tell must be the same.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import https from 'node:https'
import nodeNet from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import tls from 'node:tls'
import { onRing } from 'ringcore/net'
import { AS_INSTALLED, oracle, root, runNode } from './helpers.js'
import { alike, type Net, portOf } from './net-both.js'

const identity = {
  key: readFileSync(join(root, 'test/fixtures/localhost.key.pem')),
  cert: readFileSync(join(root, 'test/fixtures/localhost.cert.pem')),
}
const trust = { ca: identity.cert, servername: 'localhost' }

/** A server of Node's kind that takes its connections from `net`, and its end. */
async function serving(
  net: Net,
  server: nodeNet.Server,
  use: (port: number) => Promise<unknown>,
): Promise<void> {
  if (net !== nodeNet) onRing(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    await use(portOf(server))
  } finally {
    if ('closeAllConnections' in server) (server as https.Server).closeAllConnections()
    server.close()
    await once(server, 'close')
  }
}

alike('both ends know their addresses', async (net) => {
  const log: unknown[] = []
  const server = https.createServer(identity, (request, response) => {
    const { remoteAddress, remoteFamily, remotePort, localAddress, localPort } = request.socket
    response.end(JSON.stringify({ remoteAddress, remoteFamily, remotePort, localAddress, localPort }))
  })
  await serving(net, server, async (port) => {
    const plain = net.connect({ port, host: '127.0.0.1', localAddress: '127.0.0.2' })
    const secure = tls.connect({ ...trust, socket: plain })
    await once(secure, 'secureConnect')
    const { localPort, remotePort } = secure
    log.push(secure.setKeepAlive(true, 5000) === secure, secure.setNoDelay() === secure, secure.localFamily)
    const request = https.get({ createConnection: () => secure, host: '127.0.0.1' })
    const [response] = (await once(request, 'response')) as [import('node:http').IncomingMessage]
    const seen = JSON.parse(await text(response)) as Record<string, unknown>
    log.push(seen.remotePort === localPort, seen.localPort === port, remotePort === port)
    log.push(seen.remoteAddress, seen.remoteFamily, seen.localAddress)
  })
  return log
})

alike('TLS waits for a socket that has yet to connect', async (net) => {
  const log: unknown[] = []
  const server = tls.createServer(identity, (socket) => socket.end('hello'))
  await serving(net, server, async (port) => {
    const plain = new net.Socket({ allowHalfOpen: true })
    const secure = tls.connect({ ...trust, socket: plain })
    for (const name of ['connect', 'secureConnect', 'end', 'close']) secure.on(name, () => log.push(name))
    secure.on('data', (bytes) => log.push(String(bytes)))
    secure.on('end', () => secure.end())
    log.push(secure.connecting)
    plain.connect(port, '127.0.0.1')
    await once(secure, 'close')
  })
  return log
})

alike('the last words of TLS are said after the peer’s end', async (net) => {
  const log: unknown[] = []
  for (const [length, where] of [
    [5, net],
    [5, nodeNet],
    [300_000, net],
  ] as const) {
    let closed: Promise<unknown> | undefined
    const server = tls.createServer(identity, (socket) => {
      for (const name of ['end', 'error', 'close']) socket.on(name, () => log.push(`server ${name}`))
      closed = new Promise((resolve) => socket.on('close', resolve))
      socket.resume().end('x'.repeat(length))
    })
    await serving(where, server, async (port) => {
      const plain = net.connect(port, '127.0.0.1')
      await once(plain, 'connect')
      const secure = tls.connect({ ...trust, socket: plain })
      secure.on('error', (error) => log.push(String(error)))
      log.unshift((await text(secure)).length)
      await closed
      if (!secure.closed) await once(secure, 'close')
    })
  }
  return log
})

alike('nobody hears the last words of TLS, and that is no error', async (net) => {
  const log: unknown[] = []
  const server = tls.createServer(identity, (socket) => {
    socket.on('error', () => {})
    socket.end('bye', () => socket.destroy())
  })
  await serving(net, server, async (port) => {
    const plain = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    const secure = tls.connect({ ...trust, socket: plain })
    secure.on('error', (error) => log.push(String(error)))
    await once(secure.resume(), 'end')
    secure.write('is anybody there?')
    await sleep(20)
    secure.end()
    await once(secure, 'close')
    log.push('closed')
  })
  return log
})

alike('a peer that leaves before the handshake resets it', async (net) => {
  const log: unknown[] = []
  const server = net.createServer((socket) => socket.resume().end())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const plain = new net.Socket()
  const secure = tls.connect({ ...trust, socket: plain })
  plain.connect(portOf(server), '127.0.0.1')
  const closed = new Promise((resolve) => secure.once('close', resolve))
  const [{ code, message }] = (await once(secure, 'error')) as [NodeJS.ErrnoException]
  log.push(code, message)
  await closed
  server.close()
  await once(server, 'close')
  return log
})

alike('a socket that is destroyed takes its TLS socket along', async (net) => {
  const log: unknown[] = []
  const server = tls.createServer(identity, (socket) => socket.resume())
  server.on('tlsClientError', () => {})
  await serving(net, server, async (port) => {
    const plain = net.connect(port, '127.0.0.1')
    const secure = tls.connect({ ...trust, socket: plain })
    await once(secure, 'secureConnect')
    plain.destroy()
    log.push(secure.destroyed)
    plain.on('close', () => log.push(secure.destroyed))
    await once(secure, 'close')
  })
  return log
})

test('an unreferenced TLS socket does not hold the process', async (t) => {
  oracle(t)
  const { code, stdout } = await runNode(
    `import tls from 'node:tls'
    import net from 'ringcore/net'
    import { readFileSync } from 'node:fs'
    const [key, cert] = process.argv.slice(-2).map((path) => readFileSync(path))
    const server = tls.createServer({ key, cert }).listen(0, '127.0.0.1', () => {
      const socket = net.connect(server.address().port, '127.0.0.1')
      const secure = tls.connect({ socket, ca: cert, servername: 'localhost' }, () => {
        secure.unref()
        console.log('secure')
      })
    })
    server.on('connection', (socket) => socket.unref())
    server.unref()`,
    {
      env: AS_INSTALLED,
      timeoutMs: 10_000,
      args: [join(root, 'test/fixtures/localhost.key.pem'), join(root, 'test/fixtures/localhost.cert.pem')],
    },
  )
  assert.equal(code, 0)
  assert.equal(stdout, 'secure\n')
})
