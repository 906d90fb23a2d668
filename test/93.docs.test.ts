// The documents are true: links lead somewhere, what they name exists, the first program does what the README says,
// and every operation says which kernel brought it.
// Flow: this → README.md, docs/, the sources as text, a child process for the program.

import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import test from 'node:test'
import { IORING_OP_READ } from 'ringcore/sys'
import { opTable } from '#src/op/table.js'
import { SQE } from '#src/ring/sqe.js'

import { AS_INSTALLED, oracle, root, runNode } from './helpers.js'

interface Page {
  /** From the root: "docs/tour.md". */
  path: string
  text: string
}

const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const pages: Page[] = [
  ...readdirSync(root).filter((name) => name.endsWith('.md')),
  ...readdirSync(join(root, 'docs')).flatMap((name) => (name.endsWith('.md') ? [`docs/${name}`] : [])),
].map((path) => ({ path, text: read(path) }))
const readme = read('README.md')
const manifest = JSON.parse(read('package.json')) as Record<'exports' | 'scripts', Record<string, unknown>>

/** The text without its blocks of code, whose brackets are no links. */
const proseOf = ({ text }: Page): string => text.replace(/^```[\s\S]*?^```$/gm, '')

// ---------------------------------------------------------------- links and names

/** The anchor that a heading gets. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .trim()
    .replaceAll(' ', '-')

/** Links into the repository that lead nowhere, and names in links that their file does not have. */
function badLinks(page: Page): string[] {
  const found: string[] = []
  for (const [, label, target] of proseOf(page).matchAll(/\[([^\]]+)\]\(([^)\s]+)\)/g)) {
    if (/^[a-z]+:/.test(target!)) continue
    const [file, anchor] = target!.split('#') as [string, string | undefined]
    const path = file === '' ? page.path : relative(root, join(root, dirname(page.path), file))
    if (!existsSync(join(root, path))) found.push(`${page.path}: ${target} does not exist`)
    else if (anchor !== undefined) {
      const headings = [...read(path).matchAll(/^#+ (.*)$/gm)].map(([, heading]) => anchorOf(heading!))
      if (!headings.includes(anchor)) found.push(`${page.path}: ${path} has no heading ${anchor}`)
    } else {
      const name = /^`(?:\w+\.)?(#?\w+)`$/.exec(label!)?.[1]
      if (name !== undefined && !new RegExp(`(?<![\\w#])${name}\\b`).test(read(path)))
        found.push(`${page.path}: ${path} has no ${name}`)
    }
  }
  return found
}

/** What runs as build/examples/x.js was written as examples/x.ts. */
const sourceOf = (path: string): string => path.replace(/^build\/(.*)\.js$/, '$1.ts')

/** Paths in backticks that do not exist. */
function badPaths(page: Page): string[] {
  const named = proseOf(page).matchAll(
    /`(?:node )?((?:src|test|native|scripts|docs|bench|build\/examples|examples)\/[\w./-]*)/g,
  )
  return [...named]
    .filter(([, path]) => !existsSync(join(root, sourceOf(path!))))
    .map(([, path]) => `${page.path}: ${path} does not exist`)
}

test('links and paths in the documents lead somewhere, and what a link names is in its file', () => {
  const text = [
    '[a](no/such.md) [`Ring`](src/ring/ring.ts) [`noSuchName`](src/ring/ring.ts) [b](#nowhere) [c](https://x.example)',
    '`src/no/such.ts` `src/ring/ring.ts` `node build/examples/no-such.js`',
  ].join('\n')
  const bad = { path: 'X.md', text }
  assert.deepEqual(badLinks({ ...bad, path: 'README.md' }), [
    'README.md: no/such.md does not exist',
    'README.md: src/ring/ring.ts has no noSuchName',
    'README.md: README.md has no heading nowhere',
  ])
  assert.equal(badPaths(bad).length, 2)
  assert.deepEqual(pages.flatMap(badLinks), [])
  assert.deepEqual(pages.flatMap(badPaths), [])
})

test('doors and commands in the documents are those of package.json', () => {
  const doors = Object.keys(manifest.exports)
    .filter((name) => name !== './package.json')
    .map((name) => name.replace(/^\./, 'ringcore'))
  for (const door of doors) assert.ok(readme.includes(`| \`${door}\` |`), `the README does not show ${door}`)
  for (const [, door] of readme.matchAll(/^\| `(ringcore[\w/]*)` \|/gm))
    assert.ok(doors.includes(door!), door)
  for (const { path, text } of pages) {
    for (const [, run, short] of text.matchAll(/\bnpm (?:run ([\w:-]+)|(start|test)\b)/g)) {
      const name = run ?? short!
      assert.ok(name in manifest.scripts, `${path}: package.json has no script ${name}`)
    }
  }
})

test('the README has every example, by the line that runs it', () => {
  const examples = readdirSync(join(root, 'examples')).filter((name) => name.endsWith('.ts'))
  const missing = examples.filter(
    (name) => name !== 'tour.ts' && !readme.includes(`node build/examples/${name.replace(/ts$/, 'js')}`),
  )
  assert.deepEqual(missing, [])
})

// ---------------------------------------------------------------- what runs, and what was recorded

test('the first program of the README prints what the README says', async (t) => {
  oracle(t)
  const parts = /<!-- first program -->\n```js\n([\s\S]*?)```\n\nIt prints:\n\n```\n([\s\S]*?)```/.exec(
    readme,
  )
  assert.ok(parts, 'the README has a first program')
  const { code, stdout, stderr } = await runNode(parts[1]!, { env: AS_INSTALLED })
  assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: parts[2], stderr: '' })
})

test("the tour's entry and completion are a read and its answer", () => {
  const tour = read('docs/tour.md')
  const words = (name: string): Int32Array => {
    const hex = new RegExp(`<!-- ${name} -->\\n\`\`\`\\n([0-9a-f\\s]+)\`\`\``).exec(tour)?.[1]
    assert.ok(hex, `the tour shows the bytes of the ${name}`)
    const bytes = Buffer.from(hex.replace(/\s/g, ''), 'hex')
    return new Int32Array(Uint8Array.from(bytes).buffer)
  }
  const sqe = words('sqe')
  const cqe = words('cqe')
  assert.deepEqual([sqe.length, cqe.length], [16, 4])
  assert.equal(sqe[SQE.OPCODE], IORING_OP_READ)
  assert.equal(sqe[SQE.LEN], 4096)
  assert.deepEqual([cqe[0], cqe[1]], [sqe[SQE.USER_DATA], sqe[SQE.USER_DATA + 1]], 'the same user_data')
  assert.equal(cqe[2], read('LICENSE').length)
  for (const value of [sqe[SQE.FD], sqe[SQE.LEN], sqe[SQE.ADDR], cqe[2]])
    assert.match(tour, new RegExp(`0x${value!.toString(16)}\\b`), 'the tables explain the bytes')
})

// ---------------------------------------------------------------- docstrings

const METHOD = /^ {2}(?:async |static |get |set |\*)*([a-z]\w*)(?:<.*>)?\(/
const STATEMENTS = ['constructor', 'if', 'for', 'while', 'switch']

/** Methods of a class with their docstrings, as [name, docstring]; formatting tells where a head ends. */
function methodsIn(text: string): [string, string][] {
  const found: [string, string][] = []
  const lines = text.split('\n')
  for (const [at, line] of lines.entries()) {
    const name = METHOD.exec(line)?.[1]
    if (name === undefined || STATEMENTS.includes(name)) continue
    const end = line.endsWith('(') ? lines.slice(at).find((next) => next.startsWith('  )')) : line
    if (end?.endsWith('{') !== true) continue
    const doc = /\/\*\*((?:(?!\*\/)[\s\S])*)\*\/$/.exec(lines.slice(0, at).join('\n'))?.[1] ?? ''
    found.push([name, doc.replace(/^\s*\* ?/gm, '').trim()])
  }
  return found
}

/** What is wrong with the docstrings of operations. */
function badDocs(path: string, text: string): string[] {
  return methodsIn(text).flatMap(([name, doc]) => {
    if (!/^[A-Z]/.test(doc)) return [`${path}: ${name} does not say what it does`]
    const tag = /@kernel ([\d.]+) · (IORING_OP_\w+)(?: with (.+))?/.exec(doc)
    // Helpers that other classes inherit map to no opcode of their own.
    if (tag === null) return []
    const [, since, constant, variant] = tag
    const row = opTable.find((candidate) => candidate.constant === constant)
    if (row === undefined) return [`${path}: ${name} names ${constant}, which has no row`]
    // A multishot form has a version of its own in the table; any other form of an opcode only can't be older than it.
    const older = since!.localeCompare(row.since, 'en', { numeric: true }) < 0
    const known = variant === undefined ? row.since : /multi(shot)?$/i.test(variant) ? row.multishotSince : ''
    return since === known || (known === '' && !older)
      ? []
      : [`${path}: ${name} says ${since}, the table says ${known}`]
  })
}

test('every operation says what it does and which kernel brought it, as the table of opcodes does', () => {
  const method = '  read(a: number, b: { c?: number } = {}): Promise<number> {\n  }\n'
  const doc = (text: string): string => `  /**\n   * ${text.replaceAll('\n', '\n   * ')}\n   */\n${method}`
  assert.equal(badDocs('x', method).length, 1)
  assert.equal(badDocs('x', doc('@kernel 5.6 · IORING_OP_READ')).length, 1)
  assert.equal(badDocs('x', doc('Reads.\n@kernel 5.1 · IORING_OP_READ')).length, 1)
  assert.equal(badDocs('x', doc('Accepts.\n@kernel 5.5 · IORING_OP_ACCEPT with multishot')).length, 1)
  assert.equal(
    badDocs('x', doc('Asks.\n@kernel 5.1 · IORING_OP_URING_CMD with SOCKET_URING_OP_SIOCINQ')).length,
    1,
  )
  assert.deepEqual(
    badDocs('x', doc('Asks.\n@kernel 6.7 · IORING_OP_URING_CMD with SOCKET_URING_OP_SIOCINQ')),
    [],
  )
  assert.deepEqual(badDocs('x', doc('Reads.\n@kernel 5.6 · IORING_OP_READ')), [])

  const files = readdirSync(join(root, 'src/runtime')).filter((name) => name.startsWith('operations-'))
  const sources = files.map((name) => ({ path: `src/runtime/${name}`, text: read(`src/runtime/${name}`) }))
  assert.deepEqual(
    sources.flatMap(({ path, text }) => badDocs(path, text)),
    [],
  )
  const documented = sources
    .flatMap(({ text }) => methodsIn(text))
    .filter(([, doc]) => doc.includes('@kernel'))
  assert.ok(documented.length > 30, `only ${documented.length} operations were found`)
})
