/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Takes locks by flock(2) and by fcntl(2) with F_OFD_SETLK. Both kinds belong to the open file description, so they end
 * when the region closes its descriptor. The older POSIX locks would not do: they end when any code of the process
 * closes any descriptor of the file.
 */
#include "os/file_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/file.h>
#include <unistd.h>

#include "mmapguard.h"
#include "os/clock.h"

/*
 * The pause between two attempts. It starts short, for locks that are held for a moment, and grows until the attempts
 * cost next to nothing.
 */
#define MIN_PAUSE_NS INT64_C(500000)
#define MAX_PAUSE_NS INT64_C(20000000)

/* Not inlined: every flock(2) would pay for the stack of this one. */
static __attribute__((noinline)) int
ofd_set(int fd, short type)
{
    struct flock whole_file = {.l_type = type, .l_whence = SEEK_SET};
    int result;

    do
        result = fcntl(fd, F_OFD_SETLK, &whole_file);
    while (result != 0 && errno == EINTR);
    return result;
}

/* Tries for a lock after a first attempt that has failed with the errno that is set. */
static __attribute__((noinline)) int
flock_again(int fd)
{
    int result = -1;

    /* With LOCK_NB the call does not sleep, but network file systems may return EINTR even then. */
    while (result != 0 && errno == EINTR)
        result = flock(fd, LOCK_SH | LOCK_NB);
    return result == 0 ? 0 : errno;
}

/* For a conflict Linux returns EAGAIN from both calls. POSIX also allows EACCES, but NFS uses that for the refusal of a
   server. */
int
mmgi_lock_try(int fd, uint32_t kind)
{
    if (kind == MMG_LOCK_OFD)
        return ofd_set(fd, F_RDLCK) == 0 ? 0 : errno;
    return flock(fd, LOCK_SH | LOCK_NB) == 0 ? 0 : flock_again(fd);
}

int
mmgi_lock_wait(int fd, uint32_t kind, uint32_t wait_ms)
{
    int64_t deadline = mmgi_clock_monotonic_ns() + (int64_t)wait_ms * 1000000;
    int64_t pause = MIN_PAUSE_NS;

    for (;;) {
        int result = mmgi_lock_try(fd, kind);
        int64_t left = wait_ms == MMG_WAIT_FOREVER ? INT64_MAX : deadline - mmgi_clock_monotonic_ns();
        if (result != EWOULDBLOCK || left <= 0)
            return result;
        /* The system calls have no wait with a time limit, and an alarm would change the signals of the program. So the
           loop tries again after a pause. */
        mmgi_clock_sleep_ns(pause < left ? pause : left); /* after a signal the loop tries earlier, which is harmless */
        if (pause < MAX_PAUSE_NS)
            pause *= 2;
    }
}

void
mmgi_lock_drop(int fd, uint32_t kind)
{
    if (kind == MMG_LOCK_OFD)
        ofd_set(fd, F_UNLCK);
    else if (kind == MMG_LOCK_SHARED)
        while (flock(fd, LOCK_UN) != 0 && errno == EINTR)
            continue;
}

bool
mmgi_lock_is_missing(int os_code)
{
    return os_code != 0 && os_code != EWOULDBLOCK;
}

/* Returns the descriptor of a file in memory, on which the functions below try a call; or -1. */
static int
file_in_memory(void)
{
    return memfd_create("mmapguard-probe", MFD_CLOEXEC);
}

bool
mmgi_lock_ofd_is_known(void)
{
    struct flock whole = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    int fd = file_in_memory();

    if (fd < 0)
        return false;
    bool known = fcntl(fd, F_OFD_SETLK, &whole) == 0;
    close(fd);
    return known;
}

bool
mmgi_lease_is_known(void)
{
    int fd = file_in_memory();

    if (fd < 0)
        return false;
    /* This descriptor has the file open for writing. A kernel that has leases refuses with EAGAIN for that reason. */
    bool known = fcntl(fd, F_SETLEASE, F_RDLCK) == 0 || errno == EAGAIN;
    close(fd);
    return known;
}
