// The benchmarks' harness: its arithmetic on known numbers, its order of runs, its targets, and one quick run from outside.
// Flow: this → build/bench/main.js (as a child), bench/statistics.ts, bench/harness.ts, bench/svg.ts, bench/http.ts, bench/http-hello.ts.

import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import test from 'node:test'
import { type Case, inUnit, judge, measure, type Sample } from '../bench/harness.js'
import { RequestCounter, request } from '../bench/http.js'
import { parseWrk } from '../bench/http-hello.js'
import { aligned, exitCode, short, verdicts } from '../bench/report.js'
import { median, pairedRatios, quantile, summary } from '../bench/statistics.js'
import { caseChart, ratioChart, ticks, writeCharts } from '../bench/svg.js'

import { AS_INSTALLED, oracle, requires, root, runNode, tempDir } from './helpers.js'

test('median, quartiles and paired ratios of known numbers', () => {
  assert.equal(median([3, 1, 2]), 2)
  assert.equal(median([4, 1, 3, 2]), 2.5)
  assert.equal(median([7]), 7)
  assert.equal(quantile([0, 10], 0.25), 2.5)
  assert.deepEqual(summary([5, 1, 4, 2, 3]), { median: 3, min: 1, max: 5, q1: 2, q3: 4 })
  // 9 sorts before 10: numbers, not text.
  assert.deepEqual(summary([10, 9]).min, 9)
  assert.deepEqual(pairedRatios([2, 6], [1, 2]), [2, 3])
  assert.throws(() => median([]), RangeError)
  assert.throws(() => pairedRatios([1], [1, 2]), RangeError)
})

test('units: rates count per second, times count per operation', () => {
  assert.equal(inUnit('M/s', 4_000_000, 2), 2)
  assert.equal(inUnit('k/s', 4000, 2), 2)
  assert.equal(inUnit('µs', 4, 2), 500_000)
  assert.equal(inUnit('ms', 1, 0.25), 250)
})

/** A case whose subjects take the given seconds, one after another; `log` gets the order of the runs. */
function scripted(seconds: Record<string, number[]>, log: string[], unit: Case['unit'] = 'ms'): Case {
  const subjects = Object.entries(seconds).map(([name, times]) => {
    let next = 0
    const run = (): Sample => {
      log.push(name)
      const took = times[next++ % times.length]!
      return { ops: 1, seconds: took, cpuSeconds: took / 2, notes: { 'p99 ms': took * 10 } }
    }
    return { name, run }
  })
  return { name: 'scripted', unit, subjects, warmups: 0 }
}

test('subjects alternate, and ratios are taken pair by pair', async () => {
  const log: string[] = []
  // The machine gets four times slower: the ratio of each pair stays 2.
  const result = await measure('test', scripted({ ours: [1, 4], peer: [2, 8] }, log), 4)
  assert.deepEqual(log, ['ours', 'peer', 'peer', 'ours', 'ours', 'peer', 'peer', 'ours'])
  const [ours, peer] = result.subjects
  assert.deepEqual(ours!.values, [1000, 4000, 1000, 4000])
  assert.equal(ours!.value.median, 2500)
  assert.equal(ours!.ratio, undefined)
  assert.deepEqual(peer!.ratio, { median: 2, min: 2, max: 2, q1: 2, q3: 2, values: [2, 2, 2, 2] })
  assert.equal(peer!.cpuRatio!.median, 2)
  assert.equal(peer!.notes!['p99 ms'], 50)
  assert.equal(result.better, 'less')
})

test('a rate is better when it is larger, and the ratio still says how much better ours is', async () => {
  const result = await measure('test', scripted({ ours: [1], peer: [4] }, [], 'k/s'), 3)
  assert.equal(result.better, 'more')
  assert.equal(result.subjects[1]!.ratio!.median, 4)
})

test('warm-up runs are not measured', async () => {
  const result = await measure('test', { ...scripted({ ours: [9, 1, 1] }, []), warmups: 1 }, 2)
  assert.deepEqual(result.subjects[0]!.values, [1000, 1000])
})

test('targets: ratios, slowdowns, values and the worst of all', async () => {
  const { subjects } = await measure('test', scripted({ ours: [1, 2, 1], peer: [2, 4, 2] }, []), 3)
  const ok = (target: Parameters<typeof judge>[0]): boolean => judge(target, 'ms', subjects).ok
  assert.ok(ok({ kind: 'ratio', against: 'peer', of: 'time', atLeast: 2 }))
  assert.ok(!ok({ kind: 'ratio', against: 'peer', of: 'time', atLeast: 2.1 }))
  assert.ok(ok({ kind: 'ratio', against: 'peer', of: 'cpu', atLeast: 2 }))
  assert.ok(!ok({ kind: 'ratio', against: 'nobody', of: 'time', atLeast: 0 }), 'a missing peer meets nothing')
  assert.ok(ok({ kind: 'slowdown', against: 'peer', of: 'time', atMost: 0.5 }))
  assert.ok(!ok({ kind: 'slowdown', against: 'peer', of: 'time', atMost: 0.4 }))
  assert.ok(ok({ kind: 'value', atMost: 1000 }))
  assert.ok(!ok({ kind: 'value', atLeast: 1001 }))
  assert.ok(ok({ kind: 'worst', atMost: 2000 }))
  assert.ok(!ok({ kind: 'worst', atMost: 1999 }))
})

test('tables are aligned and numbers short', () => {
  assert.deepEqual(
    aligned([
      ['a', 'bb', 'c'],
      ['aaa', 'b', ''],
    ]),
    ['a     bb   c', 'aaa   b'],
  )
  assert.deepEqual([0.12345, 1.2345, 12.345, 1234.5, Number.NaN].map(short), [
    '0.123',
    '1.23',
    '12.3',
    '1235',
    '–',
  ])
})

/** The names of all elements, after a check that each is closed where it should be and that no attribute is broken. */
function elementsOf(xml: string): string[] {
  const open: string[] = []
  const names: string[] = []
  const rest = xml.replace(
    /<(\/?)(\w+)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?)>/g,
    (_, end, name, _attributes, empty) => {
      if (end) assert.equal(open.pop(), name)
      else {
        names.push(name)
        if (!empty) open.push(name)
      }
      return ''
    },
  )
  assert.deepEqual(open, [])
  assert.doesNotMatch(rest, /<|&(?!amp;|lt;|gt;|quot;)/, 'everything else is escaped text')
  return names
}

const widths = (svg: string): number[] =>
  [...svg.matchAll(/<rect class="(?:ours|peer)"[^>]* width="([\d.]+)"/g)].map(([, width]) => Number(width))

test('a chart has a bar per subject as long as its median, once more for CPU time, and says every name', async () => {
  const result = await measure('test', scripted({ 'ours <&"': [1, 2, 3], peer: [4] }, []), 3)
  const svg = caseChart(result)
  const names = elementsOf(svg)
  assert.equal(names.filter((name) => name === 'rect').length, 1 + 4)
  assert.deepEqual(widths(svg), [165, 330, 165, 330], 'medians 2 and 4, and their halves')
  assert.match(svg, />ours &lt;&amp;&quot;<\/text>/)
  assert.match(svg, /4000 \[4000–4000\] · 2\.00×</, 'the ratio')
  assert.match(svg, />CPU ms</)

  // Where one subject has no CPU time the others still have theirs.
  const none = await measure('test', scripted({ ours: [1], peer: [4] }, []), 1)
  delete none.subjects[1]!.cpu
  assert.equal(widths(caseChart(none)).length, 3)
})

test('axes have round numbers; ratios lie on a scale where half and twice are equally far', async () => {
  assert.deepEqual(ticks(10), [0, 2, 4, 6, 8, 10])
  assert.deepEqual(ticks(0.7), [0, 0.2, 0.4, 0.6000000000000001])
  assert.ok(ticks(1234).every((tick, i) => tick === i * 500))
  const of = (ours: number, peer: number) => measure('test', scripted({ ours: [ours], peer: [peer] }, []), 1)
  const svg = ratioChart([await of(1, 4), await of(1, 1), await of(4, 1)], 'time')!
  elementsOf(svg)
  const [four, one, quarter] = [...svg.matchAll(/<circle[^>]* cx="([\d.]+)"/g)].map(([, cx]) => Number(cx))
  assert.ok(Math.abs(four! - one! - (one! - quarter!)) < 0.2, svg)
  assert.ok(four! > one!)
  assert.equal(ratioChart([], 'time'), undefined)
})

test('charts of cases whose names differ in signs alone do not overwrite each other', async (t) => {
  oracle(t)
  const one = await measure('test', scripted({ ours: [1], peer: [2] }, []), 1)
  const directory = join(tempDir(t), 'made', 'on demand')
  const files = writeCharts(directory, [one, { ...one, name: 'scripted!' }])
  assert.deepEqual(files, ['test-scripted.svg', 'test-scripted-2.svg', 'ratios.svg', 'ratios-cpu.svg'])
  assert.deepEqual(readdirSync(directory).sort(), files.toSorted())
})

test('requests are counted in whatever pieces they come', () => {
  // Paths of all lengths, so that blank lines lie at every place modulo four; lone CRs and LFs count nothing.
  const requests = Array.from(
    { length: 9 },
    (_, i) => `GET /${'x'.repeat(i)} HTTP/1.1\r\nA:\r \n\n \n\r\n\r\n`,
  )
  const all = Buffer.concat([...requests.map((text) => Buffer.from(text)), request(true), request(false)])
  for (let size = 1; size <= all.length; size++) {
    const counter = new RequestCounter()
    let counted = 0
    for (let at = 0; at < all.length; at += size) {
      const part = all.subarray(at, at + size)
      counted += counter.feed(part, part.length)
    }
    assert.equal(counted, 11, `pieces of ${size}`)
  }
})

test('the output of wrk is read, and its complaints are errors', () => {
  const text = [
    '  Latency Distribution',
    '     50%  532.00us',
    '     99%    1.20ms',
    '  120345 requests in 3.10s, 14.11MB read',
    'Requests/sec:  38821.00',
  ].join('\n')
  assert.deepEqual(parseWrk(text), { requests: 120345, seconds: 3.1, p50: 0.532, p99: 1.2 })
  assert.throws(() => parseWrk(`${text}\n  Socket errors: connect 0, read 5, write 0, timeout 0`), /read 5/)
  assert.throws(() => parseWrk('nothing'), /no result/)
})

test('a quick run prints a table, writes JSON, and fails only with --check', async (t) => {
  oracle(t)
  if (!requires(t, { op: 'IORING_OP_NOP' })) return
  const json = join(tempDir(t), 'report.json')
  const main = join(root, 'build', 'bench', 'main.js')
  const svg = join(dirname(json), 'charts')
  const args = ['nop', '--quick', '--repeat', '2', '--filter', 'promises, 128', '--json', json, '--svg', svg]
  const { code, stdout, stderr } = await runNode(main, { args, env: AS_INSTALLED })
  assert.equal(code, 0, stderr)
  assert.match(stdout, /Node v\d+.*Linux \d+/)
  assert.match(stdout, /nop · promises, 128 in flight/)
  const report = JSON.parse(readFileSync(json, 'utf8'))
  assert.deepEqual(Object.keys(report), ['machine', 'date', 'quick', 'results', 'notes', 'skipped'])
  assert.equal(report.machine.node, process.version)
  assert.equal(report.quick, true)
  assert.equal(report.results.length, 1)
  const [result] = report.results
  assert.deepEqual(
    [result.bench, result.name, result.unit, result.repeat],
    ['nop', 'promises, 128 in flight', 'M/s', 2],
  )
  for (const subject of result.subjects) {
    assert.equal(subject.values.length, 2)
    assert.ok(subject.value.min <= subject.value.median && subject.value.median <= subject.value.max)
    assert.ok(
      subject.samples.every(
        ({ ops, seconds, cpuSeconds }: Sample) => ops > 0 && seconds > 0 && cpuSeconds! > 0,
      ),
    )
  }
  assert.ok(result.subjects[1].ratio.median > 0)
  assert.deepEqual(readdirSync(svg).sort(), [
    'nop-promises-128-in-flight.svg',
    'ratios-cpu.svg',
    'ratios.svg',
  ])
  elementsOf(readFileSync(join(svg, 'nop-promises-128-in-flight.svg'), 'utf8'))
  assert.equal(result.targets[0].measured, result.subjects[0].value.median)

  const wrong = await runNode(main, { args: ['nopp'] })
  assert.equal(wrong.code, 2)
  assert.match(wrong.stderr, /No such bench: nopp/)
})

test('--check fails the run when a figure misses its target, and a bench that broke fails it always', async () => {
  const plan = scripted({ ours: [2], peer: [2] }, [])
  const met = await measure('test', { ...plan, targets: [{ kind: 'value', atMost: 2000 }] }, 1)
  const missed = await measure('test', { ...plan, targets: [{ kind: 'value', atMost: 1999 }] }, 1)
  assert.equal(exitCode([met], 0, true), 0)
  assert.equal(exitCode([met, missed], 0, true), 1)
  assert.equal(exitCode([met, missed], 0, false), 0)
  assert.equal(exitCode([met], 1, false), 1)
  assert.match(verdicts([met, missed]), /✓ +test · scripted +wanted ≤ 2000 ms.*\n.*MISSED .*wanted ≤ 1999 ms/)
})
