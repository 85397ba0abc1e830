/* A daemon that can do nothing but live: start, stop and ping, over a Unix socket.
 *
 * It shows that a daemon without bundles, store or verbs still gets every scenario about its life.  It daemonizes in
 * the classic way (fork, setsid, fork); the lock is a flock that the system releases however its holder dies.
 *
 * Build: cc -o beacon beacon.c        Usage: beacon start|stop|ping HOME [SECONDS] [--force]
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char lock_path[4096], pid_path[4096], socket_path[4096];
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static double patience = 10;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void nap(void) { nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL); }

static int fail(int status, const char *text, const char *path, int error) {
    fprintf(stderr, "Error: %s %s%s%s\n", text, path, error ? ": " : "", error ? strerror(error) : "");
    return status;
}

/* Give a connection to the socket, or -1. */
static int reach(void) {
    int connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(connection, (struct sockaddr *)&address, sizeof address) == 0) return connection;
    int error = errno;
    close(connection);
    errno = error;
    return -1;
}

/* Ask whether the daemon is there, and wait so long for its answer. */
static int answers(double seconds) {
    char heard[5] = "";
    int connection = reach();
    if (connection < 0) return 0;
    struct pollfd ready = {.fd = connection, .events = POLLIN};
    int alive = write(connection, "ping\n", 5) == 5 && poll(&ready, 1, seconds > 0 ? (int)(seconds * 1000) : 0) == 1 &&
                read(connection, heard, 4) == 4 && strcmp(heard, "pong") == 0;
    close(connection);
    return alive;
}

/* Give the pid that the system knows for the holder of a lock, or 0: also of one that has not written its pid yet. */
static pid_t locker(ino_t wanted) {
    char line[256];
    int pid = 0;
    unsigned long inode;
    FILE *locks = fopen("/proc/locks", "re");
    while (locks != NULL && fgets(line, sizeof line, locks) != NULL)
        if (sscanf(line, "%*d: FLOCK %*s %*s %d %*x:%*x:%lu", &pid, &inode) == 2 && inode == wanted) break;
        else pid = 0;
    if (locks != NULL) fclose(locks);
    return pid > 0 ? pid : 0;
}

/* Give the pid of the process that holds the lock, or 0.  The lock is the truth; the system names its holder, and where
 * it does not, the text in the pid file. */
static pid_t holder(void) {
    struct stat found;
    int lock = open(lock_path, O_RDONLY | O_CLOEXEC);
    if (lock < 0) return 0;
    int held = flock(lock, LOCK_SH | LOCK_NB) != 0;
    int pid = held && fstat(lock, &found) == 0 ? locker(found.st_ino) : 0;
    close(lock);
    FILE *file = held && pid == 0 ? fopen(pid_path, "re") : NULL;
    if (file != NULL) {
        if (fscanf(file, "%d", &pid) != 1) pid = 0;
        fclose(file);
    }
    return pid;
}

/* Give the phase that the lock file's latest holder entered last. */
static const char *phase(void) {
    static char text[64] = "lock";
    FILE *lock = fopen(lock_path, "re");
    if (lock != NULL) {
        if (fgets(text, sizeof text, lock) == NULL) strcpy(text, "lock");
        fclose(lock);
    }
    return text;
}

static int hangs(pid_t pid) {
    fprintf(stderr, "Error: the daemon (pid %d) hangs in phase %s: no answer for %g s; %s\n", pid, phase(), patience,
            "end it with: beacon stop HOME --force");
    return 5;
}

/* Enter a phase of the start: write it into the lock file, for those who find the lock held.  Be killed or stopped
 * here when BEACON_FAILPOINT says so, as "socket=kill": that is how a start is interrupted for a test.  The pid goes into
 * the file BEACON_NOTE first: this daemon lives so shortly that nothing else could prove that it was there. */
static void enter(int lock, const char *phase) {
    if (ftruncate(lock, 0) != 0 || pwrite(lock, phase, strlen(phase), 0) < 0) _exit(1);
    const char *wish = getenv("BEACON_FAILPOINT");
    size_t length = strlen(phase);
    if (wish == NULL || strncmp(wish, phase, length) != 0 || wish[length] != '=') return;
    const char *note = getenv("BEACON_NOTE");
    int file = note == NULL ? -1 : open(note, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file >= 0 && dprintf(file, "%d\n", getpid()) < 0) _exit(1);
    raise(strcmp(wish + length + 1, "kill") == 0 ? SIGKILL : SIGSTOP);
}

static volatile sig_atomic_t ending;
static void end(int number) { (void)number, ending = 1; }

/* Be the daemon; what cannot be done is told through the pipe, and so is the end of the start. */
static int serve(int tell) {
    int lock = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0) return dprintf(tell, "the lock %s cannot be opened: %s", lock_path, strerror(errno));
    if (flock(lock, LOCK_EX | LOCK_NB) != 0) return dprintf(tell, "lost");
    char fresh[4112];
    snprintf(fresh, sizeof fresh, "%s.new", pid_path);
    int file = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0 || dprintf(file, "%d\n", getpid()) < 0 || close(file) != 0 || rename(fresh, pid_path) != 0)
        return dprintf(tell, "the pid file %s cannot be written: %s", pid_path, strerror(errno));
    enter(lock, "socket");

    struct stat found;
    if (lstat(socket_path, &found) == 0) {
        int dangling = S_ISLNK(found.st_mode) && stat(socket_path, &found) != 0;
        if (!dangling && !S_ISSOCK(found.st_mode)) {
            unlink(pid_path);
            return dprintf(tell, "%s is not a socket; move it away", socket_path);
        }
        int other = dangling ? -1 : reach();
        if (other >= 0) {
            struct ucred owner = {0};
            getsockopt(other, SOL_SOCKET, SO_PEERCRED, &owner, &(socklen_t){sizeof owner});
            unlink(pid_path);
            return dprintf(tell, "%s is served by somebody else, pid %d; stop that first", socket_path, owner.pid);
        }
        unlink(socket_path);
    }
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 16) != 0) {
        unlink(pid_path);
        return dprintf(tell, "the socket %s cannot be bound: %s", socket_path, strerror(errno));
    }
    enter(lock, "listening");
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = end}, NULL);
    enter(lock, "ready");
    dprintf(tell, "ready");
    close(tell);
    while (!ending) {
        int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (connection < 0) continue;
        char asked[5] = "";
        struct pollfd ready = {.fd = connection, .events = POLLIN};
        if (poll(&ready, 1, 1000) == 1 && read(connection, asked, 4) == 4 && strcmp(asked, "ping") == 0)
            dprintf(connection, "pong\n");
        close(connection);
    }
    /* BEACON_PACE=MILLISECONDS has it take so long over its end, so that whoever only watches finds it in the middle. */
    const char *pace = getenv("BEACON_PACE");
    if (pace != NULL) poll(NULL, 0, atoi(pace));
    unlink(socket_path);
    unlink(pid_path);
    return 0;
}

static int start(const char *home) {
    if (mkdir(home, 0700) != 0 && errno != EEXIST) return fail(6, "the home cannot be made:", home, errno);
    struct stat found;
    if (stat(home, &found) != 0 || !S_ISDIR(found.st_mode)) return fail(6, "the home is not a directory:", home, 0);
    static double deadline = 0; /* one for all attempts */
    if (deadline == 0) deadline = now() + patience;
    for (pid_t other; (other = holder()) != 0; nap()) {
        if (answers(deadline - now())) return printf("runs already (pid %d)\n", other) < 0;
        if (now() >= deadline) return hangs(other);
    }
    int told[2];
    if (pipe2(told, O_CLOEXEC) != 0) return fail(1, "no pipe for", home, errno);
    pid_t child = fork();
    if (child == 0) {
        setsid();
        if (fork() != 0) _exit(0);
        close(told[0]);
        int nothing = open("/dev/null", O_RDWR);
        for (int descriptor = 0; descriptor < 3; descriptor++) dup2(nothing, descriptor);
        if (chdir("/") != 0) _exit(1);
        signal(SIGPIPE, SIG_IGN);
        _exit(serve(told[1]) == 0 ? 0 : 1);
    }
    close(told[1]);
    waitpid(child, NULL, 0);
    char text[8192] = "";
    struct pollfd ready = {.fd = told[0], .events = POLLIN};
    if (poll(&ready, 1, deadline > now() ? (int)((deadline - now()) * 1000) : 0) == 0) return hangs(holder());
    if (read(told[0], text, sizeof text - 1) <= 0)
        return fail(4, "the daemon died while it started; start it again. It had entered the phase", phase(), 0);
    if (strcmp(text, "lost") == 0) { /* another start took the lock first: its daemon is ours too */
        if (now() >= deadline) return fail(5, "nobody knows who holds the home; look for it with fuser:", lock_path, 0);
        nap();
        return start(home);
    }
    if (strcmp(text, "ready") != 0) return fail(4, "the daemon could not start:", text, 0);
    return printf("ready (pid %d)\n", holder()) < 0;
}

static int stop(const char *home, int force) {
    pid_t pid = holder();
    if (pid == 0) return fail(3, "no daemon runs in", home, 0);
    kill(pid, SIGTERM);
    double deadline = now() + (force ? 1 : patience);
    while (holder() == pid && now() < deadline) nap();
    if (force && holder() == pid) {
        kill(pid, SIGKILL);
        while (holder() == pid) nap();
    }
    return holder() == pid ? hangs(pid) : printf("stopped (pid %d)\n", pid) < 0;
}

int main(int count, char **words) {
    if (count < 3) return fail(2, "usage: beacon start|stop|ping HOME [SECONDS] [--force]", "", 0);
    const char *home = words[2];
    int force = count > 3 && strcmp(words[count - 1], "--force") == 0;
    if (count > 3 && atof(words[3]) > 0) patience = atof(words[3]);
    snprintf(lock_path, sizeof lock_path, "%s/lock", home);
    snprintf(pid_path, sizeof pid_path, "%s/pid", home);
    snprintf(socket_path, sizeof socket_path, "%s/sock", home);
    if (strlen(socket_path) >= sizeof address.sun_path)
        return fail(6, "too long for a socket (at most 107 bytes):", socket_path, ENAMETOOLONG);
    strcpy(address.sun_path, socket_path);
    if (strcmp(words[1], "start") == 0) return start(home);
    if (strcmp(words[1], "stop") == 0) return stop(home, force);
    if (strcmp(words[1], "ping") == 0)
        return answers(patience) ? printf("pong\n") < 0 : fail(3, "no answer from", socket_path, 0);
    return fail(2, "there is no command", words[1], 0);
}
