// Echo and HTTP hello servers on liburing as one would write them in C for speed: multishot accept into direct descriptors,
// multishot recv into a ring of provided buffers, DEFER_TASKRUN, one submit_and_wait per turn.
// Usage: server <echo, http or http-close>. Prints its port, serves until standard input ends.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <liburing.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/mman.h>
#include "peer.h"

enum { ENTRIES = 4096, FILES = 16384, BUFFERS = 1024, BUFFER_BYTES = 16384, GROUP = 0, NONE = 0xffff };
enum { ACCEPT = 1, RECV, SEND, SHUT, CLOSE, STDIN };

static const char answer[2][128] = {
  "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\nConnection: keep-alive\r\n\r\nHello, World!",
  "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\nConnection: close\r\n\r\nHello, World!",
};

/** A connection is its direct descriptor. Echoes wait as a list of buffers, as only one send may be on its way. */
static struct connection { unsigned seen, owed; unsigned short first, last; char sending, receiving, ended, starved; } all[FILES];
static struct { unsigned short next; unsigned length; } buffer[BUFFERS];
static struct io_uring ring;
static struct io_uring_buf_ring *provided;
static char *memory, *answers;
static int isEcho, closes, listener;
static unsigned starved;

static struct io_uring_sqe *entry(void) {
  struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
  while (!sqe) {
    io_uring_submit(&ring);
    sqe = io_uring_get_sqe(&ring);
  }
  return sqe;
}

/** After the prep function: those of older liburings clear user_data. */
static void name(struct io_uring_sqe *sqe, int operation, unsigned file) {
  io_uring_sqe_set_data64(sqe, (unsigned long long)operation << 32 | file);
}

static void armAccept(void) {
  struct io_uring_sqe *sqe = entry();
  io_uring_prep_multishot_accept_direct(sqe, listener, NULL, NULL, 0);
  name(sqe, ACCEPT, 0);
}

static void armRecv(unsigned file) {
  struct io_uring_sqe *sqe = entry();
  io_uring_prep_recv_multishot(sqe, file, NULL, 0, 0);
  sqe->flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
  sqe->buf_group = GROUP;
  name(sqe, RECV, file);
  all[file].receiving = 1;
}

static void giveBack(unsigned bid) {
  io_uring_buf_ring_add(provided, memory + (size_t)bid * BUFFER_BYTES, BUFFER_BYTES, bid, BUFFERS - 1, 0);
  io_uring_buf_ring_advance(provided, 1);
  for (unsigned file = 0; starved && file < FILES; file++) {
    if (!all[file].starved) continue;
    all[file].starved = 0;
    starved--;
    armRecv(file);
  }
}

static void send_(unsigned file, const void *bytes, size_t length) {
  struct io_uring_sqe *sqe = entry();
  io_uring_prep_send(sqe, file, bytes, length, MSG_NOSIGNAL | MSG_WAITALL);
  sqe->flags |= IOSQE_FIXED_FILE;
  name(sqe, SEND, file);
  all[file].sending = 1;
}

/** The receive in flight holds the socket: it is shut down first, and closed when the receive has ended. */
static void hangUp(unsigned file) {
  struct io_uring_sqe *sqe = entry();
  if (all[file].receiving) {
    io_uring_prep_shutdown(sqe, file, SHUT_RDWR);
    sqe->flags |= IOSQE_FIXED_FILE;
    name(sqe, SHUT, file);
  } else {
    all[file].ended = 2;
    io_uring_prep_close_direct(sqe, file);
    name(sqe, CLOSE, file);
  }
}

/** Sends what waits, or closes what has ended. */
static void goOn(unsigned file) {
  struct connection *c = &all[file];
  if (c->sending) return;
  if (isEcho && c->first != NONE) {
    send_(file, memory + (size_t)c->first * BUFFER_BYTES, buffer[c->first].length);
  } else if (!isEcho && c->owed && !c->ended) {
    size_t one = strlen(answer[closes]);
    unsigned count = c->owed < 64 ? c->owed : 64;
    c->owed -= count;
    if (closes) c->ended = 1;
    send_(file, answers, one * count);
  } else if (c->ended == 1) {
    hangUp(file);
  }
}

static void onAccept(struct io_uring_cqe *cqe) {
  if (!(cqe->flags & IORING_CQE_F_MORE)) armAccept();
  if (cqe->res < 0) return;
  all[cqe->res] = (struct connection){.first = NONE, .last = NONE};
  armRecv((unsigned)cqe->res);
}

/** How many requests end in these bytes. */
static unsigned requestsIn(struct connection *c, const char *bytes, int length) {
  static const char end[] = "\r\n\r\n";
  if (!c->seen && length >= 4 && !memcmp(bytes + length - 4, end, 4) && memmem(bytes, length, end, 4) == bytes + length - 4)
    return 1;
  unsigned count = 0;
  for (int i = 0; i < length; i++) {
    c->seen = bytes[i] == end[c->seen] ? c->seen + 1 : bytes[i] == '\r';
    if (c->seen == 4) count++, c->seen = 0;
  }
  return count;
}

static void onRecv(unsigned file, struct io_uring_cqe *cqe) {
  struct connection *c = &all[file];
  unsigned bid = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
  if (!(cqe->flags & IORING_CQE_F_MORE)) c->receiving = 0;
  if (cqe->res > 0 && isEcho) {
    buffer[bid].length = (unsigned)cqe->res;
    buffer[bid].next = NONE;
    if (c->first == NONE) c->first = (unsigned short)bid;
    else buffer[c->last].next = (unsigned short)bid;
    c->last = (unsigned short)bid;
  } else if (cqe->res > 0) {
    c->owed += requestsIn(c, memory + (size_t)bid * BUFFER_BYTES, cqe->res);
    giveBack(bid);
  } else if (cqe->res == -ENOBUFS) {
    c->starved = 1;
    starved++;
  } else if (!c->ended) c->ended = 1;
  if (cqe->res > 0 && !c->receiving) armRecv(file);
  goOn(file);
}

static void onSend(unsigned file, struct io_uring_cqe *cqe) {
  struct connection *c = &all[file];
  c->sending = 0;
  if (isEcho) {
    unsigned bid = c->first;
    c->first = buffer[bid].next;
    giveBack(bid);
  }
  if (cqe->res < 0 && !c->ended) c->ended = 1;
  goOn(file);
}

static void setUp(void) {
  struct io_uring_params params = {.flags = IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SINGLE_ISSUER |
    IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE, .cq_entries = 4 * ENTRIES};
  int result = io_uring_queue_init_params(ENTRIES, &ring, &params);
  if (result < 0) die("io_uring_queue_init_params", result);
  result = io_uring_register_files_sparse(&ring, FILES);
  if (result < 0) die("io_uring_register_files_sparse", result);
  io_uring_register_ring_fd(&ring);
  provided = mmap(NULL, BUFFERS * sizeof *provided->bufs, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  struct io_uring_buf_reg reg = {.ring_addr = (unsigned long long)provided, .ring_entries = BUFFERS, .bgid = GROUP};
  result = io_uring_register_buf_ring(&ring, &reg, 0);
  if (result < 0) die("io_uring_register_buf_ring", result);
  io_uring_buf_ring_init(provided);
  memory = malloc((size_t)BUFFERS * BUFFER_BYTES);
  for (unsigned bid = 0; bid < BUFFERS; bid++) giveBack(bid);
  answers = malloc(64 * sizeof answer[0]);
  answers[0] = 0;
  for (int i = 0; i < 64; i++) strcat(answers, answer[closes]);
}

static int listenOn(void) {
  listener = socket(AF_INET, SOCK_STREAM, 0);
  int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); // accepted sockets inherit it
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof name;
  if (bind(listener, (struct sockaddr *)&name, length) < 0 || listen(listener, 4096) < 0) die("listen", errno);
  getsockname(listener, (struct sockaddr *)&name, &length);
  return ntohs(name.sin_port);
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  isEcho = !strcmp(argv[1], "echo");
  closes = !strcmp(argv[1], "http-close");
  setUp();
  printf("%d\n", listenOn());
  fflush(stdout);
  char byte;
  struct io_uring_sqe *sqe = entry();
  io_uring_prep_read(sqe, 0, &byte, 1, 0);
  name(sqe, STDIN, 0);
  armAccept();
  for (;;) {
    io_uring_submit_and_wait(&ring, 1);
    struct io_uring_cqe *cqe;
    unsigned place, seen = 0;
    io_uring_for_each_cqe(&ring, place, cqe) {
      unsigned operation = (unsigned)(cqe->user_data >> 32), file = (unsigned)cqe->user_data;
      if (operation == ACCEPT) onAccept(cqe);
      else if (operation == RECV) onRecv(file, cqe);
      else if (operation == SEND) onSend(file, cqe);
      else if (operation == STDIN) return 0;
      seen++;
    }
    io_uring_cq_advance(&ring, seen);
  }
}
