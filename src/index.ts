// ringcore's main door: the runtime, files and TCP, and whether any of it can be had here.
// Flow: the program → this → runtime, fs, net, ring/probe.

export { AppendLog, type AppendLogOptions, type AppendOptions } from './fs/append-log.ts'
export type { Recovery } from './fs/append-log-open.ts'
export type { LogCorruptError, LogRecord, RecoverOptions } from './fs/append-log-reader.ts'
export type { BatchOptions, Progress, Source } from './fs/batch.ts'
export { type CpOptions, cp } from './fs/cp.ts'
export {
  DirectFile,
  type DirectOptions,
  type DirectWriteOptions,
} from './fs/direct-file.ts'
export type { AtomicWrite, DirectAlignment, DirectFileOptions } from './fs/direct-file-open.ts'
export { File, type FileOptions } from './fs/file.ts'
export { type ReadFileOptions, readFile } from './fs/read-file.ts'
export { type FileRead, type ReadFilesOptions, readFiles } from './fs/read-files.ts'
export { type RmOptions, rm } from './fs/rm.ts'
export { type FileStats, type StatsOptions, stats } from './fs/stats.ts'
export { type WalkEntry, type WalkOptions, walk } from './fs/walk.ts'
export { type WriteFileOptions, writeFile } from './fs/write-file.ts'
export {
  type FileToWrite,
  type FileWritten,
  WriteFiles,
  type WriteFilesOptions,
  type WriteSummary,
  writeFiles,
} from './fs/write-files.ts'
export { Datagram, type ReceivedDatagramCopy } from './net/datagram.ts'
export { StreamChunk } from './net/lease.ts'
export type { SendFileOptions, SendFileSource } from './net/send-file.ts'
export { SocketListener } from './net/socket-listener.ts'
export { SocketStream, type StreamOptions } from './net/socket-stream.ts'
export { type BindOptions, TcpListener } from './net/tcp-listener.ts'
export { type ConnectOptions, type TcpOptions, TcpStream } from './net/tcp-stream.ts'
export {
  type DatagramOptions,
  type Destination,
  type UdpOptions,
  UdpSocket,
} from './net/udp-socket.ts'
export { type UnixBindOptions, UnixListener } from './net/unix-listener.ts'
export { type Credentials, type UnixConnectOptions, type UnixOptions, UnixStream } from './net/unix-stream.ts'
export { available, probe } from './ring/probe.ts'
export * from './runtime/index.ts'
export { AbortError, UringError } from './sys/error.ts'
