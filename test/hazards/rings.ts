// The kinds of rings of the hazard tests; a file of its own, so that the many threads they start load little else.
// Flow: common.ts, terminate-worker.ts → this.

import type { UringOptions } from 'ringcore'

/** The kinds of rings that behave differently where memory and endings are concerned. */
export const RINGS: Readonly<Record<string, UringOptions>> = {
  'waiting in the ring': { wait: 'ring' },
  'waiting in epoll': { wait: 'epoll' },
  plain: { deferTaskrun: false },
  cooperative: { coopTaskrun: true, taskrunFlag: true },
  'without an fd': { noMmap: true, registeredFdOnly: true },
  sqpoll: { sqpoll: true, sqThreadIdleMs: 5 },
}

/** The same, less those that differ only in where the thread waits. */
export const DISTINCT_RINGS: readonly string[] = ['waiting in the ring', 'plain', 'without an fd', 'sqpoll']
