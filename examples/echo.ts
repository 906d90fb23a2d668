// An echo server: each connection is a task that sends back what it reads.
// Run: node build/examples/echo.js --port 7000, then: nc 127.0.0.1 7000

import { serve, serverArguments } from './lib/server.ts'

const { port } = serverArguments()

await serve(port, async (stream) => {
  const buffer = Buffer.alloc(16384)
  for (;;) {
    const bytes = await stream.read(buffer)
    if (bytes === 0) break
    // The buffer is ours again when write() is done: only then is it read into anew.
    await stream.write(buffer.subarray(0, bytes))
  }
})
