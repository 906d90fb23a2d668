// Errors look like Node's own: compared with real ones of node:fs, node:net, node:buffer, on the Node that runs this.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import * as fs from 'node:fs'
import * as net from 'node:net'
import { join } from 'node:path'
import test from 'node:test'
import { getSystemErrorMap } from 'node:util'
import { ERRNO, errnoError, errnoName, errnoNumber, errnoText, UringError } from 'ringcore/sys'
import * as errors from '#src/sys/error.js'
import * as validate from '#src/sys/validate.js'
import { oracle, tempDir } from './helpers.js'

type Code = Error & { code?: string }

function thrown(call: () => unknown): Code {
  try {
    call()
  } catch (error) {
    if (error instanceof Error) return error
  }
  assert.fail('nothing was thrown')
}

/** What a program can see of an error, but for the calls that led to it. */
function shape(error: Code): unknown {
  return {
    text: String(error),
    name: error.name,
    stackHead: error.stack?.split('\n')[0],
    properties: { ...error },
  }
}

test('all numbers from 1 to 133 are known, with names and texts that say something', () => {
  const numbers = ERRNO.map(([number]) => number)
  // The kernel has no 41 and 58: they would be second names of 11 and 35.
  const expected = Array.from({ length: 133 }, (_, i) => i + 1).filter((n) => n !== 41 && n !== 58)
  assert.deepEqual(numbers, expected)
  for (const [number, name, text] of ERRNO) {
    assert.equal(errnoName(number), name)
    assert.equal(errnoName(-number), name)
    assert.equal(errnoText(-number), text)
    assert.equal(errnoNumber(name), number)
    assert.ok(text.length > 5)
  }
  assert.equal(new Set(ERRNO.map(([, name]) => name)).size, ERRNO.length)
  assert.equal(errnoNumber('EWOULDBLOCK'), 11)
  assert.equal(errnoNumber('EOPNOTSUPP'), 95)
  assert.equal(errnoNumber('ENOTHING'), undefined)
  assert.equal(errnoName(-4000), 'E4000')
})

test('names and texts are those of this Node', () => {
  let compared = 0
  for (const [number, [name, text]] of getSystemErrorMap()) {
    // libuv's own errors lie beyond the kernel's.
    if (number < -133) continue
    assert.equal(errnoName(number), name)
    assert.equal(errnoText(number), text)
    compared++
  }
  assert.ok(compared > 60)
})

test('system errors are those of node:fs', (t) => {
  oracle(t)
  const dir = tempDir(t)
  const none = join(dir, 'none')
  const cases: [Code, errors.UringError][] = [
    [thrown(() => fs.openSync(none, 'r')), errnoError(-2, 'open', { path: none })],
    [thrown(() => fs.renameSync(none, dir)), errnoError(-2, 'rename', { path: none, dest: dir })],
    [thrown(() => fs.mkdirSync(dir)), errnoError(-17, 'mkdir', { path: dir })],
    [thrown(() => fs.fsyncSync(1_000_000)), errnoError(-9, 'fsync')],
    [
      thrown(() => fs.readdirSync(`${process.execPath}/x`)),
      errnoError(-20, 'scandir', { path: `${process.execPath}/x` }),
    ],
  ]
  for (const [node, ours] of cases) {
    assert.deepEqual(shape(ours), shape(node))
    assert.ok(ours instanceof UringError && ours instanceof Error)
  }
  const extra = errnoError(-125, 'read', { fd: 7, op: 'READ', cause: cases[0]![0] })
  assert.deepEqual({ ...extra }, { errno: -125, code: 'ECANCELED', syscall: 'read', fd: 7, op: 'READ' })
  assert.equal(extra.cause, cases[0]![0])
})

test('system errors are those of node:net', async (t) => {
  oracle(t)
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as net.AddressInfo

  const second = net.createServer().listen(port, '127.0.0.1')
  const [inUse] = (await once(second, 'error')) as [Code]
  const address = '127.0.0.1'
  assert.deepEqual(shape(errors.socketError(-98, 'listen', { address, port })), shape(inUse))

  server.close()
  await once(server, 'close')
  const [refused] = (await once(net.connect(port, address), 'error')) as [Code]
  assert.deepEqual(shape(errors.socketError(-111, 'connect', { address, port })), shape(refused))

  const path = join(tempDir(t), 'none.sock')
  const [missing] = (await once(net.connect(path), 'error')) as [Code]
  assert.deepEqual(shape(errors.socketError(-2, 'connect', { address: path })), shape(missing))
  assert.equal(errors.socketError(-104, 'read').message, 'read ECONNRESET')
})

test('argument errors are those of Node', () => {
  const buffer = Buffer.alloc(8)
  const cases: [Code, Code][] = []
  for (const value of [
    undefined,
    null,
    '5',
    {},
    new Map(),
    Symbol('x'),
    true,
    () => 1,
    function named() {},
    5n,
  ]) {
    cases.push([
      // @ts-expect-error wrong on purpose
      thrown(() => buffer.readInt8(value === undefined ? null : value)),
      errors.argumentTypeError('offset', 'of type number', value === undefined ? null : value),
    ])
  }
  for (const value of [-1, 1.5, Number.NaN, 2 ** 40, -(2 ** 40), 8]) {
    const node = thrown(() => buffer.readInt8(value))
    const range = Number.isInteger(value) ? '>= 0 and <= 7' : 'an integer'
    cases.push([node, errors.rangeError('offset', range, value)])
  }
  cases.push([
    thrown(() => fs.openSync('a\0b', 'r')),
    errors.argumentValueError('path', 'a\0b', 'must be a string, Uint8Array, or URL without null bytes'),
  ])
  cases.push([
    // @ts-expect-error wrong on purpose
    thrown(() => fs.readFileSync('x', { encoding: 'utf9' })),
    errors.argumentValueError('encoding', 'utf9', 'is invalid encoding'),
  ])
  cases.push([
    // @ts-expect-error wrong on purpose
    thrown(() => fs.readFile('x', { signal: 1 }, () => {})),
    errors.argumentTypeError('options.signal', 'an instance of AbortSignal', 1),
  ])
  for (const [node, ours] of cases) {
    assert.deepEqual(shape(ours), shape(node))
    for (const Type of [TypeError, RangeError]) assert.equal(ours instanceof Type, node instanceof Type)
  }
})

test('checks accept what they should and refuse the rest with the code that fits', () => {
  validate.checkFd(0)
  validate.checkFd(0x7fffffff)
  validate.checkUint32('len', 0xffffffff)
  validate.checkUint64('offset', -1, true)
  validate.checkUint64('offset', 2n ** 64n - 1n)
  validate.checkPath('/tmp/ä')
  validate.checkObject('options', undefined)
  const refused: [string, () => void][] = [
    ['ERR_OUT_OF_RANGE', () => validate.checkFd(-1)],
    ['ERR_OUT_OF_RANGE', () => validate.checkFd(0x80000000)],
    ['ERR_INVALID_ARG_TYPE', () => validate.checkFd('1')],
    ['ERR_OUT_OF_RANGE', () => validate.checkUint32('len', 0x100000000)],
    ['ERR_OUT_OF_RANGE', () => validate.checkUint64('offset', -1)],
    ['ERR_OUT_OF_RANGE', () => validate.checkUint64('offset', 2n ** 64n)],
    ['ERR_OUT_OF_RANGE', () => validate.checkUint64('offset', 2 ** 53)],
    ['ERR_INVALID_ARG_TYPE', () => validate.checkUint64('offset', '0')],
    ['ERR_INVALID_ARG_VALUE', () => validate.checkPath('a\0')],
    ['ERR_INVALID_ARG_TYPE', () => validate.checkPath(1)],
    ['ERR_INVALID_ARG_TYPE', () => validate.checkObject('options', null)],
    ['ERR_INVALID_ARG_TYPE', () => validate.checkBoolean('flag', 1)],
    ['ERR_INVALID_ARG_TYPE', () => validate.checkFunction('callback', {})],
  ]
  for (const [code, call] of refused) assert.equal(thrown(call).code, code, String(call))
})

test('errors of the ring name cause and cure', () => {
  const made: [string, Code, RegExp][] = [
    ['ERR_RING_CLOSED', errors.ringClosedError('read'), /^Cannot read: the ring is closed$/],
    ['ERR_RING_WRONG_THREAD', errors.wrongThreadError(), /another thread; make one ring per thread$/],
    [
      'ERR_RING_UNAVAILABLE',
      errors.ringUnavailableError('io_uring is off', 'turn it on'),
      /^io_uring is off; turn it on$/,
    ],
    ['ERR_RING_FEATURE', errors.ringFeatureError('IORING_OP_PIPE', '6.16'), /IORING_OP_PIPE.*Linux 6\.16/],
    [
      'ERR_BUFFER_DETACHED',
      errors.bufferDetachedError(),
      /^Cannot use "buffer": its ArrayBuffer is detached/,
    ],
    ['ERR_BUFFER_RESIZABLE', errors.bufferResizableError('target'), /^Cannot use "target".*resizable/],
    ['ERR_INVALID_STATE', errors.stateError('it is too late'), /^Invalid state: it is too late$/],
  ]
  for (const [code, error, message] of made) {
    assert.equal(error.code, code)
    assert.match(error.message, message)
    assert.match(error.stack ?? '', new RegExp(`^(Type)?Error \\[${code}\\]: `))
    // The helper that made it is not part of the story.
    assert.doesNotMatch(error.stack?.split('\n')[1] ?? '', /sys\/error/)
  }
})

test("AbortError is Node's, with the signal's reason as cause", async () => {
  const controller = new AbortController()
  const reason = new Error('why not')
  controller.abort(reason)
  const { setTimeout: sleep } = await import('node:timers/promises')
  const node: Code = await sleep(1, null, { signal: controller.signal }).then(
    () => assert.fail('it was aborted'),
    (error: Code) => error,
  )
  const ours = errors.abortError(controller.signal)
  assert.deepEqual(
    [ours.name, ours.code, ours.message, ours.cause],
    [node.name, node.code, node.message, node.cause],
  )
  assert.equal(String(ours), String(node))
})
