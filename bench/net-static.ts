// Static files over HTTP: `ringcore serve` against node:http with createReadStream, and against nginx with one worker.
// Flow: main.ts → this → net-tools.ts, dist/bundle/cli.js, net-server.ts, nginx.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, utimesSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer, connect as netConnect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Bench, Context, Target } from './harness.ts'
import { nodeServer, notePlaces, pinned, SERVER_CPU, type Server, serverSubjects } from './net-tools.ts'
import { findProgram, makeFile, root } from './tools.ts'

const SIZES: [name: string, bytes: number][] = [
  ['1 KB', 1000],
  ['100 KB', 100_000],
  ['10 MB', 10_000_000],
]
const CONNECTIONS = 64

/** A port that is free now. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
}

/** Waits until somebody listens. */
async function listens(port: number, what: string): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const socket = netConnect(port, '127.0.0.1')
    const [event] = await Promise.race([
      once(socket, 'connect').then(() => ['connect']),
      once(socket, 'error').then(() => ['error']),
    ]).catch(() => ['error'])
    socket.destroy()
    if (event === 'connect') return
    await sleep(25)
  }
  throw new Error(`${what} does not listen on port ${port}`)
}

/** Starts a program that serves a port of our choice, on the servers' CPU. */
async function program(what: string, command: string[], port: number): Promise<Server> {
  const [file, ...args] = pinned(SERVER_CPU, command)
  const child = spawn(file!, args, { stdio: ['ignore', 'ignore', 'inherit'] })
  const exited = once(child, 'exit')
  await listens(port, what)
  return {
    port,
    pid: child.pid!,
    stop: async () => {
      child.kill('SIGTERM')
      await exited
    },
  }
}

async function ringcoreServe(directory: string, ...options: string[]): Promise<Server> {
  const port = await freePort()
  const main = join(root, 'dist', 'bundle', 'cli.js')
  // Connections stay open while others have their turn.
  const args = ['serve', directory, '--port', String(port), '--idle-timeout', '3600', ...options]
  return program('ringcore serve', [process.execPath, main, ...args], port)
}

/** nginx as Debian configures it, less its access log; one process, so that there is one to measure. */
async function nginx(context: Context, directory: string): Promise<Server | undefined> {
  const binary = findProgram('nginx')
  if (binary === undefined) {
    context.skip('nginx', 'not installed: install nginx-light')
    return undefined
  }
  const port = await freePort()
  const prefix = join(context.directory, 'nginx')
  mkdirSync(join(prefix, 'tmp'), { recursive: true })
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${prefix}/tmp/${name};`)
    .join('\n')
  const config = `
    daemon off; master_process off; pid ${prefix}/pid; error_log stderr error;
    events { worker_connections 4096; }
    http {
      access_log off; sendfile on; tcp_nopush on; types_hash_max_size 2048;
      keepalive_timeout 3600; keepalive_requests 100000000; default_type application/octet-stream;
      ${temporary}
      server { listen 127.0.0.1:${port} backlog=4096; root ${directory}; }
    }`
  writeFileSync(join(prefix, 'nginx.conf'), config)
  return program('nginx', [binary, '-p', prefix, '-c', join(prefix, 'nginx.conf'), '-e', 'stderr'], port)
}

function targets(name: string): Target[] {
  if (name !== '100 KB') return []
  return [
    { kind: 'ratio', against: 'node:http, createReadStream', of: 'cpu', atLeast: 2 },
    { kind: 'ratio', against: 'nginx, one worker', of: 'cpu', atLeast: 0.9 },
  ]
}

export const netStatic: Bench = {
  name: 'net-static',
  about: `a file server on one CPU, ${CONNECTIONS} keep-alive connections, each body compared byte by byte`,
  async *cases(context: Context) {
    notePlaces(context)
    const directory = join(context.directory, 'www')
    mkdirSync(directory)
    const milliseconds = String(context.amount(1000, 50))
    for (const [name, bytes] of SIZES) {
      if (!context.wants(name)) continue
      const file = join(directory, `${bytes}.bin`)
      makeFile(file, bytes)
      // Files of this very second are not kept in memory.
      const old = Date.now() / 1000 - 3600
      utimesSync(file, old, old)
      const { subjects, close } = await serverSubjects(
        {
          'ringcore serve': () => ringcoreServe(directory),
          'ringcore serve --cache 0': () => ringcoreServe(directory, '--cache', '0'),
          'node:http, createReadStream': () => nodeServer('net-server', ['static-http', directory]),
          'nginx, one worker': () => nginx(context, directory),
        },
        { connections: CONNECTIONS, ask: ['http', `/${bytes}.bin`, file, 'keep'] },
        milliseconds,
      )
      yield { name, unit: 'k/s', subjects, targets: targets(name), close }
    }
  },
}
