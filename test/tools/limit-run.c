// Runs a command under resource limits that bind root too.
// Usage: limit-run [nofile=<n>] [memlock=<bytes>] <command> [arguments]
//   memlock also drops CAP_IPC_LOCK, whose holders the kernel exempts from RLIMIT_MEMLOCK.
// Exit code: the command's own; 125 for wrong usage, 126 when a limit can't be set, 127 when the command can't be run.

#define _GNU_SOURCE
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static int limit(int resource, const char *value) {
  rlim_t n = strtoull(value, NULL, 10);
  return setrlimit(resource, &(struct rlimit){n, n});
}

// From the bounding set, so that exec can't give it back to root; and from the sets of an unprivileged caller's process.
static int drop_ipc_lock(void) {
  prctl(PR_CAPBSET_DROP, CAP_IPC_LOCK, 0, 0, 0);
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct sets[2];
  if (syscall(SYS_capget, &header, sets)) return -1;
  sets[0].effective &= ~(1u << CAP_IPC_LOCK);
  sets[0].permitted &= ~(1u << CAP_IPC_LOCK);
  sets[0].inheritable &= ~(1u << CAP_IPC_LOCK);
  return (int)syscall(SYS_capset, &header, sets);
}

int main(int argc, char **argv) {
  int i = 1;
  for (; i < argc && strchr(argv[i], '='); i++) {
    int failed;
    if (!strncmp(argv[i], "nofile=", 7)) failed = limit(RLIMIT_NOFILE, argv[i] + 7);
    else if (!strncmp(argv[i], "memlock=", 8)) failed = limit(RLIMIT_MEMLOCK, argv[i] + 8) || drop_ipc_lock();
    else break;
    if (failed) {
      perror(argv[i]);
      return 126;
    }
  }
  if (i >= argc) {
    fprintf(stderr, "usage: limit-run [nofile=<n>] [memlock=<bytes>] <command> [arguments]\n");
    return 125;
  }
  execvp(argv[i], argv + i);
  perror("limit-run: exec");
  return 127;
}
