// Programs about memory that the kernel uses while JavaScript lets go of it. They may crash, so each runs in a process of its own.
// Flow: test/80.hazards.memory.test.ts → common.ts runProgram → this → Uring.

import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, readSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Uring, type UringOptions } from 'ringcore'
import { IOSQE_ASYNC } from 'ringcore/sys'
import type { Slot } from '#src/runtime/slots.js'
import {
  assertIdle,
  closeAll,
  collect,
  type Json,
  program,
  randomizer,
  rawPipe,
  rawSockets,
  times,
  watch,
} from './common.js'

const KIB = 1024
const MIB = KIB * KIB
const VICTIM = 0xaa

/** Fresh buffers that would get the memory of one that was freed. */
function makeVictims(bytes: number): Buffer[] {
  // Under the guard allocator nobody ever gets freed memory again, so one is enough there.
  const count = process.env.LD_PRELOAD ? 1 : Math.min(400, Math.ceil((2 * MIB) / bytes))
  return Array.from({ length: count }, () => Buffer.alloc(bytes, VICTIM))
}

function changed(victims: Buffer[]): number {
  const expected = new Map<number, Buffer>()
  for (const { length } of victims)
    if (!expected.has(length)) expected.set(length, Buffer.alloc(length, VICTIM))
  return victims.filter((victim) => !victim.equals(expected.get(victim.length)!)).length
}

/** Ways to receive `bytes` into memory that only the kernel and the ring know of. */
const RECEIVERS: Readonly<Record<string, (ring: Uring, fd: number, bytes: number) => Promise<unknown>>> = {
  read: (ring, fd, bytes) => ring.read(fd, Buffer.alloc(bytes)),
  'read into a typed array': (ring, fd, bytes) => ring.read(fd, new Uint8Array(bytes)),
  'read into shared memory': (ring, fd, bytes) => ring.read(fd, new Uint8Array(new SharedArrayBuffer(bytes))),
  'read into a part': (ring, fd, bytes) =>
    ring.read(fd, new Uint8Array(new ArrayBuffer(bytes + 64), 32, bytes)),
  recv: (ring, fd, bytes) => ring.recv(fd, Buffer.alloc(bytes)),
  readv: (ring, fd, bytes) => ring.readv(fd, [Buffer.alloc(1), Buffer.alloc(bytes - 1)]),
  recvmsg: (ring, fd, bytes) => ring.recvmsg(fd, { buffers: [Buffer.alloc(1), Buffer.alloc(bytes - 1)] }),
}

/** What an operation in flight holds, as one run of bytes. */
function heldBytes(slot: Slot): Uint8Array {
  const held = [slot.view, ...(Array.isArray(slot.held) ? slot.held.slice(1) : [])]
  const views = held.filter((view) => view instanceof Uint8Array && view.length > 0) as Uint8Array[]
  return Buffer.concat(views)
}

/** Case 1: the buffer is garbage to JavaScript while the read waits. */
async function gcRead(options: UringOptions, sizes: string): Promise<Json> {
  const ring = new Uring(options)
  const watched = watch(ring)
  let reads = 0
  for (const bytes of sizes.split(',').map(Number)) {
    for (const [name, receive] of Object.entries(RECEIVERS)) {
      if (bytes > MIB && name !== 'read') continue
      const fds = name.startsWith('rec') ? rawSockets() : rawPipe()
      const done = receive(ring, fds[0], bytes)
      ring.flush()
      collect()
      const victims = makeVictims(bytes)
      const data = Buffer.alloc(Math.min(bytes, 32 * KIB), 0x33)
      const slot = [...ring.engine.slots][0]!
      writeSync(fds[1], data)
      // The slot's own references: had it none, the memory would be a victim's by now.
      const { view, held } = slot
      const result = (await done) as number | { bytes: number }
      assert.equal(typeof result === 'number' ? result : result.bytes, data.length, `${name} of ${bytes}`)
      const got = heldBytes({ view, held } as Slot).subarray(0, data.length)
      assert.ok(data.equals(got), `${name} of ${bytes}: wrong bytes`)
      assert.equal(changed(victims), 0, `${name} of ${bytes}: it wrote into another buffer`)
      closeAll(fds)
      reads++
    }
  }
  await assertIdle(ring, watched)
  return { reads }
}

/** Case 1, the other direction: memory that the kernel reads from while the pipe is full. */
async function gcWrite(options: UringOptions): Promise<Json> {
  const ring = new Uring(options)
  const watched = watch(ring)
  const ways: Record<string, (fd: number, byte: number) => Promise<number>> = {
    write: (fd, byte) => ring.write(fd, Buffer.alloc(48 * KIB, byte)),
    'small write, which is copied': (fd, byte) => ring.write(fd, Buffer.alloc(1000, byte)),
    writev: (fd, byte) => ring.writev(fd, [Buffer.alloc(100, byte), Buffer.alloc(40 * KIB, byte)]),
    writeFixed: (fd, byte) => {
      const lent = ring.alloc(16 * KIB)
      return ring.writeFixed(fd, lent.fill(byte))
    },
  }
  for (const [name, write] of Object.entries(ways)) {
    const [reader, writer] = rawPipe()
    writeSync(writer, Buffer.alloc(64 * KIB, 1)) // full: the next write waits
    const done = write(writer, 0x44)
    ring.flush()
    collect()
    const victims = makeVictims(48 * KIB)
    const seen = Buffer.alloc(128 * KIB)
    let read = 0
    while (read < 64 * KIB) read += readSync(reader, seen, read, 64 * KIB - read, null)
    const written = await done
    const end = read + written
    while (read < end) read += readSync(reader, seen, read, end - read, null)
    assert.ok(
      seen.subarray(64 * KIB, end).every((byte) => byte === 0x44),
      `${name}: wrong bytes`,
    )
    assert.equal(changed(victims), 0)
    closeAll([reader, writer])
  }
  await assertIdle(ring, watched)
  return { ways: Object.keys(ways).length }
}

/** Case 2: a local variable whose last use is the call is no root; ordinary garbage, no gc(). */
async function churn(options: UringOptions, ms: string): Promise<Json> {
  const ring = new Uring(options)
  const watched = watch(ring)
  const pipes = Array.from({ length: 64 }, rawPipe)
  const end = Date.now() + Number(ms)
  const victims: Buffer[] = []
  let rounds = 0
  let corrupted = 0
  const random = randomizer(2)
  async function one([reader, writer]: [number, number]): Promise<void> {
    const bytes = [512, 4 * KIB, 64 * KIB, 256 * KIB][Math.floor(random() * 4)]!
    const buffer = Buffer.alloc(bytes)
    const done = ring.read(reader, buffer)
    await new Promise((resolve) => setImmediate(resolve))
    for (let i = 0; i < 8; i++) victims[Math.floor(random() * 256)] = Buffer.alloc(bytes, VICTIM)
    writeSync(writer, Buffer.alloc(Math.min(bytes, 16 * KIB), 0x55))
    await done
    rounds++
  }
  await Promise.all(
    pipes.map(async (fds) => {
      while (Date.now() < end) await one(fds)
    }),
  )
  corrupted = changed(victims.filter((victim) => victim !== undefined))
  closeAll(pipes.flat())
  await assertIdle(ring, watched)
  assert.equal(corrupted, 0, 'another buffer was written into')
  return { rounds }
}

/** Case 3: iovecs, msghdrs, paths, timespecs, statx buffers and addresses: garbage right after the call. */
async function auxiliary(options: UringOptions): Promise<Json> {
  const ring = new Uring(options)
  const watched = watch(ring)
  const dir = mkdtempSync(join(tmpdir(), 'ringcore-aux-'))
  const file = join(dir, 'file')
  writeFileSync(file, 'content')
  // Longer than a slot's scratch block, so that the path needs memory of its own.
  const long = (path: string): string => path.replace('/', '/'.repeat(700))
  const async = { sqeFlags: IOSQE_ASYNC }
  /** Begins, throws away all that can be thrown away, and only then lets the kernel see the entry. */
  async function during<T>(begin: () => Promise<T>): Promise<T> {
    const done = begin()
    collect(times(1, 2))
    const noise = Array.from({ length: process.env.LD_PRELOAD ? 2 : 200 }, () => Buffer.alloc(1500, 0xee))
    ring.flush()
    collect(1)
    const result = await done
    assert.ok(noise.every((buffer) => buffer[0] === 0xee && buffer[1499] === 0xee))
    return result
  }
  for (const name of [(path: string) => path, long]) {
    const fd = await during(() => ring.openat(name(file), 'r+', async))
    const other = await during(() => ring.openat2(name(file), 'r', async))
    assert.equal((await during(() => ring.statx(name(file), async))).size, 7)
    assert.equal((await during(() => ring.statx('', { dirfd: fd, ...async }))).size, 7)
    const parts = Array.from({ length: 64 }, () => Buffer.alloc(1))
    assert.equal(await during(() => ring.readv(fd, parts.slice(), { position: 0, ...async })), 7)
    assert.equal(Buffer.concat(parts).subarray(0, 7).toString(), 'content')
    const seven = () => Array.from('CONTENT', (letter) => Buffer.from(letter))
    assert.equal(await during(() => ring.writev(fd, seven(), { position: 0, ...async })), 7)
    assert.equal(await during(() => ring.writev(fd, [Buffer.from('content')], { position: 0, ...async })), 7)
    await during(() => ring.renameat(name(file), name(`${file}2`), async))
    await during(() => ring.renameat(name(`${file}2`), name(file), async))
    await during(() => ring.mkdirat(name(join(dir, 'sub')), async))
    await during(() => ring.unlinkat(name(join(dir, 'sub')), { flags: 0x200, ...async }))
    await assert.rejects(
      during(() => ring.unlinkat(name(join(dir, 'none')), async)),
      { code: 'ENOENT' },
    )
    await during(() => ring.closeFile(fd, async))
    await during(() => ring.closeFile(other))
  }
  mkdirSync(join(dir, 'kept'))
  await auxiliaryOfSockets(ring, dir, during)
  await during(() => ring.timeout(5))
  const [reader, writer] = rawPipe()
  await assert.rejects(
    during(() => ring.read(reader, Buffer.alloc(9), { timeout: 20 })),
    { code: 'ETIMEDOUT' },
  )
  closeAll([reader, writer])
  assert.deepEqual(readdirSync(dir).sort(), ['file', 'kept', 'socket'])
  rmSync(dir, { recursive: true })
  await assertIdle(ring, watched)
  return 'done'
}

async function auxiliaryOfSockets(
  ring: Uring,
  dir: string,
  during: <T>(begin: () => Promise<T>) => Promise<T>,
): Promise<void> {
  const AF_UNIX = 1
  const SOCK_STREAM = 1
  const async = { sqeFlags: IOSQE_ASYNC }
  const address = () => ({ path: join(dir, 'socket') })
  const listener = await during(() => ring.socket(AF_UNIX, SOCK_STREAM, 0, async))
  await during(() => ring.bind(listener, { family: 'unix', ...address() }, async))
  await during(() => ring.listen(listener, 8, async))
  const client = await ring.socket(AF_UNIX, SOCK_STREAM)
  await during(() => ring.connect(client, { family: 'unix', ...address() }, async))
  const server = await during(() => ring.accept(listener, async))
  const words = () => ['one', 'two', 'three'].map((word) => Buffer.from(word))
  assert.equal(await during(() => ring.sendmsg(client, { buffers: words() }, async)), 11)
  const [a, b] = [Buffer.alloc(3), Buffer.alloc(20)]
  const got = await during(() => ring.recvmsg(server, { buffers: [a, b], controlLength: 64 }, async))
  assert.deepEqual([got.bytes, a.toString(), b.toString('utf8', 0, 8)], [11, 'one', 'twothree'])
  // Control messages: a descriptor goes through, as SCM_RIGHTS.
  const control = () => {
    const bytes = Buffer.alloc(24)
    bytes.writeBigUInt64LE(20n, 0)
    bytes.writeInt32LE(1, 8) // SOL_SOCKET
    bytes.writeInt32LE(1, 12) // SCM_RIGHTS
    bytes.writeInt32LE(client, 16)
    return bytes
  }
  await during(() => ring.sendmsg(client, { buffers: [Buffer.from('fd')], control: control() }, async))
  const passed = await during(() =>
    ring.recvmsg(server, { buffers: [Buffer.alloc(2)], controlLength: 64 }, async),
  )
  assert.equal(passed.control.length >= 20, true)
  closeAll([Buffer.from(passed.control).readInt32LE(16), listener, client, server])
}

/** Forgets every buffer that it lends: what the oracles must find. */
class Careless extends Uring {
  protected override lend(
    slot: Slot,
    view: ArrayBufferView,
    address: number,
    length: number,
    offset: number,
  ): number {
    const at = super.lend(slot, view, address, length, offset)
    slot.view = null
    return at
  }
}

/** Case 74: the planted bug; under the guard allocator each read must fail with EFAULT. */
async function plantedForgetting(options: UringOptions): Promise<Json> {
  const ring = new Careless(options)
  const watched = watch(ring)
  const pipes = Array.from({ length: 8 }, rawPipe)
  const done = pipes.map(([reader], i) => ring.read(reader, Buffer.alloc((i + 1) * 4 * KIB)))
  ring.flush()
  collect()
  for (const [, writer] of pipes) writeSync(writer, 'into nowhere')
  const codes = (await Promise.allSettled(done)).map((end) =>
    end.status === 'rejected' ? end.reason.code : 'none',
  )
  await ring.close()
  closeAll(pipes.flat())
  return { efaults: watched.efaults, codes }
}

await program({
  gcRead,
  gcWrite,
  churn: (options, ms) => churn(options, ms || String(times(500, 5000))),
  auxiliary,
  plantedForgetting,
})
