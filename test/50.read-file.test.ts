// readFile: small files in one trip, all others through a File; the same bytes and errors as node:fs/promises.
// Flow: this → ringcore (readFile) → kernel.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { readFile as nodeReadFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import { pathToFileURL } from 'node:url'
import { readFile } from 'ringcore'
import { oracle, tempDir, useRing } from './helpers.js'

const SIZES = [0, 1, 4095, 4096, 8190, 8191, 8192, 100_000]

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
})

test('errors are those of node:fs/promises', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const dir = tempDir(t)
  for (const path of [join(dir, 'none'), join(dir, 'none', 'x'), dir, '/proc/self/mem']) {
    const theirs: unknown = await nodeReadFile(path).catch((error: unknown) => error)
    const ours: unknown = await readFile(path, { ring }).catch((error: unknown) => error)
    assert.ok(theirs instanceof Error && ours instanceof Error, path)
    const shape = ({ message, code, errno, syscall, path: named }: NodeJS.ErrnoException) => ({
      message,
      code,
      errno,
      syscall,
      named,
    })
    assert.deepEqual(shape(ours), shape(theirs), path)
  }
  await assert.rejects(readFile('a\0b', { ring }), { code: 'ERR_INVALID_ARG_VALUE' })
  await assert.rejects(readFile(5 as unknown as string, { ring }), { code: 'ERR_INVALID_ARG_TYPE' })
  assert.equal(ring.stats().inFlight, 0)
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
