// HTTP hello servers, one per process: ring (TcpStream with promises), ring-callbacks (TcpStream without), net (node:net), ring-net
// (the same program on ringcore/net) and http (node:http).
// Flow: http-hello.ts, jobs.ts → Helper.start('http-server', [kind, 'keep' or 'close']) → this. It says its port.

import http from 'node:http'
import net, { type AddressInfo } from 'node:net'
import { BODY, RequestCounter, response } from './http.ts'

const [kind, mode] = process.argv.slice(2)
const close = mode === 'close'
const answer = response(close)
/** Room for all who come at once. */
const BACKLOG = 4096

/** Answers to so many requests that came at once. */
const answers = (requests: number): Buffer =>
  requests === 1 ? answer : Buffer.concat(Array.from({ length: requests }, () => answer))

async function serveRing(): Promise<number> {
  const { TcpListener } = await import('ringcore')
  const listener = TcpListener.bind({ host: '127.0.0.1', backlog: BACKLOG, noDelay: true })
  const serve = async (stream: Awaited<ReturnType<typeof listener.accept>>): Promise<void> => {
    const buffer = Buffer.allocUnsafe(4096)
    const counter = new RequestCounter()
    try {
      for (;;) {
        const bytes = await stream.read(buffer)
        if (bytes === 0) break
        const requests = counter.feed(buffer, bytes)
        if (requests === 0) continue
        await stream.write(answers(requests))
        if (close) break
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ECONNRESET') throw error
    } finally {
      await stream.close()
    }
  }
  listener.serve(serve)
  return listener.port
}

/** The same with the callbacks that node:net has too. */
async function serveCallbacks(): Promise<number> {
  const { TcpListener } = await import('ringcore')
  const listener = TcpListener.bind({ host: '127.0.0.1', backlog: BACKLOG, noDelay: true })
  listener.serve((stream) => {
    const counter = new RequestCounter()
    stream.receive(
      (bytes, length) => {
        const requests = counter.feed(bytes, length)
        if (requests === 0) return
        stream.send(answers(requests))
        if (close) stream.close()
      },
      () => stream.close(),
    )
  })
  return listener.port
}

async function serveNet({ createServer }: Pick<typeof net, 'createServer'>): Promise<number> {
  const server = createServer((socket) => {
    const counter = new RequestCounter()
    socket.setNoDelay()
    socket.on('error', () => socket.destroy())
    socket.on('data', (bytes: Buffer) => {
      const requests = counter.feed(bytes, bytes.length)
      if (requests === 0) return
      if (close) socket.end(answer)
      else socket.write(answers(requests))
    })
  })
  return listen(server)
}

async function serveHttp(): Promise<number> {
  const server = http.createServer((_, res) => {
    res.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': BODY.length })
    res.end(BODY)
  })
  // Other servers have their turn between two runs.
  server.keepAliveTimeout = 0
  return listen(server)
}

async function listen(server: net.Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', BACKLOG, resolve))
  return (server.address() as AddressInfo).port
}

const servers = {
  ring: serveRing,
  'ring-callbacks': serveCallbacks,
  net: () => serveNet(net),
  'ring-net': async () => serveNet((await import('ringcore/net')).default),
  http: serveHttp,
}
const start = servers[kind as keyof typeof servers]
const port = await start()
process.on('disconnect', () => process.exit())
process.send!({ port })
