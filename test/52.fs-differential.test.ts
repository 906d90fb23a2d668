// The same random programs through node:fs/promises and ringcore/fs, in two directories: same results, same errors, same trees.
// Flow: this → fs-scripts.ts → ringcore/fs, node:fs/promises. RINGCORE_SOAK=1 runs many more of them; SEED=n one of them again.

import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import node from 'node:fs/promises'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { defaultRing } from 'ringcore'
import fs from 'ringcore/fs'
import { type AnyFs, outcomeOf, programOf, type Step, treeOf } from './fs-scripts.js'
import { oracle, tempDir } from './helpers.js'

const SOAK = process.env.RINGCORE_SOAK === '1'
const SEEDS = process.env.SEED
  ? [Number(process.env.SEED)]
  : Array.from({ length: SOAK ? 400 : 8 }, (_, i) => i + 1)
const STEPS = SOAK ? 1000 : 250

/** Runs a program through both, step by step, and stops at the first difference. */
async function compare(t: TestContext, program: Step[], seed: number): Promise<void> {
  const dir = tempDir(t)
  const runs = [node, fs].map((one, index) => {
    // Links of the program may say '..': each run has a parent of its own.
    const root = join(dir, `t${index}`, 'root')
    mkdirSync(root, { recursive: true })
    return {
      fs: one as unknown as AnyFs,
      root,
      handles: [] as Record<string, (...args: unknown[]) => Promise<unknown>>[],
    }
  })
  try {
    for (const [index, step] of program.entries()) {
      const [theirs, ours] = await Promise.all(runs.map((run) => outcomeOf(step, run)))
      assert.equal(ours, theirs, `seed ${seed}, step ${index}: ${step.text}`)
    }
    assert.deepEqual(treeOf(runs[1]!.root), treeOf(runs[0]!.root), `seed ${seed}: the trees`)
  } finally {
    for (const { handles } of runs) await Promise.all(handles.map((handle) => handle.close!()))
  }
}

test('random programs do the same as through node:fs/promises', async (t) => {
  oracle(t)
  t.after(() => defaultRing().close())
  assert.equal(fs.backend, 'io_uring')
  for (const seed of SEEDS) await compare(t, programOf(seed, STEPS), seed)
})
