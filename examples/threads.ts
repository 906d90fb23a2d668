// One server on many threads: the main thread accepts, and hands each socket to a worker's ring with one message (MSG_RING).
// Run: node build/examples/threads.js --port 8080 [WORKERS], then: curl http://127.0.0.1:8080/
//
// Threads of a process share its descriptors, so the number is all that has to go over; the message is a completion on the
// worker's ring, and wakes it as its own sockets do. The other way is `TcpListener.bind({ port, reusePort: true })` in each worker:
// no hand-over, but the kernel chooses by a hash of the addresses, and a worker that is busy gets as many as the others. Here the
// one with the fewest connections is chosen: workers count down in a shared word.

import { availableParallelism } from 'node:os'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { defaultRing, run, spawn, TcpListener, TcpStream } from 'ringcore'
import { serveHttp, textResponse } from './lib/http.ts'
import { PEER_LEFT, serverArguments } from './lib/server.ts'

/** Instead of a descriptor: serve what you have, then end. */
const STOP = -1

if (isMainThread) await accept()
else await work()

// ---------------------------------------------------------------- the main thread

async function accept(): Promise<void> {
  const { port, rest } = serverArguments()
  const count = Number(rest[0] ?? availableParallelism())
  // How many connections each worker has: we count up, it counts down.
  const open = new Int32Array(new SharedArrayBuffer(count * 4))
  const workers = await Promise.all(Array.from({ length: count }, (_, index) => startWorker(index, open)))
  const ring = defaultRing()
  const listener = TcpListener.bind({ host: '127.0.0.1', port, noDelay: true })
  const stop = new AbortController()
  process.once('SIGINT', () => stop.abort()).once('SIGTERM', () => stop.abort())
  console.log(`${count} workers, listening on 127.0.0.1:${listener.port}`)
  try {
    for await (const fd of ring.acceptMultishot(listener.fd, { signal: stop.signal })) {
      const chosen = leastBusy(open)
      Atomics.add(open, chosen, 1)
      // Not awaited: all messages of one turn go down together. Nobody has the socket if it could not be handed over.
      ring.msgRing(workers[chosen]!.ring, { value: fd }).catch(() => {
        Atomics.sub(open, chosen, 1)
        return ring.closeFile(fd)
      })
    }
  } catch (error) {
    if ((error as Error).name !== 'AbortError') throw error
  }
  await listener.close()
  // Messages keep their order, so every socket that was sent comes before this.
  for (const { ring: target } of workers) await ring.msgRing(target, { value: STOP })
  const served = await Promise.all(workers.map(({ ended }) => ended))
  for (const [index, requests] of served.entries()) console.log(`worker ${index} served ${requests} requests`)
}

function leastBusy(open: Int32Array): number {
  let least = 0
  for (let i = 1; i < open.length; i++) if (Atomics.load(open, i) < Atomics.load(open, least)) least = i
  return least
}

/** Starts a worker; its first message is the number of its ring, its last how many requests it has served. */
function startWorker(index: number, open: Int32Array): Promise<{ ring: number; ended: Promise<number> }> {
  const worker = new Worker(new URL(import.meta.url), { workerData: { index, open } })
  return new Promise((resolve, reject) => {
    let served = 0
    const ended = new Promise<number>((end) => worker.once('exit', () => end(served)))
    worker.once('message', (ring: number) => {
      worker.on('message', (requests: number) => {
        served = requests
      })
      resolve({ ring, ended })
    })
    worker.once('error', reject)
  })
}

// ---------------------------------------------------------------- a worker

async function work(): Promise<void> {
  const { index, open } = workerData as { index: number; open: Int32Array }
  const ring = defaultRing()
  const streams = new Set<TcpStream>()
  let served = 0
  parentPort!.postMessage(ring.ring.fd)

  const serveOne = async (stream: TcpStream): Promise<void> => {
    try {
      await serveHttp(stream, async ({ keepAlive }) => {
        served++
        await stream.write(textResponse(200, `Hello from worker ${index}\n`, keepAlive))
      })
    } catch (error) {
      if (!PEER_LEFT.has((error as NodeJS.ErrnoException).code ?? '')) console.error(error)
    } finally {
      await stream.close()
      streams.delete(stream)
      Atomics.sub(open, index, 1)
    }
  }

  await run(async () => {
    for await (const { value: fd } of ring.messages()) {
      if (fd === STOP) break
      const stream = TcpStream.fromRawFd(fd)
      streams.add(stream)
      spawn(() => serveOne(stream))
    }
    for (const stream of streams) stream.close()
  })
  parentPort!.postMessage(served)
  await ring.close()
}
