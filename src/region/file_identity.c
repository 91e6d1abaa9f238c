/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Whether what was read from a file in pieces is what it held at one moment.
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
    return a->size == b->size && to_ns(a->modified) == to_ns(b->modified) && to_ns(a->changed) == to_ns(b->changed);
}

/*
 * Returns how coarse the times of a file may be. No call tells it, but the times themselves do: they are multiples of the
 * unit in which the file system keeps them (1 s with 128-byte inodes of ext4, 2 s on vfat, 10 ms on exfat, 100 ns on NTFS).
 * A fine time that happens to be such a multiple costs a comparison, and nothing else.
 */
static int64_t
granularity_of(const struct file_status *status)
{
    static const int64_t units[] = {SECOND_NS, SECOND_NS / 10, SECOND_NS / 100, SECOND_NS / 1000};
    const int64_t changed = status->changed.nanoseconds; /* programs can set the other time, but not this one */

    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (changed % units[i] == 0)
            return i == 0 ? 2 * SECOND_NS : units[i];
    return 0;
}

/* Returns true when a change of the file in the meantime would show in its times. */
static bool
do_times_tell(const struct source *source, const struct file_status *before)
{
    /* Another machine's clock may be behind, and a time that a program has set may be any. */
    if (source->kind != SOURCE_FILE || source->file_system.has_other_clock || source->file_system.is_memory ||
        source->file_system.has_coarse_times)
        return false;
    int64_t age = mmgi_clock_realtime_ns() - to_ns(before->changed);
    return age > TICKS_NS + granularity_of(before);
}

/*
 * A copy is one version of the file if size and times stood still while it was read. Times have a resolution, and a
 * writer within the same unit leaves no trace in them; so where times do not tell, the file is read again and compared. A
 * write during the copy to bytes that were already copied makes the two differ; a write to bytes not yet copied is simply
 * part of the version.
 *
 * Stores through another process's writable mapping are stamped once per page write-back (mmap(2)), hence not seen by
 * times alone until the kernel cleans the page; nothing short of a lease keeps such a writer out.
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
