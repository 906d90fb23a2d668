// The ring layer's names.
// Flow: src/ring.ts (the door `ringcore/ring`), op, runtime → this → its neighbours.

export { BufferRing } from './buffer-ring.ts'
export type { BufferRingOptions } from './buffer-ring-memory.ts'
export { Cqe, type CqeCallback } from './completion-queue.ts'
export { ringMemoryBytes, SETUP_FLAGS, type SetupOptions, setupFlagNames } from './params.ts'
export { type Availability, available, type ProbeReport, probe } from './probe.ts'
export type { RingProbe } from './register.ts'
export type { Tags } from './register-resources.ts'
export type { BufRingOptions, NapiOptions, Restriction, SyncCancelOptions } from './register-structs.ts'
export { RegisteredWait, RegisteredWaits } from './registered-waits.ts'
export { type CloseOptions, Ring, type RingOptions } from './ring.ts'
export { SQE, Sqe } from './sqe.ts'
export type { SystemFacts } from './unavailable.ts'
export type { WaitOptions } from './wait.ts'
