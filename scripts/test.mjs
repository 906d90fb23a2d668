// Runs the test files of build/test in reading order under node:test.
// Flow: `npm test`, .ci/run → this → node --test.
// Usage: node scripts/test.mjs [--filter <text>] [--node <path>] [--file-timeout <s>] [--concurrency <n>] [options of node --test]
//   --filter <text>       only files whose name contains the text; may be given more than once
//   --node <path>         another node binary than the one that runs this script
//   --file-timeout <s>    how long one file may take, default 120
//   --concurrency <n>     how many files run at once, default 2

import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const SLOW_S = 180

function readArguments(argv) {
  const options = { filters: [], node: process.execPath, fileTimeoutS: 120, concurrency: 2, rest: [] }
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
const files = readdirSync(join(root, 'build', 'test'))
  .filter((name) => name.endsWith('.test.js'))
  .filter((name) => options.filters.length === 0 || options.filters.some((text) => name.includes(text)))
  .sort()
  .map((name) => join('build', 'test', name))
if (files.length === 0) {
  process.stderr.write(`No test file matches ${options.filters.join(', ') || 'build/test/*.test.js'}\n`)
  process.exit(1)
}

const ownReporter = options.rest.some((argument) => argument.startsWith('--test-reporter'))
const started = performance.now()
const { status, signal, error } = spawnSync(
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
  { stdio: 'inherit', cwd: root },
)
if (error) process.stderr.write(`Cannot run ${options.node}: ${error.message}\n`)
const seconds = (performance.now() - started) / 1000
if (seconds > SLOW_S)
  process.stdout.write(`slow: the tests took ${seconds.toFixed(0)} s, wanted is under ${SLOW_S} s\n`)
if (signal) process.stderr.write(`node --test was ended by ${signal}\n`)
process.exit(status ?? 1)
