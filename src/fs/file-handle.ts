// Node's own FileHandle, whose reads, writes, syncs and closes go through the ring.
// Flow: promises-paths (open) → this → file-handle-ring.ts, file-handle-internals.ts → Uring.
//
// A FileHandle of ours is an instance of Node's class: node:fs takes it for streams, it can be sent to another thread, and when it is
// dropped without a close, Node's own rule of the running version applies. Node's class keeps counting who uses the file; an
// operation on the ring is one more user, so neither close() nor the garbage collector can take the file away under it.

import type { FileHandle } from 'node:fs/promises'
import { closeSurely } from '../runtime/operations-path.ts'
import { findInternals, type Internals } from './file-handle-internals.ts'
import { ringHandleClass } from './file-handle-ring.ts'
import { node } from './node-fs.ts'
import { ringNow } from './promises-backend.ts'
import { retold } from './promises-errors.ts'

export interface Handles {
  /** Makes the handle that owns a descriptor. */
  own(fd: number): FileHandle
  /** Whether a value is one of ours. */
  has(value: unknown): value is FileHandle
}

let handles: Handles | null | undefined
let learning: Promise<void> | undefined

/** How to make handles; null where this Node keeps its FileHandle differently from all that are known here. */
export async function handlesNow(): Promise<Handles | null> {
  if (handles === undefined) {
    learning ??= learn().finally(() => {
      learning = undefined
    })
    await learning
  }
  return handles ?? null
}

/** Whether a value is a handle of ours, which there can only be once one was made. */
export function isRingHandle(value: unknown): value is FileHandle {
  return handles?.has(value) ?? false
}

/** Node gives its class to nobody, but each handle has it; the root directory can always be opened. */
async function learn(): Promise<void> {
  let sample: FileHandle
  try {
    sample = await node.open('/')
  } catch {
    // Out of descriptors, say: that is for the call at hand to report. The next one asks again.
    return
  }
  const internals = findInternals(sample)
  handles = internals === null ? null : makeHandles(internals)
  await sample.close()
}

function makeHandles(internals: Internals): Handles {
  const { Native } = internals
  const Class = ringHandleClass(internals)
  return {
    own: (fd) => {
      const native = new Native(fd)
      Object.defineProperty(native, 'close', CLOSE)
      return new Class(native) as unknown as FileHandle
    },
    has: (value): value is FileHandle => value instanceof Class,
  }
}

/** What Node's class calls when the last user is gone. */
async function closeThroughRing(this: InstanceType<Internals['Native']>): Promise<void> {
  const { fd } = this
  const ring = ringNow()
  const nativeClose = Object.getPrototypeOf(this).close as (this: unknown) => Promise<void>
  if (ring === null || fd < 0) return nativeClose.call(this)
  this.releaseFD()
  try {
    await closeSurely(ring, fd)
  } catch (error) {
    throw retold(error)
  }
}

const CLOSE: PropertyDescriptor = { value: closeThroughRing, configurable: true, writable: true }
