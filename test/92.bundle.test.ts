// The package as it is installed: each door's joined files offer what its modules offer, share what they must, and load the addon.
// Flow: this → dist/bundle/*.js, in processes of their own without the condition that tests run with.

import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'

import { AS_INSTALLED, oracle, root, runNode } from './helpers.js'

const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  exports: Record<string, { modules: string; default: string } | string>
  bin: Record<string, string>
}

/**
 * What takes long to load and not every program needs; node:net's door joins TLS to it, and so has its modules. (Node itself loads
 * `net` for a pipe as standard output.)
 */
const LATE = ['zlib', 'cluster', 'child_process', 'http']
const LATE_BUT_FOR_NET = [...LATE, 'crypto', 'tls', 'dns']

for (const [door, target] of Object.entries(manifest.exports)) {
  if (typeof target === 'string') continue
  const name = `ringcore${door.slice(1)}`
  test(`${name}: the joined files have the names of the modules, and nothing else runs`, async (t) => {
    oracle(t)
    const modules = Object.keys((await import(join(root, target.modules))) as object).sort()
    const script = `
      const before = new Set(process.moduleLoadList)
      const names = Object.keys(await import('${name}')).sort()
      const loaded = process.moduleLoadList.filter((one) => !before.has(one)).map((one) => one.replace('NativeModule ', ''))
      console.log(JSON.stringify([names, import.meta.resolve('${name}'), loaded]))
    `
    const { stdout, stderr } = await runNode(script, { env: AS_INSTALLED })
    assert.equal(stderr, '')
    const [joined, file, loaded] = JSON.parse(stdout) as [string[], string, string[]]
    assert.deepEqual(joined, modules)
    assert.ok(file.endsWith(target.default.slice(1)), file)
    const late = door === './net' ? LATE : LATE_BUT_FOR_NET
    assert.deepEqual(
      loaded.filter((one) => late.includes(one)),
      [],
    )
  })
}

test('two doors share one ring, one driver and one class of errors', async (t) => {
  oracle(t)
  const script = `
    import { Uring, UringError } from 'ringcore'
    import { prepNop, Ring } from 'ringcore/ring'
    import * as sys from 'ringcore/sys'
    const uring = new Uring()
    console.log(uring.ring instanceof Ring, await uring.nop())
    await uring.close()
    const ring = new Ring({ entries: 4 })
    prepNop(ring.getSqe())
    console.log(ring.submitAndWait(1), ring.fd >= 0)
    ring.close({ cancel: true })
    try { new Ring({ entries: 4, flags: 1 << 30 }) } catch (error) { console.log(error instanceof UringError || error.code) }
    console.log(sys.io_uring_setup(0, new Uint8Array(120)))
  `
  const { stdout, stderr } = await runNode(script, { env: AS_INSTALLED })
  assert.equal(stderr, '')
  assert.match(stdout, /^true 0\n1 true\n(?:true|ERR_\w+|E\w+)\n-\d+\n$/)
})

test('source maps lead back to the sources, and no file is left from an earlier build', async (t) => {
  oracle(t)
  const files = readdirSync(join(root, 'dist', 'bundle')).filter((file) => file.endsWith('.js'))
  const reached = new Set(Object.values(manifest.bin).map((file) => file.split('/').at(-1)!))
  for (const target of Object.values(manifest.exports)) {
    if (typeof target !== 'string') reached.add(target.default.split('/').at(-1)!)
  }
  for (const file of reached) {
    const text = readFileSync(join(root, 'dist', 'bundle', file), 'utf8')
    for (const [, next] of text.matchAll(/["']\.\/([\w-]+\.js)["']/g)) reached.add(next!)
    assert.match(text, new RegExp(`sourceMappingURL=${file}\\.map`))
    const map = JSON.parse(readFileSync(join(root, 'dist', 'bundle', `${file}.map`), 'utf8')) as {
      sources: string[]
    }
    for (const source of map.sources)
      assert.match(source, /^\.\.\/\.\.\/src\/.*\.ts$|^\.\.\/(?!bundle)/, source)
  }
  assert.deepEqual(files.filter((file) => !reached.has(file)).sort(), [])
})
