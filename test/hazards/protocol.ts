// Programs about the ring's protocol under disturbance: enter that fails, signals, callbacks that misbehave, the end of the process.
// Flow: test/80.hazards.protocol.test.ts → common.ts runProgram (some under strace) → this → Uring.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { closeSync, openSync, readSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { Multishot, Uring, type UringOptions } from 'ringcore'
import { IORING_OP_POLL_ADD, IOSQE_ASYNC, POLLIN } from 'ringcore/sys'
import { prepPollMultishot } from '#src/op/index.js'
import type { Engine } from '#src/runtime/engine.js'
import type { MultishotKind } from '#src/runtime/multishot.js'
import { assertIdle, closeAll, collect, type Json, program, rawPipe, times, watch } from './common.js'

/** Errors that nobody caught, as messages; from now on they do not end the process. */
function uncaught(): string[] {
  const messages: string[] = []
  process.on('uncaughtException', (error: NodeJS.ErrnoException) =>
    messages.push(error.code ?? error.message),
  )
  return messages
}

/** A file whose byte at each position tells the position. */
function patternFile(): { fd: number; expected: (position: number) => number; remove: () => void } {
  const path = join(tmpdir(), `ringcore-pattern-${process.pid}`)
  const expected = (position: number): number => (position * 7 + (position >> 8)) & 0xff
  writeFileSync(
    path,
    Uint8Array.from({ length: 65536 }, (_, i) => expected(i)),
  )
  const fd = openSync(path, 'r')
  const remove = (): void => {
    closeSync(fd)
    rmSync(path)
  }
  return { fd, expected, remove }
}

/** Case 44: runs under strace, which makes some calls of enter fail. Every operation must run once or not at all. */
async function injected(options: UringOptions): Promise<Json> {
  const messages = uncaught()
  const file = patternFile()
  const [reader, writer] = rawPipe()
  const ring = new Uring({ ...options, entries: 32 })
  const watched = watch(ring)
  const codes: Record<string, number> = {}
  const started = performance.now()
  let written = 0
  const count = async (operation: Promise<unknown>): Promise<boolean> => {
    const code = await operation.then(
      () => 'fine',
      (error: NodeJS.ErrnoException) => String(error.code),
    )
    codes[code] = (codes[code] ?? 0) + 1
    return code === 'fine'
  }
  for (let round = 0; round < 6; round++) {
    const operations: Promise<unknown>[] = []
    for (let i = 0; i < 60; i++) {
      const position = (round * 977 + i * 131) % 60_000
      const buffer = Buffer.alloc(700)
      const sqeFlags = i % 5 === 0 ? IOSQE_ASYNC : 0
      const read = count(ring.read(file.fd, buffer, { position, sqeFlags })).then((fine) => {
        if (fine)
          assert.ok(
            buffer.every((byte, k) => byte === file.expected(position + k)),
            'wrong bytes',
          )
      })
      const write = count(ring.write(writer, Buffer.from('1'), { sqeFlags })).then((fine) => {
        if (fine) written++
      })
      operations.push(read, write)
    }
    operations.push(count(ring.timeout(1)), count(ring.nop()))
    collect(1)
    await Promise.all(operations)
  }
  const controller = new AbortController()
  const [idle, unused] = rawPipe()
  const aborted = count(ring.read(idle, Buffer.alloc(8), { signal: controller.signal }))
  ring.read(idle, Buffer.alloc(8)).catch(() => {})
  setTimeout(() => controller.abort(), 5)
  await aborted
  const { strays } = ring.stats()
  await ring.close()
  const ms = Math.round(performance.now() - started)
  const seen = Buffer.alloc(4096)
  const arrived = written === 0 ? 0 : readSync(reader, seen)
  file.remove()
  closeAll([reader, writer, idle, unused])
  return { codes, written, arrived, strays, efaults: watched.efaults, messages, ms }
}

/** A thread that sends its process some thousand signals a second. */
const SENDER = `
  const never = new Int32Array(new SharedArrayBuffer(4))
  for (;;) {
    Atomics.wait(never, 0, 0, 0.2)
    process.kill(process.pid, 'SIGUSR2')
  }`

/** Case 45: signals and dying children all the time. */
async function storm(options: UringOptions, argument: string): Promise<Json> {
  const total = Number(argument)
  let signals = 0
  process.on('SIGUSR2', () => signals++)
  const sender = new Worker(SENDER, { eval: true })
  let children = 0
  let stopped = false
  const spawning = (async () => {
    while (!stopped) {
      await new Promise((resolve) => spawn('true', { stdio: 'ignore' }).once('close', resolve))
      children++
    }
  })()
  const file = patternFile()
  const ring = new Uring(options)
  const watched = watch(ring)
  let done = 0
  await Promise.all(
    Array.from({ length: 128 }, async (_, lane) => {
      const buffer = Buffer.alloc(64)
      while (done < total) {
        const position = (done * 31 + lane) % 65_000
        done++
        if (done % 97 === 0) await ring.timeout(0.1)
        else if (done % 3) assert.equal(await ring.nop(), 0)
        else {
          assert.equal(await ring.read(file.fd, buffer, { position }), 64)
          assert.ok(
            buffer.every((byte, k) => byte === file.expected(position + k)),
            'wrong bytes',
          )
        }
      }
    }),
  )
  stopped = true
  await Promise.all([spawning, sender.terminate()])
  file.remove()
  await assertIdle(ring, watched)
  process.removeAllListeners('SIGUSR2')
  return { done, signals, children }
}

/** A multishot poll whose items come from `item`. */
function pollKind(fd: number, item: MultishotKind<number>['item']): MultishotKind<number> {
  return {
    syscall: 'poll',
    arm: (engine: Engine) => {
      const slot = engine.begin(IORING_OP_POLL_ADD, undefined)
      if (slot !== null) prepPollMultishot(slot.sqe, fd, POLLIN)
      return slot
    },
    item,
    discard: () => {},
  }
}

/** Case 47: a consumer that throws in the middle of a batch. */
async function throwing(options: UringOptions): Promise<Json> {
  const messages = uncaught()
  const ring = new Uring(options)
  const watched = watch(ring)
  const [reader, writer] = rawPipe()
  let calls = 0
  const polls = new Multishot(
    ring.engine,
    pollKind(reader, (events) => {
      if (calls++ === 0) throw new Error('thrown by a consumer')
      return events
    }),
  )
  const first = polls.next().then(
    () => 'an item',
    (error: Error) => error.message,
  )
  await ring.nop()
  // The poll's completion comes amid those of the nops.
  const nops = Array.from({ length: 50 }, () => ring.nop())
  const write = ring.write(writer, Buffer.from('x'))
  const more = Array.from({ length: 50 }, () => ring.nop())
  assert.deepEqual(await Promise.all([...nops, ...more]), Array(100).fill(0))
  assert.equal(await write, 1)
  await sleep(5)
  const waits = await Promise.race([first, sleep(300, 'nothing')])
  await polls.return()
  closeAll([reader, writer])
  await assertIdle(ring, watched)
  return { calls, waits: waits as string, messages }
}

/** Case 47: a consumer that ends the ring, or drains it, from inside a batch. */
async function reentrant(options: UringOptions, what: string): Promise<Json> {
  const messages = uncaught()
  const ring = new Uring(options)
  const watched = watch(ring)
  const [reader, writer] = rawPipe()
  const [idle, unused] = rawPipe()
  let closed: Promise<void> | undefined
  const polls = new Multishot(
    ring.engine,
    pollKind(reader, (events) => {
      if (what === 'close') closed ??= ring.close()
      else if (what === 'flushSync') ring.flushSync()
      else if (what === 'submit') for (let i = 0; i < 2000; i++) extra.push(ring.nop())
      else ring.flush()
      return events
    }),
  )
  const extra: Promise<unknown>[] = []
  if (what === 'flushSync') await polls.return() // it waits for all that is in flight, so nothing may be endless
  const item = polls.next()
  item.catch(() => {})
  await ring.nop()
  const operations: Promise<unknown>[] = Array.from({ length: 50 }, () => ring.nop())
  operations.push(ring.write(writer, Buffer.from('x')))
  operations.push(...Array.from({ length: 50 }, () => ring.nop()))
  if (what === 'flushSync') operations[10]!.then(() => ring.flushSync())
  else ring.read(idle, Buffer.alloc(8)).catch(() => {})
  const ends = await Promise.allSettled(operations)
  const codes: Record<string, number> = {}
  for (const end of [...ends, ...(await Promise.allSettled(extra))]) {
    const code = end.status === 'fulfilled' ? 'fine' : String(end.reason.code)
    codes[code] = (codes[code] ?? 0) + 1
  }
  await polls.return()
  await (closed ?? ring.close())
  assert.deepEqual([ring.stats().inFlight, ring.stats().strays, watched.efaults], [0, 0, 0])
  closeAll([reader, writer, idle, unused])
  return { codes, messages }
}

/** Case 68: what waiting costs. */
async function idleCost(options: UringOptions, what: string): Promise<Json> {
  const ring = new Uring(options)
  const [reader, writer] = rawPipe()
  await ring.nop()
  if (what === 'pending') ring.read(reader, Buffer.alloc(8)).catch(() => {})
  await sleep(50)
  const before = process.cpuUsage()
  const started = performance.now()
  let ticks = 0
  const timer = setInterval(() => ticks++, 50)
  await sleep(500)
  clearInterval(timer)
  const { user, system } = process.cpuUsage(before)
  const wallMs = performance.now() - started
  writeSync(writer, 'x')
  const woken = performance.now()
  if (what === 'pending') while (ring.stats().inFlight > 0 && performance.now() - woken < 1000) await sleep(1)
  const wokenMs = performance.now() - woken
  closeAll([reader, writer])
  await assertIdle(ring)
  return { cpu: (user + system) / 1000 / wallMs, ticks, wokenMs }
}

await program({
  injected,
  storm: (options, total) => storm(options, total || String(times(100_000, 1_000_000))),
  throwing,
  reentrant,
  idleCost,
})
