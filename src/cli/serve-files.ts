// Answers requests with the files of a directory.
// Flow: serve-run.ts → this → serve-path.ts, runtime (openat2), serve-stat.ts, serve-conditions.ts, serve-cache.ts, serve-body.ts.
//
// It is the kernel that keeps requests inside (RESOLVE_BENEATH): '..', absolute names and links that lead out are refused while
// the path is walked, so nothing can change between a check and its use.

import { constants } from 'node:fs'
import mime from 'mime'
import { type Answer, textAnswer } from '../net/http/answer.ts'
import { HttpError, type Request } from '../net/http/request.ts'
import type { Uring } from '../runtime/uring.ts'
import { RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS } from '../sys/constants.ts'
import { FileBody, multipart } from './serve-body.ts'
import { FileCache } from './serve-cache.ts'
import { judge, type Part } from './serve-conditions.ts'
import { listing } from './serve-listing.ts'
import { encodePath, isHidden, kernelPath, pathOf, queryOf } from './serve-path.ts'
import { type FileState, stateOf } from './serve-stat.ts'

export interface FilesOptions {
  /** Serve names that begin with a dot. */
  dotfiles: boolean
  /** Show directories that have no index.html. */
  listing: boolean
  /** Send `name.br` or `name.gz` instead of `name` to clients that take them. */
  precompressed: boolean
  /** Bytes of small files kept in memory. */
  cacheBytes: number
  /** Milliseconds without a change until a file may be kept: clocks of file systems are coarse. */
  settleMs: number
  /** Seconds that clients may keep an answer without asking; undefined says nothing about it. */
  maxAge: number | undefined
}

interface Opened {
  fd: number
  state: FileState
}

/** A file to send, and what it is called. */
interface Found extends Opened {
  path: string
  type: string
  encoding: 'br' | 'gzip' | undefined
}

const { O_RDONLY, O_NONBLOCK, O_NOCTTY, O_DIRECTORY } = constants
// O_NONBLOCK: a named pipe must not make us wait for its writer.
const FLAGS = O_RDONLY | O_NONBLOCK | O_NOCTTY
const RESOLVE = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS
/** The kernel gives up when somebody renames while it walks past a '..': once more, then. */
const TRIES = 8

/** What an error of openat2 is in HTTP. */
const STATUS: Readonly<Record<string, [status: number, text: string]>> = {
  ENOENT: [404, 'Not Found'],
  ENOTDIR: [404, 'Not Found'],
  ENAMETOOLONG: [404, 'Not Found'],
  ENXIO: [404, 'Not Found'],
  ENODEV: [404, 'Not Found'],
  EACCES: [403, 'Forbidden'],
  EPERM: [403, 'Forbidden'],
  ELOOP: [403, 'Forbidden'],
  EXDEV: [403, 'Forbidden'],
  EMFILE: [503, 'Service Unavailable'],
  ENFILE: [503, 'Service Unavailable'],
  ENOMEM: [503, 'Service Unavailable'],
}

const COMPRESSIBLE = /^text\/|[/+](?:json|xml|javascript)|^image\/svg|^application\/wasm/
const ENCODINGS = [
  ['br', '.br'],
  ['gzip', '.gz'],
] as const

const ALLOW = 'Allow: GET, HEAD, OPTIONS\r\n'

export class Files {
  readonly #ring: Uring
  readonly #root: number
  readonly #options: FilesOptions
  readonly #cache: FileCache
  readonly #types = new Map<string, string>()

  /** @param root fd of the directory, the caller's to close */
  constructor(ring: Uring, root: number, options: FilesOptions) {
    this.#ring = ring
    this.#root = root
    this.#options = options
    this.#cache = new FileCache(options.cacheBytes)
  }

  /** Opens the directory to serve. */
  static root(ring: Uring, path: string): Promise<number> {
    return ring.openat(path, O_RDONLY | O_DIRECTORY)
  }

  /** The answer to a request. */
  readonly answer = async (request: Request): Promise<Answer> => {
    const { method } = request
    if (method === 'OPTIONS') return { status: 204, fields: ALLOW, body: null, length: 0 }
    if (method !== 'GET' && method !== 'HEAD') return textAnswer(405, 'Method Not Allowed', ALLOW)
    try {
      const path = pathOf(request.target)
      if (!this.#options.dotfiles && isHidden(path)) return textAnswer(404, 'Not Found')
      const opened = await this.#open(path)
      // Both take the descriptor over, whatever happens.
      return await (opened.state.isDirectory
        ? this.#directory(request, path, opened.fd)
        : this.#file(request, path, opened))
    } catch (error) {
      if (error instanceof HttpError) return textAnswer(error.status, error.message)
      const { code, syscall } = error as NodeJS.ErrnoException
      const known = syscall === 'open' ? STATUS[code ?? ''] : undefined
      if (known === undefined) throw error
      return textAnswer(...known)
    }
  }

  async #open(path: string): Promise<Opened> {
    const name = path === '' ? '.' : kernelPath(path)
    for (let attempt = 1; ; attempt++) {
      try {
        const fd = await this.#ring.openat2(name, FLAGS, { dirfd: this.#root, resolve: RESOLVE })
        try {
          return { fd, state: stateOf(this.#ring.ring.driver, fd) }
        } catch (error) {
          this.#close(fd)
          throw error
        }
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN' || attempt === TRIES) throw error
      }
    }
  }

  /** As `open`, but a name that is not there is no error. */
  async #openIfThere(path: string): Promise<Opened | undefined> {
    try {
      return await this.#open(path)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'ENOENT' || code === 'ENAMETOOLONG') return undefined
      throw error
    }
  }

  #close(fd: number): void {
    this.#ring.closeFile(fd).catch(() => {})
  }

  async #directory(request: Request, path: string, fd: number): Promise<Answer> {
    try {
      if (path !== '' && !path.endsWith('/')) {
        const location = `/${encodePath(path)}/${queryOf(request.target)}`
        return textAnswer(301, 'Moved Permanently', `Location: ${location}\r\n`)
      }
      const index = await this.#openIfThere(`${path}index.html`)
      if (index !== undefined) return await this.#file(request, `${path}index.html`, index)
      if (!this.#options.listing) throw new HttpError(404, 'Not Found')
      const page = await listing(fd, path, this.#options.dotfiles)
      const fields =
        `Content-Type: text/html; charset=utf-8\r\nContent-Length: ${page.length}\r\nCache-Control: no-cache\r\n` +
        "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\nX-Content-Type-Options: nosniff\r\n"
      return { status: 200, fields, body: page, length: page.length }
    } finally {
      this.#close(fd)
    }
  }

  async #file(request: Request, path: string, opened: Opened): Promise<Answer> {
    let found: Found = { ...opened, path, type: this.#typeOf(path), encoding: undefined }
    try {
      if (!opened.state.isFile) throw new HttpError(404, 'Not Found')
      const mayVary = this.#options.precompressed && COMPRESSIBLE.test(found.type)
      if (mayVary) found = await this.#compressed(request, found)
      return await this.#send(request, found, mayVary)
    } catch (error) {
      this.#close(found.fd)
      throw error
    }
  }

  /** The variant that the client takes and that is not older than the file itself. */
  async #compressed(request: Request, found: Found): Promise<Found> {
    const accepted = request.fields.get('accept-encoding')
    if (accepted === undefined) return found
    for (const [encoding, suffix] of ENCODINGS) {
      if (!takes(accepted, encoding)) continue
      const path = found.path + suffix
      const variant = await this.#openIfThere(path)
      if (variant === undefined) continue
      if (variant.state.isFile && variant.state.mtimeSeconds >= found.state.mtimeSeconds) {
        this.#close(found.fd)
        return { ...variant, path, type: found.type, encoding }
      }
      this.#close(variant.fd)
    }
    return found
  }

  async #send(request: Request, found: Found, mayVary: boolean): Promise<Answer> {
    const { fd, state, type } = found
    const { size } = state
    const etag = `"${state.mtimeSeconds.toString(36)}${state.mtimeNsec.toString(36).padStart(6, '0')}-${size.toString(36)}"`
    const lastModified = dateOf(state.mtimeSeconds)
    const validators = this.#validators(etag, lastModified, found.encoding, mayVary)
    const verdict = judge(request.method, request.fields, { etag, lastModified, size })
    if (verdict.status === 304 || verdict.status === 412) {
      this.#close(fd)
      return {
        status: verdict.status,
        fields: validators + (verdict.status === 412 ? NO_BODY : ''),
        body: null,
        length: 0,
      }
    }
    if (verdict.status === 416) {
      this.#close(fd)
      return textAnswer(416, 'Range Not Satisfiable', `Content-Range: bytes */${size}\r\n`)
    }
    if (verdict.parts.length > 1) return this.#several(found, validators, verdict.parts)
    const part = verdict.parts[0] ?? { start: 0, end: size }
    const length = part.end - part.start
    const range =
      verdict.status === 206 ? `Content-Range: bytes ${part.start}-${part.end - 1}/${size}\r\n` : ''
    const fields = `Content-Type: ${type}\r\nContent-Length: ${length}\r\n${range}${validators}`
    if (request.method === 'HEAD' || length === 0) {
      this.#close(fd)
      return { status: verdict.status, fields, body: null, length: 0 }
    }
    const whole = this.#cache.takes(size) ? await this.#content(found) : undefined
    if (whole === undefined) {
      return { status: verdict.status, fields, body: new FileBody(this.#ring, fd, [part]), length }
    }
    this.#close(fd)
    const body = length === size ? whole : whole.subarray(part.start, part.end)
    return { status: verdict.status, fields, body, length }
  }

  #several({ fd, state, type }: Found, validators: string, parts: readonly Part[]): Answer {
    const { boundary, pieces, length } = multipart(parts, type, state.size)
    const fields = `Content-Type: multipart/byteranges; boundary=${boundary}\r\nContent-Length: ${length}\r\n${validators}`
    return { status: 206, fields, body: new FileBody(this.#ring, fd, pieces), length }
  }

  /** What a 304 repeats too. */
  #validators(etag: string, lastModified: string, encoding: string | undefined, mayVary: boolean): string {
    const { maxAge } = this.#options
    return (
      `ETag: ${etag}\r\nLast-Modified: ${lastModified}\r\nAccept-Ranges: bytes\r\nX-Content-Type-Options: nosniff\r\n` +
      (encoding === undefined ? '' : `Content-Encoding: ${encoding}\r\n`) +
      (mayVary ? 'Vary: Accept-Encoding\r\n' : '') +
      (maxAge === undefined ? '' : `Cache-Control: max-age=${maxAge}\r\n`)
    )
  }

  /** A small file's bytes, from memory or read now; undefined when it changes while it is read. */
  async #content({ fd, path, state }: Found): Promise<Buffer | undefined> {
    const kept = this.#cache.get(path, state)
    if (kept !== undefined) return kept
    const body = Buffer.allocUnsafeSlow(state.size)
    for (let filled = 0; filled < body.length; ) {
      const bytes = await this.#ring.read(fd, body, { position: filled, offset: filled })
      if (bytes === 0) return undefined
      filled += bytes
    }
    if (!stateOf(this.#ring.ring.driver, fd).equals(state)) return undefined
    if (Date.now() - state.changedMs >= this.#options.settleMs) this.#cache.set(path, { state, body })
    return body
  }

  #typeOf(path: string): string {
    const name = path.slice(path.lastIndexOf('/') + 1)
    const dot = name.lastIndexOf('.')
    // As nginx and others: what has no known ending is bytes.
    const extension = dot <= 0 ? '' : name.slice(dot + 1).toLowerCase()
    let type = this.#types.get(extension)
    if (type === undefined) {
      type = (extension === '' ? null : mime.getType(extension)) ?? 'application/octet-stream'
      if (/^text\/|[/+](?:json|javascript)$/.test(type)) type += '; charset=utf-8'
      // Endings come from requests: what is no type is not remembered.
      if (this.#types.size < 1000) this.#types.set(extension, type)
    }
    return type
  }
}

const NO_BODY = 'Content-Length: 0\r\n'

const dates = new Map<number, string>()

/** An HTTP date; the last ones are remembered, as making one takes longer than a read. */
function dateOf(seconds: number): string {
  let text = dates.get(seconds)
  if (text === undefined) {
    text = new Date(seconds * 1000).toUTCString()
    if (dates.size >= 1000) dates.clear()
    dates.set(seconds, text)
  }
  return text
}

/** Whether an Accept-Encoding takes `encoding`: named, or by '*', and not with q=0. */
export function takes(accepted: string, encoding: string): boolean {
  let byStar = false
  for (const item of accepted.toLowerCase().split(',')) {
    const [name, ...parameters] = item.split(';').map((text) => text.trim())
    if (name !== encoding && name !== '*') continue
    const wanted = !parameters.some((parameter) => /^q=0(?:\.0*)?$/.test(parameter))
    if (name === encoding) return wanted
    byStar = wanted
  }
  return byStar
}
