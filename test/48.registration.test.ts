// Rings that may do only what they were made for, and what is set on a whole ring, against the kernel.
// Flow: this → Uring (restrictions, operations-registration) → kernel.

import assert from 'node:assert/strict'
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { Uring, type UringOptions } from 'ringcore'
import { opTable, probe } from 'ringcore/ring'
import { IORING_OP_READ, IOSQE_ASYNC } from 'ringcore/sys'
import type { Driver } from '#src/sys/driver.js'
import { openDriver } from '#src/sys/open-driver.js'
import { OwnedFd, oracle, pipe, root, runNode, tempDir } from './helpers.js'
import { failure, KINDS, openUring } from './uring.js'

const LICENSE = join(root, 'LICENSE')

/** An fd of a file with text. */
function text(t: TestContext): number {
  return new OwnedFd(t, openSync(LICENSE, 'r')).fd
}

for (const [kind, options] of Object.entries(KINDS)) {
  test(`a restricted ring runs what is allowed and rejects the rest with EACCES (${kind})`, async (t) => {
    oracle(t)
    const ring = openUring(t, { ...options, allow: ['READ', 'IORING_OP_OPENAT'] })
    const fd = text(t)
    const buffer = Buffer.alloc(11)
    assert.equal(await ring.read(fd, buffer, { position: 0 }), 11)
    assert.equal(`${buffer}`, readFileSync(LICENSE, 'utf8').slice(0, 11))
    const opened = await ring.openat(LICENSE)
    closeSync(opened)
    const refused = await Promise.all([
      failure(ring.write(fd, buffer)),
      failure(ring.closeFile(fd)),
      failure(ring.unlinkat(join(tempDir(t), 'nothing'))),
      failure(ring.timeout(1)),
    ])
    assert.deepEqual(
      refused.map(({ code, syscall }) => `${code} ${syscall}`),
      ['EACCES write', 'EACCES close', 'EACCES unlink', 'EACCES timeout'],
    )
    // The refusals broke nothing: what is allowed still runs, also behind one that is not.
    const [bad, good] = [failure(ring.write(fd, buffer)), ring.read(fd, buffer, { position: 0 })]
    assert.equal((await bad).code, 'EACCES')
    assert.equal(await good, 11)
  })
}

test('a restricted ring keeps what the runtime needs: timeouts, cancelling, chains, direct descriptors, groups, alloc', async (t) => {
  oracle(t)
  const ring = openUring(t, { allow: ['READ', 'OPENAT', 'CLOSE', 'READ_FIXED', 'READ_MULTISHOT'] })
  const ends = pipe(t)
  const late = await failure(ring.read(ends.reader.fd, Buffer.alloc(1), { timeout: 5 }))
  assert.equal(late.code, 'ETIMEDOUT')
  const controller = new AbortController()
  const aborted = failure(ring.read(ends.reader.fd, Buffer.alloc(1), { signal: controller.signal }))
  ring.flush()
  controller.abort()
  assert.equal((await aborted).name, 'AbortError')

  const slot = ring.fixedFile()
  const buffer = ring.alloc(4096)
  const steps = await ring.chain((c) => {
    c.openat(LICENSE, 'r', { slot })
    c.read(slot, buffer, { position: 0, length: 11 }).hardlink()
    c.close(slot)
  })
  assert.deepEqual(steps, [0, 11, undefined])
  assert.equal(await ring.readFixed(text(t), buffer, { position: 0, length: 3 }), 3)
  assert.equal(buffer.toString('latin1', 0, 3), 'MIT')
  ring.free(buffer)
  ring.freeFixedFile(slot)

  const file = text(t)
  // Within a chain a step that is not allowed is named.
  const error = await failure(
    ring.chain((c) => {
      c.read(file, Buffer.alloc(4), { position: 0 })
      c.fsync(file)
    }),
  )
  assert.deepEqual([error.code, error.step], ['EACCES', 'fsync'])
  if (probe().opcodes.IORING_OP_READ_MULTISHOT !== true)
    return t.diagnostic('buffer groups: this kernel has no READ_MULTISHOT')
  const group = ring.bufferGroup({ entries: 2, bufferBytes: 64 })
  const { writer, reader } = pipe(t)
  writeSync(writer.fd, 'grouped')
  for await (const chunk of ring.readMultishot(reader.fd, group)) {
    assert.equal(`${chunk.bytes}`, 'grouped')
    chunk.release()
    break
  }
  group.close()
})

test('register operations and flags are refused unless they are allowed', async (t) => {
  oracle(t)
  const bare = openUring(t, { allow: [IORING_OP_READ] })
  for (const call of [
    () => bare.personality(),
    () => bare.workers({ bounded: 1 }),
    () => bare.ring.registerFiles([0]),
    () => bare.ring.unregisterEventfd(),
    () => bare.ring.registerRestrictions([]),
    () => bare.ring.enableRings(),
  ])
    assert.throws(call, {
      code: 'EACCES',
      message: /a restriction of the ring forbids it, io_uring_register/,
    })
  const fd = text(t)
  const buffer = Buffer.alloc(4)
  const flagged = await failure(bare.read(fd, buffer, { position: 0, sqeFlags: IOSQE_ASYNC }))
  assert.deepEqual([flagged.code, flagged.syscall], ['EACCES', 'read'])

  const more = openUring(t, { allow: ['READ', 'IOSQE_ASYNC', 'IORING_REGISTER_PERSONALITY'] })
  assert.equal(await more.read(fd, buffer, { position: 0, sqeFlags: IOSQE_ASYNC }), 4)
  const personality = more.personality()
  assert.equal(await more.read(fd, buffer, { position: 0, personality: personality.id }), 4)
  // To take it back is an operation of its own.
  assert.throws(() => personality.close(), { code: 'EACCES' })
})

test('what is not in the list of names is refused before a ring is made', (t) => {
  oracle(t)
  const wrong: [unknown, string, RegExp][] = [
    ['READ', 'ERR_INVALID_ARG_TYPE', /"options.allow" property must be an instance of Array/],
    [[null], 'ERR_INVALID_ARG_TYPE', /"options.allow"/],
    [['READ', 'NO_SUCH'], 'ERR_INVALID_ARG_VALUE', /'options.allow' may name opcodes.*'NO_SUCH'/],
    [['constructor'], 'ERR_INVALID_ARG_VALUE', /'constructor'/],
    [[1.5], 'ERR_INVALID_ARG_VALUE', /may hold opcodes from 0 to 64/],
    [[-1], 'ERR_INVALID_ARG_VALUE', /may hold opcodes/],
    [[opTable.length], 'ERR_INVALID_ARG_VALUE', /may hold opcodes/],
  ]
  for (const [allow, code, message] of wrong)
    assert.throws(() => new Uring({ allow } as UringOptions), { code, message })
  // The kernel refuses lists with opcodes that it does not know: the error says which, and no ring is left.
  const unknown = opTable.filter(({ constant }) => probe().opcodes[constant] !== true).at(-1)
  if (unknown === undefined) return t.diagnostic('this kernel has every opcode')
  assert.throws(() => new Uring({ allow: [unknown.name] }), {
    code: 'ERR_RING_FEATURE',
    message: new RegExp(`${unknown.constant}.*${unknown.since}`),
  })
})

test('an empty list allows only what the loop needs, and the ring closes', async (t) => {
  oracle(t)
  const ring = openUring(t, { allow: [], wait: 'ring' })
  assert.equal(await ring.nop(), 0)
  assert.equal((await failure(ring.read(0, Buffer.alloc(1)))).code, 'EACCES')
  await ring.close()
})

test('personality: credentials for an operation, until they are taken back', async (t) => {
  oracle(t)
  const ring = openUring(t)
  const fd = text(t)
  const buffer = Buffer.alloc(4)
  const personality = ring.personality()
  assert.ok(personality.id > 0)
  assert.equal(await ring.read(fd, buffer, { position: 0, personality: personality.id }), 4)
  personality.close()
  personality[Symbol.dispose]()
  const gone = await failure(ring.read(fd, buffer, { position: 0, personality: personality.id }))
  assert.deepEqual([gone.code, gone.syscall], ['EINVAL', 'read'])
  const kept = ring.personality()
  await ring.close()
  kept.close()
  assert.throws(() => ring.personality(), { code: 'ERR_RING_CLOSED' })
})

test('personality: outlives setuid', async (t) => {
  if (process.getuid!() !== 0) return t.skip('needs root, to have privileges to give up')
  oracle(t)
  const { code, stderr, stdout } = await runNode(`
    import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
    import { tmpdir } from 'node:os'
    import { Uring } from 'ringcore'
    const dir = mkdtempSync(tmpdir() + '/ringcore-')
    writeFileSync(dir + '/secret', 'x', { mode: 0o600 })
    const ring = new Uring()
    const personality = ring.personality()
    process.seteuid(65534)
    const plain = await ring.openat(dir + '/secret').catch((error) => error.code)
    const fd = await ring.openat(dir + '/secret', 'r', { personality: personality.id })
    console.log(plain, typeof fd)
    process.seteuid(0)
    await ring.closeFile(fd)
    await ring.close()
    rmSync(dir, { recursive: true })
  `)
  assert.deepEqual({ code, stderr, stdout }, { code: 0, stderr: '', stdout: 'EACCES number\n' })
})

test('workers: limits are set, read back, and restored', (t) => {
  oracle(t)
  const ring = openUring(t)
  const before = ring.workers()
  assert.ok(before.bounded > 0 && before.unbounded > 0, JSON.stringify(before))
  assert.deepEqual(ring.workers({ bounded: 3 }), before)
  assert.deepEqual(ring.workers({ unbounded: 5 }), { ...before, bounded: 3 })
  assert.deepEqual(ring.workers(before), { bounded: 3, unbounded: 5 })
  assert.deepEqual(ring.workers(), before)
  assert.throws(() => ring.workers(5 as never), { code: 'ERR_INVALID_ARG_TYPE' })
  assert.throws(() => ring.workers({ bounded: -1 }), { code: 'ERR_OUT_OF_RANGE', message: /bounded/ })
})

test('affinity, clock, busy polling: taken or refused, and the loop goes on', async (t) => {
  oracle(t)
  const ring = openUring(t)
  ring.affinity([0])
  assert.equal(await ring.read(text(t), Buffer.alloc(4), { position: 0, sqeFlags: IOSQE_ASYNC }), 4)
  const lifted = t.mock.method(ring.ring, 'unregisterIowqAff')
  ring.affinity(null)
  assert.equal(lifted.mock.callCount(), 1)
  assert.throws(() => ring.affinity([5000]), { code: 'ERR_OUT_OF_RANGE' })
  assert.throws(() => ring.affinity('0' as never), { code: 'ERR_INVALID_ARG_TYPE' })

  assert.throws(() => ring.clock('realtime' as never), { code: 'ERR_INVALID_ARG_VALUE', message: /boottime/ })
  if (probe().registerOps.IORING_REGISTER_CLOCK === true) {
    for (const name of ['boottime', 'monotonic'] as const) {
      ring.clock(name)
      await ring.timeout(2)
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
  } else t.diagnostic('clock: needs kernel 6.12')

  for (const [bad, code] of [
    [{}, 'ERR_INVALID_ARG_TYPE'],
    [{ busyPollUs: -1 }, 'ERR_OUT_OF_RANGE'],
    [{ busyPollUs: 1, preferBusyPoll: 1 }, 'ERR_INVALID_ARG_TYPE'],
    [{ busyPollUs: 1, tracking: 'x' }, 'ERR_INVALID_ARG_VALUE'],
    [undefined, 'ERR_INVALID_ARG_TYPE'],
  ] as const)
    assert.throws(() => ring.napi(bad as never), { code })
  try {
    assert.deepEqual(ring.napi({ busyPollUs: 50, preferBusyPoll: true }), {
      busyPollUs: 0,
      preferBusyPoll: false,
    })
    assert.deepEqual(ring.napi({ busyPollUs: 20 }), { busyPollUs: 50, preferBusyPoll: true })
    ring.napi(null)
    await ring.nop()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'EOPNOTSUPP' && code !== 'ENOTSUP' && code !== 'EINVAL') throw error
    t.diagnostic(`busy polling: this kernel refuses it (${code})`)
  }
})

test('resize: queues of other sizes under an event loop that is busy', async (t) => {
  oracle(t)
  if (probe().registerOps.IORING_REGISTER_RESIZE_RINGS !== true) return t.skip('needs kernel 6.13')
  const ring = openUring(t, { entries: 16, cqEntries: 64, inFlight: 32 })
  const ends = pipe(t)
  const waiting = Array.from({ length: 8 }, () => ring.read(ends.reader.fd, Buffer.alloc(1)))
  for (const [entries, cqEntries] of [
    [64, 256],
    [8, 64],
    [512, 4096],
  ] as const) {
    const nops = Array.from({ length: 20 }, () => ring.nop())
    ring.resize({ entries, cqEntries })
    assert.deepEqual([ring.ring.sqEntries, ring.ring.cqEntries], [entries, cqEntries])
    await Promise.all(nops)
    await Promise.all(Array.from({ length: 100 }, () => ring.nop()))
  }
  writeSync(ends.writer.fd, 'x'.repeat(8))
  assert.deepEqual(await Promise.all(waiting), Array(8).fill(1))
  for (const [code, sizes] of [
    ['ERR_OUT_OF_RANGE', { entries: 0, cqEntries: 64 }],
    ['ERR_OUT_OF_RANGE', { entries: 8, cqEntries: 32 }],
    ['ERR_INVALID_ARG_TYPE', { entries: 8 }],
    ['ERR_INVALID_ARG_TYPE', 5],
  ] as const)
    assert.throws(() => ring.resize(sizes as never), { code })
  const plain = openUring(t, { deferTaskrun: false, inFlight: 8 })
  assert.throws(() => plain.resize({ entries: 8, cqEntries: 64 }), { code: 'ERR_INVALID_ARG_VALUE' })
})

test('resize: a ring whose new pages can’t be mapped is at its end, loudly', async (t) => {
  oracle(t)
  if (probe().registerOps.IORING_REGISTER_RESIZE_RINGS !== true) return t.skip('needs kernel 6.13')
  const real = openDriver()
  let isFull = false
  const map: Driver['map'] = (fd, bytes, offset) => (fd >= 0 && isFull ? -12 : real.map(fd, bytes, offset))
  const ring = new Uring({ entries: 16, cqEntries: 64, inFlight: 32, driver: { ...real, map } })
  const { reader } = pipe(t)
  const ticks = ring.timeoutMultishot(60_000)
  const ended = [ring.read(reader.fd, Buffer.alloc(1)), ticks.next()].map((promise) => failure(promise))
  await ring.nop()
  isFull = true
  const noRoom = { code: 'ENOMEM', syscall: 'mmap' }
  assert.throws(() => ring.resize({ entries: 64, cqEntries: 256 }), noRoom)
  assert.deepEqual(
    (await Promise.all(ended)).map(({ code }) => code),
    ['ENOMEM', 'ERR_RING_CLOSED'],
  )
  assert.ok(ring.closed)
  assert.equal((await failure(ring.nop())).code, 'ERR_RING_CLOSED')
  await assert.rejects(ring.close(), noRoom)
  isFull = false
  await ring.close() // by count: the read and the timeout are cancelled first
  await ring.close()
})

test('cancelSync: cancelled when it returns', async (t) => {
  oracle(t)
  const ring = openUring(t)
  const ends = pipe(t)
  const fd = ends.reader.fd
  const reads = [1, 2].map(() => failure(ring.read(fd, Buffer.alloc(1))))
  const poll = failure(ring.poll(fd, 1))
  assert.equal(ring.cancelSync({ fd, op: 'READ' }), 2)
  for (const read of reads) assert.equal((await read).code, 'ECANCELED')
  assert.equal(ring.cancelSync({ fd }), 1)
  assert.equal((await poll).code, 'ECANCELED')
  assert.equal(ring.cancelSync({ fd }), 0)
  assert.equal(ring.cancelSync({ op: 'ACCEPT' }, 5), 0)
  for (const [code, call] of [
    ['ERR_INVALID_ARG_VALUE', () => ring.cancelSync({})],
    ['ERR_INVALID_ARG_VALUE', () => ring.cancelSync({ all: true, fd: 1 })],
    ['ERR_OUT_OF_RANGE', () => ring.cancelSync({ fd: -1 })],
    ['ERR_OUT_OF_RANGE', () => ring.cancelSync({ fd: 1 }, -1)],
    ['EBADF', () => ring.cancelSync({ fd: 999_999 })],
  ] as const)
    assert.throws(call, { code })
  await ring.close()
  assert.throws(() => ring.cancelSync({ all: true }), { code: 'ERR_RING_CLOSED' })
})

test("the eventfd is the loop's: another one is refused", (t) => {
  oracle(t)
  const ring = openUring(t)
  assert.throws(() => ring.ring.registerEventfd(text(t)), { code: /EBUSY|EINVAL/, message: /EVENTFD/ })
})

test('after close() every one of them says so', async (t) => {
  oracle(t)
  const ring = new Uring()
  await ring.close()
  for (const call of [
    () => ring.personality(),
    () => ring.workers(),
    () => ring.affinity(null),
    () => ring.napi(null),
    () => ring.clock('monotonic'),
  ])
    assert.throws(call, { code: 'ERR_RING_CLOSED' })
})
