// HTTP hello: a server on one CPU, load on another; keep-alive, one request a connection, and all connections at once.
// Flow: main.ts → this → net-tools.ts, http-server.ts (a child per subject), bench/c/server.c, wrk as a second opinion.

import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Bench, Case, Context, Sample } from './harness.ts'
import { BODY } from './http.ts'
import {
  cpuSecondsOf,
  cServer,
  LOAD_CPU,
  nodeServer,
  notePlaces,
  pinned,
  type Server,
  type Start,
  serverSubjects,
} from './net-tools.ts'
import { findProgram } from './tools.ts'

const CONNECTIONS = 64
const AT_ONCE = 1000
const NET = { kind: 'ratio', against: 'node:net' } as const

const MILLISECONDS: Record<string, number> = { us: 1e-3, ms: 1, s: 1e3, m: 6e4 }

interface Load {
  requests: number
  seconds: number
  p50: number
  p99: number
}

/** Reads what wrk printed; whatever was not answered with 200 is an error. */
export function parseWrk(text: string): Load {
  const problem = /^.*(Socket errors|Non-2xx).*$/m.exec(text)
  if (problem !== null) throw new Error(`wrk: ${problem[0].trim()}`)
  const latency = (percent: number): number => {
    const match = new RegExp(`^\\s+${percent}%\\s+([\\d.]+)(us|ms|s|m)`, 'm').exec(text)
    return match === null ? Number.NaN : Number(match[1]) * MILLISECONDS[match[2]!]!
  }
  const done = /(\d+) requests in ([\d.]+)s/.exec(text)
  if (done === null) throw new Error(`wrk printed no result:\n${text}`)
  return { requests: Number(done[1]), seconds: Number(done[2]), p50: latency(50), p99: latency(99) }
}

/** The servers that answer hello; `mode` is 'keep' or 'close'. */
function servers(context: Context, mode: 'keep' | 'close'): Record<string, Start> {
  const node =
    (kind: string): Start =>
    () =>
      nodeServer('http-server', [kind, mode])
  return {
    'TcpStream, callbacks': node('ring-callbacks'),
    'TcpStream, promises': node('ring'),
    'node:net': node('net'),
    'ringcore/net': node('ring-net'),
    'node:http': node('http'),
    'liburing in C': () => cServer(context, mode === 'keep' ? 'http' : 'http-close'),
  }
}

/** The same servers under wrk, which looks at the status alone: nobody shall doubt our own load generator. */
async function underWrk(context: Context, wrk: string): Promise<Case> {
  const started: Server[] = []
  // wrk counts in whole seconds.
  const seconds = context.amount(2, 1)
  const measure = async ({ port, pid }: Server): Promise<Sample> => {
    const url = `http://127.0.0.1:${port}/`
    const args = [wrk, '-t1', `-c${CONNECTIONS}`, `-d${seconds}s`, '--latency', url]
    const [program, ...rest] = pinned(LOAD_CPU, args)
    const before = cpuSecondsOf(pid)
    const { requests, seconds: wall, p50, p99 } = parseWrk((await promisify(execFile)(program!, rest)).stdout)
    const cpuSeconds = cpuSecondsOf(pid) - before
    return { ops: requests, seconds: wall, cpuSeconds, notes: { 'p50 ms': p50, 'p99 ms': p99 } }
  }
  const subjects: Case['subjects'] = []
  for (const [name, start] of Object.entries(servers(context, 'keep'))) {
    const server = await start()
    if (server === undefined) continue
    started.push(server)
    subjects.push({ name, run: () => measure(server) })
  }
  const close = async (): Promise<void> => {
    for (const { stop } of started) await stop()
  }
  return { name: `${CONNECTIONS} connections, load from wrk`, unit: 'k/s', subjects, close }
}

export const httpHello: Bench = {
  name: 'http-hello',
  about: 'HTTP hello from a server on one CPU, one request at a time on each connection',
  async *cases(context: Context) {
    notePlaces(context)
    const body = join(context.directory, 'hello')
    writeFileSync(body, BODY)
    const milliseconds = String(context.amount(1000, 50))
    const ask = (mode: 'keep' | 'close') => ['http', '/', body, mode]

    let name = `${CONNECTIONS} connections`
    if (context.wants(name)) {
      const work = { connections: CONNECTIONS, ask: ask('keep') }
      yield {
        name,
        unit: 'k/s',
        ...(await serverSubjects(servers(context, 'keep'), work, milliseconds)),
        targets: [
          { ...NET, of: 'cpu', atLeast: 1.4 },
          { kind: 'ratio', against: 'liburing in C', of: 'cpu', atLeast: 0.95 },
          { kind: 'note-ratio', note: 'p99 ms', against: 'node:net', atMost: 1 },
        ],
      }
    }
    name = `${CONNECTIONS} connections, one request each`
    if (context.wants(name)) {
      const work = { connections: CONNECTIONS, ask: ask('close') }
      yield {
        name,
        unit: 'k/s',
        ...(await serverSubjects(servers(context, 'close'), work, milliseconds)),
        targets: [{ ...NET, of: 'cpu', atLeast: 1 }],
      }
    }
    // A lost SYN comes again after a second: nothing may take that long.
    name = `${AT_ONCE} connections arriving at once`
    if (context.wants(name)) {
      const work = { connections: AT_ONCE, ask: ask('close') }
      yield {
        name,
        unit: 'k/s',
        ...(await serverSubjects(servers(context, 'close'), work, 'burst')),
        targets: [{ kind: 'note', note: 'longest ms', atMost: 900 }],
      }
    }
    name = `${CONNECTIONS} connections, load from wrk`
    const wrk = findProgram('wrk')
    if (wrk === undefined) context.skip(name, 'no wrk: install wrk')
    else if (context.wants(name)) yield await underWrk(context, wrk)
  },
}
