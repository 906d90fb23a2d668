// `ringcore serve` as a program: its options and sentences, its log, its workers, its end, and a thousand clients at once.
// Flow: this → dist/bundle/cli.js in a process of its own.

import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { sentence } from '#src/cli/serve.js'
import { serveOptions } from '#src/cli/serve-options.js'
import { startServing } from '#src/cli/serve-run.js'
import { exchange } from './example-programs.js'
import { AS_INSTALLED, oracle, requires, root, runNode, tempDir, until, withTimeout } from './helpers.js'
import { ask, dial, oldFile, parseAnswers, serving } from './serve.js'
import { failure } from './uring.js'

const main = join(root, 'dist', 'bundle', 'cli.js')

interface Program {
  port: number
  child: ChildProcess
  stdout(): string
  stderr(): string
  /** Ends it with a signal and returns its exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>
}

async function serve(t: TestContext, ...args: string[]): Promise<Program> {
  const child = spawn(process.execPath, [main, 'serve', '--port', '0', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      output[name] += text
    })
  }
  const closed = once(child, 'close')
  t.after(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
    await closed
  })
  await until(() => output.stdout.includes('\n') || child.exitCode !== null, 15_000, 'the server to listen')
  return {
    port: Number(/:(\d+)\/\n/.exec(output.stdout)?.[1]),
    child,
    stdout: () => output.stdout,
    stderr: () => output.stderr,
    async stop(signal = 'SIGINT') {
      child.kill(signal)
      const [code] = (await withTimeout(closed, 10_000, `the server to end after ${signal}`)) as [
        number | null,
      ]
      return code
    },
  }
}

test('wrong usage and what can not be served are sentences', async (t) => {
  oracle(t)
  const dir = tempDir(t)
  const file = oldFile(dir, 'file', '')
  const wrong: [string[], RegExp][] = [
    [['--port', '70000'], /^--port must be a number from 0 to 65535, not '70000'$/],
    [['--port', ''], /^--port must be a number/],
    [['--port', '1.5'], /^--port must be a whole number, not '1.5'$/],
    [['--host', 'localhost'], /^--host must be an IPv4 or IPv6 address, not 'localhost'$/],
    [['--workers', '1e9'], /^--workers must be a number from 0 to 1024/],
    [['--cache=-1'], /^--cache must be/],
    [['--grace', 'x'], /^--grace must be/],
    [['a', 'b'], /^Only one directory can be served, and 'b' is a second$/],
    [['--nope'], /Unknown option '--nope'/],
  ]
  for (const [args, message] of wrong) assert.throws(() => serveOptions(args), { message }, args.join(' '))

  const { port } = await serving(t, dir)
  const taken = new RegExp(
    `^Cannot listen on 127\\.0\\.0\\.1:${port}: the port is in use\\. Choose another with --port`,
  )
  const impossible: [string[], RegExp][] = [
    [[dir, '--port', String(port)], taken],
    [
      [dir, '--host', '203.0.113.1'],
      /^Cannot listen on 203\.0\.113\.1:8080: this machine has no such address$/,
    ],
    [[join(dir, 'nothing')], /^Cannot serve .*nothing: there is no such directory$/],
    [[file], /^Cannot serve .*file: it is not a directory$/],
  ]
  for (const [args, said] of impossible) {
    const options = serveOptions(args)!
    const error = await failure(startServing(options))
    assert.match(sentence(options, error), said)
  }

  const usage = await runNode(main, { env: AS_INSTALLED, args: ['serve', '--port', 'x'] })
  assert.deepEqual([usage.code, usage.stdout], [2, ''])
  assert.match(usage.stderr, /^--port must be a number from 0 to 65535, not 'x'\n\nringcore serve: /)
  for (const workers of ['1', '2']) {
    const second = await runNode(main, {
      env: AS_INSTALLED,
      args: ['serve', dir, '--port', String(port), '--workers', workers],
    })
    assert.deepEqual([second.code, second.stdout], [1, ''])
    assert.match(second.stderr, taken)
    assert.doesNotMatch(second.stderr, /\n\s+at /, 'no stack trace')
  }
  assert.match(
    (await runNode(main, { env: AS_INSTALLED, args: ['serve', '--help'] })).stdout,
    /Usage: ringcore serve \[directory\]/,
  )
})

test('the log: a line per answer, in which nobody can write lines of his own', async (t) => {
  oracle(t)
  const dir = tempDir(t)
  oldFile(dir, 'a.txt', 'abc')
  const server = await serve(t, dir, '--log')
  await ask(server.port, '/a.txt', { 'User-Agent': 'x" 200 \xe9\\', Referer: 'http://y/' })
  await ask(server.port, '/"nothing', {}, 'HEAD')
  await exchange(server.port, 'rubbish\r\n\r\n')
  await until(() => server.stdout().split('\n').length === 5, 5000, 'three lines')
  const [, ...lines] = server.stdout().split('\n')
  const time = String.raw`\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\]`
  const expected = [
    String.raw`127\.0\.0\.1 - - ${time} "GET /a\.txt HTTP/1\.1" 200 3 "http://y/" "x\\x22 200 `,
    String.raw`127\.0\.0\.1 - - ${time} "HEAD /\\x22nothing HTTP/1\.1" 404 - "-" "-"$`,
    String.raw`127\.0\.0\.1 - - ${time} "-" 400 \d+ "-" "-"$`,
  ]
  for (const [i, line] of expected.entries()) assert.match(lines[i]!, new RegExp(`^${line}`))
  assert.equal(await server.stop(), 0)
})

test('the end: answers under way are finished on SIGTERM; a second signal does not wait', async (t) => {
  oracle(t)
  const dir = tempDir(t)
  const large = Buffer.alloc(24 << 20, 'x')
  oldFile(dir, 'large', large)
  const server = await serve(t, dir)
  const busy = await dial(t, server.port)
  busy.socket.pause()
  busy.socket.write('GET /large HTTP/1.1\r\nHost: x\r\n\r\n')
  const idle = await dial(t, server.port)
  idle.socket.write('GET /none HTTP/1.1\r\nHost: x\r\n\r\n')
  await until(() => idle.received().length > 0, 5000, 'an answer')
  const stopped = server.stop('SIGTERM')
  await withTimeout(idle.ended, 5000, 'the idle connection to end')
  await assert.rejects(dial(t, server.port), { code: 'ECONNREFUSED' })
  busy.socket.resume()
  await withTimeout(busy.ended, 10_000, 'the busy one to end')
  assert.ok(parseAnswers(busy.received())[0]!.body.equals(large))
  busy.socket.end()
  assert.equal(await stopped, 0)
  assert.equal(server.stderr(), '')

  const hasty = await serve(t, dir)
  const stuck = await dial(t, hasty.port)
  stuck.socket.pause()
  stuck.socket.write('GET /large HTTP/1.1\r\nHost: x\r\n\r\n')
  const openFiles = (): number => readdirSync(`/proc/${hasty.child.pid}/fd`).length
  const before = openFiles()
  await until(() => openFiles() > before || stuck.socket.readableLength > 0, 5000, 'the answer to begin')
  const over = hasty.stop('SIGINT')
  await assert.rejects(withTimeout(over, 300))
  hasty.child.kill('SIGINT')
  await withTimeout(once(hasty.child, 'close'), 5000, 'the second signal to end it')
  assert.equal(hasty.child.exitCode, 0)
})

test('workers share a port, and one end', async (t) => {
  oracle(t)
  const dir = tempDir(t)
  oldFile(dir, 'a.txt', 'abc')
  const server = await serve(t, dir, '--workers', '3')
  const rings = readdirSync(`/proc/${server.child.pid}/task`).length
  assert.ok(rings >= 4, 'threads of their own')
  const answers = await Promise.all(Array.from({ length: 60 }, () => ask(server.port, '/a.txt')))
  assert.ok(answers.every(({ status, body }) => status === 200 && String(body) === 'abc'))
  assert.equal(await server.stop('SIGTERM'), 0)
  assert.equal(server.stderr(), '')
})

test('a thousand connections arrive while nobody accepts: all are served, none has to come again', async (t) => {
  oracle(t)
  const dir = tempDir(t)
  oldFile(dir, 'a.txt', 'abc')
  const server = await serve(t, dir)
  await ask(server.port, '/a.txt')
  // Held still, the server accepts nobody: what its backlog does not take is lost, and comes again after a second or more.
  server.child.kill('SIGSTOP')
  const clients = Array.from({ length: 1000 }, () =>
    exchange(server.port, 'GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n'),
  )
  await until(() => waitingIn(server.port) >= 1000, 10_000, 'all of them to be in the backlog')
  server.child.kill('SIGCONT')
  for (const bytes of await Promise.all(clients)) assert.equal(String(parseAnswers(bytes)[0]!.body), 'abc')
  assert.equal(await server.stop(), 0)
})

/** Connections that the kernel has made and nobody accepted. @man proc_net_tcp(5): for a listener, rx_queue counts them */
function waitingIn(port: number): number {
  const hex = port.toString(16).toUpperCase().padStart(4, '0')
  const line = new RegExp(`^ *\\d+: 0100007F:${hex} 00000000:0000 0A \\w+:(\\w+)`, 'm').exec(
    readFileSync('/proc/net/tcp', 'utf8'),
  )
  return line === null ? 0 : Number.parseInt(line[1]!, 16)
}

test('hundreds of clients that take nothing of a large file cost little memory', async (t) => {
  oracle(t)
  const dir = tempDir(t)
  oldFile(dir, 'large', Buffer.alloc(8 << 20, 'x'))
  const server = await serve(t, dir)
  const resident = (): number =>
    Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${server.child.pid}/status`, 'utf8'))![1]) / 1024
  const openFiles = (): number => readdirSync(`/proc/${server.child.pid}/fd`).length
  await ask(server.port, '/large')
  const [before, idle] = [resident(), openFiles()]
  const sockets = Array.from({ length: 600 }, () => connect({ port: server.port, host: '127.0.0.1' }).pause())
  t.after(() => {
    for (const socket of sockets) socket.destroy()
  })
  for (const socket of sockets) socket.on('error', () => {}).write('GET /large HTTP/1.1\r\nHost: x\r\n\r\n')
  // A connection and a file each, and mostly a pipe.
  await until(() => openFiles() >= idle + 1200, 10_000, 'all answers to begin')
  const grown = resident() - before
  assert.ok(grown < 100, `memory grew by ${grown.toFixed(0)} MiB`)
  for (const socket of sockets) socket.destroy()
  await until(() => openFiles() <= idle, 10_000, 'everything to be closed')
  assert.equal(await server.stop(), 0)
})

test('no descriptor left: those who are served go on, the others wait their turn', async (t) => {
  oracle(t)
  if (!requires(t, { program: 'prlimit' })) return
  const dir = tempDir(t)
  oldFile(dir, 'a.txt', 'abc')
  const server = await serve(t, dir)
  const files = readdirSync(`/proc/${server.child.pid}/fd`).length
  execFileSync('prlimit', ['--pid', String(server.child.pid), `--nofile=${files + 4}`])
  const held = await Promise.all(Array.from({ length: 8 }, () => dial(t, server.port)))
  const get = 'GET /a.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'
  for (const { socket } of held) socket.end(get)
  await withTimeout(Promise.all(held.map(({ ended }) => ended)), 10_000, 'all to be answered')
  for (const { received } of held) {
    const [answer] = parseAnswers(received())
    assert.ok(answer!.status === 200 || answer!.status === 503, String(answer!.status))
  }
  assert.equal((await ask(server.port, '/a.txt')).status, 200)
  assert.equal(await server.stop(), 0)
})
