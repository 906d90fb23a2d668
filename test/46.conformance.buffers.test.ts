// Registered and provided buffers: shared, cloned, in chains, with files and devices.
// Flow: this → uring-ops.ts, op-helpers.ts → ringcore.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import * as op from 'ringcore/ring'
import * as sys from 'ringcore/sys'
import { oracle, pipe, socketPair, tempDir, withTimeout } from './helpers.js'
import { opTest as rawTest } from './op-helpers.js'
import { takeCqes } from './ring-kinds.js'
import { opTest } from './uring-ops.js'

opTest('RECV', 'four receivers share a buffer ring', async (t, ring) => {
  const group = ring.bufferGroup({ entries: 4, bufferBytes: 128 })
  const total = 50_000
  const each = async (seed: number): Promise<void> => {
    const [near, far] = socketPair(t)
    const sending = (async () => {
      for (let at = 0; at < total; at += 500) {
        const bytes = Buffer.from(Array.from({ length: 500 }, (_, i) => (at + i) * seed))
        await ring.send(far.fd, bytes, { flags: sys.MSG_WAITALL })
      }
      far.close()
    })()
    let at = 0
    for await (const chunk of ring.recvMultishot(near.fd, group)) {
      for (const byte of chunk.bytes) assert.equal(byte, (at++ * seed) & 0xff, `receiver ${seed}, byte ${at}`)
      chunk.release()
    }
    await sending
    assert.equal(at, total)
  }
  await withTimeout(Promise.all([3, 5, 7, 11].map(each)), 20_000, 'all four')
  assert.equal(group.lent, 0)
  group.close()
})

opTest('READ_FIXED, WRITE_FIXED', 'registered buffers and devices', async (_t, ring) => {
  const buffer = ring.alloc(10_000)
  buffer.fill(1)
  const [zero, nothing] = [await ring.openat('/dev/zero', 'r+'), await ring.openat('/dev/null', 'r+')]
  assert.equal(await ring.readFixed(zero, buffer, { offset: 100, length: 9_000 }), 9_000)
  assert.ok(buffer.subarray(100, 9_100).every((byte) => byte === 0))
  assert.deepEqual([buffer[99], buffer[9_100]], [1, 1])
  assert.equal(await ring.writeFixed(zero, buffer), 10_000)
  assert.equal(await ring.writeFixed(nothing, buffer), 10_000)
  assert.equal(await ring.readFixed(nothing, buffer), 0)
  for (const fd of [zero, nothing]) await ring.closeFile(fd)
  ring.free(buffer)
})

opTest('READ_FIXED', 'READ_FIXED in chains', async (t, ring) => {
  const path = join(tempDir(t), 'file')
  fs.writeFileSync(path, 'abcdefgh')
  const fd = await ring.openat(path)
  const buffers = [ring.alloc(2), ring.alloc(2), ring.alloc(2)]
  const results = await ring.chain((c) => {
    for (const [i, buffer] of buffers.entries())
      c.add('read', (r) => r.readFixed(fd, buffer, { position: i * 3 }))
  })
  assert.deepEqual(results, [2, 2, 2])
  assert.equal(Buffer.concat(buffers).toString(), 'abdegh')
  for (const buffer of buffers) ring.free(buffer)
  await ring.closeFile(fd)
})

rawTest('READ', 'files are read into incremental buffers', (rig) => {
  const path = join(tempDir(rig.t), 'file')
  fs.writeFileSync(path, 'abcdefghijklmnopqrstuvwxyz')
  const fd = rig.owned(fs.openSync(path, 'r'))
  const read = (group: number, length: number, offset: number, flags = 0) =>
    rig.wait(
      rig.start((sqe) => {
        op.prepRead(sqe, fd, 0, length, offset)
        op.sqeSetBufferSelect(sqe, group)
        sqe.addFlags(flags)
      }),
    )
  assert.equal(read(99, 8, 0).res, -sys.ENOBUFS, 'no such group')
  const plain = new op.BufferRing(rig.ring, { group: 1, entries: 2, bufferBytes: 8 })
  for (const flags of [0, sys.IOSQE_ASYNC]) {
    const done = read(1, 8, 3, flags)
    assert.equal(done.res, 8)
    const bid = done.flags >>> sys.IORING_CQE_BUFFER_SHIFT
    assert.equal(Buffer.from(plain.take(bid, 8)).toString(), 'defghijk')
  }
  assert.equal(read(1, 8, 0).res, -sys.ENOBUFS, 'both are taken')
  plain.close()
  let buffers: op.BufferRing
  try {
    buffers = new op.BufferRing(rig.ring, { group: 2, entries: 1, bufferBytes: 20, incremental: true })
  } catch (error) {
    return rig.t.skip(`this kernel has no incremental buffers: ${(error as Error).message}`)
  }
  const more: boolean[] = []
  for (const [length, offset] of [
    [7, 0],
    [7, 7],
    [6, 14],
  ] as const) {
    const { res, flags } = read(2, length, offset)
    assert.equal(res, length)
    more.push((flags & sys.IORING_CQE_F_BUF_MORE) !== 0)
  }
  assert.deepEqual(more, [true, true, false])
  assert.equal(Buffer.from(buffers.buffers.subarray(0, 20)).toString(), 'abcdefghijklmnopqrst')
  assert.equal(read(2, 4, 0).res, -sys.ENOBUFS)
  buffers.close()
})

test('a part of the buffers is cloned, and replaces others', (t) => {
  oracle(t)
  using source = new op.Ring({ entries: 4 })
  using target = new op.Ring({ entries: 4 })
  const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((letter) => new Uint8Array(Buffer.alloc(64, letter)))
  source.registerBuffers([a!, b!])
  target.registerBuffers([c!, d!])
  assert.throws(() => target.cloneBuffers(source), { code: 'EBUSY' })
  try {
    target.cloneBuffers(source, { sourceOffset: 1, offset: 0, count: 1, replace: true })
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, 'EINVAL')
    return t.skip('needs a part of CLONE_BUFFERS: kernel 6.13')
  }
  const { reader, writer } = pipe(t)
  const write = (bytes: Uint8Array, index: number): number => {
    op.prepWriteFixed(target.getSqe()!, writer.fd, target.driver.addressOf(bytes), 4, -1, index)
    target.submitAndWait(1)
    return takeCqes(target, 1)[0]![1]
  }
  assert.deepEqual([write(b!, 0), write(d!, 1), write(c!, 0)], [4, 4, -sys.EFAULT])
  const text = Buffer.alloc(20)
  assert.equal(text.toString('latin1', 0, fs.readSync(reader.fd, text)), 'bbbbdddd')
  assert.throws(
    () => target.cloneBuffers(source, { sourceOffset: 2, count: 1, replace: true }),
    /CLONE_BUFFERS/,
  )
})
