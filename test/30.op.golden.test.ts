// Every prep function against bytes written out by hand, against liburing's own where it is installed, and for completeness.
// Flow: this → op-goldens.ts, fixtures/*.json, tools/liburing-golden.c → the op layer.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import * as op from '#src/op/index.js'
import { SQE, Sqe } from '#src/ring/sqe.js'
import { root } from './helpers.js'
import { type Fields, type Golden, goldens, opcodes } from './op-goldens.js'

const readText = (...parts: string[]): string => readFileSync(join(root, ...parts), 'utf8')
const fixture = (name: string): unknown => JSON.parse(readText('test', 'fixtures', name))
const layout = fixture('sqe-fields.json') as Record<string, { offset: number; bytes: number }>
const liburingNames = fixture('liburing-prep.json') as string[]

/** Names of liburing without a function of ours, and why. */
const NO_COUNTERPART: Readonly<Record<string, string>> = {
  __io_uring_prep_uring_cmd: 'the inner half of prepUringCmd and prepUringCmd128',
}
/** Functions of ours without a name in liburing, and why. */
const OURS_ALONE: Readonly<Record<string, string>> = {
  prepRecvZc: 'liburing leaves RECV_ZC to io_uring_prep_rw',
}
/** Cases that have no line in the C program, and why. */
const NOT_IN_C: Readonly<Record<string, string>> = {
  prepRecvZc: 'no helper',
  'prepFilesUpdate alloc': 'liburing takes an int, so that ALLOC becomes 64 ones; the kernel reads 32',
}

type Prep = (sqe: Sqe, ...args: (number | bigint)[]) => void
const exported = op as unknown as Record<string, Prep>
const functionOf = ({ key }: Golden): string => key.split(' ')[0]!

/** Writes fields into 64 bytes by the struct's own offsets; two fields on the same bytes are a mistake in the golden. */
function encode(fields: Fields): string {
  const bytes = new DataView(new ArrayBuffer(64))
  const taken = new Set<number>()
  for (const [name, value] of Object.entries(fields)) {
    const field = layout[name]
    assert.ok(field, `struct io_uring_sqe has no field ${name}`)
    for (let i = field.offset; i < field.offset + field.bytes; i++) {
      assert.ok(!taken.has(i), `${name} overlaps another field of the golden`)
      taken.add(i)
    }
    let rest = BigInt.asUintN(field.bytes * 8, BigInt(value))
    for (let i = 0; i < field.bytes; i++, rest >>= 8n) {
      bytes.setUint8(field.offset + i, Number(rest & 0xffn))
    }
  }
  return hex(bytes.buffer)
}

const hex = (memory: ArrayBuffer): string => Buffer.from(memory).toString('hex')

/** What the function under test writes; the entry was full of ones before it was cleared. */
function write(golden: Golden, entryBytes: 64 | 128 = 64): string {
  const memory = new ArrayBuffer(entryBytes)
  new Uint8Array(memory).fill(0xff)
  const sqe = new Sqe(memory, 0, entryBytes)
  sqe.clear()
  exported[functionOf(golden)]!(sqe, ...golden.args)
  return hex(memory)
}

test('every prep function writes the bytes of its golden', () => {
  for (const golden of goldens) assert.equal(write(golden), encode(golden.fields), golden.key)
})

test('in an entry of 128 bytes the second half stays zero', () => {
  for (const golden of goldens) {
    assert.equal(write(golden, 128), encode(golden.fields) + '00'.repeat(64), golden.key)
  }
})

test('no prep function touches user_data', () => {
  for (const golden of goldens) {
    const memory = new ArrayBuffer(64)
    const sqe = new Sqe(memory, 0, 64)
    sqe.setUserData(0x1234_5678_9abcn)
    exported[functionOf(golden)]!(sqe, ...golden.args)
    assert.equal(hex(memory), encode({ ...golden.fields, user_data: 0x1234_5678_9abcn }), golden.key)
  }
})

test('a number and the same bigint give the same bytes', () => {
  let compared = 0
  for (const golden of goldens) {
    for (const [i, value] of golden.args.entries()) {
      if (typeof value !== 'bigint' || value > BigInt(Number.MAX_SAFE_INTEGER)) continue
      const args = golden.args.with(i, Number(value))
      assert.equal(write({ ...golden, args }), write(golden), golden.key)
      compared++
    }
  }
  for (const [number, bigint] of [
    [-1, 0xffff_ffff_ffff_ffffn],
    [-2, -2n],
    [2 ** 31, 2n ** 31n],
    [2 ** 32 - 1, 2n ** 32n - 1n],
    [2 ** 32, 2n ** 32n],
    [-(2 ** 32), -(2n ** 32n)],
    [-(2 ** 32) - 1, -(2n ** 32n) - 1n],
    [Number.MAX_SAFE_INTEGER, BigInt(Number.MAX_SAFE_INTEGER)],
    [Number.MIN_SAFE_INTEGER, BigInt(Number.MIN_SAFE_INTEGER)],
  ] as const) {
    const golden = (offset: number | bigint): Golden => ({
      key: 'prepRead',
      args: [0, 0, 0, offset],
      fields: {},
    })
    const expected = encode({ opcode: 22, off: bigint })
    assert.equal(write(golden(number)), expected, String(number))
    assert.equal(write(golden(bigint)), expected, String(bigint))
    compared++
  }
  assert.ok(compared >= 9)
})

test('ALLOC is the same slot as -1, which it is after any bitwise operator', () => {
  const direct = (fileIndex: number): Golden => ({
    key: 'prepOpenDirect',
    args: [0, 0, 0, fileIndex],
    fields: {},
  })
  assert.equal(write(direct(-1)), write(direct(0xffff_ffff)))
  // liburing's close_direct adds 1 to ALLOC and so closes fd 0; ours names no slot there is.
  const close: Golden = { key: 'prepCloseDirect', args: [0xffff_ffff], fields: {} }
  assert.equal(write(close), encode({ opcode: opcodes.CLOSE!.code, file_index: 0xffff_ffff }))
})

test('the modifiers write their own bits and leave the others', () => {
  const base: Fields = { opcode: 22, fd: 3, addr: 4096, len: 10, off: 7 }
  const cases: [name: string, change: (sqe: Sqe) => void, fields: Fields][] = [
    ['sqeSetFlags', (sqe) => op.sqeSetFlags(sqe, 0x14), { ...base, flags: 0x14 }],
    ['sqe.addFlags', (sqe) => sqe.addFlags(0x41), { ...base, flags: 0x41 }],
    ['sqeSetData', (sqe) => op.sqeSetData(sqe, 2 ** 40 + 5), { ...base, user_data: 2n ** 40n + 5n }],
    ['sqeSetData64', (sqe) => op.sqeSetData64(sqe, 2n ** 64n - 2n), { ...base, user_data: -2n }],
    [
      'sqeSetDataWords',
      (sqe) => op.sqeSetDataWords(sqe, 0x89ab_cdef, 0xfedc_ba98),
      { ...base, user_data: 0xfedc_ba98_89ab_cdefn },
    ],
    [
      'sqeSetAddrWords',
      (sqe) => op.sqeSetAddrWords(sqe, 0x89ab_cdef, 0xfedc_ba98),
      { ...base, addr: 0xfedc_ba98_89ab_cdefn },
    ],
    ['sqeSetOffWords', (sqe) => op.sqeSetOffWords(sqe, 1, 2), { ...base, off: 0x2_0000_0001n }],
    ['sqeSetIoprio', (sqe) => op.sqeSetIoprio(sqe, 0x8001), { ...base, ioprio: 0x8001 }],
    ['sqeAddIoprio', (sqe) => op.sqeAddIoprio(sqe, 0x10), { ...base, ioprio: 0x10 }],
    ['sqeSetOpFlags', (sqe) => op.sqeSetOpFlags(sqe, 0x8000_0001), { ...base, rw_flags: 0x8000_0001 }],
    ['sqeSetFixedFile', (sqe) => op.sqeSetFixedFile(sqe), { ...base, flags: 1 }],
    ['sqeSetTargetFixedFile', (sqe) => op.sqeSetTargetFixedFile(sqe, 6), { ...base, file_index: 7 }],
    ['sqeSetBufGroup', (sqe) => op.sqeSetBufGroup(sqe, 0xffff), { ...base, buf_group: 0xffff }],
    ['sqeSetBufferSelect', (sqe) => op.sqeSetBufferSelect(sqe, 2), { ...base, flags: 0x20, buf_group: 2 }],
    ['sqeSetBufIndex', (sqe) => op.sqeSetBufIndex(sqe, 9), { ...base, buf_index: 9 }],
    ['sqeSetPersonality', (sqe) => op.sqeSetPersonality(sqe, 0xfffe), { ...base, personality: 0xfffe }],
    ['sqeSetFsyncRange', (sqe) => op.sqeSetFsyncRange(sqe, 2 ** 33, 5), { ...base, off: 2 ** 33, len: 5 }],
    ['sqeSetAttr', (sqe) => op.sqeSetAttr(sqe, 8192, 1), { ...base, attr_ptr: 8192, attr_type_mask: 1 }],
    ['sqeSetWriteStream', (sqe) => op.sqeSetWriteStream(sqe, 3), { ...base, write_stream: 3 }],
  ]
  for (const [name, change, fields] of cases) {
    const memory = new ArrayBuffer(64)
    const sqe = new Sqe(memory, 0, 64)
    op.prepRead(sqe, 3, 4096, 10, 7)
    change(sqe)
    assert.equal(hex(memory), encode(fields), name)
    // A second time, in an entry full of ones: bytes outside the fields it sets stay as they are.
    const bytes = new Uint8Array(memory).fill(0xff)
    change(sqe)
    const own = Object.keys(fields).filter((field) => fields[field] !== base[field])
    for (const [i, byte] of bytes.entries()) {
      const isOwn = own.some((f) => i >= layout[f]!.offset && i < layout[f]!.offset + layout[f]!.bytes)
      // A write stream is one byte of a word that has no other use in a write.
      const isStream = own.includes('write_stream') && i >= 44 && i < 48
      assert.ok(byte === 0xff || isOwn || isStream, `${name} changes byte ${i}`)
    }
  }
  const covered = new Set(cases.map(([name]) => name))
  const missing = Object.keys(op).filter((name) => name.startsWith('sqe') && !covered.has(name))
  assert.deepEqual(missing, [])
  // What a modifier replaces, it replaces whole; what it adds, it adds.
  const sqe = new Sqe(new ArrayBuffer(64), 0, 64)
  op.prepMultishotAccept(sqe, 3, 0, 0, 0)
  op.sqeAddIoprio(sqe, 4)
  op.sqeSetFlags(sqe, 0xff)
  op.sqeSetFlags(sqe, 1)
  assert.equal(sqe.words[SQE.OPCODE], 13 | (1 << 8) | (5 << 16))
  op.sqeSetPersonality(sqe, 7)
  op.sqeSetBufGroup(sqe, 8)
  op.sqeSetPersonality(sqe, 9)
  assert.equal(sqe.words[SQE.BUF_INDEX], 8 | (9 << 16))
})

// ---------------------------------------------------------------- liburing

/** Compiles the C program with the lines whose helper the header has. */
function compileGoldenTool(): { lines: string[]; left: string[] } | { skip: string } {
  const compiler = process.env.CC || 'cc'
  const preprocessed = spawnSync(compiler, ['-E', '-D_GNU_SOURCE', '-'], {
    input: '#include <liburing.h>\n',
    encoding: 'utf8',
  })
  if (preprocessed.error) return { skip: `needs a C compiler (${compiler})` }
  if (preprocessed.status !== 0) return { skip: 'needs liburing.h (Debian: liburing-dev)' }
  const left: string[] = []
  const source = readText('test', 'tools', 'liburing-golden.c')
    .split('\n')
    .filter((line) => {
      const [, key, helper] = /CASE\("([^"]+)", (\w+)\(/.exec(line) ?? []
      if (helper === undefined || new RegExp(`\\b${helper}\\(`).test(preprocessed.stdout)) return true
      left.push(key!)
      return false
    })
    .join('\n')
  const dir = mkdtempSync(join(tmpdir(), 'ringcore-golden-'))
  try {
    const [file, program] = [join(dir, 'golden.c'), join(dir, 'golden')]
    writeFileSync(file, source)
    const built = spawnSync(compiler, ['-D_GNU_SOURCE', '-w', '-o', program, file], { encoding: 'utf8' })
    assert.equal(built.status, 0, built.stderr)
    const { stdout, status } = spawnSync(program, { encoding: 'utf8' })
    assert.equal(status, 0)
    return { lines: stdout.trim().split('\n'), left }
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

test('liburing writes the same bytes for the same arguments', (t) => {
  const result = compileGoldenTool()
  if ('skip' in result) return t.skip(result.skip)
  const byKey = new Map(goldens.map((golden) => [golden.key, golden]))
  const overflowed: string[] = []
  for (const line of result.lines) {
    const [key, bytes] = line.split('\t')
    const golden = byKey.get(key!)
    assert.ok(golden, `no golden named ${key}`)
    if (key!.endsWith(' alloc') && bytes !== write(golden)) {
      // liburing before 2.4 added 1 to ALLOC, too, and so asked for an ordinary fd.
      assert.equal(bytes, encode({ ...golden.fields, file_index: 0 }), key)
      overflowed.push(key!)
      continue
    }
    assert.equal(write(golden), bytes, key)
  }
  const expected = result.lines.length + result.left.length + Object.keys(NOT_IN_C).length
  assert.equal(expected, goldens.length, 'cases in the C program, and those it does not have')
  t.diagnostic(
    `${result.lines.length - overflowed.length} cases agree with liburing; ${overflowed.length} show its old ALLOC mistake; ` +
      `${result.left.length} are newer than the header: ${result.left.join(', ')}`,
  )
})

// ---------------------------------------------------------------- completeness

const camel = (name: string): string =>
  name.replace('io_uring_prep', 'prep').replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())

test('every prep helper of liburing has a counterpart, and every prep function a golden', (t) => {
  const missing = liburingNames.filter(
    (name) => typeof exported[camel(name)] !== 'function' && NO_COUNTERPART[name] === undefined,
  )
  assert.deepEqual(missing, [])
  assert.equal(liburingNames.length, 105)
  const ours = Object.keys(op).filter((name) => name.startsWith('prep'))
  const theirs = new Set(liburingNames.map(camel))
  assert.deepEqual(
    ours.filter((name) => !theirs.has(name) && OURS_ALONE[name] === undefined),
    [],
  )
  const withGolden = new Set(goldens.map(functionOf))
  assert.deepEqual(
    ours.filter((name) => !withGolden.has(name)),
    [],
  )
  t.diagnostic(
    `${liburingNames.length} helpers: ${liburingNames.length - Object.keys(NO_COUNTERPART).length} have a counterpart, ` +
      `${Object.keys(NO_COUNTERPART).length} does not; ${ours.length} prep functions, ${goldens.length} goldens`,
  )
})

test('every opcode has a row that agrees with the kernel header', (t) => {
  const names = Object.keys(opcodes)
  assert.equal(names.length, 65)
  assert.equal(op.opTable.length, names.length)
  assert.equal(op.OPS_COUNT, names.length)
  for (const [name, { code, since }] of Object.entries(opcodes)) {
    const row = op.opTable[code]!
    assert.deepEqual([row.name, row.code, row.since], [name, code, since])
    assert.equal(row.constant, `IORING_OP_${name}`)
    assert.equal(op.opByName(name), row)
    assert.equal(op.opByName(row.constant.toLowerCase()), row)
    assert.equal(op.opName(code), name)
    assert.ok(row.prep.length > 0 && row.syscall !== '' && /^\w+\(\d\)/.test(row.man), name)
    assert.ok(Object.isFrozen(row) && Object.isFrozen(row.prep) && Object.isFrozen(row.reads))
    assert.equal(row.multishot === '', row.multishotSince === '', name)
  }
  assert.ok(Object.isFrozen(op.opTable))
  assert.equal(op.opByName('READ_ALL'), undefined)
  assert.equal(op.opName(99), 'OP_99')
  const fds = op.opTable.filter((row) => row.resultIsFd).map((row) => row.name)
  assert.deepEqual(fds, ['ACCEPT', 'OPENAT', 'OPENAT2', 'SOCKET', 'FIXED_FD_INSTALL'])
  t.diagnostic(`${op.opTable.length} of ${names.length} opcodes have a row`)
})

test('a prep function writes the opcode whose row names it', () => {
  for (const golden of goldens) {
    const name = functionOf(golden)
    if (name === 'prepRw' || name === 'prepSendSetAddr') continue
    const row = op.opTable[Number(golden.fields.opcode)]!
    assert.ok(row.prep.includes(name), `${name} is not in the row of ${row.name}`)
  }
  const named = op.opTable.flatMap((row) => row.prep)
  assert.deepEqual(
    named.filter((name) => typeof exported[name] !== 'function'),
    [],
  )
})

test('the docstrings say the kernel version and the opcode of the table, and a manual page', () => {
  const dir = join('src', 'op')
  const files = readdirSync(join(root, dir)).filter((name) => name.startsWith('prep'))
  let checked = 0
  for (const file of files) {
    const text = readText(dir, file)
    for (const [, doc, name] of text.matchAll(
      /\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\nexport function (prep\w+)/g,
    )) {
      if (name === 'prepRw') continue
      const [, since, names] = /@kernel (\d+\.\d+) · (.+)/.exec(doc!) ?? []
      assert.ok(since && names, `${name}: @kernel`)
      assert.match(doc!, /@man \w+\(\d\)/, `${name}: @man`)
      for (const constant of names!.split(', ')) {
        const row = op.opByName(constant)
        assert.ok(row?.prep.includes(name!), `${name}: the row of ${constant} does not name it`)
        const order = (version: string): number =>
          version.split('.').reduce((sum, part) => sum * 1000 + Number(part), 0)
        assert.ok(order(since!) >= order(row!.since), `${name}: ${since} is older than ${constant}`)
        if (row!.prep.length === 1) assert.equal(since, row!.since, name)
      }
      checked++
    }
  }
  const ours = Object.keys(op).filter((name) => name.startsWith('prep') && name !== 'prepRw')
  assert.equal(checked, ours.length)
})
