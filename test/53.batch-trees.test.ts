// cp and rm: the same trees, results and errors as fs.promises.cp and rm, on trees made at random; and what attackers try.
// Flow: this → ringcore (cp, rm) → kernel.

import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { cp as nodeCp, rm as nodeRm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join, relative } from 'node:path'
import test, { type TestContext } from 'node:test'
import { type CpOptions, cp, type Progress, rm, type Uring } from 'ringcore'
import { numbers } from '../bench/tools.js'
import { countFds, oracle, requires, runNode, tempDir, useRing } from './helpers.js'

/** A tree of files of all sizes, directories, links; names in several encodings. */
function makeTree(dir: string, seed: number, entries = 30, anyBytes = false): void {
  const random = numbers(seed)
  const below = (n: number): number => Math.floor(random.next().value * n)
  mkdirSync(dir, { recursive: true })
  const dirs = [dir]
  for (let i = 0; i < entries; i++) {
    const parent = dirs[below(dirs.length)]!
    const name = Buffer.concat([
      Buffer.from(`${parent}/${['f', 'ä', 'x y', '日'][below(4)]}${i}`),
      Buffer.from(anyBytes && below(10) === 0 ? [0xff, 0xe4] : []),
    ])
    const kind = below(10)
    if (kind < 2) {
      mkdirSync(name.toString())
      chmodSync(name.toString(), [0o755, 0o700, 0o775][below(3)]!)
      dirs.push(name.toString())
    } else if (kind < 3) symlinkSync(['f0', '../x', '/nowhere', 'f1'][below(4)]!, name)
    else {
      writeFileSync(name, Buffer.alloc([0, 1, 4096, 65_536, 65_537, 100_000][below(6)]!, i))
      chmodSync(name, [0o644, 0o600, 0o755, 0o666, 0o444][below(5)]!)
      utimesSync(name, 1e9 + i, 1e9 + i * 2)
    }
  }
}

/** All that a tree is, one line a name. */
function lines(dir: string, times: boolean, path = Buffer.from(dir)): string[] {
  const stats = lstatSync(path)
  const name = `${relative(dir, path.toString('latin1'))} ${(stats.mode & 0o177777).toString(8)}`
  const time = times && stats.isFile() ? ` ${Math.round(stats.mtimeMs)}` : ''
  if (stats.isSymbolicLink()) return [`${name} → ${readlinkSync(path)}`]
  if (!stats.isDirectory())
    return [`${name}${time} ${readFileSync(path).toString('base64').slice(0, 64)} bytes ${stats.size}`]
  const names = readdirSync(path, 'buffer').sort(Buffer.compare)
  return [
    `${name}${time}`,
    ...names.flatMap((entry) => lines(dir, times, Buffer.concat([path, Buffer.from('/'), entry]))),
  ]
}

/** Older Nodes let some of what is there pass with `errorOnExist`; we are as Node 26 on all of them. */
const IS_26 = Number.parseInt(process.versions.node, 10) >= 26

type Ended = { code?: string; syscall?: string; message?: string; path?: string; name?: string } | 'done'

async function ended(promise: Promise<unknown>, dir: string): Promise<Ended> {
  try {
    await promise
    return 'done'
  } catch (error) {
    const { code, syscall, message, path, name } = error as NodeJS.ErrnoException
    const plain = (text: string | undefined): string => String(text).replaceAll(dir, '')
    return { code: code!, syscall: syscall!, name: name!, message: plain(message), path: plain(path) }
  }
}

/** Runs both ways in directories of their own, and compares errors and trees. */
async function same(
  t: TestContext,
  ring: Uring,
  prepare: (dir: string) => void,
  options: CpOptions,
  what: string,
): Promise<void> {
  const [ours, theirs] = [tempDir(t), tempDir(t)]
  for (const dir of [ours, theirs]) prepare(dir)
  const own = await ended(cp(join(ours, 'src'), join(ours, 'a/b/dest'), { ...options, ring }), ours)
  const node = await ended(nodeCp(join(theirs, 'src'), join(theirs, 'a/b/dest'), options), theirs)
  // Which of several names fails first is a matter of order.
  const kind = (end: Ended): unknown => (end === 'done' ? end : [end.code, end.syscall, end.name])
  assert.deepEqual(kind(own), kind(node), what)
  if (!what.includes('seed')) assert.deepEqual(own, node, what)
  if (own !== 'done') return
  const plain = (dir: string): string[] =>
    lines(dir, options.preserveTimestamps === true, Buffer.from(join(dir, 'a/b/dest'))).map((line) =>
      line.replaceAll(dir, ''),
    )
  if (existsSync(join(theirs, 'a/b/dest'))) assert.deepEqual(plain(ours), plain(theirs), what)
  assert.equal(existsSync(join(ours, 'a/b/dest')), existsSync(join(theirs, 'a/b/dest')), what)
}

const VARIANTS: Readonly<Record<string, CpOptions>> = {
  plain: {},
  verbatim: { verbatimSymlinks: true },
  times: { preserveTimestamps: true },
  'clone if possible': { mode: 2 },
  filter: { filter: (source) => !/[27]$/.test(source) },
  'slow filter': { filter: async (source) => !/[38]$/.test(source) },
}

test('cp: trees at random, with all options, into a new and into a filled place', async (t) => {
  oracle(t)
  const ring = useRing(t)
  let seed = 1
  for (const [name, options] of Object.entries(VARIANTS)) {
    for (const filled of [false, true]) {
      for (const how of [{}, { force: false }, { force: false, errorOnExist: true }]) {
        if ('force' in how && (!filled || name !== 'plain')) continue
        if ('errorOnExist' in how && !IS_26) continue
        seed++
        const prepare = (dir: string): void => {
          makeTree(join(dir, 'src'), seed)
          if (!filled) return
          mkdirSync(join(dir, 'a/b'), { recursive: true })
          cpSync(join(dir, 'src'), join(dir, 'a/b/dest'), {
            recursive: true,
            preserveTimestamps: true,
            filter: (source) => !/[1469]$/.test(source),
          })
        }
        const what = `${name}, ${filled ? 'filled' : 'new'}, ${JSON.stringify(how)}, seed ${seed}`
        await same(t, ring, prepare, { recursive: true, ...options, ...how }, what)
      }
    }
  }
})

/** Single names, and what is refused: what, how it is prepared, with which options. */
const NAMES: [string, (dir: string) => void, CpOptions][] = [
  ['a file', (dir) => writeFileSync(join(dir, 'src'), 'x'), {}],
  ['nothing', () => {}, { recursive: true }],
  ['a directory, not recursive', (dir) => mkdirSync(join(dir, 'src')), {}],
  ['a link', (dir) => symlinkSync('x', join(dir, 'src')), { recursive: true }],
  [
    'a directory onto a file',
    (dir) => {
      mkdirSync(join(dir, 'src'))
      mkdirSync(join(dir, 'a/b'), { recursive: true })
      writeFileSync(join(dir, 'a/b/dest'), '')
    },
    { recursive: true },
  ],
  [
    'a file onto a directory, within',
    (dir) => {
      mkdirSync(join(dir, 'src'))
      mkdirSync(join(dir, 'a/b/dest/x'), { recursive: true })
      writeFileSync(join(dir, 'src/x'), '')
    },
    { recursive: true },
  ],
  [
    'a directory onto a file, within',
    (dir) => {
      mkdirSync(join(dir, 'src/x'), { recursive: true })
      mkdirSync(join(dir, 'a/b/dest'), { recursive: true })
      writeFileSync(join(dir, 'a/b/dest/x'), '')
    },
    { recursive: true },
  ],
  [
    'the target is there',
    (dir) => {
      mkdirSync(join(dir, 'src'))
      mkdirSync(join(dir, 'a/b/dest'), { recursive: true })
    },
    { recursive: true, force: false, errorOnExist: true },
  ],
  [
    'a FIFO within',
    (dir) => {
      mkdirSync(join(dir, 'src'))
      execFileSync('mkfifo', [join(dir, 'src/fifo')])
    },
    { recursive: true },
  ],
  ['dereference', (dir) => makeLinked(dir), { recursive: true, dereference: true }],
  ['filtered away', (dir) => makeTree(join(dir, 'src'), 1), { recursive: true, filter: () => false }],
]

test('cp: single names, and what is refused', async (t) => {
  oracle(t)
  const ring = useRing(t)
  for (const [what, prepare, options] of NAMES)
    if (IS_26 || options.errorOnExist !== true) await same(t, ring, prepare, options, what)
  const dir = tempDir(t)
  makeTree(join(dir, 'src'), 5)
  for (const [from, to] of [
    ['src', 'src'],
    ['src', 'src/below/it'],
  ] as const) {
    const own = await ended(cp(join(dir, from), join(dir, to), { recursive: true, ring }), '')
    assert.deepEqual(own, await ended(nodeCp(join(dir, from), join(dir, to), { recursive: true }), ''))
    assert.equal((own as { code: string }).code, 'ERR_FS_CP_EINVAL')
  }
  for (const bad of [
    { recursive: 1 },
    { mode: 9 },
    { filter: 3 },
    { dereference: true, verbatimSymlinks: true },
    5,
  ]) {
    const own = await ended(cp('a', 'b', bad as unknown as CpOptions), '')
    assert.deepEqual(own, await ended(nodeCp('a', 'b', bad as unknown as CpOptions), ''))
  }
})

function makeLinked(dir: string): void {
  mkdirSync(join(dir, 'src/d'), { recursive: true })
  writeFileSync(join(dir, 'src/d/f'), 'x')
  symlinkSync('d', join(dir, 'src/link'))
}

test('cp: names in any encoding, and no descriptor is left open', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const dir = tempDir(t)
  makeTree(join(dir, 'src'), 77, 150, true)
  await cp(join(dir, 'src'), join(dir, 'dest'), { recursive: true, verbatimSymlinks: true, ring })
  const plain = (which: string): string[] => lines(join(dir, which), false)
  assert.deepEqual(plain('dest'), plain('src'))
  const before = countFds().all
  await rm(join(dir, 'dest'), { recursive: true, ring })
  assert.equal(countFds().all, before)
})

test('cp: a source that changes meanwhile gives old or new bytes, never others', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const dir = tempDir(t)
  mkdirSync(join(dir, 'src'))
  for (let i = 0; i < 100; i++) writeFileSync(join(dir, `src/f${i}`), Buffer.alloc(5000, 'a'))
  let on = true
  const change = async (): Promise<void> => {
    for (let i = 0; on; i++) {
      writeFileSync(join(dir, `src/f${i % 100}`), Buffer.alloc(i % 2 === 0 ? 100 : 9000, 'b'))
      await new Promise(setImmediate)
    }
  }
  const changing = change()
  for (let round = 0; round < 5; round++) {
    await cp(join(dir, 'src'), join(dir, `dest${round}`), { recursive: true, ring })
    for (const name of readdirSync(join(dir, `dest${round}`)))
      assert.match(readFileSync(join(dir, `dest${round}`, name), 'latin1'), /^[ab]*$/)
  }
  on = false
  await changing
})

test('cp: directories keep their times too, set when all in them is made', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const dir = tempDir(t)
  mkdirSync(join(dir, 'src/d/e'), { recursive: true })
  writeFileSync(join(dir, 'src/d/f'), 'x')
  for (const name of ['src/d/e', 'src/d/f', 'src/d', 'src']) utimesSync(join(dir, name), 1000, 1000.5)
  chmodSync(join(dir, 'src/d'), 0o500)
  await cp(join(dir, 'src'), join(dir, 'dest'), { recursive: true, preserveTimestamps: true, ring })
  for (const name of ['d/e', 'd/f', 'd', ''])
    assert.equal(lstatSync(join(dir, 'dest', name)).mtimeMs, 1_000_500, name)
  assert.equal(lstatSync(join(dir, 'dest/d')).mode & 0o777, 0o500)
})

test('cp: progress, and a signal', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const dir = tempDir(t)
  makeTree(join(dir, 'src'), 3, 200)
  const seen: number[] = []
  let last: Progress = { files: 0, bytes: 0 }
  const onProgress = (progress: Progress): void => {
    seen.push(progress.files)
    last = progress
  }
  await cp(join(dir, 'src'), join(dir, 'dest'), { recursive: true, ring, onProgress })
  assert.equal(last.total, undefined)
  assert.equal(last.files, 201)
  const bytes = lines(join(dir, 'src'), false).reduce(
    (sum, line) => sum + Number(/ bytes (\d+)$/.exec(line)?.[1] ?? 0),
    0,
  )
  assert.equal(last.bytes, bytes)
  assert.deepEqual(
    seen,
    seen.toSorted((a, b) => a - b),
  )
  await cp(join(dir, 'src'), join(dir, 'again'), { recursive: true, ring, onProgress, countFirst: true })
  assert.deepEqual(last, { files: 201, bytes, total: 201 })
  const control = new AbortController()
  const copied = cp(join(dir, 'src'), join(dir, 'other'), { recursive: true, ring, signal: control.signal })
  control.abort()
  await assert.rejects(copied, { name: 'AbortError' })
  await assert.rejects(cp(dir, `${dir}x`, { recursive: true, ring, signal: AbortSignal.abort() }), {
    name: 'AbortError',
  })
})

test('cp and rm by somebody who may not: the errors of Node', async (t) => {
  oracle(t)
  if (!requires(t, { root: true })) return
  const dir = tempDir(t)
  const script = `
    import { cp, rm } from 'ringcore'
    import * as node from 'node:fs/promises'
    import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
    const dir = ${JSON.stringify(dir)}
    process.umask(0)
    for (const way of ['ours', 'node']) {
      mkdirSync(dir + '/' + way + '/src/d', { recursive: true })
      writeFileSync(dir + '/' + way + '/src/closed', 'x', { mode: 0 })
      mkdirSync(dir + '/' + way + '/tree/d', { recursive: true })
      writeFileSync(dir + '/' + way + '/tree/d/f', 'x')
      chmodSync(dir + '/' + way + '/tree/d', 0o555)
      mkdirSync(dir + '/' + way + '/hidden/d', { recursive: true })
      writeFileSync(dir + '/' + way + '/hidden/d/f', 'x')
      chmodSync(dir + '/' + way + '/hidden/d', 0)
    }
    for (const way of ['ours', 'node']) chmodSync(dir + '/' + way, 0o777)
    process.setgid(65534)
    process.setuid(65534)
    const told = []
    for (const [way, { cp: copy, rm: remove }] of [['ours', { cp, rm }], ['node', node]]) {
      const errors = []
      const told1 = ({ code, syscall, message, path }) =>
        errors.push([code, syscall, String(message).replaceAll('/' + way, ''), String(path).replaceAll('/' + way, '')])
      const at = dir + '/' + way
      await copy(at + '/src', at + '/dest', { recursive: true }).catch(told1)
      await remove(at + '/tree', { recursive: true }).catch(told1)
      await remove(at + '/hidden', { recursive: true }).catch(told1)
      told.push(errors)
    }
    console.log(JSON.stringify(told))
  `
  chmodSync(dir, 0o777)
  const { stdout, stderr } = await runNode(script)
  const [ours, theirs] = JSON.parse(stdout || 'null') ?? assert.fail(stderr)
  // What Node's native walk does not tell: which file could not be read.
  assert.match(ours[0][2], /copyfile '.*src\/closed' -> '.*dest\/closed'/)
  for (const [first] of [ours, theirs]) first.length = 2
  assert.deepEqual(ours, theirs)
  assert.equal(ours.length, 3)
})

test('rm: trees at random, and errors', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const dir = tempDir(t)
  for (const seed of [11, 12]) {
    makeTree(join(dir, 'tree'), seed, 200, true)
    await rm(join(dir, 'tree'), { recursive: true, ring })
    assert.deepEqual(readdirSync(dir), [])
  }
  writeFileSync(join(dir, 'f'), '')
  mkdirSync(join(dir, 'd/e'), { recursive: true })
  symlinkSync('d', join(dir, 'link'))
  const cases: [string, object?][] = [
    ['none', {}],
    ['none', { force: true }],
    ['none', { recursive: true }],
    ['none', { recursive: true, force: true }],
    ['f/x', { force: true }],
    ['d'],
    ['d/.', { recursive: true }],
    ['d', { recursive: 'yes' }],
    ['d', { maxRetries: -1 }],
    ['d', { retryDelay: 0.5 }],
  ]
  for (const [name, options] of cases) {
    const path = `${dir}/${name}`
    const own = await ended(rm(path, { ...options, ring }), '')
    assert.deepEqual(own, await ended(nodeRm(path, options), ''), `${name} ${JSON.stringify(options)}`)
  }
  await rm(join(dir, 'link'), { ring })
  await rm(join(dir, 'f'), { ring })
  assert.deepEqual(readdirSync(dir), ['d'])
  let last: Progress = { files: 0, bytes: 1 }
  const onProgress = (progress: Progress): void => {
    last = progress
  }
  await rm(join(dir, 'd'), { recursive: true, ring, onProgress, countFirst: true })
  assert.deepEqual(last, { files: 2, bytes: 0, total: 2 })
})

test('without /proc, trees are removed as Node does it, and copied with their modes', async (t) => {
  oracle(t)
  const hide = ['unshare', '-rm', 'sh', '-c', 'mount -t tmpfs none /proc && exec "$0" "$@"']
  const { status } = spawnSync(hide[0]!, [...hide.slice(1), 'true'])
  if (status !== 0) return t.skip('unshare(1) may not hide /proc here')
  const dir = tempDir(t)
  makeTree(join(dir, 'src'), 2, 20)
  chmodSync(join(dir, 'src'), 0o751)
  const script = `
    import { cp, rm } from 'ringcore'
    import { existsSync, statSync } from 'node:fs'
    const dir = ${JSON.stringify(dir)}
    await cp(dir + '/src', dir + '/dest', { recursive: true })
    let last
    await rm(dir + '/src', { recursive: true, onProgress: (progress) => { last = progress } })
    console.log(existsSync('/proc/self'), existsSync(dir + '/src'), (statSync(dir + '/dest').mode & 0o777).toString(8), last)
  `
  const { stdout, stderr } = await runNode(script, { wrap: hide })
  assert.equal(stdout, 'false false 751 { files: 21, bytes: 0 }\n', stderr)
})

test('rm: links are removed, not followed, also when they take the place of a directory meanwhile', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const dir = tempDir(t)
  mkdirSync(join(dir, 'safe'))
  writeFileSync(join(dir, 'safe/f'), 'x')
  for (let round = 0; round < 4; round++) {
    for (let i = 0; i < 40; i++) {
      mkdirSync(join(dir, `tree/d${i}`), { recursive: true })
      writeFileSync(join(dir, `tree/d${i}/f`), 'x')
    }
    symlinkSync(join(dir, 'safe'), join(dir, 'tree/link'))
    const removed = ended(rm(join(dir, 'tree'), { recursive: true, ring }), dir)
    for (let i = 0; i < 40; i++) {
      // Into a tree that is going away: most of it fails, some of it wins.
      perhaps(() => {
        const at = join(dir, `tree/d${i}`)
        rmSync(at, { recursive: true, force: true })
        symlinkSync(join(dir, 'safe'), at)
      })
      if (i % 4 === 0) await new Promise(setImmediate)
    }
    const end = await removed
    assert.ok(end === 'done' || end.code === 'ENOTEMPTY', JSON.stringify(end))
    rmSync(join(dir, 'tree'), { recursive: true, force: true })
    assert.equal(readFileSync(join(dir, 'safe/f'), 'utf8'), 'x', `round ${round}`)
  }
})

function perhaps(work: () => void): void {
  try {
    work()
  } catch {
    // The other side was quicker.
  }
}

test('rm: a mount point stops it, with what is mounted untouched; retries wait for it to go', async (t) => {
  oracle(t)
  if (!requires(t, { root: true, program: 'mount' })) return
  const ring = useRing(t)
  const dir = tempDir(t)
  const point = join(dir, 'tree/d/point')
  mkdirSync(point, { recursive: true })
  const { status, stderr } = spawnSync('mount', ['-t', 'tmpfs', 'none', point], { encoding: 'utf8' })
  if (status !== 0) return t.skip(`cannot mount a tmpfs: ${stderr}`)
  let isMounted = true
  const unmount = (): void => {
    if (isMounted) execFileSync('umount', [point])
    isMounted = false
  }
  t.after(unmount)
  writeFileSync(join(point, 'f'), 'x')
  await assert.rejects(rm(join(dir, 'tree'), { recursive: true, ring }), {
    code: 'EBUSY',
    syscall: 'rmdir',
    path: point,
  })
  assert.equal(readFileSync(join(point, 'f'), 'utf8'), 'x')
  const removed = rm(join(dir, 'tree'), { recursive: true, ring, maxRetries: 100, retryDelay: 1 })
  setTimeout(unmount, 30)
  await removed
  assert.deepEqual(readdirSync(dir), [])
})

test('rm: deep trees, and a socket', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const dir = tempDir(t)
  mkdirSync(join(dir, 'tree', 'd/'.repeat(300)), { recursive: true })
  const server = createServer().listen(join(dir, 'tree/socket'))
  await new Promise((resolve) => server.once('listening', resolve))
  await rm(join(dir, 'tree'), { recursive: true, ring })
  assert.deepEqual(readdirSync(dir), [])
  await new Promise((resolve) => server.close(resolve))
})
