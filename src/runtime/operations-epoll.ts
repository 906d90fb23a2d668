// Epoll instances, as promises: for programs that have one already.
// Flow: Uring → this → op/prep-control.ts, engine.ts. man epoll(7)

import { prepEpollCtl, prepEpollWait } from '../op/prep-control.ts'
import { IORING_OP_EPOLL_CTL, IORING_OP_EPOLL_WAIT } from '../sys/abi.ts'
import { EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD } from '../sys/constants.ts'
import { argumentTypeError, argumentValueError } from '../sys/error.ts'
import { epoll_event } from '../sys/structs-other.ts'
import { checkInteger } from '../sys/validate.ts'
import { requireOpcode } from './opcode-gate.ts'
import { checkTarget, checkWord, type FileTarget } from './operations.ts'
import { TimerOperations } from './operations-timer.ts'
import type { OperationOptions } from './options.ts'
import { FixedFile, Resource } from './resource.ts'

/** One event of an epoll instance. */
export interface EpollEvent {
  /** EPOLLIN, EPOLLOUT … */
  events: number
  /** What `epollCtl` was given with the file: by default its fd. */
  data: number
}

const OPERATIONS = [EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD]

export class EpollOperations extends TimerOperations {
  /**
   * Adds, changes or removes a file in an epoll instance.
   * @param epoll the instance, an ordinary fd
   * @param operation EPOLL_CTL_ADD, EPOLL_CTL_MOD or EPOLL_CTL_DEL
   * @param file an ordinary fd
   * @param event what to wait for, and what comes back with each event (a whole number, by default the fd)
   * @throws EEXIST · ENOENT · EPERM (a regular file) · ERR_* (nothing was queued)
   * @kernel 5.6 · IORING_OP_EPOLL_CTL
   * @man io_uring_prep_epoll_ctl(3), epoll_ctl(2)
   */
  async epollCtl(
    epoll: number | Resource,
    operation: number,
    file: number | Resource,
    event: { events?: number; data?: number } = {},
    options?: OperationOptions,
  ): Promise<void> {
    checkTarget(epoll, 'epoll_ctl')
    checkTarget(file, 'epoll_ctl')
    if ((epoll as FileTarget) instanceof FixedFile || (file as FileTarget) instanceof FixedFile)
      throw argumentTypeError('fd', 'of type number or an instance of Resource', file)
    if (!OPERATIONS.includes(operation))
      throw argumentValueError(
        'operation',
        operation,
        'must be EPOLL_CTL_ADD, EPOLL_CTL_MOD or EPOLL_CTL_DEL',
      )
    if (typeof event !== 'object' || event === null) throw argumentTypeError('event', 'of type object', event)
    const { events = 0, data = file instanceof Resource ? file.fd : file } = event
    checkWord('event.events', events)
    checkInteger('event.data', data, 0)
    const slot = this.engine.begin(IORING_OP_EPOLL_CTL, options)
    if (slot === null)
      return this.engine.later(() => this.epollCtl(epoll, operation, file, event, options), options)
    const { scratch } = this.engine
    const struct = new epoll_event(scratch.bytes, scratch.offset(slot.index))
    struct.events = events
    struct.setNumber('data', data)
    let fd: number
    if (file instanceof Resource) {
      fd = file.hold('epoll_ctl')
      slot.other = file
    } else fd = file
    prepEpollCtl(slot.sqe, -1, fd, operation, scratch.address(slot.index))
    this.aim(slot, epoll)
    await this.engine.promise(slot)
  }

  /**
   * Waits for events of an epoll instance.
   * @param maxEvents most events to take at once
   * @returns at least one event; with level triggering (the default) those of files that are still ready come again next time
   * @throws EINVAL (no epoll instance) · ERR_RING_FEATURE, ERR_OUT_OF_RANGE (nothing was queued)
   * @kernel 6.15 · IORING_OP_EPOLL_WAIT
   * @man io_uring_prep_epoll_wait(3), epoll_wait(2)
   */
  async epollWait(epoll: FileTarget, maxEvents = 64, options?: OperationOptions): Promise<EpollEvent[]> {
    requireOpcode(this.engine, IORING_OP_EPOLL_WAIT)
    checkTarget(epoll, 'epoll_wait')
    checkInteger('maxEvents', maxEvents, 1, 65536)
    const bytes = new Uint8Array(maxEvents * epoll_event.sizeof)
    const slot = this.engine.begin(IORING_OP_EPOLL_WAIT, options)
    if (slot === null) return this.engine.later(() => this.epollWait(epoll, maxEvents, options), options)
    slot.held = bytes
    slot.finish = (count): EpollEvent[] =>
      Array.from({ length: count }, (_, i) => {
        const struct = new epoll_event(bytes, i * epoll_event.sizeof)
        return { events: struct.events, data: struct.getNumber('data') }
      })
    prepEpollWait(slot.sqe, -1, this.engine.ring.driver.addressOf(bytes), maxEvents, 0)
    this.aim(slot, epoll)
    return this.engine.promise(slot)
  }
}
