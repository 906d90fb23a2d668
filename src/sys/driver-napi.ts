// The driver over native/addon.c, through Node-API.
// Flow: open-driver.ts → this → the addon.

import {
  IORING_SETUP_REGISTERED_FD_ONLY,
  SYS_IO_URING_ENTER,
  SYS_IO_URING_REGISTER,
  SYS_IO_URING_SETUP,
} from './abi.ts'
import type { Driver, RingHandle, RingLayout } from './driver.ts'

/** What the addon exports; rings are passed as the address of their record, which the addon checks against its list. */
export interface Addon {
  syscall(nr: number, a?: number, b?: number, c?: number, d?: number, e?: number, f?: number): number
  map(fd: number, lengthBytes: number, offset: number): ArrayBuffer | number
  unmap(memory: ArrayBuffer): number
  addressOf(view: ArrayBufferView): number
  attach(layout: BigUint64Array, memory: ArrayBuffer[], control: ArrayBuffer): number
  relayout(ring: RingHandle, layout: BigUint64Array, memory: ArrayBuffer[]): number
  /** With 1 as its last argument it lets go. */
  hold(ring: RingHandle, memory: ArrayBuffer, letGo?: 1): number
  detach(ring: RingHandle): number
  inKernel(ring: RingHandle): number
  turn(ring: RingHandle, minComplete: number, timeoutMs: number): number
  loopOpen(ring: RingHandle, onBatch: (count: number) => void): number
  loopActivate(ring: RingHandle): number
}

/** The addon reads a layout as 64-bit words in this order. */
function layoutWords(layout: RingLayout): BigUint64Array {
  return BigUint64Array.from(
    [
      layout.fd,
      layout.setupFlags,
      layout.sqHead,
      layout.sqTail,
      layout.sqFlags,
      layout.sqMask,
      layout.cqHead,
      layout.cqTail,
      layout.cqFlags,
      layout.cqMask,
      layout.cqes,
      layout.cqeBytes,
      layout.sqes,
      layout.sqeBytes,
      layout.waitFlags,
    ],
    BigInt,
  )
}

/** Whether io_uring_setup will answer with an index instead of an fd. */
function isIndexed(params: Uint8Array): boolean {
  const flags = new DataView(params.buffer, params.byteOffset).getUint32(8, true)
  return (flags & IORING_SETUP_REGISTERED_FD_ONLY) !== 0
}

/** Makes the driver of a loaded addon. */
export function napiDriver(addon: Addon): Driver {
  const { syscall, map, unmap, hold, detach, inKernel, turn, loopOpen, loopActivate } = addon
  // Node-API has no address for a DataView, only for a typed array over the same bytes.
  const addressOf = (view: ArrayBufferView): number =>
    addon.addressOf(
      view instanceof DataView ? new Uint8Array(view.buffer, view.byteOffset, view.byteLength) : view,
    )
  return {
    name: 'napi',
    // The 1 is for the addon: it closes the ring's fd if the thread ends before `attach` takes it. An index is no fd.
    setup: (entries, params) =>
      syscall(SYS_IO_URING_SETUP, entries, addressOf(params), 0, 0, 0, isIndexed(params) ? 0 : 1),
    enter: (fd, toSubmit, minComplete, flags, argAddress, argBytes) =>
      syscall(SYS_IO_URING_ENTER, fd, toSubmit, minComplete, flags, argAddress, argBytes),
    register: (fd, opcode, argAddress, argCount) =>
      syscall(SYS_IO_URING_REGISTER, fd, opcode, argAddress, argCount),
    syscall,
    map,
    unmap,
    addressOf,
    attach: (layout, memory, control) => {
      const ring: unknown = addon.attach(layoutWords(layout), memory, control)
      return ring as RingHandle | number
    },
    relayout: (ring, layout, memory) => addon.relayout(ring, layoutWords(layout), memory),
    hold,
    letGo: (ring, memory) => hold(ring, memory, 1),
    detach,
    inKernel,
    turn,
    loopOpen,
    loopActivate,
  }
}
