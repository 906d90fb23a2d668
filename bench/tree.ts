// Trees of 20,000 files of 0.2 to 4 KB: copying, removing and walking them, against node:fs and GNU cp, rm and find.
// Flow: main.ts → this → ringcore (cp, rm, walk), node:fs, child processes.
// In memory (/dev/shm), where nothing but the calls is measured: ext4 looks through the inodes that were freed lately before it gives
// a new one, so that copies after removals would cost more and more, whoever makes them. RINGCORE_BENCH_TREE names another directory.

import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { cp as nodeCp, rm as nodeRm, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { cp, rm, Uring, walk } from 'ringcore'
import { type Bench, type Case, type Context, type Sample, timed } from './harness.ts'
import { makeFiles } from './small-files.ts'
import { fileSystemOf, findProgram } from './tools.ts'

interface Tree {
  context: Context
  ring: Uring
  base: string
  src: string
  count: number
}

const child = (program: string, ...args: string[]): void =>
  void execFileSync(program, args, { stdio: 'pipe' })

/** A child's CPU time is not this process's: only wall time is compared with it. */
async function wallOnly(ops: number, work: () => unknown): Promise<Sample> {
  const { seconds } = await timed(ops, work)
  return { ops, seconds }
}

function copyCase({ context, ring, base, src, count }: Tree): Case {
  const to = join(base, 'copy')
  const fresh = (measured: typeof timed, copy: () => unknown) => async () => {
    rmSync(to, { recursive: true, force: true })
    return measured(count, copy)
  }
  const options = { recursive: true }
  const plan: Case = {
    name: 'cp -r',
    unit: 'µs',
    subjects: [
      { name: 'cp', run: fresh(timed, () => cp(src, to, { ...options, ring })) },
      { name: 'fs.promises.cp', run: fresh(timed, () => nodeCp(src, to, options)) },
    ],
    targets: [{ kind: 'ratio', against: 'fs.promises.cp', of: 'time', atLeast: 3 }],
    warmups: 2,
    repeat: context.amount(7, 2),
    close: () => rmSync(to, { recursive: true, force: true }),
  }
  if (findProgram('cp') === undefined) return plan
  plan.subjects.push({ name: 'GNU cp -r', run: fresh(wallOnly, () => child('cp', '-r', src, to)) })
  plan.targets!.push({ kind: 'ratio', against: 'GNU cp -r', of: 'time', atLeast: 1 })
  return plan
}

function removeCase({ context, ring, base, src, count }: Tree): Case {
  const tree = join(base, 'doomed')
  const fresh = (measured: typeof timed, remove: () => unknown) => async () => {
    await cp(src, tree, { recursive: true, ring })
    const sample = await measured(count, remove)
    if (existsSync(tree)) throw new Error(`${tree} is still there`)
    return sample
  }
  const plan: Case = {
    name: 'rm -r',
    unit: 'µs',
    subjects: [
      { name: 'rm', run: fresh(timed, () => rm(tree, { recursive: true, ring })) },
      { name: 'fs.promises.rm', run: fresh(timed, () => nodeRm(tree, { recursive: true })) },
      { name: 'fs.rmSync', run: fresh(timed, () => rmSync(tree, { recursive: true })) },
    ],
    targets: [{ kind: 'ratio', against: 'fs.promises.rm', of: 'time', atLeast: 3 }],
    warmups: 2,
    repeat: context.amount(7, 2),
  }
  if (findProgram('rm') === undefined) return plan
  plan.subjects.push({ name: 'GNU rm -r', run: fresh(wallOnly, () => child('rm', '-r', tree)) })
  plan.targets!.push({ kind: 'ratio', against: 'GNU rm -r', of: 'time', atLeast: 1 })
  return plan
}

function walkCase({ context, src, count }: Tree): Case {
  const check = (files: number): void => {
    if (files !== count) throw new Error(`saw ${files} files of ${count}`)
  }
  const ours = async (): Promise<void> => {
    let files = 0
    for await (const { dirent } of walk(src)) if (dirent.isFile()) files++
    check(files)
  }
  const whole = async (): Promise<void> => {
    const found = await readdir(src, { recursive: true, withFileTypes: true })
    check(found.filter((entry) => entry.isFile()).length)
  }
  const streamed = async (): Promise<void> => {
    const { opendir } = await import('node:fs/promises')
    let files = 0
    for await (const entry of await opendir(src, { recursive: true })) if (entry.isFile()) files++
    check(files)
  }
  return {
    name: 'walk',
    unit: 'µs',
    subjects: [
      { name: 'walk', run: () => timed(count, ours) },
      { name: 'readdir, recursive', run: () => timed(count, whole) },
      { name: 'opendir, recursive', run: () => timed(count, streamed) },
    ],
    warmups: 2,
    repeat: context.amount(9, 2),
  }
}

export const tree: Bench = {
  name: 'tree',
  about: 'copying, removing and walking a tree of small files',
  async *cases(context) {
    const { RINGCORE_BENCH_TREE: wanted } = process.env
    const parent = wanted ?? (existsSync('/dev/shm') ? '/dev/shm' : context.directory)
    const base = mkdtempSync(join(parent, 'ringcore-bench-'))
    const ring = new Uring()
    try {
      const count = context.amount(20_000, 500)
      const src = join(base, 'src')
      makeFiles(src, count)
      context.note(`${count} files in directories of 100, on ${await fileSystemOf(base)}`)
      const all: Tree = { context, ring, base, src, count }
      if (context.wants('cp -r')) yield copyCase(all)
      if (context.wants('rm -r')) yield removeCase(all)
      if (context.wants('walk')) yield walkCase(all)
    } finally {
      await ring.close()
      rmSync(base, { recursive: true, force: true })
    }
  },
}
