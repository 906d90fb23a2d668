// Requests about a file's space and cache, about its other names, and about what is noted beside it, against the kernel.
// Flow: this → op-helpers.ts → ringcore/ring. man io_uring_enter(2)

import assert from 'node:assert/strict'
import {
  fstatSync,
  openSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import * as op from 'ringcore/ring'
import * as sys from 'ringcore/sys'
import { pipe, tempDir } from './helpers.js'
import { opTest, type Rig } from './op-helpers.js'
import { matrixTest } from './op-matrix.js'

/** A file with content, its path and an fd. */
function file(rig: Rig, content: string, flags = 'r+'): { fd: number; path: string; dir: string } {
  const dir = tempDir(rig.t)
  const path = join(dir, 'file')
  writeFileSync(path, content)
  return { fd: rig.owned(openSync(path, flags)), path, dir }
}

// ---------------------------------------------------------------- space and cache

opTest('FALLOCATE', 'room is made, kept out of the size, punched out again', (rig) => {
  const { fd } = file(rig, 'x'.repeat(8192))
  rig.must((sqe) => op.prepFallocate(sqe, fd, 0, 0, 100_000))
  assert.equal(fstatSync(fd).size, 100_000)
  rig.must((sqe) => op.prepFallocate(sqe, fd, sys.FALLOC_FL_KEEP_SIZE, 0, 200_000))
  assert.equal(fstatSync(fd).size, 100_000)
  const punch = sys.FALLOC_FL_PUNCH_HOLE | sys.FALLOC_FL_KEEP_SIZE
  const punched = rig.run((sqe) => op.prepFallocate(sqe, fd, punch, 4096, 4096))
  if (punched === -sys.EOPNOTSUPP) rig.t.diagnostic('this file system punches no holes')
  else {
    assert.equal(punched, 0)
    const content = readFileSync(`/proc/self/fd/${fd}`)
    assert.deepEqual([content[4095], content[4096], content[8191]], [120, 0, 0])
  }
  rig.fails(sys.EINVAL, (sqe) => op.prepFallocate(sqe, fd, 0, 0, 0))
  rig.fails(sys.EBADF, (sqe) => op.prepFallocate(sqe, file(rig, 'x', 'r').fd, 0, 0, 1))
  rig.fails(sys.ESPIPE, (sqe) => op.prepFallocate(sqe, pipe(rig.t).writer.fd, 0, 0, 1))
})

opTest('FTRUNCATE', 'shorter, longer, beyond 4 GiB', (rig) => {
  const { fd, path } = file(rig, '0123456789')
  for (const size of [4, 100, 2 ** 33 + 5]) {
    assert.equal(
      rig.run((sqe) => op.prepFtruncate(sqe, fd, size)),
      0,
    )
    assert.equal(statSync(path).size, size)
  }
  rig.must((sqe) => op.prepFtruncate(sqe, fd, 8))
  assert.equal(readFileSync(path, 'latin1'), '0123\0\0\0\0')
  rig.fails(sys.EINVAL, (sqe) => op.prepFtruncate(sqe, fd, -1))
  rig.fails(sys.EINVAL, (sqe) => op.prepFtruncate(sqe, pipe(rig.t).writer.fd, 0))
  rig.fails(sys.EBADF, (sqe) => op.prepFtruncate(sqe, 9999, 0))
})

opTest('SYNC_FILE_RANGE', 'of a file; not of a pipe, and not with flags that are none', (rig) => {
  const { fd } = file(rig, 'x'.repeat(10_000))
  // All three steps: wait before, write, wait after.
  rig.must((sqe) => op.prepSyncFileRange(sqe, fd, 4096, 4096, 7))
  rig.must((sqe) => op.prepSyncFileRange(sqe, fd, 0, 0, 2))
  rig.fails(sys.EINVAL, (sqe) => op.prepSyncFileRange(sqe, fd, 1, 0, 0x8000))
  rig.fails(sys.ESPIPE, (sqe) => op.prepSyncFileRange(sqe, pipe(rig.t).writer.fd, 1, 0, 2))
})

opTest('FADVISE, MADVISE', 'advice is taken, or refused when it is none', (rig) => {
  const { fd } = file(rig, 'x'.repeat(10_000))
  rig.must((sqe) => op.prepFadvise(sqe, fd, 0, 0, sys.POSIX_FADV_SEQUENTIAL))
  rig.must((sqe) => op.prepFadvise64(sqe, fd, 4096, 2 ** 33, sys.POSIX_FADV_DONTNEED))
  rig.fails(sys.EINVAL, (sqe) => op.prepFadvise(sqe, fd, 0, 0, 99))
  rig.fails(sys.ESPIPE, (sqe) => op.prepFadvise(sqe, pipe(rig.t).reader.fd, 0, 0, 0))
  const { driver } = rig.ring
  const pages = new Uint8Array(driver.map(-1, 8192, 0) as ArrayBuffer)
  pages.fill(7)
  const second = driver.addressOf(pages) + 4096
  rig.must((sqe) => op.prepMadvise(sqe, second, 4096, sys.MADV_DONTNEED))
  assert.deepEqual([pages[4095], pages[4096], pages[8191]], [7, 0, 0])
  rig.must((sqe) => op.prepMadvise64(sqe, second, 4096, sys.MADV_WILLNEED))
  rig.fails(sys.EINVAL, (sqe) => op.prepMadvise(sqe, second, 4096, 9999))
  rig.fails(sys.EINVAL, (sqe) => op.prepMadvise(sqe, second + 1, 4096, sys.MADV_NORMAL))
})

// ---------------------------------------------------------------- other names

opTest('SYMLINKAT, LINKAT', 'a file gets names', (rig) => {
  const { dir, path } = file(rig, 'named')
  const dfd = rig.owned(openSync(dir, 'r'))
  const names = (name: string): number => rig.path(name)
  rig.must((sqe) => op.prepSymlinkat(sqe, names('no/where'), dfd, names('broken')))
  assert.equal(readlinkSync(join(dir, 'broken')), 'no/where')
  rig.must((sqe) => op.prepSymlink(sqe, names(path), names(join(dir, 'sym'))))
  assert.equal(readFileSync(join(dir, 'sym'), 'utf8'), 'named')
  rig.fails(sys.EEXIST, (sqe) => op.prepSymlinkat(sqe, names('x'), dfd, names('broken')))
  rig.fails(sys.ENOENT, (sqe) => op.prepSymlink(sqe, names('x'), names(join(dir, 'none', 'x'))))

  rig.must((sqe) => op.prepLinkat(sqe, dfd, names('file'), dfd, names('second'), 0))
  assert.equal(statSync(path).nlink, 2)
  // The link itself, and what it points to.
  rig.must((sqe) => op.prepLinkat(sqe, dfd, names('sym'), dfd, names('third'), 0))
  assert.equal(readlinkSync(join(dir, 'third')), path)
  const follow = sys.AT_SYMLINK_FOLLOW
  rig.must((sqe) => op.prepLinkat(sqe, dfd, names('sym'), dfd, names('fourth'), follow))
  rig.must((sqe) => op.prepLink(sqe, names(path), names(join(dir, 'fifth')), 0))
  assert.equal(statSync(path).nlink, 4)
  rig.fails(sys.EEXIST, (sqe) => op.prepLinkat(sqe, dfd, names('file'), dfd, names('second'), 0))
  rig.fails(sys.EPERM, (sqe) => op.prepLinkat(sqe, sys.AT_FDCWD, names(dir), dfd, names('dir'), 0))
  rig.fails(sys.EINVAL, (sqe) => op.prepLinkat(sqe, dfd, names('file'), dfd, names('x'), 1))
})

// ---------------------------------------------------------------- attributes

opTest('SETXATTR, GETXATTR, FSETXATTR, FGETXATTR', 'what is noted beside a file', (rig) => {
  const { fd, path } = file(rig, '')
  const other = join(tempDir(rig.t), 'link')
  symlinkSync(path, other)
  const at = rig.path(path)
  const [one, two, none] = ['user.one', 'user.two', 'user.none'].map((name) => rig.path(name))
  const value = rig.memory('a value')
  const set = (name: number, flags: number) => (sqe: op.Sqe) =>
    op.prepSetxattr(sqe, name, value.address, at, flags, 7)
  const first = rig.run(set(one!, 0))
  if (first === -sys.EOPNOTSUPP)
    return rig.cannot('no user attributes here', 'SETXATTR', 'GETXATTR', 'FSETXATTR', 'FGETXATTR')
  assert.equal(first, 0)
  const room = rig.memory(16)
  const got = (length: number): string => room.text(length)
  assert.equal(
    rig.run((sqe) => op.prepGetxattr(sqe, one!, room.address, rig.path(other), 16)),
    7,
    'through a link',
  )
  assert.equal(got(7), 'a value')
  rig.must((sqe) => op.prepFsetxattr(sqe, fd, two!, value.address + 2, 0, 5))
  assert.equal(
    rig.run((sqe) => op.prepFgetxattr(sqe, fd, two!, room.address, 16)),
    5,
  )
  assert.equal(got(5), 'value')
  // With no room it says how much it takes; with too little it fails.
  assert.equal(
    rig.run((sqe) => op.prepFgetxattr(sqe, fd, one!, 0, 0)),
    7,
  )
  rig.fails(sys.ERANGE, (sqe) => op.prepGetxattr(sqe, one!, room.address, at, 3))
  rig.fails(sys.ENODATA, (sqe) => op.prepFgetxattr(sqe, fd, none!, room.address, 16))
  rig.fails(sys.EEXIST, set(one!, sys.XATTR_CREATE))
  rig.fails(sys.ENODATA, (sqe) => op.prepFsetxattr(sqe, fd, none!, value.address, sys.XATTR_REPLACE, 7))
  rig.fails(sys.EBADF, (sqe) => op.prepFsetxattr(sqe, 9999, none!, value.address, 0, 7))
  rig.fails(sys.EOPNOTSUPP, (sqe) => op.prepSetxattr(sqe, rig.path('odd'), value.address, at, 0, 7))
})

matrixTest('attributes')
