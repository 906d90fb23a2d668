// What the probe finds, and what it says when nothing is to be found: seccomp, sysctl, limits, the kill switch.
// Flow: this → ringcore/ring; children under seccomp-run and limit-run.

import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { available, probe, Ring, SETUP_FLAGS } from 'ringcore/ring'
import * as sys from 'ringcore/sys'
import { REGISTER_OPS, tryRegisterOps } from '#src/ring/probe.js'
import { explainObstacle, type SystemFacts } from '#src/ring/unavailable.js'
import { openDriver } from '#src/sys/open-driver.js'
import { oracle, runNode } from './helpers.js'
import { compileTool } from './tools.js'

test('the report names everything, is plain data, and is made once', (t) => {
  oracle(t)
  const report = probe()
  assert.deepEqual(JSON.parse(JSON.stringify(report)), report)
  assert.equal(probe(), report)
  assert.equal(Object.keys(report.opcodes).length, 65)
  assert.equal(Object.keys(report.registerOps).length, 38)
  assert.equal(Object.keys(report.setupFlags).length, 21)
  assert.equal(Object.keys(report.enterFlags).length, 8)
  assert.equal(Object.keys(report.sqeFlags).length, 7)
  assert.equal(Object.keys(report.features).length, 18)
  assert.equal(report.opcodes.IORING_OP_NOP, true)
  assert.equal(report.setupFlags.IORING_SETUP_SQPOLL, true)
  assert.ok(report.limits.nofile !== null)
})

test('names and numbers of the register operations are the header’s', () => {
  const constants = sys as unknown as Record<string, number>
  for (const [name, value] of REGISTER_OPS) assert.equal(constants[name], value, name)
  assert.equal(REGISTER_OPS.length, sys.IORING_REGISTER_LAST)
})

test('trying finds what asking finds', (t) => {
  oracle(t)
  const report = probe()
  if (report.source !== 'query')
    return t.skip('this kernel does not have IORING_REGISTER_QUERY to compare with')
  const tried = tryRegisterOps(openDriver())
  assert.deepEqual(tried, report.registerOps)
})

test('a setup flag is in the report exactly if a ring can be made with it', (t) => {
  oracle(t)
  const { setupFlags } = probe()
  for (const { option, name } of SETUP_FLAGS) {
    if (['registeredFdOnly', 'sqRewind', 'attachWq', 'cqsize', 'sqAff'].includes(option)) continue
    const companions = {
      ...(option === 'deferTaskrun' && { singleIssuer: true }),
      ...(option === 'taskrunFlag' && { coopTaskrun: true }),
      ...(option === 'hybridIopoll' && { iopoll: true }),
    }
    if (setupFlags[name]) new Ring({ entries: 4, [option]: true, ...companions }).close()
    else assert.throws(() => new Ring({ entries: 4, [option]: true, ...companions }), name)
  }
})

test('here the runtime can run', () => {
  assert.deepEqual(available(), { available: true })
  assert.deepEqual(available('ring'), { available: true })
  assert.deepEqual(probe().missing, [])
})

// What a child prints about itself.
const REPORT = `
  import { available, Ring, probe } from 'ringcore/ring'
  const error = (make) => { try { make(); return null } catch (e) {
    return { code: e.code, message: e.message, cause: e.cause && { code: e.cause.code, errno: e.cause.errno, syscall: e.cause.syscall } }
  } }
  console.log(JSON.stringify({ available: available(), ring: error(() => new Ring({ entries: 8 }).close()), probe: error(probe) }))
`

interface Report {
  available: { available: boolean; code?: string; reason?: string; cure?: string; missing?: string[] }
  ring: { code: string; message: string; cause?: { code: string; errno: number; syscall: string } } | null
  probe: { code: string } | null
}

async function childReport(
  t: TestContext,
  tool: string | undefined,
  args: string[],
  env: NodeJS.ProcessEnv = {},
): Promise<Report | undefined> {
  const wrap: string[] = []
  if (tool !== undefined) {
    const program = compileTool(tool)
    if (typeof program !== 'string') {
      t.skip(program.skip)
      return undefined
    }
    wrap.push(program, ...args)
  }
  const { stdout, stderr, code } = await runNode(REPORT, { wrap, env })
  if (code === 126) {
    t.skip(`${tool} can't do this here: ${stderr.trim()}`)
    return undefined
  }
  if (/^libuv: io_uring_enter/.test(stderr)) {
    t.skip('the libuv of this node aborts when io_uring_enter is refused')
    return undefined
  }
  assert.equal(code, 0, stderr)
  return JSON.parse(stdout) as Report
}

const REFUSALS = [
  { errno: 'ENOSYS', call: 'setup', number: -38, reason: /seccomp filter hides io_uring_setup/ },
  { errno: 'EPERM', call: 'setup', number: -1, reason: /seccomp filter forbids io_uring_setup/ },
  { errno: 'EACCES', call: 'setup', number: -13, reason: /seccomp filter forbids io_uring_setup/ },
  {
    errno: 'ENOMEM',
    call: 'setup',
    number: -12,
    reason: /RLIMIT_MEMLOCK \(\d+ bytes|RLIMIT_MEMLOCK \(unlimited/,
  },
  { errno: 'EPERM', call: 'enter', number: -1, reason: /forbids io_uring_enter/ },
  { errno: 'ENOSYS', call: 'register', number: -38, reason: /hides io_uring_register/ },
] as const

for (const { errno, call, number, reason } of REFUSALS) {
  test(`io_uring_${call} refused with ${errno}: cause and cure are named`, async (t) => {
    const report = await childReport(t, 'seccomp-run', [errno, call])
    if (report === undefined) return
    const { available: answer, ring } = report
    assert.deepEqual([answer.available, answer.code], [false, errno])
    assert.match(answer.reason!, reason)
    assert.match(answer.cure!, errno === 'ENOMEM' ? /ulimit -l/ : /allow io_uring_setup, io_uring_enter and/)
    assert.equal(report.probe?.code, 'ERR_RING_UNAVAILABLE')
    if (call !== 'setup') return
    assert.equal(ring?.code, 'ERR_RING_UNAVAILABLE')
    assert.match(ring.message, reason)
    assert.ok(ring.message.includes(answer.cure!))
    assert.deepEqual(ring.cause, { code: errno, errno: number, syscall: 'io_uring_setup' })
  })
}

test('too many open files: the message names RLIMIT_NOFILE and its value', async (t) => {
  const program = compileTool('limit-run')
  if (typeof program !== 'string') return t.skip(program.skip)
  const script = `
    import { openSync, closeSync } from 'node:fs'
    import { Ring } from 'ringcore/ring'
    new Ring({ entries: 1 }).close()
    const fds = []
    try { for (;;) fds.push(openSync('/dev/null')) } catch {}
    let message = ''
    let code = ''
    try { new Ring() } catch (error) { message = error.message; code = error.cause?.code }
    for (const fd of fds) closeSync(fd)
    console.log(code, message)
  `
  const { stdout, stderr, code } = await runNode(script, { wrap: [program, 'nofile=1024'] })
  if (code === 126) return t.skip(`limit-run can't do this here: ${stderr.trim()}`)
  assert.match(stdout, /^EMFILE Cannot create a ring: .*RLIMIT_NOFILE allows \(1024\).*ulimit -n/)
})

test('too little lockable memory: the message names RLIMIT_MEMLOCK and its value', async (t) => {
  const program = compileTool('limit-run')
  if (typeof program !== 'string') return t.skip(program.skip)
  const script = `
    import { Ring } from 'ringcore/ring'
    let said = 'a ring could be made'
    try { new Ring({ entries: 32768 }).close() } catch (error) { said = error.cause?.code + ' ' + error.message }
    console.log(said)
  `
  const { stdout, stderr, code } = await runNode(script, { wrap: [program, 'memlock=65536'] })
  if (code === 126) return t.skip(`limit-run can't do this here: ${stderr.trim()}`)
  if (stdout.startsWith('a ring could'))
    return t.skip('this kernel does not charge ring memory to RLIMIT_MEMLOCK')
  assert.match(
    stdout,
    /^ENOMEM Cannot create a ring: .*RLIMIT_MEMLOCK \(65536 bytes.*ulimit -l.*fewer entries/,
  )
})

test('RINGCORE_DISABLE=1 switches everything off, and says so', async (t) => {
  const report = await childReport(t, undefined, [], { RINGCORE_DISABLE: '1' })
  assert.deepEqual(report?.available, {
    available: false,
    code: 'RINGCORE_DISABLE',
    reason: 'the environment variable RINGCORE_DISABLE is 1',
    cure: 'unset RINGCORE_DISABLE',
  })
  assert.equal(report?.ring?.code, 'ERR_RING_UNAVAILABLE')
  const off = await childReport(t, undefined, [], { RINGCORE_DISABLE: '0' })
  assert.deepEqual([off?.available, off?.ring], [{ available: true }, null])
})

test('each cause has its own words', () => {
  const facts: SystemFacts = { ioUringDisabled: 0, ioUringGroup: -1, seccomp: 0, memlock: 8192, nofile: 1024 }
  const say = (errno: number, more: Partial<SystemFacts> = {}) => {
    const { reason, cure } = explainObstacle('io_uring_setup', -errno, { ...facts, ...more })
    return `${reason}; ${cure}`
  }
  assert.match(
    say(1, { ioUringDisabled: 2 }),
    /io_uring_disabled is 2.*sysctl -w kernel\.io_uring_disabled=0/,
  )
  assert.match(
    say(1, { ioUringDisabled: 1, ioUringGroup: 999 }),
    /is 1.*CAP_SYS_ADMIN.*io_uring_group is 999/,
  )
  assert.match(say(1, { ioUringDisabled: 1 }), /io_uring_group is not set/)
  assert.match(say(1, { seccomp: 2 }), /seccomp.*Docker/)
  assert.match(say(1), /security module/)
  assert.match(say(38), /no io_uring_setup.*5\.1.*CONFIG_IO_URING/)
  assert.match(
    say(38, { seccomp: 2, ioUringDisabled: null }),
    /seccomp filter hides.*or the kernel is built without/,
  )
  assert.match(say(12), /RLIMIT_MEMLOCK \(8192 bytes/)
  assert.match(say(24), /RLIMIT_NOFILE allows \(1024\)/)
  assert.match(say(23), /fs\.file-max/)
})
