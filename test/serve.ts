// What the tests of the file server share: a server in this process, a directory to serve, answers cut out of bytes.
// Flow: 57.serve*.test.ts → this → dist/cli/serve-run.js, example-programs.ts.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { utimesSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { type ServeOptions, serveOptions } from '#src/cli/serve-options.js'
import { type Running, startServing } from '#src/cli/serve-run.js'
import { exchange } from './example-programs.js'

/** Starts a server on a free port; the test's end stops it. */
export async function serving(
  t: TestContext,
  directory: string,
  options: Partial<ServeOptions> = {},
): Promise<Running> {
  const running = await startServing({ ...serveOptions([directory, '--port', '0'])!, ...options })
  t.after(() => running.stop(0))
  return running
}

/** An HTTP answer, cut out of what came. */
export interface Parsed {
  status: number
  headers: Record<string, string>
  body: Buffer
}

/** All answers in these bytes; bodies are as long as their Content-Length says. `heads` tells which have none. */
export function parseAnswers(bytes: Buffer, heads: readonly number[] = []): Parsed[] {
  const answers: Parsed[] = []
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf('\r\n\r\n', at)
    assert.ok(end >= 0, `no head in ${JSON.stringify(bytes.toString('latin1', at, at + 200))}`)
    const [line = '', ...fields] = bytes.toString('latin1', at, end).split('\r\n')
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(line)?.[1])
    assert.ok(status >= 200, line)
    const headers: Record<string, string> = {}
    for (const field of fields) {
      const colon = field.indexOf(': ')
      headers[field.slice(0, colon).toLowerCase()] = field.slice(colon + 2)
    }
    at = end + 4
    const bare = heads.includes(answers.length) || status === 304 || status === 204
    const length = bare ? 0 : Number(headers['content-length'])
    assert.ok(at + length <= bytes.length, `a body of ${length} bytes was cut`)
    answers.push({ status, headers, body: bytes.subarray(at, at + length) })
    at += length
  }
  return answers
}

/** One request by hand, with nothing tidied up: paths as they are. */
export async function ask(
  port: number,
  target: string,
  fields: Record<string, string> = {},
  method = 'GET',
): Promise<Parsed> {
  const lines = Object.entries({ Host: 'x', Connection: 'close', ...fields }).map(
    ([k, v]) => `${k}: ${v}\r\n`,
  )
  const bytes = await exchange(port, `${method} ${target} HTTP/1.1\r\n${lines.join('')}\r\n`)
  const answers = parseAnswers(bytes, method === 'HEAD' ? [0] : [])
  assert.equal(answers.length, 1, String(bytes))
  return answers[0]!
}

/** Writes a file that is an hour old, so that the server may keep it in memory. */
export function oldFile(directory: string, name: string, content: string | Buffer): string {
  const path = join(directory, name)
  writeFileSync(path, content)
  const hourAgo = Date.now() / 1000 - 3600
  utimesSync(path, hourAgo, hourAgo)
  return path
}

/** A connection that collects what comes. */
export async function dial(
  t: TestContext,
  port: number,
): Promise<{ socket: Socket; received: () => Buffer; ended: Promise<unknown> }> {
  const chunks: Buffer[] = []
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
  socket.on('data', (chunk: Buffer) => chunks.push(chunk)).on('error', () => {})
  t.after(() => socket.destroy())
  const ended = Promise.race([once(socket, 'end'), once(socket, 'close')])
  ended.catch(() => {})
  await once(socket, 'connect')
  return { socket, received: () => Buffer.concat(chunks), ended }
}
