// A thread that makes rings for ever, so that its end comes in the middle of a constructor as often as not.
// Flow: threads.ts → this (a worker thread) → Uring.

import { parentPort } from 'node:worker_threads'
import { Uring } from 'ringcore'

parentPort!.postMessage('at work')
for (;;) {
  const ring = new Uring({ entries: 8 })
  ring.nop().catch(() => {})
  ring.close().catch(() => {})
  await null
}
