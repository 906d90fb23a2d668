// What arguments may be and may not be, for the test that gives every method of Uring all that it must refuse.
// Flow: 49.arguments.test.ts → this.

import { FixedFile, type Uring } from 'ringcore'

export const TYPE = 'ERR_INVALID_ARG_TYPE'
export const RANGE = 'ERR_OUT_OF_RANGE'
export const VALUE = 'ERR_INVALID_ARG_VALUE'
export const STATE = 'ERR_INVALID_STATE'
export const DETACHED = 'ERR_BUFFER_DETACHED'
export const RESIZABLE = 'ERR_BUFFER_RESIZABLE'

/** A value and the code it is refused with. */
export type Bad = readonly [code: string, value: unknown]

/** One argument, or one property of one: a value that is taken, and those that are not. */
export interface Domain {
  readonly name: string
  good(ring: Uring): unknown
  bad(ring: Uring): readonly Bad[]
}

export function domain(
  name: string,
  good: unknown | ((ring: Uring) => unknown),
  bad: readonly Bad[] | ((ring: Uring) => readonly Bad[]),
): Domain {
  return {
    name,
    good: (ring) => (typeof good === 'function' ? (good as (ring: Uring) => unknown)(ring) : good),
    bad: (ring) => (typeof bad === 'function' ? bad(ring) : bad),
  }
}

const types = (...values: unknown[]): Bad[] => values.map((value) => [TYPE, value])
const ranges = (...values: unknown[]): Bad[] => values.map((value) => [RANGE, value])

/** A whole number; `optional` ones may be undefined. */
export function integer(name: string, good: number, min: number, max: number, optional = false): Domain {
  const others = ['1', null, {}, [1], true, 1n, Symbol.iterator]
  return domain(name, good, [
    ...types(...others, ...(optional ? [] : [undefined])),
    ...ranges(0.5, Number.NaN, Infinity, -Infinity, min - 1),
    ...(max < Number.MAX_SAFE_INTEGER ? ranges(max + 1, 2 ** 53) : ranges(2 ** 53, 2 ** 64)),
  ])
}

export const word = (name: string, good = 0, max = 0xffffffff, optional = false): Domain =>
  integer(name, good, 0, max, optional)

/** An offset in a file, as a number or a bigint. */
export const position = (name: string, good: number, min = -1): Domain =>
  domain(name, good, [
    // null is Node's own word for the default.
    ...types('0', {}, true, [0]),
    ...ranges(min - 1, 1.5, Number.NaN, Infinity, -Infinity, 2 ** 53, BigInt(min - 1), 2n ** 63n, 2n ** 64n),
  ])

export const bool = (name: string): Domain => domain(name, undefined, types('true', 1, 0, null, {}))

export const choice = (name: string, good: unknown): Domain =>
  domain(name, good, [
    [VALUE, 'x'],
    [VALUE, 5],
    [VALUE, null],
    [VALUE, 'constructor'],
  ])

/** No descriptor has this number: the kernel says EBADF, and nothing happens to any file. */
export const NO_FD = 999_999

const foreign = [null, undefined, {}, 'x', true, [3], 3n, Symbol.iterator, () => 3]

export const file = (name = 'fd'): Domain =>
  domain(name, NO_FD, [
    ...types('3', ...foreign),
    ...ranges(-1, -100, 2 ** 31, 2 ** 32, 2 ** 53, 1.5, Number.NaN, Infinity, -Infinity),
  ])

export const fixed = (name: string): Domain =>
  domain(name, () => new FixedFile(0), types(5, { index: 3 }, ...foreign))

function detached(): Uint8Array {
  const view = new Uint8Array(16)
  structuredClone(view.buffer, { transfer: [view.buffer] })
  return view
}

function resizable(): Uint8Array {
  const Resizable = ArrayBuffer as unknown as new (bytes: number, options: object) => ArrayBuffer
  return new Uint8Array(new Resizable(16, { maxByteLength: 32 }))
}

export function freedOf(ring: Uring): Buffer {
  const buffer = ring.alloc(16)
  ring.free(buffer)
  return buffer
}

const noView = [null, 'text', 5, {}, [1, 2], new ArrayBuffer(5), 5n]

/** Memory that is lent to the kernel. */
export const view = (name = 'buffer'): Domain =>
  domain(
    name,
    () => Buffer.alloc(16),
    (ring) => [
      ...types(undefined, ...noView),
      [DETACHED, detached()],
      [RESIZABLE, resizable()],
      [STATE, freedOf(ring)],
    ],
  )

/** Bytes that are copied at once. */
export const bytes = (name: string): Domain =>
  domain(name, () => Buffer.alloc(4), [...types(...noView.slice(0, 1), {}, [1, 2], new ArrayBuffer(5), 5n)])

/** A buffer of `alloc`. */
export const lent = (name = 'buffer'): Domain =>
  domain(
    name,
    (ring: Uring) => ring.alloc(16),
    (ring) => [
      ...types(undefined, ...noView),
      [DETACHED, detached()],
      [STATE, resizable()],
      [STATE, freedOf(ring)],
      [STATE, Buffer.alloc(16)],
    ],
  )

/** Several of such memory. */
export const list = (name: string, one: Domain): Domain =>
  domain(
    name,
    (ring: Uring) => [one.good(ring)],
    (ring) => [
      ...types(...foreign.filter((value) => !Array.isArray(value)), one.good(ring)),
      [RANGE, Array(1025).fill(one.good(ring))],
      ...one.bad(ring).map(([code, value]): Bad => [code, [one.good(ring), value]]),
    ],
  )

export const path = (name = 'path', good = '/nowhere/x'): Domain =>
  domain(name, good, [
    ...types(undefined, 5, null, {}, [], new Uint16Array(4), 5n),
    [VALUE, 'a\0b'],
    [VALUE, '\0'],
    [VALUE, Buffer.from('a\0')],
    ['ERR_INVALID_URL_SCHEME', new URL('http://localhost/x')],
  ])

/** An address of a socket. */
export const address = (name = 'address', optional = false): Domain => {
  const part = (name: string, bad: unknown): With =>
    new With({ address: '::1', port: 1, [name]: bad }, name, bad)
  return domain(name, { address: '127.0.0.1', port: 1 }, [
    ...types(null, 5, '127.0.0.1:80', ...(optional ? [] : [undefined])),
    ...types({}, part('address', 5), part('port', '1'), new With({ path: 5 }, 'path', 5)),
    [VALUE, part('address', 'localhost')],
    ...ranges(part('port', 65536), part('port', -1), part('port', 0.5)),
  ])
}

const openString = ['', 'x', 'rw', 'R', 'r++', 'toString', '__proto__', 'w ', null, {}]

export const flagString = (): Domain =>
  domain('flags', 'r', [
    ...openString.map((value): Bad => [VALUE, value]),
    ...ranges(-1, 1.5, 2 ** 32, Number.NaN),
  ])

/** An object with properties of their own domains; undefined is the same as {}. */
export function object(name: string, properties: readonly Domain[], required = false): Domain {
  const good = (ring: Uring): Record<string, unknown> =>
    Object.fromEntries(properties.map((property) => [property.name, property.good(ring)]))
  return domain(name, good, (ring) => [
    ...types(null, 5, 'x', true, ...(required ? [undefined] : [])),
    ...properties.flatMap((property) =>
      property.bad(ring).map(([code, value]): Bad => {
        const inner = value instanceof With ? value : new With(value, property.name, value)
        return [code, new With({ ...good(ring), [property.name]: inner.whole }, inner.part, inner.value)]
      }),
    ),
  ])
}

/** A value of which one part is bad: the error must name that. */
export class With {
  readonly whole: unknown
  readonly part: string
  readonly value: unknown

  constructor(whole: unknown, part: string, value: unknown) {
    this.whole = whole
    this.part = part
    this.value = value
  }
}

const signal = (): Domain =>
  domain('signal', undefined, types(5, null, {}, { aborted: false }, 'x', new EventTarget()))

/** What every operation takes, and its own. */
export const options = (...own: readonly Domain[]): Domain =>
  object('options', [
    ...own,
    signal(),
    bool('ref'),
    domain('timeout', undefined, [
      ...types('5', null, {}, 5n),
      ...ranges(-1, Number.NaN, Infinity, -Infinity, 2 ** 54),
    ]),
    word('personality', 0, 65535, true),
    domain('sqeFlags', undefined, [
      ...types('16', null, 16n),
      ...ranges(-1, 0.5, Number.NaN),
      ...[1, 4, 8, 64, 256, 2 ** 32].map((value): Bad => [VALUE, value]),
    ]),
  ])

/** What every multishot request takes, and its own. */
export const many = (...own: readonly Domain[]): Domain =>
  object('options', [...own, signal(), bool('ref'), integer('capacity', 4, 1, Number.MAX_SAFE_INTEGER, true)])

// ---------------------------------------------------------------- arguments of single methods

export function lentOf(name: string): Domain {
  const one = lent(name)
  return {
    ...one,
    bad: (ring) => one.bad(ring).map(([code, bad]) => [code === DETACHED ? STATE : code, bad]),
  }
}

export function pages(): Domain {
  return {
    ...view(),
    good: (ring) => ring.alloc(4096),
    bad: (ring) => [...view().bad(ring), [VALUE, Buffer.alloc(10)]],
  }
}

export function attribute(): Domain {
  return domain('name', 'user.x', [
    ...[undefined, null, 5, {}].map((one) => [TYPE, one] as const),
    [VALUE, 'a\0b'],
  ])
}

export function value(): Domain {
  return domain('value', 'x', [
    ...[undefined, null, 5, {}, [1]].map((one) => [TYPE, one] as const),
    [RANGE, new Uint8Array(65537)],
  ])
}

export function optionValue(): Domain {
  return domain('value', 1, [
    ...[undefined, null, '5', {}, [1], 1n].map((one) => [TYPE, one] as const),
    ...[0.5, Number.NaN, 2 ** 32, -(2 ** 31) - 1, new Uint8Array(0), new Uint8Array(65537)].map(
      (one) => [RANGE, one] as const,
    ),
  ])
}

export function payload(): Domain {
  return domain('payload', () => new Uint8Array(4), [
    ...[null, 'x', 5, {}].map((one) => [TYPE, one] as const),
    [RANGE, new Uint8Array(17)],
  ])
}

/** Buffers to register: those given, or empty places. */
export function registered(name: string): Domain {
  const one = view('buffers')
  return domain(
    name,
    () => [Buffer.alloc(16)],
    (ring) => [
      ...[undefined, null, 5, 'x', {}, Buffer.alloc(4)].map((bad) => [TYPE, bad] as const),
      ...[[], Array(16385).fill(null), [new Uint8Array(0)]].map((bad) => [RANGE, bad] as const),
      [STATE, Array(1025).fill(null)],
      ...one
        .bad(ring)
        .filter(([code, bad]) => code !== STATE && bad !== null)
        .map(([code, bad]) => [code, [null, bad]] as const),
      ...[0, -1, 16385, 0.5].map((bad) => [RANGE, new With({ sparse: bad }, 'sparse', bad)] as const),
      [TYPE, new With({ sparse: '1' }, 'sparse', '1')],
    ],
  )
}

export function shared(): Domain {
  return domain(
    'views',
    [null],
    [
      ...[undefined, null, 5, {}].map((bad) => [TYPE, bad] as const),
      [RANGE, []],
      [TYPE, [5]],
      [VALUE, [Buffer.alloc(4)]],
    ],
  )
}

export function waiters(): Domain {
  const good = { words: new Int32Array(1), index: 0, value: 0 }
  const part = (name: string, bad: unknown): With => new With([good, { ...good, [name]: bad }], name, bad)
  return domain(
    'waiters',
    [good],
    [
      ...[undefined, null, {}, 5].map((one) => [TYPE, one] as const),
      [RANGE, []],
      [RANGE, Array(129).fill(good)],
      [TYPE, new With([null], 'words', null)],
      [TYPE, part('words', new Uint32Array(1))],
      [TYPE, part('index', '0')],
      [RANGE, part('index', 1)],
      [RANGE, part('value', 2 ** 31)],
      [TYPE, part('value', null)],
    ],
  )
}

export function fds(min: number): Domain {
  return domain(
    'fds',
    [NO_FD],
    [
      ...[undefined, null, 5, {}, ['3'], [null]].map((one) => [TYPE, one] as const),
      ...[[], Array(1025).fill(0), [min - 1], [0.5], [Number.NaN], [2 ** 31]].map(
        (one) => [RANGE, one] as const,
      ),
    ],
  )
}

export function optional(one: Domain): Domain {
  return { ...one, bad: (ring) => one.bad(ring).filter(([, bad]) => bad !== undefined) }
}
