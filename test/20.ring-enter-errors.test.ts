// enter fails with EINTR, EAGAIN, EBUSY: nothing is lost, nothing runs twice. strace injects the errors into a child.
// Flow: this → strace → node → ringcore/ring.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import test, { type TestContext } from 'node:test'
import { isSoak } from './hazards/common.js'
import { runNode } from './helpers.js'

/** How many rings libuv makes for itself while node starts; its own enters must not be hit. */
function ringsOfNode(): number | { skip: string } {
  const args = ['-qqq', '-e', 'trace=io_uring_setup', process.execPath, '--input-type=module', '-e', '']
  const { error, status, stderr } = spawnSync('strace', args, { encoding: 'utf8' })
  if (error) return { skip: 'needs strace' }
  if (status !== 0) return { skip: `strace does not work here: ${stderr.trim()}` }
  return stderr.split('\n').filter((line) => line.startsWith('io_uring_setup')).length
}

const own = ringsOfNode()

/** The command that makes io_uring_enter fail, or why it can't be had. */
function inject(error: string, when: string): { wrap: string[] } | { skip: string } {
  if (typeof own !== 'number') return own
  const rules = ['-e', `inject=io_uring_enter:error=${error}:when=${when}`]
  // libuv does without its rings when it can't have them; then every enter is ours.
  if (own > 0) rules.push('-e', `inject=io_uring_setup:error=EPERM:when=1..${own}`)
  const trace = [
    '-f',
    '-qqq',
    '--seccomp-bpf',
    '-o',
    '/dev/null',
    '-e',
    'trace=io_uring_enter,io_uring_setup',
  ]
  return { wrap: ['strace', ...trace, ...rules] }
}

// 200 numbered writes of one byte into a pipe: each byte must arrive once, in order per batch, whatever enter answers.
const SCRIPT = `
  import { Ring, prepWrite, prepNop } from 'ringcore/ring'
  import { syscallNumber } from '#src/sys/syscalls.js'
  import { readSync } from 'node:fs'
  const kind = JSON.parse(process.argv.at(-1))
  const ring = new Ring({ entries: 8, ...kind })
  const pair = new Int32Array(2)
  ring.driver.syscall(syscallNumber('pipe2'), ring.driver.addressOf(pair), 0)
  const bytes = Uint8Array.from({ length: 200 }, (_, i) => i)
  const base = ring.driver.addressOf(bytes)
  const errors = {}
  const results = new Map()
  let next = 0
  let calls = 0
  const collect = () => ring.forEachCqe((id, high, res) => {
    if (results.has(id)) throw new Error('CQE ' + id + ' came twice')
    results.set(id, res)
  })
  while (results.size < 200) {
    if (++calls > 5000) throw new Error('no progress')
    while (next < 200 && ring.sqSpaceLeft() > 0) {
      const sqe = ring.getSqe()
      prepWrite(sqe, pair[1], base + next, 1, -1)
      sqe.setUserData(next++)
    }
    const before = ring.sqReady()
    try {
      const taken = ring.submitAndWait(Math.min(4, 200 - results.size))
      if (!kind.sqpoll && before - ring.sqReady() !== taken) throw new Error('the count is wrong')
    } catch (error) {
      if (error.syscall !== 'io_uring_enter') throw error
      errors[error.code] = (errors[error.code] ?? 0) + 1
      if (!kind.sqpoll && ring.sqReady() !== before) throw new Error('SQEs were lost')
    }
    try { collect() } catch (error) { if (error.syscall !== 'io_uring_enter') throw error }
  }
  const into = Buffer.alloc(1000)
  const length = readSync(pair[0], into)
  console.log(JSON.stringify({
    length,
    distinct: new Set(into.subarray(0, length)).size,
    failed: [...results.values()].filter((res) => res !== 1).length,
    inKernel: ring.inKernel,
    errors: Object.keys(errors),
  }))
  ring.close({ cancel: true })
`

const KINDS = [{}, { singleIssuer: true, deferTaskrun: true }, { sqpoll: true, sqThreadIdleMs: 1 }]

async function check(
  t: TestContext,
  error: string,
  when: string,
  nth: number,
  expected: string[],
): Promise<void> {
  const tool = inject(error, when)
  if ('skip' in tool) return t.skip(tool.skip)
  for (const kind of isSoak ? KINDS : [KINDS[nth % KINDS.length]!]) {
    const { stdout, stderr, code } = await runNode(SCRIPT, { wrap: tool.wrap, args: [JSON.stringify(kind)] })
    // strace may have a word to say about a thread that ended under it; that is not the child's.
    const said = stderr.replace(/^(?:\/\S*\/)?strace: .*\n/gm, '')
    assert.deepEqual([code, said], [0, ''], `${error} at ${when}, ${JSON.stringify(kind)}: ${stdout}`)
    const { errors, ...rest } = JSON.parse(stdout) as { errors: string[] }
    const what = `${error} at ${when}, ${JSON.stringify(kind)}`
    assert.deepEqual(rest, { length: 200, distinct: 200, failed: 0, inKernel: 0 }, what)
    if (!('sqpoll' in kind)) assert.deepEqual(errors, expected, what)
  }
}

// Every error meets every kind and every call, and every kind every call; the soak has all 27 combinations.
for (const [i, when] of ['1', '2..4', '1+3'].entries()) {
  test(`EINTR is not an error, at call ${when}`, (t) => check(t, 'EINTR', when, i, []))
  test(`EAGAIN is told and loses nothing, at call ${when}`, (t) =>
    check(t, 'EAGAIN', when, i + 1, ['EAGAIN']))
  test(`EBUSY is told and loses nothing, at call ${when}`, (t) => check(t, 'EBUSY', when, i + 2, ['EBUSY']))
}

test('what each error means is said', async (t) => {
  const cases: [string, RegExp][] = [
    ['EAGAIN', /^EAGAIN: .*stay queued, submit again later, io_uring_enter$/],
    ['EBUSY', /^EBUSY: .*read CQEs, then submit again, io_uring_enter$/],
    ['EBADR', /^EBADR: a CQE was lost/],
    ['EOWNERDEAD', /^EOWNERDEAD: the SQPOLL thread has died/],
    ['EEXIST', /^EEXIST: the ring belongs to the thread/],
    ['EFAULT', /^EFAULT: .*io_uring_enter$/],
  ]
  const script = `
    import { Ring, prepNop } from 'ringcore/ring'
    const ring = new Ring({ entries: 4 })
    prepNop(ring.getSqe())
    let said = 'nothing'
    try { ring.submit() } catch (error) { said = error.message }
    console.log(said)
    console.log(ring.sqReady(), ring.flush(), ring.inKernel)
    ring.forEachCqe(() => {})
    ring.close()
  `
  for (const [error, message] of cases) {
    const tool = inject(error, '1')
    if ('skip' in tool) return t.skip(tool.skip)
    const { stdout, stderr } = await runNode(script, { wrap: tool.wrap })
    const [said, counts] = stdout.trim().split('\n')
    assert.match(said!, message, stderr)
    assert.equal(counts, '1 1 1', 'the SQE stayed queued, and ran once')
  }
})

test('flush answers what loses nothing instead of throwing it', async (t) => {
  const script = `
    import { Ring, prepNop } from 'ringcore/ring'
    const ring = new Ring({ entries: 4 })
    prepNop(ring.getSqe())
    console.log([ring.flush(), ring.flush(), ring.forEachCqe(() => {})].join())
    ring.close()
  `
  for (const [error, number] of [
    ['EINTR', -4],
    ['EAGAIN', -11],
    ['EBUSY', -16],
  ] as const) {
    const tool = inject(error, '1')
    if ('skip' in tool) return t.skip(tool.skip)
    const { stdout, stderr } = await runNode(script, { wrap: tool.wrap })
    assert.equal(stdout.trim(), `${number},1,1`, stderr)
  }
})
