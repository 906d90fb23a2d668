// A load generator that looks at every byte of every answer: what the net benches load their servers with.
// Usage: load <udp or tcp> <port> <connections> echo <bytes>
//        load tcp <port> <connections> http <path> <file with the body> <keep or close>
// Then for each line "<milliseconds>" on standard input: load for that long, one request at a time on each connection, and
// print a line of JSON. "burst" instead: open all connections anew at once, ask once on each, and close them.
// One thread, epoll, non-blocking sockets. Connections stay open between runs.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "peer.h"

enum { HEAD_MAX = 2048, CHUNK = 1 << 18, SHIFTS = 4096, BATCH = 512, LOST_MS = 5000, WAITING_MAX = 256 };

struct connection {
  int fd;
  char connecting, busy, writing;
  unsigned rounds;          // requests so far: each echo sends other bytes than the last
  size_t sent, got;         // of the request; of the body (or of the echo)
  size_t head;              // bytes of an answer's head so far
  long long body;           // its Content-Length; -1 before it is known
  long long since;          // when the request began
  char text[HEAD_MAX];
};

static struct sockaddr_in server;
static int poller, isUdp, isHttp, closes, running, bursting;
static unsigned connections;
static struct connection *all;
static char *request, *expected, *chunk;
static size_t requestBytes, expectedBytes;
static unsigned *latencies; // tenths of a microsecond
static size_t done, room, busy, connecting;
static long long longest;

static void fail(const char *what, long long about) {
  fprintf(stderr, "bench/c/load: %s (%lld; %s)\n", what, about, strerror(errno));
  exit(1);
}

static void begin(struct connection *c);

static void watch(struct connection *c, int operation, unsigned events) {
  struct epoll_event event = {.events = events, .data.ptr = c};
  if (epoll_ctl(poller, operation, c->fd, &event) < 0) fail("epoll_ctl", c->fd);
}

static void dial(struct connection *c) {
  int type = (isUdp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, on = 1;
  c->fd = socket(AF_INET, type, 0);
  if (c->fd < 0) fail("socket", 0);
  // Addresses of their own, or the ports of one would run out in TIME_WAIT.
  struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + (c - all) % 200)};
  setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  if (!isUdp) setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (bind(c->fd, (struct sockaddr *)&own, sizeof own) < 0) fail("bind", 0);
  int result = connect(c->fd, (struct sockaddr *)&server, sizeof server);
  if (result < 0 && errno != EINPROGRESS) fail("connect", 0);
  c->connecting = result < 0;
  connecting += c->connecting;
  c->writing = 1;
  watch(c, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
}

static void hangUp(struct connection *c) {
  close(c->fd);
  c->fd = -1;
  c->connecting = 0;
}

/** Sends what is left of the request. */
static void push(struct connection *c) {
  const char *from = isHttp ? request : expected + (c->rounds % SHIFTS);
  while (c->sent < requestBytes) {
    ssize_t bytes = send(c->fd, from + c->sent, requestBytes - c->sent, MSG_NOSIGNAL);
    if (bytes < 0 && errno == EAGAIN) break;
    if (bytes < 0) fail("send", c->sent);
    c->sent += bytes;
  }
  int more = c->sent < requestBytes;
  if (more == c->writing) return;
  c->writing = more;
  watch(c, EPOLL_CTL_MOD, more ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void begin(struct connection *c) {
  c->sent = c->got = c->head = 0;
  c->body = -1;
  c->rounds++;
  if (!c->busy) {
    c->busy = 1;
    busy++;
  }
  if (!bursting) c->since = clock_ns(CLOCK_MONOTONIC);
  if (c->fd < 0) dial(c);
  if (!c->connecting) push(c);
}

static void finish(struct connection *c) {
  long long took = clock_ns(CLOCK_MONOTONIC) - c->since;
  if (took > longest) longest = took;
  if (done == room) latencies = realloc(latencies, (room = room ? room * 2 : 1 << 16) * sizeof *latencies);
  if (!latencies) fail("realloc", room);
  latencies[done++] = took / 100 > 0xffffffffLL ? 0xffffffffu : (unsigned)(took / 100);
  c->busy = 0;
  busy--;
  if (bursting && !closes) hangUp(c);
  if (running) begin(c);
}

/** The head of an HTTP answer; returns how many of the bytes belong to it. */
static size_t head(struct connection *c, const char *bytes, size_t length) {
  size_t before = c->head, take = length < HEAD_MAX - 1 - before ? length : HEAD_MAX - 1 - before;
  memcpy(c->text + before, bytes, take);
  c->text[before + take] = 0;
  char *end = strstr(c->text, "\r\n\r\n");
  if (!end) {
    if (take < length) fail("an answer's head is too long", before + length);
    c->head += take;
    return length;
  }
  if (strncmp(c->text, "HTTP/1.1 200 ", 13)) {
    c->text[40] = 0;
    fail(c->text, 0);
  }
  end[2] = 0;
  char *field = strcasestr(c->text, "\r\ncontent-length:");
  if (!field) fail("an answer has no Content-Length", 0);
  c->body = atoll(field + 17);
  if (c->body != (long long)expectedBytes) fail("an answer has the wrong length", c->body);
  return (size_t)(end + 4 - c->text) - before;
}

static void take(struct connection *c, const char *bytes, size_t length) {
  if (!c->busy) fail("bytes came that nobody asked for", length);
  if (isHttp && c->body < 0) {
    size_t used = head(c, bytes, length);
    bytes += used;
    length -= used;
    if (c->body < 0) return;
  }
  size_t size = isHttp ? expectedBytes : requestBytes;
  const char *want = isHttp ? expected : expected + (c->rounds % SHIFTS);
  if (c->got + length > size) fail("an answer is too long", c->got + length);
  if (memcmp(bytes, want + c->got, length)) fail("an answer has wrong bytes, somewhere behind", c->got);
  c->got += length;
  if (c->got == size && !closes) finish(c);
}

static void pull(struct connection *c) {
  for (;;) {
    ssize_t bytes = recv(c->fd, chunk, CHUNK, 0);
    if (bytes < 0 && errno == EAGAIN) return;
    if (bytes < 0) fail("recv", c->got);
    if (bytes == 0) {
      if (!closes || c->got != expectedBytes || c->body < 0) fail("the server closed a connection", c->got);
      hangUp(c);
      finish(c);
      return;
    }
    take(c, chunk, bytes);
    // A full buffer says that there may be more; anything less was all.
    if (c->fd < 0 || (bytes < CHUNK && !closes)) return;
  }
}

static void on(struct connection *c, unsigned events) {
  if (c->connecting) {
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    errno = error;
    if (error) fail("connect", 0);
    if (!(events & EPOLLOUT)) return;
    c->connecting = 0;
    connecting--;
    if (c->busy) push(c);
    else watch(c, EPOLL_CTL_MOD, EPOLLIN), c->writing = 0;
    return;
  }
  if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) pull(c);
  if (c->fd >= 0 && c->busy && (events & EPOLLOUT)) push(c);
}

/** Waits once and serves what is there. */
static void turn(int milliseconds) {
  static struct epoll_event events[BATCH];
  int count = epoll_wait(poller, events, BATCH, milliseconds);
  if (count < 0 && errno != EINTR) fail("epoll_wait", 0);
  for (int i = 0; i < count; i++) on(events[i].data.ptr, events[i].events);
}

static void settle(const char *what, size_t *count) {
  for (long long start = clock_ns(CLOCK_MONOTONIC); *count > 0; turn(10))
    if (clock_ns(CLOCK_MONOTONIC) - start > LOST_MS * 1000000LL) fail(what, *count);
}

static int byValue(const void *a, const void *b) {
  unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;
  return (x > y) - (x < y);
}

/** Ends when the time is over and every answer is there; those that came after the end do not count. */
static void load(long long milliseconds) {
  struct stopwatch since = start();
  long long end = since.wall + milliseconds * 1000000;
  running = 1;
  for (unsigned i = 0; i < connections; i++) begin(&all[i]);
  while (clock_ns(CLOCK_MONOTONIC) < end) turn(10);
  running = 0;
}

/** All connections at once, timed from before the first of them. */
static void burst(void) {
  for (unsigned i = 0; i < connections; i++)
    if (all[i].fd >= 0) hangUp(&all[i]);
  bursting = 1;
  long long now = clock_ns(CLOCK_MONOTONIC);
  for (unsigned i = 0; i < connections; i++) {
    all[i].since = now;
    begin(&all[i]);
  }
  settle("answers are missing", &busy);
  bursting = 0;
}

static void run(const char *line) {
  done = 0;
  longest = 0;
  struct stopwatch since = start();
  if (!strncmp(line, "burst", 5)) burst();
  else load(atoll(line));
  struct stopwatch now = start();
  size_t requests = done;
  settle("answers are missing", &busy);
  qsort(latencies, requests, sizeof *latencies, byValue);
  double at[] = {0.5, 0.99, 0.999};
  printf("{\"requests\":%zu,\"seconds\":%.9f,\"cpuSeconds\":%.9f,\"longest\":%.4f", requests,
         (now.wall - since.wall) / 1e9, (now.cpu - since.cpu) / 1e9, longest / 1e6);
  const char *names[] = {"p50", "p99", "p999"};
  for (int i = 0; i < 3; i++) printf(",\"%s\":%.4f", names[i], requests ? latencies[(size_t)(requests * at[i])] / 1e4 : 0);
  printf("}\n");
  fflush(stdout);
}

/** Random bytes: an echo of request n is the stretch that begins at n, so no two that follow each other are alike. */
static void prepareEcho(size_t bytes) {
  requestBytes = bytes;
  expectedBytes = bytes + SHIFTS;
  expected = malloc(expectedBytes);
  unsigned state = 1;
  for (size_t i = 0; i < expectedBytes; i++) expected[i] = (char)((state = state * 1664525u + 1013904223u) >> 24);
}

static void prepareHttp(char **arguments) {
  isHttp = 1;
  closes = !strcmp(arguments[2], "close");
  if (asprintf(&request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s\r\n", arguments[0], closes ? "Connection: close\r\n" : "") < 0)
    fail("asprintf", 0);
  requestBytes = strlen(request);
  int fd = open(arguments[1], O_RDONLY);
  struct stat info;
  if (fd < 0 || fstat(fd, &info) < 0) fail("cannot open the file with the body", 0);
  expectedBytes = info.st_size;
  expected = mmap(NULL, expectedBytes, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
  if (expected == MAP_FAILED) fail("mmap", 0);
}

int main(int argc, char **argv) {
  if (argc < 6) return 2;
  isUdp = !strcmp(argv[1], "udp");
  server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(atoi(argv[2])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  connections = (unsigned)atoi(argv[3]);
  if (!strcmp(argv[4], "http") && argc == 8) prepareHttp(argv + 5);
  else prepareEcho((size_t)atoll(argv[5]));
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  poller = epoll_create1(EPOLL_CLOEXEC);
  chunk = malloc(CHUNK);
  all = calloc(connections, sizeof *all);
  for (unsigned i = 0; i < connections; i++) all[i].fd = -1;
  for (unsigned i = 0; !closes && i < connections; i++) {
    dial(&all[i]);
    while (connecting > WAITING_MAX) turn(10);
  }
  settle("connections are missing", &connecting);
  printf("{\"connections\":%u}\n", connections);
  fflush(stdout);
  char line[64];
  while (fgets(line, sizeof line, stdin)) run(line);
  return 0;
}
