// Random reads of 4 KiB: 1, 16 and 128 in flight, from the page cache and with O_DIRECT.
// Flow: main.ts → this → ringcore, node:fs/promises, bench/c/read4k.c (liburing).

import { closeSync, constants, openSync, readFileSync, readSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { Uring } from 'ringcore'
import { IORING_SETUP_DEFER_TASKRUN, IORING_SETUP_SINGLE_ISSUER } from 'ringcore/sys'
import { type Bench, type Case, type Context, type Target, timed } from './harness.ts'
import { compilePeer, fileSystemOf, makeFile, numbers, runPeer } from './tools.ts'

const BLOCK = 4096
const BLOCKS = 16384
const FLAGS = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN

/** What the issue asks of cached reads, by how many are in flight. */
const TARGETS: Record<number, Target[]> = {
  1: [{ kind: 'ratio', against: 'FileHandle.read', of: 'time', atLeast: 14 }],
  128: [{ kind: 'ratio', against: 'FileHandle.read', of: 'time', atLeast: 4 }],
}

/** The positions that every subject reads, in the same order. */
function positions(count: number): Float64Array {
  const random = numbers(1)
  return Float64Array.from({ length: count }, () => Math.floor(random.next().value * BLOCKS) * BLOCK)
}

/** Every read must have brought the bytes of its place: the file's words count up. */
function check(buffer: Buffer, position: number): void {
  const expected = Math.imul(position / 4 + 1, 2654435761) >>> 0
  if (buffer.readUInt32LE(0) !== expected) throw new Error(`wrong bytes from position ${position}`)
}

async function readCase(context: Context, path: string, inFlight: number, direct: boolean): Promise<Case> {
  const ring = new Uring({ entries: 256 })
  const flags = constants.O_RDONLY | (direct ? constants.O_DIRECT : 0)
  const fd = openSync(path, flags)
  const handle = await open(path, flags)
  const ops = direct
    ? context.amount(inFlight === 1 ? 2000 : 10_000, 200)
    : context.amount(inFlight === 1 ? 20_000 : 200_000, 2000)
  const places = positions(ops)
  // Page-aligned, as O_DIRECT wants it; both sides read into the same memory.
  const buffers = Array.from({ length: inFlight }, () => ring.alloc(BLOCK))

  const each = (read: (buffer: Buffer, position: number) => Promise<unknown>) => () =>
    timed(ops, async () => {
      let next = 0
      const lane = async (buffer: Buffer): Promise<void> => {
        while (next < ops) {
          const position = places[next++]!
          await read(buffer, position)
          if (next % 64 === 0) check(buffer, position)
        }
      }
      await Promise.all(buffers.map(lane))
    })
  const plan: Case = {
    name: `${direct ? 'O_DIRECT' : 'cached'}, ${inFlight} in flight`,
    unit: 'µs',
    subjects: [
      { name: 'ring.read', run: each((buffer, position) => ring.read(fd, buffer, { position })) },
      { name: 'FileHandle.read', run: each((buffer, position) => handle.read(buffer, 0, BLOCK, position)) },
      { name: 'ring.readFixed', run: each((buffer, position) => ring.readFixed(fd, buffer, { position })) },
    ],
    targets: direct ? [] : (TARGETS[inFlight] ?? []),
    close: async () => {
      closeSync(fd)
      await handle.close()
      await ring.close()
    },
  }
  if (inFlight === 1 && !direct) {
    const sync = (): void => {
      for (const place of places) readSync(fd, buffers[0]!, 0, BLOCK, place)
    }
    plan.subjects.push({ name: 'fs.readSync', run: () => timed(ops, sync) })
  }
  const peer = compilePeer('read4k')
  if ('reason' in peer) context.skip('liburing in C', peer.reason)
  else {
    const args = [path, ops, inFlight, FLAGS, direct ? 1 : 0]
    plan.subjects.push({ name: 'liburing in C', run: () => runPeer(peer.program, args) })
  }
  return plan
}

export const read4k: Bench = {
  name: 'read4k',
  about: 'random reads of 4 KiB from a 64 MiB file',
  async *cases(context) {
    const path = join(context.directory, 'read4k')
    makeFile(path, BLOCK * BLOCKS)
    readFileSync(path)
    context.note(`the file is on ${await fileSystemOf(context.directory)}`)
    for (const direct of [false, true]) {
      for (const inFlight of [1, 16, 128]) {
        const name = `${direct ? 'O_DIRECT' : 'cached'}, ${inFlight} in flight`
        if (!context.wants(name)) continue
        try {
          yield await readCase(context, path, inFlight, direct)
        } catch (error) {
          if (!direct || (error as NodeJS.ErrnoException).code !== 'EINVAL') throw error
          context.skip(name, 'this file system has no O_DIRECT')
        }
      }
    }
  },
}
