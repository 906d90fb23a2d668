// The native addon as a file: freestanding, small, the same for both CPUs.
// Flow: this → elf.ts → prebuilds/*.node

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { addonProblems, readElf } from './elf.js'
import { root } from './helpers.js'

const addon = (arch: string): string => join(root, 'prebuilds', `linux-${arch}`, 'ringcore.node')
const source = (): string => readFileSync(join(root, 'native', 'addon.c'), 'utf8')

test('the addon needs no library and only symbols of Node', () => {
  const elf = readElf(addon(process.arch))
  assert.equal(elf.machine, process.arch)
  assert.deepEqual(addonProblems(elf), [])
  assert.ok(
    elf.definedSymbols.some(({ name }) => name === 'napi_register_module_v1'),
    'node finds no entry point',
  )
})

test('what would bind the addon to one libc is found', () => {
  const elf = readElf(addon(process.arch))
  const bound = {
    ...elf,
    needed: ['libc.so.6'],
    undefinedSymbols: [
      ...elf.undefinedSymbols,
      { name: 'memcpy', weak: false },
      { name: 'uv_poll_init', weak: false },
    ],
    definedSymbols: [...elf.definedSymbols, { name: 'helper', weak: false }],
  }
  assert.deepEqual(addonProblems(bound), [
    'it needs the library libc.so.6',
    'it needs the strong symbol memcpy',
    'it needs the strong symbol uv_poll_init',
    'it offers the symbol helper to the whole process',
  ])
})

test('the reader finds the libraries and symbols of a file that has them', () => {
  const elf = readElf(realLibrary())
  assert.ok(
    elf.needed.some((name) => name.startsWith('libc.')),
    `needs only ${elf.needed}`,
  )
  assert.ok(elf.undefinedSymbols.length > 0)
  assert.ok(addonProblems(elf).length > 2)
})

/** A shared library that is in this process, other than the addon. */
function realLibrary(): string {
  const maps = readFileSync('/proc/self/maps', 'utf8')
  const library = /(\/\S+\/lib(?:stdc\+\+|m|dl|pthread)[.-]\S*)/.exec(maps)?.[1]
  assert.ok(library, 'no shared library is mapped')
  return library
}

test('addon.c stays under 500 lines and knows nothing of io_uring structs', () => {
  const text = source()
  assert.ok(text.split('\n').length <= 500, `${text.split('\n').length} lines`)
  const includes = [...text.matchAll(/^\s*#\s*include\s*[<"]([^>"]+)/gm)].map((match) => match[1]!)
  assert.ok(includes.length > 0)
  assert.deepEqual(
    includes.filter((name) => /io_uring|linux\/|unistd|stdlib|string\.h|uv\.h/.test(name)),
    [],
    'structs arrive as bytes, system calls are raw',
  )
})

test('the arm64 addon is the same in all that a loader sees', (t) => {
  if (process.arch === 'arm64') return t.skip('this is arm64')
  if (spawnSync('aarch64-linux-gnu-gcc', ['--version']).error) {
    return t.skip('needs aarch64-linux-gnu-gcc (Debian: gcc-aarch64-linux-gnu)')
  }
  const built = spawnSync(process.execPath, ['scripts/build.mjs', '--arm64'], { cwd: root, encoding: 'utf8' })
  assert.equal(built.status, 0, built.stderr)
  const [here, there] = [readElf(addon(process.arch)), readElf(addon('arm64'))]
  assert.equal(there.machine, 'arm64')
  assert.deepEqual(addonProblems(there), [])
  assert.deepEqual(there.undefinedSymbols, here.undefinedSymbols)
  assert.deepEqual(there.definedSymbols, here.definedSymbols)
})
