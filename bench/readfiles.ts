// Batches of whole small files: readFiles against loops over fs.promises, fs.readFileSync, and a chain per file in C.
// Flow: main.ts → this → ringcore (readFiles, stats), node:fs, bench/c/readfiles.c (liburing).

import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { readFiles, stats, Uring } from 'ringcore'
import { IORING_SETUP_DEFER_TASKRUN, IORING_SETUP_SINGLE_ISSUER } from 'ringcore/sys'
import { type Bench, type Case, type Context, timed } from './harness.ts'
import { type Files, makeFiles } from './small-files.ts'
import { atATime, compilePeer, fileSystemOf, runPeer } from './tools.ts'

const IN_FLIGHT = 32
const FLAGS = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN

function readCase(context: Context, files: Files): Case {
  const ring = new Uring()
  const { paths, bytes } = files
  const check = (sum: number): void => {
    if (sum !== bytes) throw new Error(`read ${sum} bytes of ${bytes}`)
  }
  const batch = async (ordered: boolean): Promise<void> => {
    let sum = 0
    for await (const { data } of readFiles(paths, { ring, ordered, concurrency: IN_FLIGHT }))
      sum += data.length
    check(sum)
  }
  const loop = async (): Promise<void> => {
    let sum = 0
    await atATime(IN_FLIGHT, paths.length, async (i) => {
      const content = await readFile(paths[i]!)
      sum += content.length
    })
    check(sum)
  }
  const sync = (): void => check(paths.reduce((sum, path) => sum + readFileSync(path).length, 0))
  const plan: Case = {
    name: 'readFiles',
    unit: 'µs',
    subjects: [
      { name: 'readFiles', run: () => timed(paths.length, () => batch(true)) },
      { name: 'readFiles, unordered', run: () => timed(paths.length, () => batch(false)) },
      { name: 'fs.promises.readFile, 32 at once', run: () => timed(paths.length, loop) },
      { name: 'fs.readFileSync', run: () => timed(paths.length, sync) },
    ],
    targets: [
      { kind: 'ratio', against: 'fs.promises.readFile, 32 at once', of: 'time', atLeast: 2 },
      { kind: 'ratio', against: 'fs.promises.readFile, 32 at once', of: 'cpu', atLeast: 4 },
      { kind: 'ratio', against: 'liburing in C', of: 'time', atLeast: 0.85 },
    ],
    warmups: 5,
    repeat: context.amount(15, 3),
    close: () => ring.close(),
  }
  const peer = compilePeer('readfiles')
  if ('reason' in peer) context.skip('liburing in C', peer.reason)
  else {
    const list = join(context.directory, 'paths')
    writeFileSync(list, paths.join('\n'))
    plan.subjects.push({
      name: 'liburing in C',
      run: () => runPeer(peer.program, [list, 1, IN_FLIGHT, FLAGS]),
    })
  }
  return plan
}

function statCase(context: Context, { paths, bytes }: Files): Case {
  const ring = new Uring()
  const check = (sum: number): void => {
    if (sum !== bytes) throw new Error(`${sum} bytes of ${bytes}`)
  }
  const batch = async (): Promise<void> => {
    let sum = 0
    for await (const { stats: found } of stats(paths, { ring })) sum += found!.size
    check(sum)
  }
  const loop = async (): Promise<void> => {
    let sum = 0
    await atATime(IN_FLIGHT, paths.length, async (i) => {
      const { size } = await stat(paths[i]!)
      sum += size
    })
    check(sum)
  }
  const sync = (): void => check(paths.reduce((sum, path) => sum + statSync(path).size, 0))
  return {
    name: 'stats',
    unit: 'µs',
    subjects: [
      { name: 'stats', run: () => timed(paths.length, batch) },
      { name: 'fs.promises.stat, 32 at once', run: () => timed(paths.length, loop) },
      { name: 'fs.statSync', run: () => timed(paths.length, sync) },
    ],
    warmups: 3,
    repeat: context.amount(15, 3),
    close: () => ring.close(),
  }
}

export const readfiles: Bench = {
  name: 'readfiles',
  about: 'batches of whole files of 0.2 to 4 KB, and of their metadata',
  async *cases(context) {
    const files = makeFiles(join(context.directory, 'files'), context.amount(10_000, 500))
    context.note(`${files.paths.length} files on ${await fileSystemOf(context.directory)}, in the page cache`)
    yield readCase(context, files)
    yield statCase(context, files)
  },
}
