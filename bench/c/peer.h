// What the C peers share: clocks, arguments, and the line that bench/tools.ts reads.
#pragma once
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline long long clock_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static inline void die(const char *what, int result) {
  fprintf(stderr, "%s: %d\n", what, result);
  exit(1);
}

struct stopwatch { long long wall, cpu; };

static inline struct stopwatch start(void) {
  return (struct stopwatch){clock_ns(CLOCK_MONOTONIC), clock_ns(CLOCK_PROCESS_CPUTIME_ID)};
}

static inline void report(long long ops, struct stopwatch since) {
  struct stopwatch now = start();
  printf("%lld %lld %lld\n", ops, now.wall - since.wall, now.cpu - since.cpu);
}
