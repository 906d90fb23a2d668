// Whether a ring can be part of the program's event loop: Node's is libuv's; Bun has none of that, Deno parts of it.
// Flow: uring.ts, net.ts, fs/promises-backend.ts → this → ring/probe.ts

import { available } from '../ring/probe.ts'

/** The runtime whose event loop is not libuv's; undefined on Node. */
export const foreignHost: string | undefined = ['bun', 'deno'].find((name) => name in process.versions)

/** Whether `new Uring()` can be expected to work here. */
export function canDriveRings(): boolean {
  return foreignHost === undefined && available().available
}
