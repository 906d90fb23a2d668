// The example programs that serve, and their clients: echo, accept, HTTP, files over HTTP.
// Flow: this → build/examples/*.js as child processes, node:net and node:http as witnesses.

import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { Agent, get } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { assertClean, example, exchange, start } from './example-programs.js'
import { oracle, requires, tempDir, until, withTimeout } from './helpers.js'

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
  const idle = connect(server.port, '127.0.0.1')
  idle.write('x')
  // It is accepted once it got an answer; one that only waits in the backlog would be reset.
  await once(idle, 'data')
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

// ---------------------------------------------------------------- threads

test('threads: sockets are handed to the least busy worker; every one is served, and the end is orderly', async (t) => {
  oracle(t)
  const server = await start(t, 'threads', '3')
  const request = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'
  // Three that stay: one goes to each worker.
  const kept = Array.from({ length: 3 }, () => connect(server.port, '127.0.0.1'))
  const said: string[] = []
  for (const [i, socket] of kept.entries()) {
    socket.write(request)
    const [bytes] = await once(socket, 'data')
    said[i] = /worker \d/.exec(String(bytes))![0]
  }
  assert.deepEqual(said.toSorted(), ['worker 0', 'worker 1', 'worker 2'])
  // Where one has left, the next one goes.
  kept[1]!.destroy()
  let inARow = 0
  for (let i = 0; inARow < 4 && i < 200; i++) {
    inARow = String(await exchange(server.port, request)).includes(said[1]!) ? inARow + 1 : 0
    // The worker hears of the end a little later than we do.
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  assert.equal(inARow, 4, 'the free worker gets one after the other')
  const answers = await Promise.all(
    Array.from({ length: 50 }, () => exchange(server.port, request + request)),
  )
  for (const answer of answers) assert.equal(String(answer).match(/Hello from worker [012]\n/g)?.length, 2)
  const ended = [0, 2].map((i) => once(kept[i]!, 'close'))
  const result = await server.stop()
  await withTimeout(Promise.all(ended), 2000, 'those who stayed to be disconnected')
  assertClean(result)
  const served = [...result.stdout.matchAll(/^worker \d served (\d+) requests$/gm)].map(([, n]) => Number(n))
  assert.equal(served.length, 3)
  assert.ok(
    served.every((requests) => requests > 1),
    served.join(),
  )
  assert.ok(served.reduce((sum, requests) => sum + requests, 0) >= 3 + 4 + 100)
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
