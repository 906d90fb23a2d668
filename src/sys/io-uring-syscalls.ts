// The three system call numbers of io_uring, the same on every CPU we run on.
// Flow: driver-napi.ts, abi → this.
// man io_uring_setup(2), io_uring_enter(2), io_uring_register(2)

export const IO_URING_SYSCALLS = { SETUP: 425, ENTER: 426, REGISTER: 427 } as const
