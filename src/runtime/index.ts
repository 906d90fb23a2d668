// The runtime's public names.
// Flow: src/index.ts → this.

export { type BufferGroup, type BufferGroupOptions, Chunk } from './buffer-group.ts'
export { Chain, type ChainError, Step } from './chain.ts'
export { defaultRing, init, run, spawn } from './executor.ts'
export type { RingMessage } from './inbox.ts'
export { Multishot, type MultishotOptions } from './multishot.ts'
export type { FileTarget, PathLike } from './operations.ts'
export type { ClockOptions, NopOptions } from './operations-control.ts'
export type { EpollEvent } from './operations-epoll.ts'
export type { ReadOptions } from './operations-file.ts'
export type { MessageTarget } from './operations-message.ts'
export type {
  AcceptOptions,
  IncomingMessage,
  MessageOptions,
  OutgoingMessage,
  ReceivedMessage,
} from './operations-net.ts'
export type { AtOptions, Openat2Options, OpenOptions } from './operations-path.ts'
export type { FutexOptions, FutexWaiter, WaitResult, WaitTarget } from './operations-process.ts'
export { Bundle, ReceivedDatagram } from './operations-provided.ts'
export { type BusyPolling, Personality, type WorkerLimits } from './operations-registration.ts'
export {
  type CancelTarget,
  Poller,
  Timer,
  type TimerEnd,
  type TimerOptions,
} from './operations-timer.ts'
export type { SetxattrOptions } from './operations-xattr.ts'
export type { ZeroCopyOptions, ZeroCopyResult } from './operations-zero-copy.ts'
export type { OperationOptions } from './options.ts'
export { RegisteredBuffers, type SharedBuffers } from './registered-buffers.ts'
export { FixedFile, Resource } from './resource.ts'
export { SendGroup, type SendGroupOptions } from './send-group.ts'
export { Uring, type UringOptions, type UringStats } from './uring.ts'
