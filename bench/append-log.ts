// Durable appends of 256-byte records: AppendLog against a FileHandle whose writers each await append and datasync.
// Flow: main.ts → this → ringcore, node:fs.

import { fdatasyncSync, writeSync } from 'node:fs'
import { type FileHandle, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { AppendLog, type AppendLogOptions, Uring } from 'ringcore'
import { type Bench, type Case, type Context, type Sample, type Target, timed } from './harness.ts'
import { quantile } from './statistics.ts'
import { fileSystemOf } from './tools.ts'

const RECORD = Buffer.alloc(256, 'r')

/** What the issue asks, by writers. */
const TARGETS: Record<number, Target[]> = {
  128: [{ kind: 'ratio', against: 'FileHandle append + datasync', of: 'time', atLeast: 15 }],
}

/** Lets `writers` append `count` records in all, each awaiting its own; tells latencies in milliseconds. */
async function appendAll(writers: number, count: number, append: () => Promise<unknown>): Promise<Sample> {
  const latencies = new Float64Array(count)
  let next = 0
  const writer = async (): Promise<void> => {
    for (;;) {
      const index = next++
      if (index >= count) return
      const started = performance.now()
      await append()
      latencies[index] = performance.now() - started
    }
  }
  const sample = await timed(count, () => Promise.all(Array.from({ length: writers }, writer)))
  const sorted = [...latencies]
  sample.notes = { 'p50 ms': quantile(sorted, 0.5), 'p99 ms': quantile(sorted, 0.99) }
  return sample
}

function appendCase(context: Context, writers: number): Case {
  const ring = new Uring()
  const isAlone = writers === 1
  const ours = context.amount(isAlone ? 2000 : 60_000, isAlone ? 100 : 2000)
  const theirs = context.amount(isAlone ? 1000 : 4000, isAlone ? 50 : 400)
  const log = (name: string, options: AppendLogOptions) => ({
    name,
    run: async (): Promise<Sample> => {
      const directory = join(context.directory, 'log')
      const opened = await AppendLog.open(directory, { ring, ...options })
      const sample = await appendAll(writers, ours, () => opened.append(RECORD))
      await opened.close()
      await rm(directory, { recursive: true })
      return sample
    },
  })
  const handle = (name: string, append: (file: FileHandle) => Promise<unknown>) => ({
    name,
    run: async (): Promise<Sample> => {
      const path = join(context.directory, 'file')
      const file = await open(path, 'a')
      const sample = await appendAll(writers, theirs, () => append(file))
      await file.close()
      await rm(path)
      return sample
    },
  })
  const plan: Case = {
    name: isAlone ? 'one writer' : `${writers} writers`,
    unit: 'k/s',
    subjects: [
      log('AppendLog', {}),
      log('AppendLog, preallocate: false', { preallocate: false }),
      handle('FileHandle append + datasync', async (file) => {
        await file.appendFile(RECORD)
        await file.datasync()
      }),
    ],
    targets: TARGETS[writers] ?? [],
    close: () => ring.close(),
  }
  if (isAlone) {
    plan.subjects.push(
      handle('writeSync + fdatasyncSync', async ({ fd }) => {
        writeSync(fd, RECORD)
        fdatasyncSync(fd)
      }),
    )
  }
  return plan
}

export const appendLog: Bench = {
  name: 'append-log',
  about: 'durable appends of 256 bytes',
  async *cases(context) {
    context.note(`the log is on ${await fileSystemOf(context.directory)}`)
    for (const writers of [1, 16, 128]) yield appendCase(context, writers)
  },
}
