// Where no ring can be made, everything works through node:fs, and `backend` says so.
// Flow: this → children under seccomp-run, limit-run, --permission → ringcore/fs.

import assert from 'node:assert/strict'
import { join } from 'node:path'
import test from 'node:test'
import fs, { backend } from 'ringcore/fs'

import { AS_INSTALLED, onlyNodes, oracle, type RunOptions, requires, runNode, tempDir } from './helpers.js'
import { compileTool } from './tools.js'

/** Uses a bit of everything and says what came out. */
const program = (dir: string): string => `
  import fs, { backend } from 'ringcore/fs'
  import node from 'node:fs/promises'
  const at = (name) => ${JSON.stringify(dir)} + '/' + name
  const failed = (error) => error.code
  await fs.mkdir(at('d/e'), { recursive: true })
  await fs.writeFile(at('a'), 'one')
  await fs.appendFile(at('a'), ' two')
  await fs.rename(at('a'), at('b'))
  await fs.link(at('b'), at('c'))
  await fs.symlink('c', at('l'))
  const handle = await fs.open(at('l'), 'r+')
  const { bytesRead, buffer } = await handle.read(Buffer.alloc(3), 0, 3, 4)
  await handle.truncate(3)
  await handle.sync()
  const { nlink, size } = await handle.stat()
  await handle.close()
  await fs.unlink(at('c'))
  await fs.rmdir(at('d/e'))
  console.log(fs.backend, backend, String(buffer), bytesRead, nlink, size, await fs.readFile(at('b'), 'utf8'))
  console.log(await fs.open(at('no')).catch(failed), await fs.stat(at('no')).catch(failed), (await fs.readdir(at('.'))).join())
  if (backend === 'node') console.log(fs.open === node.open, fs.rename === node.rename)
`
/** Batches and trees: what they give, refuse and tell. */
const batches = (dir: string): string => `
  const near = (name) => ${JSON.stringify(dir)} + '/batch/' + name
  const { createHash } = await import('node:crypto')
  const say = (...words) => console.log(words.map((word) => JSON.stringify(word)).join(' '))
  const told = ({ name, code, syscall, errno, path }) => ({ name, code, syscall, errno, path: path?.replace(${JSON.stringify(dir)}, '') })
  await fs.mkdir(near('src/sub'), { recursive: true })
  const sizes = Array.from({ length: 60 }, (_, i) => i === 30 ? 300000 : i * 97)
  const paths = sizes.map((_, i) => near('src/' + (i % 2 ? 'sub/' : '') + i))
  let last
  const onProgress = (progress) => { last = progress }
  say(await fs.writeFiles(sizes.map((size, i) => ({ path: paths[i], data: Buffer.alloc(size, i), mode: i ? undefined : 0o600 })), { onProgress }), last)
  say((await fs.writeFiles([{ path: paths[1], data: 'x' }, { path: near('no/x'), data: 'x' }, { path: paths[2], data: 5 }], { flag: 'wx', onError: 'collect' })).errors.map(({ error }) => told(error)))
  await fs.writeFiles([{ path: near('src/text'), data: 'one' }], { flush: true })
  await fs.writeFiles([{ path: near('src/text'), data: ' two', flag: 'a' }])
  const missing = [...paths.slice(0, 40), near('none'), near('src'), 'a\\0b', ...paths.slice(40)]
  for (const options of [{ concurrency: 3, maxBytes: 100000 }, { ordered: false }]) {
    const hash = {}
    const errors = []
    const order = []
    for await (const { path, data, error } of fs.readFiles(missing, { ...options, onError: 'collect', onProgress })) {
      order.push(missing.indexOf(path))
      if (error) errors.push(told(error))
      else hash[path.slice(near('').length)] = createHash('md5').update(data).digest('hex')
    }
    const inOrder = order.every((place, i) => place === i)
    say(options.ordered ?? inOrder, order.length, Object.keys(hash).sort().map((name) => name + hash[name]), errors.sort((a, b) => a.code < b.code ? -1 : 1), last)
  }
  const taken = []
  const failure = await (async () => { for await (const { path } of fs.readFiles(new Set(missing))) taken.push(path) })().catch(told)
  say(failure, taken.length)
  const control = new AbortController()
  const read = []
  say(await (async () => {
    for await (const { path } of fs.readFiles([...paths, paths[0]], { signal: control.signal, concurrency: 4 })) if (read.push(path) === 20) control.abort(new Error('why'))
  })().catch((error) => [error.name, error.code, error.cause?.message, read.length]))
  for await (const _ of fs.readFiles(paths)) break
  await fs.symlink('none', near('src/dangling'))
  for (const followSymlinks of [true, false]) {
    const all = []
    for await (const { path, stats, error } of fs.stats([paths[3], near('src/sub'), near('src/dangling'), '/dev/null'], { followSymlinks, onError: 'collect' })) {
      const own = !error && await fs[followSymlinks ? 'stat' : 'lstat'](path)
      all.push(error ? told(error) : [stats.mode, stats.nlink, stats.size, stats.rdev, Object.keys(stats), own.dev === stats.dev, own.ino === stats.ino, own.mtimeMs === stats.mtimeMs, own.birthtimeMs === stats.birthtimeMs, own.blocks === stats.blocks])
    }
    say(all)
  }
  const walked = async (dir, options) => {
    const names = []
    for await (const { path, depth, dirent, stats } of fs.walk(dir, options)) names.push([path.slice(dir.length), depth, dirent.isFile(), stats?.size])
    return names.sort((a, b) => a[0] < b[0] ? -1 : 1)
  }
  say(await walked(near('src'), { stats: true, filter: ({ dirent }) => !dirent.isDirectory() }))
  say(await walked(near('none')).catch(told))
  await fs.cp(near('src'), near('copy'), { recursive: true, verbatimSymlinks: true, onProgress, countFirst: true })
  say(last, await walked(near('copy')))
  say(await fs.cp(near('src'), near('part'), { recursive: true, onProgress, filter: (from) => !from.endsWith('sub') }), last, (await walked(near('part'))).length)
  say(await fs.cp(near('src/text'), near('text'), { onProgress, countFirst: true }), last)
  say(await fs.cp(near('none'), near('none2'), { recursive: true, onProgress }).catch(told))
  say(await fs.cp(near('src'), near('late'), { recursive: true, signal: AbortSignal.abort() }).catch((error) => error.name), await fs.stat(near('late')).catch((error) => error.code))
  say(await fs.rm(near('copy'), { onProgress }).catch(told), await fs.rm(near('none'), { onProgress }).catch(told), await fs.rm(near('none'), { force: true, onProgress }))
  say(await fs.rm(near('copy'), { recursive: true, signal: AbortSignal.abort() }).catch((error) => error.name))
  const half = new AbortController()
  say(await fs.rm(near('part'), { recursive: true, signal: half.signal, onProgress }), last)
  await fs.rm(near('copy'), { recursive: true, onProgress, countFirst: true })
  say(last, await fs.stat(near('copy')).catch((error) => error.code))
  for (const bad of [{ signal: 5 }, { onProgress: 5 }, { countFirst: 5, onProgress }])
    say(await fs.rm(near('src'), { recursive: true, ...bad }).catch(({ code }) => code), await fs.cp(near('src'), near('y'), { recursive: true, ...bad }).catch(({ code }) => code))
`
const WORK = 'two 3 2 3 one\nENOENT ENOENT b,d,l\n'

test('the program says the same with and without a ring', async (t) => {
  oracle(t)
  assert.equal(backend, fs.backend)
  const ways: [string, RunOptions][] = [
    ['io_uring', {}],
    ['node', { env: { RINGCORE_DISABLE: '1' } }],
  ]
  const refuse = compileTool('seccomp-run')
  if (typeof refuse === 'string') {
    ways.push(['node', { wrap: [refuse, 'ENOSYS', 'setup'] }])
    ways.push(['node', { wrap: [refuse, 'EPERM', 'setup,enter,register'] }])
  }
  let wantedOfBatches: string[] = []
  for (const [wanted, options] of ways) {
    const dir = tempDir(t)
    const { stdout, stderr, code } = await runNode(`${program(dir)}${batches(dir)}`, options)
    assert.equal(code, 0, stderr)
    const said = stdout.split('\n')
    const own = `${wanted} ${wanted} ${WORK}${wanted === 'node' ? 'true true\n' : ''}`
      .split('\n')
      .slice(0, -1)
    assert.deepEqual(said.slice(0, own.length), own, stderr)
    const ofBatches = said.slice(own.length)
    if (wanted === 'io_uring') wantedOfBatches = ofBatches
    else assert.deepEqual(ofBatches, wantedOfBatches)
    assert.equal(ofBatches.length, 23)
  }
})

test("on a runtime whose event loop is another, both doors are Node's own", async (t) => {
  oracle(t)
  for (const host of ['bun', 'deno']) {
    const script = `
      Object.defineProperty(process, 'versions', { value: { ...process.versions, ${host}: '1.0.0' } })
      const [fs, net, { Uring }] = await Promise.all(['fs', 'net', ''].map((door) => import(door ? 'ringcore/' + door : 'ringcore')))
      const nodes = await import('node:net')
      console.log(fs.backend, net.backend, net.createServer === nodes.createServer, await fs.default.readFile('/dev/null', 'utf8') === '')
      try { new Uring() } catch ({ code, message }) { console.log(code, message) }
    `
    const { stdout, stderr } = await runNode(script)
    const cure = `Cannot drive a ring from ${host}'s event loop; use Ring of ringcore/ring there, or run on Node`
    assert.equal(stdout, `node node true true\nERR_RING_UNAVAILABLE ${cure}\n`, stderr)
  }
})

test('under --permission nothing goes around it', async (t) => {
  oracle(t)
  if (!onlyNodes(t, '24.0')) return
  const dir = tempDir(t)
  const script = `
    import fs from 'ringcore/fs'
    console.log(fs.backend, await fs.writeFile(${JSON.stringify(join(dir, 'x'))}, 'x').catch((error) => error.code))
  `
  const nodeArgs = ['--permission', '--allow-addons', '--allow-fs-read=*']
  const { stdout, stderr } = await runNode(script, { nodeArgs })
  assert.equal(stdout, 'node ERR_ACCESS_DENIED\n', stderr)
})

test('without descriptors for a ring, calls fail as in Node or go its way, and the ring is made later', async (t) => {
  oracle(t)
  const limit = compileTool('limit-run')
  if (!requires(t, { tool: limit })) return
  const script = `
    import fs from 'ringcore/fs'
    import { openSync, closeSync } from 'node:fs'
    import { defaultRing } from 'ringcore'
    const fds = []
    for (;;) { try { fds.push(openSync('/dev/null')) } catch { break } }
    console.log(fs.backend, await fs.open('/dev/null').catch((error) => error.message))
    closeSync(fds.pop())
    console.log((await fs.stat('/dev/null')).isCharacterDevice())
    for (const fd of fds) closeSync(fd)
    const handles = []
    let failure
    while (failure === undefined) await fs.open('/dev/null').then((handle) => handles.push(handle), (error) => { failure = error })
    console.log(failure.message, handles.length > 10)
    await Promise.all(handles.map((handle) => handle.close()))
    console.log(await fs.readFile('/dev/null', 'utf8') === '', defaultRing().stats().cqes > 10)
  `
  const { stdout, stderr } = await runNode(script, { wrap: [limit as string, 'nofile=512'] })
  const full = "EMFILE: too many open files, open '/dev/null'"
  assert.equal(stdout, `io_uring ${full}\ntrue\n${full} true\ntrue true\n`, stderr)
})

test('the joined files keep the names that Node gives to functions and classes, and share the ring', async (t) => {
  oracle(t)
  const script = `
    import fs from 'ringcore/fs'
    import node from 'node:fs/promises'
    import { defaultRing } from 'ringcore'
    const names = Object.keys(node).filter((name) => typeof node[name] === 'function')
    console.log(names.filter((name) => fs[name].name !== node[name].name || fs[name].length !== node[name].length))
    const handle = await fs.open('/dev/null')
    const theirs = await node.open('/dev/null')
    const shape = (one) => [one.constructor, one.read, one.write, one.stat].map(({ name }) => name).join()
    console.log(shape(handle) === shape(theirs), defaultRing().stats().cqes > 0)
    await handle.close()
    await theirs.close()
  `
  const { stdout, stderr } = await runNode(script, { env: AS_INSTALLED })
  assert.equal(stdout, '[]\ntrue true\n', stderr)
})
