// ringcore's main door: the runtime, files and TCP, and whether any of it can be had here.
// Flow: the program → this → runtime, fs, net, ring/probe.

export { AppendLog, type AppendLogOptions, type AppendOptions } from './fs/append-log.ts'
export type { Recovery } from './fs/append-log-open.ts'
export type { LogCorruptError, LogRecord, RecoverOptions } from './fs/append-log-reader.ts'
export {
  DirectFile,
  type DirectOptions,
  type DirectWriteOptions,
} from './fs/direct-file.ts'
export type { AtomicWrite, DirectAlignment, DirectFileOptions } from './fs/direct-file-open.ts'
export { File, type FileOptions } from './fs/file.ts'
export { type ReadFileOptions, readFile } from './fs/read-file.ts'
export { type BindOptions, TcpListener } from './net/tcp-listener.ts'
export { type ConnectOptions, TcpStream } from './net/tcp-stream.ts'
export { available, probe } from './ring/probe.ts'
export * from './runtime/index.ts'
export { AbortError, UringError } from './sys/error.ts'
