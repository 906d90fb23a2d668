// One suite for every kind of ring: default, no index array or with one, DEFER_TASKRUN, SQPOLL, big entries, memory of ours.
// Flow: 20.ring-*.test.ts → this → ringcore/ring.

import test, { type TestContext } from 'node:test'
import { probe, Ring, type RingOptions, SETUP_FLAGS } from 'ringcore/ring'
import { oracle } from './helpers.js'

export interface RingKind {
  name: string
  options: RingOptions
}

export const RING_KINDS: readonly RingKind[] = [
  { name: 'default', options: {} },
  { name: 'with an SQ array', options: { noSqarray: false } },
  { name: 'SUBMIT_ALL', options: { submitAll: true } },
  { name: 'COOP_TASKRUN', options: { coopTaskrun: true, taskrunFlag: true } },
  { name: 'DEFER_TASKRUN', options: { singleIssuer: true, deferTaskrun: true } },
  {
    name: 'DEFER_TASKRUN and TASKRUN_FLAG',
    options: { singleIssuer: true, deferTaskrun: true, taskrunFlag: true },
  },
  { name: 'SQPOLL', options: { sqpoll: true, sqThreadIdleMs: 20 } },
  { name: 'SQE128', options: { sqe128: true } },
  { name: 'CQE32', options: { cqe32: true } },
  { name: 'CQE_MIXED', options: { cqeMixed: true } },
  { name: 'NO_MMAP', options: { noMmap: true } },
  { name: 'REGISTERED_FD_ONLY', options: { noMmap: true, registeredFdOnly: true } },
  {
    name: 'SQE128, CQE32, DEFER_TASKRUN',
    options: { sqe128: true, cqe32: true, singleIssuer: true, deferTaskrun: true },
  },
]

/** The setup flags that `options` asks for and this kernel does not know. */
export function missingFlags(options: RingOptions): string[] {
  const { setupFlags } = probe()
  return SETUP_FLAGS.filter(({ option, name }) => options[option] === true && !setupFlags[name]).map(
    ({ name }) => name,
  )
}

/** Runs the body as one test per kind, with a fresh ring of 8 entries (or as `more` says) that the end closes. */
export function forEachRingKind(
  title: string,
  more: RingOptions,
  body: (t: TestContext, ring: Ring, kind: RingKind) => void | Promise<void>,
): void {
  for (const kind of RING_KINDS) {
    test(`${title}: ${kind.name}`, async (t) => {
      oracle(t)
      const options = { entries: 8, ...kind.options, ...more }
      const missing = missingFlags(options)
      if (missing.length > 0) return t.skip(`this kernel does not have ${missing.join(', ')}`)
      const ring = new Ring(options)
      t.after(() => ring.close({ cancel: true }))
      await body(t, ring, kind)
    })
  }
}

/** Takes CQEs as arrays [userData, res, flags] until `count` are there. */
export function takeCqes(ring: Ring, count: number): [userData: number, res: number, flags: number][] {
  const taken: [number, number, number][] = []
  while (taken.length < count) {
    if (ring.cqReady() === 0) ring.submitAndWaitTimeout(1, { timeoutMs: 5000 })
    const seen = ring.forEachCqe((userData, _high, res, flags) => taken.push([userData, res, flags]))
    if (seen === 0) throw new Error(`only ${taken.length} of ${count} CQEs came`)
  }
  return taken
}
