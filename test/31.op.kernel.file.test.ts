// Requests on files and paths against the kernel: each succeeds, fails, and, where it can wait, is cancelled.
// Flow: this → op-helpers.ts → ringcore/ring.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  constants,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import * as op from 'ringcore/ring'
import * as sys from 'ringcore/sys'
import { pipe, tempDir } from './helpers.js'
import { opTest, type Rig } from './op-helpers.js'
import { matrixTest } from './op-matrix.js'

const { O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_WRONLY } = constants

/** A file with content, open. */
function file(rig: Rig, content: string, flags: number | string = 'r+'): number {
  const path = join(tempDir(rig.t), 'file')
  writeFileSync(path, content)
  return rig.owned(openSync(path, flags))
}

/** A pipe that takes no more bytes. */
function fullPipe(rig: Rig): { reader: number; writer: number } {
  const { reader, writer } = pipe(rig.t)
  const { res } = rig.wait(
    rig.start((sqe) => {
      const all = rig.memory(1 << 20)
      // A pipe takes what fits, and the rest would wait: RWF_NOWAIT says EAGAIN instead.
      op.prepWritev2(sqe, writer.fd, rig.iovecs(all), 1, -1, sys.RWF_NOWAIT)
    }),
  )
  assert.ok(res > 0)
  return { reader: reader.fd, writer: writer.fd }
}

/** A FIFO that nobody has open: opening one end waits for the other. */
function fifo(rig: Rig): string {
  const path = join(tempDir(rig.t), 'fifo')
  const { status, error } = spawnSync('mkfifo', [path])
  assert.equal(status, 0, String(error))
  return path
}

// ---------------------------------------------------------------- read, write

opTest('READ', 'bytes at an offset, at the position, at the end', (rig) => {
  const fd = file(rig, 'hello world')
  const memory = rig.memory(16)
  assert.equal(
    rig.must((sqe) => op.prepRead(sqe, fd, memory.address, 5, 6)),
    5,
  )
  assert.equal(memory.text(5), 'world')
  assert.equal(
    rig.must((sqe) => op.prepRead(sqe, fd, memory.address, 5, -1)),
    5,
  )
  assert.equal(memory.text(5), 'hello')
  assert.equal(
    rig.must((sqe) => op.prepRead(sqe, fd, memory.address, 16, -1)),
    6,
  )
  assert.equal(memory.text(6), ' world')
  assert.equal(
    rig.must((sqe) => op.prepRead(sqe, fd, memory.address, 16, 11)),
    0,
  )
  rig.fails(sys.EBADF, (sqe) => op.prepRead(sqe, 9999, memory.address, 1, 0))
  const dir = rig.owned(openSync(tempDir(rig.t), 'r'))
  rig.fails(sys.EISDIR, (sqe) => op.prepRead(sqe, dir, memory.address, 1, 0))
})

opTest('READ', 'far into a sparse file: both words of the offset', (rig) => {
  const fd = file(rig, '')
  const far = 2 ** 33 + 5
  writeSync(fd, 'x', far)
  const memory = rig.memory(2)
  assert.equal(
    rig.must((sqe) => op.prepRead(sqe, fd, memory.address, 2, far - 1)),
    2,
  )
  assert.equal(memory.text(), '\0x')
  assert.equal(
    rig.must((sqe) => op.prepRead(sqe, fd, memory.address, 2, BigInt(far))),
    1,
  )
})

opTest('READ', 'waits on an empty pipe until there is data, or it is cancelled', (rig) => {
  const { reader, writer } = pipe(rig.t)
  const memory = rig.memory(8)
  const id = rig.start((sqe) => op.prepRead(sqe, reader.fd, memory.address, 8, -1))
  rig.stillWaits(id)
  writeSync(writer.fd, 'data')
  assert.equal(rig.wait(id).res, 4)
  assert.equal(memory.text(4), 'data')
  rig.waitsUntilCancelled((sqe) => op.prepRead(sqe, reader.fd, memory.address, 8, -1))
})

opTest('WRITE', 'bytes at an offset; a full pipe is waited for', (rig) => {
  const fd = file(rig, '0123456789')
  const memory = rig.memory('abc')
  assert.equal(
    rig.must((sqe) => op.prepWrite(sqe, fd, memory.address, 3, 8)),
    3,
  )
  const back = Buffer.alloc(11)
  assert.equal(readSync(fd, back, 0, 11, 0), 11)
  assert.equal(back.toString(), '01234567abc')
  const readOnly = file(rig, 'x', 'r')
  rig.fails(sys.EBADF, (sqe) => op.prepWrite(sqe, readOnly, memory.address, 3, 0))
  const { writer } = fullPipe(rig)
  rig.waitsUntilCancelled((sqe) => op.prepWrite(sqe, writer, memory.address, 3, -1))
})

opTest('READV', 'into several pieces', (rig) => {
  const fd = file(rig, 'hello world')
  const [a, b] = [rig.memory(4), rig.memory(16)]
  assert.equal(
    rig.must((sqe) => op.prepReadv(sqe, fd, rig.iovecs(a, b), 2, 1)),
    10,
  )
  assert.deepEqual([a.text(), b.text(6)], ['ello', ' world'])
  rig.fails(sys.EINVAL, (sqe) => op.prepReadv(sqe, fd, rig.iovecs(a), 1025, 0))
  const { reader } = pipe(rig.t)
  rig.fails(sys.EAGAIN, (sqe) => op.prepReadv2(sqe, reader.fd, rig.iovecs(a), 1, -1, sys.RWF_NOWAIT))
  rig.waitsUntilCancelled((sqe) => op.prepReadv(sqe, reader.fd, rig.iovecs(a, b), 2, -1))
})

opTest('WRITEV', 'from several pieces', (rig) => {
  const fd = file(rig, '')
  const iovecs = rig.iovecs(rig.memory('one,'), rig.memory('two'))
  assert.equal(
    rig.must((sqe) => op.prepWritev(sqe, fd, iovecs, 2, 0)),
    7,
  )
  assert.equal(
    rig.must((sqe) => op.prepWritev2(sqe, fd, iovecs, 2, 0, sys.RWF_APPEND)),
    7,
  )
  const back = Buffer.alloc(20)
  assert.equal(back.toString('utf8', 0, readSync(fd, back, 0, 20, 0)), 'one,twoone,two')
  rig.fails(sys.EBADF, (sqe) => op.prepWritev(sqe, 9999, iovecs, 2, 0))
  const { writer } = fullPipe(rig)
  rig.waitsUntilCancelled((sqe) => op.prepWritev(sqe, writer, iovecs, 2, -1))
})

opTest('READ_FIXED, WRITE_FIXED', 'through a registered buffer', (rig) => {
  const fd = file(rig, 'hello world')
  const other = rig.memory(4096)
  const buffer = rig.memory(8192)
  rig.ring.registerBuffers([other.bytes, buffer.bytes])
  rig.t.after(() => rig.ring.closed || rig.ring.unregisterBuffers())
  assert.equal(
    rig.must((sqe) => op.prepReadFixed(sqe, fd, buffer.address + 100, 5, 6, 1)),
    5,
  )
  assert.equal(Buffer.from(buffer.bytes.subarray(100, 105)).toString(), 'world')
  assert.equal(
    rig.must((sqe) => op.prepWriteFixed(sqe, fd, buffer.address + 100, 5, 0, 1)),
    5,
  )
  const back = Buffer.alloc(11)
  readSync(fd, back, 0, 11, 0)
  assert.equal(back.toString(), 'world world')
  rig.fails(sys.EBADF, (sqe) => op.prepReadFixed(sqe, 9999, buffer.address, 5, 0, 1))
  rig.fails(sys.EBADF, (sqe) => op.prepWriteFixed(sqe, 9999, buffer.address, 5, 0, 1))
  const { reader } = pipe(rig.t)
  rig.waitsUntilCancelled((sqe) => op.prepReadFixed(sqe, reader.fd, buffer.address, 8, -1, 1))
  const { writer } = fullPipe(rig)
  rig.waitsUntilCancelled((sqe) => op.prepWriteFixed(sqe, writer, buffer.address, 8, -1, 1))
})

opTest('FSYNC', 'whole, data only, a range', (rig) => {
  const fd = file(rig, 'x')
  assert.equal(
    rig.must((sqe) => op.prepFsync(sqe, fd, 0)),
    0,
  )
  assert.equal(
    rig.must((sqe) => op.prepFsync(sqe, fd, sys.IORING_FSYNC_DATASYNC)),
    0,
  )
  rig.must((sqe) => {
    op.prepFsync(sqe, fd, 0)
    op.sqeSetFsyncRange(sqe, 0, 1)
  })
  rig.fails(sys.EINVAL, (sqe) => op.prepFsync(sqe, fd, 2))
  rig.fails(sys.EINVAL, (sqe) => op.prepFsync(sqe, pipe(rig.t).writer.fd, 0))
})

opTest('SPLICE', 'between a file and a pipe, both ways and with both offsets', (rig) => {
  const from = file(rig, 'hello world')
  const to = file(rig, '----------')
  const { reader, writer } = pipe(rig.t)
  // The input's offset is 6, the pipe's -1; then the pipe's -1 and the output's 2: neither may take the other's place.
  assert.equal(
    rig.must((sqe) => op.prepSplice(sqe, from, 6, writer.fd, -1, 5, 0)),
    5,
  )
  assert.equal(
    rig.must((sqe) => op.prepSplice(sqe, reader.fd, -1, to, 2, 5, 0)),
    5,
  )
  const back = Buffer.alloc(10)
  readSync(to, back, 0, 10, 0)
  assert.equal(back.toString(), '--world---')
  rig.fails(sys.EINVAL, (sqe) => op.prepSplice(sqe, from, 0, to, 0, 5, 0))
  rig.fails(sys.ESPIPE, (sqe) => op.prepSplice(sqe, reader.fd, 0, to, 0, 5, 0))
  rig.fails(sys.EBADF, (sqe) => op.prepSplice(sqe, 9999, 0, writer.fd, -1, 5, 0))
  rig.waitsUntilCancelled((sqe) => op.prepSplice(sqe, reader.fd, -1, to, 0, 5, 0), { inWorker: true })
})

opTest('SPLICE', 'from a registered file: bit 31 of its flags', (rig) => {
  const from = file(rig, 'fixed')
  rig.ring.registerFiles([-1, -1, from])
  const { reader, writer } = pipe(rig.t)
  assert.equal(
    rig.must((sqe) => op.prepSplice(sqe, 2, 0, writer.fd, -1, 5, sys.SPLICE_F_FD_IN_FIXED)),
    5,
  )
  const back = Buffer.alloc(5)
  readSync(reader.fd, back)
  assert.equal(back.toString(), 'fixed')
  rig.ring.unregisterFiles()
})

// ---------------------------------------------------------------- open, close

opTest('OPENAT, CLOSE', 'a new file relative to a directory', (rig) => {
  const dir = tempDir(rig.t)
  const dfd = rig.owned(openSync(dir, 'r'))
  const name = rig.path('new')
  const flags = O_CREAT | O_EXCL | O_RDWR | sys.O_CLOEXEC
  const fd = rig.must((sqe) => op.prepOpenat(sqe, dfd, name, flags, 0o640))
  assert.equal(fstatSync(fd).mode & 0o777, 0o640 & ~process.umask())
  assert.equal(
    rig.must((sqe) => op.prepClose(sqe, fd)),
    0,
  )
  assert.throws(() => fstatSync(fd), { code: 'EBADF' })
  rig.fails(sys.EBADF, (sqe) => op.prepClose(sqe, fd))
  rig.fails(sys.EEXIST, (sqe) => op.prepOpenat(sqe, dfd, name, flags, 0o640))
  rig.fails(sys.ENOENT, (sqe) => op.prepOpenat(sqe, sys.AT_FDCWD, rig.path(join(dir, 'none')), O_RDONLY, 0))
  rig.fails(sys.EBADF, (sqe) => op.prepOpenat(sqe, 9999, name, O_RDONLY, 0))
  const whole = rig.path(join(dir, 'new'))
  const second = rig.must((sqe) => op.prepOpen(sqe, whole, O_RDONLY | sys.O_CLOEXEC, 0))
  rig.must((sqe) => op.prepClose(sqe, second))
})

opTest(
  'OPENAT',
  'of a FIFO: from a worker it waits for the other end, else it is as with O_NONBLOCK',
  (rig) => {
    const path = fifo(rig)
    const address = rig.path(path)
    const open = (flags: number, sqeFlags: number) => (sqe: op.Sqe) => {
      op.prepOpenat(sqe, sys.AT_FDCWD, address, flags | sys.O_CLOEXEC, 0)
      sqe.addFlags(sqeFlags)
    }
    rig.fails(sys.ENXIO, open(O_WRONLY, 0))
    rig.waitsUntilCancelled(open(O_RDONLY, sys.IOSQE_ASYNC), { inWorker: true })
    const id = rig.start(open(O_RDONLY, sys.IOSQE_ASYNC))
    rig.stillWaits(id)
    const writer = rig.owned(openSync(path, 'w'))
    const reader = rig.owned(rig.wait(id).res)
    writeSync(writer, 'through')
    assert.equal(readSync(reader, Buffer.alloc(10)), 7)
  },
)

opTest('OPENAT2', 'with a limit on the way of its path', (rig) => {
  const dir = tempDir(rig.t)
  writeFileSync(join(dir, 'inside'), 'x')
  mkdirSync(join(dir, 'sub'))
  const sub = rig.owned(openSync(join(dir, 'sub'), 'r'))
  const how = (flags: number, resolve: number): number =>
    rig.memory(new Uint8Array(BigUint64Array.of(BigInt(flags), 0n, BigInt(resolve)).buffer)).address
  const up = rig.path('../inside')
  rig.owned(rig.must((sqe) => op.prepOpenat2(sqe, sub, up, how(O_RDONLY | sys.O_CLOEXEC, 0))))
  rig.fails(sys.EXDEV, (sqe) => op.prepOpenat2(sqe, sub, up, how(O_RDONLY, sys.RESOLVE_BENEATH)))
  rig.fails(sys.EINVAL, (sqe) => op.prepOpenat2(sqe, sub, up, how(O_RDONLY, 0x8000)))
  const path = rig.path(fifo(rig))
  rig.waitsUntilCancelled(
    (sqe) => {
      op.prepOpenat2(sqe, sys.AT_FDCWD, path, how(O_RDONLY, 0))
      sqe.addFlags(sys.IOSQE_ASYNC)
    },
    { inWorker: true },
  )
})

opTest('OPENAT, OPENAT2, READ, CLOSE', 'into slots of the registered files', (rig) => {
  const dir = tempDir(rig.t)
  writeFileSync(join(dir, 'a'), 'direct')
  const path = rig.path(join(dir, 'a'))
  const memory = rig.memory(6)
  rig.ring.registerFilesSparse(2)
  const read = (slot: number) => (sqe: op.Sqe) => {
    op.prepRead(sqe, slot, memory.address, 6, 0)
    op.sqeSetFixedFile(sqe)
  }
  assert.equal(
    rig.must((sqe) => op.prepOpenatDirect(sqe, sys.AT_FDCWD, path, O_RDONLY, 0, 1)),
    0,
  )
  assert.equal(rig.must(read(1)), 6)
  assert.equal(memory.text(), 'direct')
  rig.fails(sys.EBADF, read(0))
  const how = rig.memory(24).address
  // The kernel chooses the slot that is left, and then has none.
  assert.equal(
    rig.must((sqe) => op.prepOpenat2Direct(sqe, sys.AT_FDCWD, path, how, sys.IORING_FILE_INDEX_ALLOC)),
    0,
  )
  assert.equal(rig.must(read(0)), 6)
  rig.fails(sys.ENFILE, (sqe) => op.prepOpenDirect(sqe, path, O_RDONLY, 0, sys.IORING_FILE_INDEX_ALLOC))
  rig.fails(sys.EINVAL, (sqe) => op.prepOpenDirect(sqe, path, O_RDONLY, 0, 2))
  rig.fails(sys.EINVAL, (sqe) => op.prepOpenDirect(sqe, path, sys.O_CLOEXEC, 0, 1))
  assert.equal(
    rig.must((sqe) => op.prepCloseDirect(sqe, 1)),
    0,
  )
  rig.fails(sys.EBADF, (sqe) => op.prepCloseDirect(sqe, 1))
  rig.fails(sys.EBADF, read(1))
  rig.fails(sys.EINVAL, (sqe) => op.prepCloseDirect(sqe, sys.IORING_FILE_INDEX_ALLOC))
  rig.must((sqe) => op.prepCloseDirect(sqe, 0))
  rig.ring.unregisterFiles()
})

opTest('OPENAT, READ, CLOSE', 'as one chain of hard links on a slot', (rig) => {
  const dir = tempDir(rig.t)
  writeFileSync(join(dir, 'a'), 'chain')
  const path = rig.path(join(dir, 'a'))
  const none = rig.path(join(dir, 'none'))
  const memory = rig.memory(64)
  rig.ring.registerFilesSparse(1)
  const chain = (address: number): number[] =>
    rig
      .startAll(
        (sqe) => {
          op.prepOpenDirect(sqe, address, O_RDONLY, 0, 0)
          sqe.addFlags(sys.IOSQE_IO_LINK)
        },
        (sqe) => {
          op.prepRead(sqe, 0, memory.address, 64, 0)
          // A short read would break an ordinary link.
          sqe.addFlags(sys.IOSQE_FIXED_FILE | sys.IOSQE_IO_HARDLINK)
        },
        (sqe) => op.prepCloseDirect(sqe, 0),
      )
      .map((id) => rig.wait(id).res)
  assert.deepEqual(chain(path), [0, 5, 0])
  assert.equal(memory.text(5), 'chain')
  assert.deepEqual(chain(none), [-sys.ENOENT, -sys.ECANCELED, -sys.ECANCELED])
  rig.ring.unregisterFiles()
})

// ---------------------------------------------------------------- paths

opTest('STATX', 'a path, and an fd with an empty path', (rig) => {
  const path = join(tempDir(rig.t), 'file')
  writeFileSync(path, 'twelve bytes')
  const memory = rig.memory(sys.STATX_BYTES)
  const mask = sys.STATX_BASIC_STATS
  assert.equal(
    rig.must((sqe) => op.prepStatx(sqe, sys.AT_FDCWD, rig.path(path), 0, mask, memory.address)),
    0,
  )
  const view = new DataView(memory.bytes.buffer)
  const expected = statSync(path)
  assert.equal(view.getUint32(0, true) & mask, mask)
  assert.equal(view.getUint16(28, true), expected.mode)
  assert.equal(Number(view.getBigUint64(32, true)), expected.ino)
  assert.equal(Number(view.getBigUint64(40, true)), 12)
  memory.bytes.fill(0)
  const fd = rig.owned(openSync(path, 'r'))
  rig.must((sqe) => op.prepStatx(sqe, fd, rig.path(''), sys.AT_EMPTY_PATH, mask, memory.address))
  assert.equal(Number(view.getBigUint64(40, true)), 12)
  const none = rig.path(`${path}.none`)
  rig.fails(sys.ENOENT, (sqe) => op.prepStatx(sqe, sys.AT_FDCWD, none, 0, mask, memory.address))
  rig.fails(sys.EBADF, (sqe) => {
    op.prepStatx(sqe, 0, none, 0, mask, memory.address)
    op.sqeSetFixedFile(sqe)
  })
})

opTest('MKDIRAT, RENAMEAT, UNLINKAT', 'a directory is made, renamed, removed', (rig) => {
  const dir = tempDir(rig.t)
  const dfd = rig.owned(openSync(dir, 'r'))
  const [one, two] = [rig.path('one'), rig.path('two')]
  rig.must((sqe) => op.prepMkdirat(sqe, dfd, one, 0o750))
  assert.equal(statSync(join(dir, 'one')).mode & 0o777, 0o750 & ~process.umask())
  rig.fails(sys.EEXIST, (sqe) => op.prepMkdirat(sqe, dfd, one, 0o750))
  rig.must((sqe) => op.prepRenameat(sqe, dfd, one, dfd, two, 0))
  assert.deepEqual([existsSync(join(dir, 'one')), existsSync(join(dir, 'two'))], [false, true])
  rig.fails(sys.ENOENT, (sqe) => op.prepRenameat(sqe, dfd, one, dfd, two, 0))
  rig.must((sqe) => op.prepMkdirat(sqe, dfd, one, 0o700))
  rig.fails(sys.EEXIST, (sqe) => op.prepRenameat(sqe, dfd, one, dfd, two, sys.RENAME_NOREPLACE))
  rig.fails(sys.EISDIR, (sqe) => op.prepUnlinkat(sqe, dfd, two, 0))
  rig.must((sqe) => op.prepUnlinkat(sqe, dfd, two, sys.AT_REMOVEDIR))
  rig.must((sqe) => op.prepUnlink(sqe, rig.path(join(dir, 'one')), sys.AT_REMOVEDIR))
  rig.fails(sys.ENOENT, (sqe) => op.prepUnlinkat(sqe, dfd, two, sys.AT_REMOVEDIR))
})

opTest('MKDIRAT, RENAMEAT, UNLINKAT', 'between two directories, and from the working directory', (rig) => {
  const dir = tempDir(rig.t)
  const at = (name: string): string => join(dir, name)
  rig.must((sqe) => op.prepMkdir(sqe, rig.path(at('sub')), 0o700))
  const [dfd, sub] = [rig.owned(openSync(dir, 'r')), rig.owned(openSync(at('sub'), 'r'))]
  writeFileSync(at('file'), 'moved')
  rig.must((sqe) => op.prepRenameat(sqe, dfd, rig.path('file'), sub, rig.path('gone'), 0))
  assert.equal(readFileSync(at('sub/gone'), 'utf8'), 'moved')
  rig.must((sqe) => op.prepRename(sqe, rig.path(at('sub/gone')), rig.path(at('back'))))
  assert.equal(readFileSync(at('back'), 'utf8'), 'moved')
  rig.must((sqe) => op.prepUnlinkat(sqe, dfd, rig.path('back'), 0))
  assert.equal(existsSync(at('back')), false)
  rig.fails(sys.ENOTDIR, (sqe) => op.prepUnlinkat(sqe, pipe(rig.t).reader.fd, rig.path('x'), 0))
})

matrixTest('file')
