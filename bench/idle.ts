// Memory and CPU of idle connections: how much heap and arena each takes on the server's side, and what holding them open costs.
// Flow: main.ts → this → idle-server.ts (a child per subject), idle-clients.ts (a child that holds the other ends).

import type { Bench, Context, Sample, Subject } from './harness.ts'
import { Helper } from './tools.ts'

interface Idle {
  /** Bytes for each connection: of V8's heap, and of what lies outside of it. */
  heap: number
  outside: number
  /** CPU time while nothing happened. */
  cpuSeconds: number
  seconds: number
}

async function measureIdle(kind: string, connections: number, restMs: number): Promise<Idle> {
  const { helper: server, hello } = await Helper.start('idle-server', [kind], 0)
  const { helper: clients } = await Helper.start('idle-clients', [String(hello.port)], 1)
  try {
    // The first ones pay for what is made once.
    await clients.ask({ connections: 100 })
    const before = (await server.ask({ until: 100 })) as { heap: number; outside: number }
    await clients.ask({ connections })
    const after = (await server.ask({ until: 100 + connections })) as typeof before
    const { cpuSeconds, seconds } = (await server.ask({ idle: restMs })) as {
      cpuSeconds: number
      seconds: number
    }
    return {
      heap: (after.heap - before.heap) / connections,
      outside: (after.outside - before.outside) / connections,
      cpuSeconds,
      seconds,
    }
  } finally {
    await clients.stop()
    await server.stop()
  }
}

export const idle: Bench = {
  name: 'idle',
  about: 'connections that do nothing: memory of each on the server, and its CPU time in a second',
  async *cases(context: Context) {
    const connections = context.amount(10_000, 500)
    const restMs = context.amount(1000, 100)
    const subject = (name: string, kind: string): Subject => ({
      name,
      run: async (): Promise<Sample> => {
        const { heap, outside, cpuSeconds, seconds } = await measureIdle(kind, connections, restMs)
        return {
          ops: connections,
          seconds,
          cpuSeconds,
          notes: {
            'heap bytes each': heap,
            'outside of it': outside,
            'CPU ms in a second': (cpuSeconds / seconds) * 1000,
          },
        }
      },
    })
    yield {
      name: `${connections} connections`,
      unit: 'k/s',
      repeat: context.amount(3, 1),
      subjects: [subject('TcpStream', 'ring'), subject('node:net', 'net')],
      targets: [],
    }
  },
}
