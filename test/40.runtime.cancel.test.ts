// Aborting and running out of time: before, in flight, too late; nothing is left and late descriptors are closed.
// Flow: this → Uring → engine (cancels, deadlines) → kernel.

import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { existsSync, writeSync } from 'node:fs'
import test, { type TestContext } from 'node:test'
import type { OperationOptions, Uring } from 'ringcore'
import { Resource } from 'ringcore'
import {
  AF_INET,
  AF_UNIX,
  encodeSockaddr,
  type InternetAddress,
  IOSQE_ASYNC,
  POLLIN,
  SOCK_STREAM,
  syscallNumber,
} from 'ringcore/sys'
import { addressOf } from '#src/net/socket-calls.js'
import { countFds, OwnedFd, oracle, pipe, runNode, socketPair, until, withTimeout } from './helpers.js'
import { failure, oneOf, openUring, testKinds, turn } from './uring.js'

/** Operations that wait for ever unless they are cancelled. */
async function endless(
  t: TestContext,
  ring: Uring,
): Promise<Record<string, (options: OperationOptions) => Promise<unknown>>> {
  const { reader } = pipe(t)
  const full = pipe(t)
  const other = pipe(t)
  // A full pipe: writing to it waits.
  for (let room = 65536; room > 0; room -= 4096) writeSync(full.writer.fd, Buffer.alloc(4096))
  const [socket] = socketPair(t)
  const listener = new Resource(await ring.socket(AF_UNIX, SOCK_STREAM))
  t.after(() => ring.closeFile(listener))
  await ring.bind(listener, { path: `\0ringcore-test-${process.pid}-${Math.random()}` })
  await ring.listen(listener, 5)
  const buffer = (): Buffer => Buffer.alloc(8192)
  return {
    read: (options) => ring.read(reader.fd, buffer(), options),
    'read on a worker': (options) => ring.read(reader.fd, buffer(), { sqeFlags: IOSQE_ASYNC, ...options }),
    readv: (options) => ring.readv(reader.fd, [buffer(), buffer()], options),
    write: (options) => ring.write(full.writer.fd, buffer(), options),
    writev: (options) => ring.writev(full.writer.fd, [buffer()], options),
    splice: (options) => ring.splice(reader.fd, -1, other.writer.fd, -1, 10, 0, options),
    poll: (options) => ring.poll(reader.fd, POLLIN, options),
    recv: (options) => ring.recv(socket.fd, buffer(), options),
    recvmsg: (options) => ring.recvmsg(socket.fd, { buffers: [buffer()] }, options),
    accept: (options) => ring.accept(listener, options),
    timeout: (options) => ring.timeout(1e9, options),
  }
}

testKinds('aborted in flight: AbortError with the reason, slot and buffer free', async (t, ring) => {
  const operations = Object.entries(await endless(t, ring))
  for (const [name, begin] of operations) {
    const controller = new AbortController()
    const pending = begin({ signal: controller.signal })
    pending.catch(() => {})
    await turn()
    const { inFlight } = ring.stats()
    assert.equal(inFlight, 1, name)
    const reason = new Error('enough')
    controller.abort(reason)
    const error = await withTimeout(failure(pending, name), 2000, `${name} to end`)
    assert.equal(error.name, 'AbortError', name)
    assert.equal(error.code, 'ABORT_ERR', name)
    assert.equal(error.cause, reason, name)
    assert.equal(ring.stats().inFlight, 0, name)
  }
})

testKinds('aborted in the turn in which it began, and before it', async (t, ring) => {
  for (const [name, begin] of Object.entries(await endless(t, ring))) {
    const controller = new AbortController()
    const pending = begin({ signal: controller.signal })
    controller.abort()
    assert.equal((await withTimeout(failure(pending, name), 2000, name)).name, 'AbortError')
    const { enters } = ring.stats()
    assert.equal((await failure(begin({ signal: controller.signal }), name)).name, 'AbortError')
    assert.equal(ring.stats().enters, enters, 'nothing was queued')
  }
})

testKinds('out of time: ETIMEDOUT', async (t, ring) => {
  const operations = Object.entries(await endless(t, ring))
  await oneOf(5, async () => {
    const started = performance.now()
    await Promise.all(
      operations.map(async ([name, begin]) => {
        const error = await withTimeout(failure(begin({ timeout: 30 }), name), 5000, `${name} to end`)
        assert.equal(error.code, 'ETIMEDOUT', name)
        assert.equal(error.errno, -110, name)
      }),
    )
    const took = performance.now() - started
    assert.ok(took >= 29 && took < 1000, `30 ms took ${took}`)
  })
  // In time: the deadline leaves no trace.
  for (let i = 0; i < 100; i++) assert.equal(await ring.nop({ timeout: 10_000 }), 0)
  assert.equal(ring.stats().inFlight, 0)
})

testKinds('many at once: abort, deadline and success, in any order', async (t, ring) => {
  const { reader, writer } = pipe(t)
  const outcomes = { aborted: 0, late: 0, read: 0 }
  const controller = new AbortController()
  const reads = Array.from({ length: 300 }, async (_, i) => {
    const options = i % 3 === 0 ? { signal: controller.signal } : i % 3 === 1 ? { timeout: 5 + (i % 20) } : {}
    try {
      assert.equal(await ring.read(reader.fd, Buffer.alloc(1), options), 1)
      outcomes.read++
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'ABORT_ERR') outcomes.aborted++
      else if (code === 'ETIMEDOUT') outcomes.late++
      else throw error
    }
  })
  await ring.timeout(10)
  controller.abort()
  // Nothing is written before the last of them is out of time: it would get a byte that is another's.
  await until(() => outcomes.aborted + outcomes.late === 200, 5000, 'those that end by themselves')
  assert.equal(outcomes.read, 0)
  writeSync(writer.fd, Buffer.alloc(100))
  await withTimeout(Promise.all(reads), 5000, 'all reads')
  assert.deepEqual(outcomes, { aborted: 100, late: 100, read: 100 })
})

testKinds('aborted too late: the descriptor that came is closed', async (_t, ring) => {
  const before = countFds().all
  for (let i = 0; i < 200; i++) {
    const controller = new AbortController()
    const opened = ring.openat('/dev/null', 'r', { signal: controller.signal })
    const made = ring.socket(AF_INET, SOCK_STREAM, 0, { signal: controller.signal })
    opened.catch(() => {})
    made.catch(() => {})
    // Some are aborted before they go down, some when the kernel has done them and nobody was told yet.
    if (i % 2 === 1) ring.flush()
    controller.abort()
    const results = await Promise.allSettled([opened, made])
    for (const result of results) assert.equal(result.status, 'rejected')
  }
  await until(() => countFds().all === before, 2000, 'late descriptors to be closed')
})

testKinds('aborted too late: a connection that came is closed', async (t, ring) => {
  const { driver } = ring.ring
  for (let i = 0; i < 20; i++) {
    const listener = await ring.socket(AF_INET, SOCK_STREAM)
    await ring.bind(listener, { address: '127.0.0.1', port: 0 })
    await ring.listen(listener, 5)
    const address = addressOf(driver, listener, 'own') as InternetAddress
    const controller = new AbortController()
    const accepted = ring.accept(listener, { signal: controller.signal })
    accepted.catch(() => {})
    await turn()
    // Connecting blocks this thread until the kernel has the connection; the ring hears of it later than of the abort.
    const client = new OwnedFd(t, driver.syscall(syscallNumber('socket'), AF_INET, SOCK_STREAM, 0))
    const bytes = encodeSockaddr(address)
    const connect = { x64: 42, arm64: 203 }[process.arch as 'x64' | 'arm64']
    assert.equal(driver.syscall(connect, client.fd, driver.addressOf(bytes), bytes.length), 0)
    if (i % 2 === 1) ring.flush()
    controller.abort()
    assert.equal((await failure(accepted, 'accept')).name, 'AbortError')
    await ring.closeFile(listener)
    const end = await withTimeout(
      ring.recv(client.fd, Buffer.alloc(1)).catch((error: NodeJS.ErrnoException) => error.code),
      2000,
      'the late connection to end',
    )
    assert.ok(end === 0 || end === 'ECONNRESET', String(end))
    client.close()
  }
})

testKinds('closing an owned file cancels what is in flight on it: ECANCELED', async (t, ring) => {
  const { reader } = pipe(t)
  const file = new Resource(reader.release())
  const other = pipe(t)
  const stays = ring.read(other.reader.fd, Buffer.alloc(1))
  const pending = [
    ring.read(file, Buffer.alloc(1)),
    ring.read(file, Buffer.alloc(1), { timeout: 60_000 }),
    ring.poll(file, POLLIN),
    ring.read(file, Buffer.alloc(1), { sqeFlags: IOSQE_ASYNC }),
    ring.readv(file, [Buffer.alloc(1)]),
  ]
  for (const each of pending) each.catch(() => {})
  await turn()
  assert.equal(file.users, 5)
  const { fd } = file
  const closed = ring.closeFile(file)
  assert.equal(file.fd, -1)
  assert.equal((await failure(ring.read(file, Buffer.alloc(1)))).code, 'EBADF')
  await withTimeout(closed, 2000, 'close')
  assert.equal(file.users, 0)
  assert.equal(existsSync(`/proc/self/fd/${fd}`), false)
  for (const each of pending) assert.equal((await failure(each)).code, 'ECANCELED')
  assert.equal(ring.stats().inFlight, 1, 'other files are not touched')
  writeSync(other.writer.fd, 'x')
  assert.equal(await stays, 1)
})

test('a thousand operations on one signal: no warning, no listener left', async (t) => {
  oracle(t)
  const ring = openUring(t)
  const warnings: Error[] = []
  const onWarning = (warning: Error) => warnings.push(warning)
  process.on('warning', onWarning)
  t.after(() => process.off('warning', onWarning))
  const { reader } = pipe(t)
  const controller = new AbortController()
  const { signal } = controller
  await Promise.all(Array.from({ length: 1000 }, () => ring.nop({ signal })))
  const reads = Array.from({ length: 1000 }, () => failure(ring.read(reader.fd, Buffer.alloc(1), { signal })))
  assert.equal(getEventListeners(signal, 'abort').length, 1000)
  await turn()
  controller.abort()
  for (const error of await withTimeout(Promise.all(reads), 5000)) assert.equal(error.name, 'AbortError')
  assert.equal(getEventListeners(signal, 'abort').length, 0)
  await turn()
  assert.deepEqual(warnings, [])
})

test('AbortSignal.timeout and a deadline hold no process open after the operation', async (t) => {
  oracle(t)
  const { code, stdout, stderr } = await runNode(`
    import { Uring } from 'ringcore'
    const ring = new Uring()
    const started = performance.now()
    process.on('exit', () => console.log(performance.now() - started < 1000))
    await ring.nop({ signal: AbortSignal.timeout(20_000), timeout: 20_000 })
  `)
  assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: 'true\n', stderr: '' })
})

/** An AbortSignal of which one part throws once the operation has begun. */
function throwing(part: 'aborted' | 'reason' | 'removeEventListener'): AbortController {
  const controller = new AbortController()
  const { signal } = controller
  let isOn = false
  const fail = (): never => {
    throw new Error(`${part} throws`)
  }
  const get = (): unknown => (isOn ? fail() : part === 'aborted' && false)
  Object.defineProperty(signal, part, part === 'removeEventListener' ? { value: fail } : { get })
  queueMicrotask(() => {
    isOn = true
  })
  return controller
}

test('a signal that throws ends nothing but its own operation, and loses no result', async (t) => {
  oracle(t)
  const ring = openUring(t, { inFlight: 4 })
  const { reader } = pipe(t)
  for (const part of ['aborted', 'reason', 'removeEventListener'] as const) {
    // All in one batch; some wait for a place first.
    const signals = Array.from({ length: 6 }, (_, i) => {
      if (i >= 4 && part === 'aborted') return undefined // what waits is asked again when it begins
      return throwing(part).signal
    })
    const nops = Promise.all(signals.map((signal) => ring.nop({ signal })))
    await withTimeout(nops, 2000, part)
    await ring.closeFile(await ring.openat('/dev/null', 'r', { signal: throwing(part).signal }))
    const controller = throwing(part)
    const read = failure(ring.read(reader.fd, Buffer.alloc(1), { signal: controller.signal }))
    await turn()
    controller.abort()
    const { name, code } = await withTimeout(read, 2000, part)
    if (part === 'aborted') assert.equal(code, 'ECANCELED')
    else assert.equal(name, 'AbortError')
  }
})

test('a signal that refuses listeners: nothing is begun, in a chain neither', async (t) => {
  oracle(t)
  const ring = openUring(t)
  const { reader, writer } = pipe(t)
  const { signal } = new AbortController()
  const addEventListener = (): never => {
    throw new Error('no listeners')
  }
  Object.defineProperty(signal, 'addEventListener', { value: addEventListener })
  const options = { signal, timeout: 1000 }
  assert.equal((await failure(ring.read(reader.fd, Buffer.alloc(1), options))).message, 'no listeners')
  assert.equal((await failure(ring.openat('/dev/null', 'r', options))).message, 'no listeners')
  const chain = ring.chain((c) => {
    c.write(writer.fd, Buffer.from('x'))
    c.nop(options)
    c.write(writer.fd, Buffer.from('y'))
  })
  assert.equal((await failure(chain)).message, 'no listeners')
  assert.equal(ring.stats().inFlight, 0)
  assert.equal((await failure(ring.read(reader.fd, Buffer.alloc(1), { timeout: 20 }))).code, 'ETIMEDOUT')
})
