// The tour's work on sockets and timers: an echo server whose clients check every byte, and a race with a cancelled loser.

import { randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import { TcpListener, TcpStream, type Uring } from 'ringcore'
import type { Finding, Progress } from './screen.ts'

/** Sends back what comes, until the client has ended. */
async function echo(stream: TcpStream): Promise<void> {
  const buffer = Buffer.alloc(16384)
  for (;;) {
    const bytes = await stream.read(buffer)
    if (bytes === 0) break
    await stream.write(buffer.subarray(0, bytes))
  }
  await stream.close()
}

/** Accepts `count` connections and serves them; resolves when all are served. */
export async function serveEcho(listener: TcpListener, count: number): Promise<void> {
  const tasks: Promise<void>[] = []
  for (let i = 0; i < count; i++) tasks.push(echo(await listener.accept()))
  await Promise.all(tasks)
}

/** A client on the ring: writes in pieces and reads at the same time. */
async function ringClient(port: number, message: Buffer): Promise<Buffer> {
  await using stream = await TcpStream.connect({ host: '127.0.0.1', port })
  const write = async (): Promise<void> => {
    for (let at = 0; at < message.length; at += 7919) await stream.write(message.subarray(at, at + 7919))
    await stream.end()
  }
  const read = async (): Promise<Buffer> => {
    const chunks: Buffer[] = []
    for await (const chunk of stream) chunks.push(chunk)
    return Buffer.concat(chunks)
  }
  const [answer] = await Promise.all([read(), write()])
  return answer
}

/** A client of node:net, so that the server is not only checked against code of its own. */
function nodeClient(port: number, message: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true }, () => socket.end(message))
    socket
      .on('data', (chunk: Buffer) => chunks.push(chunk))
      .on('end', () => resolve(Buffer.concat(chunks)))
      .on('error', reject)
  })
}

/** An echo server and `count` clients at once, half of them node:net's; each checks its bytes. */
export async function echoToClients(
  count: number,
  progress: Progress,
  spoil: (bytes: Buffer) => void,
): Promise<Finding> {
  await using listener = TcpListener.bind({ host: '127.0.0.1', port: 0 })
  const { port } = listener
  const served = serveEcho(listener, count)
  const differences: string[] = []
  let bytes = 0
  let done = 0
  const started = performance.now()
  const client = async (_: unknown, i: number): Promise<void> => {
    // Lengths that fit no buffer: whole messages would hide a mistake at the edges.
    const message = randomBytes(40_000 + 977 * i)
    const answer = await (i % 2 === 0 ? ringClient(port, message) : nodeClient(port, message))
    if (i === 0) spoil(answer)
    bytes += answer.length
    if (!answer.equals(message))
      differences.push(`client ${i}: sent ${message.length} bytes, ${answer.length} other bytes came back`)
    progress(`${++done} of ${count} echo clients served`)
  }
  await Promise.all([served, ...Array.from({ length: count }, client)])
  const elapsed = performance.now() - started
  return {
    detail: `${count} clients at once, half of them node:net's; ${(bytes / 1e6).toFixed(1)} MB came back as sent, in ${elapsed.toFixed(0)} ms`,
    differences,
  }
}

/** Two timers race; the loser is cancelled in the kernel and must leave nothing behind. */
export async function raceTimers(ring: Uring): Promise<Finding> {
  const differences: string[] = []
  const before = ring.stats().inFlight
  const cancel = new AbortController()
  const started = performance.now()
  const loser = ring.timeout(60_000, { signal: cancel.signal })
  const winner = await Promise.race([ring.timeout(25).then(() => '25 ms'), loser.then(() => '60 s')])
  const won = performance.now() - started
  cancel.abort()
  const [outcome] = await Promise.allSettled([loser])
  const lost = performance.now() - started
  if (winner !== '25 ms') differences.push(`the timer of ${winner} won`)
  if (won < 25) differences.push(`the timer of 25 ms fired after ${won.toFixed(1)} ms`)
  if (outcome.status !== 'rejected' || outcome.reason.name !== 'AbortError') {
    differences.push(`the loser was not cancelled but ${outcome.status}`)
  }
  const left = ring.stats().inFlight - before
  if (left !== 0) differences.push(`${left} operations are still in flight`)
  return {
    detail: `25 ms won after ${won.toFixed(1)} ms; 60 s was cancelled ${((lost - won) * 1000).toFixed(0)} µs later with AbortError; nothing in flight`,
    differences,
  }
}
