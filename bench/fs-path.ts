// The functions of ringcore/fs on paths against those of node:fs/promises: which way each goes is decided by these numbers.
// Flow: main.ts → this → ringcore/fs, node:fs.

import * as sync from 'node:fs'
import node from 'node:fs/promises'
import { join } from 'node:path'
import fs from 'ringcore/fs'
import { type Bench, type Case, type Context, timed } from './harness.ts'
import { atATime, fileSystemOf } from './tools.ts'

type Fs = Pick<
  typeof node,
  'link' | 'mkdir' | 'rename' | 'rmdir' | 'stat' | 'symlink' | 'truncate' | 'unlink'
>

/** One function: what has to be there before each run, the call, and the blocking call that does the same. */
interface Work {
  name: keyof Fs
  prepare?(at: (i: number) => string, i: number): void
  run(fs: Fs, at: (i: number) => string, i: number): Promise<unknown>
  sync(at: (i: number) => string, i: number): unknown
}

const touch = (at: (i: number) => string, i: number): void => sync.writeFileSync(at(i), 'x')
const to = (at: (i: number) => string, i: number): string => `${at(i)}-2`

const WORKS: Work[] = [
  {
    name: 'stat',
    prepare: touch,
    run: (one, at, i) => one.stat(at(i)),
    sync: (at, i) => sync.statSync(at(i)),
  },
  {
    name: 'rename',
    prepare: touch,
    run: (one, at, i) => one.rename(at(i), to(at, i)),
    sync: (at, i) => sync.renameSync(at(i), to(at, i)),
  },
  {
    name: 'link',
    prepare: touch,
    run: (one, at, i) => one.link(at(i), to(at, i)),
    sync: (at, i) => sync.linkSync(at(i), to(at, i)),
  },
  {
    name: 'symlink',
    run: (one, at, i) => one.symlink('x', at(i)),
    sync: (at, i) => sync.symlinkSync('x', at(i)),
  },
  {
    name: 'unlink',
    prepare: touch,
    run: (one, at, i) => one.unlink(at(i)),
    sync: (at, i) => sync.unlinkSync(at(i)),
  },
  { name: 'mkdir', run: (one, at, i) => one.mkdir(at(i)), sync: (at, i) => sync.mkdirSync(at(i)) },
  {
    name: 'rmdir',
    prepare: (at, i) => sync.mkdirSync(at(i)),
    run: (one, at, i) => one.rmdir(at(i)),
    sync: (at, i) => sync.rmdirSync(at(i)),
  },
  {
    name: 'truncate',
    prepare: touch,
    run: (one, at, i) => one.truncate(at(i)),
    sync: (at, i) => sync.truncateSync(at(i)),
  },
]

function workCase(context: Context, { name, prepare, run, sync: block }: Work, inFlight: number): Case {
  const ops = context.amount(inFlight === 1 ? 1000 : 2000, 50)
  const dir = join(context.directory, 'names')
  const at = (i: number): string => join(dir, `n${i}`)
  const subject = (label: string, work: (i: number) => unknown, lanes: number) => ({
    name: label,
    run: () => {
      sync.rmSync(dir, { recursive: true, force: true })
      sync.mkdirSync(dir)
      for (let i = 0; i < ops; i++) prepare?.(at, i)
      return timed(ops, () => atATime(lanes, ops, async (i) => work(i)))
    },
  })
  return {
    name: `${name}, ${inFlight === 1 ? 'one after another' : `${inFlight} at once`}`,
    unit: 'µs',
    subjects: [
      subject('ringcore/fs', (i) => run(fs, at, i), inFlight),
      subject('fs.promises', (i) => run(node, at, i), inFlight),
      subject('blocking calls', (i) => block(at, i), 1),
    ],
    targets: [{ kind: 'ratio', against: 'fs.promises', of: 'time', atLeast: 1 }],
  }
}

export const fsPath: Bench = {
  name: 'fs-path',
  about: 'functions on paths, each on names of its own in one directory',
  async *cases(context) {
    context.note(`the files are on ${await fileSystemOf(context.directory)}`)
    for (const work of WORKS) for (const inFlight of [1, 32]) yield workCase(context, work, inFlight)
  },
}
