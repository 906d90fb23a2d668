// The runtime's public names.
// Flow: src/index.ts → this.

export { type BufferGroup, type BufferGroupOptions, Chunk } from './buffer-group.ts'
export { Chain, type ChainError, Step } from './chain.ts'
export { defaultRing, init, run, spawn } from './executor.ts'
export { Multishot, type MultishotOptions } from './multishot.ts'
export type { FileTarget, PathLike } from './operations.ts'
export type { ReadOptions } from './operations-file.ts'
export type {
  AcceptOptions,
  IncomingMessage,
  MessageOptions,
  OutgoingMessage,
  ReceivedMessage,
} from './operations-net.ts'
export type { AtOptions, Openat2Options, OpenOptions } from './operations-path.ts'
export type { OperationOptions } from './options.ts'
export { FixedFile, Resource } from './resource.ts'
export { Uring, type UringOptions, type UringStats } from './uring.ts'
