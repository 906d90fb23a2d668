// One scenario through node:fs/promises and through ringcore/fs: what both say has to be the same.
// Flow: 52.fs-* → this.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import node from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { defaultRing } from 'ringcore'
import fs from 'ringcore/fs'
import { oracle, tempDir, until } from './helpers.js'

export type Fs = typeof node

/** Begins a test of ringcore/fs: its end asks whether the thread's ring is idle, and closes it. */
export function begin(t: TestContext): void {
  oracle(t)
  assert.equal(fs.backend, 'io_uring')
  t.after(async () => {
    const ring = defaultRing()
    // Streams close their handles behind the last event.
    const isIdle = (): boolean => ring.stats().inFlight + ring.stats().queued === 0
    await until(isIdle, 5000, `the ring to be idle: ${JSON.stringify(ring.stats())}`)
    await ring.close()
    assert.equal(ring.stats().strays, 0)
  })
}

/** Runs a scenario through both, each in a directory of its own, and holds what they return against each other. */
export async function same(
  t: TestContext,
  scenario: (fs: Fs, dir: string) => Promise<unknown>,
  what = 'the scenario',
): Promise<void> {
  const dir = tempDir(t)
  const told: unknown[] = []
  for (const [name, one] of [
    ['node', node],
    ['ours', fs],
  ] as const) {
    const root = join(dir, name)
    mkdirSync(root)
    told.push(JSON.parse(JSON.stringify(await scenario(one, root)).replaceAll(root, '/ROOT')))
  }
  assert.deepEqual(told[1], told[0], what)
}

/** What a promise came to, in words that can be compared. */
export async function came(promise: Promise<unknown>): Promise<unknown> {
  try {
    return { value: shown(await promise) }
  } catch (error) {
    const { name, message, code, errno, syscall, path, cause } = error as NodeJS.ErrnoException
    return { name, message, code, errno, syscall, path, cause: shown(cause) }
  }
}

function shown(value: unknown): unknown {
  if (ArrayBuffer.isView(value))
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('latin1')
  if (value instanceof Error) return `${value.name}: ${value.message}`
  if (typeof value !== 'object' || value === null) return value ?? String(value)
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, shown(one)]))
}

export function makeFifo(path: string): string {
  execFileSync('mkfifo', [path])
  return path
}
