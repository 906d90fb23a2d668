// readFile, writeFile and appendFile of node:fs/promises, on paths and on handles.
// Flow: promises.ts → this → read-file.ts, write-file.ts (bytes); open and FileHandle for data that comes in pieces.

import type { PathLike } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { pathText } from '../runtime/operations-path.ts'
import { abortError, errnoError, UringError } from '../sys/error.ts'
import { isRingHandle } from './file-handle.ts'
import { dataOf } from './file-handle-params.ts'
import { node } from './node-fs.ts'
import { plainFileOptions, plainFlags, plainPath } from './promises-arguments.ts'
import { ringNow } from './promises-backend.ts'
import { retold } from './promises-errors.ts'
import { open, withFile } from './promises-paths.ts'
import { readFile as readWholeFile } from './read-file.ts'
import { writeFile as writeWholeFile } from './write-file.ts'

type ReadFileOptions = Parameters<typeof node.readFile>[1]
type WriteFileOptions = Parameters<typeof node.writeFile>[2]
type Data = Parameters<typeof node.writeFile>[1]

const READ = plainFlags('r')!
const WRITE = plainFlags('w')!
const APPEND = plainFlags('a')!

/** A handle of ours; of a closed one these functions do not say the same as its methods, so that is for Node's. */
const isOpen = (path: unknown): path is FileHandle => isRingHandle(path) && path.fd >= 0

export async function readFile(
  path: PathLike | FileHandle,
  options: ReadFileOptions,
): Promise<Buffer | string> {
  if (isOpen(path)) return path.readFile(options)
  const ring = ringNow()
  const name = plainPath(path)
  const plain = plainFileOptions(options, READ)
  if (ring === null || name === null || plain === null) return node.readFile(path, options)
  const { encoding, flag, signal } = plain
  if (signal?.aborted === true) throw abortError(signal)
  try {
    const content = await readWholeFile(name, { ring, flag, signal })
    return encoding === null ? content : content.toString(encoding)
  } catch (error) {
    throw await likeNodes(error, name)
  }
}

let readErrorsNameFile: boolean | undefined

/**
 * The error as this version of Node has it: since Node 26, which opens, reads and closes in one go, that of `read` names the file too.
 * A directory tells. Those of writes and syncs never do.
 */
async function likeNodes(error: unknown, name: string | Uint8Array): Promise<unknown> {
  if (!(error instanceof UringError) || error.syscall === 'open') return retold(error)
  if (error.syscall === 'read' && readErrorsNameFile === undefined) {
    const sample: unknown = await node.readFile('/').catch((refused: unknown) => refused)
    readErrorsNameFile = (sample as NodeJS.ErrnoException).path !== undefined
  }
  const named = error.syscall === 'read' && readErrorsNameFile
  return retold(errnoError(error.errno, error.syscall, named ? { path: pathText(name) } : {}))
}

export async function writeFile(
  path: PathLike | FileHandle,
  data: Data,
  options: WriteFileOptions,
): Promise<void> {
  if (isOpen(path)) return path.writeFile(data, options)
  return (await writeWhole(path, data, options, WRITE)) ? undefined : node.writeFile(path, data, options)
}

export async function appendFile(
  path: PathLike | FileHandle,
  data: string | Uint8Array,
  options: WriteFileOptions,
): Promise<void> {
  if (isOpen(path)) return path.appendFile(data, options)
  return (await writeWhole(path, data, options, APPEND)) ? undefined : node.appendFile(path, data, options)
}

/** Writes the file, or returns false: then it is Node's to write. */
async function writeWhole(
  path: PathLike | FileHandle,
  data: Data,
  options: WriteFileOptions,
  defaultFlag: number,
): Promise<boolean> {
  const ring = ringNow()
  const name = plainPath(path)
  const plain = plainFileOptions(options, defaultFlag)
  if (ring === null || name === null || plain === null) return false
  const { encoding, flag, mode, signal, flush } = plain
  const content = dataOf(data, encoding)
  if (content === null) return false
  if (signal?.aborted === true) throw abortError(signal)
  if (ArrayBuffer.isView(content)) {
    try {
      await writeWholeFile(name, content, { ring, flag, mode, flush, signal })
    } catch (error) {
      throw await likeNodes(error, name)
    }
    return true
  }
  await withFile(await open(path as PathLike, flag, mode), async (handle) => {
    await handle.writeFile(content as Data, { encoding, signal })
    if (flush) await handle.sync()
  })
  return true
}
