/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * flock(2) and open file description locks (fcntl(2), F_OFD_SETLK). Both belong to the open file description, so both
 * end when the region closes its descriptor, and neither is dropped by an unrelated close() in the same process, as
 * the older POSIX locks are.
 */
#include "os/file_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/file.h>
#include <unistd.h>

#include "mmapguard.h"
#include "os/clock.h"

/* Between two attempts: at first short, for locks held for a moment, then long enough to cost nothing. */
#define MIN_PAUSE_NS INT64_C(500000)
#define MAX_PAUSE_NS INT64_C(20000000)

static int
ofd_set(int fd, short type)
{
    struct flock whole_file = {.l_type = type, .l_whence = SEEK_SET};
    int result;

    do
        result = fcntl(fd, F_OFD_SETLK, &whole_file);
    while (result != 0 && errno == EINTR);
    return result;
}

int
mmgi_lock_try(int fd, uint32_t kind)
{
    int result;

    if (kind == MMG_LOCK_OFD) {
        result = ofd_set(fd, F_RDLCK);
    } else {
        do /* LOCK_NB does not sleep, but network file systems may be interrupted all the same */
            result = flock(fd, LOCK_SH | LOCK_NB);
        while (result != 0 && errno == EINTR);
    }
    /* Linux says EAGAIN to a conflict, in both calls. The EACCES that POSIX allows is what NFS says to a server's refusal. */
    return result == 0 ? 0 : errno;
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
        /* Neither kind of lock has a wait with a time limit, and an alarm would touch the application's signals. */
        mmgi_clock_sleep_ns(pause < left ? pause : left); /* cut short by a signal, the lock is tried earlier */
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

/* Returns a file in memory to ask about, or -1. */
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
    /* The file is open for writing, by this descriptor: the refusal of a kernel that has leases says so. */
    bool known = fcntl(fd, F_SETLEASE, F_RDLCK) == 0 || errno == EAGAIN;
    close(fd);
    return known;
}
