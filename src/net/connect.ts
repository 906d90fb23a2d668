// Connecting to a host: its addresses from Node's resolver, tried one after another with a short head start each.
// Flow: tcp-stream.ts → this → node:dns, runtime (connect). RFC 8305 (Happy Eyeballs)

import type { LookupAddress } from 'node:dns'
import { unlisten } from '../runtime/options.ts'
import { Resource } from '../runtime/resource.ts'
import type { Uring } from '../runtime/uring.ts'
import { abortError, socketError } from '../sys/error.ts'
import { dns, isIP } from '../sys/node-modules.ts'
import type { InternetAddress, SocketAddress } from '../sys/sockaddr.ts'
import { bindTo, type Family, newSocket } from './socket-calls.ts'

/** As node:dns has it. */
export type LookupFunction = (
  hostname: string,
  options: { all: true; family?: number },
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void

export interface ConnectSettings {
  signal?: AbortSignal | undefined
  timeout?: number | undefined
  /** Milliseconds that an address has before the next one is tried beside it. */
  attemptDelay: number
  localAddress?: InternetAddress | undefined
  /** Prepares the socket before it connects. */
  prepare?: ((fd: number) => void) | undefined
}

/** The addresses of a host in the order in which they are tried: families by turns, the resolver's first one first. */
export async function resolveHost(
  host: string,
  port: number,
  family: number,
  lookup?: LookupFunction,
): Promise<InternetAddress[]> {
  const version = isIP(host)
  if (version !== 0) return [{ family: version === 6 ? 'ipv6' : 'ipv4', address: host, port }]
  const found = await new Promise<LookupAddress[]>((resolve, reject) => {
    const resolver = lookup ?? (dns().lookup as LookupFunction)
    resolver(host, { all: true, family }, (error, addresses) => {
      if (error) reject(error)
      else resolve(addresses)
    })
  })
  const first = found[0]?.family
  const same = found.filter((address) => address.family === first)
  const others = found.filter((address) => address.family !== first)
  const ordered: InternetAddress[] = []
  for (let i = 0; i < Math.max(same.length, others.length); i++) {
    for (const one of [same[i], others[i]]) {
      if (one !== undefined)
        ordered.push({ family: one.family === 6 ? 'ipv6' : 'ipv4', address: one.address, port })
    }
  }
  return ordered
}

/**
 * Connects a new socket to an address.
 * @returns the fd, the caller's to close
 * @throws ECONNREFUSED … with Node's text · AbortError
 */
export async function connectTo(
  ring: Uring,
  address: SocketAddress,
  settings: Omit<ConnectSettings, 'attemptDelay'>,
): Promise<number> {
  const { driver } = ring.ring
  const { signal, timeout, localAddress } = settings
  const family: Family = 'path' in address ? 'unix' : address.family === 'ipv6' ? 'ipv6' : 'ipv4'
  const resource = new Resource(newSocket(driver, family))
  try {
    settings.prepare?.(resource.fd)
    if (localAddress !== undefined) bindTo(driver, resource.fd, localAddress, 'bind')
    await ring.connect(resource, address, { signal, timeout })
    return resource.surrender()
  } catch (error) {
    await ring.closeFile(resource)
    const { errno, syscall } = error as NodeJS.ErrnoException
    if (errno === undefined || syscall !== 'connect') throw error
    throw socketError(
      errno,
      'connect',
      'path' in address ? { address: address.path } : { address: address.address, port: address.port },
    )
  }
}

/** Connects to the first of several addresses that answers; the attempts at the others are given up. */
export async function connectToFirst(
  ring: Uring,
  addresses: readonly InternetAddress[],
  settings: ConnectSettings,
): Promise<number> {
  const [only] = addresses
  if (addresses.length === 1) return connectTo(ring, only!, settings)
  const race = new AbortController()
  const { signal } = settings
  const onAbort = (): void => race.abort(signal?.reason)
  signal?.addEventListener('abort', onAbort, { once: true })
  try {
    if (signal?.aborted === true) throw abortError(signal)
    return await raceOf(ring, addresses, settings, race)
  } catch (error) {
    throw signal?.aborted === true ? abortError(signal) : error
  } finally {
    if (signal !== undefined) unlisten(signal, onAbort)
  }
}

async function raceOf(
  ring: Uring,
  addresses: readonly InternetAddress[],
  settings: ConnectSettings,
  race: AbortController,
): Promise<number> {
  const errors: NodeJS.ErrnoException[] = []
  const attempts: Promise<void>[] = []
  let winner = -1
  for (const address of addresses) {
    const attempt = connectTo(ring, address, { ...settings, signal: race.signal }).then(
      (fd) => {
        // Two may answer before the second was given up.
        if (winner >= 0) ring.engine.closeLate(fd)
        else winner = fd
      },
      (error: NodeJS.ErrnoException) => void errors.push(error),
    )
    attempts.push(attempt)
    await within(attempt, settings.attemptDelay, race.signal)
    if (winner >= 0 || race.signal.aborted) break
  }
  while (winner < 0 && errors.length < attempts.length) await Promise.race(pending(attempts, errors.length))
  race.abort()
  await Promise.all(attempts)
  if (winner >= 0) return winner
  throw together(errors)
}

/** Each of `attempts` settles by itself; this one settles when one more of them has. */
function pending(attempts: readonly Promise<void>[], settled: number): Promise<void>[] {
  let count = 0
  return [
    new Promise<void>((resolve) => {
      for (const attempt of attempts) {
        attempt.then(() => {
          if (++count > settled) resolve()
        })
      }
    }),
  ]
}

/** Resolves when the attempt is over, the time has passed, or all are given up. */
async function within(attempt: Promise<void>, ms: number, signal: AbortSignal): Promise<void> {
  let end!: () => void
  const late = new Promise<void>((resolve) => {
    end = resolve
  })
  const timer = setTimeout(end, ms)
  signal.addEventListener('abort', end, { once: true })
  await Promise.race([attempt, late])
  signal.removeEventListener('abort', end)
  clearTimeout(timer)
}

/** The error of one attempt as it is; of several an AggregateError with the first one's code, as Node has it. */
function together(errors: readonly NodeJS.ErrnoException[]): Error {
  if (errors.length === 1) return errors[0]!
  const error = new AggregateError(errors, errors.map(({ message }) => message).join('; '))
  return Object.assign(error, { code: errors[0]!.code })
}
