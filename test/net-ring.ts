// The thread's ring, which sockets of ringcore/net use: a test's end closes it and asks what is left in it.
// Flow: 56.net-* → this → ringcore.

import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { defaultRing } from 'ringcore'
import { until } from './helpers.js'

/** Call behind `oracle`, and before anything that makes a socket. */
export function closeDefaultRing(t: TestContext): void {
  const ring = defaultRing()
  t.after(async () => {
    const idle = (): boolean => ring.stats().inFlight + ring.stats().queued === 0
    await until(idle, 5000, `the ring to be idle: ${JSON.stringify(ring.stats())}`)
    assert.equal(ring.stats().strays, 0, 'CQEs came that named no operation in flight')
    await ring.close()
  })
}
