// The benchmarks' numbers as pictures: a bar chart per case, and one chart of all ratios. Plain SVG, no script, no font of its own.
// Flow: main.ts (--svg DIR) → this.
//
// A bar is the median; the thin line over it reaches from the least to the largest repetition, the thick one over the middle
// half of them. Colours follow the reader's light or dark mode.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { CaseResult, SubjectResult } from './harness.ts'
import { short } from './report.ts'
import type { Summary } from './statistics.ts'

const WIDTH = 820
const LABELS = 210
const PLOT = 330
const ROW = 26
const PAD = 16

const STYLE = `text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 14px }
.small { font-size: 11px; fill: #57606a }
.number { font-variant-numeric: tabular-nums }
.ground { fill: #ffffff }
.grid { stroke: #d0d7de }
.one { stroke: #57606a; stroke-dasharray: 4 3 }
.ours { fill: #0969da }
.peer { fill: #8c959f }
.spread { stroke: #24292f }
.half { stroke: #24292f; stroke-width: 4; stroke-opacity: 0.55 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .small { fill: #9198a1 } .ground { fill: #0d1117 } .grid { stroke: #3d444d }
  .ours { fill: #4493f8 } .peer { fill: #656c76 } .spread, .half { stroke: #e6edf3 } .one { stroke: #9198a1 }
}`

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }

export const escapeXml = (text: string): string => text.replace(/[&<>"]/g, (char) => ENTITIES[char]!)

/** Coordinates need no more than a tenth of a pixel. */
const at = (value: number): string => String(Math.round(value * 10) / 10)

function text(x: number, y: number, content: string, attributes = ''): string {
  return `<text x="${at(x)}" y="${at(y)}"${attributes}>${escapeXml(content)}</text>`
}

function line(x1: number, y1: number, x2: number, y2: number, name: string): string {
  return `<line x1="${at(x1)}" y1="${at(y1)}" x2="${at(x2)}" y2="${at(y2)}" class="${name}"/>`
}

/** The whole picture; `title` is what a screen reader says. */
function picture(title: string, height: number, body: string[]): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${at(height)}" viewBox="0 0 ${WIDTH} ${at(height)}" role="img">`,
    `<title>${escapeXml(title)}</title>`,
    `<style>${STYLE}</style>`,
    `<rect class="ground" width="100%" height="100%"/>`,
    ...body,
    '</svg>\n',
  ].join('\n')
}

/** Round places for the lines of an axis from 0 to `most`: at most six, at 1, 2 or 5 times a power of ten. */
export function ticks(most: number): number[] {
  const rough = most / 5
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough)! * power
  return Array.from({ length: Math.floor(most / step + 1e-9) + 1 }, (_, i) => i * step)
}

/** The lines over a bar or a point that say how far the repetitions lay apart. */
function spread({ min, max, q1, q3 }: Summary, x: (value: number) => number, y: number): string[] {
  const ends = [min, max].map((value) => line(x(value), y - 4, x(value), y + 4, 'spread'))
  return [line(x(q1), y, x(q3), y, 'half'), line(x(min), y, x(max), y, 'spread'), ...ends]
}

const span = ({ median, min, max }: Summary): string => `${short(median)} [${short(min)}–${short(max)}]`

/** One group of bars: wall time or CPU time. Returns its SVG and its height. */
function bars(
  heading: string,
  rows: { name: string; value: Summary; ratio: Summary | undefined; notes: string }[],
  top: number,
): { svg: string[]; height: number } {
  const most = Math.max(...rows.map(({ value }) => value.max))
  const x = (value: number): number => LABELS + (value / most) * PLOT
  const bottom = top + 24 + rows.length * ROW
  const svg = [text(LABELS, top + 12, heading, ' class="small"')]
  svg.push(text(LABELS + PLOT + 18, top + 12, 'median [range], how many times better', ' class="small"'))
  for (const tick of ticks(most)) {
    svg.push(line(x(tick), top + 20, x(tick), bottom, 'grid'))
    svg.push(text(x(tick), bottom + 14, short(tick), ' class="small" text-anchor="middle"'))
  }
  for (const [i, { name, value, ratio, notes }] of rows.entries()) {
    const middle = top + 24 + i * ROW + ROW / 2
    svg.push(text(LABELS - 10, middle + 4, name, ' text-anchor="end"'))
    const kind = i === 0 ? 'ours' : 'peer'
    svg.push(
      `<rect class="${kind}" x="${LABELS}" y="${at(middle - 8)}" width="${at(x(value.median) - LABELS)}" height="16" rx="2">` +
        `<title>${escapeXml(`${name}: ${span(value)}${notes}`)}</title></rect>`,
    )
    svg.push(...spread(value, x, middle))
    const better = ratio === undefined ? '' : ` · ${short(ratio.median)}×`
    svg.push(text(LABELS + PLOT + 18, middle + 4, span(value) + better, ' class="number"'))
  }
  return { svg, height: bottom + 24 - top }
}

/** Whether there is something to draw. */
function finite(value: Summary | undefined): value is Summary {
  return value !== undefined && [value.median, value.min, value.max].every(Number.isFinite)
}

function noted({ notes }: SubjectResult): string {
  return Object.entries(notes ?? {})
    .map(([key, number]) => ` · ${key} ${short(number)}`)
    .join('')
}

/** The chart of one case; CPU time has bars of its own where every subject measured it. */
export function caseChart(result: CaseResult): string {
  const { bench, name, unit, better, repeat, subjects, targets } = result
  const title = `${bench} · ${name}`
  const body = [text(PAD, 24, title, ' class="title"')]
  body.push(text(PAD, 42, `${repeat} repetitions by turns · ${better} is better`, ' class="small"'))
  let top = 54
  const perCpu = better === 'more' ? `${unit.replace('/s', '')} per CPU second`.trim() : `CPU ${unit}`
  for (const [heading, ofCpu] of [
    [unit, false],
    [perCpu, true],
  ] as const) {
    const shown = subjects.flatMap((subject) => {
      const value = ofCpu ? subject.cpu : subject.value
      const ratio = ofCpu ? subject.cpuRatio : subject.ratio
      return finite(value) ? [{ name: subject.name, value, ratio, notes: noted(subject) }] : []
    })
    if (shown.length === 0) continue
    const { svg, height } = bars(heading, shown, top)
    body.push(...svg)
    top += height + 8
  }
  for (const { text: wanted, measured, ok } of targets) {
    body.push(
      text(PAD, top + 8, `${ok ? '✓' : '✗'} wanted ${wanted}: measured ${short(measured)}`, ' class="small"'),
    )
    top += 18
  }
  return picture(title, top + 8, body)
}

interface RatioRow {
  label: string
  against: string
  ratio: Summary
}

/** All ratios of a run on one scale, where twice as good is as far to the right as half as good to the left. */
export function ratioChart(results: CaseResult[], of: 'time' | 'cpu'): string | undefined {
  const rows: RatioRow[] = results.flatMap(({ bench, name, subjects }) =>
    subjects.flatMap((subject) => {
      const ratio = of === 'cpu' ? subject.cpuRatio : subject.ratio
      return finite(ratio) && ratio.min > 0
        ? [{ label: `${bench} · ${name}`, against: subject.name, ratio }]
        : []
    }),
  )
  if (rows.length === 0) return undefined
  const least = Math.log2(Math.min(0.5, ...rows.map(({ ratio }) => ratio.min)))
  const most = Math.log2(Math.max(2, ...rows.map(({ ratio }) => ratio.max)))
  const left = 330
  const x = (value: number): number => left + ((Math.log2(value) - least) / (most - least)) * 290
  const title = of === 'cpu' ? 'How many times better, by CPU time' : 'How many times better'
  const body = [text(PAD, 24, title, ' class="title"')]
  const bottom = 42 + rows.length * ROW
  const step = Math.max(1, Math.ceil((most - least) / 7))
  for (let power = Math.ceil(least / step) * step; power <= most; power += step) {
    const value = 2 ** power
    body.push(line(x(value), 38, x(value), bottom, power === 0 ? 'one' : 'grid'))
    const label = value < 1 ? `1/${1 / value}×` : `${value}×`
    body.push(text(x(value), bottom + 14, label, ' class="small" text-anchor="middle"'))
  }
  for (const [i, { label, against, ratio }] of rows.entries()) {
    const middle = 42 + i * ROW + ROW / 2
    body.push(text(left - 10, middle + 4, label, ' text-anchor="end"'))
    body.push(...spread(ratio, x, middle))
    body.push(`<circle class="ours" cx="${at(x(ratio.median))}" cy="${at(middle)}" r="5"/>`)
    body.push(text(left + 304, middle + 4, `${short(ratio.median)}× ${against}`, ' class="number"'))
  }
  return picture(title, bottom + 28, body)
}

/** "http-hello · 64 connections" → "http-hello-64-connections". */
export function fileName({ bench, name }: { bench: string; name: string }): string {
  return `${bench} ${name}`
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '')
}

/**
 * Writes a chart for each case, and one of all ratios by time and by CPU time.
 * @returns the files' names
 */
export function writeCharts(directory: string, results: CaseResult[]): string[] {
  mkdirSync(directory, { recursive: true })
  const charts: [name: string, svg: string | undefined][] = results.map((result) => [
    fileName(result),
    caseChart(result),
  ])
  charts.push(['ratios', ratioChart(results, 'time')], ['ratios-cpu', ratioChart(results, 'cpu')])
  const written: string[] = []
  for (const [name, svg] of charts) {
    if (svg === undefined) continue
    // Two cases whose names differ in their signs alone shall not overwrite each other.
    let file = `${name}.svg`
    for (let again = 2; written.includes(file); again++) file = `${name}-${again}.svg`
    writeFileSync(join(directory, file), svg)
    written.push(file)
  }
  return written
}
