// The API of node:net on the ring beside node:net itself: echo, hello written by hand, and http.createServer.
// Flow: main.ts → this → net-tools.ts, socket-server.ts (a child per subject), bench/c/load.c.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Bench, Context, Target } from './harness.ts'
import { BODY } from './http.ts'
import { nodeServer, notePlaces, serverSubjects, type Work } from './net-tools.ts'

const SIZES: [name: string, bytes: number][] = [
  ['64 B', 64],
  ['1 KiB', 1024],
  ['16 KiB', 16384],
  ['64 KiB', 65536],
]
const CONNECTIONS = [1, 64, 1000]

interface Case {
  name: string
  kind: string
  work: Work
  targets: Target[]
}

function atLeast(ratio: number): Target[] {
  return [{ kind: 'ratio', against: 'node:net', of: 'cpu', atLeast: ratio }]
}

function plans(context: Context): Case[] {
  const body = join(context.directory, 'body')
  writeFileSync(body, BODY)
  const cases: Case[] = []
  const http = ['http', '/', body, 'keep']
  for (const kind of ['http', 'hello']) {
    const name = kind === 'http' ? 'http.createServer' : 'hello'
    cases.push({
      name: `${name}, 64 connections`,
      kind,
      work: { connections: 64, ask: http },
      targets: atLeast(1.15),
    })
  }
  for (const [size, bytes] of SIZES) {
    for (const connections of CONNECTIONS) {
      const name = `echo ${size}, ${connections} connection${connections === 1 ? '' : 's'}`
      const targets = atLeast(connections === 64 ? 1.15 : 1)
      cases.push({ name, kind: 'echo', work: { connections, ask: ['echo', bytes] }, targets })
    }
  }
  return cases
}

export const netSocket: Bench = {
  name: 'net-socket',
  about: 'the same program on ringcore/net and on node:net, on one CPU, every byte of every answer compared',
  async *cases(context: Context) {
    notePlaces(context)
    const milliseconds = context.amount(1000, 50)
    for (const { name, kind, work, targets } of plans(context)) {
      if (!context.wants(name) || (context.quick && work.connections > 64)) continue
      const { subjects, close } = await serverSubjects(
        {
          'ringcore/net': () => nodeServer('socket-server', [kind, 'ring']),
          'node:net': () => nodeServer('socket-server', [kind, 'node']),
        },
        work,
        String(milliseconds),
      )
      yield { name, unit: 'k/s', subjects, targets, close }
    }
  },
}
