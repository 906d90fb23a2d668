// One of the four headline jobs, run some times in a process of its own, so that the first run is a cold one.
// Flow: jobs.ts → node job-run.js <job> <ring|node> <runs> <file, directory or port> → this; it prints the runs' times as JSON.
// Only what the subject needs is loaded: loading it belongs to the cold run of a whole process.

import { strict as assert } from 'node:assert'
import { BODY, request, response } from './http.ts'

type Job = (subject: string, where: string) => Promise<() => Promise<void>>

const FILES = 100
const SEQUENTIAL = 100
const TASKS = 200
const REQUESTS_PER_TASK = 5

const ask = request(true)
const wanted = response(true)

/** cat FILE > /dev/null */
const cat: Job = async (subject, path) => {
  const { openSync, closeSync, statSync } = await import('node:fs')
  const { size } = statSync(path)
  let copy: (to: number) => Promise<number>
  if (subject === 'ring') {
    const { defaultRing } = await import('ringcore')
    const { catRing } = await import('./job-cat.ts')
    copy = (to) => catRing(defaultRing(), path, to)
  } else {
    const { createReadStream, createWriteStream } = await import('node:fs')
    const { pipeline } = await import('node:stream/promises')
    copy = async (to) => {
      const from = createReadStream(path)
      await pipeline(from, createWriteStream('', { fd: to, autoClose: false }))
      return from.bytesRead
    }
  }
  return async () => {
    const to = openSync('/dev/null', 'w')
    assert.equal(await copy(to), size)
    closeSync(to)
  }
}

/** Opens, reads and closes 100 files, all at once; file i holds bytes of value i. */
const files: Job = async (subject, directory) => {
  const paths = Array.from({ length: FILES }, (_, i) => `${directory}/${i}`)
  let read: (path: string) => Promise<Buffer>
  if (subject === 'ring') read = (await import('ringcore')).readFile
  else read = (await import('node:fs/promises')).readFile
  return async () => {
    const contents = await Promise.all(paths.map((path) => read(path)))
    for (const [i, content] of contents.entries()) {
      assert.ok(content.length === 4096 && content[0] === i && content[4095] === i)
    }
  }
}

/** A client that opens a connection for each request and reads to its end. */
async function client(subject: string, port: number): Promise<() => Promise<void>> {
  if (subject === 'ring') {
    const { TcpStream } = await import('ringcore')
    return async () => {
      const stream = await TcpStream.connect({ host: '127.0.0.1', port })
      await stream.write(ask)
      const buffer = Buffer.allocUnsafe(1024)
      let filled = 0
      for (;;) {
        const bytes = await stream.read(buffer.subarray(filled))
        if (bytes === 0) break
        filled += bytes
      }
      assert.ok(wanted.equals(buffer.subarray(0, filled)))
      await stream.close()
    }
  }
  const { connect } = await import('node:net')
  return () =>
    new Promise((resolve, reject) => {
      const socket = connect(port, '127.0.0.1')
      const parts: Buffer[] = []
      socket.on('error', reject)
      socket.on('data', (bytes: Buffer) => parts.push(bytes))
      socket.on('close', () =>
        wanted.equals(Buffer.concat(parts)) ? resolve() : reject(new Error('wrong answer')),
      )
      socket.write(ask)
    })
}

const sequential: Job = async (subject, port) => {
  const get = await client(subject, Number(port))
  return async () => {
    for (let i = 0; i < SEQUENTIAL; i++) await get()
  }
}

const stress: Job = async (subject, port) => {
  const get = await client(subject, Number(port))
  const task = async (): Promise<void> => {
    for (let i = 0; i < REQUESTS_PER_TASK; i++) await get()
  }
  return async () => {
    await Promise.all(Array.from({ length: TASKS }, task))
  }
}

const jobs: Record<string, Job> = { cat, files, sequential, stress }
const [job, subject, runs, where] = process.argv.slice(2) as [string, string, string, string]
assert.ok(BODY.length > 0 && Object.hasOwn(jobs, job))
const milliseconds: number[] = []
// The first run is a cold one, so it includes loading what it needs.
let start = performance.now()
const run = await jobs[job]!(subject, where)
for (let i = 0; i < Number(runs); i++) {
  await run()
  const end = performance.now()
  milliseconds.push(end - start)
  start = performance.now()
}
const { user, system } = process.cpuUsage()
process.stdout.write(JSON.stringify({ milliseconds, cpuMilliseconds: (user + system) / 1000 }))
