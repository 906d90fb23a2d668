// Memory on JavaScript's heap for what is copied out of the ring's: where from, and that it does not cost page faults each time.
// Flow: buffer-group.ts, net/node/bulk.ts → this → Node's Buffer → malloc.

/** Longer copies get memory of their own: out of Node's pools (64 KiB from Node 26 on) they are first touches of fresh pages. */
const POOLED_BYTES = 4096

/** Memory for a copy of so many bytes. */
export function heapBuffer(length: number): Buffer {
  if (length <= POOLED_BYTES) return Buffer.allocUnsafe(length)
  keepFreedMemory()
  return Buffer.allocUnsafeSlow(length)
}

/** Just below the largest block whose end glibc learns from: 32 MiB. */
const LESSON_BYTES = 31 * 1048576
let isTaught = false

/**
 * Lets glibc keep freed memory for the next message. It gives back what lies free at its heap's end beyond 128 KiB, so each
 * collection of garbage makes the messages after it take fresh pages: 16 faults for 64 KiB. The end of a block that was mapped
 * for itself raises that bound to twice the block's size (mallopt(3), M_MMAP_THRESHOLD, "dynamic"), as in any program that once
 * freed such a block. This one is never touched, so it costs no memory, and ends with the next collection.
 */
export function keepFreedMemory(): void {
  if (isTaught) return
  isTaught = true
  try {
    Buffer.allocUnsafeSlow(LESSON_BYTES)
  } catch {
    // Not so much room for addresses (RLIMIT_AS): then it stays as it is.
  }
}
