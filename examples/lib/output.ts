// Writing to a descriptor until all of it is written: a pipe or a terminal may take less than asked.

import type { Uring } from 'ringcore'

/** Writes all of `bytes` at the descriptor's own position. */
export async function writeAll(ring: Uring, fd: number, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) done += await ring.write(fd, bytes, { offset: done })
}

/** Ends the process quietly when nobody reads its output any more, as in `cat FILE | head -1`. */
export function quietOnClosedPipe(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== 'EPIPE') throw error
}
