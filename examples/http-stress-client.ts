// 200 tasks at once, each with 5 requests, each request on a connection of its own: 1000 connections in all.
// Run: node build/examples/http-stress-client.js http://127.0.0.1:8080/ [TASKS] [REQUESTS]

import { run, spawn, TcpStream } from 'ringcore'
import { HttpConnection } from './lib/http.ts'

const url = new URL(process.argv[2] ?? 'http://127.0.0.1:8080/')
const tasks = Number(process.argv[3] ?? 200)
const requests = Number(process.argv[4] ?? 5)
const request = `GET ${url.pathname}${url.search} HTTP/1.1\r\nHost: ${url.host}\r\nConnection: close\r\n\r\n`

const latencies: number[] = []

async function getOnce(): Promise<void> {
  const started = performance.now()
  await using stream = await TcpStream.connect({ host: url.hostname, port: Number(url.port || 80) })
  await stream.write(request)
  const { status } = await new HttpConnection(stream).readResponse()
  if (status !== 200) throw new Error(`status ${status}`)
  latencies.push(performance.now() - started)
}

const started = performance.now()
for (let task = 0; task < tasks; task++) {
  spawn(async () => {
    for (let i = 0; i < requests; i++) await getOnce()
  })
}
// Resolves when all tasks are done, and rejects if one request of one task failed.
await run()
const elapsed = performance.now() - started

latencies.sort((a, b) => a - b)
const at = (part: number): string => latencies[Math.floor((latencies.length - 1) * part)]!.toFixed(1)
console.log(`${latencies.length} of ${tasks * requests} requests served in ${elapsed.toFixed(1)} ms`)
console.log(`latency: median ${at(0.5)} ms, 99th percentile ${at(0.99)} ms, longest ${at(1)} ms`)
