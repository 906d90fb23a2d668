// The thread's ring for `ringcore/fs`, or none: then every call goes to node:fs/promises.
// Flow: promises-*, file-handle → this → runtime/executor (the ring), runtime/host (whether there can be one).

import { defaultRing } from '../runtime/executor.ts'
import { canDriveRings } from '../runtime/host.ts'
import { lacksOpcode } from '../runtime/opcode-gate.ts'
import type { Uring } from '../runtime/uring.ts'

export type Backend = 'io_uring' | 'node'

/** Node's permission model can't see what a ring does, so under `--permission` nothing goes around it. */
const guarded = (process as { permission?: unknown }).permission !== undefined

/** Which way functions go that have an opcode: asked once, when the module is loaded. */
export const backend: Backend = !guarded && canDriveRings() ? 'io_uring' : 'node'

let ring: Uring | null = null

/** The thread's ring, made when first needed; null where none can be made, also when only for now (EMFILE, ENOMEM). */
export function ringNow(): Uring | null {
  if (ring !== null && !ring.closed) return ring
  if (backend === 'node') return null
  try {
    ring = defaultRing()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === undefined) throw error
    ring = null
  }
  return ring
}

/** Whether the kernel has an opcode that is newer than what the runtime needs. */
export function canDo(ring: Uring, opcode: number): boolean {
  return !lacksOpcode(ring.engine, opcode)
}
