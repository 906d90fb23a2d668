// Writes files to standard output by pairs of requests that the kernel links: it reads a block, and writes it when it has
// been read, without waking us in between.
// Run: node build/examples/linked-cat.js FILE...

import { defaultRing, File, run } from 'ringcore'
import { quietOnClosedPipe, writeAll } from './lib/output.ts'

const BLOCK = 64 * 1024
const STDOUT = 1

await run(async () => {
  const ring = defaultRing()
  // Memory of the ring's own: both requests name it before there is anything in it.
  const block = ring.alloc(BLOCK)
  for (const path of process.argv.slice(2)) {
    await using file = await File.open(path)
    const { size } = await file.stat()
    for (let position = 0; position < size; ) {
      // A short read would break the link, so the last block asks for no more than there is.
      const length = Math.min(BLOCK, size - position)
      const [, written] = (await ring.chain((c) => {
        c.readFixed(file.fd, block, { position, length })
        c.writeFixed(STDOUT, block, { length })
      })) as [number, number]
      // A pipe may take less than all; the rest is in our hands.
      await writeAll(ring, STDOUT, block.subarray(written, length))
      position += length
    }
  }
  ring.free(block)
}).catch(quietOnClosedPipe)
