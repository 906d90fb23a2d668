// cat with ringcore: two buffers, so that one is read while the other is written, both in one system call.
// Flow: cat.ts, job-run.ts → this → ringcore.

import type { Uring } from 'ringcore'

/** Both buffers together stay within a core's second-level cache: what was read is still there when it is written. */
const CHUNK = 256 * 1024

async function writeAll(ring: Uring, to: number, buffer: Buffer, length: number): Promise<void> {
  for (let sent = 0; sent < length; )
    sent += await ring.write(to, buffer, { offset: sent, length: length - sent })
}

/** Copies a file to an open descriptor and returns how many bytes it had. */
export async function catRing(ring: Uring, path: string, to: number): Promise<number> {
  const from = await ring.openat(path)
  const buffers = [ring.alloc(CHUNK), ring.alloc(CHUNK)] as const
  let position = 0
  let filled = await ring.read(from, buffers[0], { position })
  for (let turn = 0; filled > 0; turn ^= 1) {
    position += filled
    const [got] = await Promise.all([
      ring.read(from, buffers[turn ^ 1]!, { position }),
      writeAll(ring, to, buffers[turn]!, filled),
    ])
    filled = got
  }
  for (const buffer of buffers) ring.free(buffer)
  await ring.closeFile(from)
  return position
}
