// File: an offset of its own, one unpositioned call after another, whole files, closing.
// Flow: this → fs/file.ts → runtime, compared with node:fs.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { File, type Uring } from 'ringcore'
import { oracle, pipe, runNode, tempDir, withTimeout } from './helpers.js'
import { failure, testKinds, turn } from './uring.js'

async function open(
  t: TestContext,
  ring: Uring,
  name: string,
  flags: string,
  content?: string,
): Promise<File> {
  const path = join(tempDir(t), name)
  if (content !== undefined) fs.writeFileSync(path, content)
  const file = await File.open(path, flags, { ring })
  t.after(() => file.close())
  return file
}

testKinds('reads and writes go on where the last one stopped', async (t, ring) => {
  const file = await open(t, ring, 'offset', 'w+')
  assert.equal(file.offset, 0)
  assert.equal(await file.write(Buffer.from('hello ')), 6)
  assert.equal(await file.write(Buffer.from('world')), 5)
  assert.equal(file.offset, 11)
  file.offset = 4
  const buffer = Buffer.alloc(4)
  assert.equal(await file.read(buffer), 4)
  assert.equal(buffer.toString(), 'o wo')
  assert.equal(file.offset, 8)
  assert.equal(await file.read(buffer, { position: 0 }), 4)
  assert.equal(buffer.toString(), 'hell')
  assert.equal(await file.write(Buffer.from('W'), { position: 6 }), 1)
  assert.equal(file.offset, 8, 'positioned calls leave it alone')
  assert.equal(await file.read(buffer, { offset: 1, length: 2 }), 2)
  assert.equal(buffer.toString(), 'hrll')
  assert.equal(await file.read(buffer, { position: null as never }), 1, 'null is the own offset, as in Node')
  assert.equal(await file.read(buffer), 0)
  assert.equal(fs.readFileSync(`/proc/self/fd/${file.fd}`, 'utf8'), 'hello World')
  for (const offset of [-1, 1.5, Number.NaN, '3']) {
    assert.throws(() => {
      file.offset = offset as number
    }, /ERR_/)
  }
})

testKinds('unpositioned calls at once run one after another', async (t, ring) => {
  const content = Array.from({ length: 1000 }, (_, i) => String(i).padStart(4, '0')).join('')
  const file = await open(t, ring, 'serial', 'r', content)
  const buffers = Array.from({ length: 1000 }, () => Buffer.alloc(4))
  const counts = await Promise.all(buffers.map((buffer) => file.read(buffer)))
  assert.ok(counts.every((count) => count === 4))
  assert.equal(Buffer.concat(buffers).toString(), content)
  const out = await open(t, ring, 'serial-out', 'w')
  await Promise.all(buffers.map((buffer) => out.write(buffer)))
  assert.equal(fs.readFileSync(`/proc/self/fd/${out.fd}`, 'utf8'), content)
  // One that fails does not hold up the next, and does not move the offset.
  file.offset = 0
  const [bad, good] = [failure(file.read(Buffer.alloc(1), { offset: 5 })), file.read(buffers[0]!)]
  assert.equal((await bad).code, 'ERR_OUT_OF_RANGE')
  assert.equal(await good, 4)
  assert.equal(file.offset, 4)
})

testKinds('whole files: writeAll, readToEnd, sync, stat', async (t, ring) => {
  const bytes = Buffer.alloc(3_000_001)
  for (let i = 0; i < bytes.length; i++) bytes[i] = (i * 31) ^ (i >> 9)
  const file = await open(t, ring, 'whole', 'w+')
  await file.writeAll(bytes.subarray(0, 1000))
  await file.writeAll(bytes.subarray(1000))
  await file.sync()
  await file.sync({ datasync: true })
  assert.equal(file.offset, bytes.length)
  assert.equal((await file.readToEnd()).length, 0)
  file.offset = 0
  assert.ok((await file.readToEnd()).equals(bytes))
  file.offset = 2_999_999
  assert.ok((await file.readToEnd()).equals(bytes.subarray(2_999_999)))
  const stat = await file.stat()
  const nodes = fs.fstatSync(file.fd)
  for (const key of ['size', 'ino', 'mode', 'uid', 'gid', 'nlink', 'dev', 'blocks'] as const)
    assert.equal(stat[key], nodes[key], key)
  for (const size of [0, 1, 16_383, 16_384, 16_385, 65_536, 200_000]) {
    const sized = await open(t, ring, 'sized', 'r', 'x'.repeat(size))
    assert.equal((await sized.readToEnd()).length, size)
    await sized.close()
  }
})

testKinds('files of /proc, whose size is 0, and pipes', async (t, ring) => {
  for (const path of ['/proc/self/maps', '/proc/cpuinfo', '/proc/self/cmdline']) {
    const file = await File.open(path, 'r', { ring })
    t.after(() => file.close())
    assert.equal((await file.stat()).size, 0)
    const content = await file.readToEnd()
    assert.ok(content.length > 0, path)
    if (path.endsWith('cmdline')) assert.ok(content.equals(fs.readFileSync(path)))
  }
  const { reader, writer } = pipe(t)
  const file = File.fromFd(reader.release(), ring)
  t.after(() => file.close())
  fs.writeSync(writer.fd, Buffer.from('through a '))
  const all = file.readToEnd()
  await turn()
  fs.writeSync(writer.fd, Buffer.from('pipe'))
  writer.close()
  assert.equal((await withTimeout(all, 2000)).toString(), 'through a pipe')
})

testKinds('create empties, append appends, missing is ENOENT', async (t, ring) => {
  const path = join(tempDir(t), 'file')
  fs.writeFileSync(path, 'old content')
  const created = await File.create(path, { ring, mode: 0o600 })
  await created.writeAll(Buffer.from('new'))
  assert.equal((await failure(created.read(Buffer.alloc(1)))).code, 'EBADF', 'for writing only')
  await created.close()
  const appended = await File.open(path, 'a', { ring })
  await appended.write(Buffer.from('!'))
  await appended.write(Buffer.from('?'))
  await appended.close()
  assert.equal(fs.readFileSync(path, 'utf8'), 'new!?')
  const error = await failure(File.open(`${path}.missing`, 'r', { ring }))
  assert.deepEqual([error.code, error.syscall, error.path], ['ENOENT', 'open', `${path}.missing`])
  const slot = await failure(File.open(path, 'r', { ring, slot: ring.fixedFile() } as never))
  assert.equal(slot.code, 'ERR_INVALID_ARG_VALUE')
  assert.throws(() => File.fromFd(-1, ring), { code: 'ERR_OUT_OF_RANGE' })
  assert.throws(() => File.fromFd('3' as never, ring), { code: 'ERR_INVALID_ARG_TYPE' })
})

testKinds('close cancels what waits; afterwards everything is EBADF', async (t, ring) => {
  const { reader } = pipe(t)
  const file = File.fromFd(reader.release(), ring)
  const reads = [
    file.read(Buffer.alloc(1)),
    file.read(Buffer.alloc(1)),
    file.read(Buffer.alloc(1), { position: 0 }),
  ]
  for (const read of reads) read.catch(() => {})
  await turn()
  const { fd } = file
  await withTimeout(Promise.all([file.close(), file.close()]), 2000, 'close')
  assert.equal(file.fd, -1)
  assert.equal(fs.existsSync(`/proc/self/fd/${fd}`), false)
  const [first, second, third] = await Promise.all(reads.map((read) => failure(read)))
  assert.deepEqual([first!.code, second!.code, third!.code], ['ECANCELED', 'EBADF', 'ECANCELED'])
  for (const call of [
    () => file.read(Buffer.alloc(1)),
    () => file.write(Buffer.alloc(1)),
    () => file.writeAll(Buffer.alloc(1)),
    () => file.readToEnd(),
    () => file.sync(),
    () => file.stat(),
  ]) {
    assert.equal((await failure(call())).code, 'EBADF')
  }
  await file.close()
})

testKinds('a full device: writeAll says how much is written', async (_t, ring) => {
  const file = File.fromFd(fs.openSync('/dev/full', 'w'), ring)
  const error = await failure(file.writeAll(Buffer.alloc(10)))
  assert.deepEqual([error.code, error.syscall, error.written], ['ENOSPC', 'write', 0])
  assert.equal(file.offset, 0)
  await file.close()
})

testKinds('two hundred files at once', async (t, ring) => {
  const dir = tempDir(t)
  await Promise.all(
    Array.from({ length: 200 }, async (_, i) => {
      await using file = await File.open(join(dir, `f${i}`), 'wx+', { ring })
      await file.writeAll(Buffer.alloc(i * 100, i))
      file.offset = 0
      const back = await file.readToEnd()
      assert.ok(back.length === i * 100 && back.every((byte) => byte === i))
    }),
  )
})

test("a program that reads and writes on the thread's ring exits by itself", async (t) => {
  oracle(t)
  const path = join(tempDir(t), 'out')
  const { code, stdout, stderr } = await runNode(
    `
    import { File } from 'ringcore'
    const input = await File.open('/etc/passwd')
    const output = await File.create(process.argv.at(-1))
    await output.writeAll(await input.readToEnd())
    await Promise.all([input.close(), output.close()])
    console.log('done')
  `,
    { args: [path] },
  )
  assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: 'done\n', stderr: '' })
  assert.ok(fs.readFileSync(path).equals(fs.readFileSync('/etc/passwd')))
})
