// One read, from the promise to the 64 bytes of its SQE, through the kernel, to the 16 bytes of its CQE and back.
//
// Nothing is staged: it is Uring's own read, looked at through `uring.ring`, the white box that it works on. The entry is
// looked at after `read()` wrote it and before `flush()` submits it; the completion before the loop takes it.

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Uring } from 'ringcore'
import { opName, type Ring } from 'ringcore/ring'
import { addressOf, io_uring_cqe, io_uring_sqe, loadAcquire } from 'ringcore/sys'
import { findRoot } from './files.ts'
import type { Finding } from './screen.ts'

const hex = (value: number | bigint, digits = 0): string => `0x${value.toString(16).padStart(digits, '0')}`

/** A struct's bytes as a table: offset, bytes, field, meaning. */
function layout(
  bytes: Uint8Array,
  fields: readonly (readonly [offset: number, size: number, text: string])[],
): string[] {
  return fields.map(([offset, size, text]) => {
    const shown = Buffer.from(bytes.subarray(offset, offset + size))
      .toString('hex')
      .replace(/..(?=.)/g, '$& ')
    return `${String(offset).padStart(4)}  ${shown.padEnd(23)}  ${text}`
  })
}

function describeSqe(bytes: Uint8Array): string[] {
  const sqe = new io_uring_sqe(bytes)
  const name = `IORING_OP_${opName(sqe.opcode)}`
  const slot = Number(sqe.user_data & 0xffffffffn)
  const generation = Number(sqe.user_data >> 32n)
  return layout(bytes, [
    [0, 1, `opcode       ${sqe.opcode} = ${name}`],
    [1, 1, `flags        ${sqe.flags}: no IOSQE_* bit, neither linked nor forced to a worker`],
    [2, 2, `ioprio       ${sqe.ioprio}`],
    [4, 4, `fd           ${sqe.fd}`],
    [8, 8, `off          ${sqe.off}: where in the file`],
    [16, 8, `addr         ${hex(sqe.addr)}: the buffer`],
    [24, 4, `len          ${sqe.len}`],
    [28, 4, `rw_flags     ${sqe.rw_flags}`],
    [32, 8, `user_data    ${hex(sqe.user_data, 16)} = slot ${slot}, generation ${generation}`],
    [40, 2, `buf_index    ${sqe.buf_index}: only registered buffers have one`],
    [42, 2, `personality  ${sqe.personality}`],
    [44, 4, `file_index   ${sqe.file_index}`],
    [48, 8, `addr3        ${sqe.addr3}`],
    [56, 8, '__pad2'],
  ])
}

function describeCqe(bytes: Uint8Array): string[] {
  const cqe = new io_uring_cqe(bytes)
  const slot = Number(cqe.user_data & 0xffffffffn)
  const generation = Number(cqe.user_data >> 32n)
  return layout(bytes, [
    [0, 8, `user_data    ${hex(cqe.user_data, 16)} = slot ${slot}, generation ${generation}, as sent`],
    [8, 4, `res          ${cqe.res}: ${cqe.res < 0 ? '-errno' : 'bytes read'}`],
    [12, 4, `flags        ${cqe.flags}: no IORING_CQE_F_MORE, so it is the last of this request`],
  ])
}

/** Copies the entry at a position of the submission queue out of the memory shared with the kernel. */
function copySqe(ring: Ring, position: number): Uint8Array {
  const index = (position & (ring.sqEntries - 1)) >>> 0
  const { sqeBytes } = ring.geometry
  return new Uint8Array(ring.memory.sqes).slice(index * sqeBytes, index * sqeBytes + 64)
}

function copyCqe(ring: Ring, position: number): Uint8Array {
  const { cqes, cqeBytes } = ring.geometry
  const offset = cqes + ((position & (ring.cqEntries - 1)) >>> 0) * cqeBytes
  return new Uint8Array(ring.memory.ring).slice(offset, offset + 16)
}

/** Shows one read; differs when the bytes do not say what was asked and what came. */
export async function showOneRead(spoil: (bytes: Buffer) => void): Promise<Finding> {
  const path = join(findRoot(), 'package.json')
  const want = await readFile(path)
  const uring = new Uring({ entries: 8 })
  try {
    const { ring } = uring
    const shared = new Int32Array(ring.memory.ring)
    const fd = await uring.openat(path)
    const buffer = uring.alloc(4096)

    const sqTail = loadAcquire(shared, ring.geometry.sqTail / 4)
    const promise = uring.read(fd, buffer, { position: 0 })
    const sqe = copySqe(ring, sqTail)

    const cqHead = loadAcquire(shared, ring.geometry.cqHead / 4)
    const taken = uring.flush()
    // A file in the page cache is read within the submission. One that is not takes until the disk answers.
    ring.waitCqeTimeout(5000)
    const cqe = copyCqe(ring, cqHead)

    // The CQE was looked at, not taken: the loop takes it, finds the slot by its user_data, and settles the promise.
    const bytes = await promise
    await uring.closeFile(fd)
    const got = buffer.subarray(0, bytes)
    spoil(got)
    return {
      detail: 'from promise to kernel and back',
      differences: check(sqe, cqe, buffer, bytes, got.equals(want)),
      lines: [
        `const promise = uring.read(${fd}, buffer, { position: 0 })   // package.json, ${buffer.length} bytes of room`,
        `↓ wrote entry ${sqTail & (ring.sqEntries - 1)} of the submission queue, 64 bytes:`,
        ...describeSqe(sqe),
        `↓ io_uring_enter(${ring.fd}, to_submit ${taken}): the kernel took ${taken} and did it`,
        `↑ completion ${cqHead & (ring.cqEntries - 1)} of the completion queue, 16 bytes:`,
        ...describeCqe(cqe),
        `↑ the slot is still of that generation, so its promise resolves: await promise === ${bytes}`,
        `  ${JSON.stringify(got.toString('utf8', 0, 48))}…`,
      ],
    }
  } finally {
    await uring.close()
  }
}

/** Whether the bytes say what they must. */
function check(
  sqeBytes: Uint8Array,
  cqeBytes: Uint8Array,
  buffer: Buffer,
  bytes: number,
  same: boolean,
): string[] {
  const sqe = new io_uring_sqe(sqeBytes)
  const cqe = new io_uring_cqe(cqeBytes)
  const differences: string[] = []
  const must = (holds: boolean, what: string): void => {
    if (!holds) differences.push(what)
  }
  must(opName(sqe.opcode) === 'READ', `the SQE's opcode is ${sqe.opcode}`)
  must(sqe.addr === BigInt(addressOf(buffer)), "the SQE's address is not the buffer's")
  must(sqe.len === buffer.length, `the SQE's length is ${sqe.len}`)
  must(cqe.user_data === sqe.user_data, 'the CQE has other user_data than the SQE')
  must(cqe.res === bytes, `the CQE says ${cqe.res}, the promise ${bytes}`)
  must(same, 'package.json differs from what node:fs reads')
  return differences
}
