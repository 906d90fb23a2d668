// A load generator for machines without wrk: keep-alive connections, one request at a time on each, and every answer is looked
// at: its status, its length, its body. It costs more CPU than wrk, so requests per second may show its own limit; requests
// per CPU second of the server do not.
// Flow: http-hello.ts → Helper.start('load', [port, connections]) → this → node:net. Message {seconds} → counts and latencies.

import { once } from 'node:events'
import net from 'node:net'
import { BODY, request } from './http.ts'

const [port, connections] = process.argv.slice(2).map(Number) as [number, number]
const ask = request(false)
const end = `\r\n\r\n${BODY}`
const ANSWER = new RegExp(`^HTTP/1\\.1 200 OK\\r\\n[^]*content-length: ${BODY.length}\\r\\n`, 'i')
let running = false
let latencies: number[] = []

class Connection {
  readonly #socket: net.Socket
  #received = ''
  #sentAt = 0
  busy = false

  constructor(socket: net.Socket) {
    this.#socket = socket
    socket.setNoDelay().setEncoding('latin1')
    socket.on('data', (text: string) => this.#onData(text))
    socket.on('error', fail)
    socket.on('close', () => running && fail(new Error('the server closed a connection')))
  }

  send(): void {
    this.busy = true
    this.#sentAt = performance.now()
    this.#socket.write(ask)
  }

  #onData(text: string): void {
    this.#received += text
    if (!this.#received.endsWith(end)) {
      if (this.#received.length > 1000) fail(new Error(`wrong answer: ${this.#received}`))
      return
    }
    const head = this.#received.slice(0, -BODY.length)
    if (!ANSWER.test(head) || head.indexOf('\r\n\r\n') !== head.length - 4) {
      fail(new Error(`wrong answer: ${this.#received}`))
    }
    this.#received = ''
    this.busy = false
    latencies.push(performance.now() - this.#sentAt)
    if (running) this.send()
  }

  close(): void {
    this.#socket.destroy()
  }
}

function fail(error: Error): never {
  process.stderr.write(`bench/load: ${error.message}\n`)
  process.exit(1)
}

async function connect(): Promise<Connection> {
  const socket = net.connect(port, '127.0.0.1')
  await once(socket, 'connect')
  return new Connection(socket)
}

/** New connections each time: servers close those that were idle for some seconds. */
async function load(seconds: number): Promise<Record<string, number>> {
  const all = await Promise.all(Array.from({ length: connections }, connect))
  latencies = []
  running = true
  const start = performance.now()
  for (const connection of all) connection.send()
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
  running = false
  const wall = (performance.now() - start) / 1000
  const requests = latencies.length
  while (all.some(({ busy }) => busy)) await new Promise((resolve) => setTimeout(resolve, 1))
  for (const connection of all) connection.close()
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
