// The same conversations with node:net and with ringcore/net on either side: both sides see the same events, errors and bytes.
// Flow: this → net-scenarios.ts. RINGCORE_SOAK=1 plays more of them; RINGCORE_SEED=<n> plays that one and prints it.

import assert from 'node:assert/strict'
import nodeNet from 'node:net'
import { join } from 'node:path'
import test from 'node:test'
import ringNet from 'ringcore/net'
import { oracle, tempDir, withTimeout } from './helpers.js'
import { closeDefaultRing } from './net-ring.js'
import { type Net, play, scenarioOf } from './net-scenarios.js'

const COUNT = process.env.RINGCORE_SOAK ? 3000 : 16
const PAIRS: readonly [string, Net, Net][] = [
  ['ring client, node server', ringNet, nodeNet],
  ['node client, ring server', nodeNet, ringNet],
  ['ring on both sides', ringNet, ringNet],
]

test('both sides of a conversation see what they would see with node:net', async (t) => {
  oracle(t)
  closeDefaultRing(t)
  const dir = tempDir(t)
  const only = process.env.RINGCORE_SEED
  const seeds = only === undefined ? Array.from({ length: COUNT }, (_, seed) => seed) : [Number(only)]
  for (const seed of seeds) {
    const scenario = scenarioOf(seed)
    if (only !== undefined) t.diagnostic(JSON.stringify(scenario))
    const run = (client: Net, server: Net, name: string): ReturnType<typeof play> =>
      withTimeout(play(scenario, client, server, join(dir, 'socket')), 20_000, `seed ${seed}: ${name}`)
    const expected = await run(nodeNet, nodeNet, 'node on both sides')
    for (const [name, client, server] of PAIRS) {
      assert.deepEqual(await run(client, server, name), expected, `seed ${seed}: ${name}`)
    }
  }
})
