// FileHandle: who counts, who closes, what the collector and other threads do with it.
// Flow: this → fs-both.ts → ringcore/fs, node:fs/promises.

import assert from 'node:assert/strict'
import type { EventEmitter } from 'node:events'
import { createReadStream, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { type FileHandle, readFile as nodeReadFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import test from 'node:test'
import { Worker } from 'node:worker_threads'
import { defaultRing } from 'ringcore'
import fs from 'ringcore/fs'
import { begin, came, makeFifo, same } from './fs-both.js'
import { collectGarbage, onlyNodes, oracle, requires, runNode, tempDir, until } from './helpers.js'

/** Whether a descriptor is open on a path. */
function isOpen(fd: number, path: string): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`) === path
  } catch {
    return false
  }
}

test('reads, writes, syncs, opens and closes are requests of the ring', async (t) => {
  begin(t)
  const path = join(tempDir(t), 'file')
  const ring = defaultRing()
  const counts: Record<string, number> = {}
  const counted = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
    const before = ring.stats().cqes
    const result = await work()
    counts[name] = ring.stats().cqes - before
    return result
  }
  await (await fs.open(path, 'w')).close()
  const handle = await counted('open', () => fs.open(path, 'r+'))
  await counted('write', () => handle.write('text'))
  await counted('writev', () => handle.writev([Buffer.from('a'), Buffer.from('b')], 4))
  await counted('read', () => handle.read(Buffer.alloc(4), 0, 4, 0))
  await counted('readv', () => handle.readv([Buffer.alloc(2), Buffer.alloc(2)], 0))
  await counted('stat', () => handle.stat())
  await counted('sync', () => handle.sync())
  await counted('datasync', () => handle.datasync())
  await counted('truncate', () => handle.truncate(2))
  await counted('close', () => handle.close())
  assert.deepEqual(
    Object.entries(counts).filter(([, count]) => count < 1),
    [],
  )
  assert.equal(readFileSync(path, 'utf8'), 'te')
})

test('close waits for what is in flight, tells it at once, and refuses nothing meanwhile', async (t) => {
  begin(t)
  await same(t, async (one, dir) => {
    const log: unknown[] = []
    const fifo = makeFifo(join(dir, 'fifo'))
    const handle = await one.open(fifo, 'r+')
    const feeder = await one.open(fifo, 'w')
    ;(handle as unknown as EventEmitter).on('close', () => log.push('close event'))
    const read = handle.read(Buffer.alloc(4)).then(({ bytesRead }) => log.push(`read ${bytesRead}`))
    const closing = handle.close().then(() => log.push('closed'))
    const again = handle.close()
    log.push(['the same promise', handle.close() === again, handle.fd > 0])
    log.push(await came(handle.stat().then((stats) => stats.isFIFO())))
    await feeder.write('data')
    await Promise.all([read, closing])
    log.push(handle.fd, await came(handle.read(Buffer.alloc(4))), await came(handle.close()))
    for (const name of ['stat', 'sync', 'datasync', 'truncate', 'readFile'] as const)
      log.push(await came(handle[name]()))
    log.push(await came(handle.write('x')), await came(handle.readv([Buffer.alloc(1)])))
    log.push(await came(handle.writeFile('x')), await came(handle.appendFile('x')))
    await feeder.close()
    return log
  })
})

test('a request for nothing looks at the file all the same', async (t) => {
  begin(t)
  await same(t, async (one, dir) => {
    const path = join(dir, 'file')
    writeFileSync(path, 'x')
    const [file, directory] = [await one.open(path), await one.open(dir)]
    const nothing = (): Uint8Array[] => [new Uint8Array(0), Buffer.alloc(0)]
    const told = [
      await came(directory.readv(nothing())),
      await came(directory.readv([new Uint8Array(0)])),
      await came(directory.readv([new Uint8Array(0)], 5)),
      await came(file.readv(nothing())),
      await came(file.readv([])),
      await came(file.writev(nothing())),
      await came(file.write('')),
      await came(file.write(Buffer.from('ab'), 0, 0)),
      await came(directory.read(Buffer.alloc(9), 0, 0)),
      await came(directory.read(Buffer.alloc(0))),
    ]
    await Promise.all([file.close(), directory.close()])
    return told
  })
})

test('await using closes', async (t) => {
  begin(t)
  const path = join(tempDir(t), 'file')
  let fd = -1
  {
    await using handle = await fs.open(path, 'w')
    fd = handle.fd
    assert.ok(isOpen(fd, path))
  }
  assert.ok(!isOpen(fd, path))
})

test('more reads than the ring has room for', async (t) => {
  begin(t)
  const path = join(tempDir(t), 'file')
  const count = defaultRing().engine.slots.max + 500
  const content = Buffer.from(Array.from({ length: count * 2 }, (_, i) => i & 255))
  writeFileSync(path, content)
  const handle = await fs.open(path)
  const reads = Array.from({ length: count }, (_, i) => handle.read(Buffer.alloc(2), 0, 2, i * 2))
  const closing = handle.close()
  const results = await Promise.all(reads)
  assert.ok(results.every(({ bytesRead }) => bytesRead === 2))
  assert.ok(Buffer.concat(results.map(({ buffer }) => buffer)).equals(content))
  await closing
  assert.equal(handle.fd, -1)
})

test('node:fs takes a handle for its streams and its readFile', async (t) => {
  begin(t)
  const path = join(tempDir(t), 'file')
  writeFileSync(path, 'content')
  const handle = await fs.open(path)
  assert.equal(await nodeReadFile(handle, 'utf8'), 'content')
  assert.equal(await text(createReadStream('', { fd: handle, start: 3 })), 'tent')
  await until(() => handle.fd === -1, 2000, 'the stream to close the handle')
})

test('a handle goes to another thread, unless it is in use', async (t) => {
  begin(t)
  const dir = tempDir(t)
  const path = join(dir, 'file')
  writeFileSync(path, 'content')
  const worker = new Worker(
    `require('node:worker_threads').parentPort.once('message', async (handle) => {
      const { bytesRead, buffer } = await handle.read(Buffer.alloc(9), 0, 9, 0)
      await handle.close()
      require('node:worker_threads').parentPort.postMessage(String(buffer.subarray(0, bytesRead)))
    })`,
    { eval: true },
  )
  t.after(() => worker.terminate())
  const fifo = await fs.open(makeFifo(join(dir, 'fifo')), 'r+')
  const read = fifo.read(Buffer.alloc(1))
  assert.throws(() => worker.postMessage(fifo, [fifo as never]), { name: 'DataCloneError' })
  await fifo.write('x')
  await read
  await fifo.close()
  const handle = await fs.open(path)
  const { fd } = handle
  const answer = new Promise((resolve) => worker.once('message', resolve))
  worker.postMessage(handle, [handle as never])
  assert.equal(handle.fd, -1)
  assert.equal(await answer, 'content')
  assert.ok(!isOpen(fd, path))
})

test('a handle outlives the ring it was opened with', async (t) => {
  begin(t)
  const path = join(tempDir(t), 'file')
  const handle = await fs.open(path, 'w+')
  await defaultRing().close()
  assert.equal((await handle.write('text')).bytesWritten, 4)
  assert.equal(String((await handle.read(Buffer.alloc(4), 0, 4, 0)).buffer), 'text')
  await handle.close()
  const other = await fs.open(path)
  await defaultRing().close()
  await other.close()
  assert.equal(other.fd, -1)
})

test('the ring is closed while files are opened and closed: nothing is left open', async (t) => {
  begin(t)
  const path = join(tempDir(t), 'file')
  writeFileSync(path, 'x')
  for (let round = 0; round < 20; round++) {
    const handles = await Promise.all(Array.from({ length: 20 }, () => fs.open(path)))
    const fds = handles.map(({ fd }) => fd)
    const works = [...handles.map((handle) => handle.close()), fs.open(path).then((handle) => handle.close())]
    if (round % 2 === 1) await new Promise((resolve) => setImmediate(resolve))
    const closing = defaultRing().close()
    for (const end of await Promise.allSettled(works))
      if (end.status === 'rejected')
        assert.equal((end.reason as NodeJS.ErrnoException).code, 'ERR_RING_CLOSED')
    await closing
    assert.deepEqual(
      fds.filter((fd) => isOpen(fd, path)),
      [],
    )
  }
})

test('the ring is closed while closes wait for room: the files are closed all the same', async (t) => {
  begin(t)
  const dir = tempDir(t)
  const path = join(dir, 'file')
  writeFileSync(path, 'x')
  const fifo = await fs.open(makeFifo(join(dir, 'fifo')), 'r+')
  const handles = await Promise.all(Array.from({ length: 20 }, () => fs.open(path)))
  const fds = handles.map(({ fd }) => fd)
  const ring = defaultRing()
  const room = ring.engine.slots.available
  const reads = Array.from({ length: room }, () => fifo.read(Buffer.alloc(1)))
  const ends = Promise.allSettled(reads)
  const closes = handles.map((handle) => handle.close())
  assert.equal(ring.stats().queued, closes.length)
  await ring.close()
  for (const end of await ends) assert.equal((end as PromiseRejectedResult).reason.code, 'ERR_RING_CLOSED')
  await Promise.all(closes)
  assert.ok(fds.every((fd) => !isOpen(fd, path)))
  await fifo.close()
})

test('memory that can be taken away is read by Node', async (t) => {
  begin(t)
  if (!onlyNodes(t, '22.0')) return
  const path = join(tempDir(t), 'file')
  writeFileSync(path, 'content')
  const handle = await fs.open(path, 'r+')
  t.after(() => handle.close())
  const make = (): Uint8Array => {
    const Resizable = ArrayBuffer as unknown as new (length: number, options: object) => ArrayBuffer
    const memory = new Resizable(7, { maxByteLength: 100 })
    return new Uint8Array(memory)
  }
  const { buffer } = await handle.read(make(), 0, 7, 0)
  assert.equal(Buffer.from(buffer).toString(), 'content')
  assert.equal((await handle.write(Buffer.from(make().fill(65)), 0, 7, 0)).bytesWritten, 7)
  assert.equal((await handle.writev([make().fill(66)], 0)).bytesWritten, 7)
  assert.equal(readFileSync(path, 'utf8'), 'BBBBBBB')
})

test('a handle that is dropped while it is read stays until the read is done', async (t) => {
  begin(t)
  if (!requires(t, { gc: true })) return
  const fifo = makeFifo(join(tempDir(t), 'fifo'))
  const feeder = await fs.open(fifo, 'r+')
  t.after(() => feeder.close())
  const buffers = Array.from({ length: 20 }, () => Buffer.alloc(16))
  const weak: WeakRef<FileHandle>[] = []
  const reads: Promise<unknown>[] = []
  // The handles are seen by nobody but the reads.
  await (async () => {
    for (const buffer of buffers) {
      const handle = await fs.open(fifo, 'r')
      weak.push(new WeakRef(handle))
      reads.push(
        handle.read(buffer, 0, 1).then(async (result) => {
          await handle.close()
          return result
        }),
      )
    }
  })()
  await collectGarbage()
  for (let i = 0; i < buffers.length; i++) await feeder.write(String.fromCharCode(97 + i))
  await Promise.all(reads)
  const letters = buffers.map((buffer) => buffer.toString('latin1', 0, 1)).sort()
  assert.equal(letters.join(''), 'abcdefghijklmnopqrst')
  assert.ok(buffers.every((buffer) => buffer.subarray(1).every((byte) => byte === 0)))
})

test('a handle that was collected ends as one of Node', async (t) => {
  oracle(t)
  if (!requires(t, { gc: true })) return
  const dir = tempDir(t)
  const path = join(dir, 'file')
  writeFileSync(path, 'x')
  const script = (door: string): string => `
    import fs from '${door}'
    import { readlinkSync } from 'node:fs'
    process.on('warning', ({ name, code }) => console.log(name, code))
    process.on('uncaughtException', ({ name, code }) => console.log('uncaught', name, code))
    let fd
    await (async () => { const handle = await fs.open(${JSON.stringify(path)}); fd = handle.fd; await handle.read(Buffer.alloc(1)) })()
    const isOpen = () => { try { return readlinkSync('/proc/self/fd/' + fd) === ${JSON.stringify(path)} } catch { return false } }
    for (let i = 0; i < 100 && isOpen(); i++) { gc(); await new Promise((resolve) => setTimeout(resolve, 5)) }
    console.log('open', isOpen())
    await new Promise((resolve) => setTimeout(resolve, 20))
  `
  const runs = await Promise.all(
    ['node:fs/promises', 'ringcore/fs'].map((door) => runNode(script(door), { nodeArgs: ['--expose-gc'] })),
  )
  assert.match(runs[0]!.stdout, /open false/)
  assert.deepEqual(runs[1]!.stdout.split('\n').sort(), runs[0]!.stdout.split('\n').sort(), runs[1]!.stderr)
  assert.equal(runs[1]!.code, runs[0]!.code)
})

test('neither an open handle nor the ring holds the process open; a pending read does', async (t) => {
  oracle(t)
  const fifo = makeFifo(join(tempDir(t), 'fifo'))
  const script = `
    import fs from 'ringcore/fs'
    const handle = await fs.open(${JSON.stringify(fifo)}, 'r+')
    handle.read(Buffer.alloc(1)).then(() => console.log('read'))
    setTimeout(() => handle.write('x'), 50).unref()
    globalThis.handle = handle
  `
  const { stdout, code } = await runNode(script, { timeoutMs: 10_000 })
  assert.deepEqual([stdout, code], ['read\n', 0])
})
