// Serves the files of a directory over HTTP: `sendFile` reads a block while the last one is sent, so memory stays small.
// Run: node build/examples/file-server.js [DIRECTORY] --port 8080, then: curl -i http://127.0.0.1:8080/README.md
//
// No request gets out of the directory: openat2 with RESOLVE_BENEATH has the kernel itself refuse '..', absolute paths and
// symbolic links that lead elsewhere, which no check of the text can do as well.

import { constants } from 'node:fs'
import { extname } from 'node:path'
import { defaultRing, File, type TcpStream } from 'ringcore'
import { RESOLVE_BENEATH } from 'ringcore/sys'
import { HttpError, type Request, responseHead, serveHttp, textResponse } from './lib/http.ts'
import { serve, serverArguments } from './lib/server.ts'

const TYPES: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.jpg': 'image/jpeg',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.md': 'text/markdown; charset=utf-8',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain; charset=utf-8',
  '.wasm': 'application/wasm',
}
/** What an error of openat2 is in HTTP. */
const STATUS: Readonly<Record<string, number>> = {
  ENOENT: 404,
  ENOTDIR: 404,
  ENAMETOOLONG: 404,
  ENXIO: 404,
  EACCES: 403,
  ELOOP: 403,
  EPERM: 403,
  EXDEV: 403,
}

const { port, rest } = serverArguments()
const ring = defaultRing()
const directory = await ring.openat(rest[0] ?? '.', constants.O_RDONLY | constants.O_DIRECTORY)

/** The path that a request names, from the directory on. */
function pathOf(target: string): string {
  let path: string
  try {
    path = decodeURIComponent(target.replace(/[?#].*$/s, ''))
  } catch {
    throw new HttpError(400)
  }
  if (!path.startsWith('/') || path.includes('\0')) throw new HttpError(400)
  const relative = path.replace(/^\/+/, '')
  return relative === '' || relative.endsWith('/') ? `${relative}index.html` : relative
}

/** Opens a regular file below the directory. */
async function open(path: string): Promise<{ file: File; size: number }> {
  let fd: number
  try {
    // O_NONBLOCK: a named pipe must not make us wait for its writer.
    fd = await ring.openat2(path, constants.O_RDONLY | constants.O_NONBLOCK, {
      dirfd: directory,
      resolve: RESOLVE_BENEATH,
    })
  } catch (error) {
    throw new HttpError(STATUS[(error as NodeJS.ErrnoException).code ?? ''] ?? 500)
  }
  const file = File.fromFd(fd, ring)
  const { mode, size } = await file.stat()
  if ((mode & constants.S_IFMT) === constants.S_IFREG) return { file, size }
  await file.close()
  throw new HttpError(404)
}

async function answer(stream: TcpStream, { method, target, keepAlive }: Request): Promise<void> {
  try {
    if (method !== 'GET' && method !== 'HEAD') throw new HttpError(405)
    const path = pathOf(target)
    const { file, size } = await open(path)
    try {
      const head = responseHead(200, {
        'Content-Type': TYPES[extname(path).toLowerCase()] ?? 'application/octet-stream',
        'Content-Length': size,
        Connection: keepAlive ? 'keep-alive' : 'close',
      })
      // Not awaited: the file has its place behind the head, and its first block is read while the head is on its way.
      const headSent = stream.write(head)
      headSent.catch(() => {})
      const sent = method === 'GET' ? await stream.sendFile(file, { length: size }) : size
      // The Content-Length is promised already: nothing but the end of the connection can say that it was wrong.
      if (sent < size) throw new Error('the file became shorter while it was sent')
      await headSent
    } finally {
      await file.close()
    }
  } catch (error) {
    if (!(error instanceof HttpError)) throw error
    await stream.write(textResponse(error.status, `${error.message}\n`, keepAlive, method !== 'HEAD'))
  }
}

await serve(port, (stream) => serveHttp(stream, (request) => answer(stream, request)))
await ring.closeFile(directory)
