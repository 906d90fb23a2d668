// Makes a fresh clone ready: installs the development packages when they are missing or older than the lock file, then builds.
// Flow: `npm start`, `npm test` (as prestart, pretest) → this → npm, scripts/build.mjs.
//
// It runs before anything else, so it uses node builtins only and stays within the syntax of old Node versions' parsers:
// whoever comes with one should read a sentence, not a SyntaxError.

import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

function fail(sentence) {
  process.stderr.write(`${sentence}\n`)
  process.exit(1)
}

function checkPlatform() {
  if (process.platform !== 'linux') {
    fail(
      `Cannot run here: ringcore is built and tested on Linux (io_uring is Linux's own), and this is ${process.platform}`,
    )
  }
  const wanted = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).engines.node.match(
    /(\d+)\.(\d+)/,
  )
  const [major, minor] = process.versions.node.split('.').map(Number)
  const [majorMin, minorMin] = [Number(wanted[1]), Number(wanted[2])]
  if (major < majorMin || (major === majorMin && minor < minorMin)) {
    fail(
      `Cannot run here: ringcore needs Node ${majorMin}.${minorMin} or newer, and this is ${process.versions.node}`,
    )
  }
}

/** True when npm wrote its own note of what is installed after the lock file last changed. */
function isInstalled() {
  const installed = join(root, 'node_modules', '.package-lock.json')
  const wanted = join(root, 'package-lock.json')
  return (
    existsSync(installed) && (!existsSync(wanted) || statSync(installed).mtimeMs >= statSync(wanted).mtimeMs)
  )
}

function npm(command) {
  // No install script runs: none of the packages needs one. NODE_ENV=production would leave out the compiler.
  const args = [command, '--ignore-scripts', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error']
  const cli = process.env.npm_execpath ?? ''
  const viaNode = basename(cli) === 'npm-cli.js'
  const result = viaNode
    ? spawnSync(process.execPath, [cli, ...args], { stdio: ['ignore', 'inherit', 'inherit'], cwd: root })
    : spawnSync('npm', args, { stdio: ['ignore', 'inherit', 'inherit'], cwd: root })
  if (result.error?.code === 'ENOENT')
    fail('Cannot install the development packages: npm is not in PATH; install npm')
  return result.status === 0
}

checkPlatform()
if (!isInstalled()) {
  process.stdout.write('prepare: npm ci\n')
  if (!npm('ci')) {
    process.stdout.write('prepare: npm ci failed, trying npm install\n')
    if (!npm('install')) fail('Cannot install the development packages: npm failed, see above')
  }
}
const { build, BuildError } = await import('./build.mjs')
try {
  await build()
} catch (error) {
  if (!(error instanceof BuildError)) throw error
  fail(error.message)
}
