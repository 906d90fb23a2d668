// Modules of Node's that not every program needs, loaded when they are: node:net alone takes as long to load as all of ringcore.
// Flow: sockaddr.ts, net → this → node:net, node:dns

let net: typeof import('node:net') | undefined

/** As `isIP` of node:net: 4, 6, or 0 when it is none. */
export function isIP(text: string): number {
  net ??= process.getBuiltinModule('node:net')
  return net.isIP(text)
}

/** node:dns */
export function dns(): typeof import('node:dns') {
  return process.getBuiltinModule('node:dns')
}
