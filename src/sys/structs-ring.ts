// Structs of the ring itself: its parameters, its entries, and what a wait takes.
// Flow: ringcore/sys, tests → this → struct.ts. The hot paths write words instead, see ring/sqe.ts.
// man io_uring_setup(2), io_uring_enter(2). Checked against the installed header by test/10.abi.test.ts.
// Fields that share their bytes are the members of a union: which one counts depends on the opcode.

import { bytes, i32, i64, nested, struct, u8, u16, u32, u32s, u64, u64s } from './struct.ts'

/** A time or a duration. */
export class __kernel_timespec extends struct(16, {
  tv_sec: i64(0),
  tv_nsec: i64(8),
}) {}

/** Where the SQ ring's words lie in its mapping, in bytes. */
export class io_sqring_offsets extends struct(40, {
  head: u32(0),
  tail: u32(4),
  ring_mask: u32(8),
  ring_entries: u32(12),
  flags: u32(16),
  dropped: u32(20),
  array: u32(24),
  resv1: u32(28),
  user_addr: u64(32),
}) {}

/** Where the CQ ring's words lie in its mapping, in bytes. */
export class io_cqring_offsets extends struct(40, {
  head: u32(0),
  tail: u32(4),
  ring_mask: u32(8),
  ring_entries: u32(12),
  overflow: u32(16),
  cqes: u32(20),
  flags: u32(24),
  resv1: u32(28),
  user_addr: u64(32),
}) {}

/** What io_uring_setup(2) takes and gives back. */
export class io_uring_params extends struct(120, {
  sq_entries: u32(0),
  cq_entries: u32(4),
  flags: u32(8),
  sq_thread_cpu: u32(12),
  sq_thread_idle: u32(16),
  features: u32(20),
  wq_fd: u32(24),
  resv: u32s(28, 3),
  sq_off: nested(io_sqring_offsets, 40),
  cq_off: nested(io_cqring_offsets, 80),
}) {}

/** One request. 128 bytes (say so as byteLength) with IORING_SETUP_SQE128, where `cmd` has 80. */
export class io_uring_sqe extends struct(64, {
  opcode: u8(0),
  flags: u8(1),
  ioprio: u16(2),
  fd: i32(4),
  off: u64(8),
  addr2: u64(8),
  cmd_op: u32(8),
  __pad1: u32(12),
  addr: u64(16),
  splice_off_in: u64(16),
  level: u32(16),
  optname: u32(20),
  len: u32(24),
  rw_flags: u32(28),
  fsync_flags: u32(28),
  poll_events: u16(28),
  poll32_events: u32(28),
  sync_range_flags: u32(28),
  msg_flags: u32(28),
  timeout_flags: u32(28),
  accept_flags: u32(28),
  cancel_flags: u32(28),
  open_flags: u32(28),
  statx_flags: u32(28),
  fadvise_advice: u32(28),
  splice_flags: u32(28),
  rename_flags: u32(28),
  unlink_flags: u32(28),
  hardlink_flags: u32(28),
  xattr_flags: u32(28),
  msg_ring_flags: u32(28),
  uring_cmd_flags: u32(28),
  waitid_flags: u32(28),
  futex_flags: u32(28),
  install_fd_flags: u32(28),
  nop_flags: u32(28),
  pipe_flags: u32(28),
  user_data: u64(32),
  buf_index: u16(40),
  buf_group: u16(40),
  personality: u16(42),
  splice_fd_in: i32(44),
  file_index: u32(44),
  zcrx_ifq_idx: u32(44),
  // In the kernel since 6.16, in no header of liburing yet.
  write_stream: u8(44),
  optlen: u32(44),
  addr_len: u16(44),
  __pad3: u16(46),
  addr3: u64(48),
  __pad2: u64s(56, 1),
  attr_ptr: u64(48),
  attr_type_mask: u64(56),
  optval: u64(48),
  cmd: bytes(48, 0),
}) {}

/** One result. 32 bytes with IORING_SETUP_CQE32 or IORING_CQE_F_32, where `big_cqe` has two words. */
export class io_uring_cqe extends struct(16, {
  user_data: u64(0),
  res: i32(8),
  flags: u32(12),
  big_cqe: u64s(16, 0),
}) {}

/** Protection information of a read or write · since 6.14 */
export class io_uring_attr_pi extends struct(32, {
  flags: u16(0),
  app_tag: u16(2),
  len: u32(4),
  addr: u64(8),
  seed: u64(16),
  rsvd: u64(24),
}) {}

/** The last argument of io_uring_enter(2) with IORING_ENTER_EXT_ARG · since 5.11; `min_wait_usec` since 6.12 */
export class io_uring_getevents_arg extends struct(24, {
  sigmask: u64(0),
  sigmask_sz: u32(8),
  min_wait_usec: u32(12),
  ts: u64(16),
}) {}

/** A registered wait, for IORING_ENTER_EXT_ARG_REG · since 6.13 */
export class io_uring_reg_wait extends struct(64, {
  ts: nested(__kernel_timespec, 0),
  min_wait_usec: u32(16),
  flags: u32(20),
  sigmask: u64(24),
  sigmask_sz: u32(32),
  pad: u32s(36, 3),
  pad2: u64s(48, 2),
}) {}

/** What leads the data of a multishot recvmsg · since 6.0 */
export class io_uring_recvmsg_out extends struct(16, {
  namelen: u32(0),
  controllen: u32(4),
  payloadlen: u32(8),
  flags: u32(12),
}) {}

/** The time that a TX_TIMESTAMP completion carries · since 6.17 */
export class io_timespec extends struct(16, {
  tv_sec: u64(0),
  tv_nsec: u64(8),
}) {}
