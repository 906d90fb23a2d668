// The example programs, each in a process of its own as a user runs it: what it prints, serves or writes, and how it ends.
// Flow: this → build/examples/*.js as child processes, node:fs and node:net as witnesses.

import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { Agent, get } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { oracle, type RunResult, requires, root, runNode, tempDir, until, withTimeout } from './helpers.js'

const script = (name: string): string => join(root, 'build', 'examples', `${name}.js`)

/** Runs an example to its end. */
const example = (name: string, ...args: string[]): Promise<RunResult> => runNode(script(name), { args })

/** Runs an example with bytes on its standard input, and collects those of its standard output. */
async function pipeThrough(
  name: string,
  args: string[],
  input: Buffer,
): Promise<{ code: number; output: Buffer; errors: string }> {
  const child = spawn(process.execPath, [script(name), ...args], { stdio: 'pipe' })
  const chunks: Buffer[] = []
  let errors = ''
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text
  })
  // A program that ends early reads no further; its exit code tells.
  child.stdin.on('error', () => {}).end(input)
  const [code] = await withTimeout(once(child, 'close'), 15_000, `${name} to end`)
  return { code, output: Buffer.concat(chunks), errors }
}

interface Server {
  port: number
  child: ChildProcess
  /** Sends SIGINT and returns how the process ended. */
  stop(): Promise<RunResult>
}

/** Starts an example that serves, and waits until it does. */
async function start(t: TestContext, name: string, ...args: string[]): Promise<Server> {
  const child = spawn(process.execPath, [script(name), ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const closed = once(child, 'close')
  t.after(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
    await closed
  })
  await until(() => /listening on .*\n/.test(stdout) || child.exitCode !== null, 10_000, `${name} to listen`)
  assert.equal(child.exitCode, null, `${name} ended: ${stderr}`)
  return {
    port: Number(/:(\d+)\n/.exec(stdout)![1]),
    child,
    async stop() {
      child.kill('SIGINT')
      const [code, signal] = await withTimeout(closed, 5000, `${name} to end after SIGINT`)
      return { code, signal, stdout, stderr }
    },
  }
}

function assertClean(result: RunResult): void {
  assert.equal(result.stderr, '')
  assert.deepEqual([result.code, result.signal], [0, null])
}

/** Sends bytes over a connection, ends its own side, and returns what comes until the other ends. */
function exchange(port: number, ...parts: (Buffer | string)[]): Promise<Buffer> {
  const all = new Promise<Buffer>((resolve, reject) => {
    const chunks: Buffer[] = []
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true }, async () => {
      for (const part of parts) {
        socket.write(part)
        // Parts are to arrive apart.
        if (parts.length > 1) await new Promise((next) => setTimeout(next, 5))
      }
      socket.end()
    })
    socket
      .on('data', (chunk: Buffer) => chunks.push(chunk))
      .on('end', () => resolve(Buffer.concat(chunks)))
      .on('error', reject)
  })
  return withTimeout(all, 10_000, 'the server to answer')
}

interface Answer {
  status: number
  headers: NodeJS.Dict<string | string[]>
  body: Buffer
}

/** node:http's view of a server. */
function ask(port: number, path: string, method = 'GET', agent?: Agent): Promise<Answer> {
  const answer = new Promise<Answer>((resolve, reject) => {
    const request = get(
      { port, host: '127.0.0.1', path, method, ...(agent ? { agent } : {}) },
      (response) => {
        const chunks: Buffer[] = []
        response
          .on('data', (chunk: Buffer) => chunks.push(chunk))
          .on('end', () =>
            resolve({ status: response.statusCode!, headers: response.headers, body: Buffer.concat(chunks) }),
          )
          .on('error', reject)
      },
    )
    request.on('error', reject)
  })
  return withTimeout(answer, 10_000, `an answer to ${method} ${path}`)
}

// ---------------------------------------------------------------- echo

async function checkEcho(t: TestContext, name: string): Promise<void> {
  oracle(t)
  const server = await start(t, name, '--port', '0')
  const messages = Array.from({ length: 64 }, (_, i) => randomBytes(1 + i * 1499))
  const answers = await Promise.all(messages.map((message) => exchange(server.port, message)))
  for (const [i, message] of messages.entries()) assert.ok(answers[i]!.equals(message), `client ${i}`)

  // A client that stays must not keep the server from ending, and hears of it.
  const idle = connect(server.port, '127.0.0.1').resume()
  await once(idle, 'connect')
  const ended = once(idle, 'close')
  assertClean(await server.stop())
  await withTimeout(ended, 2000, 'the idle client to be disconnected')
}

test('echo: 64 clients get their bytes back; SIGINT ends it', (t) => checkEcho(t, 'echo'))

test('sqpoll-echo: the same with a kernel thread that submits', async (t) => {
  if (!requires(t, { setupFlag: 'IORING_SETUP_SQPOLL' })) return
  await checkEcho(t, 'sqpoll-echo')
})

test('echo: a taken port is an error that names it', async (t) => {
  oracle(t)
  const server = await start(t, 'echo')
  const second = await example('echo', '--port', String(server.port))
  assert.equal(second.code, 1)
  assert.match(second.stderr, new RegExp(`EADDRINUSE.*127\\.0\\.0\\.1:${server.port}`))
})

// ---------------------------------------------------------------- files and pipes

/** Files of lengths at which a block's end is easily missed; the blocks of cat and linked-cat are powers of two. */
function sampleFiles(t: TestContext): { paths: string[]; whole: Buffer } {
  const dir = tempDir(t)
  const contents = [0, 1, 65_536, 65_537, 1_000_003].map((length) => randomBytes(length))
  const paths = contents.map((content, i) => {
    const path = join(dir, `${i}`)
    writeFileSync(path, content)
    return path
  })
  return { paths, whole: Buffer.concat(contents) }
}

for (const name of ['cat', 'linked-cat']) {
  test(`${name}: what it writes is what the files hold`, async (t) => {
    oracle(t)
    const { paths, whole } = sampleFiles(t)
    const { code, output, errors } = await pipeThrough(name, paths, Buffer.alloc(0))
    assert.equal(errors, '')
    assert.equal(code, 0)
    assert.equal(output.length, whole.length)
    assert.ok(output.equals(whole))
  })

  test(`${name}: a reader that leaves early ends it quietly, a missing file does not`, async (t) => {
    oracle(t)
    const { paths, whole } = sampleFiles(t)
    const child = spawn(process.execPath, [script(name), ...paths, ...paths], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let errors = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors += text
    })
    const closed = once(child, 'close')
    const [first] = (await withTimeout(once(child.stdout, 'data'), 10_000, 'output')) as [Buffer]
    assert.ok(first.equals(whole.subarray(0, first.length)))
    child.stdout.destroy()
    assert.deepEqual(await withTimeout(closed, 10_000, `${name} to end`), [0, null])
    assert.equal(errors, '')

    const missing = await example(name, '/no/such/file')
    assert.equal(missing.code, 1)
    assert.match(missing.stderr, /ENOENT: no such file or directory, open '\/no\/such\/file'/)
  })
}

test('cat: into a file that others write too, it goes on where they stopped', async (t) => {
  oracle(t)
  const { paths, whole } = sampleFiles(t)
  const out = join(tempDir(t), 'out')
  const child = spawn(
    '/bin/sh',
    ['-c', '(echo before; "$@"; echo after) > "$OUT"', 'sh', process.execPath, script('cat'), ...paths],
    {
      stdio: 'inherit',
      env: { ...process.env, OUT: out },
    },
  )
  assert.deepEqual(await once(child, 'close'), [0, null])
  assert.ok(readFileSync(out).equals(Buffer.concat([Buffer.from('before\n'), whole, Buffer.from('after\n')])))
})

test('tee: all outputs hold the input', async (t) => {
  oracle(t)
  const dir = tempDir(t)
  const input = randomBytes(700_001)
  const copies = [join(dir, 'a'), join(dir, 'b')]
  const { code, output, errors } = await pipeThrough('tee', copies, input)
  assert.equal(errors, '')
  assert.equal(code, 0)
  assert.ok(output.equals(input))
  for (const copy of copies) assert.ok(readFileSync(copy).equals(input))

  const unwritable = await pipeThrough('tee', [join(dir, 'no', 'c')], input)
  assert.equal(unwritable.code, 1)
  assert.match(unwritable.errors, /ENOENT/)
})

test('concurrent-reads: 100 files with few system calls', async (t) => {
  oracle(t)
  const made = await example('concurrent-reads')
  assertClean(made)
  // file i has i + 1 lines of 6 characters and the digits of i.
  const bytes = Array.from({ length: 100 }, (_, i) => `file ${i}\n`.length * (i + 1)).reduce((a, b) => a + b)
  assert.match(made.stdout, new RegExp(`^100 files, ${bytes} bytes in `))
  const [, cqes, enters] = /(\d+) completions with (\d+) calls/.exec(made.stdout)!
  assert.ok(Number(cqes) >= 400, `${cqes} completions`)
  assert.ok(Number(enters) < Number(cqes) / 2, `${enters} enters for ${cqes} completions`)

  const { paths, whole } = sampleFiles(t)
  const given = await example('concurrent-reads', ...paths)
  assert.match(given.stdout, new RegExp(`^${paths.length} files, ${whole.length} bytes in `))
  const missing = await example('concurrent-reads', ...paths, '/no/such/file')
  assert.equal(missing.code, 1)
  assert.match(missing.stderr, /ENOENT.*'\/no\/such\/file'/)
})

test('logger: every line of every task once and whole, in batches; SIGINT loses none', async (t) => {
  oracle(t)
  const path = join(tempDir(t), 'log')
  writeFileSync(path, 'an older line\n')
  const result = await example('logger', path, '20', '50')
  assertClean(result)
  const [, batches] = /^1000 lines with (\d+) writes/.exec(result.stdout)!
  assert.ok(Number(batches) < 500, `${batches} writes for 1000 lines`)
  const [older, ...lines] = readFileSync(path, 'utf8').trimEnd().split('\n')
  assert.equal(older, 'an older line')
  const want = Array.from({ length: 1000 }, (_, i) => `task ${Math.floor(i / 50)} line ${i % 50}`)
  const got = lines.map((line) => /^\d{4}-\S+Z (.*)$/.exec(line)?.[1] ?? line)
  assert.deepEqual(got.sort(), want.sort())

  const interrupted = join(tempDir(t), 'log')
  const child = spawn(process.execPath, [script('logger'), interrupted, '4', '100000000'])
  child.stdout.setEncoding('utf8')
  const output = once(child.stdout, 'data')
  const closed = once(child, 'close')
  await until(() => existsSync(interrupted) && readFileSync(interrupted).length > 10_000, 10_000, 'lines')
  child.kill('SIGINT')
  const [text] = await withTimeout(output, 10_000, 'the logger to end')
  assert.deepEqual(await closed, [0, null])
  const inFile = readFileSync(interrupted, 'utf8').split('\n').length - 1
  assert.match(text, new RegExp(`^${inFile} lines with `))
})

// ---------------------------------------------------------------- time and tasks

test('timer: timers fire in order of time and never early; the multishot one ticks', async (t) => {
  oracle(t)
  const result = await example('timer', '40')
  assertClean(result)
  const fired = [...result.stdout.matchAll(/timer (\d) × 40 ms: fired after ([\d.]+) ms/g)]
  assert.deepEqual(
    fired.map(([, factor]) => factor),
    ['1', '2', '3'],
  )
  for (const [, factor, after] of fired)
    assert.ok(Number(after) >= Number(factor) * 40, `${factor}: ${after}`)
  const ticks = [...result.stdout.matchAll(/tick (\d): after ([\d.]+) ms/g)]
  assert.deepEqual(
    ticks.map(([, tick]) => tick),
    ['1', '2', '3'],
  )
  for (const [, tick, after] of ticks) assert.ok(Number(after) >= Number(tick) * 40 - 1, `${tick}: ${after}`)
})

test('ping-pong: the ball comes back every time', async (t) => {
  oracle(t)
  const result = await example('ping-pong', '2000')
  assertClean(result)
  assert.match(result.stdout, /^2000 rounds in [\d.]+ ms: [\d.]+ µs per round\n$/)
})

test('timeout-race: the losers are cancelled', async (t) => {
  oracle(t)
  const result = await example('timeout-race')
  assertClean(result)
  assert.equal(
    result.stdout,
    'winner: the 20 ms timer\n' +
      'loser: AbortError, long before its 60 s were over\n' +
      'read of a silent socket: ETIMEDOUT\n' +
      'in flight at the end: 0\n',
  )
})

test('multishot-accept: one request takes all connections; break and SIGINT cancel it', async (t) => {
  oracle(t)
  const server = await start(t, 'multishot-accept', '5')
  const closed = once(server.child, 'close')
  const greetings = await Promise.all(Array.from({ length: 5 }, () => exchange(server.port, '')))
  assert.deepEqual(
    greetings.map(String).sort(),
    Array.from({ length: 5 }, (_, i) => `you are number ${i + 1}\n`),
  )
  assert.deepEqual(await withTimeout(closed, 5000, 'it to end after the fifth'), [0, null])

  const interrupted = await start(t, 'multishot-accept', '5')
  await exchange(interrupted.port, '')
  const result = await interrupted.stop()
  assertClean(result)
  assert.match(result.stdout, /^1 connections, one request$/m)
})

// ---------------------------------------------------------------- HTTP

test('http-server: methods, paths, heads in pieces, several requests on one connection', async (t) => {
  oracle(t)
  const server = await start(t, 'http-server')
  const { port } = server
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  for (let i = 0; i < 3; i++) {
    const hello = await ask(port, '/', 'GET', agent)
    assert.equal(hello.status, 200)
    assert.equal(String(hello.body), 'Hello from the ring\n')
  }
  assert.equal(Object.values(agent.freeSockets).flat().length, 1, 'the connection was kept')
  agent.destroy()
  const head = await ask(port, '/', 'HEAD')
  assert.deepEqual([head.status, head.body.length, head.headers['content-length']], [200, 0, '20'])
  assert.equal((await ask(port, '/nope')).status, 404)
  const post = await ask(port, '/', 'DELETE')
  assert.deepEqual([post.status, post.headers.allow], [405, 'GET, HEAD'])

  const statuses = (answer: Buffer): string[] =>
    [...String(answer).matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, s]) => s!)
  const line = 'GET / HTTP/1.1\r\nHost: x\r\n'
  // Cut everywhere, in the middle of the empty line too; then two requests in one piece; then a body to skip.
  const pieces = [...`${line}\r\n`].reduce<string[]>((cut, char, i) => {
    if (i % 5 === 0) cut.push('')
    cut[cut.length - 1] += char
    return cut
  }, [])
  assert.deepEqual(statuses(await exchange(port, ...pieces)), ['200'])
  assert.deepEqual(statuses(await exchange(port, `${line}\r\n${line}\r`, '\n')), ['200', '200'])
  const withBody = `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nGET /${line}\r\n`
  assert.deepEqual(statuses(await exchange(port, withBody)), ['405', '200'])
  assert.deepEqual(
    statuses(await exchange(port, `${line}Connection: close\r\n\r\n${line}\r\n`)),
    ['200'],
    'nothing after close',
  )
  assert.deepEqual(statuses(await exchange(port, 'GET / HTTP/1.0\r\n\r\n')), ['200'])
  const bad: [string, string][] = [
    ['no request\r\n\r\n', '400'],
    ['GET / HTTP/1.1\r\n\r\n', '400'],
    [`${line}Bad header\r\n\r\n`, '400'],
    [`${line}Content-Length: -1\r\n\r\n`, '400'],
    [`${line}Content-Length: 1\r\nContent-Length: 2\r\n\r\n`, '400'],
    [`${line}Content-Length: 99999999\r\n\r\n`, '413'],
    [`${line}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, '501'],
    ['GET / HTTP/2.0\r\n\r\n', '505'],
    ['GET / HT', '400'],
    [`${line}X: ${'x'.repeat(20_000)}`, '431'],
  ]
  for (const [text, status] of bad)
    assert.deepEqual(statuses(await exchange(port, text)), [status], JSON.stringify(text.slice(0, 60)))
  assertClean(await server.stop())
})

test('http-client and http-stress-client: every request is served', async (t) => {
  oracle(t)
  const server = await start(t, 'http-server')
  const url = `http://127.0.0.1:${server.port}/`
  const client = await example('http-client', url)
  assertClean(client)
  assert.match(client.stdout, /^100 requests, 2000 bytes of bodies in /)
  const stress = await example('http-stress-client', url)
  assertClean(stress)
  assert.match(stress.stdout, /^1000 of 1000 requests served in /)

  for (const name of ['http-client', 'http-stress-client']) {
    const failed = await example(name, `${url}nope`)
    assert.equal(failed.code, 1)
    assert.match(failed.stderr, /status 404/)
  }
  assertClean(await server.stop())
  const refused = await example('http-client', url)
  assert.equal(refused.code, 1)
  assert.match(refused.stderr, new RegExp(`connect ECONNREFUSED 127\\.0\\.0\\.1:${server.port}`))
})

test('file-server: the bytes of files, and nothing outside of the directory', async (t) => {
  oracle(t)
  const dir = tempDir(t)
  const www = join(dir, 'www')
  mkdirSync(join(www, 'sub'), { recursive: true })
  const page = randomBytes(5_000_011)
  writeFileSync(join(www, 'page.bin'), page)
  writeFileSync(join(www, 'empty.txt'), '')
  writeFileSync(join(www, 'sub', 'index.html'), '<p>')
  writeFileSync(join(www, 'a b%.json'), '{}')
  writeFileSync(join(dir, 'secret.txt'), 'secret')
  symlinkSync('../secret.txt', join(www, 'link.txt'))
  symlinkSync(join(dir, 'secret.txt'), join(www, 'absolute.txt'))
  symlinkSync('sub/index.html', join(www, 'inside.html'))

  const server = await start(t, 'file-server', www)
  const { port } = server
  const pages = await Promise.all(Array.from({ length: 8 }, () => ask(port, '/page.bin')))
  for (const { status, headers, body } of pages) {
    assert.equal(status, 200)
    assert.equal(headers['content-type'], 'application/octet-stream')
    assert.ok(body.equals(page))
  }
  const served: [string, number, string, string][] = [
    ['/empty.txt', 200, 'text/plain; charset=utf-8', ''],
    ['/sub/', 200, 'text/html; charset=utf-8', '<p>'],
    ['/inside.html', 200, 'text/html; charset=utf-8', '<p>'],
    ['/sub/../sub/index.html?x#y', 200, 'text/html; charset=utf-8', '<p>'],
    ['/a%20b%25.json', 200, 'application/json', '{}'],
  ]
  for (const [path, status, type, body] of served) {
    const answer = await ask(port, path)
    assert.deepEqual(
      [answer.status, answer.headers['content-type'], String(answer.body)],
      [status, type, body],
      path,
    )
  }
  const head = await ask(port, '/page.bin', 'HEAD')
  assert.deepEqual([head.status, head.headers['content-length'], head.body.length], [200, '5000011', 0])
  const refused: [string, number][] = [
    ['/../secret.txt', 403],
    ['/%2e%2e/secret.txt', 403],
    ['/sub/../../secret.txt', 403],
    ['/sub/..%2f..%2fsecret.txt', 403],
    ['/link.txt', 403],
    ['/absolute.txt', 403],
    ['/nope', 404],
    ['/sub', 404],
    ['/page.bin/x', 404],
    [`//${join(dir, 'secret.txt')}`, 404],
    ['/%00', 400],
    ['/%zz', 400],
  ]
  for (const [path, status] of refused) {
    const answer = await ask(port, path)
    assert.equal(answer.status, status, path)
    assert.doesNotMatch(String(answer.body), /secret/)
  }
  assert.equal((await ask(port, '/page.bin', 'PUT')).status, 405)
  assertClean(await server.stop())
})

test('file-server: a file larger than its memory', async (t) => {
  oracle(t)
  const dir = tempDir(t)
  const SIZE = 256 * 1024 * 1024
  writeFileSync(join(dir, 'large'), 'begin')
  truncateSync(join(dir, 'large'), SIZE)
  const server = await start(t, 'file-server', dir)
  const memory = (): number =>
    Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${server.child.pid}/status`, 'utf8'))![1]) * 1024
  const before = memory()
  const idle = readdirSync(`/proc/${server.child.pid}/fd`).length
  const hash = createHash('sha256')
  let bytes = 0
  const received = new Promise<void>((resolve, reject) => {
    get({ port: server.port, host: '127.0.0.1', path: '/large', agent: false }, (response) => {
      response
        .on('data', (chunk: Buffer) => {
          if (bytes === 0) hash.update(chunk.subarray(0, 5))
          bytes += chunk.length
        })
        .on('end', resolve)
        .on('error', reject)
    }).on('error', reject)
  })
  await withTimeout(received, 20_000, 'the large file')
  assert.equal(bytes, SIZE)
  assert.equal(hash.digest('hex'), createHash('sha256').update('begin').digest('hex'))
  const grown = (memory() - before) / 1024 / 1024
  assert.ok(grown < 96, `memory grew by ${grown.toFixed(0)} MiB for a file of 256 MiB`)
  // A client that leaves in the middle leaves nothing open.
  const openFds = (): number => readdirSync(`/proc/${server.child.pid}/fd`).length
  await until(() => openFds() === idle, 5000, 'the first connection to be closed')
  const leaving = get({ port: server.port, host: '127.0.0.1', path: '/large', agent: false }, (response) => {
    assert.ok(openFds() >= idle + 2, 'a connection and a file are open')
    response.destroy()
  })
  leaving.on('error', () => {})
  await once(leaving, 'close')
  await until(() => openFds() === idle, 5000, 'its descriptors to be closed')
  assertClean(await server.stop())
})

// ---------------------------------------------------------------- all of them

test('benchmark: one table of the four headline jobs', async (t) => {
  oracle(t)
  const result = await example('benchmark', '--rounds', '1', '--json')
  assertClean(result)
  const { rows } = JSON.parse(result.stdout) as { rows: { name: string; ratio: number }[] }
  assert.deepEqual(
    rows.map(({ name }) => name),
    [
      'cat a file of 100 MiB',
      '100 files at once',
      '100 HTTP requests in sequence',
      '1000 HTTP requests, 200 at once',
    ],
  )
  for (const { name, ratio } of rows) assert.ok(ratio > 0 && Number.isFinite(ratio), name)
})

test('every example has a line in docs/examples.md, and a test', () => {
  const names = readdirSync(join(root, 'examples'))
    .filter((name) => name.endsWith('.ts'))
    .map((name) => name.replace(/\.ts$/, ''))
  const docs = readFileSync(join(root, 'docs', 'examples.md'), 'utf8')
  const documented = [...docs.matchAll(/build\/examples\/([\w-]+)\.js/g)].map(([, name]) => name!)
  assert.deepEqual([...new Set(documented)].sort(), names.sort())
  const tests = ['60.examples.test.ts', '61.tour.test.ts'].map((file) =>
    readFileSync(join(root, 'test', file), 'utf8'),
  )
  for (const name of names)
    assert.ok(
      tests.some((text) => text.includes(`'${name}'`) || text.includes(`'${name}.js'`)),
      `${name} has no test`,
    )
})
