// `ringcore serve`'s answers: files, ranges, conditions, encodings, directories, and what must not be served.
// Flow: this → dist/cli/serve-run.js in this process, over raw connections.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { CACHED_FILE_MAX, FileCache } from '#src/cli/serve-cache.js'
import { judge } from '#src/cli/serve-conditions.js'
import { Files, takes } from '#src/cli/serve-files.js'
import { serveOptions } from '#src/cli/serve-options.js'
import { encodePath, isHidden, kernelPath, pathOf } from '#src/cli/serve-path.js'
import type { FileState } from '#src/cli/serve-stat.js'
import { parseHead } from '#src/net/http/request.js'
import { exchange } from './example-programs.js'
import { oracle, tempDir, until, useRing, withTimeout } from './helpers.js'
import { ask, dial, oldFile, parseAnswers, serving } from './serve.js'

test('targets: what is a path, and what is not', (t) => {
  oracle(t)
  const good: [string, string][] = [
    ['/', ''],
    ['/a/b', 'a/b'],
    ['//a', 'a'],
    ['/%2fa', 'a'],
    ['/a?b#c', 'a'],
    ['/a%3Fb', 'a?b'],
    ['/%e4%C3', '\xe4\xc3'],
    ['/../a', '../a'],
    ['http://host:1/a?b', 'a'],
    ['HTTPS://host', ''],
  ]
  for (const [target, path] of good) assert.equal(pathOf(target), path, target)
  for (const target of ['a', '*', 'host:1', '/%', '/%4', '/%zz', '/%00', '/a%00.html', 'ftp://host/']) {
    assert.throws(() => pathOf(target), { status: 400 }, target)
  }
  assert.deepEqual(kernelPath('\xe4'), Buffer.from([0xe4]))
  assert.equal(encodePath('a b/\\"<\xe4:'), 'a%20b/%5C%22%3C%E4%3A')
  const hidden = ['.git/config', 'a/.env', '.', '..', '.well-known/x', 'a/.well-known', 'a.b']
  assert.deepEqual(hidden.map(isHidden), [true, true, false, false, false, true, false])
})

test('Accept-Encoding', (t) => {
  oracle(t)
  const accepted = ['br', 'gzip, br', 'gzip;q=1.0, BR;q=0.5', '*', 'gzip;q=0, *;q=0.1']
  for (const text of accepted) assert.ok(takes(text, 'br'), text)
  for (const text of ['', 'gzip', 'br;q=0', 'br; q=0.000', '*;q=0', 'br;q=0, *', 'brotli']) {
    assert.ok(!takes(text, 'br'), text)
  }
})

test('conditions and ranges: what of a file a request wants', (t) => {
  oracle(t)
  const version = { etag: '"v1"', lastModified: 'Thu, 26 Nov 2026 10:00:00 GMT', size: 100 }
  const [before, after] = ['Thu, 26 Nov 2026 09:00:00 GMT', 'Thu, 26 Nov 2026 11:00:00 GMT']
  const verdict = (fields: Record<string, string>, method = 'GET'): string => {
    const { status, parts } = judge(method, new Map(Object.entries(fields)), version)
    return [status, ...parts.map(({ start, end }) => `${start}-${end}`)].join(' ')
  }
  const cases: [Record<string, string>, string][] = [
    [{}, '200'],
    [{ 'if-none-match': '"v1"' }, '304'],
    [{ 'if-none-match': 'W/"v1"' }, '304'],
    [{ 'if-none-match': '"v0", "v1"' }, '304'],
    [{ 'if-none-match': '*' }, '304'],
    [{ 'if-none-match': '"v0"' }, '200'],
    [{ 'if-none-match': '"v0"', 'if-modified-since': after }, '200'],
    [{ 'if-modified-since': version.lastModified }, '304'],
    [{ 'if-modified-since': before }, '200'],
    [{ 'if-modified-since': 'rubbish' }, '200'],
    [{ 'if-none-match': '"v1"', 'cache-control': 'no-cache' }, '200'],
    [{ 'if-match': '"v1"' }, '200'],
    [{ 'if-match': '*' }, '200'],
    [{ 'if-match': 'W/"v1"' }, '412'],
    [{ 'if-match': '"v0"' }, '412'],
    [{ 'if-unmodified-since': before }, '412'],
    [{ 'if-unmodified-since': after }, '200'],
    [{ 'if-unmodified-since': 'rubbish' }, '200'],
    [{ range: 'bytes=0-9' }, '206 0-10'],
    [{ range: 'bytes=90-' }, '206 90-100'],
    [{ range: 'bytes=-10' }, '206 90-100'],
    [{ range: 'bytes=90-1000' }, '206 90-100'],
    [{ range: 'BYTES=0-0' }, '206 0-1'],
    [{ range: 'bytes=100-' }, '416'],
    [{ range: 'bytes=-0' }, '416'],
    [{ range: 'bytes=9-0' }, '416'],
    [{ range: 'bytes=x' }, '200'],
    [{ range: 'lines=0-9' }, '200'],
    [{ range: 'bytes=0-9,20-29' }, '206 0-10 20-30'],
    [{ range: 'bytes=0-9,5-20,21-29' }, '206 0-30'],
    [{ range: `bytes=${Array.from({ length: 17 }, (_, i) => `${i * 4}-${i * 4}`)}` }, '200'],
    [{ range: 'bytes=0-9', 'if-range': '"v1"' }, '206 0-10'],
    [{ range: 'bytes=0-9', 'if-range': '"v0"' }, '200'],
    [{ range: 'bytes=0-9', 'if-range': 'W/"v1"' }, '200'],
    [{ range: 'bytes=0-9', 'if-range': version.lastModified }, '206 0-10'],
    [{ range: 'bytes=0-9', 'if-range': after }, '200'],
    [{ range: 'bytes=0-9', 'if-none-match': '"v1"' }, '304'],
  ]
  for (const [fields, expected] of cases) assert.equal(verdict(fields), expected, JSON.stringify(fields))
  assert.equal(verdict({ range: 'bytes=0-9' }, 'HEAD'), '200')
})

test('the cache: what is unchanged is found, what is old goes first, and the bytes are counted', (t) => {
  oracle(t)
  const state = (equal: boolean): FileState => ({ equals: () => equal }) as unknown as FileState
  const cache = new FileCache(30)
  for (const name of ['a', 'b', 'c'])
    cache.set(name, { state: state(true), body: Buffer.from(name.repeat(10)) })
  assert.equal(String(cache.get('a', state(true))), 'a'.repeat(10))
  cache.set('d', { state: state(true), body: Buffer.from('d'.repeat(10)) })
  assert.deepEqual(
    ['a', 'b', 'c', 'd'].map((name) => cache.get(name, state(true)) !== undefined),
    [true, false, true, true],
  )
  assert.equal(cache.bytes, 30)
  cache.set('e', { state: state(false), body: Buffer.from('e') })
  assert.equal(cache.get('e', state(false)), undefined, 'it has changed')
  assert.equal(cache.bytes, 20)
  assert.ok(!cache.takes(31) && !new FileCache(2 ** 30).takes(CACHED_FILE_MAX + 1) && cache.takes(30))
})

test('files of all sizes, whole and in parts, from the disk and from memory', async (t) => {
  oracle(t)
  const dir = tempDir(t)
  const { port } = await serving(t, dir, { settleMs: 0 })
  for (const size of [0, 1, 5000, 100_000, CACHED_FILE_MAX, CACHED_FILE_MAX + 1, 3_000_001]) {
    const content = randomBytes(size)
    oldFile(dir, 'f.bin', content)
    for (const round of ['read', 'kept']) {
      const { status, headers, body } = await ask(port, '/f.bin')
      assert.equal(status, 200, `${size} ${round}`)
      assert.ok(body.equals(content), `${size} ${round}`)
      assert.deepEqual(
        [headers['content-type'], headers['accept-ranges']],
        ['application/octet-stream', 'bytes'],
      )
    }
    if (size < 100) continue
    const middle = await ask(port, '/f.bin', { Range: `bytes=10-${size - 11}` })
    assert.deepEqual([middle.status, middle.headers['content-range']], [206, `bytes 10-${size - 11}/${size}`])
    assert.ok(middle.body.equals(content.subarray(10, size - 10)))
  }
  const [head, ...more] = parseAnswers(
    await exchange(port, 'HEAD /f.bin HTTP/1.1\r\nHost: x\r\n\r\nHEAD /f.bin HTTP/1.1\r\nHost: x\r\n\r\n'),
    [0, 1],
  )
  assert.deepEqual([head!.status, head!.headers['content-length'], more.length], [200, '3000001', 1])
})

test('several ranges come as multipart/byteranges; what can not be satisfied says how long the file is', async (t) => {
  oracle(t)
  const dir = tempDir(t)
  oldFile(dir, 'a.txt', 'abcdefghijklmnopqrstuvwxyz')
  const { port } = await serving(t, dir)
  const { status, headers, body } = await ask(port, '/a.txt', { Range: 'bytes=0-2,10-11,-1' })
  assert.equal(status, 206)
  const boundary = /^multipart\/byteranges; boundary=(\w+)$/.exec(headers['content-type']!)![1]
  const part = (range: string, text: string): string =>
    `\r\n--${boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes ${range}/26\r\n\r\n${text}`
  const expected = `${part('0-2', 'abc')}${part('10-11', 'kl')}${part('25-25', 'z')}\r\n--${boundary}--\r\n`
  assert.equal(String(body), expected)
  const no = await ask(port, '/a.txt', { Range: 'bytes=26-' })
  assert.deepEqual([no.status, no.headers['content-range']], [416, 'bytes */26'])
})

test('conditional requests: 304 repeats what identifies the file, a change is noticed at once', async (t) => {
  oracle(t)
  const dir = tempDir(t)
  const path = oldFile(dir, 'a.txt', 'old content')
  const { port } = await serving(t, dir, { maxAge: 60, settleMs: 0 })
  const first = await ask(port, '/a.txt')
  const { etag, 'last-modified': lastModified } = first.headers
  assert.equal(first.headers['cache-control'], 'max-age=60')
  const same = await ask(port, '/a.txt', { 'If-None-Match': etag! })
  assert.deepEqual([same.status, same.headers.etag, same.headers['content-length']], [304, etag, undefined])
  assert.equal((await ask(port, '/a.txt', { 'If-Modified-Since': lastModified! })).status, 304)
  assert.equal((await ask(port, '/a.txt', { 'If-Match': '"x"' })).status, 412)

  // It is kept in memory by now, as the next test shows. As long as before, at the same second, in place, and put there under its name: each is another file to us.
  const fresh = await ask(port, '/a.txt')
  writeFileSync(path, 'new content')
  const changed = await ask(port, '/a.txt', { 'If-None-Match': etag! })
  assert.deepEqual([changed.status, String(changed.body)], [200, 'new content'])
  assert.notEqual(changed.headers.etag, fresh.headers.etag)
  const hourAgo = Date.now() / 1000 - 3600
  utimesSync(path, hourAgo, hourAgo)
  assert.equal(String((await ask(port, '/a.txt')).body), 'new content')
  const other = oldFile(dir, 'other', 'b.w content')
  renameSync(other, path)
  assert.equal(String((await ask(port, '/a.txt')).body), 'b.w content')
  rmSync(path)
  assert.equal((await ask(port, '/a.txt')).status, 404)
})

test('what is kept is not read again, and what has just changed is not kept', async (t) => {
  oracle(t)
  const dir = tempDir(t)
  const path = oldFile(dir, 'a.bin', 'a'.repeat(1000))
  const options = { ...serveOptions([dir])!, settleMs: 0 }
  for (const [settleMs, reads] of [
    [0, 1],
    [60_000, 3],
  ]) {
    const ring = useRing(t)
    let counted = 0
    const read = ring.read.bind(ring)
    ring.read = (...args) => {
      counted++
      return read(...args)
    }
    const root = await Files.root(ring, dir)
    const files = new Files(ring, root, { ...options, settleMs: settleMs! })
    const request = parseHead('GET /a.bin HTTP/1.1\r\nHost: x')
    for (let i = 0; i < 3; i++) assert.equal(String((await files.answer(request)).body), 'a'.repeat(1000))
    assert.equal(counted, reads, `settled after ${settleMs} ms`)
    await ring.closeFile(root)
  }
  rmSync(path)
})

test('precompressed variants: for those who take them, and only while they are not older', async (t) => {
  oracle(t)
  const dir = tempDir(t)
  oldFile(dir, 'a.js', 'plain')
  oldFile(dir, 'a.js.gz', 'gzipped')
  oldFile(dir, 'a.js.br', 'brotlied')
  oldFile(dir, 'a.bin', 'plain')
  oldFile(dir, 'a.bin.gz', 'gzipped')
  const { port } = await serving(t, dir)
  const got = async (target: string, accept?: string): Promise<(string | undefined)[]> => {
    const { headers, body } = await ask(
      port,
      target,
      accept === undefined ? {} : { 'Accept-Encoding': accept },
    )
    return [String(body), headers['content-encoding'], headers.vary, headers['content-type']]
  }
  const type = 'text/javascript; charset=utf-8'
  assert.deepEqual(await got('/a.js'), ['plain', undefined, 'Accept-Encoding', type])
  assert.deepEqual(await got('/a.js', 'gzip'), ['gzipped', 'gzip', 'Accept-Encoding', type])
  assert.deepEqual(await got('/a.js', 'gzip, deflate, br'), ['brotlied', 'br', 'Accept-Encoding', type])
  assert.deepEqual(await got('/a.js', 'identity'), ['plain', undefined, 'Accept-Encoding', type])
  assert.deepEqual(await got('/a.bin', 'gzip'), ['plain', undefined, undefined, 'application/octet-stream'])
  writeFileSync(join(dir, 'a.js'), 'newer')
  assert.equal((await got('/a.js', 'gzip'))[0], 'newer')
  const plain = await serving(t, dir, { precompressed: false })
  assert.equal((await ask(plain.port, '/a.js', { 'Accept-Encoding': 'br' })).headers.vary, undefined)
})

test('directories: index.html, a redirect to the slash, a listing that no name can break out of', async (t) => {
  oracle(t)
  const dir = tempDir(t)
  mkdirSync(join(dir, 'with'))
  mkdirSync(join(dir, 'a "b" <c>'))
  writeFileSync(join(dir, 'with', 'index.html'), 'index')
  const names = ['javascript:x', '<script>', 'a&b"\'.txt', '.hidden', 'ü', 'new\nline', '%41', 'a?b#c']
  for (const name of names) writeFileSync(join(dir, name), name)
  writeFileSync(Buffer.concat([Buffer.from(`${dir}/`), Buffer.from([0xff, 0x41])]), 'bytes')
  const { port } = await serving(t, dir)
  assert.equal(String((await ask(port, '/with/')).body), 'index')
  const moved = await ask(port, '/with?q=1')
  assert.deepEqual([moved.status, moved.headers.location], [301, '/with/?q=1'])
  const quoted = await ask(port, '/a%20%22b%22%20%3Cc%3E')
  assert.deepEqual([quoted.status, quoted.headers.location], [301, '/a%20%22b%22%20%3Cc%3E/'])
  // Not '//with/', which would name a host; nor '/\\host', which browsers read as one.
  assert.equal((await ask(port, '//with')).headers.location, '/with/')
  mkdirSync(join(dir, '\\host'))
  assert.equal((await ask(port, '/\\host')).headers.location, '/%5Chost/')

  const { status, headers, body } = await ask(port, '/')
  const page = String(body)
  assert.deepEqual([status, headers['content-type']], [200, 'text/html; charset=utf-8'])
  assert.match(headers['content-security-policy']!, /default-src 'none'/)
  assert.doesNotMatch(page, /<script|href="javascript|\.hidden/)
  assert.match(page, /<a href="\.\/with\/">with\/<\/a>/)
  const links = [...page.matchAll(/href="\.\/([^"]*)"/g)].map(([, href]) => href!)
  assert.equal(links.length, names.length - 1 + 1 + 3)
  for (const href of links.filter((link) => !link.endsWith('/'))) {
    const file = await ask(port, `/${href}`)
    assert.equal(file.status, 200, href)
    assert.equal(String(file.body), href === '%FFA' ? 'bytes' : decodeURIComponent(href))
  }
  assert.match(
    String((await ask(port, '/a%20%22b%22%20%3Cc%3E/')).body),
    /<h1>\/a &#34;b&#34; &#60;c&#62;\/<\/h1>.*href="\.\.\/"/s,
  )
  const closed = await serving(t, dir, { listing: false, dotfiles: true })
  assert.equal((await ask(closed.port, '/')).status, 404)
  assert.equal(String((await ask(closed.port, '/.hidden')).body), '.hidden')
})

test('nothing outside of the directory, nothing hidden, nothing that is no file', async (t) => {
  oracle(t)
  const dir = tempDir(t)
  const www = join(dir, 'www')
  mkdirSync(join(www, 'sub'), { recursive: true })
  writeFileSync(join(dir, 'secret.txt'), 'secret')
  writeFileSync(join(www, 'a.txt'), 'inside')
  writeFileSync(join(www, '.env'), 'secret')
  symlinkSync('../secret.txt', join(www, 'out.txt'))
  symlinkSync(join(dir, 'secret.txt'), join(www, 'absolute.txt'))
  symlinkSync('..', join(www, 'up'))
  symlinkSync('/proc/self/root', join(www, 'magic'))
  symlinkSync('a.txt', join(www, 'in.txt'))
  symlinkSync('loop', join(www, 'loop'))
  execFileSync('mkfifo', [join(www, 'pipe')])
  const { port } = await serving(t, www)
  const answers: [string, number][] = [
    ['/in.txt', 200],
    ['/sub/../a.txt', 200],
    ['/sub/%2e%2e/a.txt', 200],
    ['/../secret.txt', 403],
    ['/%2e%2e/secret.txt', 403],
    ['/%2E%2E%2Fsecret.txt', 403],
    ['/sub/../../secret.txt', 403],
    ['/out.txt', 403],
    ['/absolute.txt', 403],
    ['/up/secret.txt', 403],
    ['/up/', 403],
    ['/magic/etc/passwd', 403],
    ['/loop', 403],
    [join(dir, 'secret.txt'), 404],
    [`/${join(dir, 'secret.txt')}`, 404],
    ['/.env', 404],
    ['/sub/../.env', 404],
    ['/%2eenv', 404],
    ['/pipe', 404],
    ['/a.txt/', 404],
    ['/a.txt/b', 404],
    ['/nothing', 404],
    [`/${'x'.repeat(300)}`, 404],
    [`/${'x/'.repeat(2500)}`, 404],
    ['/a.txt%00', 400],
    ['/%', 400],
    ['a.txt', 400],
  ]
  for (const [target, status] of answers) {
    const answer = await ask(port, target)
    assert.equal(answer.status, status, target)
    assert.doesNotMatch(String(answer.body), /secret/, target)
  }
  for (const method of ['POST', 'PUT', 'DELETE', 'TRACE', 'FOO']) {
    const answer = await ask(port, '/a.txt', {}, method)
    assert.deepEqual([answer.status, answer.headers.allow], [405, 'GET, HEAD, OPTIONS'], method)
  }
  assert.equal((await ask(port, '/a.txt', {}, 'OPTIONS')).status, 204)
  if (process.getuid!() === 0) return
  chmodSync(join(www, 'a.txt'), 0)
  assert.equal((await ask(port, '/a.txt')).status, 403)
})

test('a file that becomes shorter while it is sent ends the connection, not the server', async (t: TestContext) => {
  oracle(t)
  const dir = tempDir(t)
  const path = join(dir, 'large.bin')
  writeFileSync(path, '')
  truncateSync(path, 64 << 20)
  const errors: string[] = []
  const write = process.stderr.write
  process.stderr.write = ((text: string) => errors.push(text) > 0) as typeof write
  t.after(() => {
    process.stderr.write = write
  })
  const { port } = await serving(t, dir)
  const { socket, received, ended } = await dial(t, port)
  socket.pause()
  socket.write('GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n')
  await sleep(100)
  truncateSync(path, 1 << 20)
  socket.resume()
  await withTimeout(ended, 10_000, 'the connection to end')
  assert.ok(received().length < 64 << 20)
  await until(() => errors.length > 0, 2000, 'a word about it')
  assert.match(errors.join(''), /became shorter/)
  assert.equal((await ask(port, '/large.bin')).body.length, 1 << 20)
})
