// A file system that misbehaves on demand: slow, failing or short reads, writes and syncs. Speaks to /dev/fuse without libfuse.
// Usage: badfs <mountpoint> <bytes>          (needs root)
//   It makes the directory, mounts itself with one file "f" of that many bytes 0x55, prints "ready" and serves until it is
//   unmounted or gets SIGTERM. It also ends with its parent.
//   <mountpoint>.ctl is read anew at each request and holds words `name=number`:
//     rdelay, wdelay   milliseconds that each read, write takes         rerr, werr       errno they fail with
//     rshort, wshort   most bytes one read, write moves                 fsyncerr         errno fsync fails with
//     sdelay           milliseconds that each lookup and fsync takes    flusherr         errno close fails with
//     direct           1: opens bypass the page cache
// A loop device on top of the file makes a slow or failing block device.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { MAX_WRITE = 1 << 20, ROOT_NODE = FUSE_ROOT_ID, FILE_NODE = 2 };

static int device;
static char *content;
static size_t content_bytes;
static const char *mountpoint;
static char control_path[4096];

struct faults {
  int rdelay, wdelay, sdelay, rerr, werr, fsyncerr, flusherr, rshort, wshort, direct;
};

// One request, handled by a thread of its own, so that slow ones do not hold up the others.
struct request {
  struct fuse_in_header header;
  char body[];
};

static struct faults read_faults(void) {
  struct faults f = {0};
  const struct {
    const char *name;
    int *value;
  } words[] = {{"rdelay", &f.rdelay}, {"wdelay", &f.wdelay}, {"sdelay", &f.sdelay},
               {"rerr", &f.rerr},     {"werr", &f.werr},     {"fsyncerr", &f.fsyncerr},
               {"rshort", &f.rshort}, {"wshort", &f.wshort}, {"direct", &f.direct},
               {"flusherr", &f.flusherr}};
  FILE *file = fopen(control_path, "re");
  if (!file) return f;
  char name[32];
  int value;
  while (fscanf(file, " %31[^= ]=%d", name, &value) == 2)
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
      if (!strcmp(name, words[i].name)) *words[i].value = value;
  fclose(file);
  return f;
}

static void wait_ms(int ms) {
  struct timespec time = {ms / 1000, ms % 1000 * 1000000L};
  while (ms > 0 && nanosleep(&time, &time) && errno == EINTR) {
  }
}

static void reply(const struct request *request, int error, const void *data, size_t bytes) {
  if (error) bytes = 0;
  struct fuse_out_header out = {
      .len = (uint32_t)(sizeof out + bytes), .error = -error, .unique = request->header.unique};
  struct iovec parts[] = {{&out, sizeof out}, {(void *)data, bytes}};
  // Fails with ENOENT when the request was interrupted meanwhile: nobody waits for the answer.
  ssize_t ignored = writev(device, parts, 2);
  (void)ignored;
}

static struct fuse_attr attributes(uint64_t node) {
  return (struct fuse_attr){.ino = node,
                            .mode = node == ROOT_NODE ? S_IFDIR | 0755 : S_IFREG | 0666,
                            .nlink = 1,
                            .size = node == ROOT_NODE ? 0 : content_bytes,
                            .blksize = 4096};
}

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

// How many of the wanted bytes lie inside the file and are not held back.
static size_t granted(uint64_t offset, size_t wanted, int most) {
  size_t n = offset < content_bytes ? smaller(wanted, content_bytes - offset) : 0;
  return most > 0 ? smaller(n, (size_t)most) : n;
}

static void serve_init(const struct request *request) {
  const struct fuse_init_in *in = (const void *)request->body;
  struct fuse_init_out out = {.major = FUSE_KERNEL_VERSION,
                              .minor = 31,
                              .max_readahead = in->max_readahead,
                              .max_write = MAX_WRITE,
                              .max_background = 64,
                              .congestion_threshold = 48,
                              .flags = FUSE_BIG_WRITES | FUSE_ASYNC_READ | FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS};
  reply(request, 0, &out, sizeof out);
}

static void serve_lookup(const struct request *request, struct faults faults) {
  struct fuse_entry_out out = {.nodeid = FILE_NODE, .attr = attributes(FILE_NODE)};
  wait_ms(faults.sdelay);
  reply(request, strcmp(request->body, "f") ? ENOENT : 0, &out, sizeof out);
}

static void serve_read(const struct request *request, struct faults faults) {
  const struct fuse_read_in *in = (const void *)request->body;
  wait_ms(faults.rdelay);
  size_t n = granted(in->offset, in->size, faults.rshort);
  reply(request, faults.rerr, content + (n ? in->offset : 0), n);
}

static void serve_write(const struct request *request, struct faults faults) {
  const struct fuse_write_in *in = (const void *)request->body;
  wait_ms(faults.wdelay);
  struct fuse_write_out out = {.size = (uint32_t)granted(in->offset, in->size, faults.wshort)};
  if (!faults.werr && out.size) memcpy(content + in->offset, in + 1, out.size);
  reply(request, faults.werr, &out, sizeof out);
}

static void serve(const struct request *request) {
  struct faults faults = read_faults();
  struct fuse_attr_out attr = {.attr = attributes(request->header.nodeid)};
  struct fuse_open_out opened = {.open_flags = faults.direct ? FOPEN_DIRECT_IO : 0};
  struct fuse_statfs_out statfs = {0};
  switch (request->header.opcode) {
    case FUSE_INIT: return serve_init(request);
    case FUSE_LOOKUP: return serve_lookup(request, faults);
    case FUSE_READ: return serve_read(request, faults);
    case FUSE_WRITE: return serve_write(request, faults);
    case FUSE_GETATTR:
    case FUSE_SETATTR: return reply(request, 0, &attr, sizeof attr);
    case FUSE_OPEN:
    case FUSE_OPENDIR: return reply(request, 0, &opened, sizeof opened);
    case FUSE_STATFS: return reply(request, 0, &statfs, sizeof statfs);
    case FUSE_FSYNC: wait_ms(faults.sdelay); return reply(request, faults.fsyncerr, NULL, 0);
    case FUSE_FLUSH: return reply(request, faults.flusherr, NULL, 0);
    case FUSE_RELEASE:
    case FUSE_RELEASEDIR: return reply(request, 0, NULL, 0);
    // These want no answer.
    case FUSE_INTERRUPT:
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET: return;
    default: return reply(request, ENOSYS, NULL, 0);
  }
}

static void *serve_thread(void *request) {
  serve(request);
  free(request);
  return NULL;
}

static void unmount_and_exit(int signal) {
  (void)signal;
  umount2(mountpoint, MNT_DETACH);
  _exit(0);
}

int main(int argc, char **argv) {
  if (argc != 3 || (content_bytes = strtoull(argv[2], NULL, 10)) == 0) {
    fprintf(stderr, "usage: badfs <mountpoint> <bytes>\n");
    return 125;
  }
  mountpoint = argv[1];
  snprintf(control_path, sizeof control_path, "%s.ctl", mountpoint);
  content = malloc(content_bytes);
  if (!content) return perror("badfs: malloc"), 1;
  memset(content, 0x55, content_bytes);

  device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (device < 0) return perror("badfs: /dev/fuse"), 1;
  mkdir(mountpoint, 0755);
  char options[64];
  snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0", device);
  if (mount("badfs", mountpoint, "fuse", MS_NOSUID | MS_NODEV, options)) return perror("badfs: mount"), 1;
  signal(SIGTERM, unmount_and_exit);
  signal(SIGINT, unmount_and_exit);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  puts("ready");
  fflush(stdout);

  const size_t request_bytes = MAX_WRITE + 4096;
  pthread_attr_t detached;
  pthread_attr_init(&detached);
  pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
  for (;;) {
    struct request *request = malloc(request_bytes);
    if (!request) return perror("badfs: malloc"), 1;
    if (read(device, request, request_bytes) < 0) {
      free(request);
      if (errno == ENODEV) return 0; // unmounted
      if (errno == EINTR || errno == ENOENT || errno == EAGAIN) continue;
      return perror("badfs: read"), 1;
    }
    pthread_t thread;
    if (pthread_create(&thread, &detached, serve_thread, request)) serve_thread(request);
  }
}
