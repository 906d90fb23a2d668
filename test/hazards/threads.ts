// Programs that end threads with I/O in flight, while others use the memory that becomes free. They may crash.
// Flow: test/80.hazards.threads.test.ts → common.ts runProgram → this → terminate-worker.ts.

import assert from 'node:assert/strict'
import { closeSync, openSync, writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import type { UringOptions } from 'ringcore'
import {
  closeAll,
  DISTINCT_RINGS,
  type Json,
  program,
  rawPipe,
  rawSockets,
  ringFds,
  ringsGone,
  ringsHere,
} from './common.js'
import type { Work } from './terminate-worker.js'

const PAIRS = 4
const RINGS_OF_A_KIND = 4
const KINDS = [...DISTINCT_RINGS, 'waiting in epoll']

function start(work: Work): Worker {
  return new Worker(new URL('./terminate-worker.js', import.meta.url), { workerData: work })
}

function message(worker: Worker): Promise<unknown> {
  return new Promise((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
    worker.once('exit', (code) => reject(new Error(`the thread ended by itself: ${code}`)))
  })
}

async function changedVictims(worker: Worker): Promise<number> {
  const answer = message(worker)
  worker.postMessage('check')
  return ((await answer) as { changed: number }).changed
}

interface Lane {
  corrupted: number
  terminated: number
  slowestMs: number
}

/** A thread's descriptors: what it reads, and what we write to it. */
interface Ends {
  pipes: [number, number][]
  sockets: [number, number][]
}

/** Starts a thread in the memory of one that died, writes what the dead one would still read, and asks the new one. */
async function successor(lane: Lane, work: Work, dead: Ends | null): Promise<Worker> {
  const worker = start(work)
  await message(worker)
  if (dead === null) return worker
  const ends = [...dead.pipes, ...dead.sockets]
  for (const [, writer] of ends) writeSync(writer, Buffer.alloc(16384, 0x77))
  if (work.slowFd >= 0) await sleep(400)
  lane.corrupted += await changedVictims(worker)
  closeAll(ends.flat())
  return worker
}

async function runLane(lane: Lane, rounds: number, first: number, slowFd: number): Promise<void> {
  const phases = ['waiting', 'settling', 'not submitted', 'submitting'] as const
  let dead: Ends | null = null
  for (let i = first; i <= first + rounds; i++) {
    const pipes = Array.from({ length: PAIRS }, rawPipe)
    const sockets = Array.from({ length: PAIRS }, rawSockets)
    const work: Work = {
      kinds: Array.from({ length: RINGS_OF_A_KIND }, () => KINDS).flat(),
      pipes: pipes.map(([reader]) => reader),
      sockets: sockets.map(([own]) => own),
      slowFd,
      phase: slowFd >= 0 ? 'waiting' : phases[i % phases.length]!,
    }
    const worker = await successor(lane, work, dead)
    dead = { pipes, sockets }
    const atWork = message(worker)
    worker.postMessage('go')
    await atWork
    if (i % 8 > 3) await sleep(i % 8)
    const started = performance.now()
    const ended = worker.terminate()
    if (i % 3 === 0) for (const [, writer] of pipes) writeSync(writer, Buffer.alloc(4096, 0x77))
    await ended
    lane.slowestMs = Math.max(lane.slowestMs, performance.now() - started)
    lane.terminated++
  }
  closeAll([...dead!.pipes, ...dead!.sockets].flat())
}

/** Case 27: threads with several rings of every kind each, until `count` rings of each kind were terminated. */
async function terminate(_options: UringOptions, argument: string): Promise<Json> {
  const [count = 0, slowFile = ''] = argument
    .split(',')
    .map((word, i) => (i === 0 ? Number(word) : word)) as [number, string]
  const before = ringsHere()
  const slowFd = slowFile ? openSync(slowFile, 'r') : -1
  const bystander = start({ kinds: [], pipes: [], sockets: [], slowFd: -1, phase: 'waiting' })
  await message(bystander)
  const lane: Lane = { corrupted: 0, terminated: 0, slowestMs: 0 }
  const lanes = slowFile ? 1 : 2
  const rounds = Math.ceil(count / lanes / RINGS_OF_A_KIND)
  await Promise.all(Array.from({ length: lanes }, (_, i) => runLane(lane, rounds - 1, i * 3, slowFd)))
  lane.corrupted += await changedVictims(bystander)
  await bystander.terminate()
  if (slowFd >= 0) closeSync(slowFd)
  const left = await ringsGone(before, 5000)
  assert.deepEqual(left, before, 'rings left behind')
  return { ...lane }
}

/** Case 27 as well: threads that end while they make rings. */
async function terminateMakers(_options: UringOptions, count: string): Promise<Json> {
  const before = ringFds()
  for (let i = 0; i < Number(count); i++) {
    const worker = new Worker(new URL('./making-worker.js', import.meta.url))
    await message(worker)
    await sleep(i % 5)
    assert.equal(await worker.terminate(), 1)
  }
  // A thread that ends between io_uring_setup and attach leaves its fd: nobody knows of it.
  const orphans = [...ringFds()].filter((fd) => !before.has(fd))
  closeAll(orphans)
  return { orphans: orphans.length }
}

await program({ terminate, terminateMakers })
