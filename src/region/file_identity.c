/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Whether what was read from a file in pieces is what it held at one moment.
 */
#include "region/file_identity.h"

#include <stdint.h>

#include "os/clock.h"
#include "os/file_io.h"

/* Two ticks of the slowest kernel clock (CONFIG_HZ=100), the resolution of file times before Linux 6.13. */
#define RECENT_NS INT64_C(20000000)

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
 * A copy is one version of the file if size and times stood still while it was read. Times have a resolution, and a
 * writer within the same tick leaves no trace in them; so when the last change is that recent, the file is read
 * again and compared. A write during the copy to bytes that were already copied makes the two differ; a write to
 * bytes not yet copied is simply part of the version.
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
    if (source->kind == SOURCE_FILE && mmgi_clock_realtime_ns() - to_ns(before.changed) > RECENT_NS)
        return true;
    return copy->bytes != NULL ? mmgi_file_equals(source->fd, offset, copy->bytes, size)
                               : mmgi_files_equal(source->fd, copy->fd, offset, size);
}
