// The ring's protocol under disturbance: full queues, overflow, bad entries, enter that fails, signals, callbacks, the process's end.
// Flow: this → Ring, Uring; the rough ones through test/hazards/protocol.ts in processes of their own, some under strace.
// Cases 41 to 45, 47, 68.

import assert from 'node:assert/strict'
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import test from 'node:test'
import { TcpListener, Uring, type UringOptions } from 'ringcore'
import { Ring } from 'ringcore/ring'
import { IORING_OP_NOP, IOSQE_IO_LINK } from 'ringcore/sys'
import { prepNop } from '#src/op/index.js'
import { SQE } from '#src/ring/sqe.js'
import {
  assertIdle,
  DISTINCT_RINGS,
  isSoak,
  onEach,
  RINGS,
  runProgram,
  runPrograms,
  times,
  watch,
  withRing,
} from './hazards/common.js'
import {
  AS_INSTALLED,
  oracle,
  pipe,
  requires,
  root,
  runNode,
  socketPair,
  tempDir,
  withTimeout,
} from './helpers.js'

const ECANCELED = -125
const EINVAL = -22

// ---------------------------------------------------------------- 41: more than fits

for (const kind of DISTINCT_RINGS) {
  test(`41: ten times as many operations as entries in one turn: each gets its own answer, ${kind}`, async (t) => {
    oracle(t)
    const path = join(tempDir(t), 'file')
    writeFileSync(
      path,
      Uint8Array.from({ length: 4096 }, (_, i) => (i * 13) & 0xff),
    )
    const fd = openSync(path, 'r')
    t.after(() => closeSync(fd))
    for (const entries of [1, 2, 8, 64]) {
      const ring = new Uring({ ...RINGS[kind], entries })
      const watched = watch(ring)
      const positions = Array.from({ length: entries * 10 }, (_, i) => (i * 37) % 4000)
      const read = async (position: number): Promise<void> => {
        const buffer = Buffer.alloc(4)
        assert.equal(await ring.read(fd, buffer, { position }), 4)
        assert.deepEqual(
          [...buffer],
          [0, 1, 2, 3].map((k) => ((position + k) * 13) & 0xff),
        )
      }
      await withTimeout(
        Promise.all(positions.map(read)),
        10_000,
        `${entries * 10} reads on ${entries} entries`,
      )
      await assertIdle(ring, watched)
    }
  })
}

test('41: a full SQ says so, and loses nothing', (t) => {
  oracle(t)
  for (const options of [{}, { submitAll: true }, { singleIssuer: true, deferTaskrun: true }]) {
    using ring = new Ring({ entries: 4, cqEntries: 64, ...options })
    const seen: number[] = []
    for (let id = 0; id < 40; ) {
      const sqe = ring.getSqe()
      if (sqe === null) {
        assert.equal(ring.sqSpaceLeft(), 0)
        assert.equal(ring.getSqe(), null)
        assert.equal(ring.submit(), 4)
        continue
      }
      prepNop(sqe)
      sqe.words[SQE.USER_DATA] = id++
    }
    ring.submitAndWait(40)
    ring.forEachCqe((id) => seen.push(id))
    assert.deepEqual(
      seen,
      Array.from({ length: 40 }, (_, i) => i),
    )
  }
})

// ---------------------------------------------------------------- 42: overflow

test('42: a CQ that overflows loses nothing and keeps the order', (t) => {
  oracle(t)
  for (const options of [{}, { singleIssuer: true, deferTaskrun: true }, { coopTaskrun: true }]) {
    using ring = new Ring({ entries: 8, cqEntries: 16, ...options })
    for (let id = 0; id < 200; id++) {
      const sqe = ring.getSqe()!
      prepNop(sqe)
      sqe.words[SQE.USER_DATA] = id
      if (id % 8 === 7) ring.submit()
    }
    const seen: number[] = []
    for (let turns = 0; seen.length < 200 && turns < 100; turns++) {
      ring.getEvents()
      ring.forEachCqe((id) => seen.push(id))
    }
    assert.deepEqual(
      seen,
      Array.from({ length: 200 }, (_, i) => i),
    )
    assert.ok(!ring.cqHasOverflow())
    assert.equal(ring.inKernel, 0)
  }
})

test('42: what is in flight never exceeds what the CQ holds; the rest waits its turn in order', async (t) => {
  oracle(t)
  await withRing(
    'waiting in the ring',
    async (ring) => {
      const order: number[] = []
      const operations = Array.from({ length: 5000 }, (_, i) => ring.nop().then(() => order.push(i)))
      const { inFlight, queued } = ring.stats()
      assert.ok(inFlight <= 64, `${inFlight} in flight on 64 completion entries`)
      assert.equal(inFlight + queued, 5000)
      await Promise.all(operations)
      assert.deepEqual(
        order,
        Array.from({ length: 5000 }, (_, i) => i),
      )
    },
    { entries: 8, cqEntries: 64 },
  )
})

for (const kind of DISTINCT_RINGS) {
  test(`42: multishot requests flood a small CQ, ${kind}`, async (t) => {
    oracle(t)
    const [own, peer] = socketPair(t)
    await withRing(
      kind,
      async (ring) => {
        const listener = TcpListener.bind({ host: '127.0.0.1', ring, backlog: 256 })
        const { port } = listener
        const clients = Array.from({ length: 60 }, () => connect(port, '127.0.0.1'))
        const group = ring.bufferGroup({ entries: 64, bufferBytes: 64 })
        const received = ring.recvMultishot(own.fd, group)
        const ticks = ring.timeoutMultishot(0.2)
        let sum = 0
        let expected = 0
        const sending = (async () => {
          for (let i = 0; i < 200; i++) {
            expected += i & 0xff
            await ring.write(peer.fd, Buffer.of(i & 0xff))
          }
        })()
        let bytes = 0
        while (bytes < 200) {
          const { value } = await received.next()
          for (const byte of value.bytes) sum += byte
          bytes += value.bytes.length
          value.release()
        }
        await sending
        assert.equal(sum, expected)
        for (let i = 0; i < clients.length; i++) await (await listener.accept()).close()
        for (let tick = 1; tick <= 30; tick++) assert.equal((await ticks.next()).value, tick)
        await Promise.all([ticks.return(), received.return(), listener.close()])
        for (const client of clients) client.destroy()
        group.close()
      },
      { entries: 8, cqEntries: 16 },
    )
  })
}

// ---------------------------------------------------------------- 43: a bad entry in the middle

/** Begins an operation whose opcode no kernel knows. */
function unknownOpcode(ring: Uring): Promise<number> {
  const slot = ring.engine.begin(IORING_OP_NOP, undefined)!
  prepNop(slot.sqe)
  slot.sqe.words[SQE.OPCODE] = 255
  return ring.engine.promise(slot)
}

const codesOf = (ends: PromiseSettledResult<unknown>[]) =>
  ends.map((end) => (end.status === 'fulfilled' ? 'fine' : end.reason.code))

for (const [name, options] of [
  ['submitAll', {}],
  ['no submitAll', { submitAll: false }],
  ['plain', { deferTaskrun: false, submitAll: false }],
  ['sqpoll', RINGS.sqpoll],
] as [string, UringOptions][]) {
  test(`43: an entry that the kernel refuses fails alone, ${name}`, async (t) => {
    oracle(t)
    const ring = new Uring(options)
    const watched = watch(ring)
    for (let i = 0; i < times(20, 500); i++) {
      const ends = Promise.allSettled([
        ring.nop(),
        ring.nop(),
        unknownOpcode(ring),
        ring.nop(),
        unknownOpcode(ring),
        ring.nop(),
      ])
      assert.deepEqual(codesOf(await withTimeout(ends, 5000)), [
        'fine',
        'fine',
        'EINVAL',
        'fine',
        'EINVAL',
        'fine',
      ])
    }
    const before = ring.nop()
    const chain = ring.chain((c) => {
      c.nop()
      c.add('unknown', unknownOpcode)
      c.nop()
      c.nop()
    })
    const after = ring.nop()
    const error = await withTimeout(
      chain.then(
        () => assert.fail('the chain succeeded'),
        (reason) => reason,
      ),
      5000,
    )
    assert.deepEqual([error.code, error.step, error.stepIndex], ['EINVAL', 'unknown', 1])
    const [, , ...rest] = codesOf(error.results)
    assert.deepEqual(rest, ['ECANCELED', 'ECANCELED'])
    assert.deepEqual([await before, await after], [0, 0])
    await assertIdle(ring, watched)
  })
}

test('43: a Ring tells how many entries the kernel took before it stopped at the bad one', (t) => {
  oracle(t)
  for (const submitAll of [false, true]) {
    using ring = new Ring({ entries: 8, submitAll })
    for (let id = 0; id < 6; id++) {
      const sqe = ring.getSqe()!
      prepNop(sqe)
      sqe.words[SQE.USER_DATA] = id
      if (id === 2) sqe.words[SQE.OPCODE] = 255
      if (id === 3) sqe.words[SQE.OPCODE]! |= IOSQE_IO_LINK << 8
    }
    assert.equal(ring.submit(), submitAll ? 6 : 3)
    assert.equal(ring.sqReady(), submitAll ? 0 : 3)
    ring.submitAndWait(1)
    const results: number[] = []
    ring.forEachCqe((id, _high, res) => {
      results[id] = res
    })
    assert.deepEqual(results, [0, 0, EINVAL, 0, 0, 0])
  }
  // A bad entry inside a chain ends the chain, and only the chain.
  using ring = new Ring({ entries: 8, submitAll: true })
  for (let id = 0; id < 5; id++) {
    const sqe = ring.getSqe()!
    prepNop(sqe)
    sqe.words[SQE.USER_DATA] = id
    if (id === 1) sqe.words[SQE.OPCODE] = 255
    if (id < 3) sqe.words[SQE.OPCODE]! |= IOSQE_IO_LINK << 8
  }
  ring.submitAndWait(5)
  const results: Record<number, number> = {}
  ring.forEachCqe((id, _high, res) => {
    results[id] = res
  })
  assert.deepEqual(results, { 0: ECANCELED, 1: EINVAL, 2: ECANCELED, 3: ECANCELED, 4: 0 })
})

// ---------------------------------------------------------------- 44: enter fails

type Injected = {
  codes: Record<string, number>
  written: number
  arrived: number
  strays: number
  efaults: number
  messages: string[]
  ms: number
}

/** Errors after which the entries simply go down again, and those that the program may be told of. */
const TRANSIENT = ['EINTR', 'EAGAIN', 'EBUSY']
const SERIOUS = ['ENOMEM', 'EBADR']
const WRITES = 6 * 60
const OPERATIONS = 6 * 122 + 1

const STRACE = ['strace', '-f', '-qq', '--seccomp-bpf', '-e', 'trace=io_uring_setup,io_uring_enter']

/** How many rings Node's main thread makes for its own loop, before anybody asks for one. */
async function ringsOfNode(log: string): Promise<number> {
  await runNode('0', { wrap: [...STRACE, '-o', log] })
  const lines = readFileSync(log, 'utf8')
    .split('\n')
    .filter((line) => line.includes('io_uring_setup('))
  const [main] = lines[0]?.split(' ') ?? []
  return lines.filter((line) => line.startsWith(`${main} `)).length
}

/** Runs the program with `error` injected into the calls of enter that `when` names, and returns what came of it. */
async function inject(
  error: string,
  when: string,
  kind: string,
  log: string,
  ownRings: number,
): Promise<Injected> {
  const wrap = [...STRACE, '-o', log, '-e', `inject=io_uring_enter:error=${error}:when=${when}`]
  // Node's loop aborts when its own ring fails, so it gets none: it can live without.
  if (ownRings > 0) wrap.push('-e', `inject=io_uring_setup:error=EPERM:when=1..${ownRings}`)
  const answer = await runProgram('protocol', 'injected', kind, { wrap })
  assert.match(readFileSync(log, 'utf8'), /io_uring_enter.*INJECTED/, `when=${when} hit no call`)
  return answer as unknown as Injected
}

/** Calls of enter that fail: two of them with each error, so that the transient errors meet all; with each all in the soak. */
const WHEN = ['1', '2', '3', '2+3', '5+2', '4..6']
let ownRings: Promise<number> | undefined

for (const [nth, error] of [...TRANSIENT, ...SERIOUS].entries()) {
  test(`44: enter fails with ${error}: nothing is lost, nothing runs twice`, async (t) => {
    if (!requires(t, { program: 'strace' })) return
    oracle(t)
    const log = join(tempDir(t), 'strace')
    ownRings ??= ringsOfNode(log)
    for (const [i, when] of (isSoak ? WHEN : WHEN.filter((_, i) => i % 3 === nth % 3)).entries()) {
      const kind = (i + nth) % 2 === 1 ? 'waiting in epoll' : 'waiting in the ring'
      const injected = await inject(error, when, kind, log, await ownRings)
      const { codes, written, arrived, strays, efaults, messages } = injected
      const what = `when=${when}: ${JSON.stringify(injected)}`
      assert.equal(
        Object.values(codes).reduce((a, b) => a + b),
        OPERATIONS,
        `an operation never ended, ${what}`,
      )
      assert.deepEqual([strays, efaults], [0, 0], what)
      assert.ok(injected.ms < 10_000, `it hung for a while, ${what}`)
      assert.ok(arrived >= written && arrived <= WRITES, `written bytes, ${what}`)
      if (TRANSIENT.includes(error)) {
        assert.deepEqual(
          [codes.fine, codes.ABORT_ERR, arrived, messages],
          [OPERATIONS - 1, 1, WRITES, []],
          what,
        )
      } else {
        const known = ['fine', 'ABORT_ERR', 'ERR_RING_CLOSED', error]
        assert.deepEqual(
          Object.keys(codes).filter((code) => !known.includes(code)),
          [],
          what,
        )
        assert.ok(codes.fine === OPERATIONS - 1 || codes[error]! > 0, `ended without the reason, ${what}`)
      }
    }
  })
}

// ---------------------------------------------------------------- 45: signals

for (const kind of ['waiting in the ring', 'waiting in epoll']) {
  test(`45: signals and dying children during a hundred thousand operations, ${kind}`, async (t) => {
    oracle(t)
    const answer = await runProgram('protocol', 'storm', kind)
    const { done, signals, children } = answer as { done: number; signals: number; children: number }
    assert.ok(done >= 100_000)
    assert.ok(signals > 100 && children > 0, `not much of a storm: ${signals} signals, ${children} children`)
    t.diagnostic(`${signals} signals, ${children} children`)
  })
}

// ---------------------------------------------------------------- 47: callbacks

test('47: a callback that throws stops neither its batch nor the ring', async (t) => {
  oracle(t)
  for (const answer of await runPrograms('protocol', onEach(DISTINCT_RINGS, 'throwing'))) {
    const { calls, waits, messages } = answer as { calls: number; waits: string; messages: string[] }
    assert.ok(calls >= 1)
    const told = [waits, ...messages]
    assert.deepEqual(told, ['thrown by a consumer'], 'told exactly once, to who waits for the item')
  }
})

test('47: callbacks that close, flush, drain or submit inside a batch', async (t) => {
  oracle(t)
  const does = ['close', 'flush', 'flushSync', 'submit']
  const runs = does.flatMap((what) => onEach(DISTINCT_RINGS, 'reentrant', what))
  for (const [i, answer] of (await runPrograms('protocol', runs)).entries()) {
    const { argument: what, kind } = runs[i]!
    const { codes, messages } = answer as { codes: Record<string, number>; messages: string[] }
    assert.deepEqual(messages, [], `${what}, ${kind}`)
    const total = Object.values(codes).reduce((a, b) => a + b)
    // A poll may fire more than once.
    assert.ok(what === 'submit' ? total >= 2101 : total === 101, `${what}, ${kind}: ${JSON.stringify(codes)}`)
    const allowed = what === 'close' ? ['fine', 'ERR_RING_CLOSED'] : ['fine']
    const others = Object.keys(codes).filter((code) => !allowed.includes(code))
    assert.deepEqual(others, [], `${what}, ${kind}`)
  }
})

test('47: promise callbacks that submit again, thousands deep', async (t) => {
  oracle(t)
  for (const kind of DISTINCT_RINGS) {
    await withRing(kind, async (ring) => {
      let left = 3000
      const again = (): Promise<unknown> => (left-- > 0 ? ring.nop().then(again) : Promise.resolve())
      let timers = 0
      const timer = setInterval(() => timers++, 1)
      await Promise.all(Array.from({ length: 20 }, again))
      clearInterval(timer)
      assert.ok(left < 0)
    })
  }
})

test('47: closing in the callback of one operation ends all the others once', async (t) => {
  oracle(t)
  const { reader } = pipe(t)
  for (const kind of DISTINCT_RINGS) {
    const ring = new Uring(RINGS[kind])
    const watched = watch(ring)
    let settled = 0
    let closed: Promise<void> | undefined
    const operations = Array.from({ length: 200 }, (_, i) => {
      const operation: Promise<unknown> = i % 3 ? ring.nop() : ring.read(reader.fd, Buffer.alloc(4))
      const count = (): void => {
        settled++
        if (i === 7) closed = ring.close()
      }
      return operation.then(count, count)
    })
    await withTimeout(Promise.all(operations), 5000, 'every operation to end')
    await withTimeout(closed!, 5000, 'close')
    assert.equal(settled, 200)
    await assertIdle(ring, watched)
  }
})

// ---------------------------------------------------------------- 68: the process's end

// The two ways of waiting have more cases in 40.runtime.close: "what holds the process open".
test('68: operations hold the process as ref and unref say, on every kind of ring', async (t) => {
  oracle(t)
  const program = join(root, 'build', 'test', 'hazards', 'liveness.js')
  const run = async (kind: string, what: string): Promise<void> => {
    const started = performance.now()
    const options = { args: [kind, what], silentStdin: true, env: AS_INSTALLED, timeoutMs: 10_000 }
    const { code, signal, stdout, stderr } = await runNode(program, options)
    assert.deepEqual([code, signal, stdout, stderr], [0, null, what, ''], `${what}, ${kind}`)
    const ms = performance.now() - started
    if (what === 'ref') assert.ok(ms > 400, `${kind}: ended after ${ms} ms, though an operation held it`)
  }
  const kinds = Object.keys(RINGS)
  await Promise.all(kinds.map((kind) => run(kind, 'unref before')))
  await Promise.all(kinds.map((kind) => run(kind, 'ref')))
})

test('68: waiting costs no CPU, timers run meanwhile, and data wakes it', async (t) => {
  oracle(t)
  const kinds = Object.keys(RINGS).filter((kind) => kind !== 'sqpoll')
  const runs = ['idle', 'pending'].flatMap((what) => onEach(kinds, 'idleCost', what))
  for (const [i, answer] of (await runPrograms('protocol', runs)).entries()) {
    const { argument, kind } = runs[i]!
    const { cpu, ticks, wokenMs } = answer as { cpu: number; ticks: number; wokenMs: number }
    assert.ok(cpu < 0.2, `${argument}, ${kind}: ${(cpu * 100).toFixed(0)} % of a CPU`)
    assert.ok(ticks >= 7, `${argument}, ${kind}: ${ticks} of 10 ticks`)
    assert.ok(wokenMs < 500, `${argument}, ${kind}: woken after ${wokenMs} ms`)
  }
})
