// The net benches' tools: a load generator that believes nothing, the C server, and one quick run.
// Flow: this → build/bench/c/load, build/bench/c/server, build/bench/main.js.

import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import dgram from 'node:dgram'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import net, { type AddressInfo } from 'node:net'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { compilePeer } from '../bench/tools.js'

import { AS_INSTALLED, oracle, root, runNode, tempDir, withTimeout } from './helpers.js'

/** A compiled program of bench/c, or undefined after the test was skipped. */
function peer(t: TestContext, name: string, libraries?: string[]): string | undefined {
  const compiled = compilePeer(name, libraries)
  if ('program' in compiled) return compiled.program
  t.skip(compiled.reason)
  return undefined
}

/** Runs the load generator with lines on its standard input. */
async function load(
  program: string,
  args: (string | number)[],
  ...lines: string[]
): Promise<{ code: number | null; answers: Record<string, number>[]; stderr: string }> {
  const child: ChildProcess = spawn(program, args.map(String), { stdio: ['pipe', 'pipe', 'pipe'] })
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]!.setEncoding('utf8').on('data', (text: string) => {
      output[name] += text
    })
  }
  child.stdin!.on('error', () => {})
  child.stdin!.end(lines.map((line) => `${line}\n`).join(''))
  const [code] = (await withTimeout(once(child, 'close'), 20_000, 'the load generator')) as [number | null]
  const answers = output.stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line))
  return { code, answers, stderr: output.stderr }
}

/** A server of node:net's that lives as long as the test. */
async function tcp(t: TestContext, onSocket: (socket: net.Socket) => void): Promise<number> {
  const sockets = new Set<net.Socket>()
  const server = net.createServer({ noDelay: true }, (socket) => {
    sockets.add(socket.on('error', () => {}))
    onSocket(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', 4096, resolve))
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

const ANSWER = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello'

test('load: echoes of several pieces are compared, over TCP and UDP, and all connections at once', async (t) => {
  oracle(t)
  const program = peer(t, 'load', [])
  if (program === undefined) return
  const port = await tcp(t, (socket) => socket.on('data', (bytes) => socket.write(bytes)))
  const { code, answers, stderr } = await load(program, ['tcp', port, 3, 'echo', 100_000], '400', 'burst')
  assert.deepEqual([code, stderr, answers[0]], [0, '', { connections: 3 }])
  const [, some, all] = answers
  assert.ok(some!.requests! > 0 && some!.seconds! >= 0.4 && some!.cpuSeconds! > 0)
  assert.ok(some!.p50! <= some!.p99! && some!.p99! <= some!.p999! && some!.p999! <= some!.longest!)
  assert.equal(all!.requests, 3)

  const socket = dgram.createSocket('udp4')
  socket.on('message', (bytes, { port, address }) => socket.send(bytes, port, address))
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
  t.after(() => socket.close())
  const pings = await load(program, ['udp', socket.address().port, 2, 'echo', 64], '300')
  assert.deepEqual([pings.code, pings.stderr], [0, ''])
  assert.ok(pings.answers[1]!.requests! > 0)
})

test('load: a wrong byte, too many, too few, and a wrong answer are found', async (t) => {
  oracle(t)
  const program = peer(t, 'load', [])
  if (program === undefined) return
  const file = join(tempDir(t), 'body')
  writeFileSync(file, 'hello')
  let seen = 0
  const wrongByte = (bytes: Buffer): Buffer => {
    seen += bytes.length
    const wrong = Buffer.from(bytes)
    if (seen > 5000) wrong[wrong.length - 1]! ^= 1
    return wrong
  }
  const echoes: [string, (socket: net.Socket) => void, RegExp][] = [
    [
      'a wrong byte',
      (socket) => socket.on('data', (bytes: Buffer) => socket.write(wrongByte(bytes))),
      /wrong bytes/,
    ],
    [
      'too many',
      (socket) => socket.on('data', (bytes: Buffer) => socket.write(Buffer.concat([bytes, bytes]))),
      /too long|nobody asked/,
    ],
    ['an end', (socket) => socket.on('data', () => socket.end()), /closed a connection/],
  ]
  for (const [what, onSocket, said] of echoes) {
    const port = await tcp(t, onSocket)
    const { code, stderr } = await load(program, ['tcp', port, 1, 'echo', 1000], '200')
    assert.equal(code, 1, what)
    assert.match(stderr, said, what)
  }
  const answers: [string, string, RegExp][] = [
    ['another status', ANSWER.replace('200 OK', '404 Not Found'), /HTTP\/1\.1 404/],
    ['another length', ANSWER.replace('5', '6'), /wrong length/],
    ['no length', ANSWER.replace('Content-Length', 'Length'), /no Content-Length/],
    ['another body', ANSWER.replace('hello', 'hallo'), /wrong bytes/],
  ]
  for (const [what, answer, said] of answers) {
    const port = await tcp(t, (socket) => socket.on('data', () => socket.write(answer)))
    const { code, stderr } = await load(program, ['tcp', port, 1, 'http', '/', file, 'keep'], '50')
    assert.equal(code, 1, what)
    assert.match(stderr, said, what)
  }
})

test('load: HTTP answers in whatever pieces they come, kept open and one a connection', async (t) => {
  oracle(t)
  const program = peer(t, 'load', [])
  if (program === undefined) return
  const file = join(tempDir(t), 'body')
  writeFileSync(file, 'hello')
  const port = await tcp(t, (socket) => {
    let asked = ''
    socket.setEncoding('latin1').on('data', async (text: string) => {
      asked += text
      if (!asked.endsWith('\r\n\r\n')) return
      const close = asked.includes('Connection: close')
      asked = ''
      for (const piece of ANSWER.match(/.{1,20}/gs)!) {
        socket.write(piece)
        await new Promise((resolve) => setImmediate(resolve))
      }
      if (close) socket.end()
    })
  })
  for (const mode of ['keep', 'close']) {
    const { code, answers, stderr } = await load(
      program,
      ['tcp', port, 4, 'http', '/', file, mode],
      '400',
      'burst',
    )
    assert.deepEqual([code, stderr], [0, ''], mode)
    assert.ok(answers[1]!.requests! > 0, mode)
    assert.equal(answers[2]!.requests, 4, mode)
  }
})

test('the C server echoes and says hello', async (t) => {
  oracle(t)
  const [program, server] = [peer(t, 'load', []), peer(t, 'server')]
  if (program === undefined || server === undefined) return
  const file = join(tempDir(t), 'body')
  writeFileSync(file, 'Hello, World!')
  const jobs: [string, (string | number)[]][] = [
    ['echo', ['echo', 100_000]],
    ['http', ['http', '/', file, 'keep']],
    ['http-close', ['http', '/', file, 'close']],
  ]
  for (const [mode, ask] of jobs) {
    const child: ChildProcess = spawn(server, [mode], { stdio: ['pipe', 'pipe', 'inherit'] })
    const closed: Promise<unknown[]> = once(child, 'close')
    const [port] = await once(child.stdout!, 'data')
    const { code, answers, stderr } = await load(program, ['tcp', Number(port), 20, ...ask], '200', 'burst')
    assert.deepEqual([code, stderr], [0, ''], mode)
    assert.ok(answers[1]!.requests! > 0 && answers[2]!.requests === 20, mode)
    child.stdin!.end()
    assert.deepEqual(await withTimeout(closed, 5000, 'the server to end'), [0, null], mode)
  }
})

test('a quick run of an echo bench, with its CPU time', async (t) => {
  oracle(t)
  const json = join(tempDir(t), 'report.json')
  const args = ['net-echo', '--quick', '--repeat', '1', '--filter', '64 B, 64', '--json', json]
  const { code, stderr } = await runNode(join(root, 'build', 'bench', 'main.js'), { args, env: AS_INSTALLED })
  assert.equal(code, 0, stderr)
  const [result] = JSON.parse(readFileSync(json, 'utf8')).results
  assert.equal(result.name, '64 B, 64 connections')
  assert.deepEqual(
    result.subjects.slice(0, 3).map(({ name }: { name: string }) => name),
    ['TcpStream, callbacks', 'TcpStream, leases', 'node:net'],
  )
  for (const { samples, notes } of result.subjects) {
    assert.ok(samples[0].cpuSeconds > 0)
    assert.ok(notes['load %'] > 0)
  }
})
