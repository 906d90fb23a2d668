// An echo server: each connection is a task that sends back what it reads.
// Run: node build/examples/echo.js --port 7000, then: nc 127.0.0.1 7000

import { serve, serverArguments } from './lib/server.ts'

const { port } = serverArguments()

await serve(port, async (stream) => {
  // Each chunk lies where the kernel put it, and is the kernel's again at the end of its turn: no byte is copied here.
  for await (using chunk of stream.chunks()) await stream.write(chunk.bytes)
})
