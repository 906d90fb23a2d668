// HTTP hello over 64 keep-alive connections: server on one CPU, load generator on another.
// Flow: main.ts → this → http-server.ts (a child per subject), wrk or load.ts.

import { execFile } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { promisify } from 'node:util'
import type { Bench, Context, Sample, Subject } from './harness.ts'
import { findProgram, Helper } from './tools.ts'

const CONNECTIONS = 64
const SERVER_CPU = 0
const LOAD_CPU = 1

interface Load {
  requests: number
  seconds: number
  p50: number
  p99: number
}

const MILLISECONDS: Record<string, number> = { us: 1e-3, ms: 1, s: 1e3, m: 6e4 }

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

const run = promisify(execFile)

/** Something that loads a port for some seconds. */
async function loader(
  port: number,
  seconds: number,
): Promise<{ load(): Promise<Load>; stop(): Promise<void> }> {
  const wrk = findProgram('wrk')
  const taskset = findProgram('taskset')
  if (wrk !== undefined) {
    const pin = taskset === undefined ? [] : [taskset, '-c', String(LOAD_CPU)]
    const url = `http://127.0.0.1:${port}/`
    const [program, ...args] = [...pin, wrk, '-t1', `-c${CONNECTIONS}`, `-d${seconds}s`, '--latency', url]
    return { load: async () => parseWrk((await run(program!, args)).stdout), stop: async () => {} }
  }
  const { helper } = await Helper.start('load', [String(port), String(CONNECTIONS)], LOAD_CPU)
  return {
    load: async () => (await helper.ask({ seconds })) as unknown as Load,
    stop: () => helper.stop(),
  }
}

interface Server {
  subject: Subject
  stop(): Promise<void>
}

async function server(name: string, kind: string, seconds: number): Promise<Server> {
  const { helper, hello } = await Helper.start('http-server', [kind, 'keep'], SERVER_CPU)
  const generator = await loader(Number(hello.port), seconds)
  const cpu = async (): Promise<number> => {
    const { user, system } = (await helper.ask({})) as { user: number; system: number }
    return (user + system) / 1e6
  }
  const once = async (): Promise<Sample> => {
    const before = await cpu()
    const { requests, seconds: wall, p50, p99 } = await generator.load()
    return {
      ops: requests,
      seconds: wall,
      cpuSeconds: (await cpu()) - before,
      notes: { 'p50 ms': p50, 'p99 ms': p99 },
    }
  }
  return {
    subject: { name, run: once },
    stop: async () => {
      await generator.stop()
      await helper.stop()
    },
  }
}

export const httpHello: Bench = {
  name: 'http-hello',
  about: `a server on one CPU, ${CONNECTIONS} keep-alive connections, one request at a time on each`,
  async *cases(context: Context) {
    if (availableParallelism() < 2 || findProgram('taskset') === undefined) {
      context.note(
        'one CPU or no taskset (util-linux): server and load generator share CPUs; look at requests per CPU second',
      )
    }
    context.note(`load from ${findProgram('wrk') ?? 'bench/load.ts, as there is no wrk'}`)
    // wrk counts in whole seconds.
    const seconds = context.amount(3, 1)
    const servers: Server[] = []
    const close = async (): Promise<void> => {
      for (const { stop } of servers) await stop()
    }
    try {
      servers.push(await server('TcpStream, callbacks', 'ring-callbacks', seconds))
      servers.push(await server('TcpStream, promises', 'ring', seconds))
      servers.push(await server('node:net', 'net', seconds))
      servers.push(await server('node:http', 'http', seconds))
    } catch (error) {
      await close()
      throw error
    }
    yield {
      name: '64 connections',
      unit: 'k/s',
      subjects: servers.map(({ subject }) => subject),
      targets: [{ kind: 'ratio', against: 'node:net', of: 'cpu', atLeast: 1.3 }],
      close,
    }
  },
}
