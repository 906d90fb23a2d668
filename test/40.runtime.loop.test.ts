// Living with libuv: with an operation of the ring pending, everything of Node's goes on; and completions come in time.
// Flow: this → Uring → native/addon.c (check, idle, poll handles) → libuv.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { promises as fs, writeSync } from 'node:fs'
import net from 'node:net'
import test, { type TestContext } from 'node:test'
import { setImmediate as immediate, setTimeout as sleep } from 'node:timers/promises'
import { MessageChannel, Worker } from 'node:worker_threads'
import type { Uring, UringOptions } from 'ringcore'
import { oracle, pipe, runNode, withTimeout } from './helpers.js'
import { blockedReads, failure, oneOf, openUring, PACKAGE, testKinds, turn } from './uring.js'

const WAYS: Record<string, UringOptions> = {
  auto: {},
  ring: { wait: 'ring' },
  epoll: { wait: 'epoll' },
  'auto without DEFER_TASKRUN': { deferTaskrun: false },
  'epoll without DEFER_TASKRUN': { deferTaskrun: false, wait: 'epoll' },
  SQPOLL: { sqpoll: true, sqThreadIdleMs: 20 },
}

/** Runs `body` while a read is pending that ends only afterwards. */
async function pending(t: TestContext, ring: Uring, body: () => Promise<void>): Promise<void> {
  const { reads, writer } = blockedReads(t, ring, 1)
  await turn()
  await withTimeout(body(), 8000, 'Node to do its work')
  assert.equal(ring.stats().inFlight, 1)
  writeSync(writer.fd, Buffer.from('x'))
  assert.equal(await withTimeout(reads[0]!, 1000, 'the read'), 1)
}

testKinds(
  'timers fire on time',
  (t, ring) =>
    pending(t, ring, async () => {
      await oneOf(8, async () => {
        for (const ms of [1, 5, 20, 50]) {
          const started = performance.now()
          await sleep(ms)
          const took = performance.now() - started
          assert.ok(took >= ms - 1 && took < ms + 40, `${ms} ms took ${took}`)
        }
      })
      const order: number[] = []
      await Promise.all([30, 10, 20].map((ms) => sleep(ms).then(() => order.push(ms))))
      assert.deepEqual(order, [10, 20, 30])
      await oneOf(8, async () => {
        let ticks = 0
        const interval = setInterval(() => ticks++, 5)
        await sleep(103)
        clearInterval(interval)
        assert.ok(ticks >= 10 && ticks <= 21, `${ticks} ticks of 5 ms in 103 ms`)
      })
    }),
  WAYS,
)

testKinds(
  'immediates, ticks, microtasks keep their order',
  (t, ring) =>
    pending(t, ring, async () => {
      const order: string[] = []
      const done = new Promise<void>((resolve) => {
        setImmediate(() => {
          order.push('immediate 1')
          process.nextTick(() => order.push('tick'))
          Promise.resolve().then(() => order.push('microtask'))
          setImmediate(() => {
            order.push('immediate 3')
            resolve()
          })
        })
        setImmediate(() => order.push('immediate 2'))
      })
      await done
      assert.deepEqual(order, ['immediate 1', 'tick', 'microtask', 'immediate 2', 'immediate 3'])
      const started = performance.now()
      for (let i = 0; i < 1000; i++) await immediate()
      assert.ok(performance.now() - started < 1000, 'a thousand immediates')
    }),
  WAYS,
)

testKinds(
  'thread-pool calls, node:net, workers, children, signals',
  (t, ring) =>
    pending(t, ring, async () => {
      const started = performance.now()
      for (let i = 0; i < 50; i++) await fs.stat('/')
      assert.ok(performance.now() - started < 3000, 'fifty calls of the thread pool')

      const server = net.createServer((socket) => socket.pipe(socket)).listen(0, '127.0.0.1')
      await once(server, 'listening')
      const socket = net.connect((server.address() as net.AddressInfo).port, '127.0.0.1')
      for (let i = 0; i < 50; i++) {
        socket.write(`message ${i}`)
        const [data] = (await once(socket, 'data')) as [Buffer]
        assert.equal(data.toString(), `message ${i}`)
      }
      socket.end()
      await once(socket, 'close')
      server.close()
      await once(server, 'close')

      const { port1, port2 } = new MessageChannel()
      port2.on('message', (n: number) => port2.postMessage(n + 1))
      for (let i = 0; i < 20; i++) {
        port1.postMessage(i)
        assert.deepEqual((await once(port1, 'message'))[0], i + 1)
      }
      port1.close()
      await once(port2, 'close')

      const child = spawn(process.execPath, ['-e', 'console.log("child"); process.exit(3)'])
      let output = ''
      child.stdout.on('data', (data: Buffer) => (output += data))
      const [code] = await once(child, 'close')
      assert.deepEqual([code, output], [3, 'child\n'])

      const signal = once(process, 'SIGHUP')
      process.kill(process.pid, 'SIGHUP')
      await signal
    }),
  WAYS,
)

testKinds(
  'completions come within 50 ms while JavaScript sleeps',
  async (t, ring) => {
    // The writer is another process: nothing of libuv's wakes this thread. A timer far away lets epoll sleep long.
    await oneOf(5, async () => {
      const { reader, writer } = pipe(t)
      const far = setTimeout(() => {}, 60_000)
      const child = spawn('sh', ['-c', 'for i in 1 2 3 4 5 6; do sleep 0.08; date +%s%3N >&3; done'], {
        stdio: ['ignore', 'ignore', 'inherit', writer.fd],
      })
      const exited = once(child, 'exit')
      const late: number[] = []
      for (let i = 0; i < 6; i++) {
        const buffer = Buffer.alloc(14)
        assert.equal(await withTimeout(ring.read(reader.fd, buffer), 3000, `line ${i}`), 14)
        late.push(Date.now() - Number(buffer.toString()))
      }
      clearTimeout(far)
      await exited
      assert.ok(Math.max(...late) < 50, `late by ${late} ms`)
    })
  },
  WAYS,
)

test('where the thread waits follows what wakes it, both ways', async (t) => {
  oracle(t)
  const ring = openUring(t)
  const hold = blockedReads(t, ring, 1)
  const ringWork = async () => {
    for (let i = 0; i < 60; i++) await ring.timeout(0.2)
  }
  const libuvWork = async () => {
    for (let i = 0; i < 60; i++) await fs.stat('/')
  }
  for (let round = 0; round < 3; round++) {
    await ringWork()
    assert.equal(ring.stats().waits, 'ring', `after completions, round ${round}`)
    await libuvWork()
    assert.equal(ring.stats().waits, 'epoll', `after calls of the thread pool, round ${round}`)
    // A completion must come although the thread has just changed where it sleeps.
    assert.equal(await withTimeout(ring.timeout(5), 500, 'a timeout right after the change'), undefined)
  }
  const { epollWakes, ringWaits, libuvWakes } = ring.stats()
  assert.ok(epollWakes > 0 && ringWaits > 0 && libuvWakes > 0)
  writeSync(hold.writer.fd, Buffer.from('x'))
  await hold.reads[0]
})

testKinds(
  'forced: the thread waits where it was told',
  async (t, ring, { wait }) => {
    const hold = blockedReads(t, ring, 1)
    for (let i = 0; i < 40; i++) {
      await ring.timeout(0.2)
      await fs.stat('/')
    }
    assert.equal(ring.stats().waits, wait)
    if (wait === 'epoll') assert.equal(ring.stats().ringWaits, 0)
    writeSync(hold.writer.fd, Buffer.from('x'))
    await hold.reads[0]
  },
  { ring: { wait: 'ring' }, epoll: { wait: 'epoll' } },
)

testKinds(
  'ring and libuv work mixed, changing sides all the time: nothing is late',
  async (t, ring) => {
    const { reader, writer } = pipe(t)
    for (let round = 0; round < 100; round++) {
      const read = ring.read(reader.fd, Buffer.alloc(1))
      if (round % 3 === 0) await fs.stat('/')
      if (round % 7 === 0) await immediate()
      const started = performance.now()
      // The thread pool writes: the completion comes while libuv's own is on its way.
      const handle = fs.writeFile(`/proc/self/fd/${writer.fd}`, 'x')
      await withTimeout(Promise.all([read, handle]), 2000, `round ${round}`)
      assert.ok(performance.now() - started < 500)
    }
  },
  WAYS,
)

test('two rings in one thread', async (t) => {
  oracle(t)
  const [a, b] = [openUring(t), openUring(t, { wait: 'ring' })]
  const holdA = blockedReads(t, a, 1)
  const holdB = blockedReads(t, b, 1)
  for (let i = 0; i < 30; i++) {
    await withTimeout(Promise.all([a.timeout(1), b.timeout(1), a.nop(), b.nop()]), 1000, `round ${i}`)
    await withTimeout(a.timeout(1), 1000)
    await withTimeout(b.timeout(1), 1000)
  }
  writeSync(holdA.writer.fd, Buffer.from('x'))
  await withTimeout(holdA.reads[0]!, 500)
  writeSync(holdB.writer.fd, Buffer.from('x'))
  await withTimeout(holdB.reads[0]!, 500)
})

test('one ring per thread: four workers and this one', async (t) => {
  oracle(t)
  const ring = openUring(t)
  const hold = blockedReads(t, ring, 1)
  const source = `
    import { parentPort } from 'node:worker_threads'
    import { defaultRing, Uring } from 'ringcore'
    import { openSync, readFileSync } from 'node:fs'
    const ring = defaultRing()
    const own = new Uring({ deferTaskrun: false })
    const fd = await ring.openat('/etc/passwd', 'r')
    let good = 0
    for (let i = 0; i < 200; i++) {
      const buffer = Buffer.alloc(100)
      const bytes = await (i % 2 ? own : ring).read(fd, buffer, { position: 0 })
      if (buffer.equals(readFileSync('/etc/passwd').subarray(0, bytes)) && bytes > 0) good++
    }
    await ring.closeFile(fd)
    await Promise.all([ring.close(), own.close()])
    parentPort.postMessage(good)
  `
  const workers = Array.from({ length: 4 }, () => worker(source))
  const [mine, ...theirs] = await withTimeout(
    Promise.all([
      (async () => {
        for (let i = 0; i < 200; i++) await ring.nop()
        return 200
      })(),
      ...workers.map(async (each) => (await once(each, 'message'))[0] as number),
    ]),
    10_000,
    'the workers',
  )
  assert.deepEqual([mine, ...theirs], [200, 200, 200, 200, 200])
  await Promise.all(workers.map((each) => each.terminate()))
  writeSync(hold.writer.fd, Buffer.from('x'))
  await hold.reads[0]
})

/** A worker that runs a module's text, which gets the package as its users do. */
function worker(source: string): Worker {
  const resolved = source.replace(/'ringcore'/g, JSON.stringify(PACKAGE))
  return new Worker(new URL(`data:text/javascript,${encodeURIComponent(resolved)}`))
}

test('a worker that is terminated with operations in flight ends quickly', async (t) => {
  oracle(t)
  for (const options of [
    '{}',
    "{ wait: 'ring' }",
    "{ wait: 'epoll' }",
    '{ deferTaskrun: false }',
    '{ sqpoll: true }',
  ]) {
    const { reader } = pipe(t)
    const each = worker(`
      import { parentPort } from 'node:worker_threads'
      import { Uring } from 'ringcore'
      const ring = new Uring(${options})
      for (let i = 0; i < 100; i++) ring.read(${reader.fd}, Buffer.alloc(1000)).catch(() => {})
      ring.timeout(1e9)
      await ring.nop()
      parentPort.postMessage('ready')
      for (;;) await ring.nop()
    `)
    await withTimeout(once(each, 'message'), 5000, 'the worker')
    const started = performance.now()
    await withTimeout(each.terminate(), 3000, `terminate(${options})`)
    assert.ok(performance.now() - started < 2000, options)
  }
})

test('what a callback throws is an uncaught exception, and the others still settle', async (t) => {
  oracle(t)
  const { code, stdout } = await runNode(`
    import { Uring } from 'ringcore'
    const ring = new Uring()
    process.on('uncaughtException', (error) => console.log('uncaught', error.message))
    process.on('unhandledRejection', (error) => console.log('unhandled', error.message))
    const [a, b, c] = [ring.nop(), ring.nop(), ring.nop()]
    a.then(() => { throw new Error('in a reaction') })
    setImmediate(() => { throw new Error('in an immediate') })
    await Promise.all([b, c])
    await ring.timeout(5)
    console.log('settled', ring.stats().inFlight)
    await ring.close()
  `)
  assert.equal(code, 0)
  assert.deepEqual(stdout.trim().split('\n').sort(), [
    'settled 0',
    'uncaught in an immediate',
    'unhandled in a reaction',
  ])
})

test('process.exit, a throw at the top and a signal end a process with operations in flight', async (t) => {
  oracle(t)
  const prelude = `
    import { Uring } from 'ringcore'
    const ring = new Uring()
    ring.timeout(1e9).catch(() => {})
    ring.timeout(1e9, { timeout: 5e8 }).catch(() => {})
    await ring.nop()
  `
  const exit = await runNode(`${prelude}; process.exit(7)`)
  assert.deepEqual([exit.code, exit.signal], [7, null])
  const thrown = await runNode(`${prelude}; throw new Error('top')`)
  assert.equal(thrown.code, 1)
  const killed = await runNode(`${prelude}; process.kill(process.pid, 'SIGTERM')`)
  assert.equal(killed.signal, 'SIGTERM')
})

test('what waits for its turn holds the process open, although all before it do not', async (t) => {
  oracle(t)
  const program = (end: string) =>
    runNode(`
    import { Uring } from 'ringcore'
    const ring = new Uring({ inFlight: 2 })
    const slow = [1, 2].map(() => ring.timeout(150, { ref: false }))
    ring.timeout(1).then(() => console.log('had its turn'))
    ${end}
  `)
  assert.deepEqual(await program(''), { code: 0, signal: null, stdout: 'had its turn\n', stderr: '' })
  assert.equal((await program('ring.unref()')).stdout, '', 'unref() is of those that wait, too')
  const ring = openUring(t, { inFlight: 1 })
  const first = ring.timeout(60_000, { ref: false })
  assert.deepEqual([ring.stats().referenced, ring.stats().queued], [0, 0])
  const controller = new AbortController()
  const waiting = failure(ring.nop({ signal: controller.signal }))
  const other = failure(ring.nop())
  assert.deepEqual([ring.stats().referenced, ring.stats().queued], [2, 2])
  ring.unref()
  assert.equal(ring.stats().referenced, 0)
  ring.ref()
  assert.equal(ring.stats().referenced, 3)
  ring.unref()
  controller.abort()
  assert.equal((await waiting).name, 'AbortError')
  await ring.close()
  assert.equal((await other).code, 'ERR_RING_CLOSED')
  assert.equal((await failure(first)).code, 'ERR_RING_CLOSED')
  assert.equal(ring.stats().referenced, 0)
})
