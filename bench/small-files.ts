// Many small files on the disk, for the benches that read, write, copy and remove them.
// Flow: readfile.ts, readfiles.ts, writefile.ts, tree.ts → this.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { numbers } from './tools.ts'

const SMALLEST = 200
const LARGEST = 4000

export interface Files {
  paths: string[]
  sizes: number[]
  bytes: number
}

/** Makes `count` files of 0.2 to 4 KB in directories of a hundred. */
export function makeFiles(directory: string, count: number): Files {
  const random = numbers(2)
  const files: Files = { paths: [], sizes: [], bytes: 0 }
  const directories = Math.ceil(count / 100)
  for (let i = 0; i < count; i++) {
    const size = SMALLEST + Math.floor(random.next().value * (LARGEST - SMALLEST))
    const below = join(directory, String(i % directories))
    if (i < directories) mkdirSync(below, { recursive: true })
    files.paths.push(join(below, `${i}.txt`))
    files.sizes.push(size)
    writeFileSync(files.paths[i]!, Buffer.alloc(size, i))
    files.bytes += size
  }
  return files
}
