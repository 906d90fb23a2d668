// Registered and provided buffers: shared, cloned, in chains, with files and devices.
// Flow: this → uring-ops.ts, op-helpers.ts → ringcore.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import * as op from 'ringcore/ring'
import * as sys from 'ringcore/sys'
import { oracle, pipe, socketPair, tempDir, withTimeout } from './helpers.js'
import { call, type Rig, opTest as rawTest } from './op-helpers.js'
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
  // The device stops after a page when the thread has other work waiting.
  let got = 0
  while (got < 9_000) got += await ring.readFixed(zero, buffer, { offset: 100 + got, length: 9_000 - got })
  assert.equal(got, 9_000)
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

for (const options of [{}, { noMmap: true }]) {
  test(`a buffer ring in memory of the kernel, beside a group of the old kind · noMmap ${'noMmap' in options}`, (t) => {
    oracle(t)
    using ring = new op.Ring({ entries: 8, ...options })
    const [near, far] = socketPair(t)
    const room = new Uint8Array(64 * 4)
    const at = ring.driver.addressOf(room)
    const run = (write: (sqe: op.Sqe) => void): [res: number, flags: number] => {
      write(ring.getSqe()!)
      ring.submitAndWait(1)
      const [, res, flags] = takeCqes(ring, 1)[0]!
      return [res, flags]
    }
    const receive = (group: number): [res: number, flags: number] => {
      fs.writeSync(far.fd, 'text')
      const got = run((sqe) => {
        op.prepRecv(sqe, near.fd, 0, 0, 0)
        op.sqeSetBufferSelect(sqe, group)
      })
      if (got[0] < 0) fs.readSync(near.fd, Buffer.alloc(4))
      return got
    }
    for (const group of [1, 127]) {
      const mapAt = sys.IORING_OFF_PBUF_RING + group * 2 ** sys.IORING_OFF_PBUF_SHIFT
      assert.ok(typeof sys.mmap(ring.fd, 4096, mapAt) === 'number', 'there is no such ring yet')
      ring.registerBufRing({ group, entries: 4, address: 0, flags: sys.IOU_PBUF_RING_MMAP })
      const memory = sys.mmap(ring.fd, 4096, mapAt)
      assert.ok(typeof memory !== 'number', `mmap: ${String(memory)}`)
      // struct io_uring_buf: address, length, bid; the tail lies in the last two bytes of the first.
      const view = new DataView(memory)
      const add = (slot: number, tail: number): void => {
        view.setBigUint64(slot * 16, BigInt(at + slot * 64), true)
        view.setUint32(slot * 16 + 8, 64, true)
        view.setUint16(slot * 16 + 12, slot, true)
        view.setUint16(14, tail, true)
      }
      assert.equal(receive(group)[0], -sys.ENOBUFS, 'nothing was added')
      add(0, 1)
      add(1, 2)
      for (const bid of [0, 1]) {
        const [res, flags] = receive(group)
        assert.deepEqual([res, flags >>> sys.IORING_CQE_BUFFER_SHIFT], [4, bid])
        assert.equal(Buffer.from(room).toString('latin1', bid * 64, bid * 64 + 4), 'text')
      }
      assert.equal(receive(group)[0], -sys.ENOBUFS)
      // A group is of one kind: the other way of giving buffers is refused.
      const [mixed] = run((sqe) => op.prepProvideBuffers(sqe, at, 64, 1, group, 0))
      assert.equal(mixed, -sys.EINVAL)
      ring.unregisterBufRing(group)
      assert.throws(() => ring.unregisterBufRing(group), { code: /ENOENT|EINVAL/ })
      // The mapping outlives the registration.
      view.setUint16(14, 99, true)
      assert.equal(view.getUint16(14, true), 99)
      assert.equal(sys.munmap(memory), 0)
    }
    // An old group that is used up makes room for a ring of the same number.
    assert.equal(run((sqe) => op.prepProvideBuffers(sqe, at, 64, 1, 5, 0))[0], 0)
    assert.equal(receive(5)[0], 4)
    const upgraded = new op.BufferRing(ring, { group: 5, entries: 2, bufferBytes: 16 })
    const [res, flags] = receive(5)
    assert.equal(Buffer.from(upgraded.take(flags >>> sys.IORING_CQE_BUFFER_SHIFT, res)).toString(), 'text')
    upgraded.close()
  })
}

rawTest('SENDMSG_ZC', 'a message of registered vectors is sent without copies', (rig) => {
  const [a, b] = tcp(rig)
  const data = rig.memory('one two three four')
  rig.ring.registerBuffers([data.bytes])
  const part = (from: number, to: number): [bigint, bigint] => [
    BigInt(data.address + from),
    BigInt(to - from),
  ]
  const vectors = rig.memory(new Uint8Array(BigUint64Array.of(...part(8, 13), ...part(3, 8)).buffer))
  const message = (count: bigint): number =>
    rig.memory(new Uint8Array(BigUint64Array.of(0n, 0n, BigInt(vectors.address), count, 0n, 0n, 0n).buffer))
      .address
  const id = rig.start((sqe) => op.prepSendmsgZcFixed(sqe, a, message(2n), 0, 0))
  const sent = rig.wait(id)
  if (sent.res === -sys.EINVAL) {
    if (sent.flags & sys.IORING_CQE_F_MORE) rig.wait(id)
    rig.ring.unregisterBuffers()
    return rig.t.skip('needs registered vectors: kernel 6.15')
  }
  assert.equal(sent.res, 10)
  assert.ok(sent.flags & sys.IORING_CQE_F_MORE)
  const got = Buffer.alloc(20)
  assert.equal(got.toString('latin1', 0, fs.readSync(b, got)), 'three two ')
  assert.ok(rig.wait(id).flags & sys.IORING_CQE_F_NOTIF)
  rig.ring.unregisterBuffers()
})

/** Two ends of a TCP connection. */
function tcp(rig: Rig): [client: number, server: number] {
  const { fd, address } = rig.listener()
  const client = rig.connect(address)
  return [client, rig.owned(call('accept4', fd, 0, 0, sys.SOCK_CLOEXEC))]
}

rawTest('SEND, RECV', 'incremental bundles keep the order, both ways', (rig) => {
  const [a, b] = tcp(rig)
  const options = { entries: 4, bufferBytes: 4096, incremental: true }
  let into: op.BufferRing
  try {
    into = new op.BufferRing(rig.ring, { group: 1, ...options })
  } catch (error) {
    return rig.t.skip(`this kernel has no incremental buffers: ${(error as Error).message}`)
  }
  const total = 4 * 4096
  const bytes = Buffer.from(Array.from({ length: total }, (_, i) => (i * 7) ^ (i >> 8)))
  const arm = (): number =>
    rig.start((sqe) => {
      op.prepRecvMultishot(sqe, b, 0, 0, 0)
      op.sqeSetBufferSelect(sqe, 1)
      op.sqeAddIoprio(sqe, sys.IORING_RECVSEND_BUNDLE)
    })
  let id = arm()
  let sent = 0
  let at = 0
  // The buffers lie one behind the other, and so do the bytes, whatever buffer each completion begins in.
  const take = (): void => {
    const { res, flags } = rig.wait(id)
    assert.ok(res > 0, `recv: ${res}`)
    assert.equal(flags >>> sys.IORING_CQE_BUFFER_SHIFT, Math.floor(at / 4096))
    at += res
    // It ends by itself when it has used up the last buffer.
    if (!(flags & sys.IORING_CQE_F_MORE)) {
      assert.equal(at, total)
      id = arm()
    }
    const isPartial = at % 4096 !== 0
    assert.equal((flags & sys.IORING_CQE_F_BUF_MORE) !== 0, isPartial, `at ${at}`)
  }
  for (let step = 1; sent < total; step = (step * 5 + 3) % 6007) {
    sent += fs.writeSync(a, bytes, sent, Math.min(step, total - sent))
    while (at < sent) take()
  }
  assert.ok(bytes.equals(into.buffers.subarray(0, total)))
  fs.writeSync(a, 'x')
  assert.equal(rig.wait(id).res, -sys.ENOBUFS)
  into.close()

  // And out: what lies in the buffers goes in one request, or in as many as it takes.
  const from = new op.BufferRing(rig.ring, { group: 2, ...options })
  from.buffers.set(bytes)
  const received = Buffer.alloc(total + 1)
  let got = 0
  for (let out = 0; out < total; ) {
    const done = rig.run((sqe) => {
      op.prepSendBundle(sqe, a, 0, 0)
      op.sqeSetBufferSelect(sqe, 2)
    })
    assert.ok(done > 0, `send: ${done}`)
    out += done
    while (got < out + 1) got += fs.readSync(b, received, got, total + 1 - got, null)
  }
  assert.ok(received.subarray(1).equals(bytes))
  from.close()
})
