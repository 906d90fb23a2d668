// The io_uring ABI: every constant, by the header's own names.
// Flow: ring, op, runtime, users of ringcore/sys → this → abi-setup.ts, abi-ops.ts, abi-register.ts.
// man io_uring(7); linux/io_uring.h and its neighbours. Kept by hand, checked by test/10.abi.test.ts.
// A few values use bit 31: compare with `>>> 0`, since JavaScript's `|` and `&` give signed results.

export * from './abi-ops.ts'
export * from './abi-register.ts'
export * from './abi-setup.ts'
// Flags of other headers that exist for io_uring, or that its fields carry.
export {
  BLOCK_URING_CMD_DISCARD,
  BLOCK_URING_CMD_ZONE_RESET_ALL,
  FUTEX_WAITV_MAX,
  FUTEX2_MPOL,
  FUTEX2_NUMA,
  FUTEX2_PRIVATE,
  FUTEX2_SIZE_U8,
  FUTEX2_SIZE_U16,
  FUTEX2_SIZE_U32,
  FUTEX2_SIZE_U64,
  RWF_APPEND,
  RWF_ATOMIC,
  RWF_DONTCACHE,
  RWF_DSYNC,
  RWF_HIPRI,
  RWF_NOAPPEND,
  RWF_NOSIGNAL,
  RWF_NOWAIT,
  RWF_SYNC,
} from './constants.ts'
