// NOPs through liburing, in batches: what bench/nop.ts holds Ring against. Usage: nop <operations> <batch> <setup flags>
#include <liburing.h>
#include "peer.h"

static long long run(struct io_uring *ring, long long ops, unsigned batch) {
  long long done = 0;
  unsigned long long sum = 0;
  while (done < ops) {
    for (unsigned i = 0; i < batch; i++) {
      struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
      io_uring_prep_nop(sqe);
      io_uring_sqe_set_data64(sqe, i);
    }
    int result = io_uring_submit_and_wait(ring, batch);
    if (result < 0) die("io_uring_submit_and_wait", result);
    struct io_uring_cqe *cqe;
    unsigned head, seen = 0;
    io_uring_for_each_cqe(ring, head, cqe) {
      if (cqe->res < 0) die("nop", cqe->res);
      sum += cqe->user_data;
      seen++;
    }
    io_uring_cq_advance(ring, seen);
    done += seen;
  }
  if (sum != (unsigned long long)(done / batch) * batch * (batch - 1) / 2) die("checksum", (int)sum);
  return done;
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  long long ops = atoll(argv[1]);
  unsigned batch = (unsigned)atoi(argv[2]);
  struct io_uring ring;
  int result = io_uring_queue_init(batch, &ring, (unsigned)strtoul(argv[3], NULL, 0));
  if (result < 0) die("io_uring_queue_init", result);
  run(&ring, ops / 10, batch);
  struct stopwatch since = start();
  report(run(&ring, ops, batch), since);
  return 0;
}
