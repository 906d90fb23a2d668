// Which file an open descriptor is, and in which state: enough to tell whether what was read from it before still holds.
// Flow: serve-files.ts → this → driver.syscall. man statx(2)
//
// The call is made directly. As an operation it would go to a worker thread of the kernel, for an inode that is in memory as
// long as the file is open.

import { AT_EMPTY_PATH, STATX_BASIC_STATS } from '../sys/constants.ts'
import type { Driver } from '../sys/driver.ts'
import { errnoError } from '../sys/error.ts'
import { syscallNumbers } from '../sys/syscalls.ts'

const words = new Uint32Array(64)
const nothing = new Uint8Array(8)

/** A file in one state. */
export class FileState {
  readonly mode: number
  readonly size: number
  readonly ino: number
  readonly device: number
  readonly mtimeSeconds: number
  readonly mtimeNsec: number
  readonly ctimeSeconds: number
  readonly ctimeNsec: number

  constructor() {
    this.mode = words[7]! & 0xffff
    this.ino = words[8]! + words[9]! * 2 ** 32
    this.size = words[10]! + words[11]! * 2 ** 32
    this.ctimeSeconds = words[24]! + (words[25]! | 0) * 2 ** 32
    this.ctimeNsec = words[26]!
    this.mtimeSeconds = words[28]! + (words[29]! | 0) * 2 ** 32
    this.mtimeNsec = words[30]!
    this.device = words[34]! * 2 ** 20 + words[35]!
  }

  /** Whether it is the same file, unchanged. */
  equals(other: FileState): boolean {
    return (
      this.ino === other.ino &&
      this.mtimeNsec === other.mtimeNsec &&
      this.mtimeSeconds === other.mtimeSeconds &&
      this.ctimeNsec === other.ctimeNsec &&
      this.ctimeSeconds === other.ctimeSeconds &&
      this.size === other.size &&
      this.device === other.device &&
      this.mode === other.mode
    )
  }

  /** When it last changed, in milliseconds since 1970. */
  get changedMs(): number {
    return Math.max(this.mtimeSeconds, this.ctimeSeconds) * 1000
  }

  get isFile(): boolean {
    return (this.mode & 0xf000) === 0x8000
  }

  get isDirectory(): boolean {
    return (this.mode & 0xf000) === 0x4000
  }
}

/** Asks about an open file. */
export function stateOf(driver: Driver, fd: number): FileState {
  const { statx } = syscallNumbers()
  const res = driver.syscall(
    statx,
    fd,
    driver.addressOf(nothing),
    AT_EMPTY_PATH,
    STATX_BASIC_STATS,
    driver.addressOf(words),
  )
  if (res < 0) throw errnoError(res, 'fstat')
  return new FileState()
}
