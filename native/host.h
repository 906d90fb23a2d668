// What the addon stands on instead of libc: system calls by CPU, pages, and libuv as the host process has it.
// Flow: addon.c → this → kernel, libuv. man syscall(2)
#pragma once
#include <node_api.h>

typedef int32_t i32;
typedef uint32_t u32;
typedef int64_t i64;
typedef uint64_t u64;

// ---- system calls ----------------------------------------------------------------------------------------------
static long sys6(long nr, long a, long b, long c, long d, long e, long f) {
#if defined(__x86_64__)
  long ret;
  register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
  __asm__ volatile("syscall" : "=a"(ret) : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return ret;
#elif defined(__aarch64__)
  register long x8 __asm__("x8") = nr, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d, x4 __asm__("x4") = e, x5 __asm__("x5") = f;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
  return x0;
#else
#error "ringcore supports x86-64 and arm64"
#endif
}
#if defined(__x86_64__)
enum { NR_read = 0, NR_write = 1, NR_close = 3, NR_mmap = 9, NR_munmap = 11, NR_madvise = 28, NR_nanosleep = 35, NR_eventfd2 = 290 };
#else
enum { NR_read = 63, NR_write = 64, NR_close = 57, NR_mmap = 222, NR_munmap = 215, NR_madvise = 233, NR_nanosleep = 101, NR_eventfd2 = 19 };
#endif
enum { NR_setup = 425, NR_enter = 426, NR_register = 427 };
enum { EINTR_ = 4, EBADF_ = 9, EAGAIN_ = 11, ENOMEM_ = 12, EBUSY_ = 16, EINVAL_ = 22, ENOSYS_ = 38, ETIME_ = 62, EOPNOTSUPP_ = 95 };

void *memset(void *to, int value, size_t n) {
  for (char *p = to; n--;) *p++ = (char)value;
  return to;
}
void *memcpy(void *restrict to, const void *restrict from, size_t n) {
  char *p = to;
  for (const char *q = from; n--;) *p++ = *q++;
  return to;
}
static bool failed(long result) { return result < 0 && result > -4096; }
static void *new_pages(size_t bytes) {
  long p = sys6(NR_mmap, 0, (long)bytes, 3, 0x22, -1, 0);
  return failed(p) ? NULL : (void *)p;
}
static void free_pages(void *at, size_t bytes) { sys6(NR_munmap, (long)at, (long)bytes, 0, 0, 0, 0); }
static void close_fd(i32 fd) { sys6(NR_close, fd, 0, 0, 0, 0, 0); }
static void nap(long ns) { long t[2] = {0, ns}; sys6(NR_nanosleep, (long)t, 0, 0, 0, 0, 0); }

// ---- libuv, as the host process has it ---------------------------------------------------------------------------
typedef void uv_handle;
typedef struct uv_loop_s uv_loop;
enum { UV_CHECK = 2, UV_IDLE = 6, UV_POLL = 8, HANDLE_BYTES = 512, HANDLES = 3 };
#define WEAK __attribute__((weak, visibility("default")))
WEAK int uv_check_init(uv_loop *, uv_handle *), uv_check_start(uv_handle *, void (*)(uv_handle *));
WEAK int uv_idle_init(uv_loop *, uv_handle *), uv_idle_start(uv_handle *, void (*)(uv_handle *)), uv_idle_stop(uv_handle *);
WEAK int uv_poll_init(uv_loop *, uv_handle *, int), uv_poll_start(uv_handle *, int, void (*)(uv_handle *, int, int));
WEAK int uv_backend_fd(const uv_loop *), uv_backend_timeout(const uv_loop *);
WEAK size_t uv_handle_size(int);
WEAK void *uv_handle_get_data(const uv_handle *);
WEAK void uv_handle_set_data(uv_handle *, void *), uv_update_time(uv_loop *);
WEAK void uv_ref(uv_handle *), uv_unref(uv_handle *), uv_close(uv_handle *, void (*)(uv_handle *));
