// Modules of Node's that not every program needs, loaded when they are: node:net alone takes as long to load as all of ringcore.
// Flow: sockaddr.ts, net, fs (AppendLog) → this → node:net, node:dns, node:zlib, node:crypto

let net: typeof import('node:net') | undefined
let zlib: typeof import('node:zlib') | undefined

/** As `isIP` of node:net: 4, 6, or 0 when it is none. */
export function isIP(text: string): number {
  net ??= process.getBuiltinModule('node:net')
  return net.isIP(text)
}

/** node:dns */
export function dns(): typeof import('node:dns') {
  return process.getBuiltinModule('node:dns')
}

/** As `crc32` of node:zlib. */
export function crc32(data: Uint8Array, value?: number): number {
  zlib ??= process.getBuiltinModule('node:zlib')
  return zlib.crc32(data, value)
}

/** As `randomBytes` of node:crypto. */
export function randomBytes(size: number): Buffer {
  return process.getBuiltinModule('node:crypto').randomBytes(size)
}
