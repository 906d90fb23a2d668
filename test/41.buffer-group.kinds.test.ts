// Every kind of buffer group, plain, mapped, incremental and both, under every multishot request that takes from one: no byte is lost,
// none comes twice or out of order, and every buffer is back, through running dry and through cancelling.
// Flow: this → Uring (operations-net, operations-provided) → buffer-group.ts, ring/buffer-ring.ts, kernel.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import test, { type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { BufferGroup, Uring, UringOptions } from 'ringcore'
import { probe } from 'ringcore/ring'
import { IORING_CQE_F_BUF_MORE, IORING_CQE_F_BUFFER, SO_RCVBUF, SO_SNDBUF, SOL_SOCKET } from 'ringcore/sys'
import { openDriver } from '#src/sys/open-driver.js'
import { oracle, pipe, useRing } from './helpers.js'
import { openUring, PACKAGE } from './uring.js'
import { OP_KINDS, refused, tcpPair } from './uring-ops.js'

const SOAK = process.env.RINGCORE_SOAK === '1'
const BYTES = SOAK ? 100_000_000 : 300_003

type Kind = { mapped?: boolean; incremental?: boolean }
const GROUP_KINDS: Readonly<Record<string, Kind>> = {
  plain: {},
  mapped: { mapped: true },
  incremental: { incremental: true },
  'mapped and incremental': { mapped: true, incremental: true },
}

const { DEFER_TASKRUN, SQPOLL, CQE32 } = OP_KINDS
const FLOOD_KINDS = SOAK ? OP_KINDS : ({ DEFER_TASKRUN, SQPOLL, CQE32 } as Record<string, UringOptions>)

/** A part of what came, in one shape for chunks and bundles. */
interface Part {
  parts: readonly { readonly bytes: Buffer }[]
  release(): void
}

/** The requests that take from a group. */
const REQUESTS: Readonly<
  Record<string, (ring: Uring, fd: number, group: BufferGroup, signal?: AbortSignal) => AsyncIterable<Part>>
> = {
  recvMultishot: (ring, fd, group, signal) => chunks(ring.recvMultishot(fd, group, { signal })),
  readMultishot: (ring, fd, group, signal) => chunks(ring.readMultishot(fd, group, { signal })),
  recvBundle: async function* (ring, fd, group, signal) {
    for await (const bundle of ring.recvBundle(fd, group, { signal }))
      yield { parts: bundle.chunks, release: () => bundle.release() }
  },
}

async function* chunks(source: AsyncIterable<{ bytes: Buffer; release(): void }>): AsyncIterable<Part> {
  for await (const chunk of source) yield { parts: [chunk], release: () => chunk.release() }
}

/** Bytes whose neighbours at any distance differ, so that a lost, doubled or swapped one shows. */
const FLOOD = Buffer.alloc(1 << 20, 0).map((_, i) => (i * 7) ^ (i >> 8) ^ (i >> 15))

/** Sends `total` bytes in steps of odd sizes, then ends; what was sent, as a checksum. */
async function flood(ring: Uring, fd: number, total: number, mostBytes: number): Promise<string> {
  const hash = createHash('sha256')
  for (let at = 0, step = 1; at < total; step = (step * 7 + 13) % mostBytes) {
    const from = at % (FLOOD.length / 2)
    const slice = FLOOD.subarray(from, from + Math.min(step + 1, total - at))
    // With a copy the buffer is free at once, whatever the send does.
    const sent = await ring.write(fd, Buffer.from(slice))
    hash.update(slice.subarray(0, sent))
    at += sent
  }
  return hash.digest('hex')
}

/** The two ends of what a request reads from. */
function ends(t: TestContext, request: string): { from: number; to: number; close(): void } {
  if (request === 'readMultishot') {
    const { reader, writer } = pipe(t)
    return { from: reader.fd, to: writer.fd, close: () => writer.close() }
  }
  const [client, server] = tcpPair(t)
  return { from: server.fd, to: client.fd, close: () => client.close() }
}

function kindsTest(
  title: string,
  kinds: Readonly<Record<string, UringOptions>>,
  body: (t: TestContext, ring: Uring, kind: Kind, request: string) => Promise<void>,
): void {
  for (const [ringKind, options] of Object.entries(kinds)) {
    for (const [groupKind, kind] of Object.entries(GROUP_KINDS)) {
      for (const request of Object.keys(REQUESTS)) {
        test(`${title}: ${request}, ${groupKind} (${ringKind})`, async (t) => {
          oracle(t)
          if (probe().opcodes.IORING_OP_READ_MULTISHOT !== true) return t.skip('needs kernel 6.7')
          const ring = openUring(t, options)
          try {
            ring.bufferGroup({ entries: 1, bufferBytes: 1, ...kind }).close()
          } catch (error) {
            assert.equal((error as NodeJS.ErrnoException).code, 'ERR_RING_FEATURE')
            return t.skip((error as Error).message)
          }
          await body(t, ring, kind, request)
        })
      }
    }
  }
}

/** All buffers are the kernel's again, and the kernel sees it so. */
function allBack(group: BufferGroup, entries: number): void {
  assert.equal(group.lent, 0)
  assert.equal(group.available, entries)
}

kindsTest('a flood, dry again and again', FLOOD_KINDS, async (t, ring, kind, request) => {
  const { from, to, close } = ends(t, request)
  const entries = 8
  const group = ring.bufferGroup({ entries, bufferBytes: 1000, ...kind })
  const sending = flood(ring, to, BYTES, 9001).finally(close)
  const hash = createHash('sha256')
  const held: Part[] = []
  let bytes = 0
  let rounds = 0
  let mostLent = 0
  for await (const part of REQUESTS[request]!(ring, from, group)) {
    held.push(part)
    // Kept until (nearly) all are lent, then given back in a changing order: what is read last is what was overwritten first.
    mostLent = Math.max(mostLent, group.lent)
    if (group.available > rounds % 3) continue
    rounds++
    for (const { parts } of held) {
      for (const { bytes: one } of parts) {
        hash.update(one)
        bytes += one.length
      }
    }
    const back = held.splice(0)
    if (rounds % 2 === 0) back.reverse()
    if (rounds % 5 === 0) await sleep(1)
    for (const one of back) one.release()
  }
  for (const part of held) {
    for (const { bytes: one } of part.parts) {
      hash.update(one)
      bytes += one.length
    }
    part.release()
  }
  assert.equal(bytes, BYTES)
  assert.equal(hash.digest('hex'), await sending)
  assert.ok(rounds > 10, `it ran dry ${rounds} times`)
  if (kind.incremental && request !== 'recvBundle')
    assert.ok(mostLent > entries, 'a buffer had several chunks')
  allBack(group, entries)
  group.close()
})

kindsTest(
  'cancelled and begun again',
  { DEFER_TASKRUN: {}, SQPOLL: OP_KINDS.SQPOLL! },
  async (t, ring, kind, request) => {
    const { from, to, close } = ends(t, request)
    const entries = 4
    const group = ring.bufferGroup({ entries, bufferBytes: 700, ...kind })
    const total = SOAK ? BYTES : 200_003
    const sending = flood(ring, to, total, 3001).finally(close)
    const hash = createHash('sha256')
    let bytes = 0
    let aborts = 0
    for (let ended = false; !ended; ) {
      const controller = new AbortController()
      let budget = 1 + (aborts % 7) * 900
      try {
        for await (const part of REQUESTS[request]!(ring, from, group, controller.signal)) {
          for (const { bytes: one } of part.parts) {
            hash.update(one)
            bytes += one.length
            budget -= one.length
          }
          part.release()
          // Data keeps coming while the cancel is under way.
          if (budget <= 0) controller.abort()
        }
        ended = true
      } catch (error) {
        assert.equal((error as Error).name, 'AbortError')
        aborts++
      }
    }
    assert.equal(bytes, total)
    assert.equal(hash.digest('hex'), await sending)
    assert.ok(aborts > 10, `cancelled ${aborts} times`)
    allBack(group, entries)
    group.close()
  },
)

kindsTest('what nobody takes goes back', { DEFER_TASKRUN: {} }, async (t, ring, kind, request) => {
  const { from, to } = ends(t, request)
  const entries = 4
  const group = ring.bufferGroup({ entries, bufferBytes: 100, ...kind })
  await ring.write(to, Buffer.alloc(350, 'x'))
  for await (const part of REQUESTS[request]!(ring, from, group)) {
    // The other bytes that came wait for nobody: `break` gives their buffers back.
    part.release()
    break
  }
  allBack(group, entries)
  // An abort hands out what came, and `return()` of a half-read one disposes of it.
  await ring.write(to, Buffer.alloc(50, 'y'))
  const source = REQUESTS[request]!(ring, from, group)[Symbol.asyncIterator]()
  const first = await source.next()
  assert.equal(first.done, false)
  const lent = first.value as Part
  assert.throws(() => group.close(), { code: 'ERR_INVALID_STATE', message: /not released/ })
  await source.return?.()
  lent.release()
  lent.release()
  assert.throws(() => lent.parts[0]!.bytes, { code: 'ERR_INVALID_STATE' })
  allBack(group, entries)
  group.close()
})

test('an incremental buffer goes back with its last chunk, in whatever order they are released', (t) => {
  oracle(t)
  const ring = useRing(t)
  const group = ring.bufferGroup({ entries: 2, bufferBytes: 100, incremental: true })
  const buffer = (bid: number, more: boolean) =>
    IORING_CQE_F_BUFFER | (bid << 16) | (more ? IORING_CQE_F_BUF_MORE : 0)
  const [a, b, c] = [
    group.take(30, buffer(0, true)),
    group.take(30, buffer(0, true)),
    group.take(40, buffer(0, false)),
  ]
  assert.deepEqual([group.lent, group.available], [3, 1])
  c!.release()
  a!.release()
  assert.deepEqual([group.lent, group.available], [1, 1], 'the second chunk still has it')
  b!.release()
  assert.deepEqual([group.lent, group.available], [0, 2])
  // The kernel has it still: releasing all chunks so far gives nothing back.
  const d = group.take(99, buffer(1, true))!
  assert.equal(d.bytes.length, 99)
  d.release()
  assert.equal(group.available, 2)
  // An end of stream that took nothing, and one that took the buffer although nothing was used.
  assert.equal(group.take(0, buffer(1, true)), undefined)
  assert.equal(group.available, 2)
  assert.equal(group.take(0, buffer(1, false)), undefined)
  assert.equal(group.available, 2)
  assert.throws(() => group.take(101, buffer(0, true)), { code: 'ERR_OUT_OF_RANGE' })
  // A bundle begins where the last chunk ended, fills what lies between, and ends inside a buffer.
  const e = group.take(60, buffer(0, true))!
  const bundle = group.takeBundle(90, buffer(0, false))
  assert.deepEqual(
    bundle.map(({ bytes }) => bytes.length),
    [40, 50],
  )
  assert.deepEqual([group.lent, group.available], [3, 1])
  for (const chunk of [...bundle, e]) chunk.release()
  assert.deepEqual([group.lent, group.available], [0, 2])
  assert.deepEqual(group.takeBundle(0, buffer(1, true)), [])
  // Copies and shown bytes of a half-used buffer.
  assert.equal(group.copy(20, buffer(1, true)).length, 20)
  let shown = -1
  group.show(30, buffer(1, false), (bytes, length) => {
    shown = length
    assert.equal(bytes.length, 30)
  })
  assert.deepEqual([shown, group.lent, group.available], [30, 0, 2])
  group.close()
})

test('incremental: one byte does not use up a buffer', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const [client, server] = tcpPair(t)
  const group = ring.bufferGroup({ entries: 1, bufferBytes: 64, incremental: true })
  const received = ring.recvMultishot(server.fd, group)
  const kept = []
  for (let i = 0; i < 40; i++) {
    await ring.send(client.fd, Buffer.of(i))
    const { value } = await received.next()
    kept.push(value)
  }
  assert.deepEqual(
    kept.map((chunk) => chunk.bytes[0]),
    Array.from({ length: 40 }, (_, i) => i),
  )
  for (const chunk of kept) chunk.release()
  await received.return()
  allBack(group, 1)
  group.close()
})

test('a mapped group leaves no page of the kernel behind, whoever ends first', async (t) => {
  oracle(t)
  const ring = openUring(t)
  const group = ring.bufferGroup({ entries: 256, bufferBytes: 64, mapped: true })
  const other = ring.bufferGroup({ entries: 256, bufferBytes: 64, mapped: true })
  // Sizes may change while a group is there: only the queues' own pages are replaced.
  if (probe().registerOps.IORING_REGISTER_RESIZE_RINGS === true) ring.ring.resizeRings(64, 256)
  const [client, server] = tcpPair(t)
  await ring.send(client.fd, Buffer.from('still there'))
  for await (const chunk of ring.recvMultishot(server.fd, other)) {
    assert.equal(`${chunk.bytes}`, 'still there')
    chunk.release()
    break
  }
  const mappings = (): number =>
    readFileSync('/proc/self/maps', 'utf8').match(/anon_inode:\[io_uring\]/g)!.length
  const before = mappings()
  group.close()
  group.close()
  assert.equal(mappings(), before - 1, "its pages are the kernel's again at once")
  // `other` is open when the ring closes; the oracle looks for mappings of rings.
  await ring.close()
  other.close()
})

test('a group in memory of a worker thread that ends at once', async (t) => {
  oracle(t)
  const { Worker } = await import('node:worker_threads')
  const text = `
    import('${PACKAGE}').then(async ({ Uring }) => {
      const { parentPort } = require('node:worker_threads')
      const ring = new Uring()
      const [reader, writer] = await ring.pipe()
      const group = ring.bufferGroup({ entries: 8, bufferBytes: 64, mapped: true, incremental: true })
      const reads = ring.readMultishot(reader, group)
      reads.next().catch(() => {})
      await ring.write(writer, Buffer.from('x'))
      parentPort.postMessage([reader, writer])
    })`
  if (probe().opcodes.IORING_OP_PIPE !== true) return t.skip('needs kernel 6.16')
  const driver = openDriver()
  for (let i = 0; i < (SOAK ? 20 : 1); i++) {
    const worker = new Worker(text, { eval: true })
    const fds = await new Promise<number[]>((resolve, reject) => {
      worker.once('message', resolve)
      worker.once('error', reject)
    })
    await worker.terminate()
    for (const fd of fds) driver.syscall(3, fd)
  }
})

test('what a group is made of', async (t) => {
  oracle(t)
  const ring = openUring(t)
  const plain = ring.bufferGroup({ entries: 2, bufferBytes: 64 })
  assert.deepEqual([plain.incremental, plain.available], [false, 2])
  const incremental = ring.bufferGroup({ entries: 2, bufferBytes: 64, incremental: true })
  assert.equal(incremental.incremental, true)
  await refused(ring, [
    ['ERR_INVALID_ARG_TYPE', () => ring.bufferGroup({ mapped: 1 as never })],
    ['ERR_INVALID_ARG_TYPE', () => ring.bufferGroup({ incremental: 'yes' as never })],
    ['ERR_OUT_OF_RANGE', () => ring.bufferGroup({ entries: 3 })],
    ['ERR_OUT_OF_RANGE', () => ring.bufferGroup({ entries: 65536 })],
    ['ERR_OUT_OF_RANGE', () => ring.bufferGroup({ bufferBytes: 0 })],
    ['ERR_INVALID_ARG_VALUE', () => ring.recvmsgMultishot(0, incremental)],
  ])
  plain.close()
  incremental.close()
})

test('a send group that was cut keeps the rest, byte for byte', async (t) => {
  oracle(t)
  const ring = openUring(t)
  for (const mapped of [false, true]) {
    const [client, server] = tcpPair(t)
    for (const { fd } of [client, server])
      for (const name of [SO_SNDBUF, SO_RCVBUF]) await ring.setsockopt(fd, SOL_SOCKET, name, 8192)
    const group = ring.sendGroup({ entries: 4, bufferBytes: 50_000, mapped })
    const got: Buffer[] = []
    let added = 0
    let taken = 0
    let cuts = 0
    while (cuts < 5) {
      added += group.add(FLOOD.subarray(added, added + 90_001))
      const { pending } = group
      const controller = new AbortController()
      const sending = ring.sendBundle(client.fd, group, { signal: controller.signal })
      // The socket is full soon, and nobody reads: the abort cuts the send in the middle of a buffer.
      const timer = setTimeout(() => controller.abort(), 10)
      await sending.catch((error) => assert.equal(error.name, 'AbortError'))
      clearTimeout(timer)
      if (group.pending > 0 && group.pending < pending) cuts++
      const sent = added - group.pending
      while (taken < sent) {
        const buffer = Buffer.alloc(65536)
        const length = await ring.recv(server.fd, buffer)
        got.push(buffer.subarray(0, length))
        taken += length
      }
      assert.equal(taken, sent, 'what was reported sent is what came')
    }
    assert.ok(Buffer.concat(got).equals(FLOOD.subarray(0, taken)))
    group.close()
  }
})
