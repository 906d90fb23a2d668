// Structs of io_uring_register(2).
// Flow: ringcore/sys, ring/register → this → struct.ts.
// man io_uring_register(2). Checked against the installed header by test/10.abi.test.ts.

import { bytes, following, i32, nested, struct, u8, u16, u32, u32s, u64, u64s } from './struct.ts'
import { __kernel_timespec } from './structs-ring.ts'

/** IORING_REGISTER_FILES_UPDATE · since 5.5 */
export class io_uring_files_update extends struct(16, {
  offset: u32(0),
  resv: u32(4),
  fds: u64(8),
}) {}

/** IORING_REGISTER_FILES2, BUFFERS2 · since 5.13 */
export class io_uring_rsrc_register extends struct(32, {
  nr: u32(0),
  flags: u32(4),
  resv2: u64(8),
  data: u64(16),
  tags: u64(24),
}) {}

/** A part of the files or buffers, without tags · since 5.13 */
export class io_uring_rsrc_update extends struct(16, {
  offset: u32(0),
  resv: u32(4),
  data: u64(8),
}) {}

/** A part of the files or buffers, with tags · since 5.13 */
export class io_uring_rsrc_update2 extends struct(32, {
  offset: u32(0),
  resv: u32(4),
  data: u64(8),
  tags: u64(16),
  nr: u32(24),
  resv2: u32(28),
}) {}

/** One row of a probe. */
export class io_uring_probe_op extends struct(8, {
  op: u8(0),
  resv: u8(1),
  flags: u16(2),
  resv2: u32(4),
}) {}

/** IORING_REGISTER_PROBE: allocate 16 + 256 × 8 bytes · since 5.6 */
export class io_uring_probe extends struct(16, {
  last_op: u8(0),
  ops_len: u8(1),
  resv: u16(2),
  resv2: u32s(4, 3),
  ops: following(io_uring_probe_op, 16),
}) {}

/** IORING_REGISTER_RESTRICTIONS · since 5.10 */
export class io_uring_restriction extends struct(16, {
  opcode: u16(0),
  register_op: u8(2),
  sqe_op: u8(2),
  sqe_flags: u8(2),
  resv: u8(3),
  resv2: u32s(4, 3),
}) {}

/** Restrictions of a task · since 7.0 */
export class io_uring_task_restriction extends struct(16, {
  flags: u16(0),
  nr_res: u16(2),
  resv: u32s(4, 3),
  restrictions: following(io_uring_restriction, 16),
}) {}

/** IORING_REGISTER_CLOCK · since 6.12 */
export class io_uring_clock_register extends struct(16, {
  clockid: u32(0),
  __resv: u32s(4, 3),
}) {}

/** IORING_REGISTER_CLONE_BUFFERS · since 6.12, when the offsets and `nr` had to be 0 */
export class io_uring_clone_buffers extends struct(32, {
  src_fd: u32(0),
  flags: u32(4),
  src_off: u32(8),
  dst_off: u32(12),
  nr: u32(16),
  pad: u32s(20, 3),
}) {}

/** One buffer of a buffer ring · since 5.19 */
export class io_uring_buf extends struct(16, {
  addr: u64(0),
  len: u32(8),
  bid: u16(12),
  resv: u16(14),
}) {}

/** A buffer ring's start: `tail` lies where the first buffer's `resv` is, so never write that · since 5.19 */
export class io_uring_buf_ring extends struct(16, {
  resv1: u64(0),
  resv2: u32(8),
  resv3: u16(12),
  tail: u16(14),
  bufs: following(io_uring_buf, 0),
}) {}

/** IORING_REGISTER_PBUF_RING · since 5.19; `min_left` since 7.1, 0 before */
export class io_uring_buf_reg extends struct(40, {
  ring_addr: u64(0),
  ring_entries: u32(8),
  bgid: u16(12),
  flags: u16(14),
  min_left: u32(16),
  resv: u32s(20, 5),
}) {}

/** IORING_REGISTER_PBUF_STATUS · since 6.8 */
export class io_uring_buf_status extends struct(40, {
  buf_group: u32(0),
  head: u32(4),
  resv: u32s(8, 8),
}) {}

/** IORING_REGISTER_SYNC_CANCEL · since 6.0 */
export class io_uring_sync_cancel_reg extends struct(64, {
  addr: u64(0),
  fd: i32(8),
  flags: u32(12),
  timeout: nested(__kernel_timespec, 16),
  opcode: u8(32),
  pad: bytes(33, 7),
  pad2: u64s(40, 3),
}) {}

/** IORING_REGISTER_FILE_ALLOC_RANGE · since 6.0 */
export class io_uring_file_index_range extends struct(16, {
  off: u32(0),
  len: u32(4),
  resv: u64(8),
}) {}

/** A memory region · since 6.13 */
export class io_uring_region_desc extends struct(64, {
  user_addr: u64(0),
  size: u64(8),
  flags: u32(16),
  id: u32(20),
  mmap_offset: u64(24),
  __resv: u64s(32, 4),
}) {}

/** IORING_REGISTER_MEM_REGION · since 6.13 */
export class io_uring_mem_region_reg extends struct(32, {
  region_uptr: u64(0),
  flags: u64(8),
  __resv: u64s(16, 2),
}) {}

/**
 * IORING_REGISTER_NAPI · since 6.9
 * The layout of 6.13; before, `opcode`, `op_param` and `resv` were padding, so that zeros mean the same to both.
 */
export class io_uring_napi extends struct(16, {
  busy_poll_to: u32(0),
  prefer_busy_poll: u8(4),
  opcode: u8(5),
  pad: bytes(6, 2),
  op_param: u32(8),
  resv: u32(12),
}) {}

/** IORING_REGISTER_QUERY: one question, and the address of the next · since 6.18 */
export class io_uring_query_hdr extends struct(40, {
  next_entry: u64(0),
  query_data: u64(8),
  query_op: u32(16),
  size: u32(20),
  result: i32(24),
  __resv: u32s(28, 3),
}) {}

/** IO_URING_QUERY_OPCODES · since 6.18 */
export class io_uring_query_opcode extends struct(48, {
  nr_request_opcodes: u32(0),
  nr_register_opcodes: u32(4),
  feature_flags: u64(8),
  ring_setup_flags: u64(16),
  enter_flags: u64(24),
  sqe_flags: u64(32),
  nr_query_opcodes: u32(40),
  __pad: u32(44),
}) {}

/** IO_URING_QUERY_ZCRX · since 6.19 */
export class io_uring_query_zcrx extends struct(40, {
  register_flags: u64(0),
  area_flags: u64(8),
  nr_ctrl_opcodes: u32(16),
  features: u32(20),
  rq_hdr_size: u32(24),
  rq_hdr_alignment: u32(28),
  __resv2: u64(32),
}) {}

/** IO_URING_QUERY_SCQ · since 6.19 */
export class io_uring_query_scq extends struct(16, {
  hdr_size: u64(0),
  hdr_alignment: u64(8),
}) {}

/** IO_URING_QUERY_ZCRX_EVENT · since 7.2 */
export class io_uring_query_zcrx_event extends struct(48, {
  event_flags: u32(0),
  stats_size: u32(4),
  stats_off_alignment: u32(8),
  __resv1: u32(12),
  __resv2: u64s(16, 4),
}) {}

/** One filter · since 7.0 */
export class io_uring_bpf_filter extends struct(64, {
  opcode: u32(0),
  flags: u32(4),
  filter_len: u32(8),
  pdu_size: u8(12),
  resv: bytes(13, 3),
  filter_ptr: u64(16),
  resv2: u64s(24, 5),
}) {}

/** IORING_REGISTER_BPF_FILTER · since 7.0 */
export class io_uring_bpf extends struct(72, {
  cmd_type: u16(0),
  cmd_flags: u16(2),
  resv: u32(4),
  filter: nested(io_uring_bpf_filter, 8),
}) {}

/** Part of io_uring_bpf_ctx: what IORING_OP_SOCKET is asked for. */
export class io_uring_bpf_ctx_socket extends struct(12, {
  family: u32(0),
  type: u32(4),
  protocol: u32(8),
}) {}

/** Part of io_uring_bpf_ctx: what IORING_OP_OPENAT and OPENAT2 are asked for. */
export class io_uring_bpf_ctx_open extends struct(24, {
  flags: u64(0),
  mode: u64(8),
  resolve: u64(16),
}) {}

/** What a filter sees of a request; `socket` and `open` share their bytes · since 7.0 */
export class io_uring_bpf_ctx extends struct(40, {
  user_data: u64(0),
  opcode: u8(8),
  sqe_flags: u8(9),
  pdu_size: u8(10),
  pad: bytes(11, 5),
  socket: nested(io_uring_bpf_ctx_socket, 16),
  open: nested(io_uring_bpf_ctx_open, 16),
}) {}

/** The kernel tests' mock file: what it can · since 6.17 */
export class io_uring_mock_probe extends struct(80, {
  features: u64(0),
  __resv: u64s(8, 9),
}) {}

/** The kernel tests' mock file: makes one · since 6.17 */
export class io_uring_mock_create extends struct(128, {
  out_fd: u32(0),
  flags: u32(4),
  file_size: u64(8),
  rw_delay_ns: u64(16),
  __resv: u64s(24, 13),
}) {}
