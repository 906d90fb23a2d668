// A datagram as it lies in its buffer: header, sender, control data, payload.
// Flow: datagram-receiver.ts → this. man io_uring_prep_recvmsg_multishot(3), io_uring_recvmsg_out(3), udp(7)

import { MSG_TRUNC, UDP_GRO } from '../sys/constants.ts'
import { decodeSockaddr, type InternetAddress, type SocketAddress } from '../sys/sockaddr.ts'

/** struct io_uring_recvmsg_out: four words of lengths and flags. */
const HEADER_BYTES = 16
/** Room for the sender: sockaddr_in6 is 28. */
export const NAME_BYTES = 28
/** Room for one control message of four bytes: the size of segments (UDP_GRO). */
export const CONTROL_BYTES = 24
const PAYLOAD_AT = HEADER_BYTES + NAME_BYTES
const SOL_UDP = 17

/** A datagram; what `receive` shows is valid only until the callback returns. */
export class Datagram {
  #buffer!: Buffer
  #from = 0
  #length = 0
  #address: SocketAddress | undefined
  /** Whether it was longer than the room for it: the rest is lost. */
  truncated = false

  /** The payload, where the kernel put it. */
  get bytes(): Buffer {
    return this.#buffer.subarray(this.#from, this.#from + this.#length)
  }

  /** Bytes of the payload. */
  get length(): number {
    return this.#length
  }

  /** Who sent it: numbers, not names. */
  get address(): string {
    return this.#sender().address
  }

  /** The sender's port. */
  get port(): number {
    return (this.#buffer[HEADER_BYTES + 2]! << 8) | this.#buffer[HEADER_BYTES + 3]!
  }

  get family(): 'ipv4' | 'ipv6' {
    return this.#sender().family === 'ipv6' ? 'ipv6' : 'ipv4'
  }

  #sender(): InternetAddress {
    if (this.#address === undefined) this.#address = decodeSockaddr(Uint8Array.from(this.name))
    return this.#address as InternetAddress
  }

  /** The sender as the kernel wrote it: struct sockaddr. */
  get name(): Uint8Array {
    const length = Math.min(this.#buffer.readUInt32LE(0), NAME_BYTES)
    return this.#buffer.subarray(HEADER_BYTES, HEADER_BYTES + length)
  }

  /** A copy that outlives the callback. */
  copy(): ReceivedDatagramCopy {
    const { address, port, family } = this
    return { data: Buffer.from(this.bytes), address, port, family, truncated: this.truncated }
  }

  /**
   * Calls `use` for each datagram in a buffer: one, or with GRO as many as came together.
   * @param length bytes that the kernel wrote: the CQE's result
   * @returns how many they were
   */
  each(buffer: Buffer, length: number, controlRoom: number, use: (datagram: Datagram) => void): number {
    this.#buffer = buffer
    this.#address = undefined
    const start = PAYLOAD_AT + controlRoom
    const payload = Math.min(buffer.readUInt32LE(8), length - start)
    this.truncated = (buffer.readUInt32LE(12) & MSG_TRUNC) !== 0
    const segment = controlRoom === 0 ? 0 : segmentSize(buffer)
    const step = segment > 0 && segment < payload ? segment : Math.max(payload, 1)
    let count = 0
    for (let at = 0; at < payload || count === 0; at += step, count++) {
      this.#from = start + at
      this.#length = Math.min(step, payload - at)
      use(this)
    }
    return count
  }
}

/** A datagram of the caller's own. */
export interface ReceivedDatagramCopy {
  data: Buffer
  address: string
  port: number
  family: 'ipv4' | 'ipv6'
  /** Whether it was longer than the room for it: the rest is lost. */
  truncated: boolean
}

/** The size of the segments that the kernel put together; 0 when it did not. */
function segmentSize(buffer: Buffer): number {
  if (buffer.readUInt32LE(4) < 20) return 0
  const at = PAYLOAD_AT
  // struct cmsghdr: a 64-bit length, level, type.
  if (buffer.readInt32LE(at + 8) !== SOL_UDP || buffer.readInt32LE(at + 12) !== UDP_GRO) return 0
  return buffer.readInt32LE(at + 16)
}
