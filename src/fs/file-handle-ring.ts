// The methods of FileHandle that have an opcode.
// Flow: file-handle.ts → this → op/prep-file (READ), Uring (write, readv …); Node's class for all other arguments.
// `read` is the hot one: no closure, no wrapper around its promise. The others cost a worker of the kernel's, or a device, anyway.

import type { BigIntStats, Stats } from 'node:fs'
import { prepRead } from '../op/prep-file.ts'
import type { Held, Slot } from '../runtime/slots.ts'
import type { Uring } from '../runtime/uring.ts'
import { IORING_OP_FTRUNCATE, IORING_OP_READ } from '../sys/abi.ts'
import type { Inherited, Internals, NativeHandle } from './file-handle-internals.ts'
import { dataOf, type Params, plainReadParams, plainVector, plainWriteParams } from './file-handle-params.ts'
import { Cursor, type OpenFile } from './file-handle-position.ts'
import { readRest, transfer, writeAll, writeAllOf, writeVector } from './file-handle-whole.ts'
import { plainFileOptions, plainStatOptions } from './promises-arguments.ts'
import { canDo, ringNow } from './promises-backend.ts'
import { retold } from './promises-errors.ts'
import { statsAreKnown, statThroughRing } from './promises-stats.ts'

/** What a read resolves to: as Node's, without a prototype. Filling it afterwards takes a third of the time of one literal. */
function resultOf(bytesRead: number, buffer: unknown): unknown {
  const result: Record<string, unknown> = { __proto__: null }
  result.bytesRead = bytesRead
  result.buffer = buffer
  return result
}
const readResult = (bytesRead: number, slot: Slot): unknown => resultOf(bytesRead, slot.view)

/** Makes the class for this Node's FileHandle. */
export function ringHandleClass({
  FileHandle: Base,
  kFd,
  kRefs,
  kUnref,
}: Internals): new (
  native: NativeHandle,
) => Inherited {
  /** One more user of the file: the slot of an operation tells it of the final CQE. */
  class User implements Held {
    readonly #handle: FileHandle

    constructor(handle: FileHandle) {
      this.#handle = handle
    }

    drop(): void {
      ;(this.#handle[kUnref] as () => void)()
    }
  }

  class FileHandle extends Base {
    readonly #user: User
    readonly #cursor = new Cursor()

    constructor(native: NativeHandle) {
      super(native)
      this.#user = new User(this)
    }

    override read(
      buffer?: unknown,
      offset?: unknown,
      length?: unknown,
      position?: unknown,
    ): Promise<unknown> {
      if (!FileHandle.#isOurs(this)) return super.read(buffer, offset, length, position)
      // The usual form first: everything in place, and nothing that needs explaining.
      const at = position ?? -1
      const from = offset ?? 0
      if (ArrayBuffer.isView(buffer) && typeof from === 'number' && typeof at === 'number') {
        const bytes = length ?? buffer.byteLength - from
        if (
          typeof bytes === 'number' &&
          (from | 0) === from &&
          (bytes | 0) === bytes &&
          from >= 0 &&
          bytes > 0 &&
          from + bytes <= buffer.byteLength &&
          at >= -1 &&
          Number.isSafeInteger(at)
        )
          return this.#read(buffer, from, bytes, at) ?? super.read(buffer, offset, length, position)
      }
      return this.#readOther(buffer, offset, length, position)
    }

    async #readOther(
      ...given: [buffer: unknown, offset: unknown, length: unknown, position: unknown]
    ): Promise<unknown> {
      const params = plainReadParams(...given)
      const promise =
        params === null ? null : this.#read(params.buffer, params.offset, params.length, params.position)
      return promise ?? super.read(...given)
    }

    /** Whether a transfer at `position` can be the ring's: it takes no notice of one that the file can't have. */
    #canBeAt(position: number, ring: Uring): boolean {
      return position < 0 || this.#cursor.isSeekable(ring, this[kFd] as number)
    }

    /** Begins a read; null when it has to be Node's. */
    #read(
      buffer: ArrayBufferView,
      offset: number,
      length: number,
      position: number,
    ): Promise<unknown> | null {
      const fd = this[kFd] as number
      const ring = ringNow()
      if (fd < 0 || ring === null || !this.#canBeAt(position, ring)) return null
      const { engine } = ring
      let address: number
      try {
        address = engine.addresses.of(buffer)
      } catch {
        // Memory that may be taken away: Node's way has its own answer to that.
        return null
      }
      if (position < 0) return this.#readInTurn(ring, { buffer, offset, length, position })
      const slot = engine.begin(IORING_OP_READ, undefined)
      if (slot === null) return this.#readInTurn(ring, { buffer, offset, length, position })
      prepRead(slot.sqe, fd, address + offset, length, position)
      slot.view = buffer
      slot.length = length
      slot.finish = readResult
      slot.resource = this.#user
      ;(this[kRefs] as number)++
      return engine.promise(slot)
    }

    /** A read at the file's own position, or one for which there is no slot now. */
    #readInTurn(ring: Uring, { buffer, offset, length, position }: Params): Promise<unknown> {
      return this.#use(ring, async (file) => {
        const begin = (): Promise<number> => ring.read(file.fd, buffer, { offset, length, position })
        return resultOf(await transfer(file, position, begin), buffer)
      })
    }

    /** Holds the file while `work` uses it. */
    async #use<T>(ring: Uring, work: (file: OpenFile) => Promise<T>, syscall?: string): Promise<T> {
      ;(this[kRefs] as number)++
      try {
        return await work({ ring, fd: this[kFd] as number, cursor: this.#cursor })
      } catch (error) {
        throw retold(error, syscall)
      } finally {
        this.#user.drop()
      }
    }

    /** A method may be called on something else; that is Node's to refuse, or to serve when it is a handle of its own. */
    static #isOurs(receiver: unknown): receiver is FileHandle {
      return typeof receiver === 'object' && receiver !== null && #user in receiver
    }

    /** The ring, or null when the file is closed or there is none. */
    static #ringOf(receiver: unknown): Uring | null {
      return FileHandle.#isOurs(receiver) && (receiver[kFd] as number) >= 0 ? ringNow() : null
    }

    override async readv(buffers: unknown, position?: unknown): Promise<unknown> {
      const ring = FileHandle.#ringOf(this)
      const vector = plainVector(buffers, position)
      if (ring === null || vector === null || !this.#canBeAt(vector.position, ring))
        return super.readv(buffers, position)
      return this.#use(ring, async (file) => {
        const begin = (): Promise<number> =>
          ring.readv(file.fd, vector.buffers, { position: vector.position })
        const bytesRead = await transfer(file, vector.position, begin)
        return { __proto__: null, bytesRead, buffers }
      })
    }

    override async write(
      buffer: unknown,
      offset?: unknown,
      length?: unknown,
      position?: unknown,
    ): Promise<unknown> {
      const ring = FileHandle.#ringOf(this)
      const params = plainWriteParams(buffer, offset, length, position)
      if (ring === null || params === null || !this.#canBeAt(params.position, ring))
        return super.write(buffer, offset, length, position)
      return this.#use(ring, async (file) => {
        const bytesWritten = await writeAll(file, params)
        return { __proto__: null, bytesWritten, buffer }
      })
    }

    override async writev(buffers: unknown, position?: unknown): Promise<unknown> {
      const ring = FileHandle.#ringOf(this)
      const vector = plainVector(buffers, position)
      if (ring === null || vector === null || !this.#canBeAt(vector.position, ring))
        return super.writev(buffers, position)
      return this.#use(ring, async (file) => {
        const bytesWritten = await writeVector(file, vector.buffers, vector.position)
        return { __proto__: null, bytesWritten, buffers }
      })
    }

    override async readFile(options?: unknown): Promise<unknown> {
      const ring = FileHandle.#ringOf(this)
      const plain = plainFileOptions(options, 0)
      if (ring === null || plain === null) return super.readFile(options)
      const { encoding, signal } = plain
      return this.#use(ring, async (file) => {
        const content = await readRest(file, signal)
        if (content === null) return super.readFile(options)
        return encoding === null ? content : content.toString(encoding)
      })
    }

    override async writeFile(data: unknown, options?: unknown): Promise<unknown> {
      return FileHandle.#writeFile(this, data, options) ?? super.writeFile(data, options)
    }

    override async appendFile(data: unknown, options?: unknown): Promise<unknown> {
      return FileHandle.#writeFile(this, data, options) ?? super.appendFile(data, options)
    }

    static #writeFile(handle: FileHandle, data: unknown, options: unknown): Promise<void> | null {
      const ring = FileHandle.#ringOf(handle)
      const plain = plainFileOptions(options, 0)
      if (ring === null || plain === null) return null
      const { encoding, signal } = plain
      const content = dataOf(data, encoding)
      return content === null
        ? null
        : handle.#use(ring, (file) => writeAllOf(file, content, encoding, signal))
    }

    override async stat(options?: unknown): Promise<Stats | BigIntStats> {
      const ring = FileHandle.#ringOf(this)
      const plain = plainStatOptions(options)
      if (ring === null || plain === null || !statsAreKnown) return super.stat(options) as Promise<Stats>
      return this.#use(ring, (file) => statThroughRing(ring, file, plain.bigint), 'fstat')
    }

    override async truncate(length: unknown = 0): Promise<unknown> {
      const ring = FileHandle.#ringOf(this)
      if (ring === null || !Number.isSafeInteger(length) || !canDo(ring, IORING_OP_FTRUNCATE))
        return super.truncate(length)
      return this.#use(ring, ({ fd }) => ring.ftruncate(fd, Math.max(0, length as number)))
    }

    override async sync(): Promise<unknown> {
      const ring = FileHandle.#ringOf(this)
      return ring === null ? super.sync() : this.#use(ring, ({ fd }) => ring.fsync(fd))
    }

    override async datasync(): Promise<unknown> {
      const ring = FileHandle.#ringOf(this)
      if (ring === null) return super.datasync()
      return this.#use(ring, ({ fd }) => ring.fsync(fd, { datasync: true }), 'fdatasync')
    }
  }
  return FileHandle
}
