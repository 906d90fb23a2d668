// Requests that only a kernel worker can run are cancelled while they wait for one: the workers are few, and all asleep.
// Flow: this → op-helpers.ts → ringcore/ring. man io_uring_prep_cancel(3), io_uring_register_iowq_max_workers(3)

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { closeSync, constants, existsSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as op from 'ringcore/ring'
import * as sys from 'ringcore/sys'
import { pipe, tempDir } from './helpers.js'
import { call, opTest, type Rig, type Write } from './op-helpers.js'
import { matrixTest } from './op-matrix.js'

/** How many threads of this process are kernel workers of rings. */
function workers(): number {
  return readdirSync('/proc/self/task').filter((tid) => {
    try {
      return readFileSync(`/proc/self/task/${tid}/comm`, 'utf8').startsWith('iou-wrk')
    } catch {
      return false
    }
  }).length
}

/**
 * Lets every worker sleep, until what comes back is called.
 *
 * There are two kinds, for requests that end in bounded time and for the others. Both may have one worker from now on, but
 * those of earlier requests are still there for a while: each gets its sleep, too.
 */
function busyWorkers(rig: Rig, dir: string): () => void {
  const before = rig.ring.registerIowqMaxWorkers(1, 1)
  const fifo = join(dir, 'fifo')
  assert.equal(spawnSync('mkfifo', [fifo]).status, 0)
  const path = rig.path(fifo)
  const [from, to] = [pipe(rig.t), pipe(rig.t)]
  const open: Write = (sqe) => op.prepOpenat(sqe, sys.AT_FDCWD, path, sys.O_CLOEXEC, 0)
  const move: Write = (sqe) => op.prepSplice(sqe, from.reader.fd, -1, to.writer.fd, -1, 1, 0)
  const ids: number[] = []
  for (let i = 0; i <= workers(); i++)
    for (const write of [open, move])
      ids.push(
        rig.start((sqe) => {
          write(sqe)
          sqe.addFlags(sys.IOSQE_ASYNC)
        }),
      )
  return () => {
    // Those that never came to run are cancelled, those that sleep are woken.
    for (const id of ids) rig.cancel(id)
    for (const id of ids) rig.wait(id)
    rig.ring.registerIowqMaxWorkers(...before)
  }
}

/** Requests that would all succeed. */
function requests(rig: Rig, dir: string): Record<string, Write> {
  const names = (name: string): number => rig.path(join(dir, name))
  writeFileSync(join(dir, 'file'), 'content')
  const fd = rig.owned(openSync(join(dir, 'file'), 'r+'))
  const gift = openSync('/dev/null', 'r')
  rig.t.after(() => closeSync(gift))
  const epfd = rig.owned(call('epoll_create1', sys.O_CLOEXEC))
  const { reader, writer } = pipe(rig.t)
  const [room, event, how] = [rig.memory(512), rig.memory(16), rig.memory(24)]
  const [user, page] = [rig.path('user.a'), new Uint8Array(rig.ring.driver.map(-1, 4096, 0) as ArrayBuffer)]
  const target = rig.ring.fd
  return {
    FSYNC: (sqe) => op.prepFsync(sqe, fd, 0),
    SYNC_FILE_RANGE: (sqe) => op.prepSyncFileRange(sqe, fd, 0, 0, 2),
    FALLOCATE: (sqe) => op.prepFallocate(sqe, fd, 0, 0, 100),
    OPENAT: (sqe) => op.prepOpenat(sqe, sys.AT_FDCWD, names('new'), constants.O_CREAT | sys.O_CLOEXEC, 0o600),
    CLOSE: (sqe) => op.prepClose(sqe, gift),
    STATX: (sqe) => op.prepStatx(sqe, sys.AT_FDCWD, names('file'), 0, 0x7ff, room.address),
    FADVISE: (sqe) => op.prepFadvise(sqe, fd, 0, 0, sys.POSIX_FADV_DONTNEED),
    MADVISE: (sqe) => op.prepMadvise(sqe, rig.ring.driver.addressOf(page), 4096, sys.MADV_DONTNEED),
    OPENAT2: (sqe) => op.prepOpenat2(sqe, sys.AT_FDCWD, names('file'), how.address),
    EPOLL_CTL: (sqe) => op.prepEpollCtl(sqe, epfd, reader.fd, sys.EPOLL_CTL_ADD, event.address),
    SPLICE: (sqe) => op.prepSplice(sqe, fd, 0, writer.fd, -1, 4, 0),
    TEE: (sqe) => op.prepTee(sqe, reader.fd, writer.fd, 4, 0),
    SHUTDOWN: (sqe) => op.prepShutdown(sqe, rig.socket(sys.AF_UNIX), sys.SHUT_RDWR),
    RENAMEAT: (sqe) => op.prepRename(sqe, names('file'), names('moved')),
    UNLINKAT: (sqe) => op.prepUnlink(sqe, names('file'), 0),
    MKDIRAT: (sqe) => op.prepMkdir(sqe, names('made'), 0o700),
    SYMLINKAT: (sqe) => op.prepSymlink(sqe, names('file'), names('sym')),
    LINKAT: (sqe) => op.prepLink(sqe, names('file'), names('linked'), 0),
    MSG_RING: (sqe) => op.prepMsgRing(sqe, target, 1, 1, 0),
    FSETXATTR: (sqe) => op.prepFsetxattr(sqe, fd, user, room.address, 0, 4),
    SETXATTR: (sqe) => op.prepSetxattr(sqe, user, room.address, names('file'), 0, 4),
    FGETXATTR: (sqe) => op.prepFgetxattr(sqe, fd, user, room.address, 4),
    GETXATTR: (sqe) => op.prepGetxattr(sqe, user, room.address, names('file'), 4),
    FTRUNCATE: (sqe) => op.prepFtruncate(sqe, fd, 0),
    URING_CMD: (sqe) => op.prepCmdSock(sqe, 0, rig.socket(sys.AF_UNIX), 0, 0, 0, 0),
  }
}

opTest(
  'ASYNC_CANCEL, OPENAT, SPLICE',
  'each request is cancelled before its turn, and has done nothing',
  (rig) => {
    const dir = tempDir(rig.t)
    const wake = busyWorkers(rig, dir)
    const table = requests(rig, dir)
    const probe = rig.ring.registerProbe()
    for (const [name, write] of Object.entries(table)) {
      if (!probe.supported(op.opByName(name)!.code)) continue
      const id = rig.start((sqe) => {
        write(sqe)
        sqe.addFlags(sys.IOSQE_ASYNC)
      })
      rig.stillWaits(id)
      assert.deepEqual([name, rig.cancel(id), rig.wait(id)], [name, 0, { res: -sys.ECANCELED, flags: 0 }])
    }
    wake()
    assert.equal(readFileSync(join(dir, 'file'), 'utf8'), 'content')
    const others = ['new', 'moved', 'made', 'sym', 'linked'].filter((name) => existsSync(join(dir, name)))
    assert.deepEqual(others, [])
  },
)

matrixTest('queued')
