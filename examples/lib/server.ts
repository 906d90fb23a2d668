// What every server of these examples does around its own work: listen on loopback, say where, accept, end on SIGINT.

import { parseArgs } from 'node:util'
import { run, spawn, TcpListener, type TcpStream } from 'ringcore'

/** Failures of a connection that are the peer's doing; a server goes on. */
export const PEER_LEFT = new Set(['ECONNRESET', 'EPIPE', 'ECONNABORTED', 'ETIMEDOUT'])
const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code

/** Reads `--port` (0, the default, lets the kernel choose) and what else is on the command line. */
export function serverArguments(): { port: number; rest: string[] } {
  const { values, positionals } = parseArgs({
    options: { port: { type: 'string', default: '0' } },
    allowPositionals: true,
  })
  return { port: Number(values.port), rest: positionals }
}

/**
 * Accepts until SIGINT or SIGTERM and runs `handle` for each connection; one that fails ends alone.
 *
 * Resolves when the listener and every connection are closed.
 */
export function serve(port: number, handle: (stream: TcpStream) => Promise<void>): Promise<unknown> {
  const listener = TcpListener.bind({ host: '127.0.0.1', port, noDelay: true })
  const connections = new Set<TcpStream>()
  let stopping = false

  const stop = (): void => {
    stopping = true
    process.off('SIGINT', stop).off('SIGTERM', stop)
    listener.close()
    // Closing cancels the reads that wait; their tasks see the end of the stream and finish.
    for (const stream of connections) stream.close()
  }
  process.on('SIGINT', stop).on('SIGTERM', stop)

  const serveOne = async (stream: TcpStream): Promise<void> => {
    connections.add(stream)
    try {
      await handle(stream)
    } catch (error) {
      if (!stopping && !PEER_LEFT.has(codeOf(error) ?? '')) console.error(error)
    } finally {
      connections.delete(stream)
      await stream.close()
    }
  }

  console.log(`listening on 127.0.0.1:${listener.port}`)
  return run(async () => {
    // Out of descriptors, the loop waits until some are free.
    for await (const stream of listener) spawn(() => serveOne(stream))
    await listener.close()
  })
}
