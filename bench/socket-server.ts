// Servers of the socket bench, one per process: the same program on node:net and on ringcore/net.
// Flow: net-socket.ts → Helper.start('socket-server', [kind, 'node' or 'ring']) → this. It says its port.
//
//   echo     what comes goes back
//   hello    an HTTP answer for each request, written by hand
//   http     http.createServer

import http from 'node:http'
import nodeNet, { type AddressInfo } from 'node:net'
import ringNet, { onRing } from 'ringcore/net'
import { BODY, RequestCounter, response } from './http.ts'

const [kind, whose] = process.argv.slice(2)
const net = whose === 'ring' ? ringNet : nodeNet
const answer = response(false)
const BACKLOG = 4096
/** Connections end when the load generator does. */
const ignore = (): void => {}

function echo(socket: nodeNet.Socket): void {
  socket.on('error', ignore).on('data', (bytes) => socket.write(bytes))
}

function hello(socket: nodeNet.Socket): void {
  const counter = new RequestCounter()
  socket.on('error', ignore).on('data', (bytes: Buffer) => {
    const requests = counter.feed(bytes, bytes.length)
    if (requests > 0)
      socket.write(requests === 1 ? answer : Buffer.concat(Array.from({ length: requests }, () => answer)))
  })
}

function serve(): nodeNet.Server {
  if (kind !== 'http') return net.createServer({ noDelay: true }, kind === 'echo' ? echo : hello)
  const server = http.createServer((_, res) => {
    res.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': BODY.length })
    res.end(BODY)
  })
  // The other servers have their turn between two runs.
  server.keepAliveTimeout = 0
  return whose === 'ring' ? onRing(server) : server
}

const server = serve()
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', BACKLOG, resolve))
process.on('disconnect', () => process.exit())
process.send!({ port: (server.address() as AddressInfo).port })
