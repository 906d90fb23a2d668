// The example programs, each in a process of its own as a user runs it: files, pipes, time, tasks, the benchmark.
// Flow: this → build/examples/*.js as child processes, node:fs as witness.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { assertClean, example, script } from './example-programs.js'
import { AS_INSTALLED, oracle, root, tempDir, until, withTimeout } from './helpers.js'

/** Runs an example with bytes on its standard input, and collects those of its standard output. */
async function pipeThrough(
  name: string,
  args: string[],
  input: Buffer,
): Promise<{ code: number; output: Buffer; errors: string }> {
  const child = spawn(process.execPath, [script(name), ...args], {
    stdio: 'pipe',
    env: { ...process.env, ...AS_INSTALLED },
  })
  const chunks: Buffer[] = []
  let errors = ''
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text
  })
  // A program that ends early reads no further; its exit code tells.
  child.stdin.on('error', () => {}).end(input)
  const [code] = await withTimeout(once(child, 'close'), 15_000, `${name} to end`)
  return { code, output: Buffer.concat(chunks), errors }
}

// ---------------------------------------------------------------- files and pipes

/** Files of lengths at which a block's end is easily missed; the blocks of cat and linked-cat are powers of two. */
function sampleFiles(t: TestContext): { paths: string[]; whole: Buffer } {
  const dir = tempDir(t)
  const contents = [0, 1, 65_536, 65_537, 1_000_003].map((length) => randomBytes(length))
  const paths = contents.map((content, i) => {
    const path = join(dir, `${i}`)
    writeFileSync(path, content)
    return path
  })
  return { paths, whole: Buffer.concat(contents) }
}

for (const name of ['cat', 'linked-cat']) {
  test(`${name}: what it writes is what the files hold`, async (t) => {
    oracle(t)
    const { paths, whole } = sampleFiles(t)
    const { code, output, errors } = await pipeThrough(name, paths, Buffer.alloc(0))
    assert.equal(errors, '')
    assert.equal(code, 0)
    assert.equal(output.length, whole.length)
    assert.ok(output.equals(whole))
  })

  test(`${name}: a reader that leaves early ends it quietly, a missing file does not`, async (t) => {
    oracle(t)
    const { paths, whole } = sampleFiles(t)
    const child = spawn(process.execPath, [script(name), ...paths, ...paths], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...AS_INSTALLED },
    })
    let errors = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors += text
    })
    const closed = once(child, 'close')
    const [first] = (await withTimeout(once(child.stdout, 'data'), 10_000, 'output')) as [Buffer]
    assert.ok(first.equals(whole.subarray(0, first.length)))
    child.stdout.destroy()
    assert.deepEqual(await withTimeout(closed, 10_000, `${name} to end`), [0, null])
    assert.equal(errors, '')

    const missing = await example(name, '/no/such/file')
    assert.equal(missing.code, 1)
    assert.match(missing.stderr, /ENOENT: no such file or directory, open '\/no\/such\/file'/)
  })
}

test('cat: into a file that others write too, it goes on where they stopped', async (t) => {
  oracle(t)
  const { paths, whole } = sampleFiles(t)
  const out = join(tempDir(t), 'out')
  const child = spawn(
    '/bin/sh',
    ['-c', '(echo before; "$@"; echo after) > "$OUT"', 'sh', process.execPath, script('cat'), ...paths],
    {
      stdio: 'inherit',
      env: { ...process.env, ...AS_INSTALLED, OUT: out },
    },
  )
  assert.deepEqual(await once(child, 'close'), [0, null])
  assert.ok(readFileSync(out).equals(Buffer.concat([Buffer.from('before\n'), whole, Buffer.from('after\n')])))
})

test('tee: all outputs hold the input', async (t) => {
  oracle(t)
  const dir = tempDir(t)
  const input = randomBytes(700_001)
  const copies = [join(dir, 'a'), join(dir, 'b')]
  const { code, output, errors } = await pipeThrough('tee', copies, input)
  assert.equal(errors, '')
  assert.equal(code, 0)
  assert.ok(output.equals(input))
  for (const copy of copies) assert.ok(readFileSync(copy).equals(input))

  const unwritable = await pipeThrough('tee', [join(dir, 'no', 'c')], input)
  assert.equal(unwritable.code, 1)
  assert.match(unwritable.errors, /ENOENT/)
})

test('concurrent-reads: 100 files with few system calls', async (t) => {
  oracle(t)
  const made = await example('concurrent-reads')
  assertClean(made)
  // file i has i + 1 lines of 6 characters and the digits of i.
  const bytes = Array.from({ length: 100 }, (_, i) => `file ${i}\n`.length * (i + 1)).reduce((a, b) => a + b)
  assert.match(made.stdout, new RegExp(`^100 files, ${bytes} bytes in `))
  const [, cqes, enters] = /(\d+) completions with (\d+) calls/.exec(made.stdout)!
  assert.ok(Number(cqes) >= 400, `${cqes} completions`)
  assert.ok(Number(enters) < Number(cqes) / 2, `${enters} enters for ${cqes} completions`)

  const { paths, whole } = sampleFiles(t)
  const given = await example('concurrent-reads', ...paths)
  assert.match(given.stdout, new RegExp(`^${paths.length} files, ${whole.length} bytes in `))
  const missing = await example('concurrent-reads', ...paths, '/no/such/file')
  assert.equal(missing.code, 1)
  assert.match(missing.stderr, /ENOENT.*'\/no\/such\/file'/)
})

test('logger: every line of every task once and whole, in batches; SIGINT loses none', async (t) => {
  oracle(t)
  const path = join(tempDir(t), 'log')
  writeFileSync(path, 'an older line\n')
  const result = await example('logger', path, '20', '50')
  assertClean(result)
  const [, batches] = /^1000 lines with (\d+) writes/.exec(result.stdout)!
  assert.ok(Number(batches) < 500, `${batches} writes for 1000 lines`)
  const [older, ...lines] = readFileSync(path, 'utf8').trimEnd().split('\n')
  assert.equal(older, 'an older line')
  const want = Array.from({ length: 1000 }, (_, i) => `task ${Math.floor(i / 50)} line ${i % 50}`)
  const got = lines.map((line) => /^\d{4}-\S+Z (.*)$/.exec(line)?.[1] ?? line)
  assert.deepEqual(got.sort(), want.sort())

  const interrupted = join(tempDir(t), 'log')
  const child = spawn(process.execPath, [script('logger'), interrupted, '4', '100000000'])
  child.stdout.setEncoding('utf8')
  const output = once(child.stdout, 'data')
  const closed = once(child, 'close')
  await until(() => existsSync(interrupted) && readFileSync(interrupted).length > 10_000, 10_000, 'lines')
  child.kill('SIGINT')
  const [text] = await withTimeout(output, 10_000, 'the logger to end')
  assert.deepEqual(await closed, [0, null])
  const inFile = readFileSync(interrupted, 'utf8').split('\n').length - 1
  assert.match(text, new RegExp(`^${inFile} lines with `))
})

// ---------------------------------------------------------------- time and tasks

test('timer: timers fire in order of time and never early; the multishot one ticks', async (t) => {
  oracle(t)
  const result = await example('timer', '40')
  assertClean(result)
  const fired = [...result.stdout.matchAll(/timer (\d) × 40 ms: fired after ([\d.]+) ms/g)]
  assert.deepEqual(
    fired.map(([, factor]) => factor),
    ['1', '2', '3'],
  )
  for (const [, factor, after] of fired)
    assert.ok(Number(after) >= Number(factor) * 40, `${factor}: ${after}`)
  const ticks = [...result.stdout.matchAll(/tick (\d): after ([\d.]+) ms/g)]
  assert.deepEqual(
    ticks.map(([, tick]) => tick),
    ['1', '2', '3'],
  )
  for (const [, tick, after] of ticks) assert.ok(Number(after) >= Number(tick) * 40 - 1, `${tick}: ${after}`)
})

test('ping-pong: the ball comes back every time', async (t) => {
  oracle(t)
  const result = await example('ping-pong', '2000')
  assertClean(result)
  assert.match(result.stdout, /^2000 rounds in [\d.]+ ms: [\d.]+ µs per round\n$/)
})

test('timeout-race: the losers are cancelled', async (t) => {
  oracle(t)
  const result = await example('timeout-race')
  assertClean(result)
  assert.equal(
    result.stdout,
    'winner: the 20 ms timer\n' +
      'loser: AbortError, long before its 60 s were over\n' +
      'read of a silent socket: ETIMEDOUT\n' +
      'in flight at the end: 0\n',
  )
})

test('write-ahead-log: what one run acknowledged the next one has', async (t) => {
  oracle(t)
  const directory = tempDir(t)
  const first = await example('write-ahead-log', directory, '500')
  assertClean(first)
  assert.match(
    first.stdout,
    /^log: new; 0 values of the checkpoint, 0 changes after it\n500 durable .* 500 values\n$/,
  )
  const second = await example('write-ahead-log', directory, '2000')
  assertClean(second)
  assert.match(
    second.stdout,
    /^log: clean; 500 values of the checkpoint, 0 changes after it\n.* 1000 values\n$/,
  )
})

test('direct-read: reads what is there, the short last block included', async (t) => {
  oracle(t)
  const path = join(tempDir(t), 'file')
  writeFileSync(path, Buffer.alloc(100))
  const result = await example('direct-read', path, '8', '50')
  if (result.stderr.includes('ERR_DIRECT_UNSUPPORTED'))
    return t.skip('needs a temporary directory with O_DIRECT')
  assertClean(result)
  assert.match(result.stdout, /^memory \d+, .*\n5000 bytes in reads of up to \d+, \d+ a second\n$/)
})

// ---------------------------------------------------------------- all of them

test('benchmark: one table of the four headline jobs', async (t) => {
  oracle(t)
  const result = await example('benchmark', '--rounds', '1', '--warmup', '0', '--json')
  assertClean(result)
  const { rows } = JSON.parse(result.stdout) as { rows: { name: string; ratio: number }[] }
  assert.deepEqual(
    rows.map(({ name }) => name),
    [
      'cat a file of 100 MiB',
      '100 files at once',
      '100 HTTP requests in sequence',
      '1000 HTTP requests, 200 at once',
    ],
  )
  for (const { name, ratio } of rows) assert.ok(ratio > 0 && Number.isFinite(ratio), name)
})

test('every example has a line in docs/examples.md, and a test', () => {
  const names = readdirSync(join(root, 'examples'))
    .filter((name) => name.endsWith('.ts'))
    .map((name) => name.replace(/\.ts$/, ''))
  const docs = readFileSync(join(root, 'docs', 'examples.md'), 'utf8')
  const documented = [...docs.matchAll(/build\/examples\/([\w-]+)\.js/g)].map(([, name]) => name!)
  assert.deepEqual([...new Set(documented)].sort(), names.sort())
  const tests = ['60.examples.test.ts', '60.examples-servers.test.ts', '61.tour.test.ts'].map((file) =>
    readFileSync(join(root, 'test', file), 'utf8'),
  )
  for (const name of names)
    assert.ok(
      tests.some((text) => text.includes(`'${name}'`) || text.includes(`'${name}.js'`)),
      `${name} has no test`,
    )
})
