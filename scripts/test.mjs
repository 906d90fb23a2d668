// Runs the test files of build/test under node:test. Files of one room (45.*, 46.* …) share a process, which saves a quarter of the
// time; those that are long or about processes have one each.
// Flow: `npm test`, .ci/run → this → build/test/together/*.js → node --test.
// Usage: node scripts/test.mjs [--filter <text>] [--node <path>] [--file-timeout <s>] [--concurrency <n>] [options of node --test]
//   --filter <text>       only files whose name contains the text; may be given more than once
//   --node <path>         another node binary than the one that runs this script
//   --file-timeout <s>    how long one process may take, default 120
//   --concurrency <n>     how many processes run at once, default 3: two cores, and some tests wait

import { spawn } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const SLOW_S = 180
/** Long, or about their own process: these run alone. */
const ALONE = /^(40\.runtime\.(close|loop)|80)/

function readArguments(argv) {
  const options = { filters: [], node: process.execPath, fileTimeoutS: 120, concurrency: 3, rest: [] }
  for (let i = 0; i < argv.length; i++) {
    if (argv[i] === '--filter') options.filters.push(argv[++i])
    else if (argv[i] === '--node') options.node = argv[++i]
    else if (argv[i] === '--file-timeout') options.fileTimeoutS = Number(argv[++i])
    else if (argv[i] === '--concurrency') options.concurrency = Number(argv[++i])
    else options.rest.push(argv[i])
  }
  return options
}

const options = readArguments(process.argv.slice(2))
const names = readdirSync(join(root, 'build', 'test'))
  .filter((name) => name.endsWith('.test.js'))
  .filter((name) => options.filters.length === 0 || options.filters.some((text) => name.includes(text)))
  .sort()
if (names.length === 0) {
  process.stderr.write(`No test file matches ${options.filters.join(', ') || 'build/test/*.test.js'}\n`)
  process.exit(1)
}
const files = [
  ...names.filter((name) => ALONE.test(name)).map((name) => join('build', 'test', name)),
  ...rooms(names),
]

/** Writes a file for each room, which imports those of the room. */
function rooms(names) {
  const together = join('build', 'test', 'together')
  rmSync(join(root, together), { recursive: true, force: true })
  mkdirSync(join(root, together))
  const byNumber = new Map()
  for (const name of names.filter((name) => !ALONE.test(name))) {
    const [number] = name.split('.')
    byNumber.set(number, [...(byNumber.get(number) ?? []), `import '../${name}'\n`])
  }
  return [...byNumber].map(([number, imports]) => {
    const file = join(together, `${number}.js`)
    writeFileSync(join(root, file), imports.join(''))
    return file
  })
}

const ownReporter = options.rest.some((argument) => argument.startsWith('--test-reporter'))
const started = performance.now()
const runner = spawn(
  options.node,
  [
    // Buffers and rings that nobody holds must really go: the tests' epilogue collects garbage before it counts.
    '--expose-gc',
    '--test',
    ...(ownReporter ? [] : ['--test-reporter=spec', '--test-reporter-destination=stdout']),
    `--test-timeout=${options.fileTimeoutS * 1000}`,
    `--test-concurrency=${options.concurrency}`,
    ...options.rest,
    ...files,
  ],
  {
    stdio: ['ignore', 'inherit', 'inherit'],
    cwd: root,
    // Tests reach into modules, so the package's doors must lead to the same ones: see `bundle` in build.mjs.
    env: { ...process.env, NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ''} --conditions=modules` },
  },
)

// --test-timeout ends tests, not files, on newer Node versions, and no timer of a file's own runs while its thread hangs
// in a system call. So files that take too long are ended from here.
const bornAt = new Map()
const watchdog = setInterval(() => {
  for (const pid of childrenOf(runner.pid)) {
    if (!bornAt.has(pid)) bornAt.set(pid, performance.now())
    if (performance.now() - bornAt.get(pid) < options.fileTimeoutS * 1000 + 5000) continue
    const file = readProc(`${pid}/cmdline`).split('\0').filter(Boolean).at(-1)
    process.stderr.write(`${file} took more than ${options.fileTimeoutS} s: ended by SIGKILL\n`)
    process.kill(pid, 'SIGKILL')
  }
}, 1000)

function readProc(path) {
  try {
    return readFileSync(`/proc/${path}`, 'utf8')
  } catch {
    return '' // gone meanwhile
  }
}

function childrenOf(parent) {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && Number(readProc(`${pid}/stat`).split(') ').at(-1).split(' ')[1]) === parent)
}

runner.on('error', (error) => {
  process.stderr.write(`Cannot run ${options.node}: ${error.message}\n`)
  process.exit(1)
})
runner.on('close', (code, signal) => {
  clearInterval(watchdog)
  const seconds = (performance.now() - started) / 1000
  if (seconds > SLOW_S) {
    process.stdout.write(`slow: the tests took ${seconds.toFixed(0)} s, wanted is under ${SLOW_S} s\n`)
  }
  if (signal) process.stderr.write(`node --test was ended by ${signal}\n`)
  process.exit(code ?? 1)
})
