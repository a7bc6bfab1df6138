/* Preloaded into a master or a database server: makes its disk slow, full or broken, and its clock wrong.
 *
 * What to do stands in a file that CHAOS_CONTROL names; whoever runs the story maps the same file and writes to it, so
 * that a fault begins and ends at once. All zeros: nothing is meddled with. Standard output and error stay as they are,
 * as do sockets and pipes.
 *
 * A sync that neither is to be slow nor to fail is answered at once, without the disk: processes are killed here, machines
 * are not, so what was written is there; and how long a disk takes that others use too is not what stories ask.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct control {
    int64_t sync_delay_us;   /* every fsync and fdatasync takes that much longer */
    int64_t sync_errno;      /* they fail with this */
    int64_t is_full;         /* what would make a file longer fails with ENOSPC; overwriting goes on, as on a real disk */
    int64_t clock_offset_ns; /* the wall clock reads that much more; steady clocks stay right */
    int64_t delayed;         /* counted here, so that a story knows that its fault was felt */
    int64_t failed;
};

static volatile struct control *control;

__attribute__((constructor)) static void map_control(void)
{
    const char *path = getenv("CHAOS_CONTROL");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped != MAP_FAILED)
        control = mapped;
    close(fd);
}

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) \
        real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static int fail(int number)
{
    __atomic_add_fetch((int64_t *)&control->failed, 1, __ATOMIC_RELAXED);
    errno = number;
    return -1;
}

static int sync_or_fail(void)
{
    if (control && control->sync_delay_us) {
        int64_t us = control->sync_delay_us;
        struct timespec pause = {us / 1000000, us % 1000000 * 1000};
        __atomic_add_fetch((int64_t *)&control->delayed, 1, __ATOMIC_RELAXED);
        nanosleep(&pause, NULL);
    }
    if (control && control->sync_errno)
        return fail((int)control->sync_errno);
    return 0;
}

int fsync(int fd) { (void)fd; return sync_or_fail(); }
int fdatasync(int fd) { (void)fd; return sync_or_fail(); }

static int no_room(int fd, off_t end)
{
    struct stat found;
    return control && control->is_full && fd > 2 && fstat(fd, &found) == 0 && S_ISREG(found.st_mode) &&
           end > found.st_size;
}

static off_t behind(int fd, size_t count)
{
    off_t at = lseek(fd, 0, fcntl(fd, F_GETFL) & O_APPEND ? SEEK_END : SEEK_CUR);
    return at + (off_t)count;
}

static size_t total(const struct iovec *parts, int count)
{
    size_t sum = 0;
    for (int at = 0; at < count; at++)
        sum += parts[at].iov_len;
    return sum;
}

ssize_t write(int fd, const void *bytes, size_t count)
{
    REAL(write);
    if (control && control->is_full && fd > 2 && no_room(fd, behind(fd, count)))
        return fail(ENOSPC);
    return real(fd, bytes, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at)
{
    REAL(pwrite);
    return no_room(fd, at + (off_t)count) ? fail(ENOSPC) : real(fd, bytes, count, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at)
{
    REAL(pwrite64);
    return no_room(fd, at + (off64_t)count) ? fail(ENOSPC) : real(fd, bytes, count, at);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at)
{
    REAL(pwritev);
    return no_room(fd, at + (off_t)total(parts, count)) ? fail(ENOSPC) : real(fd, parts, count, at);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at)
{
    REAL(pwritev64);
    return no_room(fd, at + (off64_t)total(parts, count)) ? fail(ENOSPC) : real(fd, parts, count, at);
}

int posix_fallocate(int fd, off_t at, off_t count)
{
    REAL(posix_fallocate);
    if (!no_room(fd, at + count))
        return real(fd, at, count);
    fail(ENOSPC);
    return ENOSPC;
}

int posix_fallocate64(int fd, off64_t at, off64_t count)
{
    REAL(posix_fallocate64);
    if (!no_room(fd, at + count))
        return real(fd, at, count);
    fail(ENOSPC);
    return ENOSPC;
}

static void shift(struct timespec *now)
{
    if (!control || !control->clock_offset_ns)
        return;
    int64_t ns = now->tv_nsec + control->clock_offset_ns;
    int64_t whole = ns / 1000000000 - (ns % 1000000000 < 0);
    now->tv_sec += whole;
    now->tv_nsec = ns - whole * 1000000000;
}

int clock_gettime(clockid_t which, struct timespec *now)
{
    REAL(clock_gettime);
    int answer = real(which, now);
    if (answer == 0 && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE))
        shift(now);
    return answer;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    (void)zone;
    struct timespec precise;
    if (clock_gettime(CLOCK_REALTIME, &precise) != 0)
        return -1;
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *into)
{
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (into)
        *into = precise.tv_sec;
    return precise.tv_sec;
}
