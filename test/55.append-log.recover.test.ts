// What recovery makes of damage: tails torn at every byte, bytes that rotted, segments that are missing or were never begun, and noise.
// Flow: this → ringcore AppendLog on files that the test edits.

import assert from 'node:assert/strict'
import { copyFileSync, cpSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { AppendLog, type AppendLogOptions, type LogRecord, type Uring } from 'ringcore'
import {
  edit,
  flip,
  memoryDir,
  numberOf,
  random,
  readAll,
  readUntilError,
  record,
  segmentsOf,
} from './append-log.js'
import { oracle, useRing } from './helpers.js'

const SMALL: AppendLogOptions = { segmentBytes: 4096, batchBytes: 1024 }
const HEADER = 64
const isSoak = process.env.RINGCORE_SOAK === '1'

const numbersOf = (records: LogRecord[]): number[] => records.map(({ data }) => numberOf(data))
const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i)

/** A log of `batches` batches of `size` records each, and where each batch begins. */
async function makeLog(
  t: TestContext,
  ring: Uring,
  options: AppendLogOptions & { batches: number; size: number; length: number },
): Promise<{ directory: string; starts: number[]; end: number }> {
  const { batches, size, length, ...rest } = options
  const directory = join(memoryDir(t), 'log')
  const log = await AppendLog.open(directory, { ring, ...rest })
  const starts: number[] = []
  for (let batch = 0; batch < batches; batch++) {
    const appended = Array.from({ length: size }, (_, i) => log.append(record(batch * size + i, length)))
    starts.push((await Promise.all(appended))[0]!)
  }
  const end = log.durable
  await log.close()
  return { directory, starts, end }
}

test('a tail torn at any byte: everything before the batch is there, and writing goes on', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const { directory, starts, end } = await makeLog(t, ring, { batches: 3, size: 3, length: 21 })
  const [name] = segmentsOf(directory)
  const copy = join(memoryDir(t), 'copy')
  const random8 = random(8)
  const tears: ((bytes: Buffer, at: number) => Buffer | undefined)[] = [
    (bytes, at) => bytes.subarray(0, at), // the file ends there
    (bytes, at) => void bytes.fill(0, at), // allocated and never written
    (bytes, at) => {
      for (let i = at; i < bytes.length; i++) bytes[i] = random8(256)
    },
    // Written out of order: only what comes later got down.
    (bytes, at) => void bytes.fill(0, HEADER + starts[2]!, at),
  ]
  for (let at = HEADER + starts[2]!; at <= HEADER + end; at += 1) {
    const tear = tears[at % 4]!
    for (const change of isSoak ? tears : [tear]) {
      cpSync(directory, copy, { recursive: true })
      edit(copy, name!, (bytes) => change(bytes, at))
      const seen = await readAll(copy, { ring })
      const numbers = numbersOf(seen)
      assert.deepEqual(numbers, upTo(numbers.length))
      assert.ok(numbers.length >= 6, `torn at ${at}: ${numbers.length} records`)
      const log = await AppendLog.open(copy, { ring, ...SMALL, preallocate: at % 8 < 4 })
      assert.equal(log.recovery.position, seen.at(-1)!.next)
      // As long as what is behind it: were that still there, it would follow.
      await log.append(record(numbers.length, 21))
      // What was cut off does not come back behind the new record.
      assert.deepEqual(numbersOf(await readAll(copy, { ring })), upTo(numbers.length + 1))
      await log.close()
      rmSync(copy, { recursive: true })
    }
  }
})

test('damage in front of a later batch is no torn tail: it is told, and so is where to go on', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const { directory, starts, end } = await makeLog(t, ring, { batches: 3, size: 2, length: 40 })
  const [name] = segmentsOf(directory)
  const path = join(directory, name!)
  const good = await readAll(directory, { ring })
  // Every byte that a frame's sum covers, and the sum itself.
  for (let place = 0; place < starts[2]!; place += isSoak ? 1 : 3) {
    const hit = good.findLastIndex(({ position }) => position <= place)
    flip(directory, name!, HEADER + place)
    const { found, error } = await readUntilError(AppendLog.recover(directory, { ring }))
    assert.deepEqual(numbersOf(found), upTo(hit), `byte ${place}`)
    assert.equal(error?.code, 'ERR_LOG_CORRUPT')
    assert.deepEqual(
      [error!.position, error!.next, error!.path],
      [good[hit]!.position, good[hit + 1]!.position, path],
    )
    const on = await readAll(directory, { ring, from: error!.next! })
    assert.deepEqual(numbersOf(on), numbersOf(good.slice(hit + 1)))
    await assert.rejects(AppendLog.open(directory, { ring }), {
      code: 'ERR_LOG_CORRUPT',
      position: error!.position,
    })
    flip(directory, name!, HEADER + place)
  }
  // Nothing was changed by all this.
  assert.deepEqual(await readAll(directory, { ring }), good)
  assert.equal(good.at(-1)!.next, end)
})

test('allowDamage: the log opens, loses nothing more, and new records go behind what is intact', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const { directory, starts } = await makeLog(t, ring, { batches: 3, size: 2, length: 40 })
  const [name] = segmentsOf(directory)
  edit(directory, name!, (bytes) => void bytes.fill(0xee, HEADER + starts[1]!, HEADER + starts[1]! + 70))
  const log = await AppendLog.open(directory, { ring, allowDamage: true, preallocate: false })
  assert.deepEqual(log.recovery, { kind: 'damaged', position: 336, cutBytes: 0 })
  await log.append(record(6, 40))
  const { found, error } = await readUntilError(log.records())
  assert.deepEqual(numbersOf(found), [0, 1])
  assert.equal(error?.code, 'ERR_LOG_CORRUPT')
  const rest = await readUntilError(log.records(error!.next))
  assert.deepEqual(numbersOf(rest.found), [4, 5, 6])
  await log.close()
})

test('sealed segments: damage, a missing one and a wrong header are told, never skipped', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const made = await makeLog(t, ring, { ...SMALL, batches: 40, size: 2, length: 150 })
  const names = segmentsOf(made.directory)
  const starts = names.map((name) => Number.parseInt(name, 16))
  assert.ok(names.length >= 3)
  const good = await readAll(made.directory, { ring })
  const copy = join(memoryDir(t), 'copy')
  const check = async (change: () => void, position: number, next: number | undefined): Promise<void> => {
    cpSync(made.directory, copy, { recursive: true })
    change()
    const { found, error } = await readUntilError(AppendLog.recover(copy, { ring }))
    assert.equal(error?.code, 'ERR_LOG_CORRUPT')
    assert.deepEqual([error!.position, error!.next], [position, next])
    assert.deepEqual(
      found,
      good.filter((one) => one.position < position),
    )
    if (next !== undefined) {
      const rest = await readAll(copy, { ring, from: next })
      assert.deepEqual(
        rest,
        good.filter((one) => one.position >= next),
      )
    }
    rmSync(copy, { recursive: true })
  }
  const [first, second] = names as [string, string]
  const inSecond = good.filter(({ position }) => position >= starts[1]! && position < starts[2]!)
  // The last record of the second segment: nothing follows it there, but a third segment exists.
  const [last] = inSecond.slice(-1) as [LogRecord]
  const place = HEADER + last.position - starts[1]!
  await check(() => flip(copy, second, place + 20), last.position, starts[2])
  await check(() => edit(copy, second, (bytes) => void bytes.fill(0, place)), last.position, starts[2])
  await check(() => edit(copy, second, (bytes) => bytes.subarray(0, place)), last.position, starts[2])
  await check(() => rmSync(join(copy, second)), starts[1]!, starts[2])
  await check(() => flip(copy, second, 20), starts[1]!, starts[2])
  // A segment of another place, by name and by header.
  await check(() => copyFileSync(join(copy, first), join(copy, second)), starts[1]!, starts[2])
})

test('a frame of another log or of another place is no record', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const one = await makeLog(t, ring, { batches: 2, size: 1, length: 40 })
  const other = await makeLog(t, ring, { batches: 1, size: 1, length: 40 })
  const [name] = segmentsOf(one.directory)
  // The frame of the first record, byte for byte, where the second one was.
  edit(one.directory, name!, (bytes) => void bytes.copy(bytes, HEADER + 56, HEADER, HEADER + 56))
  assert.deepEqual(numbersOf(await readAll(one.directory, { ring })), [0])
  let frame = Buffer.alloc(0)
  edit(other.directory, name!, (bytes) => {
    frame = Buffer.from(bytes.subarray(HEADER))
    return bytes
  })
  edit(one.directory, name!, (bytes) => void frame.copy(bytes, HEADER))
  assert.deepEqual(await readAll(one.directory, { ring }), [])
})

test('a segment that was never begun is none; one that lost its header is told', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const { directory, end } = await makeLog(t, ring, { batches: 2, size: 2, length: 30 })
  const next = `${end.toString(16).padStart(16, '0')}.log`
  for (const left of [Buffer.alloc(0), Buffer.alloc(30, 1), Buffer.alloc(4096), Buffer.alloc(64, 7)]) {
    writeFileSync(join(directory, next), left)
    assert.deepEqual(numbersOf(await readAll(directory, { ring })), upTo(4))
    const log = await AppendLog.open(directory, { ring })
    assert.deepEqual(log.recovery, { kind: 'clean', position: end, cutBytes: 0 })
    await log.close()
    assert.deepEqual(segmentsOf(directory).length, 1)
  }
  edit(directory, segmentsOf(directory)[0]!, (bytes) => void bytes.fill(0, 0, HEADER))
  const { error } = await readUntilError(AppendLog.recover(directory, { ring }))
  assert.deepEqual([error?.code, error?.position], ['ERR_LOG_CORRUPT', 0])
  await assert.rejects(AppendLog.open(directory, { ring }), { code: 'ERR_LOG_CORRUPT' })
  // A log of which only a segment that was never begun is there is a new one.
  const fresh = memoryDir(t)
  writeFileSync(join(fresh, '0000000000000000.log'), Buffer.alloc(100))
  assert.deepEqual(await readAll(fresh, { ring }), [])
  const log = await AppendLog.open(fresh, { ring })
  assert.equal(log.recovery.kind, 'new')
  await log.close()
})

test('noise: recovery yields true records in order, ends, and throws nothing but its own error', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const { directory } = await makeLog(t, ring, { ...SMALL, batches: 25, size: 4, length: 60 })
  const good = new Map((await readAll(directory, { ring })).map((one) => [one.position, one.data]))
  const copy = join(memoryDir(t), 'copy')
  const seed = isSoak ? Date.now() >>> 0 : 42
  t.diagnostic(`seed ${seed}`)
  const pick = random(seed)
  for (let round = 0; round < (isSoak ? 5000 : 40); round++) {
    cpSync(directory, copy, { recursive: true })
    for (let edits = 1 + pick(4); edits > 0; edits--) mangle(copy, pick)
    for (let from: number | undefined, tries = 0; tries < 200; tries++) {
      const { found, error } = await readUntilError(
        AppendLog.recover(copy, { ring, ...(from === undefined ? {} : { from }) }),
      )
      let last = -1
      for (const { position, data } of found) {
        assert.ok(position > last, `seed ${seed}, round ${round}`)
        assert.ok(
          good.get(position)?.equals(data),
          `seed ${seed}, round ${round}: a record that was never written`,
        )
        last = position
      }
      if (error === undefined) break
      assert.ok(['ERR_LOG_CORRUPT', 'ERR_OUT_OF_RANGE'].includes(error.code!), `seed ${seed}: ${error.stack}`)
      if (error.next === undefined) break
      assert.ok(error.next > error.position!, 'reading on gets on')
      from = error.next
    }
    const log = await AppendLog.open(copy, { ring, ...SMALL, allowDamage: true }).catch((error) => error)
    if (log instanceof AppendLog) {
      const position = await log.append('after the noise')
      const { found } = await readUntilError(log.records(position))
      assert.deepEqual(
        found.map(({ data }) => String(data)),
        ['after the noise'],
        `seed ${seed}, round ${round}`,
      )
      await log.close()
    } else assert.equal(log.code, 'ERR_LOG_CORRUPT', `seed ${seed}: ${log.stack}`)
    rmSync(copy, { recursive: true })
  }
})

/** One random thing that may happen to a log's files. */
function mangle(directory: string, pick: (limit: number) => number): void {
  const names = readdirSync(directory).filter((name) => name.endsWith('.log'))
  if (names.length === 0) return
  const name = names[pick(names.length)]!
  const kind = pick(8)
  if (kind === 0) rmSync(join(directory, name))
  if (kind === 1) copyFileSync(join(directory, name), join(directory, names[pick(names.length)]!))
  if (kind < 2) return
  edit(directory, name, (bytes) => {
    if (bytes.length === 0) return undefined
    const at = pick(bytes.length)
    const end = Math.min(bytes.length, at + 1 + pick(300))
    if (kind === 2) bytes[at]! ^= 1 << pick(8)
    else if (kind === 3) bytes.fill(0, at, end)
    else if (kind === 4) for (let i = at; i < end; i++) bytes[i] = pick(256)
    else if (kind === 5) return bytes.subarray(0, at)
    else if (kind === 6) bytes.copyWithin(at, pick(bytes.length), bytes.length)
    else return Buffer.concat([bytes, Buffer.alloc(pick(500), pick(256))])
    return undefined
  })
}
