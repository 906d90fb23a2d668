// stat, lstat and fstat through the ring, as instances of Node's own classes.
// Flow: promises-paths, file-handle → this → op/prep-path (STATX), engine. man statx(2)
// Node's classes have no public way to be made, so the constructors are those of a Stats that Node made.

import { type BigIntStats, type Stats, statSync } from 'node:fs'
import { prepStatx } from '../op/prep-path.ts'
import { putPath } from '../runtime/operations.ts'
import { pathText } from '../runtime/operations-path.ts'
import type { Uring } from '../runtime/uring.ts'
import { IORING_OP_STATX } from '../sys/abi.ts'
import { AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW } from '../sys/constants.ts'
import { device, STATX_BYTES, STATX_FOR_STATS, STATX_TIMES, seconds, u64 } from '../sys/statx.ts'

type Maker<T> = new (...fields: (number | bigint)[]) => T

const NumberStats = statSync('/').constructor as unknown as Maker<Stats>
const WholeStats = statSync('/', { bigint: true }).constructor as unknown as Maker<BigIntStats>
/** Since Node 26 a Stats is made of seconds and nanoseconds, before of milliseconds; a BigIntStats always of nanoseconds. */
const TAKES_SECONDS = 18
const TAKES_ONE_EACH = 14
/** Whether this Node's classes take one of the forms known here; else stat is Node's. */
export const statsAreKnown =
  (NumberStats.length === TAKES_SECONDS || NumberStats.length === TAKES_ONE_EACH) &&
  WholeStats.length === TAKES_ONE_EACH

/** In the order in which the constructors take them. */
const TIMES = [STATX_TIMES.atime, STATX_TIMES.mtime, STATX_TIMES.ctime, STATX_TIMES.btime]

function numberStats(view: DataView): Stats {
  const fields = [
    device(view, 136),
    view.getUint16(28, true),
    view.getUint32(16, true),
    view.getUint32(20, true),
    view.getUint32(24, true),
    device(view, 128),
    view.getUint32(4, true),
    u64(view, 32),
    u64(view, 40),
    u64(view, 48),
  ]
  for (const at of TIMES) {
    const nanoseconds = view.getUint32(at + 8, true)
    if (NumberStats.length === TAKES_SECONDS) fields.push(seconds(view, at), nanoseconds)
    else fields.push(seconds(view, at) * 1000 + nanoseconds / 1e6)
  }
  return new NumberStats(...fields)
}

function wholeStats(view: DataView): BigIntStats {
  const fields = [
    BigInt(device(view, 136)),
    BigInt(view.getUint16(28, true)),
    BigInt(view.getUint32(16, true)),
    BigInt(view.getUint32(20, true)),
    BigInt(view.getUint32(24, true)),
    BigInt(device(view, 128)),
    BigInt(view.getUint32(4, true)),
    view.getBigInt64(32, true),
    view.getBigInt64(40, true),
    view.getBigInt64(48, true),
  ]
  for (const at of TIMES)
    fields.push(view.getBigInt64(at, true) * 1_000_000_000n + BigInt(view.getUint32(at + 8, true)))
  return new WholeStats(...fields)
}

/** Whose metadata: a path, or an open file. */
export type StatTarget = { path: string | Uint8Array; follow: boolean } | { fd: number }

/** Asks the kernel, and makes Node's Stats, or BigIntStats, of the answer. */
export function statThroughRing(
  ring: Uring,
  target: StatTarget,
  bigint: boolean,
): Promise<Stats | BigIntStats> {
  const { engine } = ring
  const slot = engine.begin(IORING_OP_STATX, undefined)
  if (slot === null) return engine.later(() => statThroughRing(ring, target, bigint))
  const answer = new Uint8Array(STATX_BYTES)
  const address = engine.ring.driver.addressOf(answer)
  slot.held = answer
  if ('fd' in target) {
    const empty = putPath(engine, slot, '')
    prepStatx(slot.sqe, target.fd, empty, AT_EMPTY_PATH, STATX_FOR_STATS, address)
  } else {
    slot.details = { path: pathText(target.path) }
    const name = putPath(engine, slot, target.path)
    const flags = target.follow ? 0 : AT_SYMLINK_NOFOLLOW
    prepStatx(slot.sqe, AT_FDCWD, name, flags, STATX_FOR_STATS, address)
  }
  slot.finish = () => {
    const view = new DataView(answer.buffer)
    return bigint ? wholeStats(view) : numberStats(view)
  }
  return engine.promise(slot)
}
