// Says "this kernel lacks it" instead of letting the kernel say EINVAL, for opcodes that are newer than what the runtime needs.
// Flow: operations-* → this → ring (REGISTER_PROBE). Asked once per driver; the opcodes of 6.1 never come here.

import { opTable } from '../op/table.ts'
import type { Driver } from '../sys/driver.ts'
import { ringFeatureError } from '../sys/error.ts'
import type { Engine } from './engine.ts'

/** For each driver: 1 at the number of every opcode that the kernel lacks. */
const lacking = new WeakMap<Driver, Uint8Array>()

/** Whether the kernel said that it lacks an opcode. */
export function lacksOpcode(engine: Engine, code: number): boolean {
  const lacks = lacking.get(engine.ring.driver) ?? ask(engine)
  return lacks[code] === 1
}

/**
 * Checks that the kernel has an opcode.
 * @throws ERR_RING_FEATURE, which names the kernel version that brought it
 */
export function requireOpcode(engine: Engine, code: number): void {
  if (lacksOpcode(engine, code)) throw ringFeatureError(opTable[code]!.constant, opTable[code]!.since)
}

function ask(engine: Engine): Uint8Array {
  const lacks = new Uint8Array(opTable.length)
  try {
    const answer = engine.ring.registerProbe()
    for (const { code } of opTable) lacks[code] = answer.supported(code) ? 0 : 1
    lacking.set(engine.ring.driver, lacks)
  } catch {
    // A restricted ring may not ask: then the kernel's own answer to the operation has to do.
  }
  return lacks
}
