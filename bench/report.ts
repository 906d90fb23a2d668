// What the benchmarks print: a header that says where they ran, and an aligned table per case.
// Flow: main.ts → this.

import { readFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, release } from 'node:os'
import type { CaseResult, SubjectResult } from './harness.ts'
import type { Summary } from './statistics.ts'

/** Where and with what the numbers were made. */
export interface Machine {
  node: string
  kernel: string
  cpu: string
  cpus: number
  governor: string
  load: number
}

export function machine(): Machine {
  return {
    node: process.version,
    kernel: release(),
    cpu: cpus()[0]?.model ?? 'unknown',
    cpus: availableParallelism(),
    governor: governor(),
    load: loadavg()[0]!,
  }
}

function governor(): string {
  try {
    return readFileSync('/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor', 'utf8').trim()
  } catch {
    return 'not told'
  }
}

export function headerText({ node, kernel, cpu, cpus, governor, load }: Machine): string {
  const busy = load > 0.5 ? ' — busy: trust the ratios, not the absolute numbers' : ''
  return [
    `Node ${node} · Linux ${kernel} · ${cpus} × ${cpu} · frequency governor ${governor} · load ${load.toFixed(2)}${busy}`,
    'Each row: median [fastest–slowest repetition] · CPU time likewise · how many times better ringcore is, pair by pair.',
  ].join('\n')
}

/** Three significant digits, never in exponents. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return '–'
  const size = Math.abs(value)
  if (size >= 100) return value.toFixed(0)
  return value.toFixed(size >= 10 ? 1 : size >= 1 ? 2 : 3)
}

const span = ({ median, min, max }: Summary): string => `${short(median)} [${short(min)}–${short(max)}]`

function row({ name, value, cpu, ratio, cpuRatio, notes }: SubjectResult): string[] {
  const times = (summary: Summary | undefined): string => (summary ? `${span(summary)}×` : '')
  const noted = Object.entries(notes ?? {}).map(([key, number]) => `${key} ${short(number)}`)
  return [name, span(value), cpu ? span(cpu) : '', times(ratio), times(cpuRatio), noted.join(' · ')]
}

/** Lines of cells, each column as wide as its widest cell. */
export function aligned(rows: string[][]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((cells) => cells[column]!.length)))
  return rows.map((cells) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('   ')
      .trimEnd(),
  )
}

export function caseText(result: CaseResult): string {
  const { bench, name, unit, better, repeat, subjects, targets } = result
  const perCpu = better === 'more' ? `${unit.replace('/s', '')} per CPU second`.trim() : `CPU ${unit}`
  const head = ['', unit, perCpu, 'ringcore better', 'of CPU', '']
  const lines = aligned([head, ...subjects.map(row)])
  const judged = targets.map(
    ({ text, measured, ok }) => `  ${ok ? '✓' : '✗'} wanted ${text}: measured ${short(measured)}`,
  )
  const title = `${bench} · ${name} (${repeat} repetitions, ${better} is better)`
  return [title, ...lines.map((line) => `  ${line}`), ...judged].join('\n')
}

/** All figures that have a target, in one table. */
export function verdicts(results: CaseResult[]): string {
  const rows = results.flatMap(({ bench, name, targets }) =>
    targets.map(({ text, measured, ok }) => [
      ok ? '✓' : '✗ MISSED',
      `${bench} · ${name}`,
      `wanted ${text}`,
      `measured ${short(measured)}`,
    ]),
  )
  return rows.length === 0
    ? ''
    : `\nTargets\n${aligned(rows)
        .map((line) => `  ${line}`)
        .join('\n')}`
}

/** 1 when a bench broke, or with --check when a figure missed its target. */
export function exitCode(results: CaseResult[], broken: number, check: boolean): number {
  const missed = results.some(({ targets }) => targets.some(({ ok }) => !ok))
  return broken > 0 || (check && missed) ? 1 : 0
}
