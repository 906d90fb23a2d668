// Servers for the net benches, one per process. Flow: net-*.ts → Helper.start('net-server', [kind, argument]) → this. It says its port.
//
//   echo, echo-callbacks               TcpStream with leases, TcpStream with callbacks
//   echo-net, echo-ring-net            the same program on node:net and on ringcore/net
//   udp, udp-dgram                     UDP echo: ring, node:dgram
//   static-http DIRECTORY              node:http and fs.createReadStream

import dgram from 'node:dgram'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import http from 'node:http'
import net, { type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { TcpListener, type TcpStream, UdpSocket } from 'ringcore'
import ringNet from 'ringcore/net'

const [kind, argument] = process.argv.slice(2)
const BACKLOG = 4096
/** Bytes that a peer may leave waiting before no more is read. */
const WAITING_MAX = 262_144

/** Connections end when the load generator does. */
const ignore = (): void => {}

function accept(handle: (stream: TcpStream) => void): Promise<number> {
  const listener = TcpListener.bind({ host: '127.0.0.1', backlog: BACKLOG, noDelay: true })
  listener.serve(handle)
  return Promise.resolve(listener.port)
}

/** Sends back what came from where the kernel put it; what came in one turn goes as one send. */
async function echo(stream: TcpStream): Promise<void> {
  try {
    for await (const chunk of stream.chunks()) {
      const release = (): void => chunk.release()
      stream.write(chunk.bytes).then(release, release)
      if (stream.writableLength > WAITING_MAX) await stream.drained()
    }
  } catch {
    // The load generator left.
  }
  await stream.close()
}

function echoCallbacks(stream: TcpStream): void {
  stream.receive(
    // What is over 4 KiB is lent to the kernel, and the ring's memory is ours only until this returns.
    (bytes, length) => {
      const echoed = bytes.subarray(0, length)
      stream.send(length <= 4096 ? echoed : Buffer.from(echoed))
    },
    () => stream.close(),
  )
}

function udp(): Promise<number> {
  const socket = UdpSocket.bind('127.0.0.1:0')
  socket.receive((datagram) => socket.send(datagram.bytes, datagram), ignore)
  return Promise.resolve(socket.port)
}

async function udpDgram(): Promise<number> {
  const socket = dgram.createSocket('udp4')
  socket.on('message', (bytes, { port, address }) => socket.send(bytes, port, address))
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
  return socket.address().port
}

function echoNet({ createServer }: Pick<typeof net, 'createServer'>): Promise<number> {
  const server = createServer((socket) => {
    socket.setNoDelay().on('error', ignore)
    socket.on('data', (bytes) => socket.write(bytes))
  })
  return listen(server)
}

function staticHttp(directory: string): Promise<number> {
  const server = http.createServer(async (request, response) => {
    const path = join(directory, new URL(request.url!, 'http://localhost').pathname)
    const { size, mtime } = await stat(path)
    response.writeHead(200, {
      'Content-Type': 'application/octet-stream',
      'Content-Length': size,
      'Last-Modified': mtime.toUTCString(),
    })
    createReadStream(path).pipe(response)
  })
  server.keepAliveTimeout = 0
  return listen(server)
}

async function listen(server: net.Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', BACKLOG, resolve))
  return (server.address() as AddressInfo).port
}

const servers: Record<string, () => Promise<number>> = {
  echo: () => accept(echo),
  'echo-callbacks': () => accept(echoCallbacks),
  'echo-net': () => echoNet(net),
  'echo-ring-net': () => echoNet(ringNet),
  udp,
  'udp-dgram': udpDgram,
  'static-http': () => staticHttp(argument!),
}
const port = await servers[kind!]!()
process.on('disconnect', () => process.exit())
process.send!({ port })
