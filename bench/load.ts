// A load generator for machines without wrk: keep-alive connections, one request at a time on each, every answer compared
// byte for byte. It costs more CPU than wrk, so requests per second may show its own limit; requests per CPU second of the
// server do not.
// Flow: http-hello.ts → Helper.start('load', [port, connections]) → this → node:net. Message {seconds} → counts and latencies.

import net from 'node:net'
import { request, response } from './http.ts'

const [port, connections] = process.argv.slice(2).map(Number) as [number, number]
const ask = request(false)
const wanted = response(false)
let running = false
let latencies: number[] = []

class Connection {
  readonly #socket: net.Socket
  readonly #received = Buffer.alloc(wanted.length)
  #filled = 0
  #sentAt = 0
  busy = false

  constructor(socket: net.Socket) {
    this.#socket = socket
    socket.setNoDelay()
    socket.on('data', (bytes: Buffer) => this.#onData(bytes))
    socket.on('error', fail)
    socket.on('close', () => fail(new Error('the server closed a connection')))
  }

  send(): void {
    this.busy = true
    this.#sentAt = performance.now()
    this.#socket.write(ask)
  }

  #onData(bytes: Buffer): void {
    if (this.#filled + bytes.length > wanted.length) fail(new Error('the answer is too long'))
    bytes.copy(this.#received, this.#filled)
    this.#filled += bytes.length
    if (this.#filled < wanted.length) return
    if (!this.#received.equals(wanted)) fail(new Error(`wrong answer: ${this.#received}`))
    this.#filled = 0
    this.busy = false
    latencies.push(performance.now() - this.#sentAt)
    if (running) this.send()
  }
}

function fail(error: Error): never {
  process.stderr.write(`bench/load: ${error.message}\n`)
  process.exit(1)
}

const all = await Promise.all(
  Array.from({ length: connections }, async () => {
    const socket = net.connect(port, '127.0.0.1')
    await new Promise<void>((resolve) => socket.once('connect', () => resolve()))
    return new Connection(socket)
  }),
)

async function load(seconds: number): Promise<Record<string, number>> {
  latencies = []
  running = true
  const start = performance.now()
  for (const connection of all) connection.send()
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
  running = false
  const wall = (performance.now() - start) / 1000
  const requests = latencies.length
  while (all.some(({ busy }) => busy)) await new Promise((resolve) => setTimeout(resolve, 1))
  const sorted = Float64Array.from(latencies).sort()
  return {
    requests,
    seconds: wall,
    p50: sorted[Math.floor(sorted.length * 0.5)]!,
    p99: sorted[Math.floor(sorted.length * 0.99)]!,
  }
}

process.on('message', async ({ seconds }: { seconds: number }) => process.send!(await load(seconds)))
process.on('disconnect', () => process.exit())
process.send!({ ready: true })
