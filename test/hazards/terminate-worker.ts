// A thread with I/O in flight on every kind of ring, made to be terminated; and a victim that watches its own buffers meanwhile.
// Flow: threads.ts → this (a worker thread) → Uring.

import { parentPort, workerData } from 'node:worker_threads'
import { Uring } from 'ringcore'
import { RINGS } from './rings.js'

/** What the thread is told: the descriptors to read from, and what to be doing when its end comes. */
export interface Work {
  kinds: string[]
  pipes: number[]
  sockets: number[]
  /** A file of a slow disk, or ''. */
  slowFd: number
  phase: 'waiting' | 'not submitted' | 'submitting' | 'settling'
}

const VICTIM = 0xaa
const SIZES = [600, 4096, 65536, 200_000]
const { kinds, pipes, sockets, slowFd, phase } = workerData as Work

// Born right after another thread died, so these get the memory that was its.
const victims = SIZES.flatMap((bytes) => Array.from({ length: 12 }, () => Buffer.alloc(bytes, VICTIM)))
const untouched = SIZES.map((bytes) => Buffer.alloc(bytes, VICTIM))
parentPort!.on('message', (order: 'check' | 'go') => {
  if (order === 'go') return go()
  const changed = victims.filter((victim) => !victim.equals(untouched[SIZES.indexOf(victim.length)]!))
  parentPort!.postMessage({ changed: changed.length })
})
parentPort!.postMessage('ready')

function begin(ring: Uring): void {
  const read = (fd: number, bytes: number, position = -1): void => {
    ring.read(fd, Buffer.alloc(bytes), { position }).catch(() => {})
  }
  for (const [i, fd] of pipes.entries()) read(fd, SIZES[i % SIZES.length]!)
  for (const [i, fd] of sockets.entries())
    ring.recv(fd, Buffer.alloc(SIZES[i % SIZES.length]!)).catch(() => {})
  if (slowFd >= 0) for (let i = 0; i < 4; i++) read(slowFd, 16384, i * 16384)
  if (pipes.length > 0) {
    const [fd] = pipes as [number]
    ring
      .pollMultishot(fd, 1)
      .next()
      .catch(() => {})
    ring
      .timeoutMultishot(1)
      .next()
      .catch(() => {})
    ring.readv(fd, [Buffer.alloc(600), Buffer.alloc(4096)], { sqeFlags: 16 }).catch(() => {})
    ring.read(fd, Buffer.alloc(4096), { timeout: 60_000 }).catch(() => {})
  }
}

/** Comes to work, and is then terminated. */
function go(): void {
  const rings = kinds.map((kind) => new Uring(RINGS[kind]))
  for (const ring of rings) begin(ring)
  if (phase !== 'not submitted') for (const ring of rings) ring.flush()
  parentPort!.postMessage('at work')
  if (phase === 'settling') for (const ring of rings) settleForEver(ring)
  if (phase === 'waiting' || phase === 'settling') return
  // Busy until the end, so that what is queued does not go down by itself.
  for (const end = Date.now() + 10_000; Date.now() < end; ) {
    if (phase === 'not submitted') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
    else for (const ring of rings) submitMore(ring)
  }
}

function submitMore(ring: Uring): void {
  if (ring.stats().inFlight > 500) return
  for (const fd of pipes) ring.read(fd, Buffer.alloc(4096)).catch(() => {})
  ring.flush()
}

/** Keeps JavaScript busy with completions: the end comes in the middle of a callback. */
function settleForEver(ring: Uring): void {
  for (let lane = 0; lane < 16; lane++) {
    void (async () => {
      for (let i = 1; ; i++) await (i % 40 ? ring.nop() : ring.timeout(0.05))
    })()
  }
}
