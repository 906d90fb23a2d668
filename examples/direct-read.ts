// Reads blocks of a file or a device at random, past the page cache, many at once, and says how many came in a second.
// Run: node build/examples/direct-read.js FILE [IN_FLIGHT] [READS]

import { DirectFile } from 'ringcore'

const [path, inFlight = '64', reads = '10000'] = process.argv.slice(2)
if (path === undefined) {
  console.error('usage: direct-read FILE [IN_FLIGHT] [READS]')
  process.exit(2)
}

const file = await DirectFile.open(path)
const { memory, offset, readOffset } = file.alignment
console.log(
  `memory ${memory}, offsets ${offset}, of reads ${readOffset}; atomic writes: ${file.atomicWrite !== null}`,
)

const block = Math.max(4096, readOffset)
const blocks = Math.ceil((await file.size()) / block)
let left = blocks === 0 ? 0 : Number(reads)
let bytes = 0
const started = performance.now()
const lane = async (): Promise<void> => {
  // Each lane has a buffer of its own: it is the kernel's until the read has ended.
  const buffer = file.alloc(block)
  while (left-- > 0) {
    const got = await file.read(buffer, Math.floor(Math.random() * blocks) * block)
    bytes += got
  }
  file.free(buffer)
}
await Promise.all(Array.from({ length: Number(inFlight) }, lane))
const seconds = (performance.now() - started) / 1000
await file.close()
console.log(`${bytes} bytes in reads of up to ${block}, ${Math.round(Number(reads) / seconds)} a second`)
