// The user's page of ringcore/sys, name by name: spelling, value, size; and a request made with nothing but its functions.

import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import * as sys from 'ringcore/sys'
import { openDriver } from '#src/sys/open-driver.js'
import { oracle } from './helpers.js'

// The whole page by name; tree shaking is no concern of a test.
const page: Readonly<Record<string, unknown>> = { ...sys }

const STRUCTS = {
  __kernel_timespec: 16,
  io_cqring_offsets: 40,
  io_sqring_offsets: 40,
  io_uring_cqe: 16,
  io_uring_params: 120,
  io_uring_sqe: 64,
} as const

const CONSTANTS = {
  IORING_ACCEPT_MULTISHOT: 1,
  IORING_ENTER_GETEVENTS: 1,
  IORING_OFF_CQ_RING: 0x8000000,
  IORING_OFF_SQES: 0x10000000,
  IORING_OFF_SQ_RING: 0,
  IORING_OP_ACCEPT: 13,
  IORING_OP_ASYNC_CANCEL: 14,
  IORING_OP_CLOSE: 19,
  IORING_OP_CONNECT: 16,
  IORING_OP_OPENAT: 18,
  IORING_OP_READ: 22,
  IORING_OP_READV: 1,
  IORING_OP_READ_FIXED: 4,
  // The page has 15, which is LINK_TIMEOUT: the kernel's number counts.
  IORING_OP_SPLICE: 30,
  IORING_OP_TIMEOUT: 11,
  IORING_OP_WRITE: 23,
  IORING_OP_WRITEV: 2,
  IORING_OP_WRITE_FIXED: 5,
  IORING_REGISTER_BUFFERS: 0,
  IORING_SETUP_CQSIZE: 8,
  IORING_SETUP_SQPOLL: 2,
  IORING_UNREGISTER_BUFFERS: 1,
  IOSQE_ASYNC: 16,
  IOSQE_BUFFER_SELECT: 32,
  IOSQE_FIXED_FILE: 1,
  IOSQE_IO_DRAIN: 2,
  IOSQE_IO_HARDLINK: 8,
  IOSQE_IO_LINK: 4,
  SYS_IO_URING_ENTER: 426,
  SYS_IO_URING_REGISTER: 427,
  SYS_IO_URING_SETUP: 425,
} as const

test('the six structs have their names and sizes', () => {
  for (const [name, bytes] of Object.entries(STRUCTS)) {
    const Type = page[name] as sys.AnyStruct & { name: string }
    assert.equal(Type.name, name)
    assert.equal(Type.sizeof, bytes)
    assert.equal(new Type().bytes.byteLength, bytes)
  }
})

test('the 31 constants have their names and values', () => {
  for (const [name, value] of Object.entries(CONSTANTS)) {
    assert.equal(page[name], value, name)
  }
  assert.equal(Object.keys(CONSTANTS).length, 31)
})

test('the functions have their names', () => {
  for (const call of [sys.io_uring_enter, sys.io_uring_setup, sys.io_uring_register]) {
    assert.equal(page[call.name], call)
  }
})

interface RawRing {
  fd: number
  params: sys.io_uring_params
  /** SQ and CQ ring. */
  rings: ArrayBuffer
  sqes: ArrayBuffer
}

/** Sets a ring up with the page's functions alone; undefined with a skip where none can be made. */
function rawRing(t: TestContext, entries: number, flags = 0): RawRing | undefined {
  const params = new sys.io_uring_params()
  params.flags = flags
  const fd = sys.io_uring_setup(entries, params)
  if (fd < 0) {
    t.skip(`no ring here: ${sys.errnoName(fd)}`)
    return undefined
  }
  t.after(() => assert.equal(sys.syscall(sys.syscallNumber('close'), fd), 0))
  const { sq_off, cq_off, sq_entries, cq_entries } = params
  const ringBytes = Math.max(
    sq_off.array + 4 * sq_entries,
    cq_off.cqes + sys.io_uring_cqe.sizeof * cq_entries,
  )
  const map = (length: number, offset: number): ArrayBuffer => {
    const memory = sys.mmap(fd, length, offset)
    assert.ok(typeof memory !== 'number', `mmap failed: ${String(memory)}`)
    t.after(() => assert.equal(sys.munmap(memory), 0))
    return memory
  }
  return {
    fd,
    params,
    rings: map(ringBytes, sys.IORING_OFF_SQ_RING),
    sqes: map(sq_entries * sys.io_uring_sqe.sizeof, sys.IORING_OFF_SQES),
  }
}

test('a NOP through setup, mmap and enter', (t) => {
  oracle(t)
  const ring = rawRing(t, 4)
  if (ring === undefined) return
  const { fd, params, rings, sqes } = ring
  const { sq_off, cq_off } = params
  assert.equal(params.sq_entries, 4)
  assert.equal(params.cq_entries, 8)
  const words = new Int32Array(rings)
  assert.equal(words[sq_off.ring_entries / 4], 4)
  assert.equal(words[cq_off.ring_mask / 4], 7)

  // Three rounds, so that the second half of the ring and the wrap at its end come into it.
  for (let round = 0; round < 3; round++) {
    const batch = 3
    for (let i = 0; i < batch; i++) {
      const tail = sys.loadAcquire(words, sq_off.tail / 4)
      const index = tail & words[sq_off.ring_mask / 4]!
      const sqe = new sys.io_uring_sqe(sqes, index * sys.io_uring_sqe.sizeof)
      sqe.bytes.fill(0)
      sqe.opcode = sys.IORING_OP_NOP
      sqe.user_data = 0xfeedface_00000000n + BigInt(10 * round + i)
      words[sq_off.array / 4 + index] = index
      sys.storeRelease(words, sq_off.tail / 4, tail + 1)
    }
    assert.equal(sys.io_uring_enter(fd, batch, batch, sys.IORING_ENTER_GETEVENTS), batch)
    for (let i = 0; i < batch; i++) {
      const head = sys.loadAcquire(words, cq_off.head / 4)
      assert.notEqual(head, sys.loadAcquire(words, cq_off.tail / 4))
      const index = head & words[cq_off.ring_mask / 4]!
      const cqe = new sys.io_uring_cqe(rings, cq_off.cqes + index * sys.io_uring_cqe.sizeof)
      assert.equal(cqe.user_data, 0xfeedface_00000000n + BigInt(10 * round + i))
      assert.equal(cqe.res, 0)
      assert.equal(cqe.flags, 0)
      sys.storeRelease(words, cq_off.head / 4, head + 1)
    }
    assert.equal(sys.loadAcquire(words, cq_off.head / 4), sys.loadAcquire(words, cq_off.tail / 4))
  }
})

test('a timeout with a __kernel_timespec, waited for with a time limit', (t) => {
  oracle(t)
  const ring = rawRing(t, 1)
  if (ring === undefined) return
  const words = new Int32Array(ring.rings)
  const { sq_off, cq_off } = ring.params
  const never = new sys.io_uring_getevents_arg()
  const limit = new sys.__kernel_timespec()
  limit.tv_nsec = 2_000_000n
  never.ts = BigInt(sys.addressOf(limit))
  const flags = sys.IORING_ENTER_GETEVENTS | sys.IORING_ENTER_EXT_ARG
  assert.equal(sys.io_uring_enter(ring.fd, 0, 1, flags, never), -sys.ETIME)
  assert.equal(sys.io_uring_enter(ring.fd, 0, 1, flags, never, 23), -sys.EINVAL)

  const time = new sys.__kernel_timespec()
  time.setNumber('tv_nsec', 3_000_000)
  const sqe = new sys.io_uring_sqe(ring.sqes)
  sqe.opcode = sys.IORING_OP_TIMEOUT
  sqe.fd = -1
  sqe.len = 1
  sqe.addr = BigInt(sys.addressOf(time))
  sqe.user_data = 1n
  sys.storeRelease(words, sq_off.tail / 4, 1)
  assert.equal(sys.io_uring_enter(ring.fd, 1, 1, sys.IORING_ENTER_GETEVENTS), 1)
  const cqe = new sys.io_uring_cqe(ring.rings, cq_off.cqes)
  assert.deepEqual([cqe.user_data, cqe.res], [1n, -sys.ETIME])
})

test('io_uring_register: buffers go in and out', (t) => {
  oracle(t)
  const ring = rawRing(t, 1)
  if (ring === undefined) return
  const memory = new Uint8Array(8192)
  const vector = new sys.iovec()
  vector.iov_base = BigInt(sys.addressOf(memory))
  vector.iov_len = 8192n
  assert.equal(sys.io_uring_register(ring.fd, sys.IORING_REGISTER_BUFFERS, vector, 1), 0)
  assert.equal(sys.io_uring_register(ring.fd, sys.IORING_REGISTER_BUFFERS, vector, 1), -sys.EBUSY)
  assert.equal(sys.io_uring_register(ring.fd, sys.IORING_UNREGISTER_BUFFERS), 0)
  assert.equal(sys.io_uring_register(ring.fd, sys.IORING_UNREGISTER_BUFFERS), -sys.ENXIO)
})

test('what the kernel refuses comes back as -errno', (t) => {
  oracle(t)
  const params = new sys.io_uring_params()
  assert.equal(sys.io_uring_setup(0, params), -sys.EINVAL)
  assert.equal(sys.io_uring_setup(sys.IORING_MAX_ENTRIES * 2, params), -sys.EINVAL)
  params.flags = 0x80000000
  assert.equal(sys.io_uring_setup(4, params), -sys.EINVAL)
  assert.equal(sys.io_uring_enter(-1, 0, 0, 0), -sys.EBADF)
  assert.equal(sys.io_uring_enter(1_000_000, 0, 0, 0), -sys.EBADF)
  assert.equal(sys.io_uring_register(1_000_000, sys.IORING_REGISTER_PROBE, null, 0), -sys.EBADF)
  assert.equal(sys.mmap(1_000_000, 4096, 0), -sys.EBADF)
  assert.equal(sys.munmap(new ArrayBuffer(4096)), -sys.EINVAL)
  assert.equal(sys.syscall(0xffff), -sys.ENOSYS)
})

test('what can only be a mistake is refused before the kernel is asked', () => {
  const bad = (code: string, call: () => unknown): void => void assert.throws(call, { code })
  const params = new sys.io_uring_params()
  // @ts-expect-error not a number
  bad('ERR_INVALID_ARG_TYPE', () => sys.io_uring_setup('4', params))
  bad('ERR_OUT_OF_RANGE', () => sys.io_uring_setup(-1, params))
  bad('ERR_OUT_OF_RANGE', () => sys.io_uring_setup(1.5, params))
  bad('ERR_OUT_OF_RANGE', () => sys.io_uring_setup(4, new Uint8Array(119)))
  // @ts-expect-error not memory
  bad('ERR_INVALID_ARG_TYPE', () => sys.io_uring_setup(4, {}))
  bad('ERR_OUT_OF_RANGE', () => sys.io_uring_enter(2 ** 31, 0, 0, 0))
  bad('ERR_OUT_OF_RANGE', () => sys.io_uring_enter(0, 0, 0, -1))
  // @ts-expect-error not an argument
  bad('ERR_INVALID_ARG_TYPE', () => sys.io_uring_register(0, 0, 'x', 0))
  bad('ERR_OUT_OF_RANGE', () => sys.mmap(-1, 0, 0))
  // @ts-expect-error not a buffer
  bad('ERR_INVALID_ARG_TYPE', () => sys.munmap(new Uint8Array(1)))
  bad('ERR_OUT_OF_RANGE', () => sys.syscall(1, 1, 2, 3, 4, 5, 6, 7))
  bad('ERR_RING_UNAVAILABLE', () => sys.syscallNumbers('mips'))
})

test('a DataView has the address of its bytes', () => {
  const bytes = new Uint8Array(64)
  const view = new DataView(bytes.buffer, 24, 8)
  assert.equal(sys.addressOf(view), sys.addressOf(bytes) + 24)
  assert.equal(openDriver().addressOf(view), sys.addressOf(bytes) + 24)
})
