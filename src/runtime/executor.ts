// The thread's own ring, and the three verbs of the executor: init, spawn, run.
// Flow: the program, fs, net → this → Uring.

import { argumentTypeError, stateError } from '../sys/error.ts'
import { Uring, type UringOptions } from './uring.ts'

/** One module instance per thread, so these are the thread's own. */
let ring: Uring | null = null
const tasks = new Set<Promise<unknown>>()
/** What failed since `run` was called, in the order in which it failed; null while nobody runs. */
let failures: unknown[] | null = null
/** How many tasks are at their first step, inside of `spawn`. */
let starting = 0

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
  const promise = typeof task === 'function' ? start(task) : task
  tasks.add(promise)
  promise.then(
    () => tasks.delete(promise),
    (error) => {
      tasks.delete(promise)
      // run() reports it; when nobody runs, it is an unhandled rejection like any other.
      if (failures === null) throw error
      failures.push(error)
    },
  )
  return promise
}

async function start<T>(task: () => Promise<T> | T): Promise<T> {
  starting++
  try {
    // Only what runs before its first await is inside of `spawn`.
    const result = task()
    return result as T
  } finally {
    starting--
  }
}

/**
 * Resolves when every spawned task is done, also those that tasks spawn meanwhile.
 *
 * One at a time, and not inside of a task: it would wait for itself. There, await the promise that `spawn` returned.
 *
 * @param main a first task
 * @returns what `main` returned
 * @throws the first failure of a task, when all have ended · ERR_INVALID_STATE: it is called inside of a task, or runs already
 */
export async function run<T>(main?: Promise<T> | (() => Promise<T> | T)): Promise<T | undefined> {
  if (failures !== null || starting > 0) {
    throw stateError(
      failures === null ? 'Cannot run inside of a task: it would wait for itself' : RUNS_ALREADY,
    )
  }
  failures = []
  const seen: unknown[] = failures
  const stuck = stuckTasks()
  try {
    const first = main === undefined ? undefined : spawn(main)
    while (tasks.size > 0) await Promise.race([Promise.allSettled(tasks), stuck.promise])
    if (seen.length > 0) throw seen[0]
    return await first
  } finally {
    failures = null
    stuck.stop()
  }
}

const RUNS_ALREADY =
  'Cannot run: it is under way already. Inside of a task it would wait for itself; await the promise of spawn() instead'

/** Rejects when nothing is left that could ever end a task, and the process would end without a word. */
function stuckTasks(): { promise: Promise<never>; stop(): void } {
  let onExit!: () => void
  const promise = new Promise<never>((_, reject) => {
    onExit = () =>
      reject(
        stateError(
          `Cannot run on: ${tasks.size} tasks wait, and nothing is left that they could wait for (run() inside of a task, say)`,
        ),
      )
  })
  promise.catch(() => {})
  process.once('beforeExit', onExit)
  return { promise, stop: () => process.off('beforeExit', onExit) }
}
