// Rings as a whole: sizes, waits, who watches whom, what they share and what they keep.
// Flow: this → op-helpers.ts, ring-kinds.ts → ringcore/ring.

import assert from 'node:assert/strict'
import { chmodSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import * as op from 'ringcore/ring'
import * as sys from 'ringcore/sys'
import { openDriver } from '#src/sys/open-driver.js'
import { OwnedFd, oracle, pipe, requires, runNode, socketPair, tempDir, until } from './helpers.js'
import { call, opTest } from './op-helpers.js'
import { forEachRingKind, takeCqes } from './ring-kinds.js'

const elapsed = (from: number): number => performance.now() - from
const DEFER = { singleIssuer: true, deferTaskrun: true }

function nop(ring: op.Ring, id = 0): void {
  const sqe = ring.getSqe()!
  op.prepNop(sqe)
  sqe.setUserData(id)
}

/** Threads of this process that the kernel runs for rings, by the beginning of their names. */
const ringThreads = (name: string): string[] =>
  readdirSync('/proc/self/task').filter((tid) => {
    try {
      return readFileSync(`/proc/self/task/${tid}/comm`, 'utf8').startsWith(name)
    } catch {
      return false
    }
  })

for (const options of [{}, DEFER]) {
  test(`a wait that runs out leaves what has come · ${Object.keys(options).join(', ') || 'default'}`, (t) => {
    oracle(t)
    const ring = new op.Ring({ entries: 8, ...options })
    t.after(() => ring.close({ cancel: true }))
    const { reader } = pipe(t)
    const room = new Uint8Array(8)
    nop(ring, 1)
    op.prepRead(ring.getSqe()!, reader.fd, ring.driver.addressOf(room), 8, -1)
    nop(ring, 2)
    const start = performance.now()
    ring.submitAndWaitTimeout(3, { timeoutMs: 20 })
    assert.ok(elapsed(start) >= 19)
    assert.deepEqual(
      takeCqes(ring, 2).map(([id]) => id),
      [1, 2],
    )
    assert.equal(ring.inKernel, 1)
    assert.equal(room[0], 0)
  })
}

test('a least waiting time with none and with enough', (t) => {
  oracle(t)
  using ring = new op.Ring({ entries: 8 })
  if (!(ring.features & sys.IORING_FEAT_MIN_TIMEOUT)) return t.skip('needs IORING_FEAT_MIN_TIMEOUT')
  let start = performance.now()
  ring.submitAndWaitTimeout(1, { timeoutMs: 40, minWaitUs: 5_000 })
  assert.ok(elapsed(start) >= 39, 'nothing came: the whole time')
  assert.equal(ring.cqReady(), 0)
  nop(ring)
  nop(ring)
  start = performance.now()
  ring.submitAndWaitTimeout(2, { timeoutMs: 3000, minWaitUs: 2_000_000 })
  assert.ok(elapsed(start) < 1500, 'enough came: no time at all')
  takeCqes(ring, 2)
})

test('waiting with and without iowait', (t) => {
  oracle(t)
  using ring = new op.Ring({ entries: 8 })
  if (!(ring.features & sys.IORING_FEAT_NO_IOWAIT)) return t.skip('needs IORING_FEAT_NO_IOWAIT: kernel 6.15')
  for (const on of [false, true, false]) {
    ring.setIowait(on)
    const start = performance.now()
    assert.equal(ring.submitAndWaitTimeout(1, { timeoutMs: 10 }), 0)
    assert.ok(elapsed(start) >= 9.5)
    nop(ring)
    assert.equal(ring.submitAndWait(1), 1)
    takeCqes(ring, 1)
  }
})

for (const noMmap of [false, true]) {
  test(`NO_MMAP rings of every size, and others: noMmap ${noMmap}`, (t) => {
    oracle(t)
    for (let entries = 1; entries <= 4096; entries *= 2) {
      using ring = new op.Ring({ entries, noMmap })
      assert.deepEqual([ring.sqEntries, ring.cqEntries], [entries, entries * 2])
      for (let round = 0; round < 2; round++) {
        for (let id = 0; id < entries * 2; ) {
          for (let i = 0; i < entries; i++) nop(ring, id++)
          assert.equal(ring.getSqe(), null)
          assert.equal(ring.submit(), entries)
        }
        assert.deepEqual([ring.cqReady(), ring.cqHasOverflow()], [entries * 2, false])
        let next = 0
        ring.forEachCqe((id) => assert.equal(id, next++))
        assert.equal(next, entries * 2)
      }
    }
  })
}

test('NO_MMAP at a bad address', (t) => {
  oracle(t)
  for (const address of [0n, 4096n, 1n, 0xffff_ffff_ffff_f000n]) {
    const params = new sys.io_uring_params()
    params.flags = sys.IORING_SETUP_NO_MMAP
    params.cq_off.user_addr = address
    params.sq_off.user_addr = address
    const fd = sys.io_uring_setup(8, params)
    assert.ok([-sys.EFAULT, -sys.EINVAL, -sys.ENOMEM, -sys.EOVERFLOW].includes(fd), `${address}: ${fd}`)
  }
})

test('messages to a disabled and to a full ring', (t) => {
  oracle(t)
  using sender = new op.Ring({ entries: 32 })
  using disabled = new op.Ring({ entries: 4, rDisabled: true })
  using full = new op.Ring({ entries: 2, cqEntries: 4 })
  const send = (target: op.Ring, value: number): number => {
    op.prepMsgRing(sender.getSqe()!, target.fd, value, value, 0)
    sender.submitAndWait(1)
    return takeCqes(sender, 1)[0]![1]
  }
  assert.equal(send(disabled, 1), -sys.EBADFD)
  for (let i = 0; i < 20; i++) assert.equal(send(full, i), 0)
  assert.equal(full.cqReady(), 4)
  assert.equal(full.cqHasOverflow(), true)
  const seen: number[] = []
  for (let turns = 0; seen.length < 20 && turns < 20; turns++) {
    full.getEvents()
    full.forEachCqe((id, _high, res) => {
      assert.equal(id, res)
      seen.push(id)
    })
  }
  assert.deepEqual(
    seen,
    Array.from({ length: 20 }, (_, i) => i),
  )
  full.accountForeignCqes(20)
})

// ---------------------------------------------------------------- who watches whom

opTest('EPOLL_CTL, POLL_ADD', 'a ring watches an epoll that watches the ring', (rig) => {
  const epfd = rig.owned(call('epoll_create1', sys.O_CLOEXEC))
  const event = rig.memory(16)
  new DataView(event.bytes.buffer).setUint32(0, sys.EPOLLIN, true)
  rig.must((sqe) => op.prepEpollCtl(sqe, epfd, rig.ring.fd, sys.EPOLL_CTL_ADD, event.address))
  const id = rig.start((sqe) => op.prepPollAdd(sqe, epfd, sys.POLLIN))
  for (let i = 0; i < 10; i++) assert.equal(rig.run(op.prepNop), 0)
  // It fired when a completion came, or waits and can be cancelled: it never spins.
  const asked = rig.cancel(id)
  const { res } = rig.wait(id)
  assert.ok(res === sys.POLLIN || (asked === 0 && res === -sys.ECANCELED), `${asked}, ${res}`)
})

for (const options of [{}, DEFER]) {
  const kind = Object.keys(options).join(', ') || 'default'

  test(`the eventfd of a ring is polled by the ring itself · ${kind}`, async (t) => {
    oracle(t)
    const ring = new op.Ring({ entries: 8, cqEntries: 4096, ...options })
    t.after(() => ring.close({ cancel: true }))
    const { fd } = new OwnedFd(t, call('eventfd2', 0, 0o2004000))
    ring.registerEventfd(fd)
    let polls = 0
    let armed = false
    const count = new BigUint64Array(1)
    const into = ring.driver.addressOf(count)
    const look = (): number => {
      ring.getEvents()
      ring.forEachCqe((id, _high, _res, flags) => {
        if (id !== 7) return
        polls++
        armed = (flags & sys.IORING_CQE_F_MORE) !== 0
      })
      return polls
    }
    for (let i = 0; i < 5; i++) {
      // The kernel ends a poll that its own completions wake, or it would go on for ever. Armed again it fires again.
      if (!armed) {
        const poll = ring.getSqe()!
        op.prepPollMultishot(poll, fd, sys.POLLIN)
        poll.setUserData(7)
        armed = true
      }
      const before = polls
      nop(ring, 1)
      ring.submit()
      await until(() => look() > before, 5000, `completion ${i} of the poll`)
      assert.ok(polls - before < 40, `${polls - before} completions of the poll for one NOP`)
      assert.equal(call('read', fd, into, 8), 8, 'the eventfd was told')
    }
    t.diagnostic(`${polls} completions, ${armed ? 'armed' : 'ended'}`)
    // And read by a request: its own completion counts, and the others do.
    nop(ring, 1)
    const read = ring.getSqe()!
    op.prepRead(read, fd, into, 8, -1)
    read.setUserData(8)
    ring.submit()
    let result = 0
    const readEnded = (): boolean => {
      ring.getEvents()
      ring.forEachCqe((id, _high, res) => {
        if (id === 8) result = res
      })
      return result !== 0
    }
    await until(readEnded, 5000, 'the read of the eventfd')
    assert.equal(result, 8)
    assert.ok(count[0]! >= 1n)
  })

  test(`two rings watch the eventfd of each other · ${kind}`, async (t) => {
    oracle(t)
    const rings = [0, 1].map(() => new op.Ring({ entries: 8, cqEntries: 4096, ...options }))
    const fds = [0, 1].map(() => new OwnedFd(t, call('eventfd2', 0, 0o2004000)).fd)
    for (const [i, ring] of rings.entries()) {
      t.after(() => ring.close({ cancel: true }))
      ring.registerEventfd(fds[i]!)
      op.prepPollMultishot(ring.getSqe()!, fds[1 - i]!, sys.POLLIN)
      ring.submit()
    }
    nop(rings[0]!)
    rings[0]!.submit()
    let cqes = 0
    for (let i = 0; i < 20; i++) {
      await sleep(1)
      for (const ring of rings) {
        ring.getEvents()
        cqes += ring.forEachCqe(() => {})
      }
    }
    assert.ok(cqes >= 2 && cqes < 200, `${cqes} completions for one NOP`)
  })
}

forEachRingKind('a ring that polls itself, and two that poll each other', {}, (t, ring, kind) => {
  const other = new op.Ring({ entries: 8, ...kind.options })
  t.after(() => other.close({ cancel: true }))
  op.prepPollAdd(ring.getSqe()!, ring.fd, sys.POLLIN)
  op.prepPollAdd(ring.getSqe()!, other.fd, sys.POLLIN)
  op.prepPollAdd(other.getSqe()!, ring.fd, sys.POLLIN)
  ring.submit()
  other.submit()
  nop(ring)
  ring.submit()
  ring.close({ cancel: true })
  other.close({ cancel: true })
  assert.deepEqual([ring.closed, other.closed], [true, true])
})

// ---------------------------------------------------------------- what rings share and keep

opTest('SENDMSG', 'the fd of a ring can not be sent', (rig) => {
  const [a] = socketPair(rig.t)
  const control = rig.memory(24)
  const view = new DataView(control.bytes.buffer)
  view.setBigUint64(0, 20n, true)
  view.setInt32(8, sys.SOL_SOCKET, true)
  view.setInt32(12, sys.SCM_RIGHTS, true)
  view.setInt32(16, rig.ring.fd, true)
  const words = BigUint64Array.of(0n, 0n, BigInt(rig.iovecs(rig.memory('x'))), 1n, 0n, 0n, 0n)
  words[4] = BigInt(control.address)
  words[5] = 24n
  const message = rig.memory(new Uint8Array(words.buffer))
  const res = rig.run((sqe) => op.prepSendmsg(sqe, a.fd, message.address, 0))
  if (res === 1) return rig.t.skip('needs a kernel that refuses it: 6.7')
  assert.equal(res, -sys.EINVAL)
})

test('rings share a SQPOLL thread', (t) => {
  oracle(t)
  const use = (...rings: op.Ring[]): void => {
    for (const ring of rings) {
      nop(ring, 5)
      ring.submit()
      assert.deepEqual(takeCqes(ring, 1)[0]!.slice(0, 2), [5, 0])
    }
  }
  const first = new op.Ring({ entries: 4, sqpoll: true, sqThreadIdleMs: 20 })
  // A thread has its name when it has begun to work; threads of rings that were closed may still be ending.
  use(first)
  const before = ringThreads('iou-sqp')
  const others = [0, 1].map(() => new op.Ring({ entries: 4, sqpoll: true, wqFd: first.fd }))
  t.after(() => {
    for (const ring of others) ring.close({ cancel: true })
  })
  use(first, ...others)
  const fresh = ringThreads('iou-sqp').filter((tid) => !before.includes(tid))
  assert.deepEqual(fresh, [], 'no thread more')
  first.close()
  use(...others, ...others)
})

test('a wait for room goes on when the kernel ends it early', (t) => {
  oracle(t)
  const driver = openDriver()
  let early = 3
  const enter: typeof driver.enter = (fd, submit, complete, flags, address, bytes) =>
    flags & sys.IORING_ENTER_SQ_WAIT && early-- > 0
      ? early === 1
        ? -sys.EINTR
        : 0
      : driver.enter(fd, submit, complete, flags, address, bytes)
  const ring = new op.Ring({ entries: 2, sqpoll: true, sqThreadIdleMs: 1, driver: { ...driver, enter } })
  t.after(() => ring.close({ cancel: true }))
  const room = (): number => {
    // Claimed, and not told to the thread: it can take nothing before the wait publishes them.
    while (ring.sqSpaceLeft() > 0) nop(ring)
    return ring.sqringWait()
  }
  assert.ok(room() > 0)
  assert.ok(early <= 0, 'the kernel was asked again')
  takeCqes(ring, 2)
})

// In a process of its own: a thread's rings share their workers, and those of other tests may still be there.
test('workers run where they are told', async (t) => {
  oracle(t)
  const { stdout, stderr } = await runNode(
    `
    import { readdirSync, readFileSync } from 'node:fs'
    import { prepRead, Ring } from 'ringcore/ring'
    const ring = new Ring({ entries: 4 })
    ring.registerIowqAff([0])
    const room = new Uint8Array(8)
    const sqe = ring.getSqe()
    prepRead(sqe, 0, ring.driver.addressOf(room), 8, -1)
    sqe.addFlags(${sys.IOSQE_ASYNC})
    ring.submit()
    const of = (tid, file) => readFileSync('/proc/self/task/' + tid + '/' + file, 'utf8')
    // A worker has its name, and its CPUs, when it has begun to run.
    let workers = []
    while (workers.length === 0) {
      await new Promise((resolve) => setTimeout(resolve, 5))
      workers = readdirSync('/proc/self/task').filter((tid) => of(tid, 'comm').startsWith('iou-wrk'))
    }
    for (const tid of workers) console.log(/^Cpus_allowed_list:\\s+(\\S+)$/m.exec(of(tid, 'status'))[1])
    ring.unregisterIowqAff()
    process.exit(0)
  `,
    { silentStdin: true, timeoutMs: 10_000 },
  )
  assert.deepEqual([[...new Set(stdout.trim().split('\n'))], stderr], [['0'], ''])
})

test('a personality keeps its rights', async (t) => {
  if (!requires(t, { root: true })) return
  const dir = tempDir(t)
  const path = join(dir, 'secret')
  writeFileSync(path, 'secret', { mode: 0o600 })
  chmodSync(dir, 0o755)
  const { stdout, stderr } = await runNode(
    `
    import { Uring } from 'ringcore'
    const ring = new Uring()
    const id = ring.ring.registerPersonality()
    process.seteuid(65534)
    const open = (options) => ring.openat(process.argv.at(-1), 'r', options).then(() => 'open', (error) => error.code)
    console.log(await open({}), await open({ personality: id }), await open({ personality: id + 1 }))
    ring.ring.unregisterPersonality(id)
    console.log(await open({ personality: id }))
    process.exit(0)
  `,
    { args: [path] },
  )
  assert.equal(stderr, '')
  assert.equal(stdout, 'EACCES open EINVAL\nEINVAL\n')
})

test('DEFER_TASKRUN: the eventfd and TASKRUN_FLAG tell of work that waits', async (t) => {
  oracle(t)
  const ring = new op.Ring({ entries: 4, ...DEFER, taskrunFlag: true })
  t.after(() => ring.close({ cancel: true }))
  const { fd } = new OwnedFd(t, call('eventfd2', 0, 0o2004000))
  ring.registerEventfd(fd)
  const { reader, writer } = pipe(t)
  const [room, count] = [new Uint8Array(8), new BigUint64Array(1)]
  const told = (): number => call('read', fd, ring.driver.addressOf(count), 8)
  const hasWork = (): boolean =>
    (new Int32Array(ring.memory.ring)[ring.geometry.sqFlags / 4]! & sys.IORING_SQ_TASKRUN) !== 0
  for (let round = 0; round < 3; round++) {
    op.prepRead(ring.getSqe()!, reader.fd, ring.driver.addressOf(room), 8, -1)
    ring.submit()
    assert.deepEqual([told(), hasWork()], [-sys.EAGAIN, false])
    call('write', writer.fd, ring.driver.addressOf(Buffer.from('x')), 1)
    await sleep(2)
    assert.equal(told(), 8, 'the eventfd is told before the work is done')
    assert.equal(hasWork(), true)
    ring.getEvents()
    assert.deepEqual([hasWork(), takeCqes(ring, 1)[0]![1]], [false, 1])
    told()
  }
})

test('both queues can be mapped apart', (t) => {
  oracle(t)
  using ring = new op.Ring({ entries: 4 })
  const length = ring.memory.ring.byteLength
  const maps = [sys.IORING_OFF_SQ_RING, sys.IORING_OFF_CQ_RING].map((offset) => {
    const memory = sys.mmap(ring.fd, length, offset)
    assert.ok(typeof memory !== 'number', `mmap: ${String(memory)}`)
    return memory
  })
  const [sq, cq] = maps.map((memory) => new Int32Array(memory))
  for (let i = 1; i <= 10; i++) {
    nop(ring, i)
    ring.submitAndWait(1)
    const { sqTail, cqTail, cqes } = ring.geometry
    assert.deepEqual([sq![sqTail / 4], cq![cqTail / 4], cq![cqes / 4 + ((i - 1) % 8) * 4]], [i, i, i])
    takeCqes(ring, 1)
  }
  for (const memory of maps) assert.equal(sys.munmap(memory), 0)
})

for (const [clock, id] of [
  ['monotonic', 1],
  ['boottime', 7],
] as const) {
  test(`waits follow the ring's clock, for a length and until a moment · ${clock}`, (t) => {
    oracle(t)
    using ring = new op.Ring({ entries: 4 })
    try {
      ring.registerClock(id)
    } catch (error) {
      return t.skip(`this kernel has no clocks of rings: ${(error as Error).message}`)
    }
    let start = performance.now()
    ring.submitAndWaitTimeout(1, { timeoutMs: 20 })
    assert.ok(elapsed(start) >= 19.5 && elapsed(start) < 1000)
    if (clock !== 'monotonic') return
    const moment = new sys.__kernel_timespec()
    const wait = new sys.io_uring_getevents_arg()
    wait.ts = BigInt(sys.addressOf(moment))
    const flags = sys.IORING_ENTER_GETEVENTS | sys.IORING_ENTER_EXT_ARG | sys.IORING_ENTER_ABS_TIMER
    const enter = (ns: bigint): number => {
      moment.tv_sec = ns / 1_000_000_000n
      moment.tv_nsec = ns % 1_000_000_000n
      return sys.io_uring_enter(ring.fd, 0, 1, flags, wait)
    }
    const now = process.hrtime.bigint()
    start = performance.now()
    assert.equal(enter(now + 20_000_000n), -sys.ETIME)
    assert.ok(elapsed(start) >= 18 && elapsed(start) < 1000)
    start = performance.now()
    assert.equal(enter(now), -sys.ETIME, 'a moment in the past')
    assert.ok(elapsed(start) < 500)
  })
}
