// Interleaved, paired measurement: the subjects of a case run one after another, again and again, in one run.
// Flow: main.ts, test/62 → this → statistics.ts; the benches (nop.ts, read4k.ts …) say what the cases are.
//
// A case has subjects that do the same work. The first one is ringcore's, the others are what it is held against. After a
// warm-up each repetition runs every subject once, forwards and backwards in turn, so that a machine that gets slower or
// a cache that gets warmer favours nobody. Ratios are taken between the runs of one repetition, never between medians of
// different times. A ratio above 1 always means that ringcore is better.

import { pairedRatios, type Summary, summary } from './statistics.ts'

/** What one run of a subject measured. */
export interface Sample {
  /** Operations, requests, files … that were done. */
  ops: number
  /** Wall time. */
  seconds: number
  /** CPU time, user and system, of all threads that the subject used. */
  cpuSeconds?: number
  /** Further numbers of this run, such as latencies: shown beside the subject, as medians. */
  notes?: Record<string, number>
}

export interface Subject {
  name: string
  run(): Sample | Promise<Sample>
}

/** How a sample becomes the number in the table. */
export type Unit = 'M/s' | 'k/s' | '/s' | 'ns' | 'µs' | 'ms' | 's'

/** What the case must show. Ratios are judged by their median. */
export type Target =
  | { kind: 'ratio'; against: string; of: 'time' | 'cpu'; atLeast: number }
  | { kind: 'slowdown'; against: string; of: 'time' | 'cpu'; atMost: number }
  | { kind: 'value'; atLeast?: number; atMost?: number }
  /** The worst repetition, cold ones included. */
  | { kind: 'worst'; atMost: number }
  /** One of our own notes, in its worst repetition. */
  | { kind: 'note'; note: string; atMost: number }
  /** One of our own notes, held against the same note of another subject. */
  | { kind: 'note-ratio'; note: string; against: string; atMost: number }

export interface Case {
  name: string
  unit: Unit
  /** The first is ringcore's. */
  subjects: Subject[]
  targets?: Target[]
  /** Repetitions instead of the run's own number, for cases that take long. */
  repeat?: number
  /** Unmeasured rounds before; default 1. */
  warmups?: number
  close?(): void | Promise<void>
}

/** What a bench gets: how thorough to be, and how to say that a part can't run here. */
export interface Context {
  quick: boolean
  /** The number of operations: `full`, or the smaller one with --quick. */
  amount(full: number, quick: number): number
  /** Whether --filter wants a case; benches ask before they prepare something expensive. */
  wants(name: string): boolean
  /** Says that a subject or a case is left out, and why. */
  skip(what: string, reason: string): void
  /** Says something that belongs beside the numbers: file system, load generator. */
  note(text: string): void
  /** A directory that disappears with the run. */
  directory: string
}

export interface Bench {
  name: string
  /** One line: what is measured. */
  about: string
  cases(context: Context): AsyncGenerator<Case>
}

export interface SubjectResult {
  name: string
  /** In the case's unit, one per repetition. */
  values: number[]
  value: Summary
  samples: Sample[]
  /** CPU time in the same unit (for rates: operations per CPU second), where every sample had one. */
  cpu?: Summary
  notes?: Record<string, number>
  /** How many times better ringcore is; absent on ringcore's own row. */
  ratio?: Summary & { values: number[] }
  cpuRatio?: Summary & { values: number[] }
}

export interface TargetResult {
  target: Target
  text: string
  measured: number
  ok: boolean
}

export interface CaseResult {
  bench: string
  name: string
  unit: Unit
  /** Whether a larger number is the better one. */
  better: 'more' | 'less'
  repeat: number
  subjects: SubjectResult[]
  targets: TargetResult[]
}

const PER_SECOND: Partial<Record<Unit, number>> = { 'M/s': 1e-6, 'k/s': 1e-3, '/s': 1 }
const PER_OP: Partial<Record<Unit, number>> = { ns: 1e9, µs: 1e6, ms: 1e3, s: 1 }

/** The number that stands for `ops` in `seconds`. */
export function inUnit(unit: Unit, ops: number, seconds: number): number {
  const rate = PER_SECOND[unit]
  return rate === undefined ? (seconds / ops) * PER_OP[unit]! : (ops / seconds) * rate
}

/** Runs `work` and measures wall and CPU time of this process. */
export async function timed(ops: number, work: () => unknown): Promise<Sample> {
  const cpu = process.cpuUsage()
  const start = process.hrtime.bigint()
  await work()
  const nanoseconds = process.hrtime.bigint() - start
  const { user, system } = process.cpuUsage(cpu)
  return { ops, seconds: Number(nanoseconds) / 1e9, cpuSeconds: (user + system) / 1e6 }
}

/** Runs a case: warm-up, then `repeat` repetitions of all subjects in alternating order. */
export async function measure(
  bench: string,
  plan: Case,
  repeat: number,
  progress: (done: number, all: number) => void = () => {},
): Promise<CaseResult> {
  const { subjects, unit } = plan
  const rounds = plan.repeat ?? repeat
  const warmups = plan.warmups ?? 1
  const samples: Sample[][] = subjects.map(() => [])
  for (let round = -warmups; round < rounds; round++) {
    progress(round + warmups, rounds + warmups)
    const order = subjects.map((_, index) => index)
    if (round % 2 !== 0) order.reverse()
    for (const index of order) {
      globalThis.gc?.()
      const sample = await subjects[index]!.run()
      if (round >= 0) samples[index]!.push(sample)
    }
  }
  const results = subjects.map(({ name }, index) => subjectResult(name, unit, samples[index]!, samples[0]!))
  delete results[0]!.ratio
  delete results[0]!.cpuRatio
  return {
    bench,
    name: plan.name,
    unit,
    better: PER_SECOND[unit] === undefined ? 'less' : 'more',
    repeat: rounds,
    subjects: results,
    targets: (plan.targets ?? []).map((target) => judge(target, unit, results)),
  }
}

function subjectResult(name: string, unit: Unit, samples: Sample[], ours: Sample[]): SubjectResult {
  const values = samples.map(({ ops, seconds }) => inUnit(unit, ops, seconds))
  const result: SubjectResult = { name, values, value: summary(values), samples }
  const speed = (sample: Sample): number => sample.ops / sample.seconds
  const ratios = pairedRatios(ours.map(speed), samples.map(speed))
  result.ratio = { ...summary(ratios), values: ratios }
  const cpuSpeed = ({ ops, cpuSeconds }: Sample): number => (cpuSeconds ? ops / cpuSeconds : Number.NaN)
  const cpuValues = samples.map(({ ops, cpuSeconds }) => inUnit(unit, ops, cpuSeconds || Number.NaN))
  if (!cpuValues.some(Number.isNaN)) {
    result.cpu = summary(cpuValues)
    const cpuRatios = pairedRatios(ours.map(cpuSpeed), samples.map(cpuSpeed))
    if (!cpuRatios.some(Number.isNaN)) result.cpuRatio = { ...summary(cpuRatios), values: cpuRatios }
  }
  const keys = Object.keys(samples[0]?.notes ?? {})
  if (keys.length > 0) {
    result.notes = Object.fromEntries(
      keys.map((key) => [key, summary(samples.map(({ notes }) => notes?.[key] ?? Number.NaN)).median]),
    )
  }
  return result
}

/** Holds a case's results against one of its targets. */
export function judge(target: Target, unit: Unit, results: SubjectResult[]): TargetResult {
  const own = results[0]!.value
  if (target.kind === 'value') {
    const { atLeast = Number.NEGATIVE_INFINITY, atMost = Number.POSITIVE_INFINITY } = target
    const text = target.atLeast === undefined ? `≤ ${atMost} ${unit}` : `≥ ${atLeast} ${unit}`
    return { target, text, measured: own.median, ok: own.median >= atLeast && own.median <= atMost }
  }
  if (target.kind === 'worst') {
    const measured = PER_SECOND[unit] === undefined ? own.max : own.min
    return { target, text: `worst ≤ ${target.atMost} ${unit}`, measured, ok: measured <= target.atMost }
  }
  if (target.kind === 'note') {
    const measured = Math.max(...results[0]!.samples.map(({ notes }) => notes?.[target.note] ?? Number.NaN))
    return {
      target,
      text: `${target.note}, worst ≤ ${target.atMost}`,
      measured,
      ok: measured <= target.atMost,
    }
  }
  const other = results.find(({ name }) => name === target.against)
  if (target.kind === 'note-ratio') {
    const measured =
      (results[0]!.notes?.[target.note] ?? Number.NaN) / (other?.notes?.[target.note] ?? Number.NaN)
    const text = `${target.note} ≤ ${target.atMost}× ${target.against}`
    return { target, text, measured, ok: measured <= target.atMost }
  }
  const ratio = target.of === 'cpu' ? other?.cpuRatio : other?.ratio
  const of = target.of === 'cpu' ? 'CPU ' : ''
  const measured = ratio?.median ?? Number.NaN
  if (target.kind === 'ratio') {
    return {
      target,
      text: `${of}≥ ${target.atLeast}× ${target.against}`,
      measured,
      ok: measured >= target.atLeast,
    }
  }
  const slowdown = 1 / measured
  return {
    target,
    text: `${of}≤ ${target.atMost}× ${target.against}`,
    measured: slowdown,
    ok: slowdown <= target.atMost,
  }
}
