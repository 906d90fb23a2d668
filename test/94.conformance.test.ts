// docs/conformance.md is true: a row for each of liburing's test programs, tests that exist, counts that are right.
// Flow: this → docs/conformance.md, test/fixtures/liburing-tests.json (names only), the tests as text.

import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { root } from './helpers.js'

const page = readFileSync(join(root, 'docs', 'conformance.md'), 'utf8')
const names = JSON.parse(readFileSync(join(root, 'test/fixtures/liburing-tests.json'), 'utf8')) as string[]
const rows = page
  .slice(page.indexOf('| --- |'))
  .split('\n')
  .slice(1)
  .filter((line) => line.startsWith('|'))
  .map((line) => line.split('|').map((cell) => cell.trim()))

/** What a cell says: a state, and the tests that it names. */
function read(cell: string): { state: string; tests: { file: string; title: string }[] } {
  for (const state of ['does not apply', 'not yet']) if (cell.startsWith(state)) return { state, tests: [] }
  const tests = cell.split('<br>').map((part) => {
    const match = /^`([^`]+\.test\.ts)` › (\S.*)$/.exec(part)
    assert.ok(match, `neither a state nor a test: ${part}`)
    return { file: match[1]!, title: match[2]! }
  })
  return { state: 'covered', tests }
}

test('each of the 261 programs has one row, in order, with a behaviour', () => {
  assert.equal(names.length, 261)
  assert.equal(new Set(names).size, 261)
  assert.deepEqual(
    rows.map(([, name]) => name),
    names,
  )
  for (const row of rows) {
    assert.equal(row.length, 5, `${row[1]}: three cells`)
    assert.ok(row[2]!.length > 0, `${row[1]}: a behaviour`)
  }
})

test('the tests that rows name exist', () => {
  for (const [, name, , cell] of rows) {
    for (const { file, title } of read(cell!).tests) {
      const path = join(root, 'test', file)
      assert.ok(existsSync(path), `${name}: no file ${file}`)
      const source = readFileSync(path, 'utf8')
      const found = ["'", '"', '`'].some((quote) => source.includes(quote + title))
      assert.ok(found, `${name}: ${file} has no test "${title}"`)
    }
  }
})

test('the 188 programs whose behaviour every Linux of today can show are covered', (t) => {
  const wanted = JSON.parse(
    readFileSync(join(root, 'test/fixtures/liburing-tests-wanted.json'), 'utf8'),
  ) as string[]
  assert.equal(new Set(wanted).size, 188)
  const covered = new Set(
    rows.filter(([, , , cell]) => read(cell!).state === 'covered').map(([, name]) => name),
  )
  assert.deepEqual(
    wanted.filter((name) => !covered.has(name)),
    [],
  )
  t.diagnostic(`${wanted.length}/${wanted.length}, and ${covered.size - wanted.length} others`)
})

test('what does not apply has a reason', () => {
  for (const [, name, , cell] of rows)
    if (read(cell!).state === 'does not apply') assert.match(cell!, /^does not apply: \S/, name)
})

test('the counts are those of the rows', (t) => {
  const counts: Record<string, number> = {}
  for (const [, , , cell] of rows) counts[read(cell!).state] = (counts[read(cell!).state] ?? 0) + 1
  const said = Object.fromEntries(
    [...page.matchAll(/^- (covered|does not apply|not yet): (\d+)$/gm)].map(([, state, n]) => [
      state,
      Number(n),
    ]),
  )
  t.diagnostic(JSON.stringify(said))
  assert.deepEqual(said, { covered: 0, 'does not apply': 0, 'not yet': 0, ...counts })
})
