// Runs a command for which the kernel refuses io_uring's system calls, as containers and old kernels do.
// Usage: seccomp-run <errno> <calls> <command> [arguments]
//   errno   ENOSYS, EPERM, ENOMEM, EACCES, EINVAL, or a number
//   calls   setup, enter, register; several with commas: setup,register
// Exit code: the command's own; 125 for wrong usage, 126 when seccomp is not available, 127 when the command can't be run.

#define _GNU_SOURCE
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#if defined(__x86_64__)
#define NATIVE_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE_ARCH AUDIT_ARCH_AARCH64
#else
#error "add the AUDIT_ARCH of this CPU"
#endif

// The same numbers on every CPU.
static const struct {
  const char *name;
  unsigned nr;
} calls[] = {{"setup", 425}, {"enter", 426}, {"register", 427}};

static const struct {
  const char *name;
  int value;
} errnos[] = {{"ENOSYS", ENOSYS}, {"EPERM", EPERM}, {"ENOMEM", ENOMEM}, {"EACCES", EACCES}, {"EINVAL", EINVAL}};

static struct sock_filter filter[16];
static unsigned short filter_length;

static void emit(unsigned short code, unsigned char if_true, unsigned char if_false, unsigned value) {
  filter[filter_length++] = (struct sock_filter){code, if_true, if_false, value};
}

static int usage(void) {
  fprintf(stderr, "usage: seccomp-run <errno> <setup,enter,register> <command> [arguments]\n");
  return 125;
}

static int parse_errno(const char *text) {
  for (size_t i = 0; i < sizeof errnos / sizeof *errnos; i++)
    if (!strcmp(text, errnos[i].name)) return errnos[i].value;
  return atoi(text);
}

int main(int argc, char **argv) {
  if (argc < 4) return usage();
  int error = parse_errno(argv[1]);
  if (error <= 0 || error > 4095) return usage();

  // System call numbers mean something else under another architecture's calling convention: end whoever tries that.
  emit(BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, arch));
  emit(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, NATIVE_ARCH);
  emit(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_KILL_PROCESS);
  emit(BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr));
  for (char *name = strtok(argv[2], ","); name; name = strtok(NULL, ",")) {
    size_t i = 0;
    while (i < sizeof calls / sizeof *calls && strcmp(name, calls[i].name)) i++;
    if (i == sizeof calls / sizeof *calls || filter_length > 10) return usage();
    emit(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, calls[i].nr);
    emit(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | (unsigned)error);
  }
  emit(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW);

  struct sock_fprog program = {filter_length, filter};
  // Without this an unprivileged process may not filter itself.
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
    perror("seccomp-run: seccomp");
    return 126;
  }
  execvp(argv[3], argv + 3);
  perror("seccomp-run: exec");
  return 127;
}
