// What goes wrong below an append log: no room, short writes, no descriptors, a device that fails, a ring that closes.
// Flow: this → ringcore AppendLog on a tiny tmpfs, on ext4 over a loop device over badfs, under limits.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { AppendLog, type Chain, Uring } from 'ringcore'
import { numberOf, readAll, readUntilError, record, segmentsOf } from './append-log.js'
import { oracle, requires, runNode, tempDir, useRing } from './helpers.js'
import { compileTool, mountBadFs } from './tools.js'

/** Mounts something for one test; the reason when that can't be. */
function mount(t: TestContext, ...args: string[]): string | { skip: string } {
  const directory = join(tempDir(t), 'mnt')
  mkdirSync(directory)
  const { status, stderr } = spawnSync('mount', [...args, directory], { encoding: 'utf8' })
  if (status !== 0) return { skip: `needs mount(8): ${stderr.trim()}` }
  t.after(() => spawnSync('umount', ['-l', directory]))
  return directory
}

const isIntact = async (directory: string, ring: Uring): Promise<number[]> =>
  (await readAll(directory, { ring })).map(({ data }) => numberOf(data))

test('ENOSPC: the batch and what waits behind it are refused, the rest stays, and later there is room again', async (t) => {
  oracle(t)
  if (!requires(t, { root: true, program: 'mount' })) return
  const mounted = mount(t, '-t', 'tmpfs', '-o', 'size=256k', 'tmpfs')
  if (!requires(t, { tool: mounted })) return
  const ring = useRing(t)
  const directory = join(mounted as string, 'log')
  const log = await AppendLog.open(directory, { ring, batchBytes: 65536, preallocate: false })
  const filler = join(mounted as string, 'filler')
  writeFileSync(filler, Buffer.alloc(100_000))
  const there: number[] = []
  const refused: number[] = []
  const appended = Array.from({ length: 300 }, (_, i) =>
    log.append(record(i, 1000)).then(
      () => there.push(i),
      (error) => {
        assert.equal(error.code, 'ENOSPC')
        refused.push(i)
      },
    ),
  )
  await Promise.all(appended)
  assert.ok(there.length > 50 && refused.length > 50, `${there.length} there, ${refused.length} refused`)
  // A prefix: no record without all before it.
  assert.deepEqual(
    [...there, ...refused],
    Array.from({ length: 300 }, (_, i) => i),
  )
  assert.deepEqual(await isIntact(directory, ring), there)
  rmSync(filler)
  // As long as the ones that were refused: were they still there, they would follow it.
  await log.append(record(there.length, 1000))
  await log.close()
  assert.deepEqual(await isIntact(directory, ring), [...there, there.length])
})

/** Frees space as soon as a chain failed for the want of it: so a short write is followed by one that succeeds. */
class MakingRoom extends Uring {
  short = 0
  onShort: () => void = () => {}
  override async chain(write: (chain: Chain) => unknown): Promise<unknown[]> {
    try {
      return await super.chain(write)
    } catch (error) {
      const [written] = (error as { results: PromiseSettledResult<number>[] }).results
      if (written?.status === 'fulfilled') {
        this.short++
        this.onShort()
      }
      throw error
    }
  }
}

test('a short write breaks the link: the rest is written and synced before anybody is told', async (t) => {
  oracle(t)
  if (!requires(t, { root: true, program: 'mount' })) return
  const mounted = mount(t, '-t', 'tmpfs', '-o', 'size=1m,huge=never', 'tmpfs')
  if (!requires(t, { tool: mounted })) return
  const ring = new MakingRoom()
  t.after(() => ring.close())
  const directory = join(mounted as string, 'log')
  const log = await AppendLog.open(directory, { ring, batchBytes: 262144, preallocate: false })
  const filler = join(mounted as string, 'filler')
  const { bavail, bsize } = statfsSync(mounted as string)
  writeFileSync(filler, Buffer.alloc((bavail - 20) * bsize))
  ring.onShort = () => rmSync(filler)
  await Promise.all(Array.from({ length: 200 }, (_, i) => log.append(record(i, 1000))))
  assert.equal(ring.short, 1, 'the kernel wrote less than asked, once')
  await log.close()
  assert.deepEqual(
    await isIntact(directory, ring),
    Array.from({ length: 200 }, (_, i) => i),
  )
})

test('an error of fdatasync poisons the log: all that waits and all that comes is refused with it', async (t) => {
  oracle(t)
  if (!requires(t, { root: true, program: 'mkfs.ext4' }) || !requires(t, { program: 'losetup' })) return
  const bad = await mountBadFs(t, 16 << 20)
  if ('skip' in bad) return t.skip(bad.skip)
  const made = spawnSync('mkfs.ext4', ['-q', '-F', '-O', '^has_journal', bad.file], { encoding: 'utf8' })
  if (made.status !== 0) return t.skip(`mkfs.ext4: ${made.stderr}`)
  const mounted = mount(t, '-o', 'loop', bad.file)
  if (!requires(t, { tool: mounted })) return
  const ring = useRing(t)
  const directory = join(mounted as string, 'log')
  const log = await AppendLog.open(directory, { ring, batchBytes: 65536, segmentBytes: 262144 })
  for (let i = 0; i < 5; i++) await log.append(record(i, 500))
  bad.set({ werr: 5, fsyncerr: 5 })
  const writing = log.append(record(5, 60_000))
  const waiting = [log.append(record(6, 60_000)), log.append(record(7, 500)), log.flush()]
  const poisoned = (error: Error & { code?: string; cause?: NodeJS.ErrnoException }): boolean => {
    assert.equal(error.code, 'ERR_LOG_POISONED')
    assert.equal(error.cause?.code, 'EIO')
    assert.equal(error.cause?.syscall, 'fsync')
    return true
  }
  for (const promise of [writing, ...waiting]) await assert.rejects(promise, poisoned)
  // The device is well again, but what it lost it lost: nothing is tried again behind the caller's back.
  bad.set({})
  const cqes = ring.stats().cqes
  await assert.rejects(log.append('x'), poisoned)
  await assert.rejects(log.flush(), poisoned)
  await assert.rejects(log.truncateBefore(0), poisoned)
  assert.ok(ring.stats().cqes - cqes <= 2)
  const { found } = await readUntilError(log.records())
  assert.deepEqual(
    found.map(({ data }) => numberOf(data)),
    [0, 1, 2, 3, 4],
  )
  await log.close()
  // The next open asks the disk, not the cache.
  const again = await AppendLog.open(directory, { ring, batchBytes: 65536, segmentBytes: 262144 })
  const numbers = await isIntact(directory, ring)
  assert.deepEqual(numbers.slice(0, 5), [0, 1, 2, 3, 4])
  await again.append(record(numbers.length, 10))
  await again.close()
})

test('no descriptor for the next segment: refused like want of space, and later it goes on', async (t) => {
  oracle(t)
  const limitRun = compileTool('limit-run')
  if (!requires(t, { tool: limitRun })) return
  const script = `
    import { openSync, closeSync } from 'node:fs'
    import { AppendLog } from 'ringcore'
    const log = await AppendLog.open(process.argv[1], { segmentBytes: 4096, batchBytes: 4096 })
    await log.append(Buffer.alloc(3000, 'a'))
    const fds = []
    try { for (;;) fds.push(openSync('/dev/null')) } catch (error) { console.log(error.code) }
    const refused = await Promise.allSettled([log.append(Buffer.alloc(3000, 'b')), log.append('c')])
    console.log(refused.map(({ reason }) => reason?.code).join(' '))
    for (const fd of fds) closeSync(fd)
    await log.append('d')
    await log.close()`
  const directory = tempDir(t)
  const { stdout, stderr } = await runNode(script, {
    args: [directory],
    wrap: [String(limitRun), 'nofile=512'],
  })
  assert.equal(stdout, 'EMFILE\nEMFILE EMFILE\n', stderr)
  const ring = useRing(t)
  const found = await readAll(directory, { ring })
  assert.deepEqual(
    found.map(({ data }) => `${data[0]} ${data.length}`),
    ['97 3000', '100 1'],
  )
  assert.equal(segmentsOf(directory).length, 2)
})

test('a ring that closes under a log: appends are refused, the files are closed, the log opens elsewhere', async (t) => {
  oracle(t)
  const directory = tempDir(t)
  const ring = new Uring()
  const log = await AppendLog.open(directory, { ring })
  await log.append(record(0, 10))
  const late = log.append(record(1, 10))
  await new Promise((resolve) => setImmediate(resolve))
  await ring.close()
  // It was with the kernel: it may have been quicker.
  await late.catch((error) => assert.equal(error.code, 'ERR_LOG_POISONED'))
  await assert.rejects(log.append('x'), { code: 'ERR_LOG_POISONED' })
  await log.close()
  const other = useRing(t)
  const again = await AppendLog.open(directory, { ring: other })
  assert.equal((await isIntact(directory, other))[0], 0)
  await again.close()
})

test('files that can not be opened: nothing leaks', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const directory = tempDir(t)
  mkdirSync(join(directory, '0000000000000000.log'))
  await assert.rejects(AppendLog.open(directory, { ring }), { code: 'EISDIR' })
  await assert.rejects(readAll(directory, { ring }), { code: 'EISDIR' })
  rmSync(join(directory, '0000000000000000.log'), { recursive: true })
})

test('a segment whose close fails: the lock and the memory are given back all the same', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const directory = join(tempDir(t), 'log')
  const log = await AppendLog.open(directory, { ring })
  await log.append('text')
  const { closeFile } = ring
  let calls = 0
  const mocked = t.mock.method(ring, 'closeFile', async (file: Parameters<typeof closeFile>[0]) => {
    await closeFile.call(ring, file)
    if (calls++ === 0) throw Object.assign(new Error('late'), { code: 'EIO' })
  })
  await assert.rejects(log.close(), { code: 'EIO' })
  mocked.mock.restore()
  const again = await AppendLog.open(directory, { ring })
  assert.equal((await readAll(directory, { ring })).length, 1)
  await again.close()
})
