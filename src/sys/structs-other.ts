// Structs of other system calls that requests point to.
// Flow: ringcore/sys, op → this → struct.ts; sockaddr.ts and statx.ts read the same bytes for the layers above.
// man pages as each line says. Checked against the installed headers by test/10.abi.test.ts.
// Pointers and sizes are 64-bit on both CPUs that we run on.

import { bytes, i32, i64, nested, struct, u16, u16be, u32, u32be, u64, u64s } from './struct.ts'

/** readv(2): one piece of memory. */
export class iovec extends struct(16, {
  iov_base: u64(0),
  iov_len: u64(8),
}) {}

/** sendmsg(2), recvmsg(2). */
export class msghdr extends struct(56, {
  msg_name: u64(0),
  msg_namelen: u32(8),
  msg_iov: u64(16),
  msg_iovlen: u64(24),
  msg_control: u64(32),
  msg_controllen: u64(40),
  msg_flags: i32(48),
}) {}

/** cmsg(3): leads a control message; its data follows. */
export class cmsghdr extends struct(16, {
  cmsg_len: u64(0),
  cmsg_level: i32(8),
  cmsg_type: i32(12),
  __cmsg_data: bytes(16, 0),
}) {}

/** ip(7). */
export class sockaddr_in extends struct(16, {
  sin_family: u16(0),
  sin_port: u16be(2),
  sin_addr: bytes(4, 4),
  sin_zero: bytes(8, 8),
}) {}

/** ipv6(7). */
export class sockaddr_in6 extends struct(28, {
  sin6_family: u16(0),
  sin6_port: u16be(2),
  sin6_flowinfo: u32be(4),
  sin6_addr: bytes(8, 16),
  sin6_scope_id: u32(24),
}) {}

/** unix(7). */
export class sockaddr_un extends struct(110, {
  sun_family: u16(0),
  sun_path: bytes(2, 108),
}) {}

/** Room for any address. */
export class sockaddr_storage extends struct(128, {
  ss_family: u16(0),
  __ss_padding: bytes(2, 118),
  __ss_align: u64(120),
}) {}

/** openat2(2). */
export class open_how extends struct(24, {
  flags: u64(0),
  mode: u64(8),
  resolve: u64(16),
}) {}

/** A time in statx. */
export class statx_timestamp extends struct(16, {
  tv_sec: i64(0),
  tv_nsec: u32(8),
  __reserved: i32(12),
}) {}

/** statx(2). */
export class statx extends struct(256, {
  stx_mask: u32(0),
  stx_blksize: u32(4),
  stx_attributes: u64(8),
  stx_nlink: u32(16),
  stx_uid: u32(20),
  stx_gid: u32(24),
  stx_mode: u16(28),
  __spare0: u16(30),
  stx_ino: u64(32),
  stx_size: u64(40),
  stx_blocks: u64(48),
  stx_attributes_mask: u64(56),
  stx_atime: nested(statx_timestamp, 64),
  stx_btime: nested(statx_timestamp, 80),
  stx_ctime: nested(statx_timestamp, 96),
  stx_mtime: nested(statx_timestamp, 112),
  stx_rdev_major: u32(128),
  stx_rdev_minor: u32(132),
  stx_dev_major: u32(136),
  stx_dev_minor: u32(140),
  stx_mnt_id: u64(144),
  stx_dio_mem_align: u32(152),
  stx_dio_offset_align: u32(156),
  __spare3: u64s(160, 12),
}) {}

/** epoll_ctl(2). x64 packs it: 12 bytes; arm64 has 16. */
export class epoll_event extends struct(process.arch === 'x64' ? 12 : 16, {
  events: u32(0),
  data: u64(process.arch === 'x64' ? 4 : 8),
}) {}

/** futex_waitv(2): one of several futexes. */
export class futex_waitv extends struct(24, {
  val: u64(0),
  uaddr: u64(8),
  flags: u32(16),
  __reserved: u32(20),
}) {}
