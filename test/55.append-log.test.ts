// AppendLog in good weather: positions and order, what a batch shares, segments, reading from anywhere, and what is refused.
// Flow: this → ringcore AppendLog.

import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { AppendLog, type AppendLogOptions, type LogRecord, Uring } from 'ringcore'
import { numberOf, readAll, readUntilError, record, segmentsOf } from './append-log.js'
import { oracle, runNode, tempDir, until, useRing } from './helpers.js'
import { testKinds, turn } from './uring.js'

const SMALL: AppendLogOptions = { segmentBytes: 4096, batchBytes: 1024 }

testKinds('records come back with their positions, in the order of the calls', async (t, ring) => {
  const directory = join(tempDir(t), 'log')
  const log = await AppendLog.open(directory, { ring })
  assert.deepEqual(log.recovery, { kind: 'new', position: 0, cutBytes: 0 })
  const positions = await Promise.all(Array.from({ length: 100 }, (_, i) => log.append(record(i, i * 5))))
  assert.equal(positions[0], 0)
  assert.ok(positions.every((position, i) => i === 0 || position > positions[i - 1]!))
  const live: LogRecord[] = []
  for await (const one of log.records()) live.push(one)
  await log.close()
  const found = await readAll(directory, { ring })
  assert.deepEqual(found, live)
  assert.deepEqual(
    found.map(({ data }) => numberOf(data)),
    Array.from({ length: 100 }, (_, i) => i),
  )
  assert.deepEqual(
    found.map(({ position }) => position),
    positions,
  )
  // Each says where the next one begins.
  assert.deepEqual(
    found.slice(0, -1).map(({ next }) => next),
    positions.slice(1),
  )
  assert.equal(found.at(-1)!.next, log.durable)
})

test('the package reads what strings, empty records and the longest record are', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const directory = tempDir(t)
  const log = await AppendLog.open(directory, { ring, batchBytes: 4096 })
  const longest = Buffer.alloc(log.recordMax, 9)
  assert.equal(log.recordMax, 4080)
  await Promise.all([log.append('grüße'), log.append(new Uint8Array(0)), log.append(longest), log.append('')])
  await assert.rejects(log.append(Buffer.alloc(4081)), { code: 'ERR_OUT_OF_RANGE', message: /4080.*4_?081/ })
  await log.close()
  const [text, empty, long, last] = await readAll(directory, { ring })
  assert.equal(String(text!.data), 'grüße')
  assert.equal(empty!.data.length + last!.data.length, 0)
  assert.ok(long!.data.equals(longest))
})

test('a log goes on where it ended, as often as it is opened', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const directory = tempDir(t)
  for (const preallocate of [true, false]) {
    for (let round = 0; round < 4; round++) {
      const log = await AppendLog.open(directory, { ring, ...SMALL, preallocate })
      const before = await readAll(directory, { ring })
      assert.equal(log.recovery.kind, before.length === 0 ? 'new' : 'clean')
      assert.equal(log.recovery.position, before.at(-1)?.next ?? 0)
      for (let i = 0; i < 10; i++) await log.append(record(before.length + i, 100))
      await log.close()
    }
  }
  const found = await readAll(directory, { ring })
  assert.deepEqual(
    found.map(({ data }) => numberOf(data)),
    Array.from({ length: 80 }, (_, i) => i),
  )
})

test('what is appended while a batch is synced shares the next write and the next sync', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const log = await AppendLog.open(tempDir(t), { ring })
  const before = ring.stats().cqes
  const first = log.append('a')
  await turn()
  const rest = Array.from({ length: 200 }, (_, i) => log.append(record(i, 100)))
  await Promise.all([first, ...rest])
  // Two batches, each a write and an fdatasync; some more are the loop's own.
  assert.ok(ring.stats().cqes - before <= 8, `${ring.stats().cqes - before} completions`)
  await log.close()
})

test('what does not fit into the batch waits in order, and the copies that the log makes are bounded', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const directory = tempDir(t)
  const log = await AppendLog.open(directory, { ring, ...SMALL })
  const order: number[] = []
  const all = Array.from({ length: 300 }, (_, i) =>
    log.append(record(i, 90)).then(() => {
      order.push(i)
    }),
  )
  assert.equal(log.waitingBytes, 300 * 112)
  await Promise.all(all)
  assert.equal(log.waitingBytes, 0)
  assert.deepEqual(
    order,
    Array.from({ length: 300 }, (_, i) => i),
  )
  await log.close()
  assert.deepEqual(
    (await readAll(directory, { ring })).map(({ data }) => numberOf(data)),
    order,
  )
  assert.ok(segmentsOf(directory).length >= 8, 'segments of 4096 bytes')
})

test('segments: their names are positions, none is longer than asked, records never span two', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const directory = tempDir(t)
  const log = await AppendLog.open(directory, { ring, ...SMALL })
  for (let i = 0; i < 100; i++) await log.append(record(i, 150))
  await log.close()
  const found = await readAll(directory, { ring })
  assert.equal(found.length, 100)
  const names = segmentsOf(directory)
  const starts = names.map((name) => Number.parseInt(name, 16))
  assert.equal(starts[0], 0)
  for (const [i, start] of starts.entries()) {
    assert.ok(
      found.some(({ position }) => position === start),
      'a record begins where a segment does',
    )
    assert.ok(i === 0 || start - starts[i - 1]! <= 4096)
    // Space that was allocated and not used is given back.
    const end = starts[i + 1] ?? log.durable
    assert.equal(statSync(join(directory, names[i]!)).size, 64 + end - start)
  }
})

test('reading from any record on, and not from anywhere else', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const directory = tempDir(t)
  await using log = await AppendLog.open(directory, { ring, ...SMALL })
  const positions = await Promise.all(Array.from({ length: 60 }, (_, i) => log.append(record(i, 120))))
  for (const [i, from] of positions.entries()) {
    if (i % 4 !== 0) continue
    const live = await readUntilError(log.records(from))
    const cold = await readUntilError(AppendLog.recover(directory, { ring, from }))
    for (const { found, error } of [live, cold]) {
      assert.equal(error, undefined)
      assert.deepEqual(
        found.map(({ data }) => numberOf(data)),
        Array.from({ length: 60 - i }, (_, k) => i + k),
      )
    }
  }
  for (const from of [8, positions[5]! + 8, positions[5]! + 3, -8, 1.5, Number.NaN]) {
    const { error } = await readUntilError(log.records(from))
    assert.equal(error?.code, 'ERR_OUT_OF_RANGE', `from ${from}`)
  }
  assert.deepEqual((await readUntilError(log.records(log.durable))).found, [])
  // Leaving early closes the segment: the oracle looks.
  for await (const { position } of log.records()) if (position === positions[3]) break
})

test('truncateBefore removes whole segments, and says what is left', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const directory = tempDir(t)
  const log = await AppendLog.open(directory, { ring, ...SMALL })
  const positions: number[] = []
  for (let i = 0; i < 100; i++) positions.push(await log.append(record(i, 150)))
  const names = segmentsOf(directory)
  assert.equal(await log.truncateBefore(0), 0)
  assert.deepEqual(segmentsOf(directory), names)
  const start = await log.truncateBefore(positions[50]!)
  assert.equal(log.start, start)
  assert.ok(start > 0 && start <= positions[50]!)
  const left = await readAll(directory, { ring })
  assert.equal(left[0]!.position, start)
  assert.equal(numberOf(left.at(-1)!.data), 99)
  const { error } = await readUntilError(log.records(0))
  assert.equal(error?.code, 'ERR_OUT_OF_RANGE')
  // Two at once, and everything: the segment that is written to stays.
  await Promise.all([log.truncateBefore(positions[70]!), log.truncateBefore(Number.MAX_SAFE_INTEGER)])
  assert.equal(segmentsOf(directory).length, 1)
  await log.append(record(100, 10))
  await log.close()
  const log2 = await AppendLog.open(directory, { ring, ...SMALL })
  assert.equal(log2.start, log.start)
  assert.equal(numberOf((await readAll(directory, { ring })).at(-1)!.data), 100)
  await log2.close()
})

test('flush resolves when all that was appended before is on the disk', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const log = await AppendLog.open(tempDir(t), { ring, ...SMALL })
  assert.equal(await log.flush(), 0)
  let settled = 0
  const count = (): void => {
    settled++
  }
  // 1 fits the batch, 40 wait for room.
  for (const records of [1, 40]) {
    settled = 0
    for (let i = 0; i < records; i++) log.append(record(i, 100)).then(count, count)
    assert.equal(await log.flush(), log.durable)
    assert.equal(settled, records)
  }
  const last = log.append('x')
  await turn()
  // The batch is with the kernel now.
  assert.equal(await log.flush(), log.durable)
  assert.ok((await last) < log.durable)
  await log.close()
})

test('close waits for what was appended, and a closed log refuses the rest', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const directory = tempDir(t)
  const log = await AppendLog.open(directory, { ring, ...SMALL })
  const appended = Promise.all(Array.from({ length: 50 }, (_, i) => log.append(record(i, 100))))
  const closed = log.close()
  const refused = { code: 'ERR_LOG_CLOSED' }
  await assert.rejects(log.append('x'), refused)
  await assert.rejects(log.truncateBefore(0), refused)
  assert.equal(log.close(), closed)
  await closed
  assert.equal((await appended).length, 50)
  assert.equal((await readAll(directory, { ring })).length, 50)
})

test('abort: a record that waits for room is withdrawn, one in a batch is not', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const directory = tempDir(t)
  const log = await AppendLog.open(directory, { ring, ...SMALL })
  const abort = new AbortController()
  const { signal } = abort
  const first = log.append(record(0, 900), { signal })
  const waiting = Array.from({ length: 5 }, (_, i) =>
    log.append(record(i + 1, 900), i === 2 ? { signal } : {}),
  )
  abort.abort(new Error('enough'))
  await assert.rejects(waiting[2]!, { name: 'AbortError', cause: abort.signal.reason })
  assert.equal(await first, 0)
  waiting.splice(2, 1)
  await Promise.all(waiting)
  await assert.rejects(log.append('x', { signal }), { name: 'AbortError' })
  await log.close()
  assert.deepEqual(
    (await readAll(directory, { ring })).map(({ data }) => numberOf(data)),
    [0, 1, 2, 4, 5],
  )
})

test('one writer: a second open is refused, in this process and in another, until the first closes or dies', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const directory = tempDir(t)
  const log = await AppendLog.open(directory, { ring })
  await assert.rejects(AppendLog.open(directory, { ring }), { code: 'ERR_LOG_LOCKED' })
  const tried = join(tempDir(t), 'tried')
  const script = `
    import { writeFileSync } from 'node:fs'
    import { AppendLog } from 'ringcore'
    const [directory, tried] = process.argv.slice(1)
    for (;;) {
      const log = await AppendLog.open(directory).catch((error) => error.code)
      if (log instanceof AppendLog) break
      writeFileSync(tried, log)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    console.log('opened')
    process.kill(process.pid, 'SIGKILL')`
  const other = runNode(script, { args: [directory, tried] })
  await until(
    () => existsSync(tried) && readFileSync(tried, 'utf8') !== '',
    20_000,
    'the other process to try',
  )
  assert.equal(readFileSync(tried, 'utf8'), 'ERR_LOG_LOCKED')
  await log.close()
  assert.equal((await other).stdout, 'opened\n')
  // Killed while it had the log open: the lock went with it.
  await (await AppendLog.open(directory, { ring })).close()
})

test('what is wrong is refused before anything is made', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const directory = join(tempDir(t), 'log')
  const bad: [unknown, string][] = [
    [{ batchBytes: 63 }, 'ERR_OUT_OF_RANGE'],
    [{ batchBytes: 2 ** 26 + 1 }, 'ERR_OUT_OF_RANGE'],
    [{ batchBytes: 4096, segmentBytes: 4095 }, 'ERR_OUT_OF_RANGE'],
    [{ segmentBytes: 2 ** 31 }, 'ERR_OUT_OF_RANGE'],
    [{ segmentBytes: '1' }, 'ERR_INVALID_ARG_TYPE'],
    [{ preallocate: 1 }, 'ERR_INVALID_ARG_TYPE'],
    [{ allowDamage: 'yes' }, 'ERR_INVALID_ARG_TYPE'],
    [7, 'ERR_INVALID_ARG_TYPE'],
  ]
  for (const [options, code] of bad)
    await assert.rejects(
      AppendLog.open(directory, options as AppendLogOptions),
      { code },
      JSON.stringify(options),
    )
  await assert.rejects(AppendLog.open(7 as unknown as string), { code: 'ERR_INVALID_ARG_TYPE' })
  await assert.rejects(readAll(7 as unknown as string), { code: 'ERR_INVALID_ARG_TYPE' })
  await assert.rejects(readAll(directory, { ring }), { code: 'ENOENT' })
  await assert.rejects(AppendLog.open(join(directory, 'no', 'such'), { ring }), { code: 'ENOENT' })
  writeFileSync(directory, 'a file')
  await assert.rejects(AppendLog.open(directory, { ring }), { code: 'ENOTDIR' })
  const other = join(tempDir(t), 'other')
  mkdirSync(other)
  writeFileSync(join(other, 'notes.txt'), 'not a segment')
  const log = await AppendLog.open(other, { ring })
  for (const value of [7, null, undefined, {}, new ArrayBuffer(8)])
    await assert.rejects(log.append(value as unknown as string), { code: 'ERR_INVALID_ARG_TYPE' })
  await assert.rejects(log.append('x', { signal: 7 as unknown as AbortSignal }), {
    code: 'ERR_INVALID_ARG_TYPE',
  })
  await assert.rejects(log.truncateBefore(-1), { code: 'ERR_OUT_OF_RANGE' })
  await log.append('x')
  await log.close()
})

test("the thread's own ring serves when none is named, and a closed ring takes no log", async (t) => {
  oracle(t)
  const directory = tempDir(t)
  const ring = new Uring()
  await ring.close()
  await assert.rejects(AppendLog.open(directory, { ring }), { code: 'ERR_RING_CLOSED' })
  const log = await AppendLog.open(directory)
  await log.append('x')
  await log.close()
  const { defaultRing } = await import('ringcore')
  await defaultRing().close()
})
