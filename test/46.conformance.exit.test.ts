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

for (const [name, program] of Object.entries(PROGRAMS)) {
  test(`exit with ${name}`, async (t) => {
    oracle(t)
    for (const options of ['{}', '{ singleIssuer: true, deferTaskrun: true }', '{ sqpoll: true }']) {
      for (const end of ['', 'process.exit(0)']) {
        const source = `${PRELUDE}
          const ring = globalThis.ring = new op.Ring({ entries: 16, ...${options} })
          ${program}
          await new Promise((resolve) => setTimeout(resolve, 20))
          console.log('in the kernel:', ring.inKernel > 0)
          ${end}`
        const { code, stdout, stderr } = await runNode(source, { timeoutMs: 10_000 })
        assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: 'in the kernel: true\n', stderr: '' })
      }
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
  const { code, stdout, stderr } = await runNode(source, { timeoutMs: 10_000 })
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
