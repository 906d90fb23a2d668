// init, spawn, run: the thread's ring and the tasks on it.
// Flow: this → executor.ts → Uring. Most in processes of their own: the thread's ring is one per thread.

import assert from 'node:assert/strict'
import test from 'node:test'
import { defaultRing, init, run, spawn, Uring } from 'ringcore'
import { oracle, runNode } from './helpers.js'
import { failure } from './uring.js'

test('init makes the ring of the thread, once', async (t) => {
  oracle(t)
  const ring = init(32)
  assert.ok(ring instanceof Uring)
  assert.equal(ring.ring.sqEntries, 32)
  assert.equal(defaultRing(), ring)
  assert.throws(() => init(), { code: 'ERR_INVALID_STATE', message: /already/ })
  assert.equal(defaultRing(), ring)
  await ring.close()
  const next = init({ entries: 64, wait: 'epoll' })
  assert.equal(defaultRing(), next)
  await next.close()
  const fresh = defaultRing()
  assert.notEqual(fresh, next)
  assert.equal(await fresh.nop(), 0)
  assert.throws(() => init(), { code: 'ERR_INVALID_STATE' })
  await fresh.close()
})

test('init(entries, flags) takes the setup flags of the kernel', async (t) => {
  oracle(t)
  const SQPOLL = 2
  const ring = init(16, SQPOLL)
  assert.equal(ring.ring.setupFlags & SQPOLL, SQPOLL)
  assert.equal(await ring.nop(), 0)
  await ring.close()
  assert.throws(() => init(0), { code: 'ERR_OUT_OF_RANGE' })
  assert.throws(() => init(16, 2 ** 31), { code: 'ERR_INVALID_ARG_VALUE' })
  assert.throws(
    () => init('16' as never),
    (error: NodeJS.ErrnoException) => /^ERR_/.test(String(error.code)),
  )
  assert.equal(await run(async () => 'still works'), 'still works')
})

test('run resolves when all tasks are done, those spawned meanwhile included', async (t) => {
  oracle(t)
  const ring = defaultRing()
  const ended: string[] = []
  spawn(async () => {
    await ring.timeout(20)
    ended.push('first')
    spawn(async () => {
      await ring.timeout(10)
      ended.push('nested')
    })
  })
  const direct = spawn(ring.timeout(5).then(() => ended.push('promise')))
  assert.equal(
    await run(async () => {
      await ring.nop()
      ended.push('main')
      return 42
    }),
    42,
  )
  assert.deepEqual(ended, ['main', 'promise', 'first', 'nested'])
  assert.equal(await direct, 2)
  assert.equal(await run(), undefined)
  for (const task of [5, null, undefined, 'x', {}])
    assert.throws(() => spawn(task as never), { code: 'ERR_INVALID_ARG_TYPE' })
  await ring.close()
})

test('run rejects with the first failure, after all have ended', async (t) => {
  oracle(t)
  const ring = defaultRing()
  const ended: string[] = []
  const late = spawn(async () => {
    await ring.timeout(20)
    ended.push('late')
    throw new Error('second')
  })
  late.catch(() => {})
  spawn(async () => {
    throw new Error('first')
  }).catch(() => {})
  spawn(async () => {
    await ring.timeout(30)
    ended.push('good')
  })
  const error = await failure(run())
  assert.deepEqual(ended, ['late', 'good'])
  assert.equal(error.message, 'first')
  assert.equal(await run(async () => 'and goes on'), 'and goes on')
  await ring.close()
})

test('the failure of a task that nobody runs is an unhandled rejection', async (t) => {
  oracle(t)
  const { code, stderr } = await runNode(`
    import { spawn, defaultRing } from 'ringcore'
    spawn(async () => { await defaultRing().nop(); throw new Error('nobody runs') })
  `)
  assert.equal(code, 1)
  assert.match(stderr, /nobody runs/)
})

test('a program of tasks exits by itself, in its thread', async (t) => {
  oracle(t)
  const { code, stdout, stderr } = await runNode(`
    import { init, spawn, run } from 'ringcore'
    const ring = init(64)
    for (let i = 0; i < 100; i++) spawn(async () => { await ring.timeout(i % 10); await ring.nop() })
    await run()
    console.log('done', ring.stats().inFlight)
  `)
  assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: 'done 0\n', stderr: '' })
})

test('run inside of a task says so instead of waiting for itself', async (t) => {
  oracle(t)
  const ring = defaultRing()
  const inner = { code: 'ERR_INVALID_STATE' }
  // In a task that run waits for, at once and later.
  await assert.rejects(
    run(async () => run()),
    { ...inner, message: /under way already/ },
  )
  await assert.rejects(
    run(async () => {
      await ring.nop()
      await run(async () => 5)
    }),
    inner,
  )
  assert.equal(await run(async () => spawn(async () => 7)), 7)
  await ring.close()
})

test('run that nothing can end ends with an error', async (t) => {
  oracle(t)
  const { code, stdout, stderr } = await runNode(`
    import { spawn, run } from 'ringcore'
    spawn(async () => {
      await null
      await run()
    })
    await run().catch((error) => console.log('outer', error.code, error.message))
    // Nobody runs now: this one waits for itself, and only the end of the loop shows it.
    spawn(async () => {
      await null
      await run().catch((error) => console.log('inner', error.code))
    })
  `)
  assert.match(stdout, /^outer ERR_INVALID_STATE .*under way already/)
  assert.match(stdout, /inner ERR_INVALID_STATE/)
  assert.deepEqual([code, stderr], [0, ''])
  const first = await runNode(`
    import { spawn, run } from 'ringcore'
    spawn(async () => run())
  `)
  assert.equal(first.code, 1)
  assert.match(first.stderr, /Cannot run inside of a task: it would wait for itself/)
})
