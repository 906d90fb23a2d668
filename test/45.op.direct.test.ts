// Registered buffers in pieces, pipes, and direct descriptors at places that the kernel chooses, by Uring.
// Flow: this → Uring (operations-direct) → fixed-files, kernel.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { type FixedFile, Resource, type Uring } from 'ringcore'
import * as sys from 'ringcore/sys'
import { countFds, oracle, pipe, tempDir, withTimeout } from './helpers.js'
import { failure, openUring } from './uring.js'
import { boundSocket, listener, opTest, refused } from './uring-ops.js'

async function drop(ring: Uring, ...files: FixedFile[]): Promise<void> {
  for (const file of files) {
    await ring.closeFile(file)
    ring.freeFixedFile(file)
  }
}

opTest('READV_FIXED, WRITEV_FIXED', 'several buffers of alloc()', async (t, ring) => {
  const fd = await ring.openat(join(tempDir(t), 'file'), 'w+')
  const [a, b] = [ring.alloc(5), ring.alloc(5000)]
  a.write('first')
  b.fill('b')
  assert.equal(await ring.writevFixed(fd, [a, b], { position: 10 }), 5005)
  a.fill(0)
  b.fill(0)
  assert.equal(await ring.readvFixed(fd, [b, a], { position: 10 }), 5005)
  assert.equal(b.toString('latin1', 0, 7), 'firstbb')
  assert.equal(a.toString(), 'bbbbb')
  assert.equal((await failure(ring.readvFixed(999_999, [a]))).code, 'EBADF')
  assert.throws(
    () => {
      ring.readvFixed(fd, [a, b], { position: 0 }).catch(() => {})
      ring.free(b)
    },
    { code: 'ERR_INVALID_STATE' },
    'a buffer in flight is not free',
  )
  const far = ring.alloc(2 << 20)
  await refused(ring, [
    ['ERR_INVALID_STATE', () => ring.readvFixed(fd, [Buffer.alloc(5)])],
    ['ERR_INVALID_ARG_VALUE', () => ring.writevFixed(fd, [a, far])],
    ['ERR_INVALID_ARG_TYPE', () => ring.readvFixed(fd, a as never)],
    ['ERR_OUT_OF_RANGE', () => ring.readvFixed(fd, [a], { position: -2 })],
    ['ERR_OUT_OF_RANGE', () => ring.writevFixed(-1, [a])],
  ])
  await ring.closeFile(fd)
})

opTest('PIPE', 'two fds, or two direct descriptors', async (t, ring) => {
  const [reader, writer] = await ring.pipe()
  fs.writeSync(writer, 'through')
  const buffer = Buffer.alloc(10)
  assert.equal(await ring.read(reader, buffer), 7)
  const flags = fs.readFileSync(`/proc/self/fdinfo/${reader}`, 'utf8')
  assert.match(flags, /flags:\s+02000000/, 'closes on exec')
  await Promise.all([ring.closeFile(reader), ring.closeFile(writer)])
  assert.equal((await failure(ring.pipe({ flags: 0x10_0000 }))).code, 'EINVAL')

  const before = countFds().all
  const [from, to] = await ring.pipeDirect()
  assert.equal(countFds().all, before, 'no fd')
  assert.notEqual(from.index, to.index)
  const piped = ring.read(from, buffer)
  assert.equal(await ring.write(to, Buffer.from('direct')), 6)
  assert.equal(await piped, 6)
  await drop(ring, from, to)
  assert.equal((await failure(ring.read(from, buffer))).code, 'EBADF')

  const late = new AbortController()
  const promise = ring.pipe({ signal: late.signal })
  const direct = ring.pipeDirect({ signal: late.signal })
  late.abort()
  assert.equal((await failure(promise)).name, 'AbortError')
  assert.equal((await failure(direct)).name, 'AbortError')
  await refused(ring, [
    ['ERR_OUT_OF_RANGE', () => ring.pipe({ flags: -1 })],
    ['ERR_INVALID_ARG_TYPE', () => ring.pipeDirect({ flags: 'x' as never })],
  ])
  t.diagnostic('late ends are closed: the epilogue counts descriptors')
})

opTest('FILES_UPDATE, FIXED_FD_INSTALL', 'fds become direct descriptors, and back', async (t, ring) => {
  const path = join(tempDir(t), 'file')
  fs.writeFileSync(path, 'content')
  const fd = fs.openSync(path, 'r')
  t.after(() => fs.closeSync(fd))
  const places = [ring.fixedFile(), ring.fixedFile()]
  const buffer = Buffer.alloc(3)
  assert.equal(await ring.filesUpdate(places, [fd, fd]), 2)
  assert.equal(await ring.read(places[1]!, buffer, { position: 3 }), 3)
  assert.equal(await ring.filesUpdate([places[0]!], [-1]), 1)
  assert.equal((await failure(ring.read(places[0]!, buffer))).code, 'EBADF')
  const installed = await ring.fixedFdInstall(places[1]!)
  assert.notEqual(installed, fd)
  assert.equal(fs.readFileSync(installed, 'utf8'), 'content')
  await ring.closeFile(installed)
  assert.equal((await failure(ring.fixedFdInstall(places[0]!))).code, 'EBADF')
  assert.equal((await failure(ring.filesUpdate([places[0]!], [999_999]))).code, 'EBADF')

  const chosen = await ring.filesUpdateAlloc([fd, fd, fd])
  assert.equal(new Set(chosen.map(({ index }) => index)).size, 3)
  assert.equal(await ring.read(chosen[2]!, buffer, { position: 0 }), 3)
  assert.equal(buffer.toString(), 'con')
  await drop(ring, ...chosen, places[1]!)
  ring.freeFixedFile(places[0]!)
  const one = ring.fixedFile()
  await refused(ring, [
    ['ERR_INVALID_ARG_VALUE', () => ring.filesUpdate([one, one], [fd, fd])],
    ['ERR_INVALID_ARG_VALUE', () => ring.filesUpdate([one], [fd, fd])],
    ['ERR_INVALID_ARG_TYPE', () => ring.filesUpdate([3 as never], [fd])],
    ['ERR_OUT_OF_RANGE', () => ring.filesUpdate([one], [-2])],
    ['ERR_OUT_OF_RANGE', () => ring.filesUpdateAlloc([])],
    ['ERR_INVALID_ARG_TYPE', () => ring.filesUpdateAlloc([new Resource(fd) as never])],
    ['ERR_INVALID_ARG_TYPE', () => ring.fixedFdInstall(fd as never)],
    ['ERR_OUT_OF_RANGE', () => ring.fixedFdInstall(one, { flags: 2 ** 33 })],
  ])
})

opTest('SOCKET, ACCEPT', 'sockets and connections without fds', async (t, ring) => {
  const { fd, address } = listener(t)
  const before = countFds().all
  const client = await ring.socketDirect(sys.AF_INET, sys.SOCK_STREAM)
  const accepted = ring.acceptDirect(fd)
  await ring.connect(client, address)
  const server = await withTimeout(accepted, 2000)
  assert.equal(countFds().all, before, 'no fd')
  assert.equal(await ring.send(client, Buffer.from('hello')), 5)
  const buffer = Buffer.alloc(8)
  assert.equal(await ring.recv(server, buffer), 5)
  await drop(ring, client, server)
  assert.equal((await failure(ring.socketDirect(99, 1))).code, 'EAFNOSUPPORT')
  assert.equal((await failure(ring.acceptDirect(boundSocket(t).fd))).code, 'ENOTSUP')
  const dontWait = { ioprio: sys.IORING_ACCEPT_DONTWAIT }
  assert.equal((await failure(ring.accept(fd, dontWait))).code, 'EAGAIN')
  const waits = new AbortController()
  const waiting = ring.acceptDirect(fd, { signal: waits.signal })
  setTimeout(() => waits.abort(), 5)
  assert.equal((await failure(waiting)).name, 'AbortError')
  await refused(ring, [
    ['ERR_INVALID_ARG_TYPE', () => ring.socketDirect('x' as never, 1)],
    ['ERR_OUT_OF_RANGE', () => ring.acceptDirect(-1)],
    ['ERR_OUT_OF_RANGE', () => ring.acceptDirect(fd, { flags: -1 })],
    ['ERR_OUT_OF_RANGE', () => ring.accept(fd, { ioprio: -1 })],
  ])
})

opTest('ACCEPT', 'multishot into the table; what nobody took is closed', async (t, ring) => {
  const { fd, address } = listener(t)
  const before = countFds().all
  const connections = ring.acceptMultishotDirect(fd)
  const clients: FixedFile[] = []
  const connect = async (): Promise<void> => {
    const client = await ring.socketDirect(sys.AF_INET, sys.SOCK_STREAM)
    clients.push(client)
    await ring.connect(client, address)
  }
  await Promise.all([connect(), connect(), connect()])
  const first = (await withTimeout(connections.next(), 2000)).value as FixedFile
  await ring.send(first, Buffer.from('x'))
  assert.equal(countFds().all, before, 'no fd')
  await connections.return()
  // The two that nobody took are closed: their peers read the end.
  const ends = await Promise.all(clients.map((client) => ring.recv(client, Buffer.alloc(4))))
  assert.deepEqual(ends.sort(), [0, 0, 1])
  await drop(ring, first, ...clients)
  await refused(ring, [
    ['ERR_OUT_OF_RANGE', () => ring.acceptMultishotDirect(-1)],
    ['ERR_INVALID_ARG_TYPE', () => ring.acceptMultishotDirect(fd, { flags: 'x' as never })],
    ['ERR_OUT_OF_RANGE', () => ring.acceptMultishotDirect(fd, { capacity: 0 })],
  ])
})

test('places of ours and of the kernel: one table, no place twice, none lost', async (t) => {
  oracle(t)
  const ring = openUring(t, { fixedFiles: 8 })
  const { reader } = pipe(t)
  const chosen = await ring.filesUpdateAlloc([reader.fd])
  assert.equal(chosen[0]!.index, 4, 'the upper half is the kernel’s')
  const ours = Array.from({ length: 7 }, () => ring.fixedFile())
  const places = [...ours, ...chosen].map(({ index }) => index).sort()
  assert.deepEqual(places, [0, 1, 2, 3, 4, 5, 6, 7])
  assert.throws(() => ring.fixedFile(), { code: 'ERR_INVALID_STATE', message: /all 8 are taken/ })
  await refused(ring, [['ERR_INVALID_STATE', () => ring.filesUpdateAlloc([reader.fd])]])
  await drop(ring, chosen[0]!)
  assert.equal(
    ring.fixedFile().index,
    4,
    'a place that the kernel chose is ours when ours have grown beyond it',
  )
  const full = openUring(t, { fixedFiles: 2 })
  const both = [full.fixedFile(), full.fixedFile()]
  await refused(full, [['ERR_INVALID_STATE', () => full.pipeDirect()]])
  assert.equal(both.length, 2)
  // While the kernel may choose, its part stays as it is.
  const busy = openUring(t, { fixedFiles: 2 })
  const { fd } = listener(t)
  const accepts = busy.acceptMultishotDirect(fd)
  busy.fixedFile()
  assert.throws(() => busy.fixedFile(), { code: 'ERR_INVALID_STATE', message: /the kernel chooses/ })
  await accepts.return()
  assert.equal(busy.fixedFile().index, 1)
  // The kernel's own answer when its part is full.
  const tight = openUring(t, { fixedFiles: 2 })
  assert.equal((await tight.filesUpdateAlloc([reader.fd])).length, 1)
  assert.equal((await failure(tight.filesUpdateAlloc([reader.fd]))).code, 'ENFILE')
})
