// The whole kernel: every opcode, register operation and flag of the ABI has its counterpart here, or a written reason for none.
// Flow: this → flag-tables.ts, fixtures/abi.json → ringcore, over a driver that notes what the kernel is asked for.

import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { Uring } from 'ringcore'
import * as op from 'ringcore/ring'
import { probe, Ring, type RingOptions, Sqe } from 'ringcore/ring'
import * as sys from 'ringcore/sys'
import { checkSetupOptions } from '#src/ring/params.js'
import type { Driver } from '#src/sys/driver.js'
import { openDriver } from '#src/sys/open-driver.js'
import { NOT_SHOWN, SHOWN } from './flag-shown.js'
import { CQE_EXCEPTIONS, CQE_FLAGS, EXCEPTIONS, FIELDS, OPERATION_FLAGS, SQE_FLAGS } from './flag-tables.js'
import { HELPER_EXCEPTIONS, RENAMED } from './helper-names.js'
import { oracle, root } from './helpers.js'

const read = (...path: string[]): string => readFileSync(join(root, ...path), 'utf8')
const { constants } = JSON.parse(read('test', 'fixtures', 'abi.json')) as {
  constants: Record<string, number | string>
}

/** The groups of names that need a counterpart. */
const GROUPS = {
  opcode: /^IORING_OP_(?!LAST$)/,
  registerOp: /^IORING_(UN)?REGISTER_(?!LAST$|USE_REGISTERED_RING$|FILES_SKIP$|(SRC|DST)_)/,
  setup: /^IORING_SETUP_/,
  enter: /^IORING_ENTER_/,
  sqe: /^IOSQE_\w+(?<!_BIT)$/,
  cqe: /^IORING_CQE_F_/,
  operation:
    /^(IORING_(URING_CMD|FSYNC|TIMEOUT|LINK_TIMEOUT|POLL|ASYNC_CANCEL|RECVSEND|RECV|SEND|NOTIF_USAGE|ACCEPT|MSG|FIXED_FD|NOP|FILE_INDEX|RW_ATTR)_|SPLICE_F_|RWF_|FUTEX2_)/,
} as const
/** Numbers that are no flags of a request: bits, offsets, features, limits, structs' own values; each has its own tests. */
const NO_FLAGS =
  /^(__|IOSQE_\w+_BIT$|IORING_(OP_LAST|REGISTER_(LAST|USE_REGISTERED_RING|FILES_SKIP|SRC_REGISTERED|DST_REPLACE)|CQE_BUFFER_SHIFT|OFF_|MAP_OFF_|SQ_|CQ_|FEAT_|MEM_REGION_|RSRC_|RESTRICTION_|REG_WAIT_|TIMESTAMP_|ZCRX_|MOCK_|MAX_)|IO_|IOU_PBUF_|SOCKET_URING_OP_|ZCRX_|PBUF_RING_|FUTEX_WAITV_MAX|MAX_RW_COUNT|BLOCK_URING_CMD_)/

type Group = keyof typeof GROUPS
const namesOf = (group: Group): string[] => Object.keys(constants).filter((name) => GROUPS[group].test(name))
const numberOf = (name: string): number => Number(constants[name]) >>> 0

/** Fails unless the names of a group are those that have a counterpart and those that have a reason for none. */
function complete(
  t: TestContext,
  group: Group,
  have: Iterable<string>,
  reasons: readonly string[] = [],
): void {
  const names = namesOf(group)
  const counterparts = [...have]
  const excepted = reasons.filter((name) => names.includes(name))
  assert.deepEqual([...counterparts, ...excepted].sort(), [...names].sort(), `${group}: one counterpart each`)
  const but = excepted.length === 0 ? '' : ` and ${excepted.length} exceptions: ${excepted.join(', ')}`
  t.diagnostic(`${group}: ${counterparts.length + excepted.length}/${names.length}${but}`)
}

/** A ring over a driver that notes what is asked of the kernel. */
function spied(t: TestContext, options: RingOptions, change: (driver: Driver) => Partial<Driver>): Ring {
  const driver = openDriver()
  const ring = new Ring({ entries: 4, ...options, driver: { ...driver, ...change(driver) } })
  t.after(() => ring.close({ cancel: true }))
  return ring
}

test('every name of the ABI is in one group, or no flag', () => {
  for (const name of Object.keys(constants)) {
    const groups = Object.entries(GROUPS).filter(([, pattern]) => pattern.test(name))
    assert.equal(
      groups.length + (NO_FLAGS.test(name) ? 1 : 0),
      1,
      `${name}: ${groups.map(([group]) => group)}`,
    )
  }
  assert.deepEqual(
    [
      namesOf('opcode').length,
      namesOf('registerOp').length,
      namesOf('setup').length,
      namesOf('enter').length,
    ],
    [65, 38, 21, 8],
  )
})

test('opcodes', (t) => {
  const have = op.opTable.map(({ constant, code, prep }) => {
    assert.equal(code, constants[constant], constant)
    assert.ok(
      prep.every((name) => typeof (op as Record<string, unknown>)[name] === 'function'),
      constant,
    )
    return constant
  })
  complete(t, 'opcode', have)
})

/** The method of Ring for each register operation, called with something that passes its checks. */
function registrations(ring: Ring, other: Ring): Record<string, () => unknown> {
  const region = openDriver().map(-1, 4096, 0) as ArrayBuffer
  const page = new Uint8Array(4096)
  return {
    IORING_REGISTER_BUFFERS: () => ring.registerBuffers([page]),
    IORING_UNREGISTER_BUFFERS: () => ring.unregisterBuffers(),
    IORING_REGISTER_FILES: () => ring.registerFiles([1]),
    IORING_UNREGISTER_FILES: () => ring.unregisterFiles(),
    IORING_REGISTER_EVENTFD: () => ring.registerEventfd(1),
    IORING_UNREGISTER_EVENTFD: () => ring.unregisterEventfd(),
    IORING_REGISTER_FILES_UPDATE: () => ring.registerFilesUpdate(0, [1]),
    IORING_REGISTER_EVENTFD_ASYNC: () => ring.registerEventfdAsync(1),
    IORING_REGISTER_PROBE: () => ring.registerProbe(),
    IORING_REGISTER_PERSONALITY: () => ring.registerPersonality(),
    IORING_UNREGISTER_PERSONALITY: () => ring.unregisterPersonality(1),
    IORING_REGISTER_RESTRICTIONS: () => ring.registerRestrictions([{ allow: 'sqeOp', opcode: 0 }]),
    IORING_REGISTER_ENABLE_RINGS: () => ring.enableRings(),
    IORING_REGISTER_FILES2: () => ring.registerFilesTags([1], [0]),
    IORING_REGISTER_FILES_UPDATE2: () => ring.registerFilesUpdateTag(0, [1], [0]),
    IORING_REGISTER_BUFFERS2: () => ring.registerBuffersTags([page], [0]),
    IORING_REGISTER_BUFFERS_UPDATE: () => ring.registerBuffersUpdateTag(0, [page]),
    IORING_REGISTER_IOWQ_AFF: () => ring.registerIowqAff([0]),
    IORING_UNREGISTER_IOWQ_AFF: () => ring.unregisterIowqAff(),
    IORING_REGISTER_IOWQ_MAX_WORKERS: () => ring.registerIowqMaxWorkers(0, 0),
    IORING_REGISTER_PBUF_RING: () => ring.registerBufRing({ group: 1, entries: 1, address: 0 }),
    IORING_UNREGISTER_PBUF_RING: () => ring.unregisterBufRing(1),
    IORING_REGISTER_SYNC_CANCEL: () => ring.registerSyncCancel({}),
    IORING_REGISTER_FILE_ALLOC_RANGE: () => ring.registerFileAllocRange(0, 1),
    IORING_REGISTER_PBUF_STATUS: () => ring.bufRingHead(1),
    IORING_REGISTER_NAPI: () => ring.registerNapi({ busyPollUs: 1 }),
    IORING_UNREGISTER_NAPI: () => ring.unregisterNapi(),
    IORING_REGISTER_CLOCK: () => ring.registerClock(1),
    IORING_REGISTER_CLONE_BUFFERS: () => ring.cloneBuffers(other),
    IORING_REGISTER_SEND_MSG_RING: () => ring.registerSyncMsg(new Int32Array(16)),
    IORING_REGISTER_ZCRX_IFQ: () => ring.registerIfq(new Uint8Array(96)),
    IORING_REGISTER_RESIZE_RINGS: () => ring.resizeRings(8),
    IORING_REGISTER_MEM_REGION: () => ring.registerRegion(region),
    IORING_REGISTER_ZCRX_CTRL: () => ring.registerZcrxCtrl(new Uint8Array(72)),
    IORING_REGISTER_BPF_FILTER: () => ring.registerBpfFilter(new Uint8Array(72)),
  }
}

test('register operations: the method asks the kernel for its number', (t) => {
  oracle(t)
  const asked = new Set<number>()
  let answer: number | undefined = -22
  const note = (driver: Driver): Partial<Driver> => ({
    // No method may believe that this is the ring of the whole process.
    name: 'simulated',
    register: (fd, opcode, address, count) => {
      asked.add(opcode >>> 0)
      return answer ?? driver.register(fd, opcode, address, count)
    },
  })
  const ring = spied(t, { singleIssuer: true, deferTaskrun: true }, note)
  const other = new Ring({ entries: 4 })
  t.after(() => other.close())
  const calls = registrations(ring, other)
  const one = (name: string, call: () => unknown): void => {
    asked.clear()
    try {
      call()
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'EINVAL', `${name}: ${error}`)
    }
    assert.deepEqual([...asked], [numberOf(name)], name)
  }
  for (const [name, call] of Object.entries(calls)) one(name, call)
  // The ring's own fd is really registered: what is asked for from then on goes by its index.
  answer = undefined
  one('IORING_REGISTER_RING_FDS', () => ring.registerRingFd())
  if ((ring.features & sys.IORING_FEAT_REG_REG_RING) !== 0) {
    asked.clear()
    ring.registerProbe()
    const byIndex = (sys.IORING_REGISTER_PROBE | sys.IORING_REGISTER_USE_REGISTERED_RING) >>> 0
    assert.deepEqual([...asked], [byIndex], 'IORING_REGISTER_USE_REGISTERED_RING')
  }
  asked.clear()
  ring.unregisterRingFd()
  assert.ok([...asked].some((opcode) => (opcode & 0xff) === sys.IORING_UNREGISTER_RING_FDS))
  asked.clear()
  probe({ ...openDriver(), ...note(openDriver()) })
  assert.ok(asked.has(sys.IORING_REGISTER_QUERY), 'probe() asks')
  complete(t, 'registerOp', [
    ...Object.keys(calls),
    'IORING_REGISTER_RING_FDS',
    'IORING_UNREGISTER_RING_FDS',
    'IORING_REGISTER_QUERY',
  ])
})

test('setup flags: an option each', (t) => {
  const help: Record<string, object> = {
    sqAff: { sqpoll: true, sqThreadCpu: 0 },
    cqsize: { cqEntries: 8 },
    attachWq: { wqFd: 0 },
    deferTaskrun: { singleIssuer: true },
    taskrunFlag: { coopTaskrun: true },
    hybridIopoll: { iopoll: true },
    registeredFdOnly: { noMmap: true },
    sqRewind: { noSqarray: true },
  }
  const have: string[] = []
  for (const { option, name, bit } of op.SETUP_FLAGS) {
    assert.equal(bit, numberOf(name), name)
    const { flags } = checkSetupOptions({ entries: 8, ...help[option], [option]: true })
    assert.notEqual(flags & bit, 0, name)
    have.push(name)
  }
  // What is not said is left to the kernel: an idle time of 0 is its second.
  const { sqThreadIdleMs, sqThreadCpu, wqFd, cqEntries } = checkSetupOptions({ entries: 8, sqpoll: true })
  assert.deepEqual([sqThreadIdleMs, sqThreadCpu, wqFd, cqEntries], [0, 0, 0, 0])
  complete(t, 'setup', have, Object.keys(EXCEPTIONS))
})

test('enter flags: what Ring enters with', (t) => {
  oracle(t)
  let flags = 0
  const note = (driver: Driver): Partial<Driver> => ({
    enter: (fd, submit, complete, asked, address, bytes) => {
      flags |= asked
      return driver.enter(fd, submit, complete, asked, address, bytes)
    },
  })
  const ring = spied(t, {}, note)
  const polled = spied(t, { sqpoll: true, sqThreadIdleMs: 1 }, note)
  const calls: Record<string, () => unknown> = {
    IORING_ENTER_GETEVENTS: () => ring.submitAndGetEvents(),
    IORING_ENTER_EXT_ARG: () => ring.submitAndWaitTimeout(1, { timeoutMs: 0 }),
    // Without a region the kernel refuses it; what it was asked for is what counts.
    IORING_ENTER_EXT_ARG_REG: () => assert.throws(() => ring.submitAndWaitReg(1, 0)),
    IORING_ENTER_REGISTERED_RING: () => {
      ring.registerRingFd()
      ring.submitAndGetEvents()
    },
    IORING_ENTER_NO_IOWAIT: () => ring.submitAndWaitTimeout(1, { timeoutMs: 0 }),
    IORING_ENTER_SQ_WAKEUP: () => {
      // Its thread falls asleep after a millisecond.
      const nap = new Int32Array(new SharedArrayBuffer(4))
      for (let tries = 0; tries < 100 && !(flags & sys.IORING_ENTER_SQ_WAKEUP); tries++) {
        Atomics.wait(nap, 0, 0, 20)
        op.prepNop(polled.getSqe()!)
        polled.submitAndWait(1)
        polled.forEachCqe(() => {})
      }
    },
    IORING_ENTER_SQ_WAIT: () => {
      for (let sqe = polled.getSqe(); sqe !== null; sqe = polled.getSqe()) op.prepNop(sqe)
      polled.sqringWait()
    },
  }
  for (const [name, call] of Object.entries(calls)) {
    flags = 0
    call()
    if (name === 'IORING_ENTER_NO_IOWAIT' && !(ring.features & sys.IORING_FEAT_NO_IOWAIT)) continue
    assert.notEqual(flags & numberOf(name), 0, name)
  }
  complete(t, 'enter', Object.keys(calls), Object.keys(EXCEPTIONS))
})

/** The text of src/, where the options' interfaces stand. */
const sources = ['runtime', 'fs', 'net'].flatMap((layer) =>
  readdirSync(join(root, 'src', layer), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => read('src', layer, name)),
)

/** Whether a friendly form exists: a method of Uring, or a member of an interface. */
function exists(friendly: string): boolean {
  const [owner = '', member = ''] = friendly.split('.')
  if (owner === 'Uring')
    return typeof (Uring.prototype as unknown as Record<string, unknown>)[member] === 'function'
  const inside = new RegExp(
    `^export interface ${owner}\\b[^{]*\\{(?:(?!^\\})[\\s\\S])*?^ {2}${member}\\??:`,
    'm',
  )
  return sources.some((text) => inside.test(text))
}

for (const [group, table] of [
  ['sqe', SQE_FLAGS],
  ['operation', OPERATION_FLAGS],
] as const) {
  test(`${group} flags: written where the kernel reads them`, (t) => {
    assert.ok(
      exists('OperationOptions.sqeFlags') && !exists('OperationOptions.nothing') && !exists('Uring.none'),
    )
    let friendlyForms = 0
    for (const [name, [field, write, friendly]] of Object.entries(table)) {
      const sqe = new Sqe(new ArrayBuffer(64), 0, 64)
      const flag = numberOf(name)
      write(sqe, flag)
      const [word, shift] = FIELDS[field]
      const bits = (flag << shift) >>> 0
      assert.notEqual(bits, 0, `${name} is a flag`)
      assert.equal((sqe.words[word]! & bits) >>> 0, bits, `${name} is in ${field}`)
      if (friendly === undefined) continue
      assert.ok(exists(friendly), `${name}: there is no ${friendly}`)
      friendlyForms++
    }
    complete(t, group, Object.keys(table), Object.keys(EXCEPTIONS))
    t.diagnostic(`${friendlyForms} of them by Uring and its options`)
  })
}

test('CQE flags: what acts upon them', (t) => {
  for (const [name, place] of Object.entries(CQE_FLAGS)) {
    const [file = '', member = ''] = place.split(': ')
    const text = read(file)
    assert.ok(text.includes(name) && new RegExp(`^ {2}(?:async |get )?${member}\\(`, 'm').test(text), name)
  }
  complete(t, 'cqe', Object.keys(CQE_FLAGS), Object.keys(CQE_EXCEPTIONS))
})

test('each flag is shown by a test that asks the kernel, or there is a reason for none', (t) => {
  const flags = [
    ...(['setup', 'enter', 'sqe', 'cqe', 'operation'] as const).flatMap(namesOf),
    ...Object.keys(constants).filter((name) => name.startsWith('IORING_FEAT_')),
  ]
  const shown: string[] = []
  for (const [file, title, names] of SHOWN) {
    const text = read('test', `${file}.test.ts`)
    assert.ok(
      ["'", '"', '`'].some((quote) => text.includes(quote + title)),
      `${file} has no test "${title}"`,
    )
    shown.push(...names)
  }
  assert.deepEqual([...shown, ...Object.keys(NOT_SHOWN)].sort(), [...flags].sort())
  t.diagnostic(`flags: ${flags.length}/${flags.length}, of them ${Object.keys(NOT_SHOWN).length} not shown`)
})

test('features: probe() says of each what a ring says', (t) => {
  oracle(t)
  using ring = new Ring({ entries: 2 })
  const said = probe().features
  const names = Object.keys(constants).filter((name) => name.startsWith('IORING_FEAT_'))
  assert.deepEqual(Object.keys(said).sort(), names.sort())
  for (const name of names) assert.equal(said[name], (ring.features & numberOf(name)) !== 0, name)
})

const camel = (name: string): string =>
  name.replace(/^_*io_uring_/, '').replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())

/** Whether "Ring.method", "name" or "Cqe.property" is there. */
function isThere(counterpart: string): boolean {
  const [owner = '', member] = counterpart.split('.')
  const found = ({ ...sys, ...op, Uring } as Record<string, unknown>)[owner]
  if (typeof found !== 'function') return false
  if (member === undefined) return true
  return member in (found.prototype as object) || (owner === 'Cqe' && member in new op.Cqe())
}

test('helpers of liburing: each of the 232 has its counterpart, which a test calls, or a reason for none', (t) => {
  const names = JSON.parse(read('test', 'fixtures', 'liburing-helpers.json')) as string[]
  assert.equal(new Set(names).size, 232)
  const tests = readdirSync(join(root, 'test'))
    .filter((name) => /^(1[13]|20|3[01]|4[0-68])\..*\.test\.ts$/.test(name))
    .concat('op-goldens.ts')
    .map((name) => read('test', name))
    .join('')
  const isUsed = (name: string): boolean => new RegExp(`\\b${name.split('.').at(-1)}\\b`).test(tests)
  const missing: string[] = []
  const excepted: string[] = []
  for (const name of names) {
    const own = name.startsWith('__io_uring_prep') ? '' : camel(name)
    const candidates = [RENAMED[name] ?? '', `Ring.${own}`, own, name]
    const counterpart = candidates.find(isThere)
    if (name in HELPER_EXCEPTIONS || name === '__io_uring_prep_uring_cmd') {
      excepted.push(name)
      if (RENAMED[name] !== undefined) missing.push(`${name}: both a counterpart and a reason for none`)
    } else if (counterpart === undefined) missing.push(name)
    else if (RENAMED[name] !== undefined && counterpart !== RENAMED[name])
      missing.push(`${name}: there is no ${RENAMED[name]}`)
    else if (!isUsed(counterpart)) missing.push(`${name}: no test calls ${counterpart}`)
  }
  assert.deepEqual(missing, [])
  for (const name of [...Object.keys(RENAMED), ...Object.keys(HELPER_EXCEPTIONS)])
    assert.ok(names.includes(name), `${name}: liburing has no such function`)
  t.diagnostic(`helpers: ${names.length}/232, of them ${excepted.length} exceptions: ${excepted.join(', ')}`)
})

test('no reason for a name that is not there', () => {
  for (const name of [...Object.keys(EXCEPTIONS), ...Object.keys(CQE_EXCEPTIONS)])
    assert.ok(name in constants, name)
})
