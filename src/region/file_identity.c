/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Whether what was read from a file in pieces is what it held at one moment.
 */
#include "region/file_identity.h"

#include <stdint.h>
#include <time.h>

#include "os/file_io.h"

/* Two ticks of the slowest kernel clock (CONFIG_HZ=100), the resolution of file times before Linux 6.13. */
#define RECENT_NS INT64_C(20000000)
static int64_t
to_ns(struct timespec t)
{
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static bool
same_version(const struct stat *a, const struct stat *b)
{
    return a->st_size == b->st_size && to_ns(a->st_mtim) == to_ns(b->st_mtim) && to_ns(a->st_ctim) == to_ns(b->st_ctim);
}

/*
 * A copy is one version of the file if size and times stood still while it was read. Times have a resolution, and a
 * writer within the same tick leaves no trace in them; so where the last change is that recent, the file is read
 * again and compared. A write during the copy to bytes that were already copied makes the two differ; a write to
 * bytes not yet copied is simply part of the version.
 *
 * Stores through another process's writable mapping are stamped once per page write-back (mmap(2)), hence not seen by
 * times alone until the kernel cleans the page; nothing short of a lease keeps such a writer out.
 */
bool
mmgi_copy_is_one_version(struct source *source, uint64_t offset, const void *copy, size_t size)
{
    const struct stat before = source->status;
    struct timespec now;

    if (mmgi_source_refresh(source) != MMG_OK || !same_version(&before, &source->status))
        return false;
    clock_gettime(CLOCK_REALTIME, &now);
    if (source->kind == SOURCE_FILE && to_ns(now) - to_ns(before.st_ctim) > RECENT_NS)
        return true;
    return mmgi_file_equals(source->fd, offset, copy, size);
}
