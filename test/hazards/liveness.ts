// A program with something pending at its end: what is pending decides when the process ends.
// Flow: test/80.hazards.protocol.test.ts → this, in a process of its own → Uring. Loads nothing else: it starts many times.

import assert from 'node:assert/strict'
import { Uring } from 'ringcore'
import { POLLIN } from 'ringcore/sys'
import { RINGS } from './rings.js'

const [, , kind = '', what = ''] = process.argv
const ring = new Uring(RINGS[kind])
/** Its fd 0 says nothing. */
const forever = (ref?: boolean) => void ring.read(0, Buffer.alloc(8), { ref }).catch(() => {})
await ring.nop()
if (what === 'unref before') {
  ring.unref()
  forever()
  ring.pollMultishot(0, POLLIN)
} else {
  assert.equal(what, 'ref')
  forever(false)
  void ring.timeout(400)
}
process.stdout.write(what)

/** Keeps the ring from the collector, which would close it. */
export const kept = ring
