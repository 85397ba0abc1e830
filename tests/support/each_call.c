/* Makes each call that a recording knows once, by the system call itself, in the directory it is started in. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static long must(const char *what, long result) {
  if (result < 0) {
    perror(what);
    exit(1);
  }
  return result;
}
#define MUST(call) must(#call, (long)(call))

int main(void) {
  struct iovec parts[2] = {{"one", 3}, {"two", 3}};
  char bytes[64];

  int here = MUST(open(".", O_RDONLY | O_DIRECTORY));
  int a = MUST(syscall(SYS_openat, AT_FDCWD, "a", O_CREAT | O_RDWR | O_CLOEXEC, 0644));
  struct open_how how = {.flags = O_CREAT | O_WRONLY, .mode = 0600};
  int b = MUST(syscall(SYS_openat2, here, "b", &how, sizeof how));
  int t = MUST(open(".", O_TMPFILE | O_RDWR, 0600));

  MUST(write(a, "write", 5));
  MUST(pwrite(a, "pwrite", 6, 5));
  MUST(writev(a, parts, 2));
  MUST(pwritev(a, parts, 2, 20));
  MUST(pwritev2(a, parts, 2, 30, RWF_DSYNC));
  MUST(write(t, "unnamed", 7));
  int copy = MUST(dup(a));
  MUST(write(copy, "copy", 4));
  close(copy);

  MUST(ftruncate(a, 40));
  MUST(truncate("b", 4));
  MUST(fallocate(a, 0, 0, 100));
  MUST(fsync(a));
  MUST(fdatasync(a));
  MUST(sync_file_range(a, 0, 0, SYNC_FILE_RANGE_WRITE));
  MUST(syncfs(here));
  MUST(fsync(here));

  MUST(flock(a, LOCK_EX | LOCK_NB));
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 1, .l_len = 2};
  MUST(fcntl(a, F_SETLK, &lock));
  MUST(fcntl(b, F_OFD_SETLK, &lock));
  char *mapped = mmap(NULL, 100, PROT_READ | PROT_WRITE, MAP_SHARED, a, 0);
  if (mapped == MAP_FAILED) return 1;

  MUST(mkdirat(here, "d", 0755));
  int d = MUST(open("d", O_RDONLY | O_DIRECTORY));
  MUST(renameat(here, "b", d, "c"));
  MUST(syscall(SYS_renameat2, AT_FDCWD, "a", AT_FDCWD, "d/c", RENAME_EXCHANGE));
  MUST(linkat(here, "a", d, "e", 0));
  snprintf(bytes, sizeof bytes, "/proc/self/fd/%d", t);
  MUST(linkat(AT_FDCWD, bytes, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
  MUST(symlinkat("e", d, "s"));
  MUST(write(open("d/s", O_WRONLY), "through", 7));
  MUST(chmod("a", 0600));
  MUST(fchmodat(d, "e", 0640, 0));
  MUST(fchown(a, -1, -1));
  MUST(utimensat(AT_FDCWD, "a", NULL, 0));

  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "sock"};
  int server = MUST(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  MUST(bind(server, (struct sockaddr *)&address, sizeof address));
  MUST(listen(server, 5));
  int client = MUST(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  MUST(connect(client, (struct sockaddr *)&address, sizeof address));
  int taken = MUST(accept4(server, NULL, NULL, SOCK_CLOEXEC));
  MUST(send(client, "ask", 3, 0));
  MUST(recv(taken, bytes, sizeof bytes, 0));
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
  MUST(sendmsg(taken, &message, 0));
  MUST(read(client, bytes, sizeof bytes));
  MUST(write(taken, "w", 1));
  close(taken);

  pid_t child = MUST(vfork());
  if (child == 0) {
    execl("/bin/sh", "sh", "-c", "echo shell > shell", NULL);
    _exit(127);
  }
  waitpid(child, NULL, 0);

  MUST(unlinkat(d, "s", 0));
  MUST(unlink("d/c"));
  MUST(unlink("d/e"));
  MUST(unlinkat(AT_FDCWD, "d", AT_REMOVEDIR));
  errno = 0;
  if (mkdir("a", 0755) == 0 || errno != EEXIST) return 1;
  close(a);
  return 0;
}
