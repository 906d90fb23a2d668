// `cp` and `rm` where no ring can be made, or no /proc is mounted: Node's own, with `signal` and `onProgress`.
// Flow: promises-trees.ts, rm.ts → this → node:fs/promises.

import type { CopyOptions, RmOptions as NodeRmOptions, PathLike } from 'node:fs'
import { checkPath } from '../runtime/operations.ts'
import { checkSignal } from '../runtime/options.ts'
import { AbortError } from '../sys/error.ts'
import { checkBoolean, checkFunction } from '../sys/validate.ts'
import type { CpOptions } from './cp.ts'
import { nameBytes, nameLatin1 } from './names.ts'
import { node } from './node-fs.ts'
import { Tally, type Told } from './progress.ts'
import type { RmOptions } from './rm.ts'

/** What is not Node's, taken out; null when there is none of it and Node can have the call as it is. */
function own<T extends Told>(options: T): { told: Told | null; rest: object } {
  const { signal, onProgress, countFirst, ring: _, ...rest } = options as T & { ring?: unknown }
  if (signal !== undefined) checkSignal(signal)
  if (onProgress !== undefined) checkFunction('options.onProgress', onProgress)
  if (countFirst !== undefined) checkBoolean('options.countFirst', countFirst)
  const isPlain = signal === undefined && onProgress === undefined
  return { told: isPlain ? null : { signal, onProgress, countFirst }, rest }
}

function checkAborted({ signal }: Told): void {
  if (signal?.aborted === true) throw new AbortError(signal.reason)
}

export async function rmByNode(path: string | Uint8Array, options: RmOptions = {}): Promise<void> {
  const { told, rest } = own(options)
  if (told === null) return node.rm(path as PathLike, rest)
  checkAborted(told)
  const tally = new Tally(told)
  const latin1 = nameLatin1(path)
  const isTree =
    options.recursive === true &&
    (await node.lstat(path as PathLike).then(
      (stats) => stats.isDirectory(),
      () => false, // Node's function has the error
    ))
  await tally.countFirst(latin1, isTree)
  await remove(latin1, isTree, { told, tally, rest })
  tally.tell()
}

interface Removing {
  told: Told
  tally: Tally
  rest: NodeRmOptions
}

/** Removes a name, of a directory what is in it first. */
async function remove(latin1: string, isTree: boolean, removing: Removing): Promise<void> {
  const { told, tally, rest } = removing
  const path = nameBytes(latin1)
  checkAborted(told)
  if (isTree) {
    const entries = await node.readdir(path, { encoding: 'latin1', withFileTypes: true })
    const below = { told, tally, rest: { ...rest, force: true } }
    for (const entry of entries) await remove(`${latin1}/${entry.name}`, entry.isDirectory(), below)
  }
  await node.rm(path, rest)
  tally.files++
  tally.tellSometimes()
}

export async function cpByNode(src: PathLike, dest: PathLike, options: CpOptions = {}): Promise<void> {
  const { told, rest } = own(options)
  if (told === null) return node.cp(src as string, dest as string, rest)
  checkAborted(told)
  const tally = new Tally(told)
  const { filter } = options
  if (told.countFirst === true && filter === undefined) {
    const stats = await node.lstat(src).catch(() => null)
    await tally.countFirst(
      nameLatin1(checkPath(src, 'src')),
      stats?.isDirectory() === true && options.recursive === true,
    )
  }
  /** Bytes of the name that is being copied: Node asks for the next one when that is done. */
  let pending = -1
  const done = (): void => {
    if (pending < 0) return
    tally.files++
    tally.bytes += pending
    pending = -1
    tally.tellSometimes()
  }
  const asked = async (from: string, to: string): Promise<boolean> => {
    done()
    checkAborted(told)
    if (filter !== undefined && !(await filter(from, to))) return false
    const stats = told.onProgress === undefined ? null : await node.lstat(from).catch(() => null)
    pending = stats?.isFile() === true ? stats.size : 0
    return true
  }
  await node.cp(src as string, dest as string, { ...(rest as CopyOptions), filter: asked })
  done()
  tally.tell()
}
