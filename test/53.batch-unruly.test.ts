// readFiles, writeFiles, walk, cp and rm among sources that break their word, callbacks that throw, and consumers that take their time.
// Flow: this → ringcore → batch.ts, walk.ts, removal.ts, copying.ts.

import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  cp,
  File,
  type FileToWrite,
  readFile,
  readFiles,
  rm,
  stats,
  walk,
  writeFile,
  writeFiles,
} from 'ringcore'
import { makeFifo } from './fs-both.js'
import { countFds, oracle, requires, tempDir, useRing, withTimeout } from './helpers.js'
import { failure } from './uring.js'

function makeFiles(t: TestContext, count: number): string[] {
  const dir = tempDir(t)
  const paths = Array.from({ length: count }, (_, i) => join(dir, String(i)))
  for (const path of paths) writeFileSync(path, 'text')
  return paths
}

async function drain(batch: AsyncIterable<unknown>): Promise<number> {
  let count = 0
  for await (const _ of batch) count++
  return count
}

test('walk: a consumer that takes its time gets every name', async (t) => {
  oracle(t)
  const dir = tempDir(t)
  for (let i = 0; i < 8; i++) {
    mkdirSync(join(dir, `d${i}`, 'e'), { recursive: true })
    writeFileSync(join(dir, `d${i}`, 'e', 'f'), '')
  }
  const seen = new Set<string>()
  for await (const { path } of walk(dir)) {
    seen.add(path)
    await sleep(1)
  }
  assert.equal(seen.size, 24)
})

test('walk: however it ends, no directory is being read afterwards', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const workers = ring.workerRing()
  const dir = tempDir(t)
  // One small one, and others that take longer.
  for (let i = 0; i < 4; i++) {
    mkdirSync(join(dir, String(i)))
    for (let j = 0; j < (i === 0 ? 1 : 300); j++) writeFileSync(join(dir, String(i), String(j)), '')
  }
  const options = { stats: true, ring }
  const filter = ({ depth }: { depth: number }): boolean => {
    if (depth === 2) throw new Error('not this one')
    return true
  }
  const ways = [
    async () => {
      for await (const { depth } of walk(dir, options)) if (depth === 2) break
    },
    async () =>
      assert.equal((await failure(drain(walk(dir, { ...options, filter })))).message, 'not this one'),
  ]
  for (const way of ways) {
    await way()
    const { cqes } = workers.stats()
    await sleep(30)
    assert.equal(workers.stats().cqes, cqes)
  }
})

test('a source that throws is not asked to return, and what began is waited for', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const [path] = makeFiles(t, 1)
  for (const isAsync of [false, true]) {
    let asked = 0
    let returned = 0
    const next = (): { done: boolean; value: string } => {
      if (asked++ === 3) throw new Error('no more')
      return { done: false, value: path! }
    }
    const source = {
      next: isAsync ? async () => next() : next,
      return: () => {
        returned++
        return { done: true, value: undefined }
      },
      [isAsync ? Symbol.asyncIterator : Symbol.iterator]: () => source,
    } as unknown as AsyncIterable<string>
    assert.equal((await failure(drain(readFiles(source, { ring })))).message, 'no more')
    assert.equal(returned, 0)
  }
})

test('a source that answers with no object, or fails at its end, hangs nothing', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const [path] = makeFiles(t, 1)
  const odd = { [Symbol.asyncIterator]: () => ({ next: async () => null }) }
  const strange = drain(readFiles(odd as unknown as AsyncIterable<string>, { ring }))
  assert.equal((await withTimeout(failure(strange), 2000)).name, 'TypeError')
  const source = (function* () {
    try {
      for (;;) yield path!
    } finally {
      // biome-ignore lint/correctness/noUnsafeFinally: the point of this test
      throw new Error('at the end')
    }
  })()
  const batch = readFiles(source, { ring })
  await batch.next()
  const more = Array.from({ length: 3 }, () => batch.next().catch(() => {}))
  assert.equal((await failure(batch.return())).message, 'at the end')
  await withTimeout(Promise.all(more), 2000, 'those who waited')
  // The error of a file comes first.
  const failing = (function* () {
    try {
      for (;;) yield '/not/there'
    } finally {
      // biome-ignore lint/correctness/noUnsafeFinally: the point of this test
      throw new Error('at the end')
    }
  })()
  assert.equal((await failure(drain(readFiles(failing, { ring })))).code, 'ENOENT')
})

test('an item that comes after the abort is not begun', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const dir = tempDir(t)
  const controller = new AbortController()
  let open!: () => void
  const gate = new Promise<void>((resolve) => {
    open = resolve
  })
  const source = async function* (): AsyncGenerator<FileToWrite> {
    yield { path: join(dir, 'first'), data: 'text' }
    await gate
    yield late
  }
  let begun = 0
  const late = {
    data: 'text',
    get path() {
      begun++
      return join(dir, 'late')
    },
  }
  const batch = writeFiles(source(), { ring, signal: controller.signal })
  await batch.next()
  controller.abort() // the second is asked for, and nobody waits
  open()
  await sleep(15)
  assert.equal((await failure(batch.next())).name, 'AbortError')
  assert.equal(begun, 0)
  assert.deepEqual(readdirSync(dir), ['first'])
})

test('an onProgress that throws is the error, of batches and of trees', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const paths = makeFiles(t, 100)
  const onProgress = (): never => {
    throw new Error('not told')
  }
  const options = { ring, onProgress }
  for (const batch of [readFiles(paths, options), stats(paths, options)])
    assert.equal((await withTimeout(failure(drain(batch)), 2000)).message, 'not told')
  const entries = paths.map((path) => ({ path, data: 'text' }))
  const written = (async () => await writeFiles(entries, options))()
  assert.equal((await withTimeout(failure(written), 2000)).message, 'not told')
  const dir = tempDir(t)
  for (let i = 0; i < 20; i++) mkdirSync(join(dir, 'tree', `${i}`, 'below'), { recursive: true })
  // It is told now and then, and at the end: here with every name.
  let now = 0
  t.mock.method(performance, 'now', () => (now += 1000))
  assert.equal(
    (
      await withTimeout(
        failure(cp(join(dir, 'tree'), join(dir, 'copy'), { recursive: true, ...options })),
        5000,
      )
    ).message,
    'not told',
  )
  assert.equal(
    (await withTimeout(failure(rm(join(dir, 'tree'), { recursive: true, ...options })), 5000)).message,
    'not told',
  )
})

test('data that may not be lent takes no place from what is written next', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const path = join(tempDir(t), 'file')
  const Resizable = ArrayBuffer as unknown as new (bytes: number, options: object) => ArrayBuffer
  const data = new Uint8Array(new Resizable(8192, { maxByteLength: 16384 }))
  for (let i = 0; i < 130; i++)
    assert.equal((await failure(writeFile(path, data, { ring }))).code, 'ERR_BUFFER_RESIZABLE')
  const entries = Array.from({ length: 130 }, () => ({ path, data }))
  const { errors } = await writeFiles(entries, { ring, onError: 'collect' })
  assert.equal(errors.length, 130)
  await withTimeout(writeFile(path, 'text', { ring }), 2000)
  assert.equal(String(await readFile(path, { ring })), 'text')
})

test('a signal that refuses listeners fails each file of its batch, and no place is lost', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const paths = makeFiles(t, 130)
  const { signal } = new AbortController()
  const refuse = (): never => {
    throw new Error('no listeners')
  }
  Object.defineProperty(signal, 'addEventListener', { value: refuse })
  for (const path of paths) {
    assert.equal((await failure(readFile(path, { ring, signal }))).message, 'no listeners')
    assert.equal((await failure(writeFile(path, 'text', { ring, signal }))).message, 'no listeners')
  }
  assert.equal(await withTimeout(drain(readFiles(paths, { ring })), 2000), 130)
})

test('without direct descriptors, an abort ends a read of a pipe all the same', async (t) => {
  oracle(t)
  if (!requires(t, { program: 'mkfifo' })) return
  const fifo = makeFifo(join(tempDir(t), 'fifo'))
  const ring = useRing(t, { fixedFiles: 0 })
  const before = countFds().all
  const controller = new AbortController()
  const read = failure(readFile(fifo, { ring, signal: controller.signal, flag: 'r+' }))
  await sleep(10)
  controller.abort()
  assert.equal((await withTimeout(read, 2000)).name, 'AbortError')
  assert.equal(countFds().all, before)
})

test('what waits for its turn hears an abort, and takes nobody else’s', async (t) => {
  oracle(t)
  if (!requires(t, { program: 'mkfifo' })) return
  const dir = tempDir(t)
  const fifo = makeFifo(join(dir, 'fifo'))
  const path = join(dir, 'file')
  writeFileSync(path, 'text')
  const ring = useRing(t)
  const hanging = new AbortController()
  // As many as may be under way at once; nobody writes.
  const reads = Array.from({ length: 128 }, () =>
    failure(readFile(fifo, { ring, flag: 'r+', signal: hanging.signal })),
  )
  const controllers = Array.from({ length: 3 }, () => new AbortController())
  const waiting = controllers.map(({ signal }) => failure(readFile(path, { ring, signal })))
  const last = readFile(path, { ring })
  await sleep(5)
  for (const { signal } of controllers) assert.equal(getEventListeners(signal, 'abort').length, 1)
  for (const controller of controllers) controller.abort()
  for (const error of await withTimeout(Promise.all(waiting), 2000)) assert.equal(error.name, 'AbortError')
  for (const { signal } of controllers) assert.equal(getEventListeners(signal, 'abort').length, 0)
  hanging.abort()
  await withTimeout(Promise.all(reads), 2000)
  assert.equal(String(await withTimeout(last, 2000)), 'text')
})

test('a write that moves nothing is an error, not a loop', async (t) => {
  oracle(t)
  const file = await File.open(join(tempDir(t), 'file'), 'w', { ring: useRing(t) })
  t.after(() => file.close())
  t.mock.method(file, 'write', async () => 0)
  const { code, written } = await failure(file.writeAll(Buffer.alloc(10)))
  assert.deepEqual([code, written], ['EIO', 0])
})
