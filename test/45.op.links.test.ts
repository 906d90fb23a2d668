// Which failures break a chain: the rows of the table say, and the kernel is asked.
// Flow: this → Uring.chain → kernel, compared with src/op/table.ts.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import type { FixedFile, Uring } from 'ringcore'
import { opByName, opTable } from 'ringcore/ring'
import { AF_INET, EPOLL_CTL_ADD, POSIX_FADV_NORMAL, RWF_NOWAIT, SHUT_RD, SOCK_STREAM } from 'ringcore/sys'
import { pipe, tempDir } from './helpers.js'
import { opTest } from './uring-ops.js'

type Begin = (ring: Uring) => Promise<unknown>

interface Material {
  /** A file that was opened for reading, the reading end of a pipe, an empty place of the table. */
  fd: number
  pipe: number
  place: FixedFile
  /** A path in a directory that does not exist, and the path of the file. */
  none: string
  file: string
  pages: Uint8Array
}

const buffer = Buffer.alloc(4)
const NOWAIT = { rwFlags: RWF_NOWAIT }

/** Steps that fail, and break the chain. */
const breaking = ({ fd, pipe, place, none }: Material): Record<string, Begin> => ({
  NOP: (r) => r.nop({ result: -28 }),
  READ: (r) => r.read(pipe, buffer, NOWAIT),
  WRITE: (r) => r.write(fd, buffer),
  READV: (r) => r.readv(pipe, [buffer], NOWAIT),
  WRITEV: (r) => r.writev(fd, [buffer]),
  OPENAT: (r) => r.openat(none),
  OPENAT2: (r) => r.openat2(none, 'r'),
  CLOSE: (r) => r.closeFile(999_999),
  FADVISE: (r) => r.fadvise(pipe, 0, 0, POSIX_FADV_NORMAL),
  SPLICE: (r) => r.splice(fd, 0, fd, 0, 1),
  TEE: (r) => r.tee(fd, fd, 1),
  SHUTDOWN: (r) => r.shutdown(fd, SHUT_RD),
  SOCKET: (r) => r.socket(AF_INET, SOCK_STREAM, 99),
  BIND: (r) => r.bind(fd, { address: '127.0.0.1', port: 1 }),
  LISTEN: (r) => r.listen(fd, 1),
  CONNECT: (r) => r.connect(fd, { address: '127.0.0.1', port: 1 }),
  ACCEPT: (r) => r.accept(fd),
  SEND: (r) => r.send(fd, buffer),
  RECV: (r) => r.recv(fd, buffer),
  SENDMSG: (r) => r.sendmsg(fd, { buffers: [buffer] }),
  RECVMSG: (r) => r.recvmsg(fd, { buffers: [buffer] }),
  SEND_ZC: (r) => r.sendZc(fd, buffer),
  EPOLL_CTL: (r) => r.epollCtl(pipe, EPOLL_CTL_ADD, fd),
  EPOLL_WAIT: (r) => r.epollWait(fd),
  MSG_RING: (r) => r.msgRing(fd, {}),
  PIPE: (r) => r.pipe({ flags: 0x10_0000 }),
  WAITID: (r) => r.waitid({ pid: 1 }),
  URING_CMD: (r) => r.uringCmd(fd, 1),
  FIXED_FD_INSTALL: (r) => r.fixedFdInstall(place),
})

/** Steps that fail, and do not. */
const lasting = ({ fd, pipe, none, file, pages }: Material): Record<string, Begin> => ({
  FSYNC: (r) => r.fsync(pipe),
  SYNC_FILE_RANGE: (r) => r.syncFileRange(pipe, 0, 1, 2),
  FALLOCATE: (r) => r.fallocate(fd, 0, 0, 1),
  FTRUNCATE: (r) => r.ftruncate(fd, 0),
  MADVISE: (r) => r.madvise(pages, 9999),
  STATX: (r) => r.statx(none),
  RENAMEAT: (r) => r.renameat(none, file),
  UNLINKAT: (r) => r.unlinkat(none),
  MKDIRAT: (r) => r.mkdirat(none),
  SYMLINKAT: (r) => r.symlinkat('x', none),
  LINKAT: (r) => r.linkat(none, none),
  SETXATTR: (r) => r.setxattr(none, 'user.a', 'x'),
  FSETXATTR: (r) => r.fsetxattr(fd, 'bad', 'x'),
  GETXATTR: (r) => r.getxattr(none, 'user.a'),
  FGETXATTR: (r) => r.fgetxattr(fd, 'bad'),
})

opTest('NOP', 'after each kind of failing step', async (t, ring) => {
  const dir = tempDir(t)
  const none = join(dir, 'none', 'none')
  const file = join(dir, 'file')
  fs.writeFileSync(file, 'read only')
  const fd = await ring.openat(file)
  const { reader } = pipe(t)
  const pages = ring.alloc(4096)
  const material = { fd, pipe: reader.fd, place: ring.fixedFile(), none, file, pages }
  const fails = { ...breaking(material), ...lasting(material) }
  const probe = ring.ring.registerProbe()
  const repaired: string[] = []
  for (const [name, begin] of Object.entries(fails)) {
    const row = opByName(name)!
    if (!probe.supported(row.code)) continue
    // Not by chain(), which refuses a step behind one that breaks nothing.
    let steps: Promise<unknown>[] = []
    const begun = ring.engine.link(2, () => {
      steps = [begin(ring), ring.nop()]
      return true
    })
    assert.ok(begun, name)
    const [first, next] = await Promise.allSettled(steps)
    assert.equal(first!.status, 'rejected', `${name} did not fail`)
    const broke = next!.status === 'rejected' && next!.reason.code === 'ECANCELED'
    if (row.linkBreaks !== 'nothing') assert.ok(broke, `${name} should break the chain`)
    else if (broke) repaired.push(name)
  }
  // A kernel that breaks the chain after more than the table says is no fault of ours.
  if (repaired.length > 0) t.diagnostic(`this kernel also breaks the chain after ${repaired.join(', ')}`)
  const rows = opTable.filter(({ linkBreaks }) => linkBreaks === 'nothing').map(({ name }) => name)
  assert.deepEqual(Object.keys(lasting(material)).sort(), rows.sort())
  ring.free(pages)
  await ring.closeFile(fd)
})
