// Unix sockets: paths and abstract names, bytes both ways, credentials, errors as Node's, files that go.
// Flow: this → net/unix-* → runtime → kernel ← node:net.

import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, statSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import test from 'node:test'
import { UnixListener, UnixStream } from 'ringcore'
import { oracle, socketPair, tempDir, until, withTimeout } from './helpers.js'
import { failure, KINDS, openUring, testKinds } from './uring.js'

const SOME = {
  DEFER_TASKRUN: KINDS.DEFER_TASKRUN!,
  SQPOLL: KINDS.SQPOLL!,
  'waits in epoll': KINDS['waits in epoll']!,
}
const sha = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
let names = 0
const abstractName = (): string => `\0ringcore-test-${process.pid}-${names++}`

async function readAll(stream: UnixStream): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks)
}

testKinds(
  'a path and an abstract name: bytes both ways, the end, the file goes',
  async (t, ring) => {
    const dir = tempDir(t)
    for (const path of [join(dir, 'socket'), abstractName()]) {
      const listener = UnixListener.bind({ path, ring, mode: 0o600 })
      const isFile = !path.startsWith('\0')
      assert.equal(existsSync(isFile ? path : '/nowhere'), isFile)
      if (isFile) assert.equal(statSync(path).mode & 0o777, 0o600)
      assert.equal(listener.path, path)
      const [server, client] = await withTimeout(
        Promise.all([listener.accept(), UnixStream.connect({ path, ring })]),
        2000,
      )
      assert.deepEqual([client.remotePath, server.localPath, client.localPath], [path, path, ''])
      const { pid, uid, gid } = server.credentials
      assert.deepEqual([pid, uid, gid], [process.pid, process.getuid!(), process.getgid!()])
      const sent = randomBytes(1_000_000)
      const [got] = await withTimeout(
        Promise.all([readAll(server), client.write(sent).then(() => client.end())]),
        5000,
      )
      assert.equal(sha(got), sha(sent))
      await server.write('answer')
      await server.close()
      assert.equal((await readAll(client)).toString(), 'answer')
      await Promise.all([client.close(), listener.close()])
      assert.equal(existsSync(isFile ? path : '/nowhere'), false)
      assert.deepEqual([client.fd, listener.path, client.remotePath], [-1, undefined, undefined])
    }
  },
  SOME,
)

testKinds(
  'with node:net at the other end, either way; leases and writes of one turn work as over TCP',
  async (t, ring) => {
    const dir = tempDir(t)
    const path = join(dir, 'ours')
    const listener = UnixListener.bind({ path, ring })
    t.after(() => listener.close())
    const socket = net.connect(path)
    t.after(() => socket.destroy())
    const stream = await withTimeout(listener.accept(), 2000)
    t.after(() => stream.destroy())
    socket.write('ping')
    for await (const chunk of stream.chunks()) {
      assert.deepEqual([chunk.bytes.toString(), chunk.copied], ['ping', false])
      chunk.release()
      break
    }
    for (let i = 0; i < 5; i++) stream.send(String(i))
    const [data] = (await once(socket, 'data')) as [Buffer]
    assert.equal(data.toString(), '01234')

    const nodes = join(dir, 'nodes')
    const server = net.createServer((peer) => peer.pipe(peer)).listen(nodes)
    await once(server, 'listening')
    const client = await UnixStream.connect({ path: nodes, ring })
    await client.write('echo')
    await client.end()
    assert.equal((await withTimeout(readAll(client), 2000)).toString(), 'echo')
    await client.close()
    server.close()
    await once(server, 'close')
  },
  SOME,
)

test("errors are Node's; bad arguments are refused", async (t) => {
  oracle(t)
  const ring = openUring(t)
  const dir = tempDir(t)
  const shape = ({
    code,
    errno,
    syscall,
    address,
    message,
  }: NodeJS.ErrnoException & { address?: string }) => ({
    code,
    errno,
    syscall,
    address,
    message,
  })
  const nodesError = async (socket: net.Socket | net.Server): Promise<NodeJS.ErrnoException> =>
    ((await once(socket, 'error')) as [NodeJS.ErrnoException])[0]
  const missing = join(dir, 'missing')
  assert.deepEqual(
    shape(await failure(UnixStream.connect({ path: missing, ring }))),
    shape(await nodesError(net.connect(missing))),
  )
  const plain = join(dir, 'plain')
  writeFileSync(plain, '')
  assert.deepEqual(
    shape(await failure(UnixStream.connect({ path: plain, ring }))),
    shape(await nodesError(net.connect(plain))),
  )
  const bound = await failure((async () => UnixListener.bind({ path: plain, ring }))())
  assert.deepEqual(shape(bound), shape(await nodesError(net.createServer().listen(plain))))
  assert.equal(bound.code, 'EADDRINUSE')
  for (const [where, code] of [
    [null, 'ERR_INVALID_ARG_TYPE'],
    [{ ring }, 'ERR_INVALID_ARG_TYPE'],
    [{ path: 5, ring }, 'ERR_INVALID_ARG_TYPE'],
    [{ path: 'x'.repeat(200), ring }, 'ERR_INVALID_ARG_VALUE'],
    [{ path: 'a\0b', ring }, 'ERR_INVALID_ARG_VALUE'],
    [{ path: join(dir, 'new'), backlog: -1, ring }, 'ERR_OUT_OF_RANGE'],
    [{ path: join(dir, 'new'), mode: 0o10000, ring }, 'ERR_OUT_OF_RANGE'],
  ] as const)
    assert.throws(() => UnixListener.bind(where as never), { code })
  assert.equal((await failure(UnixStream.connect(null as never))).code, 'ERR_INVALID_ARG_TYPE')
  assert.equal((await failure(UnixStream.connect({ path: 7 as never, ring }))).code, 'ERR_INVALID_ARG_TYPE')
  assert.equal(existsSync(join(dir, 'new')), false)
  const controller = new AbortController()
  controller.abort()
  const aborted = await failure(UnixStream.connect({ path: plain, ring, signal: controller.signal }))
  assert.equal(aborted.name, 'AbortError')
})

test('ends of a socket pair are taken over; zero-copy that the kernel refuses is a copy', async (t) => {
  oracle(t)
  const ring = openUring(t)
  const [a, b] = socketPair(t)
  const left = UnixStream.fromRawFd(a.release(), ring, { zeroCopyFrom: 10_000 } as never)
  const right = UnixStream.fromRawFd(b.release(), ring)
  const big = randomBytes(50_000)
  const [got] = await withTimeout(
    Promise.all([
      readAll(right),
      (async () => {
        await Promise.all([left.write('first'), left.write(big), left.write('last')])
        await left.end()
      })(),
    ]),
    3000,
  )
  assert.equal(sha(got), sha(Buffer.concat([Buffer.from('first'), big, Buffer.from('last')])))
  await Promise.all([left.close(), right.close()])
})

test('a listener that is adopted leaves its file; a thousand connections at once', async (t) => {
  oracle(t)
  const ring = openUring(t)
  const path = abstractName()
  const listener = UnixListener.bind({ path, ring })
  listener.serve((stream) => {
    stream.receive(
      (bytes, length) => stream.send(bytes.subarray(0, length)),
      () => void stream.close(),
    )
  })
  const clients = await withTimeout(
    Promise.all(Array.from({ length: 1000 }, () => UnixStream.connect({ path, ring }))),
    10_000,
    'a thousand connections',
  )
  await Promise.all(
    clients.map(async (client, i) => {
      await client.write(String(i))
      const buffer = Buffer.alloc(10)
      assert.equal(buffer.toString('utf8', 0, await client.read(buffer)), String(i))
      await client.close()
    }),
  )
  await until(() => listener.connections === 0, 2000, 'the server to close all')
  await listener.close()
})
