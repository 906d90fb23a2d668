// `ringcore cat`: files to standard output, reading one block while the last is written.
// Flow: main.ts → this → fs/file.ts. Messages and exit codes as cat of coreutils.

import { stat } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { File } from '../fs/file.ts'
import { complain, misused, reason } from './complain.ts'
import { print } from './print.ts'
import { Bar } from './progress.ts'

const HELP = `Usage: ringcore cat [file]...

Writes files to standard output, one after another. Without a file, or for -, standard input.

  -h, --help   this text

Exit code: 0; 1 when a file could not be read, or for wrong usage.`

const BLOCK = 256 * 1024

/** @returns the exit code */
export async function runCat(args: string[]): Promise<number> {
  let parsed: ReturnType<typeof parse>
  try {
    parsed = parse(args)
  } catch (error) {
    return misused('cat', (error as Error).message)
  }
  const { values, positionals } = parsed
  if (values.help) {
    print(HELP)
    return 0
  }
  const paths = positionals.length === 0 ? ['-'] : positionals
  // On the terminal that the text goes to, a bar would be in its way.
  const isShown = Bar.isSeen && process.stdout.isTTY !== true
  const output = new Output(await Bar.open(isShown ? await sizeOf(paths) : 0), isShown)
  let code = 0
  for (const path of paths) {
    try {
      await output.copy(path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EPIPE') break // nobody reads on
      output.close()
      complain('cat', `${path}: ${reason(error)}`)
      code = 1
    }
  }
  output.close()
  return code
}

function parse(args: string[]) {
  return parseArgs({
    args,
    options: { help: { type: 'boolean', short: 'h', default: false } },
    allowPositionals: true,
  })
}

async function sizeOf(paths: string[]): Promise<number> {
  let bytes = 0
  for (const path of paths) {
    if (path !== '-')
      bytes += await stat(path).then(
        (stats) => stats.size,
        () => 0,
      )
  }
  return bytes
}

class Output {
  readonly #bar: Bar
  readonly #isShown: boolean
  #files = 0
  #bytes = 0

  constructor(bar: Bar, isShown: boolean) {
    this.#bar = bar
    this.#isShown = isShown
  }

  async copy(path: string): Promise<void> {
    if (path === '-') {
      for await (const chunk of process.stdin) await this.#write(chunk)
      return
    }
    const file = await File.open(path)
    try {
      let [block, other] = [Buffer.allocUnsafe(BLOCK), Buffer.allocUnsafe(BLOCK)]
      for (let bytes = await file.read(block); bytes > 0; ) {
        const ahead = file.read(other)
        const written = this.#write(block.subarray(0, bytes))
        const [next] = await Promise.allSettled([ahead, written])
        await written
        if (next.status === 'rejected') throw next.reason
        bytes = next.value
        ;[block, other] = [other, block]
      }
    } finally {
      await file.close()
    }
    this.#files++
  }

  #write(bytes: Buffer): Promise<void> {
    this.#bytes += bytes.length
    if (this.#isShown) this.#bar.update({ files: this.#files, bytes: this.#bytes })
    return new Promise((resolve, reject) => {
      process.stdout.write(bytes, (error) => (error ? reject(error) : resolve()))
    })
  }

  close(): void {
    this.#bar.close()
  }
}
