// Every method of Uring is given every kind of wrong argument, one at a time: each is refused with a code and by name, and
// nothing is claimed, queued or counted. A method without a row fails.
// Flow: this → argument-rows.ts, argument-domains.ts → Uring.

import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { Uring } from 'ringcore'
import { opByName } from 'ringcore/ring'
import { With } from './argument-domains.js'
import { INNER, ROWS, type Row, WITHOUT } from './argument-rows.js'
import { oracle } from './helpers.js'
import { openUring, turn } from './uring.js'

/** Every method of the class and of those it extends. */
function methods(): string[] {
  const names = new Set<string>()
  for (let at = Uring.prototype as object; at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(at)))
      if (typeof value === 'function' && name !== 'constructor') names.add(name)
  }
  return [...names].sort()
}

test('every method has a row, and every row a method', (t) => {
  oracle(t)
  assert.deepEqual(methods(), [...Object.keys(ROWS), ...WITHOUT, ...INNER].sort())
})

/** All that a refused call must leave as it was. */
function state(ring: Uring): unknown {
  const { engine } = ring
  return [ring.stats(), Array.from(engine.control), engine.slots.available, ring.ring.sqReady()]
}

/** Calls, and gives the loop one turn when the promise does not settle at once. */
async function outcome(ring: Uring, name: string, { call }: Row, args: unknown[]): Promise<unknown> {
  const begun = (async () => {
    if (call !== undefined) return call(ring, args as never[])
    return Reflect.apply(Reflect.get(ring, name), ring, args)
  })().then(
    () => 'taken',
    (error: unknown) => error,
  )
  return Promise.race([begun, new Promise((resolve) => setImmediate(resolve, 'taken'))])
}

const shown = (value: unknown): string => {
  if (value instanceof With) return `${value.part}: ${shown(value.value)}`
  if (Array.isArray(value)) return value.length > 3 ? `[${value.length}]` : `[${value.map(shown)}]`
  return typeof value === 'object' && value !== null ? (value.constructor?.name ?? 'object') : String(value)
}

/** Whether a message names the argument, elsewhere than where it shows what it got. */
const names = (error: Error, name: string): boolean =>
  new RegExp(`\\b${name}\\b`).test(error.message.replace(/Received [\s\S]*$/, ''))

async function audit(t: TestContext, name: string, one: Row): Promise<number> {
  const ring = openUring(t, one.ring)
  if (one.needs !== undefined && !ring.ring.registerProbe().supported(opByName(one.needs)!.code)) {
    t.diagnostic(`${name}: needs ${one.needs}`)
    return 0
  }
  const wrong: string[] = []
  let calls = 0
  const good = one.takes.map((each) => each.good(ring))
  for (const [i, each] of one.takes.entries()) {
    for (const [code, bad] of each.bad(ring)) {
      // An argument with a default may be left out.
      const args = good.with(i, bad instanceof With ? bad.whole : bad)
      const before = state(ring)
      const error = await outcome(ring, name, one, args)
      const what = `${name}(${each.name} = ${shown(bad)})`
      calls++
      if (!(error instanceof Error)) wrong.push(`${what} was ${error}`)
      else if ((error as NodeJS.ErrnoException).code !== code) wrong.push(`${what}: ${error}, not ${code}`)
      else if (code !== 'ERR_INVALID_URL_SCHEME' && !names(error, bad instanceof With ? bad.part : each.name))
        wrong.push(`${what} is not named: ${error.message}`)
      else {
        const after = state(ring)
        try {
          assert.deepEqual(after, before)
        } catch {
          wrong.push(`${what} left something behind`)
        }
      }
    }
  }
  if (one.noGood === undefined) {
    const claimed = ring.engine.control[0]
    const error = await outcome(ring, name, one, good)
    const { code = '' } = error instanceof Error ? (error as NodeJS.ErrnoException) : {}
    if (code?.startsWith('ERR_')) wrong.push(`${name} with good arguments: ${error}`)
    else if (ring.engine.control[0] === claimed) wrong.push(`${name} with good arguments queued nothing`)
  }
  await ring.close()
  assert.deepEqual(wrong, [])
  return calls
}

for (const [name, one] of Object.entries(ROWS)) {
  test(`${name}: wrong arguments`, async (t) => {
    oracle(t)
    t.diagnostic(`${await audit(t, name, one)} refused`)
    await turn()
  })
}
