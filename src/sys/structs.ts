// Every struct of the io_uring ABI, and those of other system calls that requests point to, by the kernel's names.
// Flow: users of ringcore/sys → this → structs-ring.ts, structs-register.ts, structs-zcrx.ts, structs-other.ts.
// man io_uring(7). `new io_uring_params()` allocates, `new io_uring_params(bytes, byteOffset)` looks at memory;
// `io_uring_params.sizeof` is its size, `io_uring_params.fields.features.offset` where a field lies.

export type { AnyStruct, Field, Fields, FieldValues, StructBase, StructClass } from './struct.ts'
export * from './structs-other.ts'
export * from './structs-register.ts'
export * from './structs-ring.ts'
export * from './structs-zcrx.ts'
