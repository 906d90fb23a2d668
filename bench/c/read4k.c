// Random 4 KiB reads through liburing with a fixed number in flight: what bench/read4k.ts holds ring.read against.
// Usage: read4k <file> <operations> <in flight> <setup flags> <direct: 0 or 1>
#define _GNU_SOURCE
#include <fcntl.h>
#include <liburing.h>
#include <sys/stat.h>
#include "peer.h"

enum { BLOCK = 4096 };
static unsigned state = 1;

static void queue(struct io_uring *ring, int fd, char *buffers, unsigned slot, unsigned blocks) {
  state = state * 1664525u + 1013904223u;
  unsigned block = (unsigned)(((unsigned long long)state * blocks) >> 32);
  struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
  io_uring_prep_read(sqe, fd, buffers + (size_t)slot * BLOCK, BLOCK, (unsigned long long)block * BLOCK);
  io_uring_sqe_set_data64(sqe, slot);
}

static void run(struct io_uring *ring, int fd, char *buffers, unsigned blocks, long long ops, unsigned depth) {
  long long begun = 0, done = 0;
  for (unsigned slot = 0; slot < depth && begun < ops; slot++, begun++) queue(ring, fd, buffers, slot, blocks);
  while (done < ops) {
    int result = io_uring_submit_and_wait(ring, 1);
    if (result < 0) die("io_uring_submit_and_wait", result);
    struct io_uring_cqe *cqe;
    unsigned head, seen = 0;
    io_uring_for_each_cqe(ring, head, cqe) {
      if (cqe->res != BLOCK) die("read", cqe->res);
      if (begun < ops) {
        queue(ring, fd, buffers, (unsigned)cqe->user_data, blocks);
        begun++;
      }
      seen++;
    }
    io_uring_cq_advance(ring, seen);
    done += seen;
  }
}

int main(int argc, char **argv) {
  if (argc != 6) return 2;
  long long ops = atoll(argv[2]);
  unsigned depth = (unsigned)atoi(argv[3]);
  int fd = open(argv[1], O_RDONLY | (atoi(argv[5]) ? O_DIRECT : 0));
  struct stat info;
  if (fd < 0 || fstat(fd, &info) < 0) die("open", fd);
  char *buffers;
  if (posix_memalign((void **)&buffers, BLOCK, (size_t)depth * BLOCK)) die("posix_memalign", 0);
  struct io_uring ring;
  int result = io_uring_queue_init(depth, &ring, (unsigned)strtoul(argv[4], NULL, 0));
  if (result < 0) die("io_uring_queue_init", result);
  unsigned blocks = (unsigned)(info.st_size / BLOCK);
  run(&ring, fd, buffers, blocks, ops / 10, depth);
  struct stopwatch since = start();
  run(&ring, fd, buffers, blocks, ops, depth);
  report(ops, since);
  return 0;
}
