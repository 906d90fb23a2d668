// Whole small files: 10,000 of 0.2 to 4 KB, 32 at once and one after another.
// Flow: main.ts → this → ringcore (open → read → close as one chain), node:fs.

import { readFile as readFileCallback, readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { type FixedFile, readFile as ringReadFile, Uring } from 'ringcore'
import { type Bench, type Case, type Context, type Target, timed } from './harness.ts'
import { type Files, makeFiles } from './small-files.ts'
import { fileSystemOf } from './tools.ts'

/** Room for the largest file and one byte more, so that a full buffer would show that a file is longer. */
const ROOM = 4096

const TARGETS: Record<number, Target[]> = {
  1: [{ kind: 'ratio', against: 'fs.promises.readFile', of: 'time', atLeast: 5 }],
  32: [
    { kind: 'ratio', against: 'fs.promises.readFile', of: 'time', atLeast: 1.7 },
    { kind: 'ratio', against: 'fs.promises.readFile', of: 'cpu', atLeast: 3 },
    { kind: 'ratio', against: 'fs.readFileSync, one after another', of: 'time', atLeast: 1 },
  ],
}

/** One file in one trip to the kernel: the read is a hard link's head, so the file is closed however short it was. */
async function readChained(ring: Uring, path: string, slot: FixedFile, room: Buffer): Promise<Buffer> {
  const results = await ring.chain((c) => {
    c.openat(path, 'r', { slot })
    c.read(slot, room, { position: 0 }).hardlink()
    c.close(slot)
  })
  const bytes = results[1] as number
  if (bytes === room.length) throw new Error(`${path} is longer than ${room.length - 1} bytes`)
  return Buffer.from(room.subarray(0, bytes))
}

/** Reads all files, `inFlight` at a time, and checks how many bytes came. */
async function readAll(
  files: Files,
  inFlight: number,
  read: (path: string, lane: number) => Promise<Buffer>,
): Promise<void> {
  const { paths } = files
  let next = 0
  let bytes = 0
  const lane = async (_: unknown, number: number): Promise<void> => {
    while (next < paths.length) {
      const content = await read(paths[next++]!, number)
      bytes += content.length
    }
  }
  await Promise.all(Array.from({ length: inFlight }, lane))
  if (bytes !== files.bytes) throw new Error(`read ${bytes} bytes of ${files.bytes}`)
}

function readCase(files: Files, inFlight: number, repeat: number): Case {
  const ring = new Uring()
  const slots = Array.from({ length: inFlight }, () => ring.fixedFile())
  const rooms = Array.from({ length: inFlight }, () => ring.alloc(ROOM))
  const withCallback = (path: string): Promise<Buffer> =>
    new Promise((resolve, reject) => {
      readFileCallback(path, (error, data) => (error ? reject(error) : resolve(data)))
    })
  const subject = (name: string, read: (path: string, lane: number) => Promise<Buffer>) => ({
    name,
    run: () => timed(files.paths.length, () => readAll(files, inFlight, read)),
  })
  const plan: Case = {
    name: inFlight === 1 ? 'one after another' : `${inFlight} at once`,
    unit: 'µs',
    subjects: [
      subject('readFile', (path) => ringReadFile(path, { ring })),
      subject('ring.chain', (path, lane) => readChained(ring, path, slots[lane]!, rooms[lane]!)),
      subject('fs.promises.readFile', (path) => readFile(path)),
      subject('fs.readFile', withCallback),
    ],
    targets: TARGETS[inFlight] ?? [],
    // A round is some 40 ms only: the compiler is not through with either side after one.
    warmups: 5,
    repeat,
    close: () => ring.close(),
  }
  const sync = (): void => {
    for (const path of files.paths) readFileSync(path)
  }
  const name = inFlight === 1 ? 'fs.readFileSync' : 'fs.readFileSync, one after another'
  plan.subjects.push({ name, run: () => timed(files.paths.length, sync) })
  return plan
}

export const readfile: Bench = {
  name: 'readfile',
  about: 'whole files of 0.2 to 4 KB',
  async *cases(context: Context) {
    const files = makeFiles(context.directory, context.amount(10_000, 500))
    context.note(`${files.paths.length} files on ${await fileSystemOf(context.directory)}, in the page cache`)
    const repeat = context.amount(21, 3)
    yield readCase(files, 32, repeat)
    yield readCase(files, 1, repeat)
  },
}
