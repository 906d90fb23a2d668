// From a request's target to a path below the served directory, and back to a Location.
// Flow: serve-files.ts, serve-listing.ts → this.
//
// A path is kept as latin1 text, a character per byte: names of files are bytes, and need not be UTF-8. It is not this file that
// keeps requests inside: '..' and links are the kernel's to refuse (RESOLVE_BENEATH), which no check of a text can do as well.

import { HttpError } from '../net/http/request.ts'

const HEX = /^[\da-fA-F]{2}$/

/**
 * The path that a target names, without leading slashes: '' is the directory itself.
 * @throws HttpError 400
 */
export function pathOf(target: string): string {
  let path = target
  const absolute = /^https?:\/\/[^/?#]*/i.exec(path)
  if (absolute !== null) path = path.slice(absolute[0].length) || '/'
  const end = path.search(/[?#]/)
  if (end >= 0) path = path.slice(0, end)
  if (!path.startsWith('/')) throw new HttpError(400, 'The target is no path')
  if (path.includes('%')) path = decode(path)
  if (path.includes('\0')) throw new HttpError(400, 'The target has a NUL')
  let from = 0
  while (path[from] === '/') from++
  return path.slice(from)
}

function decode(path: string): string {
  return path.replace(/%(..?)?/g, (_, digits: string | undefined) => {
    if (digits === undefined || !HEX.test(digits)) throw new HttpError(400, 'The target has a broken %')
    return String.fromCharCode(Number.parseInt(digits, 16))
  })
}

/** The query of a target with its '?', or ''. */
export function queryOf(target: string): string {
  const at = target.indexOf('?')
  return at < 0 ? '' : target.slice(at).replace(/#.*$/, '')
}

/** As the kernel takes it: text where that is the same, else bytes. */
export function kernelPath(path: string): string | Uint8Array {
  for (let i = 0; i < path.length; i++) if (path.charCodeAt(i) > 127) return Buffer.from(path, 'latin1')
  return path
}

/** Names that begin with a dot are not for everybody; `.well-known` is (RFC 8615). */
export function isHidden(path: string): boolean {
  if (!path.includes('.')) return false
  const names = path.split('/')
  return names.some(
    (name, i) =>
      name.startsWith('.') && name !== '.' && name !== '..' && !(i === 0 && name === '.well-known'),
  )
}

/** Percent-encodes all that could be anything but a part of a path: in a Location, in HTML, and for old browsers. */
export function encodePath(path: string): string {
  return path.replace(
    /[^\w\-.~!$&'()*+,=@/]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  )
}
