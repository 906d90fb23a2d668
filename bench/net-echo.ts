// Echo over TCP: 64 bytes to 64 KiB, 1 to 10,000 connections, every byte of every echo compared.
// Flow: main.ts → this → net-tools.ts, net-server.ts, bench/c/server.c.

import type { Bench, Context, Target } from './harness.ts'
import { cServer, nodeServer, notePlaces, serverSubjects } from './net-tools.ts'

const SIZES: [name: string, bytes: number][] = [
  ['64 B', 64],
  ['1 KiB', 1024],
  ['16 KiB', 16384],
  ['64 KiB', 65536],
]
const CONNECTIONS = [1, 64, 1000, 10_000]
const NET = { kind: 'ratio', against: 'node:net' } as const

function targets(bytes: number, connections: number): Target[] {
  if (bytes >= 16384) return [{ ...NET, of: 'cpu', atLeast: 1.2 }]
  return bytes === 64 && (connections === 64 || connections === 1000)
    ? [{ ...NET, of: 'cpu', atLeast: 1.4 }]
    : []
}

export const netEcho: Bench = {
  name: 'net-echo',
  about: 'an echo server on one CPU; one message under way on each connection, each compared byte by byte',
  async *cases(context: Context) {
    notePlaces(context)
    const milliseconds = context.amount(1000, 50)
    for (const [size, bytes] of SIZES) {
      for (const connections of CONNECTIONS) {
        const name = `${size}, ${connections} connection${connections === 1 ? '' : 's'}`
        if (!context.wants(name) || (context.quick && connections > 1000)) continue
        const callbacks = { 'TcpStream, callbacks': () => nodeServer('net-server', ['echo-callbacks']) }
        const leases = { 'TcpStream, leases': () => nodeServer('net-server', ['echo']) }
        // A callback has to copy what send() would keep: for long messages, a lease is our way.
        const ours = bytes <= 4096 ? { ...callbacks, ...leases } : { ...leases, ...callbacks }
        const { subjects, close } = await serverSubjects(
          {
            ...ours,
            'node:net': () => nodeServer('net-server', ['echo-net']),
            'ringcore/net': () => nodeServer('net-server', ['echo-ring-net']),
            'liburing in C': () => cServer(context, 'echo'),
          },
          { connections, ask: ['echo', bytes] },
          String(milliseconds),
        )
        yield { name, unit: 'k/s', subjects, targets: targets(bytes, connections), close }
      }
    }
  },
}
