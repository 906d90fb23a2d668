// The door `ringcore/fs`: node:fs/promises, on the ring where there is one.
// Flow: programs → this → promises-paths.ts, promises-files.ts, promises-trees.ts, promises-batches.ts, file-handle.ts, direct-file.ts, append-log.ts; node:fs/promises for all that has no opcode.
// docs/fs.md says which function goes which way, and why.

import { AppendLog } from './append-log.ts'
import { DirectFile } from './direct-file.ts'
import { node } from './node-fs.ts'
import { type Backend, backend } from './promises-backend.ts'
import { readFiles, stats, walk, writeFiles } from './promises-batches.ts'
import * as files from './promises-files.ts'
import * as paths from './promises-paths.ts'
import * as trees from './promises-trees.ts'

/** What only this module has. */
export interface Extras {
  /** Which way the functions go that have an opcode: 'node' where no ring can be made. */
  readonly backend: Backend
  /** Batches: see docs/batch.md. */
  readFiles: typeof readFiles
  stats: typeof stats
  walk: typeof walk
  writeFiles: typeof writeFiles
  /** For storage engines: see docs/storage.md. They need a ring. */
  AppendLog: typeof AppendLog
  DirectFile: typeof DirectFile
}

const { withFile: _, ...onPaths } = paths
const onRing: Record<string, object> = { ...onPaths, ...files, ...trees }
// However the modules are joined, each function has the name that Node gives it.
for (const [name, value] of Object.entries(onRing)) Object.defineProperty(value, 'name', { value: name })

const extras: Extras = { AppendLog, DirectFile, backend, readFiles, stats, walk, writeFiles }
/** All of this Node's functions, with ours in their place. */
const fs = {
  ...node,
  // Trees have a signal and progress of ours, also where there is no ring.
  ...(backend === 'io_uring' ? onRing : trees),
  ...extras,
} as unknown as typeof node & Extras

export default fs
// For programs that take types from here: FileHandle, FileReadResult …
export type * from 'node:fs/promises'
export { AppendLog, type Backend, backend, DirectFile, readFiles, stats, walk, writeFiles }
export const {
  access,
  appendFile,
  chmod,
  chown,
  constants,
  copyFile,
  cp,
  glob,
  lchmod,
  lchown,
  link,
  lstat,
  lutimes,
  mkdir,
  mkdtemp,
  mkdtempDisposable,
  open,
  opendir,
  readFile,
  readdir,
  readlink,
  realpath,
  rename,
  rm,
  rmdir,
  stat,
  statfs,
  symlink,
  truncate,
  unlink,
  utimes,
  watch,
  writeFile,
} = fs
