// Random programs on a directory, the same for every implementation of node:fs/promises: what they did, and what was left.
// Flow: 52.fs-differential → this.
// A program is a list of steps that a seed decides. A step knows names, handles by number and values, never real paths, so that two
// runs in two directories can be compared to the letter.

import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { inspect } from 'node:util'

/** Any implementation: what is called is decided at run time. */
export type AnyFs = Record<string, (...args: unknown[]) => Promise<unknown>>
type Handle = Record<string, (...args: unknown[]) => Promise<unknown>>

/** One run of a program: its directory and the handles it opened. */
interface Run {
  fs: AnyFs
  root: string
  handles: Handle[]
}

export interface Step {
  /** For people: what failed. */
  text: string
  run(run: Run): Promise<unknown>
}

/** Numbers that a seed decides. */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0 || 1
  }

  /** From 0 to `below` - 1. */
  number(below: number): number {
    // xorshift32
    this.#state ^= this.#state << 13
    this.#state ^= this.#state >>> 17
    this.#state ^= this.#state << 5
    return (this.#state >>> 0) % below
  }

  one<T>(values: readonly T[]): T {
    return values[this.number(values.length)]!
  }

  /** `value` mostly, else one of `others`. */
  mostly<T>(value: T, others: readonly unknown[]): T | unknown {
    return this.number(12) === 0 ? this.one(others) : value
  }
}

const NAMES = [
  'a',
  'b',
  'c',
  'd',
  'd/a',
  'd/b',
  'd/e',
  'd/e/a',
  'f',
  'f/a',
  'größe',
  'l',
  'm',
  'missing/x',
  'a/',
]
const BAD_PATHS = [
  '',
  'nul\0byte',
  null,
  undefined,
  5,
  {},
  'n'.repeat(300),
  Symbol.iterator,
  Buffer.from('x\0'),
  [],
  'half \ud800',
  new Proxy(new Uint8Array([97]), {}),
]
const FLAGS = [
  'r',
  'r+',
  'rs',
  'rs+',
  'sr',
  'w',
  'wx',
  'xw',
  'w+',
  'wx+',
  'a',
  'ax',
  'a+',
  'ax+',
  'as',
  'as+',
  undefined,
  null,
]
const NUMERIC_FLAGS = [
  0,
  1,
  2,
  0o102,
  0o1102,
  0o302,
  0o200000,
  -1,
  1.5,
  2 ** 31,
  'bad',
  {},
  'R',
  '',
  true,
  3n,
]
const MODES = [undefined, null, 0o600, 0o777, '644', '0755', 0, 4095]
const BAD_MODES = ['9', -1, 1.5, 2 ** 32, {}, 'rw', true, 5n, '']
const BAD_VALUES = [
  null,
  undefined,
  -1,
  1.5,
  Number.NaN,
  '5',
  {},
  2 ** 53,
  5n,
  -5n,
  true,
  [],
  Symbol.iterator,
  -0,
]
/** Others end the process on Node 20. */
const LENGTHS = [null, undefined, -1, 0, 5000, 100_000, -5]
const ENCODINGS = ['utf8', 'latin1', 'hex', 'base64', 'ucs2', 'ascii', 'UTF-8']
const BAD_ENCODINGS = ['nonsense', 5, {}, null, 'buffer', '']

/** A path of the program, in one of the forms in which paths come. */
function path(random: Random): { text: string; of(root: string): unknown } {
  const name = random.mostly(random.one(NAMES), BAD_PATHS)
  const text =
    typeof name === 'string' && name.length < 50 ? JSON.stringify(name) : inspect(name).slice(0, 40)
  if (typeof name !== 'string' || name === '' || name.includes('\0')) return { text, of: () => name }
  const form = random.number(8)
  return {
    text: form === 0 ? `Buffer ${text}` : form === 1 ? `URL ${text}` : text,
    of: (root) => {
      const whole = `${root}/${name}`
      return form === 0 ? Buffer.from(whole) : form === 1 ? pathToFileURL(whole) : whole
    },
  }
}

const bytes = (random: Random): Buffer =>
  Buffer.alloc(random.one([0, 1, 7, 100, 4096, 5000, 70_000]), random.one(['x', 'ab', 'ü', '\0']))

function view(random: Random): unknown {
  const content = bytes(random)
  return random.one([
    content,
    new Uint8Array(content),
    new DataView(new ArrayBuffer(content.length)),
    new Uint16Array(content.length),
    new BigInt64Array(3),
    new Float64Array(random.number(600)),
    content.subarray(random.number(10)),
  ])
}

/** Data of writeFile and appendFile, made anew for each run: pieces can be taken once. */
function data(random: Random): () => unknown {
  const content = bytes(random)
  const kind = random.number(9)
  if (kind === 0) return () => [content, 'text', new Uint8Array(3)]
  if (kind === 1)
    return () =>
      (async function* () {
        yield content
        yield 'äöü'
      })()
  if (kind === 2) return () => String(content)
  if (kind === 3) {
    const bad = random.one([5, null, undefined, {}, Symbol.iterator, true, new Map(), [5], [{}], new Date(0)])
    return () => bad
  }
  const one = view(random)
  return () => one
}

function step(text: string, run: Step['run']): Step {
  return { text, run }
}

function pathStep(random: Random): Step {
  const [p, q] = [path(random), path(random)]
  const name = random.one([
    'rename',
    'link',
    'symlink',
    'unlink',
    'rmdir',
    'mkdir',
    'stat',
    'lstat',
    'truncate',
    'access',
    'readdir',
    'copyFile',
    'rm',
    'readlink',
    'realpath',
    'chmod',
    'utimes',
  ])
  if (name === 'rename' || name === 'link' || name === 'copyFile')
    return step(`${name}(${p.text}, ${q.text})`, ({ fs, root }) => fs[name]!(p.of(root), q.of(root)))
  if (name === 'symlink') {
    const type = random.mostly(undefined, ['file', 'dir', 'junction', null, 'bad', 5, {}])
    // Targets are relative, so that both trees say the same.
    const target = random.mostly(random.one(['a', 'd', '../a', 'l', 'nowhere']), BAD_PATHS)
    return step(`symlink(${inspect(target)}, ${q.text}, ${inspect(type)})`, ({ fs, root }) =>
      fs.symlink!(target, q.of(root), type),
    )
  }
  const last = lastArgument(random, name)
  return step(`${name}(${p.text}, ${last.map((one) => inspect(one)).join()})`, ({ fs, root }) =>
    fs[name]!(p.of(root), ...last),
  )
}

function lastArgument(random: Random, name: string): unknown[] {
  const mode = random.mostly(random.one(MODES), BAD_MODES)
  const some = random.number(2) === 0
  if (name === 'mkdir')
    return some
      ? [random.one([undefined, { mode }, { recursive: true }, { recursive: 'yes' }, null, mode])]
      : []
  if (name === 'rmdir') return random.mostly([], [[{}], [null], [{ recursive: false }], [5]]) as unknown[]
  if (name === 'stat' || name === 'lstat')
    return some
      ? [random.one([undefined, { bigint: true }, { bigint: false }, null, 5, [], { signal: 5 }, {}])]
      : []
  if (name === 'truncate') return some ? [random.mostly(random.number(9000), BAD_VALUES)] : []
  if (name === 'access') return some ? [random.mostly(random.number(8), BAD_VALUES)] : []
  if (name === 'rm') {
    const options = [{ recursive: true, force: some }, { force: undefined }, { recursive: undefined }, null]
    return some ? [random.mostly(options[0], options)] : []
  }
  if (name === 'chmod') return [random.mostly(0o700 | random.number(64), BAD_MODES)]
  if (name === 'utimes') return [random.mostly(random.number(2 ** 31), BAD_VALUES), -5.25]
  return []
}

function fileStep(random: Random): Step {
  const p = path(random)
  const encoding = random.mostly(random.one(ENCODINGS), BAD_ENCODINGS)
  const flag = random.mostly(random.one(FLAGS), NUMERIC_FLAGS)
  const mode = random.mostly(random.one(MODES), BAD_MODES)
  const options = random.one([
    undefined,
    null,
    encoding,
    { encoding },
    { encoding, flag },
    { flag, mode },
    { mode, flush: random.one([true, false, undefined, null, 5]) },
    { signal: random.one([undefined, AbortSignal.abort('why'), new AbortController().signal, 5, null]) },
    5,
  ])
  const text = `(${p.text}, ${inspect(options)})`
  if (random.number(3) === 0)
    return step(`readFile${text}`, ({ fs, root }) => fs.readFile!(p.of(root), options))
  const content = data(random)
  const name = random.one(['writeFile', 'appendFile'])
  return step(`${name}${text} ${inspect(content()).slice(0, 40)}`, ({ fs, root }) =>
    fs[name]!(p.of(root), content(), options),
  )
}

function openStep(random: Random): Step {
  const p = path(random)
  const flags = random.mostly(random.one(FLAGS), NUMERIC_FLAGS)
  const mode = random.mostly(random.one(MODES), BAD_MODES)
  return step(`open(${p.text}, ${inspect(flags)}, ${inspect(mode)})`, async ({ fs, root, handles }) => {
    const handle = (await fs.open!(p.of(root), flags, mode)) as Handle
    handles.push(handle)
    return `handle ${handle.constructor.name}`
  })
}

/** A handle, open or closed, in the place of a path. */
function insteadStep(random: Random): Step {
  const [which, name] = [random.number(64), random.one(['readFile', 'writeFile', 'appendFile'])]
  const rest = name === 'readFile' ? [random.one([undefined, 'utf8', null])] : [random.one(['text', 5])]
  return step(`${name}(handle ${which}, ${rest})`, async ({ fs, handles }) =>
    handles.length === 0 ? 'none is open' : fs[name]!(handles[which % handles.length]!, ...rest),
  )
}

function handleStep(random: Random): Step {
  if (random.number(20) === 0) return insteadStep(random)
  const which = random.number(64)
  const name = random.one([
    'read',
    'read',
    'read',
    'write',
    'write',
    'write',
    'readv',
    'writev',
    'truncate',
    'stat',
    'sync',
    'datasync',
    'readFile',
    'writeFile',
    'appendFile',
    'close',
    'chmod',
    'utimes',
  ])
  const make = handleArguments(random, name)
  return step(`${name}(${inspect(make().map(plain)).slice(0, 300)}) of ${which}`, async ({ handles }) => {
    if (handles.length === 0) return 'none is open'
    const handle = handles[which % handles.length]!
    return handle[name]!(...make())
  })
}

/** Positions and lengths of all kinds, more of the usual ones. */
const place = (random: Random, below: number): unknown =>
  random.mostly(
    random.one([null, undefined, random.number(below), 0, -1, BigInt(random.number(9))]),
    BAD_VALUES,
  )

const extent = (random: Random): unknown =>
  random.mostly(random.one([undefined, random.number(100)]), LENGTHS)

function handleArguments(random: Random, name: string): () => unknown[] {
  if (name === 'read') {
    const target = random.mostly(view(random), [undefined, null, 5, 'text', {}, [], new ArrayBuffer(9)])
    const [offset, length, position] = [place(random, 9), extent(random), place(random, 6000)]
    const fresh = (): unknown => (ArrayBuffer.isView(target) ? structuredClone(target) : target)
    const form = random.number(5)
    if (form === 0) return () => [fresh(), { offset, length, position }]
    if (form === 1) return () => [{ buffer: fresh(), offset, length, position }]
    if (form === 2) return () => [fresh(), offset]
    if (form === 3) return () => [fresh(), 0, undefined, position]
    return () => [fresh(), offset, length, position]
  }
  if (name === 'write') {
    const content = random.mostly(random.one([view(random), 'text', 'größe', '6162', '']), [
      null,
      undefined,
      5,
      {},
      [],
    ])
    const [offset, length, position] = [place(random, 9), extent(random), place(random, 6000)]
    if (typeof content === 'string') {
      const encoding = random.number(2) ? 'utf8' : random.one([...ENCODINGS, ...BAD_ENCODINGS])
      return () => [content, position, encoding]
    }
    if (random.number(3) === 0) return () => [content, { offset, length, position }]
    return () => [content, offset, length, position]
  }
  if (name === 'readv' || name === 'writev') {
    const count = random.number(5)
    const views = Array.from({ length: count }, () => view(random))
    const buffers = random.mostly(views, [null, undefined, [5], [null], {}, Buffer.alloc(3), [[]]])
    const position = place(random, 6000)
    return () => [Array.isArray(buffers) ? buffers.map((one) => copyOf(one)) : buffers, position]
  }
  if (name === 'truncate') {
    const length = random.number(3) ? [place(random, 9000)] : []
    return () => length
  }
  if (name === 'stat') return () => [{ bigint: true }]
  if (name === 'writeFile' || name === 'appendFile') {
    const content = data(random)
    return () => [content()]
  }
  if (name === 'readFile') {
    const encoding = random.one([undefined, 'utf8', null, { encoding: 'hex' }, 'nonsense'])
    return () => [encoding]
  }
  if (name === 'chmod') return () => [0o640]
  if (name === 'utimes') return () => [1000, 2000.5]
  return () => []
}

const copyOf = (one: unknown): unknown => (ArrayBuffer.isView(one) ? structuredClone(one) : one)

/** The program of a seed. */
export function programOf(seed: number, steps: number): Step[] {
  const random = new Random(seed)
  return Array.from({ length: steps }, () => {
    const kind = random.number(10)
    if (kind < 3) return pathStep(random)
    if (kind < 5) return fileStep(random)
    return kind < 6 ? openStep(random) : handleStep(random)
  })
}

// ---------------------------------------------------------------- running and comparing

/** What became of a step, without what differs from run to run. */
export async function outcomeOf(one: Step, run: Run): Promise<string> {
  let outcome: unknown
  try {
    outcome = { value: await one.run(run) }
  } catch (error) {
    outcome = { error: describeError(error) }
  }
  const text = inspect(plain(outcome), {
    depth: 6,
    maxArrayLength: 20,
    maxStringLength: 300,
    breakLength: 200,
  })
  // Links may say '..': what lies beside the root has a name of its own in each run, too.
  return text.replaceAll(run.root, '/ROOT').replaceAll(dirname(run.root), '/ABOVE')
}

function describeError(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const { name, message, cause } = error
  const { code, errno, syscall, path: at, dest } = error as NodeJS.ErrnoException & { dest?: string }
  return { name, message, code, errno, syscall, path: at, dest, cause, keys: Object.keys(error).sort() }
}

/** Replaces what no two runs have in common: inodes, times. */
function plain(value: unknown): unknown {
  if (value === null || typeof value !== 'object') return value
  if (ArrayBuffer.isView(value)) {
    const content = Buffer.from(value.buffer, value.byteOffset, value.byteLength)
    return `${value.constructor.name} ${value.byteLength} ${content.subarray(0, 100).toString('latin1')}`
  }
  const made = value.constructor?.name
  if (made === 'Stats' || made === 'BigIntStats') {
    const { mode, nlink, uid, gid, rdev, size, blksize } = value as Record<string, unknown>
    return { made, mode, nlink, uid, gid, rdev, size, blksize, kinds: kindsOf(value) }
  }
  if (Array.isArray(value)) return value.map(plain)
  const copy: Record<string, unknown> = {
    prototype: Object.getPrototypeOf(value) === null ? 'null' : made,
  }
  for (const [key, one] of Object.entries(value)) copy[key] = plain(one)
  return copy
}

const KINDS = [
  'isFile',
  'isDirectory',
  'isSymbolicLink',
  'isFIFO',
  'isSocket',
  'isBlockDevice',
  'isCharacterDevice',
]

function kindsOf(stats: object): string {
  return KINDS.filter((name) => (stats as Record<string, () => boolean>)[name]!()).join()
}

/** Everything below a directory, as text. */
export function treeOf(root: string, below = ''): string[] {
  return readdirSync(join(root, below))
    .sort()
    .flatMap((name) => {
      const at = join(below, name)
      const { mode, nlink, size } = lstatSync(join(root, at))
      const line = `${at} ${mode.toString(8)} ${nlink}`
      if ((mode & 0o170000) === 0o120000) return [`${line} → ${readlinkSync(join(root, at))}`]
      if ((mode & 0o170000) === 0o040000) return [line, ...treeOf(root, at)]
      const content = readFileSync(join(root, at))
      return [
        `${line} ${size} ${content.subarray(0, 200).toString('latin1')} ${content.reduce((a, b) => (a * 31 + b) | 0, 7)}`,
      ]
    })
}
