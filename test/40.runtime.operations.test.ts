// Every operation of Uring against the kernel: it does what it says, and fails with Node's errors. On every kind of ring.
// Flow: this → Uring (operations-*) → kernel, compared with node:fs and node:net.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import fs from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import test from 'node:test'
import { pathToFileURL } from 'node:url'
import type { Uring } from 'ringcore'
import {
  AF_INET,
  AF_UNIX,
  AT_REMOVEDIR,
  POLLIN,
  POLLOUT,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  SHUT_WR,
  SOCK_DGRAM,
  SOCK_STREAM,
} from 'ringcore/sys'
import { oracle, pipe, requires, socketPair, tempDir, withTimeout } from './helpers.js'
import { failure, oneOf, openUring, testKinds } from './uring.js'

const text = (buffer: Uint8Array): string => Buffer.from(buffer).toString()

/** The properties of a system error that programs look at. */
function shape(error: unknown) {
  const { code, errno, syscall, path, dest, address, port, message } = error as Record<string, unknown>
  return { code, errno, syscall, path, dest, address, port, message }
}

function nodesError(action: () => unknown) {
  try {
    action()
  } catch (error) {
    return shape(error)
  }
  throw new Error('Node did not fail')
}

testKinds('open, write, read, close', async (t, ring) => {
  const path = join(tempDir(t), 'file')
  const fd = await ring.openat(path, 'w+', { mode: 0o640 })
  assert.equal(fs.fstatSync(fd).mode & 0o777, 0o640)
  assert.equal(await ring.write(fd, Buffer.from('hello world')), 11)
  assert.equal(await ring.write(fd, Buffer.from('HE'), { position: 0 }), 2)
  assert.equal(await ring.write(fd, Buffer.from('xxWORLDxx'), { position: 6n, offset: 2, length: 5 }), 5)
  const buffer = Buffer.alloc(20, '.')
  assert.equal(await ring.read(fd, buffer, { position: 0, offset: 1 }), 11)
  assert.equal(text(buffer), '.HEllo WORLD........')
  assert.equal(await ring.read(fd, buffer, { position: 2, length: 3 }), 3)
  assert.equal(text(buffer.subarray(0, 4)), 'llol')
  assert.equal(await ring.read(fd, buffer), 0, 'the own position is at the end')
  assert.equal(await ring.read(fd, buffer, { position: 100 }), 0)
  assert.equal(await ring.read(fd, Buffer.alloc(0), { position: 0 }), 0)
  const words = new Uint16Array(3)
  assert.equal(await ring.read(fd, words, { position: 0 }), 6)
  assert.equal(text(new Uint8Array(words.buffer)), 'HEllo ')
  const view = new DataView(new ArrayBuffer(8), 2, 4)
  assert.equal(await ring.read(fd, view, { position: 6 }), 4)
  assert.equal(text(new Uint8Array(view.buffer)), '\0\0WORL\0\0')
  await ring.closeFile(fd)
  assert.throws(() => fs.fstatSync(fd), { code: 'EBADF' })
})

testKinds('a large read and write through more than the copied 4 KiB', async (t, ring) => {
  const path = join(tempDir(t), 'large')
  const fd = await ring.openat(path, 'w+')
  const bytes = Buffer.alloc(1_000_003)
  for (let i = 0; i < bytes.length; i++) bytes[i] = (i * 7) ^ (i >> 8)
  assert.equal(await ring.write(fd, bytes, { position: 0 }), bytes.length)
  const back = Buffer.alloc(bytes.length)
  assert.equal(await ring.read(fd, back, { position: 0 }), bytes.length)
  assert.ok(back.equals(bytes))
  await ring.closeFile(fd)
})

testKinds('a small write is copied: the caller may change its buffer at once', async (t, ring) => {
  const path = join(tempDir(t), 'copied')
  const fd = await ring.openat(path, 'w+')
  const buffer = Buffer.alloc(4096, 'a')
  const writes = Array.from({ length: 100 }, (_, i) => {
    buffer.fill(97 + (i % 26))
    return ring.write(fd, buffer, { position: i * 4096 })
  })
  buffer.fill('!')
  await Promise.all(writes)
  const content = fs.readFileSync(path)
  for (let i = 0; i < 100; i++) assert.equal(content[i * 4096 + i], 97 + (i % 26), `write ${i}`)
  await ring.closeFile(fd)
})

testKinds('vectors', async (t, ring) => {
  const path = join(tempDir(t), 'vectors')
  const fd = await ring.openat(path, 'w+')
  const parts = ['ab', '', 'cdefg', 'h'].map((part) => Buffer.from(part))
  assert.equal(await ring.writev(fd, parts, { position: 0 }), 8)
  const into = [Buffer.alloc(3), new Uint8Array(1), Buffer.alloc(10, '.')]
  assert.equal(await ring.readv(fd, into, { position: 0 }), 8)
  assert.equal(into.map(text).join('|'), 'abc|d|efgh......')
  assert.equal(await ring.writev(fd, [], { position: 0 }), 0)
  await ring.closeFile(fd)
})

testKinds('registered buffers', async (t, ring) => {
  const path = join(tempDir(t), 'fixed')
  const fd = await ring.openat(path, 'w+')
  const buffer = ring.alloc(8192)
  buffer.write('registered', 100)
  assert.equal(await ring.writeFixed(fd, buffer, { position: 0, offset: 100, length: 10 }), 10)
  buffer.fill(0)
  assert.equal(await ring.readFixed(fd, buffer, { position: 0, offset: 5000 }), 10)
  assert.equal(text(buffer.subarray(4999, 5011)), '\0registered\0')
  ring.free(buffer)
  await ring.closeFile(fd)
})

testKinds('sync, allocate, truncate', async (t, ring) => {
  const path = join(tempDir(t), 'space')
  const fd = await ring.openat(path, 'w+')
  await ring.write(fd, Buffer.from('0123456789'))
  await ring.fsync(fd)
  await ring.fsync(fd, { datasync: true })
  await ring.syncFileRange(fd, 0, 10, 7)
  await ring.fallocate(fd, 0, 0, 100_000)
  assert.equal(fs.fstatSync(fd).size, 100_000)
  if (requires(t, { op: 'IORING_OP_FTRUNCATE' })) {
    await ring.ftruncate(fd, 4)
    assert.equal(fs.readFileSync(path, 'utf8'), '0123')
  }
  await ring.closeFile(fd)
})

testKinds('splice and tee', async (t, ring) => {
  const path = join(tempDir(t), 'splice')
  fs.writeFileSync(path, 'spliced through a pipe')
  const from = await ring.openat(path)
  const to = await ring.openat(`${path}.out`, 'w+')
  const a = pipe(t)
  const b = pipe(t)
  assert.equal(await ring.splice(from, 8, a.writer.fd, -1, 100), 14)
  assert.equal(await ring.tee(a.reader.fd, b.writer.fd, 100), 14)
  assert.equal(await ring.splice(a.reader.fd, -1, to, 0, 100), 14)
  assert.equal(await ring.splice(b.reader.fd, -1, to, 14, 100), 14)
  assert.equal(fs.readFileSync(`${path}.out`, 'utf8'), 'through a pipethrough a pipe')
  assert.equal(await ring.splice(from, 22, a.writer.fd, -1, 100), 0, 'end of input')
  await Promise.all([ring.closeFile(from), ring.closeFile(to)])
})

testKinds('names: statx, mkdirat, renameat, unlinkat, openat2', async (t, ring) => {
  const dir = tempDir(t)
  const path = join(dir, 'name with ünï¢ode 🧵')
  fs.writeFileSync(path, 'content')
  const stat = await ring.statx(path)
  const nodes = fs.statSync(path)
  for (const key of ['size', 'ino', 'mode', 'nlink', 'uid', 'gid', 'dev', 'blocks', 'blksize'] as const)
    assert.equal(stat[key], nodes[key], key)
  assert.ok(Math.abs(stat.mtimeMs - nodes.mtimeMs) < 0.001)
  const dirfd = await ring.openat(dir, fs.constants.O_DIRECTORY)
  assert.equal((await ring.statx('', { dirfd })).ino, fs.statSync(dir).ino)
  await ring.mkdirat('sub', { dirfd, mode: 0o700 })
  assert.equal(fs.statSync(join(dir, 'sub')).mode & 0o777, 0o700)
  await ring.renameat(Buffer.from(path), 'sub/moved', { toDirfd: dirfd })
  assert.equal(fs.readFileSync(join(dir, 'sub/moved'), 'utf8'), 'content')
  fs.writeFileSync(join(dir, 'other'), 'other')
  await ring.renameat('other', 'sub/moved', { dirfd, flags: RENAME_EXCHANGE })
  assert.equal(fs.readFileSync(join(dir, 'sub/moved'), 'utf8'), 'other')
  const exists = await failure(ring.renameat('other', 'sub/moved', { dirfd, flags: RENAME_NOREPLACE }))
  assert.equal(exists.code, 'EEXIST')
  const fd = await ring.openat2(pathToFileURL(join(dir, 'other')), 'r', { resolve: 0 })
  assert.equal(fs.readFileSync(fd, 'utf8'), 'content')
  const beneath = await failure(ring.openat2('../etc/passwd', 'r', { dirfd, resolve: 0x08 }))
  assert.equal(beneath.code, 'EXDEV')
  await ring.unlinkat('sub/moved', { dirfd })
  await ring.unlinkat('sub', { dirfd, flags: AT_REMOVEDIR })
  assert.deepEqual(fs.readdirSync(dir), ['other'])
  await Promise.all([ring.closeFile(fd), ring.closeFile(dirfd)])
})

test('names longer than the scratch block, two at once', async (t) => {
  oracle(t)
  const ring = openUring(t)
  const dir = tempDir(t)
  for (const length of [30, 38, 39, 40, 79, 80, 100, 120, 200, 239, 240, 241, 255]) {
    // Relative names are short, absolute ones go beyond the block; the same for one that is half as long.
    const from = join(dir, 'f'.repeat(length))
    const to = join(dir, 't'.repeat(length))
    await ring.closeFile(await ring.openat(from, 'w'))
    await ring.closeFile(await ring.openat2(from, 'r+'))
    assert.equal((await ring.statx(from)).size, 0)
    await ring.renameat(from, to)
    await ring.mkdirat(from)
    await ring.unlinkat(from, { flags: AT_REMOVEDIR })
    await ring.unlinkat(to)
  }
  assert.deepEqual(fs.readdirSync(dir), [])
  const long = await failure(ring.openat('n'.repeat(256), 'r'))
  assert.equal(long.code, 'ENAMETOOLONG')
  assert.equal((await failure(ring.openat('n/'.repeat(3000), 'r'))).code, 'ENAMETOOLONG')
})

test("open flags are Node's", async (t) => {
  oracle(t)
  const ring = openUring(t)
  const dir = tempDir(t)
  const strings = ['r', 'rs', 'r+', 'rs+', 'w', 'wx', 'w+', 'wx+', 'a', 'ax', 'as', 'a+', 'ax+', 'as+']
  for (const flags of strings) {
    const outcome = async (open: (path: string) => Promise<number>) => {
      const path = join(dir, `${flags}`)
      const results: string[] = []
      for (const setup of ['missing', 'there']) {
        if (setup === 'there') fs.writeFileSync(path, 'x')
        try {
          const fd = await open(path)
          const line = fs.readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8').split('\n')[1]
          results.push(`${line} ${fs.fstatSync(fd).size}`)
          fs.closeSync(fd)
        } catch (error) {
          results.push(String((error as NodeJS.ErrnoException).code))
        }
        fs.rmSync(path, { force: true })
      }
      return results
    }
    const nodes = await outcome(async (path) => fs.openSync(path, flags))
    assert.deepEqual(await outcome((path) => ring.openat(path, flags)), nodes, flags)
  }
})

testKinds("errors have Node's form", async (t, ring) => {
  const dir = tempDir(t)
  const missing = join(dir, 'missing')
  const file = join(dir, 'file')
  fs.writeFileSync(file, '')
  const cases: [() => Promise<unknown>, () => unknown][] = [
    [() => ring.openat(missing), () => fs.openSync(missing, 'r')],
    [() => ring.openat(dir, 'w'), () => fs.openSync(dir, 'w')],
    [() => ring.openat2(missing, 'r'), () => fs.openSync(missing, 'r')],
    [() => ring.mkdirat(dir), () => fs.mkdirSync(dir)],
    [() => ring.unlinkat(missing), () => fs.unlinkSync(missing)],
    [() => ring.renameat(missing, file), () => fs.renameSync(missing, file)],
    [() => ring.read(999_999, Buffer.alloc(1)), () => fs.readSync(999_999, Buffer.alloc(1))],
    [() => ring.write(999_999, Buffer.alloc(1)), () => fs.writeSync(999_999, Buffer.alloc(1))],
    [() => ring.readv(999_999, [Buffer.alloc(1)]), () => fs.readvSync(999_999, [Buffer.alloc(1)])],
    [() => ring.writev(999_999, [Buffer.alloc(1)]), () => fs.writevSync(999_999, [Buffer.alloc(1)])],
    [() => ring.fsync(999_999), () => fs.fsyncSync(999_999)],
    [() => ring.closeFile(999_999), () => fs.closeSync(999_999)],
    [() => ring.ftruncate(999_999, 0), () => fs.ftruncateSync(999_999, 0)],
  ]
  for (const [ours, nodes] of cases) {
    const error = await failure(ours())
    assert.ok(error instanceof Error)
    const expected = nodesError(nodes)
    // Node has words of its own for the vectored calls on some versions; the number and the code are what counts.
    if (/readv|writev/.test(String(expected.syscall)) || /v$/.test(String(error.syscall))) {
      assert.equal(error.code, expected.code)
      continue
    }
    assert.deepEqual(shape(error), expected)
  }
})

testKinds('sockets: accept, connect, send, recv, shutdown', async (t, ring) => {
  const server = net.createServer((socket) => {
    socket.on('data', (data) => socket.write(`you said ${data}`))
    socket.on('end', () => socket.end('bye'))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => new Promise((resolve) => server.close(resolve)))
  const { port } = server.address() as net.AddressInfo
  const fd = await ring.socket(AF_INET, SOCK_STREAM)
  await ring.connect(fd, { address: '127.0.0.1', port })
  assert.equal(await ring.send(fd, Buffer.from('xhellox'), { offset: 1, length: 5 }), 5)
  const buffer = Buffer.alloc(100)
  assert.equal(await ring.recv(fd, buffer, { offset: 10 }), 14)
  assert.equal(text(buffer.subarray(10, 24)), 'you said hello')
  await ring.shutdown(fd, SHUT_WR)
  assert.equal(await ring.recv(fd, buffer), 3)
  assert.equal(await ring.recv(fd, buffer), 0)
  assert.equal((await failure(ring.send(fd, Buffer.from('x')))).code, 'EPIPE')
  await ring.closeFile(fd)
})

testKinds('a listening socket of our own', async (t, ring) => {
  if (!requires(t, { op: 'IORING_OP_BIND' })) return
  const listener = await ring.socket(AF_INET, SOCK_STREAM)
  await ring.bind(listener, { address: '127.0.0.1', port: 0 })
  await ring.listen(listener, 10)
  const taken = await failure(ring.bind(listener, { address: '127.0.0.1', port: 0 }))
  assert.equal(taken.code, 'EINVAL')
  const path = `/proc/self/net/tcp`
  assert.ok(fs.existsSync(path))
  const inode = fs.readlinkSync(`/proc/self/fd/${listener}`).replace(/\D/g, '')
  const line = fs
    .readFileSync(path, 'utf8')
    .split('\n')
    .find((row) => row.trim().split(/\s+/)[9] === inode)
  const port = Number.parseInt(line!.trim().split(/\s+/)[1]!.split(':')[1]!, 16)
  const accepted = ring.accept(listener)
  const socket = net.connect(port, '127.0.0.1')
  const fd = await withTimeout(accepted, 2000, 'a connection')
  socket.end('from node')
  const buffer = Buffer.alloc(100)
  assert.equal(await ring.recv(fd, buffer), 9)
  assert.equal(text(buffer.subarray(0, 9)), 'from node')
  assert.match(fs.readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'), /flags:\s+02\d{6}/, 'O_CLOEXEC')
  await ring.closeFile(fd)
  await once(socket, 'close')
  await ring.closeFile(listener)
})

testKinds('messages: addresses, several buffers, control data', async (t, ring) => {
  if (!requires(t, { op: 'IORING_OP_BIND' })) return
  const path = join(tempDir(t), 'socket')
  const receiver = await ring.socket(AF_UNIX, SOCK_DGRAM)
  const sender = await ring.socket(AF_UNIX, SOCK_DGRAM)
  await ring.bind(receiver, { path })
  await ring.bind(sender, { path: `${path}2` })
  const buffers = [Buffer.from('two '), Buffer.from('parts')]
  assert.equal(await ring.sendmsg(sender, { buffers, address: { path } }), 9)
  const into = [Buffer.alloc(2), Buffer.alloc(5)]
  const message = await ring.recvmsg(receiver, { buffers: into })
  assert.equal(message.bytes, 7)
  assert.equal(into.map(text).join('|'), 'tw|o par')
  assert.deepEqual(message.address, { family: 'unix', path: `${path}2` })
  assert.equal(message.flags & 0x20, 0x20, 'MSG_TRUNC')
  assert.equal(message.control.length, 0)
  // SCM_RIGHTS: the receiver gets an fd of its own for the sender's file.
  const control = Buffer.alloc(24)
  control.writeBigUInt64LE(20n, 0)
  control.writeInt32LE(1, 8) // SOL_SOCKET
  control.writeInt32LE(1, 12) // SCM_RIGHTS
  control.writeInt32LE(sender, 16)
  const sent = ring.sendmsg(sender, {
    buffers: [Buffer.from('fd')],
    address: { path },
    control: control.subarray(0, 20),
  })
  const got = await ring.recvmsg(receiver, { buffers: into, controlLength: 64 })
  assert.equal(await sent, 2)
  assert.equal(got.bytes, 2)
  assert.ok(got.control.length >= 20)
  const passed = Buffer.from(got.control).readInt32LE(16)
  assert.equal(fs.readlinkSync(`/proc/self/fd/${passed}`), fs.readlinkSync(`/proc/self/fd/${sender}`))
  for (const fd of [receiver, sender, passed]) await ring.closeFile(fd)
})

testKinds('poll, timeout, nop', async (t, ring) => {
  const { reader, writer } = pipe(t)
  assert.equal(await ring.poll(writer.fd, POLLOUT), POLLOUT)
  const polled = ring.poll(reader.fd, POLLIN)
  fs.writeSync(writer.fd, 'x')
  assert.equal(await withTimeout(polled, 2000), POLLIN)
  await oneOf(5, async () => {
    const started = performance.now()
    assert.equal(await ring.timeout(20.5), undefined)
    const took = performance.now() - started
    assert.ok(took >= 20 && took < 500, `20.5 ms took ${took}`)
  })
  assert.equal(await ring.timeout(0), undefined)
  assert.equal(await ring.nop(), 0)
})

testKinds('direct descriptors: open, read, statx in, accept, close', async (t, ring) => {
  const path = join(tempDir(t), 'direct')
  fs.writeFileSync(path, 'direct descriptor')
  const file = ring.fixedFile()
  assert.equal(await ring.openat(path, 'r', { slot: file }), 0)
  const buffer = Buffer.alloc(6)
  assert.equal(await ring.read(file, buffer, { position: 0 }), 6)
  assert.equal(text(buffer), 'direct')
  const ends = pipe(t)
  assert.equal(await ring.splice(file, 7, ends.writer.fd, -1, 10), 10)
  await ring.closeFile(file)
  assert.equal((await failure(ring.read(file, buffer))).code, 'EBADF')
  assert.equal((await failure(ring.closeFile(file))).code, 'EBADF')
  assert.equal(await ring.openat2(path, 'r', { slot: file }), 0)
  await ring.closeFile(file)
  assert.equal(await ring.socket(AF_UNIX, SOCK_STREAM, 0, { slot: file }), 0)
  await ring.closeFile(file)
  ring.freeFixedFile(file)
  assert.throws(() => ring.freeFixedFile(file), { code: 'ERR_INVALID_STATE' })
})

test('direct descriptors run out with a clear error; what is given back serves again', (t) => {
  oracle(t)
  const ring = openUring(t, { fixedFiles: 3 })
  const files = [ring.fixedFile(), ring.fixedFile(), ring.fixedFile()]
  assert.throws(() => ring.fixedFile(), { code: 'ERR_INVALID_STATE', message: /all 3 are taken/ })
  ring.freeFixedFile(files[1]!)
  assert.equal(ring.fixedFile(), files[1])
  assert.throws(() => openUring(t, { fixedFiles: 0 }).fixedFile(), { code: 'ERR_OUT_OF_RANGE' })
})

testKinds('a stream of operations at once, of all sorts', async (t, ring: Uring) => {
  const dir = tempDir(t)
  const names = Array.from({ length: 300 }, (_, i) => join(dir, `f${i}`))
  await Promise.all(
    names.map(async (name, i) => {
      const fd = await ring.openat(name, 'wx+')
      await ring.write(fd, Buffer.from(`number ${i}`), { position: 0 })
      const buffer = Buffer.alloc(20)
      const [bytes, stat] = await Promise.all([ring.read(fd, buffer, { position: 0 }), ring.statx(name)])
      assert.equal(buffer.toString('utf8', 0, bytes), `number ${i}`)
      assert.equal(stat.size, bytes)
      await ring.closeFile(fd)
      await ring.unlinkat(name)
    }),
  )
  assert.deepEqual(fs.readdirSync(dir), [])
  const [a, b] = socketPair(t)
  const sent = Array.from({ length: 200 }, (_, i) => ring.send(a.fd, Buffer.from([i])))
  await Promise.all(sent)
  const buffer = Buffer.alloc(300)
  assert.equal(await ring.recv(b.fd, buffer), 200)
})
