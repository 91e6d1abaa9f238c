/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tells which bytes of a region are in memory, and advises the kernel about them.
 */
#include <errno.h>

#include "os/clock.h"
#include "os/file.h"
#include "os/file_io.h"
#include "region/region.h"
#include "guard/registry.h"
#include "base/status.h"

/* A call fails this often before the library takes the failure for one of the device: the file may have been cut during
   the call, and may have grown again. */
#define POPULATE_ATTEMPTS 16
/* The coarsest tick of the clock that file times are taken from. */
#define FILE_TIME_TICK_NS INT64_C(10000000)

static mmg_status
paging_failed(const struct region *region, int os_code)
{
    switch (os_code) {
    case EOPNOTSUPP:
    case ENOSYS:
        return MMG_E_UNSUPPORTED;
    case ENOMEM:
        return MMG_E_NO_MEMORY;
    default:
        return mmgi_region_failed(region, os_code);
    }
}

/*
 * Returns true when the file may have been cut and have grown again since its change time was `seen`, which the call
 * updates. When the times have not moved, nobody has written to the file, so its device has failed. Then the caller
 * must not try again, since each attempt may take the device seconds.
 */
static bool
may_have_grown(const struct region *region, struct file_time *seen)
{
    struct file_status now;

    if (region->is_device || mmgi_file_status(region->fd, &now) != 0)
        return false;
    bool has_moved = !file_time_equals(now.changed, *seen);
    *seen = now.changed;
    /* Two changes in the same tick have the same time. */
    int64_t changed_ns = now.changed.seconds * INT64_C(1000000000) + now.changed.nanoseconds;
    int64_t age = mmgi_clock_realtime_ns() - changed_ns;
    return has_moved || (age >= 0 && age < 2 * FILE_TIME_TICK_NS);
}

/* Reads a range into memory. Returns the status of a loss in the range, whether the loss is old or new. Pages that were
   lost before stay zeros. */
static mmg_status
populate(const struct region *region, uint64_t offset, uint64_t length)
{
    struct file_time seen = region->identity.changed;

    for (int i = 0; i < POPULATE_ATTEMPTS; i++) {
        int os_code = mmgi_map_advise(&region->mapping, region->data + offset, (size_t)length, MMG_ADVICE_POPULATE);
        if (os_code != 0 && os_code != EFAULT)
            return paging_failed(region, os_code);
        mmg_status status = mmgi_region_look(region);
        if (status == MMG_OK)
            status = registry_loss_within(region->number, offset, length);
        if (status != MMG_OK || os_code == 0)
            return status;
        /* madvise(2), MADV_POPULATE_READ: it fails with EFAULT where a touch would raise SIGBUS. If no bytes are
           missing now, either the device failed, or the file was cut during the call and has grown again. In the second
           case the next attempt succeeds. */
        if (!may_have_grown(region, &seen))
            break;
    }
    return MMG_E_IO;
}

/* Drops the pages of a range from this process, and then from the page cache, where a page that is mapped stays. */
static mmg_status
evict(const struct region *region, uint64_t offset, uint64_t length)
{
    const uint32_t means = region_promise(region).means;
    struct file_status status;

    if (means == MMG_MEANS_REFLINK || means == MMG_MEANS_SNAPSHOT)
        return MMG_OK; /* the descriptor names the original, whose pages the region does not show */
    int os_code = mmgi_file_status_if(region->fd, region->identity.device, region->identity.inode, &status);
    if (os_code == 0)
        os_code = mmgi_map_advise(&region->mapping, region->data + offset, (size_t)length, MMG_ADVICE_DONTNEED);
    if (os_code == 0 || os_code == EINVAL) /* madvise(2) fails with EINVAL for locked pages, which are to stay */
        os_code = mmgi_file_evict(region->fd, region->offset + offset, length);
    return os_code == 0 ? MMG_OK : paging_failed(region, os_code);
}

mmg_status
mmgi_region_advise(const struct region *region, uint64_t offset, uint64_t length, uint32_t advice)
{
    if (region->mapping.base == NULL || length == 0)
        return MMG_OK;
    if (advice == MMG_ADVICE_POPULATE)
        return populate(region, offset, length);
    const bool drops = advice == MMG_ADVICE_DONTNEED || advice == MMG_ADVICE_EVICT;
    /* This would drop what the owner of a private mapping has written to its pages. */
    if (drops && region->mapping.is_adopted && region->mapping.is_private)
        return MMG_OK;
    /* When a lease breaks, memory may take the place of the file. Dropping its pages would turn them into zeros. */
    if (drops && region->keeper != NULL)
        return MMG_OK;
    if (advice == MMG_ADVICE_EVICT)
        return evict(region, offset, length);
    int os_code = mmgi_map_advise(&region->mapping, region->data + offset, (size_t)length, advice);
    return os_code == 0 ? MMG_OK : paging_failed(region, os_code);
}

mmg_status
mmgi_region_resident(const struct region *region, uint64_t offset, uint64_t length, uint64_t *bytes)
{
    uint64_t resident = length;
    int os_code = 0;

    if (region->mapping.base != NULL)
        os_code = mmgi_map_resident(&region->mapping, region->data + offset, (size_t)length, &resident);
    if (os_code != 0) {
        mmgi_region_failed(region, os_code); /* keeps the errno; whatever mincore(2) says is no failure of the medium */
        return MMG_E_SYSTEM;
    }
    *bytes = resident;
    return MMG_OK;
}
