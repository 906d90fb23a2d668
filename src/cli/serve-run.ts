// One thread's server: a ring, a listener, the files.
// Flow: serve.ts (one thread), serve-worker.ts (several) → this → net/http/server.ts, serve-files.ts.

import { HttpServer } from '../net/http/server.ts'
import { Uring } from '../runtime/uring.ts'
import { Files } from './serve-files.ts'
import { AccessLog } from './serve-log.ts'
import type { ServeOptions } from './serve-options.ts'

export interface Running {
  port: number
  /** Ends when the answers under way are sent, or `graceMs` have passed. */
  stop(graceMs: number): Promise<void>
  /** Cuts off every connection. */
  destroy(): void
}

/**
 * Starts to serve.
 * @param port instead of the options': workers share the first one's
 * @throws ENOENT, ENOTDIR, EACCES (the directory) · EADDRINUSE, EACCES, EADDRNOTAVAIL (the address) · ERR_RING_UNAVAILABLE
 */
export async function startServing(options: ServeOptions, port = options.port): Promise<Running> {
  const ring = new Uring()
  let root = -1
  try {
    root = await Files.root(ring, options.directory)
    const files = new Files(ring, root, options)
    const log = options.log ? new AccessLog() : undefined
    const server = new HttpServer({
      ring,
      host: options.host,
      port,
      reusePort: options.workers > 1,
      connections: options.connections,
      timeouts: { head: options.headTimeout, idle: options.idleTimeout, send: options.sendTimeout },
      handler: files.answer,
      onAnswer: log?.add,
      onError: (error) => process.stderr.write(`${error instanceof Error ? error.message : error}\n`),
    })
    return {
      port: server.port,
      destroy: () => server.destroy(),
      async stop(graceMs) {
        await server.close(graceMs)
        log?.flush()
        await ring.closeFile(root)
        await ring.close()
      },
    }
  } catch (error) {
    if (root >= 0) await ring.closeFile(root)
    await ring.close()
    throw error
  }
}
