// Rings with promises for tests: every kind of ring, and the questions each test ends with.
// Flow: 40.runtime.*, 50.file, 51.tcp → this → ringcore.

import assert from 'node:assert/strict'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { pathToFileURL } from 'node:url'
import { Uring, type UringOptions } from 'ringcore'
import { probe } from 'ringcore/ring'
import { oracle, pipe, root } from './helpers.js'

/** The package as its users get it, for workers: they load it in a fraction of the time that its modules take. */
export const PACKAGE = pathToFileURL(join(root, 'dist', 'bundle', 'index.js')).href

/** The kinds of rings that the runtime must behave alike on. */
export const KINDS: Readonly<Record<string, UringOptions>> = {
  DEFER_TASKRUN: {},
  'without DEFER_TASKRUN': { deferTaskrun: false },
  SQPOLL: { sqpoll: true, sqThreadIdleMs: 20 },
  CQE32: { cqe32: true },
  SQE128: { sqe128: true },
  ...(probe().setupFlags.IORING_SETUP_CQE_MIXED === true ? { CQE_MIXED: { cqeMixed: true } } : {}),
  'waits in the ring': { wait: 'ring' },
  'waits in epoll': { wait: 'epoll' },
}

/** A ring that the test's end closes, after it was asked whether anything is left in it. */
export function openUring(t: TestContext, options: UringOptions = {}): Uring {
  const ring = new Uring(options)
  t.after(async () => {
    const wasOpen = !ring.closed
    const { inFlight, queued, referenced, strays } = ring.stats()
    await ring.close()
    const { slots } = ring.engine
    assert.equal(slots.available, slots.max, 'slots are free after close()')
    assert.equal(strays, 0, 'no CQE without an operation')
    if (wasOpen) assert.deepEqual({ inFlight, queued, referenced }, { inFlight: 0, queued: 0, referenced: 0 })
    assert.equal(ring.stats().referenced, 0)
  })
  return ring
}

/** One test for each kind of ring. */
export function testKinds(
  name: string,
  body: (t: TestContext, ring: Uring, options: UringOptions) => Promise<void> | void,
  kinds: Readonly<Record<string, UringOptions>> = KINDS,
): void {
  for (const [kind, options] of Object.entries(kinds)) {
    test(`${name} (${kind})`, async (t) => {
      oracle(t)
      await body(t, openUring(t, options), options)
    })
  }
}

/** Resolves in a later turn of the event loop. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/**
 * For what is measured in milliseconds, on a machine that others may keep busy: the body may fail, but not every time.
 * What the code does wrong, it does wrong each time.
 */
export async function oneOf(attempts: number, body: () => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await body()
    } catch (error) {
      if (attempt === attempts) throw error
    }
  }
}

/** Reads from an empty pipe, `count` of them at once: operations that stay in flight until something is written. */
export function blockedReads(t: TestContext, ring: Uring, count: number, signal?: AbortSignal) {
  const ends = pipe(t)
  const reads = Array.from({ length: count }, () => ring.read(ends.reader.fd, Buffer.alloc(1), { signal }))
  for (const read of reads) read.catch(() => {})
  return { ...ends, reads }
}

/** What a rejected promise rejects with. */
export async function failure(
  promise: Promise<unknown>,
  what = 'the operation',
): Promise<NodeJS.ErrnoException & Record<string, unknown>> {
  try {
    await promise
  } catch (error) {
    return error as NodeJS.ErrnoException & Record<string, unknown>
  }
  throw new assert.AssertionError({ message: `${what} succeeded; it should have failed` })
}
