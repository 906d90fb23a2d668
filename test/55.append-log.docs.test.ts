// The programs of docs/storage.md print what the page says, and the examples do what they say.
// Flow: this → docs/storage.md, build/examples/write-ahead-log.js and direct-read.js → a process for each.

import assert from 'node:assert/strict'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { oracle, root, runNode, tempDir } from './helpers.js'

const page = readFileSync(join(root, 'docs', 'storage.md'), 'utf8')
const programs = [...page.matchAll(/^```js\n([\s\S]*?)^```$\n\nIt prints:\n\n```text\n([\s\S]*?)^```$/gm)]

test('docs/storage.md has its programs', () => assert.equal(programs.length, 2))

for (const [index, [, source, output]] of programs.entries()) {
  test(`docs/storage.md, program ${index + 1}, prints what the page says`, async (t) => {
    oracle(t)
    const file = join(root, 'build', `storage-${process.pid}-${index}.mjs`)
    writeFileSync(file, source!)
    t.after(() => rmSync(file))
    const { code, stdout, stderr } = await runNode(file)
    if (stderr.includes('ERR_DIRECT_UNSUPPORTED')) return t.skip('needs O_DIRECT in /tmp')
    assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: output, stderr: '' })
  })
}

test('write-ahead-log: what one run acknowledged the next one has', async (t) => {
  oracle(t)
  const directory = tempDir(t)
  const run = async (changes: string): Promise<string> => {
    const script = join(root, 'build', 'examples', 'write-ahead-log.js')
    const { code, stdout, stderr } = await runNode(script, { args: [directory, changes] })
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' })
    return stdout
  }
  assert.match(
    await run('500'),
    /log: new; 0 values of the checkpoint, 0 changes after it\n500 durable changes in .* 500 values/,
  )
  assert.match(
    await run('2000'),
    /log: clean; 500 values of the checkpoint, 0 changes after it\n.* 1000 values/,
  )
})

test('direct-read: reads what is there, the short last block included', async (t) => {
  oracle(t)
  const path = join(tempDir(t), 'file')
  writeFileSync(path, Buffer.alloc(100))
  const script = join(root, 'build', 'examples', 'direct-read.js')
  const { code, stdout, stderr } = await runNode(script, { args: [path, '8', '50'] })
  if (stderr.includes('ERR_DIRECT_UNSUPPORTED')) return t.skip('needs O_DIRECT in the temporary directory')
  assert.deepEqual({ code, stderr }, { code: 0, stderr: '' })
  assert.match(
    stdout,
    /^memory \d+, offsets \d+, of reads \d+; .*\n5000 bytes in reads of up to \d+, \d+ a second\n$/,
  )
})
