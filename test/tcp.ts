// Connections for tests: a stream of ours with a socket of node:net's at the other end.
// Flow: 51.tcp.* → this → ringcore, node:net.

import net from 'node:net'
import type { TestContext } from 'node:test'
import { type StreamOptions, TcpListener, type TcpStream, type Uring } from 'ringcore'

/** A stream of ours and a socket of node:net's, connected. */
export async function pair(
  t: TestContext,
  ring: Uring,
  options: StreamOptions = {},
): Promise<{ stream: TcpStream; socket: net.Socket }> {
  const listener = TcpListener.bind({ ...options, host: '127.0.0.1', port: 0, ring })
  const socket = net.connect({ port: listener.port, host: '127.0.0.1', allowHalfOpen: true })
  socket.on('error', () => {})
  const stream = await listener.accept()
  await listener.close()
  t.after(async () => {
    socket.destroy()
    await stream.destroy()
  })
  return { stream, socket }
}

/** All bytes up to the peer's end. */
export async function readAll(stream: TcpStream): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks)
}
