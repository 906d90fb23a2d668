// The four headline jobs on ringcore and on node:fs or node:net, by turns in one run, as one table.
// Run: node build/examples/benchmark.js [--rounds 9] [--warmup 1000] [--json]
//
// The HTTP server is http-server.ts in a process of its own, the same for both clients. bench/ has the finer measurements.

import { type ChildProcess, spawn as spawnProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { open, readFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { defaultRing, File, run, spawn, TcpStream } from 'ringcore'
import { type Contest, compare, type Outcome, outcomeTable } from './lib/compare.ts'
import { HttpConnection } from './lib/http.ts'

const MIB = 1 << 20
const LARGE_MIB = 100
const FILES = 100
const SEQUENTIAL = 100
const [TASKS, REQUESTS] = [200, 5]
const HOST = '127.0.0.1'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '9' },
    // Milliseconds; a job's very first run is shown beside the warm ones.
    warmup: { type: 'string', default: '1000' },
    json: { type: 'boolean', default: false },
  },
})

// ---- cat: the large file to /dev/null, in blocks

const BLOCK = 256 * 1024

async function ringCat(path: string): Promise<void> {
  const ring = defaultRing()
  await using file = await File.open(path)
  await using sink = await File.open('/dev/null', 'w')
  const block = ring.alloc(BLOCK)
  for (;;) {
    const bytes = await file.read(block)
    if (bytes === 0) break
    await sink.writeAll(block.subarray(0, bytes))
  }
  ring.free(block)
}

async function nodeCat(path: string): Promise<void> {
  const file = await open(path)
  const sink = await open('/dev/null', 'w')
  const block = Buffer.allocUnsafe(BLOCK)
  for (;;) {
    const { bytesRead } = await file.read(block, 0, BLOCK)
    if (bytesRead === 0) break
    await sink.write(block, 0, bytesRead)
  }
  await file.close()
  await sink.close()
}

// ---- 100 files at once

async function ringReadFile(path: string): Promise<Buffer> {
  await using file = await File.open(path)
  return await file.readToEnd()
}

async function ringReads(paths: readonly string[]): Promise<void> {
  for (const path of paths) spawn(() => ringReadFile(path))
  await run()
}

const nodeReads = (paths: readonly string[]): Promise<Buffer[]> =>
  Promise.all(paths.map((path) => readFile(path)))

// ---- HTTP

const request = (connection: string): string =>
  `GET / HTTP/1.1\r\nHost: ${HOST}\r\nConnection: ${connection}\r\n\r\n`

function mustBeGood(status: number): void {
  if (status !== 200) throw new Error(`the server answered ${status}`)
}

async function ringGets(port: number, count: number, connection: string): Promise<void> {
  await using stream = await TcpStream.connect({ host: HOST, port, noDelay: true })
  const http = new HttpConnection(stream)
  for (let i = 0; i < count; i++) {
    await stream.write(request(connection))
    mustBeGood((await http.readResponse()).status)
  }
}

/** Where the response ends that `bytes` begins with; -1 while it is not complete. */
function endOfResponse(bytes: Buffer): number {
  const head = bytes.indexOf('\r\n\r\n')
  if (head < 0) return -1
  const length = /content-length: (\d+)/i.exec(bytes.toString('latin1', 0, head))
  const end = head + 4 + Number(length?.[1])
  return bytes.length >= end ? end : -1
}

function nodeGets(port: number, count: number, connection: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let pending: Buffer = Buffer.alloc(0)
    let done = 0
    const socket: Socket = connect({ host: HOST, port, noDelay: true }, () =>
      socket.write(request(connection)),
    )
    socket.on('error', reject)
    socket.on('data', (chunk: Buffer) => {
      pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk])
      const end = endOfResponse(pending)
      if (end < 0) return
      if (pending.toString('latin1', 9, 12) !== '200') reject(new Error('the server did not answer 200'))
      pending = pending.subarray(end)
      if (++done < count) socket.write(request(connection))
      else socket.end().on('close', () => resolve())
    })
  })
}

type Gets = (port: number, count: number, connection: string) => Promise<void>

async function stress(gets: Gets, port: number): Promise<void> {
  const task = async (): Promise<void> => {
    for (let i = 0; i < REQUESTS; i++) await gets(port, 1, 'close')
  }
  await Promise.all(Array.from({ length: TASKS }, task))
}

/** Starts http-server.ts, which ends with its standard input: then it can't outlive this process, however that ends. */
async function startServer(): Promise<{ server: ChildProcess; port: number }> {
  const url = new URL(`http-server${extname(import.meta.filename)}`, import.meta.url)
  const program = `process.stdin.on('end', () => process.exit()).resume(); await import('${url}')`
  const server = spawnProcess(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  for await (const line of server.stdout!.setEncoding('utf8')) {
    const [, port] = /:(\d+)\n/.exec(line) ?? []
    if (port !== undefined) return { server, port: Number(port) }
  }
  throw new Error('the HTTP server did not start')
}

// ---- all of it

const dir = mkdtempSync(join(tmpdir(), 'ringcore-benchmark-'))
process.on('exit', () => rmSync(dir, { recursive: true, force: true }))
process.once('SIGINT', () => process.exit(130))

const large = join(dir, 'large')
for (let i = 0; i < LARGE_MIB; i++) writeFileSync(large, Buffer.alloc(MIB, i), { flag: 'a' })
const paths = Array.from({ length: FILES }, (_, i) => join(dir, `${i}`))
for (const [i, path] of paths.entries()) writeFileSync(path, `file ${i}\n`.repeat(i + 1))
const { server, port } = await startServer()

const contests: Contest[] = [
  {
    name: `cat a file of ${LARGE_MIB} MiB`,
    count: 1,
    peer: 'FileHandle',
    ours: () => ringCat(large),
    theirs: () => nodeCat(large),
  },
  {
    name: `${FILES} files at once`,
    count: FILES,
    peer: 'fs.promises.readFile',
    ours: () => ringReads(paths),
    theirs: () => nodeReads(paths),
  },
  {
    name: `${SEQUENTIAL} HTTP requests in sequence`,
    count: SEQUENTIAL,
    peer: 'node:net',
    ours: () => ringGets(port, SEQUENTIAL, 'keep-alive'),
    theirs: () => nodeGets(port, SEQUENTIAL, 'keep-alive'),
  },
  {
    name: `${TASKS * REQUESTS} HTTP requests, ${TASKS} at once`,
    count: TASKS * REQUESTS,
    peer: 'node:net',
    ours: () => stress(ringGets, port),
    theirs: () => stress(nodeGets, port),
  },
]

const outcomes: Outcome[] = []
try {
  for (const contest of contests) {
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[2K… ${contest.name}`)
    outcomes.push(await compare(contest, Number(values.rounds), Number(values.warmup)))
  }
} finally {
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[2K')
  server.stdin!.end()
  await once(server, 'exit')
}

if (values.json) {
  const rows = outcomes.map(({ contest, ours, theirs }) => ({
    name: contest.name,
    peer: contest.peer,
    ringcoreMs: ours,
    peerMs: theirs,
    ratio: theirs.median / ours.median,
  }))
  console.log(JSON.stringify({ node: process.versions.node, rounds: Number(values.rounds), rows }, null, 2))
} else {
  console.log(outcomeTable(outcomes, true).join('\n'))
}
