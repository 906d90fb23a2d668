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
  for (const [wanted, options] of ways) {
    const { stdout, stderr, code } = await runNode(program(tempDir(t)), options)
    const extra = wanted === 'node' ? 'true true\n' : ''
    assert.equal(stdout, `${wanted} ${wanted} ${WORK}${extra}`, stderr)
    assert.equal(code, 0)
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
