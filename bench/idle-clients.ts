// Holds the other ends of idle connections.
// Flow: idle.ts → Helper.start('idle-clients', [port]) → this. {connections} makes so many more.

import net from 'node:net'

const port = Number(process.argv[2])
const sockets: net.Socket[] = []

/** From several addresses of the loopback net: one has only 28,000 ports. */
function connect(): Promise<void> {
  return new Promise((resolve, reject) => {
    const localAddress = `127.0.0.${2 + (sockets.length % 50)}`
    const socket = net.connect({ port, host: '127.0.0.1', localAddress }, resolve)
    socket.on('error', reject)
    sockets.push(socket)
  })
}

process.on('message', async ({ connections }: { connections: number }) => {
  for (let made = 0; made < connections; made += 100)
    await Promise.all(Array.from({ length: Math.min(100, connections - made) }, connect))
  process.send!({ done: true })
})
process.on('disconnect', () => process.exit())
process.send!({ ready: true })
