// The benchmarks' command: runs the chosen benches, prints their tables, writes their numbers.
// Flow: `npm run bench -- [names] [options]` → this → the benches, harness.ts, report.ts, svg.ts.
// Every bench gets a process of its own, so that none runs on a heap and on machine code that another one shaped.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { type Bench, type CaseResult, type Context, measure } from './harness.ts'
import { caseText, exitCode, headerText, type Machine, machine, verdicts } from './report.ts'
import { writeCharts } from './svg.ts'

/** In the order they run; each is loaded only when it is wanted. */
const BENCHES: Record<string, () => Promise<Bench>> = {
  nop: async () => (await import('./nop.ts')).nop,
  read4k: async () => (await import('./read4k.ts')).read4k,
  'fs-handle': async () => (await import('./fs-handle.ts')).fsHandle,
  'fs-path': async () => (await import('./fs-path.ts')).fsPath,
  readfile: async () => (await import('./readfile.ts')).readfile,
  direct: async () => (await import('./direct.ts')).direct,
  'append-log': async () => (await import('./append-log.ts')).appendLog,
  readfiles: async () => (await import('./readfiles.ts')).readfiles,
  writefile: async () => (await import('./writefile.ts')).writefile,
  tree: async () => (await import('./tree.ts')).tree,
  'http-hello': async () => (await import('./http-hello.ts')).httpHello,
  idle: async () => (await import('./idle.ts')).idle,
  'net-echo': async () => (await import('./net-echo.ts')).netEcho,
  'net-socket': async () => (await import('./net-socket.ts')).netSocket,
  'net-udp': async () => (await import('./net-udp.ts')).netUdp,
  'net-static': async () => (await import('./net-static.ts')).netStatic,
  'cat-100MB': async () => (await import('./cat.ts')).cat,
  jobs: async () => (await import('./jobs.ts')).jobs,
  libuv: async () => (await import('./libuv.ts')).libuv,
}

const USAGE = `npm run bench -- [bench …] [options]

Benches (default: all): ${Object.keys(BENCHES).join(' ')}

  --filter TEXT   only cases whose "bench · name" contains the text
  --repeat N      repetitions of each case, default 9 (more where runs are short); 3 with --quick
  --quick         few operations: shows that everything works, the numbers mean little
  --json FILE     writes every number to a file
  --svg DIR       draws a chart of each case, and of all ratios
  --check         exit code 1 when a figure misses its target
  --list          names the benches
`

const OPTIONS = {
  filter: { type: 'string', default: '' },
  repeat: { type: 'string' },
  quick: { type: 'boolean', default: false },
  json: { type: 'string' },
  svg: { type: 'string' },
  check: { type: 'boolean', default: false },
  list: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
  // How this program starts itself for one bench; not for people.
  'only-bench': { type: 'boolean', default: false },
} as const

export interface Report {
  machine: Machine
  date: string
  quick: boolean
  results: CaseResult[]
  notes: { bench: string; text: string }[]
  skipped: { bench: string; what: string; reason: string }[]
}

type Values = ReturnType<typeof parse>['values']

function parse() {
  return parseArgs({ options: OPTIONS, allowPositionals: true })
}

const print = (text: string): void => void process.stdout.write(`${text}\n`)
const emptyReport = (quick: boolean): Report => ({
  machine: machine(),
  date: new Date().toISOString(),
  quick,
  results: [],
  notes: [],
  skipped: [],
})

function progressLine(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`)
}

/** Runs one bench in this process. */
async function runBench(name: string, values: Values): Promise<Report> {
  const bench = await BENCHES[name]!()
  const report = emptyReport(values.quick)
  const directory = mkdtempSync(join(tmpdir(), 'ringcore-bench-'))
  const context: Context = {
    quick: values.quick,
    directory,
    amount: (full, quick) => (values.quick ? quick : full),
    wants: (caseName) => `${name} · ${caseName}`.includes(values.filter),
    skip: (what, reason) => {
      report.skipped.push({ bench: name, what, reason })
      print(`${name} · skipped: ${what}: ${reason}`)
    },
    note: (text) => {
      report.notes.push({ bench: name, text })
      print(`${name} · ${text}`)
    },
  }
  const repeat = values.repeat === undefined ? (values.quick ? 3 : 9) : Number(values.repeat)
  print(`\n── ${name}: ${bench.about}`)
  try {
    for await (const plan of bench.cases(context)) {
      try {
        if (!context.wants(plan.name)) continue
        // What the user says goes before what the case proposes.
        if (values.repeat !== undefined) delete plan.repeat
        const result = await measure(name, plan, repeat, (done, all) =>
          progressLine(`${name} · ${plan.name}: ${done} of ${all}`),
        )
        progressLine('')
        report.results.push(result)
        print(`\n${caseText(result)}`)
      } finally {
        await plan.close?.()
      }
    }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
  return report
}

/** Runs one bench in a process of its own and takes its report. */
async function spawnBench(name: string, values: Values): Promise<Report | undefined> {
  const directory = mkdtempSync(join(tmpdir(), 'ringcore-bench-'))
  const file = join(directory, 'report.json')
  const args = [
    fileURLToPath(import.meta.url),
    name,
    '--only-bench',
    '--json',
    file,
    '--filter',
    values.filter,
  ]
  if (values.repeat !== undefined) args.push('--repeat', values.repeat)
  if (values.quick) args.push('--quick')
  try {
    const child = spawn(process.execPath, [...process.execArgv, ...args], { stdio: 'inherit' })
    const [code, signal] = await once(child, 'exit')
    if (code === 0) return JSON.parse(readFileSync(file, 'utf8')) as Report
    print(`${name} failed: exit ${code ?? signal}`)
    return undefined
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

async function main(): Promise<number> {
  const { values, positionals } = parse()
  if (values.help || values.list) {
    print(values.help ? USAGE : Object.keys(BENCHES).join('\n'))
    return 0
  }
  const unknown = positionals.filter((name) => !Object.hasOwn(BENCHES, name))
  if (unknown.length > 0 || !(Number(values.repeat ?? 1) >= 1)) {
    process.stderr.write(unknown.length > 0 ? `No such bench: ${unknown.join(', ')}\n\n${USAGE}` : USAGE)
    return 2
  }
  if (values['only-bench']) {
    const report = await runBench(positionals[0]!, values)
    writeFileSync(values.json!, JSON.stringify(report))
    return 0
  }
  const all = emptyReport(values.quick)
  print(headerText(all.machine))
  let failed = 0
  for (const name of positionals.length > 0 ? positionals : Object.keys(BENCHES)) {
    const report = await spawnBench(name, values)
    if (report === undefined) failed++
    all.results.push(...(report?.results ?? []))
    all.notes.push(...(report?.notes ?? []))
    all.skipped.push(...(report?.skipped ?? []))
  }
  print(verdicts(all.results))
  for (const { bench, what, reason } of all.skipped) print(`  skipped: ${bench} · ${what}: ${reason}`)
  if (values.svg !== undefined) {
    const files = writeCharts(values.svg, all.results)
    print(`${files.length} charts in ${values.svg}`)
  }
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(all, null, 2)}\n`)
  return exitCode(all.results, failed, values.check)
}

process.exitCode = await main()
