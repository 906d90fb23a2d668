// `ringcore du`: how much space trees take.
// Flow: main.ts → this → fs/walk.ts (with metadata from chains of statx). Messages and exit codes as du of coreutils.

import { lstat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { parseArgs } from 'node:util'
import { type WalkEntry, walk } from '../fs/walk.ts'
import { complain, misused, reason } from './complain.ts'
import { print } from './print.ts'
import { Bar } from './progress.ts'

const HELP = `Usage: ringcore du [options] [path]...

How much space directories and what is in them take, in KiB. Without a path: the working directory. A file with several names
counts once.

  -s, --summarize        only the total of each path
  -a, --all              files too
  -b, --bytes            bytes that are in them, instead of the space that they take
  -H, --human-readable   1.5M instead of 1536
  -h, --help             this text

Exit code: 0; 1 when something could not be read, or for wrong usage.`

const OPTIONS = {
  summarize: { type: 'boolean', short: 's', default: false },
  all: { type: 'boolean', short: 'a', default: false },
  bytes: { type: 'boolean', short: 'b', default: false },
  'human-readable': { type: 'boolean', short: 'H', default: false },
  help: { type: 'boolean', short: 'h', default: false },
} as const

type Values = ReturnType<typeof parse>['values']

/** What of a file's metadata counts. */
interface Taken {
  dev: number
  ino: number
  nlink: number
  size: number
  blocks: number
}

/** @returns the exit code */
export async function runDu(args: string[]): Promise<number> {
  let parsed: ReturnType<typeof parse>
  try {
    parsed = parse(args)
  } catch (error) {
    return misused('du', (error as Error).message)
  }
  const { values, positionals } = parsed
  if (values.help) {
    print(HELP)
    return 0
  }
  const counting = new Counting(values, await Bar.open(0))
  let code = 0
  for (const path of positionals.length === 0 ? ['.'] : positionals)
    if (!(await counting.path(path))) code = 1
  return code
}

function parse(args: string[]) {
  return parseArgs({ args, options: OPTIONS, allowPositionals: true })
}

class Counting {
  readonly #values: Values
  readonly #bar: Bar
  /** Files with several names that were counted, as "device:inode". */
  readonly #seen = new Set<string>()
  #files = 0
  #bytes = 0

  constructor(values: Values, bar: Bar) {
    this.#values = values
    this.#bar = bar
  }

  /** Counts a path and all below it; returns whether all could be read. */
  async path(path: string): Promise<boolean> {
    const lines: { path: string; bytes: number; isShown: boolean; parent: number }[] = []
    /** Where in `lines` a directory is. */
    const places = new Map<string, number>()
    let isWhole = true
    try {
      const own = await lstat(path)
      lines.push({ path, bytes: this.#count(own), isShown: true, parent: -1 })
      places.set(path, 0)
      if (own.isDirectory()) {
        for await (const entry of walk(path, { stats: true, onError: 'collect' })) {
          if (entry.error !== undefined) {
            isWhole = false
            this.#bar.close()
            complain('du', `cannot read directory '${entry.path}': ${reason(entry.error)}`)
            continue
          }
          lines.push({
            path: entry.path,
            bytes: entry.stats === null ? 0 : this.#count(entry.stats),
            isShown: this.#shows(entry),
            parent: entry.depth === 1 ? 0 : places.get(dirname(entry.path))!,
          })
          if (entry.dirent.isDirectory()) places.set(entry.path, lines.length - 1)
        }
      }
    } catch (error) {
      this.#bar.close()
      complain('du', `cannot access '${path}': ${reason(error)}`)
      return false
    }
    this.#bar.close()
    // From the last to the first: what is in a directory comes before the directory.
    for (let i = lines.length - 1; i >= 0; i--) {
      const line = lines[i]!
      if (line.isShown) print(`${this.#text(line.bytes)}\t${line.path}`)
      if (line.parent >= 0) lines[line.parent]!.bytes += line.bytes
    }
    return isWhole
  }

  #shows({ dirent }: WalkEntry): boolean {
    return !this.#values.summarize && (this.#values.all || dirent.isDirectory())
  }

  #count({ dev, ino, nlink, size, blocks }: Taken): number {
    const key = nlink > 1 ? `${dev}:${ino}` : ''
    if (key !== '' && this.#seen.has(key)) return 0
    if (key !== '') this.#seen.add(key)
    const bytes = this.#values.bytes ? size : blocks * 512
    this.#files++
    this.#bytes += bytes
    if ((this.#files & 1023) === 0) this.#bar.update({ files: this.#files, bytes: this.#bytes })
    return bytes
  }

  #text(bytes: number): string {
    if (!this.#values['human-readable']) return String(this.#values.bytes ? bytes : Math.ceil(bytes / 1024))
    let value = bytes
    for (const unit of ['', 'K', 'M', 'G', 'T']) {
      if (value < 1024 || unit === 'T') return `${rounded(value, unit)}${unit}`
      value /= 1024
    }
    return String(bytes)
  }
}

/** As du: up, and one digit behind the point below ten. */
function rounded(value: number, unit: string): string {
  if (unit === '' || value >= 10) return String(Math.ceil(value))
  return (Math.ceil(value * 10) / 10).toFixed(1)
}
