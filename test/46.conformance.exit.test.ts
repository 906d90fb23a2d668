// The end of a process that left requests in the kernel, and what it wrote before.
// Flow: this → child processes → ringcore/ring.

import assert from 'node:assert/strict'
import test from 'node:test'
import { oracle, runNode } from './helpers.js'

const PRELUDE = `
  import * as op from 'ringcore/ring'
  import * as sys from 'ringcore/sys'
  const pipe = (driver) => {
    const fds = new Int32Array(2)
    driver.syscall(sys.syscallNumber('pipe2'), driver.addressOf(fds), 0)
    return fds
  }
  const room = new Uint8Array(64)
  const listener = (ring) => {
    const { driver } = ring
    const fd = driver.syscall(sys.syscallNumber('socket'), sys.AF_INET, sys.SOCK_STREAM, 0)
    const name = sys.encodeSockaddr({ address: '127.0.0.1', port: 0 })
    driver.syscall(sys.syscallNumber('bind'), fd, driver.addressOf(name), name.length)
    driver.syscall(sys.syscallNumber('listen'), fd, 4)
    return fd
  }
  const far = BigInt64Array.of(3600n, 0n)
`

const PROGRAMS: Record<string, string> = {
  'reads in kernel workers': `
    for (let i = 0; i < 8; i++) {
      const sqe = ring.getSqe()
      op.prepRead(sqe, pipe(ring.driver)[0], ring.driver.addressOf(room), 64, -1)
      sqe.addFlags(sys.IOSQE_ASYNC)
    }
    ring.submit()
  `,
  'a poll linked behind an accept': `
    const sqe = ring.getSqe()
    op.prepAccept(sqe, listener(ring), 0, 0, 0)
    sqe.addFlags(sys.IOSQE_IO_LINK)
    op.prepPollAdd(ring.getSqe(), pipe(ring.driver)[0], sys.POLLIN)
    ring.submit()
  `,
  'a timeout linked behind an accept': `
    const sqe = ring.getSqe()
    op.prepAccept(sqe, listener(ring), 0, 0, 0)
    sqe.addFlags(sys.IOSQE_IO_LINK)
    op.prepTimeout(ring.getSqe(), ring.driver.addressOf(far), 0, 0)
    ring.submit()
  `,
}

const KINDS = ['{}', '{ singleIssuer: true, deferTaskrun: true }', '{ sqpoll: true }']
const ENDS = { 'by itself': '', 'by process.exit': 'process.exit(0)' }

/** A ring of each kind for each program, and the end of the process. An SQPOLL thread takes its time until it takes anything. */
const source = (kinds: readonly string[], programs: readonly string[], end: string): string => `${PRELUDE}
  const rings = globalThis.rings = []
  const begin = (options, program) => {
    const ring = new op.Ring({ entries: 16, ...options })
    rings.push(ring)
    program(ring)
  }
  ${kinds.flatMap((kind) => programs.map((program) => `begin(${kind}, (ring) => {${program}})`)).join('\n')}
  const isIdle = (ring) => ring.inKernel <= 0
  for (const last = Date.now() + 20_000; rings.some(isIdle) && Date.now() < last; )
    await new Promise((resolve) => setTimeout(resolve, 5))
  console.log('in the kernel:', !rings.some(isIdle))
  ${end}`

for (const [how, end] of Object.entries(ENDS)) {
  test(`exit ${how} with ${Object.keys(PROGRAMS).join(', ')}`, async (t) => {
    oracle(t)
    const programs = Object.values(PROGRAMS)
    const single = process.env.RINGCORE_SOAK === '1'
    const sources = single
      ? KINDS.flatMap((kind) => programs.map((program) => source([kind], [program], end)))
      : [source(KINDS, programs, end)]
    for (const one of sources) {
      const { code, stdout, stderr } = await runNode(one)
      assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: 'in the kernel: true\n', stderr: '' })
    }
  })
}

test('exit with five threads at work', async (t) => {
  oracle(t)
  const worker = `${PRELUDE}
    import { parentPort } from 'node:worker_threads'
    const ring = globalThis.ring = new op.Ring({ entries: 16 })
    ${PROGRAMS['reads in kernel workers']}
    parentPort.postMessage('busy')
    setInterval(() => {}, 1000)
  `
  const source = `
    import { Worker } from 'node:worker_threads'
    const resolve = (text) => text.replace(/'(ringcore\\/\\w+)'/g, (_, name) => JSON.stringify(import.meta.resolve(name)))
    const url = new URL('data:text/javascript,' + encodeURIComponent(resolve(${JSON.stringify(worker)})))
    const workers = Array.from({ length: 5 }, () => new Worker(url))
    await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once('message', resolve))))
    console.log('all busy')
    process.exit(3)
  `
  const { code, stdout, stderr } = await runNode(source)
  assert.deepEqual({ code, stdout, stderr }, { code: 3, stdout: 'all busy\n', stderr: '' })
})

test('standard output is written by requests, from registered buffers, too', async (t) => {
  oracle(t)
  const { code, stdout, stderr } = await runNode(`
    import { Uring } from 'ringcore'
    const ring = new Uring()
    await ring.write(1, Buffer.from('plain\\n'))
    await ring.writev(1, [Buffer.from('two '), Buffer.from('parts\\n')])
    const buffer = ring.alloc(11)
    buffer.write('registered\\n')
    await ring.writeFixed(1, buffer)
    await ring.close()
  `)
  assert.deepEqual(
    { code, stdout, stderr },
    { code: 0, stdout: 'plain\ntwo parts\nregistered\n', stderr: '' },
  )
})

test('a signalfd is polled and read', async (t) => {
  oracle(t)
  const { code, stdout, stderr } = await runNode(`${PRELUDE}
    const ring = new op.Ring({ entries: 8 })
    const { driver } = ring
    const [procmask, signalfd, tgkill] = process.arch === 'x64' ? [14, 289, 234] : [135, 74, 131]
    const SIGUSR2 = 12
    const set = BigUint64Array.of(1n << 11n)
    const mask = driver.addressOf(set)
    driver.syscall(procmask, 0, mask, 0, 8)
    const fd = driver.syscall(signalfd, -1, mask, 8, 0o2004000)
    const tid = driver.syscall(sys.syscallNumber('gettid'))
    const info = new Uint8Array(128)
    const results = []
    for (let round = 0; round < 3; round++) {
      const poll = ring.getSqe()
      op.prepPollAdd(poll, fd, sys.POLLIN)
      poll.setUserData(1)
      ring.submit()
      const waits = ring.cqReady() === 0
      driver.syscall(tgkill, process.pid, tid, SIGUSR2)
      ring.submitAndWaitTimeout(1, { timeoutMs: 2000 })
      ring.forEachCqe((id, _high, res) => results.push(waits, id, res))
      op.prepRead(ring.getSqe(), fd, driver.addressOf(info), 128, -1)
      ring.submitAndWaitTimeout(1, { timeoutMs: 2000 })
      ring.forEachCqe((_id, _high, res) => results.push(res, info[0]))
    }
    console.log(results.join())
    ring.close()
    process.exit(0)
  `)
  const round = 'true,1,1,128,12'
  assert.deepEqual(
    { code, stdout, stderr },
    { code: 0, stdout: `${[round, round, round].join()}\n`, stderr: '' },
  )
})
