// Files: descriptors of odd kinds, places of the table that change hands, what else a file can be asked.
// Flow: this → uring-ops.ts, op-helpers.ts → ringcore.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { join } from 'node:path'
import * as op from 'ringcore/ring'
import * as sys from 'ringcore/sys'
import { openDriver } from '#src/sys/open-driver.js'
import { OwnedFd, pipe, requires, tempDir, withTimeout } from './helpers.js'
import { type Rig, opTest as rawTest, type Write } from './op-helpers.js'
import { failure } from './uring.js'
import { call, opTest } from './uring-ops.js'

const O_PATH = 0o10000000

opTest('OPENAT, CLOSE', 'O_PATH descriptors are closed', async (t, ring) => {
  const dir = tempDir(t)
  fs.writeFileSync(join(dir, 'file'), 'x')
  for (const path of [dir, join(dir, 'file')]) {
    const fd = await ring.openat(path, O_PATH)
    assert.equal((await failure(ring.read(fd, Buffer.alloc(1)))).code, 'EBADF')
    await ring.closeFile(fd)
    assert.throws(() => fs.fstatSync(fd), { code: 'EBADF' })
  }
})

opTest('READ, FADVISE', 'RWF_NOWAIT gives all or EAGAIN', async (t, ring) => {
  const bytes = Buffer.alloc(1 << 20, 'nowait ')
  const fd = await ring.openat(join(tempDir(t), 'file'), 'w+')
  await ring.write(fd, bytes, { position: 0 })
  await ring.fsync(fd)
  await ring.fadvise(fd, 0, 0, sys.POSIX_FADV_DONTNEED)
  for (let position = 0; position < bytes.length; position += 65_536) {
    const buffer = Buffer.alloc(4096)
    const got = await withTimeout(
      ring.read(fd, buffer, { position, rwFlags: sys.RWF_NOWAIT }).catch((error) => error.code),
      2000,
    )
    if (got === 'EAGAIN') assert.equal(await ring.read(fd, buffer, { position }), 4096)
    else assert.equal(got, 4096)
    assert.ok(buffer.equals(bytes.subarray(position, position + 4096)))
  }
  await ring.closeFile(fd)
})

opTest('READ', 'eventfd and timerfd give eight bytes', async (t, ring) => {
  const counter = new OwnedFd(t, call('eventfd2', 3, 0o2000000)).fd
  const buffer = Buffer.alloc(100, 0xff)
  assert.equal(await ring.read(counter, buffer), 8)
  assert.equal(buffer.readBigUInt64LE(), 3n)
  assert.equal((await failure(ring.read(counter, buffer, { timeout: 10 }))).code, 'ETIMEDOUT', 'once')
  const timer = new OwnedFd(t, call('timerfd_create', 1, 0o2000000)).fd
  const times = BigInt64Array.of(0n, 0n, 0n, 5_000_000n)
  assert.equal(call('timerfd_settime', timer, 0, openDriver().addressOf(times), 0), 0)
  assert.equal(await withTimeout(ring.read(timer, buffer), 2000), 8)
  assert.equal(buffer.readBigUInt64LE(), 1n)
})

opTest('FALLOCATE, FSYNC', 'fallocate, and what is too large', async (t, ring) => {
  const path = join(tempDir(t), 'file')
  const fd = await ring.openat(path, 'w+')
  await ring.chain((c) => {
    c.add('fallocate', (r) => r.fallocate(fd, 0, 0, 12_345)).hardlink()
    c.fsync(fd)
  })
  assert.equal(fs.statSync(path).size, 12_345)
  const { code } = await failure(ring.fallocate(fd, 0, 0, Number.MAX_SAFE_INTEGER))
  assert.ok(code === 'EFBIG' || code === 'ENOSPC', String(code))
  assert.equal(fs.statSync(path).size, 12_345)
  await ring.closeFile(fd)
})

opTest('WRITE', 'beyond the largest file', async (t, ring) => {
  const path = join(tempDir(t), 'file')
  const fd = await ring.openat(path, 'w+')
  const write = (position: bigint): Promise<number> => ring.write(fd, Buffer.from('xx'), { position })
  assert.equal((await failure(write(2n ** 63n - 100n))).code, 'EFBIG')
  // The end of the write would not be a number that the kernel has.
  assert.equal((await failure(write(2n ** 63n - 1n))).code, 'EINVAL')
  assert.equal(fs.statSync(path).size, 0)
  await ring.closeFile(fd)
})

opTest('NOP', 'with a registered buffer, or none', async (_t, ring) => {
  const flags = sys.IORING_NOP_FIXED_BUFFER
  assert.equal((await failure(ring.nop({ flags }))).code, 'EFAULT')
  const buffer = ring.alloc(10)
  assert.equal(await ring.nop({ flags }), 0)
  ring.free(buffer)
})

opTest('FIXED_FD_INSTALL', 'an installed fd closes on exec, or not', async (t, ring) => {
  const [place] = await ring.filesUpdateAlloc([pipe(t).reader.fd])
  for (const [flags, pattern] of [
    [0, /flags:\s+02000000/],
    [sys.IORING_FIXED_FD_NO_CLOEXEC, /flags:\s+00\b/],
  ] as const) {
    const fd = await ring.fixedFdInstall(place!, { flags })
    assert.match(fs.readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'), pattern)
    await ring.closeFile(fd)
  }
  assert.equal((await failure(ring.fixedFdInstall(place!, { flags: 0x80 }))).code, 'EINVAL')
  await ring.closeFile(place!)
})

opTest('OPENAT, WRITE, READ', 'a chain writes beyond four gigabytes', async (t, ring) => {
  const path = join(tempDir(t), 'sparse')
  const file = ring.fixedFile()
  const back = Buffer.alloc(4)
  const position = 5 * 2 ** 30
  await ring.chain((c) => {
    c.openat(path, 'w+', { slot: file })
    c.write(file, Buffer.from('far away'), { position })
    c.read(file, back, { position: position + 4 })
    c.close(file)
  })
  assert.deepEqual([back.toString(), fs.statSync(path).size], ['away', position + 8])
})

opTest('OPENAT, READ', '/proc/self is this process for kernel workers, too', async (_t, ring) => {
  for (const sqeFlags of [0, sys.IOSQE_ASYNC]) {
    const fd = await ring.openat('/proc/self/stat', 'r', { sqeFlags })
    const buffer = Buffer.alloc(64)
    await ring.read(fd, buffer, { sqeFlags, position: 0 })
    assert.equal(Number.parseInt(buffer.toString('latin1'), 10), process.pid)
    await ring.closeFile(fd)
  }
})

opTest('OPENAT, WRITE, CLOSE', 'a program that was just written can be run', async (t, ring) => {
  // A SQPOLL thread drops its last hold of a closed file a moment after the completion: only there it may take tries.
  const isPolled = (ring.ring.setupFlags & sys.IORING_SETUP_SQPOLL) !== 0
  const dir = tempDir(t)
  for (let i = 0; i < 3; i++) {
    const path = join(dir, `program${i}`)
    const fd = await ring.openat(path, 'w', { mode: 0o755 })
    await ring.write(fd, Buffer.from(`#!/bin/sh\nexit ${i + 3}\n`))
    await ring.closeFile(fd)
    let run = spawnSync(path)
    const isBusy = (): boolean => (run.error as NodeJS.ErrnoException | undefined)?.code === 'ETXTBSY'
    for (const end = Date.now() + 5000; isPolled && isBusy() && Date.now() < end; ) run = spawnSync(path)
    assert.equal(run.status, i + 3, String(run.error))
  }
})

function file(rig: Rig, content: string): string {
  const path = join(tempDir(rig.t), 'file')
  fs.writeFileSync(path, content)
  return path
}

const inSlot =
  (write: Write): Write =>
  (sqe) => {
    write(sqe)
    op.sqeSetFixedFile(sqe)
  }

/** Reads up to 8 bytes at an offset from a place of the table. */
function slotText(rig: Rig, slot: number, offset: number): string {
  const memory = rig.memory(8)
  return memory.text(rig.must(inSlot((sqe) => op.prepRead(sqe, slot, memory.address, 8, offset))))
}

rawTest('READ', 'a table of ten thousand places', (rig) => {
  const fd = rig.owned(fs.openSync(file(rig, 'content'), 'r'))
  try {
    rig.ring.registerFilesSparse(10_000)
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, 'EMFILE')
    return rig.t.skip('needs a limit of 10,000 open files')
  }
  assert.equal(rig.ring.registerFilesUpdate(9_999, [fd]), 1)
  assert.equal(slotText(rig, 9_999, 0), 'content')
  const room = rig.memory(8)
  rig.fails(
    sys.EBADF,
    inSlot((sqe) => op.prepRead(sqe, 5_000, room.address, 8, 0)),
  )
  rig.fails(
    sys.EBADF,
    inSlot((sqe) => op.prepRead(sqe, 10_000, room.address, 8, 0)),
  )
  assert.throws(() => rig.ring.registerFilesUpdate(9_999, [fd, fd]), { code: 'EINVAL' })
  assert.throws(() => rig.ring.registerFiles([fd]), { code: 'EBUSY' })
  rig.ring.unregisterFiles()
})

rawTest('OPENAT, READ', 'a taken slot is opened over', (rig) => {
  rig.ring.registerFilesSparse(1)
  for (const content of ['first', 'second']) {
    const path = rig.path(file(rig, content))
    rig.must((sqe) => op.prepOpenDirect(sqe, path, fs.constants.O_RDONLY, 0, 0))
    assert.equal(slotText(rig, 0, 0), content)
  }
  rig.ring.unregisterFiles()
})

rawTest('READ', 'reads at the position, one behind the other', (rig) => {
  const fd = rig.owned(fs.openSync(file(rig, '0123456789'), 'r'))
  for (const flags of [0, sys.IOSQE_ASYNC]) {
    const parts = Array.from({ length: 4 }, () => rig.memory(1))
    const ids = rig.startAll(
      ...parts.map(
        (part, i): Write =>
          (sqe) => {
            op.prepRead(sqe, fd, part.address, 1, -1)
            sqe.addFlags(flags | (i < 3 ? sys.IOSQE_IO_LINK : 0))
          },
      ),
    )
    for (const id of ids) assert.equal(rig.wait(id).res, 1)
    assert.equal(parts.map((part) => part.text()).join(''), flags ? '4567' : '0123')
  }
})

rawTest('LINKAT', 'a name for an open file', (rig) => {
  if (!requires(rig.t, { root: true })) return
  const path = file(rig, 'named again')
  const fd = rig.owned(fs.openSync(path, 'r'))
  const [empty, second] = [rig.path(''), rig.path(`${path}2`)]
  const link: Write = (sqe) => op.prepLinkat(sqe, fd, empty, sys.AT_FDCWD, second, sys.AT_EMPTY_PATH)
  assert.equal(rig.must(link), 0)
  assert.equal(fs.readFileSync(`${path}2`, 'utf8'), 'named again')
  rig.fails(sys.EEXIST, link)
})

rawTest('READ', 'a slot changes under a read', (rig) => {
  const [old, fresh] = [pipe(rig.t), pipe(rig.t)]
  rig.ring.registerFiles([old.reader.fd])
  const room = rig.memory(8)
  const id = rig.start(inSlot((sqe) => op.prepRead(sqe, 0, room.address, 8, -1)))
  // A SQPOLL thread takes the entry, and looks the file up, when it gets to it.
  for (const end = performance.now() + 2000; rig.ring.sqReady() > 0 && performance.now() < end; );
  rig.stillWaits(id)
  rig.ring.registerFilesUpdate(0, [fresh.reader.fd])
  fs.writeSync(fresh.writer.fd, 'fresh')
  rig.stillWaits(id)
  fs.writeSync(old.writer.fd, 'old')
  assert.equal(rig.wait(id).res, 3)
  assert.equal(room.text(3), 'old')
  assert.equal(slotText(rig, 0, -1), 'fresh')
  rig.ring.unregisterFiles()
})

rawTest('PIPE, READ, WRITE', 'a pipe into chosen slots', (rig) => {
  rig.ring.registerFilesSparse(4)
  const fds = rig.memory(8)
  rig.must((sqe) => op.prepPipeDirect(sqe, fds.address, 0, 1))
  const data = rig.memory('direct')
  assert.equal(rig.must(inSlot((sqe) => op.prepWrite(sqe, 2, data.address, 6, -1))), 6)
  assert.equal(slotText(rig, 1, -1), 'direct')
  const view = new DataView(fds.bytes.buffer)
  const told = [view.getInt32(0, true), view.getInt32(4, true)]
  // Some kernels count the places from 1 here.
  if (told[0] !== 1) rig.t.diagnostic(`this kernel tells slots ${told} for 1,2`)
  assert.equal(told[1]! - told[0]!, 1)
  rig.fails(sys.EINVAL, (sqe) => op.prepPipeDirect(sqe, fds.address, 0, 4))
  rig.ring.unregisterFiles()
})

rawTest('OPENAT', 'a new table begins at its first place', (rig) => {
  const path = rig.path('/dev/null')
  const ALLOC = sys.IORING_FILE_INDEX_ALLOC
  for (let round = 0; round < 3; round++) {
    rig.ring.registerFilesSparse(4)
    for (const slot of [0, 1, 2])
      assert.equal(
        rig.must((sqe) => op.prepOpenDirect(sqe, path, fs.constants.O_RDONLY, 0, ALLOC)),
        slot,
      )
    rig.ring.unregisterFiles()
  }
})
