// Memory for receives of much at a time: one buffer is ready, and becomes the reader's when it was filled well.
// Flow: reader.ts → this → sys/driver, runtime/heap-buffer.ts.

import { heapBuffer, keepFreedMemory } from '../../runtime/heap-buffer.ts'
import type { Uring } from '../../runtime/uring.ts'

/** What one receive may bring; as much as libuv asks for. */
export const BULK_BYTES = 65536

/** What is less is copied: memory that was never touched before costs more than the copy. */
const KEEP_BYTES = 49152

let spare: Buffer | null = null
let address = 0

/** Where the buffer is that is ready. */
export function bulkAddress(ring: Uring): number {
  if (spare === null) {
    keepFreedMemory()
    spare = Buffer.allocUnsafeSlow(BULK_BYTES)
    address = ring.ring.driver.addressOf(spare)
  }
  return address
}

/** The first `length` bytes that were received into it. */
export function takeBulk(length: number): Buffer {
  const filled = spare!.subarray(0, length)
  if (length < KEEP_BYTES) {
    const copy = heapBuffer(length)
    copy.set(filled)
    return copy
  }
  spare = null
  return filled
}
