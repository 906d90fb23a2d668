// A checksum soak over a network that loses packets, resets connections and goes away for a while.
// Flow: this → two network namespaces (ip netns) → test/net/soak.ts in each. Only with RINGCORE_SOAK=1, as `npm run soak` sets it.

import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import test, { type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { oracle, requires, root } from './helpers.js'

const SECONDS = Number(process.env.RINGCORE_SOAK_SECONDS ?? 60)
const program = join(root, 'build', 'test', 'net', 'soak.js')
const SERVER = '10.213.7.1'
const CLIENT = '10.213.7.2'

const ip = (...args: string[]): void => void execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] })

/** Two namespaces with a cable between them; undefined, with a reason to skip, where that can't be had. */
function network(t: TestContext): { a: string; b: string } | undefined {
  const [a, b] = [`ringcore-a-${process.pid}`, `ringcore-b-${process.pid}`]
  try {
    for (const name of [a, b]) {
      ip('netns', 'add', name)
      t.after(() => ip('netns', 'del', name))
    }
    ip('link', 'add', 'rc0', 'netns', a, 'type', 'veth', 'peer', 'name', 'rc0', 'netns', b)
    for (const [name, address] of [
      [a, SERVER],
      [b, CLIENT],
    ] as const) {
      ip('-n', name, 'address', 'add', `${address}/24`, 'dev', 'rc0')
      ip('-n', name, 'link', 'set', 'rc0', 'up')
      ip('-n', name, 'link', 'set', 'lo', 'up')
    }
    return { a, b }
  } catch (error) {
    t.skip(`no network namespaces here: ${(error as Error).message.trim()}`)
    return undefined
  }
}

/** What loses packets: a filter that drops and resets at random, else a queue that is too short. Says what it was. */
function disturb(a: string): string {
  const run = (...args: string[]): boolean =>
    spawnSync('ip', ['netns', 'exec', a, ...args], { stdio: 'ignore' }).status === 0
  const means: string[] = []
  const rules = 'table inet soak { chain in { type filter hook input priority 0; '
  const drop =
    'numgen random mod 1000 < 20 drop; tcp dport 1-65535 numgen random mod 20000 < 1 reject with tcp reset; } }'
  if (run('nft', `${rules}${drop}`)) means.push('nft: 2 % dropped, some reset')
  else if (
    run(
      'iptables-legacy',
      '-A',
      'INPUT',
      '-m',
      'statistic',
      '--mode',
      'random',
      '--probability',
      '0.02',
      '-j',
      'DROP',
    )
  )
    means.push('iptables: 2 % dropped')
  const tbf = [
    'qdisc',
    'add',
    'dev',
    'rc0',
    'root',
    'tbf',
    'rate',
    '200mbit',
    'burst',
    '32kb',
    'limit',
    '40kb',
  ]
  if (run('tc', ...tbf)) means.push('tc tbf: a queue of 40 KB')
  return means.join('; ')
}

function start(namespace: string, ...args: string[]): { child: ChildProcess; lines: AsyncIterator<string> } {
  const child = spawn('ip', ['netns', 'exec', namespace, process.execPath, program, ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  return { child, lines: createInterface(child.stdout!)[Symbol.asyncIterator]() }
}

async function answer(lines: AsyncIterator<string>): Promise<Record<string, number>> {
  const { value, done } = await lines.next()
  assert.ok(done !== true, 'the process ended without an answer')
  const parsed = JSON.parse(value) as Record<string, number>
  assert.equal('wrong' in parsed, false, JSON.stringify(parsed))
  return parsed
}

test('checksum soak in network namespaces: drops, resets, a link that goes down', async (t) => {
  oracle(t)
  if (process.env.RINGCORE_SOAK !== '1') return t.skip('a minute or more: npm run soak')
  if (!requires(t, { root: true, program: 'ip' })) return
  const spaces = network(t)
  if (spaces === undefined) return
  const how = disturb(spaces.a)
  t.diagnostic(how === '' ? 'nothing here loses packets but the link itself' : how)
  const server = start(spaces.a, 'server', SERVER)
  t.after(() => server.child.kill())
  const { port } = await answer(server.lines)
  const client = start(spaces.b, 'client', SERVER, String(port), String(SECONDS))
  t.after(() => client.child.kill())
  const outcome = answer(client.lines)
  const ended = { is: false }
  outcome.finally(() => (ended.is = true)).catch(() => {})
  while (!ended.is) {
    await sleep(3000)
    ip('-n', spaces.a, 'link', 'set', 'rc0', 'down')
    await sleep(300)
    ip('-n', spaces.a, 'link', 'set', 'rc0', 'up')
  }
  const totals = await outcome
  t.diagnostic(JSON.stringify(totals))
  assert.ok(totals.connections! > 50 && totals.bytes! > 1_000_000 && totals.datagrams! > 100)
  assert.deepEqual([totals.lent, totals.queued, totals.strays], [0, 0, 0])
  const exited = once(server.child, 'exit')
  server.child.stdin!.write('end\n')
  const left = await answer(server.lines)
  assert.deepEqual(left, { open: 0, lent: 0, inFlight: 0, queued: 0, strays: 0 })
  await exited
})
