// Sends of several buffers without a message's header, of registered vectors, and the times at which they went out.
// Flow: this → Uring (operations-zero-copy, operations-command) → kernel.

import assert from 'node:assert/strict'
import test from 'node:test'
import type { Uring, UringOptions } from 'ringcore'
import { prepSend, probe } from 'ringcore/ring'
import * as sys from 'ringcore/sys'
import { explainFlag } from '#src/runtime/flag-gate.js'
import type { Driver } from '#src/sys/driver.js'
import { errnoError } from '#src/sys/error.js'
import { openDriver } from '#src/sys/open-driver.js'
import { oracle, pipe, socketPair, withTimeout } from './helpers.js'
import { failure, openUring } from './uring.js'
import { boundSocket, OP_KINDS, opTest, refused, tcpPair } from './uring-ops.js'

async function receive(ring: Uring, fd: number, bytes: number): Promise<string> {
  let text = ''
  while (text.length < bytes) {
    const buffer = Buffer.alloc(65536)
    text += buffer.toString('latin1', 0, await ring.recv(fd, buffer))
  }
  return text
}

opTest('SEND, SEND_ZC', 'several buffers with one request', async (t, ring) => {
  const [client, server] = tcpPair(t)
  const parts = ['one ', 'two ', '', 'three'].map((text) => Buffer.from(text))
  const first = await ring.sendv(client.fd, parts).catch((error) => error)
  if (first?.code === 'ERR_RING_FEATURE') return t.skip(first.message)
  assert.equal(first, 13)
  assert.equal(await receive(ring, server.fd, 13), 'one two three')
  const { bytes } = await ring.sendvZc(client.fd, [...parts, new Uint8Array(Buffer.alloc(9000, 'x'))])
  assert.equal(bytes, 9013)
  assert.equal(await receive(ring, server.fd, 9013), `one two three${'x'.repeat(9000)}`)
  assert.equal((await ring.sendvZc(client.fd, parts, { reportUsage: true })).copied, true)
  await receive(ring, server.fd, 13)

  assert.equal((await failure(ring.sendv(999_999, parts))).code, 'EBADF')
  assert.equal((await failure(ring.sendvZc(999_999, parts))).code, 'EBADF')
  server.close()
  const codes = await Promise.all([1, 2, 3].map(() => ring.sendv(client.fd, parts).catch(({ code }) => code)))
  assert.ok(codes.some((code) => code === 'EPIPE' || code === 'ECONNRESET') || codes.every((c) => c === 13))
  // A full socket: the abort waits for the kernel.
  const [full] = tcpPair(t)
  const controller = new AbortController()
  const big = Array.from({ length: 64 }, () => Buffer.alloc(1 << 20))
  const sending = failure(
    ring.sendv(full.fd, big, { signal: controller.signal, flags: sys.MSG_WAITALL }),
  ).catch(() => ({
    name: 'AbortError',
  }))
  setTimeout(() => controller.abort(), 20)
  assert.equal((await withTimeout(sending, 5000)).name, 'AbortError')
  await refused(ring, [
    ['ERR_INVALID_ARG_TYPE', () => ring.sendv(0, Buffer.alloc(1) as never)],
    ['ERR_INVALID_ARG_TYPE', () => ring.sendv(0, ['x' as never])],
    ['ERR_OUT_OF_RANGE', () => ring.sendv(0, Array(1025).fill(Buffer.alloc(1)))],
    ['ERR_OUT_OF_RANGE', () => ring.sendv(-1, [])],
    ['ERR_OUT_OF_RANGE', () => ring.sendvZc(0, [], { ioprio: 65536 })],
    ['ERR_OUT_OF_RANGE', () => ring.sendv(0, [], { flags: -1 })],
  ])
})

opTest('SENDMSG_ZC', 'registered vectors', async (t, ring) => {
  const [client, server] = tcpPair(t)
  const whole = ring.alloc(8192)
  const other = ring.alloc(4096)
  whole.fill('a')
  other.fill('b')
  const message = { buffers: [whole, other] }
  const result = await ring.sendmsgZc(client.fd, message, { fixed: true }).catch((error) => error)
  if (result.code === 'ERR_RING_FEATURE') return t.skip(result.message)
  assert.equal(result.bytes, 12288)
  assert.equal(await receive(ring, server.fd, 12288), 'a'.repeat(8192) + 'b'.repeat(4096))
  await refused(ring, [
    ['ERR_INVALID_STATE', () => ring.sendmsgZc(0, { buffers: [Buffer.alloc(5)] }, { fixed: true })],
    ['ERR_INVALID_STATE', () => ring.sendmsgZc(0, { buffers: [whole, Buffer.alloc(5)] }, { fixed: true })],
    ['ERR_INVALID_ARG_VALUE', () => ring.sendmsgZc(0, { buffers: [] }, { fixed: true })],
  ])
  ring.free(whole)
  ring.free(other)
})

const BIG: Readonly<Record<string, UringOptions>> = {
  CQE32: OP_KINDS.CQE32!,
  CQE_MIXED: { cqeMixed: true },
}
for (const [kind, options] of Object.entries(BIG)) {
  test(`when datagrams went out (${kind})`, async (t) => {
    oracle(t)
    let ring: Uring
    try {
      ring = openUring(t, options)
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'ERR_RING_FEATURE')
      return t.skip((error as Error).message)
    }
    const [near, far] = [boundSocket(t), boundSocket(t)]
    const flags =
      sys.SOF_TIMESTAMPING_TX_SOFTWARE |
      sys.SOF_TIMESTAMPING_SOFTWARE |
      sys.SOF_TIMESTAMPING_OPT_ID |
      sys.SOF_TIMESTAMPING_OPT_TSONLY
    await ring.setsockopt(near.fd, sys.SOL_SOCKET, sys.SO_TIMESTAMPING, flags)
    const before = Date.now() / 1000
    const times = ring.txTimestamps(near.fd)
    for (let i = 0; i < 3; i++) await ring.sendto(near.fd, Buffer.from('x'), far.address)
    for (let key = 0; key < 3; key++) {
      let value: Awaited<ReturnType<typeof times.next>>['value']
      try {
        value = (await withTimeout(times.next(), 5000)).value
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException
        if (code === 'ENOTSUP' || code === 'EINVAL') return t.skip('needs kernel 6.17')
        throw error
      }
      assert.deepEqual([value.key, value.stage, value.hardware], [key, 'sent', false])
      assert.ok(Math.abs(value.seconds + value.nanoseconds / 1e9 - before) < 60, JSON.stringify(value))
    }
    await times.return()
    const signal = AbortSignal.timeout(20)
    assert.equal((await failure(ring.txTimestamps(near.fd, { signal }).next())).name, 'AbortError')
    assert.match((await failure(ring.txTimestamps(999_999).next())).code!, /EBADF/)
    await refused(ring, [['ERR_OUT_OF_RANGE', () => ring.txTimestamps(-1)]])
  })
}

test('big completions between small ones, on one ring', async (t) => {
  oracle(t)
  if (probe().setupFlags.IORING_SETUP_CQE_MIXED !== true) return t.skip('needs kernel 6.18')
  // A queue that is small, so that they wrap, and the kernel pads.
  const ring = openUring(t, { cqeMixed: true, entries: 8, cqEntries: 16 })
  for (let round = 0; round < 20; round++) {
    const results = await Promise.all(
      Array.from({ length: 9 }, (_, i) =>
        ring.nop({ result: i, flags: (i + round) % 3 === 0 ? sys.IORING_NOP_CQE32 : 0 }),
      ),
    )
    assert.deepEqual(results, [0, 1, 2, 3, 4, 5, 6, 7, 8])
  }
  assert.equal(ring.stats().strays, 0, 'the second half of a big one is no completion')
})

test('timestamps need completions of 32 bytes', (t) => {
  oracle(t)
  const ring = openUring(t)
  assert.throws(() => ring.txTimestamps(0), { code: 'ERR_INVALID_STATE', message: /cqe32 or cqeMixed/ })
})

test('EINVAL is told apart: of the flag, or of the arguments', (t) => {
  oracle(t)
  const ring = openUring(t)
  const einval = errnoError(-22, 'send')
  const flag = (name: string, ioprio: number) => ({
    name,
    since: '9.9',
    write: (sqe: Parameters<typeof prepSend>[0]) => {
      prepSend(sqe, -1, 0, 0, 0)
      sqe.words[0]! |= ioprio << 16
    },
  })
  const unknown = explainFlag(ring.engine, einval, flag('IORING_NO_SUCH', 0x8000)) as NodeJS.ErrnoException
  assert.equal(unknown.code, 'ERR_RING_FEATURE')
  assert.match(unknown.message, /IORING_NO_SUCH.*Linux 9.9/)
  assert.equal(unknown.cause, einval)
  assert.equal(explainFlag(ring.engine, einval, flag('IORING_RECVSEND_POLL_FIRST', 1)), einval)
  const other = errnoError(-32, 'send')
  assert.equal(explainFlag(ring.engine, other, flag('IORING_NO_SUCH', 0x8000)), other)
})

/** A kernel that does not know what `spoil` makes unknown: it is told of every entry before it is submitted. */
function olderKernel(spoil: (entry: Int32Array) => void): Driver {
  const real = openDriver()
  const queues: ArrayBuffer[] = []
  const map: Driver['map'] = (fd, bytes, offset) => {
    const memory = real.map(fd, bytes, offset)
    if (typeof memory !== 'number' && offset === sys.IORING_OFF_SQES) queues.push(memory)
    return memory
  }
  const enter: Driver['enter'] = (...args) => {
    for (const queue of queues)
      for (let at = 0; at < queue.byteLength; at += 64) spoil(new Int32Array(queue, at, 16))
    return real.enter(...args)
  }
  return { ...real, map, enter }
}

/** Submits through the driver, as the loop does not. */
function submitted<T>(ring: Uring, promise: Promise<T>): Promise<T> {
  ring.flush()
  return promise
}

test('each flag of a NOP that a kernel lacks is named, and so is the Linux that has it', async (t) => {
  oracle(t)
  let lacks = 0
  const driver = olderKernel((entry) => {
    if ((entry[0]! & 0xff) === sys.IORING_OP_NOP && (entry[7]! & lacks) !== 0) entry[7]! |= 1 << 30
  })
  const ring = openUring(t, { driver, cqe32: true })
  const table: [flag: number, name: string, since: string, options: object][] = [
    [sys.IORING_NOP_INJECT_RESULT, 'INJECT_RESULT', '6.10', { result: 5 }],
    [sys.IORING_NOP_FILE, 'FILE', '6.13', { file: 0 }],
    [sys.IORING_NOP_FIXED_FILE, 'FIXED_FILE', '6.13', { flags: sys.IORING_NOP_FIXED_FILE }],
    [sys.IORING_NOP_FIXED_BUFFER, 'FIXED_BUFFER', '6.13', { flags: sys.IORING_NOP_FIXED_BUFFER }],
    [sys.IORING_NOP_TW, 'TW', '6.17', { flags: sys.IORING_NOP_TW }],
    [sys.IORING_NOP_CQE32, 'CQE32', '6.18', { flags: sys.IORING_NOP_CQE32 }],
  ]
  for (const [flag, name, since, options] of table) {
    lacks = flag
    const error = await failure(submitted(ring, ring.nop(options)))
    assert.equal(error.code, 'ERR_RING_FEATURE')
    assert.match(error.message, new RegExp(`IORING_NOP_${name}\\b.*Linux ${since}`))
    assert.equal((error.cause as NodeJS.ErrnoException).code, 'EINVAL')
  }
  const plain = openUring(t)
  // The caller's own EINVAL, and a flag that no kernel knows, stay what they are.
  for (const options of [{ result: -22 }, { flags: 1 << 29 }])
    assert.equal((await failure(plain.nop(options))).code, 'EINVAL')
  const error = await failure(plain.nop({ flags: sys.IORING_NOP_CQE32 }))
  assert.deepEqual([error.code, /cqe32 or cqeMixed/.test(error.message)], ['ERR_INVALID_STATE', true])
})

test('bundles on a kernel without them are named', async (t) => {
  oracle(t)
  const driver = olderKernel((entry) => {
    const opcode = entry[0]! & 0xff
    if (opcode !== sys.IORING_OP_RECV && opcode !== sys.IORING_OP_SEND) return
    if ((entry[0]! & (sys.IORING_RECVSEND_BUNDLE << 16)) !== 0) entry[0]! |= 0x8000 << 16
  })
  const ring = openUring(t, { driver })
  const [here, there] = socketPair(t)
  const sending = ring.sendGroup({ entries: 2, bufferBytes: 64 })
  sending.add(Buffer.from('text'))
  const lacking = { code: 'ERR_RING_FEATURE', message: /IORING_RECVSEND_BUNDLE.*Linux 6\.10/ }
  await assert.rejects(submitted(ring, ring.sendBundle(here.fd, sending)), lacking)
  assert.equal(sending.pending, 4)
  const receiving = ring.bufferGroup({ entries: 2, bufferBytes: 64 })
  await assert.rejects(submitted(ring, ring.recvBundle(there.fd, receiving).next()), lacking)
  receiving.close()
  sending.close()
  // What is wrong with the file is no word about the kernel.
  const able = openUring(t)
  const group = able.bufferGroup({ entries: 2, bufferBytes: 64 })
  assert.equal((await failure(able.recvBundle(pipe(t).reader.fd, group).next())).code, 'ENOTSOCK')
})
