// What the tests of the append log share: records that tell what they are, and logs read to the end.
// Flow: 55.append-log.* → this → ringcore.

import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { AppendLog, type LogRecord, type RecoverOptions } from 'ringcore'

/** A record that can be told from all others and from damaged ones: its number, then bytes that follow from it. */
export function record(number: number, length: number): Buffer {
  const bytes = Buffer.alloc(Math.max(4, length))
  for (let i = 4; i < bytes.length; i++) bytes[i] = (number * 31 + i * 7) & 0xff
  bytes.writeUInt32LE(number)
  return bytes
}

/** The number of a record of `record`, checked to the last byte. */
export function numberOf(bytes: Buffer): number {
  const number = bytes.readUInt32LE()
  assert.ok(bytes.equals(record(number, bytes.length)), `record ${number} is not intact`)
  return number
}

export async function readAll(directory: string, options?: RecoverOptions): Promise<LogRecord[]> {
  const found: LogRecord[] = []
  for await (const one of AppendLog.recover(directory, options)) found.push(one)
  return found
}

/** The records up to the error that ends them. */
export async function readUntilError(records: AsyncIterable<LogRecord>) {
  const found: LogRecord[] = []
  try {
    for await (const one of records) found.push(one)
  } catch (error) {
    return {
      found,
      error: error as NodeJS.ErrnoException & { position?: number; next?: number; path?: string },
    }
  }
  return { found, error: undefined }
}

/** A directory in memory, for tests that make very many files; it disappears with the test. */
export function memoryDir(t: TestContext): string {
  const dir = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'ringcore-test-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

/** The names of a log's segments. */
export function segmentsOf(directory: string): string[] {
  return readdirSync(directory)
    .filter((name) => name.endsWith('.log'))
    .sort()
}

/** Changes one segment's bytes. */
export function edit(directory: string, name: string, change: (bytes: Buffer) => Buffer | undefined): void {
  const path = join(directory, name)
  const bytes = readFileSync(path)
  writeFileSync(path, change(bytes) ?? bytes)
}

/** Changes one bit of a segment. */
export function flip(directory: string, name: string, at: number): void {
  edit(directory, name, (bytes) => {
    bytes[at]! ^= 0x10
    return bytes
  })
}

/** Pseudo-random whole numbers below `limit`, the same for each seed. */
export function random(seed: number): (limit: number) => number {
  let state = seed >>> 0 || 1
  return (limit) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % limit
  }
}
