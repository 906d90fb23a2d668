// FileHandle of ringcore/fs against Node's: reads, writes, open and close, and what a full thread pool does to a read.
// Flow: main.ts → this → ringcore/fs, node:fs, bench/c/read4k.c (liburing).

import { pbkdf2 } from 'node:crypto'
import { closeSync, openSync, read as readCallback, readFileSync, readSync, writeSync } from 'node:fs'
import node, { type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import fs from 'ringcore/fs'
import { IORING_SETUP_DEFER_TASKRUN, IORING_SETUP_SINGLE_ISSUER } from 'ringcore/sys'
import {
  type Bench,
  type Case,
  type Context,
  type Sample,
  type Subject,
  type Target,
  timed,
} from './harness.ts'
import { atATime, compilePeer, fileSystemOf, makeFile, numbers, runPeer } from './tools.ts'

const BLOCK = 4096
const BLOCKS = 16384
const FLAGS = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN
const NODE = 'fs.promises'

const READ_TARGETS: Record<number, Target[]> = {
  1: [{ kind: 'ratio', against: NODE, of: 'time', atLeast: 15 }],
  128: [
    { kind: 'ratio', against: NODE, of: 'time', atLeast: 4.5 },
    { kind: 'ratio', against: 'liburing in C', of: 'time', atLeast: 0.85 },
  ],
}

/** The places that every subject goes to, in the same order. */
function placesOf(count: number): Float64Array {
  const random = numbers(1)
  return Float64Array.from({ length: count }, () => Math.floor(random.next().value * BLOCKS) * BLOCK)
}

/** One file, open for both sides. */
interface Opened {
  path: string
  ours: FileHandle
  theirs: FileHandle
  fd: number
}

async function opened(path: string): Promise<Opened> {
  return {
    path,
    ours: await fs.open(path, 'r+'),
    theirs: await node.open(path, 'r+'),
    fd: openSync(path, 'r+'),
  }
}

const closeAll = async ({ ours, theirs, fd }: Opened): Promise<void> => {
  closeSync(fd)
  await Promise.all([ours.close(), theirs.close()])
}

const nameOf = (inFlight: number): string => (inFlight === 1 ? 'one after another' : `${inFlight} at once`)

function readCase(context: Context, file: Opened, inFlight: number): Case {
  const ops = context.amount(inFlight === 1 ? 20_000 : 200_000, 2000)
  const places = placesOf(ops)
  const buffers = Array.from({ length: inFlight }, () => Buffer.alloc(BLOCK))
  const subject = (name: string, read: (buffer: Buffer, at: number) => Promise<unknown>): Subject => ({
    name,
    run: () => timed(ops, () => atATime(inFlight, ops, (i, lane) => read(buffers[lane]!, places[i]!))),
  })
  const byCallback = (buffer: Buffer, at: number): Promise<number> =>
    new Promise((resolve, reject) => {
      readCallback(file.fd, buffer, 0, BLOCK, at, (error, bytes) => (error ? reject(error) : resolve(bytes)))
    })
  const plan: Case = {
    name: `read 4 KiB, cached, ${nameOf(inFlight)}`,
    unit: 'µs',
    subjects: [
      subject('ringcore/fs', (buffer, at) => file.ours.read(buffer, 0, BLOCK, at)),
      subject(NODE, (buffer, at) => file.theirs.read(buffer, 0, BLOCK, at)),
      subject('fs.read', byCallback),
    ],
    targets: READ_TARGETS[inFlight] ?? [],
  }
  const sync = (): void => {
    for (const place of places) readSync(file.fd, buffers[0]!, 0, BLOCK, place)
  }
  plan.subjects.push({ name: 'fs.readSync, one after another', run: () => timed(ops, sync) })
  const peer = compilePeer('read4k')
  if ('reason' in peer) {
    context.skip('liburing in C', peer.reason)
    plan.targets = plan.targets!.filter((target) => !('against' in target) || target.against === NODE)
  } else {
    const args = [file.path, ops, inFlight, FLAGS, 0]
    plan.subjects.push({ name: 'liburing in C', run: () => runPeer(peer.program, args) })
  }
  return plan
}

/** The same work through both, and with the blocking call where there is one. */
function pairCase(
  context: Context,
  what: string,
  inFlight: number,
  work: { ours(i: number): Promise<unknown>; theirs(i: number): Promise<unknown>; sync?(i: number): void },
): Case {
  const ops = context.amount(inFlight === 1 ? 2000 : 10_000, 200)
  const { ours, theirs, sync } = work
  const run = (one: (i: number) => Promise<unknown>) => () => timed(ops, () => atATime(inFlight, ops, one))
  const plan: Case = {
    name: `${what}, ${nameOf(inFlight)}`,
    unit: 'µs',
    subjects: [
      { name: 'ringcore/fs', run: run(ours) },
      { name: NODE, run: run(theirs) },
    ],
    targets: [{ kind: 'ratio', against: NODE, of: 'time', atLeast: 1 }],
  }
  if (sync !== undefined) {
    const all = (): void => {
      for (let i = 0; i < ops; i++) sync(i)
    }
    plan.subjects.push({ name: 'blocking calls', run: () => timed(ops, all) })
  }
  return plan
}

/** The time that 99 of 100 reads stay below, in seconds as a sample. */
async function slowest(
  read: (at: number) => Promise<unknown>,
  busy: boolean,
  count: number,
): Promise<Sample> {
  const hashing = busy
    ? Array.from(
        { length: 64 },
        () => new Promise((resolve) => pbkdf2('secret', 'salt', 20_000, 64, 'sha512', resolve)),
      )
    : []
  const places = placesOf(count)
  const times = new Float64Array(count)
  for (let i = 0; i < count; i++) {
    const start = performance.now()
    await read(places[i]!)
    times[i] = performance.now() - start
  }
  await Promise.all(hashing)
  times.sort()
  return {
    ops: 1,
    seconds: times[Math.floor(count * 0.99)]! / 1000,
    notes: { median: times[count >> 1]! * 1000 },
  }
}

function latencyCase(context: Context, { ours, theirs }: Opened): Case {
  const buffer = Buffer.alloc(BLOCK)
  const [through, throughNode] = [ours, theirs].map(
    (handle) => (at: number) => handle.read(buffer, 0, BLOCK, at),
  )
  const [many, few] = [context.amount(20_000, 500), context.amount(100, 10)]
  return {
    name: '99 % of reads are faster than, while 64 pbkdf2 fill the pool',
    unit: 'µs',
    subjects: [
      { name: 'ringcore/fs, pool full', run: () => slowest(through!, true, many) },
      { name: 'ringcore/fs, idle', run: () => slowest(through!, false, many) },
      { name: `${NODE}, pool full`, run: () => slowest(throughNode!, true, few) },
      { name: `${NODE}, idle`, run: () => slowest(throughNode!, false, many) },
    ],
    targets: [{ kind: 'slowdown', against: 'ringcore/fs, idle', of: 'time', atMost: 2 }],
    repeat: 5,
  }
}

export const fsHandle: Bench = {
  name: 'fs-handle',
  about: "ringcore/fs's FileHandle, against Node's on the same file of 64 MiB",
  async *cases(context) {
    const path = join(context.directory, 'file')
    makeFile(path, BLOCK * BLOCKS)
    readFileSync(path)
    context.note(`the file is on ${await fileSystemOf(context.directory)}`)
    const file = await opened(path)
    const places = placesOf(16384)
    const at = (i: number): number => places[i & 16383]!
    const block = Buffer.alloc(BLOCK, 1)
    try {
      for (const inFlight of [1, 128]) yield readCase(context, file, inFlight)
      yield latencyCase(context, file)
      for (const inFlight of [1, 32]) {
        yield pairCase(context, 'write 4 KiB', inFlight, {
          ours: (i) => file.ours.write(block, 0, BLOCK, at(i)),
          theirs: (i) => file.theirs.write(block, 0, BLOCK, at(i)),
          sync: (i) => void writeSync(file.fd, block, 0, BLOCK, at(i)),
        })
        yield pairCase(context, 'stat', inFlight, {
          ours: () => file.ours.stat(),
          theirs: () => file.theirs.stat(),
        })
        yield pairCase(context, 'open and close', inFlight, {
          ours: async () => (await fs.open(path)).close(),
          theirs: async () => (await node.open(path)).close(),
          sync: () => closeSync(openSync(path, 'r')),
        })
      }
    } finally {
      await closeAll(file)
    }
  },
}
