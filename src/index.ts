// ringcore's main door: the runtime, files and TCP, and whether any of it can be had here.
// Flow: the program → this → runtime, fs, net, ring/probe.

export { File, type FileOptions } from './fs/file.ts'
export { type ReadFileOptions, readFile } from './fs/read-file.ts'
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
