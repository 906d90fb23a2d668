// A bar on a terminal for what takes long. It goes to standard error, and only when that is a terminal.
// Flow: cp-command.ts, cat-command.ts, du-command.ts → this → cli-progress, which is loaded only for a terminal.

import type { SingleBar } from 'cli-progress'

/** What takes less than this needs no bar, in milliseconds. */
const PATIENCE_MS = 300

/** Bytes as people write them: 1.5 MiB. */
export function human(bytes: number): string {
  let value = bytes
  for (const unit of ['B', 'KiB', 'MiB', 'GiB']) {
    if (value < 1024) return `${unit === 'B' ? value : value.toFixed(1)} ${unit}`
    value /= 1024
  }
  return `${value.toFixed(1)} TiB`
}

/** A bar, or nothing where nobody sees it. */
export class Bar {
  readonly #bar: SingleBar | null
  readonly #since = performance.now()
  #total: number
  #shown = false

  private constructor(bar: SingleBar | null, total: number) {
    this.#bar = bar
    this.#total = total
  }

  /** @param total what 100 % is, in bytes; 0 when that is not known */
  static async open(total: number): Promise<Bar> {
    if (!process.stderr.isTTY || process.env.TERM === 'dumb') return new Bar(null, total)
    const { default: progress } = await import('cli-progress')
    const format =
      total > 0 ? '{bar} {percentage}% · {done} of {all} · {files} files' : '{files} files · {done}'
    const bar = new progress.SingleBar(
      { format, hideCursor: true, clearOnComplete: true, stream: process.stderr },
      progress.Presets.shades_classic,
    )
    return new Bar(bar, total)
  }

  /** Whether somebody sees it: else there is no need to find out the total. */
  static get isSeen(): boolean {
    return Boolean(process.stderr.isTTY) && process.env.TERM !== 'dumb'
  }

  update({ files, bytes }: { files: number; bytes: number }): void {
    if (this.#bar === null || performance.now() - this.#since < PATIENCE_MS) return
    // What grew meanwhile must not go beyond the end.
    this.#total = Math.max(this.#total, bytes)
    const payload = { files, done: human(bytes), all: human(this.#total) }
    if (!this.#shown) this.#bar.start(this.#total, bytes, payload)
    this.#shown = true
    this.#bar.setTotal(this.#total)
    this.#bar.update(bytes, payload)
  }

  /** Takes the bar away: messages and the shell's prompt find a clean line. */
  close(): void {
    if (this.#shown) this.#bar?.stop()
    this.#shown = false
  }
}
