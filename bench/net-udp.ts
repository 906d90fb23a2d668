// UDP ping: a datagram of 64 bytes goes and comes back, on 1 and on 64 sockets, each compared byte by byte.
// Flow: main.ts → this → net-tools.ts, net-server.ts.

import type { Bench, Context, Target } from './harness.ts'
import { nodeServer, notePlaces, serverSubjects } from './net-tools.ts'

const BYTES = 64
const TARGETS: Target[] = [{ kind: 'ratio', against: 'node:dgram', of: 'cpu', atLeast: 1.2 }]

export const netUdp: Bench = {
  name: 'net-udp',
  about: `UDP ping on a server on one CPU: ${BYTES} bytes, one datagram under way on each client's socket`,
  async *cases(context: Context) {
    notePlaces(context)
    for (const sockets of [1, 64]) {
      const name = `${sockets} client${sockets === 1 ? '' : 's'}`
      if (!context.wants(name)) continue
      const { subjects, close } = await serverSubjects(
        {
          'UdpSocket, callbacks': () => nodeServer('net-server', ['udp']),
          'node:dgram': () => nodeServer('net-server', ['udp-dgram']),
        },
        { protocol: 'udp', connections: sockets, ask: ['echo', BYTES] },
        String(context.amount(1000, 50)),
      )
      yield { name, unit: 'k/s', subjects, targets: TARGETS, close }
    }
  },
}
