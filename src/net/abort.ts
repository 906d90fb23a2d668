// Ends what waits when a signal aborts.
// Flow: socket-stream.ts, socket-listener.ts, udp-socket.ts → this → runtime/options.ts

import { checkSignal, listen, unlisten } from '../runtime/options.ts'
import { abortError } from '../sys/error.ts'

/** What may be aborted. */
export interface Abortable {
  signal?: AbortSignal | undefined
}

/**
 * Begins something, and ends it when the signal aborts.
 * @param cancel is called with the AbortError; it makes the promise reject
 */
export function abortable<T>(
  signal: AbortSignal | undefined,
  begin: () => Promise<T>,
  cancel: (error: Error) => void,
): Promise<T> {
  if (signal === undefined) return begin()
  checkSignal(signal)
  if (signal.aborted) return Promise.reject(abortError(signal))
  const promise = begin()
  const onAbort = (): void => cancel(abortError(signal))
  listen(signal, onAbort)
  return promise.finally(() => unlisten(signal, onAbort))
}
