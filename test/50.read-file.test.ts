// readFile: small files in one trip, longer ones from the same descriptor; the same bytes and errors as node:fs/promises.
// Flow: this → ringcore (readFile) → kernel.

import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { readFile as nodeReadFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import { pathToFileURL } from 'node:url'
import { readFile } from 'ringcore'
import { oracle, requires, tempDir, until, useRing, withTimeout } from './helpers.js'

const SIZES = [0, 1, 4096, 8191, 8192, 8193, 12_287, 12_288, 12_289, 65_535, 65_536, 65_537, 300_000]

test('every size, from an empty file to one of many reads', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const dir = tempDir(t)
  for (const size of SIZES) {
    const path = join(dir, `f${size}`)
    const bytes = randomBytes(size)
    writeFileSync(path, bytes)
    assert.deepEqual(await readFile(path, { ring }), bytes, `${size} bytes`)
  }
})

test('names: bytes, URLs, long paths, paths that are not ASCII', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const dir = join(tempDir(t), 'd'.repeat(200), 'ü'.repeat(100))
  mkdirSync(dir, { recursive: true })
  const path = join(dir, 'größe')
  writeFileSync(path, 'text')
  for (const name of [path, Buffer.from(path), pathToFileURL(path)]) {
    assert.equal((await readFile(name, { ring })).toString(), 'text')
  }
})

test('files of /proc, which say that they are empty', async (t) => {
  oracle(t)
  const ring = useRing(t)
  assert.deepEqual(await readFile('/proc/version', { ring }), readFileSync('/proc/version'))
  assert.ok((await readFile('/proc/self/maps', { ring })).length > 8192)
  assert.deepEqual(await readFile('/proc/kallsyms', { ring }), readFileSync('/proc/kallsyms'))
})

test('errors are those of node:fs/promises', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const dir = tempDir(t)
  for (const path of [join(dir, 'none'), join(dir, 'none', 'x'), dir, '/proc/self/mem']) {
    const theirs: unknown = await nodeReadFile(path).catch((error: unknown) => error)
    const ours: unknown = await readFile(path, { ring }).catch((error: unknown) => error)
    assert.ok(theirs instanceof Error && ours instanceof Error, path)
    const [own, wanted] = [ours as NodeJS.ErrnoException, theirs as NodeJS.ErrnoException]
    assert.deepEqual([own.code, own.errno, own.syscall], [wanted.code, wanted.errno, wanted.syscall], path)
    // Node 26 names the file in errors of read too, as we do on every version.
    const named = wanted.path === undefined ? `${wanted.message} '${path}'` : wanted.message
    assert.deepEqual([own.message, own.path], [named, path])
  }
  await assert.rejects(readFile('a\0b', { ring }), { code: 'ERR_INVALID_ARG_VALUE' })
  await assert.rejects(readFile(5 as unknown as string, { ring }), { code: 'ERR_INVALID_ARG_TYPE' })
  await until(() => ring.stats().inFlight === 0, 1000, 'the last close')
})

test('pipes: what comes in pieces is read to the end, once', async (t) => {
  oracle(t)
  const ring = useRing(t)
  if (!requires(t, { program: 'mkfifo' })) return
  const fifo = join(tempDir(t), 'fifo')
  execFileSync('mkfifo', [fifo])
  // Pieces that come late, and more than one trip brings.
  const script = `for i in 1 2 3; do echo "piece $i"; sleep 0.05; done; seq 1 20000`
  const writer = once(spawn('sh', ['-c', `(${script}) > '${fifo}'`], { stdio: 'ignore' }), 'exit')
  const text = String(await withTimeout(readFile(fifo, { ring }), 10_000))
  await writer
  const numbers = Array.from({ length: 20_000 }, (_, i) => `${i + 1}\n`).join('')
  assert.equal(text, `piece 1\npiece 2\npiece 3\n${numbers}`)
})

test('a thousand at once, more than the ring has places for, some of which fail', async (t) => {
  oracle(t)
  const ring = useRing(t, { entries: 16, inFlight: 40 })
  const dir = tempDir(t)
  const contents = Array.from({ length: 50 }, (_, i) => randomBytes(i * 300))
  for (const [i, bytes] of contents.entries()) writeFileSync(join(dir, String(i)), bytes)
  chmodSync(join(dir, '0'), 0o600)
  const results = await Promise.allSettled(
    Array.from({ length: 1000 }, (_, i) => readFile(join(dir, String(i % 60)), { ring })),
  )
  for (const [i, result] of results.entries()) {
    const expected = contents[i % 60]
    if (expected === undefined) {
      assert.equal(result.status, 'rejected')
      assert.equal(result.reason.code, 'ENOENT')
    } else {
      assert.equal(result.status, 'fulfilled', String(i))
      assert.deepEqual(result.value, expected)
    }
  }
})

test('closing the ring meanwhile settles every promise', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const path = join(tempDir(t), 'f')
  writeFileSync(path, 'x')
  const reads = Array.from({ length: 200 }, () => readFile(path, { ring }))
  const closed = ring.close()
  for (const result of await Promise.allSettled(reads)) {
    if (result.status === 'fulfilled') assert.equal(result.value.toString(), 'x')
    else assert.equal(result.reason.code, 'ERR_RING_CLOSED')
  }
  await closed
  await assert.rejects(readFile(path, { ring }), { code: 'ERR_RING_CLOSED' })
})

test('a signal aborts', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const path = join(tempDir(t), 'f')
  writeFileSync(path, 'x')
  await assert.rejects(readFile(path, { ring, signal: AbortSignal.abort() }), { name: 'AbortError' })
  const { signal } = new AbortController()
  assert.equal((await readFile(path, { ring, signal })).toString(), 'x')
})

test('a file that was read is closed by the next one, or at the end of the turn', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const dir = tempDir(t)
  const at = (name: string): string => join(dir, name)
  for (const name of ['a', 'b']) writeFileSync(at(name), name)
  /** Files of the directory that the ring's table of direct descriptors still has. */
  const open = (): string[] =>
    readFileSync(`/proc/self/fdinfo/${ring.ring.fd}`, 'utf8')
      .split('\n')
      .filter((line) => line.includes(dir))
  const allClosed = (): Promise<void> => until(() => open().length === 0, 5000, 'the files to be closed')
  const before = ring.stats().cqes
  assert.equal(`${await readFile(at('a'), { ring })}`, 'a')
  if (open().length === 0) return t.skip('the kernel does not tell which files a ring has')
  for (let i = 0; i < 10; i++) assert.equal(`${await readFile(at('b'), { ring })}`, 'b')
  await allClosed()
  // Open, read, and read to see the end; one close for all, or two when the turn ended in between.
  assert.ok(ring.stats().cqes - before <= 11 * 3 + 2, String(ring.stats().cqes - before))
  // What could not be opened took nobody's place.
  await readFile(at('a'), { ring })
  await assert.rejects(readFile(at('none'), { ring }), { code: 'ENOENT' })
  await allClosed()
  // More at once than there are places with a file left open, and a ring that closes behind them.
  await Promise.all(Array.from({ length: 300 }, () => readFile(at('a'), { ring })))
  await allClosed()
  await Promise.all(Array.from({ length: 30 }, () => readFile(at('b'), { ring })))
})
