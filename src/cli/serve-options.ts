// What `ringcore serve` may be told.
// Flow: serve.ts → this.

import { isIP } from 'node:net'
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'

export interface ServeOptions {
  directory: string
  host: string
  port: number
  workers: number
  log: boolean
  dotfiles: boolean
  listing: boolean
  precompressed: boolean
  cacheBytes: number
  /** Milliseconds; for tests, which can't wait: no option of the command line. */
  settleMs: number
  maxAge: number | undefined
  connections: number
  /** Milliseconds. */
  headTimeout: number
  idleTimeout: number
  sendTimeout: number
  grace: number
}

export const SERVE_HELP = `ringcore serve: the files of a directory over HTTP/1.1

Usage: ringcore serve [directory] [options]

Options:
  --port N              8080; 0 lets the kernel choose
  --host ADDRESS        IPv4 or IPv6 address to listen on: 127.0.0.1; '::' takes all
  --workers N           threads, each with a ring and a listener of its own: 1; 0 for one per CPU
  --log                 a line per answer on standard output, in the Combined Log Format
  --dotfiles            serves names that begin with a dot, too
  --no-listing          no pages for directories that have no index.html
  --no-precompressed    does not look for FILE.br and FILE.gz
  --cache MIB           memory for small files, in each worker: 64; 0 for none
  --max-age SECONDS     how long clients may use an answer without asking again
  --connections N       most at once, in each worker: 10000; more wait
  --head-timeout S      seconds for the head of a request: 10
  --idle-timeout S      seconds between two requests of a connection: 15
  --send-timeout S      seconds in which a client must take something: 30
  --grace S             seconds that answers under way have on SIGINT or SIGTERM: 10
  -h, --help            this text`

const TYPES = {
  port: { type: 'string', default: '8080' },
  host: { type: 'string', default: '127.0.0.1' },
  workers: { type: 'string', default: '1' },
  log: { type: 'boolean', default: false },
  dotfiles: { type: 'boolean', default: false },
  'no-listing': { type: 'boolean', default: false },
  'no-precompressed': { type: 'boolean', default: false },
  cache: { type: 'string', default: '64' },
  'max-age': { type: 'string' },
  connections: { type: 'string', default: '10000' },
  'head-timeout': { type: 'string', default: '10' },
  'idle-timeout': { type: 'string', default: '15' },
  'send-timeout': { type: 'string', default: '30' },
  grace: { type: 'string', default: '10' },
  help: { type: 'boolean', short: 'h', default: false },
} as const

function number(name: string, text: string, least: number, most: number): number {
  const value = Number(text)
  if (text.trim() !== '' && Number.isFinite(value) && value >= least && value <= most) return value
  throw new Error(`--${name} must be a number from ${least} to ${most}, not '${text}'`)
}

function whole(name: string, text: string, least: number, most: number): number {
  const value = number(name, text, least, most)
  if (Number.isInteger(value)) return value
  throw new Error(`--${name} must be a whole number, not '${text}'`)
}

/**
 * Reads the command line behind `serve`.
 * @returns undefined when help is asked for
 * @throws {Error} a sentence that says what is wrong
 */
export function serveOptions(args: string[]): ServeOptions | undefined {
  const { values, positionals } = parseArgs({ args, options: TYPES, allowPositionals: true })
  if (values.help) return undefined
  if (positionals.length > 1)
    throw new Error(`Only one directory can be served, and '${positionals[1]}' is a second`)
  if (isIP(values.host) === 0) throw new Error(`--host must be an IPv4 or IPv6 address, not '${values.host}'`)
  const workers = whole('workers', values.workers, 0, 1024)
  const seconds = (name: 'head-timeout' | 'idle-timeout' | 'send-timeout' | 'grace'): number =>
    number(name, values[name], name === 'grace' ? 0 : 0.1, 86_400) * 1000
  return {
    directory: positionals[0] ?? '.',
    host: values.host,
    port: whole('port', values.port, 0, 65_535),
    workers: workers === 0 ? availableParallelism() : workers,
    log: values.log,
    dotfiles: values.dotfiles,
    listing: !values['no-listing'],
    precompressed: !values['no-precompressed'],
    cacheBytes: number('cache', values.cache, 0, 65_536) * 2 ** 20,
    settleMs: 3000,
    maxAge: values['max-age'] === undefined ? undefined : whole('max-age', values['max-age'], 0, 2 ** 31),
    connections: whole('connections', values.connections, 1, 1_000_000),
    headTimeout: seconds('head-timeout'),
    idleTimeout: seconds('idle-timeout'),
    sendTimeout: seconds('send-timeout'),
    grace: seconds('grace'),
  }
}
