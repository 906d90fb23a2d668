// NOP: the operation that does nothing, so only the way to the kernel and back is measured.
// Flow: main.ts → this → ringcore/ring (raw), ringcore (promises), bench/c/nop.c (liburing).

import { Uring } from 'ringcore'
import { prepNop, Ring, SQE } from 'ringcore/ring'
import { IORING_SETUP_DEFER_TASKRUN, IORING_SETUP_SINGLE_ISSUER } from 'ringcore/sys'
import { type Bench, type Case, type Context, type Subject, timed } from './harness.ts'
import { compilePeer, runPeer } from './tools.ts'

const BATCH = 128

function queueNops(ring: Ring): void {
  for (let i = 0; i < BATCH; i++) {
    const sqe = ring.getSqe()!
    prepNop(sqe)
    sqe.words[SQE.USER_DATA] = i
  }
}

/** Every batch has the user_data 0 … BATCH - 1: their sum tells that each NOP came back once. */
function checkSum(sum: number, done: number): void {
  if (sum !== (done / BATCH) * ((BATCH * (BATCH - 1)) / 2)) throw new Error(`NOPs got lost: ${sum}`)
}

/** Queues BATCH NOPs, submits and waits, takes the completions as records of four words. */
function rawRounds(ring: Ring, ops: number): void {
  const records = new Int32Array(BATCH * 4)
  let sum = 0
  let done = 0
  while (done < ops) {
    queueNops(ring)
    ring.submitAndWait(BATCH)
    const count = ring.copyCqes(records)
    for (let at = 0; at < count * 4; at += 4) {
      if (records[at + 2]! < 0) throw new Error(`NOP: ${records[at + 2]}`)
      sum += records[at]!
    }
    done += count
  }
  checkSum(sum, done)
}

/** The same with a callback per completion. */
function rawRoundsForEach(ring: Ring, ops: number): void {
  let sum = 0
  const onCqe = (userData: number, _high: number, res: number): void => {
    if (res < 0) throw new Error(`NOP: ${res}`)
    sum += userData
  }
  let done = 0
  while (done < ops) {
    queueNops(ring)
    ring.submitAndWait(BATCH)
    done += ring.forEachCqe(onCqe)
  }
  checkSum(sum, done)
}

function raw(context: Context, name: string, flags: number): Case {
  const defer = flags !== 0
  const ops = context.amount(4_000_000, 200_000)
  const ring = new Ring({ entries: BATCH, singleIssuer: defer, deferTaskrun: defer })
  const subjects: Subject[] = [
    { name: 'Ring, copyCqes', run: () => timed(ops, () => rawRounds(ring, ops)) },
    { name: 'Ring, forEachCqe', run: () => timed(ops, () => rawRoundsForEach(ring, ops)) },
  ]
  const peer = compilePeer('nop')
  if ('reason' in peer) context.skip('liburing in C', peer.reason)
  else subjects.push({ name: 'liburing in C', run: () => runPeer(peer.program, [ops, BATCH, flags]) })
  return {
    name,
    unit: 'M/s',
    subjects,
    targets: 'reason' in peer ? [] : [{ kind: 'ratio', against: 'liburing in C', of: 'time', atLeast: 0.85 }],
    close: () => ring.close(),
  }
}

async function promises(ring: Uring, ops: number, inFlight: number): Promise<void> {
  let left = ops
  const lane = async (): Promise<void> => {
    while (left-- > 0) await ring.nop()
  }
  await Promise.all(Array.from({ length: inFlight }, lane))
}

function promised(context: Context, inFlight: number): Case {
  const ring = new Uring({ entries: 256 })
  const ops = context.amount(inFlight === 1 ? 200_000 : 2_000_000, inFlight === 1 ? 10_000 : 100_000)
  const immediates = context.amount(200_000, 10_000)
  const { setImmediate: immediate } = globalThis
  return {
    name: `promises, ${inFlight} in flight`,
    unit: 'M/s',
    subjects: [
      { name: 'ring.nop()', run: () => timed(ops, () => promises(ring, ops, inFlight)) },
      // For scale: what one turn of Node's own loop costs.
      {
        name: 'a turn of setImmediate',
        run: () =>
          timed(immediates, async () => {
            for (let i = 0; i < immediates; i++) await new Promise((resolve) => immediate(resolve))
          }),
      },
    ],
    targets: inFlight === 128 ? [{ kind: 'value', atLeast: 4.5 }] : [],
    close: () => ring.close(),
  }
}

export const nop: Bench = {
  name: 'nop',
  about: 'NOPs through the raw Ring and through promises',
  async *cases(context) {
    yield raw(context, 'raw, batch 128', 0)
    yield raw(
      context,
      'raw, batch 128, DEFER_TASKRUN',
      IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
    )
    yield promised(context, 1)
    yield promised(context, 128)
  },
}
