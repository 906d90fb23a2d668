// The programs of docs/storage.md print what the page says.
// Flow: this → docs/storage.md → a process for each program.

import assert from 'node:assert/strict'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { AS_INSTALLED, oracle, root, runNode } from './helpers.js'

const page = readFileSync(join(root, 'docs', 'storage.md'), 'utf8')
const programs = [...page.matchAll(/^```js\n([\s\S]*?)^```$\n\nIt prints:\n\n```text\n([\s\S]*?)^```$/gm)]

test('docs/storage.md has its programs', () => assert.equal(programs.length, 2))

for (const [index, [, source, output]] of programs.entries()) {
  test(`docs/storage.md, program ${index + 1}, prints what the page says`, async (t) => {
    oracle(t)
    const file = join(root, 'build', `storage-${process.pid}-${index}.mjs`)
    writeFileSync(file, source!)
    t.after(() => rmSync(file))
    const { code, stdout, stderr } = await runNode(file, { env: AS_INSTALLED })
    if (stderr.includes('ERR_DIRECT_UNSUPPORTED')) return t.skip('needs O_DIRECT in /tmp')
    assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: output, stderr: '' })
  })
}
