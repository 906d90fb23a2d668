// What the hazard tests share: the kinds of rings, the watch over their completions, and programs that may crash.
// Flow: test/80.hazards.*.test.ts → runProgram → test/hazards/*.ts (child processes) → program → Uring.
//
// A dangerous case runs as a program of its own process: if it crashes, the test fails and names the signal.

import assert from 'node:assert/strict'
import { closeSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Uring, type UringOptions } from 'ringcore'
import { openDriver } from '#src/sys/open-driver.js'
import { syscallNumber } from '#src/sys/syscalls.js'
import { type RunOptions, requires, root, runNode } from '../helpers.js'
import { compileTool } from '../tools.js'
import { RINGS } from './rings.js'

export { DISTINCT_RINGS, RINGS } from './rings.js'

/** RINGCORE_SOAK=1: the long form of every loop. */
export const isSoak = process.env.RINGCORE_SOAK === '1'
export const times = (normal: number, soak: number): number => (isSoak ? soak : normal)

const EFAULT = -14

/** Counts what no completion may ever say: -EFAULT means that the kernel was given memory that was gone. */
export interface Watch {
  readonly efaults: number
}

/** Looks at every batch before the engine does. */
export function watch(ring: Uring): Watch {
  const { engine } = ring
  const onBatch = engine.onBatch.bind(engine)
  const counts = { efaults: 0 }
  engine.onBatch = (count) => {
    const { batch, cqeWords } = engine.ring
    for (let i = 0; i < count; i++) if (batch[i * cqeWords + 2] === EFAULT) counts.efaults++
    onBatch(count)
  }
  return counts
}

/** The end-of-test question to a ring that should be idle; closes it. */
export async function assertIdle(ring: Uring, watched?: Watch): Promise<void> {
  const { inFlight, queued, strays } = ring.stats()
  assert.deepEqual(
    { inFlight, queued, strays, slots: [...ring.engine.slots].length, efaults: watched?.efaults ?? 0 },
    { inFlight: 0, queued: 0, strays: 0, slots: 0, efaults: 0 },
    'the ring is not idle',
  )
  await ring.close()
  assert.equal([...ring.engine.slots].length, 0)
  assert.equal(ring.stats().strays, 0, 'stray completions while closing')
}

/** Makes a ring of a kind for one test body, and asks the question at its end. */
export async function withRing(
  kind: string,
  body: (ring: Uring) => Promise<void>,
  options: UringOptions = {},
): Promise<void> {
  const ring = new Uring({ ...RINGS[kind], ...options })
  const watched = watch(ring)
  try {
    await body(ring)
  } catch (error) {
    await ring.close()
    throw error
  }
  await assertIdle(ring, watched)
}

/** pipe2(2) without an owner: [to read from, to write to]. */
export function rawPipe(): [reader: number, writer: number] {
  return twoFds((address) => openDriver().syscall(syscallNumber('pipe2'), address, 0o2000000))
}

/** socketpair(2) of Unix streams without an owner. */
export function rawSockets(): [number, number] {
  const SOCK_STREAM_CLOEXEC = 0o2000001
  return twoFds((address) =>
    openDriver().syscall(syscallNumber('socketpair'), 1, SOCK_STREAM_CLOEXEC, 0, address),
  )
}

function twoFds(call: (address: number) => number): [number, number] {
  const fds = new Int32Array(2)
  assert.equal(call(openDriver().addressOf(fds)), 0)
  return [fds[0]!, fds[1]!]
}

export function closeAll(fds: Iterable<number>): void {
  for (const fd of fds) closeSync(fd)
}

/** Descriptors of rings in this process. */
export function ringFds(): Set<number> {
  const fds = new Set<number>()
  for (const fd of readdirSync('/proc/self/fd')) {
    try {
      if (readlinkSync(`/proc/self/fd/${fd}`).includes('io_uring')) fds.add(Number(fd))
    } catch {
      // The descriptor of this very listing.
    }
  }
  return fds
}

/** How many descriptors and mappings of rings this process has. */
export function ringsHere(): { fds: number; maps: number } {
  const maps = readFileSync('/proc/self/maps', 'utf8')
    .split('\n')
    .filter((line) => line.includes('io_uring'))
  return { fds: ringFds().size, maps: maps.length }
}

/** Waits until there are no more rings than `before`; at most `ms` milliseconds. Returns what is there in the end. */
export async function ringsGone(before: { fds: number; maps: number }, ms = 2000) {
  const deadline = Date.now() + ms
  for (;;) {
    const now = ringsHere()
    if ((now.fds <= before.fds && now.maps <= before.maps) || Date.now() > deadline) return now
    globalThis.gc?.()
    await sleep(10)
  }
}

/** Case 74 shows that two collections are enough for a buffer that nobody holds to be gone. */
export function collect(count = times(2, 4)): void {
  for (let i = 0; i < count; i++) globalThis.gc!()
}

/** Numbers from 0 to 1 that a seed repeats. */
export function randomizer(seed: number): () => number {
  let state = seed >>> 0 || 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 4294967296
  }
}

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }
export type Cases = Readonly<Record<string, (options: UringOptions, argument: string) => Promise<Json>>>

/** One case of a program, on one kind of ring. */
export interface Run {
  name: string
  kind: string
  argument?: string
}

/**
 * The main of a program: runs the cases that the arguments name, looks after each for rings that are left, and prints the answers.
 * With `leaks` in the answer instead of an exit code, a planted leak can be told from a crash.
 * @param leaky cases that leave a ring on purpose: nobody waits for it to go
 */
export async function program(cases: Cases, leaky: readonly string[] = []): Promise<void> {
  for (const { name, kind, argument = '' } of JSON.parse(process.argv[2]!) as Run[]) {
    const run = cases[name]
    assert.ok(run, `no such case: ${name}`)
    // A crash tells nothing but its signal; this tells where.
    process.stderr.write(`${name} ${argument} (${kind})\n`)
    const before = ringsHere()
    process.env.GUARD_MALLOC = 'now'
    const answer = await run({ ...RINGS[kind] }, argument)
    process.env.GUARD_MALLOC = 'later'
    const left = await ringsGone(before, leaky.includes(name) ? 0 : 2000)
    const leaks = left.fds - before.fds + left.maps - before.maps
    process.stdout.write(`${JSON.stringify({ answer, leaks })}\n`)
  }
}

/** Runs cases of test/hazards/<file>.ts one after the other in one process of their own; a crash fails with the signal's name. */
export async function runPrograms(
  file: string,
  runs: readonly Run[],
  options: RunOptions & { leaks?: boolean } = {},
): Promise<Json[]> {
  const script = join(root, 'build', 'test', 'hazards', `${file}.js`)
  const { leaks = false, ...run } = options
  const ended = await runNode(script, {
    timeoutMs: times(60_000, 1_200_000),
    ...run,
    nodeArgs: ['--expose-gc', ...(run.nodeArgs ?? [])],
    args: [JSON.stringify(runs)],
    env: { ...run.env, GUARD_MALLOC: 'later' },
  })
  const said = `${file} said:\n${ended.stdout}${ended.stderr}`
  assert.deepEqual([ended.code, ended.signal], [0, null], said)
  const results = ended.stdout
    .trimEnd()
    .split('\n')
    .filter((line) => line.startsWith('{"answer":'))
    .map((line) => JSON.parse(line) as { answer: Json; leaks: number })
  assert.equal(results.length, runs.length, said)
  for (const [i, result] of results.entries()) {
    const what = `rings left behind by ${runs[i]!.name} (${runs[i]!.kind}): ${result.leaks}; ${said}`
    assert.equal(result.leaks > 0, leaks, what)
  }
  return results.map(({ answer }) => answer)
}

/** The same for one case. */
export async function runProgram(
  file: string,
  name: string,
  kind: string,
  { argument = '', ...options }: RunOptions & { argument?: string; leaks?: boolean } = {},
): Promise<Json> {
  const [answer] = await runPrograms(file, [{ name, kind, argument }], options)
  return answer!
}

/** A case on each of these kinds of ring. */
export function onEach(kinds: readonly string[], name: string, argument = ''): Run[] {
  return kinds.map((kind) => ({ name, kind, argument }))
}

/** The library to preload so that freed memory can't be used unnoticed; skips the test where it can't be had. */
export function guardAllocator(t: TestContext): string | undefined {
  const tool = compileTool('guard-malloc')
  if (typeof tool === 'string') return tool
  requires(t, { tool })
  return undefined
}
