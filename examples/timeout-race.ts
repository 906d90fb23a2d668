// A race whose loser is cancelled in the kernel: once between two timers, once between a read and its deadline.
// Run: node build/examples/timeout-race.js

import { defaultRing, run, type Uring } from 'ringcore'
import { socketPair } from './lib/socket-pair.ts'

/** Whoever is done first wins; the other is cancelled, and waited for: its memory is the kernel's until then. */
async function race(ring: Uring): Promise<void> {
  const cancel = new AbortController()
  const hare = ring.timeout(20).then(() => 'the 20 ms timer')
  const tortoise = ring.timeout(60_000, { signal: cancel.signal })

  const started = performance.now()
  const winner = await Promise.race([hare, tortoise])
  console.log(`winner: ${winner}`)
  cancel.abort()
  const [loser] = await Promise.allSettled([tortoise])
  if (loser.status !== 'rejected') throw new Error('the loser was not cancelled')
  const elapsed = performance.now() - started
  console.log(
    `loser: ${loser.reason.name}, ${elapsed < 1000 ? 'long before' : 'not before'} its 60 s were over`,
  )
}

/** Every operation takes a deadline: a LINK_TIMEOUT that the kernel keeps by itself. */
async function deadline(ring: Uring): Promise<void> {
  const [reader, silent] = socketPair()
  try {
    await ring.recv(reader, Buffer.alloc(16), { timeout: 20 })
    throw new Error('something came over a silent socket')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ETIMEDOUT') throw error
    console.log(`read of a silent socket: ${(error as NodeJS.ErrnoException).code}`)
  } finally {
    await Promise.all([ring.closeFile(reader), ring.closeFile(silent)])
  }
}

await run(async () => {
  const ring = defaultRing()
  await race(ring)
  await deadline(ring)
  console.log(`in flight at the end: ${ring.stats().inFlight}`)
})
