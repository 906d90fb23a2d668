// The four headline jobs: cat of 100 MB, 100 files at once, 100 sequential HTTP requests, 1000 requests with 200 at once.
// Flow: main.ts → this → job-run.ts in fresh processes; http-server.ts for the HTTP jobs.
//
// Each figure is taken three ways: the first run in a fresh process (with loading what it needs), the median of further
// runs in one process, and the whole process from its start to its end. Client and server of an HTTP job are of the
// same kind, in processes of their own; each request has a connection of its own.

import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Bench, Case, Context, Sample, Target } from './harness.ts'
import { median } from './statistics.ts'
import { fileSystemOf, Helper, makeFile, root } from './tools.ts'

const WARM_RUNS = 20
const RUNNER = join(root, 'build', 'bench', 'job-run.js')
const run = promisify(execFile)

interface Job {
  name: string
  job: string
  /** What the job works on: a file, a directory, or (by kind) a server's port. */
  where: (kind: Kind) => string
  warm: Target[]
  slowest?: Target[]
}

type Kind = 'ring' | 'node'

interface Runs {
  milliseconds: number[]
  cpuMilliseconds: number
}

async function runJob(job: Job, kind: Kind, runs: number): Promise<Runs> {
  const { stdout } = await run(process.execPath, [RUNNER, job.job, kind, String(runs), job.where(kind)])
  return JSON.parse(stdout) as Runs
}

const sample = (milliseconds: number): Sample => ({ ops: 1, seconds: milliseconds / 1000 })

async function cold(job: Job, kind: Kind): Promise<Sample> {
  return sample((await runJob(job, kind, 1)).milliseconds[0]!)
}

async function wholeProcess(job: Job, kind: Kind): Promise<Sample> {
  const start = performance.now()
  const { cpuMilliseconds } = await runJob(job, kind, 1)
  return { ...sample(performance.now() - start), cpuSeconds: cpuMilliseconds / 1000 }
}

/** A process that does nothing: what of the whole process is node's own start. */
async function emptyProcess(): Promise<Sample> {
  const start = performance.now()
  await run(process.execPath, ['--input-type=module', '--eval', ''])
  return sample(performance.now() - start)
}

function casesOf(job: Job, runs: number): Case[] {
  const pair = (measureKind: (kind: Kind) => Promise<Sample>) => [
    { name: 'ringcore', run: () => measureKind('ring') },
    { name: 'node:fs, node:net', run: () => measureKind('node') },
  ]
  // One set of warm runs serves two cases: its median and its slowest.
  const warm = (pick: (values: number[]) => number) => async (kind: Kind) =>
    sample(pick((await runJob(job, kind, runs + 3)).milliseconds.slice(3)))
  const cases: Case[] = [
    { name: `${job.name}, warm`, unit: 'ms', subjects: pair(warm(median)), targets: job.warm },
    { name: `${job.name}, cold first run`, unit: 'ms', subjects: pair((kind) => cold(job, kind)) },
    {
      name: `${job.name}, whole process`,
      unit: 'ms',
      subjects: [
        ...pair((kind) => wholeProcess(job, kind)),
        { name: 'a process that does nothing', run: emptyProcess },
      ],
    },
  ]
  if (job.slowest !== undefined) {
    cases.splice(1, 0, {
      name: `${job.name}, slowest of ${runs + 3} runs`,
      unit: 'ms',
      subjects: pair(async (kind) => sample(Math.max(...(await runJob(job, kind, runs + 3)).milliseconds))),
      targets: job.slowest,
    })
  }
  return cases
}

function fileJobs(context: Context): Job[] {
  const path = join(context.directory, '100MB')
  makeFile(path, 100_000_000)
  readFileSync(path)
  const directory = join(context.directory, 'files')
  mkdirSync(directory)
  for (let i = 0; i < 100; i++) writeFileSync(join(directory, String(i)), Buffer.alloc(4096, i))
  return [
    { name: 'cat 100 MB', job: 'cat', where: () => path, warm: [{ kind: 'value', atMost: 100 }] },
    {
      name: '100 files at once',
      job: 'files',
      where: () => directory,
      warm: [{ kind: 'value', atMost: 0.7 }],
    },
  ]
}

function httpJobs(ports: Record<Kind, number>): Job[] {
  const where = (kind: Kind): string => String(ports[kind])
  return [
    {
      name: '100 sequential requests',
      job: 'sequential',
      where,
      warm: [{ kind: 'value', atMost: 8 }],
    },
    {
      name: '1000 requests, 200 at once',
      job: 'stress',
      where,
      warm: [{ kind: 'value', atMost: 55 }],
      // A connection that found the backlog full would be tried again after a second.
      slowest: [{ kind: 'worst', atMost: 900 }],
    },
  ]
}

export const jobs: Bench = {
  name: 'jobs',
  about: 'the four headline jobs: warm, cold, and as a whole process',
  async *cases(context: Context) {
    const runs = context.amount(WARM_RUNS, 3)
    context.note(`files on ${await fileSystemOf(context.directory)}`)
    for (const job of fileJobs(context)) yield* casesOf(job, runs)
    const servers = await Promise.all([
      Helper.start('http-server', ['ring', 'close']),
      Helper.start('http-server', ['net', 'close']),
    ])
    try {
      const [ring, node] = servers.map(({ hello }) => Number(hello.port)) as [number, number]
      for (const job of httpJobs({ ring, node })) yield* casesOf(job, runs)
    } finally {
      for (const { helper } of servers) await helper.stop()
    }
  },
}
