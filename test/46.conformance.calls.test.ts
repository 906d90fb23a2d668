// The three system calls by themselves: what they refuse, rings without an fd, rings in other hands.
// Flow: this → ringcore/sys, child processes, worker threads.

import assert from 'node:assert/strict'
import { openSync } from 'node:fs'
import test, { type TestContext } from 'node:test'
import { Worker } from 'node:worker_threads'
import { prepNop, prepPollAdd, prepWrite, probe, Ring } from 'ringcore/ring'
import * as sys from 'ringcore/sys'
import { CTL } from '#src/sys/driver.js'
import { OwnedFd, oracle, pipe, runNode, until, withTimeout } from './helpers.js'
import { call } from './op-helpers.js'
import { takeCqes } from './ring-kinds.js'

const page = (driver: Ring['driver'], bytes = 4096): ArrayBuffer => driver.map(-1, bytes, 0) as ArrayBuffer

/** A file that is no ring. */
function plainFile(t: TestContext): number {
  return new OwnedFd(t, openSync('/dev/null', 'r')).fd
}

// ---------------------------------------------------------------- what is refused

test('setup refuses what it does not know, and what does not go together', (t) => {
  oracle(t)
  const file = plainFile(t)
  const cases: [name: string, errno: number, change: (params: sys.io_uring_params) => void][] = [
    ['a reserved word', sys.EINVAL, (p) => (p.resv[0] = 1)],
    ['SQ_AFF without SQPOLL', sys.EINVAL, (p) => (p.flags = sys.IORING_SETUP_SQ_AFF)],
    [
      'SQ_AFF on a CPU that is not there',
      sys.EINVAL,
      (p) => {
        p.flags = sys.IORING_SETUP_SQPOLL | sys.IORING_SETUP_SQ_AFF
        p.sq_thread_cpu = 99_999
      },
    ],
    [
      'ATTACH_WQ to nothing',
      sys.ENXIO,
      (p) => {
        p.flags = sys.IORING_SETUP_ATTACH_WQ
        p.wq_fd = 1_000_000
      },
    ],
    [
      'ATTACH_WQ to a file',
      sys.EINVAL,
      (p) => {
        p.flags = sys.IORING_SETUP_ATTACH_WQ
        p.wq_fd = file
      },
    ],
    [
      'a CQ of nothing',
      sys.EINVAL,
      (p) => {
        p.flags = sys.IORING_SETUP_CQSIZE
        p.cq_entries = 0
      },
    ],
    [
      'a CQ that is smaller than the SQ',
      sys.EINVAL,
      (p) => {
        p.flags = sys.IORING_SETUP_CQSIZE
        p.cq_entries = 2
      },
    ],
    [
      'REGISTERED_FD_ONLY without NO_MMAP',
      sys.EINVAL,
      (p) => (p.flags = sys.IORING_SETUP_REGISTERED_FD_ONLY),
    ],
    ['DEFER_TASKRUN without SINGLE_ISSUER', sys.EINVAL, (p) => (p.flags = sys.IORING_SETUP_DEFER_TASKRUN)],
  ]
  for (const [name, errno, change] of cases) {
    const params = new sys.io_uring_params()
    change(params)
    assert.equal(sys.io_uring_setup(4, params), -errno, name)
  }
})

test('enter refuses flags and files that are none; an index beyond the SQ is dropped, and counted', (t) => {
  oracle(t)
  using ring = new Ring({ entries: 4, noSqarray: false })
  const file = plainFile(t)
  const WITH_ARGUMENT = sys.IORING_ENTER_GETEVENTS | sys.IORING_ENTER_EXT_ARG
  assert.equal(sys.io_uring_enter(ring.fd, 0, 0, 0x4000_0000), -sys.EINVAL)
  assert.equal(sys.io_uring_enter(file, 0, 0, 0), -sys.EOPNOTSUPP)
  assert.equal(sys.io_uring_enter(ring.fd, 0, 1, WITH_ARGUMENT, null, 0), -sys.EINVAL)
  const { sqArray, sqTail, sqDropped } = ring.geometry
  const words = new Int32Array(ring.memory.ring)
  const dropped = (): number => words[sqDropped / 4]!
  assert.equal(dropped(), 0)
  words[sqArray / 4] = 99
  sys.storeRelease(words, sqTail / 4, 1)
  assert.equal(sys.io_uring_enter(ring.fd, 1, 0, 0), 0, 'nothing was taken')
  assert.deepEqual([dropped(), ring.cqReady()], [1, 0])
  // It is out of the queue, and no CQE will come.
  ring.control[CTL.SQ_TAIL]!++
  ring.accountSkippedCqes(1)
})

test('register refuses buffers, files and operations that are none', (t) => {
  oracle(t)
  using ring = new Ring({ entries: 4 })
  const { driver, fd } = ring
  const memory = new Uint8Array(page(driver))
  const vector = (base: bigint, length: bigint): Uint8Array => {
    const iovec = new sys.iovec()
    iovec.iov_base = base
    iovec.iov_len = length
    return iovec.bytes
  }
  const at = BigInt(driver.addressOf(memory))
  const buffers = (bytes: Uint8Array | null, count: number): number =>
    sys.io_uring_register(fd, sys.IORING_REGISTER_BUFFERS, bytes, count)
  const some = vector(at, 4096n)
  assert.deepEqual(
    [
      buffers(vector(0n, 4096n), 1),
      buffers(vector(at, 0n), 1),
      buffers(vector(at, 1n << 31n), 1),
      buffers(vector(1n << 62n, 4096n), 1),
      buffers(null, 1),
      buffers(some, 0),
      buffers(some, 20_000),
    ],
    [-sys.EFAULT, -sys.EFAULT, -sys.EFAULT, -sys.EFAULT, -sys.EFAULT, -sys.EINVAL, -sys.EINVAL],
  )
  const files = (fds: Int32Array | null, count: number): number =>
    sys.io_uring_register(fd, sys.IORING_REGISTER_FILES, fds, count)
  assert.deepEqual(
    [
      files(Int32Array.of(1_000_000), 1),
      // A ring is no file for its own table, nor for another's.
      files(Int32Array.of(fd), 1),
      files(null, 1),
      files(Int32Array.of(0), 0),
      files(Int32Array.of(0), 2 ** 21),
    ],
    [-sys.EBADF, -sys.EBADF, -sys.EFAULT, -sys.EINVAL, -sys.EMFILE],
  )
  assert.equal(sys.io_uring_register(fd, 77, null, 0), -sys.EINVAL)
  assert.equal(sys.io_uring_register(plainFile(t), sys.IORING_REGISTER_PROBE, null, 0), -sys.EOPNOTSUPP)
  // Nothing of it is registered.
  assert.equal(sys.io_uring_register(fd, sys.IORING_UNREGISTER_BUFFERS), -sys.ENXIO)
  assert.equal(sys.io_uring_register(fd, sys.IORING_UNREGISTER_FILES), -sys.ENXIO)
})

test('restrictions are set once, and before the ring is enabled', (t) => {
  oracle(t)
  using ring = new Ring({ entries: 4, rDisabled: true })
  assert.throws(() => ring.registerRestrictions([{ allow: 'registerOp', opcode: 200 }]), { code: 'EINVAL' })
  ring.registerRestrictions([])
  assert.throws(() => ring.registerRestrictions([{ allow: 'sqeOp', opcode: 0 }]), { code: 'EBUSY' })
  ring.enableRings()
})

test('queries go in a chain, take what fits and end when they lead in a circle', (t) => {
  oracle(t)
  if (probe().registerOps.IORING_REGISTER_QUERY !== true) return t.skip('needs IORING_REGISTER_QUERY: 6.18')
  const query = (...headers: sys.io_uring_query_hdr[]): number => {
    for (const [i, header] of headers.entries())
      if (headers[i + 1]) header.next_entry = BigInt(sys.addressOf(headers[i + 1]!))
    return sys.io_uring_register(-1, sys.IORING_REGISTER_QUERY, headers[0]!, 0)
  }
  const header = (op: number, into: Uint8Array, size = into.length): sys.io_uring_query_hdr => {
    const made = new sys.io_uring_query_hdr()
    made.query_op = op
    made.query_data = BigInt(sys.addressOf(into))
    made.size = size
    return made
  }
  const answer = new sys.io_uring_query_opcode()
  const known = header(sys.IO_URING_QUERY_OPCODES, answer.bytes)
  const unknown = header(999, new Uint8Array(8))
  const again = header(sys.IO_URING_QUERY_OPCODES, new Uint8Array(256).fill(0xff))
  assert.equal(query(unknown, known, again), 0)
  assert.deepEqual([unknown.result, known.result, again.result], [-sys.EOPNOTSUPP, 0, 0])
  assert.ok(answer.nr_request_opcodes >= 60 && answer.nr_register_opcodes >= 30)
  assert.ok(again.size >= 48 && again.size <= 256, `${again.size} bytes are what this kernel has to say`)
  // Four bytes are the first word.
  const word = new Uint8Array(8)
  const short = header(sys.IO_URING_QUERY_OPCODES, word, 4)
  assert.equal(query(short), 0)
  assert.deepEqual([...new Uint32Array(word.buffer)], [answer.nr_request_opcodes, 0])
  known.next_entry = BigInt(sys.addressOf(known))
  assert.equal(query(known), -sys.ERANGE)
  known.next_entry = 0n
  assert.equal(sys.io_uring_register(-1, sys.IORING_REGISTER_QUERY, known, 1), -sys.EINVAL)
  const bad = header(sys.IO_URING_QUERY_OPCODES, answer.bytes)
  bad.query_data = 1n << 62n
  assert.equal(query(bad), -sys.EFAULT)
})

// ---------------------------------------------------------------- rings without an fd

test('a ring without an fd is used by its index, and gone when that is given back', (t) => {
  oracle(t)
  using other = new Ring({ entries: 2 })
  const [rings, sqes] = [page(other.driver, 65_536), page(other.driver)]
  const params = new sys.io_uring_params()
  params.flags = sys.IORING_SETUP_NO_MMAP | sys.IORING_SETUP_REGISTERED_FD_ONLY
  params.cq_off.user_addr = BigInt(sys.addressOf(new Uint8Array(rings)))
  params.sq_off.user_addr = BigInt(sys.addressOf(new Uint8Array(sqes)))
  const index = sys.io_uring_setup(8, params)
  if (index === -sys.EINVAL) return t.skip('needs IORING_SETUP_REGISTERED_FD_ONLY: kernel 6.5')
  assert.ok(index >= 0, sys.errnoName(index))
  const words = new Int32Array(rings)
  const { sq_off, cq_off } = params
  const enter = (submit: number, complete: number): number =>
    sys.io_uring_enter(index, submit, complete, sys.IORING_ENTER_GETEVENTS | sys.IORING_ENTER_REGISTERED_RING)
  for (let i = 0; i < 20; i++) {
    const sqe = new sys.io_uring_sqe(sqes, (i % 8) * 64)
    sqe.opcode = sys.IORING_OP_NOP
    sqe.user_data = BigInt(i) + 100n
    words[sq_off.array / 4 + (i % 8)] = i % 8
    sys.storeRelease(words, sq_off.tail / 4, i + 1)
    assert.equal(enter(1, 1), 1)
    const cqe = new sys.io_uring_cqe(rings, cq_off.cqes + (i % 16) * 16)
    assert.deepEqual([cqe.user_data, cqe.res], [BigInt(i) + 100n, 0])
    sys.storeRelease(words, cq_off.head / 4, i + 1)
  }
  const byIndex = (op: number, memory: Uint8Array | null, count: number): number =>
    sys.io_uring_register(index, (op | sys.IORING_REGISTER_USE_REGISTERED_RING) >>> 0, memory, count)
  const known = new Uint8Array(16 + 8 * 256)
  assert.equal(byIndex(sys.IORING_REGISTER_PROBE, known, 256), 0)
  assert.ok(known[0]! > 40)
  // Without the flag the number would be an fd, which it is not.
  assert.notEqual(sys.io_uring_register(1_000_000 + index, sys.IORING_REGISTER_PROBE, known, 256), 0)
  const update = new Uint8Array(16)
  new DataView(update.buffer).setUint32(0, index, true)
  assert.equal(byIndex(sys.IORING_UNREGISTER_RING_FDS, update, 1), 1)
  assert.equal(enter(0, 0), -sys.EBADF)
  for (const memory of [rings, sqes]) assert.equal(sys.munmap(memory), 0)
})

// ---------------------------------------------------------------- rings in other hands

/** What a child needs to find its way in a ring that it was given as fd 3. */
const mapRing = `
  import * as sys from 'ringcore/sys'
  const { ringBytes, sqTail, sqArray, cqes, cqTail } = JSON.parse(process.argv.at(-1))
  const rings = sys.mmap(3, ringBytes, sys.IORING_OFF_SQ_RING)
  const sqes = sys.mmap(3, 4096, sys.IORING_OFF_SQES)
  const words = new Int32Array(rings)
`

test('a ring that another process inherits serves both', async (t) => {
  oracle(t)
  const { code, stdout, stderr } = await runNode(`
    import { spawnSync } from 'node:child_process'
    import { prepNop, Ring } from 'ringcore/ring'
    const ring = new Ring({ entries: 4, noSqarray: false })
    const nop = (id) => { const sqe = ring.getSqe(); prepNop(sqe); sqe.setUserData(id) }
    const take = () => { const seen = []; ring.forEachCqe((id, _high, res) => seen.push(id, res)); return seen.join() }
    nop(1)
    ring.submitAndWait(1)
    console.log('own', take())
    const child = ${JSON.stringify(`${mapRing}
      const sqe = new sys.io_uring_sqe(sqes, 64)
      sqe.opcode = sys.IORING_OP_NOP
      sqe.user_data = 2n
      words[sqArray / 4 + 1] = 1
      sys.storeRelease(words, sqTail / 4, 2)
      console.log('child', sys.io_uring_enter(3, 1, 1, sys.IORING_ENTER_GETEVENTS), words[cqTail / 4])
    `)}
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      ['--input-type=module', '--eval', child, '--', JSON.stringify(ring.geometry)],
      { stdio: ['ignore', 'pipe', 'pipe', ring.fd], encoding: 'utf8' },
    )
    process.stdout.write(stdout + stderr)
    console.log('of the child', status, take())
    // This side does not know of that entry: it tells its queue before it goes on.
    ring.control[0]++
    nop(3)
    ring.submitAndWait(1)
    console.log('own again', take())
  `)
  assert.deepEqual(
    { code, stdout, stderr },
    { code: 0, stdout: 'own 1,0\nchild 1 2\nof the child 0 2,0\nown again 3,0\n', stderr: '' },
  )
})

test('a ring whose SQPOLL thread is gone says so', async (t) => {
  oracle(t)
  // The thread belongs to the process that made the ring; another process holds the ring when that one has ended.
  const heir = `
    import { writeSync } from 'node:fs'
    import * as sys from 'ringcore/sys'
    console.log('alive', sys.io_uring_enter(3, 0, 0, 0))
    writeSync(4, 'go')
    let result = 0
    for (const end = Date.now() + 10_000; result === 0 && Date.now() < end; ) {
      await new Promise((resolve) => setTimeout(resolve, 5))
      result = sys.io_uring_enter(3, 0, 0, 0)
    }
    const woken = sys.io_uring_enter(3, 1, 0, sys.IORING_ENTER_SQ_WAKEUP)
    console.log('orphaned', sys.errnoName(result), sys.errnoName(woken))
  `
  const { stdout, stderr } = await runNode(`
    import { spawn } from 'node:child_process'
    import { Ring } from 'ringcore/ring'
    const ring = globalThis.ring = new Ring({ entries: 4, sqpoll: true })
    const child = spawn(process.execPath, ['--input-type=module', '--eval', ${JSON.stringify(heir)}], {
      stdio: ['ignore', 'inherit', 'inherit', ring.fd, 'pipe'],
    })
    child.stdio[4].once('data', () => process.exit(0))
  `)
  assert.deepEqual({ stdout, stderr }, { stdout: 'alive 0\norphaned EOWNERDEAD EOWNERDEAD\n', stderr: '' })
})

/** A worker thread that makes system calls on a ring by its fd, and says what they gave. */
function caller(source: string, data: unknown): Worker {
  return new Worker(
    `const { parentPort, workerData } = require('node:worker_threads')
    import('ringcore/sys').then((sys) => { ${source} })`,
    { eval: true, workerData: data },
  )
}
const message = (worker: Worker): Promise<unknown> =>
  withTimeout(
    new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject)),
    10_000,
    'the worker',
  )

test('a SINGLE_ISSUER ring belongs to the thread that enables it', async (t) => {
  oracle(t)
  const ring = new Ring({ entries: 4, singleIssuer: true, rDisabled: true })
  t.after(() => ring.close({ cancel: true }))
  const worker = caller(
    `parentPort.postMessage([
      sys.io_uring_register(workerData, sys.IORING_REGISTER_ENABLE_RINGS),
      sys.io_uring_register(workerData, sys.IORING_REGISTER_ENABLE_RINGS),
      sys.io_uring_enter(workerData, 1, 0, 0),
    ])`,
    ring.fd,
  )
  // One entry, which this thread writes and the other submits.
  const sqe = ring.getSqe()!
  prepNop(sqe)
  const words = new Int32Array(ring.memory.ring)
  sys.storeRelease(words, ring.geometry.sqTail / 4, 1)
  assert.deepEqual(await message(worker), [0, -sys.EBADFD, 1])
  assert.deepEqual(takeCqes(ring, 1), [[0, 0, 0]])
  assert.equal(sys.io_uring_enter(ring.fd, 1, 0, 0), -sys.EEXIST)
  await worker.terminate()
})

test('what a thread that ended has submitted is not lost: writes have ended, polls end with the ring or their event', async (t) => {
  oracle(t)
  const ring = new Ring({ entries: 8 })
  t.after(() => ring.close({ cancel: true }))
  const { driver } = ring
  const [polled, written, idle] = [pipe(t), pipe(t), pipe(t)]
  const text = Buffer.from('written')
  const entries: [id: number, write: (sqe: NonNullable<ReturnType<Ring['getSqe']>>) => void][] = [
    [1, (sqe) => prepPollAdd(sqe, polled.reader.fd, sys.POLLIN)],
    [2, (sqe) => prepWrite(sqe, written.writer.fd, driver.addressOf(text), text.length, -1)],
    [3, (sqe) => prepPollAdd(sqe, idle.reader.fd, sys.POLLIN)],
  ]
  for (const [id, write] of entries) {
    const sqe = ring.getSqe()!
    write(sqe)
    sqe.setUserData(id)
  }
  sys.storeRelease(new Int32Array(ring.memory.ring), ring.geometry.sqTail / 4, 3)
  const worker = caller('parentPort.postMessage(sys.io_uring_enter(workerData, 3, 0, 0))', ring.fd)
  const ended = new Promise((resolve) => worker.once('exit', resolve))
  assert.equal(await message(worker), 3)
  await withTimeout(ended, 10_000, 'the thread to end')
  assert.deepEqual(takeCqes(ring, 1), [[2, text.length, 0]])
  const got = Buffer.alloc(16)
  assert.equal(call('read', written.reader.fd, driver.addressOf(got), 16), text.length)
  assert.equal(ring.cqReady(), 0, 'polls are still there')
  call('write', polled.writer.fd, driver.addressOf(text), 1)
  await until(() => ring.cqReady() > 0, 5000, 'the poll whose event came')
  const [id, res] = takeCqes(ring, 1)[0]!
  // Its thread can not run the work any more: it is told of the event, or of its end.
  assert.equal(id, 1)
  assert.ok(res === sys.POLLIN || res === -sys.ECANCELED, String(res))
  ring.close({ cancel: true })
  assert.equal(ring.closed, true)
})

test('a thread waits while signals arrive, and the SQPOLL thread sleeps', async (t) => {
  oracle(t)
  const { code, stdout, stderr } = await runNode(
    `
    import { spawn } from 'node:child_process'
    import { prepNop, prepTimeout, Ring } from 'ringcore/ring'
    import { IORING_SQ_NEED_WAKEUP } from 'ringcore/sys'
    process.on('SIGUSR1', () => {})
    const ring = new Ring({ entries: 4, sqpoll: true, sqThreadIdleMs: 1 })
    const flags = () => new Int32Array(ring.memory.ring)[ring.geometry.sqFlags / 4]
    const time = BigInt64Array.of(0n, 30_000_000n)
    const at = ring.driver.addressOf(time)
    const killer = spawn('sh', ['-c', 'while kill -USR1 ' + process.pid + '; do :; done 2>/dev/null'])
    for (let i = 0; i < 20; i++) {
      while (!(flags() & IORING_SQ_NEED_WAKEUP)) await new Promise((resolve) => setTimeout(resolve, 1))
      // It has to be woken, and this thread then waits for what it does, under fire.
      prepTimeout(ring.getSqe(), at, 0, 0)
      ring.submitAndWait(1)
      let seen
      ring.forEachCqe((_low, _high, res) => { seen = res })
      if (seen !== -62) console.log('wrong', i, seen)
      prepNop(ring.getSqe())
      ring.submitAndWait(1)
      ring.forEachCqe(() => {})
    }
    console.log('done', ring.inKernel)
    killer.kill('SIGKILL')
    await new Promise((resolve) => killer.on('close', resolve))
    ring.close()
  `,
    { timeoutMs: 60_000 },
  )
  assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: 'done 0\n', stderr: '' })
})
