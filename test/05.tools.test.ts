// The test tools themselves: an oracle that never fires, or a guard that guards nothing, would make every other test worthless.
// Flow: this → helpers.ts, tools.ts → test/tools/*.c

import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { openDriver } from '#src/sys/open-driver.js'
import { syscallNumber } from '#src/sys/syscalls.js'
import {
  onlyNodes,
  oracle,
  pipe,
  requires,
  root,
  runNode,
  socketPair,
  until,
  withTimeout,
} from './helpers.js'
import { compileTool, mountBadFs } from './tools.js'

const helpers = join(root, 'build', 'test', 'helpers.js')

/** Runs tests in a process of their own, where they may fail; tells what the reporter says. */
function runTests(bodies: readonly string[]) {
  const head = `import test from 'node:test'
import fs from 'node:fs'
import { oracle, pipe } from ${JSON.stringify(helpers)}
import { openDriver } from '#src/sys/open-driver.js'
globalThis.own = fs.openSync('/dev/null')`
  const tests = bodies.map((body, i) => `test('inner ${i}', async (t) => { oracle(t, 200)\n${body}\n})`)
  return runNode([head, ...tests].join('\n'), { nodeArgs: ['--expose-gc', '--test-reporter=tap'] })
}

test('the epilogue finds what a test leaves behind', async (t) => {
  oracle(t)
  const cases: [what: string, body: string, said: RegExp | undefined][] = [
    ['nothing', '', undefined],
    ['a descriptor', "fs.openSync('/dev/null')", /\/dev\/null/],
    ['a ring', 'openDriver().setup(4, new Uint8Array(120))', /io_uring/],
    [
      'a closed ring that is still mapped',
      `
      const fd = openDriver().setup(4, new Uint8Array(120))
      globalThis.kept = openDriver().map(fd, 4096, 0)
      fs.closeSync(fd)`,
      /maps/,
    ],
    ['a foreign descriptor closed', 'fs.closeSync(globalThis.own)', /gone/],
    [
      'its own clean-up, which runs first',
      "const fd = fs.openSync('/dev/null'); t.after(() => fs.closeSync(fd))",
      undefined,
    ],
    [
      'clean-ups, last in first out',
      "let n = 0; t.after(() => { if (n !== 1) throw new Error('order') }); t.after(() => { n++ })",
      undefined,
    ],
  ]
  const { code, stdout, stderr } = await runTests(cases.map(([, body]) => body))
  assert.equal(code, 1, stderr)
  const reports = stdout.split(/^# Subtest: inner \d+$/m).slice(1)
  assert.equal(reports.length, cases.length, stdout)
  for (const [i, [what, , said]] of cases.entries()) {
    const [report] = reports[i]!.split(/^1\.\./m)
    assert.match(report!, said ? /^not ok/m : /^ok/m, what)
    if (said) assert.match(report!, said, what)
  }
})

test('a child process: output, exit code, signal, too late', async (t) => {
  oracle(t)
  const said = await runNode(
    'console.log(process.argv.at(-1)); console.error(process.env.WORD); process.exit(3)',
    {
      args: ['last'],
      env: { WORD: 'word' },
    },
  )
  assert.deepEqual(said, { code: 3, signal: null, stdout: 'last\n', stderr: 'word\n' })
  assert.equal((await runNode("process.kill(process.pid, 'SIGKILL')")).signal, 'SIGKILL')
  await assert.rejects(runNode('setInterval(() => {}, 1000)', { timeoutMs: 300 }), /more than 300 ms/)
})

test('pipes and socket pairs carry bytes', (t) => {
  oracle(t)
  const { reader, writer } = pipe(t)
  writeFileSync(writer.fd, 'through')
  writer.close()
  assert.equal(readFileSync(reader.fd, 'utf8'), 'through')
  const [a, b] = socketPair(t)
  writeFileSync(a.fd, 'over')
  a.close()
  assert.equal(readFileSync(b.fd, 'utf8'), 'over')
})

test('waiting ends with the reason', async () => {
  await assert.rejects(withTimeout(new Promise(() => {}), 20, 'nothing'), /waited 20 ms for nothing/)
  await assert.rejects(
    until(() => false, 20, 'never'),
    /waited 20 ms for never/,
  )
  assert.equal(await withTimeout(Promise.resolve(1), 20), 1)
})

test('what is missing is said, and a misspelt need is a failure', (t) => {
  const said: (string | undefined)[] = []
  const fake = { skip: (reason?: string) => said.push(reason) } as unknown as TestContext
  assert.ok(requires(fake, { op: 'IORING_OP_NOP', feature: 'IORING_FEAT_NODROP' }))
  assert.ok(!requires(fake, { tool: { skip: 'no compiler' } }))
  assert.ok(!requires(fake, { program: 'no-such-program' }))
  assert.ok(onlyNodes(fake, '20.19'))
  assert.ok(!onlyNodes(fake, '999.0'))
  assert.deepEqual(said, [
    'no compiler',
    'needs no-such-program',
    `needs Node 999.0 or newer, this is ${process.versions.node}`,
  ])
  assert.throws(() => requires(t, { op: 'IORING_OP_NOPE' }), /no such name/)
})

const SETUP = 'openDriver().setup(4, new Uint8Array(120))'

test('seccomp-run refuses exactly the calls it is told to', async (t) => {
  oracle(t)
  const tool = compileTool('seccomp-run')
  if (typeof tool !== 'string') return t.skip(tool.skip)
  const calls = `import { openDriver } from '#src/sys/open-driver.js'
    const driver = openDriver()
    console.log(Math.min(${SETUP}, 0), driver.enter(-1, 0, 0, 0, 0, 0), driver.register(-1, 0, 0, 0))`
  const results = async (...wrap: string[]): Promise<string> =>
    (await runNode(calls, { wrap: [tool, ...wrap] })).stdout.trim()
  assert.match(await results('ENOSYS', 'setup'), /^-38 -9 -(?!38|1$)/)
  assert.match(await results('EPERM', 'register'), /^0 -9 -1$/)
  assert.equal(await results('12', 'setup,enter,register'), '-12 -12 -12')
  // Without setup's refusal: libuv's own ring makes newer Nodes abort at the first enter.
  const { stdout, stderr } = await runNode(calls, { wrap: [tool, 'EPERM', 'enter'] })
  if (!stderr.includes('libuv: io_uring_enter')) assert.match(stdout, /^0 -1 -(?!38|1$)/)
  assert.equal((await runNode('1', { wrap: [tool, 'ENOSYS', 'mount'] })).code, 125)
})

test('limit-run binds root too', async (t) => {
  oracle(t)
  const tool = compileTool('limit-run')
  if (typeof tool !== 'string') return t.skip(tool.skip)
  const script =
    "import { readFileSync } from 'node:fs'; console.log(readFileSync('/proc/self/limits', 'utf8'))"
  const { stdout, code } = await runNode(script, { wrap: [tool, 'nofile=40', 'memlock=65536'] })
  assert.equal(code, 0)
  assert.match(stdout, /Max open files +40 +40 /)
  assert.match(stdout, /Max locked memory +65536 +65536 /)
})

test('under guard-malloc the kernel refuses a Buffer that was collected', async (t) => {
  oracle(t)
  const preload = compileTool('guard-malloc')
  if (typeof preload !== 'string') return t.skip(preload.skip)
  // read(2) into an address whose Buffer nobody holds; with plain malloc that succeeds and corrupts.
  const script = `import { openDriver } from '#src/sys/open-driver.js'
    import { syscallNumber } from '#src/sys/syscalls.js'
    import { openSync } from 'node:fs'
    const driver = openDriver()
    const READ = syscallNumber('read')
    const zero = openSync('/dev/zero')
    const unguarded = [1, 2, 3].map(() => Buffer.allocUnsafeSlow(65536))
    const endsPage = (buffer) => driver.addressOf(buffer) % 4096 === 0
    process.env.GUARD_MALLOC = 'now'
    const address = (() => driver.addressOf(Buffer.allocUnsafeSlow(65536)))()
    const held = Buffer.allocUnsafeSlow(65536).fill(1)
    process.env.GUARD_MALLOC = 'later'
    for (let i = 0; i < 5; i++) { gc(); await new Promise((r) => setTimeout(r, 10)) }
    console.log(driver.syscall(READ, zero, address, 4096), driver.syscall(READ, zero, driver.addressOf(held), 65536),
      unguarded.every(endsPage), endsPage(held))`
  const options = { nodeArgs: ['--expose-gc'], env: { GUARD_MALLOC: 'later' } }
  const { stdout, stderr } = await runNode(script, { ...options, preload })
  if (stderr.includes('cannot be preloaded'))
    return t.skip(`guard-malloc can't be preloaded here: ${stderr.trim()}`)
  // Only what is guarded ends where a page ends.
  assert.equal(stdout, '-14 65536 false true\n')
})

test('badfs is slow, short and failing on demand', async (t) => {
  oracle(t)
  const fs = await mountBadFs(t, 100_000, { direct: 1 })
  if ('skip' in fs) return t.skip(fs.skip)
  const file = await open(fs.file, 'r+')
  t.after(() => file.close())
  const buffer = Buffer.alloc(50)
  fs.set({ rshort: 7 })
  assert.equal((await file.read(buffer, 0, 50, 0)).bytesRead, 7)
  assert.equal(buffer[6], 0x55)
  fs.set({ rerr: 5 })
  await assert.rejects(file.read(buffer, 0, 50, 0), { code: 'EIO' })
  fs.set({ rdelay: 200 })
  const started = performance.now()
  await file.read(buffer, 0, 50, 0)
  assert.ok(performance.now() - started >= 195)
  fs.set({ wshort: 9 })
  // Not file.write: libuv goes on after a short write.
  const driver = openDriver()
  assert.equal(driver.syscall(syscallNumber('write'), file.fd, driver.addressOf(buffer), 50), 9)
  fs.set({ werr: 28 })
  await assert.rejects(file.write(buffer, 0, 50, 0), { code: 'ENOSPC' })
  fs.set({ fsyncerr: 5 })
  await assert.rejects(file.sync(), { code: 'EIO' })
})

test('a tool that does not compile is a reason to skip', () => {
  const tool = compileTool('limit-run', ['-Dmain=1'])
  assert.ok(typeof tool !== 'string' && /limit-run does not compile here/.test(tool.skip))
})
