// The door `ringcore/fs`: node:fs/promises, on the ring where there is one.
// Flow: programs → this → promises-paths.ts, promises-files.ts, file-handle.ts; node:fs/promises for all that has no opcode.
// docs/fs.md says which function goes which way, and why.

import node from 'node:fs/promises'
import { type Backend, backend } from './promises-backend.ts'
import {
  appendFile as appendFileOnRing,
  readFile as readFileOnRing,
  writeFile as writeFileOnRing,
} from './promises-files.ts'
import * as paths from './promises-paths.ts'

type NodeFs = typeof node

/** What only this module has. */
export interface Extras {
  /** Which way the functions go that have an opcode: 'node' where no ring can be made. */
  readonly backend: Backend
}

const { withFile: _, ...onPaths } = paths
const onRing = {
  ...onPaths,
  appendFile: appendFileOnRing,
  readFile: readFileOnRing,
  writeFile: writeFileOnRing,
}

/** All of this Node's functions, in its order, with ours in their place. */
const fs = { ...node, ...(backend === 'io_uring' ? onRing : {}), backend } as unknown as NodeFs & Extras

export default fs
export { type Backend, backend }
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
