// What the tests of single requests share: a ring with blocking "run this, give me its CQE", memory with an address, sockets.
// Flow: 31.op.kernel.*.test.ts → this → ringcore/ring, ringcore/sys.
//
// Everything here blocks the thread, so that a test reads like the list of what happens. The peers of a request are plain
// system calls or other requests, never the runtime.

import assert from 'node:assert/strict'
import { closeSync } from 'node:fs'
import test, { type TestContext } from 'node:test'
import {
  opByName,
  opName,
  prepCancel64,
  Ring,
  SQE,
  type Sqe,
  sqeSetAddrWords,
  sqeSetDataWords,
} from 'ringcore/ring'
import * as sys from 'ringcore/sys'
import { openDriver } from '#src/sys/open-driver.js'
import { oracle } from './helpers.js'
import { missingFlags, RING_KINDS } from './ring-kinds.js'

const KINDS = ['default', 'with an SQ array', 'DEFER_TASKRUN', 'SQPOLL', 'SQE128', 'CQE32']

/** High word of every user_data, with its sign bit: it has to come back as it is. */
const HIGH = 0x9abc_def0

/** Never meant for programs, hence in no header of theirs. */
const ERESTARTSYS = 512

/** One completion. */
export interface Done {
  res: number
  flags: number
}

/** How a request ended: as it should, with an errno, or because it was cancelled. */
export type End = 'success' | 'error' | 'cancel'

/** How requests of each opcode ended on each kind of ring, in this process: "SQPOLL READ". */
const ends = new Map<string, Set<End>>()
export const endsOf = (kind: string, opcode: string): ReadonlySet<End> =>
  ends.get(`${kind} ${opcode}`) ?? new Set()

/** Opcodes whose tests found that they can't be shown on this machine, and why. */
export const reasonsHere = new Map<string, string>()

/** Requests that complete with ETIME when all is well. */
const TIMERS: readonly number[] = [sys.IORING_OP_TIMEOUT, sys.IORING_OP_LINK_TIMEOUT]
/** What a request completes with that was cancelled; the last two when it slept in a worker. */
const CANCELLED: readonly number[] = [-sys.ECANCELED, -sys.EINTR, -ERESTARTSYS]

/** A request on its way. */
interface Begun {
  opcode: number
  /** Somebody asked to cancel it. */
  asked: boolean
  done: Done[]
}

/** Writes one request. */
export type Write = (sqe: Sqe) => void

/** Memory that the kernel is given, and its address; it lives as long as the rig. */
export interface Memory {
  bytes: Uint8Array
  address: number
  text(length?: number): string
}

/** A ring, and what a test needs around it. */
export class Rig {
  readonly ring: Ring
  readonly t: TestContext
  /** Is told the second half of every CQE, on rings whose CQEs have one. */
  onBigCqe: ((id: number, extra: Int32Array) => void) | undefined
  /** Requests may complete with EFAULT; otherwise that means a bad address of the test's own. */
  mayFault = false
  /** The high word of every user_data here. */
  readonly high = HIGH
  readonly #kind: string
  readonly #held: Uint8Array[] = []
  readonly #begun = new Map<number, Begun>()
  #nextId = 1

  constructor(t: TestContext, ring: Ring, kind: string) {
    this.t = t
    this.ring = ring
    this.#kind = kind
    t.after(() => {
      // The memory was held until here, when nothing is in the kernel any more.
      this.#held.length = 0
    })
  }

  // — memory —

  memory(content: number | string | Uint8Array): Memory {
    const bytes = typeof content === 'number' ? new Uint8Array(content) : new Uint8Array(Buffer.from(content))
    this.#held.push(bytes)
    const address = openDriver().addressOf(bytes)
    const text = (length = bytes.length): string => Buffer.from(bytes.subarray(0, length)).toString()
    return { bytes, address, text }
  }

  /** The address of a NUL-terminated path. */
  path(path: string): number {
    return this.memory(`${path}\0`).address
  }

  /** An array of struct iovec. */
  iovecs(...parts: Memory[]): number {
    return this.memory(
      new Uint8Array(
        BigUint64Array.from(parts.flatMap((m) => [BigInt(m.address), BigInt(m.bytes.length)])).buffer,
      ),
    ).address
  }

  timespec(ms: number): number {
    const words = BigInt64Array.of(BigInt(Math.floor(ms / 1000)), BigInt(Math.round((ms % 1000) * 1e6)))
    return this.memory(new Uint8Array(words.buffer)).address
  }

  sockaddr(address: sys.SocketAddress): Memory {
    return this.memory(sys.encodeSockaddr(address))
  }

  /** Skips the test: this machine lacks something that the opcodes need. */
  cannot(reason: string, ...opcodes: string[]): void {
    for (const opcode of opcodes) reasonsHere.set(opcode, reason)
    this.t.skip(reason)
  }

  // — requests —

  /** Queues and submits a request without waiting; the number names it. */
  start(write: Write): number {
    const [id] = this.startAll(write)
    return id!
  }

  /** The same for several in one batch, which links need. */
  startAll(...writes: Write[]): number[] {
    const ids = writes.map((write) => {
      const sqe = this.#entry()
      const id = this.#nextId++
      write(sqe)
      sqeSetDataWords(sqe, id, HIGH)
      this.#begun.set(id, { opcode: sqe.words[SQE.OPCODE]! & 0xff, asked: false, done: [] })
      return id
    })
    this.ring.submit()
    return ids
  }

  /** The next free entry. A SQPOLL thread gives entries back when it comes to it, and waiting for that may end early. */
  #entry(): Sqe {
    for (const end = performance.now() + 5000; performance.now() < end; this.ring.sqringWait()) {
      const sqe = this.ring.getSqe()
      if (sqe !== null) return sqe
      assert.ok(this.ring.setupFlags & sys.IORING_SETUP_SQPOLL, 'the SQ is full')
    }
    return assert.fail('the SQPOLL thread took nothing for five seconds')
  }

  /** Reserves a number for a CQE that no request of this ring makes: a message. */
  expect(): number {
    const id = this.#nextId++
    this.#begun.set(id, { opcode: -1, asked: false, done: [] })
    return id
  }

  /** Waits for the next CQE of a request. */
  wait(id: number, timeoutMs = 5000): Done {
    const done = this.#poll(id, timeoutMs)
    assert.ok(done, `no CQE within ${timeoutMs} ms`)
    return done
  }

  #poll(id: number, timeoutMs: number): Done | undefined {
    const deadline = performance.now() + timeoutMs
    const queue = this.#begun.get(id)?.done
    assert.ok(queue, `no request ${id}`)
    while (queue.length === 0) {
      const left = deadline - performance.now()
      if (left <= 0) return undefined
      this.ring.submitAndWaitTimeout(1, { timeoutMs: left })
      this.ring.forEachCqe((low, high, res, flags, index) => {
        assert.equal(high, HIGH, 'the high word of user_data')
        const owner = this.#begun.get(low)
        assert.ok(owner, `a CQE of request ${low}, which never was: ${res}`)
        assert.ok(this.mayFault || res !== -sys.EFAULT, 'the kernel was given a bad address')
        this.onBigCqe?.(low, this.ring.bigCqe(index))
        owner.done.push({ res, flags })
        // A notification says when the memory is free, not how the request ended.
        if (!(flags & sys.IORING_CQE_F_NOTIF)) this.#note(owner, res)
      })
    }
    return queue.shift()
  }

  #note({ opcode, asked }: Begun, res: number): void {
    if (opcode < 0) return
    const isFine = res >= 0 || (res === -sys.ETIME && TIMERS.includes(opcode))
    const wasCancelled = asked && CANCELLED.includes(res)
    // Cancelled by nobody: a link that broke, which says nothing of the request itself.
    if (!wasCancelled && res === -sys.ECANCELED) return
    const key = `${this.#kind} ${opName(opcode)}`
    if (!ends.has(key)) ends.set(key, new Set())
    ends.get(key)!.add(wasCancelled ? 'cancel' : isFine ? 'success' : 'error')
  }

  /** Runs one request to its final CQE and gives the result. */
  run(write: Write): number {
    const { res, flags } = this.wait(this.start(write))
    assert.equal(flags & sys.IORING_CQE_F_MORE, 0, 'there is more to come')
    return res
  }

  /** Runs one request that must not fail. */
  must(write: Write): number {
    const res = this.run(write)
    assert.ok(res >= 0, `failed: ${sys.errnoError(res, 'request').message}`)
    return res
  }

  /** Runs one request that must fail with this errno. */
  fails(errno: number, write: Write): void {
    assert.equal(this.run(write), -errno)
  }

  /** The request has no CQE, not even a moment later. */
  stillWaits(id: number): void {
    const done = this.#poll(id, 3)
    assert.equal(done, undefined, `is done with ${done?.res}, but had to wait`)
  }

  /** Asks the kernel to cancel a request; the result of the asking. */
  cancel(id: number): number {
    this.#begun.get(id)!.asked = true
    return this.run((sqe) => {
      prepCancel64(sqe, 0, 0)
      sqeSetAddrWords(sqe, id, HIGH)
    })
  }

  /**
   * Starts a request that has to wait, and cancels it.
   *
   * A request that sleeps in a worker is woken as by a signal. The cancel may then say EALREADY, or even ENOENT, and the
   * request EINTR or what a system call would be restarted for: SPLICE shows the kernel's inner ERESTARTSYS.
   */
  waitsUntilCancelled(write: Write, { inWorker = false, asked: expected = 0 } = {}): void {
    const id = this.start(write)
    this.stillWaits(id)
    const asked = this.cancel(id)
    const { res, flags } = this.wait(id)
    assert.equal(flags & sys.IORING_CQE_F_MORE, 0)
    if (inWorker) {
      assert.ok([0, -sys.EALREADY, -sys.ENOENT].includes(asked), `cancel: ${asked}`)
      assert.ok([-sys.ECANCELED, -sys.EINTR, -ERESTARTSYS].includes(res), `cancelled: ${res}`)
    } else {
      assert.deepEqual([asked, res], [expected, -sys.ECANCELED])
    }
  }

  // — descriptors —

  /** A descriptor that the ring made: closed at the end. */
  owned(fd: number): number {
    assert.ok(fd >= 0, `no descriptor: ${fd}`)
    this.t.after(() => closeSync(fd))
    return fd
  }

  /** A socket by a plain system call. */
  socket(domain: number = sys.AF_INET, type: number = sys.SOCK_STREAM): number {
    return this.owned(call('socket', domain, type | sys.SOCK_CLOEXEC, 0))
  }

  /** A listening TCP socket on loopback, and where it listens. */
  listener(backlog = 16): { fd: number; address: sys.InternetAddress } {
    const fd = this.socket()
    const wanted = this.sockaddr({ address: '127.0.0.1', port: 0 })
    assert.equal(call('bind', fd, wanted.address, wanted.bytes.length), 0)
    assert.equal(call('listen', fd, backlog), 0)
    return { fd, address: this.nameOf(fd) }
  }

  nameOf(fd: number): sys.InternetAddress {
    const name = this.memory(sys.SOCKADDR_BYTES)
    const length = this.memory(new Uint8Array(Int32Array.of(name.bytes.length).buffer))
    assert.equal(call('getsockname', fd, name.address, length.address), 0)
    return sys.decodeSockaddr(name.bytes) as sys.InternetAddress
  }

  /** Connects a new socket by a plain system call. */
  connect(address: sys.SocketAddress, domain: number = sys.AF_INET): number {
    const fd = this.socket(domain)
    const to = this.sockaddr(address)
    assert.equal(call('connect', fd, to.address, to.bytes.length), 0)
    return fd
  }
}

/** A plain system call. */
export function call(name: sys.SyscallName, ...args: number[]): number {
  return openDriver().syscall(sys.syscallNumber(name), ...args)
}

/** Runs the body once per kind of ring, where the kernel has the opcodes; at the end nothing is in flight or left open. */
export function opTest(opcodes: string, title: string, body: (rig: Rig) => void): void {
  for (const kind of RING_KINDS.filter(({ name }) => KINDS.includes(name))) {
    test(`${opcodes}: ${title} · ${kind.name}`, (t) => {
      oracle(t)
      const missing = missingFlags(kind.options)
      if (missing.length > 0) return t.skip(`this kernel does not have ${missing.join(', ')}`)
      const ring = new Ring({ entries: 16, ...kind.options })
      t.after(() => ring.close({ cancel: true }))
      const probe = ring.registerProbe()
      for (const name of opcodes.split(', ')) {
        const row = opByName(name)
        assert.ok(row, name)
        if (!probe.supported(row.code)) return t.skip(`needs ${row.constant}: kernel ${row.since}`)
      }
      body(new Rig(t, ring, kind.name))
      assert.equal(ring.inKernel, 0, 'requests are still in the kernel')
      assert.equal(ring.cqReady(), 0, 'CQEs that nobody waited for')
    })
  }
}
