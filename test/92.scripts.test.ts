// What the scripts say where they can't work: one sentence that tells what to do, and no stack trace.
// Flow: this → scripts/*.mjs in processes of their own, on a copy of what they need.

import assert from 'node:assert/strict'
import { copyFileSync, cpSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { oracle, type RunOptions, type RunResult, root, runNode, tempDir } from './helpers.js'

/** A clone as far as the build gets without a compiler. */
function bareClone(t: TestContext): string {
  const dir = tempDir(t)
  for (const name of ['scripts', 'native']) cpSync(join(root, name), join(dir, name), { recursive: true })
  copyFileSync(join(root, 'package.json'), join(dir, 'package.json'))
  mkdirSync(join(dir, 'node_modules', 'typescript'), { recursive: true })
  writeFileSync(join(dir, 'node_modules', '.package-lock.json'), '{}')
  return dir
}

function sentence({ code, stderr }: RunResult): string {
  assert.equal(code, 1)
  assert.match(stderr, /^[^\n]+\n$/, 'one line')
  return stderr
}

/** Makes node believe it runs elsewhere. */
const pretend = (code: string): RunOptions => ({
  nodeArgs: ['--import', `data:text/javascript,${encodeURIComponent(code)}`],
})

test('no C compiler', async (t) => {
  oracle(t)
  const dir = bareClone(t)
  const run = (name: string) => runNode(join(dir, 'scripts', name), { env: { CC: 'no-such-compiler' } })
  for (const name of ['build.mjs', 'prepare.mjs']) {
    const said = sentence(await run(name))
    assert.match(
      said,
      /no C compiler found; install one with .*build-essential.*dnf install gcc.*apk add build-base/,
    )
  }
})

test('a C compiler that fails', async (t) => {
  oracle(t)
  const dir = bareClone(t)
  const { code, stderr } = await runNode(join(dir, 'scripts', 'build.mjs'), { env: { CC: 'false' } })
  assert.equal(code, 1)
  assert.match(stderr, /Cannot build the native addon/)
  assert.doesNotMatch(stderr, /build\.mjs:\d/, 'no stack trace of ours')
})

test('no development packages', async (t) => {
  oracle(t)
  const dir = tempDir(t)
  cpSync(join(root, 'scripts'), join(dir, 'scripts'), { recursive: true })
  assert.match(sentence(await runNode(join(dir, 'scripts', 'build.mjs'))), /run `npm ci` first/)
})

test('another system, an old Node', async (t) => {
  oracle(t)
  const prepare = join(root, 'scripts', 'prepare.mjs')
  const mac = await runNode(
    prepare,
    pretend("Object.defineProperty(process, 'platform', { value: 'darwin' })"),
  )
  assert.match(sentence(mac), /Linux.*and this is darwin/)
  const old = await runNode(
    prepare,
    pretend(
      "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '18.20.0' } })",
    ),
  )
  assert.match(sentence(old), /needs Node 20\.19 or newer, and this is 18\.20\.0/)
})

test('a filter that no test file matches', async (t) => {
  oracle(t)
  const run = await runNode(join(root, 'scripts', 'test.mjs'), { args: ['--filter', 'no-such-file'] })
  assert.match(sentence(run), /No test file matches no-such-file/)
})
