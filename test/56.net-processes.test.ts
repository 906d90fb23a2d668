// Sockets of ringcore/net between objects and processes: bound sockets, what holds a process open, workers of a cluster.
// Flow: this → ringcore/net, in children too.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { closeSync, openSync, writeSync } from 'node:fs'
import nodeNet, { type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import test, { type TestContext } from 'node:test'
import net from 'ringcore/net'
import { oracle, runNode, tempDir } from './helpers.js'
import { closeDefaultRing } from './net-ring.js'

const portOf = (server: nodeNet.Server): number => (server.address() as AddressInfo).port

test('a bound socket is taken over by a server or a socket', async (t) => {
  oracle(t)
  closeDefaultRing(t)
  if (!('BoundSocket' in nodeNet)) {
    t.skip('this Node has no BoundSocket')
    return
  }
  const bound = new net.BoundSocket({ host: '127.0.0.1' })
  const { port } = bound.address() as AddressInfo
  const server = net.createServer((socket) => socket.end(String(socket.remotePort))).listen(bound as never)
  await once(server, 'listening')
  assert.equal(portOf(server), port)
  assert.throws(() => bound.address(), { code: 'ERR_SOCKET_HANDLE_ADOPTED' })
  const from = new net.BoundSocket({ host: '127.0.0.1' })
  const own = (from.address() as AddressInfo).port
  const socket = new net.Socket({ handle: from } as never).connect(port, '127.0.0.1')
  assert.equal(await text(socket), String(own))
  server.close()
  await once(server, 'close')
})

test('sockets hold the process open as Node’s do, and unref lets go', async (t) => {
  oracle(t)
  const script = (line: string): string => `
    import net from 'ringcore/net'
    const server = net.createServer((s) => { ${line} }).listen(0, '127.0.0.1', () => {
      const c = net.connect(server.address().port, '127.0.0.1', () => { server.unref(); process.stdout.write('connected ')
        setTimeout(() => { console.log('still here'); process.exit() }, 400).unref() })
      c.on('close', () => process.stdout.write('closed '))
    })
    process.on('exit', () => console.log('exit'))
  `
  const [unreferenced, paused, reading] = await Promise.all([
    runNode(
      script('s.unref(); setTimeout(() => {}, 50)').replace(
        "process.stdout.write('connected ')",
        "c.unref(); process.stdout.write('connected ')",
      ),
    ),
    runNode(
      script('s.unref()').replace(
        "process.stdout.write('connected ')",
        "c.pause(); c.read(); process.stdout.write('connected '); c.destroy()",
      ),
    ),
    runNode(script('s.resume()')),
  ])
  assert.equal(unreferenced.stdout, 'connected exit\n', unreferenced.stderr)
  assert.equal(paused.stdout, 'connected closed exit\n', paused.stderr)
  assert.match(reading.stdout, /still here/, 'a connection that reads stays')
})

test('in a cluster the primary hands connections to ring sockets', async (t) => {
  oracle(t)
  const { stdout, stderr } = await runNode(
    `
    import cluster from 'node:cluster'
    import nodeNet from 'node:net'
    import net from 'ringcore/net'
    import { text } from 'node:stream/consumers'
    if (cluster.isPrimary) {
      cluster.setupPrimary({ exec: process.argv[1], execArgv: [] })
      const workers = [cluster.fork(), cluster.fork()]
      const ports = await Promise.all(workers.map((w) => new Promise((r) => w.on('listening', (a) => r(a.port)))))
      const answers = await Promise.all(Array.from({ length: 6 }, () => text(nodeNet.connect(ports[0], '127.0.0.1'))))
      console.log(ports[0] === ports[1], new Set(answers).size, answers.every((a) => a.startsWith('ring')))
      for (const w of workers) w.kill()
    }`.replace('process.argv[1]', JSON.stringify(writeWorker(t))),
  )
  assert.equal(stdout, 'true 2 true\n', stderr)
})

function writeWorker(t: TestContext): string {
  const file = join(tempDir(t), 'worker.mjs')
  const fd = openSync(file, 'w')
  const door = import.meta.resolve('ringcore/net')
  writeSync(
    fd,
    `import net from '${door}'
     net.createServer((s) => s.end(net.backend + process.pid + (s instanceof net.Socket))).listen(0, '127.0.0.1')`,
  )
  closeSync(fd)
  return file
}
