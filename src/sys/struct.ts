// How the kernel's structs are described: a size, and where each field lies; from that a class with typed getters and setters.
// Flow: structs-*.ts → this. Not for hot paths: those write 32-bit words (memory.ts, ring/sqe.ts).
// Both CPUs that we run on are little-endian, so are all fields; only internet ports differ, see u16be.

import { rangeError } from './error.ts'

/** One field: where it lies, how long it is, and how its bytes become a value. */
export interface Field<T> {
  /** Bytes from the struct's start. */
  readonly offset: number
  /** Bytes; 0 for what follows the struct without a length of its own. */
  readonly size: number
  read(view: DataView): T
  write(view: DataView, value: T): void
  /** The struct inside, if the field is one. */
  readonly inner?: AnyStruct
}

export type Fields = Record<string, Field<unknown>>

/** The getters and setters that come with a set of fields. */
export type FieldValues<F extends Fields> = {
  -readonly [K in keyof F]: F[K] extends Field<infer T> ? T : never
}

/** What every struct has besides its fields. */
export interface StructBase {
  /** The memory itself; changes show on both sides. */
  readonly bytes: Uint8Array
  /** Reads a 64-bit field without BigInt; exact below 2^53. */
  getNumber(name: string): number
  /** Writes a 64-bit field without BigInt; -1 sets all bits. */
  setNumber(name: string, value: number): void
}

export interface StructClass<F extends Fields> {
  /**
   * @param bytes memory to look at, or how many bytes to allocate; `sizeof` of them if left out
   * @param byteOffset where in that memory the struct begins; a multiple of 8, or arrays inside can't be read
   * @param byteLength what belongs to it, together with an array that follows; `sizeof` if left out
   * @throws {RangeError} ERR_OUT_OF_RANGE: the memory is shorter than that
   */
  new (
    bytes?: ArrayBufferView | ArrayBufferLike | number,
    byteOffset?: number,
    byteLength?: number,
  ): FieldValues<F> & StructBase
  /** Bytes of the struct, as C's sizeof. */
  readonly sizeof: number
  /** Where each field lies. */
  readonly fields: F
}

/** A struct's class, whatever its fields. */
export interface AnyStruct<S extends StructBase = StructBase> {
  new (bytes?: ArrayBufferView | ArrayBufferLike | number, byteOffset?: number): S
  readonly sizeof: number
  readonly fields: Fields
}

/**
 * Makes the class of a struct.
 * @param sizeof bytes, as C counts them
 */
export function struct<F extends Fields>(sizeof: number, fields: F): StructClass<F> {
  class Struct {
    static readonly sizeof = sizeof
    static readonly fields = fields
    readonly bytes: Uint8Array
    readonly #view: DataView

    constructor(
      bytes: ArrayBufferView | ArrayBufferLike | number = sizeof,
      byteOffset = 0,
      byteLength = typeof bytes === 'number' ? bytes : sizeof,
    ) {
      if (byteLength < sizeof) throw rangeError('byteLength', `>= ${sizeof}`, byteLength)
      const memory = typeof bytes === 'number' ? new ArrayBuffer(bytes) : bytes
      const needed = byteOffset + byteLength
      if (memory.byteLength < needed) throw rangeError('bytes.byteLength', `>= ${needed}`, memory.byteLength)
      const isView = ArrayBuffer.isView(memory)
      const start = (isView ? memory.byteOffset : 0) + byteOffset
      const buffer = isView ? memory.buffer : memory
      this.bytes = new Uint8Array(buffer, start, byteLength)
      this.#view = new DataView(buffer, start, byteLength)
    }

    getNumber(name: string): number {
      const { offset } = fields[name]!
      return this.#view.getUint32(offset, true) + this.#view.getUint32(offset + 4, true) * 2 ** 32
    }

    setNumber(name: string, value: number): void {
      const { offset } = fields[name]!
      this.#view.setUint32(offset, value, true)
      this.#view.setUint32(offset + 4, Math.floor(value / 2 ** 32), true)
    }

    // Shows the fields instead of the memory when printed.
    [Symbol.for('nodejs.util.inspect.custom')](_depth: number, options: object, inspect: unknown): unknown {
      const values: Record<string, unknown> = {}
      for (const [name, field] of Object.entries(fields)) values[name] = field.read(this.#view)
      if (typeof inspect !== 'function') return values
      return `${this.constructor.name} ${inspect(values, options)}`
    }

    static {
      for (const [name, field] of Object.entries(fields)) {
        Object.defineProperty(Struct.prototype, name, {
          get(this: Struct): unknown {
            return field.read(this.#view)
          },
          set(this: Struct, value: unknown) {
            field.write(this.#view, value)
          },
          enumerable: true,
          configurable: true,
        })
      }
    }
  }
  // The accessors above are made by name, which the compiler can't follow.
  return Struct as unknown as StructClass<F>
}

// — Kinds of fields: each takes the offset in bytes —

export function u8(offset: number): Field<number> {
  return {
    offset,
    size: 1,
    read: (view) => view.getUint8(offset),
    write: (view, value) => view.setUint8(offset, value),
  }
}

export function u16(offset: number): Field<number> {
  return {
    offset,
    size: 2,
    read: (view) => view.getUint16(offset, true),
    write: (view, value) => view.setUint16(offset, value, true),
  }
}

/** 16 bits in network order, read and written as a plain number: ports. */
export function u16be(offset: number): Field<number> {
  return {
    offset,
    size: 2,
    read: (view) => view.getUint16(offset),
    write: (view, value) => view.setUint16(offset, value),
  }
}

export function u32(offset: number): Field<number> {
  return {
    offset,
    size: 4,
    read: (view) => view.getUint32(offset, true),
    write: (view, value) => view.setUint32(offset, value, true),
  }
}

/** 32 bits in network order, read and written as a plain number. */
export function u32be(offset: number): Field<number> {
  return {
    offset,
    size: 4,
    read: (view) => view.getUint32(offset),
    write: (view, value) => view.setUint32(offset, value),
  }
}

export function i32(offset: number): Field<number> {
  return {
    offset,
    size: 4,
    read: (view) => view.getInt32(offset, true),
    write: (view, value) => view.setInt32(offset, value, true),
  }
}

/** 64 bits as a bigint; `getNumber` and `setNumber` of the struct do without. */
export function u64(offset: number): Field<bigint> {
  return {
    offset,
    size: 8,
    read: (view) => view.getBigUint64(offset, true),
    write: (view, value) => view.setBigUint64(offset, value, true),
  }
}

export function i64(offset: number): Field<bigint> {
  return {
    offset,
    size: 8,
    read: (view) => view.getBigInt64(offset, true),
    write: (view, value) => view.setBigInt64(offset, value, true),
  }
}

/** Bytes of a fixed count; length 0 is all from there to the end of what belongs to the struct. */
export function bytes(offset: number, length: number): Field<Uint8Array> {
  const at = (view: DataView): Uint8Array =>
    new Uint8Array(view.buffer, view.byteOffset + offset, length || view.byteLength - offset)
  return { offset, size: length, read: at, write: (view, value) => at(view).set(value) }
}

export function u32s(offset: number, length: number): Field<Uint32Array> {
  const at = (view: DataView): Uint32Array => new Uint32Array(view.buffer, view.byteOffset + offset, length)
  return { offset, size: 4 * length, read: at, write: (view, value) => at(view).set(value) }
}

/** 64-bit values; length 0 is all from there to the end of what belongs to the struct. */
export function u64s(offset: number, length: number): Field<BigUint64Array> {
  const at = (view: DataView): BigUint64Array =>
    new BigUint64Array(
      view.buffer,
      view.byteOffset + offset,
      length || Math.floor((view.byteLength - offset) / 8),
    )
  return { offset, size: 8 * length, read: at, write: (view, value) => at(view).set(value) }
}

/** A struct inside: reading gives a view of the same memory, writing copies the other's bytes. */
export function nested<S extends StructBase>(Inner: AnyStruct<S>, offset: number): Field<S> {
  const size = Inner.sizeof
  const at = (view: DataView): DataView => new DataView(view.buffer, view.byteOffset + offset, size)
  return {
    offset,
    size,
    inner: Inner,
    read: (view) => new Inner(at(view)),
    write: (view, value) => new Inner(at(view)).bytes.set(value.bytes),
  }
}

/** The structs that follow, as many as belong to the struct. */
export function following<S extends StructBase>(Inner: AnyStruct<S>, offset: number): Field<S[]> {
  const all = (view: DataView): S[] => {
    const count = Math.floor((view.byteLength - offset) / Inner.sizeof)
    return Array.from({ length: count }, (_, i) => new Inner(view, offset + i * Inner.sizeof))
  }
  return {
    offset,
    size: 0,
    inner: Inner,
    read: all,
    write: (view, values) => {
      const targets = all(view)
      for (const [i, value] of values.entries()) targets[i]!.bytes.set(value.bytes)
    },
  }
}
