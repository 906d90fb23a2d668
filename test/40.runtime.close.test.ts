// How a ring ends, what holds the process open, and what an idle ring costs: nothing.
// Flow: this → Uring.close, ref, unref → engine.ts → addon (teardown), libuv.

import assert from 'node:assert/strict'
import { existsSync, writeSync } from 'node:fs'
import test from 'node:test'
import { Resource, Uring, type UringOptions } from 'ringcore'
import { IOSQE_ASYNC } from 'ringcore/sys'
import { isSoak } from './hazards/common.js'
import { collectGarbage, countFds, oracle, pipe, requires, runNode, withTimeout } from './helpers.js'
import { blockedReads, failure, KINDS, oneOf, openUring, testKinds, turn } from './uring.js'

testKinds('close with nothing, twice, at once', async (_t, ring) => {
  const before = countFds().rings
  const closing = [ring.close(), ring.close()]
  assert.equal(ring.closed, true)
  await withTimeout(Promise.all(closing), 2000)
  await ring.close()
  assert.equal(countFds().rings, before - 1)
})

testKinds('close with operations in flight: all reject with ERR_RING_CLOSED', async (t, ring) => {
  const { reads, reader } = blockedReads(t, ring, 50)
  const pending = [
    ...reads,
    ring.timeout(1e9),
    ring.poll(reader.fd, 1),
    ring.read(reader.fd, Buffer.alloc(1), { sqeFlags: IOSQE_ASYNC }),
    ring.read(reader.fd, Buffer.alloc(1), { timeout: 60_000 }),
    ring.read(reader.fd, Buffer.alloc(1), { signal: new AbortController().signal }),
    ring.chain((c) => {
      c.timeout(1e9).hardlink()
      c.read(reader.fd, Buffer.alloc(1)).hardlink()
      c.read(reader.fd, Buffer.alloc(1))
    }),
  ]
  for (const each of pending) each.catch(() => {})
  await turn()
  await turn()
  await withTimeout(ring.close(), 3000, 'close')
  for (const each of pending) assert.equal((await failure(each)).code, 'ERR_RING_CLOSED')
  assert.equal(ring.stats().inFlight, 0)
})

testKinds('close in the turn in which operations began: some end, all settle', async (t, ring) => {
  const { reads } = blockedReads(t, ring, 5)
  const nops = Array.from({ length: 100 }, () => ring.nop())
  const opened = ring.openat('/dev/null', 'r')
  const all = Promise.allSettled([...reads, ...nops, opened])
  await withTimeout(ring.close(), 2000, 'close')
  const results = await withTimeout(all, 1000, 'every promise')
  for (const result of results) {
    if (result.status === 'rejected') assert.equal(result.reason.code, 'ERR_RING_CLOSED')
  }
  if (results[105]!.status === 'fulfilled') {
    const late = openUring(t)
    await late.closeFile(results[105]!.value)
  }
})

testKinds('close inside a callback, and new operations while it closes', async (t, ring) => {
  const { reads } = blockedReads(t, ring, 3)
  const errors: (string | undefined)[] = []
  const closed = ring.nop().then(() => {
    const closing = ring.close()
    ring.nop().catch((error: NodeJS.ErrnoException) => errors.push(error.code))
    return closing
  })
  const reactions = reads.map((read) =>
    read.catch(() => ring.nop().catch((error: NodeJS.ErrnoException) => errors.push(error.code))),
  )
  await withTimeout(Promise.all([closed, ...reactions]), 2000, 'close')
  assert.deepEqual(errors, Array(4).fill('ERR_RING_CLOSED'))
})

test('close while a chain is written is refused', async (t) => {
  oracle(t)
  const ring = openUring(t)
  let closing: Promise<void> | undefined
  assert.deepEqual(
    await ring.chain((c) => {
      c.nop()
      closing = ring.close()
      closing.catch(() => {})
      c.nop()
    }),
    [0, 0],
  )
  assert.equal((await failure(closing!)).code, 'ERR_INVALID_STATE')
  assert.equal(ring.closed, false)
})

testKinds('an owned file can be closed after its ring', async (t, ring) => {
  const file = new Resource(await ring.openat('/dev/null', 'r'))
  const { reader } = pipe(t)
  const busy = new Resource(reader.release())
  const read = failure(ring.read(busy, Buffer.alloc(1)))
  await turn()
  const both = [ring.close(), ring.closeFile(busy)]
  await withTimeout(Promise.all(both), 2000)
  await read
  await ring.closeFile(file)
  assert.equal(file.fd, -1)
  // The oracle says whether both descriptors are gone.
})

test('await using closes; rings come and go', async (t) => {
  oracle(t)
  const before = countFds()
  for (const options of Object.values(KINDS)) {
    for (let i = 0; i < 5; i++) {
      await using ring = new Uring(options)
      await Promise.all([ring.nop(), ring.timeout(0)])
      assert.equal(countFds().rings, before.rings + 1)
    }
  }
  assert.deepEqual(countFds().rings, before.rings)
})

test('a ring that was dropped is closed, with a warning', async (t) => {
  oracle(t)
  if (!requires(t, { gc: true })) return
  const { code, stdout, stderr } = await runNode(
    `
    import { Uring } from 'ringcore'
    import { readdirSync, readlinkSync } from 'node:fs'
    const rings = () => readdirSync('/proc/self/fd').filter((fd) => {
      try { return readlinkSync('/proc/self/fd/' + fd).includes('io_uring') } catch { return false }
    }).length
    const before = rings() // libuv may have some of its own
    process.on('warning', (warning) => console.log(warning.name, warning.code))
    await (async () => { await new Uring().nop() })()
    for (let i = 0; i < 50 && rings() > before; i++) { gc(); await new Promise((resolve) => setTimeout(resolve, 10)) }
    console.log(rings() - before)
  `,
    { nodeArgs: ['--expose-gc', '--no-warnings'] },
  )
  assert.deepEqual(
    { code, stdout, stderr },
    { code: 0, stdout: 'RingLeakWarning RINGCORE_RING_LEAK\n0\n', stderr: '' },
  )
  await collectGarbage()
})

test('flushSync settles what can end', async (t) => {
  oracle(t)
  const ring = openUring(t)
  const { reader, writer } = pipe(t)
  let settled = 0
  const all = [
    ring.nop(),
    ring.write(writer.fd, Buffer.from('x')),
    ring.read(reader.fd, Buffer.alloc(1)),
    ring.timeout(5),
    ring.fsync(reader.fd).catch(() => {}),
  ].map((each) => each.then(() => settled++))
  ring.flushSync()
  assert.equal(ring.stats().inFlight, 0)
  await Promise.all(all)
  assert.equal(settled, 5)
  const inCallback = ring.nop().then(() => {
    const written = ring.write(writer.fd, Buffer.from('y'))
    ring.flushSync()
    return written
  })
  assert.equal(await Promise.all([inCallback, ring.nop(), ring.nop()]).then(([n]) => n), 1)
})

/** What a child does: 'exits' by itself soon, or 'stays' until it is told. */
const processes: [name: string, does: 'exits' | 'stays', script: string][] = [
  ['an idle ring', 'exits', 'await ring.nop()'],
  ['a ring never used', 'exits', ''],
  ['an operation in flight', 'stays', 'void blocked()'],
  ['an operation without ref', 'exits', 'void blocked({ ref: false })'],
  ['one with, one without', 'stays', 'void blocked({ ref: false }); void blocked()'],
  ['unref of the ring', 'exits', 'void blocked(); ring.unref()'],
  ['unref before', 'exits', 'ring.unref(); void blocked()'],
  ['unref and ref', 'stays', 'void blocked(); ring.unref(); ring.ref()'],
  ['unref, ref and unref', 'exits', 'ring.unref(); void blocked(); ring.ref(); ring.unref()'],
  ['unref before, ref after', 'stays', 'ring.unref(); void blocked(); ring.ref()'],
  ['unref in a later turn', 'exits', 'void blocked(); setTimeout(() => ring.unref(), 50)'],
  [
    'an operation aborted',
    'exits',
    'const c = new AbortController(); blocked({ signal: c.signal }).catch(() => {}); setTimeout(() => c.abort(), 30)',
  ],
  ['an operation that ends', 'exits', 'await ring.timeout(30)'],
  ['a ring closed', 'exits', 'blocked().catch(() => {}); setTimeout(() => ring.close(), 30)'],
  [
    'multishots without ref',
    'exits',
    'ring.pollMultishot(0, 1, { ref: false }); ring.timeoutMultishot(10, { ref: false })',
  ],
  ['unref before multishots', 'exits', 'ring.unref(); ring.pollMultishot(0, 1); ring.timeoutMultishot(10)'],
  ['a multishot', 'stays', 'ring.pollMultishot(0, 1)'],
  ['operations that wait for a slot', 'stays', 'for (let i = 0; i < 5000; i++) void blocked()'],
]

for (const wait of ['ring', 'epoll'] as const) {
  test(`what holds the process open (wait: ${wait})`, { concurrency: false }, async (t) => {
    oracle(t)
    // Where the thread waits hardly matters: of the second way each other case is enough, but in the soak.
    const cases = processes.filter((_, i) => isSoak || wait === 'ring' || i % 2 === 0)
    const results = await Promise.all(
      cases.map(async ([name, , script]) => {
        const source = `
          import { Uring } from 'ringcore'
          const ring = new Uring({ wait: '${wait}' })
          const blocked = (options) => ring.read(0, Buffer.alloc(1), options)
          // Says so when it was held open, and leaves: after ten turns of the loop in which it could have ended.
          let turns = 0
          setInterval(() => { if (++turns === 10) { console.log('stays'); process.exit(0) } }, 100).unref()
          process.on('exit', () => console.log('ends'))
          ${script}
        `
        const { code, stdout, stderr } = await runNode(source, { timeoutMs: 60_000, silentStdin: true })
        return {
          name,
          code,
          stderr,
          does: stdout === 'ends\n' ? 'exits' : stdout === 'stays\nends\n' ? 'stays' : stdout,
        }
      }),
    )
    assert.deepEqual(
      results,
      cases.map(([name, does]) => ({ name, code: 0, stderr: '', does })),
    )
  })
}

testKinds(
  'waiting costs no CPU',
  async (t, ring, options: UringOptions) => {
    const { reads, writer } = blockedReads(t, ring, 3)
    // SQPOLL's thread is the process's, and stays awake 20 ms for each thing it is given.
    const most = options.sqpoll === true ? 60 : 20
    const timer = setTimeout(() => {}, 60_000)
    await ring.timeout(30) // let what was started settle, and SQPOLL's thread fall asleep
    await oneOf(5, async () => {
      const before = process.cpuUsage()
      await new Promise((resolve) => setTimeout(resolve, 300))
      const { user, system } = process.cpuUsage(before)
      const ms = (user + system) / 1000
      assert.ok(ms < most, `${ms} ms of CPU in 300 ms (${JSON.stringify(options)})`)
    })
    clearTimeout(timer)
    writeSync(writer.fd, Buffer.from('xyz'))
    await Promise.all(reads)
    await oneOf(5, async () => {
      const idle = process.cpuUsage()
      await new Promise((resolve) => setTimeout(resolve, 200))
      const after = process.cpuUsage(idle)
      assert.ok((after.user + after.system) / 1000 < most, 'an idle ring')
    })
  },
  Object.fromEntries(Object.entries(KINDS).filter(([kind]) => !/CQE32|SQE128/.test(kind))),
)

test('a close that waits for its turn when the ring closes: the descriptor is closed', async (t) => {
  oracle(t)
  const ring = openUring(t, { inFlight: 1 })
  const { reader } = pipe(t)
  const file = new Resource(await ring.openat('/dev/null', 'r'))
  const { fd } = file
  const read = failure(ring.read(reader.fd, Buffer.alloc(1)))
  const closed = ring.closeFile(file)
  await ring.close()
  await closed
  assert.equal(existsSync(`/proc/self/fd/${fd}`), false)
  assert.equal((await read).code, 'ERR_RING_CLOSED')
})
