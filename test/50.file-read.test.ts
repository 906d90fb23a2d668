// File.readToEnd: every length at which its first guess, its growth or the end of the file may go wrong, and files that lie about theirs.
// Flow: this → ringcore File; node:fs as witness.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { File, Uring } from 'ringcore'
import { oracle, tempDir } from './helpers.js'

test('readToEnd: all lengths, from the start and from an offset', async (t) => {
  oracle(t)
  await using ring = new Uring()
  const path = join(tempDir(t), 'file')
  const edges = [8192, 16384, 32768, 65536].flatMap((edge) => [edge - 1, edge, edge + 1])
  for (const length of [0, 1, ...edges, 1_000_003]) {
    const content = randomBytes(length)
    writeFileSync(path, content)
    await using file = await File.open(path, 'r', { ring })
    assert.ok((await file.readToEnd()).equals(content), `${length} bytes`)
    assert.equal(file.offset, length)
    assert.equal((await file.readToEnd()).length, 0, 'nothing is left')
    file.offset = Math.min(length, 100)
    assert.ok((await file.readToEnd()).equals(content.subarray(100)), `${length} bytes from 100 on`)
    // What is appended later is found later.
    appendFileSync(path, 'more')
    assert.equal(String(await file.readToEnd()), 'more')
  }
})

test('readToEnd: files of /proc, whose size is 0', async (t) => {
  oracle(t)
  await using ring = new Uring()
  for (const path of ['/proc/version', '/proc/kallsyms']) {
    await using file = await File.open(path, 'r', { ring })
    assert.ok((await file.readToEnd()).equals(readFileSync(path)), path)
  }
})
