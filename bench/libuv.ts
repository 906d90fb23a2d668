// Living with libuv: what Node's own work costs while a ring operation is pending, against the same work without one.
// Flow: main.ts → this → ringcore (a poll that never ends), node's timers, thread pool, sockets, workers, children, signals.
// Both run in one process, in turns. "without" has the ring, but nothing in flight: it then costs nothing and holds nothing.

import { spawn } from 'node:child_process'
import { pbkdf2 } from 'node:crypto'
import { once } from 'node:events'
import { stat } from 'node:fs/promises'
import net, { type AddressInfo } from 'node:net'
import { promisify } from 'node:util'
import { Worker } from 'node:worker_threads'
import { Uring } from 'ringcore'
import type { Bench, Case, Context, Sample } from './harness.ts'
import { timed } from './harness.ts'

const PENDING = 'with a ring operation pending'
const WITHOUT = 'without'
const SLOWEST_RUN_MS = 30_000

interface Activity {
  name: string
  ops: number
  work: (ops: number) => Promise<void>
  close?: () => unknown
}

async function timersStorm(ops: number): Promise<void> {
  await Promise.all(
    Array.from({ length: ops }, (_, i) => new Promise((resolve) => setTimeout(resolve, 1 + (i % 50)))),
  )
}

async function timersChain(ops: number): Promise<void> {
  for (let i = 0; i < ops; i++) await new Promise((resolve) => setTimeout(resolve, 1))
}

async function immediates(ops: number): Promise<void> {
  for (let i = 0; i < ops; i++) await new Promise((resolve) => setImmediate(resolve))
}

async function stats(ops: number): Promise<void> {
  for (let i = 0; i < ops; i++) await stat('/')
}

async function statsAtOnce(ops: number): Promise<void> {
  const lane = async (): Promise<void> => stats(ops / 16)
  await Promise.all(Array.from({ length: 16 }, lane))
}

const hash = promisify(pbkdf2)

async function hashes(ops: number): Promise<void> {
  const lane = async (): Promise<void> => {
    for (let i = 0; i < ops / 4; i++) await hash('password', 'salt', 500, 32, 'sha256')
  }
  await Promise.all([lane(), lane(), lane(), lane()])
}

/** A connection whose other end sends everything back. */
async function pingPong(ops: number): Promise<Activity> {
  const server = net.createServer((socket) => socket.setNoDelay().pipe(socket))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const socket = net.connect((server.address() as AddressInfo).port, '127.0.0.1').setNoDelay()
  await once(socket, 'connect')
  const ping = Buffer.from('ping')
  const work = (count: number): Promise<void> =>
    new Promise((resolve) => {
      let left = count
      socket.on('data', function pong() {
        if (--left > 0) socket.write(ping)
        else {
          socket.off('data', pong)
          resolve()
        }
      })
      socket.write(ping)
    })
  return {
    name: 'node:net ping-pong',
    ops,
    work,
    close: async () => {
      socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

async function workerMessages(ops: number): Promise<Activity> {
  const source = `const { parentPort } = require('node:worker_threads'); parentPort.on('message', (m) => parentPort.postMessage(m))`
  const worker = new Worker(source, { eval: true })
  await once(worker, 'online')
  const work = (count: number): Promise<void> =>
    new Promise((resolve) => {
      let left = count
      worker.on('message', function answered(message) {
        if (--left > 0) worker.postMessage(message)
        else {
          worker.off('message', answered)
          resolve()
        }
      })
      worker.postMessage('ping')
    })
  return { name: 'worker messages', ops, work, close: () => worker.terminate() }
}

async function children(ops: number): Promise<void> {
  for (let i = 0; i < ops; i++) {
    const child = spawn('/bin/sh', ['-c', 'echo hello'], { stdio: ['ignore', 'pipe', 'ignore'] })
    let text = ''
    child.stdout.on('data', (bytes) => {
      text += bytes
    })
    await once(child, 'close')
    if (text !== 'hello\n') throw new Error(`the child said ${JSON.stringify(text)}`)
  }
}

function signals(ops: number): Promise<void> {
  return new Promise((resolve) => {
    let left = ops
    process.on('SIGUSR2', function caught() {
      if (--left > 0) process.kill(process.pid, 'SIGUSR2')
      else {
        process.off('SIGUSR2', caught)
        resolve()
      }
    })
    process.kill(process.pid, 'SIGUSR2')
  })
}

/** Rejects when Node's work does not end: something then waits for a wake-up that never comes. */
async function withoutHanging(name: string, work: () => Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${name} hangs`)), SLOWEST_RUN_MS)
  })
  try {
    await Promise.race([work(), late])
  } finally {
    clearTimeout(timer)
  }
}

function caseOf(ring: Uring, { name, ops, work, close }: Activity, repeat: number): Case {
  const run = async (): Promise<Sample> => timed(ops, () => withoutHanging(name, () => work(ops)))
  const runPending = async (): Promise<Sample> => {
    const end = new AbortController()
    const pending = ring.timeout(3_600_000, { signal: end.signal })
    pending.catch(() => {})
    // In flight, and the loop has settled down, before the clock starts.
    ring.flush()
    await new Promise((resolve) => setImmediate(resolve))
    try {
      return await run()
    } finally {
      end.abort()
      await pending.catch(() => {})
    }
  }
  const plan: Case = {
    name,
    unit: 'µs',
    // Short runs, and a narrow target: more of them.
    repeat,
    subjects: [
      { name: PENDING, run: runPending },
      { name: WITHOUT, run },
    ],
    targets: [{ kind: 'slowdown', against: WITHOUT, of: 'time', atMost: 1.15 }],
  }
  if (close !== undefined)
    plan.close = async () => {
      await close()
    }
  return plan
}

export const libuv: Bench = {
  name: 'libuv',
  about: "Node's own work while a ring operation is pending, against the same work without one",
  async *cases(context: Context) {
    const ring = new Uring()
    const repeat = context.amount(25, 3)
    const simple: Activity[] = [
      { name: 'timers, all at once', ops: context.amount(20_000, 2000), work: timersStorm },
      { name: 'timers, one after another', ops: context.amount(200, 20), work: timersChain },
      { name: 'setImmediate', ops: context.amount(100_000, 5000), work: immediates },
      { name: 'fs.stat, one after another', ops: context.amount(4000, 200), work: stats },
      { name: 'fs.stat, 16 at once', ops: context.amount(16_000, 800), work: statsAtOnce },
      { name: 'crypto.pbkdf2, 4 at once', ops: context.amount(400, 40), work: hashes },
      { name: 'child processes', ops: context.amount(40, 5), work: children },
      { name: 'signals', ops: context.amount(2000, 100), work: signals },
    ]
    for (const activity of simple) if (context.wants(activity.name)) yield caseOf(ring, activity, repeat)
    if (context.wants('node:net ping-pong'))
      yield caseOf(ring, await pingPong(context.amount(10_000, 500)), repeat)
    if (context.wants('worker messages'))
      yield caseOf(ring, await workerMessages(context.amount(10_000, 500)), repeat)
    await ring.close()
  },
}
