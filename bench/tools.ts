// What several benches need: C peers compiled on the spot, programs of the system, child processes, files to read.
// Flow: benches → this.

import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, constants, existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Sample } from './harness.ts'

/** The repository's root: this file runs as build/bench/tools.js. */
export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

/** Where a program is, or undefined. */
export function findProgram(name: string): string | undefined {
  for (const directory of (process.env.PATH ?? '').split(delimiter)) {
    const path = join(directory, name)
    try {
      accessSync(path, constants.X_OK)
      return path
    } catch {
      // Not in this directory.
    }
  }
  return undefined
}

/** Compiles bench/c/<name>.c, against the system's liburing unless told otherwise; the reason when that can't be. */
export function compilePeer(name: string, libraries = ['-luring']): { program: string } | { reason: string } {
  const [compiler, ...own] = (process.env.CC || 'cc').trim().split(/\s+/) as [string, ...string[]]
  const source = join(root, 'bench', 'c', `${name}.c`)
  const program = join(root, 'build', 'bench', 'c', name)
  if (existsSync(program) && statSync(program).mtimeMs > statSync(source).mtimeMs) return { program }
  mkdirSync(dirname(program), { recursive: true })
  const args = [...own, '-O2', '-o', program, source, ...libraries]
  const { error, status, stderr } = spawnSync(compiler, args, { encoding: 'utf8' })
  if (error) return { reason: `no C compiler (${compiler}): install build-essential` }
  if (status === 0) return { program }
  const noLibrary = /liburing\.h|-luring/.test(stderr)
  return { reason: noLibrary ? 'no liburing: install liburing-dev' : `it does not compile: ${stderr.trim()}` }
}

/** Runs a C peer, which prints "<operations> <wall nanoseconds> <CPU nanoseconds>". */
export function runPeer(program: string, args: (string | number)[]): Sample {
  const text = execFileSync(program, args.map(String), { encoding: 'utf8', timeout: 120_000 })
  const [ops, wall, cpu] = text.trim().split(/\s+/).map(Number)
  if (!ops || !wall || cpu === undefined) throw new Error(`${program} printed ${JSON.stringify(text)}`)
  return { ops, seconds: wall / 1e9, cpuSeconds: cpu / 1e9 }
}

const FILE_SYSTEMS: Record<number, string> = {
  61267: 'ext4',
  16914836: 'tmpfs',
  2435016766: 'btrfs',
  1481003842: 'xfs',
  2035054128: 'overlayfs',
}

/** The name of a directory's file system. */
export async function fileSystemOf(directory: string): Promise<string> {
  const { statfs } = await import('node:fs/promises')
  const { type } = await statfs(directory)
  return FILE_SYSTEMS[type] ?? `file system 0x${type.toString(16)}`
}

/** Makes a file of `bytes` bytes that are not zero, and no two pages of it alike. */
export function makeFile(path: string, bytes: number): void {
  const content = Buffer.allocUnsafe(bytes)
  const words = new Uint32Array(content.buffer, content.byteOffset, bytes >> 2)
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i + 1, 2654435761)
  content.fill(7, words.length * 4)
  writeFileSync(path, content)
}

/** Pseudo-random numbers that are the same in every run: each subject reads the same places. */
export function* numbers(seed = 1): Generator<number, never> {
  let state = seed >>> 0
  for (;;) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    yield state / 4294967296
  }
}

/** Runs `start` for every index below `count`, `inFlight` at a time. */
export async function atATime(
  inFlight: number,
  count: number,
  start: (index: number, lane: number) => Promise<unknown>,
): Promise<void> {
  let next = 0
  const lane = async (_: unknown, number: number): Promise<void> => {
    while (next < count) await start(next++, number)
  }
  await Promise.all(Array.from({ length: Math.min(inFlight, count) }, lane))
}

/** A child of ours: a script of this directory that answers messages one by one. */
export class Helper {
  readonly child: ChildProcess
  readonly #script: string

  constructor(child: ChildProcess, script: string) {
    this.child = child
    this.#script = script
  }

  /**
   * Starts build/bench/<script>.js; with `cpu` and where taskset is, on that CPU alone.
   * @returns the helper and its first message
   */
  static async start(
    script: string,
    args: string[],
    cpu?: number,
  ): Promise<{ helper: Helper; hello: Record<string, unknown> }> {
    const taskset = cpu === undefined ? undefined : findProgram('taskset')
    const pin = taskset === undefined ? [] : [taskset, '-c', String(cpu)]
    const command = [...pin, process.execPath, join(root, 'build', 'bench', `${script}.js`), ...args]
    const child = spawn(command[0]!, command.slice(1), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    const helper = new Helper(child, script)
    return { helper, hello: await helper.#answer() }
  }

  async #answer(): Promise<Record<string, unknown>> {
    const ended = new AbortController()
    const failed = once(this.child, 'exit', { signal: ended.signal }).then(([code, signal]) => {
      throw new Error(`bench/${this.#script} ended with ${code ?? signal} before it answered`)
    })
    failed.catch(() => {})
    try {
      const [message] = (await Promise.race([
        once(this.child, 'message', { signal: ended.signal }),
        failed,
      ])) as [Record<string, unknown>]
      return message
    } finally {
      ended.abort()
    }
  }

  async ask(message: Record<string, unknown>): Promise<Record<string, unknown>> {
    const answer = this.#answer()
    this.child.send(message)
    return answer
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return
    const exited = once(this.child, 'exit')
    this.child.kill('SIGTERM')
    await exited
  }
}
