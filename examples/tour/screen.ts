// What the tour prints: a line per step, which on a terminal is rewritten while the step works.

const isTerminal = process.stdout.isTTY === true

// Whoever pipes the tour into `head` has seen enough.
process.stdout.on('error', () => process.exit(0))

/** Says what goes on right now; only a terminal shows each of these, other outputs the first of a step. */
export type Progress = (text: string) => void

/** What a step found: a sentence, or what differs. */
export interface Finding {
  detail: string
  /** Each of these is a difference, and makes the tour fail. */
  differences?: readonly string[]
  /** What else there is to see. */
  lines?: readonly string[]
}

export function say(...lines: string[]): void {
  process.stdout.write(`${lines.join('\n')}\n`)
}

/** Runs a step and prints how it ended; returns whether all was as it should be. */
export async function step(title: string, work: (progress: Progress) => Promise<Finding>): Promise<boolean> {
  const started = performance.now()
  let announced = false
  const progress: Progress = (text) => {
    // One column is left free, or the terminal would wrap, and a wrapped line can't be rewritten.
    if (isTerminal) process.stdout.write(`\r\x1b[2K… ${text}`.slice(0, (process.stdout.columns || 80) + 4))
    else if (!announced) say(`… ${text}`)
    announced = true
  }
  const finish = (mark: string, lines: readonly string[]): void => {
    if (isTerminal) process.stdout.write('\r\x1b[2K')
    const seconds = ((performance.now() - started) / 1000).toFixed(2)
    say(`${mark} ${title}: ${lines[0]} (${seconds} s)`, ...lines.slice(1).map((line) => `    ${line}`))
  }
  progress(title)
  try {
    const { detail, differences = [], lines = [] } = await work(progress)
    const shown = differences.slice(0, 10)
    const more = differences.length - shown.length
    const mark = differences.length === 0 ? '✓' : '✗'
    finish(mark, [detail, ...lines, ...shown, ...(more > 0 ? [`and ${more} more`] : [])])
    return differences.length === 0
  } catch (error) {
    finish('✗', [error instanceof Error ? (error.stack ?? error.message) : String(error)])
    return false
  }
}
