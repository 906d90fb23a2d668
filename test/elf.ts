// Reads what a loader reads of a 64-bit little-endian ELF file: the libraries it needs and its dynamic symbols.
// Flow: 91.addon.test.ts, scripts/build.mjs --arm64 → this.
// man elf(5)

import { readFileSync } from 'node:fs'

const SECTION = { DYNAMIC: 6, DYNSYM: 11 } as const
const DT_NEEDED = 1
const BIND_WEAK = 2
const TYPE_SECTION = 3
const MACHINES: Readonly<Record<number, string>> = { 62: 'x64', 183: 'arm64' }

export interface ElfSymbol {
  name: string
  weak: boolean
}

export interface Elf {
  machine: string
  /** Shared libraries that the loader has to find. */
  needed: string[]
  /** Symbols that the process has to bring. */
  undefinedSymbols: ElfSymbol[]
  /** Symbols that it offers. */
  definedSymbols: ElfSymbol[]
  /** True when the stack would have to be executable. */
  executableStack: boolean
}

interface Section {
  type: number
  offset: number
  size: number
  link: number
  entrySize: number
}

/** Reads a shared object. */
export function readElf(path: string): Elf {
  const bytes = readFileSync(path)
  if (bytes.readUInt32BE(0) !== 0x7f454c46) throw new Error(`${path} is not an ELF file`)
  if (bytes[4] !== 2 || bytes[5] !== 1) throw new Error(`${path} is not a 64-bit little-endian ELF file`)

  const sections = readSections(bytes)
  const stringAt = (table: Section, index: number): string => {
    const start = table.offset + index
    return bytes.toString('latin1', start, bytes.indexOf(0, start))
  }
  const symbols = (wanted: (section: number) => boolean): ElfSymbol[] => {
    const table = sections.find((section) => section.type === SECTION.DYNSYM)
    if (!table) return []
    const found: ElfSymbol[] = []
    // The first entry is reserved.
    for (let at = table.offset + table.entrySize; at < table.offset + table.size; at += table.entrySize) {
      if (!wanted(bytes.readUInt16LE(at + 6)) || (bytes[at + 4]! & 0xf) === TYPE_SECTION) continue
      const name = stringAt(sections[table.link]!, bytes.readUInt32LE(at))
      found.push({ name, weak: bytes[at + 4]! >> 4 === BIND_WEAK })
    }
    return found.sort((a, b) => (a.name < b.name ? -1 : 1))
  }
  const dynamic = sections.find((section) => section.type === SECTION.DYNAMIC)
  const needed: string[] = []
  for (let at = dynamic?.offset ?? 0; dynamic && at < dynamic.offset + dynamic.size; at += 16) {
    const value = Number(bytes.readBigUInt64LE(at + 8))
    if (bytes.readUInt32LE(at) === DT_NEEDED) needed.push(stringAt(sections[dynamic.link]!, value))
  }
  return {
    machine: MACHINES[bytes.readUInt16LE(18)] ?? 'unknown',
    needed,
    undefinedSymbols: symbols((section) => section === 0),
    definedSymbols: symbols((section) => section !== 0),
    executableStack: stackIsExecutable(bytes),
  }
}

function readSections(bytes: Buffer): Section[] {
  const start = Number(bytes.readBigUInt64LE(40))
  const [entrySize, count] = [bytes.readUInt16LE(58), bytes.readUInt16LE(60)]
  return Array.from({ length: count }, (_, i) => {
    const at = start + i * entrySize
    return {
      type: bytes.readUInt32LE(at + 4),
      offset: Number(bytes.readBigUInt64LE(at + 24)),
      size: Number(bytes.readBigUInt64LE(at + 32)),
      link: bytes.readUInt32LE(at + 40),
      entrySize: Number(bytes.readBigUInt64LE(at + 56)),
    }
  })
}

/** Without a PT_GNU_STACK header, or with PF_X in it, the loader makes the stack executable. */
function stackIsExecutable(bytes: Buffer): boolean {
  const start = Number(bytes.readBigUInt64LE(32))
  const [entrySize, count] = [bytes.readUInt16LE(54), bytes.readUInt16LE(56)]
  for (let i = 0; i < count; i++) {
    const at = start + i * entrySize
    if (bytes.readUInt32LE(at) === 0x6474e551) return (bytes.readUInt32LE(at + 4) & 1) !== 0
  }
  return true
}

/** What keeps an addon from being one binary for glibc and musl, Node 20 to 26; empty when nothing does. */
export function addonProblems(elf: Elf): string[] {
  const problems = elf.needed.map((library) => `it needs the library ${library}`)
  for (const { name, weak } of elf.undefinedSymbols) {
    const isNodeApi = /^(napi|node_api)_/.test(name)
    const isWeakUv = weak && name.startsWith('uv_')
    if (!isNodeApi && !isWeakUv) problems.push(`it needs the ${weak ? 'weak' : 'strong'} symbol ${name}`)
    if (isNodeApi && weak) problems.push(`${name} is weak, a missing one would be called at address 0`)
  }
  for (const { name } of elf.definedSymbols) {
    if (!/^(napi_register_module_v1|node_api_module_get_api_version_v1)$/.test(name)) {
      problems.push(`it offers the symbol ${name} to the whole process`)
    }
  }
  if (elf.executableStack) problems.push('it wants an executable stack')
  return problems
}
