/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Finds out whether a copy, which was read in pieces, shows what the file held at one moment.
 */
#include "region/file_identity.h"

#include <stdint.h>

#include "os/clock.h"
#include "os/file_io.h"

/* Two ticks of the slowest kernel clock (CONFIG_HZ=100), the resolution of file times before Linux 6.13. */
#define TICKS_NS INT64_C(20000000)
#define SECOND_NS INT64_C(1000000000)

static int64_t
to_ns(struct file_time time)
{
    return time.seconds * 1000000000 + time.nanoseconds;
}

static bool
same_version(const struct file_status *a, const struct file_status *b)
{
    return file_same_content(a, b) && file_time_equals(a->changed, b->changed);
}

/*
 * Returns how coarse the times of a file may be. No system call tells it, but the times do: they are multiples of the
 * unit in which the file system keeps them (1 s with 128-byte inodes of ext4, 2 s on vfat, 10 ms on exfat, 100 ns on NTFS).
 * When a fine time happens to be such a multiple, the caller makes one comparison more than needed.
 */
static int64_t
granularity_of(const struct file_status *status)
{
    const int64_t changed = status->changed
                                .nanoseconds; /* a program can set the modification time, but not this time */

    /* Unrolled, so that no division is left: the units are constants then. */
#pragma GCC unroll 4
    for (int64_t unit = SECOND_NS; unit >= SECOND_NS / 1000; unit /= 10)
        if (changed % unit == 0)
            return unit == SECOND_NS ? 2 * SECOND_NS : unit;
    return 0;
}

/* Returns true when a change of the file in the meantime would show in its times. */
static bool
do_times_tell(const struct source *source, const struct file_status *before)
{
    /* The clock of another machine may be slower than the clock of this one, so its times prove nothing. */
    if (source->kind != SOURCE_FILE || source->file_system.has_other_clock || source->file_system.is_memory ||
        source->file_system.has_coarse_times)
        return false;
    int64_t age = mmgi_clock_realtime_ns() - to_ns(before->changed);
    return age > TICKS_NS + granularity_of(before);
}

/*
 * A copy shows one version of the file if size and times did not change during the copy. File times have a resolution: a
 * second write within the same unit of time does not change them. Where the times cannot tell, this function reads the file
 * again and compares. If another process wrote to bytes that were copied already, the two differ. If it wrote to bytes that
 * were copied later, the write is part of the version.
 *
 * The kernel updates the times for stores through a shared mapping only once until it has written the page back (mmap(2)),
 * so the times alone do not show such stores. Only a lease keeps such a writer out.
 */
bool
mmgi_copy_is_one_version(struct source *source, uint64_t offset, size_t size, const struct file_copy *copy)
{
    const struct file_status before = source->status;

    if (mmgi_source_refresh(source) != MMG_OK || !same_version(&before, &source->status))
        return false;
    if (do_times_tell(source, &before))
        return true;
    return copy->bytes != NULL ? mmgi_file_equals(source->fd, offset, copy->bytes, size)
                               : mmgi_files_equal(source->fd, copy->fd, offset, size);
}
