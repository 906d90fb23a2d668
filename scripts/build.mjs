// Builds what changed: the C addon → prebuilds/, src → dist/ and dist/bundle/, tests, benchmarks and examples → build/.
// Flow: `npm run build`, scripts/prepare.mjs → this → the C compiler, tsc, esbuild.
// Usage: node scripts/build.mjs [--arm64]    --arm64 instead cross-builds prebuilds/linux-arm64 and checks its symbols
//
// Plain JavaScript and node builtins only: it runs before anything of ours is compiled.

import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, relative } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'

export const root = dirname(dirname(fileURLToPath(import.meta.url)))
const at = (...parts) => join(root, ...parts)

/** A failure the user can act on: printed as one sentence, without a stack trace. */
export class BuildError extends Error {}

export const say = (line) => process.stdout.write(`${line}\n`)

// ---------------------------------------------------------------- the C addon

// Freestanding: no libc symbol and no NEEDED entry, so that one binary per CPU serves glibc and musl.
const CFLAGS = [
  ...['-std=c11', '-O2', '-Wall', '-Wextra', '-Werror', '-fPIC', '-shared', '-nostdlib', '-ffreestanding'],
  ...['-fno-stack-protector', '-fvisibility=hidden', '-fno-builtin', '-fcf-protection=none'],
  ...['-Wl,--build-id=none', '-Wl,-z,noexecstack', '-Wl,-z,relro', '-Wl,--hash-style=gnu'],
]

const NO_COMPILER =
  'Cannot build the native addon: no C compiler found; install one with `apt install build-essential` (Debian, Ubuntu), ' +
  '`dnf install gcc` (Fedora) or `apk add build-base` (Alpine), or name yours in CC'
const NO_CROSS_COMPILER =
  'Cannot cross-build for arm64: aarch64-linux-gnu-gcc not found; install it with `apt install gcc-aarch64-linux-gnu` ' +
  '(Debian, Ubuntu) or `dnf install gcc-aarch64-linux-gnu` (Fedora)'

const addonPath = (arch) => at('prebuilds', `linux-${arch}`, 'ringcore.node')

/** Compiles native/addon.c for `arch` unless the binary is newer than all that it is made of. */
function buildAddon(arch, compiler, missing) {
  const source = at('native', 'addon.c')
  const headers = at('node_modules', 'node-api-headers')
  const target = addonPath(arch)
  const inputs = [
    source,
    at('native', 'host.h'),
    join(headers, 'package.json'),
    fileURLToPath(import.meta.url),
  ]
  if (existsSync(target) && inputs.every((file) => mtime(file) <= mtime(target))) return 'unchanged'

  say(`build: native/addon.c → ${relative(root, target)}`)
  mkdirSync(dirname(target), { recursive: true })
  const [command, ...compilerArgs] = compiler.trim().split(/\s+/)
  // A process that runs from the old file keeps it mapped: never write into it, put a new one in its place.
  const fresh = `${target}.${process.pid}`
  const args = [...compilerArgs, ...CFLAGS, `-I${join(headers, 'include')}`, '-o', fresh, source]
  const { error, status } = spawnSync(command, args, { stdio: 'inherit', cwd: root })
  if (error?.code === 'ENOENT') throw new BuildError(missing)
  if (error) throw new BuildError(`Cannot run the C compiler ${command}: ${error.message}`)
  if (status !== 0) {
    rmSync(fresh, { force: true })
    return 'failed'
  }
  renameSync(fresh, target)
  return 'built'
}

// ---------------------------------------------------------------- TypeScript

/** Compiles one project unless sources, settings and `inputs` are as they were and every output is there. */
function buildTypeScript(project, sourceDirs, outDir, inputs) {
  const sources = sourceDirs.flatMap((dir) => filesBelow(at(dir), '.ts'))
  const base = outDir === 'dist' ? at('src') : root
  const outputs = sources.map((file) => at(outDir, relative(base, file).replace(/\.ts$/, '.js')))
  removeOrphans(at(outDir), new Set(outputs))
  if (sources.length === 0) return 'nothing'

  const settings = [project, 'tsconfig.base.json', 'package.json', 'node_modules/typescript/package.json']
  const all = [...sources, ...settings.map((file) => at(file)), ...inputs]
  const signature = all.map((file) => `${relative(root, file)} ${mtime(file)}`).join('\n')
  const stamp = at('.cache', `${outDir}.stamp`)
  const unchanged = existsSync(stamp) && readFileSync(stamp, 'utf8') === signature
  if (unchanged && outputs.every((file) => existsSync(file))) return 'unchanged'

  say(`build: ${sourceDirs.join(', ')} → ${outDir}/`)
  const tsc = at('node_modules', 'typescript', 'bin', 'tsc')
  const { status } = spawnSync(process.execPath, [tsc, '-p', project], { stdio: 'inherit', cwd: root })
  // The type checker's complaints fail the build, but what it emitted stays: the next run starts over.
  rmSync(stamp, { force: true })
  if (status !== 0) return 'failed'
  mkdirSync(dirname(stamp), { recursive: true })
  writeFileSync(stamp, signature)
  return 'built'
}

const BUNDLE = at('dist', 'bundle')

/** The doors, and a thread's own file, by the names of their files in dist/bundle. What two of them use goes into files that they share. */
const DOORS = {
  index: at('dist', 'index.js'),
  ring: at('dist', 'ring.js'),
  sys: at('dist', 'sys', 'index.js'),
  fs: at('dist', 'fs', 'promises.js'),
  net: at('dist', 'net.js'),
  cli: at('dist', 'cli', 'main.js'),
  'serve-worker': at('dist', 'cli', 'serve-worker.js'),
}

/**
 * Joins the modules behind each door into a few files: a program that imports a hundred modules waits for each to be found, read
 * and compiled. Names stay as they are, and source maps lead back to src. Tests use the modules themselves, by the condition
 * `modules` in package.json's exports.
 */
async function bundle(compiled) {
  const inputs = filesBelow(at('dist'), '.js').filter((file) => !file.startsWith(BUNDLE))
  const newest = Math.max(mtime(fileURLToPath(import.meta.url)), ...inputs.map(mtime))
  const outputs = Object.keys(DOORS).map((name) => join(BUNDLE, `${name}.js`))
  if (compiled === 'unchanged' && outputs.every((file) => mtime(file) >= newest)) return
  say('build: dist/ → dist/bundle/')
  rmSync(BUNDLE, { recursive: true, force: true })
  const { build: esbuild } = await import('esbuild')
  await esbuild({
    entryPoints: DOORS,
    outdir: BUNDLE,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    packages: 'external',
    sourcemap: true,
    minifyWhitespace: true,
    legalComments: 'none',
    logLevel: 'warning',
  })
  chmodSync(join(BUNDLE, 'cli.js'), 0o755)
}

/** Removes compiled files whose source is gone, so that a deleted test does not run on. */
function removeOrphans(outDir, outputs) {
  for (const file of filesBelow(outDir, '.js')) {
    if (outputs.has(file) || file.startsWith(BUNDLE)) continue
    for (const extra of [file, `${file}.map`, file.replace(/\.js$/, '.d.ts')]) rmSync(extra, { force: true })
  }
}

function filesBelow(dir, extension) {
  if (!existsSync(dir)) return []
  const entries = readdirSync(dir, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile() && entry.name.endsWith(extension))
  return files.map((entry) => join(entry.parentPath ?? entry.path, entry.name)).sort()
}

function mtime(file) {
  return existsSync(file) ? statSync(file).mtimeMs : 0
}

// ---------------------------------------------------------------- all of it

/** Builds everything that is not up to date. */
export async function build() {
  if (!existsSync(at('node_modules', 'typescript'))) {
    throw new BuildError('Cannot build: the development packages are not installed; run `npm ci` first')
  }
  const addon = buildAddon(process.arch, process.env.CC || 'cc', NO_COMPILER)
  const library = buildTypeScript('tsconfig.json', ['src'], 'dist', [])
  if (library === 'built' || library === 'unchanged') await bundle(library)
  // The programs are compiled against dist's declarations, hence anew after each change of src.
  const programs = buildTypeScript(
    'tsconfig.build.json',
    ['test', 'bench', 'examples'],
    'build',
    filesBelow(at('dist'), '.d.ts'),
  )
  if (addon === 'failed')
    throw new BuildError('Cannot build the native addon: the C compiler found errors, see above')
  if (library === 'failed' || programs === 'failed') {
    throw new BuildError('Cannot build: TypeScript found errors, see above')
  }
}

/** Cross-builds the arm64 addon; it can't run here, so its symbols are checked instead. */
export async function buildArm64() {
  if (buildAddon('arm64', 'aarch64-linux-gnu-gcc', NO_CROSS_COMPILER) === 'failed') {
    throw new BuildError('Cannot cross-build for arm64: the C compiler found errors, see above')
  }
  const checker = at('build', 'test', 'elf.js')
  if (!existsSync(checker)) throw new BuildError('Cannot check the arm64 addon: run `npm run build` first')
  const { readElf, addonProblems } = await import(checker)
  const elf = readElf(addonPath('arm64'))
  const problems = addonProblems(elf)
  if (elf.machine !== 'arm64') problems.push(`it is made for ${elf.machine}`)
  if (problems.length > 0) throw new BuildError(`The arm64 addon is not portable: ${problems.join('; ')}`)
  say(
    `build: ${relative(root, addonPath('arm64'))} needs ${elf.undefinedSymbols.length} symbols, all of Node's own`,
  )
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    if (process.argv.includes('--arm64')) await buildArm64()
    else await build()
  } catch (error) {
    if (!(error instanceof BuildError)) throw error
    process.stderr.write(`${error.message}\n`)
    process.exit(1)
  }
}
