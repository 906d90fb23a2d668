// Memory that the kernel uses: garbage collection in flight, auxiliary structs, bounds, empty buffers.
// Flow: this → test/hazards/memory.ts in processes of their own (plain, and under test/tools/guard-malloc.c) → Uring.
// Cases 1, 2, 3, 13, 14 of the list in docs/design.md, and 74: the proof that a forgotten buffer is found.

import assert from 'node:assert/strict'
import { closeSync, openSync, writeSync } from 'node:fs'
import test from 'node:test'
import type { FileTarget, Uring } from 'ringcore'
import { CTL } from '#src/sys/driver.js'
import {
  DISTINCT_RINGS,
  guardAllocator,
  isSoak,
  onEach,
  RINGS,
  randomizer,
  runProgram,
  runPrograms,
  times,
  withRing,
} from './hazards/common.js'
import { oracle, pipe, socketPair } from './helpers.js'

const SMALL = [2, 64, 1000, 4096, 65536, 131072, 1048576]
const FEW = [131072]
const HUGE = 64 * 1048576

test('1: buffers that are garbage while the kernel reads into them and out of them', async (t) => {
  oracle(t)
  const kinds = Object.keys(RINGS)
  const sizes = (kind: string): string => (kind === kinds[0] || isSoak ? [...SMALL, HUGE] : FEW).join()
  await runPrograms('memory', [
    ...kinds.map((kind) => ({ name: 'gcRead', kind, argument: sizes(kind) })),
    ...onEach(kinds, 'gcWrite'),
  ])
})

test('1: the same under the guard allocator', async (t) => {
  const preload = guardAllocator(t)
  if (preload === undefined) return
  oracle(t)
  const kinds = isSoak ? Object.keys(RINGS) : ['waiting in the ring', 'sqpoll']
  const sizes = isSoak ? '1000,4096,65536' : '65536'
  const runs = [...onEach(kinds, 'gcRead', sizes), ...onEach(kinds, 'gcWrite')]
  await runPrograms('memory', runs, { preload })
})

test('2: a local variable as the only holder, ordinary garbage', async (t) => {
  oracle(t)
  await runPrograms('memory', onEach(DISTINCT_RINGS, 'churn'))
})

test('3: iovecs, paths, addresses, timespecs: garbage right after the call', async (t) => {
  oracle(t)
  const kinds = isSoak ? Object.keys(RINGS) : ['waiting in the ring', 'sqpoll']
  await runPrograms('memory', onEach(kinds, 'auxiliary'))
})

test('2, 3: the same under the guard allocator', async (t) => {
  const preload = guardAllocator(t)
  if (preload === undefined) return
  oracle(t)
  const runs = [
    ...onEach(['waiting in the ring'], 'churn', isSoak ? '2000' : '250'),
    ...onEach(['plain'], 'auxiliary'),
  ]
  await runPrograms('memory', runs, { preload })
})

test('74: a planted bug, buffers that nobody holds, is found by the guard allocator', async (t) => {
  const preload = guardAllocator(t)
  if (preload === undefined) return
  oracle(t)
  const answer = await runProgram('memory', 'plantedForgetting', 'plain', { preload })
  const { efaults, codes } = answer as { efaults: number; codes: string[] }
  // The address of the buffer that was used last is remembered together with the buffer.
  assert.ok(efaults >= codes.length - 1, `only ${efaults} of ${codes.length} reads failed: ${codes}`)
})

// ---------------------------------------------------------------- 13: bounds

type Ranged = { offset?: number; length?: number; position?: number | bigint }
/** Every method that takes a buffer, an offset and a length. */
const RANGED: Readonly<
  Record<string, (ring: Uring, fd: FileTarget, view: Uint8Array, range: Ranged) => Promise<number>>
> = {
  read: (ring, fd, view, range) => ring.read(fd, view, range),
  write: (ring, fd, view, range) => ring.write(fd, view, range),
  recv: (ring, fd, view, range) => ring.recv(fd, view, range),
  send: (ring, fd, view, range) => ring.send(fd, view, range),
  readFixed: (ring, fd, view, range) => ring.readFixed(fd, view, range),
  writeFixed: (ring, fd, view, range) => ring.writeFixed(fd, view, range),
}

/** Asserts that `begin` rejects with one of these codes and that no entry was written for it. */
async function refused(
  ring: Uring,
  codes: string[],
  begin: () => Promise<unknown>,
  what: string,
): Promise<void> {
  const { control } = ring.engine
  const before = [control[CTL.SQ_TAIL], control[CTL.LIVE]]
  const error = await begin().then(
    () => undefined,
    (reason: NodeJS.ErrnoException) => reason,
  )
  assert.ok(error !== undefined, `${what}: not refused`)
  assert.ok(codes.includes(String(error.code)), `${what}: ${error.code} ${error.message}`)
  assert.deepEqual([control[CTL.SQ_TAIL], control[CTL.LIVE]], before, `${what}: an entry was claimed`)
}

const ODD = [
  -1,
  -0.5,
  0.5,
  1.5,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  2 ** 31,
  2 ** 32,
  2 ** 53,
]

test('13: offsets and lengths outside the buffer are refused before an entry is written', async (t) => {
  oracle(t)
  await withRing('plain', async (ring) => {
    const lent = ring.alloc(256)
    const range = ['ERR_OUT_OF_RANGE']
    for (const [name, call] of Object.entries(RANGED)) {
      const view = name.endsWith('Fixed') ? lent : new Uint8Array(256)
      for (const odd of ODD) {
        await refused(ring, range, () => call(ring, 1, view, { offset: odd }), `${name} offset ${odd}`)
        await refused(ring, range, () => call(ring, 1, view, { length: odd }), `${name} length ${odd}`)
      }
      for (const wrong of ['1', null, {}, 1n, true]) {
        const offset = wrong as number
        await refused(
          ring,
          ['ERR_INVALID_ARG_TYPE', 'ERR_OUT_OF_RANGE'],
          () => call(ring, 1, view, { length: offset }),
          `${name} length ${wrong}`,
        )
        if (wrong === null) continue // null is undefined to `??`
        await refused(
          ring,
          ['ERR_INVALID_ARG_TYPE', 'ERR_OUT_OF_RANGE'],
          () => call(ring, 1, view, { offset }),
          `${name} offset ${wrong}`,
        )
      }
    }
    ring.free(lent)
  })
})

test('13: a thousand random ranges of parts of buffers: outside is refused, inside moves just these bytes', async (t) => {
  oracle(t)
  const [a, b] = socketPair(t)
  const random = randomizer(13)
  const below = (limit: number): number => Math.floor(random() * limit)
  await withRing('plain', async (ring) => {
    for (let i = 0; i < times(1000, 20_000); i++) {
      const memory = Buffer.alloc(96, 0xaa)
      const start = below(40)
      const view = memory.subarray(start, start + below(50))
      const [offset, length] = [below(60) - 5, below(60) - 5]
      const inside = offset >= 0 && length >= 0 && offset + length <= view.length
      if (!inside) {
        const what = `${offset}+${length} of ${view.length}`
        await refused(ring, ['ERR_OUT_OF_RANGE'], () => ring.recv(a.fd, view, { offset, length }), what)
        await refused(ring, ['ERR_OUT_OF_RANGE'], () => ring.send(a.fd, view, { offset, length }), what)
        continue
      }
      if (length === 0) continue
      writeSync(b.fd, Buffer.alloc(length, 0x55))
      assert.equal(await ring.recv(a.fd, view, { offset, length }), length)
      const expected = Buffer.alloc(96, 0xaa).fill(0x55, start + offset, start + offset + length)
      assert.deepEqual(memory, expected, 'bytes outside the range were touched')
    }
  })
})

test('13: descriptors, positions, paths, buffers of the wrong kind', async (t) => {
  oracle(t)
  await withRing('plain', async (ring) => {
    const view = new Uint8Array(16)
    const bad = ['ERR_OUT_OF_RANGE', 'ERR_INVALID_ARG_TYPE']
    for (const fd of [
      -1,
      -100,
      2 ** 31,
      2 ** 32,
      Number.NaN,
      1.5,
      '1',
      null,
      undefined,
      {},
      1n,
    ] as number[]) {
      await refused(ring, bad, () => ring.read(fd, view), `fd ${fd}`)
      await refused(ring, bad, () => ring.closeFile(fd), `closing fd ${fd}`)
      await refused(ring, bad, () => ring.accept(fd), `accepting from fd ${fd}`)
      await refused(ring, bad, () => ring.sendmsg(fd, { buffers: [view] }), `sendmsg to fd ${fd}`)
    }
    for (const position of [-2, 0.5, Number.NaN, 2 ** 53, -2n, 2n ** 63n, '0', null] as number[]) {
      if (position === null) continue
      await refused(ring, bad, () => ring.read(0, view, { position }), `position ${position}`)
      await refused(ring, bad, () => ring.writev(0, [view], { position }), `position ${position}`)
    }
    for (const buffer of [
      'text',
      [1, 2],
      new ArrayBuffer(8),
      null,
      undefined,
      5,
    ] as unknown as Uint8Array[]) {
      await refused(ring, ['ERR_INVALID_ARG_TYPE'], () => ring.read(0, buffer), `buffer ${buffer}`)
      await refused(ring, ['ERR_INVALID_ARG_TYPE'], () => ring.writev(0, [buffer]), `buffers [${buffer}]`)
    }
    for (const path of ['a\0b', Buffer.from('a\0b'), 5, null, undefined] as string[]) {
      const codes = ['ERR_INVALID_ARG_VALUE', 'ERR_INVALID_ARG_TYPE']
      await refused(ring, codes, () => ring.openat(path), `path ${path}`)
      await refused(ring, codes, () => ring.renameat('x', path), `path ${path}`)
    }
    const resizable = new Uint8Array(
      Reflect.construct(ArrayBuffer, [8, { maxByteLength: 16 }]) as ArrayBuffer,
    )
    await refused(ring, ['ERR_BUFFER_RESIZABLE'], () => ring.read(0, resizable), 'resizable buffer')
    await refused(
      ring,
      ['ERR_BUFFER_RESIZABLE'],
      () => ring.readv(0, [resizable]),
      'resizable buffer in a list',
    )
  })
})

// ---------------------------------------------------------------- 14: nothing to move

test('14: empty buffers resolve to 0 and never carry a length without an address', async (t) => {
  oracle(t)
  const { reader, writer } = pipe(t)
  const [a, b] = socketPair(t)
  writeSync(b.fd, 'waiting')
  const zero = openSync('/dev/zero', 'r')
  t.after(() => closeSync(zero))
  const empties = [
    Buffer.alloc(0),
    new Uint8Array(0),
    new DataView(new ArrayBuffer(4), 4),
    Buffer.alloc(9).subarray(9),
  ]
  await withRing('plain', async (ring) => {
    const { sqes } = ring.ring.memory
    const words = new Int32Array(sqes)
    const mask = ring.ring.sqEntries - 1
    /** Runs an operation and looks at the entry it wrote. */
    async function zeroBytes(begin: () => Promise<number>): Promise<void> {
      const before = ring.engine.control[CTL.SQ_TAIL]!
      const done = begin()
      const at = (before & mask) * 16
      const address = words[at + 4]! | words[at + 5]!
      if (address === 0) assert.equal(words[at + 6], 0, 'a length without an address')
      assert.equal(await done, 0)
    }
    for (const view of empties) {
      await zeroBytes(() => ring.read(reader.fd, view))
      await zeroBytes(() => ring.read(zero, view, { position: 0 }))
      await zeroBytes(() => ring.write(writer.fd, view))
      await zeroBytes(() => ring.recv(a.fd, view))
      await zeroBytes(() => ring.send(a.fd, view))
      await zeroBytes(() => ring.readv(zero, [view, view]))
      await zeroBytes(() => ring.writev(writer.fd, [view]))
    }
    await zeroBytes(() => ring.readv(zero, []))
    await zeroBytes(() => ring.read(zero, Buffer.alloc(8), { length: 0 }))
    const seven = Buffer.alloc(7)
    assert.equal(await ring.recv(a.fd, seven), 7)
    assert.equal(seven.toString(), 'waiting', 'an empty recv took bytes')
  })
})
