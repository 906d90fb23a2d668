// Everything that this Node's fs promises and FileHandle have, ringcore/fs has too, under the same name and with the same shape.
// Flow: this → ringcore/fs, node:fs/promises, docs/fs.md.

import assert from 'node:assert/strict'
import { readFileSync, Stats, statSync } from 'node:fs'
import node, { type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import fs, * as names from 'ringcore/fs'
import { findInternals } from '#src/fs/file-handle-internals.js'
import { begin } from './fs-both.js'
import { onlyNodes, oracle, root, runNode, tempDir } from './helpers.js'

/** What has an opcode, and what only we have. */
const ON_RING = [
  'appendFile',
  'link',
  'lstat',
  'mkdir',
  'open',
  'readFile',
  'rename',
  'rmdir',
  'stat',
  'symlink',
]
const ON_RING_TOO = ['cp', 'rm', 'truncate', 'unlink', 'writeFile']
const EXTRAS = ['AppendLog', 'DirectFile', 'backend', 'readFiles', 'stats', 'walk', 'writeFiles']
const HANDLE_ON_RING = ['appendFile', 'datasync', 'read', 'readFile', 'readv', 'stat', 'sync', 'truncate']
const HANDLE_ON_RING_TOO = ['write', 'writeFile', 'writev']

test('every function of node:fs/promises is there, by both ways of importing it', (t) => {
  oracle(t)
  const [theirs, ours] = [node, fs].map((one) => one as unknown as Record<string, unknown>)
  for (const name of Object.keys(theirs!)) {
    assert.equal(typeof ours![name], typeof theirs![name], name)
    assert.equal((names as unknown as Record<string, unknown>)[name], ours![name], `import { ${name} }`)
    if (typeof theirs![name] !== 'function') continue
    const [own, wanted] = [ours![name] as () => void, theirs![name] as () => void]
    assert.deepEqual([own.name, own.length], [wanted.name, wanted.length], name)
  }
  assert.deepEqual(
    Object.keys(fs).filter((name) => !(name in node)),
    EXTRAS,
  )
  assert.equal(fs.constants, node.constants)
  const own = Object.keys(node).filter((name) => ours![name] !== theirs![name])
  assert.deepEqual(own.sort(), [...ON_RING, ...ON_RING_TOO].sort(), 'what goes down the ring')
})

/** Every property of a FileHandle and of its class. */
function shapeOf(handle: FileHandle, prototype: object): Map<PropertyKey, string> {
  const shape = new Map<PropertyKey, string>()
  for (const key of Reflect.ownKeys(prototype)) {
    const { get, value } = Object.getOwnPropertyDescriptor(prototype, key)!
    const form = typeof value === 'function' && key !== 'constructor' ? `${value.name} ${value.length}` : ''
    shape.set(key, `${get === undefined ? typeof value : 'get'} ${form}`)
  }
  for (const key of Reflect.ownKeys(handle)) shape.set(key, 'own')
  return shape
}

test('a FileHandle is one of Node, with every method it has', async (t) => {
  begin(t)
  const theirs = await node.open('/dev/null')
  const ours = await fs.open('/dev/null')
  t.after(() => Promise.all([theirs.close(), ours.close()]))
  const Theirs = theirs.constructor
  assert.ok(ours instanceof Theirs)
  assert.equal(ours.constructor.name, Theirs.name)
  assert.equal(Object.prototype.toString.call(ours), Object.prototype.toString.call(theirs))
  const wanted = shapeOf(theirs, Theirs.prototype)
  const found = shapeOf(ours, Theirs.prototype)
  assert.deepEqual(found, wanted)
  const own = shapeOf(ours, Object.getPrototypeOf(ours))
  for (const [key, shape] of own) assert.equal(shape, wanted.get(key), String(key))
  const methods = [...own.keys()].filter((key) => !Object.hasOwn(ours, key) && key !== 'constructor')
  assert.deepEqual(
    methods.sort(),
    [...HANDLE_ON_RING, ...HANDLE_ON_RING_TOO].sort(),
    'what goes down the ring',
  )
})

test('a handle that is kept differently is not touched', async (t) => {
  oracle(t)
  const handle = await node.open('/dev/null')
  t.after(() => handle.close())
  assert.notEqual(findInternals(handle), null)
  assert.equal(findInternals({}), null)
  const [kRefs] = Object.getOwnPropertySymbols(handle).filter(({ description }) => description === 'kRefs')
  assert.equal(findInternals(Object.create(handle)), null)
  const copy = Object.defineProperties(
    Object.create(Object.getPrototypeOf(handle)),
    Object.getOwnPropertyDescriptors(handle),
  )
  assert.notEqual(findInternals(copy), null)
  copy[kRefs!] = 'counted differently'
  assert.equal(findInternals(copy), null)
})

test('Stats and Dirents are of Node, field by field', async (t) => {
  begin(t)
  const dir = tempDir(t)
  const path = join(dir, 'file')
  await fs.writeFile(path, 'text')
  await fs.utimes(path, -1.5, 1e9 + 0.123456)
  await fs.symlink('file', join(dir, 'link'))
  for (const at of [
    path,
    dir,
    '/dev/null',
    '/proc/self/stat',
    '/proc/version',
    '/dev/pts',
    '/sys',
    join(dir, 'link'),
  ]) {
    for (const bigint of [false, true]) {
      for (const name of ['stat', 'lstat'] as const) {
        const [theirs, ours] = [(await node[name](at, { bigint }))!, (await fs[name](at, { bigint }))!]
        // /proc makes its times up when asked.
        const times = at.startsWith('/proc') ? /(Ms|Ns)$|time|Instant|partial/i : /^$/
        assert.equal(Object.getPrototypeOf(ours), Object.getPrototypeOf(theirs))
        const fields = (stats: object): unknown[] =>
          Reflect.ownKeys(stats)
            .filter((key) => !times.test(String(key)))
            .map((key) => [String(key), (stats as Record<PropertyKey, unknown>)[key]])
        assert.deepEqual(fields(ours), fields(theirs), `${name} ${at}`)
        if (!at.startsWith('/proc')) assert.deepEqual(ours.mtime, theirs.mtime)
      }
    }
  }
  assert.ok((await fs.stat(path)) instanceof Stats)
  const handle = await fs.open(path)
  t.after(() => handle.close())
  assert.deepEqual({ ...(await handle.stat()) }, { ...statSync(path) })
  assert.deepEqual({ ...(await handle.stat({ bigint: true })) }, { ...statSync(path, { bigint: true }) })
})

test('pull, pullSync and writer work where Node has them', async (t) => {
  oracle(t)
  if (!onlyNodes(t, '26.0')) return
  const script = `
    import fs from 'ringcore/fs'
    const path = ${JSON.stringify(join(tempDir(t), 'file'))}
    const out = await fs.open(path, 'w+')
    const writer = out.writer()
    await writer.write('one ')
    await writer.writev(['two ', 'three'])
    console.log(await writer.end())
    const chunks = []
    for await (const batch of out.pull({ start: 0 })) chunks.push(...batch)
    console.log(String(Buffer.concat(chunks)))
    for (const batch of out.pullSync({ start: 4 })) console.log(String(Buffer.concat(batch)))
    await out.close()
  `
  const { stdout, stderr, code } = await runNode(script, { nodeArgs: ['--experimental-stream-iter'] })
  assert.equal(stdout, '13\none two three\ntwo three\n', stderr)
  assert.equal(code, 0)
})

test('docs/fs.md says for every function and method which way it goes', (t) => {
  oracle(t)
  const page = readFileSync(join(root, 'docs', 'fs.md'), 'utf8')
  const missing = (list: readonly string[], form: (name: string) => string): string[] =>
    list.filter((name) => !page.includes(form(name)))
  const functions = [...ON_RING, ...ON_RING_TOO, ...EXTRAS, ...Object.keys(node)]
  assert.deepEqual(
    missing(functions, (name) => `\`${name}\``),
    [],
  )
  const methods = [...HANDLE_ON_RING, ...HANDLE_ON_RING_TOO, 'chmod', 'chown', 'utimes', 'close', 'readLines']
  const streams = ['readableWebStream', 'createReadStream', 'createWriteStream', 'pull', 'pullSync', 'writer']
  assert.deepEqual(
    missing([...methods, ...streams], (name) => `\`handle.${name}\``),
    [],
  )
})
