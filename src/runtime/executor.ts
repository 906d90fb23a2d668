// The thread's own ring, and the three verbs of the executor: init, spawn, run.
// Flow: the program, fs, net → this → Uring.

import { argumentTypeError, stateError } from '../sys/error.ts'
import { Uring, type UringOptions } from './uring.ts'

/** One module instance per thread, so these are the thread's own. */
let ring: Uring | null = null
const tasks = new Set<Promise<unknown>>()
/** What each `run` that is under way has seen fail, in the order in which it failed. */
const runs = new Set<unknown[]>()

/** The thread's ring; made with default options when nobody called `init`. */
export function defaultRing(): Uring {
  if (ring === null || ring.closed) ring = new Uring()
  return ring
}

/**
 * Makes the thread's ring.
 * @param options entries, flags …; a number is the number of entries
 * @throws ERR_INVALID_STATE: this thread has a ring already; close it first
 * @throws ERR_RING_UNAVAILABLE: no ring can be made here; the message says why
 */
export function init(options: UringOptions | number = {}, flags?: number): Uring {
  if (ring !== null && !ring.closed)
    throw stateError('This thread has a ring already; close it before init()')
  if (typeof options !== 'number' && (typeof options !== 'object' || options === null)) {
    throw argumentTypeError('options', 'of type number or object', options)
  }
  const chosen: UringOptions = typeof options === 'number' ? { entries: options } : { ...options }
  if (flags !== undefined) chosen.flags = flags
  ring = new Uring(chosen)
  return ring
}

/**
 * Starts a task; `run` waits for it.
 * @param task an async function, which starts at once, or a promise
 * @returns the task's promise; its failure also makes `run` reject
 */
export function spawn<T>(task: Promise<T> | (() => Promise<T> | T)): Promise<T> {
  if (typeof task !== 'function' && !(task instanceof Promise)) {
    throw argumentTypeError('task', 'of type function or an instance of Promise', task)
  }
  const promise = typeof task === 'function' ? (async () => task())() : task
  tasks.add(promise)
  promise.then(
    () => tasks.delete(promise),
    (error) => {
      tasks.delete(promise)
      for (const failures of runs) failures.push(error)
      // run() reports it; when nobody runs, it is an unhandled rejection like any other.
      if (runs.size === 0) throw error
    },
  )
  return promise
}

/**
 * Resolves when every spawned task is done, also those that tasks spawn meanwhile.
 * @param main a first task
 * @returns what `main` returned
 * @throws the first failure of a task, when all have ended
 */
export async function run<T>(main?: Promise<T> | (() => Promise<T> | T)): Promise<T | undefined> {
  const first = main === undefined ? undefined : spawn(main)
  const failures: unknown[] = []
  runs.add(failures)
  while (tasks.size > 0) await Promise.allSettled(tasks)
  runs.delete(failures)
  if (failures.length > 0) throw failures[0]
  return first
}
