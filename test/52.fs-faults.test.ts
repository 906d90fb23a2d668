// What goes wrong with files: full and failing devices, short transfers, files that change meanwhile, aborts at every moment.
// Flow: this → fs-both.ts, tools.ts (badfs), small mounts of tmpfs → ringcore/fs, node:fs/promises.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  appendFileSync,
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmdirSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import node from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import fs from 'ringcore/fs'
import { begin, came, makeFifo, same } from './fs-both.js'
import { requires, tempDir, withTimeout } from './helpers.js'
import { mountBadFs } from './tools.js'

const EIO = 5
const isSoak = process.env.RINGCORE_SOAK === '1'

/** A file system in memory of that many bytes; undefined where that can't be had. */
function smallDisk(t: TestContext, bytes: string): string | undefined {
  const dir = mkdtempSync(join(tmpdir(), 'ringcore-disk-'))
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', dir])
  if (status !== 0) {
    rmdirSync(dir)
    t.skip('needs to mount a tmpfs')
    return undefined
  }
  t.after(() => {
    spawnSync('umount', [dir])
    rmdirSync(dir)
  })
  return dir
}

test('a full disk: what fits is written and told, then ENOSPC', async (t) => {
  begin(t)
  const disk = smallDisk(t, '256k')
  if (disk === undefined) return
  const path = join(disk, 'file')
  const log: unknown[][] = []
  for (const one of [node, fs]) {
    const told: unknown[] = []
    const handle = await one.open(path, 'w+')
    const { bytesWritten } = await handle.write(Buffer.alloc(1 << 20, 1))
    told.push(bytesWritten, (await handle.stat()).size)
    const { code, syscall, message } = (await came(handle.write('more'))) as NodeJS.ErrnoException
    told.push(code, syscall, message)
    told.push(((await came(handle.writev([Buffer.alloc(9)]))) as NodeJS.ErrnoException).message)
    told.push(((await came(handle.writeFile('x'.repeat(5000)))) as NodeJS.ErrnoException).message)
    await handle.truncate(0)
    await handle.close()
    const whole = (await came(one.writeFile(path, Buffer.alloc(1 << 20, 2)))) as NodeJS.ErrnoException
    told.push(whole.code, whole.syscall, statSync(path).size)
    unlinkSync(path)
    log.push(told)
  }
  assert.deepEqual(log[1], log[0])
  assert.equal(log[1]![2], 'ENOSPC')
})

test('a device that fails: EIO of reads, writes and syncs', async (t) => {
  begin(t)
  const bad = await mountBadFs(t, 100_000, { direct: 1 })
  if (!requires(t, { tool: bad }) || 'skip' in bad) return
  const log: unknown[][] = []
  for (const one of [node, fs]) {
    bad.set({ direct: 1 })
    const told: unknown[] = []
    const handle = await one.open(bad.file, 'r+')
    bad.set({ direct: 1, rerr: EIO, werr: EIO, fsyncerr: EIO })
    told.push(await came(handle.read(Buffer.alloc(100), 0, 100, 0)))
    told.push(await came(handle.readv([Buffer.alloc(100)], 0)))
    told.push(await came(handle.write(Buffer.alloc(100), 0, 100, 0)))
    told.push(await came(handle.sync()), await came(handle.datasync()), await came(handle.readFile()))
    await handle.close()
    told.push(await came(one.readFile(bad.file)))
    log.push(told)
  }
  assert.deepEqual(log[1], log[0])
})

test('short transfers: a read tells what came, a write and whole files go on', async (t) => {
  begin(t)
  const bad = await mountBadFs(t, 1 << 20)
  if (!requires(t, { tool: bad }) || 'skip' in bad) return
  const log: unknown[][] = []
  for (const one of [node, fs]) {
    // Not direct: an asynchronous direct write that is short is EIO of FUSE itself.
    bad.set({ wshort: 1000 })
    const told: unknown[] = []
    await using handle = await one.open(bad.file, 'r+')
    const content = Buffer.from(Array.from({ length: 10_000 }, (_, i) => i % 251))
    told.push((await handle.write(content, 0, content.length, 500)).bytesWritten)
    told.push((await handle.writev([content.subarray(0, 700), content.subarray(700)], 20_000)).bytesWritten)
    await handle.close()
    bad.set({ direct: 1, rshort: 3000 })
    await using again = await one.open(bad.file)
    told.push((await again.read(Buffer.alloc(10_000), 0, 10_000, 500)).bytesRead)
    bad.set({ direct: 1 })
    const back = await again.read(Buffer.alloc(10_000), 0, 10_000, 500)
    told.push(back.bytesRead, back.buffer.equals(content))
    const second = await again.read(Buffer.alloc(10_000), 0, 10_000, 20_000)
    told.push(second.buffer.equals(content))
    log.push(told)
  }
  assert.deepEqual(log[1], log[0])
  bad.set({ direct: 1, rshort: 3000 })
  await using handle = await fs.open(bad.file)
  // A short read is not the end of a file: Node takes it for one here.
  assert.equal((await handle.readFile()).length, 1 << 20)
})

test('more than 2 and 4 GiB into a file, and files longer than readFile takes', async (t) => {
  begin(t)
  await same(t, async (one, dir) => {
    const path = join(dir, 'sparse')
    const fd = openSync(path, 'w')
    ftruncateSync(fd, 6e9)
    closeSync(fd)
    const handle = await one.open(path, 'r+')
    const told: unknown[] = []
    for (const position of [2 ** 31 - 2, 2 ** 31 + 5, 2 ** 32 - 1, 2 ** 32 + 9, 5.5e9]) {
      await handle.write('near', position)
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(4), 0, 4, position)
      told.push([bytesRead, String(buffer)])
    }
    told.push((await handle.read(Buffer.alloc(9), 0, 9, 6e9 - 4)).bytesRead)
    told.push((await handle.stat()).size, (await handle.stat({ bigint: true })).size === 6_000_000_000n)
    told.push(await came(one.readFile(path)), await came(handle.readFile()))
    await handle.truncate(2 ** 32 + 1)
    told.push(statSync(path).size)
    await handle.close()
    unlinkSync(path)
    return told
  })
})

test('files that grow, shrink, are deleted and replaced while they are open', async (t) => {
  begin(t)
  await same(t, async (one, dir) => {
    const path = join(dir, 'file')
    writeFileSync(path, 'x'.repeat(100_000))
    const handle = await one.open(path, 'r+')
    const told: unknown[] = [(await handle.read(Buffer.alloc(60_000))).bytesRead]
    truncateSync(path, 60_010)
    told.push((await handle.read(Buffer.alloc(60_000))).bytesRead)
    truncateSync(path, 10)
    told.push((await handle.read(Buffer.alloc(60_000))).bytesRead, (await handle.readFile()).length)
    appendFileSync(path, 'y'.repeat(70_000))
    told.push((await handle.readFile('utf8')).length)
    unlinkSync(path)
    writeFileSync(path, 'another')
    told.push((await handle.read(Buffer.alloc(5), 0, 5, 0)).bytesRead, (await handle.stat()).nlink)
    await handle.close()
    told.push(await one.readFile(path, 'utf8'))
    return told
  })
})

test('files without a size: /proc, /dev, pipes', async (t) => {
  begin(t)
  await same(t, async (one, dir) => {
    const told: unknown[] = []
    for (const path of ['/proc/version', '/proc/filesystems', '/dev/null', '/proc/self/task']) {
      told.push(await came(one.readFile(path, 'utf8')))
      const handle = await one.open(path)
      told.push(await came(handle.readFile('latin1')))
      await handle.close()
    }
    const zero = await one.open('/dev/zero')
    // One page: of more the device gives less when the thread has other work waiting.
    told.push((await zero.read(Buffer.alloc(4096, 1))).buffer.every((byte) => byte === 0))
    await zero.close()
    const fifo = makeFifo(join(dir, 'fifo'))
    const writing = one.writeFile(fifo, 'z'.repeat(200_000))
    told.push((await one.readFile(fifo, 'utf8')).length)
    await writing
    const handle = await one.open(fifo, 'r+')
    told.push(await came(handle.write('at a place', 0)), await came(handle.truncate(0)))
    told.push((await handle.write('four')).bytesWritten, (await handle.read(Buffer.alloc(9))).bytesRead)
    await handle.close()
    return told
  })
})

test('aborts at every moment: all of it or an AbortError, and nothing is left open', async (t) => {
  begin(t)
  const path = join(tempDir(t), 'file')
  const content = Buffer.alloc(3_000_000, 'abc')
  writeFileSync(path, content)
  let [aborted, done] = [0, 0]
  // By then all is done: what comes early is looked at closely.
  const moments = Array.from({ length: 60 }, (_, moment) => moment).filter(
    (moment) => isSoak || moment < 16 || moment % 4 === 0,
  )
  for (const moment of moments) {
    const controller = new AbortController()
    const { signal } = controller
    const works = [
      fs.readFile(path, { signal }),
      fs.writeFile(`${path}.${moment % 3}`, content, { signal }),
      fs.open(path).then(async (handle) => {
        try {
          return await handle.readFile({ signal } as never)
        } finally {
          await handle.close()
        }
      }),
    ]
    const ends = Promise.allSettled(works)
    for (let turns = 0; turns < moment; turns++) await new Promise((resolve) => setImmediate(resolve))
    controller.abort(new Error('why'))
    for (const end of await ends) {
      if (end.status === 'fulfilled') {
        done++
        if (end.value !== undefined) assert.equal(end.value.length, content.length)
      } else {
        aborted++
        const { name, code, message, cause } = end.reason as NodeJS.ErrnoException
        assert.deepEqual([name, code, message], ['AbortError', 'ABORT_ERR', 'The operation was aborted'])
        assert.equal((cause as Error).message, 'why')
      }
    }
  }
  assert.ok(aborted > 0, 'some were aborted')
  t.diagnostic(`${aborted} aborted, ${done} done`)
})

test('a read of a pipe that never comes is given up at once', async (t) => {
  begin(t)
  const fifo = makeFifo(join(tempDir(t), 'fifo'))
  const handle = await fs.open(fifo, 'r+')
  const controller = new AbortController()
  const reading = handle.readFile({ signal: controller.signal } as never)
  setTimeout(() => controller.abort(), 5)
  await assert.rejects(withTimeout(reading, 5000), { name: 'AbortError' })
  await handle.write('later')
  assert.equal(
    (await handle.read(Buffer.alloc(9))).bytesRead,
    5,
    'nothing was taken by the read that was given up',
  )
  await handle.close()
})

test('what pieces leave behind when one of them is bad', async (t) => {
  begin(t)
  await same(t, async (one, dir) => {
    const path = join(dir, 'file')
    const failing = async function* (): AsyncGenerator<string> {
      yield 'first '
      yield 'second'
      throw new Error('no third')
    }
    const told = [await came(one.writeFile(path, failing())), readFileSync(path, 'utf8')]
    told.push(await came(one.writeFile(path, ['good', 5 as never])), readFileSync(path, 'utf8'))
    return told
  })
})

test('a close that fails: its error, and both when something failed before', async (t) => {
  begin(t)
  const bad = await mountBadFs(t, 100_000)
  if (!requires(t, { tool: bad }) || 'skip' in bad) return
  const log: unknown[][] = []
  for (const one of [node, fs]) {
    const told: unknown[] = []
    const tell = async (promise: Promise<unknown>): Promise<void> => {
      const error = (await promise.catch((refused: unknown) => refused)) as AggregateError & { code: string }
      const each = error.errors?.map(({ message }: Error) => message)
      told.push([error.name, error.message, error.code, each])
    }
    bad.set({ direct: 1, flusherr: EIO })
    await tell((await one.open(bad.file, 'r+')).close())
    await tell(one.writeFile(bad.file, ['in ', 'pieces'], { flag: 'r+' }))
    await tell(one.truncate(bad.file, 10))
    bad.set({ direct: 1, werr: EIO, flusherr: EIO })
    await tell(one.writeFile(bad.file, ['in ', 'pieces'], { flag: 'r+' }))
    await tell(one.truncate(bad.file, -1.5))
    bad.set({})
    log.push(told)
  }
  assert.deepEqual(log[1], log[0])
  assert.equal((log[1]![3] as unknown[])[0], 'AggregateError')
})
