// A guard allocator to preload: makes every use of freed memory fail at once, the kernel's uses included.
// Usage: LD_PRELOAD=build/tools/guard-malloc.so node --expose-gc test.js      (glibc only)
// With GUARD_MALLOC=later in the environment it leaves the start of a program alone, which takes seconds under guard, and
// guards what one thread allocates from the moment when it sets GUARD_MALLOC to something else until it says "later" again.
//
// Each block of GUARD_MIN bytes or more gets pages of its own and ends where an inaccessible page begins. free() makes the
// pages inaccessible for ever; the addresses are never handed out again. So when an operation in flight names a Buffer that
// the garbage collector has freed, the kernel answers -EFAULT, each time, where ordinary malloc would let it overwrite
// whoever got the memory next. A length that runs over the end of a block is caught in the same way.
//
// All blocks come from one huge reserved range, handed out upwards: "is it ours?" is a comparison of addresses, and freed
// neighbours merge into one mapping, which keeps long runs below vm.max_map_count.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE = 4096, ALIGN = 16, GUARD_MIN = 512 };

// glibc's own allocator under the names that can't be interposed.
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void __libc_free(void *);

// Lies right in front of each block.
struct header {
  size_t size;
  char *pages;
};

static int guards_all;
// As preloaded libraries may: the general model could call malloc.
static __thread int guards_thread __attribute__((tls_model("initial-exec")));
static char *range_start;
static size_t range_bytes;
static size_t range_used;

static size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

// Reserves addresses, as many as the machine gives; costs no memory. A thread that loses the race returns its own.
static char *range(void) {
  char *start = __atomic_load_n(&range_start, __ATOMIC_ACQUIRE);
  if (start) return start;
  for (size_t bytes = (size_t)1 << 42; bytes >= (size_t)1 << 32; bytes /= 2) {
    char *mine = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mine == MAP_FAILED) continue;
    size_t none = 0;
    if (__atomic_compare_exchange_n(&range_bytes, &none, bytes, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
      __atomic_store_n(&range_start, mine, __ATOMIC_RELEASE);
      return mine;
    }
    munmap(mine, bytes);
    while (!(start = __atomic_load_n(&range_start, __ATOMIC_ACQUIRE))) {
    }
    return start;
  }
  return NULL;
}

static int is_guarded(const void *block) {
  char *start = __atomic_load_n(&range_start, __ATOMIC_ACQUIRE);
  return start && (const char *)block >= start && (const char *)block < start + range_bytes;
}

static struct header *header_of(void *block) { return (struct header *)block - 1; }

static void *guarded_malloc(size_t size) {
  char *start = range();
  if (!start || size > range_bytes) return __libc_malloc(size);
  size_t padded = round_up(size, ALIGN);
  size_t usable = round_up(padded + sizeof(struct header), PAGE);
  size_t offset = __atomic_fetch_add(&range_used, usable + PAGE, __ATOMIC_RELAXED);
  if (offset + usable + PAGE > range_bytes) return __libc_malloc(size);
  char *pages = start + offset;
  if (mprotect(pages, usable, PROT_READ | PROT_WRITE)) return __libc_malloc(size);
  char *block = pages + usable - padded;
  *header_of(block) = (struct header){size, pages};
  return block;
}

static void guarded_free(void *block) {
  char *pages = header_of(block)->pages;
  size_t usable = round_up((size_t)((char *)block - pages) + header_of(block)->size, PAGE);
  // Inaccessible pages in the place of the old ones: gives the memory back and keeps the addresses taken.
  mmap(pages, usable, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

static int is_later(const char *word) { return word && strcmp(word, "later") == 0; }

__attribute__((constructor)) static void begin(void) { guards_all = !is_later(getenv("GUARD_MALLOC")); }

// What process.env.GUARD_MALLOC = '...' comes to.
int setenv(const char *name, const char *value, int overwrite) {
  static int (*libc_setenv)(const char *, const char *, int);
  if (!libc_setenv) libc_setenv = (int (*)(const char *, const char *, int))dlsym(RTLD_NEXT, "setenv");
  if (strcmp(name, "GUARD_MALLOC") == 0) guards_thread = !is_later(value);
  return libc_setenv(name, value, overwrite);
}

static int is_left_alone(size_t size) { return size < GUARD_MIN || !(guards_all || guards_thread); }

void *malloc(size_t size) { return is_left_alone(size) ? __libc_malloc(size) : guarded_malloc(size); }

void *calloc(size_t count, size_t each) {
  size_t size;
  if (__builtin_mul_overflow(count, each, &size)) {
    errno = ENOMEM;
    return NULL;
  }
  if (is_left_alone(size)) return __libc_calloc(1, size);
  void *block = guarded_malloc(size);
  // Fresh pages are zero; the fallback's need not be.
  if (block && !is_guarded(block)) memset(block, 0, size);
  return block;
}

void free(void *block) {
  int saved = errno;
  if (block && is_guarded(block)) guarded_free(block);
  else __libc_free(block);
  errno = saved;
}

// V8 asks for it, and must not get glibc's idea of our blocks.
size_t malloc_usable_size(void *block) {
  static size_t (*libc_usable_size)(void *);
  if (!block) return 0;
  if (is_guarded(block)) return header_of(block)->size;
  if (!libc_usable_size) libc_usable_size = (size_t (*)(void *))dlsym(RTLD_NEXT, "malloc_usable_size");
  return libc_usable_size(block);
}

void *realloc(void *block, size_t size) {
  if (!block) return malloc(size);
  if (!is_guarded(block) && is_left_alone(size)) return __libc_realloc(block, size);
  if (size == 0) {
    free(block);
    return NULL;
  }
  size_t old = malloc_usable_size(block);
  void *fresh = malloc(size);
  if (!fresh) return NULL;
  memcpy(fresh, block, old < size ? old : size);
  free(block);
  return fresh;
}
