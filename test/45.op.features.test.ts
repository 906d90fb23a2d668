// The programs of docs/features.md run and print what the page says.
// Flow: this → docs/features.md → a process for each program.

import assert from 'node:assert/strict'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'

import { AS_INSTALLED, oracle, root, runNode } from './helpers.js'

const page = readFileSync(join(root, 'docs', 'features.md'), 'utf8')
const parts = page.split(/^## /m).slice(1)

for (const part of parts) {
  const title = part.slice(0, part.indexOf('\n'))
  const [, source] = /^```js\n([\s\S]*?)^```$/m.exec(part) ?? []
  const [, output] = /^```text\n([\s\S]*?)^```$/m.exec(part) ?? []
  test(title, async (t) => {
    oracle(t)
    assert.ok(source !== undefined && output !== undefined, 'the part has a program and what it prints')
    // As the page says: a file in the repository, where the package finds itself.
    const file = join(root, 'build', `feature-${process.pid}-${parts.indexOf(part)}.mjs`)
    writeFileSync(file, source)
    t.after(() => rmSync(file))
    const { code, stdout, stderr } = await runNode(file, { env: AS_INSTALLED })
    const lacking = /ERR_RING_FEATURE.*|Cannot use IORING.*/.exec(stderr)
    if (lacking !== null) return t.skip(lacking[0])
    assert.equal(stderr, '')
    assert.deepEqual([stdout, code], [output, 0])
  })
}

test('every part was found', () => assert.ok(parts.length >= 13, `${parts.length} parts`))
