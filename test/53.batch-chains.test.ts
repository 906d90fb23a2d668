// Chains with one CQE: which step it is of, that nothing is left behind however they end, and that trees need no such chains.
// Flow: this → soft-chain.ts, quiet-chain.ts, cp, rm → kernel.

import assert from 'node:assert/strict'
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { Worker } from 'node:worker_threads'
import { cp, type Progress, rm, type Uring } from 'ringcore'
import { SoftChain, someNames } from '#src/fs/soft-chain.js'
import { prepNop } from '#src/op/prep-control.js'
import { prepRead } from '#src/op/prep-file.js'
import { prepUnlinkat } from '#src/op/prep-path.js'
import type { Sqe } from '#src/ring/sqe.js'
import { oracle, pipe, root, tempDir, until, useRing, withTimeout } from './helpers.js'

/** Both ways: one CQE for all steps, and one for each. */
const WAYS = [true, false]

/** The ring that trees work on, quiet or not; its end asks whether anything is left of the chains. */
function workers(t: TestContext, quiet: boolean): Uring {
  const ring = useRing(t)
  const own = ring.workerRing()
  assert.equal(own.engine.quiet, true)
  own.engine.quiet = quiet
  t.after(async () => {
    await until(() => own.ring.inKernel === 0, 5000, 'the kernel to let go')
    assert.deepEqual([own.stats().strays, own.stats().inFlight], [0, 0])
  })
  return own
}

for (const quiet of WAYS) {
  test(`a chain tells which step failed, and with what (${quiet ? 'one CQE' : 'one CQE a step'})`, async (t) => {
    oracle(t)
    const ring = workers(t, quiet)
    const path = join(tempDir(t), 'f')
    writeFileSync(path, 'some content')
    const fd = openSync(path, 'r')
    t.after(() => closeSync(fd))
    const room = ring.alloc(4096)
    const address = ring.engine.addresses.of(room)
    const chain = new SoftChain(ring, 1)
    const COUNT = 6
    const before = ring.stats().cqes
    for (let bad = 0; bad <= COUNT; bad++) {
      for (const [what, position, wanted] of [
        [fd, 0, 12], // short
        [-1, 0, -9],
      ] as const) {
        const steps: number[] = []
        await chain.run(COUNT, (sqe, step) => {
          steps.push(step)
          if (step === bad) prepRead(sqe, what, address, 100, position)
          else prepRead(sqe, fd, address, 5, 0)
        })
        assert.deepEqual(steps, [0, 1, 2, 3, 4, 5])
        // The last has nobody behind it that would be cancelled: whether it came up short is the caller's to see.
        const done = bad === COUNT - 1 && wanted > 0 ? COUNT : bad
        assert.deepEqual([chain.done, chain.res], [done, bad === COUNT ? 5 : wanted], `step ${bad}`)
      }
    }
    assert.equal(ring.stats().cqes - before, (COUNT + 1) * 2 * (quiet ? 1 : COUNT))
    chain.free()
  })
}

test('the longest quiet chain, and one that is longer', async (t) => {
  oracle(t)
  const ring = workers(t, true)
  const chain = new SoftChain(ring, 1)
  for (const [count, cqes] of [
    [255, 1],
    [256, 256],
  ] as const) {
    const before = ring.stats().cqes
    await chain.run(count, prepNop)
    assert.deepEqual([chain.done, ring.stats().cqes - before], [count, cqes])
  }
  chain.free()
})

test('an error of unlinkat breaks no chain: whoever asks sees what is left', async (t) => {
  oracle(t)
  const ring = workers(t, true)
  const dir = tempDir(t)
  const names = ['a', 'b', 'd', 'none', 'e', 'f']
  for (const name of ['a', 'b', 'e', 'f']) writeFileSync(join(dir, name), '')
  mkdirSync(join(dir, 'd'))
  const fd = openSync(dir, 'r')
  t.after(() => closeSync(fd))
  const chain = new SoftChain(ring, names.length)
  chain.keep(names)
  await chain.run(names.length, (sqe, i) => prepUnlinkat(sqe, fd, chain.address(i), 0))
  assert.deepEqual(readdirSync(dir), ['d'])
  chain.free()
})

test('a chain in flight counts as one operation, and a ring that closes ends it', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const own = ring.workerRing()
  const { reader, writer } = pipe(t)
  const room = own.alloc(4096)
  const address = own.engine.addresses.of(room)
  const hang = (sqe: Sqe, step: number): void => {
    if (step === 2) prepRead(sqe, reader.fd, address, 1, -1)
    else prepNop(sqe)
  }
  const chain = new SoftChain(own, 1)
  const freed = chain.run(5, hang)
  await until(() => own.ring.inKernel > 0, 5000, 'the chain to be under way')
  assert.equal(own.stats().inFlight, 1)
  writeFileSync(writer.fd, 'x')
  await withTimeout(freed, 5000)
  assert.equal(chain.done, 5)
  const ended = chain.run(5, hang)
  await until(() => own.ring.inKernel > 0, 5000, 'the chain to be under way')
  const closed = ring.close()
  await withTimeout(ended, 5000)
  assert.deepEqual([chain.done, chain.res < 0], [0, true])
  await withTimeout(closed, 5000)
  await chain.run(5, hang)
  assert.deepEqual([chain.done, chain.res], [0, -125])
})

test('a thread that ends lets go of its chains', async (t) => {
  oracle(t)
  const { reader } = pipe(t)
  const script = `
    import { parentPort } from 'node:worker_threads'
    import { Uring } from 'ringcore'
    import { SoftChain } from '${join(root, 'dist/fs/soft-chain.js')}'
    import { prepRead } from '${join(root, 'dist/op/prep-file.js')}'
    const own = new Uring().workerRing()
    const room = own.alloc(4096)
    const address = own.engine.addresses.of(room)
    new SoftChain(own, 1).run(40, (sqe) => prepRead(sqe, ${reader.fd}, address, 1, -1))
    own.flush()
    parentPort.postMessage(own.ring.inKernel)`
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(resolved(script))}`))
  const inKernel = await withTimeout(new Promise((resolve) => worker.once('message', resolve)), 10_000)
  assert.equal(inKernel, 40)
  await withTimeout(worker.terminate(), 5000, 'the thread to end')
})

/** A data: URL has no package to find names in. */
function resolved(script: string): string {
  return script
    .replace("'ringcore'", `'file://${join(root, 'dist/index.js')}'`)
    .replaceAll(/'(\/[^']*\.js)'/g, "'file://$1'")
}

test('names find room, however long they are', (t) => {
  oracle(t)
  const long = 'x'.repeat(4095)
  assert.deepEqual(someNames([long, long], 0, 1), [long])
  assert.deepEqual(someNames(['a', long, 'b'], 0, 16), ['a'])
  assert.deepEqual(someNames(['a', long, 'b'], 1, 16), [long])
  assert.deepEqual(someNames(['a', 'b', 'c'], 1, 1), ['b'])
  assert.deepEqual(someNames([], 0, 9), [])
})

for (const quiet of WAYS) {
  test(`cp and rm of directories of many names (${quiet ? 'one CQE' : 'one CQE a step'})`, async (t) => {
    oracle(t)
    const ring = useRing(t)
    ring.workerRing().engine.quiet = quiet
    const dir = tempDir(t)
    const at = (name: string): string => join(dir, name)
    mkdirSync(at('src'))
    let count = 1
    for (let i = 0; i < 150; i++, count++) {
      if (i % 20 === 7) mkdirSync(at(`src/${i}`))
      else if (i % 20 === 9) symlinkSync('nowhere', at(`src/${i}`))
      else writeFileSync(at(`src/${i}`), 'x'.repeat(i === 30 ? 70_000 : i % 3 === 0 ? 0 : i))
    }
    mkdirSync(at('src/7/below'))
    writeFileSync(at('src/7/below/f'), 'deep')
    count += 2
    let last: Progress | undefined
    const onProgress = (progress: Progress): void => {
      last = progress
    }
    const options = { recursive: true, verbatimSymlinks: true, ring, onProgress, countFirst: true }
    await cp(at('src'), at('dest'), options)
    assert.deepEqual([last!.files, last!.total], [count, count])
    assert.deepEqual(readdirSync(at('dest')), readdirSync(at('src')))
    for (const name of ['0', '1', '30', '148', '7/below/f'])
      assert.equal(readFileSync(at(`dest/${name}`), 'utf8'), readFileSync(at(`src/${name}`), 'utf8'), name)
    await rm(at('dest'), { recursive: true, ring, onProgress, countFirst: true })
    assert.deepEqual([last!.files, last!.total], [count, count])
    assert.deepEqual(readdirSync(dir), ['src'])
  })
}
