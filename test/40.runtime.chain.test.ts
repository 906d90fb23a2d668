// Chains: order, what breaks them, and that nothing of a chain that can't be written reaches the kernel.
// Flow: this → Uring.chain → chain.ts → engine.linked → kernel.

import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { type ChainError, Resource, type Uring } from 'ringcore'
import { oracle, pipe, tempDir, withTimeout } from './helpers.js'
import { blockedReads, failure, KINDS, openUring, testKinds, turn } from './uring.js'

const chainFailure = async (promise: Promise<unknown>) =>
  (await failure(promise, 'the chain')) as unknown as ChainError & NodeJS.ErrnoException

const codes = (error: ChainError): string[] =>
  error.results.map((result) =>
    result.status === 'fulfilled'
      ? String(result.value)
      : String((result.reason as NodeJS.ErrnoException).code),
  )

testKinds('steps run in order, results come in order', async (t, ring) => {
  const path = join(tempDir(t), 'file')
  const file = ring.fixedFile()
  const buffer = Buffer.alloc(5)
  const results = await ring.chain((c) => {
    c.openat(path, 'w+', { slot: file })
    c.write(file, Buffer.from('hello'), { position: 0 })
    c.fsync(file).hardlink()
    c.read(file, buffer, { position: 0 })
    c.statx(path).hardlink()
    c.close(file)
  })
  assert.deepEqual([...results.slice(0, 4), results[5]], [0, 5, undefined, 5, undefined])
  assert.equal((results[4] as { size: number }).size, 5)
  assert.equal(buffer.toString(), 'hello')
})

testKinds('a failing step cancels the rest; the error names it', async (t, ring) => {
  const dir = tempDir(t)
  writeFileSync(join(dir, 'victim'), 'still here')
  const error = await chainFailure(
    ring.chain((c) => {
      c.nop()
      c.openat(join(dir, 'missing'), 'r')
      c.nop()
      c.add('unlink', (r) => r.unlinkat(join(dir, 'victim')))
    }),
  )
  assert.equal(error.code, 'ENOENT')
  assert.equal(error.path, join(dir, 'missing'))
  assert.equal(error.step, 'openat')
  assert.equal(error.stepIndex, 1)
  assert.deepEqual(codes(error), ['0', 'ENOENT', 'ECANCELED', 'ECANCELED'])
  assert.ok(existsSync(join(dir, 'victim')))
})

testKinds('a short read breaks a link, and not a hard link', async (t, ring) => {
  const path = join(tempDir(t), 'short')
  writeFileSync(path, 'short')
  const fd = await ring.openat(path, 'r+')
  const buffer = Buffer.alloc(10)
  const error = await chainFailure(
    ring.chain((c) => {
      c.read(fd, buffer, { position: 0 })
      c.nop()
    }),
  )
  assert.deepEqual(codes(error), ['5', 'ECANCELED'])
  const results = await ring
    .chain((c) => {
      c.read(fd, buffer, { position: 0 }).hardlink()
      c.read(-1 >>> 1, buffer, { position: 0 }).hardlink()
      c.nop()
    })
    .catch((reason: ChainError) => codes(reason))
  assert.deepEqual(results, ['5', 'EBADF', '0'])
  await ring.closeFile(fd)
})

testKinds('the last step is not linked to what comes next', async (t, ring) => {
  const { reader, writer } = pipe(t)
  const chained = ring.chain((c) => {
    c.nop()
    c.read(reader.fd, Buffer.alloc(1))
  })
  assert.equal(await withTimeout(ring.nop(), 1000, 'an operation after the chain'), 0)
  const failing = ring.chain((c) => {
    c.nop().hardlink()
    c.openat('/missing/file', 'r').hardlink()
  })
  const after = ring.nop()
  assert.equal((await chainFailure(failing)).code, 'ENOENT')
  assert.equal(await after, 0)
  writeSync(writer.fd, Buffer.from('x'))
  assert.deepEqual(await chained, [0, 1])
})

testKinds('waiting in a chain: timeouts and deadlines', async (t, ring) => {
  const { reader } = pipe(t)
  const started = performance.now()
  await ring.chain((c) => {
    c.timeout(20)
    c.nop()
    c.timeout(20)
  })
  assert.ok(performance.now() - started >= 39, 'one timeout after the other')
  const error = await chainFailure(
    ring.chain((c) => {
      c.nop({ timeout: 1000 })
      c.read(reader.fd, Buffer.alloc(1), { timeout: 20 })
      c.nop({ timeout: 60_000 })
    }),
  )
  assert.deepEqual([error.code, error.step, error.stepIndex], ['ETIMEDOUT', 'read', 1])
  assert.deepEqual(codes(error), ['0', 'ETIMEDOUT', 'ECANCELED'])
  const hard = await ring
    .chain((c) => {
      c.read(reader.fd, Buffer.alloc(1), { timeout: 10 }).hardlink()
      c.nop({ timeout: 1000 })
    })
    .catch((reason: ChainError) => codes(reason))
  assert.deepEqual(hard, ['ETIMEDOUT', '0'])
})

testKinds('aborting a step that runs cancels it and the rest', async (t, ring) => {
  const { reader } = pipe(t)
  const controller = new AbortController()
  const chained = ring.chain((c) => {
    c.nop()
    c.read(reader.fd, Buffer.alloc(1), { signal: controller.signal })
    c.nop()
  })
  chained.catch(() => {})
  await ring.timeout(5)
  controller.abort()
  const error = await withTimeout(chainFailure(chained), 2000)
  assert.deepEqual([error.name, error.step], ['AbortError', 'read'])
  assert.deepEqual(codes(error), ['0', 'ABORT_ERR', 'ECANCELED'])
})

testKinds('a step that was aborted before it began does not run', async (t, ring) => {
  const victim = join(tempDir(t), 'victim')
  writeFileSync(victim, 'still here')
  for (const early of [true, false]) {
    const controller = new AbortController()
    const { signal } = controller
    const chained = ring.chain((c) => {
      c.timeout(60_000)
      c.nop()
      c.add('unlink', (r) => r.unlinkat(victim, { signal }))
    })
    const failed = chainFailure(chained)
    if (!early) {
      await ring.nop()
      await turn()
    }
    controller.abort()
    const error = await withTimeout(failed, 5000)
    assert.deepEqual([error.name, error.step], ['AbortError', 'unlink'])
    assert.deepEqual(codes(error), ['ECANCELED', 'ECANCELED', 'ABORT_ERR'])
    assert.ok(existsSync(victim))
  }
  // Behind a hard link it would run all the sooner if the one before were cancelled: that one is left alone.
  const { reader, writer } = pipe(t)
  const controller = new AbortController()
  const chained = ring.chain((c) => {
    c.read(reader.fd, Buffer.alloc(1)).hardlink()
    c.read(reader.fd, Buffer.alloc(1), { signal: controller.signal })
  })
  const failed = chainFailure(chained)
  await ring.nop()
  controller.abort()
  await ring.timeout(25)
  assert.equal(ring.stats().inFlight, 2)
  await ring.write(writer.fd, Buffer.from('x'))
  const error = await withTimeout(failed, 5000)
  assert.deepEqual(codes(error), ['1', 'ABORT_ERR'])
})

test('a step that breaks no chain when it fails must be the last, or say hardlink()', async (t) => {
  oracle(t)
  const ring = openUring(t)
  const victim = join(tempDir(t), 'victim')
  writeFileSync(victim, 'still here')
  const { reader } = pipe(t)
  const refused = await failure(
    ring.chain((c) => {
      c.nop()
      c.fsync(reader.fd) // EINVAL: a pipe
      c.add('renameat', (r) => r.renameat(victim, `${victim}.gone`))
    }),
  )
  assert.equal(refused.code, 'ERR_INVALID_ARG_VALUE')
  assert.match(refused.message, /Cannot put a step behind 'fsync'.*last step.*hardlink\(\)/)
  assert.ok(existsSync(victim), 'nothing of it ran')
  assert.equal(ring.ring.sqReady(), 0)
  // Last: fine. And said: the next runs, which is what was said.
  const last = await chainFailure(
    ring.chain((c) => {
      c.nop()
      c.fsync(reader.fd)
    }),
  )
  assert.deepEqual([last.code, last.step], ['EINVAL', 'fsync'])
  const said = await chainFailure(
    ring.chain((c) => {
      c.fsync(reader.fd).hardlink()
      c.nop()
    }),
  )
  assert.deepEqual([said.step, ...codes(said)], ['fsync', 'EINVAL', '0'])
})

/** Chains that can't be written, and what they reject with. `victim` must stay as it is. */
const broken: Record<
  string,
  [
    code: string,
    write: (c: Parameters<Parameters<Uring['chain']>[0]>[0], ring: Uring, victim: string) => unknown,
  ]
> = {
  'bad argument in the first step': [
    'ERR_OUT_OF_RANGE',
    (c, _, victim) => {
      c.read(-5, Buffer.alloc(1))
      c.add('unlink', (r) => r.unlinkat(victim))
    },
  ],
  'bad argument midway': [
    'ERR_INVALID_ARG_VALUE',
    (c, _, victim) => {
      c.nop()
      c.openat('a\0b', 'r')
      c.add('unlink', (r) => r.unlinkat(victim))
    },
  ],
  'bad argument of an async method': [
    'ERR_INVALID_ARG_TYPE',
    (c, _, victim) => {
      c.add('unlink', (r) => r.unlinkat(victim))
      c.fsync('no' as never)
    },
  ],
  'bad argument in the last step': [
    'ERR_OUT_OF_RANGE',
    (c, _, victim) => {
      c.add('unlink', (r) => r.unlinkat(victim))
      c.timeout(-1)
    },
  ],
  'a step already aborted': [
    'ABORT_ERR',
    (c, _, victim) => {
      c.add('unlink', (r) => r.unlinkat(victim))
      c.nop({ signal: AbortSignal.abort() })
    },
  ],
  'a closed Resource': [
    'EBADF',
    (c, ring, victim) => {
      const gone = new Resource(100)
      gone.surrender()
      c.add('unlink', (r) => r.unlinkat(victim))
      c.read(gone, Buffer.alloc(1))
      assert.equal(ring.closed, false)
    },
  ],
  'the callback throws': [
    'EXPECTED',
    (c, _, victim) => {
      c.add('unlink', (r) => r.unlinkat(victim))
      throw Object.assign(new Error('thrown'), { code: 'EXPECTED' })
    },
  ],
  'more steps than entries': [
    'ERR_INVALID_STATE',
    (c, _, victim) => {
      c.add('unlink', (r) => r.unlinkat(victim))
      for (let i = 0; i < 8; i++) c.nop()
    },
  ],
  'far more steps than entries': [
    'ERR_INVALID_STATE',
    (c, _, victim) => {
      c.add('unlink', (r) => r.unlinkat(victim))
      for (let i = 0; i < 2000; i++) c.nop()
    },
  ],
  'a step that begins nothing': [
    'ERR_INVALID_STATE',
    (c, _, victim) => {
      c.add('unlink', (r) => r.unlinkat(victim))
      c.add('nothing', async () => 5)
    },
  ],
  'a step that begins something later': [
    'ERR_INVALID_STATE',
    (c, _, victim) => {
      c.add('unlink', (r) => r.unlinkat(victim))
      c.add('later', async (r) => {
        await null
        return r.nop()
      })
    },
  ],
  'a step that begins two operations': [
    'ERR_INVALID_STATE',
    (c, _, victim) => {
      c.add('unlink', (r) => r.unlinkat(victim))
      c.add('two', (r) => Promise.all([r.nop(), r.nop()]))
    },
  ],
  'an operation that is no step': [
    'ERR_INVALID_STATE',
    (c, ring, victim) => {
      c.add('unlink', (r) => r.unlinkat(victim))
      ring.nop().catch(() => {})
    },
  ],
  'flush inside': [
    'ERR_INVALID_STATE',
    (c, ring, victim) => {
      c.add('unlink', (r) => r.unlinkat(victim))
      ring.flush()
    },
  ],
  'an owned file closed inside': [
    'ERR_INVALID_ARG_VALUE',
    (c, _, victim) => {
      c.add('unlink', (r) => r.unlinkat(victim))
      c.close(new Resource(1_000_000))
    },
  ],
  'an async callback': [
    'ERR_INVALID_STATE',
    async (c, _, victim) => {
      c.add('unlink', (r) => r.unlinkat(victim))
      await null
    },
  ],
  'a chain in a chain': [
    'ERR_INVALID_STATE',
    (c, _, victim) => {
      c.add('unlink', (r) => r.unlinkat(victim))
      c.add('chain', (r) => r.chain((inner) => inner.nop()))
    },
  ],
}

for (const [name, [code, write]] of Object.entries(broken)) {
  test(`nothing of a broken chain is submitted: ${name}`, async (t) => {
    oracle(t)
    const ring = openUring(t)
    const victim = join(tempDir(t), 'victim')
    writeFileSync(victim, 'content')
    await ring.nop()
    const before = { inFlight: 0, sqReady: ring.ring.sqReady(), free: ring.engine.slots.available }
    const error = await withTimeout(chainFailure(ring.chain((c) => write(c, ring, victim))), 2000)
    assert.equal(error.code, code, String(error.stack))
    const { inFlight } = ring.stats()
    assert.deepEqual({ inFlight, sqReady: ring.ring.sqReady(), free: ring.engine.slots.available }, before)
    // What comes after is not linked to remains of the chain, and the victim lives.
    const [missing, nop] = [ring.openat('/missing/file', 'r'), ring.nop()]
    assert.equal((await failure(missing)).code, 'ENOENT')
    assert.equal(await nop, 0)
    assert.equal(readFileSync(victim, 'utf8'), 'content')
  })
}

test('a cancel that is asked for while a chain is written does not tear it', async (t) => {
  oracle(t)
  const ring = openUring(t)
  const controller = new AbortController()
  const { reads } = blockedReads(t, ring, 1, controller.signal)
  await turn()
  const dir = tempDir(t)
  const error = await chainFailure(
    ring.chain((c) => {
      c.openat(join(dir, 'missing'), 'r')
      controller.abort()
      c.add('mkdir', (r) => r.mkdirat(join(dir, 'made')))
    }),
  )
  assert.deepEqual(codes(error), ['ENOENT', 'ECANCELED'])
  assert.equal(existsSync(join(dir, 'made')), false)
  assert.equal((await withTimeout(failure(reads[0]!), 2000, 'the abort')).name, 'AbortError')
})

test('steps after the end, hard links after the end', async (t) => {
  oracle(t)
  const ring = openUring(t)
  let late: Parameters<Parameters<Uring['chain']>[0]>[0] | undefined
  let step: { hardlink(): unknown } | undefined
  const done = ring.chain((c) => {
    late = c
    step = c.nop()
  })
  const other = ring.openat('/missing/file', 'r')
  const after = ring.nop()
  assert.throws(() => late!.nop(), { code: 'ERR_INVALID_STATE' })
  assert.throws(() => step!.hardlink(), { code: 'ERR_INVALID_STATE' })
  await done
  assert.equal((await failure(other)).code, 'ENOENT')
  assert.equal(await after, 0)
})

testKinds(
  'chains wait until enough slots are free, in order with the others',
  async (t, ring) => {
    const { reads, writer } = blockedReads(t, ring, 3)
    const order: string[] = []
    const chain = ring
      .chain(
        (c) => {
          c.nop()
          c.nop()
          c.nop()
        },
        { entries: 3 },
      )
      .then(() => order.push('chain'))
    const single = ring.nop().then(() => order.push('single'))
    assert.deepEqual([ring.stats().inFlight, ring.stats().queued], [3, 2])
    writeSync(writer.fd, Buffer.from('x')) // one slot more is not enough
    await reads[0]
    await turn()
    assert.deepEqual([ring.stats().inFlight, ring.stats().queued], [2, 2])
    writeSync(writer.fd, 'yz')
    await withTimeout(Promise.all([...reads, chain, single]), 2000, 'the chain')
    assert.deepEqual(order.sort(), ['chain', 'single'])
    const many = Array.from({ length: 200 }, (_, i) =>
      i % 2 ? ring.nop() : ring.chain((c) => [c.nop(), c.nop(), c.nop(), c.nop()], { entries: 4 }),
    )
    await withTimeout(Promise.all(many), 5000, 'a hundred chains')
  },
  Object.fromEntries(
    Object.entries(KINDS).map(([kind, options]) => [`${kind}, four slots`, { ...options, inFlight: 4 }]),
  ),
)

test('how many steps a chain may have', async (t) => {
  oracle(t)
  const ring = openUring(t, { entries: 64 })
  for (const entries of [0, -1, 1.5, 33, Number.NaN]) {
    assert.equal((await failure(ring.chain((c) => void c.nop(), { entries }))).code, 'ERR_OUT_OF_RANGE')
  }
  const results = await ring.chain(
    (c) => {
      for (let i = 0; i < 32; i++) c.nop({ timeout: 1000 })
    },
    { entries: 32 },
  )
  assert.deepEqual(results, Array(32).fill(0))
  assert.deepEqual(await ring.chain(() => {}), [])
  const few = openUring(t, { inFlight: 2 })
  assert.deepEqual(await few.chain((c) => [c.nop(), c.nop()]), [0, 0])
  assert.equal((await failure(few.chain((c) => void c.nop(), { entries: 3 }))).code, 'ERR_OUT_OF_RANGE')
})

testKinds('a thousand chains at once keep their links', async (t, ring) => {
  const dir = tempDir(t)
  const chains = Array.from({ length: 500 }, async (_, i) => {
    const fails = i % 5 === 0
    const chained = ring.chain((c) => {
      c.nop()
      if (fails) c.read(999_999, Buffer.alloc(1))
      c.add('mkdir', (r) => r.mkdirat(join(dir, `d${i}`)))
    })
    if (fails) assert.equal((await chainFailure(chained)).code, 'EBADF')
    else await chained
  })
  await withTimeout(Promise.all(chains), 10_000, 'five hundred chains')
  for (let i = 0; i < 500; i++) assert.equal(existsSync(join(dir, `d${i}`)), i % 5 !== 0, `d${i}`)
})
