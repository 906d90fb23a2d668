// What the tests of single operations share: the kinds of rings, "refused before anything was queued", TCP and UDP sockets.
// Flow: 45.op.*.test.ts → this → uring.ts → ringcore.

import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import type { Uring, UringOptions } from 'ringcore'
import { opByName } from 'ringcore/ring'
import * as sys from 'ringcore/sys'
import { openDriver } from '#src/sys/open-driver.js'
import { OwnedFd, oracle } from './helpers.js'
import { failure, openUring } from './uring.js'

/** The kinds of rings on which every operation is tried. */
export const OP_KINDS: Readonly<Record<string, UringOptions>> = {
  DEFER_TASKRUN: {},
  'without DEFER_TASKRUN': { deferTaskrun: false },
  SQPOLL: { sqpoll: true, sqThreadIdleMs: 20 },
  SQE128: { sqe128: true },
  CQE32: { cqe32: true },
}

/** One test per kind of ring, where the kernel has the opcodes ('PIPE, READ'). */
export function opTest(
  opcodes: string,
  title: string,
  body: (t: TestContext, ring: Uring) => Promise<void> | void,
  kinds: Readonly<Record<string, UringOptions>> = OP_KINDS,
): void {
  for (const [kind, options] of Object.entries(kinds)) {
    test(`${opcodes}: ${title} (${kind})`, async (t) => {
      oracle(t)
      const ring = openUring(t, options)
      for (const name of opcodes.split(', ')) {
        const row = opByName(name)
        assert.ok(row, name)
        if (!ring.ring.registerProbe().supported(row.code))
          return t.skip(`needs ${row.constant}: kernel ${row.since}`)
      }
      await body(t, ring)
    })
  }
}

/** SQEs claimed since the ring was made: the first word of the block that the loop shares. */
const claimed = (ring: Uring): number => ring.engine.control[0]!

/** Each call fails with its code, and nothing was queued for any of them. */
export async function refused(
  ring: Uring,
  cases: readonly (readonly [code: string, call: () => unknown])[],
): Promise<void> {
  for (const [code, call] of cases) {
    const before = claimed(ring)
    const error = await failure((async () => call())(), String(call))
    assert.equal(error.code, code, `${call}: ${error.message}`)
    assert.equal(claimed(ring), before, `${call}: something was queued`)
    assert.match(error.message, /^(The |Cannot |Invalid state: |EBADF)/, String(call))
  }
}

/** Resolves when a turn of the event loop has passed in which the ring submitted. */
export async function submitted(ring: Uring): Promise<void> {
  ring.flush()
  await new Promise((resolve) => setTimeout(resolve, 3))
}

/** A plain system call. */
export function call(name: sys.SyscallName, ...args: number[]): number {
  return openDriver().syscall(sys.syscallNumber(name), ...args)
}

/** A socket on loopback, bound to a free port. */
export function boundSocket(
  t: TestContext,
  type: number = sys.SOCK_DGRAM,
): { fd: number; address: sys.InternetAddress } {
  const { fd } = new OwnedFd(t, call('socket', sys.AF_INET, type | sys.SOCK_CLOEXEC, 0))
  const name = sys.encodeSockaddr({ address: '127.0.0.1', port: 0 })
  assert.equal(call('bind', fd, openDriver().addressOf(name), name.length), 0)
  return { fd, address: addressOf(fd) }
}

export function addressOf(fd: number): sys.InternetAddress {
  const name = new Uint8Array(128)
  const length = Int32Array.of(name.length)
  const driver = openDriver()
  assert.equal(call('getsockname', fd, driver.addressOf(name), driver.addressOf(length)), 0)
  return sys.decodeSockaddr(name, length[0]) as sys.InternetAddress
}

/** A listening TCP socket on loopback. */
export function listener(t: TestContext): { fd: number; address: sys.InternetAddress } {
  const socket = boundSocket(t, sys.SOCK_STREAM)
  assert.equal(call('listen', socket.fd, 16), 0)
  return socket
}

/** Two ends of a TCP connection on loopback. */
export function tcpPair(t: TestContext): [client: OwnedFd, server: OwnedFd] {
  const { fd, address } = listener(t)
  const client = new OwnedFd(t, call('socket', sys.AF_INET, sys.SOCK_STREAM | sys.SOCK_CLOEXEC, 0))
  const name = sys.encodeSockaddr(address)
  assert.equal(call('connect', client.fd, openDriver().addressOf(name), name.length), 0)
  return [client, new OwnedFd(t, call('accept4', fd, 0, 0, sys.SOCK_CLOEXEC))]
}
