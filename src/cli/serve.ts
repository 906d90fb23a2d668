// `ringcore serve`: a static file server; one thread, or several that share a port.
// Flow: main.ts → this → serve-options.ts, serve-run.ts or serve-worker.ts (a thread each).

import { once } from 'node:events'
import { resolve } from 'node:path'
import { Worker } from 'node:worker_threads'
import { print } from './print.ts'
import { SERVE_HELP, type ServeOptions, serveOptions } from './serve-options.ts'
import { type Running, startServing } from './serve-run.ts'

/** Why serving could not begin, as a sentence. */
export function sentence({ directory, host, port }: ServeOptions, error: NodeJS.ErrnoException): string {
  const where = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
  const known: Record<string, string> = {
    EADDRINUSE: `Cannot listen on ${where}: the port is in use. Choose another with --port; 0 takes any that is free`,
    EADDRNOTAVAIL: `Cannot listen on ${where}: this machine has no such address`,
    ENOENT: `Cannot serve ${directory}: there is no such directory`,
    ENOTDIR: `Cannot serve ${directory}: it is not a directory`,
  }
  if (error.code === 'EACCES') {
    return error.syscall === 'open'
      ? `Cannot serve ${directory}: no permission to read it`
      : `Cannot listen on ${where}: no permission; ports below 1024 need privileges`
  }
  return known[error.code ?? ''] ?? error.message
}

/** Starts a worker and waits until it serves. */
async function startWorker(options: ServeOptions, port: number): Promise<{ worker: Worker; port: number }> {
  const worker = new Worker(new URL('./serve-worker.js', import.meta.url), { workerData: { options, port } })
  const [answer] = (await once(worker, 'message')) as [{ port?: number; error?: NodeJS.ErrnoException }]
  if (answer.error !== undefined) throw Object.assign(new Error(answer.error.message), answer.error)
  return { worker, port: answer.port! }
}

/** Several threads as one server: the first one's port is the others' too. */
async function startWorkers(options: ServeOptions): Promise<Running & { failed: Promise<Error> }> {
  const workers: Worker[] = []
  const exits: Promise<unknown>[] = []
  let { port } = options
  let fail: (error: Error) => void = () => {}
  const failed = new Promise<Error>((resolve) => {
    fail = resolve
  })
  const say = (message: string): void => {
    for (const worker of workers) worker.postMessage(message)
  }
  const stop = async (): Promise<void> => {
    say('stop')
    await Promise.all(exits)
  }
  try {
    for (let i = 0; i < options.workers; i++) {
      const started = await startWorker(options, port)
      port = started.port
      workers.push(started.worker)
      started.worker.once('error', fail)
      exits.push(once(started.worker, 'exit').catch(() => {}))
    }
  } catch (error) {
    await stop()
    throw error
  }
  return { port, stop, destroy: () => say('destroy'), failed }
}

/** Resolves with the first SIGINT or SIGTERM; the second calls `again`. */
function ended(again: () => void): Promise<void> {
  return new Promise((resolve) => {
    let count = 0
    const onSignal = (): void => {
      if (++count === 1) resolve()
      else again()
    }
    process.on('SIGINT', onSignal).on('SIGTERM', onSignal)
  })
}

/**
 * Serves until SIGINT or SIGTERM.
 * @returns the exit code
 */
export async function runServe(args: string[]): Promise<number> {
  let options: ServeOptions | undefined
  try {
    options = serveOptions(args)
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${SERVE_HELP}\n`)
    return 2
  }
  if (options === undefined) {
    print(SERVE_HELP)
    return 0
  }
  let running: Running & { failed?: Promise<Error> }
  try {
    running = await (options.workers > 1 ? startWorkers(options) : startServing(options))
  } catch (error) {
    process.stderr.write(`${sentence(options, error as NodeJS.ErrnoException)}\n`)
    return 1
  }
  const { host } = options
  const name = host.includes(':') ? `[${host}]` : host
  print(`Serving ${resolve(options.directory)} on http://${name}:${running.port}/`)
  const signal = ended(() => running.destroy())
  const failure = await Promise.race([signal, running.failed ?? signal])
  if (failure instanceof Error) {
    process.stderr.write(`A worker ended: ${failure.message}\n`)
    running.destroy()
  }
  await running.stop(options.grace)
  return failure instanceof Error ? 1 : 0
}
