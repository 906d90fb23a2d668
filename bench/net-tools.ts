// Servers as processes on one CPU, and the load generator on another: what the net benches measure with.
// Flow: net-echo.ts, net-http.ts, net-static.ts, net-udp.ts → this → net-server.ts, http-server.ts, bench/c/server.c, bench/c/load.c.
//
// CPU time of a server is what the scheduler counted for all its threads, in nanoseconds, so it is the same measure for Node, C
// and nginx. "load %" beside a result says how busy the load generator's CPU was: near 100, the server waited for it.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { createInterface, type Interface } from 'node:readline'
import type { Context, Sample, Subject } from './harness.ts'
import { compilePeer, findProgram, Helper } from './tools.ts'

export const SERVER_CPU = 0
export const LOAD_CPU = 1

/** A command that runs on one CPU, where taskset is. */
export function pinned(cpu: number, command: string[]): string[] {
  const taskset = findProgram('taskset')
  return taskset === undefined ? command : [taskset, '-c', String(cpu), ...command]
}

/** Says once what of the arrangement is not there. */
export function notePlaces(context: Context): void {
  if (availableParallelism() >= 2 && findProgram('taskset') !== undefined) return
  context.note(
    'one CPU or no taskset (util-linux): server and load generator share CPUs; look at requests per CPU second',
  )
}

/** CPU time of all threads of a process, in seconds. */
export function cpuSecondsOf(pid: number): number {
  let nanoseconds = 0
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    nanoseconds += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ')[0])
  }
  return nanoseconds / 1e9
}

/** A child that speaks in lines. */
class LineChild {
  readonly child: ChildProcess
  readonly #name: string
  readonly #lines: AsyncIterator<string>
  readonly #interface: Interface

  constructor(name: string, command: string[]) {
    this.#name = name
    this.child = spawn(command[0]!, command.slice(1), { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#interface = createInterface({ input: this.child.stdout! })
    this.#lines = this.#interface[Symbol.asyncIterator]()
  }

  async line(): Promise<string> {
    const { value, done } = await this.#lines.next()
    if (done) throw new Error(`${this.#name} ended before it answered; see what it said above`)
    return value
  }

  say(line: string): void {
    this.child.stdin!.write(`${line}\n`)
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return
    const exited = once(this.child, 'exit')
    this.child.stdin!.end()
    await exited
    this.#interface.close()
  }
}

/** A server that listens. */
export interface Server {
  port: number
  pid: number
  stop(): Promise<void>
}

/** Starts bench/<script>.ts with Node. */
export async function nodeServer(script: string, args: string[]): Promise<Server> {
  const { helper, hello } = await Helper.start(script, args, SERVER_CPU)
  return { port: Number(hello.port), pid: helper.child.pid!, stop: () => helper.stop() }
}

/** Starts bench/c/server.c, or says why that can't be. */
export async function cServer(context: Context, mode: string): Promise<Server | undefined> {
  const peer = compilePeer('server')
  if ('reason' in peer) {
    context.skip('liburing in C', peer.reason)
    return undefined
  }
  const child = new LineChild('bench/c/server', pinned(SERVER_CPU, [peer.program, mode]))
  return { port: Number(await child.line()), pid: child.child.pid!, stop: () => child.stop() }
}

interface Result {
  requests: number
  seconds: number
  cpuSeconds: number
  p50: number
  p99: number
  p999: number
  longest: number
}

/** What is asked of a server: see the usage of bench/c/load.c. */
export interface Work {
  protocol?: 'tcp' | 'udp'
  connections: number
  /** `['echo', bytes]` or `['http', path, file, 'keep' or 'close']`. */
  ask: (string | number)[]
}

/** The load generator: connects when it is first used, and keeps its connections. */
class Load {
  readonly #program: string
  readonly #args: string[]
  #child: LineChild | undefined

  constructor(port: number, { protocol = 'tcp', connections, ask }: Work) {
    // It uses epoll: no liburing is needed, and what it costs does not depend on what it measures.
    const peer = compilePeer('load', [])
    if ('reason' in peer) throw new Error(`Cannot load a server: ${peer.reason}`)
    this.#program = peer.program
    this.#args = [protocol, port, connections, ...ask].map(String)
  }

  async ask(line: string): Promise<Result> {
    if (this.#child === undefined) {
      this.#child = new LineChild('bench/c/load', pinned(LOAD_CPU, [this.#program, ...this.#args]))
      await this.#child.line()
    }
    this.#child.say(line)
    return JSON.parse(await this.#child.line()) as Result
  }

  async stop(): Promise<void> {
    await this.#child?.stop()
  }
}

/** One run: so many milliseconds of load, or all connections at once. */
async function sample(server: Server, load: Load, line: string): Promise<Sample> {
  const before = cpuSecondsOf(server.pid)
  const { requests, seconds, cpuSeconds, p50, p99, p999, longest } = await load.ask(line)
  return {
    ops: requests,
    seconds: line === 'burst' ? longest / 1000 : seconds,
    cpuSeconds: cpuSecondsOf(server.pid) - before,
    notes: {
      'p50 ms': p50,
      'p99 ms': p99,
      'p99.9 ms': p999,
      'longest ms': longest,
      'load %': (cpuSeconds / seconds) * 100,
    },
  }
}

/** A way to serve; undefined when it can't be had here. */
export type Start = () => Promise<Server | undefined>

/**
 * Starts servers and makes subjects of them.
 * @param line what a run asks of the load generator: milliseconds, or 'burst'
 */
export async function serverSubjects(
  servers: Record<string, Start>,
  work: Work,
  line: string,
): Promise<{ subjects: Subject[]; close(): Promise<void> }> {
  const subjects: Subject[] = []
  const stops: (() => Promise<void>)[] = []
  const close = async (): Promise<void> => {
    for (const stop of stops.reverse()) await stop()
  }
  try {
    for (const [name, start] of Object.entries(servers)) {
      const server = await start()
      if (server === undefined) continue
      stops.push(() => server.stop())
      const load = new Load(server.port, work)
      stops.push(() => load.stop())
      subjects.push({ name, run: () => sample(server, load, line) })
    }
  } catch (error) {
    await close()
    throw error
  }
  return { subjects, close }
}
