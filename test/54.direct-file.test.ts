// DirectFile: what statx says must be aligned, misalignment explained, tails, vectors, registered files, and files without O_DIRECT.
// Flow: this → ringcore DirectFile; node:fs as witness.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { constants, fstatSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { DirectFile, type DirectFileOptions, Uring } from 'ringcore'
import { STATX_ATTR_WRITE_ATOMIC, STATX_DIOALIGN } from 'ringcore/sys'
import { countFds, oracle, requires, tempDir, useRing } from './helpers.js'
import { mountBadFs } from './tools.js'
import { testKinds } from './uring.js'

const MISALIGNED = 'ERR_OUT_OF_RANGE'

/** A file of random bytes on a file system with O_DIRECT; undefined, and the test skipped, where there is none. */
async function openFile(
  t: TestContext,
  ring: Uring,
  bytes: number,
  flags = 'r+',
): Promise<{ path: string; content: Buffer; file: DirectFile } | undefined> {
  const path = join(tempDir(t), 'file')
  const content = randomBytes(bytes)
  writeFileSync(path, content)
  try {
    const file = await DirectFile.open(path, flags, { ring })
    t.after(() => file.close())
    return { path, content, file }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_DIRECT_UNSUPPORTED') throw error
    t.skip('needs a temporary directory with O_DIRECT')
    return undefined
  }
}

testKinds('reads, writes and vectors past the page cache, many at once', async (t, ring) => {
  const opened = await openFile(t, ring, 64 * 4096)
  if (opened === undefined) return
  const { path, content, file } = opened
  assert.equal(file.direct, true)
  assert.equal(file.registered, true)
  const flags = readFileSync(`/proc/self/fdinfo/${file.fd}`, 'utf8').match(/flags:\s*(\d+)/)![1]!
  assert.ok((Number.parseInt(flags, 8) & constants.O_DIRECT) !== 0)
  const buffers = Array.from({ length: 64 }, () => file.alloc(4096))
  const counts = await Promise.all(buffers.map((buffer, i) => file.read(buffer, i * 4096)))
  assert.deepEqual(new Set(counts), new Set([4096]))
  assert.ok(Buffer.concat(buffers).equals(content))
  for (const [i, buffer] of buffers.entries()) buffer.fill(i)
  assert.equal(await file.writev(buffers.slice(0, 8), 4096), 8 * 4096)
  assert.equal(await file.write(buffers[9]!, 0), 4096)
  const part = file.alloc(3 * 4096)
  part.fill(7, 4096, 8192)
  assert.equal(await file.write(part, 60 * 4096, { offset: 4096, length: 4096 }), 4096)
  await file.datasync()
  const expected = Buffer.concat([buffers[9]!, ...buffers.slice(0, 8), content.subarray(9 * 4096)])
  expected.fill(7, 60 * 4096, 61 * 4096)
  assert.ok(readFileSync(path).equals(expected))
  const into = [file.alloc(512), file.alloc(8192), file.alloc(4096)]
  assert.equal(await file.readv(into, 8192), 512 + 8192 + 4096)
  assert.ok(Buffer.concat(into).equals(expected.subarray(8192, 8192 + 12800)))
  for (const buffer of [...buffers, ...into, part]) file.free(buffer)
})

test('the device begins while the rest is still being written', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const opened = await openFile(t, ring, 16 * 4096)
  if (opened === undefined) return
  const { content, file } = opened
  const buffers = Array.from({ length: 16 }, () => file.alloc(4096))
  const { enters } = ring.stats()
  const reads = buffers.map((buffer, i) => file.read(buffer, i * 4096))
  assert.equal(ring.stats().enters - enters, 8)
  await Promise.all(reads)
  assert.ok(Buffer.concat(buffers).equals(content))
  // What went down with another call of enter does not count.
  const first = file.read(buffers[0]!, 0)
  ring.flush()
  const before = ring.stats().enters
  const second = file.read(buffers[1]!, 0)
  assert.equal(ring.stats().enters, before)
  await Promise.all([first, second])
  for (const buffer of buffers) file.free(buffer)
})

test('the alignment is what statx says', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const opened = await openFile(t, ring, 4096)
  if (opened === undefined) return
  const { path, file } = opened
  const stat = await ring.statx(path, { mask: STATX_DIOALIGN })
  const told = stat.dioOffsetAlign > 0
  assert.equal(file.alignment.offset, told ? stat.dioOffsetAlign : 4096)
  assert.equal(file.alignment.memory, told ? stat.dioMemAlign : 4096)
  assert.ok(file.alignment.readOffset <= file.alignment.offset)
  assert.equal(file.alloc(1).length, file.alignment.offset)
})

/** Makes statx say something else, as kernels, file systems and devices do that are not here. */
function telling(ring: Uring, answer: Record<string, number>): void {
  const statx = ring.statx.bind(ring)
  ring.statx = async (...args) => ({ ...(await statx(...args)), ...answer })
}

test('what statx says is taken as it is: coarse offsets, finer reads, atomic writes, or nothing', async (t) => {
  oracle(t)
  const opened = await openFile(t, useRing(t), 65536)
  if (opened === undefined) return
  const openTelling = async (answer: Record<string, number>): Promise<DirectFile> => {
    const ring = useRing(t)
    telling(ring, answer)
    const file = await DirectFile.open(opened.path, 'r+', { ring })
    t.after(() => file.close())
    return file
  }
  const silent = await openTelling({ dioMemAlign: 0, dioOffsetAlign: 0 })
  assert.deepEqual(silent.alignment, { memory: 4096, offset: 4096, readOffset: 4096 })
  const zoned = await openTelling({ dioMemAlign: 4, dioOffsetAlign: 65536, dioReadOffsetAlign: 512 })
  assert.deepEqual(zoned.alignment, { memory: 4, offset: 65536, readOffset: 512 })
  const buffer = zoned.alloc(512)
  assert.equal(buffer.length, 65536)
  assert.equal(await zoned.read(buffer, 512, { length: 1024 }), 1024)
  await assert.rejects(zoned.write(buffer, 512, { length: 1024 }), {
    code: MISALIGNED,
    message: /position.*65536.*writes/,
  })
  await assert.rejects(zoned.write(buffer, 0, { length: 1024 }), {
    code: MISALIGNED,
    message: /length.*65536/,
  })
  const atomic = await openTelling({
    attributes: STATX_ATTR_WRITE_ATOMIC,
    atomicWriteUnitMin: 4096,
    atomicWriteUnitMax: 16384,
    atomicWriteSegmentsMax: 1,
  })
  assert.deepEqual(atomic.atomicWrite, { unitMin: 4096, unitMax: 16384, segmentsMax: 1 })
  const room = atomic.alloc(65536)
  const write = (position: number, length: number) => atomic.write(room, position, { length, atomic: true })
  await assert.rejects(write(0, 512), { code: MISALIGNED, message: /a power of two >= 4096 && <= 16384/ })
  await assert.rejects(write(0, 12288), { code: MISALIGNED, message: /a power of two/ })
  await assert.rejects(write(0, 32768), { code: MISALIGNED, message: /a power of two/ })
  await assert.rejects(write(4096, 8192), { code: MISALIGNED, message: /a multiple of the length 8192/ })
  const halves = [atomic.alloc(4096), atomic.alloc(4096)]
  await assert.rejects(atomic.writev(halves, 0, { atomic: true }), {
    code: MISALIGNED,
    message: /buffers.length.*<= 1/,
  })
  // What passes goes down with RWF_ATOMIC: this device has none of it, and says so.
  if (opened.file.atomicWrite === null)
    await assert.rejects(write(8192, 8192), (error: NodeJS.ErrnoException) =>
      ['ENOTSUP', 'EINVAL'].includes(error.code!),
    )
})

test('atomic writes: done where file system and device can, refused by name where not', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const opened = await openFile(t, ring, 65536)
  if (opened === undefined) return
  const { file, path } = opened
  const length = file.atomicWrite?.unitMax ?? 4096
  const buffer = file.alloc(length)
  buffer.fill(3)
  const write = file.write(buffer, 0, { atomic: true })
  if (file.atomicWrite === null) {
    await assert.rejects(write, { code: 'ERR_DIRECT_UNSUPPORTED', message: /atomic/ })
  } else {
    assert.equal(await write, length)
    assert.ok(readFileSync(path).subarray(0, length).equals(buffer))
  }
})

test('misalignment names what must be aligned to what, and nothing is submitted', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const opened = await openFile(t, ring, 8192)
  if (opened === undefined) return
  const { file, path, content } = opened
  const unit = file.alignment.offset
  assert.ok(unit >= 512)
  const buffer = file.alloc(8192)
  const before = ring.stats().inFlight
  const cases: [Promise<unknown>, RegExp][] = [
    [
      file.read(buffer, 1),
      new RegExp(
        `"position" is out of range. It must be a multiple of ${unit} for O_DIRECT reads of '.*/file'. Received 1`,
      ),
    ],
    [file.write(buffer, unit + 1), /"position".*O_DIRECT writes.*Received/],
    [file.read(buffer, 0, { length: 100 }), new RegExp(`"length".*a multiple of ${unit}.*Received 100`)],
    [file.write(buffer, 0, { length: unit - 1 }), /"length"/],
    [file.read(buffer, 0, { offset: 1, length: unit }), /"offset".*memory address is a multiple of/],
    [file.readv([buffer], 3), /"position"/],
    [file.writev([buffer, ring.alloc(100)], 0), /"buffers\[1\].byteLength"/],
  ]
  for (const [promise, message] of cases) await assert.rejects(promise, { code: MISALIGNED, message })
  assert.equal(ring.stats().inFlight, before)
  assert.ok(readFileSync(path).equals(content))
  const bad: [unknown, string][] = [
    [Buffer.alloc(512), 'ERR_INVALID_ARG_VALUE'],
    [buffer.subarray(0, unit), 'ERR_INVALID_ARG_VALUE'],
    ['text', 'ERR_INVALID_ARG_TYPE'],
  ]
  for (const [value, code] of bad) {
    await assert.rejects(file.read(value as Buffer, 0), { code })
    await assert.rejects(file.writev([value as Buffer], 0), { code })
  }
  for (const position of [-1, 0.5, Number.NaN, 2 ** 53])
    await assert.rejects(file.read(buffer, position), { code: MISALIGNED })
  for (const position of ['0', undefined, null, 0n])
    await assert.rejects(file.read(buffer, position as unknown as number), { code: 'ERR_INVALID_ARG_TYPE' })
  await assert.rejects(file.read(buffer, 0, { length: 9000 }), { code: 'ERR_OUT_OF_RANGE' })
  await assert.rejects(file.readv(7 as unknown as Buffer[], 0), { code: 'ERR_INVALID_ARG_TYPE' })
  file.free(buffer)
  await assert.rejects(file.read(buffer, 0), { code: 'ERR_INVALID_ARG_VALUE', message: /not freed/ })
  // Of another ring's arena: that ring may close and its memory go.
  await assert.rejects(file.read(useRing(t).alloc(512), 0), { code: 'ERR_INVALID_ARG_VALUE' })
})

test('the tail: short reads at the end, any bytes with readBytes, unaligned sizes with truncate', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const opened = await openFile(t, ring, 10_000)
  if (opened === undefined) return
  const { file, path, content } = opened
  const unit = file.alignment.readOffset
  const buffer = file.alloc(16384)
  assert.equal(await file.read(buffer, 0), 10_000)
  assert.ok(buffer.subarray(0, 10_000).equals(content))
  const last = Math.floor(10_000 / unit) * unit
  assert.equal(await file.read(buffer, last), 10_000 - last)
  assert.equal(await file.read(buffer, 16384), 0)
  for (const [position, length] of [
    [0, 0],
    [0, 1],
    [9_999, 1],
    [9_999, 50],
    [1, 9_999],
    [511, 1026],
    [4095, 2],
    [10_000, 5],
    [20_000, 5],
    [3, 100_000],
  ] as const) {
    const bytes = await file.readBytes(position, length)
    assert.ok(bytes.equals(content.subarray(position, position + length)), `${length} bytes at ${position}`)
  }
  assert.equal(await file.size(), 10_000)
  await file.truncate(5_001)
  assert.equal(await file.size(), 5_001)
  await file.allocate(0, 20_000)
  assert.equal(statSync(path).size, 20_000)
  await file.sync()
  assert.ok((await file.readBytes(0, 30_000)).equals(Buffer.concat([content.subarray(0, 5_001)], 20_000)))
})

test('readBytes: longer than one piece', async (t) => {
  oracle(t)
  const opened = await openFile(t, useRing(t), 3_000_001, 'r')
  if (opened === undefined) return
  const { file, content } = opened
  assert.ok((await file.readBytes(17, 3_000_000)).equals(content.subarray(17)))
  assert.ok((await file.readBytes(1_000_003, 1_500_000)).equals(content.subarray(1_000_003, 2_500_003)))
})

test('close waits for what is in flight, and a closed file refuses everything', async (t) => {
  oracle(t)
  const bad = await mountBadFs(t, 1 << 20, { rdelay: 60 })
  if ('skip' in bad) return t.skip(bad.skip)
  const ring = useRing(t)
  const file = await DirectFile.open(bad.file, 'r', { ring })
  const { fd } = file
  const buffer = file.alloc(4096)
  let done = false
  const reading = file.read(buffer, 0).then((bytes) => {
    done = true
    return bytes
  })
  assert.throws(() => file.free(buffer), { code: 'ERR_INVALID_STATE' })
  const closed = file.close()
  assert.equal(file.close(), closed)
  assert.equal(file.fd, -1)
  await assert.rejects(file.read(buffer, 0), { code: 'EBADF', path: bad.file })
  await assert.rejects(file.write(buffer, 0), { code: 'EBADF' })
  await assert.rejects(file.readv([buffer], 0), { code: 'EBADF' })
  await assert.rejects(file.sync(), { code: 'EBADF' })
  await assert.rejects(file.size(), { code: 'EBADF' })
  assert.equal(readlinkSync(`/proc/self/fd/${fd}`), bad.file, 'not closed under the read')
  await closed
  assert.ok(done)
  assert.equal(await reading, 4096)
  assert.equal(buffer[0], 0x55)
  assert.throws(() => fstatSync(fd), { code: 'EBADF' })
})

test('errors of the device come through with the path', async (t) => {
  oracle(t)
  const bad = await mountBadFs(t, 1 << 20, { rerr: 5, werr: 28 })
  if ('skip' in bad) return t.skip(bad.skip)
  const ring = useRing(t)
  await using file = await DirectFile.open(bad.file, 'r+', { ring })
  const buffer = file.alloc(4096)
  await assert.rejects(file.read(buffer, 0), { code: 'EIO', syscall: 'read', path: bad.file })
  await assert.rejects(file.write(buffer, 0), { code: 'ENOSPC', syscall: 'write', path: bad.file })
  bad.set({ rshort: 512 })
  assert.equal(await file.read(buffer, 0), 512, 'a short read says so')
})

test('where there is no O_DIRECT: a clear word, or the page cache when asked for', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const path = '/proc/self/status'
  await assert.rejects(DirectFile.open(path, 'r', { ring }), {
    code: 'ERR_DIRECT_UNSUPPORTED',
    path,
    message: /\/proc\/self\/status.*no direct I\/O.*fallback/,
  })
  const file = await DirectFile.open(path, 'r', { ring, fallback: true })
  assert.equal(file.direct, false)
  assert.deepEqual(file.alignment, { memory: 1, offset: 1, readOffset: 1 })
  assert.match(String(await file.readBytes(0, 5)), /^Name:/)
  await file.close()
  // The reason is another one: it stays.
  await assert.rejects(DirectFile.open('/no/such', 'r', { ring }), { code: 'ENOENT' })
  await assert.rejects(DirectFile.open('/', 'r+', { ring }), { code: 'EISDIR' })
})

test('flags and options that make no sense are refused', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const path = join(tempDir(t), 'file')
  for (const flags of ['a', 'a+', 'ax', constants.O_WRONLY | constants.O_APPEND, 'what'])
    await assert.rejects(DirectFile.open(path, flags, { ring }), { code: 'ERR_INVALID_ARG_VALUE' })
  await assert.rejects(DirectFile.open(7 as unknown as string, 'r', { ring }), {
    code: 'ERR_INVALID_ARG_TYPE',
  })
  await assert.rejects(DirectFile.open(path, 'r', 7 as unknown as DirectFileOptions), {
    code: 'ERR_INVALID_ARG_TYPE',
  })
  const slot = { ring, slot: ring.fixedFile() } as DirectFileOptions
  await assert.rejects(DirectFile.open(path, 'r', slot), { code: 'ERR_INVALID_ARG_VALUE' })
  assert.throws(() => statSync(path), { code: 'ENOENT' })
})

test('without a table of direct descriptors, or with a full one, the descriptor serves', async (t) => {
  oracle(t)
  for (const fixedFiles of [0, 1]) {
    const ring = useRing(t, { fixedFiles })
    const opened = await openFile(t, ring, 4096)
    if (opened === undefined) return
    const second = await DirectFile.open(opened.path, 'r', { ring })
    assert.equal(second.registered, false)
    const buffer = second.alloc(4096)
    assert.equal(await second.read(buffer, 0), 4096)
    assert.equal(await second.readv([buffer], 0), 4096)
    assert.ok(buffer.equals(opened.content))
    await second.close()
    // A closed file's place is the next one's.
    await opened.file.close()
    const third = await DirectFile.open(opened.path, 'r', { ring })
    assert.equal(third.registered, fixedFiles === 1)
    await third.close()
  }
})

test('more reads than the ring takes at once: they wait, and none is lost', async (t) => {
  oracle(t)
  const ring = useRing(t, { entries: 8, inFlight: 4 })
  const opened = await openFile(t, ring, 65536)
  if (opened === undefined) return
  const { file, content } = opened
  const buffers = Array.from({ length: 100 }, () => file.alloc(512))
  await Promise.all(
    buffers.map((buffer, i) => (i % 5 === 0 ? file.readv([buffer], i * 512) : file.read(buffer, i * 512))),
  )
  assert.ok(Buffer.concat(buffers).equals(content.subarray(0, 51_200)))
  const abort = new AbortController()
  const late = buffers.map((buffer) => file.read(buffer, 0, { signal: abort.signal }))
  const closed = file.close()
  abort.abort()
  for (const { status, reason } of (await Promise.allSettled(late)) as PromiseRejectedResult[])
    assert.ok(status !== 'rejected' || ['ABORT_ERR', 'EBADF'].includes(reason.code), String(reason))
  await closed
})

test('a block device, and its size', async (t) => {
  oracle(t)
  if (!requires(t, { root: true, program: 'losetup' })) return
  const image = join(tempDir(t), 'image')
  writeFileSync(image, randomBytes(1 << 20))
  const { status, stdout, stderr } = spawnSync('losetup', ['-f', '--show', image], { encoding: 'utf8' })
  if (status !== 0) return t.skip(`losetup: ${stderr}`)
  const device = stdout.trim()
  t.after(() => spawnSync('losetup', ['-d', device]))
  const ring = useRing(t)
  await using file = await DirectFile.open(device, 'r+', { ring })
  assert.equal(await file.size(), 1 << 20)
  const buffer = file.alloc(4096)
  buffer.fill(5)
  assert.equal(await file.write(buffer, 8192), 4096)
  await file.sync()
  assert.ok(readFileSync(image).subarray(8192, 12_288).equals(buffer))
})

test("an IOPOLL ring takes reads and writes alone: opening, syncing, closing go through the thread's own", async (t) => {
  oracle(t)
  const path = join(tempDir(t), 'file')
  writeFileSync(path, randomBytes(4096))
  const ring = new Uring({ iopoll: true })
  t.after(() => ring.close())
  const file = await DirectFile.open(path, 'r+', { ring })
  assert.equal(await file.size(), 4096)
  await file.sync()
  const buffer = file.alloc(4096)
  // Only devices with queues to poll can; others refuse.
  const read = await file.read(buffer, 0).catch((error) => error.code)
  assert.ok(read === 4096 || read === 'ENOTSUP', String(read))
  await file.close()
  const { defaultRing } = await import('ringcore')
  await defaultRing().close()
})

test('a file whose ring was closed gives its descriptor back', async (t) => {
  oracle(t)
  const ring = new Uring()
  const opened = await openFile(t, ring, 512)
  await ring.close()
  if (opened === undefined) return
  const buffer = Buffer.alloc(512)
  await assert.rejects(opened.file.read(buffer, 0))
  await opened.file.close()
})

test('a close that the ring refuses half-way gives the descriptor back', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const path = join(tempDir(t), 'file')
  writeFileSync(path, 'text')
  for (const code of ['ERR_RING_CLOSED', 'EIO']) {
    const before = countFds().all
    const file = await DirectFile.open(path, 'r', { ring, fallback: true })
    const refuse = async (): Promise<never> => {
      throw Object.assign(new Error('not now'), { code })
    }
    const mocked = t.mock.method(ring, 'filesUpdate', refuse)
    if (code === 'EIO') await assert.rejects(file.close(), { code })
    else await file.close()
    mocked.mock.restore()
    assert.equal(countFds().all, before)
  }
})
