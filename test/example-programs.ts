// Starts the example programs as child processes, for the tests of them.
// Flow: test/60.*, 61.* → this → build/examples/*.js.

import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { AS_INSTALLED, type RunResult, root, runNode, until, withTimeout } from './helpers.js'

export const script = (name: string): string => join(root, 'build', 'examples', `${name}.js`)

/** Runs an example to its end. */
export const example = (name: string, ...args: string[]): Promise<RunResult> =>
  runNode(script(name), { args, env: AS_INSTALLED })

export interface Server {
  port: number
  child: ChildProcess
  /** Sends SIGINT and returns how the process ended. */
  stop(): Promise<RunResult>
}

/** Starts an example that serves, and waits until it does. */
export async function start(t: TestContext, name: string, ...args: string[]): Promise<Server> {
  const child = spawn(process.execPath, [script(name), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...AS_INSTALLED },
  })
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const closed = once(child, 'close')
  t.after(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
    await closed
  })
  await until(() => /listening on .*\n/.test(stdout) || child.exitCode !== null, 10_000, `${name} to listen`)
  assert.equal(child.exitCode, null, `${name} ended: ${stderr}`)
  return {
    port: Number(/:(\d+)\n/.exec(stdout)![1]),
    child,
    async stop() {
      child.kill('SIGINT')
      const [code, signal] = await withTimeout(closed, 5000, `${name} to end after SIGINT`)
      return { code, signal, stdout, stderr }
    },
  }
}

export function assertClean(result: RunResult): void {
  assert.equal(result.stderr, '')
  assert.deepEqual([result.code, result.signal], [0, null])
}

/** Sends bytes over a connection, ends its own side, and returns what comes until the other ends. */
export function exchange(port: number, ...parts: (Buffer | string)[]): Promise<Buffer> {
  const all = new Promise<Buffer>((resolve, reject) => {
    const chunks: Buffer[] = []
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true }, async () => {
      for (const part of parts) {
        socket.write(part)
        // Parts are to arrive apart.
        if (parts.length > 1) await new Promise((next) => setTimeout(next, 5))
      }
      socket.end()
    })
    socket
      .on('data', (chunk: Buffer) => chunks.push(chunk))
      .on('end', () => resolve(Buffer.concat(chunks)))
      .on('error', reject)
  })
  return withTimeout(all, 10_000, 'the server to answer')
}
