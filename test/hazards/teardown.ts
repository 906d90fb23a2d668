// Programs about the end of rings: use after close, close with work in flight, rings that are dropped. They may crash.
// Flow: test/80.hazards.teardown.test.ts → common.ts runProgram → this → Uring, Ring.

import assert from 'node:assert/strict'
import { closeSync, writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { Uring, type UringOptions } from 'ringcore'
import { Ring } from 'ringcore/ring'
import { IOSQE_ASYNC } from 'ringcore/sys'
import { prepNop, prepRead } from '#src/op/index.js'
import { CTL, type RingHandle } from '#src/sys/driver.js'
import {
  assertIdle,
  closeAll,
  collect,
  type Json,
  program,
  rawPipe,
  ringsGone,
  ringsHere,
  watch,
} from './common.js'

const EINVAL = -22

/** Reads every word; called often enough that the compiler optimises it with the ring's memory in its hands. */
function sum(words: Int32Array): number {
  let total = 0
  for (let i = 0; i < words.length; i++) total += words[i]! === 0 ? 0 : 1
  return total
}

/** Case 22: views, SQEs and handles of before, used in a hot loop across close. */
async function stale(options: UringOptions, count: string): Promise<Json> {
  let zeroed = 0
  const rounds = Number(count)
  for (let i = 0; i < rounds; i++) {
    const ring = new Uring(options)
    await Promise.all([ring.nop(), ring.nop()])
    const { driver, handle, memory, batch, control } = ring.ring
    const views = [memory.ring, memory.sqes].map((buffer) => new Int32Array(buffer, 0, 256))
    const sqe = ring.ring.getSqe()!
    prepNop(sqe)
    await sleep(1)
    for (let k = 0; k < 300; k++) for (const view of views) sum(view)
    await ring.close()
    for (let k = 0; k < 300; k++) for (const view of views) sum(view)
    if (views.every((view) => sum(view) === 0)) zeroed++
    prepNop(sqe)
    sqe.clear()
    views[0]!.fill(-1)
    void [batch[0], control[CTL.SQ_TAIL], Atomics.load(views[0]!, 0)]
    for (const wrong of [handle, 0, -1, 4096] as RingHandle[]) {
      assert.equal(driver.turn(wrong, 0, 0), EINVAL)
      assert.equal(driver.inKernel(wrong), EINVAL)
      assert.equal(driver.detach(wrong), EINVAL)
      assert.equal(driver.loopActivate(wrong), EINVAL)
      assert.equal(driver.hold(wrong, memory.ring), EINVAL)
    }
    collect(1)
    // What reuses the address space now must not feel the stale views.
    const other = new Uring(options)
    views[1]!.fill(-1)
    assert.deepEqual(await Promise.all([other.nop(), other.nop(), other.timeout(1)]), [0, 0, undefined])
    await assertIdle(other)
  }
  return { zeroed }
}

/** Case 23 in a loop and case 24: rings that are closed while reads wait, or before the kernel's thread saw them. */
async function closeInFlight(options: UringOptions, count: string): Promise<Json> {
  const rounds = Number(count)
  let rejected = 0
  const held: Buffer[] = []
  for (let i = 0; i < rounds; i++) {
    const [reader, writer] = rawPipe()
    const sleepy = options.sqpoll ? { sqThreadIdleMs: i % 2 ? 1 : 20 } : {}
    const ring = new Uring({ ...options, ...sleepy })
    const watched = watch(ring)
    if (i % 4 === 1) await sleep(3) // the kernel's thread falls asleep
    const reads: Promise<unknown>[] = []
    for (let k = 0; k < 64; k++) {
      const buffer = Buffer.alloc(k % 2 ? 4096 : 600)
      if (k < 4) held.push(buffer)
      reads.push(ring.read(reader, buffer, { sqeFlags: k % 8 === 7 ? IOSQE_ASYNC : 0 }))
    }
    const ends = Promise.allSettled(reads)
    reads.length = 0
    if (i % 4 > 1) ring.flush()
    if (i % 4 === 3) await sleep(1)
    const closed = ring.close()
    if (i % 10 === 0) collect(1)
    await closed
    for (const end of await ends) {
      assert.equal(end.status, 'rejected')
      assert.equal(end.reason.code, 'ERR_RING_CLOSED', String(end.reason))
      rejected++
    }
    assert.deepEqual([ring.stats().inFlight, ring.stats().strays, watched.efaults], [0, 0, 0])
    writeSync(writer, Buffer.alloc(16384, 0xff)) // who still reads now would write into these buffers
    closeAll([reader, writer])
  }
  await sleep(5)
  assert.ok(
    held.every((buffer) => buffer.every((byte) => byte === 0)),
    'the kernel wrote after close',
  )
  return { rejected }
}

/** Case 31: dropped without close; every one must be found by the collector and warned of once. */
async function dropped(options: UringOptions, count: string): Promise<Json> {
  const warned: Record<string, number> = {}
  process.on('warning', ({ name }) => {
    warned[name] = (warned[name] ?? 0) + 1
  })
  const before = ringsHere()
  const [reader, writer] = rawPipe()
  let inFlight = 0
  let most = 0
  const drop = (i: number): void => {
    if (i % 2) {
      const ring = new Ring({ entries: 8 })
      if (i % 4 === 1) {
        prepRead(ring.getSqe()!, reader, scrap.address, 16, -1)
        ring.submit()
      }
      return
    }
    const ring = new Uring({ ...options, entries: 8, cqEntries: 64 })
    if (i % 4 !== 0) return
    inFlight++
    ring.read(reader, Buffer.alloc(64)).catch((error: NodeJS.ErrnoException) => {
      assert.equal(error.code, 'ERR_RING_CLOSED')
      inFlight--
    })
  }
  const scrapRing = new Uring()
  const scrapBuffer = scrapRing.alloc(64)
  const scrap = { address: scrapRing.ring.driver.addressOf(scrapBuffer) }
  const total = Number(count)
  for (let i = 0; i < total; i += 50) {
    for (let k = 0; k < 50; k++) drop(i + k)
    most = Math.max(most, ringsHere().fds)
    collect(2)
    await sleep(1)
  }
  await scrapRing.close()
  const left = await ringsGone(before, 10_000)
  await sleep(10)
  closeAll([reader, writer])
  return { left: { fds: left.fds - before.fds, maps: left.maps - before.maps }, inFlight, warned, most }
}

/** Keeps a ring from the collector. */
export let planted: Uring | null = null

/** Case 76: the planted bug, a close that only closes the fd. The mappings hold the ring, and its reads go on. */
async function plantedCloseFdOnly(options: UringOptions): Promise<Json> {
  const ring = new Uring(options)
  const [reader, writer] = rawPipe()
  const buffer = Buffer.alloc(16)
  const read = ring.read(reader, buffer)
  read.catch(() => {})
  ring.flush()
  closeSync(ring.ring.fd)
  writeSync(writer, 'late')
  await sleep(50)
  planted = ring
  return { wroteAfterwards: buffer.toString('utf8', 0, 4) === 'late' }
}

await program({ stale, closeInFlight, dropped, plantedCloseFdOnly }, ['plantedCloseFdOnly'])
// Its fd is gone, so nothing can clean up after the planted bug any more: leave without trying.
if (planted) process.exit(0)
