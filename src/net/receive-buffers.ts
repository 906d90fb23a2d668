// The buffers that all connections of a ring receive into: memory grows with what arrives, not with who is connected.
// Flow: tcp-stream.ts → this → runtime/buffer-group.ts

import type { BufferGroup } from '../runtime/buffer-group.ts'
import type { Uring } from '../runtime/uring.ts'

const groups = new WeakMap<Uring, BufferGroup>()

export function receiveBuffers(ring: Uring): BufferGroup {
  let group = groups.get(ring)
  if (group === undefined) {
    group = ring.bufferGroup({ entries: 256, bufferBytes: 16384 })
    groups.set(ring, group)
  }
  return group
}
