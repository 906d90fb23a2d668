// A UDP socket on the thread's ring.
// Flow: the program → this → datagram-receiver.ts, datagram-sender.ts, udp-options.ts, runtime (connect, close). man udp(7)

import { defaultRing } from '../runtime/executor.ts'
import { Resource } from '../runtime/resource.ts'
import type { Uring } from '../runtime/uring.ts'
import {
  AF_INET6,
  IPPROTO_IPV6,
  IPV6_V6ONLY,
  SO_BROADCAST,
  SO_DOMAIN,
  SO_RCVBUF,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SO_SNDBUF,
  SOCK_DGRAM,
  SOL_SOCKET,
  UDP_GRO,
} from '../sys/constants.ts'
import { argumentTypeError, argumentValueError, rangeError, socketError, stateError } from '../sys/error.ts'
import { isIP } from '../sys/node-modules.ts'
import { encodeSockaddr, type InternetAddress, type SocketAddress } from '../sys/sockaddr.ts'
import { closeFd } from '../sys/syscalls.ts'
import { checkFd, checkFunction, checkInteger } from '../sys/validate.ts'
import { type Abortable, abortable } from './abort.ts'
import { type LookupFunction, resolveHost } from './connect.ts'
import { Datagram, type ReceivedDatagramCopy } from './datagram.ts'
import { type DatagramErrorHandler, type DatagramHandler, DatagramReceiver } from './datagram-receiver.ts'
import { DatagramSender } from './datagram-sender.ts'
import { addressOf, bindTo, getOption, newSocket, setOption } from './socket-calls.ts'
import {
  type OptionTarget,
  setMembership,
  setMulticastInterface,
  setMulticastLoopback,
  setMulticastTtl,
  setSourceMembership,
  setTtl,
} from './udp-options.ts'

export interface UdpOptions {
  /** IPv4 or IPv6 address; default '0.0.0.0'. */
  host?: string | undefined
  /** 0 lets the kernel choose: see `port`. */
  port?: number | undefined
  /** Lets several sockets have one port; the kernel spreads the datagrams (SO_REUSEPORT). */
  reusePort?: boolean | undefined
  /** Lets several sockets have one port, as multicast listeners do (SO_REUSEADDR). */
  reuseAddress?: boolean | undefined
  ipv6Only?: boolean | undefined
  /** Datagrams of one sender and one size come together, and are taken apart here: far fewer wake-ups at high rates. @kernel 5.0 */
  gro?: boolean | undefined
  /** Bytes that the kernel keeps for a slow reader, and for the network. */
  receiveBufferBytes?: number | undefined
  sendBufferBytes?: number | undefined
  ring?: Uring | undefined
}

/** Where a datagram goes: an address, or who sent another one. */
export type Destination = { readonly address: string; readonly port: number } | Datagram

export interface DatagramOptions extends Abortable {
  /** Cuts the data into datagrams of this size, the last may be shorter, with one call (UDP_SEGMENT). @kernel 4.18 */
  segmentBytes?: number | undefined
}

const SOL_UDP = 17
const SEGMENTS = 64

export class UdpSocket {
  readonly #ring: Uring
  readonly #resource: Resource
  readonly #receiver: DatagramReceiver
  readonly #sender: DatagramSender
  readonly #isIpv6: boolean
  #connected = false
  #closing: Promise<void> | null = null
  /** The destination of before, as the kernel wants it: mostly it is the same again. */
  #lastAddress = ''
  #lastPort = -1
  #lastName: Uint8Array | null = null

  constructor(ring: Uring, fd: number, gro = false) {
    this.#ring = ring
    this.#resource = new Resource(fd)
    this.#isIpv6 = getOption(ring.ring.driver, fd, SOL_SOCKET, SO_DOMAIN) === AF_INET6
    this.#receiver = new DatagramReceiver(ring, this.#resource, gro)
    this.#sender = new DatagramSender(ring, this.#resource)
  }

  /**
   * Makes a socket with an address of its own.
   * @param where options, or 'host:port' as in '127.0.0.1:5353' and '[::1]:5353'
   * @throws EADDRINUSE · EACCES (ports below 1024) · EADDRNOTAVAIL
   */
  static bind(where: UdpOptions | string = {}): UdpSocket {
    const options = typeof where === 'string' ? parse(where) : where
    if (typeof options !== 'object' || options === null)
      throw argumentTypeError('where', 'of type string or object', where)
    const { host = '0.0.0.0', port = 0 } = options
    const version = isIP(host)
    if (version === 0) throw argumentValueError('options.host', host, 'must be an IPv4 or IPv6 address')
    if (!(Number.isInteger(port) && port >= 0 && port <= 65535))
      throw rangeError('options.port', '>= 0 && <= 65535', port)
    const { receiveBufferBytes, sendBufferBytes } = options
    if (receiveBufferBytes !== undefined)
      checkInteger('options.receiveBufferBytes', receiveBufferBytes, 1, 1 << 30)
    if (sendBufferBytes !== undefined) checkInteger('options.sendBufferBytes', sendBufferBytes, 1, 1 << 30)
    const ring = options.ring ?? defaultRing()
    const { driver } = ring.ring
    const family = version === 6 ? 'ipv6' : 'ipv4'
    const fd = newSocket(driver, family, SOCK_DGRAM)
    try {
      const set = (level: number, option: number, value: number): void =>
        setOption(driver, fd, level, option, value)
      if (options.reuseAddress === true) set(SOL_SOCKET, SO_REUSEADDR, 1)
      if (options.reusePort === true) set(SOL_SOCKET, SO_REUSEPORT, 1)
      if (family === 'ipv6') set(IPPROTO_IPV6, IPV6_V6ONLY, options.ipv6Only === true ? 1 : 0)
      if (receiveBufferBytes !== undefined) set(SOL_SOCKET, SO_RCVBUF, receiveBufferBytes)
      if (sendBufferBytes !== undefined) set(SOL_SOCKET, SO_SNDBUF, sendBufferBytes)
      if (options.gro === true) set(SOL_UDP, UDP_GRO, 1)
      bindTo(driver, fd, { family, address: host, port }, 'bind')
      return new UdpSocket(ring, fd, options.gro === true)
    } catch (error) {
      closeFd(driver, fd)
      throw error
    }
  }

  /** Takes over a UDP socket; it is closed here. */
  static fromRawFd(fd: number, ring: Uring = defaultRing()): UdpSocket {
    checkFd(fd)
    return new UdpSocket(ring, fd)
  }

  /** The ring it works on. */
  get ring(): Uring {
    return this.#ring
  }

  /** The descriptor, or -1 once closed. */
  get fd(): number {
    return this.#resource.fd
  }

  /** The own address and port; undefined once closed. */
  get address(): SocketAddress | undefined {
    return this.fd < 0 ? undefined : addressOf(this.#ring.ring.driver, this.fd, 'own')
  }

  /** The own port; 0 once closed. */
  get port(): number {
    const address = this.address
    return address !== undefined && 'port' in address ? address.port : 0
  }

  /** Whom it is connected to; undefined when it is not. */
  get remoteAddress(): SocketAddress | undefined {
    return this.fd < 0 ? undefined : addressOf(this.#ring.ring.driver, this.fd, 'peer')
  }

  /** Datagrams and bytes that came, that were sent, and datagrams that were dropped here because the iterator was slow. */
  get counters(): {
    received: number
    bytesRead: number
    sent: number
    bytesWritten: number
    dropped: number
  } {
    const { messages: received, bytes: bytesRead, dropped } = this.#receiver
    const { messages: sent, bytes: bytesWritten } = this.#sender
    return { received, bytesRead, sent, bytesWritten, dropped }
  }

  // ---- sending

  /**
   * Chooses whom datagrams go to by default, and from whom they are taken at all. Then a peer that nobody listens at shows:
   * ECONNREFUSED, at a later send or while receiving.
   * @throws ENETUNREACH · EAFNOSUPPORT · ENOTFOUND (name)
   */
  async connect(options: { host?: string; port: number; lookup?: LookupFunction }): Promise<void> {
    const { host = 'localhost', port } = options
    checkInteger('options.port', port, 1, 65535)
    const family = this.#isIpv6 ? 0 : 4
    const [address] = await resolveHost(host, port, family, options.lookup)
    if (address === undefined) throw argumentValueError('options.host', host, 'has no address')
    await this.#ring.connect(this.#resource, this.#mapped(address))
    this.#connected = true
  }

  /** An IPv6 socket reaches IPv4 through mapped addresses. */
  #mapped(address: InternetAddress): InternetAddress {
    if (!this.#isIpv6 || isIP(address.address) !== 4) return address
    return { address: `::ffff:${address.address}`, port: address.port }
  }

  /**
   * Sends one datagram.
   *
   * Up to 4 KiB are copied at once; more is lent to the kernel until the promise settles. All that is sent in one turn of the event
   * loop goes down with one system call.
   *
   * @param to an address, or a datagram that came: its sender. Left out on a connected socket
   * @returns bytes sent
   * @throws EMSGSIZE · ECONNREFUSED (connected: an earlier one was refused) · ENETUNREACH · EINVAL (`segmentBytes` too large for the
   *   network) · ERR_INVALID_STATE: no destination
   */
  write(data: Uint8Array | string, to?: Destination, options?: DatagramOptions): Promise<number> {
    try {
      const bytes = this.#checked(data)
      const segment = options?.segmentBytes ?? 0
      checkInteger('options.segmentBytes', segment, 0, 65535)
      if (segment > 0 && bytes.byteLength > segment * SEGMENTS)
        throw rangeError('data.length', `<= ${segment * SEGMENTS} (${SEGMENTS} segments)`, bytes.byteLength)
      const name = this.#nameOf(to)
      return this.#sender.write(bytes, name, segment < bytes.byteLength ? segment : 0)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /**
   * Sends one datagram without a promise. One that is refused is told to `receive`'s error handler, if there is one.
   * @returns false when 256 KiB or more wait to be sent: `await drained()` before sending more
   * @throws ERR_INVALID_STATE: no destination · EBADF: closed
   */
  send(data: Uint8Array | string, to?: Destination): boolean {
    return this.#sender.send(this.#checked(data), this.#nameOf(to))
  }

  #checked(data: Uint8Array | string): Uint8Array {
    const bytes = typeof data === 'string' ? Buffer.from(data) : data
    if (!(bytes instanceof Uint8Array))
      throw argumentTypeError('data', 'of type string or an instance of Buffer or Uint8Array', data)
    if (bytes.byteLength > 0) this.#ring.engine.addresses.of(bytes)
    this.#openFd('send')
    return bytes
  }

  /** The destination as the kernel wants it. */
  #nameOf(to: Destination | undefined): Uint8Array | null {
    if (to === undefined) {
      if (!this.#connected) throw stateError('Cannot send: say where to, or connect the socket')
      return null
    }
    if (to instanceof Datagram) return Uint8Array.from(to.name)
    if (typeof to !== 'object' || to === null) throw argumentTypeError('to', 'of type object', to)
    if (to.address === this.#lastAddress && to.port === this.#lastPort) return this.#lastName
    const name = encodeSockaddr(this.#mapped({ address: to.address, port: to.port }))
    this.#lastAddress = to.address
    this.#lastPort = to.port
    this.#lastName = name
    return name
  }

  /** Resolves when nothing waits to be sent. */
  drained(): Promise<void> {
    return this.#sender.drained()
  }

  // ---- receiving

  /**
   * Calls back for each datagram, without promises or copies.
   *
   * The datagram lies in the ring's own memory and is valid until the callback returns; `copy()` keeps it. To answer, pass it to
   * `send` as destination.
   *
   * @param onError is told of errors (ECONNREFUSED …), after which receiving goes on; and once of null, when the socket was closed
   * @returns ends it
   * @throws ERR_INVALID_STATE: another reader is waiting
   */
  receive(onDatagram: DatagramHandler, onError: DatagramErrorHandler): () => void {
    checkFunction('onDatagram', onDatagram)
    checkFunction('onError', onError)
    this.#openFd('recvmsg')
    this.#receiver.receive(onDatagram, onError)
    this.#sender.onError = onError
    return () => {
      this.#receiver.stop()
      this.#sender.onError = null
    }
  }

  /**
   * The next datagram, as a copy.
   * @returns null when the socket is closed
   * @throws ECONNREFUSED: one that was sent was refused; receiving goes on with the next call · AbortError
   */
  async read(options?: Abortable): Promise<ReceivedDatagramCopy | null> {
    return abortable(
      options?.signal,
      () => this.#receiver.next(),
      (error) => this.#receiver.giveUp(error),
    )
  }

  /** Iterates over datagrams until the socket is closed; up to 1024 wait for a slow consumer, then they are dropped and counted. */
  async *[Symbol.asyncIterator](): AsyncGenerator<ReceivedDatagramCopy> {
    for (;;) {
      const datagram = await this.read()
      if (datagram === null) return
      yield datagram
    }
  }

  // ---- options

  #openFd(syscall: string): number {
    if (this.fd < 0) throw socketError(-9, syscall)
    return this.fd
  }

  #target(): OptionTarget {
    return { driver: this.#ring.ring.driver, fd: this.#openFd('setsockopt'), isIpv6: this.#isIpv6 }
  }

  /** Asks for a socket option whose value is an integer. @man getsockopt(2), udp(7) */
  getOption(level: number, option: number): number {
    return getOption(this.#ring.ring.driver, this.#openFd('getsockopt'), level, option)
  }

  /** Sets a socket option whose value is an integer. @man setsockopt(2), udp(7) */
  setOption(level: number, option: number, value: number): this {
    checkInteger('value', value, -0x80000000, 0xffffffff)
    setOption(this.#ring.ring.driver, this.#openFd('setsockopt'), level, option, value)
    return this
  }

  /** Allows datagrams to broadcast addresses; without it they are EACCES. */
  setBroadcast(on = true): this {
    return this.setOption(SOL_SOCKET, SO_BROADCAST, on ? 1 : 0)
  }

  /** How many hops datagrams may take. */
  setTtl(hops: number): this {
    checkInteger('hops', hops, 1, 255)
    setTtl(this.#target(), hops)
    return this
  }

  /** How many hops multicast may take; 1, the default, stays in the local network. */
  setMulticastTtl(hops: number): this {
    checkInteger('hops', hops, 0, 255)
    setMulticastTtl(this.#target(), hops)
    return this
  }

  /** Whether multicast that is sent comes back to this machine; it does by default. */
  setMulticastLoopback(on: boolean): this {
    setMulticastLoopback(this.#target(), on)
    return this
  }

  /**
   * Chooses the interface that multicast goes out of.
   * @param on its IPv4 address, or for IPv6 its name as in '::%eth0'
   */
  setMulticastInterface(on: string): this {
    setMulticastInterface(this.#target(), on)
    return this
  }

  /**
   * Joins a multicast group.
   * @param on the interface: its IPv4 address, or for IPv6 its name as in '::%eth0'; default: the kernel's choice
   * @throws ENODEV · EADDRINUSE (joined already) · EINVAL (no group)
   */
  addMembership(group: string, on?: string): this {
    setMembership(this.#target(), true, group, on)
    return this
  }

  /** Leaves a multicast group. */
  dropMembership(group: string, on?: string): this {
    setMembership(this.#target(), false, group, on)
    return this
  }

  /** Joins a multicast group for what one sender sends (IPv4). */
  addSourceMembership(source: string, group: string, on?: string): this {
    setSourceMembership(this.#target(), true, source, group, on)
    return this
  }

  /** Leaves what `addSourceMembership` joined. */
  dropSourceMembership(source: string, group: string, on?: string): this {
    setSourceMembership(this.#target(), false, source, group, on)
    return this
  }

  // ---- ending

  /** Sends what waits, then closes; readers are told. Resolves when the kernel has let go. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    await this.#sender.drained()
    await this.#ring.closeFile(this.#resource)
    this.#receiver.end()
  }

  /** As `close`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

function parse(text: string): UdpOptions {
  const match = /^(?:\[(?<six>.+)\]|(?<four>[^:]+)):(?<port>\d+)$/.exec(text)
  if (match === null)
    throw argumentValueError('where', text, "must look like '127.0.0.1:5353' or '[::1]:5353'")
  return { host: match.groups!.six ?? match.groups!.four, port: Number(match.groups!.port) }
}
