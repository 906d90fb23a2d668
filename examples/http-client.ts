// 100 GET requests, one after another, on one connection.
// Run: node build/examples/http-client.js http://127.0.0.1:8080/ [COUNT]

import { run, TcpStream } from 'ringcore'
import { HttpConnection } from './lib/http.ts'

const url = new URL(process.argv[2] ?? 'http://127.0.0.1:8080/')
const count = Number(process.argv[3] ?? 100)

await run(async () => {
  const started = performance.now()
  await using stream = await TcpStream.connect({
    host: url.hostname,
    port: Number(url.port || 80),
    noDelay: true,
  })
  const connection = new HttpConnection(stream)
  const request = `GET ${url.pathname}${url.search} HTTP/1.1\r\nHost: ${url.host}\r\n\r\n`
  let bytes = 0
  for (let i = 0; i < count; i++) {
    await stream.write(request)
    const { status, body } = await connection.readResponse()
    if (status !== 200) throw new Error(`request ${i}: status ${status}`)
    bytes += body.length
  }
  const elapsed = performance.now() - started
  console.log(`${count} requests, ${bytes} bytes of bodies in ${elapsed.toFixed(1)} ms`)
})
