// Links and extended attributes by Uring, compared with node:fs.
// Flow: this → Uring (operations-link, operations-xattr) → kernel.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import { AT_SYMLINK_FOLLOW, XATTR_CREATE, XATTR_REPLACE } from 'ringcore/sys'
import { tempDir } from './helpers.js'
import { failure } from './uring.js'
import { opTest, refused } from './uring-ops.js'

opTest('SYMLINKAT', "a link says what it was told; errors are Node's", async (t, ring) => {
  const dir = tempDir(t)
  await ring.symlinkat('nowhere/in particular', join(dir, 'a'))
  assert.equal(fs.readlinkSync(join(dir, 'a')), 'nowhere/in particular')
  const dirfd = await ring.openat(dir, fs.constants.O_DIRECTORY)
  await ring.symlinkat(Buffer.from('ü'.repeat(150)), 'b'.repeat(200), { dirfd })
  assert.equal(fs.readlinkSync(join(dir, 'b'.repeat(200))), 'ü'.repeat(150))
  const path = join(dir, 'a')
  const error = await failure(ring.symlinkat('x', path))
  let nodes: NodeJS.ErrnoException = new Error()
  try {
    fs.symlinkSync('x', path)
  } catch (thrown) {
    nodes = thrown as NodeJS.ErrnoException
  }
  assert.equal(error.message, nodes.message)
  assert.deepEqual([error.path, error.dest, error.syscall], ['x', path, 'symlink'])
  await ring.closeFile(dirfd)
  await refused(ring, [
    ['ERR_INVALID_ARG_TYPE', () => ring.symlinkat(1 as never, 'x')],
    ['ERR_INVALID_ARG_TYPE', () => ring.symlinkat('x', undefined as never)],
    ['ERR_INVALID_ARG_VALUE', () => ring.symlinkat('x\0', 'x')],
    ['ERR_INVALID_ARG_VALUE', () => ring.symlinkat('x', 'x\0y')],
    ['ERR_OUT_OF_RANGE', () => ring.symlinkat('x', 'x', { dirfd: -3 })],
  ])
})

opTest('LINKAT', 'a second name for a file, and for what a link points to', async (t, ring) => {
  const dir = tempDir(t)
  const file = join(dir, 'file')
  fs.writeFileSync(file, 'linked')
  await ring.linkat(file, join(dir, 'second'))
  assert.equal(fs.statSync(file).nlink, 2)
  fs.symlinkSync('file', join(dir, 'sym'))
  await ring.linkat(join(dir, 'sym'), join(dir, 'third'), { flags: AT_SYMLINK_FOLLOW })
  assert.equal(fs.statSync(file).nlink, 3)
  const dirfd = await ring.openat(dir, fs.constants.O_DIRECTORY)
  await ring.linkat('file', 'fourth', { dirfd })
  assert.equal(fs.readFileSync(join(dir, 'fourth'), 'utf8'), 'linked')
  const error = await failure(ring.linkat(file, join(dir, 'second')))
  assert.match(error.message, /^EEXIST: file already exists, link '.*file' -> '.*second'$/)
  assert.equal((await failure(ring.linkat(join(dir, 'none'), join(dir, 'x')))).code, 'ENOENT')
  assert.equal((await failure(ring.linkat(dir, join(dir, 'x')))).code, 'EPERM')
  await ring.closeFile(dirfd)
  await refused(ring, [
    ['ERR_INVALID_ARG_TYPE', () => ring.linkat(null as never, 'x')],
    ['ERR_INVALID_ARG_VALUE', () => ring.linkat('x', '\0')],
    ['ERR_OUT_OF_RANGE', () => ring.linkat('x', 'y', { flags: -1 })],
    ['ERR_OUT_OF_RANGE', () => ring.linkat('x', 'y', { toDirfd: 1.5 })],
  ])
})

opTest('GETXATTR, SETXATTR, FGETXATTR, FSETXATTR', 'set, read, replaced', async (t, ring) => {
  const path = join(tempDir(t), 'file')
  fs.writeFileSync(path, '')
  const fd = fs.openSync(path, 'r+')
  t.after(() => fs.closeSync(fd))
  try {
    await ring.setxattr(path, 'user.text', 'ünï')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOTSUP') throw error
    return t.skip('needs a file system with user attributes in the temporary directory')
  }
  assert.equal((await ring.getxattr(path, 'user.text')).toString(), 'ünï')
  assert.equal((await ring.fgetxattr(fd, 'user.text')).toString(), 'ünï')
  // Longer than the first try has room for.
  const long = Buffer.alloc(2000, 'long ')
  const set = ring.fsetxattr(fd, 'user.long', long)
  long.fill('!')
  await set
  assert.deepEqual(await ring.getxattr(path, 'user.long'), Buffer.alloc(2000, 'long '))
  assert.deepEqual(await ring.fgetxattr(fd, 'user.long'), Buffer.alloc(2000, 'long '))
  await ring.setxattr(path, 'user.empty', '')
  assert.equal((await ring.getxattr(path, 'user.empty')).length, 0)
  await ring.setxattr(path, 'user.words', new Uint16Array([1, 2]))
  assert.deepEqual([...(await ring.getxattr(path, 'user.words'))], [1, 0, 2, 0])

  const create = { flags: XATTR_CREATE }
  assert.equal((await failure(ring.setxattr(path, 'user.text', 'x', create))).code, 'EEXIST')
  const replace = { flags: XATTR_REPLACE }
  assert.equal((await failure(ring.fsetxattr(fd, 'user.none', 'x', replace))).code, 'ENODATA')
  const none = await failure(ring.getxattr(path, 'user.none'))
  assert.deepEqual([none.code, none.syscall, none.path], ['ENODATA', 'getxattr', path])
  assert.equal((await failure(ring.getxattr(`${path}x`, 'user.text'))).code, 'ENOENT')
  assert.equal((await failure(ring.fgetxattr(999_999, 'user.text'))).code, 'EBADF')
  const file = ring.fixedFile()
  await ring.openat(path, 'r', { slot: file })
  assert.equal((await ring.fgetxattr(file, 'user.text')).toString(), 'ünï')
  await ring.closeFile(file)
  await refused(ring, [
    ['ERR_INVALID_ARG_TYPE', () => ring.getxattr(path, 5 as never)],
    ['ERR_INVALID_ARG_VALUE', () => ring.getxattr(path, 'user.\0')],
    ['ERR_INVALID_ARG_TYPE', () => ring.getxattr({} as never, 'user.a')],
    ['ERR_OUT_OF_RANGE', () => ring.fgetxattr(-1, 'user.a')],
    ['ERR_INVALID_ARG_TYPE', () => ring.setxattr(path, 'user.a', 5 as never)],
    ['ERR_OUT_OF_RANGE', () => ring.setxattr(path, 'user.a', new Uint8Array(70_000))],
    ['ERR_OUT_OF_RANGE', () => ring.setxattr(path, 'user.a', '', { flags: -1 })],
    ['ERR_INVALID_ARG_TYPE', () => ring.fsetxattr('x' as never, 'user.a', '')],
  ])
})
