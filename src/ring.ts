// The door `ringcore/ring`: the white box. Ring, its queues' entries, probing, and the functions that fill SQEs.
// Flow: programs → this → ring/, op/

export * from './op/index.ts'
export * from './ring/index.ts'
