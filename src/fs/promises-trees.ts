// rm and cp of node:fs/promises.
// Flow: promises.ts → this → rm.ts, cp.ts; trees-by-node.ts where there is no ring, node:fs/promises for arguments that need explaining.

import type { PathLike } from 'node:fs'
import { cp as cpOnRing } from './cp.ts'
import { node } from './node-fs.ts'
import type { Told } from './progress.ts'
import { plainPath } from './promises-arguments.ts'
import { ringNow } from './promises-backend.ts'
import { retold } from './promises-errors.ts'
import { rm as rmOnRing } from './rm.ts'
import { cpByNode, rmByNode } from './trees-by-node.ts'

type RmOptions = Parameters<typeof node.rm>[1]
type CpOptions = Parameters<typeof node.cp>[2]

/** Whether ours can take it. An option that is there and undefined is an error of Node's, unless there are options that only we have. */
function isPlain(options: unknown): options is object | undefined {
  if (options === undefined) return true
  if (typeof options !== 'object' || options === null || Array.isArray(options)) return false
  const { signal, onProgress } = options as Told
  return signal !== undefined || onProgress !== undefined || !Object.values(options).includes(undefined)
}

export async function rm(path: PathLike, options: RmOptions): Promise<void> {
  const ring = ringNow()
  const name = plainPath(path)
  if (name === null || !isPlain(options)) return node.rm(path, options)
  if (ring === null) return rmByNode(name, options)
  try {
    await rmOnRing(name, { ...options, ring })
  } catch (error) {
    throw retold(error)
  }
}

export async function cp(src: PathLike, dest: PathLike, options: CpOptions): Promise<void> {
  const ring = ringNow()
  const from = plainPath(src)
  const to = plainPath(dest)
  if (from === null || to === null || !isPlain(options))
    return node.cp(src as string, dest as string, options)
  if (ring === null) return cpByNode(src, dest, options)
  try {
    await cpOnRing(from, to, { ...(options as object), ring })
  } catch (error) {
    throw retold(error)
  }
}
