// TcpStream without promises: receive() and send(), against node:net peers.
// Flow: this → ringcore (TcpListener, TcpStream) → kernel.

import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import net from 'node:net'
import test, { type TestContext } from 'node:test'
import { TcpListener, type TcpStream, type Uring } from 'ringcore'
import { oracle, until, useRing, withTimeout } from './helpers.js'

const sha = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

/** A ringcore stream and the node:net socket at its other end. */
async function pair(t: TestContext, ring: Uring): Promise<{ stream: TcpStream; peer: net.Socket }> {
  const listener = TcpListener.bind({ host: '127.0.0.1', ring })
  const peer = net.connect(listener.port, '127.0.0.1')
  const stream = await listener.accept()
  await listener.close()
  t.after(async () => {
    peer.destroy()
    await stream.close()
    await until(() => peer.closed, 1000, 'the peer closes')
  })
  return { stream, peer }
}

test('receive() brings every byte in order, then the end; send() answers without a promise', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const { stream, peer } = await pair(t, ring)
  const sent = randomBytes(3_000_000)
  const received = createHash('sha256')
  let bytes = 0
  const ended = new Promise<Error | null>((resolve) => {
    stream.receive((buffer, length) => {
      received.update(buffer.subarray(0, length))
      bytes += length
      stream.send(Buffer.from([length & 0xff]))
    }, resolve)
  })
  let answers = 0
  peer.on('data', (chunk: Buffer) => {
    answers += chunk.length
  })
  peer.end(sent)
  assert.equal(await withTimeout(ended, 5000), null)
  assert.equal(bytes, sent.length)
  assert.equal(received.digest('hex'), sha(sent))
  assert.equal(stream.bytesRead, sent.length)
  await stream.drained()
  await Promise.all([once(peer, 'end'), stream.end()])
  assert.equal(answers, stream.bytesWritten)
})

test('what came before receive() and what comes after stop() is not lost', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const { stream, peer } = await pair(t, ring)
  peer.write('one')
  const first = Buffer.alloc(1)
  assert.equal(await stream.read(first), 1)
  let text = ''
  const stop = stream.receive(
    (buffer, length) => {
      text += buffer.toString('latin1', 0, length)
    },
    () => assert.fail('it was stopped before the end'),
  )
  assert.equal(text, 'ne')
  await assert.rejects(stream.read(first), { code: 'ERR_INVALID_STATE' })
  assert.throws(
    () =>
      stream.receive(
        () => {},
        () => {},
      ),
    { code: 'ERR_INVALID_STATE' },
  )
  peer.write('two')
  await until(() => text === 'netwo', 1000, 'the second message')
  stop()
  peer.write('three')
  const rest = Buffer.alloc(10)
  assert.equal(await stream.read(rest), 5)
  assert.equal(rest.toString('latin1', 0, 5), 'three')
})

test('a reset peer ends receive() with its error, and later sends are refused', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const { stream, peer } = await pair(t, ring)
  const ended = new Promise<Error | null>((resolve) => {
    stream.receive(() => {}, resolve)
  })
  peer.resetAndDestroy()
  const error = await withTimeout(ended, 2000)
  assert.equal((error as NodeJS.ErrnoException | null)?.code, 'ECONNRESET')
  const refused = (): boolean => {
    try {
      stream.send('x')
      return false
    } catch (cause) {
      return ['EPIPE', 'ECONNRESET'].includes((cause as NodeJS.ErrnoException).code!)
    }
  }
  await until(refused, 2000, 'send() reports the lost peer')
})

test('send() says when to wait, copies what is small, keeps the order with write()', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const { stream, peer } = await pair(t, ring)
  peer.pause()
  const small = Buffer.alloc(1000)
  const expected: Buffer[] = []
  let goOn = true
  let fill = 0
  while (goOn && expected.length < 100_000) {
    small.fill(fill++)
    expected.push(Buffer.from(small))
    goOn = stream.send(small)
  }
  assert.equal(goOn, false, 'at some time it says wait')
  small.fill(0xee) // all that was sent is a copy by now
  const last = Buffer.from('the end')
  const written = stream.write(last)
  const chunks: Buffer[] = []
  peer.on('data', (chunk: Buffer) => chunks.push(chunk))
  peer.resume()
  assert.equal(await written, last.length)
  await Promise.all([once(peer, 'end'), stream.end()])
  assert.equal(sha(Buffer.concat(chunks)), sha(Buffer.concat([...expected, last])))
})

test('closing ends receive(); a callback that throws loses nothing of the others', async (t) => {
  oracle(t)
  const ring = useRing(t)
  const { stream, peer } = await pair(t, ring)
  // The runner would fail the test for an exception that it does not expect.
  const listeners = process.listeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  const caught = once(process, 'uncaughtException')
  let calls = 0
  const ended = new Promise<Error | null>((resolve) => {
    stream.receive(() => {
      calls++
      if (calls === 1) throw new Error('from the callback')
    }, resolve)
  })
  peer.write('a')
  const [error] = await caught
  for (const listener of listeners) process.on('uncaughtException', listener)
  assert.equal((error as Error).message, 'from the callback')
  peer.write('b')
  await until(() => calls === 2, 1000, 'the second message')
  await stream.close()
  assert.equal(await ended, null)
})
