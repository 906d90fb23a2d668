// A ring that can do what it is said to do, and nothing else: the kernel refuses the rest, whoever holds the ring.
// Flow: Uring (its constructor) → this → ring (REGISTER_PROBE, REGISTER_RESTRICTIONS, REGISTER_ENABLE_RINGS).
// man io_uring_register_restrictions(3)

import { opByName, opTable } from '../op/table.ts'
import { REGISTER_OPS } from '../ring/probe.ts'
import type { Restriction } from '../ring/register-structs.ts'
import type { Ring } from '../ring/ring.ts'
import * as abi from '../sys/abi.ts'
import { argumentTypeError, argumentValueError, ringFeatureError } from '../sys/error.ts'

/** What the loop does for any operation: it waits for libuv (POLL_ADD), cancels, and ends operations at their deadline. */
const LOOP_OPCODES = [
  abi.IORING_OP_NOP,
  abi.IORING_OP_POLL_ADD,
  abi.IORING_OP_ASYNC_CANCEL,
  abi.IORING_OP_LINK_TIMEOUT,
]
/**
 * What the runtime registers when it is first needed: memory of `alloc`, the table of direct descriptors, buffer groups. And
 * how a ring ends, and what the kernel has. None of it reaches anything that an opcode does not. The loop's eventfd is
 * registered before the restrictions are.
 */
const RUNTIME_REGISTER_OPS = [
  abi.IORING_REGISTER_PROBE,
  abi.IORING_REGISTER_SYNC_CANCEL,
  abi.IORING_REGISTER_BUFFERS2,
  abi.IORING_REGISTER_BUFFERS_UPDATE,
  abi.IORING_REGISTER_FILES2,
  abi.IORING_REGISTER_FILES_UPDATE,
  abi.IORING_REGISTER_FILE_ALLOC_RANGE,
  abi.IORING_REGISTER_PBUF_RING,
  abi.IORING_UNREGISTER_PBUF_RING,
  abi.IORING_REGISTER_PBUF_STATUS,
]
/** Links (timeouts, chains), direct descriptors, buffer groups. */
const RUNTIME_SQE_FLAGS =
  abi.IOSQE_IO_LINK | abi.IOSQE_IO_HARDLINK | abi.IOSQE_FIXED_FILE | abi.IOSQE_BUFFER_SELECT

const SQE_FLAGS: Readonly<Record<string, number>> = {
  IOSQE_FIXED_FILE: abi.IOSQE_FIXED_FILE,
  IOSQE_IO_DRAIN: abi.IOSQE_IO_DRAIN,
  IOSQE_IO_LINK: abi.IOSQE_IO_LINK,
  IOSQE_IO_HARDLINK: abi.IOSQE_IO_HARDLINK,
  IOSQE_ASYNC: abi.IOSQE_ASYNC,
  IOSQE_BUFFER_SELECT: abi.IOSQE_BUFFER_SELECT,
  IOSQE_CQE_SKIP_SUCCESS: abi.IOSQE_CQE_SKIP_SUCCESS,
}

/** What a restricted ring may do. */
export interface Allowed {
  opcodes: ReadonlySet<number>
  registerOps: ReadonlySet<number>
  sqeFlags: number
}

/** Checks a list of names and numbers; nothing is asked of the kernel yet. */
export function checkAllow(allow: unknown): Allowed {
  if (!Array.isArray(allow)) throw argumentTypeError('options.allow', 'an instance of Array', allow)
  const opcodes = new Set(LOOP_OPCODES)
  const registerOps = new Set(RUNTIME_REGISTER_OPS)
  let sqeFlags = RUNTIME_SQE_FLAGS
  for (const one of allow as readonly unknown[]) {
    if (typeof one === 'number') {
      if (opTable[one] === undefined)
        throw argumentValueError('options.allow', one, `may hold opcodes from 0 to ${opTable.length - 1}`)
      opcodes.add(one)
      continue
    }
    if (typeof one !== 'string')
      throw argumentTypeError('options.allow', 'an array of names and of opcodes', one)
    const opcode = opByName(one)
    const registerOp = REGISTER_OPS.find(([name]) => name === one)
    const flag = Object.hasOwn(SQE_FLAGS, one) ? SQE_FLAGS[one] : undefined
    if (opcode !== undefined) opcodes.add(opcode.code)
    else if (registerOp !== undefined) registerOps.add(registerOp[1])
    else if (flag !== undefined) sqeFlags |= flag
    else {
      throw argumentValueError(
        'options.allow',
        one,
        "may name opcodes ('READ'), register operations ('IORING_REGISTER_PERSONALITY') and flags ('IOSQE_ASYNC')",
      )
    }
  }
  return { opcodes, registerOps, sqeFlags }
}

/**
 * Restricts a disabled ring, for good, and enables it.
 * @throws ERR_RING_FEATURE the kernel has no such opcode: it would refuse the whole list
 */
export function restrict(ring: Ring, allowed: Allowed): void {
  const probe = ring.registerProbe()
  for (const code of allowed.opcodes) {
    const { constant, since } = opTable[code]!
    if (code > probe.lastOp) throw ringFeatureError(constant, since)
  }
  const restrictions: Restriction[] = [{ allow: 'sqeFlags', flags: allowed.sqeFlags }]
  for (const opcode of allowed.opcodes) restrictions.push({ allow: 'sqeOp', opcode })
  for (const opcode of allowed.registerOps) restrictions.push({ allow: 'registerOp', opcode })
  ring.registerRestrictions(restrictions)
  ring.enableRings()
}
