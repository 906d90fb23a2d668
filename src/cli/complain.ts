// Messages of the file commands, in the words of coreutils.
// Flow: cp-command.ts, cat-command.ts, du-command.ts → this → standard error.

import { errnoText } from '../sys/errno.ts'

/** Where the C library's words differ from Node's. */
const WORDS: Readonly<Record<string, string>> = {
  EISDIR: 'Is a directory',
  EEXIST: 'File exists',
  ELOOP: 'Too many levels of symbolic links',
  ENOTDIR: 'Not a directory',
  EBUSY: 'Device or resource busy',
  EIO: 'Input/output error',
}

/** What went wrong, as coreutils say it: "No such file or directory". */
export function reason(error: unknown): string {
  const { errno, code, message } = error as NodeJS.ErrnoException
  if (errno === undefined || code?.startsWith('ERR_') === true) return message
  const text = WORDS[code ?? ''] ?? errnoText(errno)
  return text.charAt(0).toUpperCase() + text.slice(1)
}

export function complain(command: string, message: string): void {
  process.stderr.write(`ringcore ${command}: ${message}\n`)
}

/** The exit code of wrong usage, with a hint where to look. */
export function misused(command: string, message: string): number {
  complain(command, message)
  process.stderr.write(`Try 'ringcore ${command} --help' for more information.\n`)
  return 1
}
