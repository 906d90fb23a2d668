// Timers in the kernel: several at once, and one request that ticks again and again.
// Run: node build/examples/timer.js [MILLISECONDS]

import { defaultRing, run, spawn } from 'ringcore'

const ms = Number(process.argv[2] ?? 100)
const started = performance.now()
const since = (): string => `${(performance.now() - started).toFixed(1)} ms`

await run(async () => {
  const ring = defaultRing()

  // Three TIMEOUT requests; the kernel wakes us in order of time, not of submission.
  for (const factor of [3, 1, 2]) {
    spawn(async () => {
      await ring.timeout(factor * ms)
      console.log(`timer ${factor} × ${ms} ms: fired after ${since()}`)
    })
  }

  // One TIMEOUT with IORING_TIMEOUT_MULTISHOT: a CQE per tick. Leaving the loop cancels it.
  for await (const tick of ring.timeoutMultishot(ms)) {
    console.log(`tick ${tick}: after ${since()}`)
    if (tick === 3) break
  }
})
