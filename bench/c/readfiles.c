// Whole small files through liburing: open into a direct descriptor, read, close as one hard-linked chain per file, a fixed number in
// flight; each file's bytes go into memory of their own. What bench/readfiles.ts holds readFiles against.
// Usage: readfiles <file with one path a line> <rounds> <in flight> <setup flags>
#define _GNU_SOURCE
#include <fcntl.h>
#include <liburing.h>
#include <string.h>
#include "peer.h"

enum { ROOM = 8192, STEPS = 3 };
static char **paths, **contents;
static long long count;

static void queue(struct io_uring *ring, char *rooms, unsigned slot, long long file) {
  struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
  io_uring_prep_openat_direct(sqe, AT_FDCWD, paths[file], O_RDONLY, 0, slot);
  sqe->flags |= IOSQE_IO_LINK;
  io_uring_sqe_set_data64(sqe, (unsigned long long)slot * STEPS);
  sqe = io_uring_get_sqe(ring);
  io_uring_prep_read(sqe, (int)slot, rooms + (size_t)slot * ROOM, ROOM, 0);
  sqe->flags |= IOSQE_FIXED_FILE | IOSQE_IO_HARDLINK;
  io_uring_sqe_set_data64(sqe, (unsigned long long)slot * STEPS + 1);
  sqe = io_uring_get_sqe(ring);
  io_uring_prep_close_direct(sqe, slot);
  io_uring_sqe_set_data64(sqe, (unsigned long long)slot * STEPS + 2);
}

static void run(struct io_uring *ring, char *rooms, unsigned depth) {
  long long begun = 0, done = 0, files[depth];
  for (unsigned slot = 0; slot < depth && begun < count; slot++) queue(ring, rooms, slot, files[slot] = begun), begun++;
  while (done < count) {
    int result = io_uring_submit_and_wait(ring, 1);
    if (result < 0) die("io_uring_submit_and_wait", result);
    struct io_uring_cqe *cqe;
    unsigned head, seen = 0;
    io_uring_for_each_cqe(ring, head, cqe) {
      unsigned slot = (unsigned)cqe->user_data / STEPS, step = (unsigned)cqe->user_data % STEPS;
      if (cqe->res < 0) die(paths[files[slot]], cqe->res);
      if (step == 1) {
        char *content = malloc((size_t)cqe->res + 1);
        memcpy(content, rooms + (size_t)slot * ROOM, (size_t)cqe->res);
        free(contents[files[slot]]);
        contents[files[slot]] = content;
      }
      if (step == 2) {
        done++;
        if (begun < count) queue(ring, rooms, slot, files[slot] = begun), begun++;
      }
      seen++;
    }
    io_uring_cq_advance(ring, seen);
  }
}

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  FILE *list = fopen(argv[1], "r");
  char *line = NULL;
  size_t size = 0;
  ssize_t length;
  if (!list) die("fopen", 0);
  while ((length = getline(&line, &size, list)) > 0) {
    if (line[length - 1] == '\n') line[length - 1] = 0;
    paths = realloc(paths, (size_t)(count + 1) * sizeof *paths);
    paths[count++] = strdup(line);
  }
  contents = calloc((size_t)count, sizeof *contents);
  unsigned depth = (unsigned)atoi(argv[3]);
  char *rooms = malloc((size_t)depth * ROOM);
  struct io_uring ring;
  int result = io_uring_queue_init(depth * 4, &ring, (unsigned)strtoul(argv[4], NULL, 0));
  if (result >= 0) result = io_uring_register_files_sparse(&ring, depth);
  if (result < 0) die("io_uring_queue_init", result);
  run(&ring, rooms, depth);
  int rounds = atoi(argv[2]);
  struct stopwatch since = start();
  for (int i = 0; i < rounds; i++) run(&ring, rooms, depth);
  report(count * rounds, since);
  return 0;
}
