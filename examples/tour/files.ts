// The tour's work on files: every file of the repository at once, and a copy of 100 MB. Both are checked against node:fs.

import { createHash, randomFillSync } from 'node:crypto'
import { createReadStream, existsSync } from 'node:fs'
import { open, readdir, readFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { File, probe, type Uring } from 'ringcore'
import type { Finding, Progress } from './screen.ts'

/** Neither is the repository's own, and both are large. */
const SKIPPED = new Set(['.git', 'node_modules'])
/** Files open at one time, and descriptors left for others: the usual limit is 1024, and some have less. */
const [OPEN_MAX, SPARE] = [800, 100]
const MIB = 1 << 20

/** The directory that holds package.json: this file runs compiled or as it is. */
export function findRoot(): string {
  let dir = import.meta.dirname
  while (!existsSync(join(dir, 'package.json'))) dir = dirname(dir)
  return dir
}

/** All regular files below a directory. */
export async function filesBelow(dir: string): Promise<string[]> {
  const found: string[] = []
  for (const entry of await readdir(dir, { withFileTypes: true })) {
    const path = join(dir, entry.name)
    if (entry.isFile()) found.push(path)
    else if (entry.isDirectory() && !SKIPPED.has(entry.name)) found.push(...(await filesBelow(path)))
  }
  return found
}

async function readThroughRing(path: string): Promise<Buffer> {
  await using file = await File.open(path)
  // With await: else the file would be closed before it is read.
  return await file.readToEnd()
}

/**
 * Reads every file of the repository at once, and compares each with what node:fs reads.
 * @param spoil changes what the ring read, to show that a difference is found
 */
export async function readEverything(
  ring: Uring,
  progress: Progress,
  spoil: (bytes: Buffer) => void,
): Promise<Finding> {
  const root = findRoot()
  const paths = await filesBelow(root)
  const { nofile } = probe().limits
  const openMax = Math.min(OPEN_MAX, Math.max(16, Number(nofile ?? 1024) - SPARE) || OPEN_MAX)
  const before = ring.stats()
  const differences: string[] = []
  let bytes = 0
  let ringMs = 0
  for (let first = 0; first < paths.length; first += openMax) {
    const group = paths.slice(first, first + openMax)
    progress(`reading ${group.length} files at once`)
    const started = performance.now()
    const contents = await Promise.all(group.map(readThroughRing))
    ringMs += performance.now() - started
    for (const [i, path] of group.entries()) {
      if (i % 50 === 0) progress(`comparing file ${first + i} of ${paths.length} with node:fs`)
      let content = contents[i]!
      bytes += content.length
      if (first + i === 0) spoil(content)
      if (content.equals(await readFile(path))) continue
      // Somebody may have written to it between the two reads: only what differs twice differs.
      content = await readThroughRing(path)
      if (first + i === 0) spoil(content)
      if (!content.equals(await readFile(path))) differences.push(`${relative(root, path)} differs`)
    }
  }
  const { cqes, enters } = ring.stats()
  const calls = `${cqes - before.cqes} completions with ${enters - before.enters} system calls`
  return {
    detail: `${paths.length} files, ${(bytes / 1e6).toFixed(1)} MB in ${ringMs.toFixed(1)} ms, each compared with what node:fs reads; ${calls}`,
    differences,
  }
}

/** Writes a file whose every block differs from the others. */
async function makeLargeFile(path: string, blocks: number, progress: Progress): Promise<void> {
  const block = randomFillSync(Buffer.alloc(MIB))
  const file = await open(path, 'w')
  try {
    for (let i = 0; i < blocks; i++) {
      block.writeUInt32LE(i, 0)
      await file.write(block)
      if (i % 10 === 0) progress(`making a file of ${blocks} MiB: ${i}`)
    }
  } finally {
    await file.close()
  }
}

async function checksum(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path, { highWaterMark: MIB })) hash.update(chunk)
  return hash.digest('hex')
}

/** Copies with several blocks on their way at once, each in a buffer that is registered with the kernel. */
async function copyThroughRing(ring: Uring, from: File, to: File, size: number): Promise<void> {
  const BLOCK = 512 * 1024
  let next = 0
  const lane = async (): Promise<void> => {
    const block = ring.alloc(BLOCK)
    while (next < size) {
      const start = next
      next += BLOCK
      const end = Math.min(start + BLOCK, size)
      for (let at = start; at < end; ) {
        const bytes = await ring.readFixed(from.fd, block, { position: at, length: end - at })
        if (bytes === 0) throw new Error('the file became shorter')
        for (let done = 0; done < bytes; ) {
          done += await ring.writeFixed(to.fd, block, {
            position: at + done,
            offset: done,
            length: bytes - done,
          })
        }
        at += bytes
      }
    }
    ring.free(block)
  }
  await Promise.all(Array.from({ length: 4 }, lane))
}

/** Copies a large file and compares the checksums of both. */
export async function copyLargeFile(
  ring: Uring,
  dir: string,
  megabytes: number,
  progress: Progress,
  spoil: (bytes: Buffer) => void,
): Promise<Finding> {
  const [source, target] = [join(dir, 'source'), join(dir, 'copy')]
  await makeLargeFile(source, megabytes, progress)
  progress(`copying ${megabytes} MiB`)
  const started = performance.now()
  {
    await using from = await File.open(source)
    await using to = await File.create(target)
    const { size } = await from.stat()
    await copyThroughRing(ring, from, to, size)
    const last = Buffer.alloc(1)
    await from.read(last, { position: size - 1 })
    spoil(last)
    await to.write(last, { position: size - 1 })
  }
  const elapsed = performance.now() - started
  progress('comparing checksums')
  const [want, got] = await Promise.all([checksum(source), checksum(target)])
  const rate = (megabytes / 1024 / (elapsed / 1000)).toFixed(1)
  return {
    detail: `${megabytes} MiB in ${elapsed.toFixed(0)} ms (${rate} GiB/s), sha256 ${got.slice(0, 12)}… compared`,
    differences: want === got ? [] : [`the copy's sha256 is ${got}, the source's ${want}`],
  }
}
