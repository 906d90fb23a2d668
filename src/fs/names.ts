// Names as bytes: kept as latin1 text, one character a byte, so that names in any encoding come through unchanged.
// Flow: removal.ts, copying.ts, copy-chain.ts, trees-by-node.ts → this.

const BEYOND_ASCII = /[\u0080-\u00ff]/

/** A name or path in latin1 as the kernel's and Node's functions take it; ASCII, the same in UTF-8, needs no copy. */
export function nameBytes(latin1: string): string | Buffer {
  return BEYOND_ASCII.test(latin1) ? Buffer.from(latin1, 'latin1') : latin1
}

/** The same for people: UTF-8. */
export function nameText(latin1: string): string {
  return BEYOND_ASCII.test(latin1) ? Buffer.from(latin1, 'latin1').toString() : latin1
}

/** From UTF-8, or from bytes, to latin1. */
export function nameLatin1(name: string | Uint8Array): string {
  return Buffer.from(name as Uint8Array).toString('latin1')
}
