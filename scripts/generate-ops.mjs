// Writes docs/ops.md: one line for every opcode, from src/op/table.ts and the names that the tests give to what they try.
// Flow: a person after a change; test/45.op.table.test.ts with --check → this → dist/op/table.js, test/*.test.ts → docs/ops.md.
// Usage: node scripts/generate-ops.mjs [--check]    --check only compares, and fails when the page is not fresh

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const page = join(root, 'docs', 'ops.md')

/** The test files that name an opcode in `opTest('READ, WRITE', …)`, or call one of its methods on a ring. */
function findTests(table) {
  const files = readdirSync(join(root, 'test')).filter((name) => /^(31|40|45)\..*\.test\.ts$/.test(name))
  const texts = files.sort().map((name) => [name, readFileSync(join(root, 'test', name), 'utf8')])
  return new Map(
    table.map(({ name, method }) => {
      const methods = method === '' ? [] : method.split(', ')
      const calls = methods.length === 0 ? undefined : new RegExp(`\\bring\\.(${methods.join('|')})\\(`)
      const named = texts.filter(([file, text]) => {
        const titles = [...text.matchAll(/opTest\(\s*'([A-Z0-9_, ]+)'/g)].flatMap((match) =>
          match[1].split(', '),
        )
        return titles.includes(name) || (file.startsWith('40.runtime.operations') && calls?.test(text))
      })
      // Every opcode has golden bytes; those that no kernel here runs have nothing else.
      return [name, named.length === 0 ? ['30.op.golden.test.ts'] : named.map(([file]) => file)]
    }),
  )
}

const code = (text) => `\`${text}\``
const list = (names) => names.map(code).join(', ')

function render(table) {
  const tests = findTests(table)
  const lines = table.map((row) => {
    const repeats = row.multishot === '' ? '' : row.multishotSince
    const methods = row.method === '' ? row.note : list(row.method.split(', '))
    const files = tests.get(row.name).map((file) => `[${file.replace('.test.ts', '')}](../test/${file})`)
    const cells = [
      row.code,
      code(row.name),
      row.since,
      repeats,
      list(row.prep),
      methods,
      row.man,
      files.join(', '),
    ]
    return `| ${cells.join(' | ')} |`
  })
  const withMethod = table.filter(({ method }) => method !== '').length
  return `# Operations

Every opcode of the kernel, as this package has it. Generated from [src/op/table.ts](../src/op/table.ts) by
\`node scripts/generate-ops.mjs\`; a test holds it against the table.

${table.length} opcodes, ${withMethod} of them as methods of \`Uring\`; for the others the column says why. *Repeats* is the Linux that
can answer one request with many completions. What a kernel lacks rejects with \`ERR_RING_FEATURE\`, which names the Linux that has it.

| # | Opcode | Linux | Repeats | Prep functions | Methods of \`Uring\` | Manual | Tests |
|--:|---|---|---|---|---|---|---|
${lines.join('\n')}
`
}

let opTable
try {
  ;({ opTable } = await import('../dist/op/table.js'))
} catch {
  process.stderr.write('Cannot read the table of opcodes: run `npm run build` first\n')
  process.exit(1)
}
const fresh = render(opTable)
if (process.argv.includes('--check')) {
  let old = ''
  try {
    old = readFileSync(page, 'utf8')
  } catch {
    // No page is an old page.
  }
  if (old !== fresh) {
    process.stderr.write('docs/ops.md is not fresh: run `node scripts/generate-ops.mjs` and commit it\n')
    process.exit(1)
  }
} else {
  writeFileSync(page, fresh)
}
