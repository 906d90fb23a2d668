// A log file that many tasks write to: lines that come while a write is under way go down together with the next, as one WRITEV.
// Run: node build/examples/logger.js FILE [TASKS] [LINES]

import { defaultRing, run, spawn, type Uring } from 'ringcore'

/** Lines per write: the kernel takes at most 1024 buffers. */
const BATCH_MAX = 512

class Logger {
  batches = 0
  readonly #ring: Uring
  readonly #fd: number
  #lines: Buffer[] = []
  #writing: Promise<void> | null = null

  constructor(ring: Uring, fd: number) {
    this.#ring = ring
    this.#fd = fd
  }

  /** Resolves when the line (and all before it) is in the file. */
  async log(line: string): Promise<void> {
    this.#lines.push(Buffer.from(`${line}\n`))
    this.#writing ??= this.#write()
    await this.#writing
  }

  async #write(): Promise<void> {
    // Whatever else this turn of the event loop brings joins the first batch.
    await new Promise<void>((resolve) => queueMicrotask(resolve))
    try {
      while (this.#lines.length > 0) await this.#writeBatch(this.#lines.splice(0, BATCH_MAX))
    } finally {
      this.#writing = null
    }
  }

  /** Writes all of a batch; a short write leaves the rest to the next. */
  async #writeBatch(batch: Buffer[]): Promise<void> {
    this.batches++
    let rest = batch
    while (rest.length > 0) {
      let written = await this.#ring.writev(this.#fd, rest)
      const whole = rest.findIndex((line) => {
        if (written < line.length) return true
        written -= line.length
        return false
      })
      rest = whole < 0 ? [] : [rest[whole]!.subarray(written), ...rest.slice(whole + 1)]
    }
  }

  /** Waits for the lines, then brings them to the device. */
  async close(): Promise<void> {
    await this.#writing
    await this.#ring.fsync(this.#fd, { datasync: true })
    await this.#ring.closeFile(this.#fd)
  }
}

const [path, tasks = '16', lines = '1000'] = process.argv.slice(2)
if (path === undefined) {
  console.error('usage: logger FILE [TASKS] [LINES]')
  process.exit(2)
}

const ring = defaultRing()
// 'a': each write goes to the end of the file, whoever else writes to it.
const logger = new Logger(ring, await ring.openat(path, 'a'))
let stopping = false
process.once('SIGINT', () => {
  stopping = true
})

const started = performance.now()
let logged = 0
for (let task = 0; task < Number(tasks); task++) {
  spawn(async () => {
    for (let line = 0; line < Number(lines) && !stopping; line++) {
      await logger.log(`${new Date().toISOString()} task ${task} line ${line}`)
      logged++
    }
  })
}
await run()
await logger.close()
console.log(
  `${logged} lines with ${logger.batches} writes in ${(performance.now() - started).toFixed(1)} ms, then one fdatasync`,
)
