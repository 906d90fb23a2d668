// Which file of tests shows how each opcode succeeds, fails and is cancelled, on every kind of ring; and what none can show.
// Flow: 31.op.kernel.*.test.ts (last test of each), 31.op.matrix.test.ts → this → what op-helpers.ts has noted.

import assert from 'node:assert/strict'
import test from 'node:test'
import { type OpRow, opTable, probe } from 'ringcore/ring'
import { type End, endsOf, reasonsHere } from './op-helpers.js'
import { missingFlags, RING_KINDS } from './ring-kinds.js'

/** The kinds of rings that count. `opTest` runs on one more, with an index array. */
export const MATRIX_KINDS: readonly string[] = ['default', 'DEFER_TASKRUN', 'SQPOLL', 'SQE128', 'CQE32']
export const ENDS: readonly End[] = ['success', 'error', 'cancel']

/** For each file `31.op.kernel.<name>.test.ts`: the opcodes, by the ends that it shows. */
const PLACES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  control: {
    'success error cancel': 'TIMEOUT POLL_ADD EPOLL_WAIT FUTEX_WAIT FUTEX_WAITV WAITID',
    'success cancel': 'READ',
    'success error':
      'NOP POLL_REMOVE TIMEOUT_REMOVE ASYNC_CANCEL LINK_TIMEOUT EPOLL_CTL FILES_UPDATE FUTEX_WAKE FIXED_FD_INSTALL MSG_RING PIPE TEE',
  },
  file: {
    'success error cancel': 'READ WRITE READV WRITEV READ_FIXED WRITE_FIXED SPLICE OPENAT OPENAT2',
    'success error': 'FSYNC CLOSE STATX MKDIRAT RENAMEAT UNLINKAT',
  },
  net: {
    'success error cancel': 'ACCEPT CONNECT SEND RECV SENDMSG RECVMSG',
    'success error': 'SEND_ZC SOCKET BIND LISTEN SHUTDOWN PROVIDE_BUFFERS REMOVE_BUFFERS',
  },
  attributes: {
    'success error':
      'SYNC_FILE_RANGE FALLOCATE FADVISE MADVISE SYMLINKAT LINKAT FSETXATTR SETXATTR FGETXATTR GETXATTR FTRUNCATE',
  },
  buffers: {
    'success error cancel': 'READ_MULTISHOT READV_FIXED WRITEV_FIXED SEND_ZC SENDMSG_ZC',
    'success error': 'URING_CMD',
    error: 'RECV_ZC',
  },
  queued: {
    cancel:
      'FSYNC SYNC_FILE_RANGE FALLOCATE OPENAT CLOSE STATX FADVISE MADVISE OPENAT2 EPOLL_CTL SPLICE TEE SHUTDOWN RENAMEAT ' +
      'UNLINKAT MKDIRAT SYMLINKAT LINKAT MSG_RING FSETXATTR SETXATTR FGETXATTR GETXATTR FTRUNCATE URING_CMD',
  },
}

/** What no test can show here, and why. */
export const EXCEPTIONS: Readonly<Record<string, Partial<Record<End, string>>>> = {
  RECV_ZC: {
    success: 'needs a network card that splits headers from data',
    cancel: 'needs a network card that splits headers from data',
  },
}

/** The ends that a file shows, for each opcode. */
export const placesOf = (name: string): [opcode: string, ends: End[]][] =>
  Object.entries(PLACES[name]!).flatMap(([ends, opcodes]) =>
    opcodes.split(' ').map((opcode): [string, End[]] => [opcode, ends.split(' ') as End[]]),
  )
export const FILES: readonly string[] = Object.keys(PLACES)

/** Whether the end is one that the opcode can come to: what ends within its submission can not be cancelled. */
export const canEnd = (row: OpRow, end: End): boolean => end !== 'cancel' || row.cancel !== 'never'

/** The last test of a file: what it promises above was seen, on every kind of ring. */
export function matrixTest(name: string): void {
  test(`the matrix: how each opcode of ${name} ends, on every kind of ring`, (t) => {
    const { opcodes } = probe()
    const kinds = RING_KINDS.filter(
      ({ name, options }) => MATRIX_KINDS.includes(name) && missingFlags(options).length === 0,
    )
    const missing: string[] = []
    let cells = 0
    for (const [opcode, ends] of placesOf(name)) {
      if (!opcodes[opTable.find((row) => row.name === opcode)!.constant]) {
        t.diagnostic(`this kernel does not have ${opcode}`)
        continue
      }
      const reason = reasonsHere.get(opcode)
      if (reason !== undefined) {
        t.diagnostic(`${opcode}: ${reason}`)
        continue
      }
      for (const kind of kinds)
        for (const end of ends) {
          cells++
          if (!endsOf(kind.name, opcode).has(end)) missing.push(`${opcode} on ${kind.name}: ${end}`)
        }
    }
    assert.deepEqual(missing, [])
    t.diagnostic(`${cells} cells on ${kinds.length} kinds of rings`)
  })
}
