// Every acknowledged record survives: kill -9 at random moments, and power that fails between any two steps of the writer.
// Flow: this → a child process with an AppendLog; a ring that records what it is asked, and a disk that forgets what was not synced.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { AppendLog, type FileTarget, type PathLike, type ReadOptions, Resource, Uring } from 'ringcore'
import { memoryDir, numberOf, random, readAll, record } from './append-log.js'
import { AS_INSTALLED, oracle, root, tempDir, useRing } from './helpers.js'

const isSoak = process.env.RINGCORE_SOAK === '1'

// ---------------------------------------------------------------- kill -9

/** Appends from several writers, and tells of each record only when it was acknowledged. */
const WRITER = `
  import { writeSync } from 'node:fs'
  import { AppendLog } from 'ringcore'
  const [directory, first] = process.argv.slice(1)
  const log = await AppendLog.open(directory, { segmentBytes: 65536, batchBytes: 8192, preallocate: Number(first) % 2 === 0 })
  let number = Number(first)
  const writer = async () => {
    for (;;) {
      const own = number++
      const bytes = Buffer.alloc(Math.max(4, (own * 37) % 700))
      for (let i = 4; i < bytes.length; i++) bytes[i] = (own * 31 + i * 7) & 0xff
      bytes.writeUInt32LE(own)
      writeSync(1, own + ' ' + (await log.append(bytes)) + '\\n')
    }
  }
  for (let i = 0; i < 16; i++) writer()`

/** Runs the writer and kills it some milliseconds after its first record. Returns position by number of what it was told. */
async function killedWriter(directory: string, first: number, ms: number): Promise<Map<number, number>> {
  const args = ['--input-type=module', '--eval', WRITER, '--', directory, String(first)]
  const env: NodeJS.ProcessEnv = { ...process.env, ...AS_INSTALLED }
  delete env.NODE_TEST_CONTEXT
  const child = spawn(process.execPath, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  const ended = new Promise((resolve) => child.once('close', resolve))
  await new Promise<void>((resolve) => {
    child.stdout.on('data', (chunk) => {
      text += chunk
      resolve()
    })
    child.once('close', () => resolve())
  })
  await sleep(ms)
  child.kill('SIGKILL')
  await ended
  // What it began to say of the last one it may not have finished.
  const lines = text
    .slice(0, text.lastIndexOf('\n') + 1)
    .trim()
    .split('\n')
  return new Map(lines.map((line) => line.split(' ').map(Number) as [number, number]))
}

test('kill -9 at random moments: every acknowledged record is there, in order and intact', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const place = tempDir(t)
  const told = new Map<number, number>()
  let count = 0
  const pick = random(Date.now() >>> 0)
  for (let round = 0; round < (isSoak ? 300 : 2); round++) {
    // A new log now and then, or reading what is there would take ever longer.
    if (round % 20 === 0) told.clear()
    const directory = join(place, `log ${Math.floor(round / 20)}`)
    const first = round * 100_000
    for (const [number, position] of await killedWriter(directory, first, pick(60)))
      told.set(position, number)
    count += told.size
    const found = await readAll(directory, { ring })
    const numbers = new Map(found.map(({ position, data }) => [position, numberOf(data)]))
    for (const [position, number] of told) assert.equal(numbers.get(position), number, `record ${number}`)
    // In the order of the appends, and in each round without a gap.
    const own = found.map(({ data }) => numberOf(data)).filter((number) => number >= first)
    assert.deepEqual(
      own,
      Array.from({ length: own.length }, (_, i) => first + i),
    )
  }
  assert.ok(count > 0, 'some records were acknowledged')
})

// ---------------------------------------------------------------- power

type Event =
  | { kind: 'create'; path: string }
  | { kind: 'unlink'; path: string }
  | { kind: 'write'; path: string; position: number; bytes: Buffer }
  | { kind: 'size'; path: string; length: number; grows: boolean }
  /** A sync that has ended: what was before event `since` is on the disk. */
  | { kind: 'synced'; path: string; since: number }
  | { kind: 'told'; position: number }

/** A ring that writes down what changes files, in order. A write counts from its submission, a sync from its end. */
class RecordingRing extends Uring {
  readonly events: Event[] = []
  readonly #paths = new Map<number, string>()

  #pathOf(file: FileTarget): string {
    assert.ok(file instanceof Resource)
    return this.#paths.get(file.fd)!
  }

  override async openat(path: PathLike, flags?: string | number): Promise<number> {
    const fd = await super.openat(path, flags)
    this.#paths.set(fd, String(path))
    if (flags === 'wx+') this.events.push({ kind: 'create', path: String(path) })
    return fd
  }

  override async unlinkat(path: PathLike): Promise<void> {
    await super.unlinkat(path)
    this.events.push({ kind: 'unlink', path: String(path) })
  }

  #write(file: FileTarget, buffer: ArrayBufferView, options: ReadOptions = {}): void {
    const { offset = 0, length = buffer.byteLength - offset, position } = options
    const bytes = Buffer.from(new Uint8Array(buffer.buffer, buffer.byteOffset + offset, length))
    this.events.push({ kind: 'write', path: this.#pathOf(file), position: Number(position), bytes })
  }

  override write(file: FileTarget, buffer: ArrayBufferView, options?: ReadOptions): Promise<number> {
    this.#write(file, buffer, options)
    return super.write(file, buffer, options)
  }

  override writeFixed(file: FileTarget, buffer: Uint8Array, options?: ReadOptions): Promise<number> {
    this.#write(file, buffer, options)
    return super.writeFixed(file, buffer, options)
  }

  override fsync(file: FileTarget, options?: { datasync?: boolean }): Promise<void> {
    const event: Event = { kind: 'synced', path: this.#pathOf(file), since: this.events.length }
    return super.fsync(file, options).then(() => void this.events.push(event))
  }

  override ftruncate(file: FileTarget, length: number): Promise<void> {
    this.events.push({ kind: 'size', path: this.#pathOf(file), length, grows: false })
    return super.ftruncate(file, length)
  }

  override fallocate(file: FileTarget, mode: number, position: number, length: number): Promise<void> {
    this.events.push({ kind: 'size', path: this.#pathOf(file), length: position + length, grows: true })
    return super.fallocate(file, mode, position, length)
  }
}

const SECTOR = 512

/** A file as the disk may have it. Only what was synced is certain; of the rest any part may be there. */
class DiskFile {
  exists = false
  bytes = Buffer.alloc(0)

  resize(length: number, grows: boolean): void {
    if (length < this.bytes.length) this.bytes = grows ? this.bytes : this.bytes.subarray(0, length)
    else this.bytes = Buffer.concat([this.bytes], length)
  }

  write(position: number, bytes: Buffer): void {
    this.resize(position + bytes.length, true)
    // A copy: what was subarray'd before may be shared.
    this.bytes = Buffer.from(this.bytes)
    bytes.copy(this.bytes, position)
  }
}

/** What a disk may hold when power fails after `events`: all that was synced, and of the rest what `pick` says. */
function diskAfter(events: readonly Event[], pick: (limit: number) => number): Map<string, DiskFile> {
  const files = new Map<string, DiskFile>()
  const syncedUntil = (path: string): number =>
    events.reduce(
      (last, event) => (event.kind === 'synced' && event.path === path ? Math.max(last, event.since) : last),
      0,
    )
  const until = new Map<string, number>()
  const isCertain = (index: number, path: string): boolean => {
    if (!until.has(path)) until.set(path, syncedUntil(path))
    return index < until.get(path)!
  }
  const all = pick(4) === 0
  // The file system's journal keeps the order of names and sizes: from the first that is lost on, all are.
  let isLost = false
  for (const [index, event] of events.entries()) {
    if (event.kind === 'synced' || event.kind === 'told') continue
    const file = files.get(event.path) ?? new DiskFile()
    files.set(event.path, file)
    if (event.kind === 'create' || event.kind === 'unlink') {
      isLost ||= !isCertain(index, dirname(event.path)) && pick(2) === 0
      if (isLost && !isCertain(index, dirname(event.path))) continue
      file.exists = event.kind === 'create'
    } else if (isCertain(index, event.path)) {
      if (event.kind === 'write') file.write(event.position, event.bytes)
      else file.resize(event.length, event.grows)
    } else if (event.kind === 'size') {
      isLost ||= pick(2) === 0
      if (!isLost) file.resize(event.length, event.grows)
    } else {
      // Sectors get down in any order, or not.
      for (let from = 0; from < event.bytes.length; ) {
        const end = Math.min(event.bytes.length, from + SECTOR - ((event.position + from) % SECTOR))
        if (all || pick(2) === 0) file.write(event.position + from, event.bytes.subarray(from, end))
        from = end
      }
    }
  }
  return files
}

/** Runs a busy log on a recording ring. */
async function recordLog(directory: string, ring: RecordingRing, preallocate: boolean): Promise<void> {
  const pick = random(preallocate ? 5 : 6)
  const options = { ring, segmentBytes: 4096, batchBytes: 1536, preallocate }
  let number = 0
  for (let opened = 0; opened < 2; opened++) {
    const log = await AppendLog.open(directory, options)
    for (let step = 0; step < 12; step++) {
      const appended = Array.from({ length: 1 + pick(4) }, () => log.append(record(number++, pick(300))))
      for (const one of appended) one.then((position) => void ring.events.push({ kind: 'told', position }))
      await Promise.all(appended)
      if (opened === 1 && step === 7) await log.truncateBefore(log.durable - 4000)
    }
    await log.close()
  }
}

for (const preallocate of [true, false]) {
  test(`power fails between any two steps: what was acknowledged is there (preallocate: ${preallocate})`, async (t) => {
    oracle(t)
    const ring = useRing(t)
    const recording = new RecordingRing()
    t.after(() => recording.close())
    const directory = join(memoryDir(t), 'log')
    await recordLog(directory, recording, preallocate)
    const { events } = recording
    assert.ok(events.filter(({ kind }) => kind === 'create').length >= 3, 'segments were made')
    const pick = random(isSoak ? Date.now() >>> 0 : 7)
    const disk = join(memoryDir(t), 'disk')
    for (let count = 1; count <= events.length; count++) {
      const before = events.slice(0, count)
      for (let times = isSoak ? 20 : 1; times > 0; times--) {
        mkdirSync(disk)
        for (const [path, file] of diskAfter(before, pick))
          if (file.exists) writeFileSync(join(disk, basename(path)), file.bytes)
        await checkDisk(disk, ring, before, `after ${count} of ${events.length} events`)
        rmSync(disk, { recursive: true })
      }
    }
  })
}

async function checkDisk(disk: string, ring: Uring, before: Event[], when: string): Promise<void> {
  const told = before.flatMap((event) => (event.kind === 'told' ? [event.position] : []))
  const log = await AppendLog.open(disk, { ring, segmentBytes: 4096, batchBytes: 1536 })
  const position = await log.append(record(1e6, 9))
  await log.close()
  const found = await readAll(disk, { ring })
  const oldest = found[0]!.position
  const positions = new Set(found.map((one) => one.position))
  const removals = before.some(({ kind }) => kind === 'unlink')
  if (!removals) assert.equal(oldest, 0, when)
  for (const one of told)
    assert.ok(positions.has(one) || one < oldest, `${when}: the record at ${one} is lost`)
  const numbers = found.map(({ data }) => numberOf(data))
  assert.equal(numbers.pop(), 1e6)
  assert.equal(found.at(-1)!.position, position)
  // No gap, and nothing out of order.
  for (const [i, number] of numbers.entries()) assert.equal(number, numbers[0]! + i, when)
}
