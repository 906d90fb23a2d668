// Compiles the C programs of test/tools and starts the ones that tests share.
// Flow: test files → this → cc → build/tools/.
// A tool that can't be had here (no compiler, no libc headers, no /dev/fuse) is a reason to skip, never a failure.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { root } from './helpers.js'

/** What compileTool gives: the path of the program, or why there is none. */
export type Tool = string | { skip: string }

const FLAGS: Readonly<Record<string, readonly string[]>> = {
  'guard-malloc': ['-shared', '-fPIC', '-ldl'],
  badfs: ['-pthread'],
}

/**
 * Compiles test/tools/<name>.c into build/tools unless an up-to-date program is there.
 * Test files run side by side: each compiles into a file of its own and renames it, so that nobody runs half a program.
 */
export function compileTool(name: string, extraFlags: readonly string[] = []): Tool {
  const source = join(root, 'test', 'tools', `${name}.c`)
  const flags = [
    '-std=gnu11',
    '-O1',
    '-g',
    '-Wall',
    '-Wextra',
    '-Werror',
    ...(FLAGS[name] ?? []),
    ...extraFlags,
  ]
  const compiler = process.env.CC || 'cc'
  const variant = createHash('sha256')
    .update([compiler, ...flags].join(' '))
    .digest('hex')
    .slice(0, 8)
  const target = join(root, 'build', 'tools', `${name}-${variant}${flags.includes('-shared') ? '.so' : ''}`)
  if (existsSync(target) && statSync(target).mtimeMs >= statSync(source).mtimeMs) return target

  mkdirSync(join(root, 'build', 'tools'), { recursive: true })
  const fresh = `${target}.${process.pid}`
  const [command, ...compilerArgs] = compiler.split(/\s+/)
  // Libraries come after the source that needs them.
  const [libraries, options] = [
    flags.filter((f) => f.startsWith('-l')),
    flags.filter((f) => !f.startsWith('-l')),
  ]
  const args = [...compilerArgs, ...options, '-o', fresh, source, ...libraries]
  const { error, status, stderr } = spawnSync(command!, args, { encoding: 'utf8' })
  if (error) return { skip: `needs a C compiler for ${name} (${command}: ${error.message})` }
  if (status !== 0) {
    rmSync(fresh, { force: true })
    return {
      skip: `${name} does not compile here: ${stderr.split('\n').find((line) => line.includes('error')) ?? stderr}`,
    }
  }
  renameSync(fresh, target)
  return target
}

/** Faults of badfs, see test/tools/badfs.c. Times in milliseconds, errors as positive errno. */
export type Faults = Partial<
  Record<
    | 'rdelay'
    | 'wdelay'
    | 'sdelay'
    | 'rerr'
    | 'werr'
    | 'fsyncerr'
    | 'flusherr'
    | 'rshort'
    | 'wshort'
    | 'direct',
    number
  >
>

export interface BadFs {
  /** The one file that it has. */
  readonly file: string
  /** Replaces all faults; takes effect with the next request. */
  set(faults: Faults): void
  /** Unmounts; runs by itself at the end of the test. */
  stop(): Promise<void>
}

/** Mounts the bad file system for one test; its file holds `sizeBytes` bytes of 0x55. */
export async function mountBadFs(
  t: TestContext,
  sizeBytes: number,
  faults: Faults = {},
): Promise<BadFs | { skip: string }> {
  const program = compileTool('badfs')
  if (typeof program !== 'string') return program
  if (process.getuid?.() !== 0) return { skip: 'needs root to mount a file system' }
  if (!existsSync('/dev/fuse')) return { skip: 'needs /dev/fuse' }

  const dir = mkdtempSync(join(tmpdir(), 'ringcore-badfs-'))
  const mountpoint = join(dir, 'mnt')
  const set = (next: Faults): void => {
    // One rename, so that no request sees half a list.
    const words = Object.entries(next).map(([name, value]) => `${name}=${value}`)
    writeFileSync(`${mountpoint}.new`, `${words.join(' ')}\n`)
    renameSync(`${mountpoint}.new`, `${mountpoint}.ctl`)
  }
  set(faults)
  const child = spawn(program, [mountpoint, String(sizeBytes)], { stdio: ['ignore', 'pipe', 'pipe'] })
  const problem = await started(child)
  let stopped: Promise<void> | undefined
  const stop = (): Promise<void> => {
    stopped ??= (async () => {
      if (child.exitCode === null && child.signalCode === null) {
        const ended = new Promise((resolve) => child.once('close', resolve))
        child.kill('SIGTERM')
        await ended
      }
      rmSync(dir, { recursive: true, force: true })
    })()
    return stopped
  }
  if (problem !== undefined) {
    await stop()
    return { skip: `badfs does not start here: ${problem}` }
  }
  t.after(stop)
  return { file: join(mountpoint, 'f'), set, stop }
}

/** Waits for "ready"; returns what went wrong instead, if anything. */
function started(child: ChildProcess): Promise<string | undefined> {
  return new Promise((resolve) => {
    let errors = ''
    child.stderr?.on('data', (chunk) => {
      errors += chunk
    })
    child.stdout?.once('data', () => resolve(undefined))
    child.once('error', (error) => resolve(error.message))
    child.once('close', (code) => resolve(errors.trim() || `exit code ${code}`))
  })
}
