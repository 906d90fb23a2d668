// What Node's own test suite, run over ringcore/net, showed to be different: each of it once, told alike by node:net and by ours.
// Flow: this → node:net and ringcore/net.

import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import dns from 'node:dns'
import { type EventEmitter, getEventListeners, once } from 'node:events'
import http from 'node:http'
import nodeNet from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import test from 'node:test'
import tls from 'node:tls'
import { inspect } from 'node:util'
import { defaultRing } from 'ringcore'
import { onRing } from 'ringcore/net'
import { AF_INET, AF_UNIX, SOCK_CLOEXEC, SOCK_STREAM } from 'ringcore/sys'
import { AS_INSTALLED, oracle, runNode, tempDir } from './helpers.js'
import { alike, type Net, portOf, serving } from './net-both.js'

type Socket = nodeNet.Socket

alike('prototypes, proxies of sockets and objects that inherit from one can be asked', async (net) => {
  const log: unknown[] = []
  for (const prototype of [net.Socket.prototype, net.Server.prototype]) {
    for (const key of ['bytesWritten', 'bytesRead', 'pending', 'remoteAddress', 'readyState', 'bufferSize'])
      log.push([key, Reflect.get(prototype, key)])
  }
  await serving(
    net.createServer((socket) => socket.pipe(socket)),
    async (port) => {
      const socket = net.connect(port, '127.0.0.1')
      await once(socket, 'connect')
      const [proxy, heir] = [new Proxy(socket, {}), Object.create(socket) as Socket]
      for (const other of [proxy, heir]) log.push(other.remotePort === port, other.setNoDelay() === other)
      proxy.write('through a proxy')
      log.push(String((await once(proxy, 'data'))[0]), heir.bytesWritten, proxy.bytesRead)
      proxy.destroy()
      await once(socket, 'close')
    },
  )
  return log
})

alike('what Node makes of net’s classes is an instance of them, and names are kept', (net) => {
  const [secure, server] = [new tls.TLSSocket(new nodeNet.Socket()), http.createServer()]
  class Own extends net.Socket {}
  return [
    secure instanceof net.Socket,
    server instanceof net.Server,
    secure instanceof Own,
    new Own() instanceof Own,
    {} instanceof net.Socket,
    new net.Socket().constructor.name,
    net.createServer().constructor.name,
    net.Socket.name,
  ]
})

alike('an aborted signal destroys a socket, and listens no longer than it has to', async (net) => {
  const log: unknown[] = []
  for (const when of ['before', 'at once', 'later']) {
    const controller = new AbortController()
    const { signal } = controller
    if (when === 'before') controller.abort()
    const socket = new net.Socket({ signal })
    const error = once(socket, 'error')
    log.push(getEventListeners(signal, 'abort').length)
    if (when === 'at once') controller.abort()
    else if (when === 'later') setImmediate(() => controller.abort())
    const [{ name, code }] = (await error) as [NodeJS.ErrnoException]
    log.push(name, code)
  }
  return log
})

alike('a write’s callback finds its bytes counted', async (net) => {
  const log: unknown[] = []
  await serving(
    net.createServer((socket) => socket.resume()),
    async (port) => {
      const socket = new net.Socket({ highWaterMark: 0 } as never).resume()
      socket.connect(port, '127.0.0.1')
      socket.write('schön', () => log.push(socket.bytesWritten))
      socket.end('!')
      await once(socket, 'close')
    },
  )
  return log
})

alike('onread: the callback’s `this` is the socket, and a pause holds back what is left', async (net) => {
  const log: unknown[] = []
  await serving(
    net.createServer((socket) => socket.end('ten bytes!twenty bytes')),
    async (port) => {
      let isPaused = false
      const socket = net.connect({
        port,
        host: '127.0.0.1',
        onread: {
          buffer: Buffer.alloc(5),
          callback(this: Socket, bytes: number, into: Uint8Array): boolean {
            log.push([this === socket, isPaused, Buffer.from(into.subarray(0, bytes)).toString()])
            isPaused = true
            if (log.length % 2 === 0) this.pause()
            setTimeout(() => {
              isPaused = false
              this.resume()
            }, 5)
            return log.length % 2 === 0
          },
        } as never,
      })
      socket.on('end', () => log.push('end'))
      await once(socket, 'close')
    },
  )
  return log
})

alike('a descriptor that is not connected yet is the one that connects', async (net, t) => {
  const log: unknown[] = []
  const path = join(tempDir(t), 'server')
  const server = net.createServer((socket) => socket.end('over it'))
  for (const [domain, where] of [
    [AF_INET, 0],
    [AF_UNIX, path],
  ] as const) {
    server.listen(where as never)
    await once(server, 'listening')
    const fd = await newSocket(domain)
    const socket = new net.Socket({ fd })
    socket.connect((where === 0 ? { port: portOf(server), host: '127.0.0.1' } : { path }) as never)
    await once(socket, 'connect')
    log.push((socket as unknown as { _handle: { fd: number } })._handle.fd === fd, await text(socket))
    server.close()
    await once(server, 'close')
  }
  const alone = new net.Socket({ fd: await newSocket(AF_INET) })
  const [{ message }] = (await once(alone, 'error')) as [Error]
  return [...log, message]
})

/** The number of a stream socket that nobody owns. */
function newSocket(domain: number): Promise<number> {
  return defaultRing().socket(domain, SOCK_STREAM | SOCK_CLOEXEC)
}

alike('a socket on another one’s handle gets what comes from then on', async (net) => {
  const log: string[] = []
  await serving(
    net.createServer((socket) => socket.pipe(socket)),
    async (port) => {
      const first = net.connect(port, '127.0.0.1')
      await once(first, 'connect')
      first.on('data', () => log.push('the first'))
      const { _handle: handle } = first as unknown as { _handle: object }
      for (const text of ['hello', 'again']) {
        const next = new net.Socket({ handle } as never)
        next.write(text)
        log.push(String((await once(next, 'data'))[0]))
        if (text === 'hello') continue
        next.destroy()
        await once(next, 'close')
      }
      first.destroy()
    },
  )
  return log
})

alike('arguments that Node took apart are taken as they are', async (net) => {
  const log: unknown[] = []
  const { _normalizeArgs } = nodeNet as unknown as { _normalizeArgs(args: unknown[]): never }
  await serving(
    net.createServer((socket) => socket.end('hi')),
    async (port) => {
      const args = _normalizeArgs([{ port, host: '127.0.0.1' }, () => log.push('connected')])
      log.push(await text(new net.Socket().connect(args)))
    },
  )
  return log
})

alike('errors look like Node’s in a log, and are made by Error', async (net) => {
  const log: unknown[] = []
  const refused = net.connect(1, '127.0.0.1')
  const [error] = (await once(refused, 'error')) as [Error]
  log.push(error.constructor === Error, inspect(error).split('\n')[0])
  await serving(net.createServer(), async (port) => {
    const socket = net.connect(port, '127.0.0.1')
    await once(socket, 'connect')
    ;(socket as unknown as { _handle: { close(): void } })._handle.close()
    socket.write('to nobody')
    const [{ message, code }] = (await once(socket, 'error')) as [NodeJS.ErrnoException]
    log.push(message, code)
  })
  return log
})

/** A client that puts bytes and an end into the kernel in one go. */
async function connected(port: number): Promise<Socket> {
  const socket = nodeNet.connect(port, '127.0.0.1')
  await once(socket, 'connect')
  return socket
}

alike('ticks run between bytes and the end that came with them', async (net) => {
  const log: string[] = []
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('data', () => {
      log.push('data')
      process.nextTick(() => process.nextTick(() => queueMicrotask(() => log.push('long after'))))
    })
    socket.on('end', () => log.push('end'))
    socket.on('end', () => socket.end())
  })
  await serving(server, async (port) => {
    const socket = await connected(port)
    socket.resume().end('all at once')
    await once(socket, 'close')
  })
  return log
})

/** An http.Server that takes its connections from `net`. */
function webServer(net: Net, app: http.RequestListener): http.Server {
  const server = http.createServer(app)
  return net === nodeNet ? server : onRing(server)
}

alike('http: who asks and ends at once is answered', async (net) => {
  let answer = ''
  const server = webServer(net, (request, response) => {
    request.resume().on('end', () => response.end('an answer'))
  })
  await serving(server, async (port) => {
    const socket = await connected(port)
    socket.end('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody')
    answer = await text(socket)
  })
  return /HTTP\/1\.1 200 OK.*an answer/s.test(answer)
})

test('http: a server that is unreferenced before it listens does not hold the process', async (t) => {
  oracle(t)
  for (const host of ['', "'127.0.0.1', "]) {
    const { code } = await runNode(
      `import http from 'node:http'
      import { onRing } from 'ringcore/net'
      for (const early of [true, false]) {
        const server = onRing(http.createServer())
        if (early) server.unref()
        server.listen(0, ${host}() => {})
        if (!early) server.unref()
      }`,
      { env: AS_INSTALLED, timeoutMs: 10_000 },
    )
    assert.equal(code, 0)
  }
})

alike('contexts: a connection is told of in that of `listen`', async (net) => {
  const storage = new AsyncLocalStorage<string>()
  const log: unknown[] = []
  for (const server of [net.createServer(), webServer(net, (_request, response) => response.end())]) {
    server.on('connection', (socket: Socket) => {
      log.push(['connection', storage.getStore()])
      socket.on('data', () => log.push(['data', storage.getStore()]))
      if (!('requestTimeout' in server)) socket.on('data', () => socket.end('HTTP/1.1 200 OK\r\n\r\n'))
    })
    server.on('request', () => log.push(['request', storage.getStore()]))
    storage.run('listening', () => server.listen(0, '127.0.0.1'))
    await once(server, 'listening')
    const socket = net.connect(portOf(server), '127.0.0.1')
    socket.end('GET / HTTP/1.0\r\n\r\n')
    await once(socket.resume(), 'close')
    server.close()
    await once(server, 'close')
  }
  return log
})

alike('contexts: a connection that is used again belongs to the later request', async (net) => {
  const storage = new AsyncLocalStorage<string>()
  const log: unknown[] = []
  let requests = 0
  const server = webServer(net, (request, response) => {
    if (++requests === 1) response.end()
    else request.socket.destroy()
  })
  await serving(server, async (port) => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
    Object.assign(agent, { createConnection: net.createConnection })
    const options = { port, host: '127.0.0.1', agent }
    const first = storage.run('first', () => http.get(options))
    const [response] = (await once(first, 'response')) as [http.IncomingMessage]
    await once(response.resume(), 'end')
    await new Promise(setImmediate)
    const second = storage.run('second', () => http.get(options))
    await new Promise<void>((resolve) =>
      second.on('error', () => {
        log.push(second.reusedSocket, storage.getStore())
        resolve()
      }),
    )
    agent.destroy()
  })
  return log
})

alike('a lookup that somebody put in the place of dns.lookup is asked', async (net, t) => {
  const log: unknown[] = []
  const { mock } = t.mock.method(dns, 'lookup', (host: string, ...rest: unknown[]) => {
    log.push(host)
    const done = rest.at(-1) as (error: Error) => void
    process.nextTick(done, new Error('not today'))
  })
  const makers = [
    () => net.connect({ port: 1, host: 'ringcore.invalid' }),
    () => net.createServer().listen(0, 'ringcore.invalid'),
  ]
  for (const make of makers) log.push(((await once(make() as EventEmitter, 'error')) as [Error])[0].message)
  mock.restore()
  return log
})
