// cat of a 100 MB file from the page cache: to /dev/null, and to a pipe that `cat` empties at the other end.
// Flow: main.ts → this → ringcore, node:fs.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  closeSync,
  createReadStream,
  createWriteStream,
  openSync,
  readFileSync,
  readSync,
  writeSync,
} from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { Uring } from 'ringcore'
import { type Bench, type Case, type Context, type Sample, type Subject, timed } from './harness.ts'
import { catRing } from './job-cat.ts'
import { fileSystemOf, makeFile } from './tools.ts'

const CHUNK = 256 * 1024

type Copy = (path: string, to: number, bytes: number) => unknown

async function streams(path: string, to: number, highWaterMark?: number): Promise<void> {
  const options = highWaterMark === undefined ? {} : { highWaterMark }
  await pipeline(
    createReadStream(path, options),
    createWriteStream('', { ...options, fd: to, autoClose: false }),
  )
}

async function fileHandles(path: string, to: number, bytes: number): Promise<void> {
  const from = await open(path)
  const target = createWriteStream('', { fd: to, autoClose: false, highWaterMark: CHUNK })
  const buffer = Buffer.alloc(CHUNK)
  for (let at = 0; at < bytes; ) {
    const { bytesRead } = await from.read(buffer, 0, CHUNK, at)
    await new Promise<void>((resolve, reject) => {
      target.write(buffer.subarray(0, bytesRead), (error) => (error ? reject(error) : resolve()))
    })
    at += bytesRead
  }
  await from.close()
}

function sync(path: string, to: number): void {
  const from = openSync(path, 'r')
  const buffer = Buffer.alloc(CHUNK)
  for (;;) {
    const got = readSync(from, buffer)
    if (got === 0) break
    for (let sent = 0; sent < got; ) sent += writeSync(to, buffer, sent, got - sent)
  }
  closeSync(from)
}

async function spliced(ring: Uring, path: string, to: number, bytes: number): Promise<void> {
  const from = await ring.openat(path)
  for (let at = 0; at < bytes; ) {
    const moved = await ring.splice(from, at, to, -1, Math.min(CHUNK, bytes - at))
    if (moved === 0) throw new Error('the file is shorter than it was')
    at += moved
  }
  await ring.closeFile(from)
}

function subjects(ring: Uring, run: (copy: Copy) => Promise<Sample>): Subject[] {
  return [
    { name: 'ring.read, ring.write', run: () => run((path, to) => catRing(ring, path, to)) },
    { name: 'stream.pipeline', run: () => run((path, to) => streams(path, to)) },
    { name: 'stream.pipeline, 256 KiB', run: () => run((path, to) => streams(path, to, CHUNK)) },
    { name: 'FileHandle.read, stream.write', run: () => run(fileHandles) },
    { name: 'fs.readSync, fs.writeSync', run: () => run(sync) },
  ]
}

function toNull(ring: Uring, path: string, bytes: number): Case {
  const to = openSync('/dev/null', 'w')
  return {
    name: 'to /dev/null',
    unit: 'ms',
    subjects: subjects(ring, (copy) => timed(1, () => copy(path, to, bytes))),
    targets: [{ kind: 'value', atMost: 100 }],
    close: () => closeSync(to),
  }
}

/** The reader at the other end of a pipe; its exit code says whether it was content with what came. */
function consumer(command: string): { child: ChildProcess; exit: Promise<unknown[]> } {
  const child = spawn('sh', ['-c', command], { stdio: ['ignore', 'ignore', 'inherit'] })
  return { child, exit: once(child, 'exit') }
}

function toPipe(ring: Uring, path: string, bytes: number, directory: string): Case {
  const fifo = join(directory, 'pipe')
  execFileSync('mkfifo', [fifo])
  const checked = new Set<Copy | string>()
  const copyTo = async (name: string, copy: Copy): Promise<Sample> => {
    // The first run, which is not measured, compares what arrives with the file.
    const { exit } = consumer(checked.has(name) ? `cat '${fifo}' > /dev/null` : `cmp '${path}' '${fifo}'`)
    checked.add(name)
    const to = openSync(fifo, 'w')
    let open = true
    try {
      const sample = await timed(1, () => copy(path, to, bytes))
      closeSync(to)
      open = false
      const [code] = await exit
      if (code !== 0) throw new Error(`${name}: other bytes came out of the pipe than are in the file`)
      return sample
    } finally {
      if (open) closeSync(to)
    }
  }
  let current = ''
  const all = subjects(ring, (copy) => copyTo(current, copy))
  all.push({
    name: 'ring.splice',
    run: () => copyTo(current, (from, to, length) => spliced(ring, from, to, length)),
  })
  return {
    name: 'to a pipe',
    unit: 'ms',
    subjects: all.map(({ name, run }) => ({
      name,
      run: () => {
        current = name
        return run()
      },
    })),
  }
}

export const cat: Bench = {
  name: 'cat-100MB',
  about: 'a file of 100 MB copied from the page cache',
  async *cases(context: Context) {
    const path = join(context.directory, '100MB')
    const bytes = context.amount(100_000_000, 10_000_000)
    makeFile(path, bytes)
    readFileSync(path)
    context.note(
      `${bytes / 1e6} MB on ${await fileSystemOf(context.directory)}; CPU time is this process's, without the reader's`,
    )
    const ring = new Uring()
    yield toNull(ring, path, bytes)
    yield toPipe(ring, path, bytes, context.directory)
    await ring.close()
  },
}
