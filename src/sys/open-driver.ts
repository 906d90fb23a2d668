// Finds and loads the native part for this machine, once per thread.
// Flow: ring, sys/index → this → driver-napi.ts → the addon in prebuilds/.

import { createRequire } from 'node:module'
import type { Driver } from './driver.ts'
import { type Addon, napiDriver } from './driver-napi.ts'

let driver: Driver | undefined

/** Why the native part can't be used here. */
export class DriverError extends Error {
  override name = 'DriverError'
  readonly code = 'ERR_RING_UNAVAILABLE'
}

/**
 * Loads the native driver; later calls return the same one.
 * @throws {DriverError} ERR_RING_UNAVAILABLE: not Linux, no addon built for this CPU, or addons are not allowed
 */
export function openDriver(): Driver {
  driver ??= napiDriver(loadAddon())
  return driver
}

function loadAddon(): Addon {
  const { platform, arch } = process
  if (platform !== 'linux') {
    throw new DriverError(`Cannot use io_uring on ${platform}: it is an interface of the Linux kernel`)
  }
  // Seen from dist/sys/: the package's root is two levels up.
  const file = `../../prebuilds/linux-${arch}/ringcore.node`
  try {
    return createRequire(import.meta.url)(file) as Addon
  } catch (cause) {
    throw new DriverError(explain(cause, arch), { cause })
  }
}

function explain(cause: unknown, arch: string): string {
  const code = (cause as NodeJS.ErrnoException | undefined)?.code
  if (code === 'ERR_DLOPEN_DISABLED') {
    return 'Cannot load the native part: addons are disabled; start node with --allow-addons'
  }
  if (code === 'MODULE_NOT_FOUND') {
    return `Cannot load the native part: no build for linux-${arch}; run "npm run build" with a C compiler installed`
  }
  return `Cannot load the native part: ${cause instanceof Error ? cause.message : String(cause)}`
}
