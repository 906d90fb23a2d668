// The command line: what `ringcore probe` and `ringcore doctor` say, here and where no ring can be made.
// Flow: this → dist/bundle/cli.js in a process of its own, under seccomp-run and limit-run.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { oracle, type RunOptions, type RunResult, root, runNode } from './helpers.js'
import { compileTool } from './tools.js'

const main = join(root, 'dist', 'bundle', 'cli.js')

const ringcore = (args: string[], options: RunOptions = {}): Promise<RunResult> =>
  runNode(main, { ...options, args })

interface Doctor {
  available: boolean
  steps: { name: string; status: 'ok' | 'failed' | 'warning' | 'skipped'; detail: string; cure?: string }[]
}

async function doctor(options: RunOptions = {}): Promise<{ code: number | null; report: Doctor }> {
  const { code, stdout, stderr } = await ringcore(['doctor', '--json'], options)
  assert.equal(stderr, '')
  return { code, report: JSON.parse(stdout) as Doctor }
}

/** The path of a tool, or undefined after the test was skipped. */
function tool(t: TestContext, name: string): string | undefined {
  const path = compileTool(name)
  if (typeof path === 'string') return path
  t.skip(path.skip)
  return undefined
}

test('help, version, wrong usage', async (t) => {
  oracle(t)
  const help = await ringcore(['--help'])
  assert.equal(help.code, 0)
  assert.match(help.stdout, /Usage: ringcore <command>/)
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
  assert.equal((await ringcore(['--version'])).stdout, `${version}\n`)
  const wrong: [string[], RegExp][] = [
    [[], /Missing a command/],
    [['prob'], /Unknown command: prob/],
    [['toString'], /Unknown command: toString/],
    [['probe', 'more'], /Unknown argument: more/],
    [['probe', '--yes'], /Unknown option '--yes'/],
  ]
  for (const [args, said] of wrong) {
    const { code, stdout, stderr } = await ringcore(args)
    assert.equal(code, 2, args.join(' '))
    assert.equal(stdout, '')
    assert.match(stderr, said)
    assert.doesNotMatch(stderr, /\n\s+at /, 'no stack trace')
  }
})

test('the file runs by itself, as npx would run it', (t) => {
  oracle(t)
  assert.equal(statSync(main).mode & 0o111, 0o111)
  const dir = process.execPath.slice(0, process.execPath.lastIndexOf('/'))
  const env = { ...process.env, PATH: `${dir}:${process.env.PATH}` }
  const { status, stdout } = spawnSync(main, ['--version'], { encoding: 'utf8', env })
  assert.equal(status, 0)
  assert.match(stdout, /^\d+\.\d+\.\d+/)
})

type Section = 'opcodes' | 'registerOps' | 'setupFlags' | 'enterFlags' | 'sqeFlags' | 'features'
const SECTIONS: readonly Section[] = [
  'opcodes',
  'registerOps',
  'setupFlags',
  'enterFlags',
  'sqeFlags',
  'features',
]

interface Probe extends Record<Section, { name: string; since: string; supported: boolean }[]> {
  available: boolean
  limits: Record<string, unknown>
}

/** "since" as the comments of the ABI have it: one truth, told twice. */
function sinceInComments(): Map<string, string> {
  const files = ['abi-ops.ts', 'abi-setup.ts', 'abi-register.ts']
  const text = files.map((name) => readFileSync(join(root, 'src', 'sys', name), 'utf8')).join('\n')
  const found = new Map<string, string>()
  for (const [, comment, name] of text.matchAll(/\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\nexport const (\w+) =/g)) {
    found.set(name!, [...comment!.matchAll(/· since (\d+\.\d+)/g)].at(-1)?.[1] ?? '5.1')
  }
  return found
}

test('probe: every name of the ABI, with the kernel that brought it', async (t) => {
  oracle(t)
  const { code, stdout } = await ringcore(['probe', '--json'])
  assert.equal(code, 0)
  const report = JSON.parse(stdout) as Probe
  const told = sinceInComments()
  const seen = new Set<string>()
  for (const section of SECTIONS) {
    for (const { name, since } of report[section]) {
      assert.equal(since, told.get(name), name)
      seen.add(name)
    }
  }
  const wanted = [...told.keys()].filter(
    (name) => /^IORING_(OP|SETUP|ENTER|FEAT)_|^IOSQE_/.test(name) && !/_LAST$|_BIT$/.test(name),
  )
  assert.deepEqual(
    wanted.filter((name) => !seen.has(name)),
    [],
  )
  assert.equal(report.opcodes.length, 65)
  assert.equal(report.registerOps.length, 38)
  const basics = report.opcodes.filter(({ since }) => since === '5.1')
  assert.ok(
    basics.every(({ supported }) => supported),
    'every kernel with io_uring has these',
  )
  assert.equal(report.limits['SQ entries'], 32768)
  assert.match(
    readFileSync('/proc/self/limits', 'utf8'),
    new RegExp(`Max open files +${report.limits.RLIMIT_NOFILE} `),
  )
})

test('probe: the same for people', async (t) => {
  oracle(t)
  const report = JSON.parse((await ringcore(['probe', '--json'])).stdout) as Probe
  const { code, stdout } = await ringcore(['probe'])
  assert.equal(code, 0)
  for (const section of SECTIONS) {
    for (const { name, since, supported } of report[section]) {
      assert.match(
        stdout,
        new RegExp(`^ {2}${supported ? 'yes' : 'no '} +${since} +${name}(?: \\(.*)?$`, 'm'),
      )
    }
  }
  const count = report.opcodes.filter(({ supported }) => supported).length
  assert.match(stdout, new RegExp(`^Opcodes: ${count} of 65$`, 'm'))
  assert.match(stdout, /^ {2}RLIMIT_MEMLOCK +\S/m)
  assert.ok(!stdout.includes('\u001b'), 'no colour in a pipe')
  assert.ok(stdout.split('\n').every((line) => line.length <= 100))
})

test('probe: nobody to ask', async (t) => {
  oracle(t)
  const seccompRun = tool(t, 'seccomp-run')
  if (seccompRun === undefined) return
  const wrap = [seccompRun, 'ENOSYS', 'setup']
  const plain = await ringcore(['probe'], { wrap })
  assert.equal(plain.code, 1)
  assert.match(plain.stdout, /^Cannot probe: .*seccomp.*\(ENOSYS\)\.\nWhat to do: /)
  const json = await ringcore(['probe', '--json'], { wrap })
  assert.equal(json.code, 1)
  assert.equal((JSON.parse(json.stdout) as Probe).available, false)
})

test('a reader that stops early is no failure', (t) => {
  oracle(t)
  const script = `"${process.execPath}" "${main}" probe | head -n 1`
  const { stdout, stderr } = spawnSync('sh', ['-c', script], { encoding: 'utf8' })
  assert.match(stdout, /^Linux .*\n$/)
  assert.equal(stderr, '')
})

test('doctor: here a ring can be made', async (t) => {
  oracle(t)
  const { code, report } = await doctor()
  assert.deepEqual(
    report.steps.filter(({ status }) => status !== 'ok'),
    [],
  )
  assert.equal(code, 0)
  assert.equal(report.available, true)
  const { stdout } = await ringcore(['doctor'])
  assert.match(stdout, /^ok {2}platform/m)
  assert.match(stdout, /A ring can be made here\./)
  assert.ok(!stdout.includes('\u001b'), 'no colour in a pipe')
})

test('doctor: a call that the kernel refuses is named, with cause and cure', async (t) => {
  oracle(t)
  const seccompRun = tool(t, 'seccomp-run')
  if (seccompRun === undefined) return
  for (const call of ['setup', 'enter', 'register']) {
    for (const errno of ['ENOSYS', 'EPERM']) {
      await t.test(`${call} ${errno}`, async (t) => {
        const wrap = [seccompRun, errno, call]
        const plain = await ringcore(['doctor'], { wrap })
        // Newer Nodes have rings of their own, and libuv aborts when it can't enter one.
        if (plain.stderr.includes('libuv: io_uring_enter'))
          return t.skip('this Node does not start without io_uring_enter')
        assert.equal(plain.code, 1)
        assert.match(plain.stdout, /No ring can be made here: /)
        assert.match(plain.stdout, /What to do: allow io_uring_setup, io_uring_enter and io_uring_register/)

        const { code, report } = await doctor({ wrap })
        assert.equal(code, 1)
        assert.equal(report.available, false)
        const bad = report.steps.filter(({ status }) => status === 'failed')
        assert.deepEqual(
          bad.map(({ name }) => name),
          [`io_uring_${call}`],
        )
        assert.match(bad[0]!.detail, new RegExp(`^${errno}: .*seccomp`))
        const after = report.steps.slice(report.steps.indexOf(bad[0]!) + 1)
        assert.ok(after.every(({ status }) => status === 'skipped'))
      })
    }
  }
})

test('doctor: no descriptor left', async (t) => {
  oracle(t)
  const limitRun = tool(t, 'limit-run')
  if (limitRun === undefined) return
  // Loading needs descriptors too: take the rest when the addon is in.
  const greedy = `
    import fs from 'node:fs'
    const load = process.dlopen
    process.dlopen = (...args) => {
      load(...args)
      for (;;) try { fs.openSync('/dev/null') } catch { return }
    }`
  const { code, report } = await doctor({
    wrap: [limitRun, 'nofile=64'],
    nodeArgs: ['--import', `data:text/javascript,${encodeURIComponent(greedy)}`],
  })
  assert.equal(code, 1)
  const bad = report.steps.find(({ status }) => status === 'failed')
  assert.equal(bad?.name, 'io_uring_setup')
  assert.match(bad.detail, /^EMFILE: .*RLIMIT_NOFILE.*64/)
  assert.match(bad.cure ?? '', /ulimit -n/)
})

test('doctor: no locked memory left', async (t) => {
  oracle(t)
  const limitRun = tool(t, 'limit-run')
  if (limitRun === undefined) return
  const { code, report } = await doctor({ wrap: [limitRun, 'memlock=0'] })
  if (code === 0) return t.skip('this kernel does not count rings in RLIMIT_MEMLOCK (5.12 to 6.13)')
  const bad = report.steps.find(({ status }) => status === 'failed')
  assert.match(bad?.detail ?? '', /^ENOMEM: .*RLIMIT_MEMLOCK/)
  assert.match(bad?.cure ?? '', /ulimit -l/)

  const small = await doctor({ wrap: [limitRun, 'memlock=262144'] })
  assert.equal(small.code, 0, 'a small ring fits')
  const limits = small.report.steps.find(({ name }) => name === 'limits')
  assert.equal(limits?.status, 'warning')
  assert.match(limits.detail, /RLIMIT_MEMLOCK/)
})

test('doctor: switched off by the user', async (t) => {
  oracle(t)
  const { code, report } = await doctor({ env: { RINGCORE_DISABLE: '1' } })
  assert.equal(code, 1)
  const bad = report.steps.find(({ status }) => status === 'failed')
  assert.equal(bad?.name, 'environment')
  assert.equal(bad.cure, 'unset RINGCORE_DISABLE')
})

test('doctor: addons are not allowed', async (t) => {
  oracle(t)
  const { code, report } = await doctor({ nodeArgs: ['--no-addons'] })
  assert.equal(code, 1)
  const bad = report.steps.find(({ status }) => status === 'failed')
  assert.equal(bad?.name, 'native part')
  assert.match(bad.detail, /addons are disabled/)
})
