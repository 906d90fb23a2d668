// A durable log: append resolves when the record is on the disk, and records that come together share one write and one fdatasync.
// Flow: the program → this → append-log-batch.ts, append-log-open.ts, append-log-files.ts → Uring.chain (write → fdatasync).
//
// Two batches take turns: one is written and synced while the next one gathers. So a record waits for at most two syncs, and the more
// writers there are the more of them share one. Nothing waits for company on purpose.
//
// man fsync(2), io_uring_linked_requests(7). A failed write or a short one breaks the link, and the fdatasync is cancelled. A failed
// fdatasync ends all: the kernel reports a lost page once and takes it for clean from then on, so trying again would prove nothing.

import { defaultRing } from '../runtime/executor.ts'
import { checkSignal, listen, unlisten } from '../runtime/options.ts'
import type { Resource } from '../runtime/resource.ts'
import type { Uring } from '../runtime/uring.ts'
import { abortError, argumentTypeError, rangeError, ringcoreError, type UringError } from '../sys/error.ts'
import { checkBoolean, checkInteger, checkObject } from '../sys/validate.ts'
import { Batch } from './append-log-batch.ts'
import { allocate, type LogDirectory } from './append-log-files.ts'
import { FRAME_BYTES, frameBytes, HEADER_BYTES, SEGMENT_MAX, SegmentKey } from './append-log-format.ts'
import { openLog, type Recovery, type Tail } from './append-log-open.ts'
import { checkFrom, LONGEST, type LogRecord, readSegments, recover } from './append-log-reader.ts'

export interface AppendLogOptions {
  /** The ring to work on; default: the thread's. */
  ring?: Uring | undefined
  /** Size at which a segment ends and the next file begins; default 64 MiB. */
  segmentBytes?: number | undefined
  /** Most bytes of one write; the log uses twice as much memory. Default 1 MiB. A record must fit. */
  batchBytes?: number | undefined
  /** Whether space is allocated for a whole segment at its start; default true. */
  preallocate?: boolean | undefined
  /** true: a log whose last segment is damaged opens all the same; what is intact stays readable, and new records go behind it. */
  allowDamage?: boolean | undefined
}

export interface AppendOptions {
  /** Withdraws the record while it waits for room; once it is in a batch it can't be undone, and an abort does nothing. */
  signal?: AbortSignal | undefined
}

/** An append that waits for room. */
interface Queued {
  record: Uint8Array
  resolve: (position: number) => void
  reject: (error: Error) => void
  /** Waits for what is before it, and adds nothing. */
  isFlush: boolean
  signal: AbortSignal | undefined
  onAbort: (() => void) | undefined
}

/** There is no room, or no descriptor: nothing is lost that was acknowledged, and later there may be some. */
const PASSING = new Set(['ENOSPC', 'EDQUOT', 'EFBIG', 'EMFILE', 'ENFILE'])

/** What settles the promise that was made last: one executor serves all, so no append makes a closure. */
const made = {
  resolve: (_position: number): void => {},
  reject: (_error: Error): void => {},
}
const executor = (resolve: (position: number) => void, reject: (error: Error) => void): void => {
  made.resolve = resolve
  made.reject = reject
}

export class AppendLog {
  /** How the log was found when it was opened. */
  readonly recovery: Recovery
  readonly #ring: Uring
  readonly #directory: LogDirectory
  readonly #segmentBytes: number
  readonly #preallocate: boolean
  readonly #starts: number[]
  #file: Resource
  #fileKey: SegmentKey
  #gathering: Batch
  /** The batch that is being written, or the one that gathers next. */
  #other: Batch
  #isWriting = false
  /** What is being done for the batch: what a failure means depends on it. */
  #stage: 'rotate' | 'write' | 'sync' = 'write'
  #isScheduled = false
  #queue: Queued[] = []
  #durable: number
  #failure: Error | null = null
  #isClosing = false
  #closed: Promise<void> | null = null
  #idle: (() => void) | null = null
  #truncating: Promise<unknown> = Promise.resolve()

  private constructor(ring: Uring, directory: LogDirectory, tail: Tail, options: Required<Sizes>) {
    this.#ring = ring
    this.#directory = directory
    this.#segmentBytes = options.segmentBytes
    this.#preallocate = options.preallocate
    this.#starts = tail.starts
    this.#file = tail.file
    this.#fileKey = tail.key
    this.#durable = tail.key.start + tail.place
    this.recovery = tail.recovery
    this.#gathering = new Batch(ring.alloc(options.batchBytes))
    this.#other = new Batch(ring.alloc(options.batchBytes))
    this.#gather(tail.key, tail.place)
  }

  /**
   * Opens a log, or makes one: a directory of segments. What a crash left of a batch that nobody was told about is cut off.
   * @throws ERR_LOG_LOCKED: it is open elsewhere · ERR_LOG_CORRUPT: records that had been on the disk are damaged
   */
  static async open(directory: string, options?: AppendLogOptions): Promise<AppendLog> {
    if (typeof directory !== 'string') throw argumentTypeError('directory', 'of type string', directory)
    const sizes = checkSizes(options)
    const ring = options?.ring ?? defaultRing()
    const space = sizes.preallocate ? HEADER_BYTES + sizes.segmentBytes : 0
    const opened = await openLog(ring, directory, space, options?.allowDamage === true)
    try {
      return new AppendLog(ring, opened.directory, opened.tail, sizes)
    } catch (error) {
      await ring.closeFile(opened.tail.file)
      await opened.directory.close()
      throw error
    }
  }

  /** See `recover` of append-log-reader.ts: reads a log without opening it for writing. */
  static readonly recover = recover

  /** The position of the oldest record that is still there. */
  get start(): number {
    return this.#starts[0]!
  }

  /** Where the log ends on the disk: all records before this position survive. */
  get durable(): number {
    return this.#durable
  }

  /** The longest record that fits. */
  get recordMax(): number {
    return this.#gathering.bytes.length - FRAME_BYTES
  }

  /** Bytes that were appended and are not on the disk yet; what waits for room counts too. */
  get waitingBytes(): number {
    let bytes = this.#gathering.used + (this.#isWriting ? this.#other.used : 0)
    for (const { record, isFlush } of this.#queue) if (!isFlush) bytes += frameBytes(record.byteLength)
    return bytes
  }

  /**
   * Appends a record and resolves when it is on the disk.
   *
   * Records go down in the order of the calls, and none is ever there without all before it. The record is copied at once while there
   * is room in the batch that gathers; otherwise it waits, and must not be changed until the promise settles.
   *
   * @returns the record's position
   * @throws ERR_OUT_OF_RANGE: longer than `recordMax` · AbortError: it is not in the log
   * @throws ENOSPC, EDQUOT, EMFILE: neither it nor what was appended meanwhile is in the log; later appends may succeed
   * @throws ERR_LOG_POISONED: a write or a sync failed, see `cause`; the record may or may not be there after the next open
   */
  append(record: Uint8Array | string, options?: AppendOptions): Promise<number> {
    try {
      const bytes = typeof record === 'string' ? Buffer.from(record) : record
      if (!(bytes instanceof Uint8Array))
        throw argumentTypeError('record', 'of type string or an instance of Buffer or Uint8Array', record)
      if (bytes.byteLength > this.recordMax)
        throw rangeError('record.byteLength', `<= ${this.recordMax} (see batchBytes)`, bytes.byteLength)
      const signal = options?.signal
      if (signal !== undefined) checkSignal(signal)
      if (signal?.aborted === true) throw abortError(signal)
      this.#checkOpen()
      const promise = new Promise(executor)
      const { resolve, reject } = made
      if (this.#queue.length === 0 && this.#gathering.hasRoom(bytes.byteLength)) {
        this.#gathering.add(bytes, resolve, reject)
        this.#schedule()
      } else this.#enqueue({ record: bytes, resolve, reject, isFlush: false, signal, onAbort: undefined })
      return promise
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /**
   * Waits until all that was appended is on the disk.
   * @returns the position up to which it is
   */
  flush(): Promise<number> {
    if (this.#failure !== null) return Promise.reject(this.#poisoned())
    const record = new Uint8Array(0)
    return new Promise((resolve, reject) => {
      if (this.#queue.length > 0)
        this.#queue.push({ record, resolve, reject, isFlush: true, signal: undefined, onAbort: undefined })
      else if (!this.#gathering.isEmpty) this.#gathering.join(resolve, reject)
      else if (this.#isWriting) this.#other.join(resolve, reject)
      else resolve(this.#durable)
    })
  }

  /**
   * Reads the records that are on the disk now.
   * @param from a record's position; default: the oldest
   * @throws ERR_LOG_CORRUPT, with `next` to go on from · ERR_OUT_OF_RANGE: no record begins there
   */
  async *records(from: number = this.start): AsyncGenerator<LogRecord, void, undefined> {
    checkFrom(from, this.start)
    const segments = this.#starts.map((start) => this.#directory.segment(start))
    yield* readSegments(this.#ring, segments, from, this.#durable)
  }

  /**
   * Removes the segments that hold only records before `position`, such as the ones that a checkpoint made superfluous.
   * @returns the new `start`, which may be smaller than `position`: segments go as a whole, and the last one stays
   */
  truncateBefore(position: number): Promise<number> {
    try {
      checkInteger('position', position, 0)
      this.#checkOpen()
    } catch (error) {
      return Promise.reject(error)
    }
    const run = this.#truncating.then(() => this.#truncate(position))
    this.#truncating = run.catch(() => {})
    return run
  }

  async #truncate(position: number): Promise<number> {
    let removed = 0
    while (this.#starts.length > 1 && this.#starts[1]! <= position) {
      // From the oldest on: whenever power fails, what is left has no gap.
      await this.#directory.remove(this.#directory.segment(this.start))
      this.#starts.shift()
      removed++
    }
    if (removed > 0) await this.#directory.sync()
    return this.start
  }

  /** Waits for what was appended, then gives back files, lock and memory; a second close waits for the first. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    this.#isClosing = true
    // Those who append hear of a failure by their own promises.
    await this.flush().catch(() => {})
    await this.#truncating
    if (this.#isWriting) {
      await new Promise<void>((resolve) => {
        this.#idle = resolve
      })
    }
    const ring = this.#ring
    if (ring.closed) {
      ring.engine.closeLate(this.#file.surrender())
      this.#directory.closeLate()
      return
    }
    // Only space: where it is not given back, the next open takes it for the end as well.
    if (this.#failure === null)
      await ring.ftruncate(this.#file, HEADER_BYTES + this.#durable - this.#fileKey.start).catch(() => {})
    // Whatever the first of them says, the lock is given back.
    const closed = await Promise.allSettled([ring.closeFile(this.#file), this.#directory.close()])
    if (!ring.closed) for (const { bytes } of [this.#gathering, this.#other]) ring.free(bytes)
    for (const one of closed) if (one.status === 'rejected') throw one.reason
  }

  /** As `close`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #checkOpen(): void {
    if (this.#failure !== null) throw this.#poisoned()
    if (this.#isClosing)
      throw ringcoreError(Error, 'ERR_LOG_CLOSED', 'Cannot use the log: it is closed or closing')
  }

  #poisoned(): Error {
    const message = `The log '${this.#directory.path}' takes no more records: ${this.#failure!.message}; open it again to see what is on the disk`
    return Object.assign(ringcoreError(Error, 'ERR_LOG_POISONED', message), { cause: this.#failure })
  }

  // ---- waiting for room

  #enqueue(entry: Queued): void {
    const { signal } = entry
    if (signal !== undefined) {
      entry.onAbort = () => {
        const at = this.#queue.indexOf(entry)
        if (at < 0) return
        this.#queue.splice(at, 1)
        entry.reject(abortError(signal))
      }
      listen(signal, entry.onAbort)
    }
    this.#queue.push(entry)
  }

  /** Moves what waits for room into the batch that gathers. */
  #admit(): void {
    let count = 0
    for (const entry of this.#queue) {
      const { record, resolve, reject, isFlush } = entry
      if (!isFlush && !this.#gathering.hasRoom(record.byteLength)) break
      forget(entry)
      if (isFlush) this.#gathering.join(resolve, reject)
      else this.#gathering.add(record, resolve, reject)
      count++
    }
    if (count > 0) this.#queue.splice(0, count)
  }

  // ---- writing

  /** Begins the batch that gathers: in this segment, or in a new one when it might not fit. */
  #gather(key: SegmentKey, place: number): void {
    const { bytes } = this.#gathering
    if (place === 0 || place + bytes.length <= this.#segmentBytes) this.#gathering.begin(key, place)
    else this.#gathering.begin(new SegmentKey(key.id, key.start + place), 0)
    this.#admit()
  }

  /** Writes soon: when this turn's callbacks have appended what they have. */
  #schedule(): void {
    if (this.#isScheduled || this.#isWriting) return
    this.#isScheduled = true
    process.nextTick(() => {
      this.#isScheduled = false
      if (this.#failure === null && !this.#gathering.isEmpty) this.#commit()
    })
  }

  async #commit(): Promise<void> {
    const batch = this.#gathering
    this.#isWriting = true
    this.#gathering = this.#other
    this.#other = batch
    this.#gather(batch.key, batch.place + batch.used)
    try {
      if (batch.key !== this.#fileKey) await this.#rotate(batch.key)
      if (batch.used > 0) await this.#write(batch)
      this.#durable = batch.end
      this.#isWriting = false
      batch.resolve()
    } catch (error) {
      await this.#fail(batch, error as Error)
      this.#isWriting = false
    }
    if (!this.#gathering.isEmpty) this.#schedule()
    this.#idle?.()
  }

  /** One write and one fdatasync, linked; what a short write leaves is written with the next two. */
  async #write(batch: Batch): Promise<void> {
    for (let done = 0; done < batch.used; ) {
      const position = HEADER_BYTES + batch.place + done
      const length = batch.used - done
      this.#stage = 'write'
      const results = await settled(
        this.#ring.chain((c) => {
          c.writeFixed(this.#file, batch.bytes, { position, offset: done, length })
          c.fsync(this.#file, { datasync: true })
        }),
      )
      const [written, synced] = results
      if (written.status === 'rejected') throw written.reason
      const isCut = written.value < length
      this.#stage = 'sync'
      // The link may or may not have broken; only a sync behind the last byte counts.
      if (synced.status === 'rejected' && !(isCut && synced.reason.code === 'ECANCELED')) throw synced.reason
      if (written.value === 0) throw new Error('a write to the log moved no byte')
      done += written.value
    }
  }

  /** The next segment. The one before it is synced as a whole: a later segment proves that. */
  async #rotate(key: SegmentKey): Promise<void> {
    const space = this.#preallocate ? HEADER_BYTES + this.#segmentBytes : 0
    this.#stage = 'rotate'
    const file = await this.#directory.create(key, space)
    const full = this.#file
    const size = HEADER_BYTES + key.start - this.#fileKey.start
    this.#file = file
    this.#fileKey = key
    this.#starts.push(key.start)
    // Only space: where it is not given back, readers stop where the next segment starts.
    if (space > 0) await this.#ring.ftruncate(full, size).catch(() => {})
    await this.#ring.closeFile(full)
  }

  /**
   * A batch did not get down. Without room all that waits is refused, since no record may be there without those before it, and what
   * was written of it is cut off again. Everything else ends the log.
   */
  async #fail(batch: Batch, error: Error & { code?: string }): Promise<void> {
    let refusal: Error = error
    try {
      if (this.#stage === 'sync' || !PASSING.has(error.code ?? '')) throw error
      if (this.#stage === 'write') await this.#cutBack(batch)
    } catch (cause) {
      this.#failure = cause as Error
      refusal = this.#poisoned()
    }
    const { key, place } = batch
    const gathered = this.#gathering
    batch.reject(refusal)
    gathered.reject(refusal)
    for (const entry of this.#queue.splice(0)) {
      forget(entry)
      entry.reject(refusal)
    }
    gathered.begin(key, place)
  }

  /** What is left of the batch must not come back as records after a crash. */
  async #cutBack(batch: Batch): Promise<void> {
    await this.#ring.ftruncate(this.#file, HEADER_BYTES + batch.place)
    if (this.#preallocate)
      await allocate(this.#ring, this.#file, HEADER_BYTES + this.#segmentBytes).catch((error: UringError) => {
        if (!PASSING.has(error.code)) throw error
      })
    await this.#ring.fsync(this.#file)
  }
}

function forget({ signal, onAbort }: Queued): void {
  if (signal !== undefined && onAbort !== undefined) unlisten(signal, onAbort)
}

type StepResult =
  | { status: 'fulfilled'; value: number }
  | { status: 'rejected'; reason: Error & { code?: string } }

/** How each of a chain's two steps ended; an error of the chain as a whole is thrown. */
async function settled(chain: Promise<unknown[]>): Promise<[StepResult, StepResult]> {
  try {
    const [written] = await chain
    return [
      { status: 'fulfilled', value: written as number },
      { status: 'fulfilled', value: 0 },
    ]
  } catch (error) {
    const { results } = error as { results?: [StepResult, StepResult] }
    if (results === undefined) throw error
    return results
  }
}

interface Sizes {
  segmentBytes: number
  batchBytes: number
  preallocate: boolean
}

function checkSizes(options: AppendLogOptions | undefined): Sizes {
  checkObject('options', options)
  const { batchBytes = 1 << 20, preallocate = true, allowDamage = false } = options ?? {}
  checkInteger('options.batchBytes', batchBytes, 64, LONGEST)
  const segmentBytes = options?.segmentBytes ?? Math.max(64 << 20, batchBytes)
  checkInteger('options.segmentBytes', segmentBytes, batchBytes, SEGMENT_MAX)
  checkBoolean('options.preallocate', preallocate)
  checkBoolean('options.allowDamage', allowDamage)
  return { segmentBytes, batchBytes, preallocate }
}
