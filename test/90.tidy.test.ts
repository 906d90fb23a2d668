// The house rules that a machine can check: layers, headers, sizes, types, shared words, names.
// Flow: this → the sources of src, native, test, bench, examples, scripts as text.
// Biome formats everything, so indentation tells where a function ends; each rule is first shown a breach that it must find.

import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'
import test from 'node:test'
import { root } from './helpers.js'

const LINES_PER_FILE = 500
const LINES_PER_FUNCTION = 70

/** Files that may be longer, and why. */
const LONG_FILES: Readonly<Record<string, string>> = {
  'src/op/table.ts': 'a table: everybody looks up a row, nobody reads it through',
}

/** Functions that may be longer, as "file name", and why. */
const LONG_FUNCTIONS: Readonly<Record<string, string>> = {
  'test/90.tidy.test.ts codeOf': 'short: quotes inside its regular expressions mislead the count',
  'test/40.runtime.arguments.test.ts test': 'one table of bad arguments',
}

/** Files without a flow: doors that only re-export. */
const NO_FLOW: readonly string[] = ['src/index.ts']

/** From the bottom up; a file may import from its own directory and from lower layers. */
const LAYERS: readonly (readonly string[])[] = [
  ['sys'],
  ['ring'],
  ['op'],
  ['runtime'],
  ['trace'],
  ['fs', 'net'],
  ['cli'],
]

interface Source {
  /** From the root: "src/ring/ring.ts". */
  path: string
  lines: string[]
}

function sourcesOf(...dirs: string[]): Source[] {
  return dirs.flatMap((dir) =>
    readdirSync(join(root, dir), { recursive: true, encoding: 'utf8' })
      .filter((name) => /\.(ts|c|h|mjs)$/.test(name))
      .sort()
      .map((name) => {
        const path = join(dir, name)
        return { path, lines: readFileSync(join(root, path), 'utf8').trimEnd().split('\n') }
      }),
  )
}

/** Lines without comments and the contents of strings; as many as before. */
function codeOf(source: Source): string[] {
  const text = source.lines.join('\n')
  const blank = (match: string): string => match.replace(/[^\n]/g, ' ')
  return text
    .replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`/g, blank)
    .split('\n')
}

const everything = sourcesOf('src', 'native', 'test', 'bench', 'examples', 'scripts')
const library = everything.filter(({ path }) => path.startsWith('src/'))
const breach = (path: string, text: string): Source => ({ path, lines: text.split('\n') })

// ---------------------------------------------------------------- layers

function rankOf(path: string): number {
  const [, layer, rest] = path.split('/')
  // src/index.ts is the front door: above everything.
  if (rest === undefined) return LAYERS.length
  const rank = LAYERS.findIndex((names) => names.includes(layer!))
  assert.ok(rank >= 0, `${path}: src/${layer} has no place in LAYERS`)
  return rank
}

function upwardImports({ path, lines }: Source): string[] {
  const found: string[] = []
  for (const [, specifier] of lines.join('\n').matchAll(/(?:from|import)\s*\(?\s*'(\.[^']*)'/g)) {
    const target = normalize(join(dirname(path), specifier!))
    const isSameLayer = dirname(target).split('/')[1] === dirname(path).split('/')[1]
    if (!isSameLayer && rankOf(target) >= rankOf(path)) found.push(`${path} imports ${target}`)
  }
  return found
}

test('layers import downward only', () => {
  const bad = breach(
    'src/ring/x.ts',
    "import { a } from '../sys/a.ts'\nimport { b } from '../op/b.ts'\nawait import('../cli/c.ts')",
  )
  assert.deepEqual(upwardImports(bad), [
    'src/ring/x.ts imports src/op/b.ts',
    'src/ring/x.ts imports src/cli/c.ts',
  ])
  assert.deepEqual(upwardImports(breach('src/fs/x.ts', "import { a } from '../net/a.ts'")).length, 1)
  assert.deepEqual(upwardImports(breach('src/index.ts', "export * from './fs/a.ts'")), [])
  assert.ok(library.length > 0)
  assert.deepEqual(library.flatMap(upwardImports), [])
})

test('tests, benchmarks and examples use the package by its names', () => {
  const reachesIn = ({ path, lines }: Source): string[] =>
    lines
      .filter((line) => /^(?:import|export|\}).* from '(\.\.\/)+(src|dist)\//.test(line))
      .map((line) => `${path}: ${line}`)
  assert.equal(reachesIn(breach('test/x.ts', "import { a } from '../src/sys/a.ts'")).length, 1)
  assert.deepEqual(
    everything.filter(({ path }) => /^(test|bench|examples)\//.test(path)).flatMap(reachesIn),
    [],
  )
})

// ---------------------------------------------------------------- headers

/** The comment that opens a file. */
function headerOf({ lines }: Source): string {
  const start = lines[0]?.startsWith('#!') ? 1 : 0
  const end = lines.findIndex((line, i) => i >= start && !line.startsWith('//'))
  return lines.slice(start, end < 0 ? undefined : end).join('\n')
}

test('every file opens with what it is, and every file of the library with its place in the flow', () => {
  assert.equal(
    headerOf(breach('x.ts', "#!/usr/bin/env node\n// What.\n// Flow: a → this\n\nimport 'x'")),
    '// What.\n// Flow: a → this',
  )
  assert.equal(headerOf(breach('x.ts', "import 'x'\n// late")), '')
  const bare = everything.filter((source) => headerOf(source) === '').map(({ path }) => path)
  assert.deepEqual(bare, [], 'files without a header comment')
  const flowless = everything.filter(({ path }) => /^(src|native)\//.test(path) && !NO_FLOW.includes(path))
  assert.deepEqual(
    flowless.filter((source) => !/Flow:.*→/.test(headerOf(source))).map(({ path }) => path),
    [],
    'files whose header has no "Flow: who calls → this → whom it calls"',
  )
})

// ---------------------------------------------------------------- sizes

const NOT_A_FUNCTION =
  /^\s*(?:\} )?(?:if|else|for|while|do|switch|try|catch|finally|class|export class|interface|export interface|namespace)\b/
const FUNCTION_HEAD =
  /^(\s*)(?:(?:export |default |async |static |override |get |set |function\b|\*)\s*)*(#?[\w$]*)(?:<.*>)?\(.*\{$|^(\s*).*=>\s*\{$|^(\s*)\)(?::.*)? \{$|^(\w).*\) \{$/

/** Functions longer than the limit, as "file name (lines)". */
function longFunctions(source: Source): { name: string; lines: number }[] {
  const found: { name: string; lines: number }[] = []
  const code = codeOf(source)
  for (const [start, line] of code.entries()) {
    const head = FUNCTION_HEAD.exec(line)
    if (!head || NOT_A_FUNCTION.test(line)) continue
    const indent = /^\s*/.exec(line)![0]
    // A head that spans several lines ends in one that starts with a bracket at the head's own indentation.
    let first = start
    while (
      first > 0 &&
      (/^\s*[)}\]]/.test(code[first]!) ||
        !code[first]!.startsWith(indent) ||
        code[first]![indent.length] === ' ')
    )
      first--
    const length = code.slice(start).findIndex((end, i) => i > 0 && end.startsWith(`${indent}}`))
    const lines = start - first + length + 1
    if (lines > LINES_PER_FUNCTION) found.push({ name: `${source.path} ${nameIn(code[first]!)}`, lines })
  }
  return found
}

const MODIFIERS = /\b(?:export|default|async|static|override|get|set|function|const|let|return|await)\b/g

/** The first word of a function's head that is its own. */
function nameIn(head: string): string {
  return /#?[\w$]+/.exec(head.replace(MODIFIERS, ''))?.[0] ?? 'anonymous'
}

test('files and functions are small, or have a reason not to be', () => {
  const body = Array.from({ length: 80 }, () => '    x()').join('\n')
  const named = (text: string): string[] => longFunctions(breach('x.ts', text)).map(({ name }) => name)
  assert.deepEqual(named(`export async function big(a: number): void {\n${body}\n}`), ['x.ts big'])
  assert.deepEqual(named(`function wide(\n  a: number,\n  b: number,\n): void {\n${body}\n}`), ['x.ts wide'])
  assert.deepEqual(named(`class A {\n  #big(a: number): void {\n${body}\n  }\n}`), ['x.ts #big'])
  assert.deepEqual(named(`const f = async () => {\n${body}\n}`), ['x.ts f'])
  assert.deepEqual(named(`static int big(int a) {\n${body}\n}`).length, 1)
  assert.deepEqual(named(`if (a) {\n${body}\n}\nclass B {\n${body}\n}`), [])

  const long = everything.filter(({ path, lines }) => lines.length > LINES_PER_FILE && !(path in LONG_FILES))
  assert.deepEqual(
    long.map(({ path, lines }) => `${path}: ${lines.length} lines`),
    [],
  )
  const functions = everything.flatMap(longFunctions).filter(({ name }) => !(name in LONG_FUNCTIONS))
  assert.deepEqual(
    functions.map(({ name, lines }) => `${name}: ${lines} lines`),
    [],
  )
})

test('no exception outlives its reason', () => {
  const tooLong = new Set(
    everything.filter(({ lines }) => lines.length > LINES_PER_FILE).map(({ path }) => path),
  )
  assert.deepEqual(
    Object.keys(LONG_FILES).filter((path) => !tooLong.has(path)),
    [],
  )
  const longNames = new Set(everything.flatMap(longFunctions).map(({ name }) => name))
  assert.deepEqual(
    Object.keys(LONG_FUNCTIONS).filter((name) => !longNames.has(name)),
    [],
  )
})

// ---------------------------------------------------------------- code

/** Lines of code that match, as "file:line text". */
function grepCode(source: Source, pattern: RegExp): string[] {
  return codeOf(source).flatMap((line, i) =>
    pattern.test(line) ? [`${source.path}:${i + 1} ${line.trim()}`] : [],
  )
}

const ANY = /(?::|<|\bas|\||,)\s*any\b|\bany\[\]/
// Brackets right after an expression (not a constant table), around a name that says it is a shared word's index.
const SHARED_WORD =
  /[a-z\d)\]]\[(?:[\w.#]*[.#])?(?:\w*(?:[hH]ead|[tT]ail|[fF]lags|[oO]verflow|[dD]ropped))(?:Index|Word)?\]/

test('no value has the type any', () => {
  assert.equal(
    grepCode(breach('x.ts', 'const a: any = 1\n// any\nf<any>(b as any)\nlet c: any[]'), ANY).length,
    3,
  )
  assert.deepEqual(
    everything.filter(({ path }) => path.endsWith('.ts')).flatMap((source) => grepCode(source, ANY)),
    [],
  )
})

test('words that the kernel shares are read and written through Atomics', () => {
  const bad =
    'x = ring[this.#tail]\nthis.#ring[head] = 1\nwords[layout.cqTail]! + 1\nsqes[tail & mask]\nloadAcquire(ring, this.#tail)'
  assert.equal(grepCode(breach('x.ts', bad), SHARED_WORD).length, 3)
  assert.deepEqual(
    library.flatMap((source) => grepCode(source, SHARED_WORD)),
    [],
  )
  const inline = /\bAtomics\.(?:load|store)\b/
  const own = library.filter(({ path }) => path !== 'src/sys/memory.ts')
  const named = own.filter((source) => grepCode(source, inline).length > 0).map(({ path }) => path)
  assert.deepEqual(named, [], 'sys/memory.ts names the side of each pair: use loadAcquire, storeRelease')
})

test('nothing is left to be done later', () => {
  // Written in halves, or this line would be found.
  const later = new RegExp(['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X'].map((word) => `\\b${word}\\b`).join('|'))
  const notes = (source: Source): string[] =>
    source.lines.flatMap((line, i) => (later.test(line) ? [`${source.path}:${i + 1} ${line.trim()}`] : []))
  assert.equal(notes(breach('x.ts', `// ${'TO'}${'DO'} mend`)).length, 1)
  assert.deepEqual(everything.flatMap(notes), [])
})

test('tests are numbered in reading order', () => {
  const names = readdirSync(join(root, 'test')).filter((name) => name.endsWith('.test.ts'))
  assert.deepEqual(
    names.filter((name) => !/^\d\d\.[a-z0-9.-]+\.test\.ts$/.test(name)),
    [],
  )
  assert.ok(
    names.includes(relative(join(root, 'build', 'test'), import.meta.filename).replace(/\.js$/, '.ts')),
  )
})
