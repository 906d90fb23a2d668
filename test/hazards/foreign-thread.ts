// A thread that gets its hands on another thread's ring: the fd, the native handle, whatever survives a message.
// Flow: test/80.hazards.threads.test.ts → this (a worker thread) → driver.

import { parentPort } from 'node:worker_threads'
import { IORING_ENTER_GETEVENTS, IORING_REGISTER_PROBE } from 'ringcore/sys'
import type { RingHandle } from '#src/sys/driver.js'
import { openDriver } from '#src/sys/open-driver.js'

parentPort!.once('message', ({ fd, handle, clone }: { fd: number; handle: RingHandle; clone: unknown }) => {
  const driver = openDriver()
  const probe = new Uint8Array(16 + 8 * 16)
  parentPort!.postMessage({
    submit: driver.enter(fd, 1, 0, 0, 0, 0),
    wait: driver.enter(fd, 0, 0, IORING_ENTER_GETEVENTS, 0, 0),
    register: driver.register(fd, IORING_REGISTER_PROBE, driver.addressOf(probe), 16),
    turn: driver.turn(handle, 0, 0),
    detach: driver.detach(handle),
    activate: driver.loopActivate(handle),
    methods: typeof (clone as { read?: unknown } | null)?.read,
  })
})
