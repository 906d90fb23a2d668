// Every opcode that a kernel runs has a test that succeeds, one that fails and, where it can wait, one that is cancelled.
// Flow: this → op-matrix.ts, opTable. The files that it names say at their end whether they saw it, on every kind of ring.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { opTable } from 'ringcore/ring'
import { root } from './helpers.js'
import { canEnd, ENDS, EXCEPTIONS, FILES, MATRIX_KINDS, placesOf } from './op-matrix.js'

/** From these Linux versions on; the kernel of the tests is older. */
const TOO_NEW = opTable.filter(({ since }) => since === '6.19').map(({ name }) => name)

test('every opcode has its place in the matrix, or a reason', (t) => {
  assert.deepEqual(TOO_NEW, ['NOP128', 'URING_CMD128'])
  const places = new Map(opTable.map(({ name }) => [name, new Set<string>()]))
  for (const file of FILES)
    for (const [opcode, ends] of placesOf(file)) {
      assert.ok(places.has(opcode), `${file}: no opcode ${opcode}`)
      for (const end of ends) places.get(opcode)!.add(end)
    }
  const counts: Record<string, number> = {}
  const missing: string[] = []
  const needless: string[] = []
  for (const row of opTable) {
    if (TOO_NEW.includes(row.name)) continue
    for (const end of ENDS) {
      const isThere = places.get(row.name)!.has(end)
      const reason = EXCEPTIONS[row.name]?.[end]
      if (isThere) counts[end] = (counts[end] ?? 0) + 1
      else if (canEnd(row, end) && reason === undefined) missing.push(`${row.name}: ${end}`)
      if (reason !== undefined && (isThere || !canEnd(row, end))) needless.push(`${row.name}: ${end}`)
    }
  }
  assert.deepEqual({ missing, needless }, { missing: [], needless: [] })
  const tested = opTable.length - TOO_NEW.length
  const never = opTable.filter((row) => row.cancel === 'never').length
  t.diagnostic(
    `${tested} of ${opTable.length} opcodes (${TOO_NEW.join(', ')} need Linux 6.19): ${JSON.stringify(counts)}, ` +
      `each on ${MATRIX_KINDS.length} kinds of rings (${MATRIX_KINDS.join(', ')}); ${never} end within their submission; ` +
      `exceptions: ${JSON.stringify(EXCEPTIONS)}`,
  )
})

test('every file of the matrix asks at its end whether it saw what it promises', () => {
  for (const name of FILES) {
    const text = readFileSync(join(root, 'test', `31.op.kernel.${name}.test.ts`), 'utf8')
    assert.ok(text.trimEnd().endsWith(`matrixTest('${name}')`), name)
  }
})
