// Tests that node:net and ringcore/net must pass alike: a body runs with both, and what it returns is compared.
// Flow: 56.net-features.test.ts, 56.net-nodes-tests.test.ts, 56.net-tls.test.ts → this → node:net and ringcore/net.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import nodeNet, { type AddressInfo } from 'node:net'
import test, { type TestContext } from 'node:test'
import net from 'ringcore/net'
import { oracle } from './helpers.js'
import { closeDefaultRing } from './net-ring.js'

export type Net = typeof nodeNet

export const portOf = (server: nodeNet.Server): number => (server.address() as AddressInfo).port

/** Runs a body with both and compares what they return. */
export function alike(name: string, body: (net: Net, t: TestContext) => unknown): void {
  test(name, async (t) => {
    oracle(t)
    closeDefaultRing(t)
    const expected = await body(nodeNet, t)
    assert.notDeepEqual(expected, [], 'node:net told something')
    assert.deepEqual(await body(net, t), expected)
  })
}

/** A server on loopback, and its end. */
export async function serving(
  server: nodeNet.Server,
  use: (port: number) => Promise<unknown>,
): Promise<void> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    await use(portOf(server))
  } finally {
    server.close()
    await once(server, 'close')
  }
}
