/* What a machine may do to a server, for tests: a clock that is set, and a disk that takes its time. Loaded by LD_PRELOAD.
 *
 * WARDGATE_TEST_CLOCK: a file whose first eight bytes are added to the wall clock, in nanoseconds; the monotonic clock goes on.
 * WARDGATE_TEST_SYNC_US: so much longer takes each sync of a file.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *offset_ns;
static struct timespec sync_takes;
static int (*real_gettime)(clockid_t, struct timespec *);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);

__attribute__((constructor)) static void begin(void) {
    const char *clock = getenv("WARDGATE_TEST_CLOCK"), *sync_us = getenv("WARDGATE_TEST_SYNC_US");
    real_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    if (sync_us != NULL)
        sync_takes.tv_nsec = atol(sync_us) * 1000;
    if (clock != NULL) {
        int file = open(clock, O_RDONLY | O_CLOEXEC);
        void *page = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *offset_ns, PROT_READ, MAP_SHARED, file, 0);
        if (page != MAP_FAILED)
            offset_ns = page;
        if (file >= 0)
            close(file);
    }
}

int clock_gettime(clockid_t which, struct timespec *at) {
    int failed = real_gettime(which, at);
    if (!failed && offset_ns != NULL && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) {
        int64_t moved = (int64_t)at->tv_sec * 1000000000 + at->tv_nsec + *offset_ns;
        at->tv_sec = moved / 1000000000;
        at->tv_nsec = moved % 1000000000;
    }
    return failed;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at != NULL)
        *at = now.tv_sec;
    return now.tv_sec;
}

int fsync(int file) {
    nanosleep(&sync_takes, NULL);
    return real_fsync(file);
}

int fdatasync(int file) {
    nanosleep(&sync_takes, NULL);
    return real_fdatasync(file);
}
