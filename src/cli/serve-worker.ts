// A thread of `ringcore serve --workers N`: serves until it is told to stop.
// Flow: serve.ts (new Worker) → this → serve-run.ts. Says {port} or {error}; hears 'stop' and 'destroy'.

import { parentPort, workerData } from 'node:worker_threads'
import type { ServeOptions } from './serve-options.ts'
import { type Running, startServing } from './serve-run.ts'

const { options, port } = workerData as { options: ServeOptions; port: number }
const parent = parentPort!

try {
  const running: Running = await startServing(options, port)
  parent.on('message', async (message: string) => {
    if (message === 'destroy') running.destroy()
    else {
      await running.stop(options.grace)
      parent.close()
    }
  })
  parent.postMessage({ port: running.port })
} catch (error) {
  const { code, message, syscall } = error as NodeJS.ErrnoException
  parent.postMessage({ error: { code, message, syscall } })
  parent.close()
}
