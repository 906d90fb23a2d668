// Advice about files and memory, the RWF_* flags, and what NOP and TIMEOUT can be told, by Uring.
// Flow: this → Uring (operations-advice, operations-control) → kernel.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import * as sys from 'ringcore/sys'
import { oracle, pipe, tempDir, withTimeout } from './helpers.js'
import { failure, openUring } from './uring.js'
import { opTest, refused } from './uring-ops.js'

opTest('FADVISE', 'any range of a file; not of a pipe', async (t, ring) => {
  const path = join(tempDir(t), 'file')
  fs.writeFileSync(path, Buffer.alloc(100_000))
  const fd = await ring.openat(path)
  await ring.fadvise(fd, 0, 0, sys.POSIX_FADV_SEQUENTIAL)
  await ring.fadvise(fd, 4096, 65536, sys.POSIX_FADV_WILLNEED)
  await ring.fadvise(fd, 0, 2 ** 33, sys.POSIX_FADV_DONTNEED)
  assert.equal((await failure(ring.fadvise(fd, 0, 0, 99))).code, 'EINVAL')
  const { reader } = pipe(t)
  assert.equal((await failure(ring.fadvise(reader.fd, 0, 0, sys.POSIX_FADV_NORMAL))).code, 'ESPIPE')
  await refused(ring, [
    ['ERR_OUT_OF_RANGE', () => ring.fadvise(-1, 0, 0, 0)],
    ['ERR_OUT_OF_RANGE', () => ring.fadvise(fd, -2, 0, 0)],
    ['ERR_OUT_OF_RANGE', () => ring.fadvise(fd, 0, -1, 0)],
    ['ERR_INVALID_ARG_TYPE', () => ring.fadvise(fd, 0, 0, 'x' as never)],
  ])
  await ring.closeFile(fd)
})

opTest('MADVISE', 'whole pages only, and never what the kernel has pinned', async (_t, ring) => {
  const buffer = ring.alloc(10_000)
  buffer.fill(1)
  await ring.madvise(buffer, sys.MADV_WILLNEED)
  await ring.madvise(buffer, sys.MADV_DONTDUMP)
  assert.equal(buffer[9999], 1)
  const memory = ring.engine.ring.driver.map(-1, 8192, 0) as ArrayBuffer
  const pages = new Uint8Array(memory)
  pages.fill(7)
  await ring.madvise(pages.subarray(4096), sys.MADV_DONTNEED)
  assert.deepEqual([pages[4095], pages[4096]], [7, 0], 'the second page is new, the first is not')
  assert.equal((await failure(ring.madvise(pages, 9999))).code, 'EINVAL')
  await refused(ring, [
    ['ERR_INVALID_ARG_VALUE', () => ring.madvise(pages.subarray(1), sys.MADV_NORMAL)],
    ['ERR_INVALID_ARG_VALUE', () => ring.madvise(pages.subarray(0, 100), sys.MADV_DONTNEED)],
    ['ERR_INVALID_STATE', () => ring.madvise(buffer, sys.MADV_DONTNEED)],
    ['ERR_INVALID_ARG_TYPE', () => ring.madvise('x' as never, sys.MADV_NORMAL)],
    ['ERR_OUT_OF_RANGE', () => ring.madvise(pages, -1)],
  ])
  ring.free(buffer)
})

opTest('READ, WRITE', 'RWF_*: one call as the file was not opened', async (t, ring) => {
  const path = join(tempDir(t), 'file')
  const fd = await ring.openat(path, 'w+')
  assert.equal(await ring.write(fd, Buffer.from('0123456789'), { rwFlags: sys.RWF_DSYNC }), 10)
  assert.equal(await ring.write(fd, Buffer.from('ab'), { position: 0, rwFlags: sys.RWF_APPEND }), 2)
  assert.equal(fs.readFileSync(path, 'utf8'), '0123456789ab')
  const { reader } = pipe(t)
  const nowait = { rwFlags: sys.RWF_NOWAIT }
  assert.equal((await failure(ring.read(reader.fd, Buffer.alloc(1), nowait))).code, 'EAGAIN')
  assert.equal((await failure(ring.readv(reader.fd, [Buffer.alloc(1)], nowait))).code, 'EAGAIN')
  // What the file system, and not the kernel alone, must have: done, or refused with a name.
  const asked: Record<string, number> = { RWF_DONTCACHE: sys.RWF_DONTCACHE, RWF_ATOMIC: sys.RWF_ATOMIC }
  for (const [name, rwFlags] of Object.entries(asked)) {
    try {
      assert.equal(await ring.write(fd, Buffer.alloc(4096, 'x'), { position: 0, rwFlags }), 4096)
    } catch (error) {
      const { code = '' } = error as NodeJS.ErrnoException
      assert.ok(['ENOTSUP', 'EINVAL'].includes(code), `${name}: ${code}`)
      t.diagnostic(`${name}: ${code} here`)
    }
  }
  assert.ok(
    ['ENOTSUP', 'EINVAL'].includes(
      String((await failure(ring.read(fd, Buffer.alloc(1), { rwFlags: 0x4000_0000 }))).code),
    ),
  )
  await ring.closeFile(fd)
})

opTest('NOP', 'gives the result it is told', async (t, ring) => {
  assert.equal(await ring.nop(), 0)
  assert.equal(await ring.nop({ result: 42 }), 42)
  assert.equal((await failure(ring.nop({ result: -sys.ENOSPC }))).code, 'ENOSPC')
  assert.equal(await ring.nop({ flags: sys.IORING_NOP_TW, result: 7 }), 7)
  assert.equal((await failure(ring.nop({ flags: 0x4000_0000 }))).code, 'EINVAL')
  const { reader } = pipe(t)
  assert.equal(await ring.nop({ file: reader.fd }), 0)
  assert.equal((await failure(ring.nop({ file: 999_999 }))).code, 'EBADF')
  const file = ring.fixedFile()
  assert.equal((await failure(ring.nop({ file }))).code, 'EBADF')
  await ring.filesUpdate([file], [reader.fd])
  assert.equal(await ring.nop({ file, result: 3 }), 3)
  await ring.closeFile(file)
  await refused(ring, [
    ['ERR_OUT_OF_RANGE', () => ring.nop({ file: -1 })],
    ['ERR_OUT_OF_RANGE', () => ring.nop({ result: 2 ** 31 })],
    ['ERR_INVALID_ARG_TYPE', () => ring.nop({ flags: 'x' as never })],
  ])
})

opTest('TIMEOUT', 'on each clock, for a length and until a moment', async (_t, ring) => {
  for (const clock of ['monotonic', 'boottime', 'realtime'] as const) {
    const started = performance.now()
    await ring.timeout(15, { clock })
    assert.ok(performance.now() - started >= 14.5, `${clock} came too early`)
  }
  const started = performance.now()
  await withTimeout(ring.timeout(Date.now() + 15, { clock: 'realtime', absolute: true }), 5000)
  assert.ok(performance.now() - started >= 13, 'came too early')
  await withTimeout(ring.timeout(1, { absolute: true }), 1000, 'a moment in the past')
  const ticks = ring.timeoutMultishot(2, { clock: 'boottime' })
  for (const tick of [1, 2, 3]) assert.equal((await withTimeout(ticks.next(), 2000)).value, tick)
  await ticks.return()
  await refused(ring, [
    ['ERR_INVALID_ARG_VALUE', () => ring.timeout(1, { clock: 'sundial' as never })],
    ['ERR_INVALID_ARG_VALUE', () => ring.timeoutMultishot(1, { clock: 'sundial' as never })],
    ['ERR_INVALID_ARG_TYPE', () => ring.timeout(1, { absolute: 1 as never })],
    ['ERR_OUT_OF_RANGE', () => ring.timeout(-1)],
  ])
})

test('an opcode that this kernel lacks is named, with the Linux that brought it', async (t) => {
  oracle(t)
  const ring = openUring(t, { sqe128: true })
  const probe = ring.ring.registerProbe()
  const newest: [number, string, () => Promise<unknown>][] = [
    [sys.IORING_OP_NOP128, 'IORING_OP_NOP128', () => ring.nop128()],
    [
      sys.IORING_OP_URING_CMD128,
      'IORING_OP_URING_CMD128',
      () => ring.uringCmd(0, 0, undefined, { wide: true }),
    ],
  ]
  let lacking = 0
  for (const [code, name, run] of newest) {
    if (probe.supported(code)) continue
    lacking++
    await refused(ring, [['ERR_RING_FEATURE', run]])
    const { message } = await failure(run())
    assert.equal(message, `Cannot use ${name}: this kernel does not have it; it came with Linux 6.19`)
  }
  if (lacking === 0) {
    assert.equal(await ring.nop128(), 0)
    t.skip('this kernel has every opcode')
  }
})
