// Copies standard input to standard output and to files. All outputs of a block are written at once.
// Run: ls | node build/examples/tee.js FILE...

import { defaultRing, File, run } from 'ringcore'
import { quietOnClosedPipe, writeAll } from './lib/output.ts'

const BLOCK = 64 * 1024
const [STDIN, STDOUT] = [0, 1]

await run(async () => {
  const ring = defaultRing()
  const files = await Promise.all(process.argv.slice(2).map((path) => File.create(path)))
  const buffer = Buffer.alloc(BLOCK)
  try {
    for (;;) {
      const bytes = await ring.read(STDIN, buffer)
      if (bytes === 0) break
      const block = buffer.subarray(0, bytes)
      // One block, many writes in flight; the buffer is read into again when all of them are done, well or badly.
      const writes = [writeAll(ring, STDOUT, block), ...files.map((file) => file.writeAll(block))]
      const failed = (await Promise.allSettled(writes)).find((result) => result.status === 'rejected')
      if (failed !== undefined) throw failed.reason
    }
  } finally {
    await Promise.all(files.map((file) => file.close()))
  }
}).catch(quietOnClosedPipe)
