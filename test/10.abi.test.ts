// The constants and structs of ringcore/sys: are all there, does the installed header agree, does the running kernel?

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import * as sys from 'ringcore/sys'
import { assertStruct, assertValue, compileAssertions, type Headers, readHeaders } from './abi-probe.js'
import { oracle, root } from './helpers.js'

interface Fixture {
  constants: Record<string, number | string>
  structs: Record<string, { size: number; fields: Record<string, [offset: number, size: number]> }>
}
const fixture = JSON.parse(readFileSync(join(root, 'test', 'fixtures', 'abi.json'), 'utf8')) as Fixture

const exported: Readonly<Record<string, unknown>> = { ...sys }
const constants = Object.entries(exported).filter(
  (entry): entry is [string, number | bigint] => typeof entry[1] === 'number' || typeof entry[1] === 'bigint',
)
const structs = Object.entries(exported).filter(
  (entry): entry is [string, sys.AnyStruct] => typeof entry[1] === 'function' && 'sizeof' in entry[1],
)

// Names of our own, which no header has.
const OURS = /^(SOCKADDR_BYTES|STATX_BYTES|TIMESPEC_BYTES|SYS_IO_URING_\w+)$/
// "One past the last": every header has its own. The mask grew too.
const GROWING =
  /^(IORING_OP_LAST|IORING_REGISTER_LAST|IORING_RESTRICTION_LAST|IORING_URING_CMD_MASK|IORING_MOCK_FEAT_END|__\w+_(LAST|MAX))$/
// glibc and the kernel differ on purpose.
const NOT_IN_STEP = /^SOMAXCONN$/
const CONST_OF_URING = /^(IORING_|IOSQE_|IO_URING_|IOU_PBUF|IO_WQ_|SOCKET_URING_OP_|ZCRX_)/

test('every constant of the io_uring ABI is exported with its value', () => {
  for (const [name, value] of Object.entries(fixture.constants)) {
    assert.equal(String(exported[name]), String(value), name)
  }
  assert.ok(Object.keys(fixture.constants).length >= 331)
})

test('every struct of the io_uring ABI is exported, with its size and the place of each field', () => {
  assert.deepEqual(
    Object.keys(fixture.structs).filter((name) => !(name in exported)),
    [],
  )
  for (const [name, Type] of structs) {
    if (name === 'io_uring_bpf_ctx_socket' || name === 'io_uring_bpf_ctx_open') continue
    // x64 packs epoll_event; the fixture is x64's.
    if (name === 'epoll_event' && process.arch !== 'x64') continue
    const expected = fixture.structs[name]
    assert.ok(expected, `${name} is not in test/fixtures/abi.json`)
    assert.equal(Type.sizeof, expected.size, `sizeof ${name}`)
    const places = new Map<string, [number, number]>()
    for (const [field, { offset, size, inner }] of Object.entries(Type.fields)) {
      places.set(field, [offset, size])
      for (const [part, place] of Object.entries(inner?.fields ?? {})) {
        places.set(`${field}.${part}`, [offset + place.offset, place.size])
      }
    }
    for (const [field, place] of Object.entries(expected.fields)) {
      assert.deepEqual(places.get(field), place, `${name}.${field}`)
    }
  }
})

test('bits of one word do not overlap', () => {
  for (const prefix of [
    'IORING_SETUP_',
    'IORING_FEAT_',
    'IORING_ENTER_',
    'IORING_SQ_',
    'IORING_CQE_F_',
    'RWF_',
  ]) {
    let seen = 0n
    for (const [name, value] of constants.filter(([name]) => name.startsWith(prefix))) {
      const bit = BigInt(value)
      assert.equal(bit & (bit - 1n), 0n, `${name} is one bit`)
      assert.equal(seen & bit, 0n, `${name} has a bit of its own`)
      seen |= bit
    }
  }
})

/** The number of a system call is called __NR_read in headers and `read` with us. */
function syscallAssertions(headers: Headers, arch: 'x64' | 'arm64'): string[] {
  return Object.entries(sys.SYSCALL_TABLES[arch])
    .filter(([name]) => headers.names.has(`__NR_${name}`))
    .map(([name, nr]) => assertValue(`__NR_${name}`, nr))
}

function compareWithHeaders(t: TestContext, compiler: string, arch: 'x64' | 'arm64'): void {
  const headers = readHeaders(compiler)
  if ('skip' in headers) {
    t.skip(headers.skip)
    return
  }
  const lines: string[] = []
  const unknown: string[] = []
  for (const [name, value] of constants) {
    if (OURS.test(name) || NOT_IN_STEP.test(name)) continue
    if (!headers.names.has(name)) unknown.push(name)
    else if (!GROWING.test(name)) lines.push(assertValue(name, value))
  }
  let structCount = 0
  for (const [name, Type] of structs) {
    const body = headers.structs.get(name)
    if (body === undefined) continue
    structCount++
    const sizeof = name === 'epoll_event' ? (arch === 'x64' ? 12 : 16) : Type.sizeof
    if (name === 'epoll_event' && arch !== process.arch) {
      lines.push(
        `_Static_assert(sizeof(struct epoll_event) == ${sizeof}, "sizeof epoll_event is not ${sizeof}");`,
      )
    } else {
      lines.push(...assertStruct(name, Type, body, sizeof))
    }
  }
  const calls = syscallAssertions(headers, arch)
  assert.deepEqual(compileAssertions(compiler, [...lines, ...calls]), [])

  const missing = [...headers.names].filter((name) => CONST_OF_URING.test(name) && !(name in exported))
  assert.deepEqual(missing, [], `${compiler}: names of linux/io_uring.h that ringcore/sys lacks`)
  if (!headers.structs.has('io_uring_sqe')) {
    t.skip(`${compiler} has no linux/io_uring.h; the other headers agree`)
    return
  }
  const newer = unknown.filter((name) => CONST_OF_URING.test(name))
  t.diagnostic(
    `${compiler}: ${lines.length + calls.length} values, sizes and places agree, in ${structCount} structs; ` +
      `newer than the installed linux/io_uring.h: ${newer.length} of ${Object.keys(fixture.constants).length} names; ` +
      `not in the other headers: ${unknown.length - newer.length}`,
  )
}

test('the installed headers agree', (t) => {
  compareWithHeaders(t, process.env.CC || 'cc', process.arch === 'arm64' ? 'arm64' : 'x64')
})

test('the headers of arm64 agree', (t) => {
  if (process.arch === 'arm64') return t.skip('this is arm64: see the test before')
  compareWithHeaders(t, 'aarch64-linux-gnu-gcc', 'arm64')
})

test('a wrong value, size or place does not pass the compiler', (t) => {
  const compiler = process.env.CC || 'cc'
  const headers = readHeaders(compiler)
  if ('skip' in headers) return t.skip(headers.skip)
  const refused = (line: string) => compileAssertions(compiler, [line]).length > 0
  assert.ok(refused(assertValue('EINVAL', 21)))
  assert.ok(!refused(assertValue('EINVAL', 22)))
  const lines = assertStruct('iovec', sys.iovec, headers.structs.get('iovec') ?? '', 24)
  assert.deepEqual(lines.map(refused), [true, false, false])
  assert.ok(refused(assertStruct('iovec', sys.msghdr, 'msg_name', 56)[1]!))
})

test('error numbers are those of errno.h', (t) => {
  const compiler = process.env.CC || 'cc'
  const headers = readHeaders(compiler)
  if ('skip' in headers) return t.skip(headers.skip)
  assert.ok(headers.names.has('EHWPOISON'))
  const lines = sys.ERRNO.map(([number, name]) => assertValue(name, number))
  assert.deepEqual(compileAssertions(compiler, lines), [])
})

/** A small ring of its own, closed at the test's end; undefined with a skip where none can be made. */
function rawRing(t: TestContext): { fd: number; params: sys.io_uring_params } | undefined {
  const params = new sys.io_uring_params()
  const fd = sys.io_uring_setup(4, params)
  if (fd < 0) {
    t.skip(`no ring here: ${sys.errnoName(fd)}`)
    return undefined
  }
  t.after(() => sys.syscall(sys.syscallNumber('close'), fd))
  return { fd, params }
}

/** The names of the bits that are set, and what is left without a name. */
function named(prefix: string, bits: bigint): { names: string[]; rest: bigint } {
  let rest = bits
  const names: string[] = []
  for (const [name, value] of constants) {
    if (!name.startsWith(prefix) || (bits & BigInt(value)) === 0n) continue
    names.push(name)
    rest &= ~BigInt(value)
  }
  return { names, rest }
}

test('the running kernel: features of a ring have names', (t) => {
  oracle(t)
  const ring = rawRing(t)
  if (ring === undefined) return
  const { names, rest } = named('IORING_FEAT_', BigInt(ring.params.features))
  assert.ok(names.includes('IORING_FEAT_SINGLE_MMAP') && names.includes('IORING_FEAT_NODROP'))
  t.diagnostic(
    `${names.length} features${rest === 0n ? '' : `, and 0x${rest.toString(16)} newer than this list`}`,
  )
})

test('the running kernel: PROBE knows our opcodes in our order', (t) => {
  oracle(t)
  const ring = rawRing(t)
  if (ring === undefined) return
  const probe = new sys.io_uring_probe(sys.io_uring_probe.sizeof + 256 * sys.io_uring_probe_op.sizeof)
  assert.equal(sys.io_uring_register(ring.fd, sys.IORING_REGISTER_PROBE, probe, 256), 0)
  const count = probe.last_op + 1
  assert.ok(probe.ops_len <= 256)
  for (const [i, row] of probe.ops.slice(0, probe.ops_len).entries()) assert.equal(row.op, i)
  assert.equal(probe.ops[sys.IORING_OP_NOP]!.flags & sys.IO_URING_OP_SUPPORTED, sys.IO_URING_OP_SUPPORTED)
  assert.equal(probe.ops[sys.IORING_OP_SPLICE]!.flags & sys.IO_URING_OP_SUPPORTED, sys.IO_URING_OP_SUPPORTED)
  const newer = count - sys.IORING_OP_LAST
  t.diagnostic(
    newer > 0
      ? `${newer} opcodes of this kernel are newer than this list`
      : `this kernel has ${count} of ${sys.IORING_OP_LAST} opcodes`,
  )
})

test('the running kernel: QUERY agrees with setup and has names for all its flags', (t) => {
  oracle(t)
  const answer = new sys.io_uring_query_opcode()
  const question = new sys.io_uring_query_hdr()
  question.query_op = sys.IO_URING_QUERY_OPCODES
  question.size = sys.io_uring_query_opcode.sizeof
  question.query_data = BigInt(sys.addressOf(answer))
  const res = sys.io_uring_register(-1, sys.IORING_REGISTER_QUERY, question, 0)
  if (res < 0) return t.skip(`this kernel has no REGISTER_QUERY (6.18): ${sys.errnoName(res)}`)
  assert.equal(question.result, 0)
  const ring = rawRing(t)
  if (ring === undefined) return
  assert.equal(answer.feature_flags, BigInt(ring.params.features))

  const words = {
    IORING_SETUP_: answer.ring_setup_flags,
    IORING_ENTER_: answer.enter_flags,
    IORING_FEAT_: answer.feature_flags,
  }
  const isNewer =
    answer.nr_request_opcodes > sys.IORING_OP_LAST || answer.nr_register_opcodes > sys.IORING_REGISTER_LAST
  for (const [prefix, bits] of Object.entries(words)) {
    const { names, rest } = named(prefix, bits)
    assert.ok(names.length >= 8)
    if (!isNewer) assert.equal(rest, 0n, `${prefix}*: 0x${rest.toString(16)} has no name`)
  }
  t.diagnostic(
    `${answer.nr_request_opcodes} opcodes, ${answer.nr_register_opcodes} register opcodes, ` +
      `setup 0x${answer.ring_setup_flags.toString(16)}, enter 0x${answer.enter_flags.toString(16)}, ` +
      `features 0x${answer.feature_flags.toString(16)}`,
  )
})
