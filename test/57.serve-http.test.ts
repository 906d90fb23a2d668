// The HTTP/1.1 layer of the file server: heads, pipelining, limits, slow and rude peers, an orderly end.
// Flow: this → net/http/request.js, net/http/server.js with a handler that says hello.

import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Answer, textAnswer } from '#src/net/http/answer.js'
import { HttpError, parseHead, type Request } from '#src/net/http/request.js'
import { HttpServer, type HttpServerOptions } from '#src/net/http/server.js'
import { exchange } from './example-programs.js'
import { oracle, until, useRing, withTimeout } from './helpers.js'
import { dial, parseAnswers } from './serve.js'

const GET = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'

function start(t: TestContext, options: Partial<HttpServerOptions> = {}): HttpServer {
  const server = new HttpServer({
    ring: useRing(t),
    host: '127.0.0.1',
    handler: ({ method, target }) => textAnswer(200, `${method} ${target}`),
    onError: (error) => {
      throw error
    },
    ...options,
  })
  t.after(() => server.close(0))
  return server
}

const statuses = (bytes: Buffer): number[] => parseAnswers(bytes).map(({ status }) => status)

test('heads: what is read, and what is refused', (t) => {
  oracle(t)
  const read = parseHead('GET /a%20b?c HTTP/1.1\r\nHOST: x\r\nA:  1 \r\na: 2\r\nEmpty:\r\nHigh: \xe9\ta')
  assert.deepEqual([read.method, read.target, read.minor, read.keepAlive], ['GET', '/a%20b?c', 1, true])
  assert.deepEqual(
    [...read.fields],
    [
      ['host', 'x'],
      ['a', '1, 2'],
      ['empty', ''],
      ['high', '\xe9\ta'],
    ],
  )
  const keeps = (text: string): boolean => parseHead(text).keepAlive
  assert.ok(!keeps('GET / HTTP/1.1\r\nHost: x\r\nConnection: Close'))
  assert.ok(!keeps('GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, close'))
  assert.ok(!keeps('GET / HTTP/1.0'))
  assert.ok(keeps('GET / HTTP/1.0\r\nConnection: foo, Keep-Alive'))

  const refused: [string, number][] = [
    ['', 400],
    ['GET /', 400],
    ['GET  / HTTP/1.1\r\nHost: x', 400],
    ['GET / HTTP/1.1 \r\nHost: x', 400],
    ['G@T / HTTP/1.1\r\nHost: x', 400],
    ['GET /\x01 HTTP/1.1\r\nHost: x', 400],
    ['GET /\xe9 HTTP/1.1\r\nHost: x', 400],
    [`${'G'.repeat(33)} / HTTP/1.1\r\nHost: x`, 400],
    ['GET / HTTP/1.1\nHost: x', 400],
    ['GET / HTTP/1.1\r\nHost: x\nA: b', 400],
    ['GET / HTTP/1.1\r\nHost: x\r\nA: b\rc', 400],
    ['GET / HTTP/1.1\r\nHost: x\r\n folded', 400],
    ['GET / HTTP/1.1\r\nHost: x\r\nA : b', 400],
    ['GET / HTTP/1.1\r\nHost: x\r\nA', 400],
    ['GET / HTTP/1.1\r\nHost: x\r\n: b', 400],
    ['GET / HTTP/1.1\r\nHost: x\r\nA: \0', 400],
    ['GET / HTTP/1.1', 400],
    ['GET / HTTP/1.1\r\nHost: x\r\nHost: x', 400],
    ['GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1', 400],
    ['GET / HTTP/1.1\r\nHost: x\r\nContent-Length: +1', 400],
    ['GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked', 400],
    ['GET / HTTP/2.0\r\nHost: x', 505],
  ]
  for (const [text, status] of refused) {
    assert.throws(
      () => parseHead(text),
      (error) => error instanceof HttpError && error.status === status,
      JSON.stringify(text),
    )
  }
})

test('requests in whatever pieces they come, several in one, with bodies to pass over', async (t) => {
  oracle(t)
  const { port } = start(t)
  for (const size of [1, 2, 3, 7, 1000]) {
    const text = `${GET}\r\n${GET.replace('/', '/two')}`
    const pieces = text.match(new RegExp(`[^]{1,${size}}`, 'g'))!
    const { socket, received } = await dial(t, port)
    for (const piece of pieces) {
      socket.write(piece)
      await new Promise((resolve) => setImmediate(resolve))
    }
    await until(() => received().toString().includes('GET /two\n'), 5000, `two answers, pieces of ${size}`)
    assert.deepEqual(
      parseAnswers(received()).map(({ body }) => String(body)),
      ['GET /\n', 'GET /two\n'],
    )
    socket.destroy()
  }
  const body = 'POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: '
  const answers = parseAnswers(await exchange(port, body.slice(0, 80), body.slice(80) + GET))
  assert.deepEqual(
    answers.map(({ body }) => String(body)),
    ['POST /b\n', 'GET /\n'],
  )
  // Bodies without an end, or too long to pass over: answered, then the connection ends.
  for (const field of ['Transfer-Encoding: chunked', 'Content-Length: 99999999']) {
    const [answer, ...more] = parseAnswers(
      await exchange(port, `PUT / HTTP/1.1\r\nHost: x\r\n${field}\r\n\r\n${GET}`),
    )
    assert.deepEqual([answer!.status, answer!.headers.connection, more.length], [200, 'close', 0])
  }
})

test('four hundred pipelined requests are answered in order, however slowly their answers are made', async (t) => {
  oracle(t)
  let most = 0
  let under = 0
  const handler = async ({ target }: Request): Promise<Answer> => {
    most = Math.max(most, ++under)
    if (Number(target.slice(1)) % 50 === 0) await sleep(1)
    under--
    return textAnswer(200, target)
  }
  const { port } = start(t, { handler })
  const requests = Array.from(
    { length: 400 },
    (_, i) => `GET /${i} HTTP/1.1\r\nHost: x\r\nPad: ${'x'.repeat(300)}\r\n\r\n`,
  )
  const answers = parseAnswers(await exchange(port, requests.join('')))
  assert.deepEqual(
    answers.map(({ body }) => String(body)),
    Array.from({ length: 400 }, (_, i) => `/${i}\n`),
  )
  assert.equal(most, 1, 'one at a time')
})

test('HTTP/1.0, HEAD, close: how an answer and its connection end', async (t) => {
  oracle(t)
  const { port } = start(t)
  const [old] = parseAnswers(await exchange(port, `GET / HTTP/1.0\r\n\r\n${GET}`))
  assert.equal(old!.headers.connection, 'close')
  const kept = parseAnswers(await exchange(port, 'GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n', GET))
  assert.deepEqual(
    kept.map(({ headers }) => headers.connection),
    ['keep-alive', undefined],
  )
  const head = parseAnswers(await exchange(port, GET.replace('GET', 'HEAD') + GET), [0])
  assert.deepEqual(
    head.map(({ headers }) => headers['content-length']),
    ['7', '6'],
  )
  assert.match(head[0]!.headers.date!, /^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$/)
  const closing = GET.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n')
  assert.deepEqual(statuses(await exchange(port, closing + GET)), [200], 'nothing after the last')
})

test('limits: a head too long, a target too long, a request that never ends, a start that is none', async (t) => {
  oracle(t)
  const { port } = start(t)
  const long = `GET / HTTP/1.1\r\nHost: x\r\nA: ${'x'.repeat(20_000)}`
  assert.deepEqual(statuses(await exchange(port, long)), [431])
  assert.deepEqual(statuses(await exchange(port, `${long}\r\n\r\n`)), [431])
  assert.deepEqual(
    statuses(await exchange(port, `GET /${'x'.repeat(9000)} HTTP/1.1\r\nHost: x\r\n\r\n`)),
    [414],
  )
  assert.deepEqual(statuses(await exchange(port, 'GET / HT')), [400], 'an end in the middle')
  assert.deepEqual(statuses(await exchange(port, '\x16\x03\x01\x02\x00\x01\r\n\r\n')), [400], 'a TLS hello')
  assert.equal((await exchange(port, '')).length, 0, 'an end before the beginning')
})

test('time: silent peers and slow heads are ended, those who take their answer are not', async (t) => {
  oracle(t)
  const server = start(t, { timeouts: { head: 200, idle: 300, send: 60_000 } })
  const { port } = server
  const silent = await dial(t, port)
  const slow = await dial(t, port)
  const idle = await dial(t, port)
  slow.socket.write('GET / HT')
  idle.socket.write(GET)
  await withTimeout(Promise.all([silent.ended, slow.ended, idle.ended]), 5000, 'all three to be ended')
  assert.equal(silent.received().length, 0)
  assert.deepEqual(statuses(slow.received()), [408])
  assert.deepEqual(statuses(idle.received()), [200])
  for (const { socket } of [silent, slow, idle]) socket.destroy()
  await until(() => server.connections === 0, 5000, 'the connections to be closed')
})

test('a peer that takes nothing of a large answer is cut off', async (t) => {
  oracle(t)
  const large = Buffer.alloc(32 << 20)
  const fields = `Content-Length: ${large.length}\r\n`
  const server = start(t, {
    handler: () => ({ status: 200, fields, body: large, length: large.length }),
    timeouts: { send: 300 },
  })
  const { socket } = await dial(t, server.port)
  socket.pause()
  socket.write(GET)
  await until(() => server.connections === 1, 5000, 'the connection')
  await until(() => server.connections === 0, 8000, 'the server to give up')
})

test('a peer that takes an answer slowly gets all of it, however long that is', async (t) => {
  oracle(t)
  const large = Buffer.alloc(24 << 20, 'x')
  const fields = `Content-Length: ${large.length}\r\n`
  const handler = (): Answer => ({ status: 200, fields, body: large, length: large.length })
  const server = start(t, { handler, timeouts: { send: 400 } })
  const { socket, received, ended } = await dial(t, server.port)
  socket.write(GET.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'))
  const started = performance.now()
  while (received().length < large.length - (1 << 20) && performance.now() - started < 1500) {
    socket.pause()
    await sleep(70)
    socket.resume()
    await sleep(1)
  }
  assert.ok(performance.now() - started > 500, 'it took longer than the patience of one look')
  await withTimeout(ended, 5000, 'the rest')
  assert.ok(parseAnswers(received())[0]!.body.equals(large))
})

test('what comes behind the last answer is read away, but not for ever', async (t) => {
  oracle(t)
  const server = start(t)
  const { socket, received } = await dial(t, server.port)
  socket.write(GET.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'))
  await until(() => received().length > 0, 5000, 'the answer')
  const more = Buffer.alloc(1 << 18)
  const sent = performance.now()
  while (server.connections > 0 && performance.now() - sent < 1500) {
    socket.write(more)
    await sleep(1)
  }
  // By time alone it would take two seconds.
  assert.equal(server.connections, 0)
})

test('peers that reset at any moment leave nothing behind', async (t) => {
  oracle(t)
  const large = Buffer.alloc(1 << 20)
  const server = start(t, {
    handler: async () => {
      await sleep(2)
      return { status: 200, fields: `Content-Length: ${large.length}\r\n`, body: large, length: large.length }
    },
  })
  await Promise.all(
    Array.from({ length: 100 }, async (_, i) => {
      const { socket } = await dial(t, server.port)
      socket.write(i % 3 === 0 ? 'GET / H' : GET + GET)
      await sleep(i % 7)
      socket.resetAndDestroy()
    }),
  )
  await until(() => server.connections === 0, 10_000, 'the connections to be closed')
})

test('a handler that throws or rejects is answered with 500, and the connection goes on', async (t) => {
  oracle(t)
  const failures: unknown[] = []
  const { port } = start(t, {
    handler: ({ target }) => {
      if (target === '/throw') throw new Error('thrown')
      if (target === '/reject') return Promise.reject(new Error('rejected'))
      return textAnswer(200, 'fine')
    },
    onError: (error) => failures.push(error),
  })
  const ask = (target: string): string => GET.replace('/', target)
  assert.deepEqual(statuses(await exchange(port, ask('/throw') + ask('/reject') + GET)), [500, 500, 200])
  assert.deepEqual(
    failures.map((error) => (error as Error).message),
    ['thrown', 'rejected'],
  )
})

test('connections beyond the limit wait, and have their turn', async (t) => {
  oracle(t)
  const server = start(t, { connections: 2 })
  const [one, two, three] = [
    await dial(t, server.port),
    await dial(t, server.port),
    await dial(t, server.port),
  ]
  for (const { socket } of [one, two, three]) socket.write(GET)
  await until(() => one.received().length > 0 && two.received().length > 0, 5000, 'the first two')
  await sleep(50)
  assert.equal(three.received().length, 0, 'the third waits')
  assert.equal(server.connections, 2)
  one.socket.destroy()
  await until(() => three.received().length > 0, 5000, 'the third')
})

test('the end: idle connections close at once, answers under way are finished, and then it is over', async (t) => {
  oracle(t)
  let begin: () => void = () => {}
  const begun = new Promise<void>((resolve) => {
    begin = resolve
  })
  let finish: () => void = () => {}
  const finished = new Promise<void>((resolve) => {
    finish = resolve
  })
  const server = start(t, {
    handler: async ({ target }) => {
      if (target === '/slow') {
        begin()
        await finished
      }
      return textAnswer(200, target)
    },
  })
  const { port } = server
  const idle = await dial(t, port)
  idle.socket.write(GET)
  await until(() => idle.received().length > 0, 5000, 'an answer')
  const fresh = await dial(t, port)
  const busy = await dial(t, port)
  busy.socket.write(GET.replace('/', '/slow') + GET)
  await begun
  await until(() => server.connections === 3, 5000, 'three connections')
  const over = server.close()
  await withTimeout(Promise.all([idle.ended, fresh.ended]), 5000, 'the idle ones to be closed')
  const refused = dial(t, port)
  await assert.rejects(refused, { code: 'ECONNREFUSED' })
  finish()
  await withTimeout(busy.ended, 5000, 'the busy one to be closed')
  const [answer, ...more] = parseAnswers(busy.received())
  assert.deepEqual([answer!.status, answer!.headers.connection, more.length], [200, 'close', 0])
  busy.socket.end()
  await withTimeout(over, 5000, 'the server to end')
})

test('the end does not wait for ever', async (t) => {
  oracle(t)
  const server = start(t, { handler: () => new Promise(() => {}) })
  const { socket, ended } = await dial(t, server.port)
  socket.write(GET)
  await until(() => server.connections === 1, 5000, 'the connection')
  await withTimeout(server.close(50), 5000, 'the server to end')
  await ended
  assert.equal(server.connections, 0)
})
