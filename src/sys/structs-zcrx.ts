// Structs of zero-copy receive: queues of a network card that deliver into memory of ours.
// Flow: ringcore/sys → this → struct.ts.
// Kernel documentation, networking/iou-zcrx. Checked against the installed header by test/10.abi.test.ts.

import { nested, struct, u32, u32s, u64, u64s } from './struct.ts'

/** An entry of the refill queue: a buffer given back · since 6.15 */
export class io_uring_zcrx_rqe extends struct(16, {
  off: u64(0),
  len: u32(8),
  __pad: u32(12),
}) {}

/** The second half of a CQE: where the data lies · since 6.15 */
export class io_uring_zcrx_cqe extends struct(16, {
  off: u64(0),
  __pad: u64(8),
}) {}

/** Where the refill queue's words lie, in bytes · since 6.15 */
export class io_uring_zcrx_offsets extends struct(32, {
  head: u32(0),
  tail: u32(4),
  rqes: u32(8),
  __resv2: u32(12),
  __resv: u64s(16, 2),
}) {}

/** The memory that data is received into · since 6.15 */
export class io_uring_zcrx_area_reg extends struct(48, {
  addr: u64(0),
  len: u64(8),
  rq_area_token: u64(16),
  flags: u32(24),
  dmabuf_fd: u32(28),
  __resv2: u64s(32, 2),
}) {}

/**
 * IORING_REGISTER_ZCRX_IFQ · since 6.15; `rx_buf_len` since 7.0
 * The layout of 7.2: `event_desc` was reserved before, and had to be 0.
 */
export class io_uring_zcrx_ifq_reg extends struct(96, {
  if_idx: u32(0),
  if_rxq: u32(4),
  rq_entries: u32(8),
  flags: u32(12),
  area_ptr: u64(16),
  region_ptr: u64(24),
  offsets: nested(io_uring_zcrx_offsets, 32),
  zcrx_id: u32(64),
  rx_buf_len: u32(68),
  event_desc: u64(72),
  __resv: u64s(80, 2),
}) {}

/** What `event_desc` points to · since 7.2 */
export class zcrx_event_desc extends struct(96, {
  user_data: u64(0),
  type_mask: u32(8),
  flags: u32(12),
  stats_offset: u64(16),
  __resv2: u64s(24, 9),
}) {}

/** Counters that the kernel keeps in the region · since 7.2 */
export class zcrx_stats extends struct(16, {
  copy_count: u64(0),
  copy_bytes: u64(8),
}) {}

/** zcrx_ctrl: ZCRX_CTRL_FLUSH_RQ · since 6.19 */
export class zcrx_ctrl_flush_rq extends struct(48, {
  __resv: u64s(0, 6),
}) {}

/** zcrx_ctrl: ZCRX_CTRL_EXPORT · since 6.19 */
export class zcrx_ctrl_export extends struct(48, {
  zcrx_fd: u32(0),
  __resv1: u32s(4, 11),
}) {}

/** zcrx_ctrl: ZCRX_CTRL_ARM_EVENT · since 7.2 */
export class zcrx_ctrl_arm_event extends struct(48, {
  event_type: u32(0),
  __resv: u32s(4, 11),
}) {}

/** IORING_REGISTER_ZCRX_CTRL · since 6.19 */
export class zcrx_ctrl extends struct(72, {
  zcrx_id: u32(0),
  op: u32(4),
  __resv: u64s(8, 2),
  zc_export: nested(zcrx_ctrl_export, 24),
  zc_flush: nested(zcrx_ctrl_flush_rq, 24),
}) {}
