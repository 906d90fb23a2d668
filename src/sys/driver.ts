// The boundary to native code: the few things that TypeScript can't do. Types only.
// Flow: ring, runtime → this → native/addon.c (driver-napi.ts) or a simulated kernel (test/sim).
// Every function returns ≥ 0 or -errno and never throws; addresses and offsets are safe integers.

/** Words of the control block that TypeScript and the native loop share; all of them live on one thread. */
export const CTL = {
  /** SQEs claimed so far (wraps at 2^32). The native loop claims one too, so nobody may keep a copy of it. */
  SQ_TAIL: 0,
  /** 1 while the native loop is running for this ring; 0 asks whoever queues an SQE to call `loopActivate`. */
  ACTIVE: 1,
  /** Operations that hold the process open. */
  REFS: 2,
  /** Operations between "SQE claimed" and "final CQE settled". */
  LIVE: 3,
  /** CQE slots consumed by TypeScript (not by the native loop) that ended no operation: F_MORE, second halves, padding. */
  MORE_SEEN: 4,
  /** How to wait: 0 chooses by what the last wake-ups were, 1 always in the ring, 2 always in epoll. */
  WAIT: 5,
  /** Counters for `stats()`. */
  ENTERS: 6,
  ROUNDS: 7,
  RING_WAITS: 8,
  EPOLL_WAKES: 9,
  LIBUV_WAKES: 10,
  CQES: 11,
  /** 1 while the loop waits in the ring, 0 while it waits in epoll. */
  MODE: 12,
  /** Most rounds of submit, drain, settle before libuv gets its turn. */
  ROUNDS_MAX: 13,
  /** Words in the block; the batch of drained CQEs starts right behind it. */
  WORDS: 64,
} as const

/** Set in user_data's low word of messages that other rings post: no SQE of ours stands behind such a CQE. */
export const USER_DATA_FOREIGN = 0x80000000
/** Set in user_data's low word of SQEs that no slot waits for: the loop's poll (exactly this value), cancel requests. */
export const USER_DATA_INTERNAL = 0x40000000
/**
 * The uppermost four bits of user_data's low word in a quiet chain, all steps of which name one slot and which has one CQE: of the
 * last step, or of the one that failed. Below them: the step (8 bits), how many there are (8 bits), the slot (12 bits).
 */
export const USER_DATA_CHAIN = 0x10000000

/** Opaque: one ring, as the native side knows it. */
export type RingHandle = { readonly __ring: unique symbol }

/** What the native side must know of a ring, to drain it and to tear it down when the thread dies. Addresses, all of them. */
export interface RingLayout {
  /** The fd; with REGISTERED_FD_ONLY the index in this thread's table. */
  fd: number
  setupFlags: number
  sqHead: number
  sqTail: number
  sqFlags: number
  /** Mask of the SQ ring (entries - 1). */
  sqMask: number
  cqHead: number
  cqTail: number
  /** 0 when the kernel has no CQ flags word. */
  cqFlags: number
  cqMask: number
  cqes: number
  /** Bytes of one CQE slot: 16, or 32 with CQE32. */
  cqeBytes: number
  sqes: number
  /** Bytes of one SQE slot: 64, or 128 with SQE128. */
  sqeBytes: number
  /** Flags for every enter that waits: IORING_ENTER_NO_IOWAIT where the kernel has it, else 0. */
  waitFlags: number
}

export interface Driver {
  readonly name: 'napi' | 'simulated'
  /** io_uring_setup(2); `params` (120 bytes) is read and written. Returns the ring's fd. */
  setup(entries: number, params: Uint8Array): number
  /** io_uring_enter2(2). `argAddress` 0 passes NULL. */
  enter(
    fd: number,
    toSubmit: number,
    minComplete: number,
    flags: number,
    argAddress: number,
    argBytes: number,
  ): number
  /** io_uring_register(2). */
  register(fd: number, opcode: number, argAddress: number, argCount: number): number
  /** Any other system call, for cold paths; numbers differ by CPU, see syscalls.ts. */
  syscall(nr: number, a?: number, b?: number, c?: number, d?: number, e?: number, f?: number): number
  /**
   * Maps memory: `fd` -1 gives zeroed anonymous pages (huge ones if `offset` is MAP_HUGETLB), else the ring's `offset`. Not
   * inherited by forked children. What is mapped of a ring's fd and held by it turns to zero pages when the ring ends.
   * The pages go back when the ArrayBuffer is collected and no ring that `attach`ed them is alive.
   */
  map(fd: number, lengthBytes: number, offset: number): ArrayBuffer | number
  /** Puts fresh zero pages in the place of a mapping, so that stale views read zeros and the old pages go back at once. */
  unmap(memory: ArrayBuffer): number
  /** The address of the first byte of a view; a typed array that V8 keeps on its heap is moved off it for good. */
  addressOf(view: ArrayBufferView): number
  /**
   * Puts a ring under the protection of the thread's cleanup hook: if the thread ends without `detach`, the hook cancels,
   * counts CQEs until the kernel is done, and only then closes and unmaps.
   * @param memory the ring's own mappings, whose pages must outlive the kernel's interest
   * @param control the control block, see `CTL`: an anonymous mapping, followed by room for a batch of CQEs
   */
  attach(layout: RingLayout, memory: ArrayBuffer[], control: ArrayBuffer): RingHandle | number
  /** Tells the native side of new pointers after REGISTER_RESIZE_RINGS; the old mappings are let go. */
  relayout(ring: RingHandle, layout: RingLayout, memory: ArrayBuffer[]): number
  /** Adds a mapping (arena, buffer ring) that must outlive the ring's operations. */
  hold(ring: RingHandle, memory: ArrayBuffer): number
  /** Takes back what `hold` did, when no operation can touch the mapping any more; it goes when JavaScript lets go, too. */
  letGo(ring: RingHandle, memory: ArrayBuffer): number
  /** Ends protection: closes the fd and lets the mappings go. -EBUSY while the kernel still has operations. */
  detach(ring: RingHandle): number
  /** Operations that the kernel consumed and did not end yet. */
  inKernel(ring: RingHandle): number
  /** Submits all that is queued, waits for `minComplete` CQEs (timeoutMs < 0: for ever), copies CQEs out to the batch. Returns their count. */
  turn(ring: RingHandle, minComplete: number, timeoutMs: number): number
  /** Lets the event loop drive the ring: `onBatch(count)` runs once per drained batch, count < 0 is a fatal -errno of enter. */
  loopOpen(ring: RingHandle, onBatch: (count: number) => void): number
  /** Wakes the loop because there is work: call when `CTL.ACTIVE` is 0. */
  loopActivate(ring: RingHandle): number
}
