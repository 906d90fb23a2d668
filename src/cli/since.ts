// Which kernel brought what: register operations, enter flags, SQE flags, features.
// Flow: probe-command.ts → this → op/table.ts (opcodes), ring/params.ts (setup flags).
// man io_uring_register(2), io_uring_enter(2), io_uring_setup(2). test/70.cli.test.ts holds it against the comments of sys/abi-*.ts.

import { opTable } from '../op/table.ts'
import { SETUP_FLAGS } from '../ring/params.ts'

const REGISTER_OPS: Readonly<Record<string, string>> = {
  5.1: 'REGISTER_BUFFERS UNREGISTER_BUFFERS REGISTER_FILES UNREGISTER_FILES',
  5.2: 'REGISTER_EVENTFD UNREGISTER_EVENTFD',
  5.5: 'REGISTER_FILES_UPDATE',
  5.6: 'REGISTER_EVENTFD_ASYNC REGISTER_PROBE REGISTER_PERSONALITY UNREGISTER_PERSONALITY',
  '5.10': 'REGISTER_RESTRICTIONS REGISTER_ENABLE_RINGS',
  5.13: 'REGISTER_FILES2 REGISTER_FILES_UPDATE2 REGISTER_BUFFERS2 REGISTER_BUFFERS_UPDATE',
  5.14: 'REGISTER_IOWQ_AFF UNREGISTER_IOWQ_AFF',
  5.15: 'REGISTER_IOWQ_MAX_WORKERS',
  5.18: 'REGISTER_RING_FDS UNREGISTER_RING_FDS',
  5.19: 'REGISTER_PBUF_RING UNREGISTER_PBUF_RING',
  '6.0': 'REGISTER_SYNC_CANCEL REGISTER_FILE_ALLOC_RANGE',
  6.8: 'REGISTER_PBUF_STATUS',
  6.9: 'REGISTER_NAPI UNREGISTER_NAPI',
  6.12: 'REGISTER_CLOCK REGISTER_CLONE_BUFFERS',
  6.13: 'REGISTER_SEND_MSG_RING REGISTER_RESIZE_RINGS REGISTER_MEM_REGION',
  6.15: 'REGISTER_ZCRX_IFQ',
  6.18: 'REGISTER_QUERY',
  6.19: 'REGISTER_ZCRX_CTRL',
  '7.0': 'REGISTER_BPF_FILTER',
}

const ENTER_FLAGS: Readonly<Record<string, string>> = {
  5.1: 'ENTER_GETEVENTS ENTER_SQ_WAKEUP',
  '5.10': 'ENTER_SQ_WAIT',
  5.11: 'ENTER_EXT_ARG',
  5.18: 'ENTER_REGISTERED_RING',
  6.12: 'ENTER_ABS_TIMER',
  6.13: 'ENTER_EXT_ARG_REG',
  6.15: 'ENTER_NO_IOWAIT',
}

const FEATURES: Readonly<Record<string, string>> = {
  5.4: 'FEAT_SINGLE_MMAP',
  5.5: 'FEAT_NODROP FEAT_SUBMIT_STABLE',
  5.6: 'FEAT_RW_CUR_POS FEAT_CUR_PERSONALITY',
  5.7: 'FEAT_FAST_POLL',
  5.9: 'FEAT_POLL_32BITS',
  5.11: 'FEAT_SQPOLL_NONFIXED FEAT_EXT_ARG',
  5.12: 'FEAT_NATIVE_WORKERS',
  5.13: 'FEAT_RSRC_TAGS',
  5.17: 'FEAT_CQE_SKIP',
  5.18: 'FEAT_LINKED_FILE',
  6.3: 'FEAT_REG_REG_RING',
  '6.10': 'FEAT_RECVSEND_BUNDLE',
  6.12: 'FEAT_MIN_TIMEOUT',
  6.14: 'FEAT_RW_ATTR',
  6.15: 'FEAT_NO_IOWAIT',
}

const SQE_FLAGS: Readonly<Record<string, string>> = {
  5.1: 'FIXED_FILE',
  5.2: 'IO_DRAIN',
  5.3: 'IO_LINK',
  5.5: 'IO_HARDLINK',
  5.6: 'ASYNC',
  5.7: 'BUFFER_SELECT',
  5.17: 'CQE_SKIP_SUCCESS',
}

/** Turns "kernel → names" into "name → kernel". */
function byName(prefix: string, byKernel: Readonly<Record<string, string>>): [string, string][] {
  return Object.entries(byKernel).flatMap(([since, names]) =>
    names.split(' ').map((name): [string, string] => [prefix + name, since]),
  )
}

/** The first kernel that has it, by the header's name; without patch levels. */
export const SINCE: Readonly<Record<string, string>> = Object.fromEntries([
  ...opTable.map(({ constant, since }): [string, string] => [constant, since]),
  ...SETUP_FLAGS.map(({ name, since }): [string, string] => [name, since]),
  ...byName('IORING_', REGISTER_OPS),
  ...byName('IORING_', ENTER_FLAGS),
  ...byName('IORING_', FEATURES),
  ...byName('IOSQE_', SQE_FLAGS),
])
