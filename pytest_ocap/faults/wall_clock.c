/* A wall clock that can be moved while a program runs, for programs that are linked dynamically with the GNU C library.
 *
 * Preloaded (LD_PRELOAD).  The file that OCAP_WALL_CLOCK names holds one 64-bit number, the nanoseconds by which the
 * wall clock is wrong; it is mapped once, before the program begins, so that a program which confines itself later, or
 * forks, still sees it move.  Everything that reads the wall clock is given the wrong time, everything that waits until
 * a time on it is given the right one back, and no other clock is touched.  Waits that are under way are not ended when
 * the clock moves, as those of the system would be.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define BILLION 1000000000L
/* No machine has been up for so long: a deadline beyond is one of the wall clock, whatever clock its object has. */
#define EPOCH_SECONDS 1000000000L

static const volatile int64_t none = 0;
static const volatile int64_t *wrong = &none;

__attribute__((constructor)) static void begin(void) {
  const char *name = getenv("OCAP_WALL_CLOCK");
  int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0) return;
  void *page = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
  if (page != MAP_FAILED) wrong = page;
  close(file);
}

static struct timespec moved(struct timespec at, int64_t by) {
  at.tv_sec += by / BILLION;
  at.tv_nsec += by % BILLION;
  if (at.tv_nsec >= BILLION) at.tv_sec++, at.tv_nsec -= BILLION;
  if (at.tv_nsec < 0) at.tv_sec--, at.tv_nsec += BILLION;
  return at;
}

static int of_wall(clockid_t clock) { return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI; }

static int real_time(clockid_t clock, struct timespec *at) {
  static int (*next)(clockid_t, struct timespec *);
  if (!next) next = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  return next ? next(clock, at) : (int)syscall(SYS_clock_gettime, clock, at);
}

int clock_gettime(clockid_t clock, struct timespec *at) {
  int failed = real_time(clock, at);
  if (!failed && of_wall(clock)) *at = moved(*at, *wrong);
  return failed;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
  struct timespec now;
  (void)zone;
  if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
  at->tv_sec = now.tv_sec;
  at->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *at) {
  struct timespec now;
  if (clock_gettime(CLOCK_REALTIME_COARSE, &now)) return -1;
  if (at) *at = now.tv_sec;
  return now.tv_sec;
}

int timespec_get(struct timespec *at, int base) {
  return base == TIME_UTC && !clock_gettime(CLOCK_REALTIME, at) ? base : 0;
}

/* --- waits until a time ------------------------------------------------------------------------------------------- */

static const struct timespec *righted(const struct timespec *until, struct timespec *room) {
  if (!until || until->tv_sec < EPOCH_SECONDS) return until;
  *room = moved(*until, -*wrong);
  return room;
}

#define FORWARD(kind, name, parameters, arguments)                                     \
  kind name parameters {                                                               \
    static kind(*next) parameters;                                                     \
    struct timespec room;                                                              \
    if (!next) next = (kind(*) parameters)dlsym(RTLD_NEXT, #name);                     \
    return next arguments;                                                             \
  }

FORWARD(int, sem_timedwait, (sem_t *restrict sem, const struct timespec *restrict until), (sem, righted(until, &room)))
FORWARD(int, sem_clockwait, (sem_t *restrict sem, clockid_t clock, const struct timespec *restrict until),
        (sem, clock, righted(until, &room)))
FORWARD(int, pthread_mutex_timedlock, (pthread_mutex_t *restrict mutex, const struct timespec *restrict until),
        (mutex, righted(until, &room)))
FORWARD(int, pthread_cond_clockwait,
        (pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex, clockid_t clock,
         const struct timespec *restrict until),
        (cond, mutex, clock, righted(until, &room)))

int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until) {
  static int (*next)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
  struct timespec room;
  /* dlsym would give the form of this function that came with the first threads, where there is one. */
  if (!next) next = (int (*)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *))dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
  if (!next) next = (int (*)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *))dlsym(RTLD_NEXT, "pthread_cond_timedwait");
  return next(cond, mutex, righted(until, &room));
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *until, struct timespec *left) {
  static int (*next)(clockid_t, int, const struct timespec *, struct timespec *);
  struct timespec room;
  if (!next) next = (int (*)(clockid_t, int, const struct timespec *, struct timespec *))dlsym(RTLD_NEXT, "clock_nanosleep");
  return next(clock, flags, flags & TIMER_ABSTIME && of_wall(clock) ? righted(until, &room) : until, left);
}
