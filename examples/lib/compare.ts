// Measures two ways of doing a job against each other in one run: by turns, so that whatever else the machine does hits both.

/** One job and two ways to do it. */
export interface Contest {
  name: string
  /** How many things one run of the job does; times are shown per thing when `per` names it. */
  count: number
  per?: string
  ours: () => Promise<unknown>
  theirs: () => Promise<unknown>
  /** Whom ours is measured against. */
  peer: string
}

/** Times of one way, in milliseconds. */
export interface Times {
  /** The very first run, with nothing compiled or cached yet. */
  cold: number
  median: number
  min: number
  max: number
}

export interface Outcome {
  contest: Contest
  ours: Times
  theirs: Times
}

async function time(job: () => Promise<unknown>): Promise<number> {
  const started = performance.now()
  await job()
  return performance.now() - started
}

function summarise([cold = 0, ...samples]: number[]): Times {
  const sorted = samples.toSorted((a, b) => a - b)
  return {
    cold,
    median: sorted[sorted.length >> 1]!,
    min: sorted[0]!,
    max: sorted.at(-1)!,
  }
}

/**
 * Runs a contest: a cold run of each, more of them to warm up, then `rounds` in which they take turns in going first.
 * @param warmUpMs how long to go on before it counts: short jobs need many runs until they are compiled
 * @param onRound is told before each round; 0 is the warm-up
 */
export async function compare(
  contest: Contest,
  rounds: number,
  warmUpMs: number,
  onRound: (round: number) => void = () => {},
): Promise<Outcome> {
  onRound(0)
  const ours = [await time(contest.ours)]
  const theirs = [await time(contest.theirs)]
  const warm = performance.now() + warmUpMs
  while (performance.now() < warm) {
    await contest.ours()
    await contest.theirs()
  }
  for (let round = 1; round <= rounds; round++) {
    onRound(round)
    if (round % 2 === 0) ours.push(await time(contest.ours))
    theirs.push(await time(contest.theirs))
    if (round % 2 === 1) ours.push(await time(contest.ours))
  }
  return { contest, ours: summarise(ours), theirs: summarise(theirs) }
}

/** A duration in the unit that suits it. */
export function duration(ms: number): string {
  if (ms < 0.1) return `${(ms * 1000).toFixed(2)} µs`
  return ms < 1000 ? `${ms.toPrecision(3)} ms` : `${(ms / 1000).toFixed(2)} s`
}

function cells({ contest, ours, theirs }: Outcome, withCold: boolean): string[] {
  const unit = contest.per === undefined ? 1 : contest.count
  const show = (times: Times): string[] => [
    ...(withCold ? [duration(times.cold / unit)] : []),
    duration(times.median / unit),
    `${duration(times.min / unit)} – ${duration(times.max / unit)}`,
  ]
  const per = contest.per === undefined ? '' : ` (per ${contest.per})`
  return [
    contest.name + per,
    ...show(ours),
    contest.peer,
    ...show(theirs),
    `${(theirs.median / ours.median).toFixed(2)}×`,
  ]
}

/** The outcomes as lines of text: who took how long, and how many times faster ours was by the medians. */
export function outcomeTable(outcomes: readonly Outcome[], withCold = false): string[] {
  const times = [...(withCold ? ['first'] : []), 'median', 'spread']
  const rows = [
    ['', 'ringcore', ...times.slice(1), 'against', ...times, 'faster'],
    ...outcomes.map((outcome) => cells(outcome, withCold)),
  ]
  if (withCold)
    rows[0] = ['', 'ringcore first', 'median', 'spread', 'against', 'first', 'median', 'spread', 'faster']
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  return rows.map((row) =>
    row
      .map((text, column) => text.padEnd(widths[column]!))
      .join('  ')
      .trimEnd(),
  )
}
