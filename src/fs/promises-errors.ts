// Errors of the ring in the words of node:fs/promises.
// Flow: promises-*, file-handle → this → sys/error.

import { errnoError, UringError } from '../sys/error.ts'

/** When the close fails too: Node tells both, with the message and code of the first. */
export function bothErrors(error: unknown, ofClose: unknown): unknown {
  const { message, code } = error as NodeJS.ErrnoException
  return Object.assign(new AggregateError([error, ofClose], message), { code })
}

/**
 * The error as Node's function would give it, with a stack that leads to the function's caller: what a completion throws has only
 * the event loop below it.
 * @param syscall Node's word, where it is not the opcode's
 */
export function retold(error: unknown, syscall?: string): unknown {
  if (!(error instanceof UringError)) return error
  let told = error
  if (syscall !== undefined && syscall !== error.syscall) {
    const { path, dest } = error
    told = errnoError(error.errno, syscall, { path, dest })
  }
  Error.captureStackTrace(told, retold)
  return told
}
