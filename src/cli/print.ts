// Plain, aligned text for people; colour only where a terminal shows it.
// Flow: probe-command.ts, doctor.ts, main.ts → this → standard output.

import { styleText } from 'node:util'

type Style = 'bold' | 'dim' | 'green' | 'red' | 'yellow'

/** NO_COLOR and pipes want none. */
const isColoured = Boolean(process.stdout.isTTY) && !process.env.NO_COLOR && process.env.TERM !== 'dumb'

/** Colours text for a terminal, and leaves it alone elsewhere. */
export function paint(style: Style, text: string): string {
  return isColoured ? styleText(style, text) : text
}

/** Writes lines; nobody has to read them to the end. */
export function print(...lines: string[]): void {
  process.stdout.write(`${lines.join('\n')}\n`)
}

/** Writes a value for tools. */
export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, 2))
}

/** Aligns the columns of rows, two spaces apart; a last column is not padded. `style` paints whole cells. */
export function table(
  rows: readonly (readonly string[])[],
  style: (text: string, row: number, column: number) => string = (text) => text,
): string[] {
  const widths: number[] = []
  for (const row of rows) {
    for (const [column, text] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, text.length)
  }
  return rows.map((row, r) =>
    row
      .map(
        (text, c) => style(text, r, c) + (c === row.length - 1 ? '' : ' '.repeat(widths[c]! - text.length)),
      )
      .join('  ')
      .trimEnd(),
  )
}
