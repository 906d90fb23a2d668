// Structs over bytes, socket addresses, statx and times: there and back, compared with Node and with the kernel.

import assert from 'node:assert/strict'
import { mkdirSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { createServer, isIP, SocketAddress } from 'node:net'
import { join } from 'node:path'
import test from 'node:test'
import { inspect } from 'node:util'
import * as sys from 'ringcore/sys'
import { OwnedFd, oracle, tempDir } from './helpers.js'

test('a struct reads and writes the memory it was given', () => {
  const memory = new Uint8Array(256)
  const params = new sys.io_uring_params(memory, 8)
  params.flags = 0xffffffff
  params.sq_off.array = 0x01020304
  params.cq_off.user_addr = 0x8877665544332211n
  assert.deepEqual([...memory.subarray(16, 20)], [255, 255, 255, 255])
  assert.deepEqual([...memory.subarray(8 + 40 + 24, 8 + 40 + 28)], [4, 3, 2, 1])
  assert.deepEqual([...memory.subarray(8 + 112, 8 + 120)], [0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88])
  assert.equal(params.flags, 0xffffffff)
  assert.equal(new sys.io_uring_params(memory.subarray(8)).sq_off.array, 0x01020304)
  assert.equal(new sys.io_uring_params(memory.buffer, 8).sq_off.array, 0x01020304)
  assert.equal(memory.filter((byte) => byte !== 0).length, 16)
})

test('every scalar field of every struct keeps its largest value and touches no other byte', () => {
  for (const [name, Type] of Object.entries({ ...sys })) {
    if (typeof Type !== 'function' || !('sizeof' in Type)) continue
    for (const [field, { offset, size, inner }] of Object.entries(Type.fields)) {
      const it = new Type() as unknown as sys.StructBase & Record<string, unknown>
      if (inner !== undefined || typeof it[field] === 'object') continue
      const isBig = typeof it[field] === 'bigint'
      it[field] = isBig ? -1n : -1
      for (const [i, byte] of it.bytes.entries()) {
        assert.equal(byte, i >= offset && i < offset + size ? 255 : 0, `${name}.${field} at byte ${i}`)
      }
      if (!isBig) continue
      it.setNumber(field, Number.MAX_SAFE_INTEGER)
      assert.equal(it.getNumber(field), Number.MAX_SAFE_INTEGER)
      assert.equal(it[field], BigInt(Number.MAX_SAFE_INTEGER))
      it.setNumber(field, -1)
      assert.equal(BigInt.asUintN(64, it[field] as bigint), 2n ** 64n - 1n)
    }
  }
})

test('structs end where their memory ends', () => {
  assert.throws(() => new sys.io_uring_sqe(new Uint8Array(63)), { code: 'ERR_OUT_OF_RANGE' })
  assert.throws(() => new sys.io_uring_sqe(new Uint8Array(64), 1), { code: 'ERR_OUT_OF_RANGE' })
  assert.throws(() => new sys.io_uring_probe(15), { code: 'ERR_OUT_OF_RANGE' })
  assert.equal(new sys.io_uring_params(new Uint8Array(500)).bytes.length, 120)
  // A struct that an array follows is as long as it is told to be.
  assert.equal(new sys.io_uring_probe(16 + 8 * 65).ops.length, 65)
  assert.equal(new sys.io_uring_sqe(128).cmd.length, 80)
  const two = new Uint8Array(256)
  assert.equal(new sys.io_uring_sqe(two, 128, 128).cmd.byteOffset, 128 + 48)
  assert.throws(() => new sys.io_uring_sqe(two, 192, 128), { code: 'ERR_OUT_OF_RANGE' })
  // Without a word about it, the neighbours in an array are not touched.
  assert.equal(new sys.io_uring_sqe(two, 64).bytes.length, 64)
  assert.equal(new sys.io_uring_sqe(two, 64).cmd.length, 16)
  assert.equal(new sys.io_uring_cqe(32).big_cqe.length, 2)
  assert.equal(new sys.io_uring_cqe().big_cqe.length, 0)
})

test('structs print their fields', () => {
  const time = new sys.__kernel_timespec()
  time.tv_sec = 3n
  assert.equal(inspect(time), '__kernel_timespec { tv_sec: 3n, tv_nsec: 0n }')
})

test('struct members: nested ones are views, assigning copies', () => {
  const wait = new sys.io_uring_reg_wait()
  const time = new sys.__kernel_timespec()
  time.tv_sec = 7n
  wait.ts = time
  time.tv_sec = 8n
  assert.equal(wait.ts.tv_sec, 7n)
  wait.ts.tv_nsec = 9n
  assert.equal(wait.bytes[8], 9)
})

test('IPv4 and IPv6 addresses: the text is the one Node shows', () => {
  const addresses = [
    ...['0.0.0.0', '127.0.0.1', '255.255.255.255', '1.2.3.4'],
    ...[
      '::',
      '::1',
      '1::',
      '2001:db8::1',
      '2001:DB8:0:0:1:0:0:1',
      '1:2:3:4:5:6:7:8',
      '0:0:1::',
      '::2:0:0:3',
      '1:0:0:2::3',
    ],
    ...[
      '::ffff:1.2.3.4',
      '::1.2.3.4',
      '::ffff:0:1.2.3.4',
      '64:ff9b::1.2.3.4',
      '::ffff',
      '1:2:3:4:5:6:7::',
      '::2:3:4:5:6:7:8',
    ],
    ...['fe80::1', '0:0:0:0:0:0:0:0', '1:0:2:0:3:0:4:0', 'ff02::fb'],
  ]
  for (const address of addresses) {
    const family = isIP(address) === 4 ? 'ipv4' : 'ipv6'
    const node = new SocketAddress({ address, family, port: 443 })
    const bytes = sys.encodeSockaddr({ address, port: 443 })
    assert.equal(bytes.length, family === 'ipv4' ? 16 : 28)
    const decoded = sys.decodeSockaddr(bytes)
    assert.ok(decoded !== undefined && 'address' in decoded)
    assert.deepEqual([decoded.family, decoded.address, decoded.port], [family, node.address, 443], address)
    assert.deepEqual(sys.encodeSockaddr(decoded), bytes)
  }
  const bytes = sys.encodeSockaddr({ address: '1.2.3.4', port: 0x1234 })
  assert.deepEqual([...bytes], [2, 0, 0x12, 0x34, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0])
})

test('IPv6 scopes: by name, by number, as a field', () => {
  const byName = sys.encodeSockaddr({ address: 'fe80::1%lo', port: 1 })
  const byNumber = sys.encodeSockaddr({ address: 'fe80::1%1', port: 1 })
  const byField = sys.encodeSockaddr({ address: 'fe80::1', port: 1, scopeId: 1, flowlabel: 0x12345 })
  assert.equal(new sys.sockaddr_in6(byName).sin6_scope_id, 1)
  assert.deepEqual(byNumber, byName)
  assert.equal(new sys.sockaddr_in6(byField).sin6_flowinfo, 0x12345)
  assert.deepEqual(sys.decodeSockaddr(byField), {
    family: 'ipv6',
    address: 'fe80::1%lo',
    port: 1,
    flowlabel: 0x12345,
    scopeId: 1,
  })
  // An interface that is gone keeps its number.
  const gone = sys.decodeSockaddr(sys.encodeSockaddr({ address: 'fe80::1', port: 1, scopeId: 999999 }))
  assert.ok(gone !== undefined && 'address' in gone)
  assert.equal(gone.address, 'fe80::1%999999')
})

test('Unix addresses: paths, abstract names, none', () => {
  const path = sys.encodeSockaddr({ path: '/tmp/ä.sock' })
  assert.equal(path.length, 2 + 12 + 1)
  assert.deepEqual(sys.decodeSockaddr(path), { family: 'unix', path: '/tmp/ä.sock' })
  // The kernel's answer may be as long as its buffer.
  const long = new Uint8Array(110)
  long.set(path)
  assert.deepEqual(sys.decodeSockaddr(long), { family: 'unix', path: '/tmp/ä.sock' })
  const abstract = sys.encodeSockaddr({ path: '\0name\0x' })
  assert.equal(abstract.length, 2 + 7)
  assert.deepEqual(sys.decodeSockaddr(abstract), { family: 'unix', path: '\0name\0x' })
  assert.deepEqual(sys.decodeSockaddr(sys.encodeSockaddr({ path: '' })), { family: 'unix', path: '' })
  assert.equal(sys.encodeSockaddr({ path: 'x'.repeat(107) }).length, 110)
  assert.equal(sys.encodeSockaddr({ path: `\0${'x'.repeat(107)}` }).length, 110)
})

test('addresses that are none are refused or unknown', () => {
  const bad = (code: string, address: unknown): void =>
    void assert.throws(() => sys.encodeSockaddr(address as sys.SocketAddress), { code }, inspect(address))
  bad('ERR_INVALID_ARG_TYPE', null)
  bad('ERR_INVALID_ARG_TYPE', { port: 1 })
  bad('ERR_INVALID_ARG_TYPE', { address: '1.2.3.4' })
  bad('ERR_INVALID_ARG_TYPE', { path: 1 })
  bad('ERR_INVALID_ARG_VALUE', { address: 'localhost', port: 1 })
  bad('ERR_INVALID_ARG_VALUE', { address: '1.2.3.4', family: 'ipv6', port: 1 })
  bad('ERR_INVALID_ARG_VALUE', { address: 'fe80::1%nosuchif0', port: 1 })
  bad('ERR_INVALID_ARG_VALUE', { address: 'fe80::1%../../x', port: 1 })
  bad('ERR_INVALID_ARG_VALUE', { path: 'a\0b' })
  bad('ERR_INVALID_ARG_VALUE', { path: 'x'.repeat(108) })
  bad('ERR_OUT_OF_RANGE', { address: '::1', port: 65536 })
  bad('ERR_OUT_OF_RANGE', { address: '::1', port: 1.5 })
  bad('ERR_OUT_OF_RANGE', { address: '::1', port: 1, scopeId: -1 })
  assert.equal(sys.decodeSockaddr(new Uint8Array(0)), undefined)
  assert.equal(sys.decodeSockaddr(Uint8Array.of(2, 0, 1)), undefined)
  assert.equal(sys.decodeSockaddr(new Uint8Array(128)), undefined)
  assert.equal(sys.decodeSockaddr(sys.encodeSockaddr({ address: '::1', port: 1 }), 16), undefined)
})

test('the kernel takes our addresses and gives back the same', (t) => {
  oracle(t)
  const nr = sys.syscallNumbers()
  for (const address of [
    { family: 'ipv4', address: '127.0.0.1', port: 0 } as const,
    { family: 'ipv6', address: '::1', port: 0 } as const,
    { family: 'unix', path: join(tempDir(t), 'socket') } as const,
    { family: 'unix', path: `\0ringcore-test-${process.pid}` } as const,
  ]) {
    const domain = { ipv4: sys.AF_INET, ipv6: sys.AF_INET6, unix: sys.AF_UNIX }[address.family]
    const fd = sys.syscall(nr.socket, domain, sys.SOCK_STREAM | sys.SOCK_CLOEXEC, 0)
    if (fd === -sys.EAFNOSUPPORT) continue
    assert.ok(fd >= 0)
    new OwnedFd(t, fd)
    const bytes = sys.encodeSockaddr(address)
    const bound = sys.syscall(nr.bind, fd, sys.addressOf(bytes), bytes.length)
    if (bound === -sys.EADDRNOTAVAIL) continue
    assert.equal(bound, 0)
    const name = new Uint8Array(sys.SOCKADDR_BYTES)
    const length = Uint32Array.of(name.length)
    assert.equal(sys.syscall(nr.getsockname, fd, sys.addressOf(name), sys.addressOf(length)), 0)
    const found = sys.decodeSockaddr(name, length[0])
    if ('path' in address) assert.deepEqual(found, address)
    else assert.ok(found && 'port' in found && found.address === address.address && found.port > 0)
  }
})

test('statx: the same numbers as node:fs, for files of every kind', async (t) => {
  oracle(t)
  const dir = tempDir(t)
  const file = join(dir, 'file')
  writeFileSync(file, 'hello')
  utimesSync(file, 1.25, -1000.5)
  mkdirSync(join(dir, 'dir'))
  symlinkSync(file, join(dir, 'link'))
  const server = createServer().listen(join(dir, 'socket'))
  t.after(() => new Promise((resolve) => server.close(resolve)))
  await new Promise((resolve) => server.once('listening', resolve))

  for (const path of [
    file,
    join(dir, 'dir'),
    join(dir, 'link'),
    join(dir, 'socket'),
    '/dev/null',
    '/proc/self/stat',
  ]) {
    const out = new Uint8Array(sys.STATX_BYTES)
    const name = Buffer.from(`${path}\0`)
    const mask = sys.STATX_BASIC_STATS | sys.STATX_BTIME
    const nr = sys.syscallNumber('statx')
    assert.equal(sys.syscall(nr, sys.AT_FDCWD, sys.addressOf(name), 0, mask, sys.addressOf(out)), 0)
    const ours = sys.decodeStatx(out)
    const oursBig = sys.decodeStatxBigInt(out)
    const node = statSync(path)
    const nodeBig = statSync(path, { bigint: true })
    const numbers = [
      ...(['dev', 'ino', 'mode', 'nlink', 'uid', 'gid', 'rdev', 'size', 'blksize', 'blocks'] as const),
      ...(['atimeMs', 'mtimeMs', 'ctimeMs', 'birthtimeMs'] as const),
    ]
    for (const field of numbers) {
      // /proc makes new inodes and times as it goes.
      if (path.startsWith('/proc') && /ino|Ms/.test(field)) continue
      assert.equal(ours[field], node[field], `${path} ${field}`)
      assert.equal(oursBig[field], nodeBig[field], `${path} ${field} in BigInt`)
    }
    if (path.startsWith('/proc')) continue
    for (const field of ['atimeNs', 'mtimeNs', 'ctimeNs', 'birthtimeNs'] as const) {
      assert.equal(oursBig[field], nodeBig[field], `${path} ${field}`)
    }
    assert.equal(
      BigInt(ours.mtimeNsec),
      BigInt.asUintN(64, ((nodeBig.mtimeNs % 10n ** 9n) + 10n ** 9n) % 10n ** 9n),
    )
    assert.equal(ours.mask & sys.STATX_BASIC_STATS, sys.STATX_BASIC_STATS)
  }
})

test('statx: large numbers, and where the record begins', () => {
  const bytes = new Uint8Array(512)
  const record = new sys.statx(bytes, 128)
  record.stx_size = 2n ** 60n
  record.stx_ino = 2n ** 40n + 1n
  record.stx_rdev_major = 0x12345
  record.stx_rdev_minor = 0x6789a
  record.stx_mtime.tv_sec = -1n
  record.stx_mtime.tv_nsec = 500_000_000
  record.stx_dio_mem_align = 4
  record.stx_dio_offset_align = 4096
  // Newer than the struct: stx_atomic_write_unit_min, _max, _segments_max, stx_dio_read_offset_align.
  new Uint32Array(bytes.buffer, 128 + 168, 4).set([8192, 65536, 3, 512])
  const numbers = sys.decodeStatx(bytes, 128)
  assert.deepEqual([numbers.size, numbers.ino, numbers.mtimeMs], [2 ** 60, 2 ** 40 + 1, -500])
  assert.deepEqual([numbers.dioMemAlign, numbers.dioOffsetAlign, numbers.dioReadOffsetAlign], [4, 4096, 512])
  const { atomicWriteUnitMin, atomicWriteUnitMax, atomicWriteSegmentsMax } = numbers
  assert.deepEqual([atomicWriteUnitMin, atomicWriteUnitMax, atomicWriteSegmentsMax], [8192, 65536, 3])
  // makedev(3): bits of both are interleaved.
  const rdev = (0x12000n << 32n) | (0x345n << 8n) | 0x9an | (0x67800n << 12n)
  assert.equal(BigInt(numbers.rdev), rdev)
  const big = sys.decodeStatxBigInt(bytes, 128)
  assert.deepEqual([big.size, big.rdev, big.mtimeNs], [2n ** 60n, rdev, -500_000_000n])
})

test('times: milliseconds and nanoseconds become seconds and nanoseconds', () => {
  const words = new Int32Array(5)
  const written = (): [bigint, bigint] => {
    const time = new sys.__kernel_timespec(words.subarray(1))
    return [time.tv_sec, time.tv_nsec]
  }
  const ms: [number, bigint, bigint][] = [
    [0, 0n, 0n],
    [1, 0n, 1_000_000n],
    [1500, 1n, 500_000_000n],
    [1.001, 0n, 1_001_000n],
    [0.000001, 0n, 1n],
    [999.9999999999, 0n, 999_999_999n],
    [2 ** 45, 35184372088n, 832_000_000n],
    [Number.MAX_SAFE_INTEGER, 9007199254740n, 991_000_000n],
  ]
  for (const [value, seconds, ns] of ms) {
    sys.writeTimespecMs(words, 1, value)
    assert.deepEqual(written(), [seconds, ns], `${value} ms`)
  }
  sys.writeTimespecNs(words, 1, 3_000_000_001)
  assert.deepEqual(written(), [3n, 1n])
  sys.writeTimespecNs(words, 1, 2n ** 63n - 1n)
  assert.deepEqual(written(), [9223372036n, 854_775_807n])
  for (const bad of [-1, Number.NaN, Number.POSITIVE_INFINITY]) {
    assert.throws(() => sys.writeTimespecMs(words, 1, bad), { code: 'ERR_OUT_OF_RANGE' })
    assert.throws(() => sys.writeTimespecNs(words, 1, bad), { code: 'ERR_OUT_OF_RANGE' })
  }
  assert.throws(() => sys.writeTimespecNs(words, 1, -1n), { code: 'ERR_OUT_OF_RANGE' })
})
