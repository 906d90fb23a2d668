// An echo server whose ring is polled by a kernel thread (SQPOLL): while that thread is awake, submitting takes no system call.
// Run: node build/examples/sqpoll-echo.js --port 7000
//
// The price is a kernel thread that spins; after `sqThreadIdleMs` without work it sleeps, and the next submit wakes it.

import { init } from 'ringcore'
import { serve, serverArguments } from './lib/server.ts'

const { port } = serverArguments()
const ring = init({ sqpoll: true, sqThreadIdleMs: 50 })

await serve(port, async (stream) => {
  for await (using chunk of stream.chunks()) await stream.write(chunk.bytes)
})

const { cqes, enters } = ring.stats()
console.log(`${cqes} completions with ${enters} calls of io_uring_enter`)
await ring.close()
