// Streams on a FileHandle: Node's own classes, fed by the ring. Each scenario runs on a handle of Node and on one of ours.
// Flow: this → fs-both.ts → ringcore/fs, node:fs/promises.

import { randomBytes } from 'node:crypto'
import { type EventEmitter, once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough, type Readable, type Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import test from 'node:test'
import { begin, came, type Fs, same } from './fs-both.js'
import { onlyNodes } from './helpers.js'

const CONTENT = randomBytes(200_000)

/** A file with the test's bytes, and a handle on it. */
async function opened(fs: Fs, dir: string, flags = 'r') {
  const path = join(dir, 'file')
  writeFileSync(path, CONTENT)
  const handle = await fs.open(path, flags)
  return { path, handle }
}

/** What a stream emits, in order; the length of each piece of data. */
function recorded(stream: Readable | Writable): unknown[] {
  const log: unknown[] = []
  for (const name of ['open', 'ready', 'end', 'finish', 'close', 'drain'])
    stream.on(name, () => log.push(name))
  stream.on('error', ({ name, message }: Error) => log.push(['error', name, message]))
  return log
}

const closed = (stream: EventEmitter): Promise<unknown> => once(stream, 'close')
const sum = (chunks: Buffer[]): number => Buffer.concat(chunks).reduce((a, b) => (a * 31 + b) | 0, 7)

test('reading: pieces, ranges, encodings, and who closes the handle', async (t) => {
  begin(t)
  const cases = [
    {},
    { highWaterMark: 1000 },
    { start: 5, end: 100_000 },
    { start: 199_999 },
    { start: 300_000 },
    { start: 10, end: 10, highWaterMark: 1 },
    { encoding: 'hex', end: 99 },
    { autoClose: false },
    { emitClose: false, autoClose: false },
  ] as const
  for (const options of cases) {
    await same(
      t,
      async (fs, dir) => {
        const { handle } = await opened(fs, dir)
        const stream = handle.createReadStream(options as object)
        const log = recorded(stream)
        const chunks: Buffer[] = []
        stream.on('data', (chunk: Buffer | string) => chunks.push(Buffer.from(chunk)))
        await once(stream, 'end')
        await new Promise((resolve) => setImmediate(resolve))
        if (!('autoClose' in options) && !stream.closed) await closed(stream)
        const told = [log, chunks.map(({ length }) => length), sum(chunks), stream.bytesRead, handle.fd >= 0]
        await handle.close()
        return [told, stream.destroyed, handle.fd]
      },
      JSON.stringify(options),
    )
  }
})

test('reading: a directory', async (t) => {
  begin(t)
  await same(t, async (fs, dir) => {
    const handle = await fs.open(dir)
    const stream = handle.createReadStream()
    const log = recorded(stream)
    stream.resume()
    await closed(stream).catch(() => {})
    return [log, handle.fd]
  })
})

test('reading: destroyed in the middle, with an error, by a signal, and with the handle', async (t) => {
  begin(t)
  const ends: ((stream: Readable, controller: AbortController, close: () => unknown) => unknown)[] = [
    (stream) => stream.destroy(),
    (stream) => stream.destroy(new Error('enough')),
    (_, controller) => controller.abort(new Error('why')),
    (_, __, close) => close(),
  ]
  for (const end of ends) {
    await same(t, async (fs, dir) => {
      const { handle } = await opened(fs, dir)
      const controller = new AbortController()
      const stream = handle.createReadStream({ highWaterMark: 1000, signal: controller.signal } as object)
      const log = recorded(stream)
      let closing: unknown
      stream.once('data', () => end(stream, controller, () => (closing = handle.close())))
      await closed(stream).catch(() => {})
      await closing
      await handle.close()
      return [log, stream.destroyed, handle.fd]
    })
  }
})

test('writing: order, positions, flush, back-pressure', async (t) => {
  begin(t)
  const cases = [
    {},
    { start: 100 },
    { flush: true },
    { highWaterMark: 100 },
    { encoding: 'latin1' },
    { autoClose: false },
  ]
  for (const options of cases) {
    await same(
      t,
      async (fs, dir) => {
        const { path, handle } = await opened(fs, dir, 'r+')
        const stream = handle.createWriteStream(options as object)
        const log = recorded(stream)
        const room: boolean[] = []
        for (const piece of ['ä text', CONTENT.subarray(0, 500), Buffer.alloc(70_000, 1), ''])
          room.push(stream.write(piece))
        stream.end('end')
        await once(stream, 'finish')
        if (!('autoClose' in options) && !stream.closed) await closed(stream)
        const told = [log, room, stream.bytesWritten, sum([readFileSync(path)]), handle.fd >= 0]
        // A finished stream that does not close by itself would have Node's close() wait for it.
        stream.destroy()
        if (!stream.closed) await closed(stream)
        await handle.close()
        return [told, log, handle.fd]
      },
      JSON.stringify(options),
    )
  }
})

test('writing: a file that takes nothing, a stream that is destroyed, a write after the end', async (t) => {
  begin(t)
  await same(t, async (fs) => {
    const handle = await fs.open('/dev/full', 'w')
    const stream = handle.createWriteStream()
    const log = recorded(stream)
    stream.write('x')
    await closed(stream).catch(() => {})
    return [log, handle.fd]
  })
  await same(t, async (fs, dir) => {
    const { handle } = await opened(fs, dir)
    const stream = handle.createWriteStream()
    const log = recorded(stream)
    stream.write('x')
    await closed(stream).catch(() => {})
    return [log, handle.fd, 'not open for writing']
  })
  await same(t, async (fs, dir) => {
    const { handle } = await opened(fs, dir, 'r+')
    const stream = handle.createWriteStream()
    const log = recorded(stream)
    const written: unknown[] = []
    stream.write(Buffer.alloc(100_000), (error) => written.push(error?.message))
    stream.write('more', (error) => written.push(error?.message))
    stream.destroy(new Error('enough'))
    await closed(stream).catch(() => {})
    return [log, written, handle.fd]
  })
})

test('a pipeline from one handle to another', async (t) => {
  begin(t)
  await same(t, async (fs, dir) => {
    const { handle } = await opened(fs, dir)
    const path = join(dir, 'copy')
    const copy = await fs.open(path, 'w')
    await pipeline(handle.createReadStream(), new PassThrough(), copy.createWriteStream())
    return [sum([readFileSync(path)]) === sum([CONTENT]), handle.fd, copy.fd]
  })
})

test('lines', async (t) => {
  begin(t)
  await same(t, async (fs, dir) => {
    const path = join(dir, 'lines')
    writeFileSync(path, `one\r\ntwo\n\n${'long '.repeat(30_000)}\nlast`)
    const handle = await fs.open(path)
    const lines: unknown[] = []
    for await (const line of handle.readLines({ encoding: 'utf8' }))
      lines.push([line.length, line.slice(0, 9)])
    return [lines, handle.fd]
  })
})

test('web streams: whole, cancelled, locked, and closed with the handle', async (t) => {
  begin(t)
  if (!onlyNodes(t, '24.0')) return
  await same(t, async (fs, dir) => {
    const { handle } = await opened(fs, dir)
    const stream = handle.readableWebStream()
    const twice = await came((async () => handle.readableWebStream())())
    const chunks: Buffer[] = []
    for await (const chunk of stream) chunks.push(Buffer.from(chunk as Uint8Array))
    const open = handle.fd >= 0
    await handle.close()
    return [twice, sum(chunks) === sum([CONTENT]), open, handle.fd]
  })
  await same(t, async (fs, dir) => {
    const { handle } = await opened(fs, dir)
    const reader = handle.readableWebStream({ autoClose: true } as object).getReader()
    const { done } = await reader.read()
    await reader.cancel()
    return [done, handle.fd]
  })
  await same(t, async (fs, dir) => {
    const { handle } = await opened(fs, dir)
    const stream = handle.readableWebStream()
    await handle.close()
    const left = await came(stream.getReader().read() as Promise<unknown>)
    return [left, handle.fd, await came((async () => handle.readableWebStream())())]
  })
})
