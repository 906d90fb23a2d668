// The tour: ringcore at work on real files and sockets, everything checked against node:fs and node:net, then measured.
// Run: npm start   (or: node build/examples/tour.js [--quick] [--spoil read|copy|echo|look ...])
//
// --quick makes everything small. --spoil changes one byte of what the ring brought in that step: the tour must notice and
// end with exit code 1, as it does whenever anything differs.

import { rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { available, defaultRing, probe, type Uring } from 'ringcore'
import { compare, type Outcome, outcomeTable } from './lib/compare.ts'
import { echoContest, type Measured, readContests, smallFilesContest } from './tour/contests.ts'
import { copyLargeFile, readEverything } from './tour/files.ts'
import { showOneRead } from './tour/one-read.ts'
import { type Finding, type Progress, say, step } from './tour/screen.ts'
import { echoToClients, raceTimers } from './tour/sockets.ts'

const SPOILABLE = ['read', 'copy', 'echo', 'look'] as const
type Spoilable = (typeof SPOILABLE)[number]

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    spoil: { type: 'string', multiple: true, default: [] },
  },
})
if (!values.spoil.every((name) => SPOILABLE.includes(name as Spoilable))) {
  console.error(`usage: tour [--quick] [--spoil ${SPOILABLE.join('|')} ...]`)
  process.exit(2)
}
const { quick, spoil } = values

/** What is done to the bytes that the ring brought in a step: nothing, unless that step is to be spoilt. */
function spoiler(name: Spoilable): (bytes: Buffer) => void {
  return (bytes) => {
    if (spoil.includes(name)) bytes[0]! ^= 1
  }
}

function whatIsThere(): Finding {
  const report = probe()
  const share = (names: Record<string, boolean>): string =>
    `${Object.values(names).filter(Boolean).length} of ${Object.keys(names).length}`
  return {
    detail: `Linux ${report.kernel}, ${report.arch}, Node ${process.versions.node}`,
    lines: [
      `this kernel has ${share(report.opcodes)} operations, ${share(report.registerOps)} register operations,`,
      `${share(report.setupFlags)} setup flags, ${share(report.features)} features; all of them: npx ringcore probe`,
    ],
  }
}

async function measure(ring: Uring, dir: string, progress: Progress): Promise<Finding> {
  const rounds = quick ? 1 : 7
  // Each client takes four descriptors: two ends on either side of the comparison.
  const room = Number(probe().limits.nofile) || 1024
  const clients = quick ? 4 : Math.max(4, Math.min(64, Math.floor((room - 100) / 4)))
  const outcomes: Outcome[] = []
  const makers: (() => Promise<Measured>)[] = [
    () => readContests(ring, dir, quick ? 256 : 16_384),
    () => smallFilesContest(ring, dir, quick ? 64 : 2000),
    () => echoContest(clients, quick ? 2 : 40),
  ]
  for (const make of makers) {
    progress('preparing the next measurement')
    const { contests, close } = await make()
    for (const contest of contests) {
      outcomes.push(
        await compare(contest, rounds, quick ? 0 : 500, (round) =>
          progress(`${contest.name}: round ${round} of ${rounds}`),
        ),
      )
    }
    await close()
  }
  return {
    detail: `${rounds} rounds by turns, after warming up; median and spread${quick ? ' (--quick: too short to mean much)' : ''}`,
    lines: outcomeTable(outcomes),
  }
}

async function tour(dir: string): Promise<boolean> {
  const ring = defaultRing()
  const results = [
    await step('Probe', async () => whatIsThere()),
    await step('Every file of this repository at once', (progress) =>
      readEverything(ring, progress, spoiler('read')),
    ),
    await step('A large file copied', (progress) =>
      copyLargeFile(ring, dir, quick ? 4 : 100, progress, spoiler('copy')),
    ),
    await step('An echo server', (progress) => echoToClients(64, progress, spoiler('echo'))),
    await step('A race', () => raceTimers(ring)),
    await step('One read', () => showOneRead(spoiler('look'))),
    await step('Measured', (progress) => measure(ring, dir, progress)),
  ]
  await ring.close()
  return results.every(Boolean)
}

const answer = available()
if (!answer.available) {
  console.error(
    `No ring can be made here: ${answer.reason}\nWhat to do: ${answer.cure}\nMore: npx ringcore doctor`,
  )
  process.exit(1)
}

const dir = await mkdtemp(join(tmpdir(), 'ringcore-tour-'))
// Whatever ends the process, the files go.
process.on('exit', () => rmSync(dir, { recursive: true, force: true }))
process.once('SIGINT', () => process.exit(130)).once('SIGTERM', () => process.exit(143))
const started = performance.now()
const isGood = await tour(dir)
const seconds = ((performance.now() - started) / 1000).toFixed(1)
say(isGood ? `All is as it should be, after ${seconds} s.` : `Something differs: see ✗ above. (${seconds} s)`)
process.exitCode = isGood ? 0 : 1
