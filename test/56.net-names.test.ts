// Whatever the running Node's node:net has, ringcore/net has: names, methods, properties, and what bad arguments are answered with.
// Flow: this → node:net and ringcore/net, one beside the other.

import assert from 'node:assert/strict'
import nodeNet from 'node:net'
import test from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInThisContext } from 'node:vm'
import ringNet, * as door from 'ringcore/net'
import { oracle } from './helpers.js'
import { closeDefaultRing } from './net-ring.js'

/** Names with no counterpart, and why. */
const NOT_OURS: Readonly<Record<string, string>> = {
  _createServerHandle: 'gives out a handle of libuv',
  _setSimultaneousAccepts: 'of Windows',
  _TransferredBoundSocket:
    'part of how Node sends a BoundSocket to another thread; BoundSocket itself is Node’s here',
}

const has = (object: object, name: string): boolean => name in object

function missing(object: object, names: readonly string[]): string[] {
  return names.filter((name) => !has(object, name) && !Object.hasOwn(NOT_OURS, name))
}

test('every name of node:net is there', (t) => {
  oracle(t)
  assert.equal(ringNet.backend, 'ring')
  assert.deepEqual(
    missing({}, ['connect', '_createServerHandle']),
    ['connect'],
    'the check finds what is missing',
  )
  const own = [
    'Socket',
    'Server',
    'Stream',
    'connect',
    'createConnection',
    'createServer',
    '_normalizeArgs',
  ] as const
  for (const name of own) {
    const ours: unknown = Reflect.get(ringNet, name)
    assert.notEqual(ours, Reflect.get(nodeNet, name), `${name} is the ring's`)
  }
  assert.deepEqual(missing(ringNet, Object.keys(nodeNet)), [])
  const named = Object.keys(nodeNet).filter((name) => !name.startsWith('_'))
  assert.deepEqual(missing(door, named), [], 'named exports')
})

test('every method and property of Socket and Server is there', (t) => {
  oracle(t)
  closeDefaultRing(t)
  for (const name of ['Socket', 'Server'] as const) {
    const theirs = nodeNet[name].prototype
    const ours = ringNet[name].prototype
    assert.deepEqual(missing(ours, Object.getOwnPropertyNames(theirs)), [], `${name}.prototype`)
    const symbols = [Symbol.asyncDispose, Symbol.for('nodejs.rejection')].filter((symbol) => symbol in theirs)
    assert.deepEqual(
      symbols.filter((symbol) => !(symbol in ours)),
      [],
      `symbols of ${name}.prototype`,
    )
    for (const key of Object.getOwnPropertyNames(theirs)) {
      const their = Object.getOwnPropertyDescriptor(theirs, key)!
      let at: object | null = ours
      while (at !== null && !Object.hasOwn(at, key)) at = Object.getPrototypeOf(at)
      if (at === null) continue
      const our = Object.getOwnPropertyDescriptor(at, key)!
      assert.equal(
        typeof our.value === 'function',
        typeof their.value === 'function',
        `${name}.prototype.${key}`,
      )
    }
  }
  const instances: [string, object, object][] = [
    ['Socket', new nodeNet.Socket(), new ringNet.Socket()],
    ['Server', nodeNet.createServer(), ringNet.createServer()],
  ]
  for (const [name, theirs, ours] of instances) {
    assert.deepEqual(missing(ours, Object.keys(theirs)), [], `a fresh ${name}`)
    for (const key of Object.keys(theirs)) {
      const [their, our]: [unknown, unknown] = [Reflect.get(theirs, key), Reflect.get(ours, key)]
      if (their === null || typeof their !== 'object') assert.equal(our, their, `${key} of a fresh ${name}`)
    }
  }
})

test('all sockets have one hidden class, all servers too: else each access to one is slow', (t) => {
  oracle(t)
  setFlagsFromString('--allow-natives-syntax')
  const same = runInThisContext('(a, b) => %HaveSameMap(a, b)') as (a: object, b: object) => boolean
  same({}, {}) // Compiles it.
  setFlagsFromString('--no-allow-natives-syntax')
  for (const { Socket, Server } of [nodeNet, ringNet]) {
    // The first ones still teach the engine what the fields hold.
    const sockets = Array.from({ length: 20 }, () => new Socket()).slice(-2)
    const servers = Array.from({ length: 20 }, () => new Server()).slice(-2)
    assert.ok(same(sockets[0]!, sockets[1]!), 'sockets')
    assert.ok(same(servers[0]!, servers[1]!), 'servers')
  }
})

test('classes may be called without new, extended, and mixed into old-style ones', async (t) => {
  oracle(t)
  closeDefaultRing(t)
  const { Socket, Server } = ringNet
  const call = (Class: unknown, ...args: unknown[]): unknown =>
    Reflect.apply(Class as () => unknown, undefined, args)
  assert.ok(call(Socket, { allowHalfOpen: true }) instanceof Socket)
  assert.ok(call(Server) instanceof Server)
  assert.equal(new Socket().constructor, Socket)
  class Own extends Socket {
    readonly mark = 1
  }
  assert.ok(new Own() instanceof Socket)
  assert.equal(new Own({ allowHalfOpen: true }).allowHalfOpen, true)
  function Old(this: object): void {
    Reflect.apply(Socket as unknown as () => void, this, [{ allowHalfOpen: true }])
  }
  Object.setPrototypeOf(Old.prototype, Socket.prototype)
  const old = new (Old as unknown as new () => InstanceType<typeof Socket>)()
  assert.ok(old instanceof Socket)
  assert.equal(old.readyState, new nodeNet.Socket().readyState)
  assert.equal(old.pending, true)
  assert.equal(old.allowHalfOpen, true)
  old.destroy()
})

type Net = typeof nodeNet
const later = (): void => {}
const BlockedBy = (net: Net): InstanceType<Net['BlockList']> => new net.BlockList()

/** Calls that both must answer alike: by the error's class, code and message, or by none. */
const CALLS: readonly ((net: Net) => unknown)[] = [
  (net) => net.connect({} as never),
  (net) => net.connect({ port: 70000 }),
  (net) => net.connect({ port: true } as never),
  (net) => net.connect({ port: '' } as never),
  (net) => net.connect({ port: '0x51z' } as never),
  (net) => net.connect(-1 as never),
  (net) => net.connect({ port: 1, localAddress: 'x' }),
  (net) => net.connect({ port: 1, localPort: 'x' } as never),

  (net) => net.connect({ port: 1, lookup: 1, host: 'x' } as never),
  (net) => net.connect({ path: 1 } as never),
  (net) => net.connect({ port: 1, autoSelectFamily: 1 } as never),
  (net) => net.connect({ port: 1, host: 'x', lookup: later, autoSelectFamilyAttemptTimeout: 0 } as never),
  (net) => new net.Socket({ objectMode: true } as never),
  (net) => new net.Socket({ readableObjectMode: true } as never),
  (net) => new net.Socket({ writableObjectMode: true } as never),
  (net) => new net.Socket({ fd: -1 }),
  (net) => new net.Socket({ fd: 2 ** 31 }),
  (net) => new net.Socket({ fd: 9999 }),
  (net) => new net.Socket({ fd: 'a' } as never),
  (net) => new net.Socket({ signal: 1 } as never),
  (net) => new net.Socket({ keepAliveInitialDelay: 'x' } as never),
  (net) => new net.Socket().setTimeout('x' as never),
  (net) => new net.Socket().setTimeout(-1),
  (net) => new net.Socket().setTimeout(Number.NaN),
  (net) => new net.Socket().setTimeout(0, 2 as never),
  (net) => net.createServer(1 as never),
  (net) => net.createServer('x' as never),
  (net) => net.createServer({ keepAliveInitialDelay: 'x' } as never),
  (net) => net.createServer({ highWaterMark: 'x' } as never),
  (net) => net.createServer().listen({ port: 70000 }),
  (net) => net.createServer().listen({ port: -1 }),
  (net) => net.createServer().listen({}),
  (net) => net.createServer().listen({ path: '\0ringcore', readableAll: true }),
  (net) => net.createServer().listen(true as never),
  (net) => net.createServer().listen({ port: 0, signal: 1 } as never),
  (net) => net.setDefaultAutoSelectFamily(1 as never),
  (net) => net.setDefaultAutoSelectFamilyAttemptTimeout(0),
  (net) => net.createServer().address(),
  (net) => new net.Socket().address(),
  (net) => new net.Socket().bytesWritten,
  (net) => new net.Socket().bufferSize,
  (net) => new net.Socket().setNoDelay().setKeepAlive(true, 1000).ref().unref().pending,
  (net) => [net.isIP('::1'), net.isIPv4('1.2.3.4'), net.isIPv6('x')],
  (net) => BlockedBy(net).rules,
  (net) => net.createServer({ blockList: BlockedBy(net) } as never).listening,
]

/** Calls whose answer is this Node's only since a version of Node's. */
const NEW_CALLS: readonly ((net: Net) => unknown)[] = [
  (net) => net.connect({ port: 1, host: 1 } as never),
  (net) => net.connect({ port: 1, host: 'a\0b' }),
  (net) => new net.Socket({ blockList: 1 } as never),
  (net) => net.createServer({ blockList: 1 } as never),
  (net) => new net.Socket({ typeOfService: 300 } as never),
  (net) => (new net.Socket() as never as { setTypeOfService(tos: number): void }).setTypeOfService(300),
  (net) =>
    (new net.Socket() as never as { setTypeOfService(tos: number): void }).setTypeOfService(Number.NaN),
  (net) => (new net.Socket() as never as { getTypeOfService(): number }).getTypeOfService(),
]

function answer(net: Net, call: (net: Net) => unknown): unknown {
  try {
    const value = call(net)
    if (value instanceof net.Socket) value.on('error', later).destroy()
    return typeof value === 'object' && value !== null && 'on' in value ? 'an emitter' : value
  } catch (error) {
    const { name, code, message } = error as NodeJS.ErrnoException
    return { name, code, message }
  }
}

test('arguments are checked as Node checks them', async (t) => {
  oracle(t)
  closeDefaultRing(t)
  const isNew = 'getTypeOfService' in nodeNet.Socket.prototype
  for (const call of [...CALLS, ...(isNew ? NEW_CALLS : [])]) {
    assert.deepEqual(answer(ringNet, call), answer(nodeNet, call), String(call))
  }
})
