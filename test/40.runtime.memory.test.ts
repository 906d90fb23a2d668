// The arena, registered buffers, and memory of the caller's that goes away.
// Flow: this → Uring.alloc → memory-pool.ts, buffers.ts → kernel.

import assert from 'node:assert/strict'
import { readFileSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { collectGarbage, OwnedFd, oracle, pipe, requires, runNode, tempDir, withTimeout } from './helpers.js'
import { compileTool } from './tools.js'
import { failure, openUring, testKinds, turn } from './uring.js'

testKinds('buffers of the arena are aligned, zeroed, apart, and serve again', (t, ring) => {
  const { driver } = ring.ring
  const sizes = [1, 4095, 4096, 4097, 100_000, 1_048_576, 3_000_000]
  const buffers = sizes.map((size) => ring.alloc(size))
  const ranges = buffers.map((buffer, i) => {
    assert.equal(buffer.length, sizes[i])
    assert.ok(Buffer.isBuffer(buffer))
    const from = driver.addressOf(buffer)
    assert.equal(from % 4096, 0)
    assert.ok(buffer.every((byte) => byte === 0))
    buffer.fill(i + 1)
    return { from, to: from + buffer.length }
  })
  ranges.sort((a, b) => a.from - b.from)
  for (let i = 1; i < ranges.length; i++) assert.ok(ranges[i - 1]!.to <= ranges[i]!.from, 'no overlap')
  for (const [i, buffer] of buffers.entries()) assert.ok(buffer.every((byte) => byte === i + 1))
  const address = driver.addressOf(buffers[3]!)
  ring.free(buffers[3]!)
  const again = ring.alloc(8000)
  assert.equal(driver.addressOf(again), address)
  assert.ok(
    again.every((byte) => byte === 0),
    'zeroed again',
  )
  t.diagnostic(`${ranges.length} buffers`)
})

testKinds('free: not twice, not while in use, not afterwards', async (t, ring) => {
  const { reader, writer } = pipe(t)
  const [buffer, other] = [ring.alloc(8192), ring.alloc(8192)]
  for (const begin of [
    () => ring.readFixed(reader.fd, buffer, { length: 1 }),
    () => ring.read(reader.fd, buffer.subarray(4000, 4001)),
    () => ring.readv(reader.fd, [Buffer.alloc(0), buffer.subarray(8191)]),
  ]) {
    const read = begin()
    await turn()
    assert.throws(() => ring.free(buffer), { code: 'ERR_INVALID_STATE', message: /still uses it/ })
    writeSync(writer.fd, Buffer.from('x'))
    assert.equal(await withTimeout(read, 2000), 1)
  }
  ring.free(other)
  ring.free(buffer)
  for (const use of [
    () => ring.read(reader.fd, buffer),
    () => ring.write(writer.fd, buffer),
    () => ring.readFixed(reader.fd, buffer),
    () => ring.writev(writer.fd, [buffer]),
  ]) {
    assert.equal((await withTimeout(failure(use()), 1000)).code, 'ERR_INVALID_STATE')
  }
  assert.throws(() => ring.free(buffer), { code: 'ERR_INVALID_STATE' })
  assert.throws(() => ring.free(ring.alloc(10).subarray(1)), { code: 'ERR_INVALID_STATE' })
  assert.equal(ring.stats().inFlight, 0)
})

testKinds('memory the caller lets go of stays until the kernel is done', async (t, ring) => {
  if (!requires(t, { gc: true })) return
  const { reader, writer } = pipe(t)
  const dropped = new WeakRef(Buffer.alloc(100_000))
  const read = ring.read(reader.fd, dropped.deref()!)
  const vector = ring.readv(reader.fd, [new Uint8Array(50_000)])
  await collectGarbage()
  assert.ok(dropped.deref(), 'held by the operation')
  writeSync(writer.fd, Buffer.alloc(10, 7))
  await turn()
  await collectGarbage()
  writeSync(writer.fd, Buffer.alloc(10, 7))
  assert.equal((await read) + (await vector), 20)
})

testKinds('a buffer that is transferred while the kernel has it: the operation says so', async (t, ring) => {
  const { reader, writer } = pipe(t)
  const buffer = new Uint8Array(100)
  const read = ring.read(reader.fd, buffer)
  await turn()
  const moved = structuredClone(buffer, { transfer: [buffer.buffer] })
  writeSync(writer.fd, Buffer.from('x'))
  const error = await failure(read)
  assert.equal(error.code, 'ERR_BUFFER_DETACHED')
  assert.equal(moved.length, 100)
})

testKinds('shared memory and WebAssembly memory can be lent', async (t, ring) => {
  const path = join(tempDir(t), 'file')
  writeFileSync(path, 'content')
  const fd = await ring.openat(path, 'r+')
  const shared = new Uint8Array(new SharedArrayBuffer(16))
  const wasm = new Uint8Array(wasmMemory(), 100, 16)
  for (const view of [shared, wasm]) {
    assert.equal(await ring.read(fd, view, { position: 0, length: 7 }), 7)
    assert.equal(Buffer.from(view.slice(0, 7)).toString(), 'content')
    assert.equal(await ring.write(fd, view, { position: 7, length: 7 }), 7)
  }
  assert.equal(readFileSync(path, 'utf8'), 'contentcontent')
  await ring.closeFile(fd)
})

/** A page of WebAssembly's memory, whose name the compiler's settings for Node do not know. */
function wasmMemory(): ArrayBuffer {
  const { WebAssembly } = globalThis as unknown as {
    WebAssembly: { Memory: new (size: { initial: number }) => { buffer: ArrayBuffer } }
  }
  return new WebAssembly.Memory({ initial: 1 }).buffer
}

test('without the right to lock memory the arena serves unregistered', async (t) => {
  oracle(t)
  const tool = compileTool('limit-run')
  if (!requires(t, { tool: typeof tool === 'string' ? {} : tool })) return
  // 64 KiB of locked memory: enough for a small ring, not for the arena's megabyte. It binds only users without capabilities.
  const asNobody =
    process.getuid?.() === 0 ? 'process.setgroups([]); process.setgid(65534); process.setuid(65534);' : ''
  const { code, stdout, stderr } = await runNode(
    `
    import { openSync } from 'node:fs'
    import { Uring } from 'ringcore'
    import { IORING_OP_READ, IORING_OP_READ_FIXED } from 'ringcore/sys'
    const fd = openSync('/etc/passwd')
    ${asNobody}
    const ring = new Uring({ entries: 8, cqEntries: 16 })
    const buffer = ring.alloc(4096)
    const opcodes = []
    const begin = ring.engine.begin.bind(ring.engine)
    ring.engine.begin = (opcode, options) => (opcodes.push(opcode), begin(opcode, options))
    const bytes = await ring.readFixed(fd, buffer, { position: 0 })
    console.log(bytes > 0, buffer.toString('utf8', 0, 5) === 'root:', opcodes[0] === IORING_OP_READ, opcodes[0] === IORING_OP_READ_FIXED)
    await ring.close()
  `,
    { wrap: [tool as string, 'memlock=65536'] },
  )
  assert.equal(stderr, '')
  assert.equal(code, 0)
  assert.equal(stdout, 'true true true false\n')
})

test('reads with O_DIRECT into the arena', async (t) => {
  oracle(t)
  const ring = openUring(t)
  const path = join(process.cwd(), 'package.json')
  const expected = readFileSync(path)
  let fd: number
  try {
    fd = await ring.openat(path, 0o40000)
  } catch {
    t.skip('this file system has no O_DIRECT')
    return
  }
  const file = new OwnedFd(t, fd)
  const buffer = ring.alloc(Math.ceil(expected.length / 4096) * 4096)
  const bytes = await ring.readFixed(file.fd, buffer, { position: 0 })
  assert.ok(buffer.subarray(0, bytes).equals(expected))
})
