// ringcore's native part: only what TypeScript can't do — system calls, mappings, addresses, the event-loop hook, and
// the cleanup when a thread dies. It uses no libc and includes no io_uring header: structs arrive as bytes that
// TypeScript wrote, so one binary per CPU serves glibc and musl and every Node from 20 on. uv_* functions come from the
// host process as weak symbols. Flow: src/sys/driver-napi.ts → this → kernel, Node-API, libuv.
// Results are >= 0 or -errno. man io_uring_setup(2), io_uring_enter(2), io_uring_register(2)
#include "host.h"

// The few io_uring values the drain, the loop and the teardown need; test/10.abi holds them against sys/abi.ts.
enum { SETUP_IOPOLL = 1, SETUP_SQPOLL = 2, SETUP_REGISTERED_FD_ONLY = 32768, SQ_NEED_WAKEUP = 1, SQ_CQ_OVERFLOW = 2, SQ_TASKRUN = 4, CQ_EVENTFD_DISABLED = 1 };
enum { ENTER_GETEVENTS = 1, ENTER_SQ_WAKEUP = 2, ENTER_EXT_ARG = 8, ENTER_REGISTERED_RING = 16, CQE_F_MORE = 2, CQE_F_SKIP = 32, CQE_F_32 = 32768 };
enum { REGISTER_EVENTFD = 4, UNREGISTER_RING_FDS = 21, REGISTER_SYNC_CANCEL = 24, CANCEL_ALL = 1, CANCEL_ANY = 4, OP_POLL_ADD = 6, POLLIN_ = 1 };

// Words of the control block and marks in user_data: the same as CTL and USER_DATA_* in src/sys/driver.ts.
enum { C_SQ_TAIL, C_ACTIVE, C_REFS, C_LIVE, C_MORE_SEEN, C_WAIT, C_ENTERS, C_ROUNDS, C_RING_WAITS, C_EPOLL_WAKES,
       C_LIBUV_WAKES, C_CQES, C_MODE, C_ROUNDS_MAX, C_WORDS = 64, WAIT_RING = 1, WAIT_EPOLL = 2 };
#define FOREIGN 0x80000000u
#define LOOP_POLL 0x40000000u
#define CHAIN 0x10000000u

// ---- mappings: pages live while JavaScript or a ring holds them ------------------------------------------------
struct thread;
enum { OWN_QUEUES = 1, OWN_FD = 2 }; // a ring's two queues, and what else was mapped from its fd: gone when the ring is
struct map { struct map *next; struct thread *thread; char *address; size_t bytes; u32 holders, own; };
struct ring {
  struct ring *next;
  struct thread *thread;
  i32 fd, event_fd;
  u32 setup_flags, wait_flags, sq_mask, cq_mask, cqe_bytes, sqe_bytes, batch_cap, not_final;
  volatile u32 *sq_head, *sq_tail, *sq_flags, *cq_head, *cq_tail, *cq_flags;
  char *cqes, *sqes, *batch;
  volatile i32 *control;
  napi_env env;
  napi_ref on_batch;
  napi_async_cleanup_hook_handle hook;
  uv_loop *loop;
  i32 score;
  u32 open_handles, map_count;
  bool looping, referenced, poll_armed, libuv_ready, woke, closed;
  char handles[HANDLES][HANDLE_BYTES] __attribute__((aligned(16)));
  struct map *maps[];
};
enum { RING_BYTES = 16384, MAPS_MAX = (RING_BYTES - sizeof(struct ring)) / sizeof(struct map *), FUNCTIONS = 12 };
struct thread { struct map *maps; struct ring *rings; long loose_fd; struct binding { struct thread *thread; u32 index; } bindings[FUNCTIONS]; };

static void drop_map(struct map *map) {
  if (--map->holders) return;
  struct map **at = &map->thread->maps;
  while (*at != map) at = &(*at)->next;
  *at = map->next;
  free_pages(map->address, map->bytes);
  free_pages(map, sizeof *map);
}
static void on_collected(napi_env env, void *data, void *map) { (void)env, (void)data, drop_map(map); }
// Zero pages in the old one's place: stale views read zeros, and the kernel's own pages are let go at once.
static long replace_map(struct map *map) {
  long p = sys6(NR_mmap, (long)map->address, (long)map->bytes, 3, 0x32, -1, 0);
  return failed(p) ? p : 0;
}

// A ring without an fd (REGISTERED_FD_ONLY) is named by its index in this thread's table, which the thread's end empties too.
static bool indexed(struct ring *r) { return r->setup_flags & SETUP_REGISTERED_FD_ONLY; }
static long register_on(struct ring *r, u32 op, void *arg) { return sys6(NR_register, r->fd, op | (indexed(r) ? 1u << 31 : 0), (long)arg, 1, 0, 0); }
static void close_ring(struct ring *r) { if (indexed(r)) register_on(r, UNREGISTER_RING_FDS, (u32[4]){(u32)r->fd}); else close_fd(r->fd); }

// ---- the queues ------------------------------------------------------------------------------------------------
// SQEs the kernel consumed, less CQEs that ended one. Every final CQE counts once, wherever it was drained.
static u32 in_kernel(struct ring *r) {
  u32 final = *r->cq_head - r->not_final - (u32)r->control[C_MORE_SEEN];
  return __atomic_load_n(r->sq_head, __ATOMIC_ACQUIRE) - final;
}
// Publishes what was claimed; pairs with the kernel's acquire load of sq.tail. Returns what the kernel has yet to consume.
static u32 publish(struct ring *r) {
  u32 tail = (u32)r->control[C_SQ_TAIL];
  __atomic_store_n(r->sq_tail, tail, __ATOMIC_RELEASE);
  return tail - __atomic_load_n(r->sq_head, __ATOMIC_ACQUIRE);
}
// Publishes, and returns how many SQEs wait for a call of enter: the SQPOLL thread helps itself unless it sleeps.
static u32 to_submit(struct ring *r) {
  u32 pending = publish(r);
  if (!(r->setup_flags & SETUP_SQPOLL)) return pending;
  __atomic_thread_fence(__ATOMIC_SEQ_CST); // our tail store before this load; pairs with the thread's fence before it sleeps
  return *r->sq_flags & SQ_NEED_WAKEUP ? pending : 0;
}
// timeout_ms < 0 waits without one; the wait ends early for signals.
static long enter(struct ring *r, u32 submit, u32 min, u32 flags, i64 timeout_ms) {
  i64 ts[2] = {timeout_ms / 1000, timeout_ms % 1000 * 1000000};
  u64 arg[3] = {0, 0, (u64)(uintptr_t)ts};
  if (r->setup_flags & SETUP_SQPOLL && submit) flags |= ENTER_SQ_WAKEUP;
  bool timed = min && timeout_ms >= 0;
  if (timed) flags |= ENTER_EXT_ARG;
  flags |= (min ? r->wait_flags : 0) | (indexed(r) ? ENTER_REGISTERED_RING : 0);
  r->control[C_ENTERS]++;
  return sys6(NR_enter, r->fd, submit, min, flags, timed ? (long)arg : 0, timed ? sizeof arg : 8);
}
// Copies CQEs out to the batch and publishes the head once. Returns how many slots of cqe_bytes JavaScript has to look at.
static u32 drain(struct ring *r, char *to) {
  u32 head = *r->cq_head, tail = __atomic_load_n(r->cq_tail, __ATOMIC_ACQUIRE), out = 0, mask = r->cq_mask;
  while (head != tail && out + 2 <= r->batch_cap) {
    const i32 *cqe = (const i32 *)(r->cqes + (size_t)(head & mask) * r->cqe_bytes);
    u32 flags = (u32)cqe[3], slots = flags & CQE_F_32 && r->cqe_bytes == 16 ? 2 : 1;
    bool skip = flags & CQE_F_SKIP;
    r->not_final += slots - 1 + (skip || flags & CQE_F_MORE || (r->looping && (u32)cqe[0] & FOREIGN));
    // The one CQE of a quiet chain ends all its steps: user_data says how many.
    if (r->looping && (u32)cqe[0] >> 28 == CHAIN >> 28) r->not_final -= ((u32)cqe[0] >> 12 & 255) - 1;
    if (r->looping && (u32)cqe[0] == LOOP_POLL && !skip) r->poll_armed = false, r->libuv_ready = true, skip = true;
    for (u32 s = 0; !skip && to && s < slots; s++) {
      const u64 *from = (const u64 *)(r->cqes + (size_t)((head + s) & mask) * r->cqe_bytes);
      u64 *at = (u64 *)(to + (size_t)(out + s) * r->cqe_bytes);
      for (u32 w = 0; w < r->cqe_bytes / 8; w++) at[w] = from[w];
    }
    out += skip ? 0 : slots, head += slots;
  }
  __atomic_store_n(r->cq_head, head, __ATOMIC_RELEASE); // pairs with the kernel's load before it posts into freed slots
  r->control[C_CQES] += (i32)out;
  return out;
}

// ---- the loop: submit, drain, settle; then wait where waiting is cheaper ---------------------------------------
static uv_handle *check_of(struct ring *r) { return r->handles[0]; }
static uv_handle *idle_of(struct ring *r) { return r->handles[1]; }
static uv_handle *poll_of(struct ring *r) { return r->handles[2]; }
static void on_idle(uv_handle *h) { (void)h; }
static void reference(struct ring *r) {
  bool want = r->control[C_REFS] > 0 && r->control[C_LIVE] > 0;
  if (want == r->referenced) return;
  r->referenced = want;
  (want ? uv_ref : uv_unref)(check_of(r));
}
static void rest(struct ring *r) { uv_idle_stop(idle_of(r)), r->control[C_ACTIVE] = 0; }
// In the ring we are woken by CQEs, so the eventfd stays silent; in epoll the eventfd is what wakes us.
static void set_mode(struct ring *r, bool in_ring) {
  r->control[C_MODE] = in_ring;
  if (r->cq_flags) __atomic_store_n(r->cq_flags, in_ring ? CQ_EVENTFD_DISABLED : 0, __ATOMIC_SEQ_CST);
}
// Wake-ups vote: mostly ours → wait in the ring; mostly libuv's → wait in epoll.
static bool vote(struct ring *r, i32 by) {
  i32 score = r->score + by;
  r->score = score < 0 ? 0 : score > 16 ? 16 : score;
  i32 wait = r->control[C_WAIT], mode = r->control[C_MODE];
  bool in_ring = wait == WAIT_RING || (wait != WAIT_EPOLL && (mode ? r->score > 4 : r->score > 11));
  if (r->setup_flags & SETUP_IOPOLL) in_ring = true;
  if (in_ring == (mode != 0)) return false;
  set_mode(r, in_ring);
  return true;
}
// Hands a batch, or a fatal -errno, to JavaScript; false when the ring or the thread is ending.
static bool call_js(struct ring *r, i32 count) {
  napi_handle_scope scope;
  napi_value fn, arg, error;
  if (napi_open_handle_scope(r->env, &scope) != napi_ok) return false;
  napi_get_reference_value(r->env, r->on_batch, &fn);
  napi_create_int32(r->env, count, &arg);
  napi_status status = napi_make_callback(r->env, NULL, fn, fn, 1, &arg, NULL);
  if (status == napi_pending_exception && napi_get_and_clear_last_exception(r->env, &error) == napi_ok)
    status = napi_fatal_exception(r->env, error);
  napi_close_handle_scope(r->env, scope);
  return status == napi_ok && !r->closed;
}
// These lose nothing: the SQEs stay queued and go down with the next round or the next turn of the loop.
static bool transient(long rc) { return rc == -EINTR_ || rc == -EAGAIN_ || rc == -EBUSY_ || rc == -ENOMEM_; }
// Returns how many CQEs were settled; -1 when the ring or the thread is ending.
static i32 rounds(struct ring *r, bool force) {
  i32 settled = 0;
  for (i32 i = 0; i < r->control[C_ROUNDS_MAX]; i++) {
    u32 pending = to_submit(r);
    bool poll = r->setup_flags & SETUP_IOPOLL && in_kernel(r);
    if (force || pending || poll || (*r->sq_flags & (SQ_CQ_OVERFLOW | SQ_TASKRUN))) {
      long rc = enter(r, pending, 0, ENTER_GETEVENTS, -1);
      if (rc < 0 && !transient(rc) && !call_js(r, (i32)rc)) return -1;
    }
    force = false;
    u32 count = drain(r, r->batch);
    if (!count) break;
    r->control[C_ROUNDS]++;
    settled += (i32)count;
    if (!call_js(r, (i32)count)) return -1;
  }
  return settled;
}
static bool arm_poll(struct ring *r) {
  if (r->poll_armed) return true;
  u32 tail = (u32)r->control[C_SQ_TAIL];
  if (tail - __atomic_load_n(r->sq_head, __ATOMIC_ACQUIRE) > r->sq_mask) return false;
  i32 *sqe = (i32 *)(r->sqes + (size_t)(tail & r->sq_mask) * r->sqe_bytes);
  memset(sqe, 0, r->sqe_bytes);
  sqe[0] = OP_POLL_ADD, sqe[1] = uv_backend_fd(r->loop), sqe[7] = POLLIN_, sqe[8] = LOOP_POLL;
  r->control[C_SQ_TAIL] = (i32)(tail + 1);
  return r->poll_armed = true;
}
// Sleeps in the ring as long as libuv would sleep in epoll. Returns CQEs to settle, or a fatal -errno.
static i32 wait_in_ring(struct ring *r) {
  uv_idle_stop(idle_of(r));
  uv_update_time(r->loop);
  int timeout = uv_backend_timeout(r->loop);
  uv_idle_start(idle_of(r), on_idle);
  if (timeout == 0 || r->setup_flags & SETUP_IOPOLL || !arm_poll(r)) return 0;
  u32 pending = to_submit(r);
  r->control[C_RING_WAITS]++;
  r->libuv_ready = false;
  long rc = enter(r, pending, 1, ENTER_GETEVENTS, timeout);
  u32 count = drain(r, r->batch);
  return count || rc >= 0 || rc == -ETIME_ || transient(rc) ? (i32)count : (i32)rc;
}
static void on_check(uv_handle *h) {
  struct ring *r = uv_handle_get_data(h);
  volatile i32 *control = r->control;
  if (!control[C_ACTIVE] && !r->woke) {
    if (control[C_LIVE]) control[C_LIBUV_WAKES]++, vote(r, -1);
    return;
  }
  bool woke = r->woke;
  r->woke = false;
  if (!control[C_ACTIVE]) uv_idle_start(idle_of(r), on_idle); // ACTIVE alone would let libuv sleep in epoll
  control[C_ACTIVE] = 1; // what JavaScript queues from here on is seen by the rounds
  bool switched = woke && vote(r, 2);
  i32 settled = rounds(r, woke);
  // What wakes us in the ring is settled here, several times: libuv's turn between would find nothing, as its fd is watched.
  for (i32 i = 0, again = !settled; again && settled >= 0 && i < control[C_ROUNDS_MAX]; i++) {
    if (i) reference(r);
    if (!control[C_MODE] || !control[C_LIVE] || to_submit(r)) break;
    i32 count = wait_in_ring(r);
    if (r->libuv_ready) control[C_LIBUV_WAKES]++;
    switched = vote(r, count > 0 ? 1 : r->libuv_ready ? -2 : 0);
    if (count && !call_js(r, count)) return;
    if (count || switched) settled = rounds(r, switched);
    again = count > 0 && !r->libuv_ready;
  }
  if (settled < 0) return;
  reference(r);
  if (!control[C_LIVE]) {
    rest(r);
    if (r->cq_flags) *r->cq_flags = CQ_EVENTFD_DISABLED;
  } else if (!control[C_MODE]) {
    set_mode(r, false);
    // Work that was queued while the eventfd was silent must be looked at once more before epoll sleeps.
    if (!to_submit(r) && !(*r->sq_flags & (SQ_CQ_OVERFLOW | SQ_TASKRUN)) && *r->cq_head == *r->cq_tail) rest(r);
  }
}
static void on_event(uv_handle *h, int status, int events) {
  struct ring *r = ((void)status, (void)events, uv_handle_get_data(h));
  u64 count;
  sys6(NR_read, r->event_fd, (long)&count, 8, 0, 0, 0);
  r->woke = true;
  r->control[C_EPOLL_WAKES]++;
}

// ---- teardown: nothing is freed before the kernel has let go ---------------------------------------------------
static void drop_ring(struct ring *r) {
  for (u32 i = 0; i < r->map_count; i++) drop_map(r->maps[i]);
  free_pages(r, RING_BYTES);
}
static void on_closed(uv_handle *h) {
  struct ring *r = uv_handle_get_data(h);
  if (--r->open_handles) return;
  napi_remove_async_cleanup_hook(r->hook);
  drop_ring(r);
}
static void release(struct ring *r) {
  r->closed = true;
  struct ring **at = &r->thread->rings;
  while (*at != r) at = &(*at)->next;
  *at = r->next;
  for (u32 i = 0; i < r->map_count; i++)
    if (r->maps[i]->own) replace_map(r->maps[i]);
  if (r->looping) {
    if (r->on_batch) napi_delete_reference(r->env, r->on_batch);
    for (u32 i = 0; i < HANDLES; i++) uv_close(r->handles[i], on_closed);
    close_fd(r->event_fd);
  }
  close_ring(r);
  if (r->looping) return; // its record and its mappings go when libuv has let go of the handles
  napi_remove_async_cleanup_hook(r->hook);
  drop_ring(r);
}
// The one barrier: count CQEs. Cancelling only makes them come sooner, and no timeout frees anything.
static void quiesce(struct ring *r) {
  i64 cancel[8] = {0, 0, 0, 1000000};
  ((i32 *)cancel)[2] = -1, ((u32 *)cancel)[3] = CANCEL_ALL | CANCEL_ANY;
  bool sqpoll = r->setup_flags & SETUP_SQPOLL;
  for (u32 turns = 0;; turns++) {
    u32 unconsumed = *r->sq_tail - __atomic_load_n(r->sq_head, __ATOMIC_ACQUIRE);
    if (sqpoll && unconsumed) enter(r, unconsumed, 0, 0, -1);
    drain(r, NULL);
    if (!(sqpoll && unconsumed) && (i32)in_kernel(r) <= 0) return;
    register_on(r, REGISTER_SYNC_CANCEL, cancel);
    long rc = enter(r, 0, 0, ENTER_GETEVENTS, -1);
    if (rc == -EBADF_ || rc == -EOPNOTSUPP_) r->map_count = 0, r->fd = -1; // somebody closed our fd:
    if (r->fd < 0) return;                                                 // what can't be drained is leaked
    if (turns >= 10) nap(200000);
    if (turns == 25000) {
      static const char text[] = "ringcore: a thread is ending, but the kernel still has its I/O; waiting for the device\n";
      sys6(NR_write, 2, (long)text, sizeof text - 1, 0, 0, 0);
    }
  }
}
static void on_thread_end(napi_async_cleanup_hook_handle hook, void *data) {
  struct ring *r = data;
  r->hook = hook;
  r->closed = true;
  quiesce(r);
  release(r);
}

// ---- Node-API --------------------------------------------------------------------------------------------------
// Every function but map returns a number, so one trampoline reads arguments and makes results for all.
struct call { napi_env env; struct thread *thread; size_t count; napi_value args[8], result; };

static i64 integer(struct call *c, size_t index) {
  i64 value = 0;
  if (index < c->count) napi_get_value_int64(c->env, c->args[index], &value);
  return value;
}
// The memory of an ArrayBuffer or a typed array; the length of the latter counts elements.
static char *memory(struct call *c, napi_value view, size_t *length) {
  void *data = NULL;
  bool is = false;
  *length = 0;
  napi_is_typedarray(c->env, view, &is);
  if (is) napi_get_typedarray_info(c->env, view, NULL, length, &data, NULL, NULL);
  else napi_get_arraybuffer_info(c->env, view, &data, length);
  return data;
}
static struct map *map_of(struct call *c, napi_value buffer) {
  size_t length;
  char *address = memory(c, buffer, &length);
  struct map *map = c->thread->maps;
  while (map && map->address != address) map = map->next;
  return map;
}
static struct ring *ring_of(struct call *c) {
  struct ring *wanted = (struct ring *)(uintptr_t)integer(c, 0), *r = c->thread->rings;
  while (r && r != wanted) r = r->next;
  return r;
}
// setup with 1 as its last argument, which the kernel ignores, asks for the fd to be closed if the thread ends before `attach`.
static i64 js_syscall(struct call *c) {
  long a[7], *loose = &c->thread->loose_fd;
  for (size_t i = 0; i < 7; i++) a[i] = (long)integer(c, i);
  long rc = sys6(a[0], a[1], a[2], a[3], a[4], a[5], a[6]);
  if ((a[0] == NR_setup && a[6] == 1) || (a[0] == NR_close && a[1] == *loose)) *loose = a[0] == NR_setup ? rc : 0;
  return rc;
}
static i64 js_map(struct call *c) {
  i64 fd = integer(c, 0), bytes = integer(c, 1), offset = integer(c, 2); // of anonymous pages the "offset" is MAP_HUGETLB, or 0
  if (bytes <= 0) return -EINVAL_;
  long at = sys6(NR_mmap, 0, (long)bytes, 3, fd < 0 ? 0x22 | (long)offset : 0x8001, fd < 0 ? -1 : (long)fd, fd < 0 ? 0 : (long)offset);
  if (failed(at)) return at;
  struct map *map = new_pages(sizeof *map);
  sys6(NR_madvise, at, (long)bytes, 10, 0, 0, 0); // DONTFORK: a forked child must never write our tails
  if (map && napi_create_external_arraybuffer(c->env, (void *)at, (size_t)bytes, on_collected, map, &c->result) == napi_ok) {
    *map = (struct map){c->thread->maps, c->thread, (char *)at, (size_t)bytes, 1, fd < 0 ? 0 : OWN_FD};
    c->thread->maps = map;
    return 0;
  }
  c->result = NULL;
  free_pages((void *)at, (size_t)bytes);
  if (map) free_pages(map, sizeof *map);
  return -ENOMEM_;
}
static i64 js_unmap(struct call *c) {
  struct map *map = map_of(c, c->args[0]);
  return map ? replace_map(map) : -EINVAL_;
}
static i64 js_address(struct call *c) { return (i64)(uintptr_t)memory(c, c->args[0], &(size_t){0}); }
// layout: 15 64-bit words in the order of RingLayout.
static bool read_layout(struct call *c, struct ring *r, napi_value layout) {
  size_t length;
  const u64 *l = (const u64 *)memory(c, layout, &length);
  if (!l || length < 15) return false;
  r->fd = (i32)l[0], r->setup_flags = (u32)l[1], r->sq_head = (void *)l[2], r->sq_tail = (void *)l[3];
  r->sq_flags = (void *)l[4], r->sq_mask = (u32)l[5], r->cq_head = (void *)l[6], r->cq_tail = (void *)l[7];
  r->cq_flags = (void *)l[8], r->cq_mask = (u32)l[9], r->cqes = (void *)l[10], r->cqe_bytes = (u32)l[11];
  r->sqes = (void *)l[12], r->sqe_bytes = (u32)l[13], r->wait_flags = (u32)l[14];
  return true;
}
static bool hold_map(struct call *c, struct ring *r, napi_value buffer) {
  struct map *map = map_of(c, buffer);
  if (!map || r->map_count >= MAPS_MAX) return false;
  map->holders++;
  r->maps[r->map_count++] = map;
  return true;
}
// The ring's own mappings are replaced by zero pages when the ring ends; all that it holds live as long as it.
static bool hold_own(struct call *c, struct ring *r, napi_value list) {
  u32 count = 0;
  napi_value buffer;
  if (napi_get_array_length(c->env, list, &count) != napi_ok || !count) return false; // it fails in a thread that is being ended
  for (u32 i = 0; i < count; i++) {
    if (napi_get_element(c->env, list, i, &buffer) != napi_ok || !hold_map(c, r, buffer)) return false;
    r->maps[r->map_count - 1]->own = OWN_QUEUES;
  }
  return true;
}
static i64 js_attach(struct call *c) {
  size_t bytes;
  char *control = memory(c, c->args[2], &bytes);
  struct ring *r = new_pages(RING_BYTES);
  if (!r) return -ENOMEM_;
  r->thread = c->thread, r->event_fd = -1, r->env = c->env, r->control = (i32 *)control, r->batch = control + C_WORDS * 4;
  if (!control || bytes < C_WORDS * 4 || !read_layout(c, r, c->args[0]) || !hold_own(c, r, c->args[1]) ||
      !hold_map(c, r, c->args[2]) || napi_add_async_cleanup_hook(c->env, on_thread_end, r, &r->hook) != napi_ok)
    return drop_ring(r), -EINVAL_;
  r->batch_cap = (u32)((bytes - C_WORDS * 4) / r->cqe_bytes);
  r->next = c->thread->rings, c->thread->rings = r, c->thread->loose_fd = 0;
  return (i64)(uintptr_t)r;
}
// After RESIZE_RINGS: the old mappings turn to zero pages now and go with the ring.
static i64 js_relayout(struct call *c) {
  struct ring *r = ring_of(c);
  u32 count = r ? r->map_count : 0;
  if (!r || !read_layout(c, r, c->args[1]) || !hold_own(c, r, c->args[2])) return -EINVAL_;
  for (u32 i = 0; i < count; i++)
    if (r->maps[i]->own == OWN_QUEUES) replace_map(r->maps[i]), r->maps[i]->own = 0;
  return 0;
}
static i64 js_hold(struct call *c) { // with 1 as its last argument it lets go instead
  struct ring *r = ring_of(c);
  struct map *map = map_of(c, c->args[1]);
  if (!r || !map) return -EINVAL_;
  if (!integer(c, 2)) return hold_map(c, r, c->args[1]) ? 0 : -ENOMEM_;
  for (u32 i = 0; i < r->map_count; i++)
    if (r->maps[i] == map && map->own != OWN_QUEUES) return r->maps[i] = r->maps[--r->map_count], drop_map(map), 0;
  return -EINVAL_;
}
static i64 js_detach(struct call *c) {
  struct ring *r = ring_of(c);
  if (!r || (i32)in_kernel(r) > 0) return r ? -EBUSY_ : -EINVAL_;
  return release(r), 0;
}
static i64 js_in_kernel(struct call *c) { struct ring *r = ring_of(c); return r ? (i64)in_kernel(r) : -EINVAL_; }
static i64 js_turn(struct call *c) {
  struct ring *r = ring_of(c);
  if (!r) return -EINVAL_;
  u32 count = drain(r, r->batch);
  if (count) return count;
  long rc = enter(r, to_submit(r), (u32)integer(c, 1), ENTER_GETEVENTS, integer(c, 2));
  count = drain(r, r->batch);
  return count || rc >= 0 || rc == -EINTR_ || rc == -ETIME_ ? (i64)count : rc;
}
static i64 js_loop_open(struct call *c) {
  struct ring *r = ring_of(c);
  if (!r || r->looping) return -EINVAL_;
  if (!uv_check_init || !uv_backend_fd || !uv_handle_size || napi_get_uv_event_loop(c->env, (void *)&r->loop) != napi_ok)
    return -ENOSYS_;
  if (uv_handle_size(UV_CHECK) > HANDLE_BYTES || uv_handle_size(UV_IDLE) > HANDLE_BYTES || uv_handle_size(UV_POLL) > HANDLE_BYTES)
    return -ENOSYS_;
  i32 event_fd = (i32)sys6(NR_eventfd2, 0, 02004000, 0, 0, 0, 0); // CLOEXEC | NONBLOCK
  if (event_fd < 0) return event_fd;
  long rc = register_on(r, REGISTER_EVENTFD, &event_fd);
  if (rc == 0 && uv_poll_init(r->loop, poll_of(r), event_fd) != 0) rc = -EINVAL_;
  if (rc < 0) return close_fd(event_fd), rc;
  r->event_fd = event_fd, r->looping = true, r->open_handles = HANDLES, r->score = 10;
  napi_create_reference(c->env, c->args[1], 1, &r->on_batch);
  uv_check_init(r->loop, check_of(r)), uv_idle_init(r->loop, idle_of(r));
  for (u32 i = 0; i < HANDLES; i++) uv_handle_set_data(r->handles[i], r), uv_unref(r->handles[i]);
  uv_check_start(check_of(r), on_check), uv_poll_start(poll_of(r), 1, on_event);
  set_mode(r, r->control[C_WAIT] != WAIT_EPOLL);
  return 0;
}
static i64 js_loop_activate(struct call *c) {
  struct ring *r = ring_of(c);
  if (!r || !r->looping) return -EINVAL_;
  r->control[C_ACTIVE] = 1;
  uv_idle_start(idle_of(r), on_idle);
  reference(r);
  return 0;
}
static const struct { const char *name; i64 (*call)(struct call *); } functions[FUNCTIONS] = {
  {"syscall", js_syscall}, {"map", js_map}, {"unmap", js_unmap}, {"addressOf", js_address}, {"attach", js_attach},
  {"relayout", js_relayout}, {"hold", js_hold}, {"detach", js_detach}, {"inKernel", js_in_kernel}, {"turn", js_turn},
  {"loopOpen", js_loop_open}, {"loopActivate", js_loop_activate}};
static napi_value trampoline(napi_env env, napi_callback_info info) {
  struct call c = {.env = env, .count = 8};
  struct binding *binding = NULL;
  napi_get_cb_info(env, info, &c.count, c.args, NULL, (void **)&binding);
  c.thread = binding->thread;
  i64 value = functions[binding->index].call(&c);
  if (!c.result) napi_create_int64(env, value, &c.result);
  return c.result;
}
static void on_thread_gone(napi_env env, void *data, void *hint) {
  struct thread *thread = data;
  if (thread->loose_fd > 0) close_fd((i32)thread->loose_fd);
  (void)env, (void)hint, free_pages(thread, sizeof *thread);
}
NAPI_MODULE_INIT() {
  struct thread *thread = new_pages(sizeof *thread);
  if (!thread) return NULL;
  napi_set_instance_data(env, thread, on_thread_gone, NULL);
  for (u32 i = 0; i < FUNCTIONS; i++) {
    napi_value fn;
    thread->bindings[i] = (struct binding){thread, i};
    napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, trampoline, &thread->bindings[i], &fn);
    napi_set_named_property(env, exports, functions[i].name, fn);
  }
  return exports;
}
