// Conversations over sockets, made from a seed and run on any two implementations of node:net: what each side saw, as text.
// Flow: 56.net-differential → this → node:net and ringcore/net, in all pairings.
// A script waits for what it needs before it goes on, so that what is seen does not depend on time. What does depend on it (how
// bytes are cut into 'data', when 'drain' comes) is not noted.

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type net from 'node:net'
import type { AddressInfo } from 'node:net'

/** The parts of node:net that scenarios use. */
export type Net = Pick<typeof net, 'createServer' | 'connect' | 'Socket'>

/** Numbers that a seed decides (xorshift32). */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = (seed * 2654435761) >>> 0 || 1
  }

  below(limit: number): number {
    let x = this.#state
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    this.#state = x >>> 0
    return this.#state % limit
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!
  }
}

/** What one side does, step by step. */
export type Step =
  | { do: 'write'; bytes: number; as: 'buffer' | 'utf8' | 'latin1' | 'hex'; corked: number }
  /** Until so many bytes came since the connection was made. */
  | { do: 'receive'; bytes: number }
  | { do: 'pause' }
  | { do: 'resume' }
  | { do: 'timeout'; ms: number }
  | { do: 'end' | 'destroySoon' | 'destroy' | 'fail' | 'reset' | 'awaitEnd' }

export interface Scenario {
  seed: number
  path: 'tcp' | 'unix'
  halfOpen: { client: boolean; server: boolean }
  client: Step[]
  server: Step[]
}

const SIZES = [
  1, 7, 64, 100, 1000, 4095, 4096, 4097, 8192, 16384, 20000, 65535, 65536, 70000, 200000, 1000000,
]
const ENDINGS = ['end', 'end', 'end', 'destroySoon', 'destroy', 'fail', 'reset', 'timeout'] as const

function writes(random: Random, count: number): Extract<Step, { do: 'write' }>[] {
  return Array.from({ length: count }, () => ({
    do: 'write',
    bytes: random.pick(SIZES),
    as: random.pick(['buffer', 'buffer', 'utf8', 'latin1', 'hex'] as const),
    corked: random.below(4) === 0 ? random.below(5) : 0,
  }))
}

const total = (steps: readonly Step[]): number =>
  steps.reduce((sum, step) => sum + (step.do === 'write' ? step.bytes * (1 + step.corked) : 0), 0)

/** Some rounds of requests and answers, then an ending from either side. */
export function scenarioOf(seed: number): Scenario {
  const random = new Random(seed)
  const client: Step[] = []
  const server: Step[] = []
  for (let round = random.below(4); round >= 0; round--) {
    for (const [from, to] of random.below(2) === 0
      ? [[client, server]]
      : [
          [client, server],
          [server, client],
        ]) {
      const sent = writes(random, 1 + random.below(4))
      if (random.below(4) === 0) to!.push({ do: 'pause' }, { do: 'resume' })
      from!.push(...sent)
      to!.push({ do: 'receive', bytes: total(from!) })
    }
  }
  // Whoever ends has the other's bytes by then; and the other has all of its own out.
  const [ender, other, sent] =
    random.below(2) === 0 ? [client, server, total(server)] : [server, client, total(client)]
  ender.push({ do: 'receive', bytes: sent })
  const how = random.pick(ENDINGS)
  const ownBytes = total(ender)
  if (how === 'timeout') ender.push({ do: 'timeout', ms: 20 })
  else if (how === 'reset' || how === 'fail' || how === 'destroy') {
    // An abrupt end may take what is under way with it, so the other side says when it has all.
    other.push({ do: 'receive', bytes: ownBytes }, { do: 'write', bytes: 3, as: 'buffer', corked: 0 })
    ender.push({ do: 'receive', bytes: sent + 3 }, { do: how })
  } else {
    const last = random.below(3) === 0 ? writes(random, 1 + random.below(2)) : []
    ender.push(...last, { do: how })
  }
  other.push({ do: 'awaitEnd' })
  if (random.below(2) === 0) {
    const [late] = writes(random, 1)
    // A peer that is gone resets the connection while much is written: what is told of that is a matter of who is quicker.
    other.push(how === 'end' ? late! : { ...late!, bytes: Math.min(late!.bytes, 16384), corked: 0 })
  }
  other.push({ do: 'end' })
  const halfOpen = { client: random.below(2) === 0, server: random.below(2) === 0 }
  return { seed, path: random.below(4) === 0 ? 'unix' : 'tcp', halfOpen, client, server }
}

/** Bytes that tell where they are. */
function content(at: number, bytes: number): Buffer {
  const buffer = Buffer.allocUnsafe(bytes)
  for (let i = 0; i < bytes; i++) buffer[i] = ((at + i) % 61) + 32
  return buffer
}

/** One side of a conversation. */
class Side {
  readonly log: string[] = []
  readonly #socket: net.Socket
  readonly #hash = createHash('sha1')
  #received = 0
  #sent = 0
  #wake: () => void = () => {}
  #ended = false
  closed = false

  constructor(socket: net.Socket) {
    this.#socket = socket
    for (const name of ['connect', 'ready', 'finish']) socket.on(name, () => this.#note(name))
    socket.on('data', (bytes: Buffer) => {
      this.#hash.update(bytes)
      this.#received += bytes.length
      this.#wake()
    })
    socket.on('end', () => {
      this.#note('end')
      this.#ended = true
      this.#wake()
    })
    socket.on('timeout', () => {
      this.#note('timeout')
      socket.destroy()
    })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.#note(`error ${error.code} ${error.syscall} ${error.errno} ${error.message}`)
    })
    socket.on('close', (hadError: boolean) => {
      const { bytesRead, bytesWritten, destroyed, readyState, writableFinished, readableEnded } = socket
      this.#note(
        `close ${hadError} ${bytesRead} ${this.#received} ${destroyed} ${readyState} ${readableEnded}`,
      )
      // Of writes that fail at once Node counts buffers, and not short text.
      const failed = this.log.some((line) => line.includes(' write '))
      this.#note(failed ? 'wrote in vain' : `wrote ${bytesWritten} ${writableFinished}`)
      this.closed = true
      this.#wake()
    })
  }

  #note(text: string): void {
    this.log.push(text)
  }

  async #until(condition: () => boolean): Promise<void> {
    while (!condition() && !this.closed)
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
  }

  async run(steps: readonly Step[]): Promise<void> {
    for (const step of steps) {
      if (this.closed) break
      await this.#step(step)
    }
    await this.#until(() => this.closed)
    this.#note(`bytes ${this.#hash.digest('hex')}`)
  }

  async #step(step: Step): Promise<void> {
    const socket = this.#socket
    switch (step.do) {
      case 'write':
        this.#write(step)
        break
      case 'receive':
        await this.#until(() => this.#received >= step.bytes)
        break
      case 'awaitEnd':
        await this.#until(() => this.#ended)
        break
      case 'timeout':
        socket.setTimeout(step.ms)
        break
      case 'fail':
        socket.destroy(new Error('on purpose'))
        break
      case 'reset':
        // Only TCP has resets.
        if (socket.remoteFamily === undefined) socket.destroy()
        else socket.resetAndDestroy()
        break
      default:
        socket[step.do]()
    }
  }

  #write({ bytes, as, corked }: Extract<Step, { do: 'write' }>): void {
    const socket = this.#socket
    if (!socket.writable) return
    if (corked > 0) socket.cork()
    for (let i = 0; i <= corked; i++) {
      const buffer = content(this.#sent, bytes)
      this.#sent += bytes
      if (as === 'buffer') socket.write(buffer)
      else socket.write(buffer.toString(as), as)
    }
    if (corked > 0) socket.uncork()
  }
}

/** Runs a scenario between a client and a server of any two implementations. */
export async function play(
  scenario: Scenario,
  clientNet: Net,
  serverNet: Net,
  unixPath: string,
): Promise<{ client: string[]; server: string[] }> {
  const server = serverNet.createServer({ allowHalfOpen: scenario.halfOpen.server })
  server.listen(scenario.path === 'unix' ? { path: unixPath } : { port: 0, host: '127.0.0.1' })
  await once(server, 'listening')
  const where =
    scenario.path === 'unix'
      ? { path: unixPath }
      : { port: (server.address() as AddressInfo).port, host: '127.0.0.1' }
  const accepted = once(server, 'connection').then(([socket]) => new Side(socket as net.Socket))
  const socket = clientNet.connect({ ...where, allowHalfOpen: scenario.halfOpen.client })
  const client = new Side(socket)
  const other = await accepted
  await Promise.all([client.run(scenario.client), other.run(scenario.server)])
  server.close()
  await once(server, 'close')
  return { client: client.log, server: other.log }
}
