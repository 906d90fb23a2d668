// The memory of a ring of provided buffers, and its registration: ours, or mapped from the kernel.
// Flow: buffer-ring.ts, runtime/send-group.ts → this → REGISTER_PBUF_RING, driver.map.
// man io_uring_register_buf_ring(3)

import * as abi from '../sys/abi.ts'
import { EINVAL } from '../sys/errno.ts'
import { errnoError, invalidArgument, rangeError, ringFeatureError } from '../sys/error.ts'
import { checkBoolean, checkInteger } from '../sys/validate.ts'
import type { Ring } from './ring.ts'

const PAGE_BYTES = 4096
/** The u16 of the ring that is its tail: the last two bytes of entry 0. */
export const TAIL = 7

export interface BufferRingOptions {
  /** Buffer group, 0 to 65,535: what requests with IOSQE_BUFFER_SELECT name. */
  group: number
  /** Buffers: a power of two up to 32,768. */
  entries: number
  /** Bytes of each. */
  bufferBytes: number
  /** A buffer may serve several completions, each taking on where the last one ended. @kernel 6.12 */
  incremental?: boolean | undefined
  /** The kernel provides the memory of the ring itself, 16 bytes a buffer, and lets us map it. @kernel 6.4 */
  mapped?: boolean | undefined
}

export interface BufRingMemory {
  /** The entries. */
  memory: ArrayBuffer
  /** The buffers, one behind the other. */
  buffers: Uint8Array
}

function check(options: BufferRingOptions): void {
  const { group, entries, bufferBytes, incremental = false, mapped = false } = options
  checkInteger('group', group, 0, 0xffff)
  checkInteger('entries', entries, 1, abi.PBUF_RING_MAX_ENTRIES)
  if ((entries & (entries - 1)) !== 0) throw rangeError('entries', 'a power of two', entries)
  checkInteger('bufferBytes', bufferBytes, 1, 0x7fffffff)
  checkBoolean('incremental', incremental)
  checkBoolean('mapped', mapped)
}

function mapOrThrow(ring: Ring, fd: number, bytes: number, offset: number): ArrayBuffer {
  const memory = ring.driver.map(fd, bytes, offset)
  if (typeof memory === 'number') throw errnoError(memory, 'mmap')
  // Held before the kernel hears of it, so that no way out leaves it with memory that may go.
  ring.hold(memory)
  return memory
}

/**
 * Maps the memory of a group and registers its ring, which is empty then.
 * @throws {UringError} EEXIST the group is taken · EINVAL a kernel before 5.19 · ENOMEM
 * @throws ERR_RING_FEATURE the kernel knows no mapped rings (6.4) or no incremental ones (6.12)
 */
export function openBufRing(ring: Ring, options: BufferRingOptions): BufRingMemory {
  check(options)
  const { group, entries, bufferBytes, incremental = false, mapped = false } = options
  if (mapped && ring.fd < 0)
    throw invalidArgument('Cannot map a buffer ring: the ring has no fd (registeredFdOnly); leave out mapped')
  const ringBytes = Math.ceil((entries * 16) / PAGE_BYTES) * PAGE_BYTES
  const before = mapped ? 0 : ringBytes
  const own = mapOrThrow(ring, -1, before + entries * bufferBytes, 0)
  const buffers = new Uint8Array(own, before)
  const flags = (incremental ? abi.IOU_PBUF_RING_INC : 0) | (mapped ? abi.IOU_PBUF_RING_MMAP : 0)
  const address = mapped ? 0 : ring.driver.addressOf(buffers) - before
  try {
    ring.registerBufRing({ group, entries, address, flags })
  } catch (error) {
    ring.letGo(own)
    if ((error as NodeJS.ErrnoException).errno !== -EINVAL || flags === 0) throw error
    throw incremental
      ? ringFeatureError('IOU_PBUF_RING_INC', '6.12')
      : ringFeatureError('IOU_PBUF_RING_MMAP', '6.4')
  }
  if (!mapped) return { memory: own, buffers }
  try {
    const offset = abi.IORING_OFF_PBUF_RING + group * 2 ** abi.IORING_OFF_PBUF_SHIFT
    return { memory: mapOrThrow(ring, ring.fd, ringBytes, offset), buffers }
  } catch (error) {
    ring.unregisterBufRing(group)
    ring.letGo(own)
    throw error
  }
}

/** The mappings of a group: that of its buffers, and the kernel's. */
export const mappingsOf = ({ memory, buffers }: BufRingMemory): Set<ArrayBuffer> =>
  new Set([memory, buffers.buffer as ArrayBuffer])

/** Unregisters a group; the kernel's pages are let go first: no view may see what they are used for next. */
export function closeBufRing(ring: Ring, group: number, memory: ArrayBuffer, mapped: boolean): void {
  if (ring.closed) return
  if (mapped) ring.driver.unmap(memory)
  ring.unregisterBufRing(group)
}
