// A key-value store whose changes survive a crash: each is in a write-ahead log before anybody is told, and a checkpoint shortens the log.
// Run: node build/examples/write-ahead-log.js DIRECTORY [CHANGES]      again and again; kill it in between

import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { AppendLog, defaultRing, File } from 'ringcore'

interface Checkpoint {
  /** All records before this position are in `values`. */
  position: number
  values: [string, string][]
}

class Store {
  readonly values: Map<string, string>
  readonly #directory: string
  readonly #log: AppendLog

  private constructor(directory: string, log: AppendLog, values: Map<string, string>) {
    this.#directory = directory
    this.#log = log
    this.values = values
  }

  /** The last checkpoint, and on top of it what the log has of later changes. */
  static async open(directory: string): Promise<Store> {
    mkdirSync(directory, { recursive: true })
    const { position, values } = readCheckpoint(directory)
    const log = await AppendLog.open(join(directory, 'wal'), { segmentBytes: 1 << 20, batchBytes: 1 << 16 })
    const store = new Store(directory, log, new Map(values))
    let replayed = 0
    for await (const record of log.records(Math.max(position, log.start))) {
      const [key, value] = JSON.parse(String(record.data)) as [string, string]
      store.values.set(key, value)
      replayed++
    }
    console.log(
      `log: ${log.recovery.kind}; ${values.length} values of the checkpoint, ${replayed} changes after it`,
    )
    return store
  }

  /** Resolves when the change survives whatever happens. */
  async set(key: string, value: string): Promise<void> {
    await this.#log.append(JSON.stringify([key, value]))
    this.values.set(key, value)
  }

  /** Writes all values beside, syncs, renames, syncs the directory; then the log need not keep what they hold. */
  async checkpoint(): Promise<void> {
    const ring = defaultRing()
    // Taken in one turn: every change that was applied is before this position, and replaying one twice does no harm.
    const checkpoint: Checkpoint = { position: this.#log.durable, values: [...this.values] }
    const path = join(this.#directory, 'checkpoint')
    const file = await File.create(`${path}.new`)
    await file.writeAll(Buffer.from(JSON.stringify(checkpoint)))
    await file.sync()
    await file.close()
    await ring.renameat(`${path}.new`, path)
    const directory = await ring.openat(this.#directory)
    await ring.fsync(directory)
    await ring.closeFile(directory)
    await this.#log.truncateBefore(checkpoint.position)
  }

  close(): Promise<void> {
    return this.#log.close()
  }
}

function readCheckpoint(directory: string): Checkpoint {
  try {
    return JSON.parse(readFileSync(join(directory, 'checkpoint'), 'utf8')) as Checkpoint
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    return { position: 0, values: [] }
  }
}

const [directory, changes = '10000'] = process.argv.slice(2)
if (directory === undefined) {
  console.error('usage: write-ahead-log DIRECTORY [CHANGES]')
  process.exit(2)
}
const store = await Store.open(directory)
const started = performance.now()
let left = Number(changes)
const writer = async (): Promise<void> => {
  while (left-- > 0) await store.set(`key ${left % 1000}`, `value ${left}`)
}
await Promise.all(Array.from({ length: 64 }, writer))
const seconds = (performance.now() - started) / 1000
await store.checkpoint()
await store.close()
console.log(`${changes} durable changes in ${seconds.toFixed(2)} s, ${store.values.size} values`)
