// Writing whole small files, over those that are there: 10,000 of 0.2 to 4 KB.
// Flow: main.ts → this → ringcore (writeFile, writeFiles), node:fs.
// The same names again and again: ext4 looks through the inodes that were freed lately before it gives a new one, so that files
// made after many were removed would cost more and more, whoever makes them.

import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { writeFile as ringWriteFile, Uring, writeFiles } from 'ringcore'
import { type Bench, type Case, type Context, timed } from './harness.ts'
import { makeFiles } from './small-files.ts'
import { atATime, fileSystemOf } from './tools.ts'

const IN_FLIGHT = 32

async function writeCase(context: Context, directory: string): Promise<Case> {
  const { paths, sizes } = makeFiles(join(directory, 'files'), context.amount(10_000, 300))
  const ring = new Uring()
  const contents = sizes.map((size, i) => Buffer.alloc(size, i))
  const each = (write: (path: string, data: Buffer) => Promise<void>) => () =>
    timed(paths.length, () => atATime(IN_FLIGHT, paths.length, (i) => write(paths[i]!, contents[i]!)))
  const entries = paths.map((path, i) => ({ path, data: contents[i]! }))
  const sync = (): void => {
    for (const { path, data } of entries) writeFileSync(path, data)
  }
  return {
    name: `${IN_FLIGHT} at once, ${await fileSystemOf(directory)}`,
    unit: 'µs',
    subjects: [
      { name: 'writeFile', run: each((path, data) => ringWriteFile(path, data, { ring })) },
      { name: 'writeFiles', run: () => timed(paths.length, async () => await writeFiles(entries, { ring })) },
      { name: 'fs.promises.writeFile', run: each((path, data) => writeFile(path, data)) },
      { name: 'fs.writeFileSync', run: () => timed(paths.length, sync) },
    ],
    targets: [{ kind: 'ratio', against: 'fs.promises.writeFile', of: 'time', atLeast: 2 }],
    warmups: 2,
    repeat: context.amount(9, 2),
    close: () => ring.close(),
  }
}

export const writefile: Bench = {
  name: 'writefile',
  about: 'writing whole files of 0.2 to 4 KB, on the disk and in memory',
  async *cases(context: Context) {
    yield await writeCase(context, context.directory)
    if (!existsSync('/dev/shm')) return
    const memory = mkdtempSync('/dev/shm/ringcore-bench-')
    try {
      yield await writeCase(context, memory)
    } finally {
      rmSync(memory, { recursive: true, force: true })
    }
  },
}
