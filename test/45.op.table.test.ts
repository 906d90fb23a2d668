// Every opcode has a method of Uring or says why not, a test, and a line in docs/ops.md.
// Flow: this → src/op/table.ts, scripts/generate-ops.mjs.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { Uring } from 'ringcore'
import * as ring from 'ringcore/ring'
import * as sys from 'ringcore/sys'
import { root } from './helpers.js'

test('every opcode: a row, prep functions, methods or the reason for none', (t) => {
  const names = Object.keys(sys).filter((name) => /^IORING_OP_(?!LAST$)/.test(name))
  assert.deepEqual(ring.opTable.map(({ constant }) => constant).sort(), names.sort())
  const methods = new Set<string>()
  for (const { name, prep, method, note } of ring.opTable) {
    assert.ok(prep.length > 0, name)
    for (const fn of prep) assert.equal(typeof (ring as Record<string, unknown>)[fn], 'function', fn)
    assert.notEqual(method === '', note === '', `${name}: either methods or a note`)
    for (const one of method === '' ? [] : method.split(', ')) {
      assert.equal(typeof (Uring.prototype as unknown as Record<string, unknown>)[one], 'function', one)
      methods.add(one)
    }
  }
  const reachable = ring.opTable.filter(({ method }) => method !== '').length
  t.diagnostic(
    `${ring.opTable.length}/${names.length} opcodes, ${reachable} of them by ${methods.size} methods of Uring`,
  )
})

test('every method that the documents call an opcode’s is in its row', () => {
  // `@kernel 5.6 · IORING_OP_READ` in a docstring of a room of operations, and the method below it.
  const missing: string[] = []
  for (const room of [
    'file',
    'path',
    'net',
    'control',
    'link',
    'xattr',
    'advice',
    'direct',
    'provided',
    'timer',
    'epoll',
    'zero-copy',
    'message',
    'process',
    'command',
  ]) {
    const text = readFileSync(join(root, 'src', 'runtime', `operations-${room}.ts`), 'utf8')
    for (const [, doc = '', method = ''] of text.matchAll(
      /\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\n {2}(?:async )?(\w+)\(/g,
    )) {
      for (const [, since, name = ''] of doc.matchAll(/@kernel ([\d.]+) · (?:CQEs of )?IORING_OP_(\w+)/g)) {
        const row = ring.opByName(name)
        if (row === undefined) missing.push(`${method}: no opcode ${name}`)
        else if (!row.method.split(', ').includes(method) && !['update', 'remove'].includes(method))
          missing.push(`${method} is not in the row of ${name}`)
        else if (doc.includes(`IORING_OP_${name}\n`) && row.since !== since)
          missing.push(`${method}: @kernel ${since}, but ${name} came with ${row.since}`)
      }
    }
  }
  assert.deepEqual(missing, [])
})

test('docs/ops.md is fresh, and names a test against the kernel for every opcode that one runs', () => {
  const check = spawnSync(process.execPath, ['scripts/generate-ops.mjs', '--check'], {
    cwd: root,
    encoding: 'utf8',
  })
  assert.equal(check.status, 0, check.stderr)
  const page = readFileSync(join(root, 'docs', 'ops.md'), 'utf8')
  const untested = page
    .split('\n')
    .filter((line) => /^\| \d/.test(line) && !/\[(31|40|45)\./.test(line))
    .map((line) => line.split('`')[1])
  assert.deepEqual(untested, ['NOP128', 'URING_CMD128'])
})
