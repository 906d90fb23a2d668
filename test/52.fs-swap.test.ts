// ringcore/fs in the place of node:fs/promises, used in ways that only a whole program has: methods without their handle, signals that
// are not quite ones, and the module put into node:fs itself.
// Flow: this → fs-both.ts → ringcore/fs, node:fs/promises.

import assert from 'node:assert/strict'
import node, { type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import { MessageChannel } from 'node:worker_threads'
import fs from 'ringcore/fs'
import { begin, came, same } from './fs-both.js'
import { oracle, runNode, tempDir } from './helpers.js'

const CALLS: Record<string, unknown[]> = {
  appendFile: ['text'],
  datasync: [],
  read: [Buffer.alloc(4), 0, 4, 0],
  readFile: [],
  readv: [[Buffer.alloc(4)], 0],
  stat: [],
  sync: [],
  truncate: [3],
  write: [Buffer.from('text'), 0, 4, 0],
  writeFile: ['text'],
  writev: [[Buffer.from('text')], 0],
}

test('methods that are called on something else: Node says why not, or serves a handle of its own', async (t) => {
  begin(t)
  const path = join(tempDir(t), 'file')
  const theirs = await node.open(path, 'w+')
  const ours = await fs.open(path, 'r+')
  t.after(() => Promise.all([theirs.close(), ours.close()]))
  const methodsOf = (handle: FileHandle): Record<string, (...args: unknown[]) => Promise<unknown>> =>
    Object.getPrototypeOf(handle)
  // One that only inherits from a handle, and one of Node's.
  const receivers = [
    () => ({}),
    () => undefined,
    () => 5,
    (own: FileHandle) => Object.create(own),
    (own: FileHandle) => own,
  ]
  for (const [name, args] of Object.entries(CALLS)) {
    for (const [index, receiver] of receivers.entries()) {
      const told: unknown[] = []
      for (const method of [methodsOf(theirs)[name]!, methodsOf(ours)[name]!]) {
        await node.writeFile(path, 'some text')
        const own = await node.open(path, 'r+')
        // Times are not the same for both.
        told.push(
          JSON.stringify(await came(method.apply(receiver(own), args))).replace(/"\w+Ms":[\d.]+/g, ''),
        )
        await own.close()
      }
      assert.deepEqual(told[1], told[0], `${name} on receiver ${index}`)
    }
  }
})

test('signals behind a Proxy, and with methods of their own', async (t) => {
  begin(t)
  await same(t, async (one, dir) => {
    const path = join(dir, 'file')
    const told: unknown[] = []
    const signals = {
      // The methods of a signal do not take a Proxy for one.
      proxy: (signal: AbortSignal) => new Proxy(signal, {}),
      deep: (signal: AbortSignal) =>
        new Proxy(signal, { get: (target, key) => (key === 'aborted' ? target.aborted : () => fail(key)) }),
      patched: (signal: AbortSignal) =>
        Object.defineProperty(signal, 'removeEventListener', { value: () => fail('removeEventListener') }),
    }
    for (const wrap of Object.values(signals)) {
      const options = () => ({ signal: wrap(new AbortController().signal) })
      told.push(await came(one.writeFile(path, 'text', options())))
      told.push(await came(one.readFile(path, options())))
      const handle = await one.open(path, 'r+')
      told.push(await came(handle.writeFile('text'.repeat(10_000), options())))
      const reader = await one.open(path)
      told.push(await came(reader.readFile({ ...options(), encoding: 'latin1' })))
      await Promise.all([handle.close(), reader.close()])
      const aborted = wrap(AbortSignal.abort())
      told.push(((await came(one.readFile(path, { signal: aborted }))) as Error).name)
    }
    return told
  })
})

function fail(what: unknown): never {
  throw new Error(`${String(what)} is not to be called`)
}

test('put into node:fs itself, it does not ask itself for what is Node’s', async (t) => {
  oracle(t)
  const script = `
    import { createRequire, syncBuiltinESMExports } from 'node:module'
    import nodeFs from 'node:fs'
    import { join } from 'node:path'
    import fs from 'ringcore/fs'
    Object.assign(createRequire(import.meta.url)('fs/promises'), fs)
    syncBuiltinESMExports()
    const { promises } = nodeFs
    if (promises.readFile !== fs.readFile) throw new Error('not swapped')
    const dir = ${JSON.stringify(tempDir(t))}
    await promises.mkdir(join(dir, 'a', 'b'), { recursive: true })
    const handle = await promises.open(join(dir, 'a', 'file'), undefined, '0o644')
      .catch(() => promises.open(join(dir, 'a', 'file'), 'w+'))
    await handle.writeFile('text')
    await handle.close()
    await promises.cp(join(dir, 'a'), join(dir, 'c'), { recursive: true })
    await promises.cp(join(dir, 'a', 'file'), join(dir, 'd'))
    await promises.cp(join(dir, 'a'), join(dir, 'e'), { recursive: true, dereference: true })
    const names = []
    for await (const { name } of fs.walk(dir)) names.push(name)
    console.log(names.sort().join(' '), await promises.readFile(new URL('file://' + join(dir, 'd')), { encoding: 'utf8' }))
    console.log(await promises.readFile('/not/there').catch(({ code }) => code), await promises.stat('', {}).catch(({ code }) => code))
    await promises.rm(join(dir, 'a'), { recursive: true })
  `
  const { stdout, stderr, code } = await runNode(script)
  assert.equal(stdout, 'a b b b c d e file file file text\nENOENT ENOENT\n', stderr)
  assert.equal(code, 0)
})

test('a handle that was sent through a port is Node’s own, and works', async (t) => {
  begin(t)
  const path = join(tempDir(t), 'file')
  await fs.writeFile(path, 'text')
  const handle = await fs.open(path)
  const { port1, port2 } = new MessageChannel()
  t.after(() => port1.close())
  const arrived = new Promise<FileHandle>((resolve) => port2.once('message', resolve))
  port1.postMessage(handle, [handle as unknown as ArrayBuffer])
  assert.equal(handle.fd, -1)
  const theirs = await arrived
  assert.equal(await theirs.readFile('utf8'), 'text')
  assert.equal(await fs.readFile(theirs, 'utf8'), '')
  await theirs.close()
  assert.equal(((await came(handle.readFile())) as NodeJS.ErrnoException).code, 'EBADF')
})

test('arguments that need explaining are refused as Node refuses them', async (t) => {
  begin(t)
  const proxy = <T extends object>(value: T): T => new Proxy(value, {})
  await same(t, async (one, dir) => {
    const told: unknown[] = []
    const tell = async (call: () => Promise<unknown>): Promise<void> => {
      const outcome = await came(call())
      const keys = await call().then(Object, Object.keys)
      told.push([outcome, keys])
    }
    const [file, tree, half] = [join(dir, 'file'), join(dir, 'tree'), join(dir, 'half \ud800')]
    await one.mkdir(join(tree, 'below'), { recursive: true })
    await one.writeFile(file, 'text')
    for (const name of ['recursive', 'force', 'maxRetries', 'retryDelay'])
      await tell(() => one.rm(tree, { recursive: true, [name]: undefined }))
    for (const name of ['recursive', 'force', 'dereference', 'preserveTimestamps', 'filter', 'mode'])
      await tell(() => one.cp(tree, join(tree, 'below', 'x'), { recursive: true, [name]: undefined }))
    await tell(() => one.cp(tree, file, { recursive: true }))
    await tell(() => one.stat(half))
    await tell(() => one.rename(file, join(half, 'x')))
    await tell(() => one.unlink(proxy(Buffer.from(file))))
    await tell(() => one.writeFile(file, proxy(Buffer.from('text'))))
    const handle = await one.open(file)
    await handle.close()
    await tell(() => one.readFile(handle))
    await tell(() => one.writeFile(handle, 'text'))
    await tell(() => one.appendFile(handle, 'text'))
    return told
  })
})
