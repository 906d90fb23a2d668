// Two tasks throw a byte to and fro over a socket pair: what a wake-up through the ring costs.
// Run: node build/examples/ping-pong.js [ROUNDS]

import { defaultRing, run, spawn } from 'ringcore'
import { socketPair } from './lib/socket-pair.ts'

const rounds = Number(process.argv[2] ?? 10_000)
const ring = defaultRing()
const [left, right] = socketPair()

async function receive(fd: number, ball: Buffer): Promise<void> {
  if ((await ring.recv(fd, ball)) === 0) throw new Error('the other side is gone')
}

async function ping(): Promise<void> {
  const ball = Buffer.alloc(1)
  for (let round = 0; round < rounds; round++) {
    ball[0] = round & 0xff
    await ring.send(left, ball)
    await receive(left, ball)
    if (ball[0] !== ((round + 1) & 0xff)) throw new Error(`round ${round}: the wrong byte came back`)
  }
}

async function pong(): Promise<void> {
  const ball = Buffer.alloc(1)
  for (let round = 0; round < rounds; round++) {
    await receive(right, ball)
    ball[0] = (ball[0]! + 1) & 0xff
    await ring.send(right, ball)
  }
}

const started = performance.now()
spawn(pong)
await run(ping)
const elapsed = performance.now() - started
console.log(
  `${rounds} rounds in ${elapsed.toFixed(1)} ms: ${((elapsed * 1000) / rounds).toFixed(2)} µs per round`,
)
await Promise.all([ring.closeFile(left), ring.closeFile(right)])
