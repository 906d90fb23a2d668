// Reads 100 files at once. Opens, reads and closes of all files travel together: look at the number of system calls.
// Run: node build/examples/concurrent-reads.js [FILE...]   (without names: 100 files that it makes and removes)

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { defaultRing, File, run, spawn } from 'ringcore'

const COUNT = 100

async function makeFiles(dir: string): Promise<string[]> {
  const paths = Array.from({ length: COUNT }, (_, i) => join(dir, `${i}.txt`))
  await Promise.all(paths.map((path, i) => writeFile(path, `file ${i}\n`.repeat(i + 1))))
  return paths
}

/** Reads a whole file and returns its length. */
async function read(path: string): Promise<number> {
  await using file = await File.open(path)
  return (await file.readToEnd()).length
}

const dir = await mkdtemp(join(tmpdir(), 'ringcore-reads-'))
try {
  const given = process.argv.slice(2)
  const paths = given.length > 0 ? given : await makeFiles(dir)
  const ring = defaultRing()

  const started = performance.now()
  const lengths = paths.map((path) => spawn(() => read(path)))
  await run()
  const elapsed = performance.now() - started

  const bytes = (await Promise.all(lengths)).reduce((sum, length) => sum + length, 0)
  console.log(`${paths.length} files, ${bytes} bytes in ${elapsed.toFixed(2)} ms`)
  const { cqes, enters } = ring.stats()
  console.log(`${cqes} completions with ${enters} calls of io_uring_enter`)
} finally {
  await rm(dir, { recursive: true })
}
