// The programs of docs/features.md run and print what the page says.
// Flow: this → docs/features.md → one process that runs them by turns; with RINGCORE_SOAK=1 a process for each, as the page says.

import assert from 'node:assert/strict'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { pathToFileURL } from 'node:url'
import { isSoak } from './hazards/common.js'
import { AS_INSTALLED, oracle, root, runNode } from './helpers.js'

interface Program {
  title: string
  source: string
  output: string
}

/** The programs of the page, under the last heading above them. */
function programs(): Program[] {
  const page = readFileSync(join(root, 'docs', 'features.md'), 'utf8')
  const found: Program[] = []
  const pattern = /^##+ (.+)$|^```js\n([\s\S]*?)^```\n\n```text\n([\s\S]*?)^```$/gm
  let title = ''
  for (const [, heading, source, output] of page.matchAll(pattern)) {
    if (heading !== undefined) title = heading
    else found.push({ title, source: source!, output: output! })
  }
  return found
}

const all = programs()

/** As the page says: files in the repository, where the package finds itself. */
function save(t: TestContext): string[] {
  return all.map(({ source }, i) => {
    const file = join(root, 'build', `feature-${process.pid}-${i}.mjs`)
    writeFileSync(file, source)
    t.after(() => rmSync(file))
    return file
  })
}

/** Runs [file, output] by turns and writes [what it printed, its error]; what a worker prints may come late. */
const RUNNER = `
const write = process.stdout.write
let text = ''
process.stdout.write = (chunk) => {
  text += chunk
  return true
}
const results = []
for (const [file, output] of JSON.parse(process.argv.at(-1))) {
  text = ''
  let error = ''
  try {
    await import(file)
    for (let i = 0; i < 400 && text !== output; i++) await new Promise((resolve) => setTimeout(resolve, 5))
  } catch (cause) {
    error = String(cause.stack)
  }
  results.push([text, error])
}
write.call(process.stdout, JSON.stringify(results))
// What a program that failed left open would hold this process; else it has to end by itself.
if (results.some(([, error]) => error !== '')) process.exit()
`
const LACKING = /ERR_RING_FEATURE.*|Cannot use IORING.*/

test('every program of the page prints what it says', { timeout: 60_000 }, async (t) => {
  oracle(t)
  const files = save(t)
  const work = files.map((file, i) => [pathToFileURL(file).href, all[i]!.output])
  // A file: of an --eval, Node would hand the type on to workers that are an eval themselves.
  const runner = join(root, 'build', `feature-${process.pid}.mjs`)
  writeFileSync(runner, RUNNER)
  t.after(() => rmSync(runner))
  const { code, stdout, stderr } = await runNode(runner, { env: AS_INSTALLED, args: [JSON.stringify(work)] })
  const results: [text: string, error: string][] = JSON.parse(stdout)
  for (const [i, { title, output }] of all.entries()) {
    const [text, error] = results[i]!
    const lacking = LACKING.exec(error)
    if (lacking !== null) t.diagnostic(`${title}: ${lacking[0]}`)
    else assert.deepEqual([text, error], [output, ''], title)
  }
  assert.deepEqual([stderr, code], ['', 0])
})

test('each program by itself ends by itself', {
  skip: isSoak ? false : 'each in a process of its own: npm run soak',
}, async (t) => {
  oracle(t)
  for (const [i, file] of save(t).entries()) {
    const { code, stdout, stderr } = await runNode(file, { env: AS_INSTALLED })
    const { title, output } = all[i]!
    if (!LACKING.test(stderr)) assert.deepEqual([stdout, stderr, code], [output, '', 0], title)
  }
})

test('every part has a program', () => {
  const page = readFileSync(join(root, 'docs', 'features.md'), 'utf8')
  const blocks = page.match(/^```js$/gm)!.length
  assert.equal(all.length, blocks, 'what each program prints stands below it')
  const parts = [...page.matchAll(/^## (.+)$/gm)].map(([, title]) => title!)
  const without = page
    .split(/^## /m)
    .slice(1)
    .filter((part) => !part.includes('```js'))
  assert.deepEqual(without, [])
  assert.ok(parts.length >= 20, `${parts.length} parts`)
})
