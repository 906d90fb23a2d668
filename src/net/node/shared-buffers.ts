// The memory that all sockets of node:net's API on a ring receive into, before what came is copied to its reader.
// Flow: reader.ts → this → runtime/buffer-group.ts
// Where the kernel fills buffers to their end (6.12), a few large ones serve: a message of 64 KiB comes as one piece, and a small
// one takes no more than its bytes. There are four of 256 KiB: more were not quicker. Elsewhere there are many of 64 KiB.

import type { BufferGroup } from '../../runtime/buffer-group.ts'
import type { Uring } from '../../runtime/uring.ts'
import { EINVAL } from '../../sys/errno.ts'
import { receiveBuffers } from '../receive-buffers.ts'

const groups = new WeakMap<Uring, BufferGroup>()

export function sharedBuffers(ring: Uring): BufferGroup {
  let group = groups.get(ring)
  if (group === undefined) {
    group = makeGroup(ring)
    groups.set(ring, group)
  }
  return group
}

function makeGroup(ring: Uring): BufferGroup {
  try {
    return ring.bufferGroup({ entries: 4, bufferBytes: 262144, incremental: true })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).errno !== -EINVAL) throw error
    return receiveBuffers(ring)
  }
}
