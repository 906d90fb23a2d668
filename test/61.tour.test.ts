// The tour of `npm start`: it ends well, it notices a difference in each of its steps, and it says why where no ring can be made.
// Flow: this → build/examples/tour.js as a child process.

import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'

import { AS_INSTALLED, oracle, type RunResult, root, runNode, tempDir } from './helpers.js'

/** Runs the tour with a temporary directory of its own, which must be empty afterwards. */
async function tour(t: TestContext, args: string[], env: NodeJS.ProcessEnv = {}): Promise<RunResult> {
  const TMPDIR = tempDir(t)
  const script = join(root, 'build', 'examples', 'tour.js')
  const result = await runNode(script, { args, env: { TMPDIR, ...AS_INSTALLED, ...env } })
  assert.deepEqual(readdirSync(TMPDIR), [], 'the tour left files behind')
  return result
}

/** How each step ended: "✓ Probe". */
const steps = ({ stdout }: RunResult): string[] =>
  [...stdout.matchAll(/^([✓✗] .*?): /gm)].map(([, step]) => step!)

const TITLES = [
  'Probe',
  'Every file of this repository at once',
  'A large file copied',
  'An echo server',
  'A race',
  'One read',
  'Measured',
]

test('the tour ends well, and shows every byte of one read', async (t) => {
  oracle(t)
  const result = await tour(t, ['--quick'])
  assert.equal(result.stderr, '')
  assert.equal(result.code, 0, result.stdout)
  assert.deepEqual(
    steps(result),
    TITLES.map((title) => `✓ ${title}`),
  )
  assert.match(result.stdout, /All is as it should be/)
  const rewrites = ['\r', '\u001b'].some((control) => result.stdout.includes(control))
  assert.equal(rewrites, false, 'no line is rewritten where no terminal is')

  // 64 bytes of the SQE and 16 of the CQE: offsets and bytes without a gap.
  const rows = [...result.stdout.matchAll(/^ +(\d+) {2}((?:[0-9a-f]{2} ?)+) {2}/gm)]
  let [structs, next] = [0, 0]
  for (const [, offset, bytes] of rows) {
    if (Number(offset) === 0 && next > 0) {
      assert.equal(next, 64)
      ;[structs, next] = [structs + 1, 0]
    }
    assert.equal(Number(offset), next)
    next += bytes!.trim().split(' ').length
  }
  assert.deepEqual([structs, next], [1, 16])
  assert.match(result.stdout, /22 = IORING_OP_READ/)
  assert.match(result.stdout, /FileHandle\.read .*×/)
  assert.match(result.stdout, /node:net .*×/)
})

const SPOILABLE = {
  read: 'Every file of this repository at once',
  copy: 'A large file copied',
  echo: 'An echo server',
  look: 'One read',
}

for (const spoilt of [
  ['read', 'echo'],
  ['copy', 'look'],
] as const) {
  test(`the tour notices changed bytes: ${spoilt.join(', ')}`, async (t) => {
    oracle(t)
    const result = await tour(t, ['--quick', ...spoilt.flatMap((name) => ['--spoil', name])])
    assert.equal(result.code, 1)
    const wrong: string[] = spoilt.map((name) => SPOILABLE[name])
    assert.deepEqual(
      steps(result),
      TITLES.map((title) => `${wrong.includes(title) ? '✗' : '✓'} ${title}`),
    )
    assert.match(result.stdout, /Something differs/)
  })
}

test('the tour says why no ring can be made, and what to do', async (t) => {
  oracle(t)
  const result = await tour(t, ['--quick'], { RINGCORE_DISABLE: '1' })
  assert.equal(result.code, 1)
  assert.equal(result.stdout, '')
  assert.match(result.stderr, /^No ring can be made here: .*RINGCORE_DISABLE/)
  assert.match(result.stderr, /^What to do: unset RINGCORE_DISABLE$/m)
})

test('the tour refuses options that it does not know', async (t) => {
  oracle(t)
  const result = await tour(t, ['--spoil', 'everything'])
  assert.equal(result.code, 2)
  assert.match(result.stderr, /usage: tour/)
})
