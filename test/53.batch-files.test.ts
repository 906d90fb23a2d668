// readFiles, writeFiles, stats, walk: order, limits, errors, aborts, early ends; the same answers as node:fs.
// Flow: this → ringcore (readFiles, writeFiles, stats, walk) → kernel.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type FileToWrite, readFiles, stats, walk, writeFiles } from 'ringcore'
import { oracle, requires, tempDir, until, useRing, withTimeout } from './helpers.js'

/** Files 0 … count - 1, of sizes up to 20 KB; those beyond are not there. */
function makeFiles(t: TestContext, count: number): { dir: string; paths: string[]; sizes: number[] } {
  const dir = tempDir(t)
  const sizes = Array.from({ length: count }, (_, i) => (i * 977) % 20_000)
  const paths = sizes.map((size, i) => {
    const path = join(dir, String(i))
    writeFileSync(path, Buffer.alloc(size, i))
    return path
  })
  return { dir, paths, sizes }
}

test('readFiles: arrays, generators and async iterables, in order', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const { paths } = makeFiles(t, 200)
  const asynchronous = async function* (): AsyncGenerator<string> {
    for (const [i, path] of paths.entries()) {
      if (i % 50 === 0) await sleep(1)
      yield path
    }
  }
  for (const source of [paths, new Set(paths), asynchronous()]) {
    const seen: string[] = []
    for await (const { path, data } of readFiles(source, { ring, concurrency: 7 })) {
      assert.ok(data.equals(readFileSync(path as string)))
      seen.push(path as string)
    }
    assert.deepEqual(seen, paths)
  }
  for await (const _ of readFiles([], { ring })) assert.fail('there is none')
})

test('readFiles: as they complete, all of them once', async (t) => {
  oracle(t)
  const ring = useRing(t)
  if (!requires(t, { program: 'mkfifo' })) return
  const { dir, paths } = makeFiles(t, 50)
  const fifo = join(dir, 'fifo')
  execFileSync('mkfifo', [fifo])
  // The first one comes last: nobody writes to it before the others are there.
  const seen: unknown[] = []
  for await (const { path, data } of readFiles([fifo, ...paths], { ring, ordered: false, concurrency: 4 })) {
    seen.push(path)
    if (seen.length === 50) writeFileSync(fifo, 'late')
    if (path === fifo) assert.equal(data.toString(), 'late')
  }
  assert.equal(seen.at(-1), fifo)
  assert.deepEqual(new Set(seen), new Set([fifo, ...paths]))
})

test('readFiles: errors at their turn, or collected', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const { dir, paths } = makeFiles(t, 40)
  const all = [...paths.slice(0, 20), join(dir, 'none'), 'a\0b', dir, ...paths.slice(20)]
  const seen: unknown[] = []
  await assert.rejects(
    async () => {
      for await (const { path } of readFiles(all, { ring })) seen.push(path)
    },
    { code: 'ENOENT', path: join(dir, 'none') },
  )
  assert.deepEqual(seen, all.slice(0, 20))
  const codes: (string | undefined)[] = []
  for await (const { path, data, error } of readFiles(all, { ring, onError: 'collect' })) {
    codes.push((error as NodeJS.ErrnoException | undefined)?.code)
    if (error === undefined) assert.ok(data.equals(readFileSync(path as string)))
    else assert.equal(data.length, 0)
  }
  assert.deepEqual(codes.slice(20, 23), ['ENOENT', 'ERR_INVALID_ARG_VALUE', 'EISDIR'])
  assert.equal(codes.filter((code) => code === undefined).length, 40)
  // Many that fail at once must not grow the stack.
  let count = 0
  for await (const { error } of readFiles(Array(12_000).fill('a\0b'), { ring, onError: 'collect' }))
    if (error) count++
  assert.equal(count, 12_000)
  assert.throws(() => readFiles('text' as unknown as string[]), { code: 'ERR_INVALID_ARG_TYPE' })
  assert.throws(() => readFiles(5 as unknown as string[]), { code: 'ERR_INVALID_ARG_TYPE' })
  for (const bad of [{ concurrency: 0 }, { maxBytes: 0.5 }, { ordered: 1 }, { onError: 'x' }, { signal: 5 }])
    assert.throws(() => readFiles([], bad as object), /ERR_(OUT_OF_RANGE|INVALID_ARG)/)
})

test('readFiles: no more than `concurrency` at once, no more than `maxBytes` ahead, a larger file alone', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const dir = tempDir(t)
  const paths = Array.from({ length: 60 }, (_, i) => join(dir, String(i)))
  for (const [i, path] of paths.entries()) writeFileSync(path, Buffer.alloc(i % 10 === 5 ? 900_000 : 5000))
  let taken = 0
  const source = function* (): Generator<string> {
    for (const path of paths) {
      taken++
      yield path
    }
  }
  const files = readFiles(source(), { ring, concurrency: 3, maxBytes: 100_000 })
  assert.equal(taken, 0, 'nothing begins before the first is asked for')
  let given = 0
  for await (const { data } of files) {
    given++
    // The consumer is slow: as much as allowed is read, and then it waits.
    if (given % 20 === 0) await sleep(20)
    const ahead: number = taken - given
    assert.ok(ahead <= 3 + 100_000 / 5000 + 1, `${ahead} files ahead of the consumer`)
    assert.ok(data.length === 5000 || data.length === 900_000)
  }
  assert.equal(given, 60)
  // Unordered: large files that wait for room do not wait for ever.
  let bytes = 0
  for await (const { data } of readFiles(paths, { ring, ordered: false, maxBytes: 1 })) bytes += data.length
  assert.equal(bytes, 54 * 5000 + 6 * 900_000)
})

test('readFiles: leaving early ends the source and what is under way', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const { paths } = makeFiles(t, 100)
  let ended = 0
  const source = function* (): Generator<string> {
    try {
      yield* paths
    } finally {
      ended++
    }
  }
  for await (const _ of readFiles(source(), { ring })) break
  assert.equal(ended, 1)
  await until(() => ring.stats().inFlight === 0, 2000, 'the reads to end')
  await assert.rejects(
    async () => {
      for await (const _ of readFiles(source(), { ring })) throw new Error('mine')
    },
    { message: 'mine' },
  )
  assert.equal(ended, 2)
  // An asynchronous source that is waited for at that moment is ended too.
  let letGo = (): void => {}
  const slow = async function* (): AsyncGenerator<string> {
    try {
      yield paths[0]!
      await new Promise<void>((resolve) => {
        letGo = resolve
      })
    } finally {
      ended++
    }
  }
  for await (const _ of readFiles(slow(), { ring })) break
  letGo()
  await until(() => ended === 3, 2000, 'the source to end')
  const files = readFiles(paths, { ring })
  await files.next()
  await Promise.all([files.return(), files.return(), files.next()])
  const failing = function* (): Generator<string> {
    yield paths[0]!
    throw new Error('the source broke')
  }
  await assert.rejects(
    async () => {
      for await (const _ of readFiles(failing(), { ring }));
    },
    { message: 'the source broke' },
  )
})

test('readFiles: a signal ends it, also while a file hangs; several may wait at once', async (t) => {
  oracle(t)
  const ring = useRing(t)
  if (!requires(t, { program: 'mkfifo' })) return
  const { dir, paths } = makeFiles(t, 10)
  const fifo = join(dir, 'fifo')
  execFileSync('mkfifo', [fifo])
  const control = new AbortController()
  const seen: unknown[] = []
  const loop = (async () => {
    for await (const { path } of readFiles([...paths, fifo], { ring, signal: control.signal }))
      seen.push(path)
  })()
  await until(() => seen.length === paths.length, 10_000, 'all but the one that hangs')
  setTimeout(() => control.abort(), 5)
  await assert.rejects(withTimeout(loop, 10_000), { name: 'AbortError' })
  assert.deepEqual(seen, paths)
  await assert.rejects(readFiles(paths, { ring, signal: AbortSignal.abort() }).next(), { name: 'AbortError' })
  const files = readFiles(paths.slice(0, 3), { ring })
  const four = await Promise.all([files.next(), files.next(), files.next(), files.next()])
  assert.deepEqual(
    four.map(({ done, value }) => (done === true ? 'end' : value.path)),
    [...paths.slice(0, 3), 'end'],
  )
})

test('readFiles tells its progress', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const { paths, sizes } = makeFiles(t, 100)
  const told: { files: number; bytes: number }[] = []
  for await (const _ of readFiles(paths, { ring, onProgress: (progress) => told.push(progress) }));
  const bytes = sizes.reduce((a, b) => a + b)
  assert.deepEqual(told.at(-1), { files: 100, bytes, total: 100 })
  // A generator does not say how many there will be.
  for await (const _ of readFiles(paths.values(), { ring, onProgress: (progress) => told.push(progress) }));
  assert.deepEqual(told.at(-1), { files: 100, bytes })
})

test('writeFiles: one by one, or all with await; modes and flags of each and of all', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const dir = tempDir(t)
  const entries = async function* (prefix: string): AsyncGenerator<FileToWrite> {
    for (let i = 0; i < 150; i++) {
      const data = i % 3 === 0 ? 'ä'.repeat(i) : Buffer.alloc(i * 100, i)
      yield { path: join(dir, `${prefix}${i}`), data, ...(i === 7 ? { mode: 0o600 } : {}) }
    }
  }
  const seen: unknown[] = []
  for await (const { path, bytes } of writeFiles(entries('a'), { ring, concurrency: 5 })) {
    assert.equal(statSync(path as string).size, bytes)
    seen.push(path)
  }
  assert.deepEqual(
    seen,
    Array.from({ length: 150 }, (_, i) => join(dir, `a${i}`)),
  )
  const summary = await writeFiles(entries('b'), { ring, ordered: false, mode: 0o640 })
  assert.equal(summary.files, 150)
  assert.deepEqual(summary.errors, [])
  assert.equal(statSync(join(dir, 'b7')).mode & 0o777, 0o600)
  assert.equal(statSync(join(dir, 'b8')).mode & 0o777, 0o640)
  for (let i = 0; i < 150; i++)
    assert.ok(readFileSync(join(dir, `a${i}`)).equals(readFileSync(join(dir, `b${i}`))))
  await assert.rejects(async () => writeFiles([{ path: join(dir, 'a1'), data: '', flag: 'wx' }], { ring }), {
    code: 'EEXIST',
  })
  const { errors, files } = await writeFiles(
    [
      { path: join(dir, 'none/x'), data: '' },
      { path: join(dir, 'c'), data: 'c' },
      5 as unknown as FileToWrite,
    ],
    { ring, onError: 'collect' },
  )
  assert.equal(files, 1)
  assert.deepEqual(
    errors.map(({ error }) => (error as NodeJS.ErrnoException).code),
    ['ENOENT', 'ERR_INVALID_ARG_TYPE'],
  )
})

test('writeFiles: entries are taken as places are free', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const dir = tempDir(t)
  let taken = 0
  const source = function* (): Generator<FileToWrite> {
    for (; taken < 500; taken++) yield { path: join(dir, String(taken)), data: Buffer.alloc(10_000) }
  }
  let given = 0
  for await (const _ of writeFiles(source(), { ring, concurrency: 4 })) {
    given++
    if (given % 100 === 0) await sleep(10)
    assert.ok(taken - given <= 4 * 8 + 4, `${taken - given} ahead`)
  }
  assert.equal(readdirSync(dir).length, 500)
})

test('stats: as statSync, in order; links; errors', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const { dir, paths } = makeFiles(t, 300)
  symlinkSync('5', join(dir, 'link'))
  const long = join(dir, 'l'.repeat(250))
  writeFileSync(long, 'x')
  const all = [...paths, join(dir, 'link'), dir, long, join(dir, 'none')]
  for (const followSymlinks of [true, false]) {
    let i = 0
    const ours = stats(all, { ring, onError: 'collect', followSymlinks, concurrency: 50 })
    for await (const { path, stats: found, error } of ours) {
      assert.equal(path, all[i++])
      if (path === all.at(-1)) {
        assert.equal((error as NodeJS.ErrnoException).syscall, followSymlinks ? 'stat' : 'lstat')
        continue
      }
      const own = (followSymlinks ? statSync : lstatSync)(path as string)
      assert.deepEqual(
        [found!.ino, found!.size, found!.mode, found!.nlink, found!.mtimeMs],
        [own.ino, own.size, own.mode, own.nlink, own.mtimeMs],
      )
    }
    assert.equal(i, all.length)
  }
  await assert.rejects(
    async () => {
      for await (const _ of stats(all, { ring }));
    },
    { code: 'ENOENT', syscall: 'stat', path: join(dir, 'none') },
  )
})

test('walk: all names, depth, filter, enter, metadata, links that go round', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const dir = tempDir(t)
  mkdirSync(join(dir, 'a/b/c'), { recursive: true })
  mkdirSync(join(dir, 'd'))
  for (const name of ['f', 'a/f', 'a/b/f', 'a/b/c/f', 'd/f']) writeFileSync(join(dir, name), name)
  symlinkSync('..', join(dir, 'd/up'))
  symlinkSync('../a', join(dir, 'd/side'))
  symlinkSync('nowhere', join(dir, 'd/broken'))
  const names = async (options: Parameters<typeof walk>[1]): Promise<string[]> => {
    const found: string[] = []
    for await (const { path } of walk(dir, options)) found.push(path.slice(dir.length + 1))
    return found.sort()
  }
  const below = ['a', 'a/b', 'a/b/c', 'a/b/c/f', 'a/b/f', 'a/f']
  const all = [...below, 'd', 'd/broken', 'd/f', 'd/side', 'd/up', 'f']
  assert.deepEqual(await names({}), all)
  assert.deepEqual(await names({ depth: 1 }), ['a', 'd', 'f'])
  assert.deepEqual(await names({ filter: ({ dirent }) => dirent.isFile() && dirent.name === 'f' }), [
    'a/b/c/f',
    'a/b/f',
    'a/f',
    'd/f',
    'f',
  ])
  assert.deepEqual(
    await names({ enter: ({ name }) => name !== 'b' }),
    all.filter((name) => !name.startsWith('a/b/')),
  )
  // Each directory is entered once, by whichever name came first, and the tree is finite.
  const followed = await withTimeout(names({ followSymlinks: true, concurrency: 1 }), 5000)
  assert.equal(followed.filter((name) => name.endsWith('/f') || name === 'f').length, 5)
  for await (const { path, stats: found, depth } of walk(dir, { stats: true, ring })) {
    assert.equal(found?.ino, lstatSync(path).ino)
    assert.equal(depth, path.slice(dir.length + 1).split('/').length)
  }
  const none = async (path: string): Promise<void> => {
    for await (const _ of walk(path));
  }
  await assert.rejects(none(join(dir, 'none')), { code: 'ENOENT' })
  await assert.rejects(none(join(dir, 'f')), { code: 'ENOTDIR' })
  await assert.rejects(
    async () => {
      for await (const _ of walk(dir, { signal: AbortSignal.abort() }));
    },
    { name: 'AbortError' },
  )
  await assert.rejects(async () => walk(dir, { depth: 0 }).next(), { code: 'ERR_OUT_OF_RANGE' })
})
