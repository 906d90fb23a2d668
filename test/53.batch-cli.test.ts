// ringcore cp, cat, du: what they do, say and return, held against coreutils where those are.
// Flow: this → dist/bundle/cli.js (as a child), and a child that runs one command after another.

import assert from 'node:assert/strict'
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import test, { after } from 'node:test'
import {
  AS_INSTALLED,
  oracle,
  type RunResult,
  requires,
  root,
  runNode,
  tempDir,
  withTimeout,
} from './helpers.js'

const main = join(root, 'dist', 'bundle', 'cli.js')
const ringcore = (...args: string[]) => runNode(main, { args })

/** Runs commands as main.ts does, and tells what each wrote and returned. */
const SEVERAL = `
  import { runCat } from '#src/cli/cat-command.js'
  import { runCp } from '#src/cli/cp-command.js'
  import { runDu } from '#src/cli/du-command.js'
  const tools = { cat: runCat, cp: runCp, du: runDu }
  process.on('message', async ([name, ...args]) => {
    const said = { stdout: '', stderr: '' }
    for (const stream of Object.keys(said)) process[stream].write = (text) => { said[stream] += text; return true }
    process.send({ code: await tools[name](args), signal: null, ...said })
  })`

// Started before the tests, and so none of them takes it for a leak.
const child = spawn(process.execPath, ['--input-type=module', '--eval', SEVERAL], {
  cwd: root,
  stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
})
const ended = once(child, 'exit')
after(() => {
  child.disconnect()
  return ended
})

/** A command line in the process that all tests share: a start takes longer than what most commands do. */
async function shared(...args: string[]): Promise<RunResult> {
  const answer = once(child, 'message')
  child.send(args)
  return (await withTimeout(answer, 30_000, `ringcore ${args.join(' ')}`))[0]
}

test('cp: files, trees, several into a directory, and what it refuses', async (t) => {
  oracle(t)
  const dir = tempDir(t)
  const at = (name: string): string => join(dir, name)
  mkdirSync(at('tree/d'), { recursive: true })
  writeFileSync(at('tree/d/f'), 'text')
  symlinkSync('d/f', at('tree/link'))
  writeFileSync(at('f'), 'one')
  mkdirSync(at('to'))
  const quiet = { code: 0, signal: null, stdout: '', stderr: '' }
  assert.deepEqual(await ringcore('cp', at('f'), at('g')), quiet)
  assert.equal(readFileSync(at('g'), 'utf8'), 'one')
  assert.deepEqual(await shared('cp', '-r', at('tree'), at('f'), at('to')), quiet)
  assert.deepEqual(readdirSync(at('to')).sort(), ['f', 'tree'])
  assert.equal(readFileSync(at('to/tree/d/f'), 'utf8'), 'text')
  assert.equal(readlinkSync(at('to/tree/link')), 'd/f')
  writeFileSync(at('f'), 'two')
  assert.deepEqual(await shared('cp', '-n', at('f'), at('g')), quiet)
  assert.equal(readFileSync(at('g'), 'utf8'), 'one')
  const refused: [string[], string][] = [
    [[at('tree'), at('x')], `-r not specified; omitting directory '${at('tree')}'`],
    [[at('none'), at('x')], `cannot stat '${at('none')}': No such file or directory`],
    [[at('f'), at('none/x')], 'No such file or directory'],
    [['-r', at('tree'), at('tree/d/x')], 'subdirectory of self'],
    [[at('f')], `missing destination file operand after '${at('f')}'`],
    [['--what'], "Unknown option '--what'"],
  ]
  for (const [args, message] of refused) {
    // One of them shows that the exit code is the process's.
    const { code, stdout, stderr } = await (args.length === 1 ? ringcore : shared)('cp', ...args)
    assert.deepEqual([code, stdout], [1, ''], message)
    assert.ok(stderr.startsWith('ringcore cp: ') && stderr.includes(message), `${stderr} has no ${message}`)
  }
  assert.match((await shared('cp', '--help')).stdout, /^Usage: ringcore cp/)
})

test('cat: files in order, standard input, what is missing, a reader that goes away', async (t) => {
  oracle(t)
  const dir = tempDir(t)
  const big = join(dir, 'big')
  writeFileSync(big, Buffer.alloc(1_500_000, 'abcdefg'))
  writeFileSync(join(dir, 'small'), 'small\n')
  const script = `'${process.execPath}' '${main}' cat '${big}' '${join(dir, 'none')}' - '${join(dir, 'small')}' < '${join(dir, 'small')}'`
  const { status, stdout, stderr } = spawnSync('sh', ['-c', script], {
    encoding: 'latin1',
    maxBuffer: 1 << 24,
  })
  assert.equal(stdout, `${readFileSync(big, 'latin1')}small\nsmall\n`)
  assert.equal(stderr, `ringcore cat: ${join(dir, 'none')}: No such file or directory\n`)
  assert.equal(status, 1)
  const cut = spawnSync('sh', ['-c', `'${process.execPath}' '${main}' cat '${big}' '${big}' | head -c 3`], {
    encoding: 'utf8',
  })
  assert.deepEqual([cut.stdout, cut.stderr], ['abc', ''])
  const isDirectory = await shared('cat', dir)
  assert.deepEqual([isDirectory.code, isDirectory.stderr], [1, `ringcore cat: ${dir}: Is a directory\n`])
})

test('du: the numbers of du', async (t) => {
  oracle(t)
  const dir = tempDir(t)
  mkdirSync(join(dir, 'a/b'), { recursive: true })
  writeFileSync(join(dir, 'a/b/f'), Buffer.alloc(100_000))
  writeFileSync(join(dir, 'a/g'), 'x')
  linkSync(join(dir, 'a/g'), join(dir, 'a/same'))
  symlinkSync('/', join(dir, 'a/link'))
  const sorted = (text: string): string[] => text.trimEnd().split('\n').sort()
  if (requires(t, { program: 'du' })) {
    for (const options of [[], ['-s', '-b']]) {
      const { code, stdout, stderr } = await shared('du', ...options, dir)
      assert.deepEqual([code, stderr], [0, ''])
      assert.deepEqual(sorted(stdout), sorted(execFileSync('du', [...options, dir], { encoding: 'utf8' })))
    }
  }
  const { stdout } = await shared('du', '-a', '-H', join(dir, 'a'))
  assert.match(stdout, /^100K\t.*a\/b\/f$/m)
  assert.equal(stdout.trimEnd().split('\n').at(-1)!.split('\t')[1], join(dir, 'a'), 'the whole comes last')
  const missing = await ringcore('du', join(dir, 'none'))
  assert.deepEqual(
    [missing.code, missing.stderr],
    [1, `ringcore du: cannot access '${join(dir, 'none')}': No such file or directory\n`],
  )
})

test('a bar on a terminal, taken away at the end, and none elsewhere', async (t) => {
  oracle(t)
  if (!requires(t, { program: 'script' }) || !requires(t, { program: 'mkfifo' })) return
  const dir = tempDir(t)
  const [file, fifo] = [join(dir, 'file'), join(dir, 'fifo')]
  writeFileSync(file, Buffer.alloc(1 << 20))
  execFileSync('mkfifo', [fifo])
  // Slow enough that somebody would get impatient.
  const slow = `(for i in 1 2 3 4; do sleep 0.2; head -c 1000 /dev/zero; done > '${fifo}') &`
  const command = `${slow} '${process.execPath}' '${main}' cat '${file}' '${fifo}' > /dev/null`
  const { status, stdout } = spawnSync('script', ['-qec', command, '/dev/null'], {
    encoding: 'utf8',
    env: { ...process.env, TERM: 'xterm' },
  })
  assert.equal(status, 0, stdout)
  assert.match(stdout, /\d+% · 1\.0 MiB of 1\.0 MiB · 1 files/)
  // The cursor, hidden while the bar stands there, is back.
  assert.ok(stdout.lastIndexOf('[?25h') > stdout.lastIndexOf('[?25l'), JSON.stringify(stdout.slice(-80)))
  const quiet = spawnSync('sh', ['-c', command], { encoding: 'utf8' })
  assert.deepEqual([quiet.status, quiet.stderr], [0, ''])
})

test('the program of docs/batch.md prints what the page says', async (t) => {
  oracle(t)
  const page = readFileSync(join(root, 'docs', 'batch.md'), 'utf8')
  const parts = /<!-- program -->\n```js\n([\s\S]*?)```\n\n```text\n([\s\S]*?)```/.exec(page)
  assert.ok(parts, 'the page has a program')
  const { code, stdout, stderr } = await runNode(parts[1]!, { env: AS_INSTALLED })
  assert.deepEqual([code, stdout, stderr], [0, parts[2], ''])
})
