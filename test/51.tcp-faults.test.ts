// Streams under random schedules: every way to write against every way to read, ended in every way at any moment.
// Flow: this → ringcore (TcpStream, UnixStream) at both ends.
//
// The byte at each place of a stream is known, so a reader can tell a lost, doubled or reordered one at once. What a peer has got is
// always the beginning of what was sent, and all of it when the ending was a proper one. RINGCORE_SOAK=1 runs many more.

import assert from 'node:assert/strict'
import { randomBytes, randomInt } from 'node:crypto'
import { openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type SocketStream, TcpListener, TcpStream, UnixStream, type Uring } from 'ringcore'
import { receiveBuffers } from '#src/net/receive-buffers.js'
import { OwnedFd, oracle, socketPair, tempDir, withTimeout } from './helpers.js'
import { KINDS, openUring, turn } from './uring.js'

const ROUNDS = process.env.RINGCORE_SOAK === '1' ? 2000 : 12
const PERIOD = 65_521
const TABLE = randomBytes(PERIOD)
const LONG = Buffer.concat([TABLE, TABLE, TABLE, TABLE, TABLE])

/** The bytes of every stream from `at` on. */
const bytesAt = (at: number, length: number): Buffer => LONG.subarray(at % PERIOD, (at % PERIOD) + length)

/** Numbers below `n` that a seed decides. */
class Random {
  #state: number
  constructor(seed: number) {
    this.#state = seed >>> 0
  }
  below(n: number): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0
    return Math.floor((this.#state / 2 ** 32) * n)
  }
  pick<T>(...all: T[]): T {
    return all[this.below(all.length)]!
  }
}

/** Writes in random ways up to `total` bytes; returns how many were accepted when it ended or failed. */
async function writeAll(stream: SocketStream, total: number, random: Random, fd: number): Promise<number> {
  let at = 0
  const pending: Promise<unknown>[] = []
  const fail = { error: null as unknown }
  const keep = (promise: Promise<unknown>): void => {
    pending.push(promise.catch((error) => (fail.error ??= error)))
  }
  while (at < total && fail.error === null) {
    const most = Math.min(total - at, random.pick(1, 100, 4096, 4097, 20_000, 200_000))
    const length = 1 + random.below(most)
    const bytes = bytesAt(at, length)
    try {
      const how = random.below(10)
      if (how < 3) keep(stream.write(bytes))
      else if (how < 6) {
        if (!stream.send(Buffer.from(bytes))) await stream.drained()
      } else if (how < 7) {
        const cut = random.below(length)
        keep(stream.writev([bytes.subarray(0, cut), bytes.subarray(cut)]))
      } else if (how < 8) keep(stream.sendFile(fd, { offset: at % PERIOD, length }))
      else await stream.write(bytes)
    } catch (error) {
      fail.error ??= error
      break
    }
    at += length
    if (random.below(4) === 0) await turn()
    if (random.below(40) === 0) await sleep(1)
  }
  await Promise.all(pending)
  return at
}

/** Reads in random ways to the end; checks every byte. Returns how many came, and the error that ended it. */
async function readAll(stream: SocketStream, random: Random): Promise<{ got: number; error: unknown }> {
  let got = 0
  const check = (bytes: Uint8Array): void => {
    if (!bytesAt(got, bytes.length).equals(bytes))
      throw new assert.AssertionError({ message: `byte ${got} is wrong` })
    got += bytes.length
  }
  const buffer = Buffer.alloc(70_000)
  let ended = false
  try {
    while (!ended) {
      const how = random.below(4)
      if (how === 0) {
        const n = await stream.read(buffer.subarray(0, 1 + random.below(70_000)))
        ended = n === 0
        check(buffer.subarray(0, n))
      } else if (how === 1) {
        ended = true
        const held: { release(): void }[] = []
        try {
          for await (const chunk of stream.chunks()) {
            held.push(chunk)
            check(chunk.bytes)
            if (random.below(3) === 0) for (const one of held.splice(0)) one.release()
            if (random.below(5) === 0) {
              ended = false
              break
            }
          }
        } finally {
          for (const one of held) one.release()
        }
      } else if (how === 2) {
        ended = true
        for await (const chunk of stream) {
          check(chunk)
          if (random.below(5) === 0) {
            ended = false
            break
          }
        }
      } else ended = await callbacks(stream, check, random)
      if (random.below(6) === 0) await sleep(random.below(3))
    }
    return { got, error: null }
  } catch (error) {
    if (error instanceof assert.AssertionError) throw error
    return { got, error }
  }
}

/** Takes a few messages with callbacks; true when the end came. */
function callbacks(
  stream: SocketStream,
  check: (bytes: Uint8Array) => void,
  random: Random,
): Promise<boolean> {
  return new Promise((resolve, reject) => {
    let left = 1 + random.below(5)
    const done = { is: false }
    const stop = stream.receive(
      (bytes, length) => {
        try {
          check(bytes.subarray(0, length))
        } catch (error) {
          reject(error)
        }
        if (--left > 0) return
        // What comes after is kept: the kept ones may call before `stop` is known.
        if (done.is) return
        done.is = true
        queueMicrotask(() => {
          stop()
          resolve(false)
        })
      },
      (error) => (error === null ? resolve(true) : reject(error)),
    )
  })
}

async function tcpPair(ring: Uring): Promise<[TcpStream, TcpStream]> {
  await using listener = TcpListener.bind({ host: '127.0.0.1', ring })
  return await Promise.all([
    listener.accept(),
    TcpStream.connect({ host: '127.0.0.1', port: listener.port, ring }),
  ])
}

function unixPair(t: TestContext, ring: Uring): [UnixStream, UnixStream] {
  const [a, b] = socketPair(t)
  return [UnixStream.fromRawFd(a.release(), ring), UnixStream.fromRawFd(b.release(), ring)]
}

/** One connection, data in both directions, one ending. */
async function oneRound(ends: [SocketStream, SocketStream], seed: number, fd: number): Promise<void> {
  const random = new Random(seed)
  const [left, right] = ends
  const total = random.pick(0, 1, 50_000, 500_000)
  const ending = random.pick('end', 'end', 'end', 'close', 'destroy', 'reset')
  const reading = [left, right].map((stream, i) => readAll(stream, new Random(seed + 10 + i)))
  const writing = [left, right].map((stream, i) => writeAll(stream, total, new Random(seed + 20 + i), fd))
  const what = `seed ${seed}, ${ending}, ${total} bytes`
  if (ending === 'end') {
    await withTimeout(Promise.all(writing), 10_000, `writing: ${what}`)
    await Promise.all([left.end(), right.end()])
    const read = await withTimeout(Promise.all(reading), 10_000, `reading: ${what}`)
    for (const { got, error } of read) assert.deepEqual([got, error], [total, null], what)
  } else {
    await sleep(random.below(4))
    await withTimeout(left[ending](), 10_000, `${what}: ${ending}`)
    const read = await withTimeout(Promise.all(reading), 10_000, `reading: ${what}`)
    for (const { got } of read) assert.ok(got <= total, what)
    await withTimeout(right.destroy(), 5000, `${what}: destroy`)
    await withTimeout(Promise.all(writing), 10_000, `writing: ${what}`)
  }
  await withTimeout(Promise.all([left.close(), right.close()]), 5000, `close: ${what}`)
}

for (const [kind, options] of Object.entries({
  DEFER_TASKRUN: KINDS.DEFER_TASKRUN!,
  'DEFER_TASKRUN, few slots': { inFlight: 6, entries: 8 },
  SQPOLL: KINDS.SQPOLL!,
  'waits in epoll': KINDS['waits in epoll']!,
})) {
  test(`random schedules: no byte lost, doubled or reordered, nothing left over (${kind})`, async (t) => {
    oracle(t)
    const ring = openUring(t, options)
    const path = join(tempDir(t), 'table')
    writeFileSync(path, LONG)
    const file = new OwnedFd(t, openSync(path, 'r'))
    const seed = randomInt(1 << 30)
    t.diagnostic(`seed ${seed}`)
    for (let round = 0; round < ROUNDS; round += 4) {
      await Promise.all(
        [0, 1, 2, 3].map(async (i) => {
          const ends = i % 2 === 0 ? await tcpPair(ring) : unixPair(t, ring)
          await oneRound(ends, seed + 100 * (round + i), file.fd)
        }),
      )
    }
    assert.equal(receiveBuffers(ring).lent, 0, 'buffers are back')
    assert.equal(ring.stats().inFlight, 0)
  })
}
