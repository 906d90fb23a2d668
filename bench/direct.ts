// Random O_DIRECT reads of 4 KiB, 64 in flight: DirectFile against fio with io_uring on the same file.
// Flow: main.ts → this → ringcore, fio (when it is installed), node:fs/promises.
// fio submits one by one unless told otherwise, so it stands in the table twice: as it is, and with batches as large as ours.

import { execFileSync } from 'node:child_process'
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { DirectFile, Uring } from 'ringcore'
import { type Bench, type Case, type Context, type Sample, timed } from './harness.ts'
import { fileSystemOf, findProgram, makeFile, numbers } from './tools.ts'

const BLOCK = 4096
const BLOCKS = 16384
const IN_FLIGHT = 64
const FIXED = ['--fixedbufs=1', '--registerfiles=1']
const BATCHED = [
  '--iodepth_batch_submit=32',
  '--iodepth_batch_complete_min=1',
  '--iodepth_batch_complete_max=64',
]

interface FioReport {
  jobs: { read: { total_ios: number; runtime: number }; usr_cpu: number; sys_cpu: number }[]
}

/** Runs fio for `ops` reads; its own clock and CPU shares count, not its start. */
function fio(program: string, path: string, ops: number, options: string[]): Sample {
  const args = [
    '--name=direct',
    `--filename=${path}`,
    '--rw=randread',
    `--bs=${BLOCK}`,
    '--direct=1',
    `--iodepth=${IN_FLIGHT}`,
    '--ioengine=io_uring',
    '--norandommap',
    `--number_ios=${ops}`,
    `--io_size=${ops * BLOCK}`,
    '--output-format=json',
    ...options,
  ]
  const text = execFileSync(program, args, { encoding: 'utf8', timeout: 120_000 })
  const [job] = (JSON.parse(text) as FioReport).jobs
  const seconds = job!.read.runtime / 1000
  return { ops: job!.read.total_ios, seconds, cpuSeconds: (seconds * (job!.usr_cpu + job!.sys_cpu)) / 100 }
}

/** Every read must have brought the bytes of its place: the file's words count up. */
function check(buffer: Buffer, position: number): void {
  const expected = Math.imul(position / 4 + 1, 2654435761) >>> 0
  if (buffer.readUInt32LE(0) !== expected) throw new Error(`wrong bytes from position ${position}`)
}

/** Reads `ops` random blocks, `IN_FLIGHT` at a time. */
async function readAll(
  buffers: Buffer[],
  ops: number,
  read: (buffer: Buffer, position: number) => Promise<unknown>,
): Promise<void> {
  const random = numbers(3)
  let left = ops
  const lane = async (buffer: Buffer): Promise<void> => {
    while (left-- > 0) {
      const position = Math.floor(random.next().value * BLOCKS) * BLOCK
      await read(buffer, position)
      if (left % 64 === 0) check(buffer, position)
    }
  }
  await Promise.all(buffers.map(lane))
}

async function readCase(context: Context, path: string): Promise<Case> {
  const ops = context.amount(150_000, 2000)
  const ring = new Uring()
  const file = await DirectFile.open(path, 'r', { ring })
  const handle = await open(path, constants.O_RDONLY | constants.O_DIRECT)
  const buffers = Array.from({ length: IN_FLIGHT }, () => file.alloc(BLOCK))
  const handleOps = Math.ceil(ops / 4)
  const plan: Case = {
    name: `O_DIRECT, ${IN_FLIGHT} in flight`,
    unit: 'k/s',
    subjects: [
      {
        name: 'DirectFile.read',
        run: () => timed(ops, () => readAll(buffers, ops, (buffer, position) => file.read(buffer, position))),
      },
      {
        name: 'FileHandle.read',
        run: () =>
          timed(handleOps, () =>
            readAll(buffers, handleOps, (buffer, position) => handle.read(buffer, 0, BLOCK, position)),
          ),
      },
    ],
    close: async () => {
      await handle.close()
      await file.close()
      await ring.close()
    },
  }
  const program = findProgram('fio')
  if (program === undefined) {
    context.skip('fio', 'it is not installed (Debian: apt-get install fio)')
    return plan
  }
  const kinds: [string, string[]][] = [
    ['fio', []],
    ['fio, fixedbufs registerfiles', FIXED],
    ['fio, the same in batches', [...FIXED, ...BATCHED]],
  ]
  for (const [name, options] of kinds)
    plan.subjects.push({ name, run: () => fio(program, path, ops, options) })
  plan.targets = kinds.slice(0, 2).map(([against]) => ({ kind: 'ratio', against, of: 'time', atLeast: 0.97 }))
  return plan
}

export const direct: Bench = {
  name: 'direct',
  about: 'random O_DIRECT reads of 4 KiB from a 64 MiB file',
  async *cases(context) {
    const path = join(context.directory, 'direct')
    makeFile(path, BLOCK * BLOCKS)
    context.note(`the file is on ${await fileSystemOf(context.directory)}`)
    try {
      yield await readCase(context, path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ERR_DIRECT_UNSUPPORTED') throw error
      context.skip('all', 'this file system has no O_DIRECT')
    }
  },
}
