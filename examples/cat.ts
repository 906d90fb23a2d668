// Writes files to standard output. While one block is written the next one is already being read.
// Run: node build/examples/cat.js FILE...

import { defaultRing, File, run } from 'ringcore'
import { quietOnClosedPipe, writeAll } from './lib/output.ts'

const BLOCK = 256 * 1024
const STDOUT = 1

async function cat(path: string): Promise<void> {
  const ring = defaultRing()
  await using file = await File.open(path)
  // Two buffers of the ring's own take turns: one is filled while the other is emptied.
  let [filling, emptying] = [ring.alloc(BLOCK), ring.alloc(BLOCK)]
  let written: Promise<void> = Promise.resolve()
  try {
    for (;;) {
      const bytes = await file.read(filling)
      await written
      if (bytes === 0) break
      written = writeAll(ring, STDOUT, filling.subarray(0, bytes))
      // A failure shows at the next await; until then it must not count as unhandled.
      written.catch(() => {})
      ;[filling, emptying] = [emptying, filling]
    }
  } finally {
    await written.catch(() => {})
    ring.free(filling)
    ring.free(emptying)
  }
}

const paths = process.argv.slice(2)
if (paths.length === 0) {
  console.error('usage: cat FILE...')
  process.exit(2)
}
await run(async () => {
  for (const path of paths) await cat(path)
}).catch(quietOnClosedPipe)
