// One ACCEPT request for all connections: each posts a CQE, and the request stays armed.
// Run: node build/examples/multishot-accept.js --port 7000 [COUNT], then COUNT times: nc 127.0.0.1 7000

import { defaultRing, run, TcpListener, TcpStream } from 'ringcore'
import { serverArguments } from './lib/server.ts'

const { port, rest } = serverArguments()
const count = Number(rest[0] ?? 10)

const ring = defaultRing()
await using listener = TcpListener.bind({ host: '127.0.0.1', port })
const stop = new AbortController()
process.once('SIGINT', () => stop.abort())
console.log(`listening on 127.0.0.1:${listener.port}`)

let accepted = 0
await run(async () => {
  // Leaving the loop cancels the request; connections that came too late are closed.
  for await (const fd of ring.acceptMultishot(listener.fd, { signal: stop.signal })) {
    accepted++
    await using stream = TcpStream.fromRawFd(fd)
    await stream.write(`you are number ${accepted}\n`)
    if (accepted === count) break
  }
}).catch((error: Error) => {
  if (error.name !== 'AbortError') throw error
})
console.log(`${accepted} connections, one request`)
