// Timeouts of silent connections, without a timer or a clock per connection.
// Flow: socket-stream.ts → this.
//
// All connections with the same timeout share one timer, which runs four times in that time and looks who moved no byte since. So a
// timeout comes between once and one and a quarter times its milliseconds, and a message costs nothing.

const LOOKS = 4

/** A connection as its timeout sees it. */
export interface Quiet {
  /** Bytes that were moved so far, in both directions. */
  readonly moved: number
  onQuiet(): void
}

interface Watched {
  quiet: Quiet
  moved: number
  looks: number
}

class Group {
  readonly #ms: number
  readonly #watched = new Map<Quiet, Watched>()
  #timer: NodeJS.Timeout | undefined

  constructor(ms: number) {
    this.#ms = ms
  }

  add(quiet: Quiet): void {
    // The look that comes next may come at once: it does not count.
    this.#watched.set(quiet, { quiet, moved: quiet.moved, looks: -1 })
    this.#timer ??= setInterval(() => this.#look(), Math.max(1, this.#ms / LOOKS)).unref()
  }

  delete(quiet: Quiet): void {
    this.#watched.delete(quiet)
    if (this.#watched.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
    groups.delete(this.#ms)
  }

  #look(): void {
    for (const watched of this.#watched.values()) {
      const { moved } = watched.quiet
      if (moved !== watched.moved) {
        watched.moved = moved
        watched.looks = 0
        continue
      }
      if (++watched.looks < LOOKS) continue
      watched.looks = 0
      watched.quiet.onQuiet()
    }
  }
}

const groups = new Map<number, Group>()

/** Calls `onQuiet` each time no byte was moved for `ms` milliseconds; call `unwatch` with the same. */
export function watch(quiet: Quiet, ms: number): void {
  let group = groups.get(ms)
  if (group === undefined) {
    group = new Group(ms)
    groups.set(ms, group)
  }
  group.add(quiet)
}

export function unwatch(quiet: Quiet, ms: number): void {
  groups.get(ms)?.delete(quiet)
}
