// `ringcore probe`: every opcode, register operation, flag and feature: since which kernel, and whether this one has it.
// Flow: main.ts → this → ring/probe.ts, since.ts, op/table.ts.

import { opTable } from '../op/table.ts'
import { available, type ProbeReport, probe } from '../ring/probe.ts'
import * as abi from '../sys/abi.ts'
import { paint, print, printJson, table } from './print.ts'
import { SINCE } from './since.ts'

/** One line of the report. */
interface Entry {
  name: string
  /** Kernel version: '5.6'. */
  since: string
  supported: boolean
  /** Kernel version that taught the opcode to repeat, where that came later. */
  multishotSince?: string
}

const SECTIONS = [
  ['opcodes', 'Opcodes'],
  ['registerOps', 'Register operations'],
  ['setupFlags', 'Setup flags'],
  ['enterFlags', 'Enter flags'],
  ['sqeFlags', 'SQE flags'],
  ['features', 'Features'],
] as const

type SectionName = (typeof SECTIONS)[number][0]

function entriesOf(report: ProbeReport, section: SectionName): Entry[] {
  return Object.entries(report[section]).map(([name, supported]) => {
    const entry: Entry = { name, since: SINCE[name] ?? 'unknown', supported }
    const multishotSince = opTable.find(({ constant }) => constant === name)?.multishotSince
    if (multishotSince && multishotSince !== entry.since) entry.multishotSince = multishotSince
    return entry
  })
}

/** What bounds a ring here; a value of null is one that this kernel does not tell. */
function limitsOf({ limits }: ProbeReport): Record<string, string | number | null> {
  return {
    'SQ entries': abi.IORING_MAX_ENTRIES,
    'CQ entries': abi.IORING_MAX_CQ_ENTRIES,
    'registered buffers': abi.IORING_MAX_REG_BUFFERS,
    'registered files': abi.IORING_MAX_FIXED_FILES,
    'buffers per buffer ring': abi.PBUF_RING_MAX_ENTRIES,
    'bytes per read or write': abi.MAX_RW_COUNT,
    RLIMIT_MEMLOCK: limits.memlock,
    RLIMIT_NOFILE: limits.nofile,
    'kernel.io_uring_disabled': limits.ioUringDisabled,
    'kernel.io_uring_group': limits.ioUringGroup,
    seccomp: limits.seccomp === null ? null : (['off', 'strict', 'filter'][limits.seccomp] ?? limits.seccomp),
  }
}

function printSection(title: string, entries: readonly Entry[]): void {
  const count = entries.filter(({ supported }) => supported).length
  const rows = entries.map(({ name, since, supported, multishotSince }) => [
    supported ? '  yes' : '  no',
    since,
    name + (multishotSince ? ` (multishot ${multishotSince})` : ''),
  ])
  const lines = table(rows, (text, row, column) => {
    if (column === 0) return paint(entries[row]!.supported ? 'green' : 'red', text)
    return entries[row]!.supported ? text : paint('dim', text)
  })
  print(paint('bold', `${title}: ${count} of ${entries.length}`), ...lines, '')
}

function printReport(report: ProbeReport): void {
  print(`Linux ${report.kernel}, ${report.arch}, Node ${process.versions.node}`)
  print('Columns: whether this kernel has it, the first kernel that has it, its name', '')
  for (const [section, title] of SECTIONS) printSection(title, entriesOf(report, section))
  const limits = Object.entries(limitsOf(report)).map(([name, value]) => [
    `  ${name}`,
    String(value ?? 'not told'),
  ])
  print(paint('bold', 'Limits'), ...table(limits), '')
  if (report.missing.length === 0) print('The runtime, fs and net have what they need.')
  else print(`The runtime, fs and net need what this kernel lacks: ${report.missing.join(', ')}.`)
}

/**
 * Asks the kernel and prints its answers.
 * @returns whether there was a kernel to ask
 */
export async function runProbe(json: boolean): Promise<boolean> {
  const availability = available('ring')
  if (!availability.available) {
    if (json) printJson(availability)
    else
      print(
        `Cannot probe: ${availability.reason} (${availability.code}).`,
        `What to do: ${availability.cure}.`,
      )
    return false
  }
  const report = probe()
  if (!json) {
    printReport(report)
    return true
  }
  const sections = SECTIONS.map(([section]) => [section, entriesOf(report, section)])
  printJson({
    available: true,
    kernel: report.kernel,
    arch: report.arch,
    node: process.versions.node,
    ...Object.fromEntries(sections),
    limits: limitsOf(report),
    missing: report.missing,
    source: report.source,
  })
  return true
}
