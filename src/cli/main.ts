#!/usr/bin/env node
// The command line: `ringcore probe`, `ringcore doctor`, the commands on files, and `ringcore serve`.
// Flow: a shell → this → the file of the command: probe-command.ts, doctor.ts, cp-command.ts, cat-command.ts, du-command.ts, serve.ts.

import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { print } from './print.ts'

const HELP = `ringcore: io_uring for TypeScript

Usage: ringcore <command> [options]

Commands:
  probe     every opcode, register operation, flag and feature: since which kernel, and whether this one has it
  doctor    why a ring can or can't be made here, step by step, and what to do about it
  cp        copies files and trees; see 'ringcore cp --help'
  cat       files to standard output
  du        how much space trees take
  serve     the files of a directory over HTTP; \`ringcore serve --help\` says more

Options:
  --json        for tools
  -h, --help    this text
  --version     ringcore's version

Exit code: 0; 1 when no ring can be made here; 2 for wrong usage.`

/** Each command is loaded only when it is called. */
const COMMANDS: Readonly<Record<string, () => Promise<(json: boolean) => Promise<boolean>>>> = {
  probe: async () => (await import('./probe-command.ts')).runProbe,
  doctor: async () => (await import('./doctor.ts')).runDoctor,
}

/** Commands with options of their own. */
const TOOLS: Readonly<Record<string, () => Promise<(args: string[]) => Promise<number>>>> = {
  cp: async () => (await import('./cp-command.ts')).runCp,
  cat: async () => (await import('./cat-command.ts')).runCat,
  du: async () => (await import('./du-command.ts')).runDu,
  serve: async () => (await import('./serve.ts')).runServe,
}

function version(): string {
  // Seen from dist/cli/: the package's root is two levels up.
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

function readArguments(argv: string[]) {
  return parseArgs({
    args: argv,
    allowPositionals: true,
    options: {
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
      version: { type: 'boolean', default: false },
    },
  })
}

/** @returns the exit code */
async function main(argv: string[]): Promise<number> {
  const [first = '', ...rest] = argv
  if (Object.hasOwn(TOOLS, first)) return (await TOOLS[first]!())(rest)
  let parsed: ReturnType<typeof readArguments>
  try {
    parsed = readArguments(argv)
  } catch (error) {
    return wrongUsage((error as Error).message)
  }
  const { values, positionals } = parsed
  if (values.version) {
    print(version())
    return 0
  }
  const [name, ...more] = positionals
  if (values.help || name === 'help') {
    print(HELP)
    return 0
  }
  if (name === undefined) return wrongUsage('Missing a command')
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
  if (command === undefined) return wrongUsage(`Unknown command: ${name}`)
  if (more.length > 0) return wrongUsage(`Unknown argument: ${more[0]}`)
  const run = await command()
  return (await run(values.json)) ? 0 : 1
}

function wrongUsage(problem: string): number {
  process.stderr.write(`${problem}\n\n${HELP}\n`)
  return 2
}

// `ringcore probe | head` closes the pipe early: that is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
})
// Compiling is a third of what loading takes. Node keeps the result for the next start, from 22.1 on, unless NODE_DISABLE_COMPILE_CACHE is set.
const { enableCompileCache } = process.getBuiltinModule('node:module') as { enableCompileCache?(): void }
enableCompileCache?.()
process.exitCode = await main(process.argv.slice(2))
