// What every test uses: the epilogue that finds leaks, skips with a reason, child processes, descriptors that close themselves.
// Flow: test files → this → the package's public doors.

import assert from 'node:assert/strict'
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { closeSync, existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import type { Readable } from 'node:stream'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Uring, type UringOptions } from 'ringcore'
import { probe } from '#src/ring/probe.js'
import { openDriver } from '#src/sys/open-driver.js'
import { syscallNumber } from '#src/sys/syscalls.js'

/** The repository's root: this file runs as build/test/helpers.js. */
export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

// ---------------------------------------------------------------- the epilogue

/**
 * Ends the test with the question whether anything is left: file descriptors, rings, mappings of rings.
 *
 * Call it first. Everything the test hands to `t.after` from then on runs before the question, last in first out, so that
 * what was opened last is closed first. A descriptor that is gone although the test did not open it is a failure too.
 * @param patienceMs how long it asks: closing is asynchronous in libuv and in the kernel, and finalizers wait for the collector
 */
export function oracle(t: TestContext, patienceMs = 2000): void {
  warmUp()
  const before = snapshot()
  const cleanups: (() => unknown)[] = []
  const after = t.after.bind(t)
  t.after = (cleanup?: unknown) => {
    if (typeof cleanup === 'function') cleanups.push(() => cleanup(t))
  }
  after(async () => {
    const errors: unknown[] = []
    for (const cleanup of cleanups.reverse()) {
      try {
        await cleanup()
      } catch (error) {
        errors.push(error)
      }
    }
    if (errors.length > 0) throw errors[0]
    await nothingLeft(before, patienceMs)
  })
}

interface Snapshot {
  /** "fd → target" of every descriptor. */
  fds: string[]
  /** Lines of /proc/self/maps that map a ring. */
  maps: string[]
}

let isWarm = false

/**
 * What node itself opens once and keeps must not look like a leak: libuv's signal pipe comes with the first signal handler, and a
 * /dev/null, its reserve for EMFILE, with the first stream. That is mostly the runner's pipe, but it may come after a test began.
 */
function warmUp(): void {
  if (isWarm) return
  isWarm = true
  const nothing = (): void => {}
  process.on('SIGUSR2', nothing)
  process.off('SIGUSR2', nothing)
  createServer().listen(`\0ringcore-test-${process.pid}`).close()
}

function snapshot(): Snapshot {
  const fds: string[] = []
  for (const fd of readdirSync('/proc/self/fd')) {
    try {
      fds.push(`${fd} → ${readlinkSync(`/proc/self/fd/${fd}`)}`)
    } catch {
      // The descriptor of this very listing.
    }
  }
  const maps = readFileSync('/proc/self/maps', 'utf8')
    .split('\n')
    .filter((line) => line.includes('io_uring'))
  return { fds, maps }
}

async function nothingLeft(before: Snapshot, patienceMs: number): Promise<void> {
  const deadline = Date.now() + patienceMs
  for (;;) {
    const now = snapshot()
    const left = {
      fds: now.fds.filter((fd) => !before.fds.includes(fd)),
      maps: now.maps.filter((line) => !before.maps.includes(line)),
      gone: before.fds.filter((fd) => !now.fds.includes(fd)),
    }
    if (left.fds.length + left.maps.length + left.gone.length === 0) return
    if (Date.now() > deadline) {
      assert.deepEqual(left, { fds: [], maps: [], gone: [] }, 'the test left something behind')
    }
    globalThis.gc?.()
    await sleep(20)
  }
}

/**
 * A ring for one test, which ends with the questions whether anything is in flight on it, whether the kernel sent what
 * nobody waited for, and whether it closes.
 */
export function useRing(t: TestContext, options?: UringOptions): Uring {
  const ring = new Uring(options)
  t.after(async () => {
    if (!ring.closed) {
      const idle = (): boolean => ring.stats().inFlight + ring.stats().queued === 0
      await until(idle, 2000, `the ring to be idle: ${JSON.stringify(ring.stats())}`)
    }
    assert.equal(ring.stats().strays, 0, 'CQEs came that named no operation in flight')
    await withTimeout(ring.close(), 10_000, 'the ring to close')
  })
  return ring
}

/** How many descriptors this process has, and how many of them are rings. */
export function countFds(): { all: number; rings: number } {
  const { fds } = snapshot()
  return { all: fds.length, rings: fds.filter((fd) => fd.includes('io_uring')).length }
}

/** Collects garbage until finalizers had their chance to run. */
export async function collectGarbage(times = 4): Promise<void> {
  assert.ok(globalThis.gc, 'start node with --expose-gc')
  for (let i = 0; i < times; i++) {
    globalThis.gc()
    await sleep(1)
  }
}

// ---------------------------------------------------------------- time

/** Rejects when `promise` does not settle in time, and says what did not happen. */
export async function withTimeout<T>(
  promise: Promise<T>,
  ms: number,
  what = 'the promise to settle',
): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${ms} ms for ${what}`)), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/** Waits until `condition` holds. */
export async function until(condition: () => boolean, ms: number, what: string): Promise<void> {
  const deadline = Date.now() + ms
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`waited ${ms} ms for ${what}`)
    await sleep(5)
  }
}

// ---------------------------------------------------------------- what a test needs

/** Skips the test and says why, unless there is no reason. Returns true when the test may go on. */
function skipUnless(t: TestContext, missing: string | undefined): boolean {
  if (missing === undefined) return true
  t.skip(missing)
  return false
}

/** What a test may need; names as in the kernel's header. */
export interface Needs {
  op?: string
  registerOp?: string
  setupFlag?: string
  enterFlag?: string
  feature?: string
  /** From compileTool or mountBadFs: a reason to skip counts as missing. */
  tool?: string | { skip: string } | object
  root?: boolean
  gc?: boolean
  /** A program that has to be in PATH. */
  program?: string
}

/** Goes on only where everything is there: `if (!requires(t, { op: 'IORING_OP_PIPE' })) return`. */
export function requires(t: TestContext, needs: Needs): boolean {
  return skipUnless(t, whatIsMissing(needs))
}

function whatIsMissing({
  op,
  registerOp,
  setupFlag,
  enterFlag,
  feature,
  ...needs
}: Needs): string | undefined {
  const { tool, program } = needs
  if (typeof tool === 'object' && 'skip' in tool) return String(tool.skip)
  if (needs.root && process.getuid?.() !== 0) return 'needs root'
  if (needs.gc && !globalThis.gc) return 'needs node --expose-gc'
  const path = (process.env.PATH ?? '').split(delimiter)
  if (program && !path.some((dir) => existsSync(join(dir, program)))) return `needs ${program}`
  const names = [op, registerOp, setupFlag, enterFlag, feature].filter((name) => name !== undefined)
  if (names.length === 0) return undefined
  const { kernel, opcodes, registerOps, setupFlags, enterFlags, features } = probe()
  const known = { ...opcodes, ...registerOps, ...setupFlags, ...enterFlags, ...features }
  for (const name of names) assert.ok(name in known, `no such name: ${name}`)
  const missing = names.filter((name) => !known[name])
  return missing.length === 0 ? undefined : `needs ${missing.join(', ')}, which Linux ${kernel} lacks`
}

/** Goes on only where this Node is at least `version` ("22.4"), and says so where it is not. */
export function onlyNodes(t: TestContext, version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [ownMajor = 0, ownMinor = 0] = process.versions.node.split('.').map(Number)
  const isNewEnough = ownMajor > major || (ownMajor === major && ownMinor >= minor)
  return skipUnless(
    t,
    isNewEnough ? undefined : `needs Node ${version} or newer, this is ${process.versions.node}`,
  )
}

// ---------------------------------------------------------------- files and descriptors

/** A directory that disappears with the test. */
export function tempDir(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'ringcore-test-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

/** A descriptor that the test's end closes, unless the test closed it or gave it away. */
export class OwnedFd {
  readonly fd: number
  #open = true

  constructor(t: TestContext, fd: number) {
    this.fd = fd
    t.after(() => this.close())
  }

  close(): void {
    if (!this.#open) return
    this.#open = false
    closeSync(this.fd)
  }

  /** The code under test closes it from now on. */
  release(): number {
    this.#open = false
    return this.fd
  }
}

const O_CLOEXEC = 0o2000000
const AF_UNIX = 1

/** A call that fills in two descriptors; they come back in its order. */
function twoFds(t: TestContext, call: 'pipe2' | 'socketpair', ...args: number[]): [OwnedFd, OwnedFd] {
  const driver = openDriver()
  const fds = new Int32Array(2)
  const nr = syscallNumber(call)
  const address = driver.addressOf(fds)
  const result =
    call === 'pipe2' ? driver.syscall(nr, address, ...args) : driver.syscall(nr, ...args, address)
  assert.equal(result, 0, `${call} failed`)
  return [new OwnedFd(t, fds[0]!), new OwnedFd(t, fds[1]!)]
}

/** pipe2(2): what is written to `writer` can be read from `reader`. */
export function pipe(t: TestContext): { reader: OwnedFd; writer: OwnedFd } {
  const [reader, writer] = twoFds(t, 'pipe2', O_CLOEXEC)
  return { reader, writer }
}

/** socketpair(2): two connected Unix sockets, blocking; `type` 1 is a stream, 2 datagrams. */
export function socketPair(t: TestContext, type: 1 | 2 = 1): [OwnedFd, OwnedFd] {
  return twoFds(t, 'socketpair', AF_UNIX, type | O_CLOEXEC, 0)
}

// ---------------------------------------------------------------- child processes

/** Programs get the package as its users do: from dist/bundle, not as the modules that tests look into. */
export const AS_INSTALLED = {
  NODE_OPTIONS: (process.env.NODE_OPTIONS ?? '').replace('--conditions=modules', '').trim(),
}

export interface RunOptions {
  /** Options of node itself. */
  nodeArgs?: readonly string[]
  /** Arguments of the script. */
  args?: readonly string[]
  env?: NodeJS.ProcessEnv
  /** A library for LD_PRELOAD. */
  preload?: string
  /** A command that runs node, with its own arguments: [seccompRun, 'ENOSYS', 'setup']. */
  wrap?: readonly string[]
  /** Its fd 0 is a stream that stays open and silent, instead of /dev/null. */
  silentStdin?: boolean
  /** Default 30,000; then the child is killed and the run fails. */
  timeoutMs?: number
}

export interface RunResult {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

/**
 * Runs a script in a process of its own, with this node and this repository's package.
 *
 * A text that imports nothing of '#src/' gets the package as it is installed, which also starts faster.
 * @param script a file that exists, or the text of a module, which may import 'ringcore' and '#src/...'
 * @returns exit code, signal and output; an exit code other than 0 is not an error
 */
export async function runNode(script: string, options: RunOptions = {}): Promise<RunResult> {
  const isFile = !script.includes('\n') && existsSync(script)
  const source = isFile ? [script] : ['--input-type=module', '--eval', script, '--']
  const command = [
    ...(options.wrap ?? []),
    process.execPath,
    ...(options.nodeArgs ?? []),
    ...source,
    ...(options.args ?? []),
  ]
  const installed = isFile || script.includes('#src/') ? {} : AS_INSTALLED
  const env: NodeJS.ProcessEnv = { ...process.env, ...installed, ...options.env }
  // Or the child would report as a part of this test run.
  delete env.NODE_TEST_CONTEXT
  if (options.preload !== undefined) env.LD_PRELOAD = options.preload
  const timeoutMs = options.timeoutMs ?? 30_000

  const child = spawn(command[0]!, command.slice(1), {
    cwd: root,
    env,
    stdio: [options.silentStdin ? 'pipe' : 'ignore', 'pipe', 'pipe'],
  }) as ChildProcessByStdio<null, Readable, Readable>
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      output[name] += text
    })
  }
  let isLate = false
  const timer = setTimeout(() => {
    isLate = true
    child.kill('SIGKILL')
  }, timeoutMs)
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (...ended) => resolve(ended))
  }).finally(() => clearTimeout(timer))
  if (isLate) {
    throw new Error(
      `the child ran for more than ${timeoutMs} ms; it said:\n${output.stdout}\n${output.stderr}`,
    )
  }
  return { code, signal, ...output }
}
