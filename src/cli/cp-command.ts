// `ringcore cp`: copies files and trees, with a bar on a terminal.
// Flow: main.ts → this → fs/cp.ts. Messages and exit codes as cp of coreutils.

import { lstat, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { cp } from '../fs/cp.ts'
import { walk } from '../fs/walk.ts'
import { complain, misused, reason } from './complain.ts'
import { print } from './print.ts'
import { Bar } from './progress.ts'

const HELP = `Usage: ringcore cp [options] <source>... <destination>

Copies files, and with -r directories. A destination that is a directory takes what is copied into it.

  -r, -R, --recursive   directories with all that is in them; links stay links
  -n, --no-clobber      leave what is there
  -p, --preserve        keep access and modification times
  -h, --help            this text

Exit code: 0; 1 when something could not be copied, or for wrong usage.`

const OPTIONS = {
  recursive: { type: 'boolean', short: 'r', default: false },
  Recursive: { type: 'boolean', short: 'R', default: false },
  'no-clobber': { type: 'boolean', short: 'n', default: false },
  preserve: { type: 'boolean', short: 'p', default: false },
  help: { type: 'boolean', short: 'h', default: false },
} as const

interface Choice {
  recursive: boolean
  force: boolean
  preserveTimestamps: boolean
}

/** @returns the exit code */
export async function runCp(args: string[]): Promise<number> {
  let parsed: ReturnType<typeof parse>
  try {
    parsed = parse(args)
  } catch (error) {
    return misused('cp', (error as Error).message)
  }
  const { values, positionals } = parsed
  if (values.help) {
    print(HELP)
    return 0
  }
  const target = positionals.pop()
  if (target === undefined) return misused('cp', 'missing file operand')
  if (positionals.length === 0) return misused('cp', `missing destination file operand after '${target}'`)
  const isDirectory = await stat(target).then(
    (stats) => stats.isDirectory(),
    () => false,
  )
  if (positionals.length > 1 && !isDirectory) return misused('cp', `target '${target}': No such directory`)
  const choice = {
    recursive: values.recursive || values.Recursive,
    force: !values['no-clobber'],
    preserveTimestamps: values.preserve,
  }
  let code = 0
  for (const source of positionals) {
    const destination = isDirectory ? join(target, basename(source)) : target
    if (!(await copyOne(source, destination, choice))) code = 1
  }
  return code
}

function parse(args: string[]) {
  return parseArgs({ args, options: OPTIONS, allowPositionals: true })
}

/** Returns whether it was copied. */
async function copyOne(source: string, destination: string, choice: Choice): Promise<boolean> {
  const { recursive } = choice
  try {
    const stats = await (recursive ? lstat : stat)(source)
    if (stats.isDirectory() && !recursive) {
      complain('cp', `-r not specified; omitting directory '${source}'`)
      return false
    }
  } catch (error) {
    complain('cp', `cannot stat '${source}': ${reason(error)}`)
    return false
  }
  if ((await stat(dirname(destination)).catch(() => null)) === null) {
    // fs.promises.cp would make the directories above it.
    complain('cp', `cannot create '${destination}': No such file or directory`)
    return false
  }
  const bar = await Bar.open(Bar.isSeen ? await sizeOf(source) : 0)
  try {
    // Links of the command line are followed without -r; those in a tree stay as they are.
    await cp(source, destination, {
      ...choice,
      dereference: !recursive,
      verbatimSymlinks: recursive,
      onProgress: (progress) => bar.update(progress),
    })
    return true
  } catch (error) {
    bar.close()
    complain('cp', `cannot copy '${(error as NodeJS.ErrnoException).path ?? source}': ${reason(error)}`)
    return false
  } finally {
    bar.close()
  }
}

/** What there is to copy, in bytes. */
async function sizeOf(source: string): Promise<number> {
  const own = await lstat(source)
  if (!own.isDirectory()) return own.size
  let bytes = 0
  for await (const { dirent, stats } of walk(source, { stats: true, onError: 'collect' }))
    if (dirent.isFile()) bytes += stats?.size ?? 0
  return bytes
}
