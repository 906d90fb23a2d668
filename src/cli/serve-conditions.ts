// What of a file a request wants, if anything: conditions first, ranges then.
// Flow: serve-files.ts → this → fresh, range-parser. RFC 9110 sections 13 and 14

import fresh from 'fresh'
import parseRange from 'range-parser'

/** Bytes of a file, `end` not among them. */
export interface Part {
  start: number
  end: number
}

/** 200: all of it; 206: the parts; 304, 412 and 416: nothing. */
export interface Verdict {
  status: 200 | 206 | 304 | 412 | 416
  parts: Part[]
}

export interface Version {
  etag: string
  /** As in the header: whole seconds. */
  lastModified: string
  size: number
}

/** More parts than that are no download but an attack: then all of it is sent. */
const PARTS_MAX = 16

const ALL: Verdict = { status: 200, parts: [] }

/** @param fields the request's, by lower-case name */
export function judge(method: string, fields: ReadonlyMap<string, string>, version: Version): Verdict {
  const ifMatch = fields.get('if-match')
  if (ifMatch !== undefined) {
    if (!matches(ifMatch, version.etag)) return { status: 412, parts: [] }
  } else {
    const unmodifiedSince = Date.parse(fields.get('if-unmodified-since') ?? '')
    if (Date.parse(version.lastModified) > unmodifiedSince) return { status: 412, parts: [] }
  }
  if (isFresh(fields, version)) return { status: 304, parts: [] }
  const range = fields.get('range')
  if (range === undefined || method !== 'GET' || !rangeApplies(fields.get('if-range'), version)) return ALL
  return ranges(range, version.size)
}

/** `fresh` compares weakly, as If-None-Match wants it. */
function isFresh(fields: ReadonlyMap<string, string>, { etag, lastModified }: Version): boolean {
  const noneMatch = fields.get('if-none-match')
  const modifiedSince = fields.get('if-modified-since')
  if (noneMatch === undefined && modifiedSince === undefined) return false
  const asked = {
    'if-none-match': noneMatch,
    'if-modified-since': modifiedSince,
    'cache-control': fields.get('cache-control'),
  }
  return fresh(asked, { etag, 'last-modified': lastModified })
}

/** If-Match compares strongly: a weak tag matches nothing. */
function matches(list: string, etag: string): boolean {
  return list.trim() === '*' || list.split(',').some((one) => one.trim() === etag)
}

/** If-Range: the part only if the file is still the one that the client has the rest of. */
function rangeApplies(ifRange: string | undefined, { etag, lastModified }: Version): boolean {
  if (ifRange === undefined) return true
  return ifRange.startsWith('"') ? ifRange === etag : ifRange === lastModified
}

function ranges(range: string, size: number): Verdict {
  if (!/^bytes=/i.test(range)) return ALL
  const found = parseRange(size, range, { combine: true })
  if (found === -1) return { status: 416, parts: [] }
  if (found === -2 || found.length > PARTS_MAX) return ALL
  return { status: 206, parts: found.map(({ start, end }) => ({ start, end: end + 1 })) }
}
