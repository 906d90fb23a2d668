// What the tour measures: reads of 4 KiB, many small files, and echo, each against node:fs or node:net.

import { randomFillSync } from 'node:crypto'
import { type FileHandle, mkdir, open, readFile, writeFile } from 'node:fs/promises'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { TcpListener, TcpStream, type Uring } from 'ringcore'
import type { Contest } from '../lib/compare.ts'
import { serveEcho } from './sockets.ts'

const PAGE = 4096

export interface Measured {
  contests: Contest[]
  close(): Promise<void>
}

/** Runs `lanes` loops that share `count` turns: so many are in flight at any time. */
async function inFlight(
  lanes: number,
  count: number,
  turn: (i: number, lane: number) => Promise<unknown>,
): Promise<void> {
  let next = 0
  const lane = async (_: unknown, index: number): Promise<void> => {
    while (next < count) await turn(next++, index)
  }
  await Promise.all(Array.from({ length: lanes }, lane))
}

/** Reads of 4 KiB from the page cache: alone, and 128 at a time. */
export async function readContests(ring: Uring, dir: string, count: number): Promise<Measured> {
  const path = join(dir, 'pages')
  const pages = 1024
  await writeFile(path, randomFillSync(Buffer.alloc(pages * PAGE)))
  const fd = await ring.openat(path)
  const handle: FileHandle = await open(path)
  const buffers = Array.from({ length: 128 }, () => Buffer.alloc(PAGE))
  const position = (i: number): number => (i % pages) * PAGE

  const contest = (name: string, lanes: number, reads: number): Contest => ({
    name,
    count: reads,
    per: 'read',
    peer: 'FileHandle.read',
    ours: () => inFlight(lanes, reads, (i, lane) => ring.read(fd, buffers[lane]!, { position: position(i) })),
    theirs: () => inFlight(lanes, reads, (i, lane) => handle.read(buffers[lane]!, 0, PAGE, position(i))),
  })
  return {
    contests: [
      contest('4 KiB cached read, alone', 1, count >> 3),
      contest('4 KiB cached read, 128 in flight', 128, count),
    ],
    async close() {
      await ring.closeFile(fd)
      await handle.close()
    },
  }
}

/** Small files read whole: opened, read and closed by three requests that the kernel runs in a row. */
export async function smallFilesContest(ring: Uring, dir: string, count: number): Promise<Measured> {
  const LANES = 32
  const room = PAGE
  await mkdir(join(dir, 'small'))
  const paths = Array.from({ length: count }, (_, i) => join(dir, 'small', `${i}`))
  await inFlight(64, count, (i) => writeFile(paths[i]!, `${i}\n`.repeat(40 + (i % 400))))

  // Direct descriptors: the files never get a number in the process's own table.
  const files = Array.from({ length: LANES }, () => ring.fixedFile())
  const buffers = Array.from({ length: LANES }, () => ring.alloc(room))
  const readOne = (i: number, lane: number): Promise<unknown> =>
    ring.chain((c) => {
      c.openat(paths[i]!, 'r', { slot: files[lane]! }).hardlink()
      c.read(files[lane]!, buffers[lane]!, { position: 0 }).hardlink()
      c.close(files[lane]!)
    })
  return {
    contests: [
      {
        name: `${count} small files, ${LANES} at once`,
        count,
        per: 'file',
        peer: 'fs.promises.readFile',
        ours: () => inFlight(LANES, count, readOne),
        theirs: () => inFlight(LANES, count, (i) => readFile(paths[i]!)),
      },
    ],
    async close() {
      for (const file of files) ring.freeFixedFile(file)
      for (const buffer of buffers) ring.free(buffer)
    },
  }
}

/** Sends a message and waits for all of it to come back, `rounds` times. */
async function ringPingPong(stream: TcpStream, message: Buffer, rounds: number): Promise<void> {
  const buffer = Buffer.alloc(message.length)
  for (let round = 0; round < rounds; round++) {
    await stream.write(message)
    for (let got = 0; got < message.length; ) {
      const bytes = await stream.read(buffer)
      if (bytes === 0) throw new Error('the echo server hung up')
      got += bytes
    }
  }
}

function nodePingPong(socket: Socket, message: Buffer, rounds: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let got = 0
    let round = 0
    const onData = (chunk: Buffer): void => {
      got += chunk.length
      if (got < message.length) return
      got = 0
      if (++round < rounds) socket.write(message)
      else {
        socket.off('data', onData).off('error', reject)
        resolve()
      }
    }
    socket.on('data', onData).on('error', reject)
    socket.write(message)
  })
}

async function startNodeEcho(): Promise<Server> {
  const server = createServer({ noDelay: true }, (socket) =>
    socket.on('data', (chunk) => socket.write(chunk)),
  )
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return server
}

/** Echo over `clients` connections; server and clients live in this process, on both sides of the comparison. */
export async function echoContest(clients: number, rounds: number): Promise<Measured> {
  const message = randomFillSync(Buffer.alloc(64))
  const listener = TcpListener.bind({ host: '127.0.0.1', port: 0 })
  const served = serveEcho(listener, clients)
  const streams = await Promise.all(
    Array.from({ length: clients }, () =>
      TcpStream.connect({ host: '127.0.0.1', port: listener.port, noDelay: true }),
    ),
  )
  const server = await startNodeEcho()
  const { port } = server.address() as AddressInfo
  const sockets = await Promise.all(
    Array.from(
      { length: clients },
      () =>
        new Promise<Socket>((resolve, reject) => {
          const socket = connect({ port, host: '127.0.0.1', noDelay: true }, () => resolve(socket))
          socket.once('error', reject)
        }),
    ),
  )
  return {
    contests: [
      {
        name: `echo of 64 bytes, ${clients} clients`,
        count: clients * rounds,
        per: 'round trip',
        peer: 'node:net',
        ours: () => Promise.all(streams.map((stream) => ringPingPong(stream, message, rounds))),
        theirs: () => Promise.all(sockets.map((socket) => nodePingPong(socket, message, rounds))),
      },
    ],
    async close() {
      await Promise.all(streams.map((stream) => stream.close()))
      await served
      await listener.close()
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
