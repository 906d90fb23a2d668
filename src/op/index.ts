// The op layer: every opcode as data, and as functions from arguments to the bytes of an entry.
// Flow: index.ts and ring/index.ts of the package → this → table, prep-*, modify.
//
// liburing's io_uring_prep_x is `prepX` here, with the entry as first parameter. It has one name without a
// counterpart: __io_uring_prep_uring_cmd, the inner half of prepUringCmd and prepUringCmd128.
// `prepRecvZc` is ours alone; liburing leaves RECV_ZC to io_uring_prep_rw.

export * from './modify.ts'
export { prepRw } from './prep.ts'
export * from './prep-cmd.ts'
export * from './prep-control.ts'
export * from './prep-file.ts'
export * from './prep-net.ts'
export * from './prep-path.ts'
export * from './prep-pipe.ts'
export * from './prep-resource.ts'
export * from './prep-sync.ts'
export {
  OPS_COUNT,
  type OpCancel,
  type OpFd,
  type OpLinkBreaks,
  type OpMemory,
  type OpResult,
  type OpRow,
  opByName,
  opName,
  opTable,
} from './table.ts'
