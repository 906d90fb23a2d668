// writeFile: small files in one trip, longer ones in pieces; the same files and errors as node:fs/promises.
// Flow: this → ringcore (writeFile) → kernel.

import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { readFile as nodeReadFile, writeFile as nodeWriteFile, open } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import { pathToFileURL } from 'node:url'
import { readFile, Uring, writeFile } from 'ringcore'
import { countFds, oracle, requires, tempDir, useRing, withTimeout } from './helpers.js'
import { mountBadFs } from './tools.js'

const SIZES = [0, 1, 4095, 4096, 4097, 65_537, 17 * 1024 * 1024]

test('every size, over a longer file that was there', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const dir = tempDir(t)
  for (const size of SIZES) {
    const path = join(dir, `f${size}`)
    const bytes = randomBytes(size)
    writeFileSync(path, Buffer.alloc(size + 10))
    await writeFile(path, bytes, { ring })
    assert.ok(readFileSync(path).equals(bytes), `${size} bytes`)
  }
})

test('text, views, names of all kinds, flags, modes, flush', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const dir = join(tempDir(t), 'd'.repeat(200), 'ü'.repeat(100))
  mkdirSync(dir, { recursive: true })
  const path = join(dir, 'größe')
  for (const name of [path, Buffer.from(path), pathToFileURL(path)]) {
    await writeFile(name, 'töxt', { ring, flush: true })
    assert.equal(readFileSync(path, 'utf8'), 'töxt')
  }
  await writeFile(path, new Uint16Array([0x4241, 0x4443]).subarray(1), { ring, flag: 'a' })
  assert.equal(readFileSync(path, 'utf8'), 'töxtCD')
  await assert.rejects(writeFile(path, 'x', { ring, flag: 'wx' }), { code: 'EEXIST', syscall: 'open', path })
  const secret = join(dir, 'secret')
  await writeFile(secret, 'x', { ring, mode: 0o600 })
  assert.equal(statSync(secret).mode & 0o777, 0o600)
  await writeFile(secret, '1', { ring, flag: 'r+' })
  assert.equal(readFileSync(secret, 'utf8'), '1')
})

test('small data is copied at once', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const path = join(tempDir(t), 'f')
  const data = Buffer.alloc(4096, 'a')
  const written = writeFile(path, data, { ring })
  data.fill('b')
  await written
  assert.equal(readFileSync(path, 'utf8'), 'a'.repeat(4096))
})

test('errors are those of node:fs/promises', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const dir = tempDir(t)
  writeFileSync(join(dir, 'f'), '')
  const cases: [string, { flag?: string }][] = [
    [join(dir, 'none', 'x'), {}],
    [dir, {}],
    [join(dir, 'f', 'x'), {}],
    ['/dev/full', {}],
    [join(dir, 'f'), { flag: 'r' }],
  ]
  for (const [path, options] of cases) {
    const theirs: unknown = await nodeWriteFile(path, 'x', options).catch((error: unknown) => error)
    const ours: unknown = await writeFile(path, 'x', { ...options, ring }).catch((error: unknown) => error)
    assert.ok(theirs instanceof Error && ours instanceof Error, path)
    const [own, wanted] = [ours as NodeJS.ErrnoException, theirs as NodeJS.ErrnoException]
    assert.deepEqual([own.code, own.errno, own.syscall], [wanted.code, wanted.errno, wanted.syscall], path)
    const named = wanted.path === undefined ? `${wanted.message} '${path}'` : wanted.message
    assert.deepEqual([own.message, own.path], [named, path])
  }
  await assert.rejects(writeFile('a\0b', 'x', { ring }), { code: 'ERR_INVALID_ARG_VALUE' })
  await assert.rejects(writeFile('x', 5 as unknown as string, { ring }), { code: 'ERR_INVALID_ARG_TYPE' })
  await assert.rejects(writeFile('x', 'x', { ring, flag: 'q' }), { code: 'ERR_INVALID_ARG_VALUE' })
  await assert.rejects(writeFile('x', 'x', { ring, mode: -1 }), { code: 'ERR_OUT_OF_RANGE' })
  await assert.rejects(writeFile('x', 'x', { ring, flush: 1 as unknown as boolean }), {
    code: 'ERR_INVALID_ARG_TYPE',
  })
})

test('an error of write and of fsync comes out', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const bad = await mountBadFs(t, 4096)
  if ('skip' in bad) return t.skip(bad.skip)
  const data = randomBytes(4096)
  await writeFile(bad.file, data, { ring, flag: 'r+' })
  assert.ok((await nodeReadFile(bad.file)).equals(data))
  bad.set({ werr: 5, direct: 1 })
  await assert.rejects(writeFile(bad.file, data, { ring, flag: 'r+' }), { code: 'EIO', syscall: 'write' })
  bad.set({ fsyncerr: 5 })
  await assert.rejects(writeFile(bad.file, data, { ring, flag: 'r+', flush: true }), {
    code: 'EIO',
    syscall: 'fsync',
    path: bad.file,
  })
})

test('a full disk: the error, and what fitted', async (t) => {
  oracle(t)
  if (!requires(t, { root: true, program: 'mount' })) return
  const ring = useRing(t)
  const dir = tempDir(t)
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'none', dir], { encoding: 'utf8' })
  if (mounted.status !== 0) return t.skip(`cannot mount a tmpfs: ${mounted.stderr}`)
  t.after(() => execFileSync('umount', [dir]))
  const path = join(dir, 'f')
  const data = randomBytes(3 << 20)
  await assert.rejects(writeFile(path, data, { ring }), { code: 'ENOSPC', syscall: 'write', path })
  const left = readFileSync(path)
  assert.ok(left.length > 0 && left.equals(data.subarray(0, left.length)))
})

test('a thousand at once on a small ring, some of which fail; no fd of the process', async (t) => {
  oracle(t)
  const ring = useRing(t, { entries: 16, inFlight: 40 })
  const dir = tempDir(t)
  await writeFile(join(dir, 'warm'), '', { ring })
  const before = countFds().all
  let most = 0
  const results = await Promise.allSettled(
    Array.from({ length: 1000 }, async (_, i) => {
      await writeFile(join(dir, i % 10 === 0 ? 'none/x' : String(i)), Buffer.alloc(i * 7, i), { ring })
      if (i < 100) most = Math.max(most, countFds().all)
    }),
  )
  assert.equal(most, before)
  for (const [i, result] of results.entries()) {
    if (i % 10 === 0) assert.equal(result.status === 'rejected' && result.reason.code, 'ENOENT')
    else assert.ok(readFileSync(join(dir, String(i))).equals(Buffer.alloc(i * 7, i)), String(i))
  }
})

test('a program can be executed as soon as it is written', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const dir = tempDir(t)
  const binary = readFileSync('/bin/true')
  for (let i = 0; i < 20; i++) {
    const path = join(dir, `true${i}`)
    await writeFile(path, binary, { ring, mode: 0o755 })
    execFileSync(path)
  }
})

test('a signal: before, during a write that hangs, and too late', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const dir = tempDir(t)
  if (!requires(t, { program: 'mkfifo' })) return
  const path = join(dir, 'f')
  await assert.rejects(writeFile(path, 'x', { ring, signal: AbortSignal.abort() }), { name: 'AbortError' })
  const fifo = join(dir, 'fifo')
  execFileSync('mkfifo', [fifo])
  // Nobody reads: the open itself hangs.
  for (const start of [
    async (signal: AbortSignal): Promise<unknown> => writeFile(fifo, 'x', { ring, signal }),
    async (signal: AbortSignal): Promise<unknown> => readFile(fifo, { ring, signal }),
  ]) {
    const late = new AbortController()
    setTimeout(() => late.abort(new Error('why')), 20)
    const error = await withTimeout(
      start(late.signal).then(
        () => assert.fail('no error'),
        (e: Error) => e,
      ),
      10_000,
    )
    assert.deepEqual([error.name, (error.cause as Error).message], ['AbortError', 'why'])
  }
  // A reader that takes nothing: the write hangs when the pipe is full.
  const reader = await open(fifo, 'r+')
  const control = new AbortController()
  const written = writeFile(fifo, Buffer.alloc(1 << 20), { ring, signal: control.signal, flag: 'r+' })
  setTimeout(() => control.abort(), 20)
  await assert.rejects(withTimeout(written, 10_000), { name: 'AbortError' })
  await reader.close()
  const { signal } = new AbortController()
  await writeFile(path, 'y', { ring, signal })
  assert.equal(readFileSync(path, 'utf8'), 'y')
})

test('closing the ring meanwhile settles every promise', async (t) => {
  oracle(t)
  const ring = new Uring()
  const dir = tempDir(t)
  const writes = Array.from({ length: 300 }, (_, i) => writeFile(join(dir, String(i)), 'x', { ring }))
  const closed = ring.close()
  for (const result of await Promise.allSettled(writes)) {
    if (result.status === 'rejected') assert.equal(result.reason.code, 'ERR_RING_CLOSED')
  }
  await closed
  await assert.rejects(writeFile(join(dir, 'x'), 'x', { ring }), { code: 'ERR_RING_CLOSED' })
})
