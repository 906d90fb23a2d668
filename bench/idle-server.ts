// Servers that hold idle connections and tell what they cost: ring (TcpStream with callbacks) and net (node:net).
// Flow: idle.ts → Helper.start('idle-server', [kind]) → this. {until} waits for so many connections and tells the memory in use;
// {idle} does nothing for so many milliseconds and tells the CPU time.

import net, { type AddressInfo } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc') as () => void
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
let connections = 0

async function serveRing(): Promise<number> {
  const { TcpListener } = await import('ringcore')
  const listener = TcpListener.bind({ host: '127.0.0.1' })
  listener.serve((stream) => {
    connections++
    stream.receive(
      (bytes, length) => stream.send(bytes.subarray(0, length)),
      () => void stream.close(),
    )
  })
  return listener.port
}

async function serveNet(): Promise<number> {
  const server = net.createServer((socket) => {
    connections++
    socket.on('data', (bytes: Buffer) => socket.write(bytes))
    socket.on('error', () => socket.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', 4096, resolve))
  return (server.address() as AddressInfo).port
}

async function memory(until: number): Promise<{ heap: number; outside: number }> {
  while (connections < until) await sleep(10)
  for (let i = 0; i < 4; i++) {
    gc()
    await sleep(20)
  }
  const { heapUsed, external } = process.memoryUsage()
  // `external` counts the memory of all ArrayBuffers, the ring's mappings among them.
  return { heap: heapUsed, outside: external }
}

async function rest(ms: number): Promise<{ cpuSeconds: number; seconds: number }> {
  await sleep(200)
  const [start, before] = [performance.now(), process.cpuUsage()]
  await sleep(ms)
  const { user, system } = process.cpuUsage(before)
  return { cpuSeconds: (user + system) / 1e6, seconds: (performance.now() - start) / 1000 }
}

const port = await (process.argv[2] === 'net' ? serveNet() : serveRing())
process.on('message', async (message: { until?: number; idle?: number }) => {
  process.send!(message.until === undefined ? await rest(message.idle!) : await memory(message.until))
})
process.on('disconnect', () => process.exit())
process.send!({ port })
