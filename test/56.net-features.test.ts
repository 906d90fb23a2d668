// The rest of node:net's options, each tried with node:net and with ringcore/net: what they tell must be the same.
// Flow: this → node:net and ringcore/net.

import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { once } from 'node:events'
import { closeSync, openSync, statSync } from 'node:fs'
import nodeNet, { type LookupFunction } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import net, { backend } from 'ringcore/net'
import { oracle, pipe, socketPair, tempDir, until } from './helpers.js'
import { alike, portOf, serving } from './net-both.js'
import { closeDefaultRing } from './net-ring.js'

/** What an error tells. */
function told(error: unknown): object {
  const { name, code, errno, syscall, message, address, port } = error as NodeJS.ErrnoException & {
    address?: string
    port?: number
  }
  return { name, code, errno, syscall, message, address, port, keys: Object.keys(error as object).sort() }
}

async function failure(emitter: nodeNet.Socket | nodeNet.Server): Promise<object> {
  const [error] = (await once(emitter, 'error')) as [Error]
  return told(error)
}

test('sockets are the ring’s here', () => {
  assert.equal(backend, 'ring')
  assert.equal(net.backend, 'ring')
})

alike('onread: bytes come into the caller’s own buffer, as much at a time as it holds', async (net) => {
  const seen: string[] = []
  await serving(
    net.createServer((socket) => socket.end('abcdefghij'.repeat(3))),
    async (port) => {
      const buffer = Buffer.alloc(7)
      let made = 0
      const callback = (bytes: number, into: Uint8Array): boolean => {
        seen.push(Buffer.from(into.buffer, into.byteOffset, bytes).toString())
        return true
      }
      const make = (): Uint8Array => {
        made++
        return Buffer.alloc(11)
      }
      for (const buffers of [buffer, make]) {
        const socket = net.connect({ port, host: '127.0.0.1', onread: { buffer: buffers, callback } })
        socket.on('data', () => seen.push('data'))
        await once(socket, 'close')
        seen.push(String(socket.bytesRead))
      }
      seen.push(made > 2 ? 'made' : 'not made')
    },
  )
  return seen
})

alike('onread: false pauses, resume goes on', async (net) => {
  let got = ''
  await serving(
    net.createServer((socket) => socket.end('x'.repeat(100))),
    async (port) => {
      const socket = net.connect({
        port,
        host: '127.0.0.1',
        onread: {
          buffer: Buffer.alloc(10),
          callback: (bytes: number, into: Uint8Array): boolean => {
            got += Buffer.from(into.buffer, into.byteOffset, bytes).toString()
            if (got.length < 50) setImmediate(() => socket.resume())
            return got.length >= 50
          },
        },
      })
      await once(socket, 'close')
    },
  )
  return got
})

alike(
  'refused connections, missing paths and bad own addresses are told as Node tells them',
  async (net, t) => {
    const server = net.createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    server.close()
    await once(server, 'close')
    const dir = tempDir(t)
    return [
      await failure(net.connect({ port: 1, host: '127.0.0.1' })),
      await failure(net.connect({ port: 1, host: '::1' })),
      await failure(net.connect({ path: '/nowhere/at/all' })),
      await failure(net.connect({ port: 1, host: '127.0.0.1', localAddress: '192.0.2.1' })),
      await failure(net.connect({ port: 1, host: '127.0.0.1', localAddress: '127.0.0.1', localPort: 4 })),
      await failure(net.connect({ port: 1, host: '255.255.255.255' })),
      await failure(net.createServer().listen({ port: 1, host: '192.0.2.1' })),
      Object.keys(await failure(net.createServer().listen(join(dir, 'none', 'such')))),
      await failure(net.createServer().listen({ fd: 9999 })),
      await failure(
        net.connect({
          port: 1,
          host: 'x',
          lookup: ((_h, _o, done) => done(new Error('no'), '', 4)) as LookupFunction,
        }),
      ),
      await failure(
        net.connect({
          port: 1,
          host: 'x',
          lookup: ((_h, _o, done) => done(null, 'y', 4)) as LookupFunction,
          autoSelectFamily: false,
        }),
      ),
      await failure(
        net.connect({
          port: 1,
          host: 'x',
          lookup: ((_h, _o, done) => done(null, '::1', 5)) as LookupFunction,
          autoSelectFamily: false,
        }),
      ),
    ]
  },
)

test('a path that is too long is refused, and not cut', async (t) => {
  oracle(t)
  closeDefaultRing(t)
  // Node 20 cut it; Node 26 answers so.
  const path = `/${'x'.repeat(120)}`
  const { code, syscall, address } = (await failure(net.connect(path))) as NodeJS.ErrnoException & {
    address: string
  }
  assert.deepEqual([code, syscall, address], ['EINVAL', 'connect', path])
  const listening = (await failure(net.createServer().listen(path))) as { message: string }
  assert.equal(listening.message, `listen EINVAL: invalid argument ${path}`)
})

alike('a port or a path in use', async (net, t) => {
  const path = join(tempDir(t), 'socket')
  const errors: object[] = []
  await serving(net.createServer(), async (port) => {
    const {
      message,
      port: inUse,
      ...rest
    } = (await failure(net.createServer().listen(port, '127.0.0.1'))) as { message: string; port: number }
    errors.push({ ...rest, message: message.replace(String(port), 'PORT'), same: inUse === port })
  })
  const first = net.createServer().listen(path)
  await once(first, 'listening')
  const { address, message, ...rest } = (await failure(net.createServer().listen(path))) as {
    address: string
    message: string
  }
  errors.push({ ...rest, message: message.replace(path, 'PATH'), same: address === path })
  first.close()
  await once(first, 'close')
  return errors
})

alike('addresses are tried in turn, with the events of each attempt', async (net) => {
  const log: unknown[] = []
  await serving(
    net.createServer((socket) => socket.end('hi')),
    async (port) => {
      const addresses = [
        { address: '::1', family: 6 },
        { address: '127.0.0.1', family: 4 },
        { address: '::1', family: 6 },
        { address: '127.0.0.2', family: 4 },
      ]
      const lookup = ((_host, _options, done) => done(null, addresses)) as LookupFunction
      const names = [
        'lookup',
        'connectionAttempt',
        'connectionAttemptFailed',
        'connectionAttemptTimeout',
        'connect',
        'ready',
        'close',
      ]
      for (const [at, autoSelectFamily] of [
        [port, true],
        [1, true],
      ] as const) {
        const socket = net.connect({ port: at, host: 'many', lookup, autoSelectFamily })
        for (const name of names)
          socket.on(name, (...args: unknown[]) =>
            log.push([
              name,
              ...args.map((arg) => (arg instanceof Error ? told(arg) : arg === port ? 'PORT' : arg)),
            ]),
          )
        socket.on('error', (error: AggregateError) =>
          log.push([error.name, (error as NodeJS.ErrnoException).code, error.errors.length]),
        )
        socket.resume()
        await once(socket, 'close').catch(() => until(() => socket.closed, 5000, 'close'))
        log.push(socket.autoSelectFamilyAttemptedAddresses!.map((text) => text.replace(String(port), 'PORT')))
      }
    },
  )
  return JSON.stringify(log).replaceAll(/\b[1-9]\d{4}\b/g, 'PORT')
})

alike('a block list turns connections away, on both sides', async (net) => {
  const blockList = new net.BlockList()
  blockList.addAddress('127.0.0.1')
  const log: unknown[] = []
  if (!('blockList' in nodeNet.createServer({ blockList } as never))) return ['this Node has no such option']
  const server = net.createServer({ blockList } as never, () => log.push('connection'))
  await serving(server, async (port) => {
    const socket = net.connect({ port, host: '127.0.0.1' })
    socket.on('error', () => {}).resume()
    await once(socket, 'close')
    if ('blockList' in server) log.push('closed')
    if ('blockList' in server)
      log.push(await failure(net.connect({ port, host: '127.0.0.1', blockList } as never)))
  })
  return [log.length, log]
})

alike('an adopted descriptor is a socket: TCP, Unix sockets, FIFOs', async (net, t) => {
  const [one, two] = socketPair(t)
  const socket = new net.Socket({ fd: one.release() })
  const peer = new net.Socket({ fd: two.release(), allowHalfOpen: true })
  socket.end('over a pair')
  const log: unknown[] = [
    String(await once(peer, 'data')),
    socket.remoteAddress,
    peer.address(),
    peer.pending,
  ]
  if (!peer.readableEnded) await once(peer, 'end')
  log.push(peer.readyState)
  peer.end()
  await Promise.all([once(peer, 'close'), once(socket.resume(), 'close')])
  const { reader, writer } = pipe(t)
  const input = new net.Socket({ fd: reader.release(), writable: false } as never)
  const output = new net.Socket({ fd: writer.release(), readable: false } as never)
  for (let i = 0; i < 20; i++) output.write('x'.repeat(10_000))
  output.end('end')
  const closed = Promise.all([once(input, 'close'), once(output, 'close')])
  let received = 0
  input.on('data', (bytes) => {
    received += bytes.length
  })
  await closed
  log.push(received, output.bytesWritten, input.bytesRead)
  const file = openSync('/dev/null', 'r')
  assert.throws(
    () => new net.Socket({ fd: file }),
    (error) => log.push(told(error)) > 0,
  )
  closeSync(file)
  return log
})

alike('servers listen on descriptors, on others’ handles and on abstract names', async (net, t) => {
  const log: unknown[] = []
  const name = `\0ringcore-${process.pid}-${Math.random()}`
  const path = join(tempDir(t), 'all')
  for (const where of [{ path: name }, { path, readableAll: true, writableAll: true }]) {
    const server = net.createServer((socket) => socket.end('hi')).listen(where)
    await once(server, 'listening')
    log.push(server.address() === where.path, await text(net.connect(where.path)))
    if (where.path === path) log.push(statSync(path).mode & 0o666)
    server.close()
    await once(server, 'close')
  }
  assert.throws(() => statSync(path), { code: 'ENOENT' })
  const original = nodeNet.createServer().listen(0, '127.0.0.1')
  await once(original, 'listening')
  const port = portOf(original)
  const second = net.createServer((socket) => socket.end('by handle')).listen(original as never)
  await once(second, 'listening')
  log.push(portOf(second) === port, await text(net.connect(port, '127.0.0.1')))
  second.close()
  await once(second, 'close')
  if (original.listening) original.close()
  return log
})

alike('connections beyond the most are dropped, and told', async (net) => {
  const log: unknown[] = []
  const server = net.createServer()
  server.maxConnections = 1
  await serving(server, async (port) => {
    const first = net.connect(port, '127.0.0.1')
    const [held] = (await once(server, 'connection')) as [nodeNet.Socket]
    const second = net.connect(port, '127.0.0.1').on('error', () => {})
    const [dropped] = (await once(server, 'drop')) as [nodeNet.DropArgument]
    log.push(
      dropped.localPort === port,
      dropped.remotePort === second.localPort || second.localPort === undefined,
    )
    log.push(Object.keys(dropped), dropped.localFamily)
    second.resume()
    if (!second.closed) await once(second, 'close')
    await new Promise((resolve) => server.getConnections((error, count) => resolve(log.push(error, count))))
    first.end()
    held.resume()
    await once(held, 'close')
  })
  return log
})

alike('timeouts fire when nothing moves, and begin anew when something does', async (net) => {
  const log: unknown[] = []
  await serving(
    net.createServer((socket) => {
      socket.setTimeout(60, () => log.push('server'))
      socket.on('timeout', () => socket.end())
    }),
    async (port) => {
      const socket = net.connect({ port, host: '127.0.0.1', timeout: 10_000 }).resume()
      await once(socket, 'close')
      log.push(socket.timeout, socket.listenerCount('timeout'))
      socket.setTimeout(5)
    },
  )
  return log
})

alike('a signal closes a server', async (net) => {
  const controller = new AbortController()
  const server = net.createServer().listen({ port: 0, host: '127.0.0.1', signal: controller.signal })
  await once(server, 'listening')
  controller.abort()
  await once(server, 'close')
  const late = net.createServer().listen({ port: 0, signal: AbortSignal.abort() })
  await once(late, 'close')
  return [server.listening, late.listening]
})

alike('pauseOnConnect holds data back until resume', async (net) => {
  const log: unknown[] = []
  const server = net.createServer({ pauseOnConnect: true })
  await serving(server, async (port) => {
    const socket = net.connect(port, '127.0.0.1')
    socket.end('waiting')
    const [held] = (await once(server, 'connection')) as [nodeNet.Socket]
    held.on('data', (bytes) => log.push(String(bytes)))
    await once(socket, 'finish')
    await sleep(20)
    log.push(held.isPaused(), held.bytesRead)
    held.resume()
    await once(held, 'end')
    held.end()
    socket.resume()
    await once(socket, 'close')
  })
  return log
})

alike('what is written and destroyed at once arrives', async (net) => {
  const log: unknown[] = []
  for (const sizes of [[10], [10, 20], [5000], [10, 5000, 10], [100_000, 7], [3000, 3000]]) {
    const server = net.createServer((socket) => {
      for (const size of sizes) socket.write('x'.repeat(size))
      socket.destroy()
    })
    await serving(server, async (port) => log.push((await text(net.connect(port, '127.0.0.1'))).length))
  }
  return log
})

alike('callbacks run in the asynchronous context that made the connection', async (net) => {
  const storage = new AsyncLocalStorage<string>()
  const log: unknown[] = []
  await serving(
    net.createServer((socket) => socket.pipe(socket)),
    async (port) => {
      const socket = storage.run('mine', () => net.connect(port, '127.0.0.1'))
      for (const name of ['connect', 'data', 'end', 'close'])
        socket.on(name, () => log.push([name, storage.getStore()]))
      socket.once('data', () => socket.end())
      storage.run('write', () => socket.write('x', () => log.push(['written', storage.getStore()])))
      await once(socket, 'close')
    },
  )
  return log
})

alike('addresses, counters and states through a connection’s life', async (net) => {
  const log: unknown[] = []
  await serving(
    net.createServer((socket) => socket.pipe(socket)),
    async (port) => {
      const socket = new net.Socket()
      const note = (): unknown =>
        log.push([
          socket.pending,
          socket.connecting,
          socket.readyState,
          socket.localPort === undefined,
          socket.remotePort === port,
          socket.remoteFamily,
          socket.bytesRead,
          socket.bytesWritten,
          socket.bufferSize,
        ])
      note()
      socket.connect(port, '127.0.0.1')
      note()
      socket.write('early')
      note()
      await once(socket, 'connect')
      note()
      await once(socket, 'data')
      note()
      socket.end()
      note()
      socket.resume()
      await once(socket, 'close')
      note()
      // A socket may connect again.
      socket.connect(port, '127.0.0.1')
      await once(socket, 'connect')
      note()
      socket.destroy()
      note()
      await once(socket, 'close')
      log.push(told(await new Promise((resolve) => socket.write('late', resolve))))
    },
  )
  return log
})

alike('options of TCP are set', async (net) => {
  const log: unknown[] = []
  await serving(
    net.createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: 5000 }, (socket) =>
      socket.resume(),
    ),
    async (port) => {
      const socket = net.connect({
        port,
        host: '127.0.0.1',
        noDelay: true,
        keepAlive: true,
        typeOfService: 16,
        localAddress: '127.0.0.1',
      } as never)
      await once(socket, 'connect')
      log.push(
        socket.localAddress,
        socket.setNoDelay(false) === socket,
        socket.setKeepAlive(true, 2000) === socket,
      )
      if ('getTypeOfService' in nodeNet.Socket.prototype) {
        const typed = socket as unknown as {
          getTypeOfService(): number
          setTypeOfService(tos: number): unknown
        }
        log.push(typed.getTypeOfService(), typed.setTypeOfService(8) === socket, typed.getTypeOfService())
      }
      socket.end()
      await once(socket.resume(), 'close')
    },
  )
  return log
})
