// Both sides of the network soak: an echo server, and clients that check every byte that comes back.
// Flow: 51.tcp-soak.test.ts → ip netns exec → this (server <address> | client <address> <port> <seconds> <seed>).

import { createHash, randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { defaultRing, type SocketStream, TcpListener, TcpStream, UdpSocket } from 'ringcore'
import { receiveBuffers } from '#src/net/receive-buffers.js'

const [role, address = '', ...rest] = process.argv.slice(2)
const say = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`)
const PERIOD = 65_521
// The same in both processes.
const TABLE = Buffer.concat(
  Array.from({ length: Math.ceil(PERIOD / 32) }, (_, i) => createHash('sha256').update(String(i)).digest()),
).subarray(0, PERIOD)
const LONG = Buffer.concat([TABLE, TABLE, TABLE])
const bytesAt = (at: number, length: number): Buffer => LONG.subarray(at % PERIOD, (at % PERIOD) + length)
/** What a network that drops, resets and goes away may end a connection with. */
const EXPECTED = new Set([
  'ECONNRESET',
  'ETIMEDOUT',
  'EPIPE',
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ECANCELED',
])

function isExpected(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException
  return code !== undefined && EXPECTED.has(code)
}

async function serve(): Promise<void> {
  const listener = TcpListener.bind({ host: address, port: 0 })
  const udp = UdpSocket.bind({ host: address, port: listener.port, gro: true })
  udp.receive(
    (datagram) => udp.send(datagram.bytes, datagram),
    () => {},
  )
  listener.serve(async (stream) => {
    stream.setTimeout(20_000)
    try {
      for await (const chunk of stream.chunks()) {
        try {
          await stream.write(chunk.bytes)
        } finally {
          chunk.release()
        }
      }
      await stream.end()
    } catch (error) {
      if (!isExpected(error)) say({ wrong: String(error) })
    }
    await stream.destroy()
  })
  say({ port: listener.port })
  process.stdin.on('data', async () => {
    for (let i = 0; i < 300 && listener.connections > 0; i++) await sleep(100)
    await Promise.all([listener.close(), udp.close()])
    const { inFlight, queued, strays } = defaultRing().stats()
    say({ open: listener.connections, lent: receiveBuffers(defaultRing()).lent, inFlight, queued, strays })
    process.exit()
  })
}

const totals = { connections: 0, bytes: 0, broken: 0, refused: 0, resets: 0, datagrams: 0, lost: 0 }

/** Sends, and checks what comes back. Ends properly, or with a reset at any moment. */
async function connection(port: number): Promise<void> {
  let stream: TcpStream
  try {
    stream = await TcpStream.connect({ host: address, port, timeout: 10_000 })
  } catch (error) {
    if (!isExpected(error)) throw error
    totals.refused++
    return
  }
  totals.connections++
  const total = Math.floor(Math.random() ** 4 * 3_000_000)
  const resetAfter = Math.random() < 0.2 ? Math.random() * total : Number.POSITIVE_INFINITY
  stream.setTimeout(20_000)
  let got = 0
  const reading = (async () => {
    for await (const bytes of stream) {
      if (!bytesAt(got, bytes.length).equals(bytes)) throw new Error(`byte ${got} of ${total} is wrong`)
      got += bytes.length
      if (Math.random() < 0.01) await sleep(20)
    }
  })()
  reading.catch(() => {})
  try {
    const isWhole = await sending(stream, total, resetAfter)
    await reading
    // Who resets reads the end at once.
    if (isWhole && got !== total) throw new Error(`${got} of ${total} bytes came back before the end`)
  } catch (error) {
    if (!isExpected(error)) throw error
    totals.broken++
  }
  totals.bytes += got
  await stream.destroy()
}

/** Sends all, or up to a reset; returns whether it was all. */
async function sending(stream: SocketStream, total: number, resetAfter: number): Promise<boolean> {
  for (let at = 0; at < total; ) {
    const length = Math.min(total - at, 1 + Math.floor(Math.random() ** 3 * 100_000))
    if (Math.random() < 0.5) await stream.write(bytesAt(at, length))
    else if (!stream.send(Buffer.from(bytesAt(at, length)))) await stream.drained()
    at += length
    if (at > resetAfter) {
      totals.resets++
      await stream.reset()
      return false
    }
  }
  await stream.end()
  return true
}

/** Datagrams may be lost, not changed. */
async function datagrams(port: number, until: number): Promise<void> {
  const socket = UdpSocket.bind({ host: address.replace(/\d+$/, '2') })
  let sent = 0
  socket.receive(
    ({ bytes }) => {
      const sum = createHash('sha256').update(bytes.subarray(32)).digest()
      if (!sum.equals(bytes.subarray(0, 32))) throw new Error('a datagram came back changed')
      totals.datagrams++
    },
    () => {},
  )
  while (Date.now() < until) {
    const payload = randomBytes(1 + Math.floor(Math.random() * 1400))
    const sum = createHash('sha256').update(payload).digest()
    try {
      await socket.write(Buffer.concat([sum, payload]), { address, port })
      sent++
    } catch (error) {
      if (!isExpected(error)) throw error
    }
    if (sent % 10 === 0) await sleep(1)
  }
  await sleep(500)
  totals.lost = sent - totals.datagrams
  await socket.close()
}

async function client(port: number, seconds: number): Promise<void> {
  const until = Date.now() + seconds * 1000
  const lane = async (): Promise<void> => {
    while (Date.now() < until) await connection(port)
  }
  await Promise.all([datagrams(port, until), ...Array.from({ length: 50 }, lane)])
  const { inFlight, queued, strays } = defaultRing().stats()
  say({ ...totals, lent: receiveBuffers(defaultRing()).lent, inFlight, queued, strays })
}

if (role === 'server') await serve()
else await client(Number(rest[0]), Number(rest[1]))
