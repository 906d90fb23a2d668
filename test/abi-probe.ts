// Holds our ABI against the C headers installed here: what they define, and a program of assertions that compiles only
// if we agree. Nothing runs, so the headers of another CPU do as well.
// Flow: 10.abi.test.ts → this → cc or a cross compiler, with -fsyntax-only.

import { spawnSync } from 'node:child_process'
import type { AnyStruct } from 'ringcore/sys'

// Those that a machine lacks are left out; the names in them then count as unknown.
const HEADERS = [
  ...['errno.h', 'fcntl.h', 'poll.h', 'time.h', 'netinet/in.h', 'netinet/tcp.h', 'netinet/udp.h'],
  ...[
    'sys/epoll.h',
    'sys/eventfd.h',
    'sys/ioctl.h',
    'sys/mman.h',
    'sys/resource.h',
    'sys/socket.h',
    'sys/stat.h',
  ],
  ...['sys/timerfd.h', 'sys/uio.h', 'sys/un.h', 'sys/wait.h', 'sys/xattr.h', 'asm/unistd.h'],
  ...[
    'linux/blkdev.h',
    'linux/falloc.h',
    'linux/fs.h',
    'linux/futex.h',
    'linux/openat2.h',
    'linux/time_types.h',
  ],
  ...['linux/io_uring.h', 'linux/io_uring/query.h', 'linux/io_uring/bpf_filter.h', 'linux/io_uring/zcrx.h'],
  'linux/io_uring/mock_file.h',
]
const INCLUDES = HEADERS.map((name) => `#if __has_include(<${name}>)\n#include <${name}>\n#endif\n`).join('')
const PROLOGUE = `#define _GNU_SOURCE\n#include <stddef.h>\n${INCLUDES}`

/** The headers of one compiler. */
export interface Headers {
  compiler: string
  /** Macros and enumerators; a macro may be something else than a number. */
  names: ReadonlySet<string>
  /** Struct names, each with the text between its braces. */
  structs: ReadonlyMap<string, string>
}

/** Reads the headers, or says why that can't be. */
export function readHeaders(compiler: string): Headers | { skip: string } {
  const [command, ...args] = compiler.split(/\s+/)
  const run = (...flags: string[]) =>
    spawnSync(command!, [...args, '-E', '-P', '-x', 'c', ...flags, '-'], {
      input: PROLOGUE,
      encoding: 'utf8',
      maxBuffer: 1 << 26,
    })
  const macros = run('-dM')
  if (macros.error)
    return { skip: `needs a C compiler: ${compiler} does not start (${macros.error.message})` }
  const text = run()
  if (macros.status !== 0 || text.status !== 0)
    return { skip: `needs C headers: ${text.stderr.split('\n')[0]}` }

  const names = new Set<string>()
  for (const [, name] of macros.stdout.matchAll(/^#define (\w+)[^\S\n]+\S/gm)) names.add(name!)
  for (const [, body] of text.stdout.matchAll(/\benum\b[^{;()]*\{([^}]*)\}/g)) {
    for (const [, name] of body!.matchAll(/(?:^|,)\s*(\w+)/g)) names.add(name!)
  }
  const structs = new Map<string, string>()
  for (const match of text.stdout.matchAll(/\bstruct (\w+)\s*\{/g)) {
    structs.set(match[1]!, untilClosingBrace(text.stdout, match.index + match[0].length))
  }
  return { compiler, names, structs }
}

function untilClosingBrace(text: string, start: number): string {
  let depth = 1
  for (let i = start; i < text.length; i++) {
    if (text[i] === '{') depth++
    else if (text[i] === '}' && --depth === 0) return text.slice(start, i)
  }
  return ''
}

/** A line of C that compiles only if a name has our value. */
export function assertValue(name: string, value: number | bigint): string {
  // 32-bit flags are signed in some headers and not in others: the bits count.
  const literal = BigInt.asUintN(64, BigInt(value))
  const same = `(unsigned long long)(${name}) == ${literal}ULL`
  const same32 = `(sizeof(${name}) == 4 && (unsigned)(${name}) == ${BigInt.asUintN(32, literal)}U)`
  const agrees = value < 2 ** 32 && value >= -(2 ** 31) ? `(${same} || ${same32})` : same
  return `_Static_assert(${agrees}, "${name} is not ${value}");`
}

/** Lines of C that compile only if a struct has our size, and its fields our places, as far as the header has them. */
export function assertStruct(name: string, Type: AnyStruct, body: string, sizeof: number): string[] {
  const lines = [`_Static_assert(sizeof(struct ${name}) == ${sizeof}, "sizeof ${name} is not ${sizeof}");`]
  for (const [field, { offset, size }] of Object.entries(Type.fields)) {
    // Newer headers put new fields in the place of reserved ones.
    if (/^_*(resv|rsvd|pad|spare|reserved)\d*$/.test(field)) continue
    if (!new RegExp(`\\b${field}\\b`).test(body)) continue
    const place = `offsetof(struct ${name}, ${field}) == ${offset}`
    // An array without a length has no size in C.
    const extent = size === 0 ? '1' : `sizeof(((struct ${name} *)0)->${field}) == ${size}`
    lines.push(`_Static_assert(${place} && ${extent}, "${name}.${field} is not at ${offset}, ${size}");`)
  }
  return lines
}

/** Compiles the assertions; returns what the compiler had to say against them. */
export function compileAssertions(compiler: string, lines: readonly string[]): string[] {
  const [command, ...args] = compiler.split(/\s+/)
  const { status, stderr } = spawnSync(command!, [...args, '-std=gnu11', '-fsyntax-only', '-x', 'c', '-'], {
    input: `${PROLOGUE}${lines.join('\n')}\n`,
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  })
  if (status === 0) return []
  const errors = stderr.split('\n').filter((line) => line.includes('error:'))
  return errors.length > 0 ? errors : [stderr]
}
