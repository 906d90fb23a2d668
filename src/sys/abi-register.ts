// Constants of io_uring_register(2): its opcodes, and the flags of what is registered.
// Flow: ring, runtime → abi.ts → this.
// man io_uring_register(2). Checked against the installed header and the kernel by test/10.abi.test.ts.
// "since" is the first kernel that has it, 5.1 where nothing is said. Flags are hex, counts and indices decimal.

// — Register opcodes —

/** Pins buffers: an iovec array */
export const IORING_REGISTER_BUFFERS = 0
/** Lets all buffers go */
export const IORING_UNREGISTER_BUFFERS = 1
/** Takes files: an int array, -1 for an empty slot */
export const IORING_REGISTER_FILES = 2
/** Lets all files go */
export const IORING_UNREGISTER_FILES = 3
/** Signals an eventfd on completions · since 5.2 */
export const IORING_REGISTER_EVENTFD = 4
/** Stops that · since 5.2 */
export const IORING_UNREGISTER_EVENTFD = 5
/** Replaces some files · since 5.5 */
export const IORING_REGISTER_FILES_UPDATE = 6
/** Signals only for completions that came later than submit · since 5.6 */
export const IORING_REGISTER_EVENTFD_ASYNC = 7
/** Which opcodes this kernel has: io_uring_probe · since 5.6 */
export const IORING_REGISTER_PROBE = 8
/** Keeps the caller's credentials; returns an id for `personality` · since 5.6 */
export const IORING_REGISTER_PERSONALITY = 9
/** Forgets them · since 5.6 */
export const IORING_UNREGISTER_PERSONALITY = 10
/** Allows only listed opcodes and flags; on a disabled ring, or a task (fd -1) since 7.0 · since 5.10 */
export const IORING_REGISTER_RESTRICTIONS = 11
/** Starts a ring made with R_DISABLED · since 5.10 */
export const IORING_REGISTER_ENABLE_RINGS = 12
/** FILES with tags or empty · since 5.13 */
export const IORING_REGISTER_FILES2 = 13
/** FILES_UPDATE with tags · since 5.13 */
export const IORING_REGISTER_FILES_UPDATE2 = 14
/** BUFFERS with tags or empty · since 5.13 */
export const IORING_REGISTER_BUFFERS2 = 15
/** Replaces some buffers · since 5.13 */
export const IORING_REGISTER_BUFFERS_UPDATE = 16
/** On which CPUs the workers may run · since 5.14 */
export const IORING_REGISTER_IOWQ_AFF = 17
/** On all CPUs again · since 5.14 */
export const IORING_UNREGISTER_IOWQ_AFF = 18
/** Sets and gets how many workers: [bounded, unbounded], 0 only asks · since 5.15 */
export const IORING_REGISTER_IOWQ_MAX_WORKERS = 19
/** Registers ring fds for this task · since 5.18 */
export const IORING_REGISTER_RING_FDS = 20
/** Drops them · since 5.18 */
export const IORING_UNREGISTER_RING_FDS = 21
/** Adds a provided-buffer ring: io_uring_buf_reg · since 5.19 */
export const IORING_REGISTER_PBUF_RING = 22
/** Removes it · since 5.19 */
export const IORING_UNREGISTER_PBUF_RING = 23
/** Cancels and waits; no proof that the kernel has let go of memory · since 6.0 */
export const IORING_REGISTER_SYNC_CANCEL = 24
/** Slots from which IORING_FILE_INDEX_ALLOC picks · since 6.0 */
export const IORING_REGISTER_FILE_ALLOC_RANGE = 25
/** The kernel's head of a buffer ring · since 6.8 */
export const IORING_REGISTER_PBUF_STATUS = 26
/** Busy-polls network queues while waiting · since 6.9 */
export const IORING_REGISTER_NAPI = 27
/** Stops that · since 6.9 */
export const IORING_UNREGISTER_NAPI = 28
/** The clock of wait timeouts · since 6.12 */
export const IORING_REGISTER_CLOCK = 29
/** Takes over another ring's buffers; parts of them since 6.13 · since 6.12 */
export const IORING_REGISTER_CLONE_BUFFERS = 30
/** MSG_RING without a ring of one's own (fd -1) · since 6.13 */
export const IORING_REGISTER_SEND_MSG_RING = 31
/** Takes a receive queue of a network card · since 6.15 */
export const IORING_REGISTER_ZCRX_IFQ = 32
/** Changes SQ and CQ sizes; DEFER_TASKRUN only; every mapping changes · since 6.13 */
export const IORING_REGISTER_RESIZE_RINGS = 33
/** Adds a memory region, such as wait arguments · since 6.13 */
export const IORING_REGISTER_MEM_REGION = 34
/** What this kernel can, without a ring (fd -1) · since 6.18 */
export const IORING_REGISTER_QUERY = 35
/** Controls a zero-copy receive queue · since 6.19 */
export const IORING_REGISTER_ZCRX_CTRL = 36
/** Attaches filters to opcodes · since 7.0 */
export const IORING_REGISTER_BPF_FILTER = 37
/** One past the last register opcode that this list knows */
export const IORING_REGISTER_LAST = 38
/** OR into the opcode: the fd is a registered ring index; bit 31 · since 6.3 */
export const IORING_REGISTER_USE_REGISTERED_RING = 0x80000000

// — Files and buffers —

/** io_uring_rsrc_register.flags: `nr` empty slots · since 5.19 */
export const IORING_RSRC_REGISTER_SPARSE = 0x1
/** In a files update: leave this slot as it is · since 5.12 */
export const IORING_REGISTER_FILES_SKIP = -2
/** io_uring_clone_buffers.flags: `src_fd` is a registered ring index · since 6.12 */
export const IORING_REGISTER_SRC_REGISTERED = 0x1
/** io_uring_clone_buffers.flags: replaces what is there · since 6.13 */
export const IORING_REGISTER_DST_REPLACE = 0x2

// — PROBE —

/** io_uring_probe_op.flags: this kernel has the opcode · since 5.6 */
export const IO_URING_OP_SUPPORTED = 0x1

// — QUERY —

/** io_uring_query_opcode: counts and flags · since 6.18 */
export const IO_URING_QUERY_OPCODES = 0
/** io_uring_query_zcrx: zero-copy receive · since 6.19 */
export const IO_URING_QUERY_ZCRX = 1
/** io_uring_query_scq: size of the ring header · since 6.19 */
export const IO_URING_QUERY_SCQ = 2
/** io_uring_query_zcrx_event: zero-copy receive events · since 7.2 */
export const IO_URING_QUERY_ZCRX_EVENT = 3
/** One past the last query of the header this was checked with · since 6.18 */
export const __IO_URING_QUERY_MAX = 3

// — IOWQ_MAX_WORKERS: index of each class —

/** Work that ends: regular files, block devices · since 5.15 */
export const IO_WQ_BOUND = 0
/** All other work · since 5.15 */
export const IO_WQ_UNBOUND = 1

// — Buffer rings: io_uring_buf_reg.flags —

/** The kernel allocates the ring; map it at IORING_OFF_PBUF_RING · since 6.4 */
export const IOU_PBUF_RING_MMAP = 0x1
/** A buffer is used up bit by bit · since 6.12 */
export const IOU_PBUF_RING_INC = 0x2

// — RESTRICTIONS: io_uring_restriction.opcode —

/** Allows a register opcode · since 5.10 */
export const IORING_RESTRICTION_REGISTER_OP = 0
/** Allows an SQE opcode · since 5.10 */
export const IORING_RESTRICTION_SQE_OP = 1
/** Allows these IOSQE_* flags · since 5.10 */
export const IORING_RESTRICTION_SQE_FLAGS_ALLOWED = 2
/** Demands these IOSQE_* flags · since 5.10 */
export const IORING_RESTRICTION_SQE_FLAGS_REQUIRED = 3
/** One past the last kind of restriction · since 5.10 */
export const IORING_RESTRICTION_LAST = 4

// — Memory regions and registered waits —

/** io_uring_region_desc.flags: the memory is the caller's · since 6.13 */
export const IORING_MEM_REGION_TYPE_USER = 0x1
/** io_uring_mem_region_reg.flags: holds io_uring_reg_wait entries; only on a disabled ring · since 6.13 */
export const IORING_MEM_REGION_REG_WAIT_ARG = 0x1
/** io_uring_reg_wait.flags: `ts` counts · since 6.13 */
export const IORING_REG_WAIT_TS = 0x1

// — NAPI: io_uring_napi.opcode and op_param —

/** opcode: register, as before 6.13 · since 6.13 */
export const IO_URING_NAPI_REGISTER_OP = 0
/** opcode: adds queue id `op_param` · since 6.13 */
export const IO_URING_NAPI_STATIC_ADD_ID = 1
/** opcode: removes queue id `op_param` · since 6.13 */
export const IO_URING_NAPI_STATIC_DEL_ID = 2
/** op_param: the kernel tracks the ids · since 6.13 */
export const IO_URING_NAPI_TRACKING_DYNAMIC = 0
/** op_param: the caller lists the ids · since 6.13 */
export const IO_URING_NAPI_TRACKING_STATIC = 1
/** op_param, read back: off · since 6.13 */
export const IO_URING_NAPI_TRACKING_INACTIVE = 0xff

// — BPF_FILTER —

/** io_uring_bpf_filter.flags: opcodes without a filter are refused · since 7.0 */
export const IO_URING_BPF_FILTER_DENY_REST = 0x1
/** io_uring_bpf_filter.flags: EMSGSIZE when `pdu_size` is not the kernel's · since 7.0 */
export const IO_URING_BPF_FILTER_SZ_STRICT = 0x2
/** io_uring_bpf.cmd_type: adds a filter · since 7.0 */
export const IO_URING_BPF_CMD_FILTER = 1

// — Zero-copy receive (zcrx) —

/** Where an offset holds the area id; 64-bit · since 6.15 */
export const IORING_ZCRX_AREA_SHIFT = 48
/** The area id's bits: a bigint, being over 2^53 · since 6.15 */
export const IORING_ZCRX_AREA_MASK = 0xffff000000000000n
/** io_uring_zcrx_area_reg.flags: `dmabuf_fd` is the memory · since 6.16 */
export const IORING_ZCRX_AREA_DMABUF = 0x1
/** io_uring_zcrx_ifq_reg.flags: takes over what another ring exported · since 6.19 */
export const ZCRX_REG_IMPORT = 0x1
/** io_uring_zcrx_ifq_reg.flags: no network card, copies; good for tests · since 7.1 */
export const ZCRX_REG_NODEV = 0x2
/** `rx_buf_len` chooses the page size · since 7.0 */
export const ZCRX_FEATURE_RX_PAGE_SIZE = 0x1
/** Can post events · since 7.2 */
export const ZCRX_FEATURE_EVENT = 0x2
/** zcrx_ctrl.op: takes back what lies in the refill queue · since 6.19 */
export const ZCRX_CTRL_FLUSH_RQ = 0
/** zcrx_ctrl.op: exports the queue as an fd · since 6.19 */
export const ZCRX_CTRL_EXPORT = 1
/** zcrx_ctrl.op: arms an event, which fires once · since 7.2 */
export const ZCRX_CTRL_ARM_EVENT = 2
/** One past the last zcrx_ctrl.op of the header this was checked with · since 6.19 */
export const __ZCRX_CTRL_LAST = 2
/** Event: no receive buffers left · since 7.2 */
export const ZCRX_EVENT_ALLOC_FAIL = 0
/** Event: data was copied after all · since 7.2 */
export const ZCRX_EVENT_COPY = 1
/** One past the last event · since 7.2 */
export const __ZCRX_EVENT_TYPE_LAST = 2
/** zcrx_event_desc.flags: `stats_offset` counts · since 7.2 */
export const ZCRX_EVENT_DESC_FLAG_STATS = 0x1
