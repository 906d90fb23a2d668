// A file's own position, which a ring does not always move.
// Flow: file-handle-*.ts → this → lseek(2).
//
// When a transfer at the file's own position is cut short by an error (a full disk, a bad sector), kernels (6.18) report what was moved
// and leave the position where it was: the next write would overwrite what the last one wrote, and a stream would read the same bytes
// again and again. So whoever asks for such a transfer notes the position before, and after a short one looks whether it has moved.

import type { Uring } from '../runtime/uring.ts'
import { syscallNumber } from '../sys/syscalls.ts'

const SEEK_SET = 0
const SEEK_CUR = 1

/** The file's own position, or -1: a pipe, a socket or a terminal has none. */
export function positionOf(ring: Uring, fd: number): number {
  const position = ring.engine.ring.driver.syscall(syscallNumber('lseek'), fd, 0, SEEK_CUR)
  return position < 0 ? -1 : position
}

/**
 * Moves the position behind what a short transfer moved, unless the kernel has done so.
 * @param before what `positionOf` said when the transfer began
 */
export function moveOn(ring: Uring, fd: number, before: number, bytes: number): void {
  if (before < 0 || bytes <= 0 || positionOf(ring, fd) !== before) return
  ring.engine.ring.driver.syscall(syscallNumber('lseek'), fd, before + bytes, SEEK_SET)
}
